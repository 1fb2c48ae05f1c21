//! What is exported is what was recorded, and it is found as quickly.

use std::fs;

use tachograph_adapters::bundle::{
    BundleError, BundleReader, Chain, Compression, Proof, Scope, Selection, export, verify,
};
use tachograph_adapters::journal::FileReader;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{EntryBody, Position};
use tachograph_engine::ports::JournalReader;
use tempfile::TempDir;

use crate::support::{Secrets, bundled, exported, fixture, recorded, request, wait};

fn between(first: u64, last: u64) -> Selection {
    Selection::Positions { first: Position(first), last: Position(last) }
}

#[test]
fn a_whole_bundle_has_every_entry_and_the_digest_of_the_journal() {
    let dir = TempDir::new().unwrap();
    for compression in [Compression::None, Compression::Zstd] {
        let out = dir.path().join(format!("{compression:?}"));
        let made = exported(&fixture(), &out, &crate::support::request(Selection::WHOLE).with(compression));
        let reader = FileReader::open(&fixture()).unwrap();
        assert_eq!(made.manifest.tip, reader.head());
        assert_eq!(bundled(&out), recorded(&fixture()));
        let report = verify(&out, |_| ()).unwrap();
        assert_eq!((report.findings.len(), report.proof()), (0, Some(Proof::Journal)));
        assert_eq!((report.entries, report.closed, report.bytes), (made.manifest.entries, true, made.bytes));
        assert_eq!(made.bytes, fs::metadata(&out).unwrap().len());
    }
    let bytes = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
    assert!(bytes("Zstd") * 2 < bytes("None"), "{} of {}", bytes("Zstd"), bytes("None"));
}

trait With {
    fn with(self, compression: Compression) -> Self;
}

impl With for tachograph_adapters::bundle::Request {
    fn with(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }
}

#[test]
fn every_question_has_the_same_answer_from_a_bundle() {
    let secrets = Secrets::of_runs(60);
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("bundle");
    exported(secrets.data.path(), &out, &request(Selection::WHOLE).with(Compression::Zstd));
    let (bundle, journal) = (BundleReader::open(&out).unwrap(), FileReader::open(secrets.data.path()).unwrap());
    let end = journal.head().position;
    assert_eq!(bundle.head(), journal.head());
    for at in 0..=end.0 + 1 {
        let at = Position(at);
        assert_eq!(wait(bundle.entry(at)).unwrap(), wait(journal.entry(at)).unwrap(), "{at}");
        assert_eq!(wait(bundle.digest_at(at)).unwrap(), wait(journal.digest_at(at)).unwrap(), "{at}");
        assert_eq!(wait(bundle.read(at, 5)).unwrap(), wait(journal.read(at, 5)).unwrap(), "{at}");
    }
    let (whole, reader) = (dir.path().join("whole"), FileReader::open(&fixture()).unwrap());
    exported(&fixture(), &whole, &request(Selection::WHOLE));
    let opened = BundleReader::open(&whole).unwrap();
    for (after, up_to) in [(0, 64), (0, 1), (1, 64), (2, 63), (2, u64::MAX)] {
        let (after, up_to) = (Position(after), Position(up_to));
        let facts = wait(opened.facts(after, up_to)).unwrap();
        assert_eq!(facts, wait(reader.facts(after, up_to)).unwrap(), "{after} {up_to}");
    }
    for number in 0..=61 {
        let run = ids::run(number);
        assert_eq!(wait(bundle.run_head(run)).unwrap(), wait(journal.run_head(run)).unwrap(), "{number}");
        assert_eq!(wait(bundle.history(run)).unwrap(), wait(journal.history(run)).unwrap(), "{number}");
        let name = format!("job-{number}");
        assert_eq!(wait(bundle.named(&name)).unwrap(), wait(journal.named(&name)).unwrap(), "{number}");
    }
    for (run, command) in [(1, 1), (7, 26), (1, 999)] {
        let (run, command) = (ids::run(run), ids::command(command));
        assert_eq!(wait(bundle.answered(run, command)).unwrap(), wait(journal.answered(run, command)).unwrap());
    }
}

