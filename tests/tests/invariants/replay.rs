//! Invariants 9 and 10 for what was written: the states that were held follow from it at every step, and the commands
//! get the same answers again.

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{Decision, Fleet, RunState, evolve};
use tachograph_tests::walk::{Answer, Step};

use super::for_all_walks;

#[test]
fn the_states_held_follow_from_what_was_written() {
    for_all_walks(|walk| {
        let mut rebuilt = Fleet::default();
        for step in &walk.steps {
            prop_assert_eq!(&step.before, &rebuilt);
            rebuilt.apply(step.command.run, step.events());
            prop_assert_eq!(&step.after, &rebuilt);
        }
        Ok(())
    });
}

#[test]
fn every_event_may_follow_where_it_follows() {
    for_all_walks(|walk| {
        for step in &walk.steps {
            let mut state: RunState = step.before.state(step.command.run).clone();
            for event in step.events() {
                prop_assert!(event.may_follow(&state), "{:?} in {:?}", event, state);
                let expected = event.leads_to().or(state.run().map(|run| run.status.name()));
                state = evolve(state, event);
                prop_assert_eq!(state.run().map(|run| run.status.name()), expected);
            }
        }
        Ok(())
    });
}

#[test]
fn the_commands_get_the_same_answers_again() {
    for_all_walks(|walk| {
        let mut fleet = Fleet::default();
        for Step { command, answer, .. } in &walk.steps {
            let again = match fleet.decide(command) {
                Ok(Decision::Append(events)) => Answer::Written(events),
                Ok(Decision::AlreadyRecorded) => Answer::AlreadyRecorded,
                Err(refusal) => Answer::Refused(refusal),
            };
            if matches!(answer, Answer::Duplicate(_)) {
                continue;
            }
            prop_assert_eq!(&again, answer);
            if let Answer::Written(events) = again {
                fleet.apply(command.run, &events);
            }
        }
        Ok(())
    });
}
