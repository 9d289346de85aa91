#!/usr/bin/env python3
"""Holds what the library reads against libpng (through Pillow) and assimp: verify_readers.py DUMP FOLDER FILE...

DUMP is the program of tools/dump.c; FOLDER takes scratch files. PNG files are compared pixel by pixel with Pillow (which cuts
16-bit samples off where we round, so leave these out), FBX and OBJ files corner by corner, with their UVs, with what `assimp
export` makes of them. assimp leaves a file's unit and axes to its caller, so these are allowed to differ; and it sorts a head of
several materials by these, so such heads may differ in order. The last line is the sum.
"""
import itertools, os, subprocess, sys
import numpy as np
from PIL import Image

dump, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]


def ours(path):
    return subprocess.run([dump, path], stdout=subprocess.PIPE, check=True).stdout


def compare_pixels(path):
    head, pixels = (b"", ours(path))
    while head.count(b"\n") < 3 or head.startswith(b"P7") and not head.endswith(b"ENDHDR\n"):
        line, _, pixels = pixels.partition(b"\n")
        head += line + b"\n"
    theirs = Image.open(path)
    theirs.load()
    if "transparency" in theirs.info:
        theirs = theirs.convert("RGBA" if theirs.mode in ("P", "RGB") else "LA")
    elif theirs.mode in ("1", "P"):
        theirs = theirs.convert("L" if theirs.mode == "1" else "RGB")
    theirs = np.asarray(theirs)
    assert len(pixels) == theirs.size, "%d samples, Pillow has %d" % (len(pixels), theirs.size)
    different = np.count_nonzero(np.frombuffer(pixels, np.uint8) != theirs.ravel())
    assert different == 0, "%d samples differ from Pillow's" % different
    return "%d x %d pixels are equal" % theirs.shape[1::-1]


def read_ours(path):
    lines = ours(path).decode().split("\n")
    unit = float(lines[0]) or 1.0
    corners = [line.split() for line in lines[1:] if line]
    width = max(map(len, corners))
    return unit, np.array([c + ["0"] * (width - len(c)) for c in corners], float)


def read_theirs(path):
    obj = os.path.join(folder, "assimp.obj")
    subprocess.run(["assimp", "export", path, obj, "-ptv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    positions, uvs, corners, groups = [], [], [], 0
    for line in open(obj):
        word, *rest = line.split() or [""]
        if word == "v":
            positions.append(rest[:3])
        elif word == "vt":
            uvs.append(rest[:2])
        elif word == "g":
            groups += 1
        elif word == "f":
            for corner in rest:
                index = corner.split("/")
                corners.append(positions[int(index[0]) - 1] + (uvs[int(index[1]) - 1] if len(index) > 1 and index[1] else []))
    width = max(map(len, corners))
    return groups, np.array([c + ["0"] * (width - len(c)) for c in corners], float)


def sorted_views(corners):
    """Each coordinate alone and some mixtures, sorted: equal for equal sets of corners."""
    mix = np.random.default_rng(1).normal(size=(corners.shape[1], 4))
    return np.sort(np.hstack([corners, corners @ mix]), axis=0)


def compare_corners(path):
    unit, mine = read_ours(path)
    groups, theirs = read_theirs(path)
    assert mine.shape == theirs.shape, "corners x values are %s, assimp has %s" % (mine.shape, theirs.shape)
    theirs[:, :3] *= unit
    tolerance = 1e-5 * np.abs(theirs).max()
    if np.abs(mine - theirs).max() <= tolerance:
        return "%d corners are equal, in order" % len(mine)
    wanted = sorted_views(mine)
    turned = theirs.copy()
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            if np.linalg.det(np.eye(3)[list(order)] * signs) > 0:
                turned[:, :3] = theirs[:, order] * signs
                in_order = np.abs(mine - turned).max() <= tolerance
                if in_order or groups > 1 and np.abs(sorted_views(turned) - wanted).max() <= 10 * tolerance:
                    return "%d corners are equal%s, but for the axes or the materials' order" % (len(mine), ", in order" if in_order else "")
    raise AssertionError("corners differ from assimp's")


passed = failed = 0
for path in files:
    try:
        compare = compare_corners if path.endswith((".fbx", ".obj")) else compare_pixels
        print("ok   %s: %s" % (path, compare(path)))
        passed += 1
    except (AssertionError, OSError, subprocess.CalledProcessError) as problem:
        print("FAIL %s: %s" % (path, problem))
        failed += 1
print("%d passed, %d failed" % (passed, failed))
sys.exit(1 if failed or not passed else 0)
