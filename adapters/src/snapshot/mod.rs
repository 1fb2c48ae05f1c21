//! Images of what runs work in, and runs worked on from an image.
//!
//! [`ArchiveSnapshotter`] freezes an attempt and packs its directory, [`restore`] unpacks it elsewhere.
//! [`CommandSnapshotter`] leaves the image to a program. `docs/snapshots.md` says what is in an image and
//! how it is read without Tachograph.

mod archive;
mod beneath;
mod command;
mod error;
mod handover;
mod listing;
mod pack;
mod place;
mod program;
mod restore;
mod sealing;
mod standstill;
mod tarball;
mod unpack;

pub use archive::{ArchiveOptions, ArchiveSnapshotter};
pub use command::{CommandSnapshotter, ProgramImages, SNAPSHOT_FILE_VARIABLE, SNAPSHOT_VARIABLE};
pub use error::StepError;
pub use restore::{RestoreError, Restored, restore};
