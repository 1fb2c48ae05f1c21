use std::sync::Arc;

use proptest::prelude::*;
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, Fleet, Position, RunId, RunRecord, RunSpec, RunnerId, StartMode, StatusName};
use tachograph_engine::domain::{Entry, Timestamp};
use tachograph_projections::{CurrentState, LabelFilter, Projection, RunFilter};

use crate::recorder::{Recorder, a_journal, cases, exit, opened};

fn create(name: &str) -> Action {
    Action::Create { spec: Arc::new(spec(name)) }
}

fn start(number: u64) -> Action {
    Action::Start { attempt: ids::attempt(number), runner: RunnerId::from("r"), mode: StartMode::Fresh }
}

fn folded(entries: &[Entry]) -> CurrentState {
    let mut state = CurrentState::empty();
    entries.iter().for_each(|entry| state.apply(entry));
    state
}

fn runs(records: impl Iterator<Item = impl std::borrow::Borrow<RunRecord>>) -> Vec<RunId> {
    records.map(|record| record.borrow().run.id).collect()
}

/// Invariant 9, for this fold: the states and names are the domain's own.
fn agrees(state: &CurrentState, fleet: &Fleet) -> Result<(), TestCaseError> {
    let expected: Vec<_> = fleet.runs().filter_map(|(_, state)| state.run().cloned()).collect();
    let actual: Vec<_> = state.records().map(|record| record.run.clone()).collect();
    prop_assert_eq!(actual, expected);
    for name in ["build", "test", "lint", "never"] {
        prop_assert_eq!(state.named(name).map(|record| record.run.id), fleet.resolve(name), "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn folded_state_equals_the_domains_at_every_position(steps in a_journal()) {
        let (mut recorder, mut state) = (Recorder::default(), CurrentState::empty());
        for step in &steps {
            let before = recorder.entries.len();
            recorder.step(step);
            recorder.entries[before..].iter().for_each(|entry| state.apply(entry));
            prop_assert_eq!(state.position(), Position(recorder.entries.len() as u64));
            agrees(&state, &recorder.fleet)?;
        }
    }

    #[test]
    fn folding_on_from_any_checkpoint_gives_the_same(steps in a_journal(), cut in any::<prop::sample::Index>()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let entries = &recorder.entries;
        let cut = cut.index(entries.len() + 1);
        let early = folded(&entries[..cut]);
        let mut late = CurrentState::from_records(early.position(), early.records().cloned().collect());
        prop_assert_eq!(&late, &early);
        // All entries again: those that are folded in already must change nothing.
        entries.iter().for_each(|entry| late.apply(entry));
        prop_assert_eq!(late, folded(entries));
    }
}

#[test]
fn random_journals_reach_every_status_and_both_answers() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut reached, mut accepted, mut refused) = (std::collections::BTreeSet::new(), 0, 0);
    for _ in 0..64 {
        let steps = a_journal().new_tree(&mut runner).unwrap().current();
        let mut recorder = Recorder::default();
        for step in &steps {
            recorder.step(step);
            reached.extend(recorder.fleet.runs().filter_map(|(_, state)| state.run()).map(|run| run.status.name()));
        }
        accepted += recorder.entries.iter().filter(|entry| !entry.events().is_empty()).count();
        refused += recorder.entries.iter().filter(|entry| entry.run().is_some() && entry.events().is_empty()).count();
    }
    assert_eq!(reached, StatusName::ALL.into(), "a random journal that never gets there proves nothing");
    assert!(accepted * 2 > refused && refused * 10 > accepted, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_name_stands_for_its_holder_and_after_it_for_the_last_one() {
    let (a, b, c) = (ids::run(1), ids::run(2), ids::run(3));
    let mut recorder = Recorder::default();
    recorder.submit(a, create("build")).submit(a, Action::Destroy { force: false, why: String::new() });
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, a, "a tombstone keeps the name for people");
    recorder.submit(b, create("build"));
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, b);

    // Refused, because the name is held: takes nothing.
    recorder.submit(c, create("build"));
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, b);
    assert!(folded(&recorder.entries).run(c).is_none());

    recorder.submit(b, start(1)).submit(b, Action::Exit { claim: claim(b, 1, "r"), exit: exit(1) });
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, b, "the last one, now that nobody holds it");
    recorder.submit(c, create("build")).submit(c, start(1));
    recorder.submit(c, Action::Exit { claim: claim(c, 1, "r"), exit: exit(1) });

    // The older run comes back: the name is its own again, also after its end.
    let restart = StartMode::Restart { previous: ids::attempt(1) };
    recorder.submit(b, Action::Start { attempt: ids::attempt(2), runner: RunnerId::from("r"), mode: restart });
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, b);
    recorder.submit(b, Action::Exit { claim: claim(b, 2, "r"), exit: exit(2) });
    let state = folded(&recorder.entries);
    assert_eq!(state.named("build").unwrap().run.id, b);
    assert_eq!(runs(state.all_named("build")), [a, c, b], "in the order in which they gave the name up");

    // What happens to a run after its end moves no name.
    recorder.submit(c, Action::Destroy { force: false, why: String::new() });
    assert_eq!(folded(&recorder.entries).named("build").unwrap().run.id, b);
    assert_eq!(folded(&recorder.entries).named("test"), None);
}

