#!/bin/sh
# The header compiles without a warning as C and C++ wherever a compiler is, and the quick start works in a folder that holds
# the header alone.
# shellcheck disable=SC2086
cd "$(dirname "$0")/.." || exit 1
. tests/shell.sh
temp=build/test_output/builds
rm -rf "$temp"
mkdir -p "$temp"
strict="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
printf '#define FACEMORPH_IMPLEMENTATION\n#include "facemorph.h"\n' >"$temp/impl.c"
printf '#include "facemorph.h"\nextern int unit;\nint unit = FM_PICTURE_VERSION;\n' >"$temp/api.c"
cp "$temp/api.c" "$temp/api.cc"

# strict COMPILER STANDARD SOURCE...: without a warning (the implementation is compiled below, with the quick start)
strict() {
  compiler=$1 standard=$2
  shift 2
  if ! have "${compiler%% *}"; then
    skip "$compiler -std=$standard: not installed"
    return
  fi
  for source in "$@"; do
    if $compiler -std="$standard" $strict -O1 -I. -c "$source" -o "$temp/strict.o" >"$temp/log" 2>&1; then pass
    else fail "$compiler -std=$standard $source: $(grep -E 'error|warning' "$temp/log" | head -n 1)"; fi
  done
}

for compiler in gcc clang; do
  strict $compiler c99 "$temp/api.c" $(find examples -name "*.c" ! -name "*_impl.c")
done
for compiler in g++ clang++; do
  strict $compiler c++11 "$temp/api.cc"
done
for switch in STATIC NO_STDIO NO_THREADS NO_SIMD NO_FBX NO_OBJ NO_PNG NO_JPEG NO_RENDER NO_WRITERS NO_SESSION; do
  if ${CC:-cc} -std=c99 $strict -DFACEMORPH_$switch -I. -fsyntax-only "$temp/impl.c" >"$temp/log" 2>&1; then pass
  else fail "-DFACEMORPH_$switch: $(grep -E 'error|warning' "$temp/log" | head -n 1)"; fi
done

# ---- quick start, word by word as in the header and the README

quick=$temp/quick_start
mkdir -p "$quick"
cp facemorph.h "$quick/"
cat >"$quick/main.c" <<'PROGRAM'
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"
#include <stdio.h>

int main(void) {
  fm_session_desc desc = {0};
  fm_error err;
  desc.path_a = "a.fbx";
  desc.path_b = "b.fbx";
  desc.out_dir = "results";
  if (!fm_run(&desc, NULL, &err)) { fprintf(stderr, "%s\n", err.message); return 1; }
  return 0;
}
PROGRAM
cp "$quick/main.c" "$quick/main.cc"
for build in "gcc c99 main.c" "clang c99 main.c" "g++ c++11 main.cc" "clang++ c++11 main.cc"; do
  set -- $build
  if ! have "$1"; then
    skip "quick start with $1: not installed"
    continue
  fi
  if (cd "$quick" && $1 -std=$2 $strict -O2 "$3" -o quick_start -lm -pthread) >"$temp/log" 2>&1; then pass
  else
    fail "quick start with $1 -std=$2: $(grep -E 'error|warning' "$temp/log" | head -n 1)"
    continue
  fi
  message=$(cd "$quick" && ./quick_start 2>&1)
  code=$?
  case "$code $message" in
    "1 "*a.fbx*) pass ;;
    *) fail "quick start with $1: without its files it ends with $code: $message" ;;
  esac
done
if [ -x "$quick/quick_start" ] && [ -r ../shared/data/ict/ict_a.fbx ]; then
  cp ../shared/data/ict/ict_a.fbx "$quick/a.fbx"
  cp ../shared/data/ict/ict_b.fbx "$quick/b.fbx"
  check "quick start: run" sh -c "cd '$quick' && ./quick_start"
  check "quick start: 41 frames" [ "$(find "$quick/results" -name '*.png' | wc -l)" -eq 41 ]
  rm -rf "$quick/results"
else
  skip "quick start, run: needs ../shared/data/ict"
fi

# ---- the README's programs

awk -v to="$temp/readme" '/^```c$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print > (to n ".c") }' README.md
programs=0
for program in "$temp"/readme*.c; do
  [ -r "$program" ] || continue
  programs=$((programs + 1))
  cp "$program" "${program}c"
  for build in "gcc c99 $program" "clang c99 $program" "g++ c++11 ${program}c" "clang++ c++11 ${program}c"; do
    set -- $build
    if ! have "$1"; then skip "README's program $programs with $1: not installed"; continue; fi
    language=c; case $2 in c++*) language=c++ ;; esac
    if $1 -std=$2 $strict -I. -x $language "$3" -o "$temp/readme" -lm -pthread >"$temp/log" 2>&1; then pass
    else fail "README's program $programs with $1: $(grep -E 'error|warning' "$temp/log" | head -n 1)"; fi
  done
done
check "the README holds two programs" [ "$programs" -eq 2 ]
"$temp/readme" >"$temp/log" 2>&1
check "the README's second program draws three frames" [ "$(grep -c '512 x 512' "$temp/log")" -eq 3 ]

finish tests/test_builds.sh
