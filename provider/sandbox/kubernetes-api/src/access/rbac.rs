//! The RBAC authorizer, over the Role, `ClusterRole` and binding objects in the store.

use serde_json::{Value, json};

use super::{Identity, node};
use crate::object::ObjectExt as _;
use crate::status::ApiError;
use crate::store::Store;

/// What someone wants to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The path, for requests that are not about a resource.
    pub(crate) path: Option<String>,
}

impl Attributes {
    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Allows the request, or refuses it in Kubernetes' words.
pub(crate) fn authorize(store: &Store, who: &Identity, wanted: &Attributes) -> Result<(), ApiError> {
    if who.is_in("system:masters") || node::allows(store, who, wanted) || roles_allow(store, who, wanted) {
        return Ok(());
    }
    Err(forbidden(who, wanted))
}

fn roles_allow(store: &Store, who: &Identity, wanted: &Attributes) -> bool {
    rules(store, who, &wanted.namespace)
        .iter()
        .any(|rule| rule_allows(rule, wanted))
}

/// The rules that apply to someone in a namespace, in the two shapes that a `SelfSubjectRulesReview` has.
pub(crate) fn rules_for(store: &Store, who: &Identity, namespace: &str) -> (Vec<Value>, Vec<Value>) {
    let mut all = rules(store, who, namespace);
    if who.is_in("system:masters") {
        all.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        all.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    all.into_iter()
        .partition(|rule| rule.items("/nonResourceURLs").is_empty())
}

fn rules(store: &Store, who: &Identity, namespace: &str) -> Vec<Value> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let mut found = Vec::new();
    for binding in store.all(&format!("clusterrolebindings.{GROUP}")) {
        if binds(&binding, who, "")
            && let Some(role) = store.get(&format!("clusterroles.{GROUP}"), "", binding.text("/roleRef/name"))
        {
            found.extend_from_slice(role.items("/rules"));
        }
    }
    if !namespace.is_empty() {
        for binding in store.list(&format!("rolebindings.{GROUP}"), Some(namespace)).0 {
            if !binds(&binding, who, namespace) {
                continue;
            }
            let name = binding.text("/roleRef/name");
            let role = if binding.text("/roleRef/kind") == "ClusterRole" {
                store.get(&format!("clusterroles.{GROUP}"), "", name)
            } else {
                store.get(&format!("roles.{GROUP}"), namespace, name)
            };
            found.extend(role.iter().flat_map(|role| role.items("/rules").to_vec()));
        }
    }
    found
}

fn binds(binding: &Value, who: &Identity, namespace: &str) -> bool {
    binding
        .items("/subjects")
        .iter()
        .any(|subject| match subject.text("/kind") {
            "User" => subject.text("/name") == who.user,
            "Group" => who.is_in(subject.text("/name")),
            "ServiceAccount" => {
                let of = if subject.namespace_of_subject().is_empty() {
                    namespace
                } else {
                    subject.namespace_of_subject()
                };
                who.user == format!("system:serviceaccount:{of}:{}", subject.text("/name"))
            }
            _ => false,
        })
}

trait Subject {
    fn namespace_of_subject(&self) -> &str;
}

impl Subject for Value {
    fn namespace_of_subject(&self) -> &str {
        self.text("/namespace")
    }
}

/// Whether one policy rule allows what is wanted.
pub(super) fn rule_allows(rule: &Value, wanted: &Attributes) -> bool {
    let has = |field: &str, value: &str| {
        rule.items(field)
            .iter()
            .filter_map(Value::as_str)
            .any(|one| one == "*" || one == value)
    };
    if !has("/verbs", &wanted.verb) {
        return false;
    }
    if let Some(path) = &wanted.path {
        return rule
            .items("/nonResourceURLs")
            .iter()
            .filter_map(Value::as_str)
            .any(|pattern| {
                pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            });
    }
    let resource = wanted.full_resource();
    let resource_fits = rule.items("/resources").iter().filter_map(Value::as_str).any(|one| {
        one == "*"
            || one == resource
            || (!wanted.subresource.is_empty() && one.strip_prefix("*/") == Some(wanted.subresource.as_str()))
    });
    let names = rule.items("/resourceNames");
    let name_fits = names.is_empty() || names.iter().any(|one| one.as_str() == Some(wanted.name.as_str()));
    has("/apiGroups", &wanted.group) && resource_fits && name_fits
}

fn forbidden(who: &Identity, wanted: &Attributes) -> ApiError {
    if let Some(path) = &wanted.path {
        let message = format!("forbidden: User {:?} cannot {} path {:?}", who.user, wanted.verb, path);
        let mut error = ApiError::new(403, "Forbidden", message);
        error.details = Some(json!({}));
        return error;
    }
    let place = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", wanted.namespace)
    };
    let id = if wanted.group.is_empty() {
        wanted.resource.clone()
    } else {
        format!("{}.{}", wanted.resource, wanted.group)
    };
    let name = if wanted.name.is_empty() {
        String::new()
    } else {
        format!(" {:?}", wanted.name)
    };
    let message = format!(
        "{id}{name} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {place}",
        who.user,
        wanted.verb,
        wanted.full_resource(),
        wanted.group,
    );
    let mut error = ApiError::new(403, "Forbidden", message);
    let mut details = json!({"kind": wanted.resource});
    if !wanted.group.is_empty() {
        details["group"] = json!(wanted.group);
    }
    if !wanted.name.is_empty() {
        details["name"] = json!(wanted.name);
    }
    error.details = Some(details);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_cover_verbs_resources_names_and_paths() {
        let rule =
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/status"], "resourceNames": ["a"]});
        assert!(rule_allows(&rule, &wanted("get", "pods", "", "a")));
        assert!(!rule_allows(&rule, &wanted("get", "pods", "", "b")));
        assert!(!rule_allows(&rule, &wanted("list", "pods", "", "")));
        assert!(rule_allows(&rule, &wanted("get", "nodes", "status", "a")));
        assert!(!rule_allows(&rule, &wanted("get", "pods", "log", "a")));
        let path = |path: &str| Attributes {
            verb: "get".into(),
            path: Some(path.into()),
            ..Attributes::default()
        };
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/readyz", "/api/*"]});
        assert!(rule_allows(&urls, &path("/readyz")));
        assert!(rule_allows(&urls, &path("/api/v1")));
        assert!(!rule_allows(&urls, &path("/metrics")));
    }

    #[test]
    fn refusals_read_like_kubernetes() {
        let who = Identity::anonymous();
        let nodes = wanted("list", "nodes", "", "");
        assert_eq!(
            forbidden(&who, &nodes).message,
            "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        let mut pod = wanted("get", "pods", "", "x");
        pod.namespace = "default".into();
        assert_eq!(
            forbidden(&who, &pod).message,
            "pods \"x\" is forbidden: User \"system:anonymous\" cannot get resource \"pods\" in API group \"\" in the namespace \"default\""
        );
    }
}
