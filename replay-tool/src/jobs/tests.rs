use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use tachograph_adapters::process::ReadyProbe;
use tachograph_engine::domain::{FailureKind, Stream};

use super::*;
use crate::size::Size;

/// The problems of a text as a person sees them.
fn listing(text: &[u8]) -> String {
    let problems = parse(text).expect_err("the text must not be accepted");
    JobsError::Invalid { path: PathBuf::from("jobs.toml"), problems }.to_string()
}

#[track_caller]
fn assert_listing(text: &str, expected: &[&str]) {
    assert_eq!(listing(text.as_bytes()).lines().collect::<Vec<_>>(), expected);
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_key_is_read_and_jobs_keep_the_order_of_the_file() {
    let jobs = parse(
        br#"
[jobs.zeta]
command = ["make", "-j4"]
cwd = "/src"
env = { CC = "clang" }
labels = { team = "core" }
retries = 2
timeout = "1m30s"
expect = { signal = "SIGKILL" }
snapshot_delay = "1m"
snapshot_command = ["save", "--to", "s3"]
ready = { line = "is up", stream = "stderr" }
ready_within = "1m"
output_limit = "64MB"

[jobs.alpha]
command = ["true"]
"#,
    )
    .unwrap();
    let zeta = Job {
        name: "zeta".to_owned(),
        command: vec!["make".to_owned(), "-j4".to_owned()],
        cwd: Some("/src".to_owned()),
        env: strings([("CC", "clang")]),
        labels: strings([("team", "core")]),
        retries: 2,
        timeout: Some("90s".parse().unwrap()),
        output_limit: Some(Size(64_000_000)),
        expect: Expectation::Signal(9),
        snapshot_delay: Some("1m".parse().unwrap()),
        snapshot_command: Some(vec!["save".to_owned(), "--to".to_owned(), "s3".to_owned()]),
        ready: Some(ReadyCheck {
            probe: ReadyProbe::Line { stream: Some(Stream::Stderr), text: "is up".to_owned() },
            within: Duration::from_secs(60),
        }),
        oci: None,
    };
    let alpha = Job {
        name: "alpha".to_owned(),
        command: vec!["true".to_owned()],
        cwd: None,
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        retries: 0,
        timeout: None,
        output_limit: None,
        expect: Expectation::Code(0),
        snapshot_delay: None,
        snapshot_command: None,
        ready: None,
        oci: None,
    };
    assert_eq!(jobs, [zeta, alpha]);
    assert_eq!(jobs[0].spec().limits.wall_ms, Some(90_000));
    assert_eq!(jobs[0].spec().limits.output_bytes, Some(64_000_000));
    assert!(tachograph_engine::domain::limits::check_spec(&jobs[0].spec()).is_ok());
}

#[test]
fn a_container_needs_its_bundle_and_no_command() {
    let jobs = parse(
        b"[jobs.a.oci]\nbundle = \"/b\"\nruntime = \"crun\"\n[jobs.b]\ncommand = [\"ls\"]\noci = { bundle = \"/b\" }\n",
    );
    let jobs = jobs.unwrap();
    assert_eq!(jobs[0].oci, Some(OciJob { bundle: "/b".to_owned(), runtime: Some("crun".to_owned()) }));
    let image = |argv: &[&str]| {
        let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
        tachograph_engine::domain::Workload::Image { reference: "/b".to_owned(), argv }
    };
    assert_eq!((jobs[0].spec().workload, jobs[1].spec().workload), (image(&[]), image(&["ls"])));
    for (text, why) in [
        ("[jobs.a.oci]\nruntime = \"runc\"\n", "jobs.a.oci: has no bundle"),
        ("[jobs.a.oci]\nbundle = 1\n", "jobs.a.oci.bundle: expected"),
        ("[jobs.a]\ncwd = \"/\"\noci = { bundle = \"/b\" }\n", "jobs.a: cwd with oci"),
        ("[jobs.a.oci]\nbundel = \"/b\"\n", "jobs.a.oci: unknown key \"bundel\""),
        ("[jobs.a.oci]\nbundle = \"/b\"\nruntime = \"\"\n", "jobs.a.oci.runtime: expected the name"),
    ] {
        let problems = listing(text.as_bytes());
        assert!(problems.contains(why), "{text}: {problems}");
    }
}

#[test]
fn every_form_of_timeout_and_expectation_is_read() {
    let read = |line: &str| parse(format!("[jobs.a]\ncommand = [\"x\"]\n{line}\n").as_bytes()).unwrap().remove(0);
    for (text, ms) in [("2", 2_000), ("0.1", 100), ("+1_0", 10_000), ("\"500ms\"", 500), ("\"1.5s\"", 1_500)] {
        let timeout = read(&format!("timeout = {text}")).timeout;
        assert_eq!(timeout.map(DurationMs::as_millis), Some(ms), "{text}");
    }
    for (text, expect) in [
        ("{ code = 3 }", Expectation::Code(3)),
        ("3", Expectation::Code(3)),
        ("0x10", Expectation::Code(16)),
        ("{ signal = 9 }", Expectation::Signal(9)),
        ("{ signal = \"term\" }", Expectation::Signal(15)),
        ("{ failure = \"not_found\" }", Expectation::Failure(FailureKind::NotFound)),
        ("\"timed_out\"", Expectation::Failure(FailureKind::TimedOut)),
    ] {
        assert_eq!(read(&format!("expect = {text}")).expect, expect, "{text}");
    }
}

#[test]
fn unknown_keys_are_named_with_a_suggestion() {
    assert_listing(
        "[jobs.build]\ncomand = [\"make\"]\n  timout = 3\nshell = true\n[job.test]\ncommand = [\"x\"]\n",
        &[
            "jobs.toml:1:7: jobs.build: has no command; expected command = [\"PROGRAM\", \"ARGUMENT\", …]",
            "jobs.toml:2:1: jobs.build: unknown key \"comand\"; did you mean \"command\"?",
            "jobs.toml:3:3: jobs.build: unknown key \"timout\"; did you mean \"timeout\"?",
            "jobs.toml:4:1: jobs.build: unknown key \"shell\"",
            "jobs.toml:5:2: unknown key \"job\"; did you mean \"jobs\"?; jobs are tables [jobs.NAME]",
        ],
    );
}

#[test]
fn wrong_types_are_placed_at_the_value() {
    assert_listing(
        "[jobs.a]\ncommand = \"make\"\ncwd = 3\nenv = [\"A=b\"]\nlabels = { \"ä\" = 1, n = 2 }\nretries = \"two\"\n\
         timeout = true\nexpect = [1]\n[jobs.b]\ncommand = [\"x\", 1]\n[jobs]\nc = 5\n",
        &[
            "jobs.toml:2:11: jobs.a.command: expected an array of strings, found a string",
            "jobs.toml:3:7: jobs.a.cwd: expected a string, found an integer",
            "jobs.toml:4:7: jobs.a.env: expected a table, found an array",
            "jobs.toml:5:18: jobs.a.labels.\"ä\": expected a string, found an integer",
            "jobs.toml:5:25: jobs.a.labels.n: expected a string, found an integer",
            "jobs.toml:6:11: jobs.a.retries: expected an integer, found a string",
            "jobs.toml:7:11: jobs.a.timeout: expected a duration such as \"30s\" or a number of seconds, found a boolean",
            "jobs.toml:8:10: jobs.a.expect: expected { code = 3 }, { signal = 9 } or { failure = \"not_found\" }, \
             found an array",
            "jobs.toml:10:17: jobs.b.command[1]: expected a string, found an integer",
            "jobs.toml:12:5: jobs.c: expected a table, found an integer",
        ],
    );
}

#[test]
fn values_out_of_bounds_are_named_with_the_bound() {
    let label = "v".repeat(10_000_000);
    let name = "n".repeat(129);
    let argv = "\"a\",".repeat(100_000);
    assert_listing(
        &format!(
            "[jobs.a]\ncommand = []\nretries = 10000\ntimeout = 0\nlabels = {{ owner = \"{label}\", \"k=v\" = \"\" }}\n\
             [jobs.b]\ncommand = [\"x\", \"a\\u0000b\"]\ncwd = \"\"\nenv = {{ \"A=B\" = \"\", N = \"\\u0000\", TACHO_RUN_ID = \"1\" }}\n\
             timeout = \"36501d\"\n[jobs.c]\ncommand = [{argv}]\ntimeout = \"1x\"\n[jobs.{name}]\ncommand = [\"\"]\n"
        ),
        &[
            "jobs.toml:2:11: jobs.a.command: names no program",
            "jobs.toml:3:11: jobs.a.retries: 10000 is out of bounds; 0 to 9999",
            "jobs.toml:4:11: jobs.a.timeout: must be longer than zero; leave it out for no timeout",
            "jobs.toml:5:20: jobs.a.labels.owner: 10000000 bytes; at most 1024",
            "jobs.toml:5:10000032: jobs.a.labels.\"k=v\": the key \"k=v\" contains '='",
            "jobs.toml:7:11: jobs.b.command: argument 1 contains a NUL",
            "jobs.toml:8:7: jobs.b.cwd: is empty",
            "jobs.toml:9:17: jobs.b.env.\"A=B\": a variable's name is not empty and contains neither '=' nor NUL",
            "jobs.toml:9:25: jobs.b.env.N: contains a NUL",
            "jobs.toml:9:50: jobs.b.env.TACHO_RUN_ID: is set by tacho itself",
            "jobs.toml:10:11: jobs.b.timeout: is longer than 100 years",
            "jobs.toml:12:11: jobs.c.command: 100000 arguments; at most 4096",
            "jobs.toml:13:11: jobs.c.timeout: unknown unit \"x\"; use d, h, m, s or ms",
            &format!("jobs.toml:14:7: jobs.{}: 129 bytes; at most 128", "n".repeat(64)),
            &format!("jobs.toml:15:11: jobs.{}.command: names no program", "n".repeat(64)),
        ],
    );
}

#[test]
fn a_snapshots_delay_is_bounded_and_its_command_needs_one() {
    let delay = |text: &str| {
        let job = format!("[jobs.a]\ncommand = [\"x\"]\nsnapshot_delay = {text}\n");
        parse(job.as_bytes()).unwrap().remove(0).snapshot_delay.map(DurationMs::as_millis)
    };
    assert_eq!((delay("0"), delay("0.5"), delay("\"30d\"")), (Some(0), Some(500), Some(2_592_000_000)));
    let job = |name: &str, lines: &str| format!("[jobs.{name}]\ncommand = [\"x\"]\n{lines}\n");
    assert_listing(
        &[
            job("a", "snapshot_delay = \"30d1ms\""),
            job("b", "snapshot_delay = [5]"),
            job("c", "snapshot_command = [\"save\"]"),
            job("d", "snapshot_delay = 5\nsnapshot_command = []"),
            job("e", "snapshot_delay = 5\nsnapshot_command = \"save\""),
            job("f", "snapshot_delay = \"soon\"\nsnapshot_command = [\"save\"]"),
            job("g", "snapshot_dely = 5\nenv = { TACHO_CONTROL = \"x\", TACHO_EXE = \"x\" }"),
        ]
        .concat(),
        &[
            "jobs.toml:3:18: jobs.a.snapshot_delay: is longer than 30 days, the longest delay of a snapshot",
            "jobs.toml:6:18: jobs.b.snapshot_delay: expected a duration such as \"30s\" or a number of seconds, found an \
             array",
            "jobs.toml:9:1: jobs.c: snapshot_command without snapshot_delay; say after how long it is called",
            "jobs.toml:13:20: jobs.d.snapshot_command: names no program",
            "jobs.toml:17:20: jobs.e.snapshot_command: expected an array of strings, found a string",
            "jobs.toml:20:18: jobs.f.snapshot_delay: expected a duration such as \"30s\", \"1m30s\" or \
             \"500ms\", or a number of seconds",
            "jobs.toml:24:1: jobs.g: unknown key \"snapshot_dely\"; did you mean \"snapshot_delay\"?",
            "jobs.toml:25:25: jobs.g.env.TACHO_CONTROL: is set by tacho itself",
            "jobs.toml:25:42: jobs.g.env.TACHO_EXE: is set by tacho itself",
        ],
    );
}

#[test]
fn names_that_no_run_may_have_are_refused() {
    assert_listing(
        "[jobs.\"a\\u0000b\"]\ncommand = [\"x\"]\n[jobs.\"\"]\ncommand = [\"x\"]\n\
         [jobs.01ARZ3NDEKTSV4RRFFQ69G5FAV]\ncommand = [\"x\"]\n",
        &[
            "jobs.toml:1:7: jobs.\"a\\0b\": contains the control character U+0000",
            "jobs.toml:3:7: jobs.\"\": is empty",
            "jobs.toml:5:7: jobs.01ARZ3NDEKTSV4RRFFQ69G5FAV: has the form of a run id",
        ],
    );
}

#[test]
fn too_large_environments_and_too_many_labels_are_refused() {
    let many: String = (0..65).map(|index| format!("l{index} = \"\"\n")).collect();
    let value = "v".repeat(ENV_BYTES_MAX);
    assert_listing(
        &format!("[jobs.a]\ncommand = [\"x\"]\n[jobs.a.env]\nA = \"{value}\"\n[jobs.a.labels]\n{many}"),
        &[
            "jobs.toml:3:1: jobs.a.env: 131073 bytes; at most 131072",
            "jobs.toml:5:1: jobs.a.labels: 65 labels; at most 64",
        ],
    );
}

#[test]
fn wrong_expectations_say_what_would_be_right() {
    let job = |name: &str, expect: &str| format!("[jobs.{name}]\ncommand = [\"x\"]\nexpect = {expect}\n");
    assert_listing(
        &[
            job("a", "{ code = 256 }"),
            job("b", "{ signal = \"KIL\" }"),
            job("c", "{ failure = \"not-found\" }"),
            job("d", "\"SIGKILL\""),
            job("e", "{ code = 0, signal = 9 }"),
            job("f", "{ exit = 1 }"),
            job("g", "{}"),
            job("h", "{ signal = 65 }"),
        ]
        .concat(),
        &[
            "jobs.toml:3:19: jobs.a.expect.code: 256 is out of bounds; 0 to 255",
            "jobs.toml:6:21: jobs.b.expect.signal: unknown signal \"KIL\"; did you mean \"KILL\"?",
            "jobs.toml:9:22: jobs.c.expect.failure: unknown failure \"not-found\"; did you mean \"not_found\"?",
            "jobs.toml:12:10: jobs.d.expect: unknown failure \"SIGKILL\"; for a signal write { signal = \"KILL\" }",
            "jobs.toml:15:10: jobs.e.expect: expected exactly one of code, signal and failure",
            "jobs.toml:18:12: jobs.f.expect: unknown key \"exit\"",
            "jobs.toml:21:10: jobs.g.expect: expected exactly one of code, signal and failure",
            "jobs.toml:24:21: jobs.h.expect.signal: 65 is out of bounds; 1 to 64",
        ],
    );
}

#[test]
fn duplicates_and_syntax_errors_have_a_place_and_nothing_is_guessed_after_them() {
    assert_listing(
        "[jobs.a]\ncommand = [\"x\"]\ntimout = 1\n[jobs.a]\ncommand = [\"y\"]\n",
        &["jobs.toml:4:7: duplicate key"],
    );
    assert_listing(
        "[jobs.a]\ncommand = [\"x\"\nretries = 2\n",
        &["jobs.toml:3:1: missing comma between array elements, expected `,`"],
    );
    assert_eq!(
        listing(b"[jobs.a]\ncommand = [\"\xff\"]\n"),
        "jobs.toml:2:13: is not UTF-8 from here on; jobs files are UTF-8 text"
    );
}

#[test]
fn a_file_without_jobs_is_an_error() {
    for text in ["", "# nothing\n", "[jobs]\n"] {
        assert_listing(text, &["jobs.toml:1:1: no jobs; expected at least one table [jobs.NAME]"]);
    }
    assert_listing("jobs = 3", &["jobs.toml:1:8: jobs: expected a table, found an integer"]);
    let many: String = (0..=JOBS_MAX).map(|index| format!("[jobs.j{index}]\ncommand = [\"x\"]\n")).collect();
    assert_listing(&many, &["jobs.toml:1:2: 10001 jobs; at most 10000"]);
}

#[test]
fn a_long_list_of_problems_is_cut_with_their_number() {
    let text: String = (0..50).map(|index| format!("x{index} = 1\n")).collect();
    let listing = listing(text.as_bytes());
    assert_eq!(listing.lines().count(), PROBLEMS_SHOWN_MAX + 1);
    assert_eq!(listing.lines().last(), Some("jobs.toml: and 30 more"));
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let message = read(dir.path()).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot read the jobs file {}: ", dir.path().display())), "{message}");
    assert!(matches!(read(&dir.path().join("missing.toml")), Err(JobsError::Unreadable { .. })));
    assert!(matches!(read(Path::new("/dev/zero")), Err(JobsError::TooLong { bytes_max: JOBS_FILE_BYTES_MAX, .. })));
}

#[test]
fn the_example_and_the_documented_file_are_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = read(&root.join("examples/jobs.toml")).unwrap();
    assert!(example.len() >= 14, "{} jobs", example.len());
    let document = std::fs::read_to_string(root.join("docs/jobs.md")).unwrap();
    let block = |kind: &str| document.split_once(kind).unwrap().1.split_once("\n```").unwrap().0.to_owned();
    let documented = parse(block("```toml\n").as_bytes()).unwrap();
    assert_eq!(documented.len(), 1);
    let shown = block("```text\ntacho: error[invalid_jobs]: ");
    let wrong = "[jobs.build]\ncomand = [\"make\"]\ntimeout = \"1x\"\ncommand = [\"make\"]\n";
    assert_eq!(shown.split_once("\n  help: ").unwrap().0, listing(wrong.as_bytes()));
    for key in file::JOB_KEYS {
        assert!(document.contains(&format!("\n| `{key}` |")), "docs/jobs.md lacks {key}");
    }
}

