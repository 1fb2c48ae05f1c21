//! The directory of an export: what is new appears in it as a whole, or is completed by the next export.
//!
//! Drafts are written into a directory of their own, whose name readers do not look for. When all of them are durable, that
//! directory is renamed: from then on the export counts as done, and whoever comes next moves what is still in it to its
//! place. The manifest moves last.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::drafts::Draft;
use super::manifest::{MANIFEST, Manifest, is_within, step};
use crate::audit::export::problem::ExportProblem;

/// Where drafts are written.
const DRAFTS: &str = ".tacho-drafts";
/// Its name when all of them are durable.
const READY: &str = ".tacho-ready";
/// Where every draft belongs.
const PLAN: &str = "plan.json";
/// The draft of the manifest.
const MANIFEST_DRAFT: &str = "manifest.draft";

/// A change to the directory that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'p> {
    /// What is about to be done, for example `rename`.
    pub what: &'static str,
    /// To which file.
    pub path: &'p Path,
}

/// Is told of every change before it is made.
pub type Watch<'w> = &'w dyn Fn(Change<'_>);

/// Where each draft belongs.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    moves: Vec<Move>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Move {
    draft: String,
    path: String,
}

/// The directory of an export, which nobody else writes to.
pub(super) struct Directory<'w> {
    path: PathBuf,
    watch: Watch<'w>,
    /// Whether it was made for this export: if that comes to nothing, it goes again.
    is_new: bool,
    /// Its lock, which the kernel drops with the process.
    _lock: File,
}

