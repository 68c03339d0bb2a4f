// node replicate.mjs DOCUMENTS FOLDER URL BATCH: loads the documents (a JSON object a line) into a local PouchDB, then
// replicates it to the server; prints {"documents", "seconds"}, the seconds being those of the replication alone.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import PouchDB from "pouchdb";

const LOADED_AT_ONCE = 1000;
const [documents, folder, url, batch] = process.argv.slice(2);
const local = new PouchDB(folder);
const remote = new PouchDB(url);

async function load() {
  let waiting = [];
  for await (const line of createInterface({ input: createReadStream(documents) })) {
    waiting.push(JSON.parse(line));
    if (waiting.length === LOADED_AT_ONCE) {
      await local.bulkDocs(waiting);
      waiting = [];
    }
  }
  if (waiting.length) await local.bulkDocs(waiting);
}

await load();
await remote.info(); // the database is there and the connection open
const began = performance.now();
const result = await local.replicate.to(remote, { batch_size: Number(batch) });
const seconds = (performance.now() - began) / 1000;
const { doc_count: held } = await remote.info();
if (!result.ok || held !== (await local.info()).doc_count) throw new Error(`not all arrived: ${held}`);
console.log(JSON.stringify({ documents: held, seconds }));
process.exit(0);
