/* Draws the README's chart of what make bench measured, and prints the rows of its table: bench_chart BENCH.csv BENCH.txt OUT.png.
   The CSV gives the bars, the text's head gives the processor, compiler, SIMD level and date. A bar says how many times our time a
   peer takes, on a logarithmic scale: to the right of the line at 1 ours is faster, to the left the peer is. Jobs and peers stand
   in the CSV's order; rows without a peer's time have no bar. */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the canvas: pixel (x, y) covers x to x + 1 and y to y + 1, top row first */

typedef struct colour { uint8_t r, g, b; } colour;

#define INK {31, 41, 51}
#define PALE_INK {74, 85, 98}
#define GREY {107, 119, 133}
static const colour paper = {255, 255, 255}, line_of_one = GREY, line_of_grid = {231, 235, 239};
static const colour line_between = {214, 220, 226}, faster_bar = {47, 111, 159}, slower_bar = {201, 111, 60};

static void blend_pixel(fm_image *image, int x, int y, colour c, double coverage) {
  const uint8_t over[3] = {c.r, c.g, c.b};
  if (x < 0 || y < 0 || x >= image->width || y >= image->height || coverage <= 0.0) return;
  uint8_t *pixel = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
  for (int k = 0; k < 3; k++) pixel[k] = (uint8_t)(pixel[k] + (over[k] - pixel[k]) * fmin(coverage, 1.0) + 0.5);
}

/* How much of the pixel from i to i + 1 lies between two coordinates. */
static double overlap(int i, double from, double to) { return fmax(0.0, fmin(i + 1, to) - fmax(i, from)); }

static void fill_box(fm_image *image, double left, double top, double right, double bottom, colour c) {
  for (int y = (int)floor(top); y < bottom; y++)
    for (int x = (int)floor(left); x < right; x++)
      blend_pixel(image, x, y, c, overlap(x, left, right) * overlap(y, top, bottom));
}

/* ---- the font: each glyph is the way of a round pen

   Units: the base line is y = 0, x-height 20, capitals and digits 28, descenders -8. `left` and `right` are the room beside the
   pen's way. A way is made of
     M x y        go there with the pen up        L x y   a straight line
     H x y        a quarter of an ellipse that leaves horizontally; V x y   one that leaves vertically
     Q u v x y    a curve (quadratic) that leaves towards (u, v) and arrives from there
     D x y        a dot
   Digits have one width, so that numbers stand in columns. */
typedef struct glyph { char character; signed char left, right; const char *way; } glyph;

