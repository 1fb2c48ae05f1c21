//! What an actor of a walk is up to, before it is known what that means.

use proptest::prelude::{Just, any, prop_oneof};
use proptest::strategy::Strategy;

use super::RUNS;

/// One thing that somebody tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// About which run.
    pub run: usize,
    /// Whether it fits the run's status, or may be anything.
    pub natural: bool,
    /// How much the actor knows.
    pub stance: Stance,
    /// Which version it expects.
    pub expectation: Expectation,
    /// Which runner it is, where that is open.
    pub runner: usize,
    /// What it chooses where there is a choice.
    pub pick: usize,
    /// Time that passes before, in milliseconds.
    pub after_ms: i64,
    /// Whether everything is forgotten before, and rebuilt from what was written.
    pub reopen: bool,
}

/// How much an actor knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// All there is to know.
    Present,
    /// What was true earlier.
    Stale,
    /// All but who holds the attempt.
    OtherRunner,
    /// Things about another run.
    Foreign,
    /// Nothing new: it repeats an earlier command.
    Retry,
    /// All, but what it sends is out of bounds.
    Clumsy,
}

/// Which version an actor expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Any.
    None,
    /// The one that the run is at.
    Right,
    /// Another.
    Wrong,
}

/// Any intent; those of an actor that knows and does what fits are frequent, so that walks get somewhere.
pub(super) fn intent() -> impl Strategy<Value = Intent> {
    let stance = prop_oneof![
        12 => Just(Stance::Present),
        2 => Just(Stance::Stale),
        1 => Just(Stance::OtherRunner),
        1 => Just(Stance::Foreign),
        2 => Just(Stance::Retry),
        1 => Just(Stance::Clumsy),
    ];
    let expectation = prop_oneof![
        16 => Just(Expectation::None),
        2 => Just(Expectation::Right),
        1 => Just(Expectation::Wrong),
    ];
    let natural = proptest::bool::weighted(0.8);
    let reopen = proptest::bool::weighted(0.03);
    (0..RUNS, natural, stance, expectation, 0..3_usize, any::<u16>(), 0..8_000_i64, reopen).prop_map(
        |(run, natural, stance, expectation, runner, pick, after_ms, reopen)| Intent {
            run,
            natural,
            stance,
            expectation,
            runner,
            pick: usize::from(pick),
            after_ms,
            reopen,
        },
    )
}
