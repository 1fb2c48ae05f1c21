//! `tacho archive`: old segments into a bundle, and a stub in their place.

use std::path::{Path, PathBuf};

use tachograph_adapters::archive::{self, Archived, Holding, Plan, Request, Why};
use tachograph_adapters::journal::Progress;
use tachograph_engine::ports::JournalError;

#[cfg(feature = "parquet")]
use crate::audit::export::Source;
#[cfg(feature = "parquet")]
use crate::audit::export::parquet::{is_export_of, look_at_directory, write_parquet};
use crate::cli::ArchiveArgs;
use crate::dataset::Dataset;
use crate::error::{Error, exit};
use crate::output::Context;
use crate::progress::Bar;
use crate::table::printable;
use crate::view::ArchiveView;

/// Runs that the text lists as those that keep the rest back; JSON has all of them.
const HOLDING_LISTED_MAX: usize = 10;

/// Says what would be archived, or archives it.
///
/// # Errors
///
/// [`Error`] if the journal is damaged, open elsewhere or not a directory, or if the bundle cannot be made.
pub async fn execute(context: &Context, args: &ArchiveArgs) -> Result<u8, Error> {
    let data = &context.data;
    if data.is_file() {
        let message = format!("{} is a bundle: nothing moves out of evidence", data.display());
        return Err(Error::input(message, "name a data directory with --data DIR"));
    }
    let now = context.now();
    let before = args.before.resolve(now);
    if before > now {
        let message = format!("--before {before} lies in the future");
        return Err(Error::input(message, "name a time that is over: what ends until then would go as well"));
    }
    check_place(data)?;
    let done = if args.apply {
        let producer = format!("tacho {}", env!("CARGO_PKG_VERSION"));
        let request = Request { before, bundle: args.to.clone(), archived_at: now, producer };
        let beside = async |plan: &Plan, bundle: &Path| match beside(bundle, args) {
            Some(directory) => tables(plan, bundle, &directory).await,
            None => Ok(()),
        };
        let look = |plan: &Plan, bundle: &Path| look_at_tables(plan, bundle, args);
        archive::archive::<Error>(data, &request, look, beside, bar("archiving")).await?
    } else {
        let mut bar: Option<Bar> = None;
        let progress = |entries, of| bar.get_or_insert_with(|| Bar::of_entries("reading", of)).reached(entries);
        let plan = archive::plan(data, before, progress)?;
        drop(bar);
        let bundle = archive::look_at_place(data, args.to.as_deref(), &plan, self::bar("checking"))?;
        if !plan.is_empty() {
            look_at_tables(&plan, &bundle, args)?;
        }
        Archived { plan, bundle: None }
    };
    let parquet = done.bundle.as_ref().and_then(|(bundle, _)| beside(bundle, args));
    let mut output = context.stdout();
    match context.is_json() {
        true => output.json(&ArchiveView::of(&done, args.apply, parquet.as_deref()))?,
        false => output.text(&text(&done, data, args, parquet.as_deref()))?,
    }
    output.flush()?;
    Ok(exit::OK)
}

/// The directory for the tables of a bundle, beside it; absent if none are made.
fn beside(bundle: &Path, args: &ArchiveArgs) -> Option<PathBuf> {
    if !cfg!(feature = "parquet") || args.no_parquet {
        return None;
    }
    // Another ending than that of bundles is a part of a name: two bundles have two directories.
    if bundle.extension().is_some_and(|ending| ending == "tacho") {
        return Some(bundle.with_extension("parquet"));
    }
    let mut name = bundle.as_os_str().to_owned();
    name.push(".parquet");
    Some(name.into())
}

/// Looks whether the tables of a bundle could be written, and changes nothing.
#[cfg(feature = "parquet")]
fn look_at_tables(plan: &Plan, bundle: &Path, args: &ArchiveArgs) -> Result<(), Error> {
    let Some(directory) = beside(bundle, args) else { return Ok(()) };
    look_at_directory(&directory, plan.journal, plan.last).map_err(|problem| Error::Beside {
        problem: problem.into(),
        bundle: None,
        directory,
    })
}

