//! Beside bare ddk: the same messages, the same settlement, and how long each takes.

use std::time::{Duration, Instant};

use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{Amount, Network, ScriptBuf, Transaction, TxOut};
use btc_iface::dlc::{ContractTerms, Event, EventKind, OracleInterface, Oracles, Payout};
use ddk::contract::{AcceptOfferParams, CreateOfferParams, PartyParams};
use ddk_messages::{AcceptDlc, CetAdaptorSignatures, FundingSignatures, OfferDlc, SignDlc};

use crate::check::{self, Policy};
use crate::deal::{Accepting, Deal};
use crate::{Oracle, Seed, terms, wire};

pub(crate) const STAKE: u64 = 10_000_000;
const NOW: u64 = 1_800_000_000;
const POLICY: Policy = Policy {
    network: Network::Regtest,
    max_fee_rate_sat_per_vb: 100,
    min_refund_delay_s: 0,
    max_refund_delay_s: 10_000_000,
};

fn key(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).expect("a key")
}

/// A party with a coin of its own, which no chain has.
fn party(byte: u8) -> PartyParams {
    let secp = Secp256k1::new();
    let wallet = bitcoin::CompressedPublicKey(key(byte + 100).public_key(&secp));
    let script = ScriptBuf::new_p2wpkh(&wallet.wpubkey_hash());
    let previous = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::from_consensus(byte.into()),
        input: vec![bitcoin::TxIn::default()],
        output: vec![TxOut {
            value: Amount::from_sat(2 * STAKE),
            script_pubkey: script.clone(),
        }],
    };
    let input = ddk::contract::funding_input(
        &previous,
        0,
        Some(byte.into()),
        u32::MAX,
        108,
        ScriptBuf::new(),
    );
    PartyParams {
        funding_pubkey: PublicKey::from_secret_key(&secp, &key(byte)),
        funding_inputs: vec![input.expect("a coin")],
        payout_spk: script.clone(),
        payout_serial_id: Some(byte.into()),
        change_spk: script,
        change_serial_id: Some(u64::from(byte) + 10),
    }
}

pub(crate) fn offer(terms: &ContractTerms) -> OfferDlc {
    let offer = ddk::contract::create_offer(CreateOfferParams {
        chain_hash: ddk::contract::chain_hash_from_network(Network::Regtest),
        temporary_contract_id: Some([7; 32]),
        contract_info: terms::contract_info(terms).expect("terms"),
        offer_collateral: Amount::from_sat(STAKE),
        party: party(1),
        fund_output_serial_id: Some(50),
        fee_rate_per_vb: 2,
        cet_locktime: Some(1_700_000_000),
        refund_locktime: 1_900_200_000,
        contract_flags: 0,
    });
    offer.expect("an offer")
}

fn accepting(side: &PartyParams) -> Accepting<'_> {
    Accepting {
        funding_pubkey: side.funding_pubkey,
        payout_spk: &side.payout_spk,
        payout_serial_id: side.payout_serial_id.expect("given"),
        change_spk: &side.change_spk,
        change_serial_id: side.change_serial_id.expect("given"),
        collateral: Amount::from_sat(STAKE),
        inputs: &side.funding_inputs,
    }
}

fn build(offer: &OfferDlc, side: &PartyParams) -> Deal {
    let checked = check::check_offer(offer, &POLICY, NOW).expect("an offer");
    Deal::build(offer, checked, &accepting(side)).expect("a deal")
}

/// What the accepting side answers, by this crate.
fn accept(offer: &OfferDlc, side: &PartyParams) -> AcceptDlc {
    let deal = build(offer, side);
    let signatures = deal.sign_outcomes(&key(2)).expect("signatures");
    AcceptDlc {
        protocol_version: 1,
        temporary_contract_id: offer.temporary_contract_id,
        accept_collateral: Amount::from_sat(STAKE),
        funding_pubkey: side.funding_pubkey,
        payout_spk: side.payout_spk.clone(),
        payout_serial_id: side.payout_serial_id.expect("given"),
        funding_inputs: side.funding_inputs.clone(),
        change_spk: side.change_spk.clone(),
        change_serial_id: side.change_serial_id.expect("given"),
        cet_adaptor_signatures: CetAdaptorSignatures::from(signatures.as_slice()),
        refund_signature: deal.sign_refund(&key(2)).expect("a signature"),
        negotiation_fields: None,
        tlvs: ddk_messages::TlvStream::default(),
    }
}

/// What bare ddk answers to the same offer.
fn bare_accept(offer: &OfferDlc, side: PartyParams) -> AcceptDlc {
    let params = AcceptOfferParams {
        party: side,
        min_timeout_interval: 0,
        max_timeout_interval: 10_000_000,
        now_unix: NOW,
    };
    let made = ddk::contract::accept_offer(offer, params, &key(2));
    made.expect("an accept message").accept
}

