//! What a shim is told to do.

use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{AttemptId, Digest, Ordinal, ResourceLimits, RunId, RunnerId};

use super::super::identity::ProcessIdentity;
use super::super::launch::CommandLine;
use super::super::options::RunnerOptions;
use super::SHIM;
use super::build::OWN_BUILD;
use super::handover::{LENGTH_BYTES, invalid, read_block, write_block, write_length};
use crate::oci::Runtime;

/// Begins what is handed over, with the version of its form.
const MAGIC: &[u8; 8] = b"tachosh2";
/// What a list of processes shows, whatever program lends itself.
const NAME: &str = "tacho-shim";
/// The former and the length of all that follows.
const HEAD_BYTES: usize = MAGIC.len() + LENGTH_BYTES;
/// Enough for most that is handed over.
const FIRST_BYTES: usize = 8 * 1_024 - HEAD_BYTES;
const HEADER_BYTES_MAX: usize = 64 * 1_024;
const PATH_BYTES_MAX: usize = 16 * 1_024;
/// More than a kernel takes for arguments and environment.
const COMMAND_BYTES_MAX: usize = 64 * 1_024 * 1_024;

const MESSAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + 2 * HEADER_BYTES_MAX + PATH_BYTES_MAX;

/// One attempt as a shim is told to look after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The run.
    pub run: RunId,
    /// The attempt; it is open in the journal already.
    pub attempt: AttemptId,
    /// Its number within the run.
    pub ordinal: Ordinal,
    /// Who holds it.
    pub runner: RunnerId,
    /// The process that starts the shim.
    pub supervisor: ProcessIdentity,
    /// BLAKE3 over the arguments, each followed by a NUL.
    pub argv_digest: Digest,
    /// The directory that all runs are below; absolute. The attempt's own directory exists already.
    pub runs_dir: PathBuf,
    /// Of these `wall_ms` and `output_bytes` are enforced.
    pub limits: ResourceLimits,
    /// How it is treated; `report_socket` and `live_max` are not handed over.
    pub options: RunnerOptions,
    /// Whether its standard input is what the shim was given as standard error; it has none otherwise.
    pub has_stdin: bool,
    /// What its supervisor told it about snapshots, for the identity: the shim takes none.
    pub snapshot_delay_ms: Option<u64>,
    /// The runtime whose container the attempt is: the shim makes it, and the container is named on disk already. Absent
    /// for a command of this host. What is handed over with it is the environment of the runtime then.
    pub container: Option<Runtime>,
}

