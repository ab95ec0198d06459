//! A real node's word on replacements and children.

use std::collections::BTreeSet;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use btc_iface::{AddressType, Chain, FeeRate, PendingTransaction, SnapshotCoin, WalletSnapshot};
use btc_regtest::Node;
use btc_rust::wallet::build::{
    ChangePlace, Draft, Funds, MempoolEntry, Original, Parent, Purpose, RelayRules, Terms,
    accelerate, bump, sign,
};
use serde_json::{Value, json};

use crate::bump::original;
use crate::node::{funded, in_mempool, send};
use crate::request::{candidate, candidates, funds};
use crate::samples::{address, keyring, per_vb, plan, signer, snapshot};

const CHANGE: ChangePlace = ChangePlace {
    address_type: AddressType::P2wpkh,
    index: 40,
};

fn started() -> Node {
    Node::builder()
        .txindex(true)
        .start()
        .expect("a private node")
}

/// What the node says that it asks for.
fn relay(node: &Node) -> RelayRules {
    let info: Value = node.call("getmempoolinfo", &[]).expect("an answer");
    let rate = |name: &str| {
        let amount = Amount::from_btc(info[name].as_f64().expect("in BTC/kvB"));
        FeeRate::from_sat_per_kvb(amount.expect("an amount").to_sat())
    };
    RelayRules {
        incremental: rate("incrementalrelayfee"),
        min_rate: rate("mempoolminfee"),
        full_rbf: true,
    }
}

/// The descendants of a transaction in the node's mempool.
fn descendants(node: &Node, txid: Txid) -> Vec<MempoolEntry> {
    let all: Value = node
        .call("getmempooldescendants", &[json!(txid), json!(true)])
        .expect("in the mempool");
    let all = all.as_object().expect("by txid");
    let entry = |(txid, entry): (&String, &Value)| {
        let fee = entry["fees"]["base"].as_f64().expect("in BTC");
        let fee_sat = Amount::from_btc(fee).expect("an amount").to_sat();
        let depends = entry["depends"].as_array().expect("a list").iter();
        MempoolEntry {
            txid: txid.parse().expect("a txid"),
            weight_wu: entry["weight"].as_u64().expect("in WU"),
            fee_sat,
            modified_fee_sat: fee_sat,
            spends: depends
                .map(|it| it.as_str().expect("a text").parse().expect("a txid"))
                .collect(),
        }
    };
    all.iter().map(entry).collect()
}

fn signed(draft: &Draft) -> Transaction {
    sign(draft, keyring(), signer()).expect("own coins")
}

/// The change of a draft as a coin.
fn change_coin(draft: &Draft, txid: Txid) -> SnapshotCoin {
    let change = draft.change.expect("there is change");
    SnapshotCoin {
        outpoint: OutPoint::new(txid, change.vout),
        value_sat: change.value_sat,
        address_type: change.address_type,
        chain: Chain::Change,
        index: change.index,
    }
}

/// Sends a payment of `value_sat` from this coin, and returns it.
fn pay(
    node: &Node,
    at: &WalletSnapshot,
    coin: SnapshotCoin,
    value_sat: u64,
    rate: u64,
) -> (Draft, Transaction) {
    let mut at = at.clone();
    at.coins = vec![coin];
    let draft = plan(keyring(), &at, &[(address(2), value_sat)], rate).expect("enough");
    let transaction = signed(&draft);
    send(node, &transaction);
    (draft, transaction)
}

fn refused(node: &Node, transaction: &Transaction) -> bool {
    let hex = serialize_hex(transaction);
    let answer: Value = node
        .call("testmempoolaccept", &[json!([hex])])
        .expect("an answer");
    answer[0]["allowed"] == json!(false)
}

/// The replacement at the least rate.
fn least(node: &Node, it: &Original<'_>, funds: &Funds<'_>) -> Draft {
    let terms = Terms {
        purpose: Purpose::RaiseFee,
        fee_rate: None,
        relay: relay(node),
        allow_high_fee: true,
    };
    bump(keyring(), it, funds, terms).expect("enough")
}

/// The node takes the replacement, and does not take the same with this fee.
fn check_border(node: &Node, new: &Draft, less_sat: u64) {
    let mut less = new.clone();
    let place = less.change.map_or(0, |it| it.vout as usize);
    less.transaction.output[place].value += Amount::from_sat(new.fee_sat - less_sat);
    let (new_signed, less_signed) = (signed(new), signed(&less));
    // A signature may be shorter than planned; then a satoshi less may do.
    if less_signed.weight().to_wu() == new.weight {
        assert!(refused(node, &less_signed), "{less_sat} sat are enough");
    }
    send(node, &new_signed);
}

