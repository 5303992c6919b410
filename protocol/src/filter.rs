//! Tag filters: which publications of a channel a subscriber wants, told as a tree of comparisons over their tags.
//!
//! A filter is checked once, when it comes in, and then trusted. Numbers are compared as exact decimals.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::message::FilterNode;

/// Deepest nesting. The tree comes from a client and is walked at each delivery.
const DEPTH_MAX: usize = 8;

/// Most nodes and listed values of a filter, for the same reason.
const PARTS_MAX: usize = 64;

/// A filter that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TagFilter(Node);

/// Why a filter cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It is nested too deeply or has too many parts.
    #[error("a filter has at most {PARTS_MAX} parts, nested {DEPTH_MAX} deep")]
    TooLarge,
    /// It names an operator or comparison that does not exist, or with wrong operands.
    #[error("malformed filter")]
    Malformed,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Compare { key: String, how: Comparison },
}

#[derive(Clone, Debug, PartialEq)]
enum Comparison {
    Equal(String),
    NotEqual(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Number(NumberTest, Decimal),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum NumberTest {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl TagFilter {
    /// Checks a client's filter.
    ///
    /// # Errors
    /// A filter that is too large or malformed.
    pub fn new(node: &FilterNode) -> Result<Self, FilterError> {
        let mut parts = 0;
        Node::new(node, 1, &mut parts).map(Self)
    }

    /// Whether a publication with these tags is wanted.
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        self.0.matches(tags)
    }
}

impl Node {
    fn new(node: &FilterNode, depth: usize, parts: &mut usize) -> Result<Self, FilterError> {
        *parts += 1 + node.vals.len();
        if depth > DEPTH_MAX || *parts > PARTS_MAX {
            return Err(FilterError::TooLarge);
        }
        let mut operands = || -> Result<Vec<Self>, FilterError> {
            node.nodes
                .iter()
                .map(|inner| Self::new(inner, depth + 1, parts))
                .collect()
        };
        match node.op.as_str() {
            "and" | "or" if node.nodes.is_empty() => Err(FilterError::Malformed),
            "and" => Ok(Self::And(operands()?)),
            "or" => Ok(Self::Or(operands()?)),
            "not" => match operands()?.pop() {
                Some(only) if node.nodes.len() == 1 => Ok(Self::Not(Box::new(only))),
                _ => Err(FilterError::Malformed),
            },
            "" if node.key.is_empty() || !node.nodes.is_empty() => Err(FilterError::Malformed),
            "" => Ok(Self::Compare {
                key: node.key.clone(),
                how: Comparison::new(node)?,
            }),
            _ => Err(FilterError::Malformed),
        }
    }

    fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Compare { key, how } => how.matches(tags.get(key).map(String::as_str)),
        }
    }
}

impl Comparison {
    fn new(node: &FilterNode) -> Result<Self, FilterError> {
        let value = || node.val.clone();
        let listed = || match node.vals.as_slice() {
            [] => Err(FilterError::Malformed),
            values => Ok(values.to_vec()),
        };
        let number = |test| {
            let decimal = Decimal::parse(&node.val).ok_or(FilterError::Malformed)?;
            Ok(Self::Number(test, decimal))
        };
        match node.cmp.as_str() {
            "eq" => Ok(Self::Equal(value())),
            "neq" => Ok(Self::NotEqual(value())),
            "in" => Ok(Self::In(listed()?)),
            "nin" => Ok(Self::NotIn(listed()?)),
            "ex" => Ok(Self::Exists),
            "nex" => Ok(Self::Missing),
            "sw" => Ok(Self::StartsWith(value())),
            "ew" => Ok(Self::EndsWith(value())),
            "ct" => Ok(Self::Contains(value())),
            "lt" => number(NumberTest::Less),
            "lte" => number(NumberTest::LessOrEqual),
            "gt" => number(NumberTest::Greater),
            "gte" => number(NumberTest::GreaterOrEqual),
            _ => Err(FilterError::Malformed),
        }
    }

