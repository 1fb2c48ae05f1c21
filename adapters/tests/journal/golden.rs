//! Format 1 is what `docs/format.md` says, for ever: a journal with every kind of entry is read from files kept in this
//! repository, and written again byte by byte.
//!
//! After a deliberate change of the format, which is a new version with a fixture of its own, the files are made with
//! `TACHO_WRITE_FIXTURE=1 cargo test -p tachograph-adapters --test journal golden`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::journal::simulated::SimulatedDisk;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, Severity, verify};
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    Action, ActionName, Actor, ActorKind, Claim, Diagnostics, Digest, Drain, EntryBody, Exit, ExitStatus, Failure,
    FailureKind, Finding, Guard, Outcome, OutputReceipt, Position, Refusal, Refused, RefusedCommand, ResourceLimits,
    RunId, RunSpec, RunnerId, StartMode, StatusName, Stream, StreamReceipt, SystemFact, TornTail, Version, Witness,
    Workload,
};
use tachograph_engine::ports::{Draft, Journal, JournalReader};

use crate::support::{Script, at, options, session, wait};

const DATA: &str = "/data";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

fn claim(run: RunId, attempt: u64, runner: &str) -> Claim {
    Claim { run, attempt: ids::attempt(attempt), runner: RunnerId::from(runner) }
}

fn start(attempt: u64, runner: &str, mode: StartMode) -> Action {
    Action::Start { attempt: ids::attempt(attempt), runner: RunnerId::from(runner), mode }
}

/// A run with everything that one can have, up to its tombstone.
fn full_life(script: &mut Script) -> Vec<Draft> {
    let run = ids::run(1);
    let labels = BTreeMap::from([("env".to_owned(), "ci".to_owned()), ("team".to_owned(), "ñ".to_owned())]);
    let workload = Workload::Command {
        argv: vec!["sh".to_owned(), "-c".to_owned(), "exit 7".to_owned()],
        cwd: Some("/srv".to_owned()),
    };
    let limits = ResourceLimits { wall_ms: Some(60_000), memory_bytes: Some(1 << 40), output_bytes: Some(250) };
    let spec = RunSpec { name: Some("build".to_owned()), labels, workload, limits, parent: None };
    let digest = |byte| Digest([byte; 32]);
    let output = OutputReceipt {
        stdout: StreamReceipt { bytes: 18_900_000, digest: digest(1) },
        stderr: StreamReceipt { bytes: 0, digest: digest(2) },
        drain: Drain::DrainTimedOut { waited_ms: 5_000, open: vec![Stream::Stdout, Stream::Stderr] },
    };
    let unknown = ExitStatus::Unknown { cause: "nobody waited".to_owned() };
    let exit = Exit { status: unknown, witness: Witness::Synthesised, output: Some(output) };
    let failure = Failure {
        kind: FailureKind::Other("shim_gone".to_owned()),
        message: "timeout 30s".to_owned(),
        diagnostics: Diagnostics {
            alive: vec!["process group 4711".to_owned()],
            last_output: vec!["booting".to_owned()],
            likely_cause: Some("disk full".to_owned()),
            facts: BTreeMap::from([("console_bytes".to_owned(), "512".to_owned())]),
        },
    };
    let arm = |snapshot, runner| Action::ScheduleSnapshot {
        claim: claim(run, if runner == "r1" { 1 } else { 2 }, runner),
        snapshot: ids::snapshot(snapshot),
        due: at(30),
    };
    let actions = [
        Action::Create { spec: Arc::new(spec) },
        start(1, "r1", StartMode::Fresh),
        Action::Wait { claim: claim(run, 1, "r1"), on: "approval".to_owned(), deadline: Some(at(100)) },
        arm(1, "r1"),
        arm(2, "r1"),
        Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from("r1")) },
        arm(3, "r1"),
        Action::CancelSnapshot { guard: Guard::Unconditional },
        start(2, "r2", StartMode::Resume { previous: ids::attempt(1) }),
        start(3, "r3", StartMode::Takeover { expected: ids::attempt(2) }),
        Action::DisconnectRunner { claim: claim(run, 3, "r3") },
        Action::Reconcile { attempt: ids::attempt(3), finding: Finding::Lost, detail: "no process".to_owned() },
        Action::Exit { claim: claim(run, 3, "r3"), exit },
        Action::AmendExit { attempt: ids::attempt(3), status: ExitStatus::Signal(9), source: "exit.json".to_owned() },
        start(4, "r4", StartMode::Restart { previous: ids::attempt(3) }),
        Action::Fail { claim: claim(run, 4, "r4"), failure },
        Action::Destroy { force: false, why: "done".to_owned() },
    ];
    actions.into_iter().map(|action| script.draft(run, action)).collect()
}

