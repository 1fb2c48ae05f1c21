//! Which run a text means that is no whole run id: a name, or the beginning of an id.

use std::collections::{BTreeSet, HashSet};

use tachograph_engine::domain::{Entry, Event, Position, RunId, RunRecord};

use crate::error::Error;

/// The shortest beginning of a run id that is looked for.
pub(crate) const PREFIX_CHARS_MIN: usize = 4;
/// How similar a name must be to be suggested, from 0 (not at all) to 1 (the same).
const SIMILARITY_MIN: f64 = 0.8;
/// Run ids that are listed when a prefix is ambiguous.
pub(crate) const CANDIDATES_MAX: usize = 5;

/// One pass over the journal for whatever a text may mean.
pub(crate) struct Search<'text> {
    text: &'text str,
    /// The text as the beginning of a run id; absent if it is too short for one.
    prefix: Option<String>,
    /// Up to where names are looked at.
    names_up_to: Position,
    /// Up to here nothing is held: runs that began there are known by their ids alone.
    begins_after: Position,
    /// The runs that ever had exactly this name.
    bearers: HashSet<RunId>,
    /// Whichever of them took the name last.
    holder: Option<RunId>,
    /// The runs whose id begins with the text.
    fitting: BTreeSet<RunId>,
    /// The most similar name, if it is similar enough to be a slip.
    similar: Option<(f64, String)>,
}

impl<'text> Search<'text> {
    /// A search for names as they were up to a position; ids do not depend on it.
    pub(crate) fn of(text: &'text str, names_up_to: Position) -> Self {
        Self {
            text,
            prefix: (text.len() >= PREFIX_CHARS_MIN).then(|| text.to_ascii_uppercase()),
            names_up_to,
            begins_after: Position::ZERO,
            bearers: HashSet::new(),
            holder: None,
            fitting: BTreeSet::new(),
            similar: None,
        }
    }

    /// The same where nothing is held up to a position.
    pub(crate) fn beginning_after(self, begins_after: Position) -> Self {
        Self { begins_after, ..self }
    }

    /// Begins with the runs of archived entries, and those of them that had the text as their name, the last one last.
    pub(crate) fn begin(&mut self, runs: &[RunRecord], bearers: &[RunId]) {
        for record in runs {
            self.see_id(record.run.id);
            if let Some(name) = record.run.spec.name.as_deref() {
                self.see_name(record.run.id, name);
            }
        }
        self.holder = bearers.last().copied();
    }

    fn see_id(&mut self, run: RunId) {
        if self.prefix.as_ref().is_some_and(|prefix| run.to_string().starts_with(prefix)) {
            self.fitting.insert(run);
        }
    }

    /// Takes the next entry in.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        if entry.previous.is_some_and(|previous| previous <= self.begins_after) {
            self.see_id(run);
        }
        let names_count = entry.position <= self.names_up_to;
        for event in entry.events() {
            if let Event::Created { spec, .. } = event {
                self.see_id(run);
                if let Some(name) = spec.name.as_deref().filter(|_| names_count) {
                    self.see_name(run, name);
                }
            } else if matches!(event, Event::Started { .. }) && names_count && self.bearers.contains(&run) {
                self.holder = Some(run);
            }
        }
    }

    fn see_name(&mut self, run: RunId, name: &str) {
        if name == self.text {
            self.bearers.insert(run);
            self.holder = Some(run);
        } else if self.holder.is_none() {
            let score = strsim::jaro_winkler(self.text, name);
            if score > self.similar.as_ref().map_or(SIMILARITY_MIN, |(best, _)| *best) {
                self.similar = Some((score, name.to_owned()));
            }
        }
    }

    /// The run that has the text as its name, after all entries.
    pub(crate) fn bearer(&self) -> Option<RunId> {
        self.holder
    }

    /// The runs whose id begins with the text.
    pub(crate) fn fitting(&self) -> &BTreeSet<RunId> {
        &self.fitting
    }

    /// The run that is meant, after all entries; `unknown` makes the error if there is none, given a similar name.
    pub(crate) fn answer(self, unknown: impl FnOnce(Option<String>) -> Error) -> Result<RunId, Error> {
        match (self.holder, self.fitting.first(), self.fitting.len()) {
            (Some(run), _, _) => Ok(run),
            (None, Some(run), 1) => Ok(*run),
            (None, None, _) => Err(unknown(self.similar.map(|(_, name)| name))),
            (None, Some(_), count) => {
                let candidates = self.fitting.iter().take(CANDIDATES_MAX).copied().collect();
                Err(Error::AmbiguousRun { prefix: self.text.to_owned(), count, candidates })
            }
        }
    }
}
