//! What a machine does at its first boot: cloud-init user data for Ubuntu LTS machines.
//!
//! The provider has no shell on machines, so everything that must happen there is in these texts. Commands are lists of
//! arguments, never shell lines; what needs a shell is one of the scripts that the user data writes first. User data
//! holds no secret that outlives the join: a master fetches the authorities by its machine identity, and a worker's
//! token lives half an hour at most.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use crate::kubeadm::PATCHES_DIRECTORY;
use crate::version::KubernetesVersion;

/// The smallest limit on user data among the clouds (EC2's), in bytes.
pub const MAXIMUM_SIZE: usize = 16 * 1024;

/// Where the user data puts kubeadm's configuration.
pub const KUBEADM_CONFIGURATION: &str = "/etc/kubernetes/kubeadm.yaml";

/// The command that installs the container runtime and Kubernetes' node packages.
pub const INSTALL_COMMAND: &str = "/usr/local/sbin/multizone-install-kubernetes";

/// The command behind the service of the same name, which lets a master reach the API's address on itself while its own
/// API server serves.
pub const API_ROUTE_COMMAND: &str = "/usr/local/sbin/multizone-api-route";

/// Where that service is described to systemd.
pub const API_ROUTE_UNIT: &str = "/etc/systemd/system/multizone-api-route.service";

/// The command that makes a machine a further master.
pub const JOIN_COMMAND: &str = "/usr/local/sbin/multizone-join-control-plane";

/// Where names are looked up first.
const HOSTS: &str = "/etc/hosts";

/// The command that fetches the cluster's certificate authorities.
pub const FETCH_PKI_COMMAND: &str = "/usr/local/sbin/multizone-fetch-pki";

/// User data that no cloud would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the user data has {size} bytes, {MAXIMUM_SIZE} are the most a machine can be given: shorten labels, arguments or \
     patches"
)]
pub struct TooLarge {
    /// The size in bytes.
    pub size: usize,
}

/// What stands for the machine's ID in the cloud in a kubeadm configuration: only the machine itself knows it.
pub const INSTANCE_ID: &str = "@INSTANCE_ID@";

/// Where a master finds the secret with the cluster's certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PkiLocation {
    /// Google's Secret Manager.
    SecretManager {
        /// Base URL, such as [`SECRET_MANAGER`].
        url: String,
        /// The project that holds the secret.
        project: String,
        /// The secret's name.
        secret: String,
    },
    /// AWS's Secrets Manager.
    SecretsManager {
        /// Base URL.
        url: String,
        /// The region that holds the secret.
        region: String,
        /// The secret's name.
        secret: String,
    },
}

impl PkiLocation {
    fn secret(&self) -> &str {
        match self {
            Self::SecretManager { secret, .. } | Self::SecretsManager { secret, .. } => secret,
        }
    }
}

/// Google's Secret Manager.
pub const SECRET_MANAGER: &str = "https://secretmanager.googleapis.com";

/// What kubeadm does on a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterStart {
    /// `kubeadm init`: the first master of a cluster.
    Init,
    /// `kubeadm join`: a further master. The endpoint must lead to the others until this one serves.
    Join,
}

/// A master.
#[derive(Clone, Debug)]
pub struct MasterUserData {
    /// What to install.
    pub version: KubernetesVersion,
    /// Whether it makes the cluster or joins it.
    pub start: MasterStart,
    /// See [`crate::kubeadm::init_configuration`] and [`crate::kubeadm::join_configuration`].
    pub kubeadm_configuration: String,
    /// Where the authorities are.
    pub pki: PkiLocation,
    /// The endpoint's address, when it is one that the cloud leads to a master or to the balancer. A pass-through
    /// balancer cannot lead a master to another one (domain-rules.md, Compute Engine), and an address that the cloud
    /// translates is not seen by its own machine: so the master has the address itself, on its loopback device, from
    /// before `kubeadm init` and then for as long as its own API server serves.
    pub endpoint_address: Option<IpAddr>,
    /// The endpoint's name, when it is one of a balancer: that leads to a master only once its API server serves, and
    /// `kubeadm init` asks its own through the endpoint before.  So the first master has the name itself until then.
    pub endpoint_name: Option<String>,
    /// Patches of what kubeadm writes, by the name of their file.
    pub patches: BTreeMap<String, String>,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct WorkerUserData {
    /// Version of the kubelet.
    pub version: KubernetesVersion,
    /// Version of kubeadm: of the cluster's minor version, which the kubelet may be behind.
    pub kubeadm: KubernetesVersion,
    /// See [`crate::kubeadm::join_configuration`].
    pub kubeadm_configuration: String,
}

impl MasterUserData {
    /// The `#cloud-config` text.
    pub fn render(&self) -> Result<String, TooLarge> {
        let mut config = CloudConfig::prepared(self.version, self.version);
        config.file(FETCH_PKI_COMMAND, "0755", &self.fetch_script());
        config.kubeadm(&self.kubeadm_configuration);
        for (name, content) in &self.patches {
            config.file(&format!("{PATCHES_DIRECTORY}/{name}"), "0600", content);
        }
        config.run(&[FETCH_PKI_COMMAND, self.pki.secret()]);
        let endpoint = self
            .endpoint_address
            .map(|address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }));
        if let (MasterStart::Init, Some(endpoint)) = (self.start, &endpoint) {
            config.run(&["ip", "address", "add", endpoint, "dev", "lo"]);
        }
        let named = self.endpoint_name.as_ref().filter(|_| self.start == MasterStart::Init);
        if let Some(name) = named {
            config.run(&["sed", "-i", &format!("$ a 127.0.0.1 {name} # kubeadm init"), HOSTS]);
        }
        match self.start {
            MasterStart::Init => config.run(&["kubeadm", "init", "--config", KUBEADM_CONFIGURATION]),
            MasterStart::Join => {
                config.file(JOIN_COMMAND, "0755", include_str!("join-control-plane.sh"));
                config.run(&[JOIN_COMMAND, KUBEADM_CONFIGURATION]);
            }
        }
        if named.is_some() {
            config.run(&["sed", "-i", "/ # kubeadm init$/ d", HOSTS]);
        }
        if let Some(endpoint) = &endpoint {
            config.file(API_ROUTE_COMMAND, "0755", include_str!("api-route.sh"));
            config.file(
                API_ROUTE_UNIT,
                "0644",
                &include_str!("api-route.service").replace("@ENDPOINT@", endpoint),
            );
            config.run(&["systemctl", "enable", "--now", "multizone-api-route"]);
        }
        config.finish()
    }

    fn fetch_script(&self) -> String {
        match &self.pki {
            PkiLocation::SecretManager { url, project, .. } => include_str!("fetch-pki.sh")
                .replace("@PROJECT@", project)
                .replace("@SECRET_MANAGER@", url.trim_end_matches('/')),
            PkiLocation::SecretsManager { url, region, .. } => include_str!("fetch-pki-aws.sh")
                .replace("@REGION@", region)
                .replace("@SECRETS_MANAGER@", url.trim_end_matches('/')),
        }
    }
}

