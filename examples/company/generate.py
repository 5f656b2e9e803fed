"""Makes relationships.txt: Harbour & Finch, a company of 2,500 people and 400 services. The same lines each time."""

import pathlib
import random

PEOPLE = 2500
SERVICES = 400

FIRST = """ana ben carla dmitri elif farah goran hana idris jonas kaya lena mateo nadia omar petra quinn rosa samir tessa
umar vera wim xenia yusuf zoe amira bruno chen dora emil fatou greta hugo ines jamal kofi lucia mina noor olga pavel
rania sven tariq ursula viktor wanda yara zain""".split()
LAST = """ruiz okafor lindqvist tanaka moreau novak haddad silva kowalski jensen mbeki rossi schmidt ivanov patel nguyen
larsen costa yilmaz dubois fischer keita varga santos berg meyer olsen popescu ricci sato torres vidal weiss abe
castillo diallo eriksson farkas garcia horvat""".split()
AREAS = {
    "engineering": {
        "payments": ["ledger", "cards", "payouts", "fraud"],
        "platform": ["compute", "network", "storage", "identity"],
        "product": ["checkout", "search", "mobile", "growth"],
        "data": ["warehouse", "streaming", "insights"],
    },
    "operations": {"support": ["tier1", "tier2"], "logistics": ["routing", "depots", "customs"], "facilities": ["sites"]},
    "finance": {"accounting": ["payable", "receivable"], "treasury": ["cash"], "tax": ["filings"]},
    "people": {"recruiting": ["sourcing"], "payroll": ["salaries"], "learning": ["courses"]},
    "legal": {"contracts": ["vendors"], "privacy": ["requests"], "compliance": ["controls"]},
}
NOUNS = """api worker gateway sync index reports scheduler cache mailer webhooks exporter archiver reconciler notifier""".split()
TOPICS = """handbook roadmap budget postmortem onboarding design contract minutes forecast policy checklist review plan
summary estimate inventory""".split()


