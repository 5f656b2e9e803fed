//! Documents: folders to eight deep, groups nested to four, owners, viewers, the banned, sharing by link.

use super::{Draw, Question, Sink, Workload, ids, object, of_entity, row, subject};

const SCHEMA: &str = "definition user {}

definition group {
  relation member: user | group#member
}

definition folder {
  relation parent: folder
  relation owner: user
  relation viewer: user | group#member
  permission edit = owner + parent->edit
  permission view = viewer + edit + parent->view
}

definition document {
  relation parent: folder
  relation owner: user
  relation viewer: user | user:* | group#member
  relation banned: user | group#member
  permission edit = owner + parent->edit
  permission view = (viewer + edit + parent->view) - banned
}
";

/// Folders of a drive, and those in each: eight levels.
const FOLDERS_PER_DRIVE: u64 = 3_280;
const FOLDERS_WITHIN: u64 = 3;
const DOCUMENTS_PER_FOLDER: u64 = 10;
const DOCUMENTS_PER_USER: u64 = 20;
/// Groups of a department, and those in each: four levels.
const GROUPS_PER_DEPARTMENT: u64 = 40;
const GROUPS_WITHIN: u64 = 3;
const USERS_PER_GROUP: u64 = 10;
const LINK_PERCENT: usize = 2;
const BANNED_PERCENT: usize = 1;

const FOLDER: u64 = 11;
const FOLDER_ID: u64 = 12;
const DOCUMENT: u64 = 13;
const DOCUMENT_ID: u64 = 14;
const GROUP: u64 = 15;

pub(crate) struct Documents {
    seed: u64,
    documents: u64,
    folders: u64,
    users: u64,
    groups: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Holder {
    User(u64),
    Group(u64),
    Everybody,
}

/// What is written at an object besides where it lies.
struct Written {
    owner: Option<u64>,
    viewers: Vec<Holder>,
    banned: Option<u64>,
}

impl Documents {
    pub(crate) fn new(relationships: u64, seed: u64) -> Self {
        // A document has about 3.5 rows, a tenth of a folder's 1.7 and a twentieth of a user's 1.1 with them.
        let documents = (relationships * 100 / 366).max(100);
        let users = (documents / DOCUMENTS_PER_USER).max(20);
        Self {
            seed,
            documents,
            folders: documents / DOCUMENTS_PER_FOLDER,
            users,
            groups: (users / USERS_PER_GROUP).max(4),
        }
    }

    fn of_document(&self, number: u64) -> Written {
        let mut rng = of_entity(self.seed, DOCUMENT, number);
        let owner = rng.next_u64() % self.users;
        let mut viewers = Vec::with_capacity(4);
        for _ in 0..rng.below(4) {
            let viewer = if rng.chance(70) {
                Holder::User(rng.next_u64() % self.users)
            } else {
                Holder::Group(rng.next_u64() % self.groups)
            };
            if !viewers.contains(&viewer) {
                viewers.push(viewer);
            }
        }
        if rng.chance(LINK_PERCENT) {
            viewers.push(Holder::Everybody);
        }
        Written {
            owner: Some(owner),
            viewers,
            banned: rng
                .chance(BANNED_PERCENT)
                .then(|| rng.next_u64() % self.users),
        }
    }

    fn of_folder(&self, number: u64) -> Written {
        let mut rng = of_entity(self.seed, FOLDER, number);
        let is_drive = folder_above(number).is_none();
        let viewer = rng.chance(50).then(|| {
            if rng.chance(50) {
                Holder::User(rng.next_u64() % self.users)
            } else {
                Holder::Group(rng.next_u64() % self.groups)
            }
        });
        Written {
            owner: (is_drive || rng.chance(20)).then(|| rng.next_u64() % self.users),
            viewers: viewer.into_iter().collect(),
            banned: None,
        }
    }

    /// The users whom a group names itself.
    fn members(&self, group: u64) -> Vec<u64> {
        let mut rng = of_entity(self.seed, GROUP, group);
        let count = rng.between(5, 15);
        let mut members: Vec<u64> = (0..count).map(|_| rng.next_u64() % self.users).collect();
        members.sort_unstable();
        members.dedup();
        members
    }

    /// A member of `group`, or of one within it.
    fn member_of(&self, group: u64, draw: &mut Draw) -> u64 {
        let first = group - group % GROUPS_PER_DEPARTMENT;
        let mut at = group;
        loop {
            let within = (at - first) * GROUPS_WITHIN + 1 + draw.rng.next_u64() % GROUPS_WITHIN;
            let below = first + within;
            let goes_down =
                within < GROUPS_PER_DEPARTMENT && below < self.groups && draw.rng.chance(60);
            if !goes_down {
                return *draw.rng.pick(&self.members(at));
            }
            at = below;
        }
    }

    fn holder(&self, holder: Holder, draw: &mut Draw) -> u64 {
        match holder {
            Holder::User(user) => user,
            Holder::Group(group) => self.member_of(group, draw),
            Holder::Everybody => draw.one_of(self.users),
        }
    }

