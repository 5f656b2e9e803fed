//! Text into tokens. Total: what is no token is an [`Kind::Error`] token, and the end is a token as well.
//!
//! A statement ends at a newline: after an identifier, a keyword, `}`, `)`, `*` or a string, a newline stands for a
//! semicolon. Comments are no tokens; they are kept beside them, for documentation and for the formatter.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What a token is. The names are the wire's, which tells them in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Eof,
    Error,
    Identifier,
    Keyword,
    String,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    Pipe,
    Plus,
    Minus,
    And,
    Div,
    Equals,
    Colon,
    Semicolon,
    SyntheticSemicolon,
    RightArrow,
    Hash,
    Ellipsis,
    Star,
    Comma,
    LessThan,
    GreaterThan,
    Period,
    // These are of caveat expressions alone; a schema has them only where it is wrong.
    Percent,
    ExclamationPoint,
    QuestionMark,
    LeftBracket,
    RightBracket,
    EqualEqual,
    NotEqual,
    ConditionalAnd,
    ConditionalOr,
    LessThanOrEqual,
    GreaterThanOrEqual,
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// A comment and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub(crate) span: Range<usize>,
    /// Whether nothing but space stands before it on its line.
    pub(crate) is_on_own_line: bool,
    /// Where the token after it starts: the comment documents what begins there, if anything does.
    pub(crate) before: usize,
}

/// The words that are never names.
const KEYWORDS: [&str; 6] = [
    "definition",
    "caveat",
    "relation",
    "permission",
    "nil",
    "with",
];

/// Reads tokens one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether a newline here ends a statement.
    ends_statement: bool,
    line_is_blank: bool,
    pub(crate) comments: Vec<Comment>,
    /// The first comment whose next token has not been read.
    pending: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            ends_statement: false,
            line_is_blank: true,
            comments: Vec::new(),
            pending: 0,
        }
    }

    pub(crate) fn next(&mut self) -> Token {
        let token = self.token();
        for comment in self.comments.iter_mut().skip(self.pending) {
            comment.before = token.span.start;
        }
        self.pending = self.comments.len();
        token
    }

    fn token(&mut self) -> Token {
        if let Some(token) = self.skip_space() {
            return token;
        }
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Token {
                kind: Kind::Eof,
                span: start..start,
            };
        };
        let (kind, length) = if first == '_' || first.is_alphanumeric() {
            let length = word_length(rest);
            let word = rest.get(..length).unwrap_or(rest);
            (
                if KEYWORDS.contains(&word) {
                    Kind::Keyword
                } else {
                    Kind::Identifier
                },
                length,
            )
        } else if first == '"' || first == '\'' {
            string(rest)
        } else {
            symbol(rest, first)
        };
        self.at += length;
        self.line_is_blank = false;
        self.ends_statement = matches!(
            kind,
            Kind::Identifier
                | Kind::Keyword
                | Kind::RightBrace
                | Kind::RightParen
                | Kind::Star
                | Kind::String
        );
        Token {
            kind,
            span: start..self.at,
        }
    }

    /// Takes the text up to the brace that closes the one just read, and leaves that brace.
    pub(crate) fn braced(&mut self) -> Range<usize> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(first) = self.rest().chars().next() {
            let rest = self.rest();
            match first {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            self.at += piece(rest, first);
        }
        self.ends_statement = false;
        start..self.at
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes over space and comments; a token only for a newline that ends a statement, or a comment without an end.
    fn skip_space(&mut self) -> Option<Token> {
        loop {
            let rest = self.rest();
            let start = self.at;
            let first = rest.chars().next()?;
            if first == '\n' {
                self.at += 1;
                self.line_is_blank = true;
                if std::mem::take(&mut self.ends_statement) {
                    return Some(Token {
                        kind: Kind::SyntheticSemicolon,
                        span: start..self.at,
                    });
                }
            } else if first.is_whitespace() || first == '\u{feff}' {
                self.at += first.len_utf8();
            } else if rest.starts_with("//") {
                let line = rest.lines().next().unwrap_or(rest);
                self.at += line.trim_end().len();
                self.comment(start);
            } else if rest.starts_with("/*") {
                let Some(end) = block_comment_length(rest) else {
                    self.at = self.text.len();
                    return Some(Token {
                        kind: Kind::Error,
                        span: start..self.at,
                    });
                };
                self.at += end;
                self.comment(start);
            } else {
                return None;
            }
        }
    }

    fn comment(&mut self, start: usize) {
        self.comments.push(Comment {
            span: start..self.at,
            is_on_own_line: self.line_is_blank,
            before: self.at,
        });
    }
}

