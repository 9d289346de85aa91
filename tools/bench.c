/* What each part of the work costs, ours beside the best programs that are installed: make bench.

     bench [--only JOB] [--rounds N] [--simd LEVEL] [--threads N] [--data DIR] [--csv FILE]

   Ours and every peer do the same work on the same input, one after the other, round after round in one run; the table shows
   medians of CPU time. tools/bench_peers finds the peers at build time; a row says so where one is not installed. Before a job is
   measured, what the peers make of it is held against ours: the exit code is 1 if it is not the same, or if something failed.

   A job is one entry of the table below: its name, its input, and one function for each contender. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"

#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef BENCH_LIBPNG
#include <png.h>
#endif
#ifdef BENCH_LIBSPNG
#include <spng.h>
#endif
#ifdef BENCH_STB
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#endif
#ifdef BENCH_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef BENCH_ZLIB
#include <zlib.h>
#endif
#ifdef BENCH_LIBJPEG
#include <jpeglib.h>
#endif
#ifdef BENCH_ASSIMP
#include <assimp/cimport.h>
#include <assimp/scene.h>
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MOST_ROUNDS = 1000, MOST_CONTENDERS = 8, MORPH_FRAMES = 5 };

static const char output_folder[] = "build/bench_output";

typedef struct bench bench;
typedef struct job job;

/* What a contender made: how many bytes, and, while `keep` is set, the bytes themselves. */
typedef struct output {
  bool keep;
  size_t bytes;
  uint8_t *kept;
  size_t kept_size;
} output;

/* Does the work once. */
typedef bool run_fn(bench *b, output *out);

/* ours comes first; run is NULL for a peer that is not installed */
typedef struct contender { const char *name; run_fn *run; } contender;

struct job {
  const char *name;
  const char *input;                                  /* the file it reads, '*' for a head's name; NULL: none */
  bool (*prepare)(bench *b);                          /* outside the measured time; b->note says why it failed. May be NULL */
  void (*tidy)(bench *b);                             /* the same, after each run; may be NULL */
  bool (*agrees)(bench *b, const output *ours, const output *peer); /* NULL: nothing to compare. Writes b->note */
  contender contenders[MOST_CONTENDERS];
  size_t repeat;                                      /* runs in a row; 0: 1. Times and bytes are means of them */
  int side, samples;                                  /* of pictures */
  bool textured;
  bool all_threads;                                   /* takes the CPU time of all threads */
  bool wall;                                          /* a second row with the elapsed time */
};

struct bench {
  const char *data, *only;
  int rounds;
  fm_common common;
  FILE *csv;
  bool failed;
  char note[256];
  const job *job;                                     /* that is being run */
  size_t turn;                                        /* of its repetitions within a round */

  const char *names[2];                               /* of the heads' files */
  fm_mesh *heads[2];
  fm_mesh clay[2];                                    /* the same without their materials */

  /* the job's own, made by its prepare */
  char path[512];
  uint8_t *input;
  size_t input_size;
  uint8_t *deflated;                                  /* a zlib stream, and what it inflates to */
  size_t deflated_size, inflated_size;
  fm_renderer renderer;
  const fm_mesh *scene[2];
  fm_frame frame;
  fm_image picture;
  gl_peer *gl;
  char gl_words[128];
  uint8_t *gl_pixels;
  fm_image frames[MORPH_FRAMES];
  float *positions, *normals;
};

static const float halves[2] = {0.5f, 0.5f};

static bool refuse(bench *b, const char *format, const char *detail) {
  fmi_format(b->note, sizeof b->note, format, detail);
  return false;
}

/* ---- what contenders hand over */

static bool deliver(output *out, const void *data, size_t size) {
  out->bytes = size;
  if (!out->keep) return true;
  free(out->kept);
  out->kept = (uint8_t *)malloc(size + !size);
  out->kept_size = out->kept ? size : 0;
  if (out->kept) memcpy(out->kept, data, size);
  return out->kept != NULL;
}

/* A mesh stands for itself by its counts, so that a file that is not read whole is noticed. */
static bool deliver_counts(output *out, size_t polygons, size_t corners) {
  size_t counts[2];
  counts[0] = polygons;
  counts[1] = corners;
  bool ok = deliver(out, counts, sizeof counts);
  out->bytes = 0;
  return ok;
}

static bool agrees_exactly(bench *b, const output *ours, const output *peer) {
  bool same = ours->kept_size == peer->kept_size && memcmp(ours->kept, peer->kept, ours->kept_size) == 0;
  return same || refuse(b, "%s", "another result");
}

/* For decoders that the JPEG standard leaves some freedom. */
static bool agrees_nearly(bench *b, const output *ours, const output *peer) {
  double sum = 0.0;
  if (ours->kept_size != peer->kept_size) return refuse(b, "%s", "another size");
  for (size_t i = 0; i < ours->kept_size; i++) sum += abs(ours->kept[i] - peer->kept[i]);
  double mean = sum / (double)ours->kept_size;
  snprintf(b->note, sizeof b->note, mean == 0.0 ? "same pixels" : "pixels differ by %.2f/255 in the mean", mean);
  return mean < 1.0;
}

/* In the mean: where the triangles around a vertex nearly cancel out, the direction of their sum is left to rounding. */
static bool agrees_as_floats(bench *b, const output *ours, const output *peer) {
  const double most = 1e-5;
  double sum = 0.0;
  if (ours->kept_size != peer->kept_size) return refuse(b, "%s", "another size");
  for (size_t i = 0; i < ours->kept_size; i += sizeof(float)) {
    float x, y;
    memcpy(&x, ours->kept + i, sizeof x);
    memcpy(&y, peer->kept + i, sizeof y);
    sum += fabs((double)x - (double)y);
  }
  double mean = sum * sizeof(float) / (double)ours->kept_size;
  snprintf(b->note, sizeof b->note, "differ by %.1e in the mean", mean);
  return mean < most;
}

/* ---- inputs */

static void input_path(const bench *b, const char *input, int head, char *path, size_t room) {
  const char *star = strchr(input, '*');
  if (star) snprintf(path, room, "%s/%.*s%s%s", b->data, (int)(star - input), input, b->names[head], star + 1);
  else snprintf(path, room, "%s/%s", b->data, input);
}

static bool has_input(bench *b) {
  input_path(b, b->job->input, 0, b->path, sizeof b->path);
  FILE *file = fopen(b->path, "rb");
  if (file) fclose(file);
  return file || refuse(b, "no input: %s is not there", b->path);
}

