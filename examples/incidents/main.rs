//! Five incidents, really run: the journal that `docs/forensics.md` looks into.
//!
//! ```text
//! cargo run --release --example incidents -- DIR
//! ```
//!
//! Each is a failure that costs a supervisor with a mutable row per run its truth: an id that is given again, a file that is
//! believed against the witness, an end that is told before the output, a failed start that erases itself, a delayed
//! snapshot that nobody cancels. Processes are real; the actors that are late, stale or wrong are played. The first
//! supervisor works in a process of its own and is killed with SIGKILL in the middle, so that the journal has an outage, a run
//! whose end nobody saw, and a timer that is armed again at boot. What is left in DIR is a data directory for `tacho`.

mod a1_reused_id;
mod a2_stale_file;
mod a3_end_before_output;
mod a4_failed_start;
mod a5_snapshot_nobody_cancels;
mod fleet;
mod outage;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fleet::Fleet;

/// Tells the process of the first supervisor what it is.
const FIRST: &str = "--first-supervisor";

const USAGE: &str = "usage: cargo run --release --example incidents -- DIR\n\
                     DIR is made, or is empty; what happened is then asked for with: tacho --data DIR runs";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [directory] => act(Path::new(directory)).await,
        [first, directory] if first == FIRST => outage::first_supervisor(Path::new(directory)).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("incidents: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Acts everything out in a directory that is empty or not there yet.
async fn act(data: &Path) -> Result<(), Box<dyn Error>> {
    if std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty: name a new directory\n{USAGE}", data.display()).into());
    }
    let left = outage::killed(data).await?;
    let fleet = Fleet::open(data).await?;
    outage::found(&fleet, &left).await?;
    a4_failed_start::play(&fleet).await?;
    a5_snapshot_nobody_cancels::play(&fleet).await?;
    fleet.close().await?;
    println!("five incidents are recorded in {}; ask for example:", data.display());
    for question in ["runs", "why web-sandbox", "timeline research", "verify"] {
        println!("  cargo run --release -- --data {} {question}", data.display());
    }
    Ok(())
}

/// Where a run's own files are.
fn runs_in(data: &Path) -> PathBuf {
    data.join("runs")
}

#[cfg(test)]
mod tests {
    use tachograph::prelude::*;

    use super::*;

    /// What is refused, by the name of the run, in the order in which it was tried.
    fn refusals(entries: &[Entry], name: &str) -> Vec<&'static str> {
        let of = |entry: &&Entry| entry.run().is_some_and(|run| runs_named(entries, name).contains(&run));
        let refused = entries.iter().filter(of).filter_map(|entry| match &entry.body {
            EntryBody::Refused(refused) => Some(refused.refusal.code()),
            EntryBody::Committed(_) | EntryBody::System(_) => None,
        });
        refused.collect()
    }

    fn runs_named(entries: &[Entry], name: &str) -> Vec<RunId> {
        let created = |entry: &Entry| match entry.events().first() {
            Some(Event::Created { spec, .. }) if spec.name.as_deref() == Some(name) => entry.run(),
            _ => None,
        };
        entries.iter().filter_map(created).collect()
    }

    /// The supervisor that is killed would be this test program itself; here both are one, and closed in between.
    #[tokio::test]
    async fn every_incident_is_on_record() {
        let data = tempfile::tempdir().unwrap();
        let fleet = Fleet::open(data.path()).await.unwrap();
        a1_reused_id::play(&fleet).await.unwrap();
        a2_stale_file::play(&fleet).await.unwrap();
        a3_end_before_output::play(&fleet).await.unwrap();
        a4_failed_start::play(&fleet).await.unwrap();
        a5_snapshot_nobody_cancels::play(&fleet).await.unwrap();
        fleet.close().await.unwrap();

        let reader = FileReader::open(data.path()).unwrap();
        let entries = reader.read(Position::ZERO, usize::MAX).await.unwrap();
        assert_eq!(refusals(&entries, "web-sandbox"), ["run_destroyed", "run_destroyed"]);
        assert_eq!(refusals(&entries, "batch"), ["conflicting_terminal"]);
        assert_eq!(refusals(&entries, "research"), ["not_owner", "stale_attempt"]);
        let mut state = CurrentState::empty();
        entries.iter().for_each(|entry| state.apply(entry));
        let statuses = |name: &str| -> Vec<_> {
            let runs = runs_named(&entries, name).into_iter();
            runs.map(|run| state.run(run).unwrap().run.status.name().name()).collect()
        };
        assert_eq!(statuses("web-sandbox"), ["Destroyed", "Exited"]);
        assert_eq!(statuses("batch"), ["Exited"]);
        assert_eq!(statuses("export"), ["Exited"]);
        assert_eq!(statuses("devbox"), ["Exited"], "at its second attempt");
        assert_eq!(statuses("research"), ["Exited"]);
    }
}
