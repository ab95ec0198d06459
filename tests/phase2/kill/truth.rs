//! `Truth`: what the node's chain and mempool say of a wallet's coins and payments, and where each
//! payment stands by the rules of docs/wallet.md.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid};
use btc::rust::wallet::reservations::{PaymentRow, Reservations, now_ms};
use btc::{BlockRef, WalletBalance, WalletState};
use btc_regtest::Node;
use btc_tests::{Reference, WalletFolder};
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Blocks that were read once, by their hashes.
#[derive(Default)]
pub(crate) struct Blocks(HashMap<BlockHash, Arc<Block>>);

/// An unspent output of the wallet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) value_sat: u64,
    is_confirmed: bool,
    is_trusted: bool,
}

/// The chain from a height on and the mempool, at a moment at which nothing moves.
pub(crate) struct Truth {
    tip: BlockRef,
    /// Everything that counts, with its height if it is confirmed.
    pub(crate) all: HashMap<Txid, (Option<u32>, Transaction)>,
    /// Which confirmed transaction spends an output.
    spent_by: HashMap<OutPoint, Txid>,
    /// What the wallet has.
    pub(crate) coins: BTreeMap<OutPoint, Owned>,
    /// Transactions that spend a coin of the wallet.
    pub(crate) own: BTreeSet<Txid>,
}

impl Truth {
    /// The chain above `base`, below which the wallet has nothing.
    pub(crate) fn read(
        node: &Node,
        base: u32,
        blocks: &mut Blocks,
        reference: &Reference,
    ) -> Result<Self, Failure> {
        let height: u32 = node.call("getblockcount", &[])?;
        let best: BlockHash = node.call("getbestblockhash", &[])?;
        let tip = BlockRef { height, hash: best };
        let mut branch = Vec::new();
        let mut hash = best;
        for height in (base + 1..=height).rev() {
            let block = blocks.get(node, hash)?;
            hash = block.header.prev_blockhash;
            branch.push((height, block));
        }
        let mut truth = Self {
            tip,
            all: HashMap::new(),
            spent_by: HashMap::new(),
            coins: BTreeMap::new(),
            own: BTreeSet::new(),
        };
        let mut outputs = BTreeMap::new();
        for (height, block) in branch.into_iter().rev() {
            for transaction in &block.txdata {
                truth.add(Some(height), transaction, &mut outputs, reference);
            }
        }
        for transaction in mempool(node)? {
            truth.add(None, &transaction, &mut outputs, reference);
        }
        truth.coins = outputs;
        for (_, transaction) in truth.all.values() {
            for input in &transaction.input {
                truth.coins.remove(&input.previous_output);
            }
        }
        Ok(truth)
    }

    /// Parents come before their children.
    fn add(
        &mut self,
        height: Option<u32>,
        transaction: &Transaction,
        outputs: &mut BTreeMap<OutPoint, Owned>,
        reference: &Reference,
    ) {
        let txid = transaction.compute_txid();
        let mut is_trusted = true;
        for input in &transaction.input {
            let parent = outputs.get(&input.previous_output);
            is_trusted &= parent.is_some_and(|it| it.is_confirmed || it.is_trusted);
            if parent.is_some() {
                self.own.insert(txid);
            }
            if height.is_some() {
                self.spent_by.insert(input.previous_output, txid);
            }
        }
        for (vout, output) in (0..).zip(&transaction.output) {
            if reference.owns(&output.script_pubkey) {
                let owned = Owned {
                    value_sat: output.value.to_sat(),
                    is_confirmed: height.is_some(),
                    is_trusted,
                };
                outputs.insert(OutPoint::new(txid, vout), owned);
            }
        }
        self.all.insert(txid, (height, transaction.clone()));
    }

    /// The wallet's transactions in the mempool.
    pub(crate) fn pending(&self) -> impl Iterator<Item = Txid> {
        let own = self.own.iter().copied();
        own.filter(|txid| self.all[txid].0.is_none())
    }

    /// What a wallet must say, of whose coins these are held.
    pub(crate) fn state(&self, held: &HashSet<OutPoint>) -> WalletState {
        let mut balance = WalletBalance::default();
        for (outpoint, coin) in &self.coins {
            *match coin {
                coin if coin.is_confirmed => &mut balance.confirmed_sat,
                coin if coin.is_trusted => &mut balance.trusted_pending_sat,
                _ => &mut balance.untrusted_pending_sat,
            } += coin.value_sat;
            if held.contains(outpoint) {
                balance.held_by_missing_sat += coin.value_sat;
            }
        }
        WalletState {
            tip: self.tip,
            balance,
            coins: (self.coins.iter())
                .map(|(outpoint, coin)| (*outpoint, coin.value_sat))
                .collect(),
        }
    }

    /// The coins that a next payment may take.
    pub(crate) fn free(
        &self,
        held: &HashSet<OutPoint>,
        is_reserved: impl Fn(&OutPoint) -> bool,
    ) -> BTreeSet<OutPoint> {
        let coins = self.coins.iter().filter(|(outpoint, coin)| {
            (coin.is_confirmed || coin.is_trusted)
                && !held.contains(outpoint)
                && !is_reserved(outpoint)
        });
        coins.map(|(outpoint, _)| *outpoint).collect()
    }
}

