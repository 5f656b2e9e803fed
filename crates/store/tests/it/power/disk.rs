//! A disk as POSIX has it: what a sync returned for is there, and of the rest anything may be.
//!
//! Data belongs to a file whatever its name is, and waits for a sync of that file. Names belong to the folder, and wait
//! for a sync of the folder: that of a new file is not durable because the file is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::states::State;
use super::trace::Event;

/// SQLite's index of the write-ahead log. Nothing in it outlives a crash.
pub(super) const SHARED_INDEX: &str = "-shm";

#[derive(Clone)]
pub(super) struct Disk {
    /// With a slash at its end.
    folder: String,
    descriptors: BTreeMap<u32, Node>,
    pub(super) files: Vec<FileOnDisk>,
    /// What the process sees.
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    /// What was done to names since the folder was synced.
    pub(super) pending_names: Vec<NameChange>,
    /// The number of events so far.
    now: usize,
}

#[derive(Clone, Copy)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Default)]
pub(super) struct FileOnDisk {
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

#[derive(Clone)]
pub(super) struct Change {
    at: usize,
    pub(super) kind: ChangeKind,
}

#[derive(Clone)]
pub(super) enum ChangeKind {
    Write { at: u64, bytes: Vec<u8> },
    Resize { bytes: u64 },
}

#[derive(Clone)]
pub(super) struct NameChange {
    at: usize,
    pub(super) kind: NameChangeKind,
}

#[derive(Clone)]
pub(super) enum NameChangeKind {
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
        file: usize,
    },
    Unlink {
        name: String,
        file: usize,
    },
}

impl Disk {
    /// An empty folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self::holding(folder, State::new())
    }

    /// A folder of which everything is durable.
    pub(super) fn holding(folder: &Path, state: State) -> Self {
        let (names, contents): (Vec<String>, Vec<Vec<u8>>) = state.into_iter().unzip();
        let names: BTreeMap<_, _> = names.into_iter().zip(0..).collect();
        let file = |durable| FileOnDisk {
            durable,
            pending: Vec::new(),
        };
        Self {
            folder: format!("{}/", folder.display()),
            descriptors: BTreeMap::new(),
            files: contents.into_iter().map(file).collect(),
            names: names.clone(),
            durable_names: names,
            pending_names: Vec::new(),
            now: 0,
        }
    }

    /// A new process sees it, at another place. What was pending is so still, and any sync covers it.
    pub(super) fn restart(&mut self, folder: &Path) {
        self.folder = format!("{}/", folder.display());
        self.descriptors.clear();
        self.now = 0;
        let changes = self.files.iter_mut().flat_map(|file| &mut file.pending);
        changes.for_each(|change| change.at = 0);
        self.pending_names
            .iter_mut()
            .for_each(|change| change.at = 0);
    }

    /// Does what a call did. `honours` tells whether a sync does what it says, by the name of the file; that of the folder is
    /// empty.
    pub(super) fn apply(&mut self, event: &Event, honours: fn(&str) -> bool) {
        match event {
            Event::Open {
                descriptor,
                path,
                is_created,
                is_emptied,
            } => {
                self.descriptors.remove(descriptor);
                if let Some(node) = self.open(path, *is_created, *is_emptied) {
                    self.descriptors.insert(*descriptor, node);
                }
            }
            Event::Close { descriptor } => {
                self.descriptors.remove(descriptor);
            }
            Event::Write {
                descriptor,
                at,
                bytes,
            } => {
                let (at, bytes) = (*at, bytes.clone());
                self.change(*descriptor, ChangeKind::Write { at, bytes });
            }
            Event::Resize { descriptor, bytes } => {
                self.change(*descriptor, ChangeKind::Resize { bytes: *bytes });
            }
            Event::Sync { descriptor, since } => self.sync(*descriptor, *since, honours),
            Event::Rename { from, to } => self.rename(from, to),
            Event::Unlink { path } => {
                if let Some(name) = self.name(path) {
                    let file = self.names.remove(&name).unwrap();
                    self.change_name(NameChangeKind::Unlink { name, file });
                }
            }
            Event::Unknown { descriptor, call } => {
                let is_ours =
                    descriptor.is_none_or(|number| self.descriptors.contains_key(&number));
                assert!(!is_ours, "`{call}` is not in the model of a disk");
            }
            Event::Said(_) | Event::Nothing => {}
        }
        self.now += 1;
    }

    fn name(&self, path: &str) -> Option<String> {
        path.strip_prefix(&self.folder).map(str::to_owned)
    }

    fn open(&mut self, path: &str, is_created: bool, is_emptied: bool) -> Option<Node> {
        if format!("{path}/") == self.folder {
            return Some(Node::Folder);
        }
        let name = self.name(path)?;
        let found = self.names.get(&name).copied();
        let file = found.unwrap_or_else(|| {
            assert!(is_created, "`{name}` was never made");
            let file = self.files.len();
            self.files.push(FileOnDisk::default());
            self.names.insert(name.clone(), file);
            self.change_name(NameChangeKind::Create { name, file });
            file
        });
        if is_emptied {
            let kind = ChangeKind::Resize { bytes: 0 };
            self.files[file].pending.push(Change { at: self.now, kind });
        }
        Some(Node::File(file))
    }

    fn change(&mut self, descriptor: u32, kind: ChangeKind) {
        match self.descriptors.get(&descriptor) {
            Some(Node::File(file)) => self.files[*file]
                .pending
                .push(Change { at: self.now, kind }),
            Some(Node::Folder) => panic!("a write to a folder"),
            None => {}
        }
    }

    fn change_name(&mut self, kind: NameChangeKind) {
        self.pending_names.push(NameChange { at: self.now, kind });
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.name(from), self.name(to)) else {
            return;
        };
        let file = self.names.remove(&from).unwrap();
        self.names.insert(to.clone(), file);
        self.change_name(NameChangeKind::Rename { from, to, file });
    }

    fn sync(&mut self, descriptor: u32, since: usize, honours: fn(&str) -> bool) {
        match self.descriptors.get(&descriptor) {
            Some(Node::Folder) if honours("") => {
                let done = self
                    .pending_names
                    .partition_point(|change| change.at < since);
                for change in self.pending_names.drain(..done) {
                    change.kind.apply(&mut self.durable_names);
                }
            }
            Some(Node::File(file)) if honours(&self.name_of(*file)) => {
                let file = &mut self.files[*file];
                let done = file.pending.partition_point(|change| change.at < since);
                for change in file.pending.drain(..done) {
                    change.kind.apply(&mut file.durable);
                }
            }
            Some(Node::Folder | Node::File(_)) | None => {}
        }
    }

    fn name_of(&self, file: usize) -> String {
        let mut names = self.names.iter();
        names
            .find(|(_, named)| **named == file)
            .map_or("(no name)", |(name, _)| name)
            .to_owned()
    }
}

