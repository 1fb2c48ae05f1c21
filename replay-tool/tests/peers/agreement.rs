//! What other engines must agree on with `tacho sql`.

use serde_json::{Map, Value};
use tachograph_replay::audit::{NAMED, tables};

use crate::place::{Place, Row, rows};

/// Aggregates that mean the same in every SQL, by the names that `ask.py` knows them by.
pub(crate) const AGGREGATES: [(&str, &str); 3] = [
    ("events_by_name", "SELECT event, count(*) AS events FROM events GROUP BY event ORDER BY event"),
    (
        "entries_over_all",
        "SELECT min(recorded_at_us) AS first, max(recorded_at_us) AS last, sum(version) AS versions, \
         count(DISTINCT run) AS runs FROM entries",
    ),
    (
        "refusals_by_reason",
        "SELECT reason, count(*) AS refusals, max(count) AS greatest FROM refusals GROUP BY reason ORDER BY reason",
    ),
];

/// The present time of the named questions, in microseconds: an hour after the made journal.
const NOW_US: i64 = 1_795_240_800_000_000;

/// A question with a name, and what it is asked with.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) parameters: Vec<(String, String)>,
}

/// All questions with a name, with such parameters that something is late, stuck and labelled.
pub(crate) fn named() -> Vec<Named> {
    let known = [("now_us", NOW_US.to_string()), ("longer_than_ms", "1".into()), ("late_ms", "1".into())];
    let named = |query: &'static tachograph_replay::audit::NamedQuery| {
        let mut parameters: Vec<(String, String)> =
            known.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        parameters.push(("label".to_owned(), "team".to_owned()));
        parameters.retain(|(name, _)| query.sql.contains(&format!(":{name}")));
        Named { name: query.name, sql: query.sql, parameters }
    };
    NAMED.iter().map(named).collect()
}

impl Named {
    /// What `tacho audit` answers.
    pub(crate) fn asked(&self, place: &Place) -> Vec<Row> {
        let given: Vec<String> = self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec!["audit", self.name, "--output", "jsonl"];
        arguments.extend(given.iter().flat_map(|given| ["--param", given]));
        rows(&place.tacho(&arguments))
    }
}

/// Rows without the names of their columns.
pub(crate) fn values(rows: &[Row]) -> Value {
    rows.iter().map(|row| Value::Array(row.values().cloned().collect())).collect()
}

/// Every table holds the same rows, with the same columns, each value the same.
pub(crate) fn same_tables(place: &Place, who: &str, mut found: impl FnMut(&str) -> Vec<Row>) {
    for table in tables() {
        let expected = sorted(place.sql(&format!("SELECT * FROM {}", table.name)));
        let found = sorted(found(table.name));
        assert_eq!(found.len(), expected.len(), "{who} reads other {}", table.name);
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found == expected, "{who}, {}:\n{found:.3000}\n{expected:.3000}", table.name);
        }
    }
}

/// Rows as text, in an order that is no engine's.
fn sorted(rows: Vec<Map<String, Value>>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| Value::Object(row).to_string()).collect();
    rows.sort_unstable();
    rows
}
