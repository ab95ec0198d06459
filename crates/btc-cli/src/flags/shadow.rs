//! What can be typed: the verbs of shadow mode.

use std::path::PathBuf;

use btc::BitcoinImplementationType;
use clap::{Args, Subcommand, ValueEnum};

use crate::load::Mix;

#[derive(Debug, Subcommand)]
pub(crate) enum ShadowVerb {
    /// Drive a load through shadow mode while the chain moves, and report
    Soak(Soak),
    /// One implementation under a load of reads, by itself: what `soak` measures memory with
    #[command(hide = true)]
    Alone(Alone),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Soak {
    /// End after so many calls, 10000 unless said otherwise; with both directions, half each
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: Option<u64>,
    /// End after so many minutes; with both directions, half each
    #[arg(long, conflicts_with = "ops", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) minutes: Option<u64>,
    /// At most so many calls a second over all threads; as many as there can be unless said otherwise
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Threads that call
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// How often each operation is called, in parts, as get_transaction=5,get_block=1; what is
    /// not named is not called
    #[arg(long)]
    pub(crate) mix: Option<Mix>,
    /// Whose answers are returned
    #[arg(long, value_enum, default_value_t = Primary::Both)]
    pub(crate) primary: Primary,
    /// Move the chain meanwhile: the default on a private node, impossible on a configured one
    #[arg(long)]
    pub(crate) moving: bool,
    /// Leave the chain alone
    #[arg(long, conflicts_with = "moving")]
    pub(crate) still: bool,
    /// Seconds between two reorganisations while the chain moves; 0 for none
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) reorg_every: u64,
    /// Other calls, and another chain, for each number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The comparison log, appended to if it exists
    #[arg(long, default_value = "logs/soak.log", value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// Use the wallet in WALLET_DIR on the configured node: gives out addresses and reserves
    /// coins, and sends to itself where the network is not mainnet
    #[arg(long)]
    pub(crate) wallet: bool,
    /// Compare on the caller's thread
    #[arg(long)]
    pub(crate) in_line: bool,
    /// Do not wait for the comparisons: count what does not fit in the queue as dropped
    #[arg(long, conflicts_with = "in_line")]
    pub(crate) no_hold_back: bool,
    /// Calls that may wait to be compared, 64 unless SHADOW_QUEUE says otherwise: the more, the
    /// later the other side is asked
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) queue: Option<u32>,
    /// Do not measure the memory of each implementation by itself afterwards
    #[arg(long)]
    pub(crate) no_alone: bool,
}

/// Whose answers are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Primary {
    /// Python's
    Python,
    /// Rust's
    Rust,
    /// Python's for one half, Rust's for the other
    Both,
}

impl Primary {
    /// The implementations that are the primary, one after the other.
    pub(crate) fn each(self) -> &'static [BitcoinImplementationType] {
        use BitcoinImplementationType::{Python, Rust};
        match self {
            Self::Python => &[Python],
            Self::Rust => &[Rust],
            Self::Both => &[Python, Rust],
        }
    }
}

/// The known inputs come on standard input, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Alone {
    /// Which implementation
    #[arg(long, value_parser = implementation)]
    pub(crate) implementation: BitcoinImplementationType,
    /// How many calls
    #[arg(long)]
    pub(crate) ops: u64,
    /// Threads that call
    #[arg(long)]
    pub(crate) threads: u32,
    /// What is called
    #[arg(long)]
    pub(crate) mix: Mix,
    /// Other calls for each number
    #[arg(long)]
    pub(crate) seed: u64,
}

fn implementation(text: &str) -> Result<BitcoinImplementationType, String> {
    use BitcoinImplementationType::{Python, Rust};
    [Python, Rust]
        .into_iter()
        .find(|implementation| implementation.as_str() == text)
        .ok_or_else(|| "use python or rust".to_owned())
}
