//! The health check: each target is asked for its health over HTTPS.

use google_cloud_compute_v1::model::{
    HTTPSHealthCheck, HealthCheck,
    health_check::Type,
    https_health_check::{PortSpecification, ProxyHeader},
};
use multizone_cloud::{BalancerSpec, CloudError, ClusterName, Result};

use super::description::Description;
use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    networks::{present, unless_absent},
    pages::PAGE,
};

/// Seconds between two probes, and for the answer to one.  A target that fails two is out: an API server has to go on
/// serving for longer than that after it has begun to refuse its health (`--shutdown-delay-duration`).
const INTERVAL: i32 = 2;
/// Successes that make a target healthy.
const HEALTHY: i32 = 1;
/// Failures that make a target unhealthy.
const UNHEALTHY: i32 = 2;

impl ComputeEngine {
    pub(super) async fn ensure_health_check(&self, spec: &BalancerSpec, name: &str) -> Result<()> {
        let object = health_check_object(name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let description = Description::of(spec, region);
        let body = body(&description, name);
        let client = self.clients().region_health_checks().await.about(&object)?;
        let insert = |token| {
            let call = client.insert().set_project(project).set_region(region);
            call.set_request_id(token).set_body(body.clone()).send()
        };
        let look = || self.health_check(name);
        let what = "regionHealthChecks.insert";
        let found = self.found_or_made(&object, look, what, insert).await?;
        let now = Description::parse(found.description.as_deref(), &spec.cluster, region)
            .filter(|now| now.name == spec.name)
            .ok_or_else(|| CloudError::NotOurs { object: object.clone() })?;
        let changes = deviations(&found, &description);
        if now == description && changes.is_empty() {
            return Ok(());
        }
        tracing::info!(target: "multizone::cloud", health_check = name, changes = changes.join(", "), "correcting a health check");
        self.change("regionHealthChecks.update", |token| {
            let call = client
                .update()
                .set_project(project)
                .set_region(region)
                .set_health_check(name);
            call.set_request_id(token).set_body(body.clone()).send()
        })
        .await
        .about(&object)
    }

    pub(super) async fn delete_health_check(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = health_check_object(name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let Some(found) = self.health_check(name).await.about(&object)? else {
            return Ok(());
        };
        if Description::parse(found.description.as_deref(), cluster, region).is_none() {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().region_health_checks().await.about(&object)?;
        self.change("regionHealthChecks.delete", |token| {
            let call = client.delete().set_project(project).set_region(region);
            call.set_health_check(name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The cluster's health checks, each with its document.
    pub(super) async fn health_checks_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<Vec<(Description, HealthCheck)>, Failure> {
        let client = self.clients().region_health_checks().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.list().set_project(project).set_region(region);
            call.set_max_results(PAGE).set_or_clear_page_token(page).send()
        };
        let own = |check: HealthCheck| {
            let description = Description::parse(check.description.as_deref(), cluster, region);
            Ok(description.map(|description| (description, check)))
        };
        self.pages("regionHealthChecks.list", request, own).await
    }

    async fn health_check(&self, name: &str) -> std::result::Result<Option<HealthCheck>, Failure> {
        let client = self.clients().region_health_checks().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = || {
            let call = client.get().set_project(project).set_region(region);
            call.set_health_check(name).send()
        };
        present(self.sender().send("regionHealthChecks.get", request).await)
    }
}

fn health_check_object(name: &str) -> String {
    format!("health check {name}")
}

fn body(description: &Description, name: &str) -> HealthCheck {
    let https = HTTPSHealthCheck::new()
        .set_port(i32::from(description.port))
        .set_port_specification(PortSpecification::UseFixedPort)
        .set_proxy_header(ProxyHeader::None)
        .set_request_path(&description.health_path);
    HealthCheck::new()
        .set_name(name)
        .set_description(description.text())
        .set_type(Type::Https)
        .set_check_interval_sec(INTERVAL)
        .set_timeout_sec(INTERVAL)
        .set_healthy_threshold(HEALTHY)
        .set_unhealthy_threshold(UNHEALTHY)
        .set_https_health_check(https)
}

/// What a health check does otherwise than its document says, in words.
pub(super) fn deviations(check: &HealthCheck, description: &Description) -> Vec<String> {
    let mut found = Vec::new();
    if check.r#type != Some(Type::Https) {
        let kind = check.r#type.as_ref().and_then(Type::name).unwrap_or("of no kind");
        found.push(format!("its health check is {kind}, not HTTPS"));
        return found;
    }
    let https = check.https_health_check.clone().unwrap_or_default();
    let path = https.request_path.as_deref().unwrap_or("/");
    if path != description.health_path {
        found.push(format!(
            "its health check asks for {path}, not {}",
            description.health_path
        ));
    }
    let port = https.port.unwrap_or(443);
    if port != i32::from(description.port)
        || https
            .port_specification
            .is_some_and(|of| of != PortSpecification::UseFixedPort)
    {
        found.push(format!(
            "its health check asks at port {port}, not {}",
            description.port
        ));
    }
    if https.host.is_some_and(|host| !host.is_empty()) || https.response.is_some_and(|response| !response.is_empty()) {
        found.push("its health check asks for a host or a response".to_owned());
    }
    let pace = [
        check.check_interval_sec,
        check.timeout_sec,
        check.healthy_threshold,
        check.unhealthy_threshold,
    ];
    if pace != [Some(INTERVAL), Some(INTERVAL), Some(HEALTHY), Some(UNHEALTHY)] {
        found.push("its health check asks at another pace".to_owned());
    }
    found
}
