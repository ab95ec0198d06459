//! Both wallets on a chain with payments, reorganisations, replacements and evictions, and on a node
//! that forgets.

pub(super) mod own;

use std::fmt;
use std::path::Path;

use btc::bitcoin::Amount;
use btc::shadow::compare::{Difference, Verdict, judge};
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinResult, Config, WalletState};
use btc_regtest::{Chain, Node, NodeError};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::{Pair, Tally};
use crate::exit::Failure;

/// Steps with one pair of wallets.
const STEPS_PER_WALLET: u64 = 25;

/// Core's code for a transaction whose inputs are not there.
const GONE: i32 = -25;

/// What happened on the moving chain.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Comparisons of the whole state.
    pub(super) steps: u64,
    payments: u64,
    spends: u64,
    blocks: u64,
    reorganisations: u64,
    replacements: u64,
    evictions: u64,
    /// Restarts of the node without its mempool.
    restarts: u64,
    /// Mempools that became too old.
    forgotten: u64,
    /// Missing payments that a node has again.
    sent_again: u64,
    given_up: u64,
    children: u64,
    bumps: u64,
    cancels: u64,
    /// Replacements that were refused for the payments that would be lost.
    descendants: u64,
    /// Replacements that dropped those.
    drops: u64,
    /// Payments of which both sides said whether they may be sent.
    judged: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} payments, {} spends, {} blocks, {} reorganisations, {} replacements, {} evictions\n\
             of own payments: {} mempools forgotten and {} restarts, {} sent again, {} given up, {} \
             bumps, {} cancels, {} children, {} refusals for descendants and {} drops, {} words \
             compared",
            self.payments,
            self.spends,
            self.blocks,
            self.reorganisations,
            self.replacements,
            self.evictions,
            self.forgotten,
            self.restarts,
            self.sent_again,
            self.given_up,
            self.bumps,
            self.cancels,
            self.children,
            self.descendants,
            self.drops,
            self.judged,
        )
    }
}

pub(super) fn run(
    config: &Config,
    node: &Node,
    home: &Path,
    steps: u64,
    random: &mut Random,
    bar: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut chain = Chain::new(node, random.word())?;
    chain.mine(130)?;
    let mut pair = None;
    for step in 0..steps {
        if step % STEPS_PER_WALLET == 0 {
            let dir = home.join(format!("live-{step}"));
            // The old pair first, so that nothing of it runs beside the new one.
            drop(pair.take());
            pair = Some(Pair::open(config, &dir, random)?);
        }
        let pair = pair.as_ref().expect("opened at the first step");
        let what = match move_chain(&mut chain, pair, random, tally) {
            Err(Failure::Node(error)) if is_gone(&error) => {
                chain.mine(1)?;
                "a payment of a coin that is gone"
            }
            moved => moved?,
        };
        let mut found = compare_states(pair)?;
        found.extend(own::compare(pair, &mut tally.live)?);
        tally.add(&format!("step {step}, after {what}"), found);
        tally.live.steps += 1;
        bar.inc(1);
    }
    Ok(())
}

/// Whether the payer's coin is gone: with a block whose transactions were forgotten, or because
/// what makes it has waited for 14 days by the node's clock, which every block moves on. Bitcoin
/// Core says of the second that its mempool is full.
fn is_gone(error: &NodeError) -> bool {
    error.rpc_code() == Some(GONE) || error.rpc_message() == Some("mempool full")
}

