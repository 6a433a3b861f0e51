//! Reads Debian's package indices and unpacks one package, leaving apt's lists and dpkg's state alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, bail};

use crate::progress::Step;
use crate::{paths, proc};

/// Searched in this order until the exact version turns up; backports and the newest suites have recent compilers.
const SUITES: &[&str] = &[
    "trixie-backports",
    "sid",
    "forky",
    "forky-backports",
    "trixie",
    "bookworm-backports",
    "experimental",
    "bookworm",
];

/// One package of one suite.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) suite: String,
    pub(crate) url: String,
    pub(crate) sha256: String,
}

/// One file out of a pinned package.
pub(crate) struct Wanted<'a> {
    /// What it is called by on the way.
    pub(crate) name: &'a str,
    pub(crate) package: &'a str,
    pub(crate) pool_path: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) place: &'a Path,
}

impl Wanted<'_> {
    /// Puts it in its place, unless it is there. `other`: the package to take when Debian no longer has the pinned one;
    /// `file`: where it lies in the unpacked package.
    pub(crate) fn provide(
        &self,
        other: impl FnOnce() -> Result<Package>,
        file: impl FnOnce(&Path) -> Result<PathBuf>,
    ) -> Result<()> {
        let mut record = self.place.as_os_str().to_owned();
        record.push(".sha256");
        if self.place.is_file() && fs::read_to_string(&record).is_ok_and(|sha256| sha256 == self.sha256) {
            return Ok(());
        }
        let step = Step::start(self.name, "fetching Debian's package");
        let (version, tree) = self
            .unpack(other, &step)
            .with_context(|| format!("{} cannot be had from Debian's archive", self.package))?;
        if let Some(dir) = self.place.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::rename(file(&tree)?, self.place).with_context(|| format!("cannot make {}", self.place.display()))?;
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
        fs::write(&record, self.sha256).with_context(|| format!("cannot write {}", record.display()))?;
        step.done(&version);
        Ok(())
    }

    /// The version of the package that is unpacked, and where.
    fn unpack(&self, other: impl FnOnce() -> Result<Package>, step: &Step) -> Result<(String, PathBuf)> {
        let pinned = Package::pinned(self.pool_path, self.sha256)?;
        match fetch_and_unpack(&pinned) {
            Err(error) if is_refused(&error) => {
                let other = other()?;
                let Package { name, version, suite, .. } = &other;
                step.heartbeat(&format!("{} is gone; {name} {version} of {suite} instead", self.pool_path));
                let tree = fetch_and_unpack(&other)?;
                Ok((other.version, tree))
            }
            tree => Ok((pinned.version, tree?)),
        }
    }
}

/// The package `name` whose upstream version is exactly `upstream`.
pub(crate) fn find(name: &str, upstream: &str) -> Result<Package> {
    let mirror = mirror()?;
    let architecture = proc::capture(Command::new("dpkg").arg("--print-architecture"))?;
    for suite in SUITES {
        for arch in ["all", architecture.as_str()] {
            let index = match index(&mirror, suite, arch) {
                // A suite without such an index is normal.
                Err(error) if is_refused(&error) => continue,
                index => index?,
            };
            if let Some(package) = pick(&index, name, upstream, suite, &mirror) {
                return Ok(package);
            }
        }
    }
    bail!("no Debian suite has {name} {upstream}")
}

/// The newest package of a suite, for machines of `arch`, that has a name as wanted.
pub(crate) fn newest(suite: &str, arch: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Package> {
    let mirror = mirror()?;
    let index = index(&mirror, suite, arch)?;
    let stanzas = index.split("\n\n").filter_map(|stanza| package_in(stanza, suite, &mirror));
    let newest = stanzas.filter(|package| is_wanted(&package.name)).max_by_key(|package| numbers(&package.version));
    newest.with_context(|| format!("{suite} has none that could take its place"))
}

/// The Packages file of a suite.
fn index(mirror: &str, suite: &str, arch: &str) -> Result<String> {
    let dir = paths::downloads();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let index = dir.join(format!("Packages-{suite}-{arch}.xz"));
    if let Err(error) = download(&format!("{mirror}/dists/{suite}/main/binary-{arch}/Packages.xz"), &index) {
        return Err(if is_refused(&error) { error } else { error.context("Debian's archive cannot be reached") });
    }
    let text = proc::capture(Command::new("xz").arg("-dc").arg(&index))?;
    fs::remove_file(&index).ok();
    Ok(text)
}

impl Package {
    /// A file of the archive's pool, such as `pool/main/g/go/go_1.19_amd64.deb`, with the hash it must have.
    pub(crate) fn pinned(pool_path: &str, sha256: &str) -> Result<Self> {
        let file = pool_path.rsplit('/').next().unwrap_or_default();
        let mut parts = file.split('_');
        let (Some(name), Some(version)) = (parts.next(), parts.next()) else { bail!("{file} is no package") };
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            suite: "pool".to_owned(),
            url: format!("{}/{pool_path}", mirror()?),
            sha256: sha256.to_owned(),
        })
    }
}

