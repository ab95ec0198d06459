//! Intents: each payment that was asked for is on disk before it is sent, and happens once.
//!
//! An intent is named by the caller's key. It is `prepared` before LDK hears of it and `sent` after;
//! only an event closes it as `succeeded` or `failed`, and only a failed one may be sent again.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::Txid;
use btc_iface::lightning::{
    Direction, FailureReason, LightningErrorKind as Kind, LightningResult, Msat, Payment,
    PaymentHash, PaymentId, PaymentKind, PaymentStatus, Preimage,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::{error, storage};
use crate::store::Store;

/// How far an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// On disk; LDK may or may not have heard of it.
    Prepared,
    /// LDK has taken it.
    Sent,
    Succeeded,
    Failed,
}

impl State {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Prepared, "prepared"),
        (Self::Sent, "sent"),
        (Self::Succeeded, "succeeded"),
        (Self::Failed, "failed"),
    ];

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Prepared | Self::Sent)
    }
}

/// A payment that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) key: String,
    pub(crate) kind: PaymentKind,
    /// The invoice, the offer, the node or the address.
    pub(crate) target: String,
    pub(crate) hash: Option<PaymentHash>,
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) amount: Option<Msat>,
    pub(crate) max_fee: Option<Msat>,
    pub(crate) note: Option<String>,
    pub(crate) state: State,
    pub(crate) reason: Option<FailureReason>,
    pub(crate) attempts: u32,
    pub(crate) fee: Option<Msat>,
    pub(crate) preimage: Option<Preimage>,
    /// The chain's height when it was prepared: what was not sent by then plus the longest deadline
    /// can no longer be under way.
    pub(crate) prepared_height: u32,
    pub(crate) updated_at: u64,
    /// It was, or may have been, handed over more than once under one name: a failure that LDK says
    /// may be that of an earlier time.
    pub(crate) is_repeated: bool,
}

/// What becomes of a wish to pay.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is on disk as prepared: send it.
    Send(Intent),
    /// It was asked for before, and is under way or done.
    Known(Intent),
}

/// The longest key that is kept.
const MAX_KEY_BYTES: usize = 256;

/// A key that can be kept and shown.
pub(crate) fn check_key(key: &str) -> LightningResult<()> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        let message = "a key takes 1 to 256 bytes, without control characters";
        return Err(error(Kind::Malformed, message));
    }
    Ok(())
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Writes the intent down, unless its key or its hash is taken by one that is under way or done.
/// The writing thread decides, so that of two calls at once one sends.
pub(crate) fn prepare(store: &Store, wish: Intent) -> LightningResult<Decision> {
    check_key(&wish.key)?;
    let decided = store.write(move |connection| {
        if let Some(found) = by_key(connection, &wish.key)? {
            let is_same = found.kind == wish.kind
                && found.target == wish.target
                && (found.amount == wish.amount || found.state == State::Failed);
            if !is_same {
                return Ok(Err("the key was used for another payment; take a new one"));
            }
            if found.state != State::Failed {
                return Ok(Ok(Decision::Known(found)));
            }
        }
        if let Some(hash) = wish.hash
            && is_taken(connection, &wish.key, hash)?
        {
            return Ok(Err(TAKEN));
        }
        let sql = "INSERT INTO intents (key, kind, target, hash, payment_id, amount_msat, max_fee_msat, note, \
                   state, attempts, prepared_height, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'prepared', 1, ?9, ?10, ?10) \
                   ON CONFLICT (key) DO UPDATE SET state = 'prepared', attempts = attempts + 1, reason = NULL, \
                   hash = excluded.hash, payment_id = excluded.payment_id, is_repeated = 1, \
                   amount_msat = excluded.amount_msat, \
                   max_fee_msat = excluded.max_fee_msat, note = excluded.note, \
                   prepared_height = excluded.prepared_height, updated_at = excluded.updated_at";
        // A failed intent of another key may hold the payment's name.
        if let Some(id) = wish.payment_id {
            let sql = "UPDATE intents SET payment_id = NULL WHERE payment_id = ?1 AND key <> ?2";
            connection.execute(sql, params![id.to_string(), wish.key])?;
        }
        connection.prepare_cached(sql)?.execute(params![
            wish.key,
            wish.kind.as_str(),
            wish.target,
            wish.hash.map(|hash| hash.to_string()),
            wish.payment_id.map(|id| id.to_string()),
            wish.amount.map(signed),
            wish.max_fee.map(signed),
            wish.note,
            wish.prepared_height,
            signed(Msat::new(now())),
        ])?;
        let written = by_key(connection, &wish.key)?;
        Ok(Ok(Decision::Send(
            written.expect("it was written in this change"),
        )))
    });
    decided
        .map_err(storage)?
        .map_err(|message| error(Kind::KeyReused, message))
}

