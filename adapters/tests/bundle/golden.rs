//! Format 1 of bundles is what `docs/format.md` says, for ever: bundles that are kept in this repository are read and
//! verified, and those without randomness are written again byte by byte.
//!
//! After a deliberate change of the format, which is a new version with fixtures of its own, the files are made with
//! `TACHO_WRITE_FIXTURE=1 cargo test -p tachograph-adapters --test bundle golden`.

use std::fs;
use std::path::{Path, PathBuf};

use tachograph_adapters::bundle::reveal::{Salts, reveal};
use tachograph_adapters::bundle::{BundleReader, Compression, Proof, Request, Selection, verify};
use tachograph_adapters::journal::FileReader;
use tachograph_engine::domain::Position;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::ports::JournalReader;
use tempfile::TempDir;

use crate::support::{exported, fixture, recorded, request};

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bundle-1").join(name)
}

/// Each with its name, and whether it is the same whenever it is made.
fn requests(dir: &Path) -> Vec<(&'static str, bool, Request)> {
    let range = Selection::Positions { first: Position(10), last: Position(40) };
    let seal = Some(crate::sealing::key(&dir.join("key")));
    let redact = ["label.env", "runner", "host"].map(|path| path.parse().unwrap()).to_vec();
    let salts = Some(dir.join("redacted.salts"));
    let compression = Compression::Zstd;
    vec![
        ("whole.tacho", true, request(Selection::WHOLE)),
        ("run-sealed.tacho", true, Request { seal, ..request(Selection::Run(ids::run(1))) }),
        ("range-zstd.tacho", false, Request { compression, ..request(range) }),
        ("redacted.tacho", false, Request { redact, salts, ..request(Selection::WHOLE) }),
    ]
}

#[test]
fn golden_bundles_are_written_again_byte_by_byte() {
    let dir = TempDir::new().unwrap();
    let writes = std::env::var_os("TACHO_WRITE_FIXTURE").is_some();
    for (name, is_same, request) in requests(dir.path()) {
        let out = dir.path().join(name);
        exported(&fixture(), &out, &request);
        let written = fs::read(&out).unwrap();
        if writes {
            fs::create_dir_all(kept("")).unwrap();
            fs::write(kept(name), &written).unwrap();
        }
        if is_same {
            let kept = fs::read(kept(name)).unwrap();
            let first = kept.iter().zip(&written).position(|(kept, written)| kept != written);
            assert_eq!((first, kept.len()), (None, written.len()), "first differing byte, length of {name}");
        }
    }
    if writes {
        fs::copy(dir.path().join("redacted.salts"), kept("redacted.salts")).unwrap();
    }
}

#[test]
fn golden_bundles_are_read_as_what_was_exported() {
    let all = recorded(&fixture());
    let proofs = [
        ("whole.tacho", Proof::Journal, all.len()),
        ("run-sealed.tacho", Proof::Root, 17),
        ("range-zstd.tacho", Proof::JournalRange, 33),
        ("redacted.tacho", Proof::Root, all.len()),
    ];
    for (name, proof, entries) in proofs {
        let report = verify(&kept(name), |_| ()).unwrap();
        assert_eq!((report.findings.as_slice(), report.proof()), (&[][..], Some(proof)), "{name}");
        assert_eq!(report.entries, entries as u64, "{name}");
    }
    let sealed = BundleReader::open(&kept("run-sealed.tacho")).unwrap();
    let key = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
    assert_eq!(sealed.sealed_by().unwrap().to_string(), key);
    let redacted = BundleReader::open(&kept("redacted.tacho")).unwrap();
    let revealed = reveal(&redacted, &Salts::open(&kept("redacted.salts")).unwrap(), |_| ()).unwrap();
    assert_eq!(revealed.digest, Some(FileReader::open(&fixture()).unwrap().head()));
}
