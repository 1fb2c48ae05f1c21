//! The one committer: takes commands off the queue, decides, writes, and only then answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{Instrument, debug, debug_span, error};

use super::answer::{Answer, CommandOutcome, FirstAnswer, SubmitError};
use super::linger::Linger;
use super::meter;
use super::refusals::RefusalCounts;
use super::view::View;
use super::working::{FastHash, FastMap, Working};
use crate::codec;
use crate::domain::fleet::{check_name_free, name_wanted};
use crate::domain::{
    Command, CommandId, Committed, Decision, Effect, Entry, EntryBody, EntryId, Events, Position, Refusal, Refused,
    RefusedCommand, RunId, RunRecord, RunState, SystemFact, Timestamp, Version, decide, effects_of_events,
    effects_of_refusal, evolve,
};
use crate::ports::{
    AppendError, Checkpoint, CheckpointStore, Clock, Draft, Head, Host, IdSource, Journal, JournalError, JournalReader,
    KeptAnswer,
};

/// Which fold the engine's own checkpoints hold: the runs that have not ended.
pub const FOLD: &str = "engine";
/// Version of that fold; raised whenever [`RunRecord`] or `evolve` gives other results than before.
pub const FOLD_VERSION: u32 = 2;
/// How often a batch is decided again because another writer of a shared store was faster.
const CONFLICTS_MAX: usize = 16;
/// How often the committer looks for more commands before it writes. More than fit into the longest wait: only a clock
/// that stands still gets there.
const YIELDS_MAX: u32 = 10_000;

pub(super) type Reply = oneshot::Sender<Result<Answer, SubmitError>>;

/// What callers ask of the committer.
pub(super) enum Request {
    /// `then` is decided right after the command, in the same batch.
    Submit {
        command: Box<Command>,
        reply: Reply,
        then: Option<Box<(Command, Reply)>>,
    },
    Close {
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
}

/// What the committer owns or shares.
pub(super) struct Committer {
    pub(super) journal: Box<dyn Journal>,
    pub(super) reader: Arc<dyn JournalReader>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) host: Arc<dyn Host>,
    pub(super) checkpoints: Option<Arc<dyn CheckpointStore>>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) feed: broadcast::Sender<Arc<Entry>>,
    pub(super) view: Arc<View>,
    pub(super) working: Working,
    pub(super) refusals: RefusalCounts,
    pub(super) linger: Linger,
    pub(super) batch_max: usize,
    pub(super) checkpoint_every: u64,
    pub(super) checkpointed: Position,
}

/// One command of a batch that is still to be decided.
struct Queued {
    command: Command,
    reply: Reply,
    /// Whether it shares the refusal of the one before it in the batch, if that is refused.
    follows: bool,
}

/// One command of a batch, and what is known of its answer before the batch is durable.
struct Planned {
    queued: Queued,
    verdict: Verdict,
}

enum Verdict {
    /// Becomes an entry; its place among the batch's drafts.
    Events {
        draft: usize,
        version: Version,
        effects: Vec<Effect>,
    },
    Refused {
        refusal: Refusal,
        draft: Option<usize>,
        effects: Vec<Effect>,
    },
    /// Repeats what an earlier command of this batch will be told.
    RepeatsPlanned(usize),
    /// Repeats what was answered before this batch.
    Repeats(FirstAnswer, Vec<Effect>),
}

