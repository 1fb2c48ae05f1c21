//! `tacho report --out F`: gathers, writes, and says what was written.

use super::document;
use super::gather::{self, Asked};
use super::place::Place;
use crate::cli::ReportArgs;
use crate::error::Error;
use crate::output::Reading;
use crate::table::{GOOD, printable};
use crate::view::PageView;
use crate::when::AsOf;

/// Writes the page.
///
/// # Errors
///
/// [`Error`] if the range or the run is wrong, the journal cannot be read, or the file cannot be written.
pub async fn write(reading: &mut Reading, given: &ReportArgs) -> Result<(), Error> {
    if given.attempt.is_some() {
        let message = "--attempt belongs to a report of a run; a page shows all attempts".to_owned();
        return Err(Error::Input { code: "usage", message, remedy: "leave it out".to_owned() });
    }
    let args = &given.page;
    let path = args.out.as_deref().ok_or_else(|| Error::input("no file is named", "name it with --out FILE"))?;
    let place = Place::at(path, reading.dataset.data(), args.force)?;
    for bound in [args.from, args.to] {
        reading.note_beyond_end(bound.and_then(AsOf::asked_position));
    }
    let entries_max = args.entries_max.map_or(gather::ENTRIES_MAX, std::num::NonZero::get);
    let asked = Asked { run: given.run.clone(), from: args.from, to: args.to, entries_max };
    let page = gather::gather(&reading.dataset, &asked, reading.now, &reading.machine).await?;
    let bytes = place.write(|to| document::write(&page, to))?;
    if page.range.left_out > 0 {
        let (left_out, after) = (page.range.left_out, page.range.after);
        reading.note(&format!(
            "{left_out} entries up to position {after} are left out, as the page says; --entries-max takes more, --from and --to a part"
        ));
    }
    let view = PageView::of(&page, path, bytes);
    if reading.is_json() {
        return reading.output.json(&view);
    }
    let (start, end) = (GOOD.render(), GOOD.render_reset());
    let PageView { runs, entries, .. } = &view;
    let path = printable(&path.display().to_string());
    reading.output.text(&format!("{start}wrote{end} {path}: runs {runs}, entries {entries}, bytes {bytes}\n"))
}
