//! What a disk does, where that can be chosen apart from its size.

use multizone_cloud::{Disk as CloudDisk, Performance};
use multizone_schema::{Diagnostic, Diagnostics};

use super::{Disk, DiskPlanned};
use crate::configuration::Configured;

/// What the configuration chooses of what the disk does.
pub(super) fn chosen(disk: &Disk) -> Performance {
    Performance {
        iops: disk.iops,
        throughput: disk.throughput,
    }
}

/// Whether a disk is smaller than it is to be, or does something else.
pub(super) fn is_other(found: &CloudDisk, disk: &Disk) -> bool {
    let (does, usual) = (found.performance, found.usual);
    found.size_gb < disk.size_gb
        || does.iops != disk.iops.or(usual.iops)
        || does.throughput != disk.throughput.or(usual.throughput)
}

/// Refuses what the cloud would refuse of a disk of this kind and size; what is there already is not asked about.
pub(super) fn check(provider: &Configured, prior: Option<&Disk>, planned: &DiskPlanned) -> Diagnostics {
    let (Some(kind), Some(size_gb)) = (planned.disk_type.known(), planned.size_gb.known()) else {
        return Diagnostics::new();
    };
    if planned.iops.is_unknown() || planned.throughput.is_unknown() {
        return Diagnostics::new();
    }
    let performance = Performance {
        iops: planned.iops.known().copied(),
        throughput: planned.throughput.known().copied(),
    };
    let as_it_is = |prior: &Disk| prior.size_gb == *size_gb && chosen(prior) == performance;
    if prior.is_some_and(as_it_is) {
        return Diagnostics::new();
    }
    match provider.cloud().unfit_disk(kind, *size_gb, &performance) {
        Some((attribute, reason)) => {
            Diagnostic::error("Disk that the cloud refuses", format!("{attribute}: {reason}."))
                .at(attribute)
                .into()
        }
        None => Diagnostics::new(),
    }
}

/// What a state shows of something that a disk does: nothing, where nobody has chosen it and it is as usual.
pub(super) fn seen(state: Option<i64>, found: Option<i64>, usual: Option<i64>) -> Option<i64> {
    if found == state.or(usual) { state } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_usual_is_shown_only_where_it_was_chosen() {
        assert_eq!(seen(None, Some(3000), Some(3000)), None);
        assert_eq!(seen(Some(3000), Some(3000), Some(3000)), Some(3000));
        assert_eq!(
            seen(None, Some(3500), Some(3000)),
            Some(3500),
            "somebody has changed it"
        );
        assert_eq!(
            seen(Some(4000), Some(3000), Some(3000)),
            Some(3000),
            "somebody has changed it back"
        );
        assert_eq!(seen(None, None, None), None);
    }
}
