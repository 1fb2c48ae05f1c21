//! The binary itself: exit codes, messages, streams, and how it reads a copy.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tachograph_adapters::journal::{Durability, FileJournal, JournalOptions};
use tachograph_engine::domain::Entry;
use tachograph_engine::ports::{Draft, Journal};
use tempfile::TempDir;

use crate::kept::run;
use crate::made::{BUILD, BUILD_AGAIN, LOUD, Made, NEVER, NIGHTLY};

/// How long a child may take at most before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn tacho(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
    for name in ["TACHO_DATA", "TACHO_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("TACHO_DATA", data).env("TACHO_CACHE", "off").stdin(Stdio::null());
    command
}

pub(super) fn ran(data: &Path, arguments: &[&str]) -> Output {
    tacho(data).args(arguments).output().unwrap()
}

/// The same with a text on standard input.
pub(super) fn fed(data: &Path, arguments: &[&str], input: &str) -> Output {
    fed_in(Path::new("."), data, arguments, input)
}

/// The same in a working directory.
pub(super) fn fed_in(wd: &Path, data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = tacho(data);
    command.args(arguments).current_dir(wd).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What is too much for who has ended is nothing to the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(super) fn draft(entry: &Entry) -> Draft {
    Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() }
}

fn open(data: &Path) -> FileJournal {
    // Small segments, so that reading crosses from one to the next; the disk is waited for where one is full.
    let durability = Durability::Buffered;
    FileJournal::open(data, JournalOptions { segment_bytes: 2_048, durability, ..JournalOptions::default() }).unwrap()
}

/// A data directory with the made journal, closed.
pub(super) fn made() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut journal = open(&data);
    let entries = Made::journal().entries;
    for batch in entries.chunks(3) {
        let written = run(journal.append(batch.iter().map(draft).collect())).unwrap();
        assert_eq!(written, batch, "the made journal has the positions and back pointers of a real one");
    }
    run(Box::new(journal).close()).unwrap();
    (dir, data)
}

/// Every file with its bytes, and every file and directory with its modification time.
pub(super) fn everything(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let bytes = metadata.is_file().then(|| std::fs::read(&path).unwrap());
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (metadata.modified().unwrap(), bytes));
    }
    found
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

pub(super) const READ_COMMANDS: [&[&str]; 9] = [
    &["runs"],
    &["runs", "--at", "20"],
    &["show", "build"],
    &["timeline", "nightly"],
    &["timeline", NEVER],
    &["timers", "--at", "18"],
    &["why-timer", "build"],
    &["tail"],
    &["verify"],
];

