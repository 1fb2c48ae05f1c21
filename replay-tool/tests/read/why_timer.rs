//! What became of one snapshot.

use serde_json::{Value, json};
use tachograph_engine::domain::{Action, Digest, Exit, ExitStatus, SnapshotId, StartMode, Witness};
use tachograph_replay::cli::{ShowArgs, TimelineArgs, WhyTimerArgs};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;
use tachograph_replay::{show, timeline, why_timer};

use crate::kept::run;
use crate::recorded::{Recorded, Waiting, cancel_by};

fn told_as(recorded: &Recorded, format: Format, id: &str) -> Result<String, Error> {
    let args = WhyTimerArgs { id: id.to_owned() };
    recorded.printed(format, async |reading| why_timer::tell(reading, &args).await)
}

fn told(recorded: &Recorded, id: SnapshotId) -> Value {
    serde_json::from_str(&told_as(recorded, Format::Json, &id.to_string()).unwrap()).unwrap()
}

fn text(recorded: &Recorded, id: SnapshotId) -> String {
    told_as(recorded, Format::Text, &id.to_string()).unwrap()
}

fn kinds(story: &Value) -> Vec<&str> {
    story["steps"].as_array().unwrap().iter().map(|step| step["kind"].as_str().unwrap()).collect()
}

fn taken(snapshot: SnapshotId) -> Action {
    let location = format!("snapshots/{snapshot}.tar.zst");
    Action::CompleteSnapshot { snapshot, location, bytes: 42, digest: Digest([7; 32]) }
}

/// Arms a snapshot due in 10 s, and lets so many seconds pass.
async fn armed(recorded: &Recorded, seconds: u64) -> (crate::recorded::Supervisor, Waiting, SnapshotId) {
    let supervisor = recorded.open().await;
    let waiting = supervisor.waiting("build", "r1").await;
    let snapshot = supervisor.arms(&waiting, 10).await;
    supervisor.passes(seconds);
    (supervisor, waiting, snapshot)
}

#[test]
fn a_snapshot_is_told_from_its_arming_to_its_image() {
    let recorded = Recorded::new();
    let snapshot = run(async {
        let (supervisor, waiting, snapshot) = armed(&recorded, 10).await;
        supervisor.refuses("r0", waiting.run, cancel_by("r0")).await;
        supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
        supervisor.refuses("r1", waiting.run, cancel_by("r1")).await;
        supervisor.passes(3);
        supervisor.does(waiting.run, taken(snapshot)).await;
        supervisor.refuses("r1", waiting.run, cancel_by("r1")).await;
        supervisor.engine.close().await.unwrap();
        snapshot
    });
    let story = told(&recorded, snapshot);
    assert_eq!(kinds(&story), ["armed", "refused", "dispatched", "refused", "taken", "refused"]);
    assert_eq!((&story["state"], &story["late_us"]), (&json!("taken"), &json!(0)));
    let step = |number: usize| &story["steps"][number];
    assert_eq!(
        (&step(0)["attempt"], &step(0)["runner"], &step(0)["delay_us"]),
        (&json!(1), &json!("r1"), &json!(10_000_000))
    );
    assert_eq!((&step(1)["refusal"]["code"], &step(1)["guard"]), (&json!("not_owner"), &json!({"runner": "r0"})));
    assert_eq!(step(3)["refusal"]["code"], "already_dispatched");
    assert_eq!((&step(4)["bytes"], &step(4)["took_us"]), (&json!(42), &json!(3_000_000)));
    assert_eq!(step(5)["refusal"]["code"], "nothing_pending", "whoever asks why a cancel did nothing finds it here");
    let text = text(&recorded, snapshot);
    assert!(text.contains("armed by runner r1 for attempt 1, due 2026-11-21T03:00:10.000000Z, 10.0s later"), "{text}");
    assert!(text.contains("dispatched, 0µs after it was due"), "{text}");
    assert!(
        text.contains(&format!("taken: 42 bytes in snapshots/{snapshot}.tar.zst, 3.0s after its dispatch")),
        "{text}"
    );
    assert!(text.contains(&"07".repeat(32)) && !text.contains("LATE") && !text.contains("OVERDUE"), "{text}");
}

