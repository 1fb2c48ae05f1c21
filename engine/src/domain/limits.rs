//! The sizes that the engine accepts: part of the public contract.
//!
//! They bound one journal entry, and so a reader's memory. A command beyond them is refused as
//! [`Refusal::InvalidInput`] with the field and the bound; it is never cut silently.

use super::spec::{Diagnostics, Exit, Failure, FailureKind, RunSpec, Workload};
use super::{Action, Command, ExitStatus, Guard, Refusal, RunnerId, Timestamp};

/// Bytes in a run's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Labels of a run.
pub const LABELS_MAX: usize = 64;
/// Bytes in a label's key.
pub const LABEL_KEY_BYTES_MAX: usize = 128;
/// Bytes in a label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 1_024;
/// Arguments of a command line, program included.
pub const ARGV_MAX: usize = 4_096;
/// Bytes in all arguments of a command line together.
pub const ARGV_BYTES_MAX: usize = 128 * 1_024;
/// Bytes in a path, an image reference or a location.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes in the id of a runner or actor.
pub const ACTOR_ID_BYTES_MAX: usize = 256;
/// Bytes in a message, a cause or a reason.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// Lines in each list of a failure's diagnostics, and facts in it.
pub const DIAGNOSTICS_MAX: usize = 64;
/// Attempts of one run.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// Ids of past snapshots that a run remembers, so that none of them is armed a second time.
pub const SNAPSHOTS_REMEMBERED: usize = 256;
/// The longest delay of a snapshot: 30 days.
pub const SNAPSHOT_DELAY_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1_000;

type Checked = Result<(), Refusal>;

/// Checks every bounded field of a command.
///
/// # Errors
///
/// [`Refusal::InvalidInput`] for the first field that is out of its bounds.
pub fn check(command: &Command) -> Checked {
    line("actor.id", &command.actor.id, ACTOR_ID_BYTES_MAX)?;
    if let Some(claim) = command.action.claim() {
        if claim.run != command.run {
            return Err(invalid("claim.run", format!("names {}, the command names {}", claim.run, command.run)));
        }
        runner("claim.runner", &claim.runner)?;
    }
    match &command.action {
        Action::Create { spec } => check_spec(spec),
        Action::Start { runner: holder, .. } => runner("runner", holder),
        Action::Wait { on, .. } => message("on", on),
        Action::Exit { exit, .. } => check_exit(exit),
        Action::Fail { failure, .. } => check_failure(failure),
        Action::Destroy { why, .. } => message("why", why),
        Action::ScheduleSnapshot { due, .. } => check_due(command.issued_at, *due),
        Action::CancelSnapshot { guard: Guard::Runner(owner) } => runner("guard.runner", owner),
        Action::CompleteSnapshot { location, .. } => line("location", location, PATH_BYTES_MAX),
        Action::FailSnapshot { message: text, .. } => message("message", text),
        Action::AmendExit { status, source, .. } => {
            if matches!(status, ExitStatus::Unknown { .. }) {
                return Err(invalid("status", "an amendment must be a code or a signal".to_owned()));
            }
            line("source", source, PATH_BYTES_MAX)
        }
        Action::Reconcile { detail, .. } => message("detail", detail),
        Action::CancelSnapshot { guard: Guard::Unconditional }
        | Action::DispatchSnapshot { .. }
        | Action::DisconnectRunner { .. } => Ok(()),
    }
}

/// Checks what a run is created as; also usable before a command is made.
///
/// # Errors
///
/// [`Refusal::InvalidInput`] for the first field that is out of its bounds.
pub fn check_spec(spec: &RunSpec) -> Checked {
    if let Some(name) = &spec.name {
        check_name(name)?;
    }
    check_labels(spec)?;
    match &spec.workload {
        Workload::Command { argv, cwd } => {
            if argv.first().is_none_or(String::is_empty) {
                return Err(invalid("spec.command", "names no program".to_owned()));
            }
            check_argv(argv)?;
            cwd.as_deref().map_or(Ok(()), |path| path_text("spec.cwd", path))
        }
        Workload::Image { reference, argv } => {
            path_text("spec.image", reference)?;
            check_argv(argv)
        }
    }
}

/// Checks a run's name: 1 to 128 bytes, no control characters, and not the form of a ULID, which would make `NAME or
/// ID` arguments ambiguous.
///
/// # Errors
///
/// [`Refusal::InvalidInput`] with the field `spec.name`.
pub fn check_name(name: &str) -> Checked {
    line("spec.name", name, NAME_BYTES_MAX)?;
    if name.len() == ulid::ULID_LEN && ulid::Ulid::from_string(name).is_ok() {
        return Err(invalid("spec.name", "has the form of a run id".to_owned()));
    }
    Ok(())
}

