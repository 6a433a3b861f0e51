//! The chart, rendered by helm, as Kubernetes and the documents want it.
use crate::{done, python, read, said, tool, yaml};
use memtrace_tests::Memtrace;
use serde_json::{Value, json};
use std::process::Command;

/// The oldest that the chart says it is for, and the newest that is known.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];
const NEEDED: [&str; 4] = ["BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_PTRACE"];

/// Other values than the chart's own; as flags of helm.
const VALUES: &[(&str, &[&str])] = &[
    ("as it is", &[]),
    ("an old kernel of Debian's", &["--set=kernel.before_5_11=true,kernel.perfEventParanoid=3"]),
    (
        "every right",
        &[
            "--set=optionalCapabilities.sysResource=true,optionalCapabilities.checkpointRestore=true,optionalCapabilities.sysAdmin=true",
        ],
    ),
    (
        "TLS and a token",
        &["--set=scheme=HTTPS,secrets[0].name=memtrace-tls,secrets[0].mountPath=/etc/memtrace/tls", "--set=port=9461"],
    ),
    ("nothing outlives the pod", &["--set=storage.type=emptyDir", "--set=storage.emptyDirSizeLimit=64Mi"]),
    ("an operator of Prometheus", &["--set=podMonitor.enabled=true,podMonitor.labels.release=prometheus"]),
    ("cgroups that may be written to", &["--set=cgroupReadOnly=false"]),
    ("nobody may connect", &["--set-json=networkPolicy.from=[]"]),
    ("a collector is called", &[r#"--set-json=networkPolicy.egress=[{"ports":[{"protocol":"TCP","port":4317}]}]"#]),
    (
        "some programs only",
        &["--set-json=extraArgs=[\"--comm\",\"api-*\"]", "--set=podLabels.team=a,podAnnotations.b=c"],
    ),
    (
        "a runtime whose profile lets BPF through",
        &["--set=seccompProfile.type=RuntimeDefault,seLinuxOptions.type=spc_t,imagePullSecrets[0].name=r"],
    ),
];

#[track_caller]
fn helm(arguments: &[&str]) -> Command {
    let mut helm = Command::new(tool("deploy/helm/helm.bin", "deploy"));
    helm.args(arguments);
    helm
}

fn template(values: &[&str]) -> Command {
    helm(&[&["template", "memtrace", "deploy/kubernetes/memtrace", "--namespace", "memtrace"], values].concat())
}

#[track_caller]
fn rendered(values: &[&str]) -> Vec<Value> {
    yaml(&done(&mut template(values), ""))
}

#[track_caller]
fn of_kind<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    let mut found = all.iter().filter(|object| object["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    one
}

fn pod(all: &[Value]) -> &Value {
    &of_kind(all, "DaemonSet")["spec"]["template"]["spec"]
}

/// Against the strict schemas, where there are any: those of custom resources are their operators'.
#[track_caller]
fn assert_valid(objects: &[Value], why: &str) {
    let known: Vec<&Value> = objects.iter().filter(|object| object["kind"] != "PodMonitor").collect();
    let stream: String = known.iter().map(|object| format!("---\n{object}\n")).collect();
    for version in KUBERNETES {
        let validate = ["-m", "kubernetes_validate", "--strict", "-k", version, "-"];
        let text = done(python().args(validate), &stream);
        assert_eq!(text.lines().filter(|line| line.contains(" passed ")).count(), known.len(), "{why}: {text}");
    }
}

#[test]
fn it_renders_to_what_kubernetes_accepts_whatever_the_values() {
    let lint = done(&mut helm(&["lint", "--strict", "deploy/kubernetes/memtrace"]), "");
    assert!(lint.contains("1 chart(s) linted, 0 chart(s) failed"), "{lint}");
    // All at once: the validator takes a second to start.
    let mut all = Vec::new();
    for (why, values) in VALUES {
        let objects = rendered(values);
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        let mut expected = vec!["NetworkPolicy", "ServiceAccount", "ConfigMap", "DaemonSet"];
        if *why == "an operator of Prometheus" {
            expected.push("PodMonitor");
        }
        assert_eq!(kinds, expected, "{why}");
        all.extend(objects);
    }
    for file in ["manifests/namespace.yaml", "examples/sidecar.yaml", "examples/sidecar-agent.yaml"] {
        all.extend(yaml(&read(&format!("deploy/kubernetes/{file}"))));
    }
    assert_valid(&all, "the chart");
}

#[test]
fn the_schemas_refuse_what_is_none_of_kubernetes() {
    let mut all = rendered(&[]);
    let set = all.iter_mut().find(|object| object["kind"] == "DaemonSet").expect("a DaemonSet");
    set["spec"]["template"]["spec"]["hostPid"] = true.into();
    let stream: String = all.iter().map(|object| format!("---\n{object}\n")).collect();
    let (succeeded, text) = said(python().args(["-m", "kubernetes_validate", "--strict", "-"]), &stream);
    assert!(!succeeded && text.contains("hostPid"), "{text}");
}

#[test]
fn what_is_no_value_is_refused() {
    for (wrong, says) in [
        ("--set=ports=1", "additional properties 'ports' not allowed"),
        ("--set=port=0", "minimum: got 0, want 1"),
        ("--set=storage.type=nfs", "value must be one of 'hostPath', 'emptyDir'"),
        ("--set=image.digest=sha256:1", "does not match pattern"),
        ("--set=kernel.perfEventParanoid=x", "got string, want integer"),
        ("--set=secrets[0].name=a,secrets[0].mountPath=/etc/passwd", "does not match pattern"),
    ] {
        let (succeeded, text) = said(&mut template(&[wrong]), "");
        assert!(!succeeded && text.contains(says), "{wrong}: {text}");
    }
}

/// The rights that docs/operations.md names, and nothing beside them.
#[test]
fn the_security_context_is_exactly_what_is_documented() {
    let all = rendered(&[]);
    let pod = pod(&all);
    let [container] = pod["containers"].as_array().expect("containers").as_slice() else { panic!("{pod}") };
    assert_eq!(
        container["securityContext"],
        json!({
            "runAsUser": 0, "runAsGroup": 0, "privileged": false, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": NEEDED},
            "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"},
        })
    );
    for (key, value) in [("hostPID", true), ("hostNetwork", false), ("hostIPC", false)] {
        assert_eq!(pod[key], value, "{key}");
    }
    assert_eq!((&pod["initContainers"], &pod["automountServiceAccountToken"]), (&Value::Null, &json!(false)));
    assert_eq!(
        (&pod["priorityClassName"], &pod["tolerations"]),
        (&json!("system-node-critical"), &json!([{"operator": "Exists"}]))
    );
    let mounts: Vec<(&str, bool)> = container["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|mount| (mount["mountPath"].as_str().expect("a path"), mount["readOnly"] == true))
        .collect();
    assert_eq!(
        mounts,
        [
            ("/etc/memtrace/agent.toml", true),
            ("/var/lib/memtrace", false),
            ("/sys/kernel/tracing", true),
            ("/sys/fs/cgroup", true)
        ]
    );
    assert_eq!(
        pod["volumes"],
        json!([
            {"name": "config", "configMap": {"name": "memtrace"}},
            {"name": "data", "hostPath": {"path": "/var/lib/memtrace", "type": "DirectoryOrCreate"}},
            {"name": "tracefs", "hostPath": {"path": "/sys/kernel/tracing", "type": "Directory"}},
            {"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}},
        ])
    );
    assert_eq!(of_kind(&all, "ServiceAccount")["automountServiceAccountToken"], false);
    let policy = &of_kind(&all, "NetworkPolicy")["spec"];
    assert_eq!((&policy["egress"], &policy["policyTypes"]), (&json!([]), &json!(["Ingress", "Egress"])), "{policy}");
    assert_eq!(
        policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "monitoring"
    );
}

#[test]
fn rights_are_added_by_kernel_and_by_wish() {
    for (values, more) in [
        ("kernel.before_5_11=true", &["SYS_RESOURCE"][..]),
        ("kernel.perfEventParanoid=2", &[]),
        ("kernel.perfEventParanoid=3", &["SYS_ADMIN"]),
        ("optionalCapabilities.sysAdmin=true,kernel.perfEventParanoid=4", &["SYS_ADMIN"]),
        ("optionalCapabilities.sysResource=true,kernel.before_5_11=true", &["SYS_RESOURCE"]),
        ("optionalCapabilities.checkpointRestore=true", &["CHECKPOINT_RESTORE"]),
    ] {
        let all = rendered(&["--set", values]);
        let capabilities = &pod(&all)["containers"][0]["securityContext"]["capabilities"];
        let added = [&NEEDED, more].concat();
        assert_eq!(*capabilities, json!({"drop": ["ALL"], "add": added}), "{values}");
    }
}

#[test]
fn probes_and_ports_follow_the_one_port() {
    let all = rendered(VALUES.iter().find(|(why, _)| *why == "TLS and a token").expect("values").1);
    let container = &pod(&all)["containers"][0];
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 9461}]));
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "http", "scheme": "HTTPS"}), "{probe}");
    }
    let secret = container["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .find(|mount| mount["name"] == "secret-memtrace-tls");
    assert_eq!(
        *secret.expect("the secret"),
        json!({"name": "secret-memtrace-tls", "mountPath": "/etc/memtrace/tls", "readOnly": true})
    );
    assert!(of_kind(&all, "ConfigMap")["data"]["agent.toml"].as_str().expect("TOML").contains("0.0.0.0:9461"));
}

