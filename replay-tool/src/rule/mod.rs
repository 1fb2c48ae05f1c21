//! Rules and history: whether the present rules decide as was recorded, and what other rules would have led to.
//!
//! Both replay the recorded commands in memory. Neither writes, and neither asks a clock.

mod bar;
pub mod recheck;

pub use recheck::{Rechecked, recheck};
