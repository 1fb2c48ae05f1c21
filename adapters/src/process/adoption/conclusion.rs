//! What follows from what is left of an attempt.

use tachograph_engine::domain::{ActorKind, Entry, EntryBody, Event, Run, RunnerId, Status, Workload};

use super::super::exit_record::ExitRecord;
use super::super::identity::ProcessIdentity;
use super::super::runner::is_process_runner;
use super::evidence::{Evidence, Identified, Known, Recorded, pids};

const ANOTHER_BOOT: &str = "the machine was started anew while it was open";

/// What is to become of an open run that no living supervisor holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// It is alive and certainly itself: followed to its end.
    Adopt(Witnessed),
    /// Its end is on disk, in the word of who saw it.
    Record(Box<ExitRecord>),
    /// It is gone, and nobody saw its end.
    Unknown {
        /// Why nobody knows.
        cause: String,
    },
    /// Processes are alive that cannot be verified to be it, or outlived it: never signalled. Nobody saw its own end.
    Orphan {
        /// Their pids.
        alive: Vec<u32>,
        /// Why nobody knows its end.
        cause: String,
    },
    /// The journal does not know that it was started, and the world does: the start is recorded, then concluded again.
    PromoteToStarted,
    /// It was never executed.
    StartAbandoned,
    /// It is somebody else's, or cannot be judged now.
    LeaveAlone {
        /// Why.
        why: String,
    },
}

/// Who will tell the end of an adopted attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witnessed {
    /// Its shim: with status and output.
    ByShim(ProcessIdentity),
    /// Nobody: that it ended will be seen, but not how.
    ByNobody(ProcessIdentity),
}

impl Conclusion {
    /// Stable snake_case name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Adopt(_) => "adopt",
            Self::Record(_) => "record",
            Self::Unknown { .. } => "unknown",
            Self::Orphan { .. } => "orphan",
            Self::PromoteToStarted => "promote_to_started",
            Self::StartAbandoned => "start_abandoned",
            Self::LeaveAlone { .. } => "leave_alone",
        }
    }
}

impl Conclusion {
    /// Of an attempt that was started in another boot: all of it is gone with that, and nobody saw how.
    pub(super) fn of_another_boot() -> Self {
        Self::Unknown { cause: ANOTHER_BOOT.to_owned() }
    }
}

/// Whether opening has to do with this run at all: it is open, and this kind of runner's. `created_here` says so of a
/// run of an image that was never started.
pub(super) fn concerns(run: &Run, created_here: impl FnOnce() -> bool) -> bool {
    match (&run.status, &run.attempt) {
        (Status::Created, None) => !is_unstarted_image(run) || created_here(),
        (Status::Started | Status::Waiting { .. }, Some(attempt)) => is_process_runner(&attempt.runner),
        _ => false,
    }
}

/// Whether a run was created, never started, and is an image: any kind of runner may be about to start such a one. Who
/// created it tells, see [`was_created_here`].
pub fn is_unstarted_image(run: &Run) -> bool {
    matches!((&run.status, &run.attempt), (Status::Created, None))
        && matches!(run.spec.workload, Workload::Image { .. })
}

/// Whether a run was created by a runner of this kind, which starts what it creates: the first entry of its history says
/// who did.
pub fn was_created_here(history: &[Entry]) -> bool {
    let Some(EntryBody::Committed(committed)) = history.first().map(|entry| &entry.body) else { return false };
    let is_created = committed.events.iter().any(|event| matches!(event, Event::Created { .. }));
    let actor = &committed.command.actor;
    is_created && actor.kind == ActorKind::Supervisor && is_process_runner(&RunnerId::from(&*actor.id))
}

