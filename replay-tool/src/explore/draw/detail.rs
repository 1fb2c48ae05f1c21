//! All of one entry.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use tachograph_engine::domain::{Committed, Entry, EntryBody, Event, Refused, ResourceLimits, Timestamp};

use super::super::scene::Scene;
use super::super::theme::Theme;
use super::over;
use super::text::named;
use crate::duration;
use crate::show::diagnostics;
use crate::words;

/// Columns of the names.
const INDENT: usize = 14;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, scene: &Scene, from: u16, theme: Theme) {
    let columns = usize::from(area.width.saturating_sub(2));
    let Some(entry) = &scene.entry else {
        let text = Line::raw("this is before the first entry; → goes to it");
        return over(frame, area, "no entry", vec![text], from, theme);
    };
    let record = scene.record.as_ref().filter(|_| scene.is_about_selected());
    let limits = record.map(|record| &record.run.spec.limits);
    let rows = parts(entry, limits).into_iter().flat_map(|(name, value)| {
        named(Span::styled(name, theme.dim()), &value, INDENT, columns, theme.of(anstyle::Style::new()))
    });
    over(frame, area, &format!("entry {}", entry.position), rows.collect(), from, theme);
}

/// Everything that the entry says, by name.
fn parts(entry: &Entry, limits: Option<&ResourceLimits>) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    match &entry.body {
        EntryBody::Committed(committed) => of_committed(&mut parts, committed, limits),
        EntryBody::Refused(refused) => of_refused(&mut parts, refused),
        EntryBody::System(fact) => parts.push(("fact", words::system(fact))),
    }
    parts.push(("position", entry.position.to_string()));
    parts.push(("recorded", entry.recorded_at.to_string()));
    if let EntryBody::Committed(Committed { command, .. }) = &entry.body {
        parts.push(("issued", issued(command.issued_at, entry.recorded_at)));
    }
    if let EntryBody::Refused(Refused { command, .. }) = &entry.body {
        parts.push(("issued", issued(command.issued_at(), entry.recorded_at)));
    }
    parts.extend(entry.run().map(|run| ("run", run.to_string())));
    parts.extend(entry.command_id().map(|command| ("command id", command.to_string())));
    parts.push(("entry id", entry.id.to_string()));
    parts.extend(entry.previous.map(|previous| ("previous", previous.to_string())));
    parts
}

fn of_committed(parts: &mut Vec<(&'static str, String)>, committed: &Committed, limits: Option<&ResourceLimits>) {
    let issued_at = Some(committed.command.issued_at);
    let beside = words::Beside { events: &committed.events, issued_at, late_us: None, limits };
    for event in &committed.events {
        parts.push(("event", format!("{}: {}", event.name().name(), words::event(event, beside))));
        if let Event::Failed { failure, .. } = event {
            parts.extend(diagnostics(&failure.diagnostics));
        }
    }
    parts.push(("asked by", committed.command.actor.to_string()));
    parts.push(("asked", words::action(&committed.command.action)));
    parts.push(("version", committed.version.to_string()));
}

fn of_refused(parts: &mut Vec<(&'static str, String)>, refused: &Refused) {
    parts.push(("REFUSED", words::refused_command(&refused.command)));
    parts.push(("why", format!("[{}] {}", refused.refusal.code(), refused.refusal)));
    parts.push(("remedy", refused.refusal.remedy().to_owned()));
    parts.push(("asked by", refused.command.actor().to_string()));
    if refused.count > 1 {
        parts.push(("count", format!("this actor was refused like this {} times by then", refused.count)));
    }
}

/// When a command was issued, by the clock of whoever did, and how long it took until it was recorded.
fn issued(issued_at: Timestamp, recorded_at: Timestamp) -> String {
    let after = duration::between(issued_at, recorded_at);
    let before = duration::between(recorded_at, issued_at);
    match (after, before) {
        (0, 0) => issued_at.to_string(),
        (0, micros) => format!("{issued_at}, {} after it was recorded: the clocks differ", duration::human(micros)),
        (micros, _) => format!("{issued_at}, {} before it was recorded", duration::human(micros)),
    }
}
