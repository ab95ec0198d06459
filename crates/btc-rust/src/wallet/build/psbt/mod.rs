//! PSBTs (BIP174, version 0; BIP371): reading, writing, and what lives in the files here.

mod claims;
mod create;
mod finish;
mod sign;

use std::str::FromStr;

use bitcoin::Psbt;
use btc_iface::BitcoinResult;

pub use self::create::to_psbt;
pub use self::finish::{combine_psbts, extract_psbt, finalize_psbt};
pub use self::sign::sign_psbt;

use super::wrong;

/// What a PSBT in bytes begins with (BIP174).
const MAGIC: &[u8] = b"psbt\xff";

/// Reads a PSBT, in bytes or in base64 with white space around it.
///
/// # Errors
/// `InvalidInput`: neither of both, or of another version than 0.
pub fn parse_psbt(bytes: &[u8]) -> BitcoinResult<Psbt> {
    let parsed = if bytes.starts_with(MAGIC) {
        Psbt::deserialize(bytes).map_err(|cause| wrong(MALFORMED).with_source(cause))
    } else {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        Psbt::from_str(text.trim()).map_err(|cause| wrong(MALFORMED).with_source(cause))
    };
    let psbt = parsed?;
    claims::check_shape(&psbt)?;
    Ok(psbt)
}

/// A PSBT in base64, as programs exchange it; `Psbt::serialize` gives the bytes.
pub fn format_psbt(psbt: &Psbt) -> String {
    psbt.to_string()
}

const MALFORMED: &str = "not a PSBT of version 0; give it in base64 or in bytes";
