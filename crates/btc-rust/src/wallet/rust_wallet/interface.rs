//! `WalletInterface` for `RustWallet`.

use bitcoin::secp256k1::rand::thread_rng;
use bitcoin::{Address, OutPoint, Psbt, Transaction, Txid};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinResult, BitcoinTransaction, Chain, Coin,
    ErrorKind, FeeRate, HistoryEntry, Label, LabelKind, Operation, SignedMessage,
    TransactionRequest, WalletBalance, WalletInterface,
};

use super::RustWallet;
use super::family::pending_for;
use super::fee_bump::Raise;
use super::operations::candidate;
use crate::wallet::build::{self, ChangePlace, Draft, Funds};
use crate::wallet::ledger::{Ledger, View};
use crate::wallet::reservations::{self, Booking};
use crate::wallet::source::Relatives;
use crate::wallet::{labels, message};

impl RustWallet {
    /// Drafts a request on the coins of the moment. `others` are those whose coins it names, from
    /// [`named_relatives`](Self::named_relatives).
    pub(super) fn draft_request(
        &self,
        ledger: &Ledger,
        view: &View,
        booking: &Booking<'_>,
        request: &TransactionRequest,
        others: &[Relatives],
    ) -> BitcoinResult<Draft> {
        let reserved = booking.reserved()?;
        let candidates: Vec<_> = view
            .coins
            .iter()
            .map(|coin| candidate(coin, view, reserved.get(&coin.outpoint)))
            .collect();
        let funds = Funds {
            coins: &candidates,
            pending: &pending_for(ledger, view, others),
            tip_height: view.tip.height,
            change: self.change_place(ledger, booking)?,
            max_rate: self.max_fee_rate,
        };
        let selection = self.selection;
        let draft = build::draft_request(
            self.keyring(),
            &funds,
            request,
            selection,
            &mut thread_rng(),
        )?;
        self.check_change(ledger, &draft)?;
        Ok(draft)
    }

    pub(super) fn change_place(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
    ) -> BitcoinResult<ChangePlace> {
        let address_type = self.folder.file().change_type;
        let next = booking.next_index((address_type, Chain::Change))?;
        let promised = booking.reserved_change(address_type)?;
        Ok(ChangePlace {
            address_type,
            index: Self::change_index(ledger, address_type, next, promised),
        })
    }

    pub(super) fn to_psbt(&self, ledger: &Ledger, draft: &Draft) -> BitcoinResult<Psbt> {
        build::to_psbt(draft, self.keyring(), |txid| {
            let known = ledger.transaction(txid);
            Ok(known.map(|known| Transaction::clone(&known.transaction)))
        })
    }

    fn sign_with(&self, ledger: &Ledger, psbt: &mut Psbt) -> BitcoinResult<usize> {
        build::sign_psbt(
            psbt,
            self.signer()?,
            |script| ledger.index_of(&script.to_owned()),
            |outpoint| {
                let known = ledger.transaction(outpoint.txid)?;
                let output = known.transaction.output.get(outpoint.vout as usize);
                output.cloned()
            },
        )
    }

    /// Signs a message as [`WalletInterface::sign_message`] does, in a form of the caller's choice.
    ///
    /// # Errors
    /// As there, and `InvalidInput`: a form that is not for this type of address.
    pub fn sign_message_in(
        &self,
        address: &str,
        text: &str,
        form: Option<message::Form>,
    ) -> BitcoinResult<SignedMessage> {
        let script = build::parse_address(self.network(), address)
            .map_err(|error| error.during(Operation::Wallet))?;
        let found = self.ledger().index_of(&script);
        let (keychain, index) = found.ok_or_else(|| {
            not_found("the address is not the wallet's, or beyond those it watches")
        })?;
        message::sign(self.signer()?, self.keyring(), keychain, index, text, form)
    }

    /// Signs what the wallet has built itself, unless it only watches.
    pub(super) fn sign_own(&self, ledger: &Ledger, psbt: &mut Psbt) -> BitcoinResult<()> {
        if self.signer.is_some() {
            self.sign_with(ledger, psbt)?;
        }
        Ok(())
    }
}

impl WalletInterface for RustWallet {
    fn sync(&self) -> BitcoinResult<u32> {
        let height = self.follow()?.height;
        self.keep_payments();
        Ok(height)
    }

