//! Making a shim, as a child of this process.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Pid;
use tokio::net::unix::pipe::Receiver;

use super::child::Child;
use super::inherited::Inherited;
use super::spawn::pipe;

/// The first descriptor that is no standard stream.
const FIRST_BEYOND: i32 = 3;

/// A shim with the reading end of its notices.
#[derive(Debug)]
pub(super) struct SpawnedShim {
    pub(super) child: Child,
    pub(super) notices: Receiver,
}

/// Spawns a shim, which reads from the first of these what to do; the other one is for the run. It has no environment, and no
/// signal is blocked in it. If that fails, nothing was executed and no child is left, so that it may be tried again. Needs
/// a Tokio runtime with IO and time enabled.
pub(super) fn spawn_shim(
    program: &Path,
    arguments: &[String],
    inherited: &Inherited,
    (handover, stdin): (OwnedFd, Option<OwnedFd>),
) -> io::Result<SpawnedShim> {
    let (notices, telling) = pipe()?;
    let stdin = stdin.map_or_else(|| File::open("/dev/null").map(OwnedFd::from), Ok)?;
    let ends = [handover, telling, stdin].map(beyond_standard);
    let mut actions = PosixSpawnFileActions::init()?;
    for (number, end) in (0..).zip(&ends) {
        actions.add_dup2(end.as_ref().map_err(|errno| io::Error::from(*errno))?.as_raw_fd(), number)?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(inherited.defaults())?;
    let words = arguments.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let pid = posix_spawn(program, &actions, &attributes, &words, &[] as &[&CStr])?;
    let no_pid = || io::Error::other("the shim came without a pid");
    Ok(SpawnedShim { child: Child::of(Pid::from_raw(pid.as_raw()).ok_or_else(no_pid)?), notices })
}

/// Where this process has closed one of the first three itself, putting one in its place could replace another.
fn beyond_standard(end: OwnedFd) -> Result<OwnedFd, rustix::io::Errno> {
    if end.as_raw_fd() < FIRST_BEYOND { fcntl_dupfd_cloexec(end, FIRST_BEYOND) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// What a shell finds in the place of a shim.
    async fn found(inherited: &Inherited) -> String {
        let seen = "cat; echo; grep -E 'Sig(Blk|Ign)' /proc/self/status; readlink /proc/self/fd/0 /proc/self/fd/2; \
                    tr '\\0' '\\n' < /proc/$$/environ; echo end";
        let arguments = ["tacho-shim", "-c", seen].map(str::to_owned);
        let (taken, mut given) = io::pipe().unwrap();
        given.write_all(b"what to do").unwrap();
        drop(given);
        let shim = spawn_shim(Path::new("/bin/sh"), &arguments, inherited, (taken.into(), None)).unwrap();
        let SpawnedShim { mut child, mut notices } = shim;
        let mut said = String::new();
        notices.read_to_string(&mut said).await.unwrap();
        assert!(child.wait().await.unwrap().success(), "{said}");
        said
    }

    /// Begins anew in a process that ignores two signals, HUP and TTOU: no safe call ignores one here. Those that a shell has
    /// what runs in its background ignore are not among them.
    #[test]
    fn a_shim_finds_what_it_is_handed_and_ignores_what_its_supervisor_ignored() {
        const ALONE: &str = "TACHO_TEST_ALONE";
        const IGNORES: &str = "trap '' HUP TTOU; exec env --default-signal=INT,QUIT \"$0\" --exact \"$1\"";
        let this = "process::shim_spawn::tests::a_shim_finds_what_it_is_handed_and_ignores_what_its_supervisor_ignored";
        if std::env::var_os(ALONE).is_none() {
            let tests = std::env::current_exe().unwrap();
            let mut alone = Command::new("sh");
            alone.args(["-c", IGNORES]).arg(tests).arg(this).env(ALONE, "1");
            let alone = alone.output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(found(&Inherited::read()));
        let (handed, rest) = said.split_once('\n').unwrap();
        let (status, rest) = rest.split_once("pipe:[").unwrap();
        assert_eq!(handed, "what to do");
        let masks: Vec<_> = status.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let masks: Vec<_> = masks.iter().map(|mask| u64::from_str_radix(mask, 16).unwrap()).collect();
        // Those with names: the C library ignores two others, for itself.
        let named = |mask: u64| mask & ((1 << 31) - 1);
        assert_eq!(masks.into_iter().map(named).collect::<Vec<_>>(), [0, 1 | 1 << 21], "blocked and ignored");
        // A shell sets a few for itself, but finds none.
        assert_eq!(rest.split_once("]\n").unwrap().1, "/dev/null\nend\n");
    }
}
