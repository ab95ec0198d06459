//! Signed messages.
