//! Who a command of a person comes from.

use tachograph_engine::domain::limits::ACTOR_ID_BYTES_MAX;
use tachograph_engine::domain::{Actor, ActorKind};

/// Bytes of a user's name or a host's name that are kept: both fit into an actor's id.
const PART_BYTES_MAX: usize = ACTOR_ID_BYTES_MAX / 2 - 1;
const PASSWD: &str = "/etc/passwd";

/// The operator behind this process: `user@host`.
pub fn this() -> Actor {
    of(rustix::process::getuid().as_raw())
}

/// The operator with this user id on this host. Its name is what the system's own list says, since the environment says
/// whatever its owner likes; without one it is `uid-1000@host`.
pub fn of(uid: u32) -> Actor {
    let users = std::fs::read_to_string(PASSWD).unwrap_or_default();
    let user = name_of(uid, &users).map_or_else(|| format!("uid-{uid}"), str::to_owned);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor::new(ActorKind::Operator, format!("{}@{}", bounded(&user), bounded(&host)))
}

fn name_of(uid: u32, users: &str) -> Option<&str> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(uid.as_str())).then_some(name)
    })
}

/// As much as an id may hold.
fn bounded(name: &str) -> String {
    let mut printable: String = name.chars().filter(|char| !char.is_control()).collect();
    let end = (0..=PART_BYTES_MAX.min(printable.len())).rev().find(|end| printable.is_char_boundary(*end));
    printable.truncate(end.unwrap_or(0));
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_list_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:7:\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(1000, users), Some("ann"));
        assert_eq!(name_of(100, users), None);
        assert_eq!(name_of(7, users), None);
    }

    #[test]
    fn what_no_id_may_hold_is_left_out() {
        assert_eq!(bounded("a\u{1b}b"), "ab");
        let long = bounded(&"ä".repeat(200));
        assert!(long.len() <= PART_BYTES_MAX && long.len() > PART_BYTES_MAX - 2, "{}", long.len());
        let Actor { kind, id } = this();
        assert_eq!(kind, ActorKind::Operator);
        assert!(id.contains('@') && id.len() <= ACTOR_ID_BYTES_MAX, "{id}");
    }
}
