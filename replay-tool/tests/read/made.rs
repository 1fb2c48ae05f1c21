//! One made journal with everything in it that a read command can meet: fixed ids, fixed times, decided by the domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, Committed, Decision, Diagnostics, Digest, Drain, Entry, EntryBody, Exit,
    ExitStatus, Failure, FailureKind, Finding, Fleet, Guard, OutputReceipt, Position, Refused, RefusedCommand,
    ResourceLimits, RunId, RunSpec, RunnerId, Session, StartMode, Stream, StreamReceipt, SystemFact, Timestamp,
    TornTail, Version, Witness, Workload,
};

/// 2026-11-21T03:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_230_000_000_000);
/// The first run named `build`: exited, then destroyed.
pub(crate) const BUILD: &str = "01KAJ2AAAA0000000000000001";
/// The run named `nightly`: failed twice.
pub(crate) const NIGHTLY: &str = "01KAJ2BBBB0000000000000002";
/// The second run named `build`: waits.
pub(crate) const BUILD_AGAIN: &str = "01KAJ2BBBC0000000000000003";
/// A run without a name: unknown exit, amended.
pub(crate) const NAMELESS: &str = "01KAJ2DDDD0000000000000004";
/// The run named `loud`: killed, its output not complete, and more than its limit keeps.
pub(crate) const LOUD: &str = "01KAJ2EEEE0000000000000005";
/// Never created.
pub(crate) const NEVER: &str = "01KAJ2ZZZZ0000000000000099";

/// A journal in the making.
#[derive(Default)]
pub(crate) struct Made {
    fleet: Fleet,
    last: BTreeMap<RunId, Position>,
    pub(crate) entries: Vec<Entry>,
    millis: i64,
}

pub(crate) fn run(text: &str) -> RunId {
    text.parse().expect("a run id")
}

fn claim(text: &str, attempt: u64, runner: &str) -> Claim {
    Claim { run: run(text), attempt: ids::attempt(attempt), runner: RunnerId::from(runner) }
}

fn exit(status: ExitStatus, output: Option<OutputReceipt>) -> Exit {
    let witness = if matches!(status, ExitStatus::Unknown { .. }) { Witness::Synthesised } else { Witness::Waited };
    Exit { status, witness, output }
}

fn receipt(stdout: u64, stderr: u64, drain: Drain) -> OutputReceipt {
    let stream = |bytes: u64, fill| StreamReceipt { bytes, digest: Digest([fill; 32]) };
    OutputReceipt { stdout: stream(stdout, 0x11), stderr: stream(stderr, 0x22), drain }
}

fn spec(name: Option<&str>, labels: &[(&str, &str)], workload: Workload) -> Arc<RunSpec> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Arc::new(RunSpec { name: name.map(str::to_owned), labels, workload, ..RunSpec::default() })
}

fn command_line(argv: &[&str]) -> Workload {
    Workload::Command { argv: argv.iter().map(|word| (*word).to_owned()).collect(), cwd: None }
}

impl Made {
    /// The whole of it.
    pub(crate) fn journal() -> Self {
        let mut made = Self::default();
        made.system(0, SystemFact::Opened(session(4_711, 0)));
        made.first_build();
        made.nightly_and_a_crash();
        made.second_build();
        made.late_reports();
        made.nameless_and_loud();
        made.out_of_bounds();
        made
    }

    fn first_build(&mut self) {
        let created = RunSpec {
            limits: ResourceLimits { wall_ms: Some(3_600_000), memory_bytes: Some(1 << 30), output_bytes: None },
            ..(*spec(Some("build"), &[("team", "infra"), ("tier", "ci")], command_line(&["make", "-j2", "a b"])))
                .clone()
        };
        self.by("supervisor:main", 250, BUILD, Action::Create { spec: Arc::new(created) });
        self.by("supervisor:main", 10, BUILD, start(1, "r1", StartMode::Fresh));
        let late =
            |runner, code| Action::Exit { claim: claim(BUILD, 1, runner), exit: exit(ExitStatus::Code(code), None) };
        self.by("runner:r0", 4_000, BUILD, late("r0", 137));
        let output = receipt(18_900_000, 12, Drain::Drained);
        let done = exit(ExitStatus::Code(0), Some(output));
        self.by("runner:r1", 58_000, BUILD, Action::Exit { claim: claim(BUILD, 1, "r1"), exit: done });
        self.by("runner:r1", 500, BUILD, late("r1", 137));
    }

