//! Descriptors that this process may have or not.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

/// What is at its limit if no file can be opened any more.
pub(crate) const LIMIT_REACHED: &str = "a limit on open files is reached: `ulimit -n`";

/// Whether it was for want of descriptors, of this process or of the system, whatever was made of the system's answer since.
pub fn lacking(error: &(dyn Error + 'static)) -> bool {
    matches!(errno(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The error in words, and which limit to raise if it was for want of descriptors.
pub fn told(error: &(dyn Error + 'static)) -> String {
    if lacking(error) { format!("{error}; {LIMIT_REACHED}") } else { error.to_string() }
}

/// The system's answer that an error comes from, if there is one among its sources.
pub(crate) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        let shared = || error.downcast_ref::<Arc<io::Error>>().map(|shared| &**shared);
        let answer = error.downcast_ref::<io::Error>().or_else(shared).and_then(Errno::from_io_error);
        if answer.is_some() {
            return answer;
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::DirectoryError;

    #[test]
    fn whatever_was_made_of_it_a_limit_is_named() {
        let from = |errno: Errno| DirectoryError { action: "open", path: "d".into(), source: errno.into() };
        for errno in [Errno::MFILE, Errno::NFILE] {
            let journal = tachograph_engine::ports::JournalError::io("open", "d", errno.into());
            let others: [&(dyn Error + 'static); 4] =
                [&io::Error::from(errno), &from(errno), &io::Error::other(from(errno)), &journal];
            for error in others {
                assert!(told(error).ends_with("; a limit on open files is reached: `ulimit -n`"), "{}", told(error));
            }
        }
        assert_eq!(told(&from(Errno::NOENT)), from(Errno::NOENT).to_string());
        assert_eq!(told(&io::Error::other("words")), "words");
    }
}
