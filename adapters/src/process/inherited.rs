//! What the processes of runs inherit of this process: its environment, and which signals it ignores.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::{SigSet, Signal};

use super::launch::CommandLine;

/// The signals beyond have numbers alone.
const NAMED_SIGNALS: u32 = 31;
/// Two that the C library keeps for itself. It has whatever it spawns ignore them, and whatever that executes.
const INTERNAL_SIGNALS: u64 = 0b11 << NAMED_SIGNALS;

/// Environment variables in the order of their names. With a value, one that is set; without, one that is withheld.
pub(super) type Changes<'change> = BTreeMap<&'change OsStr, Option<&'change OsStr>>;

/// A variable's name and value.
pub(super) type Pair<'env> = (&'env OsStr, &'env OsStr);

/// The environment of this process, read once: copying it for every run costs more than all else that is done to spawn one.
/// So are the signals that it ignores.
pub(super) struct Inherited {
    defaults: SigSet,
    /// In the order of their names, each of which is there once.
    variables: Vec<Variable>,
}

struct Variable {
    name: OsString,
    value: OsString,
    /// `NAME=VALUE`.
    entry: CString,
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secret.
        f.debug_list().entries(self.variables.iter().map(|variable| &variable.name)).finish()
    }
}

impl Inherited {
    /// The environment as it is now.
    pub(super) fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status");
        Self { defaults: defaults(status.ok().as_deref().and_then(ignored)), ..Self::of(std::env::vars_os()) }
    }

    /// The signals that have their default in a new process, all but those that this one ignores. One that has a handler
    /// here would have it by the exec at the latest; but the C library asks for each that is not named what it has, while
    /// this process stands still.
    pub(super) const fn defaults(&self) -> &SigSet {
        &self.defaults
    }

    /// Of a name that comes twice the last value counts.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let sorted: BTreeMap<_, _> = variables.into_iter().collect();
        let variable = |(name, value): (OsString, OsString)| {
            // What came out of an environment has no NUL.
            let entry = entry(&name, &value).ok()?;
            Some(Variable { name, value, entry })
        };
        Self { defaults: defaults(None), variables: sorted.into_iter().filter_map(variable).collect() }
    }

    /// What a command line finds in its environment, by name.
    pub(super) fn with<'env>(&'env self, line: &CommandLine, changes: &'env Changes<'env>) -> Vec<Pair<'env>> {
        self.merge(line, changes, |variable| (&*variable.name, &*variable.value), |name, value| (name, *value))
    }

    /// The same as the system takes it.
    pub(super) fn entries<'env>(
        &'env self,
        line: &CommandLine,
        changes: &'env BTreeMap<&'env OsStr, Option<CString>>,
    ) -> Vec<&'env CStr> {
        self.merge(line, changes, |variable| variable.entry.as_c_str(), |_, entry| entry.as_c_str())
    }

    /// Both are sorted, so that one walk through them is enough.
    fn merge<'env, V, T>(
        &'env self,
        line: &CommandLine,
        changes: &'env BTreeMap<&'env OsStr, Option<V>>,
        inherited: impl Fn(&'env Variable) -> T,
        set: impl Fn(&'env OsStr, &'env V) -> T,
    ) -> Vec<T> {
        let base = if line.env_clear { &[] } else { self.variables.as_slice() };
        let mut merged = Vec::with_capacity(base.len() + changes.len());
        let mut base = base.iter().peekable();
        for (name, value) in changes {
            while let Some(variable) = base.next_if(|variable| *variable.name < **name) {
                merged.push(inherited(variable));
            }
            base.next_if(|variable| *variable.name == **name);
            merged.extend(value.as_ref().map(|value| set(name, value)));
        }
        merged.extend(base.map(inherited));
        merged
    }
}

