//! Invariant 3: at most one end per attempt, the first one. Invariant 4: `Destroyed` is final; the history stays.

use std::collections::BTreeMap;

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{
    Action, Attempt, AttemptId, Claim, Event, ExitStatus, Outcome, Refusal, RunId, StatusName,
};
use tachograph_tests::walk::{Answer, Step, Walk};

use super::for_all_walks;

#[test]
fn an_attempt_has_at_most_one_end_and_the_first_one_counts() {
    for_all_walks(|walk| {
        let mut ends: BTreeMap<(RunId, AttemptId), Outcome> = BTreeMap::new();
        for step in &walk.steps {
            for event in step.events() {
                let (attempt, end) = match event {
                    Event::Exited { attempt, exit } => (attempt, Outcome::Exited { exit: exit.clone(), amended: None }),
                    Event::Failed { attempt, failure, .. } => (attempt, Outcome::Failed(failure.clone())),
                    _ => continue,
                };
                let first = ends.insert((step.command.run, *attempt), end);
                prop_assert_eq!(first, None, "a second end of {}", attempt);
            }
            for (run, state) in step.after.runs() {
                let Some(attempt) = state.run().and_then(|run| run.attempt.as_ref()) else { continue };
                let reported = attempt.outcome.clone().map(as_reported);
                prop_assert_eq!(reported.as_ref(), ends.get(&(run, attempt.id)), "of {}", attempt.id);
            }
        }
        Ok(())
    });
}

fn as_reported(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Exited { exit, amended: _ } => Outcome::Exited { exit, amended: None },
        failed @ Outcome::Failed(_) => failed,
    }
}

/// A later report about an attempt's end is answered by what it says, and never written.
#[test]
fn the_same_end_again_is_already_recorded_and_another_one_conflicts() {
    for_all_walks(|walk| {
        for Step { command, answer, before, .. } in &walk.steps {
            let Some(attempt) = before.state(command.run).run().and_then(|run| run.attempt.as_ref()) else { continue };
            let (Some(recorded), Some(agrees)) = (&attempt.outcome, agrees(&command.action, attempt)) else { continue };
            match answer {
                Answer::AlreadyRecorded => prop_assert!(agrees, "with {:?}", recorded),
                Answer::Refused(Refusal::ConflictingTerminal { recorded: told }) => {
                    prop_assert!(!agrees, "with {:?}", recorded);
                    prop_assert_eq!(&**told, recorded);
                }
                Answer::Refused(refusal) => {
                    let earlier = ["run_destroyed", "invalid_input", "version_conflict"].contains(&refusal.code());
                    prop_assert!(earlier, "{:?}", refusal);
                }
                Answer::Duplicate(_) => {}
                Answer::Written(events) => prop_assert!(false, "{:?} after {:?}", events, recorded),
            }
        }
        Ok(())
    });
}

/// Whether a report by the holder about the attempt's end says what is recorded; none if it is no such report.
fn agrees(action: &Action, attempt: &Attempt) -> Option<bool> {
    let present = |claim: &Claim| claim.attempt == attempt.id && claim.runner == attempt.runner;
    match (action, attempt.outcome.as_ref()?) {
        (Action::Exit { claim, exit }, Outcome::Exited { exit: first, amended }) if present(claim) => {
            Some(exit.status == first.status || amended.as_ref() == Some(&exit.status))
        }
        (Action::Fail { claim, failure }, Outcome::Failed(first)) if present(claim) => {
            Some((&failure.kind, &failure.message) == (&first.kind, &first.message))
        }
        (Action::Exit { claim, .. } | Action::Fail { claim, .. }, _) if present(claim) => Some(false),
        _ => None,
    }
}

#[test]
fn an_unknown_exit_is_amended_at_most_once_and_a_known_one_never() {
    for_all_walks(|walk| {
        let mut amended = std::collections::BTreeSet::new();
        for step in &walk.steps {
            for event in step.events() {
                let Event::ExitAmended { attempt, .. } = event else { continue };
                prop_assert!(amended.insert(*attempt), "{} is amended twice", attempt);
                let before = step.before.state(step.command.run).run().and_then(|run| run.attempt.as_ref());
                let status = before.and_then(|attempt| attempt.outcome.as_ref()).and_then(Outcome::exit_status);
                let unknown = matches!(status, Some(ExitStatus::Unknown { .. }));
                prop_assert!(unknown, "{:?} is amended", status);
            }
        }
        Ok(())
    });
}

#[test]
fn destroyed_is_final_and_stays_readable() {
    for_all_walks(|walk| {
        let mut tombstones = BTreeMap::new();
        for Step { command, answer, after, .. } in &walk.steps {
            if tombstones.contains_key(&command.run) {
                let allowed = match answer {
                    Answer::Written(_) | Answer::AlreadyRecorded => false,
                    Answer::Refused(refusal) => ["run_destroyed", "invalid_input"].contains(&refusal.code()),
                    Answer::Duplicate(_) => true,
                };
                prop_assert!(allowed, "{:?} of a destroyed run", answer);
            }
            for (run, state) in after.runs() {
                if state.run().is_some_and(|run| run.status.name() == StatusName::Destroyed) {
                    let first = tombstones.entry(run).or_insert_with(|| state.clone());
                    prop_assert_eq!(&*first, state);
                }
            }
            for run in tombstones.keys() {
                prop_assert!(after.state(*run).run().is_some(), "the tombstone of {} is gone", run);
            }
        }
        nothing_follows_destroyed(walk)
    });
}

fn nothing_follows_destroyed(walk: &Walk) -> super::Checked {
    let mut destroyed = std::collections::BTreeSet::new();
    for step in &walk.steps {
        for event in step.events() {
            prop_assert!(!destroyed.contains(&step.command.run), "{:?} after Destroyed", event);
            if matches!(event, Event::Destroyed { .. }) {
                destroyed.insert(step.command.run);
            }
        }
    }
    Ok(())
}
