//! Points of a history, over journals that an engine wrote: what was open, what differs, and when something became true is
//! the same as by going through every entry, whichever checkpoints there are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use proptest::test_runner::TestCaseError;
use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{Entry, Event, Position, RunId, RunRecord, StatusName};
use tachograph_engine::ports::{Draft, Journal};
use tachograph_projections::{CurrentState, Projection, Timers, Until};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::point::{Bisection, Expression, Found, Method};
use tachograph_replay::replay;
use tachograph_tests::cases::for_all;
use tachograph_tests::walk::{Answer, Walk, walks};
use tachograph_tests::{Place, Supervisor, place};

/// Steps of a walk.
const STEPS: usize = 90;

fn on_a_runtime(property: impl Future<Output = ()>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(property);
    Ok(())
}

/// A journal of this walk. Every reopening leaves a checkpoint of what was open, and one of all runs.
async fn recorded(walk: &Walk) -> Place {
    let place = Place::new(1);
    let mut engine = place.open().await.0;
    for step in &walk.steps {
        if step.reopened {
            engine.close().await.unwrap();
            save_all_runs(place.path()).await;
            engine = place.open().await.0;
        }
        place.clock.advance(std::time::Duration::from_millis(250));
        if !matches!(step.answer, Answer::Duplicate(_)) {
            Supervisor::of(&engine).submit(step.command.clone()).await;
        }
    }
    engine.close().await.unwrap();
    place
}

async fn save_all_runs(data: &Path) {
    let dataset = Dataset::open(data).unwrap();
    let checkpoints = FileCheckpoints::open(data);
    let replayed = replay::current_state(&**dataset.reader(), None, Until::End).await.unwrap();
    assert!(replay::save(&replayed.state, &**dataset.reader(), &checkpoints).await.unwrap());
}

fn dataset(place: &Place) -> Dataset {
    Dataset::open(place.path()).unwrap()
}

async fn entries(dataset: &Dataset) -> Vec<Entry> {
    let mut entries = Vec::new();
    dataset
        .visit(Position::ZERO, dataset.reader().head().position, |entry| {
            entries.push(entry);
            true
        })
        .await
        .unwrap();
    entries
}

/// The states before the first entry and after each.
fn states(entries: &[Entry]) -> Vec<CurrentState> {
    let mut state = CurrentState::empty();
    let mut states = vec![state.clone()];
    for entry in entries {
        state.apply(entry);
        states.push(state.clone());
    }
    states
}

fn attempt(record: &RunRecord) -> u32 {
    record.run.attempt.as_ref().map_or(0, |attempt| attempt.ordinal.0)
}

fn count(state: &CurrentState, fits: impl Fn(&RunRecord) -> bool) -> usize {
    state.records().filter(|record| fits(record)).count()
}

fn is(status: StatusName) -> impl Fn(&RunRecord) -> bool {
    move |record| record.run.status.name() == status
}

type Naive = fn(&CurrentState, RunId) -> bool;

/// Expressions beside the same in Rust; `X` stands for the id of a run.
const EXPRESSIONS: &[(&str, Naive)] = &[
    ("count(status = \"Waiting\") > 1", |state, _| count(state, is(StatusName::Waiting)) > 1),
    ("count(status = \"Destroyed\") >= 2", |state, _| count(state, is(StatusName::Destroyed)) >= 2),
    ("count() >= 3", |state, _| state.records().count() >= 3),
    ("count(attempt >= 2) >= 2", |state, _| count(state, |record| attempt(record) >= 2) >= 2),
    ("any(refusals > 3)", |state, _| count(state, |record| record.refusals > 3) > 0),
    ("any(timers > 0) and not any(status = \"Failed\")", |state, _| {
        let armed = |record: &RunRecord| record.run.armed.is_some();
        let deadline = |record: &RunRecord| {
            matches!(record.run.status, tachograph_engine::domain::Status::Waiting { deadline: Some(_), .. })
        };
        count(state, |record| armed(record) || deadline(record)) > 0 && count(state, is(StatusName::Failed)) == 0
    }),
    ("all(ended) and count() > 0", |state, _| state.records().count() > 0 && count(state, |r| !r.run.is_ended()) == 0),
    ("not count(version > 3) = 0 or count(exit.code != 0) > 0", |state, _| {
        use tachograph_engine::domain::{ExitStatus::Code, Outcome};
        let outcome = |record: &RunRecord| record.run.attempt.clone().and_then(|attempt| attempt.outcome);
        let failed = |record: &RunRecord| matches!(outcome(record).as_ref().and_then(Outcome::exit_status), Some(Code(code)) if *code != 0);
        count(state, |record| record.run.version.0 > 3) > 0 || count(state, failed) > 0
    }),
    ("count(not status = \"Created\" and attempt > 0) > 2", |state, _| {
        count(state, |record| record.run.status.name() != StatusName::Created && attempt(record) > 0) > 2
    }),
    ("run(\"X\").attempt > 1", |state, run| state.run(run).is_some_and(|record| attempt(record) > 1)),
    ("run(\"X\").status = \"Waiting\" or run(\"X\").refusals >= 5", |state, run| {
        state.run(run).is_some_and(|record| is(StatusName::Waiting)(record) || record.refusals >= 5)
    }),
    ("not exists(run(\"X\").run) and count() > 1", |state, run| {
        state.run(run).is_none() && state.records().count() > 1
    }),
    ("run(\"X\").ended and count(ended) > 1", |state, run| {
        let ended = |record: &RunRecord| record.run.is_ended();
        state.run(run).is_some_and(ended) && count(state, ended) > 1
    }),
];

