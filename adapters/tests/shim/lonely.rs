//! Users who have no other processes: a limit on processes is on all that one user has, and does not bind root.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Tests of one process that have a user of their own.
const TESTS: u32 = 8;

/// The user of one test of this process. Absent, and said so, where root cannot become another user: in a container of
/// somebody who is not root there may be only one. No tool that could be installed would help, so that it never fails.
pub(crate) fn lonely(test: u32) -> Option<u32> {
    assert!(test < TESTS);
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let found = first_of(&map, own_number(), &used()).map(|first| first + test);
    let why = match found.map(|user| (user, become_one(user))) {
        Some((user, Ok(()))) => return Some(user),
        Some((user, Err(error))) => format!("this root cannot become user {user}: {error}"),
        None => format!("another user is needed, and there is no room for one among those of {map:?}"),
    };
    eprintln!("SKIPPED: {why}");
    None
}

/// A number of this process alone, also among those in other pid namespaces, which may have its pid and are not seen here: a
/// limit is on what one user has in all of them.
fn own_number() -> u32 {
    let namespace = std::fs::metadata("/proc/self/ns/pid").unwrap().ino();
    // Numbers of namespaces follow each other, as pids do; these lie far apart.
    std::process::id().wrapping_add((namespace as u32).wrapping_mul(0x9E37_79B1))
}

/// Tries it.
fn become_one(user: u32) -> std::io::Result<()> {
    let mut nothing = Command::new("true");
    nothing.uid(user).gid(user).current_dir("/").stdin(Stdio::null());
    nothing.status().map(drop)
}

/// A directory of that user's own where that user may go: what keeps temporary files may lie where root alone may.
pub(crate) fn reachable(user: u32) -> Option<tempfile::TempDir> {
    let places = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let found = places.into_iter().filter_map(|place| tempfile::tempdir_in(place).ok()).find(|made| {
        chown(made.path(), Some(user), Some(user)).unwrap();
        let mut look = Command::new("sh");
        look.args(["-c", "test -w \"$0\""]).arg(made.path()).uid(user).gid(user).current_dir("/");
        look.status().unwrap().success()
    });
    if found.is_none() {
        eprintln!("SKIPPED: user {user} may go neither where temporary files are kept nor to /tmp or /var/tmp");
    }
    found
}

/// A program, open for another user to execute as its standard input: so it need not be where that user may go. One that is
/// made under a narrow umask is its owner's alone, and is copied; the copy stays until its directory is dropped.
pub(crate) fn executable(program: &Path) -> (File, Option<tempfile::TempDir>) {
    let file = File::open(program).unwrap();
    if file.metadata().unwrap().mode() & 0o001 != 0 {
        return (file, None);
    }
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("program");
    // By another process: if this one had it open for writing, a child of another test could have it still.
    let copied = Command::new("install").args(["-m", "755"]).arg(program).arg(&copy).status().unwrap();
    assert!(copied.success());
    (File::open(copy).unwrap(), Some(place))
}

/// The users who have processes.
fn used() -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter_map(|process| Some(process.metadata().ok()?.uid())).collect()
}

/// The first of as many users as a process may need: each process has others, and none has processes already. Where there
/// are enough, they are some that are nobody's.
fn first_of(map: &str, process: u32, used: &[u32]) -> Option<u32> {
    const FAR: u32 = 100_000;
    // Below are those of the system and its people, above are some that it hands out by itself.
    const NEAR: std::ops::Range<u32> = 10_000..60_000;
    let mapped: Vec<(u32, u32)> = map.lines().filter_map(mapped).collect();
    [FAR..u32::MAX - 1, NEAR].into_iter().find_map(|wanted| {
        let within = mapped.iter().map(|(first, end)| (*first.max(&wanted.start), *end.min(&wanted.end)));
        let (first, end) = within.max_by_key(|(first, end)| end.saturating_sub(*first))?;
        let places = end.saturating_sub(first) / TESTS;
        let starts = (0..places.min(1_000)).map(|more| first + TESTS * ((process % places + more) % places));
        starts.into_iter().find(|start| !used.iter().any(|user| (*start..start + TESTS).contains(user)))
    })
}

/// The first user of a line, and the one after its last.
fn mapped(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
    Some((first, first.saturating_add(count)))
}

#[test]
fn users_are_taken_where_there_are_some() {
    let all = "         0          0 4294967295\n";
    let rootless = "0 1000 1\n1 100000 65536\n";
    assert_eq!(first_of(all, 7, &[0, 33]), Some(100_056));
    assert_eq!(first_of(all, u32::MAX / 16, &[]), Some(100_000 + u32::MAX / 16 * 8));
    assert_eq!(first_of(rootless, 7, &[0]), Some(10_056));
    assert_eq!(first_of(rootless, 7 + 6_250, &[0]), Some(10_056), "more processes than places");
    assert_eq!(first_of(rootless, 6_249, &[59_999]), Some(10_000), "from the last place to the first");
    assert_eq!(first_of(rootless, 7, &[10_063]), Some(10_064), "whose last user has a process");
    assert_eq!(first_of("0 0 1\n", 7, &[]), None);
    assert_eq!(first_of("0 0 10007\n", 7, &[]), None, "room for seven");
    assert_eq!(first_of("0 0 10008\n", 7, &[]), Some(10_000));
    assert_eq!(first_of("", 7, &[]), None);
}
