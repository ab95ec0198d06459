//! What the wallet writes down: locks, labels, history, addresses.

use super::{Desk, VALUE_SAT, foreign, pay, text};
use bitcoin::OutPoint;
use btc::{AddressType, CoinState, ErrorKind, Label, LabelKind, WalletInterface};
use btc_tests::{Outcome, failure};

pub(super) fn locks(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    for coin in &coins[1..] {
        desk.wallet.lock(coin.outpoint)?;
    }
    let all = pay(&[(foreign(11), 600_000)], 2);
    failure(
        desk.wallet.preview(&all),
        ErrorKind::Rejected,
        "three of four are locked",
    );
    let shown = desk.coins()?;
    let locked = shown
        .iter()
        .filter(|coin| coin.reserved_for.as_deref() == Some("locked"));
    assert_eq!(locked.count(), 3);
    assert!(desk.wallet.unlock(coins[1].outpoint)?);
    assert!(!desk.wallet.unlock(coins[1].outpoint)?);
    desk.wallet.preview(&all)?;
    failure(
        desk.wallet.lock(OutPoint::null()),
        ErrorKind::NotFound,
        "not ours",
    );
    // Locked is still owned.
    assert_eq!(desk.wallet.balance()?.confirmed_sat, 4 * VALUE_SAT);
    Ok(())
}

pub(super) fn labels(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    let label = |kind, reference: String, text: &str| Label {
        kind,
        reference,
        label: Some(text.to_owned()),
        origin: None,
        spendable: None,
    };
    let all = [
        label(
            LabelKind::Tx,
            coins[0].outpoint.txid.to_string(),
            "salary ☂",
        ),
        label(LabelKind::Addr, coins[1].address.clone(), "from Bob"),
        Label {
            spendable: Some(false),
            ..label(LabelKind::Output, coins[2].outpoint.to_string(), "keep")
        },
    ];
    assert_eq!(
        desk.wallet.import_labels(&all)?,
        4,
        "three texts and a lock"
    );
    assert_eq!(desk.wallet.import_labels(&all)?, 0, "nothing new");
    assert_eq!(desk.wallet.history()?[0].label.as_deref(), Some("salary ☂"));
    let shown = desk.coins()?;
    let find = |outpoint| shown.iter().find(|coin| coin.outpoint == outpoint);
    let second = find(coins[1].outpoint).ok_or("there")?;
    assert_eq!(second.label.as_deref(), Some("from Bob"));
    let third = find(coins[2].outpoint).ok_or("there")?;
    assert_eq!(third.reserved_for.as_deref(), Some("locked"));
    // Out of one wallet and into its restored twin.
    let twin = desk.folder.again(0)?;
    let twin = btc::connect_wallet(&twin.config(&desk.node, &[]))?;
    twin.sync()?;
    twin.import_labels(&desk.wallet.labels()?)?;
    assert_eq!(twin.labels()?, desk.wallet.labels()?);
    Ok(())
}

pub(super) fn history(desk: &mut Desk<'_, '_>) -> Outcome {
    for round in 0..3 {
        let psbt = desk
            .wallet
            .create_psbt(&pay(&[(foreign(round), 30_000)], 2))?;
        desk.complete(psbt)?;
        if round == 1 {
            desk.chain.mine(1)?;
            desk.wallet.sync()?;
        }
    }
    desk.wallet.sync()?;
    let entries = desk.wallet.history()?;
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0].block, None, "unconfirmed first");
    let net_sat: i128 = entries.iter().map(btc::HistoryEntry::net_sat).sum();
    assert_eq!(net_sat, i128::from(desk.wallet.balance()?.spendable_sat()));
    let spends = entries.iter().filter(|entry| entry.sent_sat > 0);
    for entry in spends {
        let fee_sat = entry.fee_sat.ok_or("every input is ours")?;
        assert_eq!(entry.sent_sat, entry.received_sat + 30_000 + fee_sat);
    }
    let pending = desk.coins()?;
    assert!(
        pending
            .iter()
            .any(|coin| coin.state == CoinState::TrustedPending)
    );
    Ok(())
}

pub(super) fn addresses(desk: &mut Desk<'_, '_>) -> Outcome {
    for address_type in AddressType::ALL {
        let new = desk.wallet.generate_address(address_type)?;
        let listed = desk.wallet.addresses(address_type)?;
        assert_eq!(listed.len(), 2);
        assert!(listed[0].1 && !listed[1].1, "the first was paid");
        assert_eq!(listed[1].0, new);
        assert_eq!(desk.wallet.verify_address(&new.address)?, Some(new));
    }
    assert_eq!(desk.wallet.verify_address(&text(&foreign(12)))?, None);
    for wrong in ["nonsense", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"] {
        failure(
            desk.wallet.verify_address(wrong),
            ErrorKind::InvalidInput,
            wrong,
        );
    }
    Ok(())
}
