//! Who may read.
use crate::error::Error;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};
use std::net::IpAddr;
use std::path::Path;

/// Of a token; more is no token but a mistake.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no token, or a wrong one.
    Token,
    /// A name that is not ours: a page in somebody's browser that has its own name lead here (DNS rebinding).
    Host,
}

/// A token where there is one; else, on loopback, only names of this machine.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<String>,
    is_loopback: bool,
}

impl Guard {
    pub(super) fn new(token_file: Option<&Path>, is_loopback: bool) -> Result<Guard, Error> {
        Ok(Guard { token: token_file.map(read_token).transpose()?, is_loopback })
    }

    /// `uri_host`: of a request that names it in its first line.
    pub(super) fn check(&self, headers: &HeaderMap, uri_host: Option<&str>) -> Result<(), Refusal> {
        if let Some(token) = &self.token {
            let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let given = given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| is_bearer(scheme));
            return if given.is_some_and(|(_, given)| is_same(given.trim(), token)) {
                Ok(())
            } else {
                Err(Refusal::Token)
            };
        }
        let host = uri_host.or_else(|| headers.get(HOST).map(|value| value.to_str().unwrap_or("?")));
        if self.is_loopback && host.is_some_and(|host| !is_of_this_machine(host)) {
            return Err(Refusal::Host);
        }
        Ok(())
    }
}

fn is_bearer(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer")
}

/// In a time that does not tell how much of it was right.
fn is_same(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == token.len() && differences == 0
}

/// An address, or `localhost`: names lead where somebody else says.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn read_token(path: &Path) -> Result<String, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::Host(format!("token_file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|why| failed(&why))?;
    let token = text.trim();
    if !TOKEN_BYTES.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(&"must hold a token of 16 to 4096 visible ASCII characters, and nothing else"));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(name: hyper::header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_who_has_the_token_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let guard = Guard::new(Some(&path), false).unwrap();
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
            assert_eq!(guard.check(&with(AUTHORIZATION, right), None), Ok(()), "{right}");
        }
        for wrong in
            ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "0123456789abcdef", ""]
        {
            assert_eq!(guard.check(&with(AUTHORIZATION, wrong), None), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(guard.check(&HeaderMap::new(), None), Err(Refusal::Token));
        for none in ["", "short", "0123456789 abcdef", "0123456789abcdéf"] {
            std::fs::write(&path, none).unwrap();
            assert!(matches!(Guard::new(Some(&path), false), Err(Error::Host(_))), "{none}");
        }
        assert!(matches!(Guard::new(Some(&directory.path().join("none")), false), Err(Error::Host(_))));
    }

    #[test]
    fn a_page_with_a_name_of_its_own_reads_nothing() {
        let guard = Guard::new(None, true).unwrap();
        for ours in ["localhost", "LOCALHOST:9460", "127.0.0.1:9460", "[::1]:9460", "[::1]", "10.0.0.1"] {
            assert_eq!(guard.check(&with(HOST, ours), None), Ok(()), "{ours}");
            assert_eq!(guard.check(&with(HOST, "evil.example"), Some(ours)), Ok(()), "{ours}");
        }
        for other in ["evil.example", "evil.example:9460", "localhost.evil.example", "", "[evil]"] {
            assert_eq!(guard.check(&with(HOST, other), None), Err(Refusal::Host), "{other}");
        }
        assert_eq!(guard.check(&HeaderMap::new(), None), Ok(()), "HTTP/1.0");
        // Who reaches it by name elsewhere was let in on purpose.
        assert_eq!(Guard::new(None, false).unwrap().check(&with(HOST, "node-7:9460"), None), Ok(()));
    }
}
