//! What it costs to run a short command under the whole recorder, with and without shims, next to a plain loop of the
//! same run: the same program spawned by the runtime with the same concurrency, both streams copied to files, and a
//! synced exit record. The recorder does that, too, and makes every fact durable before and after: its synced record is the
//! journal, in which the start is durable before the spawn, and the end before it is told.
//!
//! `cargo bench -p tachograph-benches --bench spawn`; `TACHO_BENCH_COMMANDS` (2000), `TACHO_BENCH_CONCURRENCY` (8) and
//! `TACHO_BENCH_ROUNDS` (5), which the commands are spread over, turn it up. `TACHO_BENCH_SHIM` names a program to use as
//! the shim; otherwise it is `bench-shim`, which is built with this and is the same as `tacho-shim`. `/proc/self/exe` has the
//! benchmark lend itself. `TACHO_BENCH_DIR` is where the files are made, the working directory if
//! absent; in `/dev/shm` it is the processors alone that are measured. `TACHO_BENCH_TACHO` names a `tacho` program, whose
//! `supervise` is measured too then: as many jobs of one file, from its start to its end.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use tachograph_adapters::process::{Launch, ProcessRunner, RunnerOptions, Shim};
use tachograph_adapters::shim;
use tachograph_benches::{Failure, number, open};
use tachograph_engine::domain::{ExitStatus, RunSpec, Workload};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PROGRAM: &str = "/bin/true";
/// What the two may cost, as a multiple of the plain loop.
const TARGETS: [(&str, f64); 2] = [("no shim", 1.5), ("shim", 2.5)];

/// The same for `tacho supervise`, with its arguments.
const SUPERVISED: [(&str, f64); 2] = [("--no-shim", 1.5), ("", 2.5)];

