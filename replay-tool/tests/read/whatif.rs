//! The recorded commands under other rules.

use tachograph_engine::domain::{
    Action, Claim, Digest, Exit, ExitStatus, Position, RunId, SnapshotId, StartMode, Witness,
};
use tachograph_projections::Decided;
use tachograph_replay::cli::{RuleArgs, WhatifArgs};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::exit;
use tachograph_replay::output::Format;
use tachograph_replay::rule::{Became, Flip, FlipKind, Move, Rules, Waiver, WhatIf, Which, what_if};
use tachograph_replay::whatif;

use crate::binary::{made as made_on_disk, ran, stderr, stdout};
use crate::golden::check;
use crate::kept::{dataset, printed, run};
use crate::made::{self, BUILD, BUILD_AGAIN, NAMELESS, NIGHTLY};
use crate::recorded::{Recorded, Supervisor, Waiting, cancel_by};

fn without(waivers: &[Waiver]) -> Rules {
    Rules { without: waivers.iter().copied().collect(), ..Rules::default() }
}

fn told(dataset: &Dataset, rules: Rules) -> WhatIf {
    run(what_if(dataset, rules)).unwrap()
}

/// The only run that comes out otherwise.
fn only(told: &WhatIf) -> &Flip {
    let [flip] = told.flips.as_slice() else { panic!("{:#?}", told.flips) };
    flip
}

fn would_be(told: &WhatIf, run: RunId) -> Option<&str> {
    told.flips.iter().find(|flip| flip.run == run)?.would_be.outcome.as_deref()
}

fn exits(claim: &Claim, code: i32) -> Action {
    let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
    Action::Exit { claim: claim.clone(), exit }
}

#[test]
fn without_a_guard_the_refused_report_counts() {
    let told = told(&dataset(), without(&[Waiver::ConflictingTerminal]));
    let flip = only(&told);
    assert_eq!((flip.run, flip.parts_at), (made::run(BUILD), Position(6)));
    assert_eq!(flip.kinds, [FlipKind::Outcome, FlipKind::Accepted]);
    assert_eq!(flip.recorded.outcome.as_deref(), Some("Exited with code 0"));
    assert_eq!(flip.would_be.outcome.as_deref(), Some("Exited with code 137"));
    assert_eq!(flip.changes[0].waived, [Waiver::ConflictingTerminal]);
}

#[test]
fn one_guard_that_is_off_leaves_the_others_on() {
    let told = told(&dataset(), without(&[Waiver::WrongRunner]));
    let flip = only(&told);
    assert_eq!((flip.run, flip.parts_at), (made::run(BUILD), Position(4)));
    // The impostor's end is the first now, so the holder's own two are refused; 137 again is the same once more.
    assert_eq!((flip.accepted, flip.refused), (2, 1));
    assert_eq!(flip.would_be.outcome.as_deref(), Some("Exited with code 137"));
}

#[test]
fn rules_that_change_nothing_flip_nothing() {
    for waiver in Waiver::ALL {
        let without = told(&dataset(), without(&[waiver]));
        let expected = match waiver {
            Waiver::ConflictingTerminal | Waiver::WrongRunner | Waiver::NotOwner => 1,
            _ => 0,
        };
        assert!(without.flips.len() <= 1, "{waiver}: {:#?}", without.flips);
        assert_eq!(without.flips.len(), expected, "{waiver}: {:#?}", without.flips);
        assert_eq!(waiver.code().parse(), Ok(waiver));
    }
}

#[test]
fn a_dropped_creation_leaves_nothing_and_frees_the_name() {
    let created = Position(2);
    let told = told(&dataset(), Rules { dropped: vec![Which::At(created)], ..Rules::default() });
    let flip = told.flips.iter().find(|flip| flip.run == made::run(BUILD)).unwrap();
    assert_eq!((flip.would_be.status, flip.parts_at), (None, created));
    assert!(flip.refused > 0 && flip.accepted == 0, "{flip:#?}");
    assert_eq!(told.flips.len(), 1);
}

#[test]
fn a_command_is_dropped_by_its_id_as_well_and_must_be_recorded() {
    let by_id = |text: &str| Rules { dropped: vec![text.parse().unwrap()], ..Rules::default() };
    let by_position = told(&dataset(), by_id("2")).flips;
    assert_eq!(told(&dataset(), by_id("03000000000000000000000002")).flips, by_position);
    for text in ["03000000000000000000000099", "99", "1"] {
        let error = run(what_if(&dataset(), by_id(text))).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("invalid_input", exit::USAGE), "{text}: {error}");
    }
}

