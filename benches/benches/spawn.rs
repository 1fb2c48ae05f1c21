//! What it costs to run a short command under the whole recorder, with and without shims, next to a plain loop of the
//! same run: the same program spawned by the runtime with the same concurrency, both streams copied to files, and a
//! synced exit record. The recorder does that, too, and makes every fact durable before and after: its synced record is the
//! journal, in which the start is durable before the spawn, and the end before it is told.
//!
//! `cargo bench -p tachograph-benches --bench spawn`; `TACHO_BENCH_COMMANDS` (2000, of each column in each round),
//! `TACHO_BENCH_CONCURRENCY` (8) and `TACHO_BENCH_ROUNDS` (5) turn it up. Each round is the loop, the runner of this
//! program without and with shims, and `tacho supervise` likewise: as many jobs of one file, from its start to its end, which
//! is what the targets are of. Each round begins with another of them, since what one leaves to the disk the next one pays.
//! A ratio is told over all rounds, and as the middle of the rounds' own.
//!
//! `tacho` and `tacho-shim` are copies of `bench-tacho` and `bench-shim`, which are built with this and are the same: copies, since they
//! start faster than what the linker wrote, and in a directory of their own, where each finds the other. `TACHO_BENCH_TACHO` names another
//! `tacho`, with a `tacho-shim` beside it. One that starts its shims out of anything else is not measured.
//! `TACHO_BENCH_SHIM` names another shim for the runner of this program; with `/proc/self/exe` that lends itself.
//! `TACHO_BENCH_DIR` is where the files are made, the working directory if absent; in `/dev/shm` it is the processors
//! alone that are measured. The copies are in the working directory in any case.

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
/// What `tacho` looks for beside itself.
const SHIM: &str = "tacho-shim";
/// What is measured beside the plain loop, in the order of the columns. What the last two may cost, as a multiple of it.
const MEASURED: [(&str, Option<f64>); 4] = [
    ("no shim", None),
    ("shim", None),
    ("tacho supervise --no-shim", Some(TARGETS[0])),
    ("tacho supervise", Some(TARGETS[1])),
];
/// Without shims, and with them.
const TARGETS: [f64; 2] = [1.5, 2.5];
/// All of them and the plain loop, which is the first.
const COLUMNS: usize = MEASURED.len() + 1;

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
    let (each, rounds) = (number("TACHO_BENCH_COMMANDS", 2_000).max(1), number("TACHO_BENCH_ROUNDS", 5).max(1));
    let concurrency = usize::try_from(number("TACHO_BENCH_CONCURRENCY", 8))?;
    // Before there are threads, so that nobody has the copies open for writing when they are executed.
    let programs = Programs::prepare()?;
    programs.check_shim()?;
    println!("{rounds} rounds of {each} commands, {concurrency} at a time; load before: {}", load());
    println!("ms a command; sup is `tacho supervise`");
    println!("{:>5} {:>13} {:>13} {:>13} {:>13} {:>13}", "round", "plain", "no shim", "shim", "sup --no-shim", "sup");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let place = tempfile::tempdir_in(std::env::var_os("TACHO_BENCH_DIR").unwrap_or_else(|| ".".into()))?;
        let took = measure_round(&runtime, &programs, place.path(), (each, concurrency), round)?;
        let ms = took.map(|seconds| format!("{:>13.2}", seconds * 1e3 / each as f64));
        println!("{round:>5} {}", ms.join(" "));
        all.push(took);
        // Nothing is deleted meanwhile: an ext4 without a journal passes by each inode that was deleted a short while ago
        // when it makes a file, which may cost more than all that is measured.
        places.push(place);
    }
    tell(&all);
    let private_kib = runtime.block_on(private_kib(&programs.own_shim))?;
    println!("private memory of a shim: {private_kib} KiB; load after: {}", load());
    Ok(())
}

/// The seconds that each column took.
fn measure_round(
    runtime: &tokio::runtime::Runtime,
    programs: &Programs,
    place: &Path,
    (each, concurrency): (u64, usize),
    round: u64,
) -> Result<[f64; COLUMNS], Failure> {
    let supervise = |name: &str, flag| supervise(&programs.tacho, &place.join(name), flag, each, concurrency);
    let shim = || Shim::Program(programs.own_shim.clone());
    let first = usize::try_from(round - 1)? % COLUMNS;
    let mut took = [0.0; COLUMNS];
    for column in (first..COLUMNS).chain(0..first) {
        took[column] = match column {
            0 => runtime.block_on(plain(&place.join("plain"), each, concurrency))?,
            1 => runtime.block_on(recorded(&place.join("off"), Shim::Off, each, concurrency))?,
            2 => runtime.block_on(recorded(&place.join("shim"), shim(), each, concurrency))?,
            3 => supervise("supervised-no-shim", Some("--no-shim"))?,
            _ => supervise("supervised", None)?,
        };
    }
    Ok(took)
}

