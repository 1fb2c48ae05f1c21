//! Texts within the bounds of a journal entry.

use std::io;
use std::os::unix::fs::FileExt;

use super::directory::{OutputPart, open_foreign};

const TAIL_BYTES: u64 = 8 * 1_024;
const TAIL_LINES: usize = 10;
const LINE_BYTES_MAX: usize = 512;

/// Columns of a run's last words that a sentence about it quotes.
pub(super) const LAST_WORDS_COLUMNS_MAX: usize = 160;

/// The longest prefix of so many bytes that ends between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The beginning of a text that takes no more than so many columns once its control characters are shown as escapes, and how
/// much was left out.
pub(super) fn shortened(text: &str, columns_max: usize) -> String {
    let mut columns = 0_usize;
    let end = text.char_indices().find_map(|(at, char)| {
        columns += if char.is_control() { char.escape_unicode().len() } else { 1 };
        (columns > columns_max).then_some(at)
    });
    match end {
        Some(end) => format!("{}… (and {} bytes more)", &text[..end], text.len() - end),
        None => text.to_owned(),
    }
}

/// The last few lines of what some files keep of a stream, in its order; oldest first, cut to a bounded length; none if
/// they cannot be read. What came before a gap is not told as if it were followed by what came after.
pub(super) fn last_lines(parts: &[OutputPart]) -> Vec<String> {
    let mut tail = Vec::new();
    let mut begins_at = None;
    for part in parts.iter().rev() {
        let Ok((mut before, end)) = read_tail(part) else { continue };
        let is_gap = begins_at.is_some_and(|begin| begin != end);
        if (is_gap && !tail.is_empty()) || tail.len() as u64 >= TAIL_BYTES {
            break;
        }
        before.append(&mut tail);
        tail = before;
        begins_at = Some(part.from);
    }
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| cut(line, LINE_BYTES_MAX).to_owned()).collect()
}

/// The last bytes of a part, and where in the stream it ends.
fn read_tail(part: &OutputPart) -> io::Result<(Vec<u8>, u64)> {
    let file = open_foreign(&part.path)?;
    let length = file.metadata()?.len();
    let bytes = length.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(bytes).unwrap_or(0)];
    file.read_exact_at(&mut tail, length - bytes)?;
    Ok((tail, part.from.saturating_add(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_no_more_room_than_it_may_and_says_what_was_left_out() {
        assert_eq!(shortened("no root disk", 12), "no root disk");
        assert_eq!(shortened("no root disk", 7), "no root… (and 5 bytes more)");
        assert_eq!(shortened("éé", 1), "é… (and 2 bytes more)");
        let nul = "\0".repeat(512);
        assert_eq!(shortened(&nul, 12), "\0\0… (and 510 bytes more)");
        assert_eq!(shortened(&nul, 0), "… (and 512 bytes more)");
    }

    #[test]
    fn the_last_lines_are_few_short_and_in_order() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("stdout");
        let last_lines = |path: &std::path::Path| last_lines(&[OutputPart { from: 0, path: path.to_owned() }]);
        assert!(last_lines(&path).is_empty());
        let mut content = "x".repeat(100_000);
        for number in 0..30 {
            content.push_str(&format!("\n\nline {number} é"));
        }
        content.push_str(&"é".repeat(1_000));
        std::fs::write(&path, content.as_bytes()).unwrap();
        let lines = last_lines(&path);
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!(lines[0], "line 20 é");
        assert!(lines[9].starts_with("line 29 éé") && lines[9].len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn lines_go_on_from_part_to_part_and_not_over_a_gap() {
        let data = tempfile::tempdir().unwrap();
        let part = |from: u64, content: &str| {
            let path = data.path().join(from.to_string());
            std::fs::write(&path, content).unwrap();
            OutputPart { from, path }
        };
        let parts = [part(0, "one\ntw"), part(100, "missing\nthr"), part(111, "ee\nfour")];
        assert_eq!(last_lines(&parts), ["missing", "three", "four"]);
        assert_eq!(last_lines(&[part(0, "one\ntw"), part(6, "o\n")]), ["one", "two"]);
        assert_eq!(last_lines(&[part(0, "one\ntw"), part(100, "")]), ["one", "tw"]);
    }
}
