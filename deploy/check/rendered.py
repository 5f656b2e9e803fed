"""What the chart, the image and the compose file come to, held to what a deployment of Remit must be.

Every rule is tried on the rendered objects, which must pass, and on copies in which the thing that it guards is taken out,
which must not: a rule that misses its own fault is a fault.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.30", "1.37"

VARIANTS = {
    "as it is": {},
    "with everything said": {
        "image": {"repository": "example/remit", "tag": "9.8.7"},
        "imagePullSecrets": [{"name": "registry"}],
        "networkPolicy": {
            "callers": [{"namespaceSelector": {"matchLabels": {"team": "payments"}}}],
            "database": [{"ipBlock": {"cidr": "10.0.0.5/32"}}],
        },
        "settings": {"REMIT_LOG": "warn", "REMIT_WATCHES_MAX": "100"},
        "podAnnotations": {"example.com/owner": "identity"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
        "replicas": 5,
    },
    "with an issuer": {
        "identity": {"secret": "remit-identity"},
        "tokenKeys": {"secret": "remit-token-keys"},
        "networkPolicy": {
            "issuers": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "watchers": [{"namespaceSelector": {"matchLabels": {"team": "observability"}}}],
        },
    },
    "within a mesh": {"tls": {"enabled": False}},
    "with the least": {
        "store": {"authority": {"secret": ""}},
        "migration": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "bind": "[::]",
    },
}

REFUSED = [
    "replicas=0",
    "settings.REMIT_INSECURE_NO_AUTH=true",
    "settings.REMIT_STORE=memory:",
    "settings.PATH=/tmp",
    "store.secret=",
    "keys.secret=",
    "networkPolicy.callers=null",
    "resources.limits.memory=null",
    "tls.enable=true",
]

SECRET_PREFIX = "/run/secrets/"
# How long a node that stops waits for the collector of its traces, after its calls.
TRACES_SECONDS = 2


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def one(objects, kind, component="node"):
    found = [
        each
        for each in objects
        if each["kind"] == kind
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    expect(len(found) == 1, f"there are {len(found)} of {kind} for {component}, not one")
    return found[0]


def pod_of(objects, kind, component):
    return one(objects, kind, component)["spec"]["template"]["spec"]


def pods(objects):
    return [pod_of(objects, "Deployment", "node"), pod_of(objects, "Job", "migration")]


def container(objects):
    return pod_of(objects, "Deployment", "node")["containers"][0]


def variable(objects, name):
    found = [each for each in container(objects)["env"] if each["name"] == name]
    return found[0] if found else {}


# Of the chart.


def there_are_three_nodes(objects):
    deployment = one(objects, "Deployment")["spec"]
    expect(deployment["replicas"] >= 3, "fewer than three nodes")
    expect(deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, "an upgrade takes nodes away")
    spread = [each["topologyKey"] for each in pod_of(objects, "Deployment", "node")["topologySpreadConstraints"]]
    expect("kubernetes.io/hostname" in spread, "nodes may all be on one machine")


def nodes_are_probed(objects):
    asked = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for name, path in asked.items():
        probe = container(objects).get(name, {})
        expect(probe.get("httpGet", {}).get("path") == path, f"{name} does not ask for {path}")
        expect(probe["httpGet"]["port"] == "metrics", f"{name} asks elsewhere")
    expect(variable(objects, "REMIT_METRICS_ADDR")["value"].endswith(":9090"), "nothing listens where the probes ask")
    scheme = container(objects)["readinessProbe"]["httpGet"]["scheme"]
    has_tls = bool(variable(objects, "REMIT_TLS_CERT"))
    expect((scheme == "HTTPS") == has_tls, "the probes speak another protocol than the node")

    def seconds(name):
        return container(objects)[name]["periodSeconds"] * container(objects)[name]["failureThreshold"]

    expect(seconds("startupProbe") >= 60, "a large graph has no time to load")
    expect(seconds("livenessProbe") > 300, "an outage of the database restarts nodes that still answer")
    expect(seconds("readinessProbe") <= 15, "callers are sent for long to a node that does not answer")


def nodes_stop_in_their_own_time(objects):
    pod = pod_of(objects, "Deployment", "node")
    drain = container(objects)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = int(variable(objects, "REMIT_SHUTDOWN_GRACE_SECONDS")["value"])
    # For the calls, the traces and the decision log, one after the other.
    takes = drain + grace + TRACES_SECONDS + grace
    expect(pod["terminationGracePeriodSeconds"] > takes, "nodes are killed before their calls have ended and what they log is taken")


def few_are_disrupted_at_once(objects):
    budget = one(objects, "PodDisruptionBudget")["spec"]
    expect(0 < budget["maxUnavailable"] < one(objects, "Deployment")["spec"]["replicas"], "all may be away at once")
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    expect(budget["selector"]["matchLabels"].items() <= labels.items(), "the budget is of other Pods")


def there_are_no_privileges(objects):
    for pod in pods(objects):
        security = pod["securityContext"]
        expect(security["runAsNonRoot"] is True and security["runAsUser"] > 0, "it runs as root")
        expect(security["seccompProfile"] == {"type": "RuntimeDefault"}, "any system call is allowed")
        expect(pod["automountServiceAccountToken"] is False, "it gets a token of the cluster")
        expect(not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), "it is in the host's namespaces")
        for each in pod["containers"]:
            security = each["securityContext"]
            expect(security["allowPrivilegeEscalation"] is False, "privileges can be gained")
            expect(security["readOnlyRootFilesystem"] is True, "the root can be written to")
            expect(security["capabilities"] == {"drop": ["ALL"]}, "there are capabilities")
            expect(not security["privileged"], "it is privileged")


def resources_are_asked_for(objects):
    for pod in pods(objects):
        for each in pod["containers"]:
            expect(each["resources"]["requests"].keys() >= {"cpu", "memory"}, "nothing is reserved")
            expect("memory" in each["resources"]["limits"], "memory has no limit")


def the_network_is_closed(objects):
    for kind, component in (("Deployment", "node"), ("Job", "migration")):
        policy = one(objects, "NetworkPolicy", component)["spec"]
        labels = one(objects, kind, component)["spec"]["template"]["metadata"]["labels"]
        expect(policy["podSelector"]["matchLabels"].items() <= labels.items(), "the policy is of other Pods")
        expect(sorted(policy["policyTypes"]) == ["Egress", "Ingress"], "one direction is open")
        for rule in policy["egress"]:
            expect({each["port"] for each in rule["ports"]} <= {53, 5432}, "more than names and the database can be reached")
    nodes, migration = one(objects, "NetworkPolicy")["spec"], one(objects, "NetworkPolicy", "migration")["spec"]
    expect(not migration.get("ingress"), "the migration can be called")
    for rule in nodes["ingress"]:
        expect(rule["from"], "anybody may call")
    served = [{each["port"] for each in rule["ports"]} for rule in nodes["ingress"]]
    expect(served == [{"grpc", "http"}], "more than calls is let in")


def secrets_come_from_secrets(objects):
    for pod, secret in zip(pods(objects), ("remit-store", "remit-migration")):
        found = [each for each in pod["containers"][0]["env"] if each["name"] == "REMIT_STORE"]
        reference = found[0].get("valueFrom", {}).get("secretKeyRef", {}).get("name")
        expect(reference == secret, "the URL of the database is not from its Secret")
    expect(not [each for each in objects if each["kind"] == "Secret"], "the chart holds a Secret")
    expect(variable(objects, "REMIT_PRESHARED_KEY_FILE"), "callers need no key")
    mounted = [each["mountPath"] for each in container(objects)["volumeMounts"]]
    expect("/etc/remit/keys" in mounted, "the keys are not mounted")


def callers_are_served_with_tls(objects):
    expect(variable(objects, "REMIT_TLS_CERT").get("value") == "/etc/remit/tls/tls.crt", "there is no certificate")
    expect(not variable(objects, "REMIT_ALLOW_PLAINTEXT"), "plaintext is allowed")


def the_database_is_migrated_first(objects):
    job = one(objects, "Job", "migration")
    hooks = job["metadata"]["annotations"]["helm.sh/hook"].split(",")
    expect(sorted(hooks) == ["pre-install", "pre-upgrade"], "the migration runs at another time")
    expect(pod_of(objects, "Job", "migration")["containers"][0]["args"] == ["store", "migrate"], "nothing is migrated")
    policy = one(objects, "NetworkPolicy", "migration")["metadata"]["annotations"]
    weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    expect(int(policy["helm.sh/hook-weight"]) < weight, "the migration runs before it may reach the database")


def security_of(*names):
    """Each way to lose one of `names` from the security of a container."""
    return [lambda objects, name=name: container(objects)["securityContext"].pop(name) for name in names]


def without(kind, component="node"):
    return lambda objects: objects.remove(one(objects, kind, component))


def drop_variable(name):
    return lambda objects: container(objects)["env"].remove(variable(objects, name))


CHART_RULES = {
    there_are_three_nodes: [
        lambda objects: one(objects, "Deployment")["spec"].update(replicas=2),
        lambda objects: one(objects, "Deployment")["spec"].pop("strategy"),
        lambda objects: pod_of(objects, "Deployment", "node").pop("topologySpreadConstraints"),
    ],
    nodes_are_probed: [
        lambda objects: container(objects).pop("startupProbe"),
        lambda objects: container(objects).pop("readinessProbe"),
        lambda objects: container(objects).pop("livenessProbe"),
        lambda objects: container(objects)["livenessProbe"].update(failureThreshold=3),
        lambda objects: container(objects)["readinessProbe"]["httpGet"].update(scheme="HTTP"),
        drop_variable("REMIT_METRICS_ADDR"),
    ],
    nodes_stop_in_their_own_time: [
        lambda objects: container(objects).pop("lifecycle"),
        lambda objects: pod_of(objects, "Deployment", "node").update(terminationGracePeriodSeconds=10),
        lambda objects: pod_of(objects, "Deployment", "node").update(terminationGracePeriodSeconds=20),
    ],
    few_are_disrupted_at_once: [
        without("PodDisruptionBudget"),
        lambda objects: one(objects, "PodDisruptionBudget")["spec"].update(maxUnavailable=9),
    ],
    there_are_no_privileges: [
        lambda objects: pod_of(objects, "Deployment", "node").pop("securityContext"),
        lambda objects: pod_of(objects, "Job", "migration").pop("securityContext"),
        lambda objects: pod_of(objects, "Deployment", "node").pop("automountServiceAccountToken"),
        *security_of("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"),
    ],
    resources_are_asked_for: [
        lambda objects: container(objects)["resources"].pop("requests"),
        lambda objects: container(objects)["resources"]["limits"].pop("memory"),
    ],
    the_network_is_closed: [
        without("NetworkPolicy"),
        without("NetworkPolicy", "migration"),
        lambda objects: one(objects, "NetworkPolicy")["spec"]["egress"][1].pop("ports"),
        lambda objects: one(objects, "NetworkPolicy")["spec"]["ingress"][0].pop("from"),
    ],
    secrets_come_from_secrets: [
        lambda objects: variable(objects, "REMIT_STORE").update(valueFrom={}, value="postgres://ann:secret@db/remit"),
        drop_variable("REMIT_PRESHARED_KEY_FILE"),
    ],
    callers_are_served_with_tls: [drop_variable("REMIT_TLS_CERT")],
    the_database_is_migrated_first: [
        without("Job", "migration"),
        lambda objects: one(objects, "Job", "migration")["metadata"]["annotations"].pop("helm.sh/hook"),
    ],
}


# Of the compose file.


def nodes(project):
    found = {name: each for name, each in project["services"].items() if name.startswith("node-")}
    expect(len(found) == 3, f"there are {len(found)} nodes, not three")
    return found


def every_service_is_guarded(project):
    for name, each in project["services"].items():
        expect(each.get("read_only"), f"{name} can write to its root")
        expect(each.get("cap_drop") == ["ALL"] and not each.get("cap_add"), f"{name} has capabilities")
        expect("no-new-privileges:true" in each.get("security_opt", []), f"{name} can gain privileges")
        expect(not each.get("privileged"), f"{name} is privileged")
        expect(each.get("mem_limit") and each.get("pids_limit"), f"{name} has no limits")
        expect(each.get("user", "65532") != "root", f"{name} runs as root")


def nodes_of_compose_are_probed(project):
    for name, each in [*nodes(project).items(), ("database", project["services"]["database"])]:
        expect((each.get("healthcheck") or {}).get("test", [""])[0] == "CMD", f"{name} has no health")
        expect(each["restart"] == "unless-stopped", f"{name} stays down")


def compose_migrates_first(project):
    expect("migrate" in project["services"]["migrate"]["command"], "nothing is migrated")
    for name, each in nodes(project).items():
        condition = each["depends_on"]["migrate"]["condition"]
        expect(condition == "service_completed_successfully", f"{name} does not wait for the migration")
        grace = int(each["environment"]["REMIT_SHUTDOWN_GRACE_SECONDS"])
        takes = grace + TRACES_SECONDS + grace
        expect(int(each["stop_grace_period"].removesuffix("s")) > takes, f"{name} is killed before its calls have ended")


def only_nodes_reach_the_database(project):
    expect(project["networks"]["database"]["internal"], "the database's network has a way out")
    on_it = {name for name, each in project["services"].items() if "database" in each["networks"]}
    expect(on_it == {"database", "migrate", *nodes(project)}, f"on the database's network: {on_it}")
    database = project["services"]["database"]
    expect(list(database["networks"]) == ["database"] and not database.get("ports"), "the database can be reached")
    expect("ssl=on" in database["command"], "the database speaks in the clear")


def nodes_are_reached_with_tls(project):
    for name, each in nodes(project).items():
        environment = each["environment"]
        expect(environment.get("REMIT_TLS_CERT", "").startswith(SECRET_PREFIX), f"{name} has no certificate")
        expect(environment.get("REMIT_PRESHARED_KEY_FILE", "").startswith(SECRET_PREFIX), f"{name} asks for no key")
        expect(not {"REMIT_STORE", "REMIT_ALLOW_PLAINTEXT"} & environment.keys(), f"{name} is told what it must not be")
        expect(all(port.get("host_ip") == "127.0.0.1" for port in ports(each)), f"{name} is on every network")


def ports(service):
    return [port if isinstance(port, dict) else {"host_ip": port.split(":")[0]} for port in service["ports"]]


def in_service(name, change):
    return lambda project: change(project["services"][name])


COMPOSE_RULES = {
    every_service_is_guarded: [
        in_service("node-2", lambda service: service.pop("read_only")),
        in_service("database", lambda service: service.pop("cap_drop")),
        in_service("node-1", lambda service: service.pop("security_opt")),
        in_service("migrate", lambda service: service.pop("mem_limit")),
    ],
    nodes_of_compose_are_probed: [in_service("node-3", lambda service: service.pop("healthcheck"))],
    compose_migrates_first: [in_service("node-1", lambda service: service.pop("depends_on"))],
    only_nodes_reach_the_database: [
        lambda project: project["networks"]["database"].pop("internal"),
        in_service("database", lambda service: service["networks"].update(callers=None)),
    ],
    nodes_are_reached_with_tls: [
        in_service("node-1", lambda service: service["environment"].pop("REMIT_TLS_CERT")),
        in_service("node-1", lambda service: service["environment"].pop("REMIT_PRESHARED_KEY_FILE")),
        in_service("node-1", lambda service: service.update(ports=["0.0.0.0:50051:50051"])),
    ],
}


# Of the image.


def stages(image):
    """The last stage's instructions, as pairs of name and value."""
    lines = image["text"].replace("\\\n", " ").splitlines()
    found = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    last = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return found[:last], found[last:]


