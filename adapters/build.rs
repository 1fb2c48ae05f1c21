//! Names this build, so that a program and the shim beside it can tell whether they are of the same, and links the shim
//! so that it starts fast.

#[path = "build/linked_in.rs"]
mod linked_in;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// What a supervisor and a shim have in common.
const SOURCES: [&str; 2] = ["src", "../engine/src"];

fn main() -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        hash(Path::new(source), &mut hasher)?;
    }
    println!("cargo::rustc-env=TACHOGRAPH_SOURCES={:016x}", hasher.finish());
    println!("cargo::rerun-if-changed=build");
    linked_in::link("tacho-shim")
}

fn hash(place: &Path, hasher: &mut impl Hasher) -> io::Result<()> {
    if place.is_file() {
        fs::read(place)?.hash(hasher);
    } else if place.is_dir() {
        let mut names: Vec<PathBuf> = fs::read_dir(place)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            name.hash(hasher);
            hash(&name, hasher)?;
        }
    }
    Ok(())
}
