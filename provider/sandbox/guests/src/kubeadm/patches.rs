//! The patches phase of everything that kubeadm writes: files in a directory, `target[suffix][+patchtype].extension`.

use multizone_sandbox_kubernetes_api::patched;
use serde_json::Value;

use super::documents::PatchesDirectory;
use super::say;
use crate::machine::Machine;

/// What can be patched.
const TARGETS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
    "corednsdeployment",
];

/// The patches of a machine, in the order in which they are applied.
#[derive(Debug, Default)]
pub(super) struct Patches(Vec<Patch>);

#[derive(Debug)]
struct Patch {
    file: String,
    target: &'static str,
    media_type: &'static str,
    content: Value,
}

impl Patches {
    /// Reads the directory that the configuration names.
    pub(super) fn load(machine: &Machine, directory: Option<&PatchesDirectory>) -> Result<Self, String> {
        let Some(PatchesDirectory { directory }) = directory else {
            return Ok(Self::default());
        };
        let mut files = machine
            .disk
            .list(directory)
            .map_err(|error| format!("could not list patch files for directory \"{directory}\": {error}"))?;
        files.sort();
        let mut patches = Vec::new();
        for file in files {
            let Some((target, kind)) = parse_name(&file) else {
                say(machine, format!("[patches] Ignoring file \"{file}\""));
                continue;
            };
            let media_type = match kind {
                "strategic" => "application/strategic-merge-patch+json",
                "merge" => "application/merge-patch+json",
                "json" => "application/json-patch+json",
                other => {
                    return Err(format!(
                        "could not parse patch type from filename \"{file}\": unknown patch type \"{other}\""
                    ));
                }
            };
            let text = machine
                .disk
                .required_text(&format!("{directory}/{file}"))
                .map_err(|error| error.to_string())?;
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .map_err(|error| format!("could not read patch file {file}: {error}"))?;
            for content in documents.into_iter().filter(|document| !document.is_null()) {
                patches.push(Patch {
                    file: file.clone(),
                    target,
                    media_type,
                    content,
                });
            }
        }
        Ok(Self(patches))
    }

    /// What kubeadm writes for a target, patched.
    pub(super) fn apply(&self, machine: &Machine, target: &str, mut object: Value) -> Result<Value, String> {
        for patch in self.0.iter().filter(|patch| patch.target == target) {
            object = patched(object, patch.media_type, patch.content.clone())
                .map_err(|error| format!("could not apply patch {} to target \"{target}\": {error}", patch.file))?;
            say(
                machine,
                format!("[patches] Applied patch {} to target \"{target}\"", patch.file),
            );
        }
        Ok(object)
    }
}

/// Target and patch type of a file's name.
fn parse_name(file: &str) -> Option<(&'static str, &str)> {
    let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".json"))?;
    let (stem, kind) = stem.split_once('+').unwrap_or((stem, "strategic"));
    let target = TARGETS.into_iter().find(|target| stem.starts_with(target))?;
    Some((target, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_patched_and_how() {
        assert_eq!(
            parse_name("kube-apiserver0+merge.yaml"),
            Some(("kube-apiserver", "merge"))
        );
        assert_eq!(parse_name("etcd.json"), Some(("etcd", "strategic")));
        assert_eq!(
            parse_name("kubeletconfiguration1+json.json"),
            Some(("kubeletconfiguration", "json"))
        );
        assert_eq!(parse_name("README.md"), None);
        assert_eq!(parse_name("other.yaml"), None);
    }
}