#[test]
fn every_part_of_a_filter_narrows() {
    let mut recorder = Recorder::default();
    let labelled = |stage: &str| {
        let mut spec = RunSpec { labels: [("stage".to_owned(), stage.to_owned())].into(), ..spec("build") };
        spec.name = None;
        Action::Create { spec: Arc::new(spec) }
    };
    recorder.at(10).submit(ids::run(1), labelled("ci")).at(20).submit(ids::run(2), labelled("release"));
    recorder.at(30).submit(ids::run(3), create("build")).at(40).submit(ids::run(2), start(1));
    let state = folded(&recorder.entries);
    let fit = |filter: RunFilter| runs(state.matching(&filter));
    let label = |label| RunFilter { labels: vec![label], ..RunFilter::default() };
    let at = |seconds: i64| Some(Timestamp::from_micros(seconds * 1_000_000));
    let (one, two, three) = (ids::run(1), ids::run(2), ids::run(3));

    assert_eq!(fit(RunFilter::default()), [one, two, three]);
    assert_eq!(fit(RunFilter { statuses: [StatusName::Started].into(), ..RunFilter::default() }), [two]);
    assert_eq!(fit(RunFilter { name: Some("build".into()), ..RunFilter::default() }), [three]);
    assert_eq!(fit(RunFilter { name: Some("bui".into()), ..RunFilter::default() }), []);
    assert_eq!(fit(label(LabelFilter::Has { key: "stage".into() })), [one, two]);
    assert_eq!(fit(label(LabelFilter::Is { key: "stage".into(), value: "ci".into() })), [one]);
    assert_eq!(fit(RunFilter { created_at_min: at(20), ..RunFilter::default() }), [two, three]);
    assert_eq!(fit(RunFilter { created_at_max: at(20), ..RunFilter::default() }), [one, two]);
    assert_eq!(fit(RunFilter { updated_at_min: at(31), ..RunFilter::default() }), [two]);
    assert_eq!(fit(RunFilter { updated_at_max: at(30), ..RunFilter::default() }), [one, three]);
    let both = RunFilter {
        statuses: [StatusName::Created, StatusName::Started].into(),
        labels: vec![
            LabelFilter::Has { key: "stage".into() },
            LabelFilter::Is { key: "stage".into(), value: "release".into() },
        ],
        created_at_max: at(20),
        ..RunFilter::default()
    };
    assert_eq!(fit(both), [two]);
}

#[test]
fn a_damaged_history_is_folded_as_far_as_it_makes_sense() {
    let mut recorder = Recorder::default();
    recorder.submit(ids::run(1), create("build")).submit(ids::run(1), start(1)).system(opened());
    let mut entries = recorder.entries;
    entries.remove(0);
    let state = folded(&entries);
    assert_eq!((state.records().len(), state.position()), (0, Position(3)));
}