impl WorkerUserData {
    /// The `#cloud-config` text.
    pub fn render(&self) -> Result<String, TooLarge> {
        let mut config = CloudConfig::prepared(self.version, self.kubeadm);
        config.kubeadm(&self.kubeadm_configuration);
        config.run(&["kubeadm", "join", "--config", KUBEADM_CONFIGURATION]);
        config.finish()
    }
}

/// The two sections of cloud-config that are used: files are written before any command runs.
struct CloudConfig {
    write_files: String,
    runcmd: String,
}

impl CloudConfig {
    /// What every machine needs before kubeadm: no swap, kernel modules and settings, the packages.
    fn prepared(version: KubernetesVersion, kubeadm: KubernetesVersion) -> Self {
        let mut config = Self {
            write_files: String::new(),
            runcmd: String::new(),
        };
        config.file("/etc/modules-load.d/kubernetes.conf", "0644", "overlay\nbr_netfilter\n");
        config.file(
            "/etc/sysctl.d/99-kubernetes.conf",
            "0644",
            "net.ipv4.ip_forward = 1\n\
             net.bridge.bridge-nf-call-iptables = 1\n\
             net.bridge.bridge-nf-call-ip6tables = 1\n",
        );
        config.file(INSTALL_COMMAND, "0755", include_str!("install-kubernetes.sh"));
        config.run(&["swapoff", "-a"]);
        config.run(&["sed", "-i", "-E", r"/\sswap\s/ s/^#*/#/", "/etc/fstab"]);
        config.run(&["modprobe", "overlay"]);
        config.run(&["modprobe", "br_netfilter"]);
        config.run(&["sysctl", "--system"]);
        let (minor, version) = (version.minor_line(), version.to_string());
        let (kubeadm_minor, kubeadm) = (kubeadm.minor_line(), kubeadm.to_string());
        if kubeadm == version {
            config.run(&[INSTALL_COMMAND, &minor, &version]);
        } else {
            config.run(&[INSTALL_COMMAND, &minor, &version, &kubeadm_minor, &kubeadm]);
        }
        config
    }

    /// kubeadm's configuration, with the machine's own ID in it where that is asked for.
    fn kubeadm(&mut self, configuration: &str) {
        self.file(KUBEADM_CONFIGURATION, "0600", configuration);
        if configuration.contains(INSTANCE_ID) {
            let fill = format!("s/{INSTANCE_ID}/$(cloud-init query instance_id)/g");
            self.run(&["sh", "-c", &format!("sed -i \"{fill}\" {KUBEADM_CONFIGURATION}")]);
        }
    }

    fn file(&mut self, path: &str, permissions: &str, content: &str) {
        write!(
            self.write_files,
            "  - path: {path}\n    permissions: \"{permissions}\"\n    content: "
        )
        .expect("writing to a String cannot fail");
        let odd = |character: char| character.is_control() && character != '\n';
        if content.starts_with(char::is_whitespace) || content.contains(odd) {
            // What a block would not keep as it is; YAML reads JSON's text.
            let quoted = serde_json::Value::from(content).to_string();
            self.write_files.push_str(&quoted);
            self.write_files.push('\n');
            return;
        }
        self.write_files.push_str("|\n");
        for line in content.trim_end().lines() {
            if !line.is_empty() {
                self.write_files.push_str("      ");
                self.write_files.push_str(line);
            }
            self.write_files.push('\n');
        }
    }

    /// A list of arguments in JSON, which YAML reads too, so that nothing in them is taken for syntax.
    fn run(&mut self, arguments: &[&str]) {
        let quoted: Vec<_> = arguments
            .iter()
            .map(|argument| serde_json::Value::from(*argument).to_string())
            .collect();
        writeln!(self.runcmd, "  - [{}]", quoted.join(", ")).expect("writing to a String cannot fail");
    }

    fn finish(mut self) -> Result<String, TooLarge> {
        self.run(&["systemctl", "enable", "--now", "kubelet"]);
        let text = format!(
            "#cloud-config\nwrite_files:\n{}runcmd:\n{}",
            self.write_files, self.runcmd
        );
        if text.len() > MAXIMUM_SIZE {
            Err(TooLarge { size: text.len() })
        } else {
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests;
