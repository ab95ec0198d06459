//! The twin without a fault while the chain moves beneath it: blocks, reorganisations, replacements.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bitcoin::Amount;
use btc::shadow::Policy;
use btc::shadow::parity::Random;
use btc::{AddressType, WalletTwin};

use crate::TWIN;
use crate::paying::{new_wallet, payee};
use crate::stage::{Failure, Ground, send};
use crate::watch::{Role, Watched};

/// The chain moves at least so often, and until so many calls were made.
const MOVES: u64 = 20;
const CALLS: u64 = 160;
const FUNDS: u32 = 20;

/// Calls in both roles, each on a thread of its own, while this one moves the chain.
pub(crate) fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let wallet = new_wallet(TWIN, ground.chain.height())?;
    let watched = Watched::with_wallet(ground, TWIN, &wallet, &Policy::default())?;
    let mut funds = Vec::new();
    for index in 0..FUNDS {
        let address_type = AddressType::ALL[index as usize % AddressType::ALL.len()];
        let address = watched.rust.derive_address(address_type, index / 4)?;
        funds.push((address.script_pubkey, Amount::from_sat(150_000)));
    }
    ground.chain.pay(&funds, 3)?;
    // No reorganisation reaches it.
    ground.chain.mine(6)?;
    let txids = ground.txids.clone();
    let is_over = AtomicBool::new(false);
    let calls = AtomicU64::new(0);
    thread::scope(|scope| {
        for role in Role::ALL {
            let (watched, is_over, calls, txids) = (&watched, &is_over, &calls, &txids);
            scope.spawn(move || {
                let mut random = Random::new(role as u64);
                while !is_over.load(Ordering::Relaxed) {
                    call(watched, role, txids, &mut random);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let moved = move_chain(ground, &watched, &calls);
        is_over.store(true, Ordering::Relaxed);
        moved
    })?;
    let report = watched.end();
    println!(
        "twin::while_the_chain_moves: {} calls, {} inconclusive",
        report.calls,
        report.unclear.len()
    );
    let has_differences = report.mismatches.iter().any(|found| !found.is_empty());
    assert!(!has_differences, "{report:#?}");
    // A side that could not be asked proves nothing.
    let unclear = u64::try_from(report.unclear.len())?;
    assert!(unclear * 10 <= report.calls, "{report:#?}");
    Ok(())
}

fn call(watched: &Watched, role: Role, txids: &[String], random: &mut Random) {
    let bitcoin = watched.first(role);
    match random.between(0, 7) {
        0 => drop(bitcoin.get_block_height()),
        1 => drop(bitcoin.estimate_fee(6)),
        2 => drop(bitcoin.generate_address(random.pick(&AddressType::ALL))),
        3 => {
            let last = u64::try_from(txids.len()).unwrap_or(1) - 1;
            let place = usize::try_from(random.between(0, last)).unwrap_or_default();
            drop(bitcoin.get_transaction(&txids[place]));
        }
        4 | 5 => drop(bitcoin.get_balance()),
        _ => {
            let value_sat = random.between(1_000, 90_000);
            let payee = payee().unwrap_or_default();
            if let Ok(transaction) = bitcoin.create_transaction(vec![(payee, value_sat)], 3) {
                drop(bitcoin.broadcast_transaction(&transaction));
            }
        }
    }
}

fn move_chain(
    ground: &mut Ground<'_>,
    watched: &Watched,
    calls: &AtomicU64,
) -> Result<(), Failure> {
    let mut random = Random::new(2);
    let is_enough = |turn| {
        // A caller that panics calls no more.
        turn >= MOVES && (calls.load(Ordering::Relaxed) >= CALLS || turn >= 20 * MOVES)
    };
    for turn in (0..).take_while(|turn| !is_enough(*turn)) {
        match turn % 5 {
            0 => drop(ground.chain.mine(1)?),
            1 => {
                let index = u32::try_from(turn)? % 4;
                let to = watched.rust.derive_address(AddressType::P2tr, index)?;
                let value = Amount::from_sat(random.between(10_000, 60_000));
                let paid = ground.chain.spend_to(&to.script_pubkey, value)?;
                send(ground.chain.node(), &paid)?;
                let rival = ground.chain.double_spend(&paid)?;
                send(ground.chain.node(), &rival)?;
            }
            2 => drop(ground.chain.reorg(2)?),
            3 => drop(ground.chain.reorg_empty(1)?),
            _ => drop(ground.chain.mine(2)?),
        }
        thread::sleep(std::time::Duration::from_millis(random.between(20, 120)));
    }
    Ok(())
}