    fn nightly_and_a_crash(&mut self) {
        let workload = Workload::Command { argv: vec!["./nightly.sh".to_owned()], cwd: Some("/srv/app".to_owned()) };
        let created = spec(Some("nightly"), &[("team", "infra"), ("tier", "db")], workload);
        self.by("supervisor:main", 1_000, NIGHTLY, Action::Create { spec: created });
        let diagnostics = Diagnostics {
            alive: vec!["process group 4711".to_owned()],
            last_output: vec!["ready?".to_owned(), "\u{1b}[31mno".to_owned()],
            likely_cause: Some("the ready socket never appeared".to_owned()),
            facts: [("console_bytes".to_owned(), "0".to_owned())].into(),
        };
        let failure = Failure { kind: FailureKind::StartTimeout, message: "not ready after 30 s".into(), diagnostics };
        self.by("runner:r1", 30_000, NIGHTLY, Action::Fail { claim: claim(NIGHTLY, 2, "r1"), failure });
        let again = StartMode::Restart { previous: ids::attempt(2) };
        self.by("supervisor:main", 2_000, NIGHTLY, start(3, "r1", again));
        // The clock steps back over the crash.
        self.system(-1_500, SystemFact::Opened(session(4_800, 90_000_000)));
        let torn =
            TornTail { file: "00000000000000000001.seg".into(), offset: 4_096, bytes: 77, position: Position(10) };
        self.system(1, SystemFact::Recovered { torn: Some(torn), missing_up_to: None, open_runs: 1 });
        let lost = Action::Reconcile {
            attempt: ids::attempt(3),
            finding: Finding::Lost,
            detail: "no process has the recorded start time".to_owned(),
        };
        self.by("recovery:main", 5, NIGHTLY, lost);
        let failure = Failure {
            kind: FailureKind::SupervisorLost,
            message: "the supervisor went away while it was open".to_owned(),
            diagnostics: Diagnostics::default(),
        };
        self.by("recovery:main", 1, NIGHTLY, Action::Fail { claim: claim(NIGHTLY, 3, "r1"), failure });
    }

