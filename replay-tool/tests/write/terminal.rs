//! Terminals that stand still: what is done for the jobs does not wait for them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Action, Winsize, tcflow, tcsetwinsize};
use tachograph_engine::domain::ExitStatus;

use super::support::{Finished, HANG, Place, Ready, send, status};

/// With a picture of the progress, with one and logs, and with lines.
const WAYS: [(&str, &str); 3] = [("--color=auto", "xterm"), ("-vvv", "xterm"), ("-vvv", "dumb")];

/// A terminal that stands still, for one of the reasons that there are.
struct Terminal {
    /// The side of whoever looks at it.
    master: File,
    /// The other one, which the tool gets.
    slave: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        Self { master: File::from(master), slave }
    }

    /// Stopped, as by Ctrl-S.
    fn stopped() -> Self {
        let this = Self::new();
        tcflow(&this.slave, Action::OOff).unwrap();
        this
    }

    /// Full of what nobody reads, as at the other end of a connection that hangs.
    fn full() -> Self {
        let this = Self::new();
        let path = format!("/proc/self/fd/{}", this.slave.as_raw_fd());
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut filling = File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path).unwrap();
        // In small pieces, so that little room comes at a time when they are read.
        loop {
            match filling.write(b".") {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return this,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// One that takes something, but less than there is to say: whoever waits until all of it is taken waits for ever.
    fn with_little_room() -> Self {
        let mut this = Self::full();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        while poll(&mut [PollFd::new(&this.slave, PollFlags::OUT)], Some(&at_once)).unwrap() == 0 {
            assert!(this.master.read(&mut [0; 64]).unwrap() > 0);
        }
        this
    }

    /// All of them, each with all ways to tell something there.
    fn each() -> impl Iterator<Item = ((&'static str, &'static str), Self)> {
        let all = [Self::stopped as fn() -> Self, Self::full, Self::with_little_room];
        WAYS.into_iter().flat_map(move |way| all.map(|terminal| (way, terminal())))
    }

    fn supervise(&self, place: &Place, (logs, term): (&str, &str), arguments: &[&str]) -> Child {
        let mut command = place.tacho([logs, "supervise"]);
        command.args(arguments).env("TERM", term).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(self.slave.try_clone().unwrap()).spawn().unwrap()
    }

    /// Goes on, and gives all that was written to it from then on once the tool has ended.
    fn go_on(self, child: Child) -> (Finished, String) {
        tcflow(&self.slave, Action::OOn).unwrap();
        assert!(!fcntl_getfl(&self.slave).unwrap().contains(OFlags::NONBLOCK), "others who share it wait for it");
        let Self { mut master, slave } = self;
        let reading = std::thread::spawn(move || {
            let (mut written, mut piece) = (Vec::new(), [0; 4_096]);
            // When nobody has the other side open any more, there is an error.
            while let Ok(read @ 1..) = master.read(&mut piece) {
                written.extend_from_slice(&piece[..read]);
            }
            String::from_utf8(written).unwrap()
        });
        let finished = Finished::of(child);
        drop(slave);
        (finished, reading.join().unwrap())
    }
}

/// What is written, without the sequences that move a cursor or colour a text; they must all be whole.
fn plain(written: &str) -> String {
    let mut plain = String::new();
    let mut rest = written.chars();
    while let Some(next) = rest.next() {
        if next != '\u{1b}' {
            plain.push(next);
            continue;
        }
        assert_eq!(rest.next(), Some('['), "{written:?}");
        let end = rest.by_ref().find(|char| !char.is_ascii_digit() && *char != ';');
        assert!(end.is_some_and(|end| end.is_ascii_alphabetic()), "{written:?}");
    }
    plain
}

/// Reads what comes, and gives up if nothing does.
fn read_some(from: &mut File, piece: &mut [u8]) -> usize {
    let patience = Timespec::try_from(HANG).unwrap();
    assert!(poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&patience)).unwrap() > 0, "nothing is written");
    from.read(piece).unwrap()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < HANG, "it never came to that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_terminal_that_stands_still_holds_up_no_job_and_gets_all_of_it_later() {
    const JOBS: usize = 40;
    for (way, terminal) in Terminal::each() {
        let place = Place::new();
        let jobs: String = (0..JOBS).map(|job| format!("[jobs.j{job}]\ncommand = [\"true\"]\n")).collect();
        let jobs = place.jobs(&jobs);
        let child = terminal.supervise(&place, way, &["--jobs", "1", &jobs]);
        until("all is recorded", || {
            let records = place.records();
            records.len() == JOBS && records.iter().all(|record| status(record) == Some(ExitStatus::Code(0)))
        });
        let (finished, written) = terminal.go_on(child);
        assert_eq!(finished.code, Some(0), "{way:?}: {}", finished.stdout);
        place.assert_closed_cleanly();
        let plain = plain(&written);
        let ends = (0..JOBS).map(|job| plain.find(&format!("j{job}: attempt 1 ended: code 0")));
        let ends: Option<Vec<usize>> = ends.collect();
        assert!(ends.is_some_and(|ends| ends.is_sorted()), "{way:?}: {written}");
        assert_eq!(plain.contains(" DEBUG "), way.0 == "-vvv", "{way:?}: {written}");
    }
}