fn naively(states: &[CurrentState], holds: impl Fn(&CurrentState) -> bool, from: usize, to: usize) -> Option<usize> {
    (from..=to).find(|position| holds(&states[*position]))
}

fn position_of(bisection: &Bisection) -> Option<usize> {
    match &bisection.found {
        Found::At(entry) => Some(entry.position.0 as usize),
        Found::Before => Some(bisection.from.0 as usize),
        Found::Within { by, .. } => Some(by.0 as usize),
        Found::Never => None,
    }
}

#[test]
fn what_became_true_is_found_as_by_looking_at_every_position() {
    for_all(10, &walks(STEPS), |walk| {
        on_a_runtime(async {
            let place = recorded(&walk).await;
            let dataset = dataset(&place);
            let entries = entries(&dataset).await;
            let states = states(&entries);
            let end = states.len() - 1;
            let known: Vec<RunId> = states[end].records().map(|record| record.run.id).collect();
            for (text, holds) in EXPRESSIONS {
                for run in &known {
                    let expression = Expression::parse(&text.replace('X', &run.to_string())).unwrap();
                    for (from, to) in [(0, end), (end / 3, end), (end / 4, end / 2)] {
                        let (at, till) = (Position(from as u64), Position(to as u64));
                        let bisection = dataset.bisect(&expression, at, till).await.unwrap();
                        let expected = naively(&states, |state| holds(state, *run), from, to);
                        assert_eq!(position_of(&bisection), expected, "{text} of {run}: {bisection:?}");
                        let once = expression.trend().stays_true();
                        assert!(once || bisection.method != Method::BinarySearch, "{bisection:?}");
                        // What is said to stay true does.
                        let first = naively(&states, |state| holds(state, *run), 0, end);
                        let stays = first.is_none_or(|first| states[first..].iter().all(|state| holds(state, *run)));
                        assert!(!once || stays, "{text} was said to stay true");
                    }
                    if !text.contains('X') {
                        break;
                    }
                }
            }
        })
    });
}

