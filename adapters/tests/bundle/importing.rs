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

#[test]
fn the_root_of_a_mounted_file_system_is_refused_before_any_work() {
    let dir = TempDir::new().unwrap();
    // A directory of the kernel that is a mount point and empty, if this machine has one that may be listed.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let empty = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(Path::new)
        .find(|path| path.is_dir() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()));
    let Some(place) = empty else { return };
    let out = dir.path().join("bundle");
    exported(&fixture(), &out, &request(Selection::WHOLE));
    let refused = import(&out, place, None, |_| panic!("work was done")).unwrap_err();
    assert_eq!(refused.code(), "mount_point", "{refused}");
}
