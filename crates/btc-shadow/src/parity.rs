//! Parity: random plans that two wallets of the same words must build to the byte.

mod pending;

use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{
    Address, OutPoint, PubkeyHash, ScriptBuf, ScriptHash, Txid, WPubkeyHash, WScriptHash,
    WitnessProgram, WitnessVersion,
};
use btc_iface::{
    AddressType, BitcoinResult, BitcoinTransaction, BlockRef, Chain, ErrorKind, Network,
    SnapshotCoin, WalletSnapshot, WalletTwin,
};

use crate::compare::{Difference, Verdict, judge};

/// Repeatable randomness for cases, good for nothing secret (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match (high - low).checked_add(1) {
            Some(width) => low + self.word() % width,
            None => self.word(),
        }
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.between(1, times) == 1
    }

    /// One of several.
    pub fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        let index = self.word() % (N as u64);
        from[usize::try_from(index).unwrap_or_default()]
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.word().to_le_bytes()[0])
    }

    /// A number whose size is as likely to be small as large, up to 2^`bits`.
    pub fn of_any_size(&mut self, bits: u32) -> u64 {
        let bits = self.between(0, u64::from(bits));
        self.word() >> (64 - bits.clamp(1, 64))
    }
}

/// What both wallets are asked to build.
#[derive(Debug, Clone)]
pub struct Case {
    /// The coins, which exist in no chain.
    pub snapshot: WalletSnapshot,
    /// Who is paid.
    pub outputs: Vec<(String, u64)>,
    /// In sat/vB.
    pub fee_rate: u64,
    /// An address that both derive.
    pub address: (AddressType, u32),
}

/// What became of a case.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Where the two sides differ; empty for none.
    pub differences: Vec<Difference>,
    /// How the first side refused, or `None` for a transaction.
    pub refused: Option<ErrorKind>,
    /// How many unconfirmed coins the transaction spends.
    pub pending_taken: usize,
}

impl Case {
    /// A case with coins of all types and sizes, half of the time some of unconfirmed transactions,
    /// recipients of all kinds, and now and then something that must be refused.
    pub fn random(random: &mut Random, network: Network, tip: BlockRef) -> Self {
        let mut coins: Vec<_> = (0..Self::coin_count(random))
            .map(|_| random_coin(random))
            .collect();
        let all_sat: u64 = coins.iter().map(|coin| coin.value_sat).sum();
        let count = Self::output_count(random);
        let share_sat = all_sat / (count + 1);
        let outputs = (0..count)
            .map(|_| random_output(random, network, all_sat, share_sat))
            .collect();
        let fee_rate = match random.between(0, 50) {
            0 => 0,
            1 => random.of_any_size(64),
            _ => random.of_any_size(9).max(1),
        };
        let pending = if random.once_in(2) {
            pending::unconfirmed(random, &mut coins, fee_rate)
        } else {
            Vec::new()
        };
        Self {
            snapshot: WalletSnapshot {
                tip,
                coins,
                pending,
                change_type: random.pick(&AddressType::ALL),
                change_index: random_index(random),
            },
            outputs,
            fee_rate,
            address: (random.pick(&AddressType::ALL), random_index(random)),
        }
    }

    fn coin_count(random: &mut Random) -> u64 {
        match random.between(0, 99) {
            0 => 0,
            1..=3 => random.between(250, 400),
            _ => random.between(1, 30),
        }
    }

    fn output_count(random: &mut Random) -> u64 {
        match random.between(0, 99) {
            0 => 0,
            1..=3 => random.between(250, 300),
            _ => random.between(1, 6),
        }
    }

    /// Asks both sides and compares.
    ///
    /// # Errors
    /// A side could not be asked at all (`Unavailable`, `Timeout`).
    pub fn compare(&self, one: &dyn WalletTwin, other: &dyn WalletTwin) -> BitcoinResult<Finding> {
        let (address_type, index) = self.address;
        let derived = [one, other].map(|side| side.derive_address(address_type, index));
        let planned = [one, other].map(|side| {
            side.plan_transaction(&self.outputs, self.fee_rate, &self.snapshot)
                .map(|plan| plan.transaction)
        });
        for error in derived.iter().filter_map(|it| it.as_ref().err()) {
            if error.kind().is_transport() {
                return Err(error.clone());
            }
        }
        for error in planned.iter().filter_map(|it| it.as_ref().err()) {
            if error.kind().is_transport() {
                return Err(error.clone());
            }
        }
        let mut differences = Vec::new();
        let (verdict, found) = judge(&planned[0], &planned[1]);
        if verdict != Verdict::Match {
            differences.extend(found);
        }
        if let [Err(one), Err(other)] = &planned
            && missing(one) != missing(other)
        {
            differences.push(difference(
                "error.missing_sat",
                &missing(one),
                &missing(other),
            ));
        }
        match &derived {
            [Ok(one), Ok(other)] if one == other => {}
            [Err(one), Err(other)] if one.kind() == other.kind() => {}
            [one, other] => differences.push(difference("address", one, other)),
        }
        Ok(Finding {
            differences,
            refused: planned[0].as_ref().err().map(btc_iface::BitcoinError::kind),
            pending_taken: planned[0].as_ref().map_or(0, |it| self.pending_taken(it)),
        })
    }

