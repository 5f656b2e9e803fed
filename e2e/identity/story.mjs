// Tokens of a certified OpenID provider against a served Remit: `node story.mjs PATH-OF-REMIT`.
//
// The provider is `oidc-provider`, in this process and on this machine. It issues, changes its keys, and goes away; Remit has
// to let in whom it lets in, find new keys, drop what rests on keys that are gone, and go on while the provider is down.
// An access token that is a JWT cannot be revoked one by one: a provider takes its key back, which is what is tested here.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";
import { Provider } from "oidc-provider";

const KEY = "identity-key";
const RESOURCE = "urn:remit";

async function freePort() {
  const listener = createServer();
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  const { port } = listener.address();
  await new Promise((done) => listener.close(done));
  return port;
}

async function signingKey(alg, kid) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, kid, use: "sig" };
}

/** A provider at `port` whose keys are `keys`, of which it signs with the first of its algorithm. */
async function provide(port, keys, alg) {
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "billing",
        client_secret: "billing-secret-of-this-test",
        grant_types: ["client_credentials"],
        id_token_signed_response_alg: "ES256",
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ["remit.call", "other"],
    extraTokenClaims: () => ({ groups: ["services", "finance"] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: (_context, resource) => ({
          scope: "remit.call other",
          audience: resource,
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg } },
        }),
      },
    },
  });
  const server = provider.listen(port, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  return async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
}

async function token(port, { scope = "remit.call", resource = RESOURCE, headers = {} } = {}) {
  const answer = await fetch(`http://127.0.0.1:${port}/token`, {
    method: "POST",
    headers: {
      authorization: `Basic ${btoa("billing:billing-secret-of-this-test")}`,
      connection: "close",
      ...headers,
    },
    body: new URLSearchParams({ grant_type: "client_credentials", scope, resource }),
  });
  const body = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(body));
  return body.access_token;
}

/** A proof of possession of a key of its own, for the provider's endpoint of tokens. */
async function proof(port) {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwk = await exportJWK(publicKey);
  const signed = new SignJWT({ htm: "POST", htu: `http://127.0.0.1:${port}/token`, jti: randomUUID() });
  const header = { typ: "dpop+jwt", alg: "ES256", jwk };
  return {
    jkt: await calculateJwkThumbprint(jwk),
    dpop: await signed.setProtectedHeader(header).setIssuedAt().sign(privateKey),
  };
}

async function serve(remit, folder, settings) {
  const [grpc, http] = [await freePort(), await freePort()];
  const file = join(folder, "identity.toml");
  await writeFile(file, settings);
  const addresses = ["--grpc-addr", `127.0.0.1:${grpc}`, "--http-addr", `127.0.0.1:${http}`, "--metrics-addr", "none"];
  const child = spawn(remit, ["serve", "--store", "memory:", "--identity", file, ...addresses], {
    cwd: folder,
    env: { ...process.env, REMIT_PRESHARED_KEY: KEY },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  await new Promise((ready, failed) => {
    child.stderr.on("data", (data) => {
      log += data;
      if (log.includes("remit is ready")) ready();
    });
    child.once("exit", () => failed(new Error(log)));
  });
  const call = async (credential) => {
    const answer = await fetch(`http://127.0.0.1:${http}/v1/schema/write`, {
      method: "POST",
      headers: { authorization: `Bearer ${credential}` },
      body: JSON.stringify({ schema: "definition user {}" }),
    });
    const { message } = await answer.json();
    return { code: answer.status, message, challenge: answer.headers.get("www-authenticate") };
  };
  /** Lets those who are in a group, by their tokens, write schemas: a caller has nothing but what it was given. */
  const grant = async (group) => {
    const subject = { object: { objectType: "remit/group", objectId: group }, optionalRelation: "member" };
    const resource = { objectType: "remit/system", objectId: "main" };
    const relationship = { resource, relation: "schema_writer", subject };
    const answer = await fetch(`http://127.0.0.1:${http}/v1/relationships/write`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ updates: [{ operation: "OPERATION_TOUCH", relationship }] }),
    });
    assert.equal(answer.status, 200, await answer.text());
  };
  const stop = async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    assert.equal(await ended, 0, log);
    return log;
  };
  return { call, grant, stop };
}

