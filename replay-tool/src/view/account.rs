//! The account of a run.

use serde::Serialize;
use tachograph_engine::domain::{StatusName, Timestamp};

use super::entry::{ActorView, CommandView, RefusalView, SystemView};
use super::event::EventView;
use super::run::ExitView;
use super::timeline::BorderView;
use crate::account::{Account, Gap, Sentence, Still, Timer, TimerRearmed, Told};
use crate::duration::between;
use crate::machine::WriterState;

/// The account of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// The run's id.
    pub run: String,
    /// Its name; absent also if its creation is not among what is told.
    pub name: Option<String>,
    /// Its status; absent if its creation is not among what is told.
    pub status: Option<&'static str>,
    /// As of which position; absent if it is told up to the end.
    pub as_of: Option<u64>,
    /// Of a run that is open, whether the journal's last writer can still go on with it.
    pub writer: Option<&'static str>,
    /// What is said, in order.
    pub sentences: Vec<SentenceView>,
}

/// One sentence. `kind` says which of the other fields it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentenceView {
    /// Position of the entry that it rests on.
    pub position: u64,
    /// When that entry was recorded.
    pub recorded_at: String,
    /// Stable name of what is said.
    pub kind: &'static str,
    /// The same in words.
    pub text: String,
    /// What is to be said beside it, in words.
    pub notes: Vec<String>,
    /// Who issued the command behind it.
    pub actor: Option<ActorView>,
    /// That command.
    pub command: Option<CommandView>,
    /// What happened.
    pub event: Option<EventView>,
    /// How the run stands.
    pub standing: Option<StandingView>,
    /// Whether it changed the state.
    pub applied: Option<bool>,
    /// The run's version after it.
    pub version: Option<u64>,
    /// How late a snapshot was dispatched, in microseconds.
    pub late_us: Option<i64>,
    /// Why the command was refused.
    pub refusal: Option<RefusalView>,
    /// How many like it were counted only since the one that was recorded before.
    pub counted_only: Option<u64>,
    /// The fact about the journal.
    pub system: Option<SystemView>,
    /// Of an opening, whether the writer before had closed the journal.
    pub was_closed: Option<bool>,
    /// The timer that was armed again.
    pub timer: Option<TimerToldView>,
    /// What is missing, silent or out of step.
    pub gap: Option<GapView>,
    /// Where what was before is; only for `archived`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<BorderView>,
    /// How a run that has not ended stands.
    pub still: Option<StillView>,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingView {
    /// Its status.
    pub status: &'static str,
    /// The exit status that was filled in later.
    pub amended: Option<ExitView>,
    /// How many attempts there were.
    pub attempts: u32,
    /// How many refusals are recorded.
    pub refusals: u64,
}

/// A timer that the next writer had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimerToldView {
    /// `snapshot` or `deadline`.
    pub kind: &'static str,
    /// The snapshot; absent for a deadline.
    pub snapshot: Option<String>,
    /// The attempt that waits; absent for a snapshot.
    pub attempt_id: Option<String>,
    /// When it is due.
    pub due: Option<String>,
    /// Whether it was dispatched by then, so that its result was open.
    pub dispatched: bool,
    /// How long it was overdue by then.
    pub overdue_us: Option<u64>,
}

/// A stretch between two points, or one point that stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GapView {
    /// Position that it begins with.
    pub from: Option<u64>,
    /// Position that it ends with.
    pub to: Option<u64>,
    /// Time that it begins with.
    pub since: Option<String>,
    /// Time that it ends with.
    pub until: Option<String>,
    /// How long it is, or by how much a clock was moved, in microseconds.
    pub us: Option<i64>,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StillView {
    /// For how long nothing was recorded about it.
    pub silent_us: u64,
    /// For how long its deadline has passed.
    pub overdue_us: Option<u64>,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        let run = account.record.as_ref().map(|record| &record.run);
        let writer = account.sentences.iter().find_map(|sentence| match &sentence.told {
            Told::Still(still) => still.writer.as_ref().map(|(_, state)| WriterState::name(*state)),
            _ => None,
        });
        Self {
            run: account.run.to_string(),
            name: run.and_then(|run| run.spec.name.clone()),
            status: run.map(|run| StatusName::name(run.status.name())),
            as_of: account.as_of.map(|position| position.0),
            writer,
            sentences: account.sentences.iter().map(|sentence| view(account, sentence)).collect(),
        }
    }
}

