//! Tests of the wallet's books over real nodes, against a slow reference of their own.

mod follow;
mod reference;
mod wallet;
