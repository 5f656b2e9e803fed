//! What a process asked of its disk, as `strace` saw it.
//!
//! A call that changes something counts from where it was entered, since it may have had its effect from then on; an
//! opened file and a sync count from where they returned. A call that the disk's model does not know is a panic, not a gap.

use std::collections::BTreeMap;
use std::io::BufRead;

/// The calls that change a file or a folder, or say which file a descriptor is of. Shared mappings are not among them:
/// SQLite has one, of its index of the write-ahead log, which it builds anew after a crash.
pub(super) const CALLS: &str = "openat,open,openat2,creat,close,dup,dup2,dup3,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,\
sync,syncfs,sync_file_range,msync,truncate,ftruncate,fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,\
symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir";

/// One call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Open {
        descriptor: u32,
        path: String,
        is_created: bool,
        is_emptied: bool,
    },
    Close {
        descriptor: u32,
    },
    Write {
        descriptor: u32,
        at: u64,
        bytes: Vec<u8>,
    },
    Resize {
        descriptor: u32,
        bytes: u64,
    },
    /// Covers what was written before the event `since`: it was entered there.
    Sync {
        descriptor: u32,
        since: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    /// What the process says of itself, by its standard error.
    Said(String),
    /// A call that failed, or of which nothing is left to know.
    Nothing,
    /// A call on a descriptor, which must not be one of a file of ours.
    Unknown {
        descriptor: Option<u32>,
        call: String,
    },
}

impl Event {
    /// The descriptor that is synced, if any is.
    pub(super) fn synced(&self) -> Option<u32> {
        match self {
            Self::Sync { descriptor, .. } => Some(*descriptor),
            Self::Open { .. }
            | Self::Close { .. }
            | Self::Write { .. }
            | Self::Resize { .. }
            | Self::Rename { .. }
            | Self::Unlink { .. }
            | Self::Said(_)
            | Self::Nothing
            | Self::Unknown { .. } => None,
        }
    }
}

/// A call that has not returned yet.
struct Entered {
    name: String,
    arguments: String,
    /// Its place among the events.
    at: usize,
}

pub(super) fn read(mut lines: impl BufRead) -> Vec<Event> {
    let (mut events, mut entered) = (Vec::new(), BTreeMap::new());
    let mut line = Vec::new();
    while {
        line.clear();
        lines.read_until(b'\n', &mut line).unwrap() > 0
    } {
        let text = str::from_utf8(&line).unwrap().trim_end();
        let (process, text) = text.split_once(' ').unwrap();
        let text = text.trim_start();
        if let Some(text) = text.strip_prefix("<... ") {
            let call: Entered = entered.remove(process).unwrap();
            assert!(text.starts_with(&call.name), "{text}");
            if let Some(result) = result(text) {
                events[call.at] = Event::Nothing;
                settle(&mut events, call, result);
            }
        } else if let Some((name, rest)) = call(text) {
            let (arguments, result) = match rest.strip_suffix(" <unfinished ...>") {
                Some(arguments) => (arguments, None),
                // Neither data nor names hold a bracket: they are written in hexadecimal.
                None => (rest.split(')').next().unwrap(), result(rest)),
            };
            let call = Entered {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                at: events.len(),
            };
            match result {
                Some(result) => {
                    events.push(Event::Nothing);
                    settle(&mut events, call, result);
                }
                None => {
                    // Until it is known to have failed; a process that is ended does not return from its last calls.
                    events.push(event(&call, None));
                    entered.insert(process.to_owned(), call);
                }
            }
        }
    }
    events
}

/// The name of a call and what follows; none for a line on a signal or an end.
fn call(text: &str) -> Option<(&str, &str)> {
    let is_call = text.starts_with(|first: char| first.is_ascii_lowercase());
    text.split_once('(').filter(|_| is_call)
}

/// The result of a call; none if there was none.
fn result(text: &str) -> Option<i64> {
    let (_, result) = text.rsplit_once(" = ").unwrap();
    result.split(' ').next().unwrap().parse().ok()
}

