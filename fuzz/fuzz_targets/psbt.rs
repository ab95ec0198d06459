//! Fuzzes what reads PSBTs from others: nothing panics, what reads is written back the same, and
//! a PSBT combined with itself stays as it is.

#![no_main]

use btc::rust::wallet::build::{
    DEFAULT_MAX_FEE_RATE, combine_psbts, extract_psbt, finalize_psbt, format_psbt, parse_psbt,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(psbt) = parse_psbt(input) else {
        return;
    };
    let again = parse_psbt(format_psbt(&psbt).as_bytes()).expect("own output");
    assert_eq!(psbt, again);

    let mut both = psbt.clone();
    if combine_psbts(&mut both, psbt.clone()).is_ok() {
        assert_eq!(both.unsigned_tx, psbt.unsigned_tx);
    }
    let mut finished = psbt.clone();
    let is_final = finalize_psbt(&mut finished).unwrap_or(false);
    if let Ok(transaction) = extract_psbt(&finished, DEFAULT_MAX_FEE_RATE, true) {
        assert!(is_final, "taken out of what is not final");
        assert_eq!(transaction.inputs.len(), psbt.unsigned_tx.input.len());
    }
});
