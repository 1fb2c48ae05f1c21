//! Checkpoints as plain checksummed files.
