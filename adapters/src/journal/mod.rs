//! The journal on a local disk: append-only segment files, the only truth.
//!
//! `docs/format.md` describes every byte. [`FileJournal`] is the one writer of a data directory; [`FileReader`] reads
//! it beside a live writer, on a copy or on a read-only medium, and changes no byte.
//!
//! What a crash leaves: every acknowledged entry, and perhaps an incomplete write behind them, which the next writer
//! cuts off and reports. Anything else that is not as it was written is damage, and refused with file and offset.
//!
//! | files | what |
//! | --- | --- |
//! | `segment`, `frame`, `footer`, `anchor`, `fields` | the bytes, encoded and decoded |
//! | `scan`, `walk` | frame by frame over a segment: up to the first bad one, or past it |
//! | `writer`, `active`, `lock`, `recover` | the one writer; what it finds when it opens |
//! | `reader`, `picked`, `view`, `tail`, `follow` | readers beside it |
//! | `holder` | who took a name last, where no index is at hand |
//! | `layout`, `stub` | which files there are; what stands for those that were archived |
//! | `verify`, `runs`, `report`, `salvage` | what is wrong, and what can still be read |
//! | [`disk`], [`simulated`] | the seam to the disk, and a disk that fails on demand |

mod active;
pub(crate) mod anchor;
pub mod disk;
mod evidence;
pub(crate) mod fields;
mod follow;
pub(crate) mod footer;
pub(crate) mod frame;
pub(crate) mod holder;
pub(crate) mod layout;
pub(crate) mod lock;
mod picked;
mod reader;
mod recover;
mod report;
pub(crate) mod runs;
mod salvage;
mod scan;
pub(crate) mod segment;
pub mod simulated;
pub(crate) mod stub;
pub(crate) mod tail;
mod unproved;
mod verify;
mod view;
mod walk;
mod writer;

use std::io;
use std::time::Duration;

pub use follow::Follow;
pub use reader::FileReader;
pub use report::{Loss, Progress, Severity, VerifyFinding, VerifyReport};
pub use salvage::{Gap, Salvage, Salvaged};
pub use stub::{ArchivedIn, STUB_VERSION};
pub use verify::{verify, verify_on};
pub use writer::FileJournal;

use disk::DiskFile;
use ulid::Ulid;

/// The version of the segment, frame, footer and anchor formats that this crate writes, and the greatest it reads. The
/// entries within have a version of their own, [`ENTRY_FORMAT`](tachograph_engine::codec::ENTRY_FORMAT).
pub const FORMAT_VERSION: u32 = 1;

/// Name of the directory with the segments, within the data directory.
pub const JOURNAL_DIR: &str = "journal";

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Appended entries survive a power cut: fdatasync returned before the acknowledgement.
    #[default]
    Synced,
    /// Appended entries survive the end of the process, not of the machine: they are handed to the operating system,
    /// and synced when a segment is full and on close.
    Buffered,
}

/// How a journal is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes after which a segment is full. One batch is never split over two segments, so that a segment may be
    /// greater by one batch.
    pub segment_bytes: u64,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// How often the anchor is replaced while entries are appended; `None`: on close alone.
    pub anchor_interval: Option<Duration>,
    /// The identity that a journal gets when it is created; a random one if absent.
    pub journal: Option<Ulid>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            durability: Durability::default(),
            anchor_interval: Some(Duration::from_secs(1)),
            journal: None,
        }
    }
}

/// Fills a buffer from an offset, as far as the file goes, and returns how much was read.
pub(crate) fn read_up_to(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
