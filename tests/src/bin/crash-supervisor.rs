//! Starts runs under shims and looks after them until it is killed.
//!
//! `crash-supervisor DATA-DIRECTORY SCRIPT…` starts a run for each shell script, all at once, and prints `started INDEX
//! RUN` for each, and `ended INDEX` when its end is durable. It lends itself as the shim.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test harness fails by panicking"
)]

use std::future::pending;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use tachograph_adapters::process::{Launch, ProcessRunner, RunnerOptions, Shim, shim};
use tachograph_tests::adoption::{open, script};

fn main() -> ExitCode {
    // A shim is one thread: before there are any others.
    shim::dispatch().unwrap_or_else(supervise)
}

#[tokio::main]
async fn supervise() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().expect("usage: crash-supervisor DATA-DIRECTORY SCRIPT…"));
    let engine = open(&data).await;
    let own = Shim::Program(std::env::current_exe().expect("its own program"));
    // Output that only takes long is not given up.
    let options = RunnerOptions { report_socket: false, drain_deadline_ms: 3_600_000, ..RunnerOptions::default() };
    let runner = ProcessRunner::with_shim(engine.clone(), data.join("runs"), options, own);
    for (index, text) in arguments.enumerate() {
        let runner = runner.clone();
        tokio::spawn(async move {
            let run = runner.create(script(&text)).await.expect("created");
            let handle = runner.start(run, Launch::default()).await.expect("started");
            print(&format!("started {index} {run}"));
            handle.wait().await.expect("its end");
            print(&format!("ended {index}"));
        });
    }
    pending().await
}

/// One line in one piece.
fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the parent reads");
}
