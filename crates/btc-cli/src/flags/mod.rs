//! What can be typed: the verbs and their options.

mod analyze;
#[cfg(feature = "dlc")]
mod dlc;
mod replay;
mod rollout;
mod shadow;
mod wallet;

use std::path::PathBuf;

use btc::bitcoin::Txid;
use clap::{Parser, Subcommand};

pub(crate) use self::analyze::Analyze;
#[cfg(feature = "dlc")]
pub(crate) use self::dlc::{DlcVerb, Format, OracleVerb, Out};
pub(crate) use self::replay::{Record, Replay};
pub(crate) use self::rollout::{RolloutVerb, Set};
pub(crate) use self::shadow::{Alone, ShadowVerb, Soak};
pub(crate) use self::wallet::{
    AddressVerb, Bump, Cancel, Create, LabelsVerb, Parity, Payment, PsbtVerb, Raise, Restore, Send,
    Setup, SignMessage, UtxoVerb, WalletVerb,
};

/// Ask Bitcoin through Rust, through Python, or through both in shadow mode.
///
/// Without a verb: status. What to ask and how is set by variables (`btc variables`) or btc.toml.
/// At a terminal with no node configured, a private regtest node serves for the one command.
#[derive(Debug, Parser)]
#[command(name = "btc", version, after_help = crate::exit::HELP)]
pub(crate) struct Flags {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show what happens, and the whole cause of an error with Python's traceback
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// Ask a private regtest node of this command's own, with an empty chain, whatever is
    /// configured
    #[arg(long, global = true)]
    pub(crate) private: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// What is configured, the node, its height and fee rates
    Status,
    /// The same, answered by Python
    Python,
    /// The same, answered by Rust
    Rust,
    /// Compare both implementations on the node's chain; recorded when SHADOW_MODE=true
    Test(Test),
    /// The height of the best block
    Height,
    /// A transaction
    Tx {
        /// 64 hexadecimal digits
        txid: String,
    },
    /// A block's transactions
    Block {
        /// 64 hexadecimal digits
        hash: String,
    },
    /// The fee rate to confirm within so many blocks
    Fee {
        /// Blocks, 1 to 255
        target: u8,
    },
    /// Send a signed transaction
    Broadcast(Broadcast),
    /// Make, restore, look at or bring up to date the wallet in WALLET_DIR
    #[command(subcommand)]
    Wallet(WalletVerb),
    /// Give out, list or check addresses
    #[command(subcommand)]
    Address(AddressVerb),
    /// What the wallet owns
    Balance,
    /// List, lock or unlock the wallet's coins
    Utxo {
        #[command(subcommand)]
        verb: Option<UtxoVerb>,
    },
    /// The wallet's transactions
    History,
    /// Pay from the wallet
    Send(Send),
    /// Raise the fee of an unconfirmed transaction
    Bump(Bump),
    /// Take an unconfirmed payment back: replace it by one to the wallet itself
    Cancel(Cancel),
    /// Send payments again that the node has lost: this one, or all that are missing
    Rebroadcast {
        /// The payment
        txid: Option<Txid>,
    },
    /// Give up a payment that no node has any more; its coins are free again
    Abandon {
        /// The payment
        txid: Txid,
    },
    /// Read the chain again from a height on
    Rescan {
        /// The first block that is read again
        #[arg(long = "from", value_name = "HEIGHT")]
        from_height: u32,
    },
    /// Unsigned and partly signed transactions (BIP174)
    #[command(subcommand)]
    Psbt(PsbtVerb),
    /// Print or read the labels of transactions, addresses and coins (BIP329)
    #[command(subcommand)]
    Labels(LabelsVerb),
    /// Sign a message with the key of an address, or check a signature (BIP322)
    SignMessage(SignMessage),
    /// The peers of the node, or of the wallet's own connection to the network
    Peers,
    /// Compare both wallets on random words and payments, to the byte
    Parity(Parity),
    /// Make a call log: of a log that others wrote, or of a range of the chain
    Record(Record),
    /// Make recorded calls, or read a range of the chain, through both implementations, and compare
    Replay(Replay),
    /// Show or change how many calls Rust answers, in ROLLOUT_FILE; also without a verb
    Rollout {
        #[command(subcommand)]
        verb: Option<RolloutVerb>,
    },
    /// What comparison logs say, and whether it is evidence enough to switch
    Analyze(Analyze),
    /// Try shadow mode under a load
    #[command(subcommand)]
    Shadow(ShadowVerb),
    /// Discreet log contracts: offered, funded, settled by oracles, refunded
    #[cfg(feature = "dlc")]
    #[command(subcommand)]
    Dlc(DlcVerb),
    /// A whole comparison on a private node, with a planted fault that is caught
    Demo(Demo),
    /// A private regtest node with a chain, until Ctrl-C; prints the variables that lead to it
    Node,
    /// The variables that are read, with their defaults
    Variables,
    /// A completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// A manual page, for `man -l`: of the program, or of a verb, as in `btc man psbt sign`
    Man {
        /// The verb, with the one below it
        verb: Vec<String>,
        /// Write the pages of all verbs into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "verb")]
        all: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// How many of the last blocks are compared
    #[arg(long, default_value_t = 150)]
    pub(crate) blocks: u32,
    /// How many transactions of each block are compared on their own
    #[arg(long, default_value_t = 20)]
    pub(crate) transactions: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Broadcast {
    /// The transaction in hexadecimal, `-` for standard input, or a file with it
    #[arg(value_name = "HEX|-|FILE")]
    pub(crate) transaction: String,
    /// A payment of the wallet whose coins the transaction may take; once for each
    #[arg(long, value_name = "TXID")]
    pub(crate) replaces: Vec<Txid>,
    /// Send on mainnet without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A demonstration of its own.
#[cfg(feature = "dlc")]
#[derive(Debug, Subcommand)]
pub(crate) enum DemoOf {
    /// Contracts between two wallets: settled by names and by a number, refunded, closed
    Dlc,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Another demonstration than the comparison
    #[cfg(feature = "dlc")]
    #[command(subcommand)]
    pub(crate) of: Option<DemoOf>,
    /// A shorter chain without a full block
    #[arg(long)]
    pub(crate) quick: bool,
    /// Another chain for each number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The comparison log, replaced if it exists
    #[arg(long, default_value = "logs/demo.log")]
    pub(crate) log: PathBuf,
}
