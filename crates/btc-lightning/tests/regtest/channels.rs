//! Channels that end alone, and peers that are remembered.

use btc_iface::lightning::{ChannelFees, CloseMode, EventDetail, LightningInterface, SweepState};
use futures_lite::future::block_on;

use crate::world::{BTC, World, eventually};

/// What two outputs that let both sides raise the fee of a closing take.
const ANCHORS_SAT: u64 = 660;

#[test]
fn a_force_closed_channel_comes_back_after_the_delay_to_the_satoshi() {
    let world = World::start();
    let (a, b, handle) = world.pair(1_000_000, 0);
    a.paid(&b.invoice(Some(100_000_000)), None);
    let delay = a
        .channel(handle)
        .and_then(|channel| channel.force_close_delay_blocks);
    block_on(a.node().close_channel(handle, CloseMode::Force)).expect("alone");
    eventually("the closing is in the mempool", || {
        !world.mempool().is_empty()
    });
    // LDK forgets the peer now; our own list does not.
    let peers = block_on(a.node().peers()).expect("peers");
    assert!(
        peers
            .iter()
            .any(|peer| peer.node_id == b.id() && peer.is_remembered),
        "{peers:?}"
    );
    world.mine(1);
    world.synced(&[&a, &b]);
    let before_delay = a.balances();
    assert!(
        before_delay.lightning_sat > 0,
        "it waits for the delay: {before_delay:?}"
    );
    world.mine(u32::from(delay.expect("agreed at the opening")));
    world.synced(&[&a, &b]);
    eventually("the sweep is under way", || {
        let sweeps = [a.balances().sweeps, b.balances().sweeps].concat();
        sweeps.iter().any(|sweep| {
            matches!(
                sweep.state,
                SweepState::Sent { .. } | SweepState::Confirmed { .. }
            )
        }) || !world.mempool().is_empty()
    });
    eventually("all is on the chain", || {
        world.mine(1);
        world.synced(&[&a, &b]);
        [&a, &b].iter().all(|ln| {
            let all = ln.balances();
            all.channels.is_empty()
                && all.lightning_sat == 0
                && all
                    .sweeps
                    .iter()
                    .all(|sweep| matches!(sweep.state, SweepState::Confirmed { .. }))
        })
    });
    let total = a.balances().onchain_total_sat + b.balances().onchain_total_sat;
    let expected = 100 * BTC - world.mined_fees_sat();
    let lost = expected - total;
    assert!(
        lost <= ANCHORS_SAT && lost.is_multiple_of(330),
        "{lost} sat are missing, of {expected}"
    );
    assert_eq!(
        a.saw(|event| matches!(
            event,
            EventDetail::ChannelClosed {
                is_cooperative: false,
                ..
            }
        )),
        1
    );
}

#[test]
fn fees_are_set_and_peers_reconnected_after_a_restart() {
    let world = World::start();
    let (mut a, b, handle) = world.pair(500_000, 100_000_000);
    let fees = ChannelFees {
        base_msat: 2_000,
        proportional_millionths: 300,
        cltv_expiry_delta: 100,
    };
    block_on(a.node().set_channel_fees(handle, fees)).expect("set");
    assert_eq!(a.channel(handle).map(|channel| channel.fees), Some(fees));
    a.restart();
    eventually("the peer is called again", || {
        a.channel(handle)
            .is_some_and(|channel| channel.is_usable && channel.fees == fees)
    });
    b.paid(&a.invoice(Some(1_000_000)), None);
    let signature = block_on(a.node().sign_message("hello".to_owned())).expect("signed");
    let check = |text: &str| {
        block_on(
            b.node()
                .verify_message(text.to_owned(), signature.clone(), a.id()),
        )
        .expect("checked")
    };
    assert!(check("hello") && !check("hullo"));
    let numbers: Vec<_> = a.events().iter().map(|event| event.number).collect();
    let expected: Vec<_> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "numbers rise by one over restarts");
}