fn view(account: &Account, sentence: &Sentence) -> SentenceView {
    let mut view = SentenceView {
        position: sentence.position.0,
        recorded_at: sentence.recorded_at.to_string(),
        kind: sentence.kind(),
        text: account.text(sentence),
        notes: account.notes(sentence),
        actor: sentence.actor().map(Into::into),
        command: None,
        event: None,
        standing: None,
        applied: None,
        version: None,
        late_us: None,
        refusal: None,
        counted_only: None,
        system: None,
        was_closed: None,
        timer: None,
        gap: None,
        archived: None,
        still: None,
    };
    match &sentence.told {
        Told::State(standing) => {
            view.command = Some((&standing.command).into());
            view.event = Some(EventView::of(&standing.event, account.limits()));
            view.standing = Some(StandingView {
                status: standing.status.name(),
                amended: standing.amended.as_ref().map(Into::into),
                attempts: standing.attempts,
                refusals: standing.refusals,
            });
        }
        Told::NeverCreated | Told::StateUnknown => {}
        Told::Archived(border) => view.archived = Some(border.as_ref().into()),
        Told::Event(told) => {
            view.command = Some((&told.command).into());
            view.event = Some(EventView::of(&told.event, account.limits()));
            view.applied = Some(told.applied);
            view.version = Some(told.version.0);
            view.late_us = told.late_us;
        }
        Told::Refused(told) => {
            view.command = Some((&told.command).into());
            view.refusal = Some(RefusalView::of(&told.refusal, told.count));
            view.counted_only = told.counted_only;
        }
        Told::Fact { fact, was_closed } => {
            view.system = Some(fact.into());
            view.was_closed = *was_closed;
        }
        Told::Rearmed(rearmed) => view.timer = Some(timer(rearmed)),
        Told::Gap(told) => view.gap = Some(gap(told)),
        Told::Still(still) => {
            let Still { silent_us, overdue_us, .. } = still.as_ref();
            view.still = Some(StillView { silent_us: *silent_us, overdue_us: *overdue_us });
        }
    }
    view
}

fn timer(rearmed: &TimerRearmed) -> TimerToldView {
    let TimerRearmed { timer, dispatched, due, overdue_us } = rearmed;
    let (snapshot, attempt_id) = match timer {
        Timer::Snapshot(snapshot) => (Some(snapshot.to_string()), None),
        Timer::Deadline(attempt) => (None, Some(attempt.to_string())),
    };
    TimerToldView {
        kind: timer.name(),
        snapshot,
        attempt_id,
        due: due.map(|due| due.to_string()),
        dispatched: *dispatched,
        overdue_us: *overdue_us,
    }
}

fn gap(gap: &Gap) -> GapView {
    let stretch = |from: u64, to: Option<u64>, since: Timestamp, until: Timestamp| GapView {
        from: Some(from),
        to,
        since: Some(since.to_string()),
        until: Some(until.to_string()),
        us: Some(until.as_micros() - since.as_micros()),
    };
    match gap {
        Gap::Missing { up_to } => GapView { to: Some(up_to.0), ..GapView::default() },
        Gap::FactsUnread | Gap::NotDestroyed { .. } => GapView::default(),
        Gap::Silence { from, since, to, until } => stretch(from.0, Some(to.0), *since, *until),
        Gap::SupervisorDown { from, absence } => stretch(from.0, Some(absence.opened.0), absence.since, absence.until),
        Gap::SteppedBack { from, since, micros } => GapView {
            from: Some(from.0),
            since: Some(since.to_string()),
            us: i64::try_from(*micros).ok().map(|micros| -micros),
            ..GapView::default()
        },
        Gap::ClockMoved(moved) => {
            GapView { us: Some(moved.micros), ..stretch(moved.from.0, None, moved.since, moved.until) }
        }
        Gap::DeadlinePassed { from, deadline, until } => {
            let late = between(*deadline, *until);
            GapView { us: i64::try_from(late).ok(), ..stretch(from.0, None, *deadline, *until) }
        }
    }
}
