//! A resource's page, whole.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use multizone_schema::docs::{PageKind, page};
use multizone_schema::{Model, Nested};

/// How long.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Limits {
    /// Seconds.
    #[attribute(required)]
    pub seconds: i64,
}

/// A replica.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Replica {
    /// Its zone.
    #[attribute(required)]
    pub zone: String,
    /// Its limits.
    #[attribute(optional, nested)]
    pub limits: Option<Limits>,
    /// Its address.
    #[attribute(computed)]
    pub address: String,
}

/// A disk in one zone,
/// with labels.
///
/// It cannot leave its zone.
#[derive(Model, Clone, PartialEq)]
pub struct Disk {
    /// Zone of the disk.
    #[attribute(required, requires_replace)]
    pub zone: String,
    /// Name:
    ///
    /// - short
    /// - unique
    #[attribute(required)]
    pub name: String,
    /// Kind of disk.
    #[attribute(optional, default = "pd-balanced")]
    pub disk_type: String,
    /// Labels.
    #[attribute(optional, deprecated = "Use `tags` instead.")]
    pub labels: Option<BTreeMap<String, Vec<String>>>,
    /// Token.
    #[attribute(optional, write_only, sensitive)]
    pub token: Option<String>,
    /// Replicas by name.
    #[attribute(optional, nested)]
    pub replicas: Option<BTreeMap<String, Replica>>,
    /// ID.
    #[attribute(computed)]
    pub id: String,
}

const EXPECTED: &str = r#"---
page_title: "multizone_disk Resource - multizone"
subcategory: ""
description: |-
  A disk in one zone, with labels.
---

# multizone_disk (Resource)

A disk in one zone,
with labels.

It cannot leave its zone.

## Example Usage

```terraform
resource "multizone_disk" "data" {}
```

## Schema

### Required

- `name` (String) Name:

  - short
  - unique
- `zone` (String) Zone of the disk. Changing this forces a new object.

### Optional

- `disk_type` (String) Kind of disk. Defaults to `pd-balanced`.
- `labels` (Map of List of String, Deprecated) Labels. **Deprecated:** Use `tags` instead.
- `replicas` (Attributes Map) Replicas by name. (see [below for nested schema](#nestedatt--replicas))
- `token` (String, Sensitive, Write-only) Token.

### Read-Only

- `id` (String) ID.

<a id="nestedatt--replicas"></a>
### Nested Schema for `replicas`

Required:

- `zone` (String) Its zone.

Optional:

- `limits` (Attributes) Its limits. (see [below for nested schema](#nestedatt--replicas--limits))

Read-Only:

- `address` (String) Its address.

<a id="nestedatt--replicas--limits"></a>
### Nested Schema for `replicas.limits`

Required:

- `seconds` (Number) Seconds.

## Import

Import is supported using the following syntax:

```shell
terraform import multizone_disk.data demo/data
```
"#;

#[test]
fn a_resource_page_has_the_registrys_layout() {
    let example = "resource \"multizone_disk\" \"data\" {}\n";
    let import = "terraform import multizone_disk.data demo/data";
    assert_eq!(
        page(
            PageKind::Resource,
            "multizone_disk",
            &Disk::schema(),
            Some(example),
            Some(import)
        ),
        EXPECTED
    );
}

#[test]
fn pages_are_where_the_registry_looks() {
    assert_eq!(PageKind::Provider.path("multizone"), "index.md");
    assert_eq!(
        PageKind::Resource.path("multizone_node_group"),
        "resources/node_group.md"
    );
    assert_eq!(PageKind::DataSource.path("multizone_zones"), "data-sources/zones.md");
    assert_eq!(
        PageKind::EphemeralResource.path("multizone_kubeconfig"),
        "ephemeral-resources/kubeconfig.md"
    );
    assert!(page(PageKind::Provider, "multizone", &Disk::schema(), None, None).contains("\n# multizone Provider\n"));
}
