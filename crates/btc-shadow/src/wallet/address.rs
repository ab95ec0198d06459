//! `generate_address`: the primary reserves an index, the secondary derives that one.

use btc_iface::{AddressType, BitcoinAddress, BitcoinResult, Operation};

use super::Twins;
use crate::compare::judge;
use crate::finding::Finding;
use crate::observation::Observation;

impl Twins {
    /// Compares a new address with the secondary's at the same index.
    ///
    /// The type is the one that was asked for, so that an address of another type differs. After
    /// a failure there is no index; the first one tells whether this type can be derived at all.
    pub(crate) fn reserved(
        &self,
        address_type: AddressType,
        ours: &BitcoinResult<BitcoinAddress>,
    ) -> Finding {
        let (index, error) = match ours {
            Ok(address) => match address.index {
                Some(index) => (index, None),
                None => return Finding::skipped("the primary's address does not name its index"),
            },
            Err(error) if error.kind().is_transport() => return Finding::unreached(error.kind()),
            Err(error) => (0, Some(error.kind())),
        };
        let theirs = Observation::guarded(Operation::GenerateAddress, || {
            self.secondary.derive_address(address_type, index)
        });
        Finding::of(judge(ours, &theirs.result), error, &theirs)
    }
}
