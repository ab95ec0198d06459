//! What a peer is asked, and whether the answer can be one.

use bitcoin::block::Header;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{GetCFHeaders, GetCFilters};
use bitcoin::{Block, BlockHash, FilterHash, Transaction, Txid};
use btc_iface::BlockRef;

use super::{Conversation, PROTOCOL, random};
use crate::wallet::source::p2p::failure::Failure;

/// Transactions asked for at once.
const BATCH: usize = 50;
/// The hashes of a locator that Bitcoin Core accepts.
const MAX_LOCATOR: usize = 101;
/// The headers that a peer sends at once.
pub(in super::super) const MAX_HEADERS: usize = 2_000;

impl Conversation {
    /// The headers above the first hash of the locator that is in the peer's chain, at most
    /// 2,000.
    pub(in super::super) fn headers_after(
        &mut self,
        locator: &[BlockHash],
    ) -> Result<Vec<Header>, Failure> {
        let newest = locator.iter().take(MAX_LOCATOR - 1);
        let oldest = locator.get(MAX_LOCATOR - 1..).and_then(<[_]>::last);
        self.send(NetworkMessage::GetHeaders(GetHeadersMessage {
            version: PROTOCOL,
            locator_hashes: newest.chain(oldest).copied().collect(),
            stop_hash: BlockHash::all_zeros(),
        }))?;
        let headers = self.headers()?;
        let is_chain = headers
            .windows(2)
            .all(|pair| pair[1].prev_blockhash == pair[0].block_hash());
        if is_chain {
            Ok(headers)
        } else {
            Err(Failure::Nonsense("headers without connection".to_owned()))
        }
    }

    /// The header of this block, which may be off the peer's active chain.
    pub(in super::super) fn header_of(&mut self, block: BlockRef) -> Result<Header, Failure> {
        if block.height == 0 {
            return Ok(genesis_block(self.network).header);
        }
        self.send(NetworkMessage::GetHeaders(GetHeadersMessage {
            version: PROTOCOL,
            locator_hashes: Vec::new(),
            stop_hash: block.hash,
        }))?;
        // A peer that does not know the block says nothing.
        let nonce = random();
        self.send(NetworkMessage::Ping(nonce))?;
        let is_it = |header: &Header| header.block_hash() == block.hash;
        let answer = self.until(&["headers", "pong"], |message| match message {
            NetworkMessage::Headers(headers) => headers.into_iter().find(is_it).map(Some),
            NetworkMessage::Pong(answer) if answer == nonce => Some(None),
            _ => None,
        })?;
        answer.ok_or(Failure::Refused("a header"))
    }

    fn headers(&mut self) -> Result<Vec<Header>, Failure> {
        let headers = self.until(&["headers"], |message| match message {
            NetworkMessage::Headers(headers) => Some(headers),
            _ => None,
        })?;
        if headers.len() > MAX_HEADERS {
            return Err(Failure::Nonsense(format!("{} headers", headers.len())));
        }
        Ok(headers)
    }

    /// The hashes of the filters from this height up to this block (BIP157), at most 2,000.
    pub(in super::super) fn filter_hashes(
        &mut self,
        start: u32,
        stop: BlockRef,
    ) -> Result<Vec<FilterHash>, Failure> {
        self.send(NetworkMessage::GetCFHeaders(GetCFHeaders {
            filter_type: 0,
            start_height: start,
            stop_hash: stop.hash,
        }))?;
        let hashes = self.until(&["cfheaders"], |message| match message {
            NetworkMessage::CFHeaders(headers) if headers.stop_hash == stop.hash => {
                Some(headers.filter_hashes)
            }
            _ => None,
        })?;
        let asked = (stop.height + 1).saturating_sub(start);
        if u32::try_from(hashes.len()) != Ok(asked) {
            let text = format!("{} filter headers for {asked}", hashes.len());
            return Err(Failure::Nonsense(text));
        }
        Ok(hashes)
    }

