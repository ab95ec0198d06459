//! What an honest small wallet answers: addresses, coins, plans and checks.

use btc_iface::rust_bitcoin::consensus::encode;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{
    Address, Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    WPubkeyHash, Witness, Wtxid, absolute, transaction,
};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinResult, BitcoinTransaction, BlockRef, BroadcastCheck,
    BroadcastVerdict, Chain, ErrorKind, Network, Operation, PlannedTransaction, SnapshotCoin,
    TransactionInput, TransactionOutput, WalletBalance, WalletSnapshot, WalletState,
};

use crate::double::failure;

/// The honest address at this index.
pub(super) fn address(network: Network, address_type: AddressType, index: u32) -> BitcoinAddress {
    let mut hash = [address_type as u8; 20];
    hash[..4].copy_from_slice(&index.to_le_bytes());
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(hash));
    let address = Address::from_script(&script_pubkey, network).expect("a witness program");
    BitcoinAddress {
        address: address.to_string(),
        address_type,
        network,
        script_pubkey,
        index: Some(index),
    }
}

/// A payment to somebody else, in satoshi.
pub(super) fn payment(value_sat: u64) -> Vec<(String, u64)> {
    let recipient = address(Network::Regtest, AddressType::P2wpkh, 900);
    vec![(recipient.address, value_sat)]
}

/// The block of this height.
pub(super) fn block(height: u32) -> BlockRef {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&height.to_le_bytes());
    BlockRef {
        height,
        hash: BlockHash::from_byte_array(hash),
    }
}

/// The outpoint of the honest wallet's coin with this number, 0 to 2.
pub(super) fn coin(number: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([number; 32]), u32::from(number))
}

/// What both wallets own: 50,000, 40,000 and 30,000 satoshi at height 100.
pub(super) fn snapshot() -> WalletSnapshot {
    let coin = |number| SnapshotCoin {
        outpoint: coin(number),
        value_sat: 50_000 - 10_000 * u64::from(number),
        address_type: AddressType::P2wpkh,
        chain: Chain::Receive,
        index: u32::from(number),
    };
    WalletSnapshot {
        tip: block(100),
        pending: Vec::new(),
        coins: (0..3).map(coin).collect(),
        change_type: AddressType::P2wpkh,
        change_index: 3,
    }
}

/// The same as a state.
pub(super) fn state() -> WalletState {
    let coins = snapshot().coins.into_iter();
    let coins: Vec<_> = coins.map(|coin| (coin.outpoint, coin.value_sat)).collect();
    WalletState {
        tip: snapshot().tip,
        balance: WalletBalance {
            confirmed_sat: coins.iter().map(|(_, value_sat)| value_sat).sum(),
            ..WalletBalance::default()
        },
        coins,
    }
}

/// The honest plan: coins in their order, change last.
pub(super) fn plan(
    outputs: &[(String, u64)],
    fee_rate: u64,
    snapshot: &WalletSnapshot,
) -> BitcoinResult<PlannedTransaction> {
    let operation = Operation::CreateTransaction;
    if outputs.is_empty() || fee_rate == 0 {
        return Err(failure(operation, ErrorKind::InvalidInput));
    }
    let mut paid = Vec::new();
    for (address, value_sat) in outputs {
        let address = address
            .parse::<Address<_>>()
            .ok()
            .and_then(|address| address.require_network(Network::Regtest).ok())
            .ok_or_else(|| failure(operation, ErrorKind::InvalidInput))?;
        paid.push(TransactionOutput {
            value_sat: *value_sat,
            script_pubkey: address.script_pubkey(),
        });
    }
    let total_sat: u64 = paid.iter().map(|output| output.value_sat).sum();
    let (mut inputs, mut in_sat) = (Vec::new(), 0);
    for coin in &snapshot.coins {
        in_sat += coin.value_sat;
        inputs.push(TransactionInput {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: 0xffff_fffd,
            witness: Witness::from_slice(&[vec![0x30; 71], vec![0x02; 33]]),
        });
        let fee_sat = fee_rate * (42 + 31 * paid.len() as u64 + 68 * inputs.len() as u64);
        let Some(change_sat) = in_sat.checked_sub(total_sat + fee_sat) else {
            continue;
        };
        paid.push(TransactionOutput {
            value_sat: change_sat,
            script_pubkey: address(
                Network::Regtest,
                snapshot.change_type,
                snapshot.change_index,
            )
            .script_pubkey,
        });
        let mut transaction = BitcoinTransaction {
            txid: Txid::all_zeros(),
            wtxid: Wtxid::all_zeros(),
            version: 2,
            lock_time: snapshot.tip.height,
            inputs,
            outputs: paid,
            size: 0,
            weight: 0,
            fee_sat: Some(fee_sat),
            block_hash: None,
            block_height: None,
        };
        seal(&mut transaction);
        return Ok(PlannedTransaction {
            transaction,
            tip: snapshot.tip,
            unknown_coins: Vec::new(),
        });
    }
    Err(failure(operation, ErrorKind::Rejected))
}

/// Computes what follows from the content.
pub(super) fn seal(plain: &mut BitcoinTransaction) {
    let input = plain.inputs.iter().map(|input| TxIn {
        previous_output: input.previous_output,
        script_sig: input.script_sig.clone(),
        sequence: Sequence(input.sequence),
        witness: input.witness.clone(),
    });
    let output = plain.outputs.iter().map(|output| TxOut {
        value: Amount::from_sat(output.value_sat),
        script_pubkey: output.script_pubkey.clone(),
    });
    let assembled = Transaction {
        version: transaction::Version(plain.version),
        lock_time: absolute::LockTime::from_consensus(plain.lock_time),
        input: input.collect(),
        output: output.collect(),
    };
    plain.txid = assembled.compute_txid();
    plain.wtxid = assembled.compute_wtxid();
    plain.size = u32::try_from(assembled.total_size()).expect("small");
    plain.weight = u32::try_from(assembled.weight().to_wu()).expect("small");
}

/// The honest check of bytes about which the node says this.
pub(super) fn check(
    bytes: &[u8],
    verdict: BroadcastVerdict,
    reason: Option<&str>,
) -> BitcoinResult<BroadcastCheck> {
    let decoded: Transaction = encode::deserialize(bytes)
        .map_err(|_| failure(Operation::BroadcastTransaction, ErrorKind::InvalidInput))?;
    Ok(BroadcastCheck {
        txid: decoded.compute_txid(),
        wtxid: decoded.compute_wtxid(),
        verdict,
        reason: reason.map(str::to_owned),
    })
}
