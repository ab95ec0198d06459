//! Own payments on a node of their own: none is forgotten, none is paid twice, and their coins are
//! free exactly when they should be. Each case is one of a review's, or a rule of docs/wallet.md.

mod choosing;
mod replacing;

use std::sync::Arc;

use btc::bitcoin::{Amount, OutPoint, ScriptBuf};
use btc::rust::wallet::RustWallet;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinTransaction, ErrorKind, FeeRate, NodeConfig,
    ObservedWallet, PaymentState, WalletInterface,
};
use btc_regtest::{Chain, Node, NodeBuilder};
use btc_tests::{Backend, Outcome, Suite, WalletFolder, builder, failure, node_config};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Opened = Arc<dyn ObservedWallet>;

/// A case over one implementation, on a node of its own.
type Case = fn(&mut World<'_, '_>) -> Outcome;

const CASES: &[(&str, &[&str], Case)] = &[
    (
        "a_payment_that_the_node_forgot_is_missing_and_sent_again",
        &["-persistmempool=0"],
        forgotten,
    ),
    (
        "a_refused_payment_frees_its_coins",
        &["-minrelaytxfee=0.0001"],
        refused,
    ),
    ("a_payment_never_takes_the_coins_of_another", &[], taken),
    (
        "a_payment_whose_coin_was_spent_elsewhere_is_conflicted",
        &[],
        conflicted,
    ),
    (
        "an_abandoned_payment_frees_its_coins",
        &["-persistmempool=0"],
        abandoned,
    ),
    (
        "a_reorganisation_opens_a_settled_payment_again",
        &["-persistmempool=0"],
        reorganised,
    ),
    (
        "confirmed_coins_are_spent_first_and_chains_stay_short",
        &[],
        choosing::seventy_payments,
    ),
    (
        "change_of_version_three_is_not_mixed",
        &[],
        choosing::version_three,
    ),
    (
        "an_address_beyond_what_a_restore_looks_at_is_refused",
        &[],
        choosing::out_of_reach,
    ),
    (
        "what_replaces_a_replacement_replaces_the_original",
        &["-persistmempool=0"],
        replacing::twice,
    ),
    (
        "what_was_given_up_is_handed_over_like_what_is_new",
        &["-persistmempool=0"],
        replacing::given_up,
    ),
    (
        "a_child_of_what_is_replaced_is_no_reason_against_the_replacement",
        &["-persistmempool=0"],
        replacing::late_child,
    ),
];

/// A node, its chain and a wallet.
struct World<'a, 'n> {
    node: &'n Node,
    chain: &'a mut Chain<'n>,
    config: NodeConfig,
    folder: WalletFolder,
    implementation: BitcoinImplementationType,
    opened: Option<Opened>,
}

pub(crate) fn add(suite: &mut Suite) {
    for backend in Backend::REAL {
        for (name, args, case) in CASES {
            suite.add(format!("payments::{name}::{}", backend.name()), move || {
                let mut options = builder();
                for arg in *args {
                    options = options.arg(arg);
                }
                run(options, backend, *case)
            });
        }
    }
}

fn run(options: NodeBuilder, backend: Backend, case: Case) -> Outcome {
    let node = options.start()?;
    let mut chain = Chain::new(&node, 11)?;
    chain.mine(120)?;
    let folder = WalletFolder::random(chain.height())?;
    let mut world = World {
        config: node_config(&node),
        node: &node,
        chain: &mut chain,
        folder,
        implementation: backend.implementation(),
        opened: None,
    };
    case(&mut world)
}

