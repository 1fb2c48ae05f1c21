//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::machine::Direction;

/// What a key asks for while the panes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// So many entries on; back if negative.
    Step(i64),
    /// So many rows down in the pane that has the focus; up if negative.
    Row(i64),
    /// So many pages down in it; up if negative.
    Page(i64),
    /// So many entries of the selected run on; back if negative. The extremes are its first and last one.
    Own(i64),
    /// So many seconds on; back if negative.
    Seconds(i64),
    /// Before the first entry.
    Start,
    /// To the last entry.
    End,
    /// Asks for a position or time to go to.
    GoTo,
    /// Asks for a text to look for.
    Search,
    /// Looks for the same once more.
    Again(Direction),
    /// To the nearest refusal.
    Refusal(Direction),
    /// Asks for a kind of entry to look for.
    Kind,
    /// Lists other runs.
    Filter(isize),
    /// Shows the other timeline.
    Lane,
    /// Follows the end of the journal, or no longer.
    Follow,
    /// Gives the focus to the next pane; to the one before if negative.
    Focus(i8),
    /// Shows all of the entry at the cursor.
    Detail,
    /// Shows the keys.
    Help,
    /// Ends what goes on, or closes what lies on top.
    Escape,
    /// Draws everything anew.
    Redraw,
    /// Stops the process as Ctrl-Z does elsewhere.
    Suspend,
    /// Ends.
    Quit,
}

/// The keys and what they do, as help and the documentation show them.
pub const TABLE: [(&str, &str); 23] = [
    ("→ l, ← h", "next entry, entry before"),
    ("] [", "next and previous entry of the selected run"),
    ("} {", "its last and first entry"),
    ("+ -", "one minute on, one minute back"),
    ("> <", "one hour on, one hour back"),
    ("End G, Home 0", "the last entry, before the first"),
    (": g", "go to a position (1042), a time (2026-11-21T03:12:00Z, 03:12), so long ago (2h) or further (+5m, -30s)"),
    ("r R", "next and previous refusal"),
    ("e", "next entry of a kind, chosen from a list"),
    ("/", "search: in the runs for a name, id, label or command; elsewhere for the next entry with this text"),
    ("n N", "search again, forward and backward"),
    ("↓ j, ↑ k", "down, up: another run; in the timeline another entry; elsewhere scrolls"),
    ("PgDn Space, PgUp b", "a page down, a page up"),
    ("Tab, Shift-Tab", "the next pane, the pane before"),
    ("t", "timeline of the selected run, or of the whole journal: then the selection follows the cursor"),
    ("s S", "list only runs in a status: the next one, the one before"),
    ("Enter", "all of the entry at the cursor"),
    ("F", "follow a live journal, until the cursor is moved"),
    ("Esc", "cancel what goes on, close what lies on top"),
    ("?", "this help"),
    ("Ctrl-L", "draw anew"),
    ("Ctrl-Z", "suspend"),
    ("q, Ctrl-C", "quit"),
];

/// What a key asks for; nothing if it has no meaning.
pub fn key(event: KeyEvent) -> Option<Key> {
    use Direction::{Backward, Forward};
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Key::Quit),
            KeyCode::Char('z') => Some(Key::Suspend),
            KeyCode::Char('l') => Some(Key::Redraw),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Right | KeyCode::Char('l') => Key::Step(1),
        KeyCode::Left | KeyCode::Char('h') => Key::Step(-1),
        KeyCode::Down | KeyCode::Char('j') => Key::Row(1),
        KeyCode::Up | KeyCode::Char('k') => Key::Row(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Key::Page(1),
        KeyCode::PageUp | KeyCode::Char('b') => Key::Page(-1),
        KeyCode::Char(']') => Key::Own(1),
        KeyCode::Char('[') => Key::Own(-1),
        KeyCode::Char('}') => Key::Own(i64::MAX),
        KeyCode::Char('{') => Key::Own(i64::MIN),
        KeyCode::Char('+' | '=') => Key::Seconds(60),
        KeyCode::Char('-') => Key::Seconds(-60),
        KeyCode::Char('>') => Key::Seconds(3_600),
        KeyCode::Char('<') => Key::Seconds(-3_600),
        KeyCode::Home | KeyCode::Char('0') => Key::Start,
        KeyCode::End | KeyCode::Char('G') => Key::End,
        KeyCode::Char(':' | 'g') => Key::GoTo,
        KeyCode::Char('/') => Key::Search,
        KeyCode::Char('n') => Key::Again(Forward),
        KeyCode::Char('N') => Key::Again(Backward),
        KeyCode::Char('r') => Key::Refusal(Forward),
        KeyCode::Char('R') => Key::Refusal(Backward),
        KeyCode::Char('e') => Key::Kind,
        KeyCode::Char('s') => Key::Filter(1),
        KeyCode::Char('S') => Key::Filter(-1),
        KeyCode::Char('t') => Key::Lane,
        KeyCode::Char('F') => Key::Follow,
        KeyCode::Tab => Key::Focus(1),
        KeyCode::BackTab => Key::Focus(-1),
        KeyCode::Enter => Key::Detail,
        KeyCode::Char('?') => Key::Help,
        KeyCode::Esc => Key::Escape,
        KeyCode::Char('q') => Key::Quit,
        _ => return None,
    })
}