def the_image_has_no_root(image):
    users = [value for name, value in stages(image)[1] if name == "USER"]
    expect(users and users[-1] == "65532:65532", "it runs as another user than the chart says")


def the_image_holds_one_binary(image):
    building, last = stages(image)
    copied = [value for name, value in last if name in ("COPY", "ADD")]
    expect(copied == ["--from=build /build/target/release/remit /usr/local/bin/remit"], f"it holds {copied}")
    expect(any("cargo build --release --locked" in value for _, value in building), "it is built from what is not locked")


def replaced(old, new):
    return lambda image: image.update(text=image["text"].replace(old, new))


IMAGE_RULES = {
    the_image_has_no_root: [replaced("USER 65532:65532", ""), replaced("USER 65532:65532", "USER root")],
    the_image_holds_one_binary: [replaced("COPY --from=build /build/target/release/remit", "COPY ."), replaced(" --locked", "")],
}


def hold(rules, rendered, what):
    """Tries the rules, and each of them on its own faults."""
    faults = 0
    for rule, spoilings in rules.items():
        try:
            rule(rendered)
        except (AssertionError, KeyError, TypeError) as error:
            sys.exit(f"{what}: {rule.__name__}: {error!r}")
        for number, spoil in enumerate(spoilings, 1):
            spoiled = copy.deepcopy(rendered)
            spoil(spoiled)
            try:
                rule(spoiled)
            except (AssertionError, KeyError, TypeError):
                faults += 1
                continue
            sys.exit(f"{what}: {rule.__name__} does not see its fault {number}")
    print(f"{what}: {len(rules)} rules hold, and see {faults} faults")