impl World<'_, '_> {
    /// The wallet through the implementation of the case.
    fn wallet(&mut self) -> Result<Opened, Failure> {
        if let Some(opened) = &self.opened {
            return Ok(Arc::clone(opened));
        }
        let config = self
            .folder
            .config(&self.config, &[("WALLET_SELECTION", "largest-first")]);
        let opened = btc::connect_observed(&config, self.implementation)?;
        self.opened = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What only the Rust wallet offers, on the same folder.
    fn with_rust<T>(
        &mut self,
        work: impl FnOnce(&RustWallet) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.opened = None;
        let wallet = btc::connect_wallet(&self.folder.config(&self.config, &[]))?;
        work(&wallet)
    }

    /// Confirmed coins of these amounts, on addresses of this type.
    fn fund(&mut self, address_type: AddressType, values_sat: &[u64]) -> Outcome {
        let wallet = self.wallet()?;
        for value_sat in values_sat {
            let script = wallet.generate_address(address_type)?.script_pubkey;
            self.chain
                .pay(&[(script, Amount::from_sat(*value_sat))], 20)?;
        }
        self.chain.mine(1)?;
        wallet.get_balance()?;
        Ok(())
    }

    fn pay(&mut self, value_sat: u64, fee_rate: u64) -> Result<BitcoinTransaction, Failure> {
        let wallet = self.wallet()?;
        let built = wallet.create_transaction(vec![(stranger(), value_sat)], fee_rate)?;
        wallet.broadcast_transaction(&built)?;
        Ok(built)
    }

    fn mempool(&self) -> Result<Vec<String>, Failure> {
        Ok(self.node.call("getrawmempool", &[])?)
    }

    fn state_of(&mut self, built: &BitcoinTransaction) -> Result<Option<PaymentState>, Failure> {
        let txid = built.txid;
        self.with_rust(|wallet| {
            wallet.follow()?;
            let history = wallet.history()?;
            let entry = history.iter().find(|entry| entry.txid == txid);
            Ok(entry.map(|entry| entry.state))
        })
    }
}

/// Case 16: a restart of the node without its mempool.
fn forgotten(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[500_000, 400_000])?;
    let paid = world.pay(100_000, 3)?;
    world.node.restart()?;
    assert!(world.mempool()?.is_empty());
    let wallet = world.wallet()?;
    let state = wallet.wallet_state()?;
    assert_eq!(state.balance.confirmed_sat, 900_000);
    assert_eq!(state.balance.held_by_missing_sat, 500_000, "{state:?}");
    // The next payment takes the other coin, and the one after finds none.
    let other = wallet.create_transaction(vec![(stranger(), 50_000)], 3)?;
    assert!(spent(&other).is_disjoint(&spent(&paid)));
    failure(
        wallet.create_transaction(vec![(stranger(), 50_000)], 3),
        ErrorKind::Rejected,
        "one coin is held and one reserved",
    );
    drop(wallet);
    assert_eq!(world.state_of(&paid)?, Some(PaymentState::Missing));
    // Not sent again before its time, nor by looking.
    assert!(world.mempool()?.is_empty());
    let sent = world.with_rust(|wallet| {
        wallet.follow()?;
        Ok(wallet.rebroadcast(None)?)
    })?;
    assert_eq!(sent.len(), 1);
    assert!(sent[0].1.is_none(), "{sent:?}");
    assert_eq!(world.mempool()?, [paid.txid.to_string()]);
    assert_eq!(world.state_of(&paid)?, Some(PaymentState::InMempool));
    let wallet = world.wallet()?;
    assert_eq!(wallet.wallet_state()?.balance.held_by_missing_sat, 0);
    world.chain.mine(1)?;
    drop(wallet);
    assert_eq!(world.state_of(&paid)?, Some(PaymentState::Confirmed));
    Ok(())
}

/// Case 4: a node that wants more than the rate.
fn refused(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2pkh, &[500_000])?;
    let wallet = world.wallet()?;
    for _ in 0..2 {
        let built = wallet.create_transaction(vec![(stranger(), 100_000)], 1)?;
        failure(
            wallet.broadcast_transaction(&built),
            ErrorKind::Rejected,
            "below the node's minimum",
        );
    }
    assert_eq!(wallet.wallet_state()?.balance.held_by_missing_sat, 0);
    drop(wallet);
    world.pay(100_000, 12)?;
    Ok(())
}

/// A transaction that takes a coin of an open payment is refused unless it replaces that one.
fn taken(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[500_000])?;
    let first = world.pay(100_000, 3)?;
    let second = world.pay(50_000, 3)?;
    let change = OutPoint::new(first.txid, 1);
    assert_eq!(second.inputs[0].previous_output, change);
    // Signed elsewhere, by the same words.
    let twin = world.folder.again(0)?;
    let config = twin.config(&world.config, &[]);
    let elsewhere = btc::connect_wallet(&config)?;
    elsewhere.sync()?;
    let drops = [second.txid];
    let foreign = elsewhere.bump_fee(first.txid, FeeRate::from_sat_per_vb(40), &drops)?;
    let foreign = complete(&elsewhere, foreign)?;
    let wallet = world.wallet()?;
    let error = failure(
        wallet.broadcast_transaction(&foreign),
        ErrorKind::Rejected,
        "it takes the coin of a payment",
    );
    assert!(
        error.message().contains("spends-coins-of-another-payment"),
        "{error}"
    );
    assert_eq!(context(&error, "payment"), Some(first.txid.to_string()));
    let check = wallet.check_broadcast(&btc::rust::encode_transaction(&foreign)?)?;
    assert_eq!(check.verdict, btc::BroadcastVerdict::Refused, "{check:?}");
    let mempool = world.mempool()?;
    assert!(mempool.contains(&first.txid.to_string()));
    assert!(mempool.contains(&second.txid.to_string()));
    // Built elsewhere as well: the coin is reserved here.
    let reserved = wallet.create_transaction(vec![(stranger(), 30_000)], 3)?;
    elsewhere.sync()?;
    let rival = elsewhere.create_transaction(vec![(stranger(), 31_000)], 3)?;
    assert_eq!(spent(&reserved), spent(&rival));
    let error = failure(
        wallet.broadcast_transaction(&rival),
        ErrorKind::Rejected,
        "its coin is reserved for another",
    );
    assert!(
        error
            .message()
            .contains("coin-reserved-for-another-transaction"),
        "{error}"
    );
    wallet.broadcast_transaction(&reserved)?;
    Ok(())
}