static const glyph font[] = {
  {'a', 3, 5, "M 1 16 V 7 20 H 13.5 13 L 13.5 0 M 13.5 11.5 L 6 11.5 H 0 5.6 V 6 0 H 13.5 7"},
  {'b', 5, 3, "M 0 28 L 0 0 M 0 10 V 8 20 H 16 10 V 8 0 H 0 10"},
  {'c', 3, 2, "M 14.5 15.5 V 8 20 H 0 10 V 8 0 H 14.5 4.5"},
  {'d', 3, 5, "M 16 28 L 16 0 M 16 10 V 8 20 H 0 10 V 8 0 H 16 10"},
  {'e', 3, 3, "M 0.2 10.4 L 15.6 10.4 V 8 20 H 0 10 V 8 0 H 15 4.5"},
  {'f', 2, 1, "M 10 28 H 4 22 L 4 0 M 0 20 L 9.5 20"},
  {'g', 3, 5, "M 16 10 V 8 20 H 0 10 V 8 0 H 16 10 M 16 20 L 16 -1 V 8 -8 H 1.5 -4.5"},
  {'h', 5, 5, "M 0 28 L 0 0 M 0 12 V 7 20 H 13.5 13 L 13.5 0"},
  {'i', 5, 5, "M 0 20 L 0 0 D 0 27"},
  {'j', 1, 5, "M 3 20 L 3 -3 V -2 -8 D 3 27"},
  {'k', 5, 1, "M 0 28 L 0 0 M 12.5 20 L 0 7.6 M 5 12.6 L 13.5 0"},
  {'l', 5, 5, "M 0 28 L 0 0"},
  {'m', 5, 5, "M 0 20 L 0 0 M 0 13 V 6 20 H 11.5 14 L 11.5 0 M 11.5 13 V 17.5 20 H 23 14 L 23 0"},
  {'n', 5, 5, "M 0 20 L 0 0 M 0 12 V 7 20 H 13.5 13 L 13.5 0"},
  {'o', 3, 3, "M 8.5 20 H 0 10 V 8.5 0 H 17 10 V 8.5 20"},
  {'p', 5, 3, "M 0 20 L 0 -8 M 0 10 V 8 20 H 16 10 V 8 0 H 0 10"},
  {'q', 3, 5, "M 16 20 L 16 -8 M 16 10 V 8 20 H 0 10 V 8 0 H 16 10"},
  {'r', 5, 1, "M 0 20 L 0 0 M 0 12 V 8.5 20"},
  {'s', 3, 3, "M 12 16 V 6.4 20 H 0.8 15.2 Q 0.8 11.4 6.4 10.4 Q 12.6 9.2 12.6 5.2 V 6.4 0 H 0 4.3"},
  {'t', 2, 2, "M 4 26 L 4 5 V 9 0 L 10 0 M 0 20 L 10 20"},
  {'u', 5, 5, "M 0 20 L 0 7 V 6.5 0 H 13.5 8 M 13.5 20 L 13.5 0"},
  {'v', 2, 2, "M 0 20 L 7.5 0 L 15 20"},
  {'w', 2, 2, "M 0 20 L 6 0 L 12 20 L 18 0 L 24 20"},
  {'x', 2, 2, "M 0 20 L 13.5 0 M 13.5 20 L 0 0"},
  {'y', 1, 1, "M 0 20 L 7.8 0.5 M 15 20 L 4.6 -8"},
  {'z', 3, 2, "M 0 20 L 12.5 20 L 0 0 L 13 0"},
  {'A', 1, 1, "M 0 0 L 10.5 28 L 21 0 M 3.5 9.2 L 17.5 9.2"},
  {'B', 5, 3, "M 0 0 L 0 28 L 9 28 H 16 21.5 V 9 15 L 0 15 M 9 15 H 17.5 7.5 V 9 0 L 0 0"},
  {'C', 3, 2, "M 21 21.5 V 12.5 28 H 0 14 V 12.5 0 H 21 6.5"},
  {'D', 5, 3, "M 0 0 L 0 28 L 8 28 H 20.5 14 V 8 0 L 0 0"},
  {'E', 5, 3, "M 15 28 L 0 28 L 0 0 L 15.5 0 M 0 14.6 L 13 14.6"},
  {'F', 5, 2, "M 15 28 L 0 28 L 0 0 M 0 14 L 13 14"},
  {'G', 3, 4, "M 21 21.5 V 12.5 28 H 0 14 V 12.5 0 H 22 9 L 22 13 L 13 13"},
  {'H', 5, 5, "M 0 28 L 0 0 M 19 28 L 19 0 M 0 14.6 L 19 14.6"},
  {'I', 5, 5, "M 0 28 L 0 0"},
  {'J', 2, 5, "M 11 28 L 11 7 V 5.5 0 H 0 6"},
  {'K', 5, 1, "M 0 28 L 0 0 M 17 28 L 0 10.5 M 6.2 17 L 18 0"},
  {'L', 5, 1, "M 0 28 L 0 0 L 14.5 0"},
  {'M', 5, 5, "M 0 0 L 0 28 L 11 7 L 22 28 L 22 0"},
  {'N', 5, 5, "M 0 0 L 0 28 L 19 0 L 19 28"},
  {'O', 3, 3, "M 12.5 28 H 0 14 V 12.5 0 H 25 14 V 12.5 28"},
  {'P', 5, 2, "M 0 0 L 0 28 L 9 28 H 17 20.4 V 9 12.8 L 0 12.8"},
  {'Q', 3, 3, "M 12.5 28 H 0 14 V 12.5 0 H 25 14 V 12.5 28 M 15.5 7 L 24 -2"},
  {'R', 5, 2, "M 0 0 L 0 28 L 9 28 H 17 20.7 V 9 13.4 L 0 13.4 M 9.5 13.4 L 17.5 0"},
  {'S', 3, 3, "M 15.8 22 V 8.4 28 H 0.8 21.2 Q 0.8 16 8.6 14.5 Q 17 12.9 17 7.2 V 8.4 0 H 0 6.2"},
  {'T', 1, 1, "M 0 28 L 19 28 M 9.5 28 L 9.5 0"},
  {'U', 5, 5, "M 0 28 L 0 9 V 9.5 0 H 19 9 L 19 28"},
  {'V', 2, 2, "M 0 28 L 10 0 L 20 28"},
  {'W', 2, 2, "M 0 28 L 8 0 L 15.5 28 L 23 0 L 31 28"},
  {'X', 1, 1, "M 0 28 L 18 0 M 18 28 L 0 0"},
  {'Y', 1, 1, "M 0 28 L 9.5 13 L 9.5 0 M 19 28 L 9.5 13"},
  {'Z', 2, 2, "M 0 28 L 17 28 L 0 0 L 17.5 0"},
  {'0', 3, 3, "M 8 28 H 0 14 V 8 0 H 16 14 V 8 28"},
  {'1', 5, 8, "M 0 22.5 L 9 28 L 9 0"},
  {'2', 3, 3, "M 0.5 21 V 8 28 H 15.4 20.6 Q 15.4 16.6 10.5 11.4 L 0 0 L 16 0"},
  {'3', 3, 3, "M 0.8 22.5 V 8 28 H 15.2 21.5 V 8 15 L 5.5 15 M 8 15 H 16 7.5 V 8 0 H 0 6"},
  {'4', 2, 3, "M 13 0 L 13 28 L 0 8.2 L 17 8.2"},
  {'5', 3, 3, "M 14.5 28 L 2.4 28 L 1.2 15 Q 4 18 8 18 H 16 9 V 7.6 0 H 0 5.5"},
  {'6', 3, 3, "M 14.4 23.5 V 8.6 28 H 0 14 L 0 9 V 8 0 H 16 9 V 8 17.4 H 0 9"},
  {'7', 3, 3, "M 0 28 L 16 28 L 5.5 0"},
  {'8', 3, 3, "M 8 28 H 1 21.5 V 8 15 H 15 21.5 V 8 28 M 8 15 H 0 7.5 V 8 0 H 16 7.5 V 8 15"},
  {'9', 3, 3, "M 1.6 4.5 V 7.4 0 H 16 14 L 16 19 V 8 28 H 0 19 V 8 10.6 H 16 19"},
  {'.', 4, 4, "D 0 0.5"},
  {',', 4, 4, "M 1 1 L -1 -5"},
  {':', 4, 4, "D 0 0.5 D 0 17"},
  {';', 4, 4, "D 0 17 M 0.5 1 L -1.5 -5"},
  {'-', 4, 4, "M 0 10.5 L 9 10.5"},
  {'+', 3, 3, "M 0 13 L 16 13 M 8 5 L 8 21"},
  {'*', 3, 3, "M 0 6 L 13 19 M 0 19 L 13 6"}, /* the sign of multiplication: U+00D7 is not ASCII */
  {'/', 2, 2, "M 0 -4 L 11 30"},
  {'(', 4, 2, "M 6 31 Q 0 22 0 12.5 Q 0 3 6 -6"},
  {')', 2, 4, "M 0 31 Q 6 22 6 12.5 Q 6 3 0 -6"},
  {'@', 3, 3, "M 20 11 V 14 17 H 8 11 V 14 5 H 20 11 L 20 17 M 20 11 L 20 8 V 23 5 H 27 12 V 14 25 H 0 11 V 13 -4 L 20 -4"},
  {'_', 1, 1, "M 0 -5 L 15 -5"},
};

