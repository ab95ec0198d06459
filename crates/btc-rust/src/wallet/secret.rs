//! The secret file: words, encrypted with a passphrase.