    /// Somebody to whom a folder on the way up gives access.
    fn reached_from_above(&self, document: u64, draw: &mut Draw) -> u64 {
        let mut at = document / DOCUMENTS_PER_FOLDER % self.folders;
        for _ in 0..draw.rng.below(8) {
            at = folder_above(at).unwrap_or(at);
        }
        loop {
            let mut written = self.of_folder(at);
            if let Some(viewer) = written.viewers.pop() {
                return self.holder(viewer, draw);
            }
            if let Some(owner) = written.owner {
                return owner;
            }
            // Every drive has an owner.
            at = folder_above(at).unwrap_or(at);
        }
    }

    fn ask(&self, document: u64, permission: &'static str, user: u64) -> Question {
        Question {
            resource: object("document", &ids::uuid(self.seed, DOCUMENT_ID, document)),
            permission,
            subject: subject("user", &ids::email(user)),
            context: model::Context::default(),
        }
    }

    fn give(&self, sink: &mut Sink<'_>, resource: (&str, &str), written: &Written) {
        if let Some(owner) = written.owner {
            sink(row(resource, "owner", ("user", &ids::email(owner), None)));
        }
        for viewer in &written.viewers {
            match viewer {
                Holder::User(user) => {
                    sink(row(resource, "viewer", ("user", &ids::email(*user), None)))
                }
                Holder::Group(number) => sink(row(
                    resource,
                    "viewer",
                    ("group", &group(*number), Some("member")),
                )),
                Holder::Everybody => sink(row(resource, "viewer", ("user", "*", None))),
            }
        }
        if let Some(banned) = written.banned {
            sink(row(resource, "banned", ("user", &ids::email(banned), None)));
        }
    }
}

fn group(number: u64) -> String {
    ids::name(number)
}

fn folder_above(folder: u64) -> Option<u64> {
    let (first, at) = (
        folder - folder % FOLDERS_PER_DRIVE,
        folder % FOLDERS_PER_DRIVE,
    );
    (at > 0).then(|| first + (at - 1) / FOLDERS_WITHIN)
}

fn group_above(group: u64) -> Option<u64> {
    let (first, at) = (
        group - group % GROUPS_PER_DEPARTMENT,
        group % GROUPS_PER_DEPARTMENT,
    );
    (at > 0).then(|| first + (at - 1) / GROUPS_WITHIN)
}

impl Workload for Documents {
    fn name(&self) -> &'static str {
        "documents"
    }

    fn schema(&self) -> &'static str {
        SCHEMA
    }

    fn fill(&self, sink: &mut Sink<'_>) {
        for number in 0..self.groups {
            let id = group(number);
            for member in self.members(number) {
                sink(row(
                    ("group", &id),
                    "member",
                    ("user", &ids::email(member), None),
                ));
            }
            if let Some(above) = group_above(number) {
                sink(row(
                    ("group", &group(above)),
                    "member",
                    ("group", &id, Some("member")),
                ));
            }
        }
        let folder = |number| ids::uuid(self.seed, FOLDER_ID, number);
        for number in 0..self.folders {
            let id = folder(number);
            if let Some(above) = folder_above(number) {
                sink(row(
                    ("folder", &id),
                    "parent",
                    ("folder", &folder(above), None),
                ));
            }
            self.give(sink, ("folder", &id), &self.of_folder(number));
        }
        for number in 0..self.documents {
            let id = ids::uuid(self.seed, DOCUMENT_ID, number);
            let parent = folder(number / DOCUMENTS_PER_FOLDER % self.folders);
            sink(row(("document", &id), "parent", ("folder", &parent, None)));
            self.give(sink, ("document", &id), &self.of_document(number));
        }
    }

    fn allowed(&self, draw: &mut Draw) -> Question {
        loop {
            let document = draw.one_of(self.documents);
            let mut written = self.of_document(document);
            let (permission, user) = match draw.rng.below(10) {
                0..2 => ("edit", written.owner.unwrap_or_default()),
                2..6 if !written.viewers.is_empty() => {
                    let ix = draw.rng.below(written.viewers.len());
                    ("view", self.holder(written.viewers.swap_remove(ix), draw))
                }
                _ => ("view", self.reached_from_above(document, draw)),
            };
            if permission == "edit" || written.banned != Some(user) {
                return self.ask(document, permission, user);
            }
        }
    }

    fn any(&self, draw: &mut Draw) -> Question {
        let (document, user) = (draw.one_of(self.documents), draw.one_of(self.users));
        let permission = if draw.rng.chance(20) { "edit" } else { "view" };
        self.ask(document, permission, user)
    }

    fn direct(&self, draw: &mut Draw) -> Option<Question> {
        let document = draw.one_of(self.documents);
        let owner = self.of_document(document).owner?;
        let user = if draw.rng.chance(50) {
            owner
        } else {
            draw.one_of(self.users)
        };
        Some(self.ask(document, "owner", user))
    }

    fn granting_relation(&self) -> &'static str {
        "viewer"
    }

    fn sparse_relation(&self) -> Option<&'static str> {
        Some("banned")
    }
}
