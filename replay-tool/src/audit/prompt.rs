//! Questions one after the other: typed at a prompt, or out of standard input.

use std::io::{IsTerminal, stdin, stdout};

use tachograph_engine::domain::{Position, Timestamp};

use super::answer::{Desk, Next};
use super::cache::{Asks, Cached};
use super::command::{
    NOW_US, chosen, dictionary, explained, known, list, note_archived, read_in, scope, unknown_query,
};
use super::editor::{COMMANDS, Typed, Typing};
use super::history::QuestionHistory;
use super::interrupt::Interrupt;
use super::kept::Kept;
use super::loading::Loaded;
use super::named::NamedQuery;
use super::parameter::Parameter;
use super::problem::{interrupted, nothing_asked, unknown_parameter};
use super::rows::{self, RowsFormat};
use super::statements::{Said, first_said, is_blank, statements};
use super::tables;
use crate::cli::AskArgs;
use crate::error::Error;
use crate::output::{Reading, wall_clock};
use crate::patient::tell;
use crate::when::AsOf;

const PROMPT: &str = "tacho> ";
/// How often the tables of one question are filled at most, if entries are archived again and again meanwhile.
pub(super) const FILLED_MAX: usize = 3;
/// Characters of what is no command that are told.
const COMMAND_CHARS_MAX: usize = 64;
const WELCOME: &str = "Each question ends with ;  .help lists commands, .tables the tables, Ctrl-D leaves.\n";

/// Whether there is somebody to be asked.
pub(super) fn is_wanted() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Answers what is typed, until that ends. What is wrong with one question is told, and the next one is asked for.
///
/// # Errors
///
/// [`Error`] if the terminal cannot be used, or the output not be written.
pub(super) async fn converse(reading: &mut Reading, ask: &AskArgs) -> Result<(), Error> {
    let history = QuestionHistory::of_user(reading.dataset.data());
    let before = history.load().unwrap_or_else(|error| {
        reading.note(&format!("what was asked before cannot be read: {error}"));
        Vec::new()
    });
    let mut typing = Typing::of(&before)?;
    let interrupt = Interrupt::of_terminal().unwrap_or_else(|error| {
        reading.note(&format!("Ctrl-C ends the prompt while a question is answered: {error}"));
        Interrupt::never()
    });
    reading.dataset = reading.dataset.clone().stopped_by(interrupt.flag());
    let mut sitting = Sitting::of(reading, ask, interrupt.clone())?;
    reading.output.text(WELCOME)?;
    loop {
        reading.output.flush()?;
        let text = match typing.next(PROMPT)? {
            Typed::Text(text) => text,
            Typed::Dropped => continue,
            Typed::End => return Ok(()),
        };
        if is_blank(&text) {
            continue;
        }
        typing.remember(text.trim());
        if let Err(error) = history.add(text.trim()) {
            reading.note(&format!("what is asked is not kept: {error}"));
        }
        reading.now = wall_clock();
        interrupt.begin();
        let said = sitting.said(reading, &text).await;
        interrupt.end();
        if said? == Leaves::Yes {
            return Ok(());
        }
    }
}

/// Answers the statements of standard input, up to the first one that is wrong.
///
/// # Errors
///
/// As those of one question.
pub(super) async fn read_out(reading: &mut Reading, ask: &AskArgs) -> Result<(), Error> {
    let text = read_in()?;
    let mut sitting = Sitting::of(reading, ask, Interrupt::never())?;
    let statements = statements(&text);
    if statements.is_empty() {
        return Err(nothing_asked());
    }
    check_asked_for(&statements, &ask.params)?;
    for statement in statements {
        sitting.answer(reading, statement, &[]).await?;
    }
    Ok(())
}

/// Checks that some statement asks for every parameter. One that is wrong may have been meant to: it is told when its turn comes.
fn check_asked_for(statements: &[&str], given: &[Parameter]) -> Result<(), Error> {
    let mut asked = Vec::new();
    for statement in statements.iter().filter(|_| !given.is_empty()) {
        match Desk::of(statement) {
            Ok(desk) => asked.extend_from_slice(desk.parameters()),
            Err(_) => return Ok(()),
        }
    }
    match given.iter().find(|parameter| !asked.contains(&parameter.name)) {
        Some(surplus) => Err(unknown_parameter(&surplus.name, &asked)),
        None => Ok(()),
    }
}

/// Whether somebody leaves the prompt.
#[derive(PartialEq, Eq)]
enum Leaves {
    Yes,
    No,
}

fn no_command(line: &str) -> Error {
    let shown: String = line.chars().take(COMMAND_CHARS_MAX).collect();
    Error::input(format!("there is no command {shown:?}"), "`.help` lists them; a question ends with ;")
}

