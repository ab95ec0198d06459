//! How the books undo blocks, and what a server has told.

use std::collections::HashSet;

use bitcoin::Txid;
use btc_iface::{BitcoinResult, BlockRef};

use super::{Ledger, now_secs};
use crate::wallet::store::{InBlocks, Position};

impl Ledger {
    /// Undoes everything above the fork. Its transactions count again when they turn up in a
    /// block or in the mempool, and not before.
    pub(super) fn disconnect(&mut self, fork: BlockRef) -> BitcoinResult<()> {
        self.note_undone(fork.height);
        self.read_up_to = self.read_up_to.min(fork.height);
        let changes = self.blocks.truncate(fork.height);
        self.stage_chain(changes);
        self.give_up_above(fork.height, &HashSet::new());
        self.insert_block(fork, false)?;
        #[cfg(feature = "planted")]
        self.keep_undone(fork);
        self.lower_position(fork);
        Ok(())
    }

    /// Counts what was above the fork as if it were in it.
    #[cfg(feature = "planted")]
    fn keep_undone(&mut self, fork: BlockRef) {
        if !crate::planted::is(crate::planted::Planted::KeepsUndone) {
            return;
        }
        let anchor = bdk_chain::ConfirmationBlockTime {
            block_id: bdk_chain::BlockId {
                height: fork.height,
                hash: fork.hash,
            },
            confirmation_time: 0,
        };
        let confirmed = self.graph.graph().txids_by_descending_anchor_height();
        let above = confirmed.take_while(|(height, _)| *height > fork.height);
        for txid in above.map(|(_, txid)| txid).collect::<Vec<_>>() {
            let changes = self.graph.insert_anchor(txid, anchor);
            self.stage(changes);
        }
    }

    /// Undoes what a server has told above this block, or above the genesis block.
    pub(super) fn doubt_all_above(&mut self, read: Option<BlockRef>) -> BitcoinResult<()> {
        let genesis = self.blocks.descending().last();
        if let Some(fork) = read.or(genesis) {
            self.disconnect(fork)?;
        }
        // What the server alone has seen comes back when it is seen again.
        let unconfirmed: Vec<_> = self.view().unconfirmed().collect();
        for txid in unconfirmed {
            if !self.spends_own(txid) {
                self.mark_gone(txid, now_secs());
            }
        }
        Ok(())
    }

    /// Whether the transaction spends a coin of the wallet's.
    fn spends_own(&self, txid: Txid) -> bool {
        self.graph.graph().get_tx(txid).is_some_and(|transaction| {
            let mut inputs = transaction.input.iter();
            inputs.any(|input| self.graph.index.txout(input.previous_output).is_some())
        })
    }

    /// Remembers, on disk with what is undone, that payments settled above this height are open.
    pub(super) fn note_undone(&mut self, height: u32) {
        let undone_to = self.position.undone_to;
        self.set_position(Position {
            undone_to: Some(undone_to.map_or(height, |it| it.min(height))),
            ..self.position
        });
    }

    /// What was examined above the fork was examined in vain.
    pub(super) fn lower_position(&mut self, fork: BlockRef) {
        let birthday = self.birthday;
        let lower = |scanned: Option<BlockRef>| match scanned {
            Some(scanned) if scanned.height > fork.height => {
                (fork.height >= birthday).then_some(fork)
            }
            scanned => scanned,
        };
        let Position { scanned, .. } = self.position;
        let in_blocks = self.position.in_blocks.map(|read| InBlocks {
            scanned: lower(read.scanned),
            ..read
        });
        self.set_position(Position {
            scanned: lower(scanned),
            in_blocks,
            ..self.position
        });
    }

    /// No longer counts transactions whose blocks above this height are gone, but those `present`
    /// in the mempool.
    pub(super) fn give_up_above(&mut self, height: u32, present: &HashSet<Txid>) {
        let above: Vec<_> = self
            .graph
            .graph()
            .txids_by_descending_anchor_height()
            .take_while(|(confirmed, _)| *confirmed > height)
            .map(|(_, txid)| txid)
            .filter(|txid| !present.contains(txid))
            .collect();
        let now = now_secs();
        for txid in above {
            self.mark_gone(txid, now);
        }
    }
}