impl Assignment {
    /// The command that starts the shim, out of a program that calls [`dispatch`](super::dispatch). Its standard input
    /// takes the [handover](Self::hand_over), its standard output gives [notices](super::Notices).
    ///
    /// The shim runs without any environment, so that nothing of the run's reaches it. `stdin` becomes the standard
    /// input of the run.
    pub fn command(&self, program: &Path, stdin: Option<Stdio>) -> Command {
        let mut command = Command::new(program);
        let [name, words @ ..] = self.arguments();
        command.arg0(name).args(words);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stdin.unwrap_or_else(Stdio::null));
        command
    }

    /// The shim's command line, its name included. The ids are for people who look at a list of processes; the handover is
    /// what counts.
    pub(in super::super) fn arguments(&self) -> [String; 5] {
        let [run, attempt, supervisor] =
            [self.run.to_string(), self.attempt.to_string(), self.supervisor.pid.to_string()];
        [NAME.to_owned(), SHIM.to_owned(), run, attempt, supervisor]
    }

    /// Tells a shim what to do and what to execute. Waits until it has read that.
    ///
    /// # Errors
    ///
    /// If the shim is gone. It has executed nothing then.
    pub fn hand_over(&self, command: &CommandBlock, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.handover(command)?)
    }

    /// All that a shim is told.
    pub(in super::super) fn handover(&self, command: &CommandBlock) -> io::Result<Vec<u8>> {
        let header = serde_json::to_vec(&Header::of(self)).map_err(io::Error::other)?;
        let blocks = [OWN_BUILD.as_bytes(), &header, self.runs_dir.as_os_str().as_bytes(), &command.0];
        let bytes = blocks.iter().map(|block| LENGTH_BYTES + block.len()).sum::<usize>();
        let mut message = Vec::with_capacity(HEAD_BYTES + bytes);
        message.extend_from_slice(MAGIC);
        write_length(&mut message, bytes)?;
        blocks.iter().try_for_each(|block| write_block(&mut message, block))?;
        Ok(message)
    }

    /// Reads what was handed over.
    pub(super) fn take_over(from: &mut impl Read) -> io::Result<(Self, CommandBlock)> {
        let message = read_message(from)?;
        let from = &mut &message[HEAD_BYTES..];
        let build = read_block(from, HEADER_BYTES_MAX)?;
        if build != OWN_BUILD.as_bytes() {
            let build = String::from_utf8_lossy(build);
            let why = format!("supervisor and shim are of different versions: {build} and {OWN_BUILD}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let header: Header = serde_json::from_slice(read_block(from, HEADER_BYTES_MAX)?).map_err(io::Error::other)?;
        let runs_dir = PathBuf::from(OsStr::from_bytes(read_block(from, PATH_BYTES_MAX)?));
        let assignment = header.into_assignment(runs_dir).ok_or_else(|| invalid("the header names no attempt"))?;
        Ok((assignment, CommandBlock(read_block(from, COMMAND_BYTES_MAX)?.to_vec())))
    }
}

/// Reads all that was handed over, in as few pieces as the pipe gives it. It begins behind the head.
fn read_message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut message, mut filled) = (vec![0; HEAD_BYTES + FIRST_BYTES], 0);
    loop {
        let (head, _) = message.split_at(HEAD_BYTES);
        let (magic, length) = head.split_at(MAGIC.len());
        if filled >= HEAD_BYTES {
            if magic != MAGIC {
                return Err(invalid("supervisor and shim are of different versions"));
            }
            let length = length.try_into().map_or(u32::MAX, u32::from_le_bytes);
            let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(HEAD_BYTES);
            if whole > MESSAGE_BYTES_MAX || filled > whole {
                return Err(invalid("what is handed over is longer than allowed"));
            }
            if filled == whole {
                message.truncate(whole);
                return Ok(message);
            }
            message.resize(whole.max(message.len()), 0);
        }
        match from.read(&mut message[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    run: String,
    attempt: String,
    ordinal: u32,
    runner: String,
    supervisor: ProcessIdentity,
    argv_blake3: String,
    wall_ms: Option<u64>,
    output_bytes: Option<u64>,
    drain_deadline_ms: u64,
    grace_ms: u64,
    kill_lingering: bool,
    sync_output: bool,
    has_stdin: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot_delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<ContainerHeader>,
}

#[derive(Serialize, Deserialize)]
struct ContainerHeader {
    runtime: PathBuf,
    root: PathBuf,
}

impl Header {
    fn of(assignment: &Assignment) -> Self {
        Self {
            run: assignment.run.to_string(),
            attempt: assignment.attempt.to_string(),
            ordinal: assignment.ordinal.0,
            runner: assignment.runner.to_string(),
            supervisor: assignment.supervisor.clone(),
            argv_blake3: assignment.argv_digest.to_string(),
            wall_ms: assignment.limits.wall_ms,
            output_bytes: assignment.limits.output_bytes,
            drain_deadline_ms: assignment.options.drain_deadline_ms,
            grace_ms: assignment.options.grace_ms,
            kill_lingering: assignment.options.kill_lingering,
            sync_output: assignment.options.sync_output,
            has_stdin: assignment.has_stdin,
            snapshot_delay_ms: assignment.snapshot_delay_ms,
            container: assignment.container.as_ref().map(|runtime| ContainerHeader {
                runtime: runtime.program().to_owned(),
                root: runtime.root().to_owned(),
            }),
        }
    }

    fn into_assignment(self, runs_dir: PathBuf) -> Option<Assignment> {
        Some(Assignment {
            run: self.run.parse().ok()?,
            attempt: self.attempt.parse().ok()?,
            ordinal: Ordinal(self.ordinal),
            runner: RunnerId::new(self.runner),
            supervisor: self.supervisor,
            argv_digest: Digest(*blake3::Hash::from_hex(&self.argv_blake3).ok()?.as_bytes()),
            runs_dir,
            limits: ResourceLimits { wall_ms: self.wall_ms, memory_bytes: None, output_bytes: self.output_bytes },
            options: RunnerOptions {
                drain_deadline_ms: self.drain_deadline_ms,
                grace_ms: self.grace_ms,
                kill_lingering: self.kill_lingering,
                sync_output: self.sync_output,
                // Notices of the run's own processes are the supervisor's affair.
                report_socket: false,
                ..RunnerOptions::default()
            },
            has_stdin: self.has_stdin,
            snapshot_delay_ms: self.snapshot_delay_ms,
            container: self.container.map(|container| Runtime::known(container.runtime, container.root)),
        })
    }
}

/// The run and attempt of the shim that has this command line, as `/proc` shows it; absent if it is no shim's. What the
/// command line says is no proof of what the process was told.
pub fn run_of_shim(cmdline: &[u8]) -> Option<(RunId, AttemptId)> {
    let mut words = cmdline.split(|byte| *byte == 0).skip(1);
    let word = |word: Option<&[u8]>| std::str::from_utf8(word?).ok().map(str::to_owned);
    if word(words.next())? != SHIM {
        return None;
    }
    Some((word(words.next())?.parse().ok()?, word(words.next())?.parse().ok()?))
}

/// The pid of whoever started the shim that has this command line; absent if it does not say.
pub(in super::super) fn supervisor_of_shim(cmdline: &[u8]) -> Option<u32> {
    run_of_shim(cmdline)?;
    std::str::from_utf8(cmdline.split(|byte| *byte == 0).nth(4)?).ok()?.parse().ok()
}

/// What is to be executed: arguments, working directory and the whole environment, as bytes that a shim passes on to
/// its gate without a look at them.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandBlock(pub(super) Vec<u8>);

impl CommandBlock {
    /// Arguments, the program first; where to run it, if not in the supervisor's own directory; the complete
    /// environment.
    ///
    /// # Errors
    ///
    /// If any of them is longer than 4 GiB.
    pub fn new<'a>(
        argv: &[OsString],
        cwd: Option<&Path>,
        env: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
    ) -> io::Result<Self> {
        let env: Vec<_> = env.into_iter().collect();
        let mut block = Vec::new();
        write_count(&mut block, argv.len())?;
        argv.iter().try_for_each(|argument| write_word(&mut block, &[argument.as_bytes()]))?;
        write_count(&mut block, usize::from(cwd.is_some()))?;
        cwd.map_or(Ok(()), |cwd| write_word(&mut block, &[cwd.as_os_str().as_bytes()]))?;
        write_count(&mut block, env.len())?;
        for (name, value) in env {
            write_word(&mut block, &[name.as_bytes(), b"=", value.as_bytes()])?;
        }
        Ok(Self(block))
    }

    /// The words as they are executed.
    pub(super) fn words(&self) -> io::Result<Words<'_>> {
        let mut from = &*self.0;
        let argv = read_words(&mut from)?;
        let cwd = read_words(&mut from)?.pop();
        Ok(Words { argv, cwd, env: read_words(&mut from)? })
    }

    pub(super) fn command_line(&self) -> io::Result<CommandLine> {
        let Words { argv, cwd, env } = self.words()?;
        let text = |word: &[u8]| OsStr::from_bytes(word).to_owned();
        let argv = argv.iter().map(|word| text(word.to_bytes())).collect();
        let cwd = cwd.map(|word| PathBuf::from(text(word.to_bytes())));
        let pair = |word: &&CStr| {
            let word = word.to_bytes();
            let end = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
            (text(&word[..end]), text(word.get(end + 1..).unwrap_or_default()))
        };
        let env = env.iter().map(pair).collect();
        Ok(CommandLine { argv, cwd, env, env_clear: true, inherit_stdin: false, container: None })
    }
}

