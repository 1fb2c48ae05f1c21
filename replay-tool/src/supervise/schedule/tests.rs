use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{Diagnostics, Exit, ExitStatus, Failure, FailureKind, Refusal, Timestamp, Witness};
use tachograph_engine::ports::JournalError;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::jobs::parse;

/// An attempt that waits for the test to end it.
struct Begun {
    job: String,
    previous: Option<AttemptId>,
    end: oneshot::Sender<Outcome>,
}

/// Launches nothing: tells the test of every attempt, and ends it as the test says.
struct FakeLauncher {
    begun: mpsc::UnboundedSender<Begun>,
    ordinals: AtomicUsize,
    running: AtomicUsize,
    running_max: AtomicUsize,
    refuse: Mutex<Vec<(String, Error)>>,
    stop: Stop,
}

#[async_trait]
impl Launcher for FakeLauncher {
    async fn create(&self, job: &Job) -> Result<Option<RunId>, Error> {
        let mut refuse = self.refuse.lock().unwrap();
        match refuse.iter().position(|(name, _)| *name == job.name) {
            Some(index) => Err(refuse.remove(index).1),
            None => Ok(Some(RunId::from_u128(job.name.bytes().map(u128::from).sum()))),
        }
    }

    async fn attempt(&self, job: &Job, _run: RunId, previous: Option<AttemptId>) -> Result<Attempted, Error> {
        if self.stop.is_requested() {
            return Ok(Attempted::NotBegun);
        }
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.running_max.fetch_max(running, Ordering::Relaxed);
        let attempt = AttemptId::from_u128(self.ordinals.fetch_add(1, Ordering::Relaxed) as u128 + 1);
        let (end, ended) = oneshot::channel();
        self.begun.send(Begun { job: job.name.clone(), previous, end }).unwrap();
        let outcome = ended.await.unwrap();
        self.running.fetch_sub(1, Ordering::Relaxed);
        Ok(Attempted::Ended(Ended { attempt, outcome }))
    }
}

/// Keeps the steps as short texts.
#[derive(Default)]
struct Steps(Mutex<Vec<String>>);

impl Progress for Steps {
    fn show(&self, step: &Step<'_>) {
        let text = match step {
            Step::Started { job, ordinal, .. } => format!("{} {ordinal} started", job.name),
            Step::Ended { job, ordinal, expected, retries, .. } => {
                format!("{} {ordinal} ended expected={expected} retries={retries}", job.name)
            }
            Step::Remark { text } => (*text).to_owned(),
            Step::Ready { .. }
            | Step::EndedUnready { .. }
            | Step::Waiting { .. }
            | Step::Resumed { .. }
            | Step::SnapshotTaken { .. }
            | Step::SnapshotFailed { .. } => {
                panic!("no schedule knows of {step:?}")
            }
            Step::Finished { report } => format!("{} finished expected={}", report.job.name, report.is_expected()),
        };
        self.0.lock().unwrap().push(text);
    }
}

struct World {
    launcher: FakeLauncher,
    steps: Steps,
    stop: Stop,
}

fn world() -> (World, mpsc::UnboundedReceiver<Begun>) {
    let ((sender, begun), stop) = (mpsc::unbounded_channel(), Stop::default());
    let launcher = FakeLauncher {
        begun: sender,
        ordinals: AtomicUsize::new(0),
        running: AtomicUsize::new(0),
        running_max: AtomicUsize::new(0),
        refuse: Mutex::default(),
        stop: stop.clone(),
    };
    (World { launcher, steps: Steps::default(), stop }, begun)
}

fn jobs(text: &str) -> Vec<Job> {
    parse(text.as_bytes()).unwrap()
}

/// Jobs a, b, c… that expect success, each with these further lines.
fn plain_jobs(count: u8, lines: &str) -> Vec<Job> {
    let job = |index| format!("[jobs.{}]\ncommand = [\"x\"]\n{lines}\n", char::from(b'a' + index));
    jobs(&(0..count).map(job).collect::<String>())
}

fn exited(status: ExitStatus) -> Outcome {
    Outcome::Exited { exit: Exit { status, witness: Witness::Waited, output: None }, amended: None }
}

