//! The API refuses fields it does not know; these are the names it does know, from its published description (compute v1).

use crate::core::Refusal;
use serde_json::Value;

/// Refuses a body that has a field outside of `known`.
pub(super) fn refuse(body: &Value, known: &[&str]) -> Result<(), Refusal> {
    let unknown = body
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .find(|name| !known.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(Refusal::bad_request(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
        ))),
        None => Ok(()),
    }
}

/// Fields of `Network`.
#[rustfmt::skip]
pub(super) const NETWORK: &[&str] = &[
    "IPv4Range", "additionalTags", "autoCreateSubnetworks", "creationTimestamp", "description",
    "enableUlaInternalIpv6", "firewallPolicy", "gatewayIPv4", "id", "internalIpv6Range", "kind", "mtu", "name",
    "networkFirewallPolicyEnforcementOrder", "networkProfile", "params", "peerings", "routingConfig", "selfLink",
    "selfLinkWithId", "subnetworks",
];

/// Fields of `Subnetwork`.
#[rustfmt::skip]
pub(super) const SUBNETWORK: &[&str] = &[
    "allowSubnetCidrRoutesOverlap", "creationTimestamp", "description", "enableFlowLogs", "externalIpv6Prefix",
    "fingerprint", "gatewayAddress", "id", "internalIpv6Prefix", "ipCidrRange", "ipCollection", "ipv6AccessType",
    "ipv6CidrRange", "ipv6GceEndpoint", "kind", "logConfig", "name", "network", "params", "privateIpGoogleAccess",
    "privateIpv6GoogleAccess", "purpose", "region", "reservedInternalRange", "resolveSubnetMask", "role",
    "secondaryIpRanges", "selfLink", "stackType", "state", "systemReservedExternalIpv6Ranges",
    "systemReservedInternalIpv6Ranges", "utilizationDetails",
];

/// Fields of `Firewall`.
#[rustfmt::skip]
pub(super) const FIREWALL: &[&str] = &[
    "allowed", "creationTimestamp", "denied", "description", "destinationRanges", "direction", "disabled", "id",
    "kind", "logConfig", "name", "network", "params", "priority", "selfLink", "sourceRanges",
    "sourceServiceAccounts", "sourceTags", "targetServiceAccounts", "targetTags",
];

/// Fields of `Address`.
#[rustfmt::skip]
pub(super) const ADDRESS: &[&str] = &[
    "address", "addressType", "creationTimestamp", "description", "id", "ipCollection", "ipVersion",
    "ipv6EndpointType", "kind", "labelFingerprint", "labels", "name", "network", "networkAttachment", "networkTier",
    "prefixLength", "purpose", "region", "selfLink", "serviceClassId", "status", "subnetwork", "users",
];

/// Fields of `Disk`.
#[rustfmt::skip]
pub(super) const DISK: &[&str] = &[
    "accessMode", "architecture", "asyncPrimaryDisk", "asyncSecondaryDisks", "creationTimestamp", "description",
    "diskEncryptionKey", "enableConfidentialCompute", "guestOsFeatures", "id", "kind", "labelFingerprint", "labels",
    "lastAttachTimestamp", "lastDetachTimestamp", "licenseCodes", "licenses", "locationHint", "name", "options",
    "params", "physicalBlockSizeBytes", "provisionedIops", "provisionedThroughput", "region", "replicaZones",
    "resourcePolicies", "resourceStatus", "satisfiesPzi", "satisfiesPzs", "selfLink", "sizeGb",
    "sourceConsistencyGroupPolicy", "sourceConsistencyGroupPolicyId", "sourceDisk", "sourceDiskId", "sourceImage",
    "sourceImageEncryptionKey", "sourceImageId", "sourceInstantSnapshot", "sourceInstantSnapshotId",
    "sourceMachineImage", "sourceMachineImageDiskDeviceName", "sourceMachineImageEncryptionKey",
    "sourceMachineImageId", "sourceSnapshot", "sourceSnapshotEncryptionKey", "sourceSnapshotId",
    "sourceStorageObject", "status", "storagePool", "type", "users", "zone",
];

/// Fields of `Instance`.
#[rustfmt::skip]
pub(super) const INSTANCE: &[&str] = &[
    "advancedMachineFeatures", "canIpForward", "confidentialInstanceConfig", "cpuPlatform", "creationTimestamp",
    "deletionProtection", "description", "disks", "displayDevice", "fingerprint", "guestAccelerators", "hostname",
    "id", "instanceEncryptionKey", "keyRevocationActionType", "kind", "labelFingerprint", "labels",
    "lastStartTimestamp", "lastStopTimestamp", "lastSuspendedTimestamp", "localSsdEncryptionMode", "machineType",
    "metadata", "minCpuPlatform", "name", "networkInterfaces", "networkPerformanceConfig", "params",
    "privateIpv6GoogleAccess", "reservationAffinity", "resourcePolicies", "resourceStatus", "satisfiesPzi",
    "satisfiesPzs", "scheduling", "selfLink", "serviceAccounts", "shieldedInstanceConfig",
    "shieldedInstanceIntegrityPolicy", "sourceMachineImage", "sourceMachineImageEncryptionKey", "startRestricted",
    "status", "statusMessage", "tags", "workloadIdentityConfig", "zone",
];
