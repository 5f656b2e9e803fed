"""Starts a Remit server for a test, and stops it."""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def serve(remit, key, store=None, arguments=(), http="none"):
    """Runs `remit serve` until the block ends; yields its address. HTTP is on `http`, or on the "same" address."""
    address = f"127.0.0.1:{free_port()}"
    http = address if http == "same" else http
    with tempfile.TemporaryDirectory() as folder:
        command = [remit, "serve", "--grpc-addr", address, "--http-addr", http, "--metrics-addr", "none"]
        command += ["--store", store or f"sqlite:{folder}/remit.db", *arguments]
        environment = {**os.environ, "REMIT_PRESHARED_KEY": key}
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment)
        log = []
        ready = threading.Event()

        def read():
            for line in server.stderr:
                log.append(line)
                if "ready" in line:
                    ready.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        while not ready.wait(0.05):
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                raise RuntimeError("the server did not become ready:\n" + "".join(log))
        try:
            yield address
        finally:
            server.terminate()
            code = server.wait(timeout=30)
            reader.join(timeout=5)
            if code != 0:
                raise RuntimeError(f"the server ended with {code}:\n" + "".join(log))
