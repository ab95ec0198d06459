//! What a text asks for, and everything that is checked of it before any money moves.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::address::{Address, NetworkUnchecked};
use btc_iface::Network;
use btc_iface::lightning::{
    Decoded, DecodedKind, LightningError, LightningErrorKind as Kind, LightningResult, Msat,
    NodeId, PaymentHash,
};
use btc_iface::types::network;
use ldk_node::lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescriptionRef, Bolt11SemanticError, ParseOrSemanticError,
};
use lightning::bitcoin::hashes::Hash as _;
use lightning::offers::offer::{Amount, Offer};
use lightning::offers::refund::Refund;

use crate::error::error;

/// Longer than any invoice or offer.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// A text that was read: what LDK takes.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    Invoice(Box<Bolt11Invoice>),
    Offer(Box<Offer>),
    Refund(Box<Refund>),
}

/// Reads an invoice, an offer or a refund, also behind `lightning:` or in a BIP 21 URI. Signatures
/// are checked here.
pub(crate) fn read(text: &str) -> LightningResult<Read> {
    let text = inner(text.trim())?;
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("lno1") {
        let offer = Offer::from_str(&text).map_err(|cause| malformed("offer", &cause))?;
        return Ok(Read::Offer(Box::new(offer)));
    }
    if lower.starts_with("lnr1") {
        let refund = Refund::from_str(&text).map_err(|cause| malformed("refund", &cause))?;
        return Ok(Read::Refund(Box::new(refund)));
    }
    let invoice = Bolt11Invoice::from_str(&text).map_err(|cause| match cause {
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::InvalidFeatures) => error(
            Kind::UnknownFeature,
            "the invoice needs a feature that this node does not know, or lacks one it needs",
        ),
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::ImpreciseAmount) => error(
            Kind::WrongAmount,
            "the invoice's amount is no whole number of millisatoshi",
        ),
        ParseOrSemanticError::SemanticError(cause) => malformed("invoice", &cause),
        ParseOrSemanticError::ParseError(cause) => malformed("invoice", &cause),
    })?;
    Ok(Read::Invoice(Box::new(invoice)))
}

