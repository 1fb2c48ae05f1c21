//! Positions, back pointers, versions: what an append does.

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{EntryBody, Position, SystemFact, TornTail, Version};
use tachograph_engine::ports::{AppendError, Draft};

use super::{Clause, Journals, Kept, Model, Scribe, all, append, conflicts, ensure, ensure_eq, failed};

pub(super) const CLAUSES: &[Clause] = &[
    ("entries get consecutive positions from 1, in the order given", |place| Box::pin(positions(place))),
    ("entries are recorded as they were drafted", |place| Box::pin(recorded(place))),
    ("an empty batch changes nothing", |place| Box::pin(empty(place))),
    ("entries point back to the entry before about their run", |place| Box::pin(back_pointers(place))),
    ("a draft for another version of its run is a conflict", |place| Box::pin(versions(place))),
    ("a conflict anywhere in a batch leaves all of it out", |place| Box::pin(all_or_none(place))),
    ("a journal goes on after a conflict", |place| Box::pin(after_conflict(place))),
];

/// A history with everything in it that a back pointer depends on, in batches.
pub(super) fn batches(scribe: &mut Scribe) -> Vec<Vec<Draft>> {
    let [a, b, c] = [1, 2, 3].map(ids::run);
    let mut batches = vec![vec![scribe.system(recovered())]];
    let mut batch = Vec::new();
    for command in [Scribe::destroy(c), Scribe::create(a, Some("build")), Scribe::create(b, None)] {
        batch.extend(scribe.draft(command));
    }
    let start = scribe.start(a, "r1");
    batch.extend(scribe.draft(start));
    batches.push(batch);
    for step in 0..4 {
        let mut batch = Vec::new();
        let command = match step {
            0 => scribe.wait(a),
            1 => scribe.exit(a, 0),
            2 => scribe.exit(a, 1),
            _ => scribe.start(a, "r2"),
        };
        batch.extend(scribe.draft(command));
        batch.push(scribe.system(recovered()));
        let late = scribe.exit(b, 9);
        batch.extend(scribe.draft(late));
        batches.push(batch);
    }
    let last = [Scribe::destroy(b), Scribe::destroy(b), Scribe::create(c, Some("test"))];
    batches.push(last.into_iter().filter_map(|command| scribe.draft(command)).collect());
    batches
}

fn recovered() -> SystemFact {
    let torn = TornTail { file: "1.seg".to_owned(), offset: 64, bytes: 3, position: Position(7) };
    SystemFact::Recovered { torn: Some(torn), missing_up_to: None, open_runs: 2 }
}

async fn positions(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let mut next = Position(1);
    for batch in batches(&mut Scribe::default()) {
        let drafted: Vec<_> = batch.iter().map(|draft| draft.id).collect();
        let entries = journal.append(batch).await.map_err(failed)?;
        ensure_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), drafted, "order");
        for entry in entries {
            ensure_eq!(entry.position, next, "position");
            next = next.next();
        }
        ensure_eq!(journal.reader().head().position.next(), next, "head");
    }
    Ok(())
}

async fn recorded(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let mut returned = Vec::new();
    for batch in batches(&mut Scribe::default()) {
        let drafts = batch.clone();
        let entries = journal.append(batch).await.map_err(failed)?;
        for (draft, entry) in drafts.into_iter().zip(&entries) {
            let found = Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
            ensure_eq!(found, draft, "entry {}", entry.position);
        }
        returned.extend(entries);
    }
    ensure_eq!(all(&*journal.reader()).await?.1, returned, "what a reader sees");
    Ok(())
}

async fn empty(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    for batch in [vec![], vec![Scribe::default().system(recovered())], vec![]] {
        let (before, count) = (journal.reader().head(), batch.len() as u64);
        append(&mut *journal, batch).await?;
        let after = journal.reader().head();
        ensure_eq!(after.position.0, before.position.0 + count, "position");
        ensure_eq!(after.digest == before.digest, count == 0, "digest is unchanged");
    }
    Ok(())
}

async fn back_pointers(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let mut returned = Vec::new();
    for batch in batches(&mut Scribe::default()) {
        returned.extend(journal.append(batch).await.map_err(failed)?);
    }
    let model = Model::of(&returned);
    for (entry, previous) in returned.iter().zip(&model.previous) {
        ensure_eq!(entry.previous, *previous, "back pointer of {:?}", entry.body);
    }
    let reader = journal.reader();
    for (run, positions) in &model.histories {
        let history = reader.history(*run).await.map_err(failed)?;
        ensure_eq!(history.iter().map(|entry| entry.position).collect::<Vec<_>>(), *positions, "history of {run}");
    }
    Ok(())
}

/// The draft with another version than its run's next one.
fn misplaced(draft: &Draft, by: i64) -> Draft {
    let mut draft = draft.clone();
    if let EntryBody::Committed(committed) = &mut draft.body {
        committed.version = Version(committed.version.0.saturating_add_signed(by));
    }
    draft
}

async fn versions(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let (mut scribe, run) = (Scribe::default(), ids::run(1));
    let created = scribe.draft(Scribe::create(run, None)).ok_or("no draft")?;
    for (draft, actual) in [(misplaced(&created, 1), 0), (misplaced(&created, -1), 0)] {
        expect_actual(conflicts(&mut *journal, vec![draft]).await?, actual)?;
    }
    append(&mut *journal, vec![created.clone()]).await?;
    expect_actual(conflicts(&mut *journal, vec![created]).await?, 1)?;
    let start = scribe.start(run, "r1");
    let started = scribe.draft(start).ok_or("no draft")?;
    for by in [-1, 1, 10] {
        expect_actual(conflicts(&mut *journal, vec![misplaced(&started, by)]).await?, 1)?;
    }
    append(&mut *journal, vec![started]).await
}

fn expect_actual(conflict: AppendError, actual: u64) -> Kept {
    match conflict {
        AppendError::Conflict { run, actual: found } if run == ids::run(1) => {
            ensure_eq!(found, Version(actual), "version in the conflict");
            Ok(())
        }
        other => Err(format!("the conflict names another run: {other}")),
    }
}

async fn all_or_none(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let mut scribe = Scribe::default();
    let [a, b] = [1, 2].map(|number| Scribe::create(ids::run(number), None)).map(|create| scribe.draft(create));
    let (a, b) = (a.ok_or("no draft")?, b.ok_or("no draft")?);
    // The second of two creations of one run comes too late within the batch itself.
    conflicts(&mut *journal, vec![b.clone(), a.clone(), a.clone()]).await?;
    conflicts(&mut *journal, vec![b.clone(), misplaced(&a, 3)]).await?;
    let reader = journal.reader();
    ensure!(all(&*reader).await?.1.is_empty(), "entries of a batch with a conflict are there");
    ensure_eq!(reader.run_head(ids::run(2)).await.map_err(failed)?, None, "head of a run of that batch");
    append(&mut *journal, vec![a, b]).await
}

async fn after_conflict(place: &dyn Journals) -> Kept {
    let mut journal = place.open().await.map_err(failed)?;
    let (mut scribe, mut returned) = (Scribe::default(), Vec::new());
    let other = Scribe::default().draft(Scribe::create(ids::run(9), None)).ok_or("no draft")?;
    for batch in batches(&mut scribe) {
        conflicts(&mut *journal, vec![misplaced(&other, 5)]).await?;
        returned.extend(journal.append(batch).await.map_err(failed)?);
    }
    ensure_eq!(all(&*journal.reader()).await?.1, returned, "what a reader sees");
    Ok(())
}
