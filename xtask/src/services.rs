//! `cargo xtask services`: the Go services that the tests run, out of Debian 12's packages, at `target/services/<program>`.
//! Nothing is installed: each needs the C library only. And the engines that recordings are read with.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::debian::{self, Wanted};
use crate::{engines, paths};

struct Service {
    program: &'static str,
    package: &'static str,
    /// What the tests know; a rebuild of the same by Debian has another hash only.
    upstream: &'static str,
    pool_path: &'static str,
    sha256: &'static str,
}

const SERVICES: &[Service] = &[
    Service {
        program: "prometheus",
        package: "prometheus",
        upstream: "2.42.0",
        pool_path: "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_amd64.deb",
        sha256: "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    },
    // Its tool, out of the same package.
    Service {
        program: "promtool",
        package: "prometheus",
        upstream: "2.42.0",
        pool_path: "pool/main/p/prometheus/prometheus_2.42.0+ds-5+deb12u1_amd64.deb",
        sha256: "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    },
    // Debian 13's, since Debian 12's does not speak OpenTelemetry; it runs on both.
    Service {
        program: "victoria-metrics",
        package: "victoria-metrics",
        upstream: "1.112.0",
        pool_path: "pool/main/v/victoriametrics/victoria-metrics_1.112.0+ds1-2_amd64.deb",
        sha256: "1d3717f1a8ab5bf690271095dd286730f6fb0761cc8c09c0fc8f529c9838f346",
    },
    Service {
        program: "etcd",
        package: "etcd-server",
        upstream: "3.4.23",
        pool_path: "pool/main/e/etcd/etcd-server_3.4.23-4+b4_amd64.deb",
        sha256: "3a9445d4560ad6de1c375756b2a17d97713df44cbd20a658c871fe108af7ef5d",
    },
];

/// What `bench agent` compares the agent with.
const EXPORTERS: &[Service] = &[
    Service {
        program: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
        upstream: "1.5.0",
        pool_path: "pool/main/p/prometheus-node-exporter/prometheus-node-exporter_1.5.0-1+b6_amd64.deb",
        sha256: "8cb5b39627595ea2cf3cd27be593e0e9af87023d29e1c5b8487e2f9510097e09",
    },
    Service {
        program: "prometheus-process-exporter",
        package: "prometheus-process-exporter",
        upstream: "0.7.10",
        pool_path: "pool/main/p/prometheus-process-exporter/prometheus-process-exporter_0.7.10-3+b5_amd64.deb",
        sha256: "148a5eb8d7c2bd971c02afbfab30e01f89defdb47f9ad690bc6d0faa1d46dd0f",
    },
];

pub(crate) fn main() -> Result<ExitCode> {
    fetch()?;
    Ok(ExitCode::SUCCESS)
}

/// All of them, unless they are there.
pub(crate) fn fetch() -> Result<()> {
    provide(SERVICES)?;
    engines::fetch()
}

/// The same of the exporters.
pub(crate) fn fetch_exporters() -> Result<()> {
    provide(EXPORTERS)
}

fn provide(services: &[Service]) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the services are pinned for x86_64 only");
    }
    for service in services {
        let Service { program, package, upstream, pool_path, sha256 } = *service;
        let wanted = Wanted { name: program, package, pool_path, sha256, place: &paths::services().join(program) };
        // Debian keeps only its newest build of an upstream version.
        wanted.provide(|| debian::find(package, upstream), |tree| Ok(tree.join("usr/bin").join(program)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_file_is_the_package_of_the_upstream_version() {
        for service in SERVICES.iter().chain(EXPORTERS) {
            let file = service.pool_path.rsplit('/').next().unwrap();
            assert!(file.starts_with(&format!("{}_{}", service.package, service.upstream)), "{file}");
            assert_eq!(service.sha256.len(), 64, "{file}");
        }
    }
}
