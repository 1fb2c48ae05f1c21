//! Tables of a large journal that stay filled from one process to the next.
//!
//! They are a copy that can be deleted at any time: a question is asked of them only if they are exactly what the journal would
//! fill them with, and where anything about them is otherwise, it gets a database of its own. Why it is done this way, decision 27.

mod bound;
mod card;
mod file;
mod place;

use std::collections::BTreeMap;

use tachograph_engine::domain::Position;

use self::card::{Holding, JournalFiles};
use self::file::CacheFile;
pub use self::place::CacheChoice;
use self::place::{CachePlace, NoCache};
use super::answer::{Answer, Desk};
use super::interrupt::Interrupt;
use super::kept::{Kept, Reach};
use super::loading::{Loaded, OF_ENTRIES, Scope};
use super::narrowing::Stretch;
use super::parameter::Parameter;
use super::wanted::Wanted;
use crate::cli::AskArgs;
use crate::dataset::{Dataset, FileMark};
use crate::error::Error;
use crate::output::Reading;

/// Entries of a journal from which on its tables stay filled: of fewer, they are made anew in some tenths of a second, and no
/// file is left for it.
pub(crate) const ENTRIES_MIN: u64 = 100_000;
/// Why tables are not used that may be soon.
const NOT_YET: &str = "nothing is filled yet";
const ARCHIVED: &str = "entries were archived meanwhile, and the tables begin anew: ask again";
/// What nobody wants to have twice: it is most of a journal.
const NEVER_KEPT: &str = "payload";

/// Whether somebody asks one question, or one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// One: tables are filled for it unless less has to be read without.
    Once,
    /// Many: tables are filled for each that does not have its runs to itself.
    Often,
}

/// The tables that stay filled, as far as there are any for this journal.
pub(super) struct Cached {
    state: State,
    place: Option<CachePlace>,
    asks: Asks,
    entries_min: u64,
    boot_id: String,
    interrupt: Interrupt,
    note: Option<String>,
}

enum State {
    /// They were not looked for, or have to be looked for again, and why they are not used until then.
    Unknown(&'static str),
    /// They are here, and are this process's alone.
    Held {
        /// Closed before the file is given back.
        kept: Box<Kept>,
        file: Box<CacheFile>,
        /// The files of the journal before their entries were read.
        files: JournalFiles,
    },
    /// They are not used.
    Never(String),
}

impl Cached {
    /// Those of the journal that is read, as far as the questions are about all of it.
    pub(super) fn of(reading: &Reading, ask: &AskArgs, asks: Asks, interrupt: Interrupt) -> Self {
        let boot_id = reading.machine.boot_id().to_owned();
        let entries_min = ask.cached_from.unwrap_or(ENTRIES_MIN);
        let mut cached =
            Self { state: State::Unknown(NOT_YET), place: None, asks, entries_min, boot_id, interrupt, note: None };
        let is_whole = ask.at.is_none() && ask.after.is_none() && ask.run.is_none();
        match CachePlace::of(ask.cache.as_ref(), reading.dataset.data()) {
            _ if !is_whole => cached.state = State::Never("a part of the history is asked about".to_owned()),
            _ if reading.dataset.journal().is_none() => {
                cached.state = State::Never("it is no data directory".to_owned())
            }
            _ if cached.boot_id.is_empty() => {
                cached.state = State::Never("the kernel does not name its boot".to_owned())
            }
            Ok(place) => cached.place = Some(place),
            Err(none) if cached.is_large(&reading.dataset) => cached.give_up(none),
            Err(none) => cached.state = State::Never(none.why),
        }
        cached
    }

    /// What somebody should know, once.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    fn is_large(&self, dataset: &Dataset) -> bool {
        let reader = dataset.reader();
        reader.head().position.0.saturating_sub(reader.archived().0) >= self.entries_min
    }

    fn give_up(&mut self, none: NoCache) {
        if none.is_noted {
            self.note = Some(format!("tables do not stay filled: {}", none.why));
        }
        self.state = State::Never(none.why);
    }

    /// Drops what is held, for good.
    fn drop_file(&mut self, why: &str) {
        if let State::Held { file, kept, .. } = std::mem::replace(&mut self.state, State::Never(why.to_owned())) {
            drop(kept);
            file.discard();
        }
    }

