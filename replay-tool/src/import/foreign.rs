//! An import of a foreign history, and what is printed of it.

use super::{Bar, Input};
use crate::error::{Error, exit};
use crate::foreign::{ForeignReport, ForeignSource, Request, bad_lines, import};
use crate::output::Context;
use crate::patient::tell;
use crate::table::printable;

/// Lines of a kind that are told to people.
const SHOWN_MAX: usize = 20;

/// Imports, prints the report, and fails with what could not be read.
pub(super) async fn foreign(context: &Context, input: Input, source: ForeignSource, strict: bool) -> Result<u8, Error> {
    let Input { name, reader, bytes } = input;
    let request = Request { source, file: &name, place: &context.data, strict };
    let mut shown = ("", Bar::of_bytes("", None));
    let tell = |what: &'static str, reached: u64| {
        if shown.0 != what {
            shown = (what, Bar::of_bytes(what, bytes));
        }
        shown.1.reached(reached);
    };
    let report = import(reader, request, tell).await?;
    let mut output = context.stdout();
    if context.is_json() {
        output.json(&report)?;
    } else {
        tell_bad(&report);
        output.text(&text(&report))?;
    }
    output.flush()?;
    bad_lines(&report, &name, true).map_or(Ok(exit::OK), |problem| Err(problem.into()))
}

/// Every bad line on standard error, as far as people read.
fn tell_bad(report: &ForeignReport) {
    let mut text = String::new();
    for bad in report.bad_lines.iter().take(SHOWN_MAX) {
        text.push_str(&format!("tacho: line {}, column {}: {}\n", bad.line, bad.column, printable(&bad.why)));
    }
    let shown = report.bad_lines.len().min(SHOWN_MAX) as u64;
    if report.bad > shown {
        text.push_str(&format!("tacho: and {} more\n", report.bad - shown));
    }
    tell(&text);
}

fn text(report: &ForeignReport) -> String {
    let ForeignReport { from, journal, entries, runs, events, recorded, refused, duplicates, kept, bad, .. } = report;
    let data = printable(&report.data);
    let mut text = format!("imported {from} into {data}: journal {journal}, {runs} runs, {entries} entries\n");
    text.push_str(&format!(
        "events {events}: recorded {recorded}, refused {refused}, told before {duplicates}, kept only {kept}, bad {bad}\n"
    ));
    if report.out_of_order > 0 {
        text.push_str(&format!("{} events happened before the one that was told before them\n", report.out_of_order));
    }
    if report.left_out > 0 {
        text.push_str(&format!("{} names and labels are out of bounds for a run\n", report.left_out));
    }
    for line in report.refused_lines.iter().take(SHOWN_MAX) {
        let place = line.position.map_or("only counted".to_owned(), |position| format!("position {position}"));
        text.push_str(&format!("line {}: refused [{}], run {}, {place}\n", line.line, line.code, line.run));
    }
    let shown = report.refused_lines.len().min(SHOWN_MAX) as u64;
    if *refused > shown {
        text.push_str(&format!("and {} more refused; foreign/lines.jsonl has all\n", refused - shown));
    }
    for (kind, count) in &report.kept_kinds {
        text.push_str(&format!("kept only: {} {}\n", count, printable(kind)));
    }
    text
}
