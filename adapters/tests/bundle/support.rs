//! Journals to export, and short ways to do it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::bundle::{BundleReader, Compression, Exported, Request, Selection, export};
use tachograph_adapters::journal::{FileJournal, FileReader, JournalOptions};
use tachograph_engine::domain::testing::{claim, ids};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Command, Committed, Decision, Diagnostics, Entry, EntryBody, Failure, FailureKind, Fleet,
    Position, Refused, RefusedCommand, RunId, RunSpec, RunnerId, Session, StartMode, SystemFact, Timestamp, Workload,
};
use tachograph_engine::ports::{Draft, Journal, JournalReader};
use tempfile::TempDir;

/// Waits for a future that needs no runtime of its own.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The journal that is kept as a fixture: four segments, every kind of entry, commits of one to three entries.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1")
}

pub(crate) fn request(selection: Selection) -> Request {
    Request {
        selection,
        compression: Compression::None,
        seal: None,
        redact: Vec::new(),
        salts: None,
        guessable_ids: false,
        replaces: false,
        exported_at: Timestamp::from_micros(1_000_000),
        producer: "tacho 0.1.0".to_owned(),
    }
}

/// Exports without further wishes.
pub(crate) fn exported(from: &Path, out: &Path, request: &Request) -> Exported {
    export(from, out, request, |_| ()).unwrap()
}

pub(crate) fn entries_of(reader: &dyn JournalReader) -> Vec<Entry> {
    wait(reader.read(Position::ZERO, usize::MAX)).unwrap()
}

/// All entries of a bundle.
pub(crate) fn bundled(path: &Path) -> Vec<Entry> {
    entries_of(&BundleReader::open(path).unwrap())
}

/// All entries of a data directory.
pub(crate) fn recorded(data: &Path) -> Vec<Entry> {
    entries_of(&FileReader::open(data).unwrap())
}

/// A journal of runs that each have a secret, in several segments and with commits of one to three entries.
pub(crate) struct Secrets {
    pub(crate) data: TempDir,
}

/// The value that is to be left out of run `number`.
pub(crate) fn secret(number: u64) -> String {
    format!("correct-horse-{number}-battery-staple")
}

impl Secrets {
    pub(crate) fn of_runs(runs: u64) -> Self {
        Self::recorded(|fleet, made| (1..=runs).flat_map(|number| life(number, fleet, made)).collect())
    }

    /// A journal of runs that each have this secret, and something of it in what their failures say.
    pub(crate) fn telling(hidden: &str, messages: &[String]) -> Self {
        Self::recorded(|fleet, made| {
            let told = (1..).zip(messages);
            told.flat_map(|(number, message)| life_of(number, hidden, message.clone(), fleet, made)).collect()
        })
    }

    fn recorded(drafts: impl FnOnce(&mut Fleet, &mut u64) -> Vec<Draft>) -> Self {
        let data = TempDir::new().unwrap();
        let options = JournalOptions { segment_bytes: 8 << 10, anchor_interval: None, ..JournalOptions::default() };
        let mut journal = FileJournal::open(data.path(), options).unwrap();
        let (mut fleet, mut made) = (Fleet::default(), 0);
        let mut rest = drafts(&mut fleet, &mut made).into_iter().peekable();
        let mut size = 0;
        while rest.peek().is_some() {
            size = size % 3 + 1;
            wait(journal.append(rest.by_ref().take(size).collect())).unwrap();
        }
        wait(Box::new(journal).close()).unwrap();
        Self { data }
    }
}

/// A journal as an import of a foreign history makes one.
pub(crate) fn imported_history() -> TempDir {
    let session = Session {
        host: "import of jsonl".to_owned(),
        boot_id: String::new(),
        pid: 0,
        version: "0.1.0".to_owned(),
        wall: Timestamp::from_micros(1),
        monotonic_us: 0,
    };
    let opened = EntryBody::System(SystemFact::Opened(session));
    let opened = Draft { id: ids::entry(1), recorded_at: Timestamp::from_micros(1), body: opened };
    let labels = [("import.source".to_owned(), "jsonl".to_owned())].into();
    let workload = Workload::Command { argv: vec!["job".to_owned()], cwd: None };
    let spec = RunSpec { name: Some("somebody".to_owned()), labels, workload, ..RunSpec::default() };
    let (mut fleet, mut made) = (Fleet::default(), 1);
    let created = draft(ids::run(1), Action::Create { spec: Arc::new(spec) }, &mut fleet, &mut made);
    Secrets::recorded(|_, _| vec![opened, created]).data
}

/// A run whose secret is in a label, in its command line, and in what its failure says.
fn life(number: u64, fleet: &mut Fleet, made: &mut u64) -> Vec<Draft> {
    let hidden = secret(number);
    life_of(number, &hidden, format!("no answer to {hidden}"), fleet, made)
}

fn life_of(number: u64, hidden: &str, message: String, fleet: &mut Fleet, made: &mut u64) -> Vec<Draft> {
    let run = ids::run(number);
    let mine = claim(run, number, "r1");
    let labels = [("secret".to_owned(), hidden.to_owned()), ("team".to_owned(), "infra".to_owned())].into();
    let argv = vec!["curl".to_owned(), format!("--header=X-Key: {hidden}")];
    let workload = Workload::Command { argv, cwd: Some("/srv".to_owned()) };
    let spec = RunSpec { name: Some(format!("job-{number}")), labels, workload, ..RunSpec::default() };
    let failure = Failure {
        kind: FailureKind::TimedOut,
        message,
        diagnostics: Diagnostics { last_output: vec![format!("key={hidden}")], ..Diagnostics::default() },
    };
    let actions = [
        Action::Create { spec: Arc::new(spec) },
        Action::Start { attempt: mine.attempt, runner: RunnerId::from("r1"), mode: StartMode::Fresh },
        Action::Wait { claim: claim(run, number, "r2"), on: "nothing".to_owned(), deadline: None },
        Action::Fail { claim: mine, failure },
    ];
    actions.into_iter().map(|action| draft(run, action, fleet, made)).collect()
}

fn draft(run: RunId, action: Action, fleet: &mut Fleet, made: &mut u64) -> Draft {
    *made += 1;
    let at = Timestamp::from_micros(*made as i64 * 1_000_000);
    let actor = Actor::new(ActorKind::Supervisor, "host-1");
    let command = Command { id: ids::command(*made), run, actor, issued_at: at, expected: None, action };
    let body = match fleet.decide(&command) {
        Ok(Decision::Append(events)) => {
            fleet.apply(run, &events);
            EntryBody::Committed(Committed { command, version: fleet.state(run).version(), events })
        }
        Ok(Decision::AlreadyRecorded) => panic!("the script repeats itself"),
        Err(refusal) => {
            EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count: 1 })
        }
    };
    Draft { id: ids::entry(*made), recorded_at: at, body }
}
