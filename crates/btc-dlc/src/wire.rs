//! Messages and oracle records as bytes: what is read must be written as the same bytes.

use bitcoin::Transaction;
use bitcoin::consensus::encode;
use bitcoin::hex::FromHex;
use btc_iface::BitcoinResult;
use btc_iface::dlc::{DlcMessage, DlcMessageKind};
use ddk_messages::lightning::io::Cursor;
use ddk_messages::lightning::util::ser::{Readable, Writeable};
use ddk_messages::oracle_msgs::{OracleAnnouncement, OracleAttestation};
use ddk_messages::{AcceptDlc, CloseDlc, OfferDlc, SignDlc, TlvRecord};

use crate::fault::{guard, internal, refuse};

/// No message is longer: a million signatures with their proofs fit.
pub(crate) const MAX_MESSAGE_BYTES: usize = 192 * 1024 * 1024;

/// Reads a message of the specification strictly.
fn read<T: Readable + Writeable>(
    message: &DlcMessage,
    expected: DlcMessageKind,
) -> BitcoinResult<T> {
    if message.kind() != expected {
        let text = format!("this is the message `{}`, not `{expected}`", message.kind());
        return Err(refuse("type", text));
    }
    read_bytes(expected.as_str(), message.as_bytes())
}

fn read_bytes<T: Readable + Writeable>(name: &str, bytes: &[u8]) -> BitcoinResult<T> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(refuse("length", "longer than any contract's message"));
    }
    guard(name, || {
        let mut cursor = Cursor::new(bytes);
        let value = T::read(&mut cursor)
            .map_err(|cause| refuse(name, format!("cannot be read: {cause:?}")))?;
        // Two formats of old are told apart by a guess; a message that is not written as it was
        // read was understood otherwise than it was meant.
        if value.encode() != bytes {
            return Err(refuse(name, "it does not read and write as the same bytes"));
        }
        Ok(value)
    })
}

pub(crate) fn offer(message: &DlcMessage) -> BitcoinResult<OfferDlc> {
    read(message, DlcMessageKind::Offer)
}

pub(crate) fn accept(message: &DlcMessage) -> BitcoinResult<AcceptDlc> {
    read(message, DlcMessageKind::Accept)
}

pub(crate) fn sign(message: &DlcMessage) -> BitcoinResult<SignDlc> {
    read(message, DlcMessageKind::Sign)
}

pub(crate) fn close(message: &DlcMessage) -> BitcoinResult<CloseDlc> {
    read(message, DlcMessageKind::Close)
}

/// Writes an own message.
pub(crate) fn message(value: &impl Writeable) -> BitcoinResult<DlcMessage> {
    from_bytes(value.encode())
}

/// An own message from the store.
pub(crate) fn from_bytes(bytes: Vec<u8>) -> BitcoinResult<DlcMessage> {
    DlcMessage::from_bytes(bytes).ok_or_else(|| internal("a stored message has no type number"))
}

/// Reads an announcement or an attestation from hexadecimal digits, strictly.
fn record<T: TlvRecord>(name: &str, hex: &str) -> BitcoinResult<T> {
    let bytes =
        Vec::<u8>::from_hex(hex.trim()).map_err(|_| refuse(name, "not hexadecimal digits"))?;
    guard(name, || {
        let value = T::from_tlv_bytes(&bytes)
            .map_err(|cause| refuse(name, format!("cannot be read: {cause:?}")))?;
        if value.to_tlv_bytes() != bytes {
            return Err(refuse(name, "it does not read and write as the same bytes"));
        }
        Ok(value)
    })
}

pub(crate) fn announcement(hex: &str) -> BitcoinResult<OracleAnnouncement> {
    record("announcement", hex)
}

pub(crate) fn attestation(hex: &str) -> BitcoinResult<OracleAttestation> {
    record("attestation", hex)
}

/// Reads a whole transaction and nothing behind it.
pub(crate) fn transaction(field: &str, bytes: &[u8]) -> BitcoinResult<Transaction> {
    let transaction: Transaction = encode::deserialize(bytes)
        .map_err(|cause| refuse(field, format!("not a transaction: {cause}")))?;
    if encode::serialize(&transaction) != bytes {
        return Err(refuse(field, "the transaction is not in its only form"));
    }
    Ok(transaction)
}
