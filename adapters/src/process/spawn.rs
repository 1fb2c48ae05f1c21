//! Making the child.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use tachograph_engine::domain::{AttemptId, Ordinal, RunId};
use tokio::net::unix::pipe::Receiver;

use super::child::Child;
use super::directory::AttemptDirectory;
use super::inherited::{Changes, Inherited, entry};
use super::launch::CommandLine;

/// Environment variable that names the run to its processes.
pub const RUN_VARIABLE: &str = "TACHO_RUN_ID";
/// Environment variable that names the attempt to its processes.
pub const ATTEMPT_VARIABLE: &str = "TACHO_ATTEMPT_ID";
/// Environment variable that tells the attempt's number within the run to its processes: 1, 2, 3…
pub const ORDINAL_VARIABLE: &str = "TACHO_ATTEMPT";
/// Environment variable that names the attempt's directory to its processes.
pub const DIRECTORY_VARIABLE: &str = "TACHO_RUN_DIR";

/// Environment variable that names the run's control socket to its processes; absent if there is none.
pub const CONTROL_VARIABLE: &str = "TACHO_CONTROL";

/// What is set for the processes of one attempt; without a value, what they must not find.
pub(super) type OwnVariables = [(&'static str, Option<OsString>); 5];

/// A child with the reading ends of its output.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) pid: u32,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
}

/// Spawns the command as the leader of its own process group. If that fails, nothing was executed, and no child and no
/// zombie is left, so that it may be tried again. Needs a Tokio runtime with IO and time enabled.
pub(super) fn spawn(line: &CommandLine, inherited: &Inherited, own: &OwnVariables) -> io::Result<Spawned> {
    let (stdout, to_stdout) = pipe()?;
    let (stderr, to_stderr) = pipe()?;
    let pid = match spawn_directly(line, inherited, own, [to_stdout.as_fd(), to_stderr.as_fd()])? {
        Some(pid) => {
            // As the library does it: that leaves room for the descriptors that are needed next.
            drop((to_stdout, to_stderr));
            pid
        }
        None => spawn_by_library(line, inherited, own, [to_stdout, to_stderr])?,
    };
    Ok(Spawned { child: Child::of(pid), pid: pid.as_raw_nonzero().get().unsigned_abs(), stdout, stderr })
}

/// The reading end is for the runtime, which never waits in a call; the other one is for the child, which may.
pub(super) fn pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&reading, OFlags::NONBLOCK)?;
    Ok((Receiver::from_owned_fd_unchecked(reading)?, writing))
}

