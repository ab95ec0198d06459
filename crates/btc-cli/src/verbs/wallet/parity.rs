//! `btc parity`: both wallets on random words and payments, and on a chain that moves.

use std::path::{Path, PathBuf};

use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::shadow::compare::Difference;
use btc::shadow::parity::{Case, Random};
use btc::{AddressType, BitcoinImplementationType, BlockRef, Config, Network, Secret, WalletTwin};
use indicatif::ProgressBar;
use serde_json::json;

use super::Done;
use crate::amount::grouped;
use crate::exit::{Code, Failure};
use crate::flags::Parity;
use crate::node::Session;
use crate::output::Output;
use crate::progress;

mod live;

/// Cases that share one wallet; opening one costs more than a case.
const CASES_PER_WALLET: u64 = 4;
/// One step in so many is one on the moving chain.
const LIVE_SHARE: u64 = 10;
/// More differences than these say nothing new.
const MAX_SHOWN: usize = 20;

/// What was found so far.
#[derive(Default)]
struct Tally {
    planned: u64,
    refused: u64,
    /// Transactions that spend unconfirmed coins.
    on_pending: u64,
    live: live::Counts,
    differences: Vec<(String, Difference)>,
    differing: u64,
}

impl Tally {
    fn add(&mut self, what: &str, found: Vec<Difference>) {
        self.differing += u64::from(!found.is_empty());
        let room = MAX_SHOWN.saturating_sub(self.differences.len());
        let named = found.into_iter().map(|it| (what.to_owned(), it));
        self.differences.extend(named.take(room));
    }
}

pub(super) fn run(output: Output, options: &Parity) -> Done {
    let session = Session::private(&live::own::FORGETFUL)?;
    let home = tempfile::tempdir()
        .map_err(|cause| Failure::Other(Code::Failed, format!("no temporary folder: {cause}")))?;
    let mut random = Random::new(options.seed);
    let mut tally = Tally::default();
    let live_steps = options.cases.div_ceil(LIVE_SHARE);
    let bar = progress::bar(options.cases, "comparing plans");
    plans(
        &session.config,
        home.path(),
        options.cases - live_steps,
        &mut random,
        &bar,
        &mut tally,
    )?;
    bar.set_message("comparing on a moving chain");
    let node = session
        .private
        .as_ref()
        .expect("a private node was started");
    live::run(
        &session.config,
        node,
        home.path(),
        live_steps,
        &mut random,
        &bar,
        &mut tally,
    )?;
    bar.finish_and_clear();
    show(output, options, &tally)
}

/// Random plans of random wallets, whose coins exist in no chain.
fn plans(
    config: &Config,
    home: &Path,
    cases: u64,
    random: &mut Random,
    bar: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut done = 0;
    while done < cases {
        let dir = home.join(format!("plan-{done}"));
        let opened = Pair::open(config, &dir, random)?;
        let tip = opened.rust.wallet_state()?.tip;
        for _ in 0..CASES_PER_WALLET.min(cases - done) {
            let tip = BlockRef {
                height: u32::try_from(random.between(0, 900_000)).unwrap_or_default(),
                ..tip
            };
            let case = Case::random(random, Network::Regtest, tip);
            let found = case.compare(&*opened.rust, &*opened.python)?;
            match found.refused {
                None => tally.planned += 1,
                Some(_) => tally.refused += 1,
            }
            tally.on_pending += u64::from(found.pending_taken > 0);
            tally.add(&format!("plan {done}"), found.differences);
            done += 1;
            bar.inc(1);
        }
        drop(opened);
        // What cannot be removed now goes with the whole folder.
        let _ = std::fs::remove_dir_all(&dir);
    }
    Ok(())
}

/// One wallet, open in both implementations.
struct Pair {
    rust: std::sync::Arc<dyn btc::ObservedWallet>,
    python: std::sync::Arc<dyn btc::ObservedWallet>,
    /// What the Rust wallet alone can do.
    wallet: std::sync::Arc<RustWallet>,
    dir: PathBuf,
}

impl Pair {
    /// A new wallet of random words.
    fn open(config: &Config, dir: &Path, random: &mut Random) -> Result<Self, Failure> {
        let entropy: [u8; 32] = random.bytes();
        let length = random.pick(&[16, 20, 24, 28, 32]);
        let passphrase = if random.once_in(4) {
            "Geheimnis ü"
        } else {
            ""
        };
        let new = NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 10,
            change_type: random.pick(&AddressType::ALL),
            origin: Origin::Words {
                words: words_from_entropy(&entropy[..length])?,
                bip39_passphrase: Secret::new(passphrase.to_owned()),
                protection: Protection::PlainRegtestOnly,
            },
        };
        folder::create(dir, &new)?;
        let mut config = config.clone();
        config.wallet = Some(btc::config::WalletSettings {
            dir: dir.to_owned(),
            passphrase: None,
            selection: Some(btc::CoinSelection::LargestFirst),
            max_fee_rate: None,
            source: btc::config::WalletSource::Core,
        });
        let python = btc::connect_observed(&config, BitcoinImplementationType::Python)?;
        let wallet = btc::connect_wallet(&config)?;
        let node = config.node.as_ref().expect("of a private node");
        let rust = RustBitcoin::connect(node)?.with_wallet(std::sync::Arc::clone(&wallet));
        Ok(Self {
            rust: std::sync::Arc::new(rust),
            python,
            wallet,
            dir: dir.to_owned(),
        })
    }
}

fn show(output: Output, options: &Parity, tally: &Tally) -> Done {
    let differences: Vec<_> = tally
        .differences
        .iter()
        .map(|(case, it)| json!({"case": case, "path": it.path, "rust": it.primary, "python": it.secondary}))
        .collect();
    let value = json!({
        "cases": options.cases,
        "seed": options.seed,
        "planned": tally.planned,
        "refused": tally.refused,
        "on_pending": tally.on_pending,
        "live": tally.live,
        "differing": tally.differing,
        "differences": differences,
    });
    output.show(&value, || text(options, tally))?;
    Ok(if tally.differing == 0 {
        Code::Ok
    } else {
        Code::Failed
    })
}

fn text(options: &Parity, tally: &Tally) -> String {
    let head = format!(
        "{} cases (seed {}): {} transactions byte for byte, {} of them with unconfirmed coins, {} \
         refusals, {} steps on a moving chain\n{}\n",
        grouped(options.cases),
        options.seed,
        grouped(tally.planned),
        grouped(tally.on_pending),
        grouped(tally.refused),
        grouped(tally.live.steps),
        tally.live
    );
    if tally.differing == 0 {
        return head + "no difference";
    }
    let shown: String = tally
        .differences
        .iter()
        .map(|(case, it)| {
            format!(
                "{case}: {}: rust {}, python {}\n",
                it.path, it.primary, it.secondary
            )
        })
        .collect();
    format!("{head}{} cases DIFFER\n{shown}", grouped(tally.differing))
}
