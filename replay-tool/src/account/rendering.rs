//! An account in words.

use tachograph_engine::domain::{Event, RefusedCommand, ResourceLimits};

use super::sentence::{
    Account, ClockMoved, EventTold, Gap, RefusedTold, Sentence, Standing, Timer, TimerRearmed, Told,
};
use crate::duration::{between, human};
use crate::show::diagnostics;
use crate::words;

impl Account {
    /// A sentence in words, without its position and time.
    pub fn text(&self, sentence: &Sentence) -> String {
        match &sentence.told {
            Told::State(standing) => self.state(sentence, standing),
            Told::NeverCreated => format!("it {}", words::NEVER_CREATED),
            Told::StateUnknown => {
                "its creation is not among what can be read; what follows is what is left of it".to_owned()
            }
            Told::Archived(border) => words::archived(border.up_to, &border.bundle, border.base.run.status.name()),
            Told::Event(told) => format!("{}{}", clause(told, self.limits()), by(sentence)),
            Told::Refused(told) => format!("REFUSED: {}{}", words::refused_command(&told.command), by(sentence)),
            Told::Fact { fact: tachograph_engine::domain::SystemFact::Opened(session), was_closed } => {
                words::opened(session, *was_closed)
            }
            Told::Fact { fact, was_closed: _ } => words::system(fact),
            Told::Rearmed(rearmed) => self::rearmed(rearmed),
            Told::Gap(gap) => self.gap(gap),
            Told::Still(still) => {
                let writer = still.writer.as_ref().map(|(writer, state)| (writer, *state));
                words::still_open(still.status, still.silent_us, still.overdue_us, writer)
            }
        }
    }

    fn state(&self, sentence: &Sentence, standing: &Standing) -> String {
        let since = sentence.position;
        let event = words::event(&standing.event, words::Beside { limits: self.limits(), ..words::Beside::default() });
        let status = standing.status;
        let stands = match self.as_of {
            None => format!("it is {status} since position {since}"),
            Some(position) => format!("it was {status} at position {position}, since position {since}"),
        };
        format!("{stands}: {event}{}", by(sentence))
    }

    fn gap(&self, gap: &Gap) -> String {
        match gap {
            Gap::Missing { up_to } => words::missing(*up_to),
            Gap::FactsUnread => {
                "THE FACTS ABOUT THE JOURNAL COULD NOT BE READ: whether a supervisor was down or a clock \
                                 stepped is not known"
                    .to_owned()
            }
            Gap::Silence { from, since, to, until } => format!(
                "SILENCE: nothing was recorded about it for {}, from position {from} ({since}) to position {to} ({until})",
                human(between(*since, *until))
            ),
            Gap::SupervisorDown { from: _, absence } => format!("NO SUPERVISOR: {}", words::away(absence)),
            Gap::SteppedBack { from, since, micros } => format!(
                "CLOCK: it stepped back by {} at least: position {from} was recorded at {since}",
                human(*micros)
            ),
            Gap::ClockMoved(moved) => self::moved(moved),
            Gap::DeadlinePassed { from, deadline, until } => format!(
                "DEADLINE: {deadline}, until when it waited at most since position {from}, had passed {} before",
                human(between(*deadline, *until))
            ),
            Gap::NotDestroyed { status } => {
                let up_to = self.as_of.map(|position| format!(" by position {position}")).unwrap_or_default();
                format!("{status} without Destroyed: nobody has given it up{up_to}, and it can be started once more")
            }
        }
    }

    /// What is to be said below a sentence.
    pub fn notes(&self, sentence: &Sentence) -> Vec<String> {
        match &sentence.told {
            Told::State(standing) => {
                let (attempts, refusals) = (standing.attempts, standing.refusals);
                let amended = standing.amended.as_ref().map(|status| {
                    format!("what counts is {}, filled in later by an amendment", words::exit_status(status))
                });
                let counts = format!("attempts: {attempts}; refusals recorded: {refusals}");
                amended.into_iter().chain([counts]).collect()
            }
            Told::Event(told) => event_notes(told),
            Told::Refused(told) => refused_notes(told),
            Told::NeverCreated
            | Told::StateUnknown
            | Told::Archived(_)
            | Told::Fact { .. }
            | Told::Rearmed(_)
            | Told::Gap(_)
            | Told::Still(_) => Vec::new(),
        }
    }
}

fn clause(told: &EventTold, limits: Option<&ResourceLimits>) -> String {
    let issued_at = Some(told.command.issued_at);
    words::event(&told.event, words::Beside { events: &told.beside, issued_at, late_us: told.late_us, limits })
}

/// Who did it, and on whose claim if that is another.
fn by(sentence: &Sentence) -> String {
    let Some(actor) = sentence.actor() else { return String::new() };
    let other = sentence.claim().filter(|claim| claim.runner.as_str() != &*actor.id);
    let claim = other.map(|claim| format!(", on the claim of runner {}", claim.runner)).unwrap_or_default();
    format!(" (by {}{claim})", words::actor(actor))
}

fn event_notes(told: &EventTold) -> Vec<String> {
    let mut notes: Vec<String> = match &told.event {
        Event::Failed { failure, .. } => {
            diagnostics(&failure.diagnostics).into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
        }
        Event::SnapshotDispatched { .. } => words::late_because(told.late_us, &told.absences, told.due),
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Waiting { .. }
        | Event::Exited { .. }
        | Event::Destroyed { .. }
        | Event::SnapshotScheduled { .. }
        | Event::SnapshotCanceled { .. }
        | Event::SnapshotTaken { .. }
        | Event::SnapshotFailed { .. }
        | Event::RunnerDisconnected { .. }
        | Event::ExitAmended { .. }
        | Event::Reconciled { .. } => Vec::new(),
    };
    if !told.applied {
        notes.push(words::CHANGED_NOTHING.to_owned());
    }
    notes
}

fn refused_notes(told: &RefusedTold) -> Vec<String> {
    let counted = told.counted_only.filter(|counted| *counted > 0).map(|counted| {
        format!("{counted} of these times, since the one recorded before, were counted only and stand nowhere else")
    });
    let version = match &told.command {
        RefusedCommand::Whole(command) => command.expected.map(|version| format!("it expected version {version}")),
        RefusedCommand::OutOfBounds { .. } => None,
    };
    let (why, remedy) = (words::why_refused(&told.refusal), words::remedy(&told.refusal));
    [Some(why), version, Some(remedy), words::refused_so_often(told.count), counted].into_iter().flatten().collect()
}

fn rearmed(told: &TimerRearmed) -> String {
    let again = words::again(told.dispatched);
    let due = told.due.map(|due| format!(", due {due}")).unwrap_or_default();
    let overdue = told.overdue_us.map(|micros| format!(", OVERDUE BY {}", human(micros))).unwrap_or_default();
    match told.timer {
        Timer::Snapshot(snapshot) if told.dispatched => format!("snapshot {snapshot}: {again}"),
        Timer::Snapshot(snapshot) => format!("snapshot {snapshot}: {again}{due}{overdue}"),
        Timer::Deadline(_) => format!("deadline: {again}{due}{overdue}"),
    }
}

fn moved(moved: &ClockMoved) -> String {
    let ClockMoved { from, since: _, until: _, micros } = moved;
    let far = human(micros.unsigned_abs());
    if *micros < 0 {
        format!("CLOCK: it was set back: since position {from} it went {far} less far than the machine's own clock")
    } else {
        format!(
            "CLOCK: since position {from} it went {far} further than the machine's own clock: it was set forward, or the \
             machine was suspended; no entry tells which"
        )
    }
}
