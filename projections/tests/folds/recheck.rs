use std::collections::BTreeMap;

use proptest::prelude::*;
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Command, Decision, Entry, EntryBody, Position, Refusal, RefusedCommand, RunId, RunRecord, RunState,
    StartMode, decide,
};
use tachograph_projections::{Decided, Projection, Recheck, RecheckTally};

use crate::recorder::{Recorder, a_journal, cases, exit};

fn rechecked(entries: &[Entry]) -> Recheck {
    let mut recheck = Recheck::default();
    entries.iter().for_each(|entry| recheck.apply(entry));
    recheck
}

/// Hands over what it lacks by way of the back pointers, as a reader of files does.
fn rechecked_keeping(settled_max: usize, entries: &[Entry]) -> (Recheck, usize) {
    let (mut recheck, mut recalls) = (Recheck::default().keeping(settled_max), 0);
    for entry in entries {
        if let (Some(mut next), Some(run)) = (recheck.lacks(entry), entry.run()) {
            recalls += 1;
            let mut history = Vec::new();
            loop {
                let entry = &entries[next.0 as usize - 1];
                history.insert(0, entry.clone());
                match entry.previous {
                    Some(previous) => next = previous,
                    None => break,
                }
            }
            recheck.recall(run, None, &history);
        }
        recheck.apply(entry);
    }
    (recheck, recalls)
}

/// The entries behind a position, with nothing from before but the runs as they were there.
fn rechecked_after(archived: usize, settled_max: usize, entries: &[Entry]) -> Recheck {
    let mut bases: BTreeMap<RunId, RunRecord> = BTreeMap::new();
    for entry in &entries[..archived] {
        let Some(run) = entry.run() else { continue };
        if let Some(record) = RunRecord::fold(bases.remove(&run), entry) {
            bases.insert(run, record);
        }
    }
    let unsettled = bases.values().filter(|record| !record.run.is_settled()).cloned().collect();
    let recheck = Recheck::default().keeping(settled_max);
    let mut recheck = recheck.beginning_after(Position(archived as u64), unsettled);
    for entry in &entries[archived..] {
        if let (Some(last), Some(run)) = (recheck.lacks(entry), entry.run()) {
            let (mut since, mut next) = (Vec::new(), Some(last));
            while let Some(position) = next.filter(|position| position.0 > archived as u64) {
                let entry = &entries[position.0 as usize - 1];
                since.insert(0, entry.clone());
                next = entry.previous;
            }
            recheck.recall(run, bases.get(&run).cloned(), &since);
        }
        recheck.apply(entry);
    }
    recheck
}

fn commands(entries: &[Entry]) -> u64 {
    let decidable = |entry: &&Entry| match &entry.body {
        EntryBody::Committed(_) => true,
        EntryBody::Refused(refused) => matches!(refused.command, RefusedCommand::Whole(_)),
        EntryBody::System(_) => false,
    };
    entries.iter().filter(decidable).count() as u64
}

/// Two runs of one name after another, with a second end and a late report.
fn two_builds() -> Recorder {
    let mut recorder = Recorder::default();
    let (first, second) = (ids::run(1), ids::run(2));
    let create = || Action::Create { spec: std::sync::Arc::new(spec("build")) };
    let mine = claim(first, 1, "r1");
    recorder
        .submit(first, create())
        .submit(second, create())
        .submit(first, Action::Start { attempt: mine.attempt, runner: mine.runner.clone(), mode: StartMode::Fresh })
        .submit(first, Action::Exit { claim: mine.clone(), exit: exit(1) })
        .submit(first, Action::Exit { claim: mine.clone(), exit: exit(2) })
        .submit(second, create())
        .submit(first, Action::Destroy { force: false, why: "done".to_owned() })
        .submit(first, Action::Exit { claim: mine, exit: exit(2) });
    recorder
}

/// A build in which the last report about an end wins.
fn last_end_wins(state: &RunState, command: &Command) -> Result<Decision, Refusal> {
    match decide(state, command) {
        Err(Refusal::ConflictingTerminal { .. }) => Ok(Decision::AlreadyRecorded),
        other => other,
    }
}

#[test]
fn a_changed_rule_is_found_where_it_matters_and_nowhere_else() {
    let recorder = two_builds();
    assert_eq!(rechecked(&recorder.entries).differences(), []);
    let mut recheck = Recheck::by(last_end_wins);
    recorder.entries.iter().for_each(|entry| recheck.apply(entry));
    let [difference] = recheck.differences() else { panic!("{:?}", recheck.differences()) };
    assert_eq!((difference.position, difference.run), (Position(5), ids::run(1)));
    assert_eq!((difference.recorded.code(), &difference.now), ("conflicting_terminal", &Decided::AlreadyRecorded));
    assert_eq!(recheck.tally().differing, 1);
}

#[test]
fn a_changed_rule_does_not_make_all_that_follows_differ() {
    fn no_restart(state: &RunState, command: &Command) -> Result<Decision, Refusal> {
        match &command.action {
            Action::Start { .. } => Err(Refusal::NothingPending),
            _ => decide(state, command),
        }
    }
    let recorder = two_builds();
    let mut recheck = Recheck::by(no_restart);
    recorder.entries.iter().for_each(|entry| recheck.apply(entry));
    let positions: Vec<u64> = recheck.differences().iter().map(|difference| difference.position.0).collect();
    assert_eq!(positions, [3], "the exit is decided on what was recorded");
}

