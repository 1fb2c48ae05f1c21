//! Who takes the snapshots of a data directory, and when they are given up.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::process::{ProcessRunner, Standstill};
use tachograph_engine::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};
use tokio::sync::watch;
use tokio::time::timeout;

use super::standing::Standing;

/// How long is waited for a run to go on of which the image was given up.
const THAW_MAX: Duration = Duration::from_secs(1);

/// Snapshotters by the name of the run, with one for all others; and what is under way can be given up.
///
/// Whoever opens the data directory after a crash may know other jobs, or none: what became of a snapshot is looked for in
/// every place that an image of any kind could have.
pub(super) struct JobSnapshotter {
    pub(super) archive: Arc<dyn Snapshotter>,
    pub(super) by_name: BTreeMap<String, Arc<dyn Snapshotter>>,
    /// All that can find and discard what any of them made.
    pub(super) kinds: Vec<Arc<dyn Snapshotter>>,
    pub(super) surrender: Surrender,
    /// What the snapshotters have frozen.
    pub(super) standing: Standing,
    /// Who ends attempts, and waits until they do not stand still.
    pub(super) runner: Option<ProcessRunner>,
}

impl JobSnapshotter {
    fn of(&self, wanted: &WantedSnapshot) -> &dyn Snapshotter {
        let named = wanted.spec.name.as_ref().and_then(|name| self.by_name.get(name));
        &**named.unwrap_or(&self.archive)
    }

    /// Returns once no image is wanted of an attempt any more: it is to end, or it ended while it stood still, so that the
    /// image would show what was torn.
    async fn ending(&self, wanted: &WantedSnapshot, standstill: Option<&Standstill>) {
        let Some(standstill) = standstill else { return pending().await };
        let torn = async {
            standstill.exited().await;
            if !self.standing.stands(wanted.attempt) {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = standstill.asked_to_end() => {}
            () = torn => {}
        }
    }
}

#[async_trait]
impl Snapshotter for JobSnapshotter {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let mut surrendered = self.surrender.0.subscribe();
        if surrendered.borrow_and_update().is_final {
            return Err(given_up());
        }
        let standstill = self.runner.as_ref().and_then(|runner| runner.standstill(wanted.run, wanted.attempt));
        let image = tokio::select! {
            biased;
            () = self.ending(wanted, standstill.as_ref()) => None,
            image = self.of(wanted).take(wanted) => Some(image),
            _ = surrendered.changed() => None,
        };
        match image {
            Some(image) => image,
            None => {
                // Whoever gives it up is about to ask something of the run.
                let _ = timeout(THAW_MAX, self.standing.gone_on(wanted.attempt)).await;
                Err(given_up())
            }
        }
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        let mut failed = None;
        for kind in &self.kinds {
            match kind.find(wanted).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        let mut failed = None;
        for kind in &self.kinds {
            failed = failed.or(kind.discard(wanted).await.err());
        }
        failed.map_or(Ok(()), Err)
    }
}

fn given_up() -> SnapshotError {
    SnapshotError::because(
        "given up, so that the run could be ended: it or its supervisor got a signal meanwhile, or its time was up",
    )
}

/// Gives up snapshots that are being taken: what they froze goes on, and each is recorded as failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Surrender(Arc<watch::Sender<Surrendered>>);

#[derive(Debug, Clone, Copy, Default)]
struct Surrendered {
    times: u64,
    is_final: bool,
}

impl Surrender {
    /// Those that are under way now.
    pub(super) fn present(&self) {
        self.0.send_modify(|surrendered| surrendered.times += 1);
    }

    /// Those, and all that begin later.
    pub(super) fn all(&self) {
        self.0.send_modify(|surrendered| {
            surrendered.times += 1;
            surrendered.is_final = true;
        });
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::{AttemptId, Digest, Ordinal, RunId, RunSpec, SnapshotId, Workload};

    use super::*;

    /// Says where it would put an image, or never comes to an end.
    struct Scripted(Option<&'static str>);

    #[async_trait]
    impl Snapshotter for Scripted {
        async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
            match self.find(wanted).await? {
                Some(image) => Ok(image),
                None => pending().await,
            }
        }

        async fn find(&self, _: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
            let image = |location: &str| SnapshotImage { location: location.into(), bytes: 1, digest: Digest::ZERO };
            Ok(self.0.map(image))
        }

        async fn discard(&self, _: &WantedSnapshot) -> Result<(), SnapshotError> {
            self.0.map(|_| ()).ok_or_else(|| SnapshotError::because("nothing"))
        }
    }

    fn wanted(name: Option<&str>) -> WantedSnapshot {
        let workload = Workload::Command { argv: vec!["x".to_owned()], cwd: None };
        WantedSnapshot {
            run: RunId::from_u128(1),
            attempt: AttemptId::from_u128(2),
            ordinal: Ordinal(1),
            snapshot: SnapshotId::from_u128(3),
            spec: Arc::new(RunSpec { name: name.map(str::to_owned), workload, ..RunSpec::default() }),
        }
    }

    fn snapshotter(archive: Option<&'static str>, named: Option<&'static str>) -> JobSnapshotter {
        let by_name = [("own".to_owned(), Arc::new(Scripted(named)) as Arc<dyn Snapshotter>)].into();
        let kinds = [None, archive].map(|kind| Arc::new(Scripted(kind)) as Arc<dyn Snapshotter>).into();
        JobSnapshotter {
            archive: Arc::new(Scripted(archive)),
            by_name,
            kinds,
            surrender: Surrender::default(),
            standing: Standing::default(),
            runner: None,
        }
    }

    #[tokio::test]
    async fn a_job_with_its_own_snapshotter_is_asked_for_by_name_and_others_get_the_archive() {
        let snapshotter = snapshotter(Some("archive"), Some("own"));
        for (name, location) in [(Some("own"), "own"), (Some("other"), "archive"), (None, "archive")] {
            let wanted = wanted(name);
            assert_eq!(snapshotter.take(&wanted).await.unwrap().location, location);
            let found = snapshotter.find(&wanted).await.unwrap().unwrap();
            assert_eq!(found.location, "archive", "whoever was to take it");
            assert!(snapshotter.discard(&wanted).await.is_err(), "the first kind cannot, and that is told");
        }
    }

    #[tokio::test]
    async fn what_is_under_way_is_given_up_and_what_comes_later_only_if_that_was_said() {
        let snapshotter = snapshotter(None, Some("own"));
        let surrender = snapshotter.surrender.clone();
        let (slow, quick) = (wanted(None), wanted(Some("own")));
        let (given_up, ()) = tokio::join!(snapshotter.take(&slow), async { surrender.present() });
        assert!(given_up.unwrap_err().message.starts_with("given up, "));
        assert!(snapshotter.take(&quick).await.is_ok(), "it came later");
        surrender.all();
        assert!(snapshotter.take(&quick).await.is_err());
    }
}
