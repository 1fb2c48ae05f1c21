//! Images as archives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tachograph_engine::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};

use super::beneath::Beneath;
use super::error::{TakeError, at};
use super::handover::{Claim, GiveUp, Handover, Threads};
use super::listing::list;
use super::pack::{Packer, compressed, finish_compressed};
use super::place::{Partial, Place};
use super::standstill::Standstill;
use crate::freeze::{FreezeTarget, Freezer};
use crate::process::AttemptDirectory;
use crate::sealing::{Seal, Sealing};

const EXTENSION: &str = ".tar.zst";

/// How images are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// How hard it is tried to make them small: a level of zstd, 1 to 22.
    pub level: i32,
    /// How much memory the names of one attempt's files may need, in bytes. An attempt with more is not archived.
    pub listing_bytes_max: usize,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self { level: 3, listing_bytes_max: 256 * 1_024 * 1_024 }
    }
}

/// Packs the directory of a frozen attempt as a compressed tar archive.
///
/// The image of a snapshot is `<data>/snapshots/<RunId>/<SnapshotId>.tar.zst`, 0600 in directories that are 0700. It is
/// written beside that name and renamed into place, durably, so that what has the name is complete. The attempt stands
/// still while it is read, and goes on before the image is synced. Files that only grow meanwhile, like recorded output,
/// are archived up to the size that they had when the attempt stood still.
///
/// A crash leaves the image, or a file in `.partial` that the next [`find`](Snapshotter::find) or
/// [`discard`](Snapshotter::discard) of that snapshot removes. Thawing after a crash is up to the [`Freezer`].
#[derive(Debug, Clone)]
pub struct ArchiveSnapshotter {
    data: PathBuf,
    runs: PathBuf,
    freezer: Arc<dyn Freezer>,
    options: ArchiveOptions,
    threads: Threads,
}

impl ArchiveSnapshotter {
    /// Images go below `data`. The directories of attempts are below `runs`; if that is absent, below `<data>/runs`.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if `data` is no directory.
    pub fn open(
        data: &Path,
        runs: Option<&Path>,
        freezer: Arc<dyn Freezer>,
        options: ArchiveOptions,
    ) -> Result<Self, SnapshotError> {
        // Absolute, so that a change of the working directory leads nobody elsewhere.
        let data = data.canonicalize().map_err(at("open", data))?;
        let runs = runs.map_or_else(|| data.join("runs"), Path::to_owned);
        let runs = std::path::absolute(&runs).map_err(at("find", &runs))?;
        Ok(Self { data, runs, freezer, options, threads: Threads::default() })
    }

    fn place(&self, wanted: &WantedSnapshot) -> Place {
        Place::of(&self.data, wanted, EXTENSION)
    }
}

#[async_trait]
impl Snapshotter for ArchiveSnapshotter {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let taking = Arc::new(Taking {
            place: self.place(wanted),
            directory: AttemptDirectory::of(&self.runs, wanted.run, wanted.ordinal),
            target: FreezeTarget { run: wanted.run, attempt: wanted.attempt, ordinal: wanted.ordinal },
            freezer: Arc::clone(&self.freezer),
            options: self.options,
            standstill: Standstill::default(),
            handover: Handover::default(),
        });
        let claim = Claim(Arc::clone(&taking));
        let image = self.threads.run(move || taking.take()).await??;
        claim.take_over();
        Ok(image)
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        let looking = Arc::new(Handover::default());
        let _claim = Claim(Arc::clone(&looking));
        let place = self.place(wanted);
        Ok(self.threads.run(move || place.find(&looking)).await??)
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        let place = self.place(wanted);
        Ok(self.threads.run(move || place.discard()).await??)
    }
}

/// One image that is being made.
struct Taking {
    place: Place,
    directory: AttemptDirectory,
    target: FreezeTarget,
    freezer: Arc<dyn Freezer>,
    options: ArchiveOptions,
    standstill: Standstill,
    handover: Handover,
}

impl GiveUp for Arc<Taking> {
    fn handover(&self) -> &Handover {
        &self.handover
    }

    fn given_up(&self) {
        self.standstill.abandon();
    }
}

impl Taking {
    fn take(&self) -> Result<SnapshotImage, TakeError> {
        let made = self.make();
        if made.is_err() {
            self.handover.withdraw();
        }
        made.map(|seal| self.place.told(seal))
    }

    fn make(&self) -> Result<Seal, TakeError> {
        self.handover.check()?;
        let _occupied = self.place.occupy()?;
        let partial = Partial(self.place.partial());
        let file = Place::create(&partial.0)?;
        let (file, seal) = self.read_frozen(Sealing::of(file), &partial.0)?;
        file.sync_all().map_err(at("sync", &partial.0))?;
        self.handover.put_in_place(&partial.0, &self.place.image())?;
        self.place.sync()?;
        Ok(seal)
    }

    /// Archives the attempt while it stands still; it goes on when this returns, in every outcome.
    fn read_frozen(&self, sink: Sealing<std::fs::File>, partial: &Path) -> Result<(std::fs::File, Seal), TakeError> {
        let _thaw = self.standstill.begin(self.freezer.as_ref(), &self.target)?;
        // Given up while it was being frozen: whoever did that found nothing to thaw yet.
        self.handover.check()?;
        let (base, names) = self.root();
        let beneath = Beneath::open(base, &names)?;
        let listing = list(&beneath, self.options.listing_bytes_max, &self.handover)?;
        if listing.skipped > 0 || listing.mounts > 0 {
            let (run, skipped, mounts) = (self.target.run, listing.skipped, listing.mounts);
            tracing::warn!(%run, skipped, mounts, "an image holds no sockets, no devices and nothing that is mounted");
        }
        let sink = compressed(sink, self.options.level).map_err(at("begin to write", partial))?;
        let mut packer = Packer::new(sink, beneath, partial, &self.handover);
        for entry in &listing.entries {
            packer.pack(entry)?;
        }
        let sealed = finish_compressed(packer.finish()?, partial)?.finish();
        self.standstill.end()?;
        Ok(sealed)
    }

    /// The directory of all runs, and the names that lead from there to the attempt's.
    fn root(&self) -> (&Path, Vec<&std::ffi::OsStr>) {
        let path = self.directory.path();
        let base = path.parent().and_then(Path::parent).unwrap_or(path);
        (base, path.strip_prefix(base).map(|names| names.iter().collect()).unwrap_or_default())
    }
}
