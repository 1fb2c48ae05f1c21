//! kill -9 of a writer, again and again: whatever it had acknowledged is there, in order, once (invariant 2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use tachograph_engine::domain::{CommandId, Entry, EntryBody, Position, RunId, SystemFact, Version};
use tachograph_tests::random::Numbers;
use tachograph_tests::{Place, Supervisor, rounds};

/// Rounds that follow each other on the same data.
const ROUNDS_PER_PLACE: u64 = 10;

#[derive(Debug)]
struct Ack {
    task: u32,
    run: RunId,
    command: CommandId,
    position: Position,
    version: Version,
}

impl FromStr for Ack {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [task, run, command, position, version] = fields[..] else {
            return Err(format!("no acknowledgement: {line:?}").into());
        };
        Ok(Self {
            task: task.parse()?,
            run: run.parse()?,
            command: command.parse()?,
            position: Position(position.parse()?),
            version: Version(version.parse()?),
        })
    }
}

/// Runs a writer, kills it after so many acknowledgements, and returns all that it printed.
fn killed_writer(directory: &Path, acks_before_kill: usize) -> Vec<Ack> {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_crash-writer"))
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let lines = BufReader::new(writer.stdout.take().expect("its output")).lines();
    let mut acks = Vec::new();
    for line in lines {
        acks.push(line.expect("text").parse().expect("a whole line"));
        if acks.len() == acks_before_kill {
            writer.kill().expect("SIGKILL");
        }
    }
    let status = writer.wait().expect("its end");
    assert!(acks.len() >= acks_before_kill, "it ended by itself, {status}, after {} acks", acks.len());
    acks
}

fn assert_all_there(acks: &[Ack], entries: &[Entry], context: &str) {
    assert!(
        entries.iter().zip(1..).all(|(entry, position)| entry.position == Position(position)),
        "{context}: positions have a gap"
    );
    let mut seen = HashMap::new();
    for entry in entries {
        let Some(command) = entry.command_id() else { continue };
        assert_eq!(seen.insert(command, entry), None, "{context}: {command} is there twice");
    }
    let mut last_of_task = HashMap::new();
    for ack in acks {
        let entry = seen.get(&ack.command).unwrap_or_else(|| panic!("{context}: lost {ack:?}"));
        let EntryBody::Committed(committed) = &entry.body else { panic!("{context}: {ack:?} is {entry:?}") };
        assert_eq!((entry.position, committed.command.run), (ack.position, ack.run), "{context}");
        assert_eq!(committed.version, ack.version, "{context}");
        let before = last_of_task.insert(ack.task, ack.position);
        assert!(before.is_none_or(|before| before < ack.position), "{context}: {ack:?} came after {before:?}");
    }
}

fn recoveries(entries: &[Entry]) -> usize {
    let recovered = |entry: &&Entry| matches!(entry.body, EntryBody::System(SystemFact::Recovered { .. }));
    entries.iter().filter(recovered).count()
}

#[tokio::test]
async fn every_printed_acknowledgement_is_there_in_order_once() {
    let total = rounds("TACHO_CRASH_ROUNDS", 100);
    let seed = rounds("TACHO_CRASH_SEED", 1);
    let mut numbers = Numbers::new(seed);
    let (mut round, mut kills) = (0, HashSet::new());
    while round < total {
        let place = Place::new(round);
        let mut acks = Vec::new();
        for nth in 1..=ROUNDS_PER_PLACE.min(total - round) {
            let acks_before_kill = usize::try_from(1 + numbers.below(150)).unwrap();
            let context = format!("seed {seed}, round {round}, killed after {acks_before_kill} acks");
            acks.push(killed_writer(place.path(), acks_before_kill));
            let (engine, report) = place.open().await;
            assert!(!report.opening.clean, "{context}");
            assert_eq!(report.opening.missing_up_to, None, "{context}");
            let entries = Supervisor::of(&engine).entries().await;
            // The tasks of each writer are told apart by their run.
            acks.iter().for_each(|acks| assert_all_there(acks, &entries, &context));
            assert_eq!(recoveries(&entries) as u64, nth, "{context}: every crash is in the history, once");
            engine.close().await.unwrap();
            kills.insert(acks_before_kill);
            round += 1;
        }
    }
    assert!(total < 20 || kills.len() > 10, "the kills were spread: {kills:?}");
}
