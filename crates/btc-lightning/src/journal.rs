//! The journal: each event is recorded with a number, and closes its intent in the same commit, before LDK forgets it.

use bitcoin::hashes::{Hash as _, sha256};
use btc_iface::lightning::{EventDetail, LightningEvent, LightningResult, PaymentId, Preimage};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::storage;
use crate::intents::{self, Intent, State};
use crate::store::{Store, StoreError};

/// What LDK says, in a form that tells one event from another.
pub(crate) fn digest(event: &ldk_node::Event) -> String {
    use lightning::util::ser::Writeable as _;

    sha256::Hash::hash(&event.encode()).to_string()
}

/// Whether the last event that was recorded is this one and was not yet given back to LDK: then the
/// process ended between the two. Asked once, for the first event after a start.
///
/// The mark that it was given back is written a moment later and not waited for. Should the process
/// end in that moment, and the next event be the same to the last byte, it is left out; only
/// forwards of equal amount and fee between the same channels can be the same.
pub(crate) fn is_repeated(store: &Store, digest: &str) -> LightningResult<bool> {
    let last = store.read(|connection| {
        let sql = "SELECT digest, is_handled FROM journal ORDER BY number DESC LIMIT 1";
        connection
            .query_row(sql, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
            })
            .optional()
    });
    Ok(last
        .map_err(storage)?
        .is_some_and(|(last, is_handled)| last == digest && !is_handled))
}

/// Records an event; when this returns, it is on disk. None if it was recorded before.
pub(crate) fn record(
    store: &Store,
    digest: String,
    detail: EventDetail,
    preimage: Option<Preimage>,
) -> Result<Option<u64>, StoreError> {
    store.write(move |connection| {
        let mut detail = detail;
        let is_new = close(connection, &mut detail, preimage.as_ref())?;
        if !is_new {
            return Ok(None);
        }
        let text = serde_json::to_string(&detail).expect("an event is plain data");
        let at = i64::try_from(intents::now()).unwrap_or(i64::MAX);
        let sql = "INSERT OR IGNORE INTO journal (at, identity, digest, detail, is_handled) \
                   VALUES (?1, ?2, ?3, ?4, 0)";
        let written = connection.prepare_cached(sql)?.execute(params![
            at,
            identity(&detail),
            digest,
            text
        ])?;
        let number = u64::try_from(connection.last_insert_rowid()).unwrap_or(0);
        Ok((written == 1).then_some(number))
    })
}

/// Takes note that LDK has forgotten the events up to now.
pub(crate) fn handled(store: &Store) {
    store.write_later(|connection| {
        let sql = "UPDATE journal SET is_handled = 1 WHERE is_handled = 0";
        connection.prepare_cached(sql)?.execute([]).map(drop)
    });
}

/// Closes the intent of a payment that ended, and names its key; false if it was closed before.
fn close(
    connection: &Connection,
    detail: &mut EventDetail,
    preimage: Option<&Preimage>,
) -> rusqlite::Result<bool> {
    match detail {
        EventDetail::PaymentSent {
            id,
            hash,
            key,
            fee_msat,
        } => {
            let Some(intent) = intents::by_payment(connection, *id)? else {
                return Ok(true);
            };
            key.replace(intent.key.clone());
            let closed =
                intents::close_succeeded(connection, &intent.key, *hash, *fee_msat, preimage)?;
            Ok(closed == 1)
        }
        EventDetail::PaymentFailed {
            id, key, reason, ..
        } => {
            let Some(intent) = intents::by_payment(connection, *id)? else {
                return Ok(true);
            };
            key.replace(intent.key.clone());
            if !intent.state.is_open() {
                return Ok(false);
            }
            Ok(intents::close_failed(connection, &intent.key, *reason)? == 1)
        }
        _ => Ok(true),
    }
}

/// What makes an event the same one when LDK says it again after a crash.
fn identity(detail: &EventDetail) -> Option<String> {
    match detail {
        // One with an intent is kept apart by the intent's state: it may fail more than once.
        EventDetail::PaymentSent { key: Some(_), .. }
        | EventDetail::PaymentFailed { key: Some(_), .. }
        | EventDetail::PaymentForwarded { .. }
        | EventDetail::SpliceFailed { .. } => None,
        EventDetail::PaymentSent { id, .. } => Some(format!("sent:{id}")),
        EventDetail::PaymentFailed { id, .. } => Some(format!("failed:{id}")),
        EventDetail::PaymentReceived { id, .. } => Some(format!("received:{id}")),
        EventDetail::PaymentHeld { id, .. } => Some(format!("held:{id}")),
        EventDetail::ChannelPending {
            handle, funding, ..
        } => Some(format!(
            "pending:{handle}:{}:{}",
            funding.txid, funding.vout
        )),
        EventDetail::ChannelReady {
            handle, funding, ..
        } => {
            let funding = funding.map_or_else(String::new, |funding| {
                format!("{}:{}", funding.txid, funding.vout)
            });
            Some(format!("ready:{handle}:{funding}"))
        }
        EventDetail::ChannelClosed { handle, .. } => Some(format!("closed:{handle}")),
        EventDetail::SplicePending { handle, funding } => {
            Some(format!("splice:{handle}:{}:{}", funding.txid, funding.vout))
        }
        _ => None,
    }
}

/// Lets a payment that is given back be held again: that will be another event.
pub(crate) fn forget_held(store: &Store, id: PaymentId) -> Result<(), StoreError> {
    store.write(move |connection| {
        let sql = "UPDATE journal SET identity = NULL WHERE identity = ?1";
        connection.execute(sql, [format!("held:{id}")]).map(drop)
    })
}

/// The events after a number.
pub(crate) fn after(store: &Store, after: u64, limit: u32) -> LightningResult<Vec<LightningEvent>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = store.read(|connection| {
        let sql =
            "SELECT number, at, detail FROM journal WHERE number > ?1 ORDER BY number LIMIT ?2";
        let mut query = connection.prepare_cached(sql)?;
        let rows = query.query_map(params![after, limit], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    rows.map_err(storage)?
        .into_iter()
        .map(|(number, at, text)| {
            Ok(LightningEvent {
                number: number.unsigned_abs(),
                at: at.unsigned_abs(),
                detail: serde_json::from_str(&text).map_err(storage)?,
            })
        })
        .collect()
}

/// The number of the last event; 0 before the first.
pub(crate) fn last(store: &Store) -> LightningResult<u64> {
    let last = store.read(|connection| {
        connection.query_row("SELECT coalesce(max(number), 0) FROM journal", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    last.map(i64::unsigned_abs).map_err(storage)
}

/// Closes an intent as LDK's own record of the payment says, with the event that was missed.
pub(crate) fn settle(
    store: &Store,
    intent: &Intent,
    detail: EventDetail,
    preimage: Option<Preimage>,
) -> Result<Option<u64>, StoreError> {
    debug_assert!(
        intent.state != State::Succeeded,
        "there is nothing to settle"
    );
    record(store, "settled".to_owned(), detail, preimage)
}
