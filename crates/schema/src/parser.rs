//! Tokens into a tree: recursive descent, with a guard against depth.
//!
//! After a fault it goes on at the next statement or definition, so that several are told at once; the first is the one
//! that the wire tells.

mod expression;

use crate::diagnostic::{SchemaError, did_you_mean};
use crate::lexer::{Kind, Lexer, Token};
use crate::syntax::{
    Block, CaveatSyntax, File, Item, ItemKind, MemberSyntax, MemberSyntaxKind, Name,
    ParameterSyntax, ParameterTypeSyntax, TypeKind, TypeSyntax,
};

/// The largest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most faults that are told at once.
pub(crate) const FAULTS_MAX: usize = 20;
/// Parentheses within each other, operators within each other, and types of types.
const DEPTH_MAX: usize = 64;
const FLAGS: [&str; 5] = ["expiration", "import", "partial", "self", "typechecking"];

type Parsed<T> = Result<T, SchemaError>;

/// Reads a schema file.
///
/// # Errors
/// Every fault that could be told apart, in order; never an empty list.
pub(crate) fn parse(text: &str) -> Result<File, Vec<SchemaError>> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "the schema has {} bytes, at most {TEXT_BYTES_MAX} are allowed",
            text.len()
        );
        return Err(vec![SchemaError::other(None, message)]);
    }
    let mut lexer = Lexer::new(text);
    let current = lexer.next();
    let mut parser = Parser {
        text,
        lexer,
        current,
        last_end: None,
        flags: Vec::new(),
        depth: 0,
        faults: Vec::new(),
    };
    let items = parser.file();
    if parser.faults.is_empty() {
        let comments = parser.lexer.comments;
        Ok(File { items, comments })
    } else {
        Err(parser.faults)
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    current: Token,
    /// The last byte of the token before; none at the start.
    last_end: Option<usize>,
    /// The flags in use, each once.
    flags: Vec<String>,
    depth: usize,
    faults: Vec<SchemaError>,
}

impl<'a> Parser<'a> {
    fn file(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut has_definitions = false;
        loop {
            while self.take(Kind::SyntheticSemicolon) {}
            if self.current.kind == Kind::Eof || self.faults.len() >= FAULTS_MAX {
                return items;
            }
            let start = self.current.span.start;
            match self.item(has_definitions) {
                Ok(kind) => {
                    has_definitions |=
                        matches!(kind, ItemKind::Definition(_) | ItemKind::Caveat(_));
                    let span = start..self.end();
                    items.push(Item { span, kind });
                    self.take(Kind::Semicolon);
                }
                Err(fault) => {
                    // What is missing at the end of the text follows from what was wrong before.
                    if self.current.kind != Kind::Eof || self.faults.is_empty() {
                        self.faults.push(fault);
                    }
                    self.depth = 0;
                    while !self.starts_item() && self.current.kind != Kind::Eof {
                        self.advance();
                    }
                }
            }
        }
    }

    fn starts_item(&self) -> bool {
        self.current.kind == Kind::Keyword
            && ["definition", "caveat", "partial"].contains(&self.text_of(&self.current))
    }

    /// Goes on after a faulty member: past its end, or before what cannot belong to it.
    fn skip_member(&mut self) {
        self.depth = 0;
        loop {
            let is_member = self.is_keyword("relation") || self.is_keyword("permission");
            let is_end = matches!(self.current.kind, Kind::RightBrace | Kind::Eof);
            if is_member || is_end || self.starts_item() {
                return;
            }
            if self.take(Kind::Semicolon) || self.take(Kind::SyntheticSemicolon) {
                return;
            }
            self.advance();
        }
    }

