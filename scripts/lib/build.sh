# npm packages and the build. Sourced after node.sh; wants ROOT as the working directory.

# install_npm_packages: `npm ci`, only when the lock file is newer than what is installed.
install_npm_packages() {
  if [[ -f node_modules/.package-lock.json && ! package-lock.json -nt node_modules/.package-lock.json ]]; then
    say "node_modules is up to date"
    return
  fi
  run timeout --foreground 600 npm ci || fail "npm ci failed or took over 10 minutes (see above). Is there a network?"
}

# build_all: addon, BPF objects, page, dist/, and the `lowflame` that npx finds. Status of the build.
build_all() {
  local log=$LOGS/build.log
  if run timeout --foreground 600 npm run build >"$log" 2>&1; then
    say "built: native addon and BPF objects (-Wall -Wextra -Werror), page, dist/"
  else
    tail -n 60 "$log" >&2
    return 1
  fi
}
