//! What is armed in a journal: snapshots and waiting deadlines, with the names of their runs.

use std::collections::HashMap;

use tachograph_engine::domain::{ArmedTimer, Entry, Event, Position, RunId, Timestamp};
use tachograph_projections::{Projection, Timers};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::machine::{LastWriter, WriterSearch};

/// What is armed at a position.
#[derive(Debug, Clone, Default)]
pub struct Armed {
    /// The armed timers, by due time and then key.
    pub timers: Vec<ArmedTimer>,
    /// When the last entry was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The last writer by then.
    pub last_writer: Option<LastWriter>,
    names: HashMap<RunId, String>,
}

impl Armed {
    /// The name of the run that a timer belongs to.
    pub fn name_of(&self, timer: &ArmedTimer) -> Option<&str> {
        self.names.get(&timer.key.run).map(String::as_str)
    }

    fn see_name(&mut self, entry: &Entry) {
        for event in entry.events() {
            match event {
                Event::Created { run, spec } => {
                    if let Some(name) = &spec.name {
                        self.names.insert(*run, name.clone());
                    }
                }
                Event::Destroyed { .. } => {
                    entry.run().map(|run| self.names.remove(&run));
                }
                _ => {}
            }
        }
    }
}

impl Dataset {
    /// What is armed at a position: a fold of all entries up to there.
    ///
    /// The checkpoint of all runs is not used: decoding the runs that ended takes longer than passing over their
    /// entries, and it does not say which entry armed a timer.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read.
    pub async fn armed(&self, at: Position) -> Result<Armed, Error> {
        let (mut timers, mut armed, mut writers) = (Timers::empty(), Armed::default(), WriterSearch::default());
        self.visit(Position::ZERO, at, |entry| {
            timers.apply(&entry);
            armed.see_name(&entry);
            armed.recorded_at = Some(entry.recorded_at);
            writers.see(&entry);
            true
        })
        .await?;
        armed.last_writer = writers.found_or_any();
        armed.timers = timers.armed().into_iter().cloned().collect();
        armed.timers.sort_by_key(|timer| (timer.due, timer.key));
        Ok(armed)
    }
}
