//! A wallet's life in short: addresses, coins of every kind, payments, blocks, reorganisations.

use bitcoin::consensus::encode;
use bitcoin::{Address, Amount, Network, ScriptBuf, Transaction, XOnlyPublicKey};
use btc::rust::wallet::keys::words_from_entropy;
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinInterface, BitcoinTransaction, WalletTwin};
use btc_tests::{WalletFolder, to_plain};
use serde_json::{Value, json};

use crate::stage::{Failure, Ground, send, somebody};
use crate::table::Scene;
use crate::watch::{Report, Role, Watched, quick};

/// What the largest coin is worth; each is worth a step less than the one before.
const LARGEST_SAT: u64 = 1_000_000;
const STEP_SAT: u64 = 10_000;
/// Coins of the same worth, each in a transaction of its own.
const EQUAL_SAT: u64 = 200_000;
const EQUAL_COINS: usize = 12;
const FUNDING_RATE: u64 = 3;

/// At 3 sat/vB one P2WPKH input, a payment and change cost 423 sat; 200 sat would be left, less
/// than change must be.
const ALMOST_A_COIN_SAT: u64 = EQUAL_SAT - 423 - 200;

/// Lives a wallet's life through the mutant in both roles, as far as the scene goes.
pub(crate) fn run(ground: &mut Ground<'_>, class: &str, scene: Scene) -> Result<Report, Failure> {
    let wallet = new_wallet(class, ground.chain.height())?;
    let watched = Watched::with_wallet(ground, class, &wallet, &quick())?;
    let mut life = Life {
        ground,
        watched,
        wallet: &wallet,
    };
    life.reads()?;
    life.addresses();
    life.fund()?;
    life.fails()?;
    if scene >= Scene::Paying {
        life.pays()?;
    }
    if scene >= Scene::Living {
        life.moves()?;
        life.loses()?;
        life.is_paid_ahead()?;
    }
    if scene >= Scene::Enduring {
        life.endures()?;
    }
    Ok(life.watched.end())
}

/// A wallet of words that follow from the mutant's name, which knows nothing before this height.
pub(crate) fn new_wallet(class: &str, birthday: u32) -> Result<WalletFolder, Failure> {
    let seed = class.bytes().fold(0, |seed: u64, byte| {
        seed * 31 % 0xffff_fffb + u64::from(byte)
    });
    let entropy: [u8; 16] = Random::new(seed).bytes();
    let words = words_from_entropy(&entropy)?;
    let change = AddressType::P2wpkh;
    Ok(WalletFolder::from_words(
        words.expose(),
        "",
        birthday,
        change,
    )?)
}

pub(crate) struct Life<'a, 'n> {
    pub(crate) ground: &'a mut Ground<'n>,
    pub(crate) watched: Watched,
    pub(crate) wallet: &'a WalletFolder,
}