static bool read_input(bench *b) {
  FILE *file = fopen(b->path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return refuse(b, "%s cannot be read", b->path);
  long size = ftell(file);
  rewind(file);
  b->input_size = size > 0 ? (size_t)size : 0;
  b->input = (uint8_t *)malloc(b->input_size + 1);
  bool ok = b->input && fread(b->input, 1, b->input_size, file) == b->input_size;
  fclose(file);
  return ok || refuse(b, "%s cannot be read", b->path);
}

static bool load_heads(bench *b) {
  for (int h = 0; h < 2; h++) {
    fm_error error;
    char path[512];
    if (b->heads[h]) continue;
    input_path(b, "*.obj", h, path, sizeof path);
    b->heads[h] = fm_load_mesh(path, NULL, &error);
    if (!b->heads[h]) return refuse(b, "%s", error.message);
    b->clay[h] = *b->heads[h];
    b->clay[h].material_count = b->clay[h].texture_count = 0;
    b->clay[h].polygon_materials = NULL;
  }
  return true;
}

/* ---- rendering: one frame halfway between the heads, against OpenGL */

static size_t picture_bytes(const bench *b, size_t channels) { return (size_t)b->job->side * (size_t)b->job->side * channels; }

static bool begin_renderer(bench *b, bool textured) {
  fm_scene scene;
  fm_error error;
  if (!load_heads(b)) return false;
  memset(&scene, 0, sizeof scene);
  memset(&b->frame, 0, sizeof b->frame);
  for (int h = 0; h < 2; h++) b->scene[h] = textured ? b->heads[h] : &b->clay[h];
  scene.common = &b->common;
  scene.heads = b->scene;
  scene.head_count = 2;
  scene.lanes = 1;
  b->frame.shape_weights = halves;
  b->frame.width = b->frame.height = b->picture.width = b->picture.height = b->job->side;
  b->frame.samples = b->job->samples;
  b->picture.channels = 3;
  b->picture.pixels = (uint8_t *)malloc(picture_bytes(b, 3));
  b->picture.coverage = (uint8_t *)malloc(picture_bytes(b, 1));
  if (!b->picture.pixels || !b->picture.coverage) return refuse(b, "%s", "no memory");
  if (!fm_software_renderer(&b->renderer, &b->common, &error) || !b->renderer.begin(b->renderer.user, &scene, &error))
    return refuse(b, "%s", error.message);
  return true;
}

static bool draw(bench *b, const fm_frame *frame) {
  fm_error error;
  fm_renderer *r = &b->renderer;
  return (r->submit(r->user, 0, frame, &error) && r->collect(r->user, 0, &b->picture, &error)) || refuse(b, "%s", error.message);
}

static bool render_ours(bench *b, output *out) {
  return draw(b, &b->frame) && deliver(out, b->picture.pixels, picture_bytes(b, 3));
}

#ifdef BENCH_OSMESA
/* OpenGL has one index a vertex: each pair of a position and a UV becomes one of its own. */
static bool split_vertices(const bench *b, gl_scene *scene, float *vertices, uint32_t *indices) {
  const fm_mesh *mesh = b->heads[0];
  uint32_t *first = (uint32_t *)malloc(mesh->vertex_count * sizeof *first); /* lists of the vertices made of one position */
  uint32_t *next = (uint32_t *)malloc(mesh->corner_count * sizeof *next);
  uint32_t *uv_of = (uint32_t *)malloc(mesh->corner_count * sizeof *uv_of);
  uint32_t count = 0;
  bool ok = first && next && uv_of;
  if (ok) memset(first, 0xFF, mesh->vertex_count * sizeof *first);
  for (size_t i = 0; ok && i < 3 * mesh->triangle_count; i++) {
    uint32_t corner = mesh->triangles[i], position = mesh->corners[corner], at;
    uint32_t uv = !b->job->textured || !mesh->uvs ? FM_NONE : mesh->corner_uvs ? mesh->corner_uvs[corner] : corner;
    for (at = first[position]; at != FM_NONE && uv_of[at] != uv; at = next[at]) {}
    if (at == FM_NONE) {
      float *to = vertices + 8 * (size_t)count;
      at = count++;
      next[at] = first[position];
      first[position] = at;
      uv_of[at] = uv;
      memcpy(to, b->positions + 3 * (size_t)position, 3 * sizeof *to);
      memcpy(to + 3, b->normals + 3 * (size_t)position, 3 * sizeof *to);
      to[6] = uv == FM_NONE ? 0.0f : mesh->uvs[2 * (size_t)uv];
      to[7] = uv == FM_NONE ? 0.0f : 1.0f - mesh->uvs[2 * (size_t)uv + 1];
    }
    indices[i] = at;
  }
  scene->vertices = vertices;
  scene->vertex_count = count;
  scene->indices = indices;
  scene->index_count = 3 * mesh->triangle_count;
  free(first);
  free(next);
  free(uv_of);
  return ok;
}

/* The matrix that puts a position where fmi_make_view's numbers put it: x = zoom X / depth and so on. */
static void clip_matrix(gl_scene *scene, const fmi_view *view) {
  double nearest = view->distance * 0.05, farthest = view->distance * 2.0; /* a fitted head lies well between them */
  double span = farthest - nearest;
  double rows[4][4], space[3][4];
  for (int i = 0; i < 3; i++) {
    space[i][3] = 0.0;
    for (int k = 0; k < 3; k++) {
      space[i][k] = (double)view->rotation[i][k] * view->scale;
      space[i][3] -= space[i][k] * view->center[k];
    }
    scene->to_eye[i] = view->rotation[2][i];
  }
  for (int k = 0; k < 4; k++) {
    double depth = (k == 3 ? view->distance : 0.0) - space[2][k];
    rows[0][k] = space[0][k] * view->zoom / view->middle[0];
    rows[1][k] = space[1][k] * view->zoom / view->middle[1];
    rows[2][k] = ((farthest + nearest) * depth - (k == 3 ? 2.0 * farthest * nearest : 0.0)) / span;
    rows[3][k] = depth;
    for (int i = 0; i < 4; i++) scene->to_clip[4 * k + i] = (float)rows[i][k];
  }
}

/* One texture halfway between both, where ours has to filter two. Its levels are blends of ours, whose rule keeps the background
   out of them: with those of glGenerateMipmap 2 to 4 % of the pixels differ. */
static bool blend_levels(const bench *b, gl_scene *scene) {
  const fmi_software *s = (const fmi_software *)b->renderer.user;
  const fmi_pyramid *pyramid = s->pyramids;
  if (s->surface_count != 1 || s->pyramid_count != 1 || pyramid->heads != 2) return false;
  for (int l = 0; l < pyramid->level_count; l++) {
    const fmi_level *level = &pyramid->level[l];
    size_t count = (size_t)level->width * (size_t)level->height;
    gl_level *to = &scene->levels[scene->level_count++];
    to->width = level->width;
    to->height = level->height;
    to->texels = (uint8_t *)malloc(4 * count);
    if (!to->texels) return false;
    for (size_t i = 0; i < count; i++) {
      const uint8_t *a = level->texels + 8 * i, *other = a + 4;
      for (size_t k = 0; k < 4; k++) to->texels[4 * i + k] = (uint8_t)((a[k] + other[k] + 1) / 2);
    }
  }
  return true;
}

static bool begin_gl(bench *b) {
  const fm_mesh *mesh = b->heads[0];
  float *vertices = (float *)malloc(mesh->corner_count * 8 * sizeof *vertices);
  uint32_t *indices = (uint32_t *)malloc(mesh->triangle_count * 3 * sizeof *indices);
  gl_scene scene;
  memset(&scene, 0, sizeof scene);
  b->positions = (float *)malloc(mesh->vertex_count * 3 * sizeof *b->positions);
  b->normals = (float *)malloc(mesh->vertex_count * 3 * sizeof *b->normals);
  b->gl_pixels = (uint8_t *)malloc(picture_bytes(b, 4));
  if (vertices && indices && b->positions && b->normals && b->gl_pixels && fm_blend(b->positions, b->scene, halves, NULL, 2) &&
      fm_normals(b->normals, mesh, b->positions) && split_vertices(b, &scene, vertices, indices) &&
      (!b->job->textured || blend_levels(b, &scene))) {
    fm_camera camera = fm_fit_camera(b->scene, 2, NULL);
    fmi_view view = fmi_make_view(&camera, b->job->side, b->job->side);
    clip_matrix(&scene, &view);
    scene.ambient = FM_AMBIENT;
    scene.grey = FMI_PLAIN_GREY;
    b->gl = gl_begin(&scene, b->job->side, b->job->samples, b->gl_pixels);
  }
  free(vertices);
  free(indices);
  for (int l = 0; l < scene.level_count; l++) free(scene.levels[l].texels);
  if (!b->gl) return refuse(b, "%s", "OpenGL could not begin; it needs heads of one material, with textures of one size");
  snprintf(b->gl_words, sizeof b->gl_words, "%s, samples: %d", gl_name(b->gl), gl_samples(b->gl));
  return gl_samples(b->gl) == b->job->samples || refuse(b, "%s does not draw the samples that are asked for", b->gl_words);
}

static bool render_llvmpipe(bench *b, output *out) {
  gl_draw(b->gl);
  return deliver(out, b->gl_pixels, picture_bytes(b, 4));
}
#define IF_OSMESA(run) run
#else
static bool begin_gl(bench *b) {
  (void)b;
  return true;
}
#define IF_OSMESA(run) NULL
#endif

static bool prepare_render(bench *b) {
  return begin_renderer(b, b->job->textured) && begin_gl(b);
}

/* Both pictures show the same: above 2/255 differ fewer than 2 % of the covered pixels. With several samples a pixel OpenGL shades
   at its centre, even where that is outside the triangle, so there the share is told and not judged. */
static bool agrees_as_pictures(bench *b, const output *ours, const output *peer) {
  const int most_difference = 2;
  const double most_share = 2.0;
  size_t pixels = picture_bytes(b, 1), covered = 0, different = 0;
  for (size_t i = 0; i < pixels; i++) {
    bool differs = false;
    for (size_t k = 0; k < 3; k++) differs |= abs(ours->kept[3 * i + k] - peer->kept[4 * i + k]) > most_difference;
    covered += b->picture.coverage[i] != 0;
    different += differs;
  }
  double share = covered ? 100.0 * (double)different / (double)covered : 100.0;
  snprintf(b->note, sizeof b->note, "%.2f %% of pixels differ by more than %d/255; %s", share, most_difference, b->gl_words);
  return b->job->samples > 1 || share < most_share;
}

/* ---- PNG out, frames of the morph, one a turn; and PNG in */

static bool prepare_frames(bench *b) {
  if (!begin_renderer(b, true)) return false;
  for (int i = 0; i < MORPH_FRAMES; i++) {
    float weights[2];
    weights[0] = (float)i / (MORPH_FRAMES - 1);
    weights[1] = 1.0f - weights[0];
    b->frame.shape_weights = weights;
    if (!draw(b, &b->frame)) return false;
    b->frames[i] = b->picture;
    b->frames[i].coverage = NULL;
    b->frames[i].pixels = (uint8_t *)malloc(picture_bytes(b, 3));
    if (!b->frames[i].pixels) return refuse(b, "%s", "no memory");
    memcpy(b->frames[i].pixels, b->picture.pixels, picture_bytes(b, 3));
  }
  return true;
}

/* Whatever the bytes are, they must decode to the same picture. */
static bool agrees_decoded(bench *b, const output *ours, const output *peer) {
  const output *both[2];
  fm_image image[2];
  fm_error error;
  bool ok = true;
  both[0] = ours;
  both[1] = peer;
  memset(image, 0, sizeof image);
  for (int i = 0; ok && i < 2; i++) {
    ok = fm_load_image(&image[i], both[i]->kept, both[i]->kept_size, NULL, &error) || refuse(b, "%s", error.message);
    ok = ok && (image[i].channels == 3 || refuse(b, "%s", "another kind of picture"));
  }
  ok = ok && (memcmp(image[0].pixels, image[1].pixels, picture_bytes(b, 3)) == 0 || refuse(b, "%s", "another picture"));
  for (int i = 0; i < 2; i++) fm_free_image(&image[i]);
  return ok;
}

/* A file in memory that grows. */
typedef struct growing { uint8_t *data; size_t size, room; } growing;

static bool grow(void *user, const void *data, size_t size) {
  growing *g = (growing *)user;
  if (g->size + size > g->room) {
    size_t room = 2 * g->room + size;
    uint8_t *larger = (uint8_t *)realloc(g->data, room);
    if (!larger) return false;
    g->data = larger;
    g->room = room;
  }
  memcpy(g->data + g->size, data, size);
  g->size += size;
  return true;
}

static bool deliver_grown(output *out, growing *g, bool ok) {
  ok = ok && deliver(out, g->data, g->size);
  free(g->data);
  return ok;
}

static bool encode_ours(bench *b, output *out) {
  growing g = {NULL, 0, 0};
  fm_png_desc desc;
  fm_sink sink;
  memset(&desc, 0, sizeof desc);
  desc.common = &b->common;
  sink.user = &g;
  sink.write = grow;
  return deliver_grown(out, &g, fm_write_png(&sink, &b->frames[b->turn], &desc, NULL));
}

static bool decode_ours(bench *b, output *out) {
  fm_image_desc desc;
  fm_image image;
  memset(&desc, 0, sizeof desc);
  desc.common = &b->common;
  bool ok = fm_load_image(&image, b->input, b->input_size, &desc, NULL) &&
            deliver(out, image.pixels, (size_t)image.width * (size_t)image.height * (size_t)image.channels);
  fm_free_image(&image);
  return ok;
}

#ifdef BENCH_LIBPNG
static void libpng_fails(png_structp png, png_const_charp message) {
  (void)png;
  fprintf(stderr, "bench: libpng: %s\n", message);
  exit(1);
}

static void libpng_write(png_structp png, png_bytep data, size_t size) {
  if (!grow(png_get_io_ptr(png), data, size)) png_error(png, "no memory");
}

static bool libpng_encode(const fm_image *image, int level, int filters, output *out) {
  growing g = {NULL, 0, 0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, libpng_fails, NULL);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &g, libpng_write, NULL);
  png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, level);
  if (filters) png_set_filter(png, PNG_FILTER_TYPE_BASE, filters);
  png_write_info(png, info);
  for (int y = 0; y < image->height; y++) png_write_row(png, image->pixels + (size_t)y * (size_t)image->width * 3);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return deliver_grown(out, &g, true);
}

