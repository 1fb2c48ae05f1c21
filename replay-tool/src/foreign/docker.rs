//! The events of a Docker daemon, as `docker events --format '{{json .}}'` prints them.
//!
//! A run is a container, known by its id; an attempt is what lies between a `start` and its `die`. The format: an object
//! with `Type`, `Action`, `Actor` (`ID`, and `Attributes`: texts by name), `time` in seconds and `timeNano` in nanoseconds;
//! older versions repeat the first of these as `status`, `id` and `from`. `Attributes` of a container hold its labels,
//! `image` and `name`, and what is particular to the action: `exitCode` of a `die`, `signal` of a `kill`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tachograph_engine::domain::{Actor, ActorKind, ExitStatus, Timestamp, Workload};

use super::field::{at, bounded, kind, number, object, shown, since_epoch, text, wrong};
use super::observation::{Meaning, Observation, Proof, Step, Subject, Unreadable};

/// Who says all of it: the events name no host.
const DAEMON: &str = "docker";
/// Attributes that tell of the event, not of the container.
const OF_THE_EVENT: [&str; 7] = ["exitCode", "execDuration", "execID", "signal", "oldName", "image", "name"];

/// What one event means.
pub(super) fn read(value: &Value) -> Result<Meaning, Unreadable> {
    let event = object(value)?;
    let action = match text(event, "Action")? {
        Some(action) => action,
        None => text(event, "status")?.ok_or_else(|| wrong("Action", "is missing"))?,
    };
    let of = text(event, "Type")?.unwrap_or("container");
    if of != "container" {
        return Ok(Meaning::Kept { what: format!("{} {}", shown(of), shown(base(action))) });
    }
    let at = time(event)?;
    let attributes = attributes(event)?;
    let id = match text(event, "Actor.ID")? {
        Some(id) => id,
        None => text(event, "id")?.ok_or_else(|| wrong("Actor.ID", "is missing"))?,
    };
    let Some(step) = step(base(action), &attributes) else {
        return Ok(Meaning::Kept { what: shown(base(action)) });
    };
    let subject = subject(id, &attributes, text(event, "from")?);
    let key = key(event, action, &attributes);
    let actor = Actor::new(ActorKind::Supervisor, DAEMON);
    Ok(Meaning::Observed(vec![Observation { key, at, actor, subject, step }]))
}

/// The action without what some append to it: `health_status: healthy`, `exec_start: sh -c true`.
fn base(action: &str) -> &str {
    action.split_once(':').map_or(action, |(base, _)| base)
}

fn time(event: &Map<String, Value>) -> Result<Timestamp, Unreadable> {
    if let Some(nanos) = number(event, "timeNano")?.filter(|nanos| *nanos != 0) {
        return since_epoch("timeNano", nanos, 1_000_000_000);
    }
    let seconds = number(event, "time")?.ok_or_else(|| wrong("timeNano", "is missing, and so is time"))?;
    since_epoch("time", seconds, 1)
}

fn attributes(event: &Map<String, Value>) -> Result<BTreeMap<String, String>, Unreadable> {
    let attributes = match at(event, "Actor.Attributes") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(attributes)) => attributes,
        Some(other) => {
            return Err(wrong("Actor.Attributes", format_args!("expected an object, found {}", kind(other))));
        }
    };
    let texts = attributes.iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), value)
    });
    Ok(texts.collect())
}

fn subject(id: &str, attributes: &BTreeMap<String, String>, from: Option<&str>) -> Subject {
    let image = attributes.get("image").map(String::as_str).or(from).filter(|image| !image.is_empty());
    let name = attributes.get("name").filter(|name| !name.is_empty());
    let own = attributes.iter().filter(|(key, _)| !OF_THE_EVENT.contains(&key.as_str()));
    let mut labels: BTreeMap<String, String> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.extend(name.map(|name| ("docker.name".to_owned(), name.clone())));
    Subject {
        key: id.to_owned(),
        name: name.cloned(),
        labels,
        workload: image.map(|image| Workload::Image { reference: image.to_owned(), argv: Vec::new() }),
        parent: None,
        runner: None,
        // It may have been renamed.
        is_only_of_its_name: false,
    }
}

fn step(action: &str, attributes: &BTreeMap<String, String>) -> Option<Step> {
    let attempt = None;
    Some(match action {
        "create" => Step::Created,
        // A container that runs cannot be started: whatever ran before has ended, as when the daemon or its host crashed.
        "start" => Step::Started { attempt, proves: Proof::EndedIfLater },
        "pause" => Step::Waiting { attempt, on: "unpause".to_owned(), deadline: None },
        "unpause" => Step::Resumed { attempt },
        "die" => Step::Exited { attempt, status: status(attributes.get("exitCode")) },
        // After the `die`, unless that was lost.
        "stop" => Step::Ended { cause: "docker stopped the container; no die event tells its exit code".to_owned() },
        "destroy" => Step::Destroyed { why: "docker destroyed the container".to_owned(), force: false },
        // Requests, facts about a container that go on in its die, and what happens within it.
        _ => return None,
    })
}

/// The exit code as it is told: 137 is not made a signal, since a process may return it as well.
fn status(code: Option<&String>) -> ExitStatus {
    let cause = match code {
        None => "the die event has no exitCode".to_owned(),
        Some(code) => match code.parse() {
            Ok(code) => return ExitStatus::Code(code),
            Err(_) => format!("the die event has the exitCode {:?}", bounded(code, 64)),
        },
    };
    ExitStatus::Unknown { cause }
}

/// The same event printed by two versions has the same key.
fn key(event: &Map<String, Value>, action: &str, attributes: &BTreeMap<String, String>) -> String {
    let time = at(event, "timeNano").or_else(|| at(event, "time"));
    serde_json::json!([action, time, attributes]).to_string()
}
