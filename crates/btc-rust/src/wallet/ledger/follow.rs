//! How the books take news from a source.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bdk_chain::bdk_core::spk_client::FullScanResponse;
use bdk_chain::{BlockId, ConfirmationBlockTime};
use bitcoin::{Block, BlockHash, OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};

use super::{Ledger, now_secs};
use crate::wallet::keys::Keychain;
use crate::wallet::source::{Follower, Piece};
use crate::wallet::store::{InBlocks, Position};

impl Follower for Ledger {
    fn checkpoints(&self) -> Vec<BlockRef> {
        self.blocks.descending().collect()
    }

    fn birthday(&self) -> u32 {
        self.birthday
    }

    fn is_first_scan(&self) -> bool {
        self.position.is_first_scan
    }

    fn scanned(&self) -> Option<BlockRef> {
        self.position.scanned
    }

    fn watched(&self) -> &[ScriptBuf] {
        &self.watched
    }

    fn owned(&self) -> Vec<OutPoint> {
        let outpoints = self.graph.index.outpoints().iter();
        outpoints.map(|(_, outpoint)| *outpoint).collect()
    }

    fn concerns(&self, transaction: &Transaction) -> bool {
        self.graph.index.inner().is_relevant(transaction)
    }

    fn unconfirmed(&self) -> Vec<Txid> {
        self.view().unconfirmed().collect()
    }

    fn unconfirmed_spends(&self) -> Vec<Txid> {
        let spends = |txid: &Txid| {
            let transaction = self.graph.graph().get_tx(*txid);
            transaction.is_some_and(|it| {
                let mut spent = it.input.iter().map(|input| input.previous_output);
                spent.any(|outpoint| self.owns(outpoint))
            })
        };
        self.view().unconfirmed().filter(spends).collect()
    }

    fn confirmed(&self) -> Vec<(Txid, BlockRef)> {
        self.view().confirmed().collect()
    }

    fn take(&mut self, piece: Piece) -> BitcoinResult<()> {
        match piece {
            Piece::Disconnect { fork } => self.disconnect(fork),
            Piece::Block { height, block } => self.connect(height, &block),
            Piece::Scanned(block) => {
                self.insert_block(block, false)?;
                self.set_position(Position {
                    scanned: Some(block),
                    ..self.position
                });
                self.save()
            }
            Piece::Mempool {
                arrived,
                gone,
                kept,
            } => {
                self.refresh(arrived, &gone, &kept);
                self.save()
            }
            Piece::Update(update) => {
                self.update(*update)?;
                self.save()
            }
        }
    }

    fn begin_blocks(&mut self) -> BitcoinResult<bool> {
        let Some(read) = self.position.in_blocks else {
            return Ok(false);
        };
        // What peers have handed out is in blocks; only what they have hidden is missing.
        if !read.by_filters {
            self.doubt_all_above(read.scanned)?;
        }
        // A first scan that begins now looks for all that is watched now.
        let by_use = self.watched_by_use();
        self.set_position(Position {
            scanned: read.scanned,
            watched: read.scanned.map_or(by_use, |_| read.watched),
            is_first_scan: read.is_first_scan,
            in_blocks: None,
            ..self.position
        });
        self.save()?;
        Ok(true)
    }

    fn begin_filters(&mut self) -> BitcoinResult<()> {
        if self.position.in_blocks.is_some_and(|read| read.by_filters) {
            return Ok(());
        }
        self.begin_blocks()?;
        let Position {
            scanned,
            watched,
            is_first_scan,
            ..
        } = self.position;
        self.set_position(Position {
            in_blocks: Some(InBlocks {
                scanned,
                watched,
                is_first_scan,
                by_filters: true,
            }),
            ..self.position
        });
        self.save()
    }

    fn at_tip(&mut self) -> BitcoinResult<bool> {
        let watched = self.watched_by_use();
        let has_moved = watched > self.position.watched;
        #[cfg(feature = "planted")]
        let has_moved = has_moved && !crate::planted::is(crate::planted::Planted::ReadsOnce);
        self.set_position(if has_moved {
            // What came into the window late may have been paid early.
            Position {
                scanned: None,
                watched,
                ..self.position
            }
        } else {
            Position {
                is_first_scan: false,
                ..self.position
            }
        });
        self.save()?;
        Ok(has_moved)
    }

    fn progress(&mut self, done: u32, total: u32) {
        if let Some(told) = &mut self.on_progress {
            told(done, total);
        }
    }
}

