//! How things look. Nothing is told by colour alone: every mark is a word or a sign as well.

use anstyle::{AnsiColor, Effects};
use ratatui::style::{Color, Modifier, Style};

/// How things look on a screen with colours, or on one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether there are colours.
    pub is_colored: bool,
}

impl Theme {
    /// The style that tables have, for this screen.
    pub fn of(self, style: anstyle::Style) -> Style {
        let mut shown = Style::new();
        if let Some(anstyle::Color::Ansi(color)) = style.get_fg_color().filter(|_| self.is_colored) {
            shown = shown.fg(named(color));
        }
        let effects = style.get_effects();
        for (effect, modifier) in [(Effects::BOLD, Modifier::BOLD), (Effects::DIMMED, Modifier::DIM)] {
            if effects.contains(effect) {
                shown = shown.add_modifier(modifier);
            }
        }
        shown
    }

    /// The heading and the status line.
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The row at the cursor, or the selected one.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What the entry at the cursor changed.
    pub fn changed(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self.is_colored { bold.fg(Color::Yellow) } else { bold }
    }

    /// The frame of the pane that has the focus, and of the others.
    pub fn frame(self, has_focus: bool) -> Style {
        match (has_focus, self.is_colored) {
            (true, true) => Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
            (true, false) => Style::new().add_modifier(Modifier::BOLD),
            (false, _) => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// Something was wrong.
    pub fn wrong(self) -> Style {
        self.of(crate::table::BAD).add_modifier(Modifier::BOLD)
    }

    /// Less important than what stands beside it.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A heading.
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

fn named(color: AnsiColor) -> Color {
    match color {
        AnsiColor::Black => Color::Black,
        AnsiColor::Red => Color::Red,
        AnsiColor::Green => Color::Green,
        AnsiColor::Yellow => Color::Yellow,
        AnsiColor::Blue => Color::Blue,
        AnsiColor::Magenta => Color::Magenta,
        AnsiColor::Cyan => Color::Cyan,
        AnsiColor::White => Color::Gray,
        AnsiColor::BrightBlack => Color::DarkGray,
        AnsiColor::BrightRed => Color::LightRed,
        AnsiColor::BrightGreen => Color::LightGreen,
        AnsiColor::BrightYellow => Color::LightYellow,
        AnsiColor::BrightBlue => Color::LightBlue,
        AnsiColor::BrightMagenta => Color::LightMagenta,
        AnsiColor::BrightCyan => Color::LightCyan,
        AnsiColor::BrightWhite => Color::White,
    }
}
