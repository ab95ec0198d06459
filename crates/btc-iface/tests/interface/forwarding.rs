//! The interface through a pointer: every operation reaches the implementation behind it.

use std::sync::Arc;

use btc_iface::{
    AddressType, BitcoinImplementationType, BitcoinInterface, ErrorKind, FeeEstimator,
};

use crate::double::{Double, TXID, id, transaction};

/// Asks everything once, each question different from the others.
fn ask_everything(bitcoin: &impl BitcoinInterface) {
    assert_eq!(bitcoin.get_transaction(TXID).expect("known").txid, id());
    let missing = bitcoin.get_block("00").expect_err("there is no block");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(bitcoin.get_block_height().expect("a height"), 21);
    let address = bitcoin.generate_address(AddressType::P2tr);
    assert_eq!(address.expect("an address").address_type, AddressType::P2tr);
    let made = bitcoin.create_transaction(vec![("a".to_owned(), 5)], 3);
    assert_eq!(made.expect("a transaction").txid, id());
    let sent = bitcoin.broadcast_transaction(&transaction(id()));
    assert_eq!(sent.expect("a txid"), TXID);
    assert_eq!(bitcoin.get_balance().expect("a balance"), 1_000);
    assert_eq!(bitcoin.estimate_fee(6).expect("a rate"), 12);
    assert_eq!(
        bitcoin.implementation_type(),
        BitcoinImplementationType::Python
    );
}

fn every_call() -> [String; 8] {
    [
        format!("get_transaction {TXID}"),
        "get_block 00".to_owned(),
        "get_block_height".to_owned(),
        "generate_address p2tr".to_owned(),
        r#"create_transaction [("a", 5)] 3"#.to_owned(),
        format!("broadcast_transaction {TXID}"),
        "get_balance".to_owned(),
        "estimate_fee 6".to_owned(),
    ]
}

#[test]
fn an_arc_forwards_every_operation_once() {
    let double = Arc::new(Double::default());
    ask_everything(&double);
    assert_eq!(double.calls(), every_call());
}

#[test]
fn a_box_of_an_arc_of_a_trait_object_forwards_too() {
    let double = Arc::new(Double::default());
    let behind: Arc<dyn BitcoinInterface> = double.clone();
    ask_everything(&Box::new(behind));
    assert_eq!(double.calls(), every_call());
}

#[test]
fn a_fee_is_explained_through_pointers() {
    let double = Arc::new(Double::default());
    let behind: Arc<dyn FeeEstimator> = double.clone();
    let estimate = Box::new(behind).explain_fee(6).expect("a rate");
    assert_eq!((estimate.sat_per_vb, estimate.target_blocks), (12, 6));
    assert_eq!(double.calls(), ["explain_fee 6"]);
}
