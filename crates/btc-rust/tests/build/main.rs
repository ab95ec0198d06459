//! Tests of the building of transactions: the rules of money, signatures, and a real node's word.

mod accelerate;
mod bump;
mod bump_money;
mod bump_rates;
mod node;
mod node_bump;
mod node_rules;
mod pending;
mod plan;
mod plan_pending;
mod psbt;
mod psbt_claims;
mod psbt_maps;
mod psbt_version_2;
mod request;
mod request_coins;
mod request_money;
mod request_pending;
mod samples;
mod signatures;
mod verify;
