//! Fuzzes what the other side of a contract sends: any bytes are read or refused without a panic, and
//! what is read is written as the same bytes.

#![no_main]

use btc::Network;
use btc::bitcoin::hex::DisplayHex;
use btc::discreet::{DlcConfig, announcement_summary, explain_offer, text};
use btc::dlc::{DlcMessage, DlcMessageKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = announcement_summary(&data.to_lower_hex_string());
    if let Ok(terms) = std::str::from_utf8(data) {
        let _ = text::terms_from_toml(terms);
    }
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let kind = DlcMessageKind::ALL[usize::from(*kind) % DlcMessageKind::ALL.len()];
    let mut bytes = kind.type_number().to_be_bytes().to_vec();
    bytes.extend_from_slice(rest);
    let Some(message) = DlcMessage::from_bytes(bytes) else {
        return;
    };
    if let Ok(json) = text::to_json(&message)
        && let Ok(again) = text::read(json.as_bytes())
    {
        assert_eq!(again, message);
    }
    let _ = explain_offer(&message, Network::Regtest, &DlcConfig::default());
});
