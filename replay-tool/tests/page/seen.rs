//! What somebody sees who opens the page: in a browser, with mouse and keys, on screen and on paper.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tachograph_replay::dataset::Dataset;
use tachograph_replay::page::gather::Asked;

use crate::browser::{self, Browser, Picture};
use crate::fleet;
use crate::kept::{self, Entries};
use crate::made::{BUILD, LOUD, NIGHTLY};
use crate::model::{document, page};

const STARTED: &str = "#5089c4";
const WAITING: &str = "#dfac48";
const GOOD: &str = "#4f9d72";
const FAILED: &str = "#bf3f4c";
const REFUSED: &str = "#a62c84";
const STARTED_IN_THE_DARK: &str = "#5b95d0";

/// A page in a file of its own.
struct Written {
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl Written {
    fn of(dataset: &Dataset) -> Self {
        Self::text(&document(&page(dataset, &Asked::default()).unwrap()))
    }

    fn text(text: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report.html");
        std::fs::write(&path, text).unwrap();
        Self { path, _place: place }
    }

    fn address(&self, hash: &str) -> String {
        format!("file://{}{hash}", self.path.display())
    }
}

/// Where the browser draws an entry.
fn place(browser: &mut Browser, position: u64) -> (f64, f64) {
    let place = browser.value(&format!("tachograph.place({position})"));
    (place["x"].as_f64().unwrap(), place["y"].as_f64().unwrap())
}

fn view(browser: &mut Browser, field: &str) -> Value {
    browser.value(&format!("tachograph.view().{field}"))
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let script = format!("document.querySelector({}).innerText", serde_json::json!(selector));
    browser.value(&script).as_str().unwrap().to_owned()
}

fn between(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    ((one.0 + other.0) / 2.0, one.1)
}

/// Nothing was requested but the page itself, and nothing went wrong.
fn check_quiet(browser: &Browser, address: &str) {
    let others: Vec<String> =
        browser.requested().into_iter().filter(|url| !address.starts_with(url.as_str())).collect();
    assert_eq!((others, browser.forbidden()), (Vec::new(), 0), "requests");
    assert_eq!(browser.complaints(), [""; 0], "complaints");
}

/// Keeps a screenshot for people, if they say where.
fn keep(picture: &Picture, name: &str) {
    if let Some(directory) = std::env::var_os("TACHO_SCREENSHOTS") {
        std::fs::write(Path::new(&directory).join(name), &picture.png).unwrap();
    }
}

#[test]
fn the_page_shows_the_made_journal_and_follows_mouse_and_keys() {
    if !browser::is_there() {
        return;
    }
    let written = Written::of(&kept::dataset());
    let address = written.address("");
    let mut browser = Browser::open(1_440, 900);
    browser.dark(false);
    browser.visit(&address);
    lanes_are_drawn(&mut browser);
    the_filter_hides_runs(&mut browser);
    a_click_opens_the_entry(&mut browser);
    the_time_range_changes(&mut browser);
    the_address_keeps_what_is_looked_at(&mut browser, &written);
    it_prints(&mut browser);
    check_quiet(&browser, &address);
}

fn lanes_are_drawn(browser: &mut Browser) {
    assert_eq!(view(browser, "rows"), 6);
    let picture = browser.screenshot();
    keep(&picture, "made-light.png");
    let [started, late, exited] = [3, 4, 5].map(|position| place(browser, position));
    assert_eq!(picture.color(between(started, exited)), STARTED);
    assert_eq!(picture.color(exited), GOOD);
    assert_eq!(picture.color(late), REFUSED);
    let failed = place(browser, 13);
    assert_eq!(picture.color(failed), FAILED);
    // Waiting is hatched: some pixels of it have its colour.
    let waits = place(browser, 16);
    let hatched = (12..40).filter(|dx| picture.color((waits.0 + f64::from(*dx), waits.1)) == WAITING).count();
    assert!(hatched > 5, "{hatched} pixels of what waits");
    browser.dark(true);
    let dark = browser.screenshot();
    keep(&dark, "made-dark.png");
    assert_eq!(dark.color(between(started, exited)), STARTED_IN_THE_DARK);
    browser.dark(false);
}

fn the_filter_hides_runs(browser: &mut Browser) {
    browser.click_on("#query");
    browser.write("tier=db");
    assert_eq!((view(browser, "rows"), text(browser, "#count")), (1.into(), "1 of 6 runs".to_owned()));
    assert_eq!(text(browser, "#rows"), "nightly");
    browser.value("document.querySelector('#query').select()");
    browser.write("");
    browser.press("Escape");
    browser.click_on("#refused");
    assert_eq!(view(browser, "rows"), 3, "two builds and the one that was never created");
    browser.click_on("[data-look=waiting]");
    assert_eq!(view(browser, "rows"), 1);
    browser.click_on("[data-look=waiting]");
    browser.click_on("#refused");
    assert_eq!(view(browser, "rows"), 6);
    browser.click_on("#query");
    browser.write("no such run");
    assert_eq!(view(browser, "rows"), 0);
    browser.click_on("#clear");
    assert_eq!(view(browser, "rows"), 6);
}

fn a_click_opens_the_entry(browser: &mut Browser) {
    let late = place(browser, 4);
    browser.hover(late);
    assert!(text(browser, "#tip").contains("position 4"), "{}", text(browser, "#tip"));
    browser.click(late);
    assert_eq!((view(browser, "at"), view(browser, "run")), (4.into(), BUILD.into()));
    let shown = text(browser, "#detail");
    for part in [
        "Position 4",
        "Refused",
        "04000000000000000000000004",
        "03000000000000000000000004",
        "2026-11-21T03:00:04.260000Z",
        "runner:r0",
        "wrong_runner",
        "Remedy",
        "make -j2 'a b'",
        "tier=ci",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    keep(&browser.screenshot(), "made-entry.png");
    browser.click_on("#detail .steps button:last-child");
    assert_eq!(view(browser, "at"), 5);
    browser.click_on("#detail .steps button:first-child");
    browser.click_on("#detail .steps button:first-child");
    assert_eq!(view(browser, "at"), 3);
    browser.click_on("#rows");
    browser.press("Home");
    assert_eq!((view(browser, "run"), view(browser, "at")), (BUILD.into(), 24.into()));
    browser.press("ArrowDown");
    assert_eq!((view(browser, "run"), view(browser, "at")), (NIGHTLY.into(), 13.into()));
    browser.press("ArrowLeft");
    assert_eq!(view(browser, "at"), 12);
    browser.press("n");
    assert_eq!(view(browser, "at"), 19, "the next refused one");
    browser.press("End");
    assert_eq!(view(browser, "run"), LOUD);
    let crash = browser.value(
        "(() => { const box = document.querySelector('#axis').getBoundingClientRect(); return [box.left, box.top] })()",
    );
    let opened = browser.value("tachograph.view()");
    let width = browser.value("document.querySelector('#axis').clientWidth").as_f64().unwrap();
    let (from, to) = (opened["from"].as_f64().unwrap(), opened["to"].as_f64().unwrap());
    let reopened = 1_795_230_094_260_000.0;
    let x = crash[0].as_f64().unwrap() + (reopened - from) / (to - from) * width;
    browser.click((x + 20.0, crash[1].as_f64().unwrap() + 36.0));
    assert_eq!(view(browser, "at"), 10, "the session that was opened after the crash");
    assert!(text(browser, "#detail").contains("pid 4800"), "{}", text(browser, "#detail"));
    browser.press("Escape");
    assert_eq!((view(browser, "run"), view(browser, "at")), (Value::Null, Value::Null));
}

fn length(browser: &mut Browser) -> f64 {
    view(browser, "to").as_f64().unwrap() - view(browser, "from").as_f64().unwrap()
}

fn the_time_range_changes(browser: &mut Browser) {
    let whole = length(browser);
    let words = text(browser, "#range");
    browser.click_on("#zoom-in");
    assert!((length(browser) - whole / 2.0).abs() < 2.0);
    assert_ne!(text(browser, "#range"), words);
    browser.press("0");
    assert!((length(browser) - whole).abs() < 2.0);
    let (created, exited) = (place(browser, 2), place(browser, 5));
    browser.wheel(between(created, exited), -400.0, true);
    assert!(length(browser) < whole * 0.6, "Ctrl and wheel");
    browser.click_on("#zoom-all");
    let (created, lost) = (place(browser, 2), place(browser, 13));
    browser.drag(created, lost);
    let dragged = length(browser);
    assert!((dragged / 94_017_000.0 - 1.0).abs() < 0.05, "a drag chooses what it went over: {dragged}");
    browser.click_on("#inview");
    assert_eq!(view(browser, "rows"), 2, "only what was there then");
    keep(&browser.screenshot(), "made-zoomed.png");
}

fn the_address_keeps_what_is_looked_at(browser: &mut Browser, written: &Written) {
    browser.press("n");
    let before = browser.value("tachograph.view()");
    let kept = browser.value("new Promise((done) => { const look = () => /from=.*at=4/.test(location.hash) ? done(location.hash) : setTimeout(look, 10); look() })");
    let mut other = Browser::open(1_000, 700);
    other.visit(&written.address(kept.as_str().unwrap()));
    for field in ["rows", "run", "at"] {
        assert_eq!(view(&mut other, field), before[field], "{field} of {kept}");
    }
    for field in ["from", "to"] {
        let apart = view(&mut other, field).as_f64().unwrap() - before[field].as_f64().unwrap();
        assert!(apart.abs() < 1.0, "{field} of {kept} is {apart} µs off");
    }
    other.visit(
        &written.address("#q=%3Cimg%20src=x%3E&status=nonsense&from=x&to=9999&at=1e99&run=..&sort=__proto__&rows=huge"),
    );
    assert_eq!(view(&mut other, "rows"), 0);
    assert_eq!(other.complaints(), [""; 0]);
}

fn it_prints(browser: &mut Browser) {
    browser.click_on("#inview");
    let pdf = browser.printed();
    assert!(pdf.starts_with(b"%PDF"));
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page\n").count();
    assert!((1..=3).contains(&pages), "{pages} pages");
    assert_eq!(
        browser.value("document.querySelector('#print').childElementCount"),
        0,
        "what was printed is gone from the screen"
    );
    browser.call("Emulation.setEmulatedMedia", serde_json::json!({"media": "print"}));
    browser.value("dispatchEvent(new Event('beforeprint'))");
    browser.drawn();
    keep(&browser.screenshot(), "made-print.png");
    assert_eq!(browser.value("document.querySelectorAll('#print .runs tbody tr').length"), 6);
    assert_eq!(
        browser.value("document.querySelectorAll('#print .refusals tbody tr').length"),
        2,
        "those of the time range"
    );
    assert!(browser.value("document.querySelectorAll('#print .lane rect').length").as_u64().unwrap() > 2);
    browser.value("dispatchEvent(new Event('afterprint'))");
}

/// What sticks out of a narrow screen, or cannot be read or used there.
const WRONG_WHEN_NARROW: &str = "(() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} wide`);
  for (const part of document.querySelectorAll('#screen *')) {
    const box = part.getBoundingClientRect();
    if (part.closest('.unseen') || part.closest('#pane') || !box.width) continue;
    if (box.left < -1 || box.right > innerWidth + 1) wrong.push(`${part.id || part.className || part.tagName} ends at ${box.right}`);
  }
  const pane = document.querySelector('#scroller').getBoundingClientRect();
  if (pane.height < 150 || pane.bottom > innerHeight) wrong.push(`the runs are ${pane.height} high and end at ${pane.bottom}`);
  const lanes = document.querySelector('#lanes').clientWidth;
  if (lanes < innerWidth / 2) wrong.push(`the lanes are ${lanes} wide`);
  return wrong;
})()";

