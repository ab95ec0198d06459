//! Reorganisations of 1 to 100 blocks: what is lost, replaced, mined elsewhere and taken back.

use btc::bitcoin::consensus::encode;
use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Address, Amount, Network, ScriptBuf, Transaction, Txid, WPubkeyHash};
use btc::{AddressType, BitcoinTransaction, NodeConfig, WalletState};
use btc_regtest::Chain;
use btc_tests::{Backend, Outcome, Reference, WalletFolder};
use serde_json::{Value, json};

use crate::sides::Sides;

/// The depths of reorganisations.
pub(crate) const DEPTHS: [u32; 10] = [1, 2, 3, 5, 10, 11, 25, 50, 99, 100];

/// Shadow mode opens the embedded Python wallet, so that a worker needs no trials of its own.
pub(crate) const BACKENDS: [Backend; 4] = [
    Backend::Rust,
    Backend::PythonEmbedded,
    Backend::ShadowPythonFirst,
    Backend::ShadowRustFirst,
];

/// Bitcoin Core gives the transactions of so many blocks back to the mempool.
const GIVEN_BACK: u32 = 10;
/// More indices than a case gives out, and the gap.
const RANGE: u32 = 40;
const FUNDS_SAT: u64 = 1_000_000;
const FEE_RATE: u64 = 3;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Everything that a reorganisation may do to a wallet, in one.
pub(crate) fn run(
    depth: u32,
    backend: Backend,
    chain: &mut Chain<'_>,
    node: &NodeConfig,
) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let mut case = Case {
        reference: Reference::new(chain.node(), &wallet, RANGE)?,
        sides: Sides::open(&wallet, backend, node)?,
        chain,
    };
    case.fund()?;
    let parts = case.make_parts()?;
    case.agree("waiting")?;
    let coinbase = case.mine_parts(&parts, depth)?;
    let before = case.agree("mined")?;
    // 100 blocks on it are enough for the reward to count.
    let is_immature = before.balance.immature_sat > 0;
    assert_eq!(is_immature, depth < 100, "the coinbase: {before:?}");
    assert!(has_coin_of(&before, coinbase), "{before:?}");

    case.chain.disconnect(depth)?;
    case.agree("taken back")?;
    let branch = case.other_branch(&parts, depth)?;
    let after = case.agree("on the other branch")?;
    assert_eq!(after.balance.immature_sat, 0, "a coinbase of no block");
    for (what, lost) in [
        ("dropped", parts.dropped.compute_txid()),
        ("replaced", parts.replaced.compute_txid()),
        ("the coinbase", coinbase),
    ] {
        assert!(!has_coin_of(&after, lost), "{what} still counts: {after:?}");
    }
    let waiting: Vec<Txid> = case.chain.node().call("getrawmempool", &[])?;
    let is_back = waiting.contains(&parts.second.compute_txid());
    assert_eq!(is_back, depth < 2 * GIVEN_BACK, "waiting: {waiting:?}");
    let again = parts.again.compute_txid();
    assert!(has_coin_of(&after, again), "lost: {after:?}");

    case.sides.close()?;
    case.sides = Sides::open(&wallet, backend, node)?;
    let reopened = case.agree("reopened")?;
    assert_eq!(reopened, after);

    // Life goes on, from the one coin that nothing is reserved for.
    let payment = case.pay(20_000)?;
    assert_eq!(payment.inputs.len(), 1);
    assert_eq!(payment.inputs[0].previous_output.txid, again);
    case.agree("paid")?;
    case.chain.mine(1)?;
    case.agree("gone on")?;
    println!(
        "reorg::{depth}::{}: {} sat before, {} sat after, {branch}",
        backend.name(),
        before.balance.spendable_sat(),
        after.balance.spendable_sat()
    );
    case.sides.close()
}

struct Case<'a, 'n> {
    chain: &'a mut Chain<'n>,
    reference: Reference,
    sides: Sides,
}

/// What is mined in the part that is taken back.
struct Parts {
    /// Paid by somebody, and taken by no mempool again.
    dropped: Transaction,
    /// Paid by somebody, who pays another on the other branch.
    replaced: Transaction,
    /// Paid by somebody, and mined in another block of the other branch.
    again: Transaction,
    /// A payment of the wallet's own.
    first: Transaction,
    /// One of everything, the change of the first among it.
    second: Transaction,
    /// One of the change of the second.
    third: Transaction,
}

impl Case<'_, '_> {
    fn agree(&self, what: &str) -> Result<WalletState, Failure> {
        self.sides.agree(what, self.chain.node(), &self.reference)
    }

    /// A coin of each type, which no reorganisation here reaches.
    fn fund(&mut self) -> Outcome {
        let mut funds = Vec::new();
        for address_type in AddressType::ALL {
            let address = self.sides.bitcoin().generate_address(address_type)?;
            let value = Amount::from_sat(FUNDS_SAT);
            funds.push(self.chain.spend_to(&address.script_pubkey, value)?);
        }
        self.chain.mine_transactions(&funds)?;
        self.agree("funded")?;
        Ok(())
    }

