/* What tools/bench.c shares with the peers that need a file of their own. tools/bench_peers finds out which are installed. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tools/bench_osmesa.c: Mesa's llvmpipe, through OpenGL without a window */

typedef struct gl_level { int width, height; uint8_t *texels; } gl_level; /* RGBA, top row first */

/* One frame as OpenGL takes it: everything that ours computes anew for every frame is done already. */
typedef struct gl_scene {
  const float *vertices;         /* 8 a vertex: position, unit normal, u, v, with v = 0 at the texture's top row */
  size_t vertex_count;
  const uint32_t *indices;       /* 3 a triangle */
  size_t index_count;
  int level_count;               /* of the texture; 0: grey */
  gl_level levels[16];
  uint8_t grey;
  float to_clip[16];             /* position to clip space, column by column */
  float to_eye[3];               /* the camera's axis: n.z = to_eye . normal */
  float ambient;
} gl_scene;

typedef struct gl_peer gl_peer;

/* Gets ready to draw square pictures of `side` pixels into pixels (RGBA, top row first). NULL: failed. */
gl_peer *gl_begin(const gl_scene *scene, int side, int samples, uint8_t *pixels);
void gl_draw(gl_peer *peer);                 /* a picture, complete in pixels */
const char *gl_name(const gl_peer *peer);    /* "llvmpipe (LLVM 15.0.6, 256 bits)" */
int gl_samples(const gl_peer *peer);         /* how many each pixel really has */
void gl_end(gl_peer *peer);

/* ---- tools/bench_tinyobj.cpp: tinyobjloader */

/* Parses an OBJ file's text; polygons stay as they are. */
bool tinyobj_load(const char *text, size_t size, size_t *polygons, size_t *corners);

#ifdef __cplusplus
}
#endif

#endif
