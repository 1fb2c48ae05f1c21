use std::fs::{File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tachograph_adapters::process::ProcessIdentity;
use tachograph_adapters::shim::{Notice, Standing, standing};
use tachograph_engine::domain::ExitStatus;

use crate::lonely::{lonely, reachable};
use crate::support::{Attempt, PROGRAM, until, until_gone};

#[test]
fn the_command_finds_its_own_identity_on_disk() {
    let (_, attempt) = Attempt::sh("cat $TACHO_RUN_DIR/identity.json; echo; echo $$ $PPID").start().end_and_attempt();
    let told = String::from_utf8(attempt.file("stdout")).unwrap();
    let (identity, pids) = told.trim_end().rsplit_once('\n').unwrap();
    let identity: serde_json::Value = serde_json::from_str(identity).unwrap();
    assert_eq!(format!("{} {}", identity["process"]["pid"], identity["shim"]["pid"]), pids);
    assert_eq!(identity["attempt"], attempt.assignment.attempt.to_string());
    assert_eq!(identity["run"], attempt.assignment.run.to_string());
    assert_eq!(identity["supervisor"]["pid"], std::process::id());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&told[..told.len() - pids.len() - 1]).unwrap(), identity);
}

#[test]
fn a_live_attempt_is_known_by_its_identity_and_no_other() {
    let mut attempt = Attempt::sh("read line < $go");
    let go = attempt.pipe("go");
    let (run, id) = (attempt.assignment.run, attempt.assignment.attempt);
    assert_eq!(standing(&attempt.directory(), run, id).unwrap(), Standing::Unknown);
    let mut shim = attempt.start();
    let pid = shim.started();
    let directory = shim.attempt.directory();
    let Standing::Attended(identity) = standing(&directory, run, id).unwrap() else { panic!("not attended") };
    assert_eq!(identity.process, Some(ProcessIdentity::of(pid).unwrap()));
    assert_eq!(identity.shim, Some(ProcessIdentity::of(shim.pid()).unwrap()));
    // The same files under another start and another boot: somebody else has the pid now.
    let file = directory.identity();
    let text = std::fs::read_to_string(&file).unwrap();
    let ticks = identity.shim.as_ref().unwrap().start_ticks;
    std::fs::write(&file, text.replace(&format!("\"start_ticks\": {ticks}"), "\"start_ticks\": 1")).unwrap();
    let stranger = standing(&directory, run, id).unwrap();
    assert!(matches!(stranger, Standing::ShimGone { .. }), "{stranger:?}");
    std::fs::write(&file, text.replace(&identity.shim.as_ref().unwrap().boot_id, "another")).unwrap();
    let other_boot = standing(&directory, run, id).unwrap();
    assert!(matches!(other_boot, Standing::OtherBoot(_)), "{other_boot:?}");
    std::fs::write(&file, text).unwrap();
    go.release();
    let (_, attempt) = shim.end_and_attempt();
    let gone = standing(&attempt.directory(), run, id).unwrap();
    assert!(matches!(gone, Standing::ShimGone { process_alive: false, .. }), "{gone:?}");
}