fn check_labels(spec: &RunSpec) -> Checked {
    if spec.labels.len() > LABELS_MAX {
        return Err(invalid("spec.labels", format!("{} labels; at most {LABELS_MAX}", spec.labels.len())));
    }
    for (key, value) in &spec.labels {
        line("spec.labels", key, LABEL_KEY_BYTES_MAX)?;
        if key.contains('=') {
            return Err(invalid("spec.labels", format!("the key {key:?} contains '='")));
        }
        text(&format!("spec.labels.{key}"), value, 0, LABEL_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

fn check_argv(argv: &[String]) -> Checked {
    if argv.len() > ARGV_MAX {
        return Err(invalid("spec.command", format!("{} arguments; at most {ARGV_MAX}", argv.len())));
    }
    let bytes: usize = argv.iter().map(String::len).sum();
    if bytes > ARGV_BYTES_MAX {
        return Err(invalid("spec.command", format!("{bytes} bytes of arguments; at most {ARGV_BYTES_MAX}")));
    }
    match argv.iter().position(|argument| argument.contains('\0')) {
        Some(index) => Err(invalid("spec.command", format!("argument {index} contains a NUL"))),
        None => Ok(()),
    }
}

fn check_exit(exit: &Exit) -> Checked {
    match &exit.status {
        ExitStatus::Unknown { cause } => message("exit.status.cause", cause),
        ExitStatus::Code(_) | ExitStatus::Signal(_) => Ok(()),
    }
}

fn check_failure(failure: &Failure) -> Checked {
    if let FailureKind::Other(name) = &failure.kind {
        line("failure.kind", name, NAME_BYTES_MAX)?;
    }
    message("failure.message", &failure.message)?;
    let Diagnostics { alive, last_output, likely_cause, facts } = &failure.diagnostics;
    lines("failure.diagnostics.alive", alive)?;
    lines("failure.diagnostics.last_output", last_output)?;
    if let Some(cause) = likely_cause {
        message("failure.diagnostics.likely_cause", cause)?;
    }
    if facts.len() > DIAGNOSTICS_MAX {
        let why = format!("{} facts; at most {DIAGNOSTICS_MAX}", facts.len());
        return Err(invalid("failure.diagnostics.facts", why));
    }
    facts.iter().try_for_each(|(key, value)| {
        line("failure.diagnostics.facts", key, LABEL_KEY_BYTES_MAX)?;
        text("failure.diagnostics.facts", value, 0, MESSAGE_BYTES_MAX)
    })
}

fn check_due(issued_at: Timestamp, due: Timestamp) -> Checked {
    match due.millis_since(issued_at) {
        0..=SNAPSHOT_DELAY_MS_MAX => Ok(()),
        delay => Err(invalid("due", format!("{delay} ms after the command; 0 to {SNAPSHOT_DELAY_MS_MAX}"))),
    }
}

fn lines(field: &str, lines: &[String]) -> Checked {
    if lines.len() > DIAGNOSTICS_MAX {
        return Err(invalid(field, format!("{} lines; at most {DIAGNOSTICS_MAX}", lines.len())));
    }
    lines.iter().try_for_each(|line| text(field, line, 0, MESSAGE_BYTES_MAX))
}

fn runner(field: &str, runner: &RunnerId) -> Checked {
    line(field, runner.as_str(), ACTOR_ID_BYTES_MAX)
}

fn message(field: &str, message: &str) -> Checked {
    text(field, message, 0, MESSAGE_BYTES_MAX)
}

fn path_text(field: &str, path: &str) -> Checked {
    text(field, path, 1, PATH_BYTES_MAX)?;
    if path.contains('\0') {
        return Err(invalid(field, "contains a NUL".to_owned()));
    }
    Ok(())
}

/// One line that names something: not empty, no control characters.
fn line(field: &str, line: &str, bytes_max: usize) -> Checked {
    text(field, line, 1, bytes_max)?;
    match line.chars().find(|char| char.is_control()) {
        Some(char) => Err(invalid(field, format!("contains the control character U+{:04X}", u32::from(char)))),
        None => Ok(()),
    }
}

fn text(field: &str, text: &str, bytes_min: usize, bytes_max: usize) -> Checked {
    if text.len() > bytes_max {
        return Err(invalid(field, format!("{} bytes; at most {bytes_max}", text.len())));
    }
    if text.len() < bytes_min {
        return Err(invalid(field, "is empty".to_owned()));
    }
    Ok(())
}

fn invalid(field: &str, why: String) -> Refusal {
    // The field of a label carries its key, which is bounded here so that the refusal itself is.
    let field = field.chars().take(LABEL_KEY_BYTES_MAX * 2).collect();
    Refusal::InvalidInput { field, why }
}
