//! How long it takes to open a journal of a million events, next to reading its files byte by byte, in the same run.
//!
//! `cargo bench -p tachograph-benches --bench open`; `TACHO_BENCH_EVENTS` (1000000) turns it up.

use std::io::Read;
use std::path::Path;

use tachograph_benches::{Failure, fill, number, open, timed};

fn main() -> Result<(), Failure> {
    let events = number("TACHO_BENCH_EVENTS", 1_000_000);
    let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
    let data = place.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&data, events))?;
    let (bytes, reading) = timed(|| read_all(&data.join("journal")))?;
    println!("{events} events, {bytes} bytes; reading the files takes {:.3} s", reading.as_secs_f64());
    for (what, shortcuts) in [
        ("as it was closed", [].as_slice()),
        ("without checkpoints", &["checkpoints"]),
        ("without checkpoints and index", &["checkpoints", "index"]),
    ] {
        for shortcut in shortcuts {
            std::fs::remove_dir_all(data.join(shortcut))?;
        }
        let ((engine, report), took) = timed(|| runtime.block_on(open(&data)))?;
        println!(
            "open {what}: {:.3} s, {:.1} times reading the files ({} entries replayed, {} open runs)",
            took.as_secs_f64(),
            took.as_secs_f64() / reading.as_secs_f64(),
            report.replayed,
            report.open_runs.len()
        );
        runtime.block_on(engine.close())?;
    }
    Ok(())
}

fn read_all(journal: &Path) -> Result<u64, Failure> {
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    for file in std::fs::read_dir(journal)? {
        let mut file = std::fs::File::open(file?.path())?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => total += read as u64,
            }
        }
    }
    Ok(total)
}
