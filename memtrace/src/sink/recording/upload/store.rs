//! The bucket: what it is asked with, and what its errors say.
use super::http::Connector;
use crate::config::file::{Upload, check_endpoint};
use async_trait::async_trait;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::path::Path as Key;
use object_store::{ClientOptions, CredentialProvider, MultipartUpload as _, ObjectStoreExt as _, PutPayload};
use std::error::Error as StdError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What is in memory of a file, and what is sent at once.
pub(super) const BLOCK: usize = 8 << 20;
/// Of a key, or of its secret.
const MAX_KEY_BYTES: usize = 4096;
/// Where machines of a cloud are told their keys.
const INSTANCE: &str = "169.254.169.254:";
/// Of what an error says.
const MAX_SAID: usize = 300;

/// Why a file has not arrived.
#[derive(Debug)]
pub(super) struct Failure {
    /// In one line.
    pub(super) why: String,
    /// Somebody has to do something first.
    pub(super) is_lasting: bool,
}

#[derive(Clone)]
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: String,
    /// Empty: AWS.
    endpoint: String,
    timeout: Duration,
}

impl Bucket {
    pub(super) fn new(config: &Upload) -> Result<Bucket, String> {
        let (bucket, prefix) = config.place().ok_or("url: there is none")?;
        let mut builder = AmazonS3Builder::from_env().with_allow_http(config.allow_http);
        let from_env = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let from_env = from_env.iter().find_map(|key| builder.get_config_value(key));
        let endpoint = if config.endpoint.is_empty() { from_env.unwrap_or_default() } else { config.endpoint.clone() };
        check_endpoint(&endpoint, config.allow_http).map_err(|why| format!("endpoint {endpoint}: {why}"))?;
        if !endpoint.is_empty() {
            let endpoint = if config.virtual_hosted { with_bucket(&endpoint, bucket) } else { endpoint.clone() };
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if !config.region.is_empty() {
            builder = builder.with_region(&config.region);
        }
        if let Some(files) = config.key_files() {
            let files = KeyFiles(files.map(Path::to_owned));
            files.read()?;
            builder = builder.with_credentials(Arc::new(files));
        }
        let is_plain = endpoint.starts_with("http://");
        let connector = Connector::new((!is_plain).then_some(config.ca_file.as_path()))?;
        let built = builder
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(config.virtual_hosted)
            .with_client_options(ClientOptions::new().with_allow_http(config.allow_http))
            .with_http_connector(connector)
            // An attempt is one request: how often, and when, is decided above.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build();
        let store = built.map_err(|why| failure(&why).why)?;
        Ok(Bucket { store, prefix: prefix.to_owned(), endpoint, timeout: config.timeout })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Below the prefix.
    pub(super) fn key(&self, file: &Path) -> Key {
        Key::from_iter(self.prefix.split('/').chain(file.iter().filter_map(|part| part.to_str())))
    }

    /// All at once; a file of more than one block in parts, of which nothing is seen before the last one has come.
    pub(super) async fn put(&self, file: &Path, mut blocks: Blocks) -> Result<u64, Failure> {
        let key = self.key(file);
        let (blocks_read, first) = blocks.next().await.map_err(unread)?;
        blocks = blocks_read;
        if first.len() < BLOCK {
            let bytes = first.len() as u64;
            return self.within(self.store.put(&key, PutPayload::from(first))).await.map(|_| bytes);
        }
        let mut parts = self.within(self.store.put_multipart(&key)).await?;
        let mut bytes = 0;
        let mut block = first;
        let sent = loop {
            bytes += block.len() as u64;
            let is_end = block.len() < BLOCK;
            if !block.is_empty()
                && let Err(why) = self.within(parts.put_part(PutPayload::from(block))).await
            {
                break Err(why);
            }
            if is_end {
                break self.within(parts.complete()).await.map(|_| bytes);
            }
            match blocks.next().await {
                Ok((rest, next)) => (blocks, block) = (rest, next),
                Err(why) => break Err(unread(why)),
            }
        };
        if sent.is_err()
            && let Err(why) = self.within(parts.abort()).await
        {
            log::debug!("upload: parts of {key} stay: {}", why.why);
        }
        sent
    }

    async fn within<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> Result<T, Failure> {
        match timeout(self.timeout, request).await {
            Ok(answer) => answer.map_err(|why| failure(&why)),
            Err(_) => Err(Failure { why: "no answer in time".to_owned(), is_lasting: false }),
        }
    }
}

/// A file, block by block; read where a disk that does not answer holds up nobody.
pub(super) struct Blocks(fs::File);

impl Blocks {
    pub(super) async fn open(path: PathBuf) -> io::Result<Blocks> {
        apart(move || fs::File::open(path).map(Blocks)).await
    }

    /// Less than a block is the end.
    async fn next(self) -> io::Result<(Blocks, Vec<u8>)> {
        apart(move || {
            let left = self.0.metadata()?.len().saturating_sub(io::Seek::stream_position(&mut &self.0)?);
            let mut block = Vec::with_capacity(usize::try_from(left).unwrap_or(BLOCK).min(BLOCK));
            io::Read::read_to_end(&mut io::Read::take(&self.0, BLOCK as u64), &mut block)?;
            Ok((self, block))
        })
        .await
    }
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// `scheme://host` as `scheme://bucket.host`.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{}", host.trim_end_matches('/')),
        None => endpoint.to_owned(),
    }
}

/// Read anew for each request: keys are renewed.
#[derive(Debug)]
struct KeyFiles([PathBuf; 2]);

impl KeyFiles {
    fn read(&self) -> Result<AwsCredential, String> {
        let read = |name: &str, path: &Path| {
            let refused = |why: &str| format!("{name} {}: {why}", path.display());
            let text = fs::read_to_string(path).map_err(|why| refused(&why.to_string()))?;
            let text = text.trim();
            let is_key = (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if is_key { Ok(text.to_owned()) } else { Err(refused("must hold a key, and nothing else")) }
        };
        let [key_id, secret_key] = &self.0;
        Ok(AwsCredential {
            key_id: read("access_key_id_file", key_id)?,
            secret_key: read("secret_access_key_file", secret_key)?,
            token: None,
        })
    }
}

#[async_trait]
impl CredentialProvider for KeyFiles {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |why: String| object_store::Error::Generic { store: "S3", source: why.into() };
        self.read().map(Arc::new).map_err(failed)
    }
}

fn unread(why: io::Error) -> Failure {
    Failure { why: format!("it cannot be read: {why}"), is_lasting: false }
}

/// What is at the bottom of it: what is above says how long it took, which is no news. Of an answer, what the store calls it.
pub(super) fn failure(error: &object_store::Error) -> Failure {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let all = innermost.to_string();
    let said = all.trim_start_matches("Server returned non-2xx status code: ");
    let (head, body) = said.split_at(said.find('<').unwrap_or(said.len()));
    let element = |name: &str| {
        let from = body.split_once(&format!("<{name}>"))?.1;
        Some(from.split_once(&format!("</{name}>"))?.0)
    };
    let parts = [Some(head.trim().trim_end_matches(':')), element("Code"), element("Message")];
    let parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let why: String =
        parts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_SAID).collect();
    let asked = "asked for keys, since there are none in files or in the environment";
    let why = if all.starts_with(INSTANCE) { format!("{why} ({asked})") } else { why };
    let is_lasting = matches!(
        error,
        object_store::Error::NotFound { .. }
            | object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. }
    );
    Failure { why, is_lasting }
}
