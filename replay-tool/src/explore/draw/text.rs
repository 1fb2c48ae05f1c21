//! Text that fits.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use crate::table::printable;

/// Recorded text, printable, in at most so many columns; cut at the end with a sign that it was.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let text = printable(text);
    if width(&text) <= columns {
        return text;
    }
    let mut room = columns.saturating_sub(1);
    let mut shown: String = text
        .chars()
        .take_while(|char| {
            let needed = char.width().unwrap_or(0);
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        })
        .collect();
    if columns > 0 {
        shown.push('…');
    }
    shown
}

/// The same, filled up with spaces to exactly so many columns.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let mut shown = cut(text, columns);
    let missing = columns.saturating_sub(width(&shown));
    shown.extend(std::iter::repeat_n(' ', missing));
    shown
}

/// Recorded text, printable, in lines of at most so many columns, broken between words where that is possible.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in printable(text).split_inclusive(' ') {
        let fits = |line: &str| width(line) + width(word.trim_end()) <= columns;
        if lines.last().is_some_and(|line| !line.is_empty() && !fits(line)) {
            lines.push(String::new());
        }
        for char in word.chars() {
            let is_full = lines.last().is_some_and(|line| width(line) + char.width().unwrap_or(0) > columns);
            if is_full && char == ' ' {
                continue;
            }
            if is_full {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push(char);
            }
        }
    }
    lines
}

/// A name, and its value in as many lines as it takes, under each other.
pub(super) fn named<'a>(
    name: Span<'a>,
    value: &str,
    indent: usize,
    columns: usize,
    style: ratatui::style::Style,
) -> Vec<Line<'a>> {
    let gap = indent.saturating_sub(width(&name.content));
    let mut first = Some((name, Span::raw(" ".repeat(gap))));
    wrapped(value, columns.saturating_sub(indent))
        .into_iter()
        .map(|line| {
            let value = Span::styled(line, style);
            match first.take() {
                Some((name, gap)) => Line::from(vec![name, gap, value]),
                None => Line::from(vec![Span::raw(" ".repeat(indent)), value]),
            }
        })
        .collect()
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_padded_by_what_is_seen() {
        assert_eq!((cut("abcdef", 4).as_str(), cut("abcd", 4).as_str(), cut("abc", 0).as_str()), ("abc…", "abcd", ""));
        assert_eq!((padded("日本", 5).as_str(), padded("日本語", 5).as_str()), ("日本 ", "日本…"));
        assert_eq!(cut("日本語", 2), "…");
        assert_eq!(cut("a\u{1b}[2Jb", 40), "a\\u{1b}[2Jb");
    }

    #[test]
    fn text_is_broken_between_words_and_within_those_that_are_too_long() {
        assert_eq!(wrapped("the run was destroyed", 9), ["the run ", "was ", "destroyed"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("ab cd", 2), ["ab", "cd"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("a\nb", 5), ["a\\nb"]);
        assert_eq!(wrapped("日本", 1).concat(), "日本", "nothing is lost where nothing fits");
    }
}