/// What is said of an invoice that another key pays.
pub(crate) const TAKEN: &str = "the invoice is paid, or being paid, under another key";

/// Whether another key pays what has this hash, or has paid it.
pub(crate) fn is_taken(
    connection: &Connection,
    key: &str,
    hash: PaymentHash,
) -> rusqlite::Result<bool> {
    let others = by_hash(connection, hash)?;
    Ok(others
        .iter()
        .any(|other| other.key != key && other.state != State::Failed))
}

/// Takes note that LDK has the payment, without waiting for the disk: what is only prepared is
/// looked into at the next start.
pub(crate) fn sent(store: &Store, key: &str) {
    let key = key.to_owned();
    store.write_later(move |connection| {
        let sql = "UPDATE intents SET state = 'sent' WHERE key = ?1 AND state = 'prepared'";
        connection.prepare_cached(sql)?.execute([key]).map(drop)
    });
}

/// Takes note of the name under which LDK has the payment; when this returns, it is on disk.
pub(crate) fn named(store: &Store, key: &str, id: PaymentId) -> LightningResult<()> {
    let key = key.to_owned();
    let change = store.write(move |connection| {
        // An earlier attempt's name stays known: what LDK has under it is not another payment's.
        let sql = "INSERT OR IGNORE INTO names (payment_id, key) VALUES (?1, ?2)";
        connection.execute(sql, params![id.to_string(), key])?;
        let sql = "UPDATE intents SET state = 'sent', payment_id = ?2 WHERE key = ?1 AND state = 'prepared'";
        connection.execute(sql, params![key, id.to_string()])
    });
    change.map(drop).map_err(storage)
}

/// Takes note of a withdrawal's transaction; when this returns, it is on disk. Its id takes the
/// place of the hash: 32 bytes, too.
pub(crate) fn handed_over(store: &Store, key: &str, txid: PaymentHash) -> LightningResult<()> {
    let key = key.to_owned();
    let change = store.write(move |connection| {
        let sql =
            "UPDATE intents SET state = 'sent', hash = ?2 WHERE key = ?1 AND state = 'prepared'";
        connection.execute(sql, params![key, txid.to_string()])
    });
    change.map(drop).map_err(storage)
}

/// Keeps a withdrawal's bytes, as hex, to send them again.
pub(crate) fn keep_raw(connection: &Connection, txid: Txid, raw: &str) -> rusqlite::Result<usize> {
    let sql = "INSERT OR IGNORE INTO withdrawals (txid, raw) VALUES (?1, ?2)";
    connection.execute(sql, params![txid.to_string(), raw])
}

/// The bytes that were kept.
pub(crate) fn raw(connection: &Connection, txid: Txid) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT raw FROM withdrawals WHERE txid = ?1";
    let row = connection.query_row(sql, [txid.to_string()], |row| row.get(0));
    row.optional()
}

/// Takes note that a payment is handed over once more under the same name, before it is.
pub(crate) fn repeated(store: &Store, key: &str) -> LightningResult<()> {
    let key = key.to_owned();
    let change = store.write(move |connection| {
        let sql = "UPDATE intents SET is_repeated = 1 WHERE key = ?1 AND is_repeated = 0";
        connection.execute(sql, [key])
    });
    change.map(drop).map_err(storage)
}

