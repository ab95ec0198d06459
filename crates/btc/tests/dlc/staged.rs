//! A side whose wallet can pay and make addresses, and nothing more: coins by way of a staged key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use btc::bitcoin::{Amount, OutPoint, Psbt, ScriptBuf, Transaction};
use btc::discreet::{Dlc, DlcConfig, Enough, Funding, FundingCoin, Parts, Seed, StagedFunding};
use btc::dlc::{ContractState, DlcInterface, OracleInterface};
use btc::rust::RustBitcoin;
use btc::{AddressType, BitcoinResult, ErrorKind, Network, WalletInterface};

use crate::support::{Party, World, newest, toss};

const STAKE: u64 = 400_000;

/// A side whose wallet can pay and make addresses, and nothing more.
struct Plain {
    dlc: Dlc,
    funding: Arc<StagedFunding>,
    party: Party,
}

fn plain(world: &World) -> Plain {
    let party = Party::new(world);
    party.receive(world, AddressType::P2pkh);
    world.mine(100);
    party.wallet.sync().expect("a sync");
    let folder = party.home.path().join("plain");
    std::fs::create_dir_all(&folder).expect("a folder");
    let seed = Seed::open_or_create(&folder.join("seed")).expect("a seed");
    let file = folder.join("staged.sqlite");
    let bitcoin = Arc::clone(&party.bitcoin) as _;
    let index = Arc::new(RustBitcoin::connect(&world.config()).expect("a node"));
    let funding = StagedFunding::open(bitcoin, index as _, Network::Regtest, seed, &file);
    let clock = Arc::clone(&world.clock);
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let funding = Arc::new(funding.expect("a file").with_clock(clock));
    Plain {
        dlc: open(world, &folder, Arc::clone(&funding) as _),
        funding,
        party,
    }
}

impl Plain {
    /// The same store over another funding.
    fn open(&self, world: &World, funding: Arc<dyn Funding>) -> Dlc {
        open(world, &self.party.home.path().join("plain"), funding)
    }
}

fn open(world: &World, folder: &Path, funding: Arc<dyn Funding>) -> Dlc {
    let seed = Seed::open_or_create(&folder.join("seed")).expect("a seed");
    let bare = Arc::new(RustBitcoin::connect(&world.config()).expect("a node"));
    let with = Parts {
        network: Network::Regtest,
        index: Arc::clone(&bare) as _,
        node: bare,
        funding,
    };
    let clock = Arc::clone(&world.clock);
    let terms = DlcConfig {
        now: Arc::new(move || clock.load(Ordering::SeqCst)),
        ..DlcConfig::default()
    };
    Dlc::open(folder, seed, with, terms).expect("a store")
}

#[test]
fn a_wallet_that_only_pays_funds_through_a_staged_key() {
    let world = World::new();
    let (alice, _) = world.parties();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    // One payment to the staging key leaves, and nothing else, until that is in a block.
    for _ in 0..2 {
        let failure = bob.dlc.accept(&offer).expect_err("no coin in a block");
        assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure}");
        assert_eq!(world.mempool().len(), 1);
    }
    world.mine(1);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    assert!(world.mempool().is_empty());
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bob.dlc.finalize(&sign).expect("a funding");
    world.mine(1);
    bob.dlc.sync().expect("a sync");
    alice.dlc.sync().expect("a sync");
    let id = newest(&alice);
    assert_eq!(bob.dlc.get(id).expect("it").state, ContractState::Confirmed);
    let attestation = oracle.attest("toss", "tails").expect("one");
    world.mine_past(world.now());
    bob.dlc.execute(id, &[attestation]).expect("a settlement");
    world.mine(1);
    bob.dlc.sync().expect("a sync");
    assert_eq!(bob.dlc.get(id).expect("it").state, ContractState::Claimed);
    // The staged coin is spent: nothing is sent back, and nothing is brought twice.
    assert!(bob.funding.send_back(2).expect("nothing to do").is_empty());
}

#[test]
fn a_staged_coin_that_no_contract_used_is_sent_back() {
    let world = World::new();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let before = bob.party.balance();
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    bob.dlc.offer(&terms).expect("an offer");
    assert!(bob.funding.send_back(2).expect("reserved").is_empty());
    let id = bob.dlc.list().expect("a list")[0].id;
    bob.dlc.cancel(id).expect("a cancellation");
    // The next offer brings the same coin; then it goes home.
    bob.dlc.offer(&terms).expect("an offer");
    assert!(world.mempool().is_empty());
    let id = bob.dlc.list().expect("a list")[0].id;
    bob.dlc.cancel(id).expect("a cancellation");
    let sent = bob.funding.send_back(2).expect("sent");
    assert_eq!(sent.len(), 1);
    // The network loses it: it leaves again, and the coin is no contract's.
    world.node.stop().expect("stopped");
    let kept = world.node.datadir().join("regtest/mempool.dat");
    std::fs::remove_file(kept).expect("a mempool that was kept");
    world.node.restart().expect("a node again");
    world.set_clock(world.now());
    bob.dlc.sync().expect("a sync");
    assert_eq!(world.mempool(), [sent[0].compute_txid()]);
    world.mine(1);
    let lost = before - bob.party.balance();
    assert!(lost < 2_000, "{lost}");
}

