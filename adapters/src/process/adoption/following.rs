//! An adopted attempt, to its end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tachograph_engine::domain::{Claim, Event, Finding, Ordinal, RunSpec};
use tachograph_engine::ports::Clock;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::super::arming::arm_missing;
use super::super::attempt::HeldAttempt;
use super::super::attended::Attended;
use super::super::directory::AttemptDirectory;
use super::super::error::RunnerError;
use super::super::follow::follow;
use super::super::group::ProcessGroup;
use super::super::handle::{Opened, Phase, Stop};
use super::super::identity::{Identity, ProcessIdentity};
use super::super::outcome::TimeUp;
use super::super::ready::{Readiness, Ready};
use super::super::runner::ProcessRunner;
use super::super::standstill::Termination;
use super::super::supervise::{next_signal, next_time_up, until};
use super::conclusion::{Witnessed, cause_of_unwitnessed};
use super::evidence::{Evidence, Identified, Known};
use super::report::AdoptionReport;
use super::settling::{finding_of, refused, timed_out, unknown};
use crate::threads::blocking;

/// Signals that stay pending while a process is stopped; so CONT follows each.
const ASKING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Whether an attempt that was to be adopted is followed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopted {
    /// It is, or was already, or the engine does not want it.
    Settled,
    /// It ended between the look and the grasp: to be looked at again.
    Vanished,
}

impl ProcessRunner {
    /// Enters an attempt that goes on without the supervisor that started it, and follows it from here on.
    pub(super) async fn adopt(
        &self,
        claim: Claim,
        ordinal: Ordinal,
        spec: &RunSpec,
        witnessed: &Witnessed,
        evidence: &Evidence,
        report: &mut AdoptionReport,
    ) -> Result<Adopted, RunnerError> {
        let Some(registration) = self.registry().register(claim.run, claim.attempt) else {
            return Ok(Adopted::Settled);
        };
        let directory = AttemptDirectory::of(self.runs_dir(), claim.run, ordinal);
        // Pinned before anything is recorded: from here on it cannot become another unnoticed.
        let grasp = match Grasp::of(witnessed, evidence) {
            Ok(Some(grasp)) => grasp,
            Ok(None) => return Ok(Adopted::Vanished),
            Err(error) => {
                report.left_alone.push((claim.run, format!("it is alive and cannot be followed: {error}")));
                return Ok(Adopted::Settled);
            }
        };
        let answer = self.found(&claim, Finding::Adopted, evidence.told()).await?;
        if let Some(refusal) = answer.outcome.refusal() {
            report.left_alone.push((claim.run, refused(refusal)));
            return Ok(Adopted::Settled);
        }
        report.adopted.push((claim.run, claim.attempt));
        let live = registration.live.clone();
        let delay = snapshot_delay(&directory, &claim).await;
        if let Some(delay) = delay {
            self.arm_what_is_missing(&claim, delay).await?;
        }
        let _ = live.opened.set(Opened {
            ordinal,
            directory: directory.clone(),
            snapshot_delay: delay.map_or_else(OnceLock::new, OnceLock::from),
            adopted_from: Some(claim.runner.clone()),
        });
        // Its processes were told where, and report over it from here on.
        let runner = self.clone();
        let socket = blocking(move || runner.hold_report_socket()).await.flatten();
        let (engine, options) = (self.engine().clone(), self.options());
        let reporter = self.runner().clone();
        let (limits, workload) = (spec.limits, spec.workload.clone());
        let held = HeldAttempt { engine, options, claim, reporter, directory, limits, workload, socket, registration };
        tokio::spawn(async move {
            let mut released = live.released.subscribe();
            tokio::select! {
                biased;
                () = grasp.follow(held) => {}
                // What was followed goes on, and its shim writes its end down.
                _ = released.wait_for(|released| *released) => {}
            }
        });
        Ok(Adopted::Settled)
    }

