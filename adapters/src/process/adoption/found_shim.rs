//! A shim whose attempt has no identity on disk any more, found by its command line.

use tachograph_engine::domain::{AttemptId, RunId, RunnerId};

use super::super::directory::AttemptDirectory;
use super::super::group::all_pids;
use super::super::identity::{ProcessIdentity, ProcessStat};
use super::super::shim::{run_of_shim, supervisor_of_shim};
use super::super::spawn::ATTEMPT_VARIABLE;
use super::super::traces::traces;
use super::evidence::Known;

/// A living shim that its command line names, with pid, start and boot as they are now.
///
/// Only whoever starts shims, and a run itself, know the ids in that line; a process of the run has them in its
/// environment as well, which a shim has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundShim {
    pub(super) shim: ProcessIdentity,
    /// The one that executes the command: its child that leads a group, the first of them.
    process: Option<ProcessIdentity>,
    /// Whether its child is still to become the command.
    has_gate: bool,
    /// The program that started it, if that is alive and another process than this one.
    supervisor: Option<u32>,
}

impl FoundShim {
    /// Looks at a process; absent if it is not, or no longer, the shim of exactly this attempt.
    pub(super) fn look(pid: u32, run: RunId, attempt: AttemptId) -> Option<Self> {
        // The start first: if that is still so in the end, all between was about this process.
        let shim = ProcessIdentity::of(pid).ok()?;
        let cmdline = about(pid, "cmdline");
        let is_it = run_of_shim(&cmdline) == Some((run, attempt)) && !names_any_attempt(pid);
        let parent = ProcessStat::read(pid).ok().and_then(|stat| u32::try_from(stat.parent).ok());
        // Whoever started a shim is its parent as long as it lives. Earlier shims do not say who that was: they are the
        // same program.
        let is_supervisor = |parent: &u32| match supervisor_of_shim(&cmdline) {
            Some(supervisor) => supervisor == *parent,
            None => same_program(*parent, pid),
        };
        let supervisor = parent.filter(|parent| *parent != std::process::id() && is_supervisor(parent));
        let children = children(pid);
        // A process that is still to become the command is a copy of its shim.
        let is_copy =
            |child| run_of_shim(&about(child, "cmdline")) == Some((run, attempt)) && !names_any_attempt(child);
        let has_gate = children.iter().any(|(child, _)| is_copy(*child));
        let first = children.iter().filter(|(child, stat)| u32::try_from(stat.group) == Ok(*child));
        let first = first.min_by_key(|(child, stat)| (stat.start_ticks, *child));
        let process = first.filter(|_| !has_gate).and_then(|(child, _)| ProcessIdentity::of(*child).ok());
        (is_it && shim.is_alive()).then_some(Self { shim, process, has_gate, supervisor })
    }

    /// Whether another supervisor that is alive looks after it.
    pub(super) const fn is_held(&self) -> bool {
        self.supervisor.is_some()
    }

    /// What it is as if an identity told that, if its command was executed: the directory shows that something was made
    /// in it, or the run has removed it.
    pub(super) fn begun(self, directory: &AttemptDirectory, attempt: AttemptId, runner: &RunnerId) -> Option<Known> {
        let why = match traces(directory) {
            _ if self.has_gate => return None,
            Some(traces) => traces,
            None if directory.path().symlink_metadata().is_err() => "its directory is gone".to_owned(),
            None => return None,
        };
        Some(Known {
            attempt,
            runner: runner.clone(),
            other_supervisor: self.supervisor,
            this_boot: true,
            shim: Some((self.shim, true)),
            process: self.process.map(|process| (process, true)),
            without_file: Some(why),
        })
    }
}

fn about(pid: u32, file: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn names_any_attempt(pid: u32) -> bool {
    let prefix = format!("{ATTEMPT_VARIABLE}=");
    about(pid, "environ").split(|byte| *byte == 0).any(|variable| variable.starts_with(prefix.as_bytes()))
}

fn same_program(one: u32, another: u32) -> bool {
    let program = |pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    program(one).is_some_and(|one| Some(one) == program(another))
}

fn children(parent: u32) -> Vec<(u32, ProcessStat)> {
    let pids = all_pids().unwrap_or_default().into_iter();
    let stats = pids.filter_map(|pid| Some((pid, ProcessStat::read(pid).ok()?)));
    stats.filter(|(_, stat)| u32::try_from(stat.parent) == Ok(parent) && !stat.is_dead()).collect()
}