#[test]
fn a_node_takes_the_least_rate_and_no_satoshi_less() {
    let node = started();
    let (coins, height) = funded(&node, &[500_000; 24]);
    let coins: Vec<_> = coins
        .into_iter()
        .filter(|it| it.address_type != AddressType::P2pkh)
        .collect();
    let mut at = snapshot(coins.clone(), AddressType::P2wpkh);
    at.tip.height = height;
    let funds = Funds {
        tip_height: height,
        change: CHANGE,
        ..funds(&[], &[])
    };
    for (rate, coin) in (1..).zip(&coins[..6]) {
        let (old, transaction) = pay(&node, &at, *coin, 60_000 + rate, rate);
        let new = least(&node, &original(&old, &transaction), &funds);
        check_border(&node, &new, new.fee_sat - 1);
        let txid = signed(&new).compute_txid();
        assert!(in_mempool(&node).contains(&txid));
    }
    // With descendants, each of the change of the one before.
    for (number, coin) in (1..).zip(&coins[6..12]) {
        let (old, transaction) = pay(&node, &at, *coin, 60_000, 2);
        let mut family = BTreeSet::from([transaction.compute_txid()]);
        let mut last = change_coin(&old, transaction.compute_txid());
        for step in 1..=number {
            let (child, transaction) = pay(&node, &at, last, 20_000, 3 * step);
            last = change_coin(&child, transaction.compute_txid());
            family.insert(last.outpoint.txid);
        }
        let descendants = descendants(&node, transaction.compute_txid());
        assert_eq!(descendants.len() as u64, number);
        let it = Original {
            descendants: &descendants,
            ..original(&old, &transaction)
        };
        let new = least(&node, &it, &funds);
        check_border(&node, &new, new.fee_sat - 1);
        assert!(family.is_disjoint(&in_mempool(&node)));
    }
}

#[test]
fn a_larger_replacement_beats_the_rate_of_what_it_replaces() {
    let node = started();
    let (coins, height) = funded(&node, &[60_000; 8]);
    let mut at = snapshot(coins.clone(), AddressType::P2wpkh);
    at.tip.height = height;
    // Without change, so that coins are added for whatever the replacement costs more.
    let coin = coins
        .iter()
        .find(|it| it.address_type == AddressType::P2wpkh)
        .expect("one of each type");
    let (old, transaction) = pay(&node, &at, *coin, 60_000 - 20 * 110, 20);
    assert_eq!(old.change, None);
    let txid = transaction.compute_txid();
    let others: Vec<_> = coins.iter().filter(|it| it != &coin).copied().collect();
    let further = candidates(&others);
    let funds = Funds {
        tip_height: height,
        change: CHANGE,
        ..funds(&further, &[])
    };
    let new = least(&node, &original(&old, &transaction), &funds);
    // At exactly the rate of the old one, nodes before Bitcoin Core 31 refuse.
    let same_sat = old.fee_sat * new.weight / old.weight;
    check_border(&node, &new, same_sat - 1);
    assert!(new.inputs.len() > 1 && new.change.is_some());
    assert!(new.fee_sat * 4 > 20 * new.weight);
    assert!(!in_mempool(&node).contains(&txid));
}

#[test]
fn a_larger_replacement_beats_what_a_miner_takes_first() {
    let node = started();
    let kind = AddressType::P2wpkh;
    let place = AddressType::ALL.iter().position(|it| *it == kind);
    let mut values = [1_000; 48];
    values[place.expect("one of each type")] = 3_000;
    let (coins, height) = funded(&node, &values);
    let mut at = snapshot(coins.clone(), AddressType::P2wpkh);
    at.tip.height = height;
    let coins: Vec<_> = coins
        .into_iter()
        .filter(|it| it.address_type == kind)
        .collect();
    let (coin, others) = coins.split_first().expect("twelve of them");
    // 2 sat/vB without change, and a child that brings both to 10.
    let mine = SnapshotCoin {
        address_type: kind,
        chain: Chain::Receive,
        index: 30,
        ..*coin
    };
    at.coins = vec![*coin];
    let script = crate::samples::script(&mine);
    let own = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest);
    let own = own.expect("it has an address").to_string();
    let old = plan(keyring(), &at, &[(own, 3_000 - 220)], 2).expect("enough");
    assert_eq!(old.change, None);
    let transaction = signed(&old);
    let txid = send(&node, &transaction);
    let output = SnapshotCoin {
        outpoint: OutPoint::new(txid, 0),
        value_sat: 2_780,
        ..mine
    };
    pay(&node, &at, output, 2_780 - 1_980, 18);
    let family = descendants(&node, txid);
    let it = Original {
        descendants: &family,
        ..original(&old, &transaction)
    };
    let further = candidates(others);
    let funds = Funds {
        tip_height: height,
        change: CHANGE,
        ..funds(&further, &[])
    };
    let new = least(&node, &it, &funds);
    let part_wu = family[0].weight_wu + transaction.weight().to_wu();
    let part_sat = family[0].fee_sat + old.fee_sat;
    assert!(new.weight > part_wu, "{} WU", new.weight);
    let relay_sat = new.weight.div_ceil(4).div_ceil(10);
    assert!(
        new.fee_sat > part_sat + relay_sat,
        "the rate asks for more than the fees"
    );
    assert!(new.fee_sat * part_wu >= part_sat * new.weight);
    check_border(&node, &new, (part_sat * new.weight).div_ceil(part_wu) - 1);
    assert!(!in_mempool(&node).contains(&txid));
}