#[test]
fn the_command_gets_what_it_needs_and_nothing_else() {
    let mut attempt = Attempt::sh("ls -l /proc/self/fd; env; cat /proc/$$/stat; grep Sig /proc/self/status; pwd");
    attempt.cwd = Some(attempt.data.path().to_owned());
    attempt.env.push(("SECRET".into(), "x=1\n2".into()));
    let (record, attempt) = attempt.start().end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(0));
    let told = String::from_utf8(attempt.file("stdout")).unwrap();
    let open: Vec<_> = told.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let targets: Vec<_> = open.iter().map(|(_, target)| target.split(':').next().unwrap()).collect();
    assert!(matches!(&targets[..], ["/dev/null", "pipe", "pipe", own] if own.starts_with("/proc/")), "{open:#?}");
    assert!(told.contains("\nSECRET=x=1\n2\n"), "{told}");
    assert!(!told.contains("CARGO"), "nothing of the supervisor's: {told}");
    let stat: Vec<_> = told.lines().find(|line| line.contains("(sh)")).unwrap().split(' ').collect();
    assert_eq!(stat[0], stat[4], "it leads its group");
    assert_eq!(stat[5], stat[3], "its session is the shim's");
    let mask = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        u64::from_str_radix(line.trim_start_matches([':', '\t']), 16).unwrap()
    };
    assert_eq!(mask(&told, "SigBlk"), 0);
    // Every Rust program ignores PIPE; what it executes should not.
    assert_eq!(mask(&told, "SigIgn") & (1 << 12), 0);
    assert!(told.ends_with(&format!("{}\n", attempt.data.path().display())), "{told}");
    for file in std::fs::read_dir(attempt.directory().path()).unwrap() {
        let file = file.unwrap().path();
        let content = std::fs::read(&file).unwrap();
        assert!(file.ends_with("stdout") || !content.windows(6).any(|part| part == b"SECRET"), "{file:?}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn what_a_supervisor_leaves_open_reaches_neither_shim_nor_command() {
    let mut attempt = Attempt::sh("ls -l /proc/self/fd /proc/$PPID/fd; read line < $go");
    let go = attempt.pipe("go");
    let mut supervisor = Command::new("sh");
    supervisor.args(["-c", "exec 7< \"$0\" 9> /dev/null; exec \"$0\" shim", PROGRAM]);
    supervisor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shim = attempt.start_by(supervisor);
    shim.started();
    let held = std::fs::read_dir(format!("/proc/{}/fd", shim.pid())).unwrap();
    // What it closes meanwhile it does not hold.
    let mut targets = held.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert!(!targets.any(|target| target == Path::new(PROGRAM)), "the shim holds it");
    go.release();
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(0));
    let told = String::from_utf8(attempt.file("stdout")).unwrap();
    assert!(!told.contains(PROGRAM), "{told}");
    let of_command = told.split("\n\n").find(|part| part.starts_with("/proc/self/")).unwrap();
    // The listing's own one beside the three.
    assert_eq!(of_command.matches(" -> ").count(), 4, "{told}");
}

#[test]
fn a_shim_that_was_started_to_ignore_how_children_end_sees_it_all_the_same() {
    let attempt = Attempt::sh("grep SigIgn /proc/self/status; exit 7");
    let mut supervisor = Command::new("env");
    supervisor.args(["--ignore-signal=CHLD", PROGRAM, "shim"]);
    supervisor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let shim = attempt.start_by(supervisor);
    until_gone(shim.pid());
    let (record, attempt) = shim.end_and_attempt();
    assert_eq!(record.status, ExitStatus::Code(7));
    let told = String::from_utf8(attempt.file("stdout")).unwrap();
    let ignored = u64::from_str_radix(told.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored & (1 << 16), 0, "the command does not ignore it: {told}");
}

#[test]
fn standard_input_is_what_the_supervisor_gave() {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(b"line\n").unwrap();
    input.rewind().unwrap();
    let mut attempt = Attempt::sh("cat; ls -l /proc/self/fd >&2");
    attempt.stdin = Some(Stdio::from(input));
    let (_, attempt) = attempt.start().end_and_attempt();
    assert_eq!(attempt.file("stdout"), b"line\n");
    assert_eq!(String::from_utf8(attempt.file("stderr")).unwrap().matches(" -> ").count(), 4);
}

#[test]
fn what_cannot_be_executed_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode| {
        let path = data.path().join(name);
        // Written by another process: if this one had it open for writing, a child of another test could have it still.
        let write = Command::new("sh").args(["-c", "printf %s \"$1\" > \"$0\""]).arg(&path).arg(content).status();
        assert!(write.unwrap().success());
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        ("no-such-program".to_owned(), None, "not_found", "no directory of PATH has it"),
        (file("text", "hello", 0o644), None, "not_executable", "chmod +x"),
        (file("garbage", "\u{1}garbage", 0o755), None, "not_executable", "no executable format"),
        (file("script", "#!/no/such/interpreter\n", 0o755), None, "not_found", "/no/such/interpreter"),
        ("true".to_owned(), Some("/no/such/directory"), "not_found", "working directory"),
    ];
    for (program, cwd, kind, says) in cases {
        let mut attempt = Attempt::new(&[&program]);
        // In a directory of the caller's own PATH that this user may not search, one that is missing could be.
        attempt.env.retain(|(name, _)| name != "PATH");
        attempt.env.push(("PATH".into(), "/usr/bin:/bin".into()));
        attempt.cwd = cwd.map(Into::into);
        let mut shim = attempt.start();
        assert_eq!(shim.next(), Some(Notice::Recorded {}), "{program}: never started");
        let record = shim.end();
        let (told, message) = record.failure.clone().unwrap();
        assert_eq!(told, kind, "{record:?}");
        let all = format!("{message} {:?}", record.diagnostics);
        assert!(all.contains(says), "{says:?} is not in {all}");
        assert!(matches!(record.status, ExitStatus::Unknown { .. }) && record.output.is_none(), "{record:?}");
    }
}

