//! How long the questions of an incident take on a journal of a million events, next to reading its files byte by byte, in the
//! same run.
//!
//! `cargo bench -p tachograph-benches --bench replay`; `TACHO_BENCH_EVENTS` (1000000) turns it up, `TACHO_BENCH_DIR` says where.

use std::path::Path;
use std::time::Duration;

use tachograph_benches::{Failure, fill, median, number, timed};
use tachograph_engine::domain::{Entry, Position, RunId};
use tachograph_replay::dataset::Dataset;
use tachograph_replay::point::Expression;
use tachograph_replay::when::{AsOf, When};

const ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    let events = number("TACHO_BENCH_EVENTS", 1_000_000);
    let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
    let data = place.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&data, events))?;
    let files =
        std::fs::read_dir(data.join("journal"))?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>, Failure>>()?;
    let (bytes, reading) =
        timed(|| files.iter().map(|file| Ok(std::fs::read(file)?.len())).sum::<Result<usize, Failure>>())?;
    println!("{events} events, {bytes} bytes; reading the files takes {:.3} s", reading.as_secs_f64());
    let found = runtime.block_on(sample(&data, Position(events / 3)))?;
    println!("checkpoints: {}", std::fs::read_dir(data.join("checkpoints"))?.count());
    for shortcuts in ["with checkpoints", "without checkpoints"] {
        if shortcuts == "without checkpoints" {
            std::fs::remove_dir_all(data.join("checkpoints"))?;
        }
        for at in [events / 10, events / 3, events / 2, events * 99 / 100] {
            let what = format!("state --at {at}, {shortcuts}");
            measure(&what, reading, || runtime.block_on(state(&data, AsOf::Position(Position(at)))))?;
        }
        let time = AsOf::Time(When::At(found.recorded_at));
        measure(&format!("state --at TIME, {shortcuts}"), reading, || runtime.block_on(state(&data, time)))?;
    }
    let run = found.run().ok_or("no run there")?;
    measure("state --all", reading, || runtime.block_on(everything(&data, Position(events / 2))))?;
    measure("show", reading, || runtime.block_on(show(&data, run)))?;
    measure("history of a run, as of timeline and why", reading, || runtime.block_on(history(&data, run)))?;
    measure("bisect along a run", reading, || runtime.block_on(bisect(&data, &format!("run(\"{run}\").ended"))))?;
    measure("bisect by scan", reading, || runtime.block_on(bisect(&data, "count(status = \"Exited\") > 10000000")))?;
    measure("verify", reading, || Ok(tachograph_adapters::journal::verify(&data, |_| ())?.entries))
}

/// Prints the middle of some rounds, each of which opens the journal anew as a command does.
fn measure(what: &str, reading: Duration, mut work: impl FnMut() -> Result<u64, Failure>) -> Result<(), Failure> {
    let (mut times, mut result) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (value, took) = timed(&mut work)?;
        (result, _) = (value, times.push(took.as_secs_f64()));
    }
    let seconds = median(times);
    println!("{what}: {seconds:.3} s, {:.1} times reading the files ({result})", seconds / reading.as_secs_f64());
    Ok(())
}

async fn sample(data: &Path, at: Position) -> Result<Entry, Failure> {
    Ok(Dataset::open(data)?.reader().entry(at).await?.ok_or("no entry there")?)
}

async fn state(data: &Path, at: AsOf) -> Result<u64, Failure> {
    let dataset = Dataset::open(data)?;
    let at = dataset.position(Some(at), Default::default()).await?;
    Ok(dataset.open_at(at).await?.runs.len() as u64)
}

async fn everything(data: &Path, at: Position) -> Result<u64, Failure> {
    Ok(Dataset::open(data)?.everything_at(at).await?.runs.len() as u64)
}

async fn show(data: &Path, run: RunId) -> Result<u64, Failure> {
    let dataset = Dataset::open(data)?;
    let head = dataset.reader().head().position;
    Ok(dataset.record(run, head).await?.run.version.0)
}

async fn history(data: &Path, run: RunId) -> Result<u64, Failure> {
    Ok(Dataset::open(data)?.history(&run.to_string()).await?.timeline.items().len() as u64)
}

async fn bisect(data: &Path, when: &str) -> Result<u64, Failure> {
    let dataset = Dataset::open(data)?;
    let head = dataset.reader().head().position;
    Ok(dataset.bisect(&Expression::parse(when)?, Position::ZERO, head).await?.entries)
}
