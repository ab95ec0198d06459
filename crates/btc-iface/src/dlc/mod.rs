//! `DlcInterface`: discreet log contracts between two parties, decided by oracles.

mod contract;
mod message;
mod terms;

use ::bitcoin::{BlockHash, OutPoint, Txid};

use crate::error::BitcoinResult;

pub use self::contract::{
    Cancellation, Contract, ContractId, ContractState, DlcEvent, Explanation, OutcomeLine, Role,
    WrongContractId,
};
pub use self::message::{DlcMessage, DlcMessageKind};
pub use self::terms::{
    AllowedDifference, Branch, ContractTerms, CurvePiece, CurvePoint, Event, EventKind, Oracles,
    OutcomePayout, Payout, Rounding,
};

/// Discreet log contracts, from the offer to the settlement.
///
/// Every message that a method takes is hostile until verified. A refusal is `InvalidInput` with
/// the field in the context (`field`); it changes no state, releases the coins that the call
/// reserved, and broadcasts nothing. Every method may fail with `Unavailable`, `Timeout` or `Auth`
/// when the node cannot be asked, and with `Internal` when the store cannot be written; what was on
/// disk before stands then.
pub trait DlcInterface: Send + Sync {
    /// Makes an offer from these terms and returns the message for the other side.
    ///
    /// # Errors
    /// `InvalidInput`: terms that no contract can have. `Rejected`: not enough coins.
    ///
    /// # Effects
    /// Coins are reserved with the contract as their reason and with an end; the contract is on
    /// disk as `Offered` before this returns.
    fn offer(&self, terms: &ContractTerms) -> BitcoinResult<DlcMessage>;

    /// Says in words and numbers what an offer means for the side that would accept it.
    ///
    /// # Errors
    /// `InvalidInput`: the offer is refused.
    ///
    /// # Effects
    /// None.
    fn explain(&self, offer: &DlcMessage) -> BitcoinResult<Explanation>;

    /// Verifies an offer, signs every outcome of it and returns the accept message.
    ///
    /// The same offer accepted again returns the same message.
    ///
    /// # Errors
    /// `InvalidInput`: the offer is refused. `Rejected`: not enough coins.
    ///
    /// # Effects
    /// Coins are reserved; the contract is on disk as `Accepted` before this returns.
    fn accept(&self, offer: &DlcMessage) -> BitcoinResult<DlcMessage>;

    /// Verifies the answer to an own offer, signs the contract and its funding, and returns the sign
    /// message. The same accept message again returns the same message.
    ///
    /// # Errors
    /// `InvalidInput`: the message is refused. `NotFound`: not an answer to an own offer.
    /// `Unsupported`: the store is an older copy, and the network has the funding: the contract is in
    /// it again, and nothing is signed once more.
    ///
    /// # Effects
    /// The contract is on disk as `Signed` before this returns; its coins are reserved without end.
    fn sign(&self, accept: &DlcMessage) -> BitcoinResult<DlcMessage>;

    /// Verifies everything, completes the funding transaction and hands it to the network; returns
    /// its txid. The same sign message again hands over the same transaction.
    ///
    /// # Errors
    /// `InvalidInput`: the message is refused. `NotFound`: no contract of ours. `Rejected`: the
    /// node refuses the funding; the contract stays `Signed`, and [`sync`](Self::sync) tries again.
    ///
    /// # Effects
    /// The transaction is on disk before it leaves. Money moves when it is mined.
    fn finalize(&self, sign: &DlcMessage) -> BitcoinResult<Txid>;

    /// Refuses an offer for good and returns the message that says so.
    ///
    /// # Errors
    /// `InvalidInput`: not an offer, or it is already accepted: cancel it.
    ///
    /// # Effects
    /// The contract is on disk as `Rejected`.
    fn reject(&self, offer: &DlcMessage, reason: &str) -> BitcoinResult<DlcMessage>;

    /// Takes note that the other side rejected an own offer; its coins are free.
    ///
    /// # Errors
    /// `NotFound`: not an own offer. `InvalidInput`: it has come further than an offer.
    fn rejected(&self, message: &DlcMessage) -> BitcoinResult<()>;

    /// Gives up a contract whose funding is in no block yet.
    ///
    /// Before the own signature has left, that is safe. After it, the other side can still
    /// complete the funding, or has: then an own input is spent elsewhere first, for more than the
    /// whole fee of the funding, which that replaces in the mempool; the answer says so.
    ///
    /// # Errors
    /// `NotFound`: no such contract. `InvalidInput`: the funding is in a block. `Rejected`: the
    /// node refuses what spends the input, as it does when the other side pays more.
    ///
    /// # Effects
    /// Coins are released, or a transaction is sent.
    fn cancel(&self, id: ContractId) -> BitcoinResult<Cancellation>;

