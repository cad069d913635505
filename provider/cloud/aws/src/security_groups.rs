//! Firewall rules, as the permissions of two security groups: one that every master is in, and one for workers.
//!
//! A permission says in its description which rule it belongs to; whatever else somebody has put into a group is theirs.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup, UserIdGroupPair};
use multizone_cloud::{CloudError, ClusterName, FirewallRule, FirewallSpec, Result, Role};

use crate::{
    Aws,
    failure::{About as _, unless_absent, unless_exists},
    making::Called,
    tags::{NAME, Tags, at_birth, is_of, of_cluster, of_ec2},
};

const ROLES: [Role; 2] = [Role::Master, Role::Worker];

/// How a permission's description begins; the rule's name follows.
const DESCRIPTION: &str = "multizone rule ";

/// One permission: protocol, ports, and one source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    protocol: String,
    ports: (i32, i32),
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Range(String),
    Group(String),
    /// Anything that no rule of ours has: IPv6, prefix lists.
    Other(String),
}

impl Aws {
    /// `marks` are tags that they get beside their own when they are made.
    pub(crate) async fn ensure_role_groups(&self, cluster: &ClusterName, vpc: &str, marks: &Tags) -> Result<()> {
        let client = &self.clients().ec2;
        for role in ROLES {
            let object = format!("security group of the {role}s of cluster {cluster}");
            let tags = self.tags(cluster, &group_name(role), marks);
            let look = || async { Ok(self.role_groups_of(cluster).await?.remove(&role)) };
            let make = || async {
                let made = self
                    .call_once("ec2:CreateSecurityGroup", || {
                        client
                            .create_security_group()
                            .group_name(format!("multizone-{cluster}-{role}"))
                            .description(format!("The {role}s of Multizone cluster {cluster}"))
                            .vpc_id(vpc)
                            .tag_specifications(at_birth(ResourceType::SecurityGroup, &tags))
                            .send()
                    })
                    .await?;
                let id = made.group_id;
                Ok(SecurityGroup::builder().set_group_id(id).build())
            };
            self.found_or_made(&object, look, make).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_role_groups(&self, cluster: &ClusterName) -> Result<()> {
        let object = format!("security groups of cluster {cluster}");
        let groups = self.role_groups_of(cluster).await.about(&object)?;
        // They name each other, and what is named stays.
        for group in groups.values() {
            let all = group.ip_permissions().to_vec();
            self.revoke(group.group_id().unwrap_or_default(), all)
                .await
                .about(&object)?;
        }
        let client = &self.clients().ec2;
        for group in groups.values() {
            let id = group.group_id().unwrap_or_default();
            self.once_free(|| async {
                self.call("ec2:DeleteSecurityGroup", || {
                    client.delete_security_group().group_id(id).send()
                })
                .await
                .map(drop)
                .or_else(unless_absent)
            })
            .await
            .about(&format!("security group {id}"))?;
        }
        Ok(())
    }

    pub(crate) async fn ensure_firewall(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        let object = rule_object(&spec.name);
        let groups = self.role_groups_of(&spec.cluster).await.about(&object)?;
        let mut wanted = BTreeSet::new();
        for role in &spec.source_roles {
            let group = groups.get(role).and_then(|group| group.group_id.clone());
            let missing = || CloudError::NotFound {
                object: format!("security group of the {role}s of cluster {}", spec.cluster),
            };
            wanted.extend(permissions(spec, &Source::Group(group.ok_or_else(missing)?)));
        }
        for range in &spec.source_ranges {
            wanted.extend(permissions(spec, &Source::Range(range.to_string())));
        }
        for role in ROLES {
            let targeted = spec.target_roles.is_empty() || spec.target_roles.contains(&role);
            let none = BTreeSet::new();
            let Some(group) = groups.get(&role) else {
                if targeted {
                    return Err(CloudError::NotFound {
                        object: format!("security group of the {role}s of cluster {}", spec.cluster),
                    });
                }
                continue;
            };
            let here = if targeted { &wanted } else { &none };
            self.correct(group, &spec.name, here).await.about(&object)?;
        }
        Ok(FirewallRule {
            name: spec.name.clone(),
            spec: spec.clone().sorted(),
            unexpected: None,
        })
    }

    pub(crate) async fn delete_firewall(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = rule_object(name);
        for group in self.role_groups_of(cluster).await.about(&object)?.values() {
            self.correct(group, name, &BTreeSet::new()).await.about(&object)?;
        }
        Ok(())
    }

    /// Makes a rule's permissions in a group these.
    async fn correct(&self, group: &SecurityGroup, rule: &str, wanted: &BTreeSet<Permission>) -> Called<()> {
        let id = group.group_id().unwrap_or_default();
        let present = listed(group);
        let is_ours =
            |description: &Option<String>| description.as_deref().is_some_and(|text| rule_of(text) == Some(rule));
        // AWS knows a permission once, whatever its description says.
        let surplus = present
            .iter()
            .filter(|(permission, description)| is_ours(description) != wanted.contains(permission));
        let surplus: Vec<_> = surplus.map(|(permission, _)| permission.on_the_wire(None)).collect();
        self.revoke(id, surplus).await?;
        let there: BTreeSet<_> = present
            .iter()
            .filter(|(_, description)| is_ours(description))
            .map(|(permission, _)| permission.clone())
            .collect();
        let description = format!("{DESCRIPTION}{rule}");
        let missing: Vec<_> = wanted
            .difference(&there)
            .map(|permission| permission.on_the_wire(Some(&description)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let client = &self.clients().ec2;
        self.call("ec2:AuthorizeSecurityGroupIngress", || {
            client
                .authorize_security_group_ingress()
                .group_id(id)
                .set_ip_permissions(Some(missing.clone()))
                .send()
        })
        .await
        .map(drop)
        .or_else(unless_exists)
    }

    async fn revoke(&self, group: &str, permissions: Vec<IpPermission>) -> Called<()> {
        if permissions.is_empty() {
            return Ok(());
        }
        let client = &self.clients().ec2;
        self.call("ec2:RevokeSecurityGroupIngress", || {
            client
                .revoke_security_group_ingress()
                .group_id(group)
                .set_ip_permissions(Some(permissions.clone()))
                .send()
        })
        .await
        .map(drop)
        .or_else(unless_absent)
    }

    /// The security groups of a cluster's roles.
    pub(crate) async fn role_groups_of(&self, cluster: &ClusterName) -> Called<BTreeMap<Role, SecurityGroup>> {
        let client = &self.clients().ec2;
        let groups = self
            .pages(|token| async move {
                let reply = self
                    .call("ec2:DescribeSecurityGroups", || {
                        client
                            .describe_security_groups()
                            .filters(of_cluster(cluster))
                            .set_next_token(token.clone())
                            .send()
                    })
                    .await?;
                Ok((reply.security_groups.unwrap_or_default(), reply.next_token))
            })
            .await?;
        let role = |group: &SecurityGroup| {
            let tags = of_ec2(group.tags());
            let name = tags.get(NAME)?;
            let role = ROLES.into_iter().find(|role| group_name(*role) == *name)?;
            is_of(&tags, cluster).then_some(role)
        };
        Ok(groups
            .into_iter()
            .filter_map(|group| Some((role(&group)?, group)))
            .collect())
    }

    /// The security group that machines of a role are in.
    pub(crate) async fn role_group(&self, cluster: &ClusterName, role: Role) -> Result<String> {
        let object = format!("security group of the {role}s of cluster {cluster}");
        let found = self.role_groups_of(cluster).await.about(&object)?.remove(&role);
        found
            .and_then(|group| group.group_id)
            .ok_or(CloudError::NotFound { object })
    }

    /// The cluster's rules, as their permissions say.
    pub(crate) async fn firewall_rules_of(&self, cluster: &ClusterName) -> Called<Vec<FirewallRule>> {
        let groups = self.role_groups_of(cluster).await?;
        Ok(rules(cluster, &groups))
    }
}

fn group_name(role: Role) -> String {
    format!("{role}s")
}

fn rule_object(name: &str) -> String {
    format!("firewall rule {name}")
}

fn rule_of(description: &str) -> Option<&str> {
    description.strip_prefix(DESCRIPTION)
}

fn permissions(spec: &FirewallSpec, source: &Source) -> Vec<Permission> {
    let permission = |protocol: &str, ports| Permission {
        protocol: protocol.to_owned(),
        ports,
        source: source.clone(),
    };
    if spec.all_protocols {
        return vec![permission("-1", (-1, -1))];
    }
    let ports = spec.tcp_ports.iter();
    ports
        .map(|(first, last)| permission("tcp", (i32::from(*first), i32::from(*last))))
        .collect()
}

impl Permission {
    fn on_the_wire(&self, description: Option<&str>) -> IpPermission {
        let permission = IpPermission::builder().ip_protocol(&self.protocol);
        let permission = if self.protocol == "-1" {
            permission
        } else {
            permission.from_port(self.ports.0).to_port(self.ports.1)
        };
        let description = description.map(ToOwned::to_owned);
        match &self.source {
            Source::Range(range) | Source::Other(range) => {
                permission.ip_ranges(IpRange::builder().cidr_ip(range).set_description(description).build())
            }
            Source::Group(group) => permission.user_id_group_pairs(
                UserIdGroupPair::builder()
                    .group_id(group)
                    .set_description(description)
                    .build(),
            ),
        }
        .build()
    }
}

/// What a group lets in, one source at a time, each with its description.
fn listed(group: &SecurityGroup) -> Vec<(Permission, Option<String>)> {
    let mut all = Vec::new();
    for found in group.ip_permissions() {
        let protocol = found.ip_protocol().unwrap_or_default();
        let ports = match protocol {
            "-1" => (-1, -1),
            _ => (found.from_port.unwrap_or(-1), found.to_port.unwrap_or(-1)),
        };
        let permission = |source| Permission {
            protocol: protocol.to_owned(),
            ports,
            source,
        };
        for range in found.ip_ranges() {
            let source = Source::Range(range.cidr_ip().unwrap_or_default().to_owned());
            all.push((permission(source), range.description.clone()));
        }
        for pair in found.user_id_group_pairs() {
            let source = Source::Group(pair.group_id().unwrap_or_default().to_owned());
            all.push((permission(source), pair.description.clone()));
        }
        for range in found.ipv6_ranges() {
            let source = Source::Other(range.cidr_ipv6().unwrap_or_default().to_owned());
            all.push((permission(source), range.description.clone()));
        }
        for list in found.prefix_list_ids() {
            let source = Source::Other(list.prefix_list_id().unwrap_or_default().to_owned());
            all.push((permission(source), list.description.clone()));
        }
    }
    all
}

/// The rules that the groups' permissions add up to.
fn rules(cluster: &ClusterName, groups: &BTreeMap<Role, SecurityGroup>) -> Vec<FirewallRule> {
    let mut found: BTreeMap<String, BTreeMap<Role, BTreeSet<Permission>>> = BTreeMap::new();
    for (role, group) in groups {
        for (permission, description) in listed(group) {
            if let Some(rule) = description.as_deref().and_then(rule_of) {
                let of_rule = found.entry(rule.to_owned()).or_default();
                of_rule.entry(*role).or_default().insert(permission);
            }
        }
    }
    let role_of = |id: &str| {
        let mut groups = groups.iter();
        groups.find_map(|(role, group)| (group.group_id() == Some(id)).then_some(*role))
    };
    let rule = |(name, by_role): (String, BTreeMap<Role, BTreeSet<Permission>>)| {
        let mut unexpected = BTreeSet::new();
        let mut sets = by_role.values();
        let first = sets.next().cloned().unwrap_or_default();
        if sets.any(|other| *other != first) {
            unexpected.insert("it is not the same for masters and workers".to_owned());
        }
        let targets: Vec<Role> = by_role.into_keys().collect();
        let mut spec = FirewallSpec {
            cluster: cluster.clone(),
            name: name.clone(),
            source_ranges: Vec::new(),
            source_roles: Vec::new(),
            target_roles: if targets.len() == ROLES.len() {
                Vec::new()
            } else {
                targets
            },
            tcp_ports: Vec::new(),
            all_protocols: false,
        };
        for permission in first {
            match &permission.source {
                Source::Range(range) => match range.parse() {
                    Ok(range) => spec.source_ranges.push(range),
                    Err(_) => drop(unexpected.insert(format!("it lets {range} in"))),
                },
                Source::Group(group) => match role_of(group) {
                    Some(role) => spec.source_roles.push(role),
                    None => drop(unexpected.insert(format!("it lets members of {group} in"))),
                },
                Source::Other(other) => drop(unexpected.insert(format!("it lets {other} in"))),
            }
            let ports = (u16::try_from(permission.ports.0), u16::try_from(permission.ports.1));
            match (permission.protocol.as_str(), ports) {
                ("-1", _) => spec.all_protocols = true,
                ("tcp", (Ok(first), Ok(last))) => spec.tcp_ports.push((first, last)),
                (protocol, _) => drop(unexpected.insert(format!("it lets protocol {protocol} through"))),
            }
        }
        let unexpected = (!unexpected.is_empty()).then(|| unexpected.into_iter().collect::<Vec<_>>().join(", "));
        FirewallRule {
            name,
            spec: spec.sorted(),
            unexpected,
        }
    };
    found.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, permissions: Vec<IpPermission>) -> SecurityGroup {
        SecurityGroup::builder()
            .group_id(id)
            .set_ip_permissions(Some(permissions))
            .build()
    }

    fn spec() -> FirewallSpec {
        FirewallSpec {
            cluster: ClusterName::new("demo"),
            name: "internal".into(),
            source_ranges: vec!["10.244.0.0/16".parse().unwrap()],
            source_roles: vec![Role::Master, Role::Worker],
            target_roles: Vec::new(),
            tcp_ports: Vec::new(),
            all_protocols: true,
        }
    }

    fn wire(spec: &FirewallSpec) -> Vec<IpPermission> {
        let sources = [
            Source::Range("10.244.0.0/16".into()),
            Source::Group("sg-m".into()),
            Source::Group("sg-w".into()),
        ];
        let permissions = sources.iter().flat_map(|source| permissions(spec, source));
        permissions
            .map(|permission| permission.on_the_wire(Some("multizone rule internal")))
            .collect()
    }

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        let spec = spec();
        let groups = BTreeMap::from([
            (Role::Master, group("sg-m", wire(&spec))),
            (Role::Worker, group("sg-w", wire(&spec))),
        ]);
        let found = rules(&spec.cluster, &groups);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].spec.clone(), found[0].unexpected.clone()), (spec, None));
    }

    #[test]
    fn what_differs_between_the_groups_or_is_foreign_is_said() {
        let spec = spec();
        let mut fewer = wire(&spec);
        fewer.pop();
        let mut more = wire(&spec);
        let foreign = Permission {
            protocol: "udp".into(),
            ports: (53, 53),
            source: Source::Group("sg-x".into()),
        };
        more.push(foreign.on_the_wire(Some("multizone rule internal")));
        more.push(foreign.on_the_wire(Some("somebody's own")));
        let groups = BTreeMap::from([
            (Role::Master, group("sg-m", more)),
            (Role::Worker, group("sg-w", fewer)),
        ]);
        let found = rules(&spec.cluster, &groups);
        assert_eq!(found.len(), 1, "what somebody else has put in is theirs");
        let said = found[0].unexpected.clone().unwrap();
        assert_eq!(
            said,
            "it is not the same for masters and workers, it lets members of sg-x in, it lets protocol udp through"
        );
    }
}
