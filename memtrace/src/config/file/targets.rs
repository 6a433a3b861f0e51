//! Which of the processes that are found are meant.
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

/// Of processes that are found, not named: `-a` and what finds them otherwise. See [`ABOUT`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    pub allow: Vec<Rule>,
    pub deny: Vec<Rule>,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    (
        "allow",
        "of what is found only what one of these fits: exe=GLOB, comm=, cgroup=, namespace=, pod=, container=; none: all",
    ),
    ("deny", "and nothing that one of these fits, whatever allows it"),
];

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    Exe,
    Comm,
    /// The path inside any hierarchy.
    Cgroup,
    /// What the kubelet calls it, where its files are at hand.
    Namespace,
    Pod,
    Container,
}

impl Trait {
    pub const ALL: [Trait; 6] =
        [Trait::Exe, Trait::Comm, Trait::Cgroup, Trait::Namespace, Trait::Pod, Trait::Container];

    pub fn name(self) -> &'static str {
        match self {
            Trait::Exe => "exe",
            Trait::Comm => "comm",
            Trait::Cgroup => "cgroup",
            Trait::Namespace => "namespace",
            Trait::Pod => "pod",
            Trait::Container => "container",
        }
    }
}

/// `exe=/usr/bin/*`; a `*` stands for `/`, too.
#[derive(Clone, Debug)]
pub struct Rule {
    pub of: Trait,
    glob: GlobMatcher,
}

impl Rule {
    pub fn fits(&self, text: &str) -> bool {
        self.glob.is_match(text)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (self.of, self.glob.glob()) == (other.of, other.glob.glob())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.of.name(), self.glob.glob())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        let known = || Trait::ALL.map(|of| format!("{}=GLOB", of.name())).join(", ");
        let (name, glob) = text.split_once('=').ok_or_else(|| format!("{text:?} is none of {}", known()))?;
        let of = Trait::ALL.into_iter().find(|of| of.name() == name.trim());
        let of = of.ok_or_else(|| format!("{text:?} is none of {}", known()))?;
        let glob = Glob::new(glob.trim()).map_err(|why| format!("{text:?}: {why}"))?.compile_matcher();
        Ok(Rule { of, glob })
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Targets {
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// `texts`: all that there is to compare of one trait; asked for no more than a rule needs.
    pub fn admit(&self, mut texts: impl FnMut(Trait) -> Vec<String>) -> bool {
        let mut fits = |rule: &Rule| texts(rule.of).iter().any(|text| rule.fits(text));
        !self.deny.iter().any(&mut fits) && (self.allow.is_empty() || self.allow.iter().any(&mut fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_out_whatever_allows_it() {
        let of = |allow: &[&str], deny: &[&str]| {
            let rules = |of: &[&str]| of.iter().map(|text| text.parse().unwrap()).collect();
            let targets = Targets { allow: rules(allow), deny: rules(deny) };
            targets.admit(|of| match of {
                Trait::Exe => vec!["/opt/shop/web".to_owned()],
                Trait::Cgroup => vec!["/kubepods/pod1/abc".to_owned(), "/".to_owned()],
                Trait::Namespace => vec!["shop".to_owned()],
                _ => Vec::new(),
            })
        };
        assert!(of(&[], &[]));
        assert!(of(&["exe=/opt/*"], &[]) && of(&["comm=x", "namespace=sh?p"], &[]) && of(&["cgroup=/kubepods*"], &[]));
        assert!(!of(&["exe=/usr/*"], &[]) && !of(&["pod=*"], &[]), "what has no pod fits no pod's rule");
        assert!(!of(&["exe=/opt/*"], &["namespace=shop"]) && !of(&[], &["cgroup=*/pod1/*"]) && of(&[], &["pod=*"]));
    }

    #[test]
    fn a_rule_is_printed_as_it_is_read_and_others_are_refused() {
        let rule: Rule = "exe = /a b/*".parse().unwrap();
        assert_eq!((rule.to_string().as_str(), rule.to_string().parse()), ("exe=/a b/*", Ok(rule)));
        for wrong in ["exe", "user=root", "=x", "exe=[a"] {
            let why = wrong.parse::<Rule>().unwrap_err();
            assert!(why.contains(wrong) && !why.contains('\n'), "{why}");
        }
    }
}
