//! What the questions with a name cost on a journal of a million events, as whole processes from the start to the last row,
//! beside DuckDB on the exported Parquet, in turns in the same run; all without tables that stay filled. Then the same with them,
//! and how long one waits at the prompt for the first row, in the first process and in the next one. At last what it costs to archive all of it but its last segment.
//!
//! `TACHO_TEST_PYTHON=$PWD/target/peers/bin/python cargo bench -p tachograph-benches --bench audit`
//!
//! `TACHO_TEST_PYTHON` names a Python with `replay-tool/tests/peers/requirements.txt`, as `.ci/run` sets it up; without it the
//! column of DuckDB stays empty. `TACHO_BENCH_EVENTS` (1000000) and `TACHO_BENCH_ROUNDS` (3) turn it up, `TACHO_BENCH_DIR`
//! says where. This program lends itself as `tacho`, whose main function it calls; `TACHO_BENCH_TACHO` names another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tachograph_benches::terminal::Terminal;
use tachograph_benches::whole_process::{self, Cost, Program};
use tachograph_benches::{Failure, eventful, median, number};
use tachograph_engine::domain::Position;
use tachograph_replay::audit::{NAMED, NamedQuery};
use tachograph_replay::dataset::Dataset;

/// What this program is called when it is `tacho`.
const TACHO: &str = "tacho";
/// What the prompt says when it waits for a question.
const PROMPT: &str = "tacho> ";
/// The script that asks DuckDB, and questions whose SQL is another there.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../replay-tool/tests/peers");