#[tokio::test]
async fn a_predicate_that_stays_true_is_looked_for_between_checkpoints() {
    let place = Place::new(7);
    let mut supervised = 0;
    for _ in 0..4 {
        let (engine, _) = place.open().await;
        for _ in 0..20 {
            supervised += 1;
            Supervisor::of(&engine).create(Some(&format!("job-{supervised}"))).await;
        }
        engine.close().await.unwrap();
        save_all_runs(place.path()).await;
    }
    let dataset = dataset(&place);
    let end = dataset.reader().head().position;
    for wanted in 1..=supervised {
        let expression = Expression::parse(&format!("count() >= {wanted}")).unwrap();
        let bisection = dataset.bisect(&expression, Position::ZERO, end).await.unwrap();
        let naive = states(&entries(&dataset).await).iter().position(|state| state.records().count() >= wanted);
        assert_eq!(position_of(&bisection), naive, "{wanted}");
        assert_eq!(bisection.method, Method::BinarySearch, "{bisection:?}");
        assert!(bisection.checkpoints > 0 && bisection.entries <= 44, "{bisection:?}");
    }
    // Without checkpoints, and with ones that are not what they were.
    for file in fs::read_dir(place.checkpoints()).unwrap().map(|file| file.unwrap().path()) {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let expression = Expression::parse("count() >= 50").unwrap();
    let damaged = dataset.bisect(&expression, Position::ZERO, end).await.unwrap();
    fs::remove_dir_all(place.checkpoints()).unwrap();
    let without = dataset.bisect(&expression, Position::ZERO, end).await.unwrap();
    assert_eq!((damaged.method, without.method), (Method::Scan, Method::Scan));
    assert_eq!((&damaged.found, &without.found), (&without.found, &damaged.found));
    assert!(without.why.contains("no checkpoint"), "{}", without.why);
}

#[test]
fn what_was_open_is_the_same_from_every_checkpoint_and_from_none() {
    for_all(10, &walks(STEPS), |walk| {
        on_a_runtime(async {
            let place = recorded(&walk).await;
            let dataset = dataset(&place);
            let entries = entries(&dataset).await;
            let states = states(&entries);
            let mut with = Vec::new();
            for (position, state) in states.iter().enumerate() {
                let at = Position(position as u64);
                let open = dataset.open_at(at).await.unwrap();
                let expected: Vec<&RunRecord> = state.records().filter(|record| !record.run.is_ended()).collect();
                assert_eq!(open.runs.iter().collect::<Vec<_>>(), expected, "at {at}");
                let mut timers = Timers::empty();
                entries[..position].iter().for_each(|entry| Projection::apply(&mut timers, entry));
                let armed: BTreeSet<_> = timers.armed().into_iter().map(|timer| (timer.key, timer.due)).collect();
                let found: BTreeSet<_> = open.timers.iter().map(|timer| (timer.key, timer.due)).collect();
                assert_eq!(found, armed, "at {at}");
                let everything = dataset.everything_at(at).await.unwrap();
                assert_eq!(everything.runs, state.records().cloned().collect::<Vec<_>>(), "at {at}");
                assert_eq!(everything.timers, open.timers, "at {at}");
                with.push(open);
            }
            fs::remove_dir_all(place.checkpoints()).unwrap();
            for open in with {
                let without = dataset.open_at(open.position).await.unwrap();
                assert_eq!(without.began_at, Position::ZERO);
                assert_eq!(
                    (without.runs, without.timers, without.recorded_at),
                    (open.runs, open.timers, open.recorded_at)
                );
            }
        })
    });
}

#[tokio::test]
async fn what_is_known_from_checkpoints_holds_over_damage() {
    let place = Place::new(11);
    create(&place, 1_000, 300).await;
    let all = entries(&dataset(&place)).await;
    let options = JournalOptions { segment_bytes: 16 << 10, ..JournalOptions::default() };
    let copied = written(&all, 1, options).await;
    let states = states(&all);
    let (saved, damaged) = ([50, 100, 150, 200], 121_usize);
    {
        let reader = Dataset::open(copied.path()).unwrap();
        let checkpoints = FileCheckpoints::open(copied.path());
        for position in saved {
            assert!(replay::save(&states[position], &**reader.reader(), &checkpoints).await.unwrap());
        }
    }
    let name = all[damaged - 1].events().iter().find_map(|event| match event {
        Event::Created { spec, .. } => spec.name.clone(),
        _ => None,
    });
    alter(copied.path(), name.as_deref().unwrap(), false);
    // The hash at the others lies behind the damage, where their segment is read to find it.
    let mut proved = Vec::new();
    for position in saved {
        let reader = Dataset::open(copied.path()).unwrap().reader().clone();
        if reader.digest_at(Position(position as u64)).await.unwrap().is_some() {
            proved.push(position);
        }
    }
    assert!(proved.iter().any(|proved| *proved > damaged), "{proved:?}");
    let mut lost = 0;
    for wanted in (1..=300).step_by(7).chain(115..=125).chain(195..=201) {
        let dataset = Dataset::open(copied.path()).unwrap();
        let expression = Expression::parse(&format!("count() >= {wanted}")).unwrap();
        let bisection = dataset.bisect(&expression, Position::ZERO, Position(all.len() as u64)).await.unwrap();
        let true_at = states.iter().position(|state| state.records().count() >= wanted).unwrap();
        let found = position_of(&bisection).unwrap_or_else(|| panic!("{true_at} is known: {bisection:?}"));
        // No damage between these two: what is read is all.
        let low = proved.iter().copied().rfind(|proved| *proved < true_at).unwrap_or(0);
        let high = proved.iter().copied().find(|proved| *proved >= true_at).unwrap_or(all.len());
        if low < damaged && damaged <= high {
            assert!((true_at..=high).contains(&found), "{true_at}: {bisection:?}");
            assert!(bisection.why.contains("cannot be read"), "{bisection:?}");
            assert!(dataset.damage().is_some());
            if let Found::Within { after, by } = bisection.found {
                assert!(low as u64 <= after.0 && (after.0 as usize) < true_at && by.0 as usize == high, "{true_at}");
                lost += 1;
            }
        } else {
            assert_eq!(found, true_at, "{bisection:?}");
        }
    }
    assert!(lost > 0, "an entry that made it true was damaged");
    // Damage that is met before the search: no checkpoint is proved, and that is what is said.
    let dataset = Dataset::open(copied.path()).unwrap();
    entries(&dataset).await;
    let expression = Expression::parse("count() >= 20").unwrap();
    let scanned = dataset.bisect(&expression, Position::ZERO, Position(all.len() as u64)).await.unwrap();
    assert_eq!(scanned.method, Method::Scan);
    assert!(scanned.why.contains("damaged") && !scanned.why.contains("no checkpoint"), "{}", scanned.why);
}

fn by_id(state: &CurrentState) -> BTreeMap<RunId, &RunRecord> {
    state.records().map(|record| (record.run.id, record)).collect()
}

#[test]
fn two_points_differ_in_what_differs() {
    for_all(10, &walks(STEPS), |walk| {
        on_a_runtime(async {
            let place = recorded(&walk).await;
            let dataset = dataset(&place);
            let entries = entries(&dataset).await;
            let states = states(&entries);
            let end = states.len() - 1;
            for (a, b) in [(0, end), (end, end / 2), (end / 3, end / 2), (end / 2, end / 2)] {
                let difference = dataset.difference(Position(a as u64), None, Position(b as u64)).await.unwrap();
                let (one, other) = (by_id(&states[a]), by_id(&states[b]));
                let ids: BTreeSet<RunId> = one.keys().chain(other.keys()).copied().collect();
                let expected: BTreeSet<RunId> = ids.into_iter().filter(|run| one.get(run) != other.get(run)).collect();
                let found: BTreeSet<RunId> = difference.changes.iter().map(|change| change.run).collect();
                assert_eq!(found, expected, "{a} and {b}");
                let about = |entry: &&Entry| entry.run().is_some_and(|run| expected.contains(&run));
                let first = entries[a.min(b)..a.max(b)].iter().find(about).map(|entry| entry.position);
                assert_eq!(difference.first.as_ref().map(|parting| parting.position), first, "{a} and {b}");
                for change in &difference.changes {
                    assert_eq!(
                        (change.a.as_ref(), change.b.as_ref()),
                        (one.get(&change.run).copied(), other.get(&change.run).copied())
                    );
                    assert_eq!(change.fields.is_empty(), change.a.is_none() || change.b.is_none(), "{change:?}");
                }
            }
        })
    });
}

/// Creates runs one by one, or many at once.
async fn create(place: &Place, from: u64, count: u64) {
    let (engine, _) = place.open().await;
    for number in from..from + count {
        Supervisor::of(&engine).create(Some(&format!("job-{number}"))).await;
    }
    engine.close().await.unwrap();
}

/// The same entries under another identity, in portions of another size: no hash of them is the same.
async fn rewritten(entries: &[Entry], portion: usize) -> tempfile::TempDir {
    written(entries, portion, JournalOptions::default()).await
}

async fn written(entries: &[Entry], portion: usize, options: JournalOptions) -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    let mut journal = FileJournal::open(dir.path(), options).unwrap();
    let draft = |entry: &Entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
    for portion in entries.chunks(portion) {
        journal.append(portion.iter().map(draft).collect()).await.unwrap();
    }
    Box::new(journal).close().await.unwrap();
    dir
}

