/* make_heads.c - makes two procedural human heads, A (a man) and B (a woman).
 *
 *     make_heads [OUTDIR]        writes head_a.obj/.mtl/.png and head_b.obj/.mtl/.png
 *     make_heads --check         builds both meshes and verifies their topology
 *
 * How a head is made:
 *   1. The head is ONE implicit function: about 60 ellipsoids and tapered capsules joined by a smooth minimum.
 *   2. The mesh is a cylinder of quads with a square cap.  Every vertex owns a ray from inside the head and sits where
 *      the function crosses zero on it, so the same ray is the same anatomical place in every head.
 *   3. At mouth, eyes and ears a block of cells is refilled with concentric rings that end in the exact outline of lip,
 *      lid or ear.  Their edges are therefore mesh edges, and the eyeball belongs to the same sheet.
 *   4. A person is a set of amplitudes inside the function plus a smooth warp afterwards.
 *   5. The texture is painted texel by texel at the place the texel had BEFORE the warp: features stay on the shape.
 *
 * Both heads have the same topology.  Lengths are millimetres until the OBJ is written (metres); Y up, the face looks
 * to +Z, +X is the subject's left.  x = 0 is the midplane, y = 0 the height of the pupils, z = 0 the ear canal.
 * Colours are sRGB in 0..1.  The heads this program makes are CC0: use them for anything.
 */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h" /* so that it compiles without -I, too */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <direct.h>
#else
#include <sys/stat.h>
#endif

/* ---------------------------------------------------------------------------------------------- numbers and vectors */

#define PI 3.14159265358979323846
#define DEG (PI / 180.0)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

typedef struct { double x, y, z; } vec3; /* also a colour: x red, y green, z blue */

