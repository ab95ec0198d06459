//! What is refused before any money moves, each with its kind.

use btc_iface::lightning::{
    ChannelHandle, ChannelSize, CloseMode, InvoiceRequest, LightningErrorKind as Kind,
    LightningInterface, Msat, NodeId, OpenChannel, PayInvoice, WithdrawAmount, WithdrawRequest,
};
use futures_lite::future::block_on;

use crate::world::{BTC, Ln, World, eventually};

/// From the examples of BOLT 11: for mainnet, and long expired.
const MAINNET: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

fn try_to_pay(ln: &Ln, invoice: &str, amount_msat: Option<u64>) -> Kind {
    let refused = block_on(ln.node().pay_invoice(PayInvoice {
        invoice: invoice.to_owned(),
        amount_msat: amount_msat.map(Msat::new),
        max_fee_msat: None,
        key: None,
    }));
    refused.expect_err("it must be refused").kind()
}

#[test]
fn bad_invoices_and_unknown_channels_are_refused_and_nothing_is_sent() {
    let world = World::start();
    let (a, b, _) = world.pair(1_000_000, 0);
    let before = (a.balances(), b.balances());

    assert_eq!(try_to_pay(&a, MAINNET, Some(1_000)), Kind::WrongNetwork);
    assert_eq!(try_to_pay(&a, &a.invoice(Some(1_000)), None), Kind::Own);
    assert_eq!(try_to_pay(&a, &b.invoice(None), None), Kind::WrongAmount);
    assert_eq!(try_to_pay(&a, &b.invoice(None), Some(0)), Kind::WrongAmount);
    assert_eq!(
        try_to_pay(&a, &b.invoice(Some(5_000)), Some(4_000)),
        Kind::WrongAmount
    );
    assert_eq!(
        try_to_pay(&a, &b.invoice(Some(5_000)), Some(6_000)),
        Kind::WrongAmount
    );
    assert_eq!(try_to_pay(&a, "lnbcrt1 nonsense", None), Kind::Malformed);
    let mut damaged = b.invoice(Some(5_000));
    let last = damaged.pop().expect("not empty");
    damaged.push(if last == 'q' { 'p' } else { 'q' });
    assert_eq!(try_to_pay(&a, &damaged, None), Kind::Malformed);
    let needed = Msat::new(2_000_000_000);
    match try_to_pay(&a, &b.invoice(Some(needed.get())), None) {
        Kind::NotEnough {
            available,
            needed: asked,
        } => {
            assert!(available < needed, "{available}");
            assert_eq!(asked, needed);
        }
        other => unreachable!("{other:?}"),
    }
    let short = block_on(b.node().create_invoice(InvoiceRequest {
        amount_msat: Some(Msat::new(1_000)),
        description: String::new(),
        is_description_hashed: false,
        expiry_seconds: 1,
        hold: None,
    }));
    let short = short.expect("an invoice").invoice;
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_eq!(try_to_pay(&a, &short, None), Kind::Expired);

    let unknown = ChannelHandle::from_bytes([1; 16]);
    for mode in [CloseMode::Cooperative, CloseMode::Force] {
        let refused = block_on(a.node().close_channel(unknown, mode)).expect_err("unknown");
        assert_eq!(refused.kind(), Kind::NotFound, "ldk-node says yes to it");
    }
    let stranger: NodeId = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        .parse()
        .expect("a key");
    let away = block_on(a.node().connect(stranger, "127.0.0.1:1".to_owned()));
    assert_eq!(
        away.expect_err("no node listens").kind(),
        Kind::PeerUnreachable
    );
    let away = block_on(a.node().disconnect(stranger));
    assert_eq!(away.expect_err("no peer").kind(), Kind::NotFound);
    let missing = block_on(a.node().payment("no such key".to_owned()));
    assert_eq!(missing.expect_err("never asked for").kind(), Kind::NotFound);

    assert_eq!((a.balances(), b.balances()), before, "no money moved");
    assert!(
        block_on(a.node().payments())
            .expect("a list")
            .iter()
            .all(|payment| payment.key.is_none())
    );
}

#[test]
fn an_opening_or_withdrawal_without_enough_money_says_how_much_there_is() {
    let world = World::start();
    let (a, b) = (world.ln("alice"), world.ln("bob"));
    world.fund(&[&a]);
    let request = OpenChannel {
        peer: b.id(),
        address: b.address(),
        size: ChannelSize::Sat(51 * BTC),
        push_msat: Msat::ZERO,
        is_announced: false,
        fees: None,
    };
    let refused = block_on(a.node().open_channel(request.clone())).expect_err("too much");
    assert!(
        matches!(refused.kind(), Kind::NotEnough { available, .. } if available.whole_sat() == 50 * BTC - 25_000),
        "{refused}"
    );
    let tiny = OpenChannel {
        size: ChannelSize::Sat(1),
        ..request.clone()
    };
    assert_eq!(
        block_on(a.node().open_channel(tiny))
            .expect_err("too small")
            .kind(),
        Kind::WrongAmount
    );
    let pushed = OpenChannel {
        size: ChannelSize::Sat(100_000),
        push_msat: Msat::new(100_000_000),
        ..request.clone()
    };
    assert_eq!(
        block_on(a.node().open_channel(pushed))
            .expect_err("all is pushed")
            .kind(),
        Kind::WrongAmount
    );

    let withdraw = |amount_sat, address: &str, key: &str| WithdrawRequest {
        address: address.to_owned(),
        amount: WithdrawAmount::Sat(amount_sat),
        fee_rate_sat_per_vb: Some(2),
        key: key.to_owned(),
    };
    let home = block_on(a.node().new_address()).expect("an address");
    let much = block_on(a.node().withdraw(withdraw(51 * BTC, &home, "w1"))).expect_err("too much");
    assert!(matches!(much.kind(), Kind::NotEnough { .. }), "{much}");
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let foreign = block_on(a.node().withdraw(withdraw(1_000, mainnet, "w2")));
    assert_eq!(foreign.expect_err("mainnet").kind(), Kind::WrongNetwork);
    // The same key pays once on the chain, too.
    let away = block_on(b.node().new_address()).expect("an address");
    let first = block_on(a.node().withdraw(withdraw(100_000, &away, "w3"))).expect("sent");
    let again = block_on(a.node().withdraw(withdraw(100_000, &away, "w3"))).expect("known");
    assert_eq!(first, again);
    eventually("it is in the mempool, once", || world.mempool().len() == 1);
    world.mine(1);
    world.synced(&[&a, &b]);
    eventually("it arrives", || b.balances().onchain_total_sat == 100_000);
    // Everything into one channel: more than nine tenths of it, and never the reserve.
    let all = OpenChannel {
        size: ChannelSize::All,
        ..request
    };
    let refused = block_on(a.node().open_channel(all));
    let handle = refused.expect("all that is free");
    let size = a.channel(handle).expect("being opened").capacity_sat;
    assert!(size > 45 * BTC && size <= 50 * BTC - 125_000, "{size}");
}
