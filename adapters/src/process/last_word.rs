//! What a shim left on disk, and what is to be reported because of it.

use std::collections::BTreeMap;

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tachograph_engine::domain::{
    AttemptId, Claim, Diagnostics, Exit, ExitStatus, Failure, FailureKind, Outcome, Stream, Witness, Workload, limits,
};

use super::adoption::recorded_kind;
use super::attempt::HeldAttempt;
use super::attended::Parting;
use super::directory::AttemptDirectory;
use super::drain::Drained;
use super::exit_record::{ExitRecord, ExitRecordError, ResourceUsage};
use super::group::{ProcessGroup, processes_of};
use super::identity::{Identity, ProcessIdentity};
use super::outcome::{Seen, TimeUp};
use super::room;
use super::scarcity::despite_scarcity;
use super::shim;
use super::text::cut;
use super::traces::traces;
use crate::descriptors::told;
use crate::threads::blocking;

/// How many pids are named in a cause.
const NAMED_MAX: usize = 16;

/// What a shim left on disk, and what is to be reported because of it.
#[derive(Debug)]
pub(super) struct LastWord {
    pub(super) outcome: Outcome,
    /// What a file claimed against what the shim has waited for.
    pub(super) contradiction: Option<ExitRecord>,
    /// The process that executed the command, if any did.
    pub(super) pid: Option<u32>,
}

/// A shim that went without having said that it was done.
#[derive(Debug)]
pub(super) struct Unended {
    pub(super) parting: Parting,
    /// How the process ended, if the shim had told that before.
    pub(super) status: Option<ExitStatus>,
    /// What it complained about last.
    pub(super) trouble: Option<String>,
}

impl Unended {
    /// Whether the shim was not killed: one that has not said that the command is executed has not executed it then.
    fn by_itself(&self) -> bool {
        matches!(self.parting, Parting::Waited(status) if status.code().is_some())
    }
}

impl std::fmt::Display for Unended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its shim {}", self.parting)?;
        self.trouble.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

impl LastWord {
    /// Reads it. If the shim is gone without a complete exit record, it was killed: what is left of the run's process group
    /// is ended then, since nobody would see its end, and no status is made up. Absent if the runtime is going away.
    pub(super) async fn read(
        held: &HeldAttempt,
        time_up: Option<TimeUp>,
        unready: bool,
        unended: Option<Unended>,
    ) -> Option<Self> {
        let (directory, claim) = (held.directory.clone(), held.claim.clone());
        let started = held.live().pid.get().copied();
        let workload = held.workload.clone();
        let place = Place { directory, claim, workload, unready, started };
        // What its shim has written a moment ago is in memory still: nobody has to be asked to wait for a disk.
        if let (None, None) = (&time_up, &unended)
            && let Some(word) = place.whole_record()
        {
            return Some(word);
        }
        blocking(move || place.last_word(time_up, unended)).await
    }

    /// Ends what is left of the group after its shim was killed.
    pub(super) async fn end_group(held: &HeldAttempt) {
        let (directory, claim) = (held.directory.clone(), held.claim.clone());
        let (started, workload) = (held.live().pid.get().copied(), held.workload.clone());
        blocking(move || {
            let place = Place { directory, claim, workload, unready: false, started };
            let killed = place.end_group(place.identity().as_ref());
            tracing::warn!(run = %place.claim.run, ?killed, "a shim was killed before the rest of its run had ended");
        })
        .await;
    }
}

/// Where an attempt's files are, and whose they must be.
struct Place {
    directory: AttemptDirectory,
    claim: Claim,
    /// What its run is recorded to execute.
    workload: Workload,
    /// Whether it had a ready check and ended before that was met.
    unready: bool,
    /// The process that executed the command, if it was heard of; its identity may have been taken away since.
    started: Option<u32>,
}

