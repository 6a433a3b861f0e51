/// How text may be decorated; plain by default. Paint only what is already padded: escapes have no width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
}

impl Style {
    pub(in crate::sink) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(in crate::sink) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn alarm(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
