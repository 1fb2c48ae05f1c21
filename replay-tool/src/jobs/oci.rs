//! `[jobs.NAME.oci]`: the container that a job is.

use tachograph_engine::domain::{RunSpec, Workload, limits};

use super::OciJob;
use super::file::{check, unknown_key};
use super::problem::Problems;
use super::value::{self, Entry, Item, under};

const KEYS: [&str; 2] = ["bundle", "runtime"];

/// Reads the table. Absent if it is of no use, which is noted.
pub(super) fn read(at: usize, item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<OciJob> {
    let table = value::table(item, place, problems)?;
    let (mut bundle, mut runtime, mut has_bundle) = (None, None, false);
    for Entry { key, at, item } in value::entries(table) {
        let inner = under(place, key);
        match key {
            "bundle" => {
                has_bundle = true;
                bundle = read_bundle(item, &inner, problems);
            }
            "runtime" => runtime = read_runtime(item, &inner, problems),
            _ => unknown_key(key, at, place, KEYS, problems),
        }
    }
    if !has_bundle {
        problems.note(at, format!("{place}: has no bundle; expected bundle = \"DIRECTORY\", an OCI bundle"));
    }
    bundle.map(|bundle| OciJob { bundle, runtime })
}

/// A relative one begins where `tacho` was started, as a working directory does.
fn read_bundle(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<String> {
    let text = value::string(item, place, problems)?;
    let absolute = std::path::absolute(&text).ok().and_then(|path| path.into_os_string().into_string().ok());
    let reference = absolute.unwrap_or_default();
    let workload = Workload::Image { reference: reference.clone(), argv: Vec::new() };
    check(limits::check_spec(&RunSpec { workload, ..RunSpec::default() }), item.span().start, place, problems);
    Some(reference)
}

fn read_runtime(item: &Item<'_>, place: &str, problems: &mut Problems<'_>) -> Option<String> {
    let runtime = value::string(item, place, problems)?;
    if runtime.is_empty() || runtime.contains('\0') {
        problems.note(item.span().start, format!("{place}: expected the name or path of a program"));
    }
    Some(runtime)
}
