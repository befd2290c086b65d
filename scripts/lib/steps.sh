# How the scripts speak: numbered steps with the time since the start, and one clear sentence before giving up.
# Sourced, not run.

STEP_NUMBER=0

# say TEXT…: one line of explanation under the current step.
say() { printf '      %s\n' "$*"; }

# step TEXT…: begins a step; SECONDS is bash's own clock, zero when the script started.
step() {
  STEP_NUMBER=$((STEP_NUMBER + 1))
  printf '\n%3d s  %d. %s\n' "$SECONDS" "$STEP_NUMBER" "$*"
}

# fail TEXT…: says what is wrong and what to do, and ends the script.
fail() {
  printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# run COMMAND…: runs it without standard input, so that nothing can wait for an answer.
run() { "$@" </dev/null; }
