// Conversions: see convert.h.
#include "convert.h"

#include <cstring>

#include "values.h"

namespace lowflame {
namespace {

// Copies into a buffer that JavaScript owns: external buffers would return only on garbage collection.
template <class JsArray, class T>
JsArray Column(Napi::Env env, const std::vector<T>& v) {
  JsArray array = JsArray::New(env, v.size());
  if (!v.empty()) memcpy(array.Data(), v.data(), v.size() * sizeof(T));
  return array;
}

Napi::Object SamplesToJs(Napi::Env env, const char* source, const Samples& s) {
  Napi::Object o = Napi::Object::New(env);
  o["source"] = Napi::String::New(env, source);
  o["count"] = Napi::Number::New(env, static_cast<double>(s.size()));
  o["timeNs"] = Column<Napi::Float64Array>(env, s.time_ns);
  o["cpu"] = Column<Napi::Uint32Array>(env, s.cpu);
  o["thread"] = Column<Napi::Uint32Array>(env, s.thread);
  o["stack"] = Column<Napi::Uint32Array>(env, s.stack);
  o["weightNs"] = Column<Napi::Float64Array>(env, s.weight_ns);
  o["durationNs"] = Column<Napi::Float64Array>(env, s.duration_ns);
  o["state"] = Column<Napi::Uint8Array>(env, s.state);
  o["syscall"] = Column<Napi::Int32Array>(env, s.syscall);
  o["flags"] = Column<Napi::Uint32Array>(env, s.flags);
  if (!s.lock.empty()) o["lock"] = Column<Napi::Uint32Array>(env, s.lock);
  return o;
}

// Kernel and ELF strings may hold any bytes: what is not UTF-8 becomes U+FFFD, since Node-API takes what it is given.
Napi::String Text(Napi::Env env, const std::string& raw) {
  std::string out;
  out.reserve(raw.size());
  const auto* s = reinterpret_cast<const unsigned char*>(raw.data());
  size_t n = raw.size();
  for (size_t i = 0; i < n;) {
    unsigned char c = s[i];
    size_t length = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    bool good = length && i + length <= n;
    for (size_t k = 1; good && k < length; k++) good = (s[i + k] & 0xc0) == 0x80;
    if (good && length == 3) good = !(c == 0xe0 && s[i + 1] < 0xa0) && !(c == 0xed && s[i + 1] >= 0xa0);
    if (good && length == 4) good = !(c == 0xf0 && s[i + 1] < 0x90) && !(c == 0xf4 && s[i + 1] >= 0x90);
    if (good) {
      out.append(raw, i, length);
      i += length;
    } else {
      out += "\xef\xbf\xbd";
      i++;
    }
  }
  return Napi::String::New(env, out);
}

Napi::Value CpuTimesToJs(Napi::Env env, const std::vector<CpuTimes>& rows) {
  return ArrayOf(env, rows, [&](const CpuTimes& t) {
    Napi::Object o = Napi::Object::New(env);
    o["cpu"] = Num(env, static_cast<double>(t.cpu));
    o["user"] = Num(env, t.user);
    o["nice"] = Num(env, t.nice);
    o["system"] = Num(env, t.system);
    o["idle"] = Num(env, t.idle);
    o["iowait"] = Num(env, t.iowait);
    o["irq"] = Num(env, t.irq);
    o["softirq"] = Num(env, t.softirq);
    o["steal"] = Num(env, t.steal);
    return o;
  });
}

}  // namespace

Napi::Error JsError(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Napi::Object ToJs(Napi::Env env, const StartFacts& facts) {
  Napi::Object o = Napi::Object::New(env);
  o["startMonotonicNs"] = Napi::BigInt::New(env, facts.start_monotonic_ns);
  o["startWallNs"] = Napi::BigInt::New(env, facts.start_wall_ns);
  o["cpuEvent"] = Napi::String::New(env, facts.cpu_event);
  o["onlineCpus"] = ArrayOf(env, facts.online_cpus, [&](int c) { return Num(env, static_cast<double>(c)); });
  o["programs"] = ArrayOf(env, facts.programs, [&](const ProgramInfo& p) {
    Napi::Object row = Napi::Object::New(env);
    row["name"] = Text(env, p.name);
    row["tag"] = Text(env, p.tag);
    row["id"] = Num(env, static_cast<double>(p.id));
    row["type"] = Text(env, p.type);
    row["attachedTo"] = Text(env, p.attached_to);
    return row;
  });
  o["maps"] = ArrayOf(env, facts.maps, [&](const MapInfo& m) {
    Napi::Object row = Napi::Object::New(env);
    row["name"] = Text(env, m.name);
    row["type"] = Text(env, m.type);
    row["bytes"] = Num(env, m.bytes);
    row["written"] = Napi::Boolean::New(env, m.written);
    return row;
  });
  o["notes"] = ArrayOf(env, facts.notes, [&](const std::string& s) { return Text(env, s); });
  return o;
}

Napi::Object ToJs(Napi::Env env, const FinalFacts& f) {
  Napi::Object o = Napi::Object::New(env);
  o["endMonotonicNs"] = Napi::BigInt::New(env, f.end_monotonic_ns);
  o["losses"] = ArrayOf(env, f.losses, [&](const Loss& l) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Text(env, l.id);
    row["count"] = Num(env, l.count);
    row["meaning"] = Text(env, l.meaning);
    return row;
  });
  Napi::Object cost = Napi::Object::New(env);
  cost["programs"] = ArrayOf(env, f.program_costs, [&](const Object::Cost& c) {
    Napi::Object row = Napi::Object::New(env);
    row["name"] = Text(env, c.name);
    row["runs"] = Num(env, c.runs);
    row["ns"] = Num(env, c.ns);
    return row;
  });
  cost["agentUserNs"] = Num(env, f.agent_user_ns);
  cost["agentSystemNs"] = Num(env, f.agent_system_ns);
  cost["peakRssBytes"] = Num(env, f.peak_rss_bytes);
  cost["kernelMemoryBytes"] = Num(env, f.kernel_bytes);
  cost["statisticsOn"] = Napi::Boolean::New(env, f.statistics_on);
  o["cost"] = cost;
  o["cpuTimesStart"] = CpuTimesToJs(env, f.cpu_times_start);
  o["cpuTimesEnd"] = CpuTimesToJs(env, f.cpu_times_end);
  o["samplesPerCpu"] = ArrayOf(env, f.samples_per_cpu, [&](const CpuCount& c) {
    Napi::Object row = Napi::Object::New(env);
    row["cpu"] = Num(env, static_cast<double>(c.cpu));
    row["expected"] = Num(env, static_cast<double>(static_cast<uint64_t>(c.expected + 0.5)));
    row["received"] = Num(env, c.received);
    row["idle"] = Num(env, c.idle);
    return row;
  });
  o["offcpuTotals"] = ArrayOf(env, f.offcpu_totals, [&](const TotalRow& t) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(t.process));
    row["state"] = Num(env, static_cast<double>(t.state));
    row["count"] = Num(env, t.count);
    row["sumNs"] = Num(env, t.sum_ns);
    row["maxNs"] = Num(env, t.max_ns);
    return row;
  });
  o["runQueue"] = ArrayOf(env, f.run_queue, [&](const RunQueueRow& q) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(q.process));
    row["count"] = Num(env, q.count);
    row["sumNs"] = Num(env, q.sum_ns);
    row["maxNs"] = Num(env, q.max_ns);
    row["buckets"] = ArrayOf(env, q.buckets, [&](uint32_t b) { return Num(env, static_cast<double>(b)); });
    return row;
  });
  o["lockTotals"] = ArrayOf(env, f.lock_totals, [&](const LockTotal& t) {
    Napi::Object row = Napi::Object::New(env);
    row["lock"] = Num(env, static_cast<double>(t.lock));
    row["process"] = Num(env, static_cast<double>(t.process));
    row["count"] = Num(env, t.count);
    row["sumNs"] = Num(env, t.sum_ns);
    row["maxNs"] = Num(env, t.max_ns);
    row["timeouts"] = Num(env, t.timeouts);
    row["buckets"] = ArrayOf(env, t.buckets, [&](uint64_t b) { return Num(env, b); });
    return row;
  });
  AddSocketTotals(env, f, &o);
  o["otherPrograms"] = ArrayOf(env, f.other_programs, [&](const OtherProgram& p) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(p.program.id));
    row["name"] = Text(env, p.program.name);
    row["tag"] = Text(env, p.program.tag);
    row["type"] = Text(env, p.program.type);
    row["runs"] = Num(env, p.program.runs);
    row["ns"] = Num(env, p.program.ns);
    row["recursionMisses"] = Num(env, p.program.recursion_misses);
    row["owners"] = ArrayOf(env, p.owners, [&](const ProgramOwner& owner) {
      Napi::Object who = Napi::Object::New(env);
      who["pid"] = Num(env, static_cast<double>(owner.pid));
      who["comm"] = Text(env, owner.comm);
      return who;
    });
    return row;
  });
  o["offcpuThresholdMaxNs"] = Num(env, f.threshold_max_ns);
  AddUserStacks(env, f, &o);
  Napi::Object names = Napi::Object::New(env);
  names["found"] = Num(env, f.names.names_found);
  names["missing"] = Num(env, f.names.names_missing);
  names["files"] = Num(env, f.names.files_opened);
  names["cacheBytes"] = Num(env, f.names.cache_bytes);
  o["names"] = names;
  return o;
}

