//! Invariant 6: a canceled snapshot never dispatches, a dispatched one dispatched once, none is lost by a restart.
//! Invariant 7: only the arming runner, or an explicitly unconditional cancel, cancels a snapshot.

use std::collections::BTreeMap;

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{Action, CancelCause, Event, EventName, Guard, RunId, SnapshotId, StartCause};
use tachograph_tests::walk::{Answer, Step};

use super::{Checked, for_all_walks};

/// What has become of a snapshot, by its events alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Armed,
    Canceled,
    Dispatched,
    Over,
}

type Fates = BTreeMap<(RunId, SnapshotId), Fate>;

fn follow(fates: &mut Fates, run: RunId, event: &Event) -> Checked {
    let (snapshot, from, to) = match event {
        Event::SnapshotScheduled { snapshot, .. } => (snapshot, None, Fate::Armed),
        Event::SnapshotCanceled { snapshot, .. } => (snapshot, Some(Fate::Armed), Fate::Canceled),
        Event::SnapshotDispatched { snapshot } => (snapshot, Some(Fate::Armed), Fate::Dispatched),
        Event::SnapshotTaken { snapshot, .. } | Event::SnapshotFailed { snapshot, .. } => {
            (snapshot, Some(Fate::Dispatched), Fate::Over)
        }
        _ => return Ok(()),
    };
    prop_assert_eq!(fates.insert((run, *snapshot), to), from, "before {:?}", event);
    Ok(())
}

#[test]
fn a_snapshot_is_armed_then_canceled_or_dispatched_once_and_never_lost() {
    for_all_walks(|walk| {
        let mut fates = Fates::new();
        for step in &walk.steps {
            for event in step.events() {
                follow(&mut fates, step.command.run, event)?;
            }
            // What the states hold is exactly what the events left open, also right after reopening.
            let mut held = Vec::new();
            for (id, state) in step.after.runs() {
                let Some(run) = state.run() else { continue };
                held.extend(run.armed.as_ref().map(|armed| ((id, armed.id), Fate::Armed)));
                held.extend(run.in_flight.as_ref().map(|in_flight| ((id, in_flight.id), Fate::Dispatched)));
            }
            held.sort_by_key(|(key, _)| *key);
            let open = |fate: &Fate| matches!(fate, Fate::Armed | Fate::Dispatched);
            let left: Vec<_> = fates.iter().filter(|(_, fate)| open(fate)).map(|(key, fate)| (*key, *fate)).collect();
            prop_assert_eq!(held, left);
        }
        Ok(())
    });
}

#[test]
fn a_snapshot_is_never_early_and_one_is_taken_at_a_time() {
    for_all_walks(|walk| {
        for Step { command, answer, before, .. } in &walk.steps {
            if let (Action::DispatchSnapshot { snapshot }, Answer::Written(_)) = (&command.action, answer) {
                let run = before.state(command.run).run();
                let armed = run.and_then(|run| run.armed.as_ref());
                prop_assert_eq!(armed.map(|armed| armed.id), Some(*snapshot));
                prop_assert!(armed.is_some_and(|armed| armed.due <= command.issued_at), "{:?} is early", armed);
                prop_assert_eq!(run.and_then(|run| run.in_flight.as_ref()), None);
            }
        }
        Ok(())
    });
}

#[test]
fn a_run_that_leaves_its_wait_leaves_no_armed_snapshot() {
    for_all_walks(|walk| {
        for step in &walk.steps {
            for (id, state) in step.after.runs() {
                let Some(run) = state.run() else { continue };
                if let Some(armed) = &run.armed {
                    let holder = run.attempt.as_ref().map(|attempt| &attempt.runner);
                    prop_assert_eq!(run.status.name().name(), "Waiting", "{} of {}", armed.id, id);
                    prop_assert_eq!(holder, Some(&armed.runner));
                    prop_assert!(run.attempt.as_ref().is_some_and(|attempt| attempt.connected), "its runner is lost");
                }
            }
        }
        Ok(())
    });
}

#[test]
fn only_the_arming_runner_or_an_unconditional_cancel_cancels() {
    for_all_walks(|walk| {
        for step in &walk.steps {
            let armed = step.before.state(step.command.run).run().and_then(|run| run.armed.as_ref());
            let Action::CancelSnapshot { guard } = &step.command.action else { continue };
            if let Answer::Written(events) = &step.answer {
                let Some(armed) = armed else { return Err(super::failed("a cancel with nothing armed")) };
                let entitled = match guard {
                    Guard::Runner(runner) => *runner == armed.runner,
                    Guard::Unconditional => true,
                };
                prop_assert!(entitled, "{:?} cancels {:?}", guard, armed);
                let cause = CancelCause::Asked(guard.clone());
                prop_assert_eq!(&events[..], &[Event::SnapshotCanceled { snapshot: armed.id, cause }]);
            }
        }
        Ok(())
    });
}

#[test]
fn every_cancel_says_truly_why_and_is_written_with_its_reason() {
    for_all_walks(|walk| {
        for step in &walk.steps {
            for event in step.events() {
                if let Event::SnapshotCanceled { cause, .. } = event {
                    prop_assert!(fits(cause, step), "{:?} by {:?}", cause, step.command.action);
                }
            }
        }
        Ok(())
    });
}

fn fits(cause: &CancelCause, step: &Step) -> bool {
    let beside = |name: EventName| step.events().last().is_some_and(|event| event.name() == name);
    let resumed_as = |same: bool| match step.events().last() {
        Some(Event::Started { attempt, cause: StartCause::Resume, previous, .. }) => {
            (*previous == Some(*attempt)) == same
        }
        _ => false,
    };
    match cause {
        CancelCause::Asked(guard) => step.command.action == Action::CancelSnapshot { guard: guard.clone() },
        CancelCause::RunEnded => beside(EventName::Exited) || beside(EventName::Failed),
        CancelCause::RunnerDisconnected => beside(EventName::RunnerDisconnected),
        CancelCause::Superseded => beside(EventName::SnapshotScheduled),
        CancelCause::Resumed => resumed_as(true),
        CancelCause::TakenOver => resumed_as(false),
        CancelCause::Destroyed => beside(EventName::Destroyed),
    }
}
