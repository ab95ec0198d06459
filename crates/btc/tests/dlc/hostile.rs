//! Messages of a hostile side: every refusal names its field, changes nothing and sends nothing.

use btc::discreet::text;
use btc::dlc::{ContractState, DlcInterface, DlcMessage, OracleInterface};
use btc::{ErrorKind, WalletInterface};
use serde_json::{Value, json};

use crate::refusal::refused;
use crate::support::{Party, World, newest, settle_down, toss};

pub(crate) const STAKE: u64 = 400_000;

/// What is done to a message's JSON.
type Change = Box<dyn FnOnce(&mut Value)>;

/// A message with another value at this place of its JSON.
pub(crate) fn altered(message: &DlcMessage, change: impl FnOnce(&mut Value)) -> DlcMessage {
    let text = text::to_json(message).expect("an own message");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut value["message"]);
    text::read(value.to_string().as_bytes()).expect("still a message")
}

pub(crate) fn offered(world: &World, alice: &Party) -> DlcMessage {
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    alice.dlc.offer(&terms).expect("an offer")
}

/// Nothing is stored, reserved or sent by a side that refused an offer.
pub(crate) fn assert_untouched(world: &World, party: &Party) {
    assert!(party.dlc.list().expect("a list").is_empty());
    assert_eq!(party.reserved(), 0);
    assert!(world.mempool().is_empty());
}

#[test]
fn each_field_of_an_offer_that_is_tampered_with_is_named() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let later = 4_000_000_000_u32;
    let cases: Vec<(&str, Change)> = vec![
        (
            "protocol_version",
            Box::new(|it| it["protocolVersion"] = json!(2)),
        ),
        (
            "contract_flags",
            Box::new(|it| it["contractFlags"] = json!(1)),
        ),
        (
            "chain_hash",
            Box::new(|it| it["chainHash"] = json!("00".repeat(32))),
        ),
        (
            "offer_collateral",
            Box::new(|it| it["offerCollateral"] = json!(900_000)),
        ),
        (
            "fee_rate_per_vb",
            Box::new(|it| it["feeRatePerVb"] = json!(0)),
        ),
        (
            "fee_rate_per_vb",
            Box::new(|it| it["feeRatePerVb"] = json!(501)),
        ),
        (
            "cet_locktime",
            Box::new(|it| it["cetLocktime"] = json!(100)),
        ),
        (
            "cet_locktime",
            Box::new(move |it| it["cetLocktime"] = json!(later)),
        ),
        (
            "refund_locktime",
            Box::new(move |it| it["refundLocktime"] = json!(later)),
        ),
        (
            "refund_locktime",
            Box::new(|it| it["refundLocktime"] = json!(500_000_001)),
        ),
        ("payout_spk", Box::new(|it| it["payoutSpk"] = json!("6a"))),
        ("change_spk", Box::new(|it| it["changeSpk"] = json!("51"))),
        (
            "change_serial_id",
            Box::new(|it| it["changeSerialId"] = it["fundOutputSerialId"].clone()),
        ),
        (
            "funding_inputs",
            Box::new(|it| it["fundingInputs"] = json!([])),
        ),
        (
            "prev_tx",
            Box::new(|it| it["fundingInputs"][0]["prevTx"] = json!("0200")),
        ),
        (
            "prev_tx_vout",
            Box::new(|it| it["fundingInputs"][0]["prevTxVout"] = json!(77)),
        ),
        (
            "max_witness_len",
            Box::new(|it| it["fundingInputs"][0]["maxWitnessLen"] = json!(5_000)),
        ),
        (
            "max_witness_len",
            Box::new(|it| it["fundingInputs"][0]["maxWitnessLen"] = json!(106)),
        ),
    ];
    for (field, change) in cases {
        refused(bob.dlc.accept(&altered(&offer, change)), field);
        assert_untouched(&world, &bob);
    }
    // The same coin twice.
    let twice = altered(&offer, |it| {
        let mut input = it["fundingInputs"][0].clone();
        input["inputSerialId"] = json!(5);
        it["fundingInputs"]
            .as_array_mut()
            .expect("a list")
            .push(input);
    });
    refused(bob.dlc.accept(&twice), "funding_inputs");
    assert_untouched(&world, &bob);
    bob.dlc.accept(&offer).expect("the offer itself");
}

