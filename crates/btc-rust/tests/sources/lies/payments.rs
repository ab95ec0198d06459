//! Lies about payments, each over each kind of server.

use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash;

use super::forge::{self, FORGED_SAT, Lies, invented};
use super::scene::{Kind, LIE, Scene, node};
use crate::books::core;

lies! {
    a_payment_with_a_forged_proof_is_refused,
    a_payment_that_was_made_up_is_refused,
    a_payment_in_a_block_that_was_made_up_is_refused,
    a_payment_of_another_amount_than_it_has_is_refused,
    a_payment_that_nobody_confirmed_counts_for_nothing_that_can_be_spent,
    a_spend_that_nobody_signed_takes_no_coin_away,
    a_confirmed_payment_that_the_wallet_knows_cannot_be_withheld,
    a_confirmed_payment_that_the_wallet_knows_cannot_be_moved,
    a_payment_that_is_withheld_in_part_is_missed,
    a_payment_that_the_wallet_never_saw_is_found_over_the_node,
}

fn a_payment_with_a_forged_proof_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 6);
    let (txid, height) = scene.history_of(1);
    // A proof that leads elsewhere, one of another place, none, and one without end.
    for (branch, position) in [
        (vec![TxMerkleNode::from_byte_array([1; 32])], 1),
        (vec![TxMerkleNode::from_byte_array([1; 32])], u64::MAX),
        (Vec::new(), 0),
        (vec![TxMerkleNode::from_byte_array([1; 32]); 5_000], 1),
    ] {
        let lies = Lies {
            proofs: [(txid, (branch, position))].into(),
            ..Lies::default()
        };
        let mut books = scene.books();
        scene.refuse_with(&mut books, &lies, LIE, "without proof");
    }
    assert!(height < scene.height());
}

fn a_payment_that_was_made_up_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 7);
    let payment = invented(1, scene.script(5));
    for height in [50, scene.height()] {
        let lies = scene.confirmed(5, &payment, height);
        scene.refuse(&lies, LIE, "without proof");
    }
    // Above the tip.
    let lies = scene.confirmed(5, &payment, scene.height() + 1);
    scene.refuse(&lies, LIE, "above the tip");
}

fn a_payment_in_a_block_that_was_made_up_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 8);
    let payment = invented(1, scene.script(5));
    for height in [50, scene.height() - 3] {
        let below = scene.header(height - 1);
        let forged = forge::above(below.block_hash(), below.time + 1, &payment);
        let lies = Lies {
            headers: [(height, forged)].into(),
            ..scene.confirmed(5, &payment, height)
        };
        // Books that have followed the headers do not ask for this one.
        scene.refuse(&lies, LIE, "");
    }
}

fn a_payment_of_another_amount_than_it_has_is_refused(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 9);
    let (txid, _) = scene.history_of(1);
    let lies = Lies {
        transactions: [(txid, invented(1, scene.script(1)))].into(),
        ..Lies::default()
    };
    let mut books = scene.books();
    scene.refuse_with(&mut books, &lies, LIE, "another transaction");
}

fn a_payment_that_nobody_confirmed_counts_for_nothing_that_can_be_spent(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 10);
    let mut books = scene.books();
    let before = books.sync();
    let payment = invented(1, scene.script(5));
    scene.lie(scene.confirmed(5, &payment, 0));
    let after = books.sync();
    assert_eq!(
        after.balance.spendable_sat(),
        before.balance.spendable_sat()
    );
    assert_eq!(after.balance.untrusted_pending_sat, FORGED_SAT);
    // An honest server does not have it, and blocks do not.
    let mut others = scene.books();
    others.sync();
    scene.lie(Lies::default());
    assert_eq!(books.sync().balance, before.balance);
    scene.heal(&mut others);
}

fn a_spend_that_nobody_signed_takes_no_coin_away(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 19);
    let mut books = scene.books();
    let before = books.sync();
    for index in 0..3 {
        let script = scene.script(index);
        let coin = before
            .coins
            .iter()
            .find(|coin| coin.script_pubkey == script);
        let coin = coin.expect("it was paid").outpoint;
        // To a stranger, and back to the wallet, which would not miss the coin at once.
        for to in [scene.script(5), bitcoin::ScriptBuf::new_op_return([1])] {
            let mut spend = invented(1, to);
            spend.input[0].previous_output = coin;
            let (txid, height) = scene.history_of(index);
            let told = vec![(txid, height), (spend.compute_txid(), 0)];
            let mut lies = scene.confirmed(5, &spend, 0);
            lies.histories.insert(script.clone(), told);
            scene.lie(lies);
            assert_eq!(books.sync().coins, before.coins);
            let mut new = scene.books();
            assert_eq!(new.sync().coins, before.coins);
        }
    }
    scene.heal(&mut books);
}

fn a_confirmed_payment_that_the_wallet_knows_cannot_be_withheld(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 11);
    let mut books = scene.books();
    books.sync();
    let lies = Lies {
        histories: [(scene.script(1), Vec::new())].into(),
        ..Lies::default()
    };
    scene.refuse_with(&mut books, &lies, LIE, "is left out");
    // Whoever told it: the node, too.
    let mut told_by_node = scene.books();
    told_by_node.source = Box::new(core(scene.node));
    told_by_node.sync();
    told_by_node.source = scene.source();
    scene.refuse_with(&mut told_by_node, &lies, LIE, "is left out");
    told_by_node.sync();
    scene.heal(&mut told_by_node);
}

fn a_confirmed_payment_that_the_wallet_knows_cannot_be_moved(kind: Kind) {
    let node = node();
    let scene = Scene::new(kind, &node, 12);
    let mut books = scene.books();
    books.sync();
    let (txid, height) = scene.history_of(1);
    for told in [0, height + 1, height - 1] {
        let lies = Lies {
            histories: [(scene.script(1), vec![(txid, told)])].into(),
            ..Lies::default()
        };
        scene.refuse_with(&mut books, &lies, LIE, "is left out");
    }
}

fn a_payment_that_is_withheld_in_part_is_missed(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 13);
    // One transaction that pays two addresses.
    let value = bitcoin::Amount::from_sat(40_000);
    let outputs = [4, 6].map(|index| (scene.script(index), value));
    scene.chain.pay(&outputs, 2).expect("the node takes it");
    scene.mine(1);
    scene.settle();
    let lies = Lies {
        histories: [(scene.script(6), Vec::new())].into(),
        ..Lies::default()
    };
    let mut books = scene.books();
    scene.refuse_with(&mut books, &lies, LIE, "another's leaves it out");
}

fn a_payment_that_the_wallet_never_saw_is_found_over_the_node(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 14);
    let mut books = scene.books();
    let mut others = scene.books();
    others.sync();
    scene.pay(5);
    scene.mine(2);
    scene.settle();
    // It cannot be known: the server has never said that the address was paid.
    for books in [&mut books, &mut others] {
        let lies = Lies {
            histories: [(scene.script(5), Vec::new())].into(),
            ..Lies::default()
        };
        scene.lie(lies);
        let view = books.sync();
        assert_eq!(view.coins.len(), 3);
        assert_eq!(view.tip.height, scene.height());
    }
    scene.heal(&mut books);
    assert_eq!(books.view().coins.len(), 4);
    // Another server tells it, too.
    assert_eq!(others.sync().coins.len(), 4);
}
