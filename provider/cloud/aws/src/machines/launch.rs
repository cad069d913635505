//! The launch of an instance, once, whatever becomes of the replies.
//!
//! # Flow
//! The token is made of the machine's name and a generation, so that a run that comes after a crash asks with the same
//! one.  EC2 remembers a token for a day and longer, past the instance's end: a token that has led to an instance that is
//! gone, or that was used with other parameters (another join token in the user data), belongs to an earlier machine of
//! that name, and the next generation's is taken, but only after the machine was looked for.  Before a launch is tried
//! again after a reply that was lost, the machine is looked for, too.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, Image,
    Instance, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification,
    InstanceType, ResourceType, ShutdownBehavior, TagSpecification, VolumeType,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use multizone_cloud::{CloudError, Labels, MachineSpec, Result, label};

use crate::{
    Aws,
    failure::{About as _, Failure},
    instances::is_leaving,
    making::Called,
    requests::token,
    tags::at_birth,
};

/// The most generations of a token that are tried.
const GENERATIONS: u32 = 64;
/// How often a machine is looked for whose token is known already: EC2 shows what it has made a little later.
const LOOKS: u32 = 4;
/// A token that has led to an instance that is gone.
const USED_UP: &str = "TokenUsedUp";
/// What a profile that was made a moment ago is refused with.
const UNKNOWN_PROFILE: &str = "Invalid IAM Instance Profile";

/// What a machine is launched from.
struct Launch<'a> {
    spec: &'a MachineSpec,
    image: Image,
    subnet: String,
    group: String,
    tags: [TagSpecification; 3],
}

impl Aws {
    pub(super) async fn launch(&self, spec: &MachineSpec, object: &str) -> Result<Instance> {
        let subnet = self.subnet_in(&spec.cluster, &spec.zone).await.about(object)?;
        let subnet = subnet
            .and_then(|subnet| subnet.subnet_id)
            .ok_or_else(|| CloudError::NotFound {
                object: format!("subnet of cluster {} in {}", spec.cluster, spec.zone),
            })?;
        let launch = Launch {
            spec,
            image: self.image_of(spec).await?,
            subnet,
            group: self.role_group(&spec.cluster, spec.role).await?,
            tags: self.tags_at_launch(spec),
        };
        let (mut generation, mut attempts) = (0, 0);
        loop {
            let token = self.launch_token(spec, generation);
            let failure = match self.run_instances(&launch, &token).await {
                Ok(instance) if !is_leaving(&instance) => {
                    self.let_pods_route(&instance).await.about(object)?;
                    return Ok(instance);
                }
                Ok(_) => Failure::failed(USED_UP, "every token leads to a machine that is gone"),
                Err(failure) => failure,
            };
            // An earlier launch may have made it.
            if let Some(instance) = self.seen_soon(spec, &failure).await.about(object)? {
                self.let_pods_route(&instance).await.about(object)?;
                return Ok(instance);
            }
            attempts += 1;
            if (failure.is(&[USED_UP]) || is_mismatch(&failure)) && generation < GENERATIONS {
                generation += 1;
            } else if is_unknown_profile(&failure) && attempts < self.sender().attempts() * 2 {
                self.sender().pause(&failure, attempts.min(5)).await;
            } else if failure.is_transient() && attempts < self.sender().attempts() {
                self.sender().pause(&failure, attempts).await;
            } else {
                let attempts = attempts.max(failure.attempts);
                return Err(self.refused(Failure { attempts, ..failure }, spec, object).await);
            }
        }
    }

    fn launch_token(&self, spec: &MachineSpec, generation: u32) -> String {
        let generation = generation.to_string();
        let region = self.settings().region.as_str();
        token(&[region, spec.cluster.as_str(), &spec.zone, &spec.name, &generation])
    }

