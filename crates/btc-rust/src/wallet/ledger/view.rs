//! `View`: what the wallet owns at one moment, computed once after each change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bdk_chain::{BlockId, CanonicalizationParams, ChainPosition};
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{
    BlockRef, CoinState, HistoryEntry, PaymentState, PendingTransaction, WalletBalance,
};

use super::chain::Blocks;
use super::payments::{self, Facts, Payments, Standing};
use super::{Graph, Keychain, holds};

/// Confirmations from which on a coinbase output may be spent.
const MATURITY: u32 = 100;

/// An unspent output of the wallet's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unspent {
    /// The output.
    pub outpoint: OutPoint,
    /// Its amount in satoshi.
    pub value_sat: u64,
    /// The script that locks it.
    pub script_pubkey: ScriptBuf,
    /// The chain of keys it is on.
    pub keychain: Keychain,
    /// The derivation index on that chain.
    pub index: u32,
    /// Where it stands.
    pub state: CoinState,
    /// The block it is in, when it is confirmed.
    pub block: Option<BlockRef>,
}

/// A transaction of the wallet's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTransaction {
    /// It.
    pub transaction: Arc<Transaction>,
    /// The block it is in, when it is confirmed.
    pub block: Option<BlockRef>,
    /// Whether it is in the chain or the mempool now.
    pub is_counted: bool,
}

/// What the wallet owns at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The last block known.
    pub tip: BlockRef,
    /// The unspent outputs, in the order in which both implementations choose: value descending,
    /// then txid (its internal bytes) and output number ascending.
    pub coins: Vec<Unspent>,
    /// Their sums.
    pub balance: WalletBalance,
    /// The wallet's own unconfirmed transactions that its coins may come from, ascending by txid.
    pub pending: Vec<PendingTransaction>,
    /// The outputs that nothing may be built on, with the open payment that holds them.
    pub held: HashMap<OutPoint, Txid>,
    /// Every transaction that counts, with its block and the block's time in seconds.
    counted: HashMap<Txid, Option<(BlockRef, u64)>>,
    /// Where each own payment stands.
    standings: HashMap<Txid, Standing>,
}

impl View {
    /// The unconfirmed transactions that count.
    pub fn unconfirmed(&self) -> impl Iterator<Item = Txid> {
        let all = self.counted.iter();
        all.filter(|(_, block)| block.is_none())
            .map(|(txid, _)| *txid)
    }

    /// The transactions that count as confirmed, with their blocks.
    pub fn confirmed(&self) -> impl Iterator<Item = (Txid, BlockRef)> {
        let all = self.counted.iter();
        all.filter_map(|(txid, block)| block.map(|(block, _)| (*txid, block)))
    }

    /// Where an own payment stands that is not settled.
    pub fn standing(&self, txid: Txid) -> Option<Standing> {
        self.standings.get(&txid).copied()
    }

    /// None: it does not count. Otherwise the block it is in, if it is in one.
    #[expect(clippy::option_option, reason = "the two levels say different things")]
    pub(super) fn position_of(&self, txid: Txid) -> Option<Option<BlockRef>> {
        let position = self.counted.get(&txid)?;
        Some(position.map(|(block, _)| block))
    }

