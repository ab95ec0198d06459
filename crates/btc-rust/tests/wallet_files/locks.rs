//! Locks of coins: what a user's lock must not take from others.

use btc_iface::{Label, LabelKind, WalletInterface};

use crate::simulated::{Simulated, payee};

#[test]
fn a_coin_of_a_missing_payment_is_not_locked() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let payment = wallet
        .create_transaction(vec![(payee(), 100_000)], 2)
        .expect("enough coins");
    wallet.broadcast_transaction(&payment).expect("taken");
    scene.node.restart(false).expect("it starts again");
    drop(wallet);
    let wallet = scene.open();
    wallet.sync().expect("followed");
    let held = payment.inputs[0].previous_output;
    assert!(wallet.lock(held).is_err(), "known to be held, after a sync");
    let imported = wallet.import_labels(&[Label {
        kind: LabelKind::Output,
        reference: held.to_string(),
        label: None,
        origin: None,
        spendable: Some(false),
    }]);
    let by_import = imported.is_ok();
    let _ = wallet.unlock(held);
    drop(wallet);
    // As `btc utxo lock` does: opened, and not followed.
    let by_verb = scene.open().lock(held).is_ok();
    assert_eq!(
        (by_import, by_verb),
        (false, false),
        "locked by (import, verb)"
    );
}
