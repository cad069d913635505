//! What EBS lets a volume be and do, by its kind (the API's reference, `CreateVolume`; the EBS user guide, "Volume types").

use multizone_cloud::Performance;

/// What volumes of a kind can be.
struct Limits {
    /// GiB.
    size: (i64, i64),
    /// Where operations per second can be chosen.
    iops: Option<Iops>,
    /// Where MiB per second can be chosen: the least, which is also what a volume has by itself, and the most.
    throughput: Option<(i64, i64)>,
}

/// Operations per second.
struct Iops {
    least: i64,
    most: i64,
    /// The most for each GiB, beyond the least.
    per_gb: i64,
}

/// What a volume of gp3 has by itself.
const USUAL_IOPS: i64 = 3000;
/// What a volume that needs a number is given for each GiB where nobody chooses one, up to [`USUAL_IOPS`].
const USUAL_IOPS_PER_GB: i64 = 50;
/// Operations per second that go with each MiB per second.
const IOPS_PER_MIB: i64 = 4;

fn limits(kind: &str) -> Option<Limits> {
    let (size, iops, throughput) = match kind {
        "gp3" => ((1, 65_536), Some((USUAL_IOPS, 80_000, 500)), Some((125, 2000))),
        "io2" => ((4, 65_536), Some((100, 256_000, 1000)), None),
        "io1" => ((4, 16_384), Some((100, 64_000, 50)), None),
        "gp2" => ((1, 16_384), None, None),
        "st1" | "sc1" => ((125, 16_384), None, None),
        _ => return None,
    };
    let iops = iops.map(|(least, most, per_gb)| Iops { least, most, per_gb });
    Some(Limits { size, iops, throughput })
}

impl Iops {
    fn usual(&self, size_gb: i64) -> i64 {
        size_gb.saturating_mul(USUAL_IOPS_PER_GB).clamp(self.least, USUAL_IOPS)
    }

    fn most_of(&self, size_gb: i64) -> i64 {
        size_gb.saturating_mul(self.per_gb).clamp(self.least, self.most)
    }
}

/// What a volume of this kind and size is to do, with what was chosen; nothing where that is not for anybody to choose.
pub(super) fn performance(kind: &str, size_gb: i64, chosen: &Performance) -> Performance {
    let Some(limits) = limits(kind) else {
        return Performance::default();
    };
    let usual_iops = |iops: Iops| chosen.iops.unwrap_or_else(|| iops.usual(size_gb));
    let usual_throughput = |(usual, _): (i64, i64)| chosen.throughput.unwrap_or(usual);
    Performance {
        iops: limits.iops.map(usual_iops),
        throughput: limits.throughput.map(usual_throughput),
    }
}

/// The attribute that EBS would refuse, and why.
pub(crate) fn unfit(kind: &str, size_gb: i64, chosen: &Performance) -> Option<(&'static str, String)> {
    let Limits { size, iops, throughput } = limits(kind)?;
    if !(size.0..=size.1).contains(&size_gb) {
        let reason = format!("a volume of kind {kind} has {} to {} GiB on AWS", size.0, size.1);
        return Some(("size_gb", reason));
    }
    if let Some(reason) = chosen.iops.and_then(|wanted| unfit_iops(kind, size_gb, iops, wanted)) {
        return Some(("iops", reason));
    }
    let wanted = chosen.throughput?;
    let reason = match throughput {
        None => unchosen(kind, "throughput", "gp3"),
        Some((least, most)) if !(least..=most).contains(&wanted) => {
            format!("a volume of kind {kind} has {least} to {most} MiB/s on AWS")
        }
        Some(_) => {
            let (has, needs) = (performance(kind, size_gb, chosen).iops?, wanted * IOPS_PER_MIB);
            if needs <= has {
                return None;
            }
            format!("{wanted} MiB/s need {needs} IOPS on AWS, four for each, and the volume has {has}")
        }
    };
    Some(("throughput", reason))
}

