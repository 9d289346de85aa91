/* Texture pyramids of [FM:rasterizer] against a plain restatement of their rule: every texel one by one, no masks, no spans. */
#include "test.h"

/* ---- the rule, texel by texel ---- */

enum { MOST_LEVELS = 16 };
typedef struct plain_level { int width, height; uint8_t *texels, *cover; } plain_level;
typedef struct plain_pyramid { size_t heads; int count; plain_level level[MOST_LEVELS]; } plain_pyramid;

static int around(int n, int m) { return (n % m + m) % m; }

static void plain_paint(uint8_t to[4], const fmi_paint *paint, int x, int y) {
  const fm_image *c = paint->colour, *o = paint->opacity, *size = c ? c : o;
  if (c) {
    const uint8_t *p = c->pixels + (y * c->width + x) * c->channels;
    for (int k = 0; k < 3; k++) to[k] = c->channels < 3 ? p[0] : p[k];
    to[3] = c->channels == 2 ? p[1] : c->channels == 4 ? p[3] : 255;
  } else {
    to[0] = to[1] = to[2] = 179;
    to[3] = 255;
  }
  if (o) {
    const uint8_t *p = o->pixels + (y * o->height / size->height * o->width + x * o->width / size->width) * o->channels;
    to[3] = o->channels == 2 || o->channels == 4 ? p[o->channels - 1] : p[0];
  }
}

/* Marks the texels whose squares a triangle touches; areas of bounding boxes are added up and 16 layers cover all. */
static void plain_cover(plain_level *level, double *marked, const double x[3], const double y[3]) {
  double low[2] = {x[0], y[0]}, high[2] = {x[0], y[0]}, texels = (double)level->width * level->height, a[3], b[3], c[3];
  if (*marked > 16.0 * texels) return;
  for (int k = 1; k < 3; k++) {
    if (x[k] < low[0]) low[0] = x[k];
    if (x[k] > high[0]) high[0] = x[k];
    if (y[k] < low[1]) low[1] = y[k];
    if (y[k] > high[1]) high[1] = y[k];
  }
  *marked += (high[0] - low[0] + 1.0) * (high[1] - low[1] + 1.0);
  if (!(high[0] - low[0] < 2.0 * level->width && high[1] - low[1] < 2.0 * level->height && fabs(low[0]) < 1e9 &&
        fabs(low[1]) < 1e9 && *marked <= 16.0 * texels)) {
    *marked = DBL_MAX;
    memset(level->cover, 255, (size_t)level->width * (size_t)level->height);
    return;
  }
  double area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]), side = area < 0.0 ? -1.0 : 1.0;
  for (int k = 0; k < 3; k++) {
    int n = (k + 1) % 3;
    a[k] = -(y[n] - y[k]) * side;
    b[k] = (x[n] - x[k]) * side;
    c[k] = -(a[k] * x[k] + b[k] * y[k]) + (fabs(a[k]) + fabs(b[k])) * 0.5;
  }
  for (int j = (int)floor(low[1]); j < ceil(high[1]); j++)
    for (int i = (int)floor(low[0]); i < ceil(high[0]); i++) {
      bool inside = true;
      for (int k = 0; k < 3; k++) inside = inside && a[k] * (i + 0.5) + b[k] * (j + 0.5) + c[k] > 0.0;
      if (inside) level->cover[around(j, level->height) * level->width + around(i, level->width)] = 255;
    }
}

/* Share of place i of n in place j of the n / 2 after it, times n / 2 (n even or 1: 0 or 1). */
static uint64_t share(int n, int i, int j) {
  if (n == 1) return 1;
  int m = n / 2, low = j * n, high = (j + 1) * n; /* place j covers [low, high) where place i covers [i m, (i + 1) m) */
  int from = i * m > low ? i * m : low, to = (i + 1) * m < high ? (i + 1) * m : high;
  return to <= from ? 0 : n % 2 ? (uint64_t)(to - from) : 1;
}

