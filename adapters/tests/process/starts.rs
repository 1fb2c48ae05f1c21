use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tachograph_adapters::process::{EndRecord, Identity, Launch, ProcessIdentity, RunHandle, RunnerError};
use tachograph_adapters::shim::heed_child_exits;
use tachograph_engine::domain::{
    AttemptId, Effect, Event, ExitStatus, FailureKind, Outcome, Refusal, RunId, RunSpec, StartCause, StartMode, Status,
    Workload,
};

use crate::support::{Bench, HANG, LONG, command, exists, exit, failure, file, program, sh, status, with_usual_path};

fn in_directory(argv: &[&str], cwd: &Path) -> RunSpec {
    let Workload::Command { argv, .. } = command(argv).workload else { panic!("no command") };
    let cwd = Some(cwd.to_str().unwrap().to_owned());
    RunSpec { workload: Workload::Command { argv, cwd }, ..RunSpec::default() }
}

/// Starts what cannot be started, and returns kind, message and likely cause as one line.
async fn refused_start(bench: &Bench, spec: RunSpec, launch: Launch) -> String {
    let handle = bench.launch(spec, launch).await;
    let end = handle.wait().await.unwrap();
    let failure = failure(&end);
    assert!(matches!(end.record, EndRecord::Written { .. }), "{:?}", end.record);
    assert_eq!(handle.pid(), None);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
    assert!(failure.diagnostics.facts.contains_key("os_error"), "{failure:?}");
    let cause = failure.diagnostics.likely_cause.as_deref().unwrap_or("-");
    format!("{}: {} ({cause})", failure.kind.name(), failure.message)
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let bench = Bench::open().await;
    let by_name = refused_start(&bench, command(&["no-such-program"]), with_usual_path()).await;
    assert_eq!(by_name, "not_found: program \"no-such-program\" is missing (no directory of PATH has it)");
    let by_path = refused_start(&bench, command(&["/no/such/program"]), Launch::default()).await;
    assert_eq!(by_path, "not_found: program \"/no/such/program\" is missing (-)");
}

