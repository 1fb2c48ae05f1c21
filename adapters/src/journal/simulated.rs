//! A disk in memory that fails on demand and forgets what was not synced: for tests of whatever promises durability.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile, Held, Locking, Mode};
use crate::lock::lock;

/// What a power cut leaves or takes at once.
const PIECE_BYTES: usize = 32;

/// A disk in memory. Clones are handles to the same disk.
///
/// Each file and directory has what a reader sees and what is durable. [`after_power_cut`](Self::after_power_cut) gives
/// the disk that a machine finds after the power came back: everything durable, and of the rest as much as a seed says.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    world: Arc<Mutex<World>>,
}

/// What is to go wrong, and when. Numbers count from the making of the disk, beginning with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// The power goes off at this sync, of a file or a directory: it and everything later fails.
    pub power_off_at_sync: Option<u64>,
    /// Whether that sync still takes effect before the power is gone.
    pub last_sync_holds: bool,
    /// This sync fails, and the system gives up what it should have written: a reader sees it still, a later sync
    /// succeeds without it, and only what is written again becomes durable.
    pub fail_sync: Option<u64>,
    /// Bytes that fit on the disk in all. A write beyond them writes as much as fits and fails.
    pub space_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct World {
    files: Vec<File>,
    /// Names as they are seen, and as they are durable.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    locks: BTreeMap<PathBuf, String>,
    faults: Faults,
    syncs: u64,
    writes: u64,
    off: bool,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync, failed ones included: as much as the next one writes.
    dirty: Vec<Range<usize>>,
}

impl SimulatedDisk {
    /// An empty disk that will fail like this.
    pub fn with_faults(faults: Faults) -> Self {
        let disk = Self::default();
        disk.set_faults(faults);
        disk
    }

    /// Changes what is to go wrong. Counters go on.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.world).faults = faults;
    }

    /// Syncs so far, of files and directories, failed ones included.
    pub fn syncs(&self) -> u64 {
        lock(&self.world).syncs
    }

    /// Writes so far, failed ones included.
    pub fn writes(&self) -> u64 {
        lock(&self.world).writes
    }

    /// The bytes of a file as a reader sees them.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let world = lock(&self.world);
        let file = *world.names.get(path)?;
        world.files.get(file).map(|file| file.bytes.clone())
    }

    /// All files as a reader sees them, by path.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = lock(&self.world);
        let bytes = |file: &usize| world.files.get(*file).map(|file| file.bytes.clone()).unwrap_or_default();
        world.names.iter().map(|(path, file)| (path.clone(), bytes(file))).collect()
    }

    /// Puts a file there, durably, in place of what had its name.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = lock(&self.world);
        world.files.push(File { durable: bytes.clone(), bytes, dirty: Vec::new() });
        let file = world.files.len() - 1;
        world.names.insert(path.to_owned(), file);
        world.durable_names.insert(path.to_owned(), file);
    }

    /// The disk after a power cut now: a disk of its own without faults. Of what was not durable, nothing, a part, or all is there;
    /// the seed decides, for every file and name by itself.
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let world = lock(&self.world);
        let mut random = Random(seed);
        let files = world.files.iter().map(|file| file.after_power_cut(&mut random)).collect();
        let mut names = world.durable_names.clone();
        for (path, file) in &world.names {
            if names.get(path) != Some(file) && random.below(2) == 0 {
                names.insert(path.clone(), *file);
            }
        }
        for path in world.durable_names.keys().filter(|path| !world.names.contains_key(*path)) {
            if random.below(2) == 0 {
                names.remove(path);
            }
        }
        let durable_names = names.clone();
        let after = World { files, names, durable_names, ..World::default() };
        Self { world: Arc::new(Mutex::new(after)) }
    }

    /// The disk after a power cut now that keeps what is durable and nothing else.
    pub fn durable(&self) -> Self {
        let world = lock(&self.world);
        let files = world.files.iter().map(File::as_durable).collect();
        let names = world.durable_names.clone();
        let after = World { files, durable_names: names.clone(), names, ..World::default() };
        Self { world: Arc::new(Mutex::new(after)) }
    }

    /// The disk as the next process finds it after this one was killed: everything written is there.
    pub fn after_kill(&self) -> Self {
        let world = lock(&self.world);
        let (files, names) = (world.files.clone(), world.names.clone());
        let after = World { files, names, durable_names: world.durable_names.clone(), ..World::default() };
        Self { world: Arc::new(Mutex::new(after)) }
    }
}

impl File {
    /// What is left of it when everything that is not durable is gone.
    fn as_durable(&self) -> Self {
        Self { bytes: self.durable.clone(), durable: self.durable.clone(), dirty: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.push(at..end);
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        for range in &mut self.dirty {
            *range = range.start.min(length)..range.end.min(length);
        }
    }

    /// The length as it is, and the content as far as it was written since the last sync.
    fn sync(&mut self) {
        self.durable.resize(self.bytes.len(), 0);
        for range in self.dirty.drain(..) {
            self.durable[range.clone()].copy_from_slice(&self.bytes[range]);
        }
    }

    fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut bytes = self.durable.clone();
        match random.below(4) {
            // What was written reached the disk by itself, in its order, up to some byte.
            1 => {
                let written: usize = self.dirty.iter().map(Range::len).sum();
                let mut left = random.below(written as u64 + 1) as usize;
                for range in &self.dirty {
                    let range = range.start..range.start + range.len().min(left);
                    left -= range.len();
                    self.write_back(&mut bytes, range);
                }
            }
            // The length reached the disk or not, and the content in pieces only.
            2 => {
                if random.below(2) == 0 {
                    bytes.resize(self.bytes.len(), 0);
                }
                for range in &self.dirty {
                    for start in range.clone().step_by(PIECE_BYTES).filter(|_| random.below(2) == 0) {
                        self.write_back(&mut bytes, start..range.end.min(start + PIECE_BYTES));
                    }
                }
            }
            3 => bytes.clone_from(&self.bytes),
            _ => {}
        }
        Self { durable: bytes.clone(), bytes, dirty: Vec::new() }
    }

