//! Links the shim of the benchmarks as the one that is installed.

#[path = "../adapters/build/linked_in.rs"]
mod linked_in;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=../adapters/build/linked_in.rs");
    linked_in::link("bench-shim")
}
