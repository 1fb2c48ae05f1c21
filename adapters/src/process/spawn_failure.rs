//! Why a command could not be started, in words.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};
use rustix::io::Errno;
use tachograph_engine::domain::{Diagnostics, Failure, FailureKind};

use super::launch::CommandLine;
use super::text::cut;
use crate::descriptors::LIMIT_REACHED;

/// Shells and most systems look here if there is no PATH.
pub(super) const PATH_DEFAULT: &str = "/bin:/usr/bin";
/// The fact of a failed start that names the working directory, there only if that is what was wrong.
pub const DIRECTORY_FACT: &str = "working_directory";
const PROGRAM_BYTES_MAX: usize = 512;

/// The failure to record for a spawn that the operating system refused.
///
/// Its one error number covers several things, so the parts of the command line are looked at again to name the one
/// that is wrong. The world may have changed since: that is why it is the likely cause and not the kind that rests on it,
/// wherever the number alone suffices.
pub(super) fn spawn_failure(line: &CommandLine, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let program = Program::find(line);
    let directory = directory_at_fault(line, errno);
    let (kind, message, likely_cause) = match (&directory, errno) {
        (Some((_, kind, message)), _) => (kind.clone(), message.clone(), None),
        (None, Some(Errno::NOENT | Errno::NOTDIR)) => missing(&program),
        (None, Some(Errno::ACCESS | Errno::PERM)) => forbidden(&program),
        (None, Some(Errno::NOEXEC)) => {
            let cause = "it is neither a program for this machine nor a script whose first line names an interpreter";
            (FailureKind::NotExecutable, format!("{} has no executable format", program.shown), Some(cause.to_owned()))
        }
        (None, _) => (FailureKind::SpawnFailed, format!("cannot start {}: {error}", program.shown), exhausted(errno)),
    };
    let mut facts = BTreeMap::from([("os_error".to_owned(), cut(&error.to_string(), PROGRAM_BYTES_MAX).to_owned())]);
    if let Some((shown, ..)) = directory {
        facts.insert(DIRECTORY_FACT.to_owned(), shown);
    }
    if let Some(found) = &program.found {
        facts.insert("program".to_owned(), cut(&found.to_string_lossy(), PROGRAM_BYTES_MAX).to_owned());
    }
    Failure { kind, message, diagnostics: Diagnostics { likely_cause, facts, ..Diagnostics::default() } }
}

type Explained = (FailureKind, String, Option<String>);

/// The working directory, if that is what is wrong.
fn directory_at_fault(line: &CommandLine, errno: Option<Errno>) -> Option<(String, FailureKind, String)> {
    let cwd = line.cwd.as_ref()?;
    let shown = cut(&cwd.to_string_lossy(), PROGRAM_BYTES_MAX).to_owned();
    let (kind, what) = match (errno?, cwd.metadata()) {
        (Errno::NOENT | Errno::NOTDIR, Err(error)) => (FailureKind::NotFound, format!("is missing: {error}")),
        (Errno::NOENT | Errno::NOTDIR, Ok(metadata)) if !metadata.is_dir() => {
            (FailureKind::NotFound, "is no directory".to_owned())
        }
        (Errno::ACCESS | Errno::PERM, _) if access(cwd, Access::EXEC_OK) == Err(Errno::ACCESS) => {
            (FailureKind::NotExecutable, "may not be entered".to_owned())
        }
        _ => return None,
    };
    let message = format!("working directory {shown:?} {what}");
    Some((shown, kind, message))
}

fn missing(program: &Program) -> Explained {
    if let Some(interpreter) = program.found.as_deref().and_then(interpreter) {
        let message = format!("the interpreter {interpreter:?} of {} is missing", program.shown);
        return (FailureKind::NotFound, message, None);
    }
    let cause = if program.found.is_some() {
        Some("it exists, but its dynamic loader does not, or it was there too late".to_owned())
    } else if program.is_path {
        None
    } else {
        Some("no directory of PATH has it".to_owned())
    };
    (FailureKind::NotFound, format!("program {} is missing", program.shown), cause)
}

fn forbidden(program: &Program) -> Explained {
    let cause = match program.found.as_deref().map(Path::metadata) {
        Some(Ok(metadata)) if metadata.is_dir() => Some("it is a directory"),
        Some(Ok(metadata)) if metadata.permissions().mode() & 0o111 == 0 => {
            Some("it lacks the permission to be executed: chmod +x")
        }
        Some(Ok(_)) => Some("its interpreter may not be executed, or its file system forbids execution"),
        Some(Err(_)) | None => Some("a directory on its path may not be entered"),
    };
    let message = format!("program {} may not be executed", program.shown);
    (FailureKind::NotExecutable, message, cause.map(str::to_owned))
}

/// The failure to record for a start for which there was no thread.
pub(super) fn without_thread(error: &io::Error) -> Failure {
    let message = format!("there is no thread to start it on: {error}");
    let diagnostics = Diagnostics { likely_cause: exhausted(Some(Errno::AGAIN)), ..Diagnostics::default() };
    Failure { kind: FailureKind::SpawnFailed, message, diagnostics }
}

pub(super) fn exhausted(errno: Option<Errno>) -> Option<String> {
    let cause = match errno? {
        Errno::TOOBIG => "arguments and environment together are too long",
        Errno::AGAIN => "a limit on processes and threads is reached: `ulimit -u`, or pids.max of the control group",
        Errno::NOMEM => "memory is short",
        Errno::MFILE | Errno::NFILE => LIMIT_REACHED,
        Errno::TXTBSY => "the program is being written at this moment",
        _ => return None,
    };
    Some(cause.to_owned())
}

/// The program of a command line, found the way that the operating system looks for it.
struct Program {
    shown: String,
    is_path: bool,
    found: Option<PathBuf>,
}

impl Program {
    fn find(line: &CommandLine) -> Self {
        let name = line.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
        let is_path = name.as_bytes().contains(&b'/');
        let base = line.cwd.clone().unwrap_or_default();
        let found = if is_path {
            Some(base.join(name)).filter(|path| path.exists())
        } else {
            let path = search_path(line);
            // Like the system's own search: a file that may be executed, else any file of that name.
            let all = || std::env::split_paths(&path).map(|directory| base.join(directory).join(name));
            let executable =
                |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
            all().find(executable).or_else(|| all().find(|path| path.exists()))
        };
        Self { shown: format!("{:?}", cut(&name.to_string_lossy(), PROGRAM_BYTES_MAX)), is_path, found }
    }
}

fn search_path(line: &CommandLine) -> OsString {
    let given = line.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let inherited = || if line.env_clear { None } else { std::env::var_os("PATH") };
    given.or_else(inherited).unwrap_or_else(|| PATH_DEFAULT.into())
}

/// The interpreter that a script's first line names, if it does not exist.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut first = Vec::new();
    // Whatever it is by now, opening it does not wait.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(program).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    BufReader::new(io::Read::take(file, 256)).read_until(b'\n', &mut first).ok()?;
    let words = first.strip_prefix(b"#!")?;
    let word = words.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    let interpreter = PathBuf::from(OsStr::from_bytes(word));
    (!interpreter.exists()).then_some(interpreter)
}