/// A run from an image whose snapshots are dispatched, one taken and one not.
fn snapshots(script: &mut Script) -> Vec<Draft> {
    let run = ids::run(2);
    let workload = Workload::Image { reference: "alpine:3".to_owned(), argv: vec!["true".to_owned()] };
    let spec = RunSpec { workload, parent: Some(ids::run(1)), ..RunSpec::default() };
    let arm = |snapshot, due| Action::ScheduleSnapshot {
        claim: claim(run, 5, "vm-1"),
        snapshot: ids::snapshot(snapshot),
        due: at(due),
    };
    let wait = Action::Wait { claim: claim(run, 5, "vm-1"), on: "timer".to_owned(), deadline: None };
    let actions = [
        Action::Create { spec: Arc::new(spec) },
        start(5, "vm-1", StartMode::Fresh),
        wait,
        arm(4, 36),
        Action::DispatchSnapshot { snapshot: ids::snapshot(4) },
        Action::CompleteSnapshot {
            snapshot: ids::snapshot(4),
            location: "/snapshots/4".to_owned(),
            bytes: u64::from(u32::MAX) + 1,
            digest: Digest([3; 32]),
        },
        arm(5, 39),
        Action::DispatchSnapshot { snapshot: ids::snapshot(5) },
        Action::FailSnapshot { snapshot: ids::snapshot(5), message: "no space".to_owned() },
        arm(6, 42),
        Action::Destroy { force: true, why: "abandoned".to_owned() },
    ];
    // Drafts are a second apart, and this run's begin with the 32nd: each snapshot is due one second after it is armed.
    actions.into_iter().map(|action| script.draft(run, action)).collect()
}

/// Every refusal there is; one of them of a command that is out of bounds.
fn refusals(script: &mut Script) -> Vec<Draft> {
    let run = ids::run(2);
    let exited = Outcome::Exited {
        exit: Exit { status: ExitStatus::Code(-1), witness: Witness::ExitFile, output: None },
        amended: Some(ExitStatus::Code(i32::MAX)),
    };
    let failed = Outcome::Failed(Failure {
        kind: FailureKind::SupervisorLost,
        message: String::new(),
        diagnostics: Diagnostics::default(),
    });
    let reasons = vec![
        Refusal::UnknownRun,
        Refusal::RunExists,
        Refusal::RunDestroyed,
        Refusal::StaleAttempt { current: Some(ids::attempt(5)) },
        Refusal::WrongRunner { holder: RunnerId::from("vm-1") },
        Refusal::IllegalTransition { from: StatusName::Waiting, action: ActionName::AmendExit },
        Refusal::ConflictingTerminal { recorded: Box::new(exited) },
        Refusal::VersionConflict { actual: Version(65_536) },
        Refusal::InvalidInput { field: "spec.name".to_owned(), why: "is empty".to_owned() },
        Refusal::NameHeld { name: "build".to_owned(), holder: ids::run(1) },
        Refusal::ForceRequired { from: StatusName::Started },
        Refusal::NothingPending,
        Refusal::NotOwner { armed_by: RunnerId::from("r1") },
        Refusal::AlreadyDispatched { snapshot: ids::snapshot(5) },
        Refusal::SnapshotGone { armed: None },
        Refusal::NotDue { due: at(30) },
        Refusal::AlreadyDisconnected,
        Refusal::NotAmendable { recorded: Box::new(failed) },
        Refusal::AttemptsExhausted { limit: 10_000 },
    ];
    let mut drafts = Vec::new();
    for (number, refusal) in reasons.into_iter().enumerate() {
        let number = 1_000 + number as u64;
        let command = RefusedCommand::OutOfBounds {
            id: ids::command(number),
            run,
            actor: Actor::new(ActorKind::Operator, "ana"),
            issued_at: at(number),
            action: ActionName::Destroy,
        };
        drafts.push(script.refused(Refused { command, refusal, count: 1 << (number % 5 * 8) }));
    }
    // And as the engine itself refuses: a whole command, and one to a run that nobody created.
    drafts.push(script.draft(run, Action::Destroy { force: true, why: "again".to_owned() }));
    drafts.push(script.draft(ids::run(9), Action::Destroy { force: true, why: "who?".to_owned() }));
    drafts
}

