//! A manifest is made anew by anybody, with a root that fits. What it claims is so, or the bundle is not sound.

use std::fs;
use std::path::{Path, PathBuf};

use tachograph_adapters::bundle::{BundleReader, Proof, Request, Selection, import, verify};
use tachograph_engine::domain::Position;
use tachograph_engine::domain::testing::ids;
use tempfile::TempDir;

use crate::altered::problem;
use crate::support::{Secrets, exported, fixture, request};

const TRAILER_BYTES: usize = 64;
const HEADER_BYTES: usize = 48;
/// Where fields of the manifest are, as `docs/format.md` says.
const SCOPE: usize = 8;
const CHAIN: usize = 9;
const RUN: usize = 16;
const HEAD: usize = 56;
const PREVIOUS: usize = 80;
const HEAD_DIGEST: usize = 144;

/// Alters the manifest of a bundle without a seal, and makes a root that fits.
fn forge(bundle: &Path, alter: impl FnOnce(&mut Vec<u8>)) {
    let bytes = fs::read(bundle).unwrap();
    let (body, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    let at = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
    let mut manifest = body[at..].to_vec();
    alter(&mut manifest);
    let root = blake3::Hasher::new().update(&bytes[..HEADER_BYTES]).update(&manifest).finalize();
    let mut trailer = trailer.to_vec();
    trailer[8..16].copy_from_slice(&(manifest.len() as u64).to_le_bytes());
    trailer[16..48].copy_from_slice(root.as_bytes());
    let crc = crc32c::crc32c(&trailer[..60]);
    trailer[60..].copy_from_slice(&crc.to_le_bytes());
    fs::write(bundle, [&body[..at], &manifest, &trailer].concat()).unwrap();
}

struct Made {
    dir: TempDir,
}

impl Made {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn bundle(&self, selection: Selection) -> PathBuf {
        let out = self.dir.path().join("bundle");
        exported(&fixture(), &out, &Request { replaces: true, ..request(selection) });
        assert_eq!(problem(&out), None);
        out
    }

    fn redacted(&self, selection: Selection) -> PathBuf {
        let out = self.dir.path().join("redacted");
        let redact = vec!["label.secret".parse().unwrap()];
        let secrets = Secrets::of_runs(6);
        exported(secrets.data.path(), &out, &Request { redact, replaces: true, ..request(selection) });
        assert_eq!(problem(&out), None);
        out
    }
}

const RANGE: Selection = Selection::Positions { first: Position(10), last: Position(20) };

fn claims_falsely(bundle: &Path, what: &str, alter: impl FnOnce(&mut Vec<u8>)) {
    forge(bundle, alter);
    assert!(problem(bundle).is_some(), "{what}");
}

#[test]
fn a_manifest_that_is_written_again_as_it_was_is_sound() {
    let made = Made::new();
    for bundle in [made.bundle(Selection::WHOLE), made.bundle(RANGE), made.redacted(RANGE)] {
        forge(&bundle, |_| ());
        assert_eq!(problem(&bundle), None);
    }
    assert_eq!(verify(&made.bundle(RANGE), |_| ()).unwrap().proof(), Some(Proof::JournalRange));
}

#[test]
fn no_chain_is_the_journals_own_that_is_not() {
    let made = Made::new();
    let run = Selection::Run(ids::run(3));
    claims_falsely(&made.bundle(run), "a run in the journal's chain", |manifest| manifest[CHAIN] = 1);
    for selection in [Selection::WHOLE, RANGE, run] {
        claims_falsely(&made.redacted(selection), "redacted, in the journal's chain", |manifest| manifest[CHAIN] = 1);
    }
    claims_falsely(&made.bundle(Selection::WHOLE), "a chain of its own without a reason", |manifest| {
        manifest[CHAIN] = 2
    });
    claims_falsely(&made.bundle(RANGE), "a chain of its own without a reason", |manifest| manifest[CHAIN] = 2);
}

#[test]
fn no_part_is_another_than_it_is() {
    let made = Made::new();
    let run = Selection::Run(ids::run(3));
    claims_falsely(&made.bundle(run), "another run", |manifest| {
        manifest[RUN..RUN + 16].copy_from_slice(&ids::run(1).to_u128().to_be_bytes());
    });
    for chain in [1, 2] {
        claims_falsely(&made.bundle(run), "a run as a range", |manifest| {
            (manifest[SCOPE], manifest[CHAIN]) = (2, chain);
            manifest[RUN..RUN + 16].fill(0);
        });
    }
    claims_falsely(&made.bundle(RANGE), "a range as a whole", |manifest| manifest[SCOPE] = 1);
    claims_falsely(&made.bundle(Selection::WHOLE), "a whole as a range", |manifest| manifest[SCOPE] = 2);
    claims_falsely(&made.bundle(RANGE), "a range behind nothing", |manifest| manifest[PREVIOUS..PREVIOUS + 32].fill(0));
}

#[test]
fn no_journal_ended_before_what_is_in_it() {
    let made = Made::new();
    for selection in [Selection::WHOLE, RANGE, Selection::Run(ids::run(3))] {
        let bundle = made.bundle(selection);
        let tip = BundleReader::open(&bundle).unwrap().manifest().tip.position;
        claims_falsely(&bundle, "a head below the tip", |manifest| {
            manifest[HEAD..HEAD + 8].copy_from_slice(&(tip.0 - 1).to_le_bytes());
        });
    }
    claims_falsely(&made.bundle(Selection::WHOLE), "a head with another digest", |manifest| manifest[HEAD_DIGEST] ^= 1);
}

#[test]
fn no_more_values_are_redacted_than_are() {
    let made = Made::new();
    claims_falsely(&made.redacted(Selection::WHOLE), "more values", |manifest| {
        let path = b"label.secret";
        let at = manifest.windows(path.len()).position(|window| window == path).unwrap() + path.len();
        manifest[at..at + 8].copy_from_slice(&1_000_u64.to_le_bytes());
    });
}

#[test]
fn what_is_not_sound_is_not_imported() {
    let made = Made::new();
    let bundle = made.bundle(Selection::WHOLE);
    // The last byte of the index: a run's table.
    forge(&bundle, |manifest| *manifest.last_mut().unwrap() ^= 1);
    assert!(problem(&bundle).is_some());
    let data = made.dir.path().join("data");
    let refused = import(&bundle, &data, None, |_| ()).unwrap_err();
    assert_eq!(refused.code(), "damaged", "{refused}");
    assert!(!data.exists());
}
