//! The freezer of real processes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tachograph_engine::domain::AttemptId;

use super::contained::{ContainedAttempt, StopFailure};
use super::limit::Limit;
use super::marker::{Marker, Markers, Method};
use super::members::{Members, Membership};
use super::options::{CgroupUse, FreezerOptions};
use super::paused::PausedContainer;
use super::reopen::{self, ThawReport};
use super::signals::StoppedAttempt;
use super::{FreezeError, FreezeTarget, Freezer, Frozen};
use crate::lock::lock;
use crate::oci::Container;
use crate::process::{AttemptDirectory, Identity, ProcessIdentity};

/// Where a data directory keeps the directories of its runs.
const RUNS_DIR: &str = "runs";

/// Freezes the processes of attempts on this machine.
///
/// Before anything is stopped, `<data>/freezes/<AttemptId>.json` says what will be, durably; it is gone once everything
/// goes on. So a crash in between leaves processes standing, and a file from which [`open`](Self::open) lets them go on.
///
/// The processes are those of the attempt's process group, and those elsewhere that name the attempt in their
/// environment. Where that is possible they are moved into a control group below the one that they are in, and back
/// again; otherwise each is stopped by a signal, which its parent may notice, and which somebody else's CONT undoes.
/// An attempt that is a container is paused by its runtime, as a whole.
///
/// In every way nothing is stopped that was not identified by pid, start time and boot.
///
/// Use one freezer per data directory in a process.
#[derive(Debug, Clone)]
pub struct ProcessFreezer {
    runs: PathBuf,
    markers: Markers,
    options: FreezerOptions,
    places: Places,
}

impl ProcessFreezer {
    /// Lets go on what a former process left frozen, and is ready to freeze. What could not be done is in the report: it
    /// is no reason to freeze nothing else.
    pub fn open(data_dir: &Path, options: FreezerOptions) -> (Self, ThawReport) {
        let markers = Markers::of(data_dir);
        let report = reopen::thaw_all(&markers);
        (Self { runs: data_dir.join(RUNS_DIR), markers, options, places: Places::default() }, report)
    }

    fn membership(&self, target: &FreezeTarget) -> Result<Membership, FreezeError> {
        let directory = AttemptDirectory::of(&self.runs, target.run, target.ordinal);
        let unidentified =
            |why: &str| FreezeError::Unidentified { why: format!("{}: {why}", directory.identity().display()) };
        let identity = Identity::read(&directory, target.run, target.attempt)
            .map_err(|error| FreezeError::Io { action: error.action, path: error.path, source: error.source })?
            .ok_or_else(|| unidentified("it does not name this run and attempt"))?;
        let leader = identity.process.ok_or_else(|| unidentified("it names no process"))?;
        Ok(Membership { leader, attempt: target.attempt })
    }

    /// The container that the attempt is, if it is one.
    fn container(&self, target: &FreezeTarget) -> Result<Option<Container>, FreezeError> {
        let directory = AttemptDirectory::of(&self.runs, target.run, target.ordinal);
        Container::read(&directory, target.run, target.attempt).map_err(|error| FreezeError::Io {
            action: error.action,
            path: error.path,
            source: error.source,
        })
    }

    /// An earlier freeze of this attempt that is not undone: by somebody alive, or to be undone now.
    fn settle_former(&self, attempt: AttemptId) -> Result<(), FreezeError> {
        let path = self.markers.path(attempt);
        match Markers::read(&path) {
            Ok(None) => Ok(()),
            Ok(Some(marker)) => match reopen::holder(&marker) {
                Some(pid) => Err(FreezeError::Held { by: format!("process {pid}") }),
                None => reopen::undo(&marker, attempt).and_then(|_| self.markers.remove(&path)),
            },
            Err(why) => {
                let aside = self.markers.set_aside(&path)?;
                tracing::error!(path = %aside.display(), why, "what an earlier freeze left cannot be read and is set aside");
                Ok(())
            }
        }
    }

