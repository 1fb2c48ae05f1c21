//! Events in a shape that anything can be turned into, one object per line.
//!
//! Required are `run`, `kind` and `at`; `docs/import.md` describes the rest.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use tachograph_engine::domain::{Actor, ActorKind, ExitStatus, FailureKind, RunnerId, Timestamp, Workload};

use super::field::{at, kind, number, object, parse_time, required, shown, since_epoch, text, time, wrong};
use super::observation::{Meaning, Observation, Proof, Step, Subject, Unreadable};

const UNNAMED: &str = "import";
/// Signals that a kernel can end a process with.
const SIGNALS: RangeInclusive<i32> = 1..=64;

/// What one event means.
pub(super) fn read(value: &Value) -> Result<Meaning, Unreadable> {
    let event = object(value)?;
    let run = required(event, "run")?;
    let kind = required(event, "kind")?;
    let at = event_time(event)?;
    let Some(step) = step(event, kind)? else { return Ok(Meaning::Kept { what: shown(kind) }) };
    let key = match text(event, "id")? {
        Some(id) => format!("id {id}"),
        None => canonical(value).to_string(),
    };
    let actor = Actor::new(ActorKind::Supervisor, text(event, "actor")?.unwrap_or(UNNAMED));
    let subject = subject(event, run)?;
    Ok(Meaning::Observed(vec![Observation { key, at, actor, subject, step }]))
}

fn event_time(event: &Map<String, Value>) -> Result<Timestamp, Unreadable> {
    match at(event, "at") {
        None => Err(wrong("at", "is missing")),
        Some(Value::String(text)) => parse_time("at", text),
        Some(Value::Number(seconds)) => match (seconds.as_i64(), seconds.as_f64()) {
            (Some(seconds), _) => since_epoch("at", seconds, 1),
            #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and is checked then")]
            (None, Some(seconds)) => since_epoch("at", (seconds * 1e6).round() as i64, 1_000_000),
            (None, None) => Err(wrong("at", "is no number of seconds")),
        },
        Some(other) => Err(wrong("at", format_args!("expected a time in RFC 3339 or seconds, found {}", kind(other)))),
    }
}

fn subject(event: &Map<String, Value>, run: &str) -> Result<Subject, Unreadable> {
    let argv = at(event, "command").map(texts).transpose()?;
    let cwd = text(event, "cwd")?.map(str::to_owned);
    let workload = match (text(event, "image")?, argv) {
        (Some(image), argv) => Some(Workload::Image { reference: image.to_owned(), argv: argv.unwrap_or_default() }),
        (None, Some(argv)) => Some(Workload::Command { argv, cwd }),
        (None, None) => None,
    };
    let plain = |key: &str| Subject {
        key: key.to_owned(),
        name: None,
        labels: BTreeMap::new(),
        workload: None,
        parent: None,
        runner: None,
        is_only_of_its_name: false,
    };
    Ok(Subject {
        name: text(event, "name")?.map(str::to_owned),
        labels: labels(event)?,
        workload,
        parent: text(event, "parent")?.map(|parent| Box::new(plain(parent))),
        runner: text(event, "runner")?.map(RunnerId::new),
        ..plain(run)
    })
}

fn labels(event: &Map<String, Value>) -> Result<BTreeMap<String, String>, Unreadable> {
    match at(event, "labels") {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(labels)) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok(labels.iter().map(|(key, value)| (key.clone(), text(value))).collect())
        }
        Some(other) => Err(wrong("labels", format_args!("expected an object, found {}", kind(other)))),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, Unreadable> {
    let expected = || wrong("command", "expected a list of texts");
    let list = value.as_array().ok_or_else(expected)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(expected)).collect()
}

fn step(event: &Map<String, Value>, named: &str) -> Result<Option<Step>, Unreadable> {
    let attempt = attempt(event)?;
    let said = |field: &str, else_said: &str| Ok(text(event, field)?.unwrap_or(else_said).to_owned());
    Ok(Some(match named {
        "created" => Step::Created,
        "started" => Step::Started { attempt, proves: Proof::Nothing },
        "waiting" => Step::Waiting { attempt, on: said("on", "")?, deadline: time(event, "deadline")? },
        "resumed" => Step::Resumed { attempt },
        "exited" => Step::Exited { attempt, status: status(event)? },
        "failed" => {
            let kind = failure(text(event, "failure")?.unwrap_or("failed"));
            Step::Failed { attempt, kind, message: said("message", "")?, if_open: false }
        }
        "disconnected" => Step::Disconnected { attempt },
        "destroyed" => {
            let force = match at(event, "force") {
                None => false,
                Some(Value::Bool(force)) => *force,
                Some(other) => return Err(wrong("force", format_args!("expected a boolean, found {}", kind(other)))),
            };
            Step::Destroyed { why: said("why", "")?, force }
        }
        _ => return Ok(None),
    }))
}

fn attempt(event: &Map<String, Value>) -> Result<Option<String>, Unreadable> {
    match at(event, "attempt") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(wrong("attempt", format_args!("expected a text or a number, found {}", kind(other)))),
    }
}

fn status(event: &Map<String, Value>) -> Result<ExitStatus, Unreadable> {
    let small = |path: &str| -> Result<Option<i32>, Unreadable> {
        let number = number(event, path)?;
        let wide = |number| wrong(path, format_args!("{number} has more than 32 bits"));
        number.map(|number| i32::try_from(number).map_err(|_| wide(number))).transpose()
    };
    match (small("code")?, small("signal")?) {
        (Some(code), None) => Ok(ExitStatus::Code(code)),
        (None, Some(signal)) if SIGNALS.contains(&signal) => Ok(ExitStatus::Signal(signal)),
        (None, Some(signal)) => {
            let (first, last) = (SIGNALS.start(), SIGNALS.end());
            Err(wrong("signal", format_args!("{signal} is none; there are {first} to {last}")))
        }
        (Some(_), Some(_)) => Err(wrong("signal", "stands beside a code; an end has one of them")),
        (None, None) => {
            let cause = text(event, "cause")?.unwrap_or("the event has neither code nor signal").to_owned();
            Ok(ExitStatus::Unknown { cause })
        }
    }
}

fn failure(name: &str) -> FailureKind {
    let known = [
        FailureKind::NotFound,
        FailureKind::NotExecutable,
        FailureKind::SpawnFailed,
        FailureKind::StartTimeout,
        FailureKind::TimedOut,
        FailureKind::SupervisorLost,
        FailureKind::RunnerLost,
        FailureKind::StartAbandoned,
        FailureKind::OutputLost,
    ];
    known.into_iter().find(|kind| kind.name() == name).unwrap_or_else(|| FailureKind::Other(name.to_owned()))
}

/// The same value with its fields in the order of their names: the order in a line has no meaning.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<&String, Value> = object.iter().map(|(key, value)| (key, canonical(value))).collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
