//! The journal: each event is recorded with a number, and closes its intent in the same commit, before LDK forgets it.

use std::collections::HashSet;

use bitcoin::hashes::{Hash as _, sha256};
use btc_iface::lightning::{
    EventDetail, FailureReason, LightningEvent, LightningResult, Msat, PaymentId, PaymentKind,
    Preimage,
};
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
/// end in that moment, and the next event be the same to the last byte, it is left out. Forwards of
/// equal amount and fee between the same channels can be the same, and so can two failures of one
/// payment that was tried twice; a failure that is left out is found by the look into doubtful
/// intents.
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

/// Records an event; when this returns, it is on disk. None if it was recorded before. The failure
/// of a payment whose key is doubtful does not close it when it may be that of an earlier attempt.
pub(crate) fn record(
    store: &Store,
    digest: String,
    detail: EventDetail,
    preimage: Option<Preimage>,
    doubtful: HashSet<String>,
) -> Result<Option<u64>, StoreError> {
    store.write(move |connection| {
        let mut detail = detail;
        let is_new = close(connection, &mut detail, preimage.as_ref(), &doubtful)?;
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
    doubtful: &HashSet<String>,
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
            // An offer's payment has a new name each time: its failure is its own.
            let has_old_names = intent.is_repeated && intent.kind != PaymentKind::Bolt12Offer;
            if has_old_names && doubtful.contains(&intent.key) {
                return Ok(true);
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
        EventDetail::PaymentHeld {
            id,
            amount_msat,
            deadline_height,
            ..
        } => {
            let deadline = deadline_height.map_or_else(String::new, |height| height.to_string());
            Some(format!("held:{id}:{deadline}:{}", amount_msat.get()))
        }
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
        let sql = "UPDATE journal SET identity = NULL WHERE identity >= ?1 AND identity < ?2";
        let (from, to) = (format!("held:{id}:"), format!("held:{id};"));
        connection.execute(sql, [from, to]).map(drop)
    })
}

/// What is held for a payment: the amount and the height at which it goes back. None if it was
/// given back or has been received since.
pub(crate) fn held(
    store: &Store,
    id: PaymentId,
) -> Result<Option<(Msat, Option<u32>)>, StoreError> {
    let text: Option<String> = store.read(|connection| {
        let sql = "SELECT detail FROM journal AS held WHERE identity >= ?1 AND identity < ?2 \
                   AND NOT EXISTS (SELECT 1 FROM journal WHERE identity = ?3 AND number > held.number) \
                   ORDER BY number DESC LIMIT 1";
        let (from, to) = (format!("held:{id}:"), format!("held:{id};"));
        connection
            .query_row(sql, [from, to, format!("received:{id}")], |row| row.get(0))
            .optional()
    })?;
    Ok(text.and_then(|text| match serde_json::from_str(&text) {
        Ok(EventDetail::PaymentHeld {
            amount_msat,
            deadline_height,
            ..
        }) => Some((amount_msat, deadline_height)),
        _ => None,
    }))
}

/// Why the payment of that name failed, as far as an event has said so.
pub(crate) fn failure(
    connection: &Connection,
    id: PaymentId,
) -> rusqlite::Result<Option<FailureReason>> {
    let sql = "SELECT detail FROM journal WHERE identity = ?1";
    let text: Option<String> = connection
        .query_row(sql, [format!("failed:{id}")], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| match serde_json::from_str(&text) {
        Ok(EventDetail::PaymentFailed { reason, .. }) => Some(reason),
        _ => None,
    }))
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
    record(
        store,
        "settled".to_owned(),
        detail,
        preimage,
        HashSet::new(),
    )
}

#[cfg(test)]
mod tests {
    use btc_iface::lightning::PaymentHash;

    use super::*;
    use crate::intents::Decision;

