//! Tachograph.
