//! Which images of kube-proxy and `CoreDNS` belong to a version.

use crate::kubeadm::DEFAULT_IMAGE_REPOSITORY;
use crate::version::KubernetesVersion;

/// kubeadm's choice of `CoreDNS`, from a minor version of Kubernetes on.
///
/// Source: the constant `CoreDNSVersion` of each release's kubeadm.
const CORE_DNS_FROM: [(u16, [u16; 3]); 6] = [
    (29, [1, 11, 1]),
    (30, [1, 11, 3]),
    (33, [1, 12, 0]),
    (34, [1, 12, 1]),
    (35, [1, 13, 1]),
    (36, [1, 13, 1]),
];

/// kube-proxy's image when it is to be another one. An image of somebody else's making stays.
pub(super) fn kube_proxy(present: &str, repository: &str, version: KubernetesVersion) -> Option<String> {
    if !is("kube-proxy", present) {
        return None;
    }
    let wanted = format!("{repository}/kube-proxy:v{version}");
    (wanted != present).then_some(wanted)
}

/// The image of `CoreDNS` when it is to be another one: never an older one, and one of somebody else's making stays.
pub(super) fn core_dns(present: &str, repository: &str, version: KubernetesVersion) -> Option<String> {
    let (_, tag) = split(present);
    if !is_core_dns(present) {
        return None;
    }
    let present_version = parsed(tag)?;
    let known = CORE_DNS_FROM.iter().rev().find(|(minor, _)| *minor <= version.minor);
    let wanted_version = known.map_or(present_version, |(_, wanted)| present_version.max(*wanted));
    let [major, minor, patch] = wanted_version;
    let tag = if wanted_version == present_version {
        tag.to_owned()
    } else {
        format!("v{major}.{minor}.{patch}")
    };
    // kubeadm has it one level deeper in the default repository, and nowhere else.
    let name = if repository == DEFAULT_IMAGE_REPOSITORY {
        format!("{repository}/coredns/coredns")
    } else {
        format!("{repository}/coredns")
    };
    let wanted = format!("{name}:{tag}");
    (wanted != present).then_some(wanted)
}

/// The version of kube-proxy's image; `None` for one of somebody else's making.
pub(super) fn version_of_kube_proxy(image: &str) -> Option<KubernetesVersion> {
    let version = KubernetesVersion::from_git_version(split(image).1).ok()?;
    is("kube-proxy", image).then_some(version)
}

/// Whether that is an image of `CoreDNS` as kubeadm names it.
pub(super) fn is_core_dns(image: &str) -> bool {
    is("coredns", image)
}

fn is(name: &str, image: &str) -> bool {
    split(image).0.rsplit('/').next() == Some(name)
}

/// An image's name and its tag.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        // A registry's port is no tag.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, ""),
    }
}

fn parsed(tag: &str) -> Option<[u16; 3]> {
    let version = KubernetesVersion::from_git_version(tag).ok()?;
    Some([version.major, version.minor, version.patch])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubernetesVersion {
        text.parse().unwrap()
    }

    #[test]
    fn kube_proxy_has_the_control_planes_version() {
        let image = kube_proxy(
            "registry.k8s.io/kube-proxy:v1.34.1",
            "registry.k8s.io",
            version("1.35.0"),
        );
        assert_eq!(image.as_deref(), Some("registry.k8s.io/kube-proxy:v1.35.0"));
        assert_eq!(kube_proxy("r/kube-proxy:v1.35.0", "r", version("1.35.0")), None);
        assert_eq!(
            kube_proxy("r:5000/kube-proxy", "r:5000", version("1.35.0")).as_deref(),
            Some("r:5000/kube-proxy:v1.35.0")
        );
        assert_eq!(kube_proxy("vendor/proxy:v1", "r", version("1.35.0")), None);
        let of = |image| version_of_kube_proxy(image);
        assert_eq!(of("r:5000/kube-proxy:v1.34.1"), Some(version("1.34.1")));
        for image in ["r:5000/kube-proxy", "vendor/proxy:v1.34.1"] {
            assert_eq!(of(image), None, "{image}");
        }
    }

    #[test]
    fn core_dns_goes_forward_only() {
        let from = |present: &str, to: &str| core_dns(present, DEFAULT_IMAGE_REPOSITORY, version(to));
        assert_eq!(
            from("registry.k8s.io/coredns/coredns:v1.11.3", "1.33.2").as_deref(),
            Some("registry.k8s.io/coredns/coredns:v1.12.0")
        );
        assert_eq!(from("registry.k8s.io/coredns/coredns:v1.14.0", "1.33.2"), None);
        assert_eq!(from("registry.k8s.io/coredns/coredns:latest", "1.33.2"), None);
        assert_eq!(from("vendor/dns:v1.0.0", "1.33.2"), None);
    }

    #[test]
    fn core_dns_moves_to_another_repository() {
        let moved = core_dns(
            "registry.k8s.io/coredns/coredns:v1.14.0",
            "mirror/k8s",
            version("1.34.0"),
        );
        assert_eq!(moved.as_deref(), Some("mirror/k8s/coredns:v1.14.0"));
    }
}
