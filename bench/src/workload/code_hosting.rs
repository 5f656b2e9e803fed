//! Code hosting: organisations, teams nested to five, repositories with five roles, some public.

use testkit::rng::Rng;

use super::{Draw, Question, Sink, Workload, ids, object, of_entity, row, subject};

const SCHEMA: &str = "definition user {}

definition organization {
  relation owner: user
  relation member: user
  permission administer = owner
}

definition team {
  relation member: user | team#member
}

definition repository {
  relation organization: organization
  relation reader: user | user:* | team#member
  relation triager: user | team#member
  relation writer: user | team#member
  relation maintainer: user | team#member
  relation admin: user | team#member
  permission administer = admin + organization->administer
  permission maintain = maintainer + administer
  permission push = writer + maintain
  permission triage = triager + push
  permission pull = reader + triage
}
";

/// The roles of a repository, each with what it allows first.
const ROLES: [(&str, &str); 5] = [
    ("reader", "pull"),
    ("triager", "triage"),
    ("writer", "push"),
    ("maintainer", "maintain"),
    ("admin", "administer"),
];

const USERS_PER_ORGANIZATION: u64 = 400;
const TEAMS_PER_ORGANIZATION: u64 = 50;
/// Teams in which a team is: 1, 3, 9, 27, 10 on five levels.
const TEAMS_WITHIN: u64 = 3;
const TEAMS_PER_USER: u64 = 2;
const OWNERS_PER_ORGANIZATION: u64 = 2;
const PUBLIC_PERCENT: usize = 5;

const REPOSITORY: u64 = 1;
const USER: u64 = 2;
const REPOSITORY_ID: u64 = 3;

pub(crate) struct CodeHosting {
    seed: u64,
    organizations: u64,
    users: u64,
    repositories: u64,
}

/// Who a role is given to.
#[derive(Clone, Copy, PartialEq)]
enum Holder {
    User(u64),
    Team(u64),
    Everybody,
}

impl CodeHosting {
    pub(crate) fn new(relationships: u64, seed: u64) -> Self {
        // A repository has about 5.6 rows of its own, a user about 3.2 with those of the teams.
        let repositories = (relationships * 10 / 71).max(20);
        let users = (repositories / 2).max(20);
        Self {
            seed,
            organizations: (users / USERS_PER_ORGANIZATION).max(1),
            users,
            repositories,
        }
    }

    fn teams_of(&self, user: u64) -> [u64; TEAMS_PER_USER as usize] {
        let mut rng = of_entity(self.seed, USER, user);
        let organization = user % self.organizations;
        [(); TEAMS_PER_USER as usize].map(|()| {
            organization * TEAMS_PER_ORGANIZATION + rng.next_u64() % TEAMS_PER_ORGANIZATION
        })
    }

    fn roles_of(&self, repository: u64) -> Vec<(usize, Holder)> {
        let mut rng = of_entity(self.seed, REPOSITORY, repository);
        let organization = repository % self.organizations;
        let mut roles = Vec::with_capacity(6);
        for _ in 0..rng.between(1, 5) {
            let user = if rng.chance(90) {
                self.user_of(organization, &mut rng)
            } else {
                rng.next_u64() % self.users
            };
            roles.push((rng.below(ROLES.len()), Holder::User(user)));
        }
        for _ in 0..rng.between(1, 2) {
            let team =
                organization * TEAMS_PER_ORGANIZATION + rng.next_u64() % TEAMS_PER_ORGANIZATION;
            roles.push((rng.below(ROLES.len()), Holder::Team(team)));
        }
        if rng.chance(PUBLIC_PERCENT) {
            roles.push((0, Holder::Everybody));
        }
        let mut distinct = Vec::with_capacity(roles.len());
        for role in roles {
            if !distinct.contains(&role) {
                distinct.push(role);
            }
        }
        distinct
    }

    fn user_of(&self, organization: u64, rng: &mut Rng) -> u64 {
        let members = (self.users - organization).div_ceil(self.organizations);
        organization + self.organizations * (rng.next_u64() % members)
    }

    /// A member of `team` or of a team within it.
    fn member_of(&self, team: u64, rng: &mut Rng) -> Option<u64> {
        const TRIES: usize = 1_000;
        let organization = team / TEAMS_PER_ORGANIZATION;
        (0..TRIES).find_map(|_| {
            let user = self.user_of(organization, rng);
            let is_within = self.teams_of(user).into_iter().any(|own| {
                let mut at = Some(own);
                std::iter::from_fn(|| {
                    let here = at?;
                    at = team_above(here);
                    Some(here)
                })
                .any(|above| above == team)
            });
            is_within.then_some(user)
        })
    }

