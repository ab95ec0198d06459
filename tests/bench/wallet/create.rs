//! Payments from a wallet of many coins.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use btc::bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::build;
use btc::rust::wallet::reservations::Reservations;
use btc::rust::wallet::source::{ChainSource, Follower, Peer};
use btc::{
    AddressType, BitcoinError, BitcoinImplementationType, BitcoinResult, BitcoinTransaction,
    BlockRef, Chain, ErrorKind, Operation,
};

use super::bdk::{Bdk, client};
use super::ground::{Ground, access, many_coins};
use super::place::{Place, Words, config};
use crate::Outcome;
use crate::measure::{Effort, turns};
use crate::report::{Reach, Results, Row};

/// More than one of the coins is worth, less than two.
const AMOUNT_SAT: u64 = 150_000;
/// In sat/vB.
const FEE_RATE: u64 = 3;
/// Payments take milliseconds: many rounds for each of a long one.
const ROUNDS: usize = 9;

/// Measures payments.
pub(crate) fn payments(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let ground = Ground::new()?;
    let node = ground.start(false)?;
    let words = Words::of(3)?;
    eprintln!("a wallet of {} coins", effort.coins);
    many_coins(&node, &words, effort.coins)?;
    let (node, cookie) = access(&node)?;
    let place = words.restore(0)?;
    let tip = place.open_at(&node)?.follow()?;
    let mut bdk = Bdk::create(&words, place.home())?;
    bdk.sync(&client(&node.url, &cookie)?, 0)?;
    if bdk.coins().0.len() != effort.coins {
        return Err("BDK has not found all coins".into());
    }
    let to = Words::of(9)?
        .keyring()?
        .address((AddressType::P2wpkh, Chain::Receive), 0)?;
    let payment = Payment {
        script: to.script_pubkey,
        outputs: vec![(to.address, AMOUNT_SAT)],
    };
    {
        let wallet = place.open(Arc::new(Still(tip)))?;
        let pay = || Ok(wallet.create_transaction(payment.outputs.clone(), FEE_RATE)?);
        let row = payment.whole(effort, &place, &mut bdk, pay, "without its sync")?;
        results.add(row);
        results.add(payment.planned(effort, &words, &wallet, &mut bdk)?);
    }
    let config = config(&node, place.dir())?;
    let rust = btc::connect_observed(&config, BitcoinImplementationType::Rust)?;
    let pay = || Ok(rust.create_transaction(payment.outputs.clone(), FEE_RATE)?);
    results.add(payment.whole(effort, &place, &mut bdk, pay, "with its sync")?);
    let python = btc::connect_observed(&config, BitcoinImplementationType::Python)?;
    let pay_ours = || Ok(rust.create_transaction(payment.outputs.clone(), FEE_RATE)?);
    let pay_theirs = || Ok(python.create_transaction(payment.outputs.clone(), FEE_RATE)?);
    results.add(against_python(effort, &place, pay_ours, pay_theirs)?);
    Ok(())
}

/// What is paid, each time anew: the coins are released in between.
struct Payment {
    script: ScriptBuf,
    outputs: Vec<(String, u64)>,
}

impl Payment {
    /// From the coins to the signed transaction and the promise on disk.
    fn whole(
        &self,
        effort: &Effort,
        place: &Place,
        bdk: &mut Bdk,
        mut pay: impl FnMut() -> Outcome<BitcoinTransaction>,
        what: &str,
    ) -> Outcome<Row> {
        let mut reservations = Reservations::open(place.dir())?;
        let ours = pay()?;
        reservations.release_for(ours.txid)?;
        let theirs = self.build(bdk)?;
        bdk.persist()?;
        if spent(&ours) != spent_by(&theirs) {
            return Err("the wallets choose different coins".into());
        }
        let [pair] = turns(
            effort.long_rounds * ROUNDS,
            &mut || promised(&mut pay, &mut reservations),
            [&mut || {
                let started = Instant::now();
                let transaction = self.build(bdk)?;
                bdk.lock(&transaction)?;
                let took = started.elapsed();
                bdk.unlock(&transaction)?;
                Ok(took)
            }],
        )?;
        Ok(Row {
            work: format!("create_transaction at {} coins, {what}", effort.coins),
            against: "BDK: build, sign, lock the coins, persist; without a sync",
            reach: Reach::AtMostMilli(1_100),
            pair,
        })
    }