fn unfit_iops(kind: &str, size_gb: i64, iops: Option<Iops>, wanted: i64) -> Option<String> {
    let Some(iops) = iops else {
        return Some(unchosen(kind, "IOPS", "gp3, io2 and io1"));
    };
    if !(iops.least..=iops.most).contains(&wanted) {
        let (least, most) = (iops.least, iops.most);
        return Some(format!("a volume of kind {kind} has {least} to {most} IOPS on AWS"));
    }
    let (most, per_gb) = (iops.most_of(size_gb), iops.per_gb);
    (wanted > most).then(|| {
        let needs = (wanted + per_gb - 1) / per_gb;
        format!(
            "a volume of kind {kind} has at most {per_gb} IOPS for each GiB on AWS: {size_gb} GiB have {most}, and {wanted} need \
             {needs} GiB"
        )
    })
}

fn unchosen(kind: &str, what: &str, kinds: &str) -> String {
    format!("the {what} of volumes of kind {kind} cannot be chosen on AWS; those of {kinds} can")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(iops: impl Into<Option<i64>>, throughput: impl Into<Option<i64>>) -> Performance {
        Performance {
            iops: iops.into(),
            throughput: throughput.into(),
        }
    }

    fn said(kind: &str, size_gb: i64, iops: impl Into<Option<i64>>, throughput: impl Into<Option<i64>>) -> String {
        let found = unfit(kind, size_gb, &chosen(iops, throughput));
        found.map_or_else(String::new, |(attribute, reason)| format!("{attribute}: {reason}"))
    }

    #[test]
    fn what_nobody_chooses_is_what_the_kind_has() {
        let none = Performance::default();
        assert_eq!(performance("gp3", 1, &none), chosen(3000, 125));
        assert_eq!(performance("io2", 4, &none), chosen(200, None));
        assert_eq!(performance("io2", 1000, &none), chosen(3000, None));
        assert_eq!(performance("gp2", 100, &chosen(5, 5)), none);
        assert_eq!(performance("gp3", 10, &chosen(4000, None)), chosen(4000, 125));
    }

    #[test]
    fn what_ebs_takes_is_not_refused() {
        assert_eq!(said("gp3", 1, 3000, 750), "", "the least goes with every size");
        assert_eq!(said("gp3", 160, 80_000, 2000), "");
        assert_eq!(said("io2", 256, 256_000, None), "");
        assert_eq!(said("io1", 1280, 64_000, None), "");
        assert_eq!(said("st1", 125, None, None), "");
    }

    #[test]
    fn what_it_refuses_is_refused_with_its_limits() {
        for (kind, size, iops, throughput, words) in [
            (
                "gp3",
                10,
                Some(2999),
                None,
                "iops: a volume of kind gp3 has 3000 to 80000 IOPS",
            ),
            ("gp3", 65_536, Some(80_001), None, "3000 to 80000"),
            ("gp3", 10, Some(6000), None, "10 GiB have 5000, and 6000 need 12 GiB"),
            (
                "gp3",
                10,
                None,
                Some(124),
                "throughput: a volume of kind gp3 has 125 to 2000 MiB/s",
            ),
            (
                "gp3",
                10,
                None,
                Some(751),
                "751 MiB/s need 3004 IOPS on AWS, four for each, and the volume has 3000",
            ),
            (
                "gp2",
                10,
                Some(3000),
                None,
                "iops: the IOPS of volumes of kind gp2 cannot be chosen",
            ),
            (
                "io2",
                10,
                None,
                Some(500),
                "throughput: the throughput of volumes of kind io2 cannot be chosen",
            ),
            ("io2", 3, None, None, "size_gb: a volume of kind io2 has 4 to 65536 GiB"),
            ("io1", 10, Some(501), None, "10 GiB have 500, and 501 need 11 GiB"),
            (
                "sc1",
                100,
                None,
                None,
                "size_gb: a volume of kind sc1 has 125 to 16384 GiB",
            ),
        ] {
            let said = said(kind, size, iops, throughput);
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
    }
}