#[test]
fn an_altered_record_is_found() {
    let mut recorder = two_builds();
    let EntryBody::Refused(refused) = &mut recorder.entries[4].body else { panic!("an entry with a refusal") };
    refused.refusal = Refusal::RunDestroyed;
    assert_eq!(rechecked(&recorder.entries).differences().len(), 1);

    let mut recorder = two_builds();
    let EntryBody::Committed(committed) = &mut recorder.entries[3].body else { panic!("a committed entry") };
    committed.version = committed.version.next();
    let recheck = rechecked(&recorder.entries);
    assert_eq!(recheck.differences().len(), 1, "the version is compared");
}

#[test]
fn differences_beyond_the_bound_are_counted_only() {
    let refuse: tachograph_projections::Decide = |_, _| Err(Refusal::NothingPending);
    let recorder = two_builds();
    let mut recheck = Recheck::by(refuse).listing(2);
    recorder.entries.iter().for_each(|entry| recheck.apply(entry));
    assert_eq!((recheck.differences().len(), recheck.tally().differing), (2, recorder.entries.len() as u64));
}

#[test]
fn counted_refusals_are_no_differences_and_are_told() {
    let mut recorder = two_builds();
    let template = recorder.entries[4].clone();
    for count in [2, 4, 8] {
        let mut entry = template.clone();
        entry.position = Position(recorder.entries.len() as u64 + 1);
        let EntryBody::Refused(refused) = &mut entry.body else { panic!("an entry with a refusal") };
        refused.count = count;
        refused.refusal = Refusal::RunDestroyed;
        let previous = recorder.entries.iter().rev().find(|before| before.run() == entry.run());
        entry.previous = previous.map(|before| before.position);
        recorder.entries.push(entry);
    }
    let recheck = rechecked(&recorder.entries);
    assert_eq!((recheck.differences(), recheck.tally().counted), ([].as_slice(), 1 + 3));
}

#[test]
fn where_entries_are_missing_nothing_is_claimed() {
    let recorder = two_builds();
    // Without the first end, the second would be accepted; without the first creation, the name would be free.
    for missing in 0..recorder.entries.len() {
        let mut entries = recorder.entries.clone();
        entries.remove(missing);
        let recheck = rechecked(&entries);
        assert_eq!(recheck.differences(), [], "without entry {}", missing + 1);
    }
    let mut entries = recorder.entries.clone();
    entries.remove(3);
    let recheck = rechecked(&entries);
    // The second end, the second creation (its name may be free), the destruction and the late report.
    assert_eq!(recheck.tally().undecided, 4);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_was_recorded_is_decided_again(steps in a_journal()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let recheck = rechecked(&recorder.entries);
        prop_assert_eq!(recheck.differences(), []);
        let RecheckTally { decided, written, refused, undecided, .. } = recheck.tally();
        prop_assert_eq!((decided, written + refused, undecided), (commands(&recorder.entries), decided, 0));
    }

    #[test]
    fn runs_that_were_let_go_are_decided_on_the_same_state(steps in a_journal(), settled_max in 0..3usize) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let (few, _) = rechecked_keeping(settled_max, &recorder.entries);
        prop_assert_eq!(few.differences(), []);
        prop_assert_eq!(few.tally(), rechecked(&recorder.entries).tally());
    }

    #[test]
    fn what_follows_an_archive_is_decided_on_the_runs_as_they_were_there(
        steps in a_journal(), cut in any::<prop::sample::Index>(), settled_max in 0..3usize,
    ) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let archived = cut.index(recorder.entries.len() + 1);
        let recheck = rechecked_after(archived, settled_max, &recorder.entries);
        prop_assert_eq!(recheck.differences(), []);
        let (before, whole) = (rechecked(&recorder.entries[..archived]).tally(), rechecked(&recorder.entries).tally());
        let RecheckTally { decided, written, refused, undecided, .. } = recheck.tally();
        prop_assert_eq!(undecided, 0, "archived {} of {}", archived, recorder.entries.len());
        prop_assert_eq!((before.decided + decided, before.written + written), (whole.decided, whole.written));
        prop_assert_eq!((before.refused + refused, undecided), (whole.refused, 0));
    }

    #[test]
    fn a_missing_entry_never_makes_a_difference(steps in a_journal(), cut in any::<prop::sample::Index>()) {
        let mut recorder = Recorder::default();
        steps.iter().for_each(|step| recorder.step(step));
        let mut entries = recorder.entries;
        if !entries.is_empty() {
            entries.remove(cut.index(entries.len()));
        }
        let recheck = rechecked(&entries);
        prop_assert_eq!(recheck.differences(), []);
    }
}

#[test]
fn settled_runs_are_let_go_and_called_back() {
    let recorder = two_builds();
    let (recheck, recalls) = rechecked_keeping(0, &recorder.entries);
    assert_eq!((recheck.differences(), recheck.tally().undecided), ([].as_slice(), 0));
    assert_eq!(recalls, 3, "the second end, the destruction and the late report");
}