#[test]
fn unknown_records_splices_and_maturities_that_overflow_are_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    // The record that redirects a payout (65,005) and one that nothing is known about.
    for record in [65_005_u16, 4_243] {
        let mut bytes = offer.as_bytes().to_vec();
        bytes.push(0xfd);
        bytes.extend_from_slice(&record.to_be_bytes());
        bytes.extend_from_slice(&[1, 0]);
        let message = DlcMessage::from_bytes(bytes).expect("an offer");
        refused(bob.dlc.accept(&message), "tlvs");
    }
    let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let splice = altered(&offer, |it| {
        it["fundingInputs"][0]["dlcInput"] = json!({
            "localFundPubkey": key,
            "remoteFundPubkey": key,
            "contractId": vec![0; 32],
        });
    });
    refused(bob.dlc.accept(&splice), "dlc_input");
    alice.dlc.cancel(newest(&alice)).expect("a cancellation");
    // 2106 and later: adding the time until the refund would overflow.
    let oracle = world.oracle();
    let event = btc::dlc::Event {
        name: "late".to_owned(),
        maturity_time: u32::MAX - 10,
        outcomes: btc::dlc::EventKind::Enumerated {
            names: vec!["heads".to_owned(), "tails".to_owned()],
        },
    };
    let announcement = oracle.announce(&event).expect("an announcement");
    let mut terms = toss(announcement, STAKE, STAKE);
    refused(alice.dlc.offer(&terms), "refund_time");
    terms.refund_time = Some(u32::MAX);
    refused(alice.dlc.offer(&terms), "event_maturity_epoch");
    assert_untouched(&world, &bob);
}

#[test]
fn an_offer_for_an_event_that_has_matured_is_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    world.set_clock(world.now() + 86_401);
    refused(bob.dlc.accept(&offer), "event_maturity_epoch");
    assert_untouched(&world, &bob);
}

#[test]
fn a_coin_of_the_own_wallet_as_the_other_sides_is_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    // Bob's own coin in Alice's offer: what it was paid by is public.
    let own = bob.dlc.offer(&{
        let oracle = world.oracle();
        toss(world.coin_toss(&oracle, "other"), STAKE, STAKE)
    });
    let own: Value =
        serde_json::from_str(&text::to_json(&own.expect("one")).expect("JSON")).expect("JSON");
    bob.dlc.cancel(newest(&bob)).expect("a cancellation");
    let stolen = altered(&offer, |it| {
        it["fundingInputs"] = own["message"]["fundingInputs"].clone();
    });
    refused(bob.dlc.accept(&stolen), "funding_inputs");
    assert_eq!(bob.reserved(), 0);
}

#[test]
fn each_field_of_an_accept_message_that_is_tampered_with_is_named() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let offered: Value = serde_json::from_str(&text::to_json(&offer).expect("JSON")).expect("JSON");
    let theirs = offered["message"].clone();
    let (key, serial) = (
        theirs["fundingPubkey"].clone(),
        theirs["payoutSerialId"].clone(),
    );
    let change = theirs["changeSerialId"].clone();
    let inputs = theirs["fundingInputs"].clone();
    let refund: Value = serde_json::from_str(&text::to_json(&accept).expect("JSON")).expect("JSON");
    let mut signatures = refund["message"]["cetAdaptorSignatures"].clone();
    let list = signatures["ecdsaAdaptorSignatures"]
        .as_array_mut()
        .expect("a list");
    list.swap(0, 1);
    let mut fewer = refund["message"]["cetAdaptorSignatures"].clone();
    fewer["ecdsaAdaptorSignatures"]
        .as_array_mut()
        .expect("a list")
        .pop();
    let cases: Vec<(&str, Change)> = vec![
        (
            "accept_collateral",
            Box::new(|it| it["acceptCollateral"] = json!(1_000)),
        ),
        (
            "funding_pubkey",
            Box::new(move |it| it["fundingPubkey"] = key),
        ),
        (
            "payout_serial_id",
            Box::new(move |it| it["payoutSerialId"] = serial),
        ),
        (
            "change_serial_id",
            Box::new(move |it| it["changeSerialId"] = change),
        ),
        ("payout_spk", Box::new(|it| it["payoutSpk"] = json!(""))),
        (
            "max_witness_len",
            Box::new(|it| it["fundingInputs"][0]["maxWitnessLen"] = json!(0)),
        ),
        (
            "input_serial_id",
            Box::new(move |it| it["fundingInputs"] = inputs),
        ),
        (
            "cet_adaptor_signatures",
            Box::new(move |it| it["cetAdaptorSignatures"] = signatures),
        ),
        (
            "cet_adaptor_signatures",
            Box::new(move |it| it["cetAdaptorSignatures"] = fewer),
        ),
    ];
    let id = newest(&alice);
    for (field, change) in cases {
        refused(alice.dlc.sign(&altered(&accept, change)), field);
        assert_eq!(alice.state(id), ContractState::Offered);
        assert!(world.mempool().is_empty());
    }
    alice.dlc.sign(&accept).expect("the message itself");
}

