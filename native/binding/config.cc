// From the configuration that JavaScript gives to the session's: see convert.h.
#include "convert.h"

namespace lowflame {
namespace {

std::vector<std::string> Strings(const Napi::Value& v) {
  std::vector<std::string> out;
  if (!v.IsArray()) return out;
  auto array = v.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) out.push_back(array.Get(i).ToString());
  return out;
}

template <class T>
std::vector<T> Numbers(const Napi::Value& v) {
  std::vector<T> out;
  if (!v.IsArray()) return out;
  auto array = v.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) out.push_back(static_cast<T>(array.Get(i).ToNumber().Int64Value()));
  return out;
}

}  // namespace

SessionConfig ConfigFromJs(const Napi::Object& js) {
  SessionConfig c;
  c.cpu = c.offcpu = c.locks = c.futex = c.sockets = false;
  for (const std::string& s : Strings(js.Get("sources"))) {
    c.cpu |= s == "cpu";
    c.offcpu |= s == "offcpu";
    c.locks |= s == "locks";
    c.futex |= s == "futex";
    c.sockets |= s == "sockets";
  }
  auto number = [&](const char* key, double otherwise) {
    Napi::Value v = js.Get(key);
    return v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : otherwise;
  };
  double hz = number("frequencyHz", 99);
  c.frequency_hz = hz >= 1 && hz <= 9999 ? static_cast<uint32_t>(hz) : 0;
  c.threshold_ns = static_cast<uint64_t>(number("offcpuThresholdNs", static_cast<double>(c.threshold_ns)));
  c.slow_call_ns = static_cast<uint64_t>(number("slowCallNs", 0));
  c.thread_slots = static_cast<uint32_t>(number("threadSlots", 0));
  c.ring_bytes = static_cast<uint32_t>(number("ringBytes", 0));
  c.table_rows = static_cast<uint32_t>(number("tableRows", 0));
  if (js.Get("unwind").IsBoolean()) c.unwind = js.Get("unwind").As<Napi::Boolean>();
  c.queue_samples = static_cast<size_t>(number("queueSamples", static_cast<double>(c.queue_samples)));
  c.unwind_bytes = static_cast<uint64_t>(number("unwindBytes", 0));
  c.without = Strings(js.Get("without"));
  if (js.Get("filters").IsObject()) {
    Napi::Object f = js.Get("filters").As<Napi::Object>();
    c.filters.pids = Numbers<uint32_t>(f.Get("pids"));
    c.filters.comms = Strings(f.Get("comms"));
    c.filters.cgroups = Strings(f.Get("cgroups"));
    c.filters.cpus = Numbers<int>(f.Get("cpus"));
  }
  return c;
}

}  // namespace lowflame
