//! Whether the last writer still lives, and how long what it left open lasted.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tachograph_engine::domain::Entry;
use tachograph_engine::domain::Position;
use tachograph_replay::cli::{RunsArgs, ShowArgs, TimelineArgs};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::Format;
use tachograph_replay::when::AsOf;
use tachograph_replay::{runs, show, timeline};
use tempfile::TempDir;

use crate::binary::{ran, stderr, stdout};
use crate::kept::{Entries, printed, printed_of};
use crate::made::{BUILD, BUILD_AGAIN, Made};

const HOST: &str = "build-3";
const BOOT: &str = "6f9c2e4e-0000-4000-8000-000000000001";

/// The made journal as a crash would have left it: pid 4800 opened it 90 s after the boot.
fn unclosed() -> Dataset {
    let mut entries: Vec<Entry> = Made::journal().entries;
    entries.pop();
    Dataset::over(Arc::new(Entries { entries, damaged: None }), Path::new("made"))
}

/// A directory like `/proc` with process 4800, in a state and begun so many ticks after the boot.
fn processes(state: char, start_ticks: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("4800")).unwrap();
    let zeros = "0 ".repeat(18);
    let stat = format!("4800 (a) b) {state} {zeros}{start_ticks} 0\n");
    std::fs::write(dir.path().join("4800").join("stat"), stat).unwrap();
    dir
}

/// What `show`, `runs` and `timeline` say in JSON about the writer of the run that waits.
fn said(machine: &Machine) -> [Value; 3] {
    let show_args = ShowArgs { run: BUILD_AGAIN.to_owned(), at: None };
    let show_text =
        printed_of(unclosed(), machine.clone(), Format::Json, async |reading| show::show(reading, &show_args).await);
    let runs_text = printed_of(unclosed(), machine.clone(), Format::Json, async |reading| {
        runs::list(reading, &RunsArgs::default()).await
    });
    let timeline_args = TimelineArgs { run: BUILD_AGAIN.to_owned() };
    let timeline_text = printed_of(unclosed(), machine.clone(), Format::Json, async |reading| {
        timeline::tell(reading, &timeline_args).await
    });
    let shown: Value = serde_json::from_str(&show_text.unwrap()).unwrap();
    let list: Vec<Value> = serde_json::from_str(&runs_text.unwrap()).unwrap();
    let told: Value = serde_json::from_str(&timeline_text.unwrap()).unwrap();
    for ended in list.iter().filter(|run| run["run"] != BUILD_AGAIN) {
        assert_eq!(ended["writer"], Value::Null, "{ended}");
    }
    let listed = list.iter().find(|run| run["run"] == BUILD_AGAIN).unwrap();
    [shown["writer"].clone(), listed["writer"].clone(), told["writer"].clone()]
}

#[test]
fn a_writer_is_alive_gone_or_unknown() {
    let nobody = TempDir::new().unwrap();
    let lives = processes('S', 8_000);
    let dead = processes('Z', 8_000);
    // The writer's own start is counted in whole ticks and told by another clock; whoever began later is another one.
    let at_once = processes('S', 9_001);
    let soon = processes('S', 9_003);
    let later = processes('S', 9_500);
    for (host, boot, processes, expected) in [
        (HOST, BOOT, lives.path(), "alive"),
        (HOST, BOOT, nobody.path(), "gone"),
        (HOST, BOOT, dead.path(), "gone"),
        (HOST, BOOT, at_once.path(), "alive"),
        (HOST, BOOT, soon.path(), "gone"),
        (HOST, BOOT, later.path(), "gone"),
        (HOST, BOOT, Path::new("/nowhere/at/all"), "unknown"),
        ("build-4", BOOT, lives.path(), "unknown"),
        (HOST, "another", nobody.path(), "unknown"),
    ] {
        let said = said(&Machine::of(host, boot, processes));
        assert_eq!(said, [expected, expected, expected], "{host} {boot} {}", processes.display());
    }
}

