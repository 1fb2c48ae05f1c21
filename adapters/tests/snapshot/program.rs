use std::ffi::OsString;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, mknodat};
use tachograph_adapters::process::ProcessIdentity;
use tachograph_adapters::snapshot::CommandSnapshotter;
use tachograph_engine::ports::Snapshotter;

use super::support::{World, assert_told};

/// A snapshotter whose program is a script; `$1` is the data directory.
fn shell(world: &World, script: &str) -> CommandSnapshotter {
    let argv = ["sh", "-c", script, "sh"].map(OsString::from).into_iter();
    let argv = argv.chain([world.data.path().canonicalize().unwrap().into_os_string()]);
    CommandSnapshotter::open(world.data.path(), None, argv.collect()).unwrap()
}

async fn failure(world: &World, script: &str) -> String {
    let error = shell(world, script).take(&world.wanted).await.unwrap_err();
    assert!(!world.folder().exists(), "{:?}", world.images());
    error.message
}

#[tokio::test]
async fn what_the_program_leaves_is_the_image() {
    let world = World::new();
    let told = "$TACHO_RUN_ID $TACHO_ATTEMPT_ID $TACHO_ATTEMPT $TACHO_RUN_DIR $TACHO_SNAPSHOT_ID";
    let script =
        format!("read line; umask 0; echo \"{told}$line\" >$TACHO_SNAPSHOT_FILE; echo $TACHO_SNAPSHOT_FILE >$1/where");
    let snapshotter = shell(&world, &script);
    let image = snapshotter.take(&world.wanted).await.unwrap();
    let wanted = &world.wanted;
    assert_eq!(image.location, format!("snapshots/{}/{}.image", wanted.run, wanted.snapshot));
    assert_told(&world, &image);
    let path = world.data.path().join(&image.location);
    let directory = world.attempt.canonicalize().unwrap();
    let expected = format!("{} {} 2 {} {}\n", wanted.run, wanted.attempt, directory.display(), wanted.snapshot);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(std::fs::read_to_string(world.data.path().join("where")).unwrap().ends_with(".partial\n"));
    assert_eq!(snapshotter.find(wanted).await.unwrap(), Some(image));
    snapshotter.discard(wanted).await.unwrap();
    assert!(!world.folder().exists());
}

#[tokio::test]
async fn a_failure_is_told_with_the_last_lines() {
    let world = World::new();
    let script = "echo half >$TACHO_SNAPSHOT_FILE; seq 1 20000; printf 'no \\033[2Jroom\\n' >&2; exit 3";
    let message = failure(&world, script).await;
    assert!(message.starts_with("\"sh\" ended with exit status: 3; "), "{message}");
    assert!(message.ends_with("19999 / 20000 / no [2Jroom"), "{message}");
    assert!(!message.contains("19991 "), "{message}");
    let message = failure(&world, "kill -9 $$").await;
    assert!(message.contains("signal: 9") && message.ends_with("it wrote nothing"), "{message}");
}

#[tokio::test]
async fn success_without_a_regular_file_is_a_failure() {
    let world = World::new();
    let message = failure(&world, "exit 0").await;
    assert!(message.contains("left nothing at TACHO_SNAPSHOT_FILE"), "{message}");
    let others =
        ["mkdir $TACHO_SNAPSHOT_FILE; echo x >$TACHO_SNAPSHOT_FILE/x", "ln -s /etc/passwd $TACHO_SNAPSHOT_FILE"];
    for script in others.into_iter().chain(["mkfifo $TACHO_SNAPSHOT_FILE"]) {
        let message = failure(&world, script).await;
        assert!(message.contains("no regular file"), "{script}: {message}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let world = World::new();
    let argv = vec![OsString::from("/nonexistent/program")];
    let snapshotter = CommandSnapshotter::open(world.data.path(), None, argv).unwrap();
    let message = snapshotter.take(&world.wanted).await.unwrap_err().message;
    assert!(message.contains("cannot start \"/nonexistent/program\""), "{message}");
    assert!(CommandSnapshotter::open(world.data.path(), None, Vec::new()).is_err());
    assert!(CommandSnapshotter::open(world.data.path(), None, vec![OsString::new()]).is_err());
}

/// Ends as soon as this does not hold any more.
fn until_not(what: &str, holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(120);
    while holds() && Instant::now() < patience {
        std::thread::yield_now();
    }
    assert!(!holds(), "{what}");
}

fn pipe(world: &World) -> std::path::PathBuf {
    let pipe = world.data.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
    pipe
}

/// The processes whose pids are written to the pipe.
fn told(pipe: &Path) -> Vec<ProcessIdentity> {
    let line = std::fs::read_to_string(pipe).unwrap();
    line.split_whitespace().map(|pid| ProcessIdentity::of(pid.parse().unwrap()).unwrap()).collect()
}

#[test]
fn a_program_that_hangs_and_is_given_up_is_gone_with_its_whole_group_and_nobody_elses_child_is_reaped() {
    let world = World::new();
    let pipe = pipe(&world);
    let mut other = Command::new("sh").args(["-c", "exit 5"]).spawn().unwrap();
    let script = "trap '' TERM; sleep 600 & echo half >$TACHO_SNAPSHOT_FILE; echo $$ $! >$1/pipe; wait";
    let snapshotter = shell(&world, script);
    let processes = {
        let mut take = pin!(snapshotter.take(&world.wanted));
        assert!(take.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        told(&pipe)
    };
    assert_eq!(processes.len(), 2);
    until_not("they still run", || processes.iter().any(ProcessIdentity::is_alive));
    until_not("it was not reaped", || Path::new(&format!("/proc/{}", processes[0].pid)).exists());
    until_not("something is left", || world.folder().exists());
    assert_eq!(other.wait().unwrap().code(), Some(5));
}

/// Runs a script to a good end that has written pids to `$1/pipe`, and went on when it could read from `$1/go`.
async fn left_by(script: &str) -> ProcessIdentity {
    let world = World::new();
    let (pipe, go) = (pipe(&world), world.data.path().join("go"));
    mknodat(CWD, &go, FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::thread::spawn(move || {
        let left = told(&pipe);
        std::fs::write(go, "go\n").unwrap();
        left
    });
    shell(&world, script).take(&world.wanted).await.unwrap();
    reader.join().unwrap().remove(0)
}

#[tokio::test]
async fn what_a_program_leaves_running_in_its_group_is_killed_and_not_waited_for() {
    let left = left_by("sleep 600 & echo image >$TACHO_SNAPSHOT_FILE; echo $! >$1/pipe; read x <$1/go").await;
    until_not("it still runs", || left.is_alive());
}

#[tokio::test]
async fn a_process_that_left_the_group_and_keeps_the_output_open_holds_nobody_up() {
    let leaves = "setsid sh -c 'echo $$ >$1/pipe; exec sleep 600' sh $1 &";
    let left = left_by(&format!("{leaves} echo image >$TACHO_SNAPSHOT_FILE; read x <$1/go")).await;
    assert!(left.is_alive());
    let pid = rustix::process::Pid::from_raw(i32::try_from(left.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