static void plain_reduce(const plain_pyramid *p, const plain_level *from, plain_level *to, int x, int y) {
  uint64_t cover = 0, area = 0;
  int x0 = from->width == 1 ? 0 : 2 * x, y0 = from->height == 1 ? 0 : 2 * y;
  uint8_t *out = to->texels + (size_t)(y * to->width + x) * p->heads * 4;
  for (size_t h = 0; h < p->heads; h++, out += 4) {
    uint64_t seen[3] = {0, 0, 0}, all[3] = {0, 0, 0}, weights = 0;
    cover = area = 0;
    for (int j = y0; j < y0 + 3 && j < from->height; j++)
      for (int i = x0; i < x0 + 3 && i < from->width; i++) {
        uint64_t w = share(from->width, i, x) * share(from->height, j, y), c = w * from->cover[j * from->width + i];
        const uint8_t *t = from->texels + ((size_t)(j * from->width + i) * p->heads + h) * 4;
        area += w;
        cover += c;
        weights += c * t[3];
        for (int k = 0; k < 3; k++) {
          seen[k] += c * t[3] * t[k];
          all[k] += c * t[k];
        }
      }
    for (int k = 0; k < 3; k++)
      out[k] = (uint8_t)(weights ? (2 * seen[k] + weights) / (2 * weights) : cover ? (2 * all[k] + cover) / (2 * cover) : 0);
    out[3] = (uint8_t)(cover ? (2 * weights + cover) / (2 * cover) : 255);
  }
  uint64_t mean = (2 * cover + area) / (2 * area);
  to->cover[y * to->width + x] = (uint8_t)(cover && !mean ? 1 : mean);
}

static void plain_fill(const plain_pyramid *p, const plain_level *level, const plain_level *coarser) {
  size_t stride = p->heads * 4;
  for (int y = 0; y < level->height; y++)
    for (int x = 0; x < level->width; x++) {
      uint8_t *out = level->texels + (size_t)(y * level->width + x) * stride;
      if (level->cover[y * level->width + x]) continue;
      for (size_t c = 0; c < stride; c++) {
        unsigned sum = 0, n = 0;
        for (int j = y - 1; j <= y + 1; j++)
          for (int i = x - 1; i <= x + 1; i++) {
            int at = around(j, level->height) * level->width + around(i, level->width);
            if ((i == x && j == y) || !level->cover[at]) continue;
            sum += level->texels[(size_t)at * stride + c];
            n++;
          }
        if (n) out[c] = (uint8_t)((2 * sum + n) / (2 * n));
        else if (coarser)
          out[c] = coarser->texels[(size_t)(y * coarser->height / level->height * coarser->width +
                                            x * coarser->width / level->width) * stride + c];
      }
    }
}

static void plain_build(plain_pyramid *p) {
  for (; p->level[p->count - 1].width > 1 || p->level[p->count - 1].height > 1; p->count++) {
    const plain_level *from = &p->level[p->count - 1];
    plain_level *to = &p->level[p->count];
    to->width = from->width > 1 ? from->width / 2 : 1;
    to->height = from->height > 1 ? from->height / 2 : 1;
    to->texels = (uint8_t *)calloc((size_t)to->width * (size_t)to->height, p->heads * 4);
    to->cover = (uint8_t *)calloc((size_t)to->width * (size_t)to->height, 1);
    for (int y = 0; y < to->height; y++)
      for (int x = 0; x < to->width; x++) plain_reduce(p, from, to, x, y);
  }
  for (int l = p->count - 1; l >= 0; l--) plain_fill(p, &p->level[l], l + 1 < p->count ? &p->level[l + 1] : NULL);
}

/* ---- scenes ---- */

static uint32_t seed;
static uint32_t next_random(void) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}
static int below(int n) { return (int)(next_random() % (uint32_t)n); }

enum { MOST_HEADS = 3, MOST_TRIANGLES = 40 };
typedef struct layout { int count; double x[MOST_TRIANGLES][3], y[MOST_TRIANGLES][3]; } layout;
typedef struct textures { size_t heads; fm_image image[2 * MOST_HEADS]; fmi_paint paint[MOST_HEADS]; } textures;

