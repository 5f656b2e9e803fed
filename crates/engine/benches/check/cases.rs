//! The shapes of graphs that are asked, each with questions whose answers are known by construction.

use crate::data::{DAYS, Draw, Filler, pick};

/// One shape of graph and its questions.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) schema: &'static str,
    /// Adds about so many relationships.
    pub(crate) fill: fn(&mut Filler, u64),
    /// A question that is allowed by construction in a graph of so many relationships.
    pub(crate) allowed: fn(u64, &mut Draw) -> Pair,
    /// A question that is denied, most of the time.
    pub(crate) denied: fn(u64, &mut Draw) -> Pair,
}

/// A document, a user and the day of the request, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) document: u64,
    pub(crate) user: u64,
    pub(crate) day: u64,
}

pub(crate) const CASES: [Case; 6] = [
    Case {
        name: "direct",
        schema: "definition user {}
            definition document { relation viewer: user; permission view = viewer; }",
        fill: direct::fill,
        allowed: direct::allowed,
        denied: direct::denied,
    },
    Case {
        name: "nested groups, 3 hops",
        schema:
            "definition user {}
            definition group { relation member: user | group#member; }
            definition document { relation viewer: user | group#member; permission view = viewer; }",
        fill: nested::fill,
        allowed: nested::allowed,
        denied: nested::denied,
    },
    Case {
        name: "8 folders deep",
        schema: "definition user {}
            definition folder {
                relation parent: folder
                relation viewer: user
                permission view = viewer + parent->view
            }
            definition document {
                relation parent: folder
                relation viewer: user
                permission view = viewer + parent->view
            }",
        fill: folders::fill,
        allowed: folders::allowed,
        denied: folders::denied,
    },
    Case {
        name: "intersection and exclusion",
        schema: "definition user {}
            definition document {
                relation viewer: user
                relation cleared: user
                relation banned: user
                permission view = (viewer & cleared) - banned
            }",
        fill: formula::fill,
        allowed: formula::allowed,
        denied: formula::denied,
    },
    Case {
        name: "caveat",
        schema: "caveat on_day(day string, today string) { day == today }
            definition user {}
            definition document { relation viewer: user with on_day; permission view = viewer; }",
        fill: caveat::fill,
        allowed: caveat::allowed,
        denied: caveat::denied,
    },
    Case {
        name: "wide groups",
        schema:
            "definition user {}
            definition group { relation member: user | group#member; }
            definition document { relation viewer: user | group#member; permission view = viewer; }",
        fill: wide::fill,
        allowed: wide::allowed,
        denied: wide::denied,
    },
];

/// Five users see a document; users are a tenth of the relationships.
mod direct {
    use super::{Draw, Filler, Pair, pick};

    const VIEWERS: u64 = 5;

    pub(super) fn viewer(size: u64, document: u64, slot: u64) -> u64 {
        pick("viewer", document * VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..size / VIEWERS {
            for slot in 0..VIEWERS {
                filler.put(
                    ("document", document),
                    "viewer",
                    ("user", viewer(size, document, slot)),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(size / VIEWERS);
        Pair {
            document,
            user: viewer(size, document, draw.below(VIEWERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(size / VIEWERS),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// A document is shared with one division of two departments of two teams of eight users; groups overlap.
mod nested {
    use super::{Draw, Filler, Pair, pick};

    const TEAM: u64 = 0;
    const DEPARTMENT: u64 = 1 << 32;
    const DIVISION: u64 = 2 << 32;
    const MEMBERS: u64 = 8;

    fn documents(size: u64) -> u64 {
        size / 2
    }

    fn teams(size: u64) -> u64 {
        size / 19
    }

    fn division(size: u64, document: u64) -> u64 {
        pick("division", document, teams(size) / 4)
    }

    fn department(size: u64, division: u64, slot: u64) -> u64 {
        pick("department", division * 2 + slot, teams(size) / 2)
    }

    fn team(size: u64, department: u64, slot: u64) -> u64 {
        pick("team", department * 2 + slot, teams(size))
    }

    fn member(size: u64, team: u64, slot: u64) -> u64 {
        pick("member", team * MEMBERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..documents(size) {
            filler.share(
                ("document", document),
                "viewer",
                DIVISION + division(size, document),
            );
        }
        for division in 0..teams(size) / 4 {
            for slot in 0..2 {
                let department = department(size, division, slot);
                filler.share(
                    ("group", DIVISION + division),
                    "member",
                    DEPARTMENT + department,
                );
            }
        }
        for department in 0..teams(size) / 2 {
            for slot in 0..2 {
                filler.share(
                    ("group", DEPARTMENT + department),
                    "member",
                    TEAM + team(size, department, slot),
                );
            }
        }
        for team in 0..teams(size) {
            for slot in 0..MEMBERS {
                filler.put(
                    ("group", TEAM + team),
                    "member",
                    ("user", member(size, team, slot)),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let department = department(size, division(size, document), draw.below(2));
        let team = team(size, department, draw.below(2));
        Pair {
            document,
            user: member(size, team, draw.below(MEMBERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// Every document lies under eight folders; two users see a folder, forty that at the top, one the document alone.
mod folders {
    use super::{Draw, Filler, Pair, pick};

    const LEVELS: u64 = 8;
    const ROOT_VIEWERS: u64 = 40;

    fn documents(size: u64) -> u64 {
        size / 4
    }

    /// Folders on a level, each with twice as many as the one above it.
    fn folders(size: u64, level: u64) -> u64 {
        (size / 6) >> (LEVELS - level)
    }

    fn folder(level: u64, number: u64) -> u64 {
        level << 32 | number
    }

    fn parent(size: u64, level: u64, number: u64) -> u64 {
        pick("parent", folder(level, number), folders(size, level - 1))
    }

    fn root_viewer(size: u64, root: u64, slot: u64) -> u64 {
        pick("root viewer", root * ROOT_VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for level in 0..LEVELS {
            for number in 0..folders(size, level) {
                let it = ("folder", folder(level, number));
                if level == 0 {
                    for slot in 0..ROOT_VIEWERS {
                        filler.put(it, "viewer", ("user", root_viewer(size, number, slot)));
                    }
                    continue;
                }
                filler.put(
                    it,
                    "parent",
                    ("folder", folder(level - 1, parent(size, level, number))),
                );
                for slot in 0..2 {
                    let viewer = pick("folder viewer", it.1 * 2 + slot, size / 10);
                    filler.put(it, "viewer", ("user", viewer));
                }
            }
        }
        for document in 0..documents(size) {
            let parent = folder(LEVELS - 1, parent(size, LEVELS, document));
            filler.put(("document", document), "parent", ("folder", parent));
            let viewer = pick("document viewer", document, size / 10);
            filler.put(("document", document), "viewer", ("user", viewer));
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let mut number = document;
        for level in (1..=LEVELS).rev() {
            number = parent(size, level, number);
        }
        Pair {
            document,
            user: root_viewer(size, number, draw.below(ROOT_VIEWERS)),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(size / 10),
            day: 0,
        }
    }
}

/// A document has eight viewers, all but the last cleared, the first banned; a third of the denied are of each kind.
mod formula {
    use super::{Draw, Filler, Pair, pick};

    const VIEWERS: u64 = 8;
    const BANNED: u64 = 0;
    const NOT_CLEARED: u64 = VIEWERS - 1;

    fn documents(size: u64) -> u64 {
        size / (VIEWERS * 2)
    }

    fn viewer(size: u64, document: u64, slot: u64) -> u64 {
        pick("viewer", document * VIEWERS + slot, size / 10)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..documents(size) {
            let it = ("document", document);
            // The one who is banned is none of the others.
            let banned = viewer(size, document, BANNED);
            for slot in 0..VIEWERS {
                let user = viewer(size, document, slot);
                filler.put(it, "viewer", ("user", user));
                if slot != NOT_CLEARED {
                    filler.put(it, "cleared", ("user", user));
                }
            }
            filler.put(it, "banned", ("user", banned));
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let slot = 1 + draw.below(VIEWERS - 2);
        Pair {
            document,
            user: viewer(size, document, slot),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let user = match draw.below(3) {
            0 => viewer(size, document, BANNED),
            1 => viewer(size, document, NOT_CLEARED),
            _ => draw.below(size / 10),
        };
        Pair {
            document,
            user,
            day: 0,
        }
    }
}

/// As `direct`, but each relationship holds on one day of the week; half of the denied ask on another day.
mod caveat {
    use super::{DAYS, Draw, Filler, Pair, direct, pick};

    const VIEWERS: u64 = 5;

    fn day(document: u64, user: u64) -> u64 {
        pick("day", document << 32 | user, DAYS.len() as u64)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for document in 0..size / VIEWERS {
            for slot in 0..VIEWERS {
                let user = direct::viewer(size, document, slot);
                filler.put_on_day(document, user, day(document, user));
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let pair = direct::allowed(size, draw);
        Pair {
            day: day(pair.document, pair.user),
            ..pair
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        if draw.below(2) == 0 {
            return Pair {
                day: draw.below(DAYS.len() as u64),
                ..direct::denied(size, draw)
            };
        }
        let pair = allowed(size, draw);
        Pair {
            day: (pair.day + 1) % DAYS.len() as u64,
            ..pair
        }
    }
}

/// A document is shared with fifty groups, and a user is in three.
mod wide {
    use super::{Draw, Filler, Pair, pick};

    const SHARES: u64 = 50;
    const GROUPS_PER_USER: u64 = 3;

    fn documents(size: u64) -> u64 {
        size / (2 * SHARES)
    }

    fn users(size: u64) -> u64 {
        size / (2 * GROUPS_PER_USER)
    }

    fn groups(size: u64) -> u64 {
        size / 25
    }

    fn share(size: u64, document: u64, slot: u64) -> u64 {
        pick("share", document * SHARES + slot, groups(size))
    }

    /// The group of a user's slot: those of one slot share the groups out among them, so that members can be named.
    fn group(size: u64, user: u64, slot: u64) -> u64 {
        (user + slot * 7919) % groups(size)
    }

    pub(super) fn fill(filler: &mut Filler, size: u64) {
        for user in 0..users(size) {
            for slot in 0..GROUPS_PER_USER {
                filler.put(("group", group(size, user, slot)), "member", ("user", user));
            }
        }
        for document in 0..documents(size) {
            for slot in 0..SHARES {
                filler.share(
                    ("document", document),
                    "viewer",
                    share(size, document, slot),
                );
            }
        }
    }

    pub(super) fn allowed(size: u64, draw: &mut Draw) -> Pair {
        let document = draw.below(documents(size));
        let group = share(size, document, draw.below(SHARES));
        let turn = draw.below(users(size) / groups(size));
        Pair {
            document,
            user: group + turn * groups(size),
            day: 0,
        }
    }

    pub(super) fn denied(size: u64, draw: &mut Draw) -> Pair {
        Pair {
            document: draw.below(documents(size)),
            user: draw.below(users(size)),
            day: 0,
        }
    }
}
