//! Rules and history: whether the present rules decide as was recorded, and what other rules would have led to.
//!
//! Both replay the recorded commands in memory, decided by the engine's own rules. Neither writes, and neither asks a
//! clock. The engine knows nothing of it: another rule is a way to decide around its own (`docs/decisions/0017`).

mod answering;
mod flip;
pub mod recheck;
mod rows;
mod rules;
mod waiver;
mod whatif;
mod world;

pub use flip::{Became, Change, Ending, Flip, FlipKind};
pub use recheck::{Rechecked, recheck};
pub use rules::{Move, Rules, Which};
pub use waiver::Waiver;
pub use whatif::{WhatIf, what_if};
