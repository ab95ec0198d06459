//! `Oracle`: announces events and attests to each once, with every nonce on disk first.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::{All, Keypair, Secp256k1, SecretKey};
use btc_iface::dlc::{Event, EventKind, OracleInterface};
use btc_iface::{BitcoinResult, ErrorKind};
use ddk_dlc::secp_utils::schnorrsig_sign_with_nonce;
use ddk_messages::TlvRecord;
use ddk_messages::oracle_msgs::{
    DigitDecompositionEventDescriptor, EnumEventDescriptor, EventDescriptor, OracleAnnouncement,
    OracleAttestation, OracleEvent, tagged_announcement_msg, tagged_attestation_msg,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use zeroize::{Zeroize, Zeroizing};

use crate::check;
use crate::fault::{error, internal, invalid, refuse, store};
use crate::keys::{Seed, random};
use crate::wire;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS events (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    announcement TEXT NOT NULL,
    nonces BLOB NOT NULL,
    outcome TEXT,
    attestation TEXT
);
";

/// An oracle over a store of its own. The nonces are random and live in the store alone: an oracle
/// whose store is lost can attest to nothing old, and so can never sign twice with one nonce.
pub struct Oracle {
    secp: Secp256k1<All>,
    key: Keypair,
    connection: Mutex<Connection>,
}

impl Oracle {
    /// Opens the oracle's store, or makes it.
    ///
    /// # Errors
    /// `Internal`: the file cannot be read or written.
    pub fn open(path: &Path, seed: &Seed) -> BitcoinResult<Self> {
        let secp = Secp256k1::new();
        let mut secret = seed.oracle_key()?;
        let key = Keypair::from_secret_key(&secp, &secret);
        secret.non_secure_erase();
        let connection = Connection::open(path).map_err(store)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                .map_err(store)?;
        }
        connection
            .busy_timeout(std::time::Duration::from_secs(10))
            .map_err(store)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(store)?;
        connection.execute_batch(SCHEMA).map_err(store)?;
        Ok(Self {
            secp,
            key,
            connection: Mutex::new(connection),
        })
    }

    fn change<T>(
        &self,
        run: impl FnOnce(&rusqlite::Transaction<'_>) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store)?;
        let answer = run(&change)?;
        change.commit().map_err(store)?;
        Ok(answer)
    }

    fn new_announcement(&self, event: &Event) -> BitcoinResult<(OracleAnnouncement, Vec<u8>)> {
        let (event_descriptor, count) = match &event.outcomes {
            EventKind::Enumerated { names } => {
                let outcomes = names.clone();
                let event = EnumEventDescriptor { outcomes };
                (EventDescriptor::EnumEvent(event), 1)
            }
            EventKind::Numeric {
                base,
                digits,
                unit,
                precision,
            } => {
                let event = DigitDecompositionEventDescriptor {
                    base: *base,
                    is_signed: false,
                    unit: unit.clone(),
                    precision: *precision,
                    nb_digits: *digits,
                };
                (EventDescriptor::DigitDecompositionEvent(event), *digits)
            }
        };
        let mut nonces = Vec::with_capacity(usize::from(count) * 32);
        let mut oracle_nonces = Vec::with_capacity(count.into());
        while oracle_nonces.len() < usize::from(count) {
            let mut bytes = random::<32>();
            if let Ok(nonce) = SecretKey::from_slice(&bytes) {
                oracle_nonces.push(nonce.x_only_public_key(&self.secp).0);
                nonces.extend_from_slice(&bytes);
            }
            bytes.zeroize();
        }
        let oracle_event = OracleEvent {
            oracle_nonces,
            event_maturity_epoch: event.maturity_time,
            event_descriptor,
            event_id: event.name.clone(),
        };
        let message = tagged_announcement_msg(&oracle_event);
        let announcement = OracleAnnouncement {
            announcement_signature: self.secp.sign_schnorr(&message, &self.key),
            oracle_public_key: self.key.x_only_public_key().0,
            oracle_event,
        };
        check::announcement(&announcement)?;
        Ok((announcement, nonces))
    }

    fn sign(
        &self,
        announcement: &OracleAnnouncement,
        nonces: &[u8],
        outcome: &str,
    ) -> BitcoinResult<String> {
        let outcomes = outcomes(announcement, outcome)?;
        let (nonces, rest) = nonces.as_chunks::<32>();
        if nonces.len() != outcomes.len() || !rest.is_empty() {
            return Err(internal("the store has not one nonce for each digit"));
        }
        let signatures = outcomes
            .iter()
            .zip(nonces)
            .map(|(outcome, nonce)| {
                let message = tagged_attestation_msg(outcome);
                schnorrsig_sign_with_nonce(&self.secp, &message, &self.key, nonce)
            })
            .collect();
        let attestation = OracleAttestation {
            event_id: announcement.oracle_event.event_id.clone(),
            oracle_public_key: self.key.x_only_public_key().0,
            signatures,
            outcomes,
        };
        attestation
            .validate(&self.secp, announcement)
            .map_err(|cause| internal(cause.to_string()))?;
        Ok(attestation.to_tlv_hex())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

/// An outcome as what is signed: its name, or its digits.
fn outcomes(announcement: &OracleAnnouncement, outcome: &str) -> BitcoinResult<Vec<String>> {
    match &announcement.oracle_event.event_descriptor {
        EventDescriptor::EnumEvent(event) => {
            if event.outcomes.iter().any(|name| name == outcome) {
                return Ok(vec![outcome.to_owned()]);
            }
            let message = format!("not an outcome of the event: {}", event.outcomes.join(", "));
            Err(refuse("outcome", message))
        }
        EventDescriptor::DigitDecompositionEvent(event) => {
            let mut number: u64 = outcome
                .parse()
                .map_err(|_| refuse("outcome", "not a whole number from 0 on"))?;
            let base = u64::from(event.base);
            let mut digits = vec![0; event.nb_digits.into()];
            for digit in digits.iter_mut().rev() {
                *digit = number % base;
                number /= base;
            }
            if number != 0 {
                return Err(refuse("outcome", "greater than the event's digits can say"));
            }
            Ok(digits.iter().map(u64::to_string).collect())
        }
    }
}

impl OracleInterface for Oracle {
    fn announce(&self, event: &Event) -> BitcoinResult<String> {
        let (announcement, nonces) = self.new_announcement(event)?;
        let nonces = Zeroizing::new(nonces);
        let text = announcement.to_tlv_hex();
        let kept: String = self.change(|change| {
            let sql = "INSERT OR IGNORE INTO events SELECT ?1, 1 + coalesce(max(number), 0), ?2, \
                       ?3, NULL, NULL FROM events";
            let values = params![event.name, text, nonces.as_slice()];
            change.execute(sql, values).map_err(store)?;
            let sql = "SELECT announcement FROM events WHERE name = ?1";
            change
                .query_row(sql, [&event.name], |row| row.get(0))
                .map_err(store)
        })?;
        let known = wire::announcement(&kept)?.oracle_event;
        let new = &announcement.oracle_event;
        if known.event_descriptor != new.event_descriptor
            || known.event_maturity_epoch != new.event_maturity_epoch
        {
            let message = "another event has this name; give this one a name of its own";
            return Err(refuse("name", message));
        }
        Ok(kept)
    }

    fn attest(&self, event: &str, outcome: &str) -> BitcoinResult<String> {
        // First the outcome, for good: a crash from here on can only lead to the same signature.
        let (announcement, nonces) = self.change(|change| {
            let sql = "SELECT announcement, nonces, outcome FROM events WHERE name = ?1";
            let found = change
                .query_row(sql, [event], |row| {
                    let nonces: Vec<u8> = row.get(1)?;
                    Ok((
                        row.get::<_, String>(0)?,
                        nonces,
                        row.get::<_, Option<String>>(2)?,
                    ))
                })
                .optional()
                .map_err(store)?;
            let (announcement, nonces, decided) = found.ok_or_else(|| unknown(event))?;
            let nonces = Zeroizing::new(nonces);
            let announcement = wire::announcement(&announcement)?;
            outcomes(&announcement, outcome)?;
            if decided.as_deref().is_some_and(|decided| decided != outcome) {
                let message = "the event is attested otherwise; a second outcome would reveal the \
                               oracle's key";
                return Err(invalid(message)
                    .with_context("event", event)
                    .with_context("attested", decided.unwrap_or_default()));
            }
            let sql = "UPDATE events SET outcome = ?2 WHERE name = ?1";
            change.execute(sql, [event, outcome]).map_err(store)?;
            Ok((announcement, nonces))
        })?;
        let attestation = self.sign(&announcement, &nonces, outcome)?;
        self.change(|change| {
            let sql = "UPDATE events SET attestation = ?2 WHERE name = ?1";
            change
                .execute(sql, [event, attestation.as_str()])
                .map_err(store)
        })?;
        Ok(attestation)
    }

    fn event(&self, event: &str) -> BitcoinResult<(String, Option<String>)> {
        self.change(|change| {
            let sql = "SELECT announcement, attestation FROM events WHERE name = ?1";
            change
                .query_row(sql, [event], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .map_err(store)?
                .ok_or_else(|| unknown(event))
        })
    }

    fn events(&self) -> BitcoinResult<Vec<String>> {
        self.change(|change| {
            let mut statement = change
                .prepare("SELECT name FROM events ORDER BY number")
                .map_err(store)?;
            let names = statement.query_map((), |row| row.get(0)).map_err(store)?;
            names.map(|name| name.map_err(store)).collect()
        })
    }

    fn public_key(&self) -> String {
        self.key
            .x_only_public_key()
            .0
            .serialize()
            .to_lower_hex_string()
    }
}

fn unknown(event: &str) -> btc_iface::BitcoinError {
    let message = "no such event; see the list of events";
    error(ErrorKind::NotFound, message).with_context("event", event)
}