static bool encode_libpng_1(bench *b, output *out) {
  return libpng_encode(&b->frames[b->turn], 1, 0, out);
}

static bool encode_libpng_6(bench *b, output *out) {
  return libpng_encode(&b->frames[b->turn], 6, PNG_ALL_FILTERS, out);
}

static void libpng_read(png_structp png, png_bytep data, size_t size) {
  growing *g = (growing *)png_get_io_ptr(png); /* size: what is read; room: all there is */
  if (size > g->room - g->size) png_error(png, "the file ends");
  memcpy(data, g->data + g->size, size);
  g->size += size;
}

static bool decode_libpng(bench *b, output *out) {
  growing g;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, libpng_fails, NULL);
  png_infop info = png_create_info_struct(png);
  g.data = b->input;
  g.size = 0;
  g.room = b->input_size;
  png_set_read_fn(png, &g, libpng_read);
  png_read_info(png, info);
  size_t height = png_get_image_height(png, info), row = png_get_rowbytes(png, info);
  uint8_t *pixels = (uint8_t *)malloc(height * row);
  if (!pixels) png_error(png, "no memory");
  for (size_t y = 0; y < height; y++) png_read_row(png, pixels + y * row, NULL);
  png_read_end(png, info);
  png_destroy_read_struct(&png, &info, NULL);
  bool ok = deliver(out, pixels, height * row);
  free(pixels);
  return ok;
}
#define IF_LIBPNG(run) run
#else
#define IF_LIBPNG(run) NULL
#endif