fn main() -> ExitCode {
    if let Some(code) = whole_process::dispatch() {
        return code;
    }
    if std::env::args_os().next().is_some_and(|name| name == TACHO) {
        return tachograph_replay::app::main();
    }
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A question, as either is asked.
struct Question {
    name: String,
    /// What `tacho` is called with.
    arguments: Vec<String>,
    /// In the SQL of DuckDB.
    sql: String,
    parameters: Map<String, Value>,
}

/// Who is asked, and where the files are.
struct Bench {
    place: tempfile::TempDir,
    tacho: PathBuf,
    python: Option<PathBuf>,
    rounds: u64,
}

fn bench() -> Result<(), Failure> {
    let events = number("TACHO_BENCH_EVENTS", 1_000_000);
    let bench = Bench {
        place: tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?,
        tacho: std::env::var_os("TACHO_BENCH_TACHO").map_or_else(std::env::current_exe, |path| Ok(path.into()))?,
        python: std::env::var_os("TACHO_TEST_PYTHON").map(PathBuf::from),
        rounds: number("TACHO_BENCH_ROUNDS", 3).max(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(eventful::fill(&bench.data(), events))?;
    println!("{events} events, {:.1} MB; load before: {}", size(&bench.data().join("journal"))?, load());
    bench.export()?;
    let run = runtime.block_on(some_run(&bench.data(), Position(events / 3)))?;
    let mut questions = named()?;
    questions.push(of_one_run(&run));
    match &bench.python {
        Some(_) => bench.floor()?,
        None => println!("TACHO_TEST_PYTHON is not set: DuckDB is not asked"),
    }
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "question", "tacho s", "peak MB", "duckdb s", "peak MB", "ratio", "rows"
    );
    questions.iter().try_for_each(|question| bench.compare(question))?;
    bench.again(&questions)?;
    bench.prompt(&run)?;
    bench.archive()?;
    println!("load after: {}", load());
    Ok(())
}

impl Bench {
    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    fn tables(&self) -> PathBuf {
        self.place.path().join("tables")
    }

    fn tacho(&self, arguments: &[&str]) -> Result<(String, Cost), Failure> {
        self.tacho_over(&self.data(), arguments)
    }

    fn tacho_over(&self, data: &Path, arguments: &[&str]) -> Result<(String, Cost), Failure> {
        let mut all = vec!["--data", text(data)?];
        all.extend(arguments);
        Program { path: &self.tacho, name: TACHO, arguments: &all, input: "" }.measure(self.place.path())
    }

    fn duckdb(&self, python: &Path, question: Option<&Question>) -> Result<(Value, Cost), Failure> {
        let request = json!({
            "engine": "duckdb",
            "parquet": self.tables(),
            "questions": question.map_or_else(|| json!({}), |asked| json!({ asked.name.as_str(): asked.sql })),
            "parameters": question.map(|question| question.parameters.clone()).unwrap_or_default(),
        });
        let script = format!("{PEERS}/ask.py");
        let program = Program {
            path: python,
            name: text(python)?,
            arguments: &["-I", "-B", &script],
            input: &request.to_string(),
        };
        let (printed, cost) = program.measure(self.place.path())?;
        Ok((serde_json::from_str(&printed)?, cost))
    }

    /// Exports the tables, and tells what that costs.
    fn export(&self) -> Result<(), Failure> {
        let (parquet, sqlite) = (self.tables(), self.place.path().join("tables.sqlite"));
        for (what, arguments, file) in [
            ("export --parquet", ["export", "--parquet", text(&parquet)?], &parquet),
            ("the same, with nothing new", ["export", "--parquet", text(&parquet)?], &parquet),
            ("export --sqlite", ["export", "--sqlite", text(&sqlite)?], &sqlite),
        ] {
            let (_, cost) = self.tacho(&arguments)?;
            println!("{what}: {:.2} s, peak {:.0} MB; {:.1} MB", cost.seconds, cost.peak_mb(), size(file)?);
        }
        Ok(())
    }

    /// Says what would be archived, and archives it twice: without tables and with them. Each time the journal is the same one: its
    /// files have second names, since archiving writes to none that is there.
    fn archive(&self) -> Result<(), Failure> {
        let archive = ["--format", "json", "archive", "--before", "0s"];
        for (what, more) in [
            ("archive, the plan", &[][..]),
            ("archive --apply --no-parquet", &["--apply", "--no-parquet"]),
            ("archive --apply, with tables", &["--apply"]),
        ] {
            let data = self.place.path().join("archived");
            std::fs::create_dir_all(data.join("journal"))?;
            for segment in std::fs::read_dir(self.data().join("journal"))? {
                let segment = segment?;
                std::fs::hard_link(segment.path(), data.join("journal").join(segment.file_name()))?;
            }
            let (told, cost) = self.tacho_over(&data, &[&archive[..], more].concat())?;
            let told: Value = serde_json::from_str(&told)?;
            let (seconds, peak) = (cost.seconds, cost.peak_mb());
            print!(
                "{what}: {seconds:.2} s, peak {peak:.0} MB; {} events in {} segments",
                told["entries"], told["segments"]
            );
            if let Some(bundle) = told["bundle"].as_str() {
                let stub = data.join("journal").join(format!("{:020}.seg", 1));
                print!(", bundle {:.1} MB, stub {:.1} MB", size(Path::new(bundle))?, size(&stub)?);
            }
            match told["parquet"].as_str() {
                Some(tables) => println!(", tables {:.1} MB", size(Path::new(tables))?),
                None => println!(),
            }
            std::fs::remove_dir_all(&data)?;
        }
        Ok(())
    }

    /// What it costs to start Python and DuckDB and to ask nothing: part of every figure of DuckDB.
    fn floor(&self) -> Result<(), Failure> {
        let Some(python) = &self.python else { return Ok(()) };
        let costs = (0..self.rounds).map(|_| Ok(self.duckdb(python, None)?.1)).collect::<Result<Vec<_>, Failure>>()?;
        let cost = middle(&costs);
        println!("DuckDB, asked nothing: {:.2} s, peak {:.0} MB", cost.seconds, cost.peak_mb());
        Ok(())
    }

    /// Asks both in turns, and prints the middle of some rounds.
    fn compare(&self, question: &Question) -> Result<(), Failure> {
        let arguments = question.arguments_with("off");
        let (mut tacho, mut duckdb, mut told) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..self.rounds {
            let (printed, cost) = self.tacho(&arguments)?;
            tacho.push(cost);
            let rows = printed.lines().map(serde_json::from_str).collect::<Result<Vec<Map<String, Value>>, _>>()?;
            told = rows.len().to_string();
            if let Some(python) = &self.python {
                let (answer, cost) = self.duckdb(python, Some(question))?;
                duckdb.push(cost);
                let values =
                    rows.into_iter().map(|row| Value::Array(row.into_iter().map(|(_, value)| value).collect()));
                if answer["answers"][&question.name] != values.collect::<Value>() {
                    told.push_str(" they differ");
                }
            }
        }
        let tacho = middle(&tacho);
        let peer = match duckdb.as_slice() {
            [] => format!("{:>8} {:>8} {:>8}", "-", "-", "-"),
            costs => {
                let cost = middle(costs);
                let ratio = tacho.seconds / cost.seconds;
                format!("{:>8.2} {:>8.0} {ratio:>8.2}", cost.seconds, cost.peak_mb())
            }
        };
        println!("{:<16} {:>8.2} {:>8.0} {peer} {told:>6}", question.name, tacho.seconds, tacho.peak_mb());
        Ok(())
    }
}

impl Bench {
    /// Where tables stay filled.
    fn cache(&self) -> PathBuf {
        self.place.path().join("cache")
    }

    /// Asks each question three times, where nothing is filled at first: what it costs to fill its tables as well, what it
    /// costs then, and how large they become.
    fn again(&self, questions: &[Question]) -> Result<(), Failure> {
        let cache = self.cache();
        println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "tables stay", "first s", "peak MB", "again s", "peak MB");
        for question in questions {
            let arguments = question.arguments_with(text(&cache)?);
            let (first, cost) = self.tacho(&arguments)?;
            let mut costs = Vec::new();
            for _ in 0..self.rounds {
                let (again, cost) = self.tacho(&arguments)?;
                if again.lines().count() != first.lines().count() {
                    return Err(format!("{}: the answer is another one the second time", question.name).into());
                }
                costs.push(cost);
            }
            let again = middle(&costs);
            println!(
                "{:<16} {:>8.2} {:>8.0} {:>8.3} {:>8.0}",
                question.name,
                cost.seconds,
                cost.peak_mb(),
                again.seconds,
                again.peak_mb()
            );
        }
        println!("filled tables: {:.1} MB", size(&cache)?);
        Ok(())
    }
}

/// How long each first row of a question took at a prompt, in seconds.
struct Waits {
    /// From the start of the program, which has not asked anything before.
    started: f64,
    /// From Enter, the first time.
    first: f64,
    /// The same, asked once more.
    again: f64,
}

impl Bench {
    /// Prints how long one waits at the prompt: for tables that are not there yet, and for those that are; then the same in a
    /// second process, which finds those that stayed filled.
    fn prompt(&self, run: &str) -> Result<(), Failure> {
        println!(
            "{:<16} {:>9} {:>8} {:>8} {:>9} {:>8}",
            "at the prompt", "started s", "first s", "again s", "started s", "first s"
        );
        for (name, sql) in [
            ("(latest events)", "SELECT 'row', position, event FROM events ORDER BY position DESC LIMIT 5".to_owned()),
            ("(by status)", "SELECT 'row', status, count(*) FROM runs GROUP BY status".to_owned()),
            ("(one run)", format!("SELECT 'row', position, event FROM events WHERE run = '{run}'")),
        ] {
            let cache = self.cache();
            let waits = |_| {
                if cache.exists() {
                    std::fs::remove_dir_all(&cache)?;
                }
                Ok((self.waits(&sql)?, self.waits(&sql)?))
            };
            let waits = (0..self.rounds).map(waits).collect::<Result<Vec<_>, Failure>>()?;
            let middle = |of: fn(&(Waits, Waits)) -> f64| median(waits.iter().map(of).collect());
            println!(
                "{name:<16} {:>9.3} {:>8.3} {:>8.3} {:>9.3} {:>8.3}",
                middle(|(one, _)| one.started),
                middle(|(one, _)| one.first),
                middle(|(one, _)| one.again),
                middle(|(_, next)| next.started),
                middle(|(_, next)| next.first)
            );
        }
        Ok(())
    }

    fn waits(&self, sql: &str) -> Result<Waits, Failure> {
        let (data, cache, began) = (self.data(), self.cache(), Instant::now());
        let arguments = ["--data", text(&data)?, "sql", "--output", "jsonl", "--cache", text(&cache)?];
        let mut terminal = Terminal::start(&self.tacho, TACHO, &arguments)?;
        terminal.writes(PROMPT)?;
        let mut asked = || {
            let began = Instant::now();
            terminal.types(&format!("{sql};\r"))?;
            terminal.writes("{\"'row'\":")?;
            let waited = began.elapsed().as_secs_f64();
            terminal.writes(PROMPT)?;
            Ok::<_, Failure>((waited, began))
        };
        let (first, entered) = asked()?;
        let started = entered.duration_since(began).as_secs_f64() + first;
        Ok(Waits { started, first, again: asked()?.0 })
    }
}

impl Question {
    /// What `tacho` is called with, and where tables stay filled.
    fn arguments_with<'a>(&'a self, cache: &'a str) -> Vec<&'a str> {
        self.arguments.iter().map(String::as_str).chain(["--cache", cache]).collect()
    }

    /// Adds what the question has a place for.
    fn with(mut self, name: &str, value: Value) -> Self {
        if self.sql.contains(&format!(":{name}")) {
            let told = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.arguments.extend(["--param".to_owned(), format!("{name}={told}")]);
            self.parameters.insert(name.to_owned(), value);
        }
        self
    }
}

/// The questions with a name, as of now.
fn named() -> Result<Vec<Question>, Failure> {
    let now_us = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let question = |query: &NamedQuery| {
        let adapted = std::fs::read_to_string(format!("{PEERS}/adapted/{}.sql", query.name));
        let question = Question {
            name: query.name.to_owned(),
            arguments: ["audit", query.name, "--output", "jsonl"].map(str::to_owned).into(),
            sql: adapted.unwrap_or_else(|_| query.sql.to_owned()),
            parameters: Map::new(),
        };
        let question = question.with("now_us", json!(now_us)).with("label", json!("suite"));
        question.with("longer_than_ms", json!(3_600_000)).with("late_ms", json!(1_000))
    };
    Ok(NAMED.iter().map(question).collect())
}

/// The events of one run, which `tacho` finds without going through the others'.
fn of_one_run(run: &str) -> Question {
    let sql = format!("SELECT position, event, payload FROM events WHERE run = '{run}' ORDER BY position, number");
    let arguments = ["sql", &sql, "--run", run, "--output", "jsonl"].map(str::to_owned).into();
    Question { name: "(one run)".to_owned(), arguments, sql, parameters: Map::new() }
}

async fn some_run(data: &Path, at: Position) -> Result<String, Failure> {
    let entry = Dataset::open(data)?.reader().entry(at).await?.ok_or("no entry there")?;
    Ok(entry.run().ok_or("it is about no run")?.to_string())
}

/// The middle of each figure.
fn middle(costs: &[Cost]) -> Cost {
    let seconds = median(costs.iter().map(|cost| cost.seconds).collect());
    let mut peaks: Vec<u64> = costs.iter().map(|cost| cost.peak_kib).collect();
    peaks.sort_unstable();
    Cost { seconds, peak_kib: peaks.get(peaks.len() / 2).copied().unwrap_or_default() }
}

/// Megabytes of a file, or of all files below a directory.
fn size(path: &Path) -> Result<f64, Failure> {
    if path.is_file() {
        return Ok(std::fs::metadata(path)?.len() as f64 / 1e6);
    }
    std::fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

fn text(path: &Path) -> Result<&str, Failure> {
    Ok(path.to_str().ok_or("the place for the files has a name that is no text")?)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
