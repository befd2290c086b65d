// The addon's front: class Session and probe(), typed in src/capture/binding.ts. State belongs to the Node environment;
// its clean-up closes every session, so that a worker that ends leaves no thread and nothing in the kernel.
#include <napi.h>

#include <memory>
#include <set>

#include "../core/error.h"
#include "../kernel/probe.h"
#include "../session/session.h"
#include "convert.h"
#include "synthetic.h"

namespace lowflame {
namespace {

class SessionWrap;

struct AddonState {
  std::set<SessionWrap*> sessions;
};

// Runs `body`, turning the addon's errors into JavaScript ones with a code: the one place where that happens.
template <class Body>
auto Guard(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Error& e) {
    throw JsError(env, e.code(), e.what());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw JsError(env, "ENOMEM", "out of memory");
  } catch (const std::exception& e) {
    throw JsError(env, "EINTERNAL", std::string("internal error: ") + e.what());
  }
}

class DeactivateWorker : public Napi::AsyncWorker {
 public:
  DeactivateWorker(Napi::Env env, std::shared_ptr<Session> session)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), session_(std::move(session)) {}
  Napi::Promise Promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      session_->Deactivate();
    } catch (const Error& e) {
      code_ = e.code();
      SetError(e.what());
    } catch (const std::exception& e) {
      code_ = "EINTERNAL";
      SetError(std::string("internal error: ") + e.what());
    }
  }
  void OnOK() override { deferred_.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(JsError(Env(), code_, error.Message()).Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Session> session_;
  std::string code_;
};

class SessionWrap : public Napi::ObjectWrap<SessionWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Session",
        {InstanceMethod("configure", &SessionWrap::Configure), InstanceMethod("load", &SessionWrap::Load),
         InstanceMethod("attach", &SessionWrap::Attach), InstanceMethod("activate", &SessionWrap::Activate),
         InstanceMethod("onWakeup", &SessionWrap::OnWakeup), InstanceMethod("take", &SessionWrap::Take),
         InstanceMethod("liveCounts", &SessionWrap::LiveCounts), InstanceMethod("deactivate", &SessionWrap::Deactivate),
         InstanceMethod("finish", &SessionWrap::Finish), InstanceMethod("close", &SessionWrap::Close)});
  }

  explicit SessionWrap(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<SessionWrap>(info), session_(std::make_shared<Session>()) {
    state_ = info.Env().GetInstanceData<AddonState>();
    state_->sessions.insert(this);
  }
  ~SessionWrap() override {
    Shut();
    if (state_) state_->sessions.erase(this);
  }
  // The environment goes: its state with it.
  void EnvironmentGone() {
    Shut();
    state_ = nullptr;
  }

 private:
  void Shut() {
    // joins the drain thread first, so that no wake-up comes after its function is released
    session_->Close();
    if (wakeup_) {
      wakeup_.Release();
      wakeup_ = Napi::ThreadSafeFunction();
    }
  }

  Napi::Value Configure(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] {
      if (!info[0].IsObject()) throw Error("EARGUMENT", "configure wants an object");
      session_->Configure(ConfigFromJs(info[0].As<Napi::Object>()));
      return info.Env().Undefined();
    });
  }
  Napi::Value Load(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] {
      session_->Load();
      return info.Env().Undefined();
    });
  }
  Napi::Value Attach(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] {
      session_->Attach();
      return info.Env().Undefined();
    });
  }
  Napi::Value Activate(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&]() -> Napi::Value { return ToJs(info.Env(), session_->Activate()); });
  }
  Napi::Value OnWakeup(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] {
      if (!info[0].IsFunction()) throw Error("EARGUMENT", "onWakeup wants a function");
      if (wakeup_) throw Error("EARGUMENT", "onWakeup was called before");
      // one place in the queue is enough: a wake-up carries no data
      wakeup_ = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "lowflame wake-up", 1, 1);
      Napi::ThreadSafeFunction wakeup = wakeup_;
      session_->SetWakeup([wakeup]() mutable { wakeup.NonBlockingCall(); });
      return info.Env().Undefined();
    });
  }
  Napi::Value Take(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&]() -> Napi::Value {
      Batch batch;
      if (!session_->Take(&batch)) return info.Env().Null();
      return ToJs(info.Env(), batch);
    });
  }
  Napi::Value LiveCounts(const Napi::CallbackInfo& info) {
    auto counts = session_->Live();
    Napi::Object o = Napi::Object::New(info.Env());
    o["samples"] = Napi::Number::New(info.Env(), static_cast<double>(counts.samples));
    o["stacks"] = Napi::Number::New(info.Env(), static_cast<double>(counts.stacks));
    o["lost"] = Napi::Number::New(info.Env(), static_cast<double>(counts.lost));
    return o;
  }
  Napi::Value Deactivate(const Napi::CallbackInfo& info) {
    auto* worker = new DeactivateWorker(info.Env(), session_);
    Napi::Promise promise = worker->Promise();
    worker->Queue();
    return promise;
  }
  Napi::Value Finish(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&]() -> Napi::Value { return ToJs(info.Env(), session_->Finish()); });
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    Shut();
    return info.Env().Undefined();
  }

  AddonState* state_ = nullptr;
  std::shared_ptr<Session> session_;
  Napi::ThreadSafeFunction wakeup_;
};

Napi::Value Probe(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return Guard(env, [&]() -> Napi::Value {
    std::vector<ProbeRow> rows = ProbeKernel();
    Napi::Array array = Napi::Array::New(env, rows.size());
    for (uint32_t i = 0; i < rows.size(); i++) {
      Napi::Object o = Napi::Object::New(env);
      o["id"] = rows[i].id;
      o["title"] = rows[i].title;
      o["status"] = rows[i].status;
      o["found"] = rows[i].found;
      o["remedy"] = rows[i].remedy;
      Napi::Array needed = Napi::Array::New(env);
      uint32_t n = 0;
      for (const std::string& s : rows[i].needed_by) needed.Set(n++, s);
      o["neededBy"] = needed;
      array.Set(i, o);
    }
    return array;
  });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* state = new AddonState();
  env.SetInstanceData<AddonState>(state);
  env.AddCleanupHook([state] {
    for (SessionWrap* s : std::set<SessionWrap*>(state->sessions)) s->EnvironmentGone();
    state->sessions.clear();
  });
  exports["Session"] = SessionWrap::Define(env);
  exports["makeSyntheticSource"] = Napi::Function::New(env, MakeSyntheticSource, "makeSyntheticSource");
  exports["probe"] = Napi::Function::New(env, Probe, "probe");
  return exports;
}

}  // namespace
}  // namespace lowflame

Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return lowflame::Init(env, exports);
}
NODE_API_MODULE(lowflame, InitAddon)
