"""Makes relationships.txt: Harbour & Finch, a company of 2,500 people and 400 services. The same lines each time.

    python3 generate.py

Every draw goes through `Draw`, which uses only `random.random()`, whose sequence for a seed is the same in each
version of Python. A few people have a fixed place (CAST), so that the questions of the README have names to ask about.
"""

import bisect
import itertools
import json
import pathlib
import random

PEOPLE = 2500
SERVICES = 400
DOCUMENTS = 2500

FIRST = """ana ben carla dmitri elif farah goran hana idris jonas kaya lena mateo nadia omar petra quinn rosa samir tessa
umar vera wim xenia yusuf zoe amira bruno chen dora emil fatou greta hugo ines jamal kofi lucia mina noor olga pavel
rania sven tariq ursula viktor wanda yara zain aiko bjorn cleo davide esther felix grace henrik ivan julia""".split()
LAST = """ruiz okafor lindqvist tanaka moreau novak haddad silva kowalski jensen mbeki rossi schmidt ivanov patel nguyen
larsen costa yilmaz dubois fischer keita varga santos berg meyer olsen popescu ricci sato torres vidal weiss abe
castillo diallo eriksson farkas garcia horvat demir mensah solberg kim nair ozturk price quist reyes sorensen thorne
ueda vance walsh yeo zeller adeyemi brandt chowdhury delacroix""".split()

# The teams, within `harbour`. Where the value is a list of words, the team owns services that are named by them.
TEAMS = {
    "engineering": {
        "payments": {
            "ledger": {"ledger-core": ["ledger", "postings"], "ledger-close": ["closing", "statements"]},
            "cards": {"card-issuing": ["cards", "tokens"], "disputes": ["disputes", "chargebacks"]},
            "payouts": ["payouts", "transfers", "sweeps"],
            "billing": ["billing", "invoices", "dunning"],
            "fraud": ["fraud", "rules", "screening"],
        },
        "freight": {
            "booking": {"booking-core": ["bookings", "slots"], "booking-web": ["quotes", "baskets"]},
            "tracking": ["tracking", "positions", "arrivals"],
            "customs": ["customs", "declarations", "tariffs"],
            "pricing": ["pricing", "rates", "surcharges"],
            "carriers": ["carriers", "schedules", "manifests"],
        },
        "platform": {
            "identity": ["identity", "sessions", "directory"],
            "compute": ["compute", "quotas"],
            "networking": ["mesh", "certificates", "dns"],
            "storage": ["objects", "snapshots"],
            "delivery": ["deploys", "builds", "artifacts"],
            "observability": ["metrics", "logs", "alerts"],
            "reliability": ["incidents", "drills"],
        },
        "data": {
            "warehouse": ["warehouse", "catalogue"],
            "streaming": ["events", "topics"],
            "insights": ["insights", "reports", "forecasts"],
            "machine-learning": ["models", "features"],
        },
        "apps": {
            "mobile": ["mobile", "push"],
            "web": ["web", "accounts"],
            "search": ["search", "suggest"],
            "messaging": ["messages", "mail", "templates"],
        },
    },
    "operations": {
        "support": {"support-emea": [], "support-americas": [], "support-apac": []},
        "port-desk": {"rotterdam": [], "santos": [], "singapore": []},
        "claims": [],
        "facilities": [],
    },
    "commercial": {"sales": {"sales-emea": [], "sales-americas": [], "sales-apac": []}, "marketing": [], "partnerships": []},
    "finance": {"accounting": {"payable": [], "receivable": []}, "treasury": [], "tax": [], "planning": []},
    "people": {"recruiting": [], "payroll": [], "learning": []},
    "legal": {"contracts": [], "privacy": [], "compliance": []},
}
GUILDS = {"architecture-board": 14, "security-champions": 60, "incident-commanders": 25, "accessibility-guild": 40}
SHARES = {"engineering": 44, "operations": 26, "commercial": 14, "finance": 7, "people": 5, "legal": 4}
KINDS = """api worker gateway consumer scheduler exporter cache indexer reconciler notifier archiver importer
webhooks auditor""".split()
TOPICS = """design postmortem runbook roadmap minutes review budget checklist onboarding plan policy contract
retrospective estimate inventory summary""".split()
STAGES = {"production": "10.20.0.0/16", "staging": "10.30.0.0/16", "development": "10.40.0.0/16"}
OFFICE = "192.168.0.0/16"
PAST = ["2025-03-03T08:00:00Z", "2025-09-15T08:00:00Z", "2026-02-02T08:00:00Z"]
UNTIL = "2035-01-01T00:00:00Z"

