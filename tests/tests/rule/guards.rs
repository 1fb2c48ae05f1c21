use proptest::prop_assert_eq;
use tachograph_engine::domain::{Command, RunState};
use tachograph_replay::rule::{Rules, Waiver};

use super::{Expecting, for_all_journals, model};

fn without(waivers: &[Waiver]) -> Rules {
    Rules { without: waivers.iter().copied().collect(), ..Rules::default() }
}

/// With this guard off, every run ends up as where each command is changed like this.
#[track_caller]
fn as_if(expecting: Expecting, waivers: &[Waiver], change: impl Fn(&RunState, &mut Command)) {
    for_all_journals(expecting, async |journal| {
        let commands = journal.commands().map(|(_, command)| command);
        let expected = model::given(commands, &change);
        prop_assert_eq!(&journal.endings(without(waivers)).await, &expected);
        Ok(expected != model::recorded(&journal.entries))
    });
}

#[test]
fn versions_that_nobody_looks_at() {
    as_if(Expecting::Versions, &[Waiver::VersionConflict], model::any_version);
}

#[test]
fn destroying_without_force() {
    as_if(Expecting::Nothing, &[Waiver::ForceRequired], model::with_force);
}

#[test]
fn reports_by_anybody() {
    as_if(Expecting::Nothing, &[Waiver::WrongRunner], model::any_runner);
}

#[test]
fn names_that_several_runs_have() {
    for_all_journals(Expecting::Nothing, async |journal| {
        let commands = journal.commands().map(|(_, command)| command);
        let expected = model::given_alone(commands, |state, _| state.clone());
        prop_assert_eq!(&journal.endings(without(&[Waiver::NameHeld])).await, &expected);
        Ok(expected != model::recorded(&journal.entries))
    });
}

#[test]
fn the_last_report_about_an_end_wins() {
    let both = [Waiver::ConflictingTerminal, Waiver::NameHeld];
    for_all_journals(Expecting::Nothing, async |journal| {
        let commands = || journal.commands().map(|(_, command)| command);
        let expected = model::given_alone(commands(), model::last_end_wins);
        prop_assert_eq!(&journal.endings(without(&both)).await, &expected);
        Ok(expected != model::given_alone(commands(), |state, _| state.clone()))
    });
}

#[test]
fn reports_and_starts_of_any_attempt() {
    as_if(Expecting::Nothing, &[Waiver::StaleAttempt], model::any_attempt);
}

#[test]
fn reports_by_anybody_about_any_attempt() {
    as_if(Expecting::Nothing, &[Waiver::StaleAttempt, Waiver::WrongRunner], |state, command| {
        model::any_attempt(state, command);
        model::any_runner(state, command);
    });
}
