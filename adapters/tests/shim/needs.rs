use std::collections::BTreeMap;

use tachograph_engine::domain::ExitStatus;

use crate::support::{Attempt, processes};

/// What the issue of one shim more costs the machine: pages that nobody else has.
fn private_bytes(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    1_024 * (kib("Private_Clean:") + kib("Private_Dirty:"))
}

#[test]
fn its_memory_is_bounded_whatever_it_has_pumped() {
    let mut attempt = Attempt::sh("yes 12345678 | head -c 30000000 | tee /dev/stderr; echo > $ready; read line < $go");
    // The environment is passed on and forgotten.
    attempt.env.push(("LONG".into(), "x".repeat(100_000).into()));
    let (ready, go) = (attempt.pipe("ready"), attempt.pipe("go"));
    let mut shim = attempt.start();
    shim.started();
    ready.read_to_end();
    let bytes = private_bytes(shim.pid());
    println!("private memory of a shim: {} KiB", bytes / 1_024);
    go.release();
    assert_eq!(shim.end().status, ExitStatus::Code(0));
    assert!(bytes < 3 * 1_024 * 1_024, "{bytes}");
}

#[test]
fn it_has_one_thread_and_holds_only_what_it_needs() {
    let mut attempt = Attempt::sh("read line < $go");
    let go = attempt.pipe("go");
    let mut shim = attempt.start();
    let child = shim.started();
    let entries = |directory: &str| std::fs::read_dir(format!("/proc/{}/{directory}", shim.pid())).unwrap();
    let mut held = BTreeMap::<String, usize>::new();
    for entry in entries("fd") {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned();
        let kind = target.split(":[").next().unwrap().replace(shim.attempt.directory().path().to_str().unwrap(), "");
        *held.entry(kind).or_default() += 1;
    }
    let expected =
        [("/requests", 1), ("/exit.room", 1), ("/dev/null", 3), ("/stderr", 1), ("/stdout", 1), ("anon_inode", 1)];
    let mut expected: BTreeMap<_, _> = expected.map(|(name, count)| (name.to_owned(), count)).into();
    // Both streams, and the one to the supervisor.
    expected.insert("pipe".to_owned(), 3);
    assert_eq!(held, expected);
    assert_eq!(entries("task").count(), 1);
    assert_eq!(std::fs::read(format!("/proc/{}/environ", shim.pid())).unwrap(), b"");
    assert_eq!(std::fs::read_link(format!("/proc/{}/cwd", shim.pid())).unwrap().to_str(), Some("/"));
    let (_, _, parent) = processes().into_iter().find(|(pid, ..)| *pid == child).unwrap();
    assert_eq!(parent, shim.pid());
    go.release();
    shim.end();
}
