#!/bin/sh
# Has every refusal and every warning of the header an example in tests/test_messages.c, and is tests/messages.md what that
# program prints? The messages are the texts in the header's calls of the functions that report: those whose last words are
# "const char *words" or "const char *format".
cd "$(dirname "$0")/.." || exit 1
. tests/shell.sh
temp=build/test_output/messages
rm -rf "$temp"
mkdir -p "$temp"
program=build/tests/test_messages

# What no test can provoke: the beginning of the text, and why.
cat >"$temp/exceptions" <<'END'
this build fuses multiplications	needs a compiler that breaks IEEE arithmetic
the PNG text "%s" is over 2 GB long	needs a text of 2 GB
%zu triangles are more than the rasterizer can count	needs a mesh of 4 billion triangles
a texture of %d x %d pixels is more than the rasterizer can count	needs a texture of 800 million pixels
END

# formats HEADER: a line each, "=TEXT" for a whole message, "~TEXT" for a part of one
formats() {
  awk '
    /^FMI_FN.* bool fmi_[a-z_0-9]+\(.*const char \*(words|format)[,)]/ {
      name = $0
      sub(/const char \*(words|format)[,)].*/, "", name)
      sub(/.* bool /, "", name)
      sub(/\(.*/, "", name)
      if (name != "fmi_text_add") names = names "|" name "\\("
    }
    /^static .*fmi_fbx_note_words/ { notes = 1 }
    notes && /^ *\{"/ { split($0, q, "\""); print "=" q[2] " %s " q[4] "%s" }
    /^};/ { notes = 0 }
    { lines[NR] = $0 }
    # The text in quotation marks that comes first in the call whose inside is `s`; "" if there is none.
    function first_text(s,    depth, c, all) { # extra parameters are its variables
      while (match(s, /["();]/)) {
        c = substr(s, RSTART, 1)
        if (c == "\"") {
          s = substr(s, RSTART)
          while (match(s, /^"([^"\\]|\\.)*"[ \n]*/)) {
            c = substr(s, 1, RLENGTH)
            s = substr(s, RLENGTH + 1)
            sub(/"[ \n]*$/, "", c)
            all = all substr(c, 2)
          }
          gsub(/\\"/, "\"", all)
          return all
        }
        if (c == "(") depth++
        if (c == ";" || (c == ")" && depth-- == 0)) return ""
        s = substr(s, RSTART + 1)
      }
      return ""
    }
    END {
      whole = "^(fmi_fail|fmi_fail_byte|fmi_fail_line|fmi_warn|fm_set_error|fmi_log)\\("
      calls = "fm_set_error\\(|fmi_log\\([a-z]*, FM_LOG_WARNING,|fmi_format\\(r->message|error = " names
      for (i = 1; i <= NR; i++)
        for (rest = lines[i]; match(rest, calls);) {
          call = substr(rest, RSTART, RLENGTH)
          rest = words = substr(rest, RSTART + RLENGTH)
          for (k = 1; k <= 6; k++) words = words "\n" lines[i + k]
          plain = words = first_text(words)
          gsub(/%[0-9]*(s|d|c|u|x|zu|llu)/, "", plain)
          if (plain ~ /[a-z][a-z]/) print (call ~ whole ? "=" : "~") words
        }
    }' "$1" | sort -u
}

# missing HEADER MESSAGES: the formats that no message is an example of
missing() {
  formats "$1" | awk -v list="$2" '
    BEGIN { while ((getline line < list) > 0) messages[++count] = line }
    # Do the parts of a format stand in the message in this order, and, if it is whole, at its ends (behind a place or a name)?
    function fits(message, whole,    i, at, rest, part) {
      rest = ": " message
      for (i = 1; i <= parts; i++) {
        part = i == 1 && whole && piece[1] != "" ? ": " piece[1] : piece[i]
        if (part == "") continue
        if (i == parts && whole) return length(rest) >= length(part) && substr(rest, length(rest) - length(part) + 1) == part
        at = index(rest, part)
        if (!at) return 0
        rest = substr(rest, at + length(part))
      }
      return 1
    }
    {
      format = substr($0, 2)
      gsub(/%[0-9]*(s|d|c|u|x|zu|llu)/, "\001", format)
      gsub(/%%/, "%", format)
      parts = split(format, piece, "\001")
      found = 0
      for (k = 1; k <= count && !found; k++) found = fits(messages[k], substr($0, 1, 1) == "=")
      if (!found) print substr($0, 2)
    }'
}

# unexcused FILE: its lines that are no exceptions
unexcused() {
  awk -F '\t' 'NR == FNR { known[++n] = $1; next }
    { ok = 0; for (i = 1; i <= n; i++) ok = ok || index($0, known[i]) == 1; if (!ok) print }' "$temp/exceptions" "$1"
}

[ -x "$program" ] && [ "$program" -nt facemorph.h ] && [ "$program" -nt tests/test_messages.c ] || make -s "$program" >"$temp/make.log" 2>&1
if ! "$program" --list >"$temp/list" || ! "$program" --table >"$temp/table"; then
  fail "$program cannot be run"
  finish tests/test_messages.sh
  exit
fi

formats facemorph.h >"$temp/formats"
check "formats: only $(grep -c . "$temp/formats") are found in the header" [ "$(grep -c . "$temp/formats")" -ge 200 ]
missing facemorph.h "$temp/list" >"$temp/missing"
unexcused "$temp/missing" >"$temp/unexcused"
while IFS= read -r line; do fail "no example in tests/test_messages.c: $line"; done <"$temp/unexcused"
check "messages without an example" [ ! -s "$temp/unexcused" ]
while IFS='	' read -r text reason; do
  check "an exception that is none any more: $text ($reason)" grep -qF "$text" "$temp/missing"
done <"$temp/exceptions"
check "tests/messages.md is old: build/tests/test_messages --table > tests/messages.md" cmp -s "$temp/table" tests/messages.md

# It must be able to fail: messages that are new, and examples that are gone.
# added NAME LINE: a header with this line more has one message without an example
added() {
  { cat facemorph.h && printf '%s\n' "$2"; } >"$temp/facemorph.h"
  missing "$temp/facemorph.h" "$temp/list" >"$temp/new"
  unexcused "$temp/new" >"$temp/unexcused"
  check "$1: not noticed" grep -q mutant "$temp/unexcused"
}
added "a new refusal" 'return fmi_fail(env, FM_ERROR_FORMAT, "a mutant of %d " "legs", 3);'
added "a new refusal with a place" 'return fmi_fail_byte(a(b), FM_ERROR_FORMAT, (at + 1), "a mutant");'
added "a new warning" 'if (!fmi_warn(env, "%s is a mutant", name)) return false;'
added "a new warning of a run" 'fmi_log(s, FM_LOG_WARNING, "a mutant");'
added "new damage of a family" 'return fmi_jpeg_damaged(jpeg, "a mutant in scan %d", 1);'
added "a longer text" 'fm_set_error(error, FM_ERROR_ARGUMENT, "samples must be 1 or 4, mutant");'
added "the beginning of another text" 'fmi_fail(env, FM_ERROR_ARGUMENT, "mutant: samples must be");'
grep -v 'the PNG has no palette' "$temp/list" >"$temp/shorter"
missing facemorph.h "$temp/shorter" >"$temp/new"
check "an example that is gone: not noticed" grep -q '^has no palette' "$temp/new"

finish tests/test_messages.sh
