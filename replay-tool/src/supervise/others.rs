//! Runs that go on from the last supervisor and are no job's: followed like the jobs', and told in a line each.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tachograph_adapters::process::{AttemptEnd, EndRecord, RunHandle};

use super::progress::{Progress, Step, outcome_text};
use crate::table::printable;
use crate::writer::Writer;

/// Adopted runs that belong to no job. Their ends stand in no table and in no JSON, which are of the jobs.
pub(super) struct Others<'world> {
    /// Those whose end is not told yet.
    open: Mutex<Vec<Other>>,
    progress: &'world dyn Progress,
}

#[derive(Clone)]
struct Other {
    /// The run, as people know it.
    named: String,
    handle: RunHandle,
}

impl<'world> Others<'world> {
    /// All that a writer has adopted but those that are a job's.
    pub(super) fn of(writer: &Writer, is_a_jobs: impl Fn(&RunHandle) -> bool, progress: &'world dyn Progress) -> Self {
        let live = writer.engine.live();
        let named = |handle: &RunHandle| {
            let record = live.iter().find(|record| record.run.id == handle.run());
            match record.and_then(|record| record.run.spec.name.as_ref()) {
                Some(name) => format!("run {} ({})", printable(name), handle.run()),
                None => format!("run {}", handle.run()),
            }
        };
        let all = writer.runner.handles().into_iter();
        let others = all.filter(|handle| handle.is_adopted() && !is_a_jobs(handle));
        let open = others.map(|handle| Other { named: named(&handle), handle }).collect();
        Self { open: Mutex::new(open), progress }
    }

    /// Tells each end when it is recorded.
    pub(super) async fn watch(&self) -> Infallible {
        let all: Vec<RunHandle> = self.open().iter().map(|other| other.handle.clone()).collect();
        let mut ends = FuturesUnordered::from_iter(all.iter().map(RunHandle::wait));
        while let Some(end) = ends.next().await {
            if let Ok(end) = end {
                self.tell(&end);
            }
        }
        pending().await
    }

    /// Tells of those whose ends were not told yet. All of them were asked to end if `were_stopped`: what has not ended by
    /// now is left to the next supervisor.
    pub(super) fn tell_rest(&self, were_stopped: bool) {
        let rest = self.open().clone();
        for Other { named, handle } in rest {
            match handle.ended() {
                Some(end) => self.tell(&end),
                None if were_stopped && !handle.is_left() => {
                    self.show(&format!(
                        "{named} has not ended in time; whoever opens the data directory next finds it"
                    ));
                }
                None => {}
            }
        }
    }

    /// Tells an end once.
    fn tell(&self, end: &Arc<AttemptEnd>) {
        let ended = |other: &Other| (other.handle.run(), other.handle.attempt()) == (end.run, end.attempt);
        let told = {
            let mut open = self.open();
            open.iter().position(ended).map(|index| open.remove(index))
        };
        if let Some(Other { named, .. }) = told {
            self.show(&format!("{named} ended: {}", ended_text(end)));
        }
    }

    fn show(&self, text: &str) {
        self.progress.show(&Step::Remark { text });
    }

    fn open(&self) -> MutexGuard<'_, Vec<Other>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended_text(end: &AttemptEnd) -> String {
    let outcome = printable(&outcome_text(&end.outcome));
    match &end.record {
        EndRecord::Written { .. } => outcome,
        EndRecord::Refused(refusal) => format!("{outcome}; not recorded: {refusal}"),
        EndRecord::NotSubmitted(error) => {
            format!("{outcome}; not recorded, the next supervisor will: {}", printable(&error.to_string()))
        }
    }
}
