//! Help and documents: complete, and in step with what is printed.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use serde_json::Value;
use tachograph_engine::domain::Refusal;
use tachograph_replay::cli::Cli;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_help_has_examples() {
    let mut tacho = Cli::command();
    tacho.build();
    let commands: Vec<String> = tacho.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(
        commands,
        [
            "run",
            "supervise",
            "report",
            "cancel-snapshot",
            "kill",
            "destroy",
            "ps",
            "logs",
            "adopt",
            "runs",
            "show",
            "timeline",
            "why",
            "compare",
            "timers",
            "why-timer",
            "restore",
            "state",
            "diff",
            "bisect",
            "tail",
            "explore",
            "verify",
            "recheck",
            "export",
            "archive",
            "seal-key",
            "import",
            "whatif",
            "sql",
            "audit",
            "help"
        ]
    );
    for name in commands.iter().filter(|name| *name != "help") {
        let help = tacho.find_subcommand_mut(name).unwrap().render_long_help().to_string();
        assert!(help.contains("\nExamples:\n") && help.contains(&format!("tacho {name}")), "{name}: {help}");
        for global in ["--data", "--format", "--color", "--verbose"] {
            assert!(help.contains(global), "{name} lacks {global}");
        }
    }
    let help = tacho.render_long_help().to_string();
    assert!(help.contains("\nExamples:\n") && help.contains("\nExit codes:\n"), "{help}");
    for code in (0..=12).chain(125..=127) {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))) || code > 124, "{code}");
        assert!(help.contains(&code.to_string()), "{code}");
    }
}

#[test]
fn every_option_is_documented() {
    let (text, tacho) = (document("cli.md"), Cli::command());
    let own = tacho.get_arguments();
    for argument in own.chain(tacho.get_subcommands().flat_map(|command| command.get_arguments())) {
        if let Some(long) = argument.get_long() {
            assert!(text.contains(&format!("--{long}")), "docs/cli.md lacks --{long}");
        }
    }
    for command in tacho.get_subcommands() {
        let heading = format!("\n## `tacho {}", command.get_name());
        assert!(text.contains(&heading), "docs/cli.md lacks {}", command.get_name());
    }
    for code in (0..=12).map(|code| format!("\n| {code} |")) {
        assert!(text.contains(&code), "docs/cli.md lacks exit code {code}");
    }
    assert!(
        text.contains(Refusal::NameHeld { name: String::new(), holder: crate::made::run(crate::made::LOUD) }.code())
    );
}

/// The names of all fields in a JSON value, but for those that people choose.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                found.insert(name.clone());
                if name != "labels" && name != "facts" {
                    fields(inner, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_json_field_is_documented() {
    let text = document("json.md");
    let mut found = BTreeSet::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read/golden");
    for file in std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()) {
        let content = std::fs::read_to_string(&file).unwrap();
        match file.extension().and_then(|end| end.to_str()) {
            Some("json") => fields(&serde_json::from_str(&content).unwrap(), &mut found),
            Some("jsonl") => content.lines().for_each(|line| fields(&serde_json::from_str(line).unwrap(), &mut found)),
            _ => {}
        }
    }
    assert!(found.len() > 60, "the golden files show {} fields", found.len());
    let undocumented: Vec<&String> = found
        .iter()
        .filter(|name| !text.contains(&format!("`{name}`")) && !text.contains(&format!("\"{name}\":")))
        .collect();
    assert!(undocumented.is_empty(), "docs/json.md lacks {undocumented:?}");
}
