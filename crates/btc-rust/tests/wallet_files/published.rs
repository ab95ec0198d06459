//! Signatures that others published: BIP322's vectors, and what a hardware wallet signs.

use btc_iface::Network;
use btc_rust::wallet::message::{Verdict, verify};
use serde::Deserialize;

use crate::message::form_of;

#[derive(Deserialize)]
struct Published {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    verdict: String,
    form: Option<String>,
    #[serde(default)]
    lock_time: u32,
    #[serde(default)]
    sequence: u32,
    #[serde(default)]
    funds: usize,
    address: String,
    message: String,
    signature: String,
}

#[test]
fn published_signatures_are_what_the_bip_says() {
    let published: Published =
        serde_json::from_str(include_str!("bip322.json")).expect("the file is JSON");
    for vector in published.vectors {
        let judge = |signature: &str| {
            let judged = verify(
                &vector.address,
                &vector.message,
                signature,
                Network::Bitcoin,
            );
            judged.expect("an address")
        };
        let verdict = judge(&vector.signature);
        let name = match &verdict {
            Verdict::Valid(proof) => {
                assert_eq!(
                    Some(proof.form),
                    vector.form.as_deref(),
                    "{}",
                    vector.address
                );
                assert_eq!(
                    (proof.lock_time, proof.sequence, proof.funds.len()),
                    (vector.lock_time, vector.sequence, vector.funds),
                    "{}",
                    vector.address
                );
                "valid"
            }
            Verdict::Inconclusive => "inconclusive",
            Verdict::Invalid => "invalid",
            Verdict::AnotherForm(_) => "another form",
        };
        assert_eq!(
            name, vector.verdict,
            "{}: {}",
            vector.address, vector.message
        );
        // As wallets wrote them before the prefixes; the third form says by itself what it is.
        let Some(form) = vector.form.filter(|it| !it.ends_with("-unprefixed")) else {
            continue;
        };
        let expected = match form.as_str() {
            "bip322-proof-of-funds" => form,
            _ => format!("{form}-unprefixed"),
        };
        let bare = judge(&vector.signature[3..]);
        assert_eq!(
            form_of(&bare),
            Some(expected.as_str()),
            "{}",
            vector.address
        );
    }
}

/// What a Trezor signed, as its firmware's own tests publish it (`test_signmessage.py`).
const TREZOR: [(&str, &str); 3] = [
    (
        "1JAd7XCBzGudGpJQSDSfpmJhiygtLQWaGL",
        "IP2PL321I4/N0HfVIEw+aUnCYdcAJpzvwdnS3O9rlQI2MO5hf2yKz560DI7dcEycp06kr8OT9D81tOiVgyTL3Rw=",
    ),
    (
        "3L6TyTisPBmrDAj6RoKmDzNnj4eQi54gD2",
        "I3RN5FFvrFwUCAgBVmRRajL+rZTeiXdc7H4k28JP4TMHWsCTAcTMjhl76ktkgWYdW46b8Z2Le4o4Ls21PC7gdQ0=",
    ),
    (
        "bc1qannfxke2tfd4l7vhepehpvt05y83v3qsf6nfkk",
        "KLVddgDZ6afipJFV3fPP2455bCB/qrgzAQ+kH7eCiIm8R89iNIp6qgkjwIMqWJ+rVB6PEutU+3EckOIwfw9msZQ=",
    ),
];

#[test]
fn another_wallets_bip137_signature_of_a_segwit_address_is_neither_valid_nor_forged() {
    for (place, (address, signature)) in TREZOR.into_iter().enumerate() {
        let judge = |message: &str, signature: &str| {
            verify(address, message, signature, Network::Bitcoin).expect("an address")
        };
        let verdict = judge("This is an example of a signed message.", signature);
        if place == 0 {
            assert_eq!(form_of(&verdict), Some("legacy"), "{address}");
        } else {
            assert_eq!(verdict, Verdict::AnotherForm("bip137"), "{address}");
        }
        let forged = judge("This is another message.", signature);
        assert_eq!(forged, Verdict::Invalid, "{address}");
        let (_, others) = TREZOR[(place + 1) % TREZOR.len()];
        let forged = judge("This is an example of a signed message.", others);
        assert_eq!(forged, Verdict::Invalid, "{address}");
    }
}