    fn item(&mut self, has_definitions: bool) -> Parsed<ItemKind> {
        if self.take_keyword("definition") {
            return Ok(ItemKind::Definition(self.block()?));
        }
        if self.take_keyword("caveat") {
            return Ok(ItemKind::Caveat(self.caveat()?));
        }
        if self.take_word("use") {
            return Ok(ItemKind::Use(self.use_flag(has_definitions)?));
        }
        if self.take_keyword("partial") {
            return Ok(ItemKind::Partial(self.block()?));
        }
        if self.take_keyword("import") {
            if self.current.kind != Kind::String {
                let found = self.current.kind;
                return Err(self.error(format!(
                    "Expected quote-delimited string, found token {found}"
                )));
            }
            return Ok(ItemKind::Import(self.name().text));
        }
        Err(self.unexpected_at_root())
    }

    fn unexpected_at_root(&self) -> SchemaError {
        let found = self.current.kind;
        if found == Kind::Error && self.last_end.is_none() {
            return self.error(
                self.text_of(&self.current)
                    .chars()
                    .take(1)
                    .collect::<String>(),
            );
        }
        let word = self.text_of(&self.current);
        let is_flag = FLAGS.contains(&word);
        let hint = is_flag.then(|| format!("`use {word}` is missing at the top of the schema"));
        self.error(format!("Unexpected token at root level: {found}"))
            .hinted(hint)
    }

    fn use_flag(&mut self, has_definitions: bool) -> Parsed<Name> {
        if !matches!(self.current.kind, Kind::Identifier | Kind::Keyword) {
            let found = self.current.kind;
            return Err(self.error(format!("Expected keyword, found token {found}")));
        }
        let flag = self.name();
        if !FLAGS.contains(&flag.text.as_str()) {
            let options = FLAGS.join(", ");
            let message = format!("Unknown use flag: `{}`. Options are: {options}", flag.text);
            let hint = did_you_mean(&flag.text, FLAGS.into_iter());
            return Err(self.error(message).hinted(hint));
        }
        if has_definitions {
            return Err(self.error("`use` expressions must be declared before any definition"));
        }
        if !self.has_flag(&flag.text) {
            self.flags.push(flag.text.clone());
        }
        Ok(flag)
    }

    fn block(&mut self) -> Parsed<Block> {
        let name = self.path()?;
        self.expect(Kind::LeftBrace)?;
        let mut members = Vec::new();
        loop {
            while self.take(Kind::Semicolon) || self.take(Kind::SyntheticSemicolon) {}
            if self.take(Kind::RightBrace) {
                return Ok(Block { name, members });
            }
            if self.current.kind == Kind::Eof {
                return Err(self.expected_end());
            }
            match self.statement() {
                Ok(member) => members.push(member),
                Err(fault) => {
                    self.faults.push(fault);
                    self.skip_member();
                    if self.starts_item() || self.faults.len() >= FAULTS_MAX {
                        return Ok(Block { name, members });
                    }
                }
            }
        }
    }

    fn statement(&mut self) -> Parsed<MemberSyntax> {
        let start = self.current.span.start;
        let kind = self.member()?;
        let span = start..self.end();
        self.statement_end()?;
        Ok(MemberSyntax { span, kind })
    }

    fn member(&mut self) -> Parsed<MemberSyntaxKind> {
        if self.take_keyword("relation") {
            let name = self.identifier()?;
            self.expect(Kind::Colon)?;
            let mut types = vec![self.allowed_type()?];
            while self.take(Kind::Pipe) {
                types.push(self.allowed_type()?);
            }
            return Ok(MemberSyntaxKind::Relation { name, types });
        }
        if self.take_keyword("permission") {
            let name = self.identifier()?;
            let annotation = self.annotation()?;
            self.expect(Kind::Equals)?;
            let Some(expression) = self.expression()? else {
                return Err(self.error("Expected compute expression for permission"));
            };
            return Ok(MemberSyntaxKind::Permission {
                name,
                annotation,
                expression,
            });
        }
        if self.take(Kind::Ellipsis) {
            return Ok(MemberSyntaxKind::Splat(self.path()?));
        }
        Err(self.expected_end())
    }

    fn annotation(&mut self) -> Parsed<Vec<Name>> {
        let mut names = Vec::new();
        if self.take(Kind::Colon) {
            names.push(self.path()?);
            while self.take(Kind::Pipe) {
                names.push(self.path()?);
            }
        }
        Ok(names)
    }

