//! Freezing by signals: every process of the attempt is stopped, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::FreezeError;
use super::limit::Limit;
use super::marker::MarkedMember;
use super::members::{Member, MemberId, Members, Membership};
use super::standing::{Standing, is_gone, is_stopped};

/// How long a child that is waited for gets to execute something.
const EXECUTE_PAUSE: Duration = Duration::from_millis(1);

/// Threads of every member, each with how often it has given up the processor.
type Stills = BTreeMap<MemberId, BTreeMap<u32, u64>>;

/// The processes of an attempt, as far as they were stopped here.
#[derive(Debug)]
pub(super) struct StoppedAttempt {
    membership: Membership,
    held: BTreeMap<MemberId, Held>,
    stills: Stills,
}

#[derive(Debug)]
struct Held {
    member: Member,
    stopped_before: bool,
}

impl StoppedAttempt {
    /// Nothing is stopped yet.
    pub(super) fn of(membership: Membership) -> Self {
        Self { membership, held: BTreeMap::new(), stills: BTreeMap::new() }
    }

    /// Stops everything: until two looks in a row show the same processes and none of their threads ran in between.
    /// `mark` writes down who is about to be stopped, every time before it is done.
    pub(super) fn stop(
        &mut self,
        limit: &mut Limit,
        mut mark: impl FnMut(Vec<MarkedMember>) -> Result<(), FreezeError>,
    ) -> Result<(), FreezeError> {
        let mut before: Option<Stills> = None;
        loop {
            let members = self.membership.scan()?;
            self.held.retain(|id, _| members.contains_key(id));
            let came = self.enter(members);
            let came_any = !came.is_empty();
            if came_any {
                mark(self.marked())?;
                self.signal(&came, Signal::STOP)?;
                limit.quicken();
            }
            let (stills, moving) = self.look();
            if moving.is_none() && !came_any && before.as_ref() == Some(&stills) {
                self.stills = stills;
                return Ok(());
            }
            if let Some(pid) = moving.filter(|_| limit.is_over()).or_else(|| self.over(limit)) {
                return Err(limit.missed_by(pid));
            }
            before = moving.is_none().then_some(stills);
            limit.pause();
        }
    }

    /// Whether everything stood still since it was stopped.
    pub(super) fn verify(&self) -> Result<(), FreezeError> {
        let members = self.membership.scan()?;
        if let Some(id) = members.keys().find(|id| !self.stills.contains_key(id)) {
            return Err(torn(*id, "came"));
        }
        for (id, still) in &self.stills {
            match Standing::of(id.pid) {
                _ if !members.contains_key(id) => return Err(torn(*id, "ended")),
                Standing::Still(now) if now == *still => {}
                Standing::Gone => return Err(torn(*id, "ended")),
                Standing::Still(_) | Standing::Moving { .. } => return Err(torn(*id, "went on")),
            }
        }
        Ok(())
    }

    /// Lets go on what was stopped here.
    pub(super) fn thaw(&self) -> Result<(), FreezeError> {
        let failed: Vec<String> = self.held.values().filter_map(|held| held.go_on().err()).collect();
        if failed.is_empty() { Ok(()) } else { Err(FreezeError::NotThawed { why: failed.join(", ") }) }
    }

    /// Takes in those that are not known yet, and says which.
    fn enter(&mut self, members: Members) -> Vec<MemberId> {
        let mut came = Vec::new();
        for (id, member) in members {
            self.held.entry(id).or_insert_with(|| {
                came.push(id);
                Held { member, stopped_before: is_stopped(id.pid) }
            });
        }
        came
    }

    fn marked(&self) -> Vec<MarkedMember> {
        let marked = |(id, held): (&MemberId, &Held)| MarkedMember { id: *id, stopped_before: held.stopped_before };
        self.held.iter().map(marked).collect()
    }

    fn signal(&self, ids: &[MemberId], signal: Signal) -> Result<(), FreezeError> {
        for held in ids.iter().filter_map(|id| self.held.get(id)).filter(|held| !held.stopped_before) {
            let pid = held.member.id.pid;
            let refused = |error| FreezeError::NotStopped { pid, why: format!("it takes no signal: {error}") };
            held.member.signal(signal).map_err(refused)?;
        }
        Ok(())
    }

    /// What stands still, and one that does not.
    fn look(&self) -> (Stills, Option<u32>) {
        let mut moving = None;
        let mut stills = BTreeMap::new();
        for id in self.held.keys() {
            match Standing::of(id.pid) {
                Standing::Still(threads) => drop(stills.insert(*id, threads)),
                Standing::Gone => {}
                Standing::Moving { waits } => {
                    moving = Some(id.pid);
                    if waits {
                        self.let_children_execute(*id);
                    }
                }
            }
        }
        (stills, moving)
    }

    /// A process may wait, without taking a signal, until the child that it made has executed something (vfork). If that
    /// child was stopped before, it gets a moment to do so.
    fn let_children_execute(&self, parent: MemberId) {
        let children: Vec<MemberId> = self
            .held
            .values()
            .filter(|held| held.member.parent == parent.pid.cast_signed() && is_stopped(held.member.id.pid))
            .map(|held| held.member.id)
            .collect();
        let went_on = self.signal(&children, Signal::CONT);
        std::thread::sleep(EXECUTE_PAUSE);
        if let Err(error) = went_on.and(self.signal(&children, Signal::STOP)) {
            tracing::debug!(%error, "a child of a waiting process");
        }
    }

    fn over(&self, limit: &Limit) -> Option<u32> {
        limit.is_over().then(|| self.held.keys().next_back().map_or(self.membership.leader.pid, |id| id.pid))
    }
}

impl Held {
    fn go_on(&self) -> Result<(), String> {
        if self.stopped_before {
            return Ok(());
        }
        self.member.signal(Signal::CONT).map_err(|error| format!("process {}: {error}", self.member.id.pid))
    }
}

/// Lets go on what another process had stopped, each only if it still is the one that was meant. Says how many do: what is
/// dead, if only as a zombie, does not.
pub(super) fn thaw_marked(members: &[MarkedMember]) -> Result<usize, FreezeError> {
    let mut failed = Vec::new();
    let mut thawed = 0;
    for marked in members.iter().filter(|marked| !marked.stopped_before) {
        // One that seems to go on may have been told to stop and not have heard it yet.
        let Some(member) = Member::pin(marked.id) else { continue };
        match member.signal(Signal::CONT) {
            // Looked at afterwards: one that was told to end while it stood is still there before.
            Ok(()) if is_gone(member.id.pid) => {}
            Ok(()) => thawed += 1,
            Err(error) => failed.push(format!("process {}: {error}", member.id.pid)),
        }
    }
    if failed.is_empty() { Ok(thawed) } else { Err(FreezeError::NotThawed { why: failed.join(", ") }) }
}

fn torn(id: MemberId, how: &str) -> FreezeError {
    FreezeError::Torn { pid: id.pid, how: how.to_owned() }
}