/* alpha: 0 everywhere 255, 1 everywhere 0, 2 cut out in blocks, 3 anything */
static void make_image(fm_image *image, int width, int height, int channels, int alpha, int block) {
  memset(image, 0, sizeof *image);
  image->width = width;
  image->height = height;
  image->channels = channels;
  image->pixels = (uint8_t *)malloc((size_t)(width * height * channels)); /* to the byte: a sanitizer sees what is read beyond */
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++) {
        int opaque = alpha == 0 ? 255 : alpha == 1 ? 0 : (x / block + y / block) % 2 ? 255 : 0;
        bool is_alpha = (channels % 2 == 0 && c == channels - 1) || (channels == 1 && alpha != 3 && below(2) == 0);
        image->pixels[(y * width + x) * channels + c] = (uint8_t)(is_alpha && alpha < 3 ? opaque : below(256));
      }
}

/* Channels of each head by the decimal digits of `kinds` (0: an opacity map alone; 5 to 8: 1 to 4 and an opacity map). */
static void make_textures(textures *t, int width, int height, int kinds, int alpha) {
  memset(t, 0, sizeof *t);
  do {
    int kind = kinds % 10, block = 1 + below(5);
    fm_image *colour = &t->image[2 * t->heads], *opacity = colour + 1;
    if (kind > 0) {
      make_image(colour, width, height, kind > 4 ? kind - 4 : kind, alpha, block);
      t->paint[t->heads].colour = colour;
    }
    if (kind == 0 || kind > 4) {
      bool same = kind == 0 || below(2);
      make_image(opacity, same ? width : 1 + below(2 * width), same ? height : 1 + below(2 * height), 1 + below(4), alpha, block);
      t->paint[t->heads].opacity = opacity;
    }
    t->heads++;
    kinds /= 10;
  } while (kinds && t->heads < MOST_HEADS);
}

static void free_textures(textures *t) {
  for (int i = 0; i < 2 * MOST_HEADS; i++) free(t->image[i].pixels);
}

/* Builds both ways and compares every byte of every level, and what is read of a level 0 that is not stored. */
static bool same_as_plain(const textures *t, const layout *uv, int threads) {
  plain_pyramid plain;
  const fm_image *size = fmi_paint_size(&t->paint[0]);
  size_t stride = t->heads * 4, count = (size_t)size->width * (size_t)size->height;
  double marked = 0.0;
  bool cutout = false, same = true;
  memset(&plain, 0, sizeof plain);
  plain.heads = t->heads;
  plain.count = 1;
  plain.level[0].width = size->width;
  plain.level[0].height = size->height;
  plain.level[0].texels = (uint8_t *)malloc(count * stride);
  plain.level[0].cover = (uint8_t *)calloc(count, 1);
  for (int y = 0; y < size->height; y++)
    for (int x = 0; x < size->width; x++)
      for (size_t h = 0; h < t->heads; h++) {
        uint8_t *texel = plain.level[0].texels + ((size_t)(y * size->width + x) * t->heads + h) * 4;
        plain_paint(texel, &t->paint[h], x, y);
        cutout |= texel[3] < 128;
      }
  for (int i = 0; i < uv->count; i++) plain_cover(&plain.level[0], &marked, uv->x[i], uv->y[i]);
  plain_build(&plain);
  for (int stored = 0; stored < 2; stored++) {
    fmi_env env;
    fmi_pyramid p;
    fm_common common;
    memset(&common, 0, sizeof common);
    memset(&p, 0, sizeof p);
    common.threads = threads;
    p.heads = t->heads;
    p.paints = (fmi_paint *)t->paint;
    fmi_begin(&env, &common, NULL, NULL);
    same &= fmi_begin_pyramid(&env, &env.keep, &p);
    for (int i = 0; i < uv->count; i++) fmi_cover_triangle(&p, uv->x[i], uv->y[i]);
    same &= fmi_build_levels(&env, &env.keep, &p, stored) && p.level_count == plain.count && p.cutout == cutout;
    same &= stored == (p.level[0].texels != NULL);
    for (int l = 1 - stored; l < plain.count && same; l++)
      same &= p.level[l].width == plain.level[l].width && p.level[l].height == plain.level[l].height &&
              memcmp(p.level[l].texels, plain.level[l].texels,
                     (size_t)(p.level[l].width * p.level[l].height) * stride) == 0;
    for (int y = 0; y < size->height && !stored; y++)
      for (int x = 0; x < size->width; x++) {
        uint8_t texel[MOST_HEADS * 4];
        fmi_read_texel0(&p, x, y, texel);
        same &= memcmp(texel, plain.level[0].texels + (size_t)(y * size->width + x) * stride, stride) == 0;
      }
    fmi_free_pool(&env, &env.allocator, &env.keep);
    fmi_end(&env);
  }
  for (int l = 0; l < plain.count; l++) {
    free(plain.level[l].texels);
    free(plain.level[l].cover);
  }
  return same;
}

