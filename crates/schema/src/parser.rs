//! Tokens into a tree: recursive descent, with a guard against depth. It stops at the first fault.

use crate::diagnostic::SchemaError;
use crate::lexer::{Kind, Lexer, Token};
use crate::syntax::{
    ArrowWay, Block, CaveatSyntax, ExpressionSyntax, File, Item, ItemKind, MemberSyntax,
    MemberSyntaxKind, Name, Operator, ParameterSyntax, ParameterTypeSyntax, TypeKind, TypeSyntax,
};

/// Parentheses within each other, and types of types.
const DEPTH_MAX: usize = 64;
const FLAGS: [&str; 5] = ["expiration", "import", "partial", "self", "typechecking"];

type Parsed<T> = Result<T, SchemaError>;

/// Reads a schema file.
///
/// # Errors
/// [`SchemaError`] at the first fault.
pub(crate) fn parse(text: &str) -> Parsed<File> {
    let mut lexer = Lexer::new(text);
    let current = lexer.next();
    let mut parser = Parser {
        text,
        lexer,
        current,
        last_end: None,
        flags: Vec::new(),
        depth: 0,
    };
    let items = parser.file()?;
    Ok(File {
        items,
        comments: parser.lexer.comments,
    })
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    current: Token,
    /// The last byte of the token before; none at the start.
    last_end: Option<usize>,
    flags: Vec<String>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn file(&mut self) -> Parsed<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            while self.take(Kind::Semicolon) || self.take(Kind::SyntheticSemicolon) {}
            if self.current.kind == Kind::Eof {
                return Ok(items);
            }
            let start = self.current.span.start;
            let kind = self.item(items.iter().any(Item::is_defining))?;
            items.push(Item {
                span: start..self.end(),
                kind,
            });
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
        if self.has_flag("partial") && self.take_word("partial") {
            return Ok(ItemKind::Partial(self.block()?));
        }
        if self.has_flag("import") && self.take_word("import") {
            if self.current.kind != Kind::String {
                let found = self.current.kind;
                return Err(self.error(format!(
                    "Expected quote-delimited string, found token {found}"
                )));
            }
            let quoted = self.text_of(&self.current).to_owned();
            self.advance();
            return Ok(ItemKind::Import(
                quoted.trim_matches(['"', '\'']).to_owned(),
            ));
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
        self.error(format!("Unexpected token at root level: {found}"))
    }

    fn use_flag(&mut self, has_definitions: bool) -> Parsed<Name> {
        let flag = self.identifier()?;
        if !FLAGS.contains(&flag.text.as_str()) {
            let options = FLAGS.join(", ");
            return Err(self.error(format!(
                "Unknown use flag: `{}`. Options are: {options}",
                flag.text
            )));
        }
        if has_definitions {
            return Err(self.error("`use` expressions must be declared before any definition"));
        }
        self.flags.push(flag.text.clone());
        self.statement_end()?;
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
            let start = self.current.span.start;
            let kind = self.member()?;
            members.push(MemberSyntax {
                span: start..self.end(),
                kind,
            });
            self.statement_end()?;
        }
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
            if self.current.kind != Kind::Identifier {
                return Err(self.error("Expected type identifier in type annotation"));
            }
            names.push(self.path()?);
            while self.take(Kind::Pipe) {
                if self.current.kind != Kind::Identifier {
                    return Err(self.error("Expected type identifier after '|' in type annotation"));
                }
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
            } else {
                TypeKind::Set(self.identifier()?)
            }
        } else {
            TypeKind::Object
        };
        let mut allowed = TypeSyntax {
            definition,
            kind,
            caveat: None,
            expiration: false,
        };
        if !self.take_keyword("with") {
            return Ok(allowed);
        }
        if self.has_flag("expiration") && self.take_word("expiration") {
            allowed.expiration = true;
            if self.is_word("and") {
                return Err(self.error(
                    "Unexpected keyword after expiration: the caveat must come before expiration, e.g. `with \
                     <caveat_name> and expiration`",
                ));
            }
            return Ok(allowed);
        }
        allowed.caveat = Some(self.path()?);
        if self.has_flag("expiration") && self.take_word("and") {
            if !self.take_word("expiration") {
                return Err(self.expected_end());
            }
            allowed.expiration = true;
        }
        Ok(allowed)
    }

    fn expression(&mut self) -> Parsed<Option<ExpressionSyntax>> {
        self.operators(&[
            (Kind::Minus, Operator::Exclusion),
            (Kind::And, Operator::Intersection),
            (Kind::Plus, Operator::Union),
        ])
    }

    /// Operators from the loosest to the tightest, each from the left.
    fn operators(&mut self, levels: &[(Kind, Operator)]) -> Parsed<Option<ExpressionSyntax>> {
        let Some(((kind, operator), tighter)) = levels.split_first() else {
            return self.term();
        };
        let Some(first) = self.operators(tighter)? else {
            return Ok(None);
        };
        let mut operands = vec![first];
        while self.take(*kind) {
            let Some(operand) = self.operators(tighter)? else {
                let found = self.current.kind;
                return Err(self.error(format!("Expected right hand expression, found: {found}")));
            };
            operands.push(operand);
            if *operator == Operator::Exclusion && operands.len() > DEPTH_MAX {
                return Err(self.error(format!("more than {DEPTH_MAX} exclusions in a row")));
            }
        }
        if operands.len() == 1 {
            return Ok(operands.pop());
        }
        Ok(Some(ExpressionSyntax::Operation {
            operator: *operator,
            operands,
        }))
    }

    fn term(&mut self) -> Parsed<Option<ExpressionSyntax>> {
        if self.take(Kind::LeftParen) {
            self.enter()?;
            let Some(inner) = self.expression()? else {
                let found = self.current.kind;
                return Err(self.error(format!("Expected right hand expression, found: {found}")));
            };
            self.depth -= 1;
            self.expect(Kind::RightParen)?;
            return Ok(Some(inner));
        }
        if self.take_keyword("nil") {
            return Ok(Some(ExpressionSyntax::Nil));
        }
        if self.current.kind != Kind::Identifier {
            return Ok(None);
        }
        if self.has_flag("self") && self.take_word("self") {
            return Ok(Some(ExpressionSyntax::SelfObject));
        }
        let left = self.identifier()?;
        let start = left.span.start;
        if self.take(Kind::RightArrow) {
            let right = self.identifier()?;
            if self.current.kind == Kind::RightArrow {
                return Err(self
                    .node_error(start..self.end(), "", "Nested arrows not yet supported")
                    .hinted(Some(
                        "name a permission on the object in between, and walk to that".to_owned(),
                    )));
            }
            return Ok(Some(ExpressionSyntax::Arrow {
                left,
                way: ArrowWay::Plain,
                right,
            }));
        }
        if self.take(Kind::Period) {
            return self.arrow_function(left).map(Some);
        }
        Ok(Some(ExpressionSyntax::Member(left)))
    }

    fn arrow_function(&mut self, left: Name) -> Parsed<ExpressionSyntax> {
        let function = self.identifier()?;
        let way = match function.text.as_str() {
            "any" => ArrowWay::Any,
            "all" => ArrowWay::All,
            other => {
                return Err(self.error(format!(
                    "Expected 'any' or 'all' for arrow function, found: {other}"
                )));
            }
        };
        self.expect(Kind::LeftParen)?;
        let right = self.identifier()?;
        self.expect(Kind::RightParen)?;
        Ok(ExpressionSyntax::Arrow { left, way, right })
    }

    fn caveat(&mut self) -> Parsed<CaveatSyntax> {
        let name = self.path()?;
        self.expect(Kind::LeftParen)?;
        if self.current.kind == Kind::RightParen {
            return Err(self.unexpected_at_root());
        }
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
        self.current = self.lexer.next();
        let source = self.text.get(inner.clone()).unwrap_or_default();
        let expression_start = inner.start + (source.len() - source.trim_start().len());
        let expression = expression_start..expression_start + source.trim().len();
        if expression.is_empty() || self.current.kind != Kind::RightBrace {
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
        let name = self.identifier()?;
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
            return Err(self.error(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
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
        let name = Name {
            text: self.text_of(&self.current).to_owned(),
            span: self.current.span.clone(),
        };
        self.advance();
        Ok(name)
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
        let hint = "a statement ends at a newline or with `;`".to_owned();
        error.hinted((found == Kind::RightBrace).then_some(hint))
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
        let is_it = self.current.kind == Kind::Keyword && self.text_of(&self.current) == word;
        if is_it {
            self.advance();
        }
        is_it
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_it = self.is_word(word);
        if is_it {
            self.advance();
        }
        is_it
    }

    fn is_word(&self, word: &str) -> bool {
        self.current.kind == Kind::Identifier && self.text_of(&self.current) == word
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|used| used == flag)
    }

    fn advance(&mut self) {
        self.last_end = Some(self.current.span.end.saturating_sub(1));
        self.current = self.lexer.next();
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

impl Item {
    fn is_defining(&self) -> bool {
        match self.kind {
            ItemKind::Definition(_) | ItemKind::Caveat(_) | ItemKind::Partial(_) => true,
            ItemKind::Use(_) | ItemKind::Import(_) => false,
        }
    }
}
