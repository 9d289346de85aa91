#!/bin/sh
# tools/check_sections must be able to fail: it is given copies of the header that break one rule each.
cd "$(dirname "$0")/.." || exit 1
. tests/shell.sh
temp=build/test_output/check_sections
rm -rf "$temp"
mkdir -p "$temp"

# broken NAME PATTERN AWK_PROGRAM: the changed header must be refused, in words that match
broken() {
  awk "$3" facemorph.h >"$temp/facemorph.h"
  if cmp -s facemorph.h "$temp/facemorph.h"; then
    fail "$1: the header was not changed"
  elif tools/check_sections "$temp/facemorph.h" memory >"$temp/log" 2>&1; then
    fail "$1: not noticed"
  else
    check "$1: noticed for another reason: $(grep FAIL "$temp/log")" grep -q "^FAIL $2" "$temp/log"
  fi
}
# inserts TEXT before the section of memory
insert() { printf '/^\\/\\* =+ \\[FM:memory\\]/ { print "%s" } { print }' "$1"; }

check "the header itself" sh -c "tools/check_sections facemorph.h memory >'$temp/log'"
broken "a section without its banner" "anchors:.* memory has 0 banners" '/^\/\* =+ \[FM:memory\]/ { sub(/FM:memory/, "FM-memory") } { print }'
broken "a banner twice" "anchors:.* memory has 2 banners" '{ print } /^\/\* =+ \[FM:memory\]/ { print "*/"; print }'
broken "a banner that is not listed" "anchors:.* mutant is not listed" "$(insert '/* === [FM:mutant] === */')"
broken "another order" "order: " '/^ .*\[FM:errors\]/ { sub(/FM:errors/, "FM:x"); sub(/FM:platform/, "FM:errors"); sub(/FM:x/, "FM:platform") }
  /^ .*\[FM:platform\]/ && !/FM:errors/ { sub(/FM:platform/, "FM:errors") } { print }'
broken "a forward declaration" "declarations: .*fmi_mutant" "$(insert 'FMI_FN int fmi_mutant(int x);')"
broken "a forward declaration over two lines" "declarations: .*fmi_mutant" "$(insert 'static const char *fmi_mutant(int x,\\n  int y);')"
broken "a forward declaration of a public function" "declarations: .*fm_normals" \
  "$(insert 'FM_API bool fm_normals(float *normals, const fm_mesh *mesh, const float *positions);')"
broken "a private function called above its definition" "prefix before memory: .*fmi_sha256_begin" \
  "$(insert 'FMI_FN int fmi_mutant(void) { fmi_sha256_begin(0); return 0; }')"
broken "a public function called above its definition" "prefix before memory: needs fm_normals" \
  "$(insert 'FMI_FN bool fmi_mutant(void) { return fm_normals(NULL, NULL, NULL); }')"

finish tests/test_check_sections.sh