    fn ask(&self, repository: u64, permission: &'static str, user: u64) -> Question {
        Question {
            resource: object("repository", &self.repository(repository)),
            permission,
            subject: subject("user", &ids::email(user)),
            context: model::Context::default(),
        }
    }

    fn repository(&self, number: u64) -> String {
        ids::uuid(self.seed, REPOSITORY_ID, number)
    }
}

fn organization(number: u64) -> String {
    ids::name(number)
}

fn team(number: u64) -> String {
    let organization = organization(number / TEAMS_PER_ORGANIZATION);
    format!(
        "{organization}/{}-{}",
        ids::word_of(number),
        number % TEAMS_PER_ORGANIZATION
    )
}

/// The team that a team is within.
fn team_above(team: u64) -> Option<u64> {
    let (first, at) = (
        team - team % TEAMS_PER_ORGANIZATION,
        team % TEAMS_PER_ORGANIZATION,
    );
    (at > 0).then(|| first + (at - 1) / TEAMS_WITHIN)
}

impl Workload for CodeHosting {
    fn name(&self) -> &'static str {
        "code hosting"
    }

    fn schema(&self) -> &'static str {
        SCHEMA
    }

    fn fill(&self, sink: &mut Sink<'_>) {
        for number in 0..self.organizations {
            let id = organization(number);
            for owner in 0..OWNERS_PER_ORGANIZATION {
                let user = ids::email(number + owner * self.organizations);
                sink(row(("organization", &id), "owner", ("user", &user, None)));
            }
        }
        for number in 0..self.organizations * TEAMS_PER_ORGANIZATION {
            if let Some(above) = team_above(number) {
                let (above, within) = (team(above), team(number));
                sink(row(
                    ("team", &above),
                    "member",
                    ("team", &within, Some("member")),
                ));
            }
        }
        for number in 0..self.users {
            let user = ids::email(number);
            let organization = organization(number % self.organizations);
            sink(row(
                ("organization", &organization),
                "member",
                ("user", &user, None),
            ));
            let [one, other] = self.teams_of(number);
            sink(row(("team", &team(one)), "member", ("user", &user, None)));
            if one != other {
                sink(row(("team", &team(other)), "member", ("user", &user, None)));
            }
        }
        for number in 0..self.repositories {
            let repository = self.repository(number);
            let resource = ("repository", repository.as_str());
            let organization = organization(number % self.organizations);
            sink(row(
                resource,
                "organization",
                ("organization", &organization, None),
            ));
            for (role, holder) in self.roles_of(number) {
                let Some((relation, _)) = ROLES.get(role) else {
                    continue;
                };
                match holder {
                    Holder::User(user) => {
                        sink(row(resource, relation, ("user", &ids::email(user), None)))
                    }
                    Holder::Team(number) => sink(row(
                        resource,
                        relation,
                        ("team", &team(number), Some("member")),
                    )),
                    Holder::Everybody => sink(row(resource, relation, ("user", "*", None))),
                }
            }
        }
    }

    fn allowed(&self, draw: &mut Draw) -> Question {
        loop {
            let repository = draw.one_of(self.repositories);
            let mut roles = self.roles_of(repository);
            let (role, holder) = roles.swap_remove(draw.rng.below(roles.len()));
            let user = match holder {
                Holder::User(user) => Some(user),
                Holder::Team(team) => self.member_of(team, &mut draw.rng),
                Holder::Everybody => Some(draw.one_of(self.users)),
            };
            // A role allows what the lesser ones do.
            let permission = ROLES
                .get(draw.rng.below(role + 1))
                .map(|(_, permission)| *permission);
            if let (Some(user), Some(permission)) = (user, permission) {
                return self.ask(repository, permission, user);
            }
        }
    }

    fn any(&self, draw: &mut Draw) -> Question {
        let (repository, user) = (draw.one_of(self.repositories), draw.one_of(self.users));
        let (_, permission) = draw.rng.pick(&ROLES);
        self.ask(repository, permission, user)
    }

    fn granting_relation(&self) -> &'static str {
        "reader"
    }
}
