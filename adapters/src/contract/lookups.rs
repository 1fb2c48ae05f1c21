//! What a reader answers.

use std::sync::Arc;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Digest, Entry, EntryBody, Position};
use tachograph_engine::ports::{Journal, JournalReader};

use super::order::batches;
use super::{Clause, Journals, Kept, Model, Scribe, all, append, ensure, ensure_eq, failed};

pub(super) const CLAUSES: &[Clause] = &[
    ("an empty journal has nothing", |place| Box::pin(nothing(place))),
    ("a reader sees what is appended after it was made", |place| Box::pin(sees_at_once(place))),
    ("entries are read in order, up to a limit, after a position", |place| Box::pin(pages(place))),
    ("the facts between two positions are found", |place| Box::pin(facts(place))),
    ("a digest is kept at the end of every batch, and is new every time", |place| Box::pin(digests(place))),
    ("heads, answers and names are as the entries say, after every batch", |place| Box::pin(lookups(place))),
    ("the first answer to a command is the one that counts", |place| Box::pin(first_answer(place))),
    ("runs that ended and restarted many times are still known", |place| Box::pin(long_lives(place))),
];

async fn nothing(place: &dyn Journals) -> Kept {
    let reader = place.open().await.map_err(failed)?.reader();
    ensure_eq!((reader.head().position, reader.head().digest), (Position::ZERO, Digest::ZERO), "head");
    ensure!(reader.read(Position::ZERO, 10).await.map_err(failed)?.is_empty(), "there are entries");
    ensure_eq!(reader.entry(Position(1)).await.map_err(failed)?, None, "entry 1");
    ensure_eq!(reader.run_head(ids::run(1)).await.map_err(failed)?, None, "run head");
    ensure_eq!(reader.answered(ids::run(1), ids::command(1)).await.map_err(failed)?, None, "answer");
    ensure_eq!(reader.named("build").await.map_err(failed)?, None, "name");
    ensure!(reader.history(ids::run(1)).await.map_err(failed)?.is_empty(), "there is a history");
    Ok(())
}

async fn sees_at_once(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = journal.reader();
    let mut last = Position::ZERO;
    for batch in batches(&mut Scribe::default()) {
        let count = batch.len();
        append(&mut *journal, batch).await?;
        ensure_eq!(reader.head(), journal.reader().head(), "heads of two readers");
        let entries = reader.read(last, count + 1).await.map_err(failed)?;
        ensure_eq!(entries.len(), count, "entries that are new");
        last = reader.head().position;
    }
    Ok(())
}

async fn pages(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    for batch in batches(&mut Scribe::default()) {
        append(&mut *journal, batch).await?;
    }
    let reader = journal.reader();
    let (head, entries) = all(&*reader).await?;
    ensure_eq!(entries.len() as u64, head.position.0, "entries");
    for after in 0..=entries.len() + 1 {
        for limit in [1, 2, 5, 1_000] {
            let wanted: Vec<_> = entries.iter().skip(after).take(limit).cloned().collect();
            let found = reader.read(Position(after as u64), limit).await.map_err(failed)?;
            ensure_eq!(found, wanted, "{limit} entries after {after}");
            let some = reader.read_some(Position(after as u64), limit).await.map_err(failed)?;
            ensure!(wanted.starts_with(&some), "some of {limit} entries after {after} are others: {some:?}");
            ensure_eq!(some.is_empty(), wanted.is_empty(), "none of {limit} entries after {after}");
        }
        let wanted = after.checked_sub(1).and_then(|index| entries.get(index)).cloned();
        ensure_eq!(reader.entry(Position(after as u64)).await.map_err(failed)?, wanted, "entry {after}");
    }
    ensure!(reader.read(Position(u64::MAX), 1).await.map_err(failed)?.is_empty(), "there are entries after all");
    ensure_eq!(reader.entry(Position(u64::MAX)).await.map_err(failed)?, None, "the last possible entry");
    Ok(())
}

async fn facts(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    for batch in batches(&mut Scribe::default()) {
        append(&mut *journal, batch).await?;
    }
    let reader = journal.reader();
    let (head, entries) = all(&*reader).await?;
    let is_fact = |entry: &&Entry| matches!(entry.body, EntryBody::System(_));
    ensure!(entries.iter().filter(is_fact).count() > 1, "the script has no facts");
    let ends = (0..=head.position.0 + 1).chain([u64::MAX]).map(Position);
    for after in ends.clone() {
        for up_to in ends.clone() {
            let within = |entry: &&Entry| entry.position > after && entry.position <= up_to;
            let wanted: Vec<_> = entries.iter().filter(within).filter(is_fact).cloned().collect();
            let found = reader.facts(after, up_to).await.map_err(failed)?;
            ensure_eq!(found, wanted, "facts after {after} up to {up_to}");
            let is_early = |entry: &&Entry| matches!(entry.body, EntryBody::Refused(_)) && entry.previous.is_none();
            let wanted: Vec<_> = entries.iter().filter(within).filter(is_early).cloned().collect();
            let found = reader.early_refusals(after, up_to).await.map_err(failed)?;
            ensure_eq!(found, wanted, "early refusals after {after} up to {up_to}");
        }
    }
    Ok(())
}

