use tachograph_engine::domain::{ExitStatus, FailureKind};

use super::support::{Place, failure, status};

const JOBS: &str = r#"
[jobs.late]
command = ["sh", "-c", "if test $TACHO_ATTEMPT -ge 2; then echo > $TACHO_RUN_DIR/up; else sleep 600; fi"]
ready = { file = "up" }
ready_within = "300ms"
retries = 1

[jobs.short]
command = ["sh", "-c", "echo is up >&2"]
ready = { line = "is up", stream = "stdout" }

[jobs.never]
command = ["sleep", "600"]
ready = { file = "up" }
ready_within = "300ms"
expect = "start_timeout"
"#;

#[test]
fn a_command_that_is_not_ready_in_time_is_ended_with_124_and_says_what_was_missing() {
    let script = "echo no root disk >&2; sleep 600";
    let mut tried = [300, 3_000, 30_000].into_iter().map(|milliseconds| {
        let (place, within) = (Place::new(), format!("{milliseconds}ms"));
        let finished = place.finish(["run", "--ready-file", "up", "--ready-within", &within, "--", "sh", "-c", script]);
        (place, milliseconds, finished)
    });
    // A machine that is busy otherwise may not let it print anything in so short a time.
    let said = tried.find(|(.., finished)| finished.stderr.contains("no root disk"));
    let (place, milliseconds, finished) = said.expect("it never prints anything");
    assert_eq!(finished.code, Some(124), "{}", finished.stderr);
    let missing = format!("tacho: error[start_timeout]: was not ready within {milliseconds} ms: the file ");
    let told = [&missing, "/up\" did not appear", "no root disk"];
    assert!(told.iter().all(|told| finished.stderr.contains(told)), "{}", finished.stderr);
    let record = place.record();
    assert_eq!(failure(&record), Some(FailureKind::StartTimeout));
    place.assert_closed_cleanly();
}

#[test]
fn a_command_that_is_ready_keeps_its_code_and_one_that_ended_before_says_so() {
    let place = Place::new();
    let ready = place.finish(["run", "--ready-line", "is up", "--", "sh", "-c", "echo it is up; exit 7"]);
    assert_eq!((ready.code, ready.stdout.as_str(), ready.stderr.as_str()), (Some(7), "it is up\n", ""));
    let unready = place.finish(["run", "--ready-line", "is up", "--", "sh", "-c", "exit 8"]);
    assert_eq!(unready.code, Some(8), "an exit is an exit");
    assert_eq!(unready.stderr, "tacho: the command ended before it was ready\n");
    let codes: Vec<_> = place.records().iter().map(status).collect();
    assert_eq!(codes, [Some(ExitStatus::Code(7)), Some(ExitStatus::Code(8))]);
}

#[test]
fn a_check_that_cannot_be_met_is_bad_usage_and_nothing_is_recorded() {
    let place = Place::new();
    for arguments in [
        &["run", "--ready-file", "../up", "--", "true"][..],
        &["run", "--ready-port", "0", "--", "true"],
        &["run", "--ready-port", "1", "--ready-line", "x", "--", "true"],
        &["run", "--ready-within", "1s", "--", "true"],
    ] {
        let refused = place.finish(arguments);
        assert!(matches!(refused.code, Some(2 | 125)), "{:?} {}", refused.code, refused.stderr);
    }
    assert!(!place.data().exists());
}

#[test]
fn jobs_tell_when_they_are_ready_and_are_tried_again_if_they_are_not() {
    // A machine that is busy otherwise may not let the second attempt come so far in so short a time.
    let mut tried = [300, 3_000, 30_000].into_iter().map(|milliseconds| {
        let place = Place::new();
        let jobs = place.jobs(&JOBS.replace("300", &milliseconds.to_string()));
        let finished = place.finish(["supervise", "--jobs", "3", &jobs]);
        println!("{}{}", finished.stdout, finished.stderr);
        (place, milliseconds, finished)
    });
    let (place, milliseconds, finished) =
        tried.find(|(.., finished)| finished.code == Some(0)).expect("it is not ready");
    for (job, told) in [
        ("late", format!("attempt 1 ended: start_timeout: was not ready within {milliseconds} ms")),
        ("late", "ready after ".to_owned()),
        ("short", "ended before it was ready\n".to_owned()),
        ("never", format!("attempt 1 ended: start_timeout: was not ready within {milliseconds} ms")),
    ] {
        assert!(finished.stderr.contains(&format!("{job}: {told}")), "{job}: {told}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("short: ready"), "{}", finished.stderr);
    place.assert_closed_cleanly();
}