enum { MOST_POINTS = 96, CURVE_STEPS = 8 };

/* A glyph's way as points; `drawn` where a line leads to the point from the one before. */
typedef struct outline { double x[MOST_POINTS], y[MOST_POINTS], widest; bool drawn[MOST_POINTS]; int count; } outline;

static void add_point(outline *o, double x, double y, bool drawn) {
  if (o->count == MOST_POINTS) return;
  o->x[o->count] = x;
  o->y[o->count] = y;
  o->drawn[o->count++] = drawn;
  o->widest = fmax(o->widest, x);
}

static void read_way(outline *o, const char *way) {
  const double quarter = acos(0.0);
  memset(o, 0, sizeof *o);
  while (*way) {
    char command = *way++, *end;
    double v[4] = {0.0}, x0 = o->count ? o->x[o->count - 1] : 0.0, y0 = o->count ? o->y[o->count - 1] : 0.0;
    for (int i = 0; i < (command == 'Q' ? 4 : 2); i++) {
      v[i] = strtod(way, &end);
      way = end;
    }
    while (*way == ' ') way++;
    if (command == 'M' || command == 'D') add_point(o, v[0], v[1], false);
    if (command == 'L' || command == 'D') add_point(o, v[0], v[1], true);
    for (int i = 1; strchr("HVQ", command) && i <= CURVE_STEPS; i++) {
      double t = (double)i / CURVE_STEPS, s = sin(t * quarter), c = 1.0 - cos(t * quarter);
      if (command == 'H') add_point(o, x0 + (v[0] - x0) * s, y0 + (v[1] - y0) * c, true);
      else if (command == 'V') add_point(o, x0 + (v[0] - x0) * c, y0 + (v[1] - y0) * s, true);
      else add_point(o, x0 * (1 - t) * (1 - t) + v[0] * 2 * t * (1 - t) + v[2] * t * t,
                     y0 * (1 - t) * (1 - t) + v[1] * 2 * t * (1 - t) + v[3] * t * t, true);
    }
  }
}

