//! What was appended is there, in order, once, with its place and back pointer.

use tachograph_adapters::journal::{FileJournal, FileReader};
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{EntryBody, Position, SystemFact, Version};
use tachograph_engine::ports::{AppendError, Journal, JournalError, JournalReader, Opening, RunHead};

use crate::support::{Script, append_all, close, options, read_all, segments, session, wait, written};

#[test]
fn entries_come_back_as_they_were_recorded_over_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(40));
    assert!(segments(dir.path()).len() >= 3, "{:?}", segments(dir.path()));
    assert_eq!(entries.len(), 160);
    let positions: Vec<u64> = entries.iter().map(|entry| entry.position.0).collect();
    assert_eq!(positions, (1..=160).collect::<Vec<u64>>());
    assert_eq!(read_all(dir.path()).unwrap(), entries);
    assert_eq!(wait(journal.reader().read(Position::ZERO, 1_000)).unwrap(), entries);
    close(journal);
    assert_eq!(read_all(dir.path()).unwrap(), entries);
}

#[test]
fn each_run_is_read_by_its_back_pointers() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, entries) = written(dir.path(), Script::default().batches(40));
    let outside = FileReader::open(dir.path()).unwrap();
    let inside = journal.reader();
    for number in 1..=40 {
        let run = ids::run(number);
        let own: Vec<_> = entries.iter().filter(|entry| entry.run() == Some(run)).cloned().collect();
        assert_eq!(own.len(), 4);
        assert_eq!(wait(outside.history(run)).unwrap(), own, "run {number}");
        assert_eq!(wait(inside.history(run)).unwrap(), own, "run {number}");
        let head = Some(RunHead { version: Version(3), last: own[3].position });
        assert_eq!(wait(outside.run_head(run)).unwrap(), head, "run {number}");
        assert_eq!(wait(inside.run_head(run)).unwrap(), head, "run {number}");
        let command = own[2].command_id().unwrap();
        assert_eq!(wait(outside.answered(run, command)).unwrap(), Some(own[2].position));
        assert_eq!(wait(inside.answered(run, command)).unwrap(), Some(own[2].position));
        assert_eq!(wait(outside.named(&format!("job-{number}"))).unwrap(), Some(run));
    }
    assert_eq!(wait(outside.run_head(ids::run(99))).unwrap(), None);
    assert_eq!(wait(outside.answered(ids::run(99), ids::command(1))).unwrap(), None);
    assert_eq!(wait(outside.named("job-99")).unwrap(), None);
}

#[test]
fn a_version_that_is_not_the_runs_appends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (mut journal, entries) = written(dir.path(), script.batches(2));
    let mut ahead = Script::default();
    let repeated = ahead.life(1);
    let fresh = script.life(3);
    let batch = vec![fresh[0].clone(), repeated[1].clone()];
    match wait(journal.append(batch)) {
        Err(AppendError::Conflict { run, actual }) => assert_eq!((run, actual), (ids::run(1), Version(3))),
        other => panic!("{other:?}"),
    }
    assert_eq!(read_all(dir.path()).unwrap(), entries);
    // A conflict is no failure of the medium: the journal goes on.
    assert_eq!(wait(journal.append(fresh)).unwrap()[0].position, Position(9));
}

#[test]
fn a_clean_close_is_seen_and_a_missing_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let (mut journal, _) = written(dir.path(), script.batches(2));
    assert!(journal.opening().clean);
    append_all(&mut journal, vec![vec![script.system(SystemFact::Closed(session()))]]);
    close(journal);
    let mut journal = FileJournal::open(dir.path(), options()).unwrap();
    assert_eq!(journal.opening(), Opening { clean: true, ..Opening::default() });
    append_all(&mut journal, vec![vec![script.system(SystemFact::Opened(session()))]]);
    drop(journal);
    let journal = FileJournal::open(dir.path(), options()).unwrap();
    assert!(!journal.opening().clean && journal.opening().torn.is_none());
    assert!(matches!(read_all(dir.path()).unwrap()[8].body, EntryBody::System(SystemFact::Closed(_))));
}

#[test]
fn a_second_writer_is_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = written(dir.path(), Script::default().batches(2));
    match FileJournal::open(dir.path(), options()) {
        Err(JournalError::Locked { holder, .. }) => {
            assert!(holder.starts_with(&format!("pid {} on host ", std::process::id())), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    drop(journal);
    FileJournal::open(dir.path(), options()).unwrap();
}

#[test]
fn digests_are_known_at_the_end_of_batches_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = Script::default();
    let mut journal = FileJournal::open(dir.path(), options()).unwrap();
    let mut ends = std::collections::BTreeMap::from([(0, tachograph_engine::domain::Digest::ZERO)]);
    for batch in script.batches(20) {
        wait(journal.append(batch)).unwrap();
        let head = journal.reader().head();
        ends.insert(head.position.0, head.digest);
    }
    let outside = FileReader::open(dir.path()).unwrap();
    assert_eq!(outside.head(), journal.reader().head());
    for position in 0..=80 {
        let expected = ends.get(&position).copied();
        assert_eq!(wait(outside.digest_at(Position(position))).unwrap(), expected, "{position}");
        assert_eq!(wait(journal.reader().digest_at(Position(position))).unwrap(), expected, "{position}");
    }
    assert_eq!(wait(outside.digest_at(Position(81))).unwrap(), None);
}

#[test]
fn a_reader_outlives_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(dir.path(), options()).unwrap();
    let entries = append_all(&mut journal, Script::default().batches(20));
    let reader = journal.reader();
    close(journal);
    assert_eq!(wait(reader.read(Position::ZERO, 1_000)).unwrap(), entries);
    for number in 1..=20 {
        let run = ids::run(number);
        let last = entries.iter().rfind(|entry| entry.run() == Some(run)).unwrap();
        assert_eq!(wait(reader.run_head(run)).unwrap(), Some(RunHead { version: Version(3), last: last.position }));
        assert_eq!(wait(reader.named(&format!("job-{number}"))).unwrap(), Some(run));
        assert_eq!(wait(reader.answered(run, last.command_id().unwrap())).unwrap(), Some(last.position));
    }
    // The next writer has its index at once.
    let mut journal = FileJournal::open(dir.path(), options()).unwrap();
    let late = Script::default().life(1);
    assert!(matches!(wait(journal.append(late)), Err(AppendError::Conflict { actual: Version(3), .. })));
}

#[test]
fn what_it_makes_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a").join("b");
    let (journal, _) = written(&data, Script::default().batches(10));
    close(journal);
    let mut seen = 0;
    let mut rest = vec![dir.path().join("a")];
    while let Some(path) = rest.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{}", path.display());
        if metadata.is_dir() {
            rest.extend(std::fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
        }
        seen += 1;
    }
    // Three directories, the lock, the anchor, and segments.
    assert_eq!(seen, 5 + segments(&data).len());
}
