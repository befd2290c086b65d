// Uses the addon in one of the ways that must leave nothing behind. Run by test/kernel/lifecycle.test.ts.
import { createRequire } from "node:module";
import { isMainThread, Worker, workerData } from "node:worker_threads";

const addon = createRequire(import.meta.url)("../../build/Release/lowflame.node");
const CONFIG = { sources: ["cpu", "offcpu"], frequencyHz: 99, filters: {} };
const STEPS = ["new", "configure", "load", "attach", "activate"];
const way = isMainThread ? process.argv[2] : workerData;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function advance(session, last) {
  for (const step of STEPS.slice(1, STEPS.indexOf(last) + 1)) session[step](CONFIG);
}

if (!isMainThread) {
  const session = new addon.Session();
  advance(session, "activate");
  session.onWakeup(() => session.take());
  await sleep(200);
  if (way === "throw") throw new Error("worker dies");
  if (way === "terminated") await sleep(60_000);
  // "leave": the worker ends with the session open; its wake-up function would keep it alive
  if (way === "leave") process.exit(0);
} else if (way.startsWith("close-after-")) {
  const session = new addon.Session();
  advance(session, way.slice("close-after-".length));
  session.close();
  session.close();
} else if (way === "exit-active") {
  const session = new addon.Session();
  advance(session, "activate");
  process.exit(0);
} else if (way === "close-while-deactivating") {
  const session = new addon.Session();
  advance(session, "activate");
  await sleep(50);
  const done = session.deactivate();
  session.close();
  await done;
} else if (way === "garbage") {
  for (let i = 0; i < 3; i++) advance(new addon.Session(), "activate");
  globalThis.gc();
  await sleep(100);
  globalThis.gc();
} else if (way === "two-at-once") {
  const sessions = [new addon.Session(), new addon.Session()];
  for (const s of sessions) advance(s, "activate");
  await sleep(300);
  for (const s of sessions) await s.deactivate();
  for (const s of sessions) {
    const final = s.finish();
    const received = final.samplesPerCpu.reduce((n, c) => n + c.received, 0);
    if (!received) throw new Error("a session saw nothing");
    s.close();
  }
} else if (way === "sleep") {
  const session = new addon.Session();
  advance(session, "activate");
  console.log("active");
  await sleep(60_000);
} else if (way.startsWith("worker-")) {
  const worker = new Worker(new URL(import.meta.url), { workerData: way.slice("worker-".length) });
  worker.on("error", () => {});
  if (way === "worker-terminated") {
    await sleep(600);
    await worker.terminate();
  } else {
    await new Promise((resolve) => worker.on("exit", resolve));
  }
} else {
  throw new Error(`unknown way ${way}`);
}
console.log("clean");