/// A command line as the kernel takes it: arguments, working directory, and variables with their values.
#[derive(Debug)]
pub(super) struct Words<'block> {
    pub(super) argv: Vec<&'block CStr>,
    pub(super) cwd: Option<&'block CStr>,
    pub(super) env: Vec<&'block CStr>,
}

impl std::fmt::Debug for CommandBlock {
    /// The environment may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandBlock({} bytes)", self.0.len())
    }
}

fn write_count(to: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let count = u32::try_from(count).map_err(|_| invalid("too many or too long arguments or variables"))?;
    to.write_all(&count.to_le_bytes())
}

/// Writes a text out of these parts, with the NUL that ends it for the kernel.
fn write_word(to: &mut Vec<u8>, parts: &[&[u8]]) -> io::Result<()> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
    write_count(to, length)?;
    parts.iter().for_each(|part| to.extend_from_slice(part));
    to.push(0);
    Ok(())
}

fn read_words<'block>(from: &mut &'block [u8]) -> io::Result<Vec<&'block CStr>> {
    (0..read_count(from)?).map(|_| read_word(from)).collect()
}

fn read_word<'block>(from: &mut &'block [u8]) -> io::Result<&'block CStr> {
    let length = usize::try_from(read_count(from)?).unwrap_or(usize::MAX);
    let (word, rest) = from.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    *from = rest;
    CStr::from_bytes_with_nul(word).map_err(|_| invalid("an argument or a variable has a NUL in it"))
}

