use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tachograph_adapters::freeze::{FreezeError, FreezeTarget, Freezer, Frozen};
use tachograph_adapters::snapshot::{ArchiveOptions, ArchiveSnapshotter};
use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{Digest, Ordinal};
use tachograph_engine::ports::{SnapshotImage, WantedSnapshot};

/// A data directory with one attempt.
pub(crate) struct World {
    pub(crate) data: tempfile::TempDir,
    pub(crate) attempt: PathBuf,
    pub(crate) wanted: WantedSnapshot,
    pub(crate) freezer: Arc<Stops>,
}

impl World {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let attempt = data.path().join("runs").join(ids::run(1).to_string()).join("attempt-2");
        std::fs::create_dir_all(&attempt).unwrap();
        let wanted = WantedSnapshot {
            run: ids::run(1),
            attempt: ids::attempt(2),
            ordinal: Ordinal(2),
            snapshot: ids::snapshot(3),
            spec: Arc::new(spec("a")),
        };
        Self { data, attempt, wanted, freezer: Arc::new(Stops::default()) }
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.attempt.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn snapshotter(&self) -> ArchiveSnapshotter {
        self.snapshotter_with(ArchiveOptions::default())
    }

    pub(crate) fn snapshotter_with(&self, options: ArchiveOptions) -> ArchiveSnapshotter {
        ArchiveSnapshotter::open(self.data.path(), None, Arc::clone(&self.freezer) as Arc<dyn Freezer>, options)
            .unwrap()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.data.path().join("snapshots").join(self.wanted.run.to_string())
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder().join(format!("{}.tar.zst", self.wanted.snapshot))
    }

    /// What is in the folder of the run's images; nothing if there is none.
    pub(crate) fn images(&self) -> Vec<OsString> {
        std::fs::read_dir(self.folder())
            .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
            .unwrap_or_default()
    }
}

pub(crate) fn blake3_of(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

pub(crate) fn assert_told(world: &World, image: &SnapshotImage) {
    let bytes = std::fs::read(world.data.path().join(&image.location)).unwrap();
    assert_eq!((image.bytes, image.digest), (bytes.len() as u64, blake3_of(&bytes)));
}

/// Kind, link target and content of everything in an archive, read by the tar crate.
pub(crate) fn unpacked(image: &Path) -> BTreeMap<OsString, (tar::EntryType, Vec<u8>, Vec<u8>)> {
    let plain = zstd::Decoder::new(std::fs::File::open(image).unwrap()).unwrap();
    let mut archive = tar::Archive::new(plain);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let target = entry.link_name_bytes().map(|target| target.to_vec()).unwrap_or_default();
        (OsString::from_vec(entry.path_bytes().to_vec()), (entry.header().entry_type(), target, content))
    });
    entries.collect()
}

type Hook = Box<dyn Fn() -> Result<(), FreezeError> + Send + Sync>;

/// A freezer that writes down what is asked of it. Hooks run where the processes would stand still: as soon as they do,
/// and when that is verified.
#[derive(Default)]
pub(crate) struct Stops {
    said: Arc<Mutex<Vec<String>>>,
    thawed: Mutex<Option<Sender<()>>>,
    on_freeze: Mutex<Option<Hook>>,
    on_verify: Mutex<Option<Arc<Hook>>>,
}

impl std::fmt::Debug for Stops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stops")
    }
}

impl Stops {
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Hears of the thaw.
    pub(crate) fn thawed(&self) -> Receiver<()> {
        let (sender, receiver) = channel();
        *self.thawed.lock().unwrap() = Some(sender);
        receiver
    }

    pub(crate) fn on_freeze(&self, hook: impl Fn() -> Result<(), FreezeError> + Send + Sync + 'static) {
        *self.on_freeze.lock().unwrap() = Some(Box::new(hook));
    }

    pub(crate) fn on_verify(&self, hook: impl Fn() -> Result<(), FreezeError> + Send + Sync + 'static) {
        *self.on_verify.lock().unwrap() = Some(Arc::new(Box::new(hook)));
    }
}

impl Freezer for Stops {
    fn freeze(&self, target: &FreezeTarget) -> Result<Box<dyn Frozen>, FreezeError> {
        self.said.lock().unwrap().push(format!("freeze attempt {}", target.ordinal));
        let stopped = Stopped {
            said: Arc::clone(&self.said),
            thawed: self.thawed.lock().unwrap().take(),
            on_verify: self.on_verify.lock().unwrap().take(),
        };
        if let Some(hook) = self.on_freeze.lock().unwrap().as_ref() {
            hook()?;
        }
        Ok(Box::new(stopped))
    }
}

struct Stopped {
    said: Arc<Mutex<Vec<String>>>,
    thawed: Option<Sender<()>>,
    on_verify: Option<Arc<Hook>>,
}

impl Frozen for Stopped {
    fn verify(&self) -> Result<(), FreezeError> {
        self.said.lock().unwrap().push("verify".to_owned());
        self.on_verify.as_ref().map_or(Ok(()), |hook| hook())
    }

    fn thaw(self: Box<Self>) -> Result<(), FreezeError> {
        Ok(())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.said.lock().unwrap().push("thaw".to_owned());
        if let Some(thawed) = &self.thawed {
            let _ = thawed.send(());
        }
    }
}
