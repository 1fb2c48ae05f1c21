//! Texts and blocks of known length through a pipe.

use std::io;

pub(super) const LENGTH_BYTES: usize = 4;

/// Writes a block after its length.
pub(super) fn write_block(to: &mut Vec<u8>, block: &[u8]) -> io::Result<()> {
    write_length(to, block.len())?;
    to.extend_from_slice(block);
    Ok(())
}

pub(super) fn write_length(to: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    let length = u32::try_from(bytes).map_err(|_| invalid("a block of more than 4 GiB"))?;
    to.extend_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Takes a block that has at most so many bytes.
pub(super) fn read_block<'message>(from: &mut &'message [u8], bytes_max: usize) -> io::Result<&'message [u8]> {
    let (length, rest) = from.split_first_chunk::<LENGTH_BYTES>().ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(invalid("a block is longer than allowed"));
    }
    let (block, rest) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    *from = rest;
    Ok(block)
}

pub(super) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
