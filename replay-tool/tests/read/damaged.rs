//! Files with damage: all that is sound is shown, and nobody takes it for whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tachograph_adapters::journal::{FileJournal, JournalOptions, Salvage, Salvaged};
use tachograph_engine::domain::Position;
use tachograph_engine::ports::Journal;
use tachograph_replay::dataset::Dataset;
use tempfile::TempDir;

use crate::binary::{copy, draft, everything, flip, made, ran, segments, stderr, stdout};
use crate::kept::run;
use crate::made::{self, BUILD, BUILD_AGAIN, LOUD, Made, NAMELESS, NIGHTLY};

const RUNS: [&str; 5] = [BUILD, NIGHTLY, BUILD_AGAIN, NAMELESS, LOUD];

/// The made journal in one segment without a footer, one frame per entry, not closed: what most journals are.
fn single() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut journal = FileJournal::open(&data, JournalOptions::default()).unwrap();
    for entry in &Made::journal().entries {
        run(journal.append(vec![draft(entry)])).unwrap();
    }
    run(Box::new(journal).close()).unwrap();
    (dir, data)
}

fn only_segment(data: &Path) -> PathBuf {
    data.join("journal").join("00000000000000000001.seg")
}

/// The positions that a salvage reads.
fn readable(data: &Path) -> BTreeSet<Position> {
    let position = |salvaged| match salvaged {
        Salvaged::Entry(entry) => Some(entry.position),
        Salvaged::Gap(_) => None,
    };
    Salvage::open(data).unwrap().filter_map(position).collect()
}

/// Which entries are about a run.
fn own(run_text: &str) -> Vec<Position> {
    let own = Made::journal().entries.into_iter().filter(|entry| entry.run() == Some(made::run(run_text)));
    own.map(|entry| entry.position).collect()
}

/// What a command printed although the journal is damaged, and the message of the error behind it.
fn partial(data: &Path, arguments: &[&str]) -> (Output, String) {
    let output = ran(data, &[&["--format", "json"][..], arguments].concat());
    assert_eq!(output.status.code(), Some(7), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["error"]["code"], "damaged");
    let message = error["error"]["message"].as_str().unwrap().to_owned();
    (output, message)
}

#[test]
fn one_damaged_byte_hides_only_its_own_entry() {
    let (_dir, data) = single();
    let (_whole_dir, whole) = single();
    let file = only_segment(&data);
    // Within an entry of `nightly`.
    let damaged = Position(8);
    let offset = (0..).map(|nth| nth * 16 + 88).find(|offset| {
        flip(&file, *offset);
        let found = !readable(&data).contains(&damaged);
        if !found {
            flip(&file, *offset);
        }
        found
    });
    assert!(offset.is_some());
    assert_eq!(readable(&data).len(), Made::journal().entries.len() - 1);
    let before = everything(&data);
    for arguments in [&["show", BUILD][..], &["show", "build"], &["show", "01KAJ2A"], &["show", LOUD]] {
        let (output, message) = partial(&data, arguments);
        let sound = ran(&whole, &[&["--format", "json"][..], arguments].concat());
        assert_eq!(stdout(&output), stdout(&sound), "{arguments:?}");
        assert!(message.ends_with("missing: position 8"), "{message}");
        assert!(message.contains("00000000000000000001.seg is damaged at offset "), "{message}");
    }
    let (output, _) = partial(&data, &["timeline", BUILD]);
    assert_eq!(stdout(&output), stdout(&ran(&whole, &["--format", "json", "timeline", BUILD])));
    let (output, _) = partial(&data, &["runs"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&stdout(&output)).unwrap().len(), 5);
    let (output, _) = partial(&data, &["tail", "-n", "2"]);
    assert_eq!(stdout(&output), stdout(&ran(&whole, &["--format", "json", "tail", "-n", "2"])));
    let (output, _) = partial(&data, &["timeline", NIGHTLY]);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let missing: Vec<&Value> =
        told["items"].as_array().unwrap().iter().filter(|item| item["kind"] == "missing").collect();
    assert_eq!(missing.iter().map(|item| item["missing_up_to"].as_u64()).collect::<Vec<_>>(), [Some(8)], "{told}");
    let (_, message) = partial(&data, &["show", "no-such-name"]);
    assert!(message.contains("no-such-name"), "{message}");
    assert!(stdout(&ran(&data, &["timeline", NIGHTLY])).contains("UP TO POSITION 8 COULD NOT BE READ"));
    assert!(everything(&data) == before, "something changed");
}

