//! What the region offers: zones and machine types.

use google_cloud_compute_v1::model::{self, zone::Status};
use multizone_cloud::{MachineType, Result, Zone};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    names::{last_segment, region_of},
    networks::present,
    pages::PAGE,
};

impl ComputeEngine {
    pub(crate) async fn zones_on_offer(&self) -> Result<Vec<Zone>> {
        let object = format!("the zones of {}", self.settings().region);
        let mut zones = self.list_zones().await.about(&object)?;
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(zones)
    }

    async fn list_zones(&self) -> std::result::Result<Vec<Zone>, Failure> {
        let client = self.clients().zones().await?;
        let project = &self.settings().project;
        let request = |page| {
            let call = client.list().set_project(project).set_max_results(PAGE);
            call.set_or_clear_page_token(page).send()
        };
        let on_offer = |zone: model::Zone| {
            let name = zone.name.unwrap_or_default();
            let region = zone.region.as_deref().map_or_else(|| region_of(&name), last_segment);
            let here = region == self.settings().region && zone.deprecated.is_none();
            let up = zone.status == Some(Status::Up);
            Ok(here.then_some(Zone { name, up }))
        };
        self.pages("zones.list", request, on_offer).await
    }

    pub(crate) async fn machine_type_in(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        let object = format!("machine type {name} in {zone}");
        let found = self.get_machine_type(zone, name).await.about(&object)?;
        Ok(found.map(|found| MachineType {
            name: found.name.unwrap_or_else(|| name.to_owned()),
            cpus: found
                .guest_cpus
                .and_then(|cpus| u32::try_from(cpus).ok())
                .unwrap_or_default(),
            memory_mib: found
                .memory_mb
                .and_then(|memory| u64::try_from(memory).ok())
                .unwrap_or_default(),
        }))
    }

    async fn get_machine_type(
        &self,
        zone: &str,
        name: &str,
    ) -> std::result::Result<Option<model::MachineType>, Failure> {
        let client = self.clients().machine_types().await?;
        let project = &self.settings().project;
        let request = || {
            client
                .get()
                .set_project(project)
                .set_zone(zone)
                .set_machine_type(name)
                .send()
        };
        present(self.sender().send("machineTypes.get", request).await)
    }

    pub(crate) async fn default_service_account(&self) -> Result<String> {
        let object = format!("project {}", self.settings().project);
        let found = self.get_project().await.about(&object)?;
        found
            .default_service_account
            .filter(|account| !account.is_empty())
            .ok_or_else(|| multizone_cloud::CloudError::Refused {
                object,
                code: "no default service account".to_owned(),
                reason: "the machines of the control plane run as it: enable the Compute Engine API, which makes it, or undelete it".to_owned(),
            })
    }

    async fn get_project(&self) -> std::result::Result<model::Project, Failure> {
        let client = self.clients().projects().await?;
        let project = &self.settings().project;
        let request = || client.get().set_project(project).send();
        self.sender().send("projects.get", request).await
    }
}
