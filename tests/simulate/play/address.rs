//! Addresses that a wallet gives out.

use btc::{AddressType, BitcoinAddress, Chain};

use crate::Failure;
use crate::house::Language;
use crate::identity::{Place, RANGE};
use crate::stage::{Given, Stage, who};
use crate::step::Step;

impl Stage {
    pub(super) fn give(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let address_type = AddressType::ALL[step.pick(2, AddressType::ALL.len())];
        if self.next_index(house, language, address_type) + 10 >= RANGE / 2 {
            return self.idle("enough addresses were given out");
        }
        let address = side.operations.generate_address(address_type)?;
        self.note_given(house, language, address)
    }

    /// The index that comes next.
    pub(super) fn next_index(
        &self,
        house: usize,
        language: Language,
        address_type: AddressType,
    ) -> u32 {
        let keychain = (address_type, Chain::Receive);
        let house = &self.houses[house];
        let used = house.used.get(&language).and_then(|it| it.get(&keychain));
        let promised = house.next.get(&keychain).copied().unwrap_or(0);
        promised.max(used.map_or(0, |highest| highest + 1))
    }

    /// Takes down an address that was given out: the right one, and for the first time.
    pub(crate) fn note_given(
        &mut self,
        house: usize,
        language: Language,
        address: BitcoinAddress,
    ) -> Result<(), Failure> {
        let wanted = self.next_index(house, language, address.address_type);
        let index = address.index.ok_or("an address without an index")?;
        let place = Place {
            keychain: (address.address_type, Chain::Receive),
            index,
        };
        self.say(format!(
            "{} gives out {place:?} in {}",
            who(house),
            language.name()
        ));
        if self.identity.place(&address.script_pubkey) != Some(place) {
            return Err(format!("{} is not the address of {place:?}", address.address).into());
        }
        if !self.promised.insert((house, place)) {
            return Err(format!("{place:?} was given out twice").into());
        }
        if index != wanted {
            return Err(format!("{place:?} was given out; {wanted} is next").into());
        }
        self.houses[house].next.insert(place.keychain, index + 1);
        self.given.push(Given { place, address });
        Ok(())
    }
}