/// The same words elsewhere spend the coin, and a block decides.
fn conflicted(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2tr, &[500_000, 300_000])?;
    let twin = world.folder.again(0)?;
    let config = twin.config(&world.config, &[("WALLET_SELECTION", "largest-first")]);
    let elsewhere = btc::connect_wallet(&config)?;
    elsewhere.sync()?;
    let theirs = elsewhere.create_transaction(vec![(stranger(), 60_000)], 30)?;
    // Both coins, so that one of them is free when the other is spent.
    let first = world.pay(700_000, 3)?;
    let child = {
        let change = OutPoint::new(first.txid, 1);
        let child = world.pay(40_000, 3)?;
        assert_eq!(child.inputs[0].previous_output, change);
        child
    };
    let raw =
        btc::bitcoin::consensus::encode::deserialize(&btc::rust::encode_transaction(&theirs)?)?;
    world.chain.mine_transactions(&[raw])?;
    let wallet = world.wallet()?;
    let state = wallet.wallet_state()?;
    assert_eq!(state.balance.held_by_missing_sat, 0, "{state:?}");
    drop(wallet);
    assert_eq!(world.state_of(&first)?, Some(PaymentState::Conflicted));
    assert_eq!(world.state_of(&child)?, Some(PaymentState::Conflicted));
    // The coin that is left can be spent.
    let next = world.pay(100_000, 3)?;
    assert_eq!(next.inputs.len(), 1);
    Ok(())
}

fn abandoned(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2shP2wpkh, &[500_000])?;
    let first = world.pay(100_000, 3)?;
    let child = world.pay(50_000, 3)?;
    world.with_rust(|wallet| {
        let error = failure(
            wallet.abandon(first.txid),
            ErrorKind::InvalidInput,
            "the mempool has it",
        );
        assert_eq!(context(&error, "payment"), Some(first.txid.to_string()));
        Ok(())
    })?;
    world.node.restart()?;
    let given_up = world.with_rust(|wallet| Ok(wallet.abandon(first.txid)?))?;
    assert_eq!(given_up, [first.txid, child.txid]);
    let wallet = world.wallet()?;
    let state = wallet.wallet_state()?;
    assert_eq!(state.balance.held_by_missing_sat, 0);
    drop(wallet);
    assert_eq!(world.state_of(&first)?, Some(PaymentState::Abandoned));
    let next = world.pay(70_000, 3)?;
    assert_eq!(spent(&next), spent(&first));
    // It cannot come back over the payment that has its coin now.
    let wallet = world.wallet()?;
    failure(
        wallet.broadcast_transaction(&first),
        ErrorKind::Rejected,
        "its coin is another payment's",
    );
    Ok(())
}

/// Deep in the chain, a payment is settled; undone, it is open again and holds its coins.
fn reorganised(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[500_000])?;
    let paid = world.pay(100_000, 3)?;
    world.chain.mine(146)?;
    let wallet = world.wallet()?;
    wallet.wallet_state()?;
    wallet.get_balance()?;
    let other = wallet.create_transaction(vec![(stranger(), 10_000)], 3)?;
    assert_eq!(other.inputs[0].previous_output.txid, paid.txid);
    world.chain.disconnect(146)?;
    world.node.restart()?;
    let state = wallet.wallet_state()?;
    assert_eq!(state.balance.confirmed_sat, 500_000, "{state:?}");
    assert_eq!(state.balance.held_by_missing_sat, 500_000, "{state:?}");
    drop(wallet);
    assert_eq!(world.state_of(&paid)?, Some(PaymentState::Missing));
    Ok(())
}

fn complete(
    wallet: &RustWallet,
    mut psbt: btc::bitcoin::Psbt,
) -> Result<BitcoinTransaction, Failure> {
    wallet.sign_psbt(&mut psbt)?;
    assert!(wallet.finalize_psbt(&mut psbt)?, "all inputs are ours");
    Ok(wallet.extract_psbt(&psbt, true)?)
}

fn spent(transaction: &BitcoinTransaction) -> std::collections::BTreeSet<OutPoint> {
    let inputs = transaction.inputs.iter();
    inputs.map(|input| input.previous_output).collect()
}

fn context(error: &btc::BitcoinError, name: &str) -> Option<String> {
    let found = error.context().iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone())
}

fn stranger() -> String {
    let script = ScriptBuf::new_p2wpkh(
        &<btc::bitcoin::WPubkeyHash as btc::bitcoin::hashes::Hash>::from_byte_array([7; 20]),
    );
    btc::bitcoin::Address::from_script(&script, btc::Network::Regtest)
        .expect("an address")
        .to_string()
}
