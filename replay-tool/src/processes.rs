//! The processes of this machine, as seen once: which of them belong to an attempt, and what they use.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tachograph_adapters::process::shim::run_of_shim;
use tachograph_adapters::process::{ATTEMPT_VARIABLE, AttemptDirectory, Identity, ProcessIdentity};
use tachograph_engine::domain::{AttemptId, Run, RunId};

use crate::dataset::RUNS_DIR;
use crate::machine::Machine;

/// Whether a process that is named on disk is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Exactly this process lives: pid, start and boot are the same.
    Alive,
    /// It is no more; its pid may be somebody else's by now.
    Gone,
    /// It was started under another boot or on another host, or processes cannot be looked at here: nothing is known.
    Unverified,
}

impl Presence {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Gone => "gone",
            Self::Unverified => "unverified",
        }
    }
}

/// Why a process that is alive does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// Somebody stopped it.
    Stopped,
    /// It is in a call that nothing interrupts: as a rule it waits for a disk.
    Disk,
}

impl Standstill {
    /// Why the process with this pid does not go on; absent if it does, or cannot be looked at.
    pub fn of(machine: &Machine, pid: u32) -> Option<Self> {
        let stat = std::fs::read(machine.processes().join(pid.to_string()).join("stat")).ok()?;
        Observed::parse(&String::from_utf8_lossy(&stat))?.standstill
    }
}

/// What the processes of an attempt use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Which they are, in order.
    pub pids: Vec<u32>,
    /// Processor time, that of ended children whom they waited for included.
    pub cpu: Duration,
    /// Memory that is resident; what several share counts for each.
    pub rss_bytes: u64,
}

/// The processes of a machine.
#[derive(Debug, Clone)]
pub struct ProcessTable {
    processes: BTreeMap<u32, Observed>,
    boot_id: String,
    /// Whether anything could be seen.
    is_shown: bool,
    since_boot: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Observed {
    is_dead: bool,
    standstill: Option<Standstill>,
    parent: u32,
    group: u32,
    start_ticks: u64,
    cpu_ticks: u64,
    rss_pages: u64,
    attempt: Option<AttemptId>,
    /// Of which attempt it is the shim, as its command line says.
    shim_of: Option<(RunId, AttemptId)>,
}

impl ProcessTable {
    /// Looks at all processes once. What cannot be read is not there.
    pub fn scan(machine: &Machine) -> Self {
        let place = machine.processes();
        let entries = std::fs::read_dir(place).into_iter().flatten();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let processes: BTreeMap<u32, Observed> =
            pids.filter_map(|pid| Some((pid, Observed::read(&place.join(pid.to_string()))?))).collect();
        let uptime = std::fs::read_to_string(place.join("uptime")).ok();
        let since_boot = uptime.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let since_boot = since_boot.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let is_shown = !processes.is_empty();
        Self { processes, boot_id: machine.boot_id().to_owned(), is_shown, since_boot }
    }

    /// Whether a process is still there.
    pub fn presence_of(&self, identity: &ProcessIdentity) -> Presence {
        if !self.is_shown || identity.boot_id.is_empty() || identity.boot_id != self.boot_id {
            return Presence::Unverified;
        }
        match self.processes.get(&identity.pid) {
            Some(observed) if !observed.is_dead && observed.start_ticks == identity.start_ticks => Presence::Alive,
            Some(_) | None => Presence::Gone,
        }
    }

    /// Whether a process is alive and does nothing, because somebody stopped it.
    pub fn is_stopped(&self, identity: &ProcessIdentity) -> bool {
        self.standstill_of(identity) == Some(Standstill::Stopped)
    }

    /// Why a process does not go on; absent if it does, or if it is not alive.
    pub fn standstill_of(&self, identity: &ProcessIdentity) -> Option<Standstill> {
        let observed = self.processes.get(&identity.pid)?;
        observed.standstill.filter(|_| self.presence_of(identity) == Presence::Alive)
    }

