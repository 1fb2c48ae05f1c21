//! The list of runs.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use tachograph_engine::domain::{RunRecord, StatusName};

use super::super::layout::Pane;
use super::super::model::Model;
use super::super::scene::Filter;
use super::super::theme::Theme;
use super::text::{cut, padded};
use super::{framed, has_focus, lines};
use crate::runs::exit_is_zero;
use crate::table::status_style;
use crate::words;

/// Columns of the longest status.
const STATUS_COLUMNS: usize = 11;
/// Characters of a run id's end, which tells runs of the same moment apart.
const ID_CHARS: usize = 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = &model.scene;
    let title = match scene.filter {
        Filter::All => format!("runs: {}", scene.total),
        filter => format!("runs: {} {} of {}", scene.fitting, filter.name(), scene.total),
    };
    let within = framed(frame, area, &title, has_focus(model, Pane::Runs), theme);
    if scene.runs.is_empty() {
        let text = if scene.total == 0 { "no run yet" } else { "no run in this status; s and S choose another" };
        return lines(frame, within, vec![Line::styled(cut(text, usize::from(within.width)), theme.dim())]);
    }
    let rows = scene.runs.iter().map(|row| line(&row.record, row.is_selected, usize::from(within.width), theme));
    lines(frame, within, rows.collect());
}

fn line(record: &RunRecord, is_selected: bool, columns: usize, theme: Theme) -> Line<'static> {
    let status = record.run.status.name();
    let mark = if is_selected { ">" } else { " " };
    let name = columns.saturating_sub(STATUS_COLUMNS + 3);
    let (label, outcome) = (padded(&short(record, name), name), outcome(record, status));
    let line = Line::from(vec![
        Span::raw(format!("{mark} ")),
        Span::raw(label),
        Span::raw(" "),
        Span::styled(padded(&outcome, STATUS_COLUMNS), theme.of(status_style(status, exit_is_zero(record)))),
    ]);
    if is_selected { line.style(theme.chosen()) } else { line }
}

/// The status in a few characters; of an exit the code or signal, which is what matters.
fn outcome(record: &RunRecord, status: StatusName) -> String {
    use tachograph_engine::domain::ExitStatus::{Code, Signal, Unknown};
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    match (status, outcome.and_then(|outcome| outcome.exit_status())) {
        (StatusName::Exited, Some(Code(code))) => format!("Exited {code}"),
        (StatusName::Exited, Some(Signal(number))) => match crate::signal::name(*number) {
            Some(name) => format!("Exited {name}"),
            None => format!("Exited s{number}"),
        },
        (StatusName::Exited, Some(Unknown { .. })) => "Exited ?".to_owned(),
        _ => status.name().to_owned(),
    }
}

/// The name of a run and, where there is room, the end of its id; of one without a name what it executes.
fn short(record: &RunRecord, columns: usize) -> String {
    let id = record.run.id.to_string();
    let end = &id[id.len().saturating_sub(ID_CHARS)..];
    match &record.run.spec.name {
        Some(name) if name.chars().count() + ID_CHARS + 2 > columns => name.clone(),
        Some(name) => format!("{name} …{end}"),
        None => format!("…{end} {}", words::workload(&record.run.spec.workload)),
    }
}
