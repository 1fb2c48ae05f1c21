//! The process around a command: arguments, logs, panics, runtime, exit code.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::Parser;
use clap::error::ErrorKind;
use tachograph_adapters::shim::heed_child_exits;
use tachograph_adapters::threads::{blocking_max, is_starting, room_for, started};
use tachograph_engine::ports::JournalError;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::archive;
use crate::audit;
use crate::cli::{AdoptArgs, Cli, Command};
use crate::dataset::Dataset;
use crate::error::{Error, exit};
use crate::explore;
use crate::machine::Machine;
use crate::output::{Context, Format, Reading};
use crate::page;
use crate::patient::{Patient, tell};
use crate::remarks::{Logs, say_rest};
use crate::snapshot_problem::SnapshotProblem;
use crate::standard_error::waits_for_its_terminal;
use crate::{
    adopt, cancel_snapshot, destroy, kill, logs, ps, recheck, report, restore, run, runs, show, supervise, tail,
    timeline, timers, verify, whatif, why_timer,
};
use crate::{bisect, diff, state};
use crate::{bundle, export, import, interrupt};
use crate::{compare, why};

/// Threads with this name read an index that may be damaged; the panics of its store are caught and lead to a rebuild.
const INDEX_THREAD: &str = "tacho-index";
/// So long a thread for what may block stays when it has nothing to do: it counts as one of the processes that runs may have.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(10);

/// Files that a runtime has open: what it waits with, and how it hears of signals.
const RUNTIME_FILES: usize = 8;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // While there is no other thread: whoever executes this may ignore CHLD, and no child's end would be seen then.
    heed_child_exits();
    interrupt::outlive_long_files();
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => ExitCode::from(execute(cli)),
        Err(error) => ExitCode::from(explain(&error, &Hints::of(&arguments))),
    }
}

fn execute(cli: Cli) -> u8 {
    install_logs(cli.global.verbose);
    let context = Context { data: cli.global.data, format: cli.global.format, color: cli.global.color };
    let is_run = matches!(cli.command, Command::Run(_));
    let (code, error) = match dispatch(&context, cli.command) {
        Ok(code) => (code, None),
        Err(Error::BrokenPipe) => (exit::OK, None),
        Err(error) if is_run => (error.run_exit_code(), Some(error)),
        Err(error) => (error.exit_code(), Some(error)),
    };
    // If that fails, the exit code is all that is left.
    say_rest(error.map(|error| error_text(&error, context.format)).as_deref());
    code
}

fn dispatch(context: &Context, command: Command) -> Result<u8, Error> {
    if let Some(told) = audit::command::without_journal(context, &command) {
        return told;
    }
    let runtime = runtime(needs_threads(&command))?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => run::execute(context, args).await,
            Command::Supervise(args) => supervise::execute(context, args).await,
            Command::Report(mut args) => match args.report.take() {
                Some(said) => report::execute(context, said, args).await,
                None => read(context, async |reading| page::command::write(reading, &args).await).await,
            },
            Command::CancelSnapshot(args) => cancel_snapshot::execute(context, args).await,
            Command::Kill(args) => kill::execute(context, args).await,
            Command::Destroy(args) => destroy::execute(context, args).await,
            Command::Ps(args) => read(context, async |reading| ps::list(reading, &args).await).await,
            Command::Logs(args) => read(context, async |reading| logs::print(reading, &args).await).await,
            Command::Adopt(AdoptArgs {}) => read(context, async |reading| adopt::foretell(reading).await).await,
            Command::Runs(args) => read(context, async |reading| runs::list(reading, &args).await).await,
            Command::Show(args) => read(context, async |reading| show::show(reading, &args).await).await,
            Command::Timeline(args) => read(context, async |reading| timeline::tell(reading, &args).await).await,
            Command::Why(args) => read(context, async |reading| why::tell(reading, &args).await).await,
            Command::Compare(args) => read(context, async |reading| compare::compare(reading, &args).await).await,
            Command::Timers(args) => read(context, async |reading| timers::list(reading, &args).await).await,
            Command::WhyTimer(args) => read(context, async |reading| why_timer::tell(reading, &args).await).await,
            Command::Restore(args) => read(context, async |reading| restore::restore(reading, &args).await).await,
            Command::State(args) => read(context, async |reading| state::show(reading, &args).await).await,
            Command::Diff(args) => {
                read(&args.context(context), async |reading| diff::compare(reading, &args).await).await
            }
            Command::Bisect(args) => read(context, async |reading| bisect::find(reading, &args).await).await,
            Command::Tail(args) => read(context, async |reading| tail::follow(reading, &args).await).await,
            Command::Explore(args) => explore::execute(context, args).await,
            Command::Whatif(args) => read(context, async |reading| whatif::tell(reading, &args).await).await,
            Command::Sql(args) => read(context, async |reading| audit::command::sql(reading, &args).await).await,
            Command::Audit(args) => read(context, async |reading| audit::command::audit(reading, &args).await).await,
            Command::Verify(args) => verify::verify(context, &args),
            Command::Recheck(args) => read(context, async |reading| recheck::report(reading, &args).await).await,
            Command::Archive(args) => archive::execute(context, &args).await,
            Command::SealKey(args) => bundle::key::execute(context, &args),
            // What is archived may be in the tables all the same: what they hold is told when they are made.
            Command::Export(args) if args.parquet.is_some() => {
                read_all(context, async |reading| audit::export::command::write(reading, &args).await).await
            }
            Command::Export(args) if args.is_of_tables() => {
                read(context, async |reading| audit::export::command::write(reading, &args).await).await
            }
            Command::Export(args) if !args.jsonl => bundle::make::execute(context, &args).await,
            Command::Export(args) => read(context, async |reading| export::export(reading, &args).await).await,
            Command::Import(args) => import::execute(context, args).await,
        }
    });
    // A write to a reader that stands still must not keep the process alive.
    runtime.shutdown_background();
    result
}

