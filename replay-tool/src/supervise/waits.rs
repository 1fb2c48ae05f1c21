//! What the runs of the jobs report meanwhile: that they wait, and what becomes of their snapshots.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use serde::Serialize;
use tachograph_engine::domain::{Entry, EntryBody, Event, Position, RunId, StartCause};
use tachograph_engine::shell::{Engine, Subscription, SubscriptionError};

use super::progress::{Progress, Step};
use crate::jobs::Job;
use crate::table::printable;

/// What became of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobSnapshotView {
    /// Its id.
    pub snapshot: String,
    /// Where its image is; null if it failed.
    pub location: Option<String>,
    /// The image's size; null if it failed.
    pub bytes: Option<u64>,
    /// Why it failed; null if it was taken.
    pub failure: Option<String>,
}

/// Follows the journal beside the jobs: what an entry says is durable.
pub(super) struct Waits<'job> {
    jobs: HashMap<&'job str, &'job Job>,
    progress: &'job dyn Progress,
    entries: Subscription,
    runs: BTreeMap<RunId, &'job Job>,
    snapshots: BTreeMap<RunId, Vec<JobSnapshotView>>,
}

impl<'job> Waits<'job> {
    /// From what is recorded after a position: that of the opening, as snapshots of adopted runs may have been taken since.
    pub(super) fn after(position: Position, engine: &Engine, jobs: &'job [Job], progress: &'job dyn Progress) -> Self {
        let entries = engine.subscribe(position);
        let jobs = jobs.iter().map(|job| (job.name.as_str(), job)).collect();
        Self { jobs, progress, entries, runs: BTreeMap::new(), snapshots: BTreeMap::new() }
    }

    /// With a run that was created before: it is a job's too.
    pub(super) fn and_run(&mut self, run: RunId, name: &str) {
        self.runs.extend(self.jobs.get(name).map(|job| (run, *job)));
    }

    /// Shows what happens as it is recorded. Whatever is lost of the showing, the recording goes on.
    pub(super) async fn watch(&mut self) -> Infallible {
        loop {
            match self.entries.next().await {
                Ok(entry) => self.see(&entry),
                Err(SubscriptionError::Lagged { .. }) => {}
                Err(SubscriptionError::Closed | SubscriptionError::Journal(_)) => std::future::pending().await,
            }
        }
    }

    /// Sees what is recorded by now, and returns what became of the snapshots of each run.
    pub(super) async fn finish(mut self, engine: &Engine) -> BTreeMap<RunId, Vec<JobSnapshotView>> {
        let head = engine.head().position;
        while self.entries.position() < head {
            match self.entries.next().await {
                Ok(entry) => self.see(&entry),
                Err(SubscriptionError::Lagged { .. }) => {}
                Err(SubscriptionError::Closed | SubscriptionError::Journal(_)) => break,
            }
        }
        self.snapshots
    }

    fn see(&mut self, entry: &Entry) {
        let (Some(run), EntryBody::Committed(committed)) = (entry.run(), &entry.body) else { return };
        for event in &committed.events {
            self.see_event(run, event);
        }
    }

    fn see_event(&mut self, run: RunId, event: &Event) {
        if let Event::Created { spec, .. } = event {
            let job = spec.name.as_ref().and_then(|name| self.jobs.get(name.as_str()));
            self.runs.extend(job.map(|job| (run, *job)));
        }
        let Some(job) = self.runs.get(&run).copied() else { return };
        match event {
            Event::Waiting { on, .. } => self.progress.show(&Step::Waiting { job, on }),
            Event::Started { cause: StartCause::Resume, .. } => self.progress.show(&Step::Resumed { job }),
            Event::SnapshotTaken { snapshot, location, bytes, digest: _ } => {
                self.progress.show(&Step::SnapshotTaken { job, location, bytes: *bytes });
                let (location, bytes) = (Some(location.clone()), Some(*bytes));
                self.note(run, JobSnapshotView { snapshot: snapshot.to_string(), location, bytes, failure: None });
            }
            Event::SnapshotFailed { snapshot, message } => {
                self.progress.show(&Step::SnapshotFailed { job, message });
                let (snapshot, failure) = (snapshot.to_string(), Some(message.clone()));
                self.note(run, JobSnapshotView { snapshot, location: None, bytes: None, failure });
            }
            Event::Created { .. }
            | Event::Started { .. }
            | Event::Exited { .. }
            | Event::Failed { .. }
            | Event::Destroyed { .. }
            | Event::SnapshotScheduled { .. }
            | Event::SnapshotCanceled { .. }
            | Event::SnapshotDispatched { .. }
            | Event::RunnerDisconnected { .. }
            | Event::ExitAmended { .. }
            | Event::Reconciled { .. } => {}
        }
    }

    fn note(&mut self, run: RunId, snapshot: JobSnapshotView) {
        self.snapshots.entry(run).or_default().push(snapshot);
    }
}

/// So many snapshots are told about; `tacho timeline` tells about the others.
const SNAPSHOTS_MAX: usize = 20;

/// A line for each snapshot of a job, in the order of the jobs.
pub(super) fn text<'view>(of_jobs: impl Iterator<Item = (&'view Job, &'view [JobSnapshotView])>) -> String {
    let told = of_jobs.flat_map(|(job, snapshots)| snapshots.iter().map(move |snapshot| line(job, snapshot)));
    let mut told: Vec<String> = told.collect();
    let others = told.len().saturating_sub(SNAPSHOTS_MAX);
    told.truncate(SNAPSHOTS_MAX);
    if others > 0 {
        told.push(format!("{others} more snapshots: `tacho timeline JOB` tells about them\n"));
    }
    told.concat()
}

fn line(job: &Job, view: &JobSnapshotView) -> String {
    let (name, snapshot) = (printable(&job.name), &view.snapshot);
    match (&view.location, &view.failure) {
        (Some(location), _) => {
            let bytes = view.bytes.unwrap_or(0);
            format!("{name}: snapshot {snapshot}: {bytes} bytes in {}\n", printable(location))
        }
        (None, failure) => {
            let why = printable(failure.as_deref().unwrap_or("no result"));
            format!("{name}: snapshot {snapshot} FAILED: {why}\n")
        }
    }
}