#[test]
fn a_command_that_comes_earlier_wins() {
    // The second end of the first build comes before the first one.
    let moved = vec![Move { from: Position(6), to: Position(5) }];
    let earlier = told(&dataset(), Rules { moved, ..Rules::default() });
    assert_eq!(would_be(&earlier, made::run(BUILD)), Some("Exited with code 137"));
    // And the same by letting the first come later.
    let moved = vec![Move { from: Position(5), to: Position(6) }];
    let later = told(&dataset(), Rules { moved, ..Rules::default() });
    assert_eq!(would_be(&later, made::run(BUILD)), Some("Exited with code 137"));
    let moved = vec![Move { from: Position(5), to: Position(99) }];
    assert!(run(what_if(&dataset(), Rules { moved, ..Rules::default() })).is_err());
}

/// A bundle of the first build alone, and the positions that are in it.
fn alone() -> (tempfile::TempDir, Dataset, Vec<Position>) {
    let (dir, data) = made_on_disk();
    let bundle = dir.path().join("alone.bundle");
    let exported = ran(&data, &["export", "--run", BUILD, "--out", bundle.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    let dataset = Dataset::open(&bundle).unwrap();
    let mut positions = Vec::new();
    let head = dataset.reader().head().position;
    run(dataset.visit(Position::ZERO, head, |entry| {
        positions.push(entry.position);
        true
    }))
    .unwrap();
    (dir, dataset, positions)
}

#[test]
fn a_command_comes_where_no_entry_is_as_well() {
    let (_dir, dataset, positions) = alone();
    let (last, head) = (*positions.last().unwrap(), dataset.reader().head().position);
    let absent = |from: u64, to: u64| (from..=to).map(Position).filter(|position| !positions.contains(position));
    // Between entries that are there, and behind the last one.
    let mut places: Vec<Position> = absent(7, last.0).collect();
    assert!(!places.is_empty(), "{positions:?}");
    places.extend(absent(last.0, head.0));
    for to in places {
        let moved = vec![Move { from: Position(5), to }];
        let later = told(&dataset, Rules { moved, ..Rules::default() });
        assert_eq!(would_be(&later, made::run(BUILD)), Some("Exited with code 137"), "at {to}");
        let flip = only(&later);
        let given = flip.changes.iter().find(|change| change.position == to);
        assert!(
            given.is_some_and(|given| matches!(given.would_be, Became::Decided(Decided::Refused(_)))),
            "at {to}: {:#?}",
            flip.changes
        );
        let nothing = told(&dataset, Rules { snapshot_delay_ms: Some(1), ..Rules::default() });
        assert_eq!(later.commands, nothing.commands, "each once");
    }
}

#[test]
fn rules_about_the_same_command_are_refused() {
    let moves = |from, to| Move { from: Position(from), to: Position(to) };
    let by_id = "03000000000000000000000007".parse::<Which>().unwrap();
    let both = |dropped: Vec<Which>, moved: Vec<Move>| Rules { dropped, moved, ..Rules::default() };
    for (rules, named) in [
        (both(vec![Which::At(Position(7))], vec![moves(7, 4)]), ["--drop 7", "--move 7:4"]),
        (both(vec![by_id], vec![moves(7, 4)]), ["--drop 03000000000000000000000007", "--move 7:4"]),
        (both(Vec::new(), vec![moves(7, 4), moves(7, 3)]), ["--move 7:4", "--move 7:3"]),
        (both(Vec::new(), vec![moves(7, 4), moves(7, 4)]), ["--move 7:4", "--move 7:4"]),
    ] {
        let error = run(what_if(&dataset(), rules)).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("invalid_input", exit::USAGE), "{error}");
        assert!(named.iter().all(|option| error.to_string().contains(option)), "{error}");
    }
}

/// A run that is destroyed while its actor stays, and the next one.
async fn reused(supervisor: &Supervisor) -> (RunId, RunId) {
    let first = supervisor.waiting("sandbox", "container-1").await;
    supervisor.does(first.run, Action::Destroy { force: true, why: "deleted".to_owned() }).await;
    let second = supervisor.waiting("sandbox", "container-2").await;
    supervisor.refuses("container-1", first.run, exits(&first.claim, 0)).await;
    supervisor.does(second.run, exits(&second.claim, 5)).await;
    (first.run, second.run)
}

#[test]
fn with_row_ids_a_late_exit_ends_the_next_run() {
    let recorded = Recorded::new();
    let (first, second) = run(async {
        let supervisor = recorded.open().await;
        let runs = reused(&supervisor).await;
        supervisor.engine.close().await.unwrap();
        runs
    });
    let told = told(&recorded.dataset(), Rules { naive_row_ids: true, ..Rules::default() });
    let flip = only(&told);
    assert_eq!((flip.run, flip.changes[0].run), (second, first));
    assert_eq!(flip.recorded.outcome.as_deref(), Some("Exited with code 5"));
    assert_eq!(flip.would_be.outcome.as_deref(), Some("Exited with code 0"));
    assert_eq!((flip.accepted, flip.refused), (1, 1), "its own end comes too late");
    let revived = self::told(&recorded.dataset(), without(&[Waiver::RunDestroyed]));
    assert_eq!(only(&revived).run, first, "ids that never come back hit nobody else");
}

async fn dispatched(supervisor: &Supervisor, waiting: &Waiting, snapshot: SnapshotId) {
    supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
    let (location, bytes, digest) = ("a".to_owned(), 1, Digest::ZERO);
    supervisor.does(waiting.run, Action::CompleteSnapshot { snapshot, location, bytes, digest }).await;
}

/// Three runs: one ends before its snapshot is due at 5 s, one after it was taken, and one goes on before it. Then time
/// passes.
fn three_waits() -> (Recorded, [(RunId, SnapshotId); 3]) {
    let recorded = Recorded::new();
    let armed = run(async {
        let supervisor = recorded.open().await;
        let mut armed = Vec::new();
        for name in ["ends", "stays", "resumes"] {
            let waiting = supervisor.waiting(name, "vm").await;
            let snapshot = supervisor.arms(&waiting, 5).await;
            armed.push((waiting, snapshot));
        }
        let [(ends, _), (stays, taken), (resumes, _)] = armed.as_slice() else { panic!("three") };
        supervisor.passes(2);
        supervisor.does(ends.run, exits(&ends.claim, 0)).await;
        supervisor.passes(2);
        let Claim { attempt, runner, .. } = resumes.claim.clone();
        let mode = StartMode::Resume { previous: attempt };
        supervisor.does(resumes.run, Action::Start { attempt, runner, mode }).await;
        supervisor.passes(2);
        dispatched(&supervisor, stays, *taken).await;
        supervisor.passes(4);
        supervisor.does(stays.run, exits(&stays.claim, 0)).await;
        supervisor.engine.close().await.unwrap();
        [0, 1, 2].map(|index| (armed[index].0.run, armed[index].1))
    });
    (recorded, armed)
}

fn delay(seconds: i64) -> Rules {
    Rules { snapshot_delay_ms: Some(seconds * 1_000), ..Rules::default() }
}

#[test]
fn with_another_delay_other_snapshots_are_taken() {
    let (recorded, [ends, stays, resumes]) = three_waits();
    let taken = |rules: Rules| -> Vec<(RunId, Vec<SnapshotId>)> {
        let told = told(&recorded.dataset(), rules);
        assert!(told.flips.iter().all(|flip| flip.kinds == [FlipKind::Snapshots]), "{:#?}", told.flips);
        told.flips.iter().map(|flip| (flip.run, flip.snapshots_would_be.clone())).collect()
    };
    let all = |armed: &[(RunId, SnapshotId)]| armed.iter().map(|(run, id)| (*run, vec![*id])).collect::<Vec<_>>();
    assert_eq!(taken(delay(5)), []);
    assert_eq!(taken(delay(1)), all(&[ends, resumes]));
    assert_eq!(taken(delay(3)), all(&[resumes]));
    assert_eq!(taken(delay(9)), [], "later, and taken all the same");
    assert_eq!(taken(delay(11)), [(stays.0, Vec::new())]);
}

#[test]
fn a_snapshot_that_nobody_cancels_is_taken_of_a_run_that_went_on() {
    let (recorded, [ends, _, resumes]) = three_waits();
    let told = told(&recorded.dataset(), without(&[Waiver::TransitionCancel]));
    let flipped: Vec<_> = told.flips.iter().map(|flip| (flip.run, flip.snapshots_would_be.clone())).collect();
    assert_eq!(flipped, [(ends.0, vec![ends.1]), (resumes.0, vec![resumes.1])]);
    assert_eq!(told.flips[0].would_be.outcome.as_deref(), Some("Exited with code 0"), "paused after its end");
}

#[test]
fn a_snapshot_is_not_dispatched_while_no_writer_is_there() {
    let recorded = Recorded::new();
    let waiting = run(async {
        let supervisor = recorded.open().await;
        let waiting = supervisor.waiting("left", "vm").await;
        supervisor.arms(&waiting, 3_600).await;
        supervisor.engine.close().await.unwrap();
        waiting
    });
    recorded.clock.advance(std::time::Duration::from_secs(60));
    run(async {
        let supervisor = recorded.open().await;
        supervisor.does(waiting.run, exits(&waiting.claim, 0)).await;
        supervisor.engine.close().await.unwrap();
    });
    let told = told(&recorded.dataset(), delay(10));
    let flip = only(&told);
    let positions: Vec<u64> = flip.changes.iter().map(|change| change.position.0).collect();
    // Opened, created, started, waits, armed, closed, opened, ended: it fires after the opening, before the end.
    assert_eq!(positions, [5, 8, 8], "{:#?}", flip.changes);
}

#[test]
fn a_cancel_by_anybody_counts_without_its_guard() {
    let recorded = Recorded::new();
    let (waiting, snapshot) = run(async {
        let supervisor = recorded.open().await;
        let waiting = supervisor.waiting("build", "vm-1").await;
        let snapshot = supervisor.arms(&waiting, 5).await;
        supervisor.refuses("vm-0", waiting.run, cancel_by("vm-0")).await;
        supervisor.passes(6);
        dispatched(&supervisor, &waiting, snapshot).await;
        supervisor.does(waiting.run, exits(&waiting.claim, 0)).await;
        supervisor.engine.close().await.unwrap();
        (waiting, snapshot)
    });
    let told = told(&recorded.dataset(), without(&[Waiver::NotOwner]));
    let flip = only(&told);
    assert_eq!((flip.run, &flip.snapshots_recorded, &flip.snapshots_would_be), (waiting.run, &vec![snapshot], &vec![]));
    assert_eq!(told.not_asked, 2, "neither dispatched nor taken: nothing is armed");
    assert_eq!((flip.accepted, flip.refused), (1, 0));
}

fn args(rules: RuleArgs) -> WhatifArgs {
    WhatifArgs { rules, ..WhatifArgs::default() }
}

#[test]
fn what_would_be_is_told() {
    let guards = vec![Waiver::ConflictingTerminal, Waiver::WrongRunner];
    let all = args(RuleArgs { without: guards, ..RuleArgs::default() });
    let one = WhatifArgs { run: Some(BUILD.to_owned()), ..all.clone() };
    for (args, name) in [
        (all, "whatif"),
        (one, "whatif-run"),
        (args(RuleArgs { drop: vec![Which::At(Position(8))], ..RuleArgs::default() }), "whatif-dropped"),
        (args(RuleArgs { without: vec![Waiver::RunExists], ..RuleArgs::default() }), "whatif-none"),
    ] {
        for (format, end) in [(Format::Json, "json"), (Format::Text, "txt")] {
            let text = printed(format, async |reading| whatif::tell(reading, &args).await).unwrap();
            check(&format!("{name}.{end}"), &text);
        }
    }
    let limited = WhatifArgs {
        limit: std::num::NonZeroUsize::new(1),
        ..args(RuleArgs { drop: vec![Which::At(Position(2)), Which::At(Position(7))], ..RuleArgs::default() })
    };
    let text = printed(Format::Text, async |reading| whatif::tell(reading, &limited).await).unwrap();
    assert!(text.contains(BUILD) && !text.contains(NIGHTLY) && text.contains("… and 1 runs more"), "{text}");
    assert!(!text.contains(BUILD_AGAIN) && !text.contains(NAMELESS), "{text}");
}

#[test]
fn a_run_that_comes_out_as_recorded_is_told_as_that() {
    let rules = RuleArgs { moves: vec![Move { from: Position(8), to: Position(9) }], ..RuleArgs::default() };
    let untouched = WhatifArgs { run: Some(BUILD.to_owned()), ..args(rules) };
    let text = printed(Format::Text, async |reading| whatif::tell(reading, &untouched).await).unwrap();
    assert!(text.contains(&format!("run {BUILD} comes out as recorded\n")), "{text}");
    let times = WhatifArgs {
        run: Some(BUILD.to_owned()),
        ..args(RuleArgs { moves: vec![Move { from: Position(2), to: Position(1) }], ..RuleArgs::default() })
    };
    let text = printed(Format::Text, async |reading| whatif::tell(reading, &times).await).unwrap();
    assert!(text.contains("comes out as recorded: its history parts in times only, at position 1"), "{text}");
}

#[test]
fn the_binary_wants_a_rule_and_changes_nothing() {
    let (dir, data) = made_on_disk();
    let before = crate::binary::everything(dir.path());
    let none = ran(&data, &["whatif"]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    let wrong = ran(&data, &["whatif", "--without", "stale"]);
    assert!(wrong.status.code() == Some(2) && stderr(&wrong).contains("stale_attempt"), "{}", stderr(&wrong));
    let first = ran(&data, &["whatif", "--without", "first_terminal", "--format", "json"]);
    assert_eq!((first.status.code(), stderr(&first).as_str()), (Some(0), ""));
    assert_eq!(stdout(&ran(&data, &["whatif", "--format=json", "--without=first_terminal"])), stdout(&first));
    assert_eq!(crate::binary::everything(dir.path()), before);
}
