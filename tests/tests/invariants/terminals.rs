//! Invariant 3: at most one end per attempt, the first one. Invariant 4: `Destroyed` is final; the history stays.

use std::collections::BTreeMap;

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{AttemptId, Event, Outcome, RunId, StatusName};
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
                let unknown = matches!(status, Some(tachograph_engine::domain::ExitStatus::Unknown { .. }));
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
