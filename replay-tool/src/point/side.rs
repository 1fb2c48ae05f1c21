//! How a point of a history is written where two are compared: `POINT`, `PATH`, or `PATH@POINT`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::when::{AsOf, WhenError};

/// A point of the history at hand, or of another one.
///
/// What reads as a point is one. Anything else is a path, and what follows its last `@` a point of the history there, if
/// it reads as one. A path that reads as a point itself is written with `./` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Where the other history is: a data directory or a bundle; absent for the one at hand.
    pub path: Option<PathBuf>,
    /// The point; absent for the end.
    pub at: Option<AsOf>,
}

impl Side {
    /// As it is named in messages; `data` is the history at hand.
    pub fn place<'a>(&'a self, data: &'a Path) -> &'a Path {
        self.path.as_deref().unwrap_or(data)
    }
}

impl FromStr for Side {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let as_point = text.parse::<AsOf>();
        if let Ok(at) = as_point {
            return Ok(Self { path: None, at: Some(at) });
        }
        if let Some((path, point)) = text.rsplit_once('@') {
            match point.parse() {
                Ok(at) if path.is_empty() => return Ok(Self { path: None, at: Some(at) }),
                Ok(at) => return Ok(Self { path: Some(path.into()), at: Some(at) }),
                // A path may have an `@` in it.
                Err(_) if !path.is_empty() && Path::new(text).exists() => {}
                Err(error) => return Err(error),
            }
        }
        match as_point {
            // Digits and colons that are no point are a slip, not a path, unless there is one.
            Err(error) if text.is_empty() || reads_like_a_point(text) && !Path::new(text).exists() => Err(error),
            _ => Ok(Self { path: Some(text.into()), at: None }),
        }
    }
}

fn reads_like_a_point(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_digit() || char == '-') && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Position;

    use super::*;

    fn side(text: &str) -> Side {
        text.parse().unwrap()
    }

    #[test]
    fn points_and_paths_are_told_apart() {
        let at = |position| Some(AsOf::Position(Position(position)));
        assert_eq!(side("12"), Side { path: None, at: at(12) });
        assert_eq!(side("@12"), Side { path: None, at: at(12) });
        assert_eq!(side("./12"), Side { path: Some("./12".into()), at: None });
        assert_eq!(side("/mnt/a b@12"), Side { path: Some("/mnt/a b".into()), at: at(12) });
        assert_eq!(side("copy@2h ago").at, "2h".parse().ok());
        assert_eq!(side("user@host/data@2026-11-21T03:12:00Z").path, Some("user@host/data".into()));
        assert_eq!(side("evidence.bundle"), Side { path: Some("evidence.bundle".into()), at: None });
    }

    #[test]
    fn a_slip_in_a_point_is_no_path() {
        for text in ["2026-11-21T03:12", "12x", "-1", "copy@yesterday", ""] {
            assert!(text.parse::<Side>().unwrap_err().to_string().contains("a position (1042)"), "{text}");
        }
    }
}
