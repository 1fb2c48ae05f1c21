//! The terminal that a picture is drawn on, without waiting for it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;
use rustix::termios::tcgetwinsize;

use crate::remarks::draw;
use crate::standard_error::StandardError;

/// Columns and rows where the terminal does not say.
const SIZE_DEFAULT: (u16, u16) = (80, 24);

/// Collects a drawing, and hands it over as a whole.
#[derive(Debug, Default)]
pub(super) struct Screen {
    drawing: Mutex<String>,
}

impl Screen {
    fn drawing(&self) -> MutexGuard<'_, String> {
        // A drawing is whole between any two steps, so whoever panicked has broken nothing.
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor, which the sequence for no step at all would do, too.
    fn moved(&self, steps: usize, direction: char) -> io::Result<()> {
        if steps > 0 {
            self.drawing().push_str(&format!("\x1b[{steps}{direction}"));
        }
        Ok(())
    }
}

/// Columns and rows.
fn size() -> (u16, u16) {
    match tcgetwinsize(StandardError) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE_DEFAULT,
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, steps: usize) -> io::Result<()> {
        self.moved(steps, 'A')
    }

    fn move_cursor_down(&self, steps: usize) -> io::Result<()> {
        self.moved(steps, 'B')
    }

    fn move_cursor_right(&self, steps: usize) -> io::Result<()> {
        self.moved(steps, 'C')
    }

    fn move_cursor_left(&self, steps: usize) -> io::Result<()> {
        self.moved(steps, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.push_str(text);
        drawing.push('\n');
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawing().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawing().push_str("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        draw(std::mem::take(&mut *self.drawing()).as_bytes());
        Ok(())
    }
}
