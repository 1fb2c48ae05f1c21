//! Folds that are kept on the way, so that the way back is short.

use tachograph_engine::domain::Position;

use super::fleet::Runs;

/// Folds at positions that were passed. Their number is bounded: once there are too many, every other one goes and the
/// rest lie twice as far apart.
#[derive(Debug)]
pub(crate) struct Marks {
    /// In the order of their positions.
    kept: Vec<Runs>,
    spacing: u64,
    marks_max: usize,
}

impl Marks {
    /// At most so many, and so many entries apart at first.
    pub(crate) fn of(marks_max: usize, spacing: u64) -> Self {
        Self { kept: Vec::new(), spacing, marks_max }
    }

    /// The last one at or before a position.
    pub(crate) fn before(&self, to: Position) -> Option<&Runs> {
        self.kept[..self.kept.partition_point(|mark| mark.position() <= to)].last()
    }

    /// Keeps a fold if none is near.
    pub(crate) fn pass(&mut self, runs: &Runs) {
        let at = runs.position();
        let index = self.kept.partition_point(|mark| mark.position() <= at);
        let is_near = |mark: Option<&Runs>| mark.is_some_and(|mark| mark.position().0.abs_diff(at.0) < self.spacing);
        let before = index.checked_sub(1).and_then(|before| self.kept.get(before));
        if at.0 < self.spacing || is_near(before) || is_near(self.kept.get(index)) {
            return;
        }
        self.kept.insert(index, runs.clone());
        if self.kept.len() > self.marks_max {
            let mut keeps = false;
            self.kept.retain(|_| {
                keeps = !keeps;
                !keeps
            });
            self.spacing *= 2;
        }
    }

    #[cfg(test)]
    pub(crate) fn positions(&self) -> Vec<u64> {
        self.kept.iter().map(|mark| mark.position().0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::fleet::Births;
    use tachograph_engine::domain::testing::ids;
    use tachograph_engine::domain::{Entry, EntryBody, Session, SystemFact, Timestamp};

    fn closed(position: u64) -> Entry {
        let (host, boot_id, version) = ("h".to_owned(), String::new(), "0".to_owned());
        let session = Session { host, boot_id, pid: 1, version, wall: Timestamp::from_micros(0), monotonic_us: 0 };
        Entry {
            id: ids::entry(position),
            position: Position(position),
            recorded_at: Timestamp::from_micros(0),
            previous: None,
            body: EntryBody::System(SystemFact::Closed(session)),
        }
    }

    #[test]
    fn their_number_is_bounded_and_they_stay_spread() {
        let (mut marks, mut runs, mut births) = (Marks::of(16, 8_192), Runs::default(), Births::default());
        for position in (1..=400_000).step_by(16) {
            runs.apply(&closed(position), &mut births);
            marks.pass(&runs);
            assert!(marks.kept.len() <= 16);
        }
        let positions = marks.positions();
        assert!(positions.len() > 6, "{positions:?}");
        assert!(positions.windows(2).all(|pair| pair[1] - pair[0] < 65_536 * 2), "{positions:?}");
        assert!(positions[0] <= 65_536 && *positions.last().unwrap() > 400_000 - 65_536, "{positions:?}");
        let before = |to| marks.before(Position(to)).map(|mark| mark.position().0);
        assert_eq!(before(positions[2]), Some(positions[2]));
        assert_eq!(before(positions[2] - 1), Some(positions[1]));
        assert_eq!(before(positions[0] - 1), None);
    }
}
