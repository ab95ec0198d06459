//! A real node's word on what is built.

use std::collections::BTreeSet;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, Transaction, TxOut, Txid};
use btc_iface::{AddressType, Chain, SnapshotCoin};
use btc_regtest::{Chain as Blocks, Node};
use btc_rust::wallet::build::{
    combine_psbts, finalize_psbt, format_psbt, parse_psbt, sign, sign_psbt, to_psbt,
};
use serde_json::{Value, json};

use crate::psbt::is_mine;
use crate::samples::{address, extract_psbt, keyring, plan, signer, snapshot};

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
    let transaction = previous(node, txid);
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

/// A node with 120 blocks, and coins of these values for the wallet.
pub(crate) fn funded(node: &Node, values: &[u64]) -> (Vec<SnapshotCoin>, u32) {
    let mut blocks = Blocks::new(node, 4).expect("a factory");
    blocks.mine(120).expect("blocks");
    let coins = fund(&mut blocks, values);
    (coins, blocks.height())
}

pub(crate) fn send(node: &Node, transaction: &Transaction) -> Txid {
    node.call("sendrawtransaction", &[json!(serialize_hex(transaction))])
        .expect("accepted")
}

pub(crate) fn in_mempool(node: &Node) -> BTreeSet<Txid> {
    let txids: Vec<Txid> = node.call("getrawmempool", &[]).expect("a list");
    txids.into_iter().collect()
}

pub(crate) fn previous(node: &Node, txid: Txid) -> Transaction {
    let hex: String = node
        .call("getrawtransaction", &[json!(txid)])
        .expect("known to the node");
    bitcoin::consensus::encode::deserialize_hex(&hex).expect("the node's bytes")
}

#[test]
fn a_node_reads_and_finishes_the_psbt() {
    let node = Node::builder()
        .txindex(true)
        .start()
        .expect("a private node");
    let (coins, height) = funded(&node, &[50_000; 4]);
    let mut snapshot = snapshot(coins, AddressType::P2wpkh);
    snapshot.tip.height = height;
    let outputs = [(address(2), 150_000)];
    let draft = plan(keyring(), &snapshot, &outputs, 4).expect("enough");
    let mut psbt =
        to_psbt(&draft, keyring(), |txid| Ok(Some(previous(&node, txid)))).expect("all is at hand");
    let analyze = |psbt: &Psbt| -> Value {
        node.call("analyzepsbt", &[json!(format_psbt(psbt))])
            .expect("a good PSBT")
    };
    let first = analyze(&psbt);
    for (input, coin) in draft.inputs.iter().enumerate() {
        if coin.address_type == AddressType::P2tr {
            continue;
        }
        // Of a taproot input the node never says that its signature is all that is missing.
        let next = &first["inputs"][input]["next"];
        assert_eq!(next, &json!("signer"), "{}: {first:#}", coin.address_type);
    }
    let signed = sign_psbt(&mut psbt, signer(), is_mine, |_| None).expect("own coins");
    assert_eq!(signed, draft.inputs.len());
    assert_eq!(analyze(&psbt)["next"], json!("finalizer"));
    let answer: Value = node
        .call("finalizepsbt", &[json!(format_psbt(&psbt))])
        .expect("a good PSBT");
    let direct = sign(&draft, keyring(), signer()).expect("own coins");
    assert_eq!(answer["hex"], json!(serialize_hex(&direct)));
    assert!(finalize_psbt(&mut psbt).expect("a good PSBT"));
    assert_eq!(analyze(&psbt)["next"], json!("extractor"));
    assert_eq!(accepted_fee_sat(&node, &direct), draft.fee_sat);
}

#[test]
fn what_a_node_prints_as_version_2_is_read_signed_and_finished_by_it() {
    let node = Node::builder()
        .txindex(true)
        .start()
        .expect("a private node");
    let (coins, height) = funded(&node, &[50_000; 4]);
    let inputs: Vec<Value> = coins
        .iter()
        .map(|coin| json!({"txid": coin.outpoint.txid, "vout": coin.outpoint.vout}))
        .collect();
    let outputs = json!([{ (address(2)): 0.0015 }, { "data": "00ff" }]);
    let create = |version: u8| -> String {
        let parameters = [json!(inputs), outputs.clone(), json!(height), json!(true)];
        let parameters = [&parameters[..], &[json!(2), json!(version)]].concat();
        node.call("createpsbt", &parameters)
            .expect("a node that knows both versions")
    };
    let (old, text) = (create(0), create(2));
    let by_default: String = node
        .call(
            "createpsbt",
            &[json!(inputs), outputs.clone(), json!(height), json!(true)],
        )
        .expect("a PSBT");
    assert_eq!(by_default, text, "the node's default");
    let mut psbt = parse_psbt(text.as_bytes()).expect("the node's own");
    assert_eq!(psbt, parse_psbt(old.as_bytes()).expect("the node's own"));
    assert_eq!(psbt.unsigned_tx.lock_time.to_consensus_u32(), height);

    // With what it knows of the coins, still in version 2.
    let updated: String = node
        .call("utxoupdatepsbt", &[json!(text)])
        .expect("coins of its chain");
    let decoded: Value = node
        .call("decodepsbt", &[json!(updated)])
        .expect("the node's own");
    assert_eq!(decoded["psbt_version"], json!(2), "{decoded}");
    let updated = parse_psbt(updated.as_bytes()).expect("the node's own");
    let witnesses = |psbt: &Psbt| {
        psbt.inputs
            .iter()
            .filter(|it| it.witness_utxo.is_some())
            .count()
    };
    assert!(witnesses(&updated) >= 2 && witnesses(&psbt) == 0);
    combine_psbts(&mut psbt, updated).expect("of one transaction");

    let known = |outpoint| {
        let coin = coins.iter().find(|coin| coin.outpoint == outpoint)?;
        Some(TxOut {
            value: Amount::from_sat(coin.value_sat),
            script_pubkey: crate::samples::script(coin),
        })
    };
    let mut signed = psbt.clone();
    for (input, coin) in signed.inputs.iter_mut().zip(&coins) {
        input.non_witness_utxo = Some(previous(&node, coin.outpoint.txid));
    }
    let count = sign_psbt(&mut signed, signer(), is_mine, known).expect("own coins");
    assert_eq!(count, 4);
    // Without them, the wallet's books say what segwit inputs spend.
    let mut bare = parse_psbt(text.as_bytes()).expect("the node's own");
    sign_psbt(&mut bare, signer(), is_mine, known).expect("own coins");
    assert_eq!(witnesses(&bare), 3, "all but P2PKH");
    let answer: Value = node
        .call("finalizepsbt", &[json!(format_psbt(&signed))])
        .expect("a good PSBT");
    assert_eq!(answer["complete"], json!(true), "{answer}");
    assert!(finalize_psbt(&mut signed).expect("a good PSBT"));
    let ours = extract_psbt(&signed, true).expect("final");
    let theirs = answer["hex"].as_str().expect("complete");
    let theirs: Transaction =
        bitcoin::consensus::encode::deserialize_hex(theirs).expect("the node's bytes");
    assert_eq!(ours.txid, theirs.compute_txid());
    accepted_fee_sat(&node, &theirs);
}
