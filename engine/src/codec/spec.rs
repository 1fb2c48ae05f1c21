//! What a run is asked to be.

use bincode::{BorrowDecode, Encode};

use super::scalar::{Id, Pairs, map, owned, pairs, texts};
use crate::domain;

#[derive(Encode, BorrowDecode)]
pub(super) struct RunSpec<'a> {
    name: Option<&'a str>,
    labels: Pairs<'a>,
    workload: Workload<'a>,
    limits: ResourceLimits,
    parent: Option<Id>,
}

impl<'a> From<&'a domain::RunSpec> for RunSpec<'a> {
    fn from(spec: &'a domain::RunSpec) -> Self {
        let domain::RunSpec { name, labels, workload, limits, parent } = spec;
        Self {
            name: name.as_deref(),
            labels: pairs(labels),
            workload: workload.into(),
            limits: (*limits).into(),
            parent: parent.map(Id::from),
        }
    }
}

impl From<RunSpec<'_>> for domain::RunSpec {
    fn from(spec: RunSpec<'_>) -> Self {
        let RunSpec { name, labels, workload, limits, parent } = spec;
        Self {
            name: name.map(str::to_owned),
            labels: map(labels),
            workload: workload.into(),
            limits: limits.into(),
            parent: parent.map(Into::into),
        }
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum Workload<'a> {
    Command { argv: Vec<&'a str>, cwd: Option<&'a str> } = 0,
    Image { reference: &'a str, argv: Vec<&'a str> } = 1,
}

impl<'a> From<&'a domain::Workload> for Workload<'a> {
    fn from(workload: &'a domain::Workload) -> Self {
        match workload {
            domain::Workload::Command { argv, cwd } => Self::Command { argv: texts(argv), cwd: cwd.as_deref() },
            domain::Workload::Image { reference, argv } => Self::Image { reference, argv: texts(argv) },
        }
    }
}

impl From<Workload<'_>> for domain::Workload {
    fn from(workload: Workload<'_>) -> Self {
        match workload {
            Workload::Command { argv, cwd } => Self::Command { argv: owned(argv), cwd: cwd.map(str::to_owned) },
            Workload::Image { reference, argv } => Self::Image { reference: reference.to_owned(), argv: owned(argv) },
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct ResourceLimits {
    wall_ms: Option<u64>,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

impl From<domain::ResourceLimits> for ResourceLimits {
    fn from(limits: domain::ResourceLimits) -> Self {
        let domain::ResourceLimits { wall_ms, memory_bytes, output_bytes } = limits;
        Self { wall_ms, memory_bytes, output_bytes }
    }
}

impl From<ResourceLimits> for domain::ResourceLimits {
    fn from(limits: ResourceLimits) -> Self {
        let ResourceLimits { wall_ms, memory_bytes, output_bytes } = limits;
        Self { wall_ms, memory_bytes, output_bytes }
    }
}
