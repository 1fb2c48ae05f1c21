//! What may go, and what keeps the rest back.

use tachograph_adapters::archive::{Hold, Why, plan};
use tachograph_adapters::bundle::BundleError;
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions, verify};
use tachograph_engine::domain::testing::{claim, ids, spec};
use tachograph_engine::domain::{Action, Position, StartMode};
use tachograph_engine::ports::{Journal, JournalReader};

use crate::support::{Writer, archive_before, at, entries, exit_with, numbered, request, wait, write};

#[test]
fn a_plan_changes_nothing_and_goes_no_further_than_the_time() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let before = entries(dir.path(), Position::ZERO);
    let none = plan(dir.path(), at(0), |_, _| ()).unwrap();
    assert!(none.is_empty() && none.last == Position::ZERO, "{none:?}");
    let some = plan(dir.path(), at(100), |_, _| ()).unwrap();
    let all = plan(dir.path(), at(1 << 20), |_, _| ()).unwrap();
    assert!(0 < some.segments && some.segments < all.segments, "{some:?} {all:?}");
    assert!(before.iter().filter(|entry| entry.position <= some.last).all(|entry| entry.recorded_at < at(100)));
    assert!(matches!(some.kept_back.why, Why::Runs(_) | Why::Recorded(_)), "{some:?}");
    assert_eq!((all.kept_back.why, all.kept_back.last), (Why::Last, None));
    assert_eq!(entries(dir.path(), Position::ZERO), before);
    assert!(!dir.path().join("archive").exists());
}

#[test]
fn a_run_that_is_open_keeps_everything_from_its_first_segment_on() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 10);
    let run = ids::run(900);
    let open = entries(dir.path(), Position::ZERO).last().unwrap().position.next();
    wait(async {
        let writer = Writer::open(dir.path(), 5_000).await;
        let start = Action::Start { attempt: ids::attempt(9_000), runner: "r1".into(), mode: StartMode::Fresh };
        writer.submit(&numbered(5_000, run, Action::Create { spec: std::sync::Arc::new(spec("long")) })).await;
        writer.submit(&numbered(5_001, run, start)).await;
        for (number, action) in
            (0..40).map(|number| (number, Action::Create { spec: std::sync::Arc::new(spec(&format!("n{number}"))) }))
        {
            let other = ids::run(1_000 + number);
            writer.submit(&numbered(6_000 + 2 * number, other, action)).await;
            let gone = Action::Destroy { force: true, why: "gone".to_owned() };
            writer.submit(&numbered(6_001 + 2 * number, other, gone)).await;
        }
        writer.close().await;
    });
    let held = plan(dir.path(), at(1 << 20), |_, _| ()).unwrap();
    assert!(held.last <= open && !held.is_empty(), "{held:?}");
    let Why::Runs(holding) = &held.kept_back.why else { panic!("{held:?}") };
    assert_eq!(holding.iter().map(|holding| (holding.run, holding.hold)).collect::<Vec<_>>(), [(run, Hold::Open)]);
    assert_eq!(holding[0].name.as_deref(), Some("long"));
    wait(async {
        let writer = Writer::open(dir.path(), 9_000).await;
        let exit = Action::Exit { claim: claim(run, 9_000, "r1"), exit: exit_with(0) };
        writer.submit(&numbered(7_000, run, exit)).await;
        writer.close().await;
    });
    let held = plan(dir.path(), at(8_000), |_, _| ()).unwrap();
    let Why::Runs(holding) = &held.kept_back.why else { panic!("{held:?}") };
    assert_eq!(holding[0].hold, Hold::Later, "it ended after the time");
    let free = plan(dir.path(), at(1 << 20), |_, _| ()).unwrap();
    assert!(free.segments > held.segments && free.kept_back.why == Why::Last, "{free:?}");
    // It was open where this archive ends, and has ended since: its history is in both parts.
    archive_before(dir.path(), 1 << 20).unwrap();
    assert_eq!(verify(dir.path(), |_| ()).unwrap().findings, vec![]);
}

#[test]
fn nothing_is_archived_beside_a_writer_or_from_a_damaged_journal() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let journal = FileJournal::open(dir.path(), JournalOptions::default()).unwrap();
    assert_eq!(archive_before(dir.path(), 1 << 20).unwrap_err().code(), "locked");
    drop(journal);
    let segment = dir.path().join("journal/00000000000000000001.seg");
    let sound = std::fs::read(&segment).unwrap();
    let mut altered = sound.clone();
    altered[300] ^= 1;
    std::fs::write(&segment, &altered).unwrap();
    assert_eq!(archive_before(dir.path(), 1 << 20).unwrap_err().code(), "damaged");
    assert_eq!(std::fs::read(&segment).unwrap(), altered, "the evidence is as it was");
    std::fs::write(&segment, &sound).unwrap();
    assert!(archive_before(dir.path(), 1 << 20).unwrap().bundle.is_some());
    let again = archive_before(dir.path(), 1 << 20).unwrap();
    assert!(again.bundle.is_none() && again.plan.is_empty(), "there is nothing more: {again:?}");
}

#[test]
fn a_file_that_is_there_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let bundle = dir.path().join("mine");
    std::fs::write(&bundle, "mine").unwrap();
    let asked = tachograph_adapters::archive::Request { bundle: Some(bundle.clone()), ..request(1 << 20) };
    let refused =
        wait(tachograph_adapters::archive::archive(dir.path(), &asked, |_, _| Ok(()), async |_, _| Ok(()), |_| ()));
    let error: tachograph_adapters::archive::ArchiveError = refused.unwrap_err();
    assert_eq!(error.code(), BundleError::Occupied { path: bundle.clone() }.code());
    assert_eq!(std::fs::read(&bundle).unwrap(), b"mine");
    assert_eq!(verify(dir.path(), |_| ()).unwrap().archived, vec![]);
}

#[test]
fn an_end_without_entries_keeps_the_segment_before_it_and_the_crash_is_known() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let journal = dir.path().join("journal");
    let files = std::fs::read_dir(&journal).unwrap().map(|file| file.unwrap().path());
    let last = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max().unwrap();
    // As a crash leaves it that comes just after a new segment was begun.
    std::fs::OpenOptions::new().write(true).open(last).unwrap().set_len(88).unwrap();
    std::fs::remove_file(journal.join("anchor")).unwrap();
    let head = FileReader::open(dir.path()).unwrap().head();
    let planned = plan(dir.path(), at(1 << 20), |_, _| ()).unwrap();
    assert!(!planned.is_empty() && planned.last < head.position, "{planned:?}");
    let kept_back = &planned.kept_back;
    assert_eq!(
        (kept_back.first, kept_back.last, &kept_back.why),
        (planned.last.next(), Some(head.position), &Why::Last)
    );
    assert_eq!(archive_before(dir.path(), 1 << 20).unwrap().plan, planned);
    assert!(!verify(dir.path(), |_| ()).unwrap().closed);
    let opened = FileJournal::open(dir.path(), JournalOptions::default()).unwrap().opening();
    assert!(!opened.clean, "{opened:?}");
}
