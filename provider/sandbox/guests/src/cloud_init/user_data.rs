//! The part of `#cloud-config` that these machines understand.

use serde::Deserialize;
use serde_json::Value;

/// A machine's user data.
#[derive(Debug, Default, PartialEq)]
pub(super) struct UserData {
    pub(super) write_files: Vec<WriteFile>,
    pub(super) runcmd: Vec<RunCommand>,
    /// Keys that a real machine would act on and this one does not.
    pub(super) ignored: Vec<String>,
}

/// One file to write.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteFile {
    pub(super) path: String,
    #[serde(default)]
    pub(super) content: String,
    pub(super) permissions: Option<String>,
    pub(super) encoding: Option<String>,
    #[serde(default)]
    pub(super) append: bool,
    #[serde(default, rename = "owner")]
    _owner: Option<String>,
    #[serde(default, rename = "defer")]
    _defer: bool,
}

/// One command, as arguments or for a shell.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum RunCommand {
    Arguments(Vec<String>),
    Shell(String),
}

/// Why user data cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum UserDataError {
    #[error("it does not start with #cloud-config, the only kind these machines read")]
    NotCloudConfig,
    #[error("it is not valid YAML: {0}")]
    Yaml(String),
    #[error("its {key} is not what cloud-init expects: {reason}")]
    Key { key: &'static str, reason: String },
}

impl UserData {
    /// Reads `#cloud-config` text.
    pub(super) fn parse(text: &str) -> Result<Self, UserDataError> {
        if text.lines().next().map(str::trim_end) != Some("#cloud-config") {
            return Err(UserDataError::NotCloudConfig);
        }
        let mut document: serde_json::Map<String, Value> =
            serde_saphyr::from_str(text).map_err(|error| UserDataError::Yaml(error.to_string()))?;
        let mut take = |key: &'static str| document.remove(key).unwrap_or(Value::Array(Vec::new()));
        let write_files = read("write_files", take("write_files"))?;
        let runcmd = read("runcmd", take("runcmd"))?;
        let ignored = document.into_iter().map(|(key, _)| key).collect();
        Ok(Self {
            write_files,
            runcmd,
            ignored,
        })
    }
}

fn read<T: for<'a> Deserialize<'a>>(key: &'static str, value: Value) -> Result<Vec<T>, UserDataError> {
    serde_json::from_value(value).map_err(|error| UserDataError::Key {
        key,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_argument_lists_are_read() {
        let parsed = UserData::parse(
            "#cloud-config\npackages: [curl]\nwrite_files:\n- path: /etc/x\n  content: |\n    one\n    two\n  \
             permissions: '0600'\nruncmd:\n- [swapoff, -a]\n- echo hello\n",
        )
        .unwrap();
        assert_eq!(parsed.write_files[0].content, "one\ntwo\n");
        assert_eq!(parsed.write_files[0].permissions.as_deref(), Some("0600"));
        assert_eq!(
            parsed.runcmd[0],
            RunCommand::Arguments(vec!["swapoff".to_owned(), "-a".to_owned()])
        );
        assert_eq!(parsed.runcmd[1], RunCommand::Shell("echo hello".to_owned()));
        assert_eq!(parsed.ignored, ["packages"]);
    }

    #[test]
    fn what_cloud_init_would_not_read_is_refused() {
        assert_eq!(
            UserData::parse("#!/bin/sh\n").unwrap_err(),
            UserDataError::NotCloudConfig
        );
        assert!(matches!(
            UserData::parse("#cloud-config\na: [").unwrap_err(),
            UserDataError::Yaml(_)
        ));
        let unknown = UserData::parse("#cloud-config\nwrite_files: [{path: /x, contents: y}]\n").unwrap_err();
        assert!(unknown.to_string().contains("unknown field `contents`"), "{unknown}");
    }
}
