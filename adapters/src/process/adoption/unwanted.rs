//! Attempts that go on although their run does not want them any more.

use std::time::Duration;

use tachograph_engine::domain::{AttemptId, Ordinal, Run, RunId, Status};
use tokio::task::JoinSet;

use super::super::attended::Attended;
use super::super::directory::AttemptDirectory;
use super::super::error::RunnerError;
use super::super::exit_record::ExitRecord;
use super::super::group::ProcessGroup;
use super::super::identity::{Identity, ProcessIdentity};
use super::super::runner::ProcessRunner;
use super::super::shim::{Request, RequestPipe, Standing, standing};
use super::evidence::pids;
use super::found_shim::FoundShim;
use super::processes::Processes;
use super::report::AdoptionReport;
use super::rest::group_after;
use crate::threads::blocking;

/// An attempt that its run does not want any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unwanted {
    attempt: AttemptId,
    ordinal: Ordinal,
    /// Whether its run was destroyed; else it has another attempt by now.
    destroyed: bool,
}

impl Unwanted {
    /// Absent for an attempt that is wanted, or that the run never had. The last attempt of a run that has ended is left
    /// as it is: its shim is about to go by itself, and what a command leaves behind on purpose stays.
    fn of(run: &Run, attempt: AttemptId) -> Option<Self> {
        let destroyed = matches!(run.status, Status::Destroyed { .. });
        let current = run.attempt.as_ref().filter(|current| current.id == attempt);
        if let Some(current) = current {
            return destroyed.then_some(Self { attempt, ordinal: current.ordinal, destroyed });
        }
        let index = run.spent.iter().position(|spent| *spent == attempt)?;
        let ordinal = Ordinal(u32::try_from(index).ok()?.checked_add(1)?);
        Some(Self { attempt, ordinal, destroyed })
    }

    const fn why(self) -> &'static str {
        if self.destroyed { "destroyed" } else { "superseded" }
    }
}

/// What of it is alive, and certainly it.
enum Alive {
    /// Its shim, which ends the rest.
    Shim(ProcessIdentity),
    /// What is left of its process group, without a shim that could.
    Group(ProcessGroup),
}

/// What became of it, in words.
enum Became {
    /// It is no more.
    Ended(String),
    /// It may take a while to end, or could not be ended.
    Alive(String),
}

impl Alive {
    /// `shim` is what a command line says.
    fn look(directory: &AttemptDirectory, run: RunId, attempt: AttemptId, shim: Option<u32>) -> Option<Self> {
        let (identity, ended_by_itself) = match standing(directory, run, attempt).ok()? {
            Standing::Attended(identity) => return identity.shim.map(Self::Shim),
            Standing::ShimGone { identity, .. } => {
                let record = ExitRecord::read(&directory.exit_record(), run, attempt).ok().flatten();
                let own = record.filter(|record| record.is_word_of(&identity.runner) && record.is_complete());
                (identity, own.is_some())
            }
            Standing::Unattended(identity) => {
                let alive = identity.process.as_ref().is_some_and(ProcessIdentity::is_alive);
                (identity, !alive)
            }
            Standing::OtherBoot(_) => return None,
            // The run may have removed its identity.
            Standing::Unknown => {
                let found = FoundShim::look(shim?, run, attempt).filter(|found| !found.is_held());
                return found.map(|found| Self::Shim(found.shim));
            }
        };
        // What a command leaves behind on purpose stays, also if the run went on since.
        let leader = identity.process.as_ref().filter(|_| !ended_by_itself)?;
        group_after(leader, attempt).filter(|group| !group.members().is_empty()).map(Self::Group)
    }

    /// Whether another supervisor that is alive looks after it.
    fn is_held(directory: &AttemptDirectory, run: RunId, attempt: AttemptId) -> bool {
        let identity = Identity::read(directory, run, attempt).ok().flatten();
        let held = |supervisor: &ProcessIdentity| supervisor.pid != std::process::id() && supervisor.is_alive();
        identity.is_some_and(|identity| held(&identity.supervisor))
    }
}