fn main() -> ExitCode {
    if let Some(code) = shim::dispatch() {
        return code;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    let (commands, rounds) = (number("TACHO_BENCH_COMMANDS", 2_000), number("TACHO_BENCH_ROUNDS", 5));
    let concurrency = usize::try_from(number("TACHO_BENCH_CONCURRENCY", 8))?;
    let each = (commands / rounds).max(1);
    let program =
        std::env::var_os("TACHO_BENCH_SHIM").map_or_else(|| env!("CARGO_BIN_EXE_bench-shim").into(), PathBuf::from);
    println!("{} commands in {rounds} rounds, {concurrency} at a time; load before: {}", each * rounds, load());
    println!("{:>5} {:>10} {:>10} {:>10}   ms a command", "round", "plain", "no shim", "shim");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tacho = std::env::var_os("TACHO_BENCH_TACHO").map(PathBuf::from);
    let (mut spent, mut supervised, mut places) = ([0.0; 3], [0.0; 2], Vec::new());
    for round in 1..=rounds {
        let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
        let took = [
            runtime.block_on(plain(&place.path().join("plain"), each, concurrency))?,
            runtime.block_on(recorded(&place.path().join("off"), Shim::Off, each, concurrency))?,
            runtime.block_on(recorded(
                &place.path().join("shim"),
                Shim::Program(program.clone()),
                each,
                concurrency,
            ))?,
        ];
        if let Some(tacho) = &tacho {
            for ((flag, _), spent) in SUPERVISED.iter().zip(&mut supervised) {
                *spent += supervise(tacho, &place.path().join(format!("supervised{flag}")), flag, each, concurrency)?;
            }
        }
        let ms = took.map(|seconds| seconds * 1e3 / each as f64);
        println!("{round:>5} {:>10.2} {:>10.2} {:>10.2}", ms[0], ms[1], ms[2]);
        spent.iter_mut().zip(took).for_each(|(spent, took)| *spent += took);
        // Nothing is deleted meanwhile: an ext4 without a journal passes by each inode that was deleted a short while ago
        // when it makes a file, which may cost more than all that is measured.
        places.push(place);
    }
    for ((name, target), spent_with) in TARGETS.iter().zip(&spent[1..]) {
        println!("{name}: {:.2} of the plain loop, at most {target} wanted", spent_with / spent[0]);
    }
    for ((flag, target), spent_with) in SUPERVISED.iter().zip(supervised).filter(|_| tacho.is_some()) {
        println!("tacho supervise {flag}: {:.2} of the plain loop, at most {target} wanted", spent_with / spent[0]);
    }
    println!("private memory of a shim: {} KiB; load after: {}", runtime.block_on(private_kib(&program))?, load());
    Ok(())
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

async fn plain(data: &Path, commands: u64, concurrency: usize) -> Result<f64, Failure> {
    std::fs::create_dir_all(data)?;
    let (places, mut tasks) = (Arc::new(Semaphore::new(concurrency)), JoinSet::new());
    let begun = Instant::now();
    for number in 0..commands {
        let (place, path) = (places.clone().acquire_owned().await?, data.join(number.to_string()));
        tasks.spawn(async move {
            let ended = plain_command(&path).await;
            drop(place);
            ended
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// What is asked of the loop and nothing more: three files, without a directory of their own, and one sync.
async fn plain_command(path: &Path) -> Result<(), Failure> {
    let mut child = Command::new(PROGRAM)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take().ok_or("no pipe")?, child.stderr.take().ok_or("no pipe")?);
    let mut out = tokio::fs::File::create(path.with_extension("stdout")).await?;
    let mut err = tokio::fs::File::create(path.with_extension("stderr")).await?;
    let (out, err) = tokio::join!(tokio::io::copy(&mut stdout, &mut out), tokio::io::copy(&mut stderr, &mut err));
    let status = child.wait().await?;
    let (record, path) = (format!("{status} {} {}\n", out?, err?), path.with_extension("exit"));
    tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(record.as_bytes())?;
        file.sync_all()
    })
    .await??;
    Ok(())
}

async fn recorded(data: &Path, shim: Shim, commands: u64, concurrency: usize) -> Result<f64, Failure> {
    let (engine, _) = open(data).await?;
    let runner = ProcessRunner::with_shim(engine.clone(), data.join("runs"), RunnerOptions::default(), shim);
    let (places, mut tasks) = (Arc::new(Semaphore::new(concurrency)), JoinSet::new());
    let begun = Instant::now();
    for _ in 0..commands {
        let (place, runner) = (places.clone().acquire_owned().await?, runner.clone());
        tasks.spawn(async move {
            let ended = recorded_command(&runner).await;
            drop(place);
            ended
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let took = begun.elapsed().as_secs_f64();
    drop(runner);
    engine.close().await?;
    Ok(took)
}

/// The time of one `tacho supervise`, all of it.
fn supervise(tacho: &Path, data: &Path, flag: &str, commands: u64, concurrency: usize) -> Result<f64, Failure> {
    std::fs::create_dir_all(data)?;
    let file = data.join("jobs.toml");
    let jobs: String = (0..commands).map(|number| format!("[jobs.j{number}]\ncommand = [\"{PROGRAM}\"]\n")).collect();
    std::fs::write(&file, jobs)?;
    let mut command = std::process::Command::new(tacho);
    command.arg("--data").arg(data.join("data")).arg("supervise").arg(&file);
    command.args(["--jobs", &concurrency.to_string()]).args(Some(flag).filter(|flag| !flag.is_empty()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    match command.status()? {
        status if status.success() => Ok(begun.elapsed().as_secs_f64()),
        status => Err(format!("{} supervise ended with {status}", tacho.display()).into()),
    }
}

fn spec(argv: &[&str]) -> RunSpec {
    let argv = argv.iter().map(ToString::to_string).collect();
    RunSpec { workload: Workload::Command { argv, cwd: None }, ..RunSpec::default() }
}

async fn recorded_command(runner: &ProcessRunner) -> Result<(), Failure> {
    let end = runner.launch(spec(&[PROGRAM]), Launch::default()).await?.wait().await?;
    match end.outcome.exit_status() {
        Some(ExitStatus::Code(0)) => Ok(()),
        _ => Err(format!("ended otherwise: {}", end.outcome).into()),
    }
}

/// Pages that nobody but one shim has, while its run goes on.
async fn private_kib(program: &Path) -> Result<u64, Failure> {
    let place = tempfile::tempdir()?;
    let (engine, _) = open(place.path()).await?;
    let shim = Shim::Program(program.to_owned());
    let runner = ProcessRunner::with_shim(engine.clone(), place.path().join("runs"), RunnerOptions::default(), shim);
    let run = runner.create(spec(&["sleep", "60"])).await?;
    let handle = runner.start(run, Launch::default()).await?;
    let process = handle.pid().ok_or("there is no process")?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let shim = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)).ok_or("no parent")?;
    let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup"))?;
    let private =
        rollup.lines().filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
    handle.terminate(std::time::Duration::ZERO);
    handle.wait().await?;
    engine.close().await?;
    Ok(kib)
}