#[test]
fn what_shows_that_a_job_is_ready_is_read_or_told_with_its_place() {
    let ready = |lines: &str| {
        let job = format!("[jobs.a]\ncommand = [\"x\"]\n{lines}\n");
        parse(job.as_bytes()).unwrap().remove(0).ready
    };
    let check = |probe, seconds| Some(ReadyCheck { probe, within: Duration::from_secs(seconds) });
    assert_eq!(ready("ready = { file = \"up\" }"), check(ReadyProbe::File("up".into()), 30));
    assert_eq!(ready("ready_within = 5\nready = { port = 8080 }"), check(ReadyProbe::Port(8080), 5));
    let line = ReadyProbe::Line { stream: None, text: "is up".to_owned() };
    assert_eq!(ready("ready = { line = \"is up\" }"), check(line, 30));
    let job = |name: &str, lines: &str| format!("[jobs.{name}]\ncommand = [\"x\"]\n{lines}\n");
    let text = [
        job("a", "ready = \"up\""),
        job("b", "ready = { port = 70000 }"),
        job("c", "ready = { file = \"../up\" }"),
        job("d", "ready = { file = \"up\", port = 1 }"),
        job("e", "ready = { port = 1, stream = \"stdout\" }"),
        job("f", "ready = { line = \"a\\nb\" }"),
        job("g", "ready = { prot = 1 }"),
        job("h", "ready_within = \"5s\""),
        job("i", "ready = { port = 1 }\nready_within = 0"),
        job("j", "ready = { line = \"x\", stream = \"out\" }"),
    ];
    assert_listing(
        &text.concat(),
        &[
            "jobs.toml:3:9: jobs.a.ready: expected { file = \"up\" }, { line = \"listening\" } or { port = 8080 }, found a \
             string",
            "jobs.toml:6:18: jobs.b.ready.port: 70000 is out of bounds; 1 to 65535",
            "jobs.toml:9:9: jobs.c.ready: the file \"../up\" leads out of the attempt's directory; give an absolute path",
            "jobs.toml:12:9: jobs.d.ready: expected exactly one of file, line and port",
            "jobs.toml:15:21: jobs.e.ready: stream goes with line only",
            "jobs.toml:18:9: jobs.f.ready: the text contains a line break; it is looked for within one line",
            "jobs.toml:21:9: jobs.g.ready: expected exactly one of file, line and port",
            "jobs.toml:21:11: jobs.g.ready: unknown key \"prot\"; did you mean \"port\"?",
            "jobs.toml:24:1: jobs.h: ready_within without ready; say what shows that the job is ready",
            "jobs.toml:28:16: jobs.i.ready_within: must be longer than zero; leave it out for no timeout",
            "jobs.toml:31:32: jobs.j.ready.stream: expected \"stdout\" or \"stderr\"",
        ],
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_accepted_could_be_created(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "[jobs.a]", "[jobs.b]", "[jobs.\"\"]", "[jobs]", "[[jobs.a]]", "command = [\"x\"]", "command = []",
                "env = { A = \"b\" }", "labels = { a = \"b\" }", "labels = { \"\" = \"\" }", "retries = 1", "retries = -1",
                "timeout = 1e3", "timeout = nan", "timeout = \"1m\"", "expect = 3", "expect = { signal = 0 }", "a.b = ",
                "cwd = \"\\u0000\"", "cwd = '/'", "\u{1f600}", "x = 0x7fffffffffffffffff", "retries = 0b1",
            ]),
            0..8,
        ),
    ) {
        match parse(lines.join("\n").as_bytes()) {
            Ok(jobs) => {
                prop_assert!(!jobs.is_empty());
                for job in jobs {
                    prop_assert!(tachograph_engine::domain::limits::check_spec(&job.spec()).is_ok());
                }
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
