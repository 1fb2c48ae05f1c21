//! A step of a run's history, as far as it can be the same in two runs.

use tachograph_engine::domain::{
    ActionName, Actor, AttemptId, Claim, Drain, Entry, EntryBody, Event, EventName, Exit, OutputReceipt, Position,
    Refused, RefusedCommand, ResourceLimits, RunnerId, SnapshotId, Timestamp,
};

use super::alignment::Comparable;
use crate::words;

/// One step: an event, or a refused command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Position of its entry.
    pub position: Position,
    /// When it was recorded, by the writer's clock.
    pub recorded_at: Timestamp,
    /// Microseconds since the run's first step; negative if the clock stepped back.
    pub offset_us: i64,
    /// Microseconds since the step before; absent for the first.
    pub delta_us: Option<i64>,
    /// What is compared.
    pub key: StepKey,
    /// What happened, with its ids and times.
    pub body: StepBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepBody {
    /// An event of the run, with all events of its entry and the time at which its command was issued.
    Event {
        /// The event.
        event: Box<Event>,
        /// All events of the entry.
        beside: Vec<Event>,
        /// When the command was issued.
        issued_at: Timestamp,
        /// What bounds the run; absent if its creation is not among the entries.
        limits: Option<ResourceLimits>,
    },
    /// A refused command.
    Refused(Box<Refused>),
}

/// What is compared of a step: ids are replaced by numbers in the order in which the run met them, times of day by whole
/// seconds from the issuing of the command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepKey {
    /// What happened. Steps of one name may stand side by side.
    pub name: StepName,
    /// What belongs to it, by stable names.
    pub fields: Vec<(&'static str, String)>,
}

/// What happened, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// An event.
    Event(EventName),
    /// A refused command.
    Refused {
        /// What it asked.
        action: ActionName,
        /// Code of the reason.
        code: &'static str,
    },
}

impl Comparable for StepKey {
    fn is_alike(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Step {
    /// Whether it is a transition.
    pub fn is_transition(&self) -> bool {
        matches!(&self.body, StepBody::Event { event, .. } if event.leads_to().is_some())
    }

    /// Stable name: that of the event, or `Refused`.
    pub const fn name(&self) -> &'static str {
        match self.key.name {
            StepName::Event(name) => name.name(),
            StepName::Refused { .. } => "Refused",
        }
    }

    /// What happened, in words.
    pub fn text(&self) -> String {
        match &self.body {
            StepBody::Event { event, beside, issued_at, limits } => {
                let (issued_at, limits) = (Some(*issued_at), limits.as_ref());
                words::event(event, words::Beside { events: beside, issued_at, late_us: None, limits })
            }
            StepBody::Refused(refused) => {
                let (asked, refusal) = (words::refused_command(&refused.command), &refused.refusal);
                format!("REFUSED: {asked}: {}", words::why_refused(refusal))
            }
        }
    }
}

/// The steps of a run, out of its own entries in the order of positions.
pub fn steps(own: &[Entry]) -> Vec<Step> {
    let (mut known, mut steps) = (Known::default(), Vec::<Step>::new());
    for entry in own {
        let found: Vec<(StepKey, StepBody)> = match &entry.body {
            EntryBody::Committed(committed) => {
                let (command, beside) = (&committed.command, &committed.events);
                let issued_at = command.issued_at;
                let body = |event: &Event, limits| StepBody::Event {
                    event: Box::new(event.clone()),
                    beside: beside.clone(),
                    issued_at,
                    limits,
                };
                let step = |event| {
                    let key = known.event(event, &command.actor, issued_at);
                    (key, body(event, known.limits))
                };
                beside.iter().map(step).collect()
            }
            EntryBody::Refused(refused) => {
                vec![(known.refused(refused), StepBody::Refused(Box::new(refused.clone())))]
            }
            EntryBody::System(_) => Vec::new(),
        };
        for (key, body) in found {
            let since = |step: &Step| entry.recorded_at.as_micros() - step.recorded_at.as_micros();
            let (offset_us, delta_us) = (steps.first().map_or(0, since), steps.last().map(since));
            let (position, recorded_at) = (entry.position, entry.recorded_at);
            steps.push(Step { position, recorded_at, offset_us, delta_us, key, body });
        }
    }
    steps
}

/// The ids that a run met so far, and what bounds it.
#[derive(Debug, Default)]
struct Known {
    limits: Option<ResourceLimits>,
    attempts: Vec<AttemptId>,
    runners: Vec<RunnerId>,
    snapshots: Vec<SnapshotId>,
}

fn nth<T: Clone + PartialEq>(known: &mut Vec<T>, id: &T) -> String {
    let at = known.iter().position(|known| known == id).unwrap_or_else(|| {
        known.push(id.clone());
        known.len() - 1
    });
    (at + 1).to_string()
}

impl Known {
    fn event(&mut self, event: &Event, actor: &Actor, issued_at: Timestamp) -> StepKey {
        let mut fields = vec![("by", actor.kind.name().to_owned())];
        let attempt = |known: &mut Self, id: &AttemptId| ("attempt", nth(&mut known.attempts, id));
        let runner = |known: &mut Self, id: &RunnerId| ("runner", nth(&mut known.runners, id));
        let snapshot = |known: &mut Self, id: &SnapshotId| ("snapshot", nth(&mut known.snapshots, id));
        match event {
            Event::Created { run: _, spec } => {
                self.limits = Some(spec.limits);
                fields.extend([("command", words::workload(&spec.workload)), ("limits", limits(&spec.limits))]);
            }
            Event::Started { attempt: id, ordinal: _, runner: by, cause, previous: _ } => {
                fields.extend([attempt(self, id), runner(self, by), ("cause", cause.name().to_owned())]);
            }
            Event::Waiting { attempt: id, on, deadline } => {
                let deadline = deadline.map_or_else(|| "none".to_owned(), |deadline| seconds(issued_at, deadline));
                fields.extend([attempt(self, id), ("on", on.clone()), ("deadline", deadline)]);
            }
            Event::Exited { attempt: id, exit } => {
                fields.push(attempt(self, id));
                fields.extend(exit_fields(exit, self.limits));
            }
            Event::Failed { attempt: id, ordinal: _, runner: by, failure } => {
                fields.extend([attempt(self, id), runner(self, by), ("failure", failure.kind.name().to_owned())]);
            }
            Event::Destroyed { why: _, forced } => fields.push(("forced", forced.to_string())),
            Event::SnapshotScheduled { snapshot: id, runner: by, due } => {
                fields.extend([snapshot(self, id), runner(self, by), ("delay", seconds(issued_at, *due))]);
            }
            Event::SnapshotCanceled { snapshot: id, cause } => {
                fields.extend([snapshot(self, id), ("cause", cause.name().to_owned())]);
            }
            Event::SnapshotDispatched { snapshot: id }
            | Event::SnapshotTaken { snapshot: id, .. }
            | Event::SnapshotFailed { snapshot: id, .. } => fields.push(snapshot(self, id)),
            Event::RunnerDisconnected { attempt: id, runner: by } => {
                fields.extend([attempt(self, id), runner(self, by)]);
            }
            Event::ExitAmended { attempt: id, status, source: _ } => {
                fields.extend([attempt(self, id), ("exit", words::exit_status(status))]);
            }
            Event::Reconciled { attempt: id, finding, detail: _ } => {
                fields.extend([attempt(self, id), ("finding", finding.name().to_owned())]);
            }
        }
        StepKey { name: StepName::Event(event.name()), fields }
    }