/// The one table. The first line that fits counts:
///
/// | what is there | conclusion |
/// | --- | --- |
/// | another living supervisor in the identity | leave alone |
/// | a shim that has not got as far as an identity | leave alone (it is waited for before) |
/// | created, and an identity with a process | promote to started |
/// | created, and something that was executed | unknown |
/// | created, and nothing | start abandoned |
/// | its shim alive | adopt |
/// | its process alive, and it never had a shim | adopt, without a witness |
/// | an exit record of its runner | record |
/// | another boot | unknown |
/// | its process alive, and its shim gone | adopt, without a witness |
/// | something alive with its id, or an identity of another runner with something alive | orphan |
/// | a directory in which nothing ever was, and it never waited | start abandoned |
/// | anything else | unknown |
///
/// What rests on something that is not on disk counts for an attempt of this boot only, see [`ThisBoot`](super::ThisBoot).
pub(super) fn conclude(run: &Run, evidence: &Evidence) -> Conclusion {
    match &evidence.identified {
        Identified::Known(Known { other_supervisor: Some(pid), .. }) => {
            return Conclusion::LeaveAlone { why: format!("its supervisor, pid {pid}, is alive") };
        }
        Identified::Beginning { shim } => {
            return Conclusion::LeaveAlone { why: format!("its shim, pid {shim}, has not begun yet") };
        }
        _ => {}
    }
    match &run.attempt {
        None => created(&evidence.identified),
        Some(attempt) => opened(matches!(run.status, Status::Waiting { .. }), &attempt.runner, evidence),
    }
}

fn created(identified: &Identified) -> Conclusion {
    match identified {
        Identified::Known(known) if known.process.is_some() && is_process_runner(&known.runner) => {
            Conclusion::PromoteToStarted
        }
        Identified::TakenAway { .. } | Identified::Doubtful { .. } => {
            Conclusion::Unknown { cause: cause(None, identified) }
        }
        _ => Conclusion::StartAbandoned,
    }
}

fn opened(has_waited: bool, runner: &RunnerId, evidence: &Evidence) -> Conclusion {
    let known = match &evidence.identified {
        Identified::Known(known) if known.runner == *runner => Some(known),
        _ => None,
    };
    // A living witness goes before any file: its own record counts once it is gone, and what lies there while it lives
    // may be somebody else's.
    if let Some((shim, true)) = known.and_then(|known| known.shim.as_ref()) {
        return Conclusion::Adopt(Witnessed::ByShim(shim.clone()));
    }
    // Without a shim the process itself is that witness: nobody but its supervisor could have seen it end, and it has not.
    if let Some(Known { shim: None, process: Some((process, true)), .. }) = known {
        return Conclusion::Adopt(Witnessed::ByNobody(process.clone()));
    }
    if let Recorded::Complete(record) | Recorded::Noted(record) = &evidence.recorded {
        return Conclusion::Record(record.clone());
    }
    let cause = cause(known, &evidence.identified) + &rest(evidence);
    if known.is_some_and(|known| !known.this_boot) {
        return Conclusion::Unknown { cause };
    }
    if let Some((process, true)) = known.and_then(|known| known.process.as_ref()) {
        return Conclusion::Adopt(Witnessed::ByNobody(process.clone()));
    }
    let alive = unverified(known, evidence);
    if !alive.is_empty() {
        let cause = format!("{cause}; left of it, or not certainly it: {}", pids(&alive));
        return Conclusion::Orphan { alive, cause };
    }
    match evidence.identified {
        Identified::NotBegun if !has_waited => Conclusion::StartAbandoned,
        _ => Conclusion::Unknown { cause },
    }
}

/// What is alive and cannot be taken for the attempt's own process.
fn unverified(known: Option<&Known>, evidence: &Evidence) -> Vec<u32> {
    let mut alive = evidence.strays.clone();
    if let (None, Identified::Known(foreign)) = (known, &evidence.identified) {
        alive.extend(foreign.shim.iter().filter(|_| foreign.shim_alive()).map(|(shim, _)| shim.pid));
        alive.extend(foreign.process.iter().filter(|_| foreign.process_alive()).map(|(process, _)| process.pid));
    }
    alive.sort_unstable();
    alive.dedup();
    alive
}