    /// What the system does with a part of what was written, some time.
    fn write_back(&self, durable: &mut Vec<u8>, range: Range<usize>) {
        if !range.is_empty() {
            durable.resize(durable.len().max(range.end), 0);
            durable[range.clone()].copy_from_slice(&self.bytes[range]);
        }
    }
}

impl World {
    fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts a sync, and says whether it may take effect before its answer is returned.
    fn count_sync(&mut self) -> (bool, io::Result<()>) {
        if let Err(error) = self.check_power() {
            return (false, Err(error));
        }
        self.syncs += 1;
        if self.faults.power_off_at_sync == Some(self.syncs) {
            self.off = true;
            return (self.faults.last_sync_holds, self.check_power());
        }
        if self.faults.fail_sync == Some(self.syncs) {
            return (false, Err(io::Error::other("the sync failed")));
        }
        (true, Ok(()))
    }

    fn free_bytes(&self) -> usize {
        let used: usize =
            self.names.values().filter_map(|file| self.files.get(*file)).map(|file| file.bytes.len()).sum();
        let free = self.faults.space_bytes.map_or(u64::MAX, |space| space.saturating_sub(used as u64));
        usize::try_from(free).unwrap_or(usize::MAX)
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = lock(&self.world);
        world.check_power()?;
        let known = world.names.get(path).copied();
        let file = match (mode, known) {
            (Mode::Read | Mode::Overwrite, Some(file)) => file,
            (Mode::Read | Mode::Overwrite, None) => return Err(io::ErrorKind::NotFound.into()),
            (Mode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Mode::Create, None) => {
                world.files.push(File::default());
                let file = world.files.len() - 1;
                world.names.insert(path.to_owned(), file);
                file
            }
        };
        Ok(Arc::new(SimulatedFile { world: self.world.clone(), file }))
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        lock(&self.world).check_power()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let world = lock(&self.world);
        world.check_power()?;
        let within = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(within.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.check_power()?;
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.check_power()?;
        world.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        let (holds, answer) = world.count_sync();
        if holds {
            let World { names, durable_names, .. } = &mut *world;
            durable_names.retain(|path, _| path.parent() != Some(dir));
            let within = names.iter().filter(|(path, _)| path.parent() == Some(dir));
            durable_names.extend(within.map(|(path, file)| (path.clone(), *file)));
        }
        answer
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        let mut world = lock(&self.world);
        world.check_power()?;
        if let Some(holder) = world.locks.get(path) {
            return Ok(Locking::Busy(holder.clone()));
        }
        world.locks.insert(path.to_owned(), holder.to_owned());
        Ok(Locking::Held(Box::new(SimulatedLock { world: self.world.clone(), path: path.to_owned() })))
    }
}

#[derive(Debug)]
struct SimulatedLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl Held for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        lock(&self.world).locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimulatedFile {
    world: Arc<Mutex<World>>,
    file: usize,
}

impl SimulatedFile {
    fn with<T>(&self, run: impl FnOnce(&mut File) -> T) -> io::Result<T> {
        let mut world = lock(&self.world);
        world.check_power()?;
        world.files.get_mut(self.file).map(run).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.with(|file| file.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let there = file.bytes.get(from..).unwrap_or_default();
            let read = there.len().min(buffer.len());
            buffer[..read].copy_from_slice(&there[..read]);
            read
        })
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let free = {
            let mut world = lock(&self.world);
            world.writes += 1;
            world.free_bytes()
        };
        let fits = bytes.len().min(free);
        self.with(|file| file.write(&bytes[..fits], file.bytes.len()))?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        lock(&self.world).writes += 1;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let free = lock(&self.world).free_bytes();
        self.with(|file| {
            // Nothing is written behind the end.
            let Some(there) = file.bytes.len().checked_sub(at) else { return Err(io::ErrorKind::InvalidInput.into()) };
            let fits = bytes.len().min(there.saturating_add(free));
            file.write(&bytes[..fits], at);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })?
    }

    fn take_room(&self, length: u64) -> io::Result<()> {
        let (length, free) = (usize::try_from(length).unwrap_or(usize::MAX), lock(&self.world).free_bytes());
        self.with(|file| {
            // As file systems do it that take one part after the other.
            let possible = length.min(file.bytes.len().saturating_add(free));
            file.bytes.resize(possible.max(file.bytes.len()), 0);
            if possible < length { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })?
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = lock(&self.world);
        let (holds, answer) = world.count_sync();
        let off = world.off;
        let Some(file) = world.files.get_mut(self.file) else { return Err(io::ErrorKind::NotFound.into()) };
        if holds {
            file.sync();
        } else if !off {
            file.dirty.clear();
        }
        answer
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.with(|file| file.truncate(usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

/// Splitmix: the same seed, the same disk.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