/* How far a point is from the pen's way. A dot is as large as a pen half as thick again. */
static double distance_to(const outline *o, double x, double y, double dot) {
  double nearest = HUGE_VAL;
  for (int i = 1; i < o->count; i++) {
    if (!o->drawn[i]) continue;
    double dx = o->x[i] - o->x[i - 1], dy = o->y[i] - o->y[i - 1], length = dx * dx + dy * dy;
    double along = length > 0.0 ? ((x - o->x[i - 1]) * dx + (y - o->y[i - 1]) * dy) / length : 0.0;
    along = fmin(fmax(along, 0.0), 1.0);
    double distance = hypot(x - o->x[i - 1] - along * dx, y - o->y[i - 1] - along * dy);
    nearest = fmin(nearest, length > 0.0 ? distance : distance - dot);
  }
  return nearest;
}

/* Text is set from its left end, its right end, or its middle. */
typedef enum align { LEFT, RIGHT, MIDDLE } align;

/* How it looks: pixels a unit of the font, the pen's thickness in pixels, the colour. */
typedef struct type { double unit, pen; colour c; } type;

static const type title_type = {0.70, 2.7, INK}, job_type = {0.41, 1.55, INK}, value_type = {0.39, 1.7, INK};
static const type peer_type = {0.39, 1.35, PALE_INK}, small_type = {0.37, 1.3, GREY};

static const glyph *find_glyph(char character) {
  for (size_t i = 0; i < COUNT(font); i++)
    if (font[i].character == character) return &font[i];
  return NULL; /* a space, or a character that the font lacks */
}

