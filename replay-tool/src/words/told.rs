//! What more than one command tells about a run or a snapshot, in the same words.

use tachograph_engine::domain::{Position, Refusal, Session, StatusName, Timestamp};
use tachograph_projections::Absence;

use super::{is_late, last_writer, writer};
use crate::duration::{between, human};
use crate::machine::{LastWriter, WriterState};

/// Said of an event that cannot follow what was read before it.
pub const CHANGED_NOTHING: &str = "CHANGED NOTHING: it cannot follow what was read before; the history is incomplete";

/// Said of a run that only refused commands name.
pub const NEVER_CREATED: &str = "was never created here; these are the refused commands that named it";

/// Said of a dispatch that was late although a writer was there.
const LATE_BESIDE_A_WRITER: &str = "the writer was there when it was due: it waited for a place among the concurrent snapshots, or the supervisor or its \
     machine stood still; no entry tells which";

/// Said of an alignment that may not be the best one.
pub const ALIGNED_BY_STRETCHES: &str = "the histories are too long to be aligned as wholes: they are aligned by stretches, and a better alignment may exist";

/// Why a command was refused, with the stable code.
pub fn why_refused(refusal: &Refusal) -> String {
    format!("why [{}]: {refusal}", refusal.code())
}

/// What the issuer of a refused command should do.
pub fn remedy(refusal: &Refusal) -> String {
    format!("remedy: {}", refusal.remedy())
}

/// How often an actor was refused like this by then, if it was not the first time.
pub fn refused_so_often(count: u64) -> Option<String> {
    (count > 1).then(|| format!("this actor was refused like this {count} times by then"))
}

/// That entries are missing for damage.
pub fn missing(up_to: Position) -> String {
    format!("ENTRIES UP TO POSITION {up_to} COULD NOT BE READ")
}

/// The entries of a run that are in a bundle, and how it stood after them.
pub fn archived(up_to: Position, bundle: &str, status: StatusName) -> String {
    format!("archived up to position {up_to}, in {bundle}: it was {status} there")
}

/// An opening, with what it tells about the writer before.
pub fn opened(session: &Session, was_closed: Option<bool>) -> String {
    let after = match was_closed {
        Some(true) => ", after it was closed",
        Some(false) => ", after a crash of the writer before",
        None => "",
    };
    format!("journal opened by {}{after}", writer(session))
}

/// What an opening means for a timer, or for a snapshot that was dispatched.
pub const fn again(dispatched: bool) -> &'static str {
    if dispatched { "no result yet" } else { "armed again" }
}

/// When no writer was there.
pub fn away(absence: &Absence) -> String {
    let Absence { since, until, opened, was_closed } = absence;
    let gone = if until < since {
        "how long is not known: the clock stepped back".to_owned()
    } else {
        human(between(*since, *until))
    };
    if *was_closed {
        format!("the journal was closed from {since} to {until} ({gone}), opened again at position {opened}")
    } else {
        let later = if until < since { "" } else { " later" };
        format!(
            "the supervisor went away after {since}, its last entry, and the next one opened the journal at {until} \
             ({gone}{later}), position {opened}"
        )
    }
}

/// Why a dispatch was late, as far as entries tell it; nothing if it was not late.
pub fn late_because(late_us: Option<i64>, absences: &[Absence], due: Option<Timestamp>) -> Vec<String> {
    if !is_late(late_us) {
        return Vec::new();
    }
    let covers = |absence: &Absence| due.is_some_and(|due| absence.covers(due));
    let because = |absence| if covers(absence) { "late because" } else { "later still because" };
    let beside = (!absences.iter().any(covers)).then(|| LATE_BESIDE_A_WRITER.to_owned());
    beside.into_iter().chain(absences.iter().map(|absence| format!("{} {}", because(absence), away(absence)))).collect()
}

/// How long a run that has not ended was silent, whether it waits for too long, and whether anybody can go on with it.
pub fn still_open(
    status: StatusName,
    silent_us: u64,
    overdue_us: Option<u64>,
    last: Option<(&LastWriter, WriterState)>,
) -> String {
    let mut text = format!("still {status}; nothing recorded for {}", human(silent_us));
    if let Some(micros) = overdue_us {
        text.push_str(&format!("; ITS DEADLINE PASSED {} AGO", human(micros)));
    }
    if let Some((writer, state)) = last {
        text.push_str(&format!("; its writer, {}", last_writer(writer, state)));
    }
    text
}

/// For how long a deadline has passed at a time, in microseconds; absent if it has not.
pub fn overdue_us(deadline: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    deadline.filter(|deadline| *deadline < now).map(|deadline| between(deadline, now))
}
