//! Bundles: one file of evidence that holds a journal, or a part of one, and what proves it.
//!
//! `docs/format.md` describes every byte, `docs/bundle.md` what is proved by what. A bundle is made once, in a temporary
//! file beside its place, and never changed. Its stream holds units of the journal (segment headers and frames), cut into
//! blocks; its manifest holds the blocks' hashes and an index; its root is the hash over header and manifest, so that one
//! hash stands for every byte.
//!
//! | files | what |
//! | --- | --- |
//! | `header`, `manifest`, `trailer` | the bytes around the stream, encoded and decoded |
//! | `blocks`, `stream`, `units` | the stream: cut and compressed, read back and checked, unit by unit |
//! | `source`, `target`, `writer`, [`export()`] | making one: out of which units, into which file |
//! | `reader`, `claims`, [`verify()`], [`import()`] | reading, checking, and turning one into a data directory |
//! | [`seal`] | who made it: a signature over the root |
//! | [`redaction`], `texts`, `remnants`, `imported_history`, `rewriting`, [`reveal`] | values that are left out, and their commitments |

mod blocks;
mod claims;
mod error;
mod export;
mod header;
mod import;
mod imported_history;
mod manifest;
mod reader;
pub mod redaction;
mod remnants;
pub mod reveal;
mod rewriting;
pub mod seal;
mod source;
mod stream;
mod target;
mod texts;
mod trailer;
mod units;
mod verify;
mod writer;

use std::path::Path;

pub use error::BundleError;
pub use export::{Exported, Request, Selection, export, export_on};
pub use import::{Imported, import};
pub use manifest::{Chain, Compression, Manifest, RedactedPath, Scope};
pub use reader::BundleReader;
pub use target::is_mount_point;
pub use verify::{BundleReport, Proof, verify};

/// The version of the bundle format that this crate writes, and the greatest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Whether a path is a file that begins as a bundle does, sound or not.
pub fn is_bundle(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; header::MAGIC.len()];
    let read = || std::fs::File::open(path)?.read_exact(&mut magic);
    path.is_file() && { read }().is_ok() && magic == *header::MAGIC
}
