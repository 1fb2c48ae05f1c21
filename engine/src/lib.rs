//! The engine of Tachograph: the pure domain, its wire form, the ports to the world, and the shell that commits.
//!
//! | module | knows | does |
//! | --- | --- | --- |
//! | [`domain`] | nothing but itself | decides and evolves, purely |
//! | [`codec`] | the domain | gives entries and run records their bytes |
//! | [`ports`] | the domain | says what is asked of the world: journal, clock, ids, checkpoints |
//! | [`shell`] | domain, codec, ports | commits: one committer, durable answers, reads, subscriptions |

pub mod codec;
pub mod domain;
pub mod ports;
pub mod shell;
