//! Every command that reads leaves the data directory as it was, and answers the same where nothing can be written.
//!
//! A command that is added goes into one of the two tables, or `every_command_is_known_here` fails.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use tachograph_replay::cli::Cli;

use crate::binary::{everything, made, stderr, stdout, tacho};
use crate::made::{BUILD, NEVER, NIGHTLY};

/// What is asked of the made journal: every command that reads, in each of its ways to read.
const QUESTIONS: &[&[&str]] = &[
    &["adopt"],
    &["archive", "--before", "2026-11-21T03:00:01Z"],
    &["audit"],
    &["audit", "outages"],
    &["audit", "exit-codes", "--show"],
    &["bisect", "--when", "count(status = \"Failed\") >= 1"],
    &["bisect", "--when", "count() >= 3", "--from", "3"],
    &["bisect", "--when", "run(\"nightly\").attempt > 1"],
    &["compare", BUILD, NIGHTLY],
    &["diff", "14", "25"],
    &["diff", "@14", "2026-11-21T03:02:35Z"],
    &["export", "--jsonl"],
    &["logs", "build"],
    &["ps"],
    &["recheck"],
    &["runs"],
    &["runs", "--at", "20"],
    &["show", "build"],
    &["sql", "SELECT * FROM entries, sessions, labels"],
    &["sql", "SELECT * FROM events JOIN refusals USING (run) ORDER BY random()", "--explain"],
    &["sql", "SELECT * FROM runs, attempts, snapshots, timers", "--run", "build", "--output", "csv"],
    &["sql", "--tables"],
    &["state"],
    &["state", "--at", "2026-11-21T03:02:35Z"],
    &["state", "--at", "19", "--all"],
    &["state", "--at", "19", "--run", "build"],
    &["tail", "-n", "100"],
    &["timeline", "nightly"],
    &["timeline", NEVER],
    &["timers", "--at", "18"],
    &["verify"],
    &["whatif", "--without", "stale_attempt,wrong_runner"],
    &["whatif", "--drop", "4"],
    &["why", "nightly"],
    &["why-timer", "build"],
];

/// Commands that write, some of them elsewhere, and those of which another test shows that they leave the journal alone.
const WRITERS: &[&str] = &[
    "run",
    "supervise",
    "report",
    "cancel-snapshot",
    "kill",
    "destroy",
    "restore",
    "import",
    "explore",
    "seal-key",
    "help",
];

const FORMATS: [&str; 2] = ["text", "json"];

#[test]
fn every_command_is_known_here() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let is_known = WRITERS.contains(&name) || QUESTIONS.iter().any(|question| question[0] == name);
        assert!(is_known, "put a line for `tacho {name}` into a table of this file");
    }
}

#[test]
fn no_question_changes_a_byte_or_a_time_or_makes_a_file() {
    let (dir, data) = made();
    let before = everything(dir.path());
    for question in QUESTIONS {
        for format in FORMATS {
            let output = tacho(&data).args(["--format", format]).args(*question).output().unwrap();
            assert!(is_answer(&output), "{question:?}: {:?} {}", output.status, stderr(&output));
            assert!(everything(dir.path()) == before, "{question:?} changed something");
        }
    }
}

/// Whether it is no failure of the command; of a run whose output was not kept it says so.
fn is_answer(output: &Output) -> bool {
    output.status.success() || stderr(output).contains("output_missing")
}

/// Runs `tacho` in a mount namespace of its own in which the directory is read-only; absent if that cannot be made here.
fn read_only_by_mount(data: &Path, arguments: &[&str]) -> Option<Output> {
    const SCRIPT: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 198
        if touch \"$1/probe\" 2>/dev/null; then exit 199; fi
        shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(data).arg(env!("CARGO_BIN_EXE_tacho")).args(arguments);
    command.env_remove("TACHO_LOG").env("TACHO_DATA", data).stdin(Stdio::null());
    let output = command.output().ok()?;
    let is_made = output.status.code().is_some_and(|code| code != 198 && !stderr(&output).starts_with("unshare:"));
    assert_ne!(output.status.code(), Some(199), "the mount can be written to");
    is_made.then_some(output)
}

/// Takes away all write permission, which binds everybody but root.
fn forbid_writing(path: &Path, mode: u32) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| forbid_writing(&entry.unwrap().path(), mode));
    }
    let kept = std::fs::metadata(path).unwrap().permissions().mode();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(kept & 0o777 & mode)).unwrap();
}

#[test]
fn every_question_is_answered_the_same_on_a_read_only_medium() {
    let (_dir, data) = made();
    let is_mounted = read_only_by_mount(&data, &["verify"]).is_some();
    if !is_mounted {
        assert!(
            std::env::var_os("TACHO_TEST_ALL").is_none(),
            "no read-only mount can be made here: root and unshare are needed"
        );
        println!("no read-only mount can be made here; permissions have to do");
    }
    let root = rustix::process::getuid().is_root();
    for question in QUESTIONS {
        for format in FORMATS {
            let arguments = [&["--format", format], *question].concat();
            let writable = tacho(&data).args(&arguments).output().unwrap();
            let output = match is_mounted {
                true => read_only_by_mount(&data, &arguments).unwrap(),
                false if root => continue,
                false => {
                    forbid_writing(&data, 0o555);
                    tacho(&data).args(&arguments).output().unwrap()
                }
            };
            assert!(is_answer(&output), "{question:?}: {}", stderr(&output));
            // Text says how long ago things were, which goes on between the two.
            let shown = |output: &Output| if format == "json" { steady(&stdout(output)) } else { String::new() };
            let told = |output: &Output| (output.status.code(), shown(output), stderr(output));
            assert_eq!(told(&output), told(&writable), "{question:?}");
        }
    }
}

/// Without what follows the clock: durations until now, in microseconds.
fn steady(text: &str) -> String {
    text.lines().filter(|line| !line.contains("_us\"")).collect()
}