    /// For how long a process has been there; absent unless it is alive.
    pub fn age_of(&self, identity: &ProcessIdentity) -> Option<Duration> {
        if self.presence_of(identity) != Presence::Alive {
            return None;
        }
        Some(self.since_boot?.saturating_sub(of_ticks(identity.start_ticks)))
    }

    /// What an attempt's processes use: the group that its own process leads, and all that name the attempt wherever
    /// they went. A group's number counts only if its leader is alive or one of its members names the attempt; else it
    /// may be somebody else's by now.
    pub fn usage_of(&self, attempt: AttemptId, leader: Option<&ProcessIdentity>) -> Usage {
        let names = |observed: &Observed| observed.attempt == Some(attempt);
        let group = leader.filter(|leader| {
            let is_named = || self.living().any(|(_, observed)| observed.group == leader.pid && names(observed));
            self.presence_of(leader) == Presence::Alive || is_named()
        });
        let in_group = |observed: &Observed| group.is_some_and(|leader| observed.group == leader.pid);
        let mut usage = Usage::default();
        let mut cpu_ticks = 0_u64;
        for (pid, observed) in self.living().filter(|(_, observed)| names(observed) || in_group(observed)) {
            usage.pids.push(pid);
            cpu_ticks = cpu_ticks.saturating_add(observed.cpu_ticks);
            let bytes = observed.rss_pages.saturating_mul(rustix::param::page_size() as u64);
            usage.rss_bytes = usage.rss_bytes.saturating_add(bytes);
        }
        usage.cpu = of_ticks(cpu_ticks);
        usage
    }

    /// The shim of an attempt that its command line names, for when nothing on disk names one.
    pub fn shim_of(&self, run: RunId, attempt: AttemptId) -> Option<ProcessIdentity> {
        let is_shim = |observed: &Observed| observed.shim_of == Some((run, attempt));
        // Its child that is still to become the command is a copy of it.
        let is_copy = |observed: &Observed| self.processes.get(&observed.parent).is_some_and(is_shim);
        let (pid, observed) = self.living().find(|(_, observed)| is_shim(observed) && !is_copy(observed))?;
        Some(ProcessIdentity { pid, start_ticks: observed.start_ticks, boot_id: self.boot_id.clone() })
    }

    /// The process of an attempt that its shim has executed: the first of its children that lead a group. Absent as long as
    /// a copy of the shim is still to become the command.
    fn executed_by(&self, shim: &ProcessIdentity, of: (RunId, AttemptId)) -> Option<ProcessIdentity> {
        let children = || self.living().filter(|(_, observed)| observed.parent == shim.pid);
        if children().any(|(_, observed)| observed.shim_of == Some(of)) {
            return None;
        }
        let leaders = children().filter(|(pid, observed)| observed.group == *pid);
        let (pid, observed) = leaders.min_by_key(|(pid, observed)| (observed.start_ticks, *pid))?;
        Some(ProcessIdentity { pid, start_ticks: observed.start_ticks, boot_id: self.boot_id.clone() })
    }

    fn living(&self) -> impl Iterator<Item = (u32, &Observed)> {
        self.processes.iter().filter(|(_, observed)| !observed.is_dead).map(|(pid, observed)| (*pid, observed))
    }
}

impl Observed {
    fn read(place: &Path) -> Option<Self> {
        let stat = std::fs::read(place.join("stat")).ok()?;
        let observed = Self::parse(&String::from_utf8_lossy(&stat))?;
        // Of other users' processes it cannot be read; those are none of ours.
        let environ = std::fs::read(place.join("environ")).unwrap_or_default();
        let attempt = named_attempt(&environ);
        // What a run executes has the ids in its environment, a shim has not.
        let cmdline = std::fs::read(place.join("cmdline")).unwrap_or_default();
        let shim_of = run_of_shim(&cmdline).filter(|_| attempt.is_none());
        Some(Self { attempt, shim_of, ..observed })
    }