#[tokio::test]
async fn a_missing_working_directory_is_not_blamed_on_the_program() {
    let bench = Bench::open().await;
    let absent = bench.data.path().join("absent");
    let missing = refused_start(&bench, in_directory(&["sh", "-c", "exit 0"], &absent), Launch::default()).await;
    assert!(missing.starts_with("not_found: working directory"), "{missing}");
    assert!(missing.contains("absent"), "{missing}");
    let plain = bench.data.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let no_directory = refused_start(&bench, in_directory(&["sh", "-c", "exit 0"], &plain), Launch::default()).await;
    assert!(no_directory.starts_with("not_found: working directory") && no_directory.contains("is no directory"));
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_says_why() {
    let bench = Bench::open().await;
    let make = |name: &str, mode: u32, content: &str| {
        let path = bench.data.path().join(name);
        program(&path, content);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = make("plain", 0o644, "#!/bin/sh\n");
    let told = refused_start(&bench, command(&[&plain]), Launch::default()).await;
    assert!(told.starts_with("not_executable: program") && told.contains("chmod +x"), "{told}");
    let directory = bench.data.path().to_str().unwrap();
    let told = refused_start(&bench, command(&[directory]), Launch::default()).await;
    assert!(told.starts_with("not_executable: program") && told.ends_with("(it is a directory)"), "{told}");
    let strange = make("strange", 0o755, "\u{1}\u{2} no program");
    let told = refused_start(&bench, command(&[&strange]), Launch::default()).await;
    assert!(told.starts_with("not_executable:") && told.contains("no executable format"), "{told}");
    let orphan = make("orphan", 0o755, "#!/no/such/interpreter -x\n");
    let told = refused_start(&bench, command(&[&orphan]), Launch::default()).await;
    assert!(told.starts_with("not_found: the interpreter \"/no/such/interpreter\""), "{told}");
}

#[tokio::test]
async fn too_long_an_environment_is_a_failed_spawn() {
    let bench = Bench::open().await;
    let launch = Launch { env: vec![("LONG".into(), "x".repeat(200_000).into())], ..Launch::default() };
    let told = refused_start(&bench, sh("exit 0"), launch).await;
    assert!(
        told.starts_with("spawn_failed: cannot start \"sh\"")
            && told.contains("arguments and environment together are too long"),
        "{told}"
    );
}

#[tokio::test]
async fn a_refused_start_spawns_nothing() {
    let bench = Bench::open().await;
    let spawned = bench.data.path().join("spawned");
    let spec = sh(&format!("echo spawned >> {}", spawned.display()));
    let run = bench.runner.create(spec).await.unwrap();
    bench.runner.destroy(run, false, "not wanted").await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    // Late, and then late once more.
    for _ in 0..2 {
        let error = bench.runner.start_attempt(run, attempt, StartMode::Fresh, Launch::default()).await.unwrap_err();
        assert!(matches!(error, RunnerError::Refused { refusal: Refusal::RunDestroyed }), "{error}");
    }
    assert!(!exists(&spawned) && !exists(&bench.data.path().join("runs")));
    assert_eq!(bench.story(run).await, ["Created", "Destroyed"]);
    assert!(bench.runner.handles().is_empty(), "a refused start is not registered");
}

#[tokio::test]
async fn a_second_start_of_a_running_run_is_refused_and_harmless() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("read line < {}; exit 3", go.path())).await;
    let error = bench.runner.start(handle.run(), Launch::default()).await.unwrap_err();
    assert_eq!(error.code(), "stale_attempt");
    let again = bench.runner.start_attempt(handle.run(), handle.attempt(), StartMode::Fresh, Launch::default()).await;
    assert_eq!(again.unwrap_err().code(), "under_way");
    assert!(bench.runner.handle(handle.run(), handle.attempt()).is_some(), "the first keeps its place");
    let names = std::fs::read_dir(handle.directory().unwrap().parent().unwrap()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["attempt-1"]);
    go.release().await;
    assert_eq!(status(&handle).await, ExitStatus::Code(3));
}

#[tokio::test]
async fn a_failed_start_stays_in_the_history_of_the_attempt_that_succeeds() {
    let bench = Bench::open().await;
    let program = bench.data.path().join("late-program");
    let run = bench.runner.create(command(&[program.to_str().unwrap()])).await.unwrap();
    let first = bench.runner.start(run, Launch::default()).await.unwrap();
    assert_eq!(failure(&first.wait().await.unwrap()).kind, FailureKind::NotFound);
    self::program(&program, "#!/bin/sh\nexit 0\n");
    let second = bench.runner.restart(run, Launch::default()).await.unwrap();
    assert_eq!(status(&second).await, ExitStatus::Code(0));
    assert_eq!(bench.story(run).await, ["Created", "Started", "Failed", "Started", "Exited"]);
    let events = bench.events(run).await;
    let Event::Started { previous, cause, ordinal, .. } = &events[3] else { panic!("{events:?}") };
    assert_eq!((*previous, *cause, ordinal.0), (Some(first.attempt()), StartCause::Restart, 2));
    let record = bench.record(run).await;
    assert_eq!(record.run.status, Status::Exited);
    assert!(matches!(record.run.attempt.as_ref().unwrap().outcome, Some(Outcome::Exited { .. })), "no stale reason");
    assert!(first.directory().unwrap().ends_with("attempt-1") && second.directory().unwrap().ends_with("attempt-2"));
}

