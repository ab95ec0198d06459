//! `btc dlc`: discreet log contracts.

use std::path::PathBuf;

use btc::dlc::ContractId;
use clap::{Args, Subcommand, ValueEnum};

/// How a message is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Hexadecimal digits of the wire format
    Hex,
    /// Every field by its name
    Json,
}

/// Where a message goes.
#[derive(Debug, Args)]
pub(crate) struct Out {
    /// Write the message to this file instead of standard output
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Hex)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlcVerb {
    /// Announce events and attest to their outcomes
    #[command(subcommand)]
    Oracle(OracleVerb),
    /// Make an offer from terms in TOML or JSON; reserves coins
    Offer {
        /// The file with the terms; `-` is standard input
        terms: PathBuf,
        #[command(flatten)]
        out: Out,
    },
    /// Accept an offer: verifies it, says what it means, signs every outcome; reserves coins
    Accept {
        /// The file with the offer; `-` is standard input
        offer: PathBuf,
        /// Accept on mainnet without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        out: Out,
    },
    /// Sign an accepted offer: verifies everything, then signs the contract and its funding
    Sign {
        /// The file with the accept message; `-` is standard input
        accept: PathBuf,
        /// Sign on mainnet without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        out: Out,
    },
    /// Verify everything and send the funding
    Finalize {
        /// The file with the sign message; `-` is standard input
        sign: PathBuf,
        /// Send on mainnet without a question
        #[arg(long)]
        yes: bool,
    },
    /// Refuse an offer for good, and say so to the other side; or take note of a rejection
    Reject {
        /// The file with the offer, or with the other side's rejection; `-` is standard input
        message: PathBuf,
        /// What the other side is told
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        out: Out,
    },
    /// Give up a contract that has no funding yet
    Cancel {
        /// The contract
        id: ContractId,
    },
    /// Settle a contract with its oracles' attestations
    Execute {
        /// The contract
        id: ContractId,
        /// The files with the attestations
        #[arg(required = true)]
        attestations: Vec<PathBuf>,
        /// Send on mainnet without a question
        #[arg(long)]
        yes: bool,
    },
    /// Take the refund once its time has passed
    Refund {
        /// The contract
        id: ContractId,
        /// Send on mainnet without a question
        #[arg(long)]
        yes: bool,
    },
    /// Close by agreement: propose with an id, agree with the other side's proposal
    Close {
        /// The contract, or the file with a proposal; `-` is standard input
        contract: String,
        /// What you get, in satoshi, before your half of the fee
        #[arg(long)]
        own_sat: u64,
        /// Send on mainnet without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        out: Out,
    },
    /// All contracts
    List,
    /// What a contract or an offer means, in words, with its curve
    Show {
        /// The contract, or the file with an offer; `-` is standard input
        contract: String,
        /// Write the curve of the first event about a number to this SVG file
        #[arg(long)]
        svg: Option<PathBuf>,
    },
    /// Follow the chain once and do what is due
    Sync,
    /// Follow the chain and a folder of attestations until Ctrl-C: settle, refund, send again
    Watch {
        /// A folder; each file in it that holds an attestation is tried on every contract
        #[arg(long)]
        attestations: Option<PathBuf>,
        /// Seconds between two rounds
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        every: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OracleVerb {
    /// Announce an event; prints the announcement
    Announce {
        /// Its name, unique for this oracle
        name: String,
        /// When the outcome is expected, in Unix seconds
        #[arg(long)]
        maturity: u32,
        /// An outcome by name; give each
        #[arg(long = "outcome", conflicts_with = "digits")]
        outcomes: Vec<String>,
        /// The event is about a number with this many binary digits
        #[arg(long, required_unless_present = "outcomes")]
        digits: Option<u16>,
        /// What the number counts
        #[arg(long, default_value = "")]
        unit: String,
        /// The oracle's folder
        #[arg(long, default_value = "oracle")]
        dir: PathBuf,
    },
    /// Attest to an outcome, once and for all; prints the attestation
    Attest {
        /// The event's name
        name: String,
        /// The outcome: a name, or a number
        outcome: String,
        /// The oracle's folder
        #[arg(long, default_value = "oracle")]
        dir: PathBuf,
    },
    /// All events
    List {
        /// The oracle's folder
        #[arg(long, default_value = "oracle")]
        dir: PathBuf,
    },
}
