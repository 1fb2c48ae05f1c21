//! A shim that takes what it is to do and does nothing of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tachograph_adapters::process::Shim;

/// The program, and where it says that it is there.
pub(crate) struct Stuck {
    program: PathBuf,
    ready: PathBuf,
    /// Without this, it ends by itself and has started nothing.
    stands_still: PathBuf,
}

impl Stuck {
    pub(crate) fn within(place: &Path) -> Self {
        let [program, ready, stands_still] = ["stuck-shim", "ready", "stands-still"].map(|name| place.join(name));
        mknodat(CWD, &ready, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let script = format!(
            "#!/bin/sh\ncat > /dev/null\ntest -e {} || exit 0\necho $$ > {}\nkill -STOP $$\n",
            stands_still.display(),
            ready.display()
        );
        // Written by another process: if this one had it open for writing, a child of another test could have it still.
        let write = "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let written = Command::new("sh").args(["-c", write]).arg(&program).arg(script).status().unwrap();
        assert!(written.success());
        std::fs::write(&stands_still, "").unwrap();
        Self { program, ready, stands_still }
    }

    pub(crate) fn shim(&self) -> Shim {
        Shim::Program(self.program.clone())
    }

    /// Has it end by itself, or stand still.
    pub(crate) fn stand_still(&self, still: bool) {
        if still {
            std::fs::write(&self.stands_still, "").unwrap();
        } else {
            std::fs::remove_file(&self.stands_still).unwrap();
        }
    }

    /// Returns its pid once it is there.
    pub(crate) async fn until_there(&self) -> u32 {
        let ready = self.ready.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut told = String::new();
            std::fs::File::open(ready).unwrap().read_to_string(&mut told).unwrap();
            told.trim().parse().unwrap()
        });
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("waited a minute for the shim").unwrap()
    }
}

pub(crate) fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}
