//! Two runs side by side: their histories as steps without ids and times of day, aligned.
//!
//! | file | what |
//! | --- | --- |
//! | `step` | a step: what happened, as far as it can be the same in two runs |
//! | `alignment` | which step of one belongs to which of the other |
//! | `compared` | the comparison: what differs, and what took how long |
//! | `nearest` | the healthy run that is most like another |

mod alignment;
mod compared;
mod nearest;
mod step;

pub use self::alignment::{Alignment, Comparable, Row, STEPS_EXACT_MAX, align};
pub use self::compared::{Comparison, Difference, RowKind, Side};
pub use self::nearest::{CANDIDATES_MAX, Kinship, Nearest};
pub use self::step::{Step, StepBody, StepKey, StepName, steps};