    fn pending_taken(&self, transaction: &BitcoinTransaction) -> usize {
        let pending = &self.snapshot.pending;
        let is_pending = |txid: &Txid| pending.iter().any(|it| it.txid == *txid);
        let inputs = transaction.inputs.iter();
        inputs
            .filter(|input| is_pending(&input.previous_output.txid))
            .count()
    }
}

fn random_coin(random: &mut Random) -> SnapshotCoin {
    SnapshotCoin {
        outpoint: OutPoint {
            txid: Txid::from_byte_array(random.bytes()),
            vout: u32::try_from(random.of_any_size(10)).expect("ten bits"),
        },
        // Equal values, for the order by outpoint; and any size up to some 43 BTC.
        value_sat: if random.once_in(4) {
            50_000
        } else {
            random.of_any_size(32)
        },
        address_type: random.pick(&AddressType::ALL),
        chain: random.pick(&Chain::ALL),
        index: random_index(random),
    }
}

fn random_index(random: &mut Random) -> u32 {
    u32::try_from(random.of_any_size(31)).expect("31 bits")
}

fn random_output(
    random: &mut Random,
    network: Network,
    all_sat: u64,
    share_sat: u64,
) -> (String, u64) {
    let script = match random.between(0, 5) {
        0 => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(random.bytes())),
        1 => ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(random.bytes())),
        2 => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(random.bytes())),
        3 => ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array(random.bytes())),
        _ => {
            let program: [u8; 32] = random.bytes();
            let program = WitnessProgram::new(WitnessVersion::V1, &program);
            ScriptBuf::new_witness_program(&program.expect("32 bytes are a program"))
        }
    };
    let network = if random.once_in(200) {
        Network::Bitcoin
    } else {
        network
    };
    let address = Address::from_script(&script, network).expect("a script with an address");
    let value_sat = match random.between(0, 79) {
        // Around the dust limits.
        0 => random.between(290, 550),
        // More than there is.
        1 => all_sat.saturating_add(random.of_any_size(20)),
        // Nearly all there is, so that change is small or nothing.
        2..=5 => all_sat.saturating_sub(random.of_any_size(14)),
        _ => random.between(600, share_sat.max(601)),
    };
    (address.to_string(), value_sat)
}

fn missing(error: &btc_iface::BitcoinError) -> Option<String> {
    let context = error.context().iter();
    let found = context.clone().find(|(name, _)| name == "missing_sat");
    found.map(|(_, value)| value.clone())
}

fn difference(path: &str, one: &impl std::fmt::Debug, other: &impl std::fmt::Debug) -> Difference {
    Difference {
        path: path.to_owned(),
        primary: format!("{one:?}"),
        secondary: format!("{other:?}"),
        tip: false,
    }
}

#[cfg(test)]
mod tests {
    use btc_iface::PendingTransaction;

    use super::*;

    #[test]
    fn cases_repeat_with_their_seed_and_cover_what_they_claim() {
        let tip = BlockRef {
            height: 7,
            hash: btc_iface::rust_bitcoin::BlockHash::all_zeros(),
        };
        let cases = |seed| {
            let mut random = Random::new(seed);
            (0..2000)
                .map(|_| Case::random(&mut random, Network::Regtest, tip))
                .collect::<Vec<_>>()
        };
        let (first, again) = (cases(1), cases(1));
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
        let some = |what: fn(&Case) -> bool| first.iter().any(what);
        assert!(some(|case| case.outputs.is_empty()));
        assert!(some(|case| case.snapshot.coins.is_empty()));
        assert!(some(|case| case.outputs.len() > 252));
        assert!(some(|case| case.snapshot.coins.len() > 252));
        assert!(some(|case| case.fee_rate == 0));
        assert!(some(|case| case.fee_rate > 1_000_000));
        let pends = |case: &Case| !case.snapshot.pending.is_empty();
        assert!(first.iter().any(|case| !pends(case)));
        let some = |what: fn(&[PendingTransaction]) -> bool| {
            let mut all = first.iter().map(|case| case.snapshot.pending.as_slice());
            all.any(what)
        };
        for version in [1, 2, 3] {
            let mut all = first.iter().flat_map(|case| &case.snapshot.pending);
            assert!(all.any(|it| it.version == version), "{version}");
        }
        assert!(some(|all| all.len() > 64));
        assert!(some(|all| all.iter().any(|it| it.spends.len() > 1)));
        assert!(some(
            |all| all.iter().map(|it| it.size_vb).sum::<u64>() > 101_000
        ));
        assert!(first.iter().all(|case| {
            let txids: Vec<_> = case.snapshot.pending.iter().map(|it| it.txid).collect();
            txids.is_sorted_by(|a, b| a.to_byte_array() < b.to_byte_array())
        }));
        for address_type in AddressType::ALL {
            let has = |case: &Case| case.snapshot.change_type == address_type;
            assert!(first.iter().any(has), "{address_type}");
        }
    }
}
