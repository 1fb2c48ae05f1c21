//! What every fold has in common, and how to drive one.

use std::borrow::Borrow;

use tachograph_engine::domain::{Entry, Position, Timestamp};

/// A fold of entries into a read model.
///
/// # Contract
///
/// - Entries are applied in the order of their positions. One at or before [`position`](Self::position) changes
///   nothing, so that an overlap, as between a checkpoint and what is read after it, is harmless.
/// - The result depends on the applied entries only. It is the same whether they came in one go or from any
///   checkpoint between.
/// - Total: an entry that makes no sense is folded as far as it does; no entry makes a fold panic.
pub trait Projection {
    /// Which fold it is, as checkpoints name it: 1 to 32 characters out of a-z, 0-9 and `-`.
    const NAME: &'static str;

    /// Version of the fold. Raised whenever the same entries would give another result: what another version saved
    /// is then rebuilt instead of trusted.
    const VERSION: u32;

    /// Folds one more entry in.
    fn apply(&mut self, entry: &Entry);

    /// Position of the last entry that was applied; zero before the first.
    fn position(&self) -> Position;
}

/// Up to where a fold goes. Every bound is inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All entries up to and including this position; all there are if the journal ends before it.
    Position(Position),
    /// All entries up to and including the one that [`position_at`] gives for this time.
    Time(Timestamp),
    /// All entries.
    End,
}

/// The position that a time stands for: that of the last entry, in the order of positions, whose `recorded_at` is at
/// or before it; zero if there is none.
///
/// The wall clock may step back, so `recorded_at` does not always grow with the position, and 'as of a time' has to be
/// defined. This definition gives, for every time, a prefix of the journal, and a longer one never for an earlier
/// time. Where the clock never stepped back, it is exactly what was recorded by then. Where it did, the times that
/// were passed twice stand for their second passing, so that nothing known to have been recorded by then is left
/// out; entries of the first passing that bear a later time lie before it and are in.
pub fn position_at<E: Borrow<Entry>>(entries: impl IntoIterator<Item = E>, time: Timestamp) -> Position {
    entries
        .into_iter()
        .filter(|entry| entry.borrow().recorded_at <= time)
        .map(|entry| entry.borrow().position)
        .max()
        .unwrap_or(Position::ZERO)
}

/// Applies entries, given in the order of their positions, up to a bound, and returns the position that was reached.
///
/// A fold never goes back: if it is already beyond the bound, it stays as it is, and the returned position says so.
/// For [`Until::Time`] the entries are gone through twice, and they must then be all entries of the journal, or the
/// time is looked for among those only.
pub fn fold_until<P, E, I>(projection: &mut P, entries: I, until: Until) -> Position
where
    P: Projection,
    E: Borrow<Entry>,
    I: IntoIterator<Item = E>,
    I::IntoIter: Clone,
{
    let entries = entries.into_iter();
    let last = match until {
        Until::Position(position) => Some(position),
        Until::Time(time) => Some(position_at(entries.clone(), time)),
        Until::End => None,
    };
    for entry in entries {
        let entry = entry.borrow();
        if last.is_some_and(|last| entry.position > last) {
            break;
        }
        projection.apply(entry);
    }
    projection.position()
}