impl Life<'_, '_> {
    /// A script of the wallet's, whatever the mutant says.
    pub(crate) fn script(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> Result<ScriptBuf, Failure> {
        let address = self.watched.rust.derive_address(address_type, index)?;
        Ok(address.script_pubkey)
    }

    pub(crate) fn balances(&self) {
        drop(self.watched.both(BitcoinInterface::get_balance));
    }

    fn heights(&self) {
        drop(self.watched.both(BitcoinInterface::get_block_height));
    }

    fn read(&self, txid: &str) {
        drop(self.watched.both(|bitcoin| bitcoin.get_transaction(txid)));
    }

    /// A payment in one role.
    pub(crate) fn create(
        &self,
        role: Role,
        outputs: &[(String, u64)],
        fee_rate: u64,
    ) -> Option<BitcoinTransaction> {
        let first = self.watched.first(role);
        first.create_transaction(outputs.to_vec(), fee_rate).ok()
    }

    /// A little of what has nothing to do with the wallet.
    fn reads(&self) -> Result<(), Failure> {
        let txid = self.ground.txids.first().ok_or("there are transactions")?;
        self.read(txid);
        let hash = self.ground.blocks.last().ok_or("there are blocks")?;
        drop(self.watched.both(|bitcoin| bitcoin.get_block(hash)));
        drop(self.watched.both(|bitcoin| bitcoin.estimate_fee(6)));
        Ok(())
    }

    /// Of every type, and two in a row.
    fn addresses(&self) {
        for address_type in AddressType::ALL {
            let both = self
                .watched
                .both(|bitcoin| bitcoin.generate_address(address_type));
            drop(both);
        }
        for role in Role::ALL.into_iter().flat_map(|role| [role; 2]) {
            drop(
                self.watched
                    .first(role)
                    .generate_address(AddressType::P2wpkh),
            );
        }
    }

    /// Two coins of each type, twelve alike, a reward that is not mature, and somebody's payment
    /// that is not confirmed.
    fn fund(&mut self) -> Result<(), Failure> {
        let mut large = Vec::new();
        let types = AddressType::ALL.into_iter().cycle().take(8);
        for (address_type, place) in types.zip(0..) {
            let value = Amount::from_sat(LARGEST_SAT - place * STEP_SAT);
            large.push((self.script(address_type, u32::try_from(place / 4)?)?, value));
        }
        self.ground.chain.pay(&large, FUNDING_RATE)?;
        let equal = [(
            self.script(AddressType::P2wpkh, 0)?,
            Amount::from_sat(EQUAL_SAT),
        )];
        for _ in 0..EQUAL_COINS {
            self.ground.chain.pay(&equal, FUNDING_RATE)?;
        }
        let reward = self.watched.rust.derive_address(AddressType::P2wpkh, 1)?;
        let _: Value = self
            .ground
            .chain
            .node()
            .call("generatetoaddress", &[json!(1), json!(reward.address)])?;
        self.ground.chain.mine(1)?;
        let foreign = self.script(AddressType::P2tr, 2)?;
        self.ground
            .chain
            .pay(&[(foreign, Amount::from_sat(77_000))], FUNDING_RATE)?;
        self.balances();
        Ok(())
    }

    /// Payments that cannot be made.
    fn fails(&self) -> Result<(), Failure> {
        let mainnet = Address::from_script(&somebody(), Network::Bitcoin)?.to_string();
        let wrong = [
            (vec![(payee()?, 100)], 3),
            (vec![(payee()?, 100_000_000_000)], 3),
            (vec![(payee()?, 10_000)], 0),
            (vec![(payee()?, 10_000)], 1_001),
            (vec![(mainnet, 10_000)], 3),
            (Vec::new(), 3),
        ];
        for (outputs, fee_rate) in wrong {
            let both = self
                .watched
                .both(|bitcoin| bitcoin.create_transaction(outputs.clone(), fee_rate));
            drop(both);
        }
        Ok(())
    }

    /// Payments of all types, of coins alike, of one coin without change; then what follows.
    fn pays(&mut self) -> Result<(), Failure> {
        use Role::{PythonFirst, RustFirst};
        let one = |value_sat| -> Result<_, Failure> { Ok(vec![(payee()?, value_sat)]) };
        let two = |first_sat, second_sat| -> Result<_, Failure> {
            Ok(vec![(payee()?, first_sat), (other_payee()?, second_sat)])
        };
        let payments = [
            (PythonFirst, two(2_000_000, 1_800_000)?, 3),
            (RustFirst, two(2_000_000, 1_650_000)?, 3),
            (PythonFirst, one(350_000)?, 2),
            (PythonFirst, one(350_000)?, 7),
            (RustFirst, one(550_000)?, 2),
            (RustFirst, one(550_000)?, 7),
            (PythonFirst, one(ALMOST_A_COIN_SAT)?, 3),
            (RustFirst, one(ALMOST_A_COIN_SAT)?, 3),
        ];
        let mut built = [Vec::new(), Vec::new()];
        for (role, outputs, fee_rate) in &payments {
            built[*role as usize].extend(self.create(*role, outputs, *fee_rate));
        }
        for (role, built) in Role::ALL.into_iter().zip(&built) {
            for transaction in built.iter().chain(built.first()) {
                drop(self.watched.first(role).broadcast_transaction(transaction));
            }
        }
        self.is_refused(built[0].first())?;
        self.balances();
        // Nothing confirmed is left that is free.
        for role in Role::ALL {
            if let Some(transaction) = self.create(role, &one(100_000)?, 4) {
                drop(self.watched.first(role).broadcast_transaction(&transaction));
            }
        }
        self.ground.chain.mine(1)?;
        self.balances();
        for (role, built) in Role::ALL.into_iter().zip(&built) {
            if let Some(transaction) = built.first() {
                drop(self.watched.first(role).broadcast_transaction(transaction));
                self.read(&transaction.txid.to_string());
            }
        }
        Ok(())
    }

    /// Transactions that no node takes.
    fn is_refused(&mut self, good: Option<&BitcoinTransaction>) -> Result<(), Failure> {
        let unrelayed = self
            .ground
            .chain
            .spend_unrelayed_to(&somebody(), Amount::from_sat(20_000))?;
        let mut too_much: Transaction = unrelayed.clone();
        too_much.output[0].value = Amount::from_sat((1 << 53) + 1);
        let mut misnamed = to_plain(&unrelayed, None);
        misnamed.txid = too_much.compute_txid();
        let mut all = vec![
            to_plain(&unrelayed, None),
            to_plain(&too_much, None),
            misnamed,
        ];
        if let Some(good) = good {
            // Its coins are spent, and this pays less.
            let mut rival: Transaction =
                encode::deserialize(&btc::rust::encode_transaction(good)?)?;
            rival.output[0].value += Amount::from_sat(1);
            all.push(to_plain(&rival, None));
        }
        for transaction in &all {
            let both = self
                .watched
                .both(|bitcoin| bitcoin.broadcast_transaction(transaction));
            drop(both);
        }
        Ok(())
    }

    /// The last block is taken back; the payments wait again.
    fn moves(&mut self) -> Result<(), Failure> {
        let reorg = self.ground.chain.reorg_empty(1)?;
        self.heights();
        self.balances();
        for hash in reorg.disconnected.iter().chain(&reorg.connected) {
            let hash = hash.to_string();
            drop(self.watched.both(|bitcoin| bitcoin.get_block(&hash)));
        }
        let waiting = self.ground.waiting()?;
        self.read(&waiting);
        self.ground.chain.mine(1)?;
        self.balances();
        self.read(&waiting);
        Ok(())
    }

    /// A payment to the wallet is confirmed and then lost to a rival; another one is replaced.
    fn loses(&mut self) -> Result<(), Failure> {
        let to = self.script(AddressType::P2pkh, 3)?;
        let lost = self.ground.chain.spend_to(&to, Amount::from_sat(500_000))?;
        self.ground
            .chain
            .mine_transactions(std::slice::from_ref(&lost))?;
        self.heights();
        self.balances();
        self.ground.chain.disconnect(1)?;
        self.heights();
        let rival = self.ground.chain.double_spend(&lost)?;
        self.ground.chain.mine_transactions(&[rival])?;
        self.ground.chain.mine(1)?;
        self.heights();
        self.balances();
        self.read(&lost.compute_txid().to_string());
        for role in Role::ALL {
            drop(self.create(role, &[(payee()?, 20_000)], 2));
        }
        let to = self.script(AddressType::P2tr, 3)?;
        let replaced = self.ground.chain.spend_to(&to, Amount::from_sat(90_000))?;
        let rival = self.ground.chain.double_spend(&replaced)?;
        for transaction in [&replaced, &rival] {
            send(self.ground.chain.node(), transaction)?;
            self.balances();
            self.read(&replaced.compute_txid().to_string());
        }
        Ok(())
    }

    /// Somebody pays an address that was never given out, as after a restore from the words.
    fn is_paid_ahead(&mut self) -> Result<(), Failure> {
        let ahead = self.script(AddressType::P2wpkh, 9)?;
        self.ground
            .chain
            .pay(&[(ahead, Amount::from_sat(33_000))], FUNDING_RATE)?;
        self.ground.chain.mine(1)?;
        self.balances();
        let address_type = AddressType::P2wpkh;
        // The first call shows shadow mode what is used, the second is judged by it. Rust comes
        // last, since what it gives out Python knows, too.
        for role in Role::ALL.into_iter().flat_map(|role| [role; 2]) {
            drop(self.watched.first(role).generate_address(address_type));
        }
        Ok(())
    }
}

/// An address of somebody else.
pub(crate) fn payee() -> Result<String, Failure> {
    Ok(Address::from_script(&somebody(), Network::Regtest)?.to_string())
}

/// Another one, of taproot: the point that BIP341 names for nobody's key.
pub(crate) fn other_payee() -> Result<String, Failure> {
    let nobody = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";
    let key: XOnlyPublicKey = nobody.parse()?;
    let key = bitcoin::key::TweakedPublicKey::dangerous_assume_tweaked(key);
    Ok(Address::p2tr_tweaked(key, Network::Regtest).to_string())
}
