//! What is armed after which entry. That the fold agrees with the state of all runs is shown in `folds`.

use std::sync::Arc;

use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Command, Committed, Decision, Entry, EntryBody, Event, Exit, ExitStatus, Fleet,
    Guard, Position, RunId, RunnerId, StartMode, Timestamp, Witness,
};
use tachograph_projections::{ArmedTimer, Projection, TimerKey, TimerOf, Timers};

use crate::at;

/// Records accepted commands at a manual time, and folds them.
#[derive(Default)]
struct Recorded {
    fleet: Fleet,
    entries: Vec<Entry>,
    timers: Timers,
}

impl Recorded {
    /// A run that waits, with this deadline; its attempt has its number.
    fn waiting(&mut self, number: u64, runner: &str, ms: i64, deadline: Option<Timestamp>) -> (RunId, Claim) {
        let run = ids::run(number);
        let claim = claim(run, number, runner);
        let start = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode: StartMode::Fresh };
        self.submit(run, ms, Action::Create { spec: Arc::new(spec(&format!("run {number}"))) });
        self.submit(run, ms, start);
        self.submit(run, ms, Action::Wait { claim: claim.clone(), on: "a reply".to_owned(), deadline });
        (run, claim)
    }

    fn schedule(&mut self, claim: &Claim, snapshot: u64, ms: i64, due: Timestamp) -> TimerKey {
        let snapshot = ids::snapshot(snapshot);
        self.submit(claim.run, ms, Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due });
        TimerKey { run: claim.run, of: TimerOf::Snapshot(snapshot) }
    }

    fn submit(&mut self, run: RunId, ms: i64, action: Action) {
        let position = Position(self.entries.len() as u64 + 1);
        let command = Command {
            id: ids::command(position.0),
            run,
            actor: Actor::new(ActorKind::Supervisor, "test"),
            issued_at: at(ms),
            expected: None,
            action,
        };
        let Ok(Decision::Append(events)) = self.fleet.decide(&command) else { panic!("refused: {command:?}") };
        self.fleet.apply(run, &events);
        let version = self.fleet.state(run).version();
        let body = EntryBody::Committed(Committed { command, version, events });
        let entry = Entry { id: ids::entry(position.0), position, recorded_at: at(ms), previous: None, body };
        self.timers.apply(&entry);
        self.entries.push(entry);
    }

    fn popped(&mut self, ms: i64) -> Vec<TimerKey> {
        popped(&mut self.timers, ms)
    }
}

fn popped(timers: &mut Timers, ms: i64) -> Vec<TimerKey> {
    let mut keys = Vec::new();
    while let Some(timer) = timers.pop_due(at(ms)) {
        keys.push(timer.key);
    }
    keys
}

fn deadline(run: RunId, claim: &Claim) -> TimerKey {
    TimerKey { run, of: TimerOf::Deadline(claim.attempt) }
}

#[test]
fn a_timer_keeps_who_armed_it_where_and_when() {
    let mut recorded = Recorded::default();
    let (run, claim) = recorded.waiting(1, "r1", 10, Some(at(9_000)));
    let key = recorded.schedule(&claim, 5, 20, at(3_000));
    let runner = RunnerId::from("r1");
    let snapshot = ArmedTimer { key, runner: runner.clone(), due: at(3_000), armed: Position(4), armed_at: at(20) };
    let deadline =
        ArmedTimer { key: deadline(run, &claim), runner, due: at(9_000), armed: Position(3), armed_at: at(10) };
    assert_eq!(recorded.timers.armed(), [&snapshot, &deadline]);
    assert_eq!(recorded.timers.timer(key), Some(&snapshot));
    assert_eq!(recorded.timers.of_run(ids::run(2)).count(), 0);
    assert_eq!(recorded.popped(2_999), []);
    assert_eq!(recorded.popped(3_000), [key]);
    assert_eq!(recorded.popped(9_000), [deadline.key]);
}

