//! Texts within the bounds of a journal entry.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::directory::open_foreign;

const TAIL_BYTES: u64 = 8 * 1_024;
const TAIL_LINES: usize = 10;
const LINE_BYTES_MAX: usize = 512;

/// The longest prefix of so many bytes that ends between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The last few lines of a file, oldest first, cut to a bounded length; none if it cannot be read.
pub(super) fn last_lines(path: &Path) -> Vec<String> {
    let Ok(tail) = read_tail(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| cut(line, LINE_BYTES_MAX).to_owned()).collect()
}

fn read_tail(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_foreign(path)?;
    let length = file.metadata()?.len();
    let bytes = length.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(bytes).unwrap_or(0)];
    file.read_exact_at(&mut tail, length - bytes)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_few_short_and_in_order() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("stdout");
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
}
