//! The rules of the house, asked of the source itself. Each rule is a function that lists what breaks it; a rule that
//! cannot fail is no rule, so each is also shown something that does.

mod budgets;
mod contract;
mod layers;
mod repository;
mod source;
mod style;

/// Fails with one line for each thing that is against a rule.
#[track_caller]
fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "{} against the rules:\n{}", broken.len(), broken.join("\n"));
}
