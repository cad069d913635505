//! `docs`: the documentation pages, in the layout of Terraform's registry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use multizone_schema::docs::{self, PageKind};

use crate::functions::{FunctionDefinition, Parameter};
use crate::protocol::catalog::Catalog;

/// What the pages are called after.
const PROVIDER: &str = "multizone";
/// Where generated pages are, below the documentation directory; `index.md` is generated as well. Guides are not.
const GENERATED: [&str; 4] = ["resources", "data-sources", "ephemeral-resources", "functions"];

/// Writes the documentation pages, or compares them.
#[derive(Debug, Args)]
pub(super) struct Docs {
    /// Directory of the pages
    #[arg(long, default_value = "docs")]
    directory: PathBuf,
    /// Directory of the examples: `provider/provider.tf`, `resources/NAME/resource.tf`, `import.sh` and `import-by-identity.tf`, and so on
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
    /// Write nothing; fail when a page is missing, outdated or superfluous
    #[arg(long)]
    check: bool,
}

/// Why the pages could not be written, or are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocsError {
    /// A file or directory.
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    /// The result of a check.
    #[error("the documentation is not what the schemas say: {}. Run: make docs", list(pages))]
    Outdated { pages: Vec<PathBuf> },
}

fn list(pages: &[PathBuf]) -> String {
    pages
        .iter()
        .map(|page| page.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

impl Docs {
    /// Does what the arguments say.
    pub(super) fn run<P: Send + Sync>(&self, catalog: &Catalog<P>) -> Result<(), DocsError> {
        let pages = render(catalog, &self.examples)?;
        let superfluous = self.superfluous(&pages)?;
        if self.check {
            return self.compare(&pages, superfluous);
        }
        for (page, content) in &pages {
            let path = self.directory.join(page);
            let parent = path.parent().unwrap_or(&self.directory);
            fs::create_dir_all(parent).map_err(|error| DocsError::File {
                path: parent.to_owned(),
                error,
            })?;
            fs::write(&path, content).map_err(|error| DocsError::File {
                path: path.clone(),
                error,
            })?;
        }
        for page in superfluous {
            let path = self.directory.join(page);
            fs::remove_file(&path).map_err(|error| DocsError::File { path, error })?;
        }
        let _ = writeln!(io::stdout(), "{} pages in {}", pages.len(), self.directory.display());
        Ok(())
    }

    fn compare(&self, pages: &BTreeMap<PathBuf, String>, superfluous: Vec<PathBuf>) -> Result<(), DocsError> {
        let outdated = |(page, content): &(&PathBuf, &String)| {
            fs::read_to_string(self.directory.join(page)).ok().as_ref() != Some(content)
        };
        let mut wrong: Vec<PathBuf> = pages.iter().filter(outdated).map(|(page, _)| page.clone()).collect();
        wrong.extend(superfluous);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(DocsError::Outdated { pages: wrong })
        }
    }

    /// Pages of objects that are not served any more.
    fn superfluous(&self, pages: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, DocsError> {
        let mut found = Vec::new();
        for directory in GENERATED {
            let path = self.directory.join(directory);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(DocsError::File { path, error }),
            };
            for entry in entries {
                let entry = entry.map_err(|error| DocsError::File {
                    path: path.clone(),
                    error,
                })?;
                let page = Path::new(directory).join(entry.file_name());
                if page.extension().is_some_and(|extension| extension == "md") && !pages.contains_key(&page) {
                    found.push(page);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Every page by its path below the documentation directory.
fn render<P: Send + Sync>(catalog: &Catalog<P>, examples: &Path) -> Result<BTreeMap<PathBuf, String>, DocsError> {
    let mut pages = BTreeMap::new();
    let mut add = |kind: PageKind, name: &str, schema, example: &str| {
        let example = read(&examples.join(example))?;
        let import = match kind {
            PageKind::Resource => read(&examples.join(format!("resources/{name}/import.sh")))?,
            _ => None,
        };
        let content = docs::page(kind, name, schema, example.as_deref(), import.as_deref());
        pages.insert(PathBuf::from(kind.path(name)), content);
        Ok::<(), DocsError>(())
    };
    add(
        PageKind::Provider,
        PROVIDER,
        &catalog.provider.schema,
        "provider/provider.tf",
    )?;
    for (name, entry) in &catalog.resources {
        add(
            PageKind::Resource,
            name,
            &entry.schema,
            &format!("resources/{name}/resource.tf"),
        )?;
    }
    for (name, entry) in &catalog.data_sources {
        add(
            PageKind::DataSource,
            name,
            &entry.schema,
            &format!("data-sources/{name}/data-source.tf"),
        )?;
    }
    for (name, entry) in &catalog.ephemeral_resources {
        let example = format!("ephemeral-resources/{name}/ephemeral-resource.tf");
        add(PageKind::EphemeralResource, name, &entry.schema, &example)?;
    }
    for (name, entry) in &catalog.resources {
        let example = read(&examples.join(format!("resources/{name}/import-by-identity.tf")))?;
        if let (Some(example), Some(page)) = (example, pages.get_mut(Path::new(&PageKind::Resource.path(name)))) {
            page.push_str(&docs::import_by_identity(&entry.object.identity_schema(), &example));
        }
    }
    for (name, entry) in &catalog.functions {
        let example = read(&examples.join(format!("functions/{name}/function.tf")))?;
        let page = function_page(name, &entry.definition, example.as_deref());
        pages.insert(PathBuf::from(format!("functions/{name}.md")), page);
    }
    Ok(pages)
}

fn function_page(name: &str, definition: &FunctionDefinition, example: Option<&str>) -> String {
    fn parameter(parameter: &Parameter) -> docs::Parameter<'_> {
        docs::Parameter {
            name: &parameter.name,
            type_: &parameter.r#type,
            description: &parameter.description,
            nullable: parameter.allow_null,
        }
    }
    let function = docs::Function {
        provider: PROVIDER,
        name,
        summary: &definition.summary,
        description: &definition.description,
        parameters: definition.parameters.iter().map(parameter).collect(),
        variadic: definition.variadic.as_ref().map(parameter),
        returns: &definition.returns,
    };
    docs::function_page(&function, example)
}

/// The file's text, if there is one.
fn read(path: &Path) -> Result<Option<String>, DocsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DocsError::File {
            path: path.to_owned(),
            error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(directory: &Path, check: bool) -> Docs {
        Docs {
            directory: directory.join("docs"),
            examples: directory.join("examples"),
            check,
        }
    }

    fn outdated(result: Result<(), DocsError>) -> Vec<PathBuf> {
        match result {
            Err(DocsError::Outdated { pages }) => pages,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pages_are_written_compared_and_cleared_away() {
        let catalog = Catalog::multizone();
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("docs");
        let all = 1
            + catalog.resources.len()
            + catalog.data_sources.len()
            + catalog.ephemeral_resources.len()
            + catalog.functions.len();
        assert_eq!(outdated(docs(directory.path(), true).run(&catalog)).len(), all);

        docs(directory.path(), false).run(&catalog).unwrap();
        docs(directory.path(), true).run(&catalog).unwrap();
        assert!(pages.join("index.md").exists());

        fs::write(pages.join("index.md"), "outdated").unwrap();
        fs::create_dir_all(pages.join("resources")).unwrap();
        fs::write(pages.join("resources/gone.md"), "superfluous").unwrap();
        fs::create_dir_all(pages.join("guides")).unwrap();
        fs::write(pages.join("guides/zones.md"), "written by hand").unwrap();
        let expected = [PathBuf::from("index.md"), PathBuf::from("resources/gone.md")];
        assert_eq!(outdated(docs(directory.path(), true).run(&catalog)), expected);

        docs(directory.path(), false).run(&catalog).unwrap();
        assert!(!pages.join("resources/gone.md").exists());
        assert!(pages.join("guides/zones.md").exists());
        docs(directory.path(), true).run(&catalog).unwrap();
    }

    #[test]
    fn examples_come_from_their_directory() {
        let catalog = Catalog::multizone();
        let directory = tempfile::tempdir().unwrap();
        let example = directory.path().join("examples/provider");
        fs::create_dir_all(&example).unwrap();
        fs::write(example.join("provider.tf"), "provider \"multizone\" {} # by example\n").unwrap();
        let disk = directory.path().join("examples/resources/multizone_disk");
        fs::create_dir_all(&disk).unwrap();
        fs::write(disk.join("import-by-identity.tf"), "import {} # by identity\n").unwrap();
        docs(directory.path(), false).run(&catalog).unwrap();
        let index = fs::read_to_string(directory.path().join("docs/index.md")).unwrap();
        assert!(index.contains("# by example"), "{index}");
        let page = fs::read_to_string(directory.path().join("docs/resources/disk.md")).unwrap();
        let (_, import) = page.split_once("# by identity").unwrap();
        assert!(import.contains("- `cluster` (String) The cluster's name."), "{page}");
    }
}