    /// Stops everything. An error means that everything goes on, unless it says otherwise.
    fn hold(&self, target: &FreezeTarget, membership: &Membership) -> Result<Hold, FreezeError> {
        let freezer = ProcessIdentity::of(std::process::id());
        let freezer = freezer.map_err(FreezeError::io("read", Path::new("/proc")))?;
        let mark = |method| {
            let marker = Marker::new(target, freezer.clone(), membership.leader.clone(), method);
            self.markers.write(target.attempt, &marker)
        };
        if let Some(container) = self.container(target)? {
            let (runtime, root) = (container.runtime.program().to_owned(), container.runtime.root().to_owned());
            let mark = || mark(Method::Container { runtime, root, name: container.name.clone() });
            let paused = PausedContainer::pause(&container, &membership.leader, self.options.limit_ms, mark);
            return paused.map(Hold::Paused);
        }
        let mut limit = Limit::of(self.options.limit_ms);
        let members = membership.scan()?;
        if self.options.cgroup == CgroupUse::Auto
            && let Some(contained) = contain(membership, &members, &mut limit, mark)?
        {
            return Ok(Hold::Contained(contained));
        }
        let mut stopped = StoppedAttempt::of(membership.clone());
        match stopped.stop(&mut limit, |members| mark(Method::Signals { members })) {
            Ok(()) => Ok(Hold::Stopped(stopped)),
            Err(error) => stopped.thaw().and(Err(error)),
        }
    }
}

impl Freezer for ProcessFreezer {
    fn freeze(&self, target: &FreezeTarget) -> Result<Box<dyn Frozen>, FreezeError> {
        let place = self.places.take(target.attempt)?;
        self.settle_former(target.attempt)?;
        let membership = self.membership(target)?;
        let (markers, marker) = (self.markers.clone(), self.markers.path(target.attempt));
        match self.hold(target, &membership) {
            Ok(hold) => Ok(Box::new(FrozenAttempt { hold: Some(hold), markers, marker, _place: place })),
            // What the file tells of is not over.
            Err(error @ FreezeError::NotThawed { .. }) => Err(error),
            Err(error) => markers.remove(&marker).and(Err(error)),
        }
    }
}

/// Freezes by a control group, if that is possible; otherwise everything goes on as before.
fn contain(
    membership: &Membership,
    members: &Members,
    limit: &mut Limit,
    mark: impl Fn(Method) -> Result<(), FreezeError>,
) -> Result<Option<ContainedAttempt>, FreezeError> {
    let Some(mut contained) = ContainedAttempt::plan(membership, members) else { return Ok(None) };
    let (path, home) = contained.paths();
    mark(Method::Cgroup { path, home })?;
    if let Err(error) = contained.create() {
        tracing::debug!(%error, attempt = %membership.attempt, "no control group can be made; it is frozen by signals");
        return Ok(None);
    }
    match contained.stop(limit) {
        Ok(()) => Ok(Some(contained)),
        Err(StopFailure::Freeze(error)) => contained.thaw().and(Err(error)),
        Err(StopFailure::Unmovable(error)) => {
            tracing::debug!(%error, attempt = %membership.attempt, "a process cannot be moved; it is frozen by signals");
            contained.thaw().map(|()| None)
        }
    }
}

#[derive(Debug)]
enum Hold {
    Stopped(StoppedAttempt),
    Contained(ContainedAttempt),
    Paused(PausedContainer),
}

#[derive(Debug)]
struct FrozenAttempt {
    /// Absent once it was let go on.
    hold: Option<Hold>,
    markers: Markers,
    marker: PathBuf,
    _place: Place,
}

impl FrozenAttempt {
    fn release(&mut self) -> Result<(), FreezeError> {
        match self.hold.take() {
            None => return Ok(()),
            Some(Hold::Stopped(stopped)) => stopped.thaw()?,
            Some(Hold::Contained(contained)) => contained.thaw()?,
            Some(Hold::Paused(paused)) => paused.thaw()?,
        }
        self.markers.remove(&self.marker)
    }
}

impl Frozen for FrozenAttempt {
    fn verify(&self) -> Result<(), FreezeError> {
        match &self.hold {
            None => Ok(()),
            Some(Hold::Stopped(stopped)) => stopped.verify(),
            Some(Hold::Contained(contained)) => contained.verify(),
            Some(Hold::Paused(paused)) => paused.verify(),
        }
    }

    fn thaw(mut self: Box<Self>) -> Result<(), FreezeError> {
        self.release()
    }
}

impl Drop for FrozenAttempt {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::error!(%error, marker = %self.marker.display(), "an attempt may stay frozen");
        }
    }
}

/// Which attempts this freezer has frozen or is about to.
#[derive(Debug, Clone, Default)]
struct Places {
    taken: Arc<Mutex<BTreeSet<AttemptId>>>,
}

impl Places {
    fn take(&self, attempt: AttemptId) -> Result<Place, FreezeError> {
        if lock(&self.taken).insert(attempt) {
            Ok(Place { places: self.clone(), attempt })
        } else {
            Err(FreezeError::Held { by: "this process".to_owned() })
        }
    }
}

/// That an attempt is frozen by this freezer; given up when dropped.
#[derive(Debug)]
struct Place {
    places: Places,
    attempt: AttemptId,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.taken).remove(&self.attempt);
    }
}
