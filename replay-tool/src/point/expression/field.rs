//! The fields of a run: those that `--format json` prints.

use std::borrow::Cow;
use std::cmp::Ordering;

use tachograph_engine::domain::{
    Attempt, Drain, Exit, ExitStatus, Outcome, RunRecord, RunSpec, Status, StatusName, Timestamp, Workload, timers_of,
};

/// The key under which all labels are.
pub(super) const LABELS: &str = "labels";
/// How similar a name must be to be suggested, from 0 (not at all) to 1 (the same).
const SIMILARITY_MIN: f64 = 0.75;

/// What kind of value a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Text,
    Time,
    Flag,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::Flag => "true or false",
        }
    }
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(i64),
    Text(Cow<'a, str>),
    Time(Timestamp),
    Flag(bool),
}

impl Value<'_> {
    /// The order of two values of one type.
    pub(super) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Value::Number(right)) => Some(left.cmp(right)),
            (Self::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            (Self::Time(left), Value::Time(right)) => Some(left.cmp(right)),
            (Self::Flag(left), Value::Flag(right)) => Some(left.cmp(right)),
            (Self::Number(_) | Self::Text(_) | Self::Time(_) | Self::Flag(_), _) => None,
        }
    }
}

/// How a field goes on in the life of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// As the run was created, for ever.
    Fixed,
    /// There from the creation on, and never less.
    Grows,
    /// Absent at first; once there, it stays, and is never less.
    Appears,
    /// Absent at first; once there, there is always one, this or another.
    Stays,
    /// Anything.
    Free,
}

/// A field of a run.
#[derive(Debug, Clone)]
pub(super) enum Field {
    Named(&'static Named),
    Label(String),
}

/// A field that every run has or may have.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: &'static str,
    of: Type,
    course: Course,
    get: for<'a> fn(&'a RunRecord) -> Option<Value<'a>>,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Field {
    /// The field of this path.
    ///
    /// # Errors
    ///
    /// The most similar name, if there is none of this one.
    pub(super) fn find(path: &[String]) -> Result<Self, Option<&'static str>> {
        match path {
            [labels, key] if labels == LABELS => Ok(Self::Label(key.clone())),
            _ => {
                let name = path.join(".");
                let found = NAMED.iter().find(|field| field.name == name);
                found.map(Self::Named).ok_or_else(|| similar(&name, NAMED.iter().map(|field| field.name)))
            }
        }
    }

    pub(super) fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Named(field) => field.name.into(),
            Self::Label(key) => format!("{LABELS}.{key}").into(),
        }
    }

    pub(super) fn of_type(&self) -> Type {
        match self {
            Self::Named(field) => field.of,
            Self::Label(_) => Type::Text,
        }
    }

    pub(super) fn course(&self) -> Course {
        match self {
            Self::Named(field) => field.course,
            Self::Label(_) => Course::Fixed,
        }
    }

    pub(super) fn is_status(&self) -> bool {
        self.name() == "status"
    }

    /// Its value in a run, if it has one.
    pub(super) fn of<'a>(&self, record: &'a RunRecord) -> Option<Value<'a>> {
        match self {
            Self::Named(field) => (field.get)(record),
            Self::Label(key) => record.run.spec.labels.get(key).map(|value| text(value)),
        }
    }
}

/// The most similar of some names, if it is similar enough to be meant.
pub(super) fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let scored = names.map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name));
    scored.filter(|(score, _)| *score >= SIMILARITY_MIN).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// The status of this name.