/* Triangles of a random kind: anywhere, on the grid, level or upright, slivers, wrapping around. */
static void make_layout(layout *uv, int width, int height) {
  memset(uv, 0, sizeof *uv);
  uv->count = below(4) ? below(8) : below(MOST_TRIANGLES);
  int kind = below(6), size = 1 + below(4) * below(width + height);
  for (int i = 0; i < uv->count; i++) {
    double at[2] = {below(1000) / 1000.0 * width, below(1000) / 1000.0 * height};
    for (int k = 0; k < 3; k++) {
      double dx = below(4096) / 4096.0 * size, dy = below(4096) / 4096.0 * size;
      if (kind == 1 || kind == 2) { /* on the grid of whole or half texels */
        double grid = kind == 1 ? 1.0 : 2.0;
        at[0] = floor(at[0]);
        at[1] = floor(at[1]);
        dx = floor(dx * grid) / grid;
        dy = floor(dy * grid) / grid;
      }
      if (kind == 3 && k == 2) { /* a right angle, or a line */
        dx = below(2) ? uv->x[i][0] - at[0] : uv->x[i][1] - at[0];
        dy = uv->y[i][0] - at[1];
      }
      if (kind == 4) dy = dx * 0.37 + below(3) * 1e-9; /* slivers */
      if (kind == 5) {
        dx = dx * 2.1 - width;
        dy = dy * 2.1 - 3 * height;
      }
      uv->x[i][k] = at[0] + dx;
      uv->y[i][k] = at[1] + dy;
    }
  }
}

static void test_random_scenes(void) {
  static const int kinds[] = {3, 33, 4, 44, 34, 1, 2, 0, 7, 8, 5, 6, 12, 21, 333, 143, 38, 24, 70, 433};
  static layout uv;
  textures t;
  int wrong = 0;
  for (int i = 0; i < 3000 && !wrong; i++) {
    seed = (uint32_t)i;
    next_random();
    int width = 1 + below(below(4) ? 24 : 200), height = 1 + below(below(4) ? 24 : 200);
    if (below(2)) { /* mostly even sizes: the fast ways */
      width = (width + 7) / 8 * 8;
      height = (height + 7) / 8 * 8;
    }
    make_textures(&t, width, height, kinds[below((int)FMI_COUNT(kinds))], below(4));
    make_layout(&uv, width, height);
    if (!same_as_plain(&t, &uv, 1)) {
      printf("scene %d differs: %d x %d\n", i, width, height);
      wrong++;
    }
    free_textures(&t);
  }
  CHECK_INT(wrong, 0);
}

/* Large enough for jobs, and for rows of bits that wrap; the same for any number of threads. */
static void test_large_levels(void) {
  static const int sizes[][2] = {{512, 512}, {1024, 256}, {448, 513}, {2048, 129}};
  static layout uv;
  textures t;
  for (int i = 0; i < (int)FMI_COUNT(sizes); i++)
    for (int threads = 1; threads <= 4; threads += 3) {
      seed = (uint32_t)(100 + i);
      make_textures(&t, sizes[i][0], sizes[i][1], i == 1 ? 44 : 33, 2);
      make_layout(&uv, sizes[i][0], sizes[i][1]);
      if (uv.count > 12) uv.count = 12;
      CHECK(same_as_plain(&t, &uv, threads));
      free_textures(&t);
    }
}

