//! What is blacked out, and what is not.

use btc_iface::rust_bitcoin::bip32::Xpriv;
use btc_iface::rust_bitcoin::hex::DisplayHex;
use btc_iface::rust_bitcoin::secp256k1::SecretKey;
use btc_iface::rust_bitcoin::{NetworkKind, PrivateKey};
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{PROSE, redact};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn key() -> impl Strategy<Value = SecretKey> {
    uniform32(any::<u8>()).prop_filter_map("not a key", |it| SecretKey::from_slice(&it).ok())
}

/// A secret, and what may stand before it.
fn secret() -> impl Strategy<Value = (String, String)> {
    let network = || select(vec![NetworkKind::Main, NetworkKind::Test]);
    let wif = (key(), network(), any::<bool>()).prop_map(|(inner, network, compressed)| {
        let key = PrivateKey {
            compressed,
            network,
            inner,
        };
        (String::new(), key.to_wif())
    });
    let extended =
        (vec(any::<u8>(), 16..=64), network()).prop_filter_map("not a seed", |(seed, network)| {
            let key = Xpriv::new_master(network, &seed).ok()?;
            Some((String::new(), key.to_string()))
        });
    let word = "[a-z]{3,8}".prop_filter("prose", |it| !PROSE.contains(&it.as_str()));
    let phrase = (
        vec(word, 12..=24),
        select(vec![" ", "  ", "\n", ", ", "', '"]),
    )
        .prop_map(|(words, between)| (String::new(), words.join(between)));
    let named = (
        select(vec![
            "password=",
            "rpcpassword=",
            "PASSPHRASE: ",
            "\"password\": \"",
            "secret=",
        ]),
        "[!#-%*+./0-9A-Z^_a-z]{1,40}",
    )
        .prop_map(|(name, value)| (name.to_owned(), value));
    let cookie =
        uniform32(any::<u8>()).prop_map(|it| ("__cookie__:".to_owned(), it.to_lower_hex_string()));
    let digits = (
        select(vec!["secret ", "key: ", "private_key=0x", "seckey"]),
        key(),
    )
        .prop_map(|(name, key)| (name.to_owned(), key.secret_bytes().to_lower_hex_string()));
    prop_oneof![wif, extended, phrase, named, cookie, digits]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_secret_is_left_wherever_it_stands(
        (name, secret) in secret(),
        before in "(\\PC{0,40}[^0-9A-Za-z=:_\"'\\\\-])?",
        after in "([ \",;)]\\PC{0,40})?",
    ) {
        let text = format!("{before}{name}{secret}{after}");
        let clean = redact(&text);
        prop_assert!(clean.contains("[redacted]"), "{} in {}", secret, text);
        if secret.len() > 12 {
            prop_assert!(!clean.contains(&secret), "{}", clean);
        }
        prop_assert_eq!(redact(&clean), clean.as_ref());
    }

    #[test]
    fn what_answers_have_in_them_stays(
        bytes in vec(any::<u8>(), 0..80),
        number in any::<u64>(),
        count in 1_usize..11,
    ) {
        let hex = bytes.to_lower_hex_string();
        let words = vec!["words"; count].join(" ");
        for text in [hex.clone(), format!("{hex}:{number}"), number.to_string(), words] {
            prop_assert_eq!(redact(&text), text.as_str());
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        redact(&text);
        redact(&format!("password={text}… (9 bytes)"));
    }
}

#[test]
fn each_kind_has_an_example() {
    for (text, clean) in [
        (
            "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ",
            "[redacted]",
        ),
        (
            "p2wpkh:5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF.",
            "p2wpkh:[redacted].",
        ),
        (
            "wpkh([73c5da0a/84h]tprv8ZgxMBicQKsPd7Uf69XL1XwhmjHopUGep8GuEiJDZ/0/*)",
            "wpkh([73c5da0a/84h][redacted]/0/*)",
        ),
        (WORDS, "[redacted]"),
        (
            "words: 1. legal 2. winner 3. thank 4. year 5. wave 6. sausage 7. worth 8. useful \
          9. legal 10. winner 11. thank 12. yellow",
            "[redacted]",
        ),
        (
            "password='a b', user=\"c\"",
            "password='[redacted]', user=\"c\"",
        ),
        ("password=_", "password=[redacted]"),
        (
            "GET http://user:pass@127.0.0.1:8332/",
            "GET http://[redacted]@127.0.0.1:8332/",
        ),
        (
            "auth __cookie__:00ff11 refused",
            "auth __cookie__:[redacted] refused",
        ),
    ] {
        assert_eq!(redact(text), clean);
    }
    let digits = "0123456789abcdef".repeat(4);
    assert_eq!(redact(&format!("key {digits}")), "key [redacted]");
    assert_eq!(redact(&format!("secret{digits}")), "secret[redacted]");
}

#[test]
fn what_was_cut_off_is_seen() {
    for (text, clean) in [
        (
            "legal winner thank year wave sausage wor… (75 bytes)",
            "[redacted]… (75 bytes)",
        ),
        (
            "key L1aW4aubDFB7yfras2S1mN3b… (56 bytes)",
            "key [redacted]… (56 bytes)",
        ),
        (
            "secret 0123456789abcdef01… (71 bytes)",
            "secret [redacted]… (71 bytes)",
        ),
        (
            "password=open ses… (90 bytes)",
            "password=[redacted] ses… (90 bytes)",
        ),
    ] {
        assert_eq!(redact(text), clean);
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "no answer from the secondary: timeout",
        "the two sides differ since the tip moved while the wallet was at work",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "tpubD6NzVbkrYhZ4XgiXtGrdW5XDAPFCL9h7we1vwNCpn8tGbBcgfVYjXyhWo4E1xkh56hjod1RhGjxbaTLV3X4",
        "key 02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
        "mandatory-script-verify-flag-failed (Signature must be zero for failed CHECKSIG)",
        "the secret is kept",
    ] {
        assert_eq!(redact(text), text);
    }
}
