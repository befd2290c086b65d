// Facts of a made-up recording: its start, the command and the machine, its end.
import type { FinalFacts, StartFacts } from "../../../src/capture/binding.js";
import type { RecordingFacts } from "../../../src/model/profile.js";
import { bytes, ns } from "../../../src/model/units.js";

export const HZ = 99;

export const fakeStart = (over: Partial<StartFacts> = {}): StartFacts => ({
  startMonotonicNs: 5_000_000_000_123n,
  startWallNs: 1_760_000_000_123_456_789n,
  cpuEvent: "cpu-clock",
  onlineCpus: [0, 1, 2, 3],
  programs: [
    { name: "lf_switch", tag: "00112233445566ff", id: 900, type: "tracing", attachedTo: "sched_switch" },
  ],
  maps: [],
  notes: [],
  ...over,
});

export const fakeFacts = (over: Partial<RecordingFacts> = {}): Omit<RecordingFacts, "endReason"> => ({
  toolVersion: "0.1.0",
  host: {
    hostname: "edge-1",
    kernel: "6.18.0",
    arch: "x86_64",
    cpuModel: "Fake CPU",
    cpus: 4,
    memoryBytes: 8e9,
  },
  command: ["lowflame", "record", "-d", "10s"],
  sources: ["cpu", "offcpu"],
  frequencyHz: HZ,
  filters: [],
  ...over,
});

export const fakeFinal = (over: Partial<FinalFacts> = {}): FinalFacts => ({
  endMonotonicNs: 5_010_000_000_123n,
  losses: [],
  cost: {
    programs: [],
    agentUserNs: ns(20e6),
    agentSystemNs: ns(10e6),
    peakRssBytes: bytes(90e6),
    kernelMemoryBytes: bytes(8e6),
  },
  cpuTimesStart: [],
  cpuTimesEnd: [],
  samplesPerCpu: [],
  offcpuTotals: [],
  runQueue: [],
  lockTotals: [],
  callTotals: [],
  endpointTotals: [],
  descriptorTotals: [],
  tcpTotals: [],
  connecting: [],
  closeWaits: [],
  listenQueues: [],
  otherPrograms: [],
  offcpuThresholdMaxNs: ns(1e6),
  ...over,
});
