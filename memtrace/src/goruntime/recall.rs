//! What the Ps held at the last look, asked for again together with everything else: of a program at rest one system call
//! says all. Of one that is not, it costs more than it is worth.
use super::RuntimeError;
use super::layout::Layout;
use super::mcache::{Held, HeldAt, having, window};
use super::memory::Piece;
use super::statics::words;

#[derive(Debug, Default)]
pub(super) struct Recall {
    at: HeldAt,
    /// It was the same twice running.
    is_steady: bool,
}

/// Buffers for one reading.
pub(super) struct Asked {
    caches: Vec<u8>,
    windows: Vec<u8>,
    spans: Vec<u8>,
}

impl Recall {
    /// `None`: it would not be the same. `ps`: how many there are.
    pub(super) fn ask(&self, layout: &Layout, ps: usize) -> Option<Asked> {
        let caches = &self.at.caches;
        (self.is_steady && caches.len() == ps).then(|| Asked {
            caches: vec![0; 8 * caches.len()],
            windows: vec![0; window(layout).1 * having(caches).len()],
            spans: vec![0; layout.mspan.bytes as usize * self.at.spans.len()],
        })
    }

    /// What is to be read for that.
    pub(super) fn pieces<'a>(&self, layout: &Layout, ps: &[u64], asked: &'a mut Asked) -> Vec<Piece<'a>> {
        let (offset, bytes) = window(layout);
        let caches = having(&self.at.caches);
        let parts = [
            (ps, layout.p.mcache, 8, &mut asked.caches),
            (&caches, offset, bytes, &mut asked.windows),
            (&self.at.spans, 0, layout.mspan.bytes as usize, &mut asked.spans),
        ];
        let of = |(at, offset, bytes, buffer): (&[u64], u32, usize, &'a mut Vec<u8>)| {
            let addresses: Vec<u64> = at.iter().map(|at| at.saturating_add(offset.into())).collect();
            let buffers = buffer.chunks_exact_mut(bytes.max(1));
            addresses.into_iter().zip(buffers).map(|(address, buffer)| Piece { address, buffer })
        };
        parts.into_iter().flat_map(of).collect()
    }

    /// `None`: the Ps hold others by now.
    pub(super) fn held(&self, layout: &Layout, asked: Asked) -> Result<Option<Held>, RuntimeError> {
        Held::still(layout, &self.at, words(&asked.caches).collect(), &asked.windows, asked.spans)
    }

    /// What was read step by step.
    pub(super) fn learn(&mut self, at: HeldAt) {
        self.is_steady = at == self.at;
        self.at = at;
    }

    /// What was asked for is not there any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
