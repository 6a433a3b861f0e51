//! Call sites of memory calls: the user stacks that the probes took, symbolised.
use crate::event::{Event, MapEvent};
use crate::goruntime::Symbolizer;
use crate::kernel::Stacks;
use crate::sink::Frame;
use std::sync::Arc;

/// Packages through which a mapping is made, not by which.
const CARRIERS: &[&str] = &["runtime.", "syscall.", "internal/", "golang.org/x/sys/", "vendor/"];

pub(super) struct Sites {
    stacks: Stacks,
    symbolizer: Symbolizer,
}

impl Sites {
    pub(super) fn new(stacks: Stacks) -> Sites {
        Sites { stacks, symbolizer: Symbolizer::new() }
    }

    /// While the process lives: its files are opened now.
    pub(super) fn attach(&mut self, pid: u32) {
        self.symbolizer.attach(pid);
    }

    /// The user stack of an event, innermost first.
    pub(super) fn frames(&mut self, event: &Event) -> Option<Vec<Frame>> {
        match event {
            Event::Advise(e) => self.resolve(e.call.stack_id, e.meta.tgid),
            Event::Map(e) => self.resolve(e.call.stack_id, e.meta.tgid),
            _ => None,
        }
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
        let addresses = self.stacks.get(stack_id?)?;
        let resolved = self.symbolizer.resolve(tgid, &addresses);
        Some(resolved.into_iter().map(|f| Frame { function: f.function, file: f.file, line: f.line }).collect())
    }
}
