use std::sync::Arc;

use proptest::prelude::*;
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, ActionName, Entry, Position, RunnerId, StartMode, SystemFact, Version};
use tachograph_projections::{Item, ItemBody, Projection, Silence, Timeline};

use crate::recorder::{Recorder, a_journal, cases, exit, opened, session, version};

const RUN: u64 = 1;

fn timeline(entries: &[Entry]) -> Timeline {
    let mut timeline = Timeline::of(ids::run(RUN));
    entries.iter().for_each(|entry| timeline.apply(entry));
    timeline
}

fn names(timeline: &Timeline) -> Vec<&'static str> {
    timeline.items().iter().map(|item| item.body.name()).collect()
}

fn start(attempt: u64, mode: StartMode) -> Action {
    Action::Start { attempt: ids::attempt(attempt), runner: RunnerId::from("r1"), mode }
}

/// A run that waits with an armed snapshot and exits, while the writer crashes and somebody reports too late.
fn story() -> Recorder {
    let (run, other) = (ids::run(RUN), ids::run(2));
    let mine = claim(run, 1, "r1");
    let mut recorder = Recorder::default();
    recorder.at(0).system(opened());
    recorder.at(1).submit(run, Action::Create { spec: Arc::new(spec("build")) });
    recorder.at(2).submit(other, Action::Create { spec: Arc::new(spec("other")) });
    recorder.at(3).submit(run, start(1, StartMode::Fresh));
    recorder.at(4).submit(run, Action::Wait { claim: mine.clone(), on: "mail".to_owned(), deadline: None });
    let due = tachograph_engine::domain::Timestamp::from_micros(9_000_000);
    recorder.submit(run, Action::ScheduleSnapshot { claim: mine.clone(), snapshot: ids::snapshot(1), due });
    recorder.at(3_604).system(opened());
    recorder.submit(run, Action::Exit { claim: mine.clone(), exit: exit(7) });
    recorder.at(3_605).system(SystemFact::Closed(session())).at(3_600).system(opened());
    recorder.submit(run, Action::Exit { claim: mine, exit: exit(9) });
    recorder.at(3_700).system(SystemFact::Closed(session()));
    recorder
}

#[test]
fn events_causes_refusals_and_system_facts_stand_in_one_order() {
    let timeline = timeline(&story().entries);
    assert_eq!(
        names(&timeline),
        [
            "Created",
            "Started",
            "Waiting",
            "SnapshotScheduled",
            "Opened",
            "SnapshotCanceled",
            "Exited",
            "Closed",
            "Opened",
            "Refused"
        ],
        "the first opening is before the run, the last close after it"
    );
    let positions: Vec<_> = timeline.items().iter().map(|item| item.position.0).collect();
    assert_eq!(positions, [2, 4, 5, 6, 7, 8, 8, 9, 10, 11]);
    let deltas: Vec<_> = timeline.items().iter().map(|item| item.delta_us.map(|delta| delta / 1_000_000)).collect();
    let expected = [None, Some(2), Some(1), Some(0), Some(3_600), Some(0), Some(0), Some(1), Some(-5), Some(0)];
    assert_eq!(deltas, expected);

    let canceled = &timeline.items()[5];
    let cause = canceled.body.cause().unwrap();
    assert_eq!((cause.action, cause.actor.to_string()), (ActionName::Exit, "supervisor:test".to_owned()));
    assert!(matches!(canceled.body, ItemBody::Event { version: Version(5), applied: true, .. }));
    let refused = timeline.items().last().unwrap();
    let ItemBody::Refused { refusal, count: 1, cause } = &refused.body else { panic!("{refused:?}") };
    assert_eq!((refusal.code(), cause.action), ("conflicting_terminal", ActionName::Exit));
    assert_eq!(timeline.state().version(), Version(6));
}

#[test]
fn a_silence_is_named_with_what_lies_around_it() {
    let timeline = timeline(&story().entries);
    let found: Vec<_> = timeline.silences(60_000).collect();
    assert_eq!(found, [Silence { after: Position(6), before: Position(7), micros: 3_600_000_000 }]);
    assert_eq!(timeline.silences(0).count(), 4, "a step back is no silence, nor is no time at all");
    assert_eq!(timeline.silences(u64::MAX).count(), 0);
}

#[test]
fn the_runs_own_entries_alone_give_the_same_history_without_the_writers() {
    let story = story();
    let own: Vec<_> = story.entries.iter().filter(|entry| entry.run() == Some(ids::run(RUN))).cloned().collect();
    let of_run = |timeline: &Timeline| -> Vec<ItemBody> {
        let items = timeline.items().iter().map(|item: &Item| item.body.clone());
        items.filter(|body| body.cause().is_some()).collect()
    };
    let alone = timeline(&own);
    assert_eq!(of_run(&alone), of_run(&timeline(&story.entries)));
    assert_eq!(alone.items().len(), 7);
}

#[test]
fn entries_that_were_not_read_leave_a_note_and_a_flag() {
    let mut entries = story().entries;
    entries.retain(|entry| !matches!(entry.position.0, 4 | 5));
    let timeline = timeline(&entries);
    assert_eq!(names(&timeline)[..3], ["Created", "Missing", "SnapshotScheduled"]);
    assert_eq!(timeline.items()[1].body, ItemBody::Missing { up_to: Position(5) });
    assert!(matches!(timeline.items()[2].body, ItemBody::Event { applied: false, version: Version(4), .. }));
}

#[test]
fn refusals_before_the_run_exists_are_shown_without_the_writers_sessions_around_them() {
    let mut recorder = Recorder::default();
    recorder.submit(ids::run(RUN), start(1, StartMode::Fresh)).system(opened()).system(opened());
    assert_eq!(names(&timeline(&recorder.entries)), ["Refused"]);
    recorder.submit(ids::run(RUN), Action::Create { spec: Arc::new(spec("build")) });
    assert_eq!(names(&timeline(&recorder.entries)), ["Refused", "Opened", "Opened", "Created"]);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_event_is_shown_once_with_its_version(steps in a_journal()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let mut timeline = timeline(&recorder.entries);
        // Once more: what was applied already must change nothing.
        recorder.entries.iter().for_each(|entry| timeline.apply(entry));
        let mut versions = Vec::new();
        for item in timeline.items() {
            if let ItemBody::Event { version, applied, .. } = &item.body {
                prop_assert!(applied);
                versions.push(version.0);
            }
            let missing = matches!(item.body, ItemBody::Missing { .. });
            prop_assert!(!missing, "{:?}", item);
        }
        let expected: Vec<_> = (1..=version(&recorder, ids::run(RUN)).0).collect();
        prop_assert_eq!(versions, expected);
        prop_assert_eq!(timeline.state(), recorder.fleet.state(ids::run(RUN)));
        let refused = timeline.items().iter().filter(|item| matches!(item.body, ItemBody::Refused { .. })).count();
        let own = recorder.entries.iter().filter(|entry| entry.run() == Some(ids::run(RUN)));
        prop_assert_eq!(refused, own.filter(|entry| entry.events().is_empty()).count());
    }
}
