//! `WalletInterface`: what a wallet offers beyond the eight operations.

use ::bitcoin::{OutPoint, Psbt, Txid};

use crate::error::{BitcoinError, BitcoinResult};
use crate::types::{
    AddressType, BitcoinAddress, BitcoinTransaction, Coin, FeeRate, HistoryEntry, Label,
    SignedMessage, TransactionRequest, WalletBalance,
};

/// A wallet in full. The eight operations are those of `BitcoinInterface`; these go beyond.
///
/// What reads (balance, unspent, history) answers from the wallet's own books as of the last
/// [`sync`](Self::sync); nothing here follows the chain by itself. Every method may fail with
/// `Unavailable`, `Timeout` or `Auth` when the chain source cannot be asked, and with `Internal`
/// when the wallet's file cannot be read or written; nothing is lost then.
pub trait WalletInterface: Send + Sync {
    /// Follows the chain to the tip of the wallet's source and returns its height.
    ///
    /// # Effects
    /// What was learned is on disk, in pieces as it comes: interrupted, the next sync goes on.
    fn sync(&self) -> BitcoinResult<u32>;

    /// Returns the balance by bucket, in satoshi.
    fn balance(&self) -> BitcoinResult<WalletBalance>;

    /// Returns all unspent outputs, the largest first.
    fn unspent(&self) -> BitcoinResult<Vec<Coin>>;

    /// Returns all transactions that count, unconfirmed first, then the newest first.
    fn history(&self) -> BitcoinResult<Vec<HistoryEntry>>;

    /// Returns the receiving addresses given out so far of this type, by index, each with
    /// whether it was ever used on chain or in the mempool.
    fn addresses(&self, address_type: AddressType) -> BitcoinResult<Vec<(BitcoinAddress, bool)>>;

    /// Says whose this address is: the wallet's, with its type, chain and index, or `None`.
    ///
    /// # Errors
    /// `InvalidInput`: not an address, or of another network.
    fn verify_address(&self, address: &str) -> BitcoinResult<Option<BitcoinAddress>>;

    /// Builds an unsigned transaction as a PSBT (BIP174, version 0) with everything a signer
    /// needs, and reserves its coins.
    ///
    /// # Errors
    /// `InvalidInput`: nothing to do, a wrong address, dust, a fee rate of 0, a fee that is out
    /// of proportion without `allow_high_fee`, a coin that is not the wallet's or is reserved.
    /// `Rejected`: not enough coins; `missing_sat` in the context says by how much.
    ///
    /// # Effects
    /// Coins and the change index are reserved, on disk.
    fn create_psbt(&self, request: &TransactionRequest) -> BitcoinResult<Psbt>;

    /// Builds what [`create_psbt`](Self::create_psbt) would, and reserves nothing.
    fn preview(&self, request: &TransactionRequest) -> BitcoinResult<Psbt>;

    /// Adds the wallet's signatures to the inputs that are its own; returns how many it signed.
    ///
    /// # Errors
    /// `Unsupported`: the wallet is watch-only, or its secret is locked. `InvalidInput`: an input
    /// that claims to be the wallet's is not what the wallet knows.
    ///
    /// # Effects
    /// None.
    fn sign_psbt(&self, psbt: &mut Psbt) -> BitcoinResult<usize>;

    /// Finalises every input that has its signatures; returns whether all are final.
    fn finalize_psbt(&self, psbt: &mut Psbt) -> BitcoinResult<bool>;

    /// Takes the transaction out of a final PSBT.
    ///
    /// # Errors
    /// `InvalidInput`: an input is not final, or the fee is out of proportion without
    /// `allow_high_fee`.
    fn extract_psbt(&self, psbt: &Psbt, allow_high_fee: bool) -> BitcoinResult<BitcoinTransaction>;

    /// Replaces an unconfirmed payment of the wallet's by one at `fee_rate`: the same recipients,
    /// change lowered or coins added. Signed unless watch-only.
    ///
    /// # Behavior
    /// - Payments of the wallet that descend from it go when it is replaced: they are refused, or
    ///   dropped where `drops` names each of them. What others' descendants pay is paid for.
    /// - Pays at least what nodes ask for (BIP125, rules 3 and 4).
    ///
    /// # Errors
    /// `NotFound`: not in the wallet. `InvalidInput`: confirmed, not all the wallet's inputs, a
    /// descendant that `drops` does not name (`descendants` in the context), or a rate that is
    /// too low (`min_fee_rate_sat_per_kvb`). `Rejected`: not enough coins.
    ///
    /// # Effects
    /// Coins are reserved, and which payments this transaction may replace is written down. Nothing
    /// is sent.
    fn bump_fee(&self, txid: Txid, fee_rate: FeeRate, drops: &[Txid]) -> BitcoinResult<Psbt>;

