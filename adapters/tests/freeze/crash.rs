use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use tachograph_adapters::freeze::{CgroupUse, FreezeTarget, Freezer, ProcessFreezer, ThawReport};
use tachograph_adapters::process::ATTEMPT_VARIABLE;
use tachograph_engine::domain::Ordinal;

use crate::support::{Attempt, PATIENCE, cgroup_of, helper, kill, options, states, until, ways};

const LOOP: &str = "echo ready; while kill -0 $T; do :; done";

#[test]
fn opening_thaws_what_was_forgotten_and_reports_it_once() {
    for way in ways() {
        let attempt = Attempt::sh(LOOP);
        let home = cgroup_of(attempt.pid());
        std::mem::forget(attempt.freeze(way).unwrap());
        assert!(attempt.stands(attempt.pid()));
        let report = attempt.open(way).1;
        assert_eq!(report, ThawReport { thawed: vec![(attempt.target.attempt, 1)], ..ThawReport::default() });
        assert!(!attempt.stands(attempt.pid()) && !attempt.marker().exists());
        assert_eq!(cgroup_of(attempt.pid()), home);
        assert_eq!(attempt.open(way).1, ThawReport::default());
        attempt.freeze(way).unwrap().thaw().unwrap();
    }
}

#[test]
fn freezing_again_thaws_what_an_earlier_freeze_left() {
    for way in ways() {
        let attempt = Attempt::sh(LOOP);
        let freezer = attempt.open(way).0;
        std::mem::forget(attempt.freeze(way).unwrap());
        let frozen = freezer.freeze(&attempt.target).unwrap();
        frozen.verify().unwrap();
        frozen.thaw().unwrap();
        assert!(!attempt.stands(attempt.pid()), "what was stopped by the first is not taken for stopped before");
    }
}

/// How the line of a holder begins that says what became of its freeze.
const TOLD: &str = "it is ";

/// Freezes what its environment says and holds it until it is killed.
#[test]
#[ignore = "a helper of other tests"]
fn holds() {
    let variable = |name| std::env::var(name).unwrap();
    let cgroup = if variable("TACHO_TEST_CGROUP") == "auto" { CgroupUse::Auto } else { CgroupUse::Off };
    let options = options(cgroup);
    let (run, attempt) = (variable("TACHO_TEST_RUN"), variable("TACHO_TEST_ATTEMPT"));
    let target = FreezeTarget { run: run.parse().unwrap(), attempt: attempt.parse().unwrap(), ordinal: Ordinal(1) };
    let data = PathBuf::from(variable("TACHO_TEST_DATA"));
    let frozen = ProcessFreezer::open(&data, options).0.freeze(&target);
    println!("\n{TOLD}{}", frozen.as_ref().err().map_or("frozen", |error| error.code()));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::mem::forget(frozen);
    std::process::exit(0);
}

