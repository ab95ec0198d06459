//! Which coins a payment takes, and which addresses are given out.

use btc::bitcoin::Amount;
use btc::{AddressType, ErrorKind, FeeRate, Recipient, TransactionRequest, WalletInterface};
use btc_tests::{Outcome, failure};
use serde_json::{Value, json};

use super::{World, complete, context, stranger};

/// Case 9: one large coin and three smaller ones, many payments without a block.
pub(super) fn seventy_payments(world: &mut World<'_, '_>) -> Outcome {
    world.fund(
        AddressType::P2wpkh,
        &[20_000_000, 5_000_000, 5_000_000, 5_000_000],
    )?;
    let mut confirmed = 0;
    for number in 0..70 {
        let paid = world
            .pay(10_000, 2)
            .map_err(|error| format!("payment {number}: {error}"))?;
        let wallet = world.wallet()?;
        let first = paid.inputs[0].previous_output.txid.to_string();
        let raw: Value = world
            .node
            .call("getrawtransaction", &[json!(first), json!(1)])
            .unwrap_or_default();
        confirmed += u32::from(raw["confirmations"].as_u64().is_some());
        drop(wallet);
        if number == 3 {
            assert_eq!(confirmed, 4, "confirmed coins first");
        }
    }
    assert_eq!(world.mempool()?.len(), 70);
    Ok(())
}

/// Case 8: unconfirmed change of a version 3 payment stays out of a version 2 payment.
pub(super) fn version_three(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[9_900_000])?;
    let parent = world.with_rust(|wallet| {
        wallet.sync()?;
        let mut psbt = wallet.preview(&TransactionRequest {
            recipients: vec![Recipient {
                address: stranger(),
                value_sat: 10_000,
            }],
            fee_rate: FeeRate::from_sat_per_vb(3),
            ..TransactionRequest::default()
        })?;
        psbt.unsigned_tx.version = btc::bitcoin::transaction::Version(3);
        wallet.reserve(&psbt, &[])?;
        let transaction = complete(wallet, psbt)?;
        wallet.broadcast_transaction(&transaction)?;
        Ok(transaction)
    })?;
    assert_eq!(parent.version, 3);
    let wallet = world.wallet()?;
    let script = wallet.generate_address(AddressType::P2wpkh)?.script_pubkey;
    drop(wallet);
    let small = world
        .chain
        .spend_unrelayed_to(&script, Amount::from_sat(5_000_000))?;
    world.chain.mine_transactions(&[small])?;
    let paid = world.pay(100_000, 3)?;
    let txids: Vec<_> = paid
        .inputs
        .iter()
        .map(|input| input.previous_output.txid)
        .collect();
    assert!(!txids.contains(&parent.txid), "version 3 is not mixed in");
    let wallet = world.wallet()?;
    failure(
        wallet.create_transaction(vec![(stranger(), 9_000_000)], 3),
        ErrorKind::Rejected,
        "only with coins of version 3",
    );
    Ok(())
}

/// What a restored wallet would not find is not given out.
pub(super) fn out_of_reach(world: &mut World<'_, '_>) -> Outcome {
    let wallet = world.wallet()?;
    for index in 0..1_000 {
        let address = wallet.generate_address(AddressType::P2wpkh)?;
        assert_eq!(address.index, Some(index));
    }
    let error = failure(
        wallet.generate_address(AddressType::P2wpkh),
        ErrorKind::InvalidInput,
        "a thousand unpaid addresses",
    );
    assert_eq!(context(&error, "highest_used").as_deref(), Some("-1"));
    assert_eq!(context(&error, "gap_limit").as_deref(), Some("1000"));
    let far = wallet.derive_address(AddressType::P2wpkh, 999)?;
    world
        .chain
        .pay(&[(far.script_pubkey, Amount::from_sat(30_000))], 2)?;
    world.chain.mine(1)?;
    assert_eq!(wallet.get_balance()?, 30_000);
    let next = wallet.generate_address(AddressType::P2wpkh)?;
    assert_eq!(next.index, Some(1_000));
    Ok(())
}
