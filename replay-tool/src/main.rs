//! The `tacho` command line.

fn main() {}
