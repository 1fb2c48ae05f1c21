//! Control groups of version 2, as far as freezing needs them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Where the hierarchy of version 2 is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    mount: PathBuf,
    /// Which part of the hierarchy the mount shows.
    root: PathBuf,
}

impl Hierarchy {
    /// Finds it, wherever it is mounted: beside those of version 1, too.
    pub(super) fn find() -> Option<Self> {
        Self::parse(&std::fs::read("/proc/self/mountinfo").ok()?)
    }

    fn parse(mountinfo: &[u8]) -> Option<Self> {
        mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let separator = fields.iter().position(|field| *field == b"-")?;
            (*fields.get(separator + 1)? == b"cgroup2").then_some(())?;
            Some(Self { mount: unescaped(fields.get(4)?), root: unescaped(fields.get(3)?) })
        })
    }

    /// The directory of the control group that a process is in; absent if it is not shown here.
    pub(super) fn of_process(&self, pid: u32) -> Option<PathBuf> {
        self.parse_process(&std::fs::read(format!("/proc/{pid}/cgroup")).ok()?)
    }

    fn parse_process(&self, cgroups: &[u8]) -> Option<PathBuf> {
        let path = cgroups.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
        let below = path.strip_prefix(&self.root).ok()?;
        // Outside of this process's namespace a path climbs, and what was removed meanwhile says so.
        let plain = below.components().all(|component| matches!(component, Component::Normal(_)));
        (plain && !path.to_string_lossy().ends_with(" (deleted)")).then(|| self.mount.join(below))
    }

    /// Whether a path is a control group of this hierarchy, by its name alone.
    pub(super) fn contains(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.mount) else { return false };
        below.components().all(|component| matches!(component, Component::Normal(_)))
    }
}

/// Blanks and the like are written as `\040` there.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// One control group, by its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) path: PathBuf,
}

impl Cgroup {
    pub(super) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes it. That it is there is no error.
    pub(super) fn create(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Removes it, which the kernel allows only if nobody is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The processes in it.
    pub(super) fn processes(&self) -> io::Result<Vec<u32>> {
        let text = std::fs::read_to_string(self.path.join("cgroup.procs"))?;
        // What is not in this process's namespace of pids is shown as 0.
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect())
    }

    /// Moves a process here, with all of its threads. That it has ended is no error.
    pub(super) fn take_in(&self, pid: u32) -> io::Result<()> {
        match self.write("cgroup.procs", &pid.to_string()) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
            other => other,
        }
    }

    pub(super) fn freeze(&self) -> io::Result<()> {
        self.write("cgroup.freeze", "1")
    }

    pub(super) fn thaw(&self) -> io::Result<()> {
        self.write("cgroup.freeze", "0")
    }

    /// Whether the kernel says that every thread in it stands still.
    pub(super) fn is_frozen(&self) -> io::Result<bool> {
        let events = std::fs::read_to_string(self.path.join("cgroup.events"))?;
        Ok(events.lines().any(|line| line == "frozen 1"))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path.join(file))?.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/my\\040unified rw,relatime shared:10 master:2 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_hierarchy_is_found_beside_those_of_version_1() {
        let found = Hierarchy::parse(HYBRID).unwrap();
        assert_eq!(found, Hierarchy { mount: "/sys/fs/cgroup/my unified".into(), root: "/".into() });
        assert_eq!(Hierarchy::parse(b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\n"), None);
    }

    #[test]
    fn a_process_is_where_its_line_without_controllers_says() {
        let whole = Hierarchy { mount: "/c".into(), root: "/".into() };
        assert_eq!(whole.parse_process(b"4:memory:/m\n0::/a/b\n"), Some("/c/a/b".into()));
        assert_eq!(whole.parse_process(b"0::/\n"), Some("/c".into()));
        assert_eq!(whole.parse_process(b"4:memory:/m\n"), None);
        assert_eq!(whole.parse_process(b"0::/../elsewhere\n"), None);
        assert_eq!(whole.parse_process(b"0::/a (deleted)\n"), None);
        let part = Hierarchy { mount: "/c".into(), root: "/pod".into() };
        assert_eq!(part.parse_process(b"0::/pod/a\n"), Some("/c/a".into()));
        assert_eq!(part.parse_process(b"0::/other\n"), None);
    }

    #[test]
    fn a_path_that_climbs_is_none_of_its_groups() {
        let whole = Hierarchy { mount: "/c".into(), root: "/".into() };
        assert!(whole.contains(Path::new("/c/a")));
        assert!(!whole.contains(Path::new("/c/../etc")));
        assert!(!whole.contains(Path::new("/etc")));
    }
}
