//! The entries around the cursor.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use tachograph_engine::domain::{Entry, EntryBody, Position, RunId};

use super::super::layout::Pane;
use super::super::line;
use super::super::model::Model;
use super::super::scene::{EntryRow, Lane, Scene};
use super::super::theme::Theme;
use super::text::{cut, padded};
use super::{framed, has_focus, lines};
use crate::table::printable;

/// Columns of a time of day with milliseconds, and to the second.
const TIME_CHARS: (usize, usize) = (12, 8);
/// Columns of a run's name, where there is room and where there is little.
const NAME_COLUMNS: (usize, usize) = (14, 9);
/// From so many columns on there is room.
const COLUMNS_WIDE: usize = 60;
/// Characters of an id, and of its end, which tells those of the same moment apart.
const ID_CHARS: usize = 26;
const ID_END_CHARS: usize = 6;
/// In fewer columns there is none for names.
const COLUMNS_FOR_NAMES: usize = 36;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = &model.scene;
    let title = match (scene.lane, scene.selected) {
        (Lane::Journal, _) => "journal (t: selected run)".to_owned(),
        (Lane::Run, Some(run)) => {
            let name = scene.record.as_ref().and_then(|record| record.run.spec.name.clone());
            let run = name.map_or_else(|| run.to_string(), |name| printable(&name));
            format!("{run}: {} of {} entries (t: journal)", scene.own.0, scene.own.1)
        }
        (Lane::Run, None) => "no run selected (t: journal)".to_owned(),
    };
    let title = cut(&title, usize::from(area.width.saturating_sub(4)));
    let within = framed(frame, area, &title, has_focus(model, Pane::Timeline), theme);
    lines(frame, within, rows(scene, usize::from(within.width), usize::from(within.height), theme));
}

fn rows(scene: &Scene, columns: usize, rows: usize, theme: Theme) -> Vec<Line<'static>> {
    let at = scene.position;
    let digits = scene.head.to_string().len();
    let here = scene.entries.partition_point(|row| row.entry.position <= at);
    let is_at_entry = here.checked_sub(1).is_some_and(|index| scene.entries[index].entry.position == at);
    let mut shown: Vec<Line<'static>> =
        scene.entries.iter().map(|row| entry_line(row, scene, digits, columns, theme)).collect();
    if !is_at_entry {
        // The cursor is between what is listed: before the first entry, or at one about another run.
        shown.insert(here, Line::styled(cut(&here_text(at), columns), theme.chosen()));
        while shown.len() > rows && rows > 0 {
            // Whichever end is further away goes.
            let gone = if here >= shown.len() - here { 0 } else { shown.len() - 1 };
            shown.remove(gone);
            if gone == 0 && here < rows {
                break;
            }
        }
    }
    shown
}

fn here_text(at: Position) -> String {
    if at == Position::ZERO {
        "> before the first entry".to_owned()
    } else {
        format!("> here: position {at}, about something else")
    }
}

fn entry_line(row: &EntryRow, scene: &Scene, digits: usize, columns: usize, theme: Theme) -> Line<'static> {
    let entry = &row.entry;
    let is_here = entry.position == scene.position;
    let is_later = entry.position > scene.position;
    // Without names there is room for all of the time.
    let is_wide = columns >= COLUMNS_WIDE || scene.lane == Lane::Run;
    let (time_chars, name_columns) =
        if is_wide { (TIME_CHARS.0, NAME_COLUMNS.0) } else { (TIME_CHARS.1, NAME_COLUMNS.1) };
    let mark = if is_here { ">" } else { " " };
    let mut head = format!("{mark} {:>digits$} {} ", entry.position, time_of_day(entry, time_chars));
    if scene.lane == Lane::Journal && columns >= COLUMNS_FOR_NAMES {
        head.push_str(&padded(&name(row), name_columns));
        head.push(' ');
    }
    let room = columns.saturating_sub(unicode_width::UnicodeWidthStr::width(head.as_str()));
    let style = theme.of(line::style(entry));
    let line = Line::from(vec![Span::raw(head), Span::styled(cut(&shortened(&line::what(entry)), room), style)]);
    match (is_here, is_later) {
        (true, _) => line.style(theme.chosen()),
        (false, true) => line.style(theme.dim()),
        (false, false) => line,
    }
}

fn name(row: &EntryRow) -> String {
    match (&row.name, row.entry.run()) {
        (Some(name), _) => name.clone(),
        (None, Some(run)) => {
            let id = run.to_string();
            format!("…{}", &id[id.len().saturating_sub(ID_END_CHARS)..])
        }
        (None, None) => match row.entry.body {
            EntryBody::System(_) => "journal".to_owned(),
            EntryBody::Committed(_) | EntryBody::Refused(_) => String::new(),
        },
    }
}

/// The time of day; the date is in the heading.
fn time_of_day(entry: &Entry, chars: usize) -> String {
    let text = entry.recorded_at.to_string();
    text.split_once('T').map_or("", |(_, time)| time).chars().take(chars).collect()
}

/// The text with only the ends of ids: those of one moment begin alike, and the whole ones are in the entry.
fn shortened(text: &str) -> String {
    let is_id = |word: &str| word.len() == ID_CHARS && word.parse::<RunId>().is_ok();
    let word_end = |text: &str| text.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let (word, after) =
            rest.split_at(word_end(rest).max(if first.is_ascii_alphanumeric() { 1 } else { first.len_utf8() }));
        if is_id(word) {
            shown.push('…');
            shown.push_str(&word[ID_CHARS - ID_END_CHARS..]);
        } else {
            shown.push_str(word);
        }
        rest = after;
    }
    shown
}

#[test]
fn ids_are_shortened_wherever_they_stand() {
    let id = "01KAJ2BBBC0000000000000003";
    assert_eq!(shortened(&format!("é {id}; a/{id}x {id}")), format!("é …000003; a/{id}x …000003"));
    assert_eq!(shortened("plain, ü"), "plain, ü");
}
