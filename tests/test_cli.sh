#!/bin/sh
# The command line program from outside: flags, exit codes, messages, files. Its heads are cubes written here.
# shellcheck disable=SC2016,SC2086
cd "$(dirname "$0")/.." || exit 1
. tests/shell.sh
LC_ALL=C
export LC_ALL
temp=build/test_output/cli
rm -rf "$temp"
mkdir -p "$temp"
cli=build/facemorph

# run ARGUMENT...: sets code; stdout and stderr go to $temp/out and $temp/err
run() {
  $cli "$@" >"$temp/out" 2>"$temp/err"
  code=$?
}
# refused NAME CODE PATTERN ARGUMENT...: that exit code, nothing on stdout, one line on stderr, which matches
refused() {
  name=$1 want=$2 pattern=$3
  shift 3
  run "$@"
  if [ "$code" -ne "$want" ]; then fail "$name: exit code $code, should be $want: $(head -n 1 "$temp/err")"
  elif [ -s "$temp/out" ]; then fail "$name: writes to standard output"
  elif [ "$(grep -c '' "$temp/err")" -ne 1 ]; then fail "$name: $(grep -c '' "$temp/err") lines of message"
  elif ! grep -q -e "$pattern" "$temp/err"; then fail "$name: says: $(cat "$temp/err")"
  else pass; fi
}
# done_well NAME ARGUMENT...: exit code 0
done_well() {
  name=$1
  shift
  run "$@"
  if [ "$code" -eq 0 ]; then pass; else fail "$name: exit code $code: $(head -n 1 "$temp/err")"; fi
}
said() { if grep -q -e "$2" "$temp/$3"; then pass; else fail "$1: '$2' is not in: $(head -n 3 "$temp/$3")"; fi; }
same() { if cmp -s "$2" "$3"; then pass; else fail "$1: $2 and $3 differ or are missing"; fi; }
no_leftovers() {
  left=$(find "$2" -name '*.part' -o -name '*.tmp' | head -n 1)
  if [ -z "$left" ]; then pass; else fail "$1: $left is left"; fi
}

# cube FILE X Y Z: a box of that half-size with texture coordinates and a material
cube() {
  {
    printf 'mtllib cube.mtl\no cube\n'
    for x in -$2 $2; do for y in -$3 $3; do for z in -$4 $4; do printf 'v %s %s %s\n' "$x" "$y" "$z"; done; done; done
    printf 'vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl skin\n'
    printf 'f %s/1 %s/2 %s/3 %s/4\n' 1 2 4 3  5 7 8 6  1 5 6 2  3 4 8 7  1 3 7 5  2 6 8 4
  } >"$1"
}
printf 'newmtl skin\nmap_Kd cube.png\n' >"$temp/cube.mtl"
printf '\211\120\116\107\015\012\032\012\000\000\000\015\111\110\104\122\000\000\000\001\000\000\000\001\010\002\000\000\000\220\167\123\336' >"$temp/cube.png"
printf '\000\000\000\014\111\104\101\124\170\234\143\070\121\021\005\000\003\246\001\233\255\240\257\017' >>"$temp/cube.png"
printf '\000\000\000\000\111\105\116\104\256\102\140\202' >>"$temp/cube.png"
cube "$temp/a.obj" 0.5 0.7 0.6
cube "$temp/b.obj" 0.6 0.8 0.5
a=$temp/a.obj b=$temp/b.obj out=$temp/results

# ---- general

done_well "--help" --help
said "--help" 'morph A B' out
done_well "--version" --version
said "--version" '^facemorph [0-9]*\.[0-9]*\.[0-9]*$' out
done_well "morph --help" morph --help
said "morph --help" '--texture-weights' out
done_well "info --help" info --help
run
check "no command: exit code $code" [ "$code" -eq 2 ]
said "no command" 'usage' err
refused "unknown command" 2 'morf.*nearest is morph' morf
refused "flag before the command" 2 'before a command' --frames 3

# ---- wrong usage: names flag, value and what is allowed

