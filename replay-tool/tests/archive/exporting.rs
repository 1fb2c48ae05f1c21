//! An export of the tables that is brought up to date goes on over whatever was archived meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{copy, failure, go_on, json, ran, told, write};

/// A journal, the same one of which nothing was archived, and an export of what both began with.
struct Place {
    dir: tempfile::TempDir,
    /// Where the last archiving ended.
    last: u64,
}

impl Place {
    /// Of the second part of the journal nothing was exported before it was archived.
    fn new() -> Self {
        let mut place = Self { dir: tempfile::tempdir().unwrap(), last: 0 };
        write(&place.plain(), 8);
        place.export(&place.plain(), "expected", &[]);
        copy(&place.at("expected"), &place.at("export"));
        place.go_on(1_000, 9);
        copy(&place.plain(), &place.data());
        place.archive();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plain(&self) -> PathBuf {
        self.at("plain")
    }

    fn data(&self) -> PathBuf {
        self.at("data")
    }

    /// Writes about eight more runs, from one on, to those journals that are there.
    fn go_on(&self, seconds: u64, first: u64) {
        for data in [self.plain(), self.data()].iter().filter(|data| data.exists()) {
            go_on(data, seconds, first..=first + 7);
        }
    }

    fn archive(&mut self) {
        let done = json(&self.data(), &["archive", "--before", "1d", "--apply", "--no-parquet"]);
        self.last = done["last"].as_u64().unwrap();
    }

    /// Moves the bundles out of the data directory.
    fn move_bundles(&self) -> PathBuf {
        fs::rename(self.data().join("archive"), self.at("elsewhere")).unwrap();
        self.at("elsewhere")
    }

    fn export(&self, data: &Path, name: &str, more: &[&str]) -> Value {
        json(data, &[&["export", "--parquet", self.at(name).to_str().unwrap()], more].concat())
    }

    /// The export that goes on is byte by byte what it would be if nothing had been archived.
    fn assert_as_if_nothing_was_archived(&self, more: &[&str]) {
        self.export(&self.plain(), "expected", &[]);
        self.export(&self.data(), "export", more);
        let (ours, theirs) = (files(&self.at("export")), files(&self.at("expected")));
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs));
        ours.iter().for_each(|(name, bytes)| assert!(theirs[name] == *bytes, "{} is otherwise", name.display()));
    }

    fn refused(&self, more: &[&str]) -> String {
        let export = self.at("export");
        let before = files(&export);
        let asked = [&["export", "--parquet", export.to_str().unwrap()], more].concat();
        let (code, id, message) = failure(&self.data(), &asked);
        assert_eq!((code, id.as_str()), (2, "archived"), "{message}");
        assert!(files(&export) == before, "{message}");
        message
    }
}

/// All files of a directory with their bytes, by their paths within it.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut open) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(within) = open.pop() {
        for item in fs::read_dir(within).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The files by day, which are never touched again.
fn by_day(export: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(export);
    files.retain(|name, _| name.iter().any(|part| part.to_string_lossy().starts_with("day=")));
    files
}

#[test]
fn what_was_archived_without_having_been_exported_is_read_out_of_its_bundle() {
    let mut place = Place::new();
    let before = by_day(&place.at("export"));
    place.assert_as_if_nothing_was_archived(&[]);
    let after = by_day(&place.at("export"));
    assert!(before.len() < after.len() && before.iter().all(|(name, bytes)| after[name] == *bytes));
    // A second bundle, which alone is a part of a journal; what is in the first was exported, and is in the other tables.
    place.go_on(2_000, 17);
    place.archive();
    place.go_on(3_000, 25);
    place.assert_as_if_nothing_was_archived(&[]);
    // Nothing is new.
    let again = place.export(&place.data(), "export", &[]);
    assert_eq!((again["files"].as_array().unwrap().len(), &again["part"]), (0, &Value::Null), "{again}");
}