#[test]
fn a_directory_that_cannot_take_the_identity_lets_nothing_be_executed() {
    let mut attempt = Attempt::sh("echo > $TACHO_RUN_DIR/../executed");
    attempt.cwd = Some(attempt.data.path().to_owned());
    // In the place of the identity's draft there is something that no file can replace.
    std::fs::create_dir(attempt.directory().path().join("identity.json.draft")).unwrap();
    File::create(attempt.directory().path().join("identity.json.draft/x")).unwrap();
    let (record, attempt) = attempt.start().end_and_attempt();
    let (kind, message) = record.failure.unwrap();
    assert_eq!(kind, "spawn_failed");
    assert!(message.contains("identity.json"), "{message}");
    assert!(attempt.identity().is_none());
    assert!(!attempt.directory().path().parent().unwrap().join("executed").exists());
}

/// Sets a limit on the processes of its user, which that user may lift again, and becomes the shim.
const LIMITED: &str = "ulimit -S -p 1 2>/dev/null || ulimit -S -u 1; exec \"$0\" \"$@\"";

/// The same shim, with room for itself and for nobody else. Its user must have no other process, and be none that the limit
/// does not bind.
fn alone_of_its_user(script: &str, test: u32) -> Option<(Attempt, Command)> {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "another user is needed, which root alone can be");
        eprintln!("SKIPPED: another user is needed, which root alone can be");
        return None;
    }
    let user = lonely(test)?;
    let attempt = Attempt::in_place(reachable(user)?, &["sh", "-c", script]);
    let data = attempt.data.path();
    // Where that user may go, and not open for writing in this process, whose children would have it open as well.
    let program = data.join("tacho-shim");
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    assert!(Command::new("chown").arg("-R").arg(user.to_string()).arg(data).status().unwrap().success());
    let shim = attempt.assignment.command(&program, None);
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(LIMITED).arg(&program).args(shim.get_args()).env_clear().uid(user).gid(user).current_dir("/");
    limited.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Some((attempt, limited))
}

#[test]
fn a_limit_that_leaves_no_room_for_the_command_is_named_after_it_was_tried_for_a_while() {
    let Some((attempt, shim)) = alone_of_its_user("echo > $TACHO_RUN_DIR/../executed", 0) else { return };
    let begun = Instant::now();
    let (record, attempt) = attempt.start_by(shim).end_and_attempt();
    let (kind, message) = record.failure.clone().unwrap();
    assert_eq!(kind, "spawn_failed", "{record:?}");
    assert!(message.starts_with("its shim cannot start it: Resource temporarily unavailable"), "{message}");
    let cause = record.diagnostics.likely_cause.unwrap_or_default();
    assert!(cause.contains("`ulimit -u`"), "{cause}");
    assert!(begun.elapsed() > Duration::from_secs(1), "it was tried once");
    assert!(attempt.identity().is_none() && !attempt.directory().path().join("../executed").exists());
}

/// A pause between two tries is the only sleep of a shim that has not begun.
fn pauses(shim: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{shim}/wchan")).is_ok_and(|place| place.contains("nanosleep"))
}

#[test]
fn a_limit_that_is_lifted_meanwhile_costs_nothing_but_time() {
    let Some((attempt, shim)) = alone_of_its_user("echo >> $TACHO_RUN_DIR/../executed; exit 7", 1) else { return };
    let (begun, shim) = (Instant::now(), attempt.start_by(shim));
    let has_given_up = || shim.attempt.record().is_some();
    let mut is_seen = false;
    let look = || {
        is_seen = pauses(shim.pid());
        is_seen || has_given_up()
    };
    until(look, "it neither waits nor gives up");
    assert!(is_seen || begun.elapsed() > Duration::from_secs(1), "it was tried once");
    // Root may be one that may not lift the limits of others.
    let user = shim.attempt.data.path().metadata().unwrap().uid();
    let mut lift = Command::new("prlimit");
    lift.arg("--nproc=64:").arg(format!("--pid={}", shim.pid())).uid(user).gid(user).current_dir("/");
    let lifted = lift.output().unwrap();
    assert!(lifted.status.success() || has_given_up(), "{lifted:?}");
    let (record, attempt) = shim.end_and_attempt();
    let executed = std::fs::read_to_string(attempt.directory().path().join("../executed")).unwrap_or_default();
    // A machine that does not let this test go on for a second lifts it too late.
    let expected = if record.failure.is_some() { (None, "") } else { (Some(7), "\n") };
    let code = if let ExitStatus::Code(code) = record.status { Some(code) } else { None };
    assert_eq!((code, executed.as_str()), expected, "{record:?}");
}
