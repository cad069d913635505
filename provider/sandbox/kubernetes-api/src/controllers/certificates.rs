//! Approves the kubelets' certificate requests and signs what is approved.

use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use crate::access::{Attributes, Identity, authorize};
use crate::authority::{Request, read_request};
use crate::object::{ObjectExt as _, condition_is};
use crate::objects::{Api, Part, set_condition};
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// Approver and signer of `CertificateSigningRequests`.
pub(super) struct Certificates;

const REQUESTS: &str = "certificatesigningrequests.certificates.k8s.io";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

#[async_trait::async_trait]
impl Controller for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn cares(&self, event: &Event) -> bool {
        event.key.resource == REQUESTS
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        for request in api.store.all(REQUESTS) {
            let decided = !request.items("/status/conditions").is_empty();
            if !decided {
                approve(api, &request).await?;
            } else if condition_is(&request, "Approved", "True") && request.text("/status/certificate").is_empty() {
                sign(api, &request).await?;
            }
        }
        Ok(None)
    }
}

fn pem(request: &Value) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(request.text("/spec/request"))
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// Approves a kubelet's first client certificate and its renewals, for whoever RBAC allows that.
async fn approve(api: &Api, request: &Value) -> Result<(), ApiError> {
    let Some(read) = pem(request).and_then(|pem| read_request(&pem)) else {
        return Ok(());
    };
    if request.text("/spec/signerName") != KUBELET_CLIENT || !is_for_a_node(request, &read) {
        return Ok(());
    }
    let groups: Vec<&str> = request.items("/spec/groups").iter().filter_map(Value::as_str).collect();
    let who = Identity::new(request.text("/spec/username"), &groups);
    let renewal = who.user == read.common_name;
    let wanted = Attributes {
        verb: "create".into(),
        group: "certificates.k8s.io".into(),
        resource: "certificatesigningrequests".into(),
        subresource: if renewal { "selfnodeclient" } else { "nodeclient" }.into(),
        ..Attributes::default()
    };
    if authorize(&api.store, &who, &wanted).is_err() {
        return Ok(());
    }
    let now = time::seconds(Timestamp::now());
    let message = if renewal {
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    } else {
        "Auto approving kubelet client certificate after SubjectAccessReview."
    };
    api.adjust(REQUESTS, "", request.name(), Part::Approval, move |request| {
        set_condition(request, "Approved", "True", "AutoApproved", message, &now);
    })
    .await?;
    Ok(())
}

/// Whether the request has the form that kubelets' client certificates must have.
fn is_for_a_node(request: &Value, read: &Request) -> bool {
    let usages: Vec<&str> = request.items("/spec/usages").iter().filter_map(Value::as_str).collect();
    read.organizations == ["system:nodes"]
        && read.common_name.starts_with("system:node:")
        && !read.has_alternative_names
        && usages.contains(&"client auth")
        && usages
            .iter()
            .all(|one| matches!(*one, "client auth" | "digital signature" | "key encipherment"))
}

async fn sign(api: &Api, request: &Value) -> Result<(), ApiError> {
    let signer_name = request.text("/spec/signerName");
    let Some(pem) = pem(request) else { return Ok(()) };
    let fits = match (signer_name, read_request(&pem)) {
        (KUBELET_CLIENT, Some(read)) => is_for_a_node(request, &read),
        (CLIENT, Some(read)) => !read.organizations.iter().any(|one| one == "system:masters"),
        // Other signers are other people's business.
        _ => return Ok(()),
    };
    let outcome = if fits {
        api.settings
            .authority
            .sign(&pem, Timestamp::now())
            .map_err(|error| error.to_string())
    } else {
        Err("the request does not have the form that the signer asks for".to_owned())
    };
    let now = time::seconds(Timestamp::now());
    let conditions = request.items("/status/conditions").to_vec();
    match outcome {
        Ok(certificate) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
            api.adjust(REQUESTS, "", request.name(), Part::Status, move |request| {
                request.put(&["status", "certificate"], json!(encoded));
            })
            .await?;
        }
        Err(why) if !conditions.iter().any(|one| one.text("/type") == "Failed") => {
            api.adjust(REQUESTS, "", request.name(), Part::Approval, move |request| {
                set_condition(request, "Failed", "True", "SignerValidationFailure", &why, &now);
            })
            .await?;
        }
        Err(_) => {}
    }
    Ok(())
}
