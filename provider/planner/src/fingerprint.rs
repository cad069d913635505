//! Fingerprints that stay the same over releases and machines.

/// FNV-1a with a final mix, over parts that are kept apart.  Names of machines and labels on them depend on it: it must
/// never change.
pub fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_ne!(fingerprint(&["a", ""]), fingerprint(&["a"]));
    }

    #[test]
    fn it_never_changes() {
        assert_eq!(fingerprint(&["demo", "pool"]), fingerprint(&["demo", "pool"]));
        assert_eq!(format!("{:016x}", fingerprint(&[])), "ecba3df2c3383c52");
    }
}
