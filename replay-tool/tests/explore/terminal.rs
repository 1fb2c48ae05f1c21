//! The program on a pseudo-terminal: keys in, text out, and the terminal as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use rustix::process::{Signal, WaitOptions, waitpid};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::Entry;
use tachograph_engine::ports::{Draft, Journal};
use tempfile::TempDir;

use crate::kept::run;
use crate::made::Made;
use crate::pty::Pty;

/// A data directory with the made journal, closed.
fn made() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(data.path(), JournalOptions::default()).unwrap();
    let draft = |entry: &Entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body.clone() };
    run(journal.append(Made::journal().entries.iter().map(draft).collect())).unwrap();
    run(Box::new(journal).close()).unwrap();
    data
}

/// Every file with its bytes, and every file and directory with its modification time.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
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

#[test]
fn keys_lead_through_the_journal_and_the_terminal_is_given_back() {
    let data = made();
    let before = everything(data.path());
    let mut pty = Pty::tacho(data.path(), &["explore"], &[]);
    pty.shows(&["position 34 of 34", "runs: 5", "q quit"]);
    assert_ne!(pty.modes_now(), pty.modes_before, "no echo, every key at once");
    pty.keys("0").shows(&["before the first entry"]);
    pty.keys("\u{1b}[C").shows(&["position 1 of 34"]);
    pty.keys("r").shows(&["position 4 of 34", "REFUSED [wrong_runner]", "* refusals     1  (was 0)"]);
    pty.keys(":03:01:33.760\r").shows(&["position 8 of 34"]);
    pty.keys("\r").shows(&["entry 8", "the ready socket never appeared"]);
    pty.keys("\u{1b}").until("the panes again", |screen| !screen.text().contains("entry 8"));
    pty.keys("q");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    assert!(pty.has_left());
    assert_eq!(pty.modes_now(), pty.modes_before);
    assert_eq!(everything(data.path()), before, "nothing is written");
}

#[test]
fn a_run_and_a_position_to_begin_with() {
    let data = made();
    let mut pty = Pty::tacho(data.path(), &["explore", "nightly", "--at", "9"], &[]);
    pty.shows(&["position 9 of 34", "nightly: 3 of 5 entries", "* status       Started  (was Failed)"]);
    pty.keys("\u{3}");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    assert_eq!(pty.modes_now(), pty.modes_before);
    let mut pty = Pty::tacho(data.path(), &["explore", "nightyl"], &[]);
    let (code, stderr) = pty.ended();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("did you mean \"nightly\"?"), "{stderr}");
    assert!(pty.raw.is_empty(), "the terminal is not taken over for an error");
}

#[test]
fn signals_that_ask_for_an_end_give_the_terminal_back() {
    let data = made();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut pty = Pty::tacho(data.path(), &["explore"], &[]);
        pty.shows(&["position 34 of 34"]);
        pty.signal(signal);
        assert_eq!(pty.ended(), (Some(128 + signal.as_raw()), String::new()));
        assert!(pty.has_left(), "{signal:?}");
        assert_eq!(pty.modes_now(), pty.modes_before, "{signal:?}");
    }
}

#[test]
fn a_stop_gives_the_terminal_back_and_going_on_takes_it_again() {
    let data = made();
    let mut pty = Pty::tacho(data.path(), &["explore", "--at", "4"], &[]);
    pty.shows(&["position 4 of 34"]);
    for by_key in [false, true] {
        if by_key {
            pty.keys("\u{1a}");
        } else {
            pty.signal(Signal::TSTP);
        }
        let (_, status) = waitpid(Some(pty.pid()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
        assert!(pty.has_left());
        assert_eq!(pty.modes_now(), pty.modes_before);
        pty.signal(Signal::CONT);
        pty.until("its own screen", |screen| screen.is_other);
        pty.shows(&["position 4 of 34", "REFUSED [wrong_runner]", "q quit"]);
        assert_ne!(pty.modes_now(), pty.modes_before);
    }
    pty.keys("q");
    assert_eq!(pty.ended(), (Some(0), String::new()));
    assert_eq!(pty.modes_now(), pty.modes_before);
}

#[test]
fn another_size_is_drawn_anew() {
    let data = made();
    let mut pty = Pty::tacho(data.path(), &["explore"], &[]);
    pty.shows(&["position 34 of 34", "q quit"]);
    pty.resize(120, 40);
    // A row that only the larger screen has.
    pty.shows(&["position 34 of 34", "  18 03:02:34.387", "q quit"]);
    pty.resize(20, 5);
    let text = pty.shows(&["> 34 03:02:42", "┘\n? help"]);
    assert_eq!(text.lines().count(), 5, "{text}");
    pty.keys("q");
    assert_eq!(pty.ended().0, Some(0));
}

#[test]
fn colours_are_for_those_who_want_them() {
    let data = made();
    let has_color = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut pty = Pty::tacho(data.path(), arguments, variables);
        pty.shows(&["position 4 of 34", "REFUSED", "q quit"]);
        pty.keys("q");
        assert_eq!(pty.ended().0, Some(0));
        let raw = String::from_utf8_lossy(&pty.raw).into_owned();
        let colors = raw.split("\u{1b}[").filter_map(|part| part.split_once('m')).map(|(number, _)| number.to_owned());
        colors
            .flat_map(|numbers| numbers.split(';').map(str::to_owned).collect::<Vec<_>>())
            .any(|number| matches!(number.parse::<u8>(), Ok(30..=38 | 40..=48 | 90..=97 | 100..=107)))
    };
    assert!(has_color(&["explore", "--at", "4"], &[]));
    assert!(!has_color(&["explore", "--at", "4"], &[("NO_COLOR", "1")]));
    assert!(!has_color(&["explore", "--at", "4", "--color", "never"], &[]));
    assert!(has_color(&["explore", "--at", "4", "--color", "always"], &[("NO_COLOR", "1")]));
}

#[test]
fn without_a_terminal_it_says_what_is_missing() {
    let data = made();
    let without = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
        let output = command.args(arguments).env("TACHO_DATA", data.path()).stdin(Stdio::null()).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = without(&["explore"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("error[no_terminal]: `tacho explore` needs a terminal to read keys from"), "{text}");
    assert!(text.contains("help: run it in a terminal"), "{text}");
    let (code, text) = without(&["explore", "--format", "json"]);
    assert_eq!(code, Some(2));
    assert!(text.starts_with(r#"{"error":{"code":"invalid_input""#), "{text}");
    let mut pty = Pty::tacho(data.path(), &["explore"], &[("TERM", "dumb")]);
    let (code, text) = pty.ended();
    assert_eq!((code, pty.raw.len()), (Some(2), 0));
    assert!(text.contains("TERM says dumb"), "{text}");
}
