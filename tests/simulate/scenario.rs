//! Lives that were written down because they went wrong once, each with a name.

use btc::bitcoin::{ScriptBuf, Txid};
use btc::{AddressType, Chain, ErrorKind, FeeRate};
use btc_regtest::sim::coins;

use crate::Failure;
use crate::house::{House, Language};
use crate::identity::{Place, Shape};
use crate::payments::Standing;
use crate::play::Order;
use crate::stage::{BASE_BLOCKS, Setup, Stage};

type Play = fn(&mut Stage) -> Result<(), Failure>;

/// A scenario with its name.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How many addresses beyond the last used one are watched.
    gap_limit: u32,
    /// The node's minimum, in sat/kvB.
    min_relay: u64,
    play: Play,
}

/// All of them.
pub(crate) const ALL: [Scenario; 9] = [
    Scenario {
        name: "bump-over-a-child",
        gap_limit: 20,
        min_relay: 100,
        play: bump_over_a_child,
    },
    Scenario {
        name: "node-forgets-its-mempool",
        gap_limit: 20,
        min_relay: 100,
        play: node_forgets_its_mempool,
    },
    Scenario {
        name: "thirtieth-address",
        gap_limit: 20,
        min_relay: 100,
        play: thirtieth_address,
    },
    Scenario {
        name: "addresses-beyond-the-gap",
        gap_limit: 20,
        min_relay: 100,
        play: addresses_beyond_the_gap,
    },
    Scenario {
        name: "refused-for-its-fee",
        gap_limit: 5,
        min_relay: 10_000,
        play: refused_for_its_fee,
    },
    Scenario {
        name: "recipient-spends-at-once",
        gap_limit: 5,
        min_relay: 100,
        play: recipient_spends_at_once,
    },
    Scenario {
        name: "seventy-payments-without-a-block",
        gap_limit: 20,
        min_relay: 100,
        play: seventy_payments_without_a_block,
    },
    Scenario {
        name: "change-beyond-the-gap-by-mempool",
        gap_limit: 5,
        min_relay: 100,
        play: window_moved_by_the_mempool,
    },
    Scenario {
        name: "coins-taken-by-the-same-words",
        gap_limit: 5,
        min_relay: 100,
        play: coins_taken_by_the_same_words,
    },
];

impl Scenario {
    /// Plays it in these languages.
    pub(crate) fn run(&self, languages: &[Language]) -> Result<String, (Failure, String)> {
        let setup = Setup {
            languages: languages.to_vec(),
            words: 1,
            gap_limit: self.gap_limit,
            change_type: AddressType::P2wpkh,
            min_relay: self.min_relay,
            has_rest: true,
            has_filters: true,
            has_colleague: true,
        };
        let mut stage = Stage::new(setup).map_err(|error| (error, String::new()))?;
        let played = (self.play)(&mut stage).and_then(|()| stage.check_restored());
        match played {
            Ok(()) => Ok(stage.trace),
            Err(error) => Err((error, stage.trace)),
        }
    }
}

impl Stage {
    /// Opens every side of the wallet.
    fn open_all(&mut self) -> Result<(), Failure> {
        for language in self.setup.languages.clone() {
            self.open(0, language)?;
        }
        Ok(())
    }

    /// Others pay the next address of a type, in a block.
    fn funded(&mut self, address_type: AddressType, values: &[u64]) -> Result<(), Failure> {
        for value in values {
            let language = self.setup.languages[0];
            let side = self.open(0, language)?;
            let address = side.operations.generate_address(address_type)?;
            let script = address.script_pubkey.clone();
            self.note_given(0, language, address)?;
            self.pay_in_block(script, *value)?;
        }
        self.check()
    }

    fn pay_in_block(&mut self, script: ScriptBuf, value: u64) -> Result<(), Failure> {
        let payment = self
            .foreign(vec![(script, value)], 2, 2)
            .ok_or("others have coins")?;
        self.pinned.insert(payment.compute_txid());
        self.node.advance(600);
        self.node.mine_these(vec![payment], coins::script(1))?;
        Ok(())
    }

    /// The wallet pays a new recipient, in a language.
    fn paid(&mut self, language: Language, value: u64, rate: u64) -> Result<Txid, Failure> {
        let txid = self.built(language, value, rate)?;
        let side = self.open(0, language)?;
        self.hand_over(0, language, &side, txid, crate::play::Way::Clear)?;
        self.check()?;
        Ok(txid)
    }