fn code(code: i32) -> Outcome {
    exited(ExitStatus::Code(code))
}

fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "as the test says".to_owned(), diagnostics: Diagnostics::default() })
}

const LIMITS: Limits = Limits { jobs_max: 2, fail_fast: false };

/// After this time a test has failed; none waits for it otherwise.
const HANG: Duration = Duration::from_secs(120);

/// Runs the jobs beside a script that ends their attempts.
macro_rules! run {
    ($world:ident, $jobs:expr, $limits:expr, $script:expr) => {{
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let World { launcher, steps, stop } = &$world;
        let both = async { tokio::join!(run_all($jobs, $limits, launcher, steps, &clock, stop), $script).0 };
        tokio::time::timeout(HANG, both).await.expect("the schedule must come to its end")
    }};
}

/// Lets everything that can go on go on. One thread runs all, so that a few turns reach a standstill.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_more_than_the_limit_run_at_a_time_and_jobs_begin_in_their_order() {
    for jobs_max in [1, 2, 3, 7] {
        let jobs = plain_jobs(6, "");
        let (world, mut begun) = world();
        let mut order = Vec::new();
        let reports = run!(world, &jobs, Limits { jobs_max, fail_fast: false }, async {
            for done in 0..6 {
                settle().await;
                assert_eq!(world.launcher.running.load(Ordering::Relaxed), jobs_max.min(6 - done));
                let next = begun.recv().await.unwrap();
                order.push(next.job);
                next.end.send(code(0)).unwrap();
            }
        });
        assert_eq!(order, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(world.launcher.running_max.load(Ordering::Relaxed), jobs_max.min(6));
        assert!(reports.iter().all(JobReport::is_expected));
    }
}

#[tokio::test]
async fn an_attempt_that_does_not_end_as_expected_is_followed_by_another_of_the_same_run() {
    let jobs = plain_jobs(1, "retries = 2");
    let (world, mut begun) = world();
    let mut chain = Vec::new();
    let reports = run!(world, &jobs, LIMITS, async {
        for outcome in [failed(FailureKind::NotFound), code(1), code(0)] {
            let next = begun.recv().await.unwrap();
            chain.push(next.previous.map(AttemptId::to_u128));
            next.end.send(outcome).unwrap();
        }
    });
    assert_eq!(chain, [None, Some(1), Some(2)], "each attempt names the one before it");
    assert_eq!((reports[0].attempts, reports[0].is_expected()), (3, true));
    assert_eq!(
        *world.steps.0.lock().unwrap(),
        [
            "a 1 started",
            "a 1 ended expected=false retries=true",
            "a 2 started",
            "a 2 ended expected=false retries=true",
            "a 3 started",
            "a 3 ended expected=true retries=false",
            "a finished expected=true",
        ]
    );
}

#[tokio::test]
async fn retries_end_when_they_are_used_up_and_never_begin_after_an_expected_end() {
    let text =
        "[jobs.a]\ncommand = [\"x\"]\nretries = 1\n[jobs.b]\ncommand = [\"x\"]\nretries = 5\nexpect = { signal = 9 }\n";
    let jobs = jobs(text);
    let (world, mut begun) = world();
    let reports = run!(world, &jobs, LIMITS, async {
        for outcome in [code(1), exited(ExitStatus::Signal(9)), code(2)] {
            begun.recv().await.unwrap().end.send(outcome).unwrap();
        }
    });
    assert_eq!((reports[0].attempts, reports[0].is_expected()), (2, false));
    assert!(matches!(&reports[0].result, JobResult::Ended(outcome) if *outcome == code(2)), "the last end counts");
    assert_eq!((reports[1].attempts, reports[1].is_expected()), (1, true));
}