    /// The filter of a block (BIP158).
    pub(in super::super) fn filter(&mut self, block: BlockRef) -> Result<Vec<u8>, Failure> {
        self.send(NetworkMessage::GetCFilters(GetCFilters {
            filter_type: 0,
            start_height: block.height,
            stop_hash: block.hash,
        }))?;
        self.until(&["cfilter"], |message| match message {
            NetworkMessage::CFilter(filter) if filter.block_hash == block.hash => {
                Some(filter.filter)
            }
            _ => None,
        })
    }

    /// The block with this hash: its transactions are those of the header, and its witnesses
    /// those of the coinbase (BIP141).
    pub(in super::super) fn block(&mut self, hash: BlockHash) -> Result<Block, Failure> {
        let asked = Inventory::WitnessBlock(hash);
        self.send(NetworkMessage::GetData(vec![asked]))?;
        let answer = self.until(&["block", "notfound"], |message| match message {
            NetworkMessage::Block(block) => Some(Some(block)),
            NetworkMessage::NotFound(items) => items.contains(&asked).then_some(None),
            _ => None,
        })?;
        let block = answer.ok_or(Failure::Refused("a block"))?;
        let lie = if block.block_hash() != hash {
            "another block than the one asked for"
        } else if !block.check_merkle_root() {
            "a block with transactions that are not its own"
        } else if !block.check_witness_commitment() {
            "a block with witnesses that are not its own"
        } else {
            return Ok(block);
        };
        Err(Failure::Lie(lie.to_owned()))
    }

    /// Whether the peer has built the filter of this block. Bitcoin Core builds them some time
    /// after it has connected the block, and is silent when it is asked too early.
    pub(in super::super) fn has_filter(&mut self, block: BlockRef) -> Result<bool, Failure> {
        self.send(NetworkMessage::GetCFHeaders(GetCFHeaders {
            filter_type: 0,
            start_height: block.height,
            stop_hash: block.hash,
        }))?;
        let nonce = random();
        self.send(NetworkMessage::Ping(nonce))?;
        let mut is_there = false;
        self.until(&["cfheaders", "pong"], |message| match message {
            NetworkMessage::CFHeaders(headers) => {
                is_there |= headers.stop_hash == block.hash && headers.filter_hashes.len() == 1;
                None
            }
            NetworkMessage::Pong(answer) if answer == nonce => Some(()),
            _ => None,
        })?;
        Ok(is_there)
    }

    /// Those of the transactions that the peer would not hand out: they are neither in its
    /// mempool nor in its newest block. To be asked soon after [`open`](Self::open): Bitcoin Core
    /// hands out what it had when it last announced, which it does at once to a new peer.
    pub(in super::super) fn lacking(&mut self, txids: &[Txid]) -> Result<Vec<Txid>, Failure> {
        // When the answer is here, the peer has also announced.
        self.fence()?;
        let mut lacking = Vec::new();
        for batch in txids.chunks(BATCH) {
            let asked = batch
                .iter()
                .map(|txid| Inventory::WitnessTransaction(*txid))
                .collect();
            self.send(NetworkMessage::GetData(asked))?;
            let mut waiting = batch.to_vec();
            while !waiting.is_empty() {
                self.until(&["tx", "notfound"], |message| match message {
                    NetworkMessage::Tx(transaction) => {
                        let txid = transaction.compute_txid();
                        waiting.retain(|other| *other != txid);
                        Some(())
                    }
                    NetworkMessage::NotFound(items) => {
                        for item in items {
                            if let Inventory::WitnessTransaction(txid)
                            | Inventory::Transaction(txid) = item
                                && waiting.contains(&txid)
                            {
                                waiting.retain(|other| *other != txid);
                                lacking.push(txid);
                            }
                        }
                        Some(())
                    }
                    _ => None,
                })?;
            }
        }
        Ok(lacking)
    }

    /// Hands a transaction over and waits until the peer has looked at it.
    pub(in super::super) fn hand_over(&mut self, transaction: &Transaction) -> Result<(), Failure> {
        self.send(NetworkMessage::Tx(transaction.clone()))?;
        self.fence()
    }
}
