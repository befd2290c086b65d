// From the options of `record` to a checked plan: everything that can be wrong is found here, before anything is loaded.
import type { SessionConfig } from "../capture/binding.js";
import type { RecordingFacts } from "../model/profile.js";
import type { Milliseconds } from "../model/units.js";
import { findCommand } from "./child.js";
import type { CliDeps } from "./deps.js";
import { usageError } from "./errors.js";
import { hostFacts } from "./host.js";
import {
  DEFAULT_DURATION,
  DEFAULT_FREQUENCY,
  DEFAULT_SOURCES,
  DEFAULT_USER_STACKS,
  parseComms,
  parseCpuList,
  parseDuration,
  parseFrequency,
  parsePids,
  parseSources,
  parseUserStacks,
} from "./options.js";
import { type PlannedOutput, planOutputs, recordingStem } from "./outputs.js";
import { checkCpus, checkFilterCounts, findCgroups, findTargets, type Target } from "./targets.js";

/** Options as commander gives them. */
export interface RecordOptions {
  readonly duration?: string;
  readonly frequency?: string;
  readonly pid?: readonly string[];
  readonly comm?: readonly string[];
  readonly cgroup?: readonly string[];
  readonly cpu?: string;
  readonly what?: string;
  readonly userStacks?: string;
  readonly output?: readonly string[];
  readonly format?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

export interface RecordPlan {
  readonly config: SessionConfig;
  readonly facts: Omit<RecordingFacts, "endReason">;
  /** Undefined: until the command ends. */
  readonly durationMs: Milliseconds | undefined;
  readonly targets: readonly Target[];
  readonly outputs: readonly PlannedOutput[];
  /** The command after `--` and the file that it runs. */
  readonly command: { readonly argv: readonly string[]; readonly file: string } | null;
  readonly notes: readonly string[];
}

/** @throws CliError for the first thing that is wrong */
export function planRecord(
  options: RecordOptions,
  command: readonly string[] | null,
  argv: readonly string[],
  deps: CliDeps,
): RecordPlan {
  const { system, cwd } = deps;
  if (command !== null && command.length === 0) {
    throw usageError("NO_COMMAND", "there is no command after --", "example: lowflame record -- make test");
  }
  const duration = options.duration ?? (command === null ? DEFAULT_DURATION : undefined);
  const durationMs = duration === undefined ? undefined : parseDuration(duration);
  const frequencyHz = parseFrequency(options.frequency ?? DEFAULT_FREQUENCY);
  const sources = parseSources(options.what ?? DEFAULT_SOURCES.join(","));
  const unwind = parseUserStacks(options.userStacks ?? DEFAULT_USER_STACKS);
  const pids = parsePids(options.pid ?? []);
  const { comms, notes } = parseComms(options.comm ?? []);
  const cpus = options.cpu === undefined ? [] : parseCpuList(options.cpu);
  const plan = planOutputs({
    files: options.output ?? [],
    format: options.format,
    sources,
    cwd,
    defaultStem: recordingStem(deps.hostname, deps.now()),
  });

  checkCpus(cpus, system);
  const targets = findTargets(pids, system);
  const cgroups = findCgroups(options.cgroup ?? [], cwd, system);
  checkFilterCounts(comms, cgroups);
  return {
    config: {
      sources,
      frequencyHz,
      unwind,
      filters: {
        ...(pids.length > 0 ? { pids } : {}),
        ...(comms.length > 0 ? { comms } : {}),
        ...(cgroups.length > 0 ? { cgroups } : {}),
        ...(cpus.length > 0 ? { cpus } : {}),
      },
    },
    facts: {
      toolVersion: deps.version,
      host: hostFacts(system),
      command: ["lowflame", ...argv],
      sources,
      frequencyHz,
      filters: [
        ...pids.map((pid) => `pid ${pid}`),
        ...comms.map((comm) => `processes named ${comm}`),
        ...cgroups.map((path) => `cgroup ${path}`),
        ...(cpus.length > 0 ? [`CPU ${options.cpu}`] : []),
      ],
    },
    durationMs,
    targets,
    outputs: plan.outputs,
    command: command && { argv: command, file: findCommand(command[0]!, cwd, deps.terminal.env.PATH ?? "") },
    notes: [...notes, ...plan.notes],
  };
}
