//! Tables that stay filled are used only if they are exactly as they were left, by this program, in this boot, of this very
//! journal, in a place that is the user's alone. Else they are made anew, or not at all; the answer is always the same.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::audit_cache::{Place, files, whole};
use crate::binary::{self, copy, everything};

const SQL: &str = "SELECT run, name, status, attempts, command FROM runs";

/// A place with filled tables, and what they answer.
fn filled() -> (Place, String) {
    let place = Place::made();
    let rows = place.alone(&["sql", SQL]);
    assert_eq!(place.asked(&["sql", SQL]), rows);
    assert!(place.is_used(SQL), "what is left alone is used");
    (place, rows)
}

/// Whether tables are used as they are, and otherwise made anew; the answer is right in any case.
fn is_used_and_right(place: &Place, rows: &str, what: &str) -> bool {
    let kept = everything(place.dir.path());
    let is_used = place.is_used(SQL);
    if is_used {
        assert!(everything(place.dir.path()).len() >= kept.len(), "{what}");
    }
    assert_eq!(place.asked(&["sql", SQL]), rows, "{what}");
    assert!(place.is_used(SQL), "{what}: they are made anew");
    is_used
}

fn card(place: &Place) -> Value {
    serde_json::from_slice(&fs::read(place.file("card")).unwrap()).unwrap()
}

fn put_card(place: &Place, card: &Value) {
    fs::write(place.file("card"), serde_json::to_vec(card).unwrap()).unwrap();
}

/// Says that the tables are as they were left, which they are not.
fn stamped_anew(place: &Place) {
    let found = fs::metadata(place.file("tables")).unwrap();
    let mut card = card(place);
    card["stamp"] = json!({
        "device": found.dev(), "inode": found.ino(), "bytes": found.size(),
        "modified": [found.mtime(), found.mtime_nsec()], "changed": [found.ctime(), found.ctime_nsec()],
    });
    put_card(place, &card);
}

#[test]
fn a_card_of_which_a_word_is_not_so_is_none() {
    let (place, rows) = filled();
    for (word, other) in [
        ("/maker/format", json!(2)),
        ("/maker/version", json!("0.0.0")),
        ("/maker/executable/inode", json!(1)),
        ("/maker/dictionary", json!("00")),
        ("/maker/boot_id", json!("boot-0")),
        ("/holding/journal", json!("01KAJ2AAAA0000000000000001")),
        ("/holding/chain", json!("00")),
        ("/holding/reached", json!(1)),
        ("/holding/reached", json!(1_000)),
        ("/holding/archived", json!(1)),
        ("/holding/files/full", json!(0)),
        ("/holding/files/digest", json!("00")),
        ("/holding/files/last", json!(["00000000000000000001.seg", 1])),
        ("/stamp/bytes", json!(1)),
        ("/stamp/inode", json!(1)),
        ("/stamp/changed", json!([1, 1])),
        ("/stamp/modified", json!([1, 1])),
    ] {
        let mut changed = card(&place);
        assert_ne!(changed.pointer(word), Some(&other));
        *changed.pointer_mut(word).unwrap() = other;
        put_card(&place, &changed);
        assert!(!is_used_and_right(&place, &rows, word), "{word}");
    }
    // The same words again are good.
    put_card(&place, &card(&place));
    assert!(is_used_and_right(&place, &rows, "the same"));
    for (what, bytes) in [("empty", vec![]), ("no JSON", b"{".to_vec()), ("long", vec![b' '; 2 << 20])] {
        fs::write(place.file("card"), bytes).unwrap();
        assert!(!is_used_and_right(&place, &rows, what), "{what}");
    }
    let elsewhere = place.dir.path().join("elsewhere.card");
    fs::rename(place.file("card"), &elsewhere).unwrap();
    assert!(!is_used_and_right(&place, &rows, "gone"));
    fs::rename(place.file("card"), &elsewhere).unwrap();
    symlink(&elsewhere, place.file("tables").with_extension("card")).unwrap();
    assert!(!is_used_and_right(&place, &rows, "a link"));
    let mode = |mode| fs::set_permissions(place.file("card"), Permissions::from_mode(mode)).unwrap();
    mode(0o660);
    assert!(!is_used_and_right(&place, &rows, "others may write it"));
    fs::write(place.file("tables").with_extension("tables-journal"), "left by nobody").unwrap();
    assert!(!is_used_and_right(&place, &rows, "a journal of SQLite"));
}

