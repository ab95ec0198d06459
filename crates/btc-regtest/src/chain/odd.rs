//! Transactions that are valid in a block and that no node would relay, for readers that must
//! take a block as it is.

use bitcoin::opcodes::all::{OP_PUSHDATA1, OP_PUSHNUM_1, OP_RETURN};
use bitcoin::script::ScriptBuf;
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{Amount, BlockHash, Sequence};

use super::Chain;
use super::draft::{Built, Out};
use super::lock::Lock;
use crate::NodeError;

/// One past the largest script that can ever be run.
const OVERSIZED_SCRIPT: usize = 10_001;

/// The coins that [`Chain::mine_odd`] spends, but for the unknown witness that is made before.
pub(crate) const ODD_NEEDS: [(Lock, u32); 4] = [
    (Lock::P2wpkh, 5),
    (Lock::P2trKey, 1),
    (Lock::P2trScript, 1),
    (Lock::P2pkh, 2),
];

impl Chain<'_> {
    /// Mines a block of non-standard transactions. Their change is left alone: after a
    /// reorganisation no node would take them back.
    pub(crate) fn mine_odd(&mut self) -> Result<(BlockHash, Vec<Built>), NodeError> {
        let mut all = vec![self.odd_scripts()?];
        for version in [0, 4, i32::MAX, i32::MIN] {
            let coin = self.take(Lock::P2wpkh)?;
            let mut draft = self.draft(vec![coin], Vec::new(), 0);
            draft.version = version;
            all.push(draft.finish(&self.keys, "transaction of an odd version")?);
        }
        for lock in [Lock::P2trKey, Lock::P2trScript] {
            let coin = self.take(lock)?;
            let mut draft = self.draft(vec![coin], Vec::new(), 0);
            draft.manner.annex = Some(b"\x50an annex".to_vec());
            all.push(draft.finish(&self.keys, "spend with an annex")?);
        }
        all.push(self.single_without_output()?);
        let coin = self.take(Lock::Future)?;
        let draft = self.draft(vec![coin], Vec::new(), 0);
        all.push(draft.finish(&self.keys, "spend of an unknown witness")?);

        let hex: Vec<_> = all.iter().map(Built::hex).collect();
        let block = self.mine_exactly(&hex)?;
        Ok((block, all))
    }

    /// Output scripts that break every assumption that one may make about them.
    fn odd_scripts(&mut self) -> Result<Built, NodeError> {
        let key = self.new_key();
        let mut uncompressed = vec![0x41];
        uncompressed.extend(self.keys.uncompressed(key).to_bytes());
        let scripts: [Vec<u8>; 15] = [
            vec![],
            vec![OP_PUSHNUM_1.to_u8()],
            // A push that lacks its length, and two that lack their data.
            vec![OP_PUSHDATA1.to_u8()],
            vec![0x02, 0xab],
            vec![OP_RETURN.to_u8(), 0x4b, 0x01],
            vec![OP_RETURN.to_u8(), OP_RETURN.to_u8(), OP_PUSHNUM_1.to_u8()],
            // Opcodes without a meaning.
            vec![0xba, 0xfe, 0xff],
            vec![OP_PUSHNUM_1.to_u8(); OVERSIZED_SCRIPT],
            // A key without its checksig, and keys that are none.
            uncompressed,
            [&[0x51, 0x21][..], &[0x05; 33], &[0x51, 0xae]].concat(),
            [&[0x21][..], &[0x07; 33], &[0xac]].concat(),
            // Version 0 programs of a wrong size, and taproot with a key that is not on the curve.
            [&[0x00, 0x02][..], &[0xaa; 2]].concat(),
            [&[0x00, 0x28][..], &[0xaa; 40]].concat(),
            [&[0x51, 0x20][..], &[0xff; 32]].concat(),
            // Too long for a witness program.
            [&[0x52, 0x29][..], &[0xbb; 41]].concat(),
        ];
        let values = [0, 1, 546, 0].into_iter().cycle();
        let outputs = scripts.into_iter().zip(values).map(|(script, value)| {
            Out::foreign(ScriptBuf::from_bytes(script), Amount::from_sat(value))
        });
        let coin = self.take(Lock::P2wpkh)?;
        let mut draft = self.draft(vec![coin], outputs.collect(), 0);
        draft.sequence = Sequence::ZERO;
        draft.finish(&self.keys, "transaction with odd scripts")
    }

    /// The second signature covers an output that is not there: its hash is the number one.
    fn single_without_output(&mut self) -> Result<Built, NodeError> {
        let coins = vec![self.take(Lock::P2pkh)?, self.take(Lock::P2pkh)?];
        let mut draft = self.draft(coins, Vec::new(), 0);
        draft.manner.hash_type = EcdsaSighashType::Single;
        draft.finish(&self.keys, "signature of a missing output")
    }
}