    pub(super) fn of(graph: &Graph, blocks: &Blocks, payments: &Payments) -> Self {
        let tip = blocks.tip();
        let tip_id = BlockId {
            height: tip.height,
            hash: tip.hash,
        };
        let mut counted = HashMap::new();
        let mut spent = HashSet::new();
        let mut unconfirmed = HashMap::new();
        let inputs = payments.values().flat_map(|it| &it.transaction.input);
        let wanted: HashSet<_> = inputs.map(|input| input.previous_output).collect();
        let mut spent_by = HashMap::new();
        let params = CanonicalizationParams::default();
        for canonical in graph.graph().list_canonical_txs(blocks, tip_id, params) {
            let node = canonical.tx_node;
            let position = match canonical.chain_position {
                // Known by a descendant only, so in the chain below the birthday.
                ChainPosition::Confirmed {
                    transitively: Some(_),
                    ..
                } => continue,
                ChainPosition::Unconfirmed { .. } if !is_seen(graph, node.txid) => continue,
                ChainPosition::Confirmed { anchor, .. } => {
                    let block = BlockRef {
                        height: anchor.block_id.height,
                        hash: anchor.block_id.hash,
                    };
                    if !wanted.is_empty() {
                        let inputs = node.tx.input.iter().map(|input| input.previous_output);
                        let decided = inputs.filter(|spent| wanted.contains(spent));
                        spent_by.extend(decided.map(|spent| (spent, node.txid)));
                    }
                    Some((block, anchor.confirmation_time))
                }
                ChainPosition::Unconfirmed { .. } => {
                    unconfirmed.insert(node.txid, Arc::clone(&node.tx));
                    None
                }
            };
            let inputs = node.tx.input.iter();
            spent.extend(inputs.map(|input| input.previous_output));
            counted.insert(node.txid, position);
        }
        let trusted = trusted(graph, &counted, &unconfirmed);
        #[cfg(feature = "planted")]
        let trusted = trusting(trusted, &unconfirmed);
        let facts = Facts {
            counted: &counted,
            spent_by: &spent_by,
        };
        let standings = payments::standings(payments, &facts);
        let held = holds::holds(payments, &standings, &unconfirmed);
        #[cfg(feature = "planted")]
        let (held, standings) = (freeing(held, &standings), forgetting(standings));
        let pending = pending(graph, &unconfirmed, &trusted);
        let mut coins = Vec::new();
        let mut balance = WalletBalance::default();
        for ((keychain, index), outpoint) in graph.index.outpoints() {
            let Some(position) = counted.get(&outpoint.txid) else {
                continue;
            };
            if spent.contains(outpoint) {
                continue;
            }
            let Some((_, output)) = graph.index.txout(*outpoint) else {
                continue;
            };
            let state = match position {
                Some((block, _)) if is_immature(graph, outpoint, *block, tip) => {
                    CoinState::Immature
                }
                Some(_) => CoinState::Confirmed,
                None if trusted.contains(&outpoint.txid) => CoinState::TrustedPending,
                None => CoinState::UntrustedPending,
            };
            let value_sat = output.value.to_sat();
            count(&mut balance, state, value_sat, held.contains_key(outpoint));
            coins.push(Unspent {
                outpoint: *outpoint,
                value_sat,
                script_pubkey: output.script_pubkey.clone(),
                keychain: *keychain,
                index: *index,
                state,
                block: position.map(|(block, _)| block),
            });
        }
        coins.sort_unstable_by(|a, b| {
            let by_value = b.value_sat.cmp(&a.value_sat);
            by_value.then_with(|| a.outpoint.cmp(&b.outpoint))
        });
        Self {
            tip,
            coins,
            balance,
            pending,
            held,
            counted,
            standings,
        }
    }
}

#[cfg(feature = "planted")]
fn forgetting(mut standings: HashMap<Txid, Standing>) -> HashMap<Txid, Standing> {
    use crate::planted::{Planted, is};
    standings.retain(|_, it| it.state != PaymentState::Missing || !is(Planted::ForgetsMissing));
    standings
}

#[cfg(feature = "planted")]
fn freeing(
    mut held: HashMap<OutPoint, Txid>,
    standings: &HashMap<Txid, Standing>,
) -> HashMap<OutPoint, Txid> {
    use crate::planted::{Planted, is};
    let is_missing = |txid: &Txid| {
        let standing = standings.get(txid);
        standing.is_some_and(|it| it.state == PaymentState::Missing)
    };
    let frees = is(Planted::FreesCoins) || is(Planted::ForgetsMissing);
    held.retain(|_, txid| !frees || !is_missing(txid));
    held
}

#[cfg(feature = "planted")]
fn trusting(
    mut trusted: HashSet<Txid>,
    unconfirmed: &HashMap<Txid, Arc<Transaction>>,
) -> HashSet<Txid> {
    use crate::planted::{Planted, is};
    if is(Planted::TrustsOthers) {
        trusted.extend(unconfirmed.keys());
    }
    trusted
}

/// Adds a coin to its bucket, and to what missing payments hold if one holds it.
fn count(balance: &mut WalletBalance, state: CoinState, value_sat: u64, is_held: bool) {
    let bucket = match state {
        CoinState::Confirmed => &mut balance.confirmed_sat,
        CoinState::TrustedPending => &mut balance.trusted_pending_sat,
        CoinState::UntrustedPending => &mut balance.untrusted_pending_sat,
        CoinState::Immature => &mut balance.immature_sat,
    };
    // Real coins never come near the limit; a hostile source's must not wrap.
    *bucket = bucket.saturating_add(value_sat);
    if is_held {
        balance.held_by_missing_sat = balance.held_by_missing_sat.saturating_add(value_sat);
    }
}

/// Whether the transaction itself was last seen in the mempool, and not missed there.
fn is_seen(graph: &Graph, txid: Txid) -> bool {
    let graph = graph.graph();
    let last_seen = graph.get_tx_node(txid).and_then(|node| node.last_seen);
    last_seen.is_some() && last_seen > graph.get_last_evicted(txid)
}

