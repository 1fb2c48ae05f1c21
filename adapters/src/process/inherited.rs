//! What the processes of runs inherit of this process's environment.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::launch::CommandLine;

/// Environment variables in the order of their names. With a value, one that is set; without, one that is withheld.
pub(super) type Changes<'change> = BTreeMap<&'change OsStr, Option<&'change OsStr>>;

/// A variable's name and value.
pub(super) type Pair<'env> = (&'env OsStr, &'env OsStr);

/// The environment of this process, read once: copying it for every run costs more than all else that is done to spawn one.
pub(super) struct Inherited {
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
        Self::of(std::env::vars_os())
    }

    /// Of a name that comes twice the last value counts.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let sorted: BTreeMap<_, _> = variables.into_iter().collect();
        let variable = |(name, value): (OsString, OsString)| {
            // What came out of an environment has no NUL.
            let entry = entry(&name, &value).ok()?;
            Some(Variable { name, value, entry })
        };
        Self { variables: sorted.into_iter().filter_map(variable).collect() }
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
