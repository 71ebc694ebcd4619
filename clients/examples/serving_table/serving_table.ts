/**
 * Print which versions serve each endpoint, and print it again whenever that changes.
 *
 * The same as serving_table.py, in TypeScript: the types of the documents are generated from the published schemas
 * (`npm run types`), and nothing else of Rollbook is needed. Usage: `node serving_table.ts HOST:PORT`
 */
import { Consumer, jsonDeserializer, stringDeserializer } from "@platformatic/kafka";
import { randomUUID } from "node:crypto";
import type { Endpoint } from "./types/endpoint.d.ts";
import type { Instance } from "./types/instance.d.ts";
import type { StateRecord } from "./types/state-record.d.ts";

const TOPIC = "serving.state.v1";

type Records = Map<string, StateRecord>;

function documents<Document>(records: Records, kind: string): Document[] {
  return [...records.values()].filter((record) => record.kind === kind).map((record) => record.document as Document);
}

/** Return a line for each endpoint, such as `95 % digits/1 (2 ready), 5 % digits/2 (1 ready)`. */
function table(records: Records): Map<string, string> {
  const ready = new Map<string, number>();
  for (const instance of documents<Instance>(records, "instance")) {
    if (instance.phase === "announced") {
      ready.set(instance.deployment_id, (ready.get(instance.deployment_id) ?? 0) + 1);
    }
  }
  return new Map(documents<Endpoint>(records, "endpoint").map((endpoint) => [endpoint.name, line(endpoint, ready)]));
}

function line(endpoint: Endpoint, ready: Map<string, number>): string {
  const versions = new Map(endpoint.deployments.map((deployment) => [deployment.id, deployment.version]));
  const parts = endpoint.allocations.flatMap(({ deployment_id, weight_percent }) => {
    const version = versions.get(deployment_id);
    if (version === undefined || weight_percent === 0) return [];
    const name = `${version.model_name}/${version.number}`;
    return [`${weight_percent} % ${name} (${ready.get(deployment_id) ?? 0} ready)`];
  });
  return parts.join(", ") || "no traffic";
}

let shown = new Map<string, string>();

function show(records: Records): void {
  const now = table(records);
  for (const name of [...new Set([...now.keys(), ...shown.keys()])].sort()) {
    if (now.get(name) !== shown.get(name)) console.log(`${name}: ${now.get(name) ?? "removed"}`);
  }
  shown = now;
}

const bootstrap = process.argv[2];
if (bootstrap === undefined) {
  console.error("usage: node serving_table.ts HOST:PORT");
  process.exit(2);
}

const consumer = new Consumer({
  clientId: "serving-table",
  groupId: `serving-table-${randomUUID()}`,
  bootstrapBrokers: [bootstrap],
  deserializers: { key: stringDeserializer, value: jsonDeserializer<StateRecord> },
});
const ends = await consumer.listOffsets({ topics: [TOPIC], timestamp: -1n });
const end = ends.get(TOPIC)?.[0] ?? 0n;
const stream = await consumer.consume({ topics: [TOPIC], mode: "earliest", autocommit: false });

// The last record of each key counts; one without a value removes the document.
const records: Records = new Map();
if (end === 0n) show(records);
for await (const message of stream) {
  if (message.value === null || message.value === undefined) records.delete(String(message.key));
  else records.set(String(message.key), message.value);
  if (message.offset + 1n >= end) show(records);
}
