//! A line that is typed: where to go, or what to look for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tachograph_engine::domain::Timestamp;

use crate::duration;
use crate::when::{AsOf, When};

/// Characters that are taken at most.
const CHARS_MAX: usize = 256;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A position or time to go to.
    Place,
    /// A text among the runs.
    Run,
    /// A text among the entries.
    Entry,
}

impl Asked {
    /// What stands before the line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Place => "go to position or time: ",
            Self::Run => "search runs: ",
            Self::Entry => "search entries: ",
        }
    }
}

/// A line that is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What is asked for.
    pub asked: Asked,
    /// What was typed so far.
    pub text: String,
}

/// What a key did to the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// It goes on.
    More,
    /// It was given up.
    GivenUp,
    /// It is complete.
    Done(String),
}

impl Prompt {
    /// An empty line.
    pub fn of(asked: Asked) -> Self {
        Self { asked, text: String::new() }
    }

    /// Takes a key in.
    pub fn key(&mut self, event: KeyEvent) -> Typed {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::Esc => return Typed::GivenUp,
            KeyCode::Char('c' | 'g') if ctrl => return Typed::GivenUp,
            KeyCode::Enter if self.text.trim().is_empty() => return Typed::GivenUp,
            KeyCode::Enter => return Typed::Done(self.text.trim().to_owned()),
            // To take back what is not there means to take back the question.
            KeyCode::Backspace if self.text.is_empty() => return Typed::GivenUp,
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Char('u') if ctrl => self.text.clear(),
            KeyCode::Char('w') if ctrl => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
            }
            KeyCode::Char(char) if !ctrl && self.text.chars().count() < CHARS_MAX => self.text.push(char),
            _ => {}
        }
        Typed::More
    }
}

/// Where somebody wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To a position or time.
    At(AsOf),
    /// So many microseconds on; back if negative.
    By(i64),
}

/// The place that a text means, seen from the time of the cursor: what [`AsOf`] takes, a time of that day (`03:12`), or
/// a step from there (`+5m`).
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn place(text: &str, here: Option<Timestamp>) -> Result<Place, String> {
    if let Some(by) = text.strip_prefix('+') {
        return micros(by).map(Place::By);
    }
    if let Some(by) = text.strip_prefix('-') {
        return micros(by).map(|micros| Place::By(-micros));
    }
    if let Some(time) = here.and_then(|here| time_of_day(text, here)) {
        return Ok(Place::At(AsOf::Time(When::At(time))));
    }
    text.parse().map(Place::At).map_err(|error: crate::when::WhenError| error.to_string())
}

fn micros(text: &str) -> Result<i64, String> {
    let duration = duration::parse(text.trim()).map_err(|error| error.to_string())?;
    i64::try_from(duration.as_micros()).map_err(|_| "is too long".to_owned())
}

/// `03:12`, `03:12:30` or `03:12:30.5` of the cursor's day, in UTC.
fn time_of_day(text: &str, here: Timestamp) -> Option<Timestamp> {
    let colons = text.matches(':').count();
    let is_time = text.chars().all(|char| char.is_ascii_digit() || char == ':' || char == '.');
    if !is_time || !(1..=2).contains(&colons) {
        return None;
    }
    let day = here.to_string();
    let (day, _) = day.split_once('T')?;
    let seconds = if colons == 1 { ":00" } else { "" };
    format!("{day}T{text}{seconds}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_engine::domain::Position;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn places_are_absolute_or_seen_from_the_cursor() {
        let here: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let at = |text: &str| Ok(Place::At(AsOf::Time(When::At(text.parse().unwrap()))));
        assert_eq!(place("1042", Some(here)), Ok(Place::At(AsOf::Position(Position(1042)))));
        assert_eq!(place("03:12", Some(here)), at("2026-11-21T03:12:00Z"));
        assert_eq!(place("23:59:59.5", Some(here)), at("2026-11-21T23:59:59.5Z"));
        assert_eq!(place("+1m30s", Some(here)), Ok(Place::By(90_000_000)));
        assert_eq!(place("-1h", None), Ok(Place::By(-3_600_000_000)));
        for nonsense in ["25:00", "03:12:00:00", "+", "-x", "yesterday", "ä:ö"] {
            assert!(place(nonsense, Some(here)).is_err(), "{nonsense}");
        }
        assert!(place("03:12", None).is_err(), "there is no day before the first entry");
    }

    #[test]
    fn a_line_is_edited_and_bounded() {
        let mut prompt = Prompt::of(Asked::Entry);
        for char in "stale exit".chars() {
            assert_eq!(prompt.key(key(KeyCode::Char(char))), Typed::More);
        }
        prompt.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(prompt.key(key(KeyCode::Enter)), Typed::Done("stale".to_owned()));
        prompt.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        (0..1_000).for_each(|_| drop(prompt.key(key(KeyCode::Char('ß')))));
        assert_eq!(prompt.text.chars().count(), CHARS_MAX);
        prompt.text = "ß".to_owned();
        assert_eq!(prompt.key(key(KeyCode::Backspace)), Typed::More);
        assert_eq!(prompt.key(key(KeyCode::Backspace)), Typed::GivenUp);
    }
}
