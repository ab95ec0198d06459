//! What can be typed: the verbs of the wallet.

use std::path::PathBuf;

use btc::bitcoin::{OutPoint, Txid};
use btc::rust::wallet::folder::RESTORE_GAP_LIMIT;
use btc::{AddressType, CoinSelection, FeeRate};
use clap::{Args, Subcommand};

use crate::amount;

#[derive(Debug, Subcommand)]
pub(crate) enum WalletVerb {
    /// Make a wallet with new words, or a watch-only one from descriptors
    Create(Create),
    /// Make a wallet from words
    Restore(Restore),
    /// What the wallet is, and how far it has followed the chain
    Info,
    /// Follow the chain to the tip
    Sync,
    /// Print the public descriptors, as `btc wallet create --watch` reads them
    Export,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabelsVerb {
    /// Print all labels, one JSON object a line
    Export,
    /// Add or replace labels, all or none; an empty label removes one
    Import {
        /// The file, or `-` for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// The height from which on blocks matter [default: 144 below the tip, for new words; 0, for others]
    #[arg(long)]
    pub(crate) birthday: Option<u32>,
    /// How many unused addresses in a row are watched, and looked at when it is restored
    #[arg(long, default_value_t = RESTORE_GAP_LIMIT, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) gap_limit: u32,
    /// The type of change outputs
    #[arg(long, default_value = "p2wpkh", value_parser = address_type)]
    pub(crate) change_type: AddressType,
    /// Keep the words unencrypted; on regtest only
    #[arg(long)]
    pub(crate) plain: bool,
    /// Ask for a BIP39 passphrase too, without which the words open another wallet
    #[arg(long)]
    pub(crate) bip39_passphrase: bool,
    /// A file with the BIP39 passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "bip39_passphrase")]
    pub(crate) bip39_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// How many words: 12, 15, 18, 21 or 24
    #[arg(long, alias = "words", value_name = "COUNT", default_value_t = 12)]
    pub(crate) word_count: usize,
    /// Watch only: a public descriptor with `<0;1>` for both chains; once for each type
    #[arg(long, value_name = "DESCRIPTOR")]
    pub(crate) watch: Vec<String>,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file with the words, or `-` for standard input; asks when left out
    #[arg(long, value_name = "FILE|-")]
    pub(crate) words: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddressVerb {
    /// Give out the next receiving address
    New {
        /// p2pkh, p2sh-p2wpkh, p2wpkh or p2tr
        #[arg(long = "type", default_value = "p2wpkh", value_parser = address_type)]
        address_type: AddressType,
        /// A label for it
        #[arg(long)]
        label: Option<String>,
    },
    /// List the addresses given out
    List {
        /// Of this type only
        #[arg(long = "type", value_parser = address_type)]
        address_type: Option<AddressType>,
    },
    /// Say whether an address is the wallet's
    Verify {
        /// The address
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UtxoVerb {
    /// List the unspent outputs
    List,
    /// Keep a coin from being chosen
    Lock {
        /// As `btc utxo` lists it
        #[arg(value_name = "TXID:VOUT", value_parser = outpoint)]
        outpoint: OutPoint,
    },
    /// Release a coin's lock or reservation
    Unlock {
        /// As `btc utxo` lists it
        #[arg(value_name = "TXID:VOUT", value_parser = outpoint)]
        outpoint: OutPoint,
    },
}

/// What a transaction shall do.
#[derive(Debug, Args)]
pub(crate) struct Payment {
    /// Who gets how much, with its unit, as `bcrt1…=1500sat` or `bcrt1…=0.000015BTC`
    #[arg(value_name = "ADDRESS=AMOUNT", value_parser = recipient)]
    pub(crate) recipients: Vec<btc::Recipient>,
    /// The fee rate in sat/vB, as in 2 or 0.25 [default: what should confirm within 6 blocks]
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
    pub(crate) fee_rate: Option<FeeRate>,
    /// Send everything that is left to this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) drain_to: Option<String>,
    /// Up to 80 bytes in hexadecimal for an OP_RETURN output
    #[arg(long, value_name = "HEX")]
    pub(crate) data: Option<String>,
    /// Spend this coin, `txid:vout`; may be repeated
    #[arg(long = "coin", value_name = "TXID:VOUT", value_parser = outpoint)]
    pub(crate) coins: Vec<OutPoint>,
    /// Spend no other coins than those named
    #[arg(long, requires = "coins")]
    pub(crate) only_coins: bool,
    /// Do not spend this coin; may be repeated
    #[arg(long, value_name = "TXID:VOUT", value_parser = outpoint)]
    pub(crate) avoid: Vec<OutPoint>,
    /// branch-and-bound, largest-first, oldest-first or single-random-draw
    #[arg(long, value_parser = selection)]
    pub(crate) selection: Option<CoinSelection>,
    /// Accept a fee above 10 % of the amount, or a rate above MAX_FEE_RATE
    #[arg(long)]
    pub(crate) allow_high_fee: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) payment: Payment,
    /// Show the transaction; reserve and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A label for the transaction
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Send on mainnet without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bump {
    #[command(flatten)]
    pub(crate) raise: Raise,
    /// Show the transaction; reserve and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send on mainnet without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Which fee shall be raised, and how far.
#[derive(Debug, Args)]
pub(crate) struct Raise {
    /// The unconfirmed transaction
    #[arg(value_parser = txid)]
    pub(crate) txid: Txid,
    /// The new fee rate in sat/vB, as in 2 or 0.25; with --child, of both transactions together
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
    pub(crate) fee_rate: FeeRate,
    /// Spend its outputs with a higher fee instead of replacing it (CPFP)
    #[arg(long)]
    pub(crate) child: bool,
    /// A payment of the wallet that spends its outputs, and may be lost with it; may be repeated
    #[arg(long, value_name = "TXID", value_parser = txid, conflicts_with = "child")]
    pub(crate) drops: Vec<Txid>,
    /// Take what it costs more from its only recipient, where there is no change
    #[arg(long, conflicts_with = "child")]
    pub(crate) from_recipient: bool,
    /// Accept a fee above 10 % of what is spent, or a rate above MAX_FEE_RATE
    #[arg(long)]
    pub(crate) allow_high_fee: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The payment: unconfirmed, in the mempool or missing from it
    #[arg(value_parser = txid)]
    pub(crate) txid: Txid,
    /// The fee rate in sat/vB, as in 2 or 0.25 [default: the least that nodes take]
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate)]
    pub(crate) fee_rate: Option<FeeRate>,
    /// A payment of the wallet that spends its outputs, and may be lost with it; may be repeated
    #[arg(long, value_name = "TXID", value_parser = txid)]
    pub(crate) drops: Vec<Txid>,
    /// Accept a fee above 10 % of what is spent, or a rate above MAX_FEE_RATE
    #[arg(long)]
    pub(crate) allow_high_fee: bool,
    /// Show the transaction; reserve and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send on mainnet without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PsbtVerb {
    /// Build an unsigned transaction and reserve its coins
    Create(Payment),
    /// Build what `btc bump` would send, and reserve its coins
    Bump(Raise),
    /// Say what a PSBT does
    Show {
        /// Base64, a file, or `-`
        psbt: String,
    },
    /// Put the signatures of several copies together
    Combine {
        /// Base64 or files
        #[arg(required = true, num_args = 2..)]
        psbts: Vec<String>,
    },
    /// Show what a PSBT does and add the wallet's signatures
    Sign {
        /// Base64, a file, or `-`
        psbt: String,
        /// Sign on mainnet without asking
        #[arg(long)]
        yes: bool,
    },
    /// Make the inputs final
    Finalize {
        /// Base64, a file, or `-`
        psbt: String,
    },
    /// Release the coins that are reserved for a PSBT which will not be sent
    Cancel {
        /// Base64, a file, or `-`
        psbt: String,
    },
    /// Print the final transaction in hexadecimal, for `btc broadcast`
    Extract {
        /// Base64, a file, or `-`
        psbt: String,
        /// Accept a fee above 10 % of what is spent, or a rate above MAX_FEE_RATE
        #[arg(long)]
        allow_high_fee: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SignMessage {
    /// An address of the wallet
    pub(crate) address: String,
    /// The message, or `-` for standard input
    pub(crate) message: String,
    /// Check this signature instead of signing
    #[arg(long, value_name = "SIGNATURE", conflicts_with = "form")]
    pub(crate) verify: Option<String>,
    /// simple, full or legacy; simple-unprefixed or full-unprefixed for verifiers of before 2026
    /// [default: legacy for p2pkh, full for p2sh-p2wpkh, else simple]
    #[arg(long)]
    pub(crate) form: Option<btc::rust::wallet::message::Form>,
}

#[derive(Debug, Args)]
pub(crate) struct Parity {
    /// How many random wallets and payments
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cases: u64,
    /// Other wallets and payments for each number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

fn address_type(text: &str) -> Result<AddressType, String> {
    text.parse::<AddressType>()
        .map_err(|cause| cause.to_string())
}

fn selection(text: &str) -> Result<CoinSelection, String> {
    text.parse::<CoinSelection>()
        .map_err(|cause| cause.to_string())
}

fn recipient(text: &str) -> Result<btc::Recipient, String> {
    let (address, amount) = text
        .rsplit_once('=')
        .ok_or("write ADDRESS=AMOUNT, as in bcrt1…=1500sat")?;
    Ok(btc::Recipient {
        address: address.to_owned(),
        value_sat: amount::parse_sat(amount)?,
    })
}

fn fee_rate(text: &str) -> Result<FeeRate, String> {
    text.parse()
        .ok()
        .filter(|rate| *rate > FeeRate::default())
        .ok_or_else(|| {
            "write sat/vB above 0 with at most three decimals, as in 2 or 0.25".to_owned()
        })
}

fn outpoint(text: &str) -> Result<OutPoint, String> {
    text.parse()
        .map_err(|_| "write txid:vout, as `btc utxo` lists it".to_owned())
}

fn txid(text: &str) -> Result<Txid, String> {
    text.parse()
        .map_err(|_| "write the 64 hexadecimal digits of a txid".to_owned())
}
