//! The backend service: the instance groups, behind one health check.

use std::collections::{BTreeMap, BTreeSet};

use google_cloud_compute_v1::model::{
    Backend, BackendService, ConnectionDraining, ResourceGroupReference,
    backend::BalancingMode,
    backend_service::{LoadBalancingScheme, Protocol, SessionAffinity},
    health_status::HealthState,
};
use multizone_cloud::{BalancerSpec, CloudError, ClusterName, Result, TargetHealth};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    machines::LABEL_ATTEMPTS,
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    ownership::Owner,
    pages::PAGE,
};

/// Seconds that the connections of a target that leaves are kept: watches begin anew elsewhere, other requests of the
/// Kubernetes API are answered within.
const DRAINING: i32 = 10;

impl ComputeEngine {
    pub(super) async fn ensure_backend_service(&self, spec: &BalancerSpec, name: &str) -> Result<()> {
        let object = service_object(name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let body = self.service_body(spec, name);
        let client = self.clients().region_backend_services().await.about(&object)?;
        let mut attempt = 1;
        loop {
            let Some(found) = self.backend_service(name).await.about(&object)? else {
                self.change("regionBackendServices.insert", |token| {
                    let call = client.insert().set_project(project).set_region(region);
                    call.set_request_id(token).set_body(body.clone()).send()
                })
                .await
                .or_else(unless_exists)
                .making(&object)?;
                if attempt == LABEL_ATTEMPTS {
                    return Err(CloudError::NotFound { object });
                }
                attempt += 1;
                continue;
            };
            if !self.is_ours(&found, &spec.cluster) {
                return Err(CloudError::NotOurs { object });
            }
            let deviations = self.service_deviations(&found, name);
            if deviations.is_empty() && self.backend_zones(&found, name) == spec.zones {
                return Ok(());
            }
            tracing::info!(target: "multizone::cloud", backend_service = name, deviations = deviations.join(", "), "changing a backend service");
            let body = body.clone().set_or_clear_fingerprint(found.fingerprint);
            let changed = self
                .change("regionBackendServices.update", |token| {
                    let call = client.update().set_project(project).set_region(region);
                    call.set_backend_service(name)
                        .set_request_id(token)
                        .set_body(body.clone())
                        .send()
                })
                .await;
            match changed {
                Err(failure) if failure.is_stale() && attempt < LABEL_ATTEMPTS => attempt += 1,
                changed => return changed.about(&object),
            }
        }
    }

    pub(super) async fn delete_backend_service(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = service_object(name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let Some(found) = self.backend_service(name).await.about(&object)? else {
            return Ok(());
        };
        if !self.is_ours(&found, cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().region_backend_services().await.about(&object)?;
        self.change("regionBackendServices.delete", |token| {
            let call = client.delete().set_project(project).set_region(region);
            call.set_backend_service(name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The cluster's backend services.
    pub(super) async fn backend_services_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<Vec<BackendService>, Failure> {
        let client = self.clients().region_backend_services().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.list().set_project(project).set_region(region);
            call.set_max_results(PAGE).set_or_clear_page_token(page).send()
        };
        let own = |service| Ok(self.is_ours(&service, cluster).then_some(service));
        self.pages("regionBackendServices.list", request, own).await
    }

    async fn backend_service(&self, name: &str) -> std::result::Result<Option<BackendService>, Failure> {
        let client = self.clients().region_backend_services().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = || {
            let call = client.get().set_project(project).set_region(region);
            call.set_backend_service(name).send()
        };
        present(self.sender().send("regionBackendServices.get", request).await)
    }

    /// What the balancer thinks of the machines in one zone, by name.
    pub(super) async fn health(
        &self,
        zone: &str,
        name: &str,
    ) -> std::result::Result<BTreeMap<String, TargetHealth>, Failure> {
        let client = self.clients().region_backend_services().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let body = ResourceGroupReference::new().set_group(self.group_url(zone, name));
        let request = || {
            let call = client.get_health().set_project(project).set_region(region);
            call.set_backend_service(name).set_body(body.clone()).send()
        };
        let reply = self.sender().send("regionBackendServices.getHealth", request).await?;
        let mut found = BTreeMap::new();
        for status in &reply.health_status {
            let Some(machine) = status.instance.as_deref().map(last_segment) else {
                continue;
            };
            found.insert(
                machine.to_owned(),
                match status.health_state {
                    Some(HealthState::Healthy) => TargetHealth::Serving,
                    _ => TargetHealth::Unhealthy,
                },
            );
        }
        Ok(found)
    }

    /// The same, where the zone's group may be no backend (any more): then nobody is asked for its health.
    pub(super) async fn health_if_backend(
        &self,
        zone: &str,
        name: &str,
    ) -> std::result::Result<BTreeMap<String, TargetHealth>, Failure> {
        match self.backend_service(name).await? {
            Some(service) if self.backend_zones(&service, name).contains(zone) => self.health(zone, name).await,
            _ => Ok(BTreeMap::new()),
        }
    }

    fn service_body(&self, spec: &BalancerSpec, name: &str) -> BackendService {
        let backends = spec.zones.iter().map(|zone| {
            Backend::new()
                .set_group(self.group_url(zone, name))
                .set_balancing_mode(BalancingMode::Connection)
        });
        BackendService::new()
            .set_name(name)
            .set_description(self.owner(&spec.cluster, Some(&spec.name)).description())
            .set_protocol(Protocol::Tcp)
            .set_load_balancing_scheme(LoadBalancingScheme::External)
            .set_session_affinity(SessionAffinity::None)
            .set_health_checks([self.regional("healthChecks", name)])
            .set_connection_draining(ConnectionDraining::new().set_draining_timeout_sec(DRAINING))
            .set_backends(backends)
    }

    fn is_ours(&self, service: &BackendService, cluster: &ClusterName) -> bool {
        Owner::parse(service.description.as_deref()).is_some_and(|owner| owner.is(cluster, &self.settings().region))
    }

    fn group_url(&self, zone: &str, name: &str) -> String {
        format!(
            "projects/{}/zones/{zone}/instanceGroups/{name}",
            self.settings().project
        )
    }

    /// The zone of a backend, if it is the balancer's own instance group.
    fn own_zone(&self, backend: &Backend, name: &str) -> Option<String> {
        let (_, path) = backend.group.as_deref()?.split_once("projects/")?;
        let zone = path.split('/').nth(2)?;
        self.group_url(zone, name).ends_with(path).then(|| zone.to_owned())
    }

    /// The zones whose instance groups are backends.
    pub(super) fn backend_zones(&self, service: &BackendService, name: &str) -> BTreeSet<String> {
        service
            .backends
            .iter()
            .filter_map(|backend| self.own_zone(backend, name))
            .collect()
    }

    /// What a backend service is otherwise than it should be, but for its zones.
    pub(super) fn service_deviations(&self, service: &BackendService, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if service.protocol != Some(Protocol::Tcp) {
            let protocol = service.protocol.as_ref().and_then(Protocol::name).unwrap_or("none");
            found.push(format!("its protocol is {protocol}, not TCP"));
        }
        if service.load_balancing_scheme != Some(LoadBalancingScheme::External) {
            found.push("it does not balance traffic from outside".to_owned());
        }
        if let Some(affinity) = service
            .session_affinity
            .as_ref()
            .filter(|affinity| **affinity != SessionAffinity::None)
        {
            found.push(format!(
                "its session affinity is {}, not NONE",
                affinity.name().unwrap_or("another")
            ));
        }
        let check = self.regional("healthChecks", name);
        if !matches!(&service.health_checks[..], [only] if only.ends_with(&check)) {
            let others: Vec<_> = service.health_checks.iter().map(|url| last_segment(url)).collect();
            found.push(format!("its health checks are [{}]", others.join(", ")));
        }
        let draining = service
            .connection_draining
            .as_ref()
            .and_then(|draining| draining.draining_timeout_sec);
        if draining != Some(DRAINING) {
            found.push(format!(
                "it drains connections for {} s, not {DRAINING} s",
                draining.unwrap_or_default()
            ));
        }
        if service.failover_policy.is_some() || service.backends.iter().any(|backend| backend.failover == Some(true)) {
            found.push("it has a failover policy".to_owned());
        }
        for backend in &service.backends {
            let group = backend.group.as_deref().map(last_segment).unwrap_or_default();
            match self.own_zone(backend, name) {
                None => found.push(format!("it has the foreign backend {group}")),
                Some(zone) if backend.balancing_mode != Some(BalancingMode::Connection) => {
                    found.push(format!("its backend in {zone} has another balancing mode"));
                }
                Some(_) => {}
            }
        }
        found
    }
}

fn service_object(name: &str) -> String {
    format!("backend service {name}")
}
