//! Files that run qus at boot, in a cluster or before a service. The templates are the files in `manifests/`, which are valid as
//! they are; what is requested replaces their examples.

use super::files::deliver;
use crate::outcome::{Outcome, Report, Separator};
use crate::request::{Deploy, Engine, Runner, Targets};

const SYSTEMD: &str = include_str!("../../manifests/systemd/qus.service");
const SYSTEMD_HOST: &str = include_str!("../../manifests/systemd/qus-host.service");
const OPENRC: &str = include_str!("../../manifests/openrc/qus");
const NAMESPACE: &str = include_str!("../../manifests/kubernetes/namespace.yaml");
const DAEMONSET: &str = include_str!("../../manifests/kubernetes/daemonset.yaml");
const KUSTOMIZATION: &str = include_str!("../../manifests/kubernetes/kustomization.yaml");
const COMPOSE: &str = include_str!("../../manifests/compose.yaml");

/// The examples in the templates: image, qus, directory of emulators, platform.
const IMAGE: &str = "docker.io/aptman/qus";
const PROGRAM: &str = "/usr/local/bin/qus";
const DIR: &str = "/usr/local/lib/qus";
const PLATFORM: &str = "linux/arm64";

impl Deploy {
    /// All targets, with the examples of the templates.
    pub fn new(by: Runner) -> Self {
        Self {
            by,
            targets: Targets::All,
            image: IMAGE.to_owned(),
            program: PROGRAM.to_owned(),
            dir: DIR.to_owned(),
            to: None,
            dry_run: false,
        }
    }
}

pub(super) fn deploy(request: &Deploy, report: &mut Report) -> Outcome {
    // Until the first release, that name is another program's, which takes `install` for something else.
    if request.image == IMAGE && !matches!(request.by, Runner::SystemdHost | Runner::OpenRc) {
        report.note(format!(
            "{IMAGE} is not this qus until it is published: `qus export systemd` and its like take yours with --image"
        ));
    }
    let files = files(request).into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    // Only kustomize reads that file; stdout is for `kubectl apply -f -`.
    let printed = |files: Vec<(String, String)>| match request.to {
        None => files.into_iter().filter(|(_, text)| text != KUSTOMIZATION).collect(),
        Some(_) => files,
    };
    let separator = if request.by == Runner::Kubernetes { Separator::AsDocuments } else { Separator::Not };
    deliver(printed(files), separator, request.to.as_deref(), request.dry_run, report)
}

fn files(request: &Deploy) -> Vec<(&'static str, String)> {
    let targets = match &request.targets {
        Targets::All => Vec::new(),
        Targets::These(targets) => targets.iter().copied().map(str::to_owned).collect(),
        // As the option: spelled out, targets without an emulator there would be errors.
        Targets::AllBut(targets) => targets.iter().map(|target| format!("--except={target}")).collect(),
    };
    let image = (IMAGE, request.image.as_str());
    let on_host = [(PROGRAM, request.program.as_str()), (DIR, &request.dir)];
    let words = targets.join(" ");
    let assignment = ("Environment=TARGETS=", &*format!("Environment=\"TARGETS={words}\""));
    let assignment = if targets.is_empty() { (assignment.0, assignment.0) } else { assignment };
    let default = ("qus_targets:=", &*format!("qus_targets:={words}"));
    let items = format!("{}]", targets.join(", "));
    match request.by {
        Runner::Systemd(Engine::Docker) => vec![("qus.service", fill(SYSTEMD, &[image, assignment]))],
        Runner::Systemd(Engine::Podman) => {
            // Podman has no service that must run.
            let engine =
                [("Requires=docker.service\n", ""), ("docker.service ", ""), ("bin/docker", "bin/podman")];
            let [needs, after, program] = engine;
            vec![("qus.service", fill(SYSTEMD, &[image, assignment, needs, after, program]))]
        }
        Runner::SystemdHost => {
            vec![("qus-host.service", fill(SYSTEMD_HOST, &[on_host[0], on_host[1], assignment]))]
        }
        Runner::OpenRc => vec![("qus", fill(OPENRC, &[on_host[0], on_host[1], default]))],
        Runner::Kubernetes => vec![
            ("namespace.yaml", NAMESPACE.to_owned()),
            ("daemonset.yaml", fill(DAEMONSET, &[image, ("aarch64, arm]", &items)])),
            ("kustomization.yaml", KUSTOMIZATION.to_owned()),
        ],
        Runner::Compose => {
            let example = request.targets.rows().find_map(|a| a.platforms.first().copied());
            let platform = if request.targets == Targets::All { Some(PLATFORM) } else { example };
            // The second service is an example, left out if the targets have no OCI platform.
            let text = match platform {
                Some(_) => COMPOSE,
                None => COMPOSE.split_inclusive("\n\n").next().unwrap_or(COMPOSE).trim_end(),
            };
            let end = if targets.is_empty() { items } else { format!(", {items}") };
            let text = fill(text, &[image, (", aarch64]", &end), (PLATFORM, platform.unwrap_or(PLATFORM))]);
            vec![("compose.yaml", format!("{}\n", text.trim_end()))]
        }
    }
}

