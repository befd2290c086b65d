#!/usr/bin/env node
// Entry point of the `lowflame` command.
import { runCli } from "./program.js";
import { realDeps } from "./real-deps.js";
import { tolerateClosedStreams } from "./terminal.js";

const deps = realDeps();
tolerateClosedStreams(deps.terminal);
// The exit code is set, not forced: what is still on its way to a pipe must arrive.
process.exitCode = await runCli(process.argv.slice(2), deps);
