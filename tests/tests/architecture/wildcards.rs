//! A new event, action or status must break the build wherever it matters, so nothing catches it beforehand.
//!
//! Best effort: a match is known by the variants that its arms name, and an arm that catches everything by its form.

use syn::visit::{self, Visit};
use syn::{Arm, ExprMatch, ItemImpl, Pat, Path, Type};

use super::expect_nothing;
use super::sources::below;

/// The enums that are matched without a catch-all.
const CLOSED: [&str; 7] = ["Action", "ActionName", "Event", "EventName", "Outcome", "Status", "StatusName"];

#[derive(Default)]
struct Matches {
    /// The type whose `impl` surrounds the place.
    this: Option<String>,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Matches {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.this, name);
        visit::visit_item_impl(self, item);
        self.this = outer;
    }

    fn visit_expr_match(&mut self, expression: &'ast ExprMatch) {
        let named = expression.arms.iter().find_map(|arm| self.closed(&arm.pat));
        let catching = expression.arms.iter().any(catches_all);
        if let (Some(name), true) = (named, catching) {
            let line = expression.match_token.span.start().line;
            self.found.push(format!("line {line}: a match over {name} has an arm for everything else"));
        }
        visit::visit_expr_match(self, expression);
    }
}

impl Matches {
    /// The closed enum that a pattern names, directly or as part of a tuple.
    fn closed(&self, pattern: &Pat) -> Option<String> {
        match pattern {
            Pat::Path(path) => self.closed_path(&path.path),
            Pat::Struct(path) => self.closed_path(&path.path),
            Pat::TupleStruct(path) => self.closed_path(&path.path),
            Pat::Or(or) => or.cases.iter().find_map(|case| self.closed(case)),
            Pat::Reference(reference) => self.closed(&reference.pat),
            Pat::Paren(paren) => self.closed(&paren.pat),
            Pat::Ident(ident) => ident.subpat.as_ref().and_then(|(_, pattern)| self.closed(pattern)),
            Pat::Tuple(tuple) => tuple.elems.iter().find_map(|element| self.closed(element)),
            _ => None,
        }
    }

    fn closed_path(&self, path: &Path) -> Option<String> {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let [.., name, _variant] = &segments[..] else { return None };
        let name = if name == "Self" { self.this.as_ref()? } else { name };
        CLOSED.contains(&name.as_str()).then(|| name.clone())
    }
}

fn catches_all(arm: &Arm) -> bool {
    arm.guard.is_none() && is_anything(&arm.pat)
}

fn is_anything(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        // A binding in lower case; a constant or imported variant is written otherwise.
        Pat::Ident(ident) => ident.subpat.is_none() && ident.ident.to_string().starts_with(char::is_lowercase),
        Pat::Tuple(tuple) => tuple.elems.iter().all(is_anything),
        Pat::Or(or) => or.cases.iter().any(is_anything),
        Pat::Paren(paren) => is_anything(&paren.pat),
        Pat::Reference(reference) => is_anything(&reference.pat),
        _ => false,
    }
}

fn open_matches(text: &str) -> Vec<String> {
    let file = syn::parse_file(text).expect("the source parses");
    let mut matches = Matches::default();
    matches.visit_file(&file);
    matches.found
}

#[test]
fn no_match_in_the_engine_is_open() {
    for directory in ["engine/src/domain", "engine/src/codec", "engine/src/shell"] {
        let sources = below(directory);
        let is_test = |path: &str| path.ends_with("/tests.rs") || path.ends_with("/testing.rs");
        let mut found = Vec::new();
        for source in sources.iter().filter(|source| !is_test(&source.path)) {
            found.extend(open_matches(&source.text).iter().map(|open| format!("{}: {open}", source.path)));
        }
        expect_nothing(&found, "name every variant: a new one must be decided where it matters");
    }
}

#[test]
fn an_open_match_is_found() {
    for text in [
        "fn f(event: &Event) { match event { Event::Created { .. } => 1, _ => 2 }; }",
        "fn f(event: &Event) { match event { Event::Created { .. } => 1, other => g(other) }; }",
        "fn f() { match a { super::Action::Wait { .. } | Action::Exit { .. } => 1, _ => 2 }; }",
        "fn f() { match (a, b) { (StatusName::Created, 1) => 1, (_, _) => 2 }; }",
        "impl Status { fn f(&self) { match self { Self::Created => 1, _ => 2 }; } }",
        "fn f() { g(|event| match event { &Event::Exited { .. } => 1, _ if x => 3, _ => 2 }); }",
        "fn f() { match a { outcome @ Outcome::Failed(_) => 1, _ => 2 }; }",
    ] {
        assert_eq!(open_matches(text).len(), 1, "in {text:?}");
    }
}

#[test]
fn a_closed_match_is_not_found() {
    for text in [
        "fn f(event: &Event) { match event { Event::Created { .. } => 1, Event::Exited { .. } => 2 }; }",
        "fn f() { match a { Refusal::UnknownRun => 1, _ => 2 }; }",
        "fn f() { match a { Some(Event::Created) | None => 1, Some(Event::Exited) => 2 }; }",
        "fn f() { match (state, action) { (None, _) => 1, (Some(s), Action::Wait { .. }) => 2 }; }",
        "impl Stream { fn f(&self) { match self { Self::Stdout => 1, _ => 2 }; } }",
    ] {
        assert_eq!(open_matches(text), [""; 0], "in {text:?}");
    }
}
