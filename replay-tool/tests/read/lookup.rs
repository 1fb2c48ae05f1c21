//! Which run is meant, and what it was at a position or time.

use tachograph_engine::domain::{Position, StatusName};
use tachograph_replay::cli::{Label, RunsArgs};
use tachograph_replay::error::Error;
use tachograph_replay::output::Format;
use tachograph_replay::runs;
use tachograph_replay::when::{AsOf, When};

use crate::kept::{damaged, dataset, now, printed, run};
use crate::made::{self, BUILD, BUILD_AGAIN, LOUD, NAMELESS, NEVER, NIGHTLY, START};

fn resolved(text: &str) -> Result<String, Error> {
    run(dataset().resolve(text, None)).map(|run| run.to_string())
}

#[test]
fn a_run_is_meant_by_id_prefix_or_name() {
    for (text, expected) in [
        (BUILD, BUILD),
        (&BUILD.to_lowercase(), BUILD),
        ("01KAJ2A", BUILD),
        ("01kaj2bbbb", NIGHTLY),
        ("nightly", NIGHTLY),
        ("build", BUILD_AGAIN),
    ] {
        assert_eq!(resolved(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_name_stands_for_the_run_that_had_it_then() {
    let then = Some(Position(5));
    assert_eq!(run(dataset().resolve("build", then)).unwrap().to_string(), BUILD);
}

#[test]
fn what_fits_no_run_is_unknown() {
    for text in [NEVER, "01KAJ2AAAA1", "01K", "", "BUILD", "01KAJ2AAAA0000000000000001X", "é", "\0"] {
        let error = resolved(text).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("unknown_run", 3), "{text:?}: {error}");
    }
    let slip = resolved("biuld").unwrap_err();
    assert!(slip.remedy().contains("did you mean \"build\"?"), "{}", slip.remedy());
}

#[test]
fn an_ambiguous_prefix_lists_what_fits() {
    let error = resolved("01KAJ2BBB").unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("ambiguous_run", 4));
    let text = error.to_string();
    assert!(text.contains(NIGHTLY) && text.contains(BUILD_AGAIN) && !text.contains(LOUD), "{text}");
}

#[test]
fn a_run_is_shown_as_it_was() {
    let status_at = |position| {
        let record = run(dataset().record(made::run(BUILD), Position(position)));
        record.map(|record| (record.run.status.name(), record.refusals))
    };
    assert_eq!(status_at(2).unwrap(), (StatusName::Created, 0));
    assert_eq!(status_at(4).unwrap(), (StatusName::Started, 1));
    assert_eq!(status_at(1_000).unwrap(), (StatusName::Destroyed, 4));
    let error = status_at(1).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("unknown_run", 3));
    assert!(error.to_string().contains("created at position 2"), "{error}");
}

#[test]
fn a_time_stands_for_what_was_recorded_by_then() {
    let at = |millis| run(dataset().position(Some(AsOf::Time(When::At(START.plus_millis(millis)))), now())).unwrap();
    assert_eq!(at(-1), Position::ZERO);
    assert_eq!(at(0), Position(1));
    assert_eq!(at(259), Position(2));
    assert_eq!(at(i64::MAX / 2_000), Position(made::Made::journal().entries.len() as u64));
    // The clock steps back from 95.76 s to 94.26 s at position 10: what was recorded by 95 s includes the second pass.
    let recorded = |position: usize| made::Made::journal().entries[position - 1].recorded_at;
    assert!(recorded(10) < recorded(9), "the made journal has a step back");
    assert_eq!(run(dataset().position(Some(AsOf::Time(When::At(recorded(9)))), now())).unwrap(), Position(13));
    assert_eq!(run(dataset().position(Some(AsOf::Position(Position(u64::MAX))), now())).unwrap(), at(i64::MAX / 2_000));
}

fn listed(args: &RunsArgs) -> Vec<String> {
    let text = printed(Format::Json, async |reading| runs::list(reading, args).await).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    list.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn runs_are_filtered() {
    let all = RunsArgs::default();
    assert_eq!(listed(&all), [LOUD, NAMELESS, BUILD_AGAIN, NIGHTLY, BUILD], "newest first");
    let label = |text: &str| text.parse::<Label>().unwrap();
    let time = |millis| Some(When::At(START.plus_millis(millis)));
    let created = |run_text: &str| run(dataset().record(made::run(run_text), Position(u64::MAX))).unwrap().created_at;
    for (args, expected) in [
        (RunsArgs { status: vec![StatusName::Failed], ..all.clone() }, vec![NIGHTLY]),
        (RunsArgs { status: vec![StatusName::Failed, StatusName::Destroyed], ..all.clone() }, vec![NIGHTLY, BUILD]),
        (RunsArgs { name: Some("build".to_owned()), ..all.clone() }, vec![BUILD_AGAIN, BUILD]),
        (RunsArgs { name: Some("buil".to_owned()), ..all.clone() }, vec![]),
        (RunsArgs { labels: vec![label("team=infra")], ..all.clone() }, vec![NIGHTLY, BUILD]),
        (RunsArgs { labels: vec![label("team=infra"), label("tier=db")], ..all.clone() }, vec![NIGHTLY]),
        (RunsArgs { labels: vec![label("team=")], ..all.clone() }, vec![]),
        (RunsArgs { until: time(300), ..all.clone() }, vec![BUILD]),
        (RunsArgs { since: Some(When::At(created(LOUD))), ..all.clone() }, vec![LOUD, BUILD_AGAIN]),
        (RunsArgs { since: Some(When::Ago(std::time::Duration::ZERO)), ..all.clone() }, vec![BUILD_AGAIN]),
        (RunsArgs { limit: 2.try_into().ok(), ..all.clone() }, vec![LOUD, NAMELESS]),
        (RunsArgs { at: Some(AsOf::Position(Position(2))), ..all.clone() }, vec![BUILD]),
        (RunsArgs { at: Some(AsOf::Position(Position(0))), ..all.clone() }, vec![]),
    ] {
        assert_eq!(listed(&args), expected, "{args:?}");
    }
}

#[test]
fn a_history_survives_damage_elsewhere() {
    // Position 10 is about the journal itself, in the middle of the run.
    let history = run(damaged(Some(Position(10))).history(NIGHTLY)).unwrap();
    let whole = run(dataset().history(NIGHTLY)).unwrap();
    let system = |history: &tachograph_replay::dataset::History| {
        history.timeline.items().iter().filter(|item| item.body.cause().is_none()).count()
    };
    assert_eq!((system(&whole), system(&history)), (2, 0));
    assert_eq!(whole.timeline.items().len(), history.timeline.items().len() + 2);
    let own = run(damaged(Some(Position(8))).history(NIGHTLY)).unwrap_err();
    assert_eq!((own.code(), own.exit_code()), ("damaged", 7));
}
