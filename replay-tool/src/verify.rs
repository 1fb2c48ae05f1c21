//! `tacho verify`: every byte of the journal, or of a bundle, checked.

use std::io;
use std::path::{Path, PathBuf};

use anstyle::Style;
use indicatif::{ProgressBar, ProgressStyle};
use tachograph_adapters::archive::{ARCHIVE_DIR, unnamed_bundles};
use tachograph_adapters::journal::{self, Loss, Progress, Severity, VerifyFinding, VerifyReport};
use tachograph_engine::ports::JournalError;

use crate::bundle::check;
use crate::cli::VerifyArgs;
use crate::error::{Error, exit};
use crate::output::{Context, Format, Output};
use crate::table::{BAD, DIM, GOOD, WARN, printable};
use crate::view::VerificationView;

/// Journals below this size are checked before anybody wonders.
const PROGRESS_BYTES_MIN: u64 = 64 << 20;

const SOUND: &str = "sound";

/// Checks the journal and returns the exit code: that of damage if anything is damaged or missing.
///
/// # Errors
///
/// [`Error`] if there is no journal, its files cannot be read, or the output not written.
pub fn verify(context: &Context, args: &VerifyArgs) -> Result<u8, Error> {
    let data = args.path.as_deref().unwrap_or(&context.data);
    if data.is_file() {
        return check::execute(context, data, args);
    }
    check_place(data)?;
    if args.sealed_by.is_some() || args.reveal.is_some() {
        let message = format!("{} is no bundle: it has no seal and no redacted values", data.display());
        return Err(Error::input(message, "leave out --sealed-by and --reveal, or name a bundle"));
    }
    let bar = Bar::default();
    let verified = journal::verify(data, |progress| bar.show(progress));
    bar.0.finish_and_clear();
    let mut report = verified?;
    report.findings.extend(of_archive(data, &report));
    let mut output = context.stdout();
    print(&report, data, context.format, &mut output)?;
    output.flush()?;
    Ok(if report.is_sound() { exit::OK } else { exit::DAMAGED })
}

/// The bundles that no stub names. Nothing of the journal is in that directory: one that cannot be looked at takes nothing from
/// what was found.
fn of_archive(data: &Path, report: &VerifyReport) -> Vec<VerifyFinding> {
    match unnamed_bundles(data, &report.archived) {
        Ok(files) => files.into_iter().map(unnamed).collect(),
        Err(error) => {
            let what = format!("bundles that no stub names were not looked for: {error}");
            vec![note(data.join(ARCHIVE_DIR), what)]
        }
    }
}

/// Says of a bundle that nobody would look for it, and what to do about that.
fn unnamed(file: PathBuf) -> VerifyFinding {
    let what =
        "no stub names it: an archiving did not get further, or another one took its place. The next `tacho archive` \
                of just these entries takes it over; else it is a copy of entries that are elsewhere, and not needed"
            .to_owned();
    note(file, what)
}

fn note(file: PathBuf, what: String) -> VerifyFinding {
    VerifyFinding { severity: Severity::Note, file, offset: 0, position: None, what }
}

/// A wrong path is told from a directory whose journal is gone.
fn check_place(data: &Path) -> Result<(), JournalError> {
    let none = |why: &str| Err(JournalError::NoJournal { path: data.to_owned(), why: why.to_owned() });
    match std::fs::metadata(data) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => none(
            "it is neither a directory nor a file that can be read in parts: write what comes out of a pipe to a file first",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => none("it does not exist"),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => none("a part of its path is a file"),
        Err(error) => Err(JournalError::io("open", data, error)),
    }
}

/// Prints what a verification found.
///
/// # Errors
///
/// As [`Output::text`].
pub fn print(report: &VerifyReport, data: &Path, format: Format, output: &mut Output) -> Result<(), Error> {
    match format {
        Format::Json => output.json(&VerificationView::from(report)),
        Format::Text => output.text(&text(report, data)),
    }
}

/// A progress bar that only a terminal on standard error shows.
struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let style = ProgressStyle::with_template("checking {bar:40} {bytes}/{total_bytes}, {msg} entries, {eta} to go");
        Self(ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl Bar {
    fn show(&self, progress: Progress) {
        if progress.bytes_total >= PROGRESS_BYTES_MIN {
            self.0.set_message(progress.entries.to_string());
            self.0.set_length(progress.bytes_total);
            self.0.set_position(progress.bytes);
        }
    }
}

fn text(report: &VerifyReport, data: &Path) -> String {
    let mut text: String = report.findings.iter().map(finding).collect();
    if report.more > 0 {
        text.push_str(&format!("{}… and {} findings more{}\n", BAD.render(), report.more, BAD.render_reset()));
    }
    let (verdict, style) = verdict(report);
    let (data, start, end) = (printable(&data.display().to_string()), style.render(), style.render_reset());
    let VerifyReport { segments, frames, entries, bytes, .. } = report;
    text.push_str(&format!("{start}{verdict}{end}: {data}\n"));
    text.push_str(&format!("checked: segments {segments}, frames {frames}, entries {entries}, bytes {bytes}\n"));
    for archived in &report.archived {
        let bundle = printable(&archived.bundle);
        text.push_str(&format!(
            "archived: entries {} to {}, in {bundle} (root {}), which is not looked at\n",
            archived.first, archived.last, archived.root
        ));
    }
    if let Some(head) = &report.head {
        text.push_str(&format!("last:    entry {}, hash {}\n", head.position, head.digest));
    }
    if !report.closed {
        text.push_str("note:    not closed: a writer has it open, or its last one ended without closing it\n");
    }
    text
}

/// The first words of the summary: what matters most about the whole journal.
fn verdict(report: &VerifyReport) -> (String, Style) {
    let (verdict, style) = worst(report);
    match report.lost {
        None => (verdict.to_owned(), style),
        Some(Loss { up_to, before, .. }) => {
            let joint = if verdict == SOUND { ", but" } else { "; and" };
            let lost =
                format!("{verdict}{joint} acknowledged entries up to position {up_to} were lost before {before}");
            (lost, if style == GOOD { WARN } else { style })
        }
    }
}

fn worst(report: &VerifyReport) -> (&'static str, Style) {
    let worst = report.findings.iter().map(|finding| finding.severity).min();
    match worst {
        _ if report.more > 0 => ("DAMAGED", BAD),
        Some(Severity::Damage) => ("DAMAGED", BAD),
        Some(Severity::Missing) => ("ENTRIES ARE MISSING", BAD),
        Some(Severity::Torn) => ("sound, but for an incomplete last write that was never acknowledged", WARN),
        Some(Severity::Note) | None => (SOUND, GOOD),
    }
}

pub(crate) fn finding(finding: &VerifyFinding) -> String {
    let (word, style) = match finding.severity {
        Severity::Damage => ("damage", BAD),
        Severity::Missing => ("missing", BAD),
        Severity::Torn => ("incomplete write", WARN),
        Severity::Note => ("note", DIM),
    };
    let (file, what) = (printable(&finding.file.display().to_string()), printable(&finding.what));
    let position = finding.position.map(|position| format!(" (position {position})")).unwrap_or_default();
    let (start, end, offset) = (style.render(), style.render_reset(), finding.offset);
    format!("{start}{word}{end}: {file} at offset {offset}{position}: {what}\n")
}
