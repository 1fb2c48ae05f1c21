//! The shim's own life: from the assignment to the exit record.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as Received};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::close;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Signal, getpid, set_child_subreaper, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};
use tachograph_engine::domain::{Drain, Failure, Stream, limits};

use super::super::directory::AttemptDirectory;
use super::super::exit_record::ExitRecord;
use super::super::outcome::{Seen, TimeUp};
use super::super::room;
use super::assignment::{Assignment, CommandBlock};
use super::body::Body;
use super::children::{Orphans, usage};
use super::clock::{after_ms, passed, until_first};
use super::container;
use super::end;
use super::fork::{close_from, heed_child_exits};
use super::gate;
use super::keeping::Keeping;
use super::notice::{Notice, Teller};
use super::opening::{Opened, open};
use super::request::{self, Request};

/// Output that is not at its end so long after the exit may keep the shim waiting: the exit is noted on disk.
const NOTE_AFTER_MS: u64 = 20;
/// How often is looked whether a group that was asked to end is gone; nobody tells when a grandchild ends.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Signals that stay pending while a process is stopped; so CONT follows each.
const ASKING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// The first descriptor that is no standard stream.
const FIRST_BEYOND: u32 = 3;
const NAME: &std::ffi::CStr = c"tacho-shim";

/// The end is on disk.
const RECORDED: u8 = 0;
/// It was not told what to do.
const NO_ASSIGNMENT: u8 = 2;
/// It could not write down what became of the attempt.
const NOT_RECORDED: u8 = 74;

/// Is a shim, and returns when the attempt is at its end and written down.
pub(super) fn main() -> u8 {
    let Ok((assignment, command, pipes)) = begin() else { return NO_ASSIGNMENT };
    let directory = AttemptDirectory::of(&assignment.runs_dir, assignment.run, assignment.ordinal);
    let Pipes { mut notices, stdin } = pipes;
    let recorded = match begun(&assignment, command, &directory, stdin) {
        Ok((signals, opened, channel)) => {
            Watch::over(assignment, directory.clone(), notices, signals, opened, channel).until_recorded()
        }
        Err(failure) => {
            let record = end::not_started(&assignment, *failure);
            record.write(&directory).inspect_err(|error| notices.trouble(&error.to_string())).is_ok()
        }
    };
    request::remove(&directory);
    room::give_back(&directory);
    if recorded { RECORDED } else { NOT_RECORDED }
}

/// Opens the run: with a gate that will become the command, or as a container that executes it by now.
fn begun(
    assignment: &Assignment,
    command: CommandBlock,
    directory: &AttemptDirectory,
    stdin: Option<OwnedFd>,
) -> Result<(SignalFd, Opened, Option<PipeReader>), Box<Failure>> {
    let failed = |error: io::Error| Box::new(gate::not_begun(&error));
    let signals = signals().map_err(failed)?;
    match &assignment.container {
        Some(runtime) => {
            let opened = container::open(assignment, runtime, &command, directory, stdin)?;
            Ok((signals, opened, None))
        }
        None => {
            let (opened, channel) = open(assignment, command, directory, stdin).map_err(failed)?;
            Ok((signals, opened, Some(channel)))
        }
    }
}

/// What the supervisor gave, beside the assignment.
struct Pipes {
    notices: Teller,
    stdin: Option<OwnedFd>,
}

/// Leaves the supervisor's session and standard streams, and reads what to do.
fn begin() -> io::Result<(Assignment, CommandBlock, Pipes)> {
    close_inherited()?;
    // Lists of processes show this, where the program was started through a link of the kernel's.
    let _ = rustix::thread::set_name(NAME);
    let mut handover = File::from(fcntl_dupfd_cloexec(stdin(), 3)?);
    let mut notices = Teller::through(File::from(fcntl_dupfd_cloexec(stdout(), 3)?));
    let inherited = fcntl_dupfd_cloexec(stderr(), 3)?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    // It leads its session already if somebody made it do so.
    let _ = setsid();
    let taken = Assignment::take_over(&mut handover).inspect_err(|error| notices.trouble(&error.to_string()));
    let (assignment, command) = taken?;
    let stdin = assignment.has_stdin.then_some(inherited);
    Ok((assignment, command, Pipes { notices, stdin }))
}

