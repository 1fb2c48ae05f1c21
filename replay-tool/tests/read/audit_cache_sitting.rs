//! A prompt that is open for long: what happens to its tables and to the journal meanwhile.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::EntryId;
use tachograph_engine::ports::{Draft, Journal};

use crate::audit_cache::files;
use crate::audit_cache_large::large;
use crate::binary;
use crate::kept::run;
use crate::made::Made;
use crate::pty::Pty;

const PROMPT: &str = "tacho> ";
const REFUSALS: &str = "SELECT 'n' || count(*) AS n, max(action) FROM refusals";

fn asked(data: &Path, cache: &Path, sql: &str) -> (Option<i32>, String) {
    let cache = cache.display().to_string();
    let output = binary::ran(data, &["sql", sql, "--output", "csv", "--cache", &cache]);
    (output.status.code(), binary::stdout(&output))
}

fn prompt(data: &Path, cache: &Path) -> Pty {
    let cache = cache.display().to_string();
    let mut pty = Pty::tacho(data, &["sql", "--cache", &cache, "--output", "csv"], &[("TACHO_HISTORY", "")]);
    pty.writes(PROMPT);
    pty
}

/// Appends an entry that no refusal follows from.
fn append(data: &Path) {
    let mut journal = FileJournal::open(data, JournalOptions::default()).unwrap();
    let first = &Made::journal().entries[0];
    let draft = Draft { id: EntryId::from_u128(u128::MAX), ..binary::draft(first) };
    run(journal.append(vec![draft])).unwrap();
    run(Box::new(journal).close()).unwrap();
}

/// The files of the journal that are full.
fn full(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = files(&data.join("journal")).into_iter().collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    found.pop();
    assert!(!found.is_empty());
    found
}

#[test]
fn tables_that_were_deleted_under_a_prompt_are_not_mixed_up_with_those_that_another_process_made() {
    let (dir, data) = large();
    let cache = dir.path().join("cache");
    let mut pty = prompt(&data, &cache);
    pty.keys(&format!("{REFUSALS};\r")).writes("n100000").writes(PROMPT);
    fs::remove_dir_all(&cache).unwrap();
    append(&data);
    let others = "SELECT max(host) FROM sessions";
    asked(&data, &cache, others);
    let kept = binary::everything(&cache);
    // Nothing of what it asks for is new, and so nothing is written to its tables.
    pty.keys(&format!("{REFUSALS};\r")).writes("n100000").writes(PROMPT);
    assert!(binary::everything(&cache) == kept, "what another process made is left alone");
    pty.keys(".cache\r").writes("used").writes("no: ").writes(PROMPT).keys("\u{4}");
    assert_eq!(pty.ended().0, Some(0));
    let (code, rows) = asked(&data, &cache, REFUSALS);
    assert!(code == Some(0) && rows.contains("n100000"), "{code:?}: {rows}");
}

#[test]
fn damage_that_comes_during_a_sitting_is_told_there_and_afterwards() {
    let (dir, data) = large();
    let cache = dir.path().join("cache");
    let mut pty = prompt(&data, &cache);
    pty.keys(&format!("{REFUSALS};\r")).writes("n100000").writes(PROMPT);
    append(&data);
    let file = &full(&data)[0];
    let (bytes, modified) = (fs::read(file).unwrap(), fs::metadata(file).unwrap().modified().unwrap());
    let middle = bytes.len() / 2;
    let opened = fs::File::options().write(true).open(file).unwrap();
    opened.write_all_at(&[bytes[middle] ^ 1], middle as u64).unwrap();
    opened.set_modified(modified).unwrap();
    // What can be read is told as by tables of its own.
    pty.keys(&format!("{REFUSALS};\r")).writes("n90000").writes(PROMPT).keys("\u{4}");
    let (code, stderr) = pty.ended();
    assert!(code == Some(7) && stderr.contains("damaged"), "{code:?}: {stderr}");
    let alone = asked(&data, Path::new("off"), REFUSALS);
    assert_eq!(asked(&data, &cache, REFUSALS), alone);
    assert_eq!(alone.0, Some(7), "{}", alone.1);
}
