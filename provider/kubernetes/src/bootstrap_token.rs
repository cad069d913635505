//! Bootstrap tokens: what a joining machine shows once. One is made for each operation and deleted after it.

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::distr::Uniform;

/// The longest life of a token: a join that takes longer has failed.
pub const MAXIMUM_LIFETIME: Duration = Duration::from_mins(30);

/// A token as kubeadm reads it: `id.secret`.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: String,
}

/// A text that is no bootstrap token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bootstrap token: it needs six and sixteen lower-case letters or digits with a dot between them")]
pub struct MalformedToken;

impl BootstrapToken {
    /// A random token: 6 characters of name and 16 of secret (82 bits).
    #[allow(clippy::missing_panics_doc, reason = "the alphabet is not empty")]
    pub fn generate(random: &mut impl Rng) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let positions = Uniform::new(0, ALPHABET.len()).expect("the alphabet is not empty");
        let mut text = |length: usize| -> String {
            (0..length)
                .map(|_| char::from(ALPHABET[random.sample(positions)]))
                .collect()
        };
        Self {
            id: text(6),
            secret: text(16),
        }
    }

    /// Reads `id.secret`.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let well_formed = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match text.split_once('.') {
            Some((id, secret)) if well_formed(id, 6) && well_formed(secret, 16) => Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            _ => Err(MalformedToken),
        }
    }

    /// The public part, which names the token's Secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret part.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole token, for a machine's configuration and nowhere else.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The name of the Secret in kube-system that makes the token valid.
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }
}

impl fmt::Debug for BootstrapToken {
    /// Leaves the secret out: debug output ends up in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BootstrapToken({}.…)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_six_and_sixteen_characters() {
        let token = BootstrapToken::generate(&mut rand::rng());
        assert_eq!(BootstrapToken::parse(&token.expose()), Ok(token.clone()));
        assert_eq!(token.secret_name(), format!("bootstrap-token-{}", token.id()));
        for wrong in [
            "",
            "abcdef",
            "abcdef.0123",
            "ABCDEF.0123456789abcdef",
            "abcde.f0123456789abcdef",
        ] {
            assert_eq!(BootstrapToken::parse(wrong), Err(MalformedToken), "{wrong}");
        }
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "BootstrapToken(abcdef.…)");
    }
}
