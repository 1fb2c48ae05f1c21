//! The account of a run.

use serde_json::{Value, json};
use tachograph_engine::domain::testing::{command, ids};
use tachograph_engine::domain::{
    Action, AttemptId, Claim, Command, Committed, Entry, EntryBody, Exit, ExitStatus, Position, Refused,
    RefusedCommand, RunId, RunnerId, SnapshotId, StartMode, Version, Witness,
};
use tachograph_projections::ItemBody;
use tachograph_replay::account::{Account, Asked, SILENCE_DEFAULT_MS, Scope, Told};
use tachograph_replay::cli::WhyArgs;
use tachograph_replay::error::Error;
use tachograph_replay::machine::Machine;
use tachograph_replay::output::Format;
use tachograph_replay::when::AsOf;
use tachograph_replay::why;

use crate::every;
use crate::golden::check;
use crate::kept::{self, damaged, dataset, printed_of, run};
use crate::made::{self, BUILD, BUILD_AGAIN, LOUD, Made, NAMELESS, NEVER, NIGHTLY, START};
use crate::recorded::{Recorded, Waiting};

fn args(id: &str) -> WhyArgs {
    WhyArgs { run: id.to_owned(), at: None, silence: "5m".parse().unwrap() }
}

fn told(recorded: &Recorded, args: &WhyArgs) -> Value {
    serde_json::from_str(&recorded.printed(Format::Json, async |reading| why::tell(reading, args).await).unwrap())
        .unwrap()
}

fn text(recorded: &Recorded, args: &WhyArgs) -> String {
    recorded.printed(Format::Text, async |reading| why::tell(reading, args).await).unwrap()
}

fn kinds(account: &Value) -> Vec<&str> {
    account["sentences"].as_array().unwrap().iter().map(|sentence| sentence["kind"].as_str().unwrap()).collect()
}

/// The only sentence of a kind.
fn only<'a>(account: &'a Value, kind: &str) -> &'a Value {
    let mut found = account["sentences"].as_array().unwrap().iter().filter(|sentence| sentence["kind"] == kind);
    let sentence = found.next().unwrap_or_else(|| panic!("no {kind} in {account:#}"));
    assert_eq!(found.next(), None, "{kind} again in {account:#}");
    sentence
}

fn count(account: &Value, kind: &str) -> usize {
    kinds(account).iter().filter(|found| **found == kind).count()
}

fn asked(at: Option<AsOf>) -> Asked {
    Asked { at, now: kept::now(), silence_ms: SILENCE_DEFAULT_MS, machine: None }
}

fn exited(status: ExitStatus, witness: Witness) -> Exit {
    Exit { status, witness, output: None }
}

fn exits(claim: &Claim, code: i32) -> Action {
    Action::Exit { claim: claim.clone(), exit: exited(ExitStatus::Code(code), Witness::Waited) }
}

fn destroys() -> Action {
    Action::Destroy { force: true, why: "no longer wanted".to_owned() }
}

fn starts(attempt: AttemptId, runner: &str, mode: StartMode) -> Action {
    Action::Start { attempt, runner: RunnerId::from(runner), mode }
}

/// What an account says beyond a timeline is beside it: no event, refusal or fact is left out or added.
#[test]
fn an_account_tells_all_that_a_timeline_shows() {
    for id in [BUILD, NIGHTLY, BUILD_AGAIN, NAMELESS, LOUD, NEVER] {
        let (account, history) = run(async {
            let dataset = dataset();
            (dataset.account(id, &asked(None)).await.unwrap(), dataset.history(id).await.unwrap())
        });
        let said = account.sentences.iter().filter_map(|sentence| match &sentence.told {
            Told::Event(told) => Some((sentence.position, told.event.name().name())),
            Told::Refused(_) => Some((sentence.position, "Refused")),
            Told::Fact { fact, .. } => Some((sentence.position, ItemBody::System(fact.clone()).name())),
            _ => None,
        });
        let shown = history.timeline.items().iter().map(|item| (item.position, item.body.name()));
        assert_eq!(said.collect::<Vec<_>>(), shown.collect::<Vec<_>>(), "{id}");
    }
}

