//! Coins: a withdrawal is done when six blocks bury it, and no two transactions spend the same coin.

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
fn a_withdrawal_is_pending_until_it_is_buried() {
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
    eventually("it waits for a block", || world.mempool() == [json!(txid)]);
    world.mine(5);
    world.synced(&[&ln]);
    assert_eq!(status(&ln, "rent"), PaymentStatus::Pending);
    world.mine(1);
    eventually("it is done", || {
        status(&ln, "rent") == PaymentStatus::Succeeded
    });
}

#[test]
fn a_withdrawal_that_bitcoin_core_forgot_is_sent_again_and_its_coins_are_not() {
    let world = World::start();
    let ln = world.ln("alice");
    world.fund(&[&ln]);
    let first = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect("handed over");
    eventually("its bytes are kept", || {
        world.mempool() == [json!(first)] && is_kept(&ln, first)
    });
    world.core.stop().expect("stopped");
    let pool = world.core.datadir().join("regtest/mempool.dat");
    std::fs::remove_file(pool).expect("forgotten");
    world.core.restart().expect("back");
    // At a higher rate it would replace the first, if it took the same coins.
    let second = WithdrawRequest {
        fee_rate_sat_per_vb: Some(20),
        ..to_elsewhere("light", 20_000)
    };
    let second = loop {
        match block_on(ln.node().withdraw(second.clone())) {
            Ok(txid) => break txid,
            Err(error) => {
                let is_soon = matches!(error.kind(), Kind::ChainUnavailable | Kind::Refused);
                assert!(is_soon, "{error}");
            }
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    assert_ne!(status(&ln, "rent"), PaymentStatus::Succeeded);
    eventually("both wait", || {
        let pool = world.mempool();
        [first, second]
            .iter()
            .all(|txid| pool.contains(&json!(txid)))
    });
    world.mine(6);
    eventually("both are done", || {
        ["rent", "light"]
            .iter()
            .all(|key| status(&ln, key) == PaymentStatus::Succeeded)
    });
}

/// Whether the bytes of the withdrawal are in the node's file.
fn is_kept(ln: &Ln, txid: bitcoin::Txid) -> bool {
    let file = Connection::open(ln.config.directory.join("node.sqlite")).expect("its file");
    let sql = "SELECT EXISTS (SELECT 1 FROM withdrawals WHERE txid = ?1)";
    let row = file.query_row(sql, [txid.to_string()], |row| row.get(0));
    row.unwrap_or(false)
}

#[test]
fn a_withdrawal_that_was_sent_and_not_written_down_is_found_and_not_given_up() {
    let world = World::start();
    let mut ln = world.ln("alice");
    world.fund(&[&ln]);
    let path = ln.config.directory.join("node.sqlite");
    let file = Connection::open(&path).expect("its file");
    file.busy_timeout(Duration::from_secs(5)).expect("set");
    file.execute_batch(
        "CREATE TRIGGER full BEFORE UPDATE ON intents BEGIN SELECT RAISE(ABORT, 'no space'); END",
    )
    .expect("a disk that is full at the wrong moment");
    block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect_err("not written down");
    eventually("it is in the mempool", || world.mempool().len() == 1);
    let sent = world.mempool();
    ln.stop();
    file.execute_batch("DROP TRIGGER full")
        .expect("space again");
    drop(file);
    ln.start();
    assert_eq!(status(&ln, "rent"), PaymentStatus::Unknown);
    let early = block_on(ln.node().abandon("rent".to_owned())).expect_err("too early");
    assert_eq!(early.kind(), Kind::Refused, "{early}");
    let again = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect_err("unknown");
    assert_eq!(again.kind(), Kind::Unknown, "{again}");
    world.mine(1);
    world.synced(&[&ln]);
    eventually("it is found", || {
        status(&ln, "rent") == PaymentStatus::Pending
    });
    let known = block_on(ln.node().withdraw(to_elsewhere("rent", 10_000))).expect("known");
    assert_eq!(json!(known), sent[0]);
    world.mine(5);
    eventually("it is done", || {
        status(&ln, "rent") == PaymentStatus::Succeeded
    });
    assert!(world.mempool().is_empty(), "it was paid once");
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
