//! Microservices: service to service by namespace, environment and role, with conditions on hour and network, for a while.

use engine::graph::RelationshipParts;
use model::{CaveatName, CaveatRef, Context, Timestamp};

use super::{Draw, Question, Sink, Workload, ids, object, of_entity, row, subject};

const SCHEMA: &str = "use expiration

caveat within_hours(hour int, from int, to int) {
  hour >= from && hour < to
}

caveat from_network(ip ipaddress, network string) {
  ip.in_cidr(network)
}

definition service {}

definition namespace {
  relation workload: service
}

definition role {
  relation holder: service | namespace#workload
}

definition environment {
  relation operator: role#holder | service with expiration
  permission operate = operator
}

definition endpoint {
  relation environment: environment
  relation caller: service | service with from_network | service with within_hours and expiration | service with expiration | namespace#workload | role#holder
  permission call = caller + environment->operate
}
";

const SERVICES_PER_NAMESPACE: u64 = 25;
const SERVICES_PER_ENVIRONMENT: u64 = 2_000;
const ROLES_PER_ENVIRONMENT: u64 = 20;
const ENDPOINTS_PER_SERVICE: u64 = 2;

const SERVICE: u64 = 21;
const ENDPOINT: u64 = 22;
const ENDPOINT_ID: u64 = 23;

/// 2031-01-01, after every question and before no grant ends.
const VALID_UNTIL: i64 = 1_924_992_000_000_000;
/// 2024-01-01: a grant that has ended.
const ENDED: i64 = 1_704_067_200_000_000;

pub(crate) struct Microservices {
    seed: u64,
    services: u64,
    namespaces: u64,
    environments: u64,
}

#[derive(Clone, Copy)]
enum Caller {
    Always(u64),
    FromNetwork(u64, u64),
    WithinHours(u64),
    Until(u64, i64),
    Namespace(u64),
    Role(u64),
}

impl Caller {
    /// What tells the rows of an endpoint apart: its kind and number.
    fn subject(self) -> (u8, u64) {
        match self {
            Self::Always(service)
            | Self::FromNetwork(service, _)
            | Self::WithinHours(service)
            | Self::Until(service, _) => (0, service),
            Self::Namespace(namespace) => (1, namespace),
            Self::Role(role) => (2, role),
        }
    }
}

impl Microservices {
    pub(crate) fn new(relationships: u64, seed: u64) -> Self {
        // A service has 1.5 rows and two endpoints with 4 each.
        let services = (relationships * 10 / 97).max(50);
        Self {
            seed,
            services,
            namespaces: services.div_ceil(SERVICES_PER_NAMESPACE),
            environments: services.div_ceil(SERVICES_PER_ENVIRONMENT),
        }
    }

    fn environment_of(&self, service: u64) -> u64 {
        service / SERVICES_PER_NAMESPACE % self.environments
    }

    fn callers_of(&self, endpoint: u64) -> Vec<Caller> {
        let mut rng = of_entity(self.seed, ENDPOINT, endpoint);
        let environment = self.environment_of(endpoint / ENDPOINTS_PER_SERVICE);
        let count = rng.between(1, 5);
        let mut callers: Vec<Caller> = Vec::with_capacity(count);
        for _ in 0..count {
            let service = rng.next_u64() % self.services;
            let caller = match rng.below(100) {
                0..35 => Caller::Always(service),
                35..50 => Caller::FromNetwork(service, rng.next_u64() % 256),
                50..60 => Caller::WithinHours(service),
                60..70 => Caller::Until(service, VALID_UNTIL),
                70..75 => Caller::Until(service, ENDED),
                75..90 => Caller::Namespace(rng.next_u64() % self.namespaces),
                _ => Caller::Role(
                    environment * ROLES_PER_ENVIRONMENT + rng.next_u64() % ROLES_PER_ENVIRONMENT,
                ),
            };
            if callers
                .iter()
                .all(|other| other.subject() != caller.subject())
            {
                callers.push(caller);
            }
        }
        callers
    }

    /// The role that a service holds, for a half of them.
    fn role_of(&self, service: u64) -> Option<u64> {
        let mut rng = of_entity(self.seed, SERVICE, service);
        let role = rng.next_u64() % ROLES_PER_ENVIRONMENT;
        rng.chance(50)
            .then(|| self.environment_of(service) * ROLES_PER_ENVIRONMENT + role)
    }

    fn holder_of(&self, role: u64, draw: &mut Draw) -> Option<u64> {
        const TRIES: usize = 2_000;
        (0..TRIES).find_map(|_| {
            let service = draw.rng.next_u64() % self.services;
            (self.role_of(service) == Some(role)).then_some(service)
        })
    }

    fn member_of(&self, namespace: u64, draw: &mut Draw) -> u64 {
        let first = namespace * SERVICES_PER_NAMESPACE;
        let count = SERVICES_PER_NAMESPACE.min(self.services - first);
        first + draw.rng.next_u64() % count
    }

