/* Small scenes for the tests of the renderer: meshes of triangles drawn with one unit a pixel, so that what must come out can be
   worked out by hand. */
#ifndef SCENE_H
#define SCENE_H

#include "test.h"

enum { SCENE_SIDE = 32, SCENE_MOST = 256 };

/* A mesh that holds everything it points to. */
typedef struct scene_mesh {
  fm_mesh mesh;
  float positions[3 * SCENE_MOST], uvs[2 * SCENE_MOST];
  uint32_t corners[SCENE_MOST], polygon_materials[SCENE_MOST];
  fm_material materials[4];
  fm_texture textures[4];
} scene_mesh;

static inline void scene_clear(scene_mesh *s) {
  memset(s, 0, sizeof *s);
  s->mesh.positions = s->positions;
  s->mesh.corners = s->corners;
  s->mesh.uvs = s->uvs;
  s->mesh.polygon_materials = s->polygon_materials;
  s->mesh.materials = s->materials;
  s->mesh.textures = s->textures;
}

/* Adds a triangle with a vertex and a UV of its own for each corner; x, y in pixels from the picture's top left, z towards the eye. */
static inline void scene_triangle(scene_mesh *s, double p[3][3], double uv[3][2], uint32_t material) {
  fm_mesh *m = &s->mesh;
  for (int k = 0; k < 3; k++) {
    size_t v = m->vertex_count++;
    s->positions[3 * v] = (float)(p[k][0] - SCENE_SIDE / 2);
    s->positions[3 * v + 1] = (float)(SCENE_SIDE / 2 - p[k][1]);
    s->positions[3 * v + 2] = (float)p[k][2];
    s->uvs[2 * v] = (float)uv[k][0];
    s->uvs[2 * v + 1] = (float)uv[k][1];
    s->corners[m->corner_count++] = (uint32_t)v;
  }
  m->uv_count = m->vertex_count;
  s->polygon_materials[m->polygon_count++] = material;
}

/* A rectangle of two triangles facing the eye, with the whole texture on it. */
static inline void scene_rectangle(scene_mesh *s, double x0, double y0, double x1, double y1, double z, uint32_t material) {
  double a[3][3] = {{x0, y0, z}, {x0, y1, z}, {x1, y1, z}}, ua[3][2] = {{0, 1}, {0, 0}, {1, 0}};
  double b[3][3] = {{x0, y0, z}, {x1, y1, z}, {x1, y0, z}}, ub[3][2] = {{0, 1}, {1, 0}, {1, 1}};
  scene_triangle(s, a, ua, material);
  scene_triangle(s, b, ub, material);
}

static inline void scene_texture(scene_mesh *s, uint8_t *pixels, int width, int height, int channels) {
  size_t t = s->mesh.texture_count++;
  s->textures[t].image.width = width;
  s->textures[t].image.height = height;
  s->textures[t].image.channels = channels;
  s->textures[t].image.pixels = pixels;
  s->materials[s->mesh.material_count].texture = (uint32_t)t;
  s->materials[s->mesh.material_count++].opacity = FM_NONE;
}

/* Orthographic, one unit a pixel. */
static inline fm_camera scene_camera(void) {
  fm_camera camera;
  memset(&camera, 0, sizeof camera);
  camera.scale = 1.0;
  camera.distance = INFINITY;
  camera.half_extent = SCENE_SIDE / 2;
  return camera;
}

typedef struct scene_picture { uint8_t pixels[SCENE_SIDE * SCENE_SIDE * 4], coverage[SCENE_SIDE * SCENE_SIDE]; int channels; } scene_picture;

static inline bool scene_deliver(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  scene_picture *picture = (scene_picture *)user + frame;
  (void)slot;
  (void)error;
  picture->channels = image->channels;
  memcpy(picture->coverage, image->coverage, (size_t)image->width * (size_t)image->height);
  memcpy(picture->pixels, image->pixels, (size_t)image->width * (size_t)image->height * (size_t)image->channels);
  return true;
}

static inline const uint8_t *scene_pixel(const scene_picture *picture, int x, int y) {
  return picture->pixels + (y * SCENE_SIDE + x) * picture->channels;
}

/* Draws frames of SCENE_SIDE x SCENE_SIDE pixels with the built-in renderer. */
static inline bool scene_draw(scene_picture *out, const fm_mesh *const *heads, size_t head_count, fm_frame *frames, size_t count, int threads, bool ignore_alpha) {
  fm_common common;
  fm_scene scene;
  fm_renderer renderer;
  fm_image_sink sink;
  fm_error error;
  memset(&common, 0, sizeof common);
  memset(&scene, 0, sizeof scene);
  memset(&sink, 0, sizeof sink);
  common.threads = threads;
  scene.common = &common;
  scene.heads = heads;
  scene.head_count = head_count;
  scene.ignore_alpha = ignore_alpha;
  sink.user = out;
  sink.deliver = scene_deliver;
  for (size_t i = 0; i < count; i++) frames[i].width = frames[i].height = SCENE_SIDE;
  if (!fm_software_renderer(&renderer, &common, &error)) return false;
  bool ok = fm_render(&renderer, &scene, frames, count, &sink, &error);
  if (!ok) printf("%s\n", error.message);
  fm_destroy_renderer(&renderer);
  return ok;
}

/* One frame of one mesh. */
static inline bool scene_draw_one(scene_picture *out, const scene_mesh *s, const fm_camera *camera, int samples, bool unlit, bool transparent) {
  const float one = 1.0f;
  const fm_mesh *head = &s->mesh;
  fm_frame frame;
  memset(&frame, 0, sizeof frame);
  frame.shape_weights = &one;
  frame.camera = camera;
  frame.samples = samples;
  frame.unlit = unlit;
  frame.transparent = transparent;
  return scene_draw(out, &head, 1, &frame, 1, 1, false);
}

#endif