#[tokio::test]
async fn after_a_stop_nothing_is_begun_and_what_runs_is_waited_for() {
    let jobs = plain_jobs(4, "retries = 3");
    let (world, mut begun) = world();
    let reports = run!(world, &jobs, LIMITS, async {
        let (first, second) = (begun.recv().await.unwrap(), begun.recv().await.unwrap());
        world.stop.request(Urgency::Soon);
        first.end.send(exited(ExitStatus::Signal(15))).unwrap();
        settle().await;
        assert!(begun.try_recv().is_err(), "no retry and no further job after a stop");
        second.end.send(code(0)).unwrap();
    });
    let results: Vec<_> = reports.iter().map(|report| (report.attempts, report.is_expected())).collect();
    assert_eq!(results, [(1, false), (1, true), (0, false), (0, false)]);
    assert!(matches!(reports[3].result, JobResult::NotBegun));
}

#[tokio::test]
async fn an_attempt_that_a_stop_forestalled_does_not_count() {
    /// Wishes to stop just before the second attempt.
    struct StopBeforeSecond(Stop);
    impl Progress for StopBeforeSecond {
        fn show(&self, step: &Step<'_>) {
            if matches!(step, Step::Started { ordinal: 2, .. }) {
                self.0.request(Urgency::Soon);
            }
        }
    }
    let jobs = plain_jobs(1, "retries = 3");
    let (World { launcher, stop, .. }, mut begun) = world();
    let (clock, progress) = (ManualClock::new(Timestamp::from_micros(0)), StopBeforeSecond(stop.clone()));
    let script = async { begun.recv().await.unwrap().end.send(code(7)).unwrap() };
    let (reports, ()) = tokio::join!(run_all(&jobs, LIMITS, &launcher, &progress, &clock, &stop), script);
    assert_eq!(reports[0].attempts, 1);
    assert!(matches!(&reports[0].result, JobResult::Ended(outcome) if *outcome == code(7)));
}

#[tokio::test]
async fn fail_fast_begins_no_job_after_an_unexpected_end_but_lets_retries_decide() {
    let jobs = plain_jobs(4, "retries = 1");
    let (world, mut begun) = world();
    let reports = run!(world, &jobs, Limits { jobs_max: 1, fail_fast: true }, async {
        for outcome in [code(1), code(0), code(1), code(1)] {
            begun.recv().await.unwrap().end.send(outcome).unwrap();
        }
    });
    let results: Vec<_> = reports.iter().map(|report| (report.attempts, report.is_expected())).collect();
    assert_eq!(results, [(2, true), (2, false), (0, false), (0, false)]);
    assert!(!world.stop.is_requested(), "what runs may end by itself");
}

#[tokio::test]
async fn a_refusal_concerns_one_job_and_a_failing_journal_all() {
    let jobs = plain_jobs(4, "");
    let (world, mut begun) = world();
    let held = Refusal::NameHeld { name: "a".to_owned(), holder: RunId::from_u128(1) };
    let poisoned = JournalError::Poisoned { why: "the test".to_owned() };
    world
        .launcher
        .refuse
        .lock()
        .unwrap()
        .extend([("a".to_owned(), Error::Refused(held)), ("c".to_owned(), Error::Journal(poisoned))]);
    let reports = run!(world, &jobs, Limits { jobs_max: 1, fail_fast: false }, async {
        let next = begun.recv().await.unwrap();
        assert_eq!(next.job, "b");
        next.end.send(code(0)).unwrap();
    });
    assert!(matches!(&reports[0].result, JobResult::Unrecorded(error) if error.code() == "name_held"));
    assert!(reports[1].is_expected());
    assert!(matches!(&reports[2].result, JobResult::Unrecorded(error) if error.code() == "poisoned"));
    assert!(matches!(reports[3].result, JobResult::NotBegun));
    assert!(world.stop.is_requested());
}

#[tokio::test]
async fn a_stop_only_becomes_more_urgent_and_wakes_who_waits() {
    let stop = Stop::default();
    let waiting = tokio::spawn({
        let stop = stop.clone();
        async move { stop.reached(Urgency::Now).await }
    });
    stop.request(Urgency::Soon);
    settle().await;
    assert!(!waiting.is_finished());
    stop.request(Urgency::Now);
    stop.request(Urgency::Soon);
    waiting.await.unwrap();
    assert_eq!(stop.urgency(), Urgency::Now);
}
