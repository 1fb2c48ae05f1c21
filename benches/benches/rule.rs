//! How long it takes to decide a million recorded events again, by the engine's own rules and by others, next to reading
//! the same entries, in the same run.
//!
//! `cargo bench -p tachograph-benches --bench rule`; `TACHO_BENCH_EVENTS` (1000000) turns it up.

use tachograph_benches::{Failure, fill, number, timed};
use tachograph_engine::domain::Position;
use tachograph_replay::dataset::Dataset;
use tachograph_replay::rule::{Rules, Waiver, Which, recheck, what_if};

fn main() -> Result<(), Failure> {
    let events = number("TACHO_BENCH_EVENTS", 1_000_000);
    let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
    let data = place.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&data, events))?;
    let dataset = Dataset::open(&data)?;
    let head = dataset.reader().head().position;
    let (entries, reading) = timed(|| {
        let mut entries = 0_u64;
        runtime.block_on(dataset.visit(Position::ZERO, head, |_| {
            entries += 1;
            true
        }))?;
        Ok(entries)
    })?;
    println!("{entries} entries; reading them takes {:.3} s", reading.as_secs_f64());
    let show = |what: &str, took: std::time::Duration, found: String| {
        let times = took.as_secs_f64() / reading.as_secs_f64();
        println!("{what}: {:.3} s, {times:.1} times reading the entries ({found}, {})", took.as_secs_f64(), memory());
    };
    let (rechecked, took) = timed(|| Ok(runtime.block_on(recheck(&dataset, 1_000))?))?;
    show("recheck", took, format!("{} decided, {} differ", rechecked.tally.decided, rechecked.tally.differing));
    for (what, rules) in [
        ("whatif, all guards off", Rules { without: Waiver::ALL.into(), ..Rules::default() }),
        ("whatif, row ids", Rules { naive_row_ids: true, ..Rules::default() }),
        ("whatif, a command dropped", Rules { dropped: vec![Which::At(Position(2))], ..Rules::default() }),
    ] {
        let (told, took) = timed(|| Ok(runtime.block_on(what_if(&dataset, rules.clone()))?))?;
        show(what, took, format!("{} flips", told.flips.len()));
    }
    Ok(())
}

/// The most memory that this process ever had.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("peak {}", line.map_or("unknown", str::trim))
}