#[test]
fn every_way_to_be_canceled_is_named() {
    for (action, cause, words) in [
        (None, "superseded", "canceled: snapshot "),
        (Some("exit"), "run_ended", "canceled: the run exited"),
        (Some("resume"), "resumed", "canceled: the run went on"),
        (Some("disconnect"), "runner_disconnected", "canceled: its runner was disconnected"),
        (Some("destroy"), "destroyed", "canceled: the run was destroyed"),
        (Some("cancel"), "asked_by_runner", "canceled: runner r1 asked for it"),
    ] {
        let recorded = Recorded::new();
        let (snapshot, next) = run(async {
            let (supervisor, Waiting { run, claim }, snapshot) = armed(&recorded, 1).await;
            let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
            let resume = StartMode::Resume { previous: claim.attempt };
            let (attempt, runner) = (claim.attempt, claim.runner.clone());
            let mut next = None;
            match action {
                None => next = Some(supervisor.arms(&Waiting { run, claim }, 5).await),
                Some("exit") => supervisor.does(run, Action::Exit { claim, exit }).await,
                Some("resume") => supervisor.does(run, Action::Start { attempt, runner, mode: resume }).await,
                Some("disconnect") => supervisor.does(run, Action::DisconnectRunner { claim }).await,
                Some("destroy") => supervisor.does(run, Action::Destroy { force: true, why: "x".to_owned() }).await,
                Some(_) => supervisor.does(run, cancel_by("r1")).await,
            }
            // Not of it any more, if another was armed.
            supervisor.refuses("r7", run, cancel_by("r7")).await;
            (snapshot, next)
        });
        let story = told(&recorded, snapshot);
        let step = &story["steps"][1];
        assert_eq!((&story["state"], &step["cause"]), (&json!("canceled"), &json!(cause)), "{story}");
        assert_eq!(step["replaced_by"], json!(next.map(|next| next.to_string())), "{story}");
        assert_eq!(kinds(&story).len(), if next.is_some() { 2 } else { 3 }, "{story}");
        assert!(text(&recorded, snapshot).contains(words), "{}", text(&recorded, snapshot));
    }
}

#[test]
fn a_late_dispatch_is_put_down_to_the_closed_journal_or_the_crash_before_it() {
    for closes in [true, false] {
        let recorded = Recorded::new();
        let (_supervisor, snapshot) = run(async {
            let (supervisor, waiting, snapshot) = armed(&recorded, 5).await;
            if closes {
                supervisor.engine.close().await.unwrap();
            } else {
                recorded.crash(supervisor);
            }
            // Due after 10 s; the next writer comes after 65 s.
            recorded.clock.advance(std::time::Duration::from_secs(60));
            let supervisor = recorded.open().await;
            supervisor.passes(2);
            supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
            (supervisor, snapshot)
        });
        let story = told(&recorded, snapshot);
        let opened = story["steps"].as_array().unwrap().iter().find(|step| step["kind"] == "opened").unwrap();
        assert_eq!((&opened["was_closed"], &opened["dispatched"]), (&json!(closes), &json!(false)), "{story}");
        assert_eq!(story["late_us"], 57_000_000, "{story}");
        let dispatched = story["steps"].as_array().unwrap().last().unwrap();
        let absence = &dispatched["absences"][0];
        assert_eq!((&absence["covers_due"], &absence["was_closed"]), (&json!(true), &json!(closes)), "{story}");
        let text = text(&recorded, snapshot);
        assert!(text.contains("dispatched LATE, 57.0s after it was due"), "{text}");
        let because = if closes {
            "late because the journal was closed from"
        } else {
            "late because the supervisor went away after"
        };
        assert!(text.contains(because) && !text.contains("no entry tells which"), "{text}");
        assert!(text.contains("armed again: journal opened by pid "), "{text}");
        assert_eq!(text.contains("after a crash of the writer before"), !closes, "{text}");
    }
}