#[test]
fn the_binary_prints_what_the_library_does() {
    let (_dir, data) = made();
    let golden = |name: &str| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read/golden");
        std::fs::read_to_string(dir.join(name)).unwrap()
    };
    for (arguments, file) in [
        (&["runs"][..], "runs.json"),
        (&["show", BUILD], "show-build.json"),
        (&["show", "nightly"], "show-nightly.json"),
        (&["show", "build"], "show-build-again.json"),
        (&["timeline", "01kaj2aaaa"], "timeline-build.json"),
        (&["timeline", NEVER], "timeline-never.json"),
        (&["timers", "--at", "17", "--run", "build"], "timers-early.json"),
        (&["why-timer", "05000000000000000000000001"], "why-timer-superseded.json"),
        (&["tail", "-n", "100"], "tail.jsonl"),
        (&["tail", "--after", "0"], "tail.jsonl"),
    ] {
        let output = tacho(&data).args(["--format", "json"]).args(arguments).output().unwrap();
        assert_eq!(stderr(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(stdout(&output), golden(file), "{arguments:?}");
    }
    assert_eq!(stdout(&ran(&data, &["tail", "-n", "2"])).lines().count(), 2);
    assert_eq!(stdout(&ran(&data, &["tail", "-n", "0"])), "");
    assert_eq!(stdout(&ran(&data, &["tail", "--after", "1000"])), "");
}

#[test]
fn a_copy_answers_the_same() {
    let (dir, data) = made();
    let evidence = dir.path().join("evidence");
    copy(&data, &evidence);
    for beside_the_journal in ["index", "LOCK", "checkpoints", "runs"] {
        let path = evidence.join(beside_the_journal);
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    let before = everything(&evidence);
    for arguments in READ_COMMANDS.iter().filter(|arguments| **arguments != ["verify"]) {
        let arguments = [&["--format", "json"][..], arguments].concat();
        assert_eq!(stdout(&ran(&evidence, &arguments)), stdout(&ran(&data, &arguments)), "{arguments:?}");
    }
    assert_eq!(ran(&evidence, &["verify"]).status.code(), Some(0));
    assert!(everything(&evidence) == before, "something changed");
}

#[test]
fn a_live_writer_is_read_beside_and_followed() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let entries = Made::journal().entries;
    let (first, second) = entries.split_at(20);
    let mut journal = open(&data);
    run(journal.append(first.iter().map(draft).collect())).unwrap();
    for arguments in READ_COMMANDS.iter().filter(|arguments| !arguments.contains(&NEVER)) {
        let output = ran(&data, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    }
    let mut child =
        tacho(&data).args(["--format", "json", "tail", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, received) = std::sync::mpsc::channel();
    let pump = std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = || {
        let line: serde_json::Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap()).unwrap();
        line["position"].as_u64().unwrap()
    };
    assert_eq!(next(), 20);
    for batch in second.chunks(2) {
        run(journal.append(batch.iter().map(draft).collect())).unwrap();
        for entry in batch {
            assert_eq!(next(), entry.position.0);
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    pump.join().unwrap();
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let (_dir, data) = made();
    for arguments in [&["runs"][..], &["--format", "json", "tail", "-n", "100"], &["timeline", "build"], &["--help"]] {
        let mut child = tacho(&data).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_follower_ends_with_its_reader_even_if_nothing_is_appended() {
    let (_dir, data) = made();
    let mut child = tacho(&data).args(["tail", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    let (sender, ended) = std::sync::mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || sender.send(child.wait().unwrap().code()));
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("pid {id} goes on")), Some(0));
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error() {
    let (_dir, data) = made();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = tacho(&data).arg("runs").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error[output]"), "{}", stderr(&output));
}

/// The exit code, the stable code and the message of a failure, in both formats.
fn failure(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let text = ran(data, arguments);
    let json = ran(data, &[&["--format", "json"][..], arguments].concat());
    assert_eq!(text.status.code(), json.status.code(), "{arguments:?}");
    assert_eq!((stdout(&text), stdout(&json)), (String::new(), String::new()), "{arguments:?}");
    let line = stderr(&json);
    assert_eq!(line.lines().count(), 1, "{line}");
    let error: serde_json::Value = serde_json::from_str(&line).unwrap();
    let code = error["error"]["code"].as_str().unwrap().to_owned();
    assert!(!error["error"]["remedy"].as_str().unwrap().is_empty(), "{line}");
    if code != "usage" {
        assert!(stderr(&text).starts_with(&format!("tacho: error[{code}]: ")), "{}", stderr(&text));
    }
    (text.status.code().unwrap(), code, error["error"]["message"].as_str().unwrap().to_owned())
}

#[test]
fn bad_input_is_a_typed_error() {
    let (_dir, data) = made();
    for (arguments, exit, code, part) in [
        (&["show", "biuld"][..], 3, "unknown_run", "there is no run \"biuld\""),
        (&["timeline", "01KAJ2AAAA0000000000000002"], 3, "unknown_run", "01KAJ2AAAA0000000000000002"),
        (&["show", NIGHTLY, "--at", "3"], 3, "unknown_run", "created at position 7"),
        (&["show", "01KAJ2BBB"], 4, "ambiguous_run", BUILD_AGAIN),
        (&["show", "\u{1b}[2J"], 3, "unknown_run", "\\u{1b}"),
        (&["why-timer", "0500"], 4, "ambiguous_snapshot", "snapshot 05000000000000000000000002"),
        (&["why-timer", "050"], 3, "unknown_snapshot", "no snapshot and no run \"050\""),
        (&["why-timer", "nightly"], 3, "unknown_snapshot", "no snapshot of run"),
        (&["why-timer", "01KAJ2BBB"], 4, "ambiguous_run", BUILD_AGAIN),
        (&["timers", "--run", "biuld"], 3, "unknown_run", "there is no run \"biuld\""),
        (&["timers", "--limit", "0"], 2, "usage", "--limit"),
        (&["runs", "--status", "done"], 2, "usage", "expected one of Created, Started"),
        (&["runs", "--label", "team"], 2, "usage", "expected KEY=VALUE"),
        (&["runs", "--since", "yesterday"], 2, "usage", "expected RFC 3339"),
        (&["runs", "--at", "-5"], 2, "usage", "-5"),
        (&["runs", "--limit", "0"], 2, "usage", "--limit"),
        (&["runs", "--frobnicate"], 2, "usage", "--frobnicate"),
        (&["tail", "--after", "x"], 2, "usage", "--after"),
        (&["tail", "--after", "1", "-n", "2"], 2, "usage", "cannot be used with"),
        (&["show"], 2, "usage", "RUN"),
        (&["frobnicate"], 2, "usage", "frobnicate"),
        (&["run", "--frobnicate", "--", "true"], 125, "usage", "--frobnicate"),
        (&["run"], 125, "usage", "CMD"),
    ] {
        let (exit_code, stable, message) = failure(&data, arguments);
        assert_eq!((exit_code, stable.as_str()), (exit, code), "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: {message}");
    }
}

#[test]
fn a_bad_place_is_a_typed_error_and_stays_as_it_was() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let before = everything(dir.path());
    for (place, part) in [(&missing, "does not exist"), (&file, "is a file"), (&empty, "directory `journal`")] {
        for arguments in READ_COMMANDS {
            let (exit, code, message) = failure(place, arguments);
            assert_eq!((exit, code.as_str()), (6, "no_journal"), "{arguments:?}: {message}");
            assert!(message.contains(part) && message.contains(place.to_str().unwrap()), "{arguments:?}: {message}");
        }
    }
    assert!(everything(dir.path()) == before, "something was made or changed");
    // What the system refuses to open, whoever asks.
    let endless = dir.path().join("endless");
    std::os::unix::fs::symlink(&endless, &endless).unwrap();
    for arguments in READ_COMMANDS {
        let (exit, code, message) = failure(&endless, arguments);
        assert_eq!((exit, code.as_str()), (6, "io"), "{arguments:?}: {message}");
        assert!(message.contains(endless.to_str().unwrap()), "{arguments:?}: {message}");
    }
}

pub(super) fn segments(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    assert!(segments.len() > 2, "the made journal spans several segments");
    segments
}

pub(super) fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let (_dir, data) = made();
    // The version of a segment header stands behind its magic, its checksum at its end; see docs/format.md.
    for path in segments(&data) {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..84]);
        bytes[84..88].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
    }
    for arguments in READ_COMMANDS {
        let (exit, code, message) = failure(&data, arguments);
        assert_eq!((exit, code.as_str()), (9, "newer_format"), "{arguments:?}: {message}");
        assert!(message.contains("99"), "{message}");
    }
}

#[test]
fn one_run_is_found_without_reading_the_rest() {
    let (_dir, data) = made();
    let first = segments(&data).remove(0);
    flip(&first, std::fs::metadata(&first).unwrap().len() as usize / 2);
    assert_eq!(ran(&data, &["runs"]).status.code(), Some(7), "the flipped byte is within an entry");
    for arguments in [&["show", LOUD][..], &["timeline", LOUD]] {
        let output = ran(&data, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn verify_names_file_and_offset_of_a_flipped_byte() {
    let (_dir, data) = made();
    let segment = segments(&data).remove(1);
    let middle = std::fs::metadata(&segment).unwrap().len() as usize / 2;
    flip(&segment, middle);
    let before = everything(&data);
    let text = ran(&data, &["verify"]);
    assert_eq!(text.status.code(), Some(7), "{}", stdout(&text));
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(stdout(&text).contains(name), "{}", stdout(&text));
    let json = ran(&data, &["verify", "--format", "json"]);
    assert_eq!(json.status.code(), Some(7));
    let report: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(report["sound"], false);
    let finding = &report["findings"][0];
    assert!(finding["file"].as_str().unwrap().ends_with(name), "{finding}");
    let offset = finding["offset"].as_u64().unwrap();
    assert!(offset <= middle as u64 && middle as u64 - offset < 4_096, "{finding}");
    assert!(everything(&data) == before, "something changed");
}

#[test]
fn verify_tells_a_torn_tail_from_a_missing_one() {
    let (_dir, data) = made();
    let last = segments(&data).pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    // Some bytes of a frame that was never completed: what a crash leaves.
    let mut torn = whole.clone();
    torn.extend_from_slice(&whole[whole.len() / 2..whole.len() / 2 + 20]);
    std::fs::write(&last, torn).unwrap();
    let output = ran(&data, &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("incomplete"), "{}", stdout(&output));
    // Acknowledged entries are gone: the anchor knows.
    let (_dir, data) = made();
    let last = segments(&data).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 30]).unwrap();
    let output = ran(&data, &["verify"]);
    assert_eq!(output.status.code(), Some(7), "{}", stdout(&output));
    assert!(stdout(&output).contains("missing"), "{}", stdout(&output));
}

#[test]
fn colour_is_for_terminals() {
    let (_dir, data) = made();
    let escapes = |arguments: &[&str]| stdout(&ran(&data, arguments)).contains('\u{1b}');
    assert!(!escapes(&["timeline", "build"]), "standard output is a pipe");
    assert!(escapes(&["timeline", "build", "--color", "always"]));
    assert!(!escapes(&["show", LOUD, "--color", "never"]));
    assert!(!escapes(&["--format", "json", "show", LOUD, "--color", "always"]), "JSON is never coloured");
}

/// Puts noise into every file of the writer's index.
fn spoil_index(data: &Path) {
    let mut open = vec![data.join("index")];
    let mut spoiled = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let length = std::fs::metadata(&path).unwrap().len().max(64);
            std::fs::write(&path, (0..length).map(|at| (at * 167 + at / 7) as u8).collect::<Vec<u8>>()).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled > 0, "there is an index");
}

#[test]
fn a_damaged_index_makes_no_noise_and_no_difference() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    for name in ["first", "second", "third"] {
        let output = ran(&data, &["run", "--name", name, "--", "true"]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{name}");
        let files = stdout(&ran(&data, &["show", name]));
        assert!(files.lines().any(|line| line.starts_with("files ")), "the run has files of its own: {files}");
        let before = stdout(&ran(&data, &["--format", "json", "runs"]));
        spoil_index(&data);
        assert_eq!(stdout(&ran(&data, &["--format", "json", "runs"])), before, "reading does not look at the index");
    }
    assert_eq!(stdout(&ran(&data, &["runs", "--status", "exited"])).lines().count(), 4, "three runs and a heading");
}