/* Draws the text, or only measures it where image is NULL; returns its width in pixels. */
static double set_text(fm_image *image, double x, double base, const char *text, type look) {
  const double space = 11.0, start = x;
  for (; *text; text++) {
    const glyph *g = find_glyph(*text);
    outline o;
    if (!g) {
      x += space * look.unit;
      continue;
    }
    read_way(&o, g->way);
    x += g->left * look.unit;
    double right = x + o.widest * look.unit, margin = look.pen + 1.0;
    for (int py = (int)(base - 32 * look.unit - margin); image && py < base + 10 * look.unit + margin; py++)
      for (int px = (int)(x - 4 * look.unit - margin); px < right + margin; px++) {
        double distance = distance_to(&o, (px + 0.5 - x) / look.unit, (base - py - 0.5) / look.unit, look.pen * 0.25 / look.unit);
        blend_pixel(image, px, py, look.c, look.pen / 2 + 0.5 - distance * look.unit);
      }
    x = right + g->right * look.unit;
  }
  return x - start;
}

static void draw_text(fm_image *image, double x, double base, align side, const char *text, type look) {
  double width = side == LEFT ? 0.0 : set_text(NULL, 0.0, 0.0, text, look);
  set_text(image, x - (side == RIGHT ? width : side == MIDDLE ? width / 2 : 0.0), base, text, look);
}

/* ---- what was measured */

enum { MOST_ROWS = 256 };

typedef struct row { char job[64], peer[64]; double ours_ms, peer_ms, ratio; } row;
typedef struct chart { row rows[MOST_ROWS]; int count; char machine[512]; } chart;

/* The bench's names in words; other names stand as they are. '*' is the sign of multiplication. */
static const struct { const char *name, *words; } plain_words[] = {
  {"render512", "render 512 * 512"},
  {"render512_4x", "render 512 * 512, 4 samples"},
  {"render512_clay", "render 512 * 512, no textures"},
  {"render1024", "render 1024 * 1024"},
  {"render2048", "render 2048 * 2048"},
  {"png_encode", "PNG encode, frame of 4 samples"},
  {"png_encode/1x", "PNG encode, frame of 1 sample"},
  {"png_decode", "PNG decode"},
  {"jpeg_decode", "JPEG decode"},
  {"jpeg_decode/progressive", "JPEG decode, progressive"},
  {"inflate", "inflate, data of a PNG"},
  {"fbx_load", "FBX read"},
  {"obj_load", "OBJ read"},
  {"normals", "normals of a morph"},
  {"normals/mesh", "normals of a mesh"},
  {"vertex_csv", "vertex table as CSV"},
  {"texture_csv", "texture table as CSV"},
  {"i420", "RGB to I420, 512 * 512"},
  {"ciede2000", "CIEDE2000 of two textures"},
  {"llvmpipe", "Mesa llvmpipe"},
};

static const char *in_words(const char *name) {
  for (size_t i = 0; i < COUNT(plain_words); i++)
    if (strcmp(plain_words[i].name, name) == 0) return plain_words[i].words;
  return name;
}

/* job,ours_ms,peer,peer_ms,ratio,ours_bytes,peer_bytes */
static bool read_csv(chart *c, const char *path) {
  char line[512];
  FILE *file = fopen(path, "r");
  if (!file) return false;
  while (c->count < MOST_ROWS && fgets(line, sizeof line, file)) {
    row *r = &c->rows[c->count];
    if (sscanf(line, "%63[^,],%lf,%63[^,],%lf,%lf", r->job, &r->ours_ms, r->peer, &r->peer_ms, &r->ratio) == 5 && r->ratio > 0.0)
      c->count++;
  }
  return fclose(file) == 0 && c->count > 0;
}

/* Adds the value of a line "key: value", as far as a semicolon, to what is known of the machine; (R) and (TM) are left out. */
static void add_fact(chart *c, const char *line, const char *key) {
  size_t length = strlen(c->machine), skip = strlen(key);
  if (strncmp(line, key, skip) != 0 || length + strlen(line) + 3 > sizeof c->machine) return;
  if (length) length += (size_t)sprintf(c->machine + length, ", ");
  for (line += skip; *line && !strchr(";\n", *line); line++) {
    if (strncmp(line, "(R)", 3) == 0) line += 2;
    else if (strncmp(line, "(TM)", 4) == 0) line += 3;
    else c->machine[length++] = *line;
  }
  c->machine[length] = 0;
}

