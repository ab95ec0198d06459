//! The rules of a contract, for the wallet's own terms and for hostile messages alike.

mod curve;
mod info;
mod message;
mod oracle;

pub(crate) use self::info::{Checked, CheckedBranch, contract_info};
pub(crate) use self::message::{
    Policy, accept, accept_fields, check_offer, input_outpoints, offer_fields,
};
pub(crate) use self::oracle::announcement;