impl Committer {
    /// Runs until it is closed, or until every handle is dropped.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(request) = self.requests.recv().await {
            let mut close = self.take(request, &mut batch);
            self.fill(&mut batch, &mut close);
            let size = batch.len();
            let span = debug_span!("commit", commands = size);
            let poisoned = self.commit(std::mem::take(&mut batch)).instrument(span).await.err();
            if let Some(error) = poisoned {
                error!(%error, "the journal failed; nothing more is acknowledged until it is opened again");
                return self.refuse_all(error, close).await;
            }
            if let Some(reply) = close {
                // Whoever is told that the engine is closed can open it again at once.
                let closed = self.close().await;
                let _ = reply.send(closed);
                return;
            }
            self.save_checkpoint_if_due();
        }
        if let Err(error) = self.close().await {
            error!(%error, "closing after the last handle was dropped");
        }
    }

    fn take(&mut self, request: Request, batch: &mut Vec<Queued>) -> Option<oneshot::Sender<Result<(), JournalError>>> {
        match request {
            Request::Submit { command, reply, then } => {
                batch.push(Queued { command: *command, reply, follows: false });
                let then = then.map(|then| *then);
                batch.extend(then.map(|(command, reply)| Queued { command, reply, follows: true }));
                None
            }
            Request::Close { reply } => Some(reply),
        }
    }

    /// Takes what is queued already, and waits a little for more where that pays. A close ends the batch.
    fn fill(&mut self, batch: &mut Vec<Queued>, close: &mut Option<oneshot::Sender<Result<(), JournalError>>>) {
        let mut until: Option<Duration> = None;
        let mut yields = 0;
        while close.is_none() && batch.len() < self.batch_max {
            match self.requests.try_recv() {
                Ok(request) => *close = self.take(request, batch),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) => {
                    let budget = self.linger.budget(batch.len());
                    let now = self.clock.monotonic();
                    if budget.is_zero() || yields >= YIELDS_MAX || now >= *until.get_or_insert(now + budget) {
                        return;
                    }
                    yields += 1;
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Decides, writes and answers a batch.
    ///
    /// An error means that the journal is poisoned; everybody in the batch has been told.
    async fn commit(&mut self, batch: Vec<Queued>) -> Result<(), JournalError> {
        let mut batch = batch;
        for _ in 0..CONFLICTS_MAX {
            let (planned, drafts) = match self.plan(batch).await {
                Ok(plan) => plan,
                Err((error, replies)) => return tell_all(replies, error),
            };
            match self.append(drafts).await {
                Ok(entries) => {
                    self.refusals.keep_batch();
                    let positions: Vec<Position> = entries.iter().map(|entry| entry.position).collect();
                    self.publish(entries);
                    self.answer(planned, &positions);
                    return Ok(());
                }
                Err(AppendError::Conflict { run, actual }) => {
                    debug!(%run, %actual, "another writer was faster; deciding the batch again");
                    self.refusals.forget_batch();
                    let reloaded = self.working.reload_batch(&*self.reader).await;
                    batch = planned.into_iter().map(|planned| planned.queued).collect();
                    match reloaded {
                        Ok(changes) => {
                            self.view.publish(changes);
                            self.view.written(None);
                        }
                        Err(error) => return tell_all(batch.into_iter().map(|queued| queued.reply).collect(), error),
                    }
                }
                Err(AppendError::Journal(error)) => {
                    return tell_all(planned.into_iter().map(|planned| planned.queued.reply).collect(), error);
                }
            }
        }
        for Queued { reply, .. } in batch {
            let _ = reply.send(Err(SubmitError::Contended));
        }
        Ok(())
    }

    async fn plan(&mut self, batch: Vec<Queued>) -> Result<(Vec<Planned>, Vec<Draft>), (JournalError, Vec<Reply>)> {
        let mut plan = Plan::begin(self.clock.now(), batch.len());
        let mut rest = batch.into_iter();
        while let Some(queued) = rest.next() {
            if let Some(verdict) = plan.shared_refusal().filter(|_| queued.follows) {
                plan.planned.push(Planned { queued, verdict });
                continue;
            }
            match self.decide(&queued.command, &mut plan).await {
                Ok(verdict) => plan.planned.push(Planned { queued, verdict }),
                Err(error) => {
                    let replies = plan.planned.into_iter().map(|planned| planned.queued.reply);
                    let rest = rest.map(|queued| queued.reply);
                    return Err((error, replies.chain([queued.reply]).chain(rest).collect()));
                }
            }
        }
        Ok((plan.planned, plan.drafts))
    }

    async fn decide(&mut self, command: &Command, plan: &mut Plan) -> Result<Verdict, JournalError> {
        // Before everything else: has this very command been answered?
        let key = (command.run, command.id);
        if let Some(first) = plan.commands.get(&key) {
            return Ok(Verdict::RepeatsPlanned(*first));
        }
        if let Some(position) = self.reader.answered(command.run, command.id).await?
            && let Some(verdict) = self.first_answer(command, position).await?
        {
            return Ok(verdict);
        }
        if let Some(refusal) = self.refusals.told(command.run, command.id).cloned() {
            let effects = effects_of_refusal(command, &refusal);
            return Ok(Verdict::Refused { refusal, draft: None, effects });
        }
        let state = self.working.state(&*self.reader, command.run).await?;
        let version = state.version();
        let wanted = name_wanted(state, command).map(str::to_owned);
        let decision = decide(state, command);
        let effects = match &decision {
            Ok(Decision::Append(events)) => effects_of_events(state, events),
            Ok(Decision::AlreadyRecorded) => Vec::new(),
            Err(refusal) => effects_of_refusal(command, refusal),
        };
        let decision = match wanted {
            Some(name) => decision.and_then(|decision| {
                check_name_free(command.run, &name, self.working.holder(&name)).map(|()| decision)
            }),
            None => decision,
        };
        plan.commands.insert(key, plan.planned.len());
        match decision {
            Ok(Decision::Append(events)) => Ok(self.accept(command, events, version, effects, plan)),
            Ok(Decision::AlreadyRecorded) => Ok(self.already_recorded(command.run, plan)),
            Err(refusal) => Ok(self.refuse(command, refusal, version != Version::ZERO, effects, plan)),
        }
    }

    fn accept(
        &mut self,
        command: &Command,
        events: Events,
        before: Version,
        effects: Vec<Effect>,
        plan: &mut Plan,
    ) -> Verdict {
        self.working.advance(command.run, &events);
        let version = Version(before.0 + events.len() as u64);
        if events.iter().any(|event| event.leads_to().is_some_and(crate::domain::StatusName::is_ended)) {
            plan.ends.insert(command.run, plan.planned.len());
        }
        let body = EntryBody::Committed(Committed { command: command.clone(), version, events });
        Verdict::Events { draft: self.draft(body, plan), version, effects }
    }

    fn refuse(
        &mut self,
        command: &Command,
        refusal: Refusal,
        is_known: bool,
        effects: Vec<Effect>,
        plan: &mut Plan,
    ) -> Verdict {
        let draft = self.refusals.count(command, &refusal, is_known).map(|count| {
            let command = RefusedCommand::keep(command.clone(), &refusal);
            self.draft(EntryBody::Refused(Refused { command, refusal: refusal.clone(), count }), plan)
        });
        Verdict::Refused { refusal, draft, effects }
    }

    /// The same report about an attempt's end: its first answer is in this batch, or in the run's record.
    fn already_recorded(&self, run: RunId, plan: &Plan) -> Verdict {
        if let Some(first) = plan.ends.get(&run) {
            return Verdict::RepeatsPlanned(*first);
        }
        let (position, version) =
            self.working.record(run).and_then(|record| record.ended).unwrap_or((Position::ZERO, Version::ZERO));
        Verdict::Repeats(FirstAnswer::Written { position, version }, Vec::new())
    }

    fn draft(&self, body: EntryBody, plan: &mut Plan) -> usize {
        plan.drafts.push(Draft { id: EntryId::from_ulid(self.ids.next()), recorded_at: plan.now, body });
        plan.drafts.len() - 1
    }

    /// What a command was told the first time. Its effects follow once more, in case the first answer was lost and
    /// nobody performed them; but no snapshot is taken twice.
    async fn first_answer(&self, command: &Command, position: Position) -> Result<Option<Verdict>, JournalError> {
        if position <= self.reader.archived() {
            let kept = self.reader.archived_answer(command.run, command.id).await?;
            return Ok(kept.map(|kept| repeat_kept(command, kept)));
        }
        let Some(entry) = self.reader.entry(position).await? else { return Ok(None) };
        let Some(first) = FirstAnswer::of(&entry) else { return Ok(None) };
        let mut effects = match &first {
            FirstAnswer::Refused { refusal, .. } => effects_of_refusal(command, refusal),
            FirstAnswer::Written { .. } => {
                let base = self.reader.base(command.run).await?;
                let base = base.map_or(RunState::Unknown, |record| RunState::Known(Box::new(record.run)));
                let history = self.reader.history(command.run).await?;
                let before = history.iter().take_while(|earlier| earlier.position < position);
                let state = before.flat_map(Entry::events).fold(base, evolve);
                effects_of_events(&state, entry.events())
            }
        };
        effects.retain(|effect| !matches!(effect, Effect::TakeSnapshot { .. }));
        Ok(Some(Verdict::Repeats(first, effects)))
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let begun = self.clock.monotonic();
        self.view.writing();
        let entries = self.journal.append(drafts).await?;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.linger.committed(entries.len(), took);
        meter::committed(entries.len(), took);
        Ok(entries)
    }

    fn publish(&mut self, entries: Vec<Entry>) {
        self.view.publish(self.working.settle(&entries));
        if let Some(last) = entries.last() {
            self.view.written(Some(last.position));
        }
        if self.feed.receiver_count() == 0 {
            // Whoever joins from here on reads these from the files: they are there.
            return;
        }
        for entry in entries {
            // Nobody listening is no error.
            let _ = self.feed.send(Arc::new(entry));
        }
    }

    fn answer(&self, planned: Vec<Planned>, positions: &[Position]) {
        let mut answers: Vec<Answer> = Vec::with_capacity(planned.len());
        for Planned { queued: Queued { command, reply, .. }, verdict } in planned {
            let position = |draft: usize| positions.get(draft).copied().unwrap_or_default();
            let answer = match verdict {
                Verdict::Events { draft, version, effects } => {
                    Answer { outcome: CommandOutcome::Written { position: position(draft), version }, effects }
                }
                Verdict::Refused { refusal, draft, effects } => {
                    meter::refused(&refusal);
                    Answer { outcome: CommandOutcome::Refused { refusal, recorded: draft.map(position) }, effects }
                }
                Verdict::Repeats(of, effects) => {
                    meter::duplicate();
                    Answer { outcome: CommandOutcome::Duplicate { of }, effects }
                }
                Verdict::RepeatsPlanned(first) => {
                    meter::duplicate();
                    repeat(answers.get(first))
                }
            };
            debug!(run = %command.run, command = %command.id, action = command.action.name().name(),
                   outcome = ?answer.outcome, "decided");
            answers.push(answer.clone());
            // A caller that stopped waiting is no error: its command is answered when it is repeated.
            let _ = reply.send(Ok(answer));
        }
    }

    /// After a failure of the journal: everybody is told, nothing is retried as if it worked.
    async fn refuse_all(mut self, error: JournalError, close: Option<oneshot::Sender<Result<(), JournalError>>>) {
        // A full disk stays what it is: there is something to do about it.
        let poisoned = match error {
            JournalError::Full { .. } => error,
            other => JournalError::Poisoned { why: other.to_string() },
        };
        let mut close = close;
        // The lock goes with the journal, so that it can be opened again while handles of this engine still exist.
        drop(self.journal);
        // Subscribers learn that nothing more will come.
        drop(self.feed);
        loop {
            if let Some(reply) = close.take() {
                let _ = reply.send(Err(poisoned.clone()));
            }
            match self.requests.recv().await {
                Some(Request::Submit { reply, then, .. }) => {
                    for reply in [reply].into_iter().chain(then.map(|then| then.1)) {
                        let _ = reply.send(Err(SubmitError::Journal(poisoned.clone())));
                    }
                }
                Some(Request::Close { reply }) => close = Some(reply),
                None => return,
            }
        }
    }

    async fn close(self) -> Result<(), JournalError> {
        let Self { mut journal, reader, clock, ids, host, checkpoints, working, mut requests, .. } = self;
        // Whoever holds a place in the queue already may still use it.
        requests.close();
        while let Some(request) = requests.recv().await {
            match request {
                Request::Submit { reply, .. } => drop(reply.send(Err(SubmitError::Closed))),
                Request::Close { reply } => drop(reply.send(Err(JournalError::Closed))),
            }
        }
        let body = EntryBody::System(SystemFact::Closed(host.session()));
        let draft = Draft { id: EntryId::from_ulid(ids.next()), recorded_at: clock.now(), body };
        match journal.append(vec![draft]).await {
            Ok(_) => {}
            Err(AppendError::Journal(error)) => return Err(error),
            Err(AppendError::Conflict { .. }) => return Err(JournalError::Closed),
        }
        if let Some(checkpoints) = checkpoints {
            let checkpoint = checkpoint(working.unsettled().cloned().collect(), reader.head());
            if let Err(error) = checkpoints.save(checkpoint).await {
                debug!(%error, "no checkpoint was saved; the next open reads more of the journal");
            }
        }
        journal.close().await
    }

    /// Saves a checkpoint beside the commit path, if enough entries came since the last one.
    fn save_checkpoint_if_due(&mut self) {
        let Some(store) = self.checkpoints.clone() else { return };
        let head = self.reader.head();
        if head.position.0.saturating_sub(self.checkpointed.0) < self.checkpoint_every {
            return;
        }
        self.checkpointed = head.position;
        let open: Vec<_> = self.working.unsettled().cloned().collect();
        let position = head.position;
        #[expect(clippy::disallowed_methods, reason = "a slow checkpoint store must not hold up commits")]
        let saving = std::thread::Builder::new().name("tacho-checkpoint".to_owned()).spawn(move || {
            let checkpoint = checkpoint(open, head);
            if let Err(error) = futures::executor::block_on(store.save(checkpoint)) {
                debug!(%error, "no checkpoint was saved; the next open reads more of the journal");
            }
        });
        if let Err(error) = saving {
            debug!(%error, %position, "no thread for saving a checkpoint");
        }
    }
}

/// What a batch leads to, while it is being decided.
struct Plan {
    /// When the batch was taken in: one time for all of it.
    now: Timestamp,
    planned: Vec<Planned>,
    drafts: Vec<Draft>,
    /// Commands of this batch by id, with their place in it.
    commands: FastMap<(RunId, CommandId), usize>,
    /// Commands of this batch that end an attempt, with their place in it.
    ends: FastMap<RunId, usize>,
}

impl Plan {
    fn begin(now: Timestamp, commands: usize) -> Self {
        Self {
            now,
            planned: Vec::with_capacity(commands),
            drafts: Vec::with_capacity(commands),
            commands: FastMap::with_capacity_and_hasher(commands, FastHash::default()),
            ends: FastMap::default(),
        }
    }

    /// What whoever follows the last command is told if that is refused, or was when it came first: one refusal is recorded
    /// for both.
    fn shared_refusal(&self) -> Option<Verdict> {
        match &self.planned.last()?.verdict {
            Verdict::Refused { refusal, .. } => {
                Some(Verdict::Refused { refusal: refusal.clone(), draft: None, effects: Vec::new() })
            }
            Verdict::Repeats(first @ FirstAnswer::Refused { .. }, _) => {
                Some(Verdict::Repeats(first.clone(), Vec::new()))
            }
            Verdict::RepeatsPlanned(first) => {
                let is_refused = matches!(self.planned.get(*first)?.verdict, Verdict::Refused { .. });
                is_refused.then_some(Verdict::RepeatsPlanned(*first))
            }
            Verdict::Events { .. } | Verdict::Repeats(FirstAnswer::Written { .. }, _) => None,
        }
    }
}

/// The answer to a command that repeats one whose entry was archived.
fn repeat_kept(command: &Command, kept: KeptAnswer) -> Verdict {
    match kept {
        KeptAnswer::Written { position, version, ends } => {
            let end = |attempt| Effect::EndAttempt { run: command.run, attempt };
            Verdict::Repeats(FirstAnswer::Written { position, version }, ends.into_iter().map(end).collect())
        }
        KeptAnswer::Refused { position, refusal } => {
            let effects = effects_of_refusal(command, &refusal);
            Verdict::Repeats(FirstAnswer::Refused { position, refusal }, effects)
        }
    }
}

/// The answer to a command that repeats another of the same batch.
fn repeat(first: Option<&Answer>) -> Answer {
    let outcome = match first.map(|answer| &answer.outcome) {
        Some(CommandOutcome::Written { position, version }) => {
            CommandOutcome::Duplicate { of: FirstAnswer::Written { position: *position, version: *version } }
        }
        Some(CommandOutcome::Refused { refusal, recorded: Some(position) }) => {
            CommandOutcome::Duplicate { of: FirstAnswer::Refused { position: *position, refusal: refusal.clone() } }
        }
        Some(other) => other.clone(),
        // `RepeatsPlanned` always names an earlier command of its batch.
        None => {
            CommandOutcome::Duplicate { of: FirstAnswer::Written { position: Position::ZERO, version: Version::ZERO } }
        }
    };
    let mut effects = first.map(|answer| answer.effects.clone()).unwrap_or_default();
    effects.retain(|effect| !matches!(effect, Effect::TakeSnapshot { .. }));
    Answer { outcome, effects }
}

fn tell_all(replies: Vec<Reply>, error: JournalError) -> Result<(), JournalError> {
    for reply in replies {
        let _ = reply.send(Err(SubmitError::Journal(error.clone())));
    }
    Err(error)
}

fn checkpoint(open: Vec<Arc<RunRecord>>, head: Head) -> Checkpoint {
    let mut records: Vec<RunRecord> = open.into_iter().map(Arc::unwrap_or_clone).collect();
    records.sort_unstable_by_key(|record| record.run.id);
    Checkpoint {
        fold: FOLD.to_owned(),
        fold_version: FOLD_VERSION,
        position: head.position,
        digest: head.digest,
        payload: codec::encode_records(&records),
    }
}
