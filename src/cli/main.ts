#!/usr/bin/env node
// Entry point of the `lowflame` command.
import { watchParents } from "./orphan.js";
import { runCli } from "./program.js";
import { realDeps } from "./real-deps.js";
import { tolerateClosedStreams } from "./terminal.js";

const deps = realDeps();
tolerateClosedStreams(deps.terminal);
watchParents({
  env: process.env,
  system: deps.system,
  parentPid: () => process.ppid,
  // As if somebody had sent it: whoever listens keeps what was recorded, whoever does not ends.
  onGone: () => process.kill(process.pid, "SIGTERM"),
});
// The exit code is set, not forced: what is still on its way to a pipe must arrive.
process.exitCode = await runCli(process.argv.slice(2), deps);
