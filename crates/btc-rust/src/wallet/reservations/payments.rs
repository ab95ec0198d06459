//! The rows of own payments: what was handed to a node, kept until the chain says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::encode;
use bitcoin::{ScriptBuf, Transaction, Txid, Witness};
use btc_iface::BitcoinResult;
use rusqlite::{Connection, OptionalExtension};

use super::{Booking, clamped, failed, parsed, unreadable};

/// An open payment, without its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// The transaction.
    pub txid: Txid,
    /// Its token.
    pub token: Txid,
    /// When it was handed over first, in milliseconds of Unix time.
    pub handed_over_ms: u64,
    /// Whether a node has taken it.
    pub is_accepted: bool,
    /// When it is sent again if it is missing.
    pub next_broadcast_ms: u64,
    /// When a user gave it up, if one did.
    pub abandoned_ms: Option<u64>,
    /// The payments that it may replace.
    pub replaces: BTreeSet<Txid>,
}

/// The token of a transaction: its txid without the scripts of its inputs, the same before and
/// after it is signed.
pub fn token(transaction: &Transaction) -> Txid {
    let mut bare = transaction.clone();
    for input in &mut bare.input {
        input.script_sig = ScriptBuf::new();
        input.witness = Witness::new();
    }
    bare.compute_txid()
}

impl Booking<'_> {
    /// The payments that are not settled, by txid, and those that were settled above this height.
    pub fn payments(&self, above: i64) -> BitcoinResult<BTreeMap<Txid, PaymentRow>> {
        open_payments(&self.session.connection, above).map_err(|cause| failed(self.path, cause))
    }

    /// The transaction of a payment; none if there is no such payment.
    pub fn payment_transaction(&self, txid: Txid) -> BitcoinResult<Option<Transaction>> {
        payment_transaction(&self.session.connection, txid)
            .map_err(|cause| failed(self.path, cause))
    }

    /// Writes down that the transaction with this token may replace these payments.
    pub fn allow_replacement(&self, token: Txid, replaced: &[Txid]) -> BitcoinResult<()> {
        for txid in replaced {
            self.write(
                "INSERT OR IGNORE INTO replaces (token, txid) VALUES (?1, ?2)",
                (token.to_string(), txid.to_string()),
            )?;
        }
        Ok(())
    }

    /// Takes that back, unless the transaction was handed over.
    pub fn disallow_replacement(&self, token: Txid, replaced: &[Txid]) -> BitcoinResult<()> {
        for txid in replaced {
            self.write(
                "DELETE FROM replaces WHERE token = ?1 AND txid = ?2
                     AND NOT EXISTS (SELECT 1 FROM payments WHERE token = ?1)",
                (token.to_string(), txid.to_string()),
            )?;
        }
        Ok(())
    }

    /// The payments that the transaction with this token may replace.
    pub fn replaces(&self, token: Txid) -> BitcoinResult<BTreeSet<Txid>> {
        let read = || {
            let sql = "SELECT txid FROM replaces WHERE token = ?1";
            let mut statement = self.session.connection.prepare_cached(sql)?;
            let rows = statement.query_map([token.to_string()], |row| parsed(row, 0))?;
            rows.collect::<rusqlite::Result<BTreeSet<Txid>>>()
        };
        read().map_err(|cause| failed(self.path, cause))
    }

    /// Adds a payment that is about to be handed over. What was reserved for it is the payment's
    /// from here on.
    pub fn add_payment(
        &self,
        transaction: &Transaction,
        next_broadcast_ms: u64,
    ) -> BitcoinResult<()> {
        let token = token(transaction).to_string();
        self.write(
            "INSERT INTO payments
                 (txid, token, raw, handed_over_ms, outcome, next_broadcast_ms)
             VALUES (?1, ?2, ?3, ?4, 'unknown', ?5)",
            (
                transaction.compute_txid().to_string(),
                &token,
                encode::serialize(transaction),
                clamped(self.now_ms()),
                clamped(next_broadcast_ms),
            ),
        )?;
        self.clear(&token)?;
        Ok(())
    }

    /// Whether this was ever handed over, settled or not.
    pub fn has_payment(&self, txid: Txid) -> BitcoinResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM payments WHERE txid = ?1)";
        self.session
            .connection
            .query_row(sql, [txid.to_string()], |row| row.get(0))
            .map_err(|cause| failed(self.path, cause))
    }

    /// Whether the transaction with this token was ever handed over, settled or not.
    pub fn is_handed_over(&self, token: Txid) -> BitcoinResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM payments WHERE token = ?1)";
        self.session
            .connection
            .query_row(sql, [token.to_string()], |row| row.get(0))
            .map_err(|cause| failed(self.path, cause))
    }

    /// Forgets a payment that was refused at its first handing over; false where another caller has
    /// handed it over since that call wrote `next_broadcast_ms`, or a node has taken it.
    pub fn delete_payment(
        &self,
        txid: Txid,
        token: Txid,
        next_broadcast_ms: u64,
    ) -> BitcoinResult<bool> {
        let deleted = self.write(
            "DELETE FROM payments
             WHERE txid = ?1 AND outcome = 'unknown' AND next_broadcast_ms = ?2",
            (txid.to_string(), clamped(next_broadcast_ms)),
        )?;
        if deleted > 0 {
            self.write("DELETE FROM replaces WHERE token = ?1", [token.to_string()])?;
        }
        Ok(deleted > 0)
    }

    /// Remembers that a node has taken a payment, and that it is not given up; false if there is
    /// none.
    pub fn set_accepted(&self, txid: Txid) -> BitcoinResult<bool> {
        let sql = "UPDATE payments SET outcome = 'accepted', abandoned_ms = NULL WHERE txid = ?1";
        Ok(self.write(sql, [txid.to_string()])? > 0)
    }

    /// Whether a payment is there that is neither given up nor settled at this height or below.
    pub fn is_to_send(&self, txid: Txid, settled_below: i64) -> BitcoinResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM payments WHERE txid = ?1 AND abandoned_ms IS NULL
                       AND (settled_height IS NULL OR settled_height > ?2))";
        self.session
            .connection
            .query_row(sql, (txid.to_string(), settled_below), |row| row.get(0))
            .map_err(|cause| failed(self.path, cause))
    }

    /// Sets when a payment is sent again if it is missing.
    pub fn set_next_broadcast(&self, txid: Txid, at_ms: u64) -> BitcoinResult<()> {
        self.write(
            "UPDATE payments SET next_broadcast_ms = ?2 WHERE txid = ?1",
            (txid.to_string(), clamped(at_ms)),
        )?;
        Ok(())
    }

    /// Gives a payment up, or takes that back.
    pub fn set_abandoned(&self, txid: Txid, at_ms: Option<u64>) -> BitcoinResult<()> {
        self.write(
            "UPDATE payments SET abandoned_ms = ?2 WHERE txid = ?1",
            (txid.to_string(), at_ms.map(clamped)),
        )?;
        Ok(())
    }

    /// Gives a payment up again that a handing over took up, which was refused; false where another
    /// caller has handed it over since that call wrote `next_broadcast_ms`.
    pub fn give_up_again(
        &self,
        txid: Txid,
        at_ms: u64,
        next_broadcast_ms: u64,
    ) -> BitcoinResult<bool> {
        let changed = self.write(
            "UPDATE payments SET abandoned_ms = ?2 WHERE txid = ?1 AND next_broadcast_ms = ?3",
            (txid.to_string(), clamped(at_ms), clamped(next_broadcast_ms)),
        )?;
        Ok(changed > 0)
    }

    /// Takes back that these payments may replace this one, which replaces them.
    pub fn forget_reverse<'t>(
        &self,
        txid: Txid,
        replaced: impl IntoIterator<Item = &'t Txid>,
    ) -> BitcoinResult<()> {
        for other in replaced {
            self.write(
                "DELETE FROM replaces WHERE txid = ?1 AND token IN
                     (SELECT token FROM payments WHERE txid = ?2)",
                (txid.to_string(), other.to_string()),
            )?;
        }
        Ok(())
    }

    /// Closes a payment that was decided in the block at this height.
    pub fn settle(&self, txid: Txid, height: u32) -> BitcoinResult<()> {
        self.write(
            "UPDATE payments SET settled_height = ?2 WHERE txid = ?1",
            (txid.to_string(), height),
        )?;
        Ok(())
    }

    /// Opens payments again that were decided above this height; returns how many.
    pub fn unsettle_above(&self, height: u32) -> BitcoinResult<usize> {
        self.write(
            "UPDATE payments SET settled_height = NULL WHERE settled_height > ?1",
            [height],
        )
    }
}