/// Closes what a supervisor left open to whatever it executes: it would stay open, here and in the command, for as long
/// as the run goes on. This process has opened nothing yet.
fn close_inherited() -> io::Result<()> {
    if close_from(FIRST_BEYOND) {
        return Ok(());
    }
    let open = std::fs::read_dir("/proc/self/fd")?;
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // Among them is the one that was open for reading this list, and is not any more.
    let numbers: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        let _ = close(number);
    }
    Ok(())
}

/// From here on signals are read, not received. The gate takes the mask back.
fn signals() -> io::Result<SignalFd> {
    // What is ignored cannot be read either, and whoever began the supervisor may have ignored CHLD.
    heed_child_exits();
    let mut taken = SigSet::empty();
    let all = [
        // A supervisor that does not listen any more.
        Received::SIGPIPE,
        // Output beyond the longest file that may be: it is counted as lost, as on a full disk.
        Received::SIGXFSZ,
        Received::SIGHUP,
        Received::SIGINT,
        Received::SIGQUIT,
        Received::SIGUSR1,
        Received::SIGUSR2,
        Received::SIGTERM,
        Received::SIGCHLD,
    ];
    all.into_iter().for_each(|signal| taken.add(signal));
    taken.thread_block()?;
    set_child_subreaper(Some(getpid()))?;
    Ok(SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// What there can be news from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Requests,
    Gate,
    Output(Stream),
}

impl Source {
    /// What shows that there is news. What a gate says is of interest once it is closed.
    const fn news(self) -> PollFlags {
        match self {
            Self::Gate => PollFlags::HUP,
            Self::Signals | Self::Requests | Self::Output(_) => PollFlags::IN,
        }
    }
}

/// What is said by a gate that is about to become the command.
struct Starting {
    channel: PipeReader,
    said: Vec<u8>,
}

/// Looks after one run.
struct Watch {
    assignment: Assignment,
    directory: AttemptDirectory,
    notices: Teller,
    signals: SignalFd,
    opened: Opened,
    orphans: Orphans,
    /// Until it is known whether the command is executed.
    starting: Option<Starting>,
    not_started: Option<Failure>,
    exited_at: Option<Instant>,
    limit_at: Option<Instant>,
    limit_reached: bool,
    kill_at: Option<Instant>,
    terminated: bool,
    note_at: Option<Instant>,
    /// Whether a record of the exit alone may be on disk.
    was_noted: bool,
    /// Somebody's wish.
    drain_by: Option<Instant>,
    /// When the output is given up; set with the exit, gone when it has passed.
    drain_at: Option<Instant>,
}

impl Watch {
    fn over(
        assignment: Assignment,
        directory: AttemptDirectory,
        mut notices: Teller,
        signals: SignalFd,
        opened: Opened,
        channel: Option<PipeReader>,
    ) -> Self {
        if channel.is_none() {
            notices.tell(&Notice::Started { pid: opened.pid });
        }
        let limit_at = assignment.limits.wall_ms.map(|ms| after_ms(Instant::now(), ms));
        Self {
            assignment,
            directory,
            notices,
            signals,
            opened,
            orphans: Orphans::default(),
            starting: channel.map(|channel| Starting { channel, said: Vec::new() }),
            not_started: None,
            exited_at: None,
            limit_at,
            limit_reached: false,
            kill_at: None,
            terminated: false,
            note_at: None,
            was_noted: false,
            drain_by: None,
            drain_at: None,
        }
    }

    /// Returns whether the end is on disk.
    fn until_recorded(mut self) -> bool {
        // A child in this process's own memory has executed the command by now, or has said why not.
        self.listen();
        while !self.is_over() {
            self.step();
        }
        match self.not_started.take() {
            Some(failure) => {
                self.opened.leader.reap();
                let record = end::not_started(&self.assignment, failure);
                self.keep(&record)
            }
            None => self.record(),
        }
    }

    /// The process has ended, it is known whether it executed the command, and its output is all there or given up.
    fn is_over(&self) -> bool {
        let told = self.starting.is_none();
        let drained = self.not_started.is_some() || self.opened.streams.finished() || self.drain_at.is_none();
        self.exited_at.is_some() && told && drained
    }

    /// Waits for the next news or deadline, and deals with it.
    fn step(&mut self) {
        for source in self.news() {
            match source {
                Source::Signals => self.signalled(),
                Source::Requests => self.asked(),
                Source::Gate => self.listen(),
                Source::Output(stream) => self.opened.streams.take(stream),
            }
        }
        self.deadlines();
        if !self.is_over() {
            self.notices.release();
        }
    }

    fn news(&self) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>)> =
            vec![(Source::Signals, self.signals.as_fd()), (Source::Requests, self.opened.requests.0.as_fd())];
        sources.extend(self.starting.iter().map(|starting| (Source::Gate, starting.channel.as_fd())));
        for stream in [Stream::Stdout, Stream::Stderr] {
            sources.extend(self.opened.streams.pipe(stream).map(|pipe| (Source::Output(stream), pipe.as_fd())));
        }
        let timeout = until_first(&[self.limit_at, self.kill_at, self.note_at, self.drain_at, self.orphans.look_at]);
        let mut fds: Vec<_> = sources.iter().map(|(source, fd)| PollFd::from_borrowed_fd(*fd, source.news())).collect();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, or out of memory for an instant: all of them are looked at, none of them blocks.
            return sources.into_iter().map(|(source, _)| source).collect();
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        sources.iter().zip(ready).filter(|(_, ready)| *ready).map(|((source, _), _)| *source).collect()
    }

    fn deadlines(&mut self) {
        if passed(&mut self.limit_at) {
            self.limit_reached = true;
            self.terminate(self.assignment.options.grace_ms);
        }
        if passed(&mut self.kill_at) {
            self.opened.group.signal(Signal::KILL);
        }
        if passed(&mut self.note_at) {
            self.note();
        }
        if passed(&mut self.orphans.look_at) {
            self.orphans.reap(&self.opened.leader);
        }
        passed(&mut self.drain_at);
    }

    /// Nobody of the rest of the world ends the run by a signal to its shim but with TERM.
    fn signalled(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).ok().and_then(|number| Received::try_from(number).ok()) {
                Some(Received::SIGCHLD) => self.child_has_ended(),
                Some(Received::SIGTERM) if self.terminated => self.terminate(0),
                Some(Received::SIGTERM) => self.terminate(self.assignment.options.grace_ms),
                _ => {}
            }
        }
    }

    fn child_has_ended(&mut self) {
        if self.opened.leader.has_ended() {
            self.exited();
        } else {
            self.orphans.one_has_ended();
        }
    }

    fn exited(&mut self) {
        let now = Instant::now();
        self.exited_at = Some(now);
        self.limit_at = None;
        self.note_at = Some(after_ms(now, NOTE_AFTER_MS));
        let own = after_ms(now, self.assignment.options.drain_deadline_ms);
        self.drain_at = Some(self.drain_by.map_or(own, |wished| wished.min(own)));
        // What the gate said last is there by now.
        self.listen();
        self.conclude_start();
        if self.not_started.is_some() {
            return;
        }
        if let Some((status, _)) = self.opened.leader.status() {
            // Told with the record, if that comes at once.
            self.notices.hold(&Notice::exited(status));
        }
        end::set_claim_aside(&self.directory);
        if self.assignment.options.kill_lingering || self.opened.group.ends_with_leader() {
            self.opened.group.signal(Signal::KILL);
        }
    }

    fn listen(&mut self) {
        let Some(Starting { channel, said }) = &mut self.starting else { return };
        if gate::listen(channel, said) {
            self.conclude_start();
        }
    }

    fn conclude_start(&mut self) {
        let Some(Starting { said, .. }) = self.starting.take() else { return };
        self.not_started = gate::told(&said);
        if self.not_started.is_none() {
            self.notices.tell(&Notice::Started { pid: self.opened.pid });
        }
    }

    fn note(&mut self) {
        if let (None, Some((status, _))) = (&self.not_started, self.opened.leader.status()) {
            self.was_noted = true;
            // It is no reason to give up anything: the whole record is still to come.
            if let Err(error) = end::noted(&self.assignment, status).write(&self.directory) {
                self.notices.trouble(&error.to_string());
            }
        }
    }

    fn asked(&mut self) {
        for request in self.opened.requests.take() {
            match request {
                Request::Signal(signal) => self.signal(signal),
                Request::End { grace } => self.terminate(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
                Request::HangUp(stream) => {
                    self.opened.group.signal(Signal::PIPE);
                    self.opened.streams.close(stream);
                }
                Request::DrainWithin(time) => {
                    let wished = after_ms(Instant::now(), u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                    self.drain_by = Some(self.drain_by.map_or(wished, |present| present.min(wished)));
                    self.drain_at = self.drain_at.map(|present| present.min(wished));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        self.opened.group.signal(signal);
        if ASKING.contains(&signal) {
            self.opened.group.signal(Signal::CONT);
        }
    }

    /// The polite signal goes out once; the time of the other one can only come nearer.
    fn terminate(&mut self, grace_ms: u64) {
        let kill_at = after_ms(Instant::now(), grace_ms);
        if self.terminated {
            self.kill_at = self.kill_at.map(|present| present.min(kill_at));
            return;
        }
        self.terminated = true;
        self.kill_at = Some(kill_at);
        self.signal(Signal::TERM);
    }

    /// Writes the end down. The leader stays unreaped until the output is drained, so that signals that are asked for
    /// until then cannot miss their group.
    fn record(mut self) -> bool {
        let (Some(exited_at), Some((status, witness))) = (self.exited_at, self.opened.leader.status().cloned()) else {
            return false;
        };
        let sync = self.assignment.options.sync_output;
        // Those who write end when their pipe is closed, so they are looked up before.
        let mut lingering = if self.opened.streams.finished() { Vec::new() } else { self.opened.group.members() };
        lingering.truncate(limits::DIAGNOSTICS_MAX);
        let drained = self.opened.streams.drained(exited_at.elapsed(), sync);
        if matches!(drained.receipt.drain, Drain::Drained) {
            lingering.clear();
        }
        self.opened.leader.reap();
        self.opened.group.leader_was_reaped();
        let limit_ms = self.limit_reached.then_some(self.assignment.limits.wall_ms).flatten();
        let time_up = limit_ms.map(|limit_ms| TimeUp::WallLimit { limit_ms });
        let seen = Seen { status, witness, drained, time_up, unready: false, lingering };
        let record = end::exited(&self.assignment, &self.directory, &seen, usage());
        let kept = self.keep(&record);
        if let Err(why) = self.opened.group.remove() {
            self.notices.trouble(&why);
        }
        until_dealt_with(&self.opened.group, self.kill_at);
        kept
    }

    /// Writes down the last that there is to say.
    fn keep(&mut self, record: &ExitRecord) -> bool {
        let Self { assignment, directory, opened, was_noted, notices, .. } = self;
        let (sync_output, was_noted) = (assignment.options.sync_output, *was_noted);
        Keeping { record, directory, room: &opened.room, sync_output, was_noted }.keep(notices)
    }
}

/// Stays until a group that was asked to end has ended or was killed.
fn until_dealt_with(group: &Body, mut kill_at: Option<Instant>) {
    while kill_at.is_some() && !group.members().is_empty() {
        std::thread::sleep(LOOK_PAUSE);
        if passed(&mut kill_at) {
            group.signal(Signal::KILL);
        }
    }
}
