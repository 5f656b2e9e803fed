//! The form in which a comment is kept: that of the wire, whatever it was written like.

/// Puts a comment, with its markers, in the one form; one that is in it stays as it is.
pub(super) fn canonical(comment: &str) -> String {
    if let Some(body) = comment.strip_prefix("//") {
        return format!("// {}", body.trim());
    }
    let (marker, body) = match comment.strip_prefix("/**") {
        Some(body) => ("/**", body),
        None => ("/*", comment.strip_prefix("/*").unwrap_or(comment)),
    };
    let lines = body.strip_suffix("*/").unwrap_or(body).lines().map(|line| {
        let line = line.trim();
        line.strip_prefix('*').unwrap_or(line).trim()
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    let body = body.trim();
    if body.contains('\n') {
        format!("{marker}\n * {}\n */", body.replace('\n', "\n * "))
    } else {
        // Read again, each of these would be taken for the start of a line.
        let body = body.trim_start_matches(|c: char| c == '*' || c.is_whitespace());
        format!("{marker} {body} */")
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn comments_are_put_in_form_as_recorded() {
        for (written, kept) in [
            ("//x", "// x"),
            ("//  x  ", "// x"),
            ("//", "// "),
            ("///x", "// /x"),
            ("/**one*/", "/** one */"),
            ("/***/", "/**  */"),
            ("/**/", "/** / */"),
            ("/*** x ***/", "/** x ** */"),
            ("/* ** x */", "/* x */"),
            ("/* a\n*/", "/* a */"),
            ("/*\n */", "/*  */"),
            ("/* one\n two */", "/*\n * one\n * two\n */"),
            ("/*\n\n one\n\n two\n*/", "/*\n * one\n * \n * two\n */"),
            ("/*\n* one\n** three\n*/", "/*\n * one\n * * three\n */"),
            ("/*\tx\r\n\t\ty\r\n*/", "/*\n * x\n * y\n */"),
        ] {
            assert_eq!(canonical(written), kept, "{written:?}");
            assert_eq!(canonical(kept.trim_end()), kept, "{written:?} again");
        }
    }
}
