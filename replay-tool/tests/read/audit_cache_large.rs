//! The binary and a journal that is large: its tables stay filled where the environment says, from one prompt to the next.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::EntryId;
use tachograph_engine::ports::{Draft, Journal};
use tempfile::TempDir;

use crate::audit_cache::files;
use crate::binary::{self, everything};
use crate::kept::run;
use crate::made::{Made, NEVER};
use crate::pty::Pty;

const ENTRIES: usize = 100_000;
/// What the journal takes, and its tables twice; and tables are only filled where four times what they may take is free.
const ROOM_BYTES: u64 = 160 << 20;
const PROMPT: &str = "tacho> ";

/// A journal with as many refusals as make it large.
pub(crate) fn large() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let options = JournalOptions { segment_bytes: 4 << 20, ..JournalOptions::default() };
    let mut journal = FileJournal::open(&data, options).unwrap();
    let never = NEVER.parse().unwrap();
    let refused = Made::journal().entries.into_iter().find(|entry| entry.run() == Some(never)).unwrap();
    for first in (0..ENTRIES).step_by(10_000) {
        let draft = |number: usize| Draft { id: EntryId::from_u128(number as u128 + 1), ..binary::draft(&refused) };
        run(journal.append((first..first + 10_000).map(draft).collect())).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
    (dir, data)
}

fn asked(data: &Path, variables: &[(&str, &Path)], arguments: &[&str]) -> (String, String) {
    let mut command = binary::tacho(data);
    command.env_remove("TACHO_CACHE").env_remove("XDG_CACHE_HOME").env_remove("HOME");
    let output = command.envs(variables.iter().copied()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", binary::stderr(&output));
    (binary::stdout(&output), binary::stderr(&output))
}

/// Whether there is room for all of it; that fails instead if nothing may be left out.
fn has_room() -> bool {
    let place = std::env::temp_dir();
    let found = rustix::fs::statvfs(&place).unwrap();
    let has_room = found.f_bavail.saturating_mul(found.f_frsize) >= ROOM_BYTES;
    if !has_room {
        let why = format!("tables of a large journal need {} MiB free in {}", ROOM_BYTES >> 20, place.display());
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
    }
    has_room
}

#[test]
fn a_second_process_finds_what_the_first_one_filled() {
    if !has_room() {
        return;
    }
    let (dir, data) = large();
    let before = everything(&data);
    let home = dir.path().join("home");
    let (caches, of_home) = (home.join("caches"), home.join(".cache"));
    let explain = ["sql", "SELECT count(*) AS n, max(action) FROM refusals", "--explain", "--output", "csv"];
    for (variables, directory) in [
        (vec![("TACHO_CACHE", caches.as_path())], caches.clone()),
        (vec![("XDG_CACHE_HOME", of_home.as_path())], of_home.join("tacho/tables")),
        (vec![("HOME", home.as_path())], of_home.join("tacho/tables")),
    ] {
        let is_new = !directory.exists();
        let (told, notes) = asked(&data, &variables, &explain);
        assert_eq!(notes, "");
        assert_eq!(told.contains("read,100000 entries decoded"), is_new, "{told}");
        let (told, _) = asked(&data, &variables, &explain);
        assert!(told.contains("read,nothing: the tables are filled"), "{told}");
        assert!(told.contains(&format!("cache,file: {}", directory.canonicalize().unwrap().display())), "{told}");
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(files(&directory).len(), 3);
        let (rows, _) = asked(&data, &variables, &["sql", "SELECT count(*) AS n FROM refusals", "--output", "csv"]);
        assert_eq!(rows, "n\r\n100000\r\n");
    }
    // Without a home, or with one that cannot be used, there are none, and nobody is bothered.
    let little = ["sql", "SELECT max(action) FROM refusals WHERE position > 99990", "--explain", "--output", "csv"];
    let (told, notes) = asked(&data, &[], &little);
    assert!(told.contains("used: no: there is no home directory for it") && notes.is_empty(), "{told}{notes}");
    let (told, notes) = asked(&data, &[("HOME", Path::new("/proc/self"))], &explain);
    assert!(
        told.contains("is not used") && told.contains("100000 entries decoded") && notes.is_empty(),
        "{told}{notes}"
    );
    // Nor is anything made in the home of another user, as `sudo` may leave it.
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    if rustix::process::geteuid().is_root() && std::os::unix::fs::chown(&foreign, Some(1), None).is_ok() {
        for variables in [[("HOME", foreign.clone())], [("XDG_CACHE_HOME", foreign.join("caches"))]] {
            let variables = variables.each_ref().map(|(name, path)| (*name, path.as_path()));
            let (told, notes) = asked(&data, &variables, &explain);
            assert!(told.contains("is another user's") && notes.is_empty(), "{told}{notes}");
        }
    }
    assert_eq!(files(&foreign).len(), 0);
    // Who names one is told.
    let (told, notes) = asked(&data, &[("TACHO_CACHE", &data.join("tables"))], &little);
    assert!(told.contains("used: no") && notes.contains("among the evidence"), "{told}{notes}");
    let (told, notes) = asked(&data, &[("TACHO_CACHE", Path::new("off"))], &little);
    assert!(told.contains("used: no: it is off") && notes.is_empty(), "{told}{notes}");
    // A name alone is one in the working directory.
    for (variables, option) in
        [(vec![("TACHO_CACHE", Path::new("cachehere"))], &[][..]), (vec![], &["--cache", "./x/../here"])]
    {
        let mut command = binary::tacho(&data);
        command.env_remove("TACHO_CACHE").envs(variables).current_dir(&data).args(explain).args(option);
        let output = command.output().unwrap();
        let (told, notes) = (binary::stdout(&output), binary::stderr(&output));
        assert!(told.contains("used: no") && notes.contains("among the evidence"), "{told}{notes}");
    }
    prompts(&data, &caches);
    assert!(everything(&data) == before, "nothing is written beside the evidence");
}

fn prompts(data: &Path, caches: &Path) {
    let place = caches.display().to_string();
    let prompt = || {
        let mut pty = Pty::tacho(data, &["sql", "--cache", &place, "--output", "jsonl"], &[("TACHO_HISTORY", "")]);
        pty.writes(PROMPT);
        pty
    };
    let mut first = prompt();
    first.keys(".cache\r").writes("refusals: 100000 rows of action").writes(PROMPT);
    first.keys("SELECT 'n' || count(*), max(kind) FROM entries;\r").writes("n100000").writes(PROMPT);
    // Another one meanwhile has tables of its own.
    let mut second = prompt();
    second.keys("SELECT 'n' || count(*), max(kind) FROM entries;\r").writes("n100000").writes(PROMPT);
    second.keys(".cache\r").writes("another process uses it").writes(PROMPT).keys("\u{4}");
    assert_eq!(second.ended().0, Some(0));
    first.keys("\u{4}");
    assert_eq!(first.ended().0, Some(0));
    let mut third = prompt();
    third.keys(".explain\r").writes(PROMPT).keys("SELECT count(*), max(kind) FROM entries;\r");
    third.writes("used: yes").writes("nothing: the tables are filled").writes(PROMPT).keys("\u{4}");
    let (code, stderr) = third.ended();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}
