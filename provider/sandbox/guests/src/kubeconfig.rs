//! kubeconfig files on a machine's disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::disk::Disk;

/// How to reach an API server and as whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The server's URL.
    pub(crate) server: String,
    /// The authority of its certificate, PEM; none trusts anybody.
    pub(crate) authority: Option<String>,
    /// Client certificate and key, PEM.
    pub(crate) client: Option<(String, String)>,
    /// Bearer token.
    pub(crate) token: Option<String>,
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigError {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error("error loading config file \"{path}\": {reason}")]
    Malformed { path: String, reason: String },
}

impl Credentials {
    /// The kubeconfig that says this, for `user` of `cluster`.
    pub(crate) fn to_kubeconfig(&self, cluster: &str, user: &str) -> Result<String, serde_saphyr::SerializeError> {
        let mut authentication = json!({});
        if let Some((certificate, key)) = &self.client {
            authentication["client-certificate-data"] = STANDARD.encode(certificate).into();
            authentication["client-key-data"] = STANDARD.encode(key).into();
        }
        if let Some(token) = &self.token {
            authentication["token"] = token.clone().into();
        }
        self.kubeconfig_with(cluster, user, &authentication)
    }

    /// The same with the client certificate and key in a file of the machine.
    pub(crate) fn to_kubeconfig_with_file(&self, file: &str) -> Result<String, serde_saphyr::SerializeError> {
        let authentication = json!({"client-certificate": file, "client-key": file});
        self.kubeconfig_with("default-cluster", "default-auth", &authentication)
    }

    fn kubeconfig_with(
        &self,
        cluster: &str,
        user: &str,
        authentication: &Value,
    ) -> Result<String, serde_saphyr::SerializeError> {
        let mut server = json!({"server": self.server});
        if let Some(authority) = &self.authority {
            server["certificate-authority-data"] = STANDARD.encode(authority).into();
        }
        let context = format!("{user}@{cluster}");
        serde_saphyr::to_string(&json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": server}],
            "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            "current-context": context,
            "preferences": {},
            "users": [{"name": user, "user": authentication}],
        }))
    }

    /// The credentials in the file at `path`.
    pub(crate) fn load(disk: &Disk, path: &str) -> Result<Self, KubeconfigError> {
        let text = disk.required_text(path)?;
        Self::parse(&text, disk).map_err(|reason| KubeconfigError::Malformed {
            path: path.to_owned(),
            reason,
        })
    }

    /// The credentials in kubeconfig text, which may refer to files of the machine.
    pub(crate) fn parse(text: &str, disk: &Disk) -> Result<Self, String> {
        let config: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let cluster = &config["clusters"][0]["cluster"];
        let user = &config["users"][0]["user"];
        let server = cluster["server"].as_str().ok_or("it names no server")?.to_owned();
        let either = |holder: &Value, field: &str| -> Result<Option<String>, String> {
            if let Some(data) = holder[format!("{field}-data")].as_str() {
                let bytes = STANDARD
                    .decode(data)
                    .map_err(|error| format!("{field}-data: {error}"))?;
                return String::from_utf8(bytes)
                    .map(Some)
                    .map_err(|error| format!("{field}-data: {error}"));
            }
            match holder[field].as_str() {
                Some(path) => disk.required_text(path).map(Some).map_err(|error| error.to_string()),
                None => Ok(None),
            }
        };
        let client = either(user, "client-certificate")?.zip(either(user, "client-key")?);
        let token = user["token"].as_str().map(str::to_owned);
        Ok(Self {
            server,
            authority: either(cluster, "certificate-authority")?,
            client,
            token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        let credentials = Credentials {
            server: "https://127.1.2.3:6443".to_owned(),
            authority: Some("CA".to_owned()),
            client: Some(("CERT".to_owned(), "KEY".to_owned())),
            token: None,
        };
        let text = credentials.to_kubeconfig("demo", "kubernetes-admin").unwrap();
        assert!(Credentials::parse(&text, &disk).unwrap() == credentials);
        disk.write("/pem", "BOTH", 0o600).unwrap();
        let read = Credentials::parse(&credentials.to_kubeconfig_with_file("/pem").unwrap(), &disk).unwrap();
        assert_eq!(read.client, Some(("BOTH".to_owned(), "BOTH".to_owned())));
    }
}
