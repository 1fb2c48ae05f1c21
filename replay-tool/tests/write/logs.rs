use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tachograph_adapters::process::ProcessIdentity;

use super::job::{Job, Lines, documented};
use super::planted::Planted;
use super::snapshots::until;
use super::support::{Finished, Place};

/// What `tacho logs` leaves, with its output as it is.
fn logs(place: &Place, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = place.tacho([&["logs"], arguments].concat());
    let output = command.output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn stdout_of(place: &Place) -> std::path::PathBuf {
    place.data().join("runs").join(place.record().run.id.to_string()).join("attempt-1/stdout")
}

fn follow(place: &Place) -> Child {
    place.tacho(["logs", "build", "--follow"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn output_comes_back_as_it_was_by_stream_attempt_and_last_lines() {
    let place = Place::new();
    let script = r"printf 'a\377\n\033[31mb\n\000c'; echo attempt $TACHO_ATTEMPT >&2; exit 1";
    let jobs = place.jobs(&format!("[jobs.build]\ncommand = ['sh', '-c', '''{script}''']\nretries = 1\n"));
    place.finish(["supervise", &jobs]);
    let all = b"a\xff\n\x1b[31mb\n\0c";
    assert_eq!(logs(&place, &["build"]), (Some(0), all.to_vec(), String::new()));
    assert_eq!(logs(&place, &["build", "-n", "2"]).1, b"\x1b[31mb\n\0c");
    assert_eq!(logs(&place, &["build", "--follow"]), (Some(0), all.to_vec(), String::new()), "it has ended");
    assert_eq!(logs(&place, &["build", "--stderr"]).1, b"attempt 2\n");
    assert_eq!(logs(&place, &["build", "--stderr", "--attempt", "1"]).1, b"attempt 1\n");
    let (code, _, stderr) = logs(&place, &["build", "--attempt", "3"]);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with("tacho: error[unknown_attempt]: ") && stderr.contains("attempts 1 to 2"), "{stderr}");
    let (_, lines, _) = logs(&place, &["build", "--format", "json"]);
    let lines: Vec<Value> = String::from_utf8(lines).unwrap().lines().map(documented).collect();
    let line = |offset: u64, text: Option<&str>, hex: Option<&str>, ended: bool| json!({"stream": "stdout", "attempt": 2, "offset": offset, "text": text, "hex": hex, "ended": ended});
    let expected = [
        line(0, None, Some("61ff"), true),
        line(3, Some("\u{1b}[31mb"), None, true),
        line(10, Some("\0c"), None, false),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_follower_sees_what_comes_and_ends_with_the_attempt() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "echo more; exit 4");
    let mut follower = follow(&place);
    let output = Lines::of(follower.stdout.take().unwrap());
    assert_eq!(output.next(), "out");
    job.open_gate();
    assert_eq!(output.rest(), ["more"]);
    let finished = Finished::of(follower);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(job.finish().code, Some(4));
}

#[test]
fn a_follower_whose_reader_left_has_done_its_work() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    let mut follower = follow(&place);
    assert_eq!(Lines::first_of(follower.stdout.take().unwrap()), "out");
    let finished = Finished::of(follower);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    job.open_gate();
    assert_eq!(job.finish().code, Some(0));
}

#[test]
fn a_follower_is_told_when_nobody_will_record_the_end_and_goes_on_with_the_next_writer() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "say done");
    let mut follower = follow(&place);
    let output = Lines::of(follower.stdout.take().unwrap());
    assert_eq!(output.next(), "out");
    let shim = ProcessIdentity::of(job.shim()).unwrap();
    job.crash();
    let notes = Lines::of(follower.stderr.take().unwrap());
    let note = notes.next();
    assert!(note.starts_with("tacho: note: the writer, pid ") && note.contains(" is gone; the end "), "{note}");
    job.open_gate();
    assert_eq!(job.ready.next(), "done");
    // As long as that is there, whoever opens the journal follows it, and may leave before it goes.
    until("its shim is gone", || !shim.is_alive());
    assert_eq!(place.run("true").code, Some(0), "it records what became of the other");
    assert_eq!(Finished::of(follower).code, Some(0));
}

