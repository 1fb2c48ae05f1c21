//! What became of one snapshot.

use serde::Serialize;
use tachograph_engine::domain::{CancelCause, RefusedCommand};
use tachograph_projections::{Absence, TimerFate, TimerStep, TimerStepBody};

use super::entry::{ActorView, CommandView, RefusalView, SessionView};
use super::event::GuardView;
use crate::machine::WriterState;
use crate::story::Story;

/// What became of one snapshot, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoryView {
    /// The snapshot.
    pub snapshot: String,
    /// Its run.
    pub run: String,
    /// The name of that run.
    pub name: Option<String>,
    /// `armed`, `dispatched`, `canceled`, `taken` or `failed`; absent if nothing of it could be read.
    pub state: Option<&'static str>,
    /// When it is or was due.
    pub due: Option<String>,
    /// How late it was dispatched, in microseconds; negative if the clock stepped back.
    pub late_us: Option<i64>,
    /// While it is armed or dispatched, whether the journal's last writer can still see to it: `alive`, `gone` or
    /// `unknown`.
    pub writer: Option<&'static str>,
    /// What happened, in order.
    pub steps: Vec<StepView>,
}

/// One step: `kind` is its name, the other fields belong to that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Position of its entry.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// Who issued the command behind it; absent for facts about the journal.
    pub actor: Option<ActorView>,
    /// What happened.
    #[serde(flatten)]
    pub what: WhatView,
}

/// What happened to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of the step of the same name in the projection")]
pub enum WhatView {
    Armed {
        attempt: Option<u32>,
        attempt_id: String,
        runner: String,
        due: String,
        delay_us: i64,
    },
    Opened {
        session: SessionView,
        dispatched: bool,
        was_closed: Option<bool>,
    },
    Closed {
        session: SessionView,
    },
    Refused(Box<RefusedView>),
    Canceled {
        cause: &'static str,
        guard: Option<GuardView>,
        action: &'static str,
        transition: Option<&'static str>,
        replaced_by: Option<String>,
    },
    Dispatched {
        late_us: Option<i64>,
        absences: Vec<AbsenceView>,
    },
    Taken {
        location: String,
        bytes: u64,
        digest: String,
        took_us: Option<i64>,
    },
    Failed {
        message: String,
        took_us: Option<i64>,
    },
    Missing {
        missing_up_to: u64,
    },
}

/// A refused command about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// The command.
    pub command: CommandView,
    /// In whose right it would have canceled; absent unless that is what it asked.
    pub guard: Option<GuardView>,
    /// Why it was refused.
    pub refusal: RefusalView,
}

/// A stretch of time without a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsenceView {
    /// When the writer before recorded its last entry.
    pub since: String,
    /// When the next one opened the journal.
    pub until: String,
    /// Position of that opening.
    pub opened: u64,
    /// Whether the writer before had closed the journal.
    pub was_closed: bool,
    /// Whether the snapshot became due within.
    pub covers_due: bool,
}

impl StoryView {
    /// A story, with what is known of the journal's last writer.
    pub fn of(story: &Story, writer: Option<WriterState>) -> Self {
        let timer = &story.timer;
        Self {
            snapshot: timer.snapshot().to_string(),
            run: timer.run().to_string(),
            name: story.name().map(str::to_owned),
            state: timer.fate().map(TimerFate::name),
            due: timer.due().map(|due| due.to_string()),
            late_us: timer.late_us(),
            writer: writer.map(WriterState::name),
            steps: timer.steps().iter().map(|step| view(step, story)).collect(),
        }
    }
}

fn view(step: &TimerStep, story: &Story) -> StepView {
    StepView {
        position: step.position.0,
        recorded_at: step.recorded_at.to_string(),
        actor: step.actor.as_ref().map(Into::into),
        what: what(&step.body, story),
    }
}

fn what(body: &TimerStepBody, story: &Story) -> WhatView {
    match body {
        TimerStepBody::Armed { attempt, ordinal, runner, due, delay_us } => WhatView::Armed {
            attempt: ordinal.map(|ordinal| ordinal.0),
            attempt_id: attempt.to_string(),
            runner: runner.to_string(),
            due: due.to_string(),
            delay_us: *delay_us,
        },
        TimerStepBody::Opened { session, dispatched, was_closed } => {
            WhatView::Opened { session: session.into(), dispatched: *dispatched, was_closed: *was_closed }
        }
        TimerStepBody::Closed { session } => WhatView::Closed { session: session.into() },
        TimerStepBody::Refused { command, refusal, count } => WhatView::Refused(Box::new(RefusedView {
            command: command.into(),
            guard: guard_of(command),
            refusal: RefusalView::of(refusal, *count),
        })),
        TimerStepBody::Canceled { cause, action, transition, replaced_by } => WhatView::Canceled {
            cause: cause.name(),
            guard: GuardView::of(cause),
            action: action.name(),
            transition: transition.map(|event| event.name()),
            replaced_by: replaced_by.map(|snapshot| snapshot.to_string()),
        },
        TimerStepBody::Dispatched { late_us, absences } => {
            let absences = absences.iter().map(|absence| absence_view(absence, story)).collect();
            WhatView::Dispatched { late_us: *late_us, absences }
        }
        TimerStepBody::Taken { location, bytes, digest, took_us } => {
            WhatView::Taken { location: location.clone(), bytes: *bytes, digest: digest.to_string(), took_us: *took_us }
        }
        TimerStepBody::Failed { message, took_us } => WhatView::Failed { message: message.clone(), took_us: *took_us },
        TimerStepBody::Missing { up_to } => WhatView::Missing { missing_up_to: up_to.0 },
    }
}

fn guard_of(command: &RefusedCommand) -> Option<GuardView> {
    use tachograph_engine::domain::Action;
    match command {
        RefusedCommand::Whole(command) => match &command.action {
            Action::CancelSnapshot { guard } => GuardView::of(&CancelCause::Asked(guard.clone())),
            _ => None,
        },
        RefusedCommand::OutOfBounds { .. } => None,
    }
}

fn absence_view(absence: &Absence, story: &Story) -> AbsenceView {
    AbsenceView {
        since: absence.since.to_string(),
        until: absence.until.to_string(),
        opened: absence.opened.0,
        was_closed: absence.was_closed,
        covers_due: story.timer.due().is_some_and(|due| absence.covers(due)),
    }
}