#ifdef BENCH_LIBSPNG
static bool encode_libspng(bench *b, output *out) {
  const fm_image *image = &b->frames[b->turn];
  struct spng_ihdr header;
  int error = 0;
  size_t size = 0;
  spng_ctx *spng = spng_ctx_new(SPNG_CTX_ENCODER);
  memset(&header, 0, sizeof header);
  header.width = (uint32_t)image->width;
  header.height = (uint32_t)image->height;
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_TRUECOLOR;
  spng_set_option(spng, SPNG_ENCODE_TO_BUFFER, 1);
  spng_set_ihdr(spng, &header);
  error = spng_encode_image(spng, image->pixels, picture_bytes(b, 3), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  void *data = error ? NULL : spng_get_png_buffer(spng, &size, &error);
  bool ok = data && deliver(out, data, size);
  free(data);
  spng_ctx_free(spng);
  return ok;
}

static bool decode_libspng(bench *b, output *out) {
  spng_ctx *spng = spng_ctx_new(0);
  size_t size = 0;
  bool ok = spng_set_png_buffer(spng, b->input, b->input_size) == 0 && spng_decoded_image_size(spng, SPNG_FMT_PNG, &size) == 0;
  uint8_t *pixels = ok ? (uint8_t *)malloc(size) : NULL;
  ok = pixels && spng_decode_image(spng, pixels, size, SPNG_FMT_PNG, 0) == 0 && deliver(out, pixels, size);
  free(pixels);
  spng_ctx_free(spng);
  return ok;
}
#define IF_LIBSPNG(run) run
#else
#define IF_LIBSPNG(run) NULL
#endif

#ifdef BENCH_STB
static void stb_write(void *user, void *data, int size) { grow(user, data, (size_t)size); }

static bool encode_stb(bench *b, output *out) {
  growing g = {NULL, 0, 0};
  bool ok = stbi_write_png_to_func(stb_write, &g, b->job->side, b->job->side, 3, b->frames[b->turn].pixels, 0) != 0;
  return deliver_grown(out, &g, ok);
}

static bool decode_stb(bench *b, output *out) {
  int width, height, channels;
  uint8_t *pixels = stbi_load_from_memory(b->input, (int)b->input_size, &width, &height, &channels, 0);
  bool ok = pixels && deliver(out, pixels, (size_t)width * (size_t)height * (size_t)channels);
  stbi_image_free(pixels);
  return ok;
}

static bool inflate_stb(bench *b, output *out) {
  char *data = (char *)malloc(b->inflated_size);
  bool ok = data && stbi_zlib_decode_buffer(data, (int)b->inflated_size, (const char *)b->deflated, (int)b->deflated_size) > 0 &&
            deliver(out, data, b->inflated_size);
  free(data);
  return ok;
}
#define IF_STB(run) run
#else
#define IF_STB(run) NULL
#endif

/* ---- JPEG in */

#ifdef BENCH_LIBJPEG
static bool decode_libjpeg(bench *b, output *out) { /* libjpeg's own handler ends the program on an error */
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, b->input, (unsigned long)b->input_size);
  jpeg_read_header(&jpeg, TRUE);
  jpeg_start_decompress(&jpeg);
  size_t row = (size_t)jpeg.output_width * (size_t)jpeg.output_components, size = row * jpeg.output_height;
  uint8_t *pixels = (uint8_t *)malloc(size);
  while (pixels && jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW rows[16];
    for (JDIMENSION i = 0; i < COUNT(rows); i++) {
      JDIMENSION y = jpeg.output_scanline + i;
      rows[i] = pixels + row * (y < jpeg.output_height ? y : jpeg.output_height - 1);
    }
    jpeg_read_scanlines(&jpeg, rows, COUNT(rows));
  }
  bool ok = pixels && deliver(out, pixels, size);
  jpeg_destroy_decompress(&jpeg);
  free(pixels);
  return ok;
}
#define IF_LIBJPEG(run) run
#else
#define IF_LIBJPEG(run) NULL
#endif