#[test]
fn what_is_not_whole_or_was_changed_is_told() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    job.open_gate();
    job.finish();
    let file = stdout_of(&place);
    for (content, note) in [
        ("ou", "tacho: note: only 2 of the 4 bytes that came on stdout were kept\n"),
        ("Out\n", "tacho: note: the file is not what came on stdout: it was changed since\n"),
    ] {
        std::fs::write(&file, content).unwrap();
        assert_eq!(logs(&place, &["build"]), (Some(0), content.as_bytes().to_vec(), note.to_owned()));
    }
    let (_, _, note) = logs(&place, &["build", "--format", "json"]);
    assert!(note.starts_with(r#"{"note":{"message":"the file is not what"#), "{note}");
}

#[test]
fn what_is_no_file_is_never_waited_for_and_what_is_missing_is_an_error() {
    let place = Place::new();
    let mut job = Job::begin(&place, ":", "exit 0");
    job.open_gate();
    job.finish();
    let file = stdout_of(&place);
    std::fs::remove_file(&file).unwrap();
    for arguments in [&["build"][..], &["build", "--follow"]] {
        let (code, output, stderr) = logs(&place, arguments);
        assert_eq!((code, output.as_slice()), (Some(6), &b""[..]));
        assert!(stderr.starts_with("tacho: error[output_missing]: no stdout of attempt 1 of run "), "{stderr}");
    }
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let finished = place.finish(["logs", "build", "--follow"]);
    assert_eq!(finished.code, Some(6));
    assert!(finished.stderr.contains("error[io]: ") && finished.stderr.contains("no regular file"));
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert_eq!(place.finish(["logs", "build"]).code, Some(6), "links are not followed");
}

#[test]
fn a_run_that_was_not_started_has_no_output() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.created("idle");
    planted.armed("theirs");
    planted.close();
    let (code, _, stderr) = logs(&place, &["idle"]);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with("tacho: error[not_started]: "), "{stderr}");
    let (code, _, stderr) = logs(&place, &["theirs"]);
    assert_eq!(code, Some(6), "another runner keeps it elsewhere");
    assert!(stderr.starts_with("tacho: error[output_missing]: "), "{stderr}");
}

#[test]
fn a_follower_waits_for_a_run_that_was_not_started_until_it_never_will_be() {
    let place = Place::new();
    let planted = Planted::in_data_of(&place);
    planted.created("build");
    planted.close();
    let mut follower = follow(&place);
    let notes = Lines::of(follower.stderr.take().unwrap());
    assert!(notes.next().contains(" is gone: it closed the journal; the end is recorded "));
    assert_eq!(place.finish(["destroy", "build"]).code, Some(0));
    assert!(notes.next().starts_with("tacho: error[not_started]: "));
    assert_eq!(Finished::of(follower).code, Some(3));
}

#[test]
fn more_output_than_is_kept_is_shown_with_both_its_ends_and_the_gap() {
    for shim in [&["--no-shim"][..], &[]] {
        let place = Place::new();
        let script = "seq 20000; echo 'no such file' >&2; exit 3";
        let arguments =
            [&["run", "--name", "build", "--output-limit", "4KB"], shim, &["--", "sh", "-c", script]].concat();
        let output = place.tacho(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let (code, shown, notes) = logs(&place, &["build"]);
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!((code, shown.as_bytes()), (Some(0), &*output.stdout), "the terminal saw the same");
        assert!(shown.starts_with("1\n2\n3\n") && shown.ends_with("\n19999\n20000\n"), "{shown}");
        let all: usize = (1..=20_000).map(|number: u32| number.to_string().len() + 1).sum();
        let left_out = all - shown.len();
        assert!((3_000..=4_000).contains(&shown.len()), "{}", shown.len());
        assert_eq!(
            notes,
            format!("tacho: note: … {left_out} bytes were left out of stdout: more came than may be kept …\n")
        );
        assert_eq!(logs(&place, &["build", "-n", "2"]), (Some(0), b"19999\n20000\n".to_vec(), String::new()));
        assert_eq!(logs(&place, &["build", "--follow"]).1, output.stdout);
        assert_eq!(logs(&place, &["build", "--stderr"]), (Some(0), b"no such file\n".to_vec(), String::new()));
        let (_, lines, _) = logs(&place, &["build", "--format", "json"]);
        let lines: Vec<Value> = String::from_utf8(lines).unwrap().lines().map(documented).collect();
        let last = lines.last().unwrap();
        assert_eq!((&last["text"], &last["offset"]), (&"20000".into(), &(all - 6).into()));
        let record = std::fs::read(stdout_of(&place).with_file_name("exit.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["left_out"], json!({"stdout_bytes": left_out, "stderr_bytes": 0}));
    }
}
