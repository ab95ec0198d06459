//! Killed after any transition, a side resumes to the same funding transaction.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use btc::discreet::text;
use btc::dlc::{ContractState, DlcInterface, DlcMessage};
use btc::{Credentials, ErrorKind, Network, NodeConfig, WalletInterface};

use crate::support::{Party, World, newest, toss};

const STAKE: u64 = 400_000;
const STEP: &str = "BTC_DLC_TEST_STEP";

/// What a child does: one verb, then it says what came of it and is killed.
#[test]
fn child() {
    let Ok(step) = std::env::var(STEP) else {
        return;
    };
    let variable = |name: &str| std::env::var(name).expect("set by the parent");
    let config = NodeConfig {
        url: variable("BTC_DLC_TEST_URL"),
        credentials: Credentials::CookieFile(variable("BTC_DLC_TEST_COOKIE").into()),
        ..NodeConfig::new(Network::Regtest)
    };
    let clock = variable("BTC_DLC_TEST_CLOCK").parse().expect("a number");
    let home = PathBuf::from(variable("BTC_DLC_TEST_HOME"));
    let party = Party::open_at(config, &Arc::new(AtomicU64::new(clock)), &home);
    std::fs::write(home.join("ready"), "").expect("written");
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("a message");
    let answer = match step.as_str() {
        "offer" => {
            let announcement = String::from_utf8(input).expect("digits");
            party
                .dlc
                .offer(&toss(announcement, STAKE, STAKE))
                .expect("one")
        }
        "accept" => party
            .dlc
            .accept(&text::read(&input).expect("one"))
            .expect("one"),
        "sign" => party
            .dlc
            .sign(&text::read(&input).expect("one"))
            .expect("one"),
        _ => {
            party
                .dlc
                .finalize(&text::read(&input).expect("one"))
                .expect("a funding");
            return;
        }
    };
    // Nothing of the answer may be promised that a crash could take back.
    std::fs::write(home.join("answer"), text::to_hex(&answer)).expect("written");
    std::thread::sleep(Duration::from_mins(1));
}

/// Starts a child that has opened its wallet and store, and waits for its message.
fn start(world: &World, home: &std::path::Path, step: &str) -> Child {
    let config = world.config();
    let Credentials::CookieFile(cookie) = &config.credentials else {
        unreachable!("made so");
    };
    let ready = home.join("ready");
    let _ = std::fs::remove_file(&ready);
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "restart::child", "--nocapture"])
        .env(STEP, step)
        .env("BTC_DLC_TEST_URL", &config.url)
        .env("BTC_DLC_TEST_COOKIE", cookie)
        .env("BTC_DLC_TEST_CLOCK", world.now().to_string())
        .env("BTC_DLC_TEST_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    eventually("the child is ready", || ready.exists());
    child
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &mut Child, input: &[u8]) {
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input).expect("taken");
}

/// Runs one verb in a process that is killed (SIGKILL) as soon as it has answered.
fn killed_after(world: &World, home: &std::path::Path, step: &str, input: &[u8]) -> DlcMessage {
    let answer = home.join("answer");
    let _ = std::fs::remove_file(&answer);
    let mut child = start(world, home, step);
    send(&mut child, input);
    let mut message = None;
    eventually("an answer", || {
        let read = std::fs::read(&answer).ok();
        message = read.and_then(|data| text::read(&data).ok());
        message.is_some()
    });
    child.kill().expect("killed");
    child.wait().expect("gone");
    message.expect("read")
}

#[test]
fn a_side_that_is_killed_after_every_transition_resumes_to_the_same_funding() {
    // This node refuses the funding for its fee until it is told otherwise.
    let world = World::with(&["-minrelaytxfee=0.00005"]);
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let announcement = world.coin_toss(&oracle, "toss");
    let (alice, bob) = (alice.leave(), bob.leave());
    let offer = killed_after(&world, alice.path(), "offer", announcement.as_bytes());
    let accept = killed_after(&world, bob.path(), "accept", offer.as_bytes());
    // Asked once more after the crash: the same answer.
    let again = killed_after(&world, bob.path(), "accept", offer.as_bytes());
    assert_eq!(accept, again);
    let sign = killed_after(&world, alice.path(), "sign", accept.as_bytes());
    let again = killed_after(&world, alice.path(), "sign", accept.as_bytes());
    assert_eq!(sign, again);
    // Behind the store, before the network has it: the node refuses, and the process is killed.
    let mut child = start(&world, bob.path(), "finalize");
    send(&mut child, sign.as_bytes());
    let file = bob.path().join("dlc/contracts.sqlite");
    eventually("the funding is stored", || {
        let connection = rusqlite::Connection::open(&file).expect("a database");
        let sql = "SELECT count(*) FROM contracts WHERE sign NOT NULL";
        connection.query_row(sql, (), |row| row.get(0)) == Ok(1_i64)
    });
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(world.mempool().is_empty());
    let bob = Party::open_at(world.config(), &world.clock, bob.path());
    let alice = Party::open_at(world.config(), &world.clock, alice.path());
    let expected = alice.dlc.get(newest(&alice)).expect("it").funding_txid;
    world.favour(&expected.expect("known").to_string());
    let txid = bob.dlc.finalize(&sign).expect("the same funding");
    assert_eq!(Some(txid), expected);
    assert_eq!(world.mempool(), [txid]);
    assert_eq!((alice.reserved(), bob.reserved()), (1, 1));
    world.mine(1);
    for party in [&alice, &bob] {
        party.dlc.sync().expect("a sync");
        party.wallet.sync().expect("a sync");
        assert_eq!(party.state(newest(party)), ContractState::Confirmed);
        assert_eq!(party.reserved(), 0);
    }
}

#[test]
fn a_node_that_is_gone_stops_a_funding_before_it_is_signed() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    world.node.stop().expect("stopped");
    let failure = bob.dlc.finalize(&sign).expect_err("no node");
    assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure}");
    let id = newest(&bob);
    assert_eq!(bob.state(id), ContractState::Accepted);
    world.node.restart().expect("a node again");
    world.set_clock(world.now());
    let txid = bob.dlc.finalize(&sign).expect("the same message");
    assert_eq!(world.mempool(), [txid]);
}

#[test]
fn what_was_stored_before_a_broadcast_that_failed_leaves_at_the_next_sync() {
    let world = World::with(&["-minrelaytxfee=0.00005"]);
    let (alice, mut bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bob.dlc.finalize(&sign).expect_err("too low a fee");
    let id = newest(&bob);
    assert_eq!(bob.state(id), ContractState::Signed);
    let txid = bob.dlc.get(id).expect("it").funding_txid.expect("known");
    world.favour(&txid.to_string());
    bob.restart();
    bob.dlc.sync().expect("a sync");
    assert_eq!(bob.state(id), ContractState::Broadcast);
    assert_eq!(world.mempool(), [txid]);
}
