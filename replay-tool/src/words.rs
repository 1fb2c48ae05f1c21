//! What happened, in words for people: one line each, without the time and the actor.

mod told;

use tachograph_adapters::process::{Conclusion, Witnessed};
use tachograph_engine::domain::{
    Action, Actor, CancelCause, Drain, Event, EventName, Exit, ExitStatus, Failure, Guard, OutputReceipt,
    RefusedCommand, ResourceLimits, RunId, RunSpec, Session, SnapshotId, StartCause, StartMode, SystemFact, Timestamp,
    Workload,
};

pub use self::told::{
    ALIGNED_BY_STRETCHES, CHANGED_NOTHING, NEVER_CREATED, again, archived, away, late_because, missing, opened,
    overdue_us, refused_so_often, remedy, still_open, why_refused,
};

use crate::duration;
use crate::machine::{LastWriter, WriterState};
use crate::signal;

/// So many microseconds after its due time something counts as late: what is below is the work of a busy machine.
const LATE_US_MIN: i64 = 1_000_000;
/// Characters of a ULID.
const ULID_CHARS: usize = 26;
/// Characters of a ULID's random end that tell actors apart in a column.
const ULID_END_CHARS: usize = 6;

/// What stands beside an event and tells more about it than the event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside<'a> {
    /// The events of the same entry.
    pub events: &'a [Event],
    /// When the command behind it was issued.
    pub issued_at: Option<Timestamp>,
    /// How long after its due time it came, in microseconds.
    pub late_us: Option<i64>,
    /// What bounds its run; absent where the event is looked at alone.
    pub limits: Option<&'a ResourceLimits>,
}

impl Beside<'_> {
    fn transition(&self) -> Option<EventName> {
        self.events.iter().find(|event| event.leads_to().is_some()).map(Event::name)
    }

    fn armed(&self) -> Option<SnapshotId> {
        self.events.iter().find_map(|event| match event {
            Event::SnapshotScheduled { snapshot, .. } => Some(*snapshot),
            _ => None,
        })
    }
}

/// An event, with what stands beside it.
pub fn event(event: &Event, beside: Beside<'_>) -> String {
    match event {
        Event::Created { run: _, spec } => format!("created: {}", workload(&spec.workload)),
        Event::Started { attempt: _, ordinal, runner, cause, previous: _ } => {
            format!("attempt {ordinal} {} runner {runner}", start_words(*cause))
        }
        Event::Waiting { attempt: _, on, deadline } => format!("waits on {on}{}", until(*deadline)),
        Event::Exited { attempt: _, exit } => exited(exit, beside.limits),
        Event::Failed { attempt: _, ordinal, runner: _, failure } => {
            format!("attempt {ordinal} failed: {}", failed(failure))
        }
        Event::Destroyed { why, forced } => format!("destroyed{}: {why}", if *forced { " by force" } else { "" }),
        Event::SnapshotScheduled { snapshot, runner, due } => {
            let after = beside.issued_at.map(|issued_at| delay(due.as_micros() - issued_at.as_micros()));
            format!("snapshot {snapshot} armed by runner {runner}, due {due}{}", after.unwrap_or_default())
        }
        Event::SnapshotCanceled { snapshot, cause } => {
            format!("snapshot {snapshot} canceled: {}", canceled(cause, beside.transition(), beside.armed()))
        }
        Event::SnapshotDispatched { snapshot } => format!("snapshot {snapshot} is being taken{}", late(beside.late_us)),
        Event::SnapshotTaken { snapshot, location, bytes, digest: _ } => {
            format!("snapshot {snapshot} taken: {bytes} bytes in {location}")
        }
        Event::SnapshotFailed { snapshot, message } => format!("snapshot {snapshot} failed: {message}"),
        Event::RunnerDisconnected { attempt: _, runner } => format!("connection to runner {runner} lost"),
        Event::ExitAmended { attempt: _, status, source } => {
            format!("unknown exit amended to {}, from {source}", exit_status(status))
        }
        Event::Reconciled { attempt: _, finding, detail } => format!("recovery found it {}: {detail}", finding.name()),
    }
}

