//! Little-endian fields of bytes read from a target, by offsets out of a layout.
use super::RuntimeError;

/// A structure read out of a target. The offsets come from a table or from the target's own DWARF: one beyond the
/// bytes is an error, not a panic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], RuntimeError> {
        self.0.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or_else(|| {
            RuntimeError::Implausible("the layout has a field beyond the end of its structure".to_owned())
        })
    }

    pub(super) fn u64(self, at: u32) -> Result<u64, RuntimeError> {
        Ok(u64::from_le_bytes(self.array(at as usize)?))
    }

    pub(super) fn u32(self, at: u32) -> Result<u32, RuntimeError> {
        Ok(u32::from_le_bytes(self.array(at as usize)?))
    }

    pub(super) fn u16(self, at: u32) -> Result<u16, RuntimeError> {
        Ok(u16::from_le_bytes(self.array(at as usize)?))
    }

    pub(super) fn u8(self, at: u32) -> Result<u8, RuntimeError> {
        Ok(self.array::<1>(at as usize)?[0])
    }

    /// `N` consecutive u64.
    pub(super) fn words<const N: usize>(self, at: u32) -> Result<[u64; N], RuntimeError> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            *word = u64::from_le_bytes(self.array((at as usize).saturating_add(index.saturating_mul(8)))?);
        }
        Ok(words)
    }

    pub(super) fn from(self, at: u32) -> Result<Bytes<'a>, RuntimeError> {
        self.array::<0>(at as usize)?;
        Ok(Bytes(self.0.get(at as usize..).unwrap_or_default()))
    }
}
