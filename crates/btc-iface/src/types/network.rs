//! Networks, their names here and at Bitcoin Core.

pub use bitcoin::Network;

/// Every network with the name used here and the one Bitcoin Core reports as its `chain`.
const NAMES: [(Network, &str, &str); 5] = [
    (Network::Bitcoin, "mainnet", "main"),
    (Network::Testnet, "testnet3", "test"),
    (Network::Testnet4, "testnet4", "testnet4"),
    (Network::Signet, "signet", "signet"),
    (Network::Regtest, "regtest", "regtest"),
];

/// A network's name that is none of the five.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown network `{0}`: use mainnet, testnet3, testnet4, signet or regtest")]
pub struct UnknownNetwork(String);

/// The name used here: `mainnet`, `testnet3`, `testnet4`, `signet`, `regtest`.
pub fn name(network: Network) -> &'static str {
    NAMES
        .iter()
        .find(|(known, ..)| *known == network)
        .map_or("unknown", |(_, name, _)| name)
}

/// Reads the name used here, or the one Bitcoin Core reports as `chain` in `getblockchaininfo`.
pub fn parse(text: &str) -> Result<Network, UnknownNetwork> {
    NAMES
        .iter()
        .find(|(_, ours, cores)| *ours == text || *cores == text)
        .map(|(network, ..)| *network)
        .ok_or_else(|| UnknownNetwork(text.to_owned()))
}

/// The port Bitcoin Core serves RPC and REST on by default.
pub fn default_rpc_port(network: Network) -> u16 {
    match network {
        Network::Testnet => 18332,
        Network::Testnet4 => 48332,
        Network::Signet => 38332,
        Network::Regtest => 18443,
        Network::Bitcoin => 8332,
    }
}

/// serde as the name used here.
pub mod as_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::Network;

    /// Writes the name.
    pub fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(super::name(*network))
    }

    /// Reads the name.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        super::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_testnets_stay_apart() {
        for (network, ours, cores) in NAMES {
            assert_eq!(name(network), ours);
            assert_eq!(parse(ours), Ok(network));
            assert_eq!(parse(cores), Ok(network));
        }
        assert!(
            parse("testnet").is_err(),
            "testnet alone does not say which one"
        );
        assert!(parse("Mainnet").is_err());
    }
}