impl<'w> Directory<'w> {
    /// Takes a directory, makes it if it is not there, and completes an export that was cut off; also says whether there
    /// was one.
    pub(super) fn open(path: &Path, watch: Watch<'w>) -> Result<(Self, bool), ExportProblem> {
        let made = DirBuilder::new().mode(0o700).create(path);
        let is_new = made.is_ok();
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ExportProblem::Occupied { path: path.to_owned(), is_directory: true });
            }
            made => made.map_err(|source| step("create", path, source))?,
        }
        let lock = File::open(path).map_err(|source| step("open", path, source))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(ExportProblem::Busy { path: path.to_owned() }),
            locked => locked.map_err(|errno| step("lock", path, errno.into()))?,
        }
        let directory = Self { path: path.to_owned(), watch, is_new, _lock: lock };
        if !path.join(MANIFEST).exists() {
            directory.keep()?;
        }
        let was_ready = is_ready(path);
        if was_ready {
            directory.place()?;
        }
        directory.abandon()?;
        Ok((directory, was_ready))
    }

    /// Makes its own name durable: whoever made it may have been killed before that.
    fn keep(&self) -> Result<(), ExportProblem> {
        let above = above(&self.path);
        self.about_to("sync", above);
        match sync(above) {
            // A directory that may not be read cannot be synced either; what is in it is synced all the same.
            Err(ExportProblem::Step { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> Result<bool, ExportProblem> {
        let mut listed = fs::read_dir(&self.path).map_err(|source| step("list", &self.path, source))?;
        Ok(listed.next().is_none())
    }

    /// Makes the place for drafts.
    pub(super) fn begin(&self) -> Result<PathBuf, ExportProblem> {
        let drafts = self.path.join(DRAFTS);
        self.about_to("create", &drafts);
        DirBuilder::new().mode(0o700).create(&drafts).map_err(|source| step("create", &drafts, source))?;
        Ok(drafts)
    }

    /// Removes drafts that came to nothing.
    pub(super) fn abandon(&self) -> Result<(), ExportProblem> {
        let drafts = self.path.join(DRAFTS);
        if drafts.symlink_metadata().is_err() {
            return Ok(());
        }
        self.about_to("remove", &drafts);
        fs::remove_dir_all(&drafts).map_err(|source| step("remove", &drafts, source))
    }

    /// Everything is drafted: from here on it counts as done.
    pub(super) fn commit(&self, drafts: &[Draft], manifest: &Manifest) -> Result<(), ExportProblem> {
        let (within, ready) = (self.path.join(DRAFTS), self.path.join(READY));
        let moves = drafts.iter().map(|draft| Move { draft: draft.draft.clone(), path: draft.file.path.clone() });
        self.write_json(&within.join(PLAN), &Plan { moves: moves.collect() })?;
        self.write_json(&within.join(MANIFEST_DRAFT), manifest)?;
        sync(&within)?;
        self.about_to("rename", &within);
        fs::rename(&within, &ready).map_err(|source| step("rename", &within, source))?;
        sync(&self.path)?;
        self.place()
    }

    /// Moves everything that is still to be moved to its place, the manifest last.
    fn place(&self) -> Result<(), ExportProblem> {
        let ready = self.path.join(READY);
        if let Some(plan) = plan_in(&ready)? {
            let mut touched = BTreeSet::new();
            for planned in &plan.moves {
                let to = self.path.join(&planned.path);
                let parent = to.parent().unwrap_or(&self.path).to_owned();
                self.make_directories(&parent)?;
                self.rename(&ready.join(&planned.draft), &to)?;
                touched.insert(parent);
            }
            touched.iter().try_for_each(|directory| sync(directory))?;
            self.rename(&ready.join(MANIFEST_DRAFT), &self.path.join(MANIFEST))?;
            sync(&self.path)?;
            let plan = ready.join(PLAN);
            self.about_to("remove", &plan);
            fs::remove_file(&plan).map_err(|source| step("remove", &plan, source))?;
        }
        self.about_to("remove", &ready);
        fs::remove_dir(&ready).map_err(|source| step("remove", &ready, source))
    }

    /// Renames a draft, unless that was done before.
    fn rename(&self, draft: &Path, to: &Path) -> Result<(), ExportProblem> {
        self.about_to("rename", to);
        match fs::rename(draft, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()),
            renamed => renamed.map_err(|source| step("rename to", to, source)),
        }
    }

    /// Makes a directory and those that it is in, up to that of the export, durably.
    fn make_directories(&self, directory: &Path) -> Result<(), ExportProblem> {
        if directory == self.path || directory.is_dir() {
            return Ok(());
        }
        let parent = directory.parent().unwrap_or(&self.path);
        self.make_directories(parent)?;
        self.about_to("create", directory);
        DirBuilder::new().mode(0o700).create(directory).map_err(|source| step("create", directory, source))?;
        sync(parent)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), ExportProblem> {
        let failed = |source| step("write", path, source);
        self.about_to("create", path);
        let mut text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = opened.map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)
    }

    pub(super) fn about_to(&self, what: &'static str, path: &Path) {
        (self.watch)(Change { what, path });
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        // Refused if there is anything in it: only a directory in which nothing came to be goes.
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Whether a directory is there; and if it is not, the one that it would be made in may be, if that is.
///
/// # Errors
///
/// [`ExportProblem::Occupied`] if something else is there, [`ExportProblem::Step`] if either must not be written to.
pub(super) fn may_be_written(path: &Path) -> Result<bool, ExportProblem> {
    let writable = |path: &Path| match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Err(Errno::NOENT) => Ok(()),
        allowed => allowed.map_err(|errno| step("write to", path, errno.into())),
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => writable(above(path)).map(|()| false),
        Err(source) => Err(step("look at", path, source)),
        Ok(_) if !path.is_dir() => Err(ExportProblem::Occupied { path: path.to_owned(), is_directory: true }),
        Ok(_) => writable(path).map(|()| true),
    }
}

/// Whether there is an export in a directory that was cut off when it counted as done.
pub(super) fn is_ready(path: &Path) -> bool {
    path.join(READY).is_dir()
}

/// Whether there is nothing in a directory, or drafts that came to nothing.
pub(super) fn has_drafts_alone(path: &Path) -> Result<bool, ExportProblem> {
    let failed = |source| step("list", path, source);
    let mut listed = fs::read_dir(path).map_err(failed)?;
    let foreign = listed.find(|item| item.as_ref().is_ok_and(|item| item.file_name() != DRAFTS));
    Ok(foreign.is_none())
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is still to be moved; absent if nothing is.
fn plan_in(ready: &Path) -> Result<Option<Plan>, ExportProblem> {
    let path = ready.join(PLAN);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| step("read", &path, source))?,
    };
    let bad = |why: String| ExportProblem::BadManifest { path: path.clone(), why };
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    match plan.moves.iter().find(|planned| !is_within(&planned.path) || !is_within(&planned.draft)) {
        Some(planned) => Err(bad(format!("{:?} is no path within the directory", planned.path))),
        None => Ok(Some(plan)),
    }
}

fn sync(directory: &Path) -> Result<(), ExportProblem> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| step("sync", directory, source))
}
