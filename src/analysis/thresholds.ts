// From what on a number is worth waking somebody up. Shares are of busy CPU time unless it says otherwise. A healthy
// busy nginx stays below all of them; test/unit/analysis-healthy.test.ts holds that.

/** Fewer samples than this say nothing: ten samples know a share to about a third of itself. */
export const MIN_SAMPLES = 10;

/** Spinning. A loaded proxy spends 1 to 3 % there (socket, run-queue and page locks); above it more CPUs do not help. */
export const SPIN = { warning: 0.05, critical: 0.2 } as const;

/**
 * Other people's BPF programs and probes. Tracing is meant to cost next to nothing, so 1 % is already news; 10 % is
 * more than any tracer should take from a proxy. Below it they are named only when the kernel's own statistics say
 * that they take more than half a percent of one CPU.
 */
export const FOREIGN_BPF = { warning: 0.01, critical: 0.1, infoCpuFraction: 0.005, maxFindings: 10 } as const;

/** Page faults. Long-lived servers fault little once warm; 10 % means memory is mapped and given back all the time. */
export const PAGE_FAULTS = { warning: 0.1, critical: 0.3 } as const;

/** Reclaim. Pages looked at for a victim are no work for anybody: 5 % means that memory is short. */
export const RECLAIM = { warning: 0.05, critical: 0.2 } as const;

/** Directory cache. Path look-ups of a file server stay below 3 %; a flood of names that do not exist does not. */
export const DENTRY = { warning: 0.05, critical: 0.2 } as const;

/** Packet filter. A firewall of some tens of rules, with connection tracking, takes a few percent of a busy proxy's time. */
export const PACKET_FILTER = { warning: 0.1, critical: 0.3 } as const;

/**
 * Samples that should have come and did not, of those that a CPU's busy time is worth. Below 10 % it can be the coarse
 * clock of /proc/stat, which charges whole ticks, and in a virtual machine timers that fire late.
 */
export const SHORTFALL = { warning: 0.1, critical: 0.3, minExpected: 50 } as const;

/** Events lost, of all events. Below 1 % no picture changes; above 5 % the picture itself is in doubt. */
export const LOSSES = { info: 0.01, warning: 0.05 } as const;

/** User stacks that ended early, of all user stacks: from a fifth on callers are missing where they matter. */
export const TRUNCATED = { info: 0.2, minSamples: 100 } as const;

/**
 * Waiting for a CPU. At 20 ms one wait in a hundred is felt in a request's p99; below that it is the
 * slices of a busy, healthy scheduler. A process with few waits, or whose
 * waits sum up to less than 1 % of the recording, is noise.
 */
export const RUN_QUEUE = { warningNs: 20e6, criticalNs: 100e6, minWaits: 100, minSumFraction: 0.01 } as const;

/**
 * Waiting for a CPU in many short waits: a process that waits as long as it runs gets half of the CPU that it asks for.
 * A saturated but healthy proxy waits, too (30 % measured with its load generator on the same CPUs), in waits of some
 * ten microseconds, which every queue of runnable threads has: those are left out by their mean.
 */
export const RUN_QUEUE_STARVED = { share: 0.5, minMeanNs: 1e6, minSumFraction: 0.2 } as const;

/** Uninterruptible sleepers on average: each adds 1 to the load average. One is news, one for each CPU an incident. */
export const D_STATE = { warning: 1, criticalPerCpu: 1 } as const;

/**
 * Waiting for one lock, kernel lock or user lock, of the machine's time (CPUs times length) or of one process's (threads
 * times length). A healthy proxy waits less than 1 % on all locks together; at 5 % of its time the lock is felt in every
 * twentieth request, at 20 % more threads get nothing done. Estimates of a cut capture need samples behind them. More
 * than a few such locks at once have one cause, and the tab lists all.
 */
export const LOCK_CONTENTION = { warning: 0.05, critical: 0.2, maxFindings: 5 } as const;

/**
 * A single wait for a user lock whose owner is off the CPU meanwhile. Disks and the scheduler of a busy machine keep a
 * thread away for some ten milliseconds; 100 ms with a lock held is felt by all who want it, a second by whoever looks.
 */
export const HELD_ASLEEP = { warning: 100e6, critical: 1e9, maxFindings: 5 } as const;

/**
 * The same where the owner runs. Fewer CPU samples than these, of a time of which half must be seen on a CPU, are chance.
 */
export const HELD_RUNNING = { warning: 100e6, critical: 1e9, minSamples: 5, maxFindings: 5 } as const;

/**
 * Some programs park a thread at a mutex that another one holds while there is nothing to do (redis its I/O threads, where it has any): one
 * waiter, who waits long and seldom. Below this many waits a second, and never two at a time, a user lock is taken for that.
 */
