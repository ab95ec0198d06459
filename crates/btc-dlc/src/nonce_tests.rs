//! A nonce that an oracle uses for two events.

use bitcoin::Network;
use bitcoin::hex::DisplayHex;
use bitcoin::key::Keypair;
use bitcoin::secp256k1::Secp256k1;
use btc_iface::dlc::{ContractTerms, Event, EventKind, OracleInterface, Oracles, Payout};
use ddk_messages::TlvRecord;
use ddk_messages::oracle_msgs::tagged_announcement_msg;

use crate::check::{self, Policy};
use crate::deal_tests::{STAKE, offer, oracle};
use crate::{Seed, wire};

#[test]
fn a_nonce_in_two_branches_is_refused_in_new_offers_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let event = Event {
        name: "one".to_owned(),
        maturity_time: 1_900_000_000,
        outcomes: EventKind::Enumerated {
            names: vec!["heads".to_owned(), "tails".to_owned()],
        },
    };
    let first = oracle(&folder).announce(&event).expect("an announcement");
    // Another event with the same nonce, rightly signed.
    let secp = Secp256k1::new();
    let key = Seed::from_bytes([5; 32]).oracle_key().expect("a key");
    let mut second = wire::announcement(&first).expect("an announcement");
    second.oracle_event.event_id = "two".to_owned();
    let message = tagged_announcement_msg(&second.oracle_event);
    second.announcement_signature =
        secp.sign_schnorr(&message, &Keypair::from_secret_key(&secp, &key));
    let second = second.to_tlv_bytes().to_lower_hex_string();
    let payout = || Payout::enumerated([("heads", 2 * STAKE), ("tails", 0)]);
    let terms = ContractTerms::new(STAKE, STAKE, 2)
        .branch(Oracles::one(first), payout())
        .branch(Oracles::one(second), payout());
    let offer = offer(&terms);
    let policy = Policy {
        network: Network::Regtest,
        max_fee_rate_sat_per_vb: 100,
        min_refund_delay_s: 0,
        max_refund_delay_s: 10_000_000,
    };
    let refusal = check::check_offer(&offer, &policy, 1_800_000_000).err();
    let refusal = refusal.expect("a nonce twice");
    assert!(refusal.to_string().contains("nonce"), "{refusal}");
    // A contract of old that has it can still be settled.
    check::offer_fields(&offer, &policy).expect("its fields");
}
