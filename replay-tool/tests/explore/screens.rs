//! Every screen, cell by cell. `TACHO_GOLDEN=write` writes the files anew.

use std::path::Path;

use ratatui::style::{Color, Modifier};
use tachograph_engine::domain::Position;
use tachograph_replay::explore::layout::Pane;

use crate::driven::Driven;
use crate::kept::{damaged, dataset};
use crate::made::{BUILD, LOUD, NEVER, run};
use crate::many::{Dice, Growing, Many};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (120, 40);

/// What is typed to come to each screen, and the name of its file.
const SCREENS: [(&str, &str); 14] = [
    ("", "end"),
    ("0", "start"),
    ("0→", "first"),
    (":4\n", "refusal"),
    (":4\n\n", "refusal-entry"),
    (":18\nt", "superseded"),
    (":11\n", "recovered"),
    (":8\n\n", "failure"),
    ("\t\t/loud\n", "loud"),
    ("sss", "filtered"),
    ("?", "help"),
    ("e↓↓", "kinds"),
    ("/no such thing", "prompt"),
    (":nonsense\n", "wrong"),
];

fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explore/golden").join(file);
    if std::env::var_os("TACHO_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "{file}, line {}", number + 1);
    }
    assert_eq!(text, expected, "{file}");
}

fn screen(size: (u16, u16), keys: &str, is_colored: bool) -> Driven {
    let mut driven = Driven::over(dataset(), None, size, is_colored);
    driven.typed(keys);
    driven
}

#[test]
fn screens_are_as_they_were_looked_at() {
    for (keys, name) in SCREENS {
        check(&format!("{name}-80x24.txt"), &screen(SMALL, keys, false).text());
    }
    for (keys, name) in [("", "end"), (":4\n", "refusal"), (":18\nt", "superseded"), ("?", "help")] {
        check(&format!("{name}-120x40.txt"), &screen(LARGE, keys, false).text());
    }
    let mut tiny = screen((20, 5), ":4\n", false);
    check("tiny-timeline-20x5.txt", &tiny.text());
    check("tiny-state-20x5.txt", &tiny.typed("\t").text());
    check("tiny-runs-20x5.txt", &tiny.typed("\t").text());
}

#[test]
fn a_run_that_is_named_beforehand_has_its_timeline_shown() {
    let mut driven = Driven::over(dataset(), Some(run(BUILD)), SMALL, false);
    check("named-80x24.txt", &driven.text());
    let mut driven = Driven::over(dataset(), Some(run(NEVER)), SMALL, false);
    assert!(driven.text().contains("does not exist at this position"), "{}", driven.text());
}

#[test]
fn without_colours_there_is_none_and_the_text_is_the_same() {
    for (keys, name) in SCREENS {
        let (mut plain, mut colored) = (screen(SMALL, keys, false), screen(SMALL, keys, true));
        assert_eq!(plain.text(), colored.text(), "{name}");
        for cell in plain.buffer().content() {
            assert_eq!((cell.fg, cell.bg, cell.underline_color), (Color::Reset, Color::Reset, Color::Reset), "{name}");
        }
    }
    let mut colored = screen(SMALL, ":4\n", true);
    assert!(colored.buffer().content().iter().any(|cell| cell.fg == Color::Yellow), "a refusal stands out");
}

#[test]
fn what_an_entry_changed_is_marked_and_bold() {
    let mut driven = screen(LARGE, ":5\n", false);
    let text = driven.text();
    let row = text
        .lines()
        .position(|line| line.contains("* status       Exited  (was Started)"))
        .unwrap_or_else(|| panic!("{text}"));
    let buffer = driven.buffer();
    let cells = &buffer.content()[row * usize::from(LARGE.0)..][..usize::from(LARGE.0)];
    let status = cells.iter().position(|cell| cell.symbol() == "*").unwrap();
    assert!(cells[status].modifier.contains(Modifier::BOLD));
}

#[test]
fn recorded_text_cannot_play_with_the_terminal() {
    for keys in [":8\n", ":8\n\n", "\t\t/loud\n", ":30\nt"] {
        let mut driven = screen(LARGE, keys, false);
        for cell in driven.buffer().content() {
            assert!(!cell.symbol().chars().any(char::is_control), "{:?} by {keys:?}", cell.symbol());
        }
    }
    let mut driven = Driven::over(dataset(), Some(run(LOUD)), LARGE, false);
    assert!(driven.text().contains(r"note=line\nbreak"), "{}", driven.text());
}

#[test]
fn damage_is_told_on_the_screen() {
    let mut driven = Driven::over(damaged(Some(Position(30))), None, SMALL, false);
    let text = driven.text();
    assert!(text.contains("ERROR:") && text.contains("made so"), "{text}");
    // What lies before it can be looked at all the same.
    let text = driven.typed(":5\n").text();
    assert!(text.contains("position 5 of 34"), "{text}");
}

#[test]
fn no_size_and_no_storm_of_sizes_makes_it_panic() {
    let journal = Growing::default();
    journal.grow(Many::of(1, 60).entries(900));
    let mut driven = Driven::over(journal.dataset(), None, SMALL, true);
    let mut dice = Dice::of(77);
    let keys: Vec<char> = "→←][}{+-><G0rRe\n\u{1b}nN↓↑tsSF?\t: /abq".chars().collect();
    for number in 0..1_500 {
        let (columns, rows) = match number % 5 {
            0 => (dice.roll(4) as u16, dice.roll(4) as u16),
            1 => (20, 5),
            _ => (dice.roll(200) as u16, dice.roll(70) as u16),
        };
        driven.resized(columns, rows);
        let key = keys[dice.roll(keys.len() as u64) as usize];
        driven.typed(&key.to_string());
        let text = driven.text();
        assert_eq!(text.lines().count(), usize::from(if columns == 0 { 0 } else { rows }), "{columns}x{rows}");
    }
    // Where three panes have room, the cursor is always in sight.
    driven.typed("\u{1b}\u{1b}").resized(80, 24);
    driven.model.focus = Pane::Timeline;
    for _ in 0..200 {
        let key = keys[dice.roll(18) as usize];
        let text = driven.typed(&key.to_string()).typed("\u{1b}").text();
        assert!(text.lines().any(|line| line.contains("│> ")), "{key:?}\n{text}");
    }
}
