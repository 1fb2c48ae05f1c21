use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::json;
use tachograph_adapters::process::{AttemptDirectory, Identity, ProcessIdentity};
use tachograph_engine::domain::{Event, ExitStatus, FailureKind, Finding, RunRecord, Workload};

use super::snapshots::{Gate, until};
use super::support::{Finished, Place, Ready, end_of, failure, send, status};

const LARGE_BYTES: u64 = 256 * 1_024 * 1_024;

/// Whether there is what a container needs; fails if it is missing and nothing may be left out.
fn can_contain() -> bool {
    let there = |path: &str| std::path::Path::new(path).exists();
    let can = there("/usr/sbin/runc") && there("/bin/busybox") && rustix::process::geteuid().is_root();
    assert!(can || std::env::var_os("TACHO_TEST_ALL").is_none(), "runc, busybox-static and root are needed");
    if !can {
        eprintln!("SKIPPED: a container needs runc, busybox-static and root");
    }
    can
}

/// A user's OCI bundle with a shell that shares `/shared` with its test.
struct Bundle(tempfile::TempDir);

impl Bundle {
    fn sh(script: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["rootfs/bin", "rootfs/proc", "rootfs/shared", "shared"] {
            std::fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        // Another process copies it: if this one had it open for writing, a child of another test could have it still.
        let _ = Command::new("cp").arg("/bin/busybox").arg(place.path().join("rootfs/bin/busybox")).output();
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": true},
            "process": {"args": ["/bin/busybox", "sh", "-c", script], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/shared", "type": "bind", "source": "shared", "options": ["rbind", "rw"]},
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        });
        std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
        Self(place)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn shared(&self, name: &str) -> PathBuf {
        self.0.path().join("shared").join(name)
    }
}

/// A job in a container that says when it is up, and ends when it is let.
struct Job {
    name: &'static str,
    bundle: Bundle,
    ready: Ready,
    go: Gate,
}

impl Job {
    fn new(name: &'static str, code: i32) -> Self {
        let script = format!(
            "echo said; while :; do /bin/busybox sleep 0.1; done & echo > /shared/ready; read line < /shared/go; exit {code}"
        );
        let bundle = Bundle::sh(&script);
        let (ready, go) = (Ready::at(&bundle.shared("ready")), Gate::at(bundle.shared("go")));
        Self { name, bundle, ready, go }
    }

    fn keys(&self, more: &str) -> String {
        format!(
            "[jobs.{}]\noci = {{ bundle = {:?} }}\nenv = {{ SECRET = \"is kept\" }}\n{more}\n",
            self.name,
            self.bundle.path()
        )
    }
}

/// Containers that a test that fails would leave.
struct Contained<'a>(&'a Place);