/// What a dataset says about every run: id, whether it was answered, and at which positions.
fn answers(data: &Path) -> BTreeMap<&'static str, Option<Vec<Position>>> {
    let dataset = Dataset::open(data).unwrap();
    RUNS.into_iter()
        .map(|run_text| {
            let history = run(dataset.history(run_text)).ok();
            let own = history.map(|history| own(run_text).into_iter().filter(move |at| history.entry(*at).is_some()));
            (run_text, own.map(Iterator::collect))
        })
        .collect()
}

fn every_sound_run_is_answered(data: &Path, file: &Path, step: usize) {
    let bytes = std::fs::read(file).unwrap();
    for offset in (0..bytes.len()).step_by(step) {
        flip(file, offset);
        let readable = readable(data);
        for (run_text, answer) in answers(data) {
            let expected: Vec<Position> = own(run_text).into_iter().filter(|at| readable.contains(at)).collect();
            let answer = answer.unwrap_or_default();
            assert_eq!(answer, expected, "run {run_text}, offset {offset} of {}", file.display());
        }
        let dataset = Dataset::open(data).unwrap();
        let (mut seen, head) = (BTreeSet::new(), Position(Made::journal().entries.len() as u64));
        let visitor = |entry: tachograph_engine::domain::Entry| seen.insert(entry.position);
        run(dataset.visit(Position::ZERO, head, visitor)).unwrap();
        assert_eq!(seen, readable, "offset {offset} of {}", file.display());
        if seen.len() as u64 != head.0 {
            let damage = dataset.damage().expect("something is missing").to_string();
            assert!(damage.contains("missing: position"), "{damage}");
        }
        std::fs::write(file, &bytes).unwrap();
    }
}

#[test]
fn every_sound_run_is_answered_wherever_a_byte_is_damaged() {
    let (_dir, data) = single();
    every_sound_run_is_answered(&data, &only_segment(&data), 61);
    let (_dir, data) = made();
    for file in segments(&data) {
        every_sound_run_is_answered(&data, &file, 131);
    }
}

#[test]
fn a_segment_that_is_gone_leaves_the_others_readable() {
    for gone in [0, 1] {
        let (_dir, data) = made();
        std::fs::remove_file(&segments(&data)[gone]).unwrap();
        let expected = readable(&data).len();
        let (output, message) = partial(&data, &["tail", "--after", "0"]);
        assert_eq!(stdout(&output).lines().count(), expected, "{message}");
        assert!(message.contains("missing: positions "), "{message}");
    }
}

#[test]
fn a_damaged_sealed_segment_of_the_first_format_is_read_past() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/tests/fixtures/format-1"), &data);
    let all = stdout(&ran(&data, &["--format", "json", "tail", "--after", "0"]));
    let file = segments(&data).remove(0);
    flip(&file, std::fs::metadata(&file).unwrap().len() as usize / 2);
    let (output, message) = partial(&data, &["tail", "--after", "0"]);
    let shown = stdout(&output);
    let (shown, all): (BTreeSet<&str>, BTreeSet<&str>) = (shown.lines().collect(), all.lines().collect());
    assert!(shown.is_subset(&all) && shown.len() < all.len() && !shown.is_empty(), "{message}");
    assert_eq!(shown.len(), readable(&data).len());
}