/// Takes `lightning:` away, or an invoice or offer out of a `bitcoin:` URI.
fn inner(text: &str) -> LightningResult<String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(error(Kind::Malformed, "longer than any invoice or offer"));
    }
    let scheme = |name: &str| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
            .then(|| &text[name.len()..])
    };
    if let Some(rest) = scheme("lightning:") {
        return Ok(rest.to_owned());
    }
    let Some(rest) = scheme("bitcoin:") else {
        return Ok(text.to_owned());
    };
    let (_, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parts: Vec<_> = query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .collect();
    // The offer first: it names its receiver without a hash that was seen before.
    let wanted = ["lno", "lightning"];
    wanted
        .iter()
        .find_map(|name| parts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
        .map(|(_, value)| (*value).to_owned())
        .ok_or_else(|| {
            let message = "the URI names an address on the chain alone; pay it with withdraw";
            error(Kind::Malformed, message)
        })
}

fn malformed(what: &str, cause: &impl std::fmt::Debug) -> LightningError {
    error(Kind::Malformed, format!("not a valid {what}: {cause:?}"))
}

/// What the text asks for.
pub(crate) fn describe(read: &Read) -> Decoded {
    match read {
        Read::Invoice(invoice) => Decoded {
            kind: DecodedKind::Bolt11,
            text: invoice.to_string(),
            network: Some(invoice.network()),
            amount_msat: invoice.amount_milli_satoshis().map(Msat::new),
            description: match invoice.description() {
                Bolt11InvoiceDescriptionRef::Direct(text) => Some(text.to_string()),
                Bolt11InvoiceDescriptionRef::Hash(_) => None,
            },
            hash: Some(hash_of(invoice)),
            payee: Some(payee_of(invoice)),
            expires_at: invoice.expires_at().map(|at| at.as_secs()),
            is_expired: invoice.is_expired(),
        },
        Read::Offer(offer) => Decoded {
            kind: DecodedKind::Bolt12Offer,
            text: offer.to_string(),
            network: only(&offer.chains()),
            amount_msat: match offer.amount() {
                Some(Amount::Bitcoin { amount_msats }) => Some(Msat::new(amount_msats)),
                _ => None,
            },
            description: offer.description().map(|text| text.to_string()),
            hash: None,
            payee: offer.issuer_signing_pubkey().map(NodeId::from_key),
            expires_at: offer.absolute_expiry().map(|at| at.as_secs()),
            is_expired: offer.absolute_expiry().is_some_and(|at| at < now()),
        },
        Read::Refund(refund) => Decoded {
            kind: DecodedKind::Bolt12Refund,
            text: refund.to_string(),
            network: only(&[refund.chain()]),
            amount_msat: Some(Msat::new(refund.amount_msats())),
            description: Some(refund.description().to_string()),
            hash: None,
            payee: None,
            expires_at: refund.absolute_expiry().map(|at| at.as_secs()),
            is_expired: refund.absolute_expiry().is_some_and(|at| at < now()),
        },
    }
}

fn only(chains: &[bitcoin::constants::ChainHash]) -> Option<Network> {
    match chains {
        [chain] => Network::from_chain_hash(*chain),
        _ => None,
    }
}

pub(crate) fn hash_of(invoice: &Bolt11Invoice) -> PaymentHash {
    PaymentHash::from_bytes(invoice.payment_hash().to_byte_array())
}

fn payee_of(invoice: &Bolt11Invoice) -> NodeId {
    NodeId::from_key(invoice.get_payee_pub_key())
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Who pays, for the checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payer {
    pub(crate) node_id: NodeId,
    pub(crate) network: Network,
}

/// The amount to pay of an invoice, after its network, expiry, receiver and amount.
pub(crate) fn invoice(
    payer: Payer,
    invoice: &Bolt11Invoice,
    given: Option<Msat>,
) -> LightningResult<Msat> {
    if invoice.network() != payer.network {
        let message = format!(
            "the invoice is for {}, this node is on {}",
            network::name(invoice.network()),
            network::name(payer.network)
        );
        return Err(error(Kind::WrongNetwork, message));
    }
    if payee_of(invoice) == payer.node_id {
        let message = "the invoice is this node's own; a payment to itself moves nothing";
        return Err(error(Kind::Own, message));
    }
    if invoice.is_expired() {
        let message = "the invoice has expired; ask for a new one";
        return Err(error(Kind::Expired, message));
    }
    amount(
        "invoice",
        invoice.amount_milli_satoshis().map(Msat::new),
        given,
    )
}

/// The amount to pay of an offer, after its network, expiry and amount.
pub(crate) fn offer(payer: Payer, offer: &Offer, given: Option<Msat>) -> LightningResult<Msat> {
    if !offer.supports_chain(bitcoin::constants::ChainHash::using_genesis_block(
        payer.network,
    )) {
        let message = format!(
            "the offer is not for {}, where this node is",
            network::name(payer.network)
        );
        return Err(error(Kind::WrongNetwork, message));
    }
    if offer.absolute_expiry().is_some_and(|at| at < now()) {
        let message = "the offer has expired; ask for a new one";
        return Err(error(Kind::Expired, message));
    }
    if offer.issuer_signing_pubkey() == Some(payer.node_id.key()) {
        return Err(error(Kind::Own, "the offer is this node's own"));
    }
    let asked = match offer.amount() {
        None => None,
        Some(Amount::Bitcoin { amount_msats }) => Some(Msat::new(amount_msats)),
        Some(Amount::Currency { .. }) => {
            let message =
                "the offer's amount is in another currency, which this node does not know";
            return Err(error(Kind::WrongAmount, message));
        }
    };
    amount("offer", asked, given)
}

fn amount(what: &str, asked: Option<Msat>, given: Option<Msat>) -> LightningResult<Msat> {
    let wrong = |message: String| Err(error(Kind::WrongAmount, message));
    match (asked, given) {
        (Some(asked), Some(given)) if asked != given => {
            wrong(format!("the {what} asks for {asked}, not for {given}"))
        }
        (None, None) => wrong(format!("the {what} names no amount; give one")),
        (Some(amount), _) | (None, Some(amount)) => sensible(amount),
    }
}

/// An amount that can exist.
pub(crate) fn sensible(amount: Msat) -> LightningResult<Msat> {
    if amount == Msat::ZERO || amount > Msat::MAX_MONEY {
        let message = "an amount is more than nothing and at most 21 million bitcoin";
        return Err(error(Kind::WrongAmount, message));
    }
    Ok(amount)
}

/// An address of the node's network.
pub(crate) fn address(network: Network, text: &str) -> LightningResult<Address> {
    let read = text
        .trim()
        .parse::<Address<NetworkUnchecked>>()
        .map_err(|cause| error(Kind::Malformed, format!("not an address: {cause}")))?;
    read.require_network(network).map_err(|_| {
        let message = format!("the address is not for {}", network::name(network));
        error(Kind::WrongNetwork, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the examples of BOLT 11, with its public test key.
    const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

    fn payer(network: Network) -> Payer {
        let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        Payer {
            node_id: key.parse().expect("a key"),
            network,
        }
    }

    fn donation() -> Box<Bolt11Invoice> {
        match read(DONATION) {
            Ok(Read::Invoice(invoice)) => invoice,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_letter_in_an_invoice_is_seen() {
        let mut wrong = DONATION.to_owned();
        wrong.replace_range(60..61, if &DONATION[60..61] == "q" { "p" } else { "q" });
        assert_eq!(read(&wrong).expect_err("damaged").kind(), Kind::Malformed);
        assert_eq!(read("").expect_err("empty").kind(), Kind::Malformed);
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(read(&long).expect_err("long").kind(), Kind::Malformed);
    }

    #[test]
    fn network_and_expiry_are_checked_in_this_order() {
        let foreign = invoice(payer(Network::Regtest), &donation(), Some(Msat::new(1)));
        assert_eq!(foreign.expect_err("mainnet").kind(), Kind::WrongNetwork);
        let old = invoice(payer(Network::Bitcoin), &donation(), Some(Msat::new(1)));
        assert_eq!(old.expect_err("of 2017").kind(), Kind::Expired);
    }

    #[test]
    fn an_amount_is_given_exactly_where_none_is_asked_for() {
        let one = Some(Msat::new(1_000));
        let two = Some(Msat::new(2_000));
        assert_eq!(amount("invoice", one, None).ok(), one);
        assert_eq!(amount("invoice", one, one).ok(), one);
        assert_eq!(amount("invoice", None, two).ok(), two);
        for (asked, given) in [(one, two), (None, None), (None, Some(Msat::ZERO))] {
            let wrong = amount("invoice", asked, given).expect_err("wrong");
            assert_eq!(wrong.kind(), Kind::WrongAmount);
        }
        let too_much = Msat::MAX_MONEY.checked_add(Msat::new(1));
        assert!(amount("invoice", None, too_much).is_err());
    }

    #[test]
    fn uris_are_opened() {
        let plain = describe(&read(DONATION).expect("an invoice"));
        for text in [
            format!("lightning:{DONATION}"),
            format!("LIGHTNING:{}", DONATION.to_uppercase()),
            format!("bitcoin:BC1QX?amount=1&lightning={DONATION}"),
            format!(" {DONATION}\n"),
        ] {
            assert_eq!(describe(&read(&text).expect("the same")), plain, "{text}");
        }
        assert!(read("bitcoin:bc1qx?amount=1").is_err());
        assert!(plain.is_expired);
        assert_eq!(plain.amount_msat, None);
    }
}
