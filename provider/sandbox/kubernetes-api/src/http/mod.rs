//! The HTTP face: from a request to the objects and back.

mod body;
mod discovery;
mod health;
mod openapi;
mod port_forward;
mod read;
mod request;
mod reviews;
mod watch;
mod write;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::access::{Attributes, Identity, authenticate_token, authorize};
use crate::objects::Api;
use crate::port_forward::PortForward;
use crate::resources::{self, REVIEWS, Resource};
use crate::selectors::Selector;
use crate::status::ApiError;
use request::{Query, Target};

pub(crate) use body::{ResponseBody, failure};
pub(crate) use read::metadata_only;

/// Serves requests of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    pub(crate) api: Api,
    /// Ends watches when the server stops.
    pub(crate) stopping: CancellationToken,
    /// The way to the ports of pods, if there is one.
    pub(crate) port_forward: Option<Arc<dyn PortForward>>,
}

/// A request about a resource, authorized.
#[derive(Debug)]
struct Call {
    who: Identity,
    target: Target,
    query: Query,
    accept: String,
    content_type: String,
    resource: &'static Resource,
}

type Answer = Result<Response<ResponseBody>, ApiError>;

impl Face {
    /// Answers one request.  `certificate` is who the connection's client certificate names.
    pub(crate) async fn answer(
        &self,
        request: Request<hyper::body::Incoming>,
        certificate: Option<&Identity>,
    ) -> Response<ResponseBody> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.route(request, certificate).await;
        let response = answer.unwrap_or_else(|error| failure(&error));
        tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
        response
    }

    async fn route(&self, request: Request<hyper::body::Incoming>, certificate: Option<&Identity>) -> Answer {
        let who = self.identify(&request, certificate).await?;
        let (parts, incoming) = request.into_parts();
        let path = parts.uri.path();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let text = |name: header::HeaderName| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let accept = text(header::ACCEPT);
        let Some(target) = Target::parse(path) else {
            let verb = parts.method.as_str().to_lowercase();
            let wanted = Attributes {
                verb,
                path: Some(path.to_owned()),
                ..Attributes::default()
            };
            authorize(&self.api.store, &who, &wanted)?;
            if parts.method != Method::GET && parts.method != Method::HEAD {
                return Err(ApiError::method_not_allowed());
            }
            return self.document(path, &query, &accept).await;
        };
        let verb = target
            .verb(&parts.method, &query)
            .ok_or_else(ApiError::method_not_allowed)?;
        self.wait_for_the_wanted(verb, &query).await?;
        let mut wanted = target.attributes(verb);
        if matches!(verb, "list" | "watch" | "deletecollection") {
            // Listing one object by its name counts as asking for that object.
            let selector = Selector::parse("", query.get("fieldSelector"))?;
            selector
                .wanted_field("metadata.name")
                .unwrap_or_default()
                .clone_into(&mut wanted.name);
        }
        authorize(&self.api.store, &who, &wanted)?;
        let content_type = text(header::CONTENT_TYPE);
        if REVIEWS
            .iter()
            .any(|one| one.group == target.group && one.plural == target.plural)
        {
            if verb != "create" {
                return Err(ApiError::method_not_allowed());
            }
            let review = body::read(incoming, &content_type).await?;
            return reviews::answer(&self.api.store, &who, &target, review);
        }
        let resource = resources::find(&target.group, &target.version, &target.plural)
            .filter(|resource| resource.namespaced || target.namespace.is_empty() || resource.is_core("namespaces"))
            .ok_or_else(ApiError::no_such_path)?;
        let call = Call {
            who,
            target,
            query,
            accept,
            content_type,
            resource,
        };
        match verb {
            "get" | "create" if call.target.subresource == "portforward" && resource.is_core("pods") => {
                self.port_forward(&call, parts)
            }
            "get" => self.get(&call),
            "list" => self.list(&call),
            "watch" => self.watch(&call),
            "create" => {
                self.create(&call, body::read(incoming, &call.content_type).await?)
                    .await
            }
            "update" => {
                self.update(&call, body::read(incoming, &call.content_type).await?)
                    .await
            }
            "patch" => self.patch(&call, body::read(incoming, &call.content_type).await?).await,
            "delete" => {
                self.delete(&call, body::read(incoming, &call.content_type).await?)
                    .await
            }
            _ => {
                self.delete_collection(&call, body::read(incoming, &call.content_type).await?)
                    .await
            }
        }
    }

    /// Other servers of the cluster write, too: what a request reads must be as new as it may expect.
    async fn wait_for_the_wanted(&self, verb: &str, query: &Query) -> Result<(), ApiError> {
        let wanted = query.get("resourceVersion");
        match (verb, wanted) {
            ("get" | "list" | "watch", "0") | ("watch", _) if !wanted.is_empty() => Ok(()),
            ("get" | "list", _) if !wanted.is_empty() => {
                let message = || format!("Invalid value: \"{wanted}\": invalid resource version");
                let wanted = wanted.parse().map_err(|_| ApiError::bad_request(message()))?;
                if self.api.store.has(wanted).await {
                    Ok(())
                } else {
                    Err(ApiError::revision_too_large(wanted, self.api.store.revision()))
                }
            }
            _ => self.api.catch_up().await,
        }
    }

    async fn document(&self, path: &str, query: &Query, accept: &str) -> Answer {
        if let Some(response) = health::document(path, query, &self.api, &self.stopping).await {
            return Ok(response);
        }
        if let Some(response) = openapi::document(path, accept) {
            return Ok(response);
        }
        discovery::document(path, accept, &self.api.settings).ok_or_else(ApiError::no_such_path)
    }

    async fn authenticate(&self, token: &str) -> Result<Identity, ApiError> {
        let known = || authenticate_token(&self.api.store, token, Timestamp::now());
        if let Some(who) = known() {
            return Ok(who);
        }
        // The token may be one that another server has only just been given.
        let unauthorized = || ApiError::new(401, "Unauthorized", "Unauthorized");
        self.api.catch_up().await.map_err(|_| unauthorized())?;
        known().ok_or_else(unauthorized)
    }

    async fn identify(
        &self,
        request: &Request<hyper::body::Incoming>,
        certificate: Option<&Identity>,
    ) -> Result<Identity, ApiError> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let who = match (certificate, bearer) {
            (Some(certificate), _) => certificate.clone(),
            (None, Some(token)) => self.authenticate(token.trim()).await?,
            (None, None) => Identity::anonymous(),
        };
        let Some(user) = header("impersonate-user") else {
            return Ok(who);
        };
        let groups: Vec<&str> = request
            .headers()
            .get_all("impersonate-group")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let wanted = |resource: &str, name: &str| Attributes {
            verb: "impersonate".into(),
            resource: resource.into(),
            name: name.into(),
            ..Attributes::default()
        };
        authorize(&self.api.store, &who, &wanted("users", user))?;
        for group in &groups {
            authorize(&self.api.store, &who, &wanted("groups", group))?;
        }
        let mut other = Identity::new(user, &groups);
        if user != "system:anonymous" && !other.is_in("system:authenticated") {
            other.groups.push("system:authenticated".to_owned());
        }
        Ok(other)
    }
}

/// A JSON answer.
fn json(code: StatusCode, value: &serde_json::Value) -> Response<ResponseBody> {
    body::respond(code, "application/json", value.to_string())
}
