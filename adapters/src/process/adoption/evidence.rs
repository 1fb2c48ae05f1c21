//! What is left of an attempt in the world.

use std::path::Path;

use tachograph_engine::domain::{AttemptId, Ordinal, Run, RunId, RunnerId, Stream, limits};

use super::super::directory::AttemptDirectory;
use super::super::exit_record::ExitRecord;
use super::super::identity::{Identity, ProcessIdentity, boot_id};
use super::super::outcome::last_output;
use super::super::text::{LAST_WORDS_COLUMNS_MAX, cut, shortened};
use super::super::traces::traces;
use super::found_shim::FoundShim;
use super::processes::Processes;
use super::rest::rest_of;

/// What is left of one attempt in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) identified: Identified,
    pub(super) recorded: Recorded,
    /// What is left of the process group of a shim that was killed, if that is certainly the attempt's own.
    pub(super) rest: Vec<u32>,
    /// Processes that name the attempt in their environment, beside the one in the identity and the rest of its group.
    pub(super) strays: Vec<u32>,
    /// Bytes in the files of both streams.
    pub(super) output_bytes: [Option<u64>; 2],
    pub(super) last_output: Vec<String>,
}

/// What is known about who the attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identified {
    /// There is not even a directory.
    NoDirectory,
    /// There is a directory in which nothing ever was: nothing was executed.
    NotBegun,
    /// There is a directory without an identity in which something was: the run may have removed it.
    TakenAway { traces: String },
    /// The same, and its shim is alive: it may write the identity at any moment, and then execute the command.
    Beginning { shim: u32 },
    /// Something is there that does not count.
    Doubtful { why: String },
    /// It is known.
    Known(Known),
}

/// An identity that names run and attempt, compared with the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) attempt: AttemptId,
    pub(super) runner: RunnerId,
    /// The supervisor that started it, if it is alive and another process than this one.
    pub(super) other_supervisor: Option<u32>,
    pub(super) this_boot: bool,
    /// Its shim, if it has one, and whether exactly that is alive.
    pub(super) shim: Option<(ProcessIdentity, bool)>,
    /// Its process, if one is noted, and whether exactly that is alive.
    pub(super) process: Option<(ProcessIdentity, bool)>,
    /// Why all this is not from an identity, if there is none, and the shim was found by its command line.
    pub(super) without_file: Option<String>,
}

/// What the exit record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Nothing that counts, for this reason.
    Nothing(String),
    /// The status alone: the output was still awaited.
    Noted(Box<ExitRecord>),
    /// All of it.
    Complete(Box<ExitRecord>),
}

impl Known {
    fn compare(identity: &Identity) -> Self {
        let with_life = |process: &ProcessIdentity| (process.clone(), process.is_alive());
        let supervisor = &identity.supervisor;
        // Without an id of this boot nothing counts as alive, and nothing is said about another one.
        let this_boot = boot_id().map_or(true, |boot| boot == supervisor.boot_id || supervisor.boot_id.is_empty());
        Self {
            attempt: identity.attempt,
            runner: identity.runner.clone(),
            other_supervisor: (supervisor.pid != std::process::id() && supervisor.is_alive()).then_some(supervisor.pid),
            this_boot,
            shim: identity.shim.as_ref().map(with_life),
            process: identity.process.as_ref().map(with_life),
            without_file: None,
        }
    }

    pub(super) fn shim_alive(&self) -> bool {
        self.shim.as_ref().is_some_and(|(_, alive)| *alive)
    }

    pub(super) fn process_alive(&self) -> bool {
        self.process.as_ref().is_some_and(|(_, alive)| *alive)
    }
}

