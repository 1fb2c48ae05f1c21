use tachograph_engine::domain::{ExitStatus, FailureKind};

use super::support::{Place, failure, status};

#[test]
fn a_command_that_is_not_ready_in_time_is_ended_with_124_and_says_what_was_missing() {
    let place = Place::new();
    let script = "echo no root disk >&2; sleep 600";
    let finished = place.finish(["run", "--ready-file", "up", "--ready-within", "300ms", "--", "sh", "-c", script]);
    assert_eq!(finished.code, Some(124), "{}", finished.stderr);
    let told =
        ["tacho: error[start_timeout]: was not ready within 300 ms: the file ", "/up\" did not appear", "no root disk"];
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
    let place = Place::new();
    let jobs = place.jobs(
        r#"
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
ready_within = 0.3
expect = "start_timeout"
"#,
    );
    let finished = place.finish(["supervise", "--jobs", "3", &jobs]);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    for told in [
        "late: attempt 1 ended: start_timeout: was not ready within 300 ms",
        "late: ready after ",
        "short: ended before it was ready\n",
        "never: attempt 1 ended: start_timeout: was not ready within 300 ms",
    ] {
        assert!(finished.stderr.contains(told), "{told}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("short: ready"), "{}", finished.stderr);
    place.assert_closed_cleanly();
}