    fn balance(&self) -> BitcoinResult<WalletBalance> {
        Ok(self.published().view.balance)
    }

    fn unspent(&self) -> BitcoinResult<Vec<Coin>> {
        let view = self.published().view;
        let mut ledger = self.ledger();
        let connection = ledger.store().connection();
        let of_coins = labels::texts_of(connection, LabelKind::Output)?;
        let of_addresses = labels::texts_of(connection, LabelKind::Addr)?;
        drop(ledger);
        let reserved = self.reservations().reserved(reservations::now_ms())?;
        let network = self.keyring().network();
        view.coins
            .iter()
            .map(|coin| {
                // Deriving it again would take most of the time.
                let address = Address::from_script(&coin.script_pubkey, network);
                let address = address.map_err(|cause| {
                    let message = "a coin of the wallet has a script without an address";
                    BitcoinError::new(ErrorKind::Internal, Operation::Wallet, message)
                        .with_source(cause)
                })?;
                let address = address.to_string();
                let of_coin = (!of_coins.is_empty())
                    .then(|| of_coins.get(&coin.outpoint.to_string()))
                    .flatten();
                let label = of_coin.or_else(|| of_addresses.get(&address)).cloned();
                let reservation = reserved.get(&coin.outpoint);
                let payment = view.held.get(&coin.outpoint).map(ToString::to_string);
                Ok(Coin {
                    outpoint: coin.outpoint,
                    value_sat: coin.value_sat,
                    script_pubkey: coin.script_pubkey.clone(),
                    address,
                    address_type: coin.keychain.0,
                    chain: coin.keychain.1,
                    index: coin.index,
                    state: coin.state,
                    block: coin.block,
                    label,
                    reserved_for: payment.or_else(|| reservation.map(|it| it.reason.clone())),
                    reserved_until_ms: reservation.and_then(|it| it.until_ms),
                })
            })
            .collect()
    }

    fn history(&self) -> BitcoinResult<Vec<HistoryEntry>> {
        let mut ledger = self.settled_ledger();
        let mut entries = ledger.history();
        let connection = ledger.store().connection();
        let mut texts = labels::texts_of(connection, LabelKind::Tx)?;
        for entry in &mut entries {
            entry.label = texts.remove(&entry.txid.to_string());
        }
        Ok(entries)
    }

    fn addresses(&self, address_type: AddressType) -> BitcoinResult<Vec<(BitcoinAddress, bool)>> {
        let keychain = (address_type, Chain::Receive);
        if self.keyring().descriptor(keychain).is_err() {
            return Ok(Vec::new());
        }
        let ledger = self.ledger();
        let next = self.reservations().next_index(keychain)?;
        (0..Self::fresh_index(&ledger, keychain, next))
            .map(|index| {
                let address = self.keyring().address(keychain, index)?;
                Ok((address, ledger.is_used(keychain, index)))
            })
            .collect()
    }

    fn verify_address(&self, address: &str) -> BitcoinResult<Option<BitcoinAddress>> {
        let script = build::parse_address(self.network(), address)
            .map_err(|error| error.during(Operation::Wallet))?;
        let found = self.ledger().index_of(&script);
        found
            .map(|(keychain, index)| self.keyring().address(keychain, index))
            .transpose()
    }

    fn create_psbt(&self, request: &TransactionRequest) -> BitcoinResult<Psbt> {
        let others = self.named_relatives(&self.published().view, request)?;
        let mut ledger = self.ledger();
        let (_, psbt) = self.book(&mut ledger, |ledger, view, booking| {
            let draft = self.draft_request(ledger, view, booking, request, &others)?;
            let psbt = self.to_psbt(ledger, &draft)?;
            Ok((draft, psbt))
        })?;
        Ok(psbt)
    }

    fn preview(&self, request: &TransactionRequest) -> BitcoinResult<Psbt> {
        let others = self.named_relatives(&self.published().view, request)?;
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        let draft = self.draft_request(&ledger, &view, &booking, request, &others)?;
        self.to_psbt(&ledger, &draft)
    }

    fn sign_psbt(&self, psbt: &mut Psbt) -> BitcoinResult<usize> {
        self.sign_with(&self.ledger(), psbt)
    }