    /// Builds everything, and sends the wallet's own.
    fn make_parts(&mut self) -> Result<Parts, Failure> {
        let script = |case: &Self, address_type| {
            let address = case.sides.bitcoin().generate_address(address_type);
            address.map(|address| address.script_pubkey)
        };
        let to = script(self, AddressType::P2tr)?;
        let dropped = self
            .chain
            .spend_unrelayed_to(&to, Amount::from_sat(110_000))?;
        let to = script(self, AddressType::P2pkh)?;
        let replaced = self.chain.spend_to(&to, Amount::from_sat(120_000))?;
        let to = script(self, AddressType::P2wpkh)?;
        let again = self.chain.spend_to(&to, Amount::from_sat(130_000))?;
        let first = to_bitcoin(&self.pay(200_000)?)?;
        // The fee of three more inputs is far below what is left.
        let second = to_bitcoin(&self.pay(4 * FUNDS_SAT - 200_000 - 100_000)?)?;
        let third = to_bitcoin(&self.pay(30_000)?)?;
        let spends = |child: &Transaction, parent: &Transaction| {
            let parent = parent.compute_txid();
            child
                .input
                .iter()
                .any(|it| it.previous_output.txid == parent)
        };
        assert!(spends(&second, &first) && spends(&third, &second));
        Ok(Parts {
            dropped,
            replaced,
            again,
            first,
            second,
            third,
        })
    }

    /// Spreads the parts over so many blocks, the first of which pays the wallet; returns that
    /// reward's txid.
    fn mine_parts(&mut self, parts: &Parts, depth: u32) -> Result<Txid, Failure> {
        let own = self.sides.bitcoin().generate_address(AddressType::P2wpkh)?;
        let all = [
            &parts.dropped,
            &parts.replaced,
            &parts.again,
            &parts.first,
            &parts.second,
            &parts.third,
        ];
        // Of 20 blocks and more, the wallet's own payments are in those that are not given back.
        let mut reward = None;
        for block in 0..depth {
            let here = (0..)
                .zip(&all)
                .filter(|(number, _)| number * depth / 6 == block);
            let hex: Vec<_> = here.map(|(_, it)| encode::serialize_hex(*it)).collect();
            if block > 0 {
                let transactions: Vec<_> = hex
                    .iter()
                    .map(|hex| encode::deserialize_hex(hex))
                    .collect::<Result<_, _>>()?;
                self.chain.mine_transactions(&transactions)?;
                continue;
            }
            let node = self.chain.node();
            let mined: Value = node.call("generateblock", &[json!(own.address), json!(hex)])?;
            let block: Value = node.call("getblock", &[mined["hash"].clone()])?;
            reward = block["tx"][0].as_str().map(str::parse).transpose()?;
        }
        Ok(reward.ok_or("no block was mined")?)
    }

    /// As many blocks and one more: what pays the wallet again, what pays another in place of it,
    /// and now and then the wallet's own first payment. The others stay in the mempool, if the
    /// node has put them back there.
    fn other_branch(&mut self, parts: &Parts, depth: u32) -> Result<&'static str, Failure> {
        self.chain
            .mine_transactions(std::slice::from_ref(&parts.again))?;
        self.agree("one block of the other branch")?;
        let mut second = vec![self.chain.double_spend(&parts.replaced)?];
        let keeps_first = depth.is_multiple_of(2) || depth == 99;
        if keeps_first {
            second.push(parts.first.clone());
        }
        self.chain.mine_transactions(&second)?;
        self.chain.mine_empty(depth - 1)?;
        // Where the second was given back to the mempool it waits there, with the first or after it.
        Ok(if keeps_first {
            "the first payment mined again"
        } else {
            "no payment mined again"
        })
    }

    /// Pays somebody so much, and sends it.
    fn pay(&self, value_sat: u64) -> Result<BitcoinTransaction, Failure> {
        let bitcoin = self.sides.bitcoin();
        let outputs = vec![(stranger(), value_sat)];
        let transaction = bitcoin.create_transaction(outputs, FEE_RATE)?;
        bitcoin.broadcast_transaction(&transaction)?;
        Ok(transaction)
    }
}

fn has_coin_of(state: &WalletState, txid: Txid) -> bool {
    state.coins.iter().any(|(coin, _)| coin.txid == txid)
}

fn to_bitcoin(transaction: &BitcoinTransaction) -> Result<Transaction, Failure> {
    let bytes = btc::rust::encode_transaction(transaction)?;
    Ok(encode::deserialize(&bytes)?)
}

/// An address of somebody else.
pub(crate) fn stranger() -> String {
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]));
    Address::from_script(&script, Network::Regtest)
        .expect("a script with an address")
        .to_string()
}
