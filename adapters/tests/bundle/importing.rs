//! A bundle becomes the data directory that it was made of.

use std::fs;
use std::path::Path;

use tachograph_adapters::bundle::{BundleError, Chain, Compression, Request, Selection, import};
use tachograph_adapters::journal::verify;
use tachograph_engine::domain::Position;
use tachograph_engine::domain::testing::ids;
use tempfile::TempDir;

use crate::support::{exported, fixture, recorded, request};

fn files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let items = fs::read_dir(data.join("journal")).unwrap().map(|item| item.unwrap().path());
    let mut files: Vec<_> =
        items.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn the_same_files_come_back_byte_by_byte() {
    let dir = TempDir::new().unwrap();
    for compression in [Compression::None, Compression::Zstd] {
        let (out, data) = (dir.path().join(format!("{compression:?}")), dir.path().join(format!("{compression:?}.d")));
        exported(&fixture(), &out, &Request { compression, ..request(Selection::WHOLE) });
        if compression == Compression::Zstd {
            fs::create_dir(&data).unwrap();
        }
        let imported = import(&out, &data, None, |_| ()).unwrap();
        assert_eq!((imported.chain, imported.entries), (Chain::Journal, recorded(&fixture()).len() as u64));
        assert!(files(&data) == files(&fixture()), "{compression:?}");
        assert!(verify(&data, |_| ()).unwrap().is_sound());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "something unfinished was left");
}

#[test]
fn a_beginning_is_a_journal_and_other_parts_are_not() {
    let dir = TempDir::new().unwrap();
    let beginning = Selection::Positions { first: Position(1), last: Position(25) };
    let out = dir.path().join("beginning");
    let made = exported(&fixture(), &out, &request(beginning));
    let data = dir.path().join("data");
    assert_eq!(import(&out, &data, None, |_| ()).unwrap().head, made.manifest.tip);
    let report = verify(&data, |_| ()).unwrap();
    assert!(report.is_sound() && report.head == Some(made.manifest.tip), "{report:?}");
    let range = Selection::Positions { first: Position(10), last: Position(25) };
    for (name, selection) in [("range", range), ("run", Selection::Run(ids::run(3)))] {
        let out = dir.path().join(name);
        exported(&fixture(), &out, &request(selection));
        let refused = import(&out, &dir.path().join("no"), None, |_| ());
        assert!(matches!(refused, Err(BundleError::NotWhole { .. })), "{refused:?}");
    }
    assert!(!dir.path().join("no").exists());
}

#[test]
fn what_is_occupied_stays_and_what_is_damaged_becomes_nothing() {
    let dir = TempDir::new().unwrap();
    let (out, data) = (dir.path().join("bundle"), dir.path().join("data"));
    exported(&fixture(), &out, &request(Selection::WHOLE));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("mine"), "mine").unwrap();
    let refused = import(&out, &data, None, |_| ());
    assert!(matches!(refused, Err(BundleError::Occupied { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    let mut bytes = fs::read(&out).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&out, bytes).unwrap();
    let absent = dir.path().join("absent");
    let refused = import(&out, &absent, None, |_| ()).unwrap_err();
    assert_eq!(refused.code(), "damaged", "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "something unfinished was left");
}
