use std::process::{Command, Stdio};

use crate::support::{Finished, Place};

/// Less than a supervisor and its one command need, and more.
const TOO_FEW: u32 = 18;
const ENOUGH: u32 = 64;

/// The tool under a limit on open files.
fn limited(place: &Place, most: u32, arguments: &[&str]) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $0; exec \"$@\"", &most.to_string(), env!("CARGO_BIN_EXE_tacho")]);
    command.args(arguments).current_dir(place.path(""));
    command.env("TACHO_DATA", place.data()).env("RUST_BACKTRACE", "0").env_remove("TACHO_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Finished::of(command.spawn().unwrap())
}

/// Runs a command under a limit on open files. Returns how often it was executed, and how the tool ended.
fn executed(most: u32) -> (usize, Finished) {
    let place = Place::new();
    let finished = limited(&place, most, &["run", "--no-shim", "--", "sh", "-c", "echo x >> once; exit 7"]);
    let lines = std::fs::read_to_string(place.path("once")).unwrap_or_default();
    (lines.lines().count(), finished)
}

#[test]
fn however_few_descriptors_there_are_a_command_is_executed_once_or_not_at_all() {
    for most in TOO_FEW..=ENOUGH {
        let (times, finished) = executed(most);
        let told = format!("at most {most}, {times} times: {:?}, {}", finished.code, finished.stderr);
        assert!(times <= 1, "{told}");
        assert!(times == 0 || !finished.stderr.contains("nothing was executed"), "{told}");
        if finished.code == Some(7) {
            assert!(times == 1 && most > TOO_FEW, "{told}");
            return;
        }
    }
    panic!("{ENOUGH} are not enough");
}

#[test]
fn wherever_a_file_cannot_be_opened_any_more_the_limit_is_named() {
    let place = Place::new();
    assert_eq!(place.run("echo out").code, Some(0));
    let commands =
        [&["run", "--", "sh", "-c", "exit 7"][..], &["run", "--no-shim", "--", "sh", "-c", "exit 7"], &["runs"]];
    for arguments in commands {
        // With fewer, not even the loader can open what the tool is linked with. A start that was tried for takes a while, and one is enough.
        let enough = (4..=TOO_FEW + 1).chain([ENOUGH]).find(|most| {
            let new = Place::new();
            let place = if arguments[0] == "run" { &new } else { &place };
            let finished = limited(place, *most, arguments);
            let told = format!("at most {most}, {arguments:?}: {:?}, {}", finished.code, finished.stderr);
            let is_well = matches!(finished.code, Some(0 | 7));
            assert!(is_well || finished.stderr.contains("`ulimit -n`"), "{told}");
            for line in finished.stderr.lines().filter(|line| line.contains("Too many open files")) {
                let is_error = line.starts_with("tacho: error[");
                assert!(is_error || line.ends_with("`ulimit -n`"), "{told}");
                assert!(!line.contains("error[internal]") && !line.contains("/proc/self"), "{told}");
            }
            is_well && finished.stderr.is_empty()
        });
        assert!(enough.is_some(), "{ENOUGH} are not enough for {arguments:?}");
    }
}

#[test]
fn that_fewer_jobs_run_at_a_time_than_asked_for_is_said_with_the_limit_and_the_remedy() {
    let place = Place::new();
    let text: String = (0..8).map(|number| format!("[jobs.j{number}]\ncommand = ['true']\n")).collect();
    let jobs = place.jobs(&text);
    let finished = limited(&place, ENOUGH, &["supervise", "--jobs", "8", &jobs]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let told = "1 jobs run at a time, and not 8: the limits on open files (ulimit -n, 64) and processes (ulimit -u, ";
    assert_eq!(finished.stderr.matches(told).count(), 1, "{}", finished.stderr);
    let enough = place.finish(["supervise", "--jobs", "8", &jobs]);
    assert!(!enough.stderr.contains("run at a time"), "{}", enough.stderr);
}