#[test]
fn whatever_ends_the_wait_disarms() {
    let exit = |claim: &Claim| {
        let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
        Action::Exit { claim: claim.clone(), exit }
    };
    let resume = |claim: &Claim| Action::Start {
        attempt: claim.attempt,
        runner: claim.runner.clone(),
        mode: StartMode::Resume { previous: claim.attempt },
    };
    let endings: [&dyn Fn(&Claim) -> Action; 3] =
        [&exit, &resume, &|_| Action::Destroy { force: true, why: "enough".to_owned() }];
    for ending in endings {
        let mut recorded = Recorded::default();
        let (run, claim) = recorded.waiting(1, "r1", 0, Some(at(200)));
        recorded.schedule(&claim, 5, 0, at(100));
        recorded.submit(run, 50, ending(&claim));
        assert!(recorded.timers.armed().is_empty());
        assert_eq!(recorded.popped(10_000), []);
        assert_eq!(recorded.timers.next_wake(), None);
    }
}

#[test]
fn a_canceled_snapshot_leaves_the_deadline_and_a_lost_connection_takes_the_snapshot() {
    let mut recorded = Recorded::default();
    let (run, claim) = recorded.waiting(1, "r1", 0, Some(at(500)));
    recorded.schedule(&claim, 5, 0, at(100));
    recorded.submit(run, 50, Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from("r1")) });
    let (other, other_claim) = recorded.waiting(2, "r2", 50, None);
    recorded.schedule(&other_claim, 6, 50, at(100));
    recorded.submit(other, 60, Action::DisconnectRunner { claim: other_claim });
    assert_eq!(recorded.popped(1_000), [deadline(run, &claim)]);
}

#[test]
fn re_scheduling_replaces_and_exactly_one_fires() {
    let mut recorded = Recorded::default();
    let (_, claim) = recorded.waiting(1, "r1", 0, None);
    recorded.schedule(&claim, 5, 0, at(3_000));
    let second = recorded.schedule(&claim, 6, 1_000, at(4_000));
    assert_eq!(recorded.popped(3_999), []);
    assert_eq!(recorded.popped(10_000), [second]);
}

#[test]
fn in_a_history_that_lacks_the_cancel_the_later_snapshot_replaces_the_earlier() {
    let mut recorded = Recorded::default();
    let (_, claim) = recorded.waiting(1, "r1", 0, None);
    recorded.schedule(&claim, 5, 0, at(3_000));
    let second = recorded.schedule(&claim, 6, 0, at(4_000));
    let mut timers = Timers::empty();
    for entry in &mut recorded.entries {
        if let EntryBody::Committed(committed) = &mut entry.body {
            committed.events.retain(|event| !matches!(event, Event::SnapshotCanceled { .. }));
        }
        timers.apply(entry);
    }
    assert_eq!(timers, recorded.timers);
    assert_eq!(popped(&mut timers, 10_000), [second]);
}

/// B7: three armed, one overdue; the supervisor is killed and comes back ten seconds later.
#[test]
fn after_a_restart_the_overdue_one_comes_at_once_and_the_others_at_their_time() {
    let mut recorded = Recorded::default();
    let keys: Vec<TimerKey> = [(1, 2_000), (2, 15_000), (3, 20_000)]
        .map(|(number, due_ms)| {
            let (_, claim) = recorded.waiting(number, "r", 0, None);
            recorded.schedule(&claim, number, 0, at(due_ms))
        })
        .into();
    // Handed out, but nobody got as far as recording it.
    assert_eq!(recorded.popped(2_000), [keys[0]]);
    assert_eq!(recorded.popped(2_000), []);

    let mut replayed = Timers::empty();
    recorded.entries.iter().for_each(|entry| replayed.apply(entry));
    let armed = recorded.timers.armed().into_iter().cloned().collect();
    let restored = Timers::from_armed(recorded.timers.position(), armed);
    assert_eq!(restored, recorded.timers);
    for mut timers in [replayed, restored] {
        assert_eq!(popped(&mut timers, 12_000), [keys[0]]);
        assert_eq!(popped(&mut timers, 14_999), []);
        assert_eq!(popped(&mut timers, 15_000), [keys[1]]);
        assert_eq!(popped(&mut timers, 20_000), [keys[2]]);
        assert_eq!(popped(&mut timers, 100_000), []);
    }

    // Dispatched, it comes no more, however often the fold is built.
    let TimerOf::Snapshot(snapshot) = keys[0].of else { panic!("a snapshot") };
    recorded.submit(keys[0].run, 12_000, Action::DispatchSnapshot { snapshot });
    let mut again = Timers::empty();
    recorded.entries.iter().for_each(|entry| again.apply(entry));
    assert_eq!(popped(&mut again, 100_000), keys[1..]);
}