/* ---- inflate: the pixels of that PNG, filtered as they are */

static bool prepare_inflate(bench *b) {
  if (!read_input(b)) return false;
  b->deflated = (uint8_t *)malloc(b->input_size);
  if (!b->deflated || b->input_size < 33) return refuse(b, "%s is no PNG", b->path);
  const uint8_t *header = b->input + 16; /* width, height, depth, colour type */
  static const size_t channels[8] = {1, 0, 3, 1, 2, 0, 4, 0};
  b->inflated_size = ((fmi_be32(header) * channels[header[9] & 7] * header[8] + 7) / 8 + 1) * fmi_be32(header + 4);
  for (size_t at = 8; at + 12 <= b->input_size;) {
    size_t size = fmi_be32(b->input + at);
    if (size > b->input_size - at - 12) return refuse(b, "%s is damaged", b->path);
    if (memcmp(b->input + at + 4, "IDAT", 4) == 0) {
      memcpy(b->deflated + b->deflated_size, b->input + at + 8, size);
      b->deflated_size += size;
    }
    at += size + 12;
  }
  return true;
}

static bool inflate_ours(bench *b, output *out) {
  fmi_inflater *z = (fmi_inflater *)malloc(sizeof *z);
  uint8_t *data = (uint8_t *)malloc(b->inflated_size);
  bool ok = z && data && fmi_inflate_with(z, b->common.simd ? b->common.simd : fm_best_simd(), b->deflated, b->deflated_size, data, b->inflated_size) &&
            deliver(out, data, b->inflated_size);
  free(z);
  free(data);
  return ok;
}

#ifdef BENCH_LIBDEFLATE
static bool inflate_libdeflate(bench *b, output *out) {
  struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
  uint8_t *data = (uint8_t *)malloc(b->inflated_size);
  bool ok = z && data &&
            libdeflate_zlib_decompress(z, b->deflated, b->deflated_size, data, b->inflated_size, NULL) == LIBDEFLATE_SUCCESS &&
            deliver(out, data, b->inflated_size);
  libdeflate_free_decompressor(z);
  free(data);
  return ok;
}
#define IF_LIBDEFLATE(run) run
#else
#define IF_LIBDEFLATE(run) NULL
#endif

#ifdef BENCH_ZLIB
static bool inflate_zlib(bench *b, output *out) {
  uint8_t *data = (uint8_t *)malloc(b->inflated_size);
  uLongf size = (uLongf)b->inflated_size;
  bool ok = data && uncompress(data, &size, b->deflated, (uLong)b->deflated_size) == Z_OK && deliver(out, data, size);
  free(data);
  return ok;
}
#define IF_ZLIB(run) run
#else
#define IF_ZLIB(run) NULL
#endif

/* ---- meshes: from memory, textures by name alone */

static bool load_ours(bench *b, output *out) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.common = &b->common;
  desc.no_textures = true;
  fm_mesh *mesh = fm_load_mesh_memory(b->input, b->input_size, &desc, NULL);
  bool ok = mesh && deliver_counts(out, mesh->polygon_count, mesh->corner_count);
  fm_free_mesh(mesh);
  return ok;
}

#ifdef BENCH_ASSIMP
static bool load_assimp(bench *b, output *out) { /* no post-processing: polygons stay polygons */
  const char *extension = strrchr(b->job->input, '.') + 1;
  const struct aiScene *scene = aiImportFileFromMemory((const char *)b->input, (unsigned)b->input_size, 0, extension);
  size_t polygons = 0, corners = 0;
  for (unsigned m = 0; scene && m < scene->mNumMeshes; m++) {
    polygons += scene->mMeshes[m]->mNumFaces;
    for (unsigned f = 0; f < scene->mMeshes[m]->mNumFaces; f++) corners += scene->mMeshes[m]->mFaces[f].mNumIndices;
  }
  bool ok = scene && deliver_counts(out, polygons, corners);
  aiReleaseImport(scene);
  return ok;
}
#define IF_ASSIMP(run) run
#else
#define IF_ASSIMP(run) NULL
#endif

#ifdef BENCH_TINYOBJ
static bool load_tinyobj(bench *b, output *out) {
  size_t polygons, corners;
  return tinyobj_load((const char *)b->input, b->input_size, &polygons, &corners) && deliver_counts(out, polygons, corners);
}
#define IF_TINYOBJ(run) run
#else
#define IF_TINYOBJ(run) NULL
#endif

/* ---- area-weighted unit normals */

static bool prepare_normals(bench *b) {
  if (!load_heads(b)) return false;
  for (int h = 0; h < 2; h++) b->scene[h] = b->heads[h];
  size_t size = b->scene[0]->vertex_count * 3 * sizeof(float);
  b->positions = (float *)malloc(size);
  b->normals = (float *)malloc(size);
  if (!b->positions || !b->normals) return refuse(b, "%s", "no memory");
  if (!fm_blend(b->positions, b->scene, halves, NULL, 2)) return refuse(b, "%s", "the heads do not have the same topology");
  fm_error error;
  fm_scene scene = {0};
  scene.common = &b->common;
  scene.heads = b->scene;
  scene.head_count = 2;
  scene.lanes = 1;
  if (!fm_software_renderer(&b->renderer, &b->common, &error) || !b->renderer.begin(b->renderer.user, &scene, &error))
    return refuse(b, "%s", error.message);
  memcpy(((fmi_software *)b->renderer.user)->lanes[0].shape_weights, halves, sizeof halves);
  return true;
}

static bool deliver_normals(const bench *b, output *out) {
  return deliver(out, b->normals, b->heads[0]->vertex_count * 3 * sizeof(float));
}

/* of a frame of the morph, as the renderer makes them: from three terms a vertex */
static bool normals_of_morph(bench *b, output *out) {
  fmi_software *s = (fmi_software *)b->renderer.user;
  const float *planes = s->lanes[0].normals;
  fmi_blend_normals(s, &s->lanes[0]);
  for (size_t v = 0; out->keep && v < b->heads[0]->vertex_count; v++)
    for (size_t k = 0; k < 3; k++) b->normals[3 * v + k] = planes[k * s->plane + v];
  return deliver_normals(b, out);
}

static bool normals_of_mesh(bench *b, output *out) {
  return fm_normals(b->normals, b->heads[0], b->positions) && deliver_normals(b, out);
}