/// What a command asked or reported.
pub fn action(action: &Action) -> String {
    match action {
        Action::Create { spec } => format!("create {}", created_as(spec)),
        Action::Start { attempt, runner, mode } => {
            let mode = match mode {
                StartMode::Fresh => "start".to_owned(),
                StartMode::Resume { previous } => format!("resume after attempt {previous}:"),
                StartMode::Restart { previous } => format!("restart after attempt {previous}:"),
                StartMode::Takeover { expected } => format!("take over attempt {expected}:"),
            };
            format!("{mode} attempt {attempt} on runner {runner}")
        }
        Action::Wait { claim, on, deadline } => {
            format!("attempt {} waits on {on}{}", claim.attempt, until(*deadline))
        }
        Action::Exit { claim, exit } => format!("attempt {} {}", claim.attempt, exited(exit, None)),
        Action::Fail { claim, failure } => format!("attempt {} failed: {}", claim.attempt, failed(failure)),
        Action::Destroy { force, why } => format!("destroy{}: {why}", if *force { " by force" } else { "" }),
        Action::ScheduleSnapshot { claim, snapshot, due } => {
            format!("arm snapshot {snapshot} of attempt {}, due {due}", claim.attempt)
        }
        Action::CancelSnapshot { guard: Guard::Runner(runner) } => format!("cancel the snapshot of runner {runner}"),
        Action::CancelSnapshot { guard: Guard::Unconditional } => "cancel the snapshot, whoever armed it".to_owned(),
        Action::DispatchSnapshot { snapshot } => format!("take snapshot {snapshot}"),
        Action::CompleteSnapshot { snapshot, location, bytes, digest: _ } => {
            format!("snapshot {snapshot} taken: {bytes} bytes in {location}")
        }
        Action::FailSnapshot { snapshot, message } => format!("snapshot {snapshot} failed: {message}"),
        Action::DisconnectRunner { claim } => {
            format!("connection to runner {} of attempt {} lost", claim.runner, claim.attempt)
        }
        Action::AmendExit { attempt, status, source } => {
            format!("amend the exit of attempt {attempt} to {}, from {source}", exit_status(status))
        }
        Action::Reconcile { attempt, finding, detail } => {
            format!("recovery found attempt {attempt} {}: {detail}", finding.name())
        }
    }
}

/// What a refused command asked or reported, as far as it was kept.
pub fn refused_command(command: &RefusedCommand) -> String {
    match command {
        RefusedCommand::Whole(command) => action(&command.action),
        RefusedCommand::OutOfBounds { action, .. } => {
            format!("{} (out of bounds, its content was not kept)", action.name())
        }
    }
}

/// An actor; of a ULID at the end of its id only the end, which tells it from others of the same place.
pub fn actor(actor: &Actor) -> String {
    let text = actor.to_string();
    let at = text.len().saturating_sub(ULID_CHARS);
    match text.split_at_checked(at) {
        Some((start, ulid)) if ulid.parse::<RunId>().is_ok() => {
            format!("{start}…{}", &ulid[ULID_CHARS - ULID_END_CHARS..])
        }
        _ => text,
    }
}

/// A fact about the journal and its writer.
pub fn system(fact: &SystemFact) -> String {
    match fact {
        SystemFact::Opened(session) => format!("journal opened by {}", writer(session)),
        SystemFact::Recovered { torn, missing_up_to, open_runs } => {
            let mut text = format!("the writer before did not close the journal; runs open then: {open_runs}");
            if let Some(torn) = torn {
                let (bytes, file, offset) = (torn.bytes, &torn.file, torn.offset);
                text.push_str(&format!("; {bytes} bytes of an incomplete write were cut off {file} at {offset}"));
            }
            if let Some((position, _)) = missing_up_to {
                text.push_str(&format!("; ACKNOWLEDGED ENTRIES UP TO POSITION {position} ARE MISSING"));
            }
            text
        }
        SystemFact::Closed(session) => format!("journal closed by {}", writer(session)),
    }
}

/// Whether the last writer can still record what becomes of open runs.
pub fn last_writer(last: &LastWriter, state: WriterState) -> String {
    let Session { pid, host, .. } = &last.session;
    match state {
        WriterState::Gone if last.has_closed => format!("pid {pid}, is gone: it closed the journal"),
        WriterState::Gone => format!("pid {pid}, is gone"),
        WriterState::Alive => format!("pid {pid}, is alive"),
        WriterState::Unknown => format!("pid {pid} on {host}, is of another host or boot: unknown whether it is alive"),
    }
}

/// What opening would make of a run.
pub fn concluded(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Adopt(Witnessed::ByShim(shim)) => format!("adopted: its shim, pid {}, is alive", shim.pid),
        Conclusion::Adopt(Witnessed::ByNobody(process)) => {
            format!("adopted: its process, pid {}, is alive; nobody will see its status", process.pid)
        }
        Conclusion::Record(record) => match &record.failure {
            Some((kind, message)) => format!("recorded: failed: {kind}: {message}"),
            None => format!("recorded: {}", record.status),
        },
        Conclusion::Unknown { cause } => format!("recorded: unknown: {cause}"),
        Conclusion::Orphan { cause, .. } => format!("recorded: unknown, with an orphan: {cause}"),
        Conclusion::PromoteToStarted => "recorded as started, then judged as such".to_owned(),
        Conclusion::StartAbandoned => "recorded: failed: it was never executed".to_owned(),
        Conclusion::LeaveAlone { why } => format!("left alone: {why}"),
    }
}