/// Whether something else must go on while a terminal or a reader takes its time. Jobs are looked after by one thread where
/// nothing waits for either: each step of a short job is then taken where the last one was, instead of waking another
/// thread for it.
fn needs_threads(command: &Command) -> bool {
    match command {
        Command::Run(_) => true,
        Command::Supervise(_) => waits_for_its_terminal(),
        _ => false,
    }
}

/// With threads there is one beside this one.
fn runtime(with_threads: bool) -> Result<Runtime, Error> {
    if with_threads {
        room_for(1).map_err(Error::short_of_threads("looking after runs"))?;
    }
    built(with_threads)
}

/// The same without a look for room, which others may have taken since.
fn built(with_threads: bool) -> Result<Runtime, Error> {
    built_with(with_threads, IDLE_MAX)
}

/// The same with threads that stay so long with nothing to do.
fn built_with(with_threads: bool, idle_max: Duration) -> Result<Runtime, Error> {
    let with = |mut builder: Builder| {
        builder.thread_keep_alive(idle_max).max_blocking_threads(blocking_max()).enable_all();
        builder
    };
    // It panics if it cannot start its threads. Of several, it would then wait for ever for those that it could start. It
    // panics as well where one of its files cannot be opened.
    let build = || match with_threads {
        true => with(Builder::new_multi_thread()).worker_threads(1).build(),
        false => with(Builder::new_current_thread()).build(),
    };
    let built = started(build).map_err(|error| match room_for_files() {
        Ok(()) => Error::short_of_threads("looking after runs")(error),
        Err(error) => Error::no_runtime(error),
    })?;
    built.map_err(Error::no_runtime)
}

/// Whether as many files can be opened as a runtime needs.
fn room_for_files() -> std::io::Result<()> {
    let all: std::io::Result<Vec<_>> = (0..RUNTIME_FILES).map(|_| std::fs::File::open("/dev/null")).collect();
    all.map(drop)
}

/// Runs a command over the journal of the data directory, and says so if that is only a part of one.
async fn read(context: &Context, command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>) -> Result<u8, Error> {
    read_all(context, async |reading| {
        reading.note_held(&reading.dataset);
        command(reading).await
    })
    .await
}

/// Runs a command that says itself what is held.
async fn read_all(
    context: &Context,
    command: impl AsyncFnOnce(&mut Reading) -> Result<(), Error>,
) -> Result<u8, Error> {
    let dataset = Dataset::open(&context.data)?.showing_progress();
    let (now, output) = (context.now(), context.stdout());
    let mut reading = Reading { dataset, format: context.format, now, machine: Machine::this(), output };
    let done = command(&mut reading).await;
    let flushed = reading.output.flush();
    match (done, reading.dataset.damage()) {
        // What could be read is shown by now; that it is not all must not be missed.
        (Ok(()), Some(damage)) => flushed.and(Err(damage.into())),
        (
            Err(Error::UnknownRun { text, .. } | Error::Snapshot(SnapshotProblem::Unknown { text, .. })),
            Some(damage),
        ) => Err(unknown_past(&text, damage)),
        (done, _) => done.and(flushed).map(|()| exit::OK),
    }
}

