//! The attribute `#[reveille::test]`, for the crate `reveille` with its feature `test`, where it is described.

mod function;
mod keys;

use function::Function;
use keys::Keys;
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a function a test that runs on the machine. Used as `#[reveille::test]`.
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    match expand(attribute, item.clone()) {
        Ok(tokens) => tokens,
        // With the function, so that this is the only thing that is wrong.
        Err(error) => [error.into_tokens(), only_in_tests(item)].into_iter().collect(),
    }
}

fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let mut keys = Keys::default();
    keys.read(attribute)?;
    let function = Function::read(item, &mut keys)?;
    let called = function.called();
    let name = TokenTree::Literal(Literal::string(&function.name()));
    // `concat!` of the fields, each behind a separator, so that their literals need not be understood here.
    let fields = keys.fields().into_iter().flat_map(|(key, value)| {
        let field = [TokenTree::Literal(Literal::string(&format!("\u{1f}{key}")))].into_iter().chain(value);
        field.flat_map(|token| [token, punct(',')])
    });
    let arguments = [name, group(Delimiter::Bracket, fields.collect()), group(Delimiter::Brace, called)];
    let made = path(&["reveille", "__test"], Span::call_site())
        .into_iter()
        .chain([punct('!'), group(Delimiter::Brace, arguments.into_iter().collect())]);
    Ok([only_in_tests(function.into_tokens()), only_in_tests(made.collect())].into_iter().collect())
}

/// `item`, behind `#[cfg(test)]`.
fn only_in_tests(item: TokenStream) -> TokenStream {
    let cfg: TokenStream = "#[cfg(test)]".parse().expect("it is an attribute");
    [cfg, item].into_iter().collect()
}

/// The path `::a::b`.
fn path(names: &[&str], span: Span) -> TokenStream {
    let names = names.iter().flat_map(|name| {
        let mut colons = [Punct::new(':', Spacing::Joint), Punct::new(':', Spacing::Alone)];
        colons.iter_mut().for_each(|colon| colon.set_span(span));
        colons.map(TokenTree::Punct).into_iter().chain([TokenTree::Ident(Ident::new(name, span))])
    });
    names.collect()
}

fn punct(sign: char) -> TokenTree {
    TokenTree::Punct(Punct::new(sign, Spacing::Alone))
}

fn group(delimiter: Delimiter, tokens: TokenStream) -> TokenTree {
    TokenTree::Group(Group::new(delimiter, tokens))
}

/// What is wrong, and where.
struct Error {
    text: String,
    span: Span,
}

impl Error {
    fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    fn into_tokens(self) -> TokenStream {
        let mut text = Literal::string(&format!("#[reveille::test]: {}", self.text));
        text.set_span(self.span);
        let mut arguments = Group::new(Delimiter::Brace, TokenTree::Literal(text).into());
        arguments.set_span(self.span);
        let mut not = Punct::new('!', Spacing::Alone);
        not.set_span(self.span);
        path(&["core", "compile_error"], self.span)
            .into_iter()
            .chain([TokenTree::Punct(not), TokenTree::Group(arguments)])
            .collect()
    }
}
