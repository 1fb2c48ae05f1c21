//! The driven fold: the same state and digest from the first entry and from every checkpoint, and no checkpoint that
//! is stale, foreign or damaged ever shows.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::codec;
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Command, CommandId, Committed, Decision, Digest, Entry, EntryBody, Exit, ExitStatus,
    Fleet, Position, Refused, RefusedCommand, RunId, RunnerId, StartMode, Timestamp, Witness,
};
use tachograph_engine::ports::{Checkpoint, CheckpointStore, Head, JournalError, JournalReader, RunHead};
use tachograph_engine::shell::{Engine, Options, Parts};
use tachograph_projections::{CurrentState, Projection, Until, fold_until};
use tachograph_replay::replay::{self, Replayed};

/// Entries in memory; the hash is kept at every third position and at the end, as by batches of three.
#[derive(Clone, Default)]
struct Journal {
    entries: Vec<Entry>,
}

impl Journal {
    fn digest(&self, position: Position) -> Digest {
        let mut bytes = Vec::new();
        self.entries[..position.0 as usize].iter().for_each(|entry| codec::encode_entry(entry, &mut bytes));
        Digest(*blake3::hash(&bytes).as_bytes())
    }
}

#[async_trait]
impl JournalReader for Journal {
    fn head(&self) -> Head {
        let position = Position(self.entries.len() as u64);
        Head { position, digest: self.digest(position) }
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Entry>, JournalError> {
        Ok(self.entries.iter().filter(|entry| entry.position > after).take(limit.min(5)).cloned().collect())
    }

    async fn entry(&self, at: Position) -> Result<Option<Entry>, JournalError> {
        Ok(self.entries.iter().find(|entry| entry.position == at).cloned())
    }

    async fn digest_at(&self, position: Position) -> Result<Option<Digest>, JournalError> {
        let kept = position.0.is_multiple_of(3) || position == self.head().position;
        Ok((kept && position <= self.head().position).then(|| self.digest(position)))
    }

    async fn run_head(&self, _: RunId) -> Result<Option<RunHead>, JournalError> {
        Ok(None)
    }

    async fn answered(&self, _: RunId, _: CommandId) -> Result<Option<Position>, JournalError> {
        Ok(None)
    }

    async fn named(&self, _: &str) -> Result<Option<RunId>, JournalError> {
        Ok(None)
    }
}

/// Checkpoints in memory, as they were given.
#[derive(Default)]
struct Store(Mutex<BTreeMap<(String, u32, Position), Checkpoint>>);

impl Store {
    fn change(&self, change: impl Fn(&mut Checkpoint)) {
        self.0.lock().unwrap().values_mut().for_each(change);
    }
}

#[async_trait]
impl CheckpointStore for Store {
    async fn save(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        let key = (checkpoint.fold.clone(), checkpoint.fold_version, checkpoint.position);
        self.0.lock().unwrap().insert(key, checkpoint);
        Ok(())
    }

    async fn latest(
        &self,
        fold: &str,
        version: u32,
        at_most: Option<Position>,
    ) -> Result<Option<Checkpoint>, JournalError> {
        let within = |position: Position| at_most.is_none_or(|at_most| position <= at_most);
        let kept = self.0.lock().unwrap();
        let fits = kept.iter().filter(|((name, number, at), _)| name == fold && *number == version && within(*at));
        Ok(fits.map(|(_, checkpoint)| checkpoint.clone()).next_back())
    }
}

struct Broken;

#[async_trait]
impl CheckpointStore for Broken {
    async fn save(&self, _: Checkpoint) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }

    async fn latest(&self, _: &str, _: u32, _: Option<Position>) -> Result<Option<Checkpoint>, JournalError> {
        Err(JournalError::ReadOnly { path: PathBuf::from("checkpoints") })
    }
}