impl ChangeKind {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { bytes, .. } => self.apply_part(content, 0..bytes.len()),
            Self::Resize { bytes } => content.resize(usize::try_from(*bytes).unwrap(), 0),
        }
    }

    /// Writes a part of what is written. What lies between it and the file's end before is zeros.
    pub(super) fn apply_part(&self, content: &mut Vec<u8>, part: Range<usize>) {
        if let Self::Write { at, bytes } = self {
            let start = usize::try_from(*at).unwrap() + part.start;
            let end = start + part.len();
            content.resize(content.len().max(end), 0);
            content[start..end].copy_from_slice(&bytes[part]);
        }
    }

    /// The file's length comes out as if it had been written, and its data does not.
    pub(super) fn apply_length(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = usize::try_from(*at).unwrap() + bytes.len();
                content.resize(content.len().max(end), 0);
            }
            Self::Resize { .. } => self.apply(content),
        }
    }
}

impl NameChangeKind {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        let (removed, added, file) = match self {
            Self::Create { name, file } => (None, Some(name), *file),
            Self::Rename { from, to, file } => (Some(from), Some(to), *file),
            Self::Unlink { name, file } => (Some(name), None, *file),
        };
        if let Some(name) = removed
            && names.get(name) == Some(&file)
        {
            names.remove(name);
        }
        if let Some(name) = added {
            names.insert(name.clone(), file);
        }
    }
}

#[test]
fn a_sync_is_of_a_file_or_of_its_name() {
    let mut disk = Disk::new(Path::new("/d"));
    let open = |descriptor, path: &str| Event::Open {
        descriptor,
        path: path.to_owned(),
        is_created: true,
        is_emptied: false,
    };
    let write = |at, bytes: &[u8]| Event::Write {
        descriptor: 3,
        at,
        bytes: bytes.to_vec(),
    };
    let sync = |descriptor, since| Event::Sync { descriptor, since };
    let mut apply = |event| {
        disk.apply(&event, |_| true);
        let file = &disk.files[0];
        let names: Vec<_> = disk.durable_names.keys().cloned().collect();
        (file.durable.clone(), file.pending.len(), names.join(" "))
    };
    apply(open(3, "/d/one"));
    apply(open(9, "/elsewhere"));
    apply(write(1, b"ab"));
    apply(write(0, b"c"));
    // It was entered before the second write.
    assert_eq!(apply(sync(3, 3)), (b"\0ab".to_vec(), 1, String::new()));
    assert_eq!(apply(sync(3, 5)), (b"cab".to_vec(), 0, String::new()));
    let (from, to) = ("/d/one".to_owned(), "/d/two".to_owned());
    apply(Event::Rename { from, to });
    apply(open(4, "/d"));
    assert_eq!(apply(sync(4, 6)).2, "one");
    assert_eq!(apply(sync(4, 9)).2, "two");
}
