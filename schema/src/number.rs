//! Terraform's numbers: any size, any precision.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The most digits a number may have when written out; keeps `1e999999999` from filling the memory.
const MAX_DIGITS: usize = 4096;

/// A number, exact at any size and precision.
///
/// Equality and order are by value, whatever the number was made from.
#[derive(Clone)]
pub struct Number(Form);

/// The canonical form: the first of these that holds the number exactly.
#[derive(Clone)]
enum Form {
    Integer(i64),
    Unsigned(u64),
    /// Neither of the above, never NaN; infinities are here.
    Float(f64),
    /// Sign, digits, at most one point, no exponent, no superfluous zeros.
    Decimal(String),
}

impl Number {
    /// The number a person means by `value`: 0.1 is a tenth, not the double nearest to it. `None` for NaN.
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_finite() {
            value.to_string().parse().ok()
        } else {
            Self::exact(value)
        }
    }

    /// Exactly the number that the double holds. `None` for NaN.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )] // Checked below.
    pub fn exact(value: f64) -> Option<Self> {
        const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
        if value.is_nan() {
            None
        } else if value.fract() == 0.0 && (-TWO_POW_63..TWO_POW_63).contains(&value) {
            Some(Self(Form::Integer(value as i64)))
        } else if value.fract() == 0.0 && (TWO_POW_63..2.0 * TWO_POW_63).contains(&value) {
            Some(Self(Form::Unsigned(value as u64)))
        } else {
            Some(Self(Form::Float(value)))
        }
    }

    /// The integer, when it is one of 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Form::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, when it is an unsigned one of 64 bits.
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Form::Integer(value) => u64::try_from(value).ok(),
            Form::Unsigned(value) => Some(value),
            _ => None,
        }
    }

    /// The nearest double.
    #[allow(clippy::cast_precision_loss)] // The nearest is what was asked for.
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            Form::Integer(value) => *value as f64,
            Form::Unsigned(value) => *value as f64,
            Form::Float(value) => *value,
            Form::Decimal(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The double that holds exactly this number, if there is one and no 64-bit integer does.
    pub(crate) fn as_exact_float(&self) -> Option<f64> {
        match self.0 {
            Form::Float(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it can be written as digits: everything but the infinities.
    pub fn is_finite(&self) -> bool {
        !matches!(self.0, Form::Float(value) if value.is_infinite())
    }

    /// The canonical form of what [`canonical`] wrote.
    fn from_canonical(text: String) -> Self {
        if let Ok(value) = text.parse() {
            return Self(Form::Integer(value));
        }
        if let Ok(value) = text.parse() {
            return Self(Form::Unsigned(value));
        }
        // A fraction that a double holds exactly ends in 5, so the expensive comparison is rare.
        if !text.contains('.') || text.ends_with('5') {
            let float: f64 = text.parse().unwrap_or(f64::NAN);
            if float.is_finite() && digits(float) == text {
                return Self(Form::Float(float));
            }
        }
        Self(Form::Decimal(text))
    }
}

/// All digits of a finite double: at most 1074 after the point.
fn digits(float: f64) -> String {
    let text = format!("{float:.1074}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Form::Integer(value))
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self(Form::Integer(value.into()))
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self(Form::Integer(value.into()))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self(Form::Unsigned(value)), Self::from)
    }
}

/// A text that is no number, or one with more digits than are kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNumberError {
    /// Not a decimal number.
    #[error("{0:?} is not a number")]
    Malformed(String),
    /// More than 4096 digits when written out.
    #[error("a number has more than {MAX_DIGITS} digits")]
    TooLong,
}

impl FromStr for Number {
    type Err = ParseNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        canonical(text).map(Self::from_canonical)
    }
}

