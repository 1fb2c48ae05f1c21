#![doc = include_str!("../README.md")]

pub use tachograph_adapters as adapters;
pub use tachograph_engine as engine;
pub use tachograph_projections as projections;

/// What an embedder needs most, to be imported whole.
pub mod prelude {
    pub use tachograph_adapters::checkpoint::FileCheckpoints;
    pub use tachograph_adapters::clock::{ManualClock, SeededIds, SystemClock, UlidSource};
    pub use tachograph_adapters::host::LocalHost;
    pub use tachograph_adapters::journal::{Durability, FileJournal, FileReader, JournalOptions};
    pub use tachograph_adapters::memory::MemoryJournal;
    pub use tachograph_adapters::process::{Launch, ProcessRunner, RunHandle, RunnerError, RunnerOptions};
    // By name, so that the domain's modules do not come along.
    pub use tachograph_engine::domain::{
        Action, Actor, ActorKind, AttemptId, Claim, Command, CommandId, Digest, Effect, Entry, EntryBody, Event, Exit,
        ExitStatus, Failure, FailureKind, Guard, Outcome, Position, Refusal, ResourceLimits, Run, RunId, RunRecord,
        RunSpec, RunnerId, SnapshotId, StartMode, Status, StatusName, Timestamp, Version, Witness, Workload,
    };
    pub use tachograph_engine::ports::{
        CheckpointStore, Clock, Deadlines, Host, IdSource, Journal, JournalError, JournalReader, RunHead,
        SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot,
    };
    pub use tachograph_engine::shell::{
        Answer, CommandOutcome, Engine, FirstAnswer, OpenReport, Options, Parts, SubmitError, Subscription, Timekeeper,
        TimekeeperEnd, TimekeeperHandle, TimekeeperOptions, TimekeeperReport,
    };
    pub use tachograph_projections::{CurrentState, Projection, RunFilter, Timeline, Timers, Until};
}
