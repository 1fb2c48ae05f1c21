//! The other commands over a journal of which a part is archived.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tachograph_engine::domain::testing::ids;
use tachograph_engine::domain::{Action, StartMode};

use crate::pty::Pty;
use crate::support::{copy, exit, failure, json, numbered, ran, submit, told, write};

struct Archived {
    _dir: tempfile::TempDir,
    plain: PathBuf,
    data: PathBuf,
    bundle: PathBuf,
    last: u64,
}

impl Archived {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (plain, data) = (dir.path().join("plain"), dir.path().join("data"));
        write(&plain, 30);
        copy(&plain, &data);
        let done = json(&data, &["archive", "--before", "1d", "--apply"]);
        let bundle = PathBuf::from(done["bundle"].as_str().unwrap());
        Self { _dir: dir, plain, data, bundle, last: done["last"].as_u64().unwrap() }
    }
}

fn note(data: &Path, arguments: &[&str]) -> String {
    let output = ran(data, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn how_every_run_stands_is_told_as_before() {
    let Archived { plain, data, .. } = &Archived::new();
    let run = ids::run(3).to_string();
    let asked: [&[&str]; 7] = [
        &["runs"],
        &["runs", "--status", "Destroyed"],
        &["show", &run],
        &["show", "job-3"],
        &["state"],
        &["state", "--all"],
        &["ps"],
    ];
    for arguments in asked {
        assert_eq!(json(data, arguments), json(plain, arguments), "{arguments:?}");
    }
    let counted = "SELECT status, count(*) AS n FROM runs GROUP BY status ORDER BY status";
    assert_eq!(json(data, &["sql", counted]), json(plain, &["sql", counted]));
    let about = format!("SELECT status FROM runs WHERE run = '{run}'");
    assert_eq!(json(data, &["sql", &about]), json(plain, &["sql", &about]));
}

#[test]
fn what_happened_before_is_told_by_the_bundle_and_never_as_nothing() {
    let Archived { plain, data, bundle, last, .. } = &Archived::new();
    let run = ids::run(3).to_string();
    let name = bundle.file_name().unwrap().to_str().unwrap();
    for arguments in [["timeline", &run], ["why", &run], ["timeline", "job-3"], ["compare", &run]] {
        let arguments = if arguments[0] == "compare" { vec!["compare", &run, "job-4"] } else { arguments.to_vec() };
        if arguments[1] == "job-3" && json(plain, &["show", "job-3"])["run"] != run.as_str() {
            continue;
        }
        let (code, id, message) = failure(data, &arguments);
        assert_eq!((code, id.as_str()), (2, "archived"), "{arguments:?}: {message}");
        assert!(message.contains(name) && message.contains("--data"), "{message}");
    }
    assert_eq!(json(bundle, &["timeline", &run]), json(plain, &["timeline", &run]));
    for at in [1, *last] {
        let at = at.to_string();
        let (code, id, message) = failure(data, &["state", "--at", &at]);
        assert_eq!((code, id.as_str()), (2, "not_held"), "{message}");
        assert!(message.contains(name), "{message}");
        assert_eq!(json(bundle, &["state", "--at", &at])["runs"], json(plain, &["state", "--at", &at])["runs"]);
    }
    let (code, id, _) = failure(data, &["state", "--at", "2001-01-01T00:00:00Z"]);
    assert_eq!((code, id.as_str()), (2, "archived"));
    let (code, id, message) = failure(data, &["export", "--out", "/dev/null/x"]);
    assert_eq!((code, id.as_str()), (2, "archived"), "{message}");
    for arguments in [vec!["sql", "SELECT count(*) FROM entries"], vec!["tail"], vec!["recheck"], vec!["runs"]] {
        let told = note(data, &arguments);
        assert!(told.contains(name) && told.contains("archived"), "{arguments:?}: {told}");
    }
    let count = json(data, &["sql", "SELECT count(*) AS n, min(position) AS first FROM entries"]);
    assert_eq!(count[0]["first"].as_u64(), Some(last + 1), "{count}");
    let next = (last + 1).to_string();
    assert_eq!(json(data, &["state", "--at", &next])["runs"], json(plain, &["state", "--at", &next])["runs"]);
}

/// Whatever is pushed down, the answer is that of full tables: `(…) = 1` narrows nothing.
#[test]
fn conditions_of_a_question_may_be_about_what_is_archived() {
    let Archived { data, last, .. } = &Archived::new();
    let first = json(data, &["sql", "SELECT min(recorded_at_us) AS at FROM entries"])[0]["at"].as_i64().unwrap();
    for table in ["entries", "events", "refusals"] {
        for condition in [
            "recorded_at < '2020'".to_owned(),
            "recorded_at >= '2020'".to_owned(),
            "recorded_at_us < 1700000003000000".to_owned(),
            format!("recorded_at_us < {first}"),
            format!("recorded_at_us <= {first}"),
            "recorded_at_us BETWEEN 1700000003000000 AND 1700000005000000".to_owned(),
            format!("position <= {last}"),
            format!("position > {last}"),
            "position < 2".to_owned(),
        ] {
            let counted = |condition: &str| {
                json(
                    data,
                    &["sql", &format!("SELECT count(*) AS n, min(position) AS first FROM {table} WHERE {condition}")],
                )
            };
            assert_eq!(counted(&condition), counted(&format!("({condition}) = 1")), "{table}: {condition}");
        }
    }
}

#[test]
fn verification_and_a_second_decision_pass_on_what_stays() {
    let Archived { plain, data, bundle, last, .. } = &Archived::new();
    let verified = json(data, &["verify"]);
    assert_eq!((&verified["sound"], &verified["head"]), (&true.into(), &json(plain, &["verify"])["head"]));
    let archived = &verified["archived"][0];
    assert_eq!((archived["first"].as_u64(), archived["last"].as_u64()), (Some(1), Some(*last)));
    let of_bundle = json(bundle, &["verify"]);
    assert_eq!((&of_bundle["sound"], &of_bundle["bundle"]["root"]), (&true.into(), &archived["root"]), "{of_bundle}");
    assert!(told(data, &["verify"]).contains("archived: entries 1 to "));
    if cfg!(feature = "parquet") {
        let manifest = std::fs::read(bundle.with_extension("parquet").join("tacho-export.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!((manifest["position"].as_u64(), &manifest["journal"]), (Some(*last), &verified["journal"]));
    }
    told(data, &["recheck"]);
    let copy = data.with_file_name("imported");
    told(&copy, &["import", bundle.to_str().unwrap()]);
    told(&copy, &["verify"]);
}

#[test]
fn an_open_prompt_goes_on_with_what_stays() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data, 20);
    let prompt = "tacho> ";
    let mut pty = Pty::tacho(&data, &["sql"], &[("TACHO_HISTORY", "")]);
    pty.writes(prompt).keys(".output csv\r").writes("\n").writes(prompt);
    let questions = [
        "SELECT 'n=' || count(*) || '/' || min(position) AS n FROM entries",
        "SELECT 'r=' || count(*) || '/' || count(status_since) AS n FROM runs",
        "SELECT 'a=' || count(*) || '/' || count(name) AS n FROM attempts",
    ];
    let ask = |pty: &mut Pty, questions: &[&str]| {
        for question in questions {
            let answer = told(&data, &["sql", question, "--output", "csv"]).lines().nth(1).unwrap().to_owned();
            pty.keys(&format!("{question};\r")).writes(&answer).writes(prompt);
        }
    };
    ask(&mut pty, &questions[..2]);
    let done = json(&data, &["archive", "--before", "1d", "--apply"]);
    assert!(done["last"].as_u64() > Some(20), "{done}");
    // One whose tables are filled, one whose tables are not yet, and all of them again.
    ask(&mut pty, &questions[1..]);
    ask(&mut pty, &questions);
    pty.keys("\u{4}");
    let (code, stderr) = pty.ended();
    assert_eq!((code, stderr.matches("entries were archived meanwhile").count()), (Some(0), 1), "{stderr}");
    assert!(stderr.contains(done["bundle"].as_str().unwrap().rsplit('/').next().unwrap()), "{stderr}");
}

/// Commands to runs whose beginning is archived are given again on the runs as they were where the archive ends.
#[test]
fn other_rules_are_tried_on_archived_runs_as_they_stand() {
    let Archived { plain, data, last, .. } = &Archived::new();
    // Of one that is destroyed, and of one that exited with another end.
    let restart = Action::Start {
        attempt: ids::attempt(900),
        runner: "r1".into(),
        mode: StartMode::Restart { previous: ids::attempt(3) },
    };
    let late = [(3, restart), (5, exit(5, 5, 8))].into_iter().enumerate();
    let late: Vec<_> = late.map(|(n, (run, action))| numbered(7_000 + n as u64, ids::run(run), action)).collect();
    for journal in [plain, data] {
        submit(journal, 3_000, &late);
    }
    let told = |journal: &Path, guard: &str| -> Vec<Value> {
        let told = json(journal, &["whatif", "--without", guard]);
        assert_eq!(told["undecided"], 0, "{guard}: {told}");
        let flips = told["runs"].as_array().unwrap().iter();
        flips.filter(|flip| flip["parts_at"].as_u64() > Some(*last)).cloned().collect()
    };
    let restarted = told(data, "run_destroyed");
    assert_eq!((restarted.len(), restarted[0]["run"].as_str()), (1, Some(ids::run(3).to_string().as_str())));
    assert_eq!(restarted, told(plain, "run_destroyed"));
    // Where nothing is archived it parts before.
    let ended = told(data, "conflicting_terminal");
    let five = ids::run(5).to_string();
    let five = ended.iter().find(|flip| flip["run"] == five.as_str()).unwrap();
    assert_eq!(five["would_be"]["outcome"], "Exited with code 8");
}

/// A bundle that no stub names is what a crash between the bundle and the stub leaves, and nobody would look for it.
#[test]
fn a_bundle_that_no_stub_names_is_named_with_what_to_do() {
    let Archived { plain, data, bundle, .. } = &Archived::new();
    let note = |data: &Path| -> Vec<Value> {
        json(data, &["verify"])["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["severity"] == "note")
            .cloned()
            .collect()
    };
    assert_eq!((note(plain), note(data)), (Vec::new(), Vec::new()));
    // As after a crash: the bundle is there, and the journal is as it was.
    let orphan = plain.join("archive").join(bundle.file_name().unwrap());
    std::fs::create_dir(plain.join("archive")).unwrap();
    std::fs::copy(bundle, &orphan).unwrap();
    let found = note(plain);
    assert_eq!((found.len(), found[0]["file"].as_str()), (1, orphan.to_str()), "{found:?}");
    let what = found[0]["what"].as_str().unwrap();
    assert!(what.contains("no stub names it") && what.contains("tacho archive"), "{what}");
    assert!(told(plain, &["verify"]).starts_with("note: "));
    // It is taken over, and named from then on.
    told(plain, &["archive", "--before", "1d", "--apply", "--no-parquet"]);
    assert_eq!(note(plain), Vec::<Value>::new());
}

/// What cannot be looked for takes nothing from what was found, and is told.
#[test]
fn an_archive_that_cannot_be_listed_is_a_note_beside_the_report() {
    let Archived { plain, .. } = &Archived::new();
    let sound = json(plain, &["verify"]);
    let archive = plain.join("archive");
    std::os::unix::fs::symlink("archive", &archive).unwrap();
    let mut report = json(plain, &["verify"]);
    let findings = report["findings"].as_array_mut().unwrap();
    let note = findings.pop().unwrap();
    assert_eq!((note["severity"].as_str(), note["file"].as_str()), (Some("note"), archive.to_str()));
    let what = note["what"].as_str().unwrap();
    assert!(what.contains("were not looked for") && what.contains("Too many levels of symbolic links"), "{what}");
    assert_eq!(report, sound, "all else as without");
    assert!(told(plain, &["verify"]).contains("sound: "));
    // Damage is told as well, with its own exit code.
    let segment = std::fs::read_dir(plain.join("journal")).unwrap().map(|item| item.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = ran(plain, &["verify"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("damage: ") && text.contains("were not looked for"), "{text}");
}

/// Of a session whose opening is archived, its close tells who it was.
#[test]
fn a_session_that_was_opened_before_has_a_row_with_what_stays() {
    let Archived { plain, data, .. } = &Archived::new();
    let asked = "SELECT opened_position, opened_at, host, pid, monotonic_us, recovered, entry_before_at, payload, \
                 closed_position, closed_at FROM sessions";
    let (whole, rest) = (json(plain, &["sql", asked]), json(data, &["sql", asked]));
    assert_eq!((whole.as_array().unwrap().len(), rest.as_array().unwrap().len()), (1, 1), "{rest}");
    for known in ["host", "pid", "closed_position", "closed_at"] {
        assert!(!rest[0][known].is_null() && rest[0][known] == whole[0][known], "{known}: {rest}");
    }
    for archived in ["opened_position", "opened_at", "monotonic_us", "recovered", "entry_before_at", "payload"] {
        assert!(rest[0][archived].is_null(), "{archived}: {rest}");
    }
    assert_eq!(json(data, &["audit", "outages"]), json(plain, &["audit", "outages"]));
}
