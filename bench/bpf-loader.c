// Switches the kernel's BPF run-time statistics on for as long as it lives (by descriptor, so that a killed bench
// leaves nothing switched on), and with an object file attaches all tp_btf programs of it whose tracepoint this kernel
// has. Prints {"event":"ready","attached":[...]} and waits for a signal.
//
// With --quiet the statistics stay as they are.
//
//   bpf-loader [--quiet] [OBJECT]
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int kernel_has_tracepoint(const struct btf* kernel, const struct bpf_program* program) {
  char type[128];
  snprintf(type, sizeof type, "btf_trace_%s", strchr(bpf_program__section_name(program), '/') + 1);
  return btf__find_by_name_kind(kernel, type, BTF_KIND_TYPEDEF) > 0;
}

int main(int argc, char** argv) {
  int quiet = argc > 1 && !strcmp(argv[1], "--quiet");
  argc -= quiet;
  argv += quiet;
  if (!quiet && bpf_enable_stats(BPF_STATS_RUN_TIME) < 0) {
    perror("bpf_enable_stats (wants root)");
    return 1;
  }
  printf("{\"event\":\"ready\",\"attached\":[");
  if (argc > 1) {
    struct btf* kernel = btf__load_vmlinux_btf();
    struct bpf_object* object = bpf_object__open_file(argv[1], NULL);
    if (!kernel || !object) {
      fprintf(stderr, "cannot open %s, or this kernel has no BTF\n", argv[1]);
      return 1;
    }
    struct bpf_program* program;
    bpf_object__for_each_program(program, object)
        bpf_program__set_autoload(program, kernel_has_tracepoint(kernel, program));
    if (bpf_object__load(object)) return 1;
    const char* comma = "";
    bpf_object__for_each_program(program, object) {
      if (!bpf_program__autoload(program)) continue;
      if (!bpf_program__attach(program)) {
        fprintf(stderr, "cannot attach %s\n", bpf_program__name(program));
        return 1;
      }
      printf("%s\"%s\"", comma, bpf_program__name(program));
      comma = ",";
    }
  }
  printf("]}\n");
  fflush(stdout);
  pause();
  return 0;
}
