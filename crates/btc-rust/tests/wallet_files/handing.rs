//! Handing over and sending again beside other callers, and with disks that fail.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Transaction, TxIn, TxOut, Txid};
use btc_iface::{BitcoinError, ErrorKind, Operation, PaymentState, WalletInterface};
use btc_rust::wallet::reservations::{End, RESERVATIONS, Reservations, now_ms, token};

use crate::one_block::{Scene, refusal};

/// Says when a payment is sent again.
fn due_at(dir: &Path, txid: Txid, at_ms: u64) {
    let mut shared = Reservations::open(dir).expect("sound");
    let booking = shared.begin(now_ms()).expect("free");
    booking.set_next_broadcast(txid, at_ms).expect("written");
    booking.commit().expect("on disk");
}

#[test]
fn a_refusal_forgets_nothing_that_another_caller_has_handed_over_since() {
    for is_taken in [true, false] {
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        let (wallet, other) = (Arc::clone(&scene.wallet), built.clone());
        scene.answers(move |_, before| match before {
            // The other caller comes while this one is being refused.
            0 => {
                let said = wallet.broadcast_transaction(&other);
                assert_eq!(said.is_ok(), is_taken);
                Err(refusal("min relay fee not met"))
            }
            1 if !is_taken => Err(BitcoinError::new(
                ErrorKind::Timeout,
                Operation::BroadcastTransaction,
                "no answer",
            )),
            _ => Ok(()),
        });
        let first = scene.wallet.broadcast_transaction(&built);
        if is_taken {
            assert_eq!(first.expect("a node has it"), built.txid);
        } else {
            let error = first.expect_err("not known");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        let rows = scene.rows();
        assert_eq!(rows[&built.txid].is_accepted, is_taken);
        assert_eq!(scene.wallet.unspent().expect("coins").len(), 1);
    }
}

#[test]
fn a_refusal_frees_the_coins_of_what_nobody_else_has_handed_over() {
    let scene = Scene::of(&[100_000]);
    let built = scene.build(20_000);
    scene.answers(|_, _| Err(refusal("dust")));
    let error = scene.wallet.broadcast_transaction(&built);
    assert_eq!(error.expect_err("refused").kind(), ErrorKind::Rejected);
    assert!(scene.rows().is_empty());
}

#[test]
fn a_payment_of_coins_that_the_books_do_not_know_yet_is_written_down() {
    let scene = Scene::of(&[100_000]);
    let mut built = scene.build(20_000);
    // The other side has built it of a coin in blocks that were not read here.
    built.inputs[0].previous_output = OutPoint::new(Txid::from_byte_array([9; 32]), 3);
    let bytes = btc_rust::encode_transaction(&built);
    assert!(bytes.is_err(), "its txid is another one");
    let plain = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: built.inputs[0].previous_output,
            ..TxIn::default()
        }],
        output: vec![TxOut {
            value: Amount::from_sat(5_000),
            script_pubkey: built.outputs[0].script_pubkey.clone(),
        }],
    };
    let encoded = bitcoin::consensus::encode::serialize(&plain);
    let whole = btc_rust::decode_transaction(&encoded).expect("whole");
    let mut shared = Reservations::open(&scene.dir).expect("sound");
    let now = now_ms();
    let booking = shared.begin(now).expect("free");
    let coin = plain.input[0].previous_output;
    booking
        .reserve(&[coin], End::after(now, 600_000), token(&plain))
        .expect("free");
    booking.commit().expect("on disk");
    drop(shared);
    let sent = scene.wallet.broadcast_transaction(&whole);
    assert_eq!(sent.expect("sent"), plain.compute_txid());
    assert!(scene.rows().contains_key(&plain.compute_txid()));
}

/// Takes the shared file away, as a disk that fails does.
fn lose(dir: &Path) {
    let path = dir.join(RESERVATIONS);
    std::fs::rename(&path, dir.join("aside")).expect("it is there");
    std::fs::create_dir(&path).expect("its place is free");
}

fn find(dir: &Path) {
    let path = dir.join(RESERVATIONS);
    std::fs::remove_dir(&path).expect("empty");
    std::fs::rename(dir.join("aside"), &path).expect("it is there");
}

#[test]
fn a_success_stays_one_and_a_refusal_becomes_unclear_when_the_disk_fails() {
    for is_taken in [true, false] {
        let scene = Scene::of(&[100_000]);
        let built = scene.build(20_000);
        let dir = scene.dir.clone();
        scene.answers(move |_, _| {
            lose(&dir);
            if is_taken {
                Ok(())
            } else {
                Err(refusal("dust"))
            }
        });
        let said = scene.wallet.broadcast_transaction(&built);
        find(&scene.dir);
        if is_taken {
            assert_eq!(said.expect("the node has it"), built.txid);
        } else {
            let error = said.expect_err("not known");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.message().contains("still listed"), "{error}");
        }
        assert!(scene.rows().contains_key(&built.txid));
    }
}