    /// A tag that is missing equals nothing, and is in no list.
    fn matches(&self, tag: Option<&str>) -> bool {
        match (self, tag) {
            (Self::Exists, tag) => tag.is_some(),
            (Self::Missing, tag) => tag.is_none(),
            (Self::NotEqual(value), tag) => tag != Some(value),
            (Self::NotIn(values), tag) => !values.iter().any(|value| Some(value.as_str()) == tag),
            (_, None) => false,
            (Self::Equal(value), Some(tag)) => tag == value,
            (Self::In(values), Some(tag)) => values.iter().any(|value| value == tag),
            (Self::StartsWith(value), Some(tag)) => tag.starts_with(value),
            (Self::EndsWith(value), Some(tag)) => tag.ends_with(value),
            (Self::Contains(value), Some(tag)) => tag.contains(value),
            (Self::Number(test, value), Some(tag)) => {
                Decimal::parse(tag).is_some_and(|number| test.holds(number.compare(value)))
            }
        }
    }
}

impl NumberTest {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
        }
    }
}

/// A decimal number as it was written, without zeros that change nothing.
#[derive(Clone, Debug, PartialEq)]
struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Self {
            negative,
            whole,
            fraction,
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let size = |number: &Self, other: &Self| {
            let whole = number.whole.len().cmp(&other.whole.len());
            whole
                .then_with(|| number.whole.cmp(&other.whole))
                .then_with(|| number.fraction.cmp(&other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<TagFilter, FilterError> {
        TagFilter::new(&serde_json::from_str(json).expect("a filter in JSON"))
    }

    #[test]
    fn comparisons() {
        let tags = BTreeMap::from([
            ("grade".to_owned(), "3".to_owned()),
            ("kind".to_owned(), "trip".to_owned()),
            ("price".to_owned(), "-0.50".to_owned()),
        ]);
        let check = |json: &str, expected: bool| {
            let filter = filter(json).expect("a good filter");
            assert_eq!(filter.matches(&tags), expected, "{json}");
        };
        check(r#"{"key":"kind","cmp":"eq","val":"trip"}"#, true);
        check(r#"{"key":"kind","cmp":"neq","val":"trip"}"#, false);
        check(r#"{"key":"absent","cmp":"neq","val":"trip"}"#, true);
        check(r#"{"key":"absent","cmp":"eq","val":""}"#, false);
        check(r#"{"key":"kind","cmp":"in","vals":["post","trip"]}"#, true);
        check(
            r#"{"key":"kind","cmp":"nin","vals":["post","trip"]}"#,
            false,
        );
        check(r#"{"key":"kind","cmp":"ex"}"#, true);
        check(r#"{"key":"kind","cmp":"nex"}"#, false);
        check(r#"{"key":"kind","cmp":"sw","val":"tr"}"#, true);
        check(r#"{"key":"kind","cmp":"ew","val":"tr"}"#, false);
        check(r#"{"key":"kind","cmp":"ct","val":"ri"}"#, true);
        check(r#"{"key":"grade","cmp":"lt","val":"10"}"#, true);
        check(r#"{"key":"grade","cmp":"gte","val":"3.000"}"#, true);
        check(r#"{"key":"price","cmp":"gt","val":"-0.6"}"#, true);
        check(r#"{"key":"price","cmp":"lte","val":"-0.5"}"#, true);
        check(r#"{"key":"kind","cmp":"gt","val":"1"}"#, false);
        let both = r#"{"op":"and","nodes":[{"key":"kind","cmp":"ex"},{"op":"not","nodes":[{"key":"grade","cmp":"eq","val":"4"}]}]}"#;
        check(both, true);
        check(
            &both.replace("\"and\"", "\"or\"").replace("\"4\"", "\"3\""),
            true,
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            r#"{}"#,
            r#"{"key":"a"}"#,
            r#"{"key":"a","cmp":"near","val":"b"}"#,
            r#"{"key":"a","cmp":"in"}"#,
            r#"{"key":"a","cmp":"lt","val":"1e3"}"#,
            r#"{"op":"and"}"#,
            r#"{"op":"not","nodes":[{"key":"a","cmp":"ex"},{"key":"b","cmp":"ex"}]}"#,
            r#"{"op":"xor","nodes":[{"key":"a","cmp":"ex"}]}"#,
        ] {
            assert_eq!(filter(json), Err(FilterError::Malformed), "{json}");
        }
        let deep = format!(
            "{}{}{}",
            r#"{"op":"not","nodes":["#.repeat(9),
            r#"{"key":"a","cmp":"ex"}"#,
            "]}".repeat(9)
        );
        assert_eq!(filter(&deep), Err(FilterError::TooLarge));
    }
}