static vec3 vec(double x, double y, double z) { vec3 v; v.x = x; v.y = y; v.z = z; return v; }
static vec3 add(vec3 a, vec3 b) { return vec(a.x + b.x, a.y + b.y, a.z + b.z); }
static vec3 sub(vec3 a, vec3 b) { return vec(a.x - b.x, a.y - b.y, a.z - b.z); }
static vec3 scale(vec3 a, double s) { return vec(a.x * s, a.y * s, a.z * s); }
static vec3 times(vec3 a, vec3 b) { return vec(a.x * b.x, a.y * b.y, a.z * b.z); }
static vec3 mix3(vec3 a, vec3 b, double t) { return add(a, scale(sub(b, a), t)); }
static vec3 along(vec3 a, vec3 d, double t) { return add(a, scale(d, t)); }
static vec3 cross(vec3 a, vec3 b) { return vec(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); }
static double dot(vec3 a, vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static double length(vec3 a) { return sqrt(dot(a, a)); }
static vec3 unit(vec3 a) { double l = length(a); return l > 0 ? scale(a, 1 / l) : a; }

static double mix(double a, double b, double t) { return a + (b - a) * t; }
static double clamp(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
static double sign(double x) { return x < 0 ? -1.0 : 1.0; }
static double square(double x) { return x * x; }

/* Smooth step from 0 at a to 1 at b; a > b gives a falling one. */
static double ramp(double a, double b, double x) {
  double t = clamp((x - a) / (b - a), 0, 1);
  return t * t * (3 - 2 * t);
}

/* Gaussian bell of height 1; cut off where it no longer matters, because painting calls it very often. */
static double bell(double x, double sigma) {
  double q = x / sigma;
  return q * q > 24 ? 0 : exp(-0.5 * q * q);
}

/* Minimum of two distances, rounded where they differ by less than k. */
static double smooth_min(double a, double b, double k) {
  double d = fabs(a - b);
  double low = a < b ? a : b;
  return d >= k ? low : low - square(k - d) / (4 * k);
}

static double smooth_max(double a, double b, double k) { return -smooth_min(-a, -b, k); }

typedef struct { double at, value; } knot;

static double polyline(const knot *k, int n, double x) {
  int i = 1;
  if (x <= k[0].at) return k[0].value;
  if (x >= k[n - 1].at) return k[n - 1].value;
  while (x > k[i].at) i++;
  return mix(k[i - 1].value, k[i].value, (x - k[i - 1].at) / (k[i].at - k[i - 1].at));
}

static double secant(const knot *k, int i) { return (k[i + 1].value - k[i].value) / (k[i + 1].at - k[i].at); }

static double monotone_slope(const knot *k, int n, int i) {
  double before, after;
  if (i == 0) return secant(k, 0);
  if (i == n - 1) return secant(k, n - 2);
  before = secant(k, i - 1);
  after = secant(k, i);
  return before * after <= 0 ? 0 : 2 * before * after / (before + after);
}

/* Cubic through the knots that does not overshoot them (Fritsch and Butland 1984: harmonic mean of the slopes). */
static double monotone_cubic(const knot *k, int n, double x) {
  int i = 0;
  double t, step;
  if (x <= k[0].at) return k[0].value;
  if (x >= k[n - 1].at) return k[n - 1].value;
  while (x > k[i + 1].at) i++;
  step = k[i + 1].at - k[i].at;
  t = (x - k[i].at) / step;
  return k[i].value * (1 + 2 * t) * square(1 - t) + k[i + 1].value * (3 - 2 * t) * t * t +
         step * (monotone_slope(k, n, i) * t * square(1 - t) - monotone_slope(k, n, i + 1) * t * t * (1 - t));
}

/* ------------------------------------------------------------------------------------------------------------- noise */

static uint32_t scramble(uint32_t h) {
  h ^= h >> 16; h *= 0x7feb352du;
  h ^= h >> 15; h *= 0x846ca68bu;
  return h ^ (h >> 16);
}

static uint32_t lattice(int32_t x, int32_t y, int32_t z, uint32_t seed) {
  return scramble((uint32_t)x * 0x8da6b343u + (uint32_t)y * 0xd8163841u + (uint32_t)z * 0xcb1ab31fu + seed * 0x9e3779b9u);
}

static double fraction(uint32_t h) { return (double)(h >> 8) / 16777216.0; }

static double lattice_value(int32_t x, int32_t y, int32_t z, uint32_t seed) {
  return 2 * fraction(lattice(x, y, z, seed)) - 1;
}

/* Value noise in -1..1 with the given cell size. */
static double noise(vec3 p, double cell, uint32_t seed) {
  double fx = floor(p.x / cell), fy = floor(p.y / cell), fz = floor(p.z / cell);
  double tx = p.x / cell - fx, ty = p.y / cell - fy, tz = p.z / cell - fz;
  int32_t x = (int32_t)fx, y = (int32_t)fy, z = (int32_t)fz;
  double plane[2];
  int k;
  tx = tx * tx * (3 - 2 * tx);
  ty = ty * ty * (3 - 2 * ty);
  tz = tz * tz * (3 - 2 * tz);
  for (k = 0; k < 2; k++)
    plane[k] = mix(mix(lattice_value(x, y, z + k, seed), lattice_value(x + 1, y, z + k, seed), tx),
                   mix(lattice_value(x, y + 1, z + k, seed), lattice_value(x + 1, y + 1, z + k, seed), tx), ty);
  return mix(plane[0], plane[1], tz);
}

/* Round dots in a jittered 2-D grid: coverage 0..1 at (x, y).  A cell has one dot with the given probability; small
 * radii are the commoner ones. */
static double dots(double x, double y, double cell, double probability, double r_min, double r_max, uint32_t seed) {
  int32_t i0 = (int32_t)floor(x / cell), j0 = (int32_t)floor(y / cell), i, j;
  double best = 0;
  for (j = j0 - 1; j <= j0 + 1; j++)
    for (i = i0 - 1; i <= i0 + 1; i++) {
      uint32_t h = lattice(i, j, 0, seed);
      double cx, cy, r, distance;
      if (fraction(h) > probability) continue;
      cx = (i + fraction(scramble(h + 1))) * cell;
      cy = (j + fraction(scramble(h + 2))) * cell;
      r = r_min + (r_max - r_min) * square(fraction(scramble(h + 3)));
      distance = sqrt(square(x - cx) + square(y - cy));
      if (distance < 1.25 * r) best = fmax(best, ramp(1.25 * r, 0.55 * r, distance));
    }
  return best;
}

/* ----------------------------------------------------------------------------------------------------------- persons */

enum { LANDMARKS = 10, WIDTHS = 8, HAIRLINE = 18 };

typedef struct {
  const char *name;
  /* bones */
  double brow, forehead, socket, cheekbone, jaw, chin_forward, chin_width;
  /* soft parts */
  double cheek_fat, lid_hood, neck_radius, adams_apple, neck_muscle;
  /* nose */
  double nose_bridge, nose_hump, nose_length, nose_tip, nose_tip_radius, nose_wing;
  /* mouth */
  double lip_upper, lip_lower, lip_fullness, mouth_half_width, mouth_corner, cupids_bow;
  /* eyes */
  double eye_half_length, eye_upper, eye_lower, eye_tilt, lid_crease, eye_apart;
  /* ears */
  double ear_angle, ear_half_length, ear_half_width;
  double asymmetry;
  /* warp: height offset at LANDMARK_HEIGHT, width of the flanks by height, depth at the head and at the neck cut */
  double offset[LANDMARKS];
  knot width[WIDTHS];
  double depth, neck_depth;
  /* hair */
  double hairline[HAIRLINE];                         /* its height at HAIRLINE_ANGLE */
  double hair_side, hair_top, hair_front, hair_clump; /* thickness at the sides, on top, more over the forehead; clumps */
  double hair_fade;                                  /* 1 = clipped sides, where the scalp shows through */
  double hair_sheen;                                 /* where on the strands light catches: angle from the pole */
  vec3 hair_pole;                                    /* strands are meridians about this direction: whorl or bun */
  double bun_radius, bun_distance;                   /* radius 0 = none; distance along the pole */
  /* colours */
  vec3 skin, lip, hair, brow_hair, iris_inner, iris_outer, sclera;
  double pores, blush, orbit_shade, freckles, stubble, lashes, eye_shadow, lip_opacity, pupil;
  double brow_curve[6], brow_thickness, brow_opacity; /* x, y of inner end, peak, outer end */
  int brow_strokes;
  uint32_t seed;
} person;

/* vertex, hairline, glabella, pupils, mid-nose, subnasale, lip line, mentolabial fold, menton, neck: from below */
static const double LANDMARK_HEIGHT[LANDMARKS] = {-178, -111, -86, -69.5, -47, -22, 0, 18, 62, 118};
/* degrees from the front to the back; the ear stands at 84 to 113 */
static const double HAIRLINE_ANGLE[HAIRLINE] = {0,  18, 34, 45,  52,  58,  64,  70,  76,
                                                81, 86, 92, 105, 115, 125, 140, 160, 180};

static const person PERSONS[2] = {
  {
    .name = "head_a",
    .brow = 2.5, .forehead = -1, .socket = 2.5, .cheekbone = 1, .jaw = 2.5, .chin_forward = 2, .chin_width = 3,
    .cheek_fat = -2, .lid_hood = 0.8, .neck_radius = 57, .adams_apple = 5, .neck_muscle = 1.5,
    .nose_bridge = 1.5, .nose_hump = 1.5, .nose_length = 1.2, .nose_tip = -1, .nose_tip_radius = -0.4, .nose_wing = 0,
    .lip_upper = 6.6, .lip_lower = 8.2, .lip_fullness = 0.7, .mouth_half_width = 26,
    .mouth_corner = -0.6, .cupids_bow = 0.45,
    .eye_half_length = 15, .eye_upper = 5.0, .eye_lower = 4.2, .eye_tilt = 0.05, .lid_crease = 4.2, .eye_apart = 0.5,
    .ear_angle = 33, .ear_half_length = 32, .ear_half_width = 18,
    .asymmetry = 0.55,
    .offset = {-5, -5, -3, -1.5, 0, 0, 0, -1, 1, 3},
    .width = {{-178, 1.03}, {-100, 0.97}, {-72, 0.90}, {-20, 0.935}, {15, 0.97}, {50, 0.975}, {90, 0.98}, {118, 0.99}},
    .depth = 1.01, .neck_depth = 1.02,
    .hairline = {61, 65, 68, 58, 44, 29, 12, -6, -18, -20, -17, 14, 13, -12, -44, -62, -68, -70},
    .hair_side = 2.5, .hair_top = 11, .hair_front = 7, .hair_clump = 2.4, .hair_fade = 1, .hair_sheen = 0.80,
    .hair_pole = {0, 0.95, -0.31}, .bun_radius = 0, .bun_distance = 0,
    .skin = {0.80, 0.605, 0.49}, .lip = {0.66, 0.40, 0.35}, .hair = {0.135, 0.10, 0.08},
    .brow_hair = {0.14, 0.10, 0.078},
    .iris_inner = {0.40, 0.25, 0.12}, .iris_outer = {0.27, 0.16, 0.085}, .sclera = {0.80, 0.775, 0.74},
    .pores = 0.05, .blush = 0.27, .orbit_shade = 0.08, .freckles = 0, .stubble = 0.5, .lashes = 0.2, .eye_shadow = 0,
    .lip_opacity = 0.75, .pupil = 2.2,
    .brow_curve = {9, 12.5, 36, 19.5, 51, 14}, .brow_thickness = 8, .brow_opacity = 0.92, .brow_strokes = 700,
    .seed = 11,
  },
  {
    .name = "head_b",
    .brow = -2.5, .forehead = 2.5, .socket = 1.2, .cheekbone = -1.5, .jaw = -3.4, .chin_forward = 0, .chin_width = -4,
    .cheek_fat = 2.5, .lid_hood = -0.5, .neck_radius = 42.5, .adams_apple = 0, .neck_muscle = -1,
    .nose_bridge = -2.2, .nose_hump = -1, .nose_length = -1.6, .nose_tip = -3.2, .nose_tip_radius = -2.4,
    .nose_wing = -3.6,
    .lip_upper = 7.2, .lip_lower = 9.2, .lip_fullness = 1.2, .mouth_half_width = 22.6,
    .mouth_corner = 0.5, .cupids_bow = 0.5,
    .eye_half_length = 16.4, .eye_upper = 6.2, .eye_lower = 4.6, .eye_tilt = 0.10, .lid_crease = 5.0, .eye_apart = -0.8,
    .ear_angle = 31, .ear_half_length = 30, .ear_half_width = 16,
    .asymmetry = 0.4,
    .offset = {4, 5.5, 5, 4.6, 3.8, 2, 0, 0.5, 0, -3},
    .width = {{-178, 0.95}, {-100, 0.925}, {-72, 0.88}, {-20, 0.90}, {15, 0.925}, {50, 0.93}, {90, 0.93}, {118, 0.93}},
    .depth = 0.965, .neck_depth = 0.95,
    .hairline = {60, 61, 56, 46, 34, 22, 9, -4, -11, -11, -4, 16, 14, -10, -38, -54, -60, -62},
    .hair_side = 3.5, .hair_top = 7, .hair_front = 2, .hair_clump = 0.4, .hair_fade = 0, .hair_sheen = 1.35,
    .hair_pole = {0, 0.36, -0.93}, .bun_radius = 32, .bun_distance = 100,
    .skin = {0.905, 0.735, 0.655}, .lip = {0.78, 0.36, 0.37}, .hair = {0.46, 0.215, 0.095},
    .brow_hair = {0.42, 0.24, 0.14},
    .iris_inner = {0.40, 0.46, 0.34}, .iris_outer = {0.20, 0.34, 0.36}, .sclera = {0.86, 0.85, 0.84},
    .pores = 0.02, .blush = 0.32, .orbit_shade = 0.04, .freckles = 0.75, .stubble = 0, .lashes = 1.0, .eye_shadow = 0.25,
    .lip_opacity = 0.85, .pupil = 2.5,
    .brow_curve = {11.5, 14, 37, 20.5, 52, 15}, .brow_thickness = 5.6, .brow_opacity = 0.85, .brow_strokes = 520,
    .seed = 47,
  },
};

/* ---------------------------------------------------------------------------------------------- eye and mouth lines */

#define EYE_CENTRE vec(32, 0, 70.5)
#define EYE_RADII vec(18.5, 13.2, 12.6)
#define EYE_YAW (10 * DEG) /* the outer corner lies farther back */

/* Depth of the eye ellipsoid, grown by a factor, at the frontal offset (dx, dy) from its centre; dx > 0 is outwards. */
static double eye_depth(double dx, double dy, double factor) {
  double c = cos(EYE_YAW), s = sin(EYE_YAW);
  double rx = 1 / square(EYE_RADII.x), ry = 1 / square(EYE_RADII.y), rz = 1 / square(EYE_RADII.z);
  double qa = s * s * rx + c * c * rz;
  double qb = dx * c * s * (rz - rx);
  double qc = dx * dx * (c * c * rx + s * s * rz) + dy * dy * ry - factor * factor;
  return (-qb + sqrt(fmax(qb * qb - qa * qc, 0))) / qa;
}

static vec3 on_eye(double dx, double dy, double factor, double side) {
  return vec(side * (EYE_CENTRE.x + dx), EYE_CENTRE.y + dy, EYE_CENTRE.z + eye_depth(dx, dy, factor));
}

/* Height of the lid edge; inset moves the curve inwards, onto the eyeball. */
static double lid_line(const person *who, double dx, double inset, bool upper) {
  double half = who->eye_half_length - 1.2 * inset;
  double q = clamp(dx / half, -1, 1);
  double open = pow(1 - q * q, 0.72) * (1 - inset / 5);
  double h = upper ? who->eye_upper * open * (1 - 0.10 * q) : -who->eye_lower * open * (1 + 0.12 * q);
  return h + who->eye_tilt * dx;
}

static double lid_crease_line(const person *who, double dx) {
  return lid_line(who, dx, 0, true) + who->lid_crease * (1 - 0.35 * square(dx / 24));
}

#define LIP_LINE_Y (-69.5)

static double lip_line(const person *who, double x) {
  double out = fabs(x) / who->mouth_half_width;
  return LIP_LINE_Y - 0.35 * bell(x, 5) + 0.3 * bell(fabs(x) - 11, 6) + who->mouth_corner * out * out * out;
}

/* Depth of the surface on which the lines of the mouth are drawn; rays carry them to the skin. */
static double mouth_aim(double x) { return 97 - 0.020 * x * x; }

static double lip_border(const person *who, double x, bool upper) {
  double t = fmax(1 - square(x / who->mouth_half_width), 0);
  if (upper)
    return lip_line(who, x) + who->lip_upper * (0.86 * pow(t, 0.9) + 0.14 * t * (1.9 * bell(fabs(x) - 5.0, 4.5) -
                                                                             who->cupids_bow * bell(x, 2.6)));
  return lip_line(who, x) - who->lip_lower * pow(t, 0.62) * (0.90 + 0.10 * bell(x, 16));
}

/* ------------------------------------------------------------------------------------------------ the head function */

/* Distance estimate of an ellipsoid, d relative to its centre. */
static double ellipsoid_at(vec3 d, vec3 r) {
  vec3 q = vec(d.x / r.x, d.y / r.y, d.z / r.z);
  double k0 = length(q);
  double k1 = length(vec(q.x / r.x, q.y / r.y, q.z / r.z));
  return k1 < 1e-9 ? -r.x : k0 * (k0 - 1) / k1;
}

static double ellipsoid(vec3 p, double x, double y, double z, double rx, double ry, double rz) {
  return ellipsoid_at(vec(p.x - x, p.y - y, p.z - z), vec(rx, ry, rz));
}

/* The same with its long axis pitched up in front, then rolled: its top leans to the midplane. */
static double tilted_ellipsoid(vec3 p, vec3 c, vec3 r, double pitch, double roll) {
  vec3 d = sub(p, c);
  double cp = cos(pitch), sp = sin(pitch), cr = cos(roll), sr = sin(roll);
  double y = d.y * cp - d.z * sp, z = d.y * sp + d.z * cp;
  return ellipsoid_at(vec(d.x * cr + y * sr, y * cr - d.x * sr, z), r);
}

/* Distance to the segment a-b minus a radius that runs from ra to rb. */
static double capsule(vec3 p, double ax, double ay, double az, double bx, double by, double bz, double ra, double rb) {
  vec3 pa = vec(p.x - ax, p.y - ay, p.z - az), ba = vec(bx - ax, by - ay, bz - az);
  double t = clamp(dot(pa, ba) / dot(ba, ba), 0, 1);
  return length(along(pa, ba, -t)) - mix(ra, rb, t);
}

static double eye_ellipsoid(vec3 mirrored, double factor) {
  vec3 d = sub(mirrored, EYE_CENTRE);
  double c = cos(EYE_YAW), s = sin(EYE_YAW);
  return ellipsoid_at(vec(d.x * c - d.z * s, d.y, d.x * s + d.z * c), scale(EYE_RADII, factor));
}

static double neck_field(const person *w, vec3 p, vec3 m) {
  double nr = w->neck_radius;
  double f = capsule(p, 0, -60, -16, 0, -205, -40, nr - 4, nr + 3);
  f = smooth_min(f, capsule(m, nr - 4, -40, -20, 12, -182, nr - 44, 8, 7 + w->neck_muscle), 18);      /* sternomastoid */
  f = smooth_min(f, capsule(m, 14, -40, -46, 0.55 * nr, -230, -50, 0.37 * nr, 0.62 * nr), 34);        /* trapezius */
  if (w->adams_apple > 0) f = smooth_min(f, ellipsoid(p, 0, -133, nr - 35 + w->adams_apple, 8, 14, 8), 12);
  return f;
}

static double nostril_field(const person *w, vec3 m, double grow) {
  vec3 c = vec(7 + 0.55 * w->nose_wing, -48.8 - 0.9 * w->nose_length, 103 + 0.5 * w->nose_tip);
  grow *= 1 + 0.04 * w->nose_wing;
  return tilted_ellipsoid(m, c, scale(vec(2.8, 4, 5.2), grow), 22 * DEG, 16 * DEG);
}

static double wing_field(const person *w, vec3 m) {
  double nw = w->nose_wing;
  return tilted_ellipsoid(m, vec(12.2 + nw, -39.5 - 0.8 * w->nose_length, 98),
                          vec(5.6 + 0.15 * nw, 7.2 + 0.2 * nw, 9.5), -14 * DEG, 0);
}

static double nose_field(const person *w, vec3 p, vec3 m, double f) {
  double nb = w->nose_bridge, nl = w->nose_length, nt = w->nose_tip, nw = w->nose_wing, tip = 10 + w->nose_tip_radius;
  f = smooth_min(f, capsule(p, 0, 4, 82.5 + nb, 0, -29 - nl, 105 + nt, 5.8, 7.2), 10);                  /* dorsum */
  f = smooth_min(f, ellipsoid(p, 0, -12, 88 + nb + w->nose_hump, 6.5, 13, 9), 10);
  f = smooth_min(f, capsule(m, 3.5, 0, 79 + 0.7 * nb, 6.8 + 0.5 * nw, -36 - 0.8 * nl, 93, 5, 5.8), 8);  /* side wall */
  f = smooth_min(f, ellipsoid(p, 0, -36.5 - nl, 106 + nt, 1.04 * tip, 0.94 * tip, tip), 10);
  f = smooth_min(f, capsule(m, 4, -37 - nl, 104 + nt, 11 + nw, -40 - 0.8 * nl, 99, 6 + 0.25 * nw, 4.6), 6); /* crus */
  f = smooth_min(f, wing_field(w, m), 5.5);
  f = smooth_min(f, capsule(p, 0, -42 - nl, 107 + 0.8 * nt, 0, -47.5 - 0.5 * nl, 97, 4.4, 5), 5);     /* columella */
  return smooth_max(f, -nostril_field(w, m, 1), 4);
}

/* Negative inside the head, about millimetres from the skin; without ears, eyeballs and hair.  m mirrors paired parts;
 * its x never quite reaches 0, which rounds the crease a mirror would leave in the midplane. */
static double head_field(const person *w, vec3 p) {
  vec3 m = vec(sqrt(p.x * p.x + 0.6), p.y, p.z);
  double cb = w->cheekbone, cf = w->cheek_fat, jaw = w->jaw, cw = w->chin_width, lf = w->lip_fullness, so = w->socket;
  double f = ellipsoid(p, 0, 27, -8, 74, 88, 92);                                                     /* cranium */
  f = smooth_min(f, ellipsoid(p, 0, 38, 28 + w->forehead, 60, 50, 58), 30);
  f = smooth_min(f, ellipsoid(p, 0, 62, -18, 69, 54, 74), 18);                                        /* parietal */
  f = smooth_min(f, ellipsoid(p, 0, -38, 28, 59, 58, 56), 22);                                        /* face core */
  f = smooth_min(f, ellipsoid(p, 0, -24, 6, 66, 56, 52), 20);
  f = smooth_min(f, ellipsoid(p, 0, -10, 27, 63, 44, 45), 16);
  f = smooth_min(f, ellipsoid(p, 0, -44, 52, 36, 40, 43), 16);                                        /* maxilla */
  f = smooth_min(f, ellipsoid(p, 0, -68, 58, 29, 24, 37), 14);                                        /* dental arch */
  f = smooth_min(f, ellipsoid(m, 27, -70, 68, 14, 19, 15), 14);                                       /* mouth corner */
  f = smooth_min(f, capsule(m, 36, -25, 66, 54 + cb, -19, 26, 13, 9), 22);                            /* cheekbone */
  f = smooth_min(f, capsule(m, 54 + cb, -19, 28, 58, -14, -2, 8.5, 7.5), 22);                         /* zygomatic arch */
  f = smooth_min(f, capsule(m, 45, 17, 60, 49, -16, 58, 7, 8), 14);                                   /* orbit rim */
  f = smooth_min(f, ellipsoid(m, 31, -50, 50, 24 + cf, 28, 29 + cf), 16);                             /* cheek */
  f = smooth_min(f, capsule(m, 41 + jaw, -71, 12, 16 + cw, -97, 68, 12, 13), 17);                     /* jaw body */
  f = smooth_min(f, ellipsoid(m, 41 + 0.5 * jaw, -51, 27, 18 + 0.4 * cf, 33, 30), 18);                   /* masseter */
  f = smooth_min(f, capsule(m, 42 + jaw, -69, 12, 56 + 0.4 * jaw, -18, 6, 12.5, 10), 20);             /* ramus */
  f = smooth_min(f, ellipsoid(p, 0, -72, 34, 46, 25, 46), 14);                                        /* mouth floor */
  f = smooth_min(f, ellipsoid(p, 0, -97, 77 + w->chin_forward, 17 + cw, 14, 15), 14);
  f = smooth_min(f, neck_field(w, p, m), 16);
  f = smooth_min(f, capsule(m, 9, 14, 80 + w->brow, 40, 19, 66 + 0.6 * w->brow, 10, 8), 14);
  f = smooth_min(f, ellipsoid(p, 0, 14, 80 + 0.9 * w->brow, 14, 11, 12), 10);                         /* glabella */
  f = smooth_max(f, -capsule(m, 17, 5.5, 96.5 - so, 43, 8, 91 - so, 6, 5), 7);                        /* eye socket */
  f = smooth_min(f, eye_ellipsoid(m, 1.105), 9);                                                      /* lids */
  f = nose_field(w, p, m, f);
  f = smooth_min(f, capsule(m, 0, -63.5, 91.5 + 1.6 * lf, 17, -67, 84.5 + lf, 6.2, 4.2), 8);
  f = smooth_min(f, capsule(m, 0, -75, 89.6 + 2 * lf, 13, -74, 86 + 1.4 * lf, 6.5, 5), 8);
  return f;
}

static vec3 head_normal(const person *who, vec3 p) {
  static const vec3 corner[4] = {{1, -1, -1}, {-1, -1, 1}, {-1, 1, -1}, {1, 1, 1}};
  vec3 g = {0, 0, 0};
  int i;
  for (i = 0; i < 4; i++) g = along(g, corner[i], head_field(who, along(p, corner[i], 0.05)));
  return unit(g);
}

/* 1 in the furrow around the wing of the nose. */
static double alar_groove(const person *who, vec3 p) {
  double x = fabs(p.x), off;
  if (p.z < 78 || x < 8 || p.y > -20) return 0;
  off = wing_field(who, vec(x, p.y, p.z));
  return bell(off - 2, 1.5) * ramp(-48, -43, p.y) * ramp(9, 13, x - 0.6 * who->nose_wing) * ramp(104, 98, p.z);
}

/* Folds too small for the head function: millimetres along its normal. */
static double crease_height(const person *who, vec3 p) {
  double x = fabs(p.x), y = p.y, height = 0, dx = x - EYE_CENTRE.x, fold, t, line;
  if (p.z < 30) return 0;
  height += ramp(-49, -52, y) * ramp(-63, -60, y) * (-1.0 * bell(x, 2) + 0.55 * bell(x - 4.6, 1.6));  /* philtrum */
  height -= 0.7 * alar_groove(who, p);
  t = clamp((-38 - y) / 34, 0, 1);
  line = 18.5 + 14 * pow(t, 1.2);
  height += ramp(-36, -42, y) * ramp(-78, -66, y) *                                                     /* nasolabial */
            (-0.9 * bell(x - line, 2.2) + 0.7 * bell(x - line - 6, 5));
  height += -1.1 * bell(x - who->mouth_half_width - 1.5, 2.8) * bell(y - LIP_LINE_Y - who->mouth_corner, 3.2);
  height += -1.2 * bell(y + 85, 3.2) * bell(x, 13);                                                   /* mentolabial */
  height += -0.8 * bell(y + 12.5 - 0.1 * dx, 2.8) * bell(x - 26, 9);                                  /* eye bag */
  fold = y - lid_crease_line(who, dx);
  height += -1.5 * bell(fold, 1.1) * ramp(17.5, 12, fabs(dx - 1));
  height += (0.9 + who->lid_hood) * bell(fold - 3.2, 2.4) * ramp(20, 12, fabs(dx - 2));
  if (x > 40) height += -2 * bell(y - 14, 16) * bell(p.z - 42, 16) * ramp(40, 46, x);                 /* temple */
  return height;
}

/* ------------------------------------------------------------------------------------------------------------ hair */

#define RAY_HEIGHT 5.0
#define RAY_ORIGIN vec(0, RAY_HEIGHT, 0)

/* Where a place lies in the hair: strands are lines of constant (east, north); polar runs along them. */
typedef struct { double east, north, polar; } strand;

static strand strand_at(const person *who, vec3 p) {
  vec3 d = unit(sub(p, RAY_ORIGIN)), n = unit(who->hair_pole), e = vec(1, 0, 0), g = cross(n, e);
  double x = dot(d, e), y = dot(d, g), r = fmax(sqrt(x * x + y * y), 1e-6);
  strand s;
  s.east = x / r;
  s.north = y / r;
  s.polar = atan2(r, dot(d, n));
  return s;
}

/* Noise in streaks about width x length millimetres (on a head of radius 95). */
static double streak(strand s, double width, double len, uint32_t seed) {
  return noise(vec(95 * s.east / width, 95 * s.north / width, 95 * s.polar / len), 1, seed);
}

/* Millimetres above the hairline, measured about square to it. */
static double above_hairline(const person *who, vec3 p) {
  knot line[HAIRLINE];
  double angle = fabs(atan2(p.x, p.z)) / DEG, slope;
  int i;
  for (i = 0; i < HAIRLINE; i++) { line[i].at = HAIRLINE_ANGLE[i]; line[i].value = who->hairline[i]; }
  slope = (polyline(line, HAIRLINE, angle + 2) - polyline(line, HAIRLINE, angle - 2)) / (4 * 1.3);
  return (p.y - polyline(line, HAIRLINE, angle)) / sqrt(1 + slope * slope);
}

/* Clumps, seen by the mesh and by the painter; wider at the back, where the mesh is coarser. */
static double clumps(const person *who, vec3 p, strand s) {
  double back = ramp(40, 110, fabs(atan2(p.x, p.z)) / DEG);
  return mix(0.6 * streak(s, 7, 45, who->seed) + 0.6 * streak(s, 13, 60, who->seed + 1),
             streak(s, 22, 70, who->seed + 2), back);
}

/* Moves a skin vertex out to the surface of the hair. */
static vec3 grow_hair(const person *who, vec3 p, vec3 normal) {
  double h = above_hairline(who, p), root = ramp(-1, 15, h), thickness;
  strand s = strand_at(who, p);
  vec3 d;
  double t, b, c;
  if (root <= 0) return p;
  thickness = mix(who->hair_side, who->hair_top, ramp(25, 95, p.y));
  thickness += who->hair_front * bell(p.x, 38) * bell(p.y - who->hairline[0] - 20, 16) * ramp(0, 40, p.z);
  thickness += who->hair_clump * clumps(who, p, s) * ramp(20, 80, p.y);
  p = along(p, normal, root * fmax(thickness, 0));
  if (who->bun_radius <= 0) return p;
  /* The bun: the far side of a ball that pokes out of the scalp, seen along the vertex's own ray. */
  d = unit(sub(p, RAY_ORIGIN));
  t = length(sub(p, RAY_ORIGIN));
  b = who->bun_distance * dot(d, unit(who->hair_pole));
  c = square(who->bun_distance) - square(who->bun_radius + 1.2 * streak(s, 25, 30, who->seed + 3));
  if (b > 0 && b * b > c) t = smooth_max(t, b + sqrt(b * b - c), 6);
  return along(RAY_ORIGIN, d, t);
}

/* ------------------------------------------------------------------------------------------------------------- warp */

/* From the canonical head to this person's proportions. */
static vec3 warp(const person *who, vec3 p) {
  knot rise[LANDMARKS];
  double front = ramp(-35, 45, p.z), x = fabs(p.x), side = sign(p.x), t, shift;
  vec3 q = p;
  int i;
  for (i = 0; i < LANDMARKS; i++) { rise[i].at = LANDMARK_HEIGHT[i]; rise[i].value = who->offset[i]; }
  t = clamp((p.y + 178) / (118 + 178), 0, 1);
  q.y += monotone_cubic(rise, LANDMARKS, p.y) * front + mix(who->offset[0], who->offset[LANDMARKS - 1], t) * (1 - front);
  /* Only the flanks are scaled: eyes, nose and mouth keep their size. */
  q.x *= 1 + (monotone_cubic(who->width, WIDTHS, p.y) - 1) * ramp(15, 50, x);
  q.z *= mix(who->depth, who->neck_depth, ramp(-110, -178, p.y));
  shift = ramp(30, 17, sqrt(square(x - EYE_CENTRE.x) + square(1.1 * p.y))) * ramp(20, 50, p.z);
  q.x += side * who->eye_apart * shift;
  q.x += who->asymmetry * sin(p.y / 38 + 0.6) * ramp(20, 80, p.z);
  q.y += 0.8 * who->asymmetry * sin(p.x / 30 + 0.4) * ramp(20, 80, p.z);
  return q;
}

/* ------------------------------------------------------------------------------------------------------------- mesh */

enum {
  COLUMNS = 144, HEAD_ROWS = 66, NECK_ROWS = 11, ROWS = HEAD_ROWS + NECK_ROWS, CROWN = COLUMNS / 4,
  VERTEX_COUNT = 18113, UV_COUNT = 18297, QUAD_COUNT = 18040,
  MAX_LOOP = 96
};

/* Ring coordinates, 0 on plain skin: around the eye (1 = lid edge, 2 = eyeball), the mouth (1 = lip border, 2 = between
 * the lips), the ear (0.8 = root, 1 to 3.2 from the back of the ear over its rim into the concha). */
typedef struct { double eye, mouth, ear; } rings;
typedef struct { double u, v; } uv;
typedef struct { int v, t; } corner; /* vertex and uv */
typedef struct { corner c[4]; } quad;
typedef struct {
  vec3 canonical; /* before hair and warp: where the painter works */
  vec3 normal;    /* canonical */
  vec3 position;  /* the finished head */
  rings ring;
  double light;   /* 1 = nothing near, towards 0 = deep in a fold */
  double facing;  /* cosine between the ray and the normal: low where texels are stretched */
} vertex;

typedef struct {
  const person *who;
  int vertex_count, uv_count, quad_count;
  double worst_residual; /* |head function| at the ray vertices */
  vertex vertices[VERTEX_COUNT];
  uv uvs[UV_COUNT];
  quad quads[QUAD_COUNT];
  double theta[COLUMNS];
  double phi[HEAD_ROWS][COLUMNS];
  int grid[ROWS][COLUMNS];    /* vertex, -1 inside a block */
  int seam_uv[ROWS];          /* column 0 again, at u = 1 */
} head;

/* A rectangle of grid cells that a feature takes over. */
typedef struct { int col0, row0, col1, row1; } block;
enum { MOUTH, EYE_LEFT, EYE_RIGHT, EAR_LEFT, EAR_RIGHT, BLOCKS };
static const block BLOCK[BLOCKS] = {
  {57, 44, 87, 58}, {79, 20, 99, 32}, {45, 20, 65, 32}, {119, 20, 129, 58}, {15, 20, 25, 58}};

static int add_uv(head *h, double u, double v) {
  assert(h->uv_count < UV_COUNT);
  h->uvs[h->uv_count].u = u;
  h->uvs[h->uv_count].v = v;
  return h->uv_count++;
}

static int add_vertex(head *h, vec3 p, rings ring) {
  vertex *v = &h->vertices[h->vertex_count];
  assert(h->vertex_count < VERTEX_COUNT);
  v->canonical = p;
  v->ring = ring;
  return h->vertex_count++;
}

/* Counter-clockwise seen from outside, for corners given as top left, top right, bottom right, bottom left. */
static void add_quad(head *h, corner tl, corner tr, corner br, corner bl) {
  quad *q = &h->quads[h->quad_count++];
  assert(h->quad_count <= QUAD_COUNT);
  q->c[0] = bl;
  q->c[1] = br;
  q->c[2] = tr;
  q->c[3] = tl;
}

/* Where the ray first leaves the head.  Small steps first, because nostrils and lip corners are thin, then the false
 * position method with the Illinois correction (Dowell and Jarratt 1971). */
static vec3 cast_ray(head *h, vec3 origin, vec3 direction) {
  double t0 = 15, t1 = 15, f0 = head_field(h->who, along(origin, direction, t0)), f1 = f0, t = t0, f = f0;
  int i, same = 0;
  while (f1 < 0 && t1 < 240) {
    t0 = t1;
    f0 = f1;
    t1 += clamp(-0.5 * f0, 0.5, 3);
    f1 = head_field(h->who, along(origin, direction, t1));
  }
  for (i = 0; i < 60; i++) {
    t = (t0 * f1 - t1 * f0) / (f1 - f0);
    f = head_field(h->who, along(origin, direction, t));
    if (fabs(f) < 1e-6 || t1 - t0 < 1e-9) break;
    if (f < 0) {
      t0 = t; f0 = f;
      if (same == -1) f1 *= 0.5;
      same = -1;
    } else {
      t1 = t; f1 = f;
      if (same == 1) f0 *= 0.5;
      same = 1;
    }
  }
  h->worst_residual = fmax(h->worst_residual, fabs(f));
  return along(origin, direction, t);
}

static vec3 add_creases(const head *h, vec3 p) {
  double height = crease_height(h->who, p);
  return height == 0 ? p : along(p, head_normal(h->who, p), height);
}

static vec3 direction_of(double theta, double phi) {
  return vec(sin(theta) * cos(phi), sin(phi), cos(theta) * cos(phi));
}

static vec3 skin_at(head *h, double theta, double phi) {
  return add_creases(h, cast_ray(h, RAY_ORIGIN, direction_of(theta, phi)));
}

static void angles_of(vec3 p, double *theta, double *phi) {
  vec3 d = sub(p, RAY_ORIGIN);
  *theta = atan2(d.x, d.z);
  *phi = atan2(d.y, sqrt(d.x * d.x + d.z * d.z));
}

/* Rows are closest under the nose, columns in front. */
static void lay_out_angles(head *h) {
  static const knot step[] = {{-64, 2.4}, {-50, 1.8}, {-44, 1.3}, {-34, 1.25}, {-31, 0.95}, {-23, 0.95}, {-20, 1.2},
                              {-14, 1.35}, {-9, 1.45}, {9, 1.45}, {14, 1.6}, {24, 2.2}, {40, 2.9}, {60, 3.3}};
  double phi = 56;
  int r, i;
  for (i = 0; i < COLUMNS; i++) {
    double s = (i - COLUMNS / 2) / (COLUMNS / 2.0);
    h->theta[i] = PI * (0.5 * s + 0.5 * s * s * s);
  }
  for (r = 0; r < HEAD_ROWS; r++) {
    for (i = 0; i < COLUMNS; i++) {
      /* Behind, rows bend up: straight ones would run far down the nape and fold against the neck's rows. */
      double back = 1 - 0.36 * ramp(45, 180, fabs(h->theta[i]) / DEG);
      h->phi[r][i] = (phi < -8 ? -8 + (phi + 8) * back : phi) * DEG;
    }
    phi -= 1.09 * polyline(step, COUNT(step), phi);
  }
}

/* Neck rows blend from the last head row to horizontal rays; the last ones turn under the cut. */
static vec3 neck_point(head *h, int n, int column) {
  enum { CAST_ROWS = NECK_ROWS - 2 };
  double k = fmin(n / (double)CAST_ROWS, 1), theta = h->theta[column];
  double slope = tan(h->phi[HEAD_ROWS - 1][column]) * (1 - k);
  vec3 origin = vec(0, 5 - 171 * k, -30 * ramp(0, 1, k));
  vec3 p = cast_ray(h, origin, unit(vec(sin(theta), slope, cos(theta))));
  /* Towards the cut the section becomes an ellipse, so that the bust ends in a clean line. */
  double wide = h->who->neck_radius + 15, deep = h->who->neck_radius + (cos(theta) > 0 ? -6 : 6);
  double radius = 1 / sqrt(square(sin(theta) / wide) + square(cos(theta) / deep));
  vec3 outwards = vec(sin(theta), 0, cos(theta)), base = add(vec(0, p.y, -30), scale(outwards, radius));
  p = mix3(p, base, ramp(0.3, 1.05, k));
  if (n > CAST_ROWS) {
    double tuck = n - CAST_ROWS;
    p = along(p, outwards, tuck < 2 ? -1.2 : -5.5);
    p.y -= tuck < 2 ? 3.2 : 4.6;
  }
  return p;
}

/* Whether a block takes the cell right of and below a grid vertex, or (margin 1) the vertex itself. */
static bool in_block(int row, int column, int margin) {
  int b;
  for (b = 0; b < BLOCKS; b++)
    if (column >= BLOCK[b].col0 + margin && column < BLOCK[b].col1 &&
        row >= BLOCK[b].row0 + margin && row < BLOCK[b].row1) return true;
  return false;
}

static double row_v(int row) { return 0.80 * (1 - row / (double)(ROWS - 1)); }

/* Column COLUMNS is column 0 on the other side of the texture. */
static corner grid_corner(const head *h, int row, int column) {
  corner c;
  c.v = h->grid[row][column % COLUMNS];
  c.t = column == COLUMNS ? h->seam_uv[row] : c.v; /* vertex and uv are added in step, see build_head */
  return c;
}

/* Rays graze the flanks of the nose and would leave few, long cells there.  This lets the vertices slide along the
 * surface until they are spread evenly. */
static void relax_nose(head *h) {
  enum { TOP = 15, BOTTOM = 44, REACH = 18, MIDDLE = COLUMNS / 2, ROUNDS = 24 };
  int round, r, i, k;
  for (round = 0; round < ROUNDS; round++)
    for (r = TOP; r < BOTTOM; r++)
      for (i = MIDDLE - REACH; i <= MIDDLE + REACH; i++) {
        /* Between the eyes the zone is narrow: the borders of the blocks stay. */
        double reach = mix(6.5, REACH, ramp(32, 37, r));
        double weight = ramp(reach, reach - 4, abs(i - MIDDLE)) * ramp(BOTTOM, BOTTOM - 2.5, r) * ramp(TOP, TOP + 5, r);
        vec3 *p, middle = {0, 0, 0};
        if (weight <= 0) continue;
        p = &h->vertices[h->grid[r][i]].canonical;
        for (k = 0; k < 4; k++) {
          int row = r + (k == 0) - (k == 1), column = i + (k == 2) - (k == 3);
          middle = along(middle, h->vertices[h->grid[row][column]].canonical, 0.25);
        }
        *p = mix3(*p, middle, 0.7 * weight);
        for (k = 0; k < (round + 1 < ROUNDS ? 1 : 8); k++)
          *p = along(*p, head_normal(h->who, *p), -head_field(h->who, *p));
        if (round + 1 == ROUNDS) h->worst_residual = fmax(h->worst_residual, fabs(head_field(h->who, *p)));
      }
}

static void build_grid(head *h) {
  static const rings none = {0, 0, 0};
  int r, i;
  for (r = 0; r < ROWS; r++)
    for (i = 0; i < COLUMNS; i++) {
      h->grid[r][i] = -1;
      if (in_block(r, i, 1)) continue;
      h->grid[r][i] = add_vertex(h, r < HEAD_ROWS ? cast_ray(h, RAY_ORIGIN, direction_of(h->theta[i], h->phi[r][i]))
                                                  : neck_point(h, r - HEAD_ROWS + 1, i), none);
      add_uv(h, i / (double)COLUMNS, row_v(r));
    }
  relax_nose(h);
  for (r = 0; r < HEAD_ROWS; r++)
    for (i = 0; i < COLUMNS; i++)
      if (h->grid[r][i] >= 0) {
        vec3 *p = &h->vertices[h->grid[r][i]].canonical;
        *p = add_creases(h, *p);
      }
}

static void connect_grid(head *h) {
  int r, i;
  for (r = 0; r + 1 < ROWS; r++)
    for (i = 0; i < COLUMNS; i++)
      if (!in_block(r, i, 0))
        add_quad(h, grid_corner(h, r, i), grid_corner(h, r, i + 1),
                 grid_corner(h, r + 1, i + 1), grid_corner(h, r + 1, i));
}

/* ------------------------------------------------------------------------------------------------- patches of rings */

/* The loop around n x m cells starts top left and runs clockwise; cell corner (i, j) on it is number: */
static int loop_index(int n, int m, int i, int j) {
  if (j == 0) return i;
  if (i == n) return n + j;
  if (j == m) return 2 * n + m - i;
  return 2 * (n + m) - j;
}

/* Coons patch: the inner point (i, j) of n x m cells from its border loop. */
static vec3 coons(const vec3 *loop, int n, int m, int i, int j) {
  double s = i / (double)n, t = j / (double)m;
  vec3 rows = mix3(loop[loop_index(n, m, i, 0)], loop[loop_index(n, m, i, m)], t);
  vec3 cols = mix3(loop[loop_index(n, m, 0, j)], loop[loop_index(n, m, n, j)], s);
  vec3 ends = mix3(mix3(loop[0], loop[n], s), mix3(loop[2 * n + m], loop[n + m], s), t);
  return sub(add(rows, cols), ends);
}

/* Fills n x m cells inside a closed loop.  (i, j) of the new vertices runs row by row. */
static void fill_cells(head *h, const corner *loop, int n, int m, int first_vertex, int first_uv) {
  int i, j, k;
  for (j = 0; j < m; j++)
    for (i = 0; i < n; i++) {
      corner c[4];
      for (k = 0; k < 4; k++) {
        int x = i + (k == 1 || k == 2), y = j + (k >= 2);
        if (x == 0 || y == 0 || x == n || y == m) {
          c[k] = loop[loop_index(n, m, x, y)];
        } else {
          c[k].v = first_vertex + (y - 1) * (n - 1) + x - 1;
          c[k].t = first_uv + (y - 1) * (n - 1) + x - 1;
        }
      }
      add_quad(h, c[0], c[1], c[2], c[3]);
    }
}

/* The square cap.  Only its front edge shares uv with the grid. */
static void build_crown(head *h) {
  enum { SIDE = CROWN, LOOP = 4 * CROWN, BACK_LEFT = COLUMNS + CROWN / 2 };
  static const rings none = {0, 0, 0};
  corner loop[LOOP];
  vec3 flat[LOOP];
  int k, i, j, first = h->vertex_count; /* of the inside, vertices and uv alike */
  double left = 1.5 * CROWN;
  for (k = 0; k < LOOP; k++) {
    int column = (BACK_LEFT - k) % COLUMNS;
    double r = PI / 2 - h->phi[0][column];
    loop[k].v = h->grid[0][column];
    flat[k] = vec(r * sin(h->theta[column]), r * cos(h->theta[column]), 0);
  }
  for (j = 1; j < SIDE; j++)
    for (i = 1; i < SIDE; i++) {
      vec3 p = coons(flat, SIDE, SIDE, i, j);
      add_vertex(h, skin_at(h, atan2(p.x, p.y), PI / 2 - sqrt(p.x * p.x + p.y * p.y)), none);
      add_uv(h, (left + i) / COLUMNS, 1.0 - 0.20 * j / SIDE);
    }
  for (k = 0; k < LOOP; k++) {
    if (k >= 2 * SIDE && k <= 3 * SIDE) loop[k].t = loop[k].v; /* the front edge */
    else if (k < SIDE) loop[k].t = add_uv(h, (left + k) / COLUMNS, 1.0);
    else if (k < 2 * SIDE) loop[k].t = add_uv(h, (left + SIDE) / COLUMNS, 1.0 - 0.20 * (k - SIDE) / SIDE);
    else loop[k].t = add_uv(h, left / COLUMNS, 0.80 + 0.20 * (k - 3 * SIDE) / SIDE);
  }
  fill_cells(h, loop, SIDE, SIDE, first, first);
}

/* A block being filled: the latest ring, and for each place on it the block's border. */
typedef struct {
  head *h;
  int n, m, count;
  corner ring[MAX_LOOP];
  double a[MAX_LOOP], b[MAX_LOOP]; /* on the border of [-1, 1] x [-1, 1] */
  double c[MAX_LOOP], s[MAX_LOOP]; /* cosine and sine of their direction: the contour parameter */
  double theta[MAX_LOOP], phi[MAX_LOOP];
  double u, v, half_u, half_v;     /* the block in the texture */
  double contour_u, contour_v;     /* size of the uv contour, relative to the block */
} patch;

static patch begin_patch(head *h, int which, double contour_u, double contour_v) {
  block b = BLOCK[which];
  patch s;
  int k;
  memset(&s, 0, sizeof s);
  s.h = h;
  s.n = b.col1 - b.col0;
  s.m = b.row1 - b.row0;
  s.count = 2 * (s.n + s.m);
  s.u = (b.col0 + b.col1) / (2.0 * COLUMNS);
  s.half_u = s.n / (2.0 * COLUMNS);
  s.v = (row_v(b.row0) + row_v(b.row1)) / 2;
  s.half_v = (row_v(b.row0) - row_v(b.row1)) / 2;
  s.contour_u = contour_u;
  s.contour_v = contour_v;
  assert(s.count <= MAX_LOOP);
  for (k = 0; k < s.count; k++) {
    int i = k < s.n ? k : k < s.n + s.m ? s.n : k < 2 * s.n + s.m ? 2 * s.n + s.m - k : 0;
    int j = k < s.n ? 0 : k < s.n + s.m ? k - s.n : k < 2 * s.n + s.m ? s.m : 2 * (s.n + s.m) - k;
    double r;
    s.a[k] = 2.0 * i / s.n - 1;
    s.b[k] = 1 - 2.0 * j / s.m;
    r = sqrt(square(s.a[k]) + square(s.b[k]));
    s.c[k] = s.a[k] / r;
    s.s[k] = s.b[k] / r;
    s.ring[k] = grid_corner(h, b.row0 + j, b.col0 + i);
    s.theta[k] = h->theta[b.col0 + i];
    s.phi[k] = h->phi[b.row0 + j][b.col0 + i];
  }
  return s;
}

/* Adds a ring inside the latest one; uv runs from the block's border (0) over the contour (1) to its centre (2). */
static void add_ring(patch *s, const vec3 *points, double uv_fraction, rings ring) {
  corner next[MAX_LOOP];
  int k;
  for (k = 0; k < s->count; k++) {
    double f = uv_fraction, inner = f > 1 ? 2 - f : f, outer = f > 1 ? 0 : 1 - f;
    next[k].v = add_vertex(s->h, points[k], ring);
    next[k].t = add_uv(s->h, s->u + s->half_u * (outer * s->a[k] + inner * s->contour_u * s->c[k]),
                       s->v + s->half_v * (outer * s->b[k] + inner * s->contour_v * s->s[k]));
  }
  for (k = 0; k < s->count; k++) {
    int l = (k + 1) % s->count;
    add_quad(s->h, s->ring[k], s->ring[l], next[l], next[k]);
  }
  memcpy(s->ring, next, sizeof next);
}

/* A ring on the skin, at a fraction of the way from the block's border to a contour. */
static void add_skin_ring(patch *s, const vec3 *contour, double fraction, double uv_fraction, rings ring) {
  vec3 points[MAX_LOOP];
  int k;
  for (k = 0; k < s->count; k++) {
    double theta, phi;
    angles_of(contour[k], &theta, &phi);
    points[k] = skin_at(s->h, mix(s->theta[k], theta, fraction), mix(s->phi[k], phi, fraction));
  }
  add_ring(s, points, uv_fraction, ring);
}

/* Closes the patch with n x m cells.  border is the latest ring in any coordinates; place, if given, turns those into
 * positions. */
static void close_patch(patch *s, const vec3 *border, vec3 (*place)(const person *, vec3, double),
                        double side, rings ring) {
  head *h = s->h;
  vec3 border_uv[MAX_LOOP];
  int i, j, k, first_vertex = h->vertex_count, first_uv = h->uv_count;
  for (k = 0; k < s->count; k++) border_uv[k] = vec(h->uvs[s->ring[k].t].u, h->uvs[s->ring[k].t].v, 0);
  for (j = 1; j < s->m; j++)
    for (i = 1; i < s->n; i++) {
      vec3 p = coons(border, s->n, s->m, i, j), t = coons(border_uv, s->n, s->m, i, j);
      add_vertex(h, place ? place(h->who, p, side) : p, ring);
      add_uv(h, t.x, t.y);
    }
  fill_cells(h, s->ring, s->n, s->m, first_vertex, first_uv);
}

static rings eye_ring(double q) { rings r = {0, 0, 0}; r.eye = q; return r; }
static rings mouth_ring(double q) { rings r = {0, 0, 0}; r.mouth = q; return r; }
static rings ear_ring(double q) { rings r = {0, 0, 0}; r.ear = q; return r; }

static vec3 place_on_eye(const person *who, vec3 offset, double side) {
  (void)who;
  return on_eye(offset.x, offset.y, 1, side);
}

static void build_eye(head *h, double side) {
  /* ring coordinate, uv, how far inwards from the lid edge, ellipsoid size: edge, margin, waterline, eyeball */
  static const double edge[5][4] = {
    {1.0, 1.00, 0.00, 1.100}, {1.4, 1.06, 0.25, 1.065}, {1.8, 1.11, 0.50, 1.012},
    {2.0, 1.14, 0.80, 1.000}, {2.2, 1.22, 1.60, 1.000}};
  static const double approach[6] = {0.25, 0.47, 0.66, 0.80, 0.90, 0.96};
  patch s = begin_patch(h, side > 0 ? EYE_LEFT : EYE_RIGHT, 0.86, 0.86 * 0.72);
  vec3 offset[MAX_LOOP], points[MAX_LOOP];
  int i, k;
  for (i = -6; i < 5; i++) {
    const double *e = edge[i < 0 ? 0 : i];
    for (k = 0; k < s.count; k++) {
      double c = side * s.c[k], half = h->who->eye_half_length - 1.2 * e[2];
      double dx = half * sign(c) * pow(fabs(c), 0.9);
      if (fabs(s.s[k]) < 1e-9) offset[k] = vec(dx, h->who->eye_tilt * dx, 0);
      else offset[k] = vec(dx, lid_line(h->who, dx, e[2], s.s[k] > 0), 0);
      points[k] = on_eye(offset[k].x, offset[k].y, e[3], side);
    }
    if (i < 0) add_skin_ring(&s, points, approach[i + 6], approach[i + 6], eye_ring(approach[i + 6]));
    else add_ring(&s, points, e[1], eye_ring(e[0]));
  }
  close_patch(&s, offset, place_on_eye, side, eye_ring(2.4));
}

static void build_mouth(head *h) {
  static const double approach[5] = {0.25, 0.48, 0.68, 0.84, 0.94};
  static const double lip[7] = {0, 0.12, 0.28, 0.46, 0.64, 0.80, 0.92};
  /* depth, +-y, ring, uv */
  static const double slit[3][4] = {{-0.7, 0.15, 2, 1.38}, {-4, 0.15, 2.5, 1.42}, {-8, 0.6, 3, 1.46}};
  const person *who = h->who;
  patch s = begin_patch(h, MOUTH, 0.80, 0.80 * 0.80);
  vec3 border[MAX_LOOP], line[MAX_LOOP], points[MAX_LOOP];
  int i, k;
  for (i = 0; i < 7; i++) {
    for (k = 0; k < s.count; k++) {
      double x = (who->mouth_half_width - 1.2 * lip[i]) * sign(s.c[k]) * pow(fabs(s.c[k]), 0.92);
      double aim = mouth_aim(x), middle = lip_line(who, x), y = middle;
      if (fabs(s.s[k]) > 1e-9) y = mix(lip_border(who, x, s.s[k] > 0), middle, lip[i]);
      border[k] = vec(x, y, aim);
      line[k] = vec(x, middle, aim);
    }
    if (i == 0)
      for (k = 0; k < 5; k++) add_skin_ring(&s, border, approach[k], approach[k], mouth_ring(approach[k]));
    add_skin_ring(&s, border, 1, 1 + 0.35 * lip[i], mouth_ring(1 + lip[i]));
  }
  for (k = 0; k < s.count; k++) line[k] = cast_ray(h, RAY_ORIGIN, unit(sub(line[k], RAY_ORIGIN)));
  for (i = 0; i < 3; i++) {
    for (k = 0; k < s.count; k++) {
      double up = s.s[k] > 1e-9 ? 1 : s.s[k] < -1e-9 ? -1 : 0;
      /* narrower inside, or the corners would fold over the cheek */
      points[k] = add(line[k], vec(0.015 * line[k].x * slit[i][0], up * slit[i][1], slit[i][0]));
    }
    add_ring(&s, points, slit[i][3], mouth_ring(slit[i][2]));
  }
  close_patch(&s, points, NULL, 1, mouth_ring(3.2));
}

/* The ear is drawn in its own plane: x runs backwards, y upwards, millimetres of an ear 64 tall. */
#define EAR_Y (-19.0)
#define EAR_Z (-12.0)
#define EAR_LEAN 0.15 /* its top lies this much farther back per height */
#define EAR_LENGTH 32.0
#define EAR_WIDTH 18.0
enum { EAR_KNOTS = 16 };

/* Both curves run from the back over the top.  In front the root lies outside the outline: there the ear has no back,
 * helix and tragus grow out of the cheek. */
static const double EAR_OUTLINE[EAR_KNOTS][2] = {
  {17.6, 1}, {18.8, 10}, {16.8, 19}, {11.5, 27}, {4, 31.5}, {-3, 30}, {-7.8, 24}, {-9.8, 15},
  {-10.6, 6}, {-11.2, -4}, {-11, -13}, {-9.4, -21}, {-5.6, -28.2}, {1.8, -31.8}, {9.2, -26}, {14.8, -12.5}};
static const double EAR_ROOT[EAR_KNOTS][2] = {
  {7, 1}, {7.5, 8}, {6.5, 15}, {3.5, 21}, {-1.5, 24.5}, {-7, 25}, {-11.3, 21}, {-13, 14},
  {-13.5, 5.5}, {-13.8, -4}, {-13.4, -13}, {-11.6, -20.5}, {-7.6, -25.5}, {-2.5, -25}, {3.5, -20}, {6, -10}};

/* Closed curve through the knots (Catmull and Rom 1974); t counts knots. */
static vec3 ear_curve(const double (*knots)[2], double t) {
  double u = t - floor(t), weight[4];
  int k, first = (int)floor(t);
  vec3 q = {0, 0, 0};
  weight[0] = 0.5 * u * (-1 + u * (2 - u));
  weight[1] = 0.5 * (2 + u * u * (3 * u - 5));
  weight[2] = 0.5 * u * (1 + u * (4 - 3 * u));
  weight[3] = 0.5 * u * u * (u - 1);
  for (k = 0; k < 4; k++) {
    const double *knot_at = knots[(first + k - 1 + EAR_KNOTS) % EAR_KNOTS];
    q = along(q, vec(knot_at[0], knot_at[1], 0), weight[k]);
  }
  return q;
}

/* A ridge of the given half width along a polyline of x, y, height. */
static double ridge(const double (*line)[3], int n, double x, double y, double half_width) {
  double best = 1e9, height = 0;
  int i;
  for (i = 0; i + 1 < n; i++) {
    double ex = line[i + 1][0] - line[i][0], ey = line[i + 1][1] - line[i][1];
    double t = clamp(((x - line[i][0]) * ex + (y - line[i][1]) * ey) / (ex * ex + ey * ey), 0, 1);
    double d = square(x - line[i][0] - t * ex) + square(y - line[i][1] - t * ey);
    if (d < best) {
      best = d;
      height = mix(line[i][2], line[i + 1][2], t);
    }
  }
  return height * bell(sqrt(best), half_width);
}

static double hollow(double x, double y, double cx, double cy, double rx, double ry) {
  return ramp(1.18, 0.60, sqrt(square((x - cx) / rx) + square((y - cy) / ry)));
}

/* What rises from the plane of the ear, or sinks below it. */
static double ear_relief(double x, double y) {
  static const double helix[][3] = {
    {2.0, -1.6, 0.3}, {-2, -0.2, 2.0}, {-5.4, 3.0, 3.3}, {-7.2, 9, 3.6}, {-7, 16, 3.6}, {-5, 23, 3.6}, {-1, 27.3, 3.6},
    {4, 28.6, 3.6}, {9.8, 24.9, 3.6}, {14, 18.2, 3.6}, {16, 10.5, 3.5}, {15.3, 2.5, 3.2}, {13.5, -5, 2.6},
    {11.5, -12.5, 1.8}, {9, -19, 0.7}};
  static const double antihelix[][3] = {
    {0.5, -16.8, 2.8}, {3.6, -15.6, 3.0}, {6.8, -11.5, 2.9}, {8.9, -5.5, 3.2}, {9.6, 0.5, 3.4}, {8.8, 6.5, 3.2},
    {7.6, 10.5, 2.6}, {6.6, 15.5, 1.9}, {5.6, 21, 0.6}};
  static const double fork[][3] = {{8.4, 7.5, 2.8}, {4.5, 10.6, 2.5}, {0, 11.6, 2.2}, {-4, 11.8, 1.6}};
  double up = ridge(helix, COUNT(helix), x, y, 1.75), floor_depth;
  up = smooth_max(up, ridge(antihelix, COUNT(antihelix), x, y, 2.0), 0.8);
  up = smooth_max(up, ridge(fork, COUNT(fork), x, y, 1.5), 0.8);
  up = smooth_max(up, 3.2 * bell(x + 6.6 + 0.2 * (y + 5), 2.0) * bell(y + 5.5, 3.4), 0.8);            /* tragus */
  up = smooth_max(up, 2.0 * bell(x - 1.5, 6) * bell(y + 25.5, 4.2), 0.8);                             /* lobe */
  /* The concha: its upper part, its deep lower one, and the notch that opens it between tragus and antitragus. */
  floor_depth = smooth_max(4.0 * hollow(x, y, 2.4, 1.0, 7.2, 9.0), 7.8 * hollow(x, y, 0.0, -7.6, 7.6, 7.6), 2);
  floor_depth = smooth_max(floor_depth, 3.4 * hollow(x, y, -4.2, -13.0, 3.0, 4.2), 2);
  return up - floor_depth - 0.7 * hollow(x, y, 12, 12, 3.5, 12);
}

/* How far the plane of the ear stands off the head. */
static double ear_stand(const person *who, double x, double y) {
  return tan(who->ear_angle * DEG) * smooth_max(x + 8.5, 0, 5) * mix(0.5, 1, ramp(-30, -10, y));
}

/* The place at (y, z) that stands a given distance off the side of the head. */
static vec3 beside_head(const person *who, double y, double z, double side, double height) {
  vec3 p = vec(side * (68 + height), y, z);
  int i;
  for (i = 0; i < 6; i++) p.x += side * (height - head_field(who, p));
  return p;
}

/* From the plane of the ear, z its height over the skin, to the head and back. */
static vec3 place_ear(const person *who, vec3 q, double side) {
  double up = q.y * who->ear_half_length / EAR_LENGTH, back = q.x * who->ear_half_width / EAR_WIDTH;
  return beside_head(who, EAR_Y + up, EAR_Z - back - EAR_LEAN * up, side, q.z);
}

static vec3 in_ear(const person *who, vec3 p) {
  double up = p.y - EAR_Y, back = EAR_Z - p.z - EAR_LEAN * up;
  return vec(back * EAR_WIDTH / who->ear_half_width, up * EAR_LENGTH / who->ear_half_length, 0);
}

static vec3 place_in_ear(const person *who, vec3 q, double side) {
  double size = who->ear_half_length / EAR_LENGTH;
  q.z = ear_stand(who, q.x, q.y) + size * ear_relief(q.x, q.y);
  return place_ear(who, q, side);
}

/* Rings up the back of the ear, over its edge, and inwards across its relief. */
static void build_ear(head *h, double side) {
  static const double approach[3][3] = {{0.50, 0.3, 0.3}, {0.85, 0.5, 0.6}, {1, 0.6, 0.8}}; /* fraction, uv, ring */
  static const double behind[4][4] = { /* from root to outline; height, likewise; ring, uv */
    {0.35, 0.42, 1.0, 0.64}, {0.70, 0.70, 1.2, 0.69}, {0.93, 0.88, 1.35, 0.74}, {1.00, 1.00, 1.5, 0.79}};
  static const double across[9][3] = { /* size about the middle, ring, uv */
    {0.970, 1.6, 0.83}, {0.925, 1.8, 0.88}, {0.865, 2.0, 0.95}, {0.795, 2.2, 1.02}, {0.720, 2.4, 1.10},
    {0.640, 2.6, 1.18}, {0.560, 2.8, 1.26}, {0.480, 3.0, 1.35}, {0.400, 3.2, 1.44}};
  const vec3 middle = vec(2.5, -1, 0);
  const person *who = h->who;
  patch s = begin_patch(h, side > 0 ? EAR_LEFT : EAR_RIGHT, 0.80, 0.80);
  vec3 root[MAX_LOOP], outline[MAX_LOOP], flat[MAX_LOOP], points[MAX_LOOP];
  int i, k;
  for (k = 0; k < s.count; k++) {
    double angle = atan2(s.s[k], side * s.c[k]), t;
    angle += 0.25 * sin(2 * angle); /* evens out the steps along the outline */
    t = fmod(angle / (2 * PI) + 1, 1) * EAR_KNOTS;
    root[k] = ear_curve(EAR_ROOT, t);
    outline[k] = ear_curve(EAR_OUTLINE, t);
    /* The edge is a little below the helix, and level with the skin where root and outline lie in front. */
    outline[k].z = ear_stand(who, outline[k].x, outline[k].y) + 0.3 * ramp(-10, -4, outline[k].x);
    points[k] = place_ear(who, root[k], side);
  }
  for (i = 0; i < 3; i++) add_skin_ring(&s, points, approach[i][0], approach[i][1], ear_ring(approach[i][2]));
  for (i = 0; i < 4; i++) {
    for (k = 0; k < s.count; k++) {
      vec3 q = mix3(root[k], outline[k], behind[i][0]);
      q.z = mix(0, outline[k].z, behind[i][1]);
      points[k] = place_ear(who, q, side);
    }
    add_ring(&s, points, behind[i][3], ear_ring(behind[i][2]));
  }
  for (i = 0; i < 9; i++) {
    for (k = 0; k < s.count; k++) {
      flat[k] = mix3(middle, outline[k], across[i][0]);
      points[k] = place_in_ear(who, flat[k], side);
    }
    add_ring(&s, points, across[i][2], ear_ring(across[i][1]));
  }
  close_patch(&s, flat, place_in_ear, side, ear_ring(3.3));
}

/* Area-weighted normals of the canonical head. */
static void find_normals(head *h) {
  int i, k;
  for (i = 0; i < h->vertex_count; i++) h->vertices[i].normal = vec(0, 0, 0);
  for (i = 0; i < h->quad_count; i++) {
    const corner *c = h->quads[i].c;
    vec3 across = sub(h->vertices[c[2].v].canonical, h->vertices[c[0].v].canonical);
    vec3 other = sub(h->vertices[c[3].v].canonical, h->vertices[c[1].v].canonical), n = cross(across, other);
    for (k = 0; k < 4; k++) h->vertices[c[k].v].normal = add(h->vertices[c[k].v].normal, n);
  }
  for (i = 0; i < h->vertex_count; i++) h->vertices[i].normal = unit(h->vertices[i].normal);
}

/* Averages the light over each vertex's quads, which hides the mesh in the long quads of the nose's flank. */
static void smooth_light(head *h, bool ears) {
  double *sum = (double *)calloc(2 * VERTEX_COUNT, sizeof *sum), *weight = sum + VERTEX_COUNT;
  int i, k, l;
  if (!sum) return; /* only a refinement */
  for (i = 0; i < h->quad_count; i++)
    for (k = 0; k < 4; k++)
      for (l = 0; l < 4; l++) {
        sum[h->quads[i].c[k].v] += h->vertices[h->quads[i].c[l].v].light;
        weight[h->quads[i].c[k].v] += 1;
      }
  for (i = 0; i < h->vertex_count; i++)
    if (h->vertices[i].ring.eye < 1 && (ears || h->vertices[i].ring.ear < 1.3))
      h->vertices[i].light = sum[i] / weight[i];
  free(sum);
}

/* Baked ambient light on the ear: how high its relief rises around a place.  On its back it falls towards the root. */
static double ear_light(const person *who, const vertex *v) {
  vec3 q = in_ear(who, v->canonical);
  double here = ear_relief(q.x, q.y), dark = 0;
  int i;
  if (v->ring.ear < 1.45) return mix(1, mix(0.62, 1, ramp(0.7, 1.5, v->ring.ear)), ramp(-9, -4, q.x));
  for (i = 0; i < 24; i++) {
    double angle = PI * i / 12, far = 2.0 * (1 << i % 3);
    double rise = ear_relief(q.x + far * cos(angle), q.y + far * sin(angle)) - here;
    dark += clamp(rise / far, 0, 1.5) / 24;
  }
  return clamp(1.06 - 1.7 * dark - 0.03 * fmax(-here, 0), 0.25, 1);
}

/* Baked ambient light: how fast the head function rises outside a place. */
static double ambient_light(const person *who, const vertex *v) {
  static const double probe[4][2] = {{3, 0.30}, {8, 0.30}, {18, 0.25}, {32, 0.15}};
  double dark = 0, here;
  int i;
  if (v->ring.eye >= 1.4) return 1;
  if (v->ring.ear > 0.9) return ear_light(who, v);
  here = fmin(head_field(who, v->canonical), 0); /* creases and bust lie below the function's zero */
  for (i = 0; i < 4; i++)
    dark += probe[i][1] *
            clamp(1 - (head_field(who, along(v->canonical, v->normal, probe[i][0])) - here) / probe[i][0], 0, 1);
  return 1 - dark;
}

static head *build_head(const person *who) {
  head *h = (head *)calloc(1, sizeof *h);
  int i;
  if (!h) return NULL;
  h->who = who;
  lay_out_angles(h);
  build_grid(h); /* from here to the crown's inside, vertices and uv come in step and have equal numbers */
  build_eye(h, 1);
  build_eye(h, -1);
  build_mouth(h);
  build_ear(h, 1);
  build_ear(h, -1);
  build_crown(h);
  for (i = 0; i < ROWS; i++) h->seam_uv[i] = add_uv(h, 1, row_v(i));
  connect_grid(h);
  find_normals(h);
  for (i = 0; i < h->vertex_count; i++) {
    vertex *v = &h->vertices[i];
    v->light = ambient_light(who, v);
    v->facing = dot(v->normal, unit(sub(v->canonical, RAY_ORIGIN)));
    v->position = warp(who, v->ring.ear < 0.35 ? grow_hair(who, v->canonical, v->normal) : v->canonical);
  }
  for (i = 0; i < 3; i++) smooth_light(h, i == 0); /* the ear's relief is fine, its mesh too */
  return h;
}

/* ---------------------------------------------------------------------------------------------------------- painting */

#ifndef TEXTURE_SIZE /* a smaller one is quicker to try things with */
#define TEXTURE_SIZE 2048
#endif
enum { GUTTER = 12 };

/* One texel's place on the canonical head. */
typedef struct {
  vec3 p;
  double x, front;  /* |p.x|, and 1 on the front of the head */
  double dx, dy;    /* from the centre of the nearer eye, outwards and up */
  rings ring;
  double ear;       /* 1 on the ear; it fades in where the ear grows out of the cheek */
  double light;
  double fine;      /* how much fine detail the texels can show: 0 where they are stretched */
} place;

/* The eyebrows as seen from the front, drawn stroke by stroke: coverage of 0.1 mm pixels. */
enum { BROW_WIDTH = 1600, BROW_HEIGHT = 400 };
#define BROW_PIXEL 0.1

typedef struct {
  const person *who;
  float *brows;
  double eye_sx, eye_sy; /* how the warp scales the eyes: the iris has to end up round */
} painter;

static void darken(vec3 *c, double amount, double r, double g, double b) {
  c->x *= 1 - amount * r;
  c->y *= 1 - amount * g;
  c->z *= 1 - amount * b;
}

static void cover(vec3 *c, vec3 paint, double opacity) { *c = mix3(*c, paint, clamp(opacity, 0, 1)); }

typedef struct { uint32_t state; } dice;

static double roll(dice *d) { d->state += 0x9e3779b9u; return fraction(scramble(d->state)); }

/* Value at t of the parabola through (0, a), (0.6, b), (1, c). */
static double through(double a, double b, double c, double t) {
  return a * (t - 0.6) * (t - 1) / 0.6 - b * t * (t - 1) / 0.24 + c * t * (t - 0.6) / 0.4;
}

static void draw_stroke(float *decal, double x, double y, double x2, double y2, double radius, double opacity) {
  int i, j, i0 = (int)floor((fmin(x, x2) - radius - 1)), i1 = (int)ceil(fmax(x, x2) + radius + 1);
  int j0 = (int)floor((fmin(y, y2) - radius - 1)), j1 = (int)ceil(fmax(y, y2) + radius + 1);
  double ex = x2 - x, ey = y2 - y, ee = fmax(ex * ex + ey * ey, 1e-9);
  for (j = j0 < 0 ? 0 : j0; j <= j1 && j < BROW_HEIGHT; j++)
    for (i = i0 < 0 ? 0 : i0; i <= i1 && i < BROW_WIDTH; i++) {
      double t = clamp(((i - x) * ex + (j - y) * ey) / ee, 0, 1);
      double d = sqrt(square(i - x - t * ex) + square(j - y - t * ey));
      double a = opacity * clamp(radius + 0.9 - d, 0, 1.8) / 1.8;
      float *texel = &decal[j * BROW_WIDTH + i];
      if (a > *texel) *texel = (float)a;
    }
}

static float *draw_brows(const person *who) {
  float *decal = (float *)calloc((size_t)BROW_WIDTH * BROW_HEIGHT, sizeof *decal);
  dice d = {who->seed * 977u};
  const double *b = who->brow_curve;
  int side, k, part;
  if (!decal) return NULL;
  for (side = -1; side <= 1; side += 2)
    for (k = 0; k < who->brow_strokes; k++) {
      double t = pow(roll(&d), 0.95), across = roll(&d) + roll(&d) - 1; /* denser in the middle of the band */
      double taper = ramp(-0.12, 0.16, t) * mix(1, 0.28, ramp(0.35, 1, t));
      double x = through(b[0], b[2], b[4], t);
      double y = through(b[1], b[3], b[5], t) + 0.5 * across * who->brow_thickness * taper;
      double angle = t < 0.5 ? mix(68, -4, ramp(0, 0.5, t)) : mix(-4, -26, (t - 0.5) / 0.5);
      double hair = 4 + 3 * roll(&d), bend = -15 * DEG, shade = (0.55 + 0.45 * roll(&d)) * mix(0.55, 1, ramp(0, 0.14, t));
      angle = (angle + 14 * roll(&d) - 7 - 12 * across) * DEG;
      x -= 0.35 * hair * cos(angle);
      y -= 0.35 * hair * sin(angle);
      for (part = 0; part < 3; part++) {
        double nx = x + hair / 3 * cos(angle), ny = y + hair / 3 * sin(angle);
        draw_stroke(decal, BROW_WIDTH / 2 + side * x / BROW_PIXEL, y / BROW_PIXEL,
                    BROW_WIDTH / 2 + side * nx / BROW_PIXEL, ny / BROW_PIXEL, 1.5 - 0.4 * part, shade * (1 - 0.2 * part));
        x = nx;
        y = ny;
        angle += bend / 2;
      }
    }
  return decal;
}

static double brow_coverage(const painter *w, vec3 p) {
  double fx = p.x / BROW_PIXEL + BROW_WIDTH / 2, fy = p.y / BROW_PIXEL, tx, ty;
  const float *t;
  int i = (int)floor(fx), j = (int)floor(fy);
  if (p.z < 50 || i < 0 || j < 0 || i + 1 >= BROW_WIDTH || j + 1 >= BROW_HEIGHT) return 0;
  tx = fx - i;
  ty = fy - j;
  t = &w->brows[j * BROW_WIDTH + i];
  return mix(mix((double)t[0], (double)t[1], tx), mix((double)t[BROW_WIDTH], (double)t[BROW_WIDTH + 1], tx), ty) *
         ramp(50, 58, p.z);
}

static vec3 paint_skin(const person *who, const place *s) {
  double m = 0.035 * noise(s->p, 38, 1) + 0.025 * noise(s->p, 14, 2) + 0.02 * noise(s->p, 5, 3);
  double pores = 1 + s->fine * who->pores * (0.5 * noise(s->p, 1.1, 4) + 0.5 * noise(s->p, 0.55, 5));
  return scale(times(who->skin, vec(1 + 0.8 * m, 1 + m, 1 + 1.15 * m)), pores);
}

static void paint_blush(vec3 *c, const person *who, const place *s) {
  double x = s->x, y = s->p.y, w;
  w = 0.85 * bell(x - 40, 13) * bell(y + 30, 13) + 0.5 * bell(x, 10) * bell(y + 38, 8) * ramp(92, 104, s->p.z) +
      0.4 * bell(x - 14, 6) * bell(y + 42, 6) + 0.3 * bell(x, 13) * bell(y + 97, 9) +
      0.25 * bell(x, 22) * bell(y - 20, 9);
  w = w * s->front + 0.7 * s->ear;
  if (w > 0.002) {
    w = clamp(w * (1 + 0.35 * noise(s->p, 9, 6)), 0, 1);
    darken(c, who->blush * w, 0.04, 0.42, 0.42);
  }
  /* where skin shines a little: forehead, bridge and tip of the nose, cheekbones */
  w = 0.04 * bell(y - 45, 18) + 0.05 * bell(x, 3.5) * (ramp(8, 0, y) * ramp(-30, -16, y) + 1.2 * bell(y + 34, 4)) +
      0.04 * bell(x - 43, 9) * bell(y + 13, 6);
  w *= s->front;
  *c = times(*c, vec(1 + w, 1 + w, 1 + 0.8 * w));
  darken(c, who->orbit_shade * s->front * bell(s->dx, 17) * bell(y - 1, 11), 0.55, 0.9, 0.75);
  darken(c, 0.07 * s->front * bell(x - 25, 9) * bell(y + 12.5, 4), 0.8, 1, 0.7);
}

static void paint_freckles(vec3 *c, const person *who, const place *s) {
  double u = 105 * atan2(s->p.x, s->p.z + 20), y = s->p.y, mask, spots;
  if (who->freckles <= 0 || s->ring.mouth > 0.9 || s->ring.eye > 0.9 || s->ring.ear > 0.3) return;
  mask = bell(s->x - 30, 18) * bell(y + 24, 13) + 0.9 * bell(s->x, 14) * bell(y + 22, 13) + 0.12 * ramp(-115, -80, y);
  mask = clamp(mask, 0, 1) * s->front * s->fine;
  if (mask < 0.01) return;
  spots = fmax(0.75 * dots(u, y, 2.7, 0.65, 0.22, 0.68, who->seed),
               0.55 * dots(u, y, 1.5, 0.55, 0.15, 0.36, who->seed + 1));
  cover(c, times(*c, vec(0.80, 0.62, 0.50)), who->freckles * mask * spots);
}

static void paint_stubble(vec3 *c, const person *who, const place *s) {
  double x = s->x, y = s->p.y, z = s->p.z, limit, mask, u;
  if (who->stubble <= 0 || z < -32 || y < -135 || y > 10) return;
  limit = -46 - 14 * exp(-square(x / 30)) + 20 * ramp(44, 64, x);
  mask = ramp(limit + 8, limit - 12, y + 3 * noise(s->p, 6, 21)) * ramp(-128, -112, y);
  mask = fmax(mask, bell(y + 56, 5.5) * ramp(27, 19, x) * ramp(0.5, 3.5, x + 1.2));           /* moustache */
  mask = fmax(mask, 0.8 * bell(x, 6) * bell(y + 84, 5));
  mask *= ramp(-32, 0, z) * ramp(1.0, 0.9, s->ring.mouth) * (1 - s->ear);
  if (mask < 0.01) return;
  darken(c, who->stubble * mask * (0.55 + 0.12 * noise(s->p, 6, 22)), 0.42, 0.36, 0.28);
  u = 100 * atan2(s->p.x, z + 10);
  darken(c, 0.25 * mask * dots(u, y + 0.4 * z, 1.15, 0.9, 0.16, 0.30, who->seed + 2), 1, 1, 1);
}

/* Red is kept: light in the folds of skin is warm. */
static void paint_shadow(vec3 *c, const person *who, const place *s) {
  double light = s->light, eyes = s->front * bell(s->dx, 20) * bell(s->p.y, 14);
  double under_nose = s->front * bell(s->x, 14) * bell(s->p.y + 48, 9);
  light += 0.40 * eyes * (1 - light);
  light = mix(light, fmax(light, 0.62), under_nose);
  /* The function's own shadows are too strong at the nose's flank and at the corners of the mouth. */
  light += 0.60 * (1 - light) * s->front * bell(s->x - 14, 6) * ramp(10, 0, s->p.y) * ramp(-52, -45, s->p.y);
  light += 0.5 * (1 - light) * s->front * bell(s->x - 28, 9) * bell(s->p.y + 68, 9);
  darken(c, 0.80 * (1 - light), 0.62, 0.85, 0.90);
  darken(c, 0.22 * alar_groove(who, s->p), 0.7, 1, 1);
}

static void paint_brows(vec3 *c, const painter *w, const place *s) {
  double a = brow_coverage(w, s->p);
  if (a > 0) cover(c, w->who->brow_hair, a * w->who->brow_opacity);
}

static void paint_nostrils(vec3 *c, const person *who, const place *s) {
  vec3 m = vec(s->x, s->p.y - 1.4, s->p.z);
  double d;
  if (s->p.z < 85 || s->p.y > -35 || s->p.y < -60) return;
  d = nostril_field(who, m, 1.12);
  cover(c, vec(0.19, 0.08, 0.07), 0.88 * ramp(0.8, -0.9, d));
}

static void paint_lips(vec3 *c, const person *who, const place *s) {
  double q = s->ring.mouth, x = s->p.x, corner_spot;
  /* The lip line lives where build_mouth aims its rays. */
  double aim = s->p.z > 40 ? mouth_aim(x) / s->p.z : 1;
  bool upper = RAY_HEIGHT + (s->p.y - RAY_HEIGHT) * aim > lip_line(who, x * aim);
  vec3 lip = who->lip;
  corner_spot = s->front * bell(s->x - who->mouth_half_width - 0.3, 2) *
                bell(s->p.y - LIP_LINE_Y - who->mouth_corner, 1.8);
  if (q > 0.85) {
    lip = scale(lip, 1 + 0.045 * noise(vec(x, 0.12 * s->p.y, 0), 0.9, 31) + 0.04 * noise(s->p, 2.5, 32));
    if (upper) lip = scale(lip, 0.86);
    else lip = scale(lip, 1 + 0.14 * bell(q - 1.38, 0.16));
    lip = scale(lip, 1 - 0.35 * ramp(1.72, 1.97, q));
    cover(c, lip, who->lip_opacity * ramp(0.90, 1.03, q));
    cover(c, scale(who->lip, 0.28), ramp(1.92, 1.99, q));
  }
  cover(c, vec(0.28, 0.12, 0.10), 0.22 * corner_spot);
}

static void paint_ear(vec3 *c, const person *who, const place *s) {
  vec3 q;
  if (s->ring.ear < 1.4) return;
  q = in_ear(who, s->p);
  darken(c, -0.07 * ramp(1.2, 3.5, ear_relief(q.x, q.y)), 1, 1, 1);
  darken(c, 0.75 * bell(q.x + 4.2, 2.2) * bell(q.y + 6.5, 3), 0.75, 1, 1); /* the ear canal, behind the tragus */
}

static void paint_lids(vec3 *c, const person *who, const place *s) {
  double q = s->ring.eye, out = clamp(fabs(s->dx) / who->eye_half_length, 0, 1.2);
  double fold = s->dy - lid_crease_line(who, s->dx);
  bool upper = s->dy > who->eye_tilt * s->dx;
  if (s->p.z < 30 || q <= 0) return;
  if (q < 1.2 && upper) {
    double lid = s->dy - lid_line(who, s->dx, 0, true);
    cover(c, vec(0.70, 0.50, 0.45), who->eye_shadow * ramp(0, 1, lid) * ramp(0.6, -0.6, fold) * ramp(1.1, 0.8, out));
    darken(c, 0.30 * bell(fold, 0.9) * ramp(17.5, 12, fabs(s->dx - 1)), 0.8, 1, 1);
  }
  if (q > 1.15 && q < 2.02) cover(c, vec(0.66, 0.40, 0.36), 0.75 * ramp(1.2, 1.4, q) * ramp(2.02, 1.95, q));
  if (upper) {
    double from = 0.93 - 0.035 * who->lashes;
    cover(c, vec(0.09, 0.06, 0.05), mix(0.45, 0.95, ramp(-0.9, 0, s->dx / who->eye_half_length)) *
                                        ramp(from, from + 0.05, q) * ramp(1.6, 1.45, q) * ramp(1.0, 0.8, out));
  } else {
    cover(c, vec(0.16, 0.10, 0.08), (0.30 + 0.25 * who->lashes) * ramp(0.975, 1.0, q) * ramp(1.35, 1.15, q) *
                                        ramp(1.0, 0.75, out));
  }
}

/* The irises are turned in by as much as looks into a camera half a metre away. */
static void paint_eyeball(vec3 *c, const painter *w, const place *s) {
  const person *who = w->who;
  double mx = (s->dx + 0.9) * w->eye_sx, my = (s->dy - 0.8) * w->eye_sy, r = sqrt(mx * mx + my * my);
  double q = s->dx / who->eye_half_length, side = sign(s->p.x), angle, fibre, above, below;
  const double iris = 6.0;
  vec3 eye = who->sclera, ring;
  if (s->ring.eye <= 1.8 || s->p.z < 30) return;
  darken(&eye, 0.22 * fabs(q * q * q), 0.15, 1, 1);
  darken(&eye, 0.05 * clamp(noise(s->p, 1.6, 41), 0, 1) * q * q, 0, 1, 1);
  cover(&eye, vec(0.80, 0.45, 0.42), ramp(4.2, 1.8, s->dx + who->eye_half_length));
  if (r < iris + 1) {
    angle = atan2(my, mx);
    fibre = noise(vec(9 * cos(angle), 9 * sin(angle), 0.25 * r), 1, who->seed + 4) +
            0.5 * noise(vec(20 * cos(angle), 20 * sin(angle), 0.4 * r), 1, who->seed + 5);
    ring = mix3(who->iris_inner, who->iris_outer, ramp(0.35, 0.85, r / iris));
    ring = scale(ring, 1 + 0.20 * fibre);
    ring = scale(ring, 1 - 0.55 * ramp(0.72, 1.0, r / iris));
    ring = scale(ring, 1 + 0.25 * bell(my + 2.6, 2.0)); /* light gathers opposite the window */
    cover(&eye, ring, ramp(iris + 0.3, iris - 0.3, r));
    cover(&eye, vec(0.03, 0.025, 0.025), ramp(who->pupil + 0.2, who->pupil - 0.2, r));
  }
  above = lid_line(who, s->dx, 0.8, true) - s->dy;
  below = s->dy - lid_line(who, s->dx, 0.8, false);
  eye = scale(eye, (1 - 0.62 * ramp(4.4, -0.4, above)) * (1 - 0.25 * ramp(1.6, 0, below)));
  /* One catch light, on the same side in both eyes. */
  cover(&eye, vec(1, 1, 1), 0.95 * ramp(1.1, 0.7, sqrt(square(mx * side - 1.9) + square(my - 2.0))));
  cover(c, eye, ramp(1.93, 2.0, s->ring.eye));
}

static void paint_hair(vec3 *c, const person *who, const place *s) {
  double h, off_ear, edge, mask, fine, coarse, clump, polar, back, nape, from_bun, bun;
  strand at;
  vec3 hair;
  if (s->ring.ear > 0.85 || s->p.y < -100) return;
  h = above_hairline(who, s->p);
  if (h < -26) return;
  off_ear = ramp(0.85, 0.45, s->ring.ear);
  at = strand_at(who, s->p);
  polar = at.polar;
  from_bun = who->bun_radius > 0 ? polar * who->bun_distance / who->bun_radius : 9; /* 1 = where the bun begins */
  bun = ramp(1.12, 0.98, from_bun);
  /* Behind, texels are wider, and so are the finest strands. */
  back = ramp(50, 100, fabs(atan2(s->p.x, s->p.z)) / DEG);
  nape = who->hair_fade * ramp(-15, -55, s->p.y);
  fine = back < 1 ? streak(at, 0.45, 16, who->seed + 6) : 0;
  if (back > 0) fine = mix(fine, streak(at, 1.4, 24, who->seed + 9), back);
  coarse = streak(at, 1.8, 30, who->seed + 7);
  clump = clumps(who, s->p, at);
  if (bun > 0) { /* the coil of the bun: its strands run around the pole */
    double turn = 26 * polar + 0.5 * noise(vec(2 * at.east, 2 * at.north, 0), 1, 9);
    vec3 q = vec(turn * 3.2, 3 * at.east, 3 * at.north);
    fine = mix(fine, noise(scale(q, 3), 1, 10), bun);
    coarse = mix(coarse, noise(q, 1, 11), bun);
    clump = mix(clump, cos(turn * 2.2), bun);
  }
  /* Every strand has its own length, so the line frays; single fine hairs reach further into the skin. */
  edge = h + 2.2 * noise(s->p, 6, who->seed + 8) + 1.7 * coarse + 2.6 * fine;
  mask = ramp(-3 - 6 * nape, mix(7, 10, who->hair_fade) + 26 * nape, edge + 5 * nape * noise(s->p, 17, 13));
  mask = fmax(mask, 0.5 * ramp(0.45, 0.8, fine) * ramp(-9, -1, h) * (1 - nape));
  /* Short sides: the scalp shows through. */
  mask *= 1 - 0.45 * who->hair_fade * ramp(35, -40, s->p.y) * (0.75 - 0.5 * fine);
  cover(c, times(*c, mix3(who->hair, vec(1, 1, 1), 0.45)), 0.5 * off_ear * ramp(-12 - 10 * nape, 2, h));
  hair = scale(who->hair, (1 + 0.26 * fine + 0.24 * coarse) * (1 + 0.22 * clump) * (1 + 0.12 * noise(s->p, 24, 12)));
  hair = scale(hair, 1 + (0.20 + 0.20 * fine) * ramp(0, 20, h) * (1 - bun) *
                             bell(polar - who->hair_sheen - 0.05 * coarse, 0.16));
  hair = scale(hair, 1 - 0.40 * bell(from_bun - 1.06, 0.10));
  cover(c, hair, mask * off_ear);
}

static vec3 paint(const painter *w, const place *s) {
  vec3 c = paint_skin(w->who, s);
  paint_blush(&c, w->who, s);
  paint_freckles(&c, w->who, s);
  paint_stubble(&c, w->who, s);
  paint_brows(&c, w, s);
  paint_lips(&c, w->who, s);
  paint_ear(&c, w->who, s);
  paint_hair(&c, w->who, s);
  paint_shadow(&c, w->who, s);
  paint_nostrils(&c, w->who, s);
  paint_lids(&c, w->who, s);
  paint_eyeball(&c, w, s);
  return c;
}

/* -------------------------------------------------------------------------------------------------------- texture */

typedef struct { int size; uint8_t *pixels; uint8_t *covered; } texture;

static uint8_t to_byte(double x) { return (uint8_t)(255 * clamp(x, 0, 1) + 0.5); }

static place blend_places(const person *who, const vertex *a, const vertex *b, const vertex *c,
                          double wa, double wb, double wc) {
  place s;
  s.p = add(add(scale(a->canonical, wa), scale(b->canonical, wb)), scale(c->canonical, wc));
  s.ring.eye = a->ring.eye * wa + b->ring.eye * wb + c->ring.eye * wc;
  s.ring.mouth = a->ring.mouth * wa + b->ring.mouth * wb + c->ring.mouth * wc;
  s.ring.ear = a->ring.ear * wa + b->ring.ear * wb + c->ring.ear * wc;
  s.light = a->light * wa + b->light * wb + c->light * wc;
  s.fine = ramp(0.2, 0.65, a->facing * wa + b->facing * wb + c->facing * wc);
  s.x = fabs(s.p.x);
  s.front = ramp(30, 60, s.p.z);
  s.ear = s.ring.ear > 0.6 ? ramp(0.6, 1.6, s.ring.ear) * ramp(-13, -6, in_ear(who, s.p).x) : 0;
  s.dx = s.x - EYE_CENTRE.x;
  s.dy = s.p.y - EYE_CENTRE.y;
  return s;
}

/* Paints the texels whose centre lies in a uv triangle. */
static void paint_triangle(texture *t, const painter *w, const head *h,
                           const corner *a, const corner *b, const corner *c) {
  double size = t->size, x[3], y[3], area;
  const corner *at[3];
  int k, i, j, i0, i1, j0, j1;
  at[0] = a; at[1] = b; at[2] = c;
  for (k = 0; k < 3; k++) {
    x[k] = h->uvs[at[k]->t].u * size - 0.5;
    y[k] = (1 - h->uvs[at[k]->t].v) * size - 0.5;
  }
  area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
  i0 = (int)ceil(fmin(x[0], fmin(x[1], x[2])) - 1e-6);
  i1 = (int)floor(fmax(x[0], fmax(x[1], x[2])) + 1e-6);
  j0 = (int)ceil(fmin(y[0], fmin(y[1], y[2])) - 1e-6);
  j1 = (int)floor(fmax(y[0], fmax(y[1], y[2])) + 1e-6);
  for (j = j0 < 0 ? 0 : j0; j <= j1 && j < t->size; j++)
    for (i = i0 < 0 ? 0 : i0; i <= i1 && i < t->size; i++) {
      double wb = ((i - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (j - y[0])) / area;
      double wc = ((x[1] - x[0]) * (j - y[0]) - (i - x[0]) * (y[1] - y[0])) / area;
      size_t at_texel = (size_t)j * (size_t)t->size + (size_t)i;
      place s;
      vec3 colour;
      if (wb < -1e-7 || wc < -1e-7 || wb + wc > 1 + 1e-7 || t->covered[at_texel]) continue;
      s = blend_places(h->who, &h->vertices[a->v], &h->vertices[b->v], &h->vertices[c->v], 1 - wb - wc, wb, wc);
      colour = paint(w, &s);
      t->pixels[3 * at_texel] = to_byte(colour.x);
      t->pixels[3 * at_texel + 1] = to_byte(colour.y);
      t->pixels[3 * at_texel + 2] = to_byte(colour.z);
      t->covered[at_texel] = 1;
    }
}

/* Spreads the chart's border colours outwards, so that filtering never sees the unpainted part. */
static void fill_gutter(texture *t) {
  int pass, i, j, k, c;
  for (pass = 1; pass <= GUTTER; pass++)
    for (j = 0; j < t->size; j++)
      for (i = 0; i < t->size; i++) {
        static const int step[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
        size_t here = (size_t)j * (size_t)t->size + (size_t)i;
        int sum[3] = {0, 0, 0}, n = 0;
        if (t->covered[here]) continue;
        for (k = 0; k < 4; k++) {
          int x = i + step[k][0], y = j + step[k][1];
          size_t there = (size_t)y * (size_t)t->size + (size_t)x;
          if (x < 0 || y < 0 || x >= t->size || y >= t->size || !t->covered[there] || t->covered[there] > pass) continue;
          for (c = 0; c < 3; c++) sum[c] += t->pixels[3 * there + (size_t)c];
          n++;
        }
        if (!n) continue;
        for (c = 0; c < 3; c++) t->pixels[3 * here + (size_t)c] = (uint8_t)((sum[c] + n / 2) / n);
        t->covered[here] = (uint8_t)(pass + 1);
      }
}

static void free_texture(texture *t) { free(t->pixels); free(t->covered); t->pixels = t->covered = NULL; }

static bool paint_texture(texture *t, const head *h) {
  size_t texels = (size_t)TEXTURE_SIZE * TEXTURE_SIZE, i;
  painter w;
  vec3 eye = vec(32, 0, 83), middle = warp(h->who, eye);
  int q;
  w.who = h->who;
  w.eye_sx = warp(h->who, add(eye, vec(1, 0, 0))).x - middle.x;
  w.eye_sy = warp(h->who, add(eye, vec(0, 1, 0))).y - middle.y;
  w.brows = draw_brows(h->who);
  t->size = TEXTURE_SIZE;
  t->pixels = (uint8_t *)malloc(3 * texels);
  t->covered = (uint8_t *)calloc(texels, 1);
  if (!w.brows || !t->pixels || !t->covered) { free(w.brows); free_texture(t); return false; }
  for (i = 0; i < texels; i++) {
    t->pixels[3 * i] = to_byte(h->who->skin.x);
    t->pixels[3 * i + 1] = to_byte(h->who->skin.y);
    t->pixels[3 * i + 2] = to_byte(h->who->skin.z);
  }
  for (q = 0; q < h->quad_count; q++) {
    const corner *c = h->quads[q].c;
    paint_triangle(t, &w, h, &c[0], &c[1], &c[2]);
    paint_triangle(t, &w, h, &c[0], &c[2], &c[3]);
  }
  fill_gutter(t);
  free(w.brows);
  return true;
}

/* ------------------------------------------------------------------------------------------------------------- files */

static bool write_png(const char *path, const texture *t) {
  fm_image image = {0};
  image.width = TEXTURE_SIZE;
  image.height = TEXTURE_SIZE;
  image.channels = 3;
  image.pixels = t->pixels;
  return fm_write_png_file(path, &image, NULL, NULL);
}

/* Prints with seven decimals and a point, whatever the locale. */
static void print_number(FILE *f, double value) {
  long long n = (long long)floor(fabs(value) * 1e7 + 0.5);
  fprintf(f, "%s%lld.%07lld", value < 0 && n ? "-" : "", n / 10000000, n % 10000000);
}

static bool write_obj(const char *path, const head *h) {
  FILE *f = fopen(path, "wb");
  bool good;
  int i, k;
  if (!f) return false;
  fprintf(f, "# %s: a procedural human head, made by make_heads of facemorph.h\n", h->who->name);
  fprintf(f, "# Licence: CC0 1.0 (public domain). Metres, Y up, the face looks to +Z.\n");
  fprintf(f, "mtllib %s.mtl\no %s\n", h->who->name, h->who->name);
  for (i = 0; i < h->vertex_count; i++) {
    vec3 p = scale(h->vertices[i].position, 0.001);
    fputs("v ", f); print_number(f, p.x);
    fputc(' ', f);  print_number(f, p.y);
    fputc(' ', f);  print_number(f, p.z);
    fputc('\n', f);
  }
  for (i = 0; i < h->uv_count; i++) {
    fputs("vt ", f); print_number(f, h->uvs[i].u);
    fputc(' ', f);   print_number(f, h->uvs[i].v);
    fputc('\n', f);
  }
  fprintf(f, "usemtl %s\n", h->who->name);
  for (i = 0; i < h->quad_count; i++) {
    fputc('f', f);
    for (k = 0; k < 4; k++) fprintf(f, " %d/%d", h->quads[i].c[k].v + 1, h->quads[i].c[k].t + 1);
    fputc('\n', f);
  }
  good = !ferror(f);
  return fclose(f) == 0 && good;
}

static bool write_mtl(const char *path, const char *name) {
  FILE *f = fopen(path, "wb");
  bool good;
  if (!f) return false;
  fprintf(f, "newmtl %s\nKd 1 1 1\nmap_Kd %s.png\n", name, name);
  good = !ferror(f);
  return fclose(f) == 0 && good;
}

static bool write_head(const head *h, const char *folder) {
  static const char *const ending[3] = {"obj", "mtl", "png"};
  size_t room = strlen(folder) + strlen(h->who->name) + 8;
  char *path = (char *)malloc(room);
  texture t = {0, NULL, NULL};
  bool good = path && paint_texture(&t, h);
  int i;
  if (!good) fprintf(stderr, "make_heads: out of memory\n");
  for (i = 0; good && i < 3; i++) {
    snprintf(path, room, "%s/%s.%s", folder, h->who->name, ending[i]);
    errno = 0;
    good = i == 0 ? write_obj(path, h) : i == 1 ? write_mtl(path, h->who->name) : write_png(path, &t);
    if (!good) fprintf(stderr, "make_heads: cannot write %s: %s\n", path, errno ? strerror(errno) : "out of memory");
  }
  free_texture(&t);
  free(path);
  return good;
}

/* -------------------------------------------------------------------------------------------------------- self-test */

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static bool expect(bool good, const char *name, const char *what) {
  if (!good) fprintf(stderr, "make_heads: %s: %s\n", name, what);
  return good;
}

/* Every directed edge once, and every one without its opposite on one single loop. */
static bool check_manifold(const head *h) {
  enum { EDGES = 4 * QUAD_COUNT };
  uint64_t *edges = (uint64_t *)malloc(EDGES * sizeof *edges);
  int *next = (int *)malloc(VERTEX_COUNT * sizeof *next);
  int i, k, border = 0, start = -1, walked = 0, v;
  bool good = edges && next;
  if (!good) { free(edges); free(next); return false; }
  for (i = 0; i < VERTEX_COUNT; i++) next[i] = -1;
  for (i = 0; i < QUAD_COUNT; i++)
    for (k = 0; k < 4; k++)
      edges[4 * i + k] = (uint64_t)h->quads[i].c[k].v << 32 | (uint64_t)h->quads[i].c[(k + 1) % 4].v;
  qsort(edges, EDGES, sizeof *edges, by_value);
  for (i = 0; i < EDGES; i++) {
    uint64_t opposite = edges[i] << 32 | edges[i] >> 32;
    if (i > 0 && edges[i] == edges[i - 1]) good = false;
    if (bsearch(&opposite, edges, EDGES, sizeof *edges, by_value)) continue;
    start = (int)(edges[i] >> 32);
    good = good && next[start] < 0;
    next[start] = (int)(edges[i] & 0xffffffffu);
    border++;
  }
  for (v = start; v >= 0 && walked < border; walked++) v = next[v];
  good = good && border == COLUMNS && v == start;
  free(edges);
  free(next);
  return good;
}

static bool check_head(const head *h, const head *other) {
  const char *name = h->who->name;
  bool good = true, upright = true;
  int i, k;
  good &= expect(h->vertex_count == VERTEX_COUNT && h->quad_count == QUAD_COUNT && h->uv_count == UV_COUNT,
                 name, "wrong counts");
  good &= expect(check_manifold(h), name, "not a manifold with one border");
  good &= expect(h->worst_residual < 0.01, name, "a ray vertex is off the head function");
  good &= expect(!memcmp(h->quads, other->quads, sizeof h->quads), name, "the heads' topologies differ");
  for (i = 0; i < QUAD_COUNT; i++)
    for (k = 1; k < 3; k++) {
      uv a = h->uvs[h->quads[i].c[0].t], b = h->uvs[h->quads[i].c[k].t], c = h->uvs[h->quads[i].c[k + 1].t];
      if ((b.u - a.u) * (c.v - a.v) - (c.u - a.u) * (b.v - a.v) <= 0) upright = false;
    }
  return expect(upright, name, "a uv triangle is flipped") && good;
}

/* -------------------------------------------------------------------------------------------------------------- main */

static void make_folder(const char *path) {
#ifdef _WIN32
  (void)_mkdir(path); /* if it exists or cannot be made, writing the first file tells */
#else
  (void)mkdir(path, 0777);
#endif
}

int main(int argc, char **argv) {
  bool check = argc == 2 && !strcmp(argv[1], "--check"), good;
  const char *folder = argc > 1 ? argv[1] : ".";
  head *heads[2];
  if (argc > 2 || (argc == 2 && argv[1][0] == '-' && !check)) {
    fprintf(stderr, "usage: make_heads [OUTDIR]\n       make_heads --check\n");
    return 2;
  }
  heads[0] = build_head(&PERSONS[0]);
  heads[1] = build_head(&PERSONS[1]);
  good = heads[0] && heads[1];
  if (!good) {
    fprintf(stderr, "make_heads: out of memory\n");
  } else if (check) {
    good = check_head(heads[0], heads[1]);
    good = check_head(heads[1], heads[0]) && good;
    if (good) printf("make_heads: both heads are sound\n");
  } else {
    make_folder(folder);
    good = write_head(heads[0], folder) && write_head(heads[1], folder);
  }
  free(heads[0]);
  free(heads[1]);
  return good ? 0 : 1;
}
