use super::*;
use tachograph_adapters::control::ControlError;
use tachograph_adapters::process::DirectoryError;
use tachograph_adapters::snapshot::StepError;
use tachograph_engine::domain::SnapshotId;

fn restore_step(kind: io::ErrorKind) -> Error {
    RestoreError::Step(StepError { step: "write", path: PathBuf::from("d"), source: kind.into() }).into()
}

#[test]
fn codes_are_stable() {
    let journal = |error| Error::Journal(error);
    let path = || PathBuf::from("d");
    let cases = [
        (Error::input("a", "b"), "invalid_input", 2, 125),
        (
            Error::UnknownRun { text: "a".into(), data: path(), similar: None, held: Box::default() },
            "unknown_run",
            3,
            125,
        ),
        (Error::NotHeld { asked: "position 5".into(), data: path(), held: Box::default() }, "not_held", 2, 125),
        (Error::BegunBefore { run: RunId::from_u128(1), first: Position(21), data: path() }, "begun_before", 3, 125),
        (Error::AmbiguousRun { prefix: "a".into(), count: 2, candidates: vec![] }, "ambiguous_run", 4, 125),
        (Error::NotYet { run: RunId::from_u128(1), at: Position(1), created: Position(2) }, "unknown_run", 3, 125),
        (Error::NoHealthyRun { run: RunId::from_u128(1), expected: Expectation::Code(0) }, "no_healthy_run", 3, 125),
        (SnapshotProblem::NeverArmed { run: RunId::from_u128(1) }.into(), "unknown_snapshot", 3, 125),
        (
            SnapshotProblem::Ambiguous { prefix: "a".into(), count: 2, candidates: vec![] }.into(),
            "ambiguous_snapshot",
            4,
            125,
        ),
        (
            SnapshotProblem::ImageMissing { snapshot: SnapshotId::from_u128(1), path: path() }.into(),
            "image_missing",
            6,
            125,
        ),
        (RestoreError::Occupied { path: path() }.into(), "occupied", 2, 125),
        (RestoreError::WrongSize { path: path(), expected: 1, actual: 2 }.into(), "image_altered", 7, 125),
        (
            Error::Beside {
                problem: Box::new(ExportProblem::Busy { path: path() }),
                bundle: Some(path()),
                directory: path(),
            },
            "locked",
            8,
            125,
        ),
        (
            ArchiveError::Left {
                bundle: "archive/b.tacho".into(),
                source: JournalError::io("remove", "d", io::ErrorKind::PermissionDenied.into()),
            }
            .into(),
            "io",
            6,
            125,
        ),
        (restore_step(io::ErrorKind::StorageFull), "disk_full", 10, 125),
        (restore_step(io::ErrorKind::QuotaExceeded), "disk_full", 10, 125),
        (restore_step(io::ErrorKind::PermissionDenied), "io", 6, 125),
        (Error::Refused(Refusal::NothingPending), "nothing_pending", 5, 125),
        (Error::Refused(Refusal::UnknownRun), "unknown_run", 3, 125),
        (journal(JournalError::NoJournal { path: path(), why: "x".into() }), "no_journal", 6, 125),
        (journal(JournalError::ReadOnly { path: path() }), "read_only", 6, 125),
        (journal(JournalError::io("open", "d", io::ErrorKind::NotFound.into())), "io", 6, 125),
        (journal(JournalError::Damaged { file: path(), offset: 0, why: "x".into() }), "damaged", 7, 125),
        (journal(JournalError::Locked { path: path(), holder: "x".into() }), "locked", 8, 125),
        (journal(JournalError::NewerFormat { path: path(), found: 2, supported: 1 }), "newer_format", 9, 125),
        (journal(JournalError::Full { path: path() }), "disk_full", 10, 125),
        (journal(JournalError::Poisoned { why: "x".into() }), "poisoned", 10, 125),
        (journal(JournalError::Closed), "closed", 1, 125),
        (journal(JournalError::io("start", "a thread", io::ErrorKind::WouldBlock.into())), "short_of_threads", 1, 125),
        (journal(JournalError::io("open", "d", rustix::io::Errno::MFILE.into())), "short_of_files", 1, 125),
        (Error::no_runtime(rustix::io::Errno::NFILE.into()), "short_of_files", 1, 125),
        (Error::no_runtime(io::ErrorKind::NotFound.into()), "internal", 1, 125),
        (Error::short_of_threads("a test")(io::ErrorKind::WouldBlock.into()), "short_of_threads", 1, 125),
        (Error::Program { found: true, directory: false, message: "x".into() }, "not_executable", 126, 126),
        (Error::Program { found: false, directory: true, message: "x".into() }, "not_found", 127, 127),
        (Error::SpawnFailed { message: "x".into() }, "spawn_failed", 1, 125),
        (Error::OutputLost { message: "x".into() }, "output_lost", 1, 125),
        (Error::TimedOut { message: "x".into() }, "timed_out", 124, 124),
        (Error::NotReady { message: "x".into() }, "start_timeout", 124, 124),
        (Error::output(io::ErrorKind::BrokenPipe.into()), "broken_pipe", 0, 0),
        (Error::output(io::ErrorKind::StorageFull.into()), "output", 1, 125),
        (Error::ExitUnknown { cause: "x".into() }, "exit_unknown", 1, 125),
        (Error::internal("x"), "internal", 1, 125),
    ];
    for (error, code, exit, run_exit) in cases {
        assert_eq!((error.code(), error.exit_code(), error.run_exit_code()), (code, exit, run_exit), "{error}");
    }
}

