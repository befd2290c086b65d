// From the addon's structs to JavaScript values of the shapes in src/capture/binding.ts, and back for the
// configuration.
#pragma once

#include <napi.h>

#include "../session/session.h"

namespace lowflame {

SessionConfig ConfigFromJs(const Napi::Object& js);
Napi::Object ToJs(Napi::Env env, const StartFacts& facts);
Napi::Object ToJs(Napi::Env env, const FinalFacts& facts);
Napi::Object ToJs(Napi::Env env, Batch& batch);
// The totals of sockets among the final facts, as fields of `o`.
void AddSocketTotals(Napi::Env env, const FinalFacts& facts, Napi::Object* o);
// `userStacks`, where they were walked by unwind tables.
void AddUserStacks(Napi::Env env, const FinalFacts& facts, Napi::Object* to);

// Throws a JavaScript Error with the property `code`.
Napi::Error JsError(Napi::Env env, const std::string& code, const std::string& message);

}  // namespace lowflame