    /// Arms the snapshot that the wait of an adopted attempt is owed, before its processes can report anything more.
    async fn arm_what_is_missing(&self, claim: &Claim, delay: Duration) -> Result<(), RunnerError> {
        let Some(record) = self.engine().run(claim.run).await? else { return Ok(()) };
        let history = self.engine().reader().history(claim.run).await?;
        let Some(arming) = arm_missing(&record, &history, delay).filter(|arming| arming.claim == *claim) else {
            return Ok(());
        };
        let outcome = self.arm(arming).await?;
        if let Some(refusal) = outcome.refusal() {
            tracing::warn!(run = %claim.run, %refusal, "the snapshot of a wait that was adopted is not armed");
        }
        Ok(())
    }

    /// Follows no adopted attempt any longer: each goes on by itself, and the next supervisor finds it. To be called
    /// before [`shutdown`](Self::shutdown) if what others started shall outlive this runner. Returns how many there were.
    pub async fn let_go(&self) -> usize {
        let all = self.registry().all().into_iter();
        let adopted: Vec<_> = all.filter(|live| live.adopted_from().is_some()).collect();
        for live in &adopted {
            live.released.send_replace(true);
            let _ = live.settled.subscribe().wait_for(|settled| *settled).await;
        }
        adopted.len()
    }
}

/// What the attempt was started with. An identity that cannot be read is looked at elsewhere.
async fn snapshot_delay(directory: &AttemptDirectory, claim: &Claim) -> Option<Duration> {
    let (directory, run, attempt) = (directory.clone(), claim.run, claim.attempt);
    let identity = blocking(move || Identity::read(&directory, run, attempt)).await?.ok()??;
    identity.snapshot_delay_ms.map(Duration::from_millis)
}

/// A process that cannot be mistaken any more.
enum Grasp {
    Shim(Box<Attended>),
    Process(ProcessIdentity, AsyncFd<OwnedFd>),
}

impl Grasp {
    /// Absent if exactly that process is not alive any more.
    fn of(witnessed: &Witnessed, evidence: &Evidence) -> io::Result<Option<Self>> {
        match witnessed {
            Witnessed::ByShim(shim) => {
                let process = match &evidence.identified {
                    Identified::Known(Known { process: Some((process, _)), .. }) => Some(process),
                    _ => None,
                };
                Ok(Attended::found(shim, process)?.map(Box::new).map(Self::Shim))
            }
            Witnessed::ByNobody(process) => {
                let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
                let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
                    Err(rustix::io::Errno::SRCH) => return Ok(None),
                    pidfd => pidfd?,
                };
                if !process.is_alive() {
                    return Ok(None);
                }
                Ok(Some(Self::Process(process.clone(), observed(pidfd)?)))
            }
        }
    }

    async fn follow(self, held: HeldAttempt) {
        match self {
            Self::Shim(attended) => {
                let age = age(&held).await;
                follow(held, *attended, age).await;
            }
            Self::Process(process, pinned) => unwitnessed(held, &process, &pinned).await,
        }
    }
}

#[expect(deprecated, reason = "an OwnedFd stays open while it lives, which the unsafe successor has callers promise")]
fn observed(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, tokio::io::Interest::READABLE)
}

/// Follows a process that is nobody's child here: that it ends is seen, how it ends is not. Nobody reads its output, so
/// that it ends at its next write unless it ignores PIPE.
async fn unwitnessed(held: HeldAttempt, process: &ProcessIdentity, pinned: &AsyncFd<OwnedFd>) {
    let live = held.live().clone();
    let _ = live.pid.set(process.pid);
    live.readiness.send_replace(Readiness::Ready(Ready { after: Duration::ZERO }));
    live.phase.send_replace(Phase::Running);
    let limit_at = limit_at(&held).await;
    let Some(mut guard) = Guard::of(&held, process.pid, limit_at) else { return };
    loop {
        tokio::select! {
            biased;
            _ = pinned.readable() => break,
            () = guard.step() => {}
        }
    }
    live.phase.send_replace(Phase::Exited);
    let cause = cause_of_unwitnessed();
    let detail = format!("process {} ended, and was nobody's child here", process.pid);
    let lost = finding_of(&held.engine, &held.reporter, &held.claim, Finding::Lost, detail);
    if let Err(error) = held.engine.submit(lost).await {
        tracing::warn!(%error, run = %held.claim.run, "what became of an adopted attempt is not recorded");
    }
    let outcome = match guard.time_up.take() {
        Some(time_up) => timed_out(&time_up, &cause),
        None => unknown(cause),
    };
    held.conclude(outcome, None).await;
}

