use proptest::prop_assert_eq;
use tachograph_engine::domain::Position;
use tachograph_replay::rule::{Move, Rules, Waiver, Which};
use tachograph_tests::again::assert_decided_again;

use super::Expecting::Nothing;
use super::{for_all_journals, model};

#[test]
fn with_all_rules_on_nothing_comes_out_otherwise() {
    for_all_journals(Nothing, async |journal| {
        let recheck = assert_decided_again(&journal.entries);
        prop_assert_eq!(recheck.tally().undecided, 0);
        let told = journal.what_if(Rules::default()).await;
        prop_assert_eq!((told.flips, told.parted), (Vec::new(), 0));
        Ok(told.commands > 0)
    });
}

#[test]
fn a_dropped_command_was_never_given() {
    for_all_journals(Nothing, async |journal| {
        let count = journal.commands().count();
        let Some((dropped, command)) = journal.commands().nth(count / 2) else { return Ok(false) };
        let others = journal.commands().filter(|(entry, _)| entry.position != dropped.position);
        let expected = model::given(others.map(|(_, command)| command), |_, _| {});
        for which in [Which::At(dropped.position), Which::Id(command.id)] {
            let rules = Rules { dropped: vec![which], ..Rules::default() };
            prop_assert_eq!(&journal.endings(rules).await, &expected);
        }
        Ok(expected != model::recorded(&journal.entries))
    });
}

#[test]
fn a_moved_command_is_given_at_its_new_place() {
    for_all_journals(Nothing, async |journal| {
        let positions: Vec<Position> = journal.commands().map(|(entry, _)| entry.position).collect();
        let count = positions.len();
        if count < 4 {
            return Ok(false);
        }
        let mut is_otherwise = false;
        for (from, to) in [(count / 3, 2 * count / 3), (2 * count / 3, count / 3)] {
            let mut commands: Vec<_> = journal.commands().map(|(_, command)| command.clone()).collect();
            // On the clock of these journals no time passes.
            let moved = commands.remove(from);
            commands.insert(to, moved);
            let rules = Rules { moved: vec![Move { from: positions[from], to: positions[to] }], ..Rules::default() };
            let expected = model::given(&commands, |_, _| {});
            prop_assert_eq!(&journal.endings(rules).await, &expected);
            is_otherwise |= expected != model::recorded(&journal.entries);
        }
        Ok(is_otherwise)
    });
}

#[test]
fn whatever_is_off_the_answer_is_always_the_same_and_no_walk_makes_it_fail() {
    for_all_journals(Nothing, async |journal| {
        let all = Rules {
            without: Waiver::ALL.into(),
            snapshot_delay_ms: Some(1_000),
            naive_row_ids: true,
            ..Rules::default()
        };
        let told = journal.what_if(all.clone()).await;
        prop_assert_eq!(&told, &journal.what_if(all).await);
        Ok(!told.flips.is_empty())
    });
}
