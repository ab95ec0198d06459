//! Lives that were written down because they went wrong once, each with a name.

mod change;
mod following;
mod rivals;
mod stuck;

use btc::AddressType;
use btc::bitcoin::{ScriptBuf, Txid};
use btc_regtest::sim::coins;

use crate::Failure;
use crate::house::Language;
use crate::payments::Standing;
use crate::play::Order;
use crate::stage::{Setup, Stage};

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
pub(crate) const ALL: [Scenario; 19] = [
    Scenario {
        name: "bump-over-a-child",
        gap_limit: 20,
        min_relay: 100,
        play: stuck::bump_over_a_child,
    },
    Scenario {
        name: "node-forgets-its-mempool",
        gap_limit: 20,
        min_relay: 100,
        play: stuck::node_forgets_its_mempool,
    },
    Scenario {
        name: "thirtieth-address",
        gap_limit: 20,
        min_relay: 100,
        play: following::thirtieth_address,
    },
    Scenario {
        name: "addresses-beyond-the-gap",
        gap_limit: 20,
        min_relay: 100,
        play: following::addresses_beyond_the_gap,
    },
    Scenario {
        name: "refused-for-its-fee",
        gap_limit: 5,
        min_relay: 10_000,
        play: stuck::refused_for_its_fee,
    },
    Scenario {
        name: "recipient-spends-at-once",
        gap_limit: 5,
        min_relay: 100,
        play: stuck::recipient_spends_at_once,
    },
    Scenario {
        name: "seventy-payments-without-a-block",
        gap_limit: 20,
        min_relay: 100,
        play: following::seventy_payments_without_a_block,
    },
    Scenario {
        name: "change-beyond-the-gap-by-mempool",
        gap_limit: 5,
        min_relay: 100,
        play: following::window_moved_by_the_mempool,
    },
    Scenario {
        name: "found-late-and-spent",
        gap_limit: 5,
        min_relay: 100,
        play: following::found_late_and_spent,
    },
    Scenario {
        name: "block-during-the-look",
        gap_limit: 5,
        min_relay: 100,
        play: following::block_during_the_look,
    },
    Scenario {
        name: "coins-taken-by-the-same-words",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::coins_taken_by_the_same_words,
    },
    Scenario {
        name: "lost-replacement-is-replaced",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::lost_replacement_is_replaced,
    },
    Scenario {
        name: "dropped-with-what-it-replaced",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::dropped_with_what_it_replaced,
    },
    Scenario {
        name: "funding-is-taken-back",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::funding_is_taken_back,
    },
    Scenario {
        name: "version-3-is-unconfirmed-again",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::version_3_is_unconfirmed_again,
    },
    Scenario {
        name: "drops-what-is-built-on-anothers",
        gap_limit: 5,
        min_relay: 100,
        play: rivals::drops_what_is_built_on_anothers,
    },
    Scenario {
        name: "change-beyond-the-window",
        gap_limit: 3,
        min_relay: 100,
        play: change::change_beyond_the_window,
    },
    Scenario {
        name: "change-before-the-first-look",
        gap_limit: 3,
        min_relay: 100,
        play: change::change_before_the_first_look,
    },
    Scenario {
        name: "replacement-of-what-is-gone",
        gap_limit: 20,
        min_relay: 100,
        play: change::replacement_of_what_is_gone,
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
            has_txindex: false,
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
