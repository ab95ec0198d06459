//! A payment from 10,000 coins, planned and signed, against bdk_wallet.

use std::hint::black_box;
use std::sync::Arc;

use bdk_chain::{BlockId, CheckPoint, ConfirmationBlockTime};
use bdk_wallet::coin_selection::{
    CoinSelectionAlgorithm, DefaultCoinSelectionAlgorithm, LargestFirstCoinSelection,
};
use bdk_wallet::keys::bip39::Mnemonic;
use bdk_wallet::{KeychainKind, SignOptions, Update, Wallet};
use bitcoin::bip32::Xpriv;
use bitcoin::hashes::Hash;
use bitcoin::secp256k1::rand::thread_rng;
use bitcoin::{
    Address, Amount, BlockHash, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Txid, Witness, absolute, constants, transaction,
};
use btc_iface::{
    AddressType, BlockRef, Chain, CoinSelection, CoinState, Recipient, SnapshotCoin,
    TransactionRequest, WalletSnapshot,
};
use btc_rust::wallet::build::{
    Candidate, ChangePlace, DEFAULT_MAX_FEE_RATE, Funds, deterministic_order, draft_request, plan,
    sign,
};
use btc_rust::wallet::keys::{Keyring, Signer};
use criterion::Criterion;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
const COINS: u32 = 10_000;
const OUTPUTS_PER_TRANSACTION: u32 = 100;
const ADDRESSES: u32 = 1_000;
const TIP_HEIGHT: u32 = 1_000;
const FEE_RATE: u64 = 5;
/// Takes a few of the largest coins.
const PAID_SAT: u64 = 5_000_000;

/// The transactions that paid the wallet, and the coins in them, in no order of value.
fn history(keyring: &Keyring) -> (Vec<Transaction>, Vec<SnapshotCoin>) {
    let scripts: Vec<ScriptBuf> = (0..ADDRESSES)
        .map(|index| {
            keyring
                .script((AddressType::P2wpkh, Chain::Receive), index)
                .expect("a small index")
        })
        .collect();
    let mut transactions = Vec::new();
    let mut coins = Vec::new();
    for number in 0..COINS / OUTPUTS_PER_TRANSACTION {
        let first = number * OUTPUTS_PER_TRANSACTION;
        let value = |vout: u32| 10_000 + u64::from((first + vout) * 7_919 % COINS) * 100;
        let index = |vout: u32| (first + vout) % ADDRESSES;
        let transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(Txid::hash(&number.to_le_bytes()), 0),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: (0..OUTPUTS_PER_TRANSACTION)
                .map(|vout| TxOut {
                    value: Amount::from_sat(value(vout)),
                    script_pubkey: scripts[index(vout) as usize].clone(),
                })
                .collect(),
        };
        let txid = transaction.compute_txid();
        coins.extend((0..OUTPUTS_PER_TRANSACTION).map(|vout| SnapshotCoin {
            outpoint: OutPoint { txid, vout },
            value_sat: value(vout),
            address_type: AddressType::P2wpkh,
            chain: Chain::Receive,
            index: index(vout),
        }));
        transactions.push(transaction);
    }
    (transactions, coins)
}

/// The same wallet in bdk_wallet, with all coins confirmed.
fn bdk_wallet(transactions: Vec<Transaction>) -> Wallet {
    let mnemonic = Mnemonic::parse(WORDS).expect("right words");
    let master = Xpriv::new_master(Network::Regtest, &mnemonic.to_seed("")).expect("a key");
    let descriptor = |branch: u32| format!("wpkh({master}/84'/1'/0'/{branch}/*)");
    let mut wallet = Wallet::create(descriptor(0), descriptor(1))
        .network(Network::Regtest)
        .create_wallet_no_persist()
        .expect("right descriptors");
    let genesis = BlockId {
        height: 0,
        hash: constants::genesis_block(Network::Regtest).block_hash(),
    };
    let block = |height: u32| BlockId {
        height,
        hash: BlockHash::hash(&height.to_le_bytes()),
    };
    let tip = block(TIP_HEIGHT);
    let mut update = Update::default();
    update
        .last_active_indices
        .insert(KeychainKind::External, ADDRESSES);
    let blocks = [genesis, block(TIP_HEIGHT / 2), tip];
    update.chain = CheckPoint::from_block_ids(blocks).ok();
    let anchor = ConfirmationBlockTime {
        block_id: blocks[1],
        confirmation_time: 100,
    };
    for transaction in transactions {
        let txid = transaction.compute_txid();
        update.tx_update.anchors.insert((anchor, txid));
        update.tx_update.txs.push(Arc::new(transaction));
    }
    wallet.apply_update(update).expect("from genesis on");
    assert_eq!(wallet.list_unspent().count(), COINS as usize);
    wallet
}

