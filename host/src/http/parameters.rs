//! Parameters of a request: which ones a route knows, and their values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::problem::Problem;
use crate::event::Interest;

/// A query parameter or a header that a route knows.
#[derive(Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub schema: ParameterSchema,
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterSchema {
    Integer,
    Text,
    /// May be given several times, and each time with several values between commas.
    TextList,
}

impl Parameter {
    pub const fn integer(name: &'static str, about: &'static str) -> Self {
        Self { name, schema: ParameterSchema::Integer, about }
    }

    pub const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, schema: ParameterSchema::Text, about }
    }

    pub const fn list(name: &'static str, about: &'static str) -> Self {
        Self { name, schema: ParameterSchema::TextList, about }
    }
}

/// The query string as axum splits it.
pub(super) type Pairs = Vec<(String, String)>;

/// Refuses parameters that the route does not know, by name.
pub(super) fn check_known(pairs: &Pairs, known: &[Parameter]) -> Result<(), Problem> {
    let is_known = |name: &str| known.iter().any(|parameter| parameter.name == name);
    let Some((unknown, _)) = pairs.iter().find(|(name, _)| !is_known(name)) else {
        return Ok(());
    };
    let names: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
    let hint = match names.as_slice() {
        [] => "this route takes no query parameters".to_owned(),
        names => format!("known here: {}", names.join(", ")),
    };
    Err(Problem::new(
        axum::http::StatusCode::BAD_REQUEST,
        "unknown_parameter",
        format!("the query parameter {unknown:?} is not known"),
    )
    .hint(hint)
    .fact("parameter", unknown.as_str()))
}

/// The value of a parameter that may be given once.
pub(super) fn single<'a>(pairs: &'a Pairs, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(invalid(name, "is given twice")),
    }
}

/// As [`single`], read as a value of type `T`; `what` says what is expected.
pub(super) fn parsed<T: FromStr>(pairs: &Pairs, name: &str, what: &str) -> Result<Option<T>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| invalid(name, format!("takes {what}, not {text:?}")));
    single(pairs, name)?.map(parse).transpose()
}

pub(super) fn number(pairs: &Pairs, name: &str) -> Result<Option<u64>, Problem> {
    parsed(pairs, name, "a number that is not negative")
}

/// A `limit` within its bounds.
pub(super) fn limit(pairs: &Pairs, default: usize, max: usize) -> Result<usize, Problem> {
    let limit = number(pairs, "limit")?.unwrap_or(default as u64);
    if !(1..=max as u64).contains(&limit) {
        return Err(invalid("limit", format!("is {limit}; allowed are 1 to {max}")));
    }
    Ok(limit as usize)
}

/// Which events `category` and `event_type` select. No category means every category.
pub(super) fn interests(pairs: &Pairs) -> Vec<Interest> {
    let event_types = list(pairs, "event_type");
    let categories = list(pairs, "category");
    if categories.is_empty() {
        return vec![Interest { category: None, event_types }];
    }
    let interest = |category| Interest { category: Some(category), event_types: event_types.clone() };
    categories.into_iter().map(interest).collect()
}

fn list(pairs: &Pairs, name: &str) -> Vec<String> {
    let given = pairs.iter().filter(|(given, _)| given == name);
    // As map keys, to keep each value once.
    let values: BTreeMap<_, ()> = given.flat_map(|(_, value)| value.split(',')).map(|value| (value, ())).collect();
    values.into_keys().filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

pub(super) fn invalid(name: &str, reason: impl Display) -> Problem {
    Problem::new(
        axum::http::StatusCode::BAD_REQUEST,
        "invalid_parameter",
        format!("the query parameter {name:?} {reason}"),
    )
    .fact("parameter", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Pairs {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        let known = [Parameter::integer("after", ""), Parameter::integer("limit", "")];
        let problem = check_known(&pairs(&[("after", "1"), ("limt", "5")]), &known).expect_err("was taken");
        assert!(problem.detail.contains("\"limt\""));
        assert_eq!(problem.to_json()["hint"], "known here: after, limit");
        assert!(check_known(&pairs(&[("after", "1")]), &known).is_ok());
    }

    #[test]
    fn a_parameter_given_twice_or_out_of_bounds_is_refused() {
        assert!(number(&pairs(&[("after", "1"), ("after", "2")]), "after").is_err());
        assert!(number(&pairs(&[("after", "-1")]), "after").is_err());
        assert!(limit(&pairs(&[("limit", "0")]), 100, 1000).is_err());
        assert!(limit(&pairs(&[("limit", "1001")]), 100, 1000).is_err());
        assert_eq!(limit(&pairs(&[]), 100, 1000).ok(), Some(100));
    }

    #[test]
    fn interests_are_taken_from_repeated_parameters_and_lists() {
        let all = interests(&pairs(&[]));
        assert_eq!(all, [Interest::everything()]);
        let some = interests(&pairs(&[("category", "order,cart"), ("category", "order"), ("event_type", "Placed")]));
        let of = |category: &str| Interest { category: Some(category.into()), event_types: vec!["Placed".into()] };
        assert_eq!(some, [of("cart"), of("order")]);
    }
}
