// Totals of sockets to JavaScript: see src/capture/sockets.ts.
#include <algorithm>

#include "convert.h"
#include "values.h"

namespace lowflame {

void AddSocketTotals(Napi::Env env, const FinalFacts& f, Napi::Object* o) {
  (*o)["callTotals"] = ArrayOf(env, f.call_totals, [&](const CallTotal& t) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(t.process));
    row["syscall"] = Num(env, static_cast<double>(t.syscall));
    row["count"] = Num(env, t.count);
    row["bytes"] = Num(env, t.bytes);
    row["errors"] = Num(env, t.errors);
    row["busyNs"] = Num(env, t.busy_ns);
    row["blockedNs"] = Num(env, t.blocked_ns);
    row["waitingNs"] = Num(env, t.waiting_ns);
    row["maxNs"] = Num(env, t.max_ns);
    row["byError"] = ArrayOf(env, t.by_error, [&](const std::pair<const uint32_t, uint64_t>& e) {
      Napi::Object error = Napi::Object::New(env);
      error["errno"] = Num(env, static_cast<double>(e.first));
      error["count"] = Num(env, e.second);
      return error;
    });
    row["buckets"] = ArrayOf(env, t.buckets, [&](uint64_t b) { return Num(env, b); });
    row["busyBuckets"] = ArrayOf(env, t.busy_buckets, [&](uint64_t b) { return Num(env, b); });
    return row;
  });
  (*o)["endpointTotals"] = ArrayOf(env, f.endpoint_totals, [&](const EndpointTotal& t) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(t.process));
    row["endpoint"] = Num(env, static_cast<double>(t.endpoint));
    row["count"] = Num(env, t.count);
    row["bytesOut"] = Num(env, t.bytes_out);
    row["bytesIn"] = Num(env, t.bytes_in);
    row["errors"] = Num(env, t.errors);
    row["again"] = Num(env, t.again);
    row["busyNs"] = Num(env, t.busy_ns);
    row["blockedNs"] = Num(env, t.blocked_ns);
    row["waitingNs"] = Num(env, t.waiting_ns);
    row["maxNs"] = Num(env, t.max_ns);
    row["buckets"] = ArrayOf(env, t.buckets, [&](uint64_t b) { return Num(env, b); });
    row["turns"] = Num(env, t.turns);
    row["turnSumNs"] = Num(env, t.turn_ns);
    row["turnMaxNs"] = Num(env, t.turn_max_ns);
    row["turnBuckets"] = ArrayOf(env, t.turn_buckets, [&](uint64_t b) { return Num(env, b); });
    row["wholeSumNs"] = Num(env, t.whole_ns);
    row["wholeMaxNs"] = Num(env, t.whole_max_ns);
    row["wholeBuckets"] = ArrayOf(env, t.whole_buckets,
                                  [&](int64_t b) { return Num(env, static_cast<double>(std::max<int64_t>(b, 0))); });
    row["pauses"] = Num(env, t.pauses);
    row["lateReads"] = Num(env, t.late);
    row["lateSumNs"] = Num(env, t.late_ns);
    row["lateMaxNs"] = Num(env, t.late_max_ns);
    row["latePassedNs"] = Num(env, t.late_passed_ns);
    row["lateAwakeNs"] = Num(env, t.late_awake_ns);
    row["lateSleptNs"] = Num(env, t.late_slept_ns);
    row["unanswered"] = Num(env, t.unanswered);
    row["unansweredSumNs"] = Num(env, t.unanswered_ns);
    row["closed"] = Num(env, t.closed);
    row["closedSumNs"] = Num(env, t.closed_ns);
    row["closedMaxNs"] = Num(env, t.closed_max_ns);
    row["closedBuckets"] = ArrayOf(env, t.closed_buckets, [&](uint64_t b) { return Num(env, b); });
    row["queueMax"] = Num(env, static_cast<double>(t.queue_max));
    row["queueLimit"] = Num(env, static_cast<double>(t.queue_limit));
    return row;
  });
  (*o)["tcpTotals"] = ArrayOf(env, f.tcp_totals, [&](const TcpTotal& t) {
    Napi::Object row = Napi::Object::New(env);
    row["endpoint"] = Num(env, static_cast<double>(t.endpoint));
    row["connects"] = Num(env, t.connects);
    row["connectsFailed"] = Num(env, t.connects_failed);
    row["connectsUnanswered"] = Num(env, t.connects_unanswered);
    row["connectsFailedNs"] = Num(env, t.failed_ns);
    row["connectSumNs"] = Num(env, t.connect_ns);
    row["connectMaxNs"] = Num(env, t.connect_max_ns);
    row["connectBuckets"] = ArrayOf(env, t.buckets, [&](uint64_t b) { return Num(env, b); });
    row["accepted"] = Num(env, t.accepted);
    row["closes"] = Num(env, t.closes);
    row["resetsSent"] = Num(env, t.resets_sent);
    row["resetsReceived"] = Num(env, t.resets_received);
    row["retransmits"] = Num(env, t.retransmits);
    return row;
  });
  (*o)["connecting"] = ArrayOf(env, f.connecting, [&](const ConnectingRow& c) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(c.process));
    row["endpoint"] = Num(env, static_cast<double>(c.endpoint));
    row["count"] = Num(env, c.count);
    row["unanswered"] = Num(env, c.unanswered);
    row["sentAgain"] = Num(env, c.sent_again);
    row["maxNs"] = Num(env, c.max_ns);
    return row;
  });
  (*o)["closeWaits"] = ArrayOf(env, f.close_waits, [&](const CloseWaitRow& c) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(c.process));
    row["endpoint"] = Num(env, static_cast<double>(c.endpoint));
    row["count"] = Num(env, c.count);
    row["fd"] = Num(env, static_cast<double>(c.fd));
    return row;
  });
  (*o)["listenQueues"] = ArrayOf(env, f.listen_queues, [&](const ListenQueueRow& q) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(q.process));
    row["endpoint"] = Num(env, static_cast<double>(q.endpoint));
    row["length"] = Num(env, q.length);
    row["capacity"] = Num(env, q.capacity);
    return row;
  });
  if (f.tcp_counters) {
    Napi::Object counters = Napi::Object::New(env);
    counters["listenOverflows"] = Num(env, f.listen_overflows);
    counters["listenDrops"] = Num(env, f.listen_drops);
    counters["closeWaitAtEnd"] = Num(env, f.close_wait_at_end);
    counters["tickNs"] = Num(env, f.tick_ns);
    (*o)["tcpCounters"] = counters;
  }
  (*o)["descriptorTotals"] = ArrayOf(env, f.descriptor_totals, [&](const DescriptorTotal& t) {
    Napi::Object row = Napi::Object::New(env);
    row["process"] = Num(env, static_cast<double>(t.process));
    row["fd"] = Num(env, static_cast<double>(t.fd));
    row["endpoint"] = Num(env, static_cast<double>(t.endpoint));
    row["count"] = Num(env, t.count);
    row["again"] = Num(env, t.again);
    row["forNs"] = Num(env, t.for_ns);
    row["worstCount"] = Num(env, t.worst.count);
    row["worstAgain"] = Num(env, t.worst.again);
    row["worstNs"] = Num(env, t.worst.ns);
    return row;
  });
}

}  // namespace lowflame
