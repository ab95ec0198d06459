//! Faults in what is read.

use btc::Operation::{EstimateFee, GetBlock, GetBlockHeight, GetTransaction};

use super::{Caught, Mutant, at, bare, living, reading};

/// Fields that differ in transactions, alone and in blocks.
macro_rules! in_both {
    ($($path:literal),+) => {
        &[at(GetTransaction, &[$($path),+]), at(GetBlock, &[$($path),+])]
    };
    ($($path:literal),+; and $($more:literal),+) => {
        &[
            at(GetTransaction, &[$($path),+]).and(&[$($more),+]),
            at(GetBlock, &[$($path),+]).and(&[$($more),+]),
        ]
    };
}

const HEIGHT: &[Caught] = &[at(GetBlockHeight, &["height"])];
const RATE: &[Caught] = &[at(EstimateFee, &["sat_per_vb"])];
const BLOCK_HASH: &[Caught] = &[at(GetTransaction, &["block_hash"])];

pub(super) const MUTANTS: &[Mutant] = &[
    reading("reads:OffByOneSat", in_both!("outputs[].value_sat")),
    reading("reads:Truncated32", in_both!("outputs[].value_sat")),
    reading("reads:FloatAmounts", in_both!("outputs[].value_sat")),
    reading(
        "reads:SwappedOutputs",
        in_both!("outputs[].script_pubkey", "outputs[].value_sat"),
    ),
    reading(
        "reads:LostData",
        in_both!("outputs.length"; and "outputs[].script_pubkey", "outputs[].value_sat"),
    ),
    reading(
        "reads:SwappedInputs",
        in_both!(
            "inputs[].previous_output", "inputs[].witness[]";
            and "inputs[].script_sig", "inputs[].witness.length", "inputs[].sequence"
        ),
    ),
    reading(
        "reads:ReversedPrevout",
        in_both!("inputs[].previous_output"),
    ),
    reading("reads:ShortScriptSig", in_both!("inputs[].script_sig")),
    reading("reads:FinalSequence", in_both!("inputs[].sequence")),
    reading("reads:DroppedWitness", in_both!("inputs[].witness.length")),
    reading(
        "reads:EmptyItemDropped",
        in_both!("inputs[].witness.length", "inputs[].witness[]"),
    ),
    reading(
        "reads:CoinbaseWitnessDropped",
        in_both!("inputs[].witness.length"),
    ),
    reading("reads:ReversedTxid", in_both!("txid")),
    reading("reads:TxidForWtxid", in_both!("wtxid")),
    reading("reads:VersionAtMost2", in_both!("version")),
    reading("reads:LockTimeOfHeights", in_both!("lock_time")),
    reading("reads:SizeIsVsize", in_both!("size")),
    reading("reads:NoDiscount", in_both!("weight")),
    reading("blocks:ReversedBlockHash", BLOCK_HASH),
    reading("blocks:BlockBefore", BLOCK_HASH),
    reading("blocks:WaitingIsConfirmed", BLOCK_HASH),
    reading("blocks:LastDropped", &[at(GetBlock, &["length"])]),
    reading(
        "blocks:FirstTwoSwapped",
        &[at(
            GetBlock,
            &[
                "txid",
                "wtxid",
                "inputs[].previous_output",
                "size",
                "weight",
            ],
        )
        .and(&[
            "version",
            "lock_time",
            "inputs.length",
            "inputs[].sequence",
            "inputs[].script_sig",
            "inputs[].witness.length",
            "inputs[].witness[]",
            "outputs.length",
            "outputs[].value_sat",
            "outputs[].script_pubkey",
        ])],
    ),
    reading("blocks:StaleTip", HEIGHT),
    living("blocks:HighestEver", HEIGHT, HEIGHT),
    reading("failures:WrongErrorKind", in_both!("error.kind")),
    reading("failures:NotFoundIsNonsense", in_both!("error.kind")),
    reading("failures:InvalidIsNotFound", in_both!("error.kind")),
    bare("rates:RoundedDown", RATE),
    bare("rates:PerKilobyte", RATE),
    bare("rates:BelowMinimum", RATE),
    bare("rates:OneMore", RATE),
];