pub(super) fn open_payments(
    connection: &Connection,
    above: i64,
) -> rusqlite::Result<BTreeMap<Txid, PaymentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT txid, token, handed_over_ms, outcome, next_broadcast_ms, abandoned_ms
         FROM payments WHERE settled_height IS NULL OR settled_height > ?1",
    )?;
    let rows = statement.query_map([above], |row| {
        let outcome: String = row.get(3)?;
        let is_accepted = match outcome.as_str() {
            "accepted" => true,
            "unknown" => false,
            other => return Err(unreadable(3, format!("unknown outcome `{other}`"))),
        };
        Ok(PaymentRow {
            txid: parsed(row, 0)?,
            token: parsed(row, 1)?,
            handed_over_ms: row.get(2)?,
            is_accepted,
            next_broadcast_ms: row.get(4)?,
            abandoned_ms: row.get(5)?,
            replaces: BTreeSet::new(),
        })
    })?;
    let mut open: BTreeMap<Txid, PaymentRow> = BTreeMap::new();
    for row in rows {
        let row = row?;
        open.insert(row.txid, row);
    }
    drop(statement);
    let mut statement = connection.prepare_cached(
        "SELECT payments.txid, replaces.txid FROM replaces
         JOIN payments ON payments.token = replaces.token
         WHERE payments.settled_height IS NULL OR payments.settled_height > ?1",
    )?;
    let pairs = statement.query_map([above], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
    for pair in pairs {
        let (txid, replaced): (Txid, Txid) = pair?;
        if let Some(row) = open.get_mut(&txid) {
            row.replaces.insert(replaced);
        }
    }
    Ok(open)
}

pub(super) fn payment_transaction(
    connection: &Connection,
    txid: Txid,
) -> rusqlite::Result<Option<Transaction>> {
    let raw: Option<Vec<u8>> = connection
        .prepare_cached("SELECT raw FROM payments WHERE txid = ?1")?
        .query_row([txid.to_string()], |row| row.get(0))
        .optional()?;
    let Some(raw) = raw else { return Ok(None) };
    let transaction: Transaction =
        encode::deserialize(&raw).map_err(|cause| unreadable(0, cause.to_string()))?;
    if transaction.compute_txid() != txid {
        return Err(unreadable(0, "the transaction is another one".to_owned()));
    }
    Ok(Some(transaction))
}
