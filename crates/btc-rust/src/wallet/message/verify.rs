//! Whether a signature is one of a message by an address, and in which form.

use std::collections::HashMap;
use std::iter;
use std::str::FromStr;

use bip322::Verification;
use bitcoin::address::NetworkUnchecked;
use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::encode::deserialize;
use bitcoin::psbt::{Input, raw};
use bitcoin::sign_message::{MessageSignature, signed_msg_hash};
use bitcoin::{
    Address, Amount, OutPoint, Psbt, PublicKey, Script, ScriptBuf, Transaction, TxIn, TxOut,
    Witness,
};
use btc_iface::{BitcoinResult, Network};

use super::scripts::is_understood;
use super::{Form, PROOF_OF_FUNDS};
use crate::wallet::build::parse_psbt;
use crate::wallet::fault;
use crate::wallet::keys::SECP;

/// What a signature is of a message and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The address's key signed the message; BIP322's "valid at time T and age S".
    Valid(Proof),
    /// The address's key signed the message, in a form that is not for this kind of address: not
    /// forged, and not valid either. Names the form: `bip137`, or as [`Form::as_str`] has it.
    AnotherForm(&'static str),
    /// The address's script cannot be judged here, or the signature is beyond the bounds of
    /// [`verify`]; BIP322's "inconclusive".
    Inconclusive,
    /// No signature of this message by this address.
    Invalid,
}

impl Verdict {
    /// Whether the address signed the message in a form that is for it.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }
}

/// A valid signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The name of its form, as [`Form::as_str`] has it; `bip322-proof-of-funds` besides.
    pub form: &'static str,
    /// From when on it holds: a height or, from 500,000,000 on, a Unix time; 0 for always.
    pub lock_time: u32,
    /// How old the address's coins must be, as an input's sequence says it (BIP68); 0 for any age.
    pub sequence: u32,
    /// The outputs that it was also signed with, in a proof of funds. Whether they exist and are
    /// unspent is not checked, nor that there are no others.
    pub funds: Vec<OutPoint>,
}

/// Judges a signature of a message by an address: BIP322's simple and full forms and its proof of
/// funds with their prefixes, the first two also without, as before its version 2; the older form
/// for P2PKH (BIP137). Any white space in the signature is passed over.
///
/// # Behavior
/// A signature of more than 4 MiB, and a proof of funds of more than 1,000 outputs, is
/// inconclusive: the work is bounded for every sender.
///
/// # Errors
/// `InvalidInput`: not an address, or of another network.
///
/// Source: BIP322, version 2.0.0; BIP137.
pub fn verify(
    address: &str,
    message: &str,
    signature: &str,
    network: Network,
) -> BitcoinResult<Verdict> {
    let address = read_address(address, network)?;
    if signature.len() > MAX_SIGNATURE_BYTES {
        return Ok(Verdict::Inconclusive);
    }
    let mut text = signature.to_owned();
    text.retain(|letter| !letter.is_ascii_whitespace());
    let named = [Form::Simple.prefix(), Form::Full.prefix(), PROOF_OF_FUNDS.0];
    let prefix = named.into_iter().find(|it| text.starts_with(it));
    let Ok(bytes) = STANDARD.decode(&text[prefix.map_or(0, str::len)..]) else {
        return Ok(Verdict::Invalid);
    };
    let asked = Asked { address, message };
    Ok(match prefix {
        Some(it) if it == Form::Simple.prefix() => asked.simple(&bytes, Form::Simple),
        Some(it) if it == Form::Full.prefix() => asked.full(&bytes, Form::Full),
        Some(_) => asked.proof_of_funds(&bytes),
        None => asked.without_prefix(&bytes),
    })
}

/// The address, which must be of this network.
pub(super) fn read_address(text: &str, network: Network) -> BitcoinResult<Address> {
    let parsed = Address::<NetworkUnchecked>::from_str(text.trim()).map_err(|cause| {
        fault::invalid("this is no Bitcoin address; check it for typing errors").with_source(cause)
    })?;
    parsed.require_network(network).map_err(|cause| {
        let message = format!(
            "the address belongs to another network than {}",
            btc_iface::types::network::name(network)
        );
        fault::invalid(message).with_source(cause)
    })
}

/// In base64: a standard transaction is a tenth of it; what a proof of funds brings along is more.
const MAX_SIGNATURE_BYTES: usize = 4 << 20;
/// Each coin's signature commits to all coins, so the work grows with the square of their number.
const MAX_FUNDS: usize = 1_000;
/// A signature by a key that BIP137 lets sign for segwit addresses too, and BIP322 does not.
const BIP137: &str = "bip137";
const OP_RETURN: &[u8] = &[0x6a];
/// Where a PSBT says which message it signs.
const MESSAGE_KEY: raw::Key = raw::Key {
    type_value: bip322::PSBT_GLOBAL_GENERIC_SIGNED_MESSAGE,
    key: Vec::new(),
};

