//! The words of a caveat expression.
//!
//! SOURCE: the lexis of the CEL language definition. The whole source is split up front, since its length is limited.

use super::error::Fault;

/// One word and where it starts, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) word: Word,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name that is no literal.
    Ident(String),
    /// A whole number without its sign.
    Int(u64),
    /// A whole number with the suffix `u`.
    Uint(u64),
    /// A number with a fraction or an exponent.
    Double(f64),
    /// A string with its escapes resolved.
    String(String),
    /// Bytes with their escapes resolved.
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the source.
    End,
}

/// Longer symbols come before their prefixes.
const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

/// Splits `source`; the last token is [`Word::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let at = lexer.at;
        let word = lexer.word()?;
        let is_end = word == Word::End;
        tokens.push(Token { at, word });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn take_while(&mut self, holds: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| holds(*byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        loop {
            let blank = self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c));
            if self.take("//") {
                self.take_while(|byte| byte != b'\n');
            } else if blank.is_empty() {
                return;
            }
        }
    }

    fn word(&mut self) -> Result<Word, Fault> {
        let Some(first) = self.peek() else {
            return Ok(Word::End);
        };
        if let Some(text) = self.quoted()? {
            return Ok(text);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return Ok(Word::Ident(name.to_owned()));
        }
        let fraction_first = first == '.'
            && self
                .rest()
                .chars()
                .nth(1)
                .is_some_and(|next| next.is_ascii_digit());
        if first.is_ascii_digit() || fraction_first {
            return self.number();
        }
        let symbol = SYMBOLS
            .iter()
            .find(|symbol| self.rest().starts_with(**symbol));
        match symbol {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Word::Symbol(symbol))
            }
            None => Err(Fault::syntax(
                self.at,
                format!("token recognition error at: '{first}'"),
            )),
        }
    }

    fn number(&mut self) -> Result<Word, Fault> {
        let at = self.at;
        if self.take("0x") || self.take("0X") {
            let digits = self.take_while(|byte| byte.is_ascii_hexdigit());
            return self.whole(at, u64::from_str_radix(digits, 16).ok());
        }
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let start = self.at;
        if self.rest().starts_with('.')
            && self
                .rest()
                .chars()
                .nth(1)
                .is_some_and(|next| next.is_ascii_digit())
        {
            self.at += 1;
            self.take_while(|byte| byte.is_ascii_digit());
        }
        self.exponent();
        if self.at == start {
            return self.whole(at, digits.parse().ok());
        }
        let text = self.source.get(at..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Word::Double(number)),
            Ok(_) | Err(_) => Err(Fault::syntax(at, "invalid double literal".to_owned())),
        }
    }

    /// An exponent counts only with its digits; `1else` is a number and a name.
    fn exponent(&mut self) {
        let start = self.at;
        if self.take("e") || self.take("E") {
            if !self.take("+") {
                self.take("-");
            }
            if self.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                self.at = start;
            }
        }
    }

    fn whole(&mut self, at: usize, number: Option<u64>) -> Result<Word, Fault> {
        let unsigned = self.take("u") || self.take("U");
        match (number, unsigned) {
            (Some(number), true) => Ok(Word::Uint(number)),
            (Some(number), false) => Ok(Word::Int(number)),
            (None, true) => Err(Fault::syntax(at, "invalid uint literal".to_owned())),
            (None, false) => Err(Fault::syntax(at, "invalid int literal".to_owned())),
        }
    }

    /// A string or bytes literal, if one starts here.
    fn quoted(&mut self) -> Result<Option<Word>, Fault> {
        let at = self.at;
        let prefix = self.take_while(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B'));
        let is_raw = prefix.contains(['r', 'R']);
        let is_bytes = prefix.contains(['b', 'B']);
        let prefix_fits = prefix.len() == usize::from(is_raw) + usize::from(is_bytes);
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| self.take(quote));
        let (Some(quote), true) = (quote, prefix_fits) else {
            self.at = at;
            return Ok(None);
        };
        let mut text = Text {
            bytes: Vec::new(),
            is_bytes,
        };
        loop {
            if self.take(quote) {
                break;
            }
            let Some(next) = self.peek() else {
                return Err(unterminated(at, self.source));
            };
            if quote.len() == 1 && matches!(next, '\n' | '\r') {
                return Err(unterminated(at, self.source));
            }
            if next == '\\' && !is_raw {
                self.at += 1;
                self.escape(&mut text)?;
            } else {
                self.at += next.len_utf8();
                text.push(next);
            }
        }
        if is_bytes {
            return Ok(Some(Word::Bytes(text.bytes)));
        }
        let string = String::from_utf8(text.bytes)
            .map_err(|_| Fault::syntax(at, "invalid string literal".to_owned()))?;
        Ok(Some(Word::String(string)))
    }

    fn escape(&mut self, text: &mut Text) -> Result<(), Fault> {
        let at = self.at.saturating_sub(1);
        let bad = || Fault::syntax(at, "invalid escape sequence".to_owned());
        let Some(kind) = self.peek() else {
            return Err(bad());
        };
        if let '0'..='3' = kind {
            let code = self.digits(3, 8).ok_or_else(bad)?;
            return text.push_code(code).ok_or_else(bad);
        }
        self.at += kind.len_utf8();
        let code = match kind {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            '"' | '\'' | '`' | '?' | '\\' => u32::from(kind),
            'x' | 'X' => {
                return text
                    .push_code(self.digits(2, 16).ok_or_else(bad)?)
                    .ok_or_else(bad);
            }
            'u' if !text.is_bytes => self.digits(4, 16).ok_or_else(bad)?,
            'U' if !text.is_bytes => self.digits(8, 16).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        text.push(char::from_u32(code).ok_or_else(bad)?);
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let digits = self.rest().get(..count)?;
        if !digits
            .bytes()
            .all(|digit| char::from(digit).is_digit(radix))
        {
            return None;
        }
        self.at += count;
        u32::from_str_radix(digits, radix).ok()
    }
}

