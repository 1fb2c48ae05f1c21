//! `tacho why`: a plain account of one run.

use tachograph_engine::domain::{RunId, SystemFact};

use crate::account::{Account, Asked, Gap, Sentence, Told};
use crate::cli::WhyArgs;
use crate::error::Error;
use crate::output::Reading;
use crate::table::{Align, BAD, BOLD, Cell, DIM, Table, WARN, printable};
use crate::timeline::event_style;
use crate::view::AccountView;
use crate::when::AsOf;

const COLUMNS: [(&str, Align); 3] = [("POSITION", Align::Right), ("TIME", Align::Left), ("WHAT", Align::Left)];

/// Tells how a run came to its state.
///
/// # Errors
///
/// [`Error`] if there is no such run, the journal cannot be read or the output not written.
pub async fn tell(reading: &mut Reading, args: &WhyArgs) -> Result<(), Error> {
    reading.note_beyond_end(args.at.and_then(AsOf::asked_position));
    let machine = Some(reading.machine.clone());
    let asked = Asked { at: args.at, now: reading.now, silence_ms: args.silence.as_millis(), machine };
    let account = reading.dataset.account(&args.run, &asked).await?;
    if reading.is_json() {
        return reading.output.json(&AccountView::from(&account));
    }
    reading.output.text(&heading(&account))?;
    reading.output.text(&body(&account))
}

fn heading(account: &Account) -> String {
    let run: RunId = account.run;
    let name = account.record.as_ref().and_then(|record| record.run.spec.name.as_ref());
    let name = name.map(|name| format!(" {:?}", printable(name))).unwrap_or_default();
    format!("{}run {run}{name}{}\n\n", BOLD.render(), BOLD.render_reset())
}

fn body(account: &Account) -> String {
    let mut table = Table::of(&COLUMNS);
    for sentence in &account.sentences {
        table.row([
            Cell::from(sentence.position.to_string()),
            Cell::from(sentence.recorded_at.to_string()),
            Cell::styled(account.text(sentence), style(sentence)),
        ]);
        for note in account.notes(sentence) {
            table.row([Cell::from(""), Cell::from(""), Cell::styled(format!("  {note}"), DIM)]);
        }
    }
    table.render()
}

fn style(sentence: &Sentence) -> anstyle::Style {
    match &sentence.told {
        Told::State(_) => BOLD,
        Told::Event(told) => event_style(&told.event),
        Told::Refused(_) | Told::NeverCreated | Told::Archived(_) | Told::Still(_) => WARN,
        Told::Fact { fact: SystemFact::Recovered { torn: None, missing_up_to: None, .. }, .. } => WARN,
        Told::Fact { fact: SystemFact::Recovered { .. }, .. } => BAD,
        Told::Fact { fact: SystemFact::Opened(_) | SystemFact::Closed(_), .. } | Told::Rearmed(_) => DIM,
        Told::Gap(Gap::Missing { .. } | Gap::FactsUnread) | Told::StateUnknown => BAD,
        Told::Gap(
            Gap::Silence { .. }
            | Gap::SupervisorDown { .. }
            | Gap::SteppedBack { .. }
            | Gap::ClockMoved(_)
            | Gap::DeadlinePassed { .. }
            | Gap::NotDestroyed { .. },
        ) => WARN,
    }
}
