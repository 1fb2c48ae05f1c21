//! All about the selected run at the position, and what the entry there changed of it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::facts::{Change, Fact, changes, facts};
use super::super::layout::Pane;
use super::super::model::Model;
use super::super::scene::Scene;
use super::super::theme::Theme;
use super::text::{cut, named};
use super::{framed, has_focus, lines};

/// Columns of marks and names before the values.
const INDENT: usize = 15;
/// Rows from which on one of them can tell that there are more.
const ROWS_FOR_HINT: u16 = 3;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = &model.scene;
    let within = framed(frame, area, &title(scene), has_focus(model, Pane::State), theme);
    let all = rows(scene, usize::from(within.width), theme);
    let last = all.len().saturating_sub(usize::from(within.height));
    let from = usize::from(model.scrolled).min(last);
    let mut shown: Vec<Line<'static>> = all.into_iter().skip(from).take(usize::from(within.height)).collect();
    // Rows that are hidden below must not be missed.
    if from < last
        && within.height >= ROWS_FOR_HINT
        && let Some(row) = shown.last_mut()
    {
        let text = format!("  … {} more rows (Tab to this pane, ↓)", last - from + 1);
        *row = Line::styled(cut(&text, usize::from(within.width)), theme.dim());
    }
    lines(frame, within, shown);
}

fn title(scene: &Scene) -> String {
    match (scene.selected, scene.is_about_selected()) {
        (None, _) => "no run".to_owned(),
        (Some(_), true) => "run, with what this entry changed: * + -".to_owned(),
        (Some(_), false) => "run at this position".to_owned(),
    }
}

fn rows(scene: &Scene, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(run) = scene.selected else { return Vec::new() };
    let (Some(record), Some(entry)) = (&scene.record, &scene.entry) else {
        let text = "does not exist at this position; } goes to its last entry, { to its first";
        let mut rows = named(Span::styled("  run", theme.dim()), &run.to_string(), INDENT, columns, theme.bold());
        rows.extend(named(Span::raw(""), text, INDENT, columns, theme.dim()));
        return rows;
    };
    let now = entry.recorded_at;
    let after = facts(record, now);
    let all = match (&scene.before, scene.is_about_selected()) {
        (Some(before), true) => changes(&facts(before, now), after),
        (None, true) => after.into_iter().map(|fact| (fact, Change::Added)).collect(),
        (_, false) => after.into_iter().map(|fact| (fact, Change::None)).collect(),
    };
    // What changed comes first: it is why somebody looks.
    let (changed, same): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, change)| is_shown_first(change, scene));
    changed.into_iter().chain(same).flat_map(|(fact, change)| fact_rows(&fact, &change, columns, theme)).collect()
}

/// Of a run that was just created everything is new, and the usual order is the best one.
fn is_shown_first(change: &Change, scene: &Scene) -> bool {
    *change != Change::None && scene.before.is_some()
}

fn fact_rows(fact: &Fact, change: &Change, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let (mark, style) = match change {
        Change::None => (' ', ratatui::style::Style::new()),
        Change::Added => ('+', theme.changed()),
        Change::From(_) => ('*', theme.changed()),
        Change::Removed => ('-', theme.changed()),
    };
    let was = match change {
        Change::From(was) => format!("  (was {was})"),
        Change::Removed => "  (no longer)".to_owned(),
        Change::None | Change::Added => String::new(),
    };
    let name = Span::styled(format!("{mark} {}", fact.name), if mark == ' ' { theme.dim() } else { style });
    named(name, &format!("{}{}{was}", fact.value, fact.aside), INDENT, columns, style)
}
