//! Descriptors (BIP380): which are watched, and how they are written.

use std::str::FromStr;

use bdk_chain::miniscript::descriptor::{DescriptorType, DescriptorXKey, Wildcard};
use bdk_chain::miniscript::{Descriptor, DescriptorPublicKey};
use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, Fingerprint, Xpub};
use btc_iface::{AddressType, BitcoinResult, Network};

use super::{Account, Keychain, Keyring, wrong};

/// The account that a public descriptor with `<0;1>` for both chains (BIP389) describes.
///
/// # Errors
/// `InvalidInput`: as [`Keyring::new`], or without `<0;1>`.
///
/// Source: BIP380, BIP389.
pub fn watch_account(network: Network, text: &str) -> BitcoinResult<Account> {
    let usage = "give a public descriptor with both chains, as in wpkh([fingerprint/84h/0h/0h]\
                 xpub…/<0;1>/*)";
    // Without the text: someone may have put a secret key into it.
    let both = Descriptor::<DescriptorPublicKey>::from_str(text)
        .map_err(|cause| wrong(usage).with_source(cause))?
        .into_single_descriptors()
        .map_err(|cause| wrong(usage).with_source(cause))?;
    let [receive, change] = both.as_slice() else {
        return Err(wrong(usage));
    };
    let address_type = type_of(receive).ok_or_else(|| {
        wrong("the descriptor is of no type that is watched; use pkh, sh(wpkh), wpkh or tr")
    })?;
    let account = Account {
        address_type,
        // Without the checksum, as `wallet.json` has them.
        receive: format!("{receive:#}"),
        change: format!("{change:#}"),
    };
    Keyring::new(network, std::slice::from_ref(&account))?;
    Ok(account)
}

/// One descriptor for both chains, with `<0;1>` and its checksum: what [`watch_account`] reads.
/// None where the two differ in more than one step.
///
/// Source: BIP380, BIP389.
pub fn both_chains(receive: &str, change: &str) -> Option<String> {
    let bare = |text: &str| text.split('#').next().unwrap_or_default().to_owned();
    let (receive, change) = (bare(receive), bare(change));
    let mut different = (receive.split('/').zip(change.split('/')).enumerate())
        .filter(|(_, (one, other))| one != other);
    let (at, (one, other)) = different.next()?;
    if different.next().is_some() {
        return None;
    }
    let step = format!("<{one};{other}>");
    let steps: Vec<&str> = receive.split('/').collect();
    let both = [&steps[..at], &[step.as_str()], &steps[at + 1..]].concat();
    let both = Descriptor::<DescriptorPublicKey>::from_str(&both.join("/")).ok()?;
    let singles = both.clone().into_single_descriptors().ok()?;
    let are_these = matches!(singles.as_slice(), [first, second]
        if usual_form(&format!("{first:#}")) == usual_form(&receive)
            && usual_form(&format!("{second:#}")) == usual_form(&change));
    are_these.then(|| both.to_string())
}

pub(super) fn descriptor_text(address_type: AddressType, key: &str) -> String {
    match address_type {
        AddressType::P2shP2wpkh => format!("sh(wpkh({key}))"),
        AddressType::P2wpkh => format!("wpkh({key})"),
        AddressType::P2tr => format!("tr({key})"),
        _ => format!("pkh({key})"),
    }
}

pub(super) fn parse_descriptor(
    (address_type, chain): Keychain,
    network: Network,
    text: &str,
) -> BitcoinResult<Descriptor<DescriptorPublicKey>> {
    let fail = |what: &str| {
        wrong(format!(
            "the {chain} descriptor of type {address_type} {what}"
        ))
    };
    // Without the text: someone may have put a secret key into it.
    let descriptor = Descriptor::<DescriptorPublicKey>::from_str(text).map_err(|cause| {
        fail("cannot be read; give a public BIP380 descriptor").with_source(cause)
    })?;
    if type_of(&descriptor) != Some(address_type) {
        return Err(fail(
            "is of another type; use pkh, sh(wpkh), wpkh or tr with one key",
        ));
    }
    if let Descriptor::Tr(tr) = &descriptor
        && tr.tap_tree().is_some()
    {
        return Err(fail(
            "has a script tree; only key path spending is supported",
        ));
    }
    if !descriptor.has_wildcard() || descriptor.is_multipath() {
        return Err(fail(
            "must end in one wildcard, like …/0/*, and be one of the two chains",
        ));
    }
    let kind = NetworkKind::from(network);
    for key in descriptor_keys(&descriptor) {
        let DescriptorPublicKey::XPub(key) = key else {
            return Err(fail("needs an extended public key of the wallet's network"));
        };
        if key.xkey.network != kind {
            return Err(fail("needs an extended public key of the wallet's network"));
        }
        check_derivation(&key).map_err(&fail)?;
    }
    // miniscript reads numbers as `+1` and `01` too; the Python side need not guess at them.
    if usual_form(text) != format!("{descriptor:#}") {
        return Err(fail(
            "is not in the usual form, such as wpkh([fingerprint/84h/0h/0h]xpub…/0/*)",
        ));
    }
    Ok(descriptor)
}

/// The text without its checksum, with one of the two marks for hardened steps (BIP380).
fn usual_form(text: &str) -> String {
    let body = text.split_once('#').map_or(text, |(body, _)| body);
    match body.split_once(']') {
        Some((origin, key)) => {
            let origin = format!("{origin}]").replace("h/", "'/").replace("h]", "']");
            origin + key
        }
        None => body.to_owned(),
    }
}

/// Whether every index below 2^31 of this key can be derived, but for those that no key has.
/// miniscript panics on a hardened step.
fn check_derivation(key: &DescriptorXKey<Xpub>) -> Result<(), &'static str> {
    let is_hardened = key
        .derivation_path
        .into_iter()
        .any(ChildNumber::is_hardened);
    if is_hardened || key.wildcard == Wildcard::Hardened {
        return Err(
            "has a hardened step after the key, which a public key does not derive; name the key \
             behind that step, with the step in its origin",
        );
    }
    // BIP32 keeps the depth in one byte; the wildcard is a step too.
    if usize::from(key.xkey.depth) + key.derivation_path.len() >= usize::from(u8::MAX) {
        return Err("has more than 255 steps from the master key; take a key nearer to it");
    }
    let is_master = key.xkey.depth == 0;
    let has_parent = key.xkey.parent_fingerprint != Fingerprint::default()
        || key.xkey.child_number != ChildNumber::from(0);
    if is_master && has_parent {
        return Err("has a damaged key: a master key with a parent; copy it again");
    }
    Ok(())
}

fn type_of(descriptor: &Descriptor<DescriptorPublicKey>) -> Option<AddressType> {
    match descriptor.desc_type() {
        DescriptorType::Pkh => Some(AddressType::P2pkh),
        DescriptorType::ShWpkh => Some(AddressType::P2shP2wpkh),
        DescriptorType::Wpkh => Some(AddressType::P2wpkh),
        DescriptorType::Tr => Some(AddressType::P2tr),
        _ => None,
    }
}

fn descriptor_keys(
    descriptor: &Descriptor<DescriptorPublicKey>,
) -> impl Iterator<Item = DescriptorPublicKey> {
    use bdk_chain::miniscript::ForEachKey;
    let mut keys = Vec::new();
    descriptor.for_each_key(|key| {
        keys.push(key.clone());
        true
    });
    keys.into_iter()
}