/// The sign message of bare ddk, which verifies the answer first.
fn bare_sign(offer: &OfferDlc, accept: &AcceptDlc) -> SignDlc {
    let deal = build(offer, &party(2));
    let fund = &deal.transactions.fund;
    let place = |outpoint| {
        let mut inputs = fund.input.iter();
        inputs
            .position(|input| input.previous_output == outpoint)
            .expect("an input")
    };
    let coins = check::input_outpoints(&offer.funding_inputs).expect("coins");
    let (outpoint, output) = &coins[0];
    let signature = ddk::contract::advanced::sign_p2wpkh_funding_input(
        fund,
        place(*outpoint),
        output.value,
        &key(101),
    );
    let signatures = FundingSignatures {
        funding_signatures: vec![signature.expect("a signature")],
    };
    let made = ddk::contract::advanced::sign_accept_with_funding_signatures(
        offer,
        accept,
        &key(1),
        signatures,
    );
    made.expect("a sign message").sign
}

pub(crate) fn oracle(folder: &tempfile::TempDir) -> Oracle {
    let path = folder.path().join("oracle.sqlite");
    Oracle::open(&path, &Seed::from_bytes([5; 32])).expect("an oracle")
}

fn enumerated(oracle: &Oracle, count: u64) -> ContractTerms {
    let names: Vec<String> = (0..count)
        .map(|number| format!("outcome {number}"))
        .collect();
    let event = Event {
        name: format!("{count} outcomes"),
        maturity_time: 1_900_000_000,
        outcomes: EventKind::Enumerated {
            names: names.clone(),
        },
    };
    let announcement = oracle.announce(&event).expect("an announcement");
    let step = 2 * STAKE / count;
    let payouts = names
        .iter()
        .zip(0..)
        .map(|(name, number)| (name.as_str(), number * step));
    ContractTerms::new(STAKE, STAKE, 2)
        .branch(Oracles::one(announcement), Payout::enumerated(payouts))
}

pub(crate) fn numeric(
    oracle: &Oracle,
    digits: u16,
    points: &[(u64, u64)],
    step: u64,
) -> ContractTerms {
    let event = Event {
        name: format!("{digits} digits"),
        maturity_time: 1_900_000_000,
        outcomes: EventKind::Numeric {
            base: 2,
            digits,
            unit: "usd".to_owned(),
            precision: 0,
        },
    };
    let announcement = oracle.announce(&event).expect("an announcement");
    ContractTerms::new(STAKE, STAKE, 2)
        .branch(Oracles::one(announcement), Payout::lines(points, step))
}

/// The settlement by this crate's way, from what is stored.
fn settle(offer: &OfferDlc, accept: &AcceptDlc, attestation: &str) -> Transaction {
    let deal = build(offer, &party(2));
    let attestation = wire::attestation(attestation).expect("an attestation");
    let found = deal.outcome(0, &[(0, attestation)]).expect("a contract");
    let (mut cet, index, oracles) = found.expect("decided");
    let adaptor = accept.cet_adaptor_signatures.ecdsa_adaptor_signatures[index].signature;
    let theirs = accept.funding_pubkey;
    deal.settle(&mut cet, &adaptor, &oracles, &key(1), &theirs)
        .expect("settled");
    deal.check_spend(&cet).expect("as nodes want it");
    cet
}

#[test]
fn bare_ddk_takes_our_messages_and_comes_to_the_same_settlement() {
    let folder = tempfile::tempdir().expect("a folder");
    let oracle = oracle(&folder);
    let cases = [
        (enumerated(&oracle, 5), "5 outcomes", "outcome 3"),
        (
            numeric(
                &oracle,
                10,
                &[(0, 0), (300, 0), (700, 2 * STAKE), (1_023, 2 * STAKE)],
                100_000,
            ),
            "10 digits",
            "512",
        ),
    ];
    for (terms, event, outcome) in cases {
        let offer = offer(&terms);
        let ours = accept(&offer, &party(2));
        let bare = bare_accept(&offer, party(2));
        // But for the signatures, which have randomness in them, the answers are the same.
        let mut alike = ours.clone();
        alike.cet_adaptor_signatures = bare.cet_adaptor_signatures.clone();
        assert_eq!(alike, bare);
        let deal = build(&offer, &party(2));
        for signed in [&ours, &bare] {
            let all: Vec<_> = (&signed.cet_adaptor_signatures).into();
            deal.verify_outcomes(&signed.funding_pubkey, &all)
                .expect("right");
        }
        let sign = bare_sign(&offer, &ours);
        let verified = ddk::contract::verify_signed_contract(&offer, &ours, &sign);
        let verified = verified.unwrap_or_else(|cause| unreachable!("{cause}"));
        assert_eq!(verified.contract_id(), deal.contract_id(&[7; 32]));
        let attestation = oracle.attest(event, outcome).expect("an attestation");
        let mine = settle(&offer, &ours, &attestation);
        let read = wire::attestation(&attestation).expect("own");
        let theirs = ddk::contract::sign_cet(&offer, &ours, &sign, &key(1), &[(0, read)]);
        assert_eq!(mine, theirs.expect("a settlement"));
    }
}

