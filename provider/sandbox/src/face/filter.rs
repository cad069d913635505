//! The `filter` parameter of lists: `labels.k=v AND (name eq "x.*" OR status:RUNNING)`.

use crate::core::Refusal;
use regex::Regex;
use serde_json::Value;

/// A condition on an item.
#[derive(Debug)]
pub(super) enum Filter {
    /// All of them.
    All(Vec<Filter>),
    /// One of them.
    Any(Vec<Filter>),
    /// Not it.
    Not(Box<Filter>),
    /// A field (path, split) compared.
    Field(Vec<String>, Comparison),
}

/// How a field is compared.
#[derive(Debug)]
pub(super) enum Comparison {
    /// Equal, or with `*` at the ends.
    Equals(String),
    /// Contains, without regard to case (`:`); `*` for present.
    Has(String),
    /// Matches wholly (the older syntax, `eq`).
    Matches(Regex),
    /// Compared as numbers or words: `<`, `<=`, `>`, `>=`.
    Ordered(&'static str, String),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Operator(&'static str),
    Word(String),
    Quoted(String),
}

impl Filter {
    /// Reads a filter.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: &str| Refusal::invalid("filter", text, format!("Invalid list filter expression: {why}."));
        let tokens = tokens(text).map_err(|why| refuse(&why))?;
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let filter = parser.any().map_err(|why| refuse(&why))?;
        if parser.at < tokens.len() {
            Err(refuse("unexpected text after the expression"))
        } else {
            Ok(filter)
        }
    }

    /// Whether the item satisfies the filter.
    pub(super) fn matches(&self, item: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(item)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(item)),
            Self::Not(part) => !part.matches(item),
            Self::Field(path, comparison) => {
                let mut found = Vec::new();
                collect(item, path, &mut found);
                match comparison {
                    // The absence of a field equals the empty string.
                    Comparison::Equals(wanted) if found.is_empty() => wanted.is_empty(),
                    _ => found.iter().any(|value| comparison.holds(value)),
                }
            }
        }
    }
}

/// All scalars at `path`; arrays on the way stand for each of their elements.
fn collect(value: &Value, path: &[String], found: &mut Vec<String>) {
    match (value, path) {
        (Value::Array(elements), _) => elements.iter().for_each(|element| collect(element, path, found)),
        (Value::Object(fields), [first, rest @ ..]) => {
            if let Some(field) = fields.get(first) {
                collect(field, rest, found);
            }
        }
        (Value::Object(fields), []) => found.extend(fields.keys().cloned()),
        (Value::String(text), []) => found.push(text.clone()),
        (Value::Number(number), []) => found.push(number.to_string()),
        (Value::Bool(flag), []) => found.push(flag.to_string()),
        _ => {}
    }
}

