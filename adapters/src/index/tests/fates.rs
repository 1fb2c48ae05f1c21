//! Whatever becomes of the files of an index, the answers are those of the entries.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tachograph_engine::domain::Position;
use tachograph_engine::ports::Draft;
use tempfile::TempDir;

use super::super::Catalog;
use super::cases;
use super::reference::{Reference, act};
use crate::contract::Scribe;

/// What becomes of the index between two writers.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    Deleted,
    /// All files, or those of sled alone.
    Garbage(u8, bool),
    Truncated(u8, bool),
    /// One byte in sled's own files.
    Flipped(u16),
    Stale,
    Foreign,
    Replaced,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Kept),
        1 => Just(Fate::Deleted),
        2 => any::<(u8, bool)>().prop_map(|(salt, all)| Fate::Garbage(salt, all)),
        2 => any::<(u8, bool)>().prop_map(|(to, all)| Fate::Truncated(to, all)),
        3 => any::<u16>().prop_map(Fate::Flipped),
        2 => Just(Fate::Stale),
        1 => Just(Fate::Foreign),
        1 => Just(Fate::Replaced),
    ]
}

pub(super) fn files_under(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for found in fs::read_dir(dir).into_iter().flatten() {
        let path = found.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files_under(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

fn suffer(fate: Fate, index: &Path, stale: &Path, foreign: &Path) {
    let seed = |file: &Path| file.to_string_lossy().len() as u8;
    let victims = |all: bool| files_under(&if all { index.to_owned() } else { index.join("sled") });
    match fate {
        Fate::Kept => {}
        Fate::Deleted => fs::remove_dir_all(index).unwrap(),
        Fate::Garbage(salt, all) => {
            for file in victims(all) {
                let length = fs::metadata(&file).unwrap().len() as usize;
                let noise = |at: usize| (at as u8).wrapping_mul(salt | 1).wrapping_add(seed(&file)) ^ (at >> 8) as u8;
                fs::write(&file, (0..length).map(noise).collect::<Vec<u8>>()).unwrap();
            }
        }
        Fate::Truncated(to, all) => {
            for file in victims(all) {
                let bytes = fs::read(&file).unwrap();
                fs::write(&file, &bytes[..bytes.len() * usize::from(to) / 256]).unwrap();
            }
        }
        Fate::Flipped(salt) => {
            for file in victims(false) {
                let mut bytes = fs::read(&file).unwrap();
                // Most of a file is empty: aim at what is not.
                let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                if let Some(at) = written.get(usize::from(salt) % written.len().max(1)) {
                    bytes[*at] ^= 1 << (salt % 8);
                    fs::write(&file, bytes).unwrap();
                }
            }
        }
        Fate::Stale => copy(stale, index),
        Fate::Foreign => copy(foreign, index),
        Fate::Replaced => {
            fs::remove_dir_all(index).unwrap();
            fs::write(index, "not a directory").unwrap();
        }
    }
}

/// The index of another journal with the same runs, all of them gone, in a directory of its own.
fn foreign_index() -> TempDir {
    let place = TempDir::new().unwrap();
    let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
    for number in 0..6 {
        let drafts = [1, 2, 10].into_iter().filter_map(|what| act(&mut scribe, what, number)).collect();
        reference.append(drafts);
    }
    let catalog = Catalog::open(place.path(), |_| None);
    reference.feed(&catalog, Position::ZERO);
    catalog.close();
    place
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_the_entries_say_whatever_becomes_of_its_files(
        lives in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec((0_u8..12, 0_u64..6), 1..6), 1..10), any::<[bool; 2]>(), fates()),
            1..5,
        ),
    ) {
        let place = TempDir::new().unwrap();
        let index = place.path().join("index");
        let (stale, foreign) = (TempDir::new().unwrap(), foreign_index());
        let (mut scribe, mut reference) = (Scribe::default(), Reference::default());
        let memory = Catalog::in_memory();
        for (batches, [flushes, closes], fate) in lives {
            let catalog = Catalog::open(place.path(), |position| reference.digest_at(position));
            reference.feed(&catalog, Position::ZERO);
            reference.check(&catalog, 6);
            for batch in batches {
                let before = Position(reference.entries.len() as u64);
                let drafts: Vec<Draft> = batch.iter().filter_map(|(what, run)| act(&mut scribe, *what, *run)).collect();
                if drafts.is_empty() {
                    continue;
                }
                reference.append(drafts);
                reference.feed(&catalog, before);
                reference.feed(&memory, before);
                if flushes {
                    catalog.flush();
                }
            }
            reference.check(&catalog, 6);
            reference.check(&memory, 6);
            if closes {
                catalog.close();
            }
            drop(catalog);
            let before = index.join("sled").is_dir().then(|| TempDir::new().unwrap());
            if let Some(before) = &before {
                copy(&index, before.path());
            }
            suffer(fate, &index, stale.path(), &foreign.path().join("index"));
            if let Some(before) = &before {
                copy(before.path(), stale.path());
            }
        }
        let catalog = Catalog::open(place.path(), |position| reference.digest_at(position));
        reference.feed(&catalog, Position::ZERO);
        reference.check(&catalog, 6);
    }
}
