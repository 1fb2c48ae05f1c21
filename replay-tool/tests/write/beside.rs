use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Finished, Place};

/// A copy of the tool in a directory of its own, where this is beside it.
struct Installed {
    directory: tempfile::TempDir,
    place: Place,
}

impl Installed {
    fn with(shim: Option<&Path>) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tool = Path::new(env!("CARGO_BIN_EXE_tacho"));
        std::fs::hard_link(tool, directory.path().join("tacho")).unwrap();
        if let Some(shim) = shim {
            let path = directory.path().join("tacho-shim");
            // What lends itself is a shim as well; by a symbolic link the kernel would show the tool.
            std::fs::hard_link(shim, &path).or_else(|_| std::os::unix::fs::symlink(shim, &path)).unwrap();
        }
        Self { directory, place: Place::new() }
    }

    /// Runs a script that the shim is the parent of.
    fn run(&self, script: &str) -> Finished {
        let mut tool = Command::new(self.directory.path().join("tacho"));
        tool.env("TACHO_LOG", "warn").arg("--data").arg(self.place.data()).args(["run", "--", "sh", "-c", script]);
        Finished::of(tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn shim_of(&self, finished: &Finished) -> PathBuf {
        assert_eq!(finished.code, Some(7), "{}", finished.stderr);
        let program = Path::new(finished.stdout.trim()).canonicalize().unwrap();
        program.strip_prefix(self.directory.path().canonicalize().unwrap()).unwrap().to_owned()
    }
}

const WHICH: &str = "readlink /proc/$PPID/exe; exit 7";

#[test]
fn the_program_beside_is_the_shim_and_without_it_the_tool_lends_itself() {
    let tool = Path::new(env!("CARGO_BIN_EXE_tacho"));
    for (shim, expected) in [(Some(tool), "tacho-shim"), (None, "tacho")] {
        let installed = Installed::with(shim);
        let finished = installed.run(WHICH);
        assert_eq!(installed.shim_of(&finished).to_str().unwrap(), expected);
        assert!(!finished.stderr.contains("cannot be used"), "{}", finished.stderr);
    }
}

#[test]
fn a_program_of_another_build_is_named_and_not_used() {
    let installed = Installed::with(Some(Path::new("/bin/echo")));
    let finished = installed.run(WHICH);
    assert_eq!(installed.shim_of(&finished).to_str().unwrap(), "tacho");
    let says = |part: &str| assert!(finished.stderr.contains(part), "{part:?} is not in {}", finished.stderr);
    says("tacho-shim cannot be used");
    says("build \"shim-build\"");
    says("out of this program itself");
}

#[test]
fn a_program_that_is_replaced_meanwhile_goes_on_as_it_was() {
    let installed = Installed::with(Some(Path::new(env!("CARGO_BIN_EXE_tacho"))));
    // The first attempt takes the program away; the second one is of the same tool.
    let script = "test $TACHO_ATTEMPT -ge 2 || { rm \"$SHIM\"; ln -s /bin/false \"$SHIM\"; exit 1; }";
    let shim = installed.directory.path().join("tacho-shim");
    let jobs =
        format!("[jobs.replaces]\ncommand = [\"sh\", \"-c\", '{script}']\nretries = 1\nenv = {{ SHIM = {shim:?} }}\n");
    let jobs = installed.place.jobs(&jobs);
    let mut tool = Command::new(installed.directory.path().join("tacho"));
    tool.arg("--data").arg(installed.place.data()).arg("supervise").arg(jobs);
    let finished =
        Finished::of(tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}