#[tokio::test]
async fn stopping_a_failed_run_spawns_nothing_and_rewrites_nothing() {
    let bench = Bench::open().await;
    let handle = bench.launch(command(&["no-such-program"]), Launch::default()).await;
    let end = handle.wait().await.unwrap();
    handle.terminate(Duration::ZERO);
    bench.runner.perform(&[Effect::EndAttempt { run: handle.run(), attempt: handle.attempt() }]);
    let record = bench.record(handle.run()).await;
    assert_eq!(record.run.attempt.as_ref().unwrap().outcome.as_ref(), Some(&end.outcome));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn a_name_that_is_held_is_refused_until_its_holder_has_ended() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let named = |script: &str| RunSpec { name: Some("build".to_owned()), ..sh(script) };
    let first = bench.launch(named(&format!("read line < {}", go.path())), Launch::default()).await;
    assert_eq!(bench.runner.create(named("exit 0")).await.unwrap_err().code(), "name_held");
    go.release().await;
    first.wait().await.unwrap();
    assert!(bench.runner.create(named("exit 0")).await.is_ok());
}

#[tokio::test]
async fn the_child_knows_its_ids_and_its_directory_is_its_own() {
    let bench = Bench::open().await;
    let handle = bench.sh("echo $TACHO_RUN_ID $TACHO_ATTEMPT_ID $TACHO_RUN_DIR $$").await;
    handle.wait().await.unwrap();
    let directory = bench.data.path().join("runs").join(handle.run().to_string()).join("attempt-1");
    assert_eq!(handle.directory(), Some(directory.as_path()));
    let pid = handle.pid().unwrap();
    let told = format!("{} {} {} {pid}\n", handle.run(), handle.attempt(), directory.display());
    assert_eq!(String::from_utf8(file(&handle, "stdout")).unwrap(), told);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&directory), mode(directory.parent().unwrap())), (0o700, 0o700));
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn the_identity_on_disk_is_that_of_the_running_process() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("read line < {}", go.path())).await;
    let identity = identity_of(&bench, &handle).unwrap();
    assert_eq!((identity.run, identity.attempt), (handle.run(), handle.attempt()));
    assert_eq!(identity.supervisor, ProcessIdentity::of(std::process::id()).unwrap());
    let process = identity.process.unwrap();
    assert_eq!(process, ProcessIdentity::of(handle.pid().unwrap()).unwrap());
    assert!(process.is_alive());
    go.release().await;
    handle.wait().await.unwrap();
    assert!(!process.is_alive());
}

fn identity_of(bench: &Bench, handle: &RunHandle) -> Option<Identity> {
    let runs = bench.data.path().join("runs");
    let directory = tachograph_adapters::process::AttemptDirectory::of(&runs, handle.run(), handle.ordinal().unwrap());
    Identity::read(&directory, handle.run(), handle.attempt()).unwrap()
}

#[tokio::test]
async fn environment_values_reach_the_child_and_nothing_else() {
    let bench = Bench::open().await;
    let secret = "correct-horse-battery";
    let launch = Launch { env: vec![("TOKEN".into(), secret.into())], ..Launch::default() };
    assert!(!format!("{launch:?}").contains(secret));
    // The child shows that it has it, without showing it.
    let handle = bench.launch(sh("test \"$TOKEN\" = correct-''horse-battery"), launch).await;
    assert_eq!(status(&handle).await, ExitStatus::Code(0));
    for name in ["identity.json", "exit.json", "stdout", "stderr"] {
        assert!(!String::from_utf8_lossy(&file(&handle, name)).contains(secret), "{name}");
    }
    let history = bench.engine.reader().history(handle.run()).await.unwrap();
    assert!(!format!("{history:?}").contains(secret));
}

#[tokio::test]
async fn a_withheld_environment_is_empty_but_for_what_is_given() {
    let bench = Bench::open().await;
    let env = vec![("ONLY".into(), "this".into())];
    let launch = Launch { env_clear: true, env, ..Launch::default() };
    let handle = bench.launch(sh("echo \"${CARGO_MANIFEST_DIR-none} $ONLY\""), launch).await;
    handle.wait().await.unwrap();
    assert_eq!(file(&handle, "stdout"), b"none this\n");
}

