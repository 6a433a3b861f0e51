use super::*;
use flate2::read::GzDecoder;
use std::io::Read as _;
use tar::Archive;

const BINARIES: [(&str, &[u8]); 2] = [("amd64", b"\x7fELF of one machine"), ("arm64", b"\x7fELF of another")];

fn release() -> Release {
    let [revision, created] = ["0123456789abcdef", "2026-11-26T16:00:00+00:00"].map(|text| Some(text.to_owned()));
    Release { version: "1.2.3".to_owned(), revision, created }
}

fn packed() -> (Vec<u8>, String) {
    let mut layout = Layout::default();
    for (architecture, binary) in BINARIES {
        layout.add(architecture, &release(), binary).unwrap();
    }
    layout.finish(&release()).unwrap()
}

/// Path, what the header says and contents.
type Entry = (String, Meta, Vec<u8>);

#[derive(Debug, PartialEq)]
struct Meta {
    mode: u32,
    mtime: u64,
    owner: (u64, u64),
}

const FILE: Meta = Meta { mode: 0o644, mtime: 0, owner: (0, 0) };
const PROGRAM: Meta = Meta { mode: 0o755, ..FILE };

fn read(tar: &[u8]) -> Vec<Entry> {
    let mut archive = Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let meta = Meta { mode: header.mode().unwrap(), mtime: header.mtime().unwrap(), owner };
        (entry.path().unwrap().to_str().unwrap().to_owned(), meta, contents)
    });
    entries.collect()
}

/// The blob that a descriptor names: there, of its size, of its digest.
#[track_caller]
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value, media_type: &str) -> &'a [u8] {
    assert_eq!(descriptor["mediaType"], media_type, "{descriptor}");
    let digest = descriptor["digest"].as_str().unwrap();
    let path = format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap());
    let found = &files[&path];
    assert_eq!(descriptor["size"], found.len(), "{descriptor}");
    assert_eq!(super::digest(found), digest);
    found
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_layout_reads_back_as_it_was_meant() {
    let (tarball, digest) = packed();
    let entries = read(&tarball);
    assert!(entries.iter().all(|(_, meta, _)| *meta == FILE));
    let files: BTreeMap<_, _> = entries.into_iter().map(|(path, _, contents)| (path, contents)).collect();
    // The two heads; an index; and of each machine a manifest, a config and a layer.
    assert_eq!(files.len(), 2 + 1 + 2 * 3);
    assert_eq!(json(&files["oci-layout"]), json!({"imageLayoutVersion": "1.0.0"}));
    let head = json(&files["index.json"]);
    assert_eq!((&head["schemaVersion"], &head["mediaType"]), (&json!(2), &json!(INDEX)));
    let [image] = head["manifests"].as_array().unwrap().as_slice() else { panic!("{head}") };
    assert_eq!(image["digest"], digest);
    assert_eq!(image["annotations"], json!({"org.opencontainers.image.ref.name": "1.2.3"}));
    let index = json(blob(&files, image, INDEX));
    assert_eq!(index["annotations"]["org.opencontainers.image.version"], "1.2.3");
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), BINARIES.len());
    for (manifest, (architecture, binary)) in manifests.iter().zip(BINARIES) {
        assert_eq!(manifest["platform"], json!({"architecture": architecture, "os": "linux"}));
        let manifest = json(blob(&files, manifest, MANIFEST));
        assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &json!(MANIFEST)));
        let config = json(blob(&files, &manifest["config"], CONFIG));
        assert_eq!((&config["architecture"], &config["os"]), (&json!(architecture), &json!("linux")));
        assert_eq!(config["config"]["Entrypoint"], json!(["/memtrace"]));
        assert_eq!(config["config"]["Cmd"], json!(["agent"]));
        assert_eq!(config["config"]["Labels"], manifest["annotations"]);
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "0123456789abcdef");
        assert_eq!(config["created"], "2026-11-26T16:00:00+00:00");
        let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("{manifest}") };
        let mut unpacked = Vec::new();
        GzDecoder::new(blob(&files, layer, LAYER)).read_to_end(&mut unpacked).unwrap();
        assert_eq!(config["rootfs"], json!({"type": "layers", "diff_ids": [super::digest(&unpacked)]}));
        assert_eq!(read(&unpacked), [("memtrace".to_owned(), PROGRAM, binary.to_vec())]);
    }
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    assert!(packed() == packed());
}

#[test]
fn what_is_not_known_is_not_said() {
    let mut layout = Layout::default();
    let release = Release { version: "1".to_owned(), revision: None, created: None };
    layout.add("amd64", &release, b"x").unwrap();
    let (tarball, _) = layout.finish(&release).unwrap();
    let text = String::from_utf8_lossy(&tarball).into_owned();
    assert!(text.contains("org.opencontainers.image.version") && !text.contains("created\""), "{text}");
    assert!(!text.contains("revision"), "{text}");
}
