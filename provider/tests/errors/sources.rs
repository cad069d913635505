//! The texts of the sources: string literals that read as sentences, less what no user of Terraform meets.
//!
//! What is scanned is the text of the files, token by token: it needs no list of the constructors of errors, so that a
//! text that reaches the user through a closure or a constant counts as well.

use std::{
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Chars,
};

/// A text with this many words or more is a sentence or a part of one.
const WORDS: usize = 3;
/// What these macros and methods are given is for logs, and for whoever maintains the provider.
const SILENT: [&str; 13] = [
    "trace",
    "debug",
    "info",
    "warn",
    "error!",
    "trace_span",
    "info_span",
    "assert",
    "assert_eq",
    "debug_assert",
    "expect",
    "unreachable",
    "panic",
];

/// A text and where it is.
pub(crate) struct Text {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) said: String,
}

impl Text {
    /// What stands between its placeholders, in order.
    pub(crate) fn fragments(&self) -> Vec<String> {
        let mut fragments = vec![String::new()];
        let mut rest = self.said.chars().peekable();
        while let Some(c) = rest.next() {
            let escaped = matches!(c, '{' | '}') && rest.peek() == Some(&c);
            match c {
                _ if escaped => {
                    rest.next();
                    fragments.last_mut().unwrap().push(c);
                }
                '{' => {
                    let _ = rest.by_ref().find(|c| *c == '}');
                    fragments.push(String::new());
                }
                _ => fragments.last_mut().unwrap().push(c),
            }
        }
        fragments.iter().map(|fragment| spaced(fragment)).collect()
    }
}

/// The text with every run of white space as one space.
pub(crate) fn spaced(text: &str) -> String {
    let mut spaced = String::new();
    for c in text.chars() {
        match c {
            c if c.is_whitespace() && spaced.ends_with(' ') => {}
            c if c.is_whitespace() => spaced.push(' '),
            c => spaced.push(c),
        }
    }
    spaced
}

/// The texts of the Rust files below a directory, or only those that describe errors (`#[error("...")]`).
pub(crate) fn texts(root: &str, only_errors: bool) -> Vec<Text> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&package.join(root), &mut files);
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let name = file.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
            let content = fs::read_to_string(file).unwrap();
            let mut scanner = Scanner::new(&content, only_errors);
            scanner.scan();
            scanner.texts.into_iter().map(move |(line, text)| Text {
                file: name.clone(),
                line,
                said: text,
            })
        })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let name = path.file_stem().unwrap().to_str().unwrap();
    if ["tests", "memory_cloud"].contains(&name) {
        return;
    }
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.to_owned());
        }
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        collect(&entry.unwrap().path(), files);
    }
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    /// The last word, with what follows it up to an opening bracket.
    word: String,
    /// For every open bracket whether what is in it counts.
    counts: Vec<bool>,
    only_errors: bool,
    texts: Vec<(usize, String)>,
}

impl<'a> Scanner<'a> {
    fn new(content: &'a str, only_errors: bool) -> Self {
        // The tests of a module are the last thing in its file.
        let end = content.find("#[cfg(test)]\nmod tests {").unwrap_or(content.len());
        let end = content
            .find("#[cfg(test)]\n#[allow(clippy::unwrap_used)]\nmod tests {")
            .map_or(end, |other| end.min(other));
        Self {
            rest: content[..end].chars().peekable(),
            line: 1,
            word: String::new(),
            counts: vec![!only_errors],
            only_errors,
            texts: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn scan(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '/' if self.rest.peek() == Some(&'/') => while self.next().is_some_and(|c| c != '\n') {},
                '"' => self.literal(),
                '\'' => self.character(),
                '(' | '[' | '{' => {
                    let counts = self.opens();
                    self.counts.push(counts);
                    self.word.clear();
                }
                ')' | ']' | '}' => {
                    self.counts.pop();
                    self.word.clear();
                }
                '!' | '#' => self.word.push(c),
                c if c.is_alphanumeric() || c == '_' => {
                    if self.word.ends_with(['!', ' ']) {
                        self.word.clear();
                    }
                    self.word.push(c);
                }
                c if c.is_whitespace() => {
                    if !self.word.is_empty() && !self.word.ends_with(' ') {
                        self.word.push(' ');
                    }
                }
                _ => self.word.clear(),
            }
        }
    }

    /// Whether what is in the bracket that opens now counts.
    fn opens(&self) -> bool {
        let word = self.word.trim_end();
        let outside = *self.counts.last().unwrap_or(&true);
        if word.ends_with('#') {
            // An attribute: documentation and options, unless it is the text of an error.
            return self.rest.clone().take(6).eq("error(".chars());
        }
        let logged = SILENT.contains(&word) || SILENT.contains(&word.trim_end_matches('!'));
        outside && !logged
    }

    fn character(&mut self) {
        // A lifetime has no closing quote.
        let mut ahead = self.rest.clone();
        let escaped = ahead.next() == Some('\\');
        if escaped || ahead.next() == Some('\'') {
            self.next();
            if escaped {
                self.next();
            }
            while self.next().is_some_and(|c| c != '\'') {}
        }
    }

    fn literal(&mut self) {
        let line = self.line;
        let word = std::mem::take(&mut self.word);
        let raw = word.trim_start_matches('b').starts_with('r')
            && word.trim_start_matches(['b', 'r']).chars().all(|c| c == '#');
        let hashes = if raw { word.matches('#').count() } else { 0 };
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' if self.rest.clone().take(hashes).filter(|c| *c == '#').count() == hashes => break,
                '\\' if !raw => match self.next() {
                    Some('\n') => {
                        while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
                            self.next();
                        }
                    }
                    Some('n') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => {}
                },
                c => text.push(c),
            }
        }
        if *self.counts.last().unwrap_or(&!self.only_errors) && text.split_whitespace().count() >= WORDS {
            self.texts.push((line, text));
        }
    }
}

#[test]
fn texts_are_found_and_logs_documentation_and_tests_are_not() {
    let source = r##"
        /// A "doc comment of words".
        #[attribute(validate = "words of an option")]
        #[error("{object} is {0} words")]
        fn f<'a>(c: char) {
            info!(x = 'a', "a log of words"); warn!("{} logged words too", "and so on too");
            situation.error(&format!("Words of {what}: {{literally}} \
                on two lines.\n"), r#"Raw "words" are fine."#).expect("words for the maintainer");
        }
#[cfg(test)]
mod tests {
        "words of a test"
    "##;
    let mut scanner = Scanner::new(source, false);
    scanner.scan();
    let found: Vec<&str> = scanner.texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        found,
        [
            "{object} is {0} words",
            "Words of {what}: {{literally}} on two lines.\n",
            "Raw \"words\" are fine."
        ]
    );
    let text = Text {
        file: String::new(),
        line: 0,
        said: found[1].to_owned(),
    };
    assert_eq!(text.fragments(), ["Words of ", ": {literally} on two lines. "]);
    let mut errors = Scanner::new(source, true);
    errors.scan();
    assert_eq!(errors.texts.len(), 1);
}
