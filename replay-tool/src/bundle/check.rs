//! `tacho verify` of a bundle: whether it is sound, and what exactly that proves.

use std::path::Path;

use tachograph_adapters::bundle::reveal::{Revealed, Salts, reveal};
use tachograph_adapters::bundle::{BundleError, BundleReader, BundleReport, Proof, Scope, verify};

use super::bar;
use crate::cli::VerifyArgs;
use crate::error::{Error, exit};
use crate::output::{Context, Format, Output};
use crate::table::{BAD, GOOD, printable};
use crate::verify::finding;
use crate::view::BundleVerificationView;

/// Checks a bundle and returns the exit code: that of damage if a byte is not as it was written.
///
/// # Errors
///
/// [`Error`] if it cannot be read, its frame of header, manifest and seal is damaged, it is not sealed as demanded, or
/// the salts do not fit.
pub fn execute(context: &Context, bundle: &Path, args: &VerifyArgs) -> Result<u8, Error> {
    let report = verify(bundle, bar("checking"))?;
    if let Some(expected) = args.sealed_by.filter(|expected| report.sealed_by != Some(*expected)) {
        let path = bundle.to_owned();
        return Err(BundleError::WrongSeal { path, expected, found: report.sealed_by }.into());
    }
    let revealed = match &args.reveal {
        Some(salts) if report.is_sound() => Some(reveal(&BundleReader::open(bundle)?, &Salts::open(salts)?, |_| ())?),
        _ => None,
    };
    let mut output = context.stdout();
    print(&report, revealed.as_ref(), bundle, context.format, &mut output)?;
    output.flush()?;
    Ok(if report.is_sound() { exit::OK } else { exit::DAMAGED })
}

/// Prints what a verification found.
///
/// # Errors
///
/// As [`Output::text`].
pub fn print(
    report: &BundleReport,
    revealed: Option<&Revealed>,
    bundle: &Path,
    format: Format,
    output: &mut Output,
) -> Result<(), Error> {
    match format {
        Format::Json => output.json(&BundleVerificationView::of(report, revealed)),
        Format::Text => output.text(&text(report, revealed, bundle)),
    }
}

fn text(report: &BundleReport, revealed: Option<&Revealed>, bundle: &Path) -> String {
    let mut text: String = report.findings.iter().map(finding).collect();
    let (verdict, style) = if report.is_sound() { ("sound", GOOD) } else { ("DAMAGED", BAD) };
    let bundle = printable(&bundle.display().to_string());
    text.push_str(&format!("{}{verdict}{}: {bundle}\n", style.render(), style.render_reset()));
    text.push_str(&contents(report));
    text.push_str(&format!("root:     {}\n", report.root));
    text.push_str(&match report.sealed_by {
        Some(key) => format!("sealed:   by {key}\n"),
        None => "sealed:   no; whoever had it in hand could have made it anew\n".to_owned(),
    });
    for redacted in &report.manifest.redacted {
        text.push_str(&format!("redacted: {} values of {}\n", redacted.values, printable(&redacted.path)));
    }
    if let Some(proof) = report.proof() {
        text.push_str(&format!("proved:   {}\n", proved(report, proof)));
    }
    if let Some(revealed) = revealed {
        text.push_str(&shown(revealed));
    }
    text
}

fn contents(report: &BundleReport) -> String {
    let manifest = &report.manifest;
    let of = match manifest.scope {
        Scope::Whole => "from its beginning".to_owned(),
        Scope::Range => "a range".to_owned(),
        Scope::Run(run) => format!("run {run}"),
    };
    let (first, last, head) = (manifest.first, manifest.tip.position, manifest.journal_head.position);
    let (entries, journal, bytes) = (manifest.entries, report.journal, report.bytes);
    let (when, producer) = (manifest.exported_at, printable(&manifest.producer));
    format!(
        "holds:    {entries} entries, {first} to {last} ({of}) of journal {journal}, in {bytes} bytes\n\
         exported: {when} by {producer}, when the journal ended at entry {head}\n"
    )
}

/// What exactly is proved: no more, and no less.
pub fn proved(report: &BundleReport, proof: Proof) -> String {
    let manifest = &report.manifest;
    let (first, last, digest) = (manifest.first, manifest.tip.position, manifest.tip.digest);
    match proof {
        Proof::Journal => format!(
            "against the journal's digest: every byte of it from the first to entry {last} hashes to {digest}; it is the \
             journal's if that said so itself, there or to somebody else"
        ),
        Proof::JournalRange => format!(
            "against the journal's digest: entries {first} to {last}, and all before them by its hash {} alone, hash to \
             {digest}; it is the journal's at entry {last} if that said so itself, there or to somebody else",
            manifest.previous
        ),
        Proof::Root if manifest.is_redacted() && manifest.scope != Scope::Whole => "against the bundle's own root only: \
             values were replaced by commitments, which their salts (--reveal) prove; nothing in it ties its entries to the \
             journal's digest"
            .to_owned(),
        Proof::Root if manifest.is_redacted() => "against the bundle's own root only: values were replaced by \
             commitments; the journal's digest is committed to, and its salts (--reveal) prove it for a whole journal"
            .to_owned(),
        Proof::Root => {
            "against the bundle's own root only: nothing in it ties its entries to the journal's digest".to_owned()
        }
    }
}

fn shown(revealed: &Revealed) -> String {
    let Revealed { replaced, revealed: shown, digest } = revealed;
    let values = format!("revealed: {shown} of {replaced} redacted values fit their commitments\n");
    match digest {
        Some(head) => format!(
            "{values}proved:   against the journal's digest: with every value put back, the history hashes to {} at entry {}\n",
            head.digest, head.position
        ),
        None => values,
    }
}
