//! The last line: a file that was cut off at the end of a line is whole JSON, and is told by this line alone.

use serde::{Deserialize, Serialize};

use super::LineError;

/// How the last line begins, and no other.
const BEGIN: &[u8] = b"{\"end\"";

/// What the last line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many entries stand before it.
    pub entries: u64,
    /// The position of the last one; 0 if there is none.
    pub position: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

impl End {
    /// Appends the line, newline included.
    pub fn write(self, out: &mut Vec<u8>) {
        // Neither the sink nor a number can fail.
        let written = serde_json::to_writer(&mut *out, &EndLine { end: self });
        debug_assert!(written.is_ok(), "{written:?}");
        out.push(b'\n');
    }

    /// Reads a line, if it is one like this.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(line: &[u8]) -> Result<Option<Self>, LineError> {
        if !line.trim_ascii_start().starts_with(BEGIN) {
            return Ok(None);
        }
        serde_json::from_slice(line).map(|EndLine { end }| Some(end)).map_err(|error| LineError::of(&error))
    }
}