static bool read_machine(chart *c, const char *path) {
  static const char *const keys[] = {"processor: ", "compiler: ", "ours: ", "date: "};
  for (size_t i = 0; i < COUNT(keys); i++) {
    char line[512];
    FILE *file = fopen(path, "r");
    if (!file) return false;
    while (fgets(line, sizeof line, file)) add_fact(c, line, keys[i]);
    fclose(file);
  }
  return true;
}

static bool begins_group(const chart *c, int i) { return i == 0 || strcmp(c->rows[i].job, c->rows[i - 1].job) != 0; }

typedef struct words { char text[64]; } words;

static words time_in_words(double ms) {
  words w;
  snprintf(w.text, sizeof w.text, ms < 999.5 ? "%.3g ms" : "%.0f ms", ms);
  return w;
}

static words ratio_in_words(double ratio) {
  words w;
  snprintf(w.text, sizeof w.text, ratio < 0.995 ? "%.2f*" : ratio < 9.95 ? "%.1f*" : "%.0f*", ratio);
  return w;
}

/* ---- the table: each job beside the fastest of its peers, in Markdown */

static void print_cell(const char *text) {
  for (printf("| "); *text; text++) putchar(*text == '*' ? 'x' : *text);
  putchar(' ');
}

static void print_table(const chart *c) {
  int fastest = 0;
  for (int i = 0; i < c->count; i++) {
    if (begins_group(c, i) || c->rows[i].ratio < c->rows[fastest].ratio) fastest = i;
    if (i + 1 < c->count && !begins_group(c, i + 1)) continue;
    const row *r = &c->rows[fastest];
    print_cell(in_words(r->job));
    print_cell(time_in_words(r->ours_ms).text);
    print_cell(in_words(r->peer));
    print_cell(time_in_words(r->peer_ms).text);
    print_cell(ratio_in_words(r->ratio).text);
    puts("|");
  }
}

/* ---- the chart */

enum { WIDTH = 1200, MARGIN = 40, TOP = 166, ROW = 21, GAP = 13, BAR = 13, BOTTOM = 54 };
enum { OURS_AT = 405, PEER_AT = 432, AXIS_FROM = 572, AXIS_TO = WIDTH - MARGIN, VALUE_ROOM = 58 };

/* The axis: pixels of a ratio. Room for the values is kept beyond both ends that have bars. */
typedef struct axis { double from, to, low, high; } axis;

static axis make_axis(const chart *c) {
  axis a = {AXIS_FROM, AXIS_TO - VALUE_ROOM, 1.0, 2.0};
  for (int i = 0; i < c->count; i++) {
    a.low = fmin(a.low, c->rows[i].ratio);
    a.high = fmax(a.high, c->rows[i].ratio);
  }
  if (a.low < 1.0) a.from += VALUE_ROOM;
  return a;
}

static double place(const axis *a, double ratio) {
  return a->from + (a->to - a->from) * log(ratio / a->low) / log(a->high / a->low);
}

static void draw_grid(fm_image *image, const axis *a, double bottom) {
  static const int steps[3] = {1, 2, 5};
  int used = place(a, 10.0) - place(a, 1.0) < 140.0 ? 1 : 3; /* 2 and 5 only where their numbers have room */
  for (double decade = 0.001; decade < 1e6; decade *= 10.0)
    for (int i = 0; i < used; i++) {
      char text[32];
      double ratio = decade * steps[i], x = floor(place(a, ratio));
      bool one = fabs(ratio - 1.0) < 1e-9;
      if (ratio < a->low * 0.999 || ratio > a->high * 1.001) continue;
      snprintf(text, sizeof text, "%g*", ratio);
      fill_box(image, x, TOP - 8, x + 1, bottom, one ? line_of_one : line_of_grid);
      draw_text(image, x + 0.5, TOP - 16, MIDDLE, text, small_type);
      draw_text(image, x + 0.5, bottom + 20, MIDDLE, text, small_type);
    }
}

