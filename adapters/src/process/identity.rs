//! Which process an attempt is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{AttemptId, Digest, Ordinal, RunId, RunnerId};

use super::directory::{AttemptDirectory, DirectoryError, read_small};

const IDENTITY_BYTES_MAX: u64 = 64 * 1_024;
const IDENTITY_FORMAT: u32 = 1;
/// Some fifty numbers, and a name.
const STAT_BYTES_MAX: usize = 2 * 1_024;

/// A process that cannot be taken for another: pids are used again, but not with the same start within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's id of that boot.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// The identity of the process that has this pid now. A zombie still has one.
    ///
    /// # Errors
    ///
    /// If there is no such process, or no `/proc`.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::of_boot(pid, boot_id()?)
    }

    /// The same, where the boot is known: that of a process that is or was there with this one.
    pub(super) fn of_boot(pid: u32, boot_id: String) -> io::Result<Self> {
        Ok(Self { pid, start_ticks: ProcessStat::read(pid)?.start_ticks, boot_id })
    }

    /// Whether exactly this process still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot_id| boot_id == self.boot_id)
            && ProcessStat::read(self.pid).is_ok_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_dead())
    }
}

/// The id of this boot. It is read once: no process is there longer than its boot.
pub(crate) fn boot_id() -> io::Result<String> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT_ID.get() {
        return Ok(known.clone());
    }
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(BOOT_ID.get_or_init(|| read).clone())
}

/// What the kernel says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start_ticks: u64,
}

impl ProcessStat {
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let mut stat = [0; STAT_BYTES_MAX];
        // The kernel gives all of it at once.
        let bytes = File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
        Self::parse(&String::from_utf8_lossy(&stat[..bytes]))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected form of /proc/PID/stat"))
    }

    /// The command's name may contain anything, blanks and parentheses too: what counts begins after the last one.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            // The twentieth.
            start_ticks: fields.nth(16)?.parse().ok()?,
        })
    }

    pub(crate) const fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// What `identity.json` says: which attempt this directory belongs to, and which process it is.
///
/// Under a shim it is written once, before the command is executed: with the shim and the process that will
/// execute it. The directory is the run's own, so that a missing file alone does not show that nothing was executed: the
/// run may have removed it.
///
/// Without a shim it is written once, right after the spawn, as a pid is known only then. A kill of the supervisor between
/// the two leaves a process that no file names; it still can be found, since every process of the attempt has
/// `TACHO_ATTEMPT_ID` in its environment from its first instruction. A disk that is full at that moment leaves the same: what
/// was executed goes on.
///
/// It is not synced, but for that of a container: after a power cut there is no such process any more, and which boot the
/// attempt was of is in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its number within the run.
    pub ordinal: Ordinal,
    /// Who holds it.
    pub runner: RunnerId,
    /// The process that spawned it or was about to.
    pub supervisor: ProcessIdentity,
    /// BLAKE3 over the arguments as executed, each followed by a NUL.
    pub argv_digest: Digest,
    /// The shim between the two; absent if the supervisor is the process's own parent.
    pub shim: Option<ProcessIdentity>,
    /// The child; absent in what former versions wrote before the spawn.
    pub process: Option<ProcessIdentity>,
    /// How long after it reported that it waits a snapshot is due, in milliseconds; none is armed by itself if absent.
    pub snapshot_delay_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    format: u32,
    run: String,
    attempt: String,
    ordinal: u32,
    runner: String,
    supervisor: ProcessIdentity,
    argv_blake3: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shim: Option<ProcessIdentity>,
    process: Option<ProcessIdentity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot_delay_ms: Option<u64>,
}

impl Identity {
    /// Writes it durably.
    pub(super) fn write(&self, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        directory.replace(&directory.identity(), &self.content(directory)?)
    }

    /// Writes it so that it outlives every process, and not a power cut.
    pub(super) fn put(&self, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        directory.put(&directory.identity(), &self.content(directory)?)
    }

