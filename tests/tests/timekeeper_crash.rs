//! kill -9 of a supervisor with a thousand armed snapshots, again and again: every one is canceled or dispatched, once,
//! and what was dispatched has one result (invariant 6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tachograph_engine::domain::{ActorKind, Entry, EntryBody, Event, SnapshotId, Timestamp};
use tachograph_tests::random::Numbers;
use tachograph_tests::witness::WitnessSnapshotter;
use tachograph_tests::{Place, Supervisor, rounds};
use tempfile::TempDir;

/// Kills that follow each other on the same data, before what is left is drained.
const KILLS_PER_PLACE: u64 = 10;
/// How much later each supervisor begins than the one before it: some snapshots become due in between.
const LATER_SECONDS: u64 = 20;
/// When all that was armed is due.
const DRAINED_AFTER_SECONDS: u64 = 31 * 24 * 3_600;
/// What the supervisor keeps armed.
const ARMED: u64 = 1_000;

fn supervisor(data: &Path, images: &Path, seed: u64, later_seconds: u64, drain: bool) -> Child {
    Command::new(env!("CARGO_BIN_EXE_crash-timekeeper"))
        .args([data, images])
        .args([seed.to_string(), later_seconds.to_string()])
        .args(drain.then_some("drain"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the supervisor starts")
}

/// Kills it after so many lines, and returns all that it printed.
fn killed(mut supervisor: Child, lines_before_kill: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(supervisor.stdout.take().expect("its output")).lines() {
        lines.push(line.expect("text"));
        if lines.len() as u64 == lines_before_kill {
            supervisor.kill().expect("SIGKILL");
        }
    }
    let status = supervisor.wait().expect("its end");
    assert!(lines.len() as u64 >= lines_before_kill, "it ended by itself, {status}, after {} lines", lines.len());
    lines
}

fn drained(mut supervisor: Child) -> Vec<String> {
    let lines = BufReader::new(supervisor.stdout.take().expect("its output")).lines();
    let lines: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert!(supervisor.wait().expect("its end").success());
    lines
}

/// What supervisors printed, from the first to the last.
#[derive(Debug, Default)]
struct Printed {
    /// Snapshots whose arming was acknowledged.
    armed: HashSet<SnapshotId>,
    /// Snapshots that were asked for.
    asked: HashSet<SnapshotId>,
}

impl Printed {
    fn add(&mut self, lines: &[String], context: &str) {
        for line in lines {
            let (what, id) = line.split_once(' ').expect("a word and an id");
            let is_first = match what {
                "armed" => self.armed.insert(id.parse().expect("a snapshot's id")),
                "asked" => self.asked.insert(id.parse().expect("a snapshot's id")),
                _ => true,
            };
            assert!(is_first, "{context}: {line} once more");
        }
    }
}

/// What the journal says of a snapshot.
#[derive(Debug, Default)]
struct Told {
    due: Option<Timestamp>,
    canceled: u32,
    dispatched: Vec<Timestamp>,
    /// Taken or not, and by whom that was recorded.
    results: Vec<(bool, ActorKind)>,
}

fn told(entries: &[Entry]) -> HashMap<SnapshotId, Told> {
    let mut told: HashMap<SnapshotId, Told> = HashMap::new();
    for entry in entries {
        let EntryBody::Committed(committed) = &entry.body else { continue };
        let mut of = |snapshot: &SnapshotId, tell: &dyn Fn(&mut Told)| tell(told.entry(*snapshot).or_default());
        let by = committed.command.actor.kind;
        for event in &committed.events {
            match event {
                Event::SnapshotScheduled { snapshot, due, .. } => of(snapshot, &|told| told.due = Some(*due)),
                Event::SnapshotCanceled { snapshot, .. } => of(snapshot, &|told| told.canceled += 1),
                Event::SnapshotDispatched { snapshot } => {
                    of(snapshot, &|told| told.dispatched.push(entry.recorded_at));
                }
                Event::SnapshotTaken { snapshot, .. } => of(snapshot, &|told| told.results.push((true, by))),
                Event::SnapshotFailed { snapshot, .. } => of(snapshot, &|told| told.results.push((false, by))),
                _ => {}
            }
        }
    }
    told
}

/// How often what happened.
#[derive(Debug, Default)]
struct Seen {
    armed: usize,
    canceled: usize,
    taken: usize,
    found_after_a_crash: usize,
    lost_in_a_crash: usize,
    destroyed_under_way: usize,
}

fn check(told: &HashMap<SnapshotId, Told>, armed: &HashSet<SnapshotId>, images: &Path, context: &str) -> Seen {
    let (taken, twice) = WitnessSnapshotter::taken(images).unwrap();
    assert_eq!(twice, [], "{context}: taken twice");
    let taken: HashSet<SnapshotId> = taken.into_iter().collect();
    let lost: Vec<_> = armed.iter().filter(|snapshot| !told.contains_key(snapshot)).collect();
    assert!(lost.is_empty(), "{context}: armed and unknown: {lost:?}");
    let unknown: Vec<_> = taken.iter().filter(|snapshot| !told.contains_key(snapshot)).collect();
    assert!(unknown.is_empty(), "{context}: taken and unknown: {unknown:?}");
    let mut seen = Seen::default();
    for (snapshot, told) in told {
        let context = format!("{context}: {snapshot} {told:?}");
        let due = told.due.unwrap_or_else(|| panic!("{context}: never armed"));
        assert_eq!(told.canceled as usize + told.dispatched.len(), 1, "{context}: not one of canceled and dispatched");
        assert_eq!(told.results.len(), told.dispatched.len(), "{context}: not one result for a dispatch");
        assert!(told.dispatched.iter().all(|at| *at >= due), "{context}: early");
        seen.armed += 1;
        seen.canceled += told.canceled as usize;
        for (is_taken, by) in &told.results {
            match (is_taken, by) {
                // With the destruction of its run, whether there was an image by then or not.
                (false, ActorKind::Operator) => {
                    seen.destroyed_under_way += 1;
                    continue;
                }
                (true, ActorKind::Recovery) => seen.found_after_a_crash += 1,
                (true, _) => seen.taken += 1,
                (false, ActorKind::Recovery) => seen.lost_in_a_crash += 1,
                (false, _) => panic!("{context}: failed without a crash"),
            }
            assert_eq!(taken.contains(snapshot), *is_taken, "{context}: what was taken is not what is recorded");
        }
        assert!(told.canceled == 0 || !taken.contains(snapshot), "{context}: canceled and taken");
    }
    seen
}

#[tokio::test]
async fn every_armed_snapshot_is_dispatched_once_or_canceled() {
    let total = rounds("TACHO_TIMER_CRASH_ROUNDS", 20);
    let seed = rounds("TACHO_CRASH_SEED", 1);
    let mut numbers = Numbers::new(seed);
    let mut round = 0;
    while round < total {
        let (place, images) = (Place::new(round), TempDir::new().unwrap());
        let mut printed = Printed::default();
        let context = format!("seed {seed}, from round {round}");
        for nth in 0..KILLS_PER_PLACE.min(total - round) {
            // The first one arms a thousand before anything else; what it does then is seldom missed.
            let lines_before_kill = if nth == 0 { ARMED } else { 0 } + 1 + numbers.below(600);
            let child = supervisor(place.path(), images.path(), numbers.next() >> 16, nth * LATER_SECONDS, false);
            let lines = killed(child, lines_before_kill);
            printed.add(&lines, &context);
            round += 1;
        }
        let lines = drained(supervisor(place.path(), images.path(), 0, DRAINED_AFTER_SECONDS, true));
        printed.add(&lines, &context);
        let (engine, _) = place.open().await;
        let told = told(&Supervisor::of(&engine).entries().await);
        engine.close().await.unwrap();
        let seen = check(&told, &printed.armed, images.path(), &context);
        println!("{context}: {seen:?}");
        assert!(seen.armed as u64 >= ARMED && seen.canceled > 0 && seen.taken > 0, "{context}: {seen:?}");
    }
}