    /// Brings the tables up to date for a question, and fills what it reads. Absent if it is not for them, or they cannot be
    /// used: then it wants tables of its own.
    ///
    /// # Errors
    ///
    /// As [`Desk::fill`], for whatever is not the fault of the file.
    pub(super) async fn bring_up(
        &mut self,
        dataset: &Dataset,
        scope: Scope,
        desk: &Desk,
    ) -> Result<Option<Loaded>, Error> {
        if !self.is_for(dataset, scope, desk) || dataset.damage().is_some() {
            return Ok(None);
        }
        self.look(dataset).await;
        if !self.is_wanted(dataset, scope, desk) || !self.is_held(dataset) {
            return Ok(None);
        }
        let State::Held { file, kept, .. } = &mut self.state else { return Ok(None) };
        // Another process may have seen more by now: then they are good for the next question.
        if !kept.continues(dataset, scope) {
            return Ok(None);
        }
        if kept.is_ready(dataset, scope, desk.wanted()) {
            let from = vec!["nothing: the tables are filled".to_owned()];
            return Ok(Some(Loaded { from, ..Loaded::default() }));
        }
        if file.withdraw().is_err() {
            self.drop_file("its card cannot be taken away");
            return Ok(None);
        }
        let (before, archived) = (kept.reach(), dataset.reader().archived());
        let brought = kept.bring(dataset, scope, desk.wanted()).await;
        file.leave();
        if kept.is_broken() {
            self.drop_file("SQLite cannot use the file");
            return Ok(None);
        }
        if dataset.damage().is_some() {
            self.drop_file("the journal is damaged: `tacho verify` shows the extent");
            return Ok(None);
        }
        if dataset.reader().archived() != archived {
            self.drop_file(ARCHIVED);
            self.state = State::Unknown(ARCHIVED);
            return Ok(None);
        }
        // What was taken back is as it was, and what it holds counts as before.
        if brought.is_ok() || !before.filled.is_empty() {
            self.put_card(dataset).await;
        }
        brought.map(Some)
    }

    /// Whether a question is one for tables that are filled with all that there is.
    fn is_for(&self, dataset: &Dataset, scope: Scope, desk: &Desk) -> bool {
        let wanted = desk.wanted();
        let reads_payload = wanted.tables().any(|table| wanted.reads(table, NEVER_KEPT));
        let is_out = matches!(self.state, State::Never(_)) || !self.is_large(dataset);
        // What a few runs tell is read sooner than a long table is gone through.
        !is_out && desk.is_of_tables() && !reads_payload && !desk.is_of_runs(dataset, scope)
    }

    /// Whether tables are to be filled for a question, or are.
    fn is_wanted(&self, dataset: &Dataset, scope: Scope, desk: &Desk) -> bool {
        let (narrowing, wanted) = (desk.narrowing(), desk.wanted());
        let is_little = narrowing.narrows("entries")
            || narrowing.narrows("events")
            || wanted.tables().all(|table| OF_ENTRIES.contains(&table))
                && narrowing.stretch(&["refusals"]) != Stretch::default();
        if self.asks == Asks::Often || !is_little {
            return true;
        }
        match &self.state {
            State::Held { kept, .. } => {
                let is_near = scope.at.0.saturating_sub(kept.reach().reached.0) < self.entries_min;
                is_near && kept.continues(dataset, scope) && kept.covers(wanted)
            }
            State::Unknown(_) | State::Never(_) => false,
        }
    }

