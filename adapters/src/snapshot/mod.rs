//! Images of what runs work in, and runs worked on from an image.
//!
//! [`ArchiveSnapshotter`] freezes an attempt and packs its directory. `docs/snapshots.md` says what is in an image and
//! how it is read without Tachograph.

mod archive;
mod error;
mod handover;
mod listing;
mod pack;
mod place;
mod sealing;
mod standstill;

pub use archive::{ArchiveOptions, ArchiveSnapshotter};