/// What opening ends of it, for those who ask before.
fn rest(evidence: &Evidence) -> String {
    if evidence.rest.is_empty() {
        return String::new();
    }
    format!("; left of its process group, and to be ended: {}", pids(&evidence.rest))
}

/// Of the end of a process that was followed by somebody who could not see how it ended.
pub(super) fn cause_of_unwitnessed() -> String {
    "its supervisor went away, and nobody saw its end".to_owned()
}

fn cause(known: Option<&Known>, identified: &Identified) -> String {
    let text = match (known, identified) {
        (Some(known), _) if !known.this_boot => ANOTHER_BOOT,
        (Some(Known { shim: Some(_), .. }), _) => "its shim is gone without a record of the exit: it was killed",
        (Some(Known { process: Some(_), .. }), _) => "its supervisor went away, and nobody saw its end",
        (Some(Known { process: None, .. }), _) => "its supervisor went away about the time of the spawn",
        (None, Identified::Known(_)) => "the identity on disk is another runner's",
        (None, Identified::Doubtful { .. }) => "its supervisor went away, and its identity on disk does not count",
        (None, Identified::TakenAway { .. }) => {
            "its supervisor went away, and there is no identity in its directory: it may have been executed"
        }
        (None, Identified::NotBegun | Identified::NoDirectory | Identified::Beginning { .. }) => {
            "its supervisor went away, and nothing on disk tells what became of it"
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tachograph_engine::domain::testing::ids;
    use tachograph_engine::domain::{
        Attempt, Diagnostics, Digest, Drain, ExitStatus, Ordinal, OutputReceipt, RunSpec, StartCause, StreamReceipt,
        Version,
    };

    use super::*;

    const HOLDER: &str = "process/host/1/former";

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Journal {
        Created,
        Started,
        Waiting,
    }

    fn run(journal: Journal) -> Run {
        let attempt = Attempt {
            id: ids::attempt(1),
            ordinal: Ordinal(1),
            runner: RunnerId::from(HOLDER),
            cause: StartCause::Fresh,
            started: true,
            connected: true,
            outcome: None,
        };
        let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: None };
        Run {
            id: ids::run(1),
            version: Version(2),
            spec: Arc::new(RunSpec { workload, ..RunSpec::default() }),
            status: match journal {
                Journal::Created => Status::Created,
                Journal::Started => Status::Started,
                Journal::Waiting => Status::Waiting { on: "it".to_owned(), deadline: None },
            },
            attempt: (journal != Journal::Created).then_some(attempt),
            spent: Vec::new(),
            spent_snapshots: Vec::new(),
            armed: None,
            in_flight: None,
        }
    }

    fn record(complete: bool) -> Box<ExitRecord> {
        let stream = StreamReceipt { bytes: 1, digest: Digest::ZERO };
        let output = complete.then_some(OutputReceipt { stdout: stream, stderr: stream, drain: Drain::Drained });
        Box::new(ExitRecord {
            run: ids::run(1),
            attempt: ids::attempt(1),
            runner: Some(RunnerId::from(HOLDER)),
            status: ExitStatus::Code(7),
            output,
            failure: None,
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
            left_out: None,
        })
    }

    fn process(pid: u32) -> ProcessIdentity {
        ProcessIdentity { pid, start_ticks: 1, boot_id: "boot".to_owned() }
    }

    /// Every combination of what can be there.
    fn all_evidence() -> Vec<Evidence> {
        let life = |pid| [None, Some((process(pid), false)), Some((process(pid), true))];
        let mut identified = vec![
            Identified::NoDirectory,
            Identified::NotBegun,
            Identified::Beginning { shim: 9 },
            Identified::Doubtful { why: "damaged".to_owned() },
            Identified::TakenAway { traces: "stdout without an identity".to_owned() },
        ];
        for runner in [HOLDER, "process/host/2/foreign"] {
            for other_supervisor in [None, Some(5)] {
                for this_boot in [true, false] {
                    for (shim, process) in
                        life(20).into_iter().flat_map(|s| life(30).into_iter().map(move |p| (s.clone(), p)))
                    {
                        // Nothing of another boot is alive.
                        let lives = |of: &Option<(ProcessIdentity, bool)>| matches!(of, Some((_, true)));
                        if !this_boot && (lives(&shim) || lives(&process) || other_supervisor.is_some()) {
                            continue;
                        }
                        let runner = RunnerId::from(runner);
                        let attempt = ids::attempt(1);
                        let without_file = None;
                        let known = Known { attempt, runner, other_supervisor, this_boot, shim, process, without_file };
                        identified.push(Identified::Known(known));
                    }
                }
            }
        }
        let recorded =
            [Recorded::Nothing("absent".to_owned()), Recorded::Noted(record(false)), Recorded::Complete(record(true))];
        let mut all = Vec::new();
        for identified in identified {
            for recorded in recorded.clone() {
                for strays in [vec![], vec![40]] {
                    let (identified, recorded) = (identified.clone(), recorded.clone());
                    all.push(Evidence {
                        identified,
                        recorded,
                        rest: Vec::new(),
                        strays,
                        output_bytes: [None; 2],
                        last_output: Vec::new(),
                    });
                }
            }
        }
        all
    }

    /// What must hold of a conclusion, said without the order of the table.
    #[track_caller]
    fn check(journal: Journal, evidence: &Evidence, conclusion: &Conclusion) {
        let known = match &evidence.identified {
            Identified::Known(known) => Some(known),
            _ => None,
        };
        let own = known.filter(|known| known.runner.as_str() == HOLDER);
        let held = known.is_some_and(|known| known.other_supervisor.is_some());
        let case = format!("{journal:?} {evidence:?} {conclusion:?}");
        assert_eq!(
            matches!(conclusion, Conclusion::LeaveAlone { .. }),
            held || matches!(evidence.identified, Identified::Beginning { .. }),
            "{case}"
        );
        match conclusion {
            Conclusion::LeaveAlone { .. } => {}
            Conclusion::Adopt(Witnessed::ByShim(shim)) => {
                assert_eq!((shim.pid, own.map(Known::shim_alive)), (20, Some(true)), "{case}");
            }
            Conclusion::Adopt(Witnessed::ByNobody(process)) => {
                assert_eq!((process.pid, own.map(Known::process_alive)), (30, Some(true)), "{case}");
                let has_file = !matches!(evidence.recorded, Recorded::Nothing(_));
                let has_shim = own.unwrap().shim.is_some();
                assert!(!own.unwrap().shim_alive() && (!has_file || !has_shim), "{case}");
            }
            Conclusion::Record(record) => {
                let (Recorded::Noted(there) | Recorded::Complete(there)) = &evidence.recorded else { panic!("{case}") };
                assert_eq!(record, there);
                assert!(!own.is_some_and(|own| own.shim.is_none() && own.process_alive()), "{case}");
            }
            Conclusion::Orphan { alive, cause } => {
                assert!(
                    !alive.is_empty() && alive.iter().all(|pid| cause.contains(&format!("process {pid}"))),
                    "{case}"
                );
                assert!(own.is_none_or(|own| !own.shim_alive() && !own.process_alive() && own.this_boot), "{case}");
            }
            Conclusion::Unknown { cause } if journal == Journal::Created => assert!(!cause.is_empty(), "{case}"),
            Conclusion::Unknown { cause } => {
                assert!(!cause.is_empty() && matches!(evidence.recorded, Recorded::Nothing(_)), "{case}");
                assert!(known.is_none_or(|known| !known.shim_alive() && !known.process_alive()), "{case}");
            }
            Conclusion::PromoteToStarted => {
                assert!(journal == Journal::Created && known.is_some_and(|known| known.process.is_some()), "{case}");
            }
            Conclusion::StartAbandoned if journal == Journal::Created => {
                assert!(!matches!(evidence.identified, Identified::TakenAway { .. } | Identified::Doubtful { .. }));
                assert!(known.is_none_or(|known| known.process.is_none()), "{case}");
            }
            Conclusion::StartAbandoned => {
                assert_eq!((journal, &evidence.identified), (Journal::Started, &Identified::NotBegun), "{case}");
            }
        }
    }

    #[test]
    fn every_combination_is_concluded_within_its_bounds() {
        let mut names = std::collections::BTreeSet::new();
        for journal in [Journal::Created, Journal::Started, Journal::Waiting] {
            for evidence in all_evidence() {
                let conclusion = conclude(&run(journal), &evidence);
                check(journal, &evidence, &conclusion);
                names.insert(conclusion.name());
            }
        }
        assert_eq!(names.len(), 7, "{names:?}");
    }

    #[test]
    fn the_lines_of_the_table_in_their_order() {
        let known = |shim: Option<bool>, process: Option<bool>| {
            Identified::Known(Known {
                attempt: ids::attempt(1),
                runner: RunnerId::from(HOLDER),
                other_supervisor: None,
                this_boot: true,
                shim: shim.map(|alive| (super::tests::process(20), alive)),
                process: process.map(|alive| (super::tests::process(30), alive)),
                without_file: None,
            })
        };
        let nothing = || Recorded::Nothing("absent".to_owned());
        let name = |journal, identified: &Identified, recorded: Recorded, strays: &[u32]| {
            let (identified, strays) = (identified.clone(), strays.to_vec());
            let rest = Vec::new();
            let evidence =
                Evidence { identified, recorded, rest, strays, output_bytes: [None; 2], last_output: Vec::new() };
            conclude(&run(journal), &evidence).name()
        };
        use Journal::{Created, Started, Waiting};
        let alive = known(Some(true), Some(true));
        assert_eq!(name(Started, &alive, nothing(), &[]), "adopt");
        assert_eq!(name(Started, &alive, Recorded::Noted(record(false)), &[]), "adopt", "its output is still to come");
        let claimed = name(Started, &alive, Recorded::Complete(record(true)), &[]);
        assert_eq!(claimed, "adopt", "a file is no word of a shim that lives");
        assert_eq!(name(Created, &alive, nothing(), &[]), "promote_to_started");
        let killed = known(Some(false), Some(false));
        assert_eq!(name(Started, &killed, nothing(), &[]), "unknown");
        assert_eq!(name(Started, &killed, Recorded::Complete(record(true)), &[]), "record");
        assert_eq!(name(Started, &killed, nothing(), &[40]), "orphan");
        assert_eq!(name(Started, &killed, Recorded::Noted(record(false)), &[40]), "record");
        let plain = known(None, Some(true));
        assert_eq!(name(Waiting, &plain, nothing(), &[]), "adopt");
        for claim in [Recorded::Noted(record(false)), Recorded::Complete(record(true))] {
            assert_eq!(name(Started, &plain, claim, &[]), "adopt", "a file is no word of a process that lives");
        }
        assert_eq!(name(Started, &known(None, None), nothing(), &[]), "unknown", "it may have been spawned");
        assert_eq!(name(Started, &known(None, None), nothing(), &[40]), "orphan");
        assert_eq!(name(Created, &known(None, None), nothing(), &[]), "start_abandoned");
        assert_eq!(name(Started, &Identified::NotBegun, nothing(), &[]), "start_abandoned");
        assert_eq!(name(Waiting, &Identified::NotBegun, nothing(), &[]), "unknown", "it did speak");
        let taken_away = Identified::TakenAway { traces: "stdout without an identity".to_owned() };
        for journal in [Created, Started, Waiting] {
            assert_eq!(name(journal, &taken_away, nothing(), &[]), "unknown", "the run may have taken it away");
        }
        assert_eq!(name(Started, &taken_away, nothing(), &[40]), "orphan");
        assert_eq!(name(Started, &Identified::NoDirectory, nothing(), &[]), "unknown");
        assert_eq!(name(Created, &Identified::NoDirectory, nothing(), &[]), "start_abandoned");
        assert_eq!(name(Started, &Identified::Beginning { shim: 9 }, nothing(), &[]), "leave_alone");
    }
}
