//! `Stage`: the world of one history, and what is expected of the wallet in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use btc::bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinAddress};
use btc_regtest::SimNode;
use btc_regtest::sim::{OpenCoin, coins};

use crate::Failure;
use crate::check::unix_ms;
use crate::house::{House, Language, Side};
use crate::identity::{Identity, Place, Shape};
use crate::step::Step;
use crate::truth::Truth;

/// How many blocks there are before a history begins.
pub(crate) const BASE_BLOCKS: u32 = 110;
/// The number of the first recipient.
const FIRST_RECIPIENT: u32 = 1_000;

/// The circumstances of a history, which hold from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the world, drawn by itself"
)]
pub(crate) struct Setup {
    pub(crate) languages: Vec<Language>,
    pub(crate) words: u64,
    pub(crate) gap_limit: u32,
    pub(crate) change_type: AddressType,
    /// The node's minimum, in sat/kvB.
    pub(crate) min_relay: u64,
    pub(crate) has_rest: bool,
    pub(crate) has_filters: bool,
    pub(crate) has_txindex: bool,
    /// Whether another folder of the same words takes part.
    pub(crate) has_colleague: bool,
}

impl Setup {
    pub(crate) fn random(random: &mut Random, languages: &[Language]) -> Self {
        Self {
            languages: languages.to_vec(),
            words: random.word(),
            gap_limit: match random.between(0, 19) {
                0 => 20,
                1..=3 => 8,
                4..=8 => 5,
                _ => 3,
            },
            change_type: random.pick(&AddressType::ALL),
            min_relay: random.pick(&[100, 100, 1_000]),
            has_rest: !random.once_in(4),
            has_filters: !random.once_in(4),
            has_txindex: random.once_in(2),
            has_colleague: random.once_in(3),
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            words: self.words,
            gap_limit: self.gap_limit,
            change_type: self.change_type,
            birthday: BASE_BLOCKS + 1,
        }
    }
}

/// An address that was given out.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) place: Place,
    pub(crate) address: BitcoinAddress,
}

/// The world of one history.
pub(crate) struct Stage {
    pub(crate) setup: Setup,
    pub(crate) node: Arc<SimNode>,
    pub(crate) identity: Arc<Identity>,
    /// The wallet, and the colleague's folder of the same words.
    pub(crate) houses: Vec<House>,
    /// The history's clock, in milliseconds from its beginning.
    pub(crate) now_ms: i64,
    /// When the last step began by the clock on the wall, in milliseconds of Unix time.
    pub(crate) wall_ms: u64,
    pub(crate) given: Vec<Given>,
    pub(crate) promised: HashSet<(usize, Place)>,
    /// Transactions that each branch of the chain has.
    pub(crate) pinned: HashSet<Txid>,
    next_recipient: u32,
    /// What happened in words.
    pub(crate) trace: String,
    /// Whether the last step did anything.
    pub(crate) is_idle: bool,
    /// Further counts, by name.
    pub(crate) notes: BTreeMap<&'static str, u64>,
}

impl Stage {
    pub(crate) fn new(setup: Setup) -> Result<Self, Failure> {
        let node = SimNode::builder()
            .base_blocks(BASE_BLOCKS)
            .min_relay(setup.min_relay)
            .rest(setup.has_rest)
            .filters(setup.has_filters)
            .transaction_index(setup.has_txindex)
            .start()?;
        let node = Arc::new(node);
        let mut houses = vec![House::new(setup.shape())?];
        if setup.has_colleague {
            houses.push(House::new(setup.shape())?);
        }
        Ok(Self {
            identity: Identity::get(setup.words)?,
            setup,
            node,
            houses,
            now_ms: 0,
            wall_ms: unix_ms(),
            given: Vec::new(),
            promised: HashSet::new(),
            pinned: HashSet::new(),
            next_recipient: FIRST_RECIPIENT,
            trace: String::new(),
            is_idle: false,
            notes: BTreeMap::new(),
        })
    }