async fn digests(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = journal.reader();
    let mut heads = vec![reader.head()];
    for batch in batches(&mut Scribe::default()) {
        append(&mut *journal, batch).await?;
        let head = reader.head();
        ensure!(heads.iter().all(|earlier| earlier.digest != head.digest), "the digest of an earlier head again");
        heads.push(head);
    }
    for head in heads.into_iter().skip(1) {
        let kept = reader.digest_at(head.position).await.map_err(failed)?;
        ensure_eq!(kept, Some(head.digest), "digest at {}", head.position);
    }
    let beyond = reader.head().position.next();
    ensure_eq!(reader.digest_at(beyond).await.map_err(failed)?, None, "digest beyond the end");
    Ok(())
}

/// The clause of [`digest_of_content`], which needs two places.
pub(super) const DIGEST_OF_CONTENT: &str = "a digest depends on all that was recorded";

/// Two journals that differ in one code only, long ago: what came before must be in every digest.
pub(super) async fn digest_of_content(places: [&dyn Journals; 2]) -> Kept {
    let mut digests = Vec::new();
    for (place, code) in places.into_iter().zip([1, 2]) {
        let mut journal = place.open().await.map_err(failed)?;
        let mut scribe = Scribe::default();
        let commands =
            [Scribe::create(ids::run(1), None), scribe.exit(ids::run(1), code), Scribe::destroy(ids::run(1))];
        for (number, mut command) in commands.into_iter().enumerate() {
            command.id = ids::command(number as u64);
            append(&mut *journal, scribe.draft(command).into_iter().collect()).await?;
        }
        digests.push(journal.reader().head().digest);
    }
    ensure!(digests[0] != digests[1], "two different histories have one digest");
    Ok(())
}

/// Compares everything that a reader answers with what the entries say.
pub(super) async fn agree(reader: &dyn JournalReader, runs: u64) -> Kept {
    let (_, entries) = all(reader).await?;
    let model = Model::of(&entries);
    for run in (0..=runs).map(ids::run) {
        let head = reader.run_head(run).await.map_err(failed)?;
        // Runs that only refused commands name need not be known.
        if model.heads.contains_key(&run) {
            ensure_eq!(head, model.heads.get(&run).copied(), "head of {run}");
        } else {
            ensure!(head.is_none_or(|head| head.version.0 == 0), "a run that was not created has the head {head:?}");
        }
        let stranger = reader.answered(run, ids::command(u64::MAX)).await.map_err(failed)?;
        ensure_eq!(stranger, None, "answer to a command that was never issued");
    }
    for ((run, command), position) in &model.answers {
        let found = reader.answered(*run, *command).await.map_err(failed)?;
        ensure_eq!(found, Some(*position), "answer to {command} about {run}");
        let elsewhere = reader.answered(ids::run(u64::MAX), *command).await.map_err(failed)?;
        ensure_eq!(elsewhere, None, "answer to {command} about another run");
    }
    for (name, run) in &model.names {
        ensure_eq!(reader.named(name).await.map_err(failed)?, Some(*run), "holder of {name}");
    }
    ensure_eq!(reader.named("nobody").await.map_err(failed)?, None, "holder of an unused name");
    Ok(())
}

async fn lookups(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = journal.reader();
    for batch in batches(&mut Scribe::default()) {
        append(&mut *journal, batch).await?;
        agree(&*reader, 3).await?;
    }
    Ok(())
}

async fn first_answer(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let mut scribe = Scribe::default();
    append(&mut *journal, scribe.draft(Scribe::create(ids::run(1), None)).into_iter().collect()).await?;
    for run in [1, 2].map(ids::run) {
        let command = scribe.exit(run, 3);
        for _ in 0..2 {
            append(&mut *journal, scribe.draft(command.clone()).into_iter().collect()).await?;
        }
        let found = journal.reader().answered(run, command.id).await.map_err(failed)?;
        ensure_eq!(found, Some(Position(journal.reader().head().position.0 - 1)), "first answer");
    }
    Ok(())
}

/// Writes lives of several runs with shared names: started, ended, restarted, destroyed, with late reports in between.
pub(super) async fn live_long(journal: &mut dyn Journal, rounds: u64) -> Result<Arc<dyn JournalReader>, String> {
    let mut scribe = Scribe::default();
    for round in 0..rounds {
        let run = ids::run(round % 7);
        let name = ["build", "test"].get(usize::try_from(round % 3).unwrap_or(2)).copied();
        append(journal, scribe.draft(Scribe::create(run, name)).into_iter().collect()).await?;
        let mut batch = Vec::new();
        for step in 0..5 {
            let command = match step {
                0 => scribe.start(run, "r1"),
                1 => scribe.exit(ids::run((round + 3) % 7), 1),
                2 if round % 2 == 0 => scribe.wait(run),
                2 => scribe.reconcile(run),
                3 if round % 5 == 4 => scribe.fail(run, "gone"),
                3 => scribe.exit(run, 0),
                _ if round % 11 == 10 => Scribe::destroy(run),
                _ => scribe.reconcile(run),
            };
            batch.extend(scribe.draft(command));
        }
        append(journal, batch).await?;
    }
    Ok(journal.reader())
}

async fn long_lives(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = live_long(&mut *journal, 60).await?;
    agree(&*reader, 8).await
}
