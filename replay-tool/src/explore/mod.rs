//! `tacho explore`: a time machine on a terminal.
//!
//! | module | does |
//! | --- | --- |
//! | [`machine`] | a cursor over a journal with all runs as they were at its position |
//! | [`wanted`] | what is looked for |
//! | [`session`], [`scene`] | what is asked from the screen, and what there is to see then |
//! | [`halt`] | reads that take a while: how far they have come, and ending them early |
//! | [`model`], [`keys`], [`prompt`] | what the screen is in, and what follows from a key; pure |
//! | [`layout`], [`draw`], [`theme`] | the screen, drawn from the model; pure |
//!
//! Everything but the terminal itself works without one, so that it is tested without one.

pub mod draw;
mod facts;
mod fleet;
pub mod halt;
pub mod keys;
pub mod layout;
mod line;
pub mod machine;
mod marks;
pub mod model;
mod pages;
pub mod prompt;
pub mod scene;
pub mod session;
mod stage;
mod suspension;
mod terminal;
pub mod theme;
mod track;
pub mod wanted;
mod worker;

use self::session::{Request, Session};
use self::stage::Left;
use crate::cli::ExploreArgs;
use crate::dataset::Dataset;
use crate::error::{Error, exit};
use crate::output::{Context, note_held};
use crate::signal;

/// Shows a journal on the terminal until somebody has seen enough. Returns the exit code: 128 + n after signal n.
///
/// # Errors
///
/// [`Error::Input`] without a terminal, another [`Error`] if there is no such run, or the journal or the terminal cannot
/// be read. Damage that was met ends it as it ends every command that reads.
pub async fn execute(context: &Context, args: ExploreArgs) -> Result<u8, Error> {
    if context.is_json() {
        return Err(Error::input(
            "`tacho explore` draws on a terminal and prints no JSON",
            "`tacho runs`, `tacho show`, `tacho timeline` and `tacho tail` do",
        ));
    }
    terminal::check()?;
    let dataset = Dataset::open(&context.data)?;
    note_held(context.format, &dataset);
    let selected = match &args.run {
        Some(text) => Some(dataset.resolve(text, None).await?),
        None => None,
    };
    let first = args.at.map_or(Request::End, Request::To);
    let left = stage::show(context, Session::new(dataset.clone(), selected), first).await?;
    match (left, dataset.damage()) {
        (Left::Signal(number), _) => Ok(signal::shell_code(number.as_raw())),
        (Left::Quit | Left::Gone, Some(damage)) => Err(damage.into()),
        (Left::Quit | Left::Gone, None) => Ok(exit::OK),
    }
}
