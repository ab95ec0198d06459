//! Offers and refunds.

use btc_iface::lightning::{
    EventDetail, LightningErrorKind as Kind, LightningInterface, Msat, OfferRequest, PayOffer,
    PaymentStatus, RefundRequest,
};
use futures_lite::future::block_on;

use crate::world::{World, eventually};

#[test]
fn an_offer_is_paid_once_for_each_key() {
    let world = World::start();
    let (mut a, b, _) = world.pair(1_000_000, 0);
    let offer = block_on(b.node().create_offer(OfferRequest {
        amount_msat: Some(Msat::new(20_000)),
        description: "coffee".to_owned(),
        expiry_seconds: None,
    }));
    let offer = offer.expect("an offer").offer;
    let request = |key: &str| PayOffer {
        offer: offer.clone(),
        amount_msat: None,
        note: Some("thanks".to_owned()),
        max_fee_msat: None,
        key: key.to_owned(),
    };
    for key in ["cup 1", "cup 2", "cup 1"] {
        let payment = block_on(a.node().pay_offer(request(key))).expect("handed over");
        assert_eq!(a.end_of(&payment).status, PaymentStatus::Succeeded);
    }
    a.restart();
    let again = block_on(a.node().pay_offer(request("cup 2"))).expect("known");
    assert_eq!(again.status, PaymentStatus::Succeeded);
    assert_eq!(
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. })),
        2
    );
    let wrong = PayOffer {
        amount_msat: Some(Msat::new(1)),
        ..request("cup 3")
    };
    assert_eq!(
        block_on(a.node().pay_offer(wrong))
            .expect_err("too little")
            .kind(),
        Kind::WrongAmount
    );
    let open = block_on(b.node().create_offer(OfferRequest {
        amount_msat: None,
        description: "tips".to_owned(),
        expiry_seconds: Some(3_600),
    }));
    let open = PayOffer {
        offer: open.expect("an offer").offer,
        ..request("tip")
    };
    let without = block_on(a.node().pay_offer(open.clone())).expect_err("how much?");
    assert_eq!(without.kind(), Kind::WrongAmount);
    let given = PayOffer {
        amount_msat: Some(Msat::new(3_000)),
        ..open
    };
    eventually("the channel is usable after the restart", || {
        a.channels().iter().all(|channel| channel.is_usable)
    });
    let payment = block_on(a.node().pay_offer(given)).expect("handed over");
    assert_eq!(a.end_of(&payment).status, PaymentStatus::Succeeded);
}

#[test]
fn an_offer_whose_receiver_is_away_fails_and_can_be_tried_again() {
    let world = World::start();
    let (a, mut b, _) = world.pair(1_000_000, 0);
    let offer = block_on(b.node().create_offer(OfferRequest {
        amount_msat: Some(Msat::new(20_000)),
        description: String::new(),
        expiry_seconds: None,
    }));
    let request = PayOffer {
        offer: offer.expect("an offer").offer,
        amount_msat: None,
        note: None,
        max_fee_msat: None,
        key: "once".to_owned(),
    };
    b.stop();
    eventually("the peer is seen to be away", || {
        a.channels().iter().all(|channel| !channel.is_usable)
    });
    let away = block_on(a.node().pay_offer(request.clone()));
    assert!(matches!(
        away.expect_err("no usable channel").kind(),
        Kind::NotEnough { .. }
    ));
    b.start();
    eventually("the channel is usable again", || {
        a.channels().iter().all(|channel| channel.is_usable)
    });
    let payment = block_on(a.node().pay_offer(request)).expect("handed over");
    assert_eq!(a.end_of(&payment).status, PaymentStatus::Succeeded);
    eventually("paid once", || {
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. })) == 1
    });
}

#[test]
fn a_refund_is_taken_once() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let refund = block_on(a.node().create_refund(RefundRequest {
        amount_msat: Msat::new(30_000),
        expiry_seconds: 600,
        max_fee_msat: None,
    }));
    let refund = refund.expect("a refund").offer;
    let decoded = block_on(b.node().decode(refund.clone())).expect("a refund");
    assert_eq!(decoded.amount_msat, Some(Msat::new(30_000)));
    let hash = block_on(b.node().request_refund(refund.clone())).expect("asked for");
    eventually("it arrives", || {
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { hash: paid, .. } if *paid == hash)) == 1
    });
    let _ = block_on(b.node().request_refund(refund));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. })),
        1
    );
}
