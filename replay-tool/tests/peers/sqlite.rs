//! `tacho export --sqlite`, read by the command line of SQLite.

use std::path::PathBuf;

use crate::agreement::{AGGREGATES, named, same_tables};
use crate::awkward;
use crate::place::Place;
use crate::readers::{has_sqlite3, sqlite3};

const ENTRIES: usize = 1_000;
const SEED: u64 = 7;

fn export(place: &Place) -> PathBuf {
    let to = place.path("tables.sqlite");
    place.tacho(&["export", "--sqlite", to.to_str().unwrap()]);
    to
}

#[test]
fn sqlite3_finds_every_row_and_answers_every_question_as_tacho_does() {
    if !has_sqlite3() {
        return;
    }
    for place in [Place::made(), Place::incidents(), Place::of(awkward::drafts(SEED, ENTRIES))] {
        let file = export(&place);
        let check = sqlite3(&file, "PRAGMA integrity_check", &[]);
        assert_eq!(check[0]["integrity_check"], "ok");
        same_tables(&place, "sqlite3", |table| sqlite3(&file, &format!("SELECT * FROM {table}"), &[]));
        for (name, sql) in AGGREGATES {
            assert_eq!(sqlite3(&file, sql, &[]), place.sql(sql), "{name}");
        }
        for named in named() {
            assert_eq!(sqlite3(&file, named.sql, &named.parameters), named.asked(&place), "{}", named.name);
        }
    }
}
