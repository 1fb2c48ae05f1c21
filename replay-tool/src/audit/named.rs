//! Questions with a name: each a documented SQL text with its parameters and their defaults.

use super::parameter::Parameter;

/// A question with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedQuery {
    /// Its name.
    pub name: &'static str,
    /// Its SQL. Comments at its beginning say what it tells, and which parameters it has.
    pub sql: &'static str,
}

/// A parameter of a named question, as its comment has it: `-- :name = default, what it is`.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedParameter {
    /// Its name and default.
    pub default: Parameter,
    /// What it is.
    pub about: &'static str,
}

macro_rules! named {
    ($($name:literal),+ $(,)?) => {
        /// Every question with a name.
        pub const NAMED: &[NamedQuery] =
            &[$(NamedQuery { name: $name, sql: include_str!(concat!("queries/", $name, ".sql")) }),+];
    };
}

named!(
    "stuck",
    "refusals",
    "late-reports",
    "late-snapshots",
    "ended-snapshots",
    "failed-starts",
    "unknown-exits",
    "takeovers",
    "outages",
    "exit-codes",
);

impl NamedQuery {
    /// The question of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        NAMED.iter().find(|query| query.name == name)
    }

    /// What it tells, in one line.
    pub fn about(&self) -> &'static str {
        self.comments().next().unwrap_or_default()
    }

    /// Its parameters, in order.
    pub fn parameters(&self) -> Vec<NamedParameter> {
        let parameter = |line: &'static str| {
            let (default, about) = line.strip_prefix(':')?.split_once(',')?;
            let (name, value) = default.split_once('=')?;
            let default = format!("{}={}", name.trim(), value.trim()).parse().ok()?;
            Some(NamedParameter { default, about: about.trim() })
        };
        self.comments().filter_map(parameter).collect()
    }

    /// The lines of the comment at its beginning.
    fn comments(&self) -> impl Iterator<Item = &'static str> {
        self.sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim)
    }
}
