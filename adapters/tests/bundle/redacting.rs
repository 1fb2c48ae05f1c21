//! What is left out of a bundle is nowhere in it, and can be proved by whoever has the salts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tachograph_adapters::bundle::redaction::Selector;
use tachograph_adapters::bundle::reveal::{Salts, reveal};
use tachograph_adapters::bundle::{
    BundleError, BundleReader, Chain, Compression, Exported, Proof, Request, Selection, export, import, verify,
};
use tachograph_adapters::journal;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalReader;
use tempfile::TempDir;

use crate::support::{Secrets, bundled, exported, recorded, request, secret};

const RUNS: u64 = 40;

struct Made {
    secrets: Secrets,
    dir: TempDir,
    exported: Exported,
}

impl Made {
    fn redacted(selection: Selection, compression: Compression, redact: &[&str]) -> Self {
        let (secrets, dir) = (Secrets::of_runs(RUNS), TempDir::new().unwrap());
        let redact: Vec<Selector> = redact.iter().map(|path| path.parse().unwrap()).collect();
        let salts = Some(dir.path().join("salts"));
        let request = Request { redact, salts, compression, ..request(selection) };
        let exported = exported(secrets.data.path(), &dir.path().join("bundle"), &request);
        Self { secrets, dir, exported }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn salts(&self) -> PathBuf {
        self.dir.path().join("salts")
    }
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Every byte of a bundle that anybody can get at: the file, and what its entries are decompressed to.
pub(crate) fn all_bytes(bundle: &Path) -> Vec<u8> {
    let mut bytes = fs::read(bundle).unwrap();
    for entry in bundled(bundle) {
        tachograph_engine::codec::encode_entry(&entry, &mut bytes);
    }
    bytes
}

#[test]
fn a_redacted_value_is_nowhere_and_everything_else_is_there() {
    for compression in [Compression::None, Compression::Zstd] {
        let made = Made::redacted(Selection::WHOLE, compression, &["label.secret"]);
        let before = recorded(made.secrets.data.path());
        let mut plain = Vec::new();
        before.iter().for_each(|entry| tachograph_engine::codec::encode_entry(entry, &mut plain));
        let bytes = all_bytes(&made.bundle());
        for number in 1..=RUNS {
            assert!(contains(&plain, &secret(number)), "the journal has it");
            assert!(!contains(&bytes, &secret(number)), "run {number}");
        }
        assert!(contains(&bytes, "infra") && contains(&bytes, "job-7"), "what was not asked for is gone");
        let report = verify(&made.bundle(), |_| ()).unwrap();
        assert_eq!((report.findings, report.manifest.chain), (Vec::new(), Chain::Own));
        let after = bundled(&made.bundle());
        let ids = |entries: &[Entry]| entries.iter().map(|entry| (entry.id, entry.position)).collect::<Vec<_>>();
        assert_eq!(ids(&after), ids(&before));
        let redacted = &made.exported.manifest.redacted;
        let count = |path: &str| redacted.iter().find(|redacted| redacted.path == path).map(|redacted| redacted.values);
        // The command of a create refers to the spec of its event, and both are seen; a failure is in both, too.
        assert_eq!(count("label.secret"), Some(2 * RUNS), "{redacted:?}");
        assert!(count("argv") > Some(0) && count("message") > Some(0) && count("diagnostics") > Some(0));
        assert_eq!(verify(&made.bundle(), |_| ()).unwrap().proof(), Some(Proof::Root));
    }
}

#[test]
fn the_digests_of_the_journal_are_not_told_for_they_would_show_whether_a_guess_is_right() {
    let made = Made::redacted(Selection::WHOLE, Compression::None, &["label.secret"]);
    let bytes = fs::read(made.bundle()).unwrap();
    let reader = journal::FileReader::open(made.secrets.data.path()).unwrap();
    let mut asked = 0;
    for position in 1..=reader.head().position.0 {
        if let Some(digest) = crate::support::wait(reader.digest_at(Position(position))).unwrap() {
            assert!(!bytes.windows(32).any(|window| window == digest.0), "the digest at {position}");
            asked += 1;
        }
    }
    assert!(asked > RUNS, "{asked}");
}

#[test]
fn salts_prove_every_value_and_the_digest_of_the_journal() {
    let made = Made::redacted(Selection::WHOLE, Compression::Zstd, &["label.secret", "runner", "name"]);
    assert_eq!(fs::metadata(made.salts()).unwrap().permissions().mode() & 0o777, 0o600);
    let bundle = BundleReader::open(&made.bundle()).unwrap();
    let mut back = Vec::new();
    let revealed = reveal(&bundle, &Salts::open(&made.salts()).unwrap(), |entry| back.push(entry.clone())).unwrap();
    let head = journal::FileReader::open(made.secrets.data.path()).unwrap().head();
    assert_eq!(revealed.digest, Some(head));
    assert!(revealed.replaced == revealed.revealed && revealed.replaced > RUNS * 5, "{revealed:?}");
    assert!(back == recorded(made.secrets.data.path()));
}

#[test]
fn some_of_the_salts_prove_some_of_the_values() {
    let made = Made::redacted(Selection::WHOLE, Compression::None, &["label.secret"]);
    let text = fs::read_to_string(made.salts()).unwrap();
    let own: Vec<&str> = text.lines().filter(|line| line.contains(&secret(3))).collect();
    let some = made.dir.path().join("some");
    fs::write(&some, own.join("\n") + "\n").unwrap();
    let bundle = BundleReader::open(&made.bundle()).unwrap();
    let mut back = Vec::new();
    let revealed = reveal(&bundle, &Salts::open(&some).unwrap(), |entry| back.push(entry.clone())).unwrap();
    assert!(revealed.digest.is_none() && 0 < revealed.revealed && revealed.revealed < revealed.replaced);
    let before = recorded(made.secrets.data.path());
    for (entry, original) in back.iter().zip(&before) {
        assert_eq!(entry == original, entry.run() == Some(ids::run(3)) || !has_secret(original), "{}", entry.position);
    }
    // Another value for the same commitment is refused.
    fs::write(&some, own.join("\n").replace(&secret(3), &secret(4))).unwrap();
    let refused = Salts::open(&some).unwrap_err().to_string();
    assert!(refused.contains("does not fit its commitment"), "{refused}");
}

fn has_secret(entry: &Entry) -> bool {
    let mut bytes = Vec::new();
    tachograph_engine::codec::encode_entry(entry, &mut bytes);
    contains(&bytes, "battery-staple")
}

#[test]
fn parts_are_redacted_alike() {
    let range = Selection::Positions { first: Position(9), last: Position(30) };
    for (selection, entries) in [(Selection::Run(ids::run(5)), 4), (range, 22)] {
        let made = Made::redacted(selection, Compression::Zstd, &["label.secret"]);
        let bytes = all_bytes(&made.bundle());
        assert!((1..=RUNS).all(|number| !contains(&bytes, &secret(number))));
        let report = verify(&made.bundle(), |_| ()).unwrap();
        assert_eq!((report.findings.len(), report.proof(), report.entries), (0, Some(Proof::Root), entries));
    }
}

#[test]
fn a_redacted_bundle_becomes_a_sound_journal() {
    let made = Made::redacted(Selection::WHOLE, Compression::Zstd, &["label.secret"]);
    let data = made.dir.path().join("data");
    assert_eq!(import(&made.bundle(), &data, None, |_| ()).unwrap().chain, Chain::Own);
    assert!(journal::verify(&data, |_| ()).unwrap().is_sound());
    assert_eq!(recorded(&data), bundled(&made.bundle()));
}

#[test]
fn a_misspelt_path_is_no_selector() {
    for right in ["name", "label", "label.secret", "label.a.b", "argv", "actor", "host"] {
        assert!(right.parse::<Selector>().is_ok(), "{right}");
    }
    for wrong in ["", "label.", "labels", "argw", "Name", "machine", "key"] {
        assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
    }
}

#[test]
fn ids_that_follow_from_the_content_can_be_guessed_and_stop_a_redaction() {
    let data = crate::support::imported_history();
    let out = TempDir::new().unwrap();
    for selection in [Selection::WHOLE, Selection::Run(ids::run(1))] {
        let path = out.path().join("bundle");
        let redacting = || Request { redact: vec!["name".parse().unwrap()], ..request(selection) };
        let refused = export(data.path(), &path, &redacting(), |_| ()).unwrap_err();
        assert!(matches!(&refused, BundleError::GuessableIds { host } if host == "import of jsonl"), "{refused}");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "something was left");
        exported(data.path(), &path, &Request { guessable_ids: true, ..redacting() });
        fs::remove_file(&path).unwrap();
        exported(data.path(), &path, &request(selection));
        fs::remove_file(&path).unwrap();
    }
    // Also when the one thing that says so was left out of what it was imported from.
    let (hidden, copy) = (out.path().join("hidden"), out.path().join("copy"));
    let request = Request { redact: vec!["host".parse().unwrap()], ..request(Selection::WHOLE) };
    exported(data.path(), &hidden, &Request { guessable_ids: true, ..request });
    import(&hidden, &copy, None, |_| ()).unwrap();
    let again = Request { redact: vec!["name".parse().unwrap()], ..crate::support::request(Selection::WHOLE) };
    let refused = export(&copy, &out.path().join("again"), &again, |_| ()).unwrap_err();
    assert_eq!(refused.code(), "guessable_ids");
}

#[test]
fn salts_of_another_bundle_are_no_damage() {
    let made = Made::redacted(Selection::WHOLE, Compression::None, &["label.secret"]);
    let whole = made.dir.path().join("whole");
    exported(made.secrets.data.path(), &whole, &request(Selection::WHOLE));
    let salts = Salts::open(&made.salts()).unwrap();
    let refused = reveal(&BundleReader::open(&whole).unwrap(), &salts, |_| ()).unwrap_err();
    assert_eq!(refused.code(), "other_salts", "{refused}");
    // One of which nothing was left out, but that says it could have been: only its head tells.
    let nothing = made.dir.path().join("nothing");
    let redact = vec!["label.absent".parse().unwrap()];
    exported(made.secrets.data.path(), &nothing, &Request { redact, ..request(Selection::WHOLE) });
    let refused = reveal(&BundleReader::open(&nothing).unwrap(), &salts, |_| ()).unwrap_err();
    assert_eq!(refused.code(), "other_salts", "{refused}");
}
