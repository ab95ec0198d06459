//! Payments: what arrives, what it costs, and that each happens once.

use btc_iface::lightning::{
    CloseMode, EventDetail, InvoiceRequest, Keysend, LightningErrorKind as Kind,
    LightningInterface, Msat, PayInvoice, PaymentStatus, Preimage,
};
use futures_lite::future::block_on;

use crate::world::{World, eventually};

#[test]
fn a_channel_is_opened_paid_over_and_closed_with_totals_to_the_satoshi() {
    let world = World::start();
    let (a, b, handle) = world.pair(1_000_000, 0);
    let before_sat = a.balances().onchain_total_sat;
    for amount_msat in [20_000_000, 2_500_000, 1] {
        let payment = a.paid(&b.invoice(Some(amount_msat)), None);
        assert_eq!(
            payment.fee_msat,
            Some(Msat::ZERO),
            "a direct peer takes no fee"
        );
        let preimage = payment.preimage.expect("the proof of payment");
        assert_eq!(Some(preimage.hash()), payment.hash);
    }
    b.paid(&a.invoice(Some(500_000)), None);
    a.paid(&b.invoice(None), Some(7_000));
    let received = b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. }));
    assert_eq!(received, 4);

    block_on(a.node().close_channel(handle, CloseMode::Cooperative)).expect("a close");
    eventually("the close is in the mempool", || {
        !world.mempool().is_empty()
    });
    world.mine(6);
    world.synced(&[&a, &b]);
    eventually("all is on the chain", || {
        [&a, &b].iter().all(|ln| {
            let all = ln.balances();
            all.channels.is_empty() && all.sweeps.is_empty() && all.lightning_sat == 0
        })
    });
    let (a_sat, b_sat) = (
        a.balances().onchain_total_sat,
        b.balances().onchain_total_sat,
    );
    // 20,000,000 + 2,500,000 + 1 - 500,000 + 7,000 msat, without the part of a satoshi.
    assert_eq!(b_sat, 50 * 100_000_000 + 22_007, "the receiver's side");
    assert_eq!(
        a_sat + b_sat,
        100 * 100_000_000 - world.mined_fees_sat(),
        "nothing is lost but mined fees; before the close there were {before_sat} sat"
    );
    assert_eq!(
        a.saw(|event| matches!(
            event,
            EventDetail::ChannelClosed {
                is_cooperative: true,
                ..
            }
        )),
        1
    );
}

#[test]
fn the_same_key_pays_once_over_repetitions_concurrent_calls_and_restarts() {
    let world = World::start();
    let (mut a, mut b, _) = world.pair(1_000_000, 0);
    let invoice = b.invoice(Some(10_000));
    let request = PayInvoice {
        invoice: invoice.clone(),
        amount_msat: None,
        max_fee_msat: None,
        key: Some("order 1".to_owned()),
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                block_on(a.node().pay_invoice(request.clone())).expect("the same payment")
            });
        }
    });
    let ended = block_on(
        a.node()
            .wait_payment("order 1".to_owned(), std::time::Duration::from_secs(30)),
    );
    assert_eq!(ended.expect("an end").status, PaymentStatus::Succeeded);
    a.restart();
    let again = block_on(a.node().pay_invoice(request.clone())).expect("known");
    assert_eq!(
        (again.status, again.attempts),
        (PaymentStatus::Succeeded, 1)
    );
    // Neither the same invoice under another key, nor another invoice under the same key.
    let other_key = PayInvoice {
        key: Some("order 2".to_owned()),
        ..request.clone()
    };
    let other_invoice = PayInvoice {
        invoice: b.invoice(Some(10_000)),
        ..request
    };
    let is_refused = |a: &crate::world::Ln| {
        for wrong in [&other_key, &other_invoice] {
            let refused = block_on(a.node().pay_invoice(wrong.clone())).expect_err("taken");
            assert_eq!(refused.kind(), Kind::KeyReused);
        }
    };
    is_refused(&a);
    // Nor does it depend on the channels.
    b.stop();
    eventually("the peer is seen to be away", || {
        a.channels().iter().all(|channel| !channel.is_usable)
    });
    is_refused(&a);
    b.start();
    assert_eq!(
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. })),
        1
    );
    assert_eq!(
        a.saw(|event| matches!(event, EventDetail::PaymentSent { .. })),
        1
    );
}

