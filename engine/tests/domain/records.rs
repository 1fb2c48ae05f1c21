//! A run's read model: its state, with the times and positions of its entries.

use tachograph_engine::domain::testing::{Given, claim, ids};
use tachograph_engine::domain::{
    Command, Committed, Decision, Entry, EntryBody, ExitStatus, Fleet, Position, Refused, RefusedCommand, RunRecord,
    StartMode, Version,
};

use super::stories::{RUN, create, destroy, exit, mine, second, start, wait};

/// Decides the commands one after the other, each recorded at the next position and second, and folds the entries.
fn folded(commands: &[Command]) -> Option<RunRecord> {
    let mut fleet = Fleet::default();
    let mut record = None;
    for (position, command) in (1..).zip(commands) {
        let body = match fleet.decide(command) {
            Ok(Decision::Append(events)) => {
                fleet.apply(command.run, &events);
                let version = fleet.state(command.run).version();
                EntryBody::Committed(Committed { command: command.clone(), version, events })
            }
            Ok(Decision::AlreadyRecorded) => continue,
            Err(refusal) => EntryBody::Refused(Refused {
                command: RefusedCommand::keep(command.clone(), &refusal),
                refusal,
                count: 1,
            }),
        };
        let (id, previous) = (ids::entry(position), None);
        let recorded_at = second(i64::try_from(position).unwrap());
        record = RunRecord::fold(record, &Entry { id, position: Position(position), recorded_at, previous, body });
        assert_eq!(record.as_ref().map(|record| &record.run), fleet.state(RUN).run());
    }
    record
}

fn exited() -> Command {
    exit(mine(), ExitStatus::Code(0))
}

fn fresh() -> Command {
    start(1, "r1", StartMode::Fresh)
}

#[test]
fn it_says_where_and_when_the_run_was_created_and_last_changed() {
    let record = folded(&[create(), fresh(), wait(mine())]).unwrap();
    assert_eq!((record.created, record.updated, record.last), (Position(1), Position(3), Position(3)));
    assert_eq!((record.created_at, record.updated_at), (second(1), second(3)));
    assert_eq!((record.ended, record.refusals), (None, 0));
}

#[test]
fn a_refusal_is_counted_and_is_the_last_entry_but_no_update() {
    let record = folded(&[create(), fresh(), wait(claim(RUN, 1, "r2"))]).unwrap();
    assert_eq!((record.updated, record.last, record.refusals), (Position(2), Position(3), 1));
    assert_eq!(record.updated_at, second(2));
}

#[test]
fn it_says_where_the_present_attempt_ended() {
    let ended = folded(&[create(), fresh(), exited()]).unwrap().ended;
    assert_eq!(ended, Some((Position(3), Version(3))));
    // A tombstone keeps it, a new attempt has none yet.
    let ended = folded(&[create(), fresh(), exited(), destroy(false)]).unwrap().ended;
    assert_eq!(ended, Some((Position(3), Version(3))));
    let restart = start(2, "r1", StartMode::Restart { previous: ids::attempt(1) });
    assert_eq!(folded(&[create(), fresh(), exited(), restart]).unwrap().ended, None);
}

#[test]
fn a_run_that_was_destroyed_while_open_ended_there() {
    let ended = folded(&[create(), fresh(), destroy(true)]).unwrap().ended;
    assert_eq!(ended, Some((Position(3), Version(3))));
}

#[test]
fn a_run_that_was_never_created_has_none() {
    assert_eq!(folded(&[exited()]), None);
    assert_eq!(Given::nothing().fleet().runs().count(), 0);
}