impl ProcessRunner {
    /// Performs again what a former supervisor may not have come to: ending exactly the attempts that were superseded or
    /// destroyed. They are found by what is alive, not among all runs that ever were, and verified, so that it is no
    /// stranger who is ended.
    pub(super) async fn end_unwanted(&self, processes: &Processes) -> Result<AdoptionReport, RunnerError> {
        let mut report = AdoptionReport::default();
        let mut ending = JoinSet::new();
        for (run, attempt) in processes.attempts() {
            if self.registry().get(*run, *attempt).is_some() {
                continue;
            }
            let Some(record) = self.engine().run(*run).await? else { continue };
            if let Some(unwanted) = Unwanted::of(&record.run, *attempt) {
                let (runner, shim) = (self.clone(), processes.shim_of(*run, *attempt));
                // Together, since each may take the grace.
                ending.spawn(async move {
                    Some((record.run.id, unwanted, runner.end_one(&record.run, unwanted, shim).await?))
                });
            }
        }
        while let Some(ended) = ending.join_next().await {
            if let Ok(Some((run, unwanted, became))) = ended {
                let (ordinal, why) = (unwanted.ordinal, unwanted.why());
                match became {
                    Became::Ended(what) => {
                        report.ended.push((run, format!("of attempt {ordinal}, which was {why}: {what}")));
                    }
                    Became::Alive(what) => {
                        report.orphans.push((run, format!("attempt {ordinal} was {why} and is alive; {what}")));
                    }
                }
            }
        }
        Ok(report)
    }

    /// What became of it; absent if nothing of it is certainly alive.
    async fn end_one(&self, run: &Run, unwanted: Unwanted, shim: Option<u32>) -> Option<Became> {
        let directory = AttemptDirectory::of(self.runs_dir(), run.id, unwanted.ordinal);
        let (of, place) = ((run.id, unwanted.attempt), directory.clone());
        let look = move || {
            let held = Alive::is_held(&place, of.0, of.1);
            Alive::look(&place, of.0, of.1, shim).filter(|_| !held)
        };
        match blocking(look).await? {
            Some(Alive::Shim(shim)) => Some(Became::Alive(ask(&shim, &directory, self.options().grace_ms))),
            Some(Alive::Group(group)) => {
                let ended = self.end_rest(group).await;
                (!ended.is_empty()).then(|| Became::Ended(format!("ended of its process group: {}", pids(&ended))))
            }
            None => self.end_unwanted_container(run, unwanted, directory).await,
        }
    }

    async fn end_unwanted_container(
        &self,
        run: &Run,
        unwanted: Unwanted,
        directory: AttemptDirectory,
    ) -> Option<Became> {
        let (id, workload) = (run.id, run.spec.workload.clone());
        match blocking(move || crate::oci::end_left_behind(&directory, id, unwanted.attempt, &workload)).await? {
            Ok(state) => state.map(|state| Became::Ended(format!("its container was {state}, and is removed"))),
            Err(error) => Some(Became::Alive(format!("its container may go on: {error}"))),
        }
    }
}

/// Through its pipe, and by TERM if the run took that away: the directory is the run's own.
fn ask(shim: &ProcessIdentity, directory: &AttemptDirectory, grace_ms: u64) -> String {
    let grace = Duration::from_millis(grace_ms);
    let asked = RequestPipe::open(directory).and_then(|pipe| pipe.send(Request::End { grace }));
    let done = asked.or_else(|_| match Attended::found(shim, None)? {
        Some(attended) => attended.terminate(),
        None => Ok(()),
    });
    match done {
        Ok(()) => format!("its shim, pid {}, was asked to end", shim.pid),
        Err(error) => format!("its shim, pid {}, cannot be asked to end: {error}", shim.pid),
    }
}
