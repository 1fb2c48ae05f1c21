//! The screen, drawn from what the model holds: nothing is read, nothing is decided.

mod bars;
mod detail;
mod help;
mod runs;
mod state;
mod text;
mod timeline;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::layout::Pane;
use super::model::{Model, Overlay};
use super::theme::Theme;

/// Draws the whole screen, whatever its size.
pub fn screen(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let layout = model.layout();
    bars::heading(frame, layout.heading, model, theme);
    if let Some(area) = layout.runs {
        runs::draw(frame, area, model, theme);
    }
    if let Some(area) = layout.timeline {
        timeline::draw(frame, area, model, theme);
    }
    if let Some(area) = layout.state {
        state::draw(frame, area, model, theme);
    }
    match &model.overlay {
        Some(Overlay::Detail(rows)) => detail::draw(frame, layout.body, &model.scene, *rows, theme),
        Some(Overlay::Help(rows)) => help::keys(frame, layout.body, *rows, theme),
        Some(Overlay::Kinds(chosen)) => help::kinds(frame, layout.body, *chosen, theme),
        Some(Overlay::Prompt(_)) | None => {}
    }
    bars::status(frame, layout.status, model, theme);
}

/// A frame with a title; returns the space within.
fn framed(frame: &mut Frame<'_>, area: Rect, title: &str, has_focus: bool, theme: Theme) -> Rect {
    let title = Span::styled(format!(" {title} "), if has_focus { theme.bold() } else { Style::new() });
    let block = Block::bordered().border_style(theme.frame(has_focus)).title(title);
    let within = block.inner(area);
    frame.render_widget(block, area);
    within
}

/// Lines into an area that nothing else is in.
fn lines(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

/// A box over the others with as many of the lines as there is room for, from so many on. Returns how many are hidden.
fn over(frame: &mut Frame<'_>, area: Rect, title: &str, all: Vec<Line<'_>>, from: u16, theme: Theme) {
    frame.render_widget(Clear, area);
    let rows = area.height.saturating_sub(2);
    let last = u16::try_from(all.len()).unwrap_or(u16::MAX).saturating_sub(rows);
    let from = from.min(last);
    let more =
        if last > 0 { format!(", {}% (↓ ↑)", u32::from(from) * 100 / u32::from(last)) } else { String::new() };
    let within = framed(frame, area, &format!("{title} (Esc closes{more})"), true, theme);
    lines(frame, within, all.into_iter().skip(usize::from(from)).take(usize::from(rows)).collect());
}

/// What a pane that has the focus is called.
fn has_focus(model: &Model, pane: Pane) -> bool {
    model.focus == pane
}
