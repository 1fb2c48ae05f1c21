//! What follows from keys and answers.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tachograph_engine::domain::{EventName, Position};
use tachograph_replay::explore::halt::Progress;
use tachograph_replay::explore::machine::Direction;
use tachograph_replay::explore::model::{Command, Input, Model};
use tachograph_replay::explore::scene::{Filter, Lane, Scene};
use tachograph_replay::explore::session::{Answer, Request};
use tachograph_replay::explore::wanted::{Kind, Wanted};

use crate::driven::{Driven, key};
use crate::kept::dataset;
use crate::made::{BUILD, BUILD_AGAIN, LOUD, NEVER, NIGHTLY, run};
use crate::many::{Growing, Many};

fn char(char: char) -> Input {
    key(KeyCode::Char(char))
}

fn ctrl(char: char) -> Input {
    Input::Key(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL))
}

fn answered() -> Input {
    Input::Answered(Box::new(Answer { scene: Scene::default(), note: None }))
}

fn idle() -> Model {
    let (mut model, commands) = Model::new("data".to_owned(), (80, 24), Request::End);
    assert_eq!(commands, [Command::Send(Request::End)]);
    assert_eq!(model.update(answered()), []);
    model
}

fn driven() -> Driven {
    Driven::over(dataset(), None, (80, 24), false)
}

#[test]
fn one_request_is_answered_at_a_time_and_the_others_wait_in_order() {
    let mut model = idle();
    assert_eq!(model.update(char('l')), [Command::Send(Request::Step(1))]);
    assert_eq!(model.update(char('h')), []);
    assert_eq!(model.update(Input::Resized(90, 30)), []);
    assert_eq!(model.update(Input::Resized(91, 30)), [], "one look shows the last size");
    assert_eq!(model.update(answered()), [Command::Send(Request::Step(-1))]);
    assert_eq!(model.update(answered()), [Command::Send(Request::Show)]);
    assert_eq!(model.update(answered()), []);
    assert_eq!((model.busy, model.size), (None, (91, 30)));
}

#[test]
fn what_waits_is_bounded_and_escape_drops_it() {
    let mut model = idle();
    model.update(char('l'));
    (0..1_000).for_each(|_| assert_eq!(model.update(char('l')), []));
    let mut sent = 0;
    while !model.update(answered()).is_empty() {
        sent += 1;
    }
    assert_eq!(sent, 32);
    model.update(char('l'));
    model.update(char('l'));
    model.update(Input::Progressed(Progress { done: 5, of: 9 }));
    assert_eq!(model.busy, Some(Progress { done: 5, of: 9 }));
    assert_eq!(model.update(key(KeyCode::Esc)), [Command::Cancel]);
    assert_eq!(model.update(answered()), [], "nothing waits any more");
    assert_eq!(model.update(key(KeyCode::Esc)), [], "and nothing is to be canceled");
}

#[test]
fn quitting_closes_what_lies_on_top_first_and_control_c_does_not() {
    let mut model = idle();
    model.update(char('?'));
    assert_eq!((model.update(char('q')), model.overlay.is_none()), (vec![], true));
    assert_eq!(model.update(char('q')), [Command::Quit]);
    model.update(char('?'));
    assert_eq!(model.update(ctrl('c')), [Command::Quit]);
    assert_eq!(model.update(ctrl('z')), [Command::Suspend]);
    assert_eq!(model.update(ctrl('l')), [Command::Redraw]);
    model.update(char('/'));
    assert_eq!(model.update(char('q')), [], "in a line that is typed it is a letter");
}

#[test]
fn a_released_key_does_nothing() {
    let mut model = idle();
    let mut event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    event.kind = KeyEventKind::Release;
    assert_eq!(model.update(Input::Key(event)), []);
}

#[test]
fn the_end_is_followed_until_the_cursor_is_moved() {
    let journal = Growing::default();
    let mut many = Many::of(2, 5);
    journal.grow(many.entries(50));
    let mut driven = Driven::over(journal.dataset(), None, (80, 24), false);
    driven.typed("F").input(Input::Tick);
    assert_eq!(driven.model.scene.position, Position(50));
    journal.grow(many.entries(30));
    driven.input(Input::Tick);
    assert_eq!((driven.model.scene.position, driven.model.scene.head), (Position(80), Position(80)));
    assert!(driven.text().contains("FOLLOWING"));
    driven.typed("←");
    journal.grow(many.entries(1));
    driven.input(Input::Tick);
    assert_eq!((driven.model.scene.position, driven.model.follows), (Position(79), false));
}

#[test]
fn refusals_and_kinds_are_found_in_both_directions() {
    let mut driven = driven();
    let mut met = Vec::new();
    driven.typed("0");
    for _ in 0..20 {
        driven.typed("r");
        met.push(driven.model.scene.position.0);
        assert!(Kind::Refused.fits(driven.model.scene.entry.as_ref().unwrap()));
        if driven.model.note.is_some() {
            break;
        }
    }
    assert_eq!(met, [4, 6, 19, 23, 24, 25, 33, 33]);
    assert_eq!(driven.model.scene.selected, Some(run(NEVER)), "whom it is about is selected");
    assert!(driven.text().contains("no Refused after position 33"), "{}", driven.text());
    driven.typed("RRR");
    assert_eq!(driven.model.scene.position, Position(23));
    // The third of the kinds is Started; n and N look for more of it.
    driven.typed("0e↓↓\n");
    assert_eq!(driven.model.scene.position, Position(3));
    assert_eq!(Kind::ALL[2], Kind::Event(EventName::Started));
    driven.typed("nnN");
    assert_eq!(driven.model.scene.position, Position(9));
}