/* The formula written down, triangle by triangle: what a compiler makes of it is the peer. */
static bool normals_in_plain_c(bench *b, output *out) {
  const fm_mesh *mesh = b->heads[0];
  memset(b->normals, 0, mesh->vertex_count * 3 * sizeof(float));
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    const float *p[3];
    float *n[3], u[3], v[3], cross[3];
    for (size_t k = 0; k < 3; k++) {
      size_t vertex = mesh->corners[mesh->triangles[3 * t + k]];
      p[k] = b->positions + 3 * vertex;
      n[k] = b->normals + 3 * vertex;
    }
    for (int k = 0; k < 3; k++) {
      u[k] = p[1][k] - p[0][k];
      v[k] = p[2][k] - p[0][k];
    }
    cross[0] = u[1] * v[2] - u[2] * v[1];
    cross[1] = u[2] * v[0] - u[0] * v[2];
    cross[2] = u[0] * v[1] - u[1] * v[0];
    for (int i = 0; i < 3; i++)
      for (int k = 0; k < 3; k++) n[i][k] += cross[k];
  }
  for (size_t i = 0; i < mesh->vertex_count; i++) {
    float *n = b->normals + 3 * i, length = sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    for (int k = 0; length > 0.0f && k < 3; k++) n[k] /= length;
  }
  return deliver_normals(b, out);
}

/* ---- the whole job, as the command line program does it */

static void remove_output(bench *b) {
  char command[64];
  (void)b;
#ifdef _WIN32
  snprintf(command, sizeof command, "rmdir /s /q \"%s\"", output_folder);
#else
  snprintf(command, sizeof command, "rm -rf %s", output_folder);
#endif
  if (system(command) != 0) fprintf(stderr, "bench: %s cannot be removed\n", output_folder);
}

static bool whole_textured(bench *b, output *out) {
  char paths[2][512];
  fm_session_desc desc;
  fm_error error;
  (void)out;
  memset(&desc, 0, sizeof desc);
  for (int h = 0; h < 2; h++) input_path(b, b->job->input, h, paths[h], sizeof paths[h]);
  desc.path_a = paths[0];
  desc.path_b = paths[1];
  desc.out_dir = output_folder;
  desc.run_name = "run";
  desc.samples = b->job->samples;
  desc.common = &b->common;
  return fm_run(&desc, NULL, &error) || refuse(b, "%s", error.message);
}

/* The heads' files alone: neither materials nor pictures are found. */
static bool open_heads_alone(void *user, const char *path, fm_stream *out) {
  size_t length = strlen(path);
  return length > 4 && strcmp(path + length - 4, ".obj") == 0 && fmi_stdio_open_read(user, path, out);
}

static bool whole_untextured(bench *b, output *out) {
  fm_files files = {NULL, open_heads_alone, fmi_stdio_open_write, fmi_stdio_close_write, fmi_stdio_make_folder};
  b->common.files = &files;
  bool ok = whole_textured(b, out);
  b->common.files = NULL;
  return ok;
}

/* ---- the jobs */

#define OURS "facemorph.h"
#define RENDER .prepare = prepare_render, .agrees = agrees_as_pictures, .all_threads = true, \
  .contenders = {{OURS, render_ours}, {"llvmpipe", IF_OSMESA(render_llvmpipe)}}
#define ENCODE_PNG .side = 512, .repeat = MORPH_FRAMES, .prepare = prepare_frames, .agrees = agrees_decoded, \
  .contenders = {{OURS, encode_ours}, {"libpng level 1", IF_LIBPNG(encode_libpng_1)}, \
                 {"libpng level 6", IF_LIBPNG(encode_libpng_6)}, {"libspng", IF_LIBSPNG(encode_libspng)}, \
                 {"stb_image_write", IF_STB(encode_stb)}}
#define DECODE_JPEG .prepare = read_input, .agrees = agrees_nearly, \
  .contenders = {{OURS, decode_ours}, {"libjpeg-turbo", IF_LIBJPEG(decode_libjpeg)}, {"stb_image", IF_STB(decode_stb)}}
#define WHOLE(run) .tidy = remove_output, .all_threads = true, .wall = true, .contenders = {{OURS, run}}

static const job jobs[] = {
  {"render512", .side = 512, .samples = 1, .textured = true, .repeat = 4, RENDER},
  {"render512_4x", .side = 512, .samples = 4, .textured = true, .repeat = 2, RENDER},
  {"render512_clay", .side = 512, .samples = 1, .repeat = 4, RENDER},
  {"render1024", .side = 1024, .samples = 1, .textured = true, .repeat = 2, RENDER},
  {"render2048", .side = 2048, .samples = 1, .textured = true, RENDER},
  {"png_encode", .samples = 4, ENCODE_PNG},
  {"png_encode/1x", .samples = 1, ENCODE_PNG},
  {"png_decode", "*.png", .prepare = read_input, .agrees = agrees_exactly,
   .contenders = {{OURS, decode_ours}, {"libpng", IF_LIBPNG(decode_libpng)}, {"libspng", IF_LIBSPNG(decode_libspng)},
                  {"stb_image", IF_STB(decode_stb)}}},
  {"jpeg_decode", "*.jpg", DECODE_JPEG},
  {"jpeg_decode/progressive", "*_prog.jpg", DECODE_JPEG},
  {"inflate", "*.png", .prepare = prepare_inflate, .agrees = agrees_exactly,
   .contenders = {{OURS, inflate_ours}, {"libdeflate", IF_LIBDEFLATE(inflate_libdeflate)}, {"zlib", IF_ZLIB(inflate_zlib)},
                  {"stb_image", IF_STB(inflate_stb)}}},
  {"fbx_load", "*.fbx", .prepare = read_input, .agrees = agrees_exactly,
   .contenders = {{OURS, load_ours}, {"assimp", IF_ASSIMP(load_assimp)}}},
  {"obj_load", "*.obj", .prepare = read_input, .agrees = agrees_exactly,
   .contenders = {{OURS, load_ours}, {"tinyobjloader", IF_TINYOBJ(load_tinyobj)}, {"assimp", IF_ASSIMP(load_assimp)}}},
  {"normals", .repeat = 10, .prepare = prepare_normals, .agrees = agrees_as_floats,
   .contenders = {{OURS, normals_of_morph}, {"plain C", normals_in_plain_c}}},
  {"normals/mesh", .repeat = 10, .prepare = prepare_normals, .agrees = agrees_as_floats,
   .contenders = {{OURS, normals_of_mesh}, {"plain C", normals_in_plain_c}}},
  {"whole_minimal/fbx+png/1x", "*.fbx", .samples = 1, WHOLE(whole_textured)},
  {"whole_minimal/fbx+png/4x", "*.fbx", .samples = 4, WHOLE(whole_textured)},
  {"whole_minimal/fbx+jpeg/1x", "*_ext.fbx", .samples = 1, WHOLE(whole_textured)},
  {"whole_minimal/fbx+jpeg/4x", "*_ext.fbx", .samples = 4, WHOLE(whole_textured)},
  {"whole_minimal/obj+png/1x", "*.obj", .samples = 1, WHOLE(whole_textured)},
  {"whole_minimal/obj+png/4x", "*.obj", .samples = 4, WHOLE(whole_textured)},
  {"whole_untextured/obj/1x", "*.obj", .samples = 1, WHOLE(whole_untextured)},
  {"whole_untextured/obj/4x", "*.obj", .samples = 4, WHOLE(whole_untextured)},
};

