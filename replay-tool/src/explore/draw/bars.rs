//! The first and the last line.

use ratatui::Frame;
use ratatui::layout::{Position as Cell, Rect};
use ratatui::text::{Line, Span};

use super::super::model::{Model, Overlay};
use super::super::theme::Theme;
use super::text::{cut, padded};

/// Where and when the cursor is, and over what.
pub(super) fn heading(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = &model.scene;
    let time =
        scene.entry.as_ref().map_or_else(|| "before the first entry".to_owned(), |entry| entry.recorded_at.to_string());
    let mut text = format!(" position {} of {}  {time}", scene.position, scene.head);
    if model.follows {
        text.push_str("  FOLLOWING");
    } else if model.is_at_end() {
        text.push_str("  END");
    }
    if scene.damage.is_some() {
        text.push_str("  DAMAGED");
    }
    text.push_str("  ");
    text.push_str(&model.data);
    frame.render_widget(Span::styled(padded(&text, usize::from(area.width)), theme.bar()), area);
}

/// What is typed, what goes on, what was wrong; else the keys that matter.
pub(super) fn status(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let columns = usize::from(area.width);
    if let Some(Overlay::Prompt(prompt)) = &model.overlay {
        return typed(frame, area, &format!("{}{}", prompt.asked.label(), prompt.text));
    }
    let line = match (&model.busy, &model.note) {
        (Some(progress), _) if progress.of > 0 => {
            let percent = progress.done.saturating_mul(100) / progress.of;
            let text = format!("reading: {percent}% of {} entries; Esc cancels", progress.of);
            Line::styled(cut(&text, columns), theme.bold())
        }
        (_, Some(note)) if note.is_error => Line::styled(cut(&format!("ERROR: {}", note.text), columns), theme.wrong()),
        (_, Some(note)) => Line::styled(cut(&note.text, columns), theme.bold()),
        (_, None) => match &model.scene.damage {
            Some(damage) => Line::styled(cut(damage, columns), theme.wrong()),
            None => Line::styled(cut(HINT, columns), theme.dim()),
        },
    };
    frame.render_widget(line, area);
}

const HINT: &str = "? help ←→ step ][ own r refusal / search : go to t timeline Enter entry q quit";

/// The end of the line stays in sight, with the terminal's cursor behind it.
fn typed(frame: &mut Frame<'_>, area: Rect, text: &str) {
    let columns = usize::from(area.width);
    let text = crate::table::printable(text);
    let mut shown = text.as_str();
    while unicode_width::UnicodeWidthStr::width(shown) + 1 > columns {
        let mut rest = shown.chars();
        if rest.next().is_none() {
            return;
        }
        shown = rest.as_str();
    }
    let width = u16::try_from(unicode_width::UnicodeWidthStr::width(shown)).unwrap_or(0);
    frame.render_widget(Line::raw(shown.to_owned()), area);
    frame.set_cursor_position(Cell::new(area.x + width, area.y));
}