    /// Settles a contract with what its oracles attested, each as hexadecimal digits; returns the
    /// txid. Attestations that are not needed are ignored, forged ones are refused.
    ///
    /// # Errors
    /// `InvalidInput`: an attestation does not belong to the contract or is forged; or too few.
    /// `Rejected`: the node refuses the transaction; [`sync`](Self::sync) tries again.
    ///
    /// # Effects
    /// The transaction is on disk before it leaves. Money moves when it is mined.
    fn execute(&self, id: ContractId, attestations: &[String]) -> BitcoinResult<Txid>;

    /// Hands the refund to the network; returns its txid.
    ///
    /// # Errors
    /// `Rejected`: its lock time has not passed (median time of the last 11 blocks).
    ///
    /// # Effects
    /// As [`execute`](Self::execute).
    fn refund(&self, id: ContractId) -> BitcoinResult<Txid>;

    /// Proposes to close a confirmed contract now, with this much for the own side.
    ///
    /// # Errors
    /// `InvalidInput`: more than the collateral, or the contract is not open.
    ///
    /// # Effects
    /// The proposal is on disk. The other side may use it at any time until the contract ends.
    fn propose_close(&self, id: ContractId, own_payout_sat: u64) -> BitcoinResult<DlcMessage>;

    /// Closes a contract as proposed, if that gives the own side exactly this much before its half
    /// of the fee.
    ///
    /// # Errors
    /// `InvalidInput`: the proposal is refused, or gives another amount.
    ///
    /// # Effects
    /// As [`execute`](Self::execute).
    fn accept_close(&self, close: &DlcMessage, own_payout_sat: u64) -> BitcoinResult<Txid>;

    /// Follows the chain to its tip, hands over again what the network has not confirmed, refunds
    /// what has passed its lock time, and returns what changed. A contract that fails never stops
    /// the others.
    fn sync(&self) -> BitcoinResult<Vec<DlcEvent>>;

    /// Returns one contract.
    ///
    /// # Errors
    /// `NotFound`: no such contract.
    fn get(&self, id: ContractId) -> BitcoinResult<Contract>;

    /// Returns all contracts, the newest first.
    fn list(&self) -> BitcoinResult<Vec<Contract>>;

    /// Says in words and numbers what a contract means for the own side.
    ///
    /// # Errors
    /// `NotFound`: no such contract.
    fn show(&self, id: ContractId) -> BitcoinResult<Explanation>;
}

/// An oracle: announces events and attests to their outcomes.
pub trait OracleInterface: Send + Sync {
    /// Announces an event; returns the announcement as hexadecimal digits. The same event again
    /// returns the same announcement.
    ///
    /// # Errors
    /// `InvalidInput`: another event has this name, or no event can be like that.
    ///
    /// # Effects
    /// The nonces are on disk before this returns.
    fn announce(&self, event: &Event) -> BitcoinResult<String>;

    /// Attests to an outcome; returns the attestation as hexadecimal digits. The same outcome again
    /// returns the same attestation.
    ///
    /// # Errors
    /// `NotFound`: no such event. `InvalidInput`: not an outcome of it, or it was attested
    /// otherwise: a second outcome would reveal the oracle's key.
    ///
    /// # Effects
    /// The outcome is on disk before any signature exists.
    fn attest(&self, event: &str, outcome: &str) -> BitcoinResult<String>;

    /// Returns the announcement, and the attestation once there is one.
    ///
    /// # Errors
    /// `NotFound`: no such event.
    fn event(&self, event: &str) -> BitcoinResult<(String, Option<String>)>;

    /// Returns the names of all events, in the order of their announcement.
    fn events(&self) -> BitcoinResult<Vec<String>>;

    /// Returns the oracle's public key (BIP340) as hexadecimal digits.
    fn public_key(&self) -> String;
}

/// An output that no transaction spends, as far as a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnspentOutput {
    /// How many blocks deep it is; 0: in no block.
    pub confirmations: u32,
    /// Whether it is a block's reward, which can be spent once it is 100 blocks deep.
    pub is_coinbase: bool,
}

/// Where the active chain is asked for the hash of a height, and for what is unspent.
pub trait BlockIndex: Send + Sync {
    /// Returns the hash of the block at this height.
    ///
    /// # Errors
    /// `NotFound`: the height is above the tip.
    fn block_hash(&self, height: u32) -> BitcoinResult<BlockHash>;

    /// Returns this output of any wallet's, unless it does not exist or is spent by a transaction
    /// in a block or in the mempool.
    ///
    /// # Errors
    /// Those of the node.
    fn unspent(&self, outpoint: OutPoint) -> BitcoinResult<Option<UnspentOutput>>;
}
