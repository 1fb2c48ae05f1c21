//! How a freezer goes about it.

/// How a freezer goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezerOptions {
    /// How long may pass until everything stands still, in milliseconds.
    pub limit_ms: u64,
    /// Whether control groups are used.
    pub cgroup: CgroupUse,
}

impl Default for FreezerOptions {
    fn default() -> Self {
        Self { limit_ms: 5_000, cgroup: CgroupUse::Auto }
    }
}

/// Whether a freezer uses control groups (version 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupUse {
    /// Where all processes of an attempt are in one control group and this process may make another below that.
    /// Everywhere else they are stopped by signals.
    #[default]
    Auto,
    /// Never: always by signals.
    Off,
}
