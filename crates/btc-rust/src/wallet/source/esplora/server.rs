//! What the shared checks ask an Esplora server.

use std::collections::HashSet;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{BlockHash, CompactTarget, Script, ScriptBuf, Transaction, TxMerkleNode, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network};
use serde::Deserialize;

use super::client::Client;
use crate::wallet::source::pool::{Weighed, in_order};
use crate::wallet::source::server::{Entry, HistoryServer, Pace, Proof};

/// Blocks in one answer.
const BLOCKS: u32 = 10;
/// More transactions than the history of a wallet's script has.
const MAX_HISTORY: usize = 300_000;

/// A block, as the server tells its header.
#[derive(Deserialize)]
struct Block {
    id: BlockHash,
    height: u32,
    version: i64,
    timestamp: u32,
    bits: u32,
    nonce: u32,
    merkle_root: TxMerkleNode,
    previousblockhash: Option<BlockHash>,
}

#[derive(Deserialize)]
struct Listed {
    txid: Txid,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    confirmed: bool,
    block_height: Option<u32>,
}

#[derive(Deserialize)]
struct Branch {
    merkle: Vec<TxMerkleNode>,
    pos: u64,
}

/// An answer that waits for its turn.
struct Waiting<T>(T, usize);

impl<T> Weighed for Waiting<T> {
    fn bytes(&self) -> usize {
        self.1
    }
}

impl Client {
    /// The block at this height, or at the tip, and those below it.
    fn blocks(&self, from: Option<u32>) -> BitcoinResult<Vec<(u32, Header)>> {
        let path = from.map_or_else(
            || "/blocks".to_owned(),
            |height| format!("/blocks/{height}"),
        );
        let blocks: Vec<Block> = self.json(&path)?;
        blocks
            .into_iter()
            .map(|block| self.header(&block))
            .collect()
    }

    fn header(&self, block: &Block) -> BitcoinResult<(u32, Header)> {
        // Told signed by some servers, unsigned by others.
        let version = i32::try_from(block.version)
            .or_else(|_| u32::try_from(block.version).map(u32::cast_signed))
            .map_err(|_| self.none())?;
        let header = Header {
            version: Version::from_consensus(version),
            prev_blockhash: block.previousblockhash.unwrap_or_else(BlockHash::all_zeros),
            merkle_root: block.merkle_root,
            time: block.timestamp,
            bits: CompactTarget::from_consensus(block.bits),
            nonce: block.nonce,
        };
        if header.block_hash() == block.id {
            Ok((block.height, header))
        } else {
            Err(self.lied("a header that is not that of its block"))
        }
    }

    /// The history of one script: what is unconfirmed, then page by page what is confirmed.
    fn history(&self, script: &Script) -> BitcoinResult<Vec<Entry>> {
        let name = sha256::Hash::hash(script.as_bytes());
        let mut entries: Vec<Entry> = Vec::new();
        let mut known = HashSet::new();
        let mut path = format!("/scripthash/{name}/txs");
        loop {
            let page: Vec<Listed> = self.json(&path)?;
            let mut last = None;
            for listed in page {
                let height = match (listed.status.confirmed, listed.status.block_height) {
                    (false, _) => None,
                    (true, Some(height)) => Some(height),
                    (true, None) => return Err(self.none()),
                };
                if height.is_some() {
                    last = Some(listed.txid);
                }
                if !known.insert(listed.txid) || entries.len() >= MAX_HISTORY {
                    return Err(self.lied("a history without end"));
                }
                entries.push(Entry {
                    txid: listed.txid,
                    height,
                });
            }
            let Some(last) = last else {
                return Ok(entries);
            };
            path = format!("/scripthash/{name}/txs/chain/{last}");
        }
    }
}

/// Asks for several things at once, and returns the answers in order.
fn all<I: Sync, T: Send>(
    items: &[I],
    ask: impl Fn(&I) -> BitcoinResult<(T, usize)> + Sync,
    progress: &mut dyn FnMut(usize),
) -> BitcoinResult<Vec<T>> {
    let mut answers = Vec::with_capacity(items.len());
    in_order(
        items.len(),
        |i| ask(&items[i]).map(|(answer, size)| Waiting(answer, size)),
        |_, Waiting(answer, _)| {
            answers.push(answer);
            progress(answers.len());
            Ok(())
        },
    )?;
    Ok(answers)
}

impl HistoryServer for Client {
    const KIND: &'static str = "Esplora server";
    const HEADERS: u32 = 20 * BLOCKS;
    const HISTORIES: usize = 16;

    fn network(&self) -> Network {
        self.network
    }

    fn tip(&self) -> BitcoinResult<(u32, Header)> {
        let newest = self.blocks(None)?.first().copied();
        newest.ok_or_else(|| self.none())
    }

    fn headers(&self, start: u32, count: u32) -> BitcoinResult<Vec<Header>> {
        let end = start.saturating_add(count.saturating_sub(1));
        let tops: Vec<u32> = (start..=end)
            .step_by(BLOCKS as usize)
            .map(|from| from.saturating_add(BLOCKS - 1).min(end))
            .collect();
        let size = BLOCKS as usize * size_of::<Header>();
        let ask = |top: &u32| Ok((self.blocks(Some(*top))?, size));
        let mut headers = Vec::with_capacity(count as usize);
        for some in all(&tops, ask, &mut |_| {})? {
            let mut next = start.saturating_add(u32::try_from(headers.len()).unwrap_or(u32::MAX));
            // They come from the top down, and may be more than ten.
            for (height, header) in some.into_iter().rev() {
                if height == next && height <= end {
                    headers.push(header);
                    next = next.saturating_add(1);
                }
            }
        }
        Ok(headers)
    }

    fn headers_at(&self, heights: &[u32]) -> BitcoinResult<Vec<Header>> {
        let ask = |height: &u32| match self.blocks(Some(*height))?.first() {
            Some((at, header)) if at == height => Ok((*header, size_of::<Header>())),
            _ => Err(self.lied("a block of another height")),
        };
        all(heights, ask, &mut |_| {})
    }

    fn histories(
        &self,
        scripts: &[ScriptBuf],
        progress: &mut dyn FnMut(usize),
    ) -> BitcoinResult<Vec<Vec<Entry>>> {
        let ask = |script: &ScriptBuf| {
            let history = self.history(script)?;
            let size = history.len() * size_of::<Entry>();
            Ok((history, size))
        };
        all(scripts, ask, progress)
    }

    fn transactions(&self, txids: &[Txid]) -> BitcoinResult<Vec<Transaction>> {
        let ask = |txid: &Txid| {
            let bytes = self.bytes(&format!("/tx/{txid}/raw"))?;
            let transaction = deserialize(&bytes).map_err(|_| self.none())?;
            Ok((transaction, bytes.len()))
        };
        all(txids, ask, &mut |_| {})
    }

    fn proofs(&self, confirmed: &[(Txid, u32)]) -> BitcoinResult<Vec<Proof>> {
        let ask = |(txid, _): &(Txid, u32)| {
            let Branch { merkle, pos } = self.json(&format!("/tx/{txid}/merkle-proof"))?;
            let size = merkle.len() * size_of::<TxMerkleNode>();
            let proof = Proof {
                position: pos,
                siblings: merkle,
            };
            Ok((proof, size))
        };
        all(confirmed, ask, &mut |_| {})
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn error(&self, kind: ErrorKind, message: String) -> BitcoinError {
        self.told(kind, message)
    }
}
