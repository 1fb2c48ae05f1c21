//! Processes that fill tables, use them at the same time, and are killed at any moment: what the next one finds answers right,
//! or is made anew.
//!
//! They are this program itself, started anew: each is another process, and a kill is a real one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tachograph_engine::domain::EntryId;
use tachograph_engine::ports::{Draft, Journal};

use crate::audit_cache::{Place, called, sorted, whole};
use crate::binary;
use crate::kept::run;
use crate::made::{Made, NEVER};

/// Data directory, directory for tables, how often, and the questions, if they are not on standard input; for the child alone.
const TASK: &str = "TACHO_TEST_CACHED";
/// Before each answer.
const ANSWER: &str = "answer ";
/// Whoever waits longer for a child has found a fault.
const HANG: Duration = Duration::from_secs(120);

#[test]
fn the_child_that_asks() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (data, cache, times, questions): (String, String, u32, Vec<String>) = serde_json::from_str(&task).unwrap();
    if questions.is_empty() {
        let rows = called(data.as_ref(), &["sql", "--cache", &cache, "--output", "jsonl"], "boot-1", Some(1)).unwrap();
        writeln!(std::io::stdout(), "\n{ANSWER}{}", serde_json::to_string(&("", rows)).unwrap()).unwrap();
    }
    for _ in 0..times {
        for question in &questions {
            // A table that is asked for with one column, and then with all, is filled twice.
            let arguments = ["sql", question, "--cache", &cache, "--output", "jsonl"];
            let rows = called(data.as_ref(), &arguments, "boot-1", Some(1)).unwrap();
            let line = serde_json::to_string(&(question, rows)).unwrap();
            writeln!(std::io::stdout(), "\n{ANSWER}{line}").unwrap();
        }
        // What is filled is thrown away now and then, as by somebody who clears their caches.
        for file in crate::audit_cache::files(cache.as_ref()).into_iter().filter(|_| times > 1) {
            if file.extension().is_some_and(|ending| ending == "tables") {
                let _ = std::fs::remove_file(file);
            }
        }
    }
}

/// A child that asks, and what it prints. It does not outlive its test.
struct Asking {
    child: Child,
    lines: Receiver<String>,
}

fn child(place: &Place, times: u32, questions: &[String], stdin: Stdio) -> Asking {
    let task = serde_json::to_string(&(&place.data, &place.cache, times, questions)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "audit_cache_killed::the_child_that_asks", "--nocapture"]).env(TASK, task);
    let mut child = child.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (to, lines) = channel();
    let printed = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || printed.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    Asking { child, lines }
}

impl Asking {
    fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The next answer; none if the child has closed its output.
    fn next(&self, awaited: &str) -> Option<String> {
        loop {
            match self.lines.recv_timeout(HANG) {
                Ok(line) => match line.strip_prefix(ANSWER) {
                    Some(answer) => return Some(answer.to_owned()),
                    None => continue,
                },
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("waited {HANG:?} in vain for {awaited}"),
            }
        }
    }

    /// The answers that it gives until it ends.
    fn answers(&self) -> Vec<(String, String)> {
        let mut answers: Vec<(String, String)> = Vec::new();
        while let Some(answer) = self.next(&format!("answer {} of a child, or its end", answers.len() + 1)) {
            answers.push(serde_json::from_str(&answer).unwrap());
        }
        answers
    }

    /// Its end, which is near once it has closed its output.
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < HANG, "waited {HANG:?} in vain for the end of a child");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// At this moment.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.ended();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One column of each table, and then all of them.
fn questions() -> Vec<String> {
    let tables = tachograph_replay::audit::tables();
    let first =
        |table: &tachograph_replay::audit::TableInfo| format!("SELECT {} FROM {}", table.columns[0].name, table.name);
    tables.iter().map(first).chain(whole()).collect()
}

