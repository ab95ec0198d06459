//! `Dlc`: contracts over a wallet, a node and a store.

mod accept;
mod cancel;
mod close;
mod coins;
mod finalize;
mod follow;
mod interface;
mod offer;
mod opening;
mod settle;
mod sign;
mod sync;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{Network, OutPoint, Psbt, ScriptBuf, Transaction, Txid};
use btc_iface::dlc::{BlockIndex, Contract, ContractId, DlcMessage, Explanation, Role};
use btc_iface::{BitcoinError, BitcoinInterface, BitcoinResult, ErrorKind};
use ddk_messages::{AcceptDlc, FundingInput, OfferDlc};

use crate::check::{self, Policy};
use crate::deal::{Accepting, Deal};
use crate::explain;
use crate::fault::{error, internal, invalid, store};
use crate::funding::{Funding, FundingCoin, to_plain};
use crate::keys::{Seed, random};
use crate::store::{Facts, Row, Store};
use crate::wire;

/// What this side agrees to, and how long it waits.
#[derive(Clone)]
pub struct DlcConfig {
    /// The highest fee rate of a contract, in sat/vB.
    pub max_fee_rate_sat_per_vb: u64,
    /// How long after the last event the refund becomes valid, at least, in seconds.
    pub min_refund_delay_s: u32,
    /// The same, at most.
    pub max_refund_delay_s: u32,
    /// How long the coins of an offer, or of an accepted one, stay reserved, in seconds.
    pub patience_s: u32,
    /// How many blocks deep a spent input must be before a contract has failed for good and its
    /// coins are free.
    pub final_depth: u32,
    /// How long before the first event a funding that no block has is reported, in seconds.
    pub funding_margin_s: u32,
    /// The clock, in Unix seconds.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for DlcConfig {
    fn default() -> Self {
        Self {
            max_fee_rate_sat_per_vb: 500,
            min_refund_delay_s: 86_400,
            max_refund_delay_s: 2 * 365 * 86_400,
            patience_s: 86_400,
            final_depth: 6,
            funding_margin_s: 6 * 3_600,
            now: Arc::new(now),
        }
    }
}