#[test]
fn another_boot_begins_anew() {
    let (place, rows) = filled();
    let place = Place { boot: "boot-2", ..place };
    assert!(!is_used_and_right(&place, &rows, "another boot"));
    let nameless = Place { boot: "", ..place };
    assert!(!nameless.is_cached(SQL), "without a boot id nothing is known of the file");
    assert_eq!(nameless.asked(&["sql", SQL]), rows);
}

#[test]
fn tables_that_anybody_wrote_to_are_not_read() {
    let (place, rows) = filled();
    let bytes = fs::read(place.file("tables")).unwrap().len();
    for at in (0..bytes).step_by(bytes / 24).chain([bytes - 1]) {
        let file = place.file("tables");
        let mut written = fs::read(&file).unwrap();
        let at = at.min(written.len() - 1);
        written[at] ^= 0x41;
        fs::write(&file, &written).unwrap();
        assert!(!is_used_and_right(&place, &rows, &format!("byte {at}")));
    }
    for length in [0, 100, 4_096, 10_000] {
        OpenOptions::new().write(true).open(place.file("tables")).unwrap().set_len(length).unwrap();
        assert!(!is_used_and_right(&place, &rows, &format!("{length} bytes")));
    }
    let elsewhere = place.dir.path().join("elsewhere.tables");
    fs::copy(place.file("tables"), &elsewhere).unwrap();
    for is_link in [false, true] {
        fs::remove_file(place.file("tables")).unwrap();
        let file = place.file("card").with_extension("tables");
        if is_link {
            symlink(&elsewhere, file).unwrap()
        } else {
            assert!(fs::copy(&elsewhere, file).unwrap() > 0)
        }
        assert!(!is_used_and_right(&place, &rows, "another file"));
    }
    fs::hard_link(place.file("tables"), place.dir.path().join("twice")).unwrap();
    assert!(!is_used_and_right(&place, &rows, "a second name"));
}

/// Somebody who makes the card right as well: SQLite's own errors, and a schema that is not ours.
#[test]
fn what_sqlite_cannot_read_or_has_more_in_it_is_not_used() {
    let (place, rows) = filled();
    for (what, from, to) in [("no header", 0, 16), ("no schema", 100, 4_096), ("no pages", 4_096, usize::MAX)] {
        let file = place.file("tables");
        let mut written = fs::read(&file).unwrap();
        let to = to.min(written.len());
        written[from..to].fill(0xff);
        fs::write(&file, &written).unwrap();
        stamped_anew(&place);
        assert_eq!(place.asked(&["sql", SQL]), rows, "{what}");
        assert_eq!(place.asked(&["sql", SQL]), rows, "{what}");
        assert!(place.is_used(SQL), "{what}: they are made anew");
    }
    OpenOptions::new().write(true).open(place.file("tables")).unwrap().set_len(8_192).unwrap();
    stamped_anew(&place);
    assert_eq!(place.asked(&["sql", SQL]), rows);
    assert_eq!(place.asked(&["sql", SQL]), rows);
    for more in [
        "CREATE TABLE more(x)",
        "CREATE VIEW more AS SELECT 1",
        "CREATE INDEX more ON runs(name)",
        "CREATE TRIGGER more AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        "DROP INDEX runs_by_run",
        "ALTER TABLE runs RENAME COLUMN name TO title",
    ] {
        assert!(place.is_used(SQL), "{more}");
        let database = rusqlite::Connection::open(place.file("tables")).unwrap();
        database.execute_batch(more).unwrap();
        drop(database);
        stamped_anew(&place);
        assert!(!is_used_and_right(&place, &rows, more), "{more}");
    }
}