    fn content(&self, directory: &AttemptDirectory) -> Result<Vec<u8>, DirectoryError> {
        let file = IdentityFile {
            format: IDENTITY_FORMAT,
            run: self.run.to_string(),
            attempt: self.attempt.to_string(),
            ordinal: self.ordinal.0,
            runner: self.runner.to_string(),
            supervisor: self.supervisor.clone(),
            argv_blake3: self.argv_digest.to_string(),
            shim: self.shim.clone(),
            process: self.process.clone(),
            snapshot_delay_ms: self.snapshot_delay_ms,
        };
        serde_json::to_vec_pretty(&file).map_err(|error| DirectoryError {
            action: "encode",
            path: directory.identity(),
            source: io::Error::other(error),
        })
    }

    /// Reads the file, if it is there and names this run and attempt. Anything else is as good as none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] if the file is there and cannot be read.
    pub fn read(directory: &AttemptDirectory, run: RunId, attempt: AttemptId) -> Result<Option<Self>, DirectoryError> {
        let Some(content) = read_small(&directory.identity(), IDENTITY_BYTES_MAX)? else { return Ok(None) };
        let identity = serde_json::from_slice::<IdentityFile>(&content).ok().and_then(Self::from_file);
        Ok(identity.filter(|identity| identity.run == run && identity.attempt == attempt))
    }

    /// The same for whatever attempt of a run the file names, for a run of which the journal knows no attempt.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn of_any_attempt(directory: &AttemptDirectory, run: RunId) -> Result<Option<Self>, DirectoryError> {
        let Some(content) = read_small(&directory.identity(), IDENTITY_BYTES_MAX)? else { return Ok(None) };
        let identity = serde_json::from_slice::<IdentityFile>(&content).ok().and_then(Self::from_file);
        Ok(identity.filter(|identity| identity.run == run))
    }

    fn from_file(file: IdentityFile) -> Option<Self> {
        Some(Self {
            run: file.run.parse().ok()?,
            attempt: file.attempt.parse().ok()?,
            ordinal: Ordinal(file.ordinal),
            runner: RunnerId::new(file.runner),
            supervisor: file.supervisor,
            argv_digest: Digest(*blake3::Hash::from_hex(&file.argv_blake3).ok()?.as_bytes()),
            shim: file.shim,
            process: file.process,
            snapshot_delay_ms: file.snapshot_delay_ms,
        })
    }
}

/// BLAKE3 over arguments, each followed by a NUL, which none can contain.
pub(super) fn argv_digest<'a>(argv: impl IntoIterator<Item = &'a OsStr>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for argument in argv {
        hasher.update(argument.as_bytes());
        hasher.update(b"\0");
    }
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_confuses_nobody() {
        let stat = "42 (a) S (b c)) Z 1 40 40 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(ProcessStat::parse(stat), Some(ProcessStat { state: 'Z', parent: 1, group: 40, start_ticks: 777 }));
        assert_eq!(ProcessStat::parse("42 (a"), None);
        assert_eq!(ProcessStat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_and_its_pid_at_another_start_or_boot_is_not() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_ticks: me.start_ticks + 1, ..me.clone() }.is_alive());
        assert!(!ProcessIdentity { boot_id: "another".to_owned(), ..me }.is_alive());
    }

    #[test]
    fn an_identity_is_read_only_by_whom_it_names() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        assert_eq!(Identity::read(&directory, ids::run(1), ids::attempt(1)).unwrap(), None);
        let identity = Identity {
            run: ids::run(1),
            attempt: ids::attempt(1),
            ordinal: Ordinal(1),
            runner: RunnerId::from("r1"),
            supervisor: ProcessIdentity::of(std::process::id()).unwrap(),
            argv_digest: argv_digest([OsStr::new("true")]),
            shim: None,
            process: None,
            snapshot_delay_ms: Some(60_000),
        };
        identity.write(&directory).unwrap();
        assert_eq!(Identity::read(&directory, ids::run(1), ids::attempt(1)).unwrap(), Some(identity));
        assert_eq!(Identity::read(&directory, ids::run(2), ids::attempt(1)).unwrap(), None);
        assert_eq!(Identity::read(&directory, ids::run(1), ids::attempt(2)).unwrap(), None);
    }
}
