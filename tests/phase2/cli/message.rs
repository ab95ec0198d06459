//! `btc sign-message`: each form for the addresses that have it, and what is said of a signature.

use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{Outcome, Program, Run};
use serde_json::json;

use super::{Case, Purse, text};

pub(super) const CASES: &[(&str, Case)] =
    &[("messages_are_signed_in_the_form_of_their_address", messages)];

/// What anybody says of a signature, without a wallet and without a node.
fn verify(address: &str, message: &str, signature: &str, more: &[&str]) -> Run {
    let arguments = ["sign-message", address, message, "--verify", signature];
    Program::with(&[&arguments, more].concat())
        .env("BITCOIN_NETWORK", "regtest")
        .run()
}

fn messages(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    for address_type in AddressType::ALL {
        let new = purse.json(&["address", "new", "--type", address_type.as_str()]);
        let address = text(&new["address"]);
        let sign = |more: &[&str]| purse.json(&[&["sign-message", &address, "hi"], more].concat());
        let usual = sign(&[]);
        let (format, prefix) = match address_type {
            AddressType::P2pkh => ("legacy", ""),
            AddressType::P2shP2wpkh => ("bip322-full", "ful"),
            _ => ("bip322-simple", "smp"),
        };
        let signature = text(&usual["signature"]);
        assert_eq!(usual["format"], format);
        assert!(signature.starts_with(prefix), "{signature}");
        let said = verify(&address, "hi", &signature, &[]).code(0);
        assert_eq!(said.stdout, "valid\n");
        let said = verify(&address, "hi", &signature, &["--json"])
            .code(0)
            .json();
        assert_eq!(
            (&said["state"], &said["form"]),
            (&json!("valid"), &json!(format))
        );
        let said = verify(&address, "ho", &signature, &[]).code(1);
        assert_eq!(said.stdout, "NOT valid\n");
        for form in ["full", "full-unprefixed"] {
            let signed = sign(&["--form", form]);
            verify(&address, "hi", &text(&signed["signature"]), &[]).code(0);
        }
        let simple = ["sign-message", &address, "hi", "--form", "simple"];
        let is_native = matches!(address_type, AddressType::P2wpkh | AddressType::P2tr);
        purse.run(&simple).code(if is_native { 0 } else { 2 });
    }
    purse
        .run(&["sign-message", "x", "hi", "--form", "bip137"])
        .code(2)
        .says(&["simple-unprefixed"]);
    // As wallets signed for nested addresses before BIP322 was final, with a prefix of today.
    let nested = purse.json(&["address", "new", "--type", "p2sh-p2wpkh"]);
    let address = text(&nested["address"]);
    let older = [
        "sign-message",
        &address,
        "hi",
        "--form",
        "simple-unprefixed",
    ];
    let older = text(&purse.json(&older)["signature"]);
    let prefixed = format!("smp{older}");
    let said = verify(&address, "hi", &prefixed, &[]).code(1);
    assert!(said.stdout.contains("as bip322-simple"), "{}", said.stdout);
    let said = verify(&address, "hi", &prefixed, &["--json"])
        .code(1)
        .json();
    assert_eq!(said["state"], "another_form");
    assert_eq!(said["form"], "bip322-simple");
    bip137();
    Ok(())
}

/// What a Trezor signed for a segwit address, as its firmware's own tests publish it.
fn bip137() {
    let address = "bc1qannfxke2tfd4l7vhepehpvt05y83v3qsf6nfkk";
    let signature =
        "KLVddgDZ6afipJFV3fPP2455bCB/qrgzAQ+kH7eCiIm8R89iNIp6qgkjwIMqWJ+rVB6PEutU+3EckOIwfw9msZQ=";
    let judge = |message: &str, more: &[&str]| {
        let arguments = ["sign-message", address, message, "--verify", signature];
        Program::with(&[&arguments, more].concat())
            .env("BITCOIN_NETWORK", "mainnet")
            .run()
            .code(1)
    };
    let genuine = "This is an example of a signed message.";
    let said = judge(genuine, &[]);
    assert!(said.stdout.starts_with("another form"), "{}", said.stdout);
    assert!(said.stdout.contains("as bip137"), "{}", said.stdout);
    assert!(!said.stdout.contains("valid"), "{}", said.stdout);
    let said = judge(genuine, &["--json"]).json();
    let expected = json!({"is_valid": false, "state": "another_form", "form": "bip137"});
    assert_eq!(said, expected);
    let said = judge("This is another message.", &["--json"]).json();
    assert_eq!(said, json!({"is_valid": false, "state": "invalid"}));
    assert_eq!(judge("This is another message.", &[]).stdout, "NOT valid\n");
}
