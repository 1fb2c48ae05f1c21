//! What the documents say about the keys.

use std::path::Path;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tachograph_replay::explore::keys::{TABLE, key};

#[test]
fn the_document_has_the_same_keys_as_the_help() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (keys, does) in TABLE {
        assert!(text.contains(&format!("\n| `{keys}` | {does} |\n")), "docs/cli.md lacks {keys}: {does}");
    }
}

#[test]
fn every_key_of_the_help_means_something() {
    for (keys, _) in TABLE {
        for name in keys.split([' ', ',']).filter(|name| !name.is_empty()) {
            let (code, modifiers) = match name {
                "→" => (KeyCode::Right, KeyModifiers::NONE),
                "←" => (KeyCode::Left, KeyModifiers::NONE),
                "↓" => (KeyCode::Down, KeyModifiers::NONE),
                "↑" => (KeyCode::Up, KeyModifiers::NONE),
                "End" => (KeyCode::End, KeyModifiers::NONE),
                "Home" => (KeyCode::Home, KeyModifiers::NONE),
                "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
                "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                "Space" => (KeyCode::Char(' '), KeyModifiers::NONE),
                "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "Shift-Tab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
                "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                _ => match name.strip_prefix("Ctrl-") {
                    Some(letter) => {
                        (KeyCode::Char(letter.to_lowercase().chars().next().unwrap()), KeyModifiers::CONTROL)
                    }
                    None => {
                        assert_eq!(name.chars().count(), 1, "{name}");
                        (KeyCode::Char(name.chars().next().unwrap()), KeyModifiers::NONE)
                    }
                },
            };
            assert!(key(KeyEvent::new(code, modifiers)).is_some(), "{name} means nothing");
        }
    }
}
