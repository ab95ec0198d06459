//! A chain that is reorganised under a funding and under a close.

use btc_iface::lightning::{CloseMode, LightningInterface};
use futures_lite::future::block_on;
use serde_json::json;

use crate::world::{AWAY, BTC, World, eventually};

impl World {
    /// Takes the last blocks away and mines one more, with what was in them.
    fn reorganise(&self, blocks: u32) {
        let from = self.height() - blocks + 1;
        let hash = self.call("getblockhash", &[json!(from)]);
        self.call("invalidateblock", &[hash]);
        // To another address: the same block, mined in the same second, would be the one taken away.
        self.mine_to(blocks + 1, AWAY);
    }
}

#[test]
fn a_funding_and_a_close_survive_reorganisations_of_one_and_of_six_blocks() {
    let world = World::start();
    let (a, b, handle) = world.pair(1_000_000, 0);
    for depth in [1, 6] {
        world.reorganise(depth);
        world.synced(&[&a, &b]);
        eventually("the channel is usable", || {
            a.channel(handle).is_some_and(|channel| channel.is_usable)
        });
        a.paid(&b.invoice(Some(11_000_000)), None);
    }
    block_on(a.node().close_channel(handle, CloseMode::Cooperative)).expect("a close");
    eventually("the close is in the mempool", || {
        !world.mempool().is_empty()
    });
    for depth in [1, 6] {
        world.mine(depth);
        world.synced(&[&a, &b]);
        world.reorganise(depth);
        world.synced(&[&a, &b]);
    }
    eventually("all is on the chain", || {
        let (a, b) = (a.balances(), b.balances());
        a.lightning_sat == 0 && b.lightning_sat == 0 && a.sweeps.is_empty() && b.sweeps.is_empty()
    });
    assert_eq!(b.balances().onchain_total_sat, 50 * BTC + 22_000);
    let total = a.balances().onchain_total_sat + b.balances().onchain_total_sat;
    assert_eq!(total, 100 * BTC - world.mined_fees_sat());
}
