//! etcd's v3 gRPC API, as far as Multizone speaks it: messages, clients and server traits, made from
//! `proto/etcd.proto`.
//!
//! The provider is a client of it (members, health, snapshots), the sandbox's API servers are (storage), and the
//! sandbox's stand-in for etcd serves it. A ready-made client crate would need an external protobuf compiler wherever
//! Multizone is built; this needs none.

mod channel;
mod errors;

pub use channel::{ChannelError, Credentials, channel, channel_over};
pub use errors::Refusal;
pub use messages::*;

// Generated code, its documentation is the comments of the protocol file.
#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
mod messages {
    tonic::include_proto!("etcdserverpb");
}

/// The metadata key by which a request says that it wants an error rather than a wait while there is no leader.
pub const REQUIRE_LEADER: &str = "hasleader";

/// The first key after all keys that begin with `prefix`: the `range_end` that makes a range of a prefix.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // No key is after all of them: one zero byte means "to the end".
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_that_does_not_begin_with_it() {
        assert_eq!(prefix_end(b"/registry/"), b"/registry0");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), [0], "nothing follows");
        assert_eq!(prefix_end(b""), [0], "everything");
    }
}
