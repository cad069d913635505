//! Identifiers that nobody can guess.

use std::fmt::Write as _;

/// A version 4 UUID.
pub(crate) fn uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Five letters for `generateName`, from the alphabet that spells no words.
pub(crate) fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5)
        .map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]))
        .collect()
}

/// A number below `end`.
pub(crate) fn below(end: usize) -> usize {
    rand::random_range(0..end)
}

/// A port of the range that Kubernetes gives to Services on nodes.
pub(crate) fn node_port() -> u16 {
    rand::random_range(30_000..=32_767)
}