/* All covered, nothing covered, one texel covered; sides of 1; numbers that are none or too large. */
static void test_edges_of_coverage(void) {
  static const double nan_at[3] = {3, 5, NAN}, far_off[3] = {3e9, 3e9 + 4, 3e9 + 8}, none[3] = {INFINITY, 1, 2}, ok[3] = {1, 6, 2},
                      wide[3] = {-40, 90, 3};
  static const int sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {2, 2}, {64, 64}, {65, 3}, {128, 2}, {16, 16}, {2, 64}};
  static layout uv;
  textures t;
  for (int i = 0; i < (int)FMI_COUNT(sizes); i++)
    for (int kind = 0; kind < 9; kind++) {
      int w = sizes[i][0], h = sizes[i][1];
      const double *x = kind == 3 ? nan_at : kind == 4 ? far_off : kind == 5 ? none : kind == 6 ? wide : ok;
      seed = (uint32_t)(i * 9 + kind);
      memset(&uv, 0, sizeof uv);
      uv.count = kind == 0 ? 0 : kind == 2 ? 2 : kind == 8 ? MOST_TRIANGLES : 1;
      for (int k = 0; k < uv.count; k++) {
        memcpy(uv.x[k], x, sizeof uv.x[k]);
        memcpy(uv.y[k], ok, sizeof uv.y[k]);
        if (kind == 7) memcpy(uv.y[k], nan_at, sizeof uv.y[k]);
      }
      if (kind == 1) { /* one texel, in the last column and row */
        const double tx[3] = {w - 0.6, w - 0.4, w - 0.5}, ty[3] = {h - 0.6, h - 0.6, h - 0.4};
        memcpy(uv.x[0], tx, sizeof tx);
        memcpy(uv.y[0], ty, sizeof ty);
      }
      if (kind == 2)
        for (int k = 0; k < 2; k++) { /* two triangles over all */
          const double tx[3] = {0, (double)w, k ? (double)w : 0.0}, ty[3] = {0, (double)h, k ? 0.0 : (double)h};
          memcpy(uv.x[k], tx, sizeof tx);
          memcpy(uv.y[k], ty, sizeof ty);
        }
      make_textures(&t, w, h, kind % 2 ? 33 : 40, 3);
      if (!same_as_plain(&t, &uv, 1)) {
        printf("%d x %d, kind %d\n", w, h, kind);
        CHECK(false);
      }
      free_textures(&t);
    }
}

/* 3 texels halve to one with equal weights; 5 to two with weights 2:2:1 and 1:2:2. */
static void test_odd_levels(void) {
  static uint8_t three[3] = {10, 20, 61}, five[5] = {10, 20, 30, 40, 50};
  static const double x[2][3] = {{0, 5, 5}, {0, 0, 5}}, y[2][3] = {{0, 0, 1}, {0, 1, 1}};
  fm_image image;
  fmi_paint paint = {&image, NULL};
  for (int n = 3; n <= 5; n += 2) {
    fmi_env env;
    fmi_pyramid pyramid;
    memset(&image, 0, sizeof image);
    memset(&pyramid, 0, sizeof pyramid);
    image.width = n;
    image.height = 1;
    image.channels = 1;
    image.pixels = n == 3 ? three : five;
    pyramid.heads = 1;
    pyramid.paints = &paint;
    fmi_begin(&env, NULL, NULL, NULL);
    CHECK(fmi_begin_pyramid(&env, &env.temp, &pyramid));
    for (int i = 0; i < 2; i++) fmi_cover_triangle(&pyramid, x[i], y[i]);
    CHECK(fmi_build_levels(&env, &env.temp, &pyramid, true));
    CHECK_INT(pyramid.level_count, n == 3 ? 2 : 3);
    if (n == 3) CHECK_INT(pyramid.level[1].texels[0], 30); /* 91 / 3 */
    else {
      CHECK_INT(pyramid.level[1].texels[0], 18); /* (2 * 10 + 2 * 20 + 30) / 5 */
      CHECK_INT(pyramid.level[1].texels[4], 42); /* (30 + 2 * 40 + 2 * 50) / 5 */
      CHECK_INT(pyramid.level[2].texels[0], 30);
    }
    fmi_end(&env);
  }
}