/// What a look at a signature without its keys comes to.
enum Look {
    Done(Verdict),
    Judge,
}

/// What unlocks an output.
struct Unlocking {
    script_sig: ScriptBuf,
    witness: Witness,
}

impl Unlocking {
    fn of(input: &TxIn) -> Self {
        Self {
            script_sig: input.script_sig.clone(),
            witness: input.witness.clone(),
        }
    }

    fn finished(input: &Input) -> Self {
        Self {
            script_sig: input.final_script_sig.clone().unwrap_or_default(),
            witness: input.final_script_witness.clone().unwrap_or_default(),
        }
    }
}

/// The outputs that all inputs but the first spend. Nothing when one is not said or contradicts
/// itself. A transaction may be given once for all inputs that spend its outputs, by the first of
/// them; a coin from before segwit needs it, as its signature does not commit to what it is worth.
fn spent_outputs(psbt: &Psbt) -> Option<Vec<TxOut>> {
    let mut known = HashMap::new();
    let mut inputs = psbt.inputs.iter().zip(&psbt.unsigned_tx.input);
    inputs.next();
    inputs
        .map(|(input, spend)| {
            let outpoint = spend.previous_output;
            if let Some(previous) = &input.non_witness_utxo {
                if previous.compute_txid() != outpoint.txid {
                    return None;
                }
                known.insert(outpoint.txid, previous);
            }
            let claimed = input.witness_utxo.as_ref();
            let Some(previous) = known.get(&outpoint.txid) else {
                let witness = input.final_script_witness.as_ref();
                let is_segwit = witness.is_some_and(|it| !it.is_empty());
                return claimed.filter(|_| is_segwit).cloned();
            };
            let output = previous.output.get(usize::try_from(outpoint.vout).ok()?)?;
            let is_so = claimed.is_none_or(|it| it == output);
            is_so.then(|| output.clone())
        })
        .collect()
}

/// Who is said to have signed what.
struct Asked<'a> {
    address: Address,
    message: &'a str,
}

