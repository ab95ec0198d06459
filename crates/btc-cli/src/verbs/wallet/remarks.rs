//! What is to be said about an output before it is paid: that another than its owner may spend it.

use btc::bitcoin::{Script, WitnessVersion};

/// Pay-to-anchor: a witness program of version 1 with these two bytes.
const ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];
/// The length of a taproot program (BIP341); other lengths of version 1 have no rules.
const TAPROOT_BYTES: usize = 32;

/// What there is to say about paying this script, in words that follow its address.
///
/// An address of a later witness version is an address (BIP350), and its program has no rules
/// yet: any miner can take what is paid to it.
pub(super) fn about(script: &Script) -> Option<String> {
    if script.as_bytes() == ANCHOR {
        return Some(
            "is an anchor (P2A): it belongs to no key, and anyone can spend it".to_owned(),
        );
    }
    let version = script.witness_version()?;
    let program_bytes = script.len().saturating_sub(2);
    let has_rules = match version {
        WitnessVersion::V0 => true,
        WitnessVersion::V1 => program_bytes == TAPROOT_BYTES,
        _ => false,
    };
    (!has_rules).then(|| {
        format!(
            "is a witness program of version {} with {program_bytes} bytes, for which Bitcoin has \
             no rules yet: until it has, any miner can take it",
            version.to_num()
        )
    })
}

#[cfg(test)]
mod tests {
    use btc::bitcoin::{ScriptBuf, WitnessProgram};

    use super::*;

    fn said(version: WitnessVersion, program: &[u8]) -> Option<String> {
        let program = WitnessProgram::new(version, program).expect("2 to 40 bytes");
        about(&ScriptBuf::new_witness_program(&program))
    }

    #[test]
    fn programs_without_rules_are_named_and_no_others() {
        assert_eq!(said(WitnessVersion::V0, &[7; 20]), None);
        assert_eq!(said(WitnessVersion::V0, &[7; 32]), None);
        assert_eq!(said(WitnessVersion::V1, &[7; 32]), None);
        assert_eq!(about(&ScriptBuf::new()), None);
        assert_eq!(about(&ScriptBuf::from_bytes(vec![0x6a])), None);
        let anchor = said(WitnessVersion::V1, &ANCHOR[2..]).expect("anyone can spend it");
        assert!(anchor.contains("P2A"), "{anchor}");
        for (version, bytes) in [
            (WitnessVersion::V1, 2),
            (WitnessVersion::V1, 33),
            (WitnessVersion::V2, 32),
            (WitnessVersion::V16, 40),
        ] {
            let said = said(version, &vec![7; bytes]).expect("no rules");
            let named = format!("version {} with {bytes} bytes", version.to_num());
            assert!(said.contains(&named), "{said}");
        }
    }
}
