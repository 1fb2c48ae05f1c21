//! What one event of a foreign history says.

use std::collections::BTreeMap;

use tachograph_engine::domain::{Actor, ExitStatus, FailureKind, RunnerId, Timestamp, Workload};

/// What an event says about one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What identifies the event: the same key is the same event, however often it is told.
    pub key: String,
    /// When it happened, by its own clock.
    pub at: Timestamp,
    /// Who says so.
    pub actor: Actor,
    /// What it is about.
    pub subject: Subject,
    /// What happened.
    pub step: Step,
}

/// What an event is about, and what it tells of it in passing.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What identifies it in its own world: a container id, for example.
    pub key: String,
    /// A name for people.
    pub name: Option<String>,
    /// Key and value pairs.
    pub labels: BTreeMap<String, String>,
    /// What it executes; absent if that is not told.
    pub workload: Option<Workload>,
    /// What it belongs to.
    pub parent: Option<Box<Subject>>,
    /// Who holds the attempt, if the event says so.
    pub runner: Option<RunnerId>,
    /// Whether only one of its name exists at a time, so that another one under the name proves that this one is gone.
    pub is_only_of_its_name: bool,
}

/// What the beginning of an attempt says of the one before, if nothing told of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: it is refused, since that one is open.
    Nothing,
    /// That it has ended, unless both are told to have begun at the same time: then it is one beginning, told twice.
    EndedIfLater,
    /// That it has ended. Nothing in this world tells of ends, and times are those of whole seconds.
    Ended,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It came to be.
    Created,
    /// It exists, which is all that is told.
    Seen,
    /// An attempt began.
    Started {
        /// Its own name for the attempt, if there is one.
        attempt: Option<String>,
        /// What that says of the attempt before, if it is open.
        proves: Proof,
    },
    /// It waits.
    Waiting {
        /// The attempt that is named.
        attempt: Option<String>,
        /// On what.
        on: String,
        /// Until when at most.
        deadline: Option<Timestamp>,
    },
    /// It no longer waits.
    Resumed {
        /// The attempt that is named.
        attempt: Option<String>,
    },
    /// The attempt ended.
    Exited {
        /// The attempt that is named.
        attempt: Option<String>,
        /// How.
        status: ExitStatus,
    },
    /// The attempt has ended, if nothing has told so yet.
    Ended {
        /// From what that is concluded, and why its status is not known.
        cause: String,
    },
    /// The attempt could not start or go on.
    Failed {
        /// The attempt that is named.
        attempt: Option<String>,
        /// What to match on.
        kind: FailureKind,
        /// One sentence.
        message: String,
        /// Whether it says something only if the attempt is open: it is told again and again, in changing words.
        if_open: bool,
    },
    /// It is gone.
    Destroyed {
        /// Why.
        why: String,
        /// Whether that is to hold also while an attempt is open; if not told, it is refused first.
        force: bool,
    },
    /// The holder's connection was lost.
    Disconnected {
        /// The attempt that is named.
        attempt: Option<String>,
    },
}

/// What a source makes of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// These observations, in order; never empty.
    Observed(Vec<Observation>),
    /// Nothing that has a place in a journal. It stays in the copy of the input.
    Kept {
        /// Why, and what it was, for example `exec_start`.
        what: String,
    },
}

/// Why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The byte of its line, from 1.
    pub column: usize,
    /// What is wrong, naming the field.
    pub why: String,
}