export const PARKED_AT_A_LOCK = { waitsPerSecond: 10 } as const;

/** Owners of a lock that are known for less of the waiting for it stand for it with that share only, or for nothing. */
export const OWNERS_KNOWN = { all: 0.8, some: 0.1 } as const;

/**
 * Threads of an idle pool wait together for nearly all of the time (`share`), in waits that nobody would take for a lock's
 * (`meanNs`). Of one that takes turns with a lock, whose owner slept for events in `turnsShare` of the waiting; or one waits on
 * a condition at a time, which adds up to no more than `oneAtATime` of the recording, and to no more than `mostOfOne` of that for one thread.
 */
export const IDLE_POOL = {
  share: 0.9,
  meanNs: 100e6,
  turnsShare: 0.7,
  oneAtATime: 1.05,
  mostOfOne: 0.95,
} as const;

/**
 * A convoy: more than half of a process's threads queue for one lock. With fewer than four that is chance. Where only the
 * waiters were seen, half of the threads is half of them: then it takes eight that wait at one time.
 */
export const LOCK_CONVOY = {
  minThreads: 4,
  minUnseen: 8,
  threadShare: 0.5,
  warning: 0.05,
  critical: 0.2,
} as const;

/** Traced waits for spin locks below this part of the spinning that CPU samples see: the kernel hides them. */
export const SPIN_WAITS_HIDDEN = 0.1;

/**
 * A descriptor whose calls nearly all say EAGAIN, over and over: its program asks without waiting to be told. Servers that
 * read until EAGAIN get one for each answer, at most half of their calls; a thousand in vain a second are no coincidence.
 */
export const EAGAIN_SPIN = { share: 0.9, perSecond: 1_000, minCount: 500, maxFindings: 5 } as const;

/**
 * A call whose busy time has a long tail where the process's other calls are quick: some of its calls meet a resource that
 * others hold. A hundred microseconds are beyond what copying and sending take; the tail must also carry a good part of the
 * call's busy time, since one call in a hundred is slowed down by interrupts on any busy machine. A call that sends eight megabytes
 * is as long: CPU samples must show that the call spins for locks, for half as long as its tail takes at least.
 */
export const BUSY_TAIL = {
  minCalls: 1_000,
  times: 10,
  minP99Ns: 100e3,
  tailShare: 0.25,
  minSpinShare: 0.05,
  spinOfTail: 0.5,
  maxFindings: 5,
} as const;

/**
 * Sockets that only grow. A server that warms up opens many at once, then none; a leak goes on for the whole recording. What leaks by
 * a timer does so in steps: it rises in each of a few longer spans.
 */
export const SOCKET_GROWTH = {
  least: 50,
  perSecond: 5,
  closedShare: 0.1,
  risingShare: 0.9,
  spanSeconds: [1, 2, 3, 5],
  minIntervals: 4,
  /** Of a process that closes some of them, too: load that grows looks the same for a while. */
  minIntervalsClosing: 8,
} as const;

/**
 * Connections that were in CLOSE-WAIT both at the beginning and at the end: the other side closed, the process did not, for 5 s
 * or longer, and got nothing meanwhile. One or two may be a transfer that stands still, to a client that closed its half. From ten on of one process (as many as a usual
 * pool of idle connections holds) something never looks at them again.
 */
export const CLOSE_WAIT = { info: 3, warning: 10, minDurationNs: 5e9, maxFindings: 5 } as const;

/**
 * Connections that found the queue of a listening socket full. Each client that meets it waits a second or longer to try again,
 * and a healthy server has none; a few are one burst, ten a second for ten seconds are a program that does not come round to
 * accept.
 */
export const LISTEN_OVERFLOW = {
  warning: 10,
  criticalPerSecond: 10,
  minCritical: 100,
  candidateFill: 0.5,
} as const;

/**
 * Connections that could not be established, by end. One or two fail in every network. Three that are half of all are an end
 * that is not there; of a busy one 5 % are more than a way that works loses; where half of ten fail nobody can work with it.
 */
export const CONNECT_FAILING = {
  fewest: { failed: 3, share: 0.5 },
  warning: { failed: 10, share: 0.05 },
  critical: { failed: 10, share: 0.5 },
  maxFindings: 5,
} as const;

/**
 * Connections that took so long that their first packet must have been sent again, which Linux does after one second. A way that
 * works loses far less than one packet in a hundred.
 */
export const CONNECT_SLOW = {
  fromNs: 800e6,
  least: 5,
  warning: 0.01,
  critical: 0.1,
  maxFindings: 5,
} as const;