#[test]
fn a_script_of_a_party_that_is_the_fundings_own_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let offer = offer(&enumerated(&oracle(&folder), 5));
    let honest = build(&offer, &party(2));
    let funding = honest.transactions.funding_script_pubkey();
    let refusal = |offer: &OfferDlc, side: &PartyParams| {
        let checked = check::check_offer(offer, &POLICY, NOW).expect("an offer");
        let error = Deal::build(offer, checked, &accepting(side)).err();
        let error = error.expect("the funding could be taken for that output");
        error.context()[0].1.clone()
    };
    // Before the funding output, and behind it.
    for serial in [0, 60] {
        let mut side = party(2);
        side.change_spk = funding.clone();
        side.change_serial_id = Some(serial);
        assert_eq!(refusal(&offer, &side), "change_spk");
    }
    let mut side = party(2);
    side.payout_spk = funding.clone();
    assert_eq!(refusal(&offer, &side), "payout_spk");
    let mut other = offer.clone();
    other.change_spk = funding.clone();
    assert_eq!(refusal(&other, &party(2)), "change_spk");
    let mut other = offer;
    other.payout_spk = funding;
    assert_eq!(refusal(&other, &party(2)), "payout_spk");
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let answer = run();
    (started.elapsed(), answer)
}

/// `cargo test -p btc-dlc --release -- --ignored --nocapture side_by_side`
#[test]
#[ignore = "timed: run it alone, in release"]
fn accepting_and_settling_side_by_side_with_bare_ddk() {
    let folder = tempfile::tempdir().expect("a folder");
    let oracle = oracle(&folder);
    let terms = enumerated(&oracle, 10_000);
    let offer = offer(&terms);
    let deal = build(&offer, &party(2));
    let mut rows = Vec::new();
    for _ in 0..3 {
        let (bare, _) = timed(|| bare_accept(&offer, party(2)));
        let (ours, accepted) = timed(|| accept(&offer, &party(2)));
        let all: Vec<_> = (&accepted.cet_adaptor_signatures).into();
        let (verify, done) = timed(|| deal.verify_outcomes(&accepted.funding_pubkey, &all));
        done.expect("right");
        let limit = limit(&deal, 10_000);
        rows.push((bare, ours, verify, limit));
    }
    rows.sort();
    let (bare, ours, verify, limit) = rows[1];
    println!("10,000 outcomes: bare ddk signs in {bare:?}, this crate in {ours:?}");
    println!("10,000 outcomes: verified in {verify:?}; raw signatures on all cores {limit:?}");
    let accepted = accept(&offer, &party(2));
    let sign = bare_sign(&offer, &accepted);
    let attestation = oracle.attest("10000 outcomes", "outcome 77").expect("one");
    let (ours, mine) = timed(|| settle(&offer, &accepted, &attestation));
    let read = wire::attestation(&attestation).expect("own");
    let (bare, theirs) =
        timed(|| ddk::contract::sign_cet(&offer, &accepted, &sign, &key(1), &[(0, read)]));
    assert_eq!(mine, theirs.expect("a settlement"));
    println!("10,000 outcomes: settled in {ours:?}, by ddk's sign_cet in {bare:?}");
}

/// As many raw adaptor signatures, made on all cores over one transaction.
fn limit(deal: &Deal, count: usize) -> Duration {
    use rayon::prelude::*;
    let secp = Secp256k1::new();
    let point = PublicKey::from_secret_key(&secp, &key(9));
    let cet = &deal.transactions.cets[0];
    let script = &deal.transactions.funding_witness_script;
    let value = deal.transactions.get_fund_output().value;
    let (took, all) = timed(|| {
        let numbers = (0..count).into_par_iter();
        let made = numbers.map(|_| {
            let secret = key(2);
            ddk_dlc::create_cet_adaptor_sig_from_point(&secp, cet, &point, &secret, script, value)
                .expect("a signature")
        });
        made.collect::<Vec<_>>()
    });
    assert_eq!(all.len(), count);
    took
}

/// `cargo test -p btc-dlc --release -- --ignored --nocapture twenty_digits`
#[test]
#[ignore = "timed: run it alone, in release"]
fn seventeen_and_twenty_digits_stay_within_the_memory_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let oracle = oracle(&folder);
    let cases = [
        (
            17,
            vec![
                (0, 0),
                (50_000, 0),
                (60_000, 2 * STAKE),
                (131_071, 2 * STAKE),
            ],
            1,
        ),
        (20, vec![(0, 0), ((1 << 20) - 1, 2 * STAKE)], 10_000),
    ];
    for (digits, points, step) in cases {
        let offer = offer(&numeric(&oracle, digits, &points, step));
        let (took, accepted) = timed(|| accept(&offer, &party(2)));
        let count = accepted
            .cet_adaptor_signatures
            .ecdsa_adaptor_signatures
            .len();
        let deal = build(&offer, &party(2));
        let all: Vec<_> = (&accepted.cet_adaptor_signatures).into();
        let (verify, done) = timed(|| deal.verify_outcomes(&accepted.funding_pubkey, &all));
        done.expect("right");
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or_default();
        println!("{digits} digits: {count} signatures in {took:?}, verified in {verify:?}; {peak}");
    }
}
