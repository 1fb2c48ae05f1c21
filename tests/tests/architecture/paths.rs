//! Every path in a source file, wherever it stands: in imports, in code, in attributes and in the arguments of macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as it is written, with what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its segments; at least one.
    pub(crate) segments: Vec<String>,
    /// Followed by `!`.
    pub(crate) is_macro: bool,
    /// How many inline modules surround it.
    pub(crate) depth: usize,
    /// In which line.
    pub(crate) line: usize,
}

/// All paths of a source text, with the groups of imports spelled out.
pub(crate) fn paths(text: &str) -> Vec<Found> {
    let tokens: TokenStream = text.parse().expect("the source is made of tokens");
    let mut found = Vec::new();
    collect(tokens, &[], 0, &mut found);
    found
}

fn collect(tokens: TokenStream, prefix: &[String], depth: usize, found: &mut Vec<Found>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(_) => at = path(&tokens, at, prefix, depth, found),
            TokenTree::Group(group) => {
                // In the group of an import, what follows is relative to what came before; elsewhere it is not.
                let prefix = if prefix.is_empty() || group.delimiter() != Delimiter::Brace { &[] } else { prefix };
                collect(group.stream(), prefix, depth + usize::from(is_module(&tokens, at)), found);
                at += 1;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// Reads the path that begins here, and says where the next token is.
fn path(tokens: &[TokenTree], mut at: usize, prefix: &[String], depth: usize, found: &mut Vec<Found>) -> usize {
    let line = tokens[at].span().start().line;
    let mut segments = prefix.to_vec();
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        segments.push(ident.to_string());
        at += 1;
        if !is_separator(tokens, at) {
            break;
        }
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(_)) => at += 2,
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                collect(group.stream(), &segments, depth, found);
                return at + 3;
            }
            _ => break,
        }
    }
    let is_macro = matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '!')
        && !matches!(tokens.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '=');
    found.push(Found { segments, is_macro, depth, line });
    at
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// Whether the group at this place is the body of `mod name { … }`.
fn is_module(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && matches!(&tokens[at - 2], TokenTree::Ident(ident) if ident == "mod")
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = r#"
        use a::{b, c::{d, e as f}};
        #[derive(g::H)]
        mod inner { fn i() { j!(k::l()); ::m::n::<o::P>(); } }
    "#;
    let all: Vec<String> = paths(text).into_iter().map(|found| found.segments.join("::")).collect();
    for expected in ["a::b", "a::c::d", "a::c::e", "g::H", "k::l", "m::n", "o::P", "j"] {
        assert!(all.iter().any(|path| path == expected), "{expected} in {all:?}");
    }
    assert!(paths(text).iter().any(|found| found.is_macro && found.segments == ["j"] && found.depth == 1));
}
