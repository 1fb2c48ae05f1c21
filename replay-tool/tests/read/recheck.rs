//! Recorded commands, decided again.

use std::path::Path;
use std::sync::Arc;

use tachograph_engine::domain::{Command, Decision, EntryBody, Refusal, RunState, decide};
use tachograph_replay::cli::RecheckArgs;
use tachograph_replay::dataset::Dataset;
use tachograph_replay::error::{Error, exit};
use tachograph_replay::machine::Machine;
use tachograph_replay::output::Format;
use tachograph_replay::recheck;
use tachograph_replay::rule::recheck::recheck_by;

use crate::binary::{made as made_on_disk, ran, stderr, stdout};
use crate::golden::check;
use crate::kept::{Entries, dataset, printed, printed_of, run};
use crate::made::Made;

const ARGS: RecheckArgs = RecheckArgs { limit: 1_000 };

/// A build in which the last report about an end wins.
fn last_end_wins(state: &RunState, command: &Command) -> Result<Decision, Refusal> {
    match decide(state, command) {
        Err(Refusal::ConflictingTerminal { .. }) => Ok(Decision::AlreadyRecorded),
        other => other,
    }
}

#[test]
fn the_present_engine_decides_as_was_recorded() {
    for (format, file) in [(Format::Json, "recheck.json"), (Format::Text, "recheck.txt")] {
        check(file, &printed(format, async |reading| recheck::report(reading, &ARGS).await).unwrap());
    }
}

#[test]
fn a_changed_rule_is_found_where_it_was_applied() {
    for (format, file) in [(Format::Json, "recheck-differs.json"), (Format::Text, "recheck-differs.txt")] {
        let text = printed(format, async |reading| {
            let rechecked = recheck_by(&reading.dataset, last_end_wins, 1_000).await?;
            assert_eq!(rechecked.differences.len(), 1);
            recheck::print(reading, &rechecked)
        });
        check(file, &text.unwrap());
    }
    let rechecked = run(recheck_by(&dataset(), |_, _| Err(Refusal::NothingPending), 2)).unwrap();
    assert_eq!((rechecked.differences.len() as u64 + rechecked.more(), rechecked.tally.decided), (29, 29));
}

/// The made journal with a recorded refusal that no engine gives.
fn altered() -> Dataset {
    let mut entries = Made::journal().entries;
    let refused = entries.iter_mut().find_map(|entry| match &mut entry.body {
        EntryBody::Refused(refused) => Some(refused),
        EntryBody::Committed(_) | EntryBody::System(_) => None,
    });
    refused.unwrap().refusal = Refusal::RunDestroyed;
    Dataset::over(Arc::new(Entries { entries, damaged: None }), Path::new("made"))
}

#[test]
fn a_difference_has_an_exit_code_of_its_own() {
    let machine = Machine::of("elsewhere", "another-boot", "made");
    let report = printed_of(altered(), machine, Format::Text, async |reading| recheck::report(reading, &ARGS).await);
    let error = report.unwrap_err();
    assert!(matches!(error, Error::Differs { differing: 1, .. }), "{error}");
    assert_eq!((error.code(), error.exit_code()), ("outcome_differs", exit::DIFFERS));
}

#[test]
fn the_binary_decides_a_journal_on_disk_again() {
    let (_dir, data) = made_on_disk();
    let output = ran(&data, &["recheck"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(stdout(&output).starts_with("as recorded: decided again: 29 "), "{}", stdout(&output));
}