/// A payment and one of its change, both missing.
fn chain(scene: &Scene) -> [Txid; 2] {
    let sent = [20_000, 10_000].map(|value_sat| {
        let built = scene.build(value_sat);
        let sent = scene.wallet.broadcast_transaction(&built);
        sent.expect("taken")
    });
    scene.network.mempool.lock().expect("no panic").clear();
    scene.wallet.sync().expect("followed");
    for txid in sent {
        assert_eq!(scene.state(txid), Some(PaymentState::Missing));
    }
    scene.network.handed.lock().expect("no panic").clear();
    sent
}

#[test]
fn a_cheap_parent_goes_with_its_child_whichever_is_due() {
    for due in [0, 1] {
        let scene = Scene::of(&[100_000]);
        let sent = chain(&scene);
        scene.answers(move |transaction, _| {
            if transaction.compute_txid() == sent[0] {
                return Err(refusal("min relay fee not met, 110 < 1100"));
            }
            Ok(())
        });
        due_at(&scene.dir, sent[due], 1);
        scene.wallet.sync().expect("followed");
        let packages = scene.network.packages.lock().expect("no panic").clone();
        assert_eq!(packages, [sent], "due: {due}");
    }
}

#[test]
fn what_is_given_up_while_others_are_sent_is_not_sent() {
    let scene = Scene::of(&[100_000]);
    let sent = chain(&scene);
    let dir = scene.dir.clone();
    scene.answers(move |transaction, _| {
        if transaction.compute_txid() == sent[0] {
            let mut shared = Reservations::open(&dir).expect("sound");
            let booking = shared.begin(now_ms()).expect("free");
            let given_up = booking.set_abandoned(sent[1], Some(now_ms()));
            given_up.expect("written");
            booking.commit().expect("on disk");
        }
        Ok(())
    });
    for txid in sent {
        due_at(&scene.dir, txid, 1);
    }
    scene.wallet.sync().expect("followed");
    let handed = scene.network.handed.lock().expect("no panic").clone();
    assert_eq!(handed, [sent[0]]);
    assert!(scene.rows()[&sent[1]].abandoned_ms.is_some());
}

#[test]
fn a_lock_does_not_take_the_place_of_a_reservation() {
    let scene = Scene::of(&[100_000]);
    let built = scene.build(20_000);
    let coin = built.inputs[0].previous_output;
    let error = scene.wallet.lock(coin).expect_err("it is reserved");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.message().contains("reserved"), "{error}");
    let sent = scene.wallet.broadcast_transaction(&built);
    assert_eq!(sent.expect("it is still its own"), built.txid);
}

#[test]
fn giving_up_a_replacement_gives_up_what_it_replaced() {
    let scene = Scene::of(&[100_000]);
    let [first, second] = [20_000, 30_000].map(|value_sat| {
        let built = scene.build(value_sat);
        let bytes = btc_rust::encode_transaction(&built).expect("whole");
        let plain: Transaction = bitcoin::consensus::encode::deserialize(&bytes).expect("its own");
        assert_eq!(scene.wallet.release(&plain).expect("reserved"), 1);
        (built, plain)
    });
    scene.wallet.broadcast_transaction(&first.0).expect("taken");
    let error = scene.wallet.broadcast_transaction(&second.0);
    assert_eq!(error.expect_err("not named").kind(), ErrorKind::Rejected);
    let named = scene.wallet.allow_replacement(&second.1, &[first.0.txid]);
    named.expect("written");
    scene
        .wallet
        .broadcast_transaction(&second.0)
        .expect("taken");
    scene.network.mempool.lock().expect("no panic").clear();
    scene.wallet.sync().expect("followed");
    let given_up = scene.wallet.abandon(second.0.txid).expect("it is missing");
    let given_up: HashSet<Txid> = given_up.into_iter().collect();
    assert_eq!(given_up, HashSet::from([first.0.txid, second.0.txid]));
    for txid in given_up {
        due_at(&scene.dir, txid, 1);
    }
    scene.network.handed.lock().expect("no panic").clear();
    scene.wallet.sync().expect("followed");
    assert_eq!(*scene.network.handed.lock().expect("no panic"), []);
    assert_eq!(scene.wallet.unspent().expect("coins")[0].reserved_for, None);
}

#[test]
fn a_success_that_cannot_be_written_down_does_not_keep_the_rest_from_being_sent() {
    let scene = Scene::of(&[100_000]);
    let sent = chain(&scene);
    let shared = rusqlite::Connection::open(scene.dir.join(RESERVATIONS)).expect("a file");
    let trigger = format!(
        "CREATE TRIGGER broken BEFORE UPDATE OF outcome ON payments WHEN new.txid = '{}'
         BEGIN SELECT RAISE(ABORT, 'planted'); END",
        sent[0]
    );
    shared.execute_batch(&trigger).expect("a sound file");
    drop(shared);
    let outcomes = scene.wallet.rebroadcast(None).expect("both are sent");
    let told: Vec<_> = outcomes
        .iter()
        .map(|(txid, error)| (*txid, error.is_none()))
        .collect();
    assert_eq!(told, sent.map(|txid| (txid, true)));
    assert_eq!(*scene.network.handed.lock().expect("no panic"), sent);
}

