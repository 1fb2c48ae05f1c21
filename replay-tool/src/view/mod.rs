//! What `--format json` prints: snake_case objects of their own, so that renaming a domain type cannot change them.
//!
//! Documented field by field in docs/json.md. Within one major version fields are added, never renamed or removed.
//! Times are RFC 3339 in UTC with microseconds, ids are ULIDs as text, absent values are `null`.

mod account;
mod adoption;
mod archive;
mod bundle;
mod comparison;
mod entry;
mod event;
mod export;
mod live;
mod page;
mod point;
mod recheck;
mod restored;
mod run;
mod story;
mod timeline;
mod timer;
mod verification;
mod whatif;

pub use account::{AccountView, GapView, SentenceView, StandingView, StillView, TimerToldView};
pub use adoption::{AdoptionView, AmendedView, ForeseenView, LeftAliveView};
pub use archive::{ArchiveView, HoldingView, KeptBackView};
pub use bundle::{BundleVerificationView, BundleView, RedactedView, RevealedView};
pub use comparison::{ComparisonView, FieldDifferenceView, NearestView, RowView, SideStepView, SideView};
pub use entry::{ActorView, CommandView, EntryView, RefusalView, SessionView, SystemView, TornTailView};
pub use event::{EventView, FailureView, GuardView};
#[cfg(feature = "parquet")]
pub use export::{AbsentView, ParquetExportView};
pub use export::{SourceView, SqliteExportView, WrittenTableView};
pub use live::{LiveView, ProcessView};
pub use page::PageView;
pub use point::{ArmedView, BisectionView, DiffView, DifferentRunView, FieldChangeView, PartingView, StateView};
pub use recheck::{DecidedView, DifferenceView, RecheckView};
pub use restored::RestoredView;
pub use run::{
    DiagnosticsView, ExitView, FailureBrief, LimitsView, OutputView, PositionsView, RunView, SnapshotView, SpecView,
    StreamView, WaitingView, WorkloadView,
};
pub use story::{AbsenceView, RefusedView, StepView, StoryView, WhatView};
pub use timeline::{BorderView, ItemView, TimelineView};
pub use timer::TimerView;
pub use verification::{ArchivedView, FindingView, HeadView, LossView, VerificationView};
pub use whatif::{BecameView, ChangeView, EndingView, FlipView, FlipsView, WhatIfView};
