//! A program on a terminal of its own: how long until it writes something.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Failure;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that is talked to on a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    /// What was written, and how much of it was waited for.
    written: Vec<u8>,
    awaited: usize,
}

impl Terminal {
    /// Starts a program that is told that it is called by this name.
    ///
    /// # Errors
    ///
    /// If there is no terminal, or the program cannot be started.
    pub fn start(program: &Path, name: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 })?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        let mut command = Command::new(program);
        command.arg0(name).args(arguments).env("TERM", "xterm-256color").env("TACHO_HISTORY", "");
        command.stdin(slave.try_clone()?).stdout(slave).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, master: File::from(master), written: Vec::new(), awaited: 0 })
    }

    /// Types keys.
    ///
    /// # Errors
    ///
    /// If the terminal takes none.
    pub fn types(&mut self, keys: &str) -> Result<(), Failure> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Waits until a text was written behind all that was waited for before.
    ///
    /// # Errors
    ///
    /// If that takes longer than two minutes, with what was written instead.
    pub fn writes(&mut self, text: &str) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let behind = &self.written[self.awaited..];
            if let Some(at) = behind.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.awaited += at + text.len();
                return Ok(());
            }
            let rest = Timespec::try_from(PATIENCE.saturating_sub(began.elapsed()))?;
            let mut bytes = [0; 4_096];
            if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&rest))? == 0 {
                return Err(format!("{text:?} was never written, but {:?}", String::from_utf8_lossy(behind)).into());
            }
            let count = self.master.read(&mut bytes)?;
            self.written.extend(&bytes[..count]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whoever is done with it has what was asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
