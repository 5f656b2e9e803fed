//! Hosts of requests, and the patterns that they match: `api.example.org`, `*.example.org`.

/// Longest name of a host, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostPattern {
    /// This one.
    One(String),
    /// Every host whose name ends so, with its leading dot.
    Below(String),
    /// Any.
    Any,
}

impl HostPattern {
    /// Reads a pattern; none if it is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text.strip_prefix('*') {
            None => (normal(text).as_deref() == Some(text)).then(|| Self::One(text.to_owned())),
            Some(suffix) => {
                let name = suffix.strip_prefix('.')?;
                let is_name = normal(name).as_deref() == Some(name) && !name.starts_with('[');
                is_name.then(|| Self::Below(suffix.to_owned()))
            }
        }
    }

    /// Whether `host`, which is in normal form, is meant.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::One(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Any => true,
        }
    }

    /// A pattern that comes before each that is wider.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self {
            Self::One(_) => (0, 0),
            Self::Below(suffix) => (1, usize::MAX - suffix.len()),
            Self::Any => (2, 0),
        }
    }
}

/// A host in the one form: lower case, without its port and the dot of the root. None if it is no host.
pub(crate) fn normal(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (host.get(..address.len() + 2)?, after)
        }
        None => match host.find(':') {
            Some(at) => host.split_at(at),
            None => (host, ""),
        },
    };
    let is_port = |text: &str| {
        let digits = text.strip_prefix(':');
        digits.is_some_and(|it| {
            it.len() <= 5 && !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit())
        })
    };
    if !port.is_empty() && !is_port(port) {
        return None;
    }
    if name.starts_with('[') {
        return Some(name.to_ascii_lowercase());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_letter);
    let is_name = (1..=HOST_BYTES_MAX).contains(&name.len()) && name.split('.').all(is_label);
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_form() {
        let normal = |host| super::normal(host);
        let some = |host: &str| Some(host.to_owned());
        assert_eq!(normal("API.Example.org:8443"), some("api.example.org"));
        assert_eq!(normal("api.example.org."), some("api.example.org"));
        assert_eq!(normal("127.0.0.1:80"), some("127.0.0.1"));
        assert_eq!(normal("[::1]:80"), some("[::1]"));
        assert_eq!(normal("[2001:DB8::1]"), some("[2001:db8::1]"));
        for host in [
            "", ".", "a..b", "a b", "a:", "a:b", "a:1:2", "a:123456", "[::1", "[a]", "a/b", "a@b",
            "[::1]x",
        ] {
            assert_eq!(normal(host), None, "{host}");
        }
    }

    #[test]
    fn patterns_are_names_or_what_lies_below_one() {
        let below = HostPattern::read("*.example.org").unwrap();
        assert!(below.matches("a.example.org") && below.matches("a.b.example.org"));
        assert!(!below.matches("example.org") && !below.matches("xexample.org"));
        for text in [
            "",
            "*",
            "*example.org",
            "a.*.org",
            "API.example.org",
            "a:80",
            "*.[::1]",
        ] {
            assert_eq!(HostPattern::read(text), None, "{text}");
        }
    }
}
