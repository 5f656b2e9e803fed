//! The body of a request: JSON in, frames of gRPC out, as they come.
//!
//! Nothing is read before the call asks for it, so a caller without a key makes the server hold nothing. What is wrong
//! with the JSON travels to the call as the failure of its stream: a stream that breaks is not one that ends.

use futures_util::stream::{self, Stream, TryStreamExt as _};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use serde::de::Error as _;
use tonic::Status;
use tonic::body::Body;

use super::json;

/// Bytes before each message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

/// Messages within messages that a reader of gRPC takes; it would blame the connection for more.
///
/// SOURCE: the limit of recursion in prost.
const DEPTH_MAX: usize = 100;

/// The body of the gRPC request for `body`, whose messages have at most `bytes_max` bytes each.
pub(super) fn transcoded(body: Body, method: &MethodDescriptor, bytes_max: usize) -> Body {
    let messages = Messages {
        body,
        texts: Texts::new(bytes_max),
        method: method.clone(),
        is_over: false,
    };
    if method.is_client_streaming() {
        Body::new(StreamBody::new(messages.each().map_ok(Frame::data)))
    } else {
        Body::new(StreamBody::new(messages.only().map_ok(Frame::data)))
    }
}

/// The messages of a body.
struct Messages {
    body: Body,
    texts: Texts,
    method: MethodDescriptor,
    is_over: bool,
}

impl Messages {
    /// The whole body as one message; an empty one stands for `{}`.
    fn only(mut self) -> impl Stream<Item = Result<Bytes, Status>> {
        stream::once(async move {
            while let Some(part) = next_part(&mut self.body).await? {
                self.texts.add(&part);
                self.texts.rest()?;
            }
            let text = self.texts.rest()?;
            if text.trim_ascii().is_empty() {
                return framed(&self.method, b"{}")
                    .map_err(|_| Status::internal("`{}` was refused"));
            }
            framed(&self.method, text).map_err(|error| {
                Status::invalid_argument(format!(
                    "the request body is no {} as JSON: {error}",
                    self.method.input().full_name()
                ))
            })
        })
    }

    /// The messages as they come.
    fn each(self) -> impl Stream<Item = Result<Bytes, Status>> {
        stream::try_unfold(self, async |mut messages: Self| {
            loop {
                if let Some(text) = messages.texts.next()? {
                    let frame = framed(&messages.method, &text.bytes).map_err(|error| {
                        Status::invalid_argument(format!(
                            "message {} of the request body, which begins on line {}, is no {} as JSON: {error}",
                            text.number,
                            text.line,
                            messages.method.input().full_name()
                        ))
                    })?;
                    return Ok(Some((frame, messages)));
                }
                if messages.is_over {
                    messages.texts.end()?;
                    return Ok(None);
                }
                match next_part(&mut messages.body).await? {
                    Some(part) => messages.texts.add(&part),
                    None => messages.is_over = true,
                }
            }
        })
    }
}

async fn next_part(body: &mut Body) -> Result<Option<Bytes>, Status> {
    loop {
        match body.frame().await.transpose()? {
            None => return Ok(None),
            // What is no data is trailers, which say nothing here.
            Some(frame) => {
                if let Ok(part) = frame.into_data() {
                    return Ok(Some(part));
                }
            }
        }
    }
}

fn framed(method: &MethodDescriptor, text: &[u8]) -> serde_json::Result<Bytes> {
    let message = json::read(&method.input(), text)?;
    if depth(&message) > DEPTH_MAX {
        return Err(serde_json::Error::custom("it is nested too deep"));
    }
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES.saturating_add(length));
    frame.put_u8(0);
    // JSON is longer than the message it stands for, and that is bounded.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as needed, so there is always room.
    let _full = message.encode(&mut frame);
    Ok(frame.freeze())
}

/// How deep messages lie in `message`; the entry of a map counts as one.
fn depth(message: &DynamicMessage) -> usize {
    let values = message.fields().map(|(_, value)| depth_of_value(value));
    values.max().unwrap_or_default()
}

fn depth_of_value(value: &Value) -> usize {
    let below = if let Some(message) = value.as_message() {
        depth(message)
    } else if let Some(values) = value.as_list() {
        return values.iter().map(depth_of_value).max().unwrap_or_default();
    } else if let Some(values) = value.as_map() {
        let values = values.values().map(depth_of_value);
        values.max().unwrap_or_default()
    } else {
        return 0;
    };
    below.saturating_add(1)
}

/// Cuts a stream of bytes into the JSON values that stand in it one after the other.
///
/// # Cost
/// Every byte is looked at once.
struct Texts {
    bytes: BytesMut,
    bytes_max: usize,
    /// How far `bytes` was looked at.
    looked_at: usize,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// The number of the message that is being looked at, from 1, and the line on which it begins.
    number: usize,
    begins_on: usize,
    line: usize,
}