impl Ledger {
    /// Says that blocks from this height on are to be read again.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn read_again_from(&mut self, height: u32) -> BitcoinResult<()> {
        let below = |block: &BlockRef| block.height < height && block.height >= self.birthday;
        let scanned = self.blocks.descending().find(below);
        self.set_position(Position {
            scanned,
            ..self.position
        });
        self.save()
    }

    /// Says that blocks above this one were examined with too few scripts.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn rewind_to(&mut self, block: Option<BlockRef>) -> BitcoinResult<()> {
        let known = self.blocks.descending();
        let known = known.filter(|it| block.is_some_and(|block| it.height <= block.height));
        let scanned = known.max_by_key(|it| it.height);
        self.set_position(Position {
            scanned: scanned.filter(|it| it.height >= self.birthday),
            ..self.position
        });
        self.save()
    }

    fn connect(&mut self, height: u32, block: &Block) -> BitcoinResult<()> {
        if height < self.birthday {
            return Ok(());
        }
        let here = BlockRef {
            height,
            hash: block.block_hash(),
        };
        let anchor = ConfirmationBlockTime {
            block_id: BlockId {
                height,
                hash: here.hash,
            },
            confirmation_time: u64::from(block.header.time),
        };
        for transaction in &block.txdata {
            if !self.concerns(transaction) {
                continue;
            }
            self.insert_block(here, true)?;
            let txid = self.insert(&Arc::new(transaction.clone()));
            let changes = self.graph.insert_anchor(txid, anchor);
            self.stage(changes);
        }
        Ok(())
    }

    fn refresh(&mut self, arrived: Vec<(Transaction, u64)>, gone: &[Txid], kept: &[Txid]) {
        for (transaction, seen_secs) in arrived {
            if !transaction.is_coinbase() {
                self.insert_seen(&Arc::new(transaction), seen_secs);
            }
        }
        let now = now_secs();
        for txid in kept {
            let node = self.graph.graph().get_tx_node(*txid);
            let last_seen = node.and_then(|node| node.last_seen);
            let evicted = self.graph.graph().get_last_evicted(*txid);
            if last_seen.is_some() && evicted >= last_seen {
                self.mark_seen(*txid, now);
            }
        }
        for txid in gone {
            self.mark_gone(*txid, now);
        }
    }

    /// Takes over the findings of a source that keeps histories by script.
    fn update(&mut self, update: FullScanResponse<Keychain>) -> BitcoinResult<()> {
        let changes = self
            .graph
            .index
            .reveal_to_target_multi(&update.last_active_indices);
        self.stage(changes.into());
        let mut tx_update = update.tx_update;
        let graph = self.graph.graph();
        // Of two events in one second, the one that the source tells of now is the later one.
        let seen = tx_update.seen_ats.iter().map(|(txid, at)| {
            let evicted = graph.get_last_evicted(*txid);
            (*txid, evicted.map_or(*at, |it| (*at).max(it + 1)))
        });
        let seen: HashSet<_> = seen.collect();
        let evicted = tx_update.evicted_ats.iter().map(|(txid, at)| {
            let node = graph.get_tx_node(*txid);
            let last_seen = node.and_then(|node| node.last_seen);
            (*txid, last_seen.map_or(*at, |it| (*at).max(it)))
        });
        tx_update.evicted_ats = evicted.collect();
        let present = seen.iter().map(|(txid, _)| *txid).collect();
        tx_update.seen_ats = seen;
        let transactions = tx_update.txs.clone();
        let relevant: BTreeSet<_> = tx_update
            .anchors
            .iter()
            .map(|(anchor, _)| anchor.block_id.height)
            .collect();
        let changes = self.graph.apply_update(tx_update);
        self.stage(changes);
        for transaction in &transactions {
            self.note_foreign(transaction);
        }
        self.watch_new();
        if let Some(chain) = update.chain_update {
            let (changes, dropped) = self.blocks.update(chain, &relevant).map_err(|cause| {
                let message = "the source's chain has no block in common with the wallet's; check \
                               that it is on the wallet's network";
                BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
                    .with_source(cause)
            })?;
            self.stage_chain(changes);
            if let Some(dropped) = dropped {
                self.note_undone(dropped.saturating_sub(1));
                self.give_up_above(dropped.saturating_sub(1), &present);
                let is_left = |block: &BlockRef| block.height < dropped;
                let fork = self.blocks.descending().find(is_left);
                if let Some(fork) = fork {
                    self.lower_position(fork);
                }
            }
            // Histories by script are complete: there is nothing to look for again, as far as the
            // server is believed. Blocks are read from where they were read last.
            let in_blocks = self.position.in_blocks.unwrap_or(InBlocks {
                scanned: self.position.scanned,
                watched: self.position.watched,
                is_first_scan: self.position.is_first_scan,
                by_filters: false,
            });
            let in_blocks = InBlocks {
                by_filters: false,
                ..in_blocks
            };
            self.set_position(Position {
                scanned: Some(self.blocks.tip()),
                watched: self.watched_by_use(),
                is_first_scan: false,
                in_blocks: Some(in_blocks),
                ..self.position
            });
        }
        Ok(())
    }

    pub(super) fn insert_block(&mut self, block: BlockRef, is_relevant: bool) -> BitcoinResult<()> {
        let is_other = |known: BlockHash| known != block.hash;
        if block.height > self.read_up_to && self.blocks.at(block.height).is_some_and(is_other) {
            // Blocks are read again, and the chain has moved since they were read first.
            let fork = block.height.saturating_sub(1);
            let changes = self.blocks.truncate(fork);
            self.stage_chain(changes);
            self.give_up_above(fork, &HashSet::new());
            self.note_undone(fork);
        }
        self.read_up_to = self.read_up_to.max(block.height);
        let changes = self.blocks.insert(block, is_relevant).map_err(|cause| {
            let message = "the source mixes two chains; ask again, or ask another source";
            BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
                .with_source(cause)
        })?;
        self.stage_chain(changes);
        Ok(())
    }
}