#[test]
fn what_was_sent_is_told_when_the_disk_fails_before_the_rest_is() {
    let scene = Scene::of(&[100_000]);
    let sent = chain(&scene);
    let dir = scene.dir.clone();
    scene.answers(move |_, _| {
        lose(&dir);
        Ok(())
    });
    let outcomes = scene.wallet.rebroadcast(None);
    find(&scene.dir);
    let outcomes = outcomes.expect("the first is sent");
    let told: Vec<_> = outcomes
        .iter()
        .map(|(txid, error)| (*txid, error.is_none()))
        .collect();
    assert_eq!(told, [(sent[0], true), (sent[1], false)]);
}

#[test]
fn a_payment_that_is_handed_over_again_meanwhile_is_not_given_up() {
    for changed in [0, 1] {
        let scene = Scene::of(&[100_000]);
        let sent = chain(&scene);
        let dir = scene.dir.clone();
        scene.meanwhile(move || due_at(&dir, sent[changed], now_ms() + 1_234_567));
        let error = scene
            .wallet
            .abandon(sent[0])
            .expect_err("it may be under way");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let named = ("payment".to_owned(), sent[changed].to_string());
        assert!(error.context().contains(&named), "{error}");
        assert!(scene.rows().values().all(|row| row.abandoned_ms.is_none()));
        // Asked again, with nothing in the way.
        assert_eq!(scene.wallet.abandon(sent[0]).expect("missing"), sent);
    }
}

#[test]
fn a_payment_that_is_built_upon_meanwhile_is_not_given_up() {
    let scene = Scene::of(&[100_000]);
    let sent = chain(&scene);
    let child = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(sent[1], 1),
            ..TxIn::default()
        }],
        output: vec![TxOut {
            value: Amount::from_sat(5_000),
            script_pubkey: bitcoin::ScriptBuf::new(),
        }],
    };
    let (dir, built) = (scene.dir.clone(), child.clone());
    scene.meanwhile(move || {
        let mut shared = Reservations::open(&dir).expect("sound");
        let booking = shared.begin(now_ms()).expect("free");
        let added = booking.add_payment(&built, now_ms() + 1_234_567);
        added.expect("written");
        booking.commit().expect("on disk");
    });
    let error = scene
        .wallet
        .abandon(sent[0])
        .expect_err("it was built upon");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let given_up = scene.wallet.abandon(sent[0]).expect("missing");
    assert_eq!(given_up, [sent[0], sent[1], child.compute_txid()]);
}

#[test]
fn a_payment_that_is_replaced_meanwhile_is_not_given_up() {
    let scene = Scene::of(&[100_000]);
    let sent = chain(&scene);
    for replaced in sent {
        let mut shared = Reservations::open(&scene.dir).expect("sound");
        let booking = shared.begin(now_ms()).expect("free");
        let old = booking.payment_transaction(replaced).expect("readable");
        drop(booking);
        let raised = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: old.expect("listed").input,
            output: vec![TxOut {
                value: Amount::from_sat(5_000),
                script_pubkey: bitcoin::ScriptBuf::new(),
            }],
        };
        let txid = raised.compute_txid();
        let dir = scene.dir.clone();
        scene.meanwhile(move || {
            let mut shared = Reservations::open(&dir).expect("sound");
            let booking = shared.begin(now_ms()).expect("free");
            // The first is named with what descends from it.
            let named = if replaced == sent[0] {
                &sent[..]
            } else {
                &sent[1..]
            };
            let named = booking.allow_replacement(token(&raised), named);
            named.expect("written");
            let added = booking.add_payment(&raised, now_ms() + 1_234_567);
            added.expect("written");
            booking.commit().expect("on disk");
        });
        let error = scene.wallet.abandon(replaced);
        let error = error.expect_err("another pays the same");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let named = ("payment".to_owned(), txid.to_string());
        assert!(error.context().contains(&named), "{error}");
        assert!(scene.rows().values().all(|row| row.abandoned_ms.is_none()));
        let error = scene.wallet.abandon(replaced);
        let error = error.expect_err("replaced, as the books say");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        // It is refused after all.
        let row = scene.rows()[&txid].clone();
        let booking = shared.begin(now_ms()).expect("free");
        let deleted = booking.delete_payment(txid, row.token, row.next_broadcast_ms);
        assert!(deleted.expect("written"));
        booking.commit().expect("on disk");
    }
}