/// How long an attempt has been there that somebody else started: from when its start was recorded, by the wall clock,
/// which is all that is left of it. Its wall-clock limit counts on from there; one that was reached while nobody was there
/// is reached now.
async fn age(held: &HeldAttempt) -> Duration {
    let is_start = |event: &Event| matches!(event, Event::Started { attempt, .. } if *attempt == held.claim.attempt);
    let history = held.engine.reader().history(held.claim.run).await.unwrap_or_else(|error| {
        tracing::warn!(%error, run = %held.claim.run, "its wall-clock limit counts from its adoption");
        Vec::new()
    });
    let started = history.iter().find(|entry| entry.events().iter().any(is_start)).map(|entry| entry.recorded_at);
    let now = held.engine.clock().now();
    let micros = started.map_or(0, |started| now.as_micros().saturating_sub(started.as_micros()));
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// When its wall-clock limit is reached, on the monotonic clock.
async fn limit_at(held: &HeldAttempt) -> Option<Duration> {
    let limit = Duration::from_millis(held.limits.wall_ms?);
    let left = limit.saturating_sub(age(held).await);
    Some(held.engine.clock().monotonic().saturating_add(left))
}

/// Passes on what is asked of a process that is nobody's child here: to members of its group that are verified one by
/// one.
struct Guard {
    clock: Arc<dyn Clock>,
    group: ProcessGroup,
    grace: Duration,
    stop: watch::Receiver<Option<Stop>>,
    signals: Option<mpsc::Receiver<Signal>>,
    told: Option<watch::Receiver<Option<TimeUp>>>,
    time_up: Option<TimeUp>,
    /// When its wall-clock limit is reached; absent if it has none or it was.
    limit_at: Option<Duration>,
    limit_ms: u64,
    termination: Termination,
}

impl Guard {
    fn of(held: &HeldAttempt, pid: u32, limit_at: Option<Duration>) -> Option<Self> {
        let mut group = ProcessGroup::led_by(pid, held.claim.attempt)?;
        // Somebody else reaps it, at any time.
        group.leader_was_reaped();
        let live = held.live();
        let (mut stop, mut told) = (live.stop.subscribe(), live.time_up.subscribe());
        stop.mark_changed();
        told.mark_changed();
        Some(Self {
            clock: held.engine.clock().clone(),
            group,
            grace: Duration::from_millis(held.options.grace_ms),
            stop,
            signals: live.signals.take(),
            told: Some(told),
            time_up: None,
            limit_at,
            limit_ms: held.limits.wall_ms.unwrap_or_default(),
            termination: Termination::of(held.live()),
        })
    }

    async fn step(&mut self) {
        let clock = self.clock.clone();
        let signal = tokio::select! {
            // The senders live as long as the attempt's registration.
            _ = self.stop.changed() => {
                let stop = *self.stop.borrow_and_update();
                stop.and_then(|stop| self.termination.wish(clock.monotonic(), stop.kill_at))
            }
            signal = next_signal(&mut self.signals) => signal,
            why = next_time_up(&mut self.told) => self.end_in_time(why),
            () = until(&*clock, self.limit_at) => {
                self.limit_at = None;
                self.end_in_time(TimeUp::WallLimit { limit_ms: self.limit_ms })
            }
            signal = self.termination.next(&*clock) => Some(signal),
        };
        if let Some(signal) = signal {
            self.signal(signal).await;
        }
    }

    /// The first reason counts.
    fn end_in_time(&mut self, why: TimeUp) -> Option<Signal> {
        self.time_up.get_or_insert(why);
        let now = self.clock.monotonic();
        self.termination.wish(now, now.saturating_add(self.grace))
    }

    async fn signal(&self, signal: Signal) {
        let group = self.group.clone();
        blocking(move || {
            group.signal(signal);
            if ASKING.contains(&signal) {
                group.signal(Signal::CONT);
            }
        })
        .await;
    }
}
