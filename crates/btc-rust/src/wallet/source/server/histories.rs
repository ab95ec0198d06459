//! `Findings`: what the histories of some scripts hold, as far as it is proven or unconfirmed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bdk_chain::bdk_core::spk_client::FullScanResponse;
use bdk_chain::{BlockId, CheckPoint, ConfirmationBlockTime, TxUpdate};
use bitcoin::block::Header;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use btc_iface::BlockRef;

use super::chain::Chain;
use super::fetch::fetch;
use super::{Entry, HistoryServer, Memory, Trouble, ask};
use crate::wallet::keys::Keychain;
use crate::wallet::source::Follower;

/// The newest blocks that the wallet is told in any case, so that it sees where a short
/// reorganisation begins.
const SUFFIX: u32 = 8;

/// The most transactions that all histories together may have.
const MAX_ENTRIES: usize = 500_000;
/// What one look at some scripts has found, on one state of the chain.
#[derive(Debug)]
pub(super) struct Findings {
    transactions: TxUpdate<ConfirmationBlockTime>,
    chain: CheckPoint,
}

impl Findings {
    /// The histories of these scripts; `is_all` says that they are all that are watched.
    pub(super) fn look<S: HistoryServer>(
        server: &S,
        memory: &mut Memory,
        (scripts, is_all): (&[ScriptBuf], bool),
        follower: &mut dyn Follower,
    ) -> Result<Self, Trouble> {
        let known = follower.checkpoints();
        let chain = Chain::follow(server, memory, &known, &mut |done, total| {
            follower.progress(done, total);
        })?;
        let total = u32::try_from(scripts.len()).unwrap_or(u32::MAX);
        follower.progress(0, total);
        let mut histories: Vec<Vec<Entry>> = Vec::with_capacity(scripts.len());
        let mut entries = 0;
        for some in scripts.chunks(S::HISTORIES.max(1)) {
            let before = histories.len();
            let told = server.histories(some, &mut |done| {
                follower.progress(u32::try_from(before + done).unwrap_or(u32::MAX), total);
            });
            let told = ask(server, told)?;
            if told.len() != some.len() {
                return Err(server.lied("another number of histories").into());
            }
            entries += told.iter().map(Vec::len).sum::<usize>();
            if entries > MAX_ENTRIES {
                return Err(server.lied("histories without end").into());
            }
            histories.extend(told);
        }
        let listed = listed(server, &histories)?;
        let confirmed = follower.confirmed();
        check_known(server, &chain, &confirmed, &listed, is_all)?;
        let found = Self::prove(server, memory, &chain, &listed, &confirmed, follower)?;
        check_each_other(server, memory, scripts, &histories)?;
        let (height, header) = ask(server, server.tip())?;
        if (height, header.block_hash()) != (chain.tip.height, chain.tip.hash) {
            return Err(Trouble::Moved);
        }
        Ok(found)
    }

    /// The unconfirmed transactions.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = Txid> {
        self.transactions.seen_ats.iter().map(|(txid, _)| *txid)
    }

    pub(super) fn into_update(self) -> FullScanResponse<Keychain> {
        FullScanResponse {
            tx_update: self.transactions,
            chain_update: Some(self.chain),
            ..FullScanResponse::default()
        }
    }

    /// Fetches what the wallet does not have, and proves what it does not know to be confirmed.
    fn prove<S: HistoryServer>(
        server: &S,
        memory: &mut Memory,
        chain: &Chain,
        listed: &BTreeMap<Txid, Option<u32>>,
        confirmed: &[(Txid, BlockRef)],
        follower: &mut dyn Follower,
    ) -> Result<Self, Trouble> {
        let newest = chain.agreed.first().map_or(0, |block| block.height);
        let known: HashMap<Txid, u32> = confirmed
            .iter()
            .filter(|(_, block)| block.height <= newest)
            .map(|(txid, block)| (*txid, block.height))
            .collect();
        let birthday = follower.birthday();
        // What was confirmed before the birthday is left out, whatever the source.
        let mut wanted: Vec<(Txid, Option<u32>)> = listed
            .iter()
            .map(|(txid, height)| (*txid, *height))
            .filter(|(txid, height)| match height {
                Some(height) => *height >= birthday && !known.contains_key(txid),
                None => true,
            })
            .filter(|(txid, _)| !memory.foreign.contains(txid))
            .collect();
        fetch(server, memory, &mut wanted, follower)?;

        let claimed: Vec<(Txid, u32)> = wanted
            .iter()
            .filter_map(|(txid, height)| Some((*txid, (*height)?)))
            .collect();
        let heights: BTreeSet<u32> = claimed
            .iter()
            .map(|(_, height)| *height)
            .chain(chain.replaced())
            .collect();
        let headers = chain.headers(server, memory, &heights, &mut |done, total| {
            follower.progress(done, total);
        })?;
        anchor(server, memory, &headers, &claimed)?;

        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |age| age.as_secs());
        let mut transactions = TxUpdate::default();
        for (txid, height) in wanted {
            transactions
                .txs
                .extend(memory.transactions.get(&txid).map(Arc::clone));
            match height {
                Some(_) => {
                    let anchor = memory.anchors.get(&txid).map(|anchor| (*anchor, txid));
                    transactions.anchors.extend(anchor);
                }
                None => {
                    transactions.seen_ats.insert((txid, now));
                }
            }
        }
        let mut blocks: BTreeMap<u32, _> = headers
            .into_iter()
            .map(|(height, header)| (height, header.block_hash()))
            .collect();
        let suffix = chain.tip.height.saturating_sub(SUFFIX - 1)..=chain.tip.height;
        let run = memory.run.as_ref();
        let newest = suffix.filter_map(|height| Some((height, run?.header(height)?.block_hash())));
        blocks.extend(newest);
        blocks.extend(chain.agreed.iter().map(|block| (block.height, block.hash)));
        let ids = blocks.into_iter().map(BlockId::from);
        let chain =
            CheckPoint::from_block_ids(ids).map_err(|_| server.lied("a chain without blocks"))?;
        Ok(Self {
            transactions,
            chain,
        })
    }
}

