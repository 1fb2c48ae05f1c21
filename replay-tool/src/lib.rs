//! The library that the `tacho` command line stands on.
