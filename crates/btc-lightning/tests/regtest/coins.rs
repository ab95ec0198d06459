//! Coins: a withdrawal is done when Bitcoin Core has it, and no two transactions spend the same coin.

use std::time::Duration;

use btc_iface::lightning::{
    ChannelSize, LightningErrorKind as Kind, LightningInterface, Msat, OpenChannel, PaymentStatus,
    WithdrawAmount, WithdrawRequest,
};
use futures_lite::future::block_on;
use rusqlite::Connection;
use serde_json::json;

use crate::world::{AWAY, Ln, World, eventually};

fn to_elsewhere(key: &str, sat: u64) -> WithdrawRequest {
    WithdrawRequest {
        address: AWAY.to_owned(),
        amount: WithdrawAmount::Sat(sat),
        fee_rate_sat_per_vb: Some(2),
        key: key.to_owned(),
    }
}

fn status(ln: &Ln, key: &str) -> PaymentStatus {
    block_on(ln.node().payment(key.to_owned()))
        .expect("known")
        .status
}

#[test]
fn a_withdrawal_is_pending_until_bitcoin_core_has_it() {
    let world = World::start();
    let ln = world.ln("alice");
    world.fund(&[&ln]);
    world.core.pause().expect("frozen");
    let txid = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect("handed over");
    let before = status(&ln, "rent");
    world.core.resume().expect("awake");
    assert_eq!(before, PaymentStatus::Pending);
    let again = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect("known");
    assert_eq!(again, txid);
    eventually("it is done", || {
        status(&ln, "rent") == PaymentStatus::Succeeded
    });
    assert_eq!(world.mempool(), [json!(txid)]);
}

#[test]
fn two_withdrawals_and_an_opening_in_a_row_spend_different_coins() {
    let world = World::start();
    let (a, b) = (world.ln("alice"), world.ln("bob"));
    world.fund(&[&a]);
    let mut expected = Vec::new();
    for key in ["rent", "light"] {
        let txid = block_on(a.node().withdraw(to_elsewhere(key, 10_000))).expect("handed over");
        expected.push(json!(txid));
    }
    let open = OpenChannel {
        peer: b.id(),
        address: b.address(),
        size: ChannelSize::Sat(100_000),
        push_msat: Msat::ZERO,
        is_announced: false,
        fees: None,
    };
    let handle = block_on(a.node().open_channel(open)).expect("an opening");
    let last = block_on(a.node().withdraw(to_elsewhere("water", 10_000))).expect("handed over");
    expected.push(json!(last));
    eventually("all four are there", || {
        let pool = world.mempool();
        let funding = a.channel(handle).and_then(|channel| channel.funding);
        expected.iter().all(|txid| pool.contains(txid))
            && funding.is_some_and(|funding| pool.contains(&json!(funding.txid)))
    });
}

#[test]
fn a_disk_that_fails_after_money_may_have_moved_gives_unknown() {
    let world = World::start();
    let ln = world.ln("alice");
    world.fund(&[&ln]);
    let file = Connection::open(ln.config.directory.join("node.sqlite")).expect("its file");
    file.busy_timeout(Duration::from_secs(5)).expect("set");
    file.execute_batch(
        "CREATE TRIGGER full BEFORE UPDATE ON intents BEGIN SELECT RAISE(ABORT, 'no space'); END",
    )
    .expect("a disk that is full at the wrong moment");
    let answer = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000)));
    let kind = answer.expect_err("it cannot be written down").kind();
    assert!(matches!(kind, Kind::Unknown | Kind::Stopped), "{kind:?}");
}