#[test]
fn an_end_is_asked_for_and_comes_while_a_terminal_stands_still() {
    for (way, terminal) in Terminal::each() {
        let place = Place::new();
        let ready = Ready::at(&place.path("ready"));
        let script = format!("echo > '{}'; exec sleep 600", ready.shown());
        let jobs = place.jobs(&format!("[jobs.a]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n"));
        let child = terminal.supervise(&place, way, &["--stop-within", "1s", &jobs]);
        ready.next();
        send(child.id(), Signal::TERM);
        assert_eq!(Finished::of(child).code, Some(143), "{way:?}");
        assert_eq!(status(&place.record()), Some(ExitStatus::Signal(15)), "{way:?}");
        place.assert_closed_cleanly();
    }
}

#[test]
fn a_picture_is_drawn_anew_when_the_terminal_goes_on_and_is_gone_at_the_end() {
    let place = Place::new();
    let (ready, go) = (Ready::at(&place.path("ready")), place.path("go"));
    let script = format!("echo > '{}'; while [ ! -e '{}' ]; do sleep 0.02; done", ready.shown(), go.display());
    let jobs = format!("[jobs.long]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n[jobs.short]\ncommand = [\"true\"]\n");
    let jobs = place.jobs(&jobs);
    let mut terminal = Terminal::stopped();
    let child = terminal.supervise(&place, WAYS[0], &["--jobs", "2", &jobs]);
    ready.next();
    until("the short one is recorded", || place.records().iter().any(|record| status(record).is_some()));
    tcflow(&terminal.slave, Action::OOn).unwrap();
    let mut seen = String::new();
    let mut piece = [0; 4_096];
    while !(seen.contains("short: attempt 1 ended: code 0") && seen.contains("1/2 jobs")) {
        let read = read_some(&mut terminal.master, &mut piece);
        seen.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    std::fs::write(go, "").unwrap();
    let (finished, rest) = terminal.go_on(child);
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    let last = plain(&(seen + &rest));
    assert!(last.contains("long: attempt 1 ended: code 0"), "{last}");
    assert!(last.ends_with('\r'), "the bars are cleared: {last:?}");
}

#[test]
fn a_terminal_of_which_nothing_is_known_gets_lines() {
    let place = Place::new();
    let jobs = place.jobs("[jobs.a]\ncommand = [\"true\"]\n");
    let terminal = Terminal::new();
    let mut command = place.tacho(["supervise", &jobs]);
    command.env_remove("TERM").stdout(Stdio::piped()).stderr(terminal.slave.try_clone().unwrap());
    let child = command.spawn().unwrap();
    // It holds the other end of its own.
    drop(command);
    let (finished, written) = terminal.go_on(child);
    assert_eq!(finished.code, Some(0), "{written}");
    assert!(written.contains("a: attempt 1 started") && !written.contains('\u{1b}'), "{written:?}");
}

/// The file of that side leads to another terminal each time that it is opened.
#[test]
fn lines_go_to_the_very_terminal_that_was_given() {
    let place = Place::new();
    let jobs = place.jobs("[jobs.a]\ncommand = [\"true\"]\n");
    let Terminal { master, slave } = Terminal::new();
    let mut command = place.tacho(["supervise", &jobs]);
    let child = command.stdout(Stdio::piped()).stderr(master.try_clone().unwrap()).spawn().unwrap();
    let mut slave = File::from(slave);
    let (mut written, mut piece) = (String::new(), [0; 4_096]);
    while !written.contains("a: attempt 1 ended: code 0") {
        let read = read_some(&mut slave, &mut piece);
        written.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert_eq!(Finished::of(child).code, Some(0), "{written}");
    drop(master);
}