/// By the real binary, with the arguments of the container.
#[test]
fn the_configuration_is_accepted_by_memtrace_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("agent.toml");
    let mut seen = Vec::new();
    for (why, values) in VALUES {
        let all = rendered(values);
        let toml = of_kind(&all, "ConfigMap")["data"]["agent.toml"].as_str().expect("TOML");
        if seen.iter().any(|seen| seen == toml) {
            continue;
        }
        seen.push(toml.to_owned());
        std::fs::write(&file, toml).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let ended = Memtrace::run(&["agent", "--print-config", "--config", file]);
        assert_eq!(ended.code(), Some(0), "{why}: {}", ended.stderr);
        let port = pod(&all)["containers"][0]["ports"][0]["containerPort"].as_u64().expect("a port");
        for line in [
            &format!("listen = \"0.0.0.0:{port}\""),
            "directory = \"/var/lib/memtrace/oom\"",
            "allow_any_address = true",
        ] {
            assert!(ended.lines.iter().any(|printed| printed == line), "{why}: {line}: {:?}", ended.lines);
        }
        let arguments = pod(&all)["containers"][0]["args"].as_array().expect("arguments");
        let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        assert_eq!(arguments[..2], ["agent", "--config=/etc/memtrace/agent.toml"], "{why}");
    }
}