fn read_count(from: &mut &[u8]) -> io::Result<u32> {
    let mut count = [0; 4];
    from.read_exact(&mut count)?;
    Ok(u32::from_le_bytes(count))
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            run: ids::run(1),
            attempt: ids::attempt(2),
            ordinal: Ordinal(3),
            runner: RunnerId::from("process/host/1/x"),
            supervisor: ProcessIdentity { pid: 4, start_ticks: 5, boot_id: "boot".to_owned() },
            argv_digest: Digest([6; 32]),
            runs_dir: PathBuf::from(OsStr::from_bytes(b"/data/\xff/runs")),
            limits: ResourceLimits { wall_ms: Some(7), memory_bytes: None, output_bytes: Some(8) },
            options: RunnerOptions {
                drain_deadline_ms: 9,
                grace_ms: 10,
                kill_lingering: true,
                sync_output: true,
                report_socket: false,
                ..RunnerOptions::default()
            },
            has_stdin: true,
            snapshot_delay_ms: Some(11),
            container: Some(Runtime::known("/usr/sbin/runc".into(), "/data/oci".into())),
        }
    }

    fn block() -> CommandBlock {
        let argv = ["sh", "-c", ""].map(OsString::from);
        let env = [(OsStr::new("A"), OsStr::from_bytes(b"\xfe")), (OsStr::new("B"), OsStr::new(""))];
        CommandBlock::new(&argv, Some(Path::new("/tmp")), env).unwrap()
    }

    #[test]
    fn what_is_handed_over_arrives() {
        let mut pipe = Vec::new();
        assignment().hand_over(&block(), &mut pipe).unwrap();
        let (taken, command) = Assignment::take_over(&mut &*pipe).unwrap();
        assert_eq!((taken, &command), (assignment(), &block()));
        let line = command.command_line().unwrap();
        assert_eq!(line.argv, ["sh", "-c", ""]);
        assert_eq!(line.cwd.as_deref(), Some(Path::new("/tmp")));
        assert_eq!(line.env.len(), 2);
        assert_eq!(line.env[0].1.as_bytes(), b"\xfe");
    }

    #[test]
    fn a_shim_is_told_by_its_command_line() {
        let assignment = assignment();
        let command = assignment.command(Path::new("/usr/bin/tacho"), None);
        let mut cmdline = command.get_program().as_bytes().to_vec();
        command.get_args().for_each(|argument| cmdline.extend([b"\0", argument.as_bytes()].concat()));
        cmdline.push(0);
        assert_eq!(run_of_shim(&cmdline), Some((assignment.run, assignment.attempt)));
        assert_eq!(supervisor_of_shim(&cmdline), Some(4));
        assert_eq!(run_of_shim(b""), None);
    }

    #[test]
    fn half_of_it_is_nothing() {
        let mut pipe = Vec::new();
        assignment().hand_over(&block(), &mut pipe).unwrap();
        for end in 0..pipe.len() {
            assert!(Assignment::take_over(&mut &pipe[..end]).is_err(), "{end} of {}", pipe.len());
        }
        let command = block();
        for end in 0..command.0.len() {
            assert!(CommandBlock(command.0[..end].to_vec()).command_line().is_err(), "{end} of {}", command.0.len());
        }
        // A byte of the former, and one of the build.
        for byte in [7, HEAD_BYTES + 4] {
            let mut other = pipe.clone();
            other[byte] ^= 1;
            assert!(Assignment::take_over(&mut &*other).unwrap_err().to_string().contains("different versions"));
        }
        pipe.push(0);
        assert!(Assignment::take_over(&mut &*pipe).is_err(), "more than all");
    }
}
