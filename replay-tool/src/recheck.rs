//! `tacho recheck`: every recorded command, decided again.

use tachograph_projections::{Decided, Difference};

use crate::cli::RecheckArgs;
use crate::error::Error;
use crate::output::Reading;
use crate::rule::{Rechecked, recheck};
use crate::table::{BAD, DIM, GOOD, WARN, printable};
use crate::view::RecheckView;
use crate::words;

/// Decides every recorded command again and reports each outcome that differs.
///
/// # Errors
///
/// [`Error::Differs`] if any does, after all was printed; or another [`Error`] if the journal cannot be read or the output
/// not written.
pub async fn report(reading: &mut Reading, args: &RecheckArgs) -> Result<(), Error> {
    let rechecked = recheck(&reading.dataset, args.limit).await?;
    print(reading, &rechecked)?;
    // Damage is told before anything else: what could be read is not all.
    if rechecked.tally.differing > 0 && reading.dataset.damage().is_none() {
        let (differing, decided) = (rechecked.tally.differing, rechecked.tally.decided);
        return Err(Error::Differs { differing, decided });
    }
    Ok(())
}

/// Prints what came of it.
///
/// # Errors
///
/// As [`Output::text`](crate::output::Output::text).
pub fn print(reading: &mut Reading, rechecked: &Rechecked) -> Result<(), Error> {
    if reading.is_json() {
        return reading.output.json(&RecheckView::from(rechecked));
    }
    let listed: String = rechecked.differences.iter().map(lines).collect();
    reading.output.text(&listed)?;
    reading.output.text(&summary(rechecked))
}

fn lines(difference: &Difference) -> String {
    let Difference { position, run, command, action, actor, recorded, now } = difference;
    let (action, actor) = (action.name(), printable(&words::actor(actor)));
    let (start, end) = (BAD.render(), BAD.render_reset());
    let (recorded, now) = (printable(&decided(recorded)), printable(&decided(now)));
    format!(
        "{start}{position}{end}  run {run}, {action} by {actor}, command {command}\n  \
         recorded: {recorded}\n  now:      {now}\n"
    )
}

/// What became of a command, on one line.
pub(crate) fn decided(decided: &Decided) -> String {
    match decided {
        Decided::Written { events, version } => {
            let told = events.iter().map(|event| words::event(event, words::Beside::default()));
            format!("version {version}: {}", told.collect::<Vec<_>>().join("; "))
        }
        Decided::AlreadyRecorded => "the same end is recorded already".to_owned(),
        Decided::Refused(refusal) => format!("refused[{}]: {refusal}", refusal.code()),
    }
}

fn summary(rechecked: &Rechecked) -> String {
    let tally = rechecked.tally;
    let mut text = String::new();
    if rechecked.more() > 0 {
        text.push_str(&format!("… and {} differences more\n", rechecked.more()));
    }
    let (verdict, style) = match tally.differing {
        0 => ("as recorded".to_owned(), GOOD),
        differing => (format!("{differing} DIFFER"), BAD),
    };
    let (start, end) = (style.render(), style.render_reset());
    text.push_str(&format!(
        "{start}{verdict}{end}: decided again: {} ({} written, {} refused), up to position {}\n",
        tally.decided, tally.written, tally.refused, rechecked.up_to
    ));
    let mut note = |count: u64, what: &str, style: anstyle::Style| {
        if count > 0 {
            text.push_str(&format!("{}note: {what}: {count}{}\n", style.render(), style.render_reset()));
        }
    };
    note(tally.undecided, "commands that cannot be decided, because entries before them are missing", WARN);
    note(tally.headers, "refused commands that were out of bounds, so that only their headers were kept", DIM);
    note(tally.counted, "refusals that were counted without an entry, at least", DIM);
    text
}