/// Why opening would conclude that, where it is not plain.
pub fn why_concluded(conclusion: &Conclusion) -> Option<String> {
    match conclusion {
        Conclusion::Unknown { cause } | Conclusion::Orphan { cause, .. } => Some(cause.clone()),
        Conclusion::LeaveAlone { why } => Some(why.clone()),
        Conclusion::Record(record) => record.failure.as_ref().map(|(kind, message)| format!("{kind}: {message}")),
        Conclusion::Adopt(_) | Conclusion::PromoteToStarted | Conclusion::StartAbandoned => None,
    }
}

/// A command line or an image, as a shell would show it.
pub fn workload(workload: &Workload) -> String {
    match workload {
        Workload::Command { argv, cwd: None } => command_line(argv),
        Workload::Command { argv, cwd: Some(cwd) } => format!("{} (in {cwd})", command_line(argv)),
        Workload::Image { reference, argv } if argv.is_empty() => format!("image {reference}"),
        Workload::Image { reference, argv } => format!("image {reference}: {}", command_line(argv)),
    }
}

/// Arguments with single quotes where a shell would need them.
pub fn command_line(argv: &[String]) -> String {
    let plain = |char: char| char.is_alphanumeric() || "-_./:=,+@%".contains(char);
    let quoted = argv.iter().map(|argument| {
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// An exit status: `code 7`, `signal 9 (KILL)`, `unknown (why)`.
pub fn exit_status(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Signal(number) => match signal::name(*number) {
            Some(name) => format!("signal {number} ({name})"),
            None => status.to_string(),
        },
        ExitStatus::Code(_) | ExitStatus::Unknown { .. } => status.to_string(),
    }
}

/// What came on both streams, whether that is all, and whether all of it was kept. Where the limits of the run are not
/// known, nothing says that it is complete.
pub fn output(receipt: &OutputReceipt, limits: Option<&ResourceLimits>) -> String {
    let came = format!("{} bytes stdout, {} bytes stderr", receipt.stdout.bytes, receipt.stderr.bytes);
    let left_out = limits.and_then(|limits| left_out(receipt, limits));
    match (&receipt.drain, left_out) {
        (Drain::Drained, Some(left_out)) => format!("{came}; drained, and {left_out}"),
        (Drain::Drained, None) if limits.is_some() => format!("{came}, complete"),
        (Drain::Drained, None) => format!("{came}, drained"),
        (Drain::DrainTimedOut { waited_ms, open }, left_out) => {
            let open: Vec<&str> = open.iter().map(|stream| stream.name()).collect();
            let (open, left_out) = (open.join(" and "), left_out.map(|left_out| format!("; and {left_out}")));
            let left_out = left_out.unwrap_or_default();
            format!("{came}, NOT COMPLETE: {open} still open {waited_ms} ms after the exit{left_out}")
        }
    }
}

/// What of it was not kept, if the run's limit left something out.
fn left_out(receipt: &OutputReceipt, limits: &ResourceLimits) -> Option<String> {
    let bytes = Some(receipt.left_out_at_least(limits)).filter(|bytes| *bytes > 0)?;
    Some(format!("at least {bytes} bytes of it left out by the limit of {}", limits.output_bytes?))
}

/// A failure's kind and message.
pub fn failed(failure: &Failure) -> String {
    format!("{}: {}", failure.kind.name(), failure.message)
}

fn exited(exit: &Exit, limits: Option<&ResourceLimits>) -> String {
    let output = exit.output.as_ref().map(|receipt| format!("; {}", output(receipt, limits))).unwrap_or_default();
    format!("exited with {}, {}{output}", exit_status(&exit.status), exit.witness.name().replace('_', " "))
}

fn start_words(cause: StartCause) -> &'static str {
    match cause {
        StartCause::Fresh => "started on",
        StartCause::Resume => "resumed on",
        StartCause::Restart => "started once more on",
        StartCause::Takeover => "started: run taken over by",
    }
}

/// Why a snapshot was canceled, as far as is known with the transition or the snapshot that took its place.
pub fn canceled(cause: &CancelCause, transition: Option<EventName>, replaced_by: Option<SnapshotId>) -> String {
    match cause {
        CancelCause::Asked(Guard::Runner(runner)) => format!("runner {runner} asked for it"),
        CancelCause::Asked(Guard::Unconditional) => "asked for, unconditionally".to_owned(),
        CancelCause::RunEnded => match transition {
            Some(EventName::Exited) => "the run exited".to_owned(),
            Some(EventName::Failed) => "the run failed".to_owned(),
            _ => "the run ended".to_owned(),
        },
        CancelCause::RunnerDisconnected => "its runner was disconnected".to_owned(),
        CancelCause::Superseded => match replaced_by {
            Some(snapshot) => format!("snapshot {snapshot} was armed in its place"),
            None => "another was armed in its place".to_owned(),
        },
        CancelCause::Resumed => "the run went on".to_owned(),
        CancelCause::TakenOver => "the run was taken over".to_owned(),
        CancelCause::Destroyed => "the run was destroyed".to_owned(),
    }
}

fn created_as(spec: &RunSpec) -> String {
    let workload = workload(&spec.workload);
    spec.name.as_ref().map_or_else(|| workload.clone(), |name| format!("{name:?}: {workload}"))
}

fn until(deadline: Option<Timestamp>) -> String {
    deadline.map(|time| format!(", until {time} at most")).unwrap_or_default()
}

/// How long after its arming a snapshot is due, given in microseconds.
pub fn delay(micros: i64) -> String {
    match u64::try_from(micros) {
        Ok(0) => ", at once".to_owned(),
        Ok(micros) => format!(", {} later", duration::human(micros)),
        Err(_) => String::new(),
    }
}

/// How late something was, if that is worth a word.
pub fn late(late_us: Option<i64>) -> String {
    let micros = late_us.filter(|_| is_late(late_us)).and_then(|micros| u64::try_from(micros).ok());
    micros.map(|micros| format!(", {} after it was due", duration::human(micros))).unwrap_or_default()
}

/// Whether something that came so many microseconds after it was due is worth a word.
pub fn is_late(late_us: Option<i64>) -> bool {
    late_us.is_some_and(|micros| micros > LATE_US_MIN)
}

/// Who wrote a journal.
pub fn writer(session: &Session) -> String {
    format!("pid {} on {}, version {}", session.pid, session.host, session.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_engine::domain::{ActorKind, Digest, Stream, StreamReceipt};

    #[test]
    fn command_lines_are_quoted_as_a_shell_needs_it() {
        let argv = |words: &[&str]| command_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(argv(&["make", "-j2", "CC=gcc"]), "make -j2 CC=gcc");
        assert_eq!(argv(&["sh", "-c", "echo 'a' $HOME", ""]), r"sh -c 'echo '\''a'\'' $HOME' ''");
    }

    #[test]
    fn actors_are_short_and_told_apart() {
        let shown = |id: &str| actor(&Actor::new(ActorKind::Runner, id));
        assert_eq!(shown("process/vm/7/01M808WVNNH7WJSPW7J5SMXKHW"), "runner:process/vm/7/…SMXKHW");
        assert_eq!(shown("r1"), "runner:r1");
        assert_eq!(shown("äöüäöüäöüäöüäöüäöüäöü"), "runner:äöüäöüäöüäöüäöüäöüäöü");
    }

    #[test]
    fn output_is_complete_only_if_it_is_drained_and_no_limit_left_something_out() {
        let stream = |bytes| StreamReceipt { bytes, digest: Digest::ZERO };
        let told = |drain: Drain, limits: Option<Option<u64>>| {
            let limits = limits.map(|output_bytes| ResourceLimits { output_bytes, ..ResourceLimits::default() });
            output(&OutputReceipt { stdout: stream(900), stderr: stream(101), drain }, limits.as_ref())
        };
        let came = "900 bytes stdout, 101 bytes stderr";
        assert_eq!(told(Drain::Drained, Some(None)), format!("{came}, complete"));
        assert_eq!(told(Drain::Drained, Some(Some(1_001))), format!("{came}, complete"), "all that came fits");
        assert_eq!(told(Drain::Drained, None), format!("{came}, drained"), "nobody said what may be kept");
        let cut = |bytes, limit| format!("at least {bytes} bytes of it left out by the limit of {limit}");
        assert_eq!(told(Drain::Drained, Some(Some(1_000))), format!("{came}; drained, and {}", cut(1, 1_000)));
        assert_eq!(told(Drain::Drained, Some(Some(0))), format!("{came}; drained, and {}", cut(1_001, 0)));
        let timed_out = || Drain::DrainTimedOut { waited_ms: 5, open: vec![Stream::Stderr] };
        let open = format!("{came}, NOT COMPLETE: stderr still open 5 ms after the exit");
        assert_eq!([told(timed_out(), None), told(timed_out(), Some(Some(1_001)))], [open.clone(), open.clone()]);
        assert_eq!(told(timed_out(), Some(Some(600))), format!("{open}; and {}", cut(401, 600)));
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(exit_status(&ExitStatus::Signal(9)), "signal 9 (KILL)");
        assert_eq!(exit_status(&ExitStatus::Signal(64)), "signal 64");
        assert_eq!(exit_status(&ExitStatus::Unknown { cause: "why".into() }), "unknown (why)");
    }
}
