//! The handle that embedders hold.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{Instrument, debug_span};
use ulid::Ulid;

use super::answer::{Answer, SubmitError};
use super::committer::{Committer, Reply, Request};
use super::linger::Linger;
use super::recovery::{self, OpenReport};
use super::refusals::RefusalCounts;
use super::subscription::Subscription;
use super::view::{self, View};
use super::working::Working;
use crate::domain::{Action, Actor, Command, CommandId, Position, RunId, RunRecord};
use crate::ports::{CheckpointStore, Clock, Head, Host, IdSource, Journal, JournalError, JournalReader};

/// What an engine is made of.
pub struct Parts {
    /// The truth. The engine becomes its only user on the writing side.
    pub journal: Box<dyn Journal>,
    /// Times of entries and commands.
    pub clock: Arc<dyn Clock>,
    /// Ids of entries and commands.
    pub ids: Arc<dyn IdSource>,
    /// Who writes, for the journal's system facts.
    pub host: Arc<dyn Host>,
    /// Where to keep the fold of open runs, so that the next open reads less; without it every open reads all.
    pub checkpoints: Option<Arc<dyn CheckpointStore>>,
}

/// Bounds of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Commands that may wait for the committer; beyond that `submit` waits and `try_submit` fails.
    pub queue_max: usize,
    /// Commands in one commit.
    pub batch_max: usize,
    /// Entries that a subscriber may be behind before it is told that it lagged.
    pub feed_max: usize,
    /// Entries between two checkpoints.
    pub checkpoint_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue_max: 4_096, batch_max: 4_096, feed_max: 8_192, checkpoint_every: 100_000 }
    }
}

/// A handle to the engine; cheap to clone, usable from any thread and any async runtime.
///
/// When the last handle is dropped the engine closes by itself, but nobody waits for it: call
/// [`close`](Self::close) to know that it is done. A crash at any time loses nothing that was acknowledged.
#[derive(Clone)]
pub struct Engine {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) feed: broadcast::WeakSender<Arc<crate::domain::Entry>>,
    pub(super) view: Arc<View>,
    pub(super) reader: Arc<dyn JournalReader>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
}

impl Engine {
    /// Rebuilds the state from the journal, writes down that it was opened, and starts the committer on a thread of
    /// its own.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the journal cannot be read or written. Nothing was changed then but what the journal's own
    /// opening did.
    pub async fn open(parts: Parts, options: Options) -> Result<(Self, OpenReport), JournalError> {
        let (opened, wait) = oneshot::channel();
        let (requests, queue) = mpsc::channel(options.queue_max.max(1));
        let (feed, _) = broadcast::channel(options.feed_max.max(1));
        let weak_feed = feed.downgrade();
        let view = Arc::new(View::default());
        let handle = Self {
            requests,
            feed: weak_feed,
            view: view.clone(),
            reader: parts.journal.reader(),
            clock: parts.clock.clone(),
            ids: parts.ids.clone(),
        };
        let path = std::path::PathBuf::from("the committer's thread");
        #[expect(clippy::disallowed_methods, reason = "the journal's calls may block on the disk")]
        let committer = std::thread::Builder::new()
            .name("tacho-committer".to_owned())
            .spawn(move || committer_thread(parts, options, queue, feed, view, opened));
        committer.map_err(|source| JournalError::io("start", path, source))?;
        let report = wait.await.map_err(|_| JournalError::Closed)??;
        Ok((handle, report))
    }

    /// A new ULID, for run, attempt, command or snapshot ids.
    pub fn mint(&self) -> Ulid {
        self.ids.next()
    }

    /// The clock that entries and commands are stamped with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A command with a fresh id, issued now, without an expected version. Keep it to be able to retry it.
    pub fn command(&self, run: RunId, actor: Actor, action: Action) -> Command {
        let id = CommandId::from_ulid(self.mint());
        Command { id, run, actor, issued_at: self.clock.now(), expected: None, action }
    }

    /// Submits a command and waits for its durable answer; waits for a place while the queue is full.
    ///
    /// If the future is dropped, the command may be committed all the same: repeat it with the same id to learn its
    /// answer.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], if the command got no answer. A refusal is an answer.
    pub async fn submit(&self, command: Command) -> Result<Answer, SubmitError> {
        let span = debug_span!("submit", run = %command.run, command = %command.id,
                               action = command.action.name().name());
        async {
            let (request, pending) = request(command);
            self.requests.send(request).await.map_err(|_| SubmitError::Closed)?;
            pending.await
        }
        .instrument(span)
        .await
    }

    /// Submits two commands of which the second is decided right after the first, and durable with it: both cost one sync.
    /// The answers are in the same order. If the first is refused, the second is not decided and gets the same refusal,
    /// which is recorded once. A pair that is repeated because its answers were lost gets that refusal again, however the run
    /// has moved on since.
    ///
    /// If the future is dropped, both may be committed all the same, or after a crash the first alone: repeat them with the
    /// same ids to learn their answers.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], if they got no answer. A refusal is an answer.
    pub async fn submit_both(&self, first: Command, then: Command) -> Result<(Answer, Answer), SubmitError> {
        let span = debug_span!("submit", run = %first.run, command = %first.id, then = %then.id,
                               action = first.action.name().name());
        async {
            let ((reply, pending), (then_reply, then_pending)) = (reply(), reply());
            let then = Some(Box::new((then, then_reply)));
            let request = Request::Submit { command: Box::new(first), reply, then };
            self.requests.send(request).await.map_err(|_| SubmitError::Closed)?;
            Ok((pending.await?, then_pending.await?))
        }
        .instrument(span)
        .await
    }

