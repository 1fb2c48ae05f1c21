//! `tacho compare`: where two runs part.

use crate::cli::CompareArgs;
use crate::comparison::{Comparison, Difference, Row, RowKind, Side, Step};
use crate::duration::human;
use crate::error::Error;
use crate::jobs::Expectation;
use crate::output::Reading;
use crate::table::{Align, BOLD, Cell, DIM, GOOD, Table, WARN, printable};
use crate::view::ComparisonView;
use crate::words;

const COLUMNS: [(&str, Align); 7] = [
    ("", Align::Left),
    ("LEFT", Align::Right),
    ("AFTER", Align::Right),
    ("RIGHT", Align::Right),
    ("AFTER", Align::Right),
    ("SLOWER", Align::Right),
    ("WHAT", Align::Left),
];

/// Compares two runs step by step.
///
/// # Errors
///
/// [`Error`] if a run is not found, no healthy one is like it, the journal cannot be read or the output not written.
pub async fn compare(reading: &mut Reading, args: &CompareArgs) -> Result<(), Error> {
    let dataset = &reading.dataset;
    let comparison = match &args.other {
        Some(other) => dataset.compare(&args.run, other).await?,
        None => dataset.compare_nearest(&args.run, &Expectation::Code(args.expect_code)).await?,
    };
    if reading.is_json() {
        return reading.output.json(&ComparisonView::from(&comparison));
    }
    let text = [heading(&comparison), table(&comparison).render(), closing(&comparison)];
    text.iter().try_for_each(|part| reading.output.text(part))
}

fn heading(comparison: &Comparison) -> String {
    let mut text = format!(
        "{}left   {}\nright  {}{}\n",
        BOLD.render(),
        described(&comparison.left),
        described(&comparison.right),
        BOLD.render_reset()
    );
    if let Some(nearest) = comparison.nearest {
        text.push_str(&format!(
            "the right one is the healthy run that is most like the left one; looked at: {} of {} that fit; it has {}\n",
            nearest.looked_at,
            nearest.fitting,
            nearest.kinship.words()
        ));
    }
    text.push_str(&format!("similarity {:.3}\n{}\n\n", comparison.similarity(), printable(&divergence(comparison))));
    text
}

fn described(side: &Side) -> String {
    let Some(record) = &side.record else {
        let begins =
            side.begins_at.map(|at| format!(": its beginning is not held, but its entries from position {at}"));
        return format!("run {}{}", side.run, begins.unwrap_or_default());
    };
    let name = record.run.spec.name.as_ref().map(|name| format!(" {:?}", printable(name))).unwrap_or_default();
    format!("run {}{name}, {}", side.run, record.run.status.name())
}

/// The first row that is not the same in both, in words.
fn divergence(comparison: &Comparison) -> String {
    let Some(row) = comparison.first_divergence().and_then(|first| comparison.alignment.rows.get(first)) else {
        return "no divergence".to_owned();
    };
    let at = |step: &Step| format!("position {}: {}", step.position, step.text());
    let parts = match comparison.steps(*row) {
        (Some(left), Some(right)) => format!("left {}; right {}", at(left), at(right)),
        (Some(left), None) => format!("the right run has no {} as left {}", left.name(), at(left)),
        (None, Some(right)) => format!("the left run has no {} as right {}", right.name(), at(right)),
        (None, None) => String::new(),
    };
    format!("first divergence: {parts}")
}

fn table(comparison: &Comparison) -> Table {
    let mut table = Table::of(&COLUMNS);
    for row in &comparison.alignment.rows {
        rows(&mut table, comparison, *row);
    }
    table
}

fn rows(table: &mut Table, comparison: &Comparison, row: Row) {
    let (left, right) = comparison.steps(row);
    let (mark, style) = match comparison.kind(row) {
        RowKind::Same => ("=", DIM),
        RowKind::Differs => ("~", WARN),
        RowKind::OnlyLeft => ("<", WARN),
        RowKind::OnlyRight => (">", GOOD),
        RowKind::NotHeld => ("?", DIM),
    };
    let position = |step: Option<&Step>| Cell::from(step.map(|step| step.position.to_string()).unwrap_or_default());
    let after = |step: Option<&Step>| Cell::from(step.map(|step| after(step.offset_us)).unwrap_or_default());
    table.row([
        Cell::styled(mark, style),
        position(left),
        after(left),
        position(right),
        after(right),
        Cell::from(comparison.slower_us(row).map(signed).unwrap_or_default()),
        Cell::styled(left.or(right).map(Step::text).unwrap_or_default(), style),
    ]);
    for difference in comparison.differences(row) {
        let note = Cell::styled(format!("  {}", told(&difference)), DIM);
        let empty = || Cell::from("");
        table.row([empty(), empty(), empty(), empty(), empty(), empty(), note]);
    }
}

fn told(difference: &Difference) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{}: left {}, right {}", difference.field, value(&difference.left), value(&difference.right))
}

fn after(micros: i64) -> String {
    if micros == 0 { "+0".to_owned() } else { signed(micros) }
}

fn signed(micros: i64) -> String {
    match micros {
        0 => String::new(),
        micros if micros < 0 => format!("-{}", human(micros.unsigned_abs())),
        micros => format!("+{}", human(micros.unsigned_abs())),
    }
}

fn closing(comparison: &Comparison) -> String {
    if comparison.alignment.is_best {
        return String::new();
    }
    format!("\n{}{}{}\n", WARN.render(), words::ALIGNED_BY_STRETCHES, WARN.render_reset())
}