fn drafts() -> Vec<Draft> {
    let mut script = Script::default();
    let torn = TornTail { file: "00000000000000000001.seg".to_owned(), offset: 88, bytes: 7, position: Position(1) };
    let mut drafts = vec![
        script.system(SystemFact::Opened(session())),
        script.system(SystemFact::Recovered {
            torn: Some(torn),
            missing_up_to: Some((Position(3), Digest([4; 32]))),
            open_runs: 0,
        }),
    ];
    drafts.extend(full_life(&mut script));
    drafts.extend(script.life(3));
    drafts.extend(script.life(4));
    drafts.extend(script.life(5));
    drafts.extend(snapshots(&mut script));
    drafts.extend(refusals(&mut script));
    drafts.push(script.system(SystemFact::Closed(session())));
    drafts
}

fn options_of_the_fixture() -> JournalOptions {
    JournalOptions { segment_bytes: 3 << 10, ..options() }
}

/// The files of the journal, written now.
fn written() -> BTreeMap<String, Vec<u8>> {
    let disk = SimulatedDisk::default();
    let data = Path::new(DATA);
    let mut journal = FileJournal::open_on(Arc::new(disk.clone()), data, options_of_the_fixture()).unwrap();
    let mut rest = drafts().into_iter().peekable();
    let mut size = 0;
    while rest.peek().is_some() {
        // Frames of 1, 2, 3, 1, … entries.
        size = size % 3 + 1;
        wait(journal.append(rest.by_ref().take(size).collect())).unwrap();
    }
    wait(Box::new(journal).close()).unwrap();
    disk.files().into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

fn kept() -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(fixture().join("journal")).unwrap().map(|item| item.unwrap().path());
    paths.map(|path| (name(&path), fs::read(path).unwrap())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn golden_files_are_written_again_byte_by_byte() {
    let written = written();
    if std::env::var_os("TACHO_WRITE_FIXTURE").is_some() {
        let dir = fixture().join("journal");
        fs::create_dir_all(&dir).unwrap();
        written.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
    }
    let kept = kept();
    assert_eq!(written.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    assert!(kept.len() >= 3, "an anchor and at least two segments");
    for (name, bytes) in &kept {
        let first = bytes.iter().zip(&written[name]).position(|(kept, written)| kept != written);
        assert_eq!((first, bytes.len()), (None, written[name].len()), "first differing byte, length of {name}");
    }
}

#[test]
fn golden_files_are_read_as_what_was_written() {
    let entries = wait(FileReader::open(&fixture()).unwrap().read(Position::ZERO, usize::MAX)).unwrap();
    let drafts = drafts();
    assert_eq!(entries.len(), drafts.len());
    for (entry, draft) in entries.iter().zip(&drafts) {
        assert_eq!((entry.id, entry.recorded_at, &entry.body), (draft.id, draft.recorded_at, &draft.body));
    }
    let report = verify(&fixture(), |_| ()).unwrap();
    // The second entry records a loss: worth a note, and no fault.
    let notes: Vec<_> = report.findings.iter().map(|finding| (finding.severity, finding.position)).collect();
    assert_eq!(notes, vec![(Severity::Note, Some(Position(2)))]);
    assert_eq!(report.lost.map(|loss| (loss.up_to, loss.position)), Some((Position(3), Position(2))));
    assert_eq!((report.entries, report.closed), (drafts.len() as u64, true));
}

#[test]
fn golden_files_hold_every_kind_of_entry() {
    let drafts = drafts();
    let events: std::collections::BTreeSet<_> = drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            EntryBody::Committed(committed) => Some(committed.events.iter().map(|event| event.name())),
            EntryBody::Refused(_) | EntryBody::System(_) => None,
        })
        .flatten()
        .collect();
    assert_eq!(events.len(), 14, "{events:?}");
    let refusals: std::collections::BTreeSet<_> = drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            EntryBody::Refused(refused) => Some(refused.refusal.code()),
            EntryBody::Committed(_) | EntryBody::System(_) => None,
        })
        .collect();
    assert_eq!(refusals.len(), 19, "{refusals:?}");
}
