//! Whether an unconfirmed transaction that spends the wallet's coins was signed by their keys.
//!
//! A server can make up unconfirmed transactions. One that spends a coin of the wallet's would
//! make the coin, or a payment that spends it, look lost.

use std::collections::HashSet;

use bdk_chain::miniscript::interpreter::Interpreter;
use bitcoin::script::Instruction;
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::sighash::Prevouts;
use bitcoin::{OutPoint, Script, Transaction, TxOut};

/// Whether each of these coins that the transaction spends is spent with its key's signature.
/// `spent` has the output of each input. Scripts with more than one key are not judged.
pub(super) fn is_signed(
    secp: &Secp256k1<VerifyOnly>,
    transaction: &Transaction,
    spent: &[TxOut],
    owned: &HashSet<OutPoint>,
) -> bool {
    let inputs = transaction.input.iter().zip(spent).enumerate();
    inputs
        .filter(|(_, (input, _))| owned.contains(&input.previous_output))
        .filter(|(_, (input, output))| has_one_key(&output.script_pubkey, &input.script_sig))
        .all(|(at, (input, output))| {
            let interpreter = Interpreter::from_txdata(
                &output.script_pubkey,
                &input.script_sig,
                &input.witness,
                input.sequence,
                transaction.lock_time,
            );
            interpreter.is_ok_and(|interpreter| {
                let prevouts = Prevouts::All(spent);
                let mut satisfied = interpreter
                    .iter(secp, transaction, at, &prevouts)
                    .peekable();
                satisfied.peek().is_some() && satisfied.all(|condition| condition.is_ok())
            })
        })
}

/// P2PKH, P2WPKH, P2TR, and P2WPKH in P2SH; also P2SH whose script is not shown.
fn has_one_key(script: &Script, script_sig: &Script) -> bool {
    if !script.is_p2sh() {
        return script.is_p2pkh() || script.is_p2wpkh() || script.is_p2tr();
    }
    let shown = match script_sig.instructions().last() {
        Some(Ok(Instruction::PushBytes(bytes))) => Script::from_bytes(bytes.as_bytes()),
        _ => Script::new(),
    };
    shown.is_p2wpkh() || shown.to_p2sh() != *script
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, BlockHash, Network, Txid};
    use btc_iface::{AddressType, BlockRef, Chain, FeeRate, SnapshotCoin, WalletSnapshot};

    use super::*;
    use crate::wallet::build;
    use crate::wallet::keys::{Keyring, Signer};

    const WORDS: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    /// A payment from one coin of each of these types, and what it spends.
    fn payment(types: &[AddressType]) -> (Transaction, Vec<TxOut>) {
        let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
        let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own accounts");
        let coins = (0..).zip(types).map(|(vout, address_type)| SnapshotCoin {
            outpoint: OutPoint::new(Txid::from_byte_array([vout; 32]), vout.into()),
            value_sat: 50_000,
            address_type: *address_type,
            chain: Chain::Receive,
            index: vout.into(),
        });
        let snapshot = WalletSnapshot {
            tip: BlockRef {
                height: 100,
                hash: BlockHash::all_zeros(),
            },
            coins: coins.collect(),
            change_type: AddressType::P2wpkh,
            change_index: 0,
            pending: Vec::new(),
        };
        let to = keyring.address((AddressType::P2tr, Chain::Receive), 9);
        let to = vec![(
            to.expect("a small index").address,
            45_000 * types.len() as u64,
        )];
        let any_rate = FeeRate::from_sat_per_kvb(u64::MAX);
        let draft = build::plan(&keyring, &snapshot, &to, 1, any_rate).expect("enough coins");
        let transaction = build::sign(&draft, &keyring, &signer).expect("own coins");
        let spent = draft.inputs.iter().map(|coin| TxOut {
            value: Amount::from_sat(coin.value_sat),
            script_pubkey: keyring
                .script((coin.address_type, coin.chain), coin.index)
                .expect("a small index"),
        });
        (transaction, spent.collect())
    }

    fn judge(transaction: &Transaction, spent: &[TxOut]) -> bool {
        let inputs = transaction.input.iter();
        let owned = inputs.map(|input| input.previous_output).collect();
        is_signed(&Secp256k1::verification_only(), transaction, spent, &owned)
    }

    #[test]
    fn own_payments_of_every_type_are_signed() {
        for address_type in AddressType::ALL {
            let (transaction, spent) = payment(&[address_type]);
            assert!(judge(&transaction, &spent), "{address_type}");
        }
        let (transaction, spent) = payment(&AddressType::ALL);
        assert!(judge(&transaction, &spent));
    }

    #[test]
    fn a_signature_counts_for_its_transaction_and_its_amount_alone() {
        for address_type in AddressType::ALL {
            let (transaction, spent) = payment(&[address_type]);
            let mut changed = transaction.clone();
            changed.output[0].value -= Amount::ONE_SAT;
            assert!(!judge(&changed, &spent), "{address_type}");
            let mut unsigned = transaction.clone();
            unsigned.input[0].witness.clear();
            if address_type == AddressType::P2pkh {
                unsigned.input[0].script_sig = bitcoin::ScriptBuf::new();
                assert!(!judge(&unsigned, &spent));
                continue;
            }
            assert!(!judge(&unsigned, &spent), "{address_type}");
            let mut other = spent.clone();
            other[0].value += Amount::ONE_SAT;
            assert!(!judge(&transaction, &other), "{address_type}");
        }
        // A script that is not the coin's own shows nothing.
        let (mut transaction, spent) = payment(&[AddressType::P2shP2wpkh]);
        for shown in [vec![], vec![1, 0x51], vec![0x51]] {
            transaction.input[0].script_sig = bitcoin::ScriptBuf::from_bytes(shown);
            assert!(!judge(&transaction, &spent));
        }
        // What others have signed, or not, is theirs.
        let (mut transaction, spent) = payment(&[AddressType::P2wpkh]);
        transaction.input[0].witness.clear();
        let secp = Secp256k1::verification_only();
        assert!(is_signed(&secp, &transaction, &spent, &HashSet::new()));
    }
}