/// One sitting that asks everything, twice, out of standard input; the second one finds what the first one filled.
#[test]
fn a_sitting_fills_them_and_the_next_one_answers_the_same() {
    let place = Place::made();
    let questions = questions();
    let text: String = questions.iter().chain(&questions).map(|sql| format!("{sql};\n")).collect();
    let alone: Vec<String> = questions.iter().map(|sql| place.alone(&["sql", sql])).collect();
    for _ in 0..2 {
        let mut child = child(&place, 1, &[], Stdio::piped());
        child.stdin().write_all(text.as_bytes()).unwrap();
        let answers = child.answers();
        assert!(child.ended().success());
        let [(_, rows)] = answers.as_slice() else { panic!("{answers:?}") };
        let twice = format!("{0}{0}", alone.concat());
        assert_eq!(sorted(rows), sorted(&twice));
    }
    for sql in &questions {
        assert!(place.is_used(sql), "{sql}");
    }
}

#[test]
fn processes_at_the_same_time_all_answer_right() {
    let place = Place::made();
    let questions = questions();
    let alone: Vec<String> = questions.iter().map(|sql| place.alone(&["sql", sql])).collect();
    let mut children: Vec<Asking> = (0..4).map(|_| child(&place, 3, &questions, Stdio::null())).collect();
    for child in &mut children {
        let answers = child.answers();
        assert_eq!(answers.len(), 3 * questions.len());
        for ((sql, rows), (question, alone)) in answers.iter().zip(questions.iter().zip(&alone).cycle()) {
            assert_eq!((sql, sorted(rows)), (question, sorted(alone)));
        }
        assert!(child.ended().success());
    }
    place.asked(&["sql", &questions[0]]);
    assert!(place.is_used(&questions[0]), "nothing is left locked");
}

/// What needs as many columns, and is told in a line: whoever is killed is killed while tables are filled.
fn counting() -> Vec<String> {
    let tables = tachograph_replay::audit::tables();
    let long = tables.iter().filter(|table| ["entries", "refusals"].contains(&table.name));
    let counted = |table: &tachograph_replay::audit::TableInfo, columns: usize| {
        let names = table.columns.iter().map(|column| column.name).filter(|name| *name != "payload").take(columns);
        let counts: Vec<String> =
            names.map(|name| format!("count({name}) AS {name}, max({name}) AS max_{name}")).collect();
        format!("SELECT {}, sum(position) FROM {}", counts.join(", "), table.name)
    };
    long.flat_map(|table| [1, 3, 9, 99].map(|columns| counted(table, columns))).collect()
}

/// Numbers that look as if by chance.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// `TACHO_CACHE_KILL_ROUNDS` rounds (8) from `TACHO_CACHE_KILL_SEED` (1).
#[test]
fn a_kill_at_any_moment_leaves_what_answers_right_or_nothing() {
    let (rounds, seed) = (number("TACHO_CACHE_KILL_ROUNDS", 8), number("TACHO_CACHE_KILL_SEED", 1));
    println!("TACHO_CACHE_KILL_ROUNDS={rounds} TACHO_CACHE_KILL_SEED={seed}");
    let (place, mut journal) = Place::begun(32 << 10);
    // Long enough that a kill finds somebody at work.
    let refused =
        Made::journal().entries.into_iter().find(|entry| entry.run() == Some(NEVER.parse().unwrap())).unwrap();
    let mut drafts = (1_u128..).map(|number| Draft { id: EntryId::from_u128(number), ..binary::draft(&refused) });
    let mut append = |count: usize| run(journal.append(drafts.by_ref().take(count).collect())).unwrap();
    append(1_000);
    let (questions, mut state) = (counting(), seed);
    let mut found = [0, 0];
    for round in 0..rounds {
        let mut child = child(&place, 8, &questions, Stdio::null());
        // It is at work from its first answer on.
        let begun = child.next(&format!("the first answer in round {round}"));
        assert!(begun.is_some(), "round {round}: the child answered nothing");
        thread::sleep(Duration::from_micros(next(&mut state) % 60_000));
        append(50);
        thread::sleep(Duration::from_micros(next(&mut state) % 15_000));
        child.kill();
        for sql in &questions {
            found[usize::from(place.is_used(sql))] += 1;
            assert_eq!(
                sorted(&place.asked(&["sql", sql])),
                sorted(&place.alone(&["sql", sql])),
                "round {round}: {sql}"
            );
        }
    }
    println!("made anew or brought up to date: {}; used as they were: {}", found[0], found[1]);
    assert!(found[0] > 0, "some are not used as they were");
}