/// Downloads, checks and unpacks a package; the directory with its tree.
pub(crate) fn fetch_and_unpack(package: &Package) -> Result<PathBuf> {
    let tree = paths::downloads().join(&package.name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    unpack(&fetch(package)?, &tree)?;
    Ok(tree)
}

/// Downloads and checks a package, unless that was done before.
pub(crate) fn fetch(package: &Package) -> Result<PathBuf> {
    let dir = paths::downloads();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let deb = dir.join(format!("{}_{}.deb", package.name, package.version));
    if sha256(&deb).ok().as_deref() != Some(package.sha256.as_str()) {
        download(&package.url, &deb)?;
        let got = sha256(&deb)?;
        if got != package.sha256 {
            fs::remove_file(&deb).ok();
            bail!("{} {}: sha256 is {got}, expected {}", package.name, package.version, package.sha256);
        }
    }
    Ok(deb)
}

/// Adds the files of a package to `tree`.
pub(crate) fn unpack(deb: &Path, tree: &Path) -> Result<()> {
    proc::capture(Command::new("dpkg-deb").arg("-x").arg(deb).arg(tree)).map(drop)
}

/// The Debian archive among apt's configured sources.
fn mirror() -> Result<String> {
    let targets = proc::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(COMPONENT)",
        "Identifier: Packages",
    ]))
    .context("apt's sources cannot be read")?;
    pick_mirror(&targets).context("apt has no Debian archive among its sources")
}

fn pick_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let (uri, component) = line.split_once(' ')?;
        let uri = uri.trim_end_matches('/');
        (component == "main" && uri.ends_with("/debian")).then(|| uri.to_owned())
    })
}

/// The stanza of exactly this upstream version in a Packages index.
fn pick(index: &str, name: &str, upstream: &str, suite: &str, mirror: &str) -> Option<Package> {
    let mut packages = index.split("\n\n").filter_map(|stanza| package_in(stanza, suite, mirror));
    packages.find(|package| package.name == name && upstream_of(&package.version) == upstream)
}

fn package_in(stanza: &str, suite: &str, mirror: &str) -> Option<Package> {
    let field = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        suite: suite.to_owned(),
        url: format!("{mirror}/{}", field("Filename")?),
        sha256: field("SHA256")?.to_owned(),
    })
}

/// Versions of one series compare like their numbers.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// `1:1.95.0+dfsg1-2~bpo13+1` is upstream `1.95.0`.
fn upstream_of(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['+', '-', '~']).next().unwrap_or(version)
}

fn download(url: &str, to: &Path) -> Result<()> {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "10"]);
    curl.args(["--max-time", "600", "--output"]).arg(to).arg(url);
    proc::capture(&mut curl).map(drop)
}

/// Whether the server has answered that there is no such file.
fn is_refused(error: &Error) -> bool {
    error.to_string().contains("(22)")
}

fn sha256(path: &Path) -> Result<String> {
    let line = proc::capture(Command::new("sha256sum").arg("--").arg(path))?;
    line.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: rust-src\nVersion: 1.94.1+dfsg1-1~bpo13+3\nFilename: pool/a.deb\nSHA256: aa\n\n\
        Package: rust-src-web\nVersion: 1.95.0+dfsg1-2\nFilename: pool/w.deb\nSHA256: ww\n\n\
        Package: rust-src\nVersion: 1.95.0+dfsg1-2~bpo13+1\nFilename: pool/b.deb\nSHA256: bb\n";

    #[test]
    fn exactly_the_asked_version_is_picked() {
        let package = pick(INDEX, "rust-src", "1.95.0", "s", "http://m/debian").unwrap();
        assert_eq!((package.url.as_str(), package.sha256.as_str()), ("http://m/debian/pool/b.deb", "bb"));
        assert_eq!(pick(INDEX, "rust-src", "1.95", "s", "http://m/debian"), None);
    }

    #[test]
    fn versions_of_a_series_compare_by_number() {
        assert!(numbers("6.1.176-1") > numbers("6.1.99-2"));
        assert!(numbers("7.3.4-1~bpo13+1") > numbers("7.3-1~exp1"));
    }

    #[test]
    fn upstream_versions_lose_epoch_and_revision() {
        assert_eq!(upstream_of("1:1.95.0+dfsg1-2"), "1.95.0");
        assert_eq!(upstream_of("1.98.0-1"), "1.98.0");
    }

    #[test]
    fn the_mirror_is_the_archive_not_security_or_others() {
        let targets =
            "http://x/debian-security/ main\nhttp://y/apt/ main\nhttp://x/debian/ contrib\nhttp://x/debian/ main";
        assert_eq!(pick_mirror(targets).as_deref(), Some("http://x/debian"));
        assert_eq!(pick_mirror("http://y/apt/ main"), None);
    }
}
