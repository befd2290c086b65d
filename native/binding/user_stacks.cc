// What the walks up user stacks took, for JavaScript: UserStackFacts in src/capture/user-stacks.ts.
#include "convert.h"

namespace lowflame {

void AddUserStacks(Napi::Env env, const FinalFacts& f, Napi::Object* to) {
  if (!f.unwinding) return;
  auto number = [&](auto value) { return Napi::Number::New(env, static_cast<double>(value)); };
  Napi::Object o = Napi::Object::New(env);
  o["processes"] = number(f.unwinding->processes);
  o["tables"] = number(f.unwinding->tables);
  o["tableBytes"] = number(f.unwinding->table_bytes);
  o["buildNs"] = number(f.unwinding->build_ns);
  o["rereads"] = number(f.unwinding->rereads);
  o["filesWithout"] = number(f.unwinding->files_without);
  o["filesUnreadable"] = number(f.unwinding->files_unreadable);
  o["rowsLeftOut"] = number(f.unwinding->rows_left_out);
  (*to)["userStacks"] = o;
}

}  // namespace lowflame