#[test]
fn a_payment_that_failed_is_tried_again_under_its_key_and_debited_once() {
    let world = World::start();
    let (a, mut b, _) = world.pair(1_000_000, 0);
    // Held by the receiver, and given back: a failure after the money was under way.
    let preimage = Preimage::from_bytes([9; 32]);
    let hold = |ln: &crate::world::Ln| {
        block_on(ln.node().create_invoice(InvoiceRequest {
            amount_msat: Some(Msat::new(50_000)),
            description: String::new(),
            is_description_hashed: false,
            expiry_seconds: 3_600,
            hold: Some(preimage.hash()),
        }))
        .expect("an invoice")
    };
    let invoice = hold(&b);
    let request = PayInvoice {
        invoice: invoice.invoice,
        amount_msat: None,
        max_fee_msat: None,
        key: None,
    };
    let arrived = |ln: &crate::world::Ln, times| {
        eventually("the payment is held", || {
            ln.saw(|event| matches!(event, EventDetail::PaymentHeld { .. })) >= times
        });
    };
    let payment = block_on(a.node().pay_invoice(request.clone())).expect("handed over");
    arrived(&b, 1);
    block_on(b.node().fail_held(preimage.hash())).expect("it is held");
    let failed = a.end_of(&payment);
    assert_eq!(failed.status, PaymentStatus::Failed);
    let again = block_on(a.node().pay_invoice(request)).expect("tried again");
    assert_eq!(again.attempts, 2);
    b.restart();
    eventually("the second attempt ends", || {
        let _ = block_on(b.node().claim_held(preimage.clone(), Msat::new(50_000)));
        let seen = block_on(a.node().payment(preimage.hash().to_string())).expect("known");
        seen.status != PaymentStatus::Pending
    });
    let ended = a.end_of(&again);
    assert!(matches!(
        ended.status,
        PaymentStatus::Succeeded | PaymentStatus::Failed
    ));
    let received = b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. }));
    assert_eq!(
        received,
        usize::from(ended.status == PaymentStatus::Succeeded)
    );
}

/// Who paid an invoice knows its preimage, and can make an invoice with the same hash.
#[test]
fn an_invoice_with_the_hash_of_an_own_one_is_not_paid_nor_called_paid() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 300_000_000);
    let own = a.invoice(Some(20_000));
    b.paid(&own, None);
    let hash = own
        .parse::<ldk_node::lightning_invoice::Bolt11Invoice>()
        .expect("an invoice")
        .payment_hash()
        .to_string();
    let before = a.channels()[0].outbound_msat;
    let copied = block_on(b.node().create_invoice(InvoiceRequest {
        amount_msat: Some(Msat::new(50_000)),
        description: String::new(),
        is_description_hashed: false,
        expiry_seconds: 3_600,
        hold: Some(hash.parse().expect("a hash")),
    }));
    let request = PayInvoice {
        invoice: copied.expect("an invoice").invoice,
        amount_msat: None,
        max_fee_msat: None,
        key: Some("order 7".to_owned()),
    };
    let refused = block_on(a.node().pay_invoice(request)).expect_err("its own hash");
    assert_eq!(refused.kind(), Kind::Own, "{refused}");
    let unknown = block_on(a.node().payment("order 7".to_owned())).expect_err("none of it");
    assert_eq!(unknown.kind(), Kind::NotFound);
    assert_eq!(a.channels()[0].outbound_msat, before);
}

#[test]
fn a_held_payment_is_claimed_by_its_preimage() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let preimage = Preimage::from_bytes([3; 32]);
    let invoice = block_on(b.node().create_invoice(InvoiceRequest {
        amount_msat: Some(Msat::new(77_000)),
        description: "x".repeat(2_000),
        is_description_hashed: true,
        expiry_seconds: 3_600,
        hold: Some(preimage.hash()),
    }))
    .expect("an invoice");
    let early = block_on(
        b.node()
            .claim_held(Preimage::from_bytes([4; 32]), Msat::new(1)),
    );
    assert_eq!(early.expect_err("not held").kind(), Kind::NotFound);
    let payment = block_on(a.node().pay_invoice(PayInvoice {
        invoice: invoice.invoice,
        amount_msat: None,
        max_fee_msat: None,
        key: None,
    }))
    .expect("handed over");
    eventually("it is held", || {
        b.saw(|event| matches!(event, EventDetail::PaymentHeld { .. })) == 1
    });
    assert_eq!(
        block_on(a.node().payment(invoice.hash.to_string()))
            .expect("known")
            .status,
        PaymentStatus::Pending
    );
    block_on(b.node().claim_held(preimage.clone(), Msat::new(77_000))).expect("it is held");
    let ended = a.end_of(&payment);
    assert_eq!(
        (ended.status, ended.preimage),
        (PaymentStatus::Succeeded, Some(preimage))
    );
    eventually("the receiver knows", || {
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { amount_msat, .. } if amount_msat.get() == 77_000)) == 1
    });
}

