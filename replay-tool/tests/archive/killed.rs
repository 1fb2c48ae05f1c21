//! Killed at any moment, and asked again: nothing is lost, `verify` passes, late reports are answered as before.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tachograph_adapters::bundle::BundleReader;
use tachograph_adapters::journal::{FileReader, verify};
use tachograph_engine::domain::testing::{claim, ids};
use tachograph_engine::domain::{Action, Command, Entry, Position, StartMode};
use tachograph_engine::ports::JournalReader;

use crate::support::{copy, exit, json, numbered, submit_at_once, tacho, told, write};

const RUNS: u64 = 60;
/// Rounds that are under way at a time.
const AT_A_TIME: usize = 4;
/// Whoever waits longer for the tool has found a fault.
const HANG: Duration = Duration::from_secs(120);

/// What the killer waits for.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A part of the time that it takes undisturbed.
    After(Duration),
    /// A file in the directory `archive` that begins or ends so.
    Bundle(&'static str),
    /// The stub in the making.
    Stub,
    /// So many segments are left.
    Left(usize),
}

impl Moment {
    fn is_now(self, data: &Path, begun: Instant) -> bool {
        let names = |dir: &str| -> Vec<String> {
            let items = fs::read_dir(data.join(dir)).into_iter().flatten();
            items.filter_map(|item| item.ok()?.file_name().into_string().ok()).collect()
        };
        match self {
            Self::After(time) => begun.elapsed() >= time,
            Self::Bundle(end) => names("archive").iter().any(|name| name.ends_with(end)),
            Self::Stub => names("journal").iter().any(|name| name == "stub.tmp"),
            Self::Left(count) => names("journal").iter().filter(|name| name.ends_with(".seg")).count() <= count,
        }
    }
}

/// Archives, and kills that at a moment; whether it came to its end before.
fn archive_and_kill(data: &Path, moment: Moment) -> bool {
    let mut archive = tacho(data, &["archive", "--before", "1d", "--apply"]);
    let mut child = archive.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !moment.is_now(data, begun) {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{moment:?}: {status}");
            return true;
        }
        assert!(begun.elapsed() < HANG, "{moment:?} does not come, and the tool does not end");
    }
    // Its own number until it is waited for.
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap().success()
}

/// What the bundles and the journal hold together.
fn everything(data: &Path) -> Vec<Entry> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let reader = FileReader::open(data).unwrap();
        let mut entries = Vec::new();
        for archived in reader.archived_in() {
            let bundle = BundleReader::open(&data.join(&archived.bundle)).unwrap();
            entries.extend(bundle.read(Position::ZERO, usize::MAX).await.unwrap());
        }
        entries.extend(reader.read(reader.archived(), usize::MAX).await.unwrap());
        entries
    })
}

/// Late reports, repeated commands and new ones, to runs from the first to the last.
fn late(commands: &[Command]) -> Vec<Command> {
    let mut late: Vec<Command> = commands.iter().step_by(7).cloned().collect();
    for run in (1..=RUNS).step_by(4) {
        let restart = Action::Start {
            attempt: ids::attempt(1_000 + run),
            runner: "r2".into(),
            mode: StartMode::Restart { previous: ids::attempt(run) },
        };
        let wait = Action::Wait { claim: claim(ids::run(run), run, "r1"), on: "more".to_owned(), deadline: None };
        let destroy = Action::Destroy { force: true, why: "late".to_owned() };
        for (index, action) in [exit(run, run, 5), restart, wait, destroy].into_iter().enumerate() {
            late.push(numbered(100_000 + 10 * run + index as u64, ids::run(run), action));
        }
    }
    late
}

fn sum(one: [u32; 2], other: [u32; 2]) -> [u32; 2] {
    [one[0] + other[0], one[1] + other[1]]
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_late_reports_are_answered_as_before() {
    let rounds: u32 = std::env::var("TACHO_ARCHIVE_ROUNDS").map_or(50, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    let commands = write(&plain, RUNS);
    let late = late(&commands);
    let original = everything(&plain);
    let answered = dir.path().join("answered");
    copy(&plain, &answered);
    let expected = submit_at_once(&answered, 1 << 20, &late);
    let undisturbed = dir.path().join("undisturbed");
    copy(&plain, &undisturbed);
    let begun = Instant::now();
    let done = json(&undisturbed, &["archive", "--before", "1d", "--apply"]);
    let took = begun.elapsed();
    let segments = done["segments"].as_u64().unwrap() as usize;
    assert!(segments > 4, "{done}");
    let killed = |round: u32| {
        let moment = match round % 8 {
            1 => Moment::Bundle(".tmp"),
            3 => Moment::Bundle(".tacho"),
            5 => Moment::Stub,
            7 => Moment::Left(1 + round as usize % segments),
            // Beside others it takes longer than alone.
            _ => Moment::After(2 * took * round / rounds),
        };
        let data = dir.path().join(format!("round-{round}"));
        copy(&plain, &data);
        let has_ended = archive_and_kill(&data, moment);
        let is_before = FileReader::open(&data).unwrap().archived() == Position::ZERO;
        let what = format!("round {round}, {moment:?}");
        let report = verify(&data, |_| ()).unwrap();
        assert!(report.is_sound(), "{what}: {report:?}");
        assert!(everything(&data) == original, "{what}: entries are lost");
        // Half of them go on as a writer finds them, half after they were archived again.
        if round.is_multiple_of(2) {
            told(&data, &["archive", "--before", "1d", "--apply"]);
            assert_eq!(FileReader::open(&data).unwrap().archived(), FileReader::open(&undisturbed).unwrap().archived());
        }
        let answers = submit_at_once(&data, 1 << 20, &late);
        for (command, (ours, theirs)) in late.iter().zip(answers.iter().zip(&expected)) {
            assert_eq!(ours, theirs, "{what}: {command:?}");
        }
        assert_eq!(verify(&data, |_| ()).unwrap().findings, vec![], "{what}: after the next writer");
        let left = fs::read_dir(data.join("journal")).unwrap();
        assert!(left.into_iter().all(|item| item.unwrap().file_name() != "stub.tmp"), "{what}");
        fs::remove_dir_all(&data).unwrap();
        [has_ended, is_before].map(u32::from)
    };
    // Each round mostly waits for the disk, so some are under way at a time.
    let some = &|first: u32| (first..rounds).step_by(AT_A_TIME).map(&killed).fold([0, 0], sum);
    let [ended, before] = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME as u32).map(|first| scope.spawn(move || some(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold([0, 0], sum)
    });
    println!(
        "{rounds} rounds: {before} killed before the stub was there, {ended} came to their end; alone it takes {took:?}"
    );
}