    fn refused(&mut self, refused: &Refused) -> StepKey {
        let mut fields = vec![("by", refused.command.actor().kind.name().to_owned())];
        if let RefusedCommand::Whole(command) = &refused.command {
            if let Some(id) = command.action.attempt() {
                fields.push(("attempt", nth(&mut self.attempts, &id)));
            }
            if let Some(Claim { runner, .. }) = command.action.claim() {
                fields.push(("runner", nth(&mut self.runners, runner)));
            }
        }
        let name = StepName::Refused { action: refused.command.action(), code: refused.refusal.code() };
        StepKey { name, fields }
    }
}

fn exit_fields(exit: &Exit, limits: Option<ResourceLimits>) -> [(&'static str, String); 3] {
    let left_out = |output: &OutputReceipt| limits.is_some_and(|limits| output.left_out_at_least(&limits) > 0);
    let output = match exit.output.as_ref().map(|output| (&output.drain, left_out(output))) {
        None => "not captured",
        Some((Drain::Drained, false)) => "drained",
        Some((Drain::Drained, true)) => "drained, in part left out",
        Some((Drain::DrainTimedOut { .. }, false)) => "not drained",
        Some((Drain::DrainTimedOut { .. }, true)) => "not drained, in part left out",
    };
    [
        ("exit", words::exit_status(&exit.status)),
        ("witness", exit.witness.name().to_owned()),
        ("output", output.to_owned()),
    ]
}

/// Whole seconds, to the nearest: whoever sets a time reads the clock a moment before the command is issued.
fn seconds(from: Timestamp, to: Timestamp) -> String {
    let micros = to.as_micros().saturating_sub(from.as_micros());
    format!("{} s", micros.saturating_add(500_000).div_euclid(1_000_000))
}

fn limits(limits: &ResourceLimits) -> String {
    let ResourceLimits { wall_ms, memory_bytes, output_bytes } = limits;
    let shown = |value: &Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    format!("wall {}, memory {}, output {}", shown(wall_ms), shown(memory_bytes), shown(output_bytes))
}
