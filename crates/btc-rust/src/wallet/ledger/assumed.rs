//! Own payments that count although no mempool was seen, and what becomes of those whose row is
//! deleted.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use btc_iface::{BitcoinResult, PaymentState};

use super::{Ledger, now_secs};
use crate::wallet::reservations::PaymentRow;
use crate::wallet::store::Store;

/// The assumed payments, as they are in the file. An older version passes over the table.
pub(super) fn load(store: &mut Store) -> BitcoinResult<BTreeSet<Txid>> {
    let read = |store: &mut Store| {
        let connection = store.connection();
        let sql = "CREATE TABLE IF NOT EXISTS assumed (txid TEXT PRIMARY KEY NOT NULL) STRICT";
        connection.execute_batch(sql)?;
        let mut statement = connection.prepare("SELECT txid FROM assumed")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    };
    let texts = read(store).map_err(|cause| store.failure(cause))?;
    let txids = texts.iter().map(|text| text.parse::<Txid>());
    txids.collect::<Result<_, _>>().map_err(|cause| {
        store
            .damaged("an assumed payment is no txid")
            .with_source(cause)
    })
}

impl Ledger {
    /// Counts the open payments that a source without a mempool cannot tell anything about.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn assume_in_mempool(&mut self, now_secs: u64) -> BitcoinResult<()> {
        let view = self.view();
        let mut assumed = Vec::new();
        for (txid, payment) in self.payments() {
            let Some(standing) = view.standing(*txid) else {
                continue;
            };
            let replaced_by = standing.replaced_by.and_then(|it| self.payments().get(&it));
            let is_replaced = replaced_by.is_some_and(|it| it.row.is_accepted);
            // Without word from a node, it has not displaced what it was to replace.
            let is_unclear = !payment.row.is_accepted && !payment.row.replaces.is_empty();
            if standing.state == PaymentState::Missing && !is_replaced && !is_unclear {
                assumed.push(*txid);
            }
        }
        for txid in assumed {
            // On disk before it counts: it must not count for ever when its row is deleted.
            if !self.assumed.contains(&txid) {
                self.write_assumed("INSERT OR IGNORE INTO assumed (txid) VALUES (?1)", txid)?;
                self.assumed.insert(txid);
            }
            self.mark_seen(txid, now_secs);
        }
        self.save()
    }

    /// Does not count payments any more that have no row and are in no block: they were refused, by
    /// whichever node either side asked. Those that are settled have none here either.
    pub(super) fn forget_deleted(
        &mut self,
        rows: &BTreeMap<Txid, PaymentRow>,
    ) -> BitcoinResult<()> {
        let known = self.payments.keys().chain(&self.assumed);
        let deleted: BTreeSet<Txid> = known
            .filter(|txid| !rows.contains_key(*txid))
            .copied()
            .collect();
        if deleted.is_empty() {
            return Ok(());
        }
        for txid in &deleted {
            let known = self.transaction(*txid);
            if known.is_some_and(|it| it.is_counted && it.block.is_none()) {
                self.mark_gone(*txid, now_secs());
            }
        }
        self.save()?;
        for txid in deleted {
            if self.assumed.contains(&txid) {
                self.write_assumed("DELETE FROM assumed WHERE txid = ?1", txid)?;
                self.assumed.remove(&txid);
            }
        }
        Ok(())
    }

    fn write_assumed(&mut self, sql: &str, txid: Txid) -> BitcoinResult<()> {
        let written = self.store.connection().execute(sql, [txid.to_string()]);
        written.map(drop).map_err(|cause| self.store.failure(cause))
    }
}
