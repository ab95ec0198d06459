//! Behaviour of the reads on what is unknown or malformed.

use btc::{BitcoinInterface, ErrorKind, Operation};
use btc_tests::{Fixture, Outcome, failure};

use crate::read::Case;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("unknown_hash_is_not_found", unknown),
    ("replaced_transaction_is_not_found", replaced),
    ("a_hash_of_the_other_sort_is_not_found", other_sort),
    ("malformed_hash_is_invalid_input", malformed),
    ("fee_target_zero_is_invalid_input", target_zero),
    ("errors_name_their_operation", operations),
    ("an_error_spoils_no_later_call", still_well),
];

const UNKNOWN: [&str; 3] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "4A5E1E4BAAB89F3A32518A88C31BC87F618F76673E2CC77AB2127B7AFDEDA33B",
];

/// Texts that are no hash, each wrong in another way.
pub(crate) fn malformed_hashes() -> Vec<String> {
    let digits = |count| "0".repeat(count);
    vec![
        String::new(),
        "0".into(),
        "tx".into(),
        digits(63),
        digits(65),
        digits(128),
        digits(63) + "g",
        digits(62) + "-1",
        format!("0x{}", digits(62)),
        format!("0x{}", digits(64)),
        format!(" {}", digits(64)),
        format!("{}\n", digits(64)),
        format!("{} ", digits(63)),
        format!("{}\0", digits(63)),
        // Digits and letters that look like hexadecimal ones and are not.
        "\u{660}".repeat(64),
        "\u{ff21}".repeat(64),
        "a\u{301}".repeat(32),
        "\u{1f600}".repeat(16),
        format!("{}\\u0030", digits(58)),
        format!("{}\"]}}", digits(61)),
        "../rest/block/".into(),
        "%00".repeat(21) + "0",
        "f".repeat(1_000_000),
    ]
}

fn unknown(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    for hash in UNKNOWN {
        failure(bitcoin.get_transaction(hash), ErrorKind::NotFound, hash);
        failure(bitcoin.get_block(hash), ErrorKind::NotFound, hash);
    }
    Ok(())
}

fn replaced(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    assert!(!fixture.summary.replaced.is_empty());
    for txid in &fixture.summary.replaced {
        let answer = bitcoin.get_transaction(&txid.to_string());
        failure(answer, ErrorKind::NotFound, "a replaced transaction");
    }
    Ok(())
}

fn other_sort(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let (_, block) = fixture.summary.blocks[0];
    let txid = fixture.summary.mempool[0].to_string();
    let answer = bitcoin.get_transaction(&block.to_string());
    failure(answer, ErrorKind::NotFound, "a block's hash as txid");
    failure(
        bitcoin.get_block(&txid),
        ErrorKind::NotFound,
        "a txid as block hash",
    );
    Ok(())
}

fn malformed(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    for text in malformed_hashes() {
        let shown: String = text.chars().take(70).collect();
        let kind = ErrorKind::InvalidInput;
        for error in [
            failure(bitcoin.get_transaction(&text), kind, &shown),
            failure(bitcoin.get_block(&text), kind, &shown),
        ] {
            let message = error.to_string();
            assert!(message.contains("64 hexadecimal digits"), "{message}");
            assert!(message.len() < 2_000, "{} bytes", message.len());
        }
    }
    Ok(())
}

fn target_zero(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    failure(bitcoin.estimate_fee(0), ErrorKind::InvalidInput, "0 blocks");
    Ok(())
}

fn operations(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let named = [
        (
            bitcoin.get_transaction("").map(drop),
            Operation::GetTransaction,
        ),
        (bitcoin.get_block("").map(drop), Operation::GetBlock),
        (
            bitcoin.get_transaction(UNKNOWN[0]).map(drop),
            Operation::GetTransaction,
        ),
        (bitcoin.get_block(UNKNOWN[0]).map(drop), Operation::GetBlock),
        (bitcoin.estimate_fee(0).map(drop), Operation::EstimateFee),
        (bitcoin.get_balance().map(drop), Operation::GetBalance),
    ];
    for (result, operation) in named {
        let error = result.expect_err("each of these fails");
        assert_eq!(error.operation(), operation);
        let text = error.to_string();
        assert!(text.starts_with(operation.as_str()), "{text}");
        assert!(!error.message().is_empty());
    }
    Ok(())
}

fn still_well(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    for text in malformed_hashes().iter().take(8) {
        assert!(bitcoin.get_block(text).is_err());
        assert!(bitcoin.get_transaction(UNKNOWN[1]).is_err());
        assert_eq!(
            Some(bitcoin.get_block_height()?),
            fixture.summary.tip_height()
        );
    }
    Ok(())
}
