//! Call sites of memory calls: the user stacks that the probes took, symbolised.
use crate::aggregate::ProcessInfo;
use crate::event::{Event, FatalEvent, MapEvent};
use crate::goruntime::Symbolizer;
use crate::kernel::Stacks;
use crate::sink::Frame;
use memtrace_common::records::FATAL_TEXT_BYTES;
use std::sync::Arc;

/// Packages through which a mapping is made, not by which.
const CARRIERS: &[&str] = &["runtime.", "syscall.", "internal/", "golang.org/x/sys/", "vendor/"];

pub(super) struct Sites {
    /// `None`: memory calls have none.
    stacks: Option<Stacks>,
    symbolizer: Symbolizer,
}

impl Sites {
    pub(super) fn new(stacks: Option<Stacks>) -> Sites {
        Sites { stacks, symbolizer: Symbolizer::new() }
    }

    /// While the process lives: its files are opened now. Of one that is not Go's there are only memory calls.
    pub(super) fn attach(&mut self, info: &ProcessInfo) {
        if self.stacks.is_some() || info.go.is_some() {
            self.symbolizer.attach(info.pid);
        }
    }

    /// The user stack of an event, innermost first.
    pub(super) fn frames(&mut self, event: &Event) -> Option<Vec<Frame>> {
        match event {
            Event::Advise(e) => self.resolve(e.call.stack_id, e.meta.tgid),
            Event::Map(e) => self.resolve(e.call.stack_id, e.meta.tgid),
            Event::Fatal(e) if !e.stack.is_empty() => Some(self.named(&e.stack, e.meta.tgid)),
            _ => None,
        }
    }

    /// What a Go runtime says as it ends its process: a text that is not resident is a constant of its file.
    pub(super) fn message(&mut self, event: &FatalEvent) -> Option<String> {
        let text = &event.text;
        let bytes = text.bytes.clone().or_else(|| {
            let pid = event.meta.tgid;
            let (address, length) = match text.address.zip(text.length_bytes) {
                Some(known) => known,
                None => {
                    let string = self.symbolizer.constant(pid, text.string_address?, 2 * size_of::<u64>())?;
                    let [address, length] = bytemuck::try_pod_read_unaligned(&string).ok()?;
                    (address, length)
                }
            };
            self.symbolizer.constant(pid, address, FATAL_TEXT_BYTES.min(usize::try_from(length).ok()?))
        })?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The function that wanted the call, behind those that only carry it out: `main.load (load.go:17)`.
    pub(super) fn creator(&mut self, event: &MapEvent) -> Option<Arc<str>> {
        let frames = self.resolve(event.call.stack_id, event.meta.tgid)?;
        let is_carrier = |name: &str| CARRIERS.iter().any(|carrier| name.starts_with(carrier));
        let named = || frames.iter().filter_map(|frame| Some((frame, frame.function.as_deref()?)));
        let (frame, function) = named().find(|(_, name)| !is_carrier(name)).or_else(|| named().next())?;
        let file = frame.file.as_deref().and_then(|path| path.rsplit('/').next());
        Some(match file.zip(frame.line) {
            Some((file, line)) => format!("{function} ({file}:{line})").into(),
            None => function.into(),
        })
    }

    fn resolve(&mut self, stack_id: Option<u32>, tgid: u32) -> Option<Vec<Frame>> {
        let addresses = self.stacks.as_ref()?.get(stack_id?)?;
        Some(self.named(&addresses, tgid))
    }

    fn named(&mut self, addresses: &[u64], tgid: u32) -> Vec<Frame> {
        let resolved = self.symbolizer.resolve(tgid, addresses);
        resolved.into_iter().map(|f| Frame { function: f.function, file: f.file, line: f.line }).collect()
    }
}