    fn allowed_type(&mut self) -> Parsed<TypeSyntax> {
        let definition = self.path()?;
        let kind = if self.take(Kind::Colon) {
            self.expect(Kind::Star)?;
            TypeKind::Wildcard
        } else if self.take(Kind::Hash) {
            if self.take(Kind::Ellipsis) {
                TypeKind::Object
            } else if self.current.kind == Kind::Identifier {
                TypeKind::Set(self.name())
            } else {
                let found = self.current.kind;
                let expected = "TokenTypeIdentifier TokenTypeEllipsis";
                return Err(self.error(format!("Expected one of: [{expected}], found: {found}")));
            }
        } else {
            TypeKind::Object
        };
        let mut allowed = TypeSyntax {
            span: definition.span.start..self.end(),
            definition,
            kind,
            caveat: None,
            expiration: false,
        };
        if !self.take_keyword("with") {
            return Ok(allowed);
        }
        if self.take_keyword("expiration") {
            allowed.expiration = true;
            if self.is_keyword("and") {
                return Err(self.error(
                    "Unexpected keyword after expiration: the caveat must come before expiration, e.g. `with \
                     <caveat_name> and expiration`",
                ));
            }
            return Ok(allowed);
        }
        allowed.caveat = Some(self.path()?);
        if self.take_keyword("and") {
            if !self.take_keyword("expiration") {
                return Err(self.expected_end());
            }
            allowed.expiration = true;
        }
        Ok(allowed)
    }

    fn caveat(&mut self) -> Parsed<CaveatSyntax> {
        let name = self.path()?;
        self.expect(Kind::LeftParen)?;
        let mut parameters = vec![self.parameter()?];
        while self.take(Kind::Comma) {
            parameters.push(self.parameter()?);
        }
        self.expect(Kind::RightParen)?;
        if self.current.kind != Kind::LeftBrace {
            return Err(self.expected(Kind::LeftBrace));
        }
        self.last_end = Some(self.current.span.end - 1);
        let inner = self.lexer.braced();
        self.current = self.next();
        let source = self.text.get(inner.clone()).unwrap_or_default();
        let expression_start = inner.start + (source.len() - source.trim_start().len());
        let expression = expression_start..expression_start + source.trim().len();
        if self.current.kind != Kind::RightBrace {
            return Err(self.expected(Kind::RightBrace));
        }
        if expression.is_empty() {
            return Err(self.unexpected_at_root());
        }
        self.advance();
        Ok(CaveatSyntax {
            name,
            parameters,
            expression,
        })
    }

    fn parameter(&mut self) -> Parsed<ParameterSyntax> {
        if self.current.kind != Kind::Identifier {
            return Err(self.unexpected_at_root());
        }
        let name = self.name();
        let ty = self.parameter_type()?;
        let span = name.span.start..self.end();
        Ok(ParameterSyntax { name, ty, span })
    }

