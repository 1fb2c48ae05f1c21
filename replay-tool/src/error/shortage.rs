//! What this process may not have enough of: threads, and open files.

use std::io;

use tachograph_adapters::descriptors::lacking;
use tachograph_engine::ports::JournalError;

pub(super) const SHORT_OF_THREADS: &str = "short_of_threads";
pub(super) const SHORT_OF_FILES: &str = "short_of_files";

pub(super) const THREADS_REMEDY: &str = "let this user have more processes and threads (`ulimit -u`, nproc in limits.conf, TasksMax of the \
     service, pids.max of the container), or end some; `ps -eLf` lists them";

pub(super) const FILES_REMEDY: &str = "let this process have more files open (`ulimit -n`, nofile in limits.conf, LimitNOFILE of the service), \
     or the system (`sysctl fs.file-max`)";

/// What the journal could not have, by its code. No file gives the error of a thread that could not be started.
pub(super) fn of_journal(error: &JournalError) -> Option<&'static str> {
    match error {
        JournalError::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock => Some(SHORT_OF_THREADS),
        JournalError::Io { source, .. } if lacking(&**source) => Some(SHORT_OF_FILES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use crate::error::Error;

    #[test]
    fn only_where_nothing_was_executed_is_it_said_to_run_it_again() {
        let short = || std::io::Error::from(Errno::MFILE);
        let recording = Error::Journal(super::JournalError::io("open", "segment", short()));
        assert!(!recording.remedy().contains("again"), "{}", recording.remedy());
        let starting = Error::no_runtime(short());
        assert!(starting.remedy().ends_with("; nothing was executed: run it again"), "{}", starting.remedy());
    }
}
