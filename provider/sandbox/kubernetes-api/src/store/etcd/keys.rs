//! Where Kubernetes keeps what: the keys under `/registry/`.

use crate::resources::{RESOURCES, Resource, by_id};
use crate::store::{Key, SERVERS};

/// Before every key.
pub(super) const ROOT: &[u8] = b"/registry/";

/// Resources whose place is not simply their plural; for historical reasons, or because two have the same plural.
const PLACES: &[(&str, &str)] = &[
    ("nodes", "minions"),
    ("services", "services/specs"),
    ("endpoints", "services/endpoints"),
    ("replicationcontrollers", "controllers"),
    ("ingresses.networking.k8s.io", "ingress"),
    ("events.events.k8s.io", "events.k8s.io/events"),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiextensions.k8s.io/customresourcedefinitions",
    ),
    (
        "apiservices.apiregistration.k8s.io",
        "apiregistration.k8s.io/apiservices",
    ),
];

fn place(id: &str) -> &str {
    let special = PLACES.iter().find(|(one, _)| *one == id);
    special.map_or_else(|| id.split('.').next().unwrap_or(id), |(_, place)| place)
}

/// The etcd key of an object.
pub(super) fn path_of(key: &Key) -> Vec<u8> {
    let place = place(&key.resource);
    if key.namespace.is_empty() {
        format!("/registry/{place}/{}", key.name).into_bytes()
    } else {
        format!("/registry/{place}/{}/{}", key.namespace, key.name).into_bytes()
    }
}

/// The object that an etcd key is of, if it is one that this server knows.
pub(super) fn read(path: &[u8]) -> Option<Key> {
    let path = std::str::from_utf8(path).ok()?.strip_prefix("/registry/")?;
    let below = |place: &str| path.strip_prefix(place)?.strip_prefix('/');
    if let Some(name) = below(SERVERS) {
        return Some(Key::new(SERVERS, "", name));
    }
    let special = PLACES.iter().find_map(|(id, place)| Some((by_id(id)?, below(place)?)));
    let (resource, rest) = special.or_else(|| {
        let plural = path.split('/').next()?;
        let resource = RESOURCES
            .iter()
            .find(|one| one.plural == plural && place(&one.id()) == plural)?;
        Some((resource, below(plural)?))
    })?;
    key_within(resource, rest)
}

fn key_within(resource: &Resource, rest: &str) -> Option<Key> {
    let (namespace, name) = if resource.namespaced {
        rest.split_once('/')?
    } else {
        ("", rest)
    };
    let plain = !name.is_empty() && !name.contains('/');
    plain.then(|| Key::new(&resource.id(), namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_kubernetes_has_them() {
        for (key, path) in [
            (Key::new("pods", "default", "web"), "/registry/pods/default/web"),
            (Key::new("nodes", "", "n1"), "/registry/minions/n1"),
            (
                Key::new("services", "default", "kubernetes"),
                "/registry/services/specs/default/kubernetes",
            ),
            (
                Key::new("endpoints", "default", "kubernetes"),
                "/registry/services/endpoints/default/kubernetes",
            ),
            (
                Key::new("leases.coordination.k8s.io", "kube-system", "kube-scheduler"),
                "/registry/leases/kube-system/kube-scheduler",
            ),
            (
                Key::new("clusterroles.rbac.authorization.k8s.io", "", "system:node"),
                "/registry/clusterroles/system:node",
            ),
            (
                Key::new("masterleases", "", "10.0.0.2"),
                "/registry/masterleases/10.0.0.2",
            ),
        ] {
            assert_eq!(path_of(&key), path.as_bytes());
            assert_eq!(read(path.as_bytes()), Some(key));
        }
    }

    #[test]
    fn every_resource_has_a_place_of_its_own() {
        for resource in RESOURCES {
            let namespace = if resource.namespaced { "ns" } else { "" };
            let key = Key::new(&resource.id(), namespace, "name");
            assert_eq!(read(&path_of(&key)), Some(key));
        }
    }

    #[test]
    fn other_keys_are_nobodys() {
        for path in [
            "compact_rev_key",
            "/registry/ranges/serviceips",
            "/registry/pods/x",
            "/other/pods/a/b",
        ] {
            assert_eq!(read(path.as_bytes()), None, "{path}");
        }
    }
}
