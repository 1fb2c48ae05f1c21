//! Invariant 5: a retried command is written at most once, also after reopening. Invariant 8: refusals advance no
//! version and change no state.
//!
//! The look-up of command ids is the shell's, not the domain's, so the walk models it: what is shown here is that the
//! domain's answers allow it. The engine's own look-up is under test in `tests/engine/{retries,replay}.rs`.

use std::collections::BTreeMap;

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{Version, limits};
use tachograph_tests::walk::{Answer, Step};

use super::for_all_walks;

#[test]
fn a_command_is_written_at_most_once() {
    for_all_walks(|walk| {
        let mut written = BTreeMap::new();
        for (index, Step { command, answer, .. }) in walk.steps.iter().enumerate() {
            if let Answer::Written(_) = answer {
                let first = written.insert((command.run, command.id), index);
                prop_assert_eq!(first, None, "step {} writes {} again", index, command.id);
            }
        }
        Ok(())
    });
}

#[test]
fn a_retry_is_told_where_it_was_answered_first() {
    for_all_walks(|walk| {
        for (index, step) in walk.steps.iter().enumerate() {
            let earlier = walk.steps[..index].iter().position(|earlier| earlier.command == step.command);
            match (&step.answer, earlier.map(|earlier| &walk.steps[earlier].answer)) {
                (Answer::Duplicate(of), _) => {
                    prop_assert_eq!(&walk.steps[*of].command, &step.command);
                    prop_assert!(!matches!(walk.steps[*of].answer, Answer::Duplicate(_)));
                }
                (_, Some(Answer::Written(_) | Answer::Refused(_))) => {
                    prop_assert!(false, "step {} repeats {:?} and is answered anew", index, earlier);
                }
                // A repeat of a recorded end writes nothing itself, so a new engine decides it anew.
                (_, Some(Answer::AlreadyRecorded | Answer::Duplicate(_)) | None) => {}
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_not_written_changes_nothing() {
    for_all_walks(|walk| {
        walk.steps.iter().try_for_each(|step| {
            let Step { command, answer, before, after, .. } = step;
            let (was, is) = (before.state(command.run).version(), after.state(command.run).version());
            prop_assert_eq!(is, Version(was.0 + step.events().len() as u64), "{:?}", answer);
            match answer {
                Answer::Written(events) => prop_assert!(!events.is_empty()),
                Answer::AlreadyRecorded | Answer::Refused(_) | Answer::Duplicate(_) => prop_assert_eq!(before, after),
            }
            Ok(())
        })
    });
}

#[test]
fn nothing_out_of_bounds_or_against_its_expectation_is_written() {
    for_all_walks(|walk| {
        walk.steps.iter().try_for_each(|Step { command, answer, before, .. }| {
            if let Answer::Written(_) = answer {
                prop_assert_eq!(limits::check(command), Ok(()));
                let actual = before.state(command.run).version();
                prop_assert_eq!(command.expected.unwrap_or(actual), actual);
            }
            Ok(())
        })
    });
}
