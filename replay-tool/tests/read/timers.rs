//! What is armed, and what of it is overdue.

use std::sync::Arc;

use serde_json::Value;
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Action, Position};
use tachograph_replay::cli::{ShowArgs, TimersArgs};
use tachograph_replay::output::Format;
use tachograph_replay::when::{AsOf, When};
use tachograph_replay::{show, timers};
use tempfile::TempDir;

use crate::binary::{flip, ran, segments, stderr, stdout};
use crate::kept::run;
use crate::made::START;
use crate::recorded::{Recorded, cancel_by, supervisor_on};

fn listed(recorded: &Recorded, args: &TimersArgs) -> Vec<Value> {
    let text = recorded.printed(Format::Json, async |reading| timers::list(reading, args).await).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn field<'a>(list: &'a [Value], name: &str) -> Vec<&'a Value> {
    list.iter().map(|timer| &timer[name]).collect()
}

#[test]
fn timers_are_listed_by_due_time_with_what_is_overdue() {
    let recorded = Recorded::new();
    let (_supervisor, late_snapshot, soon_snapshot) = run(async {
        let supervisor = recorded.open().await;
        let (late, soon) = (supervisor.waiting("late", "r1").await, supervisor.waiting("soon", "r2").await);
        let (late_snapshot, soon_snapshot) = (supervisor.arms(&late, 90).await, supervisor.arms(&soon, 10).await);
        supervisor.passes(10);
        (supervisor, late_snapshot, soon_snapshot)
    });
    let all = listed(&recorded, &TimersArgs::default());
    assert_eq!(field(&all, "name"), ["soon", "late", "late", "soon"]);
    assert_eq!(field(&all, "kind"), ["snapshot", "snapshot", "deadline", "deadline"]);
    assert_eq!(field(&all, "overdue"), [true, false, false, false], "due now is due");
    assert_eq!(field(&all, "due_in_us")[..2], [0, 80_000_000]);
    assert_eq!(field(&all, "snapshot")[..2], [&soon_snapshot.to_string(), &late_snapshot.to_string()]);
    assert_eq!(field(&all, "runner")[..2], ["r2", "r1"]);
    assert_eq!(field(&all, "armed")[..2], [9, 8]);
    let overdue = TimersArgs { overdue: true, ..TimersArgs::default() };
    assert_eq!(field(&listed(&recorded, &overdue), "name"), ["soon"]);
    let of_run = TimersArgs { run: Some("late".to_owned()), ..TimersArgs::default() };
    assert_eq!(field(&listed(&recorded, &of_run), "name"), ["late", "late"]);
    let limited = TimersArgs { limit: 1.try_into().ok(), ..TimersArgs::default() };
    assert_eq!(field(&listed(&recorded, &limited), "name"), ["soon"]);
    // As it was: `soon` was not armed at position 8, and not due after half of its time.
    let then = TimersArgs { at: Some(AsOf::Position(Position(8))), ..TimersArgs::default() };
    assert_eq!(field(&listed(&recorded, &then), "name"), ["late", "late", "soon"]);
    let half = AsOf::Time(When::At(START.plus_millis(5_000)));
    let then = listed(&recorded, &TimersArgs { at: Some(half), ..TimersArgs::default() });
    assert_eq!((&then[0]["due_in_us"], &then[0]["overdue"]), (&5_000_000.into(), &false.into()));
}

#[test]
fn what_was_canceled_or_dispatched_is_not_armed() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        let (canceled, dispatched) = (supervisor.waiting("a", "r1").await, supervisor.waiting("b", "r1").await);
        supervisor.arms(&canceled, 5).await;
        let snapshot = supervisor.arms(&dispatched, 0).await;
        supervisor.does(canceled.run, cancel_by("r1")).await;
        supervisor.does(dispatched.run, Action::DispatchSnapshot { snapshot }).await;
        supervisor.engine.close().await.unwrap();
    });
    assert_eq!(field(&listed(&recorded, &TimersArgs::default()), "kind"), ["deadline", "deadline"]);
}

#[test]
fn who_sees_to_overdue_timers_is_said() {
    let recorded = Recorded::new();
    let said = |what: &str| {
        let args = TimersArgs::default();
        let text = recorded.printed(Format::Text, async |reading| timers::list(reading, &args).await).unwrap();
        let last = text.lines().last().unwrap().to_owned();
        assert!(last.contains(what), "{text}");
        last
    };
    let supervisor = run(async {
        let supervisor = recorded.open().await;
        let waiting = supervisor.waiting("build", "r1").await;
        supervisor.arms(&waiting, 5).await;
        supervisor.passes(65);
        supervisor
    });
    let last = said("armed: 2; overdue: 1; the writer, ");
    assert!(!last.contains("opened next"), "of a writer elsewhere nothing is known: {last}");
    run(supervisor.engine.close()).unwrap();
    said(
        "is gone: it closed the journal; when the journal is opened next, what is due by then fires if its run goes on",
    );
    // It waits on although nothing is recorded any more.
    recorded.clock.advance(std::time::Duration::from_secs(60));
    let args = ShowArgs { run: "build".to_owned(), at: None };
    let shown = recorded.printed(Format::Text, async |reading| show::show(reading, &args).await).unwrap();
    assert!(shown.contains(", OVERDUE BY 2m00s\n"), "{shown}");
}

/// How many runs wait in it.
const RUNS: usize = 12;

/// A data directory that an engine writes to, with an armed snapshot that is overdue by any clock, and that engine.
fn beside() -> (TempDir, std::path::PathBuf, crate::recorded::Supervisor) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let clock = ManualClock::new(START);
    // It opens the journal long after the boot, so that no process can be too young to be it.
    clock.advance(std::time::Duration::from_secs(10 * 365 * 86_400));
    clock.set_wall(START.plus_millis(-365 * 86_400_000));
    let options = JournalOptions { segment_bytes: 2_048, ..JournalOptions::default() };
    let journal = FileJournal::open(&data, options);
    let supervisor = run(async {
        let supervisor = supervisor_on(journal, &clock, Arc::new(SeededIds::new(9))).await;
        for number in 0..RUNS {
            let waiting = supervisor.waiting(&format!("job-{number}"), "r1").await;
            supervisor.arms(&waiting, 5).await;
        }
        supervisor
    });
    (dir, data, supervisor)
}

#[test]
fn a_live_writer_is_read_beside_and_a_copy_without_one() {
    let (_dir, data, supervisor) = beside();
    let output = ran(&data, &["timers", "--overdue"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("armed: 24; overdue: 24; the writer, pid "), "{text}");
    assert!(last.ends_with(", is alive"), "{text}");
    let told = ran(&data, &["why-timer", "job-2"]);
    assert!(stdout(&told).contains("armed, OVERDUE BY "), "{}", stdout(&told));
    run(supervisor.engine.close()).unwrap();
    let text = stdout(&ran(&data, &["timers"]));
    assert!(text.ends_with("what is due by then fires if its run goes on\n"), "{text}");
}

#[test]
fn past_damage_the_rest_is_listed_and_nobody_takes_it_for_whole() {
    let (_dir, data, supervisor) = beside();
    run(supervisor.engine.close()).unwrap();
    let first = segments(&data).remove(1);
    flip(&first, std::fs::metadata(&first).unwrap().len() as usize / 2);
    let output = ran(&data, &["--format", "json", "timers"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    let list: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let nameless = list.iter().filter(|timer| timer["name"].is_null()).count();
    assert!(list.len() > RUNS && (list.len() < 2 * RUNS || nameless > 0), "{list:?}");
    assert!(stderr(&output).contains("\"damaged\""), "{}", stderr(&output));
}