#[tokio::test]
async fn nothing_of_a_name_or_label_reaches_a_path() {
    let bench = Bench::open().await;
    let hostile = "../../escape";
    let labels = [(hostile.to_owned(), hostile.to_owned())].into();
    let spec = RunSpec { name: Some(hostile.to_owned()), labels, ..sh("exit 0") };
    let handle = bench.launch(spec, Launch::default()).await;
    exit(&handle.wait().await.unwrap());
    let mut inside: Vec<_> =
        std::fs::read_dir(bench.data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    inside.sort();
    assert_eq!(inside, ["report.sock", "runs"]);
    let runs: Vec<_> = std::fs::read_dir(bench.data.path().join("runs")).unwrap().collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].as_ref().unwrap().file_name().to_str(), Some(handle.run().to_string().as_str()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_a_failed_start() {
    let bench = Bench::open().await;
    std::fs::write(bench.data.path().join("runs"), "in the way").unwrap();
    let handle = bench.sh("exit 0").await;
    let end = handle.wait().await.unwrap();
    assert_eq!(failure(&end).kind, FailureKind::SpawnFailed);
    assert!(failure(&end).message.contains("runs"), "{}", failure(&end).message);
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn a_container_without_a_shim_is_refused_before_anything_is_recorded_about_a_start() {
    let bench = Bench::manual().await.0;
    let workload = Workload::Image { reference: "image:1".to_owned(), argv: Vec::new() };
    let run = bench.runner.create(RunSpec { workload, ..RunSpec::default() }).await.unwrap();
    assert_eq!(bench.runner.start(run, Launch::default()).await.unwrap_err().code(), "no_shim");
    assert_eq!(bench.story(run).await, ["Created"]);
}

/// The handle of a start whose `Started` waits at the gate.
async fn starting(bench: &Bench, run: RunId, attempt: AttemptId) -> RunHandle {
    let begun = Instant::now();
    loop {
        match bench.runner.handle(run, attempt) {
            Some(handle) => return handle,
            None => assert!(begun.elapsed() < HANG, "it is registered before it is recorded"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_spawned_before_the_start_is_durable_nor_after_its_end_was_asked_for() {
    let bench = Bench::open().await;
    let run = bench.runner.create(sh("exit 0")).await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    bench.gate.send_replace(false);
    let runner = bench.runner.clone();
    let start =
        tokio::spawn(async move { runner.start_attempt(run, attempt, StartMode::Fresh, Launch::default()).await });
    let early = starting(&bench, run, attempt).await;
    assert!(early.pid().is_none() && !exists(&bench.data.path().join("runs")));
    early.terminate(Duration::ZERO);
    bench.gate.send_replace(true);
    let end = start.await.unwrap().unwrap().wait().await.unwrap();
    assert_eq!(failure(&end).kind, FailureKind::StartAbandoned);
    assert!(early.pid().is_none() && !exists(&bench.data.path().join("runs")));
    assert_eq!(bench.story(run).await, ["Created", "Started", "Failed"]);
}

#[tokio::test]
async fn a_run_destroyed_while_it_starts_leaves_no_process() {
    let bench = Bench::open().await;
    let never = bench.pipe("never");
    let run = bench.runner.create(sh(&format!("read line < {}", never.path()))).await.unwrap();
    let attempt = AttemptId::from_ulid(bench.engine.mint());
    bench.gate.send_replace(false);
    let (starter, destroyer) = (bench.runner.clone(), bench.runner.clone());
    let start =
        tokio::spawn(async move { starter.start_attempt(run, attempt, StartMode::Fresh, Launch::default()).await });
    let early = starting(&bench, run, attempt).await;
    let destroy = tokio::spawn(async move { destroyer.destroy(run, true, "changed my mind").await });
    bench.gate.send_replace(true);
    destroy.await.unwrap().unwrap();
    // Whichever of the two the start met first: it is over, and the run stays destroyed.
    if let Ok(handle) = start.await.unwrap() {
        handle.wait().await.unwrap();
    }
    early.exited().await;
    assert!(matches!(bench.record(run).await.run.status, Status::Destroyed { .. }));
    assert!(bench.runner.shutdown(LONG).await.unfinished.is_empty());
    let alive = early.pid().map(ProcessIdentity::of);
    assert!(!matches!(alive, Some(Ok(_))), "{alive:?}");
}

#[tokio::test]
async fn a_run_is_created_and_started_by_one_append() {
    let bench = Bench::open().await;
    let handle = bench.runner.launch(sh("exit 7"), Launch::default()).await.unwrap();
    assert_eq!(status(&handle).await, ExitStatus::Code(7));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    // The opening, both together, and the end.
    assert_eq!(*bench.appends.lock().unwrap(), [1, 2, 1]);
}

#[tokio::test]
async fn a_launch_under_a_name_that_is_held_is_refused_once_and_leaves_nothing() {
    let bench = Bench::open().await;
    let named = || RunSpec { name: Some("build".to_owned()), ..sh("read line") };
    let holder = bench.runner.create(named()).await.unwrap();
    let before = bench.engine.head().position.0;
    let refused = bench.runner.launch(named(), Launch::default()).await.unwrap_err();
    let RunnerError::Refused { refusal: Refusal::NameHeld { holder: told, .. } } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(told, holder);
    assert_eq!(bench.engine.head().position.0, before + 1, "the refusal of the start says nothing more");
    assert!(!exists(&bench.data.path().join("runs")) && bench.runner.handles().is_empty());
}

#[tokio::test]
async fn nothing_is_spawned_before_both_records_are_durable() {
    let bench = Bench::open().await;
    let mark = bench.data.path().join("mark");
    bench.gate.send_replace(false);
    let launching = tokio::spawn({
        let (runner, spec) = (bench.runner.clone(), sh(&format!("touch {}", mark.display())));
        async move { runner.launch(spec, Launch::default()).await }
    });
    let begun = Instant::now();
    while bench.runner.handles().is_empty() {
        assert!(begun.elapsed() < HANG, "it is not begun");
        tokio::task::yield_now().await;
    }
    assert!(!exists(&bench.data.path().join("runs")) && !exists(&mark));
    bench.gate.send_replace(true);
    assert_eq!(status(&launching.await.unwrap().unwrap()).await, ExitStatus::Code(0));
    assert!(exists(&mark));
}

/// Ignores how its children end from its beginning.
#[tokio::test]
#[ignore = "is the child of the test after it"]
async fn as_one_that_ignores_exits() {
    let (bench, _clock) = Bench::manual().await;
    let run = bench.runner.create(sh("exit 7")).await.unwrap();
    let error = bench.runner.start(run, Launch::default()).await.unwrap_err();
    assert!(matches!(error, RunnerError::ExitsIgnored { run: named } if named == run), "{error}");
    assert!(error.to_string().contains("call shim::heed_child_exits()"), "{error}");
    assert_eq!(bench.story(run).await, ["Created"], "it can still be started");
    heed_child_exits();
    let handle = bench.runner.start(run, Launch::default()).await.unwrap();
    assert_eq!(status(&handle).await, ExitStatus::Code(7));
}

#[tokio::test]
async fn nothing_is_started_whose_exit_would_be_lost() {
    let bench = Bench::open().await;
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    let again = ["--exact", "starts::as_one_that_ignores_exits", "--ignored"];
    let spec = command(&[&["env", "--ignore-signal=CHLD", this], &again[..]].concat());
    let handle = bench.launch(spec, Launch::default()).await;
    let said = tokio::time::timeout(HANG, status(&handle)).await;
    let output = String::from_utf8_lossy(&file(&handle, "stdout")).into_owned();
    assert_eq!(said, Ok(ExitStatus::Code(0)), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}