#[test]
fn a_node_counts_the_child_in() {
    let node = started();
    let (coins, height) = funded(&node, &[90_000, 80_000]);
    let mut at = snapshot(coins, AddressType::P2tr);
    at.tip.height = height;
    let parent = plan(keyring(), &at, &[(address(2), 120_000)], 1).expect("enough");
    let transaction = signed(&parent);
    let txid = send(&node, &transaction);
    let coins = [change_coin(&parent, txid)];
    let list = [PendingTransaction {
        txid,
        version: 2,
        size_vb: transaction.weight().to_wu().div_ceil(4),
        fee_sat: parent.fee_sat,
        spends: Vec::new(),
    }];
    let it = Parent {
        transaction: &transaction,
        coins: &coins,
        has_child: false,
    };
    let funds = Funds {
        tip_height: height,
        change: CHANGE,
        ..funds(&[], &list)
    };
    let child = accelerate(keyring(), &it, &funds, per_vb(25), false).expect("enough");
    let child = send(&node, &signed(&child));
    let entry: Value = node
        .call("getmempoolentry", &[json!(child)])
        .expect("in the mempool");
    let size = entry["ancestorsize"].as_u64().expect("in vB");
    let fees = entry["fees"]["ancestor"].as_f64().expect("in BTC");
    let fees = Amount::from_btc(fees).expect("an amount").to_sat();
    assert!(fees >= 25 * size, "{fees} sat for {size} vB");
    assert!(fees <= 25 * (size + 1), "{fees} sat for {size} vB");
}

#[test]
fn a_node_takes_version_3_as_it_is_built() {
    let node = started();
    let (coins, height) = funded(&node, &[90_000, 80_000, 70_000]);
    let mut at = snapshot(vec![coins[0]], AddressType::P2tr);
    at.tip.height = height;
    let mut parent = plan(keyring(), &at, &[(address(2), 20_000)], 1).expect("enough");
    parent.transaction.version.0 = 3;
    let transaction = signed(&parent);
    let txid = send(&node, &transaction);
    let list = [PendingTransaction {
        txid,
        version: 3,
        size_vb: transaction.weight().to_wu().div_ceil(4),
        fee_sat: parent.fee_sat,
        spends: Vec::new(),
    }];
    let pending = change_coin(&parent, txid);

    // A payment chooses the confirmed coins, though they are worth less.
    let mut mixed = at.clone();
    mixed.coins = vec![pending, coins[1], coins[2]];
    mixed.pending = list.to_vec();
    let draft = plan(keyring(), &mixed, &[(address(3), 100_000)], 2).expect("enough");
    assert_eq!(draft.inputs, [coins[1], coins[2]]);
    assert!(!refused(&node, &signed(&draft)));

    // Named, the coin makes a payment of version 3.
    let mut known = vec![candidate(pending), candidate(coins[1])];
    known[0].state = btc_iface::CoinState::TrustedPending;
    let request = btc_iface::TransactionRequest {
        coins: vec![pending.outpoint],
        ..crate::request::payment()
    };
    let funds = Funds {
        tip_height: height,
        ..funds(&known, &list)
    };
    let draft = crate::request::draft_on(&funds, &request, 1).expect("one child");
    assert_eq!(draft.transaction.version.0, 3);
    assert!(!refused(&node, &signed(&draft)));

    let coins = [pending];
    let it = Parent {
        transaction: &transaction,
        coins: &coins,
        has_child: false,
    };
    let child = accelerate(keyring(), &it, &funds, per_vb(25), false).expect("enough");
    assert_eq!(child.transaction.version.0, 3);
    send(&node, &signed(&child));
}