LEADS = {
    "harbour": "ingrid-solberg",
    "engineering": "carla-mendes",
    "payments": "omar-haddad",
    "ledger": "lena-fischer",
    "ledger-core": "samir-patel",
    "identity": "kofi-mensah",
    "finance": "hana-sato",
    "people": "rosa-santos",
    "legal": "jonas-weiss",
}
CAST = {
    "ana-ruiz": "ledger-core",
    "ben-okafor": "ledger-core",
    "tessa-dubois": "disputes",
    "viktor-farkas": "booking-core",
    "yusuf-demir": "compliance",
    "nadia-nair": "privacy",
}


class Draw:
    """Random choices, some of them in the manner of Zipf: the n-th item 1/n times as often as the first."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def below(self, count):
        return int(self.random.random() * count)

    def chance(self, of_hundred):
        return self.below(100) < of_hundred

    def one(self, items):
        return items[self.below(len(items))]

    def zipf(self, items):
        weights = list(itertools.accumulate(1 / rank for rank in range(1, len(items) + 1)))
        return items[bisect.bisect_right(weights, self.random.random() * weights[-1])]

    def some(self, items, count):
        """Up to `count` different items, in the order of drawing."""
        return list(dict.fromkeys(self.one(items) for _ in range(count))) if items else []

    def shuffled(self, items):
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items


class Company:
    def __init__(self, seed):
        self.draw = Draw(seed)
        self.rows = {}
        self.parents = {"harbour": None}
        self.children = {"harbour": []}
        self.words = {}
        self.leads = {}
        self.members = {}
        self.users = []
        self.services = {}

    def add(self, resource, relation, subject, caveat=None, context=None, until=None):
        """One relationship; what was said first about a resource, relation and subject stays."""
        traits = ""
        if caveat:
            traits += f"[{caveat}:{json.dumps(context, sort_keys=True, separators=(',', ':'))}]"
        if until:
            traits += f"[expiration:{until}]"
        self.rows.setdefault(f"{resource}#{relation}@{subject}", traits)

    def path(self, team):
        """From the outermost team to `team`."""
        parent = self.parents[team]
        return (self.path(parent) if parent else []) + [team]

    def below(self, team):
        """`team` and every team within it."""
        return [team] + [inner for child in self.children[team] for inner in self.below(child)]

    def everyone(self, team):
        return [person for inner in self.below(team) for person in [self.leads[inner], *self.members[inner]]]

    # -- people and teams

    def structure(self, parent="harbour", teams=TEAMS):
        for team, within in teams.items():
            self.parents[team] = parent
            self.children[parent].append(team)
            self.children[team] = []
            self.add(f"team:{team}", "parent", f"team:{parent}")
            self.add(f"team:{parent}", "member", f"team:{team}#everyone")
            if isinstance(within, dict):
                self.structure(team, within)
            elif within:
                self.words[team] = within

    def hire(self):
        fixed = [*LEADS.values(), *CAST]
        names = self.draw.shuffled(f"{first}-{last}" for first in FIRST for last in LAST)
        others = iter([name for name in names if name not in fixed][: PEOPLE - len(fixed)])
        for team in self.parents:
            self.leads[team] = LEADS.get(team) or next(others)
            self.members[team] = [person for person, place in CAST.items() if place == team]
        for person in others:
            self.members[self.place()].append(person)
        self.users = sorted(self.everyone("harbour"))
        for team, lead in self.leads.items():
            self.add(f"team:{team}", "lead", f"user:{lead}")
            if self.parents[team]:
                self.add(f"user:{lead}", "manager", f"user:{self.leads[self.parents[team]]}")
            for person in self.members[team]:
                self.add(f"team:{team}", "member", f"user:{person}")
                self.add(f"user:{person}", "manager", f"user:{lead}")

    def place(self):
        """A team without teams within: the division by its share, the team in the manner of Zipf."""
        division = self.draw.one([name for name, share in SHARES.items() for _ in range(share)])
        return self.draw.zipf([team for team in self.below(division) if not self.children[team]])

    def guilds(self):
        """Groups across teams, beside the tree."""
        for guild, size in GUILDS.items():
            people = self.draw.some(self.everyone("engineering"), size)
            if guild == "security-champions":
                people = ["ana-ruiz", "samir-patel", *people]
            self.add(f"team:{guild}", "lead", f"user:{people[0]}")
            for person in people[1:]:
                self.add(f"team:{guild}", "member", f"user:{person}")

    def shifts(self):
        """On call: shifts that ended, and those that go on."""
        for team in self.words:
            people = self.everyone(team)
            current = ["ana-ruiz"] if team == "ledger-core" else self.draw.some(people, 2)
            former = ["ben-okafor"] if team == "ledger-core" else self.draw.some(people, 3)
            for person in current:
                self.add(f"team:{team}", "oncall", f"user:{person}", until=UNTIL)
            for person in former:
                self.add(f"team:{team}", "oncall", f"user:{person}", until=self.draw.one(PAST))
        # Has changed to another team in the middle of a shift.
        self.add("team:ledger-core", "oncall", "user:tessa-dubois", until=UNTIL)

    def organization(self):
        office_hours = {"from_hour": 8, "to_hour": 18}
        self.add("organization:harbour", "staff", "team:harbour")
        self.add("organization:harbour", "admin", "team:identity#everyone")
        self.add("organization:harbour", "auditor", "user:yusuf-demir", "working_hours", office_hours)
        for person in self.draw.some(self.everyone("compliance"), 4):
            self.add("organization:harbour", "auditor", f"user:{person}", "working_hours", office_hours)

    # -- software

    def area(self, team):
        """The part of engineering that a team is in: `payments`."""
        return self.path(team)[2]

    def software(self):
        owners = {word: team for team, words in self.words.items() for word in words}
        words = self.draw.shuffled(owners)
        counts = dict.fromkeys(words, 1)
        while sum(counts.values()) < SERVICES:
            word = self.draw.zipf(words)
            counts[word] = min(counts[word] + 1, len(KINDS))
        for word in owners:
            for kind in KINDS[: counts[word]]:
                self.services[f"{word}-{kind}"] = (word, owners[word])
        self.environments()
        self.calls()
        self.databases(owners)
        self.repositories()

    def environments(self):
        for stage in STAGES:
            environment = f"environment:{stage}"
            self.add(environment, "operator", f"team:{'reliability' if stage == 'production' else 'engineering'}#everyone")
            for team in self.words:
                self.add(environment, "oncall", f"team:{team}#paged")
            for area in self.children["engineering"]:
                namespace = f"namespace:{stage}/{area}"
                self.add(environment, "namespace", namespace)
                self.add(namespace, "environment", environment)
                self.add(namespace, "team", f"team:{area}")
                self.add(namespace, "deployer", "service:deploys-api")
            for service, (_, team) in self.services.items():
                if stage != "development" or self.draw.chance(60):
                    self.add(f"namespace:{stage}/{self.area(team)}", "workload", f"service:{service}")
        self.add("environment:production", "emergency", "user:ben-okafor", until=PAST[-1])
        self.add("environment:production", "emergency", "user:viktor-farkas", until=UNTIL)

    def calls(self):
        """Who calls whom: a few services are called by very many."""
        apis = [name for name in self.services if name.endswith(("-api", "-gateway", "-cache"))]
        apis = ["sessions-api", "events-api", "ledger-api", *self.draw.shuffled(apis)]
        night = {"from_hour": 22, "to_hour": 6}
        self.add("service:billing-api", "caller", "service:warehouse-api", "batch_job", night | {"network": STAGES["production"]})
        for service, (_, team) in self.services.items():
            self.add(f"service:{service}", "team", f"team:{team}")
            for _ in range(3 + self.draw.below(7)):
                target = self.draw.zipf(apis)
                if target == service:
                    continue
                row = (f"service:{target}", "caller", f"service:{service}")
                match self.draw.below(10):
                    case 0:
                        self.add(*row, "from_network", {"network": self.draw.one(list(STAGES.values()))})
                    case 1:
                        self.add(*row, "working_hours", night)
                    case 2:
                        self.add(*row, "batch_job", night | {"network": STAGES["production"]})
                    case _:
                        self.add(*row)
        for api in sorted(set(apis)):
            area = self.area(self.services[api][1])
            if self.draw.chance(40):
                self.add(f"service:{api}", "caller", f"namespace:production/{area}#runs")
            if self.draw.chance(15):
                self.add(f"service:{api}", "caller", f"namespace:staging/{area}#runs", "from_network", {"network": OFFICE})
            if self.draw.chance(20):
                self.add(f"service:{api}", "denied", f"service:{self.draw.one(list(self.services))}")
        for everywhere in ("metrics-api", "logs-api", "sessions-api"):
            self.add(f"service:{everywhere}", "caller", "environment:production#runs")

    def databases(self, owners):
        for word, team in owners.items():
            for stage, network in STAGES.items():
                if stage == "development" and not self.draw.chance(30):
                    continue
                database = f"database:{stage}/{word}"
                self.add(database, "environment", f"environment:{stage}")
                self.add(database, "admin", f"team:{team}#everyone")
                for service in [name for name, (of, _) in self.services.items() if of == word]:
                    if self.draw.chance(35):
                        self.add(database, "writer", f"service:{service}", "from_network", {"network": network})
                    elif self.draw.chance(45):
                        self.add(database, "writer", f"service:{service}")
                    else:
                        self.add(database, "reader", f"service:{service}")
                if self.draw.chance(25):
                    hours = {"from_hour": 9, "to_hour": 17}
                    self.add(database, "reader", "team:insights#everyone", "working_hours", hours)
                for guest in self.draw.some(self.everyone("engineering"), self.draw.below(3)):
                    self.add(database, "reader", f"user:{guest}", until=self.draw.one([*PAST, UNTIL]))

    def repositories(self):
        names = {name: team for name, (_, team) in self.services.items()}
        for team in self.words:
            names |= {f"{team}-{kind}": team for kind in ("infrastructure", "runbooks", "library")}
        for name, team in names.items():
            repository = f"repository:harbour/{name}"
            near = self.everyone(self.area(team))
            self.add(repository, "organization", "organization:harbour")
            self.add(repository, "team", f"team:{team}")
            if self.draw.chance(70):
                self.add(repository, "internal", "organization:harbour")
            if name.endswith("-library") and self.draw.chance(50):
                self.add(repository, "reader", "user:*")
            if self.draw.chance(12):
                self.add(repository, "writer", "service:deploys-api")
            self.add(repository, "reader", "service:builds-api")
            for relation, most in (("admin", 1), ("maintainer", 3), ("writer", 4), ("triager", 3)):
                for person in self.draw.some(near, self.draw.zipf(range(most + 1))):
                    self.add(repository, relation, f"user:{person}")
            if self.draw.chance(20):
                self.add(repository, "triager", f"team:{self.draw.one(list(GUILDS))}#everyone")
            if self.draw.chance(4):
                self.add(repository, "blocked", f"user:{self.draw.one(near)}")
            if self.draw.chance(5):
                self.add(repository, "archived", "user:*")
                self.add(repository, "archived", "service:*")
        self.add("repository:harbour/ledger-api", "blocked", "user:ben-okafor")
        self.add("repository:harbour/ledger-core-library", "archived", "user:*")

    # -- documents

    def folders(self):
        """The folders of each team: the last but one level is for projects, the last for what they have left behind."""
        found = {}
        self.add("folder:harbour/company", "parent", "folder:harbour")
        self.add("folder:harbour/company", "viewer", "team:harbour#everyone")
        self.add("folder:harbour/company", "owner", "team:people#manage")
        self.add("folder:harbour/engineering", "viewer", "team:engineering#everyone")
        for team in list(self.parents)[1:]:
            path = "/".join(self.path(team))
            folder = f"folder:{path}"
            self.add(folder, "parent", f"folder:{path.rpartition('/')[0]}")
            self.add(folder, "owner", f"team:{team}#manage")
            if not self.children[team]:
                self.add(folder, "editor", f"team:{team}#everyone")
            found[team] = [folder]
            for deeper in ("projects", "2026", "archive"):
                self.add(f"{folder}/{deeper}", "parent", folder)
                folder = f"{folder}/{deeper}"
                found[team].append(folder)
        return found

    def documents(self):
        folders = self.folders()
        teams = self.draw.shuffled(folders)
        numbers = {}
        for _ in range(DOCUMENTS):
            team = self.draw.one(teams) if self.draw.chance(60) else self.draw.zipf(teams)
            topic = self.draw.zipf(TOPICS)
            number = numbers[team, topic] = numbers.get((team, topic), 0) + 1
            self.document(f"document:{team}-{topic}-{number}", self.draw.zipf(folders[team]), team)
        self.named_documents()

    def document(self, document, folder, team):
        near = self.everyone(team)
        self.add(document, "folder", folder)
        self.add(document, "owner", f"user:{self.draw.one(near)}")
        for person in self.draw.some(self.users, self.draw.zipf(range(10))):
            expires = self.draw.chance(25)
            self.add(document, "viewer", f"user:{person}", until=self.draw.one([*PAST, UNTIL]) if expires else None)
        for person in self.draw.some(near, self.draw.zipf(range(4))):
            self.add(document, "editor", f"user:{person}")
        if self.draw.chance(20):
            self.add(document, "viewer", f"team:{self.draw.one(list(self.parents))}#everyone")
        if self.draw.chance(4):
            self.add(document, "link", "user:*")
        elif self.draw.chance(3):
            self.add(document, "link", "user:*", "from_network", {"network": OFFICE})
        if self.draw.chance(3):
            self.add(document, "banned", f"user:{self.draw.one(near)}")
        if self.draw.chance(6):
            self.add(document, "approver", f"team:{team}")
            self.add(document, "approver", f"team:{self.draw.one(list(GUILDS))}")

    def named_documents(self):
        self.add("document:handbook", "folder", "folder:harbour/company")
        self.add("document:handbook", "owner", "user:rosa-santos")
        self.add("document:handbook", "banned", "user:viktor-farkas")
        self.add("document:merger-plan", "folder", "folder:harbour/legal")
        self.add("document:merger-plan", "owner", "user:jonas-weiss")
        self.add("document:merger-plan", "viewer", "user:hana-sato", until=UNTIL)
        self.add("document:merger-plan", "viewer", "user:omar-haddad", until=PAST[0])
        self.add("document:canteen-menu", "owner", "user:rosa-santos")
        self.add("document:canteen-menu", "link", "user:*", "from_network", {"network": OFFICE})
        self.add("document:ledger-threat-model", "folder", "folder:harbour/engineering/payments/ledger/ledger-core/projects/2026")
        self.add("document:ledger-threat-model", "owner", "user:samir-patel")
        self.add("document:ledger-threat-model", "approver", "team:ledger")
        self.add("document:ledger-threat-model", "approver", "team:security-champions")


def main():
    company = Company(2026)
    company.structure()
    company.hire()
    company.guilds()
    company.shifts()
    company.organization()
    company.software()
    company.documents()
    lines = sorted(key + traits for key, traits in company.rows.items())
    pathlib.Path(__file__).with_name("relationships.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} relationships: {len(company.users)} people, {len(company.services)} services")


if __name__ == "__main__":
    main()