/// As the standard library does it, but without a copy of the whole environment for each child: most of what a spawn costs
/// here. Absent for what the system's own call cannot do: another directory, and a program that is to be looked for in
/// another `PATH` than this process's.
fn spawn_directly(
    line: &CommandLine,
    inherited: &Inherited,
    own: &OwnVariables,
    [stdout, stderr]: [BorrowedFd<'_>; 2],
) -> io::Result<Option<Pid>> {
    let (Some(program), false) = (line.argv.first(), line.cwd.is_some() || has_own_path(line)) else { return Ok(None) };
    let null = if line.inherit_stdin { None } else { Some(File::open("/dev/null")?) };
    let ends = [null.as_ref().map(AsFd::as_fd), Some(stdout), Some(stderr)];
    // Where this process has closed one of the first three itself, putting one in its place could replace another.
    if ends.iter().flatten().any(|end| end.as_raw_fd() < 3) {
        return Ok(None);
    }
    let mut actions = PosixSpawnFileActions::init()?;
    for (number, end) in (0..).zip(ends) {
        end.map_or(Ok(()), |end| actions.add_dup2(end.as_raw_fd(), number))?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETPGROUP | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    attributes.set_sigdefault(inherited.defaults())?;
    let arguments = line.argv.iter().map(|argument| CString::new(argument.as_bytes()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let set = changes(line, own).into_iter().map(|(name, value)| {
        let entry = value.map(|value| entry(name, value)).transpose()?;
        Ok((name, entry))
    });
    let set = set.collect::<io::Result<BTreeMap<_, _>>>()?;
    let environment = inherited.entries(line, &set);
    let program = CString::new(program.as_bytes())?;
    let pid = posix_spawnp(&program, &actions, &attributes, &arguments, &environment)?;
    Ok(Pid::from_raw(pid.as_raw()))
}

/// Whether the program's name is to be looked for where this process would not look.
fn has_own_path(line: &CommandLine) -> bool {
    let is_name = line.argv.first().is_some_and(|program| !program.as_bytes().contains(&b'/'));
    is_name && (line.env_clear || line.env.iter().any(|(name, _)| name == "PATH"))
}

/// Finds the same environment, so that it does not depend on the way what a command inherits.
fn spawn_by_library(
    line: &CommandLine,
    inherited: &Inherited,
    own: &OwnVariables,
    output: [OwnedFd; 2],
) -> io::Result<Pid> {
    let no_program = || io::Error::new(io::ErrorKind::InvalidInput, "the command names no program");
    let (program, arguments) = line.argv.split_first().ok_or_else(no_program)?;
    let mut command = Command::new(program);
    let [stdout, stderr] = output.map(Stdio::from);
    command
        .args(arguments)
        .stdin(if line.inherit_stdin { Stdio::inherit() } else { Stdio::null() })
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    let changes = changes(line, own);
    let mut found: BTreeMap<_, _> = inherited.with(line, &changes).into_iter().collect();
    // What is the same is not touched: the library copies a process that has another `PATH` for its child.
    for (name, value) in std::env::vars_os() {
        match found.remove(&*name) {
            Some(same) if *same == *value => {}
            Some(other) => drop(command.env(name, other)),
            None => drop(command.env_remove(name)),
        }
    }
    command.envs(found);
    if let Some(cwd) = &line.cwd {
        command.current_dir(cwd);
    }
    let child = command.spawn()?;
    let no_pid = || io::Error::other("the child came without a pid");
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(no_pid)
}

/// What a command line finds beside, or instead of, what it inherits.
pub(super) fn changes<'env>(line: &'env CommandLine, own: &'env OwnVariables) -> Changes<'env> {
    let asked = line.env.iter().map(|(name, value)| (&**name, Some(&**value)));
    asked.chain(own.iter().map(|(name, value)| (OsStr::new(*name), value.as_deref()))).collect()
}

/// What every process of an attempt finds in its environment.
pub(super) fn variables(
    run: RunId,
    (attempt, ordinal): (AttemptId, Ordinal),
    directory: &AttemptDirectory,
    control: Option<&Path>,
) -> OwnVariables {
    [
        (RUN_VARIABLE, Some(run.to_string().into())),
        (ATTEMPT_VARIABLE, Some(attempt.to_string().into())),
        (ORDINAL_VARIABLE, Some(ordinal.to_string().into())),
        (DIRECTORY_VARIABLE, Some(absolute(directory.path()))),
        // One that was inherited would be that of another run.
        (CONTROL_VARIABLE, control.map(absolute)),
    ]
}

/// The child may run in another directory, so a relative path would mislead it.
fn absolute(path: &Path) -> OsString {
    if path.is_absolute() {
        return path.into();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string()
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;
    use tokio::io::AsyncReadExt;

    use super::*;

    const WITHHELD: &str = "WITHHELD";

    fn line(argv: &[&str], env: &[(&str, &str)]) -> CommandLine {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let argv = argv.iter().map(OsString::from).collect();
        CommandLine { argv, cwd: None, env, env_clear: false, inherit_stdin: false, container: None }
    }

    fn own() -> OwnVariables {
        let directory = AttemptDirectory::of(Path::new("/data/runs"), ids::run(1), Ordinal(1));
        let mut own = variables(ids::run(1), (ids::attempt(1), Ordinal(1)), &directory, None);
        own[4].0 = WITHHELD;
        own
    }

    async fn said(mut child: Child, mut stdout: Receiver) -> String {
        let mut said = String::new();
        stdout.read_to_string(&mut said).await.unwrap();
        assert!(child.wait().await.unwrap().success(), "{said}");
        said
    }

    #[tokio::test]
    async fn a_child_finds_the_same_whichever_way_it_is_spawned() {
        let inherited = [("INHERITED", "1"), ("HOME", "/elsewhere"), (WITHHELD, "1")];
        let inherited = inherited.map(|(name, value)| (name.into(), value.into())).into_iter();
        let path = std::env::var_os("PATH").map(|path| ("PATH".into(), path));
        let inherited = Inherited::of(inherited.chain(path));
        let seen = "env -u _ | sort; grep -E 'Sig(Blk|Ign)' /proc/self/status; readlink /proc/self/fd/0; \
                    test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ && echo leads; echo error >&2";
        let line = line(&["sh", "-c", seen, "tacho-test"], &[("B", "2"), ("A", "1"), ("HOME", "/nowhere")]);
        let mut found = Vec::new();
        for directly in [true, false] {
            let ((stdout, to_stdout), (mut stderr, to_stderr)) = (pipe().unwrap(), pipe().unwrap());
            let pid = if directly {
                let ends = [to_stdout.as_fd(), to_stderr.as_fd()];
                let pid = spawn_directly(&line, &inherited, &own(), ends).unwrap().unwrap();
                drop((to_stdout, to_stderr));
                pid
            } else {
                spawn_by_library(&line, &inherited, &own(), [to_stdout, to_stderr]).unwrap()
            };
            found.push(said(Child::of(pid), stdout).await);
            let mut error = String::new();
            stderr.read_to_string(&mut error).await.unwrap();
            assert_eq!(error, "error\n");
        }
        let [directly, by_library] = &found[..] else { panic!("two") };
        assert!(directly == by_library, "they find something else");
        let there = ["A=1\n", "HOME=/nowhere\n", "TACHO_RUN_ID=", "INHERITED=1\n", "/dev/null\n", "leads\n"];
        assert_eq!(there.iter().filter(|there| !directly.contains(**there)).collect::<Vec<_>>(), [&""; 0]);
        assert!(!directly.contains(WITHHELD), "it was withheld");
        // What the shell itself sets, and what was set for it here. This process has more as a rule.
        let known = ["A", "B", "HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
        let others = std::env::vars().filter(|(name, _)| !known.contains(&&**name) && !name.starts_with("TACHO_"));
        let anew: Vec<_> =
            others.map(|(name, _)| format!("\n{name}=")).filter(|name| directly.contains(&**name)).collect();
        assert_eq!(anew, [""; 0], "they were read anew");
    }

    #[tokio::test]
    async fn a_program_is_looked_for_in_the_path_that_was_set_for_it() {
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/echo", data.path().join("only-here")).unwrap();
        let path = data.path().to_str().unwrap();
        let found = line(&["only-here", "found"], &[("PATH", path)]);
        let Spawned { child, stdout, .. } = spawn(&found, &Inherited::read(), &own()).unwrap();
        assert_eq!(said(child, stdout).await, "found\n");
        let missing = spawn(&line(&["only-here"], &[]), &Inherited::read(), &own()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let there = CommandLine { cwd: Some(data.path().to_owned()), ..line(&["pwd"], &[]) };
        let Spawned { child, stdout, .. } = spawn(&there, &Inherited::read(), &own()).unwrap();
        assert_eq!(
            Path::new(said(child, stdout).await.trim_end()).canonicalize().unwrap(),
            data.path().canonicalize().unwrap()
        );
    }
}
