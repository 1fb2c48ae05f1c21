//! Bundles through the binary: made, read in place of a directory, verified, imported.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tachograph_adapters::bundle::reveal::{Salts, reveal};
use tachograph_adapters::bundle::{BundleReader, verify};
use tachograph_replay::bundle::check;
use tachograph_replay::output::{Format, Output};
use tempfile::TempDir;

use crate::binary::{READ_COMMANDS, everything, made, ran, stderr, stdout};
use crate::made::{BUILD, NIGHTLY};

/// A made journal, and a place for what is exported from it.
struct Place {
    dir: TempDir,
    data: PathBuf,
}

impl Place {
    fn new() -> Self {
        let (dir, data) = made();
        Self { dir, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Exports into a file of this name.
    fn export(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let out = self.path(name);
        let output = ran(&self.data, &[&["export", "--out", out.to_str().unwrap()], arguments].concat());
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
        out
    }
}

/// Runs a command that fails, and returns its exit code, stable code, and message with remedy. Notes come before.
fn failure(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = ran(data, &[&["--format", "json"], arguments].concat());
    let error: Value = serde_json::from_str(stderr(&output).lines().last().unwrap()).unwrap();
    let text = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), text("code"), format!("{}; {}", text("message"), text("remedy")))
}

#[test]
fn every_read_command_takes_a_bundle_for_the_directory_and_changes_nothing() {
    let place = Place::new();
    for arguments in [&[][..], &["--zstd"]] {
        let bundle = place.export(if arguments.is_empty() { "plain" } else { "small" }, arguments);
        let before = everything(place.dir.path());
        let commands = READ_COMMANDS.iter().filter(|command| **command != ["verify"]);
        for command in commands.chain([&["export", "--jsonl"][..]].iter()) {
            for format in ["json", "text"] {
                let command = [&["--format", format][..], command].concat();
                let (expected, found) = (ran(&place.data, &command), ran(&bundle, &command));
                assert_eq!(stdout(&found), stdout(&expected), "{command:?}");
                assert_eq!((found.status.code(), stderr(&found)), (expected.status.code(), stderr(&expected)));
            }
        }
        assert_eq!(ran(&bundle, &["verify"]).status.code(), Some(0));
        assert!(everything(place.dir.path()) == before, "something was made or changed");
    }
}

#[test]
fn a_flipped_byte_is_damage_for_every_command_and_the_entry_is_named() {
    let place = Place::new();
    let bundle = place.export("bundle", &["--run", BUILD]);
    let mut bytes = fs::read(&bundle).unwrap();
    let at = bytes.windows(4).position(|window| window == b"make").unwrap();
    bytes[at] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let path = bundle.to_str().unwrap();
    let output = ran(&place.data, &["verify", path]);
    assert_eq!(output.status.code(), Some(7));
    let text = stdout(&output);
    assert!(text.contains("entry ") && text.contains("is not as it was written") && text.contains("DAMAGED"), "{text}");
    assert!(!text.contains("proved:"), "{text}");
    let json: Value = serde_json::from_str(&stdout(&ran(&place.data, &["--format", "json", "verify", path]))).unwrap();
    assert_eq!((&json["sound"], &json["proof"]), (&Value::Bool(false), &Value::Null));
    assert!(json["findings"][0]["position"].is_number(), "{json}");
    for command in [&["runs"][..], &["show", BUILD]] {
        let (exit, code, message) = failure(&bundle, command);
        assert_eq!((exit, code.as_str()), (7, "damaged"), "{command:?}: {message}");
    }
}