#[test]
fn what_is_not_held_and_more_than_is_held_are_not_claimed() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let preimage = Preimage::from_bytes([5; 32]);
    let invoice = block_on(b.node().create_invoice(InvoiceRequest {
        amount_msat: None,
        description: String::new(),
        is_description_hashed: false,
        expiry_seconds: 3_600,
        hold: Some(preimage.hash()),
    }))
    .expect("an invoice");
    let claim = |amount| block_on(b.node().claim_held(preimage.clone(), Msat::new(amount)));
    let kind = |amount| claim(amount).expect_err("refused").kind();
    assert_eq!(kind(1), Kind::NotFound, "made, and not paid");
    let request = PayInvoice {
        invoice: invoice.invoice,
        amount_msat: Some(Msat::new(60_000)),
        max_fee_msat: None,
        key: None,
    };
    let is_held = |times| {
        eventually("it is held", || {
            b.saw(|event| matches!(event, EventDetail::PaymentHeld { .. })) == times
        });
    };
    let first = block_on(a.node().pay_invoice(request.clone())).expect("handed over");
    is_held(1);
    assert_eq!(kind(60_001), Kind::WrongAmount);
    block_on(b.node().fail_held(preimage.hash())).expect("it is held");
    assert_eq!(kind(60_000), Kind::NotFound, "given back");
    assert_eq!(a.end_of(&first).status, PaymentStatus::Failed);
    // Held again, until its time is over: the receiver may no longer take it.
    let second = block_on(a.node().pay_invoice(request)).expect("handed over");
    is_held(2);
    let deadline = b
        .events()
        .iter()
        .rev()
        .find_map(|event| match event.detail {
            EventDetail::PaymentHeld {
                deadline_height, ..
            } => deadline_height,
            _ => None,
        });
    let left = deadline.expect("it has one").checked_sub(world.height());
    world.mine(left.expect("it is not over"));
    world.synced(&[&a, &b]);
    assert_eq!(kind(60_000), Kind::NotFound, "the deadline is over");
    assert_eq!(a.end_of(&second).status, PaymentStatus::Failed);
}

#[test]
fn a_payment_larger_than_each_channel_goes_over_two_of_them() {
    let world = World::start();
    let (a, b, _) = world.pair(200_000, 0);
    world.open(&a, &b, 200_000, 0);
    let before: Vec<_> = a
        .channels()
        .iter()
        .map(|channel| channel.outbound_msat)
        .collect();
    // LDK lets a tenth of a channel be under way to it: 20,000 sat over each.
    let payment = a.paid(&b.invoice(Some(30_000_000)), None);
    assert_eq!(payment.amount_msat, Some(Msat::new(30_000_000)));
    let used = a
        .channels()
        .iter()
        .filter(|channel| channel.outbound_msat < before[0])
        .count();
    assert_eq!(used, 2, "both channels carried a part");
}

#[test]
fn a_payment_without_an_invoice_has_one_hash_for_its_key() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let request = Keysend {
        node_id: b.id(),
        amount_msat: Msat::new(5_000),
        max_fee_msat: None,
        key: "tip 1".to_owned(),
    };
    let first = block_on(a.node().keysend(request.clone())).expect("handed over");
    let ended = a.end_of(&first);
    assert_eq!(ended.status, PaymentStatus::Succeeded);
    let again = block_on(a.node().keysend(request)).expect("known");
    assert_eq!(again.hash, first.hash);
    assert_eq!(
        b.saw(|event| matches!(event, EventDetail::PaymentReceived { .. })),
        1
    );
}

#[test]
fn a_payment_through_a_third_node_pays_its_fee() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let c = world.ln("carol");
    world.open(&b, &c, 1_000_000, 0);
    eventually("the way is known", || {
        let payment = block_on(a.node().pay_invoice(PayInvoice {
            invoice: c.invoice(Some(50_000_000)),
            amount_msat: None,
            max_fee_msat: None,
            key: None,
        }));
        payment.is_ok_and(|payment| a.end_of(&payment).status == PaymentStatus::Succeeded)
    });
    eventually("the middle one knows what it earned", || {
        b.saw(|event| matches!(event, EventDetail::PaymentForwarded { fee_msat: Some(fee), .. } if *fee > Msat::ZERO)) == 1
    });
}
