//! What each command prints, byte by byte, in both formats. `TACHO_GOLDEN=write` writes the files anew.

use std::path::Path;

use tachograph_replay::cli::{RunsArgs, ShowArgs, TailArgs, TimelineArgs};
use tachograph_replay::output::Format;
use tachograph_replay::{runs, show, tail, timeline};

use crate::kept::printed;
use crate::made::{BUILD, BUILD_AGAIN, LOUD, NAMELESS, NEVER, NIGHTLY};

fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read/golden").join(file);
    if std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "{file}, line {}", number + 1);
    }
    assert_eq!(text, expected, "{file}");
}

#[test]
fn runs_are_listed() {
    for (format, file) in [(Format::Json, "runs.json"), (Format::Text, "runs.txt")] {
        let text = printed(format, async |reading| runs::list(reading, &RunsArgs::default()).await).unwrap();
        check(file, &text);
    }
}

#[test]
fn a_run_is_shown() {
    for (run, name) in
        [(BUILD, "build"), (NIGHTLY, "nightly"), (BUILD_AGAIN, "build-again"), (NAMELESS, "nameless"), (LOUD, "loud")]
    {
        let args = ShowArgs { run: run.to_owned(), at: None };
        let json = printed(Format::Json, async |reading| show::show(reading, &args).await).unwrap();
        check(&format!("show-{name}.json"), &json);
        let text = printed(Format::Text, async |reading| show::show(reading, &args).await).unwrap();
        check(&format!("show-{name}.txt"), &text);
    }
}

#[test]
fn a_history_is_told() {
    for (run, name) in [(BUILD, "build"), (NIGHTLY, "nightly"), (BUILD_AGAIN, "build-again"), (NEVER, "never")] {
        let args = TimelineArgs { run: run.to_owned() };
        let json = printed(Format::Json, async |reading| timeline::tell(reading, &args).await).unwrap();
        check(&format!("timeline-{name}.json"), &json);
        let text = printed(Format::Text, async |reading| timeline::tell(reading, &args).await).unwrap();
        check(&format!("timeline-{name}.txt"), &text);
    }
}

#[test]
fn the_end_of_the_journal_is_printed() {
    let args = TailArgs { follow: false, lines: 100, after: None };
    for (format, file) in [(Format::Json, "tail.jsonl"), (Format::Text, "tail.txt")] {
        let text = printed(format, async |reading| tail::print(reading, &args).await.map(|_| ())).unwrap();
        check(file, &text);
    }
}