/// Puts a call that returned where it belongs.
fn settle(events: &mut Vec<Event>, call: Entered, result: i64) {
    if result < 0 {
        return;
    }
    let event = event(&call, Some(result));
    let is_over = matches!(event, Event::Open { .. } | Event::Sync { .. });
    if is_over && call.at + 1 < events.len() {
        events.push(event);
    } else {
        events[call.at] = event;
    }
}

/// What a call does; with its result if that is known already.
fn event(call: &Entered, result: Option<i64>) -> Event {
    let arguments: Vec<&str> = call.arguments.split(", ").collect();
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    let descriptor = || arguments[0].parse::<u32>().ok();
    // Which of these calls there are depends on the machine; all paths of a store are absolute.
    let path = |at: usize| {
        let mut paths = arguments
            .iter()
            .filter(|argument| argument.starts_with('"'));
        text(paths.nth(at).unwrap())
    };
    match call.name.as_str() {
        "openat" => match result {
            Some(result) => Event::Open {
                descriptor: u32::try_from(result).unwrap(),
                path: path(0),
                is_created: arguments[2].contains("O_CREAT"),
                is_emptied: arguments[2].contains("O_TRUNC"),
            },
            None => Event::Nothing,
        },
        "close" => Event::Close {
            descriptor: descriptor().unwrap(),
        },
        "fsync" | "fdatasync" => match result {
            Some(_) => Event::Sync {
                descriptor: descriptor().unwrap(),
                since: call.at,
            },
            None => Event::Nothing,
        },
        "pwrite64" => {
            let bytes = bytes(arguments[1]);
            let written = result.map_or(number(2), |result| u64::try_from(result).unwrap());
            assert_eq!(bytes.len() as u64, written, "a write that is cut short");
            Event::Write {
                descriptor: descriptor().unwrap(),
                at: number(3),
                bytes,
            }
        }
        "ftruncate" => Event::Resize {
            descriptor: descriptor().unwrap(),
            bytes: number(1),
        },
        "rename" | "renameat" | "renameat2" => Event::Rename {
            from: path(0),
            to: path(1),
        },
        "unlink" | "unlinkat" => Event::Unlink { path: path(0) },
        "write" if arguments[0] == "2" => Event::Said(text(arguments[1])),
        other => Event::Unknown {
            descriptor: descriptor(),
            call: other.to_owned(),
        },
    }
}

fn text(argument: &str) -> String {
    String::from_utf8(bytes(argument)).unwrap()
}

/// `"\x41\x42"`
fn bytes(argument: &str) -> Vec<u8> {
    let digits = argument
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{argument} is no whole string"));
    let (bytes, rest) = digits.as_bytes().as_chunks::<4>();
    assert!(rest.is_empty());
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    };
    bytes
        .iter()
        .map(|[_, _, high, low]| digit(*high) * 16 + digit(*low))
        .collect()
}

#[test]
fn calls_that_overlap_are_told_apart() {
    let trace = "7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT|O_CLOEXEC, 0644 <unfinished ...>\n\
                 8 fsync(4 <unfinished ...>\n\
                 7 <... openat resumed>) = 5\n\
                 7   pwrite64(5, \"\\x41\\xff\", 2, 512 <unfinished ...>\n\
                 8 <... fsync resumed>) = 0\n\
                 7 <... pwrite64 resumed>) = 2\n\
                 8 unlink(\"\\x2f\\x61\") = -1 ENOENT (No such file or directory)\n\
                 8 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                 8 close(5 <unfinished ...>\n\
                 7 +++ exited with 0 +++\n";
    let expected = [
        Event::Nothing,
        Event::Nothing,
        Event::Open {
            descriptor: 5,
            path: "/a".to_owned(),
            is_created: true,
            is_emptied: false,
        },
        Event::Write {
            descriptor: 5,
            at: 512,
            bytes: vec![0x41, 0xff],
        },
        Event::Sync {
            descriptor: 4,
            since: 1,
        },
        Event::Nothing,
        Event::Close { descriptor: 5 },
    ];
    assert_eq!(read(trace.as_bytes()), expected);
}