    fn give(&self, sink: &mut Sink<'_>, resource: (&str, &str), caller: Caller) {
        let (condition, end) = match caller {
            Caller::Namespace(number) => {
                let namespace = namespace(number);
                let subject = ("namespace", namespace.as_str(), Some("workload"));
                return sink(row(resource, "caller", subject));
            }
            Caller::Role(number) => {
                let subject = ("role", &*role(number), Some("holder"));
                return sink(row(resource, "caller", subject));
            }
            Caller::Always(_) => (None, None),
            Caller::FromNetwork(_, network) => {
                let context = format!("{{\"network\":\"10.{network}.0.0/16\"}}");
                (Some(caveat("from_network", &context)), None)
            }
            Caller::WithinHours(_) => (
                Some(caveat("within_hours", "{\"from\":8,\"to\":18}")),
                Some(instant(VALID_UNTIL)),
            ),
            Caller::Until(_, end) => (None, Some(instant(end))),
        };
        let (_, number) = caller.subject();
        let service = self.service(number);
        sink(RelationshipParts {
            caveat: condition,
            expires_at: end,
            ..row(resource, "caller", ("service", &service, None))
        });
    }

    #[expect(
        clippy::expect_used,
        reason = "a workload with a wrong context is no use"
    )]
    fn ask(&self, endpoint: u64, service: u64, network: u64) -> Question {
        let context = format!("{{\"hour\":11,\"ip\":\"10.{network}.3.4\"}}");
        Question {
            resource: object("endpoint", &ids::uuid(self.seed, ENDPOINT_ID, endpoint)),
            permission: "call",
            subject: subject("service", &self.service(service)),
            context: Context::from_json(&context).expect("a context"),
        }
    }

    fn service(&self, number: u64) -> String {
        let environment = environment(self.environment_of(number));
        let namespace = namespace(number / SERVICES_PER_NAMESPACE);
        format!("{environment}/{namespace}/{}", ids::name(number))
    }
}

fn namespace(number: u64) -> String {
    format!("{}-{number}", ids::word_of(number))
}

fn environment(number: u64) -> String {
    let stage = if number.is_multiple_of(2) {
        "prod"
    } else {
        "stage"
    };
    format!("{stage}-{number}")
}

fn role(number: u64) -> String {
    let environment = environment(number / ROLES_PER_ENVIRONMENT);
    format!(
        "{environment}/{}-{}",
        ids::word_of(number),
        number % ROLES_PER_ENVIRONMENT
    )
}

#[expect(
    clippy::expect_used,
    reason = "a workload with a wrong caveat is no use"
)]
fn caveat(name: &str, context: &str) -> CaveatRef {
    CaveatRef {
        name: CaveatName::new(name).expect("a name"),
        context: Context::from_json(context).expect("a context"),
    }
}

#[expect(clippy::expect_used, reason = "the two instants above are such")]
fn instant(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("an instant")
}

impl Workload for Microservices {
    fn name(&self) -> &'static str {
        "microservices"
    }

    fn schema(&self) -> &'static str {
        SCHEMA
    }

    fn fill(&self, sink: &mut Sink<'_>) {
        for number in 0..self.environments {
            let id = environment(number);
            for own in 0..2 {
                let role = role(number * ROLES_PER_ENVIRONMENT + own);
                sink(row(
                    ("environment", &id),
                    "operator",
                    ("role", &role, Some("holder")),
                ));
            }
        }
        for number in 0..self.services {
            let service = self.service(number);
            let namespace = namespace(number / SERVICES_PER_NAMESPACE);
            sink(row(
                ("namespace", &namespace),
                "workload",
                ("service", &service, None),
            ));
            if let Some(held) = self.role_of(number) {
                sink(row(
                    ("role", &role(held)),
                    "holder",
                    ("service", &service, None),
                ));
            }
        }
        for number in 0..self.services * ENDPOINTS_PER_SERVICE {
            let id = ids::uuid(self.seed, ENDPOINT_ID, number);
            let resource = ("endpoint", id.as_str());
            let environment = environment(self.environment_of(number / ENDPOINTS_PER_SERVICE));
            sink(row(
                resource,
                "environment",
                ("environment", &environment, None),
            ));
            for caller in self.callers_of(number) {
                self.give(sink, resource, caller);
            }
        }
    }

    fn allowed(&self, draw: &mut Draw) -> Question {
        loop {
            let endpoint = draw.one_of(self.services * ENDPOINTS_PER_SERVICE);
            let mut callers = self.callers_of(endpoint);
            let (service, network) = match callers.swap_remove(draw.rng.below(callers.len())) {
                Caller::Always(service) | Caller::WithinHours(service) => (Some(service), 1),
                Caller::FromNetwork(service, network) => (Some(service), network),
                Caller::Until(service, end) => ((end == VALID_UNTIL).then_some(service), 1),
                Caller::Namespace(namespace) => (Some(self.member_of(namespace, draw)), 1),
                Caller::Role(role) => (self.holder_of(role, draw), 1),
            };
            if let Some(service) = service {
                return self.ask(endpoint, service, network);
            }
        }
    }

    fn any(&self, draw: &mut Draw) -> Question {
        let endpoint = draw.one_of(self.services * ENDPOINTS_PER_SERVICE);
        let service = draw.one_of(self.services);
        let network = draw.rng.next_u64() % 256;
        self.ask(endpoint, service, network)
    }

    fn granting_relation(&self) -> &'static str {
        "caller"
    }
}