/// One JSON value, not yet read.
#[derive(Debug)]
struct Text {
    bytes: Bytes,
    number: usize,
    line: usize,
}

impl Texts {
    fn new(bytes_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            bytes_max,
            looked_at: 0,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            number: 1,
            begins_on: 1,
            line: 1,
        }
    }

    /// Adds what came. Between two calls [`Self::next`] takes what is whole, so what is held stays bounded.
    fn add(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// All that was added and not taken, as one message.
    fn rest(&self) -> Result<&[u8], Status> {
        self.check_length(self.bytes.len())?;
        Ok(&self.bytes)
    }

    fn check_length(&self, length: usize) -> Result<(), Status> {
        if length <= self.bytes_max {
            return Ok(());
        }
        Err(Status::resource_exhausted(format!(
            "message {} of the request body has more than {} bytes, the most that is read",
            self.number, self.bytes_max
        )))
    }

    /// The next whole value.
    fn next(&mut self) -> Result<Option<Text>, Status> {
        while let Some(&byte) = self.bytes.get(self.looked_at) {
            self.looked_at = self.looked_at.saturating_add(1);
            self.line = self.line.saturating_add(usize::from(byte == b'\n'));
            if self.is_in_string {
                self.in_string(byte);
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if self.depth > 0 => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.check_length(self.looked_at)?;
                        return Ok(Some(self.take()));
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                    drop(self.bytes.split_to(self.looked_at));
                    self.looked_at = 0;
                    self.begins_on = self.line;
                    continue;
                }
                _ => {}
            }
            if self.depth == 0 {
                return Err(Status::invalid_argument(format!(
                    "message {} of the request body, on line {}, does not begin with `{{`",
                    self.number, self.line
                )));
            }
        }
        self.check_length(self.looked_at)?;
        Ok(None)
    }

    fn in_string(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.is_in_string = false;
        }
    }

    fn take(&mut self) -> Text {
        let text = Text {
            bytes: self.bytes.split_to(self.looked_at).freeze(),
            number: self.number,
            line: self.begins_on,
        };
        self.looked_at = 0;
        self.number = self.number.saturating_add(1);
        self.begins_on = self.line;
        text
    }

    /// # Errors
    /// If a message is not finished.
    fn end(&self) -> Result<(), Status> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(Status::invalid_argument(format!(
            "the request body ends within message {}, which begins on line {}",
            self.number, self.begins_on
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a body that arrives in parts of `size` bytes: values with their lines, and how it ends.
    fn cut(body: &str, size: usize) -> (Vec<(String, usize)>, Option<String>) {
        let mut texts = Texts::new(64);
        let mut found = Vec::new();
        for part in body.as_bytes().chunks(size) {
            texts.add(part);
            loop {
                match texts.next() {
                    Ok(Some(text)) => {
                        let value = String::from_utf8(text.bytes.to_vec()).unwrap();
                        found.push((value, text.line));
                    }
                    Ok(None) => break,
                    Err(status) => return (found, Some(status.message().to_owned())),
                }
            }
        }
        (
            found,
            texts.end().err().map(|status| status.message().to_owned()),
        )
    }

    #[test]
    fn values_are_cut_wherever_parts_end() {
        let body = "{\"a\":\"}{\\\"\\\\\"}\n\n  {\"b\":\n[1,{}]}{}\r\n";
        let expected = vec![
            ("{\"a\":\"}{\\\"\\\\\"}".to_owned(), 1),
            ("{\"b\":\n[1,{}]}".to_owned(), 3),
            ("{}".to_owned(), 4),
        ];
        for size in 1..=body.len() {
            assert_eq!(cut(body, size), (expected.clone(), None), "{size}");
        }
    }

    #[test]
    fn what_is_no_stream_of_objects_says_where() {
        for (body, expected) in [
            (
                "{}\nnonsense",
                "message 2 of the request body, on line 2, does not begin with `{`",
            ),
            (
                "\"text\"",
                "message 1 of the request body, on line 1, does not begin with `{`",
            ),
            (
                "}",
                "message 1 of the request body, on line 1, does not begin with `{`",
            ),
            (
                "{}\n{\"a\"",
                "the request body ends within message 2, which begins on line 2",
            ),
        ] {
            assert_eq!(cut(body, 3).1.as_deref(), Some(expected), "{body}");
        }
        let long = format!("{{}}{{\"a\":\"{}\"}}", "x".repeat(64));
        let told = cut(&long, 7).1.unwrap();
        assert!(told.contains("more than 64 bytes"), "{told}");
    }
}