    /// The machine, if it is there after all; looked for a few times where its token is known.
    async fn seen_soon(&self, spec: &MachineSpec, failure: &Failure) -> Called<Option<Instance>> {
        let looks = if is_mismatch(failure) { LOOKS } else { 1 };
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(self.settings().timeouts.first_pause * look).await;
            }
            let found = self.instance(&spec.zone, &spec.name).await?;
            if let Some(found) = found.filter(|found| !is_leaving(found)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn tags_at_launch(&self, spec: &MachineSpec) -> [TagSpecification; 3] {
        let own = self.tags(&spec.cluster, &spec.name, &spec.labels);
        let boot = Labels::from([
            (label::BOOT.to_owned(), "true".to_owned()),
            (label::REGION.to_owned(), self.settings().region.clone()),
            (label::ZONE.to_owned(), spec.zone.clone()),
        ]);
        let boot = self.tags(&spec.cluster, &spec.name, &boot);
        let interface = self.tags(&spec.cluster, &spec.name, &Labels::new());
        [
            at_birth(ResourceType::Instance, &own),
            at_birth(ResourceType::Volume, &boot),
            at_birth(ResourceType::NetworkInterface, &interface),
        ]
    }

    async fn run_instances(&self, launch: &Launch<'_>, token: &str) -> Called<Instance> {
        let spec = launch.spec;
        let client = &self.clients().ec2;
        let boot = BlockDeviceMapping::builder()
            .device_name(launch.image.root_device_name().unwrap_or("/dev/sda1"))
            .ebs(
                EbsBlockDevice::builder()
                    .volume_type(VolumeType::Gp3)
                    .volume_size(i32::try_from(spec.boot_disk_gb).unwrap_or(i32::MAX))
                    .encrypted(true)
                    .delete_on_termination(true)
                    .build(),
            )
            .build();
        let interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&launch.subnet)
            .groups(&launch.group)
            // Without one it would reach nothing outside its network.
            .associate_public_ip_address(true)
            .delete_on_termination(true)
            .build();
        // Pods are a hop away from the machine that they run on: they do not get its credentials.
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .http_tokens(HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .build();
        let profile = spec.identity.as_deref().map(|identity| {
            let profile = IamInstanceProfileSpecification::builder();
            if identity.starts_with("arn:") {
                profile.arn(identity).build()
            } else {
                profile.name(identity).build()
            }
        });
        let reply = self
            .call_once("ec2:RunInstances", || {
                client
                    .run_instances()
                    .client_token(token)
                    .min_count(1)
                    .max_count(1)
                    .image_id(launch.image.image_id().unwrap_or_default())
                    .instance_type(InstanceType::from(spec.machine_type.as_str()))
                    .block_device_mappings(boot.clone())
                    .network_interfaces(interface.clone())
                    .metadata_options(metadata.clone())
                    .set_iam_instance_profile(profile.clone())
                    .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop)
                    .user_data(STANDARD.encode(&spec.user_data))
                    .set_tag_specifications(Some(launch.tags.to_vec()))
                    .send()
            })
            .await?;
        let made = reply.instances.unwrap_or_default().into_iter().next();
        made.ok_or_else(|| Failure::unreadable("the reply names no instance"))
    }

    /// Pod networks that route, rather than tunnel, send packets from pod addresses.
    async fn let_pods_route(&self, instance: &Instance) -> Called<()> {
        if instance.source_dest_check == Some(false) {
            return Ok(());
        }
        let client = &self.clients().ec2;
        let id = instance.instance_id().unwrap_or_default();
        let attempt = || async {
            let changed = self
                .call("ec2:ModifyInstanceAttribute", || {
                    client
                        .modify_instance_attribute()
                        .instance_id(id)
                        .source_dest_check(AttributeBooleanValue::builder().value(false).build())
                        .send()
                })
                .await;
            match changed {
                // It is not shown everywhere yet.
                Err(failure) if failure.is_not_found() => Ok(None),
                changed => changed.map(|_| Some(())),
            }
        };
        self.poll("it to be known", attempt).await
    }

    /// The error of a launch, with what the user can choose instead.
    async fn refused(&self, failure: Failure, spec: &MachineSpec, object: &str) -> CloudError {
        let lacking = failure.is(&["InsufficientInstanceCapacity", "Unsupported", "InsufficientCapacity"]);
        let error = failure.into_create_error(object);
        if !lacking {
            return error;
        }
        let Ok(mut others) = self.zones_that_offer(&spec.machine_type).await else {
            return error;
        };
        others.remove(&spec.zone);
        let others: Vec<_> = others.into_iter().collect();
        error.and(&if others.is_empty() {
            format!(
                "no other zone of {} offers {}",
                self.settings().region,
                spec.machine_type
            )
        } else {
            format!("{} is on offer in {} too", spec.machine_type, others.join(", "))
        })
    }
}

fn is_mismatch(failure: &Failure) -> bool {
    failure.is(&["IdempotentParameterMismatch", "IdempotentInstanceTerminated"])
}

fn is_unknown_profile(failure: &Failure) -> bool {
    failure.message.contains(UNKNOWN_PROFILE)
}