// Deprecated in favour of signers that its users write; it is how its users sign so far.
#[expect(deprecated)]
fn bdk_payment(
    wallet: &mut Wallet,
    selection: impl CoinSelectionAlgorithm,
    script: &ScriptBuf,
) -> Transaction {
    let mut builder = wallet.build_tx().coin_selection(selection);
    builder
        .add_recipient(script.clone(), Amount::from_sat(PAID_SAT))
        .fee_rate(FeeRate::from_sat_per_vb(FEE_RATE).expect("a small rate"));
    let mut psbt = builder.finish().expect("enough coins");
    let is_final = wallet.sign(&mut psbt, SignOptions::default());
    assert!(is_final.expect("own coins"));
    psbt.extract_tx().expect("a common fee")
}

fn main() {
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    let (transactions, coins) = history(&keyring);
    let script = keyring
        .script((AddressType::P2tr, Chain::Receive), 0)
        .expect("a small index");
    let address = Address::from_script(&script, Network::Regtest)
        .expect("taproot has an address")
        .to_string();
    let outputs = [(address.clone(), PAID_SAT)];
    let unordered = WalletSnapshot {
        tip: BlockRef {
            height: TIP_HEIGHT,
            hash: BlockHash::all_zeros(),
        },
        coins: coins.clone(),
        pending: Vec::new(),
        change_type: AddressType::P2wpkh,
        change_index: 0,
    };
    let mut ordered = unordered.clone();
    ordered.coins.sort_by(deterministic_order);
    let candidates: Vec<Candidate> = coins
        .iter()
        .map(|coin| Candidate {
            coin: *coin,
            state: CoinState::Confirmed,
            height: Some(TIP_HEIGHT / 2),
            hold: None,
        })
        .collect();
    let request = TransactionRequest {
        recipients: vec![Recipient {
            address,
            value_sat: PAID_SAT,
        }],
        fee_rate: btc_iface::FeeRate::from_sat_per_vb(FEE_RATE),
        ..TransactionRequest::default()
    };
    let change = ChangePlace {
        address_type: AddressType::P2wpkh,
        index: 0,
    };
    let funds = Funds {
        coins: &candidates,
        pending: &[],
        tip_height: TIP_HEIGHT,
        change,
        max_rate: DEFAULT_MAX_FEE_RATE,
    };
    let mut wallet = bdk_wallet(transactions);

    let planned = |snapshot: &WalletSnapshot| {
        let draft = plan(&keyring, snapshot, &outputs, FEE_RATE, DEFAULT_MAX_FEE_RATE)
            .expect("enough coins");
        sign(&draft, &keyring, &signer).expect("own coins")
    };
    let drafted = || {
        let default = CoinSelection::BranchAndBound;
        let mut rng = thread_rng();
        let draft = draft_request(&keyring, &funds, &request, default, &mut rng);
        sign(&draft.expect("enough coins"), &keyring, &signer).expect("own coins")
    };
    // Both do the same work: as many coins, and the same ones where nothing is drawn.
    let count = planned(&ordered).input.len();
    let theirs = bdk_payment(&mut wallet, LargestFirstCoinSelection, &script);
    assert_eq!(
        (count, planned(&unordered)),
        (theirs.input.len(), planned(&ordered))
    );

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a payment from 10,000 coins");
    group.sample_size(20);
    group.bench_function("largest first, coins in order", |bencher| {
        bencher.iter(|| planned(black_box(&ordered)));
    });
    group.bench_function("largest first, coins in no order", |bencher| {
        bencher.iter(|| planned(black_box(&unordered)));
    });
    group.bench_function("largest first, bdk_wallet", |bencher| {
        bencher.iter(|| bdk_payment(&mut wallet, LargestFirstCoinSelection, &script));
    });
    group.bench_function("branch and bound", |bencher| bencher.iter(drafted));
    group.bench_function("branch and bound, bdk_wallet", |bencher| {
        bencher.iter(|| {
            let selection = DefaultCoinSelectionAlgorithm::default();
            bdk_payment(&mut wallet, selection, &script)
        });
    });
    group.finish();
    criterion.final_summary();
}
