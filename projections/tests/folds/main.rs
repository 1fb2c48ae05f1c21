//! The folds: same entries, same result, from anywhere.
//!
//! | module | what belongs there |
//! | --- | --- |
//! | `recorder` | makes journals in memory, by hand or from random commands |
//! | `current` | the state of all runs: against the domain's own, from any checkpoint, names, filters |
//! | `recheck` | recorded commands, decided once more |
//! | `timeline` | one run's history |
//! | `timer_story` | what became of one snapshot |
//! | `timers` | what is armed: against the domain's own, from any checkpoint |
//! | `until` | how far a fold goes, and what a time stands for |

mod current;
mod recheck;
mod recorder;
mod timeline;
mod timer_story;
mod timers;
mod until;