#[test]
fn verify_remembers_a_loss_that_a_writer_recorded() {
    let (_dir, data) = single();
    let file = only_segment(&data);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let left = readable(&data).len() as u64;
    let output = ran(&data, &["run", "--", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = ran(&data, &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let all = Made::journal().entries.len();
    let verdict = format!("sound, but acknowledged entries up to position {all} were lost before 2");
    assert!(stdout(&output).contains(&verdict), "{}", stdout(&output));
    let report: Value = serde_json::from_str(&stdout(&ran(&data, &["--format", "json", "verify"]))).unwrap();
    assert_eq!((report["sound"].as_bool(), report["lost"]["up_to"].as_u64()), (Some(true), Some(all as u64)));
    assert_eq!(report["lost"]["position"].as_u64(), Some(left + 2), "behind the opening: {report}");
    assert_eq!(report["findings"][0]["severity"], "note");
    assert_eq!(report["findings"][0]["position"], report["lost"]["position"]);
}

#[test]
fn verify_mentions_that_there_is_no_anchor() {
    let (_dir, data) = single();
    assert!(!stdout(&ran(&data, &["verify"])).contains("anchor"));
    std::fs::remove_file(data.join("journal").join("anchor")).unwrap();
    let output = ran(&data, &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("note: ") && stdout(&output).contains("there is no anchor"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn an_empty_segment_is_the_same_to_every_command() {
    let (_dir, data) = single();
    std::fs::write(only_segment(&data), "").unwrap();
    for arguments in [&["verify"][..], &["runs"], &["tail"]] {
        assert_eq!(ran(&data, arguments).status.code(), Some(7), "the anchor knows of entries: {arguments:?}");
    }
    std::fs::remove_file(data.join("journal").join("anchor")).unwrap();
    for arguments in [&["verify"][..], &["runs"], &["tail"]] {
        let output = ran(&data, arguments);
        assert_eq!(output.status.code(), Some(6), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("its creation did not complete"), "{}", stderr(&output));
    }
}

#[test]
fn a_position_beyond_the_end_is_noted() {
    let (_dir, data) = single();
    for arguments in [&["runs", "--at", "35"][..], &["show", BUILD, "--at", "35"], &["tail", "--after", "35"]] {
        let output = ran(&data, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        let note = "tacho: note: position 35 is beyond the end of the journal, which is position 34\n";
        assert_eq!(stderr(&output), note, "{arguments:?}");
        let json = ran(&data, &[&["--format", "json"][..], arguments].concat());
        let note: Value = serde_json::from_str(&stderr(&json)).unwrap();
        assert!(note["note"]["message"].as_str().unwrap().contains("beyond the end"), "{note}");
    }
    assert_eq!(stderr(&ran(&data, &["runs", "--at", "34"])), "");
}

#[test]
fn a_tail_that_was_cut_off_cleanly_is_told_by_every_command_that_reads() {
    let (_dir, data) = single();
    let (file, end) = (only_segment(&data), Made::journal().entries.len() as u64);
    // Byte by byte until entries are missing and nothing is left of them.
    let bytes = std::fs::read(&file).unwrap();
    let cut = (0..bytes.len()).rev().find(|length| {
        std::fs::write(&file, &bytes[..*length]).unwrap();
        let report = ran(&data, &["verify"]);
        !stdout(&report).contains("incomplete write") && readable(&data).len() as u64 + 2 == end
    });
    assert!(cut.is_some(), "two entries are cut off");
    for arguments in [&["runs"][..], &["show", BUILD], &["timeline", BUILD], &["tail", "-n", "1"]] {
        let (_, message) = partial(&data, arguments);
        assert!(message.contains(&format!("it ends before entry {end}")), "{arguments:?}: {message}");
    }
}

#[test]
fn damaged_journals_are_compared_as_far_as_they_can_be_read() {
    let ((_dir, one), (_other, other), (_whole, whole)) = (single(), single(), single());
    flip(&only_segment(&one), 1_200);
    flip(&only_segment(&other), 2_400);
    let (a, b, sound) = (one.display().to_string(), other.display().to_string(), whole.display().to_string());
    for (data, arguments, named) in [
        (&whole, [format!("{a}@20"), format!("{sound}@20")], vec![&a]),
        (&whole, [format!("{sound}@20"), format!("{a}@20")], vec![&a]),
        (&whole, [a.clone(), b.clone()], vec![&a, &b]),
        (&whole, [b.clone(), a.clone()], vec![&a, &b]),
        (&one, ["20".to_owned(), format!("{b}@20")], vec![&a, &b]),
    ] {
        let [first, second] = &arguments;
        let (output, message) = partial(data, &["diff", first, second]);
        let difference: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert!(difference["first"]["position"].as_u64().is_some(), "{arguments:?}: {difference}");
        assert!(named.iter().all(|side| message.contains(*side)), "{arguments:?}: {message}");
        let text = ran(data, &["diff", first, second]);
        assert!(stdout(&text).contains("cannot be read"), "{arguments:?}: {}", stdout(&text));
    }
}
