//! The chain grows, the mempool changes, and the books say what the node would.

use btc_regtest::{Chain, Node};

use crate::reference::{self, State};
use crate::wallet::{CHANGE, GAP, Wallet, pay, receive, script, stranger};

/// Nodes of each kind that a wallet may meet.
fn nodes() -> [(&'static str, Node); 4] {
    [
        ("filters", Node::builder().block_filters(true)),
        ("no filters", Node::builder()),
        ("no REST", Node::builder().rest(false)),
        (
            "filters, no REST",
            Node::builder().rest(false).block_filters(true),
        ),
    ]
    .map(|(name, builder)| (name, builder.start().expect("a node")))
}

#[test]
fn what_is_paid_and_spent_is_found_over_every_kind_of_node() {
    for (name, node) in nodes() {
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(110).expect("blocks");
        let mut wallet = Wallet::new(&node, 0);
        assert_eq!(wallet.balance_sat(), 0, "{name}");
        for index in [0, 3, 7] {
            pay(&mut chain, receive(index), 100_000 + u64::from(index));
            pay(&mut chain, script(CHANGE, index), 50_000);
        }
        assert_eq!(
            State::from(&wallet.sync()),
            reference::state(&node, 0),
            "{name}"
        );
        chain.mine(12).expect("blocks");
        let view = wallet.sync();
        assert_eq!(State::from(&view), reference::state(&node, 0), "{name}");
        assert_eq!(view.balance.confirmed_sat, 450_010, "{name}");

        let spend = Wallet::spend(&view.coins[..3], &[(stranger(), 60_000)], 9, 0);
        wallet.send(&spend);
        let pending = wallet.sync();
        assert_eq!(State::from(&pending), reference::state(&node, 0), "{name}");
        assert!(pending.balance.trusted_pending_sat > 200_000, "{name}");
        let entry = &wallet.ledger.history()[0];
        assert_eq!(
            (entry.txid, entry.block),
            (spend.compute_txid(), None),
            "{name}"
        );
        assert_eq!(entry.fee_sat, Some(2_000), "{name}");
        assert_eq!(entry.net_sat(), -62_000, "{name}");

        chain.mine(1).expect("a block");
        let after = wallet.sync();
        assert_eq!(State::from(&after), reference::state(&node, 0), "{name}");
        assert_eq!(wallet.reopen(), after, "{name}");
        let mut fresh = Wallet::new(&node, 0);
        assert_eq!(fresh.sync(), after, "{name}");
        assert_eq!(wallet.ledger.highest_used(CHANGE), Some(9), "{name}");
        const { assert!(GAP > 9) };
    }
}