/**
 * Whether a late answer is the fault of the way or of the program there, by the time to connect, which takes one way there and
 * back: a tenth of the answer's time is no cause of it, half of it is. Packets that are lost cost 200 ms each: one in twenty
 * answers is felt, one in a hundred is not in the median.
 */
export const WAY = {
  minConnects: 5,
  connectShare: { quick: 0.1, slow: 0.5 },
  minRetransmits: 10,
  retransmitsAnAnswer: { few: 0.01, many: 0.05 },
} as const;

/**
 * Answers that had come and were not read. A program that serves many sockets reads each a little late; 20 ms are felt, and a
 * fifth of the time is not chance. Twenty, since one long pause (a collection of garbage) meets some answers in any program.
 */
export const LATE_READER = {
  least: 20,
  share: 0.2,
  meanNs: { warning: 20e6, critical: 500e6 },
  maxFindings: 3,
} as const;

/**
 * A thread without time left runs or waits for a CPU for `share` of the recording. A web server or a cache at full load is such, and
 * healthy: it computes tens of microseconds for an answer. `answering`: of the CPU time, so much at least passes with answers of
 * its own under way; those of a program with many clients overlap, those of one with a few may be over at their first bytes.
 */
export const BUSY_SERVER = {
  minAnswers: 20,
  share: 0.85,
  perAnswerNs: 250e3,
  p50Ns: 1e6,
  answering: 0.25,
  maxFindings: 3,
} as const;

/** A process that was stopped so long in all; one that was for nearly all of the recording may be a job put aside. */
export const STOPPED = { sumNs: 100e6, wholeShare: 0.98, maxFindings: 3 } as const;

/** Calls that have not returned. Five seconds are longer than any healthy answer, and shorter than the usual recording. */
export const UNFINISHED = { warningNs: 5e9, maxFindings: 5 } as const;

/** A program that works for less than this part of the recording, or of its own answers' time, was not kept by its own work. */
export const UNSEEN_WAIT = { workShare: 0.25 } as const;

/** An end of which nothing ever came, where there is no other to compare it with. */
export const SILENT_END = {
  /** One may be an accident, or the last before the end; not one that was left for so long: whoever asks a name server asks again. */
  minTurns: 2,
  p50Ns: 1e9,
  oneNs: 4e9,
} as const;

/**
 * Name servers. One near by answers what it knows in a millisecond and asks elsewhere for tens; a tenth of a second for half of all
 * is felt. A second is what no server needs and the shortest time limit of a resolver (resolv.conf, timeout:1): three in two hundred
 * that were left for so long are no accident. By buckets, of which the nearest begins at 805 ms.
 */
export const NAMES = {
  port: 53,
  minTurns: 20,
  few: 5,
  p50Ns: { warning: 100e6, critical: 500e6 },
  lostNs: 0.8e9,
  leastLost: 3,
  lostShare: { warning: 0.005, critical: 0.05 },
} as const;

/** A program that waits for another end in this share of its own answers' time, and that end this share as late, is not slow itself. */
export const CHAIN = { share: 0.7 } as const;

/**
 * Questions that a server asked for its clients and that got no answer. Clients that go away leave some behind, as old as an answer
 * usually is; a time limit is several times that. One in twenty is felt, one in five is an outage.
 */
export const UNANSWERED = {
  least: 5,
  share: { warning: 0.05, critical: 0.2 },
  times: 3,
  meanNs: 50e6,
} as const;

/**
 * One of the ends that a program asks answers far later than the others. Medians differ threefold between healthy ends of
 * different work, not fivefold; 20 ms are felt, half a second is an outage. A slow tail needs more answers to be seen.
 * An end that hardly answers gives few: five of a second and of twenty times the others' are no chance.
 */
export const SLOW_END = {
  minTurns: 20,
  times: 5,
  p50Ns: { warning: 20e6, critical: 500e6 },
  few: { minTurns: 5, times: 20, p50Ns: 1e9 },
  /** The whole answer against its first bytes: less is no rest to speak of. */
  restTimes: 2,
  /**
   * An answer that is passed on as it comes and has one pause or two is late with its rest. One with hardly any is long, one with
   * more of them, or that takes longer than a page may, is more likely meant to be a stream: of events, of messages.
   */
  page: { pauses: { least: 0.5, most: 2 }, p50Ns: 5e9 },
  /** CPU time and waits for a CPU of the program there, of its answers' time: with less it was not they that took the time. */
  idleShare: 0.1,
  /** A program that answers within this share of the time has not read the question for most of it. */
  readSoon: 0.5,
  /** What a quarter of the answers take at least; against the others as the tail is. */
  quarterNs: 100e6,
  tailMinTurns: 200,
  tailTimes: 10,
  tailP99Ns: 100e6,
  maxFindings: 3,
} as const;