def render(helm, chart, version, values, release="remit"):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        command = [helm, "template", release, chart, "--namespace", "auth", "--kube-version", version, "--values", file.name]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def check_chart(helm, chart):
    for name, values in VARIANTS.items():
        for version in (OLDEST_KUBERNETES, NEWEST_KUBERNETES):
            for release in ("remit", "a-release-with-a-name-that-is-as-long-as-one-may-be"):
                objects = render(helm, chart, f"{version}.0", values, release)
                for each in objects:
                    kubernetes_validate.validate(each, version, strict=True)
                    expect(len(each["metadata"]["name"]) <= 63, f"{each['metadata']['name']} is too long a name")
        print(f"{name}: {len(objects)} objects, valid in Kubernetes {OLDEST_KUBERNETES} and {NEWEST_KUBERNETES}")
        if name in ("as it is", "with everything said"):
            hold(CHART_RULES, objects, f"the chart, {name}")
        elif name == "with an issuer":
            expect(variable(objects, "REMIT_IDENTITY")["value"].startswith("/etc/remit/identity/"), "nobody is let in")
            expect(variable(objects, "REMIT_TOKEN_KEY_FILE")["value"].startswith("/etc/remit/token-keys/"), "nothing is minted")
            mounted = {each["mountPath"] for each in container(objects)["volumeMounts"]}
            expect({"/etc/remit/identity", "/etc/remit/token-keys"} <= mounted, "what they name is not there")
            egress = one(objects, "NetworkPolicy")["spec"]["egress"]
            expect(any(rule.get("to") and rule["ports"][0]["port"] == 443 for rule in egress), "its keys cannot be fetched")
            ingress = one(objects, "NetworkPolicy")["spec"]["ingress"]
            expect([each["port"] for each in ingress[-1]["ports"]] == ["metrics"], "the metrics cannot be read")
        elif name == "within a mesh":
            nodes_are_probed(objects)
            expect(variable(objects, "REMIT_ALLOW_PLAINTEXT"), "a node without TLS would refuse to start")
    for values in REFUSED:
        command = [helm, "template", "remit", chart, "--kube-version", f"{NEWEST_KUBERNETES}.0", "--set", values]
        refused = subprocess.run(command, capture_output=True, text=True)
        expect(refused.returncode != 0 and "schema" in refused.stderr, f"the chart takes {values}")
    print(f"the chart refuses {len(REFUSED)} settings that it must not have")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--chart", required=True)
    parser.add_argument("--image", required=True, help="the Dockerfile")
    parser.add_argument("--compose", required=True, help="the compose file as a program reads it, in JSON")
    arguments = parser.parse_args()
    check_chart(arguments.helm, arguments.chart)
    with open(arguments.image) as file:
        hold(IMAGE_RULES, {"text": file.read()}, "the image")
    with open(arguments.compose) as file:
        hold(COMPOSE_RULES, json.load(file), "the compose file")


if __name__ == "__main__":
    main()
