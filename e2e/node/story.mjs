// The stock Node client of the authzed API, unchanged, against a served Remit:
//
//   node story.mjs HOST:PORT KEY

import assert from "node:assert/strict";
import { v1 } from "@authzed/authzed-node";

const [endpoint, key] = process.argv.slice(2);
const plaintext = v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS;
const client = v1.NewClient(key, endpoint, plaintext);
const { promises } = client;

const SCHEMA = `use expiration
caveat on_day(day string) {
  day == "friday"
}
definition user {}
definition group {
  relation member: user | group#member
}
definition doc {
  relation viewer: user | user:* | user with on_day | group#member
  relation banned: user
  permission view = viewer - banned
}`;

const object = (text) => {
  const [objectType, objectId] = text.split(":");
  return { objectType, objectId };
};
const subject = (text) => {
  const [of, optionalRelation = ""] = text.split("#");
  return { object: object(of), optionalRelation };
};
const relationship = (text) => {
  const [rest, caveatName] = text.split("[");
  const [of, to] = rest.split("@");
  const [resource, relation] = of.split("#");
  const plain = { resource: object(resource), relation, subject: subject(to) };
  return caveatName === undefined ? plain : { ...plain, optionalCaveat: { caveatName: caveatName.replace("]", "") } };
};
const full = { requirement: { oneofKind: "fullyConsistent", fullyConsistent: true } };
const touch = async (...rows) => {
  const updates = rows.map((row) => ({ operation: v1.RelationshipUpdate_Operation.TOUCH, relationship: relationship(row) }));
  const answer = await promises.writeRelationships(v1.WriteRelationshipsRequest.create({ updates }));
  return answer.writtenAt;
};
const check = async (resource, who, context) => {
  const request = { consistency: full, resource: object(resource), permission: "view", subject: subject(who), context };
  return (await promises.checkPermission(v1.CheckPermissionRequest.create(request))).permissionship;
};
const { HAS_PERMISSION, NO_PERMISSION, CONDITIONAL_PERMISSION } = v1.CheckPermissionResponse_Permissionship;

async function schema() {
  await promises.writeSchema(v1.WriteSchemaRequest.create({ schema: SCHEMA }));
  const { schemaText } = await promises.readSchema(v1.ReadSchemaRequest.create({}));
  assert.match(schemaText, /permission view = viewer - banned/);
  const reflected = await promises.reflectSchema(v1.ReflectSchemaRequest.create({ consistency: full }));
  assert.deepEqual(reflected.definitions.map(({ name }) => name).sort(), ["doc", "group", "user"]);
}

async function checks() {
  await touch("doc:a#viewer@user:ann", "doc:a#viewer@user:fri[on_day]", "doc:a#viewer@group:g#member", "group:g#member@user:bob");
  assert.equal(await check("doc:a", "user:ann"), HAS_PERMISSION);
  assert.equal(await check("doc:a", "user:bob"), HAS_PERMISSION);
  assert.equal(await check("doc:a", "user:eve"), NO_PERMISSION);
  assert.equal(await check("doc:a", "user:fri"), CONDITIONAL_PERMISSION);
  const friday = { fields: { day: { kind: { oneofKind: "stringValue", stringValue: "friday" } } } };
  assert.equal(await check("doc:a", "user:fri", friday), HAS_PERMISSION);
  const item = (permission) => ({ resource: object("doc:a"), permission, subject: subject("user:ann") });
  const items = [item("view"), item("nosuch"), item("view")];
  const { pairs } = await promises.checkBulkPermissions(v1.CheckBulkPermissionsRequest.create({ consistency: full, items }));
  assert.deepEqual(pairs.map(({ response }) => response.oneofKind), ["item", "error", "item"]);
}

async function lookUps() {
  for (let n = 0; n < 25; n += 1) await touch(`doc:p${String(n).padStart(2, "0")}#viewer@user:tom`);
  const request = {
    consistency: full,
    resourceObjectType: "doc",
    permission: "view",
    subject: subject("user:tom"),
    optionalLimit: 10,
  };
  const ids = [];
  for (let optionalCursor; ; ) {
    const page = await promises.lookupResources(v1.LookupResourcesRequest.create({ ...request, optionalCursor }));
    if (page.length === 0) break;
    ids.push(...page.map(({ resourceObjectId }) => resourceObjectId));
    optionalCursor = page.at(-1).afterResultCursor;
    await touch(`doc:p00-${ids.length}#viewer@user:tom`);
  }
  assert.deepEqual(ids, Array.from({ length: 25 }, (_, n) => `p${String(n).padStart(2, "0")}`));
  await touch("doc:open#viewer@user:*", "doc:open#banned@user:eve");
  const subjects = { consistency: full, resource: object("doc:open"), permission: "view", subjectObjectType: "user" };
  const found = await promises.lookupSubjects(v1.LookupSubjectsRequest.create(subjects));
  assert.deepEqual(found.map(({ subject: found }) => found.subjectObjectId), ["*"]);
  assert.deepEqual(found[0].excludedSubjects.map(({ subjectObjectId }) => subjectObjectId), ["eve"]);
  const expand = { consistency: full, resource: object("doc:open"), permission: "view" };
  const { treeRoot } = await promises.expandPermissionTree(v1.ExpandPermissionTreeRequest.create(expand));
  assert.equal(treeRoot.treeType.oneofKind, "intermediate");
}

