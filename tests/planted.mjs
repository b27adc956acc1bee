// The site of tests.planted in Node: four endpoints, one planted cause. `node planted.mjs PLANT-AS-JSON` says its port.
import cluster from "node:cluster";
import http from "node:http";

const plant = JSON.parse(process.argv[2]);
const sizeMs = plant.size_s * 1000;
const body = JSON.stringify({ data: Array(100).fill("x".repeat(20)) });
const pieces = 16;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function burn(ms) {
  const used = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
  const until = used() + ms;
  while (used() < until) for (let i = 0; i < 1000; i++);
}

function sleepOnTheEventLoop(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function gate(atOnce) {
  let free = atOnce;
  const queue = [];
  return async (work) => {
    if (free > 0) free--;
    else await new Promise((next) => queue.push(next));
    await work();
    if (queue.length) queue.shift()();
    else free++;
  };
}

const gated = gate(plant.kind === "limit" ? plant.at_once : 1);
const causes = {
  cpu: () => burn(sizeMs),
  wait: () => wait(sizeMs),
  block: () => sleepOnTheEventLoop(sizeMs),
  lock: () => gated(() => wait(sizeMs)),
  limit: () => gated(() => wait(sizeMs)),
};

async function drip(response) {
  const size = Math.ceil(body.length / pieces);
  for (let start = 0; start < body.length; start += size) {
    await wait(sizeMs / pieces);
    response.write(body.slice(start, start + size));
  }
  response.end();
}

async function answer(request, response) {
  burn(0.3);
  const planted = plant.paths.includes(request.url) ? plant.kind : "";
  await causes[planted]?.();
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
  if (planted !== "drip") return response.end(body);
  response.flushHeaders();
  await drip(response);
}

function serve() {
  const server = http.createServer(answer);
  server.keepAliveTimeout = 75_000;
  server.listen(0, "127.0.0.1", () => cluster.isPrimary && console.log(server.address().port));
  const periodMs = plant.period_s * 1000;
  const stall = () => { sleepOnTheEventLoop(sizeMs); setTimeout(stall, periodMs - sizeMs); };
  if (plant.kind === "stall") setTimeout(stall, periodMs - (Date.now() % periodMs));
}

if (plant.processes > 1 && cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", (_, { port }) => ++listening === plant.processes && console.log(port));
  for (let i = 0; i < plant.processes; i++) cluster.fork();
} else serve();