#[test]
fn a_late_exit_after_the_end_of_a_run_is_told_as_refused_and_who_sent_it() {
    let recorded = Recorded::new();
    let run_id = run(async {
        let supervisor = recorded.open().await;
        let Waiting { run, claim } = supervisor.waiting("build", "r1").await;
        supervisor.does(run, destroys()).await;
        for _ in 0..5 {
            supervisor.refuses("r1", run, exits(&claim, 0)).await;
        }
        supervisor.engine.close().await.unwrap();
        run
    });
    let account = told(&recorded, &args(&run_id.to_string()));
    assert_eq!(
        kinds(&account),
        ["state", "created", "started", "waiting", "destroyed", "refused", "refused", "refused"],
        "{account:#}"
    );
    let counts: Vec<_> = account["sentences"].as_array().unwrap()[5..]
        .iter()
        .map(|sentence| (sentence["refusal"]["count"].as_u64().unwrap(), sentence["counted_only"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [(1, 0), (2, 0), (4, 1)], "the third was counted only, and the fifth stands nowhere");
    assert_eq!(account["sentences"][0]["position"], account["sentences"][4]["position"]);
    let text = text(&recorded, &args("build"));
    for words in [
        "it is Destroyed since position 5: destroyed by force: no longer wanted (by supervisor:main)",
        "REFUSED: attempt ",
        " exited with code 0, waited (by runner:r1)",
        "why [run_destroyed]: the run was destroyed",
        "this actor was refused like this 4 times by then",
        "1 of these times, since the one recorded before, were counted only",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("without Destroyed"), "{text}");
}

#[test]
fn a_stale_file_against_the_witness_is_told_with_both() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        let Waiting { run, claim } = supervisor.waiting("build", "r1").await;
        let killed = Action::Exit { claim: claim.clone(), exit: exited(ExitStatus::Signal(9), Witness::Waited) };
        supervisor.does(run, killed).await;
        let file = exited(ExitStatus::Code(0), Witness::ExitFile);
        supervisor.refuses("file-reader", run, Action::Exit { claim, exit: file }).await;
        supervisor.engine.close().await.unwrap();
    });
    let account = told(&recorded, &args("build"));
    assert_eq!(only(&account, "refused")["refusal"]["code"], "conflicting_terminal");
    assert_eq!(only(&account, "not_destroyed")["position"], only(&account, "exited")["position"]);
    let text = text(&recorded, &args("build"));
    for words in [
        "exited with signal 9 (KILL), waited (by supervisor:main, on the claim of runner r1)",
        "exited with code 0, exit file (by runner:file-reader, on the claim of runner r1)",
        "why [conflicting_terminal]: the attempt's end is already recorded: Exited with signal 9",
        "Exited without Destroyed: nobody has given it up, and it can be started once more",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_takeover_and_what_it_fences_off_are_told() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        let Waiting { run, claim } = supervisor.waiting("build", "r1").await;
        let snapshot = supervisor.arms(&Waiting { run, claim: claim.clone() }, 60).await;
        let attempt = AttemptId::from_ulid(supervisor.engine.mint());
        let resume = StartMode::Resume { previous: claim.attempt };
        supervisor.does(run, starts(attempt, "r2", resume)).await;
        let taken = AttemptId::from_ulid(supervisor.engine.mint());
        supervisor.does(run, starts(taken, "r3", StartMode::Takeover { expected: attempt })).await;
        supervisor.refuses("r2", run, exits(&Claim { run, attempt, runner: RunnerId::from("r2") }, 0)).await;
        supervisor.refuses("r1", run, Action::DispatchSnapshot { snapshot }).await;
        supervisor.engine.close().await.unwrap();
    });
    let text = text(&recorded, &args("build"));
    for words in [
        "canceled: the run was taken over (by supervisor:main)",
        "attempt 2 resumed on runner r2 (by supervisor:main)",
        "attempt 3 started: run taken over by runner r3 (by supervisor:main)",
        "why [stale_attempt]: the attempt is stale; current is ",
        "why [snapshot_gone]: the run is not on this snapshot",
        "attempts: 3; refusals recorded: 2",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Two runs that wait, with a snapshot due in 10 s and in 1 h; the writer goes away for a while, twice.
async fn restarted(recorded: &Recorded) -> (RunId, SnapshotId) {
    let supervisor = recorded.open().await;
    let waiting = supervisor.waiting("build", "r1").await;
    let snapshot = supervisor.arms(&waiting, 10).await;
    supervisor.passes(1);
    supervisor.engine.close().await.unwrap();
    drop(supervisor);
    recorded.clock.advance(std::time::Duration::from_secs(3));
    let supervisor = recorded.open().await;
    recorded.crash(supervisor);
    recorded.clock.advance(std::time::Duration::from_secs(30));
    let supervisor = recorded.open().await;
    supervisor.does(waiting.run, Action::DispatchSnapshot { snapshot }).await;
    supervisor.passes(7_200);
    supervisor.does(waiting.run, exits(&waiting.claim, 3)).await;
    supervisor.engine.close().await.unwrap();
    (waiting.run, snapshot)
}

#[test]
fn timers_armed_again_over_restarts_and_a_late_one_are_told_with_the_supervisor_that_was_down() {
    let recorded = Recorded::new();
    let (_, snapshot) = run(restarted(&recorded));
    let account = told(&recorded, &args("build"));
    assert_eq!(
        kinds(&account),
        [
            "state",
            "created",
            "started",
            "waiting",
            "snapshot_scheduled",
            "journal_closed",
            "supervisor_down",
            "journal_opened",
            "timer_rearmed",
            "timer_rearmed",
            "supervisor_down",
            "journal_opened",
            "timer_rearmed",
            "timer_rearmed",
            "journal_recovered",
            "snapshot_dispatched",
            "silence",
            "deadline_passed",
            "exited",
            "not_destroyed"
        ],
        "{account:#}"
    );
    let sentence = |number: usize| &account["sentences"][number];
    assert_eq!((&sentence(6)["gap"]["us"], &sentence(6)["position"]), (&json!(3_000_000), &sentence(7)["position"]));
    assert_eq!(sentence(7)["was_closed"], json!(true));
    assert_eq!(sentence(8)["timer"]["snapshot"], json!(snapshot.to_string()));
    assert_eq!(
        (&sentence(8)["timer"]["overdue_us"], &sentence(9)["timer"]["kind"]),
        (&Value::Null, &json!("deadline"))
    );
    assert_eq!((&sentence(10)["gap"]["us"], &sentence(11)["was_closed"]), (&json!(30_000_000), &json!(false)));
    assert_eq!(sentence(12)["timer"]["overdue_us"], json!(24_000_000));
    assert_eq!(sentence(15)["late_us"], json!(24_000_000));
    assert_eq!(sentence(16)["gap"]["us"], json!(7_200_000_000_u64));
    assert_eq!(sentence(17)["gap"]["us"], json!(3_634_000_000_u64), "the deadline was an hour after the beginning");
    let text = text(&recorded, &args("build"));
    for words in [
        "NO SUPERVISOR: the journal was closed from 2026-11-21T03:00:01.000000Z to 2026-11-21T03:00:04.000000Z (3.0s)",
        "NO SUPERVISOR: the supervisor went away after 2026-11-21T03:00:04.000000Z, its last entry, and the next one opened",
        ": armed again, due 2026-11-21T03:00:10.000000Z, OVERDUE BY 24.0s",
        "deadline: armed again, due 2026-11-21T04:00:00.000000Z",
        "is being taken, 24.0s after it was due (by supervisor:main)",
        "late because the supervisor went away after",
        "SILENCE: nothing was recorded about it for 2h00m, from position ",
        "had passed 1h00m before",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn silence_is_what_is_asked_for() {
    let recorded = Recorded::new();
    run(restarted(&recorded));
    let silences = |silence: &str| {
        let args = WhyArgs { silence: silence.parse().unwrap(), ..args("build") };
        count(&told(&recorded, &args), "silence")
    };
    assert_eq!([silences("3h"), silences("2h"), silences("33s"), silences("35s")], [0, 1, 2, 1]);
    assert_eq!(silences("0"), 2, "entries of one moment have no silence between them");
}

#[test]
fn a_clock_that_stepped_is_told() {
    let recorded = Recorded::new();
    run(async {
        let supervisor = recorded.open().await;
        let waiting = supervisor.waiting("build", "r1").await;
        recorded.clock.step_wall(-90_000);
        supervisor.does(waiting.run, exits(&waiting.claim, 0)).await;
        let restart = StartMode::Restart { previous: waiting.claim.attempt };
        let attempt = AttemptId::from_ulid(supervisor.engine.mint());
        supervisor.does(waiting.run, starts(attempt, "r1", restart)).await;
        supervisor.engine.close().await.unwrap();
        drop(supervisor);
        recorded.clock.step_wall(3_600_000);
        let supervisor = recorded.open().await;
        supervisor.does(waiting.run, destroys()).await;
        supervisor.engine.close().await.unwrap();
    });
    let account = told(&recorded, &args("build"));
    assert_eq!(only(&account, "clock_stepped_back")["gap"]["us"], json!(-90_000_000));
    let moved: Vec<_> =
        account["sentences"].as_array().unwrap().iter().filter(|said| said["kind"] == "clock_moved").collect();
    assert_eq!(moved.len(), 1, "{account:#}");
    assert_eq!(moved[0]["gap"]["us"], json!(3_600_000_000_u64));
    let text = text(&recorded, &args("build"));
    for words in [
        "CLOCK: it stepped back by 1m30s at least: position 4 was recorded at 2026-11-21T03:00:00.000000Z",
        "went 1h00m further than the machine's own clock: it was set forward, or the machine was suspended",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_run_is_told_as_it_was_known_then() {
    let recorded = Recorded::new();
    let (run_id, _) = run(restarted(&recorded));
    let at = |position| WhyArgs { at: Some(AsOf::Position(Position(position))), ..args(&run_id.to_string()) };
    let account = told(&recorded, &at(4));
    assert_eq!(kinds(&account), ["state", "created", "started", "waiting", "still_open"]);
    assert_eq!(
        (&account["as_of"], &account["status"], &account["writer"]),
        (&json!(4), &json!("Waiting"), &Value::Null)
    );
    assert!(text(&recorded, &at(4)).contains("it was Waiting at position 4, since position 4: waits on approval"));
    let early = recorded.printed(Format::Json, async |reading| why::tell(reading, &at(1)).await).unwrap_err();
    assert!(matches!(early, Error::NotYet { created: Position(2), .. }), "{early}");
}

#[test]
fn a_run_that_goes_on_is_told_with_what_can_become_of_it() {
    let account = |id: &str| {
        let machine = Machine::of("elsewhere", "another-boot", "made");
        let text = printed_of(dataset(), machine, Format::Json, async |reading| why::tell(reading, &args(id)).await);
        serde_json::from_str::<Value>(&text.unwrap()).unwrap()
    };
    let open = account(BUILD_AGAIN);
    assert_eq!((&open["status"], &open["writer"]), (&json!("Waiting"), &json!("gone")), "{open:#}");
    let still = only(&open, "still_open");
    assert!(still["still"]["silent_us"].as_u64().unwrap() > 10_000_000_000, "{still:#}");
    assert_eq!(still["still"]["overdue_us"], Value::Null);
    assert_eq!(count(&account(NIGHTLY), "still_open"), 0);
}

#[test]
fn a_run_that_was_never_created_is_told_by_what_was_refused() {
    let account = run(async { dataset().account(NEVER, &asked(None)).await.unwrap() });
    let kinds: Vec<_> = account.sentences.iter().map(|sentence| sentence.kind()).collect();
    assert_eq!(kinds, ["never_created", "refused", "refused"]);
    assert_eq!(account.record, None);
    let early = asked(Some(AsOf::Position(Position(5))));
    let nothing = run(async { dataset().account(NEVER, &early).await.unwrap_err() });
    assert_eq!(nothing.code(), "unknown_run");
}

/// Damage elsewhere hides nothing that the run's own entries say, and the account says that it is not all.
#[test]
fn damage_between_is_told() {
    let entries = Made::journal().entries;
    let own: Vec<Position> =
        entries.iter().filter(|entry| entry.run() == Some(made::run(BUILD))).map(|entry| entry.position).collect();
    let foreign = entries.iter().map(|entry| entry.position).find(|at| *at > own[0] && !own.contains(at)).unwrap();
    let account = run(async { damaged(Some(foreign)).account(BUILD, &asked(None)).await.unwrap() });
    assert_eq!(account.gaps().filter(|(_, gap)| gap.kind() == "facts_unread").count(), 1);
    assert_eq!(account.record.map(|record| record.last), own.last().copied());
    let whole = run(async { dataset().account(BUILD, &asked(None)).await.unwrap() });
    assert_eq!(whole.gaps().filter(|(_, gap)| gap.kind() == "facts_unread").count(), 0);
}

#[test]
fn what_is_left_of_a_damaged_history_is_told_as_that() {
    let run_id = made::run(BUILD);
    let own: Vec<Entry> = Made::journal().entries.into_iter().filter(|entry| entry.run() == Some(run_id)).collect();
    let scope = Scope {
        as_of: None,
        until: START,
        silence_ms: SILENCE_DEFAULT_MS,
        writer: None,
        facts_unread: false,
        border: None,
    };
    let kinds = |entries: &[Entry]| -> Vec<&str> {
        Account::of(run_id, entries, &scope).sentences.iter().map(|sentence| sentence.kind()).collect()
    };
    let headless = kinds(&own[1..]);
    assert_eq!(headless[..3], ["state_unknown", "entries_missing", "started"], "{headless:?}");
    let gapped: Vec<Entry> = [&own[..2], &own[3..]].concat();
    assert!(kinds(&gapped).contains(&"entries_missing"), "{:?}", kinds(&gapped));
    assert_eq!(kinds(&[]), ["never_created"]);
    let account = Account::of(run_id, &own[1..], &scope);
    let started = account.sentences.iter().find(|sentence| sentence.kind() == "started").unwrap();
    assert!(account.notes(started).iter().any(|note| note.starts_with("CHANGED NOTHING")));
}

/// Entries about one run, whether or not they can follow each other.
fn entry(position: u64, body: EntryBody) -> Entry {
    Entry { id: ids::entry(position), position: Position(position), recorded_at: START, previous: None, body }
}

/// Every event, refusal and fact has its sentence, byte by byte.
#[test]
fn everything_has_its_sentence() {
    let run = ids::run(1);
    let command = |number: u64| Command { id: ids::command(number), ..command(run, destroys()) };
    let mut bodies = vec![];
    for event in every::events() {
        let (command, version) = (command(bodies.len() as u64), Version(bodies.len() as u64 + 1));
        bodies.push(EntryBody::Committed(Committed { command, version, events: vec![event] }));
        if bodies.len() == 1 {
            bodies.extend(every::facts().into_iter().map(EntryBody::System));
        }
    }
    for (refusal, count) in every::refusals().into_iter().zip([1, 2, 4, 8, 16, 3].into_iter().cycle()) {
        let command = RefusedCommand::keep(command(bodies.len() as u64), &refusal);
        bodies.push(EntryBody::Refused(Refused { command, refusal, count }));
    }
    let entries: Vec<Entry> = bodies.into_iter().zip(1..).map(|(body, position)| entry(position, body)).collect();
    let scope = Scope { as_of: None, until: START, silence_ms: 1, writer: None, facts_unread: true, border: None };
    let account = Account::of(run, &entries, &scope);
    let mut told = String::new();
    for sentence in &account.sentences {
        told.push_str(&format!("{} {}: {}\n", sentence.position, sentence.kind(), account.text(sentence)));
        account.notes(sentence).iter().for_each(|note| told.push_str(&format!("  {note}\n")));
    }
    check("why-everything.txt", &told);
    for position in 1..=entries.len() as u64 {
        assert!(account.sentences.iter().any(|sentence| sentence.position == Position(position)), "{position}");
    }
}