struct Text {
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl Text {
    fn push(&mut self, character: char) {
        self.bytes
            .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// An octal or hexadecimal escape: a byte among bytes, a code point in a string.
    fn push_code(&mut self, code: u32) -> Option<()> {
        if self.is_bytes {
            self.bytes.push(u8::try_from(code).ok()?);
        } else {
            self.push(char::from_u32(code)?);
        }
        Some(())
    }
}

fn unterminated(at: usize, source: &str) -> Fault {
    let text: String = source
        .get(at..)
        .unwrap_or_default()
        .chars()
        .take(32)
        .collect();
    Fault::syntax(at, format!("token recognition error at: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<Word> {
        tokens(source)
            .unwrap()
            .into_iter()
            .map(|token| token.word)
            .collect()
    }

    #[test]
    fn literals_have_their_values() {
        assert_eq!(
            words("0x1F 12u 1.5 .5 2e3 7"),
            [
                Word::Int(31),
                Word::Uint(12),
                Word::Double(1.5),
                Word::Double(0.5),
                Word::Double(2000.0),
                Word::Int(7),
                Word::End
            ]
        );
        assert_eq!(
            words(r#"'a\n\u00e9' r"\n" b'\xff\377' """a"b""" '''c'd'''"#),
            [
                Word::String("a\né".to_owned()),
                Word::String("\\n".to_owned()),
                Word::Bytes(vec![0xff, 0xff]),
                Word::String("a\"b".to_owned()),
                Word::String("c'd".to_owned()),
                Word::End
            ]
        );
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for bad in [
            "'a",
            "'a\nb'",
            "\"\\q\"",
            "#",
            "a = b",
            "a | b",
            "'\\u12'",
            "1e999",
            "99999999999999999999",
            "b'\\u0041'",
            "'\\400'",
        ] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }
}
