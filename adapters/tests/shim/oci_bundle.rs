//! OCI bundles with busybox, for tests that have a runtime.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tachograph_adapters::oci::{Container, Preparation, RUNTIME_DEFAULT, Runtime};
use tachograph_adapters::process::{ATTEMPT_VARIABLE, AttemptDirectory};
use tachograph_engine::domain::Failure;

use crate::support::Attempt;

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 6] = ["sh", "sleep", "head", "cat", "kill", "true"];

/// Says why containers cannot be tested here; fails instead if nothing may be left out.
pub(crate) fn is_skipped() -> bool {
    let why = if Runtime::find(OsStr::new(RUNTIME_DEFAULT), Path::new("/tmp")).is_err() {
        "runc is missing (Debian: apt-get install runc)"
    } else if !Path::new(BUSYBOX).exists() {
        "/bin/busybox is missing (Debian: apt-get install busybox-static)"
    } else if !rustix::process::geteuid().is_root() {
        "the tests' containers need root"
    } else {
        return false;
    };
    assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    true
}

/// A user's bundle with a shell, and `/shared` that both sides see.
pub(crate) struct Bundle {
    place: tempfile::TempDir,
    config: Value,
}

impl Bundle {
    pub(crate) fn sh(script: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/shared", "shared"] {
            std::fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        let bin = place.path().join("rootfs/bin");
        // Absent where the tests that execute something are skipped. Another process copies it: if this one had it open for
        // writing, a child of another test could have it still, and nobody may execute it then.
        let _ = Command::new("cp").arg(BUSYBOX).arg(bin.join("busybox")).output();
        APPLETS.iter().for_each(|applet| std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap());
        let namespaces: Vec<_> = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind })).into();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": true,
                "user": {"uid": 0, "gid": 0},
                "args": ["sh", "-c", script],
                "env": ["PATH=/bin", "OF_BUNDLE=1"],
                "cwd": "/",
            },
            "root": {"path": "rootfs", "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/shared", "type": "bind", "source": "shared", "options": ["rbind", "rw"]},
            ],
            "linux": {"namespaces": namespaces},
        });
        let bundle = Self { place, config };
        bundle.write();
        bundle
    }

    /// Whose processes are in the pid namespace of the host.
    pub(crate) fn without_pid_namespace(mut self) -> Self {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        self.write();
        self
    }

    fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A named pipe in `/shared`.
    pub(crate) fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path().join("shared").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        path
    }
}

/// A container that is gone with its test, however that ends.
pub(crate) struct Contained {
    pub(crate) container: Container,
    directory: AttemptDirectory,
    /// Kept until then: without it the runtime would not find the container any more.
    root: tempfile::TempDir,
}

impl Contained {
    /// Makes an attempt out of a bundle, and names its container.
    pub(crate) fn prepare(bundle: &Bundle, runtime: &str) -> Result<(Attempt, Self), Box<Failure>> {
        let mut attempt = Attempt::new(&[]);
        let root = tempfile::tempdir().unwrap();
        let env = [(ATTEMPT_VARIABLE.into(), attempt.assignment.attempt.to_string().into())];
        let preparation = Preparation {
            runtime: OsStr::new(runtime),
            root: root.path(),
            bundle: bundle.path(),
            argv: &[],
            env: &env,
        };
        let directory = attempt.directory();
        let run = (attempt.assignment.run, attempt.assignment.ordinal);
        let container = preparation
            .prepare(&directory, run, attempt.assignment.attempt)
            .map_err(|error| Box::new(error.failure()))?;
        attempt.assignment.container = Some(container.runtime.clone());
        Ok((attempt, Self { container, directory, root }))
    }

    pub(crate) fn of(bundle: &Bundle) -> (Attempt, Self) {
        Self::prepare(bundle, RUNTIME_DEFAULT).unwrap()
    }

    /// Whether the runtime knows of no container any more, and the run's own bundle is gone.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.root.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(!self.directory.path().with_file_name("oci-attempt-1").exists());
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.container.end(&self.directory);
    }
}
