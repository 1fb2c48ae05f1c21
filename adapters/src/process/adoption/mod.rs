//! What becomes of the runs that another supervisor left open.
//!
//! - [`evidence`]: what is left of an attempt in the world, without touching it;
//! - [`boot`]: whether that is of this boot, by the journal's word;
//! - [`found_shim`]: a shim whose run took away what says who it is;
//! - [`conclusion`]: what follows from that, as a pure table;
//! - [`settling`]: the conclusion made true in the journal, once, however often it is repeated;
//! - [`following`]: an adopted attempt to its end;
//! - [`rest`]: what is left of the process group of a killed shim;
//! - [`unwanted`]: attempts that go on although their run has another one, or was destroyed;
//! - [`containers`]: those that a runtime failed to remove;
//! - [`leftovers`]: directories that belong to no open run;
//! - [`foresight`]: the conclusions without any of it, for people who want to know before.

mod boot;
mod conclusion;
mod containers;
mod evidence;
mod following;
mod foresight;
mod found_shim;
mod leftovers;
mod processes;
mod report;
mod rest;
mod settling;
mod unwanted;

pub(super) use boot::ThisBoot;
pub use conclusion::{Conclusion, Witnessed, is_unstarted_image, was_created_here};
pub use foresight::{Foreseen, Foresight, foresee};
pub use report::AdoptionReport;
pub(super) use settling::recorded_kind;