fn valueless(name: &str) -> Error {
    let shown: String = name.chars().take(COMMAND_CHARS_MAX).collect();
    Error::input(format!("there is no value of {shown:?} to take away"), "to give it one: .param NAME=VALUE")
}

/// What holds from one question to the next.
struct Sitting {
    ask: AskArgs,
    output: RowsFormat,
    /// Tables of this sitting alone.
    kept: Kept,
    /// Tables that outlive it.
    cached: Cached,
    /// When it began: how long ago is so long before, in all its questions, for their tables stay.
    began: Timestamp,
    interrupt: Interrupt,
    /// Up to where it was told that entries are archived.
    archived: Position,
}

/// A question whose tables are filled.
struct Filled {
    desk: Desk,
    optional: Vec<Parameter>,
    loaded: Loaded,
    tables: Tables,
}

/// Where the tables of a question are.
#[derive(PartialEq, Eq)]
enum Tables {
    /// They are its own.
    Apart,
    /// They stay for this sitting.
    Kept,
    /// They outlive it.
    Cached,
}

impl Sitting {
    fn of(reading: &Reading, ask: &AskArgs, interrupt: Interrupt) -> Result<Self, Error> {
        let (output, began) = (chosen(reading.format, ask.output), reading.now);
        let (kept, archived) = (Kept::empty(interrupt.clone())?, reading.dataset.reader().archived());
        let cached = Cached::of(reading, ask, Asks::Often, interrupt.clone());
        Ok(Self { ask: ask.clone(), output, kept, cached, began, interrupt, archived })
    }

    /// Does what a text says, one thing after the other. What is wrong with one is told, and the next one is done; unless the
    /// one was given up, which gives up the rest.
    async fn said(&mut self, reading: &mut Reading, text: &str) -> Result<Leaves, Error> {
        let mut rest = text;
        while let Some((said, behind)) = first_said(rest) {
            rest = behind;
            let done = match said {
                Said::Command(".quit" | ".exit") => return Ok(Leaves::Yes),
                Said::Command(line) => self.does(reading, line).await,
                Said::Statement(sql) | Said::Unfinished(sql) => self.answer(reading, sql, &[]).await,
                Said::Foreign(line) => Err(no_command(line)),
            };
            // The next one may take long.
            reading.output.flush()?;
            match done {
                Ok(()) => {}
                Err(error @ (Error::BrokenPipe | Error::Output(_))) => return Err(error),
                Err(error) => {
                    tell(&error.to_text());
                    if error.code() == interrupted().code() {
                        break;
                    }
                }
            }
        }
        Ok(Leaves::No)
    }

    /// Does one of the prompt's own commands.
    async fn does(&mut self, reading: &mut Reading, line: &str) -> Result<(), Error> {
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (argument, form) = (argument.trim(), self.output);
        let output = &mut reading.output;
        match (command, argument) {
            (".help", _) => {
                let all = COMMANDS.iter().map(|(usage, about)| vec![(*usage).to_owned(), (*about).to_owned()]);
                known(output, form, &["command", "does"], all.collect())
            }
            (".tables", _) => {
                let all = tables().into_iter().map(|table| vec![table.name.to_owned(), table.about.to_owned()]);
                known(output, form, &["table", "one row is"], all.collect())
            }
            (".columns", table) => dictionary(output, form, Some(table).filter(|table| !table.is_empty())),
            (".audit", "") => list(output, form),
            (".audit", name) => {
                let query = NamedQuery::find(name).ok_or_else(|| unknown_query(name))?;
                let defaults: Vec<_> = query.parameters().into_iter().map(|parameter| parameter.default).collect();
                self.answer(reading, query.sql, &defaults).await
            }
            (".output", "") => output.text(&format!("{}\n", form.name())),
            (".output", name) => {
                self.output = <RowsFormat as clap::ValueEnum>::from_str(name, true).map_err(|_| {
                    Error::input(format!("{name:?} is no form of output"), "write table, json, jsonl or csv")
                })?;
                Ok(())
            }
            (".param", "") => {
                let all = self.ask.params.iter().map(|given| vec![given.name.clone(), given.told()]);
                known(output, form, &["parameter", "value"], all.collect())
            }
            (".param", name) if !name.contains('=') => {
                let known = self.ask.params.len();
                self.ask.params.retain(|known| known.name != name.trim_start_matches([':', '@', '$']));
                if self.ask.params.len() < known { Ok(()) } else { Err(valueless(name)) }
            }
            (".param", given) => {
                let given: Parameter = given.parse().map_err(|why| Error::input(why, "for example: .param who=r1"))?;
                self.ask.params.retain(|known| known.name != given.name);
                self.ask.params.push(given);
                Ok(())
            }
            (".cache", _) => {
                let told = self.cached.told(&reading.dataset).await;
                let all = told.into_iter().map(|(what, is)| vec![what.to_owned(), is]);
                known(output, form, &["cache", "is"], all.collect())
            }
            (".explain", _) => {
                self.ask.explain = !self.ask.explain;
                let state = if self.ask.explain { "on" } else { "off" };
                output.text(&format!("explain is {state}\n"))
            }
            (other, _) => Err(no_command(other)),
        }
    }

