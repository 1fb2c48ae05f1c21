use tachograph_engine::domain::{Drain, ExitStatus};

use crate::support::{Attempt, digest};

/// Runs these scripts, a few at a time.
fn statuses(scripts: &[String]) -> Vec<ExitStatus> {
    let mut statuses = Vec::new();
    for some in scripts.chunks(8) {
        let shims: Vec<_> = some.iter().map(|script| Attempt::sh(script).start()).collect();
        statuses.extend(shims.into_iter().map(|shim| shim.end().status));
    }
    statuses
}

#[test]
fn every_code_is_recorded_as_it_was_returned() {
    let scripts: Vec<_> = (0..=255).map(|code| format!("exit {code}")).collect();
    let expected: Vec<_> = (0..=255).map(ExitStatus::Code).collect();
    assert_eq!(statuses(&scripts), expected);
}

#[test]
fn a_signal_is_no_code() {
    // What this process was started to ignore, as under nohup, its children ignore as well.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    let taken = |signal: &i32| *signal == 13 || ignored >> (signal - 1) & 1 == 0;
    let signals: Vec<i32> = [1, 2, 3, 6, 9, 10, 11, 13, 15, 31, 40, 64].into_iter().filter(taken).collect();
    assert!(signals.contains(&9));
    let scripts: Vec<_> = signals.iter().map(|signal| format!("ulimit -c 0; kill -{signal} $$")).collect();
    let expected: Vec<_> = signals.into_iter().map(ExitStatus::Signal).collect();
    assert_eq!(statuses(&scripts), expected);
}

#[test]
fn the_record_names_the_attempt_the_output_and_what_was_used() {
    // Some work, so that there is something to count.
    let shim = Attempt::sh("echo out; echo err >&2; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").start();
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!((record.run, record.attempt), (attempt.assignment.run, attempt.assignment.attempt));
    assert!(record.is_word_of(&attempt.assignment.runner));
    let output = record.output.unwrap();
    assert_eq!((output.stdout.digest, output.stderr.digest), (digest(b"out\n"), digest(b"err\n")));
    assert_eq!((attempt.file("stdout"), attempt.file("stderr")), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(output.drain, Drain::Drained);
    let usage = record.usage.unwrap();
    assert!(usage.user_us + usage.system_us > 0, "{usage:?}");
    assert!((500_000..100_000_000).contains(&usage.resident_bytes_max), "{usage:?}");
    assert_eq!((record.failure, record.lingering), (None, Vec::new()));
}

#[test]
fn a_record_that_was_there_before_is_a_claim_and_set_aside() {
    let (record, attempt) = Attempt::sh("echo succeeded > $TACHO_RUN_DIR/exit.json; exit 9").start().end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(9));
    assert_eq!(attempt.file("exit.claim.json"), b"succeeded\n");
}