/// A run that is not among what can be read may be among the rest: that is damage, not a wrong name.
fn unknown_past(text: &str, damage: JournalError) -> Error {
    match damage {
        JournalError::Damaged { file, offset, why } => {
            let why = format!("{why}; the beginning of {text:?} is not among what can be read");
            JournalError::Damaged { file, offset, why }.into()
        }
        other => other.into(),
    }
}

/// An error as it is told on standard error.
fn error_text(error: &Error, format: Format) -> String {
    match format {
        Format::Text => error.to_text(),
        Format::Json => format!("{}\n", error.to_json()),
    }
}

/// Prints help and version to standard output, wrong usage to standard error, and returns the exit code.
fn explain(error: &clap::Error, hints: &Hints) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let mut stdout = Patient(std::io::stdout());
        let written = stdout.write_all(styled(error, &stdout.0).as_bytes()).and_then(|()| stdout.flush());
        return match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit::FAILED,
            _ => exit::OK,
        };
    }
    if hints.json {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or(&text).trim().to_owned();
        let remedy = "`tacho help` and `tacho help COMMAND` show the arguments".to_owned();
        tell(&error_text(&Error::Input { code: "usage", message, remedy }, Format::Json));
    } else {
        tell(&styled(error, &std::io::stderr()));
    }
    if hints.run { exit::RUN_FAILED } else { exit::USAGE }
}

/// With its colours, if the stream shows them.
fn styled(error: &clap::Error, to: &impl RawStream) -> String {
    match AutoStream::choice(to) {
        ColorChoice::Never => error.render().to_string(),
        _ => error.render().ansi().to_string(),
    }
}

/// What can be told about a command line that cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
struct Hints {
    /// Whether JSON was asked for.
    json: bool,
    /// Whether the command is `run`, whose small exit codes belong to its command.
    run: bool,
}

impl Hints {
    fn of(arguments: &[OsString]) -> Self {
        let mut json = false;
        let mut command: Option<&OsStr> = None;
        let mut rest = arguments.iter().skip(1).take_while(|argument| *argument != "--");
        while let Some(argument) = rest.next() {
            let bytes = argument.as_encoded_bytes();
            if bytes == b"--format=json" || (bytes == b"--format" && rest.next().is_some_and(|next| next == "json")) {
                json = true;
            } else if matches!(bytes, b"--data" | b"--color") {
                rest.next();
            } else if command.is_none() && !bytes.starts_with(b"-") {
                command = Some(argument);
            }
        }
        Self { json, run: command.is_some_and(|command| command == "run") }
    }
}

/// Logs go to standard error: nothing without `-v`, unless `TACHO_LOG` holds directives such as `debug`.
fn install_logs(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = match std::env::var("TACHO_LOG") {
        Ok(directives) if verbose == 0 => EnvFilter::new(directives),
        _ => EnvFilter::new(level),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Logs).log_internal_errors(false);
    // Fails only if there is a subscriber already, whose logs then serve as well.
    let _ = logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init();
}

/// A panic of a damaged index is contained and repaired elsewhere, and that a thread is lacking is told as an error: neither
/// must look like a crash.
fn install_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some(INDEX_THREAD) {
            tracing::debug!(panic = %info, "the index is damaged; it will be rebuilt");
        } else if is_starting() {
            tracing::debug!(panic = %info, "a thread cannot be started");
        } else {
            default(info);
        }
    }));
}

#[cfg(test)]
#[path = "../../adapters/tests/shim/lonely.rs"]
#[allow(dead_code, reason = "what is tested here needs no directory")]
mod lonely;

#[cfg(test)]
mod tests {
    use tachograph_adapters::threads::{first_blocking, keep_blocking};

    use super::*;

