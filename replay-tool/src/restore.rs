//! `tacho restore`: a directory out of the image of a snapshot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tachograph_adapters::snapshot::{self, Restored};
use tachograph_engine::domain::{Digest, Entry, Event, Position, RunId, RunRecord, SnapshotId, Timestamp};
use tachograph_projections::{TimerFate, TimerStepBody, TimerStory};

use crate::cli::RestoreArgs;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::output::Reading;
use crate::snapshot_problem::SnapshotProblem;
use crate::snapshot_search::Meant;
use crate::table::{GOOD, printable};
use crate::view::RestoredView;
use crate::words;

/// What the archives of the built-in snapshotter end in; every other image is another program's.
const ARCHIVE_END: &str = ".tar.zst";
/// How often a terminal sees that it goes on.
const TICK: Duration = Duration::from_millis(120);

/// The image of a snapshot, as the journal tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Its run.
    pub run: RunId,
    /// The name of that run.
    pub name: Option<String>,
    /// Where it is, as recorded: relative to the data directory.
    pub location: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Position of the entry that says that it was taken.
    pub taken: Position,
    /// When that was recorded.
    pub taken_at: Timestamp,
}

impl Dataset {
    /// The image of the snapshot that is meant; of a run, of the one that was taken last.
    ///
    /// # Errors
    ///
    /// As [`resolve_snapshot`](Self::resolve_snapshot); [`SnapshotProblem::NotTaken`] or
    /// [`SnapshotProblem::NoneTaken`] if there is none; [`JournalError::Archived`](tachograph_engine::ports::JournalError)
    /// if that cannot be told because some entries of the run are archived.
    pub async fn image(&self, text: &str) -> Result<Image, Error> {
        let (run, snapshot) = match self.resolve_snapshot(text).await? {
            Meant::Snapshot { run, snapshot } => (run, Some(snapshot)),
            Meant::Run(run) => (run, None),
        };
        let own = self.own(run).await?;
        let taken = own.iter().rev().find_map(|entry| taken_by(entry, run, snapshot));
        let name = own
            .iter()
            .fold(self.reader().base(run).await?, RunRecord::fold)
            .and_then(|record| record.run.spec.name.clone());
        match (taken, snapshot) {
            (Some(image), _) => Ok(Image { name, ..image }),
            (None, None) => Err(match self.reader().base(run).await? {
                // It may have been taken where nothing can be read.
                Some(base) => self.archived(base.last),
                None => SnapshotProblem::NoneTaken { run }.into(),
            }),
            (None, Some(snapshot)) => {
                let why = why_not(&TimerStory::of(run, snapshot).folded(&own));
                Err(SnapshotProblem::NotTaken { snapshot, why }.into())
            }
        }
    }
}

fn taken_by(entry: &Entry, run: RunId, wanted: Option<SnapshotId>) -> Option<Image> {
    entry.events().iter().find_map(|event| match event {
        Event::SnapshotTaken { snapshot, location, bytes, digest }
            if wanted.is_none_or(|wanted| wanted == *snapshot) =>
        {
            Some(Image {
                snapshot: *snapshot,
                run,
                name: None,
                location: location.clone(),
                bytes: *bytes,
                digest: *digest,
                taken: entry.position,
                taken_at: entry.recorded_at,
            })
        }
        _ => None,
    })
}

/// Why there is no image.
fn why_not(story: &TimerStory) -> String {
    let last = story.steps().iter().rev().find_map(|step| match &step.body {
        TimerStepBody::Canceled { cause, action: _, transition, replaced_by } => Some(format!(
            "it was canceled, {}: {}",
            step.recorded_at,
            words::canceled(cause, *transition, *replaced_by)
        )),
        TimerStepBody::Failed { message, .. } => Some(format!("it failed, {}: {message}", step.recorded_at)),
        _ => None,
    });
    match (story.fate(), story.due()) {
        (Some(TimerFate::Armed), Some(due)) => format!("it is armed, and due {due}"),
        (Some(TimerFate::Dispatched), _) => "it was dispatched, and no result is recorded yet".to_owned(),
        _ => last.unwrap_or_else(|| "what became of it could not be read".to_owned()),
    }
}

/// Unpacks the image of a snapshot into a directory that is empty or does not exist yet.
///
/// # Errors
///
/// [`Error`] if there is no such image, it is not as it was taken, or the directory cannot be written; it is as before
/// then.
pub async fn restore(reading: &mut Reading, args: &RestoreArgs) -> Result<(), Error> {
    let image = reading.dataset.image(&args.snapshot).await?;
    let path = archive_of(&image, reading.dataset.data())?;
    let spinner = spinner(&image);
    let restored = snapshot::restore(&path, image.bytes, image.digest, &args.directory);
    spinner.finish_and_clear();
    let restored = restored?;
    if reading.is_json() {
        return reading.output.json(&RestoredView::of(&image, &args.directory, &restored));
    }
    reading.output.text(&text(&image, &args.directory, &restored))
}

/// The file that holds the image, if it is an archive and there.
fn archive_of(image: &Image, data: &Path) -> Result<PathBuf, SnapshotProblem> {
    let Image { snapshot, location, .. } = image;
    let path = data.join(location);
    if !location.ends_with(ARCHIVE_END) {
        return Err(SnapshotProblem::NotAnArchive { snapshot: *snapshot, path });
    }
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Err(SnapshotProblem::ImageMissing { snapshot: *snapshot, path });
    }
    Ok(path)
}

/// What a terminal on standard error shows meanwhile; anything else sees nothing.
fn spinner(image: &Image) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(format!("restoring snapshot {} ({} bytes)", image.snapshot, image.bytes));
    keep_moving(&spinner);
    spinner
}

/// Moves it as long as it is there. Where no thread is to be had for that, it stands still.
fn keep_moving(spinner: &ProgressBar) {
    let watched = spinner.downgrade();
    let moving = move || {
        while let Some(spinner) = watched.upgrade().filter(|spinner| !spinner.is_finished()) {
            spinner.tick();
            drop(spinner);
            std::thread::sleep(TICK);
        }
    };
    let _ = std::thread::Builder::new().name("tacho-spinner".to_owned()).spawn(moving);
}

fn text(image: &Image, directory: &Path, restored: &Restored) -> String {
    let Image { snapshot, run, taken, taken_at, .. } = image;
    let Restored { files, directories, links, pipes, bytes } = restored;
    let name = image.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let whose = printable(&format!("snapshot {snapshot} of run {run}{name}, taken {taken_at} (position {taken})"));
    let directory = printable(&directory.display().to_string());
    let (start, end) = (GOOD.render(), GOOD.render_reset());
    format!(
        "{start}restored{end} into {directory}: {whose}\nfiles {files}, directories {directories}, links {links}, pipes \
         {pipes}, bytes {bytes}\n"
    )
}
