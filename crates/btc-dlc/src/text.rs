//! Messages as text: hexadecimal digits, and JSON that says everything.

use bitcoin::hex::{DisplayHex, FromHex};
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractTerms, DlcMessage, DlcMessageKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{guard, invalid, refuse};
use crate::wire;

/// A message as JSON: its kind, and its fields under their names in ddk, camelCase.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "type")]
    kind: DlcMessageKind,
    message: Value,
}

/// Reads terms from TOML.
///
/// # Errors
/// `InvalidInput`: not the terms of a contract; the message says where.
pub fn terms_from_toml(text: &str) -> BitcoinResult<ContractTerms> {
    toml::from_str(text).map_err(|cause| refuse("terms", cause.to_string()))
}

/// A message as hexadecimal digits of its wire format.
pub fn to_hex(message: &DlcMessage) -> String {
    message.as_bytes().to_lower_hex_string()
}

/// A message as JSON.
///
/// # Errors
/// `InvalidInput`: the message cannot be read.
pub fn to_json(message: &DlcMessage) -> BitcoinResult<String> {
    let value = match message.kind() {
        DlcMessageKind::Offer => serde_json::to_value(wire::offer(message)?),
        DlcMessageKind::Accept => serde_json::to_value(wire::accept(message)?),
        DlcMessageKind::Sign => serde_json::to_value(wire::sign(message)?),
        DlcMessageKind::Close => serde_json::to_value(wire::close(message)?),
        DlcMessageKind::Reject => Ok(Value::String(to_hex(message))),
    };
    let value = value.map_err(|cause| invalid(format!("cannot be JSON: {cause}")))?;
    let named = Named {
        kind: message.kind(),
        message: value,
    };
    serde_json::to_string_pretty(&named).map_err(|cause| invalid(cause.to_string()))
}

/// Reads a message in any form: bytes of the wire format, hexadecimal digits, or JSON. Nothing in
/// it is verified.
///
/// # Errors
/// `InvalidInput`: none of these.
pub fn read(data: &[u8]) -> BitcoinResult<DlcMessage> {
    if let Some(message) = DlcMessage::from_bytes(data.to_vec()) {
        return Ok(message);
    }
    let text = std::str::from_utf8(data).map_err(|_| unreadable())?.trim();
    if text.starts_with('{') {
        return from_json(text);
    }
    let bytes = Vec::<u8>::from_hex(text).map_err(|_| unreadable())?;
    DlcMessage::from_bytes(bytes).ok_or_else(unreadable)
}

fn from_json(text: &str) -> BitcoinResult<DlcMessage> {
    let named: Named =
        serde_json::from_str(text).map_err(|cause| refuse("json", cause.to_string()))?;
    guard("json", || {
        let refused = |cause: serde_json::Error| refuse("json", cause.to_string());
        let value = named.message;
        match named.kind {
            DlcMessageKind::Offer => {
                let read: ddk_messages::OfferDlc =
                    serde_json::from_value(value).map_err(refused)?;
                wire::message(&read)
            }
            DlcMessageKind::Accept => {
                let read: ddk_messages::AcceptDlc =
                    serde_json::from_value(value).map_err(refused)?;
                wire::message(&read)
            }
            DlcMessageKind::Sign => {
                let read: ddk_messages::SignDlc = serde_json::from_value(value).map_err(refused)?;
                wire::message(&read)
            }
            DlcMessageKind::Close => {
                let read: ddk_messages::CloseDlc =
                    serde_json::from_value(value).map_err(refused)?;
                wire::message(&read)
            }
            DlcMessageKind::Reject => {
                let text: String = serde_json::from_value(value).map_err(refused)?;
                let bytes = Vec::<u8>::from_hex(&text).map_err(|_| unreadable())?;
                DlcMessage::from_bytes(bytes).ok_or_else(unreadable)
            }
        }
    })
}

fn unreadable() -> btc_iface::BitcoinError {
    invalid("not a message between the parties of a contract: bytes, hexadecimal digits or JSON")
}
