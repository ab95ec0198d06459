//! Faults in addresses, balances, payments and sending.

use btc::Operation::{BroadcastTransaction, CreateTransaction, GenerateAddress, GetBalance};

use super::{Caught, Mutant, at, enduring, living, paying, receiving};

/// Fields that differ in a payment, and those that follow from them through the signatures.
macro_rules! built {
    ($($path:literal),+) => {
        &[at(CreateTransaction, &[$($path),+]).and(SIGNED)]
    };
}

const SIGNED: &[&str] = &[
    "txid",
    "wtxid",
    "inputs[].script_sig",
    "inputs[].witness[]",
    "size",
    "weight",
];
/// What other coins lead to.
const REBUILT: &[&str] = &[
    "txid",
    "wtxid",
    "inputs.length",
    "inputs[].script_sig",
    "inputs[].witness.length",
    "inputs[].witness[]",
    "outputs.length",
    "outputs[].value_sat",
    "fee_sat",
    "size",
    "weight",
    "error.kind",
];

const ADDRESS: &[Caught] = &[at(GenerateAddress, &["address"])];
const PLACE: &[Caught] = &[at(GenerateAddress, &["address", "script_pubkey"])];
const BALANCE: Caught = at(GetBalance, &["balance_sat"]);
const UNKNOWN_COIN: Caught = at(CreateTransaction, &["snapshot.coins[]"]);
const NO_PAYMENT: Caught = at(CreateTransaction, &["error.kind"]);
const SENT: &[Caught] = &[at(BroadcastTransaction, &["error.kind"])];
/// With what the refusing side says.
const SENT_WITH_REASON: &[Caught] =
    &[at(BroadcastTransaction, &["error.kind"]).and(&["error.reason"])];
const SENT_TXID: &[Caught] = &[at(BroadcastTransaction, &["txid"])];
const NOTHING: &[Caught] = &[];

const FEE: &[Caught] = built!("outputs[].value_sat", "fee_sat", "txid");
const SCRIPT: &[Caught] = built!("outputs[].script_pubkey", "txid");
const WITNESS: &[Caught] = built!("inputs[].witness[]", "wtxid");
const MATURE: Caught = at(
    GetBalance,
    &[
        "balance_sat",
        "balance.confirmed_sat",
        "balance.immature_sat",
    ],
);
const TRUSTED: Caught = at(
    GetBalance,
    &[
        "balance_sat",
        "balance.trusted_pending_sat",
        "balance.untrusted_pending_sat",
    ],
);
const SPENT: &[Caught] = &[at(
    GetBalance,
    &["balance_sat", "balance.confirmed_sat", "coins[]"],
)];
const FOUND: &[Caught] = &[
    at(
        GetBalance,
        &["balance_sat", "balance.confirmed_sat", "coins[]"],
    )
    .and(&[
        "balance.trusted_pending_sat",
        "balance.untrusted_pending_sat",
    ]),
    UNKNOWN_COIN,
];
const UNSEEN: &[Caught] = &[at(
    GetBalance,
    &[
        "balance_sat",
        "balance.confirmed_sat",
        "balance.trusted_pending_sat",
        "balance.untrusted_pending_sat",
        "coins[]",
    ],
)];
const OVER: Caught = at(BroadcastTransaction, &["error.kind", "error.reason"]);
const LOST: Caught = at(
    GetBalance,
    &["balance_sat", "balance.confirmed_sat", "coins[]"],
)
.and(&["balance.trusted_pending_sat"]);