/* ---- measuring */

typedef struct time_ms { double cpu, wall; } time_ms;

#ifdef CLOCK_THREAD_CPUTIME_ID
static double clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}
static time_ms now(bool all_threads) {
  time_ms t;
  t.cpu = clock_ms(all_threads ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID);
  t.wall = clock_ms(CLOCK_MONOTONIC);
  return t;
}
#else
static time_ms now(bool all_threads) { /* C's own clock: the process's CPU time, on Windows elapsed time */
  time_ms t;
  (void)all_threads;
  t.cpu = t.wall = (double)clock() * 1e3 / CLOCKS_PER_SEC;
  return t;
}
#endif

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2.0;
}

/* What is known of one contender. */
typedef struct result {
  bool measured, agrees;
  char note[256];
  double *cpu, *wall;      /* a round each */
  double cpu_ms;           /* their median */
  double wall_ms;          /* the fastest round: others wait for processors that are not idle */
  size_t bytes;
} result;

static size_t repeats(const job *j) { return j->repeat ? j->repeat : 1; }

/* Each contender once, or as often as the job repeats; its results are held against ours, turn by turn. */
static void warm_up(bench *b, result *results) {
  const job *j = b->job;
  for (b->turn = 0; b->turn < repeats(j); b->turn++) {
    output outputs[MOST_CONTENDERS];
    memset(outputs, 0, sizeof outputs);
    for (size_t i = 0; i < MOST_CONTENDERS; i++) {
      result *r = &results[i];
      if (!r->measured) continue;
      b->note[0] = 0;
      outputs[i].keep = j->agrees != NULL;
      bool ran = j->contenders[i].run(b, &outputs[i]);
      if (j->tidy) j->tidy(b);
      if (!ran) {
        r->measured = false;
        snprintf(r->note, sizeof r->note, "failed %s", b->note);
      } else if (j->agrees && i > 0) {
        bool agrees = j->agrees(b, &outputs[0], &outputs[i]);
        snprintf(r->note, sizeof r->note, "%s%s", agrees ? "" : "DIFFERENT WORK: ", b->note);
        r->agrees = r->agrees && agrees;
      }
      if (!results[0].measured) break;
    }
    for (size_t i = 0; i < MOST_CONTENDERS; i++) free(outputs[i].kept);
  }
}

static void measure_round(bench *b, result *results, int round) {
  const job *j = b->job;
  for (size_t i = 0; i < MOST_CONTENDERS; i++) {
    result *r = &results[i];
    time_ms sum = {0.0, 0.0};
    size_t bytes = 0;
    if (!r->measured) continue;
    for (b->turn = 0; b->turn < repeats(j); b->turn++) {
      output out;
      memset(&out, 0, sizeof out);
      time_ms before = now(j->all_threads);
      r->measured = j->contenders[i].run(b, &out) && r->measured;
      time_ms after = now(j->all_threads);
      sum.cpu += after.cpu - before.cpu;
      sum.wall += after.wall - before.wall;
      bytes += out.bytes;
      if (j->tidy) j->tidy(b);
    }
    r->cpu[round] = sum.cpu / (double)repeats(j);
    r->wall[round] = sum.wall / (double)repeats(j);
    r->bytes = bytes / repeats(j);
  }
}

/* ---- the table */

#define ROW_FORMAT "%-30s %10s  %-16s %10s %8s %10s %10s  %s\n"

static void print_row(bench *b, const job *j, const char *suffix, const result *ours, const char *peer, const result *other) {
  char name[64], ours_ms[32] = "", peer_ms[32] = "", ratio[32] = "", ours_bytes[32] = "", peer_bytes[32] = "";
  bool wall = *suffix != 0;
  snprintf(name, sizeof name, "%s%s", j->name, suffix);
  if (ours->measured) snprintf(ours_ms, sizeof ours_ms, "%.3f", wall ? ours->wall_ms : ours->cpu_ms);
  if (ours->bytes) snprintf(ours_bytes, sizeof ours_bytes, "%zu", ours->bytes);
  if (other && other->measured) {
    snprintf(peer_ms, sizeof peer_ms, "%.3f", other->cpu_ms);
    snprintf(ratio, sizeof ratio, "%.2f", other->cpu_ms / ours->cpu_ms);
    if (other->bytes) snprintf(peer_bytes, sizeof peer_bytes, "%zu", other->bytes);
  }
  printf(ROW_FORMAT, name, ours_ms, peer, peer_ms, ratio, ours_bytes, peer_bytes, other ? other->note : ours->note);
  fflush(stdout);
  if (b->csv) fprintf(b->csv, "%s,%s,%s,%s,%s,%s,%s\n", name, ours_ms, peer, peer_ms, ratio, ours_bytes, peer_bytes);
}

static void print_rows(bench *b, const job *j, result *results) {
  bool peers = false;
  for (size_t i = 1; i < MOST_CONTENDERS && j->contenders[i].name; i++) {
    print_row(b, j, "", &results[0], j->contenders[i].name, &results[i]);
    peers = true;
  }
  if (!peers) print_row(b, j, "", &results[0], "-", NULL);
  if (j->wall) print_row(b, j, "/wall", &results[0], "-", NULL);
}

static void forget(bench *b) {
  fm_destroy_renderer(&b->renderer);
#ifdef BENCH_OSMESA
  gl_end(b->gl);
#endif
  b->gl = NULL;
  for (int i = 0; i < MORPH_FRAMES; i++) {
    free(b->frames[i].pixels);
    memset(&b->frames[i], 0, sizeof b->frames[i]);
  }
  free(b->picture.pixels);
  free(b->picture.coverage);
  memset(&b->picture, 0, sizeof b->picture);
  free(b->input);
  free(b->deflated);
  free(b->gl_pixels);
  free(b->positions);
  free(b->normals);
  b->input = b->deflated = b->gl_pixels = NULL;
  b->positions = b->normals = NULL;
  b->deflated_size = 0;
}

