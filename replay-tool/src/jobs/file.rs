//! From the text of a jobs file to its jobs, with every problem on the way.

use std::collections::BTreeMap;

use tachograph_engine::domain::limits::{self, ATTEMPTS_MAX};
use tachograph_engine::domain::{Refusal, RunSpec, Workload};
use toml::de::{DeTable, DeValue};

use super::expectation::FAILURE_KINDS;
use super::oci;
use super::problem::{Problem, Problems, suggestion};
use super::readiness::Readiness;
use super::value::{self, Entry, Item, under};
use super::{ENV_BYTES_MAX, Expectation, JOBS_MAX, Job};
use crate::duration::{DurationMs, check_snapshot_delay};
use crate::report::EXE_VARIABLE;
use crate::signal;
use crate::size::Size;

pub(super) const JOB_KEYS: [&str; 13] = [
    "command",
    "cwd",
    "env",
    "labels",
    "retries",
    "timeout",
    "output_limit",
    "expect",
    "snapshot_delay",
    "snapshot_command",
    "ready",
    "ready_within",
    "oci",
];

/// What the supervisor itself tells every run.
const ENV_RESERVED: [&str; 6] =
    ["TACHO_RUN_ID", "TACHO_ATTEMPT_ID", "TACHO_ATTEMPT", "TACHO_RUN_DIR", "TACHO_CONTROL", EXE_VARIABLE];

/// The jobs of a text, or everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Job>, Vec<Problem>> {
    let mut problems = Problems::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    // After a syntax error, what the text means is a guess: later ones and everything else may only follow from it.
    if let Some(error) = errors.first() {
        let at = error.span().map_or(text.len(), |span| span.start);
        problems.note(at, error.message().to_owned());
    }
    let jobs = if errors.is_empty() { read_document(document.get_ref(), &mut problems) } else { Vec::new() };
    let problems = problems.into_sorted();
    if problems.is_empty() { Ok(jobs) } else { Err(problems) }
}

fn read_document(document: &DeTable<'_>, problems: &mut Problems<'_>) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut has_jobs = false;
    for Entry { key, at, item } in value::entries(document) {
        if key == "jobs" {
            has_jobs = true;
            jobs = read_jobs(item, at, problems);
        } else {
            let hint = suggestion(key, ["jobs"]);
            problems.note(at, format!("unknown key {}{hint}; jobs are tables [jobs.NAME]", quoted(key)));
        }
    }
    if document.is_empty() || (has_jobs && jobs.is_empty() && problems.is_empty()) {
        problems.note(0, "no jobs; expected at least one table [jobs.NAME]".to_owned());
    }
    jobs
}

fn read_jobs(item: &Item<'_>, at: usize, problems: &mut Problems<'_>) -> Vec<Job> {
    let Some(table) = value::table(item, "jobs", problems) else { return Vec::new() };
    if table.len() > JOBS_MAX {
        problems.note(at, format!("{} jobs; at most {JOBS_MAX}", table.len()));
    }
    value::entries(table).into_iter().filter_map(|entry| read_job(&entry, problems)).collect()
}

fn read_job(entry: &Entry<'_, '_>, problems: &mut Problems<'_>) -> Option<Job> {
    let place = under("jobs", entry.key);
    check(limits::check_name(entry.key), entry.at, &place, problems);
    let table = value::table(entry.item, &place, problems)?;
    let mut job = Job {
        name: entry.key.to_owned(),
        command: Vec::new(),
        cwd: None,
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        retries: 0,
        timeout: None,
        output_limit: None,
        expect: Expectation::default(),
        snapshot_delay: None,
        snapshot_command: None,
        ready: None,
        oci: None,
    };
    let mut ready = Readiness::default();
    let (mut has_command, mut has_delay) = (false, false);
    let (mut snapshot_command_at, mut oci_at, mut cwd_at) = (None, None, None);
    for Entry { key, at, item } in value::entries(table) {
        let inner = under(&place, key);
        match key {
            "command" => {
                has_command = true;
                job.command = read_command(item, &inner, problems);
            }
            "cwd" => {
                cwd_at = Some(at);
                job.cwd = read_cwd(item, &inner, problems);
            }
            "env" => job.env = read_env(item, &inner, problems),
            "labels" => job.labels = read_labels(item, &inner, problems),
            "retries" => {
                let bounds = 0..=i64::from(ATTEMPTS_MAX - 1);
                let retries = value::integer(item, &inner, bounds, problems).unwrap_or(0);
                job.retries = u32::try_from(retries).unwrap_or(0);
            }
            "timeout" => job.timeout = read_timeout(item, &inner, problems),
            "output_limit" => job.output_limit = read_size(item, &inner, problems),
            "expect" => job.expect = read_expectation(item, &inner, problems).unwrap_or_default(),
            "snapshot_delay" => {
                has_delay = true;
                job.snapshot_delay = read_delay(item, &inner, problems);
            }
            "snapshot_command" => {
                snapshot_command_at = Some(at);
                job.snapshot_command = Some(read_command(item, &inner, problems));
            }
            "ready" => ready.read(item, &inner, problems),
            "ready_within" => ready.read_within(at, item, &inner, problems),
            "oci" => {
                oci_at = Some(at);
                job.oci = oci::read(at, item, &inner, problems);
            }
            _ => unknown_key(key, at, &place, JOB_KEYS, problems),
        }
    }
    job.ready = ready.finish(&place, problems);
    if let (Some(_), Some(at)) = (oci_at, cwd_at) {
        problems.note(at, format!("{place}: cwd with oci; the bundle's config.json says where its command begins"));
    }
    if !has_command && oci_at.is_none() {
        problems.note(entry.at, format!("{place}: has no command; expected command = [\"PROGRAM\", \"ARGUMENT\", …]"));
    }
    if let Some(at) = snapshot_command_at.filter(|_| !has_delay) {
        problems.note(at, format!("{place}: snapshot_command without snapshot_delay; say after how long it is called"));
    }
    Some(job)
}