#[test]
fn the_plain_manifests_are_the_rendered_chart() {
    let plain = read("deploy/kubernetes/manifests/memtrace.yaml");
    assert!(plain.trim() == done(&mut template(&[]), "").trim(), "cargo xtask deploy --render writes it anew");
}

/// What `kubectl debug --custom` adds is a container's part; it must be valid as one, and BPF is not among its rights.
#[test]
fn a_look_from_within_a_pod_takes_two_rights() {
    let [mut look] = yaml(&read("deploy/kubernetes/examples/look.yaml")).try_into().expect("one document");
    let capabilities = json!({"drop": ["ALL"], "add": ["DAC_READ_SEARCH", "SYS_PTRACE"]});
    assert_eq!(look["securityContext"]["capabilities"], capabilities);
    look["name"] = "look".into();
    look["image"] = "memtrace".into();
    let [mut pod] = yaml(&read("deploy/kubernetes/examples/sidecar.yaml")).try_into().expect("one document");
    assert_eq!(pod["spec"]["shareProcessNamespace"], true);
    pod["spec"]["containers"].as_array_mut().expect("containers").push(look);
    assert_valid(&[pod], "with a look");
}

/// One that stays: the shipped rights, and a configuration that the agent takes.
#[test]
fn an_agent_beside_one_pod_has_the_rights_of_the_daemon_set() {
    let [settings, pod] =
        yaml(&read("deploy/kubernetes/examples/sidecar-agent.yaml")).try_into().expect("two documents");
    assert_eq!((&pod["spec"]["shareProcessNamespace"], &pod["spec"]["hostPID"]), (&json!(true), &Value::Null));
    let agent = &pod["spec"]["containers"][1];
    let capabilities = json!({"drop": ["ALL"], "add": ["BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_PTRACE"]});
    assert_eq!(agent["securityContext"]["capabilities"], capabilities);
    let cgroup = json!({"name": "cgroup", "mountPath": "/sys/fs/cgroup", "readOnly": true});
    assert!(agent["volumeMounts"].as_array().expect("mounts").contains(&cgroup), "accounts of its neighbours");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("agent.toml");
    std::fs::write(&file, settings["data"]["agent.toml"].as_str().expect("text")).expect("a file");
    let ended = Memtrace::run(&["agent", "--check-config", "--config", file.to_str().expect("UTF-8")]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
}
