//! `generate_address`: the primary reserves an index, the secondary derives that one.

use std::time::Instant;

use btc_iface::{AddressType, BitcoinAddress, BitcoinResult, Operation};

use super::promises;
use crate::compare::judge;
use crate::record::Digest;
use crate::shadow::case::{Case, digest};
use crate::shadow::finding::{Finding, UNWATCHED};
use crate::shadow::observation::Observation;
use crate::shadow::sides::Sides;

/// A new address, to be compared with the secondary's at the same index.
///
/// The type is the one that was asked for, so that an address of another type differs. After a
/// failure there is no index; the first one tells whether this type can be derived at all.
pub(crate) struct Reserved {
    pub(crate) address_type: AddressType,
    pub(crate) ours: BitcoinResult<BitcoinAddress>,
    /// When the primary was asked.
    pub(crate) asked: Instant,
}

impl Case for Reserved {
    fn digest(&self) -> Digest {
        let index = self.ours.as_ref().ok().and_then(|address| address.index);
        let index = index.map_or([0xff; 4], u32::to_le_bytes);
        digest(&[self.address_type.as_str().as_bytes(), &index])
    }

    fn first(&mut self, sides: &Sides) -> Finding {
        let Some(twins) = &sides.twins else {
            return Finding::skipped(UNWATCHED);
        };
        let (index, error) = match &self.ours {
            Ok(address) => match address.index {
                Some(index) => (index, None),
                None => return Finding::skipped("the primary's address does not name its index"),
            },
            Err(error) if error.kind().is_transport() => return Finding::unreached(error.kind()),
            Err(error) => (0, Some(error.kind())),
        };
        let theirs = Observation::guarded(Operation::GenerateAddress, &sides.tips, || {
            twins.secondary.derive_address(self.address_type, index)
        });
        let finding = Finding::of(judge(&self.ours, &theirs.result), error, &theirs);
        if error.is_some() || theirs.error().is_some() {
            return finding;
        }
        let broken =
            promises::of_address(twins, &sides.given, (self.address_type, index), self.asked);
        finding.with(broken)
    }
}
