//! Lives in which a payment's change, or what it replaces, was not known to be the wallet's.

use btc::{AddressType, Chain, FeeRate};
use btc_regtest::sim::coins;

use crate::Failure;
use crate::house::Language;
use crate::identity::Place;
use crate::play::{Purpose, Way, take_psbt};
use crate::stage::Stage;

/// More payments are built than the window holds change addresses, and the last one is sent: its
/// change is the wallet's, also for a side that is opened after that.
pub(super) fn change_beyond_the_window(stage: &mut Stage) -> Result<(), Failure> {
    stage.open(0, Language::Rust)?;
    stage.funded(AddressType::P2wpkh, &[100_000; 12])?;
    let mut last = None;
    for _ in 0..11 {
        last = Some(stage.built(Language::Rust, 20_000, 2)?);
    }
    let last = last.ok_or("eleven were built")?;
    let side = stage.open(0, Language::Rust)?;
    stage.hand_over(0, Language::Rust, &side, last, Way::Clear)?;
    stage.check()?;
    stage.open_all()?;
    stage.check()?;
    stage.node.mine(coins::script(1))?;
    stage.check()
}

/// Change that the chain has moved the window to is paid, and missing, before the other side has
/// read the chain: it does not give the same index to another payment.
pub(super) fn change_before_the_first_look(stage: &mut Stage) -> Result<(), Failure> {
    stage.open(0, Language::Rust)?;
    stage.funded(AddressType::P2wpkh, &[100_000, 100_000])?;
    let ahead = Place {
        keychain: (AddressType::P2wpkh, Chain::Change),
        index: 5,
    };
    let script = stage.identity.script(ahead);
    let script = script.ok_or("within its range")?.clone();
    stage.pay_in_block(script, 50_000)?;
    stage.check()?;
    let txid = stage.paid(Language::Rust, 20_000, 2)?;
    stage.node.evict(&[txid]);
    for language in stage.setup.languages.clone() {
        stage.built(language, 10_000, 2)?;
    }
    stage.check()
}

/// A payment spends an unconfirmed coin that goes, and its replacement is handed over after its
/// reservation has ended, by the side that never saw the coin: it is the wallet's all the same.
pub(super) fn replacement_of_what_is_gone(stage: &mut Stage) -> Result<(), Failure> {
    const LATER_MS: i64 = 660_000;
    let side = stage.open(0, Language::Rust)?;
    let address = side.operations.generate_address(AddressType::P2wpkh)?;
    let script = address.script_pubkey.clone();
    stage.note_given(0, Language::Rust, address)?;
    let funding = stage
        .foreign(vec![(script, 100_000)], 2, 2)
        .ok_or("others have coins")?;
    stage.node.submit(&funding)?;
    stage.check()?;
    let parent = funding.compute_txid();
    let wallet = side.verbs()?;
    let child = wallet.accelerate(parent, FeeRate::from_sat_per_vb(5))?;
    let child = take_psbt(&side, child)?;
    let first = stage.note_child(0, child);
    stage.hand_over(0, Language::Rust, &side, first, Way::Clear)?;
    let raised = wallet.bump_fee(first, FeeRate::from_sat_per_vb(20), &[])?;
    let raised = take_psbt(&side, raised)?;
    let original = stage.houses[0].payments.get(first).cloned();
    let original = original.ok_or("it was handed over")?;
    let replaces = [first].into();
    let second = stage.note_replacement(0, &original, raised, replaces, Purpose::Bump)?;
    stage.check()?;
    stage.houses[0].pass_time(LATER_MS)?;
    stage.now_ms += LATER_MS;
    stage.check()?;
    stage.node.evict(&[parent]);
    for language in stage.setup.languages.clone() {
        let side = stage.open(0, language)?;
        stage.hand_over(0, language, &side, second, Way::Clear)?;
        stage.check()?;
    }
    Ok(())
}
