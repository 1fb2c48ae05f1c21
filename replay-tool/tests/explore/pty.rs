//! A pseudo-terminal and what it shows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use unicode_width::UnicodeWidthChar;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program on a terminal of its own.
pub(crate) struct Pty {
    pub(crate) child: Child,
    master: File,
    /// The other side stays open, so that its modes can be asked for after the end.
    slave: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: Screen,
    /// Every byte that was shown.
    pub(crate) raw: Vec<u8>,
    /// How many of them were waited for.
    awaited: usize,
    pub(crate) modes_before: String,
}

/// The modes of a terminal, to be compared.
fn modes(termios: &Termios) -> String {
    let Termios { input_modes, output_modes, control_modes, local_modes, special_codes, .. } = termios;
    format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?} {special_codes:?}")
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Pty {
    /// Runs `tacho` with these arguments.
    pub(crate) fn tacho(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, size(80, 24)).unwrap();
        let modes_before = modes(&tcgetattr(&slave).unwrap());
        let of_child = || Stdio::from(slave.try_clone().unwrap());
        // It hears the signals that ask for an end although whoever started the tests may ignore them.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT,TERM,TSTP", env!("CARGO_BIN_EXE_tacho")]);
        for name in ["TACHO_DATA", "TACHO_LOG", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color").env("TACHO_DATA", data).env("TACHO_CACHE", "off").args(arguments);
        command.envs(variables.iter().copied()).stdin(of_child()).stdout(of_child()).stderr(Stdio::piped());
        // A group of its own, as a shell with job control gives it.
        let child = command.process_group(0).spawn().unwrap();
        let master = File::from(master);
        let output = received(master.try_clone().unwrap());
        Self { child, master, slave, output, screen: Screen::of(80, 24), raw: Vec::new(), awaited: 0, modes_before }
    }

    pub(crate) fn modes_now(&self) -> String {
        modes(&tcgetattr(&self.slave).unwrap())
    }

    pub(crate) fn keys(&mut self, keys: &str) -> &mut Self {
        self.master.write_all(keys.as_bytes()).unwrap();
        self
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        tcsetwinsize(&self.master, size(columns, rows)).unwrap();
        self.screen = Screen::of(columns, rows);
        self.signal(Signal::WINCH);
    }

    /// Waits until the screen shows all of these texts, and returns it.
    #[track_caller]
    pub(crate) fn shows(&mut self, texts: &[&str]) -> String {
        self.until(&format!("{texts:?}"), |screen| {
            let text = screen.text();
            texts.iter().all(|wanted| text.contains(wanted))
        });
        self.screen.text()
    }

    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(&self.screen) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.raw.extend(&bytes);
                    bytes.into_iter().for_each(|byte| self.screen.take(byte));
                }
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("the terminal never showed {what}:\n{}", self.screen.text());
                }
            }
        }
    }

    /// Waits until a text was written behind all that was waited for before.
    #[track_caller]
    pub(crate) fn writes(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let behind = &self.raw[self.awaited..];
            if let Some(at) = behind.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.awaited += at + text.len();
                return self;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.raw.extend(&bytes),
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("the terminal never wrote {text:?}:\n{}", String::from_utf8_lossy(&self.raw));
                }
            }
        }
    }

    /// Waits for the end; returns the exit code and what was written to standard error.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let (told, heard) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = told.send(stderr.read_to_string(&mut text).map(|_| text));
        });
        let Ok(text) = heard.recv_timeout(PATIENCE) else {
            let _ = self.child.kill();
            panic!("it never ended; the terminal shows:\n{}", self.screen.text());
        };
        (self.child.wait().unwrap().code(), text.unwrap())
    }

    /// Whether the program showed its own screen and then left it again, with the cursor visible.
    pub(crate) fn has_left(&mut self) -> bool {
        self.until("the screen before", |screen| !screen.is_other && screen.is_cursor_shown);
        let raw = String::from_utf8_lossy(&self.raw);
        raw.rfind("\u{1b}[?1049l") > raw.rfind("\u{1b}[?1049h")
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until there is nobody any more.
fn received(mut from: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What a terminal shows, as far as this program makes use of one.
pub(crate) struct Screen {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    pending: Vec<u8>,
    pub(crate) is_other: bool,
    pub(crate) is_cursor_shown: bool,
}

impl Screen {
    fn of(columns: u16, rows: u16) -> Self {
        let rows = vec![vec![' '; usize::from(columns)]; usize::from(rows)];
        Self { rows, at: (0, 0), pending: Vec::new(), is_other: false, is_cursor_shown: true }
    }

    pub(crate) fn text(&self) -> String {
        self.rows.iter().map(|row| row.iter().filter(|char| **char != '\0').collect::<String>() + "\n").collect()
    }

    fn take(&mut self, byte: u8) {
        self.pending.push(byte);
        if self.pending[0] == 0x1b {
            let is_sequence = self.pending.get(1) == Some(&b'[');
            let is_over = if is_sequence {
                self.pending.len() > 2 && (0x40..0x7f).contains(&byte)
            } else {
                self.pending.len() > 1
            };
            if is_over {
                let sequence = std::mem::take(&mut self.pending);
                self.sequence(std::str::from_utf8(&sequence[2.min(sequence.len())..]).unwrap_or(""));
            }
        } else if let Ok(text) = std::str::from_utf8(&self.pending) {
            let char = text.chars().next().unwrap();
            self.pending.clear();
            self.put(char);
        }
    }

    fn sequence(&mut self, sequence: &str) {
        let (parameters, end) = sequence.split_at(sequence.len().saturating_sub(1));
        let number = |nth: usize| parameters.split(';').nth(nth).and_then(|text| text.parse::<usize>().ok());
        match (parameters, end) {
            (_, "H") => self.at = (number(0).unwrap_or(1) - 1, number(1).unwrap_or(1) - 1),
            ("2", "J") => self.rows.iter_mut().for_each(|row| row.fill(' ')),
            ("" | "0", "J") => {
                let (row, column) = self.at;
                self.rows[row][column..].fill(' ');
                self.rows[row + 1..].iter_mut().for_each(|row| row.fill(' '));
            }
            ("?1049", _) => {
                self.is_other = end == "h";
                self.rows.iter_mut().for_each(|row| row.fill(' '));
            }
            ("?25", _) => self.is_cursor_shown = end == "h",
            _ => {}
        }
    }

    fn put(&mut self, char: char) {
        let (row, column) = self.at;
        let width = char.width().unwrap_or(0);
        for (offset, shown) in
            std::iter::once(char).chain(std::iter::repeat_n('\0', width.saturating_sub(1))).enumerate()
        {
            if let Some(cell) = self.rows.get_mut(row).and_then(|row| row.get_mut(column + offset)) {
                *cell = shown;
            }
        }
        self.at = (row, column + width);
    }
}
