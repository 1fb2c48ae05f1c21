//! A foreign history, from its first byte to a journal at its place.

use std::fs::DirBuilder;
use std::io::{BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::journal::{Durability, FileJournal, JournalOptions};
use tachograph_engine::domain::{Digest, Session, Timestamp};
use tachograph_engine::ports::{Clock, Host, JournalError};
use tachograph_engine::shell::{Engine, Options, Parts};

use super::EVENT_BYTES_MAX;
use super::identity::{EntryIds, Identity};
use super::observation::{Meaning, Observation};
use super::recorder::Recorder;
use super::replaced::Held;
use super::report::{Fate, ForeignReport, Ledger};
use super::silent::Silent;
use super::survey::{self, Order};
use crate::error::Error;
use crate::import::{ImportProblem, Lines, Target};

/// The directory beside the journal with what was imported.
pub const FOREIGN_DIR: &str = "foreign";
/// The input, byte for byte.
const ORIGINAL: &str = "original.jsonl";
/// What became of every event of it.
const LINES: &str = "lines.jsonl";
/// The report.
const REPORT: &str = "import.json";

/// Where a foreign history comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignSource {
    /// A Docker daemon.
    DockerEvents,
    /// A Kubernetes cluster.
    K8sEvents,
    /// Anything, in the shape of `docs/import.md`.
    Jsonl,
}

impl ForeignSource {
    /// Its name, as the command line takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DockerEvents => "docker-events",
            Self::K8sEvents => "k8s-events",
            Self::Jsonl => "jsonl",
        }
    }

    /// Who holds an attempt if no event says so.
    const fn holder(self) -> &'static str {
        match self {
            Self::DockerEvents => "docker",
            Self::K8sEvents => "kubernetes",
            Self::Jsonl => "import",
        }
    }

    /// Whether events are recorded in the order of their times: those of a cluster come in the order of their names.
    const fn is_sorted_by_time(self) -> bool {
        match self {
            Self::K8sEvents => true,
            Self::DockerEvents | Self::Jsonl => false,
        }
    }

    /// Whether its attempts have no names, so that a late report finds its own by the time.
    const fn finds_by_time(self) -> bool {
        match self {
            Self::DockerEvents | Self::K8sEvents => true,
            Self::Jsonl => false,
        }
    }
}

/// What is to be imported.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it is.
    pub source: ForeignSource,
    /// The input, as messages name it.
    pub file: &'a str,
    /// A place that does not exist or is an empty directory.
    pub place: &'a Path,
    /// Whether nothing is imported if something cannot be read.
    pub strict: bool,
}

