// The protobuf schema of the capture file, kept as text so that it works the same from src/ and dist/.
// Rules of change, layout of a member and the changelog for readers: docs/capture-format.md.
//
// Changelog
//   1  first version
//   2  kernel and user locks: Tables.locks, Samples.lock, Final.lock_totals, samples of "locks", "futex" and their owners;
//      sockets: Tables.endpoints, .calls and .socket_counts, Final.call_totals, .endpoint_totals, .descriptor_totals,
//      .tcp_totals, .connecting, .close_waits, .listen_queues and .tcp_counters; Cost.statistics_on (absent: on); Final.user_stacks and .names;
//      Tables.sources
import protobuf from "protobufjs";
import { SOCKET_TOTALS } from "./schema-sockets.js";

/** Version that the writer writes and the newest one that the reader knows. */
export const FORMAT_VERSION = 2;

export const SCHEMA = `
syntax = "proto3";
package lowflame.capture;

// Each gzip member holds one of these.
message Member {
  oneof body {
    Header header = 1;
    Batch batch = 2;
    End end = 3;
  }
  // Nanoseconds since the start of the recording; the same value as in the gzip extra field.
  fixed64 time_ns = 15;
}

// Numbers by column. Exactly one field is set, or none where there are no rows.
message Column {
  bytes deltas = 1; // zigzag varints of the difference to the value before: packed sint64
  bytes raw = 2;    // the values, little-endian, in the width given beside the column
}

// ---- first member: facts of the command, the host and the start

message Header {
  uint32 format_version = 1;
  Facts facts = 2;
  Start start = 3;
}
message Facts {
  string tool_version = 1;
  Host host = 2;
  repeated string command = 3;
  repeated string sources = 4;
  double frequency_hz = 5;
  repeated string filters = 6;
}
message Host {
  string hostname = 1;
  string kernel = 2;
  string arch = 3;
  string cpu_model = 4;
  double cpus = 5;
  double memory_bytes = 6;
}
message Start {
  fixed64 start_monotonic_ns = 1;
  fixed64 start_wall_ns = 2;
  string cpu_event = 3;
  repeated uint32 online_cpus = 4;
  repeated Program programs = 5;
  repeated Map maps = 6;
  repeated string notes = 7;
}
message Program {
  string name = 1;
  string tag = 2;
  uint32 id = 3;
  string type = 4;
  string attached_to = 5;
}
message Map {
  string name = 1;
  string type = 2;
  double bytes = 3;
  bool written = 4;
}

// ---- batches: new table rows, then samples that refer to them

message Batch {
  Tables tables = 1;
  repeated Samples samples = 2;
}
message Tables {
  repeated Process processes = 1;
  repeated Thread threads = 2;
  repeated Module modules = 3;
  Frames frames = 4;
  Stacks stacks = 5;
  repeated Name names = 6;
  repeated Lock locks = 7;
  repeated Endpoint endpoints = 8;
  repeated Call calls = 9;
  repeated SocketCount socket_counts = 10;
  repeated Source sources = 11;
}
message Process {
  uint32 id = 1;
  int32 pid = 2;
  fixed64 start_time_ns = 3;
  string comm = 4;
  bool kernel_thread = 5;
  bool self = 6;
  optional string cgroup = 7;
}
message Thread {
  uint32 id = 1;
  int32 tid = 2;
  uint32 process = 3;
  string comm = 4;
}
message Module {
  uint32 id = 1;
  string path = 2;
  string build_id = 3;
}
message Frames {
  uint32 first_id = 1;
  uint32 count = 2;
  Column module = 3; // u32
  Column offset = 4; // u64, always raw
  Column kind = 5;   // u8: kernel, bpf, user, jit, vdso, unknown
}
message Stacks {
  uint32 first_id = 1;
  uint32 count = 2;
  Column parent = 3; // u32
  Column frame = 4;  // u32
}
message Name {
  uint32 frame = 1;
  string name = 2;
}
// Innermost place first: functions that were inlined there, last the one that was called.
message Source {
  uint32 frame = 1;
  repeated Place places = 2;
}
message Place {
  string function = 1;
  string file = 2;
  uint32 line = 3;
}
message Lock {
  uint32 id = 1;
  // spin lock; rwlock read, write; rwsem read, write; rt mutex; percpu rwsem read, write; mutex; then of futexes:
  // user lock; user lock with priority inheritance; condition or idle wait
  uint32 kind = 2;
  fixed64 address = 3;
  string name = 4;
}
message Endpoint {
  uint32 id = 1;
  // none, remote, accepted, listening, datagram, local, path, served path, process, family
  uint32 role = 2;
  uint32 family = 3;
  uint32 protocol = 4;
  string address = 5;
  uint32 port = 6;
  uint32 network = 7; // inode of the network namespace; 0: the recorder's own, none, or not known
}
message Call {
  double time_ns = 1;
  uint32 thread = 2;
  sint32 syscall = 3;
  sint32 fd = 4; // -1: none
  sint32 endpoint = 5; // -1: not known
  double result = 6;
  double duration_ns = 7;
  double busy_ns = 8;
  double blocked_ns = 9;
  double waiting_ns = 10;
  uint32 stack = 11;
  uint32 flags = 12;
}
message SocketCount {
  double time_ns = 1;
  sint32 process = 2;
  double opened = 3;
  double closed = 4;
  double descriptors = 5; // 0: not known
}
message Samples {
  string source = 1;
  uint32 count = 2;
  Column time_ns = 3;     // f64
  Column cpu = 4;         // u32
  Column thread = 5;      // u32
  Column stack = 6;       // u32
  Column weight_ns = 7;   // f64
  Column duration_ns = 8; // f64
  Column state = 9;       // u8: none, preempted, interruptible, uninterruptible, stopped, idle, dead, other
  Column syscall = 10;    // i32
  Column flags = 11;      // u32
  Column lock = 12;       // u32, only for locks, futex and their owners
}

// ---- last member: losses, cost, exact totals

message End {
  string end_reason = 1;
  Final final = 2;
}
message Final {
  fixed64 end_monotonic_ns = 1;
  repeated Loss losses = 2;
  Cost cost = 3;
  repeated CpuTimes cpu_times_start = 4;
  repeated CpuTimes cpu_times_end = 5;
  repeated CpuSamples samples_per_cpu = 6;
  repeated OffCpuTotal offcpu_totals = 7;
  repeated RunQueue run_queue = 8;
  repeated OtherProgram other_programs = 9;
  double offcpu_threshold_max_ns = 10;
  repeated LockTotal lock_totals = 11;
  repeated CallTotal call_totals = 12;
  repeated EndpointTotal endpoint_totals = 13;
  repeated DescriptorTotal descriptor_totals = 14;
  repeated TcpTotal tcp_totals = 15;
  repeated CloseWait close_waits = 16;
  TcpCounters tcp_counters = 17; // absent: sockets were not recorded
  repeated ListenQueue listen_queues = 18;
  UserStacks user_stacks = 19; // absent: they followed frame pointers
  Names names = 20; // absent: recorded by a version that did not tell
  repeated Connecting connecting = 21;
}
message Loss {
  string id = 1;
  double count = 2;
  string meaning = 3;
}
message Cost {
  repeated ProgramCost programs = 1;
  double agent_user_ns = 2;
  double agent_system_ns = 3;
  double peak_rss_bytes = 4;
  double kernel_memory_bytes = 5;
  optional bool statistics_on = 6; // false: the kernel's BPF statistics were off, so runs and ns of programs mean nothing
}
message ProgramCost {
  string name = 1;
  double runs = 2;
  double ns = 3;
}
message CpuTimes {
  uint32 cpu = 1;
  double user = 2;
  double nice = 3;
  double system = 4;
  double idle = 5;
  double iowait = 6;
  double irq = 7;
  double softirq = 8;
  double steal = 9;
}
message CpuSamples {
  uint32 cpu = 1;
  double expected = 2;
  double received = 3;
  double idle = 4;
}
message OffCpuTotal {
  sint32 process = 1;
  uint32 state = 2;
  double count = 3;
  double sum_ns = 4;
  double max_ns = 5;
}
message RunQueue {
  sint32 process = 1;
  double count = 2;
  double sum_ns = 3;
  double max_ns = 4;
  repeated double buckets = 5;
}
message LockTotal {
  sint32 lock = 1; // -1: kernel locks without a row of their own; -2: futexes
  sint32 process = 2;
  double count = 3;
  double sum_ns = 4;
  double max_ns = 5;
  repeated double buckets = 6;
  double timeouts = 7;
}
${SOCKET_TOTALS}message UserStacks {
  // 1 and 10 were counts of how walks ended: samples tell that themselves
  double processes = 2;
  double tables = 3;
  double table_bytes = 4;
  double build_ns = 5;
  double rereads = 6;
  double files_without = 7;
  double files_unreadable = 8;
  double rows_left_out = 9;
}
message Names {
  double found = 1;
  double missing = 2;
  double files = 3;
  double cache_bytes = 4;
}
message OtherProgram {
  uint32 id = 1;
  string name = 2;
  string tag = 3;
  string type = 4;
  double runs = 5;
  double ns = 6;
  double recursion_misses = 7;
  repeated Owner owners = 8;
}
message Owner {
  int32 pid = 1;
  string comm = 2;
}
`;

/** The message type of a whole member. Field names in camelCase, as in the contract types. */
export const MemberType: protobuf.Type = protobuf.parse(SCHEMA).root.lookupType("lowflame.capture.Member");
