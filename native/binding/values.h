// Numbers and lists of rows as JavaScript values.
#pragma once

#include <napi.h>

#include <cstdint>

namespace lowflame {

inline Napi::Number Num(Napi::Env env, double v) {
  return Napi::Number::New(env, v);
}
inline Napi::Number Num(Napi::Env env, uint64_t v) {
  return Napi::Number::New(env, static_cast<double>(v));
}

template <class Rows, class Make>
Napi::Array ArrayOf(Napi::Env env, const Rows& rows, Make make) {
  Napi::Array array = Napi::Array::New(env, rows.size());
  uint32_t i = 0;
  for (const auto& row : rows) array.Set(i++, make(row));
  return array;
}

}  // namespace lowflame