#[test]
fn a_narrow_screen_shows_all_of_it_without_scrolling_sideways() {
    if !browser::is_there() {
        return;
    }
    let written = Written::of(&kept::dataset());
    for (width, height) in [(400, 800), (320, 740), (520, 900)] {
        let mut browser = Browser::open(width, height);
        browser.visit(&written.address(""));
        keep(&browser.screenshot(), &format!("narrow-{width}.png"));
        let wrong = browser.value(WRONG_WHEN_NARROW);
        assert_eq!(wrong, serde_json::json!([]), "{width}x{height}");
    }
}

#[test]
fn a_page_that_was_tampered_with_can_neither_ask_nor_act() {
    if !browser::is_there() {
        return;
    }
    let whole = document(&page(&kept::dataset(), &Asked::default()).unwrap());
    let added = r#"<img src="http://127.0.0.1:9/x"><script>document.title = 'ran'</script></body>"#;
    let tampered = whole.replace("</body>", added);
    let start = tampered.find("<meta http-equiv").unwrap();
    let end = start + tampered[start..].find('\n').unwrap();
    let open = [&tampered[..start], &tampered[end..]].concat();
    let mut browser = Browser::open(800, 600);
    // Without the policy the same page does both: what is looked for below would be seen.
    browser.visit(&Written::text(&open).address(""));
    assert!(browser.requested().iter().any(|url| url.contains("127.0.0.1")), "{:?}", browser.requested());
    assert_eq!(browser.value("document.title"), "ran");
    browser.visit(&Written::text(&tampered).address(""));
    assert!(!browser.requested().iter().any(|url| url.contains("127.0.0.1")), "{:?}", browser.requested());
    assert_eq!(browser.value("document.title"), "Tachograph report: made");
    assert!(
        browser.complaints().iter().any(|text| text.contains("Content Security Policy")),
        "{:?}",
        browser.complaints()
    );
}