/// A quoted string at the front of `rest`: its kind and length. A triple quote ends with the same triple quote.
fn string(rest: &str) -> (Kind, usize) {
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            return match inner.find(quote) {
                Some(end) => (Kind::String, end + 2 * quote.len()),
                None => (Kind::Error, rest.len()),
            };
        }
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return (Kind::Error, at),
            c if rest.starts_with(c) => return (Kind::String, at + c.len_utf8()),
            _ => {}
        }
    }
    (Kind::Error, rest.len())
}

/// The length of a `/* */` comment at the front of `rest`, if it has an end.
fn block_comment_length(rest: &str) -> Option<usize> {
    let inner = rest.get(2..)?;
    inner.find("*/").map(|end| end + 4)
}

/// The length of what stands at the front of a caveat expression: a string, a comment, a word, or a character.
fn piece(rest: &str, first: char) -> usize {
    match first {
        '"' | '\'' => string(rest).1,
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => block_comment_length(rest).unwrap_or(rest.len()),
        _ if first == '_' || first.is_alphanumeric() => word_or_raw_string(rest),
        _ => first.len_utf8(),
    }
}

/// A caveat expression with space in place of its `/* */` comments, which its language does not have.
pub(crate) fn without_block_comments(source: &str) -> Cow<'_, str> {
    if !source.contains("/*") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (piece, behind) = rest.split_at(piece(rest, first));
        if piece.starts_with("/*") {
            out.extend(piece.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        rest = behind;
    }
    Cow::Owned(out)
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric())
        .unwrap_or(rest.len())
}

/// The length of a word, together with the string behind it if the word says that it is raw: `r"\d"`.
fn word_or_raw_string(rest: &str) -> usize {
    let (word, behind) = rest.split_at(word_length(rest));
    let is_raw = ["r", "br", "rb"]
        .iter()
        .any(|raw| word.eq_ignore_ascii_case(raw));
    let is_triple = behind.starts_with("\"\"\"") || behind.starts_with("'''");
    match behind.chars().next() {
        Some(quote @ ('"' | '\'')) if is_raw && !is_triple => {
            let inner = behind.get(1..).unwrap_or_default();
            word.len()
                + inner
                    .find([quote, '\n'])
                    .map_or(behind.len(), |end| end + 2)
        }
        _ => word.len(),
    }
}

fn symbol(rest: &str, first: char) -> (Kind, usize) {
    const LONG: [(&str, Kind); 8] = [
        ("...", Kind::Ellipsis),
        ("->", Kind::RightArrow),
        ("==", Kind::EqualEqual),
        ("!=", Kind::NotEqual),
        ("&&", Kind::ConditionalAnd),
        ("||", Kind::ConditionalOr),
        ("<=", Kind::LessThanOrEqual),
        (">=", Kind::GreaterThanOrEqual),
    ];
    if let Some((text, kind)) = LONG.iter().find(|(text, _)| rest.starts_with(text)) {
        return (*kind, text.len());
    }
    let kind = match first {
        '{' => Kind::LeftBrace,
        '}' => Kind::RightBrace,
        '(' => Kind::LeftParen,
        ')' => Kind::RightParen,
        '|' => Kind::Pipe,
        '+' => Kind::Plus,
        '-' => Kind::Minus,
        '&' => Kind::And,
        '/' => Kind::Div,
        '=' => Kind::Equals,
        ':' => Kind::Colon,
        ';' => Kind::Semicolon,
        '#' => Kind::Hash,
        '*' => Kind::Star,
        ',' => Kind::Comma,
        '<' => Kind::LessThan,
        '>' => Kind::GreaterThan,
        '.' => Kind::Period,
        '%' => Kind::Percent,
        '!' => Kind::ExclamationPoint,
        '?' => Kind::QuestionMark,
        '[' => Kind::LeftBracket,
        ']' => Kind::RightBracket,
        _ => Kind::Error,
    };
    (kind, first.len_utf8())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Eof {
            f.write_str("TokenTypeEOF")
        } else {
            write!(f, "TokenType{self:?}")
        }
    }
}