impl Place {
    fn last_word(&self, time_up: Option<TimeUp>, unended: Option<Unended>) -> LastWord {
        // It would be taken for none where there are too few descriptors to look.
        let (record, no_record) = match self.own(despite_scarcity(|| self.record())) {
            Ok(record) => (Some(record), String::new()),
            Err(why) => (None, why),
        };
        let (outcome, pid) = match (record, unended) {
            (Some(record), _) if is_complete(&record) => return self.word_of(record, time_up),
            (record, Some(unended)) => self.killed(record, &unended, &no_record),
            (_, None) => (self.unknown(format!("its shim recorded the end, but {no_record}")), None),
        };
        LastWord { outcome, contradiction: None, pid }
    }

    /// What the shim's record says, if all of it is there.
    fn whole_record(&self) -> Option<LastWord> {
        Some(self.word_of(self.own(self.record()).ok().filter(is_complete)?, None))
    }

    fn word_of(&self, record: ExitRecord, time_up: Option<TimeUp>) -> LastWord {
        let contradiction = self.claim_against(&record.status);
        LastWord { outcome: self.told(record, time_up), contradiction, pid: None }
    }

    fn identity(&self) -> Option<Identity> {
        let read = || Identity::read(&self.directory, self.claim.run, self.claim.attempt);
        despite_scarcity(read).ok().flatten()
    }

    /// Whether nothing was ever made in the directory. One that is gone was removed by the run.
    fn is_untouched(&self) -> bool {
        self.directory.path().symlink_metadata().is_ok() && traces(&self.directory).is_none()
    }

    fn record(&self) -> Result<Option<ExitRecord>, ExitRecordError> {
        ExitRecord::read(&self.directory.exit_record(), self.claim.run, self.claim.attempt)
    }

    /// The shim's own exit record, or why there is none.
    fn own(&self, found: Result<Option<ExitRecord>, ExitRecordError>) -> Result<ExitRecord, String> {
        match found {
            Ok(None) => Err("there is no exit record".to_owned()),
            Ok(Some(record)) if record.is_word_of(&self.claim.runner) => Ok(record),
            Ok(Some(_)) => Err("the exit record is not its own".to_owned()),
            Err(error) => Err(told(&error)),
        }
    }

