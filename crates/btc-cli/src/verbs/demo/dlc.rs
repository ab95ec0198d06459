//! `btc demo dlc`: contracts between two wallets on a private node, every payout to the satoshi.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use btc::bitcoin::{Address, Script};
use btc::config::{WalletSettings, WalletSource};
use btc::discreet::{Dlc, DlcConfig, Oracle};
use btc::dlc::{
    ContractId, ContractTerms, DlcInterface, Event, EventKind, OracleInterface, Oracles, Payout,
};
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::{AddressType, Config, Network, Secret};
use btc_regtest::Node;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{Code, Failure};
use crate::node::Session;
use crate::output::{BAD, GOOD, Output};
use crate::verbs::Done;

const STAKE_SAT: u64 = 500_000;
const FEE_RATE: u64 = 3;
const DAY: u64 = 86_400;

/// How one contract ended.
#[derive(Serialize)]
struct Ended {
    contract: &'static str,
    state: &'static str,
    alice_sat: u64,
    bob_sat: u64,
    expected_alice_sat: u64,
    expected_bob_sat: u64,
    funding: String,
    closing: String,
    is_well: bool,
}

pub(super) fn run(output: Output) -> Done {
    let session = Session::private(&[])?;
    let node = session
        .private
        .as_ref()
        .ok_or_else(|| failed("the private node is gone"))?;
    let home = tempfile::tempdir().map_err(|cause| failed(cause.to_string()))?;
    let stage = Stage::new(node, &session.config, home.path())?;
    let ended = vec![
        stage.coin_toss()?,
        stage.future()?,
        stage.refund()?,
        stage.close()?,
    ];
    output.show(&ended, || ended.iter().map(describe).collect())?;
    let is_well = ended.iter().all(|one| one.is_well);
    Ok(if is_well { Code::Ok } else { Code::Failed })
}

struct Stage<'a> {
    node: &'a Node,
    clock: Arc<AtomicU64>,
    oracle: Oracle,
    alice: Dlc,
    bob: Dlc,
}