    /// Spends the wallet's outputs of an unconfirmed transaction to itself, so that both
    /// together have `fee_rate` (child pays for parent). Signed unless watch-only.
    ///
    /// # Errors
    /// As [`bump_fee`](Self::bump_fee).
    ///
    /// # Effects
    /// The outputs and a change index are reserved. Nothing is sent.
    fn accelerate(&self, txid: Txid, fee_rate: FeeRate) -> BitcoinResult<Psbt>;

    /// Replaces an unconfirmed payment of the wallet's by one that pays everything back to the
    /// wallet; without a rate, at the least that nodes take. Signed unless watch-only.
    ///
    /// # Errors
    /// # Effects
    /// As [`bump_fee`](Self::bump_fee).
    fn cancel(&self, txid: Txid, fee_rate: Option<FeeRate>, drops: &[Txid]) -> BitcoinResult<Psbt>;

    /// Hands missing payments to the network again, parents first: this one, or all. Returns each
    /// with the refusal, if it was refused.
    ///
    /// # Errors
    /// `NotFound`: not an own payment. `InvalidInput`: it is confirmed, conflicted or abandoned.
    ///
    /// # Effects
    /// Transactions are sent.
    fn rebroadcast(&self, txid: Option<Txid>) -> BitcoinResult<Vec<(Txid, Option<BitcoinError>)>>;

    /// Gives up a missing payment and the payments that descend from it; returns them all. Their
    /// coins are free. A node elsewhere may still have it: [`cancel`](Self::cancel) is safer.
    ///
    /// # Errors
    /// `NotFound`: not an own payment. `InvalidInput`: the mempool has it, it is confirmed, or
    /// the source sees no mempool.
    ///
    /// # Effects
    /// On disk before this returns.
    fn abandon(&self, txid: Txid) -> BitcoinResult<Vec<Txid>>;

    /// Reads the chain again from this height on, with every script that is watched now; returns
    /// the height of the tip.
    ///
    /// # Errors
    /// `InvalidInput`: above the tip.
    fn rescan(&self, from_height: u32) -> BitcoinResult<u32>;

    /// Reserves coins for a purpose of the caller's until this time, in milliseconds of Unix
    /// time, or until released. All of them or none; the same call again changes the end.
    ///
    /// # Errors
    /// `InvalidInput`: a coin is reserved otherwise, or not an unspent output of the wallet.
    ///
    /// # Effects
    /// On disk before this returns, and seen by the other implementation.
    fn hold(&self, coins: &[OutPoint], reason: &str, until_ms: Option<u64>) -> BitcoinResult<()>;

    /// Releases what is held for this reason; returns how many coins.
    fn release_hold(&self, reason: &str) -> BitcoinResult<usize>;

    /// Locks a coin until it is unlocked: it is not chosen by itself any more.
    ///
    /// # Errors
    /// `NotFound`: not an unspent output of the wallet.
    fn lock(&self, outpoint: OutPoint) -> BitcoinResult<()>;

    /// Releases a coin's lock or reservation; returns whether there was one.
    fn unlock(&self, outpoint: OutPoint) -> BitcoinResult<bool>;

    /// Returns all labels, in the order of BIP329's types.
    fn labels(&self) -> BitcoinResult<Vec<Label>>;

    /// Adds or replaces labels, all or none; an empty text removes one, `spendable: false` on an
    /// output locks it. Returns how many changed something.
    fn import_labels(&self, labels: &[Label]) -> BitcoinResult<usize>;

    /// Signs a message with the key of one of the wallet's addresses: BIP322, in the simple form
    /// for native segwit and in the full form for nested addresses, or the older form for P2PKH.
    ///
    /// # Errors
    /// `NotFound`: not the wallet's address. `Unsupported`: watch-only or locked.
    fn sign_message(&self, address: &str, message: &str) -> BitcoinResult<SignedMessage>;

    /// Returns the public descriptors (BIP380), the receive and the change one of each account.
    fn descriptors(&self) -> BitcoinResult<Vec<(AddressType, String, String)>>;
}