    async fn answer(&mut self, reading: &mut Reading, sql: &str, defaults: &[Parameter]) -> Result<(), Error> {
        let filled = self.filled_whole(reading, sql, defaults).await?;
        let Filled { desk, optional, loaded, tables } = &filled;
        let (form, to_terminal) = (self.output, stdout().is_terminal());
        if self.ask.explain {
            let told = self.cached.explained(&reading.dataset, *tables == Tables::Cached).await;
            let plan = if *tables == Tables::Cached { self.cached.plan(desk) } else { None };
            let plan = plan.map_or_else(|| desk.plan(), Ok)?;
            return explained(&mut reading.output, form, (loaded, told), plan);
        }
        let output = &mut reading.output;
        let mut answer = |names: &[String], next: Next<'_>| rows::write(form, names, next, output, to_terminal);
        match tables {
            Tables::Apart => return desk.ask(&[], optional, answer),
            Tables::Kept => return self.kept.ask(desk, (&[], optional), answer),
            Tables::Cached if self.cached.ask(desk, (&[], optional), &mut answer)? => return Ok(()),
            // They cannot be read any more, and will not be tried again.
            Tables::Cached => {}
        }
        let filled = self.filled_whole(reading, sql, defaults).await?;
        let output = &mut reading.output;
        let answer = |names: &[String], next: Next<'_>| rows::write(form, names, next, output, to_terminal);
        match filled.tables {
            Tables::Apart => filled.desk.ask(&[], &filled.optional, answer),
            _ => self.kept.ask(&filled.desk, (&[], &filled.optional), answer),
        }
    }

    /// Fills the tables; once more if entries were archived meanwhile, which are then missing.
    async fn filled_whole(
        &mut self,
        reading: &mut Reading,
        sql: &str,
        defaults: &[Parameter],
    ) -> Result<Filled, Error> {
        reading.dataset.look_for_archive()?;
        for _ in 1..FILLED_MAX {
            let archived = self.note_archived(reading);
            let filled = self.filled(reading, sql, defaults).await;
            if reading.dataset.reader().archived() == archived {
                return filled;
            }
        }
        self.note_archived(reading);
        self.filled(reading, sql, defaults).await
    }

    /// Tells if entries were archived since it was told last; returns up to where they are.
    fn note_archived(&mut self, reading: &Reading) -> Position {
        let archived = reading.dataset.reader().archived();
        if archived != self.archived {
            note_archived(reading);
        }
        self.archived = archived;
        archived
    }

    async fn filled(&mut self, reading: &Reading, sql: &str, defaults: &[Parameter]) -> Result<Filled, Error> {
        let desk = Desk::of(sql)?.interrupted_by(&self.interrupt)?;
        let scope = scope(reading, &self.ask, self.began).await?;
        let now = match self.ask.at {
            None => reading.now,
            Some(AsOf::Time(when)) => when.resolve(self.began),
            Some(AsOf::Position(_)) => reading.dataset.recorded_at(scope.at).await?.unwrap_or(reading.now),
        };
        // Not every question has all parameters that were given for the sitting.
        let mut optional: Vec<Parameter> = self.ask.params.iter().rev().chain(defaults).cloned().collect();
        optional.push(Parameter::integer(NOW_US, now.as_micros()));
        let mut desk = desk.narrowed(&[], &optional);
        let is_of_runs = scope.run.is_some() || desk.is_of_runs(&reading.dataset, scope);
        let cached = self.cached.bring_up(&reading.dataset, scope, &desk).await?;
        self.cached.take_note().into_iter().for_each(|note| reading.note(&note));
        let (tables, loaded) = if let Some(loaded) = cached {
            (Tables::Cached, loaded)
        } else if self.ask.explain || is_of_runs && !self.kept.covers(desk.wanted()) {
            (Tables::Apart, desk.fill(&reading.dataset, scope).await?)
        } else {
            (Tables::Kept, self.kept.bring_up(&reading.dataset, scope, desk.wanted()).await?)
        };
        if self.interrupt.is_asked() { Err(interrupted()) } else { Ok(Filled { desk, optional, loaded, tables }) }
    }
}
