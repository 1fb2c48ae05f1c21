//! An entry in words, as short as a row is.

use tachograph_engine::domain::{Entry, EntryBody, ExitStatus, SystemFact};

use crate::table::{BAD, DIM, WARN, status_style};
use crate::words;

/// What happened.
pub(crate) fn what(entry: &Entry) -> String {
    match &entry.body {
        EntryBody::Committed(committed) => {
            let issued_at = Some(committed.command.issued_at);
            let beside = words::Beside { events: &committed.events, issued_at, late_us: None, limits: None };
            committed.events.iter().map(|event| words::event(event, beside)).collect::<Vec<_>>().join("; ")
        }
        EntryBody::Refused(refused) => {
            let asked = words::refused_command(&refused.command);
            format!("REFUSED [{}]: {asked}: {}", refused.refusal.code(), refused.refusal)
        }
        EntryBody::System(fact) => words::system(fact),
    }
}

/// Who issued the command behind it.
pub(crate) fn who(entry: &Entry) -> String {
    match &entry.body {
        EntryBody::Committed(committed) => committed.command.actor.to_string(),
        EntryBody::Refused(refused) => refused.command.actor().to_string(),
        EntryBody::System(_) => "journal".to_owned(),
    }
}

/// How it looks: a refusal stands out, what went wrong does, and what only accompanies stays back.
pub(crate) fn style(entry: &Entry) -> anstyle::Style {
    use tachograph_engine::domain::Event::Exited;
    match &entry.body {
        EntryBody::Committed(committed) => {
            let is_zero = |event: &_| matches!(event, Exited { exit, .. } if exit.status == ExitStatus::Code(0));
            let led_to = committed.events.iter().find_map(|event| event.leads_to());
            led_to.map_or(DIM, |status| status_style(status, committed.events.iter().any(is_zero)))
        }
        EntryBody::Refused(_) => WARN,
        EntryBody::System(SystemFact::Recovered { .. }) => BAD,
        EntryBody::System(SystemFact::Opened(_) | SystemFact::Closed(_)) => DIM,
    }
}
