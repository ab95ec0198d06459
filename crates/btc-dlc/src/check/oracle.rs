//! Announcements: signed as they say, and events that can be attested.

use std::collections::BTreeSet;

use bitcoin::secp256k1::Secp256k1;
use btc_iface::BitcoinResult;
use ddk_messages::oracle_msgs::{EventDescriptor, OracleAnnouncement};

use crate::fault::{guard, refuse};

/// No event has a longer name, nor an outcome.
const MAX_NAME: usize = 1_000;
/// No event has more digits in base 2, nor more numbers than that in another base.
const MAX_DIGITS: u16 = 62;
const MAX_BASE: u16 = 64;
/// Times from this number on are Unix seconds; below it they are heights.
pub(super) const FIRST_TIME: u32 = 500_000_000;

/// Checks an announcement's signature and its event.
pub(crate) fn announcement(announcement: &OracleAnnouncement) -> BitcoinResult<()> {
    let event = &announcement.oracle_event;
    if event.event_id.is_empty() || event.event_id.len() > MAX_NAME {
        return Err(refuse(
            "event_id",
            "an event has a name of 1 to 1,000 bytes",
        ));
    }
    if event.event_maturity_epoch < FIRST_TIME {
        return Err(refuse("event_maturity_epoch", "not a time in Unix seconds"));
    }
    let nonces: BTreeSet<_> = event.oracle_nonces.iter().collect();
    if nonces.len() != event.oracle_nonces.len() {
        let message = "a nonce is there twice: attesting would reveal the oracle's key";
        return Err(refuse("oracle_nonces", message));
    }
    match &event.event_descriptor {
        EventDescriptor::EnumEvent(event) => {
            let names: BTreeSet<_> = event.outcomes.iter().collect();
            if event.outcomes.is_empty() || names.len() != event.outcomes.len() {
                return Err(refuse("outcomes", "no outcome, or one that is there twice"));
            }
            if names
                .iter()
                .any(|name| name.is_empty() || name.len() > MAX_NAME)
            {
                return Err(refuse("outcomes", "an outcome has 1 to 1,000 bytes"));
            }
        }
        EventDescriptor::DigitDecompositionEvent(event) => {
            if event.is_signed {
                let message = "numbers below 0 are not supported; use an event that counts from 0";
                return Err(refuse("is_signed", message));
            }
            if !(2..=MAX_BASE).contains(&event.base) {
                return Err(refuse("base", "the base is 2 to 64"));
            }
            let count = u64::from(event.base).checked_pow(event.nb_digits.into());
            let fits = count.is_some_and(|count| count <= 1 << MAX_DIGITS);
            if event.nb_digits == 0 || !fits {
                return Err(refuse("nb_digits", "no digit, or a number above 2^62"));
            }
        }
    }
    guard("announcement", || {
        announcement
            .validate(&Secp256k1::verification_only())
            .map_err(|cause| refuse("announcement_signature", cause.to_string()))
    })
}
