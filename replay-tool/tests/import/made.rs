//! Histories in the making.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tachograph_engine::domain::{Entry, EntryBody};

use crate::support::{Place, entries, stderr, stdout, tacho, tacho_with};

/// A second of the made histories, in nanoseconds since 1970: 2026-11-21T03:00:00Z is the first.
pub(crate) const fn second(number: i64) -> i64 {
    (1_795_230_000 + number) * 1_000_000_000
}

/// An event of a container, as `docker events --format '{{json .}}'` prints it.
pub(crate) fn docker(action: &str, id: &str, nanos: i64, attributes: &[(&str, &str)]) -> String {
    let mut all = json!({"image": "image:1", "name": format!("name-{id}")});
    for (key, value) in attributes {
        all[*key] = (*value).into();
    }
    let actor = json!({"ID": id, "Attributes": all});
    json!({
        "status": action, "id": id, "from": "image:1", "Type": "container", "Action": action, "Actor": actor,
        "scope": "local", "time": nanos / 1_000_000_000, "timeNano": nanos,
    })
    .to_string()
}

pub(crate) fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// An import, and what came of it.
pub(crate) struct Imported {
    place: Place,
    pub(crate) output: Output,
}

impl Imported {
    /// Imports a text through standard input.
    pub(crate) fn of(source: &str, text: impl AsRef<[u8]>) -> Self {
        let place = Place::new();
        let data = place.path("data");
        let output = tacho_with(&data, &["import", "--from", source, "-", "--format", "json"], text.as_ref());
        Self { place, output }
    }

    /// The same where every event can be read.
    pub(crate) fn sound(source: &str, text: impl AsRef<[u8]>) -> Self {
        let imported = Self::of(source, text);
        assert!(imported.output.status.success(), "{}", stderr(&imported.output));
        imported
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.place.path("data")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.place.names()
    }

    /// What it printed.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&stdout(&self.output)).unwrap()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        entries(&self.data())
    }

    /// The codes of the refusals in the journal, in order.
    pub(crate) fn refusals(&self) -> Vec<&'static str> {
        let entries = self.entries();
        let refusals = entries.iter().filter_map(|entry| match &entry.body {
            EntryBody::Refused(refused) => Some(refused.refusal.code()),
            EntryBody::Committed(_) | EntryBody::System(_) => None,
        });
        refusals.collect()
    }

    /// The names of the events in the journal, in order.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.entries().iter().flat_map(Entry::events).map(|event| event.name().name()).collect()
    }

    /// The file that tells what became of every event.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data().join("foreign/lines.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What became of every line, in the order in which they were recorded.
    pub(crate) fn outcomes(&self) -> Vec<(u64, String)> {
        let outcome = |row: &Value| (row["line"].as_u64().unwrap(), row["outcome"].as_str().unwrap().to_owned());
        self.rows().iter().map(outcome).collect()
    }

    /// The only run, as `tacho show` has it.
    pub(crate) fn run(&self) -> Value {
        let mut runs = runs(&self.data());
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }
}

pub(crate) fn runs(data: &Path) -> Vec<Value> {
    serde_json::from_str(&stdout(&tacho(data, &["runs", "--format", "json"]))).unwrap()
}
