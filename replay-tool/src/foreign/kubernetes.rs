//! Events of a Kubernetes cluster, as `kubectl get events -o json` prints them, with `--watch` or without.
//!
//! A run is a container of a pod, known by the pod's uid and the container's name, and the pod itself, which is the parent of
//! its containers. These events are told as a courtesy: they may be missing, they are folded (`count`), and none tells how
//! a container ended. So every end is unknown, with what it was concluded from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tachograph_engine::domain::{Actor, ActorKind, FailureKind, RunnerId, Timestamp};

use super::field::{at, bounded, first_text, number, object, shown, text, time, wrong};
use super::observation::{Meaning, Observation, Proof, Step, Subject, Unreadable};

const CLUSTER: &str = "kubernetes";
/// What of a message goes into a cause.
const MESSAGE_BYTES: usize = 2_048;
/// How the message begins with which a tainted node's pod is deleted; the other one is that this is canceled.
const MARKED: &str = "Marking for deletion";
/// How the message begins that a container has ended and is to be started again; the other one is about its image.
const RESTARTING: &str = "Back-off restarting failed";

/// What one event means.
pub(super) fn read(value: &Value) -> Result<Meaning, Unreadable> {
    let mut event = object(value)?;
    if let (Some(change), Some(changed)) = (text(event, "type")?, at(event, "object").and_then(Value::as_object)) {
        match change {
            "ADDED" | "MODIFIED" => event = changed,
            // That a record expired, or that the watch goes on, is no event of a pod.
            other => return Ok(Meaning::Kept { what: format!("watch {}", shown(other)) }),
        }
    }
    match text(event, "kind")? {
        Some("Event") | None => {}
        Some(other) => return Ok(Meaning::Kept { what: format!("kind {}", shown(other)) }),
    }
    let reason = text(event, "reason")?.ok_or_else(|| wrong("reason", "is missing"))?;
    let about = ["involvedObject", "regarding"].iter().find_map(|path| at(event, path)).and_then(Value::as_object);
    let about = about.ok_or_else(|| wrong("involvedObject", "is missing"))?;
    match text(about, "kind")? {
        Some("Pod") => {}
        other => return Ok(Meaning::Kept { what: format!("{} {}", shown(other.unwrap_or("?")), shown(reason)) }),
    }
    let told = Told::of(event, reason, about)?;
    match told.step() {
        Some(step) => Ok(Meaning::Observed(told.observations(&step))),
        None => Ok(Meaning::Kept { what: shown(reason) }),
    }
}

/// What an event about a pod tells.
struct Told<'a> {
    reason: &'a str,
    message: String,
    container: Option<&'a str>,
    first: Timestamp,
    last: Timestamp,
    count: i64,
    key: String,
    actor: Actor,
    subject: Subject,
    /// Where it was seen.
    host: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(event: &'a Map<String, Value>, reason: &'a str, about: &'a Map<String, Value>) -> Result<Self, Unreadable> {
        let message = bounded(first_text(event, &["message", "note"])?.unwrap_or(""), MESSAGE_BYTES);
        let container = text(about, "fieldPath")?.and_then(container);
        let reporter = first_text(event, &["source.component", "reportingComponent", "reportingController"])?;
        let actor = Actor::new(ActorKind::Supervisor, reporter.unwrap_or(CLUSTER));
        let host = first_text(event, &["source.host", "deprecatedSource.host", "reportingInstance"])?;
        let (first, last, count) = times(event)?;
        let pod = pod(about)?;
        let subject = match container {
            None => pod,
            Some(name) => container_of(pod, name),
        };
        let key = match text(event, "metadata.uid")? {
            Some(uid) => uid.to_owned(),
            None => serde_json::json!([subject.key, reason, message, first.as_micros()]).to_string(),
        };
        Ok(Self { reason, message, container, first, last, count, key, actor, subject, host })
    }

    fn step(&self) -> Option<Step> {
        let attempt = None;
        let cause = || format!("{}: {}; these events carry no exit code", self.reason, self.message);
        let stopping = || {
            format!(
                "{}: {}; only the beginning of its stopping is told, not its end, which comes within its grace period, \
                 nor an exit code",
                self.reason, self.message
            )
        };
        let failed = |kind: &str, if_open| Step::Failed {
            attempt: None,
            kind: FailureKind::Other(kind.to_owned()),
            message: self.message.clone(),
            if_open,
        };
        Some(match (self.reason, self.container) {
            ("Scheduled", None) => Step::Started { attempt, proves: Proof::Nothing },
            ("Evicted" | "Preempted" | "Preempting" | "DeadlineExceeded", None) => failed(self.reason, true),
            // The same reason tells of a deletion that is canceled.
            ("TaintManagerEviction", None) if self.message.starts_with(MARKED) => failed(self.reason, true),
            ("Started", Some(_)) => Step::Started { attempt, proves: Proof::Ended },
            ("Killing", Some(_)) => Step::Ended { cause: stopping() },
            // The same reason tells of an image that cannot be had, which says nothing about an attempt.
            ("BackOff", Some(_)) if self.message.starts_with(RESTARTING) => Step::Ended { cause: cause() },
            ("Failed" | "FailedPostStartHook", Some(_)) => failed(self.reason, true),
            ("Pulling" | "Pulled" | "Created", Some(_)) | ("FailedScheduling", None) => Step::Seen,
            _ => return None,
        })
    }

    /// The first and the last time that it happened; of what lay between only the number is told.
    fn observations(self, step: &Step) -> Vec<Observation> {
        let observation = |number: i64, at: Timestamp| {
            let key = format!("{} {} {number}", self.key, self.reason);
            let mut subject = self.subject.clone();
            if let Step::Started { .. } = step {
                let node = node(&self.message).filter(|_| self.container.is_none());
                subject.runner = node.or(self.host).map(RunnerId::new);
            }
            Observation { key, at, actor: self.actor.clone(), subject, step: step.clone() }
        };
        let mut observations = vec![observation(1, self.first)];
        if self.count > 1 {
            observations.push(observation(self.count, self.last));
        }
        observations
    }
}