#[tokio::test]
async fn a_copy_that_went_on_by_itself_parts_at_its_first_entry() {
    let place = Place::new(3);
    create(&place, 0, 300).await;
    let copied = tempfile::TempDir::new().unwrap();
    place::copy(place.path(), copied.path()).unwrap();
    let before = dataset(&place).reader().head().position;
    let apart = place.crashed();
    create(&place, 300, 40).await;
    create(&apart, 900, 3).await;
    let (one, other, old) = (dataset(&place), dataset(&apart), Dataset::open(copied.path()).unwrap());
    let (end_one, end_other) = (one.reader().head().position, other.reader().head().position);

    let difference = one.difference(end_one, Some(&other), end_other).await.unwrap();
    assert_eq!(difference.common, before);
    let first = difference.first.unwrap();
    assert_eq!(first.position, before.next());
    assert!(first.a.is_some() && first.b.is_some() && first.a != first.b, "{first:?}");
    assert_eq!(difference.changes.len(), 43);
    assert_eq!(difference.changes.iter().filter(|change| change.kind() == "only_in_b").count(), 3);

    // One that is the beginning of the other.
    let shorter = old.difference(before, Some(&one), end_one).await.unwrap();
    let first = shorter.first.unwrap();
    assert_eq!((first.position, first.a), (before.next(), None));
    assert_eq!(first.b.unwrap().position, before.next());
    let same = old.difference(before, Some(&one), before).await.unwrap();
    assert_eq!((same.common, same.first, same.changes.len()), (before, None, 0));

    // The same entries in other portions: hashes prove nothing then, and entries are compared.
    let all = entries(&one).await;
    let again = rewritten(&all, 7).await;
    let again = Dataset::open(again.path()).unwrap();
    assert_eq!(one.common_beginning(&again, end_one).await.unwrap(), end_one);
    let mut changed = all.clone();
    changed[200].recorded_at = changed[200].recorded_at.plus_millis(1);
    for portion in [1, 7, 100] {
        let changed = rewritten(&changed, portion).await;
        let changed = Dataset::open(changed.path()).unwrap();
        assert_eq!(one.common_beginning(&changed, end_one).await.unwrap(), Position(200), "portions of {portion}");
    }
}

