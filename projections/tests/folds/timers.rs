use std::collections::BTreeMap;

use proptest::prelude::*;
use tachograph_engine::domain::{Entry, Fleet, Status, Timestamp};
use tachograph_projections::{Projection, TimerKey, TimerOf, Timers};

use crate::recorder::{Recorder, a_journal, cases};

fn folded(entries: &[Entry]) -> Timers {
    let mut timers = Timers::empty();
    entries.iter().for_each(|entry| timers.apply(entry));
    timers
}

/// What the domain says is armed, with its runner and due time.
fn expected(fleet: &Fleet) -> BTreeMap<TimerKey, (String, Timestamp)> {
    let mut expected = BTreeMap::new();
    for (id, run) in fleet.runs().filter_map(|(id, state)| Some((id, state.run()?))) {
        if let Some(armed) = &run.armed {
            let key = TimerKey { run: id, of: TimerOf::Snapshot(armed.id) };
            expected.insert(key, (armed.runner.to_string(), armed.due));
        }
        if let (Status::Waiting { deadline: Some(deadline), .. }, Some(attempt)) = (&run.status, &run.attempt) {
            let key = TimerKey { run: id, of: TimerOf::Deadline(attempt.id) };
            expected.insert(key, (attempt.runner.to_string(), *deadline));
        }
    }
    expected
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_armed_is_what_the_domain_says_at_every_position(steps in a_journal()) {
        let (mut recorder, mut timers) = (Recorder::default(), Timers::empty());
        for step in &steps {
            let before = recorder.entries.len();
            recorder.step(step);
            recorder.entries[before..].iter().for_each(|entry| timers.apply(entry));
            let armed: BTreeMap<_, _> =
                timers.armed().into_iter().map(|timer| (timer.key, (timer.runner.to_string(), timer.due))).collect();
            prop_assert_eq!(&armed, &expected(&recorder.fleet));
        }
        // And the wheel holds exactly these.
        let mut left = expected(&recorder.fleet);
        while let Some(timer) = timers.pop_due(Timestamp::MAX) {
            prop_assert_eq!(left.remove(&timer.key).map(|(_, due)| due), Some(timer.due));
        }
        prop_assert!(left.is_empty(), "never handed out: {:?}", left);
    }

    #[test]
    fn timers_from_any_checkpoint_are_the_same(steps in a_journal(), cut in any::<prop::sample::Index>()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let entries = &recorder.entries;
        let early = folded(&entries[..cut.index(entries.len() + 1)]);
        let mut late = Timers::from_armed(early.position(), early.armed().into_iter().cloned().collect());
        prop_assert_eq!(&late, &early);
        entries.iter().for_each(|entry| late.apply(entry));
        prop_assert_eq!(late, folded(entries));
    }
}
