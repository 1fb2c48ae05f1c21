//! What a program costs as a whole: from before it is started until it is gone, with the most memory that it ever had.
//!
//! The kernel tells the greatest peak among all children that a process has waited for, and counts what a child has before
//! it becomes its program. So each program is started by a small process of its own, which is this benchmark's program once
//! more under another name.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use crate::Failure;

/// The name under which this program measures another.
const MEASURE: &str = "measure-one-process";

/// What one process cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Until it was gone.
    pub seconds: f64,
    /// The most memory that was resident at a time.
    pub peak_kib: u64,
}

impl Cost {
    /// The same memory in megabytes.
    pub fn peak_mb(&self) -> f64 {
        self.peak_kib as f64 * 1_024.0 / 1e6
    }
}

/// A program to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its file.
    pub path: &'a Path,
    /// What it is told that it is called.
    pub name: &'a str,
    /// What it is called with.
    pub arguments: &'a [&'a str],
    /// What it reads from standard input.
    pub input: &'a str,
}

/// Measures a program instead, if this process was started for that. To be called before anything else.
pub fn dispatch() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != MEASURE {
        return None;
    }
    let (program, name) = (words.next()?, words.next()?);
    let began = Instant::now();
    let status = Command::new(program).arg0(name).args(words).status();
    let seconds = began.elapsed().as_secs_f64();
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN).map(|usage| usage.max_rss()).unwrap_or_default();
    // The last line on standard error; before it stands what the program complained of.
    eprintln!("{seconds} {peak_kib}");
    Some(if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Program<'_> {
    /// Runs it, and returns what it printed and what it cost. `place` is for its input and output.
    ///
    /// # Errors
    ///
    /// If it cannot be started or does not succeed, with what it complained of.
    pub fn measure(&self, place: &Path) -> Result<(String, Cost), Failure> {
        let (input, output) = (place.join("input"), place.join("output"));
        File::create(&input)?.write_all(self.input.as_bytes())?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(MEASURE).arg(self.path).arg(self.name).args(self.arguments);
        command.stdin(File::open(&input)?).stdout(File::create(&output)?).stderr(Stdio::piped());
        let ended = command.spawn()?.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&ended.stderr);
        if !ended.status.success() {
            return Err(format!("{} {}: {complaint}", self.name, self.arguments.join(" ")).into());
        }
        let cost = complaint.lines().last().and_then(|line| line.split_once(' ')).ok_or("nothing was measured")?;
        let cost = Cost { seconds: cost.0.parse()?, peak_kib: cost.1.parse()? };
        Ok((std::fs::read_to_string(&output)?, cost))
    }
}
