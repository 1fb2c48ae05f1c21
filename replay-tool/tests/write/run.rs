use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tachograph_adapters::process::ProcessIdentity;
use tachograph_engine::domain::{Drain, ExitStatus, FailureKind, Outcome, StatusName, Stream, Witness, Workload};

use super::job::{Job, parent_of};
use super::snapshots::until;
use super::support::{Finished, Place, failure, send, status};

#[test]
fn the_commands_code_is_passed_through_and_recorded_with_its_output() {
    let place = Place::new();
    let finished = place.run("echo out; echo error >&2; exit 7");
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (Some(7), "out\n", "error\n"));
    let record = place.record();
    assert_eq!((record.run.status.name(), status(&record)), (StatusName::Exited, Some(ExitStatus::Code(7))));
    let Some(Outcome::Exited { exit, .. }) = record.run.attempt.unwrap().outcome else { panic!("no exit") };
    let output = exit.output.unwrap();
    assert_eq!(exit.witness, Witness::Waited);
    assert_eq!((output.stdout.bytes, output.stderr.bytes, output.drain), (4, 6, Drain::Drained));
    assert_eq!(output.stdout.digest.0, *blake3::hash(b"out\n").as_bytes());
    place.assert_closed_cleanly();
}

#[test]
fn a_signal_becomes_128_and_its_number() {
    let place = Place::new();
    assert_eq!(place.run("kill -9 $$").code, Some(137));
    assert_eq!(status(&place.record()), Some(ExitStatus::Signal(9)));
}

#[test]
fn a_program_that_cannot_be_started_is_recorded_as_failed() {
    let place = Place::new();
    let missing = place.finish(["run", "--format", "json", "--", "there-is-no-such-program"]);
    assert_eq!(missing.code, Some(127));
    assert!(missing.stderr.starts_with(r#"{"error":{"code":"not_found","message":"#), "{}", missing.stderr);
    let forbidden = place.finish(["run", "--", "/etc/passwd"]);
    assert_eq!(forbidden.code, Some(126));
    assert!(forbidden.stderr.starts_with("tacho: error[not_executable]: "), "{}", forbidden.stderr);
    let kinds: Vec<_> = place.records().iter().map(failure).collect();
    assert_eq!(kinds, [Some(FailureKind::NotFound), Some(FailureKind::NotExecutable)]);
    place.assert_closed_cleanly();
}

#[test]
fn a_missing_working_directory_is_not_blamed_on_path() {
    let place = Place::new();
    let finished = place.finish(["run", "--cwd", "/no/such/directory", "--", "true"]);
    assert_eq!(finished.code, Some(127));
    assert!(finished.stderr.contains("\n  help: check the directory of --cwd"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("PATH"), "{}", finished.stderr);
}

#[test]
fn a_relative_working_directory_is_not_to_blame_for_a_missing_program_and_a_shim_makes_no_difference() {
    let failures = [&["run"][..], &["run", "--no-shim"]].map(|run| {
        let place = Place::new();
        std::fs::create_dir(place.path("sub")).unwrap();
        std::fs::write(place.path("sub/plain"), "").unwrap();
        ["./nosuch", "./plain", "nosuch"].map(|program| {
            let mut command = place.tacho(run.iter().chain(&["--cwd", "sub", "--", program]));
            command.current_dir(place.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
            Finished::of(command.spawn().unwrap());
            let record = place.records().pop().unwrap();
            record.run.attempt.unwrap().outcome.unwrap().failure().unwrap().clone()
        })
    });
    assert_eq!(failures[0], failures[1]);
    assert_eq!(failures[0][0].message, "program \"./nosuch\" is missing");
}

#[test]
fn a_command_that_could_not_be_started_is_told_from_a_failure_of_tacho() {
    let place = Place::new();
    assert_eq!(place.run("true").code, Some(0));
    std::fs::remove_dir_all(place.data().join("runs")).unwrap();
    std::fs::write(place.data().join("runs"), "").unwrap();
    let finished = place.run("true");
    assert_eq!(finished.code, Some(125), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("tacho: error[spawn_failed]: its directory cannot be prepared: "));
    assert!(finished.stderr.contains("\n  help: mend what the message names"), "{}", finished.stderr);
    assert_eq!(failure(&place.records()[1]), Some(FailureKind::SpawnFailed));
}

/// What becomes of a command where no file may be longer than a megabyte, after this in the shell before it.
fn with_short_files(before: &str, shim: &str, command: &[&str]) -> (Place, Finished) {
    let place = Place::new();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("{before}ulimit -f 2000; exec \"$0\" run {shim} -- \"$@\""),
        env!("CARGO_BIN_EXE_tacho"),
    ]);
    shell.args(command).env("TACHO_DATA", place.data()).current_dir(place.path(""));
    shell.stdout(Stdio::null()).stderr(Stdio::piped());
    let finished = Finished::of(shell.spawn().unwrap());
    (place, finished)
}

#[test]
fn output_that_cannot_be_kept_is_told_from_a_failure_of_tacho() {
    // A file that would be longer fails to be written, as on a full disk: whether or not there would be a signal for that.
    for before in ["trap '' XFSZ; ", ""] {
        for shim in ["", "--no-shim"] {
            let (place, finished) = with_short_files(before, shim, &["head", "-c", "3000000", "/dev/zero"]);
            assert_eq!(finished.code, Some(125), "{before}{shim}: {}", finished.stderr);
            let told = "tacho: error[output_lost]: stdout is not all on file: ";
            assert!(finished.stderr.starts_with(told), "{before}{shim}: {}", finished.stderr);
            assert_eq!(failure(&place.record()), Some(FailureKind::OutputLost), "{before}{shim}");
        }
    }
}

#[test]
fn a_command_with_too_long_a_file_is_ended_by_the_signal_for_that() {
    for shim in ["", "--no-shim"] {
        let command = ["sh", "-c", "exec head -c 3000000 /dev/zero > long"];
        assert_eq!(with_short_files("", shim, &command).1.code, Some(128 + 25), "{shim}");
        // Unless it was to ignore that.
        assert_eq!(with_short_files("trap '' XFSZ; ", shim, &command).1.code, Some(1), "{shim}");
    }
}

#[test]
fn a_timeout_ends_the_command_with_124() {
    let place = Place::new();
    let finished = place.finish(["run", "--timeout", "50ms", "--", "sleep", "60"]);
    assert_eq!(finished.code, Some(124));
    assert!(finished.stderr.starts_with("tacho: error[timed_out]: ran longer than its limit of 50 ms"));
    assert_eq!(failure(&place.record()), Some(FailureKind::TimedOut));
}

#[test]
fn bytes_that_are_no_text_are_executed_as_given_and_recorded_lossily() {
    let place = Place::new();
    let argument = OsString::from_vec(b"a\xffb".to_vec());
    let output = place.tacho(["run", "--", "printf", "%s"]).arg(argument).output().unwrap();
    assert_eq!(output.stdout, b"a\xffb");
    let Workload::Command { argv, .. } = place.record().run.spec.workload.clone() else { panic!("no command") };
    assert_eq!(argv, ["printf", "%s", "a\u{fffd}b"]);
}

#[test]
fn name_labels_directory_and_timeout_are_recorded() {
    let place = Place::new();
    let cwd = std::fs::canonicalize(place.path("")).unwrap();
    let mut command = place.tacho(["run", "--name", "build", "--label", "team=core", "--label", "empty="]);
    command.args(["--timeout", "1h", "--cwd"]).arg(&cwd).args(["--", "pwd"]);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", cwd.display()));
    let spec = place.record().run.spec;
    assert_eq!(spec.name.as_deref(), Some("build"));
    let labels: Vec<_> = spec.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("empty", ""), ("team", "core")]);
    assert_eq!(spec.limits.wall_ms, Some(3_600_000));
    assert_eq!(spec.workload, Workload::Command { argv: vec!["pwd".into()], cwd: Some(cwd.display().to_string()) });
}

