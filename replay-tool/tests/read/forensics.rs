//! The walk through an incident: every question of `docs/forensics.md` is asked again. `TACHO_GOLDEN=write` writes the
//! answers anew.

use crate::asked_again::{asked_again, check, place, project};

const WALK: &str = "docs/forensics.md";

#[test]
fn every_answer_of_the_walk_is_the_real_one() {
    let document = std::fs::read_to_string(project().join(WALK)).unwrap();
    let (again, questions) = asked_again(&document, place().path());
    check(WALK, &again);
    assert!(questions > 20, "{questions}");
}

/// Each command that answers questions about an incident is asked at least once.
#[test]
fn the_walk_passes_by_every_command() {
    let document = std::fs::read_to_string(project().join(WALK)).unwrap();
    let asked: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("$ tacho ")).collect();
    for command in [
        "state",
        "diff",
        "why",
        "compare",
        "bisect",
        "recheck",
        "whatif",
        "export",
        "import",
        "verify",
        "report",
        "seal-key",
        "timers",
        "why-timer",
        "timeline",
        "runs",
    ] {
        let is_asked = |question: &&str| question.split(' ').any(|word| word == command);
        assert!(asked.iter().any(is_asked), "{command}");
    }
}
