//! The forwarding rule: it listens at the stable address, and exists exactly while the balancer holds that.

use google_cloud_compute_v1::model::{
    ForwardingRule,
    forwarding_rule::{IPProtocol, LoadBalancingScheme},
};
use multizone_cloud::{BalancerSpec, CloudError, ClusterName, Result};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    networks::{present, unless_absent, unless_exists},
    ownership::Owner,
    pages::PAGE,
};

impl ComputeEngine {
    /// Lets a balancer listen at an address that nobody holds.
    pub(crate) async fn listen(&self, cluster: &ClusterName, balancer: &str, address: &str) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let port = self.balancer_port(cluster, balancer).await?;
        self.insert_forwarding_rule(cluster, balancer, address, port).await?;
        let object = rule_object(&name);
        let found = self.forwarding_rule(&name).await.about(&object)?;
        let found = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
        if !self.is_our_rule(&found, cluster) {
            return Err(CloudError::NotOurs { object });
        }
        match found.ip_address.as_deref() {
            Some(now) if now == address => Ok(()),
            now => Err(CloudError::InUse {
                object,
                reason: format!("it listens at {}, not at {address}", now.unwrap_or("no address")),
            }),
        }
    }

    /// Lets a balancer listen nowhere.
    pub(crate) async fn listen_no_more(&self, cluster: &ClusterName, balancer: &str) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let object = rule_object(&name);
        let Some(found) = self.forwarding_rule(&name).await.about(&object)? else {
            return Ok(());
        };
        if !self.is_our_rule(&found, cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().forwarding_rules().await.about(&object)?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        self.change("forwardingRules.delete", |token| {
            let call = client.delete().set_project(project).set_region(region);
            call.set_forwarding_rule(&name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// Makes a rule anew that leads elsewhere than it should: Compute Engine changes none in place.  What came by the old
    /// one did not reach the targets.
    pub(super) async fn correct_forwarding_rule(&self, spec: &BalancerSpec, name: &str) -> Result<()> {
        let object = rule_object(name);
        let Some(found) = self.forwarding_rule(name).await.about(&object)? else {
            return Ok(());
        };
        if !self.is_our_rule(&found, &spec.cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let changes = self.rule_deviations(&found, name, spec.port);
        let (Some(address), false) = (found.ip_address.as_deref(), changes.is_empty()) else {
            return Ok(());
        };
        tracing::info!(target: "multizone::cloud", forwarding_rule = name, changes = changes.join(", "), "making a forwarding rule anew");
        self.listen_no_more(&spec.cluster, &spec.name).await?;
        self.insert_forwarding_rule(&spec.cluster, &spec.name, address, spec.port)
            .await
    }

    async fn insert_forwarding_rule(
        &self,
        cluster: &ClusterName,
        balancer: &str,
        address: &str,
        port: u16,
    ) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let object = rule_object(&name);
        let body = ForwardingRule::new()
            .set_name(&name)
            .set_description(self.owner(cluster, Some(balancer)).description())
            .set_load_balancing_scheme(LoadBalancingScheme::External)
            .set_ip_protocol(IPProtocol::Tcp)
            .set_ip_address(address)
            .set_ports([port.to_string()])
            .set_backend_service(self.regional("backendServices", &name));
        let client = self.clients().forwarding_rules().await.about(&object)?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        self.change("forwardingRules.insert", |token| {
            let call = client.insert().set_project(project).set_region(region);
            call.set_request_id(token).set_body(body.clone()).send()
        })
        .await
        .or_else(unless_exists)
        .making(&object)
    }

    /// The port that a balancer was made for.
    pub(crate) async fn balancer_port(&self, cluster: &ClusterName, balancer: &str) -> Result<u16> {
        let object = self.balancer_object(balancer, &self.names(cluster).balancer(balancer));
        let checks = self.health_checks_of(cluster).await.about(&object)?;
        let own = checks.into_iter().find(|(description, _)| description.name == balancer);
        own.map(|(description, _)| description.port)
            .ok_or(CloudError::NotFound { object })
    }

    /// The cluster's forwarding rules.
    pub(super) async fn forwarding_rules_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<Vec<ForwardingRule>, Failure> {
        let client = self.clients().forwarding_rules().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.list().set_project(project).set_region(region);
            call.set_max_results(PAGE).set_or_clear_page_token(page).send()
        };
        let own = |rule| Ok(self.is_our_rule(&rule, cluster).then_some(rule));
        self.pages("forwardingRules.list", request, own).await
    }

    pub(super) async fn forwarding_rule(&self, name: &str) -> std::result::Result<Option<ForwardingRule>, Failure> {
        let client = self.clients().forwarding_rules().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = || {
            let call = client.get().set_project(project).set_region(region);
            call.set_forwarding_rule(name).send()
        };
        present(self.sender().send("forwardingRules.get", request).await)
    }

    fn is_our_rule(&self, rule: &ForwardingRule, cluster: &ClusterName) -> bool {
        Owner::parse(rule.description.as_deref()).is_some_and(|owner| owner.is(cluster, &self.settings().region))
    }

    /// What a forwarding rule does otherwise than it should.
    pub(super) fn rule_deviations(&self, rule: &ForwardingRule, name: &str, port: u16) -> Vec<String> {
        let mut found = Vec::new();
        if rule
            .ip_protocol
            .as_ref()
            .is_some_and(|protocol| *protocol != IPProtocol::Tcp)
        {
            found.push("its forwarding rule is not for TCP".to_owned());
        }
        // Google answers one port as a range, too.
        let range = format!("{port}-{port}");
        let ports = match (&rule.ports[..], rule.port_range.as_deref()) {
            ([only], _) => *only == port.to_string() || *only == range,
            ([], Some(found)) => found == range || found == port.to_string(),
            _ => false,
        };
        if !ports || rule.all_ports == Some(true) {
            found.push(format!("its forwarding rule listens at other ports than {port}"));
        }
        let service = self.regional("backendServices", name);
        if !rule
            .backend_service
            .as_deref()
            .is_some_and(|url| url.ends_with(&service))
        {
            found.push("its forwarding rule leads elsewhere".to_owned());
        }
        found
    }
}

fn rule_object(name: &str) -> String {
    format!("forwarding rule {name}")
}