#[test]
fn advice_is_given_once() {
    let path = || PathBuf::from("d");
    for (error, expected) in [
        (
            JournalError::Damaged { file: path(), offset: 7, why: "x".into() },
            "error[damaged]: d is damaged at offset 7: x\n  help: keep a copy of the directory; `tacho verify` \
             shows the extent\n",
        ),
        (
            JournalError::Locked { path: path(), holder: "pid 7".into() },
            "error[locked]: d is in use by pid 7\n  help: stop that writer; read commands work beside it\n",
        ),
        (
            JournalError::NewerFormat { path: path(), found: 2, supported: 1 },
            "error[newer_format]: d has format version 2; this version reads up to 1\n  help: use a newer tacho\n",
        ),
    ] {
        assert_eq!(Error::Journal(error).to_text(), format!("tacho: {expected}"));
    }
}

#[test]
fn an_error_says_code_message_and_remedy_in_both_formats() {
    let error = Error::UnknownRun {
        text: "bild\u{1b}".into(),
        data: "d\u{1b}".into(),
        similar: Some("build".into()),
        held: Box::default(),
    };
    assert_eq!(
        error.to_text(),
        "tacho: error[unknown_run]: there is no run \"bild\\u{1b}\" in d\\u{1b}\n  \
         help: did you mean \"build\"? `tacho runs` lists all\n"
    );
    assert_eq!(
        error.to_json(),
        r#"{"error":{"code":"unknown_run","message":"there is no run \"bild\\u{1b}\" in d\u001b","remedy":"did you mean \"build\"? `tacho runs` lists all"}}"#
    );
}

#[test]
fn wherever_a_file_cannot_be_opened_the_same_is_to_be_done() {
    let lacking = || io::Error::from(rustix::io::Errno::MFILE);
    let step = || StepError { step: "open", path: PathBuf::from("d"), source: lacking() };
    let directory = || DirectoryError { action: "open", path: PathBuf::from("d"), source: lacking() };
    let journal = || JournalError::io("open", "d", lacking());
    let errors: [Error; 6] = [
        journal().into(),
        ArchiveError::Left { bundle: "b".into(), source: journal() }.into(),
        RestoreError::Step(step()).into(),
        LogsProblem::Unreadable(directory()).into(),
        ControlProblem::from(ControlError::Io { path: PathBuf::from("d"), source: lacking() }).into(),
        JobsError::Unreadable { path: PathBuf::from("d"), source: lacking() }.into(),
    ];
    for error in errors {
        assert!(error.remedy().contains("`ulimit -n`"), "{error}: {}", error.remedy());
    }
}
