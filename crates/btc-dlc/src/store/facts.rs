//! `Facts`: what is known about a contract but for its messages, and where it stands by that.

use bitcoin::{OutPoint, ScriptBuf, Txid};
use btc_iface::dlc::{ContractId, ContractState, Role};
use serde::{Deserialize, Serialize};

use crate::deal::Deal;

/// How far this side itself went: what no reorganisation takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Offered,
    Accepted,
    Signed,
    Rejected,
    Cancelled,
}

/// How a transaction ends a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Claim,
    Refund,
    Close,
}

/// An ending that this side has signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub(crate) ending: Ending,
    pub(crate) txid: Txid,
    /// The transaction as hexadecimal digits.
    pub(crate) raw: String,
}

/// A transaction in a block that spends the funding output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) txid: Txid,
    pub(crate) height: u32,
    pub(crate) ending: Ending,
    pub(crate) own_payout_sat: u64,
}

/// What is known about a contract but for its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    pub(crate) contract_id: Option<ContractId>,
    pub(crate) total_sat: u64,
    pub(crate) own_sat: u64,
    pub(crate) refund_time: u32,
    /// When the first event can be known, once the transactions are.
    #[serde(default)]
    pub(crate) first_maturity: Option<u32>,
    /// Blocks up to this height cannot have anything of it.
    pub(crate) from_height: u32,
    pub(crate) funding_txid: Option<Txid>,
    pub(crate) funding_vout: Option<u32>,
    /// The coins that the funding spends.
    pub(crate) inputs: Vec<OutPoint>,
    pub(crate) refund_txid: Option<Txid>,
    /// Where settlements pay this side.
    pub(crate) own_script: Option<ScriptBuf>,
    /// The complete funding transaction as hexadecimal digits.
    pub(crate) funding_raw: Option<String>,
    /// Whether the network has had the funding transaction.
    pub(crate) is_seen: bool,
    pub(crate) funding_height: Option<u32>,
    /// The height at which an input was spent by another transaction.
    pub(crate) conflict_height: Option<u32>,
    /// A settlement or a refund of this side's.
    pub(crate) closing: Option<Closing>,
    /// A closing by agreement that both sides have signed.
    #[serde(default)]
    pub(crate) agreed: Option<Closing>,
    pub(crate) spent: Option<Spent>,
    /// Closings that were proposed or agreed on: what each would pay to this side, by their txid.
    pub(crate) proposals: Vec<(Txid, u64)>,
    /// The transaction that spends an own input elsewhere, as hexadecimal digits.
    pub(crate) escape_raw: Option<String>,
    /// The reason of its reservations.
    #[serde(default)]
    pub(crate) hold: Option<String>,
    /// Whether the coins are released.
    pub(crate) is_released: bool,
    pub(crate) note: Option<String>,
}

impl Facts {
    /// A contract that nothing is known about yet but its terms: `sat` is what both put in, and
    /// what this side does.
    pub(crate) fn new(
        role: Role,
        phase: Phase,
        sat: (u64, u64),
        refund_time: u32,
        from_height: u32,
    ) -> Self {
        Self {
            role,
            phase,
            contract_id: None,
            total_sat: sat.0,
            own_sat: sat.1,
            refund_time,
            first_maturity: None,
            from_height,
            funding_txid: None,
            funding_vout: None,
            inputs: Vec::new(),
            refund_txid: None,
            own_script: None,
            funding_raw: None,
            is_seen: false,
            funding_height: None,
            conflict_height: None,
            closing: None,
            agreed: None,
            spent: None,
            proposals: Vec::new(),
            escape_raw: None,
            hold: None,
            is_released: false,
            note: None,
        }
    }

    /// Reads what the store has. A closing by agreement stood in the place of settlements once.
    pub(crate) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let mut facts: Self = serde_json::from_str(text)?;
        let is_agreed = |closing: &mut Closing| closing.ending == Ending::Close;
        if let Some(agreed) = facts.closing.take_if(is_agreed) {
            facts.agreed.get_or_insert(agreed);
        }
        Ok(facts)
    }

    /// Whether this side has signed a settlement by an attestation.
    pub(crate) fn has_claim(&self) -> bool {
        let closing = self.closing.as_ref();
        closing.is_some_and(|closing| closing.ending == Ending::Claim)
    }

    /// Takes over what follows from the contract's transactions.
    pub(crate) fn bind(&mut self, id: ContractId, deal: &Deal) {
        let outpoint = deal.outpoint();
        self.contract_id = Some(ContractId(deal.contract_id(&id.0)));
        self.first_maturity = deal.first_maturity();
        self.funding_txid = Some(outpoint.txid);
        self.funding_vout = Some(outpoint.vout);
        let inputs = deal.transactions.fund.input.iter();
        self.inputs = inputs.map(|input| input.previous_output).collect();
        self.refund_txid = Some(deal.transactions.refund.compute_txid());
        let own = match self.role {
            Role::Offerer => &deal.offer,
            Role::Accepter => &deal.accept,
        };
        self.own_script = Some(own.payout_script_pubkey.clone());
    }

    /// Where the contract stands.
    pub(crate) fn state(&self) -> ContractState {
        if let Some(spent) = &self.spent {
            return match spent.ending {
                Ending::Refund => ContractState::Refunded,
                Ending::Close => ContractState::Closed,
                Ending::Claim
                    if self
                        .closing
                        .as_ref()
                        .is_some_and(|own| own.txid == spent.txid) =>
                {
                    ContractState::Claimed
                }
                Ending::Claim => ContractState::RemoteClaimed,
            };
        }
        if self.funding_height.is_some() {
            return ContractState::Confirmed;
        }
        if self.conflict_height.is_some() {
            return ContractState::Failed;
        }
        match self.phase {
            Phase::Offered => ContractState::Offered,
            Phase::Accepted => ContractState::Accepted,
            Phase::Signed if self.is_seen => ContractState::Broadcast,
            Phase::Signed => ContractState::Signed,
            Phase::Rejected => ContractState::Rejected,
            Phase::Cancelled => ContractState::Cancelled,
        }
    }
}
