//! How a job must end to count as done.

use std::fmt;

use tachograph_engine::domain::{ExitStatus, FailureKind, Outcome};

use crate::signal;

/// How a job must end; by default with exit code 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// It exits with this code.
    Code(i32),
    /// It is ended by this signal.
    Signal(i32),
    /// It fails in this way.
    Failure(FailureKind),
}

impl Default for Expectation {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// The kinds of failure that can be expected.
pub(super) const FAILURE_KINDS: [FailureKind; 9] = [
    FailureKind::NotFound,
    FailureKind::NotExecutable,
    FailureKind::SpawnFailed,
    FailureKind::StartTimeout,
    FailureKind::TimedOut,
    FailureKind::SupervisorLost,
    FailureKind::RunnerLost,
    FailureKind::StartAbandoned,
    FailureKind::OutputLost,
];

impl Expectation {
    /// Whether an attempt that ended like this ended as expected. An end whose status is unknown never does.
    pub fn is_met_by(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Failure(kind), Outcome::Failed(failure)) => *kind == failure.kind,
            (Self::Code(code), Outcome::Exited { .. }) => outcome.exit_status() == Some(&ExitStatus::Code(*code)),
            (Self::Signal(number), Outcome::Exited { .. }) => {
                outcome.exit_status() == Some(&ExitStatus::Signal(*number))
            }
            (Self::Failure(_), Outcome::Exited { .. }) | (Self::Code(_) | Self::Signal(_), Outcome::Failed(_)) => false,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(number) => match signal::name(*number) {
                Some(name) => write!(f, "signal {number} ({name})"),
                None => write!(f, "signal {number}"),
            },
            Self::Failure(kind) => write!(f, "failure {}", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_engine::domain::{Diagnostics, Exit, Failure, Witness};

    fn exited(status: ExitStatus) -> Outcome {
        Outcome::Exited { exit: Exit { status, witness: Witness::Waited, output: None }, amended: None }
    }

    #[test]
    fn only_the_expected_end_meets_an_expectation() {
        let failed = Outcome::Failed(Failure {
            kind: FailureKind::TimedOut,
            message: String::new(),
            diagnostics: Diagnostics::default(),
        });
        let ends = [
            exited(ExitStatus::Code(0)),
            exited(ExitStatus::Code(9)),
            exited(ExitStatus::Signal(9)),
            exited(ExitStatus::Unknown { cause: "nobody waited".to_owned() }),
            failed,
        ];
        for (expectation, met) in [
            (Expectation::default(), [true, false, false, false, false]),
            (Expectation::Code(9), [false, true, false, false, false]),
            (Expectation::Signal(9), [false, false, true, false, false]),
            (Expectation::Failure(FailureKind::TimedOut), [false, false, false, false, true]),
            (Expectation::Failure(FailureKind::NotFound), [false; 5]),
        ] {
            assert_eq!(ends.each_ref().map(|end| expectation.is_met_by(end)), met, "{expectation}");
        }
    }
}