/// Writes a decimal number without exponent and superfluous zeros.
fn canonical(text: &str) -> Result<String, ParseNumberError> {
    let malformed = || ParseNumberError::Malformed(text.chars().take(40).collect());
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => {
            let exponent: i64 = unsigned[at + 1..].parse().map_err(|_| malformed())?;
            (&unsigned[..at], exponent)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Err(malformed());
    }
    let digits: String = [whole, fraction].concat();
    let trimmed = digits.trim_start_matches('0');
    if trimmed.is_empty() {
        return Ok("0".to_owned());
    }
    // The position of the point, counted from the first digit that is not zero.
    let point =
        count(whole.len()) + exponent.clamp(-1_000_000_000, 1_000_000_000) - count(digits.len() - trimmed.len());
    let significant = trimmed.trim_end_matches('0');
    let length = count(significant.len());
    if point.max(length) - point.min(0) > count(MAX_DIGITS) {
        return Err(ParseNumberError::TooLong);
    }
    let zeros = |number: i64| "0".repeat(usize::try_from(number).unwrap_or(0));
    let sign = if negative { "-" } else { "" };
    Ok(if point <= 0 {
        format!("{sign}0.{}{significant}", zeros(-point))
    } else if point >= length {
        format!("{sign}{significant}{}", zeros(point - length))
    } else {
        let (whole, fraction) = significant.split_at(usize::try_from(point).unwrap_or(0));
        format!("{sign}{whole}.{fraction}")
    })
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Integer(value) => write!(f, "{value}"),
            Form::Unsigned(value) => write!(f, "{value}"),
            Form::Float(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Form::Float(value) => f.write_str(&digits(*value)),
            Form::Decimal(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Integer(a), Form::Integer(b)) => a == b,
            (Form::Unsigned(a), Form::Unsigned(b)) => a == b,
            (Form::Float(a), Form::Float(b)) => a.to_bits() == b.to_bits(),
            (Form::Decimal(a), Form::Decimal(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Integer(value) => value.hash(state),
            Form::Unsigned(value) => value.hash(state),
            Form::Float(value) => value.to_bits().hash(state),
            Form::Decimal(text) => text.hash(state),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Form::Integer(a), Form::Integer(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        // Rounding keeps the order, so only numbers that round to the same double need their digits compared.
        self.as_f64().total_cmp(&other.as_f64()).then_with(|| {
            if self == other {
                Ordering::Equal
            } else {
                compare_digits(&self.to_string(), &other.to_string())
            }
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two canonical texts.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (negative_a, negative_b) = (a.starts_with('-'), b.starts_with('-'));
    if negative_a != negative_b {
        return negative_b.cmp(&negative_a);
    }
    let (a, b) = (a.trim_start_matches('-'), b.trim_start_matches('-'));
    let whole = |text: &str| text.find('.').unwrap_or(text.len());
    let magnitude = whole(a).cmp(&whole(b)).then_with(|| a.cmp(b));
    if negative_a { magnitude.reverse() } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn equal_by_value_whatever_the_spelling() {
        assert_eq!(number("1"), number("1.0"));
        assert_eq!(number("100"), number("1e2"));
        assert_eq!(number("-0"), Number::from(0_i64));
        assert_eq!(number("0.5"), Number::exact(0.5).unwrap());
        assert_eq!(number("18446744073709551615"), Number::from(u64::MAX));
        assert_eq!(number("1180591620717411303424"), Number::exact(2_f64.powi(70)).unwrap());
        assert_eq!(number("0.00120e1").to_string(), "0.012");
    }

    #[test]
    fn a_tenth_is_not_the_double_nearest_to_it() {
        assert_ne!(number("0.1"), Number::exact(0.1).unwrap());
        assert_eq!(number("0.1"), Number::from_f64(0.1).unwrap());
        assert_eq!(number("0.1").to_string(), "0.1");
        assert!((number("0.1").as_f64() - 0.1).abs() < f64::EPSILON);
    }

    #[test]
    fn digits_beyond_doubles_are_kept() {
        let pi = "3.14159265358979323846264338327950288419716939937510582097494459";
        assert_eq!(number(pi).to_string(), pi);
        let big = "123456789012345678901234567890";
        assert_eq!(number(big).to_string(), big);
        assert_eq!(number(big).as_i64(), None);
    }

    #[test]
    fn order_is_by_value() {
        let mut sorted: Vec<Number> = [
            "3",
            "-1.5",
            "0.1",
            "123456789012345678901234567891",
            "123456789012345678901234567890",
            "-2",
        ]
        .map(number)
        .to_vec();
        sorted.push(Number::exact(0.1).unwrap());
        sorted.sort();
        let shown: Vec<String> = sorted
            .iter()
            .map(|number| number.to_string().chars().take(30).collect())
            .collect();
        assert_eq!(shown[..4], ["-2", "-1.5", "0.1", "0.1000000000000000055511151231"]);
        assert_eq!(
            shown[4..],
            ["3", "123456789012345678901234567890", "123456789012345678901234567891"]
        );
    }

    #[test]
    fn malformed_and_huge_are_refused() {
        for text in ["", "-", ".", "1x", "1e", "NaN", "0x10", "1.2.3", "e5", "--1"] {
            assert!(
                matches!(text.parse::<Number>(), Err(ParseNumberError::Malformed(_))),
                "{text}"
            );
        }
        for text in ["1e999999999", "1e-999999999", "1e9000"] {
            assert_eq!(text.parse::<Number>(), Err(ParseNumberError::TooLong), "{text}");
        }
        assert_eq!(Number::exact(f64::NAN), None);
    }
}
