//! Other people's engines: DuckDB and pandas in Python, and the command line of SQLite.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tachograph_replay::audit::tables;

use crate::place::{Row, printed, rows};

/// The Python that has them, as `.ci/run` sets it up; fails if there is none and nothing may be left out.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("TACHO_TEST_PYTHON").map(PathBuf::from);
    let complete = std::env::var_os("TACHO_TEST_ALL").is_some();
    assert!(python.is_some() || !complete, "TACHO_TEST_PYTHON must name a Python with tests/peers/requirements.txt");
    if python.is_none() {
        eprintln!("SKIPPED: TACHO_TEST_PYTHON names no Python with tests/peers/requirements.txt");
    }
    python
}

/// Whether there is a command line of SQLite; fails if there is none and nothing may be left out.
pub(crate) fn has_sqlite3() -> bool {
    let there = Command::new("sqlite3").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("TACHO_TEST_ALL").is_none(), "sqlite3 is needed");
    if !there {
        eprintln!("SKIPPED: sqlite3 is needed");
    }
    there
}

/// What an engine is asked.
pub(crate) struct Request<'a> {
    pub(crate) engine: &'a str,
    pub(crate) parquet: &'a Path,
    /// By name.
    pub(crate) questions: Value,
    /// By name.
    pub(crate) parameters: Value,
    /// Whether all tables are counted and told whole.
    pub(crate) whole: bool,
}

/// What an engine in Python answers; see `ask.py`.
pub(crate) struct Answer(Value);

impl Request<'_> {
    pub(crate) fn ask(&self, python: &Path) -> Answer {
        let all: Vec<&str> = tables().iter().filter(|_| self.whole).map(|table| table.name).collect();
        let request = json!({
            "engine": self.engine,
            "parquet": self.parquet,
            "tables": all,
            "rows_of": all,
            "questions": self.questions,
            "parameters": self.parameters,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/ask.py");
        let answer = fed(Command::new(python).args(["-I", "-B"]).arg(script), &request.to_string());
        Answer(serde_json::from_str(&answer).unwrap())
    }
}

impl Answer {
    pub(crate) fn count(&self, table: &str) -> u64 {
        self.0["counts"][table].as_u64().unwrap()
    }

    /// The columns of a table, in order.
    pub(crate) fn columns(&self, table: &str) -> Vec<String> {
        let columns = self.0["columns"][table].as_array().unwrap();
        columns.iter().map(|column| column[0].as_str().unwrap().to_owned()).collect()
    }

    /// All rows of a table.
    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        let columns = self.columns(table);
        let row = |values: &Value| columns.iter().cloned().zip(values.as_array().unwrap().iter().cloned()).collect();
        self.0["rows"][table].as_array().unwrap().iter().map(row).collect()
    }

    /// The answer to a question: rows, without names of columns.
    pub(crate) fn answer(&self, name: &str) -> &Value {
        &self.0["answers"][name]
    }
}

/// What the command line of SQLite answers over a file that it may not write to.
pub(crate) fn sqlite3(file: &Path, question: &str, parameters: &[(String, String)]) -> Vec<Row> {
    let set = parameters.iter().map(|(name, value)| format!(".parameter set :{name} {value}\n"));
    let input: String = set.chain([format!("{question};\n")]).collect();
    let answer = fed(Command::new("sqlite3").args(["-batch", "-bail", "-readonly", "-json"]).arg(file), &input);
    // No rows are nothing at all.
    if answer.is_empty() {
        return rows("");
    }
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{question}: {error}: {answer:.2000}"))
}

/// Runs a program that reads this, and returns what it prints; it must succeed and complain of nothing.
pub(crate) fn fed(command: &mut Command, input: &str) -> String {
    let what = format!("{command:?}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let mut to = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Beside the reading: a program may print before it has read all.
    let feeder = std::thread::spawn(move || to.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let printed = printed(output, &what);
    feeder.join().unwrap().unwrap();
    printed
}