    fn built(&mut self, language: Language, value: u64, rate: u64) -> Result<Txid, Failure> {
        let side = self.open(0, language)?;
        let number = self.new_recipient();
        let recipient = (
            coins::script(number),
            coins::address(number).to_string(),
            value,
        );
        let order = Order {
            recipients: vec![recipient],
            rate,
        };
        let built = crate::play::create(&side, &order);
        let expected = self.expected(0, language);
        let way = crate::play::Way::Clear;
        self.note_built(0, language, &order, &expected, built, way)?
            .ok_or_else(|| "there are enough coins".into())
    }

    fn stands(&self, txid: Txid) -> Result<Standing, Failure> {
        let payments = &self.houses[0].payments;
        let payment = payments.get(txid).ok_or("a payment that is known")?;
        Ok(payments.standing(&self.truth(), payment))
    }
}

/// Pay A, pay B from the change, raise A's fee: B would be lost, and is named.
fn bump_over_a_child(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[1_000_000])?;
    let first = stage.paid(Language::Rust, 100_000, 2)?;
    let second = stage.paid(Language::Rust, 200_000, 2)?;
    let side = stage.open(0, Language::Rust)?;
    let rate = FeeRate::from_sat_per_vb(20);
    let Err(error) = side.verbs()?.bump_fee(first, rate, &[]) else {
        return Err(format!("{first} was replaced, and {second} is lost").into());
    };
    if !format!("{error:?}").contains(&second.to_string()) {
        return Err(format!("{second} is not named: {error}").into());
    }
    stage.check()
}

/// A payment, and the node starts anew without its mempool: the payment is missing, its coins are
/// held, and it is sent again.
fn node_forgets_its_mempool(stage: &mut Stage) -> Result<(), Failure> {
    const HOUR_MS: i64 = 3_600_000;
    stage.open_all()?;
    stage.funded(AddressType::P2tr, &[500_000, 300_000])?;
    for language in stage.setup.languages.clone() {
        let txid = stage.paid(language, 50_000, 2)?;
        stage.node.restart(false)?;
        stage.check()?;
        if stage.stands(txid)? != Standing::Missing {
            return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
        }
        stage.houses[0].pass_time(HOUR_MS)?;
        stage.now_ms += HOUR_MS;
        stage.check()?;
        let side = stage.open(0, language)?;
        side.operations.get_balance()?;
        stage.after_sync(0)?;
        if stage.stands(txid)? != Standing::InMempool {
            return Err(format!("{txid} was not sent again in {}", language.name()).into());
        }
        stage.check()?;
        stage.node.mine(coins::script(1))?;
        stage.check()?;
    }
    Ok(())
}

/// Thirty addresses are given out and the thirtieth is paid: a wallet restored from its words
/// with the gap limit that new wallets have finds it.
fn thirtieth_address(stage: &mut Stage) -> Result<(), Failure> {
    const NEW_GAP_LIMIT: u32 = 1_000;
    const ADDRESSES: u32 = 30;
    stage.open_all()?;
    let language = stage.setup.languages[0];
    let side = stage.open(0, language)?;
    let mut last = None;
    for _ in 0..ADDRESSES {
        let address = side.operations.generate_address(AddressType::P2wpkh)?;
        last = Some(address.script_pubkey.clone());
        stage.note_given(0, language, address)?;
    }
    stage.pay_in_block(last.ok_or("thirty were given out")?, 70_000)?;
    stage.check()?;
    let mut restored = House::new(Shape {
        gap_limit: NEW_GAP_LIMIT,
        birthday: BASE_BLOCKS + 1,
        ..stage.houses[0].shape
    })?;
    for language in stage.setup.languages.clone() {
        let side = restored.side(language, &stage.node)?;
        let found = side.operations.get_balance()?;
        if found != 70_000 {
            let name = language.name();
            return Err(format!("restored in {name}, it has {found} sat").into());
        }
    }
    Ok(())
}

/// Indices of one chain are paid in an order in which each is beyond what was looked at before: a
/// wallet that was there all the time owns what a restored one owns.
fn addresses_beyond_the_gap(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    for index in [45, 25, 15, 60, 35, 5, 70] {
        let place = Place {
            keychain: (AddressType::P2wpkh, Chain::Receive),
            index,
        };
        let script = stage.identity.script(place).cloned();
        stage.pay_in_block(script.ok_or("an index that is known")?, 10_000_000)?;
        stage.say(format!("index {index} is paid"));
        stage.check()?;
    }
    Ok(())
}

