//! Freezing by a control group: the attempt's processes are moved into one of their own, which stands still as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tachograph_engine::domain::AttemptId;

use super::FreezeError;
use super::cgroup::{Cgroup, Hierarchy};
use super::limit::Limit;
use super::members::{MemberId, Members, Membership};
use super::standing::{is_gone, switches};
use crate::process::identity::ProcessStat;

/// How often is tried to empty and remove a group: those that are just ending still count.
const EMPTY_ROUNDS_MAX: u32 = 50;

/// The kernel tells of changes at least 10 ms apart, so that the last one is known late.
const SETTLE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
const NOTICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// An attempt in a control group of its own.
#[derive(Debug)]
pub(super) struct ContainedAttempt {
    membership: Membership,
    own: Cgroup,
    home: Cgroup,
    /// Who stands there, and how often each thread had given up the processor.
    frozen: BTreeMap<MemberId, BTreeMap<u32, u64>>,
    /// Becomes ready as soon as the group thaws, if only for an instant.
    events: Option<File>,
}

impl ContainedAttempt {
    /// The group that would be used; absent if the processes are not all in one place where they could be moved from.
    /// Nothing is made.
    pub(super) fn plan(membership: &Membership, members: &Members) -> Option<Self> {
        let hierarchy = Hierarchy::find()?;
        let homes = members.keys().map(|id| (id, hierarchy.of_process(id.pid)));
        // Whoever ended meanwhile is nowhere, or where the kernel puts the dead: it need not be moved.
        let mut homes = homes.filter(|(id, _)| !is_gone(id.pid)).map(|(_, home)| home);
        let home = homes.next()??;
        if !homes.all(|other| other.as_ref() == Some(&home)) {
            return None;
        }
        let own = Cgroup { path: home.join(name(membership.attempt)) };
        let membership = membership.clone();
        Some(Self { membership, own, home: Cgroup { path: home }, frozen: BTreeMap::new(), events: None })
    }

    /// The directories: its own, and where its processes go back to.
    pub(super) fn paths(&self) -> (PathBuf, PathBuf) {
        (self.own.path.clone(), self.home.path.clone())
    }

    /// Makes the group, frozen and empty. An error means that there is none here, and that nobody was touched.
    pub(super) fn create(&self) -> io::Result<()> {
        self.own.create()?;
        self.own.freeze().inspect_err(|_| drop(self.own.remove()))
    }

    /// Moves the processes in, whereupon each stands still, until two looks in a row find nobody outside and the kernel
    /// says that all stand.
    pub(super) fn stop(&mut self, limit: &mut Limit) -> Result<(), StopFailure> {
        let mut before = None;
        loop {
            let members = self.membership.scan()?;
            let inside: BTreeSet<u32> = self.inside()?.into_iter().collect();
            let outside: Vec<MemberId> = members.keys().filter(|id| !inside.contains(&id.pid)).copied().collect();
            for id in &outside {
                self.take_in(*id)?;
                limit.quicken();
            }
            let now: BTreeSet<MemberId> = members.keys().copied().collect();
            if outside.is_empty() && self.watch()? && before.as_ref() == Some(&now) && !self.has_changed(SETTLE)? {
                self.frozen = now.into_iter().map(|id| (id, switches(id.pid))).collect();
                return Ok(());
            }
            if limit.is_over() {
                let pid = outside.first().or(now.first()).map_or(self.membership.leader.pid, |id| id.pid);
                return Err(limit.missed_by(pid).into());
            }
            before = outside.is_empty().then_some(now);
            limit.pause();
        }
    }

    /// Whether everything stood still since it was stopped.
    pub(super) fn verify(&self) -> Result<(), FreezeError> {
        let members = self.membership.scan()?;
        let torn = |id: &MemberId, how: &str| Err(FreezeError::Torn { pid: id.pid, how: how.to_owned() });
        if let Some(id) = self.frozen.keys().find(|id| !members.contains_key(id) || is_gone(id.pid)) {
            return torn(id, "ended");
        }
        if let Some(id) = members.keys().find(|id| !self.frozen.contains_key(id)) {
            return torn(id, "came");
        }
        let inside: BTreeSet<u32> = self.inside()?.into_iter().collect();
        if let Some(id) = self.frozen.keys().find(|id| !inside.contains(&id.pid)) {
            return torn(id, "was moved elsewhere");
        }
        let stands = self.own.is_frozen().map_err(FreezeError::io("read", &self.own.path))?;
        // A thread that ran may have looked at a signal only, for which the kernel lets it out of its wait.
        let ran =
            self.frozen.iter().find(|(id, before)| switches(id.pid) != **before).or(self.frozen.first_key_value());
        match ran {
            Some((id, before)) if !stands || (switches(id.pid) != *before && self.has_changed(NOTICE)?) => {
                torn(id, "went on")
            }
            _ => Ok(()),
        }
    }

