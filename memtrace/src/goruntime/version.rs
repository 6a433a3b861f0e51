//! The Go version a binary says it was built with, and what follows from it.

/// A parsed `runtime.Version()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// 26 of go1.26.6.
    pub minor: u32,
    /// 6 of go1.26.6; `None` for release candidates, betas and go1.21 style names of old.
    pub patch: Option<u32>,
    /// Not a release: layouts may differ from every table.
    pub is_devel: bool,
    /// What follows `X:`, the GOEXPERIMENTs that differ from the default.
    pub experiments: Vec<String>,
}

impl Version {
    /// `None`: not a version of Go 1. Vendor suffixes (`go1.22.5-fips`, `go1.19.8 (Red Hat …)`) are ignored.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.trim();
        let (number, rest) = digits(&text[text.find("go1.")? + "go1.".len()..])?;
        let (patch, rest) = match rest.strip_prefix('.').and_then(digits) {
            Some((patch, rest)) => (Some(patch), rest),
            None => (None, rest),
        };
        // `go1.27-devel_abc`, `devel go1.27-abc`, `devel +abc`, and betas, which precede the freeze of the layouts.
        let is_devel = text.starts_with("devel") || rest.starts_with("-devel") || rest.starts_with("beta");
        let listed = text.split_once("X:").map_or("", |(_, list)| list);
        let listed = listed.split_whitespace().next().unwrap_or("");
        let experiments = listed.split(',').filter(|x| !x.is_empty()).map(str::to_owned).collect();
        Some(Version { minor: number, patch, is_devel, experiments })
    }
}

/// Leading decimal digits, at most 9 of them, and what follows.
fn digits(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].parse().ok().filter(|_| end <= 9)?;
    Some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goruntime::layout::table;
    use object::elf;

    #[test]
    fn releases_have_minor_and_patch() {
        let v = Version::parse("go1.26.6").unwrap();
        assert_eq!((v.minor, v.patch, v.is_devel, v.experiments.len()), (26, Some(6), false, 0));
        assert_eq!(Version::parse("go1.22.5-fips").unwrap().patch, Some(5));
    }

    #[test]
    fn experiments_follow_a_space_or_a_dash() {
        for text in ["go1.26.6 X:greenteagc,arenas", "go1.26.6-X:greenteagc,arenas"] {
            let v = Version::parse(text).unwrap();
            assert_eq!(v.experiments, ["greenteagc", "arenas"]);
        }
    }

    #[test]
    fn candidates_are_read_and_development_is_refused() {
        let v = Version::parse("go1.27rc1").unwrap();
        assert_eq!((v.minor, v.patch, v.is_devel), (27, None, false));
        for text in ["devel go1.27-0123abc Mon Jan 1 2026", "go1.27-devel_0123abc", "go1.27beta1"] {
            assert!(table::look_up(&Version::parse(text).unwrap(), elf::EM_X86_64).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_versions_are_refused_not_guessed() {
        for text in ["go1.18.10", "go1.20.14", "go1.28.0", "go1.999999999"] {
            assert!(table::look_up(&Version::parse(text).unwrap(), elf::EM_X86_64).is_err(), "{text}");
        }
        for text in ["", "go", "go1", "go1.", "devel +0123abc", "go2.1", "unknown", "go1.9999999999"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }
}
