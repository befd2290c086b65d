// A program whose addresses have known names: prints them as JSON, then waits until its stdin ends.
//
//   named [--jit] [--memfd]
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, used))

extern "C" {
KEEP int exported_function(int x) {
  return x * 3 + 1;
}
KEEP int plain_name(int x);
KEEP int __lf_inner_name(int x) {
  return x * 5 + 2;
}
// two names of one function, of which the one with fewer underscores is meant for people
int plain_name(int x) __attribute__((alias("__lf_inner_name")));

static int by_ifunc_implementation(int x) {
  return x * 7 + 3;
}
static int (*pick_implementation())(int) {
  return by_ifunc_implementation;
}
int by_ifunc(int x) __attribute__((ifunc("pick_implementation")));
}

// written by hand: no type, no size
__asm__(".text\n.globl asm_without_size\nasm_without_size:\n nop\n nop\n nop\n ret\n.skip 64, 0x90\n");
extern "C" int asm_without_size();

namespace proxy {
template <class T>
struct Upstream {
  KEEP int connect(T x) { return static_cast<int>(x) * 11 + 4; }
};
}  // namespace proxy
static KEEP int local_function(int x) {
  return x * 13 + 5;
}

static void print(const char* name, const volatile void* address, bool more = true) {
  printf("\"%s\":\"%lx\"%s", name, (unsigned long)address, more ? "," : "}\n");
}

int main(int argc, char** argv) {
  void* vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
  printf("{");
  for (int i = 1; i < argc; i++) {
    int fd = !strcmp(argv[i], "--memfd") ? memfd_create("code", 0) : -1;
    if (fd >= 0 && ftruncate(fd, 8192)) return 1;
    void* code = mmap(nullptr, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    print(argv[i], code);
  }
  auto connect = &proxy::Upstream<int>::connect;
  void* connect_address;
  memcpy(&connect_address, &connect, sizeof(void*));
  print("exported", (void*)exported_function);
  print("aliased", (void*)__lf_inner_name);
  print("ifunc", (void*)by_ifunc_implementation);
  print("unsized", (void*)asm_without_size);
  print("member", connect_address);
  print("local", (void*)local_function);
  print("vdso", vdso ? dlsym(vdso, "__vdso_clock_gettime") : nullptr);
  print("heap", "not code", false);
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return exported_function(1) + local_function(2) + by_ifunc(3) + proxy::Upstream<int>().connect(4) == 0;
}