pub(crate) fn now() -> u64 {
    // Before 1970 no contract is possible.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What contracts are made with.
pub struct Parts {
    /// The chain of the contracts.
    pub network: Network,
    /// A node, without a wallet: what it is given to broadcast may spend reserved coins.
    pub node: Arc<dyn BitcoinInterface>,
    /// The node's blocks by height.
    pub index: Arc<dyn BlockIndex>,
    /// The wallet.
    pub funding: Arc<dyn Funding>,
}

/// Checks an offer in full and explains it for the side that would accept it, without a wallet or a
/// store.
///
/// # Errors
/// `InvalidInput`: the offer is refused; the field is in the context.
pub fn explain_offer(
    offer: &DlcMessage,
    network: Network,
    config: &DlcConfig,
) -> BitcoinResult<Explanation> {
    let offer = wire::offer(offer)?;
    let checked = check::check_offer(&offer, &policy(network, config), (config.now)())?;
    Ok(explain::explain(&offer, &checked, Role::Accepter))
}

fn policy(network: Network, config: &DlcConfig) -> Policy {
    Policy {
        network,
        max_fee_rate_sat_per_vb: config.max_fee_rate_sat_per_vb,
        min_refund_delay_s: config.min_refund_delay_s,
        max_refund_delay_s: config.max_refund_delay_s,
    }
}

/// Contracts of one store.
pub struct Dlc {
    parts: Parts,
    config: DlcConfig,
    seed: Seed,
    store: Store,
    /// The name that this store's reservations begin with.
    name: String,
}

impl Dlc {
    /// Opens the store in this folder, or makes it; reservations that a crash left behind end.
    ///
    /// # Errors
    /// `Internal`: the store cannot be read or written. `Configuration`: it is of another version, or
    /// of another seed.
    ///
    /// # Effects
    /// The folder and its files are made.
    pub fn open(folder: &Path, seed: Seed, parts: Parts, config: DlcConfig) -> BitcoinResult<Self> {
        std::fs::create_dir_all(folder).map_err(store)?;
        let file = Store::open(&folder.join("contracts.sqlite"))?;
        let name = file.name(&format!("dlc:{:x}", random::<4>().as_hex()))?;
        let opened = Self {
            parts,
            config,
            seed,
            store: file,
            name,
        };
        opened.check_seed()?;
        opened.release_orphans()?;
        Ok(opened)
    }

    fn policy(&self) -> Policy {
        policy(self.parts.network, &self.config)
    }

    fn now(&self) -> u64 {
        (self.config.now)()
    }

    /// A reason for reservations that no other call has: two calls with one offer never release
    /// each other's coins.
    fn hold(&self, id: ContractId) -> String {
        format!("{}:{id}:{:x}", self.name, random::<4>().as_hex())
    }

    /// The reason of a contract's reservations; contracts of old have none of their own.
    fn reason(&self, row: &Row) -> String {
        let hold = row.facts.hold.clone();
        hold.unwrap_or_else(|| format!("{}:{}", self.name, row.id))
    }

    /// When a reservation ends that waits for the other side, in milliseconds of Unix time.
    fn patience_ms(&self) -> u64 {
        self.now()
            .saturating_add(self.config.patience_s.into())
            .saturating_mul(1_000)
    }

    /// This side's key in a contract.
    fn key(&self, row: &Row, deal: &Deal) -> BitcoinResult<SecretKey> {
        let own = match row.facts.role {
            Role::Offerer => &deal.offer.fund_pubkey,
            Role::Accepter => &deal.accept.fund_pubkey,
        };
        self.key_of(row.id, row.facts.role, own)
    }

    /// The key of a contract, which must be the one that its messages name.
    fn key_of(&self, id: ContractId, role: Role, own: &PublicKey) -> BitcoinResult<SecretKey> {
        let key = self.seed.funding_key(id, role)?;
        if PublicKey::from_secret_key(&Secp256k1::new(), &key) != *own {
            return Err(another_seed().with_context("contract", id));
        }
        Ok(key)
    }

    fn row(&self, id: ContractId) -> BitcoinResult<Row> {
        self.store.get(id)?.ok_or_else(|| unknown(id))
    }

    fn offer_of(row: &Row) -> BitcoinResult<OfferDlc> {
        wire::offer(&wire::from_bytes(row.offer.clone())?)
    }

    fn accept_of(row: &Row) -> BitcoinResult<AcceptDlc> {
        let bytes = row.accept.clone();
        let bytes = bytes.ok_or_else(|| invalid("the contract has no accept message yet"))?;
        wire::accept(&wire::from_bytes(bytes)?)
    }

    /// What was agreed on stays so, whatever the policy says by now.
    fn lenient(&self) -> Policy {
        Policy {
            max_fee_rate_sat_per_vb: u64::MAX,
            min_refund_delay_s: 0,
            max_refund_delay_s: u32::MAX,
            ..self.policy()
        }
    }

    /// Whether the network has the funding: then this store is a copy that is older than that.
    fn is_funded(&self, deal: &Deal) -> BitcoinResult<bool> {
        Ok(self.parts.index.unspent(deal.outpoint())?.is_some())
    }

    /// The deal of a stored contract.
    fn deal_of(&self, offer: &OfferDlc, accept: &AcceptDlc) -> BitcoinResult<Deal> {
        let checked = check::offer_fields(offer, &self.lenient())?;
        Deal::build(offer, checked, &Accepting::from(accept))
    }

    /// Signs the own inputs of the funding and verifies the signatures as the other side will.
    fn sign_funding(
        &self,
        deal: &Deal,
        own: &[FundingInput],
        all: &[&FundingInput],
    ) -> BitcoinResult<Vec<ddk_messages::FundingSignature>> {
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let mut unsigned = deal.transactions.fund.clone();
        for input in &mut unsigned.input {
            input.script_sig = ScriptBuf::new();
        }
        let mut psbt =
            Psbt::from_unsigned_tx(unsigned).map_err(|cause| internal(cause.to_string()))?;
        for input in all {
            let previous = wire::transaction("prev_tx", &input.prev_tx)?;
            let outpoint = OutPoint::new(previous.compute_txid(), input.prev_tx_vout);
            let index = position(&psbt.unsigned_tx, outpoint)?;
            let output = usize::try_from(input.prev_tx_vout)
                .ok()
                .and_then(|vout| previous.output.get(vout))
                .ok_or_else(|| internal("a coin's transaction lacks its output"))?;
            psbt.inputs[index].witness_utxo = Some(output.clone());
            if !input.redeem_script.is_empty() {
                psbt.inputs[index].redeem_script = Some(input.redeem_script.clone());
            }
            psbt.inputs[index].non_witness_utxo = Some(previous);
        }
        self.parts.funding.sign(&mut psbt)?;
        let mut signatures = Vec::with_capacity(own.len());
        for input in own {
            let previous = wire::transaction("prev_tx", &input.prev_tx)?;
            let outpoint = OutPoint::new(previous.compute_txid(), input.prev_tx_vout);
            let index = position(&psbt.unsigned_tx, outpoint)?;
            let witness = psbt.inputs[index].final_script_witness.take();
            let witness = witness.ok_or_else(|| {
                let message = "the wallet did not sign an own coin; unlock it";
                error(ErrorKind::Unsupported, message).with_context("coin", outpoint)
            })?;
            let signature = ddk::contract::advanced::funding_signature_from_witness(witness);
            let info = input.into();
            deal.verify_funding(&info, &signature)?;
            signatures.push(signature);
        }
        Ok(signatures)
    }

    /// Hands a transaction to the network.
    fn broadcast(&self, raw: &str) -> BitcoinResult<Txid> {
        let transaction: Transaction = deserialize_hex(raw).map_err(store)?;
        let txid = transaction.compute_txid();
        self.parts
            .node
            .broadcast_transaction(&to_plain(&transaction))?;
        Ok(txid)
    }

    fn height(&self) -> BitcoinResult<u32> {
        self.parts.node.get_block_height()
    }
}

fn position(transaction: &Transaction, outpoint: OutPoint) -> BitcoinResult<usize> {
    transaction
        .input
        .iter()
        .position(|input| input.previous_output == outpoint)
        .ok_or_else(|| internal("the funding lacks an input"))
}

/// A coin as the messages have it.
fn input(coin: &FundingCoin, serial: u64) -> FundingInput {
    FundingInput {
        input_serial_id: serial,
        prev_tx: bitcoin::consensus::serialize(&coin.previous),
        prev_tx_vout: coin.outpoint.vout,
        sequence: bitcoin::Sequence::MAX.0,
        max_witness_len: coin.max_witness_len,
        redeem_script: coin.redeem_script.clone(),
        dlc_input: None,
    }
}

/// A serial number that orders inputs or outputs.
fn serial() -> u64 {
    u64::from_be_bytes(random::<8>())
}

fn raw(transaction: &Transaction) -> String {
    serialize_hex(transaction)
}

fn another_seed() -> BitcoinError {
    let message =
        "the seed is not the one of this store of contracts; put its own back from a copy";
    error(ErrorKind::Configuration, message)
}

fn unknown(id: ContractId) -> BitcoinError {
    let message = "no such contract; see the list of contracts";
    error(ErrorKind::NotFound, message).with_context("contract", id)
}

/// What the interface says about a contract.
fn contract(id: ContractId, facts: &Facts) -> Contract {
    let own = facts.closing.as_ref().or(facts.agreed.as_ref());
    Contract {
        id,
        contract_id: facts.contract_id,
        role: facts.role,
        state: facts.state(),
        own_collateral_sat: facts.own_sat,
        total_collateral_sat: facts.total_sat,
        funding_txid: facts.funding_txid,
        funding_height: facts.funding_height,
        closing_txid: facts
            .spent
            .as_ref()
            .map(|spent| spent.txid)
            .or_else(|| own.map(|closing| closing.txid)),
        closing_height: facts.spent.as_ref().map(|spent| spent.height),
        own_payout_sat: facts.spent.as_ref().map(|spent| spent.own_payout_sat),
        refund_time: facts.refund_time,
        note: facts.note.clone(),
    }
}
