//! What lies beside filled tables and says what they are: without it, or where a word of it is not so, they are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use super::super::tables;
use crate::dataset::FileMark;

/// Of the card, of the tables, and of how their rows are made.
const FORMAT: u32 = 1;

/// What a file is known again by: whoever writes to it changes some of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether that file was changed later than another.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        self.changed > other.changed
    }
}

/// The files of a journal when its entries were read: those that are full stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalFiles {
    full: usize,
    digest: String,
    /// The one that is appended to.
    last: Option<(String, u64)>,
}

impl JournalFiles {
    pub(super) fn of(marks: &[FileMark]) -> Self {
        Self::first(marks, marks.len())
    }

    /// Those of the first so many, the last of which may have been appended to since.
    fn first(marks: &[FileMark], count: usize) -> Self {
        let (last, full) = match marks.get(..count).and_then(<[FileMark]>::split_last) {
            Some((last, full)) => (Some((last.name.clone(), last.inode)), full),
            None => (None, &[][..]),
        };
        let mut digest = blake3::Hasher::new();
        for mark in full {
            digest.update(format!("{mark:?}\n").as_bytes());
        }
        Self { full: full.len(), digest: digest.finalize().to_string(), last }
    }

    /// Whether these are still the first files of the journal.
    pub(super) fn are_in(&self, marks: &[FileMark]) -> bool {
        *self == Self::first(marks, self.full + usize::from(self.last.is_some()))
    }
}

/// Who wrote tables, and when they would be other ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Maker {
    format: u32,
    version: String,
    /// The program's own file: another build of the same version may make other rows.
    executable: Option<Stamp>,
    /// Over all tables and columns, with their descriptions.
    dictionary: String,
    /// What was not synced may be lost with the boot that it was written in.
    boot_id: String,
}

impl Maker {
    /// This program in this boot.
    pub(super) fn this(boot_id: &str) -> Self {
        let dictionary = blake3::hash(format!("{:?}", tables()).as_bytes()).to_string();
        let (version, boot_id) = (env!("CARGO_PKG_VERSION").to_owned(), boot_id.to_owned());
        let executable = std::fs::metadata("/proc/self/exe").ok().map(|found| Stamp::of(&found));
        Self { format: FORMAT, version, executable, dictionary, boot_id }
    }

    /// Whether it is known which program made what has this maker.
    pub(super) fn is_known(&self) -> bool {
        self.executable.is_some()
    }
}

/// What tables hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holding {
    pub(super) journal: String,
    /// The last position whose entry is in them, with the hash over the history up to there.
    pub(super) reached: u64,
    pub(super) chain: String,
    pub(super) archived: u64,
    pub(super) files: JournalFiles,
    /// The columns that are filled.
    pub(super) filled: BTreeMap<String, BTreeSet<String>>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) maker: Maker,
    pub(super) holding: Holding,
    /// The file with the tables after the last change.
    pub(super) stamp: Stamp,
}
