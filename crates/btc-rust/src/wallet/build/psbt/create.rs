//! From a draft to a PSBT with everything a signer needs.

use bdk_chain::miniscript::psbt::{PsbtInputExt, PsbtOutputExt};
use bdk_chain::miniscript::{DefiniteDescriptorKey, Descriptor};
use bitcoin::{Amount, Psbt, Transaction, TxOut, Txid, psbt};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, Chain, ErrorKind, Operation, SnapshotCoin,
};

use super::super::draft::Draft;
use super::super::{internal, wrong};
use crate::wallet::keys::{Keychain, Keyring};

/// Turns a draft into a PSBT (BIP174, version 0).
///
/// # Behavior
/// - Each input carries the output it spends (`witness_utxo`, for segwit), the scripts and the
///   public keys with their origins from the descriptors (BIP371 fields for taproot), and unless
///   it is taproot the previous transaction, which `previous` looks up: a P2PKH signature does not
///   commit to amounts, and one of segwit version 0 to its own only.
/// - The change output carries its origins, so that a signer can tell it from a payment.
///
/// # Errors
/// `NotFound`: no previous transaction for a P2PKH input; without one, inputs of segwit version 0
/// go without. `Internal`: a previous transaction is not what the draft was made of. Those of
/// `previous`.
pub fn to_psbt(
    draft: &Draft,
    keyring: &Keyring,
    mut previous: impl FnMut(Txid) -> BitcoinResult<Option<Transaction>>,
) -> BitcoinResult<Psbt> {
    let mut psbt = Psbt::from_unsigned_tx(draft.transaction.clone())
        .map_err(|cause| internal("the draft is signed already").with_source(cause))?;
    if psbt.inputs.len() != draft.inputs.len() {
        return Err(internal("the draft's coins are not those of its inputs"));
    }
    for (input, coin) in psbt.inputs.iter_mut().zip(&draft.inputs) {
        describe_input(input, coin, keyring, &mut previous)?;
    }
    if let Some(change) = draft.change {
        let output = psbt
            .outputs
            .get_mut(change.vout as usize)
            .ok_or_else(|| internal("the draft has no such change output"))?;
        let keychain = (change.address_type, Chain::Change);
        output
            .update_with_descriptor_unchecked(&definite(keyring, keychain, change.index)?)
            .map_err(no_key)?;
    }
    Ok(psbt)
}

fn describe_input(
    input: &mut psbt::Input,
    coin: &SnapshotCoin,
    keyring: &Keyring,
    previous: &mut impl FnMut(Txid) -> BitcoinResult<Option<Transaction>>,
) -> BitcoinResult<()> {
    let keychain = (coin.address_type, coin.chain);
    let descriptor = definite(keyring, keychain, coin.index)?;
    let spent = TxOut {
        value: Amount::from_sat(coin.value_sat),
        script_pubkey: descriptor.script_pubkey(),
    };
    input
        .update_with_descriptor_unchecked(&descriptor)
        .map_err(no_key)?;
    if coin.address_type != AddressType::P2tr {
        input.non_witness_utxo = previous_transaction(coin, &spent, previous)?;
    }
    if coin.address_type != AddressType::P2pkh {
        input.witness_utxo = Some(spent);
    } else if input.non_witness_utxo.is_none() {
        let message = "the transaction that paid a P2PKH coin is not at hand; sync the wallet";
        return Err(
            BitcoinError::new(ErrorKind::NotFound, Operation::CreateTransaction, message)
                .with_context("txid", coin.outpoint.txid),
        );
    }
    Ok(())
}

fn previous_transaction(
    coin: &SnapshotCoin,
    spent: &TxOut,
    previous: &mut impl FnMut(Txid) -> BitcoinResult<Option<Transaction>>,
) -> BitcoinResult<Option<Transaction>> {
    let Some(transaction) = previous(coin.outpoint.txid)? else {
        return Ok(None);
    };
    let output = transaction.output.get(coin.outpoint.vout as usize);
    if transaction.compute_txid() != coin.outpoint.txid || output != Some(spent) {
        return Err(
            internal("the transaction that paid a coin is not the one in the books")
                .with_context("outpoint", coin.outpoint),
        );
    }
    Ok(Some(transaction))
}

/// The descriptor of one script, with the origins of its keys.
fn definite(
    keyring: &Keyring,
    keychain: Keychain,
    index: u32,
) -> BitcoinResult<Descriptor<DefiniteDescriptorKey>> {
    let descriptor = keyring
        .descriptor(keychain)
        .map_err(|error| error.during(Operation::CreateTransaction))?;
    descriptor
        .at_derivation_index(index)
        .map_err(|cause| wrong("an index is below 2147483648").with_source(cause))
}

fn no_key(cause: impl std::error::Error + Send + Sync + 'static) -> BitcoinError {
    internal("the descriptor has no key at this index").with_source(cause)
}