#[test]
fn another_journal_in_its_place_has_other_tables() {
    let (place, rows) = filled();
    // A copy, which may be damaged where the journal is not, has tables of its own.
    let copied = Place { data: place.dir.path().join("copied"), ..Place::made() };
    copy(&place.data, &copied.data);
    let copied = Place { cache: place.cache.clone(), ..copied };
    assert!(!copied.is_used(SQL));
    assert_eq!(copied.asked(&["sql", SQL]), rows);
    assert_eq!(files(&place.cache).len(), 6, "{:?}", files(&place.cache));
    fs::remove_dir_all(&place.cache).unwrap();
    // A full file of the journal that was written to, or restored, is read again.
    place.asked(&["sql", SQL]);
    let mut segments: Vec<_> = files(&place.data.join("journal")).into_iter().collect();
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    File::options().write(true).open(&segments[1]).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(!is_used_and_right(&place, &rows, "another time"));
    // So is one that was written to, and given its time again.
    let bytes = fs::read(&segments[1]).unwrap();
    let modified = fs::metadata(&segments[1]).unwrap().modified().unwrap();
    let segment = File::options().write(true).open(&segments[1]).unwrap();
    segment.write_all_at(&bytes[..1], 0).unwrap();
    segment.set_modified(modified).unwrap();
    assert!(!is_used_and_right(&place, &rows, "written to"));
    fs::remove_file(&segments[1]).unwrap();
    fs::write(&segments[1], &bytes).unwrap();
    assert!(!is_used_and_right(&place, &rows, "restored"));
    // What is damaged is told as without, and nothing is left of it.
    let mut damaged = bytes;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&segments[1], damaged).unwrap();
    assert_eq!(place.asked(&["sql", SQL]), place.alone(&["sql", SQL]));
    assert_eq!(place.asked(&["sql", SQL]), place.alone(&["sql", SQL]));
    assert!(!place.is_cached(SQL));
    assert_eq!(files(&place.cache).len(), 1, "the lock alone: {:?}", files(&place.cache));
}

/// What the binary says on standard error, of which no journal here is large.
fn told(place: &Place, cache: &Path) -> (String, bool) {
    let place =
        Place { cache: cache.to_owned(), dir: tempfile::tempdir().unwrap(), data: place.data.clone(), boot: "boot-1" };
    let explained = place.explained(SQL);
    let of_cache: Vec<String> = explained.into_iter().filter(|(step, _)| step == "cache").map(|(_, is)| is).collect();
    (of_cache.join("\n"), of_cache.contains(&"used: yes".to_owned()))
}

#[test]
fn a_place_that_is_not_the_users_alone_is_not_used() {
    let (place, rows) = filled();
    let set = |mode| fs::set_permissions(&place.cache, Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&place.cache).unwrap().mode() & 0o777, 0o700);
    for file in files(&place.cache) {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
    }
    for mode in [0o777, 0o770, 0o1777] {
        set(mode);
        let (why, is_used) = told(&place, &place.cache);
        assert!(!is_used && why.contains("others may write to it"), "{why}");
        assert_eq!(place.asked(&["sql", SQL]), rows);
    }
    set(0o755);
    assert!(place.is_used(SQL), "that others may look which files there are does no harm");
    // What is no directory, lies among the evidence, or cannot be made.
    let file = place.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let before = everything(&place.data);
    for (cache, why) in [
        (file.clone(), "no directory of this user"),
        (file.join("below"), "Not a directory"),
        (place.data.join("cache"), "among the evidence"),
        (place.data.clone(), "among the evidence"),
        (Path::new("/proc/self/nowhere").to_owned(), "is not used"),
    ] {
        let (told, is_used) = told(&place, &cache);
        assert!(!is_used && told.contains(why), "{}: {told}", cache.display());
    }
    assert!(everything(&place.data) == before);
}

/// Gives a file to another user. Only root can, and as root of a namespace only to a user that it knows; that is said.
fn is_given_away(file: &Path) -> bool {
    match chown(file, Some(1), None) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("SKIPPED: no file can be given to another user here: {error}");
            false
        }
    }
}

