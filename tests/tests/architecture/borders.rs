//! Borders within what the edges between crates allow.

use super::expect_nothing;
use super::paths::paths;
use super::sources::{Source, below};

/// Paths into the engine beside its domain.
fn beyond_the_domain(text: &str) -> Vec<String> {
    let beyond = |segments: &[String]| match segments {
        [first, second, ..] => first == "tachograph_engine" && second != "domain",
        [only] => only == "tachograph_engine",
        [] => false,
    };
    let found = paths(text).into_iter().filter(|found| beyond(&found.segments));
    found.map(|found| format!("line {}: {}", found.line, found.segments.join("::"))).collect()
}

/// Mentions of a word in code, wherever it stands.
fn mentions(text: &str, word: &str) -> Vec<String> {
    let found = paths(text).into_iter().filter(|found| found.segments.iter().any(|segment| segment == word));
    found.map(|found| format!("line {}: {}", found.line, found.segments.join("::"))).collect()
}

fn in_all(sources: &[Source], check: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let of = |source: &Source| {
        check(&source.text).into_iter().map(|found| format!("{}: {found}", source.path)).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of).collect()
}

#[test]
fn projections_know_the_domain_only() {
    let found = in_all(&below("projections/src"), beyond_the_domain);
    expect_nothing(&found, "a projection folds entries; it knows neither ports nor codec nor shell");
}

#[test]
fn only_the_codec_mentions_bincode() {
    let is_codec = |source: &Source| source.path.starts_with("engine/src/codec/");
    let codec = below("engine/src/codec");
    assert!(!in_all(&codec, |text| mentions(text, "bincode")).is_empty(), "the codec does not use it any more?");
    for directory in ["engine/src", "projections/src", "adapters/src", "replay-tool/src", "src"] {
        let others: Vec<Source> = below(directory).into_iter().filter(|source| !is_codec(source)).collect();
        let found = in_all(&others, |text| mentions(text, "bincode"));
        expect_nothing(&found, "bytes on disk are made in engine/src/codec only");
    }
}

#[test]
fn a_crossed_border_is_found() {
    for text in [
        "use tachograph_engine::ports::Journal;",
        "use tachograph_engine::{domain::Event, codec};",
        "fn f() { tachograph_engine::codec::decode_entry(&[]); }",
        "use tachograph_engine as engine;",
        "use tachograph_engine::*;",
    ] {
        assert!(!beyond_the_domain(text).is_empty(), "nothing is found in {text:?}");
    }
    assert_eq!(beyond_the_domain("use tachograph_engine::domain::{Event, Fleet};"), [""; 0]);
    for text in ["use bincode::Encode;", "#[derive(bincode::Decode)] struct S;", "use bincode;"] {
        assert!(!mentions(text, "bincode").is_empty(), "nothing is found in {text:?}");
    }
    assert_eq!(mentions("// bincode\nfn f() { g(\"bincode\"); }", "bincode"), [""; 0]);
}
