//! The OCI image layout (image-spec 1.1): blobs named by their digest, and an index of one image for each machine.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What the image says of itself.
pub(super) struct Release {
    pub(super) version: String,
    /// The commit; `None`: not known.
    pub(super) revision: Option<String>,
    /// When that was made, as RFC 3339.
    pub(super) created: Option<String>,
}

impl Release {
    /// Annotations of the index and of each manifest, and the labels of each image.
    fn annotations(&self) -> Map<String, Value> {
        let known = [
            ("title", Some("memtrace")),
            (
                "description",
                Some("Page truth for Go: what it gave back, what the kernel took, what came straight back"),
            ),
            ("licenses", Some("MIT OR Apache-2.0")),
            ("version", Some(self.version.as_str())),
            ("revision", self.revision.as_deref()),
            ("created", self.created.as_deref()),
        ];
        let name = |key| format!("org.opencontainers.image.{key}");
        known.into_iter().filter_map(|(key, value)| Some((name(key), value?.into()))).collect()
    }
}

/// One that is being made.
#[derive(Default)]
pub(super) struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Layout {
    /// The image for one machine: `/memtrace` and nothing else. The size of its layer.
    pub(super) fn add(&mut self, architecture: &str, release: &Release, binary: &[u8]) -> Result<usize> {
        let files = layer(binary).context("cannot pack the layer")?;
        let compressed = compress(&files).context("cannot compress the layer")?;
        let size = compressed.len();
        let labels = release.annotations();
        let mut config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/memtrace"], "Cmd": ["agent"], "WorkingDir": "/", "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(&files)]},
            "history": [{"created_by": "cargo xtask image", "comment": "one static binary"}],
        });
        if let Some(created) = &release.created {
            config["created"] = created.as_str().into();
        }
        let layer = self.blob(LAYER, compressed);
        let config = self.json(CONFIG, &config)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": labels,
        });
        let mut manifest = self.json(MANIFEST, &manifest)?;
        manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
        self.manifests.push(manifest);
        Ok(size)
    }

    /// The tarball, and the digest that the image goes by.
    pub(super) fn finish(mut self, release: &Release) -> Result<(Vec<u8>, String)> {
        let annotations = release.annotations();
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests, "annotations": annotations,
        });
        let mut image = self.json(INDEX, &index)?;
        let digest = image["digest"].as_str().context("no digest")?.to_owned();
        // By this name tools find it in the layout.
        image["annotations"] = json!({"org.opencontainers.image.ref.name": release.version});
        let entry = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]});
        let mut tar = Builder::new(Vec::new());
        put(&mut tar, "oci-layout", 0o644, json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
        put(&mut tar, "index.json", 0o644, entry.to_string().as_bytes())?;
        for (digest, blob) in &self.blobs {
            put(&mut tar, &format!("blobs/{}", digest.replace(':', "/")), 0o644, blob)?;
        }
        Ok((tar.into_inner()?, digest))
    }

    fn json(&mut self, media_type: &str, value: &Value) -> Result<Value> {
        Ok(self.blob(media_type, serde_json::to_vec(value)?))
    }

    /// Its descriptor.
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (digest(&bytes), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }
}

fn layer(binary: &[u8]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    put(&mut tar, "memtrace", 0o755, binary)?;
    Ok(tar.into_inner()?)
}

/// Of nobody in particular, of no time: what is the same has the same digest.
fn put(tar: &mut Builder<Vec<u8>>, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(contents.len() as u64);
    tar.append_data(&mut header, path, contents).with_context(|| format!("cannot pack {path}"))
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;