/// What each column took as a multiple of the plain loop, those with a target first.
fn tell(all: &[[f64; COLUMNS]]) {
    println!(
        "of the plain loop, over all rounds and in the middle of them; the targets are those of `tacho supervise`:"
    );
    let spent = |column: usize| all.iter().map(|took| took[column]).sum::<f64>();
    for (index, (name, target)) in MEASURED.iter().enumerate().rev() {
        let column = index + 1;
        let middle = middle(all.iter().map(|took| took[column] / took[0]).collect());
        let target = target.map(|target| format!(", at most {target} wanted")).unwrap_or_default();
        println!("{:>26} {:.2}, {middle:.2}{target}", format!("{name}:"), spent(column) / spent(0));
    }
}

/// The one in the middle, or what is between both.
fn middle(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let half = ratios.len() / 2;
    if ratios.len() % 2 == 1 { ratios[half] } else { f64::midpoint(ratios[half - 1], ratios[half]) }
}

/// The programs that are measured.
struct Programs {
    tacho: PathBuf,
    /// What `tacho` is to start its shims out of.
    shim: PathBuf,
    /// What this program starts its shims out of.
    own_shim: PathBuf,
    /// Holds the copies.
    _place: tempfile::TempDir,
}

impl Programs {
    fn prepare() -> Result<Self, Failure> {
        let place = tempfile::tempdir_in(".")?;
        let own = place.path().canonicalize()?;
        std::fs::copy(env!("CARGO_BIN_EXE_bench-tacho"), own.join("tacho"))?;
        std::fs::copy(env!("CARGO_BIN_EXE_bench-shim"), own.join(SHIM))?;
        let tacho = std::env::var_os("TACHO_BENCH_TACHO").map_or_else(|| own.join("tacho"), PathBuf::from);
        let cannot = |path: &Path, error| format!("{} cannot be measured: {error}", path.display());
        let tacho = tacho.canonicalize().map_err(|error| cannot(&tacho, error))?;
        let shim = tacho.with_file_name(SHIM);
        let shim = shim.canonicalize().map_err(|error| cannot(&shim, error))?;
        let own_shim = std::env::var_os("TACHO_BENCH_SHIM").map_or_else(|| own.join(SHIM), PathBuf::from);
        Ok(Self { tacho, shim, own_shim, _place: place })
    }

    /// A `tacho` whose `tacho-shim` is of another build lends itself, which would be measured in the place of the shim: a job
    /// looks at the program of its parent.
    fn check_shim(&self) -> Result<(), Failure> {
        let place = tempfile::tempdir()?;
        let (file, seen) = (place.path().join("jobs.toml"), place.path().join("seen"));
        let look = "readlink /proc/$PPID/exe > \"$0\"";
        std::fs::write(&file, format!("[jobs.look]\ncommand = [\"sh\", \"-c\", {look:?}, {seen:?}]\n"))?;
        let ended = supervising(&self.tacho, &place.path().join("data"), &file).output()?;
        let told = String::from_utf8_lossy(&ended.stderr);
        let seen = std::fs::read_to_string(&seen).unwrap_or_default();
        if !ended.status.success() {
            return Err(format!("{} supervise ended with {}: {told}", self.tacho.display(), ended.status).into());
        }
        if Path::new(seen.trim_end()) != self.shim {
            let (tacho, shim) = (self.tacho.display(), self.shim.display());
            let why = "build both from the same sources";
            return Err(format!("{tacho} starts its shims out of {seen:?}, not out of {shim}; {why}: {told}").into());
        }
        Ok(())
    }
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
fn supervise(tacho: &Path, data: &Path, flag: Option<&str>, commands: u64, concurrency: usize) -> Result<f64, Failure> {
    std::fs::create_dir_all(data)?;
    let file = data.join("jobs.toml");
    let jobs: String = (0..commands).map(|number| format!("[jobs.j{number}]\ncommand = [\"{PROGRAM}\"]\n")).collect();
    std::fs::write(&file, jobs)?;
    let mut command = supervising(tacho, &data.join("data"), &file);
    command.args(["--jobs", &concurrency.to_string()]).args(flag);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    match command.status()? {
        status if status.success() => Ok(begun.elapsed().as_secs_f64()),
        status => Err(format!("{} supervise ended with {status}", tacho.display()).into()),
    }
}

fn supervising(tacho: &Path, data: &Path, file: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(tacho);
    command.arg("--data").arg(data).arg("supervise").arg(file).stdin(Stdio::null());
    command
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
