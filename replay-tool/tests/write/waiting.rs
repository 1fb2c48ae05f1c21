use std::process::Child;

use rustix::process::Signal;
use serde_json::Value;
use tachograph_engine::domain::{Event, FailureKind, SnapshotId, Status};

use super::snapshots::{Staged, job_of, until};
use super::support::{Finished, end_of, failure, send};

/// A job that says that it waits, then waits, and says how its next report went.
const WAITS: &str = r#"
echo state > "$TACHO_RUN_DIR/state"
"$TACHO_EXE" report waiting --on 'a review'
echo waits > "$READY"
read go < "$GATE"
"$TACHO_EXE" report resume
echo "$?" > "$READY"
"$TACHO_EXE" report waiting --on 'another one'
echo waits > "$READY"
read go < "$END"
exit 3
"#;

/// Ends a supervisor as a crash does.
fn crash(mut child: Child) {
    send(child.id(), Signal::KILL);
    end_of(&mut child, String::new);
}

fn armed(staged: &Staged) -> Option<SnapshotId> {
    staged.place.record().run.armed.map(|armed| armed.id)
}

/// A job whose supervisor was killed while something of it was armed that is due by now. If the supervisor was faster, the
/// same with a longer time.
fn overdue(job: impl Fn(&str) -> Staged) -> Staged {
    for milliseconds in [400, 1_600, 6_400, 25_600] {
        let staged = job(&format!("{milliseconds}ms"));
        let child = staged.supervise();
        assert_eq!(staged.ready.next(), "waits");
        crash(child);
        if staged.place.finish(["timers"]).stdout.starts_with("no timers") {
            go_to_the_end(staged);
            continue;
        }
        until("it is overdue enough to be told about", || due_in_us(&staged) < -1_000_000);
        return staged;
    }
    panic!("the supervisor was always faster");
}

/// How long it is until the only timer is due.
fn due_in_us(staged: &Staged) -> i64 {
    let timers = staged.place.finish(["timers", "--format", "json"]).stdout;
    let timers: Value = serde_json::from_str(&timers).unwrap();
    timers[0]["due_in_us"].as_i64().unwrap()
}

fn with_overdue_snapshot() -> Staged {
    overdue(|delay| Staged::job(WAITS, &format!("snapshot_delay = \"{delay}\"\nexpect = {{ code = 3 }}")))
}

/// The image of the wait at which the supervisor was killed, and what is told about when and why.
#[track_caller]
fn assert_taken_late(staged: &Staged, snapshot: SnapshotId) {
    let story = staged.place.finish(["why-timer", &snapshot.to_string()]).stdout;
    assert!(story.contains("dispatched LATE, ") && story.contains(" after it was due"), "{story}");
    assert!(story.contains("late because the supervisor went away after "), "{story}");
    assert!(story.contains("taken: "), "{story}");
    let restored = staged.place.path("restored");
    let unpacked = staged.place.finish(["restore", &snapshot.to_string(), restored.to_str().unwrap()]);
    assert_eq!(unpacked.code, Some(0), "{}", unpacked.stderr);
    assert_eq!(std::fs::read_to_string(restored.join("state")).unwrap(), "state\n");
}

#[test]
fn a_snapshot_that_became_due_while_nobody_was_there_is_taken_at_once_by_the_next_supervise() {
    let mut staged = with_overdue_snapshot();
    let snapshot = armed(&staged).unwrap();
    let told = staged.place.finish(["timers"]).stdout;
    assert!(told.contains("; when the journal is opened next, what is due by then fires if its run goes on"), "{told}");
    let next = staged.supervise();
    let taken = |event: &Event| matches!(event, Event::SnapshotTaken { snapshot: of, .. } if *of == snapshot);
    until("it is taken", || staged.events().iter().any(taken));
    assert!(matches!(staged.place.record().run.status, Status::Waiting { .. }), "the job waits as before");
    assert_taken_late(&staged, snapshot);
    staged.gate.open();
    assert_eq!(staged.ready.next(), "0", "its report of the end of the wait is answered");
    assert_eq!(staged.ready.next(), "waits");
    until("the next wait is armed as the first one was", || images(&staged) == 2);
    staged.end.open();
    let finished = Finished::of(next);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let job = job_of(&finished);
    assert_eq!(job["snapshots"].as_array().map(Vec::len), Some(2), "{job}");
    assert_eq!(job["snapshots"][0]["snapshot"], Value::String(snapshot.to_string()));
    assert!(finished.stderr.contains("job: goes on\n"), "{}", finished.stderr);
    assert_eq!(staged.place.records().len(), 1);
}

fn images(staged: &Staged) -> usize {
    staged.events().iter().filter(|event| matches!(event, Event::SnapshotTaken { .. })).count()
}

#[test]
fn whoever_opens_takes_what_is_overdue_before_it_closes_again() {
    let staged = with_overdue_snapshot();
    let snapshot = armed(&staged).unwrap();
    let visitor = staged.place.run("exit 0");
    assert_eq!(visitor.code, Some(0), "{}", visitor.stderr);
    let events = staged.events();
    let dispatched = events.iter().filter(|event| matches!(event, Event::SnapshotDispatched { .. })).count();
    assert_eq!((dispatched, images(&staged)), (1, 1));
    assert_taken_late(&staged, snapshot);
    go_to_the_end(staged);
}

#[test]
fn a_wait_whose_deadline_passed_while_nobody_was_there_is_ended_by_the_next_supervise() {
    let script = |deadline: &str| {
        let wait = format!("\"$TACHO_EXE\" report waiting --on 'a review' --deadline {deadline}");
        format!("{wait}\necho waits > \"$READY\"\nread go < \"$GATE\"\n")
    };
    let staged = overdue(|deadline| Staged::job(&script(deadline), "expect = { failure = \"timed_out\" }"));
    assert!(matches!(staged.place.record().run.status, Status::Waiting { deadline: Some(_), .. }));
    let finished = Finished::of(staged.supervise());
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let record = staged.place.record();
    assert_eq!(failure(&record), Some(FailureKind::TimedOut));
    let message = record.run.attempt.unwrap().outcome.unwrap().failure().unwrap().message.clone();
    assert!(message.contains("a review"), "{message}");
}

#[test]
fn a_report_after_an_adoption_cancels_what_was_armed_before() {
    let mut staged = Staged::job(WAITS, "snapshot_delay = \"1h\"\nexpect = { code = 3 }");
    let first = staged.supervise();
    assert_eq!(staged.ready.next(), "waits");
    let snapshot = armed(&staged).unwrap();
    crash(first);
    let next = staged.supervise();
    until("it is adopted", || staged.events().iter().any(|event| matches!(event, Event::Reconciled { .. })));
    staged.gate.open();
    assert_eq!((staged.ready.next(), staged.ready.next()), ("0".to_owned(), "waits".to_owned()));
    let canceled = |event: &Event| matches!(event, Event::SnapshotCanceled { snapshot: of, .. } if *of == snapshot);
    assert!(staged.events().iter().any(canceled));
    assert!(armed(&staged).is_some_and(|again| again != snapshot), "the next wait is armed anew");
    staged.end.open();
    let finished = Finished::of(next);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// Lets a job that nobody supervises end by itself.
fn go_to_the_end(mut staged: Staged) {
    staged.gate.open();
    assert_ne!(staged.ready.next(), "0", "nobody takes its report");
    staged.ready.next();
    staged.end.open();
}