#[test]
fn bundles_that_are_elsewhere_are_asked_for_by_name_and_found_there() {
    let place = Place::new();
    let elsewhere = place.move_bundles();
    let exported = json(&place.plain(), &["export", "--parquet", place.at("again").to_str().unwrap(), "--to", "9"]);
    assert_eq!(exported["position"], 9);
    let message = place.refused(&[]);
    let bundle = format!("archive/{:020}-{:020}.tacho", 1, place.last);
    for part in [bundle.as_str(), "--bundles", "there is no", &format!(" to {} are archived", place.last)] {
        assert!(message.contains(part), "{part:?}: {message}");
    }
    // Something else under the name of the bundle is not it.
    let fake = place.at("fake");
    fs::create_dir(&fake).unwrap();
    let name = fs::read_dir(&elsewhere).unwrap().next().unwrap().unwrap().file_name();
    told(&place.plain(), &["export", "--out", fake.join(&name).to_str().unwrap()]);
    let message = place.refused(&["--bundles", fake.to_str().unwrap()]);
    assert!(message.contains("there is no"), "where it was put is looked at, too: {message}");
    for part in
        [&format!("{} is another bundle, and", fake.join(&name).display()), "under the name that it was made with"]
    {
        assert!(message.contains(part), "{part:?}: {message}");
    }
    fs::create_dir(place.data().join("archive")).unwrap();
    fs::copy(fake.join(&name), place.data().join("archive").join(&name)).unwrap();
    let message = place.refused(&["--bundles", fake.to_str().unwrap()]);
    assert!(message.contains("is another bundle"), "{message}");
    place.assert_as_if_nothing_was_archived(&["--bundles", elsewhere.to_str().unwrap()]);
}

#[test]
fn the_first_bundle_may_be_exported_into_the_same_directory_before() {
    let place = Place::new();
    let bundle = fs::read_dir(place.move_bundles()).unwrap().next().unwrap().unwrap().path();
    let exported = place.export(&bundle, "export", &[]);
    assert_eq!(exported["position"].as_u64(), Some(place.last));
    let made = place.export(&place.data(), "export", &[]);
    assert_eq!(made["position_before"].as_u64(), Some(place.last));
    assert_eq!(made["position"], json(&place.plain(), &["verify"])["head"]["position"]);
}