#[test]
fn a_range_has_whole_commits_and_leads_to_the_digest_at_its_end() {
    let dir = TempDir::new().unwrap();
    let (all, reader) = (recorded(&fixture()), FileReader::open(&fixture()).unwrap());
    let end = all.len() as u64;
    for (first, last) in [(2, 2), (5, 40), (20, u64::MAX), (1, 30), (end, end)] {
        let out = dir.path().join(format!("{first}-{last}"));
        let made = exported(&fixture(), &out, &request(between(first, last)));
        let (from, to) = (made.manifest.first.0, made.manifest.tip.position.0);
        assert!(from <= first && first < from + 3 && to >= last.min(end) && to < last.min(end) + 3, "{from} {to}");
        assert_eq!(bundled(&out), all[from as usize - 1..to as usize]);
        let digest = wait(reader.digest_at(made.manifest.tip.position)).unwrap();
        assert_eq!(digest, Some(made.manifest.tip.digest));
        let report = verify(&out, |_| ()).unwrap();
        let expected = if first == 1 { Proof::Journal } else { Proof::JournalRange };
        assert_eq!((report.findings.len(), report.proof()), (0, Some(expected)), "{first} {last}");
        assert_eq!(made.manifest.journal_head, reader.head());
    }
}

#[test]
fn the_bundle_of_a_run_has_its_entries_and_the_facts_between_them_and_no_others() {
    let dir = TempDir::new().unwrap();
    for number in 1..=5 {
        let (run, out) = (ids::run(number), dir.path().join(number.to_string()));
        let made = exported(&fixture(), &out, &request(Selection::Run(run)));
        assert_eq!((made.manifest.scope, made.manifest.chain), (Scope::Run(run), Chain::Own));
        let about = |entry: &&tachograph_engine::domain::Entry| entry.run() == Some(run);
        let all = recorded(&fixture());
        let (first, last) = (all.iter().find(about).unwrap(), all.iter().rfind(about).unwrap());
        let within = first.position..=last.position;
        let expected: Vec<_> = all
            .iter()
            .filter(|entry| {
                about(entry) || (matches!(entry.body, EntryBody::System(_)) && within.contains(&entry.position))
            })
            .cloned()
            .collect();
        assert_eq!(bundled(&out), expected);
        let report = verify(&out, |_| ()).unwrap();
        assert_eq!((report.findings.len(), report.proof()), (0, Some(Proof::Root)));
        let bundle = BundleReader::open(&out).unwrap();
        let journal = FileReader::open(&fixture()).unwrap();
        assert_eq!(wait(bundle.history(run)).unwrap(), wait(journal.history(run)).unwrap());
    }
}

#[test]
fn a_bundle_of_a_bundle_is_the_same_as_of_its_journal() {
    let dir = TempDir::new().unwrap();
    let whole = dir.path().join("whole");
    exported(&fixture(), &whole, &request(Selection::WHOLE).with(Compression::Zstd));
    for (name, selection) in
        [("all", Selection::WHOLE), ("range", between(5, 40)), ("run", Selection::Run(ids::run(1)))]
    {
        let (direct, indirect) = (dir.path().join(name), dir.path().join(format!("{name}-again")));
        exported(&fixture(), &direct, &request(selection));
        exported(&whole, &indirect, &request(selection));
        assert!(fs::read(&direct).unwrap() == fs::read(&indirect).unwrap(), "{name}");
    }
    let refused = export(&dir.path().join("run"), &dir.path().join("no"), &request(Selection::WHOLE), |_| ());
    assert!(matches!(refused, Err(BundleError::NotWhole { .. })), "{refused:?}");
}

#[test]
fn nothing_is_replaced_or_left_half_made() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("bundle");
    fs::write(&out, "mine").unwrap();
    let refused = export(&fixture(), &out, &request(Selection::WHOLE), |_| ());
    assert!(matches!(refused, Err(BundleError::Occupied { .. })), "{refused:?}");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    let other = dir.path().join("other");
    for selection in [between(1_000, 2_000), Selection::Run(ids::run(77))] {
        let refused = export(&fixture(), &other, &request(selection), |_| ());
        assert!(matches!(refused, Err(BundleError::Nothing { .. })), "{refused:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "an unfinished file was left");
    let replacing = tachograph_adapters::bundle::Request { replaces: true, ..request(Selection::WHOLE) };
    exported(&fixture(), &out, &replacing);
    assert_eq!(bundled(&out), recorded(&fixture()));
}
