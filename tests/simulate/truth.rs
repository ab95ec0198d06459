//! `Truth`: what a wallet owns at one moment, computed from the node's blocks and mempool alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use btc::bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc::{BlockRef, WalletBalance};
use btc_regtest::SimNode;

use crate::identity::{Identity, Keychain, Place, RANGE};

/// Confirmations from which on a coinbase counts.
const MATURITY: u32 = 100;

/// Which bucket of the balance a coin is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    Confirmed,
    Trusted,
    Untrusted,
    Immature,
}

/// An unspent output of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) value_sat: u64,
    pub(crate) place: Place,
    pub(crate) bucket: Bucket,
}

/// How far a wallet looks on each chain.
pub(crate) type Windows = HashMap<Keychain, u32>;

/// The chain from the base on and the mempool, of one moment.
pub(crate) struct Truth {
    pub(crate) tip: BlockRef,
    /// Confirmed transactions above the base with their heights, in order.
    pub(crate) confirmed: Vec<(u32, Txid, Transaction)>,
    heights: HashMap<Txid, u32>,
    /// The mempool, parents first.
    pub(crate) waiting: Vec<(Txid, Transaction)>,
    waits: HashSet<Txid>,
    /// Which confirmed transaction spends an output.
    spent_by: HashMap<OutPoint, Txid>,
}

impl Truth {
    pub(crate) fn of(node: &SimNode, base: u32) -> Self {
        let mut confirmed = Vec::new();
        for placed in node.blocks_from(base + 1) {
            for transaction in placed.block.txdata {
                confirmed.push((placed.height, transaction.compute_txid(), transaction));
            }
        }
        let mut heights = HashMap::new();
        let mut spent_by = HashMap::new();
        for (height, txid, transaction) in &confirmed {
            heights.insert(*txid, *height);
            for input in &transaction.input {
                spent_by.insert(input.previous_output, *txid);
            }
        }
        let (height, hash) = node.tip();
        let waiting: Vec<_> = parents_first(
            node.mempool()
                .into_iter()
                .map(|it| (it.txid, (*it.transaction).clone()))
                .collect(),
        );
        Self {
            tip: BlockRef { height, hash },
            waits: waiting.iter().map(|(txid, _)| *txid).collect(),
            confirmed,
            heights,
            waiting,
            spent_by,
        }
    }

    pub(crate) fn height_of(&self, txid: Txid) -> Option<u32> {
        self.heights.get(&txid).copied()
    }

    pub(crate) fn is_waiting(&self, txid: Txid) -> bool {
        self.waits.contains(&txid)
    }

