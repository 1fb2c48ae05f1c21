//! Which step of one sequence belongs to which of another.

/// Sequences of more steps than this, without what both begin and end with, are not aligned as wholes: see [`align`].
pub const STEPS_EXACT_MAX: usize = 1_000;

/// What a pair of equal steps counts.
const SAME: u32 = 2;
/// What a pair of alike steps counts: less than an equal pair, more than to leave both alone.
const ALIKE: u32 = 1;

/// Something that can be aligned.
pub trait Comparable: Ord {
    /// Whether the two may stand side by side. Equal ones are alike; whoever is alike another is so both ways.
    fn is_alike(&self, other: &Self) -> bool;
}

/// One row of an alignment, by the places of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Steps that belong together.
    Pair {
        /// Of the left sequence.
        left: usize,
        /// Of the right one.
        right: usize,
    },
    /// A step of the left sequence alone.
    Left(usize),
    /// A step of the right sequence alone.
    Right(usize),
}

/// Two sequences, aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    /// Every step of both once, those of each in their order.
    pub rows: Vec<Row>,
    /// Two for every equal pair, one for every pair that is only alike.
    pub score: u64,
    /// Whether no alignment has a greater score.
    pub is_best: bool,
}

/// Aligns two sequences so that the score is greatest. Of the alignments with that score always the same one is given,
/// whichever sequence is the left one.
///
/// What both begin and end with is paired. If more than [`STEPS_EXACT_MAX`] steps of a sequence are left then, they are
/// aligned stretch by stretch, of so many steps at most, each as far as its last pair: memory stays bounded, time grows with
/// the length alone, and a better alignment may exist, which `is_best` then says.
pub fn align<T: Comparable>(left: &[T], right: &[T]) -> Alignment {
    // One of the two orders is the one that is aligned; the other is its mirror image.
    if left <= right { align_ordered(left, right) } else { align_ordered(right, left).mirrored() }
}

impl Alignment {
    /// The same with left and right exchanged.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        for row in &mut self.rows {
            *row = match *row {
                Row::Pair { left, right } => Row::Pair { left: right, right: left },
                Row::Left(at) => Row::Right(at),
                Row::Right(at) => Row::Left(at),
            };
        }
        self
    }
}

fn align_ordered<T: Comparable>(left: &[T], right: &[T]) -> Alignment {
    let begin = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (left_rest, right_rest) = (&left[begin..], &right[begin..]);
    let end = left_rest.iter().rev().zip(right_rest.iter().rev()).take_while(|(left, right)| left == right).count();
    let (left_end, right_end) = (left.len() - end, right.len() - end);
    let mut rows: Vec<Row> = (0..begin).map(|at| Row::Pair { left: at, right: at }).collect();
    let (mut at, mut is_best) = ((begin, begin), true);
    while at.0 < left_end || at.1 < right_end {
        let window = |from: usize, end: usize| from..end.min(from + STEPS_EXACT_MAX);
        let (lefts, rights) = (window(at.0, left_end), window(at.1, right_end));
        let is_last = lefts.end == left_end && rights.end == right_end;
        let mut found = best(&left[lefts], &right[rights]);
        if !is_last {
            is_best = false;
            // What comes after the last pair may belong to steps that are not in sight yet.
            let pairs = found.iter().rposition(|row| matches!(row, Row::Pair { .. }));
            found.truncate(pairs.map_or(found.len(), |last| last + 1));
        }
        let from = at;
        for row in found {
            match row {
                Row::Pair { .. } => at = (at.0 + 1, at.1 + 1),
                Row::Left(_) => at.0 += 1,
                Row::Right(_) => at.1 += 1,
            }
            rows.push(shifted(row, from));
        }
    }
    rows.extend((0..end).map(|at| Row::Pair { left: left_end + at, right: right_end + at }));
    let score = rows.iter().map(|row| u64::from(worth(row, left, right))).sum();
    Alignment { rows, score, is_best }
}

fn shifted(row: Row, (by_left, by_right): (usize, usize)) -> Row {
    match row {
        Row::Pair { left, right } => Row::Pair { left: left + by_left, right: right + by_right },
        Row::Left(at) => Row::Left(at + by_left),
        Row::Right(at) => Row::Right(at + by_right),
    }
}

fn worth<T: Comparable>(row: &Row, left: &[T], right: &[T]) -> u32 {
    match row {
        Row::Pair { left: at, right: other } => weight(&left[*at], &right[*other]),
        Row::Left(_) | Row::Right(_) => 0,
    }
}

fn weight<T: Comparable>(left: &T, right: &T) -> u32 {
    if left == right {
        SAME
    } else if left.is_alike(right) {
        ALIKE
    } else {
        0
    }
}