#[test]
fn of_a_late_dispatch_by_a_writer_that_was_there_no_more_is_claimed_than_entries_tell() {
    let recorded = Recorded::new();
    let (_supervisor, snapshot, waiting) = run(async {
        let (supervisor, waiting, snapshot) = armed(&recorded, 22).await;
        supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
        (supervisor, snapshot, waiting)
    });
    let story = told(&recorded, snapshot);
    assert_eq!((&story["late_us"], &story["steps"][1]["absences"]), (&json!(12_000_000), &json!([])));
    assert_eq!((&story["state"], &story["writer"]), (&json!("dispatched"), &json!("unknown")));
    let text = text(&recorded, snapshot);
    assert!(text.contains("no entry tells which") && !text.contains("late because"), "{text}");
    assert!(text.contains("dispatched, and no result is recorded; the writer, pid "), "{text}");
    let args = TimelineArgs { run: waiting.run.to_string() };
    let text = recorded.printed(Format::Text, async |reading| timeline::tell(reading, &args).await).unwrap();
    assert!(text.contains("is being taken, 12.0s after it was due"), "{text}");
    let args = ShowArgs { run: waiting.run.to_string(), at: None };
    let text = recorded.printed(Format::Text, async |reading| show::show(reading, &args).await).unwrap();
    assert!(text.contains("is being taken, 12.0s after it was due"), "{text}");
}

#[test]
fn what_failed_says_why_and_what_is_armed_when() {
    let recorded = Recorded::new();
    let (_supervisor, failed, waiting) = run(async {
        let (supervisor, waiting, snapshot) = armed(&recorded, 10).await;
        supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
        let message = "the disk is full".to_owned();
        supervisor.does(waiting.run, Action::FailSnapshot { snapshot, message }).await;
        supervisor.arms(&waiting, 30).await;
        (supervisor, snapshot, waiting)
    });
    assert_eq!(told(&recorded, failed)["state"], "failed");
    assert!(text(&recorded, failed).contains("failed, 0µs after its dispatch: the disk is full"));
    // By run: the one that was armed last.
    let last = told_as(&recorded, Format::Text, "build").unwrap();
    assert!(last.contains("\narmed, due in 30.0s; the writer, pid "), "{last}");
    recorded.clock.advance(std::time::Duration::from_secs(31));
    let last = told_as(&recorded, Format::Text, &waiting.run.to_string()).unwrap();
    assert!(last.contains("\narmed, OVERDUE BY 1.0s; the writer, pid "), "{last}");
    let args = ShowArgs { run: "build".to_owned(), at: None };
    let shown = recorded.printed(Format::Text, async |reading| show::show(reading, &args).await).unwrap();
    assert!(shown.contains(", OVERDUE BY 1.0s\n"), "{shown}");
}

#[test]
fn a_snapshot_is_meant_by_its_id_or_the_beginning_of_it_alone() {
    let recorded = Recorded::new();
    let (first, second) = run(async {
        let (supervisor, waiting, first) = armed(&recorded, 1).await;
        (first, supervisor.arms(&waiting, 1).await)
    });
    let (first, second) = (first.to_string(), second.to_string());
    let same = first.chars().zip(second.chars()).take_while(|(one, other)| one == other).count();
    for id in [first.as_str(), &first.to_lowercase(), &first[..25]] {
        let story: Value = serde_json::from_str(&told_as(&recorded, Format::Json, id).unwrap()).unwrap();
        assert_eq!(story["snapshot"], first, "{id}");
    }
    let error = told_as(&recorded, Format::Json, &first[..same]).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("ambiguous_snapshot", 4), "{error}");
    assert!(error.to_string().contains(&first) && error.to_string().contains(&second), "{error}");
    for id in ["01ZZZZ", "0", "", "buil", "\u{1b}[2J", "é"] {
        let error = told_as(&recorded, Format::Json, id).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("unknown_snapshot", 3), "{id}: {error}");
    }
    // A name goes before the beginning of an id.
    let named = run(async {
        let supervisor = recorded.open().await;
        let waiting = supervisor.waiting(&first[..same], "r1").await;
        supervisor.arms(&waiting, 1).await
    });
    let story: Value = serde_json::from_str(&told_as(&recorded, Format::Json, &first[..same]).unwrap()).unwrap();
    assert_eq!(story["snapshot"], named.to_string());
    let slip = told_as(&recorded, Format::Json, "biuld").unwrap_err();
    assert!(slip.remedy().contains("did you mean the run \"build\"?"), "{}", slip.remedy());
}
