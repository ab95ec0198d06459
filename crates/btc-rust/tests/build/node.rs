//! A real node's word on what is built.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{AddressType, Chain, SnapshotCoin};
use btc_regtest::{Chain as Blocks, Node};
use btc_rust::wallet::build::{plan, sign};
use serde_json::{Value, json};

use crate::samples::{address, keyring, signer, snapshot};

/// Coins of these values on the wallet's first addresses, of each type in turn, confirmed.
pub(crate) fn fund(blocks: &mut Blocks, values: &[u64]) -> Vec<SnapshotCoin> {
    let wanted: Vec<SnapshotCoin> = (0..)
        .zip(values)
        .map(|(number, value_sat)| SnapshotCoin {
            outpoint: OutPoint::null(),
            value_sat: *value_sat,
            address_type: AddressType::ALL[number as usize % 4],
            chain: Chain::ALL[number as usize / 4 % 2],
            index: number / 8,
        })
        .collect();
    let outputs: Vec<(ScriptBuf, Amount)> = wanted
        .iter()
        .map(|coin| {
            (
                crate::samples::script(coin),
                Amount::from_sat(coin.value_sat),
            )
        })
        .collect();
    let txid = blocks.pay(&outputs, 2).expect("a rich factory");
    blocks.mine(1).expect("a block");
    place(blocks.node(), txid, wanted)
}

/// Finds each coin among the transaction's outputs.
fn place(node: &Node, txid: Txid, mut wanted: Vec<SnapshotCoin>) -> Vec<SnapshotCoin> {
    let hex: String = node
        .call("getrawtransaction", &[json!(txid)])
        .expect("its transaction");
    let transaction: Transaction =
        bitcoin::consensus::encode::deserialize_hex(&hex).expect("the node's bytes");
    for coin in &mut wanted {
        let script = crate::samples::script(coin);
        let vout = transaction
            .output
            .iter()
            .position(|it| it.script_pubkey == script && it.value.to_sat() == coin.value_sat)
            .expect("what was paid");
        coin.outpoint = OutPoint::new(txid, u32::try_from(vout).expect("few outputs"));
    }
    wanted
}

/// Fails unless the node would take the transaction; returns its fee in satoshi.
pub(crate) fn accepted_fee_sat(node: &Node, transaction: &Transaction) -> u64 {
    let hex = serialize_hex(transaction);
    let answer: Value = node
        .call("testmempoolaccept", &[json!([hex])])
        .expect("an answer");
    assert_eq!(answer[0]["allowed"], json!(true), "{answer}");
    let fee = answer[0]["fees"]["base"]
        .as_f64()
        .expect("an amount in BTC");
    Amount::from_btc(fee).expect("an amount").to_sat()
}

#[test]
fn a_node_takes_all_four_types_alone_and_mixed() {
    let node = Node::builder()
        .txindex(true)
        .start()
        .expect("a private node");
    let mut blocks = Blocks::new(&node, 4).expect("a factory");
    blocks.mine(120).expect("blocks");
    let values: Vec<u64> = (0..16).map(|n| 100_000 + n * 1_000).collect();
    let coins = fund(&mut blocks, &values);
    let build = |coins: Vec<SnapshotCoin>, total: u64, change_type| {
        let mut snapshot = snapshot(coins, change_type);
        snapshot.tip.height = blocks.height();
        let outputs = [(address(2), total / 2), (address(4), total / 4)];
        let draft = plan(keyring(), &snapshot, &outputs, 3).expect("enough");
        let signed = sign(&draft, keyring(), signer()).expect("own coins");
        assert_eq!(accepted_fee_sat(&node, &signed), draft.fee_sat);
        draft.inputs.len()
    };
    for address_type in AddressType::ALL {
        let alone = coins
            .iter()
            .filter(|coin| coin.address_type == address_type);
        let used = build(alone.copied().collect(), 400_000, address_type);
        assert!(used >= 3, "{address_type}: {used}");
    }
    assert_eq!(build(coins, 2_200_000, AddressType::P2tr), 16);
}