#[test]
fn the_command_knows_its_run_and_with_v_so_does_its_caller() {
    let place = Place::new();
    let script = "echo $TACHO_RUN_ID $TACHO_ATTEMPT_ID $TACHO_ATTEMPT; test -d \"$TACHO_RUN_DIR\"";
    let finished = place.finish(["run", "-v", "--", "sh", "-c", script]);
    let record = place.record();
    let attempt = record.run.attempt.unwrap();
    assert_eq!(finished.stdout, format!("{} {} 1\n", record.run.id, attempt.id));
    assert!(finished.stderr.contains(&format!("run={}", record.run.id)), "{}", finished.stderr);
    assert_eq!(finished.code, Some(0));
}

#[test]
fn standard_input_is_the_commands_own() {
    let place = Place::new();
    let mut command = place.tacho(["run", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed in").unwrap();
    assert_eq!(Finished::of(child).stdout, "typed in");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_in_a_pipeline() {
    let place = Place::new();
    // It goes on until long after somebody must have noticed, however slow this machine is.
    let lines = "for i in $(seq 6000); do echo y; sleep 0.01; done";
    let mut child = place.tacho(["run", "--", "sh", "-c", lines]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "y\n");
    assert_eq!(Finished::of(child).code, Some(128 + 13));
    assert_eq!(status(&place.record()), Some(ExitStatus::Signal(13)));
}

#[test]
fn a_command_that_ignores_the_signal_fails_at_its_next_write_and_its_output_counts_as_incomplete() {
    for (redirection, stream) in [("", Stream::Stdout), (">&2", Stream::Stderr)] {
        let place = Place::new();
        let lines = format!("for i in $(seq 6000); do echo more {redirection} || exit 42; sleep 0.01; done");
        let mut command = place.tacho(["run", "--", "sh", "-c", &format!("trap '' PIPE; {lines}")]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (mut reader, writer) = std::io::pipe().unwrap();
        match stream {
            Stream::Stdout => command.stdout(writer),
            Stream::Stderr => command.stderr(writer),
        };
        let child = command.spawn().unwrap();
        // The command's own end of the pipe goes, so that the reader below is the only one.
        drop(command);
        reader.read_exact(&mut [0; 5]).unwrap();
        drop(reader);
        assert_eq!(Finished::of(child).code, Some(42));
        let record = place.record();
        let Some(Outcome::Exited { exit, .. }) = record.run.attempt.unwrap().outcome else { panic!("no exit") };
        let Drain::DrainTimedOut { open, .. } = exit.output.unwrap().drain else { panic!("not all was received") };
        assert_eq!(open, [stream]);
    }
}

#[test]
fn output_that_cannot_be_passed_through_is_an_error_and_the_run_is_recorded_all_the_same() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.tacho(["run", "--", "seq", "3"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr.starts_with("tacho: error[output]: cannot write to standard output: No space left"), "{stderr}");
    assert_eq!(status(&place.record()), Some(ExitStatus::Code(0)));
}

#[test]
fn much_output_arrives_whole() {
    let place = Place::new();
    let output = place.tacho(["run", "--", "sh", "-c", "yes recorded | head -c 20000000"]).output().unwrap();
    let expected: Vec<u8> = b"recorded\n".iter().copied().cycle().take(20_000_000).collect();
    assert!(output.stdout == expected, "{} bytes", output.stdout.len());
}

#[test]
fn a_slow_reader_is_waited_for_though_the_run_has_ended() {
    let place = Place::new();
    assert_eq!(place.run("exit 3").code, Some(3));
    let mut follower = Follower(place.tacho(["tail", "--follow"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut entries = BufReader::new(follower.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(entries.any(|line| line.contains("exited with code 3")));
    // Much more than a pipe holds, and nobody reads.
    let script = "head -c 1000000 /dev/zero; exit 4";
    let mut child = place.tacho(["run", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    assert!(entries.any(|line| line.contains("exited with code 4")), "the end is recorded before all is read");
    assert!(child.try_wait().unwrap().is_none(), "the rest of the output is lost");
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    assert_eq!((output.len(), Finished::of(child).code), (1_000_000, Some(4)));
}

#[test]
fn a_shim_is_the_parent_of_the_command_unless_it_is_not_wanted() {
    let parents = ["tacho-shim shim ", "run --no-shim "].map(ToOwned::to_owned);
    for (options, parent) in [&["run"][..], &["run", "--no-shim"]].iter().zip(parents) {
        let place = Place::new();
        let script = "tr '\\0' ' ' < /proc/$PPID/cmdline; exit 6";
        let finished = place.finish(options.iter().chain(&["--", "sh", "-c", script]));
        assert_eq!(finished.code, Some(6), "{}", finished.stderr);
        assert!(finished.stdout.contains(&parent), "{}", finished.stdout);
    }
}

#[test]
fn a_killed_shim_is_no_success_and_says_so() {
    let place = Place::new();
    let finished = place.run("kill -9 $PPID; read line");
    assert_eq!(finished.code, Some(125), "{}", finished.stderr);
    assert!(finished.stderr.contains("its shim was killed by signal 9"), "{}", finished.stderr);
    assert!(matches!(status(&place.record()), Some(ExitStatus::Unknown { .. })));
}

/// A tool that ends with the test, also with one that fails.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn an_exit_that_nobody_saw_has_a_code_of_its_own() {
    let place = Place::new();
    let job = Job::begin(&place, ":", "exit 0");
    send(job.shim(), Signal::KILL);
    let finished = job.finish();
    assert_eq!(finished.code, Some(125), "{}", finished.stderr);
    let says = "tacho: error[exit_unknown]: the exit status is unknown: its shim was killed by signal 9";
    assert!(finished.stderr.contains(says), "{}", finished.stderr);
}

#[test]
fn the_rest_of_a_run_is_ended_by_the_next_writer_which_calls_it_by_name_and_id() {
    let place = Place::new();
    let sleeper = "sh -c 'exec > /dev/null 2>&1; exec sleep 600' & child=$!; say $child; :";
    let mut job = Job::begin_with(&place, &[], sleeper, "exit 0");
    let child = job.pid;
    let [leader, shim] = [job.shim(), parent_of(job.shim())].map(|pid| ProcessIdentity::of(pid).unwrap());
    job.crash();
    send(shim.pid, Signal::KILL);
    // What is killed is gone as soon as it gets the processor once more, and until then it is followed.
    until("shim and command are gone", || !shim.is_alive() && !leader.is_alive());
    let next = place.run(":");
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    let id = place.records()[0].run.id;
    assert!(next.stderr.contains(&format!("tacho: run build ({id}) was left open: unknown: ")), "{}", next.stderr);
    assert!(next.stderr.contains(&format!("ended of its process group: process {child}\n")), "{}", next.stderr);
    // Whoever its parent is now may not have reaped it yet.
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
    assert!(stat.is_err() || stat.unwrap().contains(") Z "), "it goes on");
}