/* Materials that use the same images share a pyramid, however many there are: each triangle still gets its own. */
static void test_shared_pyramids(void) {
  enum { TRIANGLES = 500, IMAGES = 90 };
  static float positions[9 * TRIANGLES], uvs[6 * TRIANGLES];
  static uint32_t corners[3 * TRIANGLES], polygon_materials[TRIANGLES];
  static fm_material materials[TRIANGLES];
  static fm_texture textures[IMAGES];
  static uint8_t pixels[IMAGES][3];
  fm_mesh mesh;
  fm_scene scene;
  fm_renderer renderer;
  fm_error error;
  const fm_mesh *head = &mesh;
  memset(&mesh, 0, sizeof mesh);
  memset(&scene, 0, sizeof scene);
  for (uint32_t i = 0; i < TRIANGLES; i++) {
    for (uint32_t k = 0; k < 3; k++) corners[3 * i + k] = 3 * i + k;
    polygon_materials[i] = TRIANGLES - 1 - i;
    materials[i].texture = i % IMAGES;
    materials[i].opacity = i % 4 == 0 ? i / 7 % IMAGES : FM_NONE;
  }
  for (int i = 0; i < IMAGES; i++) {
    textures[i].image.width = textures[i].image.height = 1;
    textures[i].image.channels = 3;
    textures[i].image.pixels = pixels[i];
  }
  mesh.vertex_count = mesh.uv_count = mesh.corner_count = 3 * TRIANGLES;
  mesh.positions = positions;
  mesh.uvs = uvs;
  mesh.corners = corners;
  mesh.polygon_count = mesh.material_count = TRIANGLES;
  mesh.polygon_materials = polygon_materials;
  mesh.materials = materials;
  mesh.texture_count = IMAGES;
  mesh.textures = textures;
  scene.heads = &head;
  scene.head_count = 1;
  CHECK(fm_software_renderer(&renderer, NULL, &error));
  CHECK(renderer.begin(renderer.user, &scene, &error) > 0);
  const fmi_software *s = (const fmi_software *)renderer.user;
  size_t kinds = 0;
  for (uint32_t i = 0; i < TRIANGLES; i++) {
    const fmi_paint *paint = s->pyramids[s->surfaces[fmi_triangle_surface(s, TRIANGLES - 1 - i) & ~fmi_cutout_bit].samplers[0].pyramid].paints;
    bool opacity = materials[i].opacity != FM_NONE && materials[i].opacity != materials[i].texture, first = true;
    CHECK(paint->colour == &textures[materials[i].texture].image);
    CHECK(paint->opacity == (opacity ? &textures[materials[i].opacity].image : NULL));
    for (uint32_t j = 0; j < i; j++) {
      bool other = materials[j].opacity != FM_NONE && materials[j].opacity != materials[j].texture;
      first = first && (materials[j].texture != materials[i].texture || other != opacity ||
                        (other && materials[j].opacity != materials[i].opacity));
    }
    kinds += first;
  }
  CHECK(kinds > IMAGES && kinds < TRIANGLES);
  CHECK_INT(s->surface_count, TRIANGLES);
  CHECK_INT(s->pyramid_count, kinds);
  fm_destroy_renderer(&renderer);
}

TEST_MAIN({"random scenes", test_random_scenes}, {"large levels", test_large_levels}, {"edges of coverage", test_edges_of_coverage},
          {"levels of odd sizes", test_odd_levels}, {"shared pyramids", test_shared_pyramids})
