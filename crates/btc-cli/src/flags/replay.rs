//! What can be typed: the options of `btc record` and `btc replay`.

use std::path::PathBuf;

use btc::BitcoinImplementationType;
use btc::shadow::replay::BlockRange;
use clap::{ArgGroup, Args};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["import", "blocks"]))]
pub(crate) struct Record {
    /// Read a log that others wrote, `-` for standard input, and leave out what cannot be read
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,
    /// Names that its methods have, beside our own and Bitcoin Core's
    #[arg(long, value_name = "NAME=METHOD,…", requires = "import")]
    pub(crate) map: Vec<String>,
    /// Write the calls that read these blocks: 100..200, 100..=200, 100.. or ..200
    #[arg(long, value_name = "A..B")]
    pub(crate) blocks: Option<BlockRange>,
    /// How many transactions of each block; without, all
    #[arg(long, value_name = "N", requires = "blocks")]
    pub(crate) transactions: Option<usize>,
    /// Where the calls go, replaced if it exists; without, standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["files", "blocks"]))]
pub(crate) struct Replay {
    /// Recorded calls, `-` for standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read these blocks and their transactions: 100..200, 100..=200, 100.. or ..200
    #[arg(long, value_name = "A..B", conflicts_with = "files")]
    pub(crate) blocks: Option<BlockRange>,
    /// How many transactions of each block; without, all
    #[arg(long, value_name = "N", requires = "blocks")]
    pub(crate) transactions: Option<usize>,
    /// How many calls are made at one time
    #[arg(long, value_name = "T", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// Calls a second, at most
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Whose answers come first; without, as configured
    #[arg(long, value_parser = implementation)]
    pub(crate) primary: Option<BitcoinImplementationType>,
    /// The comparison log, which is added to [default: logs/replay.log]
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Where it is kept how far the replay got [default: beside the input, or the log]
    #[arg(long, value_name = "STATE")]
    pub(crate) resume: Option<PathBuf>,
    /// Begin anew
    #[arg(long)]
    pub(crate) restart: bool,
    /// Make the calls that reserve addresses and coins too, on regtest only; never a broadcast
    #[arg(long, conflicts_with = "blocks")]
    pub(crate) effects: bool,
}

fn implementation(text: &str) -> Result<BitcoinImplementationType, &'static str> {
    match text {
        "python" => Ok(BitcoinImplementationType::Python),
        "rust" => Ok(BitcoinImplementationType::Rust),
        _ => Err("use python or rust"),
    }
}
