//! Reserved indices and coins, shared with the other implementation.
