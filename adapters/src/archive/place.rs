//! Where the bundle of an archiving goes, and what is there already.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tachograph_engine::domain::Digest;
use tachograph_engine::ports::{Head, JournalError};
use ulid::Ulid;

use super::ARCHIVE_DIR;
use super::error::ArchiveError;
use super::moving::Request;
use super::plan::Plan;
use crate::bundle::{self, BundleError, Chain, Compression, Selection};
use crate::index;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::{ArchivedIn, FileReader, JOURNAL_DIR, Progress};

/// Endings of files that are taken for something else than a bundle: what was not completed and a segment, which may be removed
/// as such, and a table.
const ENDINGS: [&str; 3] = ["tmp", "seg", "parquet"];

/// Refuses a place where the bundle, then the only copy, would be taken for a part of the journal or for a cache, or be
/// removed as something unfinished.
pub(super) fn check_place(data_dir: &Path, bundle: &Path) -> Result<(), ArchiveError> {
    let misplaced = |why: String| ArchiveError::Misplaced { path: bundle.to_owned(), why };
    if let Some(ending) = ENDINGS.iter().find(|ending| bundle.extension() == Some(OsStr::new(ending))) {
        return Err(misplaced(format!("a name that ends in .{ending} is no name for a bundle")));
    }
    let parent = bundle.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|error| JournalError::io("find", parent, error))?;
    for own in [JOURNAL_DIR, index::INDEX_DIR] {
        if data_dir.join(own).canonicalize().is_ok_and(|own| parent.starts_with(own)) {
            return Err(misplaced(format!("it would lie in the journal's own directory {own:?}")));
        }
    }
    Ok(())
}

/// Looks whether the bundle of a plan could be made where it would go, and changes nothing: the place is free, or has the bundle that an
/// interrupted archiving of the same segments made. `progress` is told how much of such a bundle is read. Returns where that is.
///
/// # Errors
///
/// As [`archive`](super::archive): [`ArchiveError::Misplaced`] and [`ArchiveError::Occupied`], or a [`JournalError`].
pub fn look_at_place(
    data_dir: &Path,
    bundle: Option<&Path>,
    plan: &Plan,
    mut progress: impl FnMut(Progress),
) -> Result<PathBuf, ArchiveError> {
    if let Some(bundle) = bundle {
        check_place(data_dir, bundle)?;
    }
    let place = Place::named(data_dir, bundle, plan)?;
    if plan.is_empty() || place.path.symlink_metadata().is_err() {
        return Ok(place.path);
    }
    let reader = FileReader::open(data_dir)?;
    // Where the plan ends a segment does, and there the digest is known.
    let Some(digest) = reader.digest_now(plan.last)? else { return Ok(place.path) };
    let end = Head { position: plan.last, digest };
    place.check(plan, end, &mut progress).map_err(|error| place.occupied(error))?;
    Ok(place.path)
}

/// The bundles in the directory [`ARCHIVE_DIR`] that an archiving made and no stub names, in order: what a crash before the stub
/// left, until the next archiving of the same segments takes it over. `named` are the bundles of the stub.
///
/// # Errors
///
/// [`JournalError::Io`] if the directory cannot be read.
pub fn unnamed_bundles(data_dir: &Path, named: &[ArchivedIn]) -> Result<Vec<PathBuf>, JournalError> {
    let dir = data_dir.join(ARCHIVE_DIR);
    let failed = |error| JournalError::io("list", &dir, error);
    let found = match fs::read_dir(&dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        found => found.map_err(failed)?,
    };
    let named: Vec<PathBuf> =
        named.iter().filter_map(|bundle| data_dir.join(&bundle.bundle).canonicalize().ok()).collect();
    let mut unnamed = Vec::new();
    for item in found {
        let path = item.map_err(failed)?.path();
        let is_named = || path.canonicalize().is_ok_and(|path| named.contains(&path));
        if path.file_name().is_some_and(is_bundle) && !is_named() {
            unnamed.push(path);
        }
    }
    unnamed.sort_unstable();
    Ok(unnamed)
}

/// Where the bundle goes.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// As the stub names it.
    pub(super) name: String,
}

impl Place {
    pub(super) fn of(data_dir: &Path, request: &Request, plan: &Plan) -> Result<Self, JournalError> {
        if request.bundle.is_none() {
            let dir = data_dir.join(ARCHIVE_DIR);
            RealDisk.create_dir(&dir).map_err(|error| JournalError::io("create", &dir, error))?;
            clear_unfinished(&dir).map_err(|error| JournalError::io("clear", &dir, error))?;
        }
        Self::named(data_dir, request.bundle.as_deref(), plan)
    }

