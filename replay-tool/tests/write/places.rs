use tachograph_adapters::journal::{FileJournal, JournalOptions};

use super::planted::Planted;
use super::support::Place;

const TWO_JOBS: &str = "[jobs.first]\ncommand = [\"true\"]\n[jobs.build]\ncommand = [\"true\"]\n";

/// Both commands fail with this code name, `supervise` with this exit code and `run` with 125.
#[track_caller]
fn assert_both_fail(place: &Place, code: &str, exit: i32, message: &str) {
    let run = place.finish_at_once(["run", "--name", "build", "--", "true"]);
    let supervise = place.finish_at_once(["supervise", &place.jobs(TWO_JOBS)]);
    for (finished, exit) in [(run, 125), (supervise, exit)] {
        assert_eq!(finished.code, Some(exit), "{}", finished.stderr);
        assert!(finished.stderr.starts_with(&format!("tacho: error[{code}]: ")), "{}", finished.stderr);
        assert!(finished.stderr.contains(message), "{}", finished.stderr);
        assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    }
}

#[test]
fn a_directory_that_another_writer_holds_is_refused_and_the_holder_named() {
    let place = Place::new();
    let holder = FileJournal::open(&place.data(), JournalOptions::default()).unwrap();
    assert_both_fail(&place, "locked", 8, &format!("pid {}", std::process::id()));
    drop(holder);
    assert_eq!(place.run("true").code, Some(0));
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused() {
    let place = Place::new();
    std::fs::write(place.data(), "text").unwrap();
    assert_both_fail(&place, "no_journal", 6, &place.data().display().to_string());
    assert_eq!(std::fs::read(place.data()).unwrap(), b"text");
}

#[test]
fn a_damaged_journal_is_refused_with_file_and_offset_and_stays_as_it_is() {
    let place = Place::new();
    for _ in 0..3 {
        assert_eq!(place.run("true").code, Some(0));
    }
    let segment = place.data().join("journal/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    assert_both_fail(&place, "damaged", 7, "00000000000000000001.seg is damaged at offset ");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_journal_that_lost_acknowledged_entries_is_opened_with_a_warning() {
    let place = Place::new();
    assert_eq!(place.run("true").code, Some(0));
    // One frame less at the end than the anchor knows of, cut where the frame begins.
    let segment = place.data().join("journal/00000000000000000001.seg");
    let before = std::fs::read(&segment).unwrap();
    assert_eq!(place.run("true").code, Some(0));
    std::fs::write(&segment, &before).unwrap();
    let finished = place.run("true");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("tacho: warning: acknowledged entries up to position "), "{}", finished.stderr);
}

#[test]
fn a_name_that_an_open_run_holds_is_refused() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    let holder = planted.created("build");
    planted.close();
    assert_both_fail(&place, "name_held", 5, &format!("the name \"build\" is held by run {holder}"));
    assert_eq!(place.records().len(), 1, "nothing was run");
    place.assert_closed_cleanly();
}

#[test]
fn input_out_of_bounds_is_refused_before_anything_is_made() {
    let place = Place::new();
    let label = format!("owner={}", "v".repeat(100_000));
    let name = "n".repeat(129);
    let many = vec!["a"; 100_000];
    for (arguments, message) in [
        (vec!["--label", &label, "--", "true"], "spec.labels.owner: 100000 bytes; at most 1024"),
        (vec!["--name", &name, "--", "true"], "spec.name: 129 bytes; at most 128"),
        (vec!["--name", "a\tb", "--", "true"], "spec.name: contains the control character U+0009"),
        ([vec!["--", "true"], many].concat(), "spec.command: 100001 arguments; at most 4096"),
        (vec!["--", ""], "spec.command: names no program"),
    ] {
        let finished = place.finish([vec!["run"], arguments].concat());
        assert_eq!(finished.code, Some(125));
        assert!(
            finished.stderr.starts_with(&format!("tacho: error[invalid_input]: refused: {message}\n")),
            "{}",
            finished.stderr
        );
    }
    for arguments in
        [vec!["run", "--timeout", "soon", "--", "true"], vec!["run", "--label", "x", "--", "true"], vec!["run"]]
    {
        assert_eq!(place.finish(arguments).code, Some(125));
    }
    for (arguments, code, message) in [
        (vec!["run", "--timeout", "0", "--", "true"], 125, "must be longer than zero; leave it out for no timeout"),
        (
            vec!["run", "--label", "a=1", "--label", "a=2", "--", "true"],
            125,
            "error[usage]: --label is given twice for the key \"a\"",
        ),
        (vec!["supervise", "--jobs", "0", "jobs.toml"], 2, "expected a whole number, at least 1"),
    ] {
        let finished = place.finish(arguments);
        assert_eq!(finished.code, Some(code));
        assert!(finished.stderr.contains(message), "{}", finished.stderr);
    }
    assert!(!place.data().exists());
}