impl Comparison {
    fn holds(&self, value: &str) -> bool {
        // A link is also known by its last part, as gcloud's users write it.
        let short = value.rsplit('/').next().unwrap_or(value);
        match self {
            Self::Equals(wanted) => [value, short].iter().any(|it| glob(wanted, it)),
            Self::Has(wanted) if wanted == "*" => true,
            Self::Has(wanted) => value.to_lowercase().contains(&wanted.trim_matches('*').to_lowercase()),
            Self::Matches(pattern) => pattern.is_match(value),
            Self::Ordered(operator, wanted) => {
                let order = match (value.parse::<f64>(), wanted.parse::<f64>()) {
                    (Ok(value), Ok(wanted)) => value.partial_cmp(&wanted),
                    _ => Some(value.cmp(wanted)),
                };
                order.is_some_and(|order| match *operator {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        }
    }
}

fn glob(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(tail), None) => value.ends_with(tail),
        (None, Some(head)) => value.starts_with(head),
        (Some(_), Some(_)) => value.contains(pattern.trim_matches('*')),
        (None, None) => value == pattern,
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        at += 1;
        match (c, next) {
            (' ' | '\t' | '\n', _) => {}
            ('(', _) => tokens.push(Token::Open),
            (')', _) => tokens.push(Token::Close),
            ('!', Some('=')) => {
                at += 1;
                tokens.push(Token::Operator("!="));
            }
            ('<', Some('=')) => {
                at += 1;
                tokens.push(Token::Operator("<="));
            }
            ('>', Some('=')) => {
                at += 1;
                tokens.push(Token::Operator(">="));
            }
            ('=', _) => tokens.push(Token::Operator("=")),
            (':', _) => tokens.push(Token::Operator(":")),
            ('<', _) => tokens.push(Token::Operator("<")),
            ('>', _) => tokens.push(Token::Operator(">")),
            ('"' | '\'', _) => {
                let mut word = String::new();
                loop {
                    match characters.get(at) {
                        None => return Err("a quote is not closed".to_owned()),
                        Some('\\') if characters.get(at + 1).is_some_and(|it| *it == c || *it == '\\') => {
                            word.extend(characters.get(at + 1));
                            at += 2;
                        }
                        Some(it) if *it == c => {
                            at += 1;
                            break;
                        }
                        Some(it) => {
                            word.push(*it);
                            at += 1;
                        }
                    }
                }
                tokens.push(Token::Quoted(word));
            }
            _ => {
                let mut word = String::from(c);
                while let Some(it) = characters.get(at).filter(|it| !" \t\n()=:!<>\"'".contains(**it)) {
                    word.push(*it);
                    at += 1;
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(it)) if it == word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.all()?];
        while self.take_word("OR") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Filter::Any(parts)
        })
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.one()?];
        loop {
            match self.peek() {
                None | Some(Token::Close) => break,
                Some(Token::Word(word)) if word == "OR" => break,
                _ => {
                    self.take_word("AND");
                    parts.push(self.one()?);
                }
            }
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Filter::All(parts)
        })
    }

    fn one(&mut self) -> Result<Filter, String> {
        if self.take_word("NOT") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        match token {
            Token::Open => {
                let inner = self.any()?;
                match self.peek() {
                    Some(Token::Close) => {
                        self.at += 1;
                        Ok(inner)
                    }
                    _ => Err("a parenthesis is not closed".to_owned()),
                }
            }
            Token::Word(field) | Token::Quoted(field) => self.comparison(&field),
            Token::Close | Token::Operator(_) => Err("a field is missing".to_owned()),
        }
    }

    fn comparison(&mut self, field: &str) -> Result<Filter, String> {
        let path: Vec<String> = field.split('.').map(str::to_owned).collect();
        let operator = match self.peek().cloned() {
            Some(Token::Operator(operator)) => operator,
            Some(Token::Word(word)) if word == "eq" => "eq",
            Some(Token::Word(word)) if word == "ne" => "ne",
            _ => return Err(format!("'{field}' is not compared with anything")),
        };
        self.at += 1;
        let Some(Token::Word(value) | Token::Quoted(value)) = self.peek().cloned() else {
            return Err(format!("'{field}' is not compared with anything"));
        };
        self.at += 1;
        let pattern = |value: &str| {
            Regex::new(&format!("^(?:{value})$")).map_err(|_| format!("'{value}' is not a regular expression"))
        };
        Ok(match operator {
            "=" => Filter::Field(path, Comparison::Equals(value)),
            "!=" => Filter::Not(Box::new(Filter::Field(path, Comparison::Equals(value)))),
            ":" => Filter::Field(path, Comparison::Has(value)),
            "eq" => Filter::Field(path, Comparison::Matches(pattern(&value)?)),
            "ne" => Filter::Not(Box::new(Filter::Field(path, Comparison::Matches(pattern(&value)?)))),
            ordered => Filter::Field(path, Comparison::Ordered(ordered, value)),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_syntaxes_select() {
        let item = json!({
            "name": "disk-1", "sizeGb": "10", "status": "READY", "labels": { "team": "web", "multizone-cluster": "demo" },
            "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a",
            "tags": { "items": ["a", "b"] },
        });
        for yes in [
            "labels.team=web",
            "labels.multizone-cluster=demo",
            "labels.team:web",
            "labels.team:*",
            "(labels.team = \"web\") AND (name eq disk-.*)",
            "(labels.team=web) (name=disk-1)",
            "name=disk-* AND status!=DELETING",
            "NOT labels.other:* AND sizeGb>9",
            "name=x OR zone=us-central1-a",
            "tags.items=b",
            "name eq \".*\\bdisk\\b.*\"",
            "labels.other!=x",
        ] {
            assert!(Filter::parse(yes).unwrap().matches(&item), "{yes}");
        }
        for no in [
            "labels.team=we",
            "labels.multizone-cluster=dem",
            "name eq disk",
            "labels.x=y",
            "NOT name=disk-1",
            "sizeGb>10",
            "name ne disk-1",
        ] {
            assert!(!Filter::parse(no).unwrap().matches(&item), "{no}");
        }
        for bad in ["name", "name=", "(name=a", "name=a)", "name eq (", "=a", "name='a"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
