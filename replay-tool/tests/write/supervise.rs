use tachograph_engine::domain::{ExitStatus, FailureKind};

use super::support::{Place, failure, status};

const JOBS: &str = r#"
[jobs.fine]
command = ["sh", "-c", "echo $GREETING; pwd"]
cwd = "/"
env = { GREETING = "hello" }
labels = { team = "core" }

[jobs.second-try]
command = ["sh", "-c", "test $TACHO_ATTEMPT -ge 2"]
retries = 1

[jobs.missing]
command = ["there-is-no-such-program"]
expect = { failure = "not_found" }
retries = 5

[jobs.killed]
command = ["sh", "-c", "kill -9 $$"]
expect = { signal = 9 }
"#;

#[test]
fn jobs_that_end_as_expected_give_0_and_the_same_file_runs_again_on_the_same_data() {
    let place = Place::new();
    let jobs = place.jobs(JOBS);
    for round in 1..=2 {
        let finished = place.finish(["supervise", &jobs]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stdout.ends_with(", all as expected\n"), "{}", finished.stdout);
        assert!(finished.stderr.contains("second-try: attempt 2 started, run "), "{}", finished.stderr);
        let mut seen: Vec<_> = place
            .records()
            .iter()
            .map(|record| {
                let ordinal = record.run.attempt.as_ref().unwrap().ordinal.0;
                (record.run.spec.name.clone().unwrap(), ordinal, status(record), failure(record))
            })
            .collect();
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        seen.dedup();
        assert_eq!(
            seen,
            [
                ("fine".to_owned(), 1, Some(ExitStatus::Code(0)), None),
                ("killed".to_owned(), 1, Some(ExitStatus::Signal(9)), None),
                ("missing".to_owned(), 1, None, Some(FailureKind::NotFound)),
                ("second-try".to_owned(), 2, Some(ExitStatus::Code(0)), None),
            ]
        );
        assert_eq!(place.records().len(), 4 * round, "every time new runs under the same names");
        place.assert_closed_cleanly();
    }
}

#[test]
fn json_is_one_array_in_the_order_of_the_file() {
    let place = Place::new();
    let finished = place.finish(["supervise", "--format", "json", "--jobs", "1", &place.jobs(JOBS)]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&finished.stdout).unwrap();
    let jobs: Vec<_> = rows.iter().map(|row| (row["job"].as_str().unwrap(), row["expected"].as_bool())).collect();
    let yes = Some(true);
    assert_eq!(jobs, [("fine", yes), ("second-try", yes), ("missing", yes), ("killed", yes)]);
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md")).unwrap();
    let documented = document.split_once("\n## job\n").unwrap().1.split_once("\n## ").unwrap().0;
    for field in rows[0].as_object().unwrap().keys() {
        assert!(documented.contains(&format!("\n| `{field}` |")), "docs/json.md lacks {field}");
    }
    let records = place.records();
    assert_eq!(rows[0]["run"], records[0].run.id.to_string());
    assert_eq!((&rows[0]["output_bytes"], &rows[1]["attempts"]), (&8.into(), &2.into()));
}

#[test]
fn one_unexpected_end_gives_1_and_is_named() {
    let place = Place::new();
    let jobs = place.jobs("[jobs.a]\ncommand = [\"false\"]\nretries = 2\n[jobs.b]\ncommand = [\"true\"]\n");
    let finished = place.finish(["supervise", &jobs]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.contains("3  code 1  NO: code 0"), "{}", finished.stdout);
    assert!(finished.stdout.ends_with("1 NOT as expected\n"), "{}", finished.stdout);
}

#[test]
fn who_does_not_end_as_expected_is_shown_with_the_place_and_the_last_lines_of_its_output() {
    let place = Place::new();
    let script = "for i in 1 2 3 4 5 6; do echo line $i >&2; done; printf '\\033[2J' >&2; exit 7";
    let jobs = place.jobs(&format!(
        "[jobs.bad]\ncommand = [\"sh\", \"-c\", \"{}\"]\nretries = 1\n[jobs.fine]\ncommand = [\"true\"]\n",
        script.replace('\\', "\\\\")
    ));
    let finished = place.finish(["supervise", &jobs]);
    let record = place.records().into_iter().find(|record| record.run.spec.name.as_deref() == Some("bad")).unwrap();
    let attempt = place.data().join("runs").join(record.run.id.to_string()).join("attempt-2");
    let files = format!("bad: output in {0}/stdout and {0}/stderr\n", attempt.display());
    let lines: String = (3..=6).map(|number| format!("  stderr: line {number}\n")).collect();
    assert!(
        finished.stdout.contains(&format!("{files}{lines}  stderr: \\u{{1b}}[2J\n2 jobs in")),
        "{}",
        finished.stdout
    );
    assert!(!finished.stdout.contains("fine: "), "{}", finished.stdout);
    let shown = place.finish(["show", "bad"]).stdout;
    assert!(shown.contains(&format!("{}\n", attempt.display())), "{shown}");
}

#[test]
fn fail_fast_leaves_later_jobs_alone() {
    let place = Place::new();
    let jobs = place.jobs("[jobs.a]\ncommand = [\"false\"]\n[jobs.b]\ncommand = [\"true\"]\n");
    let finished = place.finish(["supervise", "--fail-fast", "--jobs", "1", &jobs]);
    assert_eq!((finished.code, place.records().len()), (Some(1), 1));
    assert!(finished.stdout.contains("not begun"), "{}", finished.stdout);
}

#[test]
fn a_wrong_jobs_file_is_refused_as_a_whole_before_anything_is_made() {
    let place = Place::new();
    let jobs = place.jobs("[jobs.a]\ncommand = [\"true\"]\n[jobs.b]\ncomand = [\"true\"]\ntimeout = [1]\n");
    let finished = place.finish(["supervise", &jobs]);
    assert_eq!(finished.code, Some(2));
    assert_eq!(
        finished.stderr,
        format!(
            "tacho: error[invalid_jobs]: {jobs}:3:7: jobs.b: has no command; expected command = \
             [\"PROGRAM\", \"ARGUMENT\", …]\n\
             {jobs}:4:1: jobs.b: unknown key \"comand\"; did you mean \"command\"?\n\
             {jobs}:5:11: jobs.b.timeout: expected a duration such as \"30s\" or a number of seconds, found an array\n  \
             help: correct the file; nothing was run\n"
        )
    );
    assert!(!place.data().exists());
    let finished = place.finish(["supervise", "missing.toml"]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.starts_with("tacho: error[unreadable_jobs]: cannot read the jobs file missing.toml: "));
}

#[test]
fn the_example_ends_as_it_says() {
    let place = Place::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/jobs.toml");
    let finished = place.finish(["supervise", example]);
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains("  19 (incomplete)\n"), "{}", finished.stdout);
    place.assert_closed_cleanly();
}
