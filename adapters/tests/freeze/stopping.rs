use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Signal;
use tachograph_adapters::freeze::{CgroupUse, Freezer, FreezerOptions, ProcessFreezer};
use tachograph_adapters::process::ProcessIdentity;

use crate::support::{Attempt, cgroup_of, helper, kill, rounds, states, until, ways};

/// Writes how far it has counted, as long as this test program is there.
const COUNTER: &str = "echo ready; i=0; while kill -0 $T; do i=$((i+1)); echo $i > $D/count; done";

fn count(attempt: &Attempt) -> Vec<u8> {
    std::fs::read(attempt.path("count")).unwrap_or_default()
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn expect_going_on(attempt: &Attempt) {
    assert!(!attempt.marker().exists());
    let before = count(attempt);
    until("went on", || count(attempt) != before);
}

#[test]
fn a_writer_stands_still_until_it_is_thawed() {
    for way in ways() {
        let attempt = Attempt::sh(COUNTER);
        let home = cgroup_of(attempt.pid());
        for _ in 0..rounds(3) {
            let frozen = attempt.freeze(way).unwrap();
            let before = count(&attempt);
            assert!(attempt.stands(attempt.pid()), "{:?}", states(attempt.pid()));
            assert_eq!((mode(&attempt.marker()), mode(attempt.marker().parent().unwrap())), (0o600, 0o700));
            frozen.verify().unwrap();
            assert_eq!(count(&attempt), before);
            frozen.thaw().unwrap();
            expect_going_on(&attempt);
            assert_eq!(cgroup_of(attempt.pid()), home, "it is back where it came from");
        }
    }
}

#[test]
fn a_loop_that_forks_stands_still_as_a_whole() {
    for way in ways() {
        let attempt = Attempt::sh("echo ready; while kill -0 $T; do sh -c :; echo > $D/turn; done");
        for _ in 0..rounds(8) {
            let frozen = attempt.freeze(way).unwrap();
            let all = attempt.all();
            assert!(all.contains(&attempt.pid()));
            for pid in all {
                assert!(attempt.stands(pid), "{pid}: {:?}", states(pid));
            }
            frozen.verify().unwrap();
            frozen.thaw().unwrap();
            let _ = std::fs::remove_file(attempt.path("turn"));
            until("another turn", || attempt.path("turn").exists());
        }
    }
}

#[test]
#[ignore = "a helper of other tests"]
fn many_threads() {
    for _ in 0..3 {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    println!("\nready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

#[test]
fn every_thread_stands_still() {
    for way in ways() {
        let attempt = Attempt::of(helper("stopping::many_threads"));
        until("had its threads", || states(attempt.pid()).len() >= 5);
        let frozen = attempt.freeze(way).unwrap();
        assert!(states(attempt.pid()).len() >= 5);
        assert!(attempt.stands(attempt.pid()), "{:?}", states(attempt.pid()));
        frozen.verify().unwrap();
    }
}

#[test]
fn who_left_the_group_and_names_the_attempt_stands_too() {
    for way in ways() {
        let mut attempt = Attempt::sh("echo ready; setsid sh -c 'echo $$; while kill -0 $T; do :; done' & wait");
        let elsewhere = attempt.line_pid();
        let frozen = attempt.freeze(way).unwrap();
        assert!(attempt.stands(elsewhere), "{:?}", states(elsewhere));
        frozen.thaw().unwrap();
        until("went on", || !attempt.stands(elsewhere));
    }
}

#[test]
fn who_wiped_its_environment_stands_as_a_member_of_the_group() {
    for way in ways() {
        let mut attempt = Attempt::sh("echo ready; env -i T=$T sh -c 'echo $$; while kill -0 $T; do :; done' & wait");
        let wiped = attempt.line_pid();
        let frozen = attempt.freeze(way).unwrap();
        assert!(attempt.stands(wiped), "{:?}", states(wiped));
        drop(frozen);
        kill(wiped, Signal::KILL);
    }
}

#[test]
fn who_was_stopped_before_stays_stopped() {
    for way in ways() {
        let mut attempt = Attempt::sh("echo ready; sh -c 'echo $$; kill -STOP $$; echo > $D/woken' & wait");
        let stopped = attempt.line_pid();
        until("stopped", || states(stopped) == ['T']);
        attempt.freeze(way).unwrap().thaw().unwrap();
        until("went on", || !attempt.stands(attempt.pid()));
        assert_eq!(states(stopped), ['T']);
        std::mem::forget(attempt.freeze(way).unwrap());
        assert_eq!(attempt.open(way).1.failed, []);
        until("went on", || !attempt.stands(attempt.pid()));
        assert_eq!(states(stopped), ['T'], "also by whoever opens after a crash");
        assert!(!attempt.path("woken").exists());
    }
}

#[test]
fn dropping_thaws_also_in_a_panic() {
    for way in ways() {
        let attempt = Attempt::sh(COUNTER);
        drop(attempt.freeze(way).unwrap());
        expect_going_on(&attempt);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _frozen = attempt.freeze(way).unwrap();
            assert!(!attempt.stands(attempt.pid()), "this is the panic");
        }));
        assert!(panicked.is_err());
        expect_going_on(&attempt);
    }
}

#[test]
fn what_does_not_stop_in_time_is_named_and_everything_goes_on() {
    for cgroup in ways() {
        let attempt = Attempt::sh(COUNTER);
        let options = FreezerOptions { limit_ms: 0, cgroup };
        let error = ProcessFreezer::open(attempt.data.path(), options).0.freeze(&attempt.target).err().unwrap();
        assert_eq!(error.code(), "not_stopped");
        assert!(error.to_string().contains(&format!("process {}", attempt.pid())), "{error}");
        expect_going_on(&attempt);
        assert!(!attempt.is_contained(attempt.pid()));
    }
}

#[test]
fn an_attempt_without_a_process_needs_no_marker() {
    for way in ways() {
        let mut attempt = Attempt::sh("echo ready; read line");
        kill(attempt.pid(), Signal::KILL);
        attempt.leader.wait().unwrap();
        let frozen = attempt.open(way).0.freeze(&attempt.target).unwrap();
        assert!(!attempt.marker().exists());
        frozen.verify().unwrap();
        frozen.thaw().unwrap();
    }
}

#[test]
fn a_pid_that_went_to_somebody_else_is_left_alone() {
    for way in ways() {
        let attempt = Attempt::sh("echo ready; read line");
        let stranger = Attempt::sh(COUNTER);
        let now = ProcessIdentity::of(stranger.pid()).unwrap();
        kill(attempt.pid(), Signal::KILL);
        let recycled = [
            ProcessIdentity { start_ticks: now.start_ticks + 1, ..now.clone() },
            ProcessIdentity { boot_id: "another".to_owned(), ..now },
        ];
        for identity in recycled {
            attempt.identify(Some(&identity));
            let frozen = attempt.open(way).0.freeze(&attempt.target).unwrap();
            assert!(!stranger.stands(stranger.pid()) && !attempt.is_contained(stranger.pid()));
            frozen.verify().unwrap();
        }
        expect_going_on(&stranger);
    }
}

#[test]
fn an_attempt_that_no_file_identifies_is_not_touched() {
    let attempt = Attempt::sh(COUNTER);
    attempt.identify(None);
    assert_eq!(attempt.freeze(CgroupUse::Off).err().unwrap().code(), "unidentified");
    for content in ["", "{}", "[1"] {
        std::fs::write(attempt.directory().identity(), content).unwrap();
        assert_eq!(attempt.freeze(CgroupUse::Off).err().unwrap().code(), "unidentified");
    }
    std::fs::remove_file(attempt.directory().identity()).unwrap();
    assert_eq!(attempt.freeze(CgroupUse::Off).err().unwrap().code(), "unidentified");
    expect_going_on(&attempt);
}

#[test]
fn an_attempt_is_frozen_once_at_a_time() {
    for way in ways() {
        let attempt = Attempt::sh(COUNTER);
        let freezer = attempt.open(way).0;
        let frozen = freezer.freeze(&attempt.target).unwrap();
        assert_eq!(freezer.freeze(&attempt.target).err().unwrap().code(), "held");
        frozen.verify().unwrap();
        frozen.thaw().unwrap();
        freezer.freeze(&attempt.target).unwrap().thaw().unwrap();
        expect_going_on(&attempt);
    }
}
