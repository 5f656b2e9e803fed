"""What compose.yaml says, done on this machine without containers: a database, the migration, three nodes, their health.

The commands, the variables and the files are those of the compose file and of what `prepare.sh` makes. What is another is where
things are: folders in place of mounts, ports of loopback in place of networks.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS_MAX = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def expect(condition, what):
    if not condition:
        sys.exit(f"the story of the compose file: {what}")


def prepared(compose, folder, database_port):
    """What `prepare.sh` makes, in `folder`, for names and paths of this machine."""
    shutil.copy(compose.parent / "prepare.sh", folder)
    script = folder / "prepare.sh"
    # The one change: here the database is known by the machine's own name.
    text = script.read_text()
    expect("\ncertificate database database\n" in text, "prepare.sh makes no certificate for the database")
    script.write_text(text.replace("\ncertificate database database\n", "\ncertificate database database localhost\n"))
    subprocess.run([script], check=True, stdout=subprocess.DEVNULL)
    secrets = folder / "secrets"
    for name in ("node.toml", "migrate.toml", "probe.toml"):
        file = secrets / name
        text = file.read_text().replace("/run/secrets/", f"{secrets}/").replace("@database/", f"@localhost:{database_port}/")
        file.chmod(0o600)
        file.write_text(text)
    return secrets


def as_postgres(*command, **more):
    """Runs a program as the user of PostgreSQL, which refuses to run as root."""
    if os.getuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    return subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, **more)


@contextlib.contextmanager
def database(service, secrets, folder, port):
    versions = sorted(pathlib.Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name))
    programs = versions[-1] / "bin"
    data, log = folder / "data", folder / "database.log"
    data.mkdir()
    key = folder / "database.key"
    shutil.copy(secrets / "database.key", key)
    key.chmod(0o600)
    certificate = folder / "database.crt"
    shutil.copy(secrets / "database.crt", certificate)
    if os.getuid() == 0:
        for path in (folder, data, key, certificate):
            shutil.chown(path, "postgres", "postgres")
    options = service["environment"]["POSTGRES_INITDB_ARGS"].split()
    command = [programs / "initdb", *options, "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "-U", "postgres", "-D", data]
    expect(as_postgres(*command).wait() == 0, "the database is not made")
    command = [word.replace("/tmp/database.key", str(key)) for word in service["command"]]
    command = [word.replace("/run/secrets/database.crt", str(certificate)) for word in command]
    expect(command[0] == "postgres" and str(key) in " ".join(command), "the database has another command")
    own = ["-D", data, "-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with open(log, "w") as output:
        server = as_postgres(programs / "postgres", *command[1:], *own, stderr=output)
    try:
        def answers():
            health = service["healthcheck"]["test"][1:]
            health = [str(programs / health[0]), *health[1:], "--port", str(port)]
            return subprocess.run(health, stdout=subprocess.DEVNULL).returncode == 0

        wait_until(answers, lambda: log.read_text())
        # As the image does: by psql, statement by statement, as the first user.
        sql = (secrets / "roles.sql").read_text()
        psql = ["psql", "--set=ON_ERROR_STOP=1", "--quiet", f"--host={folder}", f"--port={port}", "--username=postgres", "--dbname=postgres"]
        subprocess.run(psql, input=sql, text=True, check=True)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until(holds, tell):
    deadline = time.monotonic() + START_SECONDS_MAX
    while not holds():
        expect(time.monotonic() < deadline, f"nothing came up:\n{tell()}")
        time.sleep(0.1)


def words_of(command, secrets):
    return [word.replace("/run/secrets/", f"{secrets}/") for word in command]


@contextlib.contextmanager
def node(remit, service, secrets, log):
    """One of the three, on ports of its own; yields the file of a client of it."""
    grpc, http = free_port(), free_port()
    environment = {name: value.replace("/run/secrets/", f"{secrets}/") for name, value in service["environment"].items()}
    expect(environment["REMIT_GRPC_ADDR"] == "0.0.0.0:50051", "the nodes listen elsewhere")
    environment |= {"REMIT_GRPC_ADDR": f"127.0.0.1:{grpc}", "REMIT_HTTP_ADDR": f"127.0.0.1:{http}", "REMIT_METRICS_ADDR": "none"}
    command = [remit, *words_of(service["command"], secrets)]
    with open(log, "w") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=output)
    files = {}
    for name in ("probe", "client"):
        files[name] = log.with_suffix(f".{name}.toml")
        text = (secrets / f"{name}.toml").read_text()
        files[name].write_text(text.replace("localhost:50051", f"localhost:{grpc}"))
    test = service["healthcheck"]["test"]
    expect(test[:2] == ["CMD", "remit"], "health is asked for otherwise")
    health = [remit, *(word.replace("/run/secrets/probe.toml", str(files["probe"])) for word in test[2:])]

    def is_healthy():
        return subprocess.run(health, capture_output=True).returncode == 0

    try:
        wait_until(is_healthy, lambda: log.read_text())
        yield files["client"]
    finally:
        process.terminate()
        expect(process.wait(timeout=30) == 0, f"a node did not end well:\n{log.read_text()}")
        expect(not is_healthy(), "a node that is gone is healthy")


def tell_story(remit, compose, project):
    services = project["services"]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remit-compose-")))
        port = free_port()
        secrets = prepared(compose, folder, port)
        again = subprocess.run([folder / "prepare.sh"], capture_output=True)
        expect(again.returncode != 0, "prepare.sh writes over what it has made")
        stack.enter_context(database(services["database"], secrets, folder, port))
        migrate = [remit, *words_of(services["migrate"]["command"], secrets)]
        for _ in range(2):
            subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        clients = []
        for name in ("node-1", "node-2", "node-3"):
            clients.append(stack.enter_context(node(remit, services[name], secrets, folder / f"{name}.log")))

        def ask(client, *words):
            # The client's files are given by name; nothing else of this machine is to be heard.
            done = subprocess.run([remit, *words, "--config", client], capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

        schema = folder / "schema.zed"
        schema.write_text("definition user {}\ndefinition doc {\n  relation viewer: user\n}\n")
        code, told = ask(clients[0], "schema", "write", schema)
        expect(code == 0, f"the first node takes no schema: {told}")
        # The second may not have heard of the schema yet; asked so, it has.
        expect(ask(clients[1], "schema", "show", "--consistency", "fully-consistent")[0] == 0, "the second node lags")
        written = ask(clients[1], "relationship", "write", "doc:a#viewer@user:ann")
        expect(written[0] == 0, f"the second node takes no relationship: {written[1]}")
        for client in clients:
            code, told = ask(client, "check", "doc:a", "viewer", "user:ann", "--consistency", "fully-consistent")
            expect(code == 0, f"a node answers {told}")
        owner = (secrets / "migrate.toml").read_text()
        expect("remit_owner" in owner and "remit_owner" not in (secrets / "node.toml").read_text(), "nodes own the tables")
    print("the compose file: three nodes on one database, from its own commands, certificates and keys")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remit", required=True)
    parser.add_argument("--compose", required=True, type=pathlib.Path)
    parser.add_argument("--project", required=True, help="the compose file as a program reads it, in JSON")
    arguments = parser.parse_args()
    with open(arguments.project) as file:
        tell_story(arguments.remit, arguments.compose, json.load(file))


if __name__ == "__main__":
    main()
