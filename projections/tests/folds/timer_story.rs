//! The story of one snapshot: who armed it, over which restarts it was kept, and what became of it.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{
    Action, ActionName, CancelCause, Claim, Digest, EventName, Guard, Ordinal, Position, RunnerId, StartMode,
    SystemFact, Timestamp,
};
use tachograph_projections::{Absence, Projection, TimerFate, TimerStep, TimerStepBody, TimerStory};

use crate::recorder::{Recorder, opened, session};

fn claim() -> Claim {
    Claim { run: ids::run(1), attempt: ids::attempt(1), runner: RunnerId::from("r1") }
}

fn arm(number: u64, recorder: &Recorder, seconds: i64) -> Action {
    let due = Timestamp::from_micros(recorder.now + seconds * 1_000_000);
    Action::ScheduleSnapshot { claim: claim(), snapshot: ids::snapshot(number), due }
}

/// A run that waits, with snapshot 1 armed at 100 s and due at 110 s.
fn armed() -> Recorder {
    let mut recorder = Recorder::default();
    let start = Action::Start { attempt: ids::attempt(1), runner: RunnerId::from("r1"), mode: StartMode::Fresh };
    recorder.at(90).system(opened()).submit(ids::run(1), Action::Create { spec: spec("build").into() });
    recorder.submit(ids::run(1), start);
    recorder.submit(ids::run(1), Action::Wait { claim: claim(), on: "x".to_owned(), deadline: None });
    let action = arm(1, recorder.at(100), 10);
    recorder.submit(ids::run(1), action);
    recorder
}

fn story(recorder: &Recorder) -> TimerStory {
    TimerStory::of(ids::run(1), ids::snapshot(1)).folded(&recorder.entries)
}

fn last(story: &TimerStory) -> &TimerStepBody {
    let [.., TimerStep { body, .. }] = story.steps() else { panic!("{story:?}") };
    body
}

#[test]
fn arming_says_by_whom_for_which_attempt_and_after_which_delay() {
    let story = story(&armed());
    assert_eq!((story.fate(), story.steps().len()), (Some(TimerFate::Armed), 1));
    let TimerStepBody::Armed { ordinal, runner, delay_us, .. } = last(&story) else { panic!("{story:?}") };
    assert_eq!((*ordinal, runner.as_str(), *delay_us), (Some(Ordinal(1)), "r1", 10_000_000));
}

#[test]
fn an_opening_while_it_is_armed_arms_it_again_and_any_other_does_not_matter() {
    let mut recorder = armed();
    recorder.at(105).system(SystemFact::Closed(session())).at(120).system(opened());
    recorder.at(121).submit(ids::run(1), Action::DispatchSnapshot { snapshot: ids::snapshot(1) });
    recorder.at(122).submit(
        ids::run(1),
        Action::CompleteSnapshot { snapshot: ids::snapshot(1), location: "a".into(), bytes: 1, digest: Digest::ZERO },
    );
    recorder.at(123).system(opened());
    let story = story(&recorder);
    let opened: Vec<_> = story
        .steps()
        .iter()
        .filter_map(|step| match step.body {
            TimerStepBody::Opened { dispatched, was_closed, .. } => Some((dispatched, was_closed)),
            _ => None,
        })
        .collect();
    assert_eq!(opened, [(false, Some(true))]);
    assert_eq!((story.fate(), story.late_us()), (Some(TimerFate::Taken), Some(11_000_000)));
    let TimerStepBody::Taken { took_us, .. } = last(&story) else { panic!("{story:?}") };
    assert_eq!(*took_us, Some(1_000_000));
}

#[test]
fn an_absence_matters_only_if_it_was_not_over_when_the_snapshot_was_due() {
    let mut recorder = armed();
    // Away from 102 s to 104 s, from 108 s to 115 s, and from 120 s to 121 s: a crash each.
    for (last, next) in [(102, 104), (108, 115), (120, 121)] {
        recorder.at(last).submit(ids::run(9), Action::DispatchSnapshot { snapshot: ids::snapshot(9) });
        recorder.at(next).system(opened());
    }
    recorder.at(122).submit(ids::run(1), Action::DispatchSnapshot { snapshot: ids::snapshot(1) });
    let story = story(&recorder);
    let due = story.due().expect("a due time");
    let TimerStepBody::Dispatched { late_us, absences } = last(&story) else { panic!("{story:?}") };
    assert_eq!(*late_us, Some(12_000_000));
    let seen: Vec<_> = absences.iter().map(|absence| (absence.covers(due), absence.was_closed)).collect();
    assert_eq!(seen, [(true, false), (false, false)]);
}

#[test]
fn an_absence_covers_the_times_from_its_last_entry_until_the_opening() {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let absence = Absence { since: at(10), until: at(20), opened: Position(7), was_closed: true };
    let covered = [9, 10, 19, 20].map(|seconds| absence.covers(at(seconds)));
    assert_eq!(covered, [false, true, true, false]);
}

#[test]
fn a_cancel_names_the_transition_or_the_snapshot_in_its_place() {
    let mut recorder = armed();
    let action = arm(2, &recorder, 5);
    recorder.submit(ids::run(1), action);
    // About the second one.
    recorder.submit(ids::run(1), Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from("r9")) });
    recorder.submit(ids::run(1), Action::Destroy { force: true, why: "x".to_owned() });
    let first = story(&recorder);
    assert_eq!(
        *last(&first),
        TimerStepBody::Canceled {
            cause: CancelCause::Superseded,
            action: ActionName::ScheduleSnapshot,
            transition: None,
            replaced_by: Some(ids::snapshot(2)),
        }
    );
    let second = TimerStory::of(ids::run(1), ids::snapshot(2)).folded(&recorder.entries);
    assert!(matches!(second.steps()[1].body, TimerStepBody::Refused { .. }), "{second:?}");
    assert_eq!(
        *last(&second),
        TimerStepBody::Canceled {
            cause: CancelCause::Destroyed,
            action: ActionName::Destroy,
            transition: Some(EventName::Destroyed),
            replaced_by: None,
        }
    );
}

#[test]
fn what_was_not_read_is_said_and_nothing_is_made_up_about_it() {
    let mut recorder = armed();
    recorder.at(105).submit(ids::run(1), Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from("r9")) });
    recorder.at(120).system(opened());
    recorder.at(130).submit(ids::run(1), Action::DispatchSnapshot { snapshot: ids::snapshot(1) });
    // Without the entry before the opening nobody knows since when the writer was away.
    let refused = recorder.entries[5].position;
    let without = |lost| {
        let entries = recorder.entries.iter().filter(move |entry| entry.position != lost);
        TimerStory::of(ids::run(1), ids::snapshot(1)).folded(entries)
    };
    let story = without(refused);
    assert!(story.steps().iter().any(|step| step.body == TimerStepBody::Missing { up_to: refused }), "{story:?}");
    let TimerStepBody::Dispatched { absences, .. } = last(&story) else { panic!("{story:?}") };
    assert!(absences.is_empty(), "{absences:?}");
    // Without its arming nobody knows how late it was.
    let story = without(recorder.entries[4].position);
    assert_eq!((story.fate(), story.due(), story.late_us()), (Some(TimerFate::Dispatched), None, None));
}

#[test]
fn an_overlap_changes_nothing() {
    let mut recorder = armed();
    recorder.at(120).system(opened());
    let once = story(&recorder);
    let twice = once.clone().folded(&recorder.entries);
    assert_eq!(once, twice);
    assert_eq!(once.position(), recorder.entries.last().expect("entries").position);
}