fn text_of_runs(machine: &Machine, args: &RunsArgs) -> String {
    printed_of(unclosed(), machine.clone(), Format::Text, async |reading| runs::list(reading, args).await).unwrap()
}

fn text_of_show(machine: &Machine, at: Option<AsOf>) -> String {
    let args = ShowArgs { run: BUILD_AGAIN.to_owned(), at };
    printed_of(unclosed(), machine.clone(), Format::Text, async |reading| show::show(reading, &args).await).unwrap()
}

#[test]
fn an_open_run_lasts_until_now_only_while_its_writer_may_go_on() {
    let (nobody, lives) = (TempDir::new().unwrap(), processes('S', 8_000));
    let (gone, alive) = (Machine::of(HOST, BOOT, nobody.path()), Machine::of(HOST, BOOT, lives.path()));
    let waiting = |text: &str| text.lines().find(|line| line.contains(BUILD_AGAIN)).unwrap().to_owned();
    let all = RunsArgs::default();
    assert!(waiting(&text_of_runs(&alive, &all)).contains("  2h57m  "), "{}", text_of_runs(&alive, &all));
    assert!(waiting(&text_of_runs(&gone, &all)).contains("    7.9s  "), "{}", text_of_runs(&gone, &all));
    assert!(text_of_runs(&gone, &all).ends_with("open: 1; the writer, pid 4800, is gone\n"));
    assert!(text_of_runs(&alive, &all).ends_with("open: 1; the writer, pid 4800, is alive\n"));
    let lasted = |text: &str| text.lines().find(|line| line.starts_with("lasted")).unwrap().to_owned();
    assert!(lasted(&text_of_show(&alive, None)).ends_with(" 2h57m"), "{}", text_of_show(&alive, None));
    assert!(lasted(&text_of_show(&gone, None)).ends_with(" 7.9s"), "{}", text_of_show(&gone, None));
    assert!(text_of_show(&gone, None).contains("pid 4800, is gone"));
    let args = TimelineArgs { run: BUILD_AGAIN.to_owned() };
    let told = printed_of(unclosed(), gone, Format::Text, async |reading| timeline::tell(reading, &args).await);
    assert!(told.unwrap().ends_with("; its writer, pid 4800, is gone\n"));
}

#[test]
fn a_run_as_it_was_lasted_until_the_last_entry_by_then() {
    // Created at position 2, 250 ms after the start; started 10 ms later.
    let at = Some(AsOf::Position(Position(3)));
    let args = RunsArgs { at, ..RunsArgs::default() };
    let text = printed(Format::Text, async |reading| runs::list(reading, &args).await).unwrap();
    assert!(text.contains("  10.0ms  ") || text.contains("  10ms  "), "{text}");
    assert!(!text.contains("writer"), "{text}");
    let args = ShowArgs { run: BUILD.to_owned(), at };
    let text = printed(Format::Text, async |reading| show::show(reading, &args).await).unwrap();
    assert!(text.lines().any(|line| line.starts_with("lasted") && line.contains(" 10")), "{text}");
}

#[test]
fn a_killed_writer_is_told_from_a_live_one() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacho"));
    command.arg("--data").arg(&data).args(["run", "--name", "long", "--", "cat"]);
    // It reads until the pipe is closed, which this test holds open.
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let writer = || {
        let output = ran(&data, &["--format", "json", "show", "long"]);
        if output.status.code() != Some(0) {
            return Value::String(stderr(&output));
        }
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()["writer"].clone()
    };
    let begun = std::time::Instant::now();
    while writer() != "alive" && begun.elapsed() < std::time::Duration::from_secs(120) {
        std::thread::yield_now();
    }
    assert_eq!(writer(), "alive");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(writer(), "gone");
    assert!(stdout(&ran(&data, &["runs"])).contains("is gone"));
}