/// First time, last time, and how often.
fn times(event: &Map<String, Value>) -> Result<(Timestamp, Timestamp, i64), Unreadable> {
    let first_of = |paths: &[&str]| -> Result<Option<Timestamp>, Unreadable> {
        for path in paths {
            if let Some(found) = time(event, path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    let last = first_of(&["lastTimestamp", "deprecatedLastTimestamp", "series.lastObservedTime"])?;
    let first = first_of(&["firstTimestamp", "deprecatedFirstTimestamp", "eventTime", "metadata.creationTimestamp"])?;
    let Some(first) = first.or(last) else { return Err(wrong("firstTimestamp", "is missing, and so is eventTime")) };
    let mut count = 1;
    for path in ["count", "deprecatedCount", "series.count"] {
        count = count.max(number(event, path)?.unwrap_or(1));
    }
    Ok((first, last.unwrap_or(first), count))
}

fn pod(about: &Map<String, Value>) -> Result<Subject, Unreadable> {
    let name = text(about, "name")?.unwrap_or("");
    let namespace = text(about, "namespace")?.unwrap_or("default");
    let uid = text(about, "uid")?;
    let key = match uid {
        Some(uid) => uid.to_owned(),
        None if name.is_empty() => return Err(wrong("involvedObject.uid", "is missing, and so is its name")),
        None => format!("{namespace}/{name}"),
    };
    let mut labels = BTreeMap::from([("k8s.namespace".to_owned(), namespace.to_owned())]);
    labels.insert("k8s.pod".to_owned(), name.to_owned());
    let shown_name = (!name.is_empty()).then(|| format!("{namespace}/{name}"));
    let is_only_of_its_name = uid.is_some() && shown_name.is_some();
    Ok(Subject { key, name: shown_name, labels, workload: None, parent: None, runner: None, is_only_of_its_name })
}

fn container_of(pod: Subject, name: &str) -> Subject {
    let mut labels = pod.labels.clone();
    labels.insert("k8s.container".to_owned(), name.to_owned());
    Subject {
        key: format!("{}/{name}", pod.key),
        name: pod.name.as_ref().map(|pod| format!("{pod}/{name}")),
        labels,
        workload: None,
        runner: None,
        parent: Some(Box::new(pod)),
        // It is gone if its pod is.
        is_only_of_its_name: false,
    }
}

/// The name in `spec.containers{app}`.
fn container(path: &str) -> Option<&str> {
    let (list, rest) = path.split_once('{')?;
    let is_list = matches!(list, "spec.containers" | "spec.initContainers" | "spec.ephemeralContainers");
    rest.strip_suffix('}').filter(|name| is_list && !name.is_empty())
}

/// The node in `Successfully assigned NAMESPACE/POD to NODE`.
fn node(message: &str) -> Option<&str> {
    message.rsplit_once(" to ").map(|(_, node)| node).filter(|node| !node.is_empty() && !node.contains(' '))
}
