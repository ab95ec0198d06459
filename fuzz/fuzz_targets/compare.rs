//! Fuzzes the comparison of two transactions.
//!
//! There is no difference exactly when the two are equal apart from the facts that one side did
//! not learn. The two directions find the same paths, with the values exchanged.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc::shadow::compare::{Compare, Difference, Differences};
use btc::{BitcoinTransaction, TransactionInput, TransactionOutput};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Pair(BitcoinTransaction, BitcoinTransaction);

impl<'a> Arbitrary<'a> for Pair {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = transaction(u)?;
        // Mostly a near miss: two unrelated ones differ at once.
        let second = if u.ratio(1, 8)? {
            transaction(u)?
        } else {
            near(u, &first)?
        };
        Ok(Self(first, second))
    }
}

fuzz_target!(|pair: Pair| {
    let Pair(first, second) = pair;
    let forth = differences(&first, &second);
    let back = differences(&second, &first);
    assert_eq!(forth.is_empty(), alike(&first, &second), "{forth:?}");
    let exchanged: Vec<_> = back
        .into_iter()
        .map(|difference| Difference {
            primary: difference.secondary,
            secondary: difference.primary,
            ..difference
        })
        .collect();
    assert_eq!(forth, exchanged);
    for difference in &forth {
        assert!(!difference.path.is_empty() && !difference.path.starts_with('.'));
    }
    let block = (vec![first.clone(), first.clone()], vec![first, second]);
    let in_block = differences(&block.0, &block.1);
    let paths: Vec<_> = forth
        .iter()
        .map(|found| format!("[1].{}", found.path))
        .collect();
    assert_eq!(
        in_block
            .into_iter()
            .map(|found| found.path)
            .collect::<Vec<_>>(),
        paths
    );
});

fn differences<T: Compare>(primary: &T, secondary: &T) -> Vec<Difference> {
    let mut found = Differences::default();
    primary.compare(secondary, &mut found);
    found.into_vec()
}

/// Equal, apart from a fee and a height that only one side knows.
fn alike(first: &BitcoinTransaction, second: &BitcoinTransaction) -> bool {
    let mut second = second.clone();
    if first.fee_sat.is_none() || second.fee_sat.is_none() {
        second.fee_sat = first.fee_sat;
    }
    if first.block_height.is_none() || second.block_height.is_none() {
        second.block_height = first.block_height;
    }
    *first == second
}

fn transaction(u: &mut Unstructured<'_>) -> Result<BitcoinTransaction> {
    Ok(BitcoinTransaction {
        txid: Txid::from_byte_array(u.arbitrary()?),
        wtxid: Wtxid::from_byte_array(u.arbitrary()?),
        version: u.arbitrary()?,
        lock_time: u.arbitrary()?,
        inputs: (0..u.int_in_range(0..=3)?)
            .map(|_| input(u))
            .collect::<Result<_>>()?,
        outputs: (0..u.int_in_range(0..=3)?)
            .map(|_| output(u))
            .collect::<Result<_>>()?,
        size: u.arbitrary()?,
        weight: u.arbitrary()?,
        fee_sat: u.arbitrary()?,
        block_hash: u
            .arbitrary::<Option<[u8; 32]>>()?
            .map(BlockHash::from_byte_array),
        block_height: u.arbitrary()?,
    })
}

fn input(u: &mut Unstructured<'_>) -> Result<TransactionInput> {
    Ok(TransactionInput {
        previous_output: OutPoint::new(Txid::from_byte_array(u.arbitrary()?), u.arbitrary()?),
        script_sig: ScriptBuf::from_bytes(u.arbitrary()?),
        sequence: u.arbitrary()?,
        witness: Witness::from_slice(&u.arbitrary::<Vec<Vec<u8>>>()?),
    })
}

fn output(u: &mut Unstructured<'_>) -> Result<TransactionOutput> {
    Ok(TransactionOutput {
        value_sat: u.arbitrary()?,
        script_pubkey: ScriptBuf::from_bytes(u.arbitrary()?),
    })
}

fn near(u: &mut Unstructured<'_>, to: &BitcoinTransaction) -> Result<BitcoinTransaction> {
    let mut other = to.clone();
    for _ in 0..u.int_in_range(0..=3)? {
        match u.int_in_range(0..=11)? {
            0 => other.txid = Txid::from_byte_array(u.arbitrary()?),
            1 => other.wtxid = Wtxid::from_byte_array(u.arbitrary()?),
            2 => other.version = u.arbitrary()?,
            3 => other.lock_time = u.arbitrary()?,
            4 => other.inputs.push(input(u)?),
            5 => other.outputs.push(output(u)?),
            6 => other.fee_sat = u.arbitrary()?,
            7 => other.block_height = u.arbitrary()?,
            8 => other.block_hash = None,
            9 => drop(other.inputs.pop()),
            10 => {
                if let Some(last) = other.outputs.last_mut() {
                    *last = output(u)?;
                }
            }
            _ => {
                if let Some(last) = other.inputs.last_mut() {
                    last.witness.push(u.arbitrary::<Vec<u8>>()?);
                }
            }
        }
    }
    Ok(other)
}
