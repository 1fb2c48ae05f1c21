//! Reading one line of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::wire::LINE_BYTES_MAX;

/// What a reader met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A whole line is in the buffer, without its newline.
    Line,
    /// The peer has closed; whatever was left of a line does not count.
    End,
    /// The line is longer than allowed. The rest of it was not read.
    TooLong,
}

/// Reads the next line into the buffer, which is emptied first and never grows beyond the bound.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<Received> {
    line.clear();
    loop {
        let some = from.fill_buf().await?;
        if some.is_empty() {
            return Ok(Received::End);
        }
        let newline = some.iter().position(|byte| *byte == b'\n');
        let taken = newline.unwrap_or(some.len());
        if line.len() + taken >= LINE_BYTES_MAX {
            return Ok(Received::TooLong);
        }
        line.extend_from_slice(&some[..taken]);
        from.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(Received::Line);
        }
    }
}
