//! What a runtime says about a container.

use serde::Deserialize;

/// What a runtime says about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// What it does.
    pub status: ContainerStatus,
    /// Its first process, as long as there is one.
    pub pid: Option<u32>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerStatus {
    /// It is being made.
    Creating,
    /// It is made, and executes nothing yet.
    Created,
    /// It executes its command.
    Running,
    /// It stands still.
    Paused,
    /// Its first process has ended.
    Stopped,
    /// Something that only this runtime knows.
    Other(String),
}

impl ContainerStatus {
    /// The runtime's own word.
    pub fn name(&self) -> &str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Other(name) => name,
        }
    }
}

impl std::fmt::Display for ContainerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{}, pid {pid}", self.status.name()),
            None => f.write_str(self.status.name()),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    pid: u32,
}

impl ContainerState {
    /// Reads what `runtime state` prints.
    pub(super) fn parse(answer: &[u8]) -> Result<Self, String> {
        let Answer { status, pid } = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let status = match status.as_str() {
            "creating" => ContainerStatus::Creating,
            "created" => ContainerStatus::Created,
            "running" => ContainerStatus::Running,
            "paused" => ContainerStatus::Paused,
            "stopped" => ContainerStatus::Stopped,
            _ => ContainerStatus::Other(status),
        };
        Ok(Self { status, pid: (pid > 0).then_some(pid) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_the_specification_has_it() {
        let state = ContainerState::parse(br#"{"ociVersion":"1.0.2","id":"x","pid":7,"status":"paused"}"#).unwrap();
        assert_eq!(state, ContainerState { status: ContainerStatus::Paused, pid: Some(7) });
        let state = ContainerState::parse(br#"{"status":"stopped","pid":0}"#).unwrap();
        assert_eq!(state, ContainerState { status: ContainerStatus::Stopped, pid: None });
        assert_eq!(ContainerState::parse(br#"{"status":"odd"}"#).unwrap().to_string(), "odd");
        assert!(ContainerState::parse(b"container does not exist").is_err());
    }
}
