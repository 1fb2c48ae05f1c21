//! The domain knows nothing but itself.

use std::collections::BTreeSet;

use super::expect_nothing;
use super::paths::{Found, paths};
use super::sources::below;

const DOMAIN: &str = "engine/src/domain";

/// Modules of the standard library without a clock, a thread or IO.
const STD: [&str; 20] = [
    "array",
    "borrow",
    "boxed",
    "cmp",
    "collections",
    "convert",
    "default",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "option",
    "result",
    "slice",
    "str",
    "string",
    "vec",
];

/// Of `std::sync`, only what shares; the counters of the test harness make ids.
const SYNC: [&str; 4] = ["Arc", "atomic::AtomicU64", "atomic::Ordering", "LazyLock"];

/// Crates from outside that are values and formats only.
const CRATES: [&str; 4] = ["ulid", "uuid", "thiserror", "time"];

/// Words that mean impurity wherever they stand.
const WORDS: [&str; 10] =
    ["async", "await", "bincode", "extern", "futures", "rand", "serde", "tokio", "tracing", "unsafe"];

const MACROS: [&str; 9] =
    ["dbg", "env", "eprint", "eprintln", "include_str", "option_env", "print", "println", "thread_local"];

const PRIMITIVES: [&str; 17] = [
    "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16", "u32", "u64", "u8",
    "usize",
];

/// What a domain file says that a pure one would not. `level` is how many modules lie between it and the domain.
fn impurities(text: &str, modules: &BTreeSet<String>, level: usize) -> Vec<String> {
    let judge = |found: &Found| {
        let why = judge(found, modules, level)?;
        Some(format!("line {}: {}: {why}", found.line, found.segments.join("::")))
    };
    paths(text).iter().filter_map(judge).collect()
}

fn judge(found: &Found, modules: &BTreeSet<String>, level: usize) -> Option<&'static str> {
    let segments: Vec<&str> = found.segments.iter().map(String::as_str).collect();
    if let Some(word) = segments.iter().find(|segment| WORDS.contains(segment)) {
        return Some(if *word == "async" { "the domain is synchronous" } else { "does not belong into the domain" });
    }
    if found.is_macro && MACROS.contains(&segments[segments.len() - 1]) {
        return Some("the domain does no IO");
    }
    let [root, rest @ ..] = &segments[..] else { return None };
    match (*root, rest) {
        (_, []) => None,
        ("std" | "core" | "alloc", rest) => outside_std(rest),
        ("crate", ["domain", ..]) => None,
        ("crate", _) => Some("the domain knows no other part of the engine"),
        ("super", rest) => {
            let up = 1 + rest.iter().take_while(|segment| **segment == "super").count();
            (up > level + found.depth).then_some("leads out of the domain")
        }
        ("self" | "Self", _) => None,
        (root, _) if CRATES.contains(&root) || PRIMITIVES.contains(&root) || modules.contains(root) => None,
        // Imported from the standard library, which is judged where it is imported; or the name of a lint.
        (root, _) if STD.contains(&root) || root == "clippy" => None,
        (root, _) if root.starts_with(char::is_uppercase) => None,
        _ => Some("no module of the domain and no crate that it may know"),
    }
}

fn outside_std(rest: &[&str]) -> Option<&'static str> {
    let path = rest.join("::");
    let allowed = STD.contains(&rest[0]) || SYNC.iter().any(|allowed| path == format!("sync::{allowed}"));
    (!allowed).then_some("not a part of the standard library that the domain may use")
}

/// The names of the domain's own modules, inline ones included.
fn modules(texts: &[&str]) -> BTreeSet<String> {
    let declared = |text: &&str| {
        let words: Vec<String> = text.split_whitespace().map(|word| word.trim_end_matches(';').to_owned()).collect();
        let after_mod = words.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1].clone());
        after_mod.collect::<Vec<_>>()
    };
    texts.iter().flat_map(declared).collect()
}

#[test]
fn the_domain_is_pure() {
    let sources = below(DOMAIN);
    let modules = modules(&sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>());
    assert!(modules.contains("decide") && modules.contains("ids"), "{modules:?}");
    let mut found = Vec::new();
    for source in &sources {
        let inner = source.path.trim_start_matches(DOMAIN).trim_start_matches('/');
        let level = inner.matches('/').count() + usize::from(!inner.ends_with("mod.rs"));
        found.extend(impurities(&source.text, &modules, level).iter().map(|why| format!("{}: {why}", source.path)));
    }
    expect_nothing(&found, "the domain knows no clock, thread, IO, randomness, serialisation or runtime");
}

#[test]
fn every_impurity_is_found() {
    let modules: BTreeSet<String> = ["decide", "limits"].map(str::to_owned).into();
    for text in [
        "use std::time::Instant;",
        "use std::{fmt, time::SystemTime};",
        "fn now() { std::time::SystemTime::now(); }",
        "fn f() { let _ = vec![std::env::args()]; }",
        "use std::thread;",
        "use std::fs::File;",
        "use std::io;",
        "use std::net::TcpStream;",
        "use std::env;",
        "use std::process::Command;",
        "use std::sync::Mutex;",
        "use std::sync::{Arc, mpsc};",
        "use std::sync::atomic::AtomicBool;",
        "use ::std::path::PathBuf;",
        "use tokio::sync::mpsc;",
        "fn f() { tokio::spawn(f); }",
        "#[derive(Debug, serde::Serialize)] struct S;",
        "#[derive(bincode::Encode)] struct S;",
        "use rand::random;",
        "fn f() { tracing::info!(1); }",
        "async fn f() {}",
        "fn f() { let g = async { 1 }; }",
        "extern crate std;",
        "fn f() { unsafe { g() } }",
        "fn f() { println!(\"x\"); }",
        "fn f() { if !x { eprintln!(\"x\"); } }",
        "thread_local! { static X: u8 = 0; }",
        "use crate::ports::Journal;",
        "use crate::codec;",
        "use super::super::ports::Clock;",
        "mod inner { use super::super::super::shell; }",
        "use blake3::Hasher;",
        "fn f() { crc32c::crc32c(&[]); }",
    ] {
        assert!(!impurities(text, &modules, 1).is_empty(), "nothing is found in {text:?}");
    }
}

#[test]
fn what_is_pure_is_not_found() {
    let modules: BTreeSet<String> = ["decide", "limits"].map(str::to_owned).into();
    for text in [
        "use std::collections::{BTreeMap, BTreeSet};",
        "use std::sync::Arc;",
        "use std::{fmt, str::FromStr};",
        "use time::OffsetDateTime;",
        "use super::{Event, limits};",
        "use crate::domain::Event;",
        "mod tests { use super::super::Event; }",
        "#[derive(Debug, thiserror::Error)] #[error(\"{0:?} is no time; std::fs\")] struct S(String);",
        "/// Not `tokio::spawn`.\nfn f() { limits::check(u64::MAX, Event::Created, Self::new()); } // std::fs",
        "fn f(a: bool) -> bool { a != b::<u8>() }",
    ] {
        assert_eq!(impurities(text, &modules, 1), [""; 0], "in {text:?}");
    }
}