/// All names that LDK has chosen for payments of ours, of earlier attempts, too.
pub(crate) fn names(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut query = connection.prepare_cached("SELECT payment_id FROM names")?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// Closes an open intent as failed; when this returns, it is on disk.
pub(crate) fn failed(store: &Store, key: &str, reason: FailureReason) -> LightningResult<()> {
    let key = key.to_owned();
    let change = store.write(move |connection| close_failed(connection, &key, reason));
    change.map(drop).map_err(storage)
}

/// Closes an open intent as failed, inside a change.
pub(crate) fn close_failed(
    connection: &Connection,
    key: &str,
    reason: FailureReason,
) -> rusqlite::Result<usize> {
    let sql = "UPDATE intents SET state = 'failed', reason = ?2, updated_at = ?3 \
               WHERE key = ?1 AND state IN ('prepared', 'sent')";
    let at = signed(Msat::new(now()));
    connection
        .prepare_cached(sql)?
        .execute(params![key, reason_name(reason), at])
}

/// Closes an intent as succeeded, inside a change. Also one that was given up: the money has moved.
pub(crate) fn close_succeeded(
    connection: &Connection,
    key: &str,
    hash: PaymentHash,
    fee: Option<Msat>,
    preimage: Option<&Preimage>,
) -> rusqlite::Result<usize> {
    let sql = "UPDATE intents SET state = 'succeeded', reason = NULL, hash = ?2, fee_msat = ?3, preimage = ?4, \
               updated_at = ?5 WHERE key = ?1 AND state <> 'succeeded'";
    connection.prepare_cached(sql)?.execute(params![
        key,
        hash.to_string(),
        fee.map(signed),
        preimage.map(Preimage::reveal),
        signed(Msat::new(now())),
    ])
}

/// The intent of that key.
pub(crate) fn by_key(connection: &Connection, key: &str) -> rusqlite::Result<Option<Intent>> {
    let sql = format!("{SELECT} WHERE key = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([key], row)
        .optional()
}

/// The intent that LDK knows by that name.
pub(crate) fn by_payment(
    connection: &Connection,
    id: PaymentId,
) -> rusqlite::Result<Option<Intent>> {
    let sql = format!("{SELECT} WHERE payment_id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id.to_string()], row)
        .optional()
}

/// The intents with that hash.
pub(crate) fn by_hash(connection: &Connection, hash: PaymentHash) -> rusqlite::Result<Vec<Intent>> {
    list(connection, "WHERE hash = ?1", [hash.to_string()])
}

/// All intents, oldest first.
pub(crate) fn all(connection: &Connection) -> rusqlite::Result<Vec<Intent>> {
    list(connection, "ORDER BY created_at, key", [])
}

/// The intents that are neither succeeded nor failed.
pub(crate) fn open(connection: &Connection) -> rusqlite::Result<Vec<Intent>> {
    list(connection, "WHERE state IN ('prepared', 'sent')", [])
}

fn list(
    connection: &Connection,
    rest: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Intent>> {
    let sql = format!("{SELECT} {rest}");
    let mut query = connection.prepare_cached(&sql)?;
    query.query_map(params, row)?.collect()
}

#[rustfmt::skip]
const SELECT: &str = "SELECT key, kind, target, hash, payment_id, amount_msat, max_fee_msat, note, state, reason, \
                      attempts, fee_msat, preimage, prepared_height, updated_at, is_repeated FROM intents";

fn row(row: &Row<'_>) -> rusqlite::Result<Intent> {
    let state: String = row.get(8)?;
    let kind: String = row.get(1)?;
    let reason: Option<String> = row.get(9)?;
    let msat = |index| -> rusqlite::Result<Option<Msat>> {
        let value: Option<i64> = row.get(index)?;
        Ok(value.map(|value| Msat::new(value.unsigned_abs())))
    };
    Ok(Intent {
        key: row.get(0)?,
        kind: PaymentKind::parse(&kind).ok_or(rusqlite::Error::InvalidQuery)?,
        target: row.get(2)?,
        hash: parsed(row, 3)?,
        payment_id: parsed(row, 4)?,
        amount: msat(5)?,
        max_fee: msat(6)?,
        note: row.get(7)?,
        state: State::ALL
            .iter()
            .find(|(_, name)| *name == state)
            .map(|(state, _)| *state)
            .ok_or(rusqlite::Error::InvalidQuery)?,
        reason: reason.map(|name| reason_from(&name)),
        attempts: row.get(10)?,
        fee: msat(11)?,
        preimage: parsed(row, 12)?,
        prepared_height: row.get(13)?,
        updated_at: row.get::<_, i64>(14)?.unsigned_abs(),
        is_repeated: row.get(15)?,
    })
}

fn parsed<T: FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(index)?;
    text.map(|text| text.parse().map_err(|_| rusqlite::Error::InvalidQuery))
        .transpose()
}

/// SQLite's integers have a sign. Amounts are at most 21 million bitcoin, which fits.
fn signed(amount: Msat) -> i64 {
    i64::try_from(amount.get()).unwrap_or(i64::MAX)
}

fn reason_name(reason: FailureReason) -> String {
    serde_json::to_value(reason)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn reason_from(name: &str) -> FailureReason {
    serde_json::from_value(name.into()).unwrap_or(FailureReason::Other)
}

impl Intent {
    /// As the caller sees it.
    pub(crate) fn payment(&self, is_doubtful: bool) -> Payment {
        Payment {
            id: self.payment_id,
            key: Some(self.key.clone()),
            kind: self.kind,
            direction: Direction::Outbound,
            status: match self.state {
                State::Succeeded => PaymentStatus::Succeeded,
                State::Failed => PaymentStatus::Failed,
                State::Prepared | State::Sent if is_doubtful => PaymentStatus::Unknown,
                State::Prepared | State::Sent => PaymentStatus::Pending,
            },
            hash: self.hash,
            preimage: self.preimage.clone(),
            amount_msat: self.amount,
            fee_msat: self.fee,
            reason: self.reason,
            attempts: self.attempts,
            updated_at: self.updated_at,
        }
    }
}
