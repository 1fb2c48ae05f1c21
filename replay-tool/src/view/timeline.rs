//! One run's history.

use serde::Serialize;
use tachograph_engine::domain::{Entry, EntryBody, ResourceLimits};
use tachograph_projections::{Item, ItemBody};

use super::entry::{CommandView, RefusalView, SystemView};
use super::event::EventView;
use crate::dataset::{Border, History};
use crate::machine::WriterState;

/// One run's history, refused commands and facts about the journal beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineView {
    /// The run's id.
    pub run: String,
    /// Its name; absent also if it was never created.
    pub name: Option<String>,
    /// Its status; absent if it was never created, so that there are refusals only.
    pub status: Option<&'static str>,
    /// Of a run that is open, whether the last writer of the journal can still go on with it: `alive`, `gone` or
    /// `unknown`.
    pub writer: Option<&'static str>,
    /// What happened, in order.
    pub items: Vec<ItemView>,
}

/// One thing that happened. Several events of one command are items of their own, at the same position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemView {
    /// Position of its entry.
    pub position: u64,
    /// When it was recorded, by the writer's clock.
    pub recorded_at: String,
    /// Microseconds since the item before; negative if the clock stepped back, absent for the first.
    pub delta_us: Option<i64>,
    /// `event`, `refused`, `system`, `missing` or `archived`: the last stands first, at the first item that stays.
    pub kind: &'static str,
    /// The command behind it; absent for `system` and `missing`.
    pub command: Option<CommandView>,
    /// The run's version after it; only for `event`.
    pub version: Option<u64>,
    /// What happened; only for `event`.
    pub event: Option<EventView>,
    /// Why the command was refused; only for `refused`.
    pub refusal: Option<RefusalView>,
    /// The fact; only for `system`.
    pub system: Option<SystemView>,
    /// Entries about the run up to this position could not be read; only for `missing`.
    pub missing_up_to: Option<u64>,
    /// Where what was before is; only for `archived`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<BorderView>,
}

/// Where the archived part of a run's history is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BorderView {
    /// The last position that was archived.
    pub up_to: u64,
    /// The bundle, as it was named then.
    pub bundle: String,
    /// The run's status there.
    pub status: &'static str,
}

impl From<&Border> for BorderView {
    fn from(border: &Border) -> Self {
        let status = border.base.run.status.name().name();
        Self { up_to: border.up_to.0, bundle: border.bundle.clone(), status }
    }
}

impl From<&History> for TimelineView {
    fn from(history: &History) -> Self {
        let run = history.timeline.state().run();
        let limits = run.map(|run| &run.spec.limits);
        let items = history.timeline.items().iter().map(|item| view(item, history.entry(item.position), limits));
        Self {
            run: history.timeline.run().to_string(),
            name: run.and_then(|run| run.spec.name.clone()),
            status: run.map(|run| run.status.name().name()),
            writer: None,
            items: archived(history).into_iter().chain(items).collect(),
        }
    }
}

impl TimelineView {
    /// The same with what is known of the journal's last writer, which matters only while the run is open.
    #[must_use]
    pub fn with_writer(self, writer: Option<WriterState>) -> Self {
        Self { writer: writer.map(WriterState::name), ..self }
    }
}

/// What stands in the place of archived entries.
fn archived(history: &History) -> Option<ItemView> {
    let (border, first) = history.border.as_ref().zip(history.timeline.items().first())?;
    let mut view = empty(first, "archived");
    view.archived = Some(border.into());
    Some(view)
}

fn empty(item: &Item, kind: &'static str) -> ItemView {
    ItemView {
        position: item.position.0,
        recorded_at: item.recorded_at.to_string(),
        delta_us: item.delta_us,
        kind,
        command: None,
        version: None,
        event: None,
        refusal: None,
        system: None,
        missing_up_to: None,
        archived: None,
    }
}

fn view(item: &Item, entry: Option<&Entry>, limits: Option<&ResourceLimits>) -> ItemView {
    let mut view = empty(item, "missing");
    match &item.body {
        ItemBody::Event { event, version, applied: _, cause: _ } => {
            view.kind = "event";
            view.version = Some(version.0);
            view.event = Some(EventView::of(event, limits));
            view.command = entry.and_then(command);
        }
        ItemBody::Refused { refusal, count, cause: _ } => {
            view.kind = "refused";
            view.refusal = Some(RefusalView::of(refusal, *count));
            view.command = entry.and_then(command);
        }
        ItemBody::System(fact) => {
            view.kind = "system";
            view.system = Some(fact.into());
        }
        ItemBody::Missing { up_to } => view.missing_up_to = Some(up_to.0),
    }
    view
}

fn command(entry: &Entry) -> Option<CommandView> {
    match &entry.body {
        EntryBody::Committed(committed) => Some((&committed.command).into()),
        EntryBody::Refused(refused) => Some((&refused.command).into()),
        EntryBody::System(_) => None,
    }
}
