use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tachograph_adapters::freeze::{FreezeTarget, Freezer, FreezerOptions, ProcessFreezer};
use tachograph_adapters::oci::{Container, ContainerStatus};
use tachograph_adapters::process::{AttemptDirectory, Identity, Launch, RunHandle};
use tachograph_engine::domain::{ExitStatus, FailureKind, Outcome, RunSpec, Stream, Workload};

use crate::support::{Bench, HANG, LONG};

const BUSYBOX: &str = "/bin/busybox";

/// Whether nothing can be tested here; fails instead if nothing may be left out.
fn is_skipped() -> bool {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/bin/runc"].iter().any(|path| Path::new(path).exists());
    if runc && Path::new(BUSYBOX).exists() && rustix::process::geteuid().is_root() {
        return false;
    }
    let why = "containers need runc, /bin/busybox and root (Debian: apt-get install runc busybox-static)";
    assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    true
}

/// An OCI bundle whose shell shares `/shared` with the test.
fn bundle(script: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for directory in ["rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/shared", "shared"] {
        std::fs::create_dir_all(place.path().join(directory)).unwrap();
    }
    // Another process copies it: if this one had it open for writing, a child of another test could have it still.
    let _ = std::process::Command::new("cp").arg(BUSYBOX).arg(place.path().join("rootfs/bin/busybox")).output();
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/busybox", "sh", "-c", script], "env": [], "cwd": "/"},
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/shared", "type": "bind", "source": "shared", "options": ["rbind", "rw"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
    });
    std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    for name in ["ready", "go"] {
        let path = place.path().join("shared").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    }
    place
}

fn directory(bench: &Bench, handle: &RunHandle) -> AttemptDirectory {
    AttemptDirectory::of(&bench.data.path().join("runs"), handle.run(), handle.ordinal().unwrap())
}

async fn start(bench: &Bench, bundle: &Path, argv: &[&str], runtime: Option<&str>) -> RunHandle {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    let workload = Workload::Image { reference: bundle.to_str().unwrap().to_owned(), argv };
    let run = bench.runner.create(RunSpec { workload, ..RunSpec::default() }).await.unwrap();
    let launch =
        Launch { runtime: runtime.map(OsString::from), env: vec![("ASKED".into(), "1".into())], ..Launch::default() };
    bench.runner.start(run, launch).await.unwrap()
}

async fn outcome(handle: &RunHandle) -> Outcome {
    handle.wait().await.unwrap().outcome.clone()
}

/// A container is removed after its end is recorded, by the shim that is on its way out then.
fn assert_nothing_left(bench: &Bench) {
    let left = || std::fs::read_dir(bench.data.path().join("oci")).unwrap().count();
    let begun = Instant::now();
    while left() > 0 {
        assert!(begun.elapsed() < HANG, "{} containers are left", left());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_container_is_a_run_like_another() {
    if is_skipped() {
        return;
    }
    let (bench, bundle) = (Bench::shimmed().await, bundle("echo $ASKED $TACHO_ATTEMPT ${TACHO_RUN_DIR-none}; exit 7"));
    let handle = start(&bench, bundle.path(), &[], None).await;
    let outcome = outcome(&handle).await;
    assert_eq!(outcome.exit_status(), Some(&ExitStatus::Code(7)), "{outcome:?}");
    let stdout = std::fs::read_to_string(directory(&bench, &handle).output(Stream::Stdout)).unwrap();
    assert_eq!(stdout, "1 1 none\n");
    let handle = start(&bench, bundle.path(), &["/bin/busybox", "sh", "-c", "exit 8"], None).await;
    assert_eq!(self::outcome(&handle).await.exit_status(), Some(&ExitStatus::Code(8)));
}

#[tokio::test]
async fn a_missing_runtime_is_a_failed_start() {
    let (bench, bundle) = (Bench::shimmed().await, bundle("true"));
    let handle = start(&bench, bundle.path(), &[], Some("no-such-runtime")).await;
    let Outcome::Failed(failure) = outcome(&handle).await else { panic!("exited") };
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::NotFound, "OCI runtime \"no-such-runtime\" is missing")
    );
    assert!(failure.diagnostics.likely_cause.unwrap().contains("install"));
}

#[tokio::test]
async fn a_container_is_killed_frozen_and_survives_no_shim() {
    if is_skipped() {
        return;
    }
    let (bench, bundle) = (Bench::shimmed().await, bundle("echo > /shared/ready; read line < /shared/go; exit 5"));
    let ready = || std::fs::read_to_string(bundle.path().join("shared/ready")).unwrap();
    // Frozen, thawed, and at its own end.
    let handle = start(&bench, bundle.path(), &[], None).await;
    ready();
    let (run, attempt, ordinal) = (handle.run(), handle.attempt(), handle.ordinal().unwrap());
    let container = Container::read(&directory(&bench, &handle), run, attempt).unwrap().unwrap();
    let (freezer, _) = ProcessFreezer::open(bench.data.path(), FreezerOptions::default());
    let frozen = freezer.freeze(&FreezeTarget { run, attempt, ordinal }).unwrap();
    assert_eq!(container.state().unwrap().status, ContainerStatus::Paused);
    frozen.thaw().unwrap();
    let mut go = std::fs::File::options().write(true).open(bundle.path().join("shared/go")).unwrap();
    go.write_all(b"go\n").unwrap();
    assert_eq!(outcome(&handle).await.exit_status(), Some(&ExitStatus::Code(5)));
    // Killed by its supervisor.
    let handle = start(&bench, bundle.path(), &[], None).await;
    ready();
    handle.terminate(Duration::ZERO);
    assert_eq!(outcome(&handle).await.exit_status(), Some(&ExitStatus::Signal(9)));
    // Its shim is killed: nobody saw its end, and it does not go on.
    let handle = start(&bench, bundle.path(), &[], None).await;
    ready();
    let identity = Identity::read(&directory(&bench, &handle), handle.run(), handle.attempt());
    let identity = identity.unwrap().unwrap();
    let shim = i32::try_from(identity.shim.unwrap().pid).unwrap();
    kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    let outcome = outcome(&handle).await;
    let Some(ExitStatus::Unknown { cause }) = outcome.exit_status() else { panic!("{outcome:?}") };
    assert!(cause.contains("its container was running"), "{cause}");
    assert!(!identity.process.unwrap().is_alive());
    bench.runner.shutdown(LONG).await;
    assert_nothing_left(&bench);
}
