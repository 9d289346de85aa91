#!/bin/sh
# Runs every test and adds up: tests/run.sh TEST_PROGRAM... (make test builds them). Each test ends with a line
# "NAME: N passed, N failed, N skipped"; one that ends otherwise has failed. The last line is the sum.
cd "$(dirname "$0")/.." || exit 1
rm -rf build/test_output
mkdir -p build/test_output
. tests/shell.sh

# run NAME COMMAND...
run() {
  name=$1
  shift
  "$@" >build/test.log 2>&1
  code=$?
  cat build/test.log
  counts=$(sed -n 's/^.*: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' build/test.log | tail -n 1)
  if [ -z "$counts" ]; then
    fail "$name: ended with exit code $code and without its summary"
    return
  fi
  # shellcheck disable=SC2086
  set -- $counts
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  if [ "$code" -ne 0 ] && [ "$2" -eq 0 ]; then fail "$name: exit code $code"; fi
}

run check_sections tools/check_sections
run test_check_sections.sh sh tests/test_check_sections.sh
run test_builds.sh sh tests/test_builds.sh
run test_cli.sh sh tests/test_cli.sh
run test_messages.sh sh tests/test_messages.sh
for program in "$@"; do run "$program" "$program"; done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
