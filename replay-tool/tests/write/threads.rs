use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::lonely::{executable, lonely, reachable};
use crate::support::{Finished, Place};

/// Sets the limit, and becomes the program that is open as its standard input: it need not be where another user may go.
const LIMITED: &str = "ulimit -p $0 2>/dev/null || ulimit -u $0; exec /proc/self/fd/0 \"$@\"";

/// Whose processes are limited. The limit does not bind root, who has another user's instead: it is on all that one user
/// has, and tests run side by side, so that each has its own.
#[derive(Clone, Copy)]
enum Bound {
    Lonely(u32),
    Oneself,
}

impl Bound {
    fn of(test: u32) -> Option<Self> {
        if rustix::process::geteuid().is_root() { lonely(test).map(Self::Lonely) } else { Some(Self::Oneself) }
    }

    /// Where the tool may write as that user.
    fn place(self) -> Option<Place> {
        match self {
            Self::Lonely(user) => reachable(user).map(Place::of),
            Self::Oneself => Some(Place::new()),
        }
    }
}

fn finish(place: &Place, user: Bound, most: u32, arguments: &[&str]) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITED, &most.to_string()]).args(arguments);
    command.env("TACHO_DATA", place.data()).env_remove("TACHO_LOG").env("RUST_BACKTRACE", "0").current_dir("/");
    let (tool, _copy) = executable(Path::new(env!("CARGO_BIN_EXE_tacho")));
    command.stdin(tool).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Bound::Lonely(user) = user {
        command.uid(user).gid(user);
    }
    Finished::of(command.spawn().unwrap())
}

#[test]
fn too_few_threads_are_an_error_that_says_so_and_what_to_do() {
    // The tool itself and those of the journal are more than seven.
    let Some(user) = Bound::of(0) else { return };
    let limits = if matches!(user, Bound::Lonely(_)) { 1..=7 } else { 1..=1 };
    for most in limits {
        for (arguments, code) in [(&["run", "--", "true"][..], 125), (&["supervise", "jobs.toml"], 1)] {
            let Some(place) = user.place() else { return };
            std::fs::write(place.path("jobs.toml"), "[jobs.a]\ncommand = [\"true\"]\n").unwrap();
            let jobs = place.path("jobs.toml").into_os_string().into_string().unwrap();
            let arguments: Vec<_> =
                arguments.iter().map(|word| if *word == "jobs.toml" { &*jobs } else { word }).collect();
            let finished = finish(&place, user, most, &arguments);
            let told = format!("at most {most}, {arguments:?}: {:?}, {}", finished.code, finished.stderr);
            assert_eq!(finished.code, Some(code), "{told}");
            assert!(finished.stderr.starts_with("tacho: error[short_of_threads]: too few threads"), "{told}");
            assert!(finished.stderr.contains("`ulimit -u`") && !finished.stderr.contains("panicked"), "{told}");
        }
    }
}

#[test]
fn whatever_room_there_is_it_suffices_or_the_limit_is_named() {
    let Some(user @ Bound::Lonely(_)) = Bound::of(1) else { return };
    if user.place().is_none() {
        return;
    }
    let processors = std::thread::available_parallelism().unwrap().get();
    // What opening takes, and the shim, its command and what they start; and some to spare.
    let most = u32::try_from(processors).unwrap() + 24;
    let enough = (9..=most).find(|most| {
        let finished = finish(&user.place().unwrap(), user, *most, &["run", "--", "true"]);
        let told = format!("at most {most}: {:?}, {}", finished.code, finished.stderr);
        let named = ["tacho: error[short_of_threads]", "tacho: error[spawn_failed]"];
        assert!(finished.code == Some(0) || named.iter().any(|named| finished.stderr.starts_with(named)), "{told}");
        assert!(finished.code == Some(0) || finished.stderr.contains("`ulimit -u`"), "{told}");
        finished.code == Some(0)
    });
    assert!(enough.is_some(), "{most} are not enough");
}

#[test]
fn an_operator_without_threads_is_told_the_same_and_nothing_is_lost() {
    let Some(user @ Bound::Lonely(_)) = Bound::of(2) else { return };
    let Some(place) = user.place() else { return };
    // All of it is one user's.
    assert_eq!(finish(&place, user, 4_096, &["run", "--name", "build", "--", "true"]).code, Some(0));
    let finished = finish(&place, user, 3, &["destroy", "build", "--why", "done"]);
    assert!(finished.stderr.starts_with("tacho: error[short_of_threads]: "), "{}", finished.stderr);
    assert_eq!(finished.code, Some(1));
    assert_eq!(finish(&place, user, 4_096, &["destroy", "build", "--why", "done"]).code, Some(0));
}
