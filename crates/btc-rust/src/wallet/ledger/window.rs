//! The window: which scripts are watched, and what of the known transactions they turn out to own.

use bdk_chain::{Indexer as _, Merge as _};
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use btc_iface::{BitcoinResult, Chain};

use super::Ledger;
use crate::wallet::keys::Keychain;
use crate::wallet::reservations::{ChangeReach, INDEX_END};

/// How far beyond the window change is looked for at the most: as far as a restored wallet looks.
const MAX_AHEAD: u32 = 1_000;

/// The first index of a chain of keys that is not watched: in whole steps of the gap limit, at
/// least a gap limit beyond the highest used index, and at least `next` (`docs/wallet.md`).
fn window_end(gap_limit: u32, highest_used: Option<u32>, next: u32) -> u32 {
    let gap = u64::from(gap_limit.max(1));
    let first_unused = highest_used.map_or(0, |used| u64::from(used) + 1);
    let by_use = gap * (2 + first_unused / gap);
    let by_promise = gap * u64::from(next).div_ceil(gap);
    let end = by_use.max(by_promise).min(u64::from(INDEX_END));
    u32::try_from(end).unwrap_or(INDEX_END)
}

impl Ledger {
    /// One more than the highest index of this chain that was given out, as far as the books know.
    pub fn promised(&self, keychain: Keychain) -> u32 {
        self.promised.get(&keychain).copied().unwrap_or(0)
    }

    /// Says that the indices below `next` were given out, so that they are watched. What pays an
    /// address cannot have been mined before the address was given out, so nothing is read again.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn set_next(&mut self, keychain: Keychain, next: u32) -> BitcoinResult<()> {
        if next <= self.promised(keychain) {
            return Ok(());
        }
        self.promised.insert(keychain, next);
        self.is_position_staged = true;
        self.watch_new();
        self.save()
    }

    /// How many scripts are watched because of what was used, whatever was given out: blocks that
    /// were read with fewer are read again. A script that a promise has brought in early is not
    /// among them until it would be there anyway.
    pub(super) fn watched_by_use(&self) -> u64 {
        let index = &self.graph.index;
        let ends = index.keychains().map(|(keychain, _)| {
            let used = index.last_used_index(keychain);
            u64::from(window_end(self.gap_limit, used, 0))
        });
        ends.sum()
    }

    /// Watches what is new in the window. Outputs of known transactions may turn out to be ours,
    /// which can move the window again.
    pub(super) fn watch_new(&mut self) {
        loop {
            self.reveal();
            let before = self.watched.len();
            let keychains: Vec<_> = self.graph.index.keychains().map(|(it, _)| it).collect();
            for keychain in keychains {
                let from = self.watched_of.get(&keychain).copied().unwrap_or(0);
                let new =
                    (from..).map_while(|index| self.graph.index.spk_at_index(keychain, index));
                let old = self.watched.len();
                self.watched.extend(new);
                let count = u32::try_from(self.watched.len() - old).unwrap_or(u32::MAX);
                self.watched_of.insert(keychain, from.saturating_add(count));
            }
            if self.watched.len() == before {
                return;
            }
            let found: Vec<_> = self.watched[before..]
                .iter()
                .filter_map(|script| self.foreign.remove(script))
                .flatten()
                .collect();
            for txid in found {
                if let Some(transaction) = self.graph.graph().get_tx(txid) {
                    let changes = self.graph.index.index_tx(&transaction);
                    self.stage(changes.into());
                }
            }
        }
    }

    /// Derives the scripts up to the window's end.
    fn reveal(&mut self) {
        let keychains: Vec<_> = self.graph.index.keychains().map(|(it, _)| it).collect();
        for keychain in keychains {
            let used = self.graph.index.last_used_index(keychain);
            let end = window_end(self.gap_limit, used, self.promised(keychain));
            if self.graph.index.last_revealed_index(keychain) < end.checked_sub(1)
                && let Some((_, changes)) = self.graph.index.reveal_to_target(keychain, end - 1)
            {
                self.staged.index.merge(changes);
            }
        }
    }

    /// Where these scripts are in the wallet, those that are: watched ones, and change up to the
    /// highest index that was ever reserved and one beyond.
    pub fn places_of(&self, scripts: &[ScriptBuf], reach: &ChangeReach) -> Vec<(Keychain, u32)> {
        let known = scripts.iter().filter_map(|script| self.index_of(script));
        let mut places: Vec<_> = known.collect();
        if places.len() < scripts.len() {
            places.extend(self.change_ahead(scripts, reach, 1));
        }
        places
    }

    /// Derives as far as this own payment's change, so that it is found although more change was
    /// reserved meanwhile than the window holds.
    pub(super) fn reveal_change(&mut self, payment: &Transaction, reach: &ChangeReach) {
        let outputs = payment.output.iter();
        let unknown: Vec<ScriptBuf> = outputs
            .map(|output| output.script_pubkey.clone())
            .filter(|script| self.index_of(script).is_none())
            .collect();
        for (keychain, index) in self.change_ahead(&unknown, reach, 0) {
            if let Some((_, changes)) = self.graph.index.reveal_to_target(keychain, index) {
                self.staged.index.merge(changes);
            }
        }
    }

    /// Which of these scripts are change beyond the window, up to `beyond` indices after the highest
    /// that was ever reserved. Derives nothing where none was reserved beyond the window.
    fn change_ahead(
        &self,
        scripts: &[ScriptBuf],
        reach: &ChangeReach,
        beyond: u32,
    ) -> Vec<(Keychain, u32)> {
        let mut found = Vec::new();
        for (address_type, highest) in reach {
            let keychain = (*address_type, Chain::Change);
            let Some(descriptor) = self.graph.index.get_descriptor(keychain) else {
                continue;
            };
            let first = self.watched_of.get(&keychain).copied().unwrap_or(0);
            let end = highest.saturating_add(1 + beyond).min(INDEX_END);
            for index in first..end.min(first.saturating_add(MAX_AHEAD)) {
                if let Ok(definite) = descriptor.at_derivation_index(index)
                    && scripts.contains(&definite.script_pubkey())
                {
                    found.push((keychain, index));
                }
            }
        }
        found
    }

    pub(super) fn note_foreign(&mut self, transaction: &Transaction) {
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            // Not by script: one that came into the window with this transaction was not looked
            // for in the outputs before.
            if self.graph.index.txout(OutPoint { txid, vout }).is_none() {
                let script: ScriptBuf = output.script_pubkey.clone();
                self.foreign.entry(script).or_default().push(txid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_in_steps_and_looks_a_gap_ahead() {
        assert_eq!(window_end(20, None, 0), 40);
        assert_eq!(window_end(20, Some(18), 0), 40);
        assert_eq!(window_end(20, Some(19), 0), 60);
        assert_eq!(window_end(20, Some(39), 0), 80);
        assert_eq!(window_end(20, None, 40), 40);
        assert_eq!(window_end(20, None, 41), 60);
        assert_eq!(window_end(1_000, Some(998), 1_999), 2_000);
        assert_eq!(window_end(0, None, 0), 2);
        assert_eq!(window_end(20, Some(INDEX_END - 1), 0), INDEX_END);
        for gap in [1, 2, 5, 20, 1_000] {
            for used in 0..3_000 {
                let end = window_end(gap, Some(used), 0);
                assert!(
                    end > used + gap && end <= used + 1 + 2 * gap,
                    "{gap} {used}"
                );
            }
        }
    }
}
