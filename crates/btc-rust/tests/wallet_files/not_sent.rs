//! Payments that were not sent, or of which that is not known: what a caller hears, and whether
//! they are sent again by themselves.

use std::sync::Mutex;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation, WalletInterface};

use crate::one_block::Scene;

/// What says that the network certainly did not get it.
const NOT_SENT: [ErrorKind; 4] = [
    ErrorKind::Auth,
    ErrorKind::Configuration,
    ErrorKind::InvalidInput,
    ErrorKind::Unsupported,
];

fn failure(kind: ErrorKind) -> BitcoinResult<()> {
    let operation = Operation::BroadcastTransaction;
    Err(BitcoinError::new(kind, operation, "so it is"))
}

#[test]
fn every_end_that_leaves_a_payment_listed_is_unavailable_and_names_it() {
    for kind in ErrorKind::ALL {
        if kind == ErrorKind::Rejected || NOT_SENT.contains(&kind) {
            continue;
        }
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        scene.answers(move |_, _| failure(kind));
        for _ in 0..2 {
            let error = scene.wallet.broadcast_transaction(&built);
            let error = error.expect_err("not known");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{kind}: {error}");
            assert!(error.message().contains("so it is"), "{error}");
            assert!(error.message().contains("may be sent again by itself"));
            let named = ("payment".to_owned(), built.txid.to_string());
            assert!(error.context().contains(&named), "{error}");
            assert!(scene.rows().contains_key(&built.txid));
        }
    }
}

#[test]
fn what_no_node_has_got_is_forgotten_and_its_coins_are_free() {
    for kind in NOT_SENT {
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        scene.answers(move |_, _| failure(kind));
        let error = scene.wallet.broadcast_transaction(&built);
        let error = error.expect_err("not sent");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.message(), "so it is");
        assert!(scene.rows().is_empty(), "{kind}");
        scene.build(20_000);
    }
}

#[test]
fn what_no_node_has_got_now_and_may_have_from_before_is_no_failure_of_the_login() {
    for kind in NOT_SENT {
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        let answers = Mutex::new(vec![kind, ErrorKind::Timeout]);
        scene.answers(move |_, _| failure(answers.lock().expect("no panic").pop().expect("two")));
        for said in ["is not known", "it was handed over before"] {
            let error = scene.wallet.broadcast_transaction(&built);
            let error = error.expect_err("not known");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{kind}: {error}");
            assert!(error.message().contains(said), "{error}");
        }
        assert!(scene.rows()[&built.txid].abandoned_ms.is_none());
    }
}

#[test]
fn a_payment_that_was_given_up_stays_so_when_no_node_gets_it() {
    for kind in NOT_SENT {
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        scene.answers(move |_, before| if before == 0 { Ok(()) } else { failure(kind) });
        scene.wallet.broadcast_transaction(&built).expect("taken");
        scene.network.mempool.lock().expect("no panic").clear();
        scene.wallet.abandon(built.txid).expect("missing");
        let given_up_ms = scene.rows()[&built.txid].abandoned_ms;
        let error = scene.wallet.broadcast_transaction(&built);
        assert_eq!(error.expect_err("not sent").kind(), kind);
        assert!(given_up_ms.is_some());
        assert_eq!(scene.rows()[&built.txid].abandoned_ms, given_up_ms);
    }
}