    /// What somebody else put in the place of the exit record, if it says something else.
    fn claim_against(&self, status: &ExitStatus) -> Option<ExitRecord> {
        let found = ExitRecord::read(&self.directory.exit_claim(), self.claim.run, self.claim.attempt);
        let claim = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a foreign exit record does not count");
            None
        });
        claim.filter(|claim| claim.status != *status)
    }

    /// The end as the shim saw it.
    fn told(&self, record: ExitRecord, time_up: Option<TimeUp>) -> Outcome {
        match (record.output.clone(), time_up) {
            (Some(receipt), Some(time_up)) => {
                let kept = |stream| self.directory.kept_bytes(stream).unwrap_or(0);
                let kept_bytes = [kept(Stream::Stdout), kept(Stream::Stderr)];
                let drained = Drained { receipt, kept_bytes, lost: None };
                let (status, lingering) = (record.status.clone(), record.lingering.clone());
                let (witness, unready, time_up) = (Witness::Waited, self.unready, Some(time_up));
                let seen = Seen { status, witness, drained, time_up, unready, lingering };
                let outcome = seen.outcome(&self.directory);
                // The shim knows nothing of deadlines of waits: without this a crash now would leave a plain exit.
                if let Outcome::Failed(Failure { kind, message, diagnostics }) = &outcome {
                    let failure = Some((kind.name().to_owned(), message.clone()));
                    self.write(&ExitRecord { failure, diagnostics: diagnostics.clone(), ..record });
                }
                outcome
            }
            (output, _) => match record.failure {
                Some((kind, message)) => {
                    let mut diagnostics = record.diagnostics;
                    if output.is_some() {
                        diagnostics.facts.extend(record.usage.map(usage_facts).unwrap_or_default());
                        diagnostics.facts.extend(self.unready.then(not_ready));
                    }
                    Outcome::Failed(bounded(Failure { kind: recorded_kind(&kind), message, diagnostics }))
                }
                None => exited(record.status, Witness::Waited, output),
            },
        }
    }

    /// The end of an attempt whose shim was killed, and the pid of its process.
    fn killed(&self, noted: Option<ExitRecord>, unended: &Unended, no_record: &str) -> (Outcome, Option<u32>) {
        let container = self.end_container();
        let identity = self.identity();
        if identity.is_none() && self.started.is_none() && (unended.by_itself() || self.is_untouched()) {
            let message = format!("{unended} before anything was executed");
            let failure = Failure { kind: FailureKind::SpawnFailed, message, diagnostics: Diagnostics::default() };
            return (Outcome::Failed(bounded(failure)), None);
        }
        let killed = self.end_group(identity.as_ref());
        let left = left_alone(self.claim.attempt, &killed);
        tracing::warn!(run = %self.claim.run, attempt = %self.claim.attempt, %unended, ?killed, ?left, "a shim was killed");
        shim::forget_requests(&self.directory);
        room::give_back(&self.directory);
        let lost = match (&identity, self.started) {
            (Some(_), _) => "",
            (None, Some(_)) => " and its identity is gone",
            // It may have been killed before it wrote one.
            (None, None) => " and there is no identity",
        };
        let pid = identity.and_then(|identity| identity.process).map_or(self.started, |process| Some(process.pid));
        if let Some(noted) = noted {
            // The status was on disk; what is missing is the rest of the output.
            return (exited(noted.status, Witness::ExitFile, None), pid);
        }
        if let Some(status) = unended.status.clone() {
            // It had seen the exit, and could not write it down: its word is as good, and what is missing is the output.
            self.write_status(status.clone());
            return (exited(status, Witness::Waited, None), pid);
        }
        let mut cause = format!("{unended}{lost}, and {no_record}");
        cause += &container;
        if !killed.is_empty() {
            cause += &format!("; killed of its process group: {}", named(&killed));
        }
        if !left.is_empty() {
            cause += &format!("; alive outside of that group: {}", named(&left));
        }
        (self.unknown(cause), pid)
    }

    /// Kills the members of a group that nobody holds any more: its process if it is exactly the one that was written
    /// down, and all others if the group is the attempt's. Returns their pids.
    fn end_group(&self, identity: Option<&Identity>) -> Vec<u32> {
        let process = identity.and_then(|identity| identity.process.as_ref());
        let Some(leader) = process.map_or(self.started, |process| Some(process.pid)) else { return Vec::new() };
        let Some(mut group) = ProcessGroup::led_by(leader, self.claim.attempt) else { return Vec::new() };
        group.leader_was_reaped();
        let mut members = group.members();
        group.signal(Signal::KILL);
        if process.is_some_and(kill_exactly) && !members.contains(&leader) {
            members.push(leader);
        }
        members
    }

    /// Ends the container, if there is one: it does not end with its shim. Says what became of it.
    fn end_container(&self) -> String {
        match crate::oci::end_left_behind(&self.directory, self.claim.run, self.claim.attempt, &self.workload) {
            Ok(None) => String::new(),
            Ok(Some(state)) => format!("; its container was {state}, and is removed"),
            Err(error) => format!("; its container may go on: {error}"),
        }
    }

    /// A status that nobody saw, on disk as well.
    fn unknown(&self, cause: String) -> Outcome {
        let cause = cut(&cause, limits::MESSAGE_BYTES_MAX).to_owned();
        let status = ExitStatus::Unknown { cause };
        self.write_status(status.clone());
        exited(status, Witness::Synthesised, None)
    }

    /// So that a recovery would record the same.
    fn write_status(&self, status: ExitStatus) {
        self.write(&ExitRecord {
            run: self.claim.run,
            attempt: self.claim.attempt,
            runner: Some(self.claim.runner.clone()),
            status,
            output: None,
            failure: None,
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
            left_out: None,
        });
    }

    /// Without it, only a crash before the report would lose something.
    fn write(&self, record: &ExitRecord) {
        if let Err(error) = record.write(&self.directory) {
            tracing::warn!(%error, "the exit record is not on disk");
        }
    }
}

