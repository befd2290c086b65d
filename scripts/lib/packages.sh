# Debian packages: which are needed, which are missing, and their installation without starting any service.
# Sourced after steps.sh.

# One line a need: what must exist (a command, or a path with wildcards), then the packages that bring it, first choice
# first. A need that is met by hand (another LLVM, an own nginx) installs nothing.
BUILD_NEEDS='
git                                      git
/etc/ssl/certs/ca-certificates.crt       ca-certificates
g++                                      g++
cmake                                    cmake
ninja                                    ninja-build
pkg-config                               pkg-config pkgconf
clang                                    clang
bpftool                                  bpftool
/usr/include/bpf/libbpf.h                libbpf-dev
/usr/include/gelf.h                      libelf-dev
/usr/include/elfutils/libdw.h            libdw-dev
/usr/include/zlib.h                      zlib1g-dev
/usr/include/tsl/robin_map.h             robin-map-dev
/usr/include/lzma.h                      liblzma-dev
/usr/lib/llvm-*/lib/libLLVMDemangle.a    llvm-14-dev llvm-dev
'
TEST_NEEDS='
make                                     make
objdump                                  binutils
clang-format-14                          clang-format-14
/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a libclang-rt-14-dev libclang-rt-dev
nginx                                    nginx-light nginx
haproxy                                  haproxy
redis-server                             redis-server
redis-cli                                redis-tools
wrk                                      wrk
perf                                     linux-perf
bpftrace                                 bpftrace
/usr/bin/chromium                        chromium
/usr/share/fonts/*/dejavu/DejaVuSans.ttf fonts-dejavu-core
qemu-system-x86_64                       qemu-system-x86
busybox                                  busybox-static
zstd                                     zstd
lz4                                      lz4
xz                                       xz-utils
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
'
# Services that Debian enables as soon as their package is there; the tests start servers of their own instead.
SERVICES='nginx haproxy redis-server'

is_there() {
  if [[ $1 == /* ]]; then
    compgen -G "$1" >/dev/null
  else
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null
  fi
}

# missing_needs NEEDS: lines of NEEDS that are not met.
missing_needs() {
  local need packages
  while read -r need packages; do
    if [[ -n $need ]] && ! is_there "$need"; then echo "$need $packages"; fi
  done <<<"$1"
}

# Whether this run has asked the mirrors already: once is enough.
LISTS_FRESH=

# install_needs NEEDS: installs what is missing; touches nothing, not even apt's lists, when nothing is.
install_needs() {
  local missing need packages names=()
  missing=$(missing_needs "$1")
  if [[ -z $missing ]]; then
    say "nothing is missing"
    return
  fi
  say "missing: $(cut -d' ' -f1 <<<"$missing" | tr '\n' ' ')"
  local apt=(apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
  if [[ -z $LISTS_FRESH ]]; then
    say "apt-get update"
    run "${apt[@]}" -q update >/dev/null || say "apt-get update had errors (above); trying with the lists that are here"
    LISTS_FRESH=yes
  fi
  while read -r need packages; do
    # shellcheck disable=SC2086 # a list of names
    names+=("$(first_available $packages)") ||
      fail "apt knows no package for $need (tried: $packages). Is there a network, and are Debian's sources in /etc/apt?"
  done <<<"$missing"
  say "apt-get install ${names[*]}"
  install_without_services "${apt[@]}" -y --no-install-recommends install "${names[@]}"
  missing=$(missing_needs "$1")
  [[ -z $missing ]] || fail "still missing after the installation: $(cut -d' ' -f1 <<<"$missing" | tr '\n' ' ')"
}

# first_available PACKAGE…: the first of the packages that apt could install.
first_available() {
  local package policy
  for package in "$@"; do
    # not piped into grep -q: that ends at the first match, and apt-cache, cut off, would count as failed
    policy=$(apt-cache policy "$package" 2>/dev/null) || continue
    if [[ $policy =~ Candidate:\ [^\(] ]]; then
      echo "$package"
      return
    fi
  done
  return 1
}

POLICY=/usr/sbin/policy-rc.d

# install_without_services COMMAND…: policy-rc.d answers 101 ("forbidden") meanwhile, so that packages start nothing.
# A policy that is already there is the administrator's and stays.
install_without_services() {
  local before service
  before=$(enabled_services)
  if [[ ! -e $POLICY && ! -L $POLICY ]]; then
    printf '#!/bin/sh\n# of lowflame, for the time of one installation\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
  else
    say "$POLICY exists and is left alone: it decides whether new services start"
  fi
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l run "$@" >"$INSTALL_LOG" 2>&1 || {
    tail -n 15 "$INSTALL_LOG" >&2
    fail "apt-get could not install them (see above). Is there a network?"
  }
  remove_policy
  for service in $(enabled_services); do
    if [[ " $before " != *" $service "* ]]; then keep_off "$service"; fi
  done
}

# keep_off SERVICE: one that came just now, and that nobody asked for, neither runs nor starts at the next boot.
keep_off() {
  say "$1 is new here: it shall not start at boot"
  run systemctl --quiet disable "$1" >>"$INSTALL_LOG" 2>&1 || say "systemctl disable $1 failed, see $INSTALL_LOG"
  # a policy of the administrator may have let it start; in a container there may be no systemd to ask
  if systemctl is-active --quiet "$1" 2>/dev/null; then
    say "$1 runs: stopping it"
    run systemctl stop "$1" || say "systemctl stop $1 failed (see above)"
  fi
}

enabled_services() {
  local service
  command -v systemctl >/dev/null || return 0
  for service in $SERVICES; do
    if systemctl is-enabled --quiet "$service" 2>/dev/null; then printf '%s ' "$service"; fi
  done
}

# remove_policy: also called when a script ends early.
remove_policy() {
  if grep -qs 'of lowflame' "$POLICY"; then rm -f "$POLICY"; fi
}
