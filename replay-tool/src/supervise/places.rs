//! Fewer places for runs than jobs that are to run at a time.

use rustix::process::{Resource, getrlimit};
use tachograph_adapters::process::RunnerOptions;

/// What is said at the start if `wanted` jobs were to run at a time and there are places for fewer.
pub(super) fn remark(wanted: usize, places: usize) -> Option<String> {
    if wanted <= places {
        return None;
    }
    if places >= RunnerOptions::default().live_max {
        return Some(format!("{places} jobs run at a time, and not {wanted}: no more do in one supervisor"));
    }
    let limit = |resource| getrlimit(resource).current.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    let (files, processes) = (limit(Resource::Nofile), limit(Resource::Nproc));
    Some(format!(
        "{places} jobs run at a time, and not {wanted}: the limits on open files (ulimit -n, {files}) and processes \
         (ulimit -u, {processes}) leave room for no more; raise the one that is low, or say --jobs {places}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_gets_fewer_places_than_he_asked_for_is_told_and_how_to_get_more() {
        assert_eq!([remark(1, 1), remark(200, 1_024)], [None, None]);
        let told = remark(200, 1).unwrap();
        assert!(
            told.starts_with("1 jobs run at a time, and not 200: ") && told.ends_with(", or say --jobs 1"),
            "{told}"
        );
        assert_eq!(
            remark(2_000, 1_024).unwrap(),
            "1024 jobs run at a time, and not 2000: no more do in one supervisor"
        );
    }
}
