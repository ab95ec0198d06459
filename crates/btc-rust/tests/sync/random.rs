//! Whatever happens to the chain, in whatever order: the books kept along, the books read from
//! disk, books made anew and the node's own word are the same.

use btc_regtest::{Chain, Node};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::wallet::{CHANGE, GAP, Wallet, pay, receive, script, stranger};

#[derive(Debug, Clone)]
enum Event {
    Pay(u32),
    PayChange(u32),
    /// Spends this coin of the list, in part, to the change address with this index.
    Spend(usize, u32),
    /// Sends an unconfirmed own payment once more, with a higher fee and other outputs.
    Replace,
    Mine(u32),
    MineEmpty(u32),
    MineOwn(u32),
    Reorg(u32),
    ReorgEmpty(u32),
    Disconnect(u32),
    RestartNode,
}

fn event() -> impl Strategy<Value = Event> {
    let index = 0..GAP;
    prop_oneof![
        3 => index.clone().prop_map(Event::Pay),
        1 => index.clone().prop_map(Event::PayChange),
        4 => (0_usize..20, index.clone()).prop_map(|(coin, index)| Event::Spend(coin, index)),
        2 => Just(Event::Replace),
        2 => (1_u32..4).prop_map(Event::Mine),
        1 => (1_u32..3).prop_map(Event::MineEmpty),
        1 => index.prop_map(Event::MineOwn),
        2 => (1_u32..14).prop_map(Event::Reorg),
        1 => (1_u32..14).prop_map(Event::ReorgEmpty),
        1 => (1_u32..5).prop_map(Event::Disconnect),
        1 => Just(Event::RestartNode),
    ]
}

/// Does it as far as it can be done: after a reorganisation coins may be gone.
fn happen(event: &Event, node: &Node, chain: &mut Chain<'_>, wallet: &Wallet) {
    let view = wallet.ledger.view();
    let send = |transaction: &bitcoin::Transaction| {
        use btc_rust::wallet::source::ChainSource;
        let _ = wallet.source.broadcast(transaction);
    };
    match event {
        Event::Pay(index) => {
            let amount = bitcoin::Amount::from_sat(60_000 + u64::from(*index));
            let _ = chain.pay(&[(receive(*index), amount)], 5);
        }
        Event::PayChange(index) => {
            let amount = bitcoin::Amount::from_sat(30_000);
            let _ = chain.pay(&[(script(CHANGE, *index), amount)], 5);
        }
        Event::Spend(coin, index) => {
            let coins: Vec<_> = view
                .coins
                .iter()
                .filter(|coin| coin.value_sat > 25_000)
                .cloned()
                .collect();
            if let Some(coin) = coins.get(coin % coins.len().max(1)) {
                send(&Wallet::spend(
                    std::slice::from_ref(coin),
                    &[(stranger(), 2_000)],
                    *index,
                    0,
                ));
            }
        }
        Event::Replace => {
            let pending = wallet.ledger.history().into_iter();
            let pending = pending.filter(|it| it.block.is_none() && it.sent_sat > 25_000);
            for entry in pending {
                let known = wallet.ledger.transaction(entry.txid).expect("ours");
                let mut replacement = known.transaction.as_ref().clone();
                let spent = replacement.input[0].previous_output;
                let Some(parent) = wallet.ledger.transaction(spent.txid) else {
                    continue;
                };
                let output = &parent.transaction.output[spent.vout as usize];
                let Some((keychain, index)) = wallet.ledger.index_of(&output.script_pubkey) else {
                    continue;
                };
                let coin = btc_rust::wallet::ledger::Unspent {
                    outpoint: spent,
                    value_sat: output.value.to_sat(),
                    script_pubkey: output.script_pubkey.clone(),
                    keychain,
                    index,
                    state: btc_iface::CoinState::Confirmed,
                    block: None,
                };
                replacement = Wallet::spend(&[coin], &[(stranger(), 1_500)], 0, 8_000);
                send(&replacement);
                break;
            }
        }
        Event::Mine(blocks) => drop(chain.mine(*blocks).expect("blocks")),
        Event::MineEmpty(blocks) => drop(chain.mine_empty(*blocks).expect("blocks")),
        Event::MineOwn(index) => Wallet::mine_own(node, *index),
        Event::Reorg(depth) => drop(chain.reorg(*depth).expect("another branch")),
        Event::ReorgEmpty(depth) => drop(chain.reorg_empty(*depth).expect("another branch")),
        Event::Disconnect(depth) => drop(chain.disconnect(*depth).expect("blocks")),
        Event::RestartNode => {
            node.restart().expect("it starts again");
            let is_loaded = || {
                let info: serde_json::Value = node.call("getmempoolinfo", &[]).expect("a call");
                info["loaded"] == true
            };
            while !is_loaded() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 8,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn all_books_say_the_same(
        events in proptest::collection::vec((event(), any::<bool>()), 10..25),
        has_filters: bool,
        keeps_mempool: bool,
        birthday in prop_oneof![Just(0_u32), Just(108)],
    ) {
        let node = Node::builder()
            .block_filters(has_filters)
            .arg(format!("-persistmempool={}", u8::from(keeps_mempool)))
            .start()
            .expect("a node");
        let mut chain = Chain::new(&node, 1).expect("regtest");
        chain.mine(120).expect("blocks");
        pay(&mut chain, receive(0), 500_000);
        let mut wallet = Wallet::new(&node, birthday);
        wallet.sync_right(&node);
        for (event, is_followed) in &events {
            if has_filters && matches!(event, Event::RestartNode) {
                // Core may refuse to start when its index is at a block taken back by hand.
                continue;
            }
            happen(event, &node, &mut chain, &wallet);
            if *is_followed {
                let view = wallet.sync_right(&node);
                prop_assert_eq!(Wallet::new(&node, birthday).sync(), view);
            }
        }
        let view = wallet.sync_right(&node);
        prop_assert_eq!(Wallet::new(&node, birthday).sync(), view);
    }
}
