//! kubeadm's flags for etcd.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::member::StartError;
use crate::{ClusterState, MemberConfig};

/// An etcd's version, as far as its flags depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

/// From this version on the flags that kubeadm uses are no longer called experimental.
const STABLE_FLAGS: Version = Version { major: 3, minor: 6 };

impl Version {
    /// Reads what `etcd --version` says: `etcd Version: 3.4.23` and more.
    fn parse(said: &str) -> Option<Self> {
        let number = said.lines().find_map(|line| line.strip_prefix("etcd Version:"))?;
        let mut parts = number.trim().split('.');
        Some(Self {
            major: parts.next()?.parse().ok()?,
            minor: parts.next()?.parse().ok()?,
        })
    }
}

/// Asks an etcd for its version.
pub(super) async fn version_of(program: &Path, member: &str) -> Result<Version, StartError> {
    let asked = Command::new(program)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| StartError::Program {
            name: member.to_owned(),
            program: program.to_owned(),
            source,
        })?;
    let said = String::from_utf8_lossy(&asked.stdout);
    Version::parse(&said).ok_or_else(|| {
        let said = if said.trim().is_empty() {
            String::from_utf8_lossy(&asked.stderr).into_owned()
        } else {
            said.into_owned()
        };
        StartError::NotEtcd {
            program: program.to_owned(),
            said: said.trim().chars().take(200).collect(),
        }
    })
}

/// The flags of a member, as kubeadm's manifest has them. Its metrics listener is left out: all machines of a zone share
/// 127.0.0.1 here, and nothing asks it.
pub(super) fn of(config: &MemberConfig, version: Version) -> Vec<OsString> {
    let tls = &config.tls;
    let advertise_client = config.advertise_client();
    let experimental = if version < STABLE_FLAGS { "experimental-" } else { "" };
    // Without the check, etcd 3.6 calls it a feature gate.
    let corrupt_check = if version < STABLE_FLAGS {
        "--experimental-initial-corrupt-check=true"
    } else {
        "--feature-gates=InitialCorruptCheck=true"
    };
    let mut flags: Vec<OsString> = [
        format!("--name={}", config.name),
        format!("--advertise-client-urls={advertise_client}"),
        format!("--listen-client-urls={advertise_client}"),
        format!("--listen-peer-urls=https://{}", config.listen_peer),
        format!("--initial-advertise-peer-urls={}", config.advertise_peer),
        format!("--initial-cluster={}", config.initial_cluster),
        "--client-cert-auth=true".to_owned(),
        "--peer-client-cert-auth=true".to_owned(),
        "--snapshot-count=10000".to_owned(),
        format!("--{experimental}watch-progress-notify-interval=5s"),
        corrupt_check.to_owned(),
    ]
    .into_iter()
    .map(OsString::from)
    .collect();
    if config.initial_cluster_state == ClusterState::Existing {
        flags.push("--initial-cluster-state=existing".into());
    }
    if config.force_new_cluster {
        flags.push("--force-new-cluster=true".into());
    }
    for (flag, path) in [
        ("--data-dir=", &config.data_directory),
        ("--cert-file=", &tls.server_certificate),
        ("--key-file=", &tls.server_key),
        ("--trusted-ca-file=", &tls.trusted_ca),
        ("--peer-cert-file=", &tls.peer_certificate),
        ("--peer-key-file=", &tls.peer_key),
        ("--peer-trusted-ca-file=", &tls.trusted_ca),
    ] {
        let mut argument = OsString::from(flag);
        argument.push(path);
        flags.push(argument);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::{Version, of};
    use crate::{ClusterState, MemberConfig, Tls};

    fn config() -> MemberConfig {
        let pki = |name: &str| format!("/machine/etc/kubernetes/pki/etcd/{name}").into();
        MemberConfig {
            name: "master-a".to_owned(),
            data_directory: "/machine/var/lib/etcd".into(),
            listen_client: ([127, 8, 0, 2], 2379).into(),
            listen_peer: ([127, 8, 0, 2], 2380).into(),
            advertise_peer: "https://127.8.0.2:2380".to_owned(),
            initial_cluster: "master-a=https://127.8.0.2:2380".to_owned(),
            initial_cluster_state: ClusterState::New,
            force_new_cluster: false,
            tls: Tls {
                server_certificate: pki("server.crt"),
                server_key: pki("server.key"),
                peer_certificate: pki("peer.crt"),
                peer_key: pki("peer.key"),
                trusted_ca: pki("ca.crt"),
            },
            log: "/machine/var/log/etcd.log".into(),
            version: None,
            speed: 1.0,
        }
    }

    #[test]
    fn the_version_is_read_from_what_etcd_says() {
        let said = "etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.8\n";
        assert_eq!(Version::parse(said), Some(Version { major: 3, minor: 4 }));
        assert_eq!(Version::parse("GNU bash, version 5.2"), None);
    }

    #[test]
    fn flags_are_kubeadms_and_follow_etcds_names_for_them() {
        let text = |version| {
            of(&config(), version)
                .join(std::ffi::OsStr::new("\n"))
                .into_string()
                .expect("text")
        };
        let old = text(Version { major: 3, minor: 4 });
        for flag in [
            "--data-dir=/machine/var/lib/etcd",
            "--listen-client-urls=https://127.8.0.2:2379",
            "--listen-peer-urls=https://127.8.0.2:2380",
            "--client-cert-auth=true",
            "--peer-client-cert-auth=true",
            "--peer-trusted-ca-file=/machine/etc/kubernetes/pki/etcd/ca.crt",
            "--experimental-watch-progress-notify-interval=5s",
        ] {
            assert!(old.lines().any(|line| line == flag), "{flag} is missing in\n{old}");
        }
        assert!(!old.contains("existing"), "a new cluster is the default");
        let new = text(Version { major: 3, minor: 6 });
        assert!(
            new.contains("--watch-progress-notify-interval=5s") && !new.contains("experimental"),
            "{new}"
        );

        let joining = MemberConfig {
            initial_cluster_state: ClusterState::Existing,
            ..config()
        };
        assert!(of(&joining, Version { major: 3, minor: 4 }).contains(&"--initial-cluster-state=existing".into()));
        let alone = MemberConfig {
            force_new_cluster: true,
            ..config()
        };
        assert!(of(&alone, Version { major: 3, minor: 6 }).contains(&"--force-new-cluster=true".into()));
        assert!(!new.contains("force"), "{new}");
    }
}