impl Contained<'_> {
    fn runtime(&self, arguments: &[&str]) -> String {
        let mut runtime = Command::new("/usr/sbin/runc");
        runtime.arg("--root").arg(self.0.data().join("oci")).args(arguments).stderr(Stdio::null());
        String::from_utf8(runtime.output().unwrap().stdout).unwrap()
    }

    /// What the runtime knows of.
    fn names(&self) -> Vec<String> {
        self.runtime(&["list", "--quiet"]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Contained<'_> {
    fn drop(&mut self) {
        self.names().iter().for_each(|name| drop(self.runtime(&["delete", "--force", name])));
    }
}

fn supervise(place: &Place, jobs: &str) -> Child {
    let mut command = place.tacho(["supervise", "--jobs", "2", jobs]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn record(place: &Place, name: &str) -> RunRecord {
    let mut records = place.records().into_iter();
    records.find(|record| record.run.spec.name.as_deref() == Some(name)).unwrap()
}

fn directory(place: &Place, record: &RunRecord) -> AttemptDirectory {
    let ordinal = record.run.attempt.as_ref().unwrap().ordinal;
    AttemptDirectory::of(&place.data().join("runs"), record.run.id, ordinal)
}

/// Its shim and its first process.
fn processes(place: &Place, record: &RunRecord) -> (ProcessIdentity, ProcessIdentity) {
    let attempt = record.run.attempt.as_ref().unwrap().id;
    let identity = Identity::read(&directory(place, record), record.run.id, attempt).unwrap().unwrap();
    (identity.shim.unwrap(), identity.process.unwrap())
}

/// The run's own bundle, which holds its environment.
fn own_bundle(place: &Place, record: &RunRecord) -> PathBuf {
    directory(place, record).path().with_file_name("oci-attempt-1")
}

fn container(record: &RunRecord) -> String {
    format!("tacho-{}-1", record.run.id)
}

/// Processes with the attempt's id in their environment.
fn alive(record: &RunRecord) -> Vec<PathBuf> {
    let named = format!("TACHO_ATTEMPT_ID={}", record.run.attempt.as_ref().unwrap().id);
    let names_it = |place: &PathBuf| {
        let environ = std::fs::read(place.join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == named.as_bytes())
    };
    std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(names_it).collect()
}

fn findings(place: &Place, record: &RunRecord) -> Vec<Finding> {
    let entries = place.entries().into_iter().filter(|entry| entry.run() == Some(record.run.id));
    let events = entries.flat_map(|entry| entry.events().to_vec());
    let finding = |event| if let Event::Reconciled { finding, .. } = event { Some(finding) } else { None };
    events.filter_map(finding).collect()
}

#[test]
fn a_container_is_run_by_its_bundle_or_with_other_arguments() {
    if !can_contain() {
        return;
    }
    let (place, bundle) = (Place::new(), Bundle::sh("echo out; exit 7"));
    let path = bundle.path();
    let own = place.finish(["run", "--oci", path]);
    assert_eq!((own.code, own.stdout.as_str()), (Some(7), "out\n"), "{}", own.stderr);
    let killed = place.finish(["run", "--oci", path, "--", "/bin/busybox", "sh", "-c", "trap 'exit 9' TERM; kill $$"]);
    assert_eq!(killed.code, Some(9), "{}", killed.stderr);
    let jobs = place.data().join("../jobs.toml");
    std::fs::write(&jobs, format!("[jobs.a]\nexpect = 7\noci = {{ bundle = {path:?} }}\n")).unwrap();
    let supervised = place.finish(["supervise", jobs.to_str().unwrap()]);
    assert_eq!(supervised.code, Some(0), "{}{}", supervised.stdout, supervised.stderr);
    std::fs::remove_file(jobs).unwrap();
    let record = &place.records()[0].run;
    assert_eq!(record.spec.workload, Workload::Image { reference: path.to_owned(), argv: Vec::new() });
    place.assert_closed_cleanly();
}

#[test]
fn a_missing_runtime_says_what_to_install() {
    let (place, bundle) = (Place::new(), Bundle::sh("echo out; exit 7"));
    let path = bundle.path();
    let finished = place.finish(["run", "--oci", path, "--runtime", "no-such-runtime"]);
    assert_eq!(finished.code, Some(127), "{}", finished.stderr);
    assert!(finished.stderr.contains("OCI runtime \"no-such-runtime\" is missing"), "{}", finished.stderr);
    assert!(finished.stderr.contains("apt-get install runc"), "{}", finished.stderr);
    assert_eq!(failure(&place.record()), Some(FailureKind::NotFound));
    assert_eq!(place.finish(["run", "--oci", path, "--no-shim"]).code, Some(125));
}

#[test]
fn without_its_supervisor_a_container_goes_on_and_without_its_shim_it_is_ended() {
    if !can_contain() {
        return;
    }
    let place = Place::new();
    let contained = Contained(&place);
    let (mut kept, doomed) = (Job::new("kept", 7), Job::new("doomed", 7));
    let mut child = supervise(&place, &place.jobs(&(kept.keys("") + &doomed.keys(""))));
    kept.ready.next();
    doomed.ready.next();
    let records = [record(&place, "kept"), record(&place, "doomed")];
    let [(kept_shim, kept_process), (shim, process)] = [0, 1].map(|index| processes(&place, &records[index]));
    for record in &records {
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
        let own = own_bundle(&place, record);
        assert!(std::fs::read_to_string(own.join("config.json")).unwrap().contains("SECRET=is kept"));
        assert_eq!(mode(own.clone()), 0o700);
        for file in ["config.json", "pid", "runtime.log"] {
            assert_eq!(mode(own.join(file)), 0o600, "{file}");
        }
    }
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
    send(shim.pid, Signal::KILL);
    until("its shim is gone", || !shim.is_alive());
    assert!(process.is_alive(), "a container does not end with its shim");

    let mut gate = Gate::at(place.path("gate"));
    let next = format!("[jobs.next]\ncommand = [\"sh\", \"-c\", \"read go < {}\"]\n", place.path("gate").display());
    let next = supervise(&place, &place.jobs(&next));
    until("both are settled", || {
        record(&place, "doomed").run.is_ended() && findings(&place, &records[0]) == [Finding::Adopted]
    });
    let Some(ExitStatus::Unknown { cause }) = status(&record(&place, "doomed")) else { panic!("a status") };
    assert!(cause.starts_with("its shim is gone without a record of the exit: it was killed"), "{cause}");
    assert!(cause.contains("; its container was ") && cause.ends_with(", and is removed"), "{cause}");
    assert_eq!(findings(&place, &records[1]), [Finding::Lost]);
    assert!(!process.is_alive());
    assert_eq!(alive(&records[1]), Vec::<PathBuf>::new());
    assert!(!own_bundle(&place, &records[1]).exists());
    assert_eq!(contained.names(), [container(&records[0])], "no other container was touched");
    assert!(kept_shim.is_alive() && kept_process.is_alive() && !record(&place, "kept").run.is_ended());

    kept.go.open();
    until("its end is recorded", || record(&place, "kept").run.is_ended());
    assert_eq!(status(&record(&place, "kept")), Some(ExitStatus::Code(7)));
    gate.open();
    let finished = Finished::of(next);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    let told = " had left something behind, which is no more: its container was ";
    assert!(finished.stderr.contains(told) && !finished.stderr.contains("something alive"), "{}", finished.stderr);
    until("it is removed", || !kept_shim.is_alive());
    assert_eq!(std::fs::read_dir(place.data().join("oci")).unwrap().count(), 0);
    assert!(!own_bundle(&place, &records[0]).exists() && alive(&records[0]).is_empty());
}

#[test]
fn a_container_that_waits_stands_still_for_its_image_and_then_goes_on() {
    if !can_contain() {
        return;
    }
    let place = Place::new();
    let contained = Contained(&place);
    let mut job = Job::new("waits", 7);
    let child = supervise(&place, &place.jobs(&job.keys("expect = 7\nsnapshot_delay = 0")));
    job.ready.next();
    let record = record(&place, "waits");
    // So much that it can be looked at meanwhile; none of it is on the disk.
    let large = std::fs::File::create(directory(&place, &record).path().join("large")).unwrap();
    large.set_len(LARGE_BYTES).unwrap();
    let (run, attempt) = (record.run.id.to_string(), record.run.attempt.as_ref().unwrap().id.to_string());
    let reported = place.finish(["report", "--run", &run, "--attempt", &attempt, "waiting", "--on", "a review"]);
    assert_eq!(reported.code, Some(0), "{}", reported.stderr);
    let stands = |status: &str| {
        let state = contained.runtime(&["state", &container(&record)]);
        state.contains(&format!("\"status\": \"{status}\""))
    };
    until("it stands still", || stands("paused"));
    let mut image = None;
    until("its image is taken", || {
        let events = place.entries().into_iter().flat_map(|entry| entry.events().to_vec());
        image = events.into_iter().find_map(|event| match event {
            Event::SnapshotTaken { snapshot, .. } => Some(snapshot.to_string()),
            Event::SnapshotFailed { message, .. } => panic!("{message}"),
            _ => None,
        });
        image.is_some()
    });
    assert!(stands("running"), "it does not go on");
    let restored = place.path("restored");
    let finished = place.finish(["restore", &image.unwrap(), restored.to_str().unwrap()]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(std::fs::read_to_string(restored.join("stdout")).unwrap(), "said\n");
    assert_eq!(restored.join("large").metadata().unwrap().len(), LARGE_BYTES);
    job.go.open();
    let finished = Finished::of(child);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    assert!(contained.names().is_empty());
}
