//! Properties over generated inputs: always the same ones, unless asked otherwise.
//!
//! `TACHO_CASES` is how many inputs a property is tried on, `TACHO_SEED` the number that they are generated from. A
//! failure names both, and the smallest input that still fails.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Tries a property on so many inputs, or on as many as `TACHO_CASES` says.
///
/// # Panics
///
/// If the property does not hold for one of them.
#[track_caller]
pub fn for_all<S: Strategy>(cases: u32, inputs: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = number("TACHO_CASES").map_or(cases, |cases| u32::try_from(cases).unwrap_or(u32::MAX));
    for_so_many(cases, inputs, property);
}

/// Tries a property on exactly so many inputs: for statistics, which mean nothing over fewer.
///
/// # Panics
///
/// If the property does not hold for one of them.
#[expect(clippy::panic, reason = "a test fails by panicking")]
#[track_caller]
pub fn for_so_many<S: Strategy>(cases: u32, inputs: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed = number("TACHO_SEED").unwrap_or(1);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.to_le_bytes().repeat(4));
    let again = format!("run it again with TACHO_SEED={seed} TACHO_CASES={cases}");
    match TestRunner::new_with_rng(config, rng).run(inputs, property) {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => panic!("{reason}\nfor the input\n{input:?}\n{again}"),
        Err(TestError::Abort(reason)) => panic!("{reason}\n{again}"),
    }
}

#[expect(clippy::panic, reason = "a number that is none must not pass for the default")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}
