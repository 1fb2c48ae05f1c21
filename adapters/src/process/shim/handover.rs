//! Texts and blocks of known length through a pipe.

use std::io::{self, Read, Write};

/// Writes a block after its length.
pub(super) fn write_block(to: &mut impl Write, block: &[u8]) -> io::Result<()> {
    let length = u32::try_from(block.len()).map_err(|_| invalid("a block of more than 4 GiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(block)
}

/// Reads a block that has at most so many bytes. Reads not one byte more, whatever follows.
pub(super) fn read_block(from: &mut impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(invalid("a block is longer than allowed"));
    }
    let mut block = vec![0; length];
    from.read_exact(&mut block)?;
    Ok(block)
}

pub(super) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