async function until(what, ask) {
  const deadline = Date.now() + 20_000;
  while (!(await ask())) {
    assert.ok(Date.now() < deadline, what);
    await new Promise((done) => setTimeout(done, 100));
  }
}

const remit = resolve(process.argv[2]);
const folder = await mkdtemp(join(tmpdir(), "remit-identity-"));
const port = await freePort();
const [first, second, third] = [
  await signingKey("ES256", "first"),
  await signingKey("RS256", "second"),
  await signingKey("ES256", "third"),
];
let stopProvider = await provide(port, [first, second], "ES256");
const server = await serve(
  remit,
  folder,
  `
[resource]
url = "https://remit.example.com"

[[issuer]]
name = "provider"
issuer = "http://127.0.0.1:${port}"
audience = ["${RESOURCE}"]
algorithms = ["ES256", "RS256"]
required_scope = "remit.call"
refresh_seconds = 1
refetch_seconds = 1
`,
);
try {
  // A token as the provider makes it, by discovery, is let in; so is a key.
  const issued = await token(port);
  const stranger = await server.call(issued);
  assert.equal(stranger.code, 403);
  assert.match(stranger.message, /`remit\/user:.*` may not `write_schema`/);
  // It has what its group is given, which its token names.
  await server.grant("finance");
  assert.equal((await server.call(issued)).code, 200);
  assert.equal((await server.call(KEY)).code, 200);

  // One for something else, without the scope, or changed is not.
  const elsewhere = await server.call(await token(port, { resource: "urn:other" }));
  assert.equal(elsewhere.code, 401);
  assert.match(elsewhere.message, /`aud`/);
  assert.match(elsewhere.challenge, /error="invalid_token".*resource_metadata="https:\/\/remit\.example\.com/);
  const unscoped = await server.call(await token(port, { scope: "other" }));
  assert.equal(unscoped.code, 403);
  assert.match(unscoped.challenge, /error="insufficient_scope".*scope="remit.call"/);
  const [header, claims, signature] = issued.split(".");
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url")), sub: "root" }));
  const changed = await server.call([header, forged.toString("base64url"), signature].join("."));
  assert.equal(changed.code, 401);

  // One that is bound to a key of the client's may not be sent without a proof.
  const { dpop, jkt } = await proof(port);
  const bound = await token(port, { headers: { dpop } });
  assert.equal(JSON.parse(Buffer.from(bound.split(".")[1], "base64url")).cnf.jkt, jkt);
  const refused = await server.call(bound);
  assert.equal(refused.code, 401);
  assert.match(refused.message, /cnf\.jkt/);

  // Another algorithm of the same provider's.
  await stopProvider();
  stopProvider = await provide(port, [first, second], "RS256");
  assert.equal((await server.call(await token(port))).code, 200);

  // A new key is found, and while the provider has the old one as well, tokens of both are good.
  await stopProvider();
  stopProvider = await provide(port, [third, first], "ES256");
  const byThird = await token(port);
  assert.equal(JSON.parse(Buffer.from(byThird.split(".")[0], "base64url")).kid, "third");
  await until("a new key is found", async () => (await server.call(byThird)).code === 200);
  assert.equal((await server.call(issued)).code, 200);

  // Without the provider what was fetched stays, for tokens that were not seen yet as well.
  const unseen = await token(port);
  await stopProvider();
  await new Promise((done) => setTimeout(done, 2_500));
  assert.equal((await server.call(unseen)).code, 200);

  // A key that the provider took back is not believed any more, though its token was let in a moment ago.
  stopProvider = await provide(port, [third], "ES256");
  await until("a key that is gone is dropped", async () => (await server.call(issued)).code === 401);
  assert.equal((await server.call(byThird)).code, 200);
} finally {
  await stopProvider();
  const log = await server.stop();
  assert.ok(!log.includes(KEY) && !log.includes("eyJ"), "a key or a token is in the log");
  await rm(folder, { recursive: true });
}
console.log("tokens of an OpenID provider: let in, refused, rotated, taken back");
