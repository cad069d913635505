//! A JSON tokenizer that keeps numbers as they are written.

use crate::codec::{DecodeError, DecodeReason};
use crate::types::MAX_DEPTH;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    Bool,
    String,
    Number,
    Array,
    Object,
}

impl Token {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a bool",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// The input from some position on.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// Which kind of value comes next.
    pub(super) fn peek(&mut self) -> Result<Token, DecodeError> {
        match self.next_byte()? {
            b'n' => Ok(Token::Null),
            b't' | b'f' => Ok(Token::Bool),
            b'"' => Ok(Token::String),
            b'-' | b'0'..=b'9' => Ok(Token::Number),
            b'[' => Ok(Token::Array),
            b'{' => Ok(Token::Object),
            _ => Err(self.malformed("a value")),
        }
    }

    pub(super) fn null(&mut self) -> Result<(), DecodeError> {
        if self.word("null") {
            Ok(())
        } else {
            Err(self.malformed("null"))
        }
    }

    pub(super) fn bool(&mut self) -> Result<bool, DecodeError> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            Err(self.malformed("true or false"))
        }
    }

    pub(super) fn string(&mut self) -> Result<String, DecodeError> {
        if self.next_byte()? != b'"' {
            return Err(self.malformed("a string"));
        }
        let start = self.at;
        self.at += 1;
        loop {
            match self.input.get(self.at) {
                None => return Err(DecodeReason::CutOff.into()),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let text = &self.input[start..self.at];
        std::str::from_utf8(text).map_err(|_| DecodeReason::Utf8)?;
        serde_json::from_slice(text).map_err(|error| DecodeReason::Malformed(error.to_string()).into())
    }

    /// The number as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, DecodeError> {
        self.next_byte()?;
        let rest = &self.input[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..length]).map_err(|_| DecodeReason::Utf8)?;
        self.at += length;
        Ok(text)
    }

    /// Calls `element` with the position of each element of an array.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.byte(b'[')?;
        if self.next_byte()? == b']' {
            return self.byte(b']');
        }
        for index in 0.. {
            element(self, index)?;
            match self.next_byte()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(self.malformed("a comma or the end of the array")),
            }
        }
        self.byte(b']')
    }

    /// Calls `member` with the key of each member of an object.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, String) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.byte(b'{')?;
        if self.next_byte()? == b'}' {
            return self.byte(b'}');
        }
        loop {
            let key = self.string()?;
            self.byte(b':')?;
            member(self, key)?;
            match self.next_byte()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(self.malformed("a comma or the end of the object")),
            }
        }
        self.byte(b'}')
    }

    /// Passes over one value and returns its text.
    pub(super) fn skip(&mut self, depth: usize) -> Result<&'a [u8], DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeReason::TooDeep)?;
        let token = self.peek()?;
        let start = self.at;
        match token {
            Token::Null => self.null()?,
            Token::Bool => drop(self.bool()?),
            Token::String => drop(self.string()?),
            Token::Number => drop(self.number()?),
            Token::Array => self.array(|reader, _| reader.skip(depth).map(drop))?,
            Token::Object => self.object(|reader, _| reader.skip(depth).map(drop))?,
        }
        Ok(&self.input[start..self.at])
    }

    /// Nothing but white space may be left.
    pub(super) fn end(mut self) -> Result<(), DecodeError> {
        self.white_space();
        match self.input.len() - self.at {
            0 => Ok(()),
            left => Err(DecodeReason::Trailing(left).into()),
        }
    }

    fn byte(&mut self, wanted: u8) -> Result<(), DecodeError> {
        if self.next_byte()? != wanted {
            return Err(self.malformed(&format!("{:?}", char::from(wanted))));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        self.white_space();
        let found = self.input[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// The next byte that is not white space; it is not consumed.
    fn next_byte(&mut self) -> Result<u8, DecodeError> {
        self.white_space();
        self.input
            .get(self.at)
            .copied()
            .ok_or_else(|| DecodeReason::CutOff.into())
    }

    fn white_space(&mut self) {
        while matches!(self.input.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn malformed(&self, wanted: &str) -> DecodeError {
        DecodeReason::Malformed(format!("{wanted} is required at byte {}", self.at)).into()
    }
}

/// How deep values may be nested that are passed over.
pub(super) const SKIP_DEPTH: usize = MAX_DEPTH;
