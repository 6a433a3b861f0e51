//! Signatures of requests to S3, version 4, made anew from what has come: what was signed is what was sent.
use ring::{digest, hmac};

/// One as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was written, without what is behind the question mark.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }

    /// Of a query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
    }

    /// The access key that it is signed by; panics unless it is, with this secret, as a whole.
    #[track_caller]
    pub(crate) fn signed_by(&self, secret: &str) -> String {
        let given = self.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").expect("version 4");
        let part = |name: &str| {
            let found = given.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name}: {given}"))
        };
        let (key, scope) = part("Credential").split_once('/').expect("a scope");
        let names = part("SignedHeaders");
        for name in ["host", "x-amz-content-sha256", "x-amz-date"] {
            assert!(names.split(';').any(|of| of == name), "{name} is not signed: {names}");
        }
        assert_eq!(self.header("x-amz-content-sha256"), sha256(&self.body), "what has come is another content");
        let headers: String = names.split(';').map(|name| format!("{name}:{}\n", self.header(name).trim())).collect();
        let mut query: Vec<String> = self.query.split('&').filter(|pair| !pair.is_empty()).map(whole).collect();
        query.sort();
        let content = self.header("x-amz-content-sha256");
        let canonical = format!("{}\n{}\n{}\n{headers}\n{names}\n{content}", self.method, self.path, query.join("&"));
        let text =
            format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.header("x-amz-date"), sha256(canonical.as_bytes()));
        let begun = format!("AWS4{secret}").into_bytes();
        let key_of = scope.split('/').fold(begun, |key, part| mac(&key, part));
        assert_eq!(part("Signature"), hex(&mac(&key_of, &text)), "{canonical}");
        key.to_owned()
    }
}

fn whole(pair: &str) -> String {
    if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