    /// Says what happens.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) {
        // Text grows without failure.
        let _ = writeln!(self.trace, "    {}", text.as_ref());
    }

    /// Says which step comes.
    pub(crate) fn begin(&mut self, at: usize, step: &Step) {
        let _ = writeln!(self.trace, "{at:3} {step}");
        self.is_idle = false;
    }

    /// Says that there is nothing to do.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a step that finds nothing to do ends with this"
    )]
    pub(crate) fn idle(&mut self, why: &str) -> Result<(), Failure> {
        self.is_idle = true;
        self.say(format!("nothing: {why}"));
        Ok(())
    }

    pub(crate) fn note(&mut self, what: &'static str) {
        *self.notes.entry(what).or_default() += 1;
    }

    pub(crate) fn truth(&self) -> Truth {
        Truth::of(&self.node, BASE_BLOCKS)
    }

    /// Which folder a step is about: mostly the first.
    pub(crate) fn which_house(&self, step: &Step) -> usize {
        usize::from(self.houses.len() > 1 && step.high(0) % 5 == 4)
    }

    /// Which implementation a step is about.
    pub(crate) fn which_language(&self, step: &Step) -> Language {
        if step.kind.needs_rust() {
            return Language::Rust;
        }
        let languages = &self.setup.languages;
        languages[step.high(1) % languages.len()]
    }

    /// The folder and its open side that a step is about.
    pub(crate) fn side(&mut self, step: &Step) -> Result<(usize, Language, Side), Failure> {
        let (house, language) = (self.which_house(step), self.which_language(step));
        let side = self.open(house, language)?;
        Ok((house, language, side))
    }

    /// An open side. One that is opened by this has read the chain.
    pub(crate) fn open(&mut self, house: usize, language: Language) -> Result<Side, Failure> {
        let was_open = self.houses[house].is_open(language);
        let side = self.houses[house].side(language, &self.node)?;
        if !was_open {
            self.say(format!("{} opens {}", who(house), language.name()));
            self.check_side(house, language)?;
        }
        Ok(side)
    }

    /// A recipient that was never paid.
    pub(crate) fn new_recipient(&mut self) -> u32 {
        self.next_recipient += 1;
        self.next_recipient
    }

    /// A coin of others, mature and unspent. The newest are left: a reorganisation makes them
    /// young again.
    pub(crate) fn open_coin(&self) -> Option<OpenCoin> {
        self.node.open_coins().into_iter().next()
    }

    /// A transaction of others with these outputs at this rate in sat/vB; the rest is theirs.
    pub(crate) fn foreign(
        &mut self,
        outputs: Vec<(ScriptBuf, u64)>,
        rate: u64,
        version: i32,
    ) -> Option<Transaction> {
        const SIZE_VB: u64 = 120;
        const OUTPUT_VB: u64 = 43;
        let coin = self.open_coin()?;
        let fee_sat = (SIZE_VB + OUTPUT_VB * outputs.len() as u64) * rate;
        let paid_sat: u64 = outputs.iter().map(|(_, value)| value).sum();
        let rest_sat = coin.value.to_sat().checked_sub(paid_sat + fee_sat)?;
        let mut all: Vec<TxOut> = outputs
            .into_iter()
            .map(|(script_pubkey, value_sat)| TxOut {
                value: Amount::from_sat(value_sat),
                script_pubkey,
            })
            .collect();
        let number = self.new_recipient();
        all.push(coins::output(number, rest_sat));
        Some(coins::spend(&[coin], all, version))
    }

    /// The outputs of a transaction that others can spend now, each with its number.
    pub(crate) fn spendable_by_others(&self, truth: &Truth) -> Vec<OpenCoin> {
        let numbers: HashMap<ScriptBuf, u32> = (FIRST_RECIPIENT..=self.next_recipient)
            .map(|number| (coins::script(number), number))
            .collect();
        let mut found = Vec::new();
        for (txid, transaction) in truth.all() {
            for (vout, output) in (0..).zip(&transaction.output) {
                let outpoint = OutPoint { txid, vout };
                let is_spent =
                    truth.spender(&outpoint).is_some() || self.node.spender(outpoint).is_some();
                if let Some(number) = numbers.get(&output.script_pubkey).filter(|_| !is_spent) {
                    found.push(OpenCoin {
                        outpoint,
                        value: output.value,
                        number: *number,
                    });
                }
            }
        }
        found
    }
}

/// Whose folder it is.
pub(crate) fn who(house: usize) -> &'static str {
    match house {
        0 => "the wallet",
        _ => "the colleague",
    }
}