    /// Without the promise on disk.
    fn planned(
        &self,
        effort: &Effort,
        words: &Words,
        wallet: &RustWallet,
        bdk: &mut Bdk,
    ) -> Outcome<Row> {
        let (keyring, keys) = (words.keyring()?, words.signer()?);
        let [pair] = turns(
            effort.long_rounds * ROUNDS,
            &mut || {
                let started = Instant::now();
                let snapshot = wallet.current_snapshot()?;
                let draft = build::plan(
                    &keyring,
                    &snapshot,
                    &self.outputs,
                    FEE_RATE,
                    build::DEFAULT_MAX_FEE_RATE,
                )?;
                let signed = build::sign(&draft, &keyring, &keys)?;
                black_box(build::to_bitcoin_transaction(&signed, draft.fee_sat)?);
                Ok(started.elapsed())
            },
            [&mut || {
                let started = Instant::now();
                black_box(self.build(bdk)?);
                let took = started.elapsed();
                bdk.persist()?;
                Ok(took)
            }],
        )?;
        Ok(Row {
            work: format!("plan and sign at {} coins, nothing written", effort.coins),
            against: "BDK: build and sign, nothing written",
            reach: Reach::AtMostMilli(1_100),
            pair,
        })
    }

    fn build(&self, bdk: &mut Bdk) -> Outcome<Transaction> {
        bdk.build(&self.script, Amount::from_sat(AMOUNT_SAT), FEE_RATE)
    }
}

/// Both implementations on one wallet, each with its sync and its promise on disk.
fn against_python(
    effort: &Effort,
    place: &Place,
    mut rust: impl FnMut() -> Outcome<BitcoinTransaction>,
    mut python: impl FnMut() -> Outcome<BitcoinTransaction>,
) -> Outcome<Row> {
    let mut reservations = Reservations::open(place.dir())?;
    let mut others = Reservations::open(place.dir())?;
    let (a, b) = (rust()?, python()?);
    if !spent(&a).is_disjoint(&spent(&b)) {
        return Err("the same coins were promised twice".into());
    }
    reservations.release_for(a.txid)?;
    reservations.release_for(b.txid)?;
    let [pair] = turns(
        effort.long_rounds * ROUNDS,
        &mut || promised(&mut rust, &mut reservations),
        [&mut || promised(&mut python, &mut others)],
    )?;
    Ok(Row {
        work: format!("create_transaction at {} coins", effort.coins),
        against: "the Python implementation, embedded, on the same wallet",
        reach: Reach::FasterBy(20),
        pair,
    })
}

/// The time of one payment, whose coins are free again afterwards.
fn promised(
    pay: &mut impl FnMut() -> Outcome<BitcoinTransaction>,
    reservations: &mut Reservations,
) -> Outcome<Duration> {
    let started = Instant::now();
    let transaction = pay()?;
    let took = started.elapsed();
    if reservations.release_for(transaction.txid)? == 0 {
        return Err("the payment has reserved nothing".into());
    }
    Ok(took)
}

fn spent(transaction: &BitcoinTransaction) -> BTreeSet<OutPoint> {
    let inputs = transaction.inputs.iter();
    inputs.map(|input| input.previous_output).collect()
}

fn spent_by(transaction: &Transaction) -> BTreeSet<OutPoint> {
    let inputs = transaction.input.iter();
    inputs.map(|input| input.previous_output).collect()
}

/// A source without news: for what a payment costs by itself.
struct Still(BlockRef);

impl ChainSource for Still {
    fn name(&self) -> &'static str {
        "still"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        Ok(self.0)
    }

    fn follow(&self, _: &mut dyn Follower) -> BitcoinResult<()> {
        Ok(())
    }

    fn broadcast(&self, _: &Transaction) -> BitcoinResult<Txid> {
        let message = "this source sends nothing";
        Err(BitcoinError::new(
            ErrorKind::Unsupported,
            Operation::BroadcastTransaction,
            message,
        ))
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        Ok(Vec::new())
    }
}