fn holder(attempt: &Attempt, way: CgroupUse, naming_it: bool) -> (Child, String) {
    let mut command = helper("crash::holds");
    command
        .env("TACHO_TEST_CGROUP", if way == CgroupUse::Auto { "auto" } else { "off" })
        .env("TACHO_TEST_RUN", attempt.target.run.to_string())
        .env("TACHO_TEST_ATTEMPT", attempt.target.attempt.to_string())
        .env("TACHO_TEST_DATA", attempt.data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if naming_it {
        command.env(ATTEMPT_VARIABLE, attempt.target.attempt.to_string());
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (teller, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || teller.send(lines.find_map(|line| Some(line.strip_prefix(TOLD)?.to_owned()))));
    // One that stopped itself says nothing more.
    let told = told.recv_timeout(PATIENCE).ok().flatten().unwrap_or_else(|| {
        let _ = child.kill();
        "silent".to_owned()
    });
    (child, told)
}

#[test]
fn a_killed_holders_freeze_is_undone_and_a_living_ones_is_not() {
    for way in ways() {
        let attempt = Attempt::sh(LOOP);
        let (mut holder, told) = holder(&attempt, way, false);
        assert_eq!(told, "frozen");
        let (freezer, report) = attempt.open(way);
        assert_eq!(report.held, [(attempt.target.attempt, holder.id())]);
        assert!(attempt.stands(attempt.pid()));
        let error = freezer.freeze(&attempt.target).err().unwrap();
        assert_eq!((error.code(), attempt.stands(attempt.pid())), ("held", true));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(attempt.stands(attempt.pid()));
        assert_eq!(attempt.open(way).1.thawed, [(attempt.target.attempt, 1)]);
        assert!(!attempt.stands(attempt.pid()));
    }
}

#[test]
fn a_freezer_does_not_freeze_itself() {
    let attempt = Attempt::sh(LOOP);
    let (mut holder, told) = holder(&attempt, CgroupUse::Off, true);
    assert_eq!(told, "unidentified");
    assert!(!attempt.stands(attempt.pid()));
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn a_marker_of_another_boot_means_nobody() {
    let attempt = Attempt::sh(LOOP);
    std::mem::forget(attempt.freeze(CgroupUse::Off).unwrap());
    attempt.edit_marker(|marker| marker["freezer"]["boot_id"] = "another".into());
    let report = attempt.open(CgroupUse::Off).1;
    assert_eq!(report, ThawReport { of_former_boots: vec![attempt.target.attempt], ..ThawReport::default() });
    assert!(attempt.stands(attempt.pid()) && !attempt.marker().exists());
}

#[test]
fn a_marked_pid_that_went_to_somebody_else_is_not_signalled() {
    let attempt = Attempt::sh(LOOP);
    std::mem::forget(attempt.freeze(CgroupUse::Off).unwrap());
    attempt.edit_marker(|marker| {
        let start = &mut marker["method"]["signals"]["members"][0]["start_ticks"];
        *start = (start.as_u64().unwrap() + 1).into();
    });
    assert_eq!(attempt.open(CgroupUse::Off).1.thawed, [(attempt.target.attempt, 0)]);
    assert!(attempt.stands(attempt.pid()));
}

#[test]
fn a_marker_cannot_send_anybody_elsewhere() {
    if !ways().contains(&CgroupUse::Auto) {
        return;
    }
    let attempt = Attempt::sh(LOOP);
    std::mem::forget(attempt.freeze(CgroupUse::Auto).unwrap());
    let own = cgroup_of(attempt.pid()).unwrap();
    let true_name = std::fs::read(attempt.marker()).unwrap();
    for path in [own.parent().unwrap().to_owned(), own.join(".."), PathBuf::from("/etc").join(own.file_name().unwrap())]
    {
        attempt.edit_marker(|marker| marker["method"]["cgroup"]["path"] = path.to_str().unwrap().into());
        let report = attempt.open(CgroupUse::Auto).1;
        assert_eq!((report.failed.len(), report.thawed.len()), (1, 0), "{report:?}");
        assert!(attempt.stands(attempt.pid()) && attempt.marker().exists());
    }
    std::fs::write(attempt.marker(), true_name).unwrap();
    assert_eq!(attempt.open(CgroupUse::Auto).1.thawed.len(), 1);
}

#[test]
fn what_is_dead_does_not_count_as_going_on() {
    let attempt = Attempt::sh(LOOP);
    std::mem::forget(attempt.freeze(CgroupUse::Off).unwrap());
    kill(attempt.pid(), Signal::KILL);
    // A zombie: the test has not waited for it.
    until("dead", || states(attempt.pid()) == ['Z']);
    let report = attempt.open(CgroupUse::Off).1;
    assert_eq!(report, ThawReport { thawed: vec![(attempt.target.attempt, 0)], ..ThawReport::default() });
    assert!(!attempt.marker().exists());
}

#[test]
fn a_marker_that_cannot_be_read_is_set_aside_by_the_next_freeze() {
    let attempt = Attempt::sh(LOOP);
    for number in [1, 2] {
        let aside = attempt.marker().with_extension(format!("unreadable-{number}"));
        std::fs::create_dir_all(attempt.marker().parent().unwrap()).unwrap();
        std::fs::write(attempt.marker(), format!("half {number}")).unwrap();
        let frozen = attempt.freeze(CgroupUse::Off).unwrap();
        assert!(attempt.marker().exists());
        frozen.thaw().unwrap();
        assert_eq!(std::fs::read_to_string(aside).unwrap(), format!("half {number}"));
        assert!(!attempt.marker().exists());
    }
    assert_eq!(attempt.open(CgroupUse::Off).1, ThawReport::default(), "they are no markers any more");
}

#[test]
fn markers_that_cannot_be_read_are_reported_and_stay() {
    let attempt = Attempt::sh(LOOP);
    std::mem::forget(attempt.freeze(CgroupUse::Off).unwrap());
    let whole = std::fs::read_to_string(attempt.marker()).unwrap();
    let other_name = attempt.marker().with_file_name(format!("{}.json", ulid::Ulid::new()));
    let contents = [String::new(), "{".to_owned(), "[]".to_owned(), whole[..whole.len() / 2].to_owned()];
    let contents = contents.into_iter().chain([whole.replace("\"format\": 1", "\"format\": 99")]);
    for content in contents {
        std::fs::write(attempt.marker(), &content).unwrap();
        std::fs::write(&other_name, &whole).unwrap();
        let report = attempt.open(CgroupUse::Off).1;
        assert_eq!((report.failed.len(), report.thawed.len()), (2, 0), "{content:?}: {report:?}");
        assert!(attempt.marker().exists() && other_name.exists());
    }
    std::fs::remove_file(&other_name).unwrap();
    std::fs::remove_file(attempt.marker()).unwrap();
    // A pipe there is not waited for, and a directory is no file.
    let pipe = attempt.marker();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::fs::create_dir(&other_name).unwrap();
    assert_eq!(attempt.open(CgroupUse::Off).1.failed.len(), 2);
    kill(attempt.pid(), Signal::CONT);
    until("went on", || !attempt.stands(attempt.pid()));
}
