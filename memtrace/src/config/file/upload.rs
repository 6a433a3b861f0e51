//! Where `memtrace agent` uploads what it has recorded: a bucket of a store that speaks S3.
use super::duration;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(300);
const SCHEME: &str = "s3://";

/// See [`ABOUT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upload {
    pub url: String,
    pub endpoint: String,
    pub region: String,
    pub virtual_hosted: bool,
    pub allow_http: bool,
    pub access_key_id_file: PathBuf,
    pub secret_access_key_file: PathBuf,
    pub ca_file: PathBuf,
    #[serde(with = "duration")]
    pub timeout: Duration,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    ("url", "of memtrace agent: s3://BUCKET/PREFIX, to which files go once they are whole; empty: they stay here only"),
    ("endpoint", "https://HOST:PORT of another store than that of AWS; empty: AWS_ENDPOINT_URL, else AWS by region"),
    ("region", "empty: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1"),
    ("virtual_hosted", "ask BUCKET.HOST instead of HOST/BUCKET"),
    ("allow_http", "an endpoint may be http://: others on the way can read all of it"),
    ("access_key_id_file", "read before each upload; empty: AWS_ACCESS_KEY_ID and the like, else what the cloud gives"),
    ("secret_access_key_file", "of that access key"),
    ("ca_file", "certificates (PEM) that the endpoint is trusted by"),
    ("timeout", "of one attempt: a file, or 8 MiB of a larger one"),
];

impl Default for Upload {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: String::new(),
            virtual_hosted: false,
            allow_http: false,
            access_key_id_file: PathBuf::new(),
            secret_access_key_file: PathBuf::new(),
            ca_file: "/etc/ssl/certs/ca-certificates.crt".into(),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Upload {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if !self.url.is_empty() && self.place().is_none() {
            let why = "must be s3://BUCKET or s3://BUCKET/PREFIX, of letters, digits and any of .-_= in each part";
            return Err(("recording.upload.url", why.to_owned()));
        }
        check_endpoint(&self.endpoint, self.allow_http).map_err(|why| ("recording.upload.endpoint", why))?;
        if self.access_key_id_file.as_os_str().is_empty() != self.secret_access_key_file.as_os_str().is_empty() {
            let why = "and access_key_id_file: one without the other is of no use";
            return Err(("recording.upload.secret_access_key_file", why.to_owned()));
        }
        if self.timeout > LONGEST {
            return Err(("recording.upload.timeout", "must be from 10ms to 5m".to_owned()));
        }
        Ok(())
    }

    /// Bucket and prefix, which may be empty; `None`: nothing is uploaded.
    pub fn place(&self) -> Option<(&str, &str)> {
        let place = self.url.strip_prefix(SCHEME)?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_right = is_name(bucket) && (prefix.is_empty() || prefix.split('/').all(is_name));
        is_right.then_some((bucket, prefix))
    }

    /// Of the access key and its secret.
    pub fn key_files(&self) -> Option<[&Path; 2]> {
        let files = [self.access_key_id_file.as_path(), self.secret_access_key_file.as_path()];
        Some(files).filter(|files| files.iter().all(|path| !path.as_os_str().is_empty()))
    }
}

/// A bucket, or a part of a key that no store, and no URL, writes in another way.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '=');
    !matches!(name, "" | "." | "..") && name.chars().all(is_plain)
}

/// Empty, or scheme, host and port and no more. Of the file, or of AWS' environment variables.
pub fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), String> {
    let host = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
        _ if endpoint.is_empty() => return Ok(()),
        (Some(host), _) => host,
        (None, Some(host)) if allow_http => host,
        (None, Some(_)) => {
            return Err("http:// needs allow_http = true: others on the way can read all of it".to_owned());
        }
        (None, None) => return Err("must begin with https://".to_owned()),
    };
    let host = host.strip_suffix('/').unwrap_or(host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err("must be a host and a port, and no bucket".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_prefix() {
        for (url, place) in [
            ("", None),
            ("s3://b", Some(("b", ""))),
            ("s3://b/", Some(("b", ""))),
            ("s3://my.bucket/fleet/cluster=a/", Some(("my.bucket", "fleet/cluster=a"))),
            ("s3://", None),
            ("s3://b//c", None),
            ("s3://b/../c", None),
            ("s3://b/c d", None),
            ("https://b.s3.amazonaws.com/c", None),
        ] {
            let upload = Upload { url: url.to_owned(), ..Upload::default() };
            assert_eq!(upload.place(), place, "{url}");
            assert_eq!(upload.check().is_ok(), place.is_some() || url.is_empty(), "{url}");
        }
    }

    #[test]
    fn an_endpoint_is_encrypted_unless_it_is_said() {
        for (endpoint, plain, encrypted) in [
            ("", true, true),
            ("https://minio:9000", true, true),
            ("https://[::1]:9000/", true, true),
            ("http://minio:9000", true, false),
            ("minio:9000", false, false),
            ("https://", false, false),
            ("https://minio:9000/bucket", false, false),
            ("https://user@minio", false, false),
        ] {
            let allowed = [true, false].map(|allow_http| check_endpoint(endpoint, allow_http).is_ok());
            assert_eq!(allowed, [plain, encrypted], "{endpoint}");
        }
    }
}