/// Some runs that live side by side, with refusals between; the exit code of every run is its number plus `salt`.
fn journal(runs: u64, salt: i32) -> Journal {
    let (mut entries, mut fleet) = (Vec::new(), Fleet::default());
    let mut submit = |number: u64, action: Action| {
        let run = ids::run(number);
        let position = Position(entries.len() as u64 + 1);
        let recorded_at = Timestamp::from_micros(position.0 as i64 * 1_000_000);
        let actor = Actor::new(ActorKind::Supervisor, "test");
        let command =
            Command { id: ids::command(position.0), run, actor, issued_at: recorded_at, expected: None, action };
        let body = match fleet.decide(&command) {
            Ok(Decision::Append(events)) => {
                fleet.apply(run, &events);
                EntryBody::Committed(Committed { version: fleet.state(run).version(), command, events })
            }
            Ok(Decision::AlreadyRecorded) => return,
            Err(refusal) => {
                let command = RefusedCommand::keep(command, &refusal);
                EntryBody::Refused(Refused { command, refusal, count: 1 })
            }
        };
        entries.push(Entry { id: ids::entry(position.0), position, recorded_at, previous: None, body });
    };
    for number in 1..=runs {
        let start = Action::Start { attempt: ids::attempt(1), runner: RunnerId::from("r"), mode: StartMode::Fresh };
        submit(number, Action::Create { spec: Arc::new(spec(&format!("job-{}", number % 4))) });
        submit(number, start);
        let status = ExitStatus::Code(number as i32 + salt);
        let exit = Exit { status, witness: Witness::Waited, output: None };
        submit(
            number.saturating_sub(2),
            Action::Exit { claim: claim(ids::run(number.saturating_sub(2)), 1, "r"), exit },
        );
    }
    Journal { entries }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn replay(journal: &Journal, store: Option<&dyn CheckpointStore>, until: Until) -> Replayed {
    wait(replay::current_state(journal, store, until)).unwrap()
}

fn save_at(journal: &Journal, store: &Store, position: u64) -> bool {
    let state = replay(journal, None, Until::Position(Position(position))).state;
    wait(replay::save(&state, journal, store)).unwrap()
}

#[test]
fn every_checkpoint_leads_to_the_same_state_and_digest() {
    let journal = journal(12, 0);
    let end = journal.head().position;
    let scratch = replay(&journal, None, Until::End);
    assert_eq!((scratch.began_at, scratch.state.position()), (Position(0), end));
    let mut expected = CurrentState::empty();
    fold_until(&mut expected, &journal.entries, Until::End);
    assert_eq!(scratch.state, expected);
    let mut used = 0;
    for position in 1..=end.0 {
        let store = Store::default();
        let saved = save_at(&journal, &store, position);
        assert_eq!(saved, position.is_multiple_of(3) || position == end.0, "only where the journal keeps its hash");
        let from_there = replay(&journal, Some(&store), Until::End);
        assert_eq!(from_there.began_at, Position(if saved { position } else { 0 }));
        assert_eq!((&from_there.state, from_there.digest), (&scratch.state, scratch.digest));
        used += u32::from(saved);
    }
    assert!(used > 5);
}

#[test]
fn as_of_a_position_or_time_uses_no_checkpoint_beyond_it() {
    let (journal, store) = (journal(12, 0), Store::default());
    for position in [6, 12, 18] {
        assert!(save_at(&journal, &store, position));
    }
    for position in 0..=journal.head().position.0 {
        let at = replay(&journal, Some(&store), Until::Position(Position(position)));
        assert_eq!(at.began_at.0, [0, 6, 12, 18].into_iter().rfind(|kept| *kept <= position).unwrap());
        let mut expected = CurrentState::empty();
        fold_until(&mut expected, &journal.entries, Until::Position(Position(position)));
        assert_eq!(at.state, expected);
        // One entry a second, the first one at 1 s.
        let time = Timestamp::from_micros(position as i64 * 1_000_000 + 999_999);
        assert_eq!(replay(&journal, Some(&store), Until::Time(time)), at);
    }
    let beyond = replay(&journal, Some(&store), Until::Position(Position(1_000)));
    assert_eq!(beyond, replay(&journal, Some(&store), Until::End));
}

#[test]
fn an_entry_that_differs_makes_another_digest() {
    let (one, same, other) = (journal(12, 0), journal(12, 0), journal(12, 1));
    let digest = |journal: &Journal, until| replay(journal, None, until).digest;
    assert_eq!(digest(&one, Until::End), digest(&same, Until::End));
    assert_ne!(digest(&one, Until::End), digest(&other, Until::End));
    // The first exit code is where they part; commands to a run that does not exist differ before, and change nothing.
    let parted = one.entries.iter().zip(&other.entries).find(|(one, other)| one.events() != other.events());
    let parted = parted.unwrap().0.position;
    let before = Until::Position(Position(parted.0 - 1));
    assert_eq!(digest(&one, before), digest(&other, before));
    assert_ne!(digest(&one, Until::Position(parted)), digest(&other, Until::Position(parted)));
}

#[test]
fn a_checkpoint_of_another_journal_version_or_with_other_bytes_is_not_used() {
    let (own, foreign) = (journal(12, 0), journal(12, 1));
    let scratch = replay(&own, None, Until::End);
    let used = |store: &dyn CheckpointStore| {
        let replayed = replay(&own, Some(store), Until::End);
        assert_eq!((&replayed.state, replayed.digest), (&scratch.state, scratch.digest));
        replayed.began_at.0
    };
    let saved = || {
        let store = Store::default();
        assert!(save_at(&own, &store, 9) && save_at(&own, &store, 18));
        store
    };
    assert_eq!(used(&saved()), 18, "as it was saved");
    let store = saved();
    assert!(save_at(&foreign, &store, 21));
    assert_eq!(used(&store), 18, "the later one is another journal's");
    store.change(|checkpoint| checkpoint.payload.truncate(checkpoint.payload.len() - 1));
    assert_eq!(used(&store), 0, "cut short");

    let store = Store::default();
    let state = replay(&own, None, Until::Position(Position(9))).state;
    assert!(wait(replay::save(&state, &own, &store)).unwrap());
    let mut checkpoint = store.0.lock().unwrap().pop_first().unwrap().1;
    checkpoint.fold_version = CurrentState::VERSION + 1;
    wait(store.save(checkpoint)).unwrap();
    assert_eq!(used(&store), 0, "another version of the fold");
    assert_eq!(used(&Broken), 0, "a store that cannot be read costs the shortcut only");
}

/// Answers with its latest checkpoint whatever was asked.
struct Stubborn(Store);

#[async_trait]
impl CheckpointStore for Stubborn {
    async fn save(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        self.0.save(checkpoint).await
    }

    async fn latest(&self, fold: &str, version: u32, _: Option<Position>) -> Result<Option<Checkpoint>, JournalError> {
        self.0.latest(fold, version, None).await
    }
}

#[test]
fn a_bound_holds_over_positions_that_are_missing_and_a_store_that_answers_beyond_it() {
    let (mut holed, store) = (journal(12, 0), Stubborn(Store::default()));
    assert!(save_at(&holed, &store.0, 18));
    let until = Until::Position(Position(10));
    assert_eq!(replay(&holed, Some(&store), until), replay(&holed, None, until));

    holed.entries.retain(|entry| !(5..=12).contains(&entry.position.0));
    assert_eq!(replay(&holed, None, until).state.position(), Position(4));
}

/// Invariant 9 over the real parts: what an engine holds live is what its files say, and a checkpoint that it saved
/// serves whoever reads them.
#[test]
fn an_engines_live_records_equal_the_fold_of_its_files() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let journal = Box::new(FileJournal::open(data.path(), JournalOptions::default()).unwrap());
    let parts = Parts {
        journal,
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: None,
    };
    let checkpoints = FileCheckpoints::open(data.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (saved_at, live) = runtime.block_on(async {
        let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
        let mut saved_at = Position::ZERO;
        for (number, action) in (0..20).flat_map(|number| life(number).into_iter().map(move |action| (number, action)))
        {
            let actor = Actor::new(ActorKind::Supervisor, "test");
            engine.submit(engine.command(ids::run(number), actor, action)).await.unwrap();
            let reader = engine.reader();
            let state = replay::current_state(&**reader, None, Until::End).await.unwrap().state;
            let record = engine.run(ids::run(number)).await.unwrap();
            assert_eq!(state.run(ids::run(number)), record.as_deref(), "at {}", state.position());
            assert_eq!(state.named("job").map(|record| record.run.id), engine.resolve("job").await.unwrap());
            if number == 10 && replay::save(&state, &**reader, &checkpoints).await.unwrap() {
                saved_at = state.position();
            }
        }
        let live: Vec<_> = engine.live().iter().map(|record| record.run.id).collect();
        engine.close().await.unwrap();
        (saved_at, live)
    });
    assert!(saved_at > Position::ZERO);

    let reader = FileReader::open(data.path()).unwrap();
    let checkpoints = FileCheckpoints::read_only(data.path());
    let with = wait(replay::current_state(&reader, Some(&checkpoints), Until::End)).unwrap();
    let without = wait(replay::current_state(&reader, None, Until::End)).unwrap();
    assert_eq!((with.began_at, without.began_at), (saved_at, Position::ZERO));
    assert_eq!((&with.state, with.digest), (&without.state, without.digest));
    let open: Vec<_> =
        with.state.records().filter(|record| !record.run.is_ended()).map(|record| record.run.id).collect();
    assert_eq!(open, live);
}

/// What happens to one run, cut off earlier or later by its number; all want one name.
fn life(number: u64) -> Vec<Action> {
    let mine = claim(ids::run(number), 1, "r");
    let start = Action::Start { attempt: ids::attempt(1), runner: RunnerId::from("r"), mode: StartMode::Fresh };
    let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
    let mut actions = vec![
        Action::Create { spec: Arc::new(spec(if number.is_multiple_of(3) { "other" } else { "job" })) },
        start.clone(),
        Action::Wait { claim: mine.clone(), on: "a reply".to_owned(), deadline: None },
        Action::Exit { claim: mine, exit },
        // Too late: refused, and recorded.
        start,
    ];
    if number.is_multiple_of(4) {
        actions.truncate(3);
    }
    actions
}
