//! PSBTs (BIP174, BIP370, BIP371): reading, writing, and what lives in the files here.

mod claims;
mod create;
mod finish;
mod sign;
mod version_2;

use bitcoin::Psbt;
use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use btc_iface::BitcoinResult;

pub use self::create::to_psbt;
pub use self::finish::{combine_psbts, extract_psbt, finalize_psbt};
pub use self::sign::sign_psbt;

use super::wrong;

/// What a PSBT in bytes begins with (BIP174).
const MAGIC: &[u8] = b"psbt\xff";

/// Reads a PSBT, in bytes or in base64 with any white space around it and in it.
///
/// # Behavior
/// One of version 2 (BIP370) becomes the same PSBT of version 0, which every signer reads; that
/// inputs or outputs may still be added to it is not kept.
///
/// # Errors
/// `InvalidInput`: neither of both; of another version; fields that its version does not have;
/// something behind its end.
pub fn parse_psbt(bytes: &[u8]) -> BitcoinResult<Psbt> {
    let decoded;
    let bytes = if bytes.starts_with(MAGIC) {
        bytes
    } else {
        let mut text = bytes.to_vec();
        text.retain(|byte| !byte.is_ascii_whitespace());
        decoded = BASE64.decode(text).map_err(|_| wrong(MALFORMED))?;
        &decoded
    };
    let malformed = |said: &str| wrong(format!("{MALFORMED}: {said}"));
    let psbt = match version_2::version_of(bytes).map_err(malformed)? {
        0 => read_version_0(bytes)?,
        2 => read_version_0(&version_2::to_version_0(bytes).map_err(malformed)?)?,
        other => {
            let message = format!("a PSBT of version {other}; use version 0 or 2");
            return Err(wrong(message));
        }
    };
    claims::check_shape(&psbt)?;
    Ok(psbt)
}

fn read_version_0(mut bytes: &[u8]) -> BitcoinResult<Psbt> {
    let psbt = Psbt::deserialize_from_reader(&mut bytes)
        .map_err(|cause| wrong(MALFORMED).with_source(cause))?;
    if !bytes.is_empty() {
        return Err(wrong(format!("{MALFORMED}: {}", version_2::TOO_LONG)));
    }
    if version_2::has_fields_of_version_2(&psbt) {
        let said = "it has fields of version 2, in version 0 or once too often";
        return Err(wrong(format!("{MALFORMED}: {said}")));
    }
    Ok(psbt)
}

/// A PSBT in base64, as programs exchange it; `Psbt::serialize` gives the bytes.
pub fn format_psbt(psbt: &Psbt) -> String {
    psbt.to_string()
}

const MALFORMED: &str = "not a PSBT of version 0 or 2; give it in base64 or in bytes";