static void draw_row(fm_image *image, const axis *a, const row *r, bool first, double top) {
  double base = top + ROW / 2 + 5, one = floor(place(a, 1.0)), end = place(a, r->ratio);
  double bar_top = top + (ROW - BAR) / 2;
  bool faster = r->ratio >= 1.0;
  if (first) {
    draw_text(image, MARGIN, base, LEFT, in_words(r->job), job_type);
    draw_text(image, OURS_AT, base, RIGHT, time_in_words(r->ours_ms).text, job_type);
  }
  draw_text(image, PEER_AT, base, LEFT, in_words(r->peer), peer_type);
  if (faster) fill_box(image, one + 1, bar_top, end, bar_top + BAR, faster_bar);
  else fill_box(image, end, bar_top, one, bar_top + BAR, slower_bar);
  words value = ratio_in_words(r->ratio);
  double width = set_text(NULL, 0.0, 0.0, value.text, value_type), x = faster ? end + 6 : end - 6 - width;
  fill_box(image, x, bar_top, x + width, bar_top + BAR, paper); /* no line of the grid runs through a number */
  draw_text(image, x, base, LEFT, value.text, value_type);
}

static void draw_chart(fm_image *image, const chart *c) {
  axis a = make_axis(c);
  double y = TOP, bottom = image->height - BOTTOM;
  memset(image->pixels, 255, (size_t)image->width * (size_t)image->height * 3);
  draw_text(image, MARGIN, 56, LEFT, "How much longer others take than facemorph.h", title_type);
  draw_text(image, MARGIN, 84, LEFT,
            "Their CPU time by ours, on a logarithmic scale. Orange bars, left of 1*: the other is faster.", small_type);
  draw_text(image, MARGIN, 105, LEFT, c->machine, small_type);
  draw_text(image, MARGIN, TOP - 16, LEFT, "job", small_type);
  draw_text(image, OURS_AT, TOP - 16, RIGHT, "facemorph.h", small_type);
  draw_text(image, PEER_AT, TOP - 16, LEFT, "compared with", small_type);
  draw_grid(image, &a, bottom);
  for (int i = 0; i < c->count; i++) {
    bool first = begins_group(c, i);
    if (first) {
      fill_box(image, MARGIN, y, WIDTH - MARGIN, y + 1, line_between);
      y += GAP / 2 + 1;
    }
    draw_row(image, &a, &c->rows[i], first, y);
    y += ROW;
    if (i + 1 == c->count || begins_group(c, i + 1)) y += GAP / 2;
  }
  fill_box(image, MARGIN, y, WIDTH - MARGIN, y + 1, line_between);
}

int main(int argc, char **argv) {
  static chart c;
  fm_image image = {0};
  fm_error error;
  if (argc != 4) {
    fprintf(stderr, "usage: bench_chart BENCH.csv BENCH.txt OUT.png\n");
    return 2;
  }
  if (!read_csv(&c, argv[1]) || !read_machine(&c, argv[2])) {
    fprintf(stderr, "bench_chart: there is nothing to draw in %s, or no %s\n", argv[1], argv[2]);
    return 1;
  }
  int groups = 0;
  for (int i = 0; i < c.count; i++) groups += begins_group(&c, i);
  image.width = WIDTH;
  image.height = TOP + c.count * ROW + groups * (GAP / 2 * 2 + 1) + BOTTOM;
  image.channels = 3;
  image.pixels = (uint8_t *)malloc((size_t)image.width * (size_t)image.height * 3);
  bool ok = image.pixels || fm_set_error(&error, FM_ERROR_MEMORY, "bench_chart: out of memory");
  if (ok) {
    draw_chart(&image, &c);
    ok = fm_write_png_file(argv[3], &image, NULL, &error);
  }
  if (ok) print_table(&c);
  if (!ok) fprintf(stderr, "bench_chart: %s\n", error.message);
  free(image.pixels);
  return ok ? 0 : 1;
}
