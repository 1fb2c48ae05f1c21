//! What can go wrong between this process and a supervisor.

use std::path::PathBuf;

use tachograph_adapters::control::{ControlError, RefusedOutcome, code};
use tachograph_engine::domain::RunId;

use crate::error::exit;
use crate::processes::Standstill;

/// The process that listens at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Its pid.
    pub pid: u32,
    /// Why it does not go on; absent if it does.
    pub standstill: Option<Standstill>,
}

/// Why a supervisor did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlProblem {
    /// The engine behind it refused; nothing changed.
    #[error("refused: {}", .0.message)]
    Refused(RefusedOutcome),
    /// It could not answer.
    #[error("{message}")]
    Failed {
        /// Stable snake_case code.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// It cannot be spoken with.
    #[error(transparent)]
    Unreachable(#[from] ControlError),
    /// It listens, and gave no response however often it was asked. What was asked for waits in its socket, or was heard:
    /// it may be carried out all the same, now or once it goes on.
    #[error(
        "{} gave no response within {waited}{}; what was asked for may still be carried out",
        socket.display(), .listener.map(stands).unwrap_or_default()
    )]
    Silent {
        /// Where it listens.
        socket: PathBuf,
        /// How long was waited in all.
        waited: String,
        /// Who it is; absent if that cannot be seen.
        listener: Option<Listener>,
    },
    /// Nobody listens where a run reports.
    #[error("nobody supervises the run: nobody listens at {}", listed(.tried))]
    NotSupervised {
        /// Where a supervisor was looked for.
        tried: Vec<PathBuf>,
    },
    /// Nobody supervises a run that shall be ended.
    #[error("nobody supervises run {run}: {what}")]
    Unsupervised {
        /// Which one.
        run: RunId,
        /// What is still alive of it, as far as that can be told.
        what: String,
    },
    /// There is nothing of a run that its supervisor could end.
    #[error("run {run} has nothing to end: {what}")]
    NotUnderWay {
        /// Which one.
        run: RunId,
        /// How it stands instead.
        what: String,
    },
    /// An attempt was asked to end, and its end is not recorded in time.
    #[error("run {run} was asked to end, and its end is not recorded after {waited}{}", stopped(*.stopped_shim))]
    NotEnded {
        /// Which one.
        run: RunId,
        /// How long was waited.
        waited: String,
        /// The pid of its shim, if somebody stopped that.
        stopped_shim: Option<u32>,
    },
    /// Somebody has the journal open and does not listen.
    #[error("{} is in use by {holder}, which does not listen at {}", data.display(), socket.display())]
    Deaf {
        /// The data directory.
        data: PathBuf,
        /// Who holds it.
        holder: String,
        /// Where it would listen.
        socket: PathBuf,
    },
}

impl ControlProblem {
    /// Stable snake_case code, the one to match on.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refused) => &refused.code,
            Self::Failed { code, .. } => code,
            Self::Unreachable(error) => error.code(),
            Self::Silent { .. } => "response_timed_out",
            Self::NotSupervised { .. } | Self::Unsupervised { .. } => "not_supervised",
            Self::NotUnderWay { .. } => "not_under_way",
            Self::NotEnded { .. } => "not_ended",
            Self::Deaf { .. } => "locked",
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(refused) => match refused.code.as_str() {
                "invalid_input" => exit::USAGE,
                "unknown_run" => exit::UNKNOWN_RUN,
                _ => exit::REFUSED,
            },
            Self::Failed { code, .. } => match code.as_str() {
                "disk_full" | "poisoned" => exit::WRITE_FAILED,
                code::INVALID_REQUEST | code::LINE_TOO_LONG => exit::USAGE,
                code::NEWER_VERSION | code::UNKNOWN_REQUEST => exit::NEWER_FORMAT,
                _ => exit::FAILED,
            },
            Self::Unreachable(ControlError::PeerRefused { .. } | ControlError::Io { .. }) => exit::PLACE,
            Self::Unreachable(ControlError::NobodyListens { .. })
            | Self::NotSupervised { .. }
            | Self::Unsupervised { .. } => exit::NOT_SUPERVISED,
            Self::NotUnderWay { .. } => exit::REFUSED,
            Self::Unreachable(_) | Self::Silent { .. } | Self::NotEnded { .. } => exit::FAILED,
            Self::Deaf { .. } => exit::LOCKED,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Refused(RefusedOutcome { remedy, .. }) | Self::Failed { remedy, .. } => remedy.clone(),
            // Those that a library may send again with the same command id: each `tacho` mints its own.
            Self::Unreachable(ControlError::Protocol { .. }) => {
                "see with `tacho timeline` whether it was carried out, and ask again if not; use the same version on both sides"
                    .to_owned()
            }
            Self::Unreachable(ControlError::Io { .. }) => "mend what the message names, and ask again".to_owned(),
            Self::Unreachable(error) => error.remedy().to_owned(),
            Self::Silent { listener, .. } => silent_remedy(*listener),
            Self::NotSupervised { .. } => {
                "call it inside a run of `tacho run` or `tacho supervise`, while that goes on; nothing was recorded"
                    .to_owned()
            }
            Self::Unsupervised { .. } => {
                "nothing was signalled; the next `tacho run` or `tacho supervise` on this data directory records what \
                 became of it"
                    .to_owned()
            }
            Self::NotUnderWay { .. } => "nothing was signalled; `tacho timeline` tells its history".to_owned(),
            Self::NotEnded { stopped_shim: Some(pid), .. } => {
                format!("let its shim go on with `kill -CONT {pid}`: it does then what it was asked to")
            }
            Self::NotEnded { stopped_shim: None, .. } => {
                "see with `tacho ps` what is left of it, and ask again".to_owned()
            }
            Self::Deaf { .. } => "wait until that writer is done, or stop it, and repeat the command".to_owned(),
        }
    }
}

/// Who does not answer, and why.
fn stands(Listener { pid, standstill }: Listener) -> String {
    let how = match standstill {
        Some(Standstill::Stopped) => "is stopped",
        Some(Standstill::Disk) => "waits for a disk",
        None => "is alive",
    };
    format!(": the supervisor, pid {pid}, {how}")
}

fn silent_remedy(listener: Option<Listener>) -> String {
    let first = match listener {
        Some(Listener { pid, standstill: Some(Standstill::Stopped) }) => {
            format!("let it go on with `kill -CONT {pid}`: it carries out then what it was asked for")
        }
        Some(Listener { standstill: Some(Standstill::Disk), .. }) => {
            "look at its disk, and see with `tacho timeline` whether it was carried out, before you ask again"
                .to_owned()
        }
        Some(Listener { standstill: None, .. }) | None => {
            "see with `tacho timeline` whether it was carried out, before you ask again".to_owned()
        }
    };
    let Some(Listener { pid, .. }) = listener else { return first };
    format!(
        "{first}; or end it with `kill -9 {pid}`, and the next `tacho run` or `tacho supervise` on this data directory takes \
         over what runs under shims"
    )
}

fn stopped(shim: Option<u32>) -> String {
    shim.map(|pid| format!(": its shim, pid {pid}, is stopped")).unwrap_or_default()
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}
