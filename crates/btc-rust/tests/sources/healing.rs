//! What lying peers were believed is put right by the wallet's own node.

use bitcoin::{Amount, OutPoint, Transaction};
use btc_iface::{Credentials, Network, NodeConfig};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::ledger::{Ledger, View};
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};
use btc_rust::wallet::source::{ChainSource, Follower as _};
use tempfile::TempDir;

use crate::liars::paid;
use crate::scripted::{Scripted, announce};
use crate::setup::{SHORT, config, over, pay, wait_until};
use crate::story::Story;
use crate::wallet::{GAP, Pocket};

/// New books of the wallet, in their folder.
fn books(pocket: &Pocket<'_>, birthday: u32) -> (Ledger, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let ledger = Ledger::open(&path, &pocket.keyring, birthday, GAP).expect("new books");
    (ledger, folder)
}

fn own_node(node: &Node) -> CoreSource {
    let config = NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file().expect("a cookie")),
        ..NodeConfig::new(Network::Regtest)
    };
    CoreSource::connect(&config).expect("a node")
}

fn follow(ledger: &mut Ledger, source: &dyn ChainSource) -> View {
    source.follow(ledger).expect("the scan ends");
    (*ledger.view()).clone()
}

/// The books are those of a wallet that has asked no one but the node.
fn assert_healed(ledger: &mut Ledger, pocket: &Pocket<'_>, node: &Node) -> View {
    let healed = follow(ledger, &own_node(node));
    let (mut fresh, _folder) = books(pocket, 0);
    let right = follow(&mut fresh, &own_node(node));
    assert_eq!(healed.tip, right.tip);
    assert_eq!(healed.coins, right.coins);
    assert_eq!(healed.balance, right.balance);
    assert_eq!(ledger.history(), fresh.history());
    healed
}

#[test]
fn p2p_payments_and_spends_that_were_hidden_are_found_by_the_node() {
    let mut pocket = Pocket::new("hidden");
    let node = paid(&pocket);
    let mut chain = Chain::new(&node, 2).expect("a chain");
    chain.mine(101).expect("blocks");
    pay(&mut chain, &pocket, &[1]);
    chain.mine(2).expect("blocks");
    let before = Story::of(&node);
    let (mut ledger, folder) = books(&pocket, 0);
    let liar = Scripted::honest(before.clone().without(&pocket.script(0)));
    let believed = follow(&mut ledger, &over(&[&liar], 1));
    assert_eq!(believed.balance.confirmed_sat, 100_001);
    assert_healed(&mut ledger, &pocket, &node);

    // What is found is kept: peers go on from there, and a spend can be hidden again.
    pocket.follow(&own_node(&node)).expect("the scan ends");
    let coins = pocket.coins();
    let coin = coins.keys().next().expect("a coin");
    let script = coins[coin].0.to_sat() - 100_000;
    let script = pocket.script(u32::try_from(script).expect("small"));
    let spend = pocket.spend(*coin, Pocket::new("elsewhere").script(0), 500);
    chain.mine_transactions(&[spend]).expect("a block");
    chain.mine(3).expect("blocks");
    let liar = Scripted::honest(Story::of(&node).without(&script));
    let believed = follow(&mut ledger, &over(&[&liar], 1));
    assert_eq!(believed.balance.confirmed_sat, 200_001);
    drop(ledger);
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, &pocket.keyring, 0, GAP).expect("the books");
    let healed = assert_healed(&mut ledger, &pocket, &node);
    assert!(healed.balance.confirmed_sat < 200_001);
    assert_eq!(healed.coins.len(), 1);
}

#[test]
fn p2p_blocks_that_were_made_up_are_undone_by_the_node() {
    let pocket = Pocket::new("forged");
    let node = paid(&pocket);
    let truth = Story::of(&node);
    let height = usize::try_from(truth.height()).expect("few");
    let gift = made_up(&pocket, &truth, 7);
    // More work than the truth: on regtest it costs nothing.
    let forged = truth.to(height - 8).mine_with(vec![gift.clone()]).mine(9);
    let liar = Scripted::honest(forged);
    let (mut ledger, _folder) = books(&pocket, 0);
    let believed = follow(&mut ledger, &over(&[&liar], 1));
    assert_eq!(believed.balance.confirmed_sat, 70_000);
    assert_eq!(believed.coins.len(), 1);
    let healed = assert_healed(&mut ledger, &pocket, &node);
    assert_eq!(healed.balance.confirmed_sat, 100_000);
    assert_eq!(healed.balance.untrusted_pending_sat, 0);
}

#[test]
fn p2p_announced_payments_that_were_made_up_are_not_trusted_and_undone_by_the_node() {
    let pocket = Pocket::new("announced");
    let node = paid(&pocket);
    let truth = Story::of(&node);
    let gift = made_up(&pocket, &truth, 7);
    let liar = announce(truth, vec![gift]);
    let source = P2pSource::start(P2pConfig {
        timeout: SHORT,
        pending_for: Some(SHORT * 100),
        ..config(vec![liar.host()])
    });
    let source = source.expect("a right configuration");
    let (mut ledger, _folder) = books(&pocket, 0);
    wait_until("it is heard of", || {
        follow(&mut ledger, &source).balance.untrusted_pending_sat == 70_000
    });
    let believed = follow(&mut ledger, &source);
    assert_eq!(believed.balance.spendable_sat(), 100_000);
    assert!(believed.unconfirmed().count() == 1);
    let healed = assert_healed(&mut ledger, &pocket, &node);
    assert_eq!(healed.balance.untrusted_pending_sat, 0);
    assert!(ledger.unconfirmed().is_empty());
}

/// A payment to the wallet of 70,000 sat that spends nothing.
fn made_up(pocket: &Pocket<'_>, story: &Story, number: u32) -> Transaction {
    let mut gift = story.blocks[1].txdata[0].clone();
    gift.input[0].previous_output = OutPoint::new(gift.compute_txid(), number);
    gift.output.truncate(1);
    gift.output[0].value = Amount::from_sat(70_000);
    gift.output[0].script_pubkey = pocket.script(3);
    gift
}