    /// Takes the tables that are there, if they are sound and can be gone on with.
    async fn look(&mut self, dataset: &Dataset) {
        let marks = dataset.journal_files().unwrap_or_default();
        match &mut self.state {
            State::Held { kept, file, files } => {
                if !file.is_in_place() {
                    // Whoever has the names now is left alone.
                    self.state = State::Never("its file was deleted meanwhile".to_owned());
                    return;
                }
                let is_same_journal = kept.reach().archived == dataset.reader().archived() && files.are_in(&marks);
                if is_same_journal && file.is_as_left() {
                    *files = JournalFiles::of(&marks);
                    return;
                }
                self.drop_file(NOT_YET);
                self.state = State::Unknown(NOT_YET);
            }
            State::Unknown(_) => {}
            State::Never(_) => return,
        }
        let (Some(place), Some(journal)) = (&self.place, dataset.journal()) else { return };
        let mut file = match CacheFile::take(place, (journal, dataset.data()), &self.boot_id, false) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(none) => return self.give_up(none),
        };
        let Some(holding) = file.holding() else { return };
        if !is_of(&holding, &marks, dataset).await {
            return;
        }
        let files = JournalFiles::of(&marks);
        let reach = Reach {
            filled: Wanted::read(holding.filled),
            reached: Position(holding.reached),
            archived: Position(holding.archived),
        };
        let opened = file.open().ok().and_then(|open| Kept::lasting(open, reach, self.interrupt.clone()).ok());
        match opened {
            Some(kept) => self.state = State::Held { kept: Box::new(kept), file: Box::new(file), files },
            None => file.discard(),
        }
    }

    /// Makes the tables, empty, if they are not there.
    fn is_held(&mut self, dataset: &Dataset) -> bool {
        if let State::Unknown(_) = self.state
            && let (Some(place), Some(journal)) = (&self.place, dataset.journal())
        {
            let archived = dataset.reader().archived();
            let entries = dataset.reader().head().position.0.saturating_sub(archived.0);
            let taken = CacheFile::take(place, (journal, dataset.data()), &self.boot_id, true);
            let files = JournalFiles::of(&dataset.journal_files().unwrap_or_default());
            let made = taken.and_then(|file| {
                let mut file = file.ok_or_else(|| NoCache::quiet("it is not there"))?;
                let reach = Reach { archived, ..Reach::default() };
                let kept = Kept::lasting(file.make(entries)?, reach, self.interrupt.clone());
                let kept = kept.map_err(|error| file.unusable(&error.to_string()))?;
                Ok(State::Held { kept: Box::new(kept), file: Box::new(file), files })
            });
            match made {
                Ok(held) => self.state = held,
                Err(none) => self.give_up(none),
            }
        }
        matches!(self.state, State::Held { .. })
    }

    /// Says beside the tables what they hold; where that cannot be done, they are gone with the process.
    async fn put_card(&mut self, dataset: &Dataset) {
        let State::Held { file, kept, files } = &self.state else { return };
        let reach = kept.reach();
        let chain = dataset.reader().digest_at(reach.reached).await.ok().flatten();
        let Some(chain) = chain else { return };
        let holding = Holding {
            journal: file.journal().to_owned(),
            reached: reach.reached.0,
            chain: chain.to_string(),
            archived: reach.archived.0,
            files: files.clone(),
            filled: reach.filled.written(),
        };
        if file.put(holding).is_err() {
            // There is none then, which is as well.
            let _ = file.withdraw();
        }
    }

    /// Answers a question that the tables were brought up for; false if they cannot be read, and nothing was answered.
    ///
    /// # Errors
    ///
    /// As [`Desk::ask`].
    pub(super) fn ask(
        &mut self,
        desk: &Desk,
        parameters: (&[Parameter], &[Parameter]),
        answer: &mut Answer<'_>,
    ) -> Result<bool, Error> {
        let State::Held { kept, .. } = &self.state else { return Ok(false) };
        let asked = kept.ask_file(desk, parameters, answer);
        if kept.is_broken() {
            self.drop_file("SQLite cannot read the file");
        }
        asked
    }

    /// How SQLite goes about a question that the tables were brought up for; absent if they cannot be read.
    pub(super) fn plan(&self, desk: &Desk) -> Option<Vec<String>> {
        match &self.state {
            State::Held { kept, .. } => kept.plan(desk).ok(),
            State::Unknown(_) | State::Never(_) => None,
        }
    }

    /// The same for a question, in lines; nothing of a journal that is not large enough.
    pub(super) async fn explained(&mut self, dataset: &Dataset, is_used: bool) -> Vec<String> {
        if !self.is_large(dataset) {
            return Vec::new();
        }
        let mut told = self.told(dataset).await;
        told.retain(|(what, _)| *what != "used");
        match &self.state {
            _ if is_used => told.push(("used", "yes".to_owned())),
            State::Never(why) => told.push(("used", format!("no: {why}"))),
            State::Unknown(ARCHIVED) => told.push(("used", format!("no: {ARCHIVED}"))),
            State::Unknown(_) | State::Held { .. } => {
                told.push(("used", "no: the question reads less without, or what is never kept".to_owned()));
            }
        }
        told.into_iter().map(|(what, is)| format!("{what}: {is}")).collect()
    }

    /// What there is to tell about the tables, each with what it is; nothing of a journal that is not large enough.
    pub(super) async fn told(&mut self, dataset: &Dataset) -> Vec<(&'static str, String)> {
        if !self.is_large(dataset) {
            return vec![("used", format!("no: the journal has fewer than {} entries", self.entries_min))];
        }
        self.look(dataset).await;
        match &self.state {
            State::Never(why) => vec![("used", format!("no: {why}"))],
            State::Unknown(why) => {
                let directory = self.place.iter().map(|place| ("directory", place.told()));
                directory.chain([("used", format!("no: {why}"))]).collect()
            }
            State::Held { file, kept, .. } => {
                let reach = kept.reach();
                let mut told = vec![
                    ("file", file.tables().display().to_string()),
                    ("bytes", file.bytes().to_string()),
                    ("up to position", reach.reached.to_string()),
                ];
                let rows: BTreeMap<String, i64> = kept.rows();
                told.extend(rows.iter().map(|(table, rows)| {
                    let columns = reach.filled.columns(table).into_iter().flatten();
                    let columns: Vec<&str> = columns.map(String::as_str).collect();
                    ("table", format!("{table}: {rows} rows of {}", columns.join(", ")))
                }));
                told
            }
        }
    }
}

/// Whether tables are of this very journal, as it was up to where they reach.
async fn is_of(holding: &Holding, marks: &[FileMark], dataset: &Dataset) -> bool {
    let (reached, reader) = (Position(holding.reached), dataset.reader());
    if holding.archived != reader.archived().0 {
        return false;
    }
    let chain = reader.digest_at(reached).await.ok().flatten();
    chain.is_some_and(|chain| chain.to_string() == holding.chain) && holding.files.are_in(marks)
}

#[cfg(test)]
mod tests;