static void run_job(bench *b, const job *j) {
  result results[MOST_CONTENDERS];
  double *times = (double *)calloc((size_t)b->rounds * MOST_CONTENDERS * 2, sizeof *times);
  memset(results, 0, sizeof results);
  b->note[0] = 0;
  b->job = j;
  bool there = !j->input || has_input(b), ready = times && there && (!j->prepare || j->prepare(b));
  if (there && !ready) b->failed = true;
  if (!ready) snprintf(results[0].note, sizeof results[0].note, "%s", b->note);
  for (size_t i = 0; times && i < MOST_CONTENDERS; i++) {
    result *r = &results[i];
    r->cpu = times + 2 * i * (size_t)b->rounds;
    r->wall = r->cpu + b->rounds;
    r->agrees = true;
    r->measured = ready && j->contenders[i].run;
    if (i > 0 && !r->measured) snprintf(r->note, sizeof r->note, "%s", ready ? "not installed" : b->note);
  }
  if (ready) {
    warm_up(b, results);
    for (int round = 0; round < b->rounds; round++) measure_round(b, results, round);
    for (size_t i = 0; i < MOST_CONTENDERS; i++) {
      result *r = &results[i];
      if (j->contenders[i].run && !(r->measured && r->agrees)) b->failed = true;
      r->cpu_ms = median(r->cpu, b->rounds);
      r->wall_ms = r->wall[0];
      for (int round = 1; round < b->rounds; round++) r->wall_ms = fmin(r->wall_ms, r->wall[round]);
    }
  }
  print_rows(b, j, results);
  forget(b);
  free(times);
}

/* "png_encode" chooses all jobs of that name and of what follows a '/'. */
static bool is_chosen(const bench *b, const job *j) {
  size_t length = b->only ? strlen(b->only) : 0;
  return !b->only || (strncmp(j->name, b->only, length) == 0 && (j->name[length] == 0 || j->name[length] == '/'));
}

/* ---- the program */

static void print_machine(const bench *b) {
  char line[256], processor[256] = "unknown", date[32];
  time_t seconds = time(NULL);
  FILE *info = fopen("/proc/cpuinfo", "r");
  while (info && fgets(line, sizeof line, info)) {
    const char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
    if (colon) snprintf(processor, sizeof processor, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
  }
  if (info) fclose(info);
  strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&seconds));
  printf("facemorph.h %s\nprocessor: %s\ncompiler: ", fm_version(), processor);
#if defined(__clang__)
  printf("%s\n", __VERSION__);
#elif defined(__GNUC__)
  printf("gcc %s\n", __VERSION__);
#else
  printf("unknown\n");
#endif
  printf("date: %s\ninput: %s\nours: SIMD level %s, threads %d; rounds: %d\n", date, b->data,
         fm_simd_name(b->common.simd == FM_SIMD_BEST ? fm_best_simd() : b->common.simd), b->common.threads, b->rounds);
  printf("ms: CPU time, medians (/wall: elapsed time of the fastest round); ratio: the peer's time by ours\n\n");
  printf(ROW_FORMAT, "job", "ours ms", "peer", "peer ms", "ratio", "our bytes", "its bytes", "");
}

static bool read_count(const char *text, int most, int *value) {
  char *end;
  long n = strtol(text, &end, 10);
  *value = (int)n;
  return end != text && !*end && n >= 1 && n <= most;
}

/* The names of the heads that a folder holds. */
static bool find_heads(bench *b) {
  static const char *const names[2][2] = {{"ict_a", "ict_b"}, {"head_a", "head_b"}};
  static const job any = {.input = "*.obj"};
  for (size_t i = 0; i < COUNT(names); i++) {
    b->names[0] = names[i][0];
    b->names[1] = names[i][1];
    b->job = &any;
    if (has_input(b)) return true;
  }
  return false;
}

static bool read_simd(const char *name, fm_simd *simd) {
  for (int level = FM_SIMD_BEST; level <= FM_SIMD_NEON; level++)
    if (strcmp(name, fm_simd_name((fm_simd)level)) == 0) {
      *simd = (fm_simd)level;
      return level == FM_SIMD_BEST || fmi_has_simd(*simd);
    }
  return false;
}

static bool read_arguments(bench *b, int argc, char **argv) {
  static const char usage[] =
    "usage: bench [--only JOB] [--rounds N] [--simd LEVEL] [--threads N] [--data DIR] [--csv FILE]\n";
  for (int i = 1; i < argc; i += 2) {
    const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    bool ok = value != NULL;
    if (ok && strcmp(flag, "--only") == 0) b->only = value;
    else if (ok && strcmp(flag, "--data") == 0) b->data = value;
    else if (ok && strcmp(flag, "--simd") == 0) ok = read_simd(value, &b->common.simd);
    else if (ok && strcmp(flag, "--rounds") == 0) ok = read_count(value, MOST_ROUNDS, &b->rounds);
    else if (ok && strcmp(flag, "--threads") == 0) ok = read_count(value, 256, &b->common.threads);
    else if (ok && strcmp(flag, "--csv") == 0) {
      if (b->csv) fclose(b->csv);
      b->csv = fopen(value, "w");
      ok = b->csv != NULL;
    } else ok = false;
    if (!ok) {
      fprintf(stderr, "bench: %s %s?\n%s", flag, value ? value : "", usage);
      return false;
    }
  }
  return true;
}

/* Runs the chosen ones of a table of jobs. */
static int run_table(const job *table, size_t count, int argc, char **argv) {
  bench b;
  size_t chosen = 0;
  memset(&b, 0, sizeof b);
  b.rounds = 9;
  b.common.threads = 1;
  if (!read_arguments(&b, argc, argv)) return 2;
  if (!b.data) {
    b.data = "../shared/data/ict";
    if (!find_heads(&b)) b.data = "build/sample_heads";
  }
  if (!find_heads(&b)) {
    fprintf(stderr, "bench: %s\n", b.note);
    return 2;
  }
  for (size_t i = 0; i < count; i++) chosen += is_chosen(&b, &table[i]);
  if (chosen == 0) {
    fprintf(stderr, "bench: there is no job %s\n", b.only);
    return 2;
  }
  print_machine(&b);
  if (b.csv) fprintf(b.csv, "job,ours_ms,peer,peer_ms,ratio,ours_bytes,peer_bytes\n");
  for (size_t i = 0; i < count; i++)
    if (is_chosen(&b, &table[i])) run_job(&b, &table[i]);
  for (int h = 0; h < 2; h++) fm_free_mesh(b.heads[h]);
  if (b.csv && fclose(b.csv) != 0) b.failed = true;
  return b.failed ? 1 : 0;
}

int main(int argc, char **argv) {
#ifdef __GLIBC__
  /* Memory that one contender frees stays in the process: otherwise who runs after a large one pays for the page faults. */
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
  return run_table(jobs, COUNT(jobs), argc, argv);
}
