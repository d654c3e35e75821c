//! How large things may become before they are split. Code is lost in the tail, so the tail has a budget.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{FnArg, ImplItemFn, ItemFn, Signature, TraitItemFn};

use crate::assert_none;
use crate::source::{EVERYWHERE, Source, is_for_tests, sources};

/// Lines of a file, without its tests.
const FILE: usize = 400;
const FUNCTION: usize = 70;
/// Parameters besides `self`.
const PARAMETERS: usize = 4;

/// What may be larger, and why.
const EXCEPTIONS: &[(&str, &str)] = &[("host/src/sqlite/faulty.rs::open", "SQLite calls it with five")];

/// Every file, function and parameter list over its budget: a stable name and how much it has.
fn over_budget(source: &Source) -> Vec<(String, String)> {
    let tests = source.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_for_tests(&module.attrs) => Some(lines(module.span())),
        _ => None,
    });
    let length = source.text.lines().count() - tests.sum::<usize>();
    let mut functions = Functions { path: &source.path, over: Vec::new() };
    functions.visit_file(&source.syntax);
    if length > FILE && (!source.is_test || source.path.starts_with("tests/")) {
        functions.over.push((source.path.clone(), format!("{length} lines, {FILE} are the limit")));
    }
    functions.over
}

struct Functions<'a> {
    path: &'a str,
    over: Vec<(String, String)>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &Signature, body: Option<Span>) {
        let name = format!("{}::{}", self.path, signature.ident);
        let last = body.unwrap_or(signature.span()).end().line;
        let length = last + 1 - signature.fn_token.span.start().line;
        if length > FUNCTION {
            self.over.push((name.clone(), format!("{length} lines, {FUNCTION} are the limit")));
        }
        let parameters = signature.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).count();
        if parameters > PARAMETERS {
            self.over.push((name, format!("{parameters} parameters, {PARAMETERS} are the limit")));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.check(&function.sig, Some(function.block.span()));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.check(&function.sig, Some(function.block.span()));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.check(&function.sig, function.default.as_ref().map(Spanned::span));
        visit::visit_trait_item_fn(self, function);
    }
}

fn lines(span: Span) -> usize {
    span.end().line + 1 - span.start().line
}

#[test]
fn files_functions_and_parameter_lists_stay_small() {
    let over: Vec<_> = sources(&EVERYWHERE).iter().flat_map(over_budget).collect();
    let is_excepted = |name: &String| EXCEPTIONS.iter().any(|(excepted, _)| excepted == name);
    let broken = over.iter().filter(|(name, _)| !is_excepted(name)).map(|(name, how)| format!("{name}: {how}"));
    let unused = EXCEPTIONS.iter().filter(|(excepted, _)| !over.iter().any(|(name, _)| name == excepted));
    let unused = unused.map(|(excepted, _)| format!("{excepted}: is within its budget; delete the exception"));
    assert_none(&broken.chain(unused).collect::<Vec<_>>());
}

#[test]
fn what_is_over_its_budget_is_found() {
    let over = |text: &str| over_budget(&Source::parse("a.rs", text));
    let body = |lines: usize| "\n".repeat(lines - 1);
    assert_eq!(over(&format!("fn f() {{{}}}", body(FUNCTION))), []);
    let long = over(&format!("impl A {{ fn f() {{{}}} }}", body(FUNCTION + 1)));
    assert_eq!(long, [("a.rs::f".to_owned(), "71 lines, 70 are the limit".to_owned())]);
    assert_eq!(over("trait A { fn f(&self, a: A, b: B, c: C, d: D); }"), []);
    let wide = over("fn f(a: A, b: B, c: C, d: D, e: E) {}");
    assert_eq!(wide, [("a.rs::f".to_owned(), "5 parameters, 4 are the limit".to_owned())]);
    let file = format!("struct A;{}", body(FILE + 2));
    assert_eq!(over(&file).len(), 1, "a file of {} lines", FILE + 1);
    assert_eq!(over(&format!("struct A;\n#[cfg(test)]\nmod tests {{{}}}", body(FILE))), []);
}