    /// The command's name may contain anything, blanks and parentheses too: what counts begins after the last one.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            is_dead: matches!(*fields.first()?, "Z" | "X" | "x"),
            standstill: match *fields.first()? {
                "T" | "t" => Some(Standstill::Stopped),
                "D" => Some(Standstill::Disk),
                _ => None,
            },
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            // Its own in user and kernel mode, and that of children whom it waited for.
            cpu_ticks: (11..15).map(|index| number(index).unwrap_or(0)).fold(0, u64::saturating_add),
            start_ticks: number(19)?,
            rss_pages: number(21).unwrap_or(0),
            attempt: None,
            shim_of: None,
        })
    }
}

fn named_attempt(environ: &[u8]) -> Option<AttemptId> {
    environ.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(ATTEMPT_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    })
}

fn of_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs(ticks / per_second) + Duration::from_millis(ticks % per_second * 1_000 / per_second)
}

/// What is on disk and in the world of a run's latest attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sighting {
    /// What its directory says who it is; absent if it says nothing that counts.
    pub identity: Option<Identity>,
    /// The shim that a command line names, if its directory says nothing that counts: the run may have taken it away.
    pub found_shim: Option<ProcessIdentity>,
    /// The process that this shim executed.
    pub found_process: Option<ProcessIdentity>,
    /// What its processes use.
    pub usage: Usage,
}

impl Sighting {
    /// Looks at a run's latest attempt, and touches nothing.
    pub fn of(run: &Run, data: &Path, table: &ProcessTable) -> Self {
        let Some(attempt) = &run.attempt else { return Self::default() };
        let directory = AttemptDirectory::of(&data.join(RUNS_DIR), run.id, attempt.ordinal);
        let identity = Identity::read(&directory, run.id, attempt.id).unwrap_or_default();
        let found_shim = if identity.is_none() { table.shim_of(run.id, attempt.id) } else { None };
        let found_process = found_shim.as_ref().and_then(|shim| table.executed_by(shim, (run.id, attempt.id)));
        let mut sighting = Self { identity, found_shim, found_process, usage: Usage::default() };
        sighting.usage = table.usage_of(attempt.id, sighting.process());
        sighting
    }

    /// The attempt's own process.
    pub fn process(&self) -> Option<&ProcessIdentity> {
        self.identity.as_ref().map_or(self.found_process.as_ref(), |identity| identity.process.as_ref())
    }

    /// The shim that looks after it, if it has one.
    pub fn shim(&self) -> Option<&ProcessIdentity> {
        self.identity.as_ref().map_or(self.found_shim.as_ref(), |identity| identity.shim.as_ref())
    }

    /// In words, what is still alive of it.
    pub fn alive(&self, table: &ProcessTable) -> String {
        let mut words = Vec::new();
        match self.usage.pids.as_slice() {
            [] => {}
            [pid] => words.push(format!("its process {pid} is still alive")),
            pids => {
                let listed: Vec<String> = pids.iter().map(u32::to_string).collect();
                words.push(format!("its processes {} are still alive", listed.join(", ")));
            }
        }
        match self.shim().map(|shim| (shim.pid, table.presence_of(shim))) {
            Some((pid, Presence::Alive)) => words.push(format!("its shim, pid {pid}, looks after it")),
            Some((_, Presence::Gone | Presence::Unverified)) | None => {}
        }
        if words.is_empty() {
            words.push(match self.process().map(|process| (process.pid, table.presence_of(process))) {
                Some((pid, Presence::Unverified)) => {
                    format!("its process {pid} was started under another boot or on another host")
                }
                Some((pid, _)) => format!("its process {pid} is gone"),
                None => "nothing of it is known to be alive here".to_owned(),
            });
        }
        words.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    /// A directory that lists processes as `/proc` does.
    struct Listed(tempfile::TempDir);

    impl Listed {
        fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            std::fs::write(place.path().join("uptime"), "1000.50 1.00\n").unwrap();
            Self(place)
        }

        fn process(&self, pid: u32, state: char, group: u32, environ: &str) {
            let place = self.0.path().join(pid.to_string());
            std::fs::create_dir(&place).unwrap();
            // utime, stime, cutime and cstime are 10 each, the start is 500 ticks, and two pages are resident.
            let stat = format!("{pid} (a ) b) {state} 1 {group} 0 0 -1 4 0 0 0 0 10 10 10 10 20 0 1 0 500 0 2 0");
            std::fs::write(place.join("stat"), stat).unwrap();
            std::fs::write(place.join("environ"), environ).unwrap();
        }

        fn table(&self) -> ProcessTable {
            ProcessTable::scan(&Machine::of("host", "boot", self.0.path()))
        }
    }