#[test]
fn without_the_bundles_what_is_new_is_added_and_said_to_be_less() {
    let place = Place::new();
    place.assert_as_if_nothing_was_archived(&[]);
    place.go_on(2_000, 17);
    let elsewhere = place.move_bundles();
    let export = place.at("export");
    let output = ran(&place.data(), &["export", "--parquet", export.to_str().unwrap()]);
    let noted = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{noted}");
    assert!(noted.contains("--bundles") && noted.contains(&format!("up to position {}", place.last)), "{noted}");
    place.export(&place.plain(), "expected", &[]);
    assert!(by_day(&export) == by_day(&place.at("expected")), "what happened is added all the same");
    let said: Value = serde_json::from_slice(&fs::read(export.join("tacho-export.json")).unwrap()).unwrap();
    assert_eq!((said["standing_after"].as_u64(), &said["part"]), (Some(place.last), &Value::Null));
    let rows = |name: &str, table: &str| {
        let said: Value = serde_json::from_slice(&fs::read(place.at(name).join("tacho-export.json")).unwrap()).unwrap();
        let files = said["files"].as_array().unwrap().iter();
        files.filter(|file| file["table"] == table).map(|file| file["rows"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(rows("export", "runs"), rows("expected", "runs"));
    assert!(rows("export", "attempts") < rows("expected", "attempts"));
    let again = place.export(&place.data(), "export", &[]);
    assert_eq!((again["files"].as_array().unwrap().len(), &again["absent"]), (0, &Value::Null), "nothing is new");
    // Once they are there, they tell the rest, although nothing is new.
    place.assert_as_if_nothing_was_archived(&["--bundles", elsewhere.to_str().unwrap()]);
}

#[test]
fn an_export_that_began_behind_the_archive_goes_on_and_over_the_next_one() {
    let mut place = Place::new();
    let first = place.export(&place.data(), "rest", &[]);
    let begun = place.last + 1;
    assert!(first["part"].as_str().unwrap().contains(&format!("positions {begun} to")), "{first}");
    place.go_on(2_000, 17);
    place.archive();
    place.go_on(3_000, 25);
    let second = place.export(&place.data(), "rest", &[]);
    assert_eq!(second["position_before"], first["position"]);
    let end = second["position"].as_u64().unwrap();
    let said: Value = serde_json::from_slice(&fs::read(place.at("rest").join("tacho-export.json")).unwrap()).unwrap();
    assert_eq!(said["first"].as_u64(), Some(begun));
    let entries = said["files"].as_array().unwrap().iter().filter(|file| file["table"] == "entries");
    let rows: u64 = entries.map(|file| file["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, end + 1 - begun, "{said}");
}

#[test]
fn a_first_export_says_where_it_begins_and_is_whole_with_the_bundles() {
    let place = Place::new();
    let told = |name: &str, more: &[&str]| {
        told(&place.data(), &[&["export", "--parquet", place.at(name).to_str().unwrap()], more].concat())
    };
    let end = json(&place.data(), &["verify"])["head"]["position"].as_u64().unwrap();
    let text = told("rest", &[]);
    assert!(text.contains(&format!(": positions {} to {end};", place.last + 1)), "{text}");
    assert_eq!(place.export(&place.data(), "told", &[])["first"].as_u64(), Some(place.last + 1));
    // Of a bundle that is a part, too.
    let part = place.at("part");
    let made = json(&place.plain(), &["export", "--out", part.to_str().unwrap(), "--from", "11"]);
    let first = made["first"].as_u64().unwrap();
    assert!(first > 1);
    assert_eq!(place.export(&part, "of-part", &[])["first"].as_u64(), Some(first));
    // With the bundles it is the whole, and goes on as such.
    let elsewhere = place.move_bundles();
    let bundles = ["--bundles", elsewhere.to_str().unwrap()];
    let text = told("whole", &bundles);
    assert!(text.contains(&format!(": positions 1 to {end};")), "{text}");
    place.export(&place.plain(), "all", &[]);
    assert!(files(&place.at("whole")) == files(&place.at("all")), "byte by byte");
    let again = place.export(&place.data(), "whole", &bundles);
    assert_eq!((&again["first"], &again["part"]), (&1.into(), &Value::Null), "{again}");
    // And without them it is refused, if they were asked for.
    let none = place.at("none");
    let asked = ["export", "--parquet", none.to_str().unwrap(), "--bundles", "nowhere"];
    let (code, id, message) = failure(&place.data(), &asked);
    assert_eq!((code, id.as_str()), (2, "archived"), "{message}");
    assert!(message.contains(&format!("is to hold all, and positions 1 to {} are archived", place.last)), "{message}");
    assert!(!none.exists());
}

#[test]
fn an_export_that_is_whole_is_not_said_to_lack_what_is_archived() {
    let place = Place::new();
    let noted = |name: &str, more: &[&str]| {
        let output = ran(&place.data(), &[&["export", "--parquet", place.at(name).to_str().unwrap()], more].concat());
        let noted = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{noted}");
        noted
    };
    let what = "told by that bundle (--data)";
    // One that goes on over the bundles, one without anything new, and one that is begun with them.
    assert_eq!(noted("export", &[]), "");
    assert_eq!(noted("export", &[]), "");
    assert_eq!(noted("whole", &["--bundles", place.data().join("archive").to_str().unwrap()]), "");
    assert!(noted("rest", &[]).contains(what), "one that is begun without them lacks it");
    place.go_on(2_000, 17);
    place.move_bundles();
    for _ in ["with something new", "and without"] {
        let noted = noted("export", &[]);
        assert!(noted.contains(what), "one that cannot be whole lacks it: {noted}");
    }
}

/// A directory that was made for an export that is refused goes again; one that was there stays.
#[test]
fn a_first_export_that_is_refused_leaves_nothing() {
    let place = Place::new();
    let bundles = place.move_bundles();
    fs::remove_dir_all(&bundles).unwrap();
    fs::create_dir(&bundles).unwrap();
    let first = place.at("first");
    let asked = ["export", "--parquet", first.to_str().unwrap(), "--bundles", bundles.to_str().unwrap()];
    for is_there in [false, true] {
        if is_there {
            fs::create_dir(&first).unwrap();
        }
        let (code, id, message) = failure(&place.data(), &asked);
        assert_eq!((code, id.as_str()), (2, "archived"), "{message}");
        assert_eq!(first.exists(), is_there);
    }
    assert_eq!(fs::read_dir(&first).unwrap().count(), 0);
}
