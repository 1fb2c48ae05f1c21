//! `tacho whatif`: the recorded commands under other rules.

use tachograph_engine::domain::{Position, RunId};

use crate::cli::WhatifArgs;
use crate::error::Error;
use crate::output::Reading;
use crate::recheck::decided;
use crate::rule::{Became, Change, Ending, Flip, FlipKind, WhatIf, what_if};
use crate::table::{Align, BOLD, Cell, DIM, GOOD, Table, WARN, printable};
use crate::view::WhatIfView;

const COLUMNS: [(&str, Align); 6] = [
    ("RUN", Align::Left),
    ("NAME", Align::Left),
    ("PARTS AT", Align::Right),
    ("RECORDED", Align::Left),
    ("WOULD BE", Align::Left),
    ("FLIPS", Align::Left),
];

/// Replays the recorded commands under other rules and lists the runs that come out otherwise.
///
/// # Errors
///
/// [`Error`] if a command to be dropped or moved is not recorded, there is no such run, the journal cannot be read or the
/// output not written.
pub async fn tell(reading: &mut Reading, args: &WhatifArgs) -> Result<(), Error> {
    let run = match &args.run {
        Some(text) => Some(reading.dataset.resolve(text, None).await?),
        None => None,
    };
    let told = what_if(&reading.dataset, args.rules.clone().into()).await?;
    let limit = args.limit.map_or(usize::MAX, std::num::NonZero::get);
    let fits = |flip: &&Flip| run.is_none_or(|run| flip.run == run);
    let listed: Vec<&Flip> = told.flips.iter().filter(fits).take(limit).collect();
    let more = told.flips.iter().filter(fits).count() - listed.len();
    if reading.is_json() {
        return reading.output.json(&WhatIfView::of(&told, &listed, more));
    }
    reading.output.text(&heading(&told))?;
    reading.output.text(&table(&listed, more))?;
    // One run is told step by step.
    match (run, listed.as_slice()) {
        (Some(_), [flip]) => reading.output.text(&steps(flip))?,
        (Some(run), []) => reading.output.text(&unlisted(run, told.parted_at.get(&run).copied()))?,
        _ => {}
    }
    reading.output.text(&closing(&told))
}

fn heading(told: &WhatIf) -> String {
    let line = |line: &String| format!("{}what if:{} {}\n", BOLD.render(), BOLD.render_reset(), printable(line));
    told.rules.lines().iter().map(line).collect()
}

fn table(flips: &[&Flip], more: usize) -> String {
    if flips.is_empty() {
        return String::new();
    }
    let mut table = Table::of(&COLUMNS);
    for flip in flips {
        let kinds: Vec<String> = flip.kinds.iter().map(|kind| kind_words(flip, *kind)).collect();
        table.row([
            Cell::from(flip.run.to_string()),
            Cell::from(flip.name.as_deref().unwrap_or_default()),
            Cell::from(flip.parts_at.to_string()),
            Cell::from(ending(&flip.recorded)),
            Cell::styled(ending(&flip.would_be), WARN),
            Cell::styled(kinds.join(", "), DIM),
        ]);
    }
    let more = if more == 0 { String::new() } else { format!("… and {more} runs more\n") };
    table.render() + &more
}

/// How a run ended up, on one line.
fn ending(ending: &Ending) -> String {
    let Some(status) = ending.status else { return "never created".to_owned() };
    let mut text = match &ending.outcome {
        Some(outcome) if outcome.starts_with(status.name()) => outcome.clone(),
        Some(outcome) => format!("{status} ({outcome})"),
        None => status.to_string(),
    };
    if ending.attempts > 1 {
        text.push_str(&format!(", attempt {}", ending.attempts));
    }
    text
}

fn kind_words(flip: &Flip, kind: FlipKind) -> String {
    match kind {
        FlipKind::Outcome | FlipKind::Attempts => kind.name().to_owned(),
        FlipKind::Accepted => format!("{} accepted", flip.accepted),
        FlipKind::Refused => format!("{} refused", flip.refused),
        FlipKind::Snapshots => {
            format!("snapshots {} instead of {}", flip.snapshots_would_be.len(), flip.snapshots_recorded.len())
        }
    }
}

/// A run that comes out as it was recorded.
fn unlisted(run: RunId, parts_at: Option<Position>) -> String {
    match parts_at {
        Some(position) => {
            format!("run {run} comes out as recorded: its history parts in times only, at position {position}\n")
        }
        None => format!("run {run} comes out as recorded\n"),
    }
}

fn steps(flip: &Flip) -> String {
    let mut text: String = flip.changes.iter().map(|change| step(flip, change)).collect();
    if flip.more_changes > 0 {
        text.push_str(&format!("… and {} changes more\n", flip.more_changes));
    }
    text
}

fn step(flip: &Flip, change: &Change) -> String {
    let position = change.position;
    let place = if change.command.is_some() { format!("{position}") } else { format!("before {position}") };
    let foreign = if change.run == flip.run { String::new() } else { format!(" (about run {})", change.run) };
    let waived: Vec<&str> = change.waived.iter().map(|waiver| waiver.code()).collect();
    let waived = if waived.is_empty() { String::new() } else { format!(" (without {})", waived.join(", ")) };
    format!(
        "{place}  {}{foreign}\n  recorded: {}\n  would be: {}{waived}\n",
        change.action.name(),
        printable(&became(&change.recorded)),
        printable(&became(&change.would_be)),
    )
}

fn became(became: &Became) -> String {
    match became {
        Became::Decided(outcome) => decided(outcome),
        Became::Dropped => "dropped".to_owned(),
        Became::Moved => "at another place".to_owned(),
        Became::NotAsked => "not asked for".to_owned(),
    }
}

fn closing(told: &WhatIf) -> String {
    let flips = told.flips.len();
    let style = if flips == 0 { GOOD } else { WARN };
    let counts: Vec<String> =
        FlipKind::ALL.into_iter().map(|kind| format!("{} {}", kind.name(), told.count(kind))).collect();
    let mut text = format!(
        "{}flips: {flips} of {} runs{} ({}); histories that part: {}; commands given again: {}, up to position {}\n",
        style.render(),
        told.runs,
        style.render_reset(),
        counts.join(", "),
        told.parted,
        told.commands,
        told.up_to
    );
    if told.undecided > 0 {
        text.push_str(&format!(
            "{}note: commands that cannot be decided, because entries before them are missing: {}{}\n",
            WARN.render(),
            told.undecided,
            WARN.render_reset()
        ));
    }
    for assumed in told.assumptions() {
        text.push_str(&format!("{}assumed: {assumed}{}\n", DIM.render(), DIM.render_reset()));
    }
    text
}
