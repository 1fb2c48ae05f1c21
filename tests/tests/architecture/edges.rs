//! Dependencies between the crates of the workspace, of every kind: normal, for tests, for build scripts.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{MetadataCommand, Package};

use super::expect_nothing;
use super::sources::workspace;

/// Which crate may know which. A crate that is missing here may not exist.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("tachograph-engine", &[]),
    ("tachograph-projections", &["tachograph-engine"]),
    ("tachograph-adapters", &["tachograph-engine"]),
    ("tachograph-replay", &["tachograph-engine", "tachograph-projections", "tachograph-adapters"]),
    ("tachograph", &["tachograph-engine", "tachograph-projections", "tachograph-adapters"]),
    ("tachograph-tests", EVERY_LIBRARY),
    ("tachograph-benches", EVERY_LIBRARY),
];

const EVERY_LIBRARY: &[&str] =
    &["tachograph-engine", "tachograph-projections", "tachograph-adapters", "tachograph-replay", "tachograph"];

/// Crates from outside that only one crate of the workspace may know, beside tests and benches.
const RESERVED: [(&str, &str); 3] =
    [("bincode", "tachograph-engine"), ("sled", "tachograph-adapters"), ("clap", "tachograph-replay")];

const FREE: [&str; 2] = ["tachograph-tests", "tachograph-benches"];

/// A crate and one that it depends on.
type Edge = (String, String);

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata answers");
    metadata.packages
}

fn edges(packages: &[Package]) -> Vec<Edge> {
    let of = |package: &Package| {
        let from = package.name.to_string();
        package.dependencies.iter().map(|to| (from.clone(), to.name.clone())).collect::<Vec<_>>()
    };
    packages.iter().flat_map(of).collect()
}

/// What the architecture does not have: between crates of the workspace, and to reserved ones from outside.
fn forbidden(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into();
    let strangers = members
        .iter()
        .filter(|member| !allowed.contains_key(member.as_str()))
        .map(|member| format!("{member} has no place in the architecture"));
    let inner = edges.iter().filter(|(from, to)| {
        members.contains(to) && !allowed.get(from.as_str()).is_some_and(|known| known.contains(&to.as_str()))
    });
    let reserved = edges.iter().filter(|(from, to)| {
        let owner = RESERVED.iter().find(|(name, _)| name == to).map(|(_, owner)| *owner);
        owner.is_some_and(|owner| owner != from && !FREE.contains(&from.as_str()))
    });
    let edges = inner.chain(reserved).map(|(from, to)| format!("{from} must not depend on {to}"));
    strangers.chain(edges).collect()
}

#[test]
fn the_workspace_has_no_other_edges() {
    let packages = packages();
    let members = packages.iter().map(|package| package.name.to_string()).collect();
    let found = forbidden(&members, &edges(&packages));
    expect_nothing(&found, "the architecture allows these dependencies only: see ALLOWED");
    // And it is this workspace that was looked at.
    assert_eq!(members, ALLOWED.map(|(name, _)| name.to_owned()).into());
    assert!(edges(&packages).contains(&("tachograph-adapters".to_owned(), "tachograph-engine".to_owned())));
}

#[test]
fn a_forbidden_edge_is_found() {
    let members: BTreeSet<String> = ALLOWED.map(|(name, _)| name.to_owned()).into();
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    for (from, to) in [
        ("tachograph-engine", "tachograph-adapters"),
        ("tachograph-engine", "tachograph-tests"),
        ("tachograph-projections", "tachograph-adapters"),
        ("tachograph-adapters", "tachograph-projections"),
        ("tachograph-replay", "tachograph"),
        ("tachograph", "tachograph-replay"),
        ("tachograph-adapters", "bincode"),
        ("tachograph-projections", "sled"),
        ("tachograph-engine", "clap"),
    ] {
        let found = forbidden(&members, &[edge(from, to), edge("tachograph-replay", "tachograph-engine")]);
        assert_eq!(found, [format!("{from} must not depend on {to}")]);
    }
    let mut more = members.clone();
    more.insert("tachograph-extra".to_owned());
    assert_eq!(forbidden(&more, &[]), ["tachograph-extra has no place in the architecture"]);
    assert_eq!(
        forbidden(&members, &[edge("tachograph-tests", "tachograph"), edge("tachograph-benches", "sled")]),
        [""; 0]
    );
}