/// Each transaction of the histories, with the one height that all of them give it.
fn listed<S: HistoryServer>(
    server: &S,
    histories: &[Vec<Entry>],
) -> Result<BTreeMap<Txid, Option<u32>>, Trouble> {
    let mut listed = BTreeMap::new();
    for entry in histories.iter().flatten() {
        let earlier = listed.insert(entry.txid, entry.height);
        if earlier.is_some_and(|earlier| earlier != entry.height) {
            // A block came while the histories were read, or it is a lie.
            return Err(contradiction(
                server,
                "two heights of one transaction",
                entry.txid,
            ));
        }
    }
    Ok(listed)
}

/// Whether the histories have what the wallet knows to be confirmed in blocks of this chain.
fn check_known<S: HistoryServer>(
    server: &S,
    chain: &Chain,
    confirmed: &[(Txid, BlockRef)],
    listed: &BTreeMap<Txid, Option<u32>>,
    is_all: bool,
) -> Result<(), Trouble> {
    let newest = chain.agreed.first().map_or(0, |block| block.height);
    for (txid, block) in confirmed.iter().filter(|(_, block)| block.height <= newest) {
        let is_right = match listed.get(txid) {
            Some(height) => *height == Some(block.height),
            None => !is_all,
        };
        if !is_right {
            let what = "a transaction that the wallet knows to be confirmed is left out";
            return Err(contradiction(server, what, *txid));
        }
    }
    Ok(())
}

/// Proves each confirmation against the verified header at its height.
fn anchor<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    headers: &BTreeMap<u32, Header>,
    claimed: &[(Txid, u32)],
) -> Result<(), Trouble> {
    let anchor_at = |height: u32, header: &Header| ConfirmationBlockTime {
        block_id: BlockId {
            height,
            hash: header.block_hash(),
        },
        confirmation_time: header.time.into(),
    };
    let open: Vec<(Txid, u32)> = claimed
        .iter()
        .filter(|(txid, height)| {
            let anchor = headers.get(height).map(|header| anchor_at(*height, header));
            anchor.is_none() || memory.anchors.get(txid) != anchor.as_ref()
        })
        .copied()
        .collect();
    let proofs = ask(server, server.proofs(&open))?;
    if proofs.len() != open.len() {
        return Err(server.lied("another number of proofs").into());
    }
    for ((txid, height), proof) in open.into_iter().zip(proofs) {
        let header = headers.get(&height);
        let proven = header.filter(|header| proof.holds(txid, header.merkle_root));
        let Some(header) = proven else {
            return Err(contradiction(server, "a confirmation without proof", txid));
        };
        memory.anchors.insert(txid, anchor_at(height, header));
    }
    Ok(())
}

/// Whether each confirmed transaction is in the histories of all the scripts that it pays or
/// spends from.
fn check_each_other<S: HistoryServer>(
    server: &S,
    memory: &Memory,
    scripts: &[ScriptBuf],
    histories: &[Vec<Entry>],
) -> Result<(), Trouble> {
    let history_of: HashMap<&ScriptBuf, HashSet<Txid>> = scripts
        .iter()
        .zip(histories)
        .map(|(script, history)| (script, history.iter().map(|entry| entry.txid).collect()))
        .collect();
    let spent = |outpoint: OutPoint| {
        let transaction = memory.transactions.get(&outpoint.txid)?;
        let output = transaction.output.get(outpoint.vout as usize)?;
        Some(&output.script_pubkey)
    };
    let confirmed = histories.iter().flatten();
    for entry in confirmed.filter(|entry| entry.height.is_some()) {
        let Some(transaction) = memory.transactions.get(&entry.txid) else {
            continue;
        };
        let paid = transaction.output.iter().map(|it| &it.script_pubkey);
        let inputs = transaction.input.iter();
        let spent = inputs.filter_map(|input| spent(input.previous_output));
        for script in paid.chain(spent) {
            let history = history_of.get(script);
            if history.is_some_and(|history| !history.contains(&entry.txid)) {
                let what = "one script's history has a transaction, another's leaves it out";
                return Err(contradiction(server, what, entry.txid));
            }
        }
    }
    Ok(())
}

/// What may be right in a moment, or is a lie.
fn contradiction<S: HistoryServer>(server: &S, what: &str, txid: Txid) -> Trouble {
    Trouble::Behind(server.lied(what).with_context("txid", txid))
}