#[test]
fn ten_thousand_runs_can_be_looked_at() {
    if !browser::is_there() {
        return;
    }
    let entries = fleet::entries(10_000);
    let (count, place_of_files) = (entries.len(), Path::new("/srv/fleet"));
    let dataset = Dataset::over(Arc::new(Entries { entries, damaged: None }), place_of_files);
    let written = Written::of(&dataset);
    let address = written.address("");
    let mut browser = Browser::open(1_440, 900);
    browser.dark(false);
    let began = Instant::now();
    browser.visit(&address);
    println!(
        "{count} entries: {} bytes, loaded and drawn in {:?}",
        std::fs::metadata(&written.path).unwrap().len(),
        began.elapsed()
    );
    assert_eq!(view(&mut browser, "rows"), 10_000);
    assert!(
        browser.value("document.querySelectorAll('#rows .row').length").as_u64().unwrap() < 100,
        "only what is in sight"
    );
    keep(&browser.screenshot(), "fleet-light.png");
    for (what, act) in [
        ("scrolled", "document.querySelector('#scroller').scrollTop += 3000"),
        ("zoomed", "document.querySelector('#zoom-in').click()"),
        ("filtered", "document.querySelector('#refused').click()"),
        ("unfiltered", "document.querySelector('#refused').click()"),
    ] {
        let drawn = view(&mut browser, "drawn").as_u64().unwrap();
        let millis = browser.value(&format!(
            "new Promise((done) => {{ const began = performance.now(); {act}; requestAnimationFrame(() => \
             requestAnimationFrame(() => done(performance.now() - began))) }})"
        ));
        println!("{what}: two frames in {millis} ms");
        assert!(view(&mut browser, "drawn").as_u64().unwrap() > drawn, "{what}");
    }
    browser.press("End");
    assert_eq!(text(&mut browser, "#rows .chosen .name").split('-').count(), 2);
    browser.press("0");
    browser.dark(true);
    keep(&browser.screenshot(), "fleet-dark.png");
    browser.dark(false);
    browser.value("(() => { const size = document.querySelector('#size'); size.value = 'tiny'; size.dispatchEvent(new Event('change')) })()");
    browser.drawn();
    assert!(browser.value("document.querySelectorAll('#rows .row').length").as_u64().unwrap() < 200);
    keep(&browser.screenshot(), "fleet-tiny.png");
    check_quiet(&browser, &address);
}
