//! `Contract`: where a contract stands, and what it means for the own side.

use std::fmt;
use std::str::FromStr;

use ::bitcoin::Txid;
use ::bitcoin::hex::{DisplayHex, FromHex};
use serde::{Deserialize, Serialize};

/// The name of a contract from its offer on: the temporary contract id of the specification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContractId(pub [u8; 32]);

impl fmt::Display for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.as_hex())
    }
}

impl fmt::Debug for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not the id of a contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a contract: 64 hexadecimal digits")]
pub struct WrongContractId(String);

impl FromStr for ContractId {
    type Err = WrongContractId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = <[u8; 32]>::from_hex(text).map_err(|_| WrongContractId(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ContractId {
    type Error = WrongContractId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContractId> for String {
    fn from(id: ContractId) -> Self {
        id.to_string()
    }
}

/// Which of the two sides this one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Made the offer.
    Offerer,
    /// Accepted it.
    Accepter,
}

impl Role {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offerer => "offerer",
            Self::Accepter => "accepter",
        }
    }
}

/// Where a contract stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContractState {
    /// An own offer has no answer yet.
    Offered,
    /// An offer is accepted; the other side has not signed.
    Accepted,
    /// The own signature has left (offering side), or the funding is complete on disk and the
    /// network does not have it (accepting side).
    Signed,
    /// The network has the funding.
    Broadcast,
    /// The funding is in a block.
    Confirmed,
    /// Settled by an attestation, by this side.
    Claimed,
    /// Settled by an attestation, by the other side.
    RemoteClaimed,
    /// Refunded.
    Refunded,
    /// Closed by agreement.
    Closed,
    /// The funding can never be: an input of it is spent elsewhere.
    Failed,
    /// An offer was refused.
    Rejected,
    /// Given up before any own signature had left.
    Cancelled,
}

impl ContractState {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Offered,
        Self::Accepted,
        Self::Signed,
        Self::Broadcast,
        Self::Confirmed,
        Self::Claimed,
        Self::RemoteClaimed,
        Self::Refunded,
        Self::Closed,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Signed => "signed",
            Self::Broadcast => "broadcast",
            Self::Confirmed => "confirmed",
            Self::Claimed => "claimed",
            Self::RemoteClaimed => "remote_claimed",
            Self::Refunded => "refunded",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more can happen but a reorganisation.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Claimed
                | Self::RemoteClaimed
                | Self::Refunded
                | Self::Closed
                | Self::Failed
                | Self::Rejected
                | Self::Cancelled
        )
    }
}

impl fmt::Display for ContractState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A contract as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Its name from the offer on.
    pub id: ContractId,
    /// Its id in the specification, once the funding is known.
    pub contract_id: Option<ContractId>,
    /// The own side.
    pub role: Role,
    /// Where it stands.
    pub state: ContractState,
    /// What the own side put in, in satoshi.
    pub own_collateral_sat: u64,
    /// What both put in, in satoshi.
    pub total_collateral_sat: u64,
    /// The funding transaction, once it is known.
    pub funding_txid: Option<Txid>,
    /// The height of the funding's block.
    pub funding_height: Option<u32>,
    /// The transaction that ends the contract, once it is known.
    pub closing_txid: Option<Txid>,
    /// The height of its block.
    pub closing_height: Option<u32>,
    /// What the ending pays to the own side, in satoshi.
    pub own_payout_sat: Option<u64>,
    /// From when on the refund is valid, in Unix seconds.
    pub refund_time: u32,
    /// What went wrong last, or why it was rejected.
    pub note: Option<String>,
}

/// What a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cancellation {
    /// No own signature had left: the coins are free and the contract cannot come to be.
    Safe,
    /// The own signature had left: this transaction spends an own input elsewhere. Until it
    /// confirms, the other side can still complete the funding.
    SpentElsewhere {
        /// The transaction.
        txid: Txid,
    },
}

/// What a sync changed or met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DlcEvent {
    /// The contract.
    pub id: ContractId,
    /// Where it stands now; none if the store does not say.
    pub state: Option<ContractState>,
    /// What went wrong with this contract alone, if something did.
    pub error: Option<String>,
}

/// What an outcome means for the own side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeLine {
    /// The outcome, or the numbers from the first to the last.
    pub outcome: String,
    /// The first number of a numeric outcome.
    pub from: Option<u64>,
    /// The last number of a numeric outcome.
    pub to: Option<u64>,
    /// What it pays to the own side, in satoshi.
    pub own_payout_sat: u64,
    /// What it pays to the other side, in satoshi.
    pub their_payout_sat: u64,
}

/// A contract in words and numbers, for the own side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The contract.
    pub id: ContractId,
    /// The own side.
    pub role: Role,
    /// What the own side puts in, in satoshi.
    pub own_collateral_sat: u64,
    /// What the other side puts in, in satoshi.
    pub their_collateral_sat: u64,
    /// The fee rate in sat/vB.
    pub fee_rate_sat_per_vb: u64,
    /// How many signatures each side makes.
    pub signatures: u64,
    /// Full sentences, in the order to be read.
    pub sentences: Vec<String>,
    /// For each event, what each outcome pays; at most 1,000 lines each.
    pub outcomes: Vec<Vec<OutcomeLine>>,
}