/// The node refuses a payment for its fee: its coin is free again at once.
fn refused_for_its_fee(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[100_000])?;
    for language in stage.setup.languages.clone() {
        let txid = stage.built(language, 20_000, 1)?;
        let side = stage.open(0, language)?;
        stage.hand_over(0, language, &side, txid, crate::play::Way::Clear)?;
        if stage.stands(txid)? != Standing::LetGo {
            return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
        }
        stage.check()?;
        stage.paid(language, 20_000, 11)?;
        stage.node.mine(coins::script(1))?;
        stage.check()?;
    }
    Ok(())
}

/// The recipient spends a payment at a high rate: a replacement pays for that, or is refused with
/// the rate that does.
fn recipient_spends_at_once(stage: &mut Stage) -> Result<(), Failure> {
    const FEE_SAT: u64 = 6_000;
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[1_000_000, 500_000])?;
    let txid = stage.paid(Language::Rust, 300_000, 2)?;
    let truth = stage.truth();
    let coin = stage
        .spendable_by_others(&truth)
        .into_iter()
        .find(|coin| coin.outpoint.txid == txid)
        .ok_or("the recipient was paid")?;
    let rest = coin.value.to_sat() - FEE_SAT;
    let spending = coins::spend(&[coin], vec![coins::output(9, rest)], 2);
    stage.node.submit(&spending)?;
    stage.check()?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let Err(error) = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &[]) else {
        return Err("5 sat/vB do not pay for what the recipient pays".into());
    };
    if error.kind() != ErrorKind::InvalidInput {
        return Err(format!("it should say which rate would do: {error}").into());
    }
    let context = error.context();
    let least = context
        .iter()
        .find(|(name, _)| name == "min_fee_rate_sat_per_kvb")
        .ok_or_else(|| format!("no rate is named: {error:?}"))?;
    let least: u64 = least.1.parse()?;
    let psbt = wallet.bump_fee(txid, FeeRate::from_sat_per_kvb(least), &[])?;
    let transaction = crate::play::take_psbt(&side, psbt)?;
    stage
        .node
        .would_take(&transaction)
        .map_err(|error| format!("{least} sat/kvB was named: {error}"))?;
    Ok(())
}

/// One large coin and three smaller ones, and seventy payments without a block: no payment fails
/// while a confirmed coin is left, and none is refused for a chain that is too long.
fn seventy_payments_without_a_block(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let values = [20_000_000, 5_000_000, 5_000_000, 5_000_000];
    stage.funded(AddressType::P2wpkh, &values)?;
    for number in 0..70 {
        let languages = stage.setup.languages.clone();
        let language = languages[number % languages.len()];
        stage.paid(language, 10_000, 1)?;
    }
    Ok(())
}

/// An index beyond the window is paid and confirmed; then a payment that waits moves the window:
/// what was read before is read again at once.
fn window_moved_by_the_mempool(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let place = |index| Place {
        keychain: (AddressType::P2wpkh, Chain::Receive),
        index,
    };
    let script = |stage: &Stage, index| {
        let script = stage.identity.script(place(index)).cloned();
        script.ok_or("an index that is known")
    };
    let far = script(stage, 12)?;
    stage.pay_in_block(far, 50_000)?;
    stage.check()?;
    let near = script(stage, 8)?;
    let payment = stage
        .foreign(vec![(near, 30_000)], 2, 2)
        .ok_or("others have coins")?;
    stage.node.submit(&payment)?;
    stage.check()
}

/// A payment is missing, and a wallet of the same words elsewhere has spent its coin: to replace the
/// payment would take that one's place, so that one is named; with leave, it is paid for.
fn coins_taken_by_the_same_words(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let txid = stage.paid(Language::Rust, 50_000, 2)?;
    stage.node.evict(&[txid]);
    let colleague = stage.open(1, Language::Rust)?;
    let rival = colleague
        .operations
        .create_transaction(vec![(coins::address(5).to_string(), 60_000)], 30)?;
    colleague.operations.broadcast_transaction(&rival)?;
    stage.check()?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let Err(error) = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &[]) else {
        return Err(format!("{} would be lost, and is not named", rival.txid).into());
    };
    if !format!("{error:?}").contains(&rival.txid.to_string()) {
        return Err(format!("{} is not named: {error:?}", rival.txid).into());
    }
    let drops = [rival.txid];
    let psbt = match wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &drops) {
        Ok(_) => return Err("5 sat/vB do not pay for 30".into()),
        Err(error) => {
            let least = crate::play::least_rate(&error);
            let least = least.ok_or_else(|| format!("no rate is named: {error:?}"))?;
            wallet.bump_fee(txid, FeeRate::from_sat_per_kvb(least), &drops)?
        }
    };
    let transaction = crate::play::take_psbt(&side, psbt)?;
    stage.node.would_take(&transaction)?;
    Ok(())
}