    /// Submits a command if the queue has a place; the returned future gives the durable answer.
    ///
    /// # Errors
    ///
    /// [`SubmitError::QueueFull`] or [`SubmitError::Closed`]; the command was not taken.
    pub fn try_submit(&self, command: Command) -> Result<Pending, SubmitError> {
        let (request, pending) = request(command);
        match self.requests.try_send(request) {
            Ok(()) => Ok(pending),
            Err(mpsc::error::TrySendError::Full(_)) => Err(SubmitError::QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SubmitError::Closed),
        }
    }

    /// The state of a run, ended ones included; sees every write that was acknowledged before the call.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if an ended run's history cannot be read.
    pub async fn run(&self, run: RunId) -> Result<Option<Arc<RunRecord>>, JournalError> {
        match self.view.get(run) {
            Some(record) => Ok(Some(record)),
            None => Ok(view::load(&*self.reader, run).await?.map(Arc::new)),
        }
    }

    /// The run that a name stands for: its present holder, else its last one.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the names of ended runs cannot be read.
    pub async fn resolve(&self, name: &str) -> Result<Option<RunId>, JournalError> {
        self.reader.named(name).await
    }

    /// The runs that have not ended, by id.
    pub fn live(&self) -> Vec<Arc<RunRecord>> {
        self.view.all(|record| !record.run.is_ended())
    }

    /// The runs of which a snapshot was dispatched and has no result yet, ended ones included, by id.
    pub fn in_flight(&self) -> Vec<Arc<RunRecord>> {
        self.view.all(|record| record.run.in_flight.is_some())
    }

    /// The end of what is durable.
    pub fn head(&self) -> Head {
        self.reader.head()
    }

    /// The journal, for reading.
    pub fn reader(&self) -> &Arc<dyn JournalReader> {
        &self.reader
    }

    /// All entries after a position, first those that exist, then new ones as they become durable.
    pub fn subscribe(&self, after: Position) -> Subscription {
        Subscription::new(self.reader.clone(), self.feed.clone(), after)
    }

    /// Answers what is queued, writes down that the journal was closed, and gives it back. Commands that are
    /// submitted later get [`SubmitError::Closed`]. Closing again is no error, unless the journal had failed.
    ///
    /// # Errors
    ///
    /// [`JournalError::Poisoned`] if the journal had failed before, or what failed now. Nothing acknowledged is lost
    /// either way.
    pub async fn close(&self) -> Result<(), JournalError> {
        let (reply, closed) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).await.is_err() {
            return Ok(());
        }
        match closed.await {
            Ok(Err(JournalError::Closed)) | Err(_) => Ok(()),
            Ok(result) => result,
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// The answer to a command that is in the queue.
#[must_use = "the command is submitted; await its answer, or drop it knowingly"]
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Answer, SubmitError>>);

impl Future for Pending {
    type Output = Result<Answer, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A dropped reply means that the committer is gone.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(SubmitError::Closed)))
    }
}

fn request(command: Command) -> (Request, Pending) {
    let (reply, pending) = reply();
    (Request::Submit { command: Box::new(command), reply, then: None }, pending)
}

fn reply() -> (Reply, Pending) {
    let (reply, answer) = oneshot::channel();
    (reply, Pending(answer))
}

/// The body of the committer's thread: recovers, reports, and runs until it is closed.
fn committer_thread(
    mut parts: Parts,
    options: Options,
    requests: mpsc::Receiver<Request>,
    feed: broadcast::Sender<Arc<crate::domain::Entry>>,
    view: Arc<View>,
    opened: oneshot::Sender<Result<OpenReport, JournalError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = opened.send(Err(JournalError::io("start", "the committer's runtime", source)));
            return;
        }
    };
    runtime.block_on(async move {
        let recovered = recovery::recover(
            &mut *parts.journal,
            parts.checkpoints.as_deref(),
            &*parts.clock,
            &*parts.ids,
            &*parts.host,
        )
        .await;
        let (open, report) = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                // The lock goes first: whoever is told of the failure can try again at once.
                drop(parts);
                let _ = opened.send(Err(error));
                return;
            }
        };
        view.publish(open.iter().map(|record| (record.run.id, Some(record.clone()))));
        let reader = parts.journal.reader();
        view.written(Some(reader.head().position));
        let committer = Committer {
            checkpointed: reader.head().position,
            reader,
            journal: parts.journal,
            clock: parts.clock,
            ids: parts.ids,
            host: parts.host,
            checkpoints: parts.checkpoints,
            requests,
            feed,
            view,
            working: Working::new(open),
            refusals: RefusalCounts::default(),
            linger: Linger::default(),
            batch_max: options.batch_max.max(1),
            checkpoint_every: options.checkpoint_every.max(1),
        };
        if opened.send(Ok(report)).is_ok() {
            committer.run().await;
        }
    });
}
