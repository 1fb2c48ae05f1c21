//! All about a run as named values, and what an entry changed of them.

use std::collections::BTreeMap;

use tachograph_engine::domain::{Attempt, Outcome, ResourceLimits, RunRecord, Status, Timestamp};

use crate::duration;
use crate::show::diagnostics;
use crate::words;

/// One thing that is known of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    /// What follows from the time at which it is looked at: no change if it changes.
    pub(crate) aside: String,
}

/// What became of a fact by an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is as it was.
    None,
    /// It was not there before.
    Added,
    /// It was another.
    From(String),
    /// It is not there any more.
    Removed,
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push(Fact { name, value: value.into(), aside: String::new() });
    }

    fn all(&mut self, name: &'static str, values: impl IntoIterator<Item = String>) {
        values.into_iter().for_each(|value| self.add(name, value));
    }

    fn due(&mut self, name: &'static str, value: String, due: Timestamp, now: Timestamp) {
        let aside = match duration::between(due, now) {
            0 if due == now => ", now".to_owned(),
            0 => format!(", in {}", duration::human(duration::between(now, due))),
            micros => format!(", OVERDUE BY {}", duration::human(micros)),
        };
        self.0.push(Fact { name, value, aside });
    }
}

/// All about a run, seen at a time.
pub(crate) fn facts(record: &RunRecord, now: Timestamp) -> Vec<Fact> {
    let (run, mut facts) = (&record.run, Facts::default());
    facts.add("run", run.id.to_string());
    facts.all("name", run.spec.name.clone());
    match &run.status {
        Status::Waiting { on, deadline } => {
            facts.add("status", format!("Waiting on {on}"));
            if let Some(deadline) = deadline {
                facts.due("deadline", deadline.to_string(), *deadline, now);
            }
        }
        Status::Destroyed { why } => facts.add("status", format!("Destroyed: {why}")),
        Status::Created | Status::Started | Status::Exited | Status::Failed => {
            facts.add("status", run.status.name().name());
        }
    }
    if let Some(attempt) = &run.attempt {
        of_attempt(&mut facts, attempt, &run.spec.limits);
    }
    if let Some(armed) = &run.armed {
        let text = format!("{} armed by runner {}, due {}", armed.id, armed.runner, armed.due);
        facts.due("snapshot", text, armed.due, now);
    }
    facts.all("snapshot", run.in_flight.iter().map(|in_flight| format!("{} is being taken", in_flight.id)));
    facts.add("refusals", record.refusals.to_string());
    facts.add("version", run.version.to_string());
    facts.add("command", words::workload(&run.spec.workload));
    facts.all("label", run.spec.labels.iter().map(|(key, value)| format!("{key}={value}")));
    facts.all("limit", limits(&run.spec.limits));
    facts.all("parent", run.spec.parent.map(|parent| parent.to_string()));
    facts.add("created", format!("{} (position {})", record.created_at, record.created));
    // Every entry changes it, so that a change of it says nothing.
    let updated = format!("{} (position {})", record.updated_at, record.updated);
    facts.0.push(Fact { name: "updated", value: String::new(), aside: updated });
    facts.all("earlier", run.spent.iter().map(|attempt| format!("attempt {attempt}")));
    facts.0
}

fn of_attempt(facts: &mut Facts, attempt: &Attempt, limits: &ResourceLimits) {
    let cause = if attempt.started { attempt.cause.name() } else { "never started" };
    facts.add("attempt", format!("{} ({cause}) {}", attempt.ordinal, attempt.id));
    facts.add("runner", format!("{}{}", attempt.runner, if attempt.connected { "" } else { " (not connected)" }));
    match &attempt.outcome {
        None => {}
        Some(Outcome::Exited { exit, amended }) => {
            facts.add("exit", words::exit_status(&exit.status));
            facts.all("amended to", amended.iter().map(words::exit_status));
            facts.add("witness", exit.witness.name().replace('_', " "));
            facts.all("output", exit.output.iter().map(|receipt| words::output(receipt, Some(limits))));
        }
        Some(Outcome::Failed(failure)) => {
            facts.add("failure", words::failed(failure));
            diagnostics(&failure.diagnostics).into_iter().for_each(|(name, value)| facts.add(name, value));
        }
    }
}

fn limits(limits: &ResourceLimits) -> Vec<String> {
    let ResourceLimits { wall_ms, memory_bytes, output_bytes } = limits;
    let parts = [
        wall_ms.map(|millis| format!("{} per attempt", duration::human(millis.saturating_mul(1_000)))),
        memory_bytes.map(|bytes| format!("{bytes} bytes of memory")),
        output_bytes.map(|bytes| format!("{bytes} bytes of output")),
    ];
    parts.into_iter().flatten().collect()
}

/// The facts, each with what became of it since before, and what is gone of them at the end.
pub(crate) fn changes(before: &[Fact], after: Vec<Fact>) -> Vec<(Fact, Change)> {
    let mut left = numbered(before);
    let mut counts = BTreeMap::new();
    let mut changed: Vec<(Fact, Change)> = Vec::new();
    for fact in after {
        let change = match left.remove(&key(&fact, &mut counts)) {
            None => Change::Added,
            Some(was) if was.value == fact.value => Change::None,
            Some(was) => Change::From(was.value.clone()),
        };
        changed.push((fact, change));
    }
    // In their order, not in that of their names.
    let gone: Vec<&Fact> = left.into_values().collect();
    let removed = before.iter().filter(|fact| gone.iter().any(|gone| std::ptr::eq(*gone, *fact)));
    changed.extend(removed.map(|fact| (fact.clone(), Change::Removed)));
    changed
}

/// The name of a fact, and which of that name it is.
fn key(fact: &Fact, counts: &mut BTreeMap<&'static str, usize>) -> (&'static str, usize) {
    let count = counts.entry(fact.name).or_default();
    *count += 1;
    (fact.name, *count)
}

fn numbered(facts: &[Fact]) -> BTreeMap<(&'static str, usize), &Fact> {
    let mut counts = BTreeMap::new();
    facts.iter().map(|fact| (key(fact, &mut counts), fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(name: &'static str, value: &str, aside: &str) -> Fact {
        Fact { name, value: value.to_owned(), aside: aside.to_owned() }
    }

    #[test]
    fn changes_are_told_by_name_and_number_and_not_by_what_time_it_is() {
        let before = [
            fact("status", "Waiting", ""),
            fact("due", "x", "in 1s"),
            fact("label", "a", ""),
            fact("snapshot", "s", ""),
        ];
        let after = vec![
            fact("status", "Exited", ""),
            fact("due", "x", "in 2s"),
            fact("label", "a", ""),
            fact("label", "b", ""),
        ];
        let changes: Vec<Change> = changes(&before, after).into_iter().map(|(_, change)| change).collect();
        let expected = [Change::From("Waiting".to_owned()), Change::None, Change::None, Change::Added, Change::Removed];
        assert_eq!(changes, expected);
    }
}
