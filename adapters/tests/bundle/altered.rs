//! Not one byte of a bundle can be altered, cut off or added without being found, and nothing that is found is a panic.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tachograph_adapters::bundle::{BundleReader, Compression, Request, Selection, verify};
use tachograph_engine::domain::Position;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::ports::{JournalError, JournalReader};
use tempfile::TempDir;

use crate::support::{exported, fixture, request, wait};

/// What is wrong with a bundle, in words.
pub(crate) fn problem(path: &Path) -> Option<String> {
    match verify(path, |_| ()) {
        Err(error) => Some(error.to_string()),
        Ok(report) => report.findings.first().map(|finding| finding.what.clone()),
    }
}

/// A sealed bundle of each kind.
fn bundles(dir: &Path) -> Vec<Vec<u8>> {
    let run = Selection::Run(ids::run(3));
    let range = Selection::Positions { first: Position(10), last: Position(20) };
    let requests = [(run, Compression::None), (range, Compression::Zstd), (Selection::WHOLE, Compression::None)];
    let kinds = requests.into_iter().enumerate().map(|(number, (selection, compression))| {
        let out = dir.join(number.to_string());
        let seal = Some(crate::sealing::key(&dir.join(format!("key-{number}"))));
        exported(&fixture(), &out, &Request { compression, seal, ..request(selection) });
        fs::read(&out).unwrap()
    });
    kinds.collect()
}

#[test]
fn one_flipped_bit_in_any_byte_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("altered");
    for (number, bundle) in bundles(dir.path()).into_iter().enumerate() {
        fs::write(&path, &bundle).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for (at, byte) in bundle.iter().enumerate() {
            file.write_all_at(&[byte ^ (1 << (at % 8))], at as u64).unwrap();
            assert!(problem(&path).is_some(), "bundle {number}, byte {at}");
            file.write_all_at(&[*byte], at as u64).unwrap();
        }
        assert_eq!(problem(&path), None);
    }
}

#[test]
fn an_end_that_was_cut_off_or_added_to_is_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("altered");
    for (number, bundle) in bundles(dir.path()).into_iter().enumerate() {
        fs::write(&path, &bundle).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for length in (0..bundle.len()).rev() {
            file.set_len(length as u64).unwrap();
            assert!(problem(&path).is_some(), "bundle {number}, {length} bytes");
        }
        for more in [1, 63, 64, bundle.len()] {
            fs::write(&path, [&bundle[..], &bundle[..more]].concat()).unwrap();
            assert!(problem(&path).is_some(), "bundle {number}, {more} more");
        }
    }
}

#[test]
fn the_entry_that_was_altered_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("altered");
    let [run, _, whole] = bundles(dir.path()).try_into().unwrap();
    let reader = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        BundleReader::open(&path).unwrap()
    };
    // Every entry of a run has a commit of its own; others are committed together.
    let entries = wait(reader(&run).read(Position::ZERO, 100)).unwrap();
    let mut named = 0;
    for entry in &entries {
        let mut altered = run.clone();
        let id = entry.id.to_u128().to_be_bytes();
        let at = altered.windows(16).position(|window| window == id).unwrap();
        altered[at + 3] ^= 0x10;
        fs::write(&path, &altered).unwrap();
        let found = problem(&path).unwrap();
        assert!(found.starts_with(&format!("entry {} is not as it was written", entry.position)), "{found}");
        named += 1;
    }
    assert_eq!(named, 4);
    let all = wait(reader(&whole).read(Position::ZERO, 100)).unwrap();
    let entry = &all[40];
    let id = entry.id.to_u128().to_be_bytes();
    let at = whole.windows(16).position(|window| window == id).unwrap();
    let mut altered = whole.clone();
    altered[at] ^= 0x80;
    fs::write(&path, &altered).unwrap();
    let finding = verify(&path, |_| ()).unwrap().findings.remove(0);
    let position = finding.position.unwrap();
    assert!(position <= entry.position && entry.position.0 < position.0 + 3, "{position} for {}", entry.position);
    // A reader never hands out what is not as it was written.
    let reader = BundleReader::open(&path).unwrap();
    let refused = wait(reader.entry(entry.position));
    assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{refused:?}");
}

#[test]
fn what_claims_impossible_sizes_costs_neither_memory_nor_a_panic() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("altered");
    let [run, _, _] = bundles(dir.path()).try_into().unwrap();
    let manifest_at = run.windows(8).position(|window| window == b"TACHOMAN").unwrap();
    let end = run.len() - 64;
    let mut tried = 0;
    for at in (manifest_at + 8..end - 96).step_by(4) {
        for value in [u32::MAX, 1 << 31, 0] {
            let mut forged = run.clone();
            forged[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let root = *blake3::Hasher::new()
                .update(&forged[..48])
                .update(&forged[manifest_at..end - 96])
                .finalize()
                .as_bytes();
            // Without the seal, whoever forges a manifest can make everything around it fit.
            forged.drain(end - 96..end);
            let trailer = forged.len() - 64;
            forged[trailer + 16..trailer + 48].copy_from_slice(&root);
            forged[trailer + 48..trailer + 52].fill(0);
            let crc = crc32c::crc32c(&forged[trailer..trailer + 60]);
            forged[trailer + 60..].copy_from_slice(&crc.to_le_bytes());
            // Never over the file before: that would be synced first.
            fs::remove_file(&path).ok();
            fs::write(&path, &forged).unwrap();
            if let Ok(reader) = BundleReader::open(&path) {
                let _ = wait(reader.read(Position::ZERO, 100));
                let _ = wait(reader.history(ids::run(3)));
            }
            let _ = verify(&path, |_| ());
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let refused = BundleReader::open(&pipe).unwrap_err().to_string();
    assert!(refused.contains("write it to one first"), "{refused}");
}