refused "unknown flag" 2 'unknown flag --frmaes; the nearest is --frames' morph "$a" "$b" --frmaes 3
refused "unknown flag with a value" 2 'unknown flag --seize; the nearest is --size' morph "$a" "$b" --seize=3
refused "unknown letter" 2 'unknown flag -x' morph "$a" "$b" -x
refused "unknown flag of info" 2 'the nearest is --json' info --jsno "$a"
refused "--frames 1" 2 "--frames: '1' .* from 2 to 1001" morph "$a" "$b" --frames 1
refused "--frames 1002" 2 "--frames: '1002' " morph "$a" "$b" --frames=1002
refused "--frames 2.5" 2 "--frames: '2.5' " morph "$a" "$b" --frames 2.5
refused "--frames without value" 2 '--frames needs a value' morph "$a" "$b" --frames
refused "--run followed by a flag" 2 '--run needs a value' morph "$a" "$b" --run --unlit
refused "--size 0" 2 "--size: '0' .*16384" morph "$a" "$b" --size 0
refused "--size 10x" 2 "--size: '10x' " morph "$a" "$b" --size 10x
refused "--size 20000" 2 "--size: '20000' " morph "$a" "$b" --size 20000
refused "--samples 2" 2 "--samples: '2' .*1|4" morph "$a" "$b" --samples 2
refused "--background fff" 2 "--background: 'fff' .*none" morph "$a" "$b" --background fff
refused "--cull front" 2 "--cull: 'front' .*none|back" morph "$a" "$b" --cull front
refused "--alpha blend" 2 "--alpha: 'blend' .*cutout|ignore" morph "$a" "$b" --alpha blend
refused "--distance 0" 2 "--distance: '0' .*inf" morph "$a" "$b" --distance 0
refused "--fov 180" 2 "--fov: '180' " morph "$a" "$b" --fov 180
refused "--yaw nan" 2 "--yaw: 'nan' " morph "$a" "$b" --yaw nan
refused "--yaw with a comma" 2 "--yaw: '1,5' " morph "$a" "$b" --yaw 1,5
refused "--weights with a gap" 2 "--weights: '0,,1' " morph "$a" "$b" --weights 0,,1
refused "--weights inf" 2 "--weights: '0,inf' " morph "$a" "$b" --weights 0,inf
refused "--scale-b 0" 2 "--scale-b: '0' " morph "$a" "$b" --scale-b 0
refused "-j many" 2 "-j: 'many' .*0 to 256" morph "$a" "$b" -j many
refused "--run with a path" 2 "--run: 'x/y' " morph "$a" "$b" --run x/y
refused "--run .." 2 "--run: '..' " morph "$a" "$b" --run ..
refused "empty --run" 2 "--run: '' " morph "$a" "$b" --run ''
refused "a switch with a value" 2 "--unlit takes no value" morph "$a" "$b" --unlit=yes
refused "weights and frames" 2 '--weights gives 2 frames, but --frames gives 3' morph "$a" "$b" --frames 3 --weights 0,1
refused "fit and no fit" 2 '--no-fit and --fit' morph "$a" "$b" --no-fit --fit "$out"
refused "fit file and distance" 2 '--distance has no effect' morph "$a" "$b" --distance 3 --fit "$out"
refused "one head" 2 'takes two files' morph "$a"
refused "three heads" 2 'takes two files.*3' morph "$a" "$b" "$a"
refused "info without a file" 2 'takes one file' info
check "wrong usage writes nothing" [ ! -e "$out" ]

# ---- files that are not there or make no sense

refused "missing head" 1 "$temp/none.obj" morph "$temp/none.obj" "$b" -q -o "$out"
refused "second head missing" 1 "$temp/none.fbx" morph "$a" "$temp/none.fbx" -q -o "$out"
check "a missing head leaves no results" [ -z "$(find "$out" -type f 2>/dev/null)" ]
refused "info: missing file" 1 "$temp/none.png" info "$temp/none.png"
refused "info: a folder" 1 "$temp" info "$temp"
: >"$temp/empty.obj"
printf '\177ELF nothing' >"$temp/strange.bin"
refused "info: unknown format" 1 'strange.bin' info "$temp/strange.bin"
head -c 40 "$temp/cube.png" >"$temp/cut.png"
refused "info: a cut PNG" 1 'cut.png' info --json "$temp/cut.png"
refused "fit: missing record" 1 "$temp/none" morph "$a" "$b" -q -o "$out" --fit "$temp/none"

# ---- info

