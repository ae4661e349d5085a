//! The function that is a test: as much of it is understood as is needed to call it, and to say what a test cannot be.

use super::keys::Keys;
use super::{Error, path, punct};
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// A function, read.
pub(super) struct Function {
    /// All of it, without the attributes that have become keys.
    tokens: TokenStream,
    name: Ident,
    parameters: Group,
    /// Where its return type stands, or else its name.
    returns: Span,
}

impl Function {
    pub(super) fn read(item: TokenStream, keys: &mut Keys) -> Result<Self, Error> {
        let mut input = item.into_iter().peekable();
        let mut tokens = Vec::new();
        loop {
            match input.peek() {
                Some(TokenTree::Punct(hash)) if hash.as_char() == '#' => {
                    let hash = input.next();
                    let attribute = input.next();
                    if let Some(TokenTree::Group(inside)) = &attribute
                        && keys.read_attribute(inside.stream())?
                    {
                        continue;
                    }
                    tokens.extend(hash.into_iter().chain(attribute));
                }
                Some(TokenTree::Ident(word)) => {
                    let word = word.to_string();
                    let token = input.next().expect("it was looked at");
                    let span = token.span();
                    tokens.push(token);
                    match word.as_str() {
                        "fn" => break,
                        "pub" => {}
                        "async" | "unsafe" | "extern" | "const" | "safe" => {
                            return Err(Error::new(format!("a test cannot be `{word}`"), span));
                        }
                        _ => return Err(Error::new("a test is a function", span)),
                    }
                }
                // Where `pub` reaches.
                Some(TokenTree::Group(inside)) if inside.delimiter() == Delimiter::Parenthesis => {
                    tokens.extend(input.next());
                }
                other => {
                    let span = other.map_or_else(Span::call_site, TokenTree::span);
                    return Err(Error::new("a test is a function", span));
                }
            }
        }
        let Some(TokenTree::Ident(name)) = input.next() else {
            return Err(Error::new("a test has a name", Span::call_site()));
        };
        tokens.push(TokenTree::Ident(name.clone()));
        let parameters = match input.next() {
            Some(TokenTree::Group(parameters)) => parameters,
            other => {
                let span = other.map_or(name.span(), |other| other.span());
                return Err(Error::new("a test has no generic parameters", span));
            }
        };
        tokens.push(TokenTree::Group(parameters.clone()));
        // What follows is an arrow and the type, if it is not the body.
        let rest: Vec<_> = input.collect();
        let returns = match &rest[..] {
            [TokenTree::Punct(dash), _, first, ..] if dash.as_char() == '-' => first.span(),
            _ => name.span(),
        };
        tokens.extend(rest);
        Ok(Self { tokens: tokens.into_iter().collect(), name, parameters, returns })
    }

    /// Its name as the path of a test has it.
    pub(super) fn name(&self) -> String {
        let name = self.name.to_string();
        name.strip_prefix("r#").map_or_else(|| name.clone(), str::to_owned)
    }

    /// `|system| ::reveille::testing::Returned::passed(name(system))`, in which what does not fit is said of the function's own text.
    pub(super) fn called(&self) -> TokenStream {
        let first = self.parameters.stream().into_iter().next();
        let (parameter, argument) = match first {
            None => (Ident::new("_", Span::call_site()), None),
            Some(first) => {
                let system = Ident::new("system", Span::mixed_site().located_at(first.span()));
                (system.clone(), Some(TokenTree::Ident(system)))
            }
        };
        let mut arguments = Group::new(Delimiter::Parenthesis, argument.into_iter().collect());
        arguments.set_span(self.returns);
        let mut name = self.name.clone();
        name.set_span(name.span().located_at(self.returns));
        let mut returned = Group::new(
            Delimiter::Parenthesis,
            [TokenTree::Ident(name), TokenTree::Group(arguments)].into_iter().collect(),
        );
        returned.set_span(self.returns);
        [punct('|'), TokenTree::Ident(parameter), punct('|')]
            .into_iter()
            .chain(path(&["reveille", "testing", "Returned", "passed"], self.returns))
            .chain([TokenTree::Group(returned)])
            .collect()
    }

    pub(super) fn into_tokens(self) -> TokenStream {
        self.tokens
    }
}
