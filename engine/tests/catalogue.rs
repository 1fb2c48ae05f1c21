//! `docs/events.md` says what the domain does: every command, event and refusal, with what can be compared.

#![allow(clippy::panic, reason = "test code outside of test functions")]

use std::collections::BTreeMap;

use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{
    ActionName, CancelCause, EventName, Failure, FailureKind, Finding, Guard, Ordinal, Outcome, Refusal, RunnerId,
    StartCause, StatusName, Timestamp, Version, Witness, limits,
};

const CATALOGUE: &str = include_str!("../../docs/events.md");

/// The cells of every table row of a section, by its first cell, without backticks.
fn table(section: &str) -> BTreeMap<String, Vec<String>> {
    let heading = format!("\n{section}\n");
    let start = CATALOGUE.find(&heading).unwrap_or_else(|| panic!("no section {section}")) + heading.len();
    let text = &CATALOGUE[start..];
    let end = text.find("\n#").unwrap_or(text.len());
    let rows = text[..end].lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.skip(2).map(|cells| (cells[0].replace('`', ""), cells)).collect()
}

fn keys(table: &BTreeMap<String, Vec<String>>) -> Vec<&str> {
    table.keys().map(String::as_str).collect()
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

/// Lists the variants of an enum; a variant that is missing from the list does not compile.
macro_rules! all {
    ($name:ident: $($variant:ident),+ $(,)?) => {{
        #[allow(dead_code)]
        fn none_is_missing(name: $name) {
            match name { $($name::$variant => {})+ }
        }
        [$($name::$variant),+]
    }};
}

fn events() -> Vec<EventName> {
    all!(EventName: Created, Started, Waiting, Exited, Failed, Destroyed, SnapshotScheduled, SnapshotCanceled,
        SnapshotDispatched, SnapshotTaken, SnapshotFailed, RunnerDisconnected, ExitAmended, Reconciled)
    .to_vec()
}

fn actions() -> Vec<ActionName> {
    all!(ActionName: Create, Start, Wait, Exit, Fail, Destroy, ScheduleSnapshot, CancelSnapshot, DispatchSnapshot,
        CompleteSnapshot, FailSnapshot, DisconnectRunner, AmendExit, Reconcile)
    .to_vec()
}

/// One of each; `none_is_missing` does not compile if a variant is not listed there.
fn refusals() -> Vec<Refusal> {
    let runner = RunnerId::from("r");
    let recorded = || {
        let failure = Failure { kind: FailureKind::NotFound, message: String::new(), diagnostics: Default::default() };
        Box::new(Outcome::Failed(failure))
    };
    let all = vec![
        Refusal::UnknownRun,
        Refusal::RunExists,
        Refusal::RunDestroyed,
        Refusal::StaleAttempt { current: None },
        Refusal::WrongRunner { holder: runner.clone() },
        Refusal::IllegalTransition { from: StatusName::Created, action: ActionName::Exit },
        Refusal::ConflictingTerminal { recorded: recorded() },
        Refusal::VersionConflict { actual: Version(1) },
        Refusal::InvalidInput { field: String::new(), why: String::new() },
        Refusal::NameHeld { name: String::new(), holder: ids::run(1) },
        Refusal::ForceRequired { from: StatusName::Started },
        Refusal::NothingPending,
        Refusal::NotOwner { armed_by: runner },
        Refusal::AlreadyDispatched { snapshot: ids::snapshot(1) },
        Refusal::SnapshotGone { armed: None },
        Refusal::NotDue { due: Timestamp::from_micros(0) },
        Refusal::AlreadyDisconnected,
        Refusal::NotAmendable { recorded: recorded() },
        Refusal::AttemptsExhausted { limit: limits::ATTEMPTS_MAX },
    ];
    let number = |refusal: &Refusal| match refusal {
        Refusal::UnknownRun => 0,
        Refusal::RunExists => 1,
        Refusal::RunDestroyed => 2,
        Refusal::StaleAttempt { .. } => 3,
        Refusal::WrongRunner { .. } => 4,
        Refusal::IllegalTransition { .. } => 5,
        Refusal::ConflictingTerminal { .. } => 6,
        Refusal::VersionConflict { .. } => 7,
        Refusal::InvalidInput { .. } => 8,
        Refusal::NameHeld { .. } => 9,
        Refusal::ForceRequired { .. } => 10,
        Refusal::NothingPending => 11,
        Refusal::NotOwner { .. } => 12,
        Refusal::AlreadyDispatched { .. } => 13,
        Refusal::SnapshotGone { .. } => 14,
        Refusal::NotDue { .. } => 15,
        Refusal::AlreadyDisconnected => 16,
        Refusal::NotAmendable { .. } => 17,
        Refusal::AttemptsExhausted { .. } => 18,
    };
    assert!(all.iter().map(number).eq(0..all.len()), "one of each, in the order of the match");
    all
}

#[test]
fn every_command_is_listed_and_leads_to_events_that_exist() {
    let table = table("## Commands");
    assert_eq!(keys(&table), sorted(actions().into_iter().map(ActionName::name)));
    let events: Vec<_> = events().into_iter().map(EventName::name).collect();
    for (command, cells) in &table {
        let named: Vec<_> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() && named.iter().all(|name| events.contains(name)), "{command}: {named:?}");
        let refused: Vec<_> = cells[4].split('`').skip(1).step_by(2).collect();
        let codes: Vec<_> = refusals().iter().map(Refusal::code).collect();
        assert!(!refused.is_empty() && refused.iter().all(|code| codes.contains(code)), "{command}: {refused:?}");
    }
}