#[test]
fn the_timeline_of_a_run_leads_from_one_of_its_entries_to_the_next() {
    let mut driven = Driven::over(dataset(), Some(run(BUILD)), (80, 24), false);
    assert_eq!((driven.model.scene.lane, driven.model.scene.own), (Lane::Run, (8, 8)));
    let positions = |driven: &mut Driven, keys: &str| -> Vec<u64> {
        keys.chars().map(|key| driven.typed(&key.to_string()).model.scene.position.0).collect()
    };
    assert_eq!(positions(&mut driven, "[[[[[[[[["), [24, 23, 22, 6, 5, 4, 3, 2, 2]);
    assert_eq!(positions(&mut driven, "]]}{"), [3, 4, 24, 2]);
    // From an entry of another run to the nearest of its own.
    driven.typed(":15\n");
    assert_eq!(driven.model.scene.selected, Some(run(BUILD)), "the selection stays");
    assert_eq!(positions(&mut driven, "["), [6]);
    driven.typed(":15\n");
    assert_eq!(positions(&mut driven, "]"), [22]);
    // Where the journal is shown, the selection follows the cursor.
    driven.typed("t:15\n");
    assert_eq!(driven.model.scene.selected, Some(run(BUILD_AGAIN)));
}

#[test]
fn runs_are_selected_by_row_and_by_text_and_listed_by_status() {
    let mut driven = driven();
    driven.typed("\t\t");
    let mut selected = |keys: &str| driven.typed(keys).model.scene.selected.unwrap().to_string();
    assert_eq!(selected(""), LOUD);
    assert_eq!(selected("↓↓"), BUILD_AGAIN);
    assert_eq!(selected("↓↓↓↓"), BUILD, "the last one is the end");
    assert_eq!(selected("↑"), NIGHTLY);
    assert_eq!(selected("/tier=ci\n"), BUILD);
    assert_eq!(selected("/build\n"), BUILD_AGAIN, "after the last comes the first");
    assert_eq!(selected("n"), BUILD);
    assert_eq!(selected("/01kaj2eeee\n"), LOUD);
    assert_eq!(selected("/yes\n"), LOUD);
    let mut listed = |keys: &str| driven.typed(keys).model.scene.runs.len();
    assert_eq!([listed("s"), listed("s"), listed("S"), listed("S"), listed("S")], [1, 0, 1, 5, 1]);
    assert_eq!(driven.model.scene.filter, Filter::ALL[7]);
}

#[test]
fn time_is_gone_to_and_stepped_by() {
    let mut driven = driven();
    let mut at = |keys: &str| driven.typed(keys).model.scene.position.0;
    assert_eq!(at(":2026-11-21T03:01:33.760Z\n"), 8);
    assert_eq!(at(":03:00\n"), 1, "a time of the cursor's day");
    assert_eq!(at("+"), 5, "the first that was recorded a minute later or more");
    assert_eq!(at("-"), 3);
    assert_eq!(at(":+1m\n"), 5);
    assert_eq!(at(">"), 34, "as far as there is something");
    assert_eq!(at("<"), 0);
    assert_eq!(at(":999\n"), 34);
    assert!(driven.text().contains("position 999 is beyond the end, which is 34"));
    driven.typed(":1970-01-01T00:00:00Z\n");
    assert_eq!(driven.model.scene.position, Position::ZERO);
    assert!(driven.text().contains("nothing was recorded by then"));
}

#[test]
fn text_is_found_in_names_ids_labels_and_what_entries_say() {
    let mut driven = driven();
    let mut found = |text: &str| driven.typed(&format!("0/{text}\n")).model.scene.position.0;
    assert_eq!(found("NIGHTLY"), 7, "upper and lower case alike");
    assert_eq!(found("tier=db"), 7);
    assert_eq!(found("01KAJ2DDDD"), 26);
    assert_eq!(found("another reaper"), 28);
    assert_eq!(found("operator:ada"), 14);
    assert_eq!(driven.typed("n").model.scene.position, Position(22));
    assert_eq!(driven.typed("N").model.scene.position, Position(14));
    // Of a run that fits, every entry does.
    assert_eq!(driven.typed("0/tier=db\nnn").model.scene.position, Position(9));
    assert_eq!(driven.typed("/no such thing\n").model.scene.position, Position(9));
    assert!(driven.text().contains(r#"no "no such thing" after position 9"#));
}

#[test]
fn what_is_looked_for_is_asked_for() {
    let mut model = idle();
    let refused = |direction| [Command::Send(Request::Find(Wanted::Kind(Kind::Refused), direction))];
    assert_eq!(model.update(char('r')), refused(Direction::Forward));
    model.update(answered());
    assert_eq!(model.update(char('R')), refused(Direction::Backward));
    model.update(answered());
    assert_eq!(model.update(char('n')), refused(Direction::Forward));
}
