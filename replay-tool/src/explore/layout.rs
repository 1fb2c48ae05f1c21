//! Where the panes are.

use ratatui::layout::Rect;

use super::session::Rows;

/// Columns that three panes need; in fewer, only the one with the focus is shown.
const COLUMNS_MIN: u16 = 64;
/// Rows that three panes need, without heading and status line.
const ROWS_MIN: u16 = 12;
/// Columns of the list of runs, at least and at most.
const RUNS_COLUMNS: (u16, u16) = (24, 46);
/// Rows of a frame that show nothing of the pane.
const FRAME_ROWS: u16 = 2;

/// A pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// The list of runs.
    Runs,
    /// The entries.
    #[default]
    Timeline,
    /// The selected run.
    State,
}

impl Pane {
    /// All of them, as they are gone through.
    pub const ALL: [Self; 3] = [Self::Runs, Self::Timeline, Self::State];

    /// The one so many places further, around the end.
    #[must_use]
    pub fn turned(self, by: i8) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Self::ALL[(at as i8 + by).rem_euclid(3) as usize]
    }
}

/// Where everything is. What there is no room for is absent or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Where and when the cursor is.
    pub heading: Rect,
    /// The list of runs.
    pub runs: Option<Rect>,
    /// The entries.
    pub timeline: Option<Rect>,
    /// The selected run.
    pub state: Option<Rect>,
    /// All panes together.
    pub body: Rect,
    /// What goes on, what was wrong, what is typed.
    pub status: Rect,
}

impl Layout {
    /// The layout of a screen.
    pub fn of(columns: u16, rows: u16, focus: Pane) -> Self {
        let heading = Rect::new(0, 0, columns, rows.min(1));
        let status = Rect::new(0, rows.saturating_sub(1), columns, u16::from(rows > 1));
        let body = Rect::new(0, heading.height, columns, rows.saturating_sub(2));
        let mut layout = Self { heading, runs: None, timeline: None, state: None, body, status };
        if columns < COLUMNS_MIN || body.height < ROWS_MIN {
            let shown = Some(body);
            match focus {
                Pane::Runs => layout.runs = shown,
                Pane::Timeline => layout.timeline = shown,
                Pane::State => layout.state = shown,
            }
            return layout;
        }
        let left = (columns / 3).clamp(RUNS_COLUMNS.0, RUNS_COLUMNS.1);
        let upper = body.height / 2;
        layout.runs = Some(Rect { width: left, ..body });
        let right = Rect { x: left, width: columns - left, ..body };
        layout.timeline = Some(Rect { height: upper, ..right });
        layout.state = Some(Rect { y: body.y + upper, height: body.height - upper, ..right });
        layout
    }

    /// How many rows there are within the frames.
    pub fn rows(&self) -> Rows {
        let within = |pane: Option<Rect>| pane.map_or(0, |pane| usize::from(pane.height.saturating_sub(FRAME_ROWS)));
        Rows { runs: within(self.runs), timeline: within(self.timeline) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_never_leave_the_screen_or_overlap() {
        for focus in Pane::ALL {
            for (columns, rows) in (0..140).flat_map(|columns| (0..60).map(move |rows| (columns, rows))) {
                let layout = Layout::of(columns, rows, focus);
                let screen = Rect::new(0, 0, columns, rows);
                let shown = [layout.runs, layout.timeline, layout.state].into_iter().flatten();
                let all: Vec<Rect> = shown.chain([layout.heading, layout.status]).collect();
                for (index, one) in all.iter().enumerate() {
                    assert_eq!(screen.intersection(*one).area(), one.area(), "{columns}x{rows}: {one}");
                    let overlaps = all[..index].iter().find(|other| other.intersects(*one) && one.area() > 0);
                    assert_eq!(overlaps, None, "{columns}x{rows}: {one}");
                }
                let area: u32 = all.iter().map(|one| one.area()).sum();
                assert_eq!(area, screen.area(), "{columns}x{rows} is covered");
            }
        }
    }
}
