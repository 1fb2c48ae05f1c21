//! What a former process froze and did not thaw.

use std::path::{Path, PathBuf};

use tachograph_engine::domain::AttemptId;

use super::marker::{Marker, Markers, Method};
use super::{FreezeError, contained, paused, signals};
use crate::descriptors::told;
use crate::oci::Runtime;
use crate::process::identity::boot_id;

/// What opening a freezer found of former freezes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThawReport {
    /// Attempts whose freeze is undone, each with how many of its processes were alive to go on; none if it had ended.
    pub thawed: Vec<(AttemptId, usize)>,
    /// Attempts that were frozen in a former boot, so that nothing is left of them.
    pub of_former_boots: Vec<AttemptId>,
    /// Attempts that a living process holds frozen, each with its pid. They were left alone.
    pub held: Vec<(AttemptId, u32)>,
    /// Files that could not be read or followed, each with the reason. They stay where they are.
    pub failed: Vec<(PathBuf, String)>,
}

/// Undoes every freeze that a marker tells of and nobody alive holds.
pub(super) fn thaw_all(markers: &Markers) -> ThawReport {
    let mut report = ThawReport::default();
    let (boot, paths) = match boot_id().map_err(FreezeError::io("read", Path::new("/proc"))) {
        Ok(boot) => match markers.all() {
            Ok(paths) => (boot, paths),
            Err(error) => return failed(report, markers, error),
        },
        Err(error) => return failed(report, markers, error),
    };
    for path in paths {
        if let Err(why) = thaw_one(markers, &path, &boot, &mut report) {
            tracing::error!(path = %path.display(), why, "a former freeze is not undone");
            report.failed.push((path, why));
        }
    }
    report
}

fn failed(report: ThawReport, markers: &Markers, error: FreezeError) -> ThawReport {
    tracing::error!(%error, "former freezes cannot be looked for");
    ThawReport { failed: vec![(markers.place().to_owned(), told(&error))], ..report }
}

fn thaw_one(markers: &Markers, path: &Path, boot: &str, report: &mut ThawReport) -> Result<(), String> {
    let Some(marker) = Markers::read(path)? else { return Ok(()) };
    let attempt: AttemptId = marker.attempt.parse().map_err(|error| format!("attempt: {error}"))?;
    if let Some(pid) = holder(&marker) {
        report.held.push((attempt, pid));
        return Ok(());
    }
    if marker.freezer.boot_id == boot {
        let count = undo(&marker, attempt).map_err(|error| error.to_string())?;
        match count {
            0 => tracing::warn!(%attempt, "nothing is left alive of an attempt that a former process had frozen"),
            count => tracing::warn!(%attempt, processes = count, "an attempt goes on that a former process had frozen"),
        }
        report.thawed.push((attempt, count));
    } else {
        report.of_former_boots.push(attempt);
    }
    markers.remove(path).map_err(|error| error.to_string())
}

/// The pid of the process that holds it, if that is alive and not this one.
pub(super) fn holder(marker: &Marker) -> Option<u32> {
    let freezer = &marker.freezer;
    (freezer.pid != std::process::id() && freezer.is_alive()).then_some(freezer.pid)
}

/// Lets go on what a marker names, as far as it is still there. Says how many processes.
pub(super) fn undo(marker: &Marker, attempt: AttemptId) -> Result<usize, FreezeError> {
    let boot = boot_id().map_err(FreezeError::io("read", Path::new("/proc")))?;
    if marker.freezer.boot_id != boot {
        return Ok(0);
    }
    match &marker.method {
        Method::Signals { members } => signals::thaw_marked(members),
        Method::Cgroup { path, home } => contained::thaw_marked(attempt, path, home),
        Method::Container { runtime, root, name } => {
            paused::thaw_marked(attempt, Runtime::known(runtime.clone(), root.clone()), name)
        }
    }
}