    fn identity(pid: u32, start_ticks: u64, boot_id: &str) -> ProcessIdentity {
        ProcessIdentity { pid, start_ticks, boot_id: boot_id.to_owned() }
    }

    fn names(attempt: u64) -> String {
        format!("PATH=/bin\0{ATTEMPT_VARIABLE}={}\0", ids::attempt(attempt))
    }

    #[test]
    fn a_process_is_alive_only_with_the_same_pid_start_and_boot() {
        let listed = Listed::new();
        listed.process(7, 'S', 7, "");
        listed.process(8, 'Z', 8, "");
        let table = listed.table();
        for (identity, presence) in [
            (identity(7, 500, "boot"), Presence::Alive),
            (identity(7, 501, "boot"), Presence::Gone),
            (identity(8, 500, "boot"), Presence::Gone),
            (identity(9, 500, "boot"), Presence::Gone),
            (identity(7, 500, "before"), Presence::Unverified),
            (identity(7, 500, ""), Presence::Unverified),
        ] {
            assert_eq!(table.presence_of(&identity), presence, "{identity:?}");
            assert_eq!(table.age_of(&identity).is_some(), presence == Presence::Alive);
        }
        let ticks = rustix::param::clock_ticks_per_second();
        let age = Duration::from_millis(1_000_500 - 500_000 / ticks);
        assert_eq!(table.age_of(&identity(7, 500, "boot")), Some(age));
        let nothing = ProcessTable::scan(&Machine::of("host", "boot", listed.0.path().join("none")));
        assert_eq!(nothing.presence_of(&identity(7, 500, "boot")), Presence::Unverified);
    }

    #[test]
    fn whoever_is_stopped_or_waits_for_a_disk_stands_still() {
        let listed = Listed::new();
        let states =
            [('T', Some(Standstill::Stopped)), ('t', Some(Standstill::Stopped)), ('D', Some(Standstill::Disk))];
        let states = states.into_iter().chain([('S', None), ('R', None), ('Z', None)]);
        for (pid, (state, standstill)) in (7..).zip(states) {
            listed.process(pid, state, pid, "");
            assert_eq!(listed.table().standstill_of(&identity(pid, 500, "boot")), standstill, "{state}");
            assert_eq!(listed.table().standstill_of(&identity(pid, 501, "boot")), None, "it is another");
            let machine = Machine::of("host", "boot", listed.0.path());
            assert_eq!(Standstill::of(&machine, pid), standstill, "{state}");
        }
    }

    #[test]
    fn the_group_and_those_that_name_the_attempt_are_counted_and_no_stranger() {
        let listed = Listed::new();
        listed.process(7, 'S', 7, &names(1));
        listed.process(8, 'S', 7, "");
        listed.process(9, 'S', 9, &names(1));
        listed.process(10, 'S', 10, &names(2));
        listed.process(11, 'Z', 7, "");
        let usage = listed.table().usage_of(ids::attempt(1), Some(&identity(7, 500, "boot")));
        assert_eq!(usage.pids, [7, 8, 9]);
        assert_eq!(usage.cpu, of_ticks(120));
        assert_eq!(usage.rss_bytes, 6 * rustix::param::page_size() as u64);
        // The leader was reaped, and its number went to somebody else.
        let others = listed.table().usage_of(ids::attempt(3), Some(&identity(7, 499, "boot")));
        assert_eq!(others, Usage::default());
        // A group whose leader is gone is still known by a member that names the attempt.
        let leaderless = Listed::new();
        leaderless.process(20, 'S', 19, &names(1));
        leaderless.process(21, 'S', 19, "");
        let usage = leaderless.table().usage_of(ids::attempt(1), Some(&identity(19, 500, "boot")));
        assert_eq!(usage.pids, [20, 21]);
    }
}