/// A funding whose process ends behind the reservation.
struct Dying(Arc<StagedFunding>);

impl Funding for Dying {
    fn follow(&self) -> BitcoinResult<()> {
        self.0.follow()
    }

    fn new_script(&self) -> BitcoinResult<ScriptBuf> {
        self.0.new_script()
    }

    fn reserve(
        &self,
        reason: &str,
        until_ms: Option<u64>,
        rate: u64,
        enough: Enough<'_>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        self.0.reserve(reason, until_ms, rate, enough)?;
        std::panic::resume_unwind(Box::new("killed"))
    }

    fn extend(&self, reason: &str, coins: &[OutPoint], until_ms: Option<u64>) -> BitcoinResult<()> {
        self.0.extend(reason, coins, until_ms)
    }

    fn release(&self, reason: &str) -> BitcoinResult<()> {
        self.0.release(reason)
    }

    fn endless(&self, prefix: &str) -> BitcoinResult<Vec<String>> {
        self.0.endless(prefix)
    }

    fn spent(&self, reason: &str) -> BitcoinResult<()> {
        self.0.spent(reason)
    }

    fn sign(&self, psbt: &mut Psbt) -> BitcoinResult<()> {
        self.0.sign(psbt)
    }

    fn own(&self, coins: &[OutPoint]) -> BitcoinResult<Vec<OutPoint>> {
        self.0.own(coins)
    }

    fn spend_back(&self, coin: &FundingCoin, fee: Amount) -> BitcoinResult<Transaction> {
        self.0.spend_back(coin, fee)
    }
}

#[test]
fn a_staged_coin_is_free_when_the_time_of_its_offer_ends() {
    let world = World::new();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    bob.dlc.offer(&terms).expect("an offer");
    assert!(bob.funding.send_back(2).expect("reserved").is_empty());
    world.set_clock(world.now() + 86_401);
    assert_eq!(bob.funding.send_back(2).expect("sent").len(), 1);
}

#[test]
fn a_staged_coin_of_a_call_that_was_killed_is_free_when_its_time_ends() {
    let world = World::new();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    let dying = bob.open(&world, Arc::new(Dying(Arc::clone(&bob.funding))));
    let killed = std::thread::scope(|scope| scope.spawn(|| dying.offer(&terms)).join());
    killed.expect_err("killed");
    drop(dying);
    let again = bob.open(&world, Arc::clone(&bob.funding) as _);
    world.set_clock(world.now() + 86_401);
    let terms = toss(world.coin_toss(&oracle, "later"), STAKE, STAKE);
    again.offer(&terms).expect("an offer with the same coin");
    assert!(world.mempool().is_empty());
}

#[test]
fn a_staged_coin_that_an_escape_spent_does_not_wait_for_a_block() {
    let world = World::new();
    let (alice, _) = world.parties();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    let offer = bob.dlc.offer(&terms).expect("an offer");
    let accept = alice.dlc.accept(&offer).expect("an accept message");
    bob.dlc.sign(&accept).expect("a sign message");
    let id = newest(&alice);
    bob.dlc.cancel(id).expect("an escape");
    for _ in 0..6 {
        world.mine(1);
        bob.dlc.sync().expect("a sync");
    }
    assert_eq!(bob.dlc.get(id).expect("it").state, ContractState::Failed);
    // The next offer pays another key, and brings that coin.
    bob.party.wallet.sync().expect("a sync");
    let failure = bob.dlc.offer(&terms).expect_err("a coin in no block");
    assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure}");
    assert_eq!(world.mempool().len(), 1);
    world.mine(1);
    bob.dlc.offer(&terms).expect("an offer");
}

#[test]
fn a_reservation_without_an_end_whose_contract_was_never_stored_ends_at_the_next_opening() {
    let world = World::new();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    bob.dlc.offer(&terms).expect("an offer");
    // As it was kept before reservations had an end: of this contract, then of one that is not.
    let file = bob.party.home.path().join("plain/staged.sqlite");
    let connection = rusqlite::Connection::open(file).expect("a database");
    let change = |sql: &str| connection.execute(sql, ()).expect("a change");
    change("UPDATE staged SET until_ms = NULL");
    bob.open(&world, Arc::clone(&bob.funding) as _);
    assert!(bob.funding.send_back(2).expect("reserved").is_empty());
    let zeros = "0".repeat(64);
    change(&format!(
        "UPDATE staged SET reason = substr(reason, 1, instr(substr(reason, 5), ':') + 4) || '{zeros}'"
    ));
    bob.open(&world, Arc::clone(&bob.funding) as _);
    assert_eq!(bob.funding.send_back(2).expect("sent").len(), 1);
}
