//! Durable commands per second of the engine with many submitters, next to two baselines of the same run: a committer
//! that decides nothing and only appends the same bytes with the same group commit, and a bare loop that writes and
//! syncs the very same frames with nobody waiting for them.
//!
//! `cargo bench -p tachograph-benches --bench commit`; `TACHO_BENCH_ROUNDS` (5), `TACHO_BENCH_SUBMITTERS` (64) and
//! `TACHO_BENCH_RUNS` per submitter and round (300) turn it up.

use std::sync::Arc;
use std::time::Instant;

use tachograph_benches::{Bare, Failure, bare_committer, live, median, number, open, timed};
use tachograph_engine::codec;
use tachograph_engine::domain::Position;
use tokio::sync::oneshot;

fn main() -> Result<(), Failure> {
    let rounds = number("TACHO_BENCH_ROUNDS", 5);
    let submitters = number("TACHO_BENCH_SUBMITTERS", 64);
    let runs = number("TACHO_BENCH_RUNS", 300);
    println!("{submitters} submitters, {} commands a round", submitters * runs * 3);
    println!(
        "{:>5} {:>12} {:>12} {:>12} {:>8} {:>9} {:>9}",
        "round", "engine/s", "committer/s", "frames/s", "batch", "÷committer", "÷frames"
    );
    let (mut of_committer, mut of_frames) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let measured = measure(submitters, runs)?;
        let (committer, frames) = (measured.engine / measured.committer, measured.engine / measured.frames);
        println!(
            "{round:>5} {:>12.0} {:>12.0} {:>12.0} {:>8.1} {committer:>9.2} {frames:>9.2}",
            measured.engine, measured.committer, measured.frames, measured.batch
        );
        of_committer.push(committer);
        of_frames.push(frames);
    }
    println!(
        "median: {:.2} of a committer that only appends, {:.2} of the bare frames",
        median(of_committer),
        median(of_frames)
    );
    Ok(())
}

struct Measured {
    engine: f64,
    committer: f64,
    frames: f64,
    batch: f64,
}

fn measure(submitters: u64, runs: u64) -> Result<Measured, Failure> {
    let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let commands = (submitters * runs * 3) as f64;

    let data = place.path().join("data");
    let (engine, report) = runtime.block_on(open(&data))?;
    let begun = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..submitters)
            .map(|submitter| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for number in 0..runs {
                        live(&engine, submitter * runs + number).await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok::<_, Failure>(())
    })?;
    let engine_seconds = begun.elapsed().as_secs_f64();

    let (entries, batches) = runtime.block_on(recorded(&engine, report.found.position))?;
    runtime.block_on(engine.close())?;
    drop(engine);

    let committer = bare_committer(&place.path().join("committer"))?;
    let begun = Instant::now();
    runtime.block_on(async {
        let per_task = entries.len().div_ceil(submitters as usize);
        let tasks: Vec<_> = entries
            .chunks(per_task)
            .map(|chunk| {
                let (committer, chunk) = (committer.clone(), chunk.to_vec());
                tokio::spawn(async move {
                    for bytes in chunk {
                        let (reply, answered) = oneshot::channel();
                        committer.send((bytes, reply)).await?;
                        answered.await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok::<_, Failure>(())
    })?;
    let committer_seconds = begun.elapsed().as_secs_f64();

    let mut bare = Bare::create(&place.path().join("frames"))?;
    let ((), took) = timed(|| batches.iter().try_for_each(|frame| bare.append(frame)))?;
    Ok(Measured {
        engine: commands / engine_seconds,
        committer: entries.len() as f64 / committer_seconds,
        frames: entries.len() as f64 / took.as_secs_f64(),
        batch: entries.len() as f64 / batches.len().max(1) as f64,
    })
}

/// The bytes of each entry that the engine wrote, and the same bytes joined as they were committed together.
async fn recorded(
    engine: &tachograph_engine::shell::Engine,
    after: Position,
) -> Result<(Vec<Arc<[u8]>>, Vec<Vec<u8>>), Failure> {
    let reader = engine.reader();
    let (mut entries, mut batches, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    let mut after = after;
    loop {
        let chunk = reader.read(after, 4_096).await?;
        let Some(last) = chunk.last() else { break };
        after = last.position;
        for entry in &chunk {
            let mut bytes = Vec::new();
            codec::encode_entry(entry, &mut bytes);
            batch.extend_from_slice(&bytes);
            entries.push(bytes.into());
            if reader.digest_at(entry.position).await?.is_some() {
                batches.push(std::mem::take(&mut batch));
            }
        }
    }
    Ok((entries, batches))
}