///
/// # Errors
///
/// What to write instead.
pub(super) fn status(name: &str) -> Result<(), String> {
    if StatusName::ALL.iter().any(|status| status.name() == name) {
        return Ok(());
    }
    let names = StatusName::ALL.map(StatusName::name);
    match similar(name, names.into_iter()) {
        Some(similar) => Err(format!("did you mean {similar:?}?")),
        None => Err(format!("a status is one of {}", names.join(", "))),
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

fn number(number: u64) -> Value<'static> {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn shown<'a>(value: impl ToString) -> Value<'a> {
    Value::Text(value.to_string().into())
}

fn spec(record: &RunRecord) -> &RunSpec {
    &record.run.spec
}

fn attempt(record: &RunRecord) -> Option<&Attempt> {
    record.run.attempt.as_ref()
}

fn outcome(record: &RunRecord) -> Option<&Outcome> {
    attempt(record)?.outcome.as_ref()
}

fn exit(record: &RunRecord) -> Option<&Exit> {
    match outcome(record)? {
        Outcome::Exited { exit, .. } => Some(exit),
        Outcome::Failed(_) => None,
    }
}

fn exit_code(record: &RunRecord) -> Option<Value<'_>> {
    match outcome(record)?.exit_status()? {
        ExitStatus::Code(code) => Some(Value::Number((*code).into())),
        ExitStatus::Signal(_) | ExitStatus::Unknown { .. } => None,
    }
}

fn exit_signal(record: &RunRecord) -> Option<Value<'_>> {
    match outcome(record)?.exit_status()? {
        ExitStatus::Signal(signal) => Some(Value::Number((*signal).into())),
        ExitStatus::Code(_) | ExitStatus::Unknown { .. } => None,
    }
}

fn exit_unknown(record: &RunRecord) -> Option<Value<'_>> {
    match outcome(record)?.exit_status()? {
        ExitStatus::Unknown { cause } => Some(text(cause)),
        ExitStatus::Code(_) | ExitStatus::Signal(_) => None,
    }
}

fn waiting(record: &RunRecord) -> Option<(&str, Option<Timestamp>)> {
    match &record.run.status {
        Status::Waiting { on, deadline } => Some((on, *deadline)),
        Status::Created | Status::Started | Status::Exited | Status::Failed | Status::Destroyed { .. } => None,
    }
}

fn destroyed_because(record: &RunRecord) -> Option<Value<'_>> {
    match &record.run.status {
        Status::Destroyed { why } => Some(text(why)),
        Status::Created | Status::Started | Status::Waiting { .. } | Status::Exited | Status::Failed => None,
    }
}

fn cwd(record: &RunRecord) -> Option<Value<'_>> {
    match &spec(record).workload {
        Workload::Command { cwd, .. } => cwd.as_deref().map(text),
        Workload::Image { .. } => None,
    }
}

fn image(record: &RunRecord) -> Option<Value<'_>> {
    match &spec(record).workload {
        Workload::Image { reference, .. } => Some(text(reference)),
        Workload::Command { .. } => None,
    }
}

fn snapshot(record: &RunRecord) -> Option<(String, &'static str)> {
    let armed = record.run.armed.as_ref().map(|armed| (armed.id.to_string(), "armed"));
    armed.or_else(|| record.run.in_flight.as_ref().map(|taken| (taken.id.to_string(), "dispatched")))
}

const fn named(
    name: &'static str,
    of: Type,
    course: Course,
    get: for<'a> fn(&'a RunRecord) -> Option<Value<'a>>,
) -> Named {
    Named { name, of, course, get }
}