#[test]
fn every_event_is_listed_with_where_it_may_follow() {
    let table = table("## Events");
    assert_eq!(keys(&table), sorted(events().into_iter().map(EventName::name)));
    for event in events() {
        let cells = &table[event.name()];
        let follows: Vec<_> = event.follows().iter().map(|status| status.name()).collect();
        let expected = if follows.is_empty() { "an unknown run".to_owned() } else { follows.join(", ") };
        assert_eq!(cells[2], expected, "{}", event.name());
        let transition = StatusName::ALL.into_iter().find(|status| status.name() == event.name());
        assert_eq!(cells[3], transition.map_or("–".to_owned(), |status| format!("`{status}`")), "{}", event.name());
    }
}

#[test]
fn every_refusal_is_listed_with_its_http_status_and_remedy() {
    let table = table("## Refusals");
    assert_eq!(keys(&table), sorted(refusals().iter().map(Refusal::code)));
    for refusal in refusals() {
        let cells = &table[refusal.code()];
        assert_eq!(cells[1], refusal.http_status().to_string(), "{}", refusal.code());
        assert_eq!(cells[3], refusal.remedy(), "{}", refusal.code());
    }
}

#[test]
fn statuses_and_cancel_causes_are_listed() {
    let statuses = table("## Statuses");
    assert_eq!(keys(&statuses), sorted(StatusName::ALL.map(StatusName::name)));
    for status in StatusName::ALL {
        assert_eq!(statuses[status.name()][1], if status.is_ended() { "no" } else { "yes" }, "{status}");
    }
    let number = |cause: &CancelCause| match cause {
        CancelCause::Asked(Guard::Runner(_)) => 0,
        CancelCause::Asked(Guard::Unconditional) => 1,
        CancelCause::RunEnded => 2,
        CancelCause::RunnerDisconnected => 3,
        CancelCause::Superseded => 4,
        CancelCause::Resumed => 5,
        CancelCause::TakenOver => 6,
        CancelCause::Destroyed => 7,
    };
    let causes = [
        CancelCause::Asked(Guard::Runner(RunnerId::from("r"))),
        CancelCause::Asked(Guard::Unconditional),
        CancelCause::RunEnded,
        CancelCause::RunnerDisconnected,
        CancelCause::Superseded,
        CancelCause::Resumed,
        CancelCause::TakenOver,
        CancelCause::Destroyed,
    ];
    assert!(causes.iter().map(number).eq(0..causes.len()));
    assert_eq!(keys(&table("### Causes of a cancel")), sorted(causes.iter().map(CancelCause::name)));
}

#[test]
fn names_and_bounds_in_the_text_are_the_domains() {
    let kinds = [
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
    for kind in &kinds {
        assert!(CATALOGUE.contains(&format!("`{}`", kind.name())), "{}", kind.name());
    }
    for witness in all!(Witness: Waited, ExitFile, Synthesised) {
        assert!(CATALOGUE.contains(&format!("`{}`", witness.name())), "{}", witness.name());
    }
    let events = table("## Events");
    for cause in all!(StartCause: Fresh, Resume, Restart, Takeover) {
        assert!(events["Started"][1].contains(cause.name()), "{}", cause.name());
        assert!(table("### Start modes").contains_key(cause.name()), "{}", cause.name());
    }
    for finding in all!(Finding: Adopted, Lost, Orphan) {
        assert!(events["Reconciled"][1].contains(finding.name()), "{}", finding.name());
    }
    assert_eq!(Ordinal::ZERO.next(), Ordinal(1));
    let bounds = [
        ("name", format!("1 to {} bytes", limits::NAME_BYTES_MAX)),
        ("labels", format!("{}; keys 1 to {} bytes", limits::LABELS_MAX, limits::LABEL_KEY_BYTES_MAX)),
        ("labels", format!("values up to {} bytes", thousands(limits::LABEL_VALUE_BYTES_MAX))),
        ("workload", format!("{} arguments", thousands(limits::ARGV_MAX))),
        ("workload", format!("{} bytes together", thousands(limits::ARGV_BYTES_MAX))),
        ("workload", format!("1 to {} bytes", thousands(limits::PATH_BYTES_MAX))),
    ];
    let spec = table("### Spec");
    for (field, bound) in bounds {
        let row = spec.iter().find(|(name, _)| name.trim_end_matches('?') == field).unwrap().1;
        assert!(row[2].contains(&bound), "{field}: {bound}");
    }
    assert!(CATALOGUE.contains(&format!("up to {} bytes", thousands(limits::MESSAGE_BYTES_MAX))));
    assert!(CATALOGUE.contains(&format!("up to {} lines each", limits::DIAGNOSTICS_MAX)));
    assert!(CATALOGUE.contains(&format!("all of its {} attempts", thousands(limits::ATTEMPTS_MAX as usize))));
    let days = limits::SNAPSHOT_DELAY_MS_MAX / 86_400_000;
    assert!(CATALOGUE.contains(&format!("0 to {days} days after")));
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
