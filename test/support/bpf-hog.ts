// The incident that lowflame exists for, on demand: somebody else's BPF program that eats most of a CPU. A bpftrace
// program hangs on getppid's entry and loops there, while getppid-loop calls getppid. Wants root and bpftrace.
import { Child } from "./children.js";
import { type Program, startProgram } from "./programs.js";

export interface BpfHog {
  /** The tool that owns the program: bpftrace. */
  readonly owner: Child;
  /** The process whose CPU time goes into it. */
  readonly victim: Program<"getppid-loop">;
  /** Ends both, in an order that leaves nothing attached. */
  stop(): Promise<void>;
}

/**
 * Starts the hog. Resolves when the program is attached and the victim is calling.
 * @param loops turns of the loop in each call; 400 makes a call of about 17 us, of which over 95 % is in the program
 * @param ms how long the victim runs
 * @param cpu pins the victim, so that a test knows which CPU is hogged
 */
export async function startBpfHog(
  options: { loops?: number; ms?: number; cpu?: number } = {},
): Promise<BpfHog> {
  const loops = options.loops ?? 400;
  // `nsecs` is a helper call, so frames below the program show up as well; the sum keeps the loop from being dropped.
  const script = `tracepoint:syscalls:sys_enter_getppid {
    $i = 0; $x = (uint64)0;
    while ($i < ${loops}) { $x = $x ^ nsecs; $i++; }
    @last = $x;
  }
  BEGIN { printf("attached\\n"); }`;
  const owner = Child.start(["bpftrace", "-e", script]);
  try {
    await owner.until(() => owner.stdout.includes("attached"), 30_000, "attached program");
    const args = ["--ms", String(options.ms ?? 10_000)];
    if (options.cpu !== undefined) args.push("--cpu", String(options.cpu));
    const victim = await startProgram("getppid-loop", { args });
    return {
      owner,
      victim,
      async stop() {
        await victim.stop();
        await owner.stop("SIGINT");
      },
    };
  } catch (error) {
    await owner.stop("SIGINT");
    throw error;
  }
}