#[test]
fn messages_that_come_again_change_nothing() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    assert_eq!(bob.dlc.accept(&offer).expect("again"), accept);
    assert_eq!(bob.reserved(), 1);
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    assert_eq!(alice.dlc.sign(&accept).expect("again"), sign);
    let txid = bob.dlc.finalize(&sign).expect("a funding");
    assert_eq!(bob.dlc.finalize(&sign).expect("again"), txid);
    assert_eq!(world.mempool(), [txid]);
    settle_down(&world, &alice, &bob);
    assert_eq!(bob.dlc.accept(&offer).expect("again"), accept);
    assert_eq!(bob.dlc.finalize(&sign).expect("again"), txid);
    assert_eq!(bob.state(newest(&bob)), ContractState::Confirmed);
    // An own offer is not accepted.
    let own = alice.dlc.accept(&offer).expect_err("an own offer");
    assert_eq!(own.kind(), ErrorKind::InvalidInput);
}

#[test]
fn messages_survive_json_and_digits_as_the_same_bytes() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    for message in [offer, accept, sign] {
        let json = text::to_json(&message).expect("JSON");
        assert_eq!(text::read(json.as_bytes()).expect("read"), message);
        let digits = text::to_hex(&message);
        assert_eq!(text::read(digits.as_bytes()).expect("read"), message);
        assert_eq!(text::read(message.as_bytes()).expect("read"), message);
    }
}

#[test]
fn a_rejected_offer_frees_its_coins_and_is_not_accepted_later() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    assert_eq!(alice.reserved(), 1);
    let coins = alice.wallet.unspent().expect("coins");
    let held = coins.iter().find(|coin| coin.reserved_for.is_some());
    let (held, reason) = held
        .and_then(|coin| Some((coin.outpoint, coin.reserved_for.clone()?)))
        .expect("one is reserved");
    let at = reason.find("dlc:").expect("for a contract");
    let reason = reason[at..].to_owned();
    let no = bob
        .dlc
        .reject(&offer, "not today\u{1b}[31m")
        .expect("a rejection");
    alice.dlc.rejected(&no).expect("taken note of");
    assert_eq!(alice.state(newest(&alice)), ContractState::Rejected);
    assert_eq!(alice.reserved(), 0);
    // Killed between the store and the release: the rejection again frees the coins.
    alice.wallet.hold(&[held], &reason, None).expect("free");
    alice.dlc.rejected(&no).expect("again");
    assert_eq!(alice.reserved(), 0);
    let note = alice
        .dlc
        .get(newest(&alice))
        .expect("it")
        .note
        .expect("a reason");
    assert_eq!(note, "not today [31m");
    let late = bob.dlc.accept(&offer).expect_err("rejected");
    assert_eq!(late.kind(), ErrorKind::InvalidInput);
    // A contract that has come further is not undone by a word of the other side's.
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    alice.dlc.sign(&accept).expect("a sign message");
    let mut bytes = no.as_bytes().to_vec();
    bytes[2..34].copy_from_slice(&newest(&alice).0);
    let forged = DlcMessage::from_bytes(bytes).expect("a rejection");
    alice.dlc.rejected(&forged).expect_err("signed");
    assert_eq!(alice.state(newest(&alice)), ContractState::Signed);
}