    const NAME: [u8; 32] = [7; 32];

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), |cause| unreachable!("{cause}")).expect("a store")
    }

    fn wish() -> Intent {
        Intent {
            key: "order".to_owned(),
            kind: PaymentKind::Bolt11,
            target: "an invoice".to_owned(),
            hash: Some(PaymentHash::from_bytes(NAME)),
            payment_id: Some(PaymentId::from_bytes(NAME)),
            amount: Some(Msat::new(1)),
            max_fee: None,
            note: None,
            state: State::Prepared,
            reason: None,
            attempts: 0,
            fee: None,
            preimage: None,
            prepared_height: 1,
            updated_at: 0,
            is_repeated: false,
        }
    }

    fn prepare(store: &Store) {
        let decided = intents::prepare(store, wish()).expect("a free key");
        assert!(matches!(decided, Decision::Send(_)));
    }

    fn fails(store: &Store, doubtful: &[&str]) -> Option<u64> {
        let detail = EventDetail::PaymentFailed {
            id: PaymentId::from_bytes(NAME),
            hash: None,
            key: None,
            reason: FailureReason::NoRoute,
        };
        let doubtful = doubtful.iter().map(|key| (*key).to_owned()).collect();
        record(store, "same".to_owned(), detail, None, doubtful).expect("on disk")
    }

    fn state(store: &Store) -> State {
        let found = store.read(|connection| intents::by_key(connection, "order"));
        found.expect("readable").expect("there").state
    }

    #[test]
    fn a_failure_of_the_first_attempt_that_is_said_again_does_not_close_the_second() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let store = store(&dir);
        prepare(&store);
        assert_eq!(fails(&store, &[]), Some(1));
        assert_eq!(state(&store), State::Failed);
        prepare(&store);
        // The process ends, and LDK says the first failure again.
        assert_eq!(fails(&store, &["order"]), Some(2), "it is in the journal");
        assert_eq!(state(&store), State::Prepared, "it may be under way");
        // Once LDK has surely taken it, a failure is its own.
        assert_eq!(fails(&store, &[]), Some(3));
        assert_eq!(state(&store), State::Failed);
    }

    #[test]
    fn a_failure_of_the_only_attempt_closes_it_after_a_crash_too() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let store = store(&dir);
        prepare(&store);
        assert_eq!(fails(&store, &["order"]), Some(1));
        assert_eq!(state(&store), State::Failed);
        // Handed over once more by the look: from then on it may be of either time.
        let other = tempfile::tempdir().expect("a folder for the test");
        let store = self::store(&other);
        prepare(&store);
        intents::repeated(&store, "order").expect("on disk");
        fails(&store, &["order"]);
        assert_eq!(state(&store), State::Prepared);
    }

    #[test]
    fn what_is_held_is_what_came_last_and_was_neither_given_back_nor_received() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let store = store(&dir);
        let (id, hash) = (PaymentId::from_bytes(NAME), PaymentHash::from_bytes(NAME));
        let say = |detail| {
            record(&store, "other".to_owned(), detail, None, HashSet::new()).expect("on disk")
        };
        let hold = |amount, deadline| EventDetail::PaymentHeld {
            id,
            hash,
            amount_msat: Msat::new(amount),
            deadline_height: Some(deadline),
        };
        let held_now = || held(&store, id).expect("readable");
        assert_eq!(held_now(), None);
        assert_eq!(say(hold(5, 100)), Some(1));
        assert_eq!(say(hold(5, 100)), None, "the same, said again");
        assert_eq!(held_now(), Some((Msat::new(5), Some(100))));
        // It went back by itself, and came again.
        assert_eq!(say(hold(4, 200)), Some(2));
        assert_eq!(held_now(), Some((Msat::new(4), Some(200))));
        forget_held(&store, id).expect("on disk");
        assert_eq!(held_now(), None);
        assert_eq!(say(hold(4, 200)), Some(3));
        say(EventDetail::PaymentReceived {
            id,
            hash,
            amount_msat: Msat::new(4),
        });
        assert_eq!(held_now(), None);
    }
}