    /// Sends everybody back, and removes the group.
    pub(super) fn thaw(&self) -> Result<(), FreezeError> {
        empty(&self.own, &self.home)
    }

    fn inside(&self) -> Result<Vec<u32>, FreezeError> {
        self.own.processes().map_err(FreezeError::io("read", &self.own.path))
    }

    fn take_in(&self, id: MemberId) -> Result<(), StopFailure> {
        let is_meant = || ProcessStat::read(id.pid).is_ok_and(|stat| stat.start_ticks == id.start_ticks);
        if !is_meant() {
            return Ok(());
        }
        self.own.take_in(id.pid).map_err(StopFailure::Unmovable)?;
        // A control group takes bare pids, so this one may have changed hands in that instant.
        if !is_meant() {
            self.home.take_in(id.pid).map_err(StopFailure::Unmovable)?;
        }
        Ok(())
    }

    /// Whether all stand; from here on it is noticed if they do not.
    fn watch(&mut self) -> Result<bool, FreezeError> {
        let path = self.own.path.join("cgroup.events");
        let mut text = String::new();
        let read = File::open(&path).and_then(|mut file| file.read_to_string(&mut text).map(|_| file));
        self.events = Some(read.map_err(FreezeError::io("read", &path))?);
        Ok(text.lines().any(|line| line == "frozen 1"))
    }

    /// Whether the group thawed since it was watched, if only for an instant, as far as that is told so soon.
    fn has_changed(&self, soon: Timespec) -> Result<bool, FreezeError> {
        let Some(events) = &self.events else { return Ok(false) };
        let mut polled = [PollFd::new(events, PollFlags::PRI)];
        let ready = poll(&mut polled, Some(&soon)).map_err(io::Error::from);
        Ok(ready.map_err(FreezeError::io("watch", &self.own.path))? > 0)
    }
}

/// Why a control group was no way to stop an attempt.
#[derive(Debug)]
pub(super) enum StopFailure {
    /// The kernel does not let a process be moved: another way may do.
    Unmovable(io::Error),
    /// Another way would do no better.
    Freeze(FreezeError),
}

impl From<FreezeError> for StopFailure {
    fn from(error: FreezeError) -> Self {
        Self::Freeze(error)
    }
}

/// What a control group is called that was made to freeze an attempt.
fn name(attempt: AttemptId) -> String {
    format!("tacho-{attempt}")
}

/// Undoes what another process did. Says how many processes went on.
pub(super) fn thaw_marked(attempt: AttemptId, path: &Path, home: &Path) -> Result<usize, FreezeError> {
    thaw_below(Hierarchy::find(), attempt, path, home)
}

fn thaw_below(
    hierarchy: Option<Hierarchy>,
    attempt: AttemptId,
    path: &Path,
    home: &Path,
) -> Result<usize, FreezeError> {
    let Some(hierarchy) = hierarchy else {
        // It may well stand, where the hierarchy is mounted.
        let why = format!("no control groups of version 2 are mounted here, and it stands in {}", path.display());
        return Err(FreezeError::NotThawed { why });
    };
    let own = path.file_name().is_some_and(|last| last == name(attempt).as_str());
    if !own || !hierarchy.contains(path) || path.parent() != Some(home) {
        let why = format!("{} is no control group that was made for it", path.display());
        return Err(FreezeError::NotThawed { why });
    }
    let own = Cgroup { path: path.to_owned() };
    if !own.exists() {
        return Ok(0);
    }
    let inside = own.processes().map_err(FreezeError::io("read", path))?;
    let count = inside.into_iter().filter(|pid| !is_gone(*pid)).count();
    empty(&own, &Cgroup { path: home.to_owned() }).map(|()| count)
}

/// Moves everybody home, where each goes on at once: as long as they stand still they cannot make others. What cannot be
/// moved goes on where it is.
fn empty(own: &Cgroup, home: &Cgroup) -> Result<(), FreezeError> {
    let mut left = send_home(own, home);
    if let Err(error) = own.thaw()
        && own.exists()
    {
        return Err(FreezeError::NotThawed { why: format!("{}: {error}", own.path.display()) });
    }
    for _ in 0..EMPTY_ROUNDS_MAX {
        left = left.and_then(|()| own.remove());
        if left.is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        left = send_home(own, home);
    }
    if let Err(error) = left {
        tracing::warn!(%error, path = %own.path.display(), "a control group is thawed and stays");
    }
    Ok(())
}

fn send_home(own: &Cgroup, home: &Cgroup) -> io::Result<()> {
    own.processes()?.into_iter().try_for_each(|pid| home.take_in(pid))
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn without_the_hierarchy_nothing_counts_as_thawed() {
        let home = Path::new("/sys/fs/cgroup/x");
        let error = thaw_below(None, ids::attempt(1), &home.join(name(ids::attempt(1))), home).unwrap_err();
        assert_eq!(error.code(), "not_thawed", "{error}");
        assert!(error.to_string().contains("/sys/fs/cgroup/x/tacho-"), "{error}");
    }
}