/// The history as of this view.
pub(super) fn history(graph: &Graph, view: &View, payments: &Payments) -> Vec<HistoryEntry> {
    let entry = |txid: Txid, state: PaymentState, position: Option<(BlockRef, u64)>| {
        let node = graph.graph().get_tx_node(txid)?;
        let (sent, received) = graph.index.sent_and_received(&node.tx, ..);
        let handed_over = payments.get(&txid).map(|it| it.row.handed_over_ms / 1_000);
        Some(HistoryEntry {
            txid,
            sent_sat: sent.to_sat(),
            received_sat: received.to_sat(),
            fee_sat: fee_sat(graph, &node.tx),
            state,
            block: position.map(|(block, _)| block),
            time_secs: position
                .map(|(_, time)| time)
                .or(node.first_seen)
                .or(handed_over),
            label: None,
        })
    };
    let counted = view.counted.iter().map(|(txid, position)| {
        let state = match position {
            Some(_) => PaymentState::Confirmed,
            None => PaymentState::InMempool,
        };
        (*txid, state, *position)
    });
    let others = view.standings.iter().filter_map(|(txid, standing)| {
        let is_shown = !view.counted.contains_key(txid) && standing.replaced_by.is_none();
        is_shown.then_some((*txid, standing.state, None))
    });
    let mut entries: Vec<_> = counted
        .chain(others)
        .filter_map(|(txid, state, position)| entry(txid, state, position))
        .collect();
    entries.sort_unstable_by_key(|entry| {
        let height = entry.block.map_or(u32::MAX, |block| block.height);
        let is_confirmed = entry.block.is_some();
        let first_seen = if is_confirmed { None } else { entry.time_secs };
        (std::cmp::Reverse((height, first_seen)), entry.txid)
    });
    entries
}

/// Inputs minus outputs, when every input is known and the sum makes sense.
fn fee_sat(graph: &Graph, transaction: &Transaction) -> Option<u64> {
    if transaction.is_coinbase() {
        return None;
    }
    let inputs = transaction.input.iter().try_fold(0_u64, |sum, input| {
        let output = graph.graph().get_txout(input.previous_output)?;
        sum.checked_add(output.value.to_sat())
    })?;
    let outputs = transaction.output.iter();
    let outputs = outputs
        .map(|output| output.value.to_sat())
        .try_fold(0_u64, u64::checked_add)?;
    inputs.checked_sub(outputs)
}

fn is_immature(graph: &Graph, outpoint: &OutPoint, block: BlockRef, tip: BlockRef) -> bool {
    let confirmations = (tip.height + 1).saturating_sub(block.height);
    confirmations < MATURITY
        && graph
            .graph()
            .get_tx(outpoint.txid)
            .is_some_and(|transaction| transaction.is_coinbase())
}

/// The trusted transactions as a snapshot lists them.
fn pending(
    graph: &Graph,
    unconfirmed: &HashMap<Txid, Arc<Transaction>>,
    trusted: &HashSet<Txid>,
) -> Vec<PendingTransaction> {
    let mut pending: Vec<_> = trusted
        .iter()
        .filter_map(|txid| {
            let transaction = unconfirmed.get(txid)?;
            let inputs = transaction.input.iter();
            let mut spends: Vec<_> = inputs
                .map(|input| input.previous_output.txid)
                .filter(|parent| trusted.contains(parent))
                .collect();
            spends.sort_unstable();
            spends.dedup();
            Some(PendingTransaction {
                txid: *txid,
                version: transaction.version.0,
                size_vb: transaction.weight().to_wu().div_ceil(4),
                // The inputs of a trusted transaction are the wallet's, so the fee is known.
                fee_sat: fee_sat(graph, transaction)?,
                spends,
            })
        })
        .collect();
    pending.sort_unstable_by_key(|it| it.txid);
    pending
}

/// The unconfirmed transactions all of whose inputs spend coins of this wallet that are confirmed
/// or themselves trusted. Each is judged once, its parents first, without recursion: chains may
/// be long.
fn trusted(
    graph: &Graph,
    counted: &HashMap<Txid, Option<(BlockRef, u64)>>,
    unconfirmed: &HashMap<Txid, Arc<Transaction>>,
) -> HashSet<Txid> {
    let mut judged: HashMap<Txid, bool> = HashMap::new();
    for txid in unconfirmed.keys() {
        let mut stack = vec![*txid];
        while let Some(txid) = stack.last().copied() {
            if judged.contains_key(&txid) {
                stack.pop();
                continue;
            }
            let Some(transaction) = unconfirmed.get(&txid) else {
                judged.insert(txid, false);
                continue;
            };
            let mut is_trusted = true;
            let mut open = Vec::new();
            for input in &transaction.input {
                let spent = input.previous_output;
                let is_ours = graph.index.txout(spent).is_some();
                let is_good = match counted.get(&spent.txid) {
                    _ if !is_ours => false,
                    Some(Some(_)) => true,
                    Some(None) => judged.get(&spent.txid).copied().unwrap_or_else(|| {
                        open.push(spent.txid);
                        true
                    }),
                    None => false,
                };
                is_trusted &= is_good;
            }
            if is_trusted && !open.is_empty() {
                stack.extend(open);
            } else {
                judged.insert(txid, is_trusted);
            }
        }
    }
    let trusted = judged.into_iter().filter(|(_, verdict)| *verdict);
    trusted.map(|(txid, _)| txid).collect()
}
