//! What each command prints, byte by byte, in both formats. `TACHO_GOLDEN=write` writes the files anew.

use std::path::Path;

use tachograph_adapters::journal::{Loss, Severity, VerifyFinding, VerifyReport};
use tachograph_adapters::snapshot::Restored;
use tachograph_engine::domain::{Digest, Position};
use tachograph_engine::ports::Head;
use tachograph_replay::cli::{
    CompareArgs, RunsArgs, ShowArgs, TailArgs, TimelineArgs, TimersArgs, WhyArgs, WhyTimerArgs,
};
use tachograph_replay::output::Format;
use tachograph_replay::restore::Image;
use tachograph_replay::view::{PageView, RestoredView};
use tachograph_replay::when::AsOf;
use tachograph_replay::{compare, runs, show, tail, timeline, timers, verify, why, why_timer};

use crate::kept::printed;
use crate::made::{self, BUILD, BUILD_AGAIN, LOUD, NAMELESS, NEVER, NIGHTLY};

pub(super) fn check(file: &str, text: &str) {
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
fn what_is_armed_is_listed() {
    let at = |position| Some(AsOf::Position(Position(position)));
    for (args, name) in [
        (TimersArgs::default(), "timers"),
        (TimersArgs { at: at(17), ..TimersArgs::default() }, "timers-early"),
        (TimersArgs { at: at(15), ..TimersArgs::default() }, "timers-none"),
    ] {
        let json = printed(Format::Json, async |reading| timers::list(reading, &args).await).unwrap();
        check(&format!("{name}.json"), &json);
        let text = printed(Format::Text, async |reading| timers::list(reading, &args).await).unwrap();
        check(&format!("{name}.txt"), &text);
    }
}

#[test]
fn what_became_of_a_snapshot_is_told() {
    for (id, name) in [("05000000000000000000000001", "why-timer-superseded"), ("build", "why-timer-dispatched")] {
        let args = WhyTimerArgs { id: id.to_owned() };
        let json = printed(Format::Json, async |reading| why_timer::tell(reading, &args).await).unwrap();
        check(&format!("{name}.json"), &json);
        let text = printed(Format::Text, async |reading| why_timer::tell(reading, &args).await).unwrap();
        check(&format!("{name}.txt"), &text);
    }
}

#[test]
fn the_account_of_a_run_is_told() {
    for (run, name) in [
        (BUILD, "build"),
        (NIGHTLY, "nightly"),
        (BUILD_AGAIN, "build-again"),
        (NAMELESS, "nameless"),
        (LOUD, "loud"),
        (NEVER, "never"),
    ] {
        let args = WhyArgs { run: run.to_owned(), at: None, silence: "20s".parse().unwrap() };
        let json = printed(Format::Json, async |reading| why::tell(reading, &args).await).unwrap();
        check(&format!("why-{name}.json"), &json);
        let text = printed(Format::Text, async |reading| why::tell(reading, &args).await).unwrap();
        check(&format!("why-{name}.txt"), &text);
    }
}

#[test]
fn two_runs_are_compared() {
    for (left, right, name) in [
        (BUILD, Some(LOUD), "compare-two"),
        (BUILD, Some(BUILD), "compare-same"),
        (BUILD_AGAIN, None, "compare-nearest"),
    ] {
        let (run, other) = (left.to_owned(), right.map(str::to_owned));
        let args = CompareArgs { run, nearest: other.is_none(), other, expect_code: 0 };
        let json = printed(Format::Json, async |reading| compare::compare(reading, &args).await).unwrap();
        check(&format!("{name}.json"), &json);
        let text = printed(Format::Text, async |reading| compare::compare(reading, &args).await).unwrap();
        check(&format!("{name}.txt"), &text);
    }
}

#[test]
fn what_was_restored_is_told() {
    let image = Image {
        snapshot: "05000000000000000000000002".parse().unwrap(),
        run: made::run(BUILD_AGAIN),
        name: Some("build".to_owned()),
        location: "snapshots/a/b.tar.zst".to_owned(),
        bytes: 99,
        digest: Digest([0x44; 32]),
        taken: Position(22),
        taken_at: made::START,
    };
    let restored = Restored { files: 3, directories: 2, links: 1, pipes: 0, bytes: 1_234 };
    let view = RestoredView::of(&image, Path::new("restored"), &restored);
    let json = printed(Format::Json, async |reading| reading.output.json(&view)).unwrap();
    check("restored.json", &json);
}

#[test]
fn a_page_that_was_written_is_told() {
    let view = PageView {
        file: "report.html".to_owned(),
        bytes: 97_863,
        runs: 19,
        entries: 72,
        after: 10,
        up_to: 82,
        left_out: 10,
    };
    let json = printed(Format::Json, async |reading| reading.output.json(&view)).unwrap();
    check("page.json", &json);
}

#[test]
fn the_end_of_the_journal_is_printed() {
    let args = TailArgs { follow: false, lines: 100, after: None };
    for (format, file) in [(Format::Json, "tail.jsonl"), (Format::Text, "tail.txt")] {
        let text = printed(format, async |reading| tail::print(reading, &args).await.map(|_| ())).unwrap();
        check(file, &text);
    }
}

fn report() -> VerifyReport {
    let finding = |severity, offset, position: Option<u64>, what: &str| VerifyFinding {
        severity,
        file: "made/journal/00000000000000000001.seg".into(),
        offset,
        position: position.map(Position),
        what: what.to_owned(),
    };
    VerifyReport {
        archived: Vec::new(),
        journal: Some(made::run(BUILD).ulid()),
        segments: 2,
        frames: 11,
        entries: 33,
        bytes: 8_192,
        head: Some(Head { position: Position(33), digest: Digest([0x33; 32]) }),
        closed: false,
        lost: Some(Loss { up_to: Position(9), position: Position(8), before: made::START }),
        findings: vec![
            finding(Severity::Damage, 88, Some(1), "a frame's content is not as it was written"),
            finding(Severity::Missing, 500, Some(5), "entries 5 to 7 are missing before it"),
            finding(Severity::Torn, 4_000, None, "12 bytes of an incomplete write"),
            finding(Severity::Note, 0, None, "made \u{1b} up"),
        ],
        more: 3,
    }
}

#[test]
fn a_verification_is_reported() {
    for (format, file) in [(Format::Json, "verify.json"), (Format::Text, "verify.txt")] {
        let data = Path::new("made");
        let text =
            printed(format, async |reading| verify::print(&report(), data, format, &mut reading.output)).unwrap();
        check(file, &text);
    }
}
