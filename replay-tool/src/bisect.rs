//! `tacho bisect`: at which position something became true.

use tachograph_engine::domain::Position;

use crate::cli::BisectArgs;
use crate::error::Error;
use crate::output::Reading;
use crate::point::{Bisection, ExpressionError, Found, Method};
use crate::table::{DIM, WARN, printable};
use crate::tail;
use crate::view::BisectionView;
use crate::when::AsOf;

/// Finds the first position at which the predicate was true.
///
/// # Errors
///
/// [`Error`] if the expression is none, a run that it asks for is unknown, the journal cannot be read or the output not
/// written.
pub async fn find(reading: &mut Reading, args: &BisectArgs) -> Result<(), Error> {
    let expression = args.expression()?;
    reading.note_beyond_end(args.from.and_then(AsOf::asked_position));
    reading.note_beyond_end(args.to.and_then(AsOf::asked_position));
    let dataset = &reading.dataset;
    let to = dataset.position(args.to, reading.now).await?;
    let from = match args.from {
        Some(from) => dataset.position(Some(from), reading.now).await?,
        // Before the first entry of a part nothing is known.
        None if dataset.held().before() > Position::ZERO => dataset.held().before().next(),
        None => Position::ZERO,
    };
    if from > to {
        let message = format!("--from stands for position {from}, which lies behind --to, position {to}");
        return Err(Error::input(message, "give --from before --to"));
    }
    let bisection = dataset.bisect(&expression, from, to).await?;
    if reading.is_json() {
        return reading.output.json(&BisectionView::from(&bisection));
    }
    reading.output.text(&text(&bisection))
}

fn text(bisection: &Bisection) -> String {
    let Bisection { expression, from, to, found, .. } = bisection;
    let expression = printable(expression);
    let answer = match found {
        Found::At(entry) => format!("{expression}\nbecame true at position {}:\n{}", entry.position, tail::line(entry)),
        Found::Within { after, by } => format!(
            "{expression}\nbecame true after position {after}, and at position {by} at the latest: no entry in between that can \
             be read made it so\n"
        ),
        Found::Before => format!("{expression}\nwas true already at position {from}, where the search began\n"),
        Found::Never => format!("{expression}\nwas never true from position {from} to {to}\n"),
    };
    let uncounted = match bisection.begun_before {
        0 => String::new(),
        count => format!(
            "{}only runs whose creation is held are counted; that began before and are not: {count}{}\n",
            WARN.render(),
            WARN.render_reset()
        ),
    };
    format!("{answer}{uncounted}{}{}{}\n", DIM.render(), how(bisection), DIM.render_reset())
}

fn how(bisection: &Bisection) -> String {
    let Bisection { method, why, entries, checkpoints, .. } = bisection;
    match method {
        Method::History => format!("found along the runs' own entries ({entries} looked at): {why}"),
        Method::BinarySearch => {
            format!("found by binary search ({checkpoints} checkpoints and {entries} entries looked at): {why}")
        }
        Method::Scan => format!("found by scan ({entries} entries looked at): {why}"),
    }
}

impl From<ExpressionError> for Error {
    fn from(error: ExpressionError) -> Self {
        let remedy = match &error.instead {
            Some(instead) => format!("{instead}; docs/expressions.md describes expressions"),
            None => "docs/expressions.md describes expressions".to_owned(),
        };
        Self::Input { code: "invalid_expression", message: error.to_string(), remedy }
    }
}