impl<'a> Stage<'a> {
    fn new(node: &'a Node, config: &Config, home: &Path) -> Result<Self, Failure> {
        let start = SystemTime::now().duration_since(UNIX_EPOCH);
        let start = start.map_err(|cause| failed(cause.to_string()))?.as_secs();
        let clock = Arc::new(AtomicU64::new(start));
        let side = |name: &str, entropy: u8| -> Result<Dlc, Failure> {
            let mut config = config.clone();
            let dir = home.join(name);
            make_wallet(&dir, entropy)?;
            config.wallet = Some(WalletSettings {
                dir: dir.clone(),
                passphrase: None,
                selection: None,
                source: WalletSource::Core,
                max_fee_rate: None,
            });
            mine_to(node, &config)?;
            let clock = Arc::clone(&clock);
            let terms = DlcConfig {
                now: Arc::new(move || clock.load(Ordering::SeqCst)),
                ..DlcConfig::default()
            };
            let contracts = home.join(format!("{name}-contracts"));
            Ok(btc::connect_dlc(&config, &contracts, terms)?)
        };
        set_clock(node, &clock, start)?;
        mine(node, 1)?;
        let alice = side("alice", 1)?;
        let bob = side("bob", 2)?;
        Ok(Self {
            node,
            clock,
            oracle: btc::open_oracle(&home.join("oracle"))?,
            alice,
            bob,
        })
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Lets time pass, for the chain, too.
    fn pass(&self, seconds: u64) -> Result<(), Failure> {
        set_clock(self.node, &self.clock, self.now() + seconds)?;
        mine(self.node, 12)
    }

    fn announce(&self, name: &str, outcomes: EventKind) -> Result<String, Failure> {
        let maturity = u32::try_from(self.now() + DAY).map_err(|_| failed("after 2106"))?;
        Ok(self.oracle.announce(&Event {
            name: name.to_owned(),
            maturity_time: maturity,
            outcomes,
        })?)
    }

    fn toss(&self, name: &str) -> Result<ContractTerms, Failure> {
        let names = vec!["heads".to_owned(), "tails".to_owned()];
        let announcement = self.announce(name, EventKind::Enumerated { names })?;
        let payout = Payout::enumerated([("heads", 2 * STAKE_SAT), ("tails", 0)]);
        Ok(ContractTerms::new(STAKE_SAT, STAKE_SAT, FEE_RATE)
            .branch(Oracles::one(announcement), payout))
    }

    /// Offered, accepted, signed, sent and confirmed.
    fn fund(&self, terms: &ContractTerms) -> Result<ContractId, Failure> {
        let offer = self.alice.offer(terms)?;
        let accept = self.bob.accept(&offer)?;
        let sign = self.alice.sign(&accept)?;
        self.bob.finalize(&sign)?;
        self.look()?;
        let newest = self.alice.list()?;
        let newest = newest
            .first()
            .ok_or_else(|| failed("the contract is lost"))?;
        Ok(newest.id)
    }

    /// Mines a block, and both sides look.
    fn look(&self) -> Result<(), Failure> {
        mine(self.node, 1)?;
        self.alice.sync()?;
        self.bob.sync()?;
        Ok(())
    }

    fn ended(
        &self,
        contract: &'static str,
        id: ContractId,
        expected: (u64, u64),
        tolerance_sat: u64,
    ) -> Result<Ended, Failure> {
        self.look()?;
        let (alice, bob) = (self.alice.get(id)?, self.bob.get(id)?);
        let alice_sat = alice.own_payout_sat.unwrap_or_default();
        let bob_sat = bob.own_payout_sat.unwrap_or_default();
        let is_near = |paid: u64, expected: u64| paid.abs_diff(expected) <= tolerance_sat;
        Ok(Ended {
            contract,
            state: alice.state.as_str(),
            alice_sat,
            bob_sat,
            expected_alice_sat: expected.0,
            expected_bob_sat: expected.1,
            funding: alice
                .funding_txid
                .map(|it| it.to_string())
                .unwrap_or_default(),
            closing: alice
                .closing_txid
                .map(|it| it.to_string())
                .unwrap_or_default(),
            is_well: alice.state.is_final()
                && is_near(alice_sat, expected.0)
                && is_near(bob_sat, expected.1),
        })
    }

    fn coin_toss(&self) -> Result<Ended, Failure> {
        let id = self.fund(&self.toss("coin toss")?)?;
        let attestation = self.oracle.attest("coin toss", "heads")?;
        self.pass(DAY)?;
        self.alice.execute(id, &[attestation])?;
        self.ended("a coin toss, heads", id, (2 * STAKE_SAT, 0), 0)
    }

    fn future(&self) -> Result<Ended, Failure> {
        let outcomes = EventKind::Numeric {
            base: 2,
            digits: 17,
            unit: "usd".to_owned(),
            precision: 0,
        };
        let announcement = self.announce("price", outcomes)?;
        // The offering side gains when the price rises from 40,000 to 80,000.
        let points = [
            (0, 0),
            (40_000, 0),
            (80_000, 2 * STAKE_SAT),
            (131_071, 2 * STAKE_SAT),
        ];
        let terms = ContractTerms::new(STAKE_SAT, STAKE_SAT, FEE_RATE)
            .branch(Oracles::one(announcement), Payout::lines(&points, 5_000));
        let id = self.fund(&terms)?;
        let attestation = self.oracle.attest("price", "65000")?;
        self.pass(DAY)?;
        self.bob.execute(id, &[attestation])?;
        self.ended("a future, at 65,000", id, (625_000, 375_000), 0)
    }

    fn refund(&self) -> Result<Ended, Failure> {
        let id = self.fund(&self.toss("a silent oracle")?)?;
        self.pass(9 * DAY)?;
        // The sync alone takes what is due.
        self.bob.sync()?;
        self.ended("a silent oracle, refunded", id, (STAKE_SAT, STAKE_SAT), 0)
    }

    fn close(&self) -> Result<Ended, Failure> {
        let id = self.fund(&self.toss("no wish to wait")?)?;
        let proposal = self.alice.propose_close(id, 600_000)?;
        self.bob.accept_close(&proposal, 400_000)?;
        // Each side has half of what the settlement would have cost less.
        self.ended("closed by agreement", id, (600_000, 400_000), 500)
    }
}

fn make_wallet(dir: &Path, entropy: u8) -> Result<(), Failure> {
    folder::create(
        dir,
        &NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 20,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: words_from_entropy(&[entropy; 16])?,
                bip39_passphrase: Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        },
    )?;
    Ok(())
}

/// Gives the wallet a mined coin that is mature.
fn mine_to(node: &Node, config: &Config) -> Result<(), Failure> {
    let wallet = btc::connect_wallet(config)?;
    let address = wallet.generate_address(AddressType::P2wpkh)?.address;
    drop(wallet);
    let _: Value = node.call("generatetoaddress", &[json!(1), json!(address)])?;
    mine(node, 100)
}

fn mine(node: &Node, blocks: u32) -> Result<(), Failure> {
    let address = Address::p2wsh(Script::new(), Network::Regtest).to_string();
    let _: Value = node.call("generatetoaddress", &[json!(blocks), json!(address)])?;
    Ok(())
}

fn set_clock(node: &Node, clock: &AtomicU64, time: u64) -> Result<(), Failure> {
    clock.store(time, Ordering::SeqCst);
    let _: Value = node.call("setmocktime", &[json!(time)])?;
    Ok(())
}

fn describe(one: &Ended) -> String {
    let verdict = if one.is_well {
        format!("{GOOD}as agreed{GOOD:#}")
    } else {
        format!("{BAD}not as agreed{BAD:#}")
    };
    format!(
        "{:<26} {:<10} Alice {:>9} sat, Bob {:>9} sat  {verdict}\n{:26} funded by {}\n{:26} ended by  {}\n",
        one.contract, one.state, one.alice_sat, one.bob_sat, "", one.funding, "", one.closing
    )
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::Other(Code::Failed, message.into())
}
