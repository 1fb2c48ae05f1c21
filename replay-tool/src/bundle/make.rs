//! `tacho export`: a bundle of a journal, or of a part of it.

use std::path::Path;

use tachograph_adapters::bundle::redaction::{self, Selector};
use tachograph_adapters::bundle::seal::SealKey;
use tachograph_adapters::bundle::{Compression, Exported, Request, Selection, export};
use tachograph_engine::domain::{Position, Timestamp};

use super::bar;
use crate::cli::ExportArgs;
use crate::dataset::Dataset;
use crate::error::{Error, exit};
use crate::output::Context;
use crate::table::printable;
use crate::view::BundleView;
use crate::when::AsOf;

/// Writes a bundle of the journal, or of a bundle of a whole one.
///
/// # Errors
///
/// [`Error`] if nothing is there to be exported, the file exists, or the journal is damaged.
pub async fn execute(context: &Context, args: &ExportArgs) -> Result<u8, Error> {
    let Some(out) = &args.out else { return Err(Error::internal("an export without a file is JSON Lines")) };
    let request = request(context, args).await?;
    let made = export(&context.data, out, &request, bar("exporting"))?;
    let mut output = context.stdout();
    match context.is_json() {
        true => output.json(&BundleView::of(&made.manifest, made.journal, made.root, made.sealed_by, made.bytes))?,
        false => output.text(&text(&made, out, args))?,
    }
    output.flush()?;
    Ok(exit::OK)
}

async fn request(context: &Context, args: &ExportArgs) -> Result<Request, Error> {
    let now = context.now();
    Ok(Request {
        selection: selection(context, args, now).await?,
        compression: if args.zstd { Compression::Zstd } else { Compression::None },
        seal: args.seal.as_deref().map(SealKey::open).transpose()?,
        redact: args.redact.iter().map(|path| selector(path)).collect::<Result<_, _>>()?,
        salts: args.salts.clone(),
        guessable_ids: args.guessable_ids,
        replaces: args.force,
        exported_at: now,
        producer: format!("tacho {}", env!("CARGO_PKG_VERSION")),
    })
}

async fn selection(context: &Context, args: &ExportArgs, now: Timestamp) -> Result<Selection, Error> {
    if args.run.is_none() && args.from.is_none() && args.to.is_none() {
        return Ok(Selection::WHOLE);
    }
    let dataset = Dataset::open(&context.data)?;
    if let Some(run) = &args.run {
        return Ok(Selection::Run(dataset.resolve(run, None).await?));
    }
    let first = match args.from {
        None => Position(1),
        Some(AsOf::Position(position)) => position.max(Position(1)),
        // The entry behind the last one that was recorded before.
        Some(AsOf::Time(when)) => {
            let before = Timestamp::from_micros(when.resolve(now).as_micros().saturating_sub(1));
            dataset.position_at(before, dataset.reader().head().position).await?.next()
        }
    };
    let last = match args.to {
        None => Position(u64::MAX),
        to => dataset.position(to, now).await?,
    };
    Ok(Selection::Positions { first, last })
}

fn selector(path: &str) -> Result<Selector, Error> {
    path.parse().map_err(|message: String| {
        let nearest = redaction::selectable()
            .max_by(|one, other| strsim::jaro_winkler(path, one).total_cmp(&strsim::jaro_winkler(path, other)));
        let all: Vec<&str> = redaction::selectable().collect();
        let nearest = nearest.filter(|nearest| strsim::jaro_winkler(path, nearest) > 0.75);
        let meant = nearest.map(|nearest| format!("did you mean {nearest:?}? ")).unwrap_or_default();
        Error::input(message, format!("{meant}--redact takes label.KEY, {}", all.join(", ")))
    })
}

fn text(made: &Exported, out: &Path, args: &ExportArgs) -> String {
    let manifest = &made.manifest;
    let (first, last) = (manifest.first, manifest.tip.position);
    let mut text = format!(
        "exported {} entries ({} to {}) of journal {} into {}, {} bytes\nroot:     {}\n",
        manifest.entries,
        first,
        last,
        made.journal,
        printable(&out.display().to_string()),
        made.bytes,
        made.root
    );
    if let Some(key) = made.sealed_by {
        text.push_str(&format!("sealed:   by {key}\n"));
    }
    for redacted in &manifest.redacted {
        text.push_str(&format!("redacted: {} values of {}\n", redacted.values, printable(&redacted.path)));
    }
    match &args.salts {
        Some(salts) => text.push_str(&format!(
            "salts:    in {}; keep it apart: whoever has it knows the values\n",
            printable(&salts.display().to_string())
        )),
        None if manifest.is_redacted() => {
            text.push_str("salts:    not kept (--salts); nobody will be able to prove what was redacted\n");
        }
        None => {}
    }
    text
}
