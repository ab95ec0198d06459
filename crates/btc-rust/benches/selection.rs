//! Coin selection over random wallets: what is chosen here against bdk_coin_select, by Core's waste.
//!
//! Prints a table; `docs/adr/0010-coin-selection.md` says what follows from it. With
//! `--test`, few wallets and small ones.

use std::time::{Duration, Instant};

use bdk_coin_select::metrics::LowestFee;
use bdk_coin_select::{
    Candidate as Theirs, ChangePolicy, CoinSelector, DrainWeights, FeeRate as TheirRate, Target,
    TargetFee, TargetOutputs,
};
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::rand::rngs::StdRng;
use bitcoin::secp256k1::rand::{Rng, SeedableRng};
use bitcoin::{OutPoint, Txid};
use btc_iface::{
    AddressType, Chain, CoinSelection, CoinState, FeeRate, Network, Recipient, SnapshotCoin,
    TransactionRequest,
};
use btc_rust::wallet::build::{
    Candidate, ChangePlace, DEFAULT_MAX_FEE_RATE, Draft, Funds, draft_request, input_weight_wu,
    output_weight_wu,
};
use btc_rust::wallet::keys::{Keyring, Signer};

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
/// Core's `-consolidatefeerate`, in sat/vB: what a coin costs that is spent later.
const LONG_TERM: u64 = 10;
/// The script of P2WPKH, which recipients and change have.
const SCRIPT_BYTES: usize = 22;
const KIND: AddressType = AddressType::P2wpkh;
const CHANGE: ChangePlace = ChangePlace {
    address_type: KIND,
    index: 0,
};

/// A wallet and a payment from it.
struct Case {
    coins: Vec<Candidate>,
    request: TransactionRequest,
    rate: u64,
}

/// What a way of choosing came to over many payments.
#[derive(Default)]
struct Tally {
    payments: u64,
    waste_sat: i128,
    fee_sat: u64,
    inputs: usize,
    without_change: u64,
    nothing_found: u64,
    time: Duration,
    longest: Duration,
}

fn main() {
    let is_test = std::env::args().any(|it| it == "--test");
    let (rounds, sizes): (u64, &[usize]) = if is_test {
        (2, &[10])
    } else {
        (40, &[10, 100, 1_000, 10_000])
    };
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    println!(
        "{:>6} {:>4}  {:<24} {:>9} {:>8} {:>7} {:>8} {:>8} {:>10} {:>10}",
        "coins", "rate", "choice", "waste", "fee", "inputs", "exact", "none", "mean", "longest"
    );
    for size in sizes {
        for rate in [1, 10, 60] {
            let cases: Vec<_> = (0..rounds)
                .map(|seed| case(&keyring, *size, rate, seed))
                .collect();
            let mut ours = Tally::default();
            let mut theirs = Tally::default();
            for (seed, case) in (0..).zip(&cases) {
                ours.measure(case, || chosen_here(&keyring, case, seed));
                theirs.measure(case, || chosen_there(&keyring, case, seed));
            }
            ours.print(*size, rate, "here (bdk_wallet)");
            theirs.print(*size, rate, "bdk_coin_select");
        }
    }
}

/// Values as wallets have them: each as many digits long as any other.
fn case(keyring: &Keyring, size: usize, rate: u64, seed: u64) -> Case {
    let mut rng = StdRng::seed_from_u64(seed * 1_000 + rate);
    let numbers = 0..u32::try_from(size).expect("few");
    let coins: Vec<_> = numbers
        .map(|number| {
            let digits = rng.gen_range(3..8);
            let value_sat = rng.gen_range(10_u64.pow(digits)..10_u64.pow(digits + 1));
            Candidate {
                coin: SnapshotCoin {
                    outpoint: OutPoint::new(Txid::hash(&number.to_le_bytes()), 0),
                    value_sat,
                    address_type: KIND,
                    chain: Chain::Receive,
                    index: number % 1_000,
                },
                state: CoinState::Confirmed,
                height: Some(number),
                hold: None,
            }
        })
        .collect();
    let worth: u64 = coins.iter().map(|it| it.coin.value_sat).sum();
    let part = rng.gen_range(1..40);
    let address = keyring.address((KIND, Chain::Receive), 0);
    Case {
        request: TransactionRequest {
            recipients: vec![Recipient {
                address: address.expect("index 0").address,
                value_sat: (worth / 100 * part).max(10_000),
            }],
            fee_rate: FeeRate::from_sat_per_vb(rate),
            allow_high_fee: true,
            ..TransactionRequest::default()
        },
        coins,
        rate,
    }
}

