//! The plan, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Process;

use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::Action;
use tachograph_engine::domain::testing::{ids, spec};

use ulid::Ulid;

use crate::support::{copy, failure, files, go_on, json, numbered, submit, tacho, told, write};

#[test]
fn without_apply_it_says_what_would_go_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let before = files(dir.path());
    let text = told(dir.path(), &["archive", "--before", "1d"]);
    assert!(text.starts_with("would archive ") && text.contains("--apply does it"), "{text}");
    assert!(text.contains("in the last segment with entries"), "{text}");
    let plan = json(dir.path(), &["archive", "--before", "1d"]);
    assert_eq!(
        (&plan["applied"], &plan["first"], &plan["bundle"]),
        (&false.into(), &1.into(), &serde_json::Value::Null)
    );
    assert_eq!((plan["kept_back"]["why"].as_str(), plan["kept_back"]["last"].as_u64()), (Some("last_segment"), None));
    assert!(plan["segments"].as_u64() > Some(3) && plan["entries"] == plan["last"], "{plan}");
    assert_eq!(files(dir.path()), before);
    assert!(!dir.path().join("archive").exists());
    let none = json(dir.path(), &["archive", "--before", "2001-01-01T00:00:00Z"]);
    assert_eq!((&none["first"], none["segments"].as_u64()), (&serde_json::Value::Null, Some(0)), "{none}");
    assert_eq!(none["kept_back"]["why"], "recorded_later");
}

#[test]
fn the_runs_that_keep_the_rest_back_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = numbered(5_000, ids::run(500), Action::Create { spec: std::sync::Arc::new(spec("long")) });
    submit(dir.path(), 0, &[open]);
    write(dir.path(), 20);
    let plan = json(dir.path(), &["archive", "--before", "1d"]);
    let run = ids::run(500).to_string();
    let holding = &plan["kept_back"]["runs"][0];
    assert_eq!(plan["kept_back"]["why"], "runs", "{plan}");
    assert_eq!((holding["run"].as_str(), holding["why"].as_str()), (Some(run.as_str()), Some("open")), "{plan}");
    let text = told(dir.path(), &["archive", "--before", "1d"]);
    assert!(text.contains(&run) && text.contains("has not ended") && text.contains("(long)"), "{text}");
    assert!(text.starts_with("nothing to archive"), "{text}");
}

#[test]
fn a_live_writer_a_bundle_and_the_future_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let (code, name, message) = failure(dir.path(), &["archive", "--before", "2999-01-01T00:00:00Z"]);
    assert_eq!((code, name.as_str()), (2, "invalid_input"), "{message}");
    let (code, name, _) = failure(&dir.path().join("nothing"), &["archive", "--before", "1d", "--apply"]);
    assert_eq!((code, name.as_str()), (6, "no_journal"));
    assert!(!dir.path().join("nothing").exists());
    let journal = FileJournal::open(dir.path(), JournalOptions::default()).unwrap();
    let (code, name, message) = failure(dir.path(), &["archive", "--before", "1d", "--apply"]);
    assert_eq!((code, name.as_str()), (8, "locked"), "{message}");
    assert!(message.contains("stop that writer"), "{message}");
    // The plan takes no lock.
    told(dir.path(), &["archive", "--before", "1d"]);
    drop(journal);
    let file = dir.path().join("evidence");
    told(dir.path(), &["archive", "--before", "1d", "--apply", "--to", file.to_str().unwrap()]);
    let (code, name, _) = failure(&file, &["archive", "--before", "1d"]);
    assert_eq!((code, name.as_str()), (2, "invalid_input"));
    let done = json(dir.path(), &["archive", "--before", "1d", "--apply"]);
    assert_eq!((&done["applied"], done["segments"].as_u64()), (&true.into(), Some(0)), "nothing is left to go: {done}");
}

#[test]
fn a_directory_in_the_way_of_the_tables_is_named_and_nothing_is_archived_before_it_is_away() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 20);
    let (asked, plan) = (["archive", "--before", "1d", "--apply"], ["archive", "--before", "1d"]);
    let last = json(dir.path(), &["archive", "--before", "1d"])["last"].as_u64().unwrap();
    let beside = |ending: &str| dir.path().join("archive").join(format!("{:020}-{last:020}.{ending}", 1));
    let (tables, bundle, before) = (beside("parquet"), beside("tacho"), files(dir.path()));
    let told_of = |asked: &[&str], id: &str, exit: i32, what: &str| {
        let (code, name, message) = failure(dir.path(), asked);
        assert_eq!((code, name.as_str()), (exit, id), "{message}");
        let remedy = format!("move {} away, or leave the tables out with --no-parquet", tables.display());
        for part in [remedy.as_str(), what] {
            assert!(message.contains(part), "{part:?}: {message}");
        }
        assert!(!message.contains("nothing was written"), "{message}");
        assert!(files(dir.path()) == before);
    };
    // What shows before, the plan tells as well, and no bundle is made.
    let refused = |id: &str, exit: i32| {
        for asked in [&plan[..], &asked] {
            told_of(asked, id, exit, "nothing was archived, and no bundle made");
            assert!(!bundle.exists());
        }
    };
    fs::create_dir_all(tables.parent().unwrap()).unwrap();
    fs::write(&tables, "mine").unwrap();
    refused("occupied", 2);
    fs::remove_file(&tables).unwrap();
    fs::create_dir(&tables).unwrap();
    fs::write(tables.join("notes"), "mine").unwrap();
    refused("occupied", 2);
    fs::write(tables.join("tacho-export.json"), "mine").unwrap();
    refused("export_altered", 7);
    fs::remove_dir_all(&tables).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let export = elsewhere.path().join("export");
    told(dir.path(), &["export", "--parquet", export.to_str().unwrap()]);
    copy(&export, &tables);
    refused("export_ahead", 2);
    let manifest = tables.join("tacho-export.json");
    let other = fs::read_to_string(&manifest).unwrap().replace(&Ulid(7).to_string(), &Ulid(8).to_string());
    fs::write(&manifest, other).unwrap();
    refused("other_journal", 2);
    fs::remove_dir_all(&tables).unwrap();
    // What was to be completed and cannot be shows only then.
    fs::create_dir_all(tables.join(".tacho-ready")).unwrap();
    fs::write(tables.join(".tacho-ready/plan.json"), "mine").unwrap();
    told(dir.path(), &plan);
    let kept = format!("nothing was archived yet, and the bundle {} is kept", bundle.display());
    told_of(&asked, "export_altered", 7, &kept);
    assert!(bundle.is_file());
    // What is said to help does: the bundle is taken over.
    fs::rename(&tables, dir.path().join("away")).unwrap();
    let made = fs::read(&bundle).unwrap();
    let done = json(dir.path(), &asked);
    assert_eq!((done["bundle"].as_str(), done["last"].as_u64()), (bundle.to_str(), Some(last)), "{done}");
    assert!(fs::read(&bundle).unwrap() == made && tables.join("tacho-export.json").is_file());
}

