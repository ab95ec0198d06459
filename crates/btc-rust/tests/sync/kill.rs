//! A process killed while it follows the chain: the next one goes on, and ends where one that was
//! never killed does.

use std::process::{Command, Stdio};
use std::time::Instant;

use btc_iface::{Credentials, Network, NodeConfig};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::{ChainSource, Follower};

use crate::wallet::{CHANGE, GAP, Wallet, keyring, pay, receive, script};

/// Where the child finds the node and the books: url, cookie file, path.
const PLACE: &str = "SYNC_CHILD_PLACE";

/// Not a test: what the killed process does.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child() {
    let place = std::env::var(PLACE).expect("set by the parent");
    let mut parts = place.split('\n');
    let mut part = || parts.next().expect("three lines").to_owned();
    let config = NodeConfig {
        url: part(),
        credentials: Credentials::CookieFile(part().into()),
        ..NodeConfig::new(Network::Regtest)
    };
    let mut ledger = Ledger::open(part().as_ref(), keyring(), 0, GAP).expect("books");
    let source = CoreSource::connect(&config).expect("a node");
    source.follow(&mut ledger).expect("a sync");
}

#[test]
fn killed_at_any_moment_the_scan_goes_on() {
    let node = Node::builder().rest(false).start().expect("a node");
    let mut chain = Chain::new(&node, 1).expect("regtest");
    chain.mine(150).expect("blocks");
    for index in 0..40_u32 {
        // Far ones first, so that the scan is repeated.
        let index = 39 - index;
        pay(&mut chain, receive(index), 10_000 + u64::from(index));
        pay(&mut chain, script(CHANGE, index / 4), 20_000);
        chain.mine(45).expect("blocks");
    }
    pay(&mut chain, receive(0), 30_000);

    let start = |wallet: &Wallet| {
        let place = format!(
            "{}\n{}\n{}",
            node.rpc_url(),
            node.cookie_file().expect("a cookie").display(),
            wallet.path().display()
        );
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--ignored", "kill::child"])
            .env(PLACE, &place)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts")
    };
    let begun = Instant::now();
    let unkilled = Wallet::new(&node, 0);
    let ended = start(&unkilled).wait().expect("it is over");
    assert!(ended.success());
    let took = begun.elapsed();

    let mut wallet = Wallet::new(&node, 0);
    let mut positions = Vec::new();
    for i in 0..12 {
        let mut child = start(&wallet);
        std::thread::sleep(took * (8 + i * 37 % 40) / 100);
        child.kill().expect("SIGKILL");
        child.wait().expect("it is over");
        wallet.reopen();
        positions.push(wallet.ledger.scanned().map(|block| block.height));
        if !wallet.ledger.is_first_scan() {
            break;
        }
    }
    assert!(positions.iter().any(Option::is_some), "{positions:?}");
    let view = wallet.sync_right(&node);
    assert_eq!(Wallet::new(&node, 0).sync(), view);
    let mut unkilled = unkilled;
    assert_eq!(unkilled.reopen(), view);
}