/// Something happens; returns what.
fn move_chain(
    chain: &mut Chain<'_>,
    pair: &Pair,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<&'static str, Failure> {
    let counts = &mut tally.live;
    match random.between(0, 19) {
        0..=2 => {
            let outputs = (0..random.between(1, 4))
                .map(|_| {
                    let address = next_address(pair, random)?;
                    let value_sat = random.between(1_000, 3_000_000);
                    Ok((address, Amount::from_sat(value_sat)))
                })
                .collect::<BitcoinResult<Vec<_>>>()?;
            chain.pay(&outputs, 3)?;
            counts.payments += 1;
            Ok("a payment")
        }
        3..=4 | 18..=19 => spend(pair, random, tally),
        10..=11 => own::forget(chain, random, counts),
        12 => {
            own::make_missing(chain, pair, random, tally)?;
            own::again(pair, random, &mut tally.live)
        }
        13 => {
            own::make_missing(chain, pair, random, tally)?;
            own::give_up(pair, random, &mut tally.live)
        }
        14 => {
            own::make_open(chain, pair, random, tally)?;
            own::child(pair, random, tally)
        }
        15..=17 => {
            own::make_open(chain, pair, random, tally)?;
            own::replace(chain.node(), pair, random, tally)
        }
        5..=6 => {
            let blocks = random.between(1, 3);
            chain.mine(u32::try_from(blocks).unwrap_or(1))?;
            counts.blocks += blocks;
            Ok("blocks")
        }
        7 => {
            let depth = u32::try_from(random.between(1, 12)).unwrap_or(1);
            if random.once_in(2) {
                chain.reorg(depth)?;
            } else {
                chain.reorg_empty(depth)?;
            }
            counts.reorganisations += 1;
            Ok("a reorganisation")
        }
        8 => {
            // A payment to the wallet that its sender takes back.
            let script = next_address(pair, random)?;
            let payment =
                chain.spend_to(&script, Amount::from_sat(random.between(1_000, 900_000)))?;
            send(chain.node(), &payment)?;
            compare_in_between(pair, tally)?;
            send(chain.node(), &chain.double_spend(&payment)?)?;
            tally.live.replacements += 1;
            Ok("a replacement")
        }
        _ => {
            // Confirmed, and gone with its block: another transaction spends the same coin.
            let script = next_address(pair, random)?;
            let payment =
                chain.spend_to(&script, Amount::from_sat(random.between(1_000, 900_000)))?;
            send(chain.node(), &payment)?;
            chain.mine(1)?;
            compare_in_between(pair, tally)?;
            let rival = chain.double_spend(&payment)?;
            chain.disconnect(1)?;
            chain.mine_transactions(&[rival])?;
            chain.mine(1)?;
            tally.live.evictions += 1;
            Ok("an eviction")
        }
    }
}

/// The wallet pays: one side creates, the other builds the same again, the first sends.
fn spend(pair: &Pair, random: &mut Random, tally: &mut Tally) -> Result<&'static str, Failure> {
    let (primary, twin) = if random.once_in(2) {
        (&pair.rust, &pair.python)
    } else {
        (&pair.python, &pair.rust)
    };
    let to = primary.generate_address(random.pick(&AddressType::ALL))?;
    let outputs = vec![(to.address, random.between(700, 400_000))];
    let fee_rate = random.between(1, 20);
    let created = primary.create_transaction_with_snapshot(outputs.clone(), fee_rate);
    let (transaction, snapshot) = match created {
        Ok(created) => created,
        // A wallet without coins yet.
        Err(error) if error.kind() == btc::ErrorKind::Rejected => return Ok("no coins"),
        Err(error) => return Err(error.into()),
    };
    let planned = twin.plan_transaction(&outputs, fee_rate, &snapshot);
    if let Ok(planned) = &planned {
        tally.add("coins of a spend", unknown(&planned.unknown_coins));
    }
    let planned = planned.map(|planned| planned.transaction);
    let (verdict, found) = judge(&Ok(transaction.clone()), &planned);
    if verdict != Verdict::Match {
        tally.add("a spend", found);
    }
    primary.broadcast_transaction(&transaction)?;
    tally.live.spends += 1;
    Ok("a spend")
}

fn compare_in_between(pair: &Pair, tally: &mut Tally) -> Result<(), Failure> {
    let found = compare_states(pair)?;
    tally.add("in between", found);
    Ok(())
}

/// Tip, balance by bucket and every coin.
fn compare_states(pair: &Pair) -> BitcoinResult<Vec<Difference>> {
    let (rust, python) = (pair.rust.wallet_state()?, pair.python.wallet_state()?);
    if rust == python {
        return Ok(Vec::new());
    }
    let show = |state: &WalletState| serde_json::to_string(state).unwrap_or_default();
    Ok(vec![difference("state", show(&rust), show(&python))])
}

fn unknown(coins: &[btc::bitcoin::OutPoint]) -> Vec<Difference> {
    coins
        .iter()
        .map(|coin| difference("snapshot.coins", coin.to_string(), "unknown".to_owned()))
        .collect()
}

fn difference(path: &str, primary: String, secondary: String) -> Difference {
    Difference {
        path: path.to_owned(),
        primary,
        secondary,
        tip: false,
    }
}

fn next_address(pair: &Pair, random: &mut Random) -> BitcoinResult<btc::bitcoin::ScriptBuf> {
    let side = if random.once_in(2) {
        &pair.rust
    } else {
        &pair.python
    };
    let address = side.generate_address(random.pick(&AddressType::ALL))?;
    Ok(address.script_pubkey)
}

fn send(node: &Node, transaction: &btc::bitcoin::Transaction) -> Result<(), Failure> {
    let hex = btc::bitcoin::consensus::encode::serialize_hex(transaction);
    let _: String = node.call("sendrawtransaction", &[json!(hex)])?;
    Ok(())
}
