//! Disks as a list has them, less what nobody asks for.
//!
//! A cluster may have a thousand: Google's own struct for a disk has room for every field there is, which is 1.8 KB for
//! each, before a single text.

use std::collections::HashMap;

use google_cloud_gax::{error::Error as GoogleError, options::RequestOptions, response::Response};
use multizone_cloud::{ClusterName, Disk, Labels, Performance, label};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    ComputeEngine,
    failure::Failure,
    names::last_segment,
    ownership::{filter, labelled},
    pages::{PAGE, Page},
};

/// A page of the disks of all zones.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct DiskPage {
    items: HashMap<String, Scope>,
    next_page_token: Option<String>,
    unreachables: Vec<String>,
}

/// Those of one zone.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope {
    disks: Vec<ListedDisk>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListedDisk {
    /// A number, written as a text.
    id: String,
    name: String,
    zone: String,
    /// A number, written as a text.
    size_gb: String,
    r#type: String,
    users: Vec<String>,
    labels: Labels,
}

impl Page for DiskPage {
    type Item = ListedDisk;

    fn take_token(&mut self) -> Option<String> {
        self.next_page_token.take()
    }

    fn unreachable(&self) -> (&[String], &'static str) {
        (&self.unreachables, "disks")
    }

    fn into_items(self, within: impl Fn(&str) -> bool) -> impl Iterator<Item = Self::Item> {
        let scopes = self.items.into_iter().filter(move |(scope, _)| within(scope));
        scopes.flat_map(|(_, scope)| scope.disks)
    }
}

impl ComputeEngine {
    /// The cluster's disks, those that machines boot from left out as far as they say so.
    pub(crate) async fn disks_of(&self, cluster: &ClusterName) -> Result<Vec<Disk>, Failure> {
        let (project, selected) = (&self.settings().project, filter(cluster));
        let request = |page| self.disk_page(project, &selected, page);
        let own = |found: ListedDisk| {
            let ours = labelled(&found.labels, cluster) && !found.labels.contains_key(label::BOOT);
            ours.then(|| found.facts()).transpose()
        };
        let mut disks = self.pages("disks.aggregatedList", request, own).await?;
        disks.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        disks.shrink_to_fit();
        Ok(disks)
    }

    async fn disk_page(&self, project: &str, filter: &str, page: Option<String>) -> Result<DiskPage, GoogleError> {
        let transport = self.clients().transport();
        let call = transport.call(Method::GET, "projects/{}/aggregated/disks", &[project]);
        let call = call
            .argument("filter", &filter.to_owned())
            .argument("max_results", &PAGE)
            .argument("page_token", &page);
        call.send(&RequestOptions::default()).await.map(Response::into_body)
    }
}

impl ListedDisk {
    fn facts(self) -> Result<Disk, Failure> {
        let size_gb = self.size_gb.parse();
        let mut attached_to: Vec<_> = self.users.iter().map(|user| last_segment(user).to_owned()).collect();
        attached_to.sort();
        Ok(Disk {
            performance: Performance::default(),
            usual: Performance::default(),
            id: self.id,
            zone: last_segment(&self.zone).to_owned(),
            size_gb: size_gb
                .map_err(|_| Failure::unreadable(format!("disk {} holds {:?} GiB", self.name, self.size_gb)))?,
            disk_type: last_segment(&self.r#type).to_owned(),
            name: self.name,
            attached_to,
            labels: self.labels,
        })
    }
}