done_well "info of a mesh" info "$a"
said "info of a mesh" 'OBJ' out
said "info of a mesh" 'vertices *8$' out
said "info of a mesh" 'cube.png, 1 x 1' out
done_well "info of an image" info "$temp/cube.png"
said "info of an image" 'PNG, 1 x 1 pixels, RGB, mean colour 200 120 90' out
done_well "info --json" info --json "$a"
said "info --json" '"vertices": 8' out
said "info --json" '"triangles": 12' out
if have python3; then
  check "info --json is JSON" python3 -m json.tool "$temp/out" "$temp/json"
  done_well "info --json of an image" info "$temp/cube.png" --json
  check "info --json of an image is JSON" python3 -m json.tool "$temp/out" "$temp/json"
else
  skip "info --json is JSON: needs python3"
fi
said "info --json of an image" '"rgb_sum"' out
odd="$temp/-it's \"ö\" \$x.obj"
cp "$a" "$odd"
done_well "info of an odd name" info -- "$odd"
check "info of a name that begins with a dash" sh -c 'cd "$1" && "../../../$2" info -- "${3##*/}" >out 2>err' - "$temp" "$cli" "$odd"

$cli info "$a" 2>"$temp/err" >&-
check "info, closed stdout: exit code" [ $? -eq 1 ]
said "info, closed stdout" 'standard output' err
if [ -c /dev/full ]; then
  $cli info --json "$a" 2>"$temp/err" >/dev/full
  check "info, full stdout: exit code" [ $? -eq 1 ]
  said "info, full stdout" 'standard output' err
else
  skip "info, full stdout: no /dev/full"
fi

# ---- a run

small="--frames 3 --size 48x32 --samples 1"
done_well "run" morph "$a" "$b" -o "$out" --run one $small
said "run: the last line" "^3 frames in .*$out/one/a_b/png" out
for frame in a-0000_b-1000 a-0500_b-0500 a-1000_b-0000; do check "run: $frame.png" [ -s "$out/one/a_b/png/$frame.png" ]; done
check "run: number of files" [ "$(find "$out/one" -type f | wc -l)" -eq 5 ]
check "run: session.log" grep -q a.obj "$out/one/a_b/session.log"
check "run: record.json" grep -q '"camera"' "$out/one/a_b/record.json"
no_leftovers "run" "$out"
if have python3; then check "record.json is JSON" python3 -m json.tool "$out/one/a_b/record.json" "$temp/json"; else skip "record.json is JSON: needs python3"; fi
done_well "info of a frame" info --json "$out/one/a_b/png/a-0500_b-0500.png"
said "info of a frame" '"width": 48' out
said "info of a frame" '"height": 32' out

find "$out/one" -type f -exec cksum {} + >"$temp/before"
refused "existing run" 1 "$out/one" morph "$a" "$b" -q -o "$out" --run one $small
find "$out/one" -type f -exec cksum {} + >"$temp/after"
same "existing run: untouched" "$temp/before" "$temp/after"

done_well "-q" morph "$a" "$b" -q -o "$out" --run quiet $small -j 1
check "-q says nothing" [ -z "$(cat "$temp/out" "$temp/err")" ]
same "one thread, same picture" "$out/one/a_b/png/a-0500_b-0500.png" "$out/quiet/a_b/png/a-0500_b-0500.png"
done_well "-j3" morph "$a" "$b" -qj3 -o "$out" --run three $small
same "three threads, same picture" "$out/one/a_b/png/a-0500_b-0500.png" "$out/three/a_b/png/a-0500_b-0500.png"
done_well "-v" morph "$a" "$b" -v -o "$out" --run verbose $small
done_well "flags of the replaced system" morph "$a" "$b" -o "$out" --run old $small --cpu --minimal --no-amp --blender /nowhere/blender
for flag in --cpu --minimal --no-amp --blender; do said "$flag: one line" "^facemorph: $flag is not needed" err; done

# ---- the camera of another run