impl Evidence {
    /// What there is of a run, whatever the journal knows of it.
    pub(super) fn about(runs_dir: &Path, run: &Run, processes: &Processes) -> Self {
        match &run.attempt {
            Some(attempt) => {
                let directory = AttemptDirectory::of(runs_dir, run.id, attempt.ordinal);
                Self::of(&directory, (run.id, attempt.id), &attempt.runner, processes)
            }
            None => Self::before_any(&AttemptDirectory::of(runs_dir, run.id, Ordinal::ZERO.next()), run.id, processes),
        }
    }

    /// Of a run of which the journal knows no attempt: whatever its first directory names.
    fn before_any(directory: &AttemptDirectory, run: RunId, processes: &Processes) -> Self {
        let shim = processes.shims_of(run).first().copied();
        match (Identity::of_any_attempt(directory, run), shim) {
            (Ok(Some(identity)), _) => Self::of(directory, (run, identity.attempt), &identity.runner, processes),
            (identity, shim) => Self {
                identified: match identity {
                    Err(error) => Identified::Doubtful { why: error.to_string() },
                    Ok(_) => unidentified(directory, shim.map(|(_, pid)| pid)),
                },
                recorded: Recorded::Nothing("not looked for".to_owned()),
                rest: Vec::new(),
                strays: Vec::new(),
                output_bytes: [None; 2],
                last_output: Vec::new(),
            },
        }
    }

    /// Looks, and touches nothing. `processes` must have been seen after the attempt's supervisor was gone.
    fn of(
        directory: &AttemptDirectory,
        (run, attempt): (RunId, AttemptId),
        runner: &RunnerId,
        processes: &Processes,
    ) -> Self {
        let identity = Identity::read(directory, run, attempt).map_err(|error| error.to_string());
        let identified = match &identity {
            Ok(Some(identity)) => Identified::Known(Known::compare(identity)),
            Ok(None) => without_identity(directory, (run, attempt), runner, processes),
            Err(why) => Identified::Doubtful { why: why.clone() },
        };
        let own = match &identified {
            Identified::Known(Known { process: Some((process, true)), .. }) => Some(process.pid),
            _ => None,
        };
        // After all that: whoever was alive above may have written it since, and then it must be seen.
        let recorded = Recorded::read(directory, run, attempt, runner);
        let rest = match (&identified, &recorded) {
            // A shim that has written all of it went by itself, and left what the run wanted to be left.
            (_, Recorded::Complete(_)) => None,
            (Identified::Known(known), _) if known.runner == *runner => rest_of(known).map(|group| group.members()),
            _ => None,
        };
        let rest = rest.unwrap_or_default();
        let strays = processes.naming(attempt).iter().copied();
        let strays = strays.filter(|pid| Some(*pid) != own && !rest.contains(pid)).collect();
        let bytes = |stream| directory.kept_bytes(stream);
        let output_bytes = [bytes(Stream::Stdout), bytes(Stream::Stderr)];
        Self { identified, recorded, rest, strays, output_bytes, last_output: last_output(directory) }
    }

    /// Whether it had a shim that is gone without having written all of its end.
    pub(super) fn shim_was_killed(&self) -> bool {
        let gone = |known: &Known| known.this_boot && matches!(known.shim, Some((_, false)));
        matches!(&self.identified, Identified::Known(known) if gone(known))
            && !matches!(self.recorded, Recorded::Complete(_))
    }

    /// All of it in one sentence, for the record.
    pub(super) fn told(&self) -> String {
        let record = match &self.recorded {
            Recorded::Nothing(why) => format!("exit record: {why}"),
            Recorded::Noted(record) => format!("exit record: {}, without the output", record.status),
            Recorded::Complete(record) => format!("exit record: {}", record.status),
        };
        let bytes =
            self.output_bytes.map(|bytes| bytes.map_or_else(|| "no file".to_owned(), |bytes| bytes.to_string()));
        let mut parts = vec![self.identified.told(), record];
        parts.push(format!("output on disk: {} and {} bytes", bytes[0], bytes[1]));
        if !self.rest.is_empty() {
            parts.push(format!("left of its process group: {}", pids(&self.rest)));
        }
        if !self.strays.is_empty() {
            parts.push(format!("alive with its id: {}", pids(&self.strays)));
        }
        if let Some(last) = self.last_output.last() {
            parts.push(format!("last words: {}", shortened(last, LAST_WORDS_COLUMNS_MAX)));
        }
        cut(&parts.join("; "), limits::MESSAGE_BYTES_MAX).to_owned()
    }
}

