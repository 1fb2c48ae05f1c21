use std::process::{Command, Stdio};

use crate::support::{Finished, Place};

/// Less than a supervisor and its one command need, and more.
const TOO_FEW: u32 = 18;
const ENOUGH: u32 = 64;

/// Runs a command under a limit on open files. Returns how often it was executed, and how the tool ended.
fn executed(most: u32) -> (usize, Finished) {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $0; exec \"$@\"", &most.to_string(), env!("CARGO_BIN_EXE_tacho")]);
    command.args(["run", "--no-shim", "--", "sh", "-c", "echo x >> once; exit 7"]).current_dir(place.path(""));
    command.env("TACHO_DATA", place.data()).env_remove("TACHO_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let finished = Finished::of(command.spawn().unwrap());
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