impl Blocks {
    fn get(&mut self, node: &Node, hash: BlockHash) -> Result<Arc<Block>, Failure> {
        if let Some(block) = self.0.get(&hash) {
            return Ok(Arc::clone(block));
        }
        let hex: String = node.call("getblock", &[json!(hash), json!(0)])?;
        let block: Arc<Block> = Arc::new(encode::deserialize_hex(&hex)?);
        self.0.insert(hash, Arc::clone(&block));
        Ok(block)
    }
}

/// The mempool's transactions, parents first.
fn mempool(node: &Node) -> Result<Vec<Transaction>, Failure> {
    let entries: BTreeMap<Txid, Value> = node.call("getrawmempool", &[json!(true)])?;
    // One with more ancestors comes after each of its ancestors.
    let mut order: Vec<(u64, Txid)> = (entries.iter())
        .map(|(txid, entry)| (entry["ancestorcount"].as_u64().unwrap_or(0), *txid))
        .collect();
    order.sort_unstable();
    let raw = order.iter().map(|(_, txid)| {
        let hex: String = node.call("getrawtransaction", &[json!(txid)])?;
        Ok(encode::deserialize_hex(&hex)?)
    });
    raw.collect()
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    InMempool,
    Missing,
    Confirmed,
    Conflicted,
    Abandoned,
}

impl Standing {
    /// Whether it may still be mined: its coins are its own.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::InMempool | Self::Missing)
    }

    /// Whether its recipient is paid, or may be.
    pub(crate) fn is_live(self) -> bool {
        self.is_open() || self == Self::Confirmed
    }
}

/// A payment of the shared file.
pub(crate) struct Payment {
    pub(crate) row: PaymentRow,
    pub(crate) transaction: Transaction,
    pub(crate) is_settled: bool,
}

/// All payments of the shared file.
pub(crate) type Payments = BTreeMap<Txid, Payment>;

/// Reads the payments, settled or not, with the reserved coins and what each is reserved for.
pub(crate) fn read_file(
    wallet: &WalletFolder,
) -> Result<(Payments, HashMap<OutPoint, String>), Failure> {
    let mut reservations = Reservations::open(wallet.path())?;
    let booking = reservations.begin(now_ms())?;
    let open = booking.payments(i64::MAX)?;
    let mut payments = Payments::new();
    for (txid, row) in booking.payments(-1)? {
        let payment = Payment {
            transaction: booking.payment_transaction(txid)?.ok_or("it has a row")?,
            is_settled: !open.contains_key(&txid),
            row,
        };
        payments.insert(txid, payment);
    }
    let reserved = booking.reserved()?;
    let reserved = reserved.into_iter().map(|(coin, it)| (coin, it.reason));
    Ok((payments, reserved.collect()))
}

/// Where each payment stands.
pub(crate) fn standings(payments: &Payments, truth: &Truth) -> BTreeMap<Txid, Standing> {
    let mut known = BTreeMap::new();
    for txid in payments.keys() {
        stand(*txid, payments, truth, &mut known);
    }
    known
}

fn stand(
    txid: Txid,
    payments: &Payments,
    truth: &Truth,
    known: &mut BTreeMap<Txid, Standing>,
) -> Option<Standing> {
    if let Some(standing) = known.get(&txid) {
        return Some(*standing);
    }
    let payment = payments.get(&txid)?;
    let standing = match truth.all.get(&txid) {
        Some((Some(_), _)) => Standing::Confirmed,
        Some((None, _)) => Standing::InMempool,
        None => {
            let mut standing = if payment.row.abandoned_ms.is_some() {
                Standing::Abandoned
            } else {
                Standing::Missing
            };
            for input in &payment.transaction.input {
                let spent = input.previous_output;
                let parent = stand(spent.txid, payments, truth, known);
                if truth.spent_by.contains_key(&spent)
                    || matches!(parent, Some(Standing::Conflicted | Standing::Abandoned))
                        && standing == Standing::Missing
                    || parent == Some(Standing::Conflicted)
                {
                    standing = Standing::Conflicted;
                }
            }
            standing
        }
    };
    known.insert(txid, standing);
    Some(standing)
}

/// The payments that an open or confirmed one was said to replace, itself or over others.
pub(crate) fn replaced(payments: &Payments, standings: &BTreeMap<Txid, Standing>) -> HashSet<Txid> {
    let mut found = HashSet::new();
    for (txid, payment) in payments {
        if !standings[txid].is_live() {
            continue;
        }
        let mut waiting: Vec<Txid> = payment.row.replaces.iter().copied().collect();
        let mut seen = HashSet::new();
        while let Some(next) = waiting.pop() {
            if seen.insert(next)
                && let Some(other) = payments.get(&next)
            {
                waiting.extend(&other.row.replaces);
            }
        }
        found.extend(seen);
    }
    found.retain(|txid| {
        standings
            .get(txid)
            .is_some_and(|it| *it != Standing::Confirmed)
    });
    found
}

/// The coins that open payments hold.
pub(crate) fn held(payments: &Payments, standings: &BTreeMap<Txid, Standing>) -> HashSet<OutPoint> {
    let open = payments
        .iter()
        .filter(|(txid, _)| standings[*txid].is_open());
    let inputs = open.flat_map(|(_, payment)| &payment.transaction.input);
    inputs.map(|input| input.previous_output).collect()
}