/// Until the output is drained, a record has the status alone.
const fn is_complete(record: &ExitRecord) -> bool {
    record.output.is_some() || record.failure.is_some()
}

const fn exited(
    status: ExitStatus,
    witness: Witness,
    output: Option<tachograph_engine::domain::OutputReceipt>,
) -> Outcome {
    Outcome::Exited { exit: Exit { status, witness, output }, amended: None }
}

/// For a process that wiped its environment: pid, start and boot tell who it is, too.
fn kill_exactly(process: &ProcessIdentity) -> bool {
    let pid = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    pidfd.is_some_and(|pidfd| process.is_alive() && pidfd_send_signal(&pidfd, Signal::KILL).is_ok())
}

/// Processes of the attempt that left its group.
fn left_alone(attempt: AttemptId, killed: &[u32]) -> Vec<u32> {
    processes_of(attempt).into_iter().filter(|pid| !killed.contains(pid)).collect()
}

fn named(pids: &[u32]) -> String {
    let named: Vec<_> = pids.iter().take(NAMED_MAX).map(|pid| format!("process {pid}")).collect();
    let more = pids.len().saturating_sub(NAMED_MAX);
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn not_ready() -> (String, String) {
    ("ready".to_owned(), "not by its end".to_owned())
}

fn usage_facts(usage: ResourceUsage) -> BTreeMap<String, String> {
    let ResourceUsage { user_us, system_us, resident_bytes_max, major_faults } = usage;
    [
        ("user_us", user_us),
        ("system_us", system_us),
        ("resident_bytes_max", resident_bytes_max),
        ("major_faults", major_faults),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string()))
    .into()
}

/// Within the bounds of an entry: what was read from a file could have any size, and a report that is refused is none.
fn bounded(failure: Failure) -> Failure {
    let text = |text: &str| cut(text, limits::MESSAGE_BYTES_MAX).to_owned();
    let lines = |lines: Vec<String>| lines.iter().take(limits::DIAGNOSTICS_MAX).map(|line| text(line)).collect();
    let Failure { kind, message, diagnostics: Diagnostics { alive, last_output, likely_cause, facts } } = failure;
    let is_name = |name: &str| !name.is_empty() && name.len() <= limits::LABEL_KEY_BYTES_MAX;
    let facts = facts.into_iter().filter(|(name, _)| is_name(name)).take(limits::DIAGNOSTICS_MAX);
    let diagnostics = Diagnostics {
        alive: lines(alive),
        last_output: lines(last_output),
        likely_cause: likely_cause.as_deref().map(text),
        facts: facts.map(|(name, value)| (name, text(&value))).collect(),
    };
    Failure { kind, message: text(&message), diagnostics }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tachograph_engine::domain::testing::ids;
    use tachograph_engine::domain::{Ordinal, RunnerId};

    use super::super::scarcity::testing::{is_alone, without_files_at_first};
    use super::*;

    fn word_in(data: &Path) -> Place {
        let directory = AttemptDirectory::of(data, ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let runner = RunnerId::new("a-shim");
        let claim = Claim { run: ids::run(1), attempt: ids::attempt(1), runner };
        let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: None };
        let place = Place { directory, claim, workload, unready: false, started: None };
        place.write(&ExitRecord {
            run: place.claim.run,
            attempt: place.claim.attempt,
            runner: Some(place.claim.runner.clone()),
            status: ExitStatus::Code(7),
            output: None,
            failure: Some(("timed_out".to_owned(), "told by its shim".to_owned())),
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
            left_out: None,
        });
        place
    }

    #[test]
    fn a_record_is_there_though_it_cannot_be_opened_for_a_while() {
        if !is_alone("process::last_word::tests::a_record_is_there_though_it_cannot_be_opened_for_a_while") {
            return;
        }
        let data = tempfile::tempdir().unwrap();
        let place = word_in(data.path());
        let word = without_files_at_first(|| place.last_word(None, None));
        let told = format!("{:?}", word.outcome);
        assert!(told.contains("told by its shim"), "{told}");
    }
}