class Company:
    def __init__(self):
        self.random = random.Random(2026)
        self.lines = set()
        self.members = {}
        self.teams = []
        self.leads = {}
        self.users = []

    def add(self, resource, relation, subject, traits=""):
        self.lines.add(f"{resource}#{relation}@{subject}{traits}")

    def pick(self, items):
        """One of `items`, the first ones far more often."""
        return items[min(int(self.random.paretovariate(1.1)) - 1, len(items) - 1)]

    def people(self):
        seen = {}
        for n in range(PEOPLE):
            name = f"{FIRST[n % len(FIRST)]}-{LAST[(n // len(FIRST)) % len(LAST)]}"
            seen[name] = seen.get(name, 0) + 1
            self.users.append(name if seen[name] == 1 else f"{name}-{seen[name]}")

    def structure(self):
        self.add("organization:harbour", "employee", "team:everyone#member")
        self.team("everyone", None)
        for area, groups in AREAS.items():
            self.team(area, "everyone")
            for group, teams in groups.items():
                self.team(f"{area}/{group}", area)
                for team in teams:
                    self.team(f"{area}/{group}/{team}", f"{area}/{group}")
                    for squad in ("red", "blue") if area == "engineering" else ():
                        self.team(f"{area}/{group}/{team}/{squad}", f"{area}/{group}/{team}")
        self.add("organization:harbour", "admin", "team:engineering/platform/identity#member")
        self.add("organization:harbour", "auditor", "user:" + self.users[7], '[working_hours:{"from_hour":8,"to_hour":18}]')

    def team(self, name, parent):
        self.teams.append(name)
        self.members[name] = []
        if parent:
            self.add(f"team:{name}", "parent", f"team:{parent}")
            self.add(f"team:{parent}", "direct_member", f"team:{name}#member")

    def staff(self):
        leaves = [t for t in self.teams if not any(o.startswith(t + "/") for o in self.teams) and t != "everyone"]
        leaders = iter(self.users)
        for team in self.teams:
            lead = next(leaders)
            self.leads[team] = lead
            self.add(f"team:{team}", "direct_lead", f"user:{lead}")
        for user in leaders:
            team = self.random.choice(leaves)
            self.members[team].append(user)
            self.add(f"team:{team}", "direct_member", f"user:{user}")
            self.add(f"user:{user}", "manager", f"user:{self.leads[team]}")
        for team in self.teams:
            if team.startswith("engineering/") and self.members[team]:
                for week in range(2):
                    oncall = self.random.choice(self.members[team])
                    until = f"20{30 + week}-01-0{1 + week}T00:00:00Z"
                    self.add(f"team:{team}", "oncall", f"user:{oncall}", f"[expiration:{until}]")

    def software(self):
        engineering = [t for t in self.teams if t.count("/") == 2 and t.startswith("engineering/")]
        services = []
        for n in range(SERVICES):
            team = engineering[n % len(engineering)]
            name = f"{team.rsplit('/', 1)[1]}-{NOUNS[(n // len(engineering)) % len(NOUNS)]}"
            if name in services:
                name += f"-{n}"
            services.append(name)
            self.add(f"service:{name}", "owner", f"team:{team}")
            repository = f"repository:harbour/{name}"
            self.add(repository, "organization", "organization:harbour")
            self.add(repository, "owner", f"team:{team}")
            self.add(repository, "reader_grant", "team:engineering#member")
            for relation in ("maintainer_grant", "writer_grant", "triager_grant"):
                for _ in range(self.random.randint(0, 4)):
                    self.add(repository, relation, f"user:{self.random.choice(self.users)}")
            if n % 25 == 0:
                self.add(repository, "reader_grant", "user:*")
                self.add(repository, "blocked", f"user:{self.random.choice(self.users)}")
        for stage in ("production", "staging", "development"):
            for group in ("payments", "platform", "product", "data"):
                environment = f"environment:{stage}/{group}"
                self.add(environment, "operator", f"team:engineering/{group}")
                self.add(environment, "deployer", "service:compute-scheduler")
                self.add(environment, "deployer", f"team:engineering/{group}#oncall_member")
                self.add(f"database:{stage}/{group}", "environment", environment)
                self.add(f"database:{stage}/{group}", "steward", f"team:engineering/{group}")
        for n, service in enumerate(services):
            group = engineering[n % len(engineering)].split("/")[1]
            for stage in ("production", "staging"):
                self.add(f"environment:{stage}/{group}", "deployed", f"service:{service}")
                relation = "writer" if n % 3 == 0 else "reader"
                self.add(f"database:{stage}/{group}", relation, f"service:{service}")
            for _ in range(self.random.randint(1, 5)):
                self.add(f"service:{service}", "caller", f"service:{self.pick(services)}")
            if n % 10 == 0:
                self.add(f"service:{service}", "caller", f"environment:production/{group}#deployed")
            if n % 7 == 0:
                other = services[(n * 31 + 5) % len(services)]
                if f"service:{service}#caller@service:{other}" not in self.lines:
                    self.add(f"service:{service}", "caller", f"service:{other}", '[from_network:{"office":false}]')
        hours = '[working_hours:{"from_hour":9,"to_hour":17}]'
        self.add("database:staging/payments", "reader", "team:engineering/data/insights#member", hours)
        self.services = services

    def documents(self):
        self.add("folder:company", "viewer", "team:everyone#member")
        self.add("folder:company", "owner", "team:people#lead")
        folders = []
        for team in self.teams[1:]:
            parent = "company"
            path = []
            for part in team.split("/"):
                path.append(part)
                folder = "company/" + "/".join(path)
                self.add(f"folder:{folder}", "parent", f"folder:{parent}")
                parent = folder
            self.add(f"folder:{parent}", "editor", f"team:{team}#member")
            self.add(f"folder:{parent}", "owner", f"team:{team}#lead")
            folders.append((parent, team))
            for deeper in ("projects", "2026", "q3", "archive")[: self.random.randint(0, 4)]:
                self.add(f"folder:{parent}/{deeper}", "parent", f"folder:{parent}")
                parent = f"{parent}/{deeper}"
                folders.append((parent, team))
        for n in range(4000):
            folder, team = folders[n % len(folders)]
            document = f"document:{team.rsplit('/', 1)[-1]}-{TOPICS[n % len(TOPICS)]}-{n}"
            self.add(document, "folder", f"folder:{folder}")
            self.add(document, "owner", f"user:{self.random.choice(self.users)}")
            for _ in range(self.random.randint(0, 2)):
                self.add(document, "viewer", f"user:{self.random.choice(self.users)}")
            if n % 40 == 0:
                self.add(document, "viewer", "user:*")
                self.add(document, "banned", f"user:{self.random.choice(self.users)}")
            if n % 15 == 0:
                self.add(document, "approver", f"team:{team}")
                self.add(document, "approver", "team:legal/contracts")
            if n % 20 == 1:
                guest = self.random.choice(self.users)
                if f"{document}#viewer@user:{guest}" not in self.lines:
                    self.add(document, "viewer", f"user:{guest}", "[expiration:2035-01-01T00:00:00Z]")
        self.add("document:handbook", "folder", "folder:company")
        self.add("document:handbook", "owner", f"user:{self.leads['people']}")
        self.add("document:handbook", "banned", f"user:{self.users[99]}")
        self.add("document:merger-plan", "owner", f"user:{self.leads['legal']}")
        self.add("document:merger-plan", "viewer", f"user:{self.leads['finance']}", "[expiration:2020-01-01T00:00:00Z]")


def main():
    company = Company()
    company.people()
    company.structure()
    company.staff()
    company.software()
    company.documents()
    text = "\n".join(sorted(company.lines)) + "\n"
    pathlib.Path(__file__).with_name("relationships.txt").write_text(text)
    print(len(company.lines), "relationships")
    print("leads:", {team: company.leads[team] for team in ("people", "legal", "finance", "engineering/payments")})
    print("users:", company.users[7], company.users[99])


if __name__ == "__main__":
    main()
