//! Aligned columns, and text that cannot play with the terminal.

use anstyle::{AnsiColor, Style};
use tachograph_engine::domain::StatusName;
use unicode_width::UnicodeWidthStr;

/// Less important than what stands beside it.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const BOLD: Style = Style::new().bold();
/// Ended well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Wants attention.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Went wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Under way.
pub const LIVE: Style = AnsiColor::Cyan.on_default();

/// The style of a status; an exit counts as good only with code 0.
pub fn status_style(status: StatusName, exit_is_zero: bool) -> Style {
    match status {
        StatusName::Created => Style::new(),
        StatusName::Started => LIVE,
        StatusName::Waiting => WARN,
        StatusName::Exited if exit_is_zero => GOOD,
        StatusName::Exited | StatusName::Failed => BAD,
        StatusName::Destroyed => DIM,
    }
}

/// The text with control characters shown as escapes, so that recorded text cannot move the cursor, change colours or
/// fake lines. Bidirectional overrides are shown as escapes, too.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(char.escape_unicode());
            }
            _ if char.is_control() => shown.extend(char.escape_default()),
            _ => shown.push(char),
        }
    }
    shown
}

/// One cell: its text, made [`printable`], and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in this style.
    pub fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: printable(text.as_ref()), style }
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Which side of its column a cell keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// Rows under headings, two spaces between columns, no trailing spaces.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns. An empty heading everywhere leaves the heading line out.
    pub fn of(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, surplus ones are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.resize(self.columns.len(), Cell::from(""));
        self.rows.push(cells);
    }

    /// The lines, each ended by a newline, with ANSI styles that the output strips where they do not belong.
    pub fn render(&self) -> String {
        let heading: Vec<Cell> = self.columns.iter().map(|(name, _)| Cell::styled(name, BOLD)).collect();
        let with_heading = self.columns.iter().any(|(name, _)| !name.is_empty());
        let rows: Vec<&Vec<Cell>> = with_heading.then_some(&heading).into_iter().chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in rows {
            self.render_row(row, &widths, &mut text);
        }
        text
    }

    fn render_row(&self, row: &[Cell], widths: &[usize], text: &mut String) {
        // Padding is written only before the next visible cell, so that no line ends in spaces.
        let mut owed = 0;
        for ((cell, width), (_, align)) in row.iter().zip(widths).zip(&self.columns) {
            let padding = width - cell.width();
            if *align == Align::Right {
                owed += padding;
            }
            if !cell.text.is_empty() {
                text.extend(std::iter::repeat_n(' ', owed));
                owed = 0;
                text.push_str(&format!("{}{}{}", cell.style.render(), cell.text, cell.style.render_reset()));
            }
            if *align == Align::Left {
                owed += padding;
            }
            owed += 2;
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_what_is_seen() {
        let mut table = Table::of(&[("NAME", Align::Left), ("N", Align::Right), ("NOTE", Align::Left)]);
        table.row([Cell::from("日本"), Cell::styled("7", GOOD), Cell::from("a")]);
        table.row([Cell::from("x"), Cell::from("12345")]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "NAME      N  NOTE\n日本      7  a\nx     12345\n");
    }

    #[test]
    fn recorded_text_cannot_play_with_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
    }
}