    fn parameter_type(&mut self) -> Parsed<ParameterTypeSyntax> {
        let name = self.identifier()?.text;
        let mut generics = Vec::new();
        if self.take(Kind::LessThan) {
            self.enter()?;
            generics.push(self.parameter_type()?);
            while self.take(Kind::Comma) {
                generics.push(self.parameter_type()?);
            }
            self.expect(Kind::GreaterThan)?;
            self.depth -= 1;
        }
        Ok(ParameterTypeSyntax { name, generics })
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn too_deep(&self) -> SchemaError {
        self.error(format!("nested deeper than {DEPTH_MAX} levels"))
    }

    /// A name with its prefixes: `acme/document`.
    fn path(&mut self) -> Parsed<Name> {
        let mut name = self.identifier()?;
        while self.take(Kind::Div) {
            let next = self.identifier()?;
            name.text.push('/');
            name.text.push_str(&next.text);
            name.span.end = next.span.end;
        }
        Ok(name)
    }

    fn identifier(&mut self) -> Parsed<Name> {
        if self.current.kind != Kind::Identifier {
            let found = self.current.kind;
            return Err(self.error(format!("Expected identifier, found token {found}")));
        }
        Ok(self.name())
    }

    /// The current token as a name.
    fn name(&mut self) -> Name {
        let name = Name {
            text: self.text_of(&self.current).to_owned(),
            span: self.current.span.clone(),
        };
        self.advance();
        name
    }

    fn statement_end(&mut self) -> Parsed<()> {
        let is_end = self.take(Kind::Semicolon) || self.take(Kind::SyntheticSemicolon);
        if is_end || self.current.kind == Kind::Eof {
            Ok(())
        } else {
            Err(self.expected_end())
        }
    }

    fn expected_end(&self) -> SchemaError {
        // A definition without an end is told as the peer does: a fault at the very start.
        if self.current.kind == Kind::Eof {
            let message = format!(
                "Expected end of statement or definition, found: {}",
                Kind::Error
            );
            let end = self.last_end.unwrap_or(0);
            return SchemaError::parse(self.text, 0..1, message)
                .located(self.text, end, "")
                .hinted(Some("a `}` is missing".to_owned()));
        }
        let found = self.current.kind;
        let error = self.error(format!(
            "Expected end of statement or definition, found: {found}"
        ));
        let hint = if found == Kind::RightBrace {
            Some("a statement ends at a newline or with `;`")
        } else if found == Kind::Identifier && self.text_of(&self.current) == "and" {
            Some("`use expiration` is missing at the top of the schema")
        } else {
            None
        };
        error.hinted(hint.map(str::to_owned))
    }

    fn expect(&mut self, kind: Kind) -> Parsed<()> {
        if self.take(kind) {
            Ok(())
        } else {
            Err(self.expected(kind))
        }
    }

    fn expected(&self, kind: Kind) -> SchemaError {
        let found = self.current.kind;
        self.error(format!("Expected one of: [{kind}], found: {found}"))
    }

    fn take(&mut self, kind: Kind) -> bool {
        let is_it = self.current.kind == kind;
        if is_it {
            self.advance();
        }
        is_it
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let is_it = self.is_keyword(word);
        if is_it {
            self.advance();
        }
        is_it
    }

    fn is_keyword(&self, word: &str) -> bool {
        self.current.kind == Kind::Keyword && self.text_of(&self.current) == word
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_it = self.current.kind == Kind::Identifier && self.text_of(&self.current) == word;
        if is_it {
            self.advance();
        }
        is_it
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|used| used == flag)
    }

    fn advance(&mut self) {
        self.last_end = Some(self.current.span.end.saturating_sub(1));
        self.current = self.next();
    }

    /// The next token; a flag in use makes keywords of words that are names without it.
    fn next(&mut self) -> Token {
        let mut token = self.lexer.next();
        if token.kind == Kind::Identifier {
            let word = self.text_of(&token);
            let is_keyword = match word {
                "and" => self.has_flag("expiration"),
                word => FLAGS.contains(&word) && self.has_flag(word),
            };
            if is_keyword {
                token.kind = Kind::Keyword;
            }
        }
        token
    }

    fn text_of(&self, token: &Token) -> &'a str {
        self.text.get(token.span.clone()).unwrap_or_default()
    }

    /// The end of the token before, exclusive.
    fn end(&self) -> usize {
        self.last_end.map_or(0, |end| end + 1)
    }

    fn error(&self, message: impl Into<String>) -> SchemaError {
        let error = SchemaError::parse(self.text, self.current.span.clone(), message);
        match self.last_end {
            Some(end) => {
                let is_unterminated = self.current.kind == Kind::Error
                    && self.text_of(&self.current).starts_with("/*");
                let source = if is_unterminated {
                    "\u{fffd}"
                } else {
                    self.text_of(&self.current)
                };
                error.located(self.text, end, source)
            }
            None => error,
        }
    }

    fn node_error(&self, span: std::ops::Range<usize>, source: &str, message: &str) -> SchemaError {
        let end = span.end.saturating_sub(1);
        SchemaError::parse(self.text, span, message).located(self.text, end, source)
    }
}
