use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use super::support::{Finished, HANG, Place, Ready, end_of, send};

/// A run called `build` of a `tacho run` of its own, which has printed a line on both streams and waits at a gate.
pub(crate) struct Job {
    child: Child,
    /// What `tacho run` passes through; it would notice if nobody read it.
    _stdout: Lines,
    /// What the job says.
    pub(crate) ready: Ready,
    /// Open for both, so that opening waits for nobody; once it is closed, whoever waits at it goes on.
    gate: File,
    /// Its process.
    pub(crate) pid: u32,
}

impl Job {
    /// Runs `prelude`, waits at the gate, and then runs `rest`. Both may say something by `say WORD`.
    pub(crate) fn begin(place: &Place, prelude: &str, rest: &str) -> Self {
        Self::begin_with(place, &[], prelude, rest)
    }

    /// The same with further options of `tacho run`.
    pub(crate) fn begin_with(place: &Place, options: &[&str], prelude: &str, rest: &str) -> Self {
        let ready = Ready::at(&place.path("ready"));
        let path = place.path("gate");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let gate = File::options().read(true).write(true).open(&path).unwrap();
        let script = format!(
            "say() {{ echo $1 > '{}'; }}; {prelude}; echo error >&2; echo out; say $$; read line < '{}'; {rest}",
            ready.shown(),
            path.display()
        );
        let (head, tail) = (["run", "--name", "build"], ["--", "sh", "-c", &script]);
        let mut command = place.tacho(head.iter().chain(options).chain(&tail));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = ready.next().parse().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        // It is passed through out of the file, so that by now it is there.
        assert_eq!(stdout.next(), "out");
        Self { child, _stdout: stdout, ready, gate, pid }
    }

    /// Lets the job go on.
    pub(crate) fn open_gate(&mut self) {
        self.gate.write_all(b"go\n").unwrap();
    }

    /// Waits for the end of `tacho run`.
    pub(crate) fn finish(self) -> Finished {
        Finished::of(self.child)
    }

    /// The `tacho run` that looks after it.
    pub(crate) fn supervisor(&self) -> u32 {
        self.child.id()
    }

    /// The shim of its process, which is its parent.
    pub(crate) fn shim(&self) -> u32 {
        parent_of(self.pid)
    }

    /// Ends the supervisor as a crash would, and leaves the job alone.
    pub(crate) fn crash(&mut self) {
        send(self.child.id(), Signal::KILL);
        end_of(&mut self.child, String::new);
    }
}

/// A process that is stopped, until this is dropped.
pub(crate) struct Stopped(u32);

impl Stopped {
    pub(crate) fn of(pid: u32) -> Self {
        send(pid, Signal::STOP);
        let begun = std::time::Instant::now();
        while !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ") {
            assert!(begun.elapsed() < HANG, "it does not stop");
            std::thread::yield_now();
        }
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        send(self.0, Signal::CONT);
    }
}

pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The lines of a stream, read as they come.
pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The first line of a stream that is then closed.
    pub(crate) fn first_of(stream: impl Read + Send + 'static) -> String {
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            let first = BufReader::new(stream).lines().next();
            sender.send(first)
        });
        line.recv_timeout(HANG).expect("the line must come").unwrap().unwrap()
    }

    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(HANG).expect("the next line must come")
    }

    /// All lines up to the end of the stream.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.0.recv_timeout(HANG) {
                Ok(line) => rest.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the stream does not come to its end"),
            }
        }
    }
}

/// Reads one JSON value, all of whose fields docs/json.md knows.
pub(crate) fn documented(text: &str) -> Value {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    let items = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    for name in items.iter().flat_map(|item| item.as_object().unwrap().keys()) {
        assert!(document.contains(&format!("`{name}`")), "docs/json.md lacks {name}");
    }
    value
}