    fn second_build(&mut self) {
        let image = Workload::Image { reference: "registry/build:7".to_owned(), argv: vec!["make".to_owned()] };
        let created = RunSpec { parent: Some(run(BUILD)), ..(*spec(Some("build"), &[("team", "web")], image)).clone() };
        self.by("operator:ada", 60_000, BUILD_AGAIN, Action::Create { spec: Arc::new(created) });
        self.by("supervisor:main", 20, BUILD_AGAIN, start(4, "r2", StartMode::Fresh));
        let claimed = || claim(BUILD_AGAIN, 4, "r2");
        let deadline = Some(START.plus_millis(86_400_000));
        self.by("runner:r2", 100, BUILD_AGAIN, Action::Wait { claim: claimed(), on: "approval".to_owned(), deadline });
        for (number, delay) in [(1, 5_000), (2, 0)] {
            let due = START.plus_millis(self.millis + delay);
            let snapshot = ids::snapshot(number);
            self.by("runner:r2", 0, BUILD_AGAIN, Action::ScheduleSnapshot { claim: claimed(), snapshot, due });
        }
        let stale = Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from("r1")) };
        self.by("runner:r1", 3, BUILD_AGAIN, stale);
        let snapshot = ids::snapshot(2);
        self.by("timer:main", 7, BUILD_AGAIN, Action::DispatchSnapshot { snapshot });
        self.by("runner:r2", 0, BUILD_AGAIN, Action::DisconnectRunner { claim: claimed() });
    }

    fn late_reports(&mut self) {
        self.by("operator:ada", 1_000, BUILD, Action::Destroy { force: false, why: "clean up".to_owned() });
        let late = || Action::Wait { claim: claim(BUILD, 1, "r1"), on: "input".to_owned(), deadline: None };
        self.by("runner:r1", 1_000, BUILD, late());
        self.refused_again(1_000, "runner:r1", BUILD, late(), 2);
        self.by("runner:r9", 0, NEVER, Action::Wait { claim: claim(NEVER, 9, "r9"), on: "x".into(), deadline: None });
    }

    fn nameless_and_loud(&mut self) {
        self.by("supervisor:main", 0, NAMELESS, Action::Create { spec: spec(None, &[], command_line(&["true"])) });
        self.by("supervisor:main", 0, NAMELESS, start(5, "r3", StartMode::Fresh));
        let unknown = exit(ExitStatus::Unknown { cause: "another reaper took it".to_owned() }, None);
        self.by("runner:r3", 900, NAMELESS, Action::Exit { claim: claim(NAMELESS, 5, "r3"), exit: unknown });
        let amend = Action::AmendExit {
            attempt: ids::attempt(5),
            status: ExitStatus::Code(42),
            source: "runs/exit.json".to_owned(),
        };
        self.by("recovery:main", 900, NAMELESS, amend);
        let loud = spec(Some("loud"), &[("note", "line\nbreak")], command_line(&["yes"]));
        let limits = ResourceLimits { output_bytes: Some(400), ..ResourceLimits::default() };
        self.by("supervisor:main", 10, LOUD, Action::Create { spec: Arc::new(RunSpec { limits, ..(*loud).clone() }) });
        self.by("supervisor:main", 0, LOUD, start(6, "r4", StartMode::Fresh));
        let drain = Drain::DrainTimedOut { waited_ms: 2_000, open: vec![Stream::Stdout] };
        let killed = exit(ExitStatus::Signal(9), Some(receipt(1_000, 0, drain)));
        self.by("runner:r4", 3_000, LOUD, Action::Exit { claim: claim(LOUD, 6, "r4"), exit: killed });
    }

    fn out_of_bounds(&mut self) {
        let name = "n".repeat(200);
        self.by("operator:ada", 0, NEVER, Action::Create { spec: spec(Some(&name), &[], command_line(&["true"])) });
        self.system(100, SystemFact::Closed(session(4_800, 200_000_000)));
    }

    fn system(&mut self, millis: i64, fact: SystemFact) {
        self.millis += millis;
        self.push(None, EntryBody::System(fact));
    }

    fn by(&mut self, actor: &str, millis: i64, run_text: &str, action: Action) {
        self.decide(actor, millis, run_text, action, 1);
    }

    fn refused_again(&mut self, millis: i64, actor: &str, run_text: &str, action: Action, count: u64) {
        self.decide(actor, millis, run_text, action, count);
    }

    fn decide(&mut self, actor: &str, millis: i64, run_text: &str, action: Action, count: u64) {
        self.millis += millis;
        let run = run(run_text);
        let command = Command {
            id: ids::command(self.entries.len() as u64 + 1),
            run,
            actor: actor_of(actor),
            issued_at: START.plus_millis(self.millis),
            expected: None,
            action,
        };
        let body = match self.fleet.decide(&command) {
            Ok(Decision::Append(events)) => {
                self.fleet.apply(run, &events);
                EntryBody::Committed(Committed { command, version: self.fleet.state(run).version(), events })
            }
            Ok(Decision::AlreadyRecorded) => panic!("the made journal repeats itself: {command:?}"),
            Err(refusal) => {
                EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count })
            }
        };
        self.push(Some(run), body);
    }

    fn push(&mut self, run: Option<RunId>, body: EntryBody) {
        let position = Position(self.entries.len() as u64 + 1);
        let known = run.filter(|run| self.fleet.state(*run).version() > Version::ZERO);
        let previous = known.and_then(|run| self.last.insert(run, position));
        self.entries.push(Entry {
            id: ids::entry(position.0),
            position,
            recorded_at: START.plus_millis(self.millis),
            previous,
            body,
        });
    }
}

fn start(attempt: u64, runner: &str, mode: StartMode) -> Action {
    Action::Start { attempt: ids::attempt(attempt), runner: RunnerId::from(runner), mode }
}

fn actor_of(text: &str) -> Actor {
    let (kind, id) = text.split_once(':').expect("kind:id");
    let kind = match kind {
        "runner" => ActorKind::Runner,
        "supervisor" => ActorKind::Supervisor,
        "operator" => ActorKind::Operator,
        "timer" => ActorKind::Timer,
        _ => ActorKind::Recovery,
    };
    Actor::new(kind, id)
}

fn session(pid: u32, monotonic_us: u64) -> Session {
    Session {
        host: "build-3".to_owned(),
        boot_id: "6f9c2e4e-0000-4000-8000-000000000001".to_owned(),
        pid,
        version: "0.1.0".to_owned(),
        wall: START,
        monotonic_us,
    }
}
