# shellcheck shell=sh
# What the tests written in shell share. Sourced in the repository root; ends with `finish NAME`.

passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAIL $*"; }
skip() { skipped=$((skipped + 1)); echo "skip $*"; }
# check NAME COMMAND...: passes if the command does
check() {
  check_name=$1
  shift
  if "$@"; then pass; else fail "$check_name"; fi
}
finish() {
  echo "$1: $passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
}
have() { command -v "$1" >/dev/null 2>&1; }