fn draft(keyring: &Keyring, case: &Case, request: &TransactionRequest, seed: u64) -> Option<Draft> {
    let funds = Funds {
        coins: &case.coins,
        pending: &[],
        tip_height: 20_000,
        change: CHANGE,
        max_rate: DEFAULT_MAX_FEE_RATE,
    };
    let mut rng = StdRng::seed_from_u64(seed);
    let default = CoinSelection::BranchAndBound;
    draft_request(keyring, &funds, request, default, &mut rng).ok()
}

fn chosen_here(keyring: &Keyring, case: &Case, seed: u64) -> Option<Draft> {
    draft(keyring, case, &case.request, seed)
}

/// The coins that bdk_coin_select takes for the lowest fee over time, built by the same code.
fn chosen_there(keyring: &Keyring, case: &Case, seed: u64) -> Option<Draft> {
    const MAX_ROUNDS: usize = 100_000;
    let candidates: Vec<_> = case
        .coins
        .iter()
        .map(|it| Theirs {
            value: it.coin.value_sat,
            weight: input_weight_wu(KIND),
            input_count: 1,
            is_segwit: true,
        })
        .collect();
    let rate = |sat_per_vb: u64| {
        let sat_per_vb = u16::try_from(sat_per_vb).expect("a small rate");
        TheirRate::from_sat_per_vb(f32::from(sat_per_vb))
    };
    let paid_sat = case.request.recipients[0].value_sat;
    let target = Target {
        fee: TargetFee::from_feerate(rate(case.rate)),
        outputs: TargetOutputs::fund_outputs([(output_weight_wu(SCRIPT_BYTES), paid_sat)]),
    };
    let drain_weights = DrainWeights {
        output_weight: output_weight_wu(SCRIPT_BYTES),
        spend_weight: input_weight_wu(KIND),
        n_outputs: 1,
    };
    let metric = LowestFee {
        target,
        long_term_feerate: rate(LONG_TERM),
        change_policy: ChangePolicy::min_value(drain_weights, 294),
    };
    let mut selector = CoinSelector::new(&candidates);
    if selector.run_bnb(metric, MAX_ROUNDS).is_err() {
        selector.select_until_target_met(target).ok()?;
    }
    let request = TransactionRequest {
        coins: selector
            .apply_selection(&case.coins)
            .map(|it| it.coin.outpoint)
            .collect(),
        only_coins: true,
        selection: Some(CoinSelection::LargestFirst),
        ..case.request.clone()
    };
    draft(keyring, case, &request, seed)
}

impl Tally {
    fn measure(&mut self, case: &Case, choose: impl FnOnce() -> Option<Draft>) {
        let start = Instant::now();
        let draft = choose();
        let time = start.elapsed();
        self.time += time;
        self.longest = self.longest.max(time);
        self.payments += 1;
        let Some(draft) = draft else {
            self.nothing_found += 1;
            return;
        };
        self.fee_sat += draft.fee_sat;
        self.inputs += draft.inputs.len();
        self.without_change += u64::from(draft.change.is_none());
        self.waste_sat += waste_sat(&draft, case.rate);
    }

    fn print(&self, size: usize, rate: u64, name: &str) {
        let count = self.payments - self.nothing_found;
        let many = i128::from(count.max(1));
        let each = count.max(1);
        let inputs = u64::try_from(self.inputs).expect("few") * 10 / each;
        println!(
            "{size:>6} {rate:>4}  {name:<24} {:>9} {:>8} {:>5}.{} {:>7}% {:>8} {:>7} us {:>7} us",
            self.waste_sat / many,
            self.fee_sat / each,
            inputs / 10,
            inputs % 10,
            self.without_change * 100 / each,
            self.nothing_found,
            self.time.as_micros() / u128::from(self.payments),
            self.longest.as_micros(),
        );
    }
}

/// Bitcoin Core's `RecalculateWaste`: what the inputs cost now and not later, and the cost of
/// change, or what goes to the fee without it.
fn waste_sat(draft: &Draft, rate: u64) -> i128 {
    let fee = |weight: u64, rate: u64| i128::from(weight.div_ceil(4) * rate);
    let inputs = draft.inputs.iter().map(|coin| {
        let weight = input_weight_wu(coin.address_type);
        fee(weight, rate) - fee(weight, LONG_TERM)
    });
    let rest = if draft.change.is_some() {
        fee(output_weight_wu(SCRIPT_BYTES), rate) + fee(input_weight_wu(KIND), LONG_TERM)
    } else {
        i128::from(draft.fee_sat) - fee(draft.weight, rate)
    };
    inputs.sum::<i128>() + rest
}
