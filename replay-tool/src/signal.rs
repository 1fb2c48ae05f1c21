//! Signals by name and number.

use rustix::process::Signal;

/// Names as people write them, without `SIG`. Numbers differ between systems, so they come from the system.
const NAMES: [(&str, Signal); 29] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("SYS", Signal::SYS),
];

/// The greatest signal number that Linux can deliver; real-time signals have no names here.
pub const SIGNAL_MAX: i32 = 64;

/// The number of a signal named `KILL` or `SIGKILL`, in any case.
pub fn number(name: &str) -> Option<i32> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.iter().find(|(name, _)| *name == bare).map(|(_, signal)| signal.as_raw())
}

/// The name of a signal, without `SIG`.
pub fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, signal)| signal.as_raw() == number).map(|(name, _)| *name)
}

/// The names that [`number`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The exit code by which shells report a process that a signal ended: 128 + n.
pub fn shell_code(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(0).saturating_add(128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for known in names() {
            let number = number(known).unwrap();
            assert_eq!(name(number), Some(known));
            assert!((1..=SIGNAL_MAX).contains(&number));
        }
        assert_eq!(number("sigkill"), Some(9));
        assert_eq!(number("SIG"), None);
        assert_eq!(name(40), None);
    }
}