impl Asked<'_> {
    /// The forms of before, which can be told apart by their bytes.
    fn without_prefix(&self, bytes: &[u8]) -> Verdict {
        const COMPACT_BYTES: usize = 65;
        const PSBT: &[u8] = b"psbt\xff";
        if bytes.len() == COMPACT_BYTES {
            self.compact(bytes)
        } else if bytes.starts_with(PSBT) {
            self.proof_of_funds(bytes)
        } else if deserialize::<Witness>(bytes).is_ok() {
            self.simple(bytes, Form::SimpleUnprefixed)
        } else {
            self.full(bytes, Form::FullUnprefixed)
        }
    }

    fn simple(&self, bytes: &[u8], form: Form) -> Verdict {
        /// A signature and a key.
        const NESTED_ITEMS: usize = 2;
        let Ok(witness) = deserialize::<Witness>(bytes) else {
            return Verdict::Invalid;
        };
        let script = self.address.script_pubkey();
        let is_nested = script.is_p2sh();
        if is_nested && witness.len() != NESTED_ITEMS {
            return Verdict::Invalid;
        }
        if !is_understood(&script, Script::new(), &witness) {
            return Verdict::Inconclusive;
        }
        let judged = bip322::verify_simple(&self.address, self.message, witness);
        match verdict(&judged, form.as_str(), Vec::new()) {
            // Its version 2 has it for native segwit alone; before, wallets signed these so, too.
            Verdict::Valid(_) if is_nested && form == Form::Simple => {
                Verdict::AnotherForm(form.as_str())
            }
            other => other,
        }
    }

    fn full(&self, bytes: &[u8], form: Form) -> Verdict {
        let Ok(to_sign) = deserialize::<Transaction>(bytes) else {
            return Verdict::Invalid;
        };
        let inputs: Vec<_> = to_sign.input.iter().map(Unlocking::of).collect();
        match self.look_at(&to_sign, &inputs, &[]) {
            Look::Judge => {
                let judged = bip322::verify_full(&self.address, self.message, to_sign);
                verdict(&judged, form.as_str(), Vec::new())
            }
            Look::Done(verdict) => verdict,
        }
    }

    fn proof_of_funds(&self, bytes: &[u8]) -> Verdict {
        let Ok(mut psbt) = parse_psbt(bytes) else {
            return Verdict::Invalid;
        };
        if psbt.inputs.len() > MAX_FUNDS + 1 {
            return Verdict::Inconclusive;
        }
        let Some(spent) = spent_outputs(&psbt) else {
            return Verdict::Invalid;
        };
        // The library would hash a transaction again for each coin of it.
        for (input, output) in psbt.inputs.iter_mut().skip(1).zip(&spent) {
            input.non_witness_utxo = None;
            input.witness_utxo = Some(output.clone());
        }
        let inputs: Vec<_> = psbt.inputs.iter().map(Unlocking::finished).collect();
        match self.look_at(&psbt.unsigned_tx, &inputs, &spent) {
            Look::Judge => {
                let inputs = psbt.unsigned_tx.input.iter().skip(1);
                let funds = inputs.map(|input| input.previous_output).collect();
                // BIP322's own examples leave the message out, which the library asks for.
                let message = psbt.unknown.entry(MESSAGE_KEY);
                message.or_insert_with(|| self.message.as_bytes().to_vec());
                let judged = bip322::verify_pof(&self.address, self.message, psbt);
                verdict(&judged, PROOF_OF_FUNDS.1, funds)
            }
            Look::Done(verdict) => verdict,
        }
    }

    /// BIP322's basic validation, and whether the scripts are understood. `spent` are the further
    /// inputs' outputs.
    fn look_at(&self, to_sign: &Transaction, inputs: &[Unlocking], spent: &[TxOut]) -> Look {
        let Ok(to_spend) = bip322::create_to_spend(&self.address, self.message) else {
            return Look::Done(Verdict::Invalid);
        };
        let challenge = OutPoint::new(to_spend.compute_txid(), 0);
        let first = to_sign.input.first();
        let is_first = first.is_some_and(|it| it.previous_output == challenge);
        let pays = matches!(to_sign.output.as_slice(), [output]
            if output.value == Amount::ZERO && output.script_pubkey.as_bytes() == OP_RETURN);
        if !is_first || !pays || inputs.len() != spent.len() + 1 {
            return Look::Done(Verdict::Invalid);
        }
        let own = self.address.script_pubkey();
        let further = spent.iter().map(|it| &it.script_pubkey);
        for (script, input) in iter::once(&own).chain(further).zip(inputs) {
            // No node would take it, and the library does.
            if script.is_p2sh() && input.script_sig.is_empty() {
                return Look::Done(Verdict::Invalid);
            }
            if !is_understood(script, &input.script_sig, &input.witness) {
                return Look::Done(Verdict::Inconclusive);
            }
        }
        Look::Judge
    }

    /// The older form, of which the key follows: one byte of flags, and the signature.
    fn compact(&self, bytes: &[u8]) -> Verdict {
        /// Of P2PKH, uncompressed and compressed; above follow nested and native segwit (BIP137).
        const P2PKH: std::ops::RangeInclusive<u8> = 27..=34;
        const ANY: std::ops::RangeInclusive<u8> = 27..=42;
        let flags = bytes[0];
        if !ANY.contains(&flags) {
            return Verdict::Invalid;
        }
        let recovered = MessageSignature::from_slice(bytes)
            .and_then(|it| it.recover_pubkey(&SECP, signed_msg_hash(self.message)));
        let Ok(key) = recovered else {
            return Verdict::Invalid;
        };
        let wanted = self.address.script_pubkey();
        if P2PKH.contains(&flags) && wanted == ScriptBuf::new_p2pkh(&key.pubkey_hash()) {
            return Verdict::Valid(Proof {
                form: Form::Legacy.as_str(),
                lock_time: 0,
                sequence: 0,
                funds: Vec::new(),
            });
        }
        if scripts_of(key).contains(&wanted) {
            return Verdict::AnotherForm(BIP137);
        }
        Verdict::Invalid
    }
}

/// The scripts that one key alone unlocks.
fn scripts_of(key: PublicKey) -> Vec<ScriptBuf> {
    let (short, long) = (
        PublicKey::new(key.inner),
        PublicKey::new_uncompressed(key.inner),
    );
    let mut scripts = vec![
        ScriptBuf::new_p2pkh(&short.pubkey_hash()),
        ScriptBuf::new_p2pkh(&long.pubkey_hash()),
        ScriptBuf::new_p2tr(&SECP, key.inner.x_only_public_key().0, None),
    ];
    if let Ok(hash) = short.wpubkey_hash() {
        let native = ScriptBuf::new_p2wpkh(&hash);
        scripts.push(ScriptBuf::new_p2sh(&native.script_hash()));
        scripts.push(native);
    }
    scripts
}

fn verdict(
    judged: &Result<Verification, bip322::Error>,
    form: &'static str,
    funds: Vec<OutPoint>,
) -> Verdict {
    match judged {
        Ok(Verification::Valid { time, age }) => Verdict::Valid(Proof {
            form,
            lock_time: time.to_consensus_u32(),
            sequence: age.to_consensus_u32(),
            funds,
        }),
        Ok(Verification::Inconclusive) => Verdict::Inconclusive,
        Err(_) => Verdict::Invalid,
    }
}
