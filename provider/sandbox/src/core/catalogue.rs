//! What the region offers and nobody can change: zones, machine types, images, disk types.

/// A region and its zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Name, such as `us-central1`.
    pub name: &'static str,
    /// Full names of its zones.
    pub zones: &'static [&'static str],
}

/// The regions a sandbox can be; one process is one of them.
pub const REGIONS: &[Region] = &[
    Region {
        name: "asia-east1",
        zones: &["asia-east1-a", "asia-east1-b", "asia-east1-c"],
    },
    Region {
        name: "europe-west1",
        zones: &["europe-west1-b", "europe-west1-c", "europe-west1-d"],
    },
    Region {
        name: "us-central1",
        zones: &["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"],
    },
];

/// The region called `name`.
pub fn region(name: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.name == name)
}

/// The region that `zone` belongs to.
pub fn region_of_zone(zone: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.zones.contains(&zone))
}

/// A size of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineType {
    /// Name, such as `n1-standard-2`.
    pub name: &'static str,
    /// Virtual CPUs the guest sees.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Whether the CPUs are shared with other machines.
    pub shared_cpu: bool,
}

const fn dedicated(name: &'static str, cpus: u32, memory_mib: u64) -> MachineType {
    MachineType {
        name,
        cpus,
        memory_mib,
        shared_cpu: false,
    }
}

const fn shared(name: &'static str, cpus: u32, memory_mib: u64) -> MachineType {
    MachineType {
        name,
        cpus,
        memory_mib,
        shared_cpu: true,
    }
}

/// Machine types, offered in every zone (numbers as Compute Engine publishes them), by name.
pub const MACHINE_TYPES: &[MachineType] = &[
    dedicated("e2-highcpu-2", 2, 2048),
    dedicated("e2-highcpu-4", 4, 4096),
    dedicated("e2-highmem-2", 2, 16384),
    shared("e2-medium", 2, 4096),
    shared("e2-micro", 2, 1024),
    shared("e2-small", 2, 2048),
    dedicated("e2-standard-16", 16, 65536),
    dedicated("e2-standard-2", 2, 8192),
    dedicated("e2-standard-4", 4, 16384),
    dedicated("e2-standard-8", 8, 32768),
    shared("f1-micro", 1, 614),
    shared("g1-small", 1, 1740),
    dedicated("n1-highcpu-2", 2, 1843),
    dedicated("n1-highmem-2", 2, 13312),
    dedicated("n1-standard-1", 1, 3840),
    dedicated("n1-standard-2", 2, 7680),
    dedicated("n1-standard-4", 4, 15360),
    dedicated("n1-standard-8", 8, 30720),
    dedicated("n2-standard-2", 2, 8192),
    dedicated("n2-standard-4", 4, 16384),
    dedicated("n2-standard-8", 8, 32768),
];

/// The machine type called `name`.
pub fn machine_type(name: &str) -> Option<&'static MachineType> {
    MACHINE_TYPES.iter().find(|candidate| candidate.name == name)
}

/// A public image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Project that publishes it.
    pub project: &'static str,
    /// Name of this version.
    pub name: &'static str,
    /// Family it is the newest of, or an older member of.
    pub family: &'static str,
    /// Smallest disk it fits on, GiB.
    pub disk_size_gb: u64,
    /// `X86_64` or `ARM64`.
    pub architecture: &'static str,
    /// When it was published, RFC 3339.
    pub created: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Whether a newer image of the family replaces it.
    pub deprecated: bool,
}

/// Public images, by name.
pub const IMAGES: &[Image] = &[
    Image {
        project: "debian-cloud",
        name: "debian-12-bookworm-v20250910",
        family: "debian-12",
        disk_size_gb: 10,
        architecture: "X86_64",
        created: "2025-09-10T09:12:04.117Z",
        description: "Debian, Debian GNU/Linux, 12 (bookworm), amd64 built on 20250910",
        deprecated: false,
    },
    Image {
        project: "ubuntu-os-cloud",
        name: "ubuntu-2204-jammy-v20250924",
        family: "ubuntu-2204-lts",
        disk_size_gb: 10,
        architecture: "X86_64",
        created: "2025-09-24T05:41:33.560Z",
        description: "Canonical, Ubuntu, 22.04 LTS, amd64 jammy image built on 2025-09-24",
        deprecated: false,
    },
    Image {
        project: "ubuntu-os-cloud",
        name: "ubuntu-2404-noble-amd64-v20250819",
        family: "ubuntu-2404-lts-amd64",
        disk_size_gb: 10,
        architecture: "X86_64",
        created: "2025-08-19T06:20:11.842Z",
        description: "Canonical, Ubuntu, 24.04 LTS, amd64 noble image built on 2025-08-19",
        deprecated: true,
    },
    Image {
        project: "ubuntu-os-cloud",
        name: "ubuntu-2404-noble-amd64-v20250926",
        family: "ubuntu-2404-lts-amd64",
        disk_size_gb: 10,
        architecture: "X86_64",
        created: "2025-09-26T07:02:45.219Z",
        description: "Canonical, Ubuntu, 24.04 LTS, amd64 noble image built on 2025-09-26",
        deprecated: false,
    },
    Image {
        project: "ubuntu-os-cloud",
        name: "ubuntu-2404-noble-arm64-v20250926",
        family: "ubuntu-2404-lts-arm64",
        disk_size_gb: 10,
        architecture: "ARM64",
        created: "2025-09-26T07:03:20.004Z",
        description: "Canonical, Ubuntu, 24.04 LTS, arm64 noble image built on 2025-09-26",
        deprecated: false,
    },
];

/// The image `name` of `project`.
pub fn image(project: &str, name: &str) -> Option<&'static Image> {
    IMAGES
        .iter()
        .find(|image| image.project == project && image.name == name)
}

/// The newest image of `family` in `project`.
pub fn image_from_family(project: &str, family: &str) -> Option<&'static Image> {
    IMAGES
        .iter()
        .find(|image| image.project == project && image.family == family && !image.deprecated)
}

/// Whether `project` publishes images.
pub fn is_image_project(project: &str) -> bool {
    IMAGES.iter().any(|image| image.project == project)
}

/// Kinds of persistent disk, with the largest size in GiB.
pub const DISK_TYPES: &[(&str, u64)] = &[("pd-balanced", 65536), ("pd-ssd", 65536), ("pd-standard", 65536)];

/// A stable number for a catalogue entry, as the API gives one to everything.
pub fn catalogue_id(name: &str) -> u64 {
    // FNV-1a, shortened so that it fits a signed number too: several clients read IDs as such.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 2
}
