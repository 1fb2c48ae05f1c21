//! The system clock, a manual clock, and ids.