/// The alignment of the greatest score, by the table of what the rests can reach.
fn best<T: Comparable>(left: &[T], right: &[T]) -> Vec<Row> {
    let width = right.len() + 1;
    let mut reach = vec![0_u32; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            let worth = weight(&left[i], &right[j]);
            let paired = if worth > 0 { worth + reach[(i + 1) * width + j + 1] } else { 0 };
            reach[i * width + j] = paired.max(reach[(i + 1) * width + j]).max(reach[i * width + j + 1]);
        }
    }
    let (mut i, mut j, mut rows) = (0, 0, Vec::with_capacity(left.len() + right.len()));
    while i < left.len() && j < right.len() {
        let here = reach[i * width + j];
        let worth = weight(&left[i], &right[j]);
        if worth > 0 && here == worth + reach[(i + 1) * width + j + 1] {
            rows.push(Row::Pair { left: i, right: j });
            (i, j) = (i + 1, j + 1);
        } else if here == reach[(i + 1) * width + j] {
            rows.push(Row::Left(i));
            i += 1;
        } else {
            rows.push(Row::Right(j));
            j += 1;
        }
    }
    rows.extend((i..left.len()).map(Row::Left));
    rows.extend((j..right.len()).map(Row::Right));
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    impl Comparable for (u8, u8) {
        fn is_alike(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    /// Always the same cases; `TACHO_CASES` is how many, `TACHO_SEED` the number that they are made from.
    fn cases() -> ProptestConfig {
        let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
        let cases = number("TACHO_CASES").map_or(256, |cases: u64| u32::try_from(cases).unwrap_or(u32::MAX));
        let rng_seed = RngSeed::Fixed(number("TACHO_SEED").unwrap_or(1));
        ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
    }

    fn a_sequence(length: usize) -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0..4_u8, 0..3_u8), 0..length)
    }

    fn covers(rows: &[Row], left: usize, right: usize) -> bool {
        let lefts = rows.iter().filter_map(|row| match row {
            Row::Pair { left, .. } | Row::Left(left) => Some(*left),
            Row::Right(_) => None,
        });
        let rights = rows.iter().filter_map(|row| match row {
            Row::Pair { right, .. } | Row::Right(right) => Some(*right),
            Row::Left(_) => None,
        });
        lefts.eq(0..left) && rights.eq(0..right)
    }

    /// The greatest score, by trying everything.
    fn by_trying(left: &[(u8, u8)], right: &[(u8, u8)]) -> u64 {
        let (Some(l), Some(r)) = (left.first(), right.first()) else { return 0 };
        let worth = u64::from(weight(l, r));
        let paired = if worth > 0 { worth + by_trying(&left[1..], &right[1..]) } else { 0 };
        paired.max(by_trying(&left[1..], right)).max(by_trying(left, &right[1..]))
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn an_alignment_covers_both_and_pairs_what_is_alike(left in a_sequence(40), right in a_sequence(40)) {
            let alignment = align(&left, &right);
            prop_assert!(covers(&alignment.rows, left.len(), right.len()), "{:?}", alignment);
            for row in &alignment.rows {
                if let Row::Pair { left: l, right: r } = row {
                    prop_assert!(left[*l].is_alike(&right[*r]));
                }
            }
            prop_assert!(alignment.is_best);
        }

        #[test]
        fn no_alignment_is_better(left in a_sequence(8), right in a_sequence(8)) {
            prop_assert_eq!(align(&left, &right).score, by_trying(&left, &right));
        }

        #[test]
        fn left_and_right_are_exchanged_and_nothing_else(left in a_sequence(40), right in a_sequence(40)) {
            prop_assert_eq!(align(&left, &right).mirrored(), align(&right, &left));
        }

        #[test]
        fn what_is_the_same_has_no_divergence(sequence in a_sequence(60)) {
            let alignment = align(&sequence, &sequence);
            let unmoved = |row: &Row| matches!(row, Row::Pair { left, right } if left == right);
            prop_assert!(alignment.rows.iter().all(unmoved));
            prop_assert_eq!(alignment.score, 2 * sequence.len() as u64);
        }
    }

    /// Beyond the bound nothing is lost, the two sides are still mirror images, and nobody is told that it is the best.
    #[test]
    fn longer_sequences_are_aligned_by_stretches() {
        let noise = |seed: u64| move |at: u64| (((at * 2_654_435_761 + seed * 97) >> 7) % 4) as u8;
        let sequence = |seed: u64, length: u64| -> Vec<(u8, u8)> {
            (0..length).map(|at| (noise(seed)(at), noise(seed + 1)(at) % 3)).collect()
        };
        let length = STEPS_EXACT_MAX as u64;
        for (left, right) in [(3 * length, 2 * length + 7), (length + 9, 2), (2, length + 9), (length + 9, 0)] {
            let (left, right) = (sequence(1, left), sequence(5, right));
            let alignment = align(&left, &right);
            assert!(covers(&alignment.rows, left.len(), right.len()));
            assert!(!alignment.is_best);
            assert_eq!(alignment.clone().mirrored(), align(&right, &left));
        }
        let (left, right) = (vec![(0, 0); STEPS_EXACT_MAX * 2], vec![(1, 1); STEPS_EXACT_MAX * 2]);
        assert_eq!(align(&left, &right).rows.len(), STEPS_EXACT_MAX * 4, "what has no pair at all comes to an end");
        let same = sequence(1, 5 * length);
        assert!(align(&same, &same).is_best, "what both begin with needs no table");
    }
}
