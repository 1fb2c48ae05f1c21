//! What was true at a point of a history, what differs between two points, and when something became true.
//!
//! | module | answers |
//! | --- | --- |
//! | [`state`] | which runs were open at a point, and what was armed |
//! | [`diff`] | which runs and fields differ between two points of one history, or of two |
//! | [`bisect`] | at which position a predicate became true |
//! | [`expression`] | the predicates that are asked |
//! | [`side`] | how a point of a history, or of another one, is written |

pub mod bisect;
pub mod diff;
pub mod expression;
pub mod side;
pub mod state;
mod watched;

pub use bisect::{Bisection, Found, Method};
pub use diff::{Begins, Change, Difference, FieldChange, Parting};
pub use expression::{Expression, ExpressionError};
pub use side::Side;
pub use state::FleetState;