/// Replaces the first of each pair by the second, in one pass.
fn fill(template: &str, changes: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), template);
    let next =
        |rest: &str| changes.iter().filter_map(|(from, to)| Some((rest.find(from)?, *from, *to))).min();
    while let Some((at, from, to)) = next(rest) {
        out.push_str(&rest[..at]);
        out.push_str(to);
        rest = &rest[at + from.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [Runner; 6] = [
        Runner::Systemd(Engine::Docker),
        Runner::Systemd(Engine::Podman),
        Runner::SystemdHost,
        Runner::OpenRc,
        Runner::Kubernetes,
        Runner::Compose,
    ];

    #[test]
    fn no_example_is_left_where_something_else_is_requested() {
        for by in EVERY {
            let request = Deploy {
                targets: Targets::These(vec!["riscv64", "s390x"]),
                image: "other/image".into(),
                program: "/opt/q/program".into(),
                dir: "/opt/q/emulators".into(),
                ..Deploy::new(by)
            };
            let text: String = files(&request).into_iter().map(|(_, text)| text).collect();
            for example in [IMAGE, PROGRAM, DIR, PLATFORM, "aarch64", "arm]"] {
                assert!(!text.contains(example), "{by:?}: {example} is left in\n{text}");
            }
            let is_on_host = matches!(by, Runner::SystemdHost | Runner::OpenRc);
            for (there, words) in
                [(!is_on_host, "other/image"), (is_on_host, "/opt/q/program"), (true, "s390x")]
            {
                assert_eq!(text.contains(words), there, "{by:?}: {words} in\n{text}");
            }
        }
    }

    #[test]
    fn an_export_with_defaults_is_the_file_in_manifests() {
        let whole = |by, targets: &[&'static str]| {
            let targets = if targets.is_empty() { Targets::All } else { Targets::These(targets.to_vec()) };
            files(&Deploy { targets, ..Deploy::new(by) })
                .into_iter()
                .map(|(_, text)| text)
                .collect::<String>()
        };
        assert_eq!(whole(Runner::Systemd(Engine::Docker), &[]), SYSTEMD);
        assert_eq!(whole(Runner::SystemdHost, &[]), SYSTEMD_HOST);
        assert_eq!(whole(Runner::OpenRc, &[]), OPENRC);
        assert_eq!(whole(Runner::Compose, &["aarch64"]), COMPOSE);
        let cluster = format!("{NAMESPACE}{DAEMONSET}{KUSTOMIZATION}");
        assert_eq!(whole(Runner::Kubernetes, &["aarch64", "arm"]), cluster);
    }

    #[test]
    fn what_is_left_out_is_left_out_by_the_command() {
        for by in EVERY.into_iter().filter(|by| *by != Runner::Kubernetes) {
            let request = Deploy { targets: Targets::AllBut(vec!["arm", "sh4"]), ..Deploy::new(by) };
            let text: String = files(&request).into_iter().map(|(_, text)| text).collect();
            let separator = if by == Runner::Compose { ", " } else { " " };
            let words = ["--except=arm", "--except=sh4"].join(separator);
            assert!(text.contains(&words) && !text.contains("s390x"), "{by:?}: no {words} in\n{text}");
        }
    }

    #[test]
    fn a_replacement_is_not_replaced_again() {
        assert_eq!(fill("a b c", &[("a", "b"), ("b", "c"), ("c", "")]), "b c ");
        assert_eq!(fill("abc", &[("x", "y")]), "abc");
    }
}
