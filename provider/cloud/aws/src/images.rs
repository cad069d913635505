//! The image that a machine boots from.

use aws_sdk_ec2::types::Image;
use multizone_cloud::{CloudError, MachineSpec, Result};

use crate::{Aws, failure::About as _, making::Called, tags::filter};

/// Canonical's account, which owns Ubuntu's images.
const CANONICAL: &str = "099720109477";

impl Aws {
    /// The image of a machine: an ID, the newest of `OWNER/NAME` with wildcards, or the current Ubuntu 24.04 LTS for the
    /// machine type's architecture.
    pub(crate) async fn image_of(&self, spec: &MachineSpec) -> Result<Image> {
        let wanted = if let Some(image) = &spec.image {
            image.clone()
        } else {
            let object = format!("machine type {}", spec.machine_type);
            let architecture = self.architecture_of(&spec.machine_type).await.about(&object)?;
            format!("{CANONICAL}/ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-*")
        };
        let object = format!("image {wanted}");
        let found = match wanted.split_once('/') {
            _ if wanted.starts_with("ami-") => self.image_by_id(&wanted).await,
            Some((owner, name)) => self.newest_image(owner, name).await,
            None => self.newest_image("self", &wanted).await,
        };
        found.about(&object)?.ok_or_else(|| CloudError::Refused {
            object,
            code: "no such image".to_owned(),
            reason: format!(
                "region {} has none; write an ID such as ami-0123456789abcdef0, or OWNER/NAME, in which * stands for \
                 anything",
                self.settings().region
            ),
        })
    }

    async fn image_by_id(&self, id: &str) -> Called<Option<Image>> {
        let client = &self.clients().ec2;
        let reply = self
            .call("ec2:DescribeImages", || client.describe_images().image_ids(id).send())
            .await;
        match reply {
            Err(failure) if failure.code.starts_with("InvalidAMIID") => Ok(None),
            reply => Ok(reply?.images.unwrap_or_default().into_iter().next()),
        }
    }

    async fn newest_image(&self, owner: &str, name: &str) -> Called<Option<Image>> {
        let client = &self.clients().ec2;
        let reply = self
            .call("ec2:DescribeImages", || {
                client
                    .describe_images()
                    .owners(owner)
                    .filters(filter("name", name))
                    .filters(filter("state", "available"))
                    .send()
            })
            .await?;
        let images = reply.images.unwrap_or_default().into_iter();
        Ok(images.max_by(|a, b| a.creation_date.cmp(&b.creation_date)))
    }
}
