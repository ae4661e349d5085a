//! What a test wants: the keys of the attribute, and the attributes of the standard library that say the same.

use super::Error;
use proc_macro::{Delimiter, Literal, Span, TokenStream, TokenTree};

/// The CPUs that a machine may have.
const MOST_CPUS: u64 = 512;
/// A day.
const LONGEST: u64 = 86_400;

const ALL: &str = "`cpus = N`, `gic = 2` or `3`, `el = 1`, `2` or `3`, `up = false`, `should_panic`, `should_panic = \"text\"`, `ignore`, \
                   `ignore = \"why\"`, `timeout = SECONDS`";

/// The keys that were given, with their values as tokens.
#[derive(Default)]
pub(super) struct Keys(Vec<(String, Option<TokenTree>)>);

impl Keys {
    /// Reads what stands in the parentheses of the attribute: `key`, `key = value`, separated by commas.
    pub(super) fn read(&mut self, tokens: TokenStream) -> Result<(), Error> {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let TokenTree::Ident(key) = &token else {
                return Err(Error::new(format!("a key is wanted here, one of {ALL}"), token.span()));
            };
            let mut value = None;
            if is_punct(tokens.peek(), '=') {
                let equals = tokens.next().expect("it was looked at");
                let found = tokens.next().filter(|found| !is_punct(Some(found), ','));
                let found =
                    found.ok_or_else(|| Error::new(format!("`{key}` has no value"), equals.span()))?;
                value = Some(bare(found));
            }
            self.take(&key.to_string(), value, key.span())?;
            match tokens.next() {
                None => break,
                Some(comma) if is_punct(Some(&comma), ',') => {}
                Some(other) => {
                    return Err(Error::new(format!("a comma is wanted behind `{key}`"), other.span()));
                }
            }
        }
        Ok(())
    }

    /// Reads an attribute beside this one, from what stands in its brackets. Whether it is one of those that are keys here.
    pub(super) fn read_attribute(&mut self, tokens: TokenStream) -> Result<bool, Error> {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let Some(TokenTree::Ident(name)) = tokens.first() else { return Ok(false) };
        let key = name.to_string();
        if !matches!(key.as_str(), "ignore" | "should_panic") {
            return Ok(false);
        }
        let value = match &tokens[1..] {
            [] => None,
            [equals, value] if is_punct(Some(equals), '=') => Some(bare(value.clone())),
            [TokenTree::Group(list)] if list.delimiter() == Delimiter::Parenthesis => {
                let list: Vec<_> = list.stream().into_iter().collect();
                match &list[..] {
                    [TokenTree::Ident(expected), equals, value]
                        if expected.to_string() == "expected" && is_punct(Some(equals), '=') =>
                    {
                        Some(bare(value.clone()))
                    }
                    _ => return Err(Error::new("`expected = \"text\"` is wanted here", name.span())),
                }
            }
            [other, ..] => return Err(Error::new(format!("not a form of `#[{key}]`"), other.span())),
        };
        self.take(&key, value, name.span())?;
        Ok(true)
    }

    /// What is put down of each, in the order in which they were given: `key`, or `key=` and a literal.
    pub(super) fn fields(self) -> Vec<(String, Option<TokenTree>)> {
        self.0
            .into_iter()
            .map(|(key, value)| (if value.is_some() { key + "=" } else { key }, value))
            .collect()
    }

    fn take(&mut self, key: &str, value: Option<TokenTree>, span: Span) -> Result<(), Error> {
        let value = match (key, value) {
            ("cpus", value) => Some(number(key, value, 1, MOST_CPUS, span)?),
            ("gic", value) => Some(number(key, value, 2, 3, span)?),
            ("el", value) => Some(number(key, value, 1, 3, span)?),
            ("timeout", value) => Some(number(key, value, 1, LONGEST, span)?),
            ("should_panic" | "ignore", None) => None,
            ("should_panic" | "ignore", Some(value)) => Some(text(key, value)?),
            ("up", Some(TokenTree::Ident(value))) if value.to_string() == "false" => {
                Some(TokenTree::Literal(Literal::string("false")))
            }
            ("up", Some(TokenTree::Ident(value))) if value.to_string() == "true" => {
                Some(TokenTree::Literal(Literal::string("true")))
            }
            ("up", value) => {
                return Err(Error::new(
                    "`up` is `true` or `false`",
                    value.map_or(span, |value| value.span()),
                ));
            }
            _ => return Err(Error::new(format!("`{key}` is not one of {ALL}"), span)),
        };
        if self.0.iter().any(|(other, _)| other == key) {
            return Err(Error::new(format!("`{key}` is there twice"), span));
        }
        self.0.push((key.to_owned(), value));
        Ok(())
    }
}

/// A number in these bounds, without its suffix.
fn number(
    key: &str,
    value: Option<TokenTree>,
    least: u64,
    most: u64,
    span: Span,
) -> Result<TokenTree, Error> {
    let wanted = |span| Error::new(format!("`{key}` is a number from {least} to {most}"), span);
    let value = value.ok_or_else(|| wanted(span))?;
    let TokenTree::Literal(literal) = &value else { return Err(wanted(value.span())) };
    let number = literal.to_string().replace('_', "").parse().map_err(|_| wanted(value.span()))?;
    if !(least..=most).contains(&number) {
        return Err(wanted(value.span()));
    }
    Ok(TokenTree::Literal(Literal::u64_unsuffixed(number)))
}

/// A literal with text, as it is: `concat!` reads it.
fn text(key: &str, value: TokenTree) -> Result<TokenTree, Error> {
    match &value {
        TokenTree::Literal(literal) if literal.to_string().starts_with(['"', 'r']) => Ok(value),
        other => Err(Error::new(format!("`{key}` is a text in quotes"), other.span())),
    }
}

/// What lies in the invisible parentheses that a macro puts around what it was given.
fn bare(token: TokenTree) -> TokenTree {
    if let TokenTree::Group(group) = &token
        && group.delimiter() == Delimiter::None
    {
        let mut inner = group.stream().into_iter();
        if let (Some(only), None) = (inner.next(), inner.next()) {
            return bare(only);
        }
    }
    token
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}