    fn finalize_psbt(&self, psbt: &mut Psbt) -> BitcoinResult<bool> {
        build::finalize_psbt(psbt)
    }

    fn extract_psbt(&self, psbt: &Psbt, allow_high_fee: bool) -> BitcoinResult<BitcoinTransaction> {
        build::extract_psbt(psbt, self.max_fee_rate, allow_high_fee)
    }

    fn bump_fee(&self, txid: Txid, fee_rate: FeeRate, drops: &[Txid]) -> BitcoinResult<Psbt> {
        let raise = Raise {
            fee_rate: Some(fee_rate),
            drops: drops.to_vec(),
            ..Raise::default()
        };
        self.replace(txid, &raise)
    }

    fn accelerate(&self, txid: Txid, fee_rate: FeeRate) -> BitcoinResult<Psbt> {
        self.pay_for(txid, fee_rate)
    }

    fn cancel(&self, txid: Txid, fee_rate: Option<FeeRate>, drops: &[Txid]) -> BitcoinResult<Psbt> {
        let raise = Raise {
            fee_rate,
            drops: drops.to_vec(),
            ..Raise::default()
        };
        self.call_back(txid, &raise)
    }

    fn rebroadcast(&self, txid: Option<Txid>) -> BitcoinResult<Vec<(Txid, Option<BitcoinError>)>> {
        self.send_again(txid)
    }

    fn abandon(&self, txid: Txid) -> BitcoinResult<Vec<Txid>> {
        self.give_up(txid)
    }

    fn rescan(&self, from_height: u32) -> BitcoinResult<u32> {
        self.read_again(from_height)
    }

    fn hold(&self, coins: &[OutPoint], reason: &str, until_ms: Option<u64>) -> BitcoinResult<()> {
        self.hold_coins(coins, reason, until_ms)
    }

    fn release_hold(&self, reason: &str) -> BitcoinResult<usize> {
        self.reservations().release_hold(reason)
    }

    fn lock(&self, outpoint: OutPoint) -> BitcoinResult<()> {
        self.lock_coin(outpoint)
    }

    fn unlock(&self, outpoint: OutPoint) -> BitcoinResult<bool> {
        self.reservations().release(outpoint)
    }

    fn labels(&self) -> BitcoinResult<Vec<Label>> {
        let mut ledger = self.ledger();
        let mut all = labels::get_all(ledger.store().connection())?;
        let reserved = self.reservations().reserved(reservations::now_ms())?;
        let locked: Vec<String> = reserved
            .iter()
            .filter(|(_, reservation)| reservation.is_lock())
            .map(|(coin, _)| coin.to_string())
            .collect();
        for coin in locked {
            let labelled = all
                .iter_mut()
                .find(|label| label.kind == LabelKind::Output && label.reference == coin);
            match labelled {
                Some(label) => label.spendable = Some(false),
                None => all.push(Label {
                    kind: LabelKind::Output,
                    reference: coin,
                    label: None,
                    origin: None,
                    spendable: Some(false),
                }),
            }
        }
        all.sort_by(|a, b| (a.kind, &a.reference).cmp(&(b.kind, &b.reference)));
        Ok(all)
    }

    fn import_labels(&self, all: &[Label]) -> BitcoinResult<usize> {
        self.import_with_locks(all)
    }

    fn sign_message(&self, address: &str, text: &str) -> BitcoinResult<SignedMessage> {
        self.sign_message_in(address, text, None)
    }

    fn descriptors(&self) -> BitcoinResult<Vec<(AddressType, String, String)>> {
        let accounts = self.folder.file().accounts.iter();
        accounts
            .map(|account| {
                let text = |chain| -> BitcoinResult<String> {
                    let descriptor = self.keyring().descriptor((account.address_type, chain))?;
                    // With its checksum (BIP380), as other wallets import it.
                    Ok(descriptor.to_string())
                };
                Ok((
                    account.address_type,
                    text(Chain::Receive)?,
                    text(Chain::Change)?,
                ))
            })
            .collect()
    }
}

pub(super) fn not_found(message: &str) -> BitcoinError {
    BitcoinError::new(ErrorKind::NotFound, Operation::Wallet, message)
}