    /// The same, and nothing is made.
    pub(super) fn named(data_dir: &Path, bundle: Option<&Path>, plan: &Plan) -> Result<Self, JournalError> {
        if let Some(path) = bundle {
            let path = std::path::absolute(path).map_err(|error| JournalError::io("find", path, error))?;
            return Ok(Self { name: path.display().to_string(), path });
        }
        let file = format!("{:020}-{:020}.tacho", plan.first().0, plan.last.0);
        Ok(Self { path: data_dir.join(ARCHIVE_DIR).join(&file), name: format!("{ARCHIVE_DIR}/{file}") })
    }

    /// Makes the bundle, or takes over the one that an interrupted archiving made, and checks it. Returns its root.
    pub(super) fn bundle(
        &self,
        data_dir: &Path,
        request: &Request,
        plan: &Plan,
        end: Head,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Digest, ArchiveError> {
        let path = &self.path;
        if path.symlink_metadata().is_ok() {
            // Whatever else is there is not ours to replace.
            let root = self.check(plan, end, progress).map_err(|error| self.occupied(error))?;
            sync(path).map_err(|error| JournalError::io("sync", path, error))?;
            return Ok(root);
        }
        let export = bundle::Request {
            selection: Selection::Positions { first: plan.first(), last: plan.last },
            compression: Compression::Zstd,
            seal: None,
            redact: Vec::new(),
            salts: None,
            guessable_ids: false,
            replaces: false,
            exported_at: request.archived_at,
            producer: request.producer.clone(),
        };
        bundle::export(data_dir, path, &export, &mut *progress)?;
        self.check(plan, end, progress)
    }

    /// What is there is something else, unless it cannot even be looked at.
    fn occupied(&self, error: ArchiveError) -> ArchiveError {
        let why = match error {
            ArchiveError::Unfaithful { why, .. } => why,
            error @ ArchiveError::Bundle(BundleError::Journal(JournalError::Io { .. })) => return error,
            error => error.to_string(),
        };
        ArchiveError::Occupied { path: self.path.clone(), why }
    }

    /// Whether the bundle is sound and holds exactly what is to go: its entries hash to the journal's digest.
    fn check(&self, plan: &Plan, end: Head, progress: &mut impl FnMut(Progress)) -> Result<Digest, ArchiveError> {
        let unfaithful = |why: &str| ArchiveError::Unfaithful { path: self.path.clone(), why: why.to_owned() };
        let report = bundle::verify(&self.path, progress)?;
        if let Some(finding) = report.findings.first() {
            return Err(unfaithful(&finding.what));
        }
        let manifest = &report.manifest;
        if report.journal != plan.journal || manifest.chain != Chain::Journal {
            return Err(unfaithful("it is of another journal, or has values left out"));
        }
        if manifest.first != plan.first() || manifest.tip != end || manifest.entries != plan.entries() {
            return Err(unfaithful("it holds other entries"));
        }
        Ok(report.root)
    }
}

/// Removes what an archiving that was killed left of a bundle in its own directory. The writer's lock is held.
fn clear_unfinished(dir: &Path) -> io::Result<()> {
    for found in fs::read_dir(dir)? {
        let path = found?.path();
        if path.file_name().is_some_and(is_unfinished) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a file has a name as an archiving gives it to a bundle in the making: that of the bundle, an id and `tmp`. Whatever
/// else there is may be all that there is of it.
fn is_unfinished(name: &OsStr) -> bool {
    let parts: Vec<&str> = name.to_str().unwrap_or_default().split('.').collect();
    let [positions, "tacho", id, "tmp"] = parts[..] else { return false };
    is_stretch(positions) && Ulid::from_string(id).is_ok()
}

/// Whether a file has a name as an archiving gives it to a bundle.
fn is_bundle(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.strip_suffix(".tacho")).is_some_and(is_stretch)
}

/// Whether a text is two positions as they are in the name of a bundle.
fn is_stretch(positions: &str) -> bool {
    let is_position = |digits: &str| digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    positions.split_once('-').is_some_and(|(first, last)| is_position(first) && is_position(last))
}

/// Makes a file and its name durable: whoever wrote it may have been killed before it did.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
