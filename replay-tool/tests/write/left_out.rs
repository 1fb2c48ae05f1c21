use std::path::Path;

use serde_json::{Value, json};

use super::job::documented;
use super::support::Place;

/// Bytes of what [`LOUD`] prints, and what is kept of it.
const CAME: u64 = 8_893;
const KEPT_MAX: u64 = 1_000;
const LOUD: &str = "seq 2000";

/// A run of each kind that printed more than is kept, in whose directory nothing tells of that any more.
fn places() -> impl Iterator<Item = Place> {
    [&["--no-shim"][..], &[]].into_iter().map(|shim| {
        let place = Place::new();
        let limit = KEPT_MAX.to_string();
        let arguments =
            [&["run", "--name", "loud", "--output-limit", &limit], shim, &["--", "sh", "-c", LOUD]].concat();
        assert_eq!(place.finish(arguments).code, Some(0));
        forget(&place.data().join("runs"));
        place
    })
}

/// Removes what is written beside the journal, as the run itself could have.
fn forget(runs: &Path) {
    std::fs::remove_dir_all(runs).unwrap();
    std::fs::create_dir(runs).unwrap();
}

fn told(place: &Place, arguments: &[&str]) -> String {
    let finished = place.finish(arguments.iter().copied());
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.stdout
}

fn json_of(place: &Place, arguments: &[&str]) -> Value {
    documented(&told(place, &[&["--format", "json"], arguments].concat()))
}

/// The output in each `Exited` event that is told, in the order of the text.
fn outputs(items: &Value) -> Vec<Value> {
    let exited = items.as_array().unwrap().iter().filter(|item| item["event"]["type"] == "Exited");
    exited.map(|item| item["event"]["output"].clone()).collect()
}

#[test]
fn the_journal_alone_tells_that_output_was_left_out() {
    for place in places() {
        let left_out = CAME - KEPT_MAX;
        let words = format!(
            "{CAME} bytes stdout, 0 bytes stderr; drained, and at least {left_out} bytes of it left out by the limit of \
             {KEPT_MAX}"
        );
        for command in ["show", "timeline", "why"] {
            let text = told(&place, &[command, "loud"]);
            assert!(text.contains(&words) && !text.contains("complete"), "{command}: {text}");
        }
        // An entry alone does not say what may be kept.
        let text = told(&place, &["tail"]);
        assert!(text.contains(&format!("{CAME} bytes stdout, 0 bytes stderr, drained")), "{text}");
        assert!(!text.contains("complete"), "{text}");

        let run = json_of(&place, &["show", "loud"]);
        assert_eq!((&run["output"]["drained"], &run["output"]["left_out_bytes_min"]), (&true.into(), &left_out.into()));
        let (timeline, why) = (json_of(&place, &["timeline", "loud"]), json_of(&place, &["why", "loud"]));
        for outputs in [outputs(&timeline["items"]), outputs(&why["sentences"])] {
            assert!(!outputs.is_empty());
            assert!(outputs.iter().all(|output| output["left_out_bytes_min"] == left_out), "{outputs:?}");
        }
        let page = place.data().with_file_name("page.html");
        told(&place, &["report", "--out", page.to_str().unwrap()]);
        assert!(std::fs::read_to_string(&page).unwrap().contains(" left out by the limit of "));
    }
}

#[test]
fn tables_tell_what_was_left_out_of_a_run_and_of_its_attempts() {
    for place in places() {
        assert_eq!(place.finish(["run", "--name", "quiet", "--", "true"]).code, Some(0));
        let sql = "SELECT r.name, r.drained, r.left_out_bytes_min AS run, a.left_out_bytes_min AS attempt,
            json_extract(a.payload, '$.output.left_out_bytes_min') AS payload
            FROM runs r JOIN attempts a ON a.run = r.run ORDER BY 1";
        let rows: Value = serde_json::from_str(&told(&place, &["sql", sql, "--output", "json"])).unwrap();
        let row = |name: &str, bytes: u64| json!({"name": name, "drained": 1, "run": bytes, "attempt": bytes, "payload": bytes});
        assert_eq!(rows, json!([row("loud", CAME - KEPT_MAX), row("quiet", 0)]));
    }
}

#[test]
fn a_supervisor_says_of_which_jobs_output_was_left_out() {
    let place = Place::new();
    let jobs = place.jobs(&format!(
        "[jobs.fits]\ncommand = ['sh', '-c', '{LOUD}']\noutput_limit = {CAME}\n\
         [jobs.loud]\ncommand = ['sh', '-c', '{LOUD}']\noutput_limit = {KEPT_MAX}\n"
    ));
    let finished = place.finish(["supervise", &jobs]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[1].ends_with(&format!(" {CAME}")), "{}", finished.stdout);
    assert!(lines[2].ends_with(&format!(" {CAME} ({}+ left out)", CAME - KEPT_MAX)), "{}", finished.stdout);
    let rows = json_of(&place, &["supervise", &jobs]);
    let told = |row: usize| (rows[row]["output_complete"].clone(), rows[row]["left_out_bytes_min"].clone());
    assert_eq!([told(0), told(1)], [(true.into(), 0.into()), (false.into(), (CAME - KEPT_MAX).into())]);
}
