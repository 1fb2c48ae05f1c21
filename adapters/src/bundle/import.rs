//! Turning a bundle of a whole journal into a data directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_engine::ports::{Head, JournalError};
use ulid::Ulid;

use super::error::BundleError;
use super::manifest::{Chain, Scope};
use super::reader::BundleReader;
use super::seal::PublicKey;
use super::target::{is_mount_point, sync_parent};
use super::units::Unit;
use super::verify::check;
use crate::journal::anchor::Anchor;
use crate::journal::disk::{Disk, DiskFile, Mode, RealDisk};
use crate::journal::footer::encode_trailer;
use crate::journal::segment::SegmentName;
use crate::journal::{self, JOURNAL_DIR, Progress};

/// A data directory that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Identity of the journal, as it was.
    pub journal: Ulid,
    /// Its head. Of a bundle with the journal's own chain, the digest is the journal's.
    pub head: Head,
    /// Whose chain it is.
    pub chain: Chain,
    /// Entries in it.
    pub entries: u64,
}

/// Makes a data directory out of a bundle: its journal is the one that was exported, byte by byte, up to the bundle's
/// end. The whole bundle is checked before, as `verify` does, and with `sealed_by` it must be sealed with that key. The
/// directory appears under its name when all of it was written, synced and verified.
///
/// A crash leaves at most a directory beside it whose name ends in `.tmp`.
///
/// # Errors
///
/// [`BundleError::Occupied`] if there is a directory that is not empty, [`BundleError::MountPoint`], [`BundleError::NotWhole`] if the bundle holds a
/// part of a journal, [`BundleError::WrongSeal`], [`BundleError::Journal`] if it is damaged or the directory cannot be written.
pub fn import(
    bundle: &Path,
    data: &Path,
    sealed_by: Option<PublicKey>,
    mut progress: impl FnMut(Progress),
) -> Result<Imported, BundleError> {
    let reader = BundleReader::open(bundle)?;
    let manifest = reader.manifest();
    if let Some(expected) = sealed_by.filter(|expected| reader.sealed_by() != Some(*expected)) {
        return Err(BundleError::WrongSeal { path: bundle.to_owned(), expected, found: reader.sealed_by() });
    }
    if manifest.scope != Scope::Whole {
        let why = "holds a part of a journal, which is no journal by itself";
        return Err(BundleError::NotWhole { path: bundle.to_owned(), why });
    }
    let data = vacant(data)?;
    if let Some(finding) = check(&reader, &mut progress)?.findings.into_iter().next() {
        return Err(JournalError::Damaged { file: finding.file, offset: finding.offset, why: finding.what }.into());
    }
    let making = Making::begin(&data)?;
    making.write(&reader)?;
    let report = journal::verify(&making.temporary, progress)?;
    if !report.is_sound() || report.head.unwrap_or(manifest.tip) != manifest.tip {
        let why = report.findings.first().map_or("it ends elsewhere", |finding| &finding.what);
        let why = format!("the journal in it is not sound: {why}");
        return Err(JournalError::Damaged { file: bundle.to_owned(), offset: 0, why }.into());
    }
    making.publish(&data)?;
    let (journal, head, chain, entries) = (reader.journal(), manifest.tip, manifest.chain, manifest.entries);
    Ok(Imported { journal, head, chain, entries })
}

/// The path of a directory that is empty, or does not exist yet.
fn vacant(data: &Path) -> Result<PathBuf, BundleError> {
    let occupied = || BundleError::Occupied { path: data.to_owned() };
    match fs::read_dir(data) {
        Ok(mut entries) => match entries.next() {
            None if is_mount_point(data) => Err(BundleError::MountPoint { path: data.to_owned() }),
            None => Ok(data.canonicalize().map_err(|error| JournalError::io("open", data, error))?),
            Some(_) => Err(occupied()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(data.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(occupied()),
        Err(error) => Err(JournalError::io("open", data, error).into()),
    }
}

/// A directory in the making; removed unless it is published.
struct Making {
    temporary: PathBuf,
    published: bool,
}

impl Making {
    fn begin(data: &Path) -> Result<Self, JournalError> {
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", Ulid::new()));
        let making = Self { temporary: data.with_file_name(name), published: false };
        let journal_dir = making.temporary.join(JOURNAL_DIR);
        RealDisk.create_dir(&journal_dir).map_err(|error| JournalError::io("create", &journal_dir, error))?;
        Ok(making)
    }

    fn write(&self, reader: &BundleReader) -> Result<(), JournalError> {
        let journal_dir = self.temporary.join(JOURNAL_DIR);
        let mut units = reader.units();
        let mut segment: Option<Segment> = None;
        while let Some(unit) = units.advance()? {
            if let Unit::Segment(header) = &unit {
                segment = Some(Segment::create(SegmentName::of(&journal_dir, header.first))?);
            }
            let Some(segment) = &mut segment else {
                return Err(units.damaged("a frame comes before the first segment"));
            };
            let offset = segment.length;
            segment.append(units.bytes())?;
            if matches!(unit, Unit::Footer(_)) {
                segment.append(&encode_trailer(offset))?;
                segment.sync()?;
            }
        }
        if let Some(segment) = &mut segment {
            segment.sync()?;
        }
        let head = reader.manifest().tip;
        Anchor { journal: reader.journal(), head, missing_up_to: None }.write(&RealDisk, &journal_dir)
    }

    fn publish(mut self, data: &Path) -> Result<(), BundleError> {
        // Over an empty directory, too, and over nothing else.
        match fs::rename(&self.temporary, data) {
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => {
                return Err(BundleError::Occupied { path: data.to_owned() });
            }
            renamed => renamed.map_err(|error| JournalError::io("create", data, error))?,
        }
        self.published = true;
        sync_parent(data)?;
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.published && fs::remove_dir_all(&self.temporary).is_err() {
            tracing::debug!(path = %self.temporary.display(), "the unfinished directory could not be removed");
        }
    }
}

/// A segment file in the making.
struct Segment {
    name: SegmentName,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// What is not handed to the system yet.
    buffer: Vec<u8>,
}

/// Bytes that are handed to the system at once.
const BUFFER_BYTES: usize = 1 << 20;

impl Segment {
    fn create(name: SegmentName) -> Result<Self, JournalError> {
        let opened = RealDisk.open(&name.path, Mode::Create);
        let file = opened.map_err(|error| JournalError::io("create", &name.path, error))?;
        Ok(Self { name, file, length: 0, buffer: Vec::new() })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let written = self.file.append(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| JournalError::io("write", &self.name.path, error))
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        self.file.sync().map_err(|error| JournalError::io("sync", &self.name.path, error))
    }
}
