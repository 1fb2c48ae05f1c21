//! Arguments of `tacho import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use tachograph_adapters::bundle::seal::PublicKey;

/// Arguments of `tacho import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Makes a journal in the data directory, which must not exist or be empty. Without --from the file is a bundle of a whole \
journal, and what was exported comes back byte by byte. tachograph-jsonl is what `tacho export --jsonl` \
wrote: all of it becomes the same journal, or nothing. The others are foreign histories: lines that cannot be read are \
reported with their number, and the rest is imported; where the history contradicts itself, the refusals stand in the \
journal. The whole input is kept as foreign/original.jsonl in the data directory.

Examples:
  tacho import evidence.tacho --data ./copy
  tacho import --from tachograph-jsonl journal.jsonl --data ./copy
  docker events --since 24h --until 0s --format '{{json .}}' | tacho import --from docker-events - --data ./docker
  kubectl get events -A -o json | tacho import --from k8s-events - --data ./cluster
  tacho import --from jsonl builds.jsonl --data ./builds --strict")]
pub struct ImportArgs {
    /// What the file is: tachograph-jsonl, docker-events, k8s-events, or jsonl, which docs/import.md describes [default: a bundle]
    #[arg(long, value_name = "SOURCE", hide_possible_values = true)]
    pub from: Option<Source>,
    /// The file; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The bundle must be sealed with this key
    #[arg(long, value_name = "PUBLIC_KEY", conflicts_with = "from")]
    pub sealed_by: Option<PublicKey>,
    /// Import nothing if a line of a foreign history cannot be read
    #[arg(long, requires = "from")]
    pub strict: bool,
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// A journal as JSON Lines.
    TachographJsonl,
    /// The output of `docker events --format '{{json .}}'`.
    DockerEvents,
    /// The output of `kubectl get events -o json`, with `--watch` or without.
    K8sEvents,
    /// One event per line in the shape that docs/import.md describes; a journal as JSON Lines is recognised.
    Jsonl,
}