    /// Runs in a process of its own, whose limit on threads binds it: that of root would not.
    #[test]
    fn a_thread_that_is_not_to_be_had_after_all_is_an_error_and_no_panic() {
        use rustix::process::{Resource, geteuid, getrlimit, setrlimit};
        use std::os::unix::process::CommandExt;
        const ALONE: &str = "TACHO_TEST_ALONE";
        let this = "app::tests::a_thread_that_is_not_to_be_had_after_all_is_an_error_and_no_panic";
        if std::env::var_os(ALONE).is_none() {
            let (tests, _copy) = lonely::executable(&std::env::current_exe().unwrap());
            let mut alone = std::process::Command::new("sh");
            alone
                .args(["-c", "exec /proc/self/fd/0 --exact \"$0\"", this])
                .env(ALONE, "1")
                .stdin(tests)
                .current_dir("/");
            if geteuid().is_root() {
                let Some(user) = lonely::lonely(7) else { return };
                alone.uid(user);
            }
            let alone = alone.output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let before = getrlimit(Resource::Nproc);
        let limit = |most| {
            let mut limit = getrlimit(Resource::Nproc);
            limit.current = most;
            setrlimit(Resource::Nproc, limit).unwrap();
        };
        limit(Some(0));
        let refused = built(true).unwrap_err();
        assert_eq!(refused.code(), "short_of_threads", "{refused:?}");
        let runtime = built(false).unwrap();
        runtime.block_on(async {
            let refused = first_blocking().unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock, "{refused}");
            limit(before.current);
            first_blocking().unwrap();
            limit(Some(0));
            // Two at a time, of which one is to wait for the other's thread.
            let (go, wait) = std::sync::mpsc::channel();
            let first = tokio::task::spawn_blocking(move || wait.recv());
            let second = tokio::task::spawn_blocking(|| 7);
            go.send(()).unwrap();
            assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), 7));
        });
        runtime.shutdown_background();
    }

    #[test]
    fn hints_survive_a_wrong_command_line() {
        let hints = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let Hints { json, run } = Hints::of(&arguments);
            (json, run)
        };
        assert_eq!(hints("tacho --data run runs --format json"), (true, false));
        assert_eq!(hints("tacho --format=json run --nam x -- ls"), (true, true));
        assert_eq!(hints("tacho --format text run -- tool --format=json"), (false, true));
        assert_eq!(hints("tacho runs run"), (false, false));
    }

    #[test]
    fn a_contained_panic_is_silent_and_any_other_is_not() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        let shown = Arc::new(AtomicUsize::new(0));
        let counter = shown.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match std::thread::current().name() {
            Some(INDEX_THREAD | "another") => drop(counter.fetch_add(1, Ordering::SeqCst)),
            _ => before(info),
        }));
        install_panic_hook();
        let panic_in = |name: &str| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            assert!(thread.spawn(|| panic!("made to")).unwrap().join().is_err());
            shown.load(Ordering::SeqCst)
        };
        assert_eq!((panic_in(INDEX_THREAD), panic_in("another")), (0, 1));
    }

    /// The threads that have this name, of all in this process.
    fn threads_named(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.flatten().flat_map(|task| std::fs::read_to_string(task.path().join("comm")));
        names.filter(|found| found.trim_end() == name).count()
    }

    /// Runs in a process of its own, where nobody else has a runtime.
    #[test]
    fn threads_are_given_back_after_a_burst_but_for_a_few() {
        const ALONE: &str = "TACHO_TEST_ALONE";
        let many = blocking_max().min(40);
        let this = "app::tests::threads_are_given_back_after_a_burst_but_for_a_few";
        if std::env::var_os(ALONE).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let alone = alone.args(["--exact", this]).env(ALONE, "1").output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let idle_max = Duration::from_millis(400);
        for with_threads in [false, true] {
            let runtime = built_with(with_threads, idle_max).unwrap();
            // Its own thread has the same name.
            let present = || threads_named("tokio-rt-worker") - usize::from(with_threads);
            runtime.block_on(async {
                keep_blocking(idle_max / 4).unwrap();
                let all_there = std::sync::Arc::new(std::sync::Barrier::new(many));
                let burst = (0..many).map(|_| all_there.clone());
                let burst: Vec<_> =
                    burst.map(|all| tokio::task::spawn_blocking(move || all.wait().is_leader())).collect();
                for one in burst {
                    one.await.unwrap();
                }
                // However often it is looked, none too many and never none in the end. One that is let go of too early is
                // replaced; without anybody who keeps them, none would ever be there again.
                tokio::time::sleep(idle_max * 3).await;
                let mut looks = 0;
                while !(1..=many.div_ceil(4)).contains(&present()) {
                    looks += 1;
                    assert!(looks < 600, "{} threads, of {many}", present());
                    tokio::time::sleep(idle_max / 8).await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(30));
        }
    }
}
