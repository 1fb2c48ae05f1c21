//! Which build a shim is of: both must be of the same, or they would misunderstand each other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::BUILD;

/// What the program is called that is nothing but a shim.
const PROGRAM: &str = "tacho-shim";
/// The version, and what it was built from.
pub(super) const OWN_BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("TACHOGRAPH_SOURCES"));
const BUILD_BYTES_MAX: usize = 256;
/// Longer than any program takes to say it.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
const TOLD: u8 = 0;
const NOT_TOLD: u8 = 74;

/// Says which build this is.
pub(super) fn tell() -> u8 {
    match writeln!(io::stdout(), "{OWN_BUILD}").and_then(|()| io::stdout().flush()) {
        Ok(()) => TOLD,
        Err(_) => NOT_TOLD,
    }
}

/// A program `tacho-shim` of the same build as this program. It stays this very file, also if another takes its place
/// meanwhile: an upgrade does not come between a supervisor and its shims.
#[derive(Debug)]
pub struct Beside {
    file: File,
}

impl Beside {
    /// What starts it, as long as this value is there.
    pub fn program(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Looks for `tacho-shim` in the directory of this program. Starting it costs half of what starting a large program does.
/// Absent if there is none; whoever needs a shim all the same lends itself, see [`dispatch`](super::dispatch).
///
/// # Errors
///
/// In words, if there is one that cannot be used, above all because it is of another build.
pub fn beside() -> Result<Option<Beside>, String> {
    let Ok(own) = std::env::current_exe() else { return Ok(None) };
    within(own.parent().unwrap_or(Path::new("/")))
}

fn within(directory: &Path) -> Result<Option<Beside>, String> {
    let path = directory.join(PROGRAM);
    let cannot = |why: String| format!("{} cannot be used: {why}", path.display());
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| cannot(error.to_string()))?,
    };
    let found = Beside { file };
    match build_of(&found.program()) {
        Ok(build) if build == OWN_BUILD => Ok(Some(found)),
        Ok(build) => Err(cannot(format!("it is of build {build:?}, this program is of {OWN_BUILD:?}"))),
        Err(error) => Err(cannot(format!("it does not say of which build it is: {error}"))),
    }
}

fn build_of(program: &Path) -> io::Result<String> {
    let mut asked = Command::new(program);
    asked.arg(BUILD).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut asked = asked.spawn()?;
    let told = answer(&mut asked);
    // It has ended by itself, or shall not go on.
    let _ = asked.kill();
    asked.wait()?;
    told
}

fn answer(asked: &mut Child) -> io::Result<String> {
    let mut pipe = asked.stdout.take().ok_or_else(|| io::Error::other("there is no pipe"))?;
    if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&PATIENCE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // It is written at once, in one piece.
    let mut told = [0; BUILD_BYTES_MAX];
    let bytes = pipe.read(&mut told)?;
    Ok(String::from_utf8_lossy(&told[..bytes]).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(program: &str) -> Result<Option<Beside>, String> {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(program, place.path().join(PROGRAM)).unwrap();
        within(place.path())
    }

    #[test]
    fn a_shim_of_another_build_is_refused_by_name() {
        // It says what it is asked.
        let refused = with("/bin/echo").unwrap_err();
        assert!(refused.contains("build \"shim-build\"") && refused.contains(OWN_BUILD), "{refused}");
        let silent = with("/bin/true").unwrap_err();
        assert!(silent.contains("build \"\""), "{silent}");
        let broken = with("/etc/passwd").unwrap_err();
        assert!(broken.contains("does not say"), "{broken}");
        assert!(within(Path::new("/proc/self/no-such-place")).unwrap().is_none());
    }

    #[test]
    fn one_of_this_build_stays_although_another_takes_its_place() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(PROGRAM);
        std::os::unix::fs::symlink("/bin/true", &path).unwrap();
        let beside = Beside { file: File::open(&path).unwrap() };
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new(beside.program()).status().unwrap().success());
    }
}