#[test]
fn a_directory_where_no_tables_can_be_made_is_told_before_anything_is_made() {
    let can =
        |program: &str| Process::new(program).args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if rustix::process::geteuid().is_root() && !can("unshare") {
        assert!(std::env::var_os("TACHO_TEST_ALL").is_none(), "no read-only mount can be made here: unshare is needed");
        println!("no read-only mount can be made here, and root is bound by nothing else");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, fixed) = (dir.path().join("data"), dir.path().join("fixed"));
    write(&data, 20);
    fs::create_dir(&fixed).unwrap();
    let (before, to) = (files(&data), fixed.join("x.tacho"));
    let asked = ["--format", "json", "archive", "--before", "1d", "--to", to.to_str().unwrap()];
    let refused = |more: &[&str]| {
        let output = without_writing(&fixed, tacho(&data, &[&asked, more].concat())).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{more:?}: {error}");
        for part in ["\"io\"", "cannot write to", "nothing was archived, and no bundle made", "--no-parquet"] {
            assert!(error.contains(part), "{part:?}: {error}");
        }
        assert!(files(&data) == before && fs::read_dir(&fixed).unwrap().next().is_none());
    };
    refused(&[]);
    refused(&["--apply"]);
    // Where no tables are asked for, nothing is looked for.
    let output = without_writing(&fixed, tacho(&data, &[&asked[..], &["--no-parquet"]].concat())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The same program where nobody may write to a directory: root is bound by a mount of its own alone, others by permissions.
fn without_writing(directory: &Path, program: Process) -> Process {
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o500)).unwrap();
        return program;
    }
    const SCRIPT: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut bound = Process::new("unshare");
    bound
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(directory)
        .arg(program.get_program())
        .args(program.get_args());
    program.get_envs().for_each(|(name, value)| match value {
        Some(value) => _ = bound.env(name, value),
        None => _ = bound.env_remove(name),
    });
    bound
}

#[test]
fn a_place_where_no_bundle_can_be_made_is_told_before_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("evidence"));
    write(&data, 20);
    let copied = dir.path().join("copied");
    copy(&data, &copied);
    let asked = |to: &Path| ["archive", "--before", "1d", "--to", to.to_str().unwrap()].map(str::to_owned);
    let refused = |data: &Path, asked: &[&str], id: &str| {
        let before = files(data);
        for more in [&[][..], &["--apply"]] {
            let (code, name, message) = failure(data, &[asked, more].concat());
            assert_eq!((code, name.as_str()), (2, id), "{more:?}: {message}");
            assert!(message.contains("nothing was archived"), "{message}");
        }
        assert!(files(data) == before);
    };
    fn words(asked: &[String]) -> Vec<&str> {
        asked.iter().map(String::as_str).collect()
    }
    fs::write(&file, "mine").unwrap();
    refused(&data, &words(&asked(&file)), "occupied");
    refused(&data, &words(&asked(&data.join("journal/x.tacho"))), "invalid_input");
    // One that an archiving of the same entries made is in nobody's way, and one of others is.
    fs::remove_file(&file).unwrap();
    told(&data, &words(&asked(&file)));
    assert!(!file.exists());
    told(&data, &[&words(&asked(&file))[..], &["--apply", "--no-parquet"]].concat());
    assert!(told(&copied, &words(&asked(&file))).starts_with("would archive"));
    go_on(&copied, 1_000, 21..=40);
    refused(&copied, &words(&asked(&file)), "occupied");
    // The place that is taken if none is named is looked at as well.
    let last = json(&copied, &["archive", "--before", "1d"])["last"].as_u64().unwrap();
    assert!(!copied.join("archive").exists());
    fs::create_dir(copied.join("archive")).unwrap();
    fs::write(copied.join("archive").join(format!("{:020}-{last:020}.tacho", 1)), "mine").unwrap();
    refused(&copied, &["archive", "--before", "1d"], "occupied");
}