#[cfg(not(feature = "parquet"))]
fn look_at_tables(_: &Plan, _: &Path, _: &ArchiveArgs) -> Result<(), Error> {
    Ok(())
}

/// Writes the tables of a bundle into a directory of its own, unless an archiving that was interrupted did.
#[cfg(feature = "parquet")]
async fn tables(plan: &Plan, bundle: &Path, directory: &Path) -> Result<(), Error> {
    let dataset = Dataset::open(bundle)?;
    let source = Source::of(&dataset, plan.last, None).await?;
    let made = match is_export_of(directory, &source) {
        Ok(false) => write_parquet(&dataset, source, directory, &|_| {}).await.map(drop),
        other => other.map(drop),
    };
    made.map_err(|error| match error {
        Error::Export(problem) => {
            Error::Beside { problem: problem.into(), bundle: Some(bundle.to_owned()), directory: directory.to_owned() }
        }
        error => error,
    })
}

#[cfg(not(feature = "parquet"))]
async fn tables(_: &Plan, _: &Path, _: &Path) -> Result<(), Error> {
    Ok(())
}

/// A wrong path must not become a data directory.
fn check_place(data: &Path) -> Result<(), JournalError> {
    Dataset::open(data).map(|_| ())
}

/// A progress bar over as many parts as each progress says: a new one for each of the steps.
fn bar(what: &'static str) -> impl FnMut(Progress) {
    let mut bar: Option<(u64, Bar)> = None;
    move |progress| {
        let total = progress.bytes_total;
        if bar.as_ref().is_none_or(|(of, _)| *of != total) {
            bar = Some((total, Bar::of_bytes(what, Some(total))));
        }
        if let Some((_, bar)) = &bar {
            bar.reached(progress.bytes);
        }
    }
}

fn text(done: &Archived, data: &Path, args: &ArchiveArgs, parquet: Option<&Path>) -> String {
    let Archived { plan, bundle } = done;
    let mut text = match (plan.is_empty(), bundle) {
        (true, _) => format!("nothing to archive before {}\n", plan.before),
        (false, Some((path, root))) => {
            let bundle = printable(&path.display().to_string());
            format!("archived {} into {bundle}\nroot:     {root}\n", what(plan))
        }
        (false, None) => format!("would archive {}\n", what(plan)),
    };
    if let Some(directory) = parquet {
        text.push_str(&format!("tables:   as Parquet files in {}\n", printable(&directory.display().to_string())));
    }
    text.push_str(&kept_back(plan));
    if !plan.is_empty() && !args.apply {
        text.push_str("nothing was changed; --apply does it\n");
    }
    if bundle.is_some() {
        let data = printable(&data.display().to_string());
        text.push_str(&format!("`tacho verify --data {data}` checks what stays, `tacho verify BUNDLE` what went\n"));
    }
    text
}

fn what(plan: &Plan) -> String {
    let Plan { segments, bytes, runs, .. } = plan;
    let (entries, first, last) = (plan.entries(), plan.first(), plan.last);
    format!("{entries} entries ({first} to {last}) about {runs} runs: {segments} segments, {bytes} bytes")
}

fn kept_back(plan: &Plan) -> String {
    let from = plan.kept_back.first;
    match &plan.kept_back.why {
        Why::Last => format!("stays:    what is from position {from} on, in the last segment with entries\n"),
        Why::Recorded(latest) => {
            format!("stays:    what is from position {from} on: the segment there has entries up to {latest}\n")
        }
        Why::Runs(holding) => {
            let mut text = format!("stays:    what is from position {from} on, kept back by {} runs\n", holding.len());
            holding.iter().take(HOLDING_LISTED_MAX).for_each(|holding| text.push_str(&line(holding)));
            if holding.len() > HOLDING_LISTED_MAX {
                text.push_str(&format!("          … and {} more\n", holding.len() - HOLDING_LISTED_MAX));
            }
            text
        }
    }
}

fn line(holding: &Holding) -> String {
    let Holding { run, name, status, updated_at, hold } = holding;
    let name = name.as_ref().map(|name| format!(" ({})", printable(name))).unwrap_or_default();
    format!("          {run}{name} {}: {}; last changed {updated_at}\n", status.name(), hold.words())
}