/// The run may have removed its identity while its shim lives, or that is about to be written.
fn without_identity(
    directory: &AttemptDirectory,
    (run, attempt): (RunId, AttemptId),
    runner: &RunnerId,
    processes: &Processes,
) -> Identified {
    let found = || FoundShim::look(processes.shim_of(run, attempt)?, run, attempt);
    let shim = found();
    let pid = shim.as_ref().map(|shim| shim.shim.pid);
    let Some(known) = shim.and_then(|shim| shim.begun(directory, attempt, runner)) else {
        return unidentified(directory, pid);
    };
    // It may have been written just now.
    match Identity::read(directory, run, attempt) {
        Ok(Some(identity)) => Identified::Known(Known::compare(&identity)),
        Ok(None) | Err(_) => Identified::Known(known),
    }
}

fn unidentified(directory: &AttemptDirectory, shim: Option<u32>) -> Identified {
    let there = |path: &Path| path.symlink_metadata().is_ok();
    match shim {
        _ if there(&directory.identity()) => {
            Identified::Doubtful { why: "identity.json is damaged, or about another attempt".to_owned() }
        }
        Some(shim) => Identified::Beginning { shim },
        None if there(directory.path()) => match traces(directory) {
            Some(traces) => Identified::TakenAway { traces },
            None => Identified::NotBegun,
        },
        None => Identified::NoDirectory,
    }
}

impl Identified {
    fn told(&self) -> String {
        let life = |what: &str, (process, alive): &(ProcessIdentity, bool)| {
            format!("{what} {} {}", process.pid, if *alive { "alive" } else { "gone" })
        };
        match self {
            Self::NoDirectory => "no directory".to_owned(),
            Self::NotBegun => "no identity".to_owned(),
            Self::TakenAway { traces } => traces.clone(),
            Self::Beginning { shim } => format!("no identity yet, its shim {shim} is alive"),
            Self::Doubtful { why } => format!("no identity that counts: {why}"),
            Self::Known(known) if !known.this_boot => "of another boot".to_owned(),
            Self::Known(known) => {
                let shim = known.shim.as_ref().map_or_else(|| "no shim".to_owned(), |shim| life("shim", shim));
                let process = known.process.as_ref();
                let process = process.map_or_else(|| "no process noted".to_owned(), |process| life("process", process));
                let found = known.without_file.as_ref();
                let found = found.map(|why| format!(", found by its command line: {why}")).unwrap_or_default();
                format!("{shim}, {process}{found}")
            }
        }
    }
}

impl Recorded {
    fn read(directory: &AttemptDirectory, run: RunId, attempt: AttemptId, runner: &RunnerId) -> Self {
        match ExitRecord::read(&directory.exit_record(), run, attempt) {
            Ok(None) => Self::Nothing("absent".to_owned()),
            Ok(Some(record)) if !record.is_word_of(runner) => {
                Self::Nothing(format!("a claim of {}, not by the runner", record.status))
            }
            Ok(Some(record)) if record.is_complete() => Self::Complete(Box::new(record)),
            Ok(Some(record)) => Self::Noted(Box::new(record)),
            Err(error) => Self::Nothing(error.to_string()),
        }
    }
}

/// Pids in words, at most a few dozen.
pub(super) fn pids(pids: &[u32]) -> String {
    let shown: Vec<_> = pids.iter().take(limits::DIAGNOSTICS_MAX).map(|pid| format!("process {pid}")).collect();
    shown.join(", ")
}
