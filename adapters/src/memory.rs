//! A journal in memory, for tests and for embedders that want no durability.
