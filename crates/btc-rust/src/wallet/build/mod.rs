//! Transactions: choosing coins, weighing, building, signing.
