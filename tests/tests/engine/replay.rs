//! The engine answers what the pure domain answers, the state that it holds live is the state of the journal at every
//! position (invariant 9), and deciding the recorded commands again gives the recorded outcomes (invariant 10).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use proptest::test_runner::TestCaseError;
use tachograph_engine::domain::testing::DecidedAgain;
use tachograph_engine::domain::{Entry, Position, RunId, RunRecord};
use tachograph_engine::shell::{CommandOutcome, FirstAnswer, Options};
use tachograph_tests::cases::for_all;
use tachograph_tests::walk::{Answer, Step, walks};
use tachograph_tests::{Place, Supervisor, again};

use crate::queue::gated;

type Records = BTreeMap<RunId, RunRecord>;

fn fold(records: &mut Records, entries: &[Entry]) {
    for entry in entries {
        let Some(run) = entry.run() else { continue };
        if let Some(record) = RunRecord::fold(records.remove(&run), entry) {
            records.insert(run, record);
        }
    }
}

/// Invariant 9.
async fn assert_live_is(records: &Records, supervisor: &Supervisor, context: &str) {
    for (run, record) in records {
        assert_eq!(&*supervisor.record(*run).await, record, "{context}");
    }
    let open: Vec<_> = records.values().filter(|record| !record.run.is_ended()).cloned().map(Arc::new).collect();
    assert_eq!(supervisor.engine.live(), open, "{context}");
}

/// Invariant 10: by the domain's own reference, and by the fold that `tacho recheck` uses.
fn assert_decided_again(entries: &[Entry]) {
    let mut again = DecidedAgain::default();
    entries.iter().for_each(|entry| again.entry(entry));
    let tally = again::assert_decided_again(entries).tally();
    assert_eq!((tally.decided + tally.headers, tally.undecided), (again.decided(), 0));
}

/// What the engine answered to the steps so far.
#[derive(Default)]
struct Answered(Vec<Option<CommandOutcome>>);

impl Answered {
    /// Whether the journal knows a first answer to what this step repeats. A report that changed nothing, and a
    /// refusal that was only counted, are decided anew, which the walk does not follow.
    fn follows(&self, step: &Step) -> bool {
        let Answer::Duplicate(first) = &step.answer else { return true };
        match &self.0[*first] {
            Some(CommandOutcome::Written { .. } | CommandOutcome::Refused { recorded: Some(_), .. }) => true,
            Some(CommandOutcome::Duplicate { .. } | CommandOutcome::Refused { recorded: None, .. }) | None => false,
        }
    }

    fn push(&mut self, index: usize, step: &Step, outcome: CommandOutcome) {
        match (&step.answer, &outcome) {
            (Answer::Written(_), CommandOutcome::Written { version, .. }) => {
                assert_eq!(*version, step.after.state(step.command.run).version(), "step {index}");
            }
            (Answer::AlreadyRecorded, CommandOutcome::Duplicate { of: FirstAnswer::Written { .. } }) => {}
            (Answer::Refused(expected), CommandOutcome::Refused { refusal, .. }) => {
                assert_eq!(refusal, expected, "step {index}");
            }
            (Answer::Duplicate(first), CommandOutcome::Duplicate { of }) => {
                let again = match of.clone() {
                    FirstAnswer::Written { position, version } => CommandOutcome::Written { position, version },
                    FirstAnswer::Refused { position, refusal } => {
                        CommandOutcome::Refused { refusal, recorded: Some(position) }
                    }
                };
                assert_eq!(Some(&again), self.0[*first].as_ref(), "step {index}");
            }
            (expected, got) => panic!("step {index}: {:?}\n  expected {expected:?}\n  but got {got:?}", step.command),
        }
        self.0.push(Some(outcome));
    }
}

/// Runs a property that needs a runtime, so that a failing walk is still shrunk.
fn on_a_runtime(property: impl Future<Output = ()>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(property);
    Ok(())
}

/// After every single command, and across reopenings and crashes.
#[test]
fn one_by_one_over_files() {
    for_all(30, &walks(120), |walk| {
        on_a_runtime(async {
            let mut place = Place::new(0);
            let (mut engine, _) = place.open().await;
            let (mut records, mut entries) = (Records::new(), Vec::<Entry>::new());
            let mut answered = Answered::default();
            for (index, step) in walk.steps.iter().enumerate() {
                if step.reopened {
                    let crashed = (index % 2 == 1).then(|| place.crashed());
                    engine.close().await.unwrap();
                    place = crashed.unwrap_or(place);
                    engine = place.open().await.0;
                }
                if !answered.follows(step) {
                    answered.0.push(None);
                    continue;
                }
                let supervisor = Supervisor::of(&engine);
                answered.push(index, step, supervisor.submit(step.command.clone()).await.outcome);
                let after = entries.last().map_or(Position::ZERO, |entry| entry.position);
                let more = engine.reader().read(after, 1_000).await.unwrap();
                fold(&mut records, &more);
                entries.extend(more);
                assert_live_is(&records, &supervisor, &format!("step {index}")).await;
                let held = engine.run(step.command.run).await.unwrap();
                let state = step.after.state(step.command.run);
                assert_eq!(held.as_ref().map(|record| &record.run), state.run(), "step {index}");
            }
            assert_decided_again(&entries);
            engine.close().await.unwrap();
        })
    });
}

/// In large batches, where a command is decided on what the ones before it in its batch will have led to.
#[test]
fn in_batches_in_memory() {
    for_all(200, &walks(150), |walk| {
        on_a_runtime(async {
            let (supervisor, gate) = gated(0, Options::default()).await;
            let mut answered = Answered::default();
            let mut steps = walk.steps.iter().enumerate().peekable();
            for size in (0..).map(|batch| 1 + batch * 7 % 30) {
                gate.hold();
                let mut batch = Vec::new();
                // A repetition within the batch is answered like its first, so what follows it is not known yet.
                while batch.len() < size
                    && let Some((index, step)) = steps.next_if(
                        |(_, step)| !matches!(step.answer, Answer::Duplicate(first) if first >= answered.0.len()),
                    )
                {
                    let known = answered.follows(step);
                    let pending = known.then(|| supervisor.engine.try_submit(step.command.clone()).unwrap());
                    batch.push((index, step, pending));
                }
                gate.release();
                for (index, step, pending) in batch {
                    match pending {
                        Some(pending) => answered.push(index, step, pending.await.unwrap().outcome),
                        None => answered.0.push(None),
                    }
                }
                if steps.peek().is_none() {
                    break;
                }
            }
            let entries = supervisor.entries().await;
            let mut records = Records::new();
            fold(&mut records, &entries);
            assert_live_is(&records, &supervisor, "at the end").await;
            assert_decided_again(&entries);
        })
    });
}
