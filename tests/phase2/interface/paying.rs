//! Paying: selections, recipients, chosen coins, drains, fees that need consent.

use super::{Desk, foreign, pay, text};
use bitcoin::{Amount, OutPoint};
use btc::{CoinSelection, ErrorKind, TransactionRequest, WalletInterface};
use btc_tests::{Outcome, failure};

pub(super) fn every_selection(desk: &mut Desk<'_, '_>) -> Outcome {
    for (round, selection) in (1..).zip(CoinSelection::ALL) {
        let request = TransactionRequest {
            selection: Some(selection),
            ..pay(&[(foreign(round), 120_000)], 3)
        };
        let psbt = desk.wallet.create_psbt(&request)?;
        let fee_sat = psbt.fee()?.to_sat();
        let paid = psbt.unsigned_tx.output.iter();
        let exact = paid.filter(|output| {
            output.script_pubkey == foreign(round) && output.value == Amount::from_sat(120_000)
        });
        assert_eq!(exact.count(), 1, "{selection}");
        let txid = desk.complete(psbt)?;
        let entry = desk.entry(txid)?;
        let vsize = entry["vsize"].as_u64().ok_or("no vsize")?;
        assert!(
            fee_sat >= 3 * vsize,
            "{selection}: {fee_sat} for {vsize} vB"
        );
        desk.chain.mine(1)?;
        desk.wallet.sync()?;
    }
    Ok(())
}

pub(super) fn data_and_recipients(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = TransactionRequest {
        data: Some(b"proof".to_vec()),
        selection: Some(CoinSelection::LargestFirst),
        ..pay(
            &[
                (foreign(1), 10_000),
                (foreign(2), 20_000),
                (foreign(1), 30_000),
            ],
            2,
        )
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    let outputs = &psbt.unsigned_tx.output;
    assert_eq!(outputs.len(), 5, "three recipients, data, change");
    let data = outputs
        .iter()
        .find(|output| output.script_pubkey.is_op_return());
    let data = data.ok_or("no data")?;
    assert_eq!(data.value, Amount::ZERO);
    assert!(data.script_pubkey.as_bytes().ends_with(b"proof"));
    desk.complete(psbt)?;
    let too_long = TransactionRequest {
        data: Some(vec![0; 81]),
        ..pay(&[(foreign(1), 10_000)], 2)
    };
    failure(
        desk.wallet.preview(&too_long),
        ErrorKind::InvalidInput,
        "81 bytes",
    );
    Ok(())
}

pub(super) fn coin_control(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    let (named, avoided) = (coins[3].outpoint, coins[0].outpoint);
    let request = TransactionRequest {
        coins: vec![named],
        avoid: vec![avoided],
        ..pay(&[(foreign(3), 700_000)], 2)
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    let spent: Vec<_> = psbt
        .unsigned_tx
        .input
        .iter()
        .map(|it| it.previous_output)
        .collect();
    assert!(
        spent.contains(&named) && !spent.contains(&avoided),
        "{spent:?}"
    );
    let only = TransactionRequest {
        coins: vec![avoided],
        only_coins: true,
        ..pay(&[(foreign(3), 700_000)], 2)
    };
    failure(
        desk.wallet.preview(&only),
        ErrorKind::Rejected,
        "one coin is not enough",
    );
    let foreign_coin = TransactionRequest {
        coins: vec![OutPoint::null()],
        ..pay(&[(foreign(3), 1_000)], 2)
    };
    failure(
        desk.wallet.preview(&foreign_coin),
        ErrorKind::InvalidInput,
        "not ours",
    );
    let reserved = TransactionRequest {
        coins: vec![named],
        ..pay(&[(foreign(3), 1_000)], 2)
    };
    failure(
        desk.wallet.preview(&reserved),
        ErrorKind::InvalidInput,
        "reserved above",
    );
    Ok(())
}

pub(super) fn a_drain(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = TransactionRequest {
        drain_to: Some(text(&foreign(4))),
        fee_rate: btc::FeeRate::from_sat_per_vb(2),
        ..TransactionRequest::default()
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    assert_eq!(psbt.unsigned_tx.output.len(), 1);
    assert_eq!(psbt.unsigned_tx.input.len(), 4);
    desk.complete(psbt)?;
    assert_eq!(desk.wallet.balance()?.spendable_sat(), 0);
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    assert!(desk.coins()?.is_empty());
    Ok(())
}

pub(super) fn high_fees(desk: &mut Desk<'_, '_>) -> Outcome {
    let tenth = pay(&[(foreign(5), 2_000)], 5);
    failure(
        desk.wallet.preview(&tenth),
        ErrorKind::InvalidInput,
        "more than a tenth",
    );
    let rate = pay(&[(foreign(5), 400_000)], 1_001);
    failure(
        desk.wallet.preview(&rate),
        ErrorKind::InvalidInput,
        "1001 sat/vB",
    );
    for request in [tenth, rate] {
        let consent = TransactionRequest {
            allow_high_fee: true,
            ..request
        };
        desk.wallet.preview(&consent)?;
    }
    Ok(())
}

pub(super) fn a_preview(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = pay(&[(foreign(6), 1_900_000)], 2);
    for _ in 0..3 {
        desk.wallet.preview(&request)?;
    }
    assert!(desk.coins()?.iter().all(|coin| coin.reserved_for.is_none()));
    desk.wallet.create_psbt(&request)?;
    failure(
        desk.wallet.preview(&request),
        ErrorKind::Rejected,
        "all is reserved",
    );
    Ok(())
}
