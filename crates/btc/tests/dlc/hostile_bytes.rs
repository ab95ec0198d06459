//! Bytes of a hostile side: flipped, truncated, random.

use btc::ErrorKind;
use btc::discreet::text;
use btc::dlc::{ContractState, DlcInterface, DlcMessage, DlcMessageKind};

use crate::hostile::{STAKE, assert_untouched, offered};
use crate::support::{World, fund_offer, newest, signed_id};

/// Flips a byte of a message at every place given, and expects that nothing moves.
fn flipped(message: &DlcMessage, step: usize) -> impl Iterator<Item = DlcMessage> + '_ {
    let bytes = message.as_bytes();
    (2..bytes.len()).step_by(step).map(move |place| {
        let mut bytes = bytes.to_vec();
        bytes[place] ^= 1 << (place % 8);
        DlcMessage::from_bytes(bytes).expect("the type number is as it was")
    })
}

/// An altered message may be taken only where it means the very same contract: an order of inputs
/// that stays, a field that no transaction has. Then nothing of it can be misused.
#[test]
fn whatever_byte_is_flipped_no_other_contract_is_ever_signed_and_no_funding_broadcast() {
    let world = World::new();
    let (mut alice, mut bob) = world.parties();
    let offer = offered(&world, &alice);
    let id = newest(&alice);
    let (before, untouched) = (alice.backup(), bob.backup());
    for message in flipped(&offer, 3) {
        let Ok(accept) = bob.dlc.accept(&message) else {
            continue;
        };
        if let Ok(sign) = alice.dlc.sign(&accept) {
            let agreed = alice.dlc.get(id).expect("it").contract_id;
            assert_eq!(agreed, Some(signed_id(&sign)));
            let theirs = bob.dlc.list().expect("a list")[0].contract_id;
            assert_eq!(agreed, theirs, "another contract was signed");
            alice.restore(&before);
        }
        for contract in bob.dlc.list().expect("a list") {
            let _ = bob.dlc.cancel(contract.id);
        }
        bob.restore(&untouched);
    }
    assert_eq!(alice.state(id), ContractState::Offered);
    assert_eq!(bob.reserved(), 0);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let agreed = bob.dlc.get(id).expect("it").contract_id;
    for message in flipped(&accept, 5) {
        if let Ok(sign) = alice.dlc.sign(&message) {
            assert_eq!(
                agreed,
                Some(signed_id(&sign)),
                "another contract was signed"
            );
            alice.restore(&before);
        }
        assert_eq!(alice.state(id), ContractState::Offered);
    }
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    for message in flipped(&sign, 5) {
        bob.dlc
            .finalize(&message)
            .expect_err("an altered sign message");
        assert_eq!(bob.state(id), ContractState::Accepted);
    }
    assert!(world.mempool().is_empty());
    bob.dlc.finalize(&sign).expect("the message itself");
}

#[test]
fn truncated_and_random_bytes_are_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    for length in (2..offer.as_bytes().len()).step_by(7) {
        let bytes = offer.as_bytes()[..length].to_vec();
        let message = DlcMessage::from_bytes(bytes).expect("the type number");
        let failure = bob.dlc.accept(&message).expect_err("truncated");
        assert_eq!(failure.kind(), ErrorKind::InvalidInput);
    }
    let mut seed: u64 = 7;
    for kind in DlcMessageKind::ALL {
        for length in 0..300 {
            let mut bytes = kind.type_number().to_be_bytes().to_vec();
            for _ in 0..length {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push(seed.to_be_bytes()[0]);
            }
            let message = DlcMessage::from_bytes(bytes).expect("the type number");
            let failures = [
                bob.dlc.accept(&message).err(),
                bob.dlc.sign(&message).err(),
                bob.dlc.finalize(&message).err(),
                bob.dlc.accept_close(&message, 1).err(),
                bob.dlc.rejected(&message).err(),
            ];
            for failure in failures {
                let kind = failure.expect("a refusal").kind();
                assert!(matches!(
                    kind,
                    ErrorKind::InvalidInput | ErrorKind::NotFound
                ));
            }
        }
    }
    assert_untouched(&world, &bob);
}

#[test]
fn an_altered_proposal_to_close_is_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let id = fund_offer(&world, &alice, &bob, &offer);
    let proposal = alice.dlc.propose_close(id, STAKE).expect("a proposal");
    for message in flipped(&proposal, 1) {
        let own = bob.dlc.accept_close(&message, STAKE);
        assert!(own.is_err() || !world.mempool().is_empty());
        if own.is_ok() {
            // Only the number that orders inputs, which this closing does not use, may change.
            let same = text::to_json(&message).expect("JSON");
            assert!(same.contains("fundInputSerialId"));
            return;
        }
    }
    bob.dlc
        .accept_close(&proposal, STAKE)
        .expect("the proposal itself");
}
