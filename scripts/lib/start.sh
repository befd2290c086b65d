# First lines of quickstart and test: the checkout, the libraries, a folder for logs. Sourced, not run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$ROOT"
# sudo's PATH may lack sbin, where bpftool and nginx are
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false

. scripts/lib/steps.sh
. scripts/lib/machine.sh
. scripts/lib/packages.sh
. scripts/lib/node.sh
. scripts/lib/build.sh

# What root makes in the checkout, and gives back to its owner
MADE=(node_modules build dist .tools .cache lowflame-report.html)
LOGS=$ROOT/build/logs
INSTALL_LOG=$LOGS/apt.log

# Called however the script ends; a script may define `on_end`, which then has the last word.
at_exit() {
  local status=$?
  # what goes wrong from here on must not keep the last word from being said
  set +e
  remove_policy
  give_back "${MADE[@]}"
  if declare -F on_end >/dev/null; then on_end "$status"; fi
}
trap at_exit EXIT
trap 'fail "interrupted"' INT TERM HUP
