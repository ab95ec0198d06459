//! Bitcoin Core as a chain source.