    /// The confirmed transaction that spends an output.
    pub(crate) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spent_by.get(outpoint).copied()
    }

    /// Every transaction, confirmed and waiting, parents first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Txid, &Transaction)> {
        let confirmed = self.confirmed.iter().map(|(_, txid, it)| (*txid, it));
        confirmed.chain(self.waiting.iter().map(|(txid, it)| (*txid, it)))
    }

    /// How often this script is paid, in the chain and the mempool.
    pub(crate) fn payments_to(&self, script: &ScriptBuf) -> Vec<Txid> {
        let paid = self.all().flat_map(|(txid, transaction)| {
            let outputs = transaction.output.iter();
            outputs
                .filter(|output| output.script_pubkey == *script)
                .map(move |_| txid)
        });
        paid.collect()
    }

    /// The highest index of each chain that is paid, whatever a wallet sees.
    pub(crate) fn paid_indices(&self, identity: &Identity) -> HashSet<Place> {
        let outputs = self.all().flat_map(|(_, transaction)| &transaction.output);
        outputs
            .filter_map(|output| identity.place(&output.script_pubkey))
            .collect()
    }

    /// How far a wallet looks that has seen `used` used and promised what is below `next`: the
    /// window moves as long as it finds more (docs/wallet.md, "The window"). `used` grows with it.
    pub(crate) fn windows(
        paid: &HashSet<Place>,
        gap: u32,
        next: &HashMap<Keychain, u32>,
        used: &mut HashMap<Keychain, u32>,
    ) -> Windows {
        let mut windows = Windows::new();
        for keychain in crate::keychains() {
            let promised = next.get(&keychain).copied().unwrap_or(0);
            loop {
                let following = used.get(&keychain).map_or(0, |highest| highest + 1);
                let window = (gap * (2 + following / gap))
                    .max(gap * promised.div_ceil(gap))
                    .min(RANGE);
                windows.insert(keychain, window);
                let found = paid
                    .iter()
                    .filter(|place| place.keychain == keychain && place.index < window)
                    .map(|place| place.index)
                    .max();
                match found {
                    Some(highest) if highest + 1 > following => {
                        used.insert(keychain, highest);
                    }
                    _ => break,
                }
            }
        }
        windows
    }

    /// The unspent outputs of a wallet that looks this far.
    pub(crate) fn coins(
        &self,
        identity: &Identity,
        windows: &Windows,
    ) -> BTreeMap<OutPoint, Owned> {
        let mine = |script: &ScriptBuf| {
            let place = identity.place(script)?;
            let window = windows.get(&place.keychain).copied().unwrap_or(0);
            (place.index < window).then_some(place)
        };
        let mut all: BTreeMap<OutPoint, Owned> = BTreeMap::new();
        let mut spent: HashSet<OutPoint> = HashSet::new();
        for (height, txid, transaction) in &self.confirmed {
            spent.extend(transaction.input.iter().map(|input| input.previous_output));
            let confirmations = self.tip.height - height + 1;
            let is_young = transaction.is_coinbase() && confirmations < MATURITY;
            let bucket = if is_young {
                Bucket::Immature
            } else {
                Bucket::Confirmed
            };
            for (outpoint, value_sat, place) in outputs(*txid, transaction, &mine) {
                let owned = Owned {
                    value_sat,
                    place,
                    bucket,
                };
                all.insert(outpoint, owned);
            }
        }
        // A confirmed coin that is spent can be the input of no other waiting transaction.
        for (txid, transaction) in &self.waiting {
            let is_trusted = transaction.input.iter().all(|input| {
                all.get(&input.previous_output).is_some_and(|coin| {
                    matches!(
                        coin.bucket,
                        Bucket::Confirmed | Bucket::Trusted | Bucket::Immature
                    )
                })
            });
            let bucket = if is_trusted {
                Bucket::Trusted
            } else {
                Bucket::Untrusted
            };
            for (outpoint, value_sat, place) in outputs(*txid, transaction, &mine) {
                let owned = Owned {
                    value_sat,
                    place,
                    bucket,
                };
                all.insert(outpoint, owned);
            }
        }
        for (_, transaction) in &self.waiting {
            spent.extend(transaction.input.iter().map(|input| input.previous_output));
        }
        all.retain(|outpoint, _| !spent.contains(outpoint));
        all
    }
}

/// The sums by bucket.
pub(crate) fn balance(coins: &BTreeMap<OutPoint, Owned>) -> WalletBalance {
    let mut balance = WalletBalance::default();
    for coin in coins.values() {
        *match coin.bucket {
            Bucket::Confirmed => &mut balance.confirmed_sat,
            Bucket::Trusted => &mut balance.trusted_pending_sat,
            Bucket::Untrusted => &mut balance.untrusted_pending_sat,
            Bucket::Immature => &mut balance.immature_sat,
        } += coin.value_sat;
    }
    balance
}

fn outputs<'t>(
    txid: Txid,
    transaction: &'t Transaction,
    mine: &'t impl Fn(&ScriptBuf) -> Option<Place>,
) -> impl Iterator<Item = (OutPoint, u64, Place)> + 't {
    let outputs = (0..).zip(&transaction.output);
    outputs.filter_map(move |(vout, output)| {
        let place = mine(&output.script_pubkey)?;
        Some((OutPoint { txid, vout }, output.value.to_sat(), place))
    })
}

/// The mempool's order is that of arrival, and after a reorganisation a parent may come later.
fn parents_first(mut waiting: Vec<(Txid, Transaction)>) -> Vec<(Txid, Transaction)> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let left: HashSet<Txid> = waiting.iter().map(|(txid, _)| *txid).collect();
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, it)| {
            let mut inputs = it.input.iter();
            !inputs.any(|input| left.contains(&input.previous_output.txid))
        });
        assert!(!ready.is_empty(), "transactions do not spend in a circle");
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}
