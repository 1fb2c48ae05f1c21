//! The runner of real processes.
