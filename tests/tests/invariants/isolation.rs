//! Invariant 1: an event of attempt A never changes anything of attempt B or of another run.

use proptest::{prop_assert, prop_assert_eq};
use tachograph_engine::domain::{Action, AttemptId, Event, Run, StartMode};
use tachograph_tests::walk::{Answer, Step};

use super::for_all_walks;

#[test]
fn a_command_changes_no_other_run() {
    for_all_walks(|walk| {
        walk.steps.iter().try_for_each(|Step { command, before, after, .. }| {
            let others = |(run, _): &(_, _)| *run != command.run;
            prop_assert!(before.runs().filter(others).eq(after.runs().filter(others)), "{command:?}");
            Ok(())
        })
    });
}

#[test]
fn a_report_is_written_only_with_the_claim_on_the_present_attempt() {
    for_all_walks(|walk| {
        walk.steps.iter().try_for_each(|step| {
            let (Some(claim), Answer::Written(_)) = (step.command.action.claim(), &step.answer) else { return Ok(()) };
            prop_assert_eq!(claim.run, step.command.run);
            let first_failure = matches!(step.command.action, Action::Fail { .. });
            match &present(step).and_then(|run| run.attempt.as_ref()) {
                Some(attempt) => prop_assert_eq!((&claim.attempt, &claim.runner), (&attempt.id, &attempt.runner)),
                None => prop_assert!(first_failure, "{claim:?} before the first attempt"),
            }
            Ok(())
        })
    });
}

#[test]
fn an_attempt_is_opened_only_after_the_one_that_it_names() {
    for_all_walks(|walk| {
        walk.steps.iter().try_for_each(|step| {
            let (Action::Start { attempt, mode, .. }, Answer::Written(_)) = (&step.command.action, &step.answer) else {
                return Ok(());
            };
            let named = match mode {
                StartMode::Fresh => None,
                StartMode::Resume { previous } | StartMode::Restart { previous } => Some(*previous),
                StartMode::Takeover { expected } => Some(*expected),
            };
            let Some(run) = present(step) else { return Err(super::failed("started before it was created")) };
            prop_assert_eq!(run.attempt.as_ref().map(|attempt| attempt.id), named);
            prop_assert!(!run.spent.contains(attempt), "{} was spent", attempt);
            Ok(())
        })
    });
}

/// By the ids that the events name, without the state: an attempt that was followed by another is over for good.
#[test]
fn no_event_names_an_attempt_that_is_over() {
    for_all_walks(|walk| {
        let mut current = std::collections::BTreeMap::new();
        let mut over = std::collections::BTreeSet::new();
        for Step { command, answer, .. } in &walk.steps {
            let Answer::Written(events) = answer else { continue };
            for event in events {
                let Some(attempt) = named(event) else { continue };
                prop_assert!(
                    !over.contains(&(command.run, attempt)),
                    "{:?} after its attempt was followed by another",
                    event
                );
                let previous = current.insert(command.run, attempt);
                over.extend(previous.filter(|previous| *previous != attempt).map(|previous| (command.run, previous)));
            }
        }
        Ok(())
    });
}

/// The attempt that an event speaks about.
fn named(event: &Event) -> Option<AttemptId> {
    match event {
        Event::Started { attempt, .. }
        | Event::Waiting { attempt, .. }
        | Event::Exited { attempt, .. }
        | Event::Failed { attempt, .. }
        | Event::RunnerDisconnected { attempt, .. }
        | Event::ExitAmended { attempt, .. }
        | Event::Reconciled { attempt, .. } => Some(*attempt),
        Event::Created { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotDispatched { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotFailed { .. } => None,
    }
}

fn present(step: &Step) -> Option<&Run> {
    step.before.state(step.command.run).run()
}