async function bulk() {
  const relationships = Array.from({ length: 500 }, (_, n) => relationship(`doc:bulk${n}#viewer@user:zoe`));
  const loaded = await new Promise((resolve, reject) => {
    const stream = client.importBulkRelationships((error, answer) => (error ? reject(error) : resolve(answer)));
    stream.write(v1.ImportBulkRelationshipsRequest.create({ relationships }));
    stream.end();
  });
  assert.equal(Number(loaded.numLoaded), 500);
  const pages = await promises.exportBulkRelationships(v1.ExportBulkRelationshipsRequest.create({ consistency: full }));
  const rows = pages.flatMap((page) => page.relationships);
  assert.equal(rows.filter(({ subject: { object: who } }) => who.objectId === "zoe").length, 500);
}

async function watch() {
  const from = await touch("doc:w#viewer@user:before");
  const seen = await new Promise((resolve, reject) => {
    const updates = [];
    const stream = client.watch(v1.WatchRequest.create({ optionalStartCursor: from, optionalObjectTypes: ["doc"] }));
    const tooLong = setTimeout(() => reject(new Error("the watch told nothing")), 20_000);
    stream.on("data", (message) => {
      updates.push(...message.updates.map(({ relationship: row }) => row.subject.object.objectId));
      if (updates.length < 3) return;
      clearTimeout(tooLong);
      stream.cancel();
      resolve(updates);
    });
    stream.on("error", (error) => updates.length < 3 && reject(error));
    (async () => {
      for (const who of ["one", "two", "three"]) await touch(`doc:w#viewer@user:${who}`);
    })().catch(reject);
  });
  assert.deepEqual(seen, ["one", "two", "three"]);
}

async function conditional() {
  await touch("doc:c#viewer@user:cat[on_day]");
  const { CONDITIONAL_PERMISSION: CONDITIONAL } = v1.LookupPermissionship;
  const request = { consistency: full, resourceObjectType: "doc", permission: "view", subject: subject("user:cat") };
  const found = await promises.lookupResources(v1.LookupResourcesRequest.create(request));
  const own = found.find(({ resourceObjectId }) => resourceObjectId === "c");
  assert.equal(own.permissionship, CONDITIONAL);
  assert.deepEqual(own.partialCaveatInfo.missingRequiredContext, ["day"]);
  const subjects = { consistency: full, resource: object("doc:c"), permission: "view", subjectObjectType: "user" };
  const [cat] = await promises.lookupSubjects(v1.LookupSubjectsRequest.create(subjects));
  assert.deepEqual([cat.subject.subjectObjectId, cat.subject.permissionship], ["cat", CONDITIONAL]);
}

async function reads() {
  const relationshipFilter = v1.RelationshipFilter.create({ resourceType: "doc", optionalResourceIdPrefix: "bulk" });
  const request = { consistency: full, relationshipFilter, optionalLimit: 200 };
  const ids = [];
  for (let optionalCursor; ; ) {
    const page = await promises.readRelationships(v1.ReadRelationshipsRequest.create({ ...request, optionalCursor }));
    if (page.length === 0) break;
    assert.ok(page.length <= 200);
    ids.push(...page.map(({ relationship: row }) => row.resource.objectId));
    optionalCursor = page.at(-1).afterResultCursor;
  }
  assert.deepEqual(ids, Array.from({ length: 500 }, (_, n) => `bulk${n}`).sort());
}

// The reason among the details of a failure, which the client hands over undecoded.
const reason = ({ metadata }) => {
  const [details] = metadata.get("grpc-status-details-bin");
  return details?.toString("latin1").match(/ERROR_REASON_([A-Z_]+)/)?.[1];
};

async function errors() {
  const INVALID_ARGUMENT = 3;
  const ALREADY_EXISTS = 6;
  const PERMISSION_DENIED = 7;
  const FAILED_PRECONDITION = 9;
  const fails = async (call, code, why) => {
    const error = await call.then(() => assert.fail(`${why ?? code} was expected`), (error) => error);
    assert.deepEqual([error.code, reason(error)], [code, why]);
  };
  await fails(touch("nosuch:a#viewer@user:ann"), FAILED_PRECONDITION, "UNKNOWN_DEFINITION");
  await fails(touch("doc:a#view@user:ann"), INVALID_ARGUMENT, "CANNOT_UPDATE_PERMISSION");
  await fails(touch("doc:a#banned@group:g"), INVALID_ARGUMENT, "INVALID_SUBJECT_TYPE");
  const again = [{ operation: v1.RelationshipUpdate_Operation.CREATE, relationship: relationship("doc:a#viewer@user:ann") }];
  const create = promises.writeRelationships(v1.WriteRelationshipsRequest.create({ updates: again }));
  await fails(create, ALREADY_EXISTS, "ATTEMPT_TO_RECREATE_RELATIONSHIP");
  const broken = promises.writeSchema(v1.WriteSchemaRequest.create({ schema: "definition user {" }));
  await fails(broken, INVALID_ARGUMENT, "SCHEMA_PARSE_ERROR");
  const query = { resourceObjectType: "doc", permission: "view", subject: subject("user:ann"), optionalLimit: 5 };
  const forged = promises.lookupResources(v1.LookupResourcesRequest.create({ ...query, optionalCursor: { token: "AAAA" } }));
  await fails(forged, INVALID_ARGUMENT, "INVALID_CURSOR");
  const stale = { consistency: { requirement: { oneofKind: "atLeastAsFresh", atLeastAsFresh: { token: "AAAA" } } } };
  const question = { resource: object("doc:a"), permission: "view", subject: subject("user:ann") };
  await fails(promises.checkPermission(v1.CheckPermissionRequest.create({ ...question, ...stale })), INVALID_ARGUMENT);
  const stranger = v1.NewClient("wrong-key", endpoint, plaintext);
  await fails(stranger.promises.checkPermission(v1.CheckPermissionRequest.create(question)), PERMISSION_DENIED);
  stranger.close();
}

for (const part of [schema, checks, lookUps, conditional, bulk, reads, watch, errors]) {
  await part();
  console.log(`ok ${part.name}`);
}
client.close();
