//! Subjects of which only one of a name exists at a time: another one under the name proves that the one before is gone.

use std::collections::HashMap;

use tachograph_engine::domain::{Action, RunId};

use super::field::bounded;
use super::observation::Subject;
use super::recorder::{Turn, concluder, unknown_exit};
use crate::error::Error;

/// What of a name and of a uid goes into a cause.
const TOLD_BYTES: usize = 512;

/// Who holds which name, of those that only one can hold: a few words for each name.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<String, Holder>);

#[derive(Debug)]
struct Holder {
    run: RunId,
    /// What belongs to it.
    parts: Vec<RunId>,
}

impl Held {
    /// Takes down that a run holds a name, and returns what is gone therefore: the one before, after its parts.
    fn take(&mut self, name: &str, run: RunId) -> Vec<RunId> {
        let holder = Holder { run, parts: Vec::new() };
        match self.0.insert(name.to_owned(), holder) {
            None => Vec::new(),
            Some(before) => before.parts.into_iter().chain([before.run]).collect(),
        }
    }

    /// Takes down that a run belongs to another one, as long as that holds its name.
    fn add_part(&mut self, name: &str, holder: RunId, part: RunId) {
        if let Some(holder) = self.0.get_mut(name).filter(|held| held.run == holder) {
            holder.parts.push(part);
        }
    }
}

impl Turn<'_> {
    /// Before a run is created: ends what is gone if this one exists, and takes down whose part it is.
    pub(super) async fn replace(&mut self, subject: &Subject, run: RunId, parent: Option<RunId>) -> Result<(), Error> {
        if self.recorder.record(run).await?.is_some() {
            return Ok(());
        }
        let whole = subject.parent.as_ref().filter(|whole| whole.is_only_of_its_name);
        if let (Some(parent), Some(name)) = (parent, whole.and_then(|whole| whole.name.as_deref())) {
            self.recorder.held.add_part(name, parent, run);
        }
        if let Some(name) = subject.name.as_deref().filter(|_| subject.is_only_of_its_name) {
            for gone in self.recorder.held.take(name, run) {
                self.end_gone(gone, name, &subject.key).await?;
            }
        }
        Ok(())
    }

    /// Ends a run that is gone: its attempt if it has an open one, or all of it if it never had one.
    async fn end_gone(&mut self, gone: RunId, name: &str, by: &str) -> Result<(), Error> {
        let Some(record) = self.recorder.record(gone).await?.filter(|record| !record.run.is_ended()) else {
            return Ok(());
        };
        let (name, by) = (bounded(name, TOLD_BYTES), bounded(by, TOLD_BYTES));
        let proof = format!("another pod of its name exists, {name} with the uid {by}, so that it is gone");
        let action = match &record.run.attempt {
            Some(latest) => unknown_exit(gone, latest, format!("{proof}; nothing tells how it ended")),
            None => Action::Destroy { force: false, why: format!("{proof}; nothing told of a start") },
        };
        self.submit(gone, concluder(), "replaced", action).await?;
        Ok(())
    }
}