#[test]
fn what_another_user_owns_is_not_used() {
    let (place, rows) = filled();
    let own = fs::metadata(&place.cache).unwrap().uid();
    if !is_given_away(&place.cache) {
        return;
    }
    let (why, is_used) = told(&place, &place.cache);
    assert!(!is_used && why.contains("no directory of this user"), "{why}");
    chown(&place.cache, Some(own), None).unwrap();
    assert!(is_given_away(&place.file("tables")));
    stamped_anew(&place);
    assert!(!is_used_and_right(&place, &rows, "another user's file"));
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let (place, rows) = filled();
    let victim = place.dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    for ending in ["tables", "card", "card-draft", "lock", "tables-journal"] {
        let file = place.file("lock").with_extension(ending);
        let _ = fs::remove_file(&file);
        symlink(&victim, &file).unwrap();
        assert_eq!(place.asked(&["sql", SQL]), rows, "{ending}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{ending}");
        if ending == "lock" {
            assert!(!place.is_cached(SQL));
            fs::remove_file(&file).unwrap();
            place.asked(&["sql", SQL]);
        }
        assert!(place.is_used(SQL), "{ending}");
    }
}

#[test]
fn what_another_process_uses_is_left_alone() {
    let (place, rows) = filled();
    let held = File::open(place.file("lock")).unwrap();
    held.lock().unwrap();
    let before = everything(&place.cache);
    assert_eq!(place.asked(&["sql", SQL]), rows);
    let explained = place.explained(SQL);
    assert!(explained.contains(&("cache".to_owned(), "used: no: another process uses it".to_owned())), "{explained:?}");
    assert!(everything(&place.cache) == before);
    held.unlock().unwrap();
    assert!(place.is_used(SQL));
}

#[test]
fn of_many_journals_those_go_that_were_used_longest_ago() {
    let place = Place::made();
    fs::create_dir(&place.cache).unwrap();
    fs::set_permissions(&place.cache, Permissions::from_mode(0o700)).unwrap();
    let name = |number: u32, ending: &str| place.cache.join(format!("01KAJ2AAAA{number:016}-{number:016x}.{ending}"));
    for number in 0..12 {
        for ending in ["tables", "card", "lock", "tables-journal"] {
            fs::write(name(number, ending), "old").unwrap();
            fs::set_permissions(name(number, ending), Permissions::from_mode(0o600)).unwrap();
        }
        let used = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + u64::from(number));
        File::options().write(true).open(name(number, "lock")).unwrap().set_modified(used).unwrap();
    }
    for foreign in ["notes.tables", "01KAJ2AAAA0000000000000001.card", "README"] {
        fs::write(place.cache.join(foreign), "mine").unwrap();
    }
    // Somebody is at the oldest of all.
    let held = File::open(name(0, "lock")).unwrap();
    held.lock().unwrap();
    place.asked(&["sql", SQL]);
    assert!(place.is_cached(SQL));
    let there = |number: u32| name(number, "tables").exists() && name(number, "lock").exists();
    let left: Vec<u32> = (0..12).filter(|number| there(*number)).collect();
    assert_eq!(left, [0, 5, 6, 7, 8, 9, 10, 11], "7 others and what is in use");
    for foreign in ["notes.tables", "01KAJ2AAAA0000000000000001.card", "README"] {
        assert_eq!(fs::read_to_string(place.cache.join(foreign)).unwrap(), "mine");
    }
    assert_eq!(files(&place.cache).len(), 8 * 4 + 3 + 3, "{:?}", files(&place.cache));
}

#[test]
fn a_journal_has_them_and_not_a_byte_of_it_is_changed() {
    let place = Place::made();
    let before = everything(&place.data);
    for sql in whole() {
        place.asked(&["sql", &sql]);
        assert!(place.is_used(&sql), "{sql}");
    }
    assert!(everything(&place.data) == before);
    let output = binary::ran(&place.data, &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", binary::stderr(&output));
}