Napi::Object ToJs(Napi::Env env, Batch& batch) {
  const Tables& t = batch.tables;
  Napi::Object tables = Napi::Object::New(env);
  tables["processes"] = ArrayOf(env, t.processes, [&](const ProcessRow& p) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(p.id));
    row["pid"] = Num(env, static_cast<double>(p.pid));
    row["startTimeNs"] = Napi::BigInt::New(env, p.start_time_ns);
    row["comm"] = Text(env, p.comm);
    row["kernelThread"] = Napi::Boolean::New(env, p.kernel_thread);
    row["self"] = Napi::Boolean::New(env, p.self);
    return row;
  });
  tables["threads"] = ArrayOf(env, t.threads, [&](const ThreadRow& p) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(p.id));
    row["tid"] = Num(env, static_cast<double>(p.tid));
    row["process"] = Num(env, static_cast<double>(p.process));
    row["comm"] = Text(env, p.comm);
    return row;
  });
  tables["modules"] = ArrayOf(env, t.modules, [&](const ModuleRow& m) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(m.id));
    row["path"] = Text(env, m.path);
    row["buildId"] = Text(env, m.build_id);
    return row;
  });
  Napi::Object frames = Napi::Object::New(env);
  frames["firstId"] = Num(env, static_cast<double>(t.first_frame));
  frames["count"] = Num(env, static_cast<double>(t.frame_module.size()));
  frames["module"] = Column<Napi::Uint32Array>(env, t.frame_module);
  frames["offset"] = Column<Napi::BigUint64Array>(env, t.frame_offset);
  frames["kind"] = Column<Napi::Uint8Array>(env, t.frame_kind);
  tables["frames"] = frames;
  Napi::Object stacks = Napi::Object::New(env);
  stacks["firstId"] = Num(env, static_cast<double>(t.first_node));
  stacks["count"] = Num(env, static_cast<double>(t.node_parent.size()));
  stacks["parent"] = Column<Napi::Uint32Array>(env, t.node_parent);
  stacks["frame"] = Column<Napi::Uint32Array>(env, t.node_frame);
  tables["stacks"] = stacks;
  tables["names"] = ArrayOf(env, t.names, [&](const NameRow& n) {
    Napi::Object row = Napi::Object::New(env);
    row["frame"] = Num(env, static_cast<double>(n.frame));
    row["name"] = Text(env, n.name);
    return row;
  });
  tables["sources"] = ArrayOf(env, t.sources, [&](const SourceRow& s) {
    Napi::Object row = Napi::Object::New(env);
    row["frame"] = Num(env, static_cast<double>(s.frame));
    row["places"] = ArrayOf(env, s.places, [&](const SourcePlace& p) {
      Napi::Object place = Napi::Object::New(env);
      place["function"] = Text(env, p.function);
      place["file"] = Text(env, p.file);
      place["line"] = Num(env, static_cast<double>(p.line));
      return place;
    });
    return row;
  });
  tables["endpoints"] = ArrayOf(env, t.endpoints, [&](const EndpointRow& e) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(e.id));
    row["role"] = Num(env, static_cast<double>(e.role));
    row["family"] = Num(env, static_cast<double>(e.family));
    row["protocol"] = Num(env, static_cast<double>(e.protocol));
    row["address"] = Text(env, e.address);
    row["port"] = Num(env, static_cast<double>(e.port));
    row["network"] = Num(env, static_cast<double>(e.network));
    return row;
  });
  tables["socketCounts"] = ArrayOf(env, t.socket_counts, [&](const SocketCountRow& c) {
    Napi::Object row = Napi::Object::New(env);
    row["timeNs"] = Num(env, c.time_ns);
    row["process"] = Num(env, static_cast<double>(c.process));
    row["opened"] = Num(env, c.opened);
    row["closed"] = Num(env, c.closed);
    row["descriptors"] = Num(env, c.descriptors);
    return row;
  });
  tables["calls"] = ArrayOf(env, t.calls, [&](const CallRow& c) {
    Napi::Object row = Napi::Object::New(env);
    row["timeNs"] = Num(env, c.time_ns);
    row["thread"] = Num(env, static_cast<double>(c.thread));
    row["syscall"] = Num(env, static_cast<double>(c.syscall));
    row["fd"] = Num(env, static_cast<double>(static_cast<int32_t>(c.fd)));
    row["endpoint"] = Num(env, static_cast<double>(c.endpoint));
    row["result"] = Num(env, c.result);
    row["durationNs"] = Num(env, c.duration_ns);
    row["busyNs"] = Num(env, c.busy_ns);
    row["blockedNs"] = Num(env, c.blocked_ns);
    row["waitingNs"] = Num(env, c.waiting_ns);
    row["stack"] = Num(env, static_cast<double>(c.stack));
    row["flags"] = Num(env, static_cast<double>(c.flags));
    return row;
  });
  tables["locks"] = ArrayOf(env, t.locks, [&](const LockRow& l) {
    Napi::Object row = Napi::Object::New(env);
    row["id"] = Num(env, static_cast<double>(l.id));
    row["kind"] = Num(env, static_cast<double>(l.kind));
    row["address"] = Napi::BigInt::New(env, l.address);
    row["name"] = Text(env, l.name);
    return row;
  });
  Napi::Object o = Napi::Object::New(env);
  o["tables"] = tables;
  Napi::Array samples = Napi::Array::New(env);
  uint32_t i = 0;
  // as in SampleSource of src/capture/binding.ts
  static constexpr const char* kNames[kSources] = {"cpu", "offcpu", "locks", "lock-owners", "futex", "futex-owners"};
  for (size_t source = 0; source < kSources; source++)
    if (batch.samples[source].size()) samples.Set(i++, SamplesToJs(env, kNames[source], batch.samples[source]));
  o["samples"] = samples;
  return o;
}

}  // namespace lowflame
