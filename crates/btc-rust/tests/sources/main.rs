//! Tests of the chain sources against private nodes and servers.

mod broadcast;
mod failures;
mod reorganisations;
mod scans;
mod setup;
mod wallet;