/// All that may have their default, out of a mask of those that are ignored; where that is not known, or where one is
/// among them that has no name, only the one that stands for itself: PIPE is ignored here, as by every program of this
/// language, and expected not to be by others.
fn defaults(ignored: Option<u64>) -> SigSet {
    let has_names = |mask: &u64| (mask & !INTERNAL_SIGNALS) >> NAMED_SIGNALS == 0;
    let Some(ignored) = ignored.filter(has_names) else { return SigSet::from(Signal::SIGPIPE) };
    let is_kept = |signal: &Signal| match signal {
        Signal::SIGKILL | Signal::SIGSTOP => true,
        Signal::SIGPIPE => false,
        other => ignored & (1 << (*other as u32 - 1)) != 0,
    };
    let mut defaults = SigSet::all();
    Signal::iterator().filter(is_kept).for_each(|signal| defaults.remove(signal));
    defaults
}

/// The mask of ignored signals in the text of `/proc/self/status`; absent if it does not say.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// A variable as the system takes it.
///
/// # Errors
///
/// `InvalidInput` for a NUL in it.
pub(super) fn entry(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(env_clear: bool) -> CommandLine {
        let argv = vec!["true".into()];
        CommandLine { argv, cwd: None, env: Vec::new(), env_clear, inherit_stdin: false, container: None }
    }

    fn inherited(variables: &[(&str, &str)]) -> Inherited {
        Inherited::of(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn what_is_ignored_keeps_no_default_and_what_cannot_be_told_apart_is_left_alone() {
        let status = |mask: &str| -> Vec<Signal> {
            defaults(ignored(&format!("SigBlk:\t0000000000000002\nSigIgn:\t{mask}\n"))).iter().collect()
        };
        let without = |kept: &[Signal]| -> Vec<Signal> {
            let never = [Signal::SIGKILL, Signal::SIGSTOP];
            Signal::iterator().filter(|signal| !never.contains(signal) && !kept.contains(signal)).collect()
        };
        assert_eq!(status("0000000000000000"), without(&[]));
        assert_eq!(status("0000000000001001"), without(&[Signal::SIGHUP]), "PIPE is no wish of anybody");
        assert_eq!(status("0000000180000001"), without(&[Signal::SIGHUP]), "nor are those of the library");
        assert_eq!([status("0000000200000000"), status("nonsense")], [[Signal::SIGPIPE]; 2]);
    }

    /// As `NAME=VALUE` by both ways.
    fn merged(inherited: &Inherited, line: &CommandLine, changes: &[(&str, Option<&str>)]) -> Vec<String> {
        let changes: Changes<'_> =
            changes.iter().map(|(name, value)| (OsStr::new(*name), value.map(OsStr::new))).collect();
        let pair = |(name, value): (&OsStr, &OsStr)| format!("{}={}", name.display(), value.display());
        let pairs: Vec<_> = inherited.with(line, &changes).into_iter().map(pair).collect();
        let set = changes.iter().map(|(name, value)| (*name, value.map(|value| entry(name, value).unwrap()))).collect();
        let entries = inherited.entries(line, &set);
        assert_eq!(entries.iter().map(|entry| entry.to_str().unwrap()).collect::<Vec<_>>(), pairs);
        pairs
    }

    #[test]
    fn a_run_finds_what_is_inherited_and_what_is_set_and_not_what_is_withheld() {
        let inherited = inherited(&[("C", "3"), ("A", "1"), ("E", "5"), ("A", "2"), ("EE", "6")]);
        let changes = [("B", Some("b")), ("C", Some("c")), ("D", None), ("E", None), ("F", Some("f"))];
        assert_eq!(merged(&inherited, &line(false), &[]), ["A=2", "C=3", "E=5", "EE=6"]);
        assert_eq!(merged(&inherited, &line(false), &changes), ["A=2", "B=b", "C=c", "EE=6", "F=f"]);
        assert_eq!(merged(&inherited, &line(true), &changes), ["B=b", "C=c", "F=f"]);
    }

    #[test]
    fn a_value_that_the_system_cannot_take_is_an_error() {
        assert_eq!(entry(OsStr::new("A"), OsStr::new("b\0c")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", inherited(&[("TOKEN", "secret")])), "[\"TOKEN\"]");
    }
}