fn read_command(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Vec<String> {
    let Some(array) = value::array(item, place, problems) else { return Vec::new() };
    let read = |(index, item)| value::string(item, &format!("{place}[{index}]"), problems);
    let argv: Vec<_> = array.iter().enumerate().filter_map(read).collect();
    if argv.len() == array.len() {
        let spec = RunSpec { workload: Workload::Command { argv: argv.clone(), cwd: None }, ..RunSpec::default() };
        check(limits::check_spec(&spec), item.span().start, place, problems);
    }
    argv
}

fn read_cwd(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<String> {
    let cwd = value::string(item, place, problems)?;
    let workload = Workload::Command { argv: vec!["true".to_owned()], cwd: Some(cwd.clone()) };
    check(limits::check_spec(&RunSpec { workload, ..RunSpec::default() }), item.span().start, place, problems);
    Some(cwd)
}

fn read_labels(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> BTreeMap<String, String> {
    let labels = value::strings(item, place, problems);
    for (key, (at, text)) in &labels {
        let spec = spec_with_labels([(key.clone(), text.clone())].into());
        check(limits::check_spec(&spec), *at, &under(place, key), problems);
    }
    let labels: BTreeMap<_, _> = labels.into_iter().map(|(key, (_, text))| (key, text)).collect();
    if labels.len() > limits::LABELS_MAX {
        check(limits::check_spec(&spec_with_labels(labels.clone())), item.span().start, place, problems);
    }
    labels
}

fn spec_with_labels(labels: BTreeMap<String, String>) -> RunSpec {
    RunSpec { labels, workload: Workload::Command { argv: vec!["true".to_owned()], cwd: None }, ..RunSpec::default() }
}

fn read_env(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> BTreeMap<String, String> {
    let env = value::strings(item, place, problems);
    for (key, (at, text)) in &env {
        let why = if key.is_empty() || key.contains(['=', '\0']) {
            "a variable's name is not empty and contains neither '=' nor NUL"
        } else if text.contains('\0') {
            "contains a NUL"
        } else if ENV_RESERVED.contains(&key.as_str()) {
            "is set by tacho itself"
        } else {
            continue;
        };
        problems.note(*at, format!("{}: {why}", under(place, key)));
    }
    let bytes: usize = env.iter().map(|(key, (_, text))| key.len() + text.len()).sum();
    if bytes > ENV_BYTES_MAX {
        problems.note(item.span().start, format!("{place}: {bytes} bytes; at most {ENV_BYTES_MAX}"));
    }
    env.into_iter().map(|(key, (_, text))| (key, text)).collect()
}

pub(super) fn read_timeout(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<DurationMs> {
    read_duration(item, place, problems, |timeout| {
        let why = "must be longer than zero; leave it out for no timeout";
        if timeout.is_zero() { Err(why.to_owned()) } else { Ok(()) }
    })
}

fn read_delay(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<DurationMs> {
    read_duration(item, place, problems, check_snapshot_delay)
}

/// A duration that is accepted, or a note of why it is none.
fn read_duration(
    item: &Item<'_>,
    place: &str,
    problems: &mut Problems<'_>,
    accept: impl FnOnce(DurationMs) -> Result<(), String>,
) -> Option<DurationMs> {
    let text = match item.get_ref() {
        DeValue::String(text) => text.as_ref(),
        // A number of seconds is read from its own text, so that 0.1 is exactly 100 ms.
        DeValue::Integer(seconds) if seconds.radix() == 10 => seconds.as_str(),
        DeValue::Float(seconds) => seconds.as_str(),
        _ => {
            value::mismatch(item, place, "a duration such as \"30s\" or a number of seconds", problems);
            return None;
        }
    };
    let parsed = text.strip_prefix('+').unwrap_or(text).parse::<DurationMs>().map_err(|error| error.to_string());
    match parsed.and_then(|duration| accept(duration).map(|()| duration)) {
        Ok(duration) => Some(duration),
        Err(why) => {
            problems.note(item.span().start, format!("{place}: {why}"));
            None
        }
    }
}

/// A size that is longer than nothing, as a text or a number of bytes.
fn read_size(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Size> {
    let text = match item.get_ref() {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(bytes) if bytes.radix() == 10 => bytes.as_str(),
        _ => {
            value::mismatch(item, place, "a size such as \"64MB\" or a number of bytes", problems);
            return None;
        }
    };
    match text.parse::<Size>() {
        Ok(size) => Some(size),
        Err(error) => {
            problems.note(item.span().start, format!("{place}: {error}"));
            None
        }
    }
}

fn read_expectation(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Expectation> {
    let table = match item.get_ref() {
        DeValue::Integer(_) => return read_code(item, place, problems),
        DeValue::String(_) => return read_failure(item, place, problems),
        DeValue::Table(table) => table,
        _ => {
            value::mismatch(item, place, "{ code = 3 }, { signal = 9 } or { failure = \"not_found\" }", problems);
            return None;
        }
    };
    let mut expectations = Vec::new();
    for Entry { key, at, item } in value::entries(table) {
        let inner = under(place, key);
        match key {
            "code" => expectations.push(read_code(item, &inner, problems)),
            "signal" => expectations.push(read_signal(item, &inner, problems)),
            "failure" => expectations.push(read_failure(item, &inner, problems)),
            _ => unknown_key(key, at, place, ["code", "signal", "failure"], problems),
        }
    }
    if table.is_empty() || expectations.len() > 1 {
        let why = "expected exactly one of code, signal and failure";
        problems.note(item.span().start, format!("{place}: {why}"));
    }
    expectations.pop().flatten()
}

fn read_code(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Expectation> {
    let code = value::integer(item, place, 0..=255, problems)?;
    i32::try_from(code).ok().map(Expectation::Code)
}

fn read_signal(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Expectation> {
    if let DeValue::Integer(_) = item.get_ref() {
        let number = value::integer(item, place, 1..=i64::from(signal::SIGNAL_MAX), problems)?;
        return i32::try_from(number).ok().map(Expectation::Signal);
    }
    let name = value::expect(item, place, "a signal's number or name", DeValue::as_str, problems)?;
    let number = signal::number(name);
    if number.is_none() {
        let hint = suggestion(name, signal::names());
        problems.note(item.span().start, format!("{place}: unknown signal {}{hint}", quoted(name)));
    }
    number.map(Expectation::Signal)
}

fn read_failure(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<Expectation> {
    let name = value::string(item, place, problems)?;
    let kind = FAILURE_KINDS.into_iter().find(|kind| kind.name() == name);
    if kind.is_none() {
        let hint = match signal::name(signal::number(&name).unwrap_or(0)) {
            Some(signal) => format!("; for a signal write {{ signal = {signal:?} }}"),
            None => suggestion(&name, FAILURE_KINDS.iter().map(|kind| kind.name())),
        };
        problems.note(item.span().start, format!("{place}: unknown failure {}{hint}", quoted(&name)));
    }
    kind.map(Expectation::Failure)
}

pub(super) fn unknown_key<const N: usize>(
    key: &str,
    at: usize,
    place: &str,
    known: [&str; N],
    problems: &mut Problems<'_>,
) {
    let hint = suggestion(key, known);
    problems.note(at, format!("{place}: unknown key {}{hint}", quoted(key)));
}

/// Notes what the engine would refuse later.
pub(super) fn check(checked: Result<(), Refusal>, at: usize, place: &str, problems: &mut Problems<'_>) {
    match checked {
        Ok(()) => {}
        Err(Refusal::InvalidInput { field: _, why }) => problems.note(at, format!("{place}: {why}")),
        Err(refusal) => problems.note(at, format!("{place}: {refusal}")),
    }
}

/// A word of the file, quoted and cut.
fn quoted(word: &str) -> String {
    format!("{:?}", word.chars().take(64).collect::<String>())
}