#[test]
fn what_comes_back_is_the_journal_that_was_exported() {
    let place = Place::new();
    let bundle = place.export("bundle", &["--zstd"]);
    let copy = place.path("copy");
    let output = ran(&copy, &["import", bundle.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = |data: &Path| stdout(&ran(data, &["--format", "json", "verify"]));
    assert_eq!(told(&copy), told(&place.data));
    let (exit, code, _) = failure(&copy, &["import", bundle.to_str().unwrap()]);
    assert_eq!((exit, code.as_str()), (2, "occupied"));
    let range = place.export("range", &["--from", "5", "--to", "9"]);
    let (exit, code, _) = failure(&place.path("other"), &["import", range.to_str().unwrap()]);
    assert_eq!((exit, code.as_str()), (2, "not_whole"));
    assert!(!place.path("other").exists());
}

#[test]
fn wrong_wishes_are_told_and_leave_nothing() {
    let place = Place::new();
    let bundle = place.export("bundle", &[]);
    let (out, key) = (place.path("out"), place.path("key"));
    let (out, key) = (out.to_str().unwrap(), key.to_str().unwrap());
    let files = || everything(place.dir.path()).into_iter().map(|(path, (_, bytes))| (path, bytes)).collect::<Vec<_>>();
    let before = files();
    for (arguments, expected, part) in [
        (&["--redact", "label.team,actr"][..], "invalid_input", "did you mean \"actor\"?"),
        (&["--seal", key], "io", "key"),
        (&["--from", "900"], "nothing_to_export", "position 900"),
        (&["--run", "01KAJ2ZZZZ"], "unknown_run", "01KAJ2ZZZZ"),
        (&["--run", "build", "--from", "1"], "usage", "--from"),
        (&["--jsonl", "--zstd"], "usage", "--zstd"),
        (&["--salts", key], "usage", "--redact"),
    ] {
        let (_, code, message) = failure(&place.data, &[&["export", "--out", out], arguments].concat());
        assert_eq!(code, expected, "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: {message}");
    }
    let (exit, code, _) = failure(&place.data, &["export", "--out", bundle.to_str().unwrap()]);
    assert_eq!((exit, code.as_str()), (2, "occupied"));
    let (exit, code, _) = failure(&place.data, &["verify", "--sealed-by", &"0".repeat(64)]);
    assert_eq!((exit, code.as_str()), (2, "invalid_input"));
    assert!(files() == before, "something was made or changed");
}

#[test]
fn a_seal_that_is_demanded_must_be_there() {
    let place = Place::new();
    let key = place.path("key");
    let key = key.to_str().unwrap();
    let public = stdout(&ran(&place.data, &["seal-key", "--create", key])).trim_end().to_owned();
    assert_eq!(stdout(&ran(&place.data, &["seal-key", key])).trim_end(), public);
    let other = place.path("other");
    let other = stdout(&ran(&place.data, &["seal-key", "--create", other.to_str().unwrap()])).trim_end().to_owned();
    let (sealed, plain) = (place.export("sealed", &["--seal", key]), place.export("plain", &[]));
    let verified = |bundle: &Path, by: &str| ran(bundle, &["verify", "--sealed-by", by]).status.code();
    assert_eq!(verified(&sealed, &public), Some(0));
    assert_eq!((verified(&sealed, &other), verified(&plain, &public)), (Some(7), Some(7)));
    let (_, code, message) = failure(&plain, &["verify", "--sealed-by", &public]);
    assert!(code == "wrong_seal" && message.contains("not sealed"), "{message}");
    assert!(stdout(&ran(&plain, &["verify"])).contains("sealed:   no"));
}

#[test]
fn what_is_redacted_is_in_no_answer_and_can_be_proved() {
    let place = Place::new();
    let salts = place.path("salts");
    let salts = salts.to_str().unwrap();
    let bundle = place.export("bundle", &["--redact", "name,argv", "--salts", salts]);
    let runs = stdout(&ran(&bundle, &["--format", "json", "runs"]));
    assert!(!runs.contains("nightly") && runs.contains(NIGHTLY) && runs.contains("redacted:"), "{runs}");
    assert_eq!(ran(&bundle, &["verify"]).status.code(), Some(0));
    let json = ran(&bundle, &["--format", "json", "verify", "--reveal", salts]);
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let whole: Value = serde_json::from_str(&stdout(&ran(&place.data, &["--format", "json", "verify"]))).unwrap();
    assert_eq!(json["revealed"]["digest"], whole["head"]);
    assert_eq!(json["proof"], "own_root");
}

/// What is printed of a fixture of the format.
fn told(name: &str, salts: Option<&str>, format: Format) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/tests/fixtures/bundle-1");
    let path = fixtures.join(name);
    let report = verify(&path, |_| ()).unwrap();
    let revealed = salts.map(|salts| {
        let salts = Salts::open(&fixtures.join(salts)).unwrap();
        reveal(&BundleReader::open(&path).unwrap(), &salts, |_| ()).unwrap()
    });
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let mut output = Output::into_writer(Box::new(Kept(kept.clone())), false);
    check::print(&report, revealed.as_ref(), Path::new("evidence.tacho"), format, &mut output).unwrap();
    output.flush().unwrap();
    let bytes = kept.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_proved_is_told_exactly() {
    for (name, salts, golden) in [
        ("whole.tacho", None, "bundle-whole"),
        ("range-zstd.tacho", None, "bundle-range"),
        ("run-sealed.tacho", None, "bundle-run"),
        ("redacted.tacho", None, "bundle-redacted"),
        ("redacted.tacho", Some("redacted.salts"), "bundle-revealed"),
    ] {
        crate::golden::check(&format!("{golden}.txt"), &told(name, salts, Format::Text));
        crate::golden::check(&format!("{golden}.json"), &told(name, salts, Format::Json));
    }
}

#[test]
fn only_a_whole_bundle_is_said_to_commit_to_the_journals_digest() {
    let place = Place::new();
    let redact = ["--redact", "name"];
    for (name, part, commits) in
        [("whole", &[][..], true), ("run", &["--run", BUILD], false), ("range", &["--from", "5", "--to", "9"], false)]
    {
        let bundle = place.export(name, &[&redact, part].concat());
        let text = stdout(&ran(&bundle, &["verify"]));
        assert_eq!(text.contains("the journal's digest is committed to"), commits, "{text}");
        let unlinked = "nothing in it ties its entries to the journal's digest";
        assert_eq!(text.contains(unlinked), !commits, "{text}");
        assert!(text.contains("(--reveal) prove"), "{text}");
    }
}
