//! This machine: whether the last writer of a journal still lives here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tachograph_adapters::clock::SystemClock;
use tachograph_adapters::host::LocalHost;
use tachograph_engine::domain::{Actor, ActorKind, Entry, EntryBody, Session, SystemFact};
use tachograph_engine::ports::Host;

/// How much later than the opening a process may seem to have begun that opened the journal then, in microseconds: the
/// kernel counts starts in ticks of 10 ms, and clocks are read one after the other. Whoever gets the pid of a writer that
/// died right after its opening must not pass for it, so it is no more than that needs.
const START_SLACK_US: u128 = 20_000;

/// The writer that opened a journal last, to supervise: one that only carried out a command of an operator and closed the
/// journal again says nothing about whether anybody goes on with what is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWriter {
    /// Who it was.
    pub session: Session,
    /// Whether it closed the journal.
    pub has_closed: bool,
}

/// Finds the last writer while entries go by in their order.
#[derive(Debug, Clone, Default)]
pub struct WriterSearch {
    /// The last one that did more than to obey an operator.
    supervising: Option<LastWriter>,
    /// The last one of the others.
    passing: Option<LastWriter>,
    /// Whose entries go by now.
    present: Present,
}

/// One writer's entries, as far as they went by.
#[derive(Debug, Clone, Default)]
struct Present {
    writer: Option<LastWriter>,
    obeyed: bool,
    did_more: bool,
}

impl WriterSearch {
    /// The entries after those that told of this one.
    pub fn after(known: Option<LastWriter>) -> Self {
        Self { supervising: known, ..Self::default() }
    }

    /// Looks at the next entry.
    pub fn see(&mut self, entry: &Entry) {
        match &entry.body {
            EntryBody::System(SystemFact::Opened(session)) => {
                self.leave();
                self.present.writer = Some(LastWriter { session: session.clone(), has_closed: false });
            }
            EntryBody::System(SystemFact::Closed(session)) => {
                self.present.writer = Some(LastWriter { session: session.clone(), has_closed: true });
            }
            EntryBody::System(SystemFact::Recovered { .. }) => {}
            EntryBody::Committed(committed) => self.present.did(&committed.command.actor),
            EntryBody::Refused(refused) => self.present.did(refused.command.actor()),
        }
    }

    fn leave(&mut self) {
        let Present { writer, obeyed, did_more } = std::mem::take(&mut self.present);
        let Some(writer) = writer else { return };
        if writer.has_closed && obeyed && !did_more {
            self.passing = Some(writer);
        } else {
            self.supervising = Some(writer);
        }
    }

    /// The last one to supervise; absent if none went by, so that an earlier one may be it.
    pub fn found(mut self) -> Option<LastWriter> {
        self.leave();
        self.supervising
    }

    /// The same, or else the last one at all.
    pub fn found_or_any(mut self) -> Option<LastWriter> {
        self.leave();
        self.supervising.or(self.passing)
    }
}

impl Present {
    fn did(&mut self, actor: &Actor) {
        match actor.kind {
            ActorKind::Operator => self.obeyed = true,
            ActorKind::Runner | ActorKind::Supervisor | ActorKind::Timer | ActorKind::Recovery => self.did_more = true,
        }
    }
}

/// Whether a writer can still append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterState {
    /// Its process lives on this machine.
    Alive,
    /// It closed the journal, or its process is no more.
    Gone,
    /// It wrote on another machine, or before another boot, so that nothing can be told from here.
    Unknown,
}

impl WriterState {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// A machine that can be asked about its processes.
#[derive(Debug, Clone)]
pub struct Machine {
    host: String,
    boot_id: String,
    processes: PathBuf,
    /// For how long it was suspended since it booted.
    suspended: Duration,
}

impl Machine {
    /// The machine that this runs on.
    pub fn this() -> Self {
        let session = LocalHost::new(Arc::new(SystemClock)).session();
        Self { suspended: suspended(), ..Self::of(&session.host, &session.boot_id, "/proc") }
    }

    /// A machine by its names, with a directory that lists processes as `/proc` of Linux does.
    pub fn of(host: &str, boot_id: &str, processes: impl Into<PathBuf>) -> Self {
        let (host, boot_id, processes) = (host.to_owned(), boot_id.to_owned(), processes.into());
        Self { host, boot_id, processes, suspended: Duration::ZERO }
    }

    /// Where its processes are listed.
    pub(crate) fn processes(&self) -> &Path {
        &self.processes
    }

    /// The kernel's id of its boot.
    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Whether a writer can still append.
    pub fn state_of(&self, writer: &LastWriter) -> WriterState {
        let session = &writer.session;
        if writer.has_closed {
            return WriterState::Gone;
        }
        if session.boot_id.is_empty() || (&session.host, &session.boot_id) != (&self.host, &self.boot_id) {
            return WriterState::Unknown;
        }
        match std::fs::read_to_string(self.processes.join(session.pid.to_string()).join("stat")) {
            Ok(stat) if self.is_of(session, &stat) => WriterState::Alive,
            Ok(_) => WriterState::Gone,
            // Somewhere without such a directory nothing follows from what is not in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.processes.is_dir() => WriterState::Gone,
            Err(_) => WriterState::Unknown,
        }
    }

    /// Whether a process is not dead, and not a later one that got the same number.
    fn is_of(&self, session: &Session, stat: &str) -> bool {
        // The second field is the program's name in parentheses, and may hold anything.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
        if matches!(fields.next(), Some("Z" | "X" | "x")) {
            return false;
        }
        let start_ticks: Option<u128> = fields.nth(18).and_then(|ticks| ticks.parse().ok());
        let ticks_per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
        // The kernel counts starts from the boot, suspended time included; the writer's clock leaves that out.
        let opened_us = u128::from(session.monotonic_us) + self.suspended.as_micros() + START_SLACK_US;
        start_ticks.is_none_or(|ticks| ticks * 1_000_000 / ticks_per_second <= opened_us)
    }
}

fn suspended() -> Duration {
    let since_boot = |clock| {
        let now = clock_gettime(clock);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    #[cfg(target_os = "linux")]
    let with_suspends = since_boot(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let with_suspends = since_boot(ClockId::Monotonic);
    with_suspends.saturating_sub(since_boot(ClockId::Monotonic))
}