/// Makes a journal out of a foreign history.
///
/// The journal follows from the input alone: the same bytes give the same segments. An event that is told twice, as where
/// two streams overlap, is recorded once. At the place there is nothing until all is durable. `tell` is called with how
/// much of the copying, and then of the recording, is done: bytes of the input.
///
/// # Errors
///
/// [`ImportProblem`]: the place is occupied, the input cannot be read or has no events, or, if `strict`, something in it cannot
/// be read. [`Error::Journal`] if the journal cannot be written.
pub async fn import(
    input: impl BufRead,
    request: Request<'_>,
    mut tell: impl FnMut(&'static str, u64),
) -> Result<ForeignReport, Error> {
    let Request { source, file, place, strict } = request;
    let target = Target::begin(place)?;
    let foreign = target.path().join(FOREIGN_DIR);
    let made = DirBuilder::new().mode(0o700).create(&foreign);
    made.map_err(|error| JournalError::io("create", &foreign, error))?;
    let original = foreign.join(ORIGINAL);
    let (digest, _) = survey::copy(input, file, &original, |bytes| tell("copying", bytes))?;
    let mut ledger = Ledger::into(survey::create(&foreign.join(LINES))?, source.name());
    let order = match source.is_sorted_by_time() {
        true => Some(Order::of(source, &original, &mut ledger)?),
        false => None,
    };
    let first = match &order {
        Some(order) => order.first_time(),
        None => survey::first_time(source, &original)?,
    };
    let Some(first) = first else { return Err(ImportProblem::Empty { file: file.to_owned() }.into()) };
    let mut import = Import { recorder: open(source, target.path(), digest, first).await?, ledger };
    match order {
        Some(order) => import.in_order(&order, &original, |bytes| tell("recording", bytes)).await?,
        None => import.line_by_line(source, &original, |bytes| tell("recording", bytes)).await?,
    }
    let mut report = import.finish(&foreign).await?;
    report.data = place.display().to_string();
    if strict && let Some(problem) = bad_lines(&report, file, false) {
        return Err(problem.into());
    }
    write_report(&report, &foreign)?;
    target.finish()?;
    Ok(report)
}

/// The problem that some lines could not be read, if some could not.
pub(crate) fn bad_lines(report: &ForeignReport, file: &str, imported: bool) -> Option<ImportProblem> {
    let first = report.bad_lines.iter().map(|bad| bad.line).min()?;
    let ForeignReport { bad: count, events, .. } = *report;
    Some(ImportProblem::BadLines { file: file.to_owned(), count, events, first, imported })
}

struct Import {
    recorder: Recorder,
    ledger: Ledger,
}

impl Import {
    async fn line_by_line(
        &mut self,
        source: ForeignSource,
        original: &Path,
        mut tell: impl FnMut(u64),
    ) -> Result<(), Error> {
        let mut lines = Lines::of(survey::reader(original)?, EVENT_BYTES_MAX);
        let failed = |error| JournalError::io("read", original, error);
        loop {
            let (number, read) = match lines.next_line().map_err(failed)? {
                None => return Ok(()),
                Some(line) => (line.number, survey::of_line(source, line)),
            };
            match read {
                None => {}
                Some(Err(bad)) => self.ledger.tell(number, Fate::Bad(bad)).map_err(failed)?,
                Some(Ok(Meaning::Kept { what })) => self.ledger.tell(number, Fate::Kept(what)).map_err(failed)?,
                Some(Ok(Meaning::Observed(observations))) => {
                    for observation in &observations {
                        self.record(number, observation).await?;
                    }
                }
            }
            tell(lines.bytes());
        }
    }

    async fn in_order(&mut self, order: &Order, original: &Path, mut tell: impl FnMut(u64)) -> Result<(), Error> {
        let failed = |error| JournalError::io("read", original, error);
        let bytes = original.metadata().map_err(failed)?.len();
        for number in 0..order.len() {
            let Some((line, observation)) = order.observation(number).map_err(failed)? else { break };
            self.record(line, &observation).await?;
            tell(bytes.saturating_mul(number as u64 + 1) / order.len() as u64);
        }
        Ok(())
    }

    async fn record(&mut self, line: u64, observation: &Observation) -> Result<(), Error> {
        self.ledger.time(observation.at);
        let fate = match self.recorder.observe(observation).await? {
            Some(decided) => Fate::Decided(decided),
            None => Fate::Kept("says nothing new".to_owned()),
        };
        let told = self.ledger.tell(line, fate);
        Ok(told.map_err(|error| JournalError::io("write", LINES, error))?)
    }

    /// Closes the journal and makes what stands beside it durable.
    async fn finish(self, foreign: &Path) -> Result<ForeignReport, Error> {
        let Self { recorder, ledger } = self;
        recorder.engine.close().await?;
        let head = recorder.engine.head();
        let lines = foreign.join(LINES);
        let mut report = ledger.finish().map_err(|error| JournalError::io("sync", lines, error))?;
        report.entries = head.position.0;
        report.digest = head.digest.to_string();
        report.journal = recorder.journal.to_string();
        (report.runs, report.left_out) = (recorder.runs, recorder.left_out);
        Ok(report)
    }
}

/// An engine over a new journal, whose clock stands at the first event.
async fn open(source: ForeignSource, data: &Path, input: Digest, first: Timestamp) -> Result<Recorder, Error> {
    let identity = Identity(source.name());
    let journal = identity.journal(input);
    let clock = ManualClock::new(first);
    // Whatever a crash leaves is not at its place yet; closing syncs.
    let (durability, anchor_interval) = (Durability::Buffered, None);
    let options = JournalOptions { durability, anchor_interval, journal: Some(journal), ..JournalOptions::default() };
    let parts = Parts {
        journal: Box::new(FileJournal::open(data, options)?),
        clock: Arc::new(clock.clone()),
        ids: Arc::new(EntryIds::new(clock.clone(), identity, journal)),
        host: Arc::new(ImportHost { clock: clock.clone(), source }),
        checkpoints: None,
    };
    // One at a time: every entry has its own event's time, and frames follow from the input as well.
    let (engine, _) = Engine::open(parts, Options { batch_max: 1, ..Options::default() }).await?;
    let (holder, by_time) = (source.holder(), source.finds_by_time());
    let (silent, held) = (Silent::default(), Held::default());
    Ok(Recorder { engine, clock, identity, journal, holder, by_time, runs: 0, left_out: 0, silent, held })
}

fn write_report(report: &ForeignReport, foreign: &Path) -> Result<(), Error> {
    let path = foreign.join(REPORT);
    let mut text = serde_json::to_vec_pretty(report).map_err(|error| Error::internal(error.to_string()))?;
    text.push(b'\n');
    let mut file = survey::create(&path)?;
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    written.map_err(|error| JournalError::io("write", &path, error))?;
    let synced = std::fs::File::open(foreign).and_then(|dir| dir.sync_all());
    Ok(synced.map_err(|error| JournalError::io("sync", foreign, error))?)
}

/// Who writes an import: no process of any machine, so that the same input gives the same journal, and nobody takes
/// it for a supervisor that could still live.
struct ImportHost {
    clock: ManualClock,
    source: ForeignSource,
}

impl Host for ImportHost {
    fn session(&self) -> Session {
        Session {
            host: format!("import of {}", self.source.name()),
            boot_id: String::new(),
            pid: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wall: self.clock.now(),
            monotonic_us: 0,
        }
    }
}
