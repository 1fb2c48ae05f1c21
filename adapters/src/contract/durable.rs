//! What is left after a close, a crash, a failure.

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Digest, Entry};
use tachograph_engine::ports::{AppendError, Head, JournalError, JournalReader, Opening};

use super::lookups::{agree, live_long};
use super::order::batches;
use super::{Clause, Journals, Kept, Scribe, all, append, close, ensure, ensure_eq, failed};

pub(super) const CLAUSES: &[Clause] = &[
    ("a journal that was never written opens clean", |place| Box::pin(first_opening(place))),
    ("a reader remains usable after the close", |place| Box::pin(reader_after_close(place))),
    ("everything is there when it is opened again", |place| Box::pin(reopened(place))),
    ("a writer that did not close is noticed, and nothing is lost", |place| Box::pin(crashed(place))),
    ("a second writer is turned away", |place| Box::pin(second_writer(place))),
    ("after a failed append, every later one fails until reopened", |place| Box::pin(poisoned(place))),
    ("readers see a batch whole or not at all", |place| Box::pin(whole_batches(place))),
];

async fn first_opening(place: &dyn Journals) -> Kept {
    let journal = place.open().await.map_err(failed)?;
    ensure_eq!(journal.opening(), Opening { clean: true, torn: None, missing_up_to: None }, "opening");
    Ok(())
}

/// All that must be the same before and after.
async fn memory_of(reader: &dyn JournalReader) -> Result<(Head, Vec<Entry>, Vec<Option<Digest>>), String> {
    let (head, entries) = all(reader).await?;
    let mut digests = Vec::new();
    for entry in &entries {
        digests.push(reader.digest_at(entry.position).await.map_err(failed)?);
    }
    Ok((head, entries, digests))
}

async fn reader_after_close(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = live_long(&mut *journal, 12).await?;
    let before = memory_of(&*reader).await?;
    journal.close().await.map_err(failed)?;
    ensure_eq!(memory_of(&*reader).await?, before, "what the reader sees");
    agree(&*reader, 8).await
}

async fn reopened(place: &dyn Journals) -> Kept {
    if !place.reopens() {
        return Ok(());
    }
    let mut scribe = Scribe::default();
    let mut before = None;
    for batch in batches(&mut scribe) {
        let mut journal = place.open().await.map_err(failed)?;
        ensure_eq!(journal.opening(), Opening { clean: true, torn: None, missing_up_to: None }, "opening");
        let reader = journal.reader();
        if let Some(before) = &before {
            ensure_eq!(memory_of(&*reader).await?, *before, "what is there");
        }
        agree(&*reader, 3).await?;
        append(&mut *journal, batch).await?;
        agree(&*reader, 3).await?;
        close(journal, &mut scribe).await?;
        before = Some(memory_of(&*reader).await?);
    }
    Ok(())
}

async fn crashed(place: &dyn Journals) -> Kept {
    if !place.reopens() {
        return Ok(());
    }
    let mut journal = place.open().await.map_err(failed)?;
    let reader = live_long(&mut *journal, 30).await?;
    let before = memory_of(&*reader).await?;
    drop((journal, reader));
    let journal = place.open().await.map_err(failed)?;
    ensure!(!journal.opening().clean, "the journal opens clean");
    ensure_eq!((journal.opening().torn, journal.opening().missing_up_to), (None, None), "what was lost");
    ensure_eq!(memory_of(&*journal.reader()).await?, before, "what is there");
    agree(&*journal.reader(), 8).await?;
    close(journal, &mut Scribe::default()).await?;
    let journal = place.open().await.map_err(failed)?;
    ensure!(journal.opening().clean, "after a close, the journal does not open clean");
    Ok(())
}

async fn second_writer(place: &dyn Journals) -> Kept {
    if !place.is_local() {
        return Ok(());
    }
    let first = place.open().await.map_err(failed)?;
    match place.open().await {
        Err(JournalError::Locked { .. }) => {}
        Err(other) => return Err(format!("wanted Locked, failed: {other}")),
        Ok(_) => return Err("two writers have it open".to_owned()),
    }
    first.close().await.map_err(failed)?;
    place.open().await.map(drop).map_err(failed)
}

async fn poisoned(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    if !place.fail_next_append() {
        return Ok(());
    }
    let mut scribe = Scribe::default();
    let draft = scribe.draft(Scribe::create(ids::run(1), None)).ok_or("no draft")?;
    ensure!(journal.append(vec![draft.clone()]).await.is_err(), "the failing append succeeds");
    let before = journal.reader().head();
    let other = scribe.draft(Scribe::create(ids::run(2), None)).ok_or("no draft")?;
    for draft in [other.clone(), draft] {
        match journal.append(vec![draft]).await {
            Err(AppendError::Journal(JournalError::Poisoned { .. })) => {}
            Err(error) => return Err(format!("wanted Poisoned, failed: {error}")),
            Ok(_) => return Err("an append after the failed one succeeds".to_owned()),
        }
    }
    ensure_eq!(journal.reader().head(), before, "head");
    // Its close may fail; the place must open again all the same.
    let _ = journal.close().await;
    if place.reopens() {
        let mut journal = place.open().await.map_err(failed)?;
        append(&mut *journal, vec![other]).await?;
        agree(&*journal.reader(), 2).await?;
    }
    Ok(())
}

async fn whole_batches(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let reader = journal.reader();
    let watched = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // Bounded in case the writer fails: then nobody reaches the last position.
        for _ in 0..1_000_000 {
            let position = reader.head().position.0;
            if seen.last() != Some(&position) {
                seen.push(position);
            }
            if position >= 400 {
                break;
            }
            std::thread::yield_now();
        }
        seen
    });
    let mut scribe = Scribe::default();
    for batch in 0..20 {
        let runs = (batch * 20..(batch + 1) * 20).map(ids::run);
        let drafts = runs.filter_map(|run| scribe.draft(Scribe::create(run, None))).collect();
        append(&mut *journal, drafts).await?;
    }
    let seen = watched.join().map_err(|_| "the watching thread ended early".to_owned())?;
    ensure!(seen.iter().all(|position| position % 20 == 0), "a reader saw parts of batches: {seen:?}");
    ensure!(seen.is_sorted(), "the head went back: {seen:?}");
    Ok(())
}
