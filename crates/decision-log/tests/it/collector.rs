//! A server of HTTP that takes batches, or does what sinks are tested against: it refuses, fails, hangs.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde_json::Value;

/// What is done with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Answer(u16),
    /// It is taken, but for so many records, as a collector of OpenTelemetry says it.
    TakeBut(u8),
    /// Nothing is said, and the connection stays.
    Hang,
    /// The connection ends without an answer.
    Cut,
}

/// A batch that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    acts: VecDeque<Act>,
    otherwise: Option<Act>,
    taken: Vec<Taken>,
    requests: usize,
    connections: Vec<TcpStream>,
}

#[derive(Debug, Clone)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Collector {
    /// Does `acts` one after the other, and then `otherwise`.
    pub(crate) fn start(acts: &[Act], otherwise: Act) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), acts, otherwise)
    }

    pub(crate) fn start_on(listener: TcpListener, acts: &[Act], otherwise: Act) -> Self {
        let address = listener.local_addr().unwrap();
        let state = State {
            acts: acts.iter().copied().collect(),
            otherwise: Some(otherwise),
            ..State::default()
        };
        let collector = Self {
            address,
            state: Arc::new(Mutex::new(state)),
        };
        let of_thread = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let collector = of_thread.clone();
                std::thread::spawn(move || collector.serve(stream.unwrap()));
            }
        });
        collector
    }

    /// What is done from now on.
    pub(crate) fn now(&self, otherwise: Act) {
        let mut state = self.state.lock().unwrap();
        state.acts.clear();
        state.otherwise = Some(otherwise);
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Ends every connection that is open, as servers do with those that are idle.
    pub(crate) fn end_connections(&self) {
        for connection in self.state.lock().unwrap().connections.drain(..) {
            // The other side may have ended it before.
            let _ended = connection.shutdown(Shutdown::Both);
        }
    }

    /// The events that were taken, in their order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let batches = self.taken().into_iter();
        let events = batches.flat_map(|taken| {
            let array: Vec<Value> = serde_json::from_slice(&taken.body).unwrap();
            array
        });
        events.collect()
    }

    fn serve(&self, stream: TcpStream) {
        let mut answers = stream.try_clone().unwrap();
        let connection = stream.try_clone().unwrap();
        self.state.lock().unwrap().connections.push(connection);
        let mut reader = BufReader::new(stream);
        while let Some(taken) = read(&mut reader) {
            let act = {
                let mut state = self.state.lock().unwrap();
                state.requests += 1;
                let next = state.acts.pop_front();
                let act = next.or(state.otherwise).unwrap();
                if matches!(act, Act::Answer(200) | Act::TakeBut(_)) {
                    state.taken.push(taken);
                }
                act
            };
            match act {
                Act::Answer(status) => {
                    let answer = format!("HTTP/1.1 {status} told\r\ncontent-length: 0\r\n\r\n");
                    if answers.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
                Act::TakeBut(rejected) => {
                    // `partial_success`, and in it `rejected_log_records`.
                    let mut answer = b"HTTP/1.1 200 told\r\ncontent-length: 4\r\n\r\n".to_vec();
                    answer.extend([0x0a, 2, 0x08, rejected]);
                    if answers.write_all(&answer).is_err() {
                        return;
                    }
                }
                // Until the other side gives up.
                Act::Hang => drop(reader.read_to_end(&mut Vec::new())),
                Act::Cut => return answers.shutdown(Shutdown::Both).unwrap_or(()),
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Taken> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[before..].trim().is_empty() {
            break;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length:").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
    let mut compressed = vec![0; length];
    reader.read_exact(&mut compressed).ok()?;
    let mut body = Vec::new();
    GzDecoder::new(compressed.as_slice())
        .read_to_end(&mut body)
        .unwrap();
    Some(Taken { head, body })
}