/// Every field but labels, by name.
pub(super) static NAMED: &[Named] = &[
    named("attempt", Type::Number, Course::Appears, |r| attempt(r).map(|a| Value::Number(a.ordinal.0.into()))),
    named("attempt_cause", Type::Text, Course::Stays, |r| attempt(r).map(|a| text(a.cause.name()))),
    named("attempt_id", Type::Text, Course::Stays, |r| attempt(r).map(|a| shown(a.id))),
    named("created_at", Type::Time, Course::Fixed, |r| Some(Value::Time(r.created_at))),
    named("cwd", Type::Text, Course::Fixed, cwd),
    named("destroyed_because", Type::Text, Course::Free, destroyed_because),
    named("ended", Type::Flag, Course::Free, |r| Some(Value::Flag(r.run.is_ended()))),
    named("exit.code", Type::Number, Course::Free, exit_code),
    named("exit.signal", Type::Number, Course::Free, exit_signal),
    named("exit.unknown", Type::Text, Course::Free, exit_unknown),
    named("exit_amended", Type::Flag, Course::Free, |r| {
        Some(Value::Flag(matches!(outcome(r), Some(Outcome::Exited { amended: Some(_), .. }))))
    }),
    named("failure.kind", Type::Text, Course::Free, |r| outcome(r)?.failure().map(|failure| text(failure.kind.name()))),
    named("failure.message", Type::Text, Course::Free, |r| outcome(r)?.failure().map(|failure| text(&failure.message))),
    named("image", Type::Text, Course::Fixed, image),
    named("limits.memory_bytes", Type::Number, Course::Fixed, |r| spec(r).limits.memory_bytes.map(number)),
    named("limits.output_bytes", Type::Number, Course::Fixed, |r| spec(r).limits.output_bytes.map(number)),
    named("limits.wall_ms", Type::Number, Course::Fixed, |r| spec(r).limits.wall_ms.map(number)),
    named("name", Type::Text, Course::Fixed, |r| spec(r).name.as_deref().map(text)),
    named("output.drained", Type::Flag, Course::Free, |r| {
        exit(r)?.output.as_ref().map(|output| Value::Flag(matches!(output.drain, Drain::Drained)))
    }),
    named("output.stderr.bytes", Type::Number, Course::Free, |r| {
        exit(r)?.output.as_ref().map(|output| number(output.stderr.bytes))
    }),
    named("output.stdout.bytes", Type::Number, Course::Free, |r| {
        exit(r)?.output.as_ref().map(|output| number(output.stdout.bytes))
    }),
    named("parent", Type::Text, Course::Fixed, |r| spec(r).parent.map(shown)),
    named("positions.created", Type::Number, Course::Fixed, |r| Some(number(r.created.0))),
    named("positions.last", Type::Number, Course::Grows, |r| Some(number(r.last.0))),
    named("positions.updated", Type::Number, Course::Grows, |r| Some(number(r.updated.0))),
    named("refusals", Type::Number, Course::Grows, |r| Some(number(r.refusals))),
    named("run", Type::Text, Course::Fixed, |r| Some(shown(r.run.id))),
    named("runner", Type::Text, Course::Stays, |r| attempt(r).map(|a| text(a.runner.as_str()))),
    named("runner_connected", Type::Flag, Course::Stays, |r| attempt(r).map(|a| Value::Flag(a.connected))),
    named("snapshot.due", Type::Time, Course::Free, |r| r.run.armed.as_ref().map(|armed| Value::Time(armed.due))),
    named("snapshot.runner", Type::Text, Course::Free, |r| {
        r.run.armed.as_ref().map(|armed| text(armed.runner.as_str()))
    }),
    named("snapshot.snapshot", Type::Text, Course::Free, |r| snapshot(r).map(|(id, _)| Value::Text(id.into()))),
    named("snapshot.state", Type::Text, Course::Free, |r| snapshot(r).map(|(_, state)| text(state))),
    named("status", Type::Text, Course::Free, |r| Some(text(r.run.status.name().name()))),
    named("timers", Type::Number, Course::Free, |r| Some(number(timers_of(r).len() as u64))),
    // The writer's clock may step back.
    named("updated_at", Type::Time, Course::Free, |r| Some(Value::Time(r.updated_at))),
    named("version", Type::Number, Course::Grows, |r| Some(number(r.run.version.0))),
    named("waiting.deadline", Type::Time, Course::Free, |r| waiting(r)?.1.map(Value::Time)),
    named("waiting.on", Type::Text, Course::Free, |r| waiting(r).map(|(on, _)| text(on))),
    named("witness", Type::Text, Course::Free, |r| exit(r).map(|exit| text(exit.witness.name()))),
];