pub(super) const MUTANTS: &[Mutant] = &[
    receiving("places:WrongHrp", ADDRESS),
    receiving("places:MainnetVersion", ADDRESS),
    receiving("places:WrongNetwork", &[at(GenerateAddress, &["network"])]),
    receiving("places:NativeForNested", PLACE),
    receiving("places:NextIndex", PLACE),
    receiving("places:ChangeForReceive", PLACE),
    receiving("places:SecondAccount", PLACE),
    receiving("places:MainnetCoinType", PLACE),
    receiving("places:NotHardened", PLACE),
    receiving("places:UntweakedOutput", PLACE),
    receiving("places:ZeroMerkleRoot", PLACE),
    living(
        "books:BalanceOffByOne",
        &[BALANCE.and(&["balance.confirmed_sat"])],
        &[BALANCE.and(&["balance.confirmed_sat"])],
    ),
    living(
        "books:ConfirmedOnly",
        &[BALANCE.and(&["balance.trusted_pending_sat"])],
        &[BALANCE.and(&["balance.trusted_pending_sat"])],
    ),
    living(
        "books:ImmatureSpendable",
        &[BALANCE, UNKNOWN_COIN],
        &[UNKNOWN_COIN],
    ),
    living(
        "books:MatureAtOnce",
        &[MATURE, UNKNOWN_COIN],
        &[MATURE, UNKNOWN_COIN],
    ),
    living(
        "books:ForeignTrusted",
        &[TRUSTED, UNKNOWN_COIN],
        &[TRUSTED, UNKNOWN_COIN],
    ),
    living("books:SpentStillCounted", SPENT, SPENT),
    living("books:LostCoinKept", &[LOST, UNKNOWN_COIN], &[LOST]),
    living("books:SpendNotTakenBack", &[TRUSTED], &[TRUSTED]),
    paying("building:FeeRoundedDown", FEE, FEE),
    paying("building:FeeOfFloat", FEE, FEE),
    paying("building:RateOneMore", FEE, FEE),
    paying(
        "building:SizeForFee",
        &[at(CreateTransaction, &["outputs[].value_sat", "fee_sat"]).and(REBUILT)],
        &[at(CreateTransaction, &["outputs[].value_sat", "fee_sat"]).and(REBUILT)],
    ),
    paying(
        "building:SmallestFirst",
        &[at(CreateTransaction, &["inputs[].previous_output"]).and(REBUILT)],
        &[at(CreateTransaction, &["inputs[].previous_output"]).and(REBUILT)],
    ),
    paying(
        "building:TiesAsPeopleRead",
        built!("inputs[].previous_output", "txid"),
        built!("inputs[].previous_output", "txid"),
    ),
    paying(
        "building:DustMade",
        built!("outputs.length", "fee_sat", "txid"),
        built!("outputs.length", "fee_sat", "txid"),
    ),
    paying("building:DustPaid", &[NO_PAYMENT], &[NO_PAYMENT]),
    paying("building:ChangeShort", FEE, FEE),
    paying(
        "building:SortedOutputs",
        built!("outputs[].value_sat", "outputs[].script_pubkey", "txid"),
        built!("outputs[].value_sat", "outputs[].script_pubkey", "txid"),
    ),
    paying(
        "building:ChangeFirst",
        built!("outputs[].value_sat", "outputs[].script_pubkey", "txid"),
        built!("outputs[].value_sat", "outputs[].script_pubkey", "txid"),
    ),
    paying(
        "building:InputsReversed",
        &[at(CreateTransaction, &["inputs[].previous_output", "txid"]).and(REBUILT)],
        &[at(CreateTransaction, &["inputs[].previous_output", "txid"]).and(REBUILT)],
    ),
    paying(
        "building:LockTimeBehind",
        built!("lock_time", "txid"),
        built!("lock_time", "txid"),
    ),
    paying(
        "building:FeeOneMore",
        &[at(CreateTransaction, &["fee_sat"])],
        &[at(CreateTransaction, &["fee_sat"])],
    ),
    paying("building:ChangeIndexOffByOne", SCRIPT, SCRIPT),
    paying("building:ChangeOnReceive", SCRIPT, SCRIPT),
    paying("building:ChangeNotSpent", &[NO_PAYMENT], &[UNKNOWN_COIN]),
    paying(
        "building:PlansBehind",
        NOTHING,
        &[at(CreateTransaction, &["snapshot.tip"])],
    ),
    paying(
        "building:SnapshotBehind",
        built!("lock_time", "txid"),
        NOTHING,
    ),
    paying(
        "signing:VersionOne",
        built!("version", "txid"),
        built!("version", "txid"),
    ),
    paying(
        "signing:NotReplaceable",
        built!("inputs[].sequence", "txid"),
        built!("inputs[].sequence", "txid"),
    ),
    paying("signing:AnyoneCanPay", WITNESS, WITNESS),
    paying("signing:HighS", WITNESS, WITNESS),
    paying("signing:RandomNonce", WITNESS, WITNESS),
    paying("signing:HighR", WITNESS, WITNESS),
    paying("signing:AuxiliaryRandomness", WITNESS, WITNESS),
    paying("signing:SignsUntweaked", WITNESS, WITNESS),
    paying("signing:SignsZeroMerkleRoot", WITNESS, WITNESS),
    paying(
        "failures:RejectedIsInternal",
        &[NO_PAYMENT, at(BroadcastTransaction, &["error.kind"])],
        &[NO_PAYMENT],
    ),
    paying("sending:AnswersWtxid", SENT_TXID, NOTHING),
    paying("sending:AnswersReversed", SENT_TXID, NOTHING),
    paying(
        "sending:NeverSends",
        &[at(BroadcastTransaction, &["verdict"]).and(&["error.kind", "error.reason"])],
        NOTHING,
    ),
    paying("sending:SendsStripped", SENT_WITH_REASON, NOTHING),
    paying("sending:ResendRefused", SENT_WITH_REASON, NOTHING),
    paying(
        "sending:ReasonLost",
        &[at(BroadcastTransaction, &["error.reason"])],
        NOTHING,
    ),
    paying("sending:FloatAmountsSent", SENT, NOTHING),
    paying("sending:ChecksTakeAll", NOTHING, SENT_WITH_REASON),
    paying("sending:ChecksKnowAll", NOTHING, SENT_WITH_REASON),
    paying(
        "sending:ChecksForget",
        NOTHING,
        &[at(BroadcastTransaction, &["error.kind", "error.reason"])],
    ),
    paying("sending:ChecksReverseTxid", NOTHING, SENT_TXID),
    paying(
        "sending:ChecksTxidForWtxid",
        NOTHING,
        &[at(BroadcastTransaction, &["wtxid"])],
    ),
    paying(
        "building:BuiltBehind",
        &[at(CreateTransaction, &["snapshot.tip"])],
        &[at(CreateTransaction, &["snapshot.tip"])],
    ),
    paying(
        "building:CoinWithheld",
        &[at(CreateTransaction, &["snapshot.coins[]"])],
        NOTHING,
    ),
    paying(
        "building:ChangeOfOtherType",
        &[at(CreateTransaction, &["snapshot.change_type"])],
        &[at(CreateTransaction, &["snapshot.change_type"])],
    ),
    living(
        "promises:SameAddressTwice",
        &[at(GenerateAddress, &["index"])],
        NOTHING,
    ),
    living(
        "promises:UsedAddressAgain",
        &[at(GenerateAddress, &["index"])],
        NOTHING,
    ),
    living(
        "promises:NotReserved",
        &[at(CreateTransaction, &["snapshot.coins[]"])],
        NOTHING,
    ),
    living(
        "promises:SameChangeTwice",
        &[at(CreateTransaction, &["snapshot.change_index"])],
        NOTHING,
    ),
    paying("building:NoCeiling", &[NO_PAYMENT], &[NO_PAYMENT]),
    enduring("books:NotReadAgain", FOUND, FOUND),
    enduring("books:SmallWindow", FOUND, FOUND),
    enduring(
        "building:LargestWhicheverState",
        &[at(CreateTransaction, &["inputs[].previous_output"]).and(REBUILT)],
        &[at(CreateTransaction, &["inputs[].previous_output"]).and(REBUILT)],
    ),
    enduring("building:EndlessChains", &[NO_PAYMENT], &[NO_PAYMENT]),
    enduring("building:MixesVersions", &[NO_PAYMENT], &[NO_PAYMENT]),
    enduring("building:DeficitIgnored", FEE, FEE),
    enduring("building:SurplusInherited", FEE, FEE),
    enduring("promises:TrustsEnds", &[UNKNOWN_COIN], NOTHING),
    enduring(
        "payments:ForgetsMissing",
        &[UNKNOWN_COIN, OVER],
        &[UNKNOWN_COIN, at(BroadcastTransaction, &["error.reason"])],
    ),
    enduring("payments:FreesMissing", &[UNKNOWN_COIN], &[UNKNOWN_COIN]),
    enduring("payments:BroadcastsOver", &[OVER], &[OVER]),
    enduring("payments:UnloadedIsEmpty", UNSEEN, UNSEEN),
];