/// Where a name stands in the segments of a journal: the file, its bytes, and the offset.
fn segment_with(data: &Path, name: &str) -> (PathBuf, Vec<u8>, usize) {
    let files = fs::read_dir(data.join("journal")).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    for path in segments {
        let bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(name.len()).position(|window| window == name.as_bytes()) {
            return (path, bytes, at);
        }
    }
    panic!("no segment holds {name}")
}

/// Alters one byte in place; what follows keeps the hash of what was there. With `sums`, the checksums of its frame fit.
fn alter(data: &Path, name: &str, sums: bool) {
    let (path, mut bytes, at) = segment_with(data, name);
    bytes[at] = b'z';
    if sums {
        let frame = bytes[..at].windows(4).rposition(|window| window == b"TFRM").unwrap();
        let length = u32::from_le_bytes(bytes[frame + 8..frame + 12].try_into().unwrap()) as usize;
        let payload = crc32c::crc32c(&bytes[frame + 72..frame + 72 + length]).to_le_bytes();
        bytes[frame + 64..frame + 68].copy_from_slice(&payload);
        let header = crc32c::crc32c(&bytes[frame..frame + 68]).to_le_bytes();
        bytes[frame + 68..frame + 72].copy_from_slice(&header);
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_copy_that_was_altered_in_place_parts_where_it_was() {
    let place = Place::new(5);
    create(&place, 1_000, 400).await;
    let all = entries(&dataset(&place)).await;
    let options = JournalOptions { segment_bytes: 16 << 10, ..JournalOptions::default() };
    let original = written(&all, 1, options).await;
    assert!(fs::read_dir(original.path().join("journal")).unwrap().count() > 4, "many segments");
    let one = Dataset::open(original.path()).unwrap();
    let (end, position) = (one.reader().head().position, all[200].position);
    let name = all[200].events().iter().find_map(|event| match event {
        Event::Created { spec, .. } => spec.name.clone(),
        _ => None,
    });
    for sums in [true, false] {
        let copied = tempfile::TempDir::new().unwrap();
        place::copy(original.path(), copied.path()).unwrap();
        alter(copied.path(), name.as_deref().unwrap(), sums);
        for at in [end, Position(300)] {
            let other = Dataset::open(copied.path()).unwrap();
            for (a, b) in [(&one, &other), (&other, &one)] {
                let difference = a.difference(at, Some(b), at).await.unwrap();
                assert_eq!(difference.common.next(), position, "{difference:?}");
                let first = difference.first.unwrap();
                assert_eq!(first.position, position);
                assert_ne!(first.a, first.b);
                assert_eq!(first.a.is_some() && first.b.is_some(), sums, "damaged entries are none");
                assert_eq!(difference.changes.len(), 1);
            }
            assert_eq!(other.damage().is_some(), !sums, "at {at}");
        }
    }
}