done_well "turned run" morph "$a" "$b" -q -o "$out" --run turned $small --yaw 30 --pitch=-5
done_well "fit of a record" morph "$a" "$b" -q -o "$out" --run fit_file $small --fit "$out/turned/a_b/record.json"
same "fit of a record" "$out/turned/a_b/png/a-0500_b-0500.png" "$out/fit_file/a_b/png/a-0500_b-0500.png"
done_well "fit of a folder" morph "$a" "$b" -q -o "$out" --run fit_folder $small --fit "$out/turned/a_b" --yaw 0 --pitch 0
same "fit of a folder, yaw and pitch given" "$out/one/a_b/png/a-0500_b-0500.png" "$out/fit_folder/a_b/png/a-0500_b-0500.png"
done_well "orthographic run" morph "$a" "$b" -q -o "$out" --run ortho $small --distance inf
done_well "fit of an orthographic run" morph "$a" "$b" -q -o "$out" --run ortho_fit $small --fit "$out/ortho/a_b"
same "fit of an orthographic run" "$out/ortho/a_b/png/a-0500_b-0500.png" "$out/ortho_fit/a_b/png/a-0500_b-0500.png"
printf '{"camera": {"center": [0, 0], "scale": 1}}' >"$temp/short.json"
refused "fit: record without a camera" 1 'holds no camera' morph "$a" "$b" -q -o "$out" --fit "$temp/short.json"
printf '{"camera":\n\n {"center": [0, 0,}}' >"$temp/broken.json"
run morph "$a" "$b" -q -o "$out" --fit "$temp/broken.json"
check "fit: broken record: exit code $code" [ "$code" -eq 1 ]
said "fit: broken record" 'broken.json: line 3' err

# ---- names, weights

cp "$b" "$temp/tête n°2.obj"
done_well "odd names" morph "$odd" "$temp/tête n°2.obj" -q -o "$out" --run "my run" $small
check "odd names: frame" [ -s "$out/my run/-it's _ö_ \$x_tête n°2/png/-it's _ö_ \$x-0500_tête n°2-0500.png" ]
done_well "weights" morph "$a" "$b" -q -o "$out" --run weights --weights -0.25,0.5,1.25 --texture-weights 0.5 --size 16 --samples 1
check "weights: names" [ -s "$out/weights/a_b/png/0000_a-m0250_b-1250.png" ]
done_well "no fit" morph "$a" "$b" -q -o "$out" --run nofit $small --no-fit --unlit --cull back --background none --reverse --alpha ignore

# ---- heads that do not fit together

printf 'v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n' >"$temp/triangle.obj"
refused "another topology" 1 '8.*3' morph "$a" "$temp/triangle.obj" -q -o "$out" --run topology $small
refused "--only that matches nothing" 1 'nothing_like_it' morph "$a" "$b" -q -o "$out" --run only --only nothing_like_it

# ---- places that cannot be written

: >"$temp/file"
refused "results in a file" 1 "$temp/file" morph "$a" "$b" -q -o "$temp/file" $small
if [ "$(id -u)" -ne 0 ]; then
  mkdir -p "$temp/locked"
  chmod 555 "$temp/locked"
  refused "folder without permission" 1 "$temp/locked" morph "$a" "$b" -q -o "$temp/locked" $small
  chmod 755 "$temp/locked"
else
  skip "folder without permission: root may write everywhere"
fi
# a limit on the size of a file stands in for a full disk
(
  trap '' XFSZ
  ulimit -f 8
  exec $cli morph "$a" "$b" -q -o "$out" --run full --frames 2 --size 1024
) >"$temp/out" 2>"$temp/err"
code=$?
check "full disk: exit code $code" [ "$code" -eq 1 ]
check "full disk: one line" [ "$(grep -c '' "$temp/err")" -eq 1 ]
check "full disk: no record" [ ! -e "$out/full/a_b/record.json" ]
no_leftovers "full disk" "$out"

$cli morph "$a" "$b" -v -o "$out" --run closed $small 2>&- >&-
for frame in a-0000_b-1000 a-0500_b-0500 a-1000_b-0000; do
  same "closed stdout and stderr: $frame.png" "$out/one/a_b/png/$frame.png" "$out/closed/a_b/png/$frame.png"
done

# ---- Ctrl-C

if have timeout && timeout --preserve-status 1 true 2>/dev/null; then
  timeout --preserve-status -s INT 1 $cli morph "$a" "$b" -o "$out" --run stopped --frames 1001 --size 2000 >"$temp/out" 2>"$temp/err"
  code=$?
  check "Ctrl-C: exit code $code" [ "$code" -eq 130 ]
  said "Ctrl-C" 'interrupted, .* complete frames are in' err
  check "Ctrl-C: no record" [ ! -e "$out/stopped/a_b/record.json" ]
  no_leftovers "Ctrl-C" "$out"
  rm -rf "$out/stopped"
else
  skip "Ctrl-C: needs timeout with --preserve-status"
fi

finish tests/test_cli.sh
