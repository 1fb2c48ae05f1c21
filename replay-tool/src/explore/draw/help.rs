//! The keys, and the kinds of entries to choose from.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::keys::TABLE;
use super::super::theme::Theme;
use super::super::wanted::Kind;
use super::over;
use super::text::named;

/// Columns of the keys.
const INDENT: usize = 21;
/// Columns of the list of kinds, frame included.
const KINDS_COLUMNS: u16 = 44;

pub(super) fn keys(frame: &mut Frame<'_>, area: Rect, from: u16, theme: Theme) {
    let columns = usize::from(area.width.saturating_sub(2));
    let rows = TABLE.iter().flat_map(|(keys, does)| {
        named(Span::styled(*keys, theme.bold()), does, INDENT, columns, ratatui::style::Style::new())
    });
    over(frame, area, "keys", rows.collect(), from, theme);
}

pub(super) fn kinds(frame: &mut Frame<'_>, area: Rect, chosen: usize, theme: Theme) {
    let rows = u16::try_from(Kind::ALL.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (width, height) = (area.width.min(KINDS_COLUMNS), area.height.min(rows));
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let lines = Kind::ALL.iter().enumerate().map(|(index, kind)| {
        let (mark, style) = if index == chosen { (">", theme.chosen()) } else { (" ", ratatui::style::Style::new()) };
        Line::styled(format!("{mark} {}", kind.name()), style)
    });
    // The chosen one stays in sight.
    let rows = usize::from(height.saturating_sub(2)).max(1);
    let from = u16::try_from((chosen + 1).saturating_sub(rows)).unwrap_or(0);
    over(frame, area, "next (Enter goes there)", lines.collect(), from, theme);
}
