/* facemorph.h 0.1.0: morph, render, measure and compare 3D heads of identical topology. One file, no dependencies.

   Two or more heads go in (FBX binary, OBJ, with their textures); the frames of the morph between them come out, drawn by
   a software rasterizer that gives the same bytes on every machine, instruction set, compiler and number of threads.

   QUICK START

     #define FACEMORPH_IMPLEMENTATION        in exactly one C or C++ file of the program
     #include "facemorph.h"
     #include <stdio.h>

     int main(void) {
       fm_session_desc desc = {0};
       fm_error err;
       desc.path_a = "a.fbx";
       desc.path_b = "b.fbx";
       desc.out_dir = "results";
       if (!fm_run(&desc, NULL, &err)) { fprintf(stderr, "%s\n", err.message); return 1; }
       return 0;
     }

   cc -O2 main.c -lm -pthread. Every part works alone as well: read a mesh or an image, check two topologies, blend, compute
   normals, render into memory, write a PNG; with your own meshes, memory, files, threads and renderer.

   LICENCE: MIT or public domain (Unlicense), as you like; both texts stand at the end of this file.

   SWITCHES, defined before the #include of the implementation (those marked * before every #include):
     FACEMORPH_IMPLEMENTATION   compiles the implementation here; elsewhere only declarations
     FACEMORPH_STATIC *         every function static: several private copies can live in one program
     FACEMORPH_NO_STDIO         no stdio: paths work through fm_common.files only
     FACEMORPH_NO_THREADS       no threads of its own: your fm_jobs, or the caller's thread
     FACEMORPH_NO_SIMD          plain C alone; the same bytes, slower
     FACEMORPH_MAX_SIMD         the highest level compiled: 0 scalar, 1 SSE2 and NEON, 2 AVX2, 3 AVX-512 (the default)
     FACEMORPH_FILENAME         this file's name for #include, "facemorph.h" unless defined: it includes itself to compile its
                                kernels for each instruction set. Define it where the file was renamed
     FACEMORPH_NO_FBX, FACEMORPH_NO_OBJ, FACEMORPH_NO_PNG (reading), FACEMORPH_NO_JPEG, FACEMORPH_NO_RENDER,
     FACEMORPH_NO_WRITERS, FACEMORPH_NO_SESSION
                                leave a part out; what needs it goes too; files of a format left out are refused by name
     FACEMORPH_REALLOC(p, n), FACEMORPH_FREE(p)
                                the default allocator, both or none; otherwise realloc and free. Like these it must be
                                thread-safe (fm_common.allocator need not be)
     FACEMORPH_ASSERT(x)        otherwise assert

   CONVENTIONS
   - Space is right-handed, Y up, the face looks to +Z. From FBX positions are metres; OBJ has no unit and is taken as it is.
   - Vertices, polygons and corners keep the file's order; nothing is merged, split or reordered.
   - "Polygon" and "triangle" are geometry; "face" is only ever a human face. A "corner" is a polygon's use of a vertex.
   - Colours are 8-bit encoded sRGB; pictures have their top row first; V = 0 is the bottom row of a texture.
   - Options are desc structs: all zero means the defaults. `desc` and `fm_error *` may be NULL.
   - A function that can fail returns bool or a pointer; false or NULL means that it failed, that *error says why, and that
     nothing of it is left behind. Outputs are then untouched or empty.
   - There is no global state. Every function may be called from several threads at once, on different objects.
   - Angles are degrees, sizes are bytes or pixels, weights are plain factors.

   CONTENTS: search for the anchor
     [FM:types]      public types           [FM:functions]  public functions       [FM:licence]    licence
     [FM:platform]   compilers, floating-point control      [FM:lanes]      SIMD, written once
     [FM:errors]     the one place that reports failure     [FM:memory]     pools over the caller's allocator
     [FM:numbers]    parsing and printing without a locale  [FM:streams]    files, streams, sinks
     [FM:jobs]       threads                                [FM:math]       functions without libm's last bit
     [FM:hashes]     CRC-32, Adler-32, SHA-256              [FM:inflate]    inflate and deflate
     [FM:images]     PNG, JPEG, TGA, BMP                    [FM:materials]  textures, mesh assembly
     [FM:obj]        OBJ and MTL                            [FM:fbx]        FBX binary
     [FM:topology]   are two heads alike?                   [FM:morph]      weighted heads and their normals
     [FM:rasterizer] camera, visibility, shading            [FM:renderer]   the renderer hook
     [FM:writers]    PNG                                    [FM:session]    one run: heads in, a result folder out
*/
#ifndef FACEMORPH_H
#define FACEMORPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_VERSION_MAJOR 0
#define FM_VERSION_MINOR 1
#define FM_VERSION_PATCH 0
#define FM_VERSION "0.1.0"

/* Rises whenever a pixel or a number of the defaults changes; stands in records and in each PNG's text. */
#define FM_PICTURE_VERSION 1

/* How public functions are declared; define it before to export them from a library. */
#ifndef FM_API
#if defined(FACEMORPH_STATIC) && (defined(__GNUC__) || defined(__clang__))
#define FM_API static __attribute__((unused))
#elif defined(FACEMORPH_STATIC)
#define FM_API static
#else
#define FM_API extern
#endif
#endif

#if defined(__cplusplus) && (defined(__GNUC__) || defined(__clang__))
/* "{0}", all of a desc's defaults, draws this warning in C++ only. It is off from here on; push and pop around the #include
   keeps it on elsewhere. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ============================================================ [FM:types] ============================================ */

/* No index: a corner without UV, a polygon without material, a material without texture. */
#define FM_NONE 0xFFFFFFFFu

/* Every status with the words for it, in one list. */
#define FM_STATUS_LIST(X)                                                                                               \
  X(FM_OK, "ok")                                                                                                        \
  X(FM_ERROR_ARGUMENT, "the call's arguments make no sense")                                                            \
  X(FM_ERROR_MEMORY, "the allocator returned no memory")                                                                \
  X(FM_ERROR_LIMIT, "a limit of the caller's would be exceeded")                                                        \
  X(FM_ERROR_READ, "a file or stream cannot be read")                                                                   \
  X(FM_ERROR_WRITE, "a file or sink cannot be written")                                                                 \
  X(FM_ERROR_EXISTS, "a folder or file is there already")                                                               \
  X(FM_ERROR_FORMAT, "the data is damaged")                                                                             \
  X(FM_ERROR_UNSUPPORTED, "the data is of a kind that is not read")                                                     \
  X(FM_ERROR_TOPOLOGY, "the heads do not have the same topology")                                                       \
  X(FM_ERROR_RENDERER, "the renderer failed")                                                                           \
  X(FM_ERROR_BUILD, "this build breaks the promise of equal bytes")                                                     \
  X(FM_ERROR_CANCELLED, "cancelled by the caller")

typedef enum fm_status {
#define FMI_STATUS_ENUM(name, words) name,
  FM_STATUS_LIST(FMI_STATUS_ENUM)
#undef FMI_STATUS_ENUM
      FM_STATUS_COUNT
} fm_status;

#define FM_NO_OFFSET UINT64_MAX

/* What went wrong. Plain data: nothing to free. message is one line that names the file, the place and the way out. After
   a success status is FM_OK and message empty. */
typedef struct fm_error {
  uint64_t offset;      /* byte offset in a binary file, FM_NO_OFFSET if none */
  int line;             /* 1-based line of a text file, 0 if none */
  fm_status status;
  char file[260];       /* the file's name (its end, if longer), empty if none */
  char message[1024];   /* UTF-8 */
} fm_error;

/* Memory. resize is realloc that is told the old size: (NULL, 0, n) allocates, (p, old, 0) frees and returns NULL; memory
   must be aligned as malloc's. Set thread_safe only if it may be called from several threads at once: a run then loads its inputs
   at the same time. Called some hundred times to load a head, a few times a frame to name its file, never while drawing. */
typedef struct fm_allocator {
  void *user;
  void *(*resize)(void *user, void *memory, size_t old_size, size_t new_size);
  bool thread_safe;
} fm_allocator;

/* Bounds that no input can exceed; 0 = default. They cost no time, and each block 32 bytes (16 where pointers are 4). A run whose
   inputs do not fit while they are loaded at the same time loads them one after the other. */
typedef struct fm_limits {
  size_t memory;        /* bytes alive at one time within one call; default 900 MiB: below 1 GB in all */
  size_t allocations;   /* blocks alive at one time within one call; default 1 Mi */
  size_t vertices;      /* of a mesh; its corners may be 8 times as many; default 16 Mi */
  size_t image_side;    /* pixels; default 16384 */
  size_t node_depth;    /* nesting of a file's records; default 64 */
} fm_limits;

/* Parallel work: run calls fn(data, i, worker) once for every i below count, with 0 <= worker < workers, never two calls at
   once with one worker, and returns when all are done. It is never called from within fn. A run calls it once for its inputs and
   once for each 2 x workers frames: jobs of milliseconds. */
typedef void fm_job_fn(void *data, size_t i, int worker);
typedef struct fm_jobs {
  void *user;
  int workers;
  void (*run)(void *user, fm_job_fn *fn, void *data, size_t count);
} fm_jobs;

/* A source of bytes. read returns how many bytes it put into buffer, 0 at the end, -1 on failure. Functions that take a stream
   leave it open; close is called on those that fm_files opened for the library. */
typedef struct fm_stream {
  void *user;
  int64_t (*read)(void *user, void *buffer, size_t size);
  void (*close)(void *user); /* may be NULL */
  uint64_t size_hint;        /* expected bytes, 0 if unknown */
} fm_stream;

/* A destination of bytes. write takes all of them or returns false. */
typedef struct fm_sink {
  void *user;
  bool (*write)(void *user, const void *data, size_t size);
} fm_sink;

/* Files as the library sees them: replace all of it to read and write elsewhere than on disk. Paths are UTF-8 with '/'.
   A written file appears under its name only when close_write(keep = true) succeeded: the default writes beside and
   renames. */
typedef struct fm_files {
  void *user;
  bool (*open_read)(void *user, const char *path, fm_stream *out);
  bool (*open_write)(void *user, const char *path, fm_sink *out);
  bool (*close_write)(void *user, fm_sink *sink, bool keep); /* called once for each open_write that succeeded */
  int (*make_folder)(void *user, const char *path);          /* 1 made, 0 there already, -1 impossible */
  bool thread_safe;                                          /* open_read and its streams may be used in several threads at once */
} fm_files;

typedef enum fm_log_level { FM_LOG_ERROR, FM_LOG_WARNING, FM_LOG_INFO, FM_LOG_DETAIL } fm_log_level;

typedef struct fm_progress {
  const char *stage;    /* "load", "render" */
  size_t done, total;   /* of this stage */
} fm_progress;

/* Instruction sets of the built-in kernels. All give the same bytes. */
typedef enum fm_simd { FM_SIMD_BEST, FM_SIMD_SCALAR, FM_SIMD_SSE2, FM_SIMD_AVX2, FM_SIMD_AVX512, FM_SIMD_NEON } fm_simd;

/* What every heavy call can be given; NULL or zero members mean the default. Callbacks come on the caller's thread, except those of
   an allocator or files that are thread_safe. */
typedef struct fm_common {
  const fm_allocator *allocator;                                  /* default: FACEMORPH_REALLOC and FACEMORPH_FREE */
  const fm_limits *limits;
  const fm_files *files;                                          /* default: stdio */
  const fm_jobs *jobs;                                            /* default: `threads` threads of our own */
  int threads;                                                    /* 0: one for each processor that this process may use
                                                                     (fm_worker_count); 1: the caller's thread */
  bool (*progress)(void *user, const fm_progress *progress);      /* false cancels with FM_ERROR_CANCELLED */
  void *progress_user;
  void (*log)(void *user, fm_log_level level, const char *line);  /* lines without '\n' */
  void *log_user;
  double (*clock)(void *user);                                    /* seconds from any start; default: the system's */
  void *clock_user;
  fm_simd simd;                                                   /* FM_SIMD_BEST: the best that this processor has */
} fm_common;

/* An image: 8-bit samples, top row first, rows without padding: pixels[(y * width + x) * channels + c]. */
typedef struct fm_image {
  int width, height;
  int channels;         /* 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA (straight alpha) */
  uint8_t *pixels;      /* width * height * channels bytes */
  uint8_t *coverage;    /* of rendered pictures: how many of each pixel's samples the heads cover, width * height bytes; else NULL */
  void *owner;          /* NULL: the caller's own pixels; otherwise freed by fm_free_image */
} fm_image;

typedef enum fm_format {
  FM_FORMAT_UNKNOWN, FM_FORMAT_FBX, FM_FORMAT_FBX_ASCII, FM_FORMAT_OBJ, FM_FORMAT_PNG, FM_FORMAT_JPEG, FM_FORMAT_TGA,
  FM_FORMAT_BMP
} fm_format;

/* A texture of a mesh. Materials that use one file share one fm_texture. */
typedef struct fm_texture {
  char *name;           /* the file name as the mesh file gives it, without its folders */
  char *path;           /* where it was found; NULL if embedded or not found */
  bool embedded;        /* its bytes were inside the mesh file */
  fm_image image;       /* width 0: not available; a warning said why */
} fm_texture;

typedef struct fm_material {
  char *name;
  uint32_t texture;     /* diffuse colour: index into fm_mesh.textures, or FM_NONE */
  uint32_t opacity;     /* opacity map (its alpha, or its grey if it has none): index; FM_NONE or the texture's own index: the
                           texture's alpha */
} fm_material;

/* One mesh of the file, in the order of its geometry records; its instances follow each other. first_* and *_count speak of
   all instances together in the assembled mesh. */
typedef struct fm_part {
  char *name;
  size_t first_vertex, vertex_count;
  size_t first_polygon, polygon_count;
  size_t first_corner, corner_count;
  size_t instance_count;        /* 0: stored, but used by no object: it adds nothing to the mesh */
  size_t stored_vertices, stored_polygons, stored_corners, stored_triangles; /* as stored, one instance */
  double stored_sum[3];         /* sum of the positions as stored, before every transform and unit */
  double uv_sum[2];             /* sum over one instance's corners, first UV set */
  bool has_uvs;
} fm_part;

/* A head. Fill it from your own arrays (the first block is enough), or load it. Pointers of a mesh you fill stay yours. */
typedef struct fm_mesh {
  size_t vertex_count;
  float *positions;             /* 3 per vertex */
  size_t polygon_count;
  uint32_t *polygon_starts;     /* polygon_count + 1 corner numbers; NULL: all polygons are triangles */
  size_t corner_count;
  uint32_t *corners;            /* vertex of each corner */
  size_t uv_count;
  float *uvs;                   /* 2 per UV; NULL: none */
  uint32_t *corner_uvs;         /* UV of each corner, or FM_NONE; NULL: uvs (if any) are per corner */
  uint32_t *polygon_materials;  /* material of each polygon, or FM_NONE; NULL: all use material 0 (if any) */
  size_t material_count;
  fm_material *materials;
  size_t texture_count;
  fm_texture *textures;

  /* Derived; fm_prepare_mesh fills them for a mesh of your own. */
  size_t triangle_count;
  uint32_t *triangles;          /* 3 corner numbers per triangle, in polygon order */
  uint32_t *triangle_polygons;  /* polygon of each triangle; NULL where polygon_starts is NULL: triangle = polygon */

  /* What the file said; all optional. */
  char *name;                   /* file name without folders and extension: names results */
  fm_format format;
  int version;                  /* FBX: 7400 and so on */
  double metres_per_unit;       /* 1 position unit of the file; 0 if the file has no unit */
  size_t part_count;
  fm_part *parts;
  size_t blend_shape_count;
  char **blend_shapes;
  size_t warning_count;
  char **warnings;              /* one line each */
  void *owner;                  /* NULL: the caller's; otherwise freed by fm_free_mesh */
} fm_mesh;

/* Reads an image that the library does not (or decodes any in your own way). Return false to leave it to the library;
   otherwise fill out (its pixels are copied, then release is called if not NULL). */
typedef bool fm_decode_fn(void *user, const void *data, size_t size, fm_image *out, void (**release)(void *user, fm_image *));

typedef struct fm_load_desc {
  const fm_common *common;
  const char *name;             /* what messages call it; its folder is where textures are looked for. Of a path: the path */
  const char *only;             /* comma-separated globs (* and ?) over the names of parts (FBX: geometries; OBJ: objects or groups)
                                   and materials: nothing else is loaded */
  const char *exclude;          /* the same: these are left out */
  double scale;                 /* multiplies positions; 0: 1 */
  bool no_textures;             /* names only, no pixels */
  fm_decode_fn *decode;
  void *decode_user;
} fm_load_desc;

typedef struct fm_image_desc {
  const fm_common *common;
  const char *name;             /* what messages call it */
  int channels;                 /* 0: as the file has it; 1 to 4: converted (grey by Rec. 709 weights on encoded values) */
} fm_image_desc;

/* What fm_check_topology found. */
typedef struct fm_topology_report {
  bool same;                    /* same vertex count, polygons and corner indices */
  size_t first_polygon;         /* the first that differs; SIZE_MAX if none does */
  bool uvs_same;                /* every corner's UV within 1e-5 */
  size_t uv_corners;            /* corners whose UVs differ, or that only one head has */
  size_t first_uv_corner;       /* the first of them; SIZE_MAX if none */
  char message[512];            /* the difference in words; empty if there is none at all */
} fm_topology_report;

/* The camera. A vertex p is drawn at q = Rx(pitch) Ry(yaw) ((p - center) * scale); the eye is at (0, 0, distance) and looks to
   -Z with Y up. Half the picture's height shows half_extent units of the plane z = 0, so that the vertical field of view is
   2 atan(half_extent / distance). distance = INFINITY is orthographic. Pixels are square. */
typedef struct fm_camera {
  double scale;
  double center[3];             /* in the heads' unit */
  double yaw, pitch;            /* degrees; yaw > 0: the face towards +X; pitch > 0: the face up */
  double distance;
  double half_extent;
} fm_camera;

typedef struct fm_camera_desc {
  const fm_common *common;
  bool no_fit;                  /* no centring, no scaling: the camera at (0, 0, 2.8) in the heads' own unit */
  double distance;              /* in half-heights, keeps the head's size at z = 0; 0: as fitted; INFINITY: orthographic */
  double fov;                   /* vertical, degrees, at the fitted distance; 0: 60 */
  double yaw, pitch;            /* degrees */
  const float *shape_weights;   /* further shapes to hold in the picture: shape_count rows of head_count weights */
  size_t shape_count;
} fm_camera_desc;

typedef enum fm_cull { FM_CULL_NONE, FM_CULL_BACK } fm_cull;

/* One picture. Shape and texture weights may leave [0, 1] and are used as they are. What it points to must live until it is
   collected. */
typedef struct fm_frame {
  const float *shape_weights;          /* head_count */
  const float *texture_weights;        /* head_count; NULL: shape_weights */
  const float *const *shape_masks;     /* NULL, or head_count pointers: NULL, or vertex_count factors of that head's weight */
  const float *const *texture_masks;   /* the same for textures, interpolated inside a triangle */
  const fm_camera *camera;             /* NULL: fm_fit_camera of the scene's heads */
  int width, height;                   /* 0: 512 x 512 */
  int samples;                         /* a pixel: 1 or 4; 0: 4 */
  bool unlit;                          /* textures as they are */
  float ambient;                       /* k of the light, 0 to 1; 0: FM_AMBIENT */
  bool no_ambient;                     /* k = 0: the headlight alone */
  fm_cull cull;
  bool transparent;                    /* RGBA with straight alpha = coverage; otherwise RGB over background */
  bool background_set;                 /* false: white */
  uint8_t background[3];
} fm_frame;

/* What a renderer gets once: heads of one topology with their textures. The heads, all they point to (also the textures' pixels,
   which are read while frames are drawn) and common stay valid and unchanged until end. */
typedef struct fm_scene {
  const fm_common *common;
  const fm_mesh *const *heads;  /* head_count >= 1 */
  size_t head_count;
  int lanes;                    /* frames wanted in flight at one time; 0: one for each worker */
  bool ignore_alpha;            /* no alpha test: every covered sample is opaque */
  const fm_frame *frames;       /* what will be drawn, if that is known at begin (fm_render sets it), else NULL. It changes time and
                                   memory, never a pixel: textures that no frame magnifies are not copied in full size */
  size_t frame_count;
} fm_scene;

/* The headlight's ambient share: s = k + (1 - k) max(0, n.z), colour x s^(1/2.2). */
#define FM_AMBIENT 0.5f

/* A renderer: the built-in rasterizer, or your own. A lane holds one frame in flight. Unless lanes_thread_safe, every call
   comes from the thread that called begin; otherwise different lanes may be used from different threads. Failures are told
   through fm_set_error. */
typedef struct fm_renderer {
  void *user;
  const char *name;                                                       /* stands in the record */
  bool lanes_thread_safe;
  int (*begin)(void *user, const fm_scene *scene, fm_error *error);       /* returns the number of lanes, 0 on failure */
  bool (*submit)(void *user, int lane, const fm_frame *frame, fm_error *error);
  /* waits; image->width, height and channels are set by the caller, and pixels and coverage (unless NULL) have the room: fill them */
  bool (*collect)(void *user, int lane, fm_image *image, fm_error *error);
  void (*end)(void *user);                                                /* after it, begin may be called again */
  void (*destroy)(void *user);                                            /* may be NULL */
  uint64_t (*transfers)(void *user);                                      /* device transfers so far; may be NULL: 0 */
} fm_renderer;

/* Where finished pictures go. A slot is reused after its delivery. */
typedef struct fm_image_sink {
  void *user;
  size_t slots;                 /* frames in flight that the sink can hold; 0: as many as fm_render likes */
  /* optional: work on a finished picture; several at once, each with its own slot and worker (0 <= worker < fm_worker_count), also
     while another frame is delivered */
  void (*prepare)(void *user, size_t frame, size_t slot, int worker, const fm_image *image);
  /* in frame order, on the caller's thread; false stops with *error as set by fm_set_error, else FM_ERROR_CANCELLED */
  bool (*deliver)(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error);
  bool prepare_only;            /* deliver gets no image (NULL): one a worker is enough then, instead of one a slot */
} fm_image_sink;

typedef struct fm_png_desc {
  const fm_common *common;
  const char *const *texts;     /* keyword, text, keyword, text, ..., NULL: tEXt chunks (Latin-1 keyword, 1 to 79 characters),
                                   or iTXt where the text is not ASCII */
  bool no_srgb;                 /* no sRGB chunk */
} fm_png_desc;

/* One run. Zero is the default throughout.

   Time: loading goes with the files' bytes and the textures' texels, a worker an input; preparing with the texels; frames with
   width x height x samples, triangles and vertices, a worker a frame. Threads are used for nothing finer.

   Memory, in bytes, and when it lives. v, c, p, t: vertices, corners, polygons, triangles of a head; u: its UVs; h: heads;
   x: texels of a texture; n: pixels of a picture (width x height). It does not grow with the number of frames but by the record.

     what                            for each     bytes                               load  prepare  render
     file                            head         its size                             *
     FBX: arrays as stored           head         4 c + 4 p, the largest unpacked      *
     PNG: data of several chunks     texture      the PNG's size                       *
     JPEG: progressive               texture      3 x (4:2:0) to 6 x (4:4:4)           *
     mesh                            head         12 v + 8 u + 8 c + 8 p + 16 t        *       *       *
     texture                         texture      x times its channels                 *       *       *
     pyramid, levels 1 and up        material     4 h x / 3                                    *       *
     pyramid, level 0                material     4 h x, only where frames magnify it          *       *
     coverage of level 0             material     x / 8                                        *       *
     coverage of the others          material     0.42 x                                       *
     shapes, normals' quadratic form run          12 v h + 6 v h (h + 1)                       *       *
     triangles, texture coordinates  run          16 t + 24 t for each set of UVs              *       *
     lane: visibility, vertices      worker       1.2 MB + 80 v + 12 t                         *       *
     picture and its coverage        worker       4 n (5 n if transparent)                             *
     PNG encoder                     worker       0.4 MB and three rows                                *
     PNG files                       2 a worker   room for 3 n, of which the file is touched           *
     record and log                  run          about 250 a frame                                    *

   Inputs are loaded at the same time by up to h workers; scratch of one input is gone when it is loaded. With one worker one
   frame is in flight, not two. */
typedef struct fm_session_desc {
  const char *path_a, *path_b;          /* the two heads' files, or: */
  const fm_mesh *const *heads;          /* heads of your own, named by their name member */
  size_t head_count;
  const char *out_dir;                  /* NULL: "results" */
  const char *run_name;                 /* NULL: YYYYMMDD_HHMMSS, UTC; a run_name whose folder exists is an error */
  bool join_run;                        /* run_name's folder may exist: several pairs share a run */
  const fm_common *common;

  int frames;                           /* 2 to 1001; 0: 41, unless weights are given */
  const double *weights;                /* weights of A, frame by frame, instead of equal steps (pairs only) */
  const double *shape_weights;          /* the same for the shape alone; one value: constant */
  const double *texture_weights;        /* the same for the texture alone */
  size_t weight_count, shape_weight_count, texture_weight_count;
  const float *weight_rows;             /* N heads: weight_row_count rows of head_count weights instead of all that */
  size_t weight_row_count;
  bool reverse;                         /* video and pages play from A to B */

  int width, height;                    /* 0: 512 */
  int samples;                          /* 1 or 4; 0: 4 */
  const fm_camera *camera;              /* a given camera instead of a fit; distance, fov, yaw, pitch are then ignored */
  bool no_fit;
  double distance, fov, yaw, pitch;     /* as in fm_camera_desc */
  bool unlit;
  fm_cull cull;
  bool ignore_alpha;
  bool transparent;                     /* --background none */
  bool background_set;                  /* false: white */
  uint8_t background[3];
  const char *only, *exclude;           /* as in fm_load_desc */
  double scale_b;                       /* multiplies B's positions; 0: 1 */
  fm_renderer *renderer;                /* NULL: built in */
} fm_session_desc;

typedef struct fm_report {
  char folder[1024];            /* the result folder; empty if none was made */
  size_t frame_count;
  size_t warning_count;
  fm_camera camera;
  double seconds, load_seconds, render_seconds;
  uint64_t device_transfers;
} fm_report;

/* ============================================================ [FM:functions] ======================================== */

/* ---- general ---- */

/* "0.1.0" of the implementation that is linked. */
FM_API const char *fm_version(void);

/* A few words for a status, never NULL. */
FM_API const char *fm_status_words(fm_status status);

/* The best instruction set that this build and this processor have. Its name in small letters, "avx2", never NULL. */
FM_API fm_simd fm_best_simd(void);
FM_API const char *fm_simd_name(fm_simd simd);

/* Fills *error (may be NULL) with a status and one line; for renderers, sinks and decoders of your own. Returns false. Every
   failure in the library passes through here: one place for a breakpoint. */
FM_API bool fm_set_error(fm_error *error, fm_status status, const char *message);

/* How many workers a call with this fm_common uses: jobs->workers, or threads, or the processors that this process may use now
   (those online, within its affinity and its cgroups' quotas, rounded up); 256 at most unless they are yours. Without jobs and
   threads it asks the system each time, some 30 us; who relies on one answer puts it into threads. */
FM_API int fm_worker_count(const fm_common *common);

/* ---- numbers, the same in every locale ---- */

/* The shortest decimal that reads back to the same float or double: fixed notation for 1e-5 <= |x| < 1e7 (as printed), else
   d.ddde-XX; 0 for both zeros; nan, inf, -inf. Writes a terminating 0; returns the length without it. */
FM_API size_t fm_print_float(char out[24], float value);
FM_API size_t fm_print_double(char out[32], double value);

/* Reads a decimal number ([+-] digits [. digits] [e[+-]digits], or inf, infinity, nan) from [text, end), rounded correctly to
   nearest even. Returns where it ends, or NULL if none starts at text; *value is then 0. */
FM_API const char *fm_parse_double(const char *text, const char *end, double *value);

/* ---- read ---- */

/* The kind of file that these first bytes begin, by content alone. 64 bytes are enough, but for OBJ and TGA (4,096). */
FM_API fm_format fm_identify(const void *data, size_t size);

/* Reads a head with its textures: FBX binary or OBJ. The mesh is complete and safe: indices in range, floats finite, triangles
   made. What can be missing without harm (a texture, for one) is a warning in the mesh. NULL on failure: FM_ERROR_READ,
   _FORMAT, _UNSUPPORTED, _LIMIT, _MEMORY, _CANCELLED, _ARGUMENT (`only` or `exclude` that match nothing). A file without any
   mesh gives a mesh with zero counts. Free it with fm_free_mesh. Time and memory are about linear in the file's size; the
   file is held in memory while it is read. Textures beside a mesh are opened through common->files. */
FM_API fm_mesh *fm_load_mesh(const char *path, const fm_load_desc *desc, fm_error *error);
FM_API fm_mesh *fm_load_mesh_memory(const void *data, size_t size, const fm_load_desc *desc, fm_error *error);
FM_API fm_mesh *fm_load_mesh_stream(const fm_stream *stream, const fm_load_desc *desc, fm_error *error);
FM_API void fm_free_mesh(fm_mesh *mesh); /* NULL and meshes of the caller's own are fine: nothing happens */

/* Checks a mesh of the caller's own (indices in range, floats finite) and fills triangles and triangle_polygons (and
   triangle_count): fans from each polygon's first corner, ears where that fan would overlap. What it adds is freed by
   fm_release_mesh, which leaves the caller's arrays alone; a mesh that has its triangles already is refused. */
FM_API bool fm_prepare_mesh(fm_mesh *mesh, const fm_common *common, fm_error *error);
FM_API void fm_release_mesh(fm_mesh *mesh);

/* Decodes PNG, JPEG, TGA or BMP from memory. 16-bit samples become 8 bit by (v * 255 + 32767) / 65535; JPEG pixels equal those
   of libjpeg-turbo with its defaults. Warnings (a colour profile that is ignored) go to common->log. *out is zero on failure.
   Free it with fm_free_image. */
FM_API bool fm_load_image(fm_image *out, const void *data, size_t size, const fm_image_desc *desc, fm_error *error);
FM_API bool fm_load_image_file(fm_image *out, const char *path, const fm_image_desc *desc, fm_error *error);
FM_API bool fm_load_image_stream(fm_image *out, const fm_stream *stream, const fm_image_desc *desc, fm_error *error);
FM_API void fm_free_image(fm_image *image); /* also makes it zero; pixels of the caller's own stay */

/* ---- compare ---- */

/* Same vertex count, same polygons, same corner indices? Returns report->same (report may be NULL). Linear time, no memory. */
FM_API bool fm_check_topology(const fm_mesh *a, const fm_mesh *b, fm_topology_report *report);

/* ---- morph ---- */

/* positions (3 per vertex, the caller's) = sum of weights[h] * heads[h]->positions, in head order; heads of weight 0 are left
   out, so that weights 1 and 0 give that head bit for bit. masks as fm_frame.shape_masks, or NULL. false if head_count is 0
   or the vertex counts differ. */
FM_API bool fm_blend(float *positions, const fm_mesh *const *heads, const float *weights, const float *const *masks,
                     size_t head_count);

/* normals (3 per vertex, the caller's): of each vertex the sum of the cross products of its triangles (area-weighted; Max,
   "Weights for computing vertex normals from facet normals", 1999, compares the choices), made unit; (0, 0, 0) where that sum
   is 0. positions: 3 per vertex, NULL for the mesh's own. false if the mesh is not prepared. */
FM_API bool fm_normals(float *normals, const fm_mesh *mesh, const float *positions);

/* ---- render ---- */

#ifndef FACEMORPH_NO_RENDER
/* The camera that holds all heads (and further shapes, desc->shape_weights): their union box is centred and scaled so that its
   half-height, or half-width if larger, is 1; distance max(2.8, half-depth + 1.8). desc may be NULL. */
FM_API fm_camera fm_fit_camera(const fm_mesh *const *heads, size_t head_count, const fm_camera_desc *desc);

/* The built-in rasterizer. Lanes are thread-safe. begin builds the texture pyramids (0.44 times the bytes of RGB textures; 1.8
   times where frames magnify them, or scene.frames does not say) and the shapes and normal terms (60 bytes a vertex for a pair), and for
   each lane 1.2 MB, 80 bytes a vertex and 12 a triangle; after it, drawing allocates nothing. What common points to must live
   as long as the renderer. Free it with fm_destroy_renderer. */
FM_API bool fm_software_renderer(fm_renderer *out, const fm_common *common, fm_error *error);
FM_API void fm_destroy_renderer(fm_renderer *renderer);

/* begin, every frame, end. Workers draw frames while the caller's thread hands finished ones to the sink in frame order; with your
   own jobs this goes in rounds. At most 2 x workers frames are in flight (one if there is one worker), 4 bytes a pixel each:
   memory does not grow with frame_count. */
FM_API bool fm_render(fm_renderer *renderer, const fm_scene *scene, const fm_frame *frames, size_t frame_count,
                      const fm_image_sink *sink, fm_error *error);
#endif

/* ---- write ---- */

#ifndef FACEMORPH_NO_WRITERS
/* Writes a PNG (8 bits, 1 to 4 channels): filters chosen row by row, deflate. The same image gives the same bytes everywhere. The
   sink gets it in pieces. Costs about 0.4 MB and three rows of memory, whatever the image's size. */
FM_API bool fm_write_png(const fm_sink *sink, const fm_image *image, const fm_png_desc *desc, fm_error *error);
FM_API bool fm_write_png_file(const char *path, const fm_image *image, const fm_png_desc *desc, fm_error *error);
#endif

/* ---- all ---- */

#if !defined(FACEMORPH_NO_SESSION) && !defined(FACEMORPH_NO_RENDER) && !defined(FACEMORPH_NO_WRITERS)
/* The whole job: loads, checks, morphs, renders and writes DIR/RUN/<a>_<b>/ with png/, session.log and, as the last file and so
   the sign of a complete result, record.json. report may be NULL; on failure it says what was made. */
FM_API bool fm_run(const fm_session_desc *desc, fm_report *report, fm_error *error);
#endif

#ifdef __cplusplus
}
#endif

#endif /* FACEMORPH_H */

/* =====================================================================================================================
   IMPLEMENTATION. You can stop reading here if you are only interested in using the library.
   Sections stand strictly bottom-up: none calls a function that is defined further down.
   ================================================================================================================== */
#if defined(FACEMORPH_IMPLEMENTATION) && !defined(FACEMORPH_IMPLEMENTED)
#define FACEMORPH_IMPLEMENTED
#define FMI_COMPILING /* until its end: the sections, but not the blocks of kernels between them, stand under it */

/* ============================================================ [FM:platform] =========================================
   Compilers, byte order, and the floating-point rules that make the same bytes everywhere.
   Guarantees: no contraction of a*b+c within this file, round-to-nearest without flush-to-zero inside every call.
   Trusts: IEEE 754 binary32 and binary64 with correctly rounded + - * / sqrt. Test: tests/test_platform.c */

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(_M_FP_FAST)
#error "facemorph.h: fast math breaks its results. Compile the one file that defines FACEMORPH_IMPLEMENTATION without it."
#endif
#if (defined(__i386__) && !defined(__SSE2_MATH__)) || (defined(_M_IX86_FP) && _M_IX86_FP < 2)
#error "facemorph.h: 32-bit x86 needs SSE2 arithmetic: gcc and clang -msse2 -mfpmath=sse, MSVC /arch:SSE2."
#endif
#if !defined(FACEMORPH_REALLOC) != !defined(FACEMORPH_FREE)
#error "facemorph.h: define both FACEMORPH_REALLOC and FACEMORPH_FREE, or neither."
#endif

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#ifndef FACEMORPH_ASSERT
#include <assert.h>
#define FACEMORPH_ASSERT(x) assert(x)
#endif
#ifndef FACEMORPH_FILENAME
#define FACEMORPH_FILENAME "facemorph.h"
#endif
#ifndef FACEMORPH_REALLOC
#include <stdlib.h>
#define FACEMORPH_REALLOC(p, n) realloc(p, n)
#define FACEMORPH_FREE(p) free(p)
#endif
#ifndef FACEMORPH_NO_STDIO
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#endif
#include <time.h>
#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#define FMI_NO_PTHREADS
#if !defined(FACEMORPH_NO_THREADS) && _WIN32_WINNT >= 0x0600 /* Vista: condition variables */
#include <process.h>
#define FMI_WINDOWS_THREADS 1
#endif
#elif defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#else
#define FMI_NO_PTHREADS
#endif
#if defined(__wasi__) || defined(__EMSCRIPTEN__)
#define FMI_NO_PTHREADS
#endif
#if !defined(FACEMORPH_NO_THREADS) && !defined(FMI_NO_PTHREADS)
#include <pthread.h>
#define FMI_PTHREADS 1
#endif
#if defined(FMI_PTHREADS) || defined(FMI_WINDOWS_THREADS)
#define FMI_THREADS 1
#endif
#if defined(__SSE2__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 2)
#include <emmintrin.h>
#define FMI_X86 1 /* has the control word MXCSR */
#endif

/* Before the first function: no fused multiply-add by accident. Undone at the end of the file. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FMI_UNUSED __attribute__((unused))
#if defined(__clang__)
#define FMI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define FMI_PRINTF(text, first) \
  __attribute__((format(gnu_printf, text, first))) /* mingw's printf is Microsoft's otherwise */
#endif
#define FMI_NOINLINE __attribute__((noinline))
#define FMI_UNLIKELY(condition) __builtin_expect(condition, 0) /* also: let it be a branch */
#else
#define FMI_UNUSED
#define FMI_PRINTF(text, first)
#define FMI_NOINLINE
#define FMI_UNLIKELY(condition) (condition)
#endif
#if defined(__GNUC__) || defined(__clang__)
#define FMI_INLINE static inline __attribute__((always_inline, unused)) /* for kernels over vector types */
#elif defined(_MSC_VER)
#define FMI_INLINE static __forceinline
#else
#define FMI_INLINE static
#endif
/* Asks for a cache line that will be read. */
#if defined(__GNUC__) || defined(__clang__)
#define FMI_PREFETCH(p) __builtin_prefetch(p)
#elif defined(_M_X64) || defined(_M_IX86)
#define FMI_PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#else
#define FMI_PREFETCH(p) ((void)(p))
#endif

/* Before a loop over the channels or corners of a kernel, whose arrays are to become registers: gcc -O2 unrolls only on request. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define FMI_UNROLL _Pragma("GCC unroll 16")
#else
#define FMI_UNROLL
#endif
#define FMI_FN static FMI_UNUSED /* private functions: a switch may leave some without a caller */

#define FMI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

FMI_FN size_t fmi_min_size(size_t a, size_t b) { return a < b ? a : b; }
FMI_FN size_t fmi_max_size(size_t a, size_t b) { return a > b ? a : b; }
FMI_FN int fmi_min_int(int a, int b) { return a < b ? a : b; }
FMI_FN int fmi_max_int(int a, int b) { return a > b ? a : b; }
FMI_FN int fmi_clamp_int(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
FMI_FN int fmi_ceil_div(int a, int b) { return (a + b - 1) / b; }

/* a * b, or SIZE_MAX where that does not fit: no allocation of that size ever succeeds. */
FMI_FN size_t fmi_mul_size(size_t a, size_t b) { return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b; }
FMI_FN size_t fmi_add_size(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

FMI_FN uint32_t fmi_float_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
FMI_INLINE float fmi_bits_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; } /* a call on 32-bit x86 quiets NaN */
FMI_FN uint64_t fmi_double_bits(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
FMI_FN double fmi_bits_double(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
FMI_FN bool fmi_is_finite(double x) { return (fmi_double_bits(x) >> 52 & 0x7FF) != 0x7FF; }

/* Unaligned reads and writes of either byte order. Where memory is little-endian memcpy says it best: gcc -O2 does not put the
   bytewise form of 64 bits inline. */
#if defined(_M_IX86) || defined(_M_X64) || defined(_M_ARM64) || \
    (defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
FMI_INLINE uint32_t fmi_le32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
FMI_INLINE uint64_t fmi_le64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
FMI_INLINE void fmi_put_le64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
#else
FMI_FN uint32_t fmi_le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
FMI_FN uint64_t fmi_le64(const uint8_t *p) { return (uint64_t)fmi_le32(p) | (uint64_t)fmi_le32(p + 4) << 32; }
FMI_FN void fmi_put_le64(uint8_t *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}
#endif
FMI_FN uint32_t fmi_le16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
FMI_FN uint32_t fmi_be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | (uint32_t)p[1]; }
FMI_FN uint32_t fmi_be32(const uint8_t *p) {
  return fmi_be16(p) << 16 | fmi_be16(p + 2);
}
FMI_INLINE uint64_t fmi_be64(const uint8_t *p) {
  return (uint64_t)fmi_be32(p) << 32 | fmi_be32(p + 4);
}
FMI_FN void fmi_put_be32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24); p[1] = (uint8_t)(v >> 16); p[2] = (uint8_t)(v >> 8); p[3] = (uint8_t)v;
}

/* The caller's rounding mode, flush-to-zero and denormals-are-zero must not reach our results: every computing call and every
   job begins with the default state and puts the caller's back. */
FMI_FN uint64_t fmi_enter_float(void) {
#if defined(FMI_X86)
  uint32_t old = _mm_getcsr();
  _mm_setcsr(0x1F80u); /* all exceptions masked, nearest even, no flush, no denormals-are-zero */
  return old;
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
  uint64_t old, zero = 0;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(old));
  __asm__ __volatile__("msr fpcr, %0" : : "r"(zero));
  return old;
#else
  return 0; /* no way to set it without <fenv.h>'s access pragma, which gcc ignores: the default is assumed */
#endif
}
FMI_FN void fmi_leave_float(uint64_t old) {
#if defined(FMI_X86)
  _mm_setcsr((uint32_t)old);
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
  __asm__ __volatile__("msr fpcr, %0" : : "r"(old));
#else
  (void)old;
#endif
}

/* Does this build keep a*b+c unfused, float results in float and denormals alive? Called once per renderer. */
FMI_FN FMI_NOINLINE bool fmi_float_probe(float a, float b, float c, float tiny) {
  float product = a * b, sum = a * b + c;
  bool plain = FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16; /* 16: float and double as by 0 (TS 18661-3) */
  return product + c == sum && sum == 0.0f && tiny * 0.5f != 0.0f && sizeof(float) == 4 && plain;
}
FMI_FN bool fmi_float_ok(void) {
  /* (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24; the last term is lost exactly when the product is rounded to float */
  volatile float a = 1.000244140625f, c = -1.00048828125f, tiny = 1e-38f;
  return fmi_float_probe(a, a, c, tiny);
}

/* ============================================================ [FM:lanes] ============================================
   SIMD, written once. A kernel is code over lanes: fmi_vf, fmi_vi and fmi_vm are FMI_LANES floats, 32-bit integers and truth
   values. It stands in a block of this file, which the file includes again for each level of the processor (scalar, SSE2 or
   NEON, AVX2, AVX-512), compiled for that level by a pragma, not by a flag. A level is chosen once a call, from tables
   of functions.
   Guarantees: every operation gives the same bits at every level; of a NaN that arithmetic makes, only that it is one. What they
   would not agree on is not here: estimates, minima (of NaN), conversion of what does not fit. Test: tests/test_lanes.c */

/* The highest level that is compiled: 0 scalar, 1 SSE2 and NEON, 2 AVX2, 3 AVX-512. */
#if defined(FACEMORPH_NO_SIMD)
#define FMI_MAX_SIMD 0
#elif defined(FACEMORPH_MAX_SIMD)
#define FMI_MAX_SIMD FACEMORPH_MAX_SIMD
#else
#define FMI_MAX_SIMD 3
#endif
#if FMI_MAX_SIMD >= 1 && defined(FMI_X86)
#define FMI_SSE2 1
/* gcc for Windows aligns the stack to 16 bytes and then spills 32-byte registers as if it were 32 (its bug 54412). */
#if (defined(__x86_64__) || defined(_M_X64)) && !(defined(_WIN32) && defined(__GNUC__) && !defined(__clang__))
#if FMI_MAX_SIMD >= 2
#define FMI_AVX2 1
#endif
#if FMI_MAX_SIMD >= 3
#define FMI_AVX512 1
#endif
#include <immintrin.h>
#endif
#elif FMI_MAX_SIMD >= 1 && (defined(__aarch64__) || defined(_M_ARM64)) && !defined(__AARCH64EB__)
#define FMI_NEON 1
#include <arm_neon.h>
#endif

#if defined(FMI_AVX2) && defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
FMI_FN bool fmi_cpu_has_avx2(void) {
  int r[4];
  __cpuid(r, 0);
  if (r[0] < 7) return false;
  __cpuid(r, 1);
  int wanted = 1 << 1 | 1 << 27 | 1 << 28, wanted_7 = 1 << 5 | 1 << 8; /* PCLMULQDQ, OSXSAVE, AVX; AVX2, BMI2 */
  if ((r[2] & wanted) != wanted || (_xgetbv(0) & 6) != 6) return false; /* the system saves the registers */
  __cpuidex(r, 7, 0);
  return (r[1] & wanted_7) == wanted_7;
}
FMI_FN bool fmi_cpu_has_avx512(void) {
  int r[4], wanted = 1 << 16 | 1 << 17 | 1 << 30 | (int)(1u << 31); /* F, DQ, BW, VL */
  if (!fmi_cpu_has_avx2() || (_xgetbv(0) & 0xE6) != 0xE6) return false;
  __cpuidex(r, 7, 0);
  return (r[1] & wanted) == wanted;
}
#elif defined(FMI_AVX2)
/* Tables that the compiler's run-time library fills before main: no CPUID here, which costs microseconds under a hypervisor. */
FMI_FN bool fmi_cpu_has_avx2(void) { /* nearly every processor that has it has the others too */
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul");
}
FMI_FN bool fmi_cpu_has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

FMI_FN bool fmi_has_simd(fm_simd simd) {
  switch (simd) {
    case FM_SIMD_SCALAR: return true;
#if defined(FMI_SSE2)
    case FM_SIMD_SSE2: return true;
#endif
#if defined(FMI_AVX2)
    case FM_SIMD_AVX2: return fmi_cpu_has_avx2();
#endif
#if defined(FMI_AVX512)
    case FM_SIMD_AVX512: return fmi_cpu_has_avx512();
#endif
#if defined(FMI_NEON)
    case FM_SIMD_NEON: return true;
#endif
    default: return false;
  }
}

FM_API fm_simd fm_best_simd(void) {
  static const fm_simd order[] = {FM_SIMD_AVX512, FM_SIMD_AVX2, FM_SIMD_SSE2, FM_SIMD_NEON};
  for (size_t i = 0; i < FMI_COUNT(order); i++)
    if (fmi_has_simd(order[i])) return order[i];
  return FM_SIMD_SCALAR;
}
FM_API const char *fm_simd_name(fm_simd simd) {
  static const char *const names[] = {"best", "scalar", "sse2", "avx2", "avx512", "neon"};
  return (size_t)simd < FMI_COUNT(names) ? names[simd] : "unknown";
}

/* A function of a kernel block at a level: a table's initialiser lists them in the order of fm_simd, NULL where a level is not
   compiled. */
#if defined(FMI_SSE2)
#define FMI_IF_SSE2(x) x
#else
#define FMI_IF_SSE2(x) NULL
#endif
#if defined(FMI_AVX2)
#define FMI_IF_AVX2(x) x
#else
#define FMI_IF_AVX2(x) NULL
#endif
#if defined(FMI_AVX512)
#define FMI_IF_AVX512(x) x
#else
#define FMI_IF_AVX512(x) NULL
#endif
#if defined(FMI_NEON)
#define FMI_IF_NEON(x) x
#else
#define FMI_IF_NEON(x) NULL
#endif
#define FMI_ALL_LEVELS(name) \
  {NULL, name##_scalar, FMI_IF_SSE2(name##_sse2), FMI_IF_AVX2(name##_avx2), FMI_IF_AVX512(name##_avx512), FMI_IF_NEON(name##_neon)}
/* The same for what works on bytes. */
#define FMI_BYTE_LEVELS(name) \
  {NULL, name##_scalar, FMI_IF_SSE2(name##_sse2), FMI_IF_AVX2(name##_avx2), FMI_IF_AVX512(name##_avx2), FMI_IF_NEON(name##_neon)}

/* Inside a block fmi_name means fmi_name_avx2 and so on. */
#define FMI_JOIN_NAMES(a, b) a##b
#define FMI_JOIN(a, b) FMI_JOIN_NAMES(a, b)
#define FMI_AT_LEVEL(name) FMI_JOIN(name, FMI_SUFFIX)

/* The blocks. */
#define FMI_BLOCK_LANES 1
#define FMI_BLOCK_RASTER 2
/* From 100 on: blocks that work on bytes. AVX2 is their highest level, AVX-512 would gain little. */
#define FMI_BLOCK_BYTES 110
#define FMI_BLOCK_HASHES 111
#define FMI_BLOCK_PNG_WRITER 112
#define FMI_BLOCK_SHORTS 100
#define FMI_BLOCK_JPEG 101
#define FMI_BLOCK_PNG 102
#define FMI_BLOCK_INFLATE 103

/* The vocabulary. f: floats, i: integers, m: truth values. */
#define fmi_vf FMI_AT_LEVEL(fmi_vf)
#define fmi_vi FMI_AT_LEVEL(fmi_vi)
#define fmi_vm FMI_AT_LEVEL(fmi_vm)
#define fmi_setf FMI_AT_LEVEL(fmi_setf)         /* (float): the same in every lane */
#define fmi_seti FMI_AT_LEVEL(fmi_seti)
#define fmi_iota FMI_AT_LEVEL(fmi_iota)         /* 0, 1, 2, ... */
#define fmi_loadf FMI_AT_LEVEL(fmi_loadf)       /* FMI_LANES of them, any alignment */
#define fmi_loadi FMI_AT_LEVEL(fmi_loadi)
#define fmi_storef FMI_AT_LEVEL(fmi_storef)
#define fmi_storei FMI_AT_LEVEL(fmi_storei)
#define fmi_addf FMI_AT_LEVEL(fmi_addf)
#define fmi_subf FMI_AT_LEVEL(fmi_subf)
#define fmi_mulf FMI_AT_LEVEL(fmi_mulf)
#define fmi_divf FMI_AT_LEVEL(fmi_divf)
#define fmi_rootf FMI_AT_LEVEL(fmi_rootf)
#define fmi_absf FMI_AT_LEVEL(fmi_absf)
#define fmi_addi FMI_AT_LEVEL(fmi_addi)         /* modulo 2^32 */
#define fmi_subi FMI_AT_LEVEL(fmi_subi)
#define fmi_muli FMI_AT_LEVEL(fmi_muli)
#define fmi_pairsi FMI_AT_LEVEL(fmi_pairsi)     /* the product of the lower 16 bits, signed, and that of the upper ones, added */
#define fmi_andi FMI_AT_LEVEL(fmi_andi)
#define fmi_ori FMI_AT_LEVEL(fmi_ori)
#define fmi_xori FMI_AT_LEVEL(fmi_xori)
#define fmi_lefti FMI_AT_LEVEL(fmi_lefti)       /* shifts by a count that all lanes share; righti brings zeros in, downi the sign */
#define fmi_righti FMI_AT_LEVEL(fmi_righti)
#define fmi_downi FMI_AT_LEVEL(fmi_downi)
#define fmi_mini FMI_AT_LEVEL(fmi_mini)
#define fmi_maxi FMI_AT_LEVEL(fmi_maxi)
#define fmi_tof FMI_AT_LEVEL(fmi_tof)           /* the nearest float of an integer */
#define fmi_toi FMI_AT_LEVEL(fmi_toi)           /* towards zero; the float must be within 32 bits */
#define fmi_asf FMI_AT_LEVEL(fmi_asf)           /* the same bits */
#define fmi_asi FMI_AT_LEVEL(fmi_asi)
#define fmi_ltf FMI_AT_LEVEL(fmi_ltf)           /* a < b; false for NaN */
#define fmi_lef FMI_AT_LEVEL(fmi_lef)
#define fmi_gti FMI_AT_LEVEL(fmi_gti)
#define fmi_eqi FMI_AT_LEVEL(fmi_eqi)
#define fmi_andm FMI_AT_LEVEL(fmi_andm)
#define fmi_orm FMI_AT_LEVEL(fmi_orm)
#define fmi_pickf FMI_AT_LEVEL(fmi_pickf)       /* (m, a, b): a where m, else b */
#define fmi_picki FMI_AT_LEVEL(fmi_picki)
#define fmi_bitsm FMI_AT_LEVEL(fmi_bitsm)       /* bit l is lane l's */
#define fmi_signsi FMI_AT_LEVEL(fmi_signsi)     /* bit l is lane l's sign */
#define fmi_gatheri FMI_AT_LEVEL(fmi_gatheri)   /* base[index], 0 <= index < 2^31 */
#define fmi_gatherf FMI_AT_LEVEL(fmi_gatherf)
#define fmi_gatherb FMI_AT_LEVEL(fmi_gatherb)   /* 4 bytes at base[4 * index], the first in the lowest bits */
#define fmi_gather4 FMI_AT_LEVEL(fmi_gather4)   /* records of 4 (8) words at base[stride * index], transposed */
#define fmi_gather8 FMI_AT_LEVEL(fmi_gather8)
#define fmi_gather4b FMI_AT_LEVEL(fmi_gather4b) /* the same of 16 bytes at base[4 * index] */
#define fmi_store8 FMI_AT_LEVEL(fmi_store8)     /* 8 values of each lane as consecutive records of 8 words */
#define fmi_max_words FMI_AT_LEVEL(fmi_max_words)
#define fmi_floorf FMI_AT_LEVEL(fmi_floorf)
#define fmi_log2_lanes FMI_AT_LEVEL(fmi_log2_lanes)
#define fmi_exp2_lanes FMI_AT_LEVEL(fmi_exp2_lanes)

/* b: FMI_BYTES bytes, not negative. */
#define fmi_vb FMI_AT_LEVEL(fmi_vb)
#define fmi_setb FMI_AT_LEVEL(fmi_setb)
#define fmi_loadb FMI_AT_LEVEL(fmi_loadb)
#define fmi_storeb FMI_AT_LEVEL(fmi_storeb)
#define fmi_addb FMI_AT_LEVEL(fmi_addb)         /* modulo 256 */
#define fmi_subb FMI_AT_LEVEL(fmi_subb)
#define fmi_absb FMI_AT_LEVEL(fmi_absb)         /* of signed ones */
#define fmi_excessb FMI_AT_LEVEL(fmi_excessb)       /* by how much a is above b, else 0 */
#define fmi_minb FMI_AT_LEVEL(fmi_minb)
#define fmi_maxb FMI_AT_LEVEL(fmi_maxb)
#define fmi_meanb FMI_AT_LEVEL(fmi_meanb)       /* rounded down */
#define fmi_andb FMI_AT_LEVEL(fmi_andb)
#define fmi_orb FMI_AT_LEVEL(fmi_orb)
#define fmi_xorb FMI_AT_LEVEL(fmi_xorb)
#define fmi_eqb FMI_AT_LEVEL(fmi_eqb)           /* 255 where equal, else 0 */
#define fmi_pickb FMI_AT_LEVEL(fmi_pickb)       /* (m, a, b): a where m is 255, b where it is 0 */
#define fmi_is_zerob FMI_AT_LEVEL(fmi_is_zerob) /* all of them */
#define fmi_zerosb FMI_AT_LEVEL(fmi_zerosb)     /* bit l: byte l is 0 */
#define fmi_sumb FMI_AT_LEVEL(fmi_sumb)         /* (sums, b): adds the bytes to the sums, some to each lane */
#define fmi_slopeb FMI_AT_LEVEL(fmi_slopeb)     /* the same with the first byte FMI_BYTES times, ..., the last one once */
#define fmi_totali FMI_AT_LEVEL(fmi_totali)     /* of all lanes, modulo 2^32 */
/* Four pixels of 4 bytes; at SSE2 and NEON only. */
#define fmi_load_pixels FMI_AT_LEVEL(fmi_load_pixels)   /* (p, apart): one every `apart` bytes */
#define fmi_store_pixels FMI_AT_LEVEL(fmi_store_pixels)
#define fmi_store_first FMI_AT_LEVEL(fmi_store_first)
#define fmi_next_pixels FMI_AT_LEVEL(fmi_next_pixels)   /* (a, first): each goes one lane up, the first one comes in */
#define fmi_first_pixel FMI_AT_LEVEL(fmi_first_pixel)   /* 4 bytes as the first one, the others 0 */
#define fmi_last_pixel FMI_AT_LEVEL(fmi_last_pixel)     /* the last one as the first, the others 0 */

/* s: FMI_SHORTS 16-bit integers; w: as many sums of products in 32 bits. Bytes come as two s, those at even places and those at odd
   ones. */
#define FMI_SHORTS (FMI_LANES == 1 ? 1 : 2 * FMI_LANES)
#define fmi_vs FMI_AT_LEVEL(fmi_vs)
#define fmi_vw FMI_AT_LEVEL(fmi_vw)
#define fmi_sets FMI_AT_LEVEL(fmi_sets)
#define fmi_loads FMI_AT_LEVEL(fmi_loads)
#define fmi_stores FMI_AT_LEVEL(fmi_stores)
#define fmi_adds FMI_AT_LEVEL(fmi_adds)         /* modulo 2^16 */
#define fmi_subs FMI_AT_LEVEL(fmi_subs)
#define fmi_highs FMI_AT_LEVEL(fmi_highs)       /* the upper 16 bits of a product */
#define fmi_downs FMI_AT_LEVEL(fmi_downs)       /* shifted down with its sign, by a count that all lanes share */
#define fmi_products FMI_AT_LEVEL(fmi_products) /* (a, p, b, q): a * p + b * q in 32 bits */
#define fmi_addw FMI_AT_LEVEL(fmi_addw)
#define fmi_subw FMI_AT_LEVEL(fmi_subw)
#define fmi_packw FMI_AT_LEVEL(fmi_packw)       /* shifted down, then held within 16 bits */
#define fmi_loadbs FMI_AT_LEVEL(fmi_loadbs)     /* FMI_SHORTS bytes, as s */
#define fmi_load_pairs FMI_AT_LEVEL(fmi_load_pairs)     /* 2 FMI_SHORTS bytes, as two s */
#define fmi_store_pairs FMI_AT_LEVEL(fmi_store_pairs)   /* of 0 to 255 */
#define fmi_store_rgb FMI_AT_LEVEL(fmi_store_rgb)       /* 2 FMI_SHORTS pixels, held within 0 to 255: two s of each colour */
#define fmi_load_row FMI_AT_LEVEL(fmi_load_row)         /* lanes 0 to 7 at p, 8 to 15 at p + 64 */
#define fmi_store_turned FMI_AT_LEVEL(fmi_store_turned) /* 8 s as the columns of 8 x 8 blocks, 64 apart; a single lane as a row */
#define fmi_store_samples FMI_AT_LEVEL(fmi_store_samples) /* the same as bytes, 128 more, held within 0 to 255; each at its place */
#define fmi_low_zip FMI_AT_LEVEL(fmi_low_zip)
#define fmi_high_zip FMI_AT_LEVEL(fmi_high_zip)
#define fmi_shuffle FMI_AT_LEVEL(fmi_shuffle)
#define fmi_turn FMI_AT_LEVEL(fmi_turn)
#define fmi_store_row FMI_AT_LEVEL(fmi_store_row)
#define fmi_store_sample_rows FMI_AT_LEVEL(fmi_store_sample_rows)

/* Compiles a block at every level: #define FMI_BLOCK, #include FACEMORPH_FILENAME, #undef FMI_BLOCK. */
#define FMI_BLOCK FMI_BLOCK_LANES
#include FACEMORPH_FILENAME
#undef FMI_BLOCK
#define FMI_BLOCK FMI_BLOCK_BYTES
#include FACEMORPH_FILENAME
#undef FMI_BLOCK
#define FMI_BLOCK FMI_BLOCK_SHORTS
#include FACEMORPH_FILENAME
#undef FMI_BLOCK

#endif /* FMI_COMPILING */

/* The driver of the blocks. */
#if defined(FMI_BLOCK) && !defined(FMI_SUFFIX)
#define FMI_SUFFIX _scalar
#define FMI_LEVEL 1 /* an fm_simd, as a number that the preprocessor knows */
#define FMI_LANES 1
#define FMI_BYTES 1
#include FACEMORPH_FILENAME
#undef FMI_SUFFIX
#undef FMI_LEVEL
#undef FMI_LANES
#undef FMI_BYTES
#if defined(FMI_SSE2)
#define FMI_SUFFIX _sse2
#define FMI_LEVEL 2
#define FMI_LANES 4
#define FMI_BYTES 16
#include FACEMORPH_FILENAME
#undef FMI_SUFFIX
#undef FMI_LEVEL
#undef FMI_LANES
#undef FMI_BYTES
#endif
#if defined(FMI_AVX2)
#define FMI_SUFFIX _avx2
#define FMI_LEVEL 3
#define FMI_LANES 8
#define FMI_BYTES 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi2,pclmul"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,bmi2,pclmul")
#endif
#include FACEMORPH_FILENAME
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef FMI_SUFFIX
#undef FMI_LEVEL
#undef FMI_LANES
#undef FMI_BYTES
#endif
#if defined(FMI_AVX512) && FMI_BLOCK < 100
#define FMI_SUFFIX _avx512
#define FMI_LEVEL 4
#define FMI_LANES 16
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi2,pclmul,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,bmi2,pclmul,avx512f,avx512bw,avx512dq,avx512vl")
#pragma GCC diagnostic push /* gcc 12 warns of its own intrinsics: of undefined registers in C++, of the gathers' masks at -O0 */
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
#include FACEMORPH_FILENAME
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif
#undef FMI_SUFFIX
#undef FMI_LEVEL
#undef FMI_LANES
#endif
#if defined(FMI_NEON)
#define FMI_SUFFIX _neon
#define FMI_LEVEL 5
#define FMI_LANES 4
#define FMI_BYTES 16
#include FACEMORPH_FILENAME
#undef FMI_SUFFIX
#undef FMI_LEVEL
#undef FMI_LANES
#undef FMI_BYTES
#endif
#endif

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_LANES
/* ---- block: the vocabulary at each level ---- */

#if FMI_LEVEL == 1
typedef float fmi_vf;
typedef int32_t fmi_vi;
typedef bool fmi_vm;
FMI_INLINE fmi_vf fmi_setf(float x) { return x; }
FMI_INLINE fmi_vi fmi_seti(int32_t x) { return x; }
FMI_INLINE fmi_vi fmi_iota(void) { return 0; }
FMI_INLINE fmi_vf fmi_loadf(const float *p) { return *p; }
FMI_INLINE fmi_vi fmi_loadi(const int32_t *p) { return *p; }
FMI_INLINE void fmi_storef(float *p, fmi_vf a) { *p = a; }
FMI_INLINE void fmi_storei(int32_t *p, fmi_vi a) { *p = a; }
FMI_INLINE fmi_vf fmi_addf(fmi_vf a, fmi_vf b) { return a + b; }
FMI_INLINE fmi_vf fmi_subf(fmi_vf a, fmi_vf b) { return a - b; }
FMI_INLINE fmi_vf fmi_mulf(fmi_vf a, fmi_vf b) { return a * b; }
FMI_INLINE fmi_vf fmi_divf(fmi_vf a, fmi_vf b) { return a / b; }
FMI_INLINE fmi_vf fmi_rootf(fmi_vf a) { return sqrtf(a); }
FMI_INLINE fmi_vi fmi_addi(fmi_vi a, fmi_vi b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
FMI_INLINE fmi_vi fmi_subi(fmi_vi a, fmi_vi b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
FMI_INLINE fmi_vi fmi_muli(fmi_vi a, fmi_vi b) { return (int32_t)((uint32_t)a * (uint32_t)b); }
FMI_INLINE fmi_vi fmi_andi(fmi_vi a, fmi_vi b) { return a & b; }
FMI_INLINE fmi_vi fmi_ori(fmi_vi a, fmi_vi b) { return a | b; }
FMI_INLINE fmi_vi fmi_xori(fmi_vi a, fmi_vi b) { return a ^ b; }
FMI_INLINE fmi_vi fmi_lefti(fmi_vi a, int n) { return (int32_t)((uint32_t)a << n); }
FMI_INLINE fmi_vi fmi_righti(fmi_vi a, int n) { return (int32_t)((uint32_t)a >> n); }
FMI_INLINE fmi_vi fmi_downi(fmi_vi a, int n) { return a < 0 ? ~(~a >> n) : a >> n; }
FMI_INLINE fmi_vi fmi_pairsi(fmi_vi a, fmi_vi b) {
  fmi_vi low = fmi_muli(fmi_downi(fmi_lefti(a, 16), 16), fmi_downi(fmi_lefti(b, 16), 16));
  return fmi_addi(low, fmi_muli(fmi_downi(a, 16), fmi_downi(b, 16)));
}
FMI_INLINE fmi_vi fmi_mini(fmi_vi a, fmi_vi b) { return a < b ? a : b; }
FMI_INLINE fmi_vi fmi_maxi(fmi_vi a, fmi_vi b) { return a > b ? a : b; }
FMI_INLINE fmi_vf fmi_tof(fmi_vi a) { return (float)a; }
FMI_INLINE fmi_vi fmi_toi(fmi_vf a) { return (int32_t)a; }
FMI_INLINE fmi_vf fmi_asf(fmi_vi a) {
  return fmi_bits_float((uint32_t)a);
}
FMI_INLINE fmi_vi fmi_asi(fmi_vf a) {
  return (int32_t)fmi_float_bits(a);
}
FMI_INLINE fmi_vm fmi_ltf(fmi_vf a, fmi_vf b) { return a < b; }
FMI_INLINE fmi_vm fmi_lef(fmi_vf a, fmi_vf b) { return a <= b; }
FMI_INLINE fmi_vm fmi_gti(fmi_vi a, fmi_vi b) { return a > b; }
FMI_INLINE fmi_vm fmi_eqi(fmi_vi a, fmi_vi b) { return a == b; }
FMI_INLINE fmi_vm fmi_andm(fmi_vm a, fmi_vm b) { return a && b; }
FMI_INLINE fmi_vm fmi_orm(fmi_vm a, fmi_vm b) { return a || b; }
FMI_INLINE fmi_vf fmi_pickf(fmi_vm m, fmi_vf a, fmi_vf b) { return m ? a : b; }
FMI_INLINE fmi_vi fmi_picki(fmi_vm m, fmi_vi a, fmi_vi b) { return m ? a : b; }
FMI_INLINE uint32_t fmi_bitsm(fmi_vm m) { return m ? 1 : 0; }
FMI_INLINE uint32_t fmi_signsi(fmi_vi a) { return (uint32_t)a >> 31; }
FMI_INLINE fmi_vi fmi_gatheri(const int32_t *base, fmi_vi index) { return base[(uint32_t)index]; }
FMI_INLINE fmi_vf fmi_gatherf(const float *base, fmi_vi index) { return base[(uint32_t)index]; }
FMI_INLINE fmi_vi fmi_gatherb(const uint8_t *base, fmi_vi index) {
  return (int32_t)fmi_le32(base + 4 * (size_t)(uint32_t)index);
}
FMI_INLINE void fmi_gather4(fmi_vi out[4], const int32_t *base, size_t stride, const uint32_t *index) {
  const int32_t *record = base + stride * index[0];
  FMI_UNROLL
  for (int k = 0; k < 4; k++) out[k] = record[k];
}
FMI_INLINE void fmi_gather8(fmi_vi out[8], const int32_t *base, size_t stride, const uint32_t *index) {
  const int32_t *record = base + stride * index[0];
  FMI_UNROLL
  for (int k = 0; k < 8; k++) out[k] = record[k];
}
FMI_INLINE void fmi_gather4b(fmi_vi out[4], const uint8_t *base, const uint32_t *index) {
  FMI_UNROLL
  for (int k = 0; k < 4; k++) out[k] = (int32_t)fmi_le32(base + 4 * ((size_t)index[0] + (size_t)k));
}
FMI_INLINE void fmi_store8(int32_t *to, const fmi_vi value[8]) {
  FMI_UNROLL
  for (int k = 0; k < 8; k++) to[k] = value[k];
}

#elif FMI_LEVEL == 2
typedef __m128 fmi_vf;
typedef __m128i fmi_vi;
typedef __m128i fmi_vm;
FMI_INLINE fmi_vf fmi_setf(float x) { return _mm_set1_ps(x); }
FMI_INLINE fmi_vi fmi_seti(int32_t x) { return _mm_set1_epi32(x); }
FMI_INLINE fmi_vi fmi_iota(void) { return _mm_setr_epi32(0, 1, 2, 3); }
FMI_INLINE fmi_vf fmi_loadf(const float *p) { return _mm_loadu_ps(p); }
FMI_INLINE fmi_vi fmi_loadi(const int32_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
FMI_INLINE void fmi_storef(float *p, fmi_vf a) { _mm_storeu_ps(p, a); }
FMI_INLINE void fmi_storei(int32_t *p, fmi_vi a) { _mm_storeu_si128((__m128i *)(void *)p, a); }
FMI_INLINE fmi_vf fmi_addf(fmi_vf a, fmi_vf b) { return _mm_add_ps(a, b); }
FMI_INLINE fmi_vf fmi_subf(fmi_vf a, fmi_vf b) { return _mm_sub_ps(a, b); }
FMI_INLINE fmi_vf fmi_mulf(fmi_vf a, fmi_vf b) { return _mm_mul_ps(a, b); }
FMI_INLINE fmi_vf fmi_divf(fmi_vf a, fmi_vf b) { return _mm_div_ps(a, b); }
FMI_INLINE fmi_vf fmi_rootf(fmi_vf a) { return _mm_sqrt_ps(a); }
FMI_INLINE fmi_vi fmi_addi(fmi_vi a, fmi_vi b) { return _mm_add_epi32(a, b); }
FMI_INLINE fmi_vi fmi_subi(fmi_vi a, fmi_vi b) { return _mm_sub_epi32(a, b); }
FMI_INLINE fmi_vi fmi_muli(fmi_vi a, fmi_vi b) { /* SSE2 multiplies the even lanes only */
  __m128i even = _mm_mul_epu32(a, b), odd = _mm_mul_epu32(_mm_srli_epi64(a, 32), _mm_srli_epi64(b, 32));
  return _mm_unpacklo_epi32(_mm_shuffle_epi32(even, _MM_SHUFFLE(0, 0, 2, 0)), _mm_shuffle_epi32(odd, _MM_SHUFFLE(0, 0, 2, 0)));
}
FMI_INLINE fmi_vi fmi_pairsi(fmi_vi a, fmi_vi b) { return _mm_madd_epi16(a, b); }
FMI_INLINE fmi_vi fmi_andi(fmi_vi a, fmi_vi b) { return _mm_and_si128(a, b); }
FMI_INLINE fmi_vi fmi_ori(fmi_vi a, fmi_vi b) { return _mm_or_si128(a, b); }
FMI_INLINE fmi_vi fmi_xori(fmi_vi a, fmi_vi b) { return _mm_xor_si128(a, b); }
FMI_INLINE fmi_vi fmi_lefti(fmi_vi a, int n) { return _mm_slli_epi32(a, n); }
FMI_INLINE fmi_vi fmi_righti(fmi_vi a, int n) { return _mm_srli_epi32(a, n); }
FMI_INLINE fmi_vi fmi_downi(fmi_vi a, int n) { return _mm_srai_epi32(a, n); }
FMI_INLINE fmi_vf fmi_tof(fmi_vi a) { return _mm_cvtepi32_ps(a); }
FMI_INLINE fmi_vi fmi_toi(fmi_vf a) { return _mm_cvttps_epi32(a); }
FMI_INLINE fmi_vf fmi_asf(fmi_vi a) { return _mm_castsi128_ps(a); }
FMI_INLINE fmi_vi fmi_asi(fmi_vf a) { return _mm_castps_si128(a); }
FMI_INLINE fmi_vm fmi_ltf(fmi_vf a, fmi_vf b) { return _mm_castps_si128(_mm_cmplt_ps(a, b)); }
FMI_INLINE fmi_vm fmi_lef(fmi_vf a, fmi_vf b) { return _mm_castps_si128(_mm_cmple_ps(a, b)); }
FMI_INLINE fmi_vm fmi_gti(fmi_vi a, fmi_vi b) { return _mm_cmpgt_epi32(a, b); }
FMI_INLINE fmi_vm fmi_eqi(fmi_vi a, fmi_vi b) { return _mm_cmpeq_epi32(a, b); }
FMI_INLINE fmi_vm fmi_andm(fmi_vm a, fmi_vm b) { return _mm_and_si128(a, b); }
FMI_INLINE fmi_vm fmi_orm(fmi_vm a, fmi_vm b) { return _mm_or_si128(a, b); }
FMI_INLINE fmi_vi fmi_picki(fmi_vm m, fmi_vi a, fmi_vi b) { return _mm_or_si128(_mm_and_si128(m, a), _mm_andnot_si128(m, b)); }
FMI_INLINE fmi_vf fmi_pickf(fmi_vm m, fmi_vf a, fmi_vf b) {
  __m128 mask = _mm_castsi128_ps(m);
  return _mm_or_ps(_mm_and_ps(mask, a), _mm_andnot_ps(mask, b));
}
FMI_INLINE fmi_vi fmi_mini(fmi_vi a, fmi_vi b) {
  fmi_vm more = _mm_cmpgt_epi32(a, b);
  return fmi_picki(more, b, a);
}
FMI_INLINE fmi_vi fmi_maxi(fmi_vi a, fmi_vi b) {
  fmi_vm more = _mm_cmpgt_epi32(a, b);
  return fmi_picki(more, a, b);
}
FMI_INLINE uint32_t fmi_bitsm(fmi_vm m) { return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(m)); }
FMI_INLINE uint32_t fmi_signsi(fmi_vi a) { return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(a)); }
FMI_INLINE fmi_vi fmi_gatheri(const int32_t *base, fmi_vi index) {
  uint32_t i[4];
  _mm_storeu_si128((__m128i *)(void *)i, index);
  return _mm_setr_epi32(base[i[0]], base[i[1]], base[i[2]], base[i[3]]);
}
FMI_INLINE fmi_vf fmi_gatherf(const float *base, fmi_vi index) {
  uint32_t i[4];
  _mm_storeu_si128((__m128i *)(void *)i, index);
  return _mm_setr_ps(base[i[0]], base[i[1]], base[i[2]], base[i[3]]);
}
FMI_INLINE fmi_vi fmi_gatherb(const uint8_t *base, fmi_vi index) {
  uint32_t i[4];
  _mm_storeu_si128((__m128i *)(void *)i, index);
  return _mm_setr_epi32((int32_t)fmi_le32(base + 4 * (size_t)i[0]), (int32_t)fmi_le32(base + 4 * (size_t)i[1]),
                        (int32_t)fmi_le32(base + 4 * (size_t)i[2]), (int32_t)fmi_le32(base + 4 * (size_t)i[3]));
}
FMI_INLINE void fmi_gather4(fmi_vi out[4], const int32_t *base, size_t stride, const uint32_t *index) {
  __m128i r0 = fmi_loadi(base + stride * index[0]), r1 = fmi_loadi(base + stride * index[1]),
          r2 = fmi_loadi(base + stride * index[2]), r3 = fmi_loadi(base + stride * index[3]);
  __m128i a = _mm_unpacklo_epi32(r0, r1), b = _mm_unpacklo_epi32(r2, r3), c = _mm_unpackhi_epi32(r0, r1),
          d = _mm_unpackhi_epi32(r2, r3);
  out[0] = _mm_unpacklo_epi64(a, b);
  out[1] = _mm_unpackhi_epi64(a, b);
  out[2] = _mm_unpacklo_epi64(c, d);
  out[3] = _mm_unpackhi_epi64(c, d);
}
FMI_INLINE void fmi_gather8(fmi_vi out[8], const int32_t *base, size_t stride, const uint32_t *index) {
  fmi_gather4(out, base, stride, index);
  fmi_gather4(out + 4, base + 4, stride, index);
}
FMI_INLINE void fmi_store8(int32_t *to, const fmi_vi value[8]) {
  FMI_UNROLL
  for (int half = 0; half < 8; half += 4) {
    __m128i a = _mm_unpacklo_epi32(value[half], value[half + 1]), b = _mm_unpacklo_epi32(value[half + 2], value[half + 3]),
            c = _mm_unpackhi_epi32(value[half], value[half + 1]), d = _mm_unpackhi_epi32(value[half + 2], value[half + 3]);
    fmi_storei(to + half, _mm_unpacklo_epi64(a, b));
    fmi_storei(to + half + 8, _mm_unpackhi_epi64(a, b));
    fmi_storei(to + half + 16, _mm_unpacklo_epi64(c, d));
    fmi_storei(to + half + 24, _mm_unpackhi_epi64(c, d));
  }
}

#elif FMI_LEVEL == 3
typedef __m256 fmi_vf;
typedef __m256i fmi_vi;
typedef __m256i fmi_vm;
FMI_INLINE fmi_vf fmi_setf(float x) { return _mm256_set1_ps(x); }
FMI_INLINE fmi_vi fmi_seti(int32_t x) { return _mm256_set1_epi32(x); }
FMI_INLINE fmi_vi fmi_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
FMI_INLINE fmi_vf fmi_loadf(const float *p) { return _mm256_loadu_ps(p); }
FMI_INLINE fmi_vi fmi_loadi(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
FMI_INLINE void fmi_storef(float *p, fmi_vf a) { _mm256_storeu_ps(p, a); }
FMI_INLINE void fmi_storei(int32_t *p, fmi_vi a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }
FMI_INLINE fmi_vf fmi_addf(fmi_vf a, fmi_vf b) { return _mm256_add_ps(a, b); }
FMI_INLINE fmi_vf fmi_subf(fmi_vf a, fmi_vf b) { return _mm256_sub_ps(a, b); }
FMI_INLINE fmi_vf fmi_mulf(fmi_vf a, fmi_vf b) { return _mm256_mul_ps(a, b); }
FMI_INLINE fmi_vf fmi_divf(fmi_vf a, fmi_vf b) { return _mm256_div_ps(a, b); }
FMI_INLINE fmi_vf fmi_rootf(fmi_vf a) { return _mm256_sqrt_ps(a); }
FMI_INLINE fmi_vi fmi_addi(fmi_vi a, fmi_vi b) { return _mm256_add_epi32(a, b); }
FMI_INLINE fmi_vi fmi_subi(fmi_vi a, fmi_vi b) { return _mm256_sub_epi32(a, b); }
FMI_INLINE fmi_vi fmi_muli(fmi_vi a, fmi_vi b) { return _mm256_mullo_epi32(a, b); }
FMI_INLINE fmi_vi fmi_pairsi(fmi_vi a, fmi_vi b) { return _mm256_madd_epi16(a, b); }
FMI_INLINE fmi_vi fmi_andi(fmi_vi a, fmi_vi b) { return _mm256_and_si256(a, b); }
FMI_INLINE fmi_vi fmi_ori(fmi_vi a, fmi_vi b) { return _mm256_or_si256(a, b); }
FMI_INLINE fmi_vi fmi_xori(fmi_vi a, fmi_vi b) { return _mm256_xor_si256(a, b); }
FMI_INLINE fmi_vi fmi_lefti(fmi_vi a, int n) { return _mm256_slli_epi32(a, n); }
FMI_INLINE fmi_vi fmi_righti(fmi_vi a, int n) { return _mm256_srli_epi32(a, n); }
FMI_INLINE fmi_vi fmi_downi(fmi_vi a, int n) { return _mm256_srai_epi32(a, n); }
FMI_INLINE fmi_vi fmi_mini(fmi_vi a, fmi_vi b) { return _mm256_min_epi32(a, b); }
FMI_INLINE fmi_vi fmi_maxi(fmi_vi a, fmi_vi b) { return _mm256_max_epi32(a, b); }
FMI_INLINE fmi_vf fmi_tof(fmi_vi a) { return _mm256_cvtepi32_ps(a); }
FMI_INLINE fmi_vi fmi_toi(fmi_vf a) { return _mm256_cvttps_epi32(a); }
FMI_INLINE fmi_vf fmi_asf(fmi_vi a) { return _mm256_castsi256_ps(a); }
FMI_INLINE fmi_vi fmi_asi(fmi_vf a) { return _mm256_castps_si256(a); }
FMI_INLINE fmi_vm fmi_ltf(fmi_vf a, fmi_vf b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
FMI_INLINE fmi_vm fmi_lef(fmi_vf a, fmi_vf b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
FMI_INLINE fmi_vm fmi_gti(fmi_vi a, fmi_vi b) { return _mm256_cmpgt_epi32(a, b); }
FMI_INLINE fmi_vm fmi_eqi(fmi_vi a, fmi_vi b) { return _mm256_cmpeq_epi32(a, b); }
FMI_INLINE fmi_vm fmi_andm(fmi_vm a, fmi_vm b) { return _mm256_and_si256(a, b); }
FMI_INLINE fmi_vm fmi_orm(fmi_vm a, fmi_vm b) { return _mm256_or_si256(a, b); }
FMI_INLINE fmi_vf fmi_pickf(fmi_vm m, fmi_vf a, fmi_vf b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m)); }
FMI_INLINE fmi_vi fmi_picki(fmi_vm m, fmi_vi a, fmi_vi b) { /* _mm256_blendv_epi8 is broken in gcc -funsigned-char: always b */
  return fmi_asi(fmi_pickf(m, fmi_asf(a), fmi_asf(b)));
}
FMI_INLINE uint32_t fmi_bitsm(fmi_vm m) { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(m)); }
FMI_INLINE uint32_t fmi_signsi(fmi_vi a) { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(a)); }
FMI_INLINE fmi_vi fmi_gatheri(const int32_t *base, fmi_vi index) { return _mm256_i32gather_epi32(base, index, 4); }
FMI_INLINE fmi_vf fmi_gatherf(const float *base, fmi_vi index) { return _mm256_i32gather_ps(base, index, 4); }
FMI_INLINE fmi_vi fmi_gatherb(const uint8_t *base, fmi_vi index) {
  return _mm256_i32gather_epi32((const int *)(const void *)base, index, 4);
}
FMI_INLINE __m256i fmi_pair_avx2(const int32_t *low, const int32_t *high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
                                 _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}
/* Transposes 4 x 4 words in both halves of four registers. */
FMI_INLINE void fmi_transpose_avx2(__m256i out[4], __m256i r0, __m256i r1, __m256i r2, __m256i r3) {
  __m256i a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpacklo_epi32(r2, r3), c = _mm256_unpackhi_epi32(r0, r1),
          d = _mm256_unpackhi_epi32(r2, r3);
  out[0] = _mm256_unpacklo_epi64(a, b);
  out[1] = _mm256_unpackhi_epi64(a, b);
  out[2] = _mm256_unpacklo_epi64(c, d);
  out[3] = _mm256_unpackhi_epi64(c, d);
}
FMI_INLINE void fmi_gather4(fmi_vi out[4], const int32_t *base, size_t stride, const uint32_t *index) {
  const int32_t *r[8];
  FMI_UNROLL
  for (int l = 0; l < 8; l++) r[l] = base + stride * index[l];
  fmi_transpose_avx2(out, fmi_pair_avx2(r[0], r[4]), fmi_pair_avx2(r[1], r[5]), fmi_pair_avx2(r[2], r[6]),
                     fmi_pair_avx2(r[3], r[7]));
}
FMI_INLINE void fmi_gather8(fmi_vi out[8], const int32_t *base, size_t stride, const uint32_t *index) {
  fmi_gather4(out, base, stride, index);
  fmi_gather4(out + 4, base + 4, stride, index);
}
FMI_INLINE void fmi_store8(int32_t *to, const fmi_vi value[8]) {
  __m256i low[4], high[4];
  fmi_transpose_avx2(low, value[0], value[1], value[2], value[3]);
  fmi_transpose_avx2(high, value[4], value[5], value[6], value[7]);
  FMI_UNROLL
  for (int k = 0; k < 4; k++) {
    fmi_storei(to + 8 * k, _mm256_permute2x128_si256(low[k], high[k], 0x20));
    fmi_storei(to + 8 * k + 32, _mm256_permute2x128_si256(low[k], high[k], 0x31));
  }
}

#elif FMI_LEVEL == 4
typedef __m512 fmi_vf;
typedef __m512i fmi_vi;
typedef __mmask16 fmi_vm;
FMI_INLINE fmi_vf fmi_setf(float x) { return _mm512_set1_ps(x); }
FMI_INLINE fmi_vi fmi_seti(int32_t x) { return _mm512_set1_epi32(x); }
FMI_INLINE fmi_vi fmi_iota(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
FMI_INLINE fmi_vf fmi_loadf(const float *p) { return _mm512_loadu_ps(p); }
FMI_INLINE fmi_vi fmi_loadi(const int32_t *p) { return _mm512_loadu_si512((const void *)p); }
FMI_INLINE void fmi_storef(float *p, fmi_vf a) { _mm512_storeu_ps(p, a); }
FMI_INLINE void fmi_storei(int32_t *p, fmi_vi a) { _mm512_storeu_si512((void *)p, a); }
FMI_INLINE fmi_vf fmi_addf(fmi_vf a, fmi_vf b) { return _mm512_add_ps(a, b); }
FMI_INLINE fmi_vf fmi_subf(fmi_vf a, fmi_vf b) { return _mm512_sub_ps(a, b); }
FMI_INLINE fmi_vf fmi_mulf(fmi_vf a, fmi_vf b) { return _mm512_mul_ps(a, b); }
FMI_INLINE fmi_vf fmi_divf(fmi_vf a, fmi_vf b) { return _mm512_div_ps(a, b); }
FMI_INLINE fmi_vf fmi_rootf(fmi_vf a) { return _mm512_sqrt_ps(a); }
FMI_INLINE fmi_vi fmi_addi(fmi_vi a, fmi_vi b) { return _mm512_add_epi32(a, b); }
FMI_INLINE fmi_vi fmi_subi(fmi_vi a, fmi_vi b) { return _mm512_sub_epi32(a, b); }
FMI_INLINE fmi_vi fmi_muli(fmi_vi a, fmi_vi b) { return _mm512_mullo_epi32(a, b); }
FMI_INLINE fmi_vi fmi_pairsi(fmi_vi a, fmi_vi b) { return _mm512_madd_epi16(a, b); }
FMI_INLINE fmi_vi fmi_andi(fmi_vi a, fmi_vi b) { return _mm512_and_si512(a, b); }
FMI_INLINE fmi_vi fmi_ori(fmi_vi a, fmi_vi b) { return _mm512_or_si512(a, b); }
FMI_INLINE fmi_vi fmi_xori(fmi_vi a, fmi_vi b) { return _mm512_xor_si512(a, b); }
FMI_INLINE fmi_vi fmi_lefti(fmi_vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
FMI_INLINE fmi_vi fmi_righti(fmi_vi a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
FMI_INLINE fmi_vi fmi_downi(fmi_vi a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
FMI_INLINE fmi_vi fmi_mini(fmi_vi a, fmi_vi b) { return _mm512_min_epi32(a, b); }
FMI_INLINE fmi_vi fmi_maxi(fmi_vi a, fmi_vi b) { return _mm512_max_epi32(a, b); }
FMI_INLINE fmi_vf fmi_tof(fmi_vi a) { return _mm512_cvtepi32_ps(a); }
FMI_INLINE fmi_vi fmi_toi(fmi_vf a) { return _mm512_cvttps_epi32(a); }
FMI_INLINE fmi_vf fmi_asf(fmi_vi a) { return _mm512_castsi512_ps(a); }
FMI_INLINE fmi_vi fmi_asi(fmi_vf a) { return _mm512_castps_si512(a); }
FMI_INLINE fmi_vm fmi_ltf(fmi_vf a, fmi_vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
FMI_INLINE fmi_vm fmi_lef(fmi_vf a, fmi_vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
FMI_INLINE fmi_vm fmi_gti(fmi_vi a, fmi_vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
FMI_INLINE fmi_vm fmi_eqi(fmi_vi a, fmi_vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
FMI_INLINE fmi_vm fmi_andm(fmi_vm a, fmi_vm b) { return (fmi_vm)(a & b); }
FMI_INLINE fmi_vm fmi_orm(fmi_vm a, fmi_vm b) { return (fmi_vm)(a | b); }
FMI_INLINE fmi_vi fmi_picki(fmi_vm m, fmi_vi a, fmi_vi b) { return _mm512_mask_mov_epi32(b, m, a); }
FMI_INLINE fmi_vf fmi_pickf(fmi_vm m, fmi_vf a, fmi_vf b) { return _mm512_mask_mov_ps(b, m, a); }
FMI_INLINE uint32_t fmi_bitsm(fmi_vm m) { return m; }
FMI_INLINE uint32_t fmi_signsi(fmi_vi a) { return _mm512_movepi32_mask(a); }
FMI_INLINE fmi_vi fmi_gatheri(const int32_t *base, fmi_vi index) { return _mm512_i32gather_epi32(index, base, 4); }
FMI_INLINE fmi_vf fmi_gatherf(const float *base, fmi_vi index) { return _mm512_i32gather_ps(index, base, 4); }
FMI_INLINE fmi_vi fmi_gatherb(const uint8_t *base, fmi_vi index) { return _mm512_i32gather_epi32(index, base, 4); }
FMI_INLINE void fmi_gather4(fmi_vi out[4], const int32_t *base, size_t stride, const uint32_t *index) {
  __m512i r[4];
  FMI_UNROLL
  for (int k = 0; k < 4; k++)
    r[k] = _mm512_inserti64x4(
        _mm512_castsi256_si512(fmi_pair_avx2(base + stride * index[k], base + stride * index[k + 4])),
        fmi_pair_avx2(base + stride * index[k + 8], base + stride * index[k + 12]), 1);
  __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpacklo_epi32(r[2], r[3]), c = _mm512_unpackhi_epi32(r[0], r[1]),
          d = _mm512_unpackhi_epi32(r[2], r[3]);
  out[0] = _mm512_unpacklo_epi64(a, b);
  out[1] = _mm512_unpackhi_epi64(a, b);
  out[2] = _mm512_unpacklo_epi64(c, d);
  out[3] = _mm512_unpackhi_epi64(c, d);
}
FMI_INLINE void fmi_gather8(fmi_vi out[8], const int32_t *base, size_t stride, const uint32_t *index) {
  fmi_gather4(out, base, stride, index);
  fmi_gather4(out + 4, base + 4, stride, index);
}
FMI_INLINE void fmi_store8(int32_t *to, const fmi_vi value[8]) {
  __m256i half[8];
  FMI_UNROLL
  for (int k = 0; k < 8; k++) half[k] = _mm512_castsi512_si256(value[k]);
  fmi_store8_avx2(to, half);
  FMI_UNROLL
  for (int k = 0; k < 8; k++) half[k] = _mm512_extracti64x4_epi64(value[k], 1);
  fmi_store8_avx2(to + 64, half);
}

#elif FMI_LEVEL == 5
typedef float32x4_t fmi_vf;
typedef int32x4_t fmi_vi;
typedef uint32x4_t fmi_vm;
FMI_INLINE fmi_vf fmi_setf(float x) { return vdupq_n_f32(x); }
FMI_INLINE fmi_vi fmi_seti(int32_t x) { return vdupq_n_s32(x); }
FMI_INLINE fmi_vi fmi_loadi(const int32_t *p) { return vld1q_s32(p); }
FMI_INLINE fmi_vf fmi_loadf(const float *p) { return vld1q_f32(p); }
FMI_INLINE fmi_vi fmi_iota(void) {
  static const int32_t numbers[4] = {0, 1, 2, 3};
  return vld1q_s32(numbers);
}
FMI_INLINE void fmi_storef(float *p, fmi_vf a) { vst1q_f32(p, a); }
FMI_INLINE void fmi_storei(int32_t *p, fmi_vi a) { vst1q_s32(p, a); }
FMI_INLINE fmi_vf fmi_addf(fmi_vf a, fmi_vf b) { return vaddq_f32(a, b); }
FMI_INLINE fmi_vf fmi_subf(fmi_vf a, fmi_vf b) { return vsubq_f32(a, b); }
FMI_INLINE fmi_vf fmi_mulf(fmi_vf a, fmi_vf b) { return vmulq_f32(a, b); }
FMI_INLINE fmi_vf fmi_divf(fmi_vf a, fmi_vf b) { return vdivq_f32(a, b); }
FMI_INLINE fmi_vf fmi_rootf(fmi_vf a) { return vsqrtq_f32(a); }
FMI_INLINE fmi_vi fmi_addi(fmi_vi a, fmi_vi b) { return vaddq_s32(a, b); }
FMI_INLINE fmi_vi fmi_subi(fmi_vi a, fmi_vi b) { return vsubq_s32(a, b); }
FMI_INLINE fmi_vi fmi_muli(fmi_vi a, fmi_vi b) { return vmulq_s32(a, b); }
FMI_INLINE fmi_vi fmi_pairsi(fmi_vi a, fmi_vi b) {
  int32x4_t low = vmulq_s32(vshrq_n_s32(vshlq_n_s32(a, 16), 16), vshrq_n_s32(vshlq_n_s32(b, 16), 16));
  return vmlaq_s32(low, vshrq_n_s32(a, 16), vshrq_n_s32(b, 16));
}
FMI_INLINE fmi_vi fmi_andi(fmi_vi a, fmi_vi b) { return vandq_s32(a, b); }
FMI_INLINE fmi_vi fmi_ori(fmi_vi a, fmi_vi b) { return vorrq_s32(a, b); }
FMI_INLINE fmi_vi fmi_xori(fmi_vi a, fmi_vi b) { return veorq_s32(a, b); }
FMI_INLINE fmi_vi fmi_lefti(fmi_vi a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
FMI_INLINE fmi_vi fmi_righti(fmi_vi a, int n) {
  return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-n)));
}
FMI_INLINE fmi_vi fmi_downi(fmi_vi a, int n) { return vshlq_s32(a, vdupq_n_s32(-n)); }
FMI_INLINE fmi_vi fmi_mini(fmi_vi a, fmi_vi b) { return vminq_s32(a, b); }
FMI_INLINE fmi_vi fmi_maxi(fmi_vi a, fmi_vi b) { return vmaxq_s32(a, b); }
FMI_INLINE fmi_vf fmi_tof(fmi_vi a) { return vcvtq_f32_s32(a); }
FMI_INLINE fmi_vi fmi_toi(fmi_vf a) { return vcvtq_s32_f32(a); }
FMI_INLINE fmi_vf fmi_asf(fmi_vi a) { return vreinterpretq_f32_s32(a); }
FMI_INLINE fmi_vi fmi_asi(fmi_vf a) { return vreinterpretq_s32_f32(a); }
FMI_INLINE fmi_vm fmi_ltf(fmi_vf a, fmi_vf b) { return vcltq_f32(a, b); }
FMI_INLINE fmi_vm fmi_lef(fmi_vf a, fmi_vf b) { return vcleq_f32(a, b); }
FMI_INLINE fmi_vm fmi_gti(fmi_vi a, fmi_vi b) { return vcgtq_s32(a, b); }
FMI_INLINE fmi_vm fmi_eqi(fmi_vi a, fmi_vi b) { return vceqq_s32(a, b); }
FMI_INLINE fmi_vm fmi_andm(fmi_vm a, fmi_vm b) { return vandq_u32(a, b); }
FMI_INLINE fmi_vm fmi_orm(fmi_vm a, fmi_vm b) { return vorrq_u32(a, b); }
FMI_INLINE fmi_vi fmi_picki(fmi_vm m, fmi_vi a, fmi_vi b) { return vbslq_s32(m, a, b); }
FMI_INLINE fmi_vf fmi_pickf(fmi_vm m, fmi_vf a, fmi_vf b) { return vbslq_f32(m, a, b); }
FMI_INLINE uint32_t fmi_bitsm(fmi_vm m) {
  static const uint32_t bit[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m, vld1q_u32(bit)));
}
FMI_INLINE uint32_t fmi_signsi(fmi_vi a) {
  return fmi_bitsm(vreinterpretq_u32_s32(vshrq_n_s32(a, 31)));
}
FMI_INLINE fmi_vi fmi_gatheri(const int32_t *base, fmi_vi index) {
  int32_t value[4];
  uint32_t i[4];
  vst1q_u32(i, vreinterpretq_u32_s32(index));
  FMI_UNROLL
  for (int l = 0; l < 4; l++) value[l] = base[i[l]];
  return vld1q_s32(value);
}
FMI_INLINE fmi_vf fmi_gatherf(const float *base, fmi_vi index) {
  float value[4];
  uint32_t i[4];
  vst1q_u32(i, vreinterpretq_u32_s32(index));
  FMI_UNROLL
  for (int l = 0; l < 4; l++) value[l] = base[i[l]];
  return vld1q_f32(value);
}
FMI_INLINE fmi_vi fmi_gatherb(const uint8_t *base, fmi_vi index) {
  int32_t value[4];
  uint32_t i[4];
  vst1q_u32(i, vreinterpretq_u32_s32(index));
  FMI_UNROLL
  for (int l = 0; l < 4; l++) value[l] = (int32_t)fmi_le32(base + 4 * (size_t)i[l]);
  return vld1q_s32(value);
}
/* Transposes 4 x 4 words. */
FMI_INLINE void fmi_transpose_neon(int32x4_t out[4], int32x4_t r0, int32x4_t r1, int32x4_t r2, int32x4_t r3) {
  int32x4_t a = vzip1q_s32(r0, r2), b = vzip2q_s32(r0, r2), c = vzip1q_s32(r1, r3), d = vzip2q_s32(r1, r3);
  out[0] = vzip1q_s32(a, c);
  out[1] = vzip2q_s32(a, c);
  out[2] = vzip1q_s32(b, d);
  out[3] = vzip2q_s32(b, d);
}
FMI_INLINE void fmi_gather4(fmi_vi out[4], const int32_t *base, size_t stride, const uint32_t *index) {
  fmi_transpose_neon(out, vld1q_s32(base + stride * index[0]), vld1q_s32(base + stride * index[1]),
                     vld1q_s32(base + stride * index[2]), vld1q_s32(base + stride * index[3]));
}
FMI_INLINE void fmi_gather8(fmi_vi out[8], const int32_t *base, size_t stride, const uint32_t *index) {
  fmi_gather4(out, base, stride, index);
  fmi_gather4(out + 4, base + 4, stride, index);
}
FMI_INLINE void fmi_store8(int32_t *to, const fmi_vi value[8]) {
  FMI_UNROLL
  for (int half = 0; half < 8; half += 4) {
    int32x4_t row[4];
    fmi_transpose_neon(row, value[half], value[half + 1], value[half + 2], value[half + 3]);
    FMI_UNROLL
    for (int k = 0; k < 4; k++) vst1q_s32(to + half + 8 * k, row[k]);
  }
}
#endif

FMI_INLINE fmi_vf fmi_absf(fmi_vf a) {
  return fmi_asf(fmi_andi(fmi_asi(a), fmi_seti(0x7FFFFFFF)));
}

#if FMI_LEVEL != 1
FMI_INLINE void fmi_gather4b(fmi_vi out[4], const uint8_t *base, const uint32_t *index) {
  fmi_gather4(out, (const int32_t *)(const void *)base, 1, index);
}
#endif

/* Each word becomes the larger of itself and (key, low), both halves of it signed and unsigned as one integer; where not m, of itself
   and (INT32_MIN, low). first: the words of the lower half of lanes, second: of the upper one. All of them are read and written. */
FMI_INLINE void fmi_max_words(int64_t *first, int64_t *second, fmi_vi key, fmi_vi low, fmi_vm m) {
  key = fmi_picki(m, key, fmi_seti(INT32_MIN));
#if FMI_LEVEL == 4
  __m512i a = _mm512_unpacklo_epi32(low, key), b = _mm512_unpackhi_epi32(low, key);
  __m512i mine0 = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), b),
          mine1 = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), b);
  _mm512_storeu_si512((void *)first, _mm512_max_epi64(mine0, _mm512_loadu_si512((const void *)first)));
  _mm512_storeu_si512((void *)second, _mm512_max_epi64(mine1, _mm512_loadu_si512((const void *)second)));
#elif FMI_LEVEL == 3
  __m256i a = _mm256_unpacklo_epi32(low, key), b = _mm256_unpackhi_epi32(low, key);
  FMI_UNROLL
  for (int half = 0; half < 2; half++) {
    __m256i mine = half ? _mm256_permute2x128_si256(a, b, 0x31) : _mm256_permute2x128_si256(a, b, 0x20);
    __m256i *to = (__m256i *)(void *)(half ? second : first);
    __m256i old = _mm256_loadu_si256(to), more = _mm256_cmpgt_epi64(mine, old);
    _mm256_storeu_si256(to, _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(old), _mm256_castsi256_pd(mine),
                                                                 _mm256_castsi256_pd(more))));
  }
#elif FMI_LEVEL == 5
  int32x4_t a = vzip1q_s32(low, key), b = vzip2q_s32(low, key);
  int64x2_t mine0 = vreinterpretq_s64_s32(a), mine1 = vreinterpretq_s64_s32(b), old0 = vld1q_s64(first), old1 = vld1q_s64(second);
  vst1q_s64(first, vbslq_s64(vcgtq_s64(mine0, old0), mine0, old0));
  vst1q_s64(second, vbslq_s64(vcgtq_s64(mine1, old1), mine1, old1));
#elif FMI_LEVEL == 2
  __m128 old0 = _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(void *)first)),
         old1 = _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(void *)second));
  fmi_vi old_key = _mm_castps_si128(_mm_shuffle_ps(old0, old1, _MM_SHUFFLE(3, 1, 3, 1))),
         old_low = _mm_castps_si128(_mm_shuffle_ps(old0, old1, _MM_SHUFFLE(2, 0, 2, 0))), flip = fmi_seti(INT32_MIN);
  fmi_vm more = fmi_gti(fmi_xori(low, flip), fmi_xori(old_low, flip));
  more = fmi_orm(fmi_gti(key, old_key), fmi_andm(fmi_eqi(key, old_key), more));
  key = fmi_picki(more, key, old_key);
  low = fmi_picki(more, low, old_low);
  _mm_storeu_si128((__m128i *)(void *)first, _mm_unpacklo_epi32(low, key));
  _mm_storeu_si128((__m128i *)(void *)second, _mm_unpackhi_epi32(low, key));
#else
  int64_t mine = (int64_t)key * ((int64_t)1 << 32) + (uint32_t)low;
  (void)second;
  if (mine > *first) *first = mine;
#endif
}

/* floor of what is within 32 bits. -0 gives +0. */
FMI_INLINE fmi_vf fmi_floorf(fmi_vf a) {
#if FMI_LEVEL == 3
  return _mm256_add_ps(_mm256_floor_ps(a), _mm256_setzero_ps());
#elif FMI_LEVEL == 4
  return _mm512_add_ps(_mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), _mm512_setzero_ps());
#elif FMI_LEVEL == 5
  return vaddq_f32(vrndmq_f32(a), vdupq_n_f32(0.0f));
#else
  fmi_vf whole = fmi_tof(fmi_toi(a));
  return fmi_subf(whole, fmi_pickf(fmi_ltf(a, whole), fmi_setf(1.0f), fmi_setf(0.0f)));
#endif
}

/* log2 of a positive, normal x within 2e-7, by (2 / ln 2) atanh((m - 1) / (m + 1)) for m near 1; 2^x for |x| < 126 within 2e-7 of
   its value. */
FMI_INLINE fmi_vf fmi_log2_lanes(fmi_vf x) {
  fmi_vi bits = fmi_asi(x), exponent = fmi_downi(fmi_subi(bits, fmi_seti(0x3F3504F3)), 23); /* mantissa in [sqrt(1/2), sqrt(2)) */
  fmi_vf m = fmi_asf(fmi_subi(bits, fmi_lefti(exponent, 23))), one = fmi_setf(1.0f);
  fmi_vf z = fmi_divf(fmi_subf(m, one), fmi_addf(m, one)), z2 = fmi_mulf(z, z);
  fmi_vf sum = fmi_addf(fmi_setf(0.4121985831f), fmi_mulf(z2, fmi_setf(0.3205988980f)));
  sum = fmi_addf(fmi_setf(0.5770780164f), fmi_mulf(z2, sum));
  sum = fmi_addf(fmi_setf(0.9617966939f), fmi_mulf(z2, sum));
  sum = fmi_addf(fmi_setf(2.8853900818f), fmi_mulf(z2, sum));
  return fmi_addf(fmi_tof(exponent), fmi_mulf(z, sum));
}
FMI_INLINE fmi_vf fmi_exp2_lanes(fmi_vf x) {
  fmi_vf whole = fmi_floorf(fmi_addf(x, fmi_setf(0.5f))), r = fmi_subf(x, whole);
  fmi_vf sum = fmi_addf(fmi_setf(0.0013333558f), fmi_mulf(r, fmi_setf(0.0001540353f)));
  sum = fmi_addf(fmi_setf(0.0096181291f), fmi_mulf(r, sum));
  sum = fmi_addf(fmi_setf(0.0555041087f), fmi_mulf(r, sum));
  sum = fmi_addf(fmi_setf(0.2402265070f), fmi_mulf(r, sum));
  sum = fmi_addf(fmi_setf(0.6931471806f), fmi_mulf(r, sum));
  sum = fmi_addf(fmi_setf(1.0f), fmi_mulf(r, sum));
  return fmi_mulf(sum, fmi_asf(fmi_lefti(fmi_addi(fmi_toi(whole), fmi_seti(127)), 23)));
}
#endif

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_BYTES
/* ---- block: the vocabulary of bytes at each level ---- */

#if FMI_LEVEL == 1
typedef uint8_t fmi_vb;
FMI_INLINE fmi_vb fmi_setb(int x) { return (uint8_t)x; }
FMI_INLINE fmi_vb fmi_loadb(const uint8_t *p) { return *p; }
FMI_INLINE void fmi_storeb(uint8_t *p, fmi_vb a) { *p = a; }
FMI_INLINE fmi_vb fmi_addb(fmi_vb a, fmi_vb b) { return (uint8_t)(a + b); }
FMI_INLINE fmi_vb fmi_subb(fmi_vb a, fmi_vb b) { return (uint8_t)(a - b); }
FMI_INLINE fmi_vb fmi_absb(fmi_vb a) { return (uint8_t)(a < 128 ? a : 256 - a); }
FMI_INLINE fmi_vb fmi_excessb(fmi_vb a, fmi_vb b) { return (uint8_t)(a > b ? a - b : 0); }
FMI_INLINE fmi_vb fmi_minb(fmi_vb a, fmi_vb b) { return a < b ? a : b; }
FMI_INLINE fmi_vb fmi_maxb(fmi_vb a, fmi_vb b) { return a > b ? a : b; }
FMI_INLINE fmi_vb fmi_meanb(fmi_vb a, fmi_vb b) { return (uint8_t)((a + b) >> 1); }
FMI_INLINE fmi_vb fmi_andb(fmi_vb a, fmi_vb b) { return (uint8_t)(a & b); }
FMI_INLINE fmi_vb fmi_orb(fmi_vb a, fmi_vb b) { return (uint8_t)(a | b); }
FMI_INLINE fmi_vb fmi_xorb(fmi_vb a, fmi_vb b) { return (uint8_t)(a ^ b); }
FMI_INLINE fmi_vb fmi_eqb(fmi_vb a, fmi_vb b) { return a == b ? 255 : 0; }
FMI_INLINE fmi_vb fmi_pickb(fmi_vb m, fmi_vb a, fmi_vb b) { return m ? a : b; }
FMI_INLINE bool fmi_is_zerob(fmi_vb a) { return a == 0; }
FMI_INLINE uint32_t fmi_zerosb(fmi_vb a) { return a == 0 ? 1 : 0; }
FMI_INLINE fmi_vi fmi_sumb(fmi_vi sums, fmi_vb a) {
  return fmi_addi(sums, a);
}
FMI_INLINE fmi_vi fmi_slopeb(fmi_vi sums, fmi_vb a) {
  return fmi_addi(sums, a);
}
FMI_INLINE uint32_t fmi_totali(fmi_vi sums) { return (uint32_t)sums; }

#elif FMI_LEVEL == 2
typedef __m128i fmi_vb;
FMI_INLINE fmi_vb fmi_setb(int x) { return _mm_set1_epi8((char)x); }
FMI_INLINE fmi_vb fmi_loadb(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
FMI_INLINE void fmi_storeb(uint8_t *p, fmi_vb a) { _mm_storeu_si128((__m128i *)(void *)p, a); }
FMI_INLINE fmi_vb fmi_addb(fmi_vb a, fmi_vb b) { return _mm_add_epi8(a, b); }
FMI_INLINE fmi_vb fmi_subb(fmi_vb a, fmi_vb b) { return _mm_sub_epi8(a, b); }
FMI_INLINE fmi_vb fmi_absb(fmi_vb a) { return _mm_min_epu8(a, _mm_sub_epi8(_mm_setzero_si128(), a)); }
FMI_INLINE fmi_vb fmi_excessb(fmi_vb a, fmi_vb b) { return _mm_subs_epu8(a, b); }
FMI_INLINE fmi_vb fmi_minb(fmi_vb a, fmi_vb b) { return _mm_min_epu8(a, b); }
FMI_INLINE fmi_vb fmi_maxb(fmi_vb a, fmi_vb b) { return _mm_max_epu8(a, b); }
FMI_INLINE fmi_vb fmi_meanb(fmi_vb a, fmi_vb b) { /* the instruction rounds up */
  return _mm_sub_epi8(_mm_avg_epu8(a, b), _mm_and_si128(_mm_xor_si128(a, b), _mm_set1_epi8(1)));
}
FMI_INLINE fmi_vb fmi_andb(fmi_vb a, fmi_vb b) { return _mm_and_si128(a, b); }
FMI_INLINE fmi_vb fmi_orb(fmi_vb a, fmi_vb b) { return _mm_or_si128(a, b); }
FMI_INLINE fmi_vb fmi_xorb(fmi_vb a, fmi_vb b) { return _mm_xor_si128(a, b); }
FMI_INLINE fmi_vb fmi_eqb(fmi_vb a, fmi_vb b) { return _mm_cmpeq_epi8(a, b); }
FMI_INLINE fmi_vb fmi_pickb(fmi_vb m, fmi_vb a, fmi_vb b) { return _mm_or_si128(_mm_and_si128(m, a), _mm_andnot_si128(m, b)); }
FMI_INLINE uint32_t fmi_zerosb(fmi_vb a) { return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, _mm_setzero_si128())); }
FMI_INLINE bool fmi_is_zerob(fmi_vb a) { return fmi_zerosb(a) == 0xFFFF; }
FMI_INLINE fmi_vi fmi_sumb(fmi_vi sums, fmi_vb a) { return _mm_add_epi32(sums, _mm_sad_epu8(a, _mm_setzero_si128())); }
FMI_INLINE fmi_vi fmi_slopeb(fmi_vi sums, fmi_vb a) {
  __m128i low = _mm_madd_epi16(_mm_unpacklo_epi8(a, _mm_setzero_si128()), _mm_setr_epi16(16, 15, 14, 13, 12, 11, 10, 9));
  __m128i high = _mm_madd_epi16(_mm_unpackhi_epi8(a, _mm_setzero_si128()), _mm_setr_epi16(8, 7, 6, 5, 4, 3, 2, 1));
  return _mm_add_epi32(sums, _mm_add_epi32(low, high));
}
FMI_INLINE uint32_t fmi_totali(fmi_vi sums) {
  sums = _mm_add_epi32(sums, _mm_srli_si128(sums, 8));
  return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_srli_si128(sums, 4)));
}
FMI_INLINE fmi_vb fmi_first_pixel(const uint8_t *p) { int32_t v; memcpy(&v, p, 4); return _mm_cvtsi32_si128(v); }
FMI_INLINE fmi_vb fmi_last_pixel(fmi_vb a) { return _mm_srli_si128(a, 12); }
FMI_INLINE fmi_vb fmi_next_pixels(fmi_vb a, fmi_vb first) { return _mm_or_si128(_mm_slli_si128(a, 4), first); }
FMI_INLINE fmi_vb fmi_load_pixels(const uint8_t *p, size_t apart) {
  __m128i low = _mm_unpacklo_epi32(fmi_first_pixel(p), fmi_first_pixel(p + apart));
  return _mm_unpacklo_epi64(low, _mm_unpacklo_epi32(fmi_first_pixel(p + 2 * apart), fmi_first_pixel(p + 3 * apart)));
}
FMI_INLINE void fmi_store_first(uint8_t *p, fmi_vb a) { int32_t v = _mm_cvtsi128_si32(a); memcpy(p, &v, 4); }
FMI_INLINE void fmi_store_pixels(uint8_t *p, size_t apart, fmi_vb a) {
  fmi_store_first(p, a);
  fmi_store_first(p + apart, _mm_srli_si128(a, 4));
  fmi_store_first(p + 2 * apart, _mm_srli_si128(a, 8));
  fmi_store_first(p + 3 * apart, _mm_srli_si128(a, 12));
}

#elif FMI_LEVEL == 3
typedef __m256i fmi_vb;
FMI_INLINE fmi_vb fmi_setb(int x) { return _mm256_set1_epi8((char)x); }
FMI_INLINE fmi_vb fmi_loadb(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
FMI_INLINE void fmi_storeb(uint8_t *p, fmi_vb a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }
FMI_INLINE fmi_vb fmi_addb(fmi_vb a, fmi_vb b) { return _mm256_add_epi8(a, b); }
FMI_INLINE fmi_vb fmi_subb(fmi_vb a, fmi_vb b) { return _mm256_sub_epi8(a, b); }
FMI_INLINE fmi_vb fmi_absb(fmi_vb a) { return _mm256_abs_epi8(a); }
FMI_INLINE fmi_vb fmi_excessb(fmi_vb a, fmi_vb b) { return _mm256_subs_epu8(a, b); }
FMI_INLINE fmi_vb fmi_minb(fmi_vb a, fmi_vb b) { return _mm256_min_epu8(a, b); }
FMI_INLINE fmi_vb fmi_maxb(fmi_vb a, fmi_vb b) { return _mm256_max_epu8(a, b); }
FMI_INLINE fmi_vb fmi_meanb(fmi_vb a, fmi_vb b) {
  return _mm256_sub_epi8(_mm256_avg_epu8(a, b), _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_set1_epi8(1)));
}
FMI_INLINE fmi_vb fmi_andb(fmi_vb a, fmi_vb b) { return _mm256_and_si256(a, b); }
FMI_INLINE fmi_vb fmi_orb(fmi_vb a, fmi_vb b) { return _mm256_or_si256(a, b); }
FMI_INLINE fmi_vb fmi_xorb(fmi_vb a, fmi_vb b) { return _mm256_xor_si256(a, b); }
FMI_INLINE fmi_vb fmi_eqb(fmi_vb a, fmi_vb b) { return _mm256_cmpeq_epi8(a, b); }
FMI_INLINE fmi_vb fmi_pickb(fmi_vb m, fmi_vb a, fmi_vb b) { /* no _mm256_blendv_epi8: as above */
  return _mm256_or_si256(_mm256_and_si256(m, a), _mm256_andnot_si256(m, b));
}
FMI_INLINE bool fmi_is_zerob(fmi_vb a) { return _mm256_testz_si256(a, a) != 0; }
FMI_INLINE uint32_t fmi_zerosb(fmi_vb a) { return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, _mm256_setzero_si256())); }
FMI_INLINE fmi_vi fmi_sumb(fmi_vi sums, fmi_vb a) { return _mm256_add_epi32(sums, _mm256_sad_epu8(a, _mm256_setzero_si256())); }
FMI_INLINE fmi_vi fmi_slopeb(fmi_vi sums, fmi_vb a) {
  __m256i factors = _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9,
                                     8, 7, 6, 5, 4, 3, 2, 1);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(a, factors), _mm256_set1_epi16(1)));
}
FMI_INLINE uint32_t fmi_totali(fmi_vi sums) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  half = _mm_add_epi32(half, _mm_srli_si128(half, 8));
  return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(half, _mm_srli_si128(half, 4)));
}

#elif FMI_LEVEL == 5
typedef uint8x16_t fmi_vb;
FMI_INLINE fmi_vb fmi_setb(int x) { return vdupq_n_u8((uint8_t)x); }
FMI_INLINE fmi_vb fmi_loadb(const uint8_t *p) { return vld1q_u8(p); }
FMI_INLINE void fmi_storeb(uint8_t *p, fmi_vb a) { vst1q_u8(p, a); }
FMI_INLINE fmi_vb fmi_addb(fmi_vb a, fmi_vb b) { return vaddq_u8(a, b); }
FMI_INLINE fmi_vb fmi_subb(fmi_vb a, fmi_vb b) { return vsubq_u8(a, b); }
FMI_INLINE fmi_vb fmi_absb(fmi_vb a) { return vreinterpretq_u8_s8(vabsq_s8(vreinterpretq_s8_u8(a))); }
FMI_INLINE fmi_vb fmi_excessb(fmi_vb a, fmi_vb b) { return vqsubq_u8(a, b); }
FMI_INLINE fmi_vb fmi_minb(fmi_vb a, fmi_vb b) { return vminq_u8(a, b); }
FMI_INLINE fmi_vb fmi_maxb(fmi_vb a, fmi_vb b) { return vmaxq_u8(a, b); }
FMI_INLINE fmi_vb fmi_meanb(fmi_vb a, fmi_vb b) { return vhaddq_u8(a, b); }
FMI_INLINE fmi_vb fmi_andb(fmi_vb a, fmi_vb b) { return vandq_u8(a, b); }
FMI_INLINE fmi_vb fmi_orb(fmi_vb a, fmi_vb b) { return vorrq_u8(a, b); }
FMI_INLINE fmi_vb fmi_xorb(fmi_vb a, fmi_vb b) { return veorq_u8(a, b); }
FMI_INLINE fmi_vb fmi_eqb(fmi_vb a, fmi_vb b) { return vceqq_u8(a, b); }
FMI_INLINE fmi_vb fmi_pickb(fmi_vb m, fmi_vb a, fmi_vb b) { return vbslq_u8(m, a, b); }
FMI_INLINE bool fmi_is_zerob(fmi_vb a) { return vmaxvq_u8(a) == 0; }
FMI_INLINE uint32_t fmi_zerosb(fmi_vb a) {
  static const uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t bits = vandq_u8(vceqzq_u8(a), vld1q_u8(bit));
  return (uint32_t)vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
}
FMI_INLINE fmi_vi fmi_sumb(fmi_vi sums, fmi_vb a) {
  return vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sums), vpaddlq_u8(a)));
}
FMI_INLINE fmi_vi fmi_slopeb(fmi_vi sums, fmi_vb a) {
  static const uint8_t factors[16] = {16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
  uint8x16_t f = vld1q_u8(factors);
  uint32x4_t sum = vpadalq_u16(vreinterpretq_u32_s32(sums), vmull_u8(vget_low_u8(a), vget_low_u8(f)));
  return vreinterpretq_s32_u32(vpadalq_u16(sum, vmull_u8(vget_high_u8(a), vget_high_u8(f))));
}
FMI_INLINE uint32_t fmi_totali(fmi_vi sums) { return vaddvq_u32(vreinterpretq_u32_s32(sums)); }
FMI_INLINE fmi_vb fmi_first_pixel(const uint8_t *p) {
  return vreinterpretq_u8_u32(vsetq_lane_u32(fmi_le32(p), vdupq_n_u32(0), 0));
}
FMI_INLINE fmi_vb fmi_last_pixel(fmi_vb a) { return vextq_u8(a, vdupq_n_u8(0), 12); }
FMI_INLINE fmi_vb fmi_next_pixels(fmi_vb a, fmi_vb first) { return vorrq_u8(vextq_u8(vdupq_n_u8(0), a, 12), first); }
FMI_INLINE fmi_vb fmi_load_pixels(const uint8_t *p, size_t apart) {
  const uint32_t v[4] = {fmi_le32(p), fmi_le32(p + apart), fmi_le32(p + 2 * apart), fmi_le32(p + 3 * apart)};
  return vreinterpretq_u8_u32(vld1q_u32(v));
}
FMI_INLINE void fmi_store_pixels(uint8_t *p, size_t apart, fmi_vb a) {
  uint32_t v[4];
  vst1q_u32(v, vreinterpretq_u32_u8(a));
  for (size_t i = 0; i < 4; i++) memcpy(p + i * apart, &v[i], 4);
}
#endif
#endif

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_SHORTS
/* ---- block: the vocabulary of 16-bit integers at each level ---- */

#if FMI_LEVEL == 1
typedef int16_t fmi_vs;
typedef int32_t fmi_vw;
FMI_INLINE fmi_vs fmi_sets(int x) { return (int16_t)x; }
FMI_INLINE fmi_vs fmi_loads(const int16_t *p) { return *p; }
FMI_INLINE void fmi_stores(int16_t *p, fmi_vs a) { *p = a; }
FMI_INLINE fmi_vs fmi_adds(fmi_vs a, fmi_vs b) { return (int16_t)(a + b); }
FMI_INLINE fmi_vs fmi_subs(fmi_vs a, fmi_vs b) { return (int16_t)(a - b); }
FMI_INLINE fmi_vs fmi_highs(fmi_vs a, fmi_vs b) { return (int16_t)((a * b) >> 16); }
FMI_INLINE fmi_vs fmi_downs(fmi_vs a, int n) { return (int16_t)(a >> n); }
FMI_INLINE fmi_vw fmi_products(fmi_vs a, int p, fmi_vs b, int q) { return a * p + b * q; }
FMI_INLINE fmi_vw fmi_addw(fmi_vw a, fmi_vw b) { return a + b; }
FMI_INLINE fmi_vw fmi_subw(fmi_vw a, fmi_vw b) { return a - b; }
FMI_INLINE fmi_vs fmi_packw(fmi_vw a, int n) {
  return (int16_t)fmi_clamp_int(a >> n, -32768, 32767);
}
FMI_INLINE fmi_vs fmi_loadbs(const uint8_t *p) { return *p; }
FMI_INLINE void fmi_load_pairs(const uint8_t *p, fmi_vs *even, fmi_vs *odd) { *even = p[0]; *odd = p[1]; }
FMI_INLINE void fmi_store_pairs(uint8_t *p, fmi_vs even, fmi_vs odd) { p[0] = (uint8_t)even; p[1] = (uint8_t)odd; }
FMI_INLINE void fmi_store_rgb(uint8_t *p, const fmi_vs rgb[6]) {
  for (int i = 0; i < 3; i++) {
    p[i] = (uint8_t)fmi_clamp_int(rgb[2 * i], 0, 255);
    p[3 + i] = (uint8_t)fmi_clamp_int(rgb[2 * i + 1], 0, 255);
  }
}
FMI_INLINE fmi_vs fmi_load_row(const int16_t *p) { return *p; }
FMI_INLINE void fmi_store_turned(int16_t *to, const fmi_vs x[8]) {
  for (int i = 0; i < 8; i++) to[i] = x[i];
}
FMI_INLINE void fmi_store_samples(uint8_t *const *to, const size_t *stride, int row, const fmi_vs x[8]) {
  uint8_t *out = *to + (size_t)row * *stride;
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)fmi_clamp_int(x[i] + 128, 0, 255);
}

#elif FMI_LEVEL == 2
typedef __m128i fmi_vs;
typedef struct fmi_vw { __m128i low, high; } fmi_vw;
FMI_INLINE fmi_vs fmi_sets(int x) { return _mm_set1_epi16((int16_t)x); }
FMI_INLINE fmi_vs fmi_loads(const int16_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
FMI_INLINE void fmi_stores(int16_t *p, fmi_vs a) { _mm_storeu_si128((__m128i *)(void *)p, a); }
FMI_INLINE fmi_vs fmi_adds(fmi_vs a, fmi_vs b) { return _mm_add_epi16(a, b); }
FMI_INLINE fmi_vs fmi_subs(fmi_vs a, fmi_vs b) { return _mm_sub_epi16(a, b); }
FMI_INLINE fmi_vs fmi_highs(fmi_vs a, fmi_vs b) { return _mm_mulhi_epi16(a, b); }
FMI_INLINE fmi_vs fmi_downs(fmi_vs a, int n) { return _mm_srai_epi16(a, n); }
FMI_INLINE fmi_vw fmi_products(fmi_vs a, int p, fmi_vs b, int q) {
  __m128i factors = _mm_set1_epi32((int32_t)((uint32_t)q << 16 | ((uint32_t)p & 0xFFFF)));
  fmi_vw sum;
  sum.low = _mm_madd_epi16(_mm_unpacklo_epi16(a, b), factors);
  sum.high = _mm_madd_epi16(_mm_unpackhi_epi16(a, b), factors);
  return sum;
}
FMI_INLINE fmi_vw fmi_addw(fmi_vw a, fmi_vw b) {
  a.low = _mm_add_epi32(a.low, b.low);
  a.high = _mm_add_epi32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vw fmi_subw(fmi_vw a, fmi_vw b) {
  a.low = _mm_sub_epi32(a.low, b.low);
  a.high = _mm_sub_epi32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vs fmi_packw(fmi_vw a, int n) {
  return _mm_packs_epi32(_mm_srai_epi32(a.low, n), _mm_srai_epi32(a.high, n));
}
FMI_INLINE fmi_vs fmi_loadbs(const uint8_t *p) {
  return _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)p), _mm_setzero_si128());
}
FMI_INLINE void fmi_load_pairs(const uint8_t *p, fmi_vs *even, fmi_vs *odd) {
  __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
  *even = _mm_and_si128(bytes, _mm_set1_epi16(255));
  *odd = _mm_srli_epi16(bytes, 8);
}
FMI_INLINE void fmi_store_pairs(uint8_t *p, fmi_vs even, fmi_vs odd) {
  _mm_storeu_si128((__m128i *)(void *)p, _mm_or_si128(even, _mm_slli_epi16(odd, 8)));
}
FMI_INLINE void fmi_store_rgb(uint8_t *p, const fmi_vs rgb[6]) {
  const __m128i zero = _mm_setzero_si128(), lower = _mm_set_epi32(0, -1, 0, -1), six = _mm_set_epi32(0, 0, 0xFFFF, -1);
  __m128i r = _mm_packus_epi16(rgb[0], rgb[1]), g = _mm_packus_epi16(rgb[2], rgb[3]), b = _mm_packus_epi16(rgb[4], rgb[5]), q[4];
  r = _mm_unpacklo_epi8(r, _mm_srli_si128(r, 8));
  g = _mm_unpacklo_epi8(g, _mm_srli_si128(g, 8));
  b = _mm_unpacklo_epi8(b, _mm_srli_si128(b, 8));
  __m128i rg = _mm_unpacklo_epi8(r, g), b0 = _mm_unpacklo_epi8(b, zero);
  q[0] = _mm_unpacklo_epi16(rg, b0);
  q[1] = _mm_unpackhi_epi16(rg, b0);
  rg = _mm_unpackhi_epi8(r, g);
  b0 = _mm_unpackhi_epi8(b, zero);
  q[2] = _mm_unpacklo_epi16(rg, b0);
  q[3] = _mm_unpackhi_epi16(rg, b0);
  for (int i = 0; i < 4; i++) { /* four pixels of 4 bytes: two of 6, then 12 in a row */
    __m128i two = _mm_or_si128(_mm_and_si128(q[i], lower), _mm_srli_epi64(_mm_andnot_si128(lower, q[i]), 8));
    q[i] = _mm_or_si128(_mm_and_si128(two, six), _mm_slli_si128(_mm_srli_si128(two, 8), 6));
  }
  _mm_storeu_si128((__m128i *)(void *)p, _mm_or_si128(q[0], _mm_slli_si128(q[1], 12)));
  _mm_storeu_si128((__m128i *)(void *)(p + 16), _mm_or_si128(_mm_srli_si128(q[1], 4), _mm_slli_si128(q[2], 8)));
  _mm_storeu_si128((__m128i *)(void *)(p + 32), _mm_or_si128(_mm_srli_si128(q[2], 8), _mm_slli_si128(q[3], 4)));
}
FMI_INLINE fmi_vs fmi_load_row(const int16_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
FMI_INLINE fmi_vs fmi_low_zip(fmi_vs a, fmi_vs b) { return _mm_unpacklo_epi16(a, b); }
FMI_INLINE fmi_vs fmi_high_zip(fmi_vs a, fmi_vs b) { return _mm_unpackhi_epi16(a, b); }
FMI_INLINE void fmi_store_row(int16_t *to, fmi_vs a) { _mm_storeu_si128((__m128i *)(void *)to, a); }
FMI_INLINE void fmi_store_sample_rows(uint8_t *const *to, const size_t *stride, size_t row, fmi_vs a, fmi_vs b) {
  __m128i bytes = _mm_xor_si128(_mm_packs_epi16(a, b), _mm_set1_epi8(-128));
  uint8_t *out = *to + row * *stride;
  _mm_storel_epi64((__m128i *)(void *)out, bytes);
  _mm_storel_epi64((__m128i *)(void *)(out + *stride), _mm_unpackhi_epi64(bytes, bytes));
}

#elif FMI_LEVEL == 3
typedef __m256i fmi_vs;
typedef struct fmi_vw { __m256i low, high; } fmi_vw;
FMI_INLINE fmi_vs fmi_sets(int x) { return _mm256_set1_epi16((int16_t)x); }
FMI_INLINE fmi_vs fmi_loads(const int16_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
FMI_INLINE void fmi_stores(int16_t *p, fmi_vs a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }
FMI_INLINE fmi_vs fmi_adds(fmi_vs a, fmi_vs b) { return _mm256_add_epi16(a, b); }
FMI_INLINE fmi_vs fmi_subs(fmi_vs a, fmi_vs b) { return _mm256_sub_epi16(a, b); }
FMI_INLINE fmi_vs fmi_highs(fmi_vs a, fmi_vs b) { return _mm256_mulhi_epi16(a, b); }
FMI_INLINE fmi_vs fmi_downs(fmi_vs a, int n) { return _mm256_srai_epi16(a, n); }
FMI_INLINE fmi_vw fmi_products(fmi_vs a, int p, fmi_vs b, int q) {
  __m256i factors = _mm256_set1_epi32((int32_t)((uint32_t)q << 16 | ((uint32_t)p & 0xFFFF)));
  fmi_vw sum;
  sum.low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), factors);
  sum.high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), factors);
  return sum;
}
FMI_INLINE fmi_vw fmi_addw(fmi_vw a, fmi_vw b) {
  a.low = _mm256_add_epi32(a.low, b.low);
  a.high = _mm256_add_epi32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vw fmi_subw(fmi_vw a, fmi_vw b) {
  a.low = _mm256_sub_epi32(a.low, b.low);
  a.high = _mm256_sub_epi32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vs fmi_packw(fmi_vw a, int n) {
  return _mm256_packs_epi32(_mm256_srai_epi32(a.low, n), _mm256_srai_epi32(a.high, n));
}
FMI_INLINE fmi_vs fmi_loadbs(const uint8_t *p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}
FMI_INLINE void fmi_load_pairs(const uint8_t *p, fmi_vs *even, fmi_vs *odd) {
  __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
  *even = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
  *odd = _mm256_srli_epi16(bytes, 8);
}
FMI_INLINE void fmi_store_pairs(uint8_t *p, fmi_vs even, fmi_vs odd) {
  _mm256_storeu_si256((__m256i *)(void *)p, _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
}
/* The bytes of each half at the 16 places. */
FMI_INLINE __m256i fmi_places_avx2(__m256i bytes, __m128i places) {
  return _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(places));
}
FMI_INLINE void fmi_store_rgb(uint8_t *p, const fmi_vs rgb[6]) {
  __m256i r = _mm256_packus_epi16(rgb[0], rgb[1]), g = _mm256_packus_epi16(rgb[2], rgb[3]), b = _mm256_packus_epi16(rgb[4], rgb[5]);
  __m256i first = fmi_places_avx2(r, _mm_setr_epi8(0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1, -1, 10));
  first = _mm256_or_si256(first, fmi_places_avx2(g, _mm_setr_epi8(-1, 0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1, -1)));
  first = _mm256_or_si256(first, fmi_places_avx2(b, _mm_setr_epi8(-1, -1, 0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1)));
  __m256i second = fmi_places_avx2(r, _mm_setr_epi8(-1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1, 5, -1));
  second = _mm256_or_si256(second, fmi_places_avx2(g, _mm_setr_epi8(10, -1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1, 5)));
  second = _mm256_or_si256(second, fmi_places_avx2(b, _mm_setr_epi8(-1, 10, -1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1)));
  __m256i third = fmi_places_avx2(r, _mm_setr_epi8(-1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15, -1, -1));
  third = _mm256_or_si256(third, fmi_places_avx2(g, _mm_setr_epi8(-1, -1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15, -1)));
  third = _mm256_or_si256(third, fmi_places_avx2(b, _mm_setr_epi8(5, -1, -1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15)));
  _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute2x128_si256(first, second, 0x20));
  _mm256_storeu_si256((__m256i *)(void *)(p + 32), _mm256_permute2x128_si256(third, first, 0x30));
  _mm256_storeu_si256((__m256i *)(void *)(p + 64), _mm256_permute2x128_si256(second, third, 0x31));
}
FMI_INLINE fmi_vs fmi_load_row(const int16_t *p) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)),
                                 _mm_loadu_si128((const __m128i *)(const void *)(p + 64)), 1);
}
FMI_INLINE fmi_vs fmi_low_zip(fmi_vs a, fmi_vs b) { return _mm256_unpacklo_epi16(a, b); }
FMI_INLINE fmi_vs fmi_high_zip(fmi_vs a, fmi_vs b) { return _mm256_unpackhi_epi16(a, b); }
FMI_INLINE void fmi_store_row(int16_t *to, fmi_vs a) {
  _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(a));
  _mm_storeu_si128((__m128i *)(void *)(to + 64), _mm256_extracti128_si256(a, 1));
}
FMI_INLINE void fmi_store_sample_rows(uint8_t *const *to, const size_t *stride, size_t row, fmi_vs a, fmi_vs b) {
  __m256i both = _mm256_xor_si256(_mm256_packs_epi16(a, b), _mm256_set1_epi8(-128));
  for (int i = 0; i < 2; i++) {
    __m128i bytes = i ? _mm256_extracti128_si256(both, 1) : _mm256_castsi256_si128(both);
    uint8_t *out = to[i] + row * stride[i];
    _mm_storel_epi64((__m128i *)(void *)out, bytes);
    _mm_storel_epi64((__m128i *)(void *)(out + stride[i]), _mm_unpackhi_epi64(bytes, bytes));
  }
}

#elif FMI_LEVEL == 5
typedef int16x8_t fmi_vs;
typedef struct fmi_vw { int32x4_t low, high; } fmi_vw;
FMI_INLINE fmi_vs fmi_sets(int x) { return vdupq_n_s16((int16_t)x); }
FMI_INLINE fmi_vs fmi_loads(const int16_t *p) { return vld1q_s16(p); }
FMI_INLINE void fmi_stores(int16_t *p, fmi_vs a) { vst1q_s16(p, a); }
FMI_INLINE fmi_vs fmi_adds(fmi_vs a, fmi_vs b) { return vaddq_s16(a, b); }
FMI_INLINE fmi_vs fmi_subs(fmi_vs a, fmi_vs b) { return vsubq_s16(a, b); }
FMI_INLINE fmi_vs fmi_highs(fmi_vs a, fmi_vs b) {
  int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b)), high = vmull_s16(vget_high_s16(a), vget_high_s16(b));
  return vcombine_s16(vshrn_n_s32(low, 16), vshrn_n_s32(high, 16));
}
FMI_INLINE fmi_vs fmi_downs(fmi_vs a, int n) { return vshlq_s16(a, vdupq_n_s16((int16_t)-n)); }
FMI_INLINE fmi_vw fmi_products(fmi_vs a, int p, fmi_vs b, int q) {
  fmi_vw sum;
  sum.low = vmlal_n_s16(vmull_n_s16(vget_low_s16(a), (int16_t)p), vget_low_s16(b), (int16_t)q);
  sum.high = vmlal_n_s16(vmull_n_s16(vget_high_s16(a), (int16_t)p), vget_high_s16(b), (int16_t)q);
  return sum;
}
FMI_INLINE fmi_vw fmi_addw(fmi_vw a, fmi_vw b) {
  a.low = vaddq_s32(a.low, b.low);
  a.high = vaddq_s32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vw fmi_subw(fmi_vw a, fmi_vw b) {
  a.low = vsubq_s32(a.low, b.low);
  a.high = vsubq_s32(a.high, b.high);
  return a;
}
FMI_INLINE fmi_vs fmi_packw(fmi_vw a, int n) {
  int32x4_t down = vdupq_n_s32(-n);
  return vcombine_s16(vqmovn_s32(vshlq_s32(a.low, down)), vqmovn_s32(vshlq_s32(a.high, down)));
}
FMI_INLINE fmi_vs fmi_loadbs(const uint8_t *p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }
FMI_INLINE void fmi_load_pairs(const uint8_t *p, fmi_vs *even, fmi_vs *odd) {
  uint8x8x2_t bytes = vld2_u8(p);
  *even = vreinterpretq_s16_u16(vmovl_u8(bytes.val[0]));
  *odd = vreinterpretq_s16_u16(vmovl_u8(bytes.val[1]));
}
FMI_INLINE void fmi_store_pairs(uint8_t *p, fmi_vs even, fmi_vs odd) {
  uint8x8x2_t bytes;
  bytes.val[0] = vqmovun_s16(even);
  bytes.val[1] = vqmovun_s16(odd);
  vst2_u8(p, bytes);
}
FMI_INLINE void fmi_store_rgb(uint8_t *p, const fmi_vs rgb[6]) {
  uint8x16x3_t bytes;
  for (int i = 0; i < 3; i++) {
    uint8x8_t even = vqmovun_s16(rgb[2 * i]), odd = vqmovun_s16(rgb[2 * i + 1]);
    bytes.val[i] = vcombine_u8(vzip1_u8(even, odd), vzip2_u8(even, odd));
  }
  vst3q_u8(p, bytes);
}
FMI_INLINE fmi_vs fmi_load_row(const int16_t *p) { return vld1q_s16(p); }
FMI_INLINE fmi_vs fmi_low_zip(fmi_vs a, fmi_vs b) { return vzip1q_s16(a, b); }
FMI_INLINE fmi_vs fmi_high_zip(fmi_vs a, fmi_vs b) { return vzip2q_s16(a, b); }
FMI_INLINE void fmi_store_row(int16_t *to, fmi_vs a) { vst1q_s16(to, a); }
FMI_INLINE void fmi_store_sample_rows(uint8_t *const *to, const size_t *stride, size_t row, fmi_vs a, fmi_vs b) {
  uint8_t *out = *to + row * *stride;
  vst1_u8(out, veor_u8(vreinterpret_u8_s8(vqmovn_s16(a)), vdup_n_u8(128)));
  vst1_u8(out + *stride, veor_u8(vreinterpret_u8_s8(vqmovn_s16(b)), vdup_n_u8(128)));
}
#endif

#if FMI_LEVEL != 1
/* Three times this transposes the 8 x 8 values of each half of 128 bits: an index' upper half becomes its lower one, bit by bit.
   Written out, because gcc -O2 leaves such loops as they are. */
FMI_INLINE void fmi_shuffle(fmi_vs out[8], const fmi_vs in[8]) {
  out[0] = fmi_low_zip(in[0], in[4]);
  out[1] = fmi_high_zip(in[0], in[4]);
  out[2] = fmi_low_zip(in[1], in[5]);
  out[3] = fmi_high_zip(in[1], in[5]);
  out[4] = fmi_low_zip(in[2], in[6]);
  out[5] = fmi_high_zip(in[2], in[6]);
  out[6] = fmi_low_zip(in[3], in[7]);
  out[7] = fmi_high_zip(in[3], in[7]);
}
FMI_INLINE void fmi_turn(fmi_vs out[8], const fmi_vs in[8]) {
  fmi_vs once[8], twice[8];
  fmi_shuffle(once, in);
  fmi_shuffle(twice, once);
  fmi_shuffle(out, twice);
}
FMI_INLINE void fmi_store_turned(int16_t *to, const fmi_vs x[8]) {
  fmi_vs rows[8];
  fmi_turn(rows, x);
  for (int i = 0; i < 8; i++) fmi_store_row(to + 8 * i, rows[i]);
}
FMI_INLINE void fmi_store_samples(uint8_t *const *to, const size_t *stride, int row, const fmi_vs x[8]) {
  fmi_vs rows[8];
  fmi_turn(rows, x);
  for (int i = 0; i < 8; i += 2) fmi_store_sample_rows(to, stride, (size_t)(row + i), rows[i], rows[i + 1]);
}
#endif
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)

/* ============================================================ [FM:errors] ===========================================
   Failure is reported in one place, fm_set_error, and carried by fmi_env, which also knows the allocator and the limits of the
   call. Messages are built without stdio and without a locale. Test: tests/test_errors.c */

FM_API const char *fm_version(void) { return FM_VERSION; }

FM_API const char *fm_status_words(fm_status status) {
#define FMI_STATUS_WORDS(name, words) case name: return words;
  switch (status) { FM_STATUS_LIST(FMI_STATUS_WORDS) case FM_STATUS_COUNT: break; }
#undef FMI_STATUS_WORDS
  return "unknown status";
}

/* The longest length <= size at which a UTF-8 text can be cut between characters. */
FMI_FN size_t fmi_whole_characters(const char *text, size_t size) {
  size_t start = size;
  while (start > 0 && size - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
  if (start == 0 || !((unsigned char)text[start - 1] & 0x80)) return size; /* ASCII before it, or no UTF-8 */
  unsigned char first = (unsigned char)text[start - 1];
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  return start - 1 + length == size ? size : start - 1;
}

/* The end of a text that is longer than room, from a whole character on. */
FMI_FN const char *fmi_text_tail(const char *text, size_t room) {
  size_t length = strlen(text);
  const char *tail = length > room ? text + (length - room) : text;
  while (length > room && ((unsigned char)*tail & 0xC0) == 0x80) tail++;
  return tail;
}

/* A subset of printf: %s %c %d %u %x %zu %llu (with 0 and a width for the integers) and %%. Always ends out with 0; returns the
   length that there would be with enough room. A text that is cut keeps whole UTF-8 characters. */
FMI_FN size_t fmi_format_list(char *out, size_t room, const char *format, va_list list) {
  size_t n = 0;
  for (const char *f = format; *f; f++) {
    char digits[24];
    const char *piece = f;
    size_t length = 1;
    if (*f == '%') {
      size_t width = 0;
      char pad = ' ';
      uint64_t value = 0;
      bool negative = false, number = true;
      f++;
      if (*f == '0') pad = *f++;
      while (*f >= '0' && *f <= '9') width = width * 10 + (size_t)(*f++ - '0');
      switch (*f) {
        case 'd': {
          int v = va_arg(list, int);
          negative = v < 0;
          value = negative ? 0u - (uint64_t)(int64_t)v : (uint64_t)v;
          break;
        }
        case 'u': case 'x': value = va_arg(list, unsigned); break;
        case 'z': f++; value = va_arg(list, size_t); break;
        case 'l': f += 2; value = va_arg(list, unsigned long long); break;
        case 'c': digits[0] = (char)va_arg(list, int); piece = digits; number = false; break;
        case 's':
          piece = va_arg(list, const char *);
          if (!piece) piece = "(none)";
          length = strlen(piece);
          number = false;
          break;
        default: piece = f; number = false; break; /* %% */
      }
      if (number) {
        unsigned base = *f == 'x' ? 16 : 10;
        char *p = digits + sizeof digits;
        do { *--p = "0123456789abcdef"[value % base]; value /= base; } while (value);
        if (negative && pad == ' ') *--p = '-';
        while ((size_t)(digits + sizeof digits - p) + (negative && pad == '0') < width && p > digits + 1) *--p = pad;
        if (negative && pad == '0') *--p = '-';
        piece = p;
        length = (size_t)(digits + sizeof digits - p);
      }
    }
    for (size_t i = 0; i < length; i++, n++)
      if (n + 1 < room) out[n] = piece[i];
  }
  if (room) {
    size_t end = n < room ? n : room - 1;
    if (end < n) end = fmi_whole_characters(out, end);
    out[end] = 0;
  }
  return n;
}

FMI_FN FMI_PRINTF(3, 4) size_t fmi_format(char *out, size_t room, const char *format, ...) {
  va_list list;
  va_start(list, format);
  size_t n = fmi_format_list(out, room, format, list);
  va_end(list);
  return n;
}

FM_API bool fm_set_error(fm_error *error, fm_status status, const char *message) {
  if (error) {
    char copy[sizeof error->message]; /* message may be error->message itself */
    fmi_format(copy, sizeof copy, "%s", message);
    memset(error, 0, sizeof *error);
    error->status = status;
    error->offset = FM_NO_OFFSET;
    memcpy(error->message, copy, sizeof copy);
  }
  return false;
}

/* A block of memory in a pool; the payload follows. Four words, 16 or 32 bytes, keep malloc's alignment of 16. */
typedef struct fmi_block fmi_block;
struct fmi_block {
  fmi_block *next, **link;
  size_t size, padding;
};

/* Everything that is freed together. All zero is an empty pool. A pool with blocks is moved by fmi_move_pool only. */
typedef struct fmi_pool { fmi_block *first; } fmi_pool;

/* One public call: who allocates, what it may use, where its failure goes. Lives on the stack of the public function; passed
   down everywhere. `temp` dies with the call; `keep` is what becomes the result. */
typedef struct fmi_env {
  const fm_common *common;   /* never NULL */
  fm_allocator allocator;
  fm_limits limits;
  fm_error *error;           /* never NULL */
  const char *file;          /* the name that messages carry; NULL: none */
  fm_simd simd;              /* never FM_SIMD_BEST */
  size_t used, peak, blocks;
  int workers;               /* 0: not counted yet */
  fmi_pool temp, keep;
  char **warnings;           /* in keep */
  size_t warning_count;
  uint64_t float_state;
  fm_error own_error;
  fm_common own_common;
} fmi_env;

/* Records a failure; the first one stands, what follows is its consequence. Returns false. */
FMI_FN bool fmi_record(fmi_env *env, fm_status status, int line, uint64_t offset, const char *format, va_list list) {
  char text[sizeof env->error->message], what[sizeof env->error->message];
  if (env->error->status != FM_OK) return false;
  fmi_format_list(what, sizeof what, format, list);
  const char *file = env->file ? fmi_text_tail(env->file, 400) : "", *dots = env->file && file != env->file ? "..." : "";
  if (env->file && line) fmi_format(text, sizeof text, "%s%s: line %d: %s", dots, file, line, what);
  else if (env->file && offset != FM_NO_OFFSET)
    fmi_format(text, sizeof text, "%s%s: byte %llu: %s", dots, file, (unsigned long long)offset, what);
  else if (env->file) fmi_format(text, sizeof text, "%s%s: %s", dots, file, what);
  else fmi_format(text, sizeof text, "%s", what);
  fm_set_error(env->error, status, text);
  env->error->line = line;
  env->error->offset = offset;
  if (env->file)
    fmi_format(env->error->file, sizeof env->error->file, "%s", fmi_text_tail(env->file, sizeof env->error->file - 1));
  return false;
}
FMI_FN FMI_PRINTF(3, 4) bool fmi_fail(fmi_env *env, fm_status status, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fmi_record(env, status, 0, FM_NO_OFFSET, format, list);
  va_end(list);
  return false;
}
FMI_FN FMI_PRINTF(4, 5) bool fmi_fail_byte(fmi_env *env, fm_status status, uint64_t offset, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fmi_record(env, status, 0, offset, format, list);
  va_end(list);
  return false;
}
FMI_FN FMI_PRINTF(4, 5) bool fmi_fail_line(fmi_env *env, fm_status status, int line, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fmi_record(env, status, line, FM_NO_OFFSET, format, list);
  va_end(list);
  return false;
}

/* ============================================================ [FM:memory] ===========================================
   Pools over the caller's allocator: every block hangs in a pool, a failed call frees its pools and nothing can leak. Limits on
   bytes and blocks are kept here. Trusts: the allocator. Test: tests/test_memory.c */

FMI_FN void *fmi_default_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  (void)user;
  (void)old_size;
  if (new_size) return FACEMORPH_REALLOC(memory, new_size);
  FACEMORPH_FREE(memory);
  return NULL;
}

/* size 0 gives a valid, empty block. Contents are undefined. NULL: the failure is recorded. */
FMI_FN void *fmi_alloc(fmi_env *env, fmi_pool *pool, size_t count, size_t size) {
  size_t bytes = fmi_add_size(fmi_mul_size(count, size), sizeof(fmi_block));
  if (env->blocks >= env->limits.allocations || bytes > env->limits.memory || env->used > env->limits.memory - bytes) {
    fmi_fail(
        env, FM_ERROR_LIMIT,
        "needs %llu more bytes, over the limit of %llu bytes in %llu blocks; use smaller files, or raise fm_limits.memory or .allocations",
        (unsigned long long)bytes, (unsigned long long)env->limits.memory, (unsigned long long)env->limits.allocations);
    return NULL;
  }
  fmi_block *block = (fmi_block *)env->allocator.resize(env->allocator.user, NULL, 0, bytes);
  if (!block) {
    fmi_fail(env, FM_ERROR_MEMORY, "no memory is left for %llu more bytes; close other programs, or use smaller files",
             (unsigned long long)bytes);
    return NULL;
  }
  block->size = bytes;
  block->link = &pool->first;
  block->next = pool->first;
  if (block->next) block->next->link = &block->next;
  pool->first = block;
  env->used += bytes;
  env->blocks++;
  env->peak = fmi_max_size(env->peak, env->used);
  return block + 1;
}
FMI_FN void *fmi_alloc_zero(fmi_env *env, fmi_pool *pool, size_t count, size_t size) {
  void *p = fmi_alloc(env, pool, count, size);
  if (p) memset(p, 0, count * size);
  return p;
}

/* Resizes a block (NULL: a new one) and keeps its contents. NULL: the failure is recorded, the old block lives on. */
FMI_FN void *fmi_resize(fmi_env *env, fmi_pool *pool, void *memory, size_t count, size_t size) {
  if (!memory) return fmi_alloc(env, pool, count, size);
  fmi_block *block = (fmi_block *)memory - 1;
  size_t old = block->size, bytes = fmi_add_size(fmi_mul_size(count, size), sizeof(fmi_block));
  if (bytes > env->limits.memory || env->used - fmi_min_size(env->used, old) > env->limits.memory - bytes) {
    fmi_fail(
        env, FM_ERROR_LIMIT,
        "needs %llu bytes in one block, over the limit of %llu bytes; use smaller files, or raise fm_limits.memory",
        (unsigned long long)bytes, (unsigned long long)env->limits.memory);
    return NULL;
  }
  fmi_block **link = block->link;
  block = (fmi_block *)env->allocator.resize(env->allocator.user, block, old, bytes);
  if (!block) {
    fmi_fail(env, FM_ERROR_MEMORY, "no memory is left for %llu more bytes; close other programs, or use smaller files",
             (unsigned long long)bytes);
    return NULL;
  }
  *link = block; /* it may have moved */
  if (block->next) block->next->link = &block->next;
  block->size = bytes;
  env->used = env->used - fmi_min_size(env->used, old) + bytes;
  env->peak = fmi_max_size(env->peak, env->used);
  return block + 1;
}

FMI_FN void fmi_release(fmi_env *env, void *memory) {
  if (!memory) return;
  fmi_block *block = (fmi_block *)memory - 1;
  *block->link = block->next;
  if (block->next) block->next->link = block->link;
  env->used -= fmi_min_size(env->used, block->size); /* blocks of earlier calls were counted there */
  env->blocks -= env->blocks > 0;
  env->allocator.resize(env->allocator.user, block, block->size, 0);
}

/* Frees all of a pool; env may be NULL where nobody counts any more. */
FMI_FN void fmi_free_pool(fmi_env *env, const fm_allocator *allocator, fmi_pool *pool) {
  while (pool->first) {
    fmi_block *block = pool->first;
    pool->first = block->next;
    if (env) {
      env->used -= fmi_min_size(env->used, block->size);
      env->blocks -= env->blocks > 0;
    }
    allocator->resize(allocator->user, block, block->size, 0);
  }
}

/* All blocks of `from` go to the empty pool `to`. */
FMI_FN void fmi_move_pool(fmi_pool *to, fmi_pool *from) {
  to->first = from->first;
  if (to->first) to->first->link = &to->first;
  from->first = NULL;
}

/* Begins a public call: resolves the defaults, clears the error, takes over the floating-point state. env->error says whether the
   call may go on. */
FMI_FN void fmi_begin(fmi_env *env, const fm_common *common, fm_error *error, const char *file) {
  memset(env, 0, sizeof *env);
  env->common = common ? common : &env->own_common;
  env->error = error ? error : &env->own_error;
  env->file = file;
  memset(env->error, 0, sizeof *env->error);
  env->error->offset = FM_NO_OFFSET;
  if (env->common->allocator && env->common->allocator->resize) env->allocator = *env->common->allocator;
  else env->allocator.resize = fmi_default_resize, env->allocator.thread_safe = true;
  if (env->common->limits) env->limits = *env->common->limits;
  if (!env->limits.memory) env->limits.memory = (size_t)900 << 20;
  if (!env->limits.allocations) env->limits.allocations = (size_t)1 << 20;
  if (!env->limits.vertices) env->limits.vertices = (size_t)1 << 24;
  if (!env->limits.image_side) env->limits.image_side = 16384;
  if (!env->limits.node_depth) env->limits.node_depth = 64;
  env->simd = env->common->simd != FM_SIMD_BEST ? env->common->simd : fm_best_simd();
  if (!fmi_has_simd(env->simd)) {
    fmi_fail(env, FM_ERROR_ARGUMENT, "this build or this processor does not have the instruction set %s; \"best\" takes what there is",
             fm_simd_name(env->simd));
    env->simd = FM_SIMD_SCALAR;
  }
  env->float_state = fmi_enter_float();
}

/* Ends it: what is temporary goes, and on failure what was to be kept as well. Returns whether the call succeeded. */
FMI_FN bool fmi_end(fmi_env *env) {
  bool ok = env->error->status == FM_OK;
  fmi_free_pool(env, &env->allocator, &env->temp);
  if (!ok) fmi_free_pool(env, &env->allocator, &env->keep);
  fmi_leave_float(env->float_state);
  return ok;
}

/* What an object of ours needs to free itself: stands in its own pool. */
typedef struct fmi_owner {
  fm_allocator allocator;
  fmi_pool pool;
} fmi_owner;

/* Moves env->keep into an owner that lives in it. NULL on failure. */
FMI_FN fmi_owner *fmi_make_owner(fmi_env *env) {
  fmi_owner *owner = (fmi_owner *)fmi_alloc(env, &env->keep, 1, sizeof *owner);
  if (!owner) return NULL;
  owner->allocator = env->allocator;
  fmi_move_pool(&owner->pool, &env->keep);
  return owner;
}
FMI_FN void fmi_free_owner(void *owner) {
  if (!owner) return;
  fmi_owner copy = *(fmi_owner *)owner; /* it lies in its own pool */
  if (copy.pool.first) copy.pool.first->link = &copy.pool.first;
  fmi_free_pool(NULL, &copy.allocator, &copy.pool);
}

/* Makes room for `need` items in a growing array in `pool`. NULL: recorded; the old array lives on. */
FMI_FN void *fmi_reserve(fmi_env *env, fmi_pool *pool, void *array, size_t need, size_t *capacity, size_t size) {
  if (array && need <= *capacity) return array;
  size_t grown = fmi_max_size(need, fmi_max_size(16, *capacity + *capacity / 2));
  void *bigger = fmi_resize(env, pool, array, grown, size);
  if (bigger) *capacity = grown;
  return bigger;
}

/* A 0-terminated copy of text[0, length). NULL: recorded. */
FMI_FN char *fmi_copy_text(fmi_env *env, fmi_pool *pool, const char *text, size_t length) {
  char *copy = (char *)fmi_alloc(env, pool, length + 1, 1);
  if (copy) {
    memcpy(copy, text, length);
    copy[length] = 0;
  }
  return copy;
}

/* A text that grows, always 0-terminated once it is not NULL. A failure to grow is recorded in env and the text stays as it is. */
typedef struct fmi_text { fmi_env *env; fmi_pool *pool; char *data; size_t size, room; } fmi_text;

FMI_FN bool fmi_text_bytes(fmi_text *text, const char *bytes, size_t count) {
  char *data = (char *)fmi_reserve(text->env, text->pool, text->data, fmi_add_size(fmi_add_size(text->size, count), 1),
                                   &text->room, 1);
  if (!data) return false;
  text->data = data;
  memcpy(data + text->size, bytes, count);
  text->size += count;
  data[text->size] = 0;
  return true;
}
FMI_FN bool fmi_text_list(fmi_text *text, const char *format, va_list list) {
  va_list again;
  va_copy(again, list);
  size_t more = fmi_format_list(NULL, 0, format, again);
  va_end(again);
  char *data = (char *)fmi_reserve(text->env, text->pool, text->data, fmi_add_size(fmi_add_size(text->size, more), 1),
                                   &text->room, 1);
  if (!data) return false;
  text->data = data;
  fmi_format_list(data + text->size, more + 1, format, list);
  text->size += more;
  return true;
}
FMI_FN FMI_PRINTF(2, 3) bool fmi_text_add(fmi_text *text, const char *format, ...) {
  va_list list;
  va_start(list, format);
  bool ok = fmi_text_list(text, format, list);
  va_end(list);
  return ok;
}

/* Adds a warning to the result. False only if there is no memory for it. */
FMI_FN FMI_PRINTF(2, 3) bool fmi_warn(fmi_env *env, const char *format, ...) {
  char line[1024];
  va_list list;
  va_start(list, format);
  fmi_format_list(line, sizeof line, format, list);
  va_end(list);
  char *copy = fmi_copy_text(env, &env->keep, line, strlen(line));
  char **grown = copy ? (char **)fmi_resize(env, &env->keep, env->warnings, env->warning_count + 1, sizeof *grown) : NULL;
  if (!grown) return false;
  env->warnings = grown;
  grown[env->warning_count++] = copy;
  return true;
}

/* Tells the caller how far a stage is. False: cancelled, and recorded. Only on the caller's thread. */
FMI_FN bool fmi_tell_progress(fmi_env *env, const char *stage, size_t done, size_t total) {
  fm_progress progress = {NULL, 0, 0};
  progress.stage = stage;
  progress.done = done;
  progress.total = total;
  if (!env->common->progress || env->common->progress(env->common->progress_user, &progress)) return true;
  return fmi_fail(env, FM_ERROR_CANCELLED, "cancelled at %s %llu of %llu", stage, (unsigned long long)done,
                  (unsigned long long)total);
}

/* ============================================================ [FM:numbers] ==========================================
   Decimal numbers to binary and back, whatever the locale. Reading: an estimate in double arithmetic, whose error is known, decides
   almost always; where it comes too near to a border between two values, big integers decide exactly. Writing: the shortest digits
   that read back to the same value, and of these the nearest to it.
   Guarantees: correct rounding to nearest even for every input. Trusts: nothing. Test: tests/test_numbers.c */

/* A natural number, low word first. 3,072 bits: the longest that is needed are 770 digits times a power of two (2,700 bits). */
enum { FMI_BIG_WORDS = 96 };
typedef struct fmi_big { int count; uint32_t word[FMI_BIG_WORDS]; } fmi_big;

FMI_FN void fmi_big_push(fmi_big *b, uint32_t word) {
  FACEMORPH_ASSERT(b->count < FMI_BIG_WORDS);
  b->word[b->count++] = word;
}
FMI_FN void fmi_big_set(fmi_big *b, uint64_t value) {
  b->count = 0;
  for (; value; value >>= 32) fmi_big_push(b, (uint32_t)value);
}
/* b = b * factor + add */
FMI_FN void fmi_big_multiply(fmi_big *b, uint32_t factor, uint32_t add) {
  uint64_t carry = add;
  for (int i = 0; i < b->count; i++) {
    carry += (uint64_t)b->word[i] * factor;
    b->word[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) fmi_big_push(b, (uint32_t)carry);
}
FMI_FN void fmi_big_multiply_power5(fmi_big *b, int exponent) {
  for (; exponent >= 13; exponent -= 13) fmi_big_multiply(b, 1220703125u, 0); /* 5^13, the largest in 32 bits */
  for (; exponent > 0; exponent--) fmi_big_multiply(b, 5, 0);
}
FMI_FN void fmi_big_shift(fmi_big *b, int bits) {
  int words = bits / 32, rest = bits % 32;
  if (!b->count) return;
  if (rest) fmi_big_multiply(b, (uint32_t)1 << rest, 0);
  if (!words) return;
  FACEMORPH_ASSERT(b->count + words <= FMI_BIG_WORDS);
  memmove(b->word + words, b->word, (size_t)b->count * sizeof b->word[0]);
  memset(b->word, 0, (size_t)words * sizeof b->word[0]);
  b->count += words;
}
/* -1, 0 or 1 as a is below, equal to or above b */
FMI_FN int fmi_big_compare(const fmi_big *a, const fmi_big *b) {
  if (a->count != b->count) return a->count < b->count ? -1 : 1;
  for (int i = a->count - 1; i >= 0; i--)
    if (a->word[i] != b->word[i]) return a->word[i] < b->word[i] ? -1 : 1;
  return 0;
}
/* sum = a + b */
FMI_FN void fmi_big_add(fmi_big *sum, const fmi_big *a, const fmi_big *b) {
  int count = fmi_max_int(a->count, b->count);
  uint64_t carry = 0;
  for (int i = 0; i < count; i++) {
    carry += (uint64_t)(i < a->count ? a->word[i] : 0) + (i < b->count ? b->word[i] : 0);
    sum->word[i] = (uint32_t)carry;
    carry >>= 32;
  }
  sum->count = count;
  if (carry) fmi_big_push(sum, (uint32_t)carry);
}
/* a = a - b, for a >= b */
FMI_FN void fmi_big_subtract(fmi_big *a, const fmi_big *b) {
  uint32_t borrow = 0;
  for (int i = 0; i < a->count; i++) {
    uint64_t take = (uint64_t)(i < b->count ? b->word[i] : 0) + borrow;
    borrow = a->word[i] < take;
    a->word[i] = (uint32_t)(a->word[i] - take);
  }
  while (a->count && !a->word[a->count - 1]) a->count--;
}

/* ---- reading ---- */

/* A decimal as it was written: lead * 10^exponent, and if `cut` less than 10^exponent more. */
typedef struct fmi_decimal {
  const char *digits, *digits_end; /* significant digits, perhaps with a point among them */
  uint64_t lead;                   /* the first 19 of them at most */
  int64_t exponent;
  bool cut, negative;
} fmi_decimal;

FMI_FN bool fmi_is_digit(char c) { return (unsigned)c - '0' < 10u; }

/* Eight bytes of text, made so that digits are bytes 0 to 9; the first byte is the lowest. */
FMI_INLINE uint64_t fmi_load_digits(const char *p) {
  return fmi_le64((const uint8_t *)p) ^ 0x3030303030303030u;
}
/* In the top bit of each byte: is it no digit? Behind the first that is none, a carry may answer wrongly. */
FMI_INLINE uint64_t fmi_find_others(uint64_t x) { return (x + 0x7676767676767676u) | x; }
/* How many bytes stand before the first mark, of which there is one at least. */
FMI_INLINE int fmi_first_mark(uint64_t marks) {
  const uint64_t ones = 0x0101010101010101u;
  return (int)(((((marks & (0 - marks)) - 1) & ones) * ones) >> 56) - 1;
}
/* The number that eight digits make: pairs, fours, eights. */
FMI_INLINE uint32_t fmi_join_digits(uint64_t x) {
  x = x * 10 + (x >> 8);
  return (uint32_t)(((x & 0x000000FF000000FFu) * (100 + ((uint64_t)1000000 << 32)) +
                     (x >> 16 & 0x000000FF000000FFu) * (1 + ((uint64_t)10000 << 32))) >>
                    32);
}

/* The number that the digits at p make, 8 of them at most; *count: how many. Eight bytes at once, without branches on their number,
   which no processor can foresee. */
FMI_FN uint32_t fmi_take_digits(const char *p, const char *end, int *count) {
  uint32_t value = 0;
  int n = 0;
  if (end - p >= 8) {
    uint64_t x = fmi_load_digits(p), others = fmi_find_others(x) & 0x8080808080808080u;
    n = others ? fmi_first_mark(others) : 8;
    value = fmi_join_digits(n ? x << 8 * (8 - n) : 0); /* zeros in front, instead of what is behind */
  } else
    for (; p + n < end && fmi_is_digit(p[n]); n++) value = value * 10 + (uint32_t)(p[n] - '0');
  *count = n;
  return value;
}

/* Digits of any number, added to those that *lead has. Returns their end; *lead wraps around after 19. */
FMI_FN const char *fmi_take_all_digits(const char *p, const char *end, uint64_t *lead) {
  static const uint32_t power[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  int count;
  do {
    uint32_t value = fmi_take_digits(p, end, &count);
    *lead = *lead * power[count] + value;
    p += count;
  } while (count == 8);
  return p;
}

/* The first 19 significant digits where there may be more than 64 bits hold; exponent is that of the last digit. */
FMI_FN void fmi_cut_decimal(fmi_decimal *d, int64_t exponent) {
  const char *p = d->digits;
  int64_t left = 0;
  int count = 0;
  while (p < d->digits_end && (*p == '0' || *p == '.')) p++;
  d->digits = p;
  d->lead = 0;
  for (; p < d->digits_end; p++) {
    if (*p == '.') continue;
    if (count < 19) d->lead = d->lead * 10 + (uint64_t)(*p - '0'), count++;
    else left++;
  }
  d->exponent = exponent + left;
  d->cut = left > 0;
}

/* Reads [+-] digits [. digits] [e [+-] digits]. NULL if there is no digit. */
FMI_FN const char *fmi_scan_decimal(const char *p, const char *end, fmi_decimal *d) {
  const char *whole, *fraction;
  uint64_t lead = 0;
  int64_t exponent = 0;
  size_t count;
  d->negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  whole = p;
  while (p < end && fmi_is_digit(*p)) lead = lead * 10 + (uint64_t)(*p++ - '0'); /* one digit mostly */
  count = (size_t)(p - whole);
  if (p < end && *p == '.') {
    fraction = ++p;
    p = fmi_take_all_digits(p, end, &lead);
    exponent = -(int64_t)(p - fraction);
    count += (size_t)(p - fraction);
  }
  if (!count) return NULL;
  d->digits = whole;
  d->digits_end = p;
  if (p < end && (*p == 'e' || *p == 'E')) {
    const char *e = p + 1;
    int64_t written = 0;
    bool below = e < end && *e == '-';
    if (e < end && (*e == '-' || *e == '+')) e++;
    if (e < end && fmi_is_digit(*e)) {
      for (; e < end && fmi_is_digit(*e); e++)
        if (written < 1000000000000000) written = written * 10 + (*e - '0'); /* more is 0 or infinity for any text in memory */
      exponent += below ? -written : written;
      p = e;
    }
  }
  d->lead = lead;
  d->exponent = exponent;
  d->cut = false;
  if (count > 19) fmi_cut_decimal(d, exponent);
  return p;
}

/* The powers of ten that are exact in double. */
static const double fmi_power10[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* lead * 10^exponent for |exponent| <= 343, off by less than 12 units in the last place where that is a normal number. */
FMI_FN double fmi_estimate(uint64_t lead, int exponent) {
  static const double square[5] = {1e16, 1e32, 1e64, 1e128, 1e256};
  double x = (double)lead;
  int n = exponent < 0 ? -exponent : exponent;
  if (n > 22)
    for (int i = 4; i >= 0; i--) /* the large ones first: all but the last result are normal numbers */
      if (n >> 4 & 1 << i) x = exponent < 0 ? x / square[i] : x * square[i];
  if (n > 22) n &= 15;
  return exponent < 0 ? x / fmi_power10[n] : x * fmi_power10[n];
}

/* float or double: bits of the fraction, exponent of the lowest bit of the smallest number, infinity's bits. */
typedef struct fmi_binary { int fraction_bits, lowest; uint64_t infinity; } fmi_binary;

/* Is the decimal below (-1), at (0) or above (1) the middle between the number with these bits and the next larger one? */
FMI_FN int fmi_compare_middle(const fmi_big *digits, int exponent, uint64_t bits, fmi_binary format) {
  uint64_t hidden = (uint64_t)1 << format.fraction_bits, biased = bits >> format.fraction_bits;
  uint64_t mantissa = (bits & (hidden - 1)) | (biased ? hidden : 0);
  int two = (biased ? (int)biased - 1 : 0) + format.lowest - 1; /* middle = (2 mantissa + 1) * 2^two */
  fmi_big left = *digits, right;
  fmi_big_set(&right, 2 * mantissa + 1);
  if (exponent < 0) fmi_big_multiply_power5(&right, -exponent);
  else fmi_big_multiply_power5(&left, exponent);
  two -= exponent;
  if (two < 0) fmi_big_shift(&left, -two);
  else fmi_big_shift(&right, two);
  return fmi_big_compare(&left, &right);
}

/* The bits of the number nearest to the decimal, found from bits that are not far off. Infinity's follow
   those of the largest number. Digits behind the 770th cannot reach a middle (767 digits at most), only lie above one. */
FMI_FN uint64_t fmi_round_exactly(const fmi_decimal *d, uint64_t bits, fmi_binary format) {
  fmi_big digits;
  int64_t exponent = d->exponent;
  int count = 0;
  bool more = false;
  fmi_big_set(&digits, 0);
  if (!d->cut) fmi_big_set(&digits, d->lead);
  else {
    for (const char *p = d->digits; p < d->digits_end; p++) {
      if (*p == '.') continue;
      if (count < 770) {
        fmi_big_multiply(&digits, 10, (uint32_t)(*p - '0'));
        if (count++ >= 19) exponent--;
      } else more |= *p != '0';
    }
    if (more) fmi_big_multiply(&digits, 10, 1), exponent--;
  }
  while (bits < format.infinity) {
    int side = fmi_compare_middle(&digits, (int)exponent, bits, format);
    if (side < 0 || (side == 0 && !(bits & 1))) break;
    bits++;
  }
  while (bits) {
    int side = fmi_compare_middle(&digits, (int)exponent, bits - 1, format);
    if (side > 0 || (side == 0 && !(bits & 1))) break;
    bits--;
  }
  return bits;
}

/* Where the decimal's value surely lies: -1 zero or below half of every number, 1 above every number, 0 otherwise. */
FMI_FN int fmi_decimal_range(const fmi_decimal *d) {
  int64_t digits = 0;
  for (uint64_t rest = d->lead; rest; rest /= 10) digits++;
  return d->lead == 0 || d->exponent + digits < -323 ? -1 : d->exponent + digits > 310 ? 1 : 0;
}

FMI_FN double fmi_decimal_double(const fmi_decimal *d) {
  static const fmi_binary format = {52, -1074, 0x7FF0000000000000u};
  double value;
  if (d->lead <= (uint64_t)1 << 53 && d->exponent >= -22 && d->exponent <= 22 && !d->cut)
    value = fmi_estimate(d->lead, (int)d->exponent); /* both operands are exact, and so the one rounding is right */
  else {
    int range = fmi_decimal_range(d);
    if (range) value = range < 0 ? 0.0 : HUGE_VAL;
    else {
      value = fmi_estimate(d->lead, (int)d->exponent);
      if (value > DBL_MAX) value = DBL_MAX;
      value = fmi_bits_double(fmi_round_exactly(d, fmi_double_bits(value), format));
    }
  }
  return d->negative ? -value : value;
}

/* A decimal of which x is the nearest double lies on the same side of every middle between two floats, unless x is such a
   middle: the float nearest to x is the decimal's, too. False: x is a middle (of the 29 bits that float has not, the highest
   alone is set). For |x| in float's range of normal numbers, or 0. */
FMI_INLINE bool fmi_narrow(double x, bool negative, float *value) {
  *value = fmi_bits_float(fmi_float_bits((float)x) ^ (uint32_t)negative << 31);
  return (fmi_double_bits(x) & 0x1FFFFFFF) != 0x10000000;
}

/* An estimate in double that is clear of the middle between two floats rounds to the right one. */
FMI_FN float fmi_decimal_float(const fmi_decimal *d) {
  static const fmi_binary format = {23, -149, 0x7F800000u};
  double value = 0.0;
  float result;
  if (d->lead <= (uint64_t)1 << 53 && d->exponent >= -22 && d->exponent <= 22 && !d->cut &&
      fmi_narrow(fmi_estimate(d->lead, (int)d->exponent), d->negative, &result))
    return result; /* as in fmi_decimal_double */
  int range = d->exponent >= -22 && d->exponent <= 22 && d->lead ? 0 : fmi_decimal_range(d);
  if (range) result = range < 0 ? 0.0f : fmi_bits_float(0x7F800000u);
  else {
    value = fmi_estimate(d->lead, (int)d->exponent);
    uint64_t above = fmi_double_bits(value) & 0x1FFFFFFF; /* the 29 bits that float has not */
    if (value > 1.2e-38 && value < 3.4e38 && above - (0x10000000 - 16) > 32) result = (float)value;
    else {
      uint32_t bits = value > FLT_MAX ? 0x7F7FFFFFu : fmi_float_bits((float)value);
      result = fmi_bits_float((uint32_t)fmi_round_exactly(d, bits, format));
    }
  }
  return d->negative ? -result : result;
}

/* Reads "inf", "infinity" or "nan" in any case, with a sign. NULL if it is none of them. */
FMI_FN const char *fmi_scan_special(const char *p, const char *end, double *value) {
  static const char *const words[3] = {"infinity", "inf", "nan"};
  bool negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  for (int i = 0; i < 3; i++) {
    size_t n = strlen(words[i]), same = 0;
    while (same < n && p + same < end && (p[same] | 0x20) == words[i][same]) same++;
    if (same < n) continue;
    *value = i == 2 ? fmi_bits_double(0x7FF8000000000000u) : negative ? -HUGE_VAL : HUGE_VAL;
    return p + n;
  }
  return NULL;
}

FM_API const char *fm_parse_double(const char *text, const char *end, double *value) {
  fmi_decimal d;
  uint64_t state;
  const char *p = fmi_scan_decimal(text, end, &d);
  *value = 0.0;
  if (!p) return fmi_scan_special(text, end, value);
  state = fmi_enter_float();
  *value = fmi_decimal_double(&d);
  fmi_leave_float(state);
  return p;
}

/* The same to float, in one rounding. Inside a call only: the floating-point state is the caller's business. */
FMI_FN const char *fmi_parse_float(const char *text, const char *end, float *value) {
  fmi_decimal d;
  double special = 0.0;
  const char *p = fmi_scan_decimal(text, end, &d);
  if (p) *value = fmi_decimal_float(&d);
  else {
    p = fmi_scan_special(text, end, &special);
    *value = (float)special;
  }
  return p;
}

/* How many digits a number had, 7 at most. As a rule the next one of its kind has as many, and where a processor foresees that,
   it need not wait for that number's end before it begins with what is behind. */
typedef struct fmi_width {
  uint64_t mask, mark; /* of the bytes up to the first that is no digit, of that one */
  size_t digits;
  int shift;           /* with 8 bits more, it leaves the digits only, zeros in front */
} fmi_width;

FMI_INLINE void fmi_set_width(fmi_width *width, size_t digits) {
  width->digits = digits;
  width->shift = 56 - 8 * (int)digits;
  width->mark = (uint64_t)0x80 << 8 * digits;
  width->mask = (2 * width->mark - 1) & 0x8080808080808080u;
}
/* Makes it that of the digits in x, `least` or more of them. False: there are less, or all eight bytes are digits. */
FMI_INLINE bool fmi_find_width(fmi_width *width, uint64_t x, size_t least) {
  uint64_t others = fmi_find_others(x);
  if ((others & width->mask) == width->mark) return true;
  others &= 0x8080808080808080u;
  size_t digits = others ? (size_t)fmi_first_mark(others) : 0;
  if (!others || digits < least) return false;
  fmi_set_width(width, digits);
  return true;
}

/* The natural number at p, of up to 7 digits; 8 bytes may be looked at. NULL: it is none, or longer. width: 1 or more. */
FMI_INLINE const char *fmi_plain_natural(const char *p, fmi_width *width, uint32_t *value) {
  uint64_t x = fmi_load_digits(p);
  if (!fmi_find_width(width, x, 1)) return NULL;
  *value = fmi_join_digits(x << 8 << width->shift);
  return p + width->digits;
}

/* Reads the decimal that exporters write: [-] digits [. digits], 8 and 15 of them at most; FMI_PLAIN_ROOM bytes may be looked
   at. width is that of the digits behind the point, less eight if they are more. NULL: it is another one, or too hard;
   fmi_parse_float reads it. */
enum { FMI_PLAIN_ROOM = 32 };
FMI_INLINE const char *fmi_plain_float(const char *p, fmi_width *width, float *value) {
  static const uint32_t power[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
  bool negative = *p == '-';
  if (FMI_UNLIKELY(negative)) p++; /* a branch: signs come in runs, and what is behind them need not wait */
  uint64_t lead = (uint64_t)(unsigned char)*p - '0';
  size_t count = 0;
  if (lead > 9) return NULL;
  p++;
  if (*p != '.') { /* one digit before the point is the rule */
    const char *most = p + 7;
    for (; p < most && fmi_is_digit(*p); p++) lead = lead * 10 + (uint64_t)(*p - '0');
    if (p == most && fmi_is_digit(*p)) return NULL;
  }
  if (*p == '.') {
    uint64_t x = fmi_load_digits(++p);
    if (!(fmi_find_others(x) & 0x8080808080808080u)) {
      lead = lead * 100000000 + fmi_join_digits(x);
      p += 8;
      count = 8;
      x = fmi_load_digits(p);
      if (lead > 1844674407369u) return NULL; /* with 7 digits more, 64 bits may not be enough */
    }
    if (!fmi_find_width(width, x, 0)) return NULL;
    lead = lead * power[width->digits] + fmi_join_digits(x << 8 << width->shift);
    p += width->digits;
    count += width->digits;
    if (lead > (uint64_t)1 << 53) return NULL;
  }
  return fmi_narrow((double)(int64_t)lead / fmi_power10[count], negative, value) ? p : NULL;
}

/* ---- writing ---- */

/* Writes 0.DIGITS * 10^point with the sign. Fixed notation for 1e-5 <= |x| < 1e7 as it is printed. Returns the length. */
FMI_FN size_t fmi_print_digits(char *out, bool negative, const char *digits, int count, int point) {
  char *p = out;
  if (negative) *p++ = '-';
  if (point > -5 && point <= 7) {
    int whole = point < count ? point : count;
    if (point <= 0) {
      *p++ = '0';
      *p++ = '.';
      for (int i = point; i < 0; i++) *p++ = '0';
      whole = 0;
    }
    for (int i = 0; i < whole; i++) *p++ = digits[i];
    for (int i = whole; i < point; i++) *p++ = '0';
    if (whole > 0 && whole < count) *p++ = '.';
    for (int i = whole; i < count; i++) *p++ = digits[i];
  } else {
    int exponent = point - 1, size = exponent < 0 ? -exponent : exponent;
    *p++ = digits[0];
    if (count > 1) *p++ = '.';
    for (int i = 1; i < count; i++) *p++ = digits[i];
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    if (size >= 100) *p++ = (char)('0' + size / 100);
    *p++ = (char)('0' + size / 10 % 10);
    *p++ = (char)('0' + size % 10);
  }
  *p = 0;
  return (size_t)(p - out);
}

/* Zeros, infinities and NaN; 0 for every other number. */
FMI_FN size_t fmi_print_special(char *out, double value) {
  if (fmi_is_finite(value) && value != 0.0) return 0;
  return fmi_format(out, 8, "%s", value == 0.0 ? "0" : value > 0.0 ? "inf" : value < 0.0 ? "-inf" : "nan");
}

/* x * 10^j * 2^shift rounded to odd: the lowest bit also says whether anything was cut off. For x * 2^shift < 2^31. */
FMI_FN uint32_t fmi_scale_odd(uint64_t power, uint32_t x) {
  uint64_t high = (power >> 32) * x, low = (power & 0xFFFFFFFFu) * x, sum = high + (low >> 32);
  return (uint32_t)(sum >> 32) | ((uint32_t)sum > 1);
}

/* The shortest decimal for a positive, finite float, digits * 10^*exponent: Giulietti, "The Schubfach way to render doubles", 2020.
   With 10^k at most as wide as the interval that rounds to the float, one multiple of 10^k at least lies in it, and perhaps one of
   10^(k+1), which is shorter. power[31 + j] is 10^j in 64 bits, rounded up. */
FMI_FN uint32_t fmi_shortest_float(uint32_t bits, int *exponent) {
  static const uint64_t power[77] = {
    0x81CEB32C4B43FCF5ull, 0xA2425FF75E14FC32ull, 0xCAD2F7F5359A3B3Full, 0xFD87B5F28300CA0Eull, 0x9E74D1B791E07E49ull,
    0xC612062576589DDBull, 0xF79687AED3EEC552ull, 0x9ABE14CD44753B53ull, 0xC16D9A0095928A28ull, 0xF1C90080BAF72CB2ull,
    0x971DA05074DA7BEFull, 0xBCE5086492111AEBull, 0xEC1E4A7DB69561A6ull, 0x9392EE8E921D5D08ull, 0xB877AA3236A4B44Aull,
    0xE69594BEC44DE15Cull, 0x901D7CF73AB0ACDAull, 0xB424DC35095CD810ull, 0xE12E13424BB40E14ull, 0x8CBCCC096F5088CCull,
    0xAFEBFF0BCB24AAFFull, 0xDBE6FECEBDEDD5BFull, 0x89705F4136B4A598ull, 0xABCC77118461CEFDull, 0xD6BF94D5E57A42BDull,
    0x8637BD05AF6C69B6ull, 0xA7C5AC471B478424ull, 0xD1B71758E219652Cull, 0x83126E978D4FDF3Cull, 0xA3D70A3D70A3D70Bull,
    0xCCCCCCCCCCCCCCCDull, 0x8000000000000001ull, 0xA000000000000001ull, 0xC800000000000001ull, 0xFA00000000000001ull,
    0x9C40000000000001ull, 0xC350000000000001ull, 0xF424000000000001ull, 0x9896800000000001ull, 0xBEBC200000000001ull,
    0xEE6B280000000001ull, 0x9502F90000000001ull, 0xBA43B74000000001ull, 0xE8D4A51000000001ull, 0x9184E72A00000001ull,
    0xB5E620F480000001ull, 0xE35FA931A0000001ull, 0x8E1BC9BF04000001ull, 0xB1A2BC2EC5000001ull, 0xDE0B6B3A76400001ull,
    0x8AC7230489E80001ull, 0xAD78EBC5AC620001ull, 0xD8D726B7177A8001ull, 0x878678326EAC9001ull, 0xA968163F0A57B401ull,
    0xD3C21BCECCEDA101ull, 0x84595161401484A1ull, 0xA56FA5B99019A5C9ull, 0xCECB8F27F4200F3Bull, 0x813F3978F8940985ull,
    0xA18F07D736B90BE6ull, 0xC9F2C9CD04674EDFull, 0xFC6F7C4045812297ull, 0x9DC5ADA82B70B59Eull, 0xC5371912364CE306ull,
    0xF684DF56C3E01BC7ull, 0x9A130B963A6C115Dull, 0xC097CE7BC90715B4ull, 0xF0BDC21ABB48DB21ull, 0x96769950B50D88F5ull,
    0xBC143FA4E250EB32ull, 0xEB194F8E1AE525FEull, 0x92EFD1B8D0CF37BFull, 0xB7ABC627050305AEull, 0xE596B7B0C643C71Aull,
    0x8F7E32CE7BEA5C70ull, 0xB35DBF821AE4F38Cull
  };
  uint32_t fraction = bits & 0x7FFFFF, biased = bits >> 23, c = biased ? fraction | 0x800000 : fraction;
  int q = (biased ? (int)biased : 1) - 150; /* value = c * 2^q */
  bool uneven = fraction == 0 && biased > 1; /* below a power of two the numbers are twice as dense */
  /* k = floor(log10(2^q)), or of 3/4 of that; shift = 1 + q + floor(log2(10^-k)); the offsets keep the dividends positive */
  int k = (q * 1262611 - (uneven ? 524031 : 0) + (64 << 22)) / (1 << 22) - 64;
  int shift = 1 + q + (-k * 1741647 + (128 << 19)) / (1 << 19) - 128;
  uint64_t scale = power[31 - k];
  uint32_t odd = c & 1; /* an odd number's borders round to its neighbours */
  uint32_t value = fmi_scale_odd(scale, 4 * c << shift);
  uint32_t low = fmi_scale_odd(scale, (4 * c - (uneven ? 1 : 2)) << shift) + odd;
  uint32_t high = fmi_scale_odd(scale, (4 * c + 2) << shift) - odd;
  uint32_t digits = value / 4, tens = digits / 10;
  bool down, up;
  *exponent = k + 1;
  if (tens && low <= 40 * tens) return tens;
  if (tens && 40 * tens + 40 <= high) return tens + 1;
  *exponent = k;
  down = low <= 4 * digits;
  up = 4 * digits + 4 <= high;
  if (down != up) return digits + up;
  return digits + (value > 4 * digits + 2 || (value == 4 * digits + 2 && (digits & 1)));
}

FM_API size_t fm_print_float(char out[24], float value) {
  char text[12], *end = text + sizeof text, *p = end;
  uint32_t bits = fmi_float_bits(value), digits;
  int exponent = 0;
  size_t special = fmi_print_special(out, (double)value);
  if (special) return special;
  digits = fmi_shortest_float(bits & 0x7FFFFFFF, &exponent);
  while (digits % 10 == 0) digits /= 10, exponent++;
  for (; digits; digits /= 10) *--p = (char)('0' + digits % 10);
  return fmi_print_digits(out, bits >> 31 != 0, p, (int)(end - p), (int)(end - p) + exponent);
}

/* The shortest digits for a positive, finite double: Steele and White, "How to print floating-point numbers accurately", 1990.
   value = number / unit; a digit comes out at a time until the rest is within the distance to a border. Returns how many, 17 at most. */
FMI_FN int fmi_shortest_double(double value, char digits[20], int *point) {
  uint64_t bits = fmi_double_bits(value), fraction = bits & 0xFFFFFFFFFFFFFull;
  int biased = (int)(bits >> 52), two = (biased ? biased : 1) - 1075, count = 0, log10;
  uint64_t mantissa = biased ? fraction | (uint64_t)1 << 52 : fraction;
  bool even = !(mantissa & 1), uneven = fraction == 0 && biased > 1;
  fmi_big number, unit, below, above, sum; /* below, above: half the distances to the neighbours */
  fmi_big_set(&number, mantissa);
  fmi_big_set(&unit, 1);
  fmi_big_set(&below, 1);
  fmi_big_shift(&number, (two > 0 ? two : 0) + 1 + uneven);
  fmi_big_shift(&unit, (two < 0 ? -two : 0) + 1 + uneven);
  fmi_big_shift(&below, two > 0 ? two : 0);
  above = below;
  if (uneven) fmi_big_shift(&above, 1);

  /* 10^log10 >= value, or one less: the highest bit's place times log10(2), rounded towards the smaller */
  log10 = two;
  for (uint64_t rest = mantissa; rest > 1; rest /= 2) log10++;
  log10 = (log10 * 78913 + (512 << 18)) / (1 << 18) - 512 + 1;
  if (log10 > 0) {
    fmi_big_multiply_power5(&unit, log10);
    fmi_big_shift(&unit, log10);
  } else {
    fmi_big *const scaled[3] = {&number, &below, &above};
    for (int i = 0; i < 3; i++) {
      fmi_big_multiply_power5(scaled[i], -log10);
      fmi_big_shift(scaled[i], -log10);
    }
  }
  fmi_big_add(&sum, &number, &above);
  if (fmi_big_compare(&sum, &unit) >= (even ? 0 : 1)) {
    log10++;
    fmi_big_multiply(&unit, 10, 0);
  }
  *point = log10;
  for (;;) {
    int digit = 0, side;
    bool low, high;
    fmi_big_multiply(&number, 10, 0);
    fmi_big_multiply(&below, 10, 0);
    fmi_big_multiply(&above, 10, 0);
    while (fmi_big_compare(&number, &unit) >= 0) fmi_big_subtract(&number, &unit), digit++;
    side = fmi_big_compare(&number, &below);
    low = side < 0 || (even && side == 0);
    fmi_big_add(&sum, &number, &above);
    side = fmi_big_compare(&sum, &unit);
    high = side > 0 || (even && side == 0);
    if (low && high) {
      fmi_big_add(&sum, &number, &number);
      side = fmi_big_compare(&sum, &unit);
      high = side > 0 || (side == 0 && (digit & 1));
    }
    digits[count++] = (char)('0' + digit + high);
    if (low || high) return count;
  }
}

FM_API size_t fm_print_double(char out[32], double value) {
  char digits[20];
  int count, point = 0;
  size_t special = fmi_print_special(out, value);
  if (special) return special;
  count = fmi_shortest_double(value < 0.0 ? -value : value, digits, &point);
  return fmi_print_digits(out, value < 0.0, digits, count, point);
}

FMI_FN bool fmi_text_number(fmi_text *text, double value) {
  char digits[32];
  return fmi_text_bytes(text, digits, fm_print_double(digits, value));
}

/* ============================================================ [FM:streams] ==========================================
   Streams, sinks and files. The default files are stdio's with UTF-8 paths; a written file appears under its name whole or not
   at all. Test: tests/test_streams.c */

#ifndef FACEMORPH_NO_STDIO
/* Why the last call of the C library failed; "" if it did not say. */
FMI_FN const char *fmi_reason(void) { return errno ? strerror(errno) : ""; }
FMI_FN void fmi_clear_reason(void) { errno = 0; }

#if defined(_WIN32)
FMI_FN wchar_t *fmi_wide_path(const char *path) {
  int n = MultiByteToWideChar(CP_UTF8, 0, path, -1, NULL, 0);
  wchar_t *wide = n > 0 ? (wchar_t *)FACEMORPH_REALLOC(NULL, (size_t)n * sizeof(wchar_t)) : NULL;
  if (wide) MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, n);
  return wide;
}
#endif

FMI_FN FILE *fmi_fopen(const char *path, bool write) {
#if defined(_WIN32)
  wchar_t *wide = fmi_wide_path(path);
  FILE *file = wide ? _wfopen(wide, write ? L"wb" : L"rb") : NULL;
  FACEMORPH_FREE(wide);
  return file;
#else
#if defined(__unix__) || defined(__APPLE__)
  struct stat info; /* fopen opens a folder for reading and fails later, without a reason; a device like /dev/zero never ends */
  if (!write && stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
    errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    return NULL;
  }
#endif
  return fopen(path, write ? "wb" : "rb");
#endif
}

FMI_FN int64_t fmi_stdio_read(void *user, void *buffer, size_t size) {
  FILE *file = (FILE *)user;
  size_t n = fread(buffer, 1, size, file);
  return n == 0 && ferror(file) ? -1 : (int64_t)n;
}
FMI_FN void fmi_stdio_close(void *user) { fclose((FILE *)user); }
FMI_FN bool fmi_stdio_open_read(void *user, const char *path, fm_stream *out) {
  (void)user;
  FILE *file = fmi_fopen(path, false);
  if (!file) return false;
  memset(out, 0, sizeof *out);
  out->user = file;
  out->read = fmi_stdio_read;
  out->close = fmi_stdio_close;
  if (fseek(file, 0, SEEK_END) == 0) { /* a pipe cannot seek: no hint then */
    long size = ftell(file);
    if (size > 0) out->size_hint = (uint64_t)size;
    rewind(file);
  }
  return true;
}

/* A file being written: its final name follows the struct; it is written as name + ".part". */
typedef struct fmi_part_file { FILE *file; size_t length; char name[1]; } fmi_part_file;

FMI_FN bool fmi_stdio_write(void *user, const void *data, size_t size) {
  return fwrite(data, 1, size, ((fmi_part_file *)user)->file) == size;
}
FMI_FN bool fmi_stdio_open_write(void *user, const char *path, fm_sink *out) {
  (void)user;
  size_t length = strlen(path);
  fmi_part_file *part = (fmi_part_file *)FACEMORPH_REALLOC(NULL, sizeof *part + 2 * length + 8); /* both names, one by one */
  if (!part) return false;
  part->length = length;
  memcpy(part->name, path, length + 1);
  memcpy(part->name + length + 1, path, length);
  memcpy(part->name + length + 1 + length, ".part", 6);
  part->file = fmi_fopen(part->name + length + 1, true);
  if (!part->file) {
    FACEMORPH_FREE(part);
    return false;
  }
  out->user = part;
  out->write = fmi_stdio_write;
  return true;
}
FMI_FN bool fmi_rename(const char *from, const char *to) {
#if defined(_WIN32)
  wchar_t *a = fmi_wide_path(from), *b = fmi_wide_path(to);
  bool ok = a && b && MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING);
  FACEMORPH_FREE(a);
  FACEMORPH_FREE(b);
  return ok;
#else
  return rename(from, to) == 0;
#endif
}
FMI_FN void fmi_remove(const char *path) {
#if defined(_WIN32)
  wchar_t *wide = fmi_wide_path(path);
  if (wide) DeleteFileW(wide);
  FACEMORPH_FREE(wide);
#else
  remove(path);
#endif
}
FMI_FN bool fmi_stdio_close_write(void *user, fm_sink *sink, bool keep) {
  (void)user;
  fmi_part_file *part = (fmi_part_file *)sink->user;
  const char *beside = part->name + part->length + 1;
  bool ok = fclose(part->file) == 0; /* the last bytes may meet a full disk here */
  if (keep && ok) ok = fmi_rename(beside, part->name);
  if (!keep || !ok) {
    int reason = errno;
    fmi_remove(beside);
    errno = reason;
  }
  FACEMORPH_FREE(part);
  return ok;
}
FMI_FN int fmi_stdio_make_folder(void *user, const char *path) {
  (void)user;
#if defined(_WIN32)
  wchar_t *wide = fmi_wide_path(path);
  int made = wide && CreateDirectoryW(wide, NULL) ? 1 : GetLastError() == ERROR_ALREADY_EXISTS ? 0 : -1;
  FACEMORPH_FREE(wide);
  return made;
#elif defined(__unix__) || defined(__APPLE__)
  struct stat info;
  if (mkdir(path, 0777) == 0) return 1;
  int reason = errno;
  if (stat(path, &info) == 0) {
    if (S_ISDIR(info.st_mode)) return 0;
    reason = ENOTDIR;
  }
  errno = reason;
  return -1;
#else
  (void)path;
  return -1;
#endif
}
#else
FMI_FN const char *fmi_reason(void) { return ""; }
FMI_FN void fmi_clear_reason(void) {}
#endif

/* The files of a call; without stdio and without the caller's there are none, and every opening fails. */
FMI_FN bool fmi_no_read(void *user, const char *path, fm_stream *out) { (void)user; (void)path; (void)out; return false; }
FMI_FN bool fmi_no_write(void *user, const char *path, fm_sink *out) { (void)user; (void)path; (void)out; return false; }
FMI_FN bool fmi_no_close(void *user, fm_sink *sink, bool keep) { (void)user; (void)sink; (void)keep; return false; }
FMI_FN int fmi_no_folder(void *user, const char *path) { (void)user; (void)path; return -1; }
FMI_FN fm_files fmi_files_of(const fmi_env *env) {
  fm_files files;
  memset(&files, 0, sizeof files);
  if (env->common->files) files = *env->common->files;
#ifndef FACEMORPH_NO_STDIO
  else {
    files.open_read = fmi_stdio_open_read;
    files.open_write = fmi_stdio_open_write;
    files.close_write = fmi_stdio_close_write;
    files.make_folder = fmi_stdio_make_folder;
  }
#endif
  if (!files.open_read) files.open_read = fmi_no_read;
  if (!files.open_write || !files.close_write) files.open_write = fmi_no_write, files.close_write = fmi_no_close;
  if (!files.make_folder) files.make_folder = fmi_no_folder;
  return files;
}

/* ": reason" or "", for the end of a message. */
FMI_FN void fmi_add_reason(char *out, size_t room) {
  const char *reason = fmi_reason();
  fmi_format(out, room, "%s%s", *reason ? ": " : "", reason);
}

/* Reads a stream to its end into one block of `pool`, followed by one 0 byte that *size does not count. False: recorded. Does
   not close the stream. */
FMI_FN bool fmi_read_all(fmi_env *env, fmi_pool *pool, const fm_stream *stream, uint8_t **data, size_t *size) {
  size_t left = env->limits.memory - fmi_min_size(env->used, env->limits.memory), count = 0;
  size_t room = stream->size_hint > 0 && stream->size_hint < left / 2 ? (size_t)stream->size_hint + 1
                                                                      : fmi_min_size(65536, left / 4 + 1);
  uint8_t *buffer = (uint8_t *)fmi_alloc(env, pool, room + 1, 1);
  if (!buffer) return false;
  for (;;) {
    fmi_clear_reason();
    int64_t got = stream->read(stream->user, buffer + count, room - count);
    if (got < 0 || (uint64_t)got > room - count) {
      char reason[200];
      fmi_add_reason(reason, sizeof reason);
      fmi_release(env, buffer);
      return fmi_fail_byte(env, FM_ERROR_READ, count,
                           "reading stopped with an error%s; check the disk, or copy the file again", reason);
    }
    if (got == 0) break;
    count += (size_t)got;
    if (count == room) {
      size_t grown = stream->size_hint > room && stream->size_hint < left - fmi_min_size(left, 128)
                         ? (size_t)stream->size_hint + 1
                         : fmi_mul_size(room, 2);
      uint8_t *bigger = (uint8_t *)fmi_resize(env, pool, buffer, fmi_add_size(grown, 1), 1);
      if (!bigger) {
        fmi_release(env, buffer);
        return false;
      }
      buffer = bigger;
      room = grown;
    }
  }
  buffer[count] = 0;
  *data = buffer;
  *size = count;
  return true;
}

/* Reads a whole file. With `must`, a file that cannot be opened is a failure; without, *found tells. */
FMI_FN bool fmi_read_file(fmi_env *env, fmi_pool *pool, const char *path, bool must, bool *found, uint8_t **data,
                          size_t *size) {
  fm_files files = fmi_files_of(env);
  fm_stream stream;
  memset(&stream, 0, sizeof stream);
  fmi_clear_reason();
  bool open = files.open_read(files.user, path, &stream);
  if (found) *found = open;
  if (!open) {
    char reason[200];
    if (!must) return true;
    fmi_add_reason(reason, sizeof reason);
    return fmi_fail(env, FM_ERROR_READ, "cannot be opened%s; check the path and the permissions", reason);
  }
  bool ok = fmi_read_all(env, pool, &stream, data, size);
  if (stream.close) stream.close(stream.user);
  return ok;
}

/* A file under way: between fmi_open_write and fmi_close_write. */
typedef struct fmi_out { fm_files files; fm_sink sink; const char *path; } fmi_out;

FMI_FN bool fmi_open_write(fmi_env *env, fmi_out *out, const char *path) {
  char reason[200];
  out->files = fmi_files_of(env);
  out->path = path;
  fmi_clear_reason();
  if (out->files.open_write(out->files.user, path, &out->sink)) return true;
  fmi_add_reason(reason, sizeof reason);
  return fmi_fail(env, FM_ERROR_WRITE, "%s: cannot be written%s; check the folder and its permissions", path, reason);
}
FMI_FN bool fmi_write(fmi_env *env, fmi_out *out, const void *data, size_t size) {
  char reason[200];
  fmi_clear_reason();
  if (out->sink.write(out->sink.user, data, size)) return true;
  fmi_add_reason(reason, sizeof reason);
  return fmi_fail(env, FM_ERROR_WRITE, "%s: writing failed%s; check the free space (nothing is left under that name)",
                  out->path, reason);
}
/* keep = false, or a call that has already failed, removes what was written. */
FMI_FN bool fmi_close_write(fmi_env *env, fmi_out *out, bool keep) {
  char reason[200];
  fmi_clear_reason();
  keep = keep && env->error->status == FM_OK;
  if (out->files.close_write(out->files.user, &out->sink, keep) || !keep) return keep;
  fmi_add_reason(reason, sizeof reason);
  return fmi_fail(env, FM_ERROR_WRITE, "%s: writing failed%s; check the free space (nothing is left under that name)",
                  out->path, reason);
}
FMI_FN bool fmi_write_file(fmi_env *env, const char *path, const void *data, size_t size) {
  fmi_out out;
  if (!fmi_open_write(env, &out, path)) return false;
  bool ok = fmi_write(env, &out, data, size);
  return fmi_close_write(env, &out, ok);
}

/* The part of a path behind its last '/' or '\\'. */
FMI_FN const char *fmi_file_name(const char *path) {
  const char *name = path;
  for (const char *p = path; *p; p++)
    if (*p == '/' || *p == '\\') name = p + 1;
  return name;
}

/* ============================================================ [FM:jobs] =============================================
   Work spread over threads: the caller's pool, or threads that live for one series of jobs (starting one costs some 20 us, a run
   has two series). Each job runs under our floating-point state. Test: tests/test_jobs.c */

enum { FMI_MAX_THREADS = 256 };

/* ---- how many processors this process may use ---- */

#if defined(FMI_THREADS) && defined(__linux__) && !defined(FACEMORPH_NO_STDIO)
/* Linux tells in small files, in every mode of the compiler: sched_getaffinity is hidden without _GNU_SOURCE, and of quotas
   nothing else speaks. */

/* The beginning of a small file as a text, "" if there is none. */
FMI_FN bool fmi_read_small_file(const char *path, char *text, size_t room) {
  FILE *file = fmi_fopen(path, false);
  size_t size = file ? fread(text, 1, room - 1, file) : 0;
  if (file) fclose(file);
  text[size] = 0;
  return size > 0;
}

/* Processors in the affinity mask of a process's status text, as in "Cpus_allowed:\tff,fffffffe"; INT_MAX if there is none. */
FMI_FN int fmi_allowed_processors(const char *status) {
  static const char key[] = "\nCpus_allowed:";
  const char *p = strstr(status, key);
  int count = 0;
  for (p = p ? p + sizeof key - 1 : ""; *p && *p != '\n'; p++) {
    int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : 0;
    count += (digit & 1) + (digit >> 1 & 1) + (digit >> 2 & 1) + (digit >> 3);
  }
  return count > 0 ? count : INT_MAX;
}

/* Processors that a quota amounts to, rounded up; INT_MAX: no limit. As cpu.max has it, microseconds in each period:
   "150000 100000", "max 100000"; -1 is no limit in cgroups of version 1. */
FMI_FN int fmi_quota_processors(const char *text) {
  const char *end = text + strlen(text);
  double quota = 0.0, period = 0.0;
  const char *rest = fm_parse_double(text, end, &quota);
  while (rest && (*rest == ' ' || *rest == '\n')) rest++;
  if (!rest || !fm_parse_double(rest, end, &period) || !(quota > 0.0 && period > 0.0)) return INT_MAX;
  double processors = ceil(quota / period);
  return processors < (double)INT_MAX ? (int)processors : INT_MAX;
}

/* Where a process's group begins in the text of /proc/self/cgroup, "/" at least, and how long it is; NULL: no such line. Lines are
   "0::/group" of version 2 and "4:cpu,cpuacct:/group" of version 1. controller: "" for version 2. */
FMI_FN const char *fmi_find_cgroup(const char *text, const char *controller, size_t *length) {
  size_t name = strlen(controller);
  for (const char *line = text; *line;) {
    const char *end = line + strcspn(line, "\n"), *p = line + strcspn(line, ":\n");
    do { /* the controllers one by one */
      if (p == end) break;
      const char *item = p + 1;
      p = item + strcspn(item, ",:\n");
      const char *group = p + strcspn(p, ":\n") + 1;
      if ((size_t)(p - item) == name && memcmp(item, controller, name) == 0 && group < end) {
        *length = (size_t)(end - group);
        return group;
      }
    } while (*p == ',');
    line = end + (*end == '\n');
  }
  return NULL;
}

/* The least quota of a group and those above it; what lies above a container's root is not there, and not missed. */
FMI_FN int fmi_cgroup_processors(const char *root, const char *groups) {
  int least = INT_MAX;
  for (int version = 1; version <= 2; version++) {
    size_t length = 0;
    const char *group = fmi_find_cgroup(groups, version == 1 ? "cpu" : "", &length);
    for (bool more = group != NULL; more;) {
      char path[600], text[100], *period = text;
      const char *file = version == 1 ? "cpu.cfs_quota_us" : "cpu.max", *mount = version == 1 ? "/cpu" : "";
      size_t end = length < 400 ? fmi_format(path, sizeof path, "%s%s", root, mount) : sizeof path;
      if (end + length + 30 < sizeof path) {
        memcpy(path + end, group, length);
        fmi_format(path + end + length, sizeof path - end - length, "/%s", file);
        if (fmi_read_small_file(path, text, sizeof text / 2) && version == 1) {
          period += strlen(text);
          fmi_format(path + end + length, sizeof path - end - length, "/cpu.cfs_period_us");
          fmi_read_small_file(path, period, sizeof text / 2);
        }
        least = fmi_min_int(least, fmi_quota_processors(text));
      }
      more = length > 0;
      while (length > 0 && group[--length] != '/') {}
    }
  }
  return least;
}

FMI_FN int fmi_limited_processors(void) {
  char text[8192];
  int count = fmi_read_small_file("/proc/self/status", text, sizeof text) ? fmi_allowed_processors(text) : INT_MAX;
  return fmi_read_small_file("/proc/self/cgroup", text, sizeof text)
             ? fmi_min_int(count, fmi_cgroup_processors("/sys/fs/cgroup", text))
             : count;
}
#elif defined(FMI_WINDOWS_THREADS)
FMI_FN int fmi_limited_processors(void) {
  DWORD_PTR allowed = 0, all = 0;
  int count = 0;
  if (!GetProcessAffinityMask(GetCurrentProcess(), &allowed, &all)) return INT_MAX;
  for (; allowed; allowed &= allowed - 1) count++;
  return count > 0 ? count : INT_MAX; /* none: threads in several groups of processors */
}
#else
FMI_FN int fmi_limited_processors(void) { return INT_MAX; }
#endif

#ifdef FMI_THREADS
/* Processors that are online, fewer where affinity or a quota allows fewer. */
FMI_FN int fmi_count_processors(void) {
  int online = 1;
#if defined(FMI_WINDOWS_THREADS)
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  online = (int)info.dwNumberOfProcessors;
#elif defined(_SC_NPROCESSORS_ONLN)
  online = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
  return fmi_clamp_int(fmi_min_int(online, fmi_limited_processors()), 1, FMI_MAX_THREADS);
}
#endif

FM_API int fm_worker_count(const fm_common *common) {
  if (common && common->jobs && common->jobs->run) return fmi_max_int(common->jobs->workers, 1);
#ifdef FMI_THREADS
  if (common && common->threads > 0) return fmi_min_int(common->threads, FMI_MAX_THREADS);
  return fmi_count_processors();
#else
  return 1;
#endif
}

/* The same for a call, which asks the system only once. */
FMI_FN int fmi_workers(fmi_env *env) {
  if (!env->workers) env->workers = fm_worker_count(env->common);
  return env->workers;
}
/* How many workers so many jobs can meet: of our own threads never more than jobs. */
FMI_FN int fmi_workers_of(fmi_env *env, size_t jobs) {
  int workers = fmi_workers(env);
  bool own = !env->common->jobs || !env->common->jobs->run;
  return own && jobs < (size_t)workers ? fmi_max_int((int)jobs, 1) : workers;
}

/* ---- a series of jobs ---- */

/* work is called for every i below count, in any worker; hand_over (NULL: none), in order, on the caller's thread, for each i whose
   work is done; false stops the series. At most `window` jobs are between the begin of their work and the end of their hand-over:
   what belongs to job i can lie in slot i % window. */
typedef struct fmi_series {
  fm_job_fn *work;
  bool (*hand_over)(void *data, size_t i);
  void *data;
  size_t count, window;
} fmi_series;

/* A job under our floating-point state, in whichever thread it runs. */
FMI_FN void fmi_do_job(const fmi_series *series, size_t i, int worker) {
  uint64_t state = fmi_enter_float();
  series->work(series->data, i, worker);
  fmi_leave_float(state);
}

FMI_FN void fmi_run_serial(const fmi_series *series) {
  for (size_t i = 0; i < series->count; i++) {
    fmi_do_job(series, i, 0);
    if (series->hand_over && !series->hand_over(series->data, i)) return;
  }
}

#ifdef FMI_THREADS
#if defined(FMI_PTHREADS)
typedef pthread_t fmi_thread;
#define FMI_THREAD_MAIN(name) void *(name)(void *user)
FMI_FN bool fmi_start_thread(fmi_thread *thread, FMI_THREAD_MAIN(*entry), void *user) {
  return pthread_create(thread, NULL, entry, user) == 0;
}
FMI_FN void fmi_join_thread(fmi_thread thread) {
  pthread_join(thread, NULL);
}

/* A lock, and a way to wait for a change of what it protects. */
typedef struct fmi_monitor { pthread_mutex_t lock; pthread_cond_t changed; } fmi_monitor;
FMI_FN bool fmi_begin_monitor(fmi_monitor *m) {
  if (pthread_mutex_init(&m->lock, NULL) != 0) return false;
  if (pthread_cond_init(&m->changed, NULL) == 0) return true;
  pthread_mutex_destroy(&m->lock);
  return false;
}
FMI_FN void fmi_end_monitor(fmi_monitor *m) {
  pthread_cond_destroy(&m->changed);
  pthread_mutex_destroy(&m->lock);
}
FMI_FN void fmi_lock(fmi_monitor *m) {
  pthread_mutex_lock(&m->lock);
}
FMI_FN void fmi_unlock(fmi_monitor *m) {
  pthread_mutex_unlock(&m->lock);
}
FMI_FN void fmi_wait(fmi_monitor *m) {
  pthread_cond_wait(&m->changed, &m->lock);
}
FMI_FN void fmi_wake_all(fmi_monitor *m) {
  pthread_cond_broadcast(&m->changed);
}
#else
typedef HANDLE fmi_thread;
#define FMI_THREAD_MAIN(name) unsigned(__stdcall name)(void *user)
FMI_FN bool fmi_start_thread(fmi_thread *thread, FMI_THREAD_MAIN(*entry), void *user) {
  *thread = (HANDLE)_beginthreadex(NULL, 0, entry, user, 0, NULL);
  return *thread != NULL;
}
FMI_FN void fmi_join_thread(fmi_thread thread) {
  WaitForSingleObject(thread, INFINITE);
  CloseHandle(thread);
}

typedef struct fmi_monitor { SRWLOCK lock; CONDITION_VARIABLE changed; } fmi_monitor;
FMI_FN bool fmi_begin_monitor(fmi_monitor *m) {
  InitializeSRWLock(&m->lock);
  InitializeConditionVariable(&m->changed);
  return true;
}
FMI_FN void fmi_end_monitor(fmi_monitor *m) { (void)m; }
FMI_FN void fmi_lock(fmi_monitor *m) {
  AcquireSRWLockExclusive(&m->lock);
}
FMI_FN void fmi_unlock(fmi_monitor *m) {
  ReleaseSRWLockExclusive(&m->lock);
}
FMI_FN void fmi_wait(fmi_monitor *m) {
  SleepConditionVariableSRW(&m->changed, &m->lock, INFINITE, 0);
}
FMI_FN void fmi_wake_all(fmi_monitor *m) {
  WakeAllConditionVariable(&m->changed);
}
#endif

/* A series under way. The window is at most two jobs a thread where there is something to hand over. */
typedef struct fmi_work {
  const fmi_series *series;
  fmi_monitor monitor;             /* of all that follows */
  size_t next, handed;             /* the first job that nobody has taken, and that is not handed over */
  bool done[2 * FMI_MAX_THREADS];  /* of the jobs in the window */
  bool stopped;
} fmi_work;

typedef struct fmi_worker { fmi_work *work; int index; } fmi_worker;

/* One worker's part. Worker 0 is the caller's thread: it hands over what is ready before it takes another job. */
FMI_FN void fmi_take_part(fmi_work *work, int worker) {
  const fmi_series *series = work->series;
  bool hands_over = series->hand_over && worker == 0;
  fmi_lock(&work->monitor);
  while (!work->stopped && (hands_over ? work->handed : work->next) < series->count) {
    size_t in_flight = work->next - work->handed;
    if (hands_over && in_flight > 0 && work->done[work->handed % series->window]) {
      fmi_unlock(&work->monitor);
      bool ok = series->hand_over(series->data, work->handed); /* which only this thread changes */
      fmi_lock(&work->monitor);
      work->done[work->handed++ % series->window] = false;
      work->stopped = !ok;
      fmi_wake_all(&work->monitor);
    } else if (work->next < series->count && (!series->hand_over || in_flight < series->window)) {
      size_t i = work->next++;
      fmi_unlock(&work->monitor);
      fmi_do_job(series, i, worker);
      fmi_lock(&work->monitor);
      if (!series->hand_over) continue; /* nobody waits for it */
      work->done[i % series->window] = true;
      fmi_wake_all(&work->monitor);
    } else fmi_wait(&work->monitor);
  }
  fmi_unlock(&work->monitor);
}
FMI_FN FMI_THREAD_MAIN(fmi_thread_main) {
  fmi_take_part(((fmi_worker *)user)->work, ((fmi_worker *)user)->index);
  return 0;
}

FMI_FN void fmi_run_threads(const fmi_series *series, int workers) {
  fmi_work work;
  fmi_worker worker[FMI_MAX_THREADS];
  fmi_thread thread[FMI_MAX_THREADS];
  int started = 1;
  memset(&work, 0, sizeof work);
  work.series = series;
  if (workers < 2 || !fmi_begin_monitor(&work.monitor)) { fmi_run_serial(series); return; }
  for (int i = 1; i < workers; i++) { /* too few threads: fewer workers */
    worker[started].work = &work;
    worker[started].index = started;
    if (fmi_start_thread(&thread[started], fmi_thread_main, &worker[started])) started++;
  }
  fmi_take_part(&work, 0);
  for (int i = 1; i < started; i++) fmi_join_thread(thread[i]);
  fmi_end_monitor(&work.monitor);
}
#endif

/* The caller's pool knows no hand-over: a window at a time goes through it. */
typedef struct fmi_series_part { const fmi_series *series; size_t first; } fmi_series_part;
FMI_FN void fmi_do_part_job(void *data, size_t i, int worker) {
  const fmi_series_part *part = (const fmi_series_part *)data;
  fmi_do_job(part->series, part->first + i, worker);
}
FMI_FN void fmi_run_rounds(const fmi_series *series, const fm_jobs *jobs) {
  fmi_series_part round;
  round.series = series;
  for (round.first = 0; round.first < series->count; round.first += series->window) {
    size_t count = fmi_min_size(series->window, series->count - round.first);
    jobs->run(jobs->user, fmi_do_part_job, &round, count);
    for (size_t i = 0; series->hand_over && i < count; i++)
      if (!series->hand_over(series->data, round.first + i)) return;
  }
}

/* The most jobs in flight where something is handed over: with two a worker nobody waits for the slowest. */
FMI_FN size_t fmi_most_in_flight(int workers) {
  return workers > 1 ? 2 * (size_t)workers : 1;
}

/* series->window: at most fmi_most_in_flight where there is a hand_over. */
FMI_FN void fmi_run_series(fmi_env *env, const fmi_series *series) {
  const fm_jobs *jobs = env->common->jobs;
  if (jobs && jobs->run) { fmi_run_rounds(series, jobs); return; }
#ifdef FMI_THREADS
  fmi_run_threads(series, fmi_workers_of(env, series->count));
#else
  fmi_run_serial(series);
#endif
}

FMI_FN void fmi_run_jobs(fmi_env *env, fm_job_fn *fn, void *data, size_t count) {
  fmi_series series;
  memset(&series, 0, sizeof series);
  series.work = fn;
  series.data = data;
  series.count = series.window = count;
  fmi_run_series(env, &series);
}

/* Seconds from some start; 0 always where there is no clock. */
FMI_FN double fmi_clock(const fmi_env *env) {
  if (env->common->clock) return env->common->clock(env->common->clock_user);
#if defined(_WIN32)
  LARGE_INTEGER now, rate;
  QueryPerformanceFrequency(&rate);
  QueryPerformanceCounter(&now);
  return (double)now.QuadPart / (double)rate.QuadPart;
#elif defined(CLOCK_MONOTONIC)
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#elif defined(TIME_UTC)
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#else
  return (double)time(NULL);
#endif
}

/* ============================================================ [FM:math] =============================================
   sin, cos and tan whose last bit does not depend on a C library: polynomials over the ranges that are used. (log2 and exp2 of lanes
   of floats stand in [FM:lanes].)
   Test: tests/test_math.c */

/* sin or cos of 0 to 90 degrees by the Taylor series on [0, pi/4]; the first terms left out are below 3e-18. */
FMI_FN double fmi_quarter_turn(double degrees, bool cosine) {
  bool upper = degrees > 45.0;
  double x = (upper ? 90.0 - degrees : degrees) * 0.017453292519943295, x2 = x * x; /* 90 - degrees is exact there */
  if (upper != cosine)
    return 1.0 + x2 * (-1.0 / 2 + x2 * (1.0 / 24 + x2 * (-1.0 / 720 + x2 * (1.0 / 40320 + x2 * (-1.0 / 3628800 +
           x2 * (1.0 / 479001600 + x2 * (-1.0 / 87178291200.0 + x2 * (1.0 / 20922789888000.0))))))));
  return x * (1.0 + x2 * (-1.0 / 6 + x2 * (1.0 / 120 + x2 * (-1.0 / 5040 + x2 * (1.0 / 362880 + x2 * (-1.0 / 39916800 +
         x2 * (1.0 / 6227020800.0 + x2 * (-1.0 / 1307674368000.0 + x2 * (1.0 / 355687428096000.0)))))))));
}

/* sin and cos of an angle in degrees: exact at multiples of 90, odd and even to the last bit; 0 for what is no angle. Every step
   before the series is exact: fmod is, and the differences are of numbers within a factor of 2. */
FMI_FN double fmi_sin_degrees(double degrees) {
  if (!fmi_is_finite(degrees)) return 0.0;
  double turn = fmod(fabs(degrees), 360.0);
  bool negative = (degrees < 0.0) != (turn > 180.0);
  if (turn > 180.0) turn = 360.0 - turn;
  double value = turn > 90.0 ? fmi_quarter_turn(turn - 90.0, true) : fmi_quarter_turn(turn, false);
  return negative ? -value : value;
}
FMI_FN double fmi_cos_degrees(double degrees) {
  if (!fmi_is_finite(degrees)) return 0.0;
  double turn = fmod(fabs(degrees), 360.0);
  if (turn > 180.0) turn = 360.0 - turn;
  return turn > 90.0 ? -fmi_quarter_turn(turn - 90.0, false) : fmi_quarter_turn(turn, true);
}
FMI_FN double fmi_tan_degrees(double degrees) {
  return fmi_sin_degrees(degrees) / fmi_cos_degrees(degrees);
}

/* ============================================================ [FM:hashes] ===========================================
   CRC-32 (ISO 3309, as PNG and zlib use it), Adler-32 (RFC 1950), SHA-256 (FIPS 180-4). Test: tests/test_hashes.c */

static FMI_UNUSED const uint32_t fmi_crc_table[256] = {
  0x00000000u, 0x77073096u, 0xEE0E612Cu, 0x990951BAu, 0x076DC419u, 0x706AF48Fu, 0xE963A535u, 0x9E6495A3u,
  0x0EDB8832u, 0x79DCB8A4u, 0xE0D5E91Eu, 0x97D2D988u, 0x09B64C2Bu, 0x7EB17CBDu, 0xE7B82D07u, 0x90BF1D91u,
  0x1DB71064u, 0x6AB020F2u, 0xF3B97148u, 0x84BE41DEu, 0x1ADAD47Du, 0x6DDDE4EBu, 0xF4D4B551u, 0x83D385C7u,
  0x136C9856u, 0x646BA8C0u, 0xFD62F97Au, 0x8A65C9ECu, 0x14015C4Fu, 0x63066CD9u, 0xFA0F3D63u, 0x8D080DF5u,
  0x3B6E20C8u, 0x4C69105Eu, 0xD56041E4u, 0xA2677172u, 0x3C03E4D1u, 0x4B04D447u, 0xD20D85FDu, 0xA50AB56Bu,
  0x35B5A8FAu, 0x42B2986Cu, 0xDBBBC9D6u, 0xACBCF940u, 0x32D86CE3u, 0x45DF5C75u, 0xDCD60DCFu, 0xABD13D59u,
  0x26D930ACu, 0x51DE003Au, 0xC8D75180u, 0xBFD06116u, 0x21B4F4B5u, 0x56B3C423u, 0xCFBA9599u, 0xB8BDA50Fu,
  0x2802B89Eu, 0x5F058808u, 0xC60CD9B2u, 0xB10BE924u, 0x2F6F7C87u, 0x58684C11u, 0xC1611DABu, 0xB6662D3Du,
  0x76DC4190u, 0x01DB7106u, 0x98D220BCu, 0xEFD5102Au, 0x71B18589u, 0x06B6B51Fu, 0x9FBFE4A5u, 0xE8B8D433u,
  0x7807C9A2u, 0x0F00F934u, 0x9609A88Eu, 0xE10E9818u, 0x7F6A0DBBu, 0x086D3D2Du, 0x91646C97u, 0xE6635C01u,
  0x6B6B51F4u, 0x1C6C6162u, 0x856530D8u, 0xF262004Eu, 0x6C0695EDu, 0x1B01A57Bu, 0x8208F4C1u, 0xF50FC457u,
  0x65B0D9C6u, 0x12B7E950u, 0x8BBEB8EAu, 0xFCB9887Cu, 0x62DD1DDFu, 0x15DA2D49u, 0x8CD37CF3u, 0xFBD44C65u,
  0x4DB26158u, 0x3AB551CEu, 0xA3BC0074u, 0xD4BB30E2u, 0x4ADFA541u, 0x3DD895D7u, 0xA4D1C46Du, 0xD3D6F4FBu,
  0x4369E96Au, 0x346ED9FCu, 0xAD678846u, 0xDA60B8D0u, 0x44042D73u, 0x33031DE5u, 0xAA0A4C5Fu, 0xDD0D7CC9u,
  0x5005713Cu, 0x270241AAu, 0xBE0B1010u, 0xC90C2086u, 0x5768B525u, 0x206F85B3u, 0xB966D409u, 0xCE61E49Fu,
  0x5EDEF90Eu, 0x29D9C998u, 0xB0D09822u, 0xC7D7A8B4u, 0x59B33D17u, 0x2EB40D81u, 0xB7BD5C3Bu, 0xC0BA6CADu,
  0xEDB88320u, 0x9ABFB3B6u, 0x03B6E20Cu, 0x74B1D29Au, 0xEAD54739u, 0x9DD277AFu, 0x04DB2615u, 0x73DC1683u,
  0xE3630B12u, 0x94643B84u, 0x0D6D6A3Eu, 0x7A6A5AA8u, 0xE40ECF0Bu, 0x9309FF9Du, 0x0A00AE27u, 0x7D079EB1u,
  0xF00F9344u, 0x8708A3D2u, 0x1E01F268u, 0x6906C2FEu, 0xF762575Du, 0x806567CBu, 0x196C3671u, 0x6E6B06E7u,
  0xFED41B76u, 0x89D32BE0u, 0x10DA7A5Au, 0x67DD4ACCu, 0xF9B9DF6Fu, 0x8EBEEFF9u, 0x17B7BE43u, 0x60B08ED5u,
  0xD6D6A3E8u, 0xA1D1937Eu, 0x38D8C2C4u, 0x4FDFF252u, 0xD1BB67F1u, 0xA6BC5767u, 0x3FB506DDu, 0x48B2364Bu,
  0xD80D2BDAu, 0xAF0A1B4Cu, 0x36034AF6u, 0x41047A60u, 0xDF60EFC3u, 0xA867DF55u, 0x316E8EEFu, 0x4669BE79u,
  0xCB61B38Cu, 0xBC66831Au, 0x256FD2A0u, 0x5268E236u, 0xCC0C7795u, 0xBB0B4703u, 0x220216B9u, 0x5505262Fu,
  0xC5BA3BBEu, 0xB2BD0B28u, 0x2BB45A92u, 0x5CB36A04u, 0xC2D7FFA7u, 0xB5D0CF31u, 0x2CD99E8Bu, 0x5BDEAE1Du,
  0x9B64C2B0u, 0xEC63F226u, 0x756AA39Cu, 0x026D930Au, 0x9C0906A9u, 0xEB0E363Fu, 0x72076785u, 0x05005713u,
  0x95BF4A82u, 0xE2B87A14u, 0x7BB12BAEu, 0x0CB61B38u, 0x92D28E9Bu, 0xE5D5BE0Du, 0x7CDCEFB7u, 0x0BDBDF21u,
  0x86D3D2D4u, 0xF1D4E242u, 0x68DDB3F8u, 0x1FDA836Eu, 0x81BE16CDu, 0xF6B9265Bu, 0x6FB077E1u, 0x18B74777u,
  0x88085AE6u, 0xFF0F6A70u, 0x66063BCAu, 0x11010B5Cu, 0x8F659EFFu, 0xF862AE69u, 0x616BFFD3u, 0x166CCF45u,
  0xA00AE278u, 0xD70DD2EEu, 0x4E048354u, 0x3903B3C2u, 0xA7672661u, 0xD06016F7u, 0x4969474Du, 0x3E6E77DBu,
  0xAED16A4Au, 0xD9D65ADCu, 0x40DF0B66u, 0x37D83BF0u, 0xA9BCAE53u, 0xDEBB9EC5u, 0x47B2CF7Fu, 0x30B5FFE9u,
  0xBDBDF21Cu, 0xCABAC28Au, 0x53B39330u, 0x24B4A3A6u, 0xBAD03605u, 0xCDD70693u, 0x54DE5729u, 0x23D967BFu,
  0xB3667A2Eu, 0xC4614AB8u, 0x5D681B02u, 0x2A6F2B94u, 0xB40BBE37u, 0xC30C8EA1u, 0x5A05DF1Bu, 0x2D02EF8Du
};

/* The product of two polynomials modulo CRC-32's, highest power in bit 0. */
FMI_FN uint32_t fmi_crc_product(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a; a <<= 1) {
    if (a & 0x80000000u) product ^= b;
    b = b >> 1 ^ (b & 1 ? 0xEDB88320u : 0);
  }
  return product;
}
/* The register after so many zero bytes more: its product with x^(8 * bytes). */
FMI_FN uint32_t fmi_crc_skip(uint32_t crc, size_t bytes) {
  uint32_t power = 0x00800000u; /* x^8 */
  for (; bytes; bytes >>= 1) {
    if (bytes & 1) crc = fmi_crc_product(crc, power);
    power = fmi_crc_product(power, power);
  }
  return crc;
}

FMI_FN uint32_t fmi_crc32(uint32_t crc, const void *data, size_t size) {
  const uint8_t *p = (const uint8_t *)data;
  crc = ~crc;
  if (size >= 4096) { /* four quarters at once: each step of one would wait for the table */
    size_t n = size / 4;
    uint32_t b = 0, c = 0, d = 0;
    for (size_t i = 0; i < n; i++) {
      crc = fmi_crc_table[(crc ^ p[i]) & 255] ^ crc >> 8;
      b = fmi_crc_table[(b ^ p[n + i]) & 255] ^ b >> 8;
      c = fmi_crc_table[(c ^ p[2 * n + i]) & 255] ^ c >> 8;
      d = fmi_crc_table[(d ^ p[3 * n + i]) & 255] ^ d >> 8;
    }
    crc = fmi_crc_skip(fmi_crc_skip(fmi_crc_skip(crc, n) ^ b, n) ^ c, n) ^ d;
    p += 4 * n;
    size -= 4 * n;
  }
  for (size_t i = 0; i < size; i++) crc = fmi_crc_table[(crc ^ p[i]) & 255] ^ crc >> 8;
  return ~crc;
}

/* The sum of a word's four 16-bit lanes. */
FMI_FN uint32_t fmi_lane_sum(uint64_t lanes) {
  lanes = (lanes & 0x0000FFFF0000FFFFu) + (lanes >> 16 & 0x0000FFFF0000FFFFu);
  return (uint32_t)lanes + (uint32_t)(lanes >> 32);
}

FMI_FN uint32_t fmi_adler32(uint32_t adler, const void *data, size_t size) {
  enum { WORDS = 22 }; /* the most for which 255 * (1 + 2 + ... + WORDS) fits into a lane */
  const uint64_t lanes = 0x00FF00FF00FF00FFu;
  const uint8_t *p = (const uint8_t *)data;
  uint32_t a = adler & 0xFFFF, b = adler >> 16;
  for (size_t words; size >= 8; size -= 8 * words) {
    /* Eight columns: byte j of word i adds itself to a, and 8 (words - i) - j times itself to b. */
    uint64_t even = 0, odd = 0, evens = 0, odds = 0;
    words = fmi_min_size(size / 8, WORDS);
    for (size_t i = 0; i < words; i++, p += 8) {
      uint64_t word = fmi_le64(p);
      even += word & lanes;
      odd += word >> 8 & lanes;
      evens += even;
      odds += odd;
    }
    uint32_t columns = 0; /* j times column j */
    for (unsigned j = 0; j < 8; j++) columns += j * (uint32_t)((j & 1 ? odd : even) >> 16 * (j / 2) & 0xFFFF);
    b += 8 * (uint32_t)words * a + 8 * (fmi_lane_sum(evens) + fmi_lane_sum(odds)) - columns;
    a += fmi_lane_sum(even) + fmi_lane_sum(odd);
    a %= 65521;
    b %= 65521;
  }
  for (; size > 0; size--) {
    a += *p++;
    b += a;
  }
  return b % 65521 << 16 | a % 65521;
}

#define fmi_adler32_lanes FMI_AT_LEVEL(fmi_adler32_lanes)
#define fmi_crc32_lanes FMI_AT_LEVEL(fmi_crc32_lanes)
#define fmi_fold_crc FMI_AT_LEVEL(fmi_fold_crc)
#define FMI_BLOCK FMI_BLOCK_HASHES
#include FACEMORPH_FILENAME
#undef FMI_BLOCK

/* The same checksums with the instructions of a level (fm_simd). */
typedef uint32_t (*fmi_checksum)(uint32_t, const void *, size_t);
static FMI_UNUSED const fmi_checksum fmi_adler32s[] = FMI_BYTE_LEVELS(fmi_adler32_lanes);
static FMI_UNUSED const fmi_checksum fmi_crc32s[] = FMI_BYTE_LEVELS(fmi_crc32_lanes);

#endif /* FMI_COMPILING */

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_HASHES
/* ---- block: checksums at each level ---- */

#if FMI_LEVEL == 1
FMI_FN uint32_t fmi_adler32_lanes(uint32_t adler, const void *data, size_t size) {
  return fmi_adler32(adler, data, size);
}
#else
FMI_FN uint32_t fmi_adler32_lanes(uint32_t adler, const void *data, size_t size) {
  enum { MOST = 5552 / FMI_BYTES }; /* 65520 (1 + n) + 255 n (n + 1) / 2 fits into 32 bits up to n = 5552 bytes */
  const uint8_t *p = (const uint8_t *)data;
  while (size >= FMI_BYTES) {
    size_t n = fmi_min_size(size / FMI_BYTES, MOST);
    uint32_t a = adler & 0xFFFF, b = adler >> 16;
    fmi_vi sums = fmi_seti(0), before = sums, slopes = sums; /* before: of the sums, one for each vector behind */
    size -= n * FMI_BYTES;
    b += a * (uint32_t)(n * FMI_BYTES);
    for (; n > 0; n--, p += FMI_BYTES) {
      fmi_vb x = fmi_loadb(p);
      before = fmi_addi(before, sums);
      sums = fmi_sumb(sums, x);
      slopes = fmi_slopeb(slopes, x);
    }
    a += fmi_totali(sums);
    b += FMI_BYTES * fmi_totali(before) + fmi_totali(slopes);
    adler = b % 65521 << 16 | a % 65521;
  }
#if FMI_LEVEL == 3
  _mm256_zeroupper(); /* gcc 12 forgets it before a call that it makes a jump, and SSE instructions then wait for each other */
#endif
  return fmi_adler32(adler, p, size);
}
#endif

#if FMI_LEVEL == 3
/* Folding by products without carries, after Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ", 2009:
   128 bits move ahead when their halves are multiplied by powers of x. */
FMI_INLINE __m128i fmi_fold_crc(__m128i bits, __m128i powers, __m128i ahead) {
  __m128i low = _mm_clmulepi64_si128(bits, powers, 0x00), high = _mm_clmulepi64_si128(bits, powers, 0x11);
  return _mm_xor_si128(ahead, _mm_xor_si128(low, high));
}
FMI_FN uint32_t fmi_crc32_lanes(uint32_t crc, const void *data, size_t size) {
  const __m128i by_64 = _mm_set_epi64x(0x1C6E41596, 0x154442BD4), by_16 = _mm_set_epi64x(0x0CCAA009E, 0x1751997D0); /* bytes */
  const __m128i *p = (const __m128i *)data;
  uint8_t rest[16];
  if (size < 64) return fmi_crc32(crc, data, size);
  __m128i a = _mm_xor_si128(_mm_loadu_si128(p), _mm_cvtsi32_si128((int)~crc)), b = _mm_loadu_si128(p + 1);
  __m128i c = _mm_loadu_si128(p + 2), d = _mm_loadu_si128(p + 3);
  for (p += 4, size -= 64; size >= 64; p += 4, size -= 64) {
    a = fmi_fold_crc(a, by_64, _mm_loadu_si128(p));
    b = fmi_fold_crc(b, by_64, _mm_loadu_si128(p + 1));
    c = fmi_fold_crc(c, by_64, _mm_loadu_si128(p + 2));
    d = fmi_fold_crc(d, by_64, _mm_loadu_si128(p + 3));
  }
  a = fmi_fold_crc(fmi_fold_crc(fmi_fold_crc(a, by_16, b), by_16, c), by_16, d);
  _mm_storeu_si128((__m128i *)(void *)rest, a);
  return fmi_crc32(fmi_crc32(~0u, rest, 16), p, size); /* ~0: a register of zeros */
}
#else
FMI_FN uint32_t fmi_crc32_lanes(uint32_t crc, const void *data, size_t size) {
  return fmi_crc32(crc, data, size);
}
#endif
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)

typedef struct fmi_sha256 { uint32_t state[8]; uint64_t size; uint8_t block[64]; } fmi_sha256;

FMI_FN uint32_t fmi_rotate_right(uint32_t x, int n) { return x >> n | x << (32 - n); }

FMI_FN void fmi_sha256_block(fmi_sha256 *sha, const uint8_t *p) {
  static const uint32_t k[64] = {
    0x428A2F98u, 0x71374491u, 0xB5C0FBCFu, 0xE9B5DBA5u, 0x3956C25Bu, 0x59F111F1u, 0x923F82A4u, 0xAB1C5ED5u,
    0xD807AA98u, 0x12835B01u, 0x243185BEu, 0x550C7DC3u, 0x72BE5D74u, 0x80DEB1FEu, 0x9BDC06A7u, 0xC19BF174u,
    0xE49B69C1u, 0xEFBE4786u, 0x0FC19DC6u, 0x240CA1CCu, 0x2DE92C6Fu, 0x4A7484AAu, 0x5CB0A9DCu, 0x76F988DAu,
    0x983E5152u, 0xA831C66Du, 0xB00327C8u, 0xBF597FC7u, 0xC6E00BF3u, 0xD5A79147u, 0x06CA6351u, 0x14292967u,
    0x27B70A85u, 0x2E1B2138u, 0x4D2C6DFCu, 0x53380D13u, 0x650A7354u, 0x766A0ABBu, 0x81C2C92Eu, 0x92722C85u,
    0xA2BFE8A1u, 0xA81A664Bu, 0xC24B8B70u, 0xC76C51A3u, 0xD192E819u, 0xD6990624u, 0xF40E3585u, 0x106AA070u,
    0x19A4C116u, 0x1E376C08u, 0x2748774Cu, 0x34B0BCB5u, 0x391C0CB3u, 0x4ED8AA4Au, 0x5B9CCA4Fu, 0x682E6FF3u,
    0x748F82EEu, 0x78A5636Fu, 0x84C87814u, 0x8CC70208u, 0x90BEFFFAu, 0xA4506CEBu, 0xBEF9A3F7u, 0xC67178F2u};
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++) w[i] = fmi_be32(p + 4 * i);
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (fmi_rotate_right(a, 7) ^ fmi_rotate_right(a, 18) ^ a >> 3) +
           (fmi_rotate_right(b, 17) ^ fmi_rotate_right(b, 19) ^ b >> 10);
  }
  memcpy(s, sha->state, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = s[7] + (fmi_rotate_right(s[4], 6) ^ fmi_rotate_right(s[4], 11) ^ fmi_rotate_right(s[4], 25)) +
                  ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
    uint32_t t2 = (fmi_rotate_right(s[0], 2) ^ fmi_rotate_right(s[0], 13) ^ fmi_rotate_right(s[0], 22)) +
                  ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof s[0]);
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) sha->state[i] += s[i];
}
FMI_FN void fmi_sha256_begin(fmi_sha256 *sha) {
  static const uint32_t start[8] = {0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,
                                    0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u};
  memcpy(sha->state, start, sizeof start);
  sha->size = 0;
}
FMI_FN void fmi_sha256_add(fmi_sha256 *sha, const void *data, size_t size) {
  const uint8_t *p = (const uint8_t *)data;
  while (size) {
    size_t have = (size_t)(sha->size & 63), n = fmi_min_size(size, 64 - have);
    if (n == 64) fmi_sha256_block(sha, p);
    else {
      memcpy(sha->block + have, p, n);
      if (have + n == 64) fmi_sha256_block(sha, sha->block);
    }
    sha->size += n;
    p += n;
    size -= n;
  }
}
FMI_FN void fmi_sha256_end(fmi_sha256 *sha, uint8_t digest[32]) {
  static const uint8_t pad[64] = {0x80};
  uint8_t length[8];
  fmi_put_be32(length, (uint32_t)(sha->size >> 29));
  fmi_put_be32(length + 4, (uint32_t)(sha->size << 3));
  fmi_sha256_add(sha, pad, 1 + (size_t)((119 - (sha->size & 63)) & 63));
  fmi_sha256_add(sha, length, 8);
  for (int i = 0; i < 8; i++) fmi_put_be32(digest + 4 * i, sha->state[i]);
}

/* ============================================================ [FM:inflate] ==========================================
   Inflate and deflate: zlib streams (RFC 1950) of deflate blocks (RFC 1951), both ways, without an allocation of their own.
   Guarantees: any input is safe to inflate; nothing is written past the output's end; the same input deflates to the same
   bytes everywhere. Trusts: the caller's sizes. Test: tests/test_inflate.c */

/* Base value and number of extra bits of each length and distance code (RFC 1951, 3.2.5). */
static const uint16_t fmi_length_base[29] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
                                             131, 163, 195, 227, 258};
static const uint8_t fmi_length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                             2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t fmi_distance_base[30] = {1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025,
                                               1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t fmi_distance_extra[30] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12,
                                               13, 13};
/* The order in which the lengths of the code length code are stored (RFC 1951, 3.2.7). */
static const uint8_t fmi_length_order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

/* Code lengths of the fixed codes (RFC 1951, 3.2.6): 288 literals and lengths, then 32 distances. */
FMI_FN void fmi_fixed_lengths(uint8_t lengths[320]) {
  memset(lengths, 8, 144);
  memset(lengths + 144, 9, 112);
  memset(lengths + 256, 7, 24);
  memset(lengths + 280, 8, 8);
  memset(lengths + 288, 5, 32);
}

/* ---- inflate ---- */

/* A decoding table is indexed by the next bits of the stream: as many as FMI_*_BITS, then a sub-table for longer codes. An
   entry says all about its symbol:
     bits 0 to 5    how many bits the symbol takes, extra bits included
     bits 8 to 11   how many of them are the code itself (in a link: how many bits index the sub-table)
     bits 13 to 15  FMI_ENTRY_SPECIAL: no literal, length or distance, but a link, the block's end, or a code without meaning
     bits 16 to 30  literal, base length, base distance, or where the sub-table starts
     bit 31         literal
   A table of n symbols needs room for the worst complete code; those numbers follow from n, FMI_*_BITS and 15. */
enum {
  FMI_LITERAL_BITS = 11, FMI_LITERAL_ROOM = 2342,
  FMI_DISTANCE_BITS = 8, FMI_DISTANCE_ROOM = 402,
  FMI_LENGTH_BITS = 7, FMI_LENGTH_ROOM = 128,
  FMI_ENTRY_END = 1 << 13, FMI_ENTRY_LINK = 1 << 14, FMI_ENTRY_SPECIAL = 1 << 15,
  FMI_INFLATE_SLACK = 288 /* so far may the output be ahead of the limit given to fmi_inflater_run */
};
#define FMI_ENTRY_LITERAL 0x80000000u

typedef enum fmi_inflate_stage { FMI_BLOCK_HEADER, FMI_BLOCK_STORED, FMI_BLOCK_CODED, FMI_BLOCK_NONE } fmi_inflate_stage;

/* A stream being inflated. The input lies in one piece; the output may be taken in pieces. About 11 KB: for the heap. */
typedef struct fmi_inflater {
  fm_simd simd;
  const uint8_t *in_begin, *in, *in_end;
  uint64_t bits;               /* bits read ahead: count of them count, those above are 0 or equal the input's next ones */
  unsigned count;
  const uint8_t *history;      /* the oldest byte of the output that is still there */
  uint8_t *out, *out_end;
  fmi_inflate_stage stage;
  bool last;                   /* the block under way is the last one */
  bool full;                   /* failed because the stream goes on where the output ends */
  size_t stored;               /* bytes left of a stored block */
  const char *error;           /* what is wrong with the stream, in words; NULL as long as it is right */
  uint32_t literals[FMI_LITERAL_ROOM], distances[FMI_DISTANCE_ROOM];
} fmi_inflater;

FMI_FN bool fmi_inflate_error(fmi_inflater *z, const char *words) {
  if (!z->error) z->error = words;
  return false;
}

/* How many bytes of the input are used up. */
FMI_FN size_t fmi_inflate_position(const fmi_inflater *z) { return (size_t)(z->in - z->in_begin) - z->count / 8; }

/* Reads ahead: at least 56 bits, or all that is left. */
FMI_FN void fmi_inflate_fill(fmi_inflater *z) {
  if (z->in_end - z->in >= 8) {
    z->bits |= fmi_le64(z->in) << z->count;
    z->in += (63 - z->count) >> 3;
    z->count |= 56;
    return;
  }
  while (z->count < 56 && z->in < z->in_end) {
    z->bits |= (uint64_t)*z->in++ << z->count;
    z->count += 8;
  }
}
/* Uses up n bits, n <= 48 and behind a fill. */
FMI_FN bool fmi_inflate_drop(fmi_inflater *z, unsigned n) {
  if (n > z->count) return fmi_inflate_error(z, "the compressed data ends in the middle");
  z->bits >>= n;
  z->count -= n;
  return true;
}
FMI_FN bool fmi_inflate_bits(fmi_inflater *z, unsigned n, unsigned *value) {
  fmi_inflate_fill(z);
  *value = (unsigned)(z->bits & (((uint64_t)1 << n) - 1));
  return fmi_inflate_drop(z, n);
}

/* Is this set of code lengths a prefix code without gaps? Allowed besides: one code of one bit, and with may_be_empty none. */
FMI_FN bool fmi_code_is_complete(const unsigned counts[16], bool may_be_empty) {
  unsigned left = 1, codes = 0;
  for (int length = 1; length <= 15; length++) {
    left <<= 1;
    if (counts[length] > left) return false;
    left -= counts[length];
    codes += counts[length];
  }
  return left == 0 || (codes == 1 && counts[1] == 1) || (codes == 0 && may_be_empty);
}

/* The next code of the same length, bits reversed: an increment that carries downwards from the code's last bit. */
FMI_FN unsigned fmi_next_code(unsigned code, unsigned length) {
  unsigned bit = 1u << (length - 1);
  while (code & bit) bit >>= 1;
  return bit ? (code & (bit - 1)) | bit : 0;
}

/* Makes the table of a code from its lengths; infos[s] is the entry of symbol s without its code's length. False: no prefix code. */
FMI_FN bool fmi_make_table(uint32_t *table, unsigned table_bits, size_t room, const uint8_t *lengths,
                           const uint32_t *infos, unsigned symbols, bool may_be_empty) {
  unsigned counts[16] = {0}, starts[16], code = 0, sorted_count = 0;
  uint16_t sorted[288];
  for (unsigned s = 0; s < symbols; s++) counts[lengths[s]]++;
  counts[0] = 0;
  if (!fmi_code_is_complete(counts, may_be_empty)) return false;
  for (unsigned length = 1; length <= 15; length++) {
    starts[length] = sorted_count;
    sorted_count += counts[length];
  }
  for (unsigned s = 0; s < symbols; s++)
    if (lengths[s]) sorted[starts[lengths[s]]++] = (uint16_t)s;

  const uint16_t *next = sorted;
  uint32_t undefined = FMI_ENTRY_SPECIAL;
  table[0] = table[1] = undefined;
  for (unsigned length = 1; length <= table_bits; length++) { /* a table of `length` bits is the shorter one twice, and its own codes */
    if (length > 1) memcpy(table + ((size_t)1 << (length - 1)), table, sizeof *table << (length - 1));
    for (unsigned i = counts[length]; i > 0; i--) {
      table[code] = infos[*next++] + length + (length << 8);
      code = fmi_next_code(code, length);
    }
  }
  size_t end = (size_t)1 << table_bits, start = 0;
  unsigned prefix = UINT_MAX, mask = (1u << table_bits) - 1, sub_bits = 0;
  for (unsigned length = table_bits + 1; length <= 15; length++)
    for (; counts[length] > 0; counts[length]--) {
      if ((code & mask) != prefix) { /* a new sub-table, as large as the codes that share this prefix need */
        prefix = code & mask;
        sub_bits = length - table_bits;
        unsigned filled = counts[length];
        while (filled < 1u << sub_bits) filled = 2 * filled + counts[table_bits + ++sub_bits];
        start = end;
        end += (size_t)1 << sub_bits;
        if (end > room) return false;
        table[prefix] = (uint32_t)start << 16 | sub_bits << 8 | FMI_ENTRY_SPECIAL | FMI_ENTRY_LINK;
      }
      uint32_t entry = infos[*next++] + length + (length << 8);
      for (unsigned i = code >> table_bits; i < 1u << sub_bits; i += 1u << (length - table_bits))
        table[start + i] = entry;
      code = fmi_next_code(code, length);
    }
  return true;
}

/* Both tables of a block from the lengths of its literal and distance codes. */
FMI_FN bool fmi_make_tables(fmi_inflater *z, const uint8_t *lengths, unsigned literal_count, unsigned distance_count) {
  uint32_t infos[288];
  for (unsigned s = 0; s < 256; s++) infos[s] = FMI_ENTRY_LITERAL | s << 16;
  infos[256] = FMI_ENTRY_SPECIAL | FMI_ENTRY_END;
  for (unsigned s = 0; s < 29; s++) infos[257 + s] = (uint32_t)fmi_length_base[s] << 16 | fmi_length_extra[s];
  infos[286] = infos[287] = FMI_ENTRY_SPECIAL;
  if (lengths[256] == 0) return fmi_inflate_error(z, "a compressed block has no end code");
  if (!fmi_make_table(z->literals, FMI_LITERAL_BITS, FMI_LITERAL_ROOM, lengths, infos, literal_count, false))
    return fmi_inflate_error(z, "a compressed block's literal codes contradict each other");
  for (unsigned s = 0; s < 30; s++) infos[s] = (uint32_t)fmi_distance_base[s] << 16 | fmi_distance_extra[s];
  infos[30] = infos[31] = FMI_ENTRY_SPECIAL;
  if (!fmi_make_table(z->distances, FMI_DISTANCE_BITS, FMI_DISTANCE_ROOM, lengths + literal_count, infos,
                      distance_count, true))
    return fmi_inflate_error(z, "a compressed block's distance codes contradict each other");
  return true;
}

/* The codes of a block that brings its own (RFC 1951, 3.2.7). */
FMI_FN bool fmi_read_codes(fmi_inflater *z) {
  uint8_t lengths[320] = {0}, order[19] = {0};
  uint32_t table[FMI_LENGTH_ROOM], infos[19];
  unsigned literal_count, distance_count, order_count;
  if (!fmi_inflate_bits(z, 5, &literal_count) || !fmi_inflate_bits(z, 5, &distance_count)) return false;
  if (!fmi_inflate_bits(z, 4, &order_count)) return false;
  literal_count += 257;
  distance_count += 1;
  for (unsigned i = 0, length; i < order_count + 4; i++) {
    if (!fmi_inflate_bits(z, 3, &length)) return false;
    order[fmi_length_order[i]] = (uint8_t)length;
  }
  for (unsigned s = 0; s < 19; s++) infos[s] = s << 16;
  if (!fmi_make_table(table, FMI_LENGTH_BITS, FMI_LENGTH_ROOM, order, infos, 19, false))
    return fmi_inflate_error(z, "a compressed block's code lengths contradict each other");
  for (unsigned i = 0, count = literal_count + distance_count; i < count;) {
    fmi_inflate_fill(z);
    uint32_t entry = table[z->bits & (FMI_LENGTH_ROOM - 1)];
    unsigned symbol = entry >> 16, repeat = 1, length = symbol;
    if (entry & FMI_ENTRY_SPECIAL)
      return fmi_inflate_error(z, "a compressed block's code lengths use a code without meaning");
    if (!fmi_inflate_drop(z, entry & 63)) return false;
    if (symbol >= 16) {
      static const uint8_t bits[3] = {2, 3, 7}, base[3] = {3, 3, 11};
      if (!fmi_inflate_bits(z, bits[symbol - 16], &repeat)) return false;
      repeat += base[symbol - 16];
      if (symbol == 16 && i == 0)
        return fmi_inflate_error(z, "a compressed block repeats a code length before the first one");
      length = symbol == 16 ? lengths[i - 1] : 0;
    }
    if (repeat > count - i) return fmi_inflate_error(z, "a compressed block has more code lengths than it announced");
    memset(lengths + i, (int)length, repeat);
    i += repeat;
  }
  return fmi_make_tables(z, lengths, literal_count, distance_count);
}

FMI_FN bool fmi_begin_block(fmi_inflater *z) {
  unsigned last, type;
  if (!fmi_inflate_bits(z, 1, &last) || !fmi_inflate_bits(z, 2, &type)) return false;
  z->last = last != 0;
  if (type == 0) {
    unsigned length, check;
    if (!fmi_inflate_drop(z, z->count & 7)) return false;
    if (!fmi_inflate_bits(z, 16, &length) || !fmi_inflate_bits(z, 16, &check)) return false;
    if (length != (check ^ 0xFFFF)) return fmi_inflate_error(z, "a stored block's two lengths contradict each other");
    z->in -= z->count / 8; /* its bytes follow: what was read ahead goes back */
    z->bits = 0;
    z->count = 0;
    z->stored = length;
    z->stage = FMI_BLOCK_STORED;
    return true;
  }
  z->stage = FMI_BLOCK_CODED;
  if (type == 2) return fmi_read_codes(z);
  if (type == 3) return fmi_inflate_error(z, "a compressed block is of a kind that does not exist");
  uint8_t lengths[320];
  fmi_fixed_lengths(lengths);
  return fmi_make_tables(z, lengths, 288, 32);
}

FMI_FN bool fmi_no_room(fmi_inflater *z) {
  z->full = true;
  return fmi_inflate_error(z, "there is more compressed data than belongs here");
}

FMI_FN bool fmi_copy_stored(fmi_inflater *z, const uint8_t *limit) {
  size_t n = fmi_min_size(z->stored, (size_t)(limit - z->out));
  if (n > (size_t)(z->in_end - z->in)) return fmi_inflate_error(z, "the compressed data ends in the middle");
  if (n) memcpy(z->out, z->in, n);
  z->out += n;
  z->in += n;
  z->stored -= n;
  return true;
}

/* Copies a match where 16 bytes more than its length may be written. */
FMI_INLINE void fmi_copy_match_fast(uint8_t *to, size_t distance, size_t length) {
  static const uint8_t steps[8] = {0, 8, 8, 6, 8, 5, 6, 7}; /* multiples of 1 to 7 */
  uint8_t *end = to + length;
  if (distance >= 16) {
    do { memcpy(to, to - distance, 16); to += 16; } while (to < end);
  } else if (distance >= 8) {
    do { memcpy(to, to - distance, 8); to += 8; } while (to < end);
  } else { /* a pattern: a word of it is written again and again */
    uint64_t word = fmi_le64(to - distance) & (((uint64_t)1 << 8 * distance) - 1);
    for (size_t bits = 8 * distance; bits < 64; bits *= 2) word |= word << bits;
    do { fmi_put_le64(to, word); to += steps[distance]; } while (to < end);
  }
}

/* Entry of the next symbol, through its sub-table if it has one. */
FMI_INLINE uint32_t fmi_look_up(const uint32_t *table, unsigned table_bits, uint64_t bits) {
  uint32_t entry = table[bits & ((1u << table_bits) - 1)];
  if (entry & FMI_ENTRY_LINK) entry = table[(entry >> 16) + ((bits >> table_bits) & ((1u << (entry >> 8 & 15)) - 1))];
  return entry;
}
/* Length or distance: the base and the extra bits behind the code. */
FMI_INLINE unsigned fmi_entry_value(uint32_t entry, uint64_t bits) {
  return (entry >> 16) + (unsigned)((bits & (((uint64_t)1 << (entry & 63)) - 1)) >> (entry >> 8 & 15));
}

#define fmi_decode_fast FMI_AT_LEVEL(fmi_decode_fast)
#define FMI_BLOCK FMI_BLOCK_INFLATE
#include FACEMORPH_FILENAME
#undef FMI_BLOCK

#endif /* FMI_COMPILING */

/* What AVX2 brings here are the shifts of BMI2. */
#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_INFLATE && (FMI_LEVEL == 1 || FMI_LEVEL == 3)
/* ---- block: the loop of inflate ---- */

/* Decodes symbols as long as a whole one surely fits into input and output; all state is in registers meanwhile. One round
   reads at most 24 bytes ahead and writes at most 2 literals, a match of 258 and 16 bytes of overshoot. A round begins with its first
   entry looked up already, which hides the table's latency behind the copying of the round before. */
FMI_FN bool fmi_decode_fast(fmi_inflater *z, const uint8_t *limit) {
  enum { IN_SLACK = 32, OUT_SLACK = 280 };
  if (z->in_end - z->in < IN_SLACK || z->out_end - z->out < OUT_SLACK) return true;
  const uint8_t *in = z->in, *in_safe = z->in_end - IN_SLACK;
  const uint8_t *out_safe = z->out_end - OUT_SLACK < limit ? z->out_end - OUT_SLACK : limit - 1;
  const uint32_t *literals = z->literals, *distances = z->distances;
  uint64_t bits = z->bits;
  unsigned count = z->count;
  const uint8_t *history = z->history; /* or it would be read again behind every byte written */
  uint8_t *out = z->out;
  const char *error = NULL;
#define FMI_FILL() (bits |= fmi_le64(in) << count, in += (63 - count) >> 3, count |= 56)
#define FMI_DROP(entry) (bits >>= (entry) & 63, count -= (entry) & 63)
#define FMI_LITERAL() literals[bits & ((1u << FMI_LITERAL_BITS) - 1)]
  FMI_FILL();
  uint32_t entry = FMI_LITERAL();
  while (in <= in_safe && out <= out_safe) {
    if (entry & FMI_ENTRY_LITERAL) {
      FMI_DROP(entry);
      *out++ = (uint8_t)(entry >> 16);
      entry = FMI_LITERAL();
      if (entry & FMI_ENTRY_LITERAL) {
        FMI_DROP(entry);
        *out++ = (uint8_t)(entry >> 16);
        entry = FMI_LITERAL();
        if (entry & FMI_ENTRY_LITERAL) {
          FMI_DROP(entry);
          *out++ = (uint8_t)(entry >> 16);
          FMI_FILL();
          entry = FMI_LITERAL();
          continue;
        }
      }
      FMI_FILL();
    }
    if (entry & FMI_ENTRY_SPECIAL) {
      entry = fmi_look_up(literals, FMI_LITERAL_BITS, bits);
      if (entry & FMI_ENTRY_SPECIAL) {
        FMI_DROP(entry);
        if (entry & FMI_ENTRY_END) z->stage = z->last ? FMI_BLOCK_NONE : FMI_BLOCK_HEADER;
        else error = "the compressed data uses a code without meaning";
        break;
      }
      if (entry & FMI_ENTRY_LITERAL) {
        FMI_DROP(entry);
        *out++ = (uint8_t)(entry >> 16);
        FMI_FILL();
        entry = FMI_LITERAL();
        continue;
      }
    }
    unsigned length = fmi_entry_value(entry, bits);
    FMI_DROP(entry);
    entry = fmi_look_up(distances, FMI_DISTANCE_BITS, bits);
    if (entry & FMI_ENTRY_SPECIAL) {
      error = "the compressed data uses a distance code without meaning";
      break;
    }
    unsigned distance = fmi_entry_value(entry, bits);
    FMI_DROP(entry);
    if (distance > (size_t)(out - history)) {
      error = "the compressed data refers back to before its beginning";
      break;
    }
    FMI_FILL();
    entry = FMI_LITERAL();
    fmi_copy_match_fast(out, distance, length);
    out += length;
  }
#undef FMI_FILL
#undef FMI_DROP
#undef FMI_LITERAL
  z->in = in;
  z->bits = bits;
  z->count = count;
  z->out = out;
  return error ? fmi_inflate_error(z, error) : true;
}

#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)

static bool (*const fmi_fast_decoders[])(fmi_inflater *, const uint8_t *) = {
  NULL, fmi_decode_fast_scalar, fmi_decode_fast_scalar, FMI_IF_AVX2(fmi_decode_fast_avx2), FMI_IF_AVX512(fmi_decode_fast_avx2),
  fmi_decode_fast_scalar};

/* Decodes one symbol and checks everything: for the last bytes of input and output. */
FMI_FN bool fmi_decode_one(fmi_inflater *z) {
  fmi_inflate_fill(z);
  uint32_t entry = fmi_look_up(z->literals, FMI_LITERAL_BITS, z->bits);
  uint64_t bits = z->bits;
  if (!fmi_inflate_drop(z, entry & 63)) return false;
  if (entry & FMI_ENTRY_LITERAL) {
    if (z->out == z->out_end) return fmi_no_room(z);
    *z->out++ = (uint8_t)(entry >> 16);
    return true;
  }
  if (entry & FMI_ENTRY_END) {
    z->stage = z->last ? FMI_BLOCK_NONE : FMI_BLOCK_HEADER;
    return true;
  }
  if (entry & FMI_ENTRY_SPECIAL) return fmi_inflate_error(z, "the compressed data uses a code without meaning");
  size_t length = fmi_entry_value(entry, bits);
  fmi_inflate_fill(z);
  bits = z->bits;
  entry = fmi_look_up(z->distances, FMI_DISTANCE_BITS, bits);
  if (entry & FMI_ENTRY_SPECIAL) return fmi_inflate_error(z, "the compressed data uses a distance code without meaning");
  size_t distance = fmi_entry_value(entry, bits);
  if (!fmi_inflate_drop(z, entry & 63)) return false;
  if (distance > (size_t)(z->out - z->history))
    return fmi_inflate_error(z, "the compressed data refers back to before its beginning");
  if (length > (size_t)(z->out_end - z->out)) return fmi_no_room(z);
  for (; length > 0; length--, z->out++) *z->out = *(z->out - distance);
  return true;
}

/* Begins a zlib stream: checks its header (RFC 1950, 2.2). */
FMI_FN bool fmi_inflater_begin(fmi_inflater *z, fm_simd simd, const uint8_t *data, size_t size) {
  z->simd = simd;
  z->in_begin = z->in = data;
  z->in_end = data + size;
  z->bits = 0;
  z->count = 0;
  z->stage = FMI_BLOCK_HEADER;
  z->last = z->full = false;
  z->stored = 0;
  z->error = NULL;
  z->history = NULL;
  z->out = z->out_end = NULL;
  if (size < 2) return fmi_inflate_error(z, "the compressed data ends in the middle");
  if ((data[0] & 15) != 8 || data[0] >> 4 > 7 || fmi_be16(data) % 31 != 0)
    return fmi_inflate_error(z, "the compressed data does not begin as a zlib stream does");
  if (data[1] & 32) return fmi_inflate_error(z, "the compressed data needs a dictionary that is not part of it");
  z->in += 2;
  return true;
}

/* Where the output goes on: at out, never beyond end; matches may reach back to history (32,768 bytes are always enough). */
FMI_FN void fmi_inflater_output(fmi_inflater *z, const uint8_t *history, uint8_t *out, uint8_t *end) {
  z->history = history;
  z->out = out;
  z->out_end = end;
}

/* Decodes until the stream ends or z->out reaches limit, which it may pass by FMI_INFLATE_SLACK where out_end allows. */
FMI_FN bool fmi_inflater_run(fmi_inflater *z, const uint8_t *limit) {
  while (z->stage != FMI_BLOCK_NONE && z->out < limit) {
    if (z->stage == FMI_BLOCK_HEADER) {
      if (!fmi_begin_block(z)) return false;
    } else if (z->stage == FMI_BLOCK_STORED) {
      if (!fmi_copy_stored(z, limit)) return false;
      if (z->stored == 0) z->stage = z->last ? FMI_BLOCK_NONE : FMI_BLOCK_HEADER;
    } else {
      if (!fmi_fast_decoders[z->simd](z, limit)) return false;
      if (z->stage == FMI_BLOCK_CODED && z->out < limit && !fmi_decode_one(z)) return false;
    }
  }
  return true;
}

/* Behind the last byte of output that is wanted: the stream must end here, with this checksum of its whole output. */
FMI_FN bool fmi_inflater_finish(fmi_inflater *z, uint32_t adler) {
  unsigned high, low;
  z->out_end = z->out;
  while (z->stage != FMI_BLOCK_NONE) {
    if (z->stage == FMI_BLOCK_HEADER) {
      if (!fmi_begin_block(z)) return false;
    } else if (z->stage == FMI_BLOCK_STORED) {
      if (z->stored > 0) return fmi_no_room(z);
      z->stage = z->last ? FMI_BLOCK_NONE : FMI_BLOCK_HEADER;
    } else if (!fmi_decode_one(z)) return false;
  }
  fmi_inflate_fill(z);
  if (!fmi_inflate_drop(z, z->count & 7) || !fmi_inflate_bits(z, 16, &high) || !fmi_inflate_bits(z, 16, &low))
    return false;
  uint32_t stored = (high & 255) << 24 | (high >> 8) << 16 | (low & 255) << 8 | low >> 8; /* big-endian, read as little-endian */
  return stored == adler || fmi_inflate_error(z, "the checksum (Adler-32) of the decompressed data is wrong");
}

/* Records what z says; offset: where its first byte lies in the file. */
FMI_FN bool fmi_inflate_report(fmi_env *env, const fmi_inflater *z, uint64_t offset) {
  return fmi_fail_byte(env, FM_ERROR_FORMAT, offset + fmi_inflate_position(z),
                       "%s; the file is damaged: copy or export it again", z->error);
}

/* Inflates a zlib stream into exactly out_size bytes and checks its checksum. No allocation: z is the caller's. */
FMI_FN bool fmi_inflate_with(fmi_inflater *z, fm_simd simd, const uint8_t *data, size_t size, uint8_t *out, size_t out_size) {
  if (!fmi_inflater_begin(z, simd, data, size)) return false;
  fmi_inflater_output(z, out, out, out + out_size);
  if (!fmi_inflater_run(z, out + out_size)) return false;
  if ((size_t)(z->out - out) < out_size) return fmi_inflate_error(z, "there is less compressed data than belongs here");
  return fmi_inflater_finish(z, fmi_adler32s[simd](1, out, out_size));
}
/* The same, and a failure is recorded; offset: where data lies in the file. */
FMI_FN bool fmi_inflate(fmi_env *env, const uint8_t *data, size_t size, uint64_t offset, uint8_t *out, size_t out_size) {
  fmi_inflater *z = (fmi_inflater *)fmi_alloc(env, &env->temp, 1, sizeof *z);
  if (!z) return false;
  bool ok = fmi_inflate_with(z, env->simd, data, size, out, out_size) || fmi_inflate_report(env, z, offset);
  fmi_release(env, z);
  return ok;
}
/* No stream of this many bytes inflates to more: a match of 258 bytes takes 2 bits at least. */
FMI_FN uint64_t fmi_inflate_most(size_t size) {
  uint64_t bytes = size; /* of its own: gcc tells a 32-bit size that it cannot be so much */
  return bytes > UINT64_MAX / 1032 ? UINT64_MAX : bytes * 1032;
}

/* ---- deflate ---- */

/* How hard to search. A match shorter than `shortest` (4 to 8) becomes literals; one of `lazy` or more is taken without looking whether
   the next byte starts a longer one; one of `nice` or more ends the search; `chain` candidates are tried at most. */
typedef struct fmi_effort { unsigned shortest, lazy, nice, chain; } fmi_effort;
static FMI_UNUSED const fmi_effort fmi_effort_data = {4, 32, 160, 96}; /* numbers and text */

enum { FMI_TOKENS = 16384, FMI_HASH_BITS = 15, FMI_WINDOW = 32768, FMI_HASH_READS = 8, FMI_LONGEST_MATCH = 258 };

enum { FMI_ZLIB_HEADER = 0x9C78 }; /* deflate, a window of 32 KB, default level (RFC 1950, 2.2), first byte lowest */

/* Bits on their way out, first bit lowest. */
typedef struct fmi_bit_writer { uint8_t *out; uint64_t bits; unsigned count; } fmi_bit_writer;

FMI_INLINE void fmi_put_bits(fmi_bit_writer *w, uint32_t value, unsigned count) { /* count <= 32; behind a flush 56 fit */
  w->bits |= (uint64_t)value << w->count;
  w->count += count;
}
FMI_INLINE void fmi_flush_bits(fmi_bit_writer *w) { /* writes 8 bytes, of which the whole ones count */
  fmi_put_le64(w->out, w->bits);
  w->out += w->count >> 3;
  w->bits >>= w->count & ~7u;
  w->count &= 7;
}
FMI_FN void fmi_end_byte(fmi_bit_writer *w) {
  w->count = (w->count + 7) & ~7u;
  fmi_flush_bits(w);
}

FMI_FN unsigned fmi_log2_floor(unsigned x) {
#if defined(__GNUC__) || defined(__clang__)
  return 31u - (unsigned)__builtin_clz(x);
#else
  unsigned n = 0;
  while (x >>= 1) n++;
  return n;
#endif
}
/* How many of the lower bits are 0; x is not. */
FMI_FN unsigned fmi_low_zeros(uint64_t x) {
#if defined(__GNUC__) || defined(__clang__)
  return (unsigned)__builtin_ctzll(x);
#else
  unsigned n = 0;
  for (unsigned step = 32; step > 0; step /= 2)
    if (!(x << (64 - n - step))) n += step;
  return n;
#endif
}

/* Symbol of a match's length and distance: the inverse of fmi_length_base and fmi_distance_base. */
FMI_FN unsigned fmi_length_symbol(unsigned length) {
  unsigned x = length - 3;
  if (x < 8) return 257 + x;
  if (length == FMI_LONGEST_MATCH) return 285;
  unsigned extra = fmi_log2_floor(x) - 2;
  return 257 + 4 * extra + (x >> extra);
}
FMI_FN unsigned fmi_distance_symbol(unsigned distance) {
  unsigned x = distance - 1;
  if (x < 4) return x;
  unsigned extra = fmi_log2_floor(x) - 1;
  return 2 * extra + (x >> extra);
}

/* The symbols that occur (at most 286), the rarest first, equal ones in their order; returns how many. Digit by digit. */
FMI_FN unsigned fmi_sort_symbols(uint16_t *sorted, const uint32_t *counts, unsigned symbols) {
  uint16_t other[286];
  uint32_t most = 0;
  unsigned n = 0;
  for (unsigned s = 0; s < symbols; s++)
    if (counts[s]) {
      sorted[n++] = (uint16_t)s;
      most |= counts[s];
    }
  for (unsigned shift = 0; shift < 32 && most >> shift; shift += 8) {
    uint16_t start[257] = {0};
    for (unsigned i = 0; i < n; i++) start[1 + (counts[sorted[i]] >> shift & 255)]++;
    for (unsigned i = 1; i < 256; i++) start[i] = (uint16_t)(start[i] + start[i - 1]);
    for (unsigned i = 0; i < n; i++) other[start[counts[sorted[i]] >> shift & 255]++] = sorted[i];
    memcpy(sorted, other, n * sizeof *sorted);
  }
  return n;
}

/* Code lengths of an optimal prefix code (Huffman 1952), none above `most`. At least two symbols get a code. */
FMI_FN void fmi_huffman_lengths(uint8_t *lengths, const uint32_t *counts, unsigned symbols, unsigned most) {
  uint32_t weight[2 * 286];
  uint16_t parent[2 * 286], sorted[286];
  unsigned n = fmi_sort_symbols(sorted, counts, symbols), totals[33] = {0};
  memset(lengths, 0, symbols);
  if (n < 2) {
    unsigned used = n == 1 ? sorted[0] : 0;
    lengths[used] = lengths[used == 0 ? 1 : 0] = 1;
    return;
  }
  for (unsigned i = 0; i < n; i++) weight[i] = counts[sorted[i]];
  unsigned leaf = 0, inner = n, end = n; /* leaves and inner nodes are two queues in the order of their weights */
  for (; end < 2 * n - 1; end++) {
    weight[end] = 0;
    for (int child = 0; child < 2; child++) {
      unsigned least = leaf < n && (inner == end || weight[leaf] <= weight[inner]) ? leaf++ : inner++;
      weight[end] += weight[least];
      parent[least] = (uint16_t)end;
    }
  }
  weight[end - 1] = 0; /* from here on: the depth */
  uint32_t sum = 0;    /* of 2^(most - length): at most 2^most in a prefix code */
  for (unsigned i = end - 1; i-- > 0;) {
    weight[i] = weight[parent[i]] + 1;
    if (i < n) {
      unsigned length = weight[i] < most ? weight[i] : most;
      totals[length]++;
      sum += 1u << (most - length);
    }
  }
  for (; sum > 1u << most; sum--) { /* cutting made too many: one of the longest becomes the sibling of a shorter one */
    unsigned length = most - 1;
    while (totals[length] == 0) length--;
    totals[length]--;
    totals[length + 1] += 2;
    totals[most]--;
  }
  unsigned next = 0;
  for (unsigned length = most; length > 0; length--) /* the rarest get the longest */
    for (; totals[length] > 0; totals[length]--) lengths[sorted[next++]] = (uint8_t)length;
}

/* The codes that follow from their lengths (RFC 1951, 3.2.2), first bit lowest. */
FMI_FN void fmi_assign_codes(uint16_t *codes, const uint8_t *lengths, unsigned symbols) {
  unsigned counts[16] = {0}, next[16] = {0};
  for (unsigned s = 0; s < symbols; s++) counts[lengths[s]]++;
  counts[0] = 0;
  for (unsigned length = 1; length < 16; length++) next[length] = (next[length - 1] + counts[length - 1]) << 1;
  for (unsigned s = 0; s < symbols; s++) {
    unsigned code = next[lengths[s]]++ << (16 - lengths[s]);
    code = (code & 0x5555) << 1 | (code >> 1 & 0x5555); /* turned round */
    code = (code & 0x3333) << 2 | (code >> 2 & 0x3333);
    code = (code & 0x0F0F) << 4 | (code >> 4 & 0x0F0F);
    codes[s] = (uint16_t)(code << 8 | (code >> 8 & 0xFF));
  }
}

/* The code lengths of a block as they stand in its header: runs are shortened (RFC 1951, 3.2.7). */
typedef struct fmi_code_header {
  unsigned literal_count, distance_count, order_count, item_count;
  uint8_t items[320], repeats[320];   /* symbols 0 to 18, and the value of the extra bits of 16, 17, 18 */
  uint8_t lengths[19];
  uint16_t codes[19];
  size_t bits;                        /* size of all of it */
} fmi_code_header;

FMI_FN void fmi_make_code_header(fmi_code_header *h, const uint8_t lengths[320]) { /* 288 literals, 32 distances */
  uint8_t all[320];
  uint32_t counts[19] = {0};
  h->literal_count = 286;
  h->distance_count = 30;
  while (h->literal_count > 257 && lengths[h->literal_count - 1] == 0) h->literal_count--;
  while (h->distance_count > 1 && lengths[288 + h->distance_count - 1] == 0) h->distance_count--;
  unsigned total = h->literal_count + h->distance_count;
  memcpy(all, lengths, h->literal_count);
  memcpy(all + h->literal_count, lengths + 288, h->distance_count);
  h->item_count = 0;
  for (unsigned i = 0, run; i < total; i += run) {
    unsigned item = all[i], repeat = 0;
    unsigned most = item == 0 ? 138 : 7; /* one more than a repetition holds: before it stands the length itself */
    for (run = 1; run < most && i + run < total && all[i + run] == item; run++) {}
    if (item == 0 && run >= 3) {
      item = run < 11 ? 17 : 18;
      repeat = run - (run < 11 ? 3 : 11);
    } else if (i > 0 && all[i - 1] == item && run >= 3) {
      run = run < 6 ? run : 6;
      item = 16;
      repeat = run - 3;
    } else run = 1;
    h->items[h->item_count] = (uint8_t)item;
    h->repeats[h->item_count++] = (uint8_t)repeat;
    counts[item]++;
  }
  fmi_huffman_lengths(h->lengths, counts, 19, 7);
  memset(h->codes, 0, sizeof h->codes);
  fmi_assign_codes(h->codes, h->lengths, 19);
  h->order_count = 19;
  while (h->order_count > 4 && h->lengths[fmi_length_order[h->order_count - 1]] == 0) h->order_count--;
  h->bits = 14 + 3 * h->order_count + 2 * counts[16] + 3 * counts[17] + 7 * counts[18];
  for (unsigned i = 0; i < 19; i++) h->bits += (size_t)counts[i] * h->lengths[i];
}
FMI_FN void fmi_put_code_header(fmi_bit_writer *w, const fmi_code_header *h) {
  static const uint8_t extra[3] = {2, 3, 7};
  fmi_put_bits(w, h->literal_count - 257, 5);
  fmi_put_bits(w, h->distance_count - 1, 5);
  fmi_put_bits(w, h->order_count - 4, 4);
  for (unsigned i = 0; i < h->order_count; i++) {
    fmi_flush_bits(w);
    fmi_put_bits(w, h->lengths[fmi_length_order[i]], 3);
  }
  for (unsigned i = 0; i < h->item_count; i++) {
    unsigned item = h->items[i];
    fmi_flush_bits(w);
    fmi_put_bits(w, h->codes[item], h->lengths[item]);
    if (item >= 16) fmi_put_bits(w, h->repeats[i], extra[item - 16]);
  }
}

/* The shorter of the two ways to code a block, and its size in bits by these counts. */
typedef struct fmi_block_code { uint8_t lengths[320]; bool is_fixed; size_t bits; fmi_code_header header; } fmi_block_code;

FMI_FN size_t fmi_block_bits(const uint8_t lengths[320], const uint32_t literal_counts[286], const uint32_t distance_counts[30]) {
  size_t bits = 0;
  for (unsigned s = 0; s < 286; s++)
    bits += (size_t)literal_counts[s] * (lengths[s] + (s > 256 ? fmi_length_extra[s - 257] : 0u));
  for (unsigned s = 0; s < 30; s++) bits += (size_t)distance_counts[s] * ((size_t)lengths[288 + s] + fmi_distance_extra[s]);
  return bits;
}
/* No literal's or length's code gets longer than `most` bits. */
FMI_FN void fmi_choose_code(fmi_block_code *code, const uint32_t literal_counts[286], const uint32_t distance_counts[30],
                            unsigned most) {
  uint8_t fixed[320];
  memset(code->lengths, 0, sizeof code->lengths);
  fmi_huffman_lengths(code->lengths, literal_counts, 286, most);
  fmi_huffman_lengths(code->lengths + 288, distance_counts, 30, 15);
  fmi_make_code_header(&code->header, code->lengths);
  code->bits = code->header.bits + fmi_block_bits(code->lengths, literal_counts, distance_counts);
  fmi_fixed_lengths(fixed);
  size_t fixed_bits = fmi_block_bits(fixed, literal_counts, distance_counts);
  code->is_fixed = fixed_bits <= code->bits;
  if (code->is_fixed) {
    code->bits = fixed_bits;
    memcpy(code->lengths, fixed, sizeof fixed);
  }
}
FMI_FN void fmi_open_block(fmi_bit_writer *w, const fmi_block_code *code, bool last) {
  fmi_put_bits(w, (last ? 1u : 0u) | (code->is_fixed ? 2u : 4u), 3);
  if (!code->is_fixed) fmi_put_code_header(w, &code->header);
  fmi_flush_bits(w);
}

/* A stored block's frame, for at most 65,535 bytes behind it. */
FMI_FN void fmi_open_stored(fmi_bit_writer *w, size_t size, bool last) {
  fmi_put_bits(w, last, 3);
  fmi_end_byte(w);
  fmi_put_bits(w, (uint32_t)size, 16);
  fmi_put_bits(w, (uint32_t)size ^ 0xFFFF, 16);
  fmi_flush_bits(w);
}

/* Everything that deflating needs: its scratch memory, so that a worker thread allocates nothing. */
typedef struct fmi_deflater {
  fmi_bit_writer bits;
  const uint8_t *data;
  size_t size, inserted;              /* positions below `inserted` are in the chains */
  const fmi_effort *effort;
  size_t block_start, token_count;
  uint32_t literal_counts[286], distance_counts[30];
  uint32_t tokens[FMI_TOKENS];        /* a literal, or length << 16 | distance */
  uint32_t head[1 << FMI_HASH_BITS];  /* 1 + the last position of each hash, 0: none */
  uint16_t back[FMI_WINDOW];          /* how far behind each position the one before it with its hash lies, 0: none or too far */
} fmi_deflater;

FMI_FN void fmi_put_tokens(fmi_deflater *d, const uint8_t lengths[320]) {
  uint16_t codes[320];
  fmi_bit_writer w = d->bits;
  fmi_assign_codes(codes, lengths, 288);
  fmi_assign_codes(codes + 288, lengths + 288, 32);
  for (size_t i = 0; i < d->token_count; i++) {
    uint32_t token = d->tokens[i];
    fmi_flush_bits(&w);
    if (token < 256) {
      fmi_put_bits(&w, codes[token], lengths[token]);
      continue;
    }
    unsigned length = token >> 16, distance = token & 0xFFFF;
    unsigned a = fmi_length_symbol(length), b = fmi_distance_symbol(distance);
    fmi_put_bits(&w, codes[a], lengths[a]);
    fmi_put_bits(&w, length - fmi_length_base[a - 257], fmi_length_extra[a - 257]);
    fmi_put_bits(&w, codes[288 + b], lengths[288 + b]);
    fmi_put_bits(&w, distance - fmi_distance_base[b], fmi_distance_extra[b]);
  }
  fmi_flush_bits(&w);
  fmi_put_bits(&w, codes[256], lengths[256]);
  fmi_flush_bits(&w);
  d->bits = w;
}

/* The bytes [from, to) as stored blocks; an empty one if there are none. */
FMI_FN void fmi_put_stored(fmi_deflater *d, size_t from, size_t to, bool last) {
  do {
    size_t n = fmi_min_size(to - from, 65535);
    fmi_open_stored(&d->bits, n, last && from + n == to);
    if (n) memcpy(d->bits.out, d->data + from, n);
    d->bits.out += n;
    from += n;
  } while (from < to);
}

/* Writes the tokens gathered so far, which stand for the bytes from block_start to end, in the shortest of the three ways. */
FMI_FN void fmi_end_block(fmi_deflater *d, size_t end, bool last) {
  fmi_block_code code;
  d->literal_counts[256] = 1;
  fmi_choose_code(&code, d->literal_counts, d->distance_counts, 15);
  size_t bytes = end - d->block_start;
  if (8 * bytes + 40 * (bytes / 65535 + 1) <= code.bits) {
    fmi_put_stored(d, d->block_start, end, last);
  } else {
    fmi_open_block(&d->bits, &code, last);
    fmi_put_tokens(d, code.lengths);
  }
  memset(d->literal_counts, 0, sizeof d->literal_counts);
  memset(d->distance_counts, 0, sizeof d->distance_counts);
  d->block_start = end;
  d->token_count = 0;
}

/* Adds one token; end: the position behind what it stands for. */
FMI_FN void fmi_add_token(fmi_deflater *d, uint32_t token, size_t end) {
  if (d->token_count == FMI_TOKENS) fmi_end_block(d, end - (token < 256 ? 1 : token >> 16), false);
  d->tokens[d->token_count++] = token;
  if (token < 256) {
    d->literal_counts[token]++;
  } else {
    d->literal_counts[fmi_length_symbol(token >> 16)]++;
    d->distance_counts[fmi_distance_symbol(token & 0xFFFF)]++;
  }
}

/* Hash of the shortest match that counts, here: what it finds is worth taking. */
FMI_FN uint32_t fmi_hash(const fmi_deflater *d, size_t position) {
  uint64_t bytes = fmi_le64(d->data + position) << (64 - 8 * d->effort->shortest);
  return (uint32_t)(bytes * 0x9E3779B97F4A7C15u >> (64 - FMI_HASH_BITS)); /* 2^64 over the golden ratio (Knuth) */
}

/* Enters the positions up to end into the chains; the last few of the data stay out. */
FMI_FN void fmi_insert(fmi_deflater *d, size_t end) {
  if (d->size < FMI_HASH_READS) return;
  end = fmi_min_size(end, d->size - FMI_HASH_READS + 1);
  for (; d->inserted < end; d->inserted++) {
    uint32_t *head = &d->head[fmi_hash(d, d->inserted)], now = (uint32_t)d->inserted + 1;
    uint32_t distance = *head ? now - *head : 0;
    d->back[d->inserted & (FMI_WINDOW - 1)] = (uint16_t)(distance < FMI_WINDOW ? distance : 0);
    *head = now;
  }
}

/* The longest match at a position if it is longer than `longest`, as a token; otherwise 0. Of equal ones the nearest. */
FMI_FN uint32_t fmi_find_match(fmi_deflater *d, size_t position, unsigned longest) {
  const uint8_t *here = d->data + position;
  size_t most = fmi_min_size(d->size - position, FMI_LONGEST_MATCH);
  unsigned chain = longest >= 8 ? d->effort->chain / 4 : d->effort->chain; /* already good: a better one matters less */
  uint32_t found = 0;
  fmi_insert(d, position + 1);
  if (most <= longest || most < FMI_HASH_READS) return 0;
  size_t step = d->back[position & (FMI_WINDOW - 1)], distance = step;
  for (; step > 0 && distance < FMI_WINDOW && chain > 0; chain--) {
    const uint8_t *there = here - distance;
    if (there[longest] == here[longest]) {
      unsigned length = 0;
      for (; length + 8 <= most; length += 8) {
        uint64_t difference = fmi_le64(there + length) ^ fmi_le64(here + length);
        if (difference) { length += fmi_low_zeros(difference) / 8; break; }
      }
      if (length + 8 > most) while (length < most && there[length] == here[length]) length++;
      if (length > longest) {
        longest = length;
        found = (uint32_t)length << 16 | (uint32_t)distance;
        if (length >= d->effort->nice || length == most) break;
      }
    }
    step = d->back[(position - distance) & (FMI_WINDOW - 1)];
    distance += step;
  }
  return found;
}

FMI_FN void fmi_deflate_tokens(fmi_deflater *d) {
  const fmi_effort *effort = d->effort;
  for (size_t position = 0; position < d->size;) {
    uint32_t match = fmi_find_match(d, position, effort->shortest - 1);
    while (match && match >> 16 < effort->lazy && position + 1 < d->size) {
      uint32_t next = fmi_find_match(d, position + 1, match >> 16);
      if (!next) break;
      fmi_add_token(d, d->data[position], position + 1);
      position++;
      match = next;
    }
    size_t length = match ? match >> 16 : 1;
    fmi_add_token(d, match ? match : d->data[position], position + length);
    position += length;
    if (length >= effort->nice) d->inserted = position - FMI_HASH_READS; /* a long run's inside would all hash alike */
    fmi_insert(d, position);
  }
}

/* Room that the result of deflating never exceeds: stored blocks are the longest, five bytes and a part of one each. */
FMI_FN size_t fmi_deflate_bound(size_t size) {
  size_t blocks = size / FMI_TOKENS + size / 65535 + 2;
  return fmi_add_size(size, 6 * blocks + 2 + 4 + 8); /* header, checksum, and what fmi_flush_bits may write too much */
}

/* Deflates data into a zlib stream at out, with fmi_deflate_bound(size) bytes of room; returns its size. Nothing is allocated. size
   is below 2^32 - 1. */
FMI_FN size_t fmi_deflate(fmi_deflater *d, uint8_t *out, const uint8_t *data, size_t size, const fmi_effort *effort) {
  FACEMORPH_ASSERT(size < 0xFFFFFFFFu);
  memset(&d->bits, 0, sizeof d->bits);
  d->bits.out = out;
  d->data = data;
  d->size = size;
  d->inserted = d->block_start = d->token_count = 0;
  d->effort = effort;
  memset(d->literal_counts, 0, sizeof d->literal_counts);
  memset(d->distance_counts, 0, sizeof d->distance_counts);
  memset(d->head, 0, sizeof d->head);
  fmi_put_bits(&d->bits, FMI_ZLIB_HEADER, 16);
  fmi_flush_bits(&d->bits);
  fmi_deflate_tokens(d);
  fmi_end_block(d, size, true);
  fmi_end_byte(&d->bits);
  fmi_put_be32(d->bits.out, fmi_adler32(1, data, size));
  return (size_t)(d->bits.out + 4 - out);
}

/* ============================================================ [FM:images] ===========================================
   PNG (W3C, third edition), JPEG, TGA and BMP into 8-bit images.
   Guarantees: any input is safe; sizes are checked against limits.image_side and against what the file could possibly hold before
   anything is allocated; a PNG takes the picture, its compressed bytes and some 300 KB (8 rows, if they are more).
   Trusts: [FM:inflate]. Test: tests/test_png.c, test_jpeg.c, test_images.c */

/* ---- PNG ---- */

static const uint8_t fmi_png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

FMI_FN bool fmi_png_is(const uint8_t *data, size_t size) { return size >= 8 && memcmp(data, fmi_png_signature, 8) == 0; }

enum { /* colour types */ FMI_PNG_GREY = 0,
       FMI_PNG_RGB = 2,
       FMI_PNG_PALETTE = 3,
       FMI_PNG_GREY_ALPHA = 4,
       FMI_PNG_RGBA = 6 };

/* Paeth's guess of a byte from those to the left, above, and above left (third edition, 9.4). */
FMI_FN uint8_t fmi_paeth(int a, int b, int c) {
  int pa = b - c, pb = a - c, pc = pa + pb; /* p - a, p - b, p - c with p = a + b - c */
  pa = pa < 0 ? -pa : pa;
  pb = pb < 0 ? -pb : pb;
  pc = pc < 0 ? -pc : pc;
  int best = pb < pa ? b : a, least = pb < pa ? pb : pa;
  return (uint8_t)(pc < least ? c : best);
}

#define fmi_png_paeth_lanes FMI_AT_LEVEL(fmi_png_paeth_lanes)
#define fmi_png_filters FMI_AT_LEVEL(fmi_png_filters)
#define fmi_png_rows_with FMI_AT_LEVEL(fmi_png_rows_with)
#define fmi_png_filters_of FMI_AT_LEVEL(fmi_png_filters_of)
#define fmi_png_guess FMI_AT_LEVEL(fmi_png_guess)
#define fmi_png_unfilter_8 FMI_AT_LEVEL(fmi_png_unfilter_8)
#define fmi_png_add_row FMI_AT_LEVEL(fmi_png_add_row)
#define FMI_BLOCK FMI_BLOCK_PNG
#include FACEMORPH_FILENAME
#undef FMI_BLOCK

#endif /* FMI_COMPILING */

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_PNG
/* ---- block: PNG's filters ---- */

/* Of left, above and corner the one nearest to left + above - corner (third edition, 9.4). With the corner between the others, what
   that is away from the lower one is what the corner is below the higher one, and the other way round; with the corner outside,
   the farther one of the two is it, and the clipped distance says so. */
FMI_INLINE fmi_vb fmi_png_paeth_lanes(fmi_vb left, fmi_vb above, fmi_vb corner) {
  fmi_vb low = fmi_minb(left, above), high = fmi_maxb(left, above);
  fmi_vb to_low = fmi_excessb(high, corner), to_high = fmi_excessb(corner, low), nearer = fmi_minb(to_low, to_high);
  fmi_vb to_corner = fmi_subb(fmi_maxb(to_low, to_high), nearer);
  fmi_vb guess = fmi_pickb(fmi_eqb(nearer, to_low), low, high);
  return fmi_pickb(fmi_eqb(fmi_minb(nearer, to_corner), nearer), guess, corner);
}

#if !defined(FACEMORPH_NO_PNG)
/* Undoes filter 2 of a row: adds the row above. */
FMI_FN void fmi_png_add_row(uint8_t *row, const uint8_t *above, const uint8_t *from, size_t size) {
  size_t i = 0;
  for (; i + FMI_BYTES <= size; i += FMI_BYTES) fmi_storeb(row + i, fmi_addb(fmi_loadb(from + i), fmi_loadb(above + i)));
  for (; i < size; i++) row[i] = (uint8_t)(from[i] + above[i]);
}
#endif

/* With 32 bytes the following is no faster: it waits for memory. */
#if FMI_BYTES == 16 && !defined(FACEMORPH_NO_PNG)
/* Which of four rows have which filter: all bits of a row's 4 bytes, or none. */
typedef struct fmi_png_filters { fmi_vb sub, up, average, paeth; } fmi_png_filters;

FMI_INLINE fmi_vb fmi_png_rows_with(const uint8_t *from, size_t from_line, uint8_t filter) {
  uint8_t mask[FMI_BYTES];
  for (size_t r = 0; r < 4; r++) memset(mask + 4 * r, from[r * from_line] == filter ? 255 : 0, 4);
  return fmi_loadb(mask);
}
FMI_INLINE fmi_png_filters fmi_png_filters_of(const uint8_t *from, size_t from_line) {
  fmi_png_filters filters;
  filters.sub = fmi_png_rows_with(from, from_line, 1);
  filters.up = fmi_png_rows_with(from, from_line, 2);
  filters.average = fmi_png_rows_with(from, from_line, 3);
  filters.paeth = fmi_png_rows_with(from, from_line, 4);
  return filters;
}
FMI_INLINE fmi_vb fmi_png_guess(const fmi_png_filters *rows, fmi_vb a, fmi_vb b, fmi_vb c) {
  fmi_vb easy = fmi_orb(fmi_andb(rows->sub, a), fmi_andb(rows->up, b));
  easy = fmi_orb(easy, fmi_andb(rows->average, fmi_meanb(a, b)));
  return fmi_orb(easy, fmi_andb(rows->paeth, fmi_png_paeth_lanes(a, b, c)));
}

/* Undoes the filters of eight rows at a time, pixels of `step` = 3 or 4 bytes. Row r is r pixels behind the first one, so that what
   a pixel needs from the row above was made one round before, one lane earlier. Two registers of four rows keep the processor busy,
   where one would wait for itself. from: each row's filter number and bytes. */
FMI_FN void fmi_png_unfilter_8(uint8_t *out, size_t line, const uint8_t *above, const uint8_t *from, size_t from_line,
                               size_t step) {
  const fmi_png_filters upper = fmi_png_filters_of(from, from_line);
  const fmi_png_filters lower = fmi_png_filters_of(from + 4 * from_line, from_line);
  fmi_vb zero = fmi_setb(0), a0 = zero, b0 = zero, c0, x0, a1 = zero, b1 = zero, c1, x1;
  size_t pixels = line / step;
  from++;
  for (size_t n = 0; n < pixels + 7; n++) {
    bool inside = n >= 7 && n + 1 < pixels; /* in all rows, and nowhere the last pixel: 4 bytes can be moved though 3 are meant */
    uint8_t edge[32] = {0};
    c0 = b0;
    c1 = b1;
    b1 = fmi_next_pixels(a1, fmi_last_pixel(a0));
    if (inside) {
      b0 = fmi_next_pixels(a0, fmi_first_pixel(above + n * step));
      x0 = fmi_load_pixels(from + n * step, from_line - step);
      x1 = fmi_load_pixels(from + n * step + 4 * (from_line - step), from_line - step);
    } else {
      if (n < pixels) memcpy(edge, above + n * step, step);
      b0 = fmi_next_pixels(a0, fmi_first_pixel(edge));
      for (size_t r = 0; r < 8; r++)
        if (n >= r && n - r < pixels) memcpy(edge + 4 * r, from + r * from_line + (n - r) * step, step);
      x0 = fmi_loadb(edge);
      x1 = fmi_loadb(edge + 16);
    }
    a0 = fmi_addb(x0, fmi_png_guess(&upper, a0, b0, c0));
    a1 = fmi_addb(x1, fmi_png_guess(&lower, a1, b1, c1));
    if (inside) {
      fmi_store_pixels(out + n * step, line - step, a0);
      fmi_store_pixels(out + n * step + 4 * (line - step), line - step, a1);
    } else {
      fmi_storeb(edge, a0);
      fmi_storeb(edge + 16, a1);
      for (size_t r = 0; r < 8; r++) {
        if (n >= r && n - r < pixels) memcpy(out + r * line + (n - r) * step, edge + 4 * r, step);
        else memset(edge + 4 * r, 0, 4); /* left of the first pixel all is 0 */
      }
      a0 = fmi_loadb(edge);
      a1 = fmi_loadb(edge + 16);
    }
  }
}
#endif
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)

#ifndef FACEMORPH_NO_PNG

typedef struct fmi_png {
  fmi_env *env;
  const uint8_t *data;
  size_t size;
  uint32_t width, height;
  unsigned depth, type, samples;      /* bits a sample, colour type, samples a pixel as stored */
  bool interlaced, has_palette, has_key, is_srgb;
  char not_srgb[5];                   /* the chunk that says so, empty if none does */
  unsigned palette_size;
  uint8_t palette[256][4];
  uint16_t key[3];                    /* the colour that is transparent (tRNS of grey and RGB) */
  bool palette_alpha;
  size_t first_idat, idat_chunks, idat_size;
  const uint8_t *compressed;          /* all image data in one piece: in the file, or */
  uint8_t *gathered;                  /* its pieces brought together */
  fmi_inflater inflater;
} fmi_png;

/* ---- its chunks ---- */

typedef struct fmi_png_chunk {
  size_t offset;                      /* of its length field, in the file */
  uint32_t size;
  const uint8_t *name, *data;
} fmi_png_chunk;

FMI_FN bool fmi_png_fail(fmi_png *png, size_t offset, const char *words) {
  return fmi_fail_byte(png->env, FM_ERROR_FORMAT, offset, "the PNG %s; the file is damaged: copy or export it again",
                       words);
}

FMI_FN bool fmi_png_named(const fmi_png_chunk *chunk, const char *name) { return memcmp(chunk->name, name, 4) == 0; }

FMI_FN bool fmi_png_crc_ok(const fmi_png_chunk *chunk, fm_simd simd) {
  return fmi_crc32s[simd](0, chunk->name, (size_t)chunk->size + 4) == fmi_be32(chunk->data + chunk->size);
}

/* The chunk at offset; it lies in the file completely. */
FMI_FN bool fmi_png_next(fmi_png *png, size_t offset, fmi_png_chunk *chunk) {
  if (png->size - offset < 12) return fmi_png_fail(png, png->size, "ends before its IEND chunk");
  chunk->offset = offset;
  chunk->size = fmi_be32(png->data + offset);
  chunk->name = png->data + offset + 4;
  chunk->data = png->data + offset + 8;
  for (int i = 0; i < 4; i++) {
    uint8_t upper = chunk->name[i] & 0xDF;
    if (upper < 'A' || upper > 'Z') return fmi_png_fail(png, offset + 4, "has a chunk whose name is not four letters");
  }
  if (chunk->size > 0x7FFFFFFF) return fmi_png_fail(png, offset, "has a chunk whose length is more than 2,147,483,647");
  if (chunk->size > png->size - offset - 12)
    return fmi_png_fail(png, offset, "has a chunk that goes beyond the file's end");
  return true;
}

FMI_FN bool fmi_png_header(fmi_png *png, const fmi_png_chunk *chunk) {
  static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4};
  const uint8_t *p = chunk->data;
  size_t at = chunk->offset + 8, most = png->env->limits.image_side;
  if (chunk->size != 13) return fmi_png_fail(png, chunk->offset, "has an IHDR chunk whose length is not 13");
  png->width = fmi_be32(p);
  png->height = fmi_be32(p + 4);
  png->depth = p[8];
  png->type = p[9];
  if (png->width == 0 || png->height == 0) return fmi_png_fail(png, at, "says that it is 0 pixels wide or high");
  if (png->width > 0x7FFFFFFF || png->height > 0x7FFFFFFF)
    return fmi_png_fail(png, at, "says that it is over 2,147,483,647 pixels wide or high");
  if (png->width > most || png->height > most)
    return fmi_fail_byte(
        png->env, FM_ERROR_LIMIT, at,
        "the PNG says that it is %u x %u pixels, over the limit of %zu a side; make it smaller, or raise fm_limits.image_side",
        png->width, png->height, most);
  png->samples = png->type < 7 ? samples[png->type] : 0;
  if (png->samples == 0) return fmi_png_fail(png, at + 9, "has a colour type that does not exist");
  bool small = png->type == FMI_PNG_GREY || png->type == FMI_PNG_PALETTE;
  bool ok = png->depth == 8 || (png->depth == 16 && png->type != FMI_PNG_PALETTE) ||
            (small && (png->depth == 1 || png->depth == 2 || png->depth == 4));
  if (!ok) return fmi_png_fail(png, at + 8, "has a bit depth that its colour type does not allow");
  if (p[10] != 0 || p[11] != 0 || p[12] > 1)
    return fmi_png_fail(png, at + 10, "uses a compression, filter or interlace method that does not exist");
  png->interlaced = p[12] == 1;
  return true;
}

FMI_FN bool fmi_png_palette(fmi_png *png, const fmi_png_chunk *chunk) {
  if (png->has_palette || chunk->size == 0 || chunk->size > 768 || chunk->size % 3 != 0)
    return fmi_png_fail(png, chunk->offset,
                        "has a palette whose length is not that of 1 to 256 colours, or two palettes");
  png->has_palette = true;
  png->palette_size = chunk->size / 3;
  for (size_t i = 0; i < png->palette_size; i++) memcpy(png->palette[i], chunk->data + 3 * i, 3);
  return true;
}

FMI_FN void fmi_png_transparency(fmi_png *png, const fmi_png_chunk *chunk) {
  if (png->type == FMI_PNG_PALETTE && chunk->size <= 256) {
    for (size_t i = 0; i < chunk->size; i++) png->palette[i][3] = chunk->data[i];
    png->palette_alpha = true;
  } else if ((png->type == FMI_PNG_GREY || png->type == FMI_PNG_RGB) && chunk->size == 2 * png->samples) {
    for (size_t i = 0; i < png->samples; i++) png->key[i] = (uint16_t)fmi_be16(chunk->data + 2 * i);
    png->has_key = true;
  }
}

/* Does a chunk that speaks about colour say anything else than sRGB? */
FMI_FN bool fmi_png_other_colours(const fmi_png_chunk *chunk) {
  static const uint32_t srgb_primaries[8] = {31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000};
  if (fmi_png_named(chunk, "gAMA") && chunk->size == 4) {
    uint32_t gamma = fmi_be32(chunk->data);
    return gamma < 45000 || gamma > 46000; /* 45455 is 1 / 2.2 */
  }
  if (fmi_png_named(chunk, "cHRM") && chunk->size == 32) {
    for (size_t i = 0; i < 8; i++) {
      uint32_t value = fmi_be32(chunk->data + 4 * i), want = srgb_primaries[i];
      if (value < want - 200 || value > want + 200) return true;
    }
    return false;
  }
  if (fmi_png_named(chunk, "cICP") && chunk->size == 4) return chunk->data[0] != 1 || chunk->data[1] != 13;
  if (!fmi_png_named(chunk, "iCCP")) return false;
  for (size_t i = 0; i + 4 <= chunk->size && chunk->data[i]; i++) /* the profile's name */
    if (memcmp(chunk->data + i, "sRGB", 4) == 0) return false;
  return true;
}

/* Takes what we need from a chunk. Damage in ancillary chunks (lower-case first letter) does no harm: they are left out. */
FMI_FN bool fmi_png_take(fmi_png *png, const fmi_png_chunk *chunk) {
  bool critical = (chunk->name[0] & 0x20) == 0;
  if (critical && !fmi_png_crc_ok(chunk, png->env->simd))
    return fmi_png_fail(png, chunk->offset + 8 + chunk->size, "has a chunk with a wrong checksum (CRC-32)");
  if (fmi_png_named(chunk, "IHDR")) return fmi_png_fail(png, chunk->offset, "has a second IHDR chunk");
  if (fmi_png_named(chunk, "PLTE")) return fmi_png_palette(png, chunk);
  if (fmi_png_named(chunk, "IDAT")) {
    if (png->idat_chunks++ == 0) png->first_idat = chunk->offset;
    png->idat_size += chunk->size;
    return true;
  }
  if (critical && !fmi_png_named(chunk, "IEND"))
    return fmi_fail_byte(png->env, FM_ERROR_UNSUPPORTED, chunk->offset,
                         "the PNG needs its chunk \"%c%c%c%c\", which is not known here; export it as a plain PNG",
                         chunk->name[0], chunk->name[1], chunk->name[2], chunk->name[3]);
  if (fmi_png_named(chunk, "tRNS") && fmi_png_crc_ok(chunk, png->env->simd)) fmi_png_transparency(png, chunk);
  else if (fmi_png_named(chunk, "sRGB")) png->is_srgb = true;
  else if (!png->not_srgb[0] && fmi_png_other_colours(chunk) && fmi_png_crc_ok(chunk, png->env->simd))
    memcpy(png->not_srgb, chunk->name, 4);
  return true;
}

FMI_FN bool fmi_png_read_chunks(fmi_png *png) {
  fmi_png_chunk chunk;
  if (!fmi_png_is(png->data, png->size)) return fmi_png_fail(png, 0, "does not begin with a PNG's signature");
  if (!fmi_png_next(png, 8, &chunk)) return false;
  if (fmi_png_named(&chunk, "CgBI"))
    return fmi_fail_byte(png->env, FM_ERROR_UNSUPPORTED, 8,
                         "this is Apple's own kind of PNG (CgBI), not a PNG that others read; export it as a plain PNG");
  if (!fmi_png_named(&chunk, "IHDR")) return fmi_png_fail(png, 8, "does not begin with an IHDR chunk");
  if (!fmi_png_crc_ok(&chunk, png->env->simd)) return fmi_png_fail(png, 29, "has an IHDR chunk with a wrong checksum (CRC-32)");
  if (!fmi_png_header(png, &chunk)) return false;
  memset(png->palette, 255, sizeof png->palette);
  do {
    if (!fmi_png_next(png, chunk.offset + 12 + chunk.size, &chunk) || !fmi_png_take(png, &chunk)) return false;
  } while (!fmi_png_named(&chunk, "IEND"));
  if (png->idat_chunks == 0) return fmi_png_fail(png, chunk.offset, "has no image data (no IDAT chunk)");
  if (png->type == FMI_PNG_PALETTE && !png->has_palette)
    return fmi_png_fail(png, png->first_idat, "has no palette (no PLTE chunk), but needs one");
  if (!png->not_srgb[0] || png->is_srgb) return true;
  const char *name = png->env->file ? png->env->file : "";
  return fmi_warn(
      png->env,
      "%s%sthe PNG's colours are not sRGB, says its %s chunk; they are taken as if they were: convert it to sRGB", name,
      name[0] ? ": " : "", png->not_srgb);
}

/* The IDAT chunk at or after offset. There is one: all have been seen. */
FMI_FN void fmi_png_next_idat(const fmi_png *png, size_t offset, fmi_png_chunk *chunk) {
  for (;; offset = chunk->offset + 12 + chunk->size) {
    chunk->offset = offset;
    chunk->size = fmi_be32(png->data + offset);
    chunk->name = png->data + offset + 4;
    chunk->data = png->data + offset + 8;
    if (fmi_png_named(chunk, "IDAT")) return;
  }
}

/* Brings the pieces of the compressed data together; a single one stays where it is. */
FMI_FN bool fmi_png_gather(fmi_png *png) {
  fmi_png_chunk chunk;
  fmi_png_next_idat(png, png->first_idat, &chunk);
  png->compressed = chunk.data;
  if (png->idat_chunks == 1) return true;
  uint8_t *all = (uint8_t *)fmi_alloc(png->env, &png->env->temp, png->idat_size, 1);
  if (!all) return false;
  png->compressed = png->gathered = all;
  for (size_t i = 0; i < png->idat_chunks; i++) {
    if (i > 0) fmi_png_next_idat(png, chunk.offset + 12 + chunk.size, &chunk);
    memcpy(all, chunk.data, chunk.size);
    all += chunk.size;
  }
  return true;
}

/* Records what is wrong with the compressed data, at its place in the file. */
FMI_FN bool fmi_png_inflate_failed(fmi_png *png) {
  fmi_png_chunk chunk;
  size_t position = fmi_inflate_position(&png->inflater);
  fmi_png_next_idat(png, png->first_idat, &chunk);
  for (size_t i = 1; i < png->idat_chunks && position >= chunk.size; i++) {
    position -= chunk.size;
    fmi_png_next_idat(png, chunk.offset + 12 + chunk.size, &chunk);
  }
  return fmi_fail_byte(png->env, FM_ERROR_FORMAT, chunk.offset + 8 + position,
                       "the PNG's image data is damaged: %s; copy or export it again", png->inflater.error);
}

/* ---- its rows ---- */

typedef void (*fmi_png_row_adder)(uint8_t *, const uint8_t *, const uint8_t *, size_t);
static const fmi_png_row_adder fmi_png_add_rows[] = FMI_BYTE_LEVELS(fmi_png_add_row);

/* Undoes the filter of one row: from the filtered bytes to row, `above` being the row before it (zeros for the first). step: bytes
   between a sample and the same one of the pixel to its left, at least 1. */
FMI_FN bool fmi_png_unfilter(fm_simd simd, uint8_t *row, const uint8_t *above, const uint8_t *from, unsigned filter, size_t size,
                             size_t step) {
  size_t first = fmi_min_size(step, size);
  switch (filter) {
    case 0: memcpy(row, from, size); return true;
    case 1:
      memcpy(row, from, first);
      for (size_t i = first; i < size; i++) row[i] = (uint8_t)(from[i] + row[i - step]);
      return true;
    case 2: fmi_png_add_rows[simd](row, above, from, size); return true;
    case 3:
      for (size_t i = 0; i < first; i++) row[i] = (uint8_t)(from[i] + above[i] / 2);
      for (size_t i = first; i < size; i++) row[i] = (uint8_t)(from[i] + (row[i - step] + above[i]) / 2);
      return true;
    case 4:
      for (size_t i = 0; i < first; i++) row[i] = (uint8_t)(from[i] + above[i]);
      for (size_t i = first; i < size; i++)
        row[i] = (uint8_t)(from[i] + fmi_paeth(row[i - step], above[i], above[i - step]));
      return true;
    default: return false;
  }
}

/* The same for eight rows at once, where there are lanes. */
typedef void (*fmi_png_unfilter_many)(uint8_t *, size_t, const uint8_t *, const uint8_t *, size_t, size_t);
static const fmi_png_unfilter_many fmi_png_unfilters[] = {
  NULL, NULL, FMI_IF_SSE2(fmi_png_unfilter_8_sse2), FMI_IF_AVX2(fmi_png_unfilter_8_sse2), FMI_IF_AVX512(fmi_png_unfilter_8_sse2),
  FMI_IF_NEON(fmi_png_unfilter_8_neon)};

/* Sample i of a row, as stored. */
FMI_FN unsigned fmi_png_sample(const uint8_t *row, size_t i, unsigned depth) {
  if (depth == 8) return row[i];
  if (depth == 16) return fmi_be16(row + 2 * i);
  size_t bit = i * depth;
  return (unsigned)row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1);
}

/* Turns `count` stored pixels into 8-bit ones, `stride` bytes apart. False: an index beyond the palette's end. */
FMI_FN bool fmi_png_expand(const fmi_png *png, const uint8_t *row, size_t count, uint8_t *out, size_t stride,
                           unsigned channels) {
  unsigned depth = png->depth, samples = png->samples, most = (1u << depth) - 1;
  for (size_t x = 0; x < count; x++, out += stride) {
    if (png->type == FMI_PNG_PALETTE) {
      unsigned index = fmi_png_sample(row, x, depth);
      if (index >= png->palette_size) return false;
      memcpy(out, png->palette[index], channels);
      continue;
    }
    bool transparent = png->has_key;
    for (unsigned s = 0; s < samples; s++) {
      unsigned value = fmi_png_sample(row, x * samples + s, depth);
      if (transparent && value != png->key[s]) transparent = false;
      out[s] = (uint8_t)((value * 255 + most / 2) / most);
    }
    if (png->has_key) out[samples] = transparent ? 0 : 255;
  }
  return true;
}

/* One of the pictures that an interlaced PNG consists of; a plain one has a single pass. */
typedef struct fmi_png_pass { size_t x, y, dx, dy, width, height, row_size; } fmi_png_pass;

/* The passes with pixels in them (third edition, 8.1). Returns how many; *total is the size of their filtered rows. */
FMI_FN int fmi_png_passes(const fmi_png *png, fmi_png_pass passes[7], uint64_t *total) {
  static const uint8_t adam7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                      {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  static const uint8_t plain[4] = {0, 0, 1, 1};
  int count = 0;
  *total = 0;
  for (int i = 0; i < (png->interlaced ? 7 : 1); i++) {
    const uint8_t *grid = png->interlaced ? adam7[i] : plain;
    fmi_png_pass *pass = &passes[count];
    pass->x = grid[0];
    pass->y = grid[1];
    pass->dx = grid[2];
    pass->dy = grid[3];
    if (png->width <= pass->x || png->height <= pass->y) continue;
    pass->width = (png->width - pass->x + pass->dx - 1) / pass->dx;
    pass->height = (png->height - pass->y + pass->dy - 1) / pass->dy;
    uint64_t bits = (uint64_t)pass->width * png->samples * png->depth; /* below 2^31 x 64 */
    if ((bits + 7) / 8 + 1 > SIZE_MAX / 4) { *total = UINT64_MAX; return 0; }
    pass->row_size = (size_t)((bits + 7) / 8);
    *total += ((uint64_t)pass->row_size + 1) * pass->height;
    count++;
  }
  return count;
}

/* Inflates piece by piece: what of the output is not yet used, behind the history that matches may need. */
typedef struct fmi_png_window { uint8_t *buffer, *used; size_t room; uint64_t left; uint32_t adler; } fmi_png_window;

/* The next `size` bytes of filtered rows, which stay until the next call; NULL: recorded. */
FMI_FN const uint8_t *fmi_png_next_rows(fmi_png *png, fmi_png_window *window, size_t size) {
  fmi_inflater *z = &png->inflater;
  if ((size_t)(z->out - window->used) < size) {
    size_t written = (size_t)(z->out - window->buffer), unused = (size_t)(z->out - window->used);
    size_t kept = fmi_max_size(unused, fmi_min_size(written, 32768));
    memmove(window->buffer, z->out - kept, kept);
    uint8_t *start = window->buffer + kept;
    size_t want = (size_t)(window->left < window->room - kept ? window->left : window->room - kept);
    fmi_inflater_output(z, window->buffer, start, window->buffer + window->room + FMI_INFLATE_SLACK);
    if (!fmi_inflater_run(z, start + want)) { fmi_png_inflate_failed(png); return NULL; }
    size_t got = (size_t)(z->out - start);
    if (got < want) {
      fmi_inflate_error(z, "it holds fewer rows than the picture has");
      fmi_png_inflate_failed(png);
      return NULL;
    }
    window->adler = fmi_adler32s[png->env->simd](window->adler, start, got);
    window->left -= got < window->left ? got : window->left;
    window->used = start - unused;
  }
  const uint8_t *row = window->used;
  window->used += size;
  return row;
}

FMI_FN bool fmi_png_row_failed(fmi_png *png, size_t y, const char *words) {
  return fmi_fail_byte(png->env, FM_ERROR_FORMAT, png->first_idat,
                       "the PNG's image data is damaged: row %zu %s; copy or export it again", y, words);
}
/* Undoes a row's filter, or records that there is no such filter. from: the filter's number and the row's bytes. */
FMI_FN bool fmi_png_restore(fmi_png *png, size_t y, uint8_t *row, const uint8_t *above, const uint8_t *from, size_t size,
                            size_t step) {
  return fmi_png_unfilter(png->env->simd, row, above, from + 1, from[0], size, step) ||
         fmi_png_row_failed(png, y, "has a filter that does not exist");
}

/* Rows that need nothing but their filters undone: straight into the image, eight at a time where that is faster. */
FMI_FN bool fmi_png_read_plain(fmi_png *png, fmi_png_window *window, const uint8_t *zeros, const fm_image *image) {
  size_t height = (size_t)image->height, step = (size_t)image->channels, size = (size_t)image->width * step;
  fmi_png_unfilter_many unfilter_8 = fmi_png_unfilters[png->env->simd];
  const uint8_t *above = zeros;
  uint8_t *out = image->pixels;
  for (size_t y = 0, group; y < height; y += group, out += group * size) {
    group = fmi_min_size(8, height - y);
    const uint8_t *from = fmi_png_next_rows(png, window, group * (size + 1));
    if (!from) return false;
    bool chained = false, known = true; /* a pixel needs the one to its left; filters that exist */
    for (size_t r = 0; r < group; r++) {
      uint8_t filter = from[r * (size + 1)];
      chained = chained || filter == 1 || filter >= 3;
      known = known && filter <= 4;
    }
    if (unfilter_8 && group == 8 && step >= 3 && chained && known) {
      unfilter_8(out, size, above, from, size + 1, step);
      above = out + 7 * size;
      continue;
    }
    for (size_t r = 0; r < group; r++, from += size + 1) {
      if (!fmi_png_restore(png, y + r, out + r * size, above, from, size, step)) return false;
      above = out + r * size;
    }
  }
  return true;
}

/* Rows that become 8-bit pixels of the image, all or some of its rows and columns. `rows`: two rows as stored. */
FMI_FN bool fmi_png_read_pass(fmi_png *png, const fmi_png_pass *pass, fmi_png_window *window, uint8_t *rows,
                              const fm_image *image) {
  size_t channels = (size_t)image->channels, line = (size_t)image->width * channels, size = pass->row_size;
  size_t step = fmi_max_size(1, (size_t)png->samples * png->depth / 8);
  uint8_t *row = rows, *above = rows + size;
  memset(above, 0, size);
  for (size_t y = 0; y < pass->height; y++) {
    const uint8_t *from = fmi_png_next_rows(png, window, size + 1);
    size_t image_y = pass->y + y * pass->dy;
    if (!from) return false;
    uint8_t *out = image->pixels + image_y * line + pass->x * channels;
    if (!fmi_png_restore(png, image_y, row, above, from, size, step)) return false;
    if (!fmi_png_expand(png, row, pass->width, out, pass->dx * channels, (unsigned)channels))
      return fmi_png_row_failed(png, image_y, "uses a colour beyond the end of the palette");
    uint8_t *done = row;
    row = above;
    above = done;
  }
  return true;
}

FMI_FN bool fmi_png_read_rows(fmi_png *png, const fmi_png_pass *passes, int count, uint64_t total,
                              const fm_image *image) {
  enum { PIECE = 192 * 1024 }; /* history and new rows stay in a second-level cache */
  fmi_env *env = png->env;
  bool plain = !png->interlaced && png->depth == 8 && png->type != FMI_PNG_PALETTE && !png->has_key;
  size_t widest = 0;
  fmi_png_window window;
  const char *name = env->file ? env->file : "";
  for (int i = 0; i < count; i++) widest = fmi_max_size(widest, passes[i].row_size);
  window.room = 32768 + fmi_max_size(PIECE, 8 * (widest + 1));
  window.left = total;
  window.adler = 1;
  window.buffer = window.used = (uint8_t *)fmi_alloc(env, &env->temp, window.room + FMI_INFLATE_SLACK, 1);
  uint8_t *rows = (uint8_t *)fmi_alloc(env, &env->temp, 2 * widest, 1);
  bool ok = window.buffer && rows;
  if (ok && !fmi_inflater_begin(&png->inflater, env->simd, png->compressed, png->idat_size)) ok = fmi_png_inflate_failed(png);
  if (ok) fmi_inflater_output(&png->inflater, window.buffer, window.buffer, window.buffer);
  if (ok && plain) memset(rows, 0, widest);
  if (ok && plain) ok = fmi_png_read_plain(png, &window, rows, image);
  for (int i = 0; i < count && ok && !plain; i++) ok = fmi_png_read_pass(png, &passes[i], &window, rows, image);
  bool more = ok && window.used < png->inflater.out;
  if (ok && !fmi_inflater_finish(&png->inflater, window.adler)) {
    more = png->inflater.full;
    ok = more || fmi_png_inflate_failed(png);
  }
  if (ok && more)
    ok = fmi_warn(env, "%s%sthe PNG holds more image data than its size needs; the rest is left out", name,
                  name[0] ? ": " : "");
  fmi_release(env, rows);
  fmi_release(env, window.buffer);
  return ok;
}

FMI_FN bool fmi_png_decode_with(fmi_png *png, fmi_pool *pool, fm_image *out) {
  fmi_png_pass passes[7];
  uint64_t total;
  fm_image image;
  if (!fmi_png_read_chunks(png)) return false;
  int count = fmi_png_passes(png, passes, &total);
  if (total > fmi_inflate_most(png->idat_size))
    return fmi_fail_byte(
        png->env, FM_ERROR_FORMAT, png->first_idat,
        "the PNG says that it is %u x %u pixels, but %zu bytes of image data cannot hold so many; it is damaged: "
        "copy or export it again",
        png->width, png->height, png->idat_size);
  memset(&image, 0, sizeof image);
  image.width = (int)png->width;
  image.height = (int)png->height;
  image.channels =
      png->type == FMI_PNG_PALETTE ? (png->palette_alpha ? 4 : 3) : (int)png->samples + (png->has_key ? 1 : 0);
  if (!fmi_png_gather(png)) return false;
  image.pixels = (uint8_t *)fmi_alloc(png->env, pool, fmi_mul_size(png->width, png->height), (size_t)image.channels);
  if (!image.pixels) return false;
  if (!fmi_png_read_rows(png, passes, count, total, &image)) {
    fmi_release(png->env, image.pixels);
    return false;
  }
  *out = image;
  return true;
}

/* Decodes a PNG; its pixels lie in pool. False: recorded, and *out is as it was. */
FMI_FN bool fmi_png_decode(fmi_env *env, fmi_pool *pool, const uint8_t *data, size_t size, fm_image *out) {
  fmi_png *png = (fmi_png *)fmi_alloc_zero(env, &env->temp, 1, sizeof *png);
  if (!png) return false;
  png->env = env;
  png->data = data;
  png->size = size;
  bool ok = fmi_png_decode_with(png, pool, out);
  fmi_release(env, png->gathered);
  fmi_release(env, png);
  return ok;
}

#endif

#endif /* FMI_COMPILING */

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_JPEG
/* ---- block: JPEG's arithmetic ---- */

/* The inverse DCT of 8 values after Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications",
   1989, in 13-bit fixed point with the roundings that libjpeg made the standard. A column in each lane. Sums of two inputs keep
   16 bits, as in libjpeg-turbo's vector code; with that nothing overflows whatever the input. */
FMI_INLINE void fmi_jpeg_columns(fmi_vs x[8], int shift) {
  fmi_vs some = fmi_sets(64), a = fmi_adds(x[7], x[3]), b = fmi_adds(x[5], x[1]);
  int half = (1 << (shift - 1)) / 64;
  fmi_vw sum = fmi_products(fmi_adds(x[0], x[4]), 8192, some, half);
  fmi_vw difference = fmi_products(fmi_subs(x[0], x[4]), 8192, some, half);
  fmi_vw even2 = fmi_products(x[2], 10703, x[6], 4433), even6 = fmi_products(x[2], 4433, x[6], -10704);
  fmi_vw c = fmi_products(b, 9633, a, -6436), d = fmi_products(b, 6437, a, 9633);
  fmi_vw even0 = fmi_addw(sum, even2), even1 = fmi_addw(difference, even6), even3 = fmi_subw(sum, even2);
  fmi_vw odd0 = fmi_addw(fmi_products(x[1], 4926, x[7], -7373), d), odd3 = fmi_addw(fmi_products(x[1], -7373, x[7], -4927), c);
  fmi_vw odd1 = fmi_addw(fmi_products(x[3], 4177, x[5], -20995), c), odd2 = fmi_addw(fmi_products(x[3], -20995, x[5], -4176), d);
  even2 = fmi_subw(difference, even6);
  x[0] = fmi_packw(fmi_addw(even0, odd0), shift);
  x[1] = fmi_packw(fmi_addw(even1, odd1), shift);
  x[2] = fmi_packw(fmi_addw(even2, odd2), shift);
  x[3] = fmi_packw(fmi_addw(even3, odd3), shift);
  x[4] = fmi_packw(fmi_subw(even3, odd3), shift);
  x[5] = fmi_packw(fmi_subw(even2, odd2), shift);
  x[6] = fmi_packw(fmi_subw(even1, odd1), shift);
  x[7] = fmi_packw(fmi_subw(even0, odd0), shift);
}

/* Blocks of coefficients, already multiplied, to 8 x 8 samples each at its place; then they are zeros again. Behind the last
   block there is room for another one. */
FMI_FN void fmi_jpeg_transform(int16_t *blocks, uint8_t *const *to, const size_t *stride, int count) {
  enum { COLUMNS = FMI_SHORTS < 8 ? FMI_SHORTS : 8, TOGETHER = FMI_SHORTS < 8 ? 1 : FMI_SHORTS / 8 };
  for (int n = 0; n < count; n += TOGETHER, blocks += 64 * TOGETHER) {
    int16_t turned[64 * TOGETHER];
    fmi_vs x[8];
    for (int column = 0; column < 8; column += COLUMNS) {
      for (int i = 0; i < 8; i++) x[i] = fmi_load_row(blocks + 8 * i + column);
      fmi_jpeg_columns(x, 11);
      fmi_store_turned(turned + 8 * column, x);
    }
    for (int i = 0; i < 64 * TOGETHER; i += FMI_SHORTS) fmi_stores(blocks + i, fmi_sets(0));
    for (int row = 0; row < 8; row += COLUMNS) {
      for (int i = 0; i < 8; i++) x[i] = fmi_load_row(turned + 8 * i + row);
      fmi_jpeg_columns(x, 18);
      fmi_store_samples(to + n, stride + n, row, x);
    }
  }
}

/* 3/4 of one row and 1/4 of another one, times 4. Here and below rows may be read and written FMI_JPEG_SLACK beyond their end. */
FMI_FN void fmi_jpeg_mix_rows(int16_t *out, const uint8_t *nearer, const uint8_t *farther, int n) {
  for (int i = 0; i < n; i += FMI_SHORTS) {
    fmi_vs near_sample = fmi_loadbs(nearer + i), twice = fmi_adds(near_sample, near_sample);
    fmi_stores(out + i, fmi_adds(fmi_adds(twice, near_sample), fmi_loadbs(farther + i)));
  }
}

/* n sums of 4 samples become 2n samples: each two neighbours, 3/4 of the one and 1/4 of what lies beyond, so that in[-1] and
   in[n] are looked at. `left` and `right` round: they differ, so that no shift of the mean arises. */
FMI_FN void fmi_jpeg_widen(uint8_t *out, const int16_t *in, int n, int left, int right) {
  fmi_vs round_left = fmi_sets(left), round_right = fmi_sets(right);
  for (int i = 0; i < n; i += FMI_SHORTS) {
    fmi_vs here = fmi_loads(in + i), most = fmi_adds(fmi_adds(here, here), here);
    fmi_store_pairs(out + 2 * i, fmi_downs(fmi_adds(fmi_adds(most, fmi_loads(in + i - 1)), round_left), 4),
                    fmi_downs(fmi_adds(fmi_adds(most, fmi_loads(in + i + 1)), round_right), 4));
  }
}

/* YCbCr to RGB (JFIF 1.02) in 16-bit fixed point: red is y + (91881 cr + 32768 >> 16), blue y + (116130 cb + 32768 >> 16), green
   y + (32768 - 22554 cb - 46802 cr >> 16). What of the factors goes beyond 15 bits is added as a whole number; and
   (2x >> 16) + 1 >> 1 is x + 32768 >> 16. */
FMI_INLINE void fmi_jpeg_colour(fmi_vs *rgb, fmi_vs y, fmi_vs cb, fmi_vs cr) {
  fmi_vs one = fmi_sets(1);
  cb = fmi_subs(cb, fmi_sets(128));
  cr = fmi_subs(cr, fmi_sets(128));
  fmi_vs cb2 = fmi_adds(cb, cb), cr2 = fmi_adds(cr, cr);
  fmi_vs red = fmi_downs(fmi_adds(fmi_highs(cr2, fmi_sets(91881 - 65536)), one), 1);
  fmi_vs blue = fmi_downs(fmi_adds(fmi_highs(cb2, fmi_sets(116130 - 131072)), one), 1);
  fmi_vw green = fmi_addw(fmi_products(cb, -22554, cr, 65536 - 46802), fmi_products(one, 16384, one, 16384));
  rgb[0] = fmi_adds(fmi_adds(y, cr), red);
  rgb[2] = fmi_adds(fmi_subs(y, cr), fmi_packw(green, 16));
  rgb[4] = fmi_adds(fmi_adds(y, cb2), blue);
}
FMI_FN void fmi_jpeg_rgb_row(uint8_t *out, const uint8_t *luma, const uint8_t *blue, const uint8_t *red, int width) {
  for (int x = 0; x < width; x += 2 * FMI_SHORTS) {
    fmi_vs y[2], cb[2], cr[2], rgb[6];
    uint8_t last[6 * FMI_SHORTS];
    fmi_load_pairs(luma + x, &y[0], &y[1]);
    fmi_load_pairs(blue + x, &cb[0], &cb[1]);
    fmi_load_pairs(red + x, &cr[0], &cr[1]);
    fmi_jpeg_colour(rgb, y[0], cb[0], cr[0]);
    fmi_jpeg_colour(rgb + 1, y[1], cb[1], cr[1]);
    bool whole = width - x >= 2 * FMI_SHORTS; /* nothing may be written beyond the row */
    fmi_store_rgb(whole ? out + 3 * x : last, rgb);
    if (!whole) memcpy(out + 3 * x, last, 3 * (size_t)(width - x));
  }
}
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)

/* ---- JPEG (ITU-T T.81) ----
   Baseline, extended sequential and progressive with Huffman coding, 8 bits, 1, 3 or 4 components, every sampling. Pixels equal
   libjpeg-turbo's with its defaults: its integer inverse DCT, its triangle filter for chroma at half the width or height, its
   fixed-point YCbCr. A picture that is not all there, or whose data contradicts itself, is refused rather than filled up: a
   measurement must not rest on grey blocks. Only a missing end marker is forgiven. Test: tests/test_jpeg.c */

FMI_FN bool fmi_jpeg_is(const uint8_t *data, size_t size) {
  return size >= 3 && data[0] == 0xFF && data[1] == 0xD8 && data[2] == 0xFF;
}

#ifndef FACEMORPH_NO_JPEG

#define fmi_jpeg_columns FMI_AT_LEVEL(fmi_jpeg_columns)
#define fmi_jpeg_transform FMI_AT_LEVEL(fmi_jpeg_transform)
#define fmi_jpeg_mix_rows FMI_AT_LEVEL(fmi_jpeg_mix_rows)
#define fmi_jpeg_widen FMI_AT_LEVEL(fmi_jpeg_widen)
#define fmi_jpeg_colour FMI_AT_LEVEL(fmi_jpeg_colour)
#define fmi_jpeg_rgb_row FMI_AT_LEVEL(fmi_jpeg_rgb_row)
#define FMI_BLOCK FMI_BLOCK_JPEG
#include FACEMORPH_FILENAME
#undef FMI_BLOCK
typedef void (*fmi_jpeg_transformer)(int16_t *, uint8_t *const *, const size_t *, int);
typedef void (*fmi_jpeg_mixer)(int16_t *, const uint8_t *, const uint8_t *, int);
typedef void (*fmi_jpeg_widener)(uint8_t *, const int16_t *, int, int, int);
typedef void (*fmi_jpeg_colourist)(uint8_t *, const uint8_t *, const uint8_t *, const uint8_t *, int);
static const fmi_jpeg_transformer fmi_jpeg_transforms[] = FMI_BYTE_LEVELS(fmi_jpeg_transform);
static const fmi_jpeg_mixer fmi_jpeg_mixers[] = FMI_BYTE_LEVELS(fmi_jpeg_mix_rows);
static const fmi_jpeg_widener fmi_jpeg_wideners[] = FMI_BYTE_LEVELS(fmi_jpeg_widen);
static const fmi_jpeg_colourist fmi_jpeg_colours[] = FMI_BYTE_LEVELS(fmi_jpeg_rgb_row);

#define FMI_JPEG_LOOK 11     /* bits of the fast Huffman tables' index */
#define FMI_JPEG_SLACK 64    /* what kernels may read and write beyond a row of samples, in samples */
#define FMI_JPEG_QUEUE 8     /* blocks transformed at a time */
#define FMI_JPEG_END 128     /* run of the end-of-block code: beyond every position */
#define FMI_JPEG_PARTIAL 255 /* run of an entry that gives a symbol at most: value bits, or the code's tail, follow */

/* What the next FMI_JPEG_LOOK bits say. Whole: skip `run` coefficients, then comes `value`; code and value take `length` bits.
   Partial: `value` is the symbol and `length` its code's; length 0: the code is longer than the index, or there is none. */
typedef struct fmi_jpeg_entry { int16_t value; uint8_t run, length; } fmi_jpeg_entry;

typedef struct fmi_jpeg_huffman {
  fmi_jpeg_entry fast[1 << FMI_JPEG_LOOK];
  uint32_t limit[17]; /* codes of this length, shifted up to 16 bits, are below it */
  int offset[17];     /* code + offset = index of its symbol */
  uint8_t symbols[256];
  bool defined;
} fmi_jpeg_huffman;

/* The entropy-coded bits: the next ones stand on top of `bits`. At a marker or the file's end zeros are appended and counted. */
typedef struct fmi_jpeg_bits {
  uint64_t bits;
  const uint8_t *next;
  int count, invented;
  const uint8_t *end;
} fmi_jpeg_bits;

typedef enum fmi_jpeg_filter {
  FMI_JPEG_FULL, FMI_JPEG_H2V1, FMI_JPEG_H1V2, FMI_JPEG_H2V2, FMI_JPEG_REPEAT
} fmi_jpeg_filter;

typedef struct fmi_jpeg_component {
  int id, h, v, table;         /* of the frame header */
  int width, height;           /* its samples */
  int blocks_x, blocks_y;      /* that hold them */
  int row_blocks;              /* a row's blocks, filled up to whole MCUs */
  bool latched;                /* `quant` was taken over: tables may change between scans */
  uint16_t quant[64];          /* natural order, as the coefficients */
  int8_t known[64];            /* lowest bit that scans gave of each coefficient; 64: none yet */
  int16_t *coefficients;       /* all blocks; NULL where rows are decoded one by one */
  uint8_t *samples;            /* two rows of MCUs: sample row y is at y % ring */
  int ring;
  size_t stride;
  fmi_jpeg_filter filter;
  uint8_t *line;               /* one row at the picture's width */
  const fmi_jpeg_huffman *dc_table, *ac_table;
  int dc;                      /* prediction */
} fmi_jpeg_component;

/* Blocks that wait for their transform; the others are 0. One more is there for kernels that take two at a time. */
typedef struct fmi_jpeg_queue {
  int16_t blocks[FMI_JPEG_QUEUE + 1][64];
  uint8_t *to[FMI_JPEG_QUEUE + 1]; /* where their samples go, and how many bytes apart the rows are */
  size_t stride[FMI_JPEG_QUEUE + 1];
  uint8_t spare[64];
  int count;
} fmi_jpeg_queue;

typedef struct fmi_jpeg {
  fmi_env *env;
  fmi_pool pool;               /* everything but the pixels */
  const uint8_t *data;
  size_t size, at;             /* at: the marker or segment being read */
  int width, height, count;    /* count: components; 0 before the frame header */
  int h_max, v_max, mcus_x, mcus_y;
  bool progressive, jfif, adobe, stored, finished;
  int transform;               /* of the Adobe segment */
  int restart_interval;
  uint16_t quant[4][64];
  bool quant_defined[4];
  fmi_jpeg_huffman *tables;    /* 4 for DC, 4 for AC */
  fmi_jpeg_component component[4];
  fmi_jpeg_component *scan[4]; /* the scan's components */
  int scan_count, first, last, high, low; /* the scan's coefficients and bits: Ss, Se, Ah, Al */
  int scans;
  uint64_t blocks, work;       /* of the picture; of all scans so far */
  fmi_jpeg_bits bits;
  fmi_jpeg_queue queue;
  int16_t *mixed;              /* two rows of a component mixed, with room for a neighbour at either end */
  int end_run;                 /* blocks that are over already (EOBRUN) */
  int restart_in, restart_number;
  int emitted;                 /* picture rows that are done */
  fm_image *out;
} fmi_jpeg;

/* Natural position of the coefficients in the order of the file (figure A.6). */
static const uint8_t fmi_jpeg_zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                            12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                            35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                            58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Damage at jpeg->at, in words; what to do about it is always the same. Returns false. */
FMI_FN FMI_PRINTF(2, 3) bool fmi_jpeg_damaged(fmi_jpeg *jpeg, const char *format, ...) {
  char what[200];
  va_list list;
  va_start(list, format);
  fmi_format_list(what, sizeof what, format, list);
  va_end(list);
  return fmi_fail_byte(jpeg->env, FM_ERROR_FORMAT, jpeg->at, "the JPEG is damaged: %s; copy or export it again", what);
}

/* ---- bits ---- */

/* Byte by byte: stuffed zeros after 0xFF go, a marker or the end of the data is never passed. */
FMI_FN FMI_NOINLINE void fmi_jpeg_fill_slowly(fmi_jpeg_bits *b) {
  while (b->count <= 56) {
    uint8_t byte = 0;
    if (b->next < b->end && (*b->next != 0xFF || (b->end - b->next > 1 && b->next[1] == 0))) {
      byte = *b->next;
      b->next += byte == 0xFF ? 2 : 1;
    } else b->invented += 8;
    b->bits |= (uint64_t)byte << (56 - b->count);
    b->count += 8;
  }
}

/* Fills up from below 32 bits: a code and its value take 31 at most. Eight bytes at once where none of them is 0xFF; bits below
   `count` may then hold what follows already: the next filling ORs the same into them. */
FMI_INLINE void fmi_jpeg_fill(fmi_jpeg_bits *b) {
  if (b->end - b->next >= 8) {
    uint64_t word = fmi_be64(b->next);
    if (((~word - 0x0101010101010101u) & word & 0x8080808080808080u) == 0) {
      b->bits |= word >> b->count;
      b->next += (63 - b->count) >> 3;
      b->count |= 56;
      return;
    }
  }
  fmi_jpeg_bits copy = *b; /* *b itself can stay in registers: nobody ever has its address */
  fmi_jpeg_fill_slowly(&copy);
  *b = copy;
}

/* `count` bits, 1 to 16, that are there. */
FMI_FN int fmi_jpeg_take(fmi_jpeg_bits *b, int count) {
  int value = (int)(b->bits >> (64 - count));
  b->bits <<= count;
  b->count -= count;
  return value;
}
FMI_FN int fmi_jpeg_bit(fmi_jpeg_bits *b) {
  if (b->count < 1) fmi_jpeg_fill(b);
  return fmi_jpeg_take(b, 1);
}
/* A coefficient's value of `size` bits: the upper half is positive (table F.1). */
FMI_FN int fmi_jpeg_extend(int value, int size) { return value < 1 << (size - 1) ? value - (1 << size) + 1 : value; }
FMI_FN int fmi_jpeg_value(fmi_jpeg_bits *b, int size) { return size ? fmi_jpeg_extend(fmi_jpeg_take(b, size), size) : 0; }

/* What entropy coding says next: `run` coefficients are 0, then comes `value`. FMI_JPEG_END: the block ends here, and (1 << value)
   - 1 more blocks, plus the number in the next `value` bits. FMI_JPEG_PARTIAL: no such code. */
FMI_FN FMI_NOINLINE fmi_jpeg_entry fmi_jpeg_next_slowly(fmi_jpeg_bits *b, const fmi_jpeg_huffman *table, fmi_jpeg_entry entry) {
  int symbol = entry.value, length = entry.length;
  if (length) fmi_jpeg_take(b, length);
  else {
    uint32_t code = (uint32_t)(b->bits >> 48);
    for (length = FMI_JPEG_LOOK + 1; length <= 16 && code >= table->limit[length];) length++;
    symbol = length <= 16 ? table->symbols[fmi_jpeg_take(b, length) + table->offset[length]] : -1;
  }
  entry.run = symbol < 0 ? FMI_JPEG_PARTIAL : (uint8_t)(symbol >> 4);
  entry.value = 0;
  if (symbol >= 0 && (symbol & 15)) entry.value = (int16_t)fmi_jpeg_value(b, symbol & 15);
  else if (symbol >= 0 && entry.run != 15) entry.value = entry.run, entry.run = FMI_JPEG_END;
  return entry;
}
FMI_INLINE fmi_jpeg_entry fmi_jpeg_next(fmi_jpeg_bits *b, const fmi_jpeg_huffman *table) {
  if (b->count < 32) fmi_jpeg_fill(b);
  fmi_jpeg_entry entry = table->fast[b->bits >> (64 - FMI_JPEG_LOOK)];
  if (entry.run != FMI_JPEG_PARTIAL) {
    b->bits <<= entry.length;
    b->count -= entry.length;
    return entry;
  }
  fmi_jpeg_bits copy = *b;
  entry = fmi_jpeg_next_slowly(&copy, table, entry);
  *b = copy;
  return entry;
}

/* ---- Huffman tables ---- */

/* The entry for a code and the bits of the index behind it. Symbols are run << 4 | size; DC symbols have no run. */
FMI_FN fmi_jpeg_entry fmi_jpeg_make_entry(int symbol, int length, int behind) {
  fmi_jpeg_entry entry;
  int size = symbol & 15, run = symbol >> 4, rest = FMI_JPEG_LOOK - length - size;
  entry.value = (int16_t)symbol;
  entry.run = FMI_JPEG_PARTIAL;
  entry.length = (uint8_t)length;
  if (rest < 0 || (size == 0 && run != 0 && run != 15)) return entry; /* the latter: several blocks end, progressive only */
  entry.value = (int16_t)(size ? fmi_jpeg_extend(behind >> rest, size) : 0);
  entry.run = (uint8_t)(symbol ? run : FMI_JPEG_END);
  entry.length = (uint8_t)(length + size);
  return entry;
}

/* Canonical codes from the number of codes of each length (annex C). False: more codes than their bits allow. */
FMI_FN bool fmi_jpeg_make_table(fmi_jpeg_huffman *table, const uint8_t counts[16]) {
  int code = 0, symbol = 0;
  for (int i = 0; i < 1 << FMI_JPEG_LOOK; i++) {
    table->fast[i].value = 0;
    table->fast[i].run = FMI_JPEG_PARTIAL;
    table->fast[i].length = 0;
  }
  for (int length = 1; length <= 16; length++, code <<= 1) {
    int count = counts[length - 1], shift = FMI_JPEG_LOOK - length;
    if (code + count > 1 << length) return false;
    table->offset[length] = symbol - code;
    for (int i = 0; i < count; i++, code++, symbol++)
      for (int j = 0; shift >= 0 && j < 1 << shift; j++)
        table->fast[code << shift | j] = fmi_jpeg_make_entry(table->symbols[symbol], length, j);
    table->limit[length] = (uint32_t)code << (16 - length);
  }
  table->defined = true;
  return true;
}

/* ---- blocks ---- */

/* What a scan does with each of its blocks; all return false where the data makes no sense. */

/* A whole block. Values are multiplied by `quant` (16 bits, as in libjpeg-turbo's vector code); *flat: only the first is set. */
FMI_FN bool fmi_jpeg_block(fmi_jpeg_bits *bits, fmi_jpeg_component *c, const uint16_t *quant, int16_t *block, bool *flat) {
  fmi_jpeg_bits b = *bits;
  const fmi_jpeg_huffman *ac = c->ac_table;
  fmi_jpeg_entry entry = fmi_jpeg_next(&b, c->dc_table);
  int end = 0;
  if (entry.run == FMI_JPEG_PARTIAL) return false;
  c->dc = (int16_t)(c->dc + entry.value);
  block[0] = (int16_t)(c->dc * quant[0]);
  for (int k = 1; k < 64; k++) {
    entry = fmi_jpeg_next(&b, ac);
    k += entry.run;
    if (k > 63) {
      if (entry.run != FMI_JPEG_END) return false;
      break;
    }
    int at = fmi_jpeg_zigzag[k];
    block[at] = (int16_t)(entry.value * quant[at]);
    end = k;
  }
  *flat = end == 0;
  *bits = b;
  return true;
}

/* Progressive scans (annex G): the DC coefficients' upper bits, or one bit more. */
FMI_FN bool fmi_jpeg_dc_scan(fmi_jpeg *jpeg, fmi_jpeg_component *c, int16_t *block) {
  if (jpeg->high == 0) {
    fmi_jpeg_entry entry = fmi_jpeg_next(&jpeg->bits, c->dc_table);
    if (entry.run == FMI_JPEG_PARTIAL) return false;
    c->dc = (int16_t)(c->dc + entry.value);
    block[0] = (int16_t)(c->dc * (1 << jpeg->low));
  } else if (fmi_jpeg_bit(&jpeg->bits)) block[0] = (int16_t)(block[0] | 1 << jpeg->low);
  return true;
}

/* Takes the number of further blocks that end where this one does. */
FMI_FN void fmi_jpeg_start_end_run(fmi_jpeg *jpeg, fmi_jpeg_bits *b, int size) {
  if (b->count < 32) fmi_jpeg_fill(b);
  jpeg->end_run = (1 << size) - 1 + (size ? fmi_jpeg_take(b, size) : 0);
}

/* The upper bits of a band of AC coefficients. */
FMI_FN bool fmi_jpeg_ac_scan(fmi_jpeg *jpeg, fmi_jpeg_component *c, int16_t *block) {
  if (jpeg->end_run > 0) {
    jpeg->end_run--;
    return true;
  }
  fmi_jpeg_bits b = jpeg->bits;
  for (int k = jpeg->first; k <= jpeg->last; k++) {
    fmi_jpeg_entry entry = fmi_jpeg_next(&b, c->ac_table);
    if (entry.run == FMI_JPEG_END) {
      fmi_jpeg_start_end_run(jpeg, &b, entry.value);
      break;
    }
    k += entry.run;
    if (entry.run == FMI_JPEG_PARTIAL || (k > jpeg->last && entry.value)) return false;
    if (entry.value) block[fmi_jpeg_zigzag[k]] = (int16_t)(entry.value * (1 << jpeg->low));
  }
  jpeg->bits = b;
  return true;
}

/* One bit more of a band: of each coefficient that is set already, a correction bit; in between, coefficients that become +-1. */
FMI_FN bool fmi_jpeg_ac_refining_scan(fmi_jpeg *jpeg, fmi_jpeg_component *c, int16_t *block) {
  fmi_jpeg_bits b = jpeg->bits;
  int one = 1 << jpeg->low, k = jpeg->first;
  while (k <= jpeg->last) {
    int run = 64, value = 0; /* a block that is over: corrections to its end */
    if (jpeg->end_run > 0) jpeg->end_run--;
    else {
      fmi_jpeg_entry entry = fmi_jpeg_next(&b, c->ac_table);
      if (entry.run == FMI_JPEG_PARTIAL || (entry.run != FMI_JPEG_END && (entry.value < -1 || entry.value > 1)))
        return false;
      if (entry.run == FMI_JPEG_END) fmi_jpeg_start_end_run(jpeg, &b, entry.value);
      else run = entry.run, value = entry.value;
    }
    for (; k <= jpeg->last; k++) {
      int16_t *coefficient = &block[fmi_jpeg_zigzag[k]];
      if (*coefficient == 0) {
        if (run-- == 0) break;
      } else if (fmi_jpeg_bit(&b)) *coefficient = (int16_t)(*coefficient + (*coefficient > 0 ? one : -one));
    }
    if (value && k > jpeg->last) return false;
    if (value) block[fmi_jpeg_zigzag[k]] = (int16_t)(value * one);
    k++;
  }
  jpeg->bits = b;
  return true;
}

/* ---- from coefficients to samples ---- */

FMI_FN void fmi_jpeg_end_queue(fmi_jpeg *jpeg) {
  fmi_jpeg_queue *queue = &jpeg->queue;
  queue->to[queue->count] = queue->spare;
  queue->stride[queue->count] = 8;
  fmi_jpeg_transforms[jpeg->env->simd](queue->blocks[0], queue->to, queue->stride, queue->count);
  queue->count = 0;
}

/* The block behind those that wait, filled and multiplied, is to become samples. Flat ones do so at once. */
FMI_FN void fmi_jpeg_samples(fmi_jpeg *jpeg, uint8_t *out, size_t stride, bool flat) {
  fmi_jpeg_queue *queue = &jpeg->queue;
  int16_t *block = queue->blocks[queue->count];
  if (flat) {
    int level = (fmi_clamp_int(block[0] * 4, -32768, 32767) + 16) >> 5; /* as the whole transform does it */
    for (int y = 0; y < 8; y++) memset(out + (size_t)y * stride, fmi_clamp_int(level + 128, 0, 255), 8);
    block[0] = 0;
    return;
  }
  queue->to[queue->count] = out;
  queue->stride[queue->count] = stride;
  if (++queue->count == FMI_JPEG_QUEUE) fmi_jpeg_end_queue(jpeg);
}

/* ---- from samples to the picture ---- */

/* Row y of a component, held inside the picture: the rows beyond repeat its last one. */
FMI_FN const uint8_t *fmi_jpeg_row(const fmi_jpeg_component *c, int y) {
  return c->samples + (size_t)(fmi_clamp_int(y, 0, c->height - 1) % c->ring) * c->stride;
}

/* The triangle filter at half the width. The same row twice: only the width is halved. */
FMI_FN void fmi_jpeg_widen_row(const fmi_jpeg *jpeg, const fmi_jpeg_component *c, const uint8_t *nearer, const uint8_t *farther,
                               int left, int right) {
  int16_t *mixed = jpeg->mixed + 1;
  fmi_jpeg_mixers[jpeg->env->simd](mixed, nearer, farther, c->width);
  mixed[-1] = mixed[0]; /* beyond its ends a row goes on as it is */
  mixed[c->width] = mixed[c->width - 1];
  fmi_jpeg_wideners[jpeg->env->simd](c->line, mixed, c->width, left, right);
}

/* Row y of the picture in one component. */
FMI_FN const uint8_t *fmi_jpeg_full_row(const fmi_jpeg *jpeg, const fmi_jpeg_component *c, int y) {
  int own = (int)((int64_t)y * c->v / jpeg->v_max), other = y & 1 ? own + 1 : own - 1;
  const uint8_t *nearer = fmi_jpeg_row(c, own);
  switch (c->filter) {
    case FMI_JPEG_FULL: return nearer;
    case FMI_JPEG_H2V1: fmi_jpeg_widen_row(jpeg, c, nearer, nearer, 4, 8); break;
    case FMI_JPEG_H2V2: fmi_jpeg_widen_row(jpeg, c, nearer, fmi_jpeg_row(c, other), 8, 7); break;
    case FMI_JPEG_H1V2: {
      const uint8_t *farther = fmi_jpeg_row(c, other);
      int bias = y & 1 ? 2 : 1;
      for (int x = 0; x < c->width; x++) c->line[x] = (uint8_t)((nearer[x] * 3 + farther[x] + bias) >> 2);
      break;
    }
    case FMI_JPEG_REPEAT:
      for (int x = 0; x < jpeg->width; x++) c->line[x] = nearer[x * c->h / jpeg->h_max];
      break;
  }
  return c->line;
}

/* Adobe stores inks inverted: 255 is none. rgb holds cyan, magenta and yellow, each darkened by black to (1 - ink) (1 - black). */
FMI_FN void fmi_jpeg_darken_row(uint8_t *rgb, const uint8_t *black, int width) {
  for (int x = 0; x < width; x++)
    for (int i = 0; i < 3; i++, rgb++) {
      int product = (255 - *rgb) * black[x] + 128;
      *rgb = (uint8_t)(black[x] - ((product + (product >> 8)) >> 8)); /* product / 255, rounded */
    }
}

FMI_FN void fmi_jpeg_emit_row(fmi_jpeg *jpeg, int y) {
  uint8_t *out = jpeg->out->pixels + (size_t)y * (size_t)jpeg->width * (size_t)jpeg->out->channels;
  const uint8_t *row[4] = {NULL, NULL, NULL, NULL};
  for (int i = 0; i < jpeg->count; i++) row[i] = fmi_jpeg_full_row(jpeg, &jpeg->component[i], y);
  if (jpeg->count == 1) {
    memcpy(out, row[0], (size_t)jpeg->width);
    return;
  }
  if (jpeg->transform) fmi_jpeg_colours[jpeg->env->simd](out, row[0], row[1], row[2], jpeg->width);
  else
    for (int x = 0; x < jpeg->width; x++)
      for (int i = 0; i < 3; i++) out[3 * x + i] = row[i][x];
  if (jpeg->count == 4) {
    if (jpeg->transform) for (int x = 0; x < 3 * jpeg->width; x++) out[x] = (uint8_t)(255 - out[x]);
    fmi_jpeg_darken_row(out, row[3], jpeg->width);
  }
}

/* After MCU row m. Its last picture row waits for the row below, which the vertical filters look at. */
FMI_FN void fmi_jpeg_emit(fmi_jpeg *jpeg, int m) {
  int end = m + 1 == jpeg->mcus_y ? jpeg->height : (m + 1) * 8 * jpeg->v_max - 1;
  for (; jpeg->emitted < end; jpeg->emitted++) fmi_jpeg_emit_row(jpeg, jpeg->emitted);
}

/* ---- frame ---- */

/* How libjpeg-turbo brings a component to the picture's size; very narrow ones are repeated. */
FMI_FN fmi_jpeg_filter fmi_jpeg_choose_filter(const fmi_jpeg *jpeg, const fmi_jpeg_component *c) {
  bool same_h = c->h == jpeg->h_max, same_v = c->v == jpeg->v_max;
  bool half_h = c->h * 2 == jpeg->h_max, half_v = c->v * 2 == jpeg->v_max;
  if (same_h && same_v) return FMI_JPEG_FULL;
  if (same_h && half_v) return FMI_JPEG_H1V2;
  if (half_h && same_v && c->width > 2) return FMI_JPEG_H2V1;
  if (half_h && half_v && c->width > 2) return FMI_JPEG_H2V2;
  return FMI_JPEG_REPEAT;
}

/* Colours by what libjpeg goes by: a JFIF segment, Adobe's transform, the components' names. */
FMI_FN void fmi_jpeg_choose_colours(fmi_jpeg *jpeg) {
  const fmi_jpeg_component *c = jpeg->component;
  if (jpeg->count == 3)
    jpeg->transform =
        jpeg->jfif || (jpeg->adobe ? jpeg->transform != 0 : c[0].id != 'R' || c[1].id != 'G' || c[2].id != 'B');
  else jpeg->transform = jpeg->adobe && jpeg->transform != 0;
}

FMI_FN void fmi_jpeg_measure(fmi_jpeg *jpeg) {
  if (jpeg->count == 1) jpeg->component[0].h = jpeg->component[0].v = 1; /* never interleaved: its sampling means nothing */
  for (int i = 0; i < jpeg->count; i++) {
    jpeg->h_max = fmi_max_int(jpeg->h_max, jpeg->component[i].h);
    jpeg->v_max = fmi_max_int(jpeg->v_max, jpeg->component[i].v);
  }
  jpeg->mcus_x = fmi_ceil_div(jpeg->width, 8 * jpeg->h_max);
  jpeg->mcus_y = fmi_ceil_div(jpeg->height, 8 * jpeg->v_max);
  for (int i = 0; i < jpeg->count; i++) {
    fmi_jpeg_component *c = &jpeg->component[i];
    c->width = fmi_ceil_div(jpeg->width * c->h, jpeg->h_max);
    c->height = fmi_ceil_div(jpeg->height * c->v, jpeg->v_max);
    c->blocks_x = fmi_ceil_div(c->width, 8);
    c->blocks_y = fmi_ceil_div(c->height, 8);
    c->row_blocks = jpeg->mcus_x * c->h;
    c->filter = fmi_jpeg_choose_filter(jpeg, c);
    memset(c->known, 64, sizeof c->known);
    jpeg->blocks += (uint64_t)c->blocks_x * (uint64_t)c->blocks_y;
  }
}

FMI_FN bool fmi_jpeg_read_components(fmi_jpeg *jpeg, const uint8_t *p) {
  for (int i = 0; i < jpeg->count; i++) {
    fmi_jpeg_component *c = &jpeg->component[i];
    const uint8_t *entry = p + 3 * i;
    c->id = entry[0];
    c->h = entry[1] >> 4;
    c->v = entry[1] & 15;
    c->table = entry[2];
    for (int j = 0; j < i; j++)
      if (jpeg->component[j].id == c->id) return fmi_jpeg_damaged(jpeg, "two components are named %d", c->id);
    if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4)
      return fmi_jpeg_damaged(jpeg, "sampling factors of %d x %d; only 1 to 4 are possible", c->h, c->v);
    if (c->table > 3) return fmi_jpeg_damaged(jpeg, "quantisation table %d; only 0 to 3 are possible", c->table);
  }
  return true;
}

/* The frame header (B.2.2). Huge sizes over little data stop here, before anything is allocated: no block is coded in less than
   a bit, a sequential one in less than two. */
FMI_FN bool fmi_jpeg_read_frame(fmi_jpeg *jpeg, int marker, const uint8_t *p, size_t size) {
  size_t side = jpeg->env->limits.image_side;
  if (jpeg->count) return fmi_jpeg_damaged(jpeg, "a second frame header");
  if (size < 6 || size != 6 + 3 * (size_t)p[5]) return fmi_jpeg_damaged(jpeg, "the frame header has the wrong length");
  if (p[0] != 8)
    return fmi_fail_byte(jpeg->env, FM_ERROR_UNSUPPORTED, jpeg->at,
                         "a JPEG of %d bits a sample; save it with 8 bits, or as PNG", p[0]);
  jpeg->progressive = marker == 0xC2;
  jpeg->height = (int)fmi_be16(p + 1);
  jpeg->width = (int)fmi_be16(p + 3);
  if (jpeg->height == 0)
    return fmi_fail_byte(jpeg->env, FM_ERROR_UNSUPPORTED, jpeg->at,
                         "a JPEG that gives its height after the picture (DNL); save it again with any editor");
  if (jpeg->width == 0) return fmi_jpeg_damaged(jpeg, "the picture is 0 pixels wide");
  if ((size_t)jpeg->width > side || (size_t)jpeg->height > side)
    return fmi_fail_byte(jpeg->env, FM_ERROR_LIMIT, jpeg->at, "%d x %d pixels, over the limit of %zu a side; make it smaller, or raise fm_limits.image_side",
                         jpeg->width, jpeg->height, side);
  if (p[5] != 1 && p[5] != 3 && p[5] != 4)
    return fmi_fail_byte(jpeg->env, p[5] == 2 ? FM_ERROR_UNSUPPORTED : FM_ERROR_FORMAT, jpeg->at,
                         "a JPEG of %d components, not 1 (grey), 3 (colour) or 4 (CMYK); export it as one of these",
                         p[5]);
  jpeg->count = p[5];
  if (!fmi_jpeg_read_components(jpeg, p + 6)) return false;
  fmi_jpeg_measure(jpeg);
  if ((uint64_t)(jpeg->size - jpeg->at) * 8 < jpeg->blocks * (jpeg->progressive ? 1 : 2))
    return fmi_jpeg_damaged(jpeg, "%d x %d pixels cannot be in the %zu bytes that follow",
                            jpeg->width, jpeg->height, jpeg->size - jpeg->at);
  return true;
}

/* The memory that the first scan shows to be needed: rows of samples always, all coefficients if more scans follow. */
FMI_FN bool fmi_jpeg_allocate(fmi_jpeg *jpeg, fmi_pool *pixels) {
  fm_image *out = jpeg->out;
  out->width = jpeg->width;
  out->height = jpeg->height;
  out->channels = jpeg->count == 1 ? 1 : 3;
  out->pixels = (uint8_t *)fmi_alloc(jpeg->env, pixels, fmi_mul_size((size_t)out->width, (size_t)out->height),
                                     (size_t)out->channels);
  if (!out->pixels) return false;
  size_t widest = (size_t)jpeg->mcus_x * (size_t)jpeg->h_max * 8;
  jpeg->mixed = (int16_t *)fmi_alloc(jpeg->env, &jpeg->pool, widest / 2 + 2 + FMI_JPEG_SLACK, sizeof *jpeg->mixed);
  if (!jpeg->mixed) return false;
  for (int i = 0; i < jpeg->count; i++) {
    fmi_jpeg_component *c = &jpeg->component[i];
    c->stride = (size_t)c->row_blocks * 8;
    c->ring = c->v * 16;
    c->samples = (uint8_t *)fmi_alloc(jpeg->env, &jpeg->pool, c->stride * (size_t)c->ring + FMI_JPEG_SLACK, 1);
    c->line = (uint8_t *)fmi_alloc(jpeg->env, &jpeg->pool, widest + 2 * FMI_JPEG_SLACK, 1);
    if (!c->samples || !c->line) return false;
    if (!jpeg->stored) continue;
    size_t blocks = fmi_mul_size((size_t)c->row_blocks, (size_t)jpeg->mcus_y * (size_t)c->v);
    c->coefficients = (int16_t *)fmi_alloc_zero(jpeg->env, &jpeg->pool, blocks, 64 * sizeof(int16_t));
    if (!c->coefficients) return false;
  }
  return true;
}

/* ---- scans ---- */

FMI_FN bool fmi_jpeg_bad_entropy(fmi_jpeg *jpeg) {
  jpeg->at = (size_t)(jpeg->bits.next - jpeg->data);
  if (jpeg->bits.next == jpeg->bits.end || jpeg->bits.invented > jpeg->bits.count)
    return fmi_jpeg_damaged(jpeg, "the file ends before the picture does, in scan %d", jpeg->scans);
  return fmi_jpeg_damaged(jpeg, "the picture's data makes no sense, in scan %d", jpeg->scans);
}

FMI_FN void fmi_jpeg_start_bits(fmi_jpeg *jpeg, const uint8_t *next) {
  memset(&jpeg->bits, 0, sizeof jpeg->bits);
  jpeg->bits.next = next;
  jpeg->bits.end = jpeg->data + jpeg->size;
  jpeg->end_run = 0;
  jpeg->restart_in = jpeg->restart_interval;
  for (int i = 0; i < jpeg->scan_count; i++) jpeg->scan[i]->dc = 0;
}

/* The marker that ends entropy-coded data, from `next` on: its second byte, or NULL. */
FMI_FN const uint8_t *fmi_jpeg_find_marker(const uint8_t *next, const uint8_t *end) {
  for (; end - next > 1; next++)
    if (next[0] == 0xFF && next[1] != 0 && next[1] != 0xFF) return next + 1;
  return NULL;
}

/* Before each MCU: at the end of a restart interval the expected marker must follow. */
FMI_FN bool fmi_jpeg_restart(fmi_jpeg *jpeg) {
  if (!jpeg->restart_interval) return true;
  if (jpeg->restart_in == 0) {
    const uint8_t *marker = fmi_jpeg_find_marker(jpeg->bits.next, jpeg->bits.end);
    if (!marker || *marker != 0xD0 + jpeg->restart_number || jpeg->bits.invented > jpeg->bits.count)
      return fmi_jpeg_bad_entropy(jpeg);
    jpeg->restart_number = (jpeg->restart_number + 1) & 7;
    fmi_jpeg_start_bits(jpeg, marker + 1);
  }
  jpeg->restart_in--;
  return true;
}

/* One interleaved MCU row, straight to samples. */
FMI_FN bool fmi_jpeg_decode_row(fmi_jpeg *jpeg, int m) {
  for (int x = 0; x < jpeg->mcus_x; x++) {
    if (!fmi_jpeg_restart(jpeg)) return false;
    for (int i = 0; i < jpeg->scan_count; i++) {
      fmi_jpeg_component *c = jpeg->scan[i];
      uint8_t *corner = c->samples + (size_t)((m & 1) * c->v * 8) * c->stride + (size_t)(x * c->h) * 8;
      for (int k = 0; k < c->v; k++, corner += 8 * c->stride)
        for (int j = 0; j < c->h; j++) {
          bool flat = false;
          if (!fmi_jpeg_block(&jpeg->bits, c, c->quant, jpeg->queue.blocks[jpeg->queue.count], &flat))
            return fmi_jpeg_bad_entropy(jpeg);
          fmi_jpeg_samples(jpeg, corner + 8 * j, c->stride, flat);
        }
    }
  }
  fmi_jpeg_end_queue(jpeg);
  return jpeg->bits.invented <= jpeg->bits.count || fmi_jpeg_bad_entropy(jpeg);
}

/* One block of a scan into the stored coefficients. */
FMI_FN bool fmi_jpeg_store_block(fmi_jpeg *jpeg, fmi_jpeg_component *c, int x, int y) {
  static const uint16_t ones[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  int16_t *block = c->coefficients + ((size_t)y * (size_t)c->row_blocks + (size_t)x) * 64;
  bool flat = false;
  if (!jpeg->progressive) return fmi_jpeg_block(&jpeg->bits, c, ones, block, &flat);
  if (jpeg->first == 0) return fmi_jpeg_dc_scan(jpeg, c, block);
  return jpeg->high == 0 ? fmi_jpeg_ac_scan(jpeg, c, block) : fmi_jpeg_ac_refining_scan(jpeg, c, block);
}

FMI_FN bool fmi_jpeg_store_mcu(fmi_jpeg *jpeg, int x, int y) {
  if (jpeg->scan_count == 1) return fmi_jpeg_store_block(jpeg, jpeg->scan[0], x, y);
  for (int i = 0; i < jpeg->scan_count; i++) {
    fmi_jpeg_component *c = jpeg->scan[i];
    for (int k = 0; k < c->h * c->v; k++)
      if (!fmi_jpeg_store_block(jpeg, c, x * c->h + k % c->h, y * c->v + k / c->h)) return false;
  }
  return true;
}

/* A scan of one component alone has only the blocks that the picture needs, row by row; otherwise whole MCUs (A.2). */
FMI_FN bool fmi_jpeg_store_scan(fmi_jpeg *jpeg) {
  bool alone = jpeg->scan_count == 1;
  int columns = alone ? jpeg->scan[0]->blocks_x : jpeg->mcus_x, rows = alone ? jpeg->scan[0]->blocks_y : jpeg->mcus_y;
  for (int y = 0; y < rows; y++) {
    for (int x = 0; x < columns; x++) {
      if (!fmi_jpeg_restart(jpeg)) return false;
      if (!fmi_jpeg_store_mcu(jpeg, x, y)) return fmi_jpeg_bad_entropy(jpeg);
    }
    if (jpeg->bits.invented > jpeg->bits.count) return fmi_jpeg_bad_entropy(jpeg);
  }
  return true;
}

/* Stored coefficients to samples, one row of MCUs. */
FMI_FN void fmi_jpeg_row_samples(fmi_jpeg *jpeg, const fmi_jpeg_component *c, int m) {
  for (int y = m * c->v; y < (m + 1) * c->v; y++) {
    const int16_t *in = c->coefficients + (size_t)y * (size_t)c->row_blocks * 64;
    uint8_t *out = c->samples + (size_t)(y * 8 % c->ring) * c->stride;
    for (int x = 0; x < c->blocks_x; x++, in += 64, out += 8) {
      int16_t *block = jpeg->queue.blocks[jpeg->queue.count];
      int any = 0;
      for (int i = 0; i < 64; i++) block[i] = (int16_t)(in[i] * c->quant[i]);
      for (int i = 1; i < 64; i++) any |= block[i];
      fmi_jpeg_samples(jpeg, out, c->stride, any == 0);
    }
  }
  fmi_jpeg_end_queue(jpeg);
}

/* Marks what the scan gives; each bit of each coefficient comes once, upper bits first, the DC coefficient before the others. */
FMI_FN bool fmi_jpeg_check_progress(fmi_jpeg *jpeg) {
  bool dc = jpeg->first == 0;
  if (jpeg->first > jpeg->last || jpeg->last > 63 || jpeg->low > 13 || (jpeg->high && jpeg->high != jpeg->low + 1) ||
      (jpeg->progressive && (dc ? jpeg->last != 0 : jpeg->scan_count != 1)))
    return fmi_jpeg_damaged(jpeg, "scan %d says that it has coefficients %d to %d and bits %d to %d, which cannot be", jpeg->scans,
                            jpeg->first, jpeg->last, jpeg->high, jpeg->low);
  for (int i = 0; i < jpeg->scan_count; i++) {
    int8_t *known = jpeg->scan[i]->known;
    for (int k = jpeg->first; k <= jpeg->last; k++) {
      if (known[k] != (jpeg->high ? jpeg->high : 64) || (!dc && known[0] == 64))
        return fmi_jpeg_damaged(jpeg, "scan %d repeats an earlier one, or comes before one that it refines", jpeg->scans);
      known[k] = (int8_t)jpeg->low;
    }
  }
  return true;
}

/* Takes over a component's tables for this scan. */
FMI_FN bool fmi_jpeg_take_tables(fmi_jpeg *jpeg, fmi_jpeg_component *c, int dc, int ac) {
  bool needs_dc = jpeg->first == 0 && jpeg->high == 0, needs_ac = jpeg->last > 0;
  c->dc_table = &jpeg->tables[dc & 3];
  c->ac_table = &jpeg->tables[4 + (ac & 3)];
  if (dc > 3 || ac > 3 || (needs_dc && !c->dc_table->defined) || (needs_ac && !c->ac_table->defined))
    return fmi_jpeg_damaged(jpeg, "scan %d uses a Huffman table that the file does not define (frames of Motion JPEG leave "
                            "them out)", jpeg->scans);
  if (c->latched) return true;
  if (!jpeg->quant_defined[c->table])
    return fmi_jpeg_damaged(jpeg, "quantisation table %d is used, but not defined", c->table);
  memcpy(c->quant, jpeg->quant[c->table], sizeof c->quant);
  c->latched = true;
  return true;
}

/* A scan header (B.2.3). */
FMI_FN bool fmi_jpeg_read_scan(fmi_jpeg *jpeg, const uint8_t *p, size_t size) {
  if (!jpeg->count) return fmi_jpeg_damaged(jpeg, "a scan comes before the frame header");
  jpeg->scans++;
  jpeg->scan_count = size ? p[0] : 0;
  if (jpeg->scan_count < 1 || jpeg->scan_count > jpeg->count || size != 4 + 2 * (size_t)p[0])
    return fmi_jpeg_damaged(jpeg, "the header of scan %d names %d of %d components, or has the wrong length", jpeg->scans,
                            jpeg->scan_count, jpeg->count);
  const uint8_t *band = p + 1 + 2 * jpeg->scan_count;
  jpeg->first = jpeg->progressive ? band[0] : 0;
  jpeg->last = jpeg->progressive ? band[1] : 63;
  jpeg->high = jpeg->progressive ? band[2] >> 4 : 0;
  jpeg->low = jpeg->progressive ? band[2] & 15 : 0;
  int mcu_blocks = 0;
  for (int i = 0; i < jpeg->scan_count; i++) {
    int id = p[1 + 2 * i], tables = p[2 + 2 * i], index = 0;
    while (index < jpeg->count && jpeg->component[index].id != id) index++;
    if (index == jpeg->count)
      return fmi_jpeg_damaged(jpeg, "scan %d names component %d, which the picture does not have", jpeg->scans, id);
    jpeg->scan[i] = &jpeg->component[index];
    mcu_blocks += jpeg->scan[i]->h * jpeg->scan[i]->v;
    jpeg->work += (uint64_t)jpeg->scan[i]->blocks_x * (uint64_t)jpeg->scan[i]->blocks_y;
    if (!fmi_jpeg_take_tables(jpeg, jpeg->scan[i], tables >> 4, tables & 15)) return false;
  }
  if (jpeg->scan_count > 1 && mcu_blocks > 10)
    return fmi_jpeg_damaged(jpeg, "scan %d has %d blocks in a unit; at most 10 are possible", jpeg->scans, mcu_blocks);
  return fmi_jpeg_check_progress(jpeg);
}

/* Progressive files of real programs have about 10 scans; a hostile one must not make a big picture of thousands. */
FMI_FN bool fmi_jpeg_check_work(fmi_jpeg *jpeg) {
  enum { SCANS = 500, PASSES = 64, SMALL = 1 << 20 };
  if (jpeg->scans <= SCANS && jpeg->work <= SMALL + PASSES * jpeg->blocks) return true;
  return fmi_fail_byte(jpeg->env, FM_ERROR_LIMIT, jpeg->at, "a progressive JPEG with %d scans or more, which no program "
                       "writes; save it again as baseline JPEG or PNG",
                       jpeg->scans);
}

/* Header and data of a scan; jpeg->at goes to the marker after it. */
FMI_FN bool fmi_jpeg_scan(fmi_jpeg *jpeg, fmi_pool *pixels, const uint8_t *p, size_t size) {
  if (!fmi_jpeg_read_scan(jpeg, p, size) || !fmi_jpeg_check_work(jpeg)) return false;
  if (jpeg->scans == 1) {
    jpeg->stored = jpeg->progressive || jpeg->scan_count < jpeg->count;
    fmi_jpeg_choose_colours(jpeg);
    if (!fmi_jpeg_allocate(jpeg, pixels)) return false;
  }
  jpeg->restart_number = 0;
  fmi_jpeg_start_bits(jpeg, p + size);
  if (jpeg->stored) {
    if (!fmi_jpeg_store_scan(jpeg)) return false;
  } else {
    for (int m = 0; m < jpeg->mcus_y; m++) {
      if (!fmi_jpeg_decode_row(jpeg, m)) return false;
      fmi_jpeg_emit(jpeg, m);
    }
    jpeg->finished = true;
  }
  jpeg->at = (size_t)(jpeg->bits.next - jpeg->data);
  return true;
}

/* ---- segments ---- */

FMI_FN bool fmi_jpeg_read_quant(fmi_jpeg *jpeg, const uint8_t *p, size_t size) {
  while (size) {
    int wide = p[0] >> 4, id = p[0] & 15;
    size_t length = wide ? 129 : 65;
    if (wide > 1 || id > 3 || size < length) return fmi_jpeg_damaged(jpeg, "a quantisation table is damaged");
    for (int i = 0; i < 64; i++)
      jpeg->quant[id][fmi_jpeg_zigzag[i]] = (uint16_t)(wide ? fmi_be16(p + 1 + 2 * i) : p[1 + i]);
    jpeg->quant_defined[id] = true;
    p += length;
    size -= length;
  }
  return true;
}

FMI_FN bool fmi_jpeg_read_huffman(fmi_jpeg *jpeg, const uint8_t *p, size_t size) {
  while (size) {
    size_t count = 0;
    if (size < 17 || p[0] >> 4 > 1 || (p[0] & 15) > 3) return fmi_jpeg_damaged(jpeg, "a Huffman table is damaged");
    for (int i = 1; i <= 16; i++) count += p[i];
    if (count > 256 || count > size - 17)
      return fmi_jpeg_damaged(jpeg, "a Huffman table has %zu codes, more than there can be", count);
    fmi_jpeg_huffman *table = &jpeg->tables[(p[0] >> 4) * 4 + (p[0] & 15)];
    memcpy(table->symbols, p + 17, count);
    for (size_t i = 0; i < count && p[0] < 16; i++)
      if (table->symbols[i] > 15)
        return fmi_jpeg_damaged(jpeg, "a Huffman table has a DC size of %d bits", table->symbols[i]);
    if (!fmi_jpeg_make_table(table, p + 1))
      return fmi_jpeg_damaged(jpeg, "a Huffman table has more codes than their lengths allow");
    p += 17 + count;
    size -= 17 + count;
  }
  return true;
}

/* A colour profile's description says "sRGB" where it is one; pixels stay as they are in any case. */
FMI_FN bool fmi_jpeg_check_profile(fmi_jpeg *jpeg, const uint8_t *p, size_t size) {
  static const char ascii[4] = {'s', 'R', 'G', 'B'}, wide[7] = {'s', 0, 'R', 0, 'G', 0, 'B'};
  if (size < 14 || memcmp(p, "ICC_PROFILE", 12) != 0 || p[12] != 1) return true; /* later parts hold no description */
  for (size_t i = 14; i + 7 <= size; i++)
    if (memcmp(p + i, ascii, 4) == 0 || memcmp(p + i, wide, 7) == 0) return true;
  const char *name = jpeg->env->file ? jpeg->env->file : "";
  return fmi_warn(jpeg->env, "%s%sthe JPEG's colour profile is not sRGB; its colours are taken as if they were: convert it to sRGB",
                  name, name[0] ? ": " : "");
}

FMI_FN bool fmi_jpeg_unsupported(fmi_jpeg *jpeg, int marker) {
  const char *kind = "a hierarchical JPEG";
  if (marker == 0xC3 || marker == 0xF7) kind = "a lossless JPEG";
  else if (marker >= 0xC9 && marker <= 0xCF) kind = "a JPEG with arithmetic coding";
  return fmi_fail_byte(jpeg->env, FM_ERROR_UNSUPPORTED, jpeg->at,
                       "%s, which hardly any program reads; save it as baseline JPEG or PNG", kind);
}

FMI_FN bool fmi_jpeg_segment(fmi_jpeg *jpeg, fmi_pool *pixels, int marker, const uint8_t *p, size_t size) {
  switch (marker) {
    case 0xC0: case 0xC1: case 0xC2: return fmi_jpeg_read_frame(jpeg, marker, p, size);
    case 0xC3: case 0xC5: case 0xC6: case 0xC7: case 0xC9: case 0xCA: case 0xCB: case 0xCC: case 0xCD: case 0xCE: case 0xCF:
    case 0xDE: case 0xDF: case 0xF7: return fmi_jpeg_unsupported(jpeg, marker);
    case 0xC4: return fmi_jpeg_read_huffman(jpeg, p, size);
    case 0xDB: return fmi_jpeg_read_quant(jpeg, p, size);
    case 0xDD:
      if (size != 2) return fmi_jpeg_damaged(jpeg, "the restart interval has the wrong length");
      jpeg->restart_interval = (int)fmi_be16(p);
      return true;
    case 0xDA: return fmi_jpeg_scan(jpeg, pixels, p, size);
    case 0xE0: jpeg->jfif = jpeg->jfif || (size >= 5 && memcmp(p, "JFIF", 5) == 0); return true;
    case 0xE2: return fmi_jpeg_check_profile(jpeg, p, size);
    case 0xEE:
      if (size >= 12 && memcmp(p, "Adobe", 5) == 0) jpeg->adobe = true, jpeg->transform = p[11];
      return true;
    default: return true;
  }
}

/* Marker after marker, to the picture's end or the file's. Bytes between segments are passed over, as every reader does. */
FMI_FN bool fmi_jpeg_segments(fmi_jpeg *jpeg, fmi_pool *pixels) {
  jpeg->at = 2;
  while (!jpeg->finished) {
    const uint8_t *end = jpeg->data + jpeg->size, *p = fmi_jpeg_find_marker(jpeg->data + jpeg->at, end);
    if (!p || *p == 0xD9) break;
    int marker = *p++;
    jpeg->at = (size_t)(p - jpeg->data);
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue; /* these stand alone */
    size_t left = (size_t)(end - p), length = left < 2 ? 0 : fmi_be16(p);
    if (length < 2 || length > left)
      return fmi_jpeg_damaged(jpeg, "segment %02x has %zu bytes, which is not possible here",
                              (unsigned)marker, length);
    if (!fmi_jpeg_segment(jpeg, pixels, marker, p + 2, length - 2)) return false;
    if (marker != 0xDA) jpeg->at += length;
  }
  return true;
}

/* All scans of a stored picture are there: was it all, and what does it look like? */
FMI_FN bool fmi_jpeg_finish(fmi_jpeg *jpeg) {
  bool ended = jpeg->size - jpeg->at > 1 && fmi_jpeg_find_marker(jpeg->data + jpeg->at, jpeg->data + jpeg->size) != NULL;
  if (!jpeg->scans)
    return fmi_jpeg_damaged(jpeg, "the file ends before its picture begins");
  for (int i = 0; i < jpeg->count; i++) {
    const int8_t *known = jpeg->component[i].known;
    for (int k = 0; k < 64; k++)
      if (k == 0 ? known[k] == 64 : !ended && known[k] != 0)
        return fmi_jpeg_damaged(jpeg, "the file ends after scan %d, before the picture is complete", jpeg->scans);
  }
  for (int m = 0; m < jpeg->mcus_y; m++) {
    for (int i = 0; i < jpeg->count; i++) fmi_jpeg_row_samples(jpeg, &jpeg->component[i], m);
    fmi_jpeg_emit(jpeg, m);
  }
  return true;
}

/* Pixels go to `pool`: 1 channel from grey, otherwise 3. EXIF orientation is ignored: texture coordinates mean stored pixels. */
FMI_FN bool fmi_jpeg_decode(fmi_env *env, fmi_pool *pool, const uint8_t *data, size_t size, fm_image *out) {
  fmi_pool own = {NULL};
  memset(out, 0, sizeof *out);
  if (!fmi_jpeg_is(data, size))
    return fmi_fail_byte(env, FM_ERROR_FORMAT, 0, "does not begin as a JPEG does; copy or export it again");
  fmi_jpeg *jpeg = (fmi_jpeg *)fmi_alloc_zero(env, &own, 1, sizeof *jpeg);
  bool ok = jpeg != NULL;
  if (ok) {
    jpeg->env = env;
    jpeg->data = data;
    jpeg->size = size;
    jpeg->out = out;
    jpeg->tables = (fmi_jpeg_huffman *)fmi_alloc_zero(env, &jpeg->pool, 8, sizeof *jpeg->tables);
    ok = jpeg->tables && fmi_jpeg_segments(jpeg, pool) && (jpeg->finished || fmi_jpeg_finish(jpeg));
    fmi_free_pool(env, &env->allocator, &jpeg->pool);
  }
  fmi_free_pool(env, &env->allocator, &own);
  if (!ok && out->pixels) fmi_release(env, out->pixels);
  if (!ok) memset(out, 0, sizeof *out);
  return ok;
}
#endif /* FACEMORPH_NO_JPEG */

/* ---- TGA (Truevision TGA File Format Specification 2.0) ----
   True colour of 15, 16, 24 and 32 bits, grey, grey with alpha and colour-mapped pictures, plain or run-length coded, from every
   corner. Alpha counts where the header gives it bits. Test: tests/test_tga_bmp.c */

/* A sample of `max` + 1 levels as one of 256, rounded to nearest. */
FMI_FN uint8_t fmi_scale_sample(uint32_t value, uint32_t max) {
  if (max == 255) return (uint8_t)value;
  return (uint8_t)(max ? ((uint64_t)value * 255 + max / 2) / max : 0);
}

/* Sizes, which stand at byte `at`, are within the limit and the pixels can be in `bytes` bytes, each of which holds `most` pixels at
   most. */
FMI_FN bool fmi_check_image_size(fmi_env *env, uint64_t at, int64_t width, int64_t height, size_t bytes, int most) {
  int64_t side = (int64_t)fmi_min_size(env->limits.image_side, INT_MAX);
  if (width < 1 || height < 1)
    return fmi_fail_byte(env, FM_ERROR_FORMAT, at,
                         "the picture has no pixels: its width or height is not above 0; export it again");
  if (width > side || height > side)
    return fmi_fail_byte(env, FM_ERROR_LIMIT, at, "%llu x %llu pixels, over the limit of %llu a side; make it smaller, or raise fm_limits.image_side",
                    (unsigned long long)width, (unsigned long long)height, (unsigned long long)side);
  if ((uint64_t)width * (uint64_t)height <= (uint64_t)bytes * (uint64_t)most) return true;
  return fmi_fail_byte(env, FM_ERROR_FORMAT, at, "%llu x %llu pixels cannot be in the %zu bytes of the file; it is cut off or damaged: copy or export it again",
                  (unsigned long long)width, (unsigned long long)height, bytes);
}
FMI_FN bool fmi_alloc_image(fmi_env *env, fmi_pool *pool, fm_image *out, int width, int height, int channels) {
  out->width = width;
  out->height = height;
  out->channels = channels;
  out->pixels = (uint8_t *)fmi_alloc(env, pool, fmi_mul_size((size_t)width, (size_t)height), (size_t)channels);
  return out->pixels != NULL;
}

typedef struct fmi_tga {
  fmi_env *env;
  const uint8_t *data;
  size_t size, at;                  /* at: the next byte of the pixels */
  int kind;                         /* 1 colour-mapped, 2 true colour, 3 grey */
  int bits, bytes;                  /* of a stored pixel */
  bool packed, from_right, from_top, alpha;
  int channels;
  uint8_t *map;                     /* the colour map's entries in `channels` samples each */
  size_t map_first, map_count;
} fmi_tga;

/* Is the header one that a TGA file can have? There is no signature at the beginning, so every field must make sense. */
FMI_FN bool fmi_tga_is(const uint8_t *data, size_t size) {
  if (size < 18 || data[1] > 1 || (data[17] & 0xC0)) return false;
  int kind = data[2] & 7, bits = data[16], map_bits = data[7], attributes = data[17] & 15;
  if ((data[2] & ~11) || kind < 1 || kind > 3) return false;
  if (fmi_le16(data + 12) == 0 || fmi_le16(data + 14) == 0) return false;
  if (data[1] && map_bits != 15 && map_bits != 16 && map_bits != 24 && map_bits != 32) return false;
  if (!data[1] && kind == 1) return false;
  if (attributes > 8) return false;
  if (kind == 2) return bits == 15 || bits == 16 || bits == 24 || bits == 32;
  return bits == 8 || bits == 16;
}

/* A colour of 15 to 32 bits: blue first. */
FMI_FN void fmi_tga_colour(uint8_t *out, const uint8_t *in, int bits, bool alpha) {
  if (bits > 16) {
    out[0] = in[2];
    out[1] = in[1];
    out[2] = in[0];
    if (alpha) out[3] = bits == 32 ? in[3] : 255;
    return;
  }
  uint32_t value = fmi_le16(in);
  for (int i = 0; i < 3; i++) out[i] = fmi_scale_sample(value >> (10 - 5 * i) & 31, 31);
  if (alpha) out[3] = value >> 15 ? 255 : 0;
}

/* One stored pixel. False: it names a colour that the map does not have. */
FMI_FN bool fmi_tga_pixel(const fmi_tga *tga, uint8_t *out, const uint8_t *in) {
  if (tga->kind == 1) {
    size_t index = tga->bytes == 1 ? in[0] : fmi_le16(in);
    if (index < tga->map_first || index - tga->map_first >= tga->map_count) return false;
    memcpy(out, tga->map + (index - tga->map_first) * (size_t)tga->channels, (size_t)tga->channels);
  } else if (tga->kind == 2) fmi_tga_colour(out, in, tga->bits, tga->alpha);
  else memcpy(out, in, (size_t)tga->channels);
  return true;
}

FMI_FN bool fmi_tga_header(fmi_tga *tga, fmi_pool *temp) {
  const uint8_t *data = tga->data;
  int map_bits = data[7], attributes = data[17] & 15;
  size_t map_entry = (size_t)(map_bits + 7) / 8;
  tga->kind = data[2] & 7;
  tga->packed = (data[2] & 8) != 0;
  tga->bits = data[16];
  tga->bytes = (tga->bits + 7) / 8;
  tga->from_right = (data[17] & 16) != 0;
  tga->from_top = (data[17] & 32) != 0;
  tga->alpha = attributes && (tga->kind == 1 ? map_bits == 16 || map_bits == 32 : tga->bits == 16 || tga->bits == 32);
  tga->channels = tga->kind == 3 ? tga->bytes : tga->alpha ? 4 : 3;
  tga->at = 18 + (size_t)data[0];
  if (!data[1]) return true;
  tga->map_first = fmi_le16(data + 3);
  tga->map_count = fmi_le16(data + 5);
  if (tga->at > tga->size || tga->map_count * map_entry > tga->size - tga->at)
    return fmi_fail_byte(tga->env, FM_ERROR_FORMAT, tga->at,
                         "the file ends within its colour map; it was cut off, copy or export it again");
  if (tga->kind == 1) {
    tga->map = (uint8_t *)fmi_alloc(tga->env, temp, tga->map_count, (size_t)tga->channels);
    if (!tga->map) return false;
    for (size_t i = 0; i < tga->map_count; i++)
      fmi_tga_colour(tga->map + i * (size_t)tga->channels, data + tga->at + i * map_entry, map_bits, tga->alpha);
  }
  tga->at += tga->map_count * map_entry;
  return true;
}

/* All pixels in the file's order. A packet may go on in the next row. */
FMI_FN bool fmi_tga_pixels(fmi_tga *tga, uint8_t *out, size_t count) {
  size_t bytes = (size_t)tga->bytes, channels = (size_t)tga->channels;
  while (count) {
    size_t n = count;
    bool repeat = false;
    if (tga->packed && tga->at < tga->size) {
      repeat = tga->data[tga->at] >= 128;
      n = fmi_min_size(count, (size_t)(tga->data[tga->at++] & 127) + 1);
    }
    if (tga->at > tga->size || (repeat ? 1 : n) > (tga->size - tga->at) / bytes)
      return fmi_fail_byte(tga->env, FM_ERROR_FORMAT, tga->size,
                           "the file ends %zu pixels before the picture does; it was cut off, copy or export it again",
                           count);
    for (size_t i = 0; i < n; i++, out += channels) {
      const uint8_t *in = tga->data + tga->at + (repeat ? 0 : i * bytes);
      if (!fmi_tga_pixel(tga, out, in))
        return fmi_fail_byte(tga->env, FM_ERROR_FORMAT, tga->at,
                             "a pixel has a colour that is not among the colour map's %zu; export the picture again",
                             tga->map_count);
    }
    tga->at += repeat ? bytes : n * bytes;
    count -= n;
  }
  return true;
}

FMI_FN void fmi_swap_bytes(uint8_t *a, uint8_t *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint8_t byte = a[i];
    a[i] = b[i];
    b[i] = byte;
  }
}
FMI_FN void fmi_flip_rows(fm_image *image) {
  size_t row = (size_t)image->width * (size_t)image->channels;
  for (int y = 0; y < image->height / 2; y++)
    fmi_swap_bytes(image->pixels + (size_t)y * row, image->pixels + (size_t)(image->height - 1 - y) * row, row);
}
FMI_FN void fmi_mirror_rows(fm_image *image) {
  size_t channels = (size_t)image->channels, row = (size_t)image->width * channels;
  for (int y = 0; y < image->height; y++)
    for (int x = 0; x < image->width / 2; x++) {
      uint8_t *pixels = image->pixels + (size_t)y * row;
      fmi_swap_bytes(pixels + (size_t)x * channels, pixels + (size_t)(image->width - 1 - x) * channels, channels);
    }
}

/* Pixels go to `pool`: 1 to 4 channels as in the file. */
FMI_FN bool fmi_tga_decode(fmi_env *env, fmi_pool *pool, const uint8_t *data, size_t size, fm_image *out) {
  fmi_tga tga;
  fmi_pool temp = {NULL};
  memset(&tga, 0, sizeof tga);
  memset(out, 0, sizeof *out);
  if (!fmi_tga_is(data, size))
    return fmi_fail_byte(env, FM_ERROR_FORMAT, 0, "does not begin as a TGA picture does; copy or export it again");
  tga.env = env;
  tga.data = data;
  tga.size = size;
  int width = (int)fmi_le16(data + 12), height = (int)fmi_le16(data + 14);
  bool ok = fmi_check_image_size(env, 12, width, height, size, data[2] & 8 ? 128 : 1) && fmi_tga_header(&tga, &temp) &&
            fmi_alloc_image(env, pool, out, width, height, tga.channels) &&
            fmi_tga_pixels(&tga, out->pixels, (size_t)width * (size_t)height);
  fmi_free_pool(env, &env->allocator, &temp);
  if (ok && !tga.from_top) fmi_flip_rows(out);
  if (ok && tga.from_right) fmi_mirror_rows(out);
  if (!ok) {
    fmi_release(env, out->pixels);
    memset(out, 0, sizeof *out);
  }
  return ok;
}

/* ---- BMP (Microsoft's BITMAPFILEHEADER and its info headers; OS/2's) ----
   1, 2, 4, 8, 16, 24 and 32 bits, RLE4, RLE8, bit fields; every header from 12 to 124 bytes; from the bottom or from the top. */

typedef struct fmi_bmp {
  fmi_env *env;
  const uint8_t *data;
  size_t size;
  size_t at;                        /* of the pixels */
  int width, height, bits, channels;
  bool from_top;
  uint32_t compression;             /* 0 none, 1 RLE8, 2 RLE4, 3 bit fields, 6 bit fields with alpha */
  uint32_t most[4];                 /* of red, green, blue and alpha: the highest value; alpha's is 0 without alpha */
  int shift[4];                     /* how far above bit 0 it is */
  size_t palette, entry, colours;   /* where it is, bytes of an entry, how many */
} fmi_bmp;

FMI_FN bool fmi_bmp_is(const uint8_t *data, size_t size) {
  if (size < 18 || data[0] != 'B' || data[1] != 'M') return false;
  switch (fmi_le32(data + 14)) {
    case 12: case 16: case 40: case 52: case 56: case 64: case 108: case 124: return true;
    default: return false;
  }
}

FMI_FN bool fmi_bmp_cut_off(fmi_bmp *bmp) {
  return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, bmp->size,
                       "the file ends before its picture does; it was cut off, copy or export it again");
}

/* Where the samples are in a pixel of 16 or 32 bits: bits 10, 5 and 0 or 16, 8 and 0, unless masks say something else. They stand
   in the header or, behind one of 40 bytes, at the same place. */
FMI_FN bool fmi_bmp_fields(fmi_bmp *bmp, size_t header) {
  bool given = bmp->compression == 3 || bmp->compression == 6;
  int count = given && (bmp->compression == 6 || header >= 56) ? 4 : 3, size = bmp->bits == 32 ? 8 : 5;
  if (given && bmp->size < 54 + 4 * (size_t)count) return fmi_bmp_cut_off(bmp);
  for (int i = 0; i < count; i++) {
    uint32_t mask = given ? fmi_le32(bmp->data + 54 + 4 * i) : ((1u << size) - 1) << ((2 - i) * size);
    if (mask & (mask + (mask & (0u - mask))))
      return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, 54 + 4 * (uint64_t)i,
                           "a bit field of a colour has gaps; export the picture again");
    while (mask && !(mask & 1)) mask >>= 1, bmp->shift[i]++;
    bmp->most[i] = mask;
  }
  return true;
}

/* Do compression, bits and direction go together? */
FMI_FN bool fmi_bmp_check(fmi_bmp *bmp, size_t header) {
  static const uint8_t run_bits[7] = {0, 8, 4, 0, 0, 0, 0};
  uint32_t kind = bmp->compression;
  if (kind == 4 || kind == 5 || kind > 6 || (header == 64 && kind > 2))
    return fmi_fail_byte(bmp->env, FM_ERROR_UNSUPPORTED, 30,
                         "a BMP of compression %u, which is not read; save it without compression, or as PNG", kind);
  bool wrong = false;
  switch (bmp->bits) {
    case 1: case 2: case 4: case 8: wrong = kind != 0 && (run_bits[kind] != bmp->bits || bmp->from_top); break;
    case 16: case 32: wrong = run_bits[kind] != 0; break;
    case 24: wrong = kind != 0; break;
    default:
      return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, 28,
                           "%d bits a pixel, but BMP has 1, 2, 4, 8, 16, 24 or 32; export the picture again",
                           bmp->bits);
  }
  if (wrong)
    return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, 28, "%d bits a pixel do not go with compression %u; export the picture "
                         "again", bmp->bits, kind);
  return true;
}

/* Size, bits, compression, and what stands between the header and the pixels. */
FMI_FN bool fmi_bmp_header(fmi_bmp *bmp) {
  const uint8_t *data = bmp->data;
  size_t header = fmi_le32(data + 14), end = 14 + header;
  bool core = header == 12;
  if (bmp->size < end) return fmi_bmp_cut_off(bmp);
  int64_t width = core ? (int64_t)fmi_le16(data + 18) : (int64_t)(int32_t)fmi_le32(data + 18);
  int64_t height = core ? (int64_t)fmi_le16(data + 20) : (int64_t)(int32_t)fmi_le32(data + 22);
  bmp->bits = (int)fmi_le16(data + (core ? 24 : 28));
  bmp->compression = header >= 40 ? fmi_le32(data + 30) : 0;
  bmp->at = fmi_le32(data + 10);
  bmp->from_top = height < 0;
  if (height < 0) height = -height;
  bool runs = bmp->compression == 1 || bmp->compression == 2;
  if (!fmi_bmp_check(bmp, header) || !fmi_check_image_size(bmp->env, 18, width, height, bmp->size, runs ? 255 : 8))
    return false;
  bmp->width = (int)width;
  bmp->height = (int)height;
  if (bmp->compression >= 3 && header == 40) end += bmp->compression == 6 ? 16 : 12;
  if (bmp->at < end || bmp->at > bmp->size)
    return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, 10, "the pixels should begin at byte %zu, which cannot be; the file is "
                         "damaged or cut off: copy or export it again", bmp->at);
  if (bmp->bits <= 8) {
    size_t most = (size_t)1 << bmp->bits, used = header >= 40 ? fmi_le32(data + 46) : 0;
    bmp->palette = end;
    bmp->entry = core ? 3 : 4;
    bmp->colours = fmi_min_size(used ? fmi_min_size(used, most) : most, (bmp->at - end) / bmp->entry);
  } else if (bmp->bits != 24 && !fmi_bmp_fields(bmp, header)) return false;
  bmp->channels = bmp->most[3] ? 4 : 3;
  return true;
}

/* A colour of the table, which the byte at `from` names. */
FMI_FN bool fmi_bmp_colour(fmi_bmp *bmp, uint8_t *out, uint32_t index, const uint8_t *from) {
  if (index >= bmp->colours)
    return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, (uint64_t)(from - bmp->data),
                         "a pixel has colour %u of a table of %zu (the first is 0); export the picture again", index,
                         bmp->colours);
  const uint8_t *colour = bmp->data + bmp->palette + index * bmp->entry;
  out[0] = colour[2];
  out[1] = colour[1];
  out[2] = colour[0];
  return true;
}

FMI_FN bool fmi_bmp_row(fmi_bmp *bmp, uint8_t *out, const uint8_t *in) {
  int channels = bmp->channels, bits = bmp->bits;
  for (int x = 0; x < bmp->width; x++, out += channels) {
    if (bits <= 8) {
      size_t bit = (size_t)x * (size_t)bits;
      if (!fmi_bmp_colour(bmp, out, (uint32_t)in[bit / 8] >> (8 - bits - (int)(bit % 8)) & ((1u << bits) - 1),
                          in + bit / 8))
        return false;
    } else if (bits == 24) {
      for (int i = 0; i < 3; i++) out[i] = in[3 * x + 2 - i];
    } else {
      uint32_t value = bits == 16 ? fmi_le16(in + 2 * x) : fmi_le32(in + 4 * x);
      for (int i = 0; i < channels; i++) out[i] = fmi_scale_sample(value >> bmp->shift[i] & bmp->most[i], bmp->most[i]);
    }
  }
  return true;
}

FMI_FN bool fmi_bmp_rows(fmi_bmp *bmp, fm_image *out) {
  size_t row = fmi_add_size(fmi_mul_size((size_t)bmp->width, (size_t)bmp->bits), 7) / 8, stride = (row + 3) & ~(size_t)3;
  size_t out_row = (size_t)bmp->width * (size_t)bmp->channels;
  size_t need = fmi_add_size(fmi_mul_size(stride, (size_t)(bmp->height - 1)), row); /* the last row's filling may be missing */
  if (need > bmp->size - bmp->at) return fmi_bmp_cut_off(bmp);
  for (int y = 0; y < bmp->height; y++)
    if (!fmi_bmp_row(bmp, out->pixels + (size_t)y * out_row, bmp->data + bmp->at + (size_t)y * stride)) return false;
  return true;
}

/* RLE4 and RLE8: pairs of a count and a value; count 0 is an escape: end of row, end of picture, a step, or that many plain pixels.
   Pixels that are stepped over have colour 0. Some writers also code what fills a row up to 4 bytes, as in plain rows: it is
   passed over. */
FMI_FN bool fmi_bmp_runs(fmi_bmp *bmp, fm_image *out) {
  size_t at = bmp->at, size = bmp->size;
  int x = 0, y = 0, filled = 32 / bmp->bits, longest = (bmp->width + filled - 1) / filled * filled;
  for (size_t i = 0; i < (size_t)bmp->width * (size_t)bmp->height; i++)
    if (!fmi_bmp_colour(bmp, out->pixels + 3 * i, 0, bmp->data + at)) return false;
  while (y < bmp->height) {
    if (size - at < 2) return (x >= bmp->width && y == bmp->height - 1) || fmi_bmp_cut_off(bmp);
    int count = bmp->data[at], value = bmp->data[at + 1];
    const uint8_t *plain = bmp->data + at + 2;
    at += 2;
    if (count == 0 && value == 0) { x = 0; y++; continue; }
    if (count == 0 && value == 1) break;
    if (count == 0 && value == 2) {
      if (size - at < 2) return fmi_bmp_cut_off(bmp);
      x += plain[0];
      y += plain[1];
      at += 2;
      if (x > longest || y >= bmp->height)
        return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, at, "a step leads out of the picture; export the picture again");
      continue;
    }
    bool run = count > 0;
    if (!run) {
      count = value;
      size_t bytes = ((size_t)(count * bmp->bits + 7) / 8 + 1) & ~(size_t)1;
      if (bytes > size - at) return fmi_bmp_cut_off(bmp);
      at += bytes;
    }
    if (count > longest - x)
      return fmi_fail_byte(bmp->env, FM_ERROR_FORMAT, at, "a run of pixels leaves its row; export the picture again");
    uint8_t *row = out->pixels + (size_t)y * (size_t)bmp->width * 3;
    for (int i = 0; i < count && x + i < bmp->width; i++) {
      int byte = run ? value : plain[bmp->bits == 8 ? i : i / 2];
      if (!fmi_bmp_colour(bmp, row + 3 * (size_t)(x + i),
                          (uint32_t)(bmp->bits == 8 ? byte
                                     : i & 1        ? byte & 15
                                                    : byte >> 4),
                          plain - 2))
        return false;
    }
    x += count;
  }
  return true;
}

/* Pixels go to `pool`: 3 channels, or 4 where there is a bit field for alpha. */
FMI_FN bool fmi_bmp_decode(fmi_env *env, fmi_pool *pool, const uint8_t *data, size_t size, fm_image *out) {
  fmi_bmp bmp;
  memset(&bmp, 0, sizeof bmp);
  memset(out, 0, sizeof *out);
  if (!fmi_bmp_is(data, size))
    return fmi_fail_byte(env, FM_ERROR_FORMAT, 0, "does not begin as a BMP picture does; copy or export it again");
  bmp.env = env;
  bmp.data = data;
  bmp.size = size;
  if (!fmi_bmp_header(&bmp) || !fmi_alloc_image(env, pool, out, bmp.width, bmp.height, bmp.channels)) return false;
  bool runs = bmp.compression == 1 || bmp.compression == 2;
  bool ok = runs ? fmi_bmp_runs(&bmp, out) : fmi_bmp_rows(&bmp, out);
  if (ok && !bmp.from_top) fmi_flip_rows(out);
  if (!ok) {
    fmi_release(env, out->pixels);
    memset(out, 0, sizeof *out);
  }
  return ok;
}

/* ---- any picture ----
   Which kind of file is it, by content alone; and the one way in for pictures of every kind. Names of files are never looked at:
   a JPEG called .png is common. Test: tests/test_images.c */

typedef struct fmi_signature {
  size_t offset, length;
  const char *bytes;
  fm_format format;
  const char *name;
} fmi_signature;

/* Files that say what they are at a fixed place. Those of FM_FORMAT_UNKNOWN are not read, but called by their name. */
FMI_FN const fmi_signature *fmi_find_signature(const uint8_t *data, size_t size) {
  static const fmi_signature signatures[] = {
    {0, 20, "Kaydara FBX Binary  ", FM_FORMAT_FBX, "FBX"},
    {0, 8, "\x89PNG\r\n\x1A\n", FM_FORMAT_PNG, "PNG"},
    {0, 3, "\xFF\xD8\xFF", FM_FORMAT_JPEG, "JPEG"},
    {0, 4, "GIF8", FM_FORMAT_UNKNOWN, "GIF"},
    {8, 4, "WEBP", FM_FORMAT_UNKNOWN, "WebP"},
    {0, 4, "II*\0", FM_FORMAT_UNKNOWN, "TIFF"},
    {0, 4, "MM\0*", FM_FORMAT_UNKNOWN, "TIFF"},
    {0, 4, "II+\0", FM_FORMAT_UNKNOWN, "BigTIFF"},
    {0, 4, "MM\0+", FM_FORMAT_UNKNOWN, "BigTIFF"},
    {0, 4, "8BPS", FM_FORMAT_UNKNOWN, "Photoshop"},
    {0, 4, "\x76\x2F\x31\x01", FM_FORMAT_UNKNOWN, "OpenEXR"},
    {0, 10, "#?RADIANCE", FM_FORMAT_UNKNOWN, "Radiance HDR"},
    {0, 6, "#?RGBE", FM_FORMAT_UNKNOWN, "Radiance HDR"},
    {0, 4, "DDS ", FM_FORMAT_UNKNOWN, "DDS"},
    {0, 5, "\xABKTX ", FM_FORMAT_UNKNOWN, "KTX"},
    {4, 8, "jP  \r\n\x87\n", FM_FORMAT_UNKNOWN, "JPEG 2000"},
    {0, 4, "\xFF\x4F\xFF\x51", FM_FORMAT_UNKNOWN, "JPEG 2000"},
    {4, 8, "JXL \r\n\x87\n", FM_FORMAT_UNKNOWN, "JPEG XL"},
    {0, 2, "\xFF\x0A", FM_FORMAT_UNKNOWN, "JPEG XL"},
    {4, 7, "ftypavi", FM_FORMAT_UNKNOWN, "AVIF"},
    {4, 7, "ftyphei", FM_FORMAT_UNKNOWN, "HEIC"},
    {4, 8, "ftypmif1", FM_FORMAT_UNKNOWN, "HEIC or AVIF"},
    {0, 4, "qoif", FM_FORMAT_UNKNOWN, "QOI"}};
  for (size_t i = 0; i < FMI_COUNT(signatures); i++) {
    const fmi_signature *s = &signatures[i];
    if (size >= s->offset && size - s->offset >= s->length && memcmp(data + s->offset, s->bytes, s->length) == 0)
      return s;
  }
  return NULL;
}

/* Does a word of text, followed by a space or an end, stand at the beginning? */
FMI_FN bool fmi_starts_word(const uint8_t *text, size_t size, const char *word) {
  size_t n = strlen(word);
  return size >= n && memcmp(text, word, n) == 0 && (size == n || text[n] <= ' ' || text[n] == '\\');
}

/* OBJ has no signature: its first line that is neither empty nor a comment begins with one of its keywords. Where all of the
   text that we have is comments, that is good enough. */
FMI_FN bool fmi_looks_like_obj(const uint8_t *text, size_t size) {
  static const char *const words[] = {"v", "vt", "vn", "vp", "f", "fo", "o", "g", "s", "l", "p", "mtllib", "usemtl", "usemap",
                                      "maplib", "cstype", "deg"};
  bool comment = false;
  size_t i = 0;
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) i = 3;
  while (i < size) {
    while (i < size && (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r'))) i++;
    if (i == size) break;
    if (text[i] != '#') {
      for (size_t k = 0; k < FMI_COUNT(words); k++)
        if (fmi_starts_word(text + i, size - i, words[k])) return true;
      return false;
    }
    comment = true;
    for (; i < size && text[i] != '\n' && text[i] != '\r'; i++)
      if (text[i] == 0) return false;
  }
  return comment;
}

/* ASCII FBX begins with a comment like "; FBX 7.5.0 project file", or with its first record after comments of other kinds. */
FMI_FN bool fmi_looks_like_ascii_fbx(const uint8_t *text, size_t size) {
  static const char record[] = "FBXHeaderExtension:";
  size_t length = sizeof record - 1;
  if (size >= 5 && memcmp(text, "; FBX", 5) == 0) return true;
  for (size_t i = 0; i + length <= size && text[i] != 0; i++)
    if (text[i] == 'F' && memcmp(text + i, record, length) == 0) return true;
  return false;
}

FM_API fm_format fm_identify(const void *data, size_t size) {
  const uint8_t *bytes = (const uint8_t *)data;
  if (!data) return FM_FORMAT_UNKNOWN;
  const fmi_signature *signature = fmi_find_signature(bytes, size);
  if (signature) return signature->format;
  if (fmi_bmp_is(bytes, size)) return FM_FORMAT_BMP;
  if (fmi_looks_like_ascii_fbx(bytes, fmi_min_size(size, 4096))) return FM_FORMAT_FBX_ASCII;
  if (fmi_looks_like_obj(bytes, fmi_min_size(size, 4096))) return FM_FORMAT_OBJ;
  return fmi_tga_is(bytes, size) ? FM_FORMAT_TGA : FM_FORMAT_UNKNOWN;
}

/* Why a file is not read as a picture. */
FMI_FN bool fmi_refuse_image(fmi_env *env, const uint8_t *data, size_t size, fm_format format) {
  const fmi_signature *signature = fmi_find_signature(data, size);
  if (size == 0) return fmi_fail(env, FM_ERROR_FORMAT, "is empty; copy or export it again");
  if (format == FM_FORMAT_FBX || format == FM_FORMAT_FBX_ASCII || format == FM_FORMAT_OBJ)
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is a 3D model (%s) and not a picture; give a PNG, JPEG, TGA or BMP",
                    format == FM_FORMAT_OBJ ? "OBJ" : "FBX");
  if (format != FM_FORMAT_UNKNOWN)
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is a %s picture, and this build was made without them (FACEMORPH_NO_%s); convert it to TGA or BMP",
                    format == FM_FORMAT_PNG ? "PNG" : "JPEG", format == FM_FORMAT_PNG ? "PNG" : "JPEG");
  if (signature)
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is a %s picture, which is not read; convert it to PNG or JPEG",
                    signature->name);
  return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is no picture of a kind that is read (PNG, JPEG, TGA, BMP), or its beginning "
                  "is damaged; convert it to PNG or JPEG");
}

/* One pixel to another number of channels: grey by Rec. 709's weights on the encoded values, missing alpha is opaque. */
FMI_FN void fmi_convert_pixel(uint8_t *out, int channels, const uint8_t *in, int from) {
  bool grey = from < 3;
  uint8_t alpha = from == 2 ? in[1] : from == 4 ? in[3] : 255;
  if (channels < 3) {
    out[0] = grey ? in[0] : (uint8_t)((2126 * in[0] + 7152 * in[1] + 722 * in[2] + 5000) / 10000);
    if (channels == 2) out[1] = alpha;
    return;
  }
  for (int i = 0; i < 3; i++) out[i] = in[grey ? 0 : i];
  if (channels == 4) out[3] = alpha;
}

FMI_FN bool fmi_convert_channels(fmi_env *env, fmi_pool *pool, fm_image *image, int channels) {
  size_t count = (size_t)image->width * (size_t)image->height;
  if (channels == 0 || channels == image->channels) return true;
  uint8_t *pixels = (uint8_t *)fmi_alloc(env, pool, count, (size_t)channels);
  if (!pixels) return false;
  for (size_t i = 0; i < count; i++)
    fmi_convert_pixel(pixels + i * (size_t)channels, channels, image->pixels + i * (size_t)image->channels,
                      image->channels);
  fmi_release(env, image->pixels);
  image->pixels = pixels;
  image->channels = channels;
  return true;
}

/* A picture of any kind, its pixels in `pool`. channels: 0 as the file has it, 1 to 4 converted. *out is zero on failure. */
FMI_FN bool fmi_decode_image(fmi_env *env, fmi_pool *pool, const uint8_t *data, size_t size, int channels,
                             fm_image *out) {
  fm_format format = fm_identify(data, size);
  bool ok = false;
  memset(out, 0, sizeof *out);
  switch (format) {
#ifndef FACEMORPH_NO_PNG
    case FM_FORMAT_PNG: ok = fmi_png_decode(env, pool, data, size, out); break;
#endif
#ifndef FACEMORPH_NO_JPEG
    case FM_FORMAT_JPEG: ok = fmi_jpeg_decode(env, pool, data, size, out); break;
#endif
    case FM_FORMAT_TGA: ok = fmi_tga_decode(env, pool, data, size, out); break;
    case FM_FORMAT_BMP: ok = fmi_bmp_decode(env, pool, data, size, out); break;
    default: fmi_refuse_image(env, data, size, format); break;
  }
  if (ok && !fmi_convert_channels(env, pool, out, channels)) {
    fmi_release(env, out->pixels);
    ok = false;
  }
  if (!ok) memset(out, 0, sizeof *out);
  return ok;
}

/* ---- the public functions ---- */

FMI_FN void fmi_begin_image(fmi_env *env, fm_image *out, const char *name, const fm_image_desc *desc, fm_error *error) {
  fmi_begin(env, desc ? desc->common : NULL, error, desc && desc->name ? desc->name : name);
  if (!out) fmi_fail(env, FM_ERROR_ARGUMENT, "out is NULL; it must point to the fm_image to fill");
  else memset(out, 0, sizeof *out);
  if (desc && (desc->channels < 0 || desc->channels > 4)) fmi_fail(env, FM_ERROR_ARGUMENT,
                                                                   "channels is %d; 0 to 4 are possible", desc->channels);
}

/* Decodes unless something failed before, tells the warnings to the log and gives the pixels to the image. */
FMI_FN bool fmi_end_image(fmi_env *env, fm_image *out, const uint8_t *data, size_t size, const fm_image_desc *desc) {
  fm_image image;
  memset(&image, 0, sizeof image);
  if (env->error->status == FM_OK && fmi_decode_image(env, &env->keep, data, size, desc ? desc->channels : 0, &image)) {
    for (size_t i = 0; i < env->warning_count && env->common->log; i++)
      env->common->log(env->common->log_user, FM_LOG_WARNING, env->warnings[i]);
    image.owner = fmi_make_owner(env);
  }
  if (!fmi_end(env)) return false;
  *out = image;
  return true;
}

FM_API bool fm_load_image(fm_image *out, const void *data, size_t size, const fm_image_desc *desc, fm_error *error) {
  fmi_env env;
  fmi_begin_image(&env, out, NULL, desc, error);
  if (!data && size) fmi_fail(&env, FM_ERROR_ARGUMENT, "data is NULL, but size is not 0");
  return fmi_end_image(&env, out, (const uint8_t *)data, size, desc);
}

FM_API bool fm_load_image_stream(fm_image *out, const fm_stream *stream, const fm_image_desc *desc, fm_error *error) {
  fmi_env env;
  uint8_t *data = NULL;
  size_t size = 0;
  fmi_begin_image(&env, out, NULL, desc, error);
  if (!stream || !stream->read) fmi_fail(&env, FM_ERROR_ARGUMENT, "the stream cannot be read: it, or its read, is NULL");
  if (env.error->status == FM_OK) fmi_read_all(&env, &env.temp, stream, &data, &size);
  return fmi_end_image(&env, out, data, size, desc);
}

FM_API bool fm_load_image_file(fm_image *out, const char *path, const fm_image_desc *desc, fm_error *error) {
  fmi_env env;
  uint8_t *data = NULL;
  size_t size = 0;
  fmi_begin_image(&env, out, path, desc, error);
  if (!path) fmi_fail(&env, FM_ERROR_ARGUMENT, "path is NULL; give the path of a file");
  if (env.error->status == FM_OK) fmi_read_file(&env, &env.temp, path, true, NULL, &data, &size);
  return fmi_end_image(&env, out, data, size, desc);
}

FM_API void fm_free_image(fm_image *image) {
  if (!image) return;
  fmi_free_owner(image->owner);
  memset(image, 0, sizeof *image);
}

/* ============================================================ [FM:materials] ========================================
   What every mesh reader needs: textures found and decoded, the caller's selection of parts, triangles. A reader fills the arrays
   of the mesh in env->keep and calls fmi_finish_mesh, which does the rest:

     fmi_assembly a;
     fmi_begin_mesh(&a, env, desc, mesh);      mesh: from fmi_new_mesh
     positions, polygon_starts (also for no polygons at all), corners, uvs and corner_uvs (both or neither), polygon_materials
     (NULL: all use material 0), materials, parts with their first_*, *_count (in file order, none overlapping) and stored_*
     materials[m].texture = fmi_add_texture(&a, &source);     FM_NONE: failed, and recorded
     return fmi_finish_mesh(&a);

   Guarantees: a finished mesh has indices in range, finite floats, and n - 2 triangles for each polygon of n corners; a texture that
   cannot be had is a warning, never a failure. Trusts: the ranges of the parts. Test: tests/test_materials.c */

/* ---- names ---- */

/* Texts to numbers. The texts are not copied. */
typedef struct fmi_name_slot { const char *text; size_t size; uint32_t value; } fmi_name_slot;
typedef struct fmi_names { fmi_name_slot *slots; size_t room, count; } fmi_names; /* room: 0 or a power of two */

/* The slot of a text, or the empty one where it belongs (text NULL). FNV-1a, with its high bits folded in. */
FMI_FN fmi_name_slot *fmi_name_place(const fmi_names *names, const char *text, size_t size) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001B3ull;
  size_t at = (size_t)(hash ^ hash >> 32) & (names->room - 1);
  while (names->slots[at].text && (names->slots[at].size != size || memcmp(names->slots[at].text, text, size) != 0))
    at = (at + 1) & (names->room - 1);
  return &names->slots[at];
}
/* The slot of a text, made with value FM_NONE if it is new. NULL: no memory, recorded. */
FMI_FN fmi_name_slot *fmi_find_name(fmi_env *env, fmi_names *names, const char *text, size_t size) {
  if (2 * names->count >= names->room) {
    fmi_names bigger = {NULL, 0, 0};
    bigger.room = fmi_max_size(64, fmi_mul_size(names->room, 2));
    bigger.count = names->count;
    bigger.slots = (fmi_name_slot *)fmi_alloc_zero(env, &env->temp, bigger.room, sizeof *bigger.slots);
    if (!bigger.slots) return NULL;
    for (size_t i = 0; i < names->room; i++)
      if (names->slots[i].text) *fmi_name_place(&bigger, names->slots[i].text, names->slots[i].size) = names->slots[i];
    fmi_release(env, names->slots);
    *names = bigger;
  }
  fmi_name_slot *slot = fmi_name_place(names, text, size);
  if (!slot->text) {
    slot->text = text;
    slot->size = size;
    slot->value = FM_NONE;
    names->count++;
  }
  return slot;
}

/* ---- a mesh under way ---- */

/* A texture as a mesh file names it. Texts need no 0 at their ends; all that is pointed to lives until fmi_finish_mesh. */
typedef struct fmi_texture_source {
  const char *path; size_t path_size;          /* as written; a relative one is looked for beside the mesh */
  const char *other_path; size_t other_size;   /* a second one (FBX: the absolute file name), or NULL */
  const uint8_t *content; size_t content_size; /* the file itself, embedded in the mesh file, or NULL */
} fmi_texture_source;

typedef struct fmi_assembly {
  fmi_env *env;
  const fm_load_desc *desc;    /* may be NULL */
  fm_mesh *mesh;
  fmi_texture_source *sources; /* of each texture */
  size_t source_room, texture_room;
  fmi_names paths, contents;   /* textures by their paths, by the addresses of their contents */
} fmi_assembly;

FMI_FN fm_mesh *fmi_new_mesh(fmi_env *env, const fm_load_desc *desc) {
  const char *name = fmi_file_name(desc && desc->name ? desc->name : "mesh"), *dot = strrchr(name, '.');
  fm_mesh *mesh = (fm_mesh *)fmi_alloc_zero(env, &env->keep, 1, sizeof *mesh);
  if (!mesh) return NULL;
  mesh->name = fmi_copy_text(env, &env->keep, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
  return mesh->name ? mesh : NULL;
}

FMI_FN void fmi_begin_mesh(fmi_assembly *a, fmi_env *env, const fm_load_desc *desc, fm_mesh *mesh) {
  memset(a, 0, sizeof *a);
  a->env = env;
  a->desc = desc;
  a->mesh = mesh;
}

/* A file name for messages and the mesh, without folders. */
FMI_FN char *fmi_copy_file_name(fmi_env *env, fmi_pool *pool, const char *path, size_t size) {
  size_t start = size;
  while (start > 0 && path[start - 1] != '/' && path[start - 1] != '\\') start--;
  return fmi_copy_text(env, pool, path + start, size - start);
}

/* The index of a texture, which is new unless the same file or the same content was added before. FM_NONE: failed, recorded. */
FMI_FN uint32_t fmi_add_texture(fmi_assembly *a, const fmi_texture_source *source) {
  fmi_env *env = a->env;
  fm_mesh *mesh = a->mesh;
  bool second = source->path_size == 0 && source->other_size > 0;
  const char *path = second ? source->other_path : source->path_size ? source->path : "(unnamed)";
  size_t size = second ? source->other_size : source->path_size ? source->path_size : strlen(path);
  fmi_name_slot *slot = NULL;
  if (source->content) {
    const uint8_t **key = (const uint8_t **)fmi_alloc(env, &env->temp, 1, sizeof *key);
    if (key) {
      *key = source->content;
      slot = fmi_find_name(env, &a->contents, (const char *)key, sizeof *key);
    }
  } else slot = fmi_find_name(env, &a->paths, path, size);
  if (!slot) return FM_NONE;
  if (slot->value != FM_NONE) return slot->value;

  size_t need = mesh->texture_count + 1;
  fm_texture *textures =
      (fm_texture *)fmi_reserve(env, &env->keep, mesh->textures, need, &a->texture_room, sizeof *textures);
  if (!textures) return FM_NONE;
  mesh->textures = textures;
  fmi_texture_source *sources =
      (fmi_texture_source *)fmi_reserve(env, &env->temp, a->sources, need, &a->source_room, sizeof *sources);
  if (!sources) return FM_NONE;
  a->sources = sources;
  fm_texture *texture = &textures[mesh->texture_count];
  memset(texture, 0, sizeof *texture);
  texture->embedded = source->content != NULL;
  texture->name = fmi_copy_file_name(env, &env->keep, path, size);
  if (!texture->name) return FM_NONE;
  sources[mesh->texture_count] = *source;
  slot->value = (uint32_t)mesh->texture_count++;
  return slot->value;
}

/* An exponent of ones carries into bit 31. Two at a time. */
FMI_FN bool fmi_all_finite(const float *values, size_t count) {
  uint64_t any = 0, two;
  size_t i = 0;
  for (; i + 1 < count; i += 2) {
    memcpy(&two, values + i, sizeof two);
    any |= (two & 0x7F8000007F800000u) + 0x0080000000800000u;
  }
  return !(any & 0x8000000080000000u) && (i == count || fmi_is_finite((double)values[i]));
}

/* Puts 0 in the place of infinities and NaN, with one warning. what: "position", "UV". False: no memory for that. */
FMI_FN bool fmi_clean_floats(fmi_env *env, float *values, size_t count, size_t components, const char *what) {
  size_t bad = 0, first = 0;
  if (fmi_all_finite(values, count * components)) return true;
  for (size_t i = count * components; i-- > 0;)
    if (!fmi_is_finite((double)values[i])) values[i] = 0.0f, first = i / components, bad++;
  return fmi_warn(env, "%ss that are infinite, not a number, or beyond the range of float were set to 0 (first in %s %zu, counted from 0; %zu numbers in all)",
                          what, what, first, bad);
}

/* ---- the caller's selection: globs over part and material names ---- */

/* Does text match a pattern of characters, '*' (any number of characters) and '?' (one)? */
FMI_FN bool fmi_match_glob(const char *pattern, size_t pattern_size, const char *text) {
  size_t p = 0, star = SIZE_MAX;
  const char *t = text, *retry = text;
  while (*t) {
    if (p < pattern_size && pattern[p] == '*') {
      star = p++; /* try the shortest first, come back here for one character more */
      retry = t;
    } else if (p < pattern_size && (pattern[p] == '?' || pattern[p] == *t)) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++retry;
    } else return false;
  }
  while (p < pattern_size && pattern[p] == '*') p++;
  return p == pattern_size;
}

/* Which of the file's parts and materials a list of globs names. */
typedef struct fmi_choice { uint8_t *parts, *materials; } fmi_choice;

/* The names to choose from, for a message. */
FMI_FN bool fmi_list_names(fmi_text *text, const fm_mesh *mesh) {
  for (size_t i = 0; i < mesh->part_count + mesh->material_count && text->size < 600; i++) {
    const char *name = i < mesh->part_count ? mesh->parts[i].name : mesh->materials[i - mesh->part_count].name;
    if (*name && !fmi_text_add(text, "%s%s", text->size ? ", " : "", name)) return false;
  }
  return text->size || fmi_text_add(text, "no names at all");
}

FMI_FN bool fmi_choose(fmi_assembly *a, const char *option, const char *list, fmi_choice *choice) {
  fmi_env *env = a->env;
  const fm_mesh *mesh = a->mesh;
  choice->parts = (uint8_t *)fmi_alloc_zero(env, &env->temp, mesh->part_count, 1);
  choice->materials = (uint8_t *)fmi_alloc_zero(env, &env->temp, mesh->material_count, 1);
  if (!choice->parts || !choice->materials) return false;
  while (*list) {
    size_t size = 0, matches = 0;
    while (list[size] && list[size] != ',') size++;
    for (size_t i = 0; i < mesh->part_count; i++)
      if (fmi_match_glob(list, size, mesh->parts[i].name)) choice->parts[i] = 1, matches++;
    for (size_t i = 0; i < mesh->material_count; i++)
      if (fmi_match_glob(list, size, mesh->materials[i].name)) choice->materials[i] = 1, matches++;
    if (!matches && size) {
      fmi_text names = {NULL, NULL, NULL, 0, 0};
      char glob[100];
      names.env = env;
      names.pool = &env->temp;
      fmi_format(glob, fmi_min_size(size + 1, sizeof glob), "%s", list);
      return fmi_list_names(&names, mesh) &&
             fmi_fail(env, FM_ERROR_ARGUMENT, "\"%s\" of %s matches no part and no material; there are: %s", glob,
                      option, names.data);
    }
    list += size + (list[size] == ',');
  }
  return true;
}

/* What becomes of a polygon, as bits that its vertices collect. */
enum { FMI_KEPT = 1, FMI_LEFT_OUT = 2, FMI_PART_LEFT_OUT = 4 };

/* fate[polygon], gone[part]: a part goes if all its polygons do, or, if it has none, by its name alone. */
FMI_FN void fmi_decide(const fm_mesh *mesh, const fmi_choice *only, const fmi_choice *exclude, uint8_t *fate,
                       uint8_t *gone) {
  size_t next = 0;
  for (size_t part = 0; part <= mesh->part_count; part++) { /* the last round: polygons behind all parts */
    bool inside = part < mesh->part_count;
    size_t first = next,
           end = inside ? mesh->parts[part].first_polygon + mesh->parts[part].polygon_count : mesh->polygon_count,
           kept = 0;
    for (; next < end; next++) {
      uint32_t m = mesh->polygon_materials ? mesh->polygon_materials[next] : mesh->material_count ? 0 : FM_NONE;
      bool wanted = !only->parts || (inside && only->parts[part]) || (m != FM_NONE && only->materials[m]);
      bool unwanted = exclude->parts && ((inside && exclude->parts[part]) || (m != FM_NONE && exclude->materials[m]));
      fate[next] = wanted && !unwanted ? FMI_KEPT : FMI_LEFT_OUT;
      kept += fate[next] == FMI_KEPT;
    }
    if (!inside) break;
    gone[part] =
        first < end ? kept == 0 : (only->parts && !only->parts[part]) || (exclude->parts && exclude->parts[part]);
    for (size_t i = first; i < end && gone[part]; i++) fate[i] = FMI_PART_LEFT_OUT;
  }
}

/* Removes what is not kept, and renumbers. A vertex goes if only parts that go use it, or if it lies unused in one that goes. */
FMI_FN bool fmi_remove_polygons(fmi_assembly *a, const uint8_t *fate, const uint8_t *gone) {
  fmi_env *env = a->env;
  fm_mesh *mesh = a->mesh;
  size_t polygons = 0, corners = 0, vertices = 0, parts = 0;
  uint32_t *polygon_map = (uint32_t *)fmi_alloc(env, &env->temp, mesh->polygon_count + 1, sizeof *polygon_map); /* how many are kept before */
  uint32_t *vertex_map = (uint32_t *)fmi_alloc(env, &env->temp, mesh->vertex_count + 1, sizeof *vertex_map);
  uint8_t *use = (uint8_t *)fmi_alloc_zero(env, &env->temp, mesh->vertex_count, 1);
  if (!polygon_map || !vertex_map || !use) return false;

  for (size_t i = 0; i < mesh->polygon_count; i++) {
    size_t start = mesh->polygon_starts[i], end = mesh->polygon_starts[i + 1];
    for (size_t c = start; c < end; c++) use[mesh->corners[c]] |= fate[i];
    polygon_map[i] = (uint32_t)polygons;
    if (fate[i] != FMI_KEPT) continue;
    if (mesh->polygon_materials) mesh->polygon_materials[polygons] = mesh->polygon_materials[i];
    mesh->polygon_starts[polygons++] = (uint32_t)corners; /* at or before the one that is read next */
    for (size_t c = start; c < end; c++, corners++) {
      mesh->corners[corners] = mesh->corners[c];
      if (mesh->corner_uvs) mesh->corner_uvs[corners] = mesh->corner_uvs[c];
    }
  }
  polygon_map[mesh->polygon_count] = (uint32_t)polygons;
  mesh->polygon_starts[polygons] = (uint32_t)corners;
  mesh->polygon_count = polygons;
  mesh->corner_count = corners;

  for (size_t part = 0; part < mesh->part_count; part++)
    for (size_t i = 0; gone[part] && i < mesh->parts[part].vertex_count; i++) {
      size_t v = mesh->parts[part].first_vertex + i;
      if (use[v] == 0) use[v] = FMI_PART_LEFT_OUT;
    }
  for (size_t v = 0; v < mesh->vertex_count; v++) {
    vertex_map[v] = (uint32_t)vertices;
    if (use[v] == FMI_PART_LEFT_OUT) continue;
    memmove(mesh->positions + 3 * vertices++, mesh->positions + 3 * v, 3 * sizeof(float));
  }
  vertex_map[mesh->vertex_count] = (uint32_t)vertices;
  mesh->vertex_count = vertices;
  for (size_t c = 0; c < corners; c++) mesh->corners[c] = vertex_map[mesh->corners[c]];

  for (size_t i = 0; i < mesh->part_count; i++) {
    fm_part part = mesh->parts[i];
    if (gone[i]) continue;
    part.vertex_count = vertex_map[part.first_vertex + part.vertex_count] - vertex_map[part.first_vertex];
    part.first_vertex = vertex_map[part.first_vertex];
    part.polygon_count = polygon_map[part.first_polygon + part.polygon_count] - polygon_map[part.first_polygon];
    part.first_polygon = polygon_map[part.first_polygon];
    part.first_corner = mesh->polygon_starts[part.first_polygon];
    part.corner_count = mesh->polygon_starts[part.first_polygon + part.polygon_count] - part.first_corner;
    mesh->parts[parts++] = part;
  }
  mesh->part_count = parts;
  return true;
}

/* Removes materials that no polygon uses, and textures that no material uses, with what they own. */
FMI_FN bool fmi_remove_materials(fmi_assembly *a) {
  fmi_env *env = a->env;
  fm_mesh *mesh = a->mesh;
  size_t count = 0;
  uint32_t *map = (uint32_t *)fmi_alloc_zero(env, &env->temp, mesh->material_count + mesh->texture_count, sizeof *map),
           *texture_map = map;
  if (!map) return false;
  texture_map += mesh->material_count;
  if (!mesh->polygon_materials && mesh->material_count) map[0] = mesh->polygon_count > 0;
  for (size_t i = 0; mesh->polygon_materials && i < mesh->polygon_count; i++)
    if (mesh->polygon_materials[i] != FM_NONE) map[mesh->polygon_materials[i]] = 1;
  for (size_t i = 0; i < mesh->material_count; i++) {
    fm_material *material = &mesh->materials[i];
    if (!map[i]) { fmi_release(env, material->name); continue; }
    if (material->texture != FM_NONE) texture_map[material->texture] = 1;
    if (material->opacity != FM_NONE) texture_map[material->opacity] = 1;
    map[i] = (uint32_t)count;
    mesh->materials[count++] = *material;
  }
  for (size_t i = 0; mesh->polygon_materials && i < mesh->polygon_count; i++)
    if (mesh->polygon_materials[i] != FM_NONE) mesh->polygon_materials[i] = map[mesh->polygon_materials[i]];
  mesh->material_count = count;
  count = 0;
  for (size_t i = 0; i < mesh->texture_count; i++) {
    if (!texture_map[i]) { fmi_release(env, mesh->textures[i].name); continue; }
    texture_map[i] = (uint32_t)count;
    a->sources[count] = a->sources[i];
    mesh->textures[count++] = mesh->textures[i];
  }
  mesh->texture_count = count;
  for (size_t i = 0; i < mesh->material_count; i++) {
    fm_material *material = &mesh->materials[i];
    if (material->texture != FM_NONE) material->texture = texture_map[material->texture];
    if (material->opacity != FM_NONE) material->opacity = texture_map[material->opacity];
  }
  return true;
}

FMI_FN bool fmi_select(fmi_assembly *a) {
  fmi_env *env = a->env;
  fm_mesh *mesh = a->mesh;
  fmi_choice only = {NULL, NULL}, exclude = {NULL, NULL};
  bool some_only = a->desc && a->desc->only && *a->desc->only,
       some_exclude = a->desc && a->desc->exclude && *a->desc->exclude;
  if (!some_only && !some_exclude) return true;
  if (some_only && !fmi_choose(a, "only", a->desc->only, &only)) return false;
  if (some_exclude && !fmi_choose(a, "exclude", a->desc->exclude, &exclude)) return false;
  uint8_t *fate = (uint8_t *)fmi_alloc(env, &env->temp, mesh->polygon_count, 1);
  uint8_t *gone = (uint8_t *)fmi_alloc(env, &env->temp, mesh->part_count, 1);
  if (!fate || !gone) return false;
  fmi_decide(mesh, &only, &exclude, fate, gone);
  if (!fmi_remove_polygons(a, fate, gone) || !fmi_remove_materials(a)) return false;
  return mesh->polygon_count ||
         fmi_fail(env, FM_ERROR_ARGUMENT,
                  "only and exclude together leave no polygon of the mesh; leave fewer parts out");
}

/* ---- textures ---- */

/* All blocks of `from` go to `to`, which may have some. */
FMI_FN void fmi_join_pool(fmi_pool *to, fmi_pool *from) {
  fmi_block *last = from->first;
  if (!last) return;
  while (last->next) last = last->next;
  last->next = to->first;
  if (to->first) to->first->link = &last->next;
  to->first = from->first;
  to->first->link = &to->first;
  from->first = NULL;
}

/* One search for a texture's file. Everything is in env->temp. */
typedef struct fmi_search {
  fmi_env *env;
  const char *folder; size_t folder_size; /* of the mesh file, with its '/' */
  const char *mesh_name;
  char *path;                             /* the one that was tried last */
  fmi_text tried;
  bool found;
  uint8_t *data; size_t size;
} fmi_search;

FMI_FN void fmi_begin_search(fmi_search *s, const fmi_assembly *a) {
  memset(s, 0, sizeof *s);
  s->env = a->env;
  s->folder = a->desc && a->desc->name ? a->desc->name : "";
  s->folder_size = (size_t)(fmi_file_name(s->folder) - s->folder);
  s->mesh_name = a->mesh->name;
  s->tried.env = a->env;
  s->tried.pool = &a->env->temp;
}

/* Tries one path unless the file is found already. False: failed, recorded. */
FMI_FN bool fmi_try_file(fmi_search *s, bool beside, const char *folder, const char *name, size_t size) {
  fmi_env *env = s->env;
  fmi_text path = {NULL, NULL, NULL, 0, 0};
  if (s->found || size == 0) return true;
  path.env = env;
  path.pool = &env->temp;
  if (beside && !fmi_text_bytes(&path, s->folder, s->folder_size)) return false;
  if (!fmi_text_bytes(&path, folder, strlen(folder)) || !fmi_text_bytes(&path, name, size)) return false;
  if (!fmi_read_file(env, &env->temp, path.data, false, &s->found, &s->data, &s->size)) return false;
  if (s->found) {
    s->path = path.data;
    return true;
  }
  bool listed = s->tried.size > 500 || fmi_text_add(&s->tried, "%s%s", s->tried.size ? ", " : "", path.data);
  fmi_release(env, path.data);
  return listed;
}

/* A file name in every folder where exporters put textures. */
FMI_FN bool fmi_try_folders(fmi_search *s, const char *name, size_t size) {
  static const char *const folders[] = {"", "textures/", "Textures/", "tex/"};
  char media[300];
  if (fmi_format(media, sizeof media, "%s.fbm/", s->mesh_name) >= sizeof media) media[0] = 0;
  if (!fmi_try_file(s, true, folders[0], name, size) || !fmi_try_file(s, true, media, name, size)) return false;
  for (size_t i = 1; i < FMI_COUNT(folders); i++)
    if (!fmi_try_file(s, true, folders[i], name, size)) return false;
  return true;
}

/* A path as the mesh file has it: as it is, then its file name in the usual folders, then that in lower case. */
FMI_FN bool fmi_try_path(fmi_search *s, const char *text, size_t size) {
  fmi_env *env = s->env;
  if (!text || !size) return true;
  char *path = fmi_copy_text(env, &env->temp, text, size);
  if (!path) return false;
  for (char *c = path; *c; c++)
    if (*c == '\\') *c = '/';
  const char *name = fmi_file_name(path);
  size_t length = strlen(path), name_length = strlen(name);
  bool drive = length > 2 && path[1] == ':', absolute = path[0] == '/' || drive;
  if ((name != path || absolute) && !fmi_try_file(s, !absolute, "", path, length)) return false;
  if (!fmi_try_folders(s, name, name_length)) return false;
  char *lower = fmi_copy_text(env, &env->temp, name, name_length);
  if (!lower) return false;
  for (char *c = lower; *c; c++)
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
  return strcmp(lower, name) == 0 || fmi_try_folders(s, lower, name_length);
}

/* Finds the file of a texture that is not embedded. */
FMI_FN bool fmi_find_texture(fmi_assembly *a, const fmi_texture_source *source, fm_texture *texture,
                             const uint8_t **data, size_t *size) {
  fmi_env *env = a->env;
  fmi_search s;
  fmi_begin_search(&s, a);
  if (!fmi_try_path(&s, source->path, source->path_size) || !fmi_try_path(&s, source->other_path, source->other_size))
    return false;
  if (!s.found)
    return fmi_fail(env, FM_ERROR_READ, "the texture was not found; tried: %s; put it beside the mesh",
                    s.tried.data ? s.tried.data : "nothing");
  texture->path = fmi_copy_text(env, &env->keep, s.path, strlen(s.path));
  *data = s.data;
  *size = s.size;
  return texture->path != NULL;
}

/* The caller's decoder. *done: it took the image. */
FMI_FN bool fmi_decode_by_caller(fmi_assembly *a, fmi_pool *pool, const uint8_t *data, size_t size, fm_image *out,
                                 bool *done) {
  fmi_env *env = a->env;
  fm_image image;
  void (*release)(void *, fm_image *) = NULL;
  memset(&image, 0, sizeof image);
  *done = a->desc && a->desc->decode && a->desc->decode(a->desc->decode_user, data, size, &image, &release);
  if (!*done) return true;
  size_t side = fmi_min_size(env->limits.image_side, INT_MAX);
  if (image.width < 1 || image.height < 1 || image.channels < 1 || image.channels > 4 || !image.pixels ||
      (size_t)image.width > side || (size_t)image.height > side)
    fmi_fail(
        env, FM_ERROR_FORMAT,
        "the caller's decoder gave an image of %d x %d pixels and %d channels; 1 to %zu pixels and 1 to 4 channels are possible",
        image.width, image.height, image.channels, side);
  else {
    size_t bytes = fmi_mul_size(fmi_mul_size((size_t)image.width, (size_t)image.height), (size_t)image.channels);
    *out = image;
    out->owner = NULL;
    out->pixels = (uint8_t *)fmi_alloc(env, pool, bytes, 1);
    if (out->pixels) memcpy(out->pixels, image.pixels, bytes);
  }
  if (release) release(a->desc->decode_user, &image);
  return env->error->status == FM_OK;
}

/* "name: " goes before the warnings that came since there were `count`. */
FMI_FN bool fmi_name_warnings(fmi_env *env, size_t count, const char *name) {
  for (; count < env->warning_count; count++) {
    fmi_text text = {NULL, NULL, NULL, 0, 0};
    text.env = env;
    text.pool = &env->keep;
    if (!fmi_text_add(&text, "%s: %s", name, env->warnings[count])) return false;
    fmi_release(env, env->warnings[count]);
    env->warnings[count] = text.data;
  }
  return true;
}

/* Makes a warning of the recorded failure, if it concerns nothing but a file that the mesh can do without. False: it stands. */
FMI_FN bool fmi_forgive(fmi_env *env) {
  char message[sizeof env->error->message];
  fm_status status = env->error->status;
  if (status == FM_ERROR_MEMORY || status == FM_ERROR_CANCELLED) return false;
  memcpy(message, env->error->message, sizeof message);
  memset(env->error, 0, sizeof *env->error);
  env->error->offset = FM_NO_OFFSET;
  return fmi_warn(env, "%s", message);
}

/* A texture's pixels. What goes wrong with it alone becomes a warning; everything that it needed on the way is released. */
FMI_FN bool fmi_load_texture(fmi_assembly *a, fm_texture *texture, const fmi_texture_source *source) {
  fmi_env *env = a->env;
  fmi_pool outer = {NULL}, pixels = {NULL};
  const char *file = env->file;
  const uint8_t *data = source->content;
  size_t size = source->content_size, warnings = env->warning_count;
  bool done = false;
  fmi_move_pool(&outer, &env->temp);
  env->file = texture->name;
  bool ok = (data || fmi_find_texture(a, source, texture, &data, &size)) &&
            fmi_decode_by_caller(a, &pixels, data, size, &texture->image, &done) &&
            (done || fmi_decode_image(env, &pixels, data, size, 0, &texture->image)) &&
            fmi_name_warnings(env, warnings, texture->name);
  env->file = file;
  fmi_free_pool(env, &env->allocator, &env->temp);
  fmi_move_pool(&env->temp, &outer);
  fmi_join_pool(&env->keep, &pixels);
  if (!ok) memset(&texture->image, 0, sizeof texture->image);
  return ok || fmi_forgive(env);
}

/* ---- triangles ---- */

/* The cross product of b - a and c - a, in double: exact enough that its sign decides for all but needles. */
FMI_INLINE void fmi_cross(const float *a, const float *b, const float *c, double out[3]) {
  double x = (double)a[0], y = (double)a[1], z = (double)a[2];
  double ux = (double)b[0] - x, uy = (double)b[1] - y, uz = (double)b[2] - z;
  double vx = (double)c[0] - x, vy = (double)c[1] - y, vz = (double)c[2] - z;
  out[0] = uy * vz - uz * vy;
  out[1] = uz * vx - ux * vz;
  out[2] = ux * vy - uy * vx;
}

/* Room for one polygon that is cut into ears. */
typedef struct fmi_ears {
  size_t room;
  double *points;        /* 2 per corner, counterclockwise */
  uint32_t *next, *back; /* the ring of the corners that are left */
  uint64_t budget;       /* tests that all polygons of a mesh together may still take */
  size_t given_up;       /* polygons that came too late */
} fmi_ears;

/* Nearly all polygons: four corners, of which the fan's two triangles look the same way. */
FMI_INLINE bool fmi_quad_is_fan(const float *positions, const uint32_t *corners) {
  double cross[3], other[3];
  const float *first = positions + 3 * (size_t)corners[0], *opposite = positions + 3 * (size_t)corners[2];
  fmi_cross(first, positions + 3 * (size_t)corners[1], opposite, cross);
  fmi_cross(first, opposite, positions + 3 * (size_t)corners[3], other);
  return cross[0] * other[0] + cross[1] * other[1] + cross[2] * other[2] >= 0.0;
}

/* A polygon's normal by Newell's method (Sutherland, Sproull, Schumacker, 1974), and whether a fan from its first corner has a
   triangle that looks the other way. */
FMI_FN bool fmi_fan_overlaps(const float *positions, const uint32_t *corners, size_t n, double normal[3]) {
  double cross[3];
  const float *first = positions + 3 * (size_t)corners[0];
  normal[0] = normal[1] = normal[2] = 0.0;
  for (size_t i = 1; i + 1 < n; i++) {
    fmi_cross(first, positions + 3 * (size_t)corners[i], positions + 3 * (size_t)corners[i + 1], cross);
    for (int k = 0; k < 3; k++) normal[k] += cross[k];
  }
  for (size_t i = 1; i + 1 < n; i++) {
    fmi_cross(first, positions + 3 * (size_t)corners[i], positions + 3 * (size_t)corners[i + 1], cross);
    if (cross[0] * normal[0] + cross[1] * normal[1] + cross[2] * normal[2] < 0.0) return true;
  }
  return false;
}

/* Twice the signed area of a triangle in the polygon's plane. */
FMI_FN double fmi_area(const double *p, uint32_t a, uint32_t b, uint32_t c) {
  return (p[2 * b] - p[2 * a]) * (p[2 * c + 1] - p[2 * a + 1]) - (p[2 * b + 1] - p[2 * a + 1]) * (p[2 * c] - p[2 * a]);
}
FMI_FN bool fmi_same_point(const double *p, uint32_t a, uint32_t b) {
  return p[2 * a] == p[2 * b] && p[2 * a + 1] == p[2 * b + 1];
}

/* Is b an ear: convex, and no other corner of the ring in its triangle or on its border? */
FMI_FN bool fmi_is_ear(fmi_ears *ears, uint32_t b) {
  const double *p = ears->points;
  uint32_t a = ears->back[b], c = ears->next[b];
  ears->budget -= ears->budget > 0;
  if (!(fmi_area(p, a, b, c) > 0.0)) return false;
  for (uint32_t i = ears->next[c]; i != a; i = ears->next[i]) {
    ears->budget -= ears->budget > 0;
    if (fmi_area(p, a, b, i) >= 0.0 && fmi_area(p, b, c, i) >= 0.0 && fmi_area(p, c, a, i) >= 0.0 && !fmi_same_point(p, i, a) &&
        !fmi_same_point(p, i, b) && !fmi_same_point(p, i, c)) return false;
  }
  return true;
}

/* Cuts one ear after the other. Where there is none (the polygon crosses itself, or has no area), the next corner will do. Returns
   false if the budget is used up; the triangles are then incomplete. */
FMI_FN bool fmi_cut_ears(fmi_ears *ears, uint32_t n, const double normal[3], const float *positions,
                         const uint32_t *corners, uint32_t first, uint32_t *out) {
  double size[3];
  for (int k = 0; k < 3; k++) size[k] = normal[k] < 0.0 ? -normal[k] : normal[k];
  int drop = size[0] > size[1] ? (size[0] > size[2] ? 0 : 2) : (size[1] > size[2] ? 1 : 2); /* the axis that the polygon faces most */
  int x = (drop + 1) % 3, y = (drop + 2) % 3;
  for (uint32_t i = 0; i < n; i++) {
    const float *p = positions + 3 * (size_t)corners[i];
    ears->points[2 * i] = (double)p[normal[drop] < 0.0 ? y : x];
    ears->points[2 * i + 1] = (double)p[normal[drop] < 0.0 ? x : y];
    ears->next[i] = i + 1 < n ? i + 1 : 0;
    ears->back[i] = i > 0 ? i - 1 : n - 1;
  }
  uint32_t at = 0, failed = 0;
  for (uint32_t left = n; left > 2;) {
    if (left > 3 && failed < left && !fmi_is_ear(ears, at)) {
      if (!ears->budget) return false;
      at = ears->next[at];
      failed++;
      continue;
    }
    uint32_t a = ears->back[at], c = ears->next[at];
    *out++ = first + a;
    *out++ = first + at;
    *out++ = first + c;
    ears->next[a] = c;
    ears->back[c] = a;
    at = c;
    left--;
    failed = 0;
  }
  return true;
}

FMI_FN size_t fmi_count_triangles(const fm_mesh *mesh, size_t *flat) {
  size_t count = 0;
  *flat = 0;
  if (!mesh->polygon_starts) return mesh->polygon_count;
  for (size_t i = 0; i < mesh->polygon_count; i++) {
    size_t n = mesh->polygon_starts[i + 1] - mesh->polygon_starts[i];
    if (n > 2) count += n - 2;
    else ++*flat;
  }
  return count;
}

FMI_FN bool fmi_reserve_ears(fmi_env *env, fmi_ears *ears, size_t n) {
  if (n <= ears->room) return true;
  fmi_release(env, ears->points);
  fmi_release(env, ears->next);
  n = fmi_max_size(n, 64);
  ears->room = 0;
  ears->points = (double *)fmi_alloc(env, &env->temp, n, 2 * sizeof(double));
  ears->next = ears->points ? (uint32_t *)fmi_alloc(env, &env->temp, n, 2 * sizeof(uint32_t)) : NULL;
  if (!ears->next) return false;
  ears->back = ears->next + n;
  ears->room = n;
  return true;
}

/* A polygon's triangles as a fan. polygons: may be NULL. */
FMI_INLINE void fmi_put_fan(uint32_t *triangles, uint32_t *polygons, size_t start, size_t n, size_t polygon) {
  for (size_t i = 0; i < n - 2; i++) {
    triangles[3 * i] = (uint32_t)start;
    triangles[3 * i + 1] = (uint32_t)(start + i + 1);
    triangles[3 * i + 2] = (uint32_t)(start + i + 2);
    if (polygons) polygons[i] = (uint32_t)polygon;
  }
}

/* The triangles of all polygons, into arrays with room for fmi_count_triangles of them. polygons: NULL if polygon = triangle. */
FMI_FN bool fmi_triangulate(fmi_env *env, const fm_mesh *mesh, uint32_t *triangles, uint32_t *polygons) {
  fmi_ears ears;
  size_t end = mesh->polygon_starts ? mesh->polygon_starts[0] : 0;
  memset(&ears, 0, sizeof ears);
  ears.budget = 40000000; /* some 0.2 s; a star of 5,000 corners takes half of it */
  for (size_t polygon = 0; polygon < mesh->polygon_count; polygon++) {
    size_t start = end, n;
    double normal[3];
    end = mesh->polygon_starts ? mesh->polygon_starts[polygon + 1] : end + 3;
    n = end - start;
    if (n == 4 && fmi_quad_is_fan(mesh->positions, mesh->corners + start)) {
      fmi_put_fan(triangles, polygons, start, 4, polygon);
    } else if (n > 2) {
      fmi_put_fan(triangles, polygons, start, n, polygon);
      if (n > 3 && fmi_fan_overlaps(mesh->positions, mesh->corners + start, n, normal)) {
        if (!fmi_reserve_ears(env, &ears, n)) return false;
        if (!ears.budget || !fmi_cut_ears(&ears, (uint32_t)n, normal, mesh->positions, mesh->corners + start,
                                          (uint32_t)start, triangles)) {
          fmi_put_fan(triangles, polygons, start, n, polygon);
          ears.given_up++;
        }
      }
    } else continue;
    triangles += 3 * (n - 2);
    if (polygons) polygons += n - 2;
  }
  fmi_release(env, ears.points);
  fmi_release(env, ears.next);
  return !ears.given_up ||
         fmi_warn(
             env,
             "polygons that are concave and too complex to be cut into triangles well overlap themselves (%zu in all)",
             ears.given_up);
}

/* ---- checks ---- */

FMI_FN bool fmi_check_finite(fmi_env *env, const float *values, size_t count, size_t components, const char *what) {
  for (size_t i = 0; i < count * components; i++)
    if (!fmi_is_finite((double)values[i]))
      return fmi_fail(env, FM_ERROR_ARGUMENT, "%s %zu is infinite or not a number", what, i / components);
  return true;
}

/* Are all values + add (modulo 2^32: FM_NONE + 1 is 0) below bound? Every difference must be negative. */
FMI_FN bool fmi_all_below(const uint32_t *values, size_t count, uint32_t add, size_t bound) {
  uint64_t all = UINT64_MAX;
  for (size_t i = 0; i < count; i++) all &= (uint64_t)(values[i] + add) - bound;
  return all >> 63 != 0;
}

/* Indices in range? status: whose fault it is if not. */
FMI_FN bool fmi_check_indices(fmi_env *env, const fm_mesh *mesh, fm_status status) {
  const uint32_t *starts = mesh->polygon_starts;
  size_t most = 0xFFFFFFF0u / 3;
  if (mesh->vertex_count > most || mesh->corner_count > most || mesh->polygon_count > most || mesh->uv_count > most)
    return fmi_fail(env, FM_ERROR_LIMIT,
                    "the mesh has more than %zu vertices, corners, polygons or UVs; make it smaller", most);
  if (!starts && mesh->corner_count != 3 * mesh->polygon_count)
    return fmi_fail(env, status, "%zu triangles need %zu corners, not %zu (polygon_starts is NULL)",
                    mesh->polygon_count, 3 * mesh->polygon_count, mesh->corner_count);
  if (starts && (starts[0] != 0 || starts[mesh->polygon_count] != mesh->corner_count))
    return fmi_fail(env, status, "polygon_starts must begin with 0 and end with the number of corners, %zu",
                    mesh->corner_count);
  for (size_t i = 0; starts && i < mesh->polygon_count; i++)
    if (starts[i] > starts[i + 1]) return fmi_fail(env, status, "polygon %zu ends before it starts", i);
  bool corners_ok = fmi_all_below(mesh->corners, mesh->corner_count, 0, mesh->vertex_count);
  for (size_t i = 0; !corners_ok && i < mesh->corner_count; i++)
    if (mesh->corners[i] >= mesh->vertex_count)
      return fmi_fail(env, status, "corner %zu uses vertex %u, but there are only %zu (the first is 0)", i,
                      mesh->corners[i], mesh->vertex_count);
  bool uvs_ok = !mesh->corner_uvs || fmi_all_below(mesh->corner_uvs, mesh->corner_count, 1, mesh->uv_count + 1);
  for (size_t i = 0; !uvs_ok && i < mesh->corner_count; i++)
    if (mesh->corner_uvs[i] >= mesh->uv_count && mesh->corner_uvs[i] != FM_NONE)
      return fmi_fail(env, status, "corner %zu uses UV %u, but there are only %zu (the first is 0)", i,
                      mesh->corner_uvs[i], mesh->uv_count);
  if (mesh->uvs && !mesh->corner_uvs && mesh->uv_count < mesh->corner_count)
    return fmi_fail(env, status, "%zu corners need a UV each, but there are only %zu (corner_uvs is NULL)",
                    mesh->corner_count, mesh->uv_count);
  for (size_t i = 0; mesh->polygon_materials && i < mesh->polygon_count; i++)
    if (mesh->polygon_materials[i] >= mesh->material_count && mesh->polygon_materials[i] != FM_NONE)
      return fmi_fail(env, status, "polygon %zu uses material %u, but there are only %zu (the first is 0)", i,
                      mesh->polygon_materials[i], mesh->material_count);
  for (size_t i = 0; i < mesh->material_count; i++)
    for (int k = 0; k < 2; k++) {
      uint32_t texture = k ? mesh->materials[i].opacity : mesh->materials[i].texture;
      if (texture >= mesh->texture_count && texture != FM_NONE)
        return fmi_fail(env, status,
                        "material %zu uses texture %u, but there are only %zu (the first is 0, none is FM_NONE)", i,
                        texture, mesh->texture_count);
    }
  return true;
}

FMI_FN bool fmi_scale_mesh(fmi_assembly *a) {
  double scale = a->desc ? a->desc->scale : 0.0;
  if (!fmi_is_finite(scale))
    return fmi_fail(a->env, FM_ERROR_ARGUMENT, "scale is infinite or not a number; give a factor, such as 0.01");
  for (size_t i = 0; scale != 0.0 && scale != 1.0 && i < 3 * a->mesh->vertex_count; i++) {
    double x = (double)a->mesh->positions[i] * scale;
    a->mesh->positions[i] = x > FLT_MAX || x < -FLT_MAX ? (float)INFINITY : (float)x;
  }
  return true;
}

FMI_FN bool fmi_finish_mesh(fmi_assembly *a) {
  fmi_env *env = a->env;
  fm_mesh *mesh = a->mesh;
  size_t flat = 0;
  if (!fmi_scale_mesh(a)) return false;
  if (!fmi_clean_floats(env, mesh->positions, mesh->vertex_count, 3, "position") ||
      !fmi_clean_floats(env, mesh->uvs, mesh->uv_count, 2, "UV"))
    return false;
  if (!fmi_check_indices(env, mesh, FM_ERROR_FORMAT) || !fmi_select(a)) return false;
  mesh->triangle_count = fmi_count_triangles(mesh, &flat);
  mesh->triangles = (uint32_t *)fmi_alloc(env, &env->keep, mesh->triangle_count, 3 * sizeof(uint32_t));
  mesh->triangle_polygons = (uint32_t *)fmi_alloc(env, &env->keep, mesh->triangle_count, sizeof(uint32_t));
  if (!mesh->triangles || !mesh->triangle_polygons ||
      !fmi_triangulate(env, mesh, mesh->triangles, mesh->triangle_polygons))
    return false;
  if (flat && !fmi_warn(env, "polygons of fewer than three corners cannot be seen (%zu in all)", flat)) return false;
  for (size_t i = 0; i < mesh->texture_count && !(a->desc && a->desc->no_textures); i++)
    if (!fmi_load_texture(a, &mesh->textures[i], &a->sources[i])) return false;
  return true;
}

/* ---- meshes of the caller's own ---- */

FMI_FN bool fmi_check_arrays(fmi_env *env, const fm_mesh *mesh) {
  const char *missing = mesh->vertex_count && !mesh->positions ? "positions" : mesh->corner_count && !mesh->corners ? "corners" :
                        mesh->uv_count && !mesh->uvs ? "uvs" : mesh->material_count && !mesh->materials ? "materials" :
                        mesh->texture_count && !mesh->textures ? "textures" : NULL;
  if (missing) return fmi_fail(env, FM_ERROR_ARGUMENT, "%s is NULL, but its count is not 0", missing);
  if (mesh->corner_uvs && !mesh->uvs) return fmi_fail(env, FM_ERROR_ARGUMENT, "there are corner_uvs, but no uvs");
  for (size_t i = 0; i < mesh->texture_count; i++) {
    const fm_image *image = &mesh->textures[i].image;
    if (image->width == 0) continue;
    if (image->width < 0 || image->height < 1 || image->channels < 1 || image->channels > 4 || !image->pixels)
      return fmi_fail(env, FM_ERROR_ARGUMENT, "texture %zu is %d x %d pixels of %d channels: no image is like that, or its pixels are NULL", i, image->width,
                      image->height, image->channels);
  }
  return true;
}

/* The triangles stand behind the owner of their memory. */
FMI_FN bool fmi_prepare(fmi_env *env, fm_mesh *mesh) {
  size_t flat, count, each = (mesh->polygon_starts ? 4 : 3) * sizeof(uint32_t);
  if (!fmi_check_arrays(env, mesh) || !fmi_check_indices(env, mesh, FM_ERROR_ARGUMENT)) return false;
  if (!fmi_check_finite(env, mesh->positions, mesh->vertex_count, 3, "position") ||
      !fmi_check_finite(env, mesh->uvs, mesh->uv_count, 2, "UV"))
    return false;
  count = fmi_count_triangles(mesh, &flat);
  fmi_owner *owner = (fmi_owner *)fmi_alloc(env, &env->keep, 1, fmi_add_size(fmi_mul_size(count, each), sizeof *owner));
  if (!owner) return false;
  uint32_t *triangles = (uint32_t *)(void *)(owner + 1), *polygons = mesh->polygon_starts ? triangles + 3 * count : NULL;
  if (!fmi_triangulate(env, mesh, triangles, polygons)) return false;
  owner->allocator = env->allocator;
  fmi_move_pool(&owner->pool, &env->keep);
  mesh->triangle_count = count;
  mesh->triangles = triangles;
  mesh->triangle_polygons = polygons;
  return true;
}

FM_API bool fm_prepare_mesh(fm_mesh *mesh, const fm_common *common, fm_error *error) {
  fmi_env env;
  fmi_begin(&env, common, error, mesh ? mesh->name : NULL);
  if (!mesh) fmi_fail(&env, FM_ERROR_ARGUMENT, "mesh is NULL; give the fm_mesh to prepare");
  else if (mesh->owner || mesh->triangles)
    fmi_fail(&env, FM_ERROR_ARGUMENT, "the mesh has triangles already; %s",
             mesh->owner ? "a loaded mesh needs no preparation" : "call fm_release_mesh before");
  else if (env.error->status == FM_OK && fmi_prepare(&env, mesh))
    for (size_t i = 0; i < env.warning_count && common && common->log; i++)
      common->log(common->log_user, FM_LOG_WARNING, env.warnings[i]);
  return fmi_end(&env);
}

FM_API void fm_release_mesh(fm_mesh *mesh) {
  if (!mesh || mesh->owner || !mesh->triangles) return;
  fmi_free_owner((fmi_owner *)(void *)mesh->triangles - 1);
  mesh->triangle_count = 0;
  mesh->triangles = mesh->triangle_polygons = NULL;
}

FM_API void fm_free_mesh(fm_mesh *mesh) {
  if (mesh) fmi_free_owner(mesh->owner);
}

/* ============================================================ [FM:obj] ==============================================
   Wavefront OBJ and MTL, in one pass over the text. Vertices, UVs and polygons keep the file's order; an index may point ahead.
   Parts are the file's objects (o), or its groups (g) where it has no objects; each run of polygons of one name is a part. The
   vertices that stand before a part's polygons are its own. Materials come in the order of their first use, whatever the MTL
   says, so that two heads of one topology have them in the same order.
   Left out with a warning: vertex colours, lines, points, curves and surfaces. Left out in silence: normals, smoothing groups.
   Guarantees: every index is checked; the error names the line. Trusts: nothing in the file. Test: tests/test_obj.c */

#ifndef FACEMORPH_NO_OBJ

/* A part of the text. */
typedef struct fmi_obj_text { const char *data; size_t size; } fmi_obj_text;

/* Polygons that follow each other under one name. */
typedef struct fmi_obj_run { fmi_obj_text name; size_t first_polygon, first_vertex; } fmi_obj_run;
typedef struct fmi_obj_runs {
  fmi_obj_run *list;
  size_t count, room;
  fmi_obj_text name; /* of the polygons to come */
  bool begun;        /* that name stands in the list */
  bool used;         /* the file has such names at all */
} fmi_obj_runs;

/* What is left out: how often, and where first. */
typedef struct fmi_obj_note { size_t count; int line; } fmi_obj_note;

/* The largest index that points ahead, with its line. */
typedef struct fmi_obj_ahead { uint32_t index; int line; } fmi_obj_ahead;

typedef struct fmi_obj {
  fmi_assembly a;
  const char *p, *end;
  int line;
  size_t position_room, uv_room, corner_room, corner_uv_room, polygon_room, polygon_material_room, material_room;
  size_t most_vertices, most_corners;
  size_t settled; /* vertices that stand before the last polygon */
  fmi_obj_ahead ahead, ahead_uv;
  bool has_corner_uvs;
  uint32_t material;           /* of the polygons to come; FM_NONE: none, or not yet looked up */
  fmi_obj_text material_name;  /* to be looked up; size 0: done */
  fmi_names materials;
  fmi_obj_runs objects, groups;
  fmi_obj_text *libraries;
  size_t library_count, library_room;
  fmi_names library_names;
  fmi_obj_note colours, elements, unknown, moved;
} fmi_obj;

FMI_FN bool fmi_obj_is_break(char c) { return c == '\n' || c == '\r'; }
FMI_FN bool fmi_obj_is_blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f'; }

FMI_FN void fmi_obj_take_break(fmi_obj *o) { /* \n, \r\n or \r */
  if (*o->p == '\r' && o->p + 1 < o->end && o->p[1] == '\n') o->p++;
  o->p++;
  if (o->line < INT_MAX) o->line++;
}
FMI_FN bool fmi_obj_is_continued(const fmi_obj *o) {
  return *o->p == '\\' && (o->p + 1 == o->end || fmi_obj_is_break(o->p[1]));
}

/* Steps over blanks, and over line ends behind a '\\'. */
FMI_FN void fmi_obj_skip_blanks(fmi_obj *o) {
  while (o->p < o->end) {
    if ((unsigned char)*o->p > ' ' && *o->p != '\\') break;
    if (fmi_obj_is_blank(*o->p)) o->p++;
    else if (fmi_obj_is_continued(o)) {
      o->p++;
      if (o->p < o->end) fmi_obj_take_break(o);
    } else break;
  }
}
FMI_FN bool fmi_obj_at_end(const fmi_obj *o) { return o->p == o->end || fmi_obj_is_break(*o->p) || *o->p == '#'; }

/* Does a word end here? */
FMI_FN bool fmi_obj_after_word(const fmi_obj *o) {
  if (o->p < o->end && (*o->p == ' ' || *o->p == '\n')) return true; /* as a rule */
  return fmi_obj_at_end(o) || fmi_obj_is_blank(*o->p) || fmi_obj_is_continued(o);
}

/* The next line break, or the end. */
FMI_FN const char *fmi_obj_find_break(const char *p, const char *end) {
  while (end - p >= 8) { /* eight bytes at once: which is the first below 14, if any? */
    uint64_t x = fmi_le64((const uint8_t *)p), marks = (x - 0x0E0E0E0E0E0E0E0Eu) & ~x & 0x8080808080808080u;
    if (!marks) { p += 8; continue; }
    p += fmi_first_mark(marks);
    if (fmi_obj_is_break(*p)) return p;
    p++;
  }
  while (p < end && !fmi_obj_is_break(*p)) p++;
  return p;
}
FMI_FN void fmi_obj_skip_line(fmi_obj *o) {
  if (o->p < o->end && *o->p == '\n') { fmi_obj_take_break(o); return; } /* as a rule: the statement was read to its end */
  bool comment = o->p < o->end && *o->p == '#'; /* a path with '\\' at the end of a comment continues nothing */
  for (;;) {
    const char *start = o->p;
    o->p = fmi_obj_find_break(o->p, o->end);
    if (o->p == o->end) return;
    bool continued = !comment && o->p > start && o->p[-1] == '\\';
    fmi_obj_take_break(o);
    if (!continued) return;
  }
}

/* The rest of the line without blanks around it: a name, which may hold blanks and '#'. */
FMI_FN fmi_obj_text fmi_obj_rest(fmi_obj *o) {
  fmi_obj_text text;
  while (o->p < o->end && fmi_obj_is_blank(*o->p)) o->p++;
  text.data = o->p;
  o->p = fmi_obj_find_break(o->p, o->end);
  text.size = (size_t)(o->p - text.data);
  while (text.size && fmi_obj_is_blank(text.data[text.size - 1])) text.size--;
  if (text.size > 1 && text.data[0] == '"' && text.data[text.size - 1] == '"') text.data++, text.size -= 2;
  return text;
}

/* The word at p, for a message. */
typedef struct fmi_obj_words { char text[40]; } fmi_obj_words;
FMI_FN fmi_obj_words fmi_obj_show(const fmi_obj *o, const char *p) {
  fmi_obj_words words;
  size_t n = 0;
  for (; p < o->end && n + 1 < sizeof words.text && !fmi_obj_is_blank(*p) && !fmi_obj_is_break(*p); p++)
    words.text[n++] = *p >= 0x20 && *p < 0x7F ? *p : '?';
  words.text[n] = 0;
  return words;
}

FMI_FN void fmi_obj_note_line(const fmi_obj *o, fmi_obj_note *note) {
  if (note->count++ == 0) note->line = o->line;
}

/* ---- statements ---- */

/* Damage on a line, in words; what to do about it is always the same. Returns false. */
FMI_FN FMI_PRINTF(3, 4) bool fmi_obj_damaged(fmi_obj *o, int line, const char *format, ...) {
  char what[200];
  va_list list;
  va_start(list, format);
  fmi_format_list(what, sizeof what, format, list);
  va_end(list);
  return fmi_fail_line(o->a.env, FM_ERROR_FORMAT, line, "%s; the file is damaged: export or copy it again", what);
}

FMI_FN bool fmi_obj_number(fmi_obj *o, const char *statement, float *value) {
  const char *start;
  fmi_obj_skip_blanks(o);
  if (fmi_obj_at_end(o)) return fmi_obj_damaged(o, o->line, "\"%s\" has too few numbers", statement);
  start = o->p;
  o->p = fmi_parse_float(start, o->end, value);
  if (o->p && fmi_obj_after_word(o)) return true;
  if (o->p && *o->p == ',')
    return fmi_fail_line(o->a.env, FM_ERROR_FORMAT, o->line, "\"%s\" is not a number; numbers need a decimal point, not a comma: export it "
                         "again with English number formats", fmi_obj_show(o, start).text);
  return fmi_obj_damaged(o, o->line, "\"%s\" is not a number", fmi_obj_show(o, start).text);
}

FMI_FN bool fmi_obj_too_many(fmi_obj *o) {
  return fmi_fail_line(
      o->a.env, FM_ERROR_LIMIT, o->line,
      "more than %zu vertices, or 8 times as many corners or UVs; make the mesh smaller, or raise fm_limits.vertices",
      o->most_vertices);
}

FMI_FN bool fmi_obj_vertex(fmi_obj *o) {
  fm_mesh *mesh = o->a.mesh;
  float *positions = (float *)fmi_reserve(o->a.env, &o->a.env->keep, mesh->positions, mesh->vertex_count + 1,
                                          &o->position_room, 3 * sizeof(float));
  float more;
  int extra = 0;
  if (!positions) return false;
  mesh->positions = positions;
  if (mesh->vertex_count >= o->most_vertices) return fmi_obj_too_many(o);
  for (int i = 0; i < 3; i++)
    if (!fmi_obj_number(o, "v", &positions[3 * mesh->vertex_count + (size_t)i])) return false;
  mesh->vertex_count++;
  for (fmi_obj_skip_blanks(o); !fmi_obj_at_end(o); fmi_obj_skip_blanks(o), extra++)
    if (!fmi_obj_number(o, "v", &more)) return false;
  if (extra > 1) fmi_obj_note_line(o, &o->colours); /* one alone is w */
  return true;
}

FMI_FN bool fmi_obj_uv(fmi_obj *o) {
  fm_mesh *mesh = o->a.mesh;
  float *uvs = (float *)fmi_reserve(o->a.env, &o->a.env->keep, mesh->uvs, mesh->uv_count + 1, &o->uv_room,
                                    2 * sizeof(float)),
        more;
  if (!uvs) return false;
  mesh->uvs = uvs;
  if (mesh->uv_count >= o->most_corners) return fmi_obj_too_many(o);
  uvs += 2 * mesh->uv_count++;
  uvs[1] = 0.0f;
  if (!fmi_obj_number(o, "vt", &uvs[0])) return false;
  fmi_obj_skip_blanks(o);
  if (fmi_obj_at_end(o)) return true;
  if (!fmi_obj_number(o, "vt", &uvs[1])) return false;
  for (fmi_obj_skip_blanks(o); !fmi_obj_at_end(o); fmi_obj_skip_blanks(o))
    if (!fmi_obj_number(o, "vt", &more)) return false;
  return true;
}

/* Reads an index, from 1 or, negative, backwards from the last; what: what it counts. Larger ones than there are so far may be
   right later. */
FMI_FN bool fmi_obj_index(fmi_obj *o, size_t count, const char *what, fmi_obj_ahead *ahead, uint32_t *index) {
  const char *start = o->p, *p = start, *end = o->end;
  bool negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  const char *first = p;
  uint64_t value = 0;
  for (; p < end && fmi_is_digit(*p); p++)
    if (value < 0x10000000000u) value = value * 10 + (uint64_t)(*p - '0');
  o->p = p;
  if (p == first)
    return fmi_obj_damaged(o, o->line, "\"%s\" is not an index of a polygon's corner", fmi_obj_show(o, start).text);
  if (value == 0) return fmi_obj_damaged(o, o->line, "a polygon uses %s 0, but OBJ counts from 1", what);
  if (negative) {
    if (value > count)
      return fmi_obj_damaged(o, o->line, "a polygon uses %s %s, but there are only %zu before it", what,
                             fmi_obj_show(o, start).text, count);
    *index = (uint32_t)(count - (size_t)value);
    return true;
  }
  if (value > 0x7FFFFFFF)
    return fmi_obj_damaged(o, o->line, "a polygon uses %s %s, more than there can be", what,
                           fmi_obj_show(o, start).text);
  *index = (uint32_t)value - 1;
  if (value > count && *index >= ahead->index) {
    if (*index > ahead->index || !ahead->line) ahead->line = o->line;
    ahead->index = *index;
  }
  return true;
}

FMI_FN bool fmi_obj_equal(fmi_obj_text a, fmi_obj_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* A polygon belongs to the run of its name, and opens it if it is the first. */
FMI_FN bool fmi_obj_join_run(fmi_obj *o, fmi_obj_runs *runs) {
  if (runs->begun) return true;
  runs->begun = runs->count > 0 && fmi_obj_equal(runs->list[runs->count - 1].name, runs->name);
  if (runs->begun) return true;
  fmi_obj_run *list =
      (fmi_obj_run *)fmi_reserve(o->a.env, &o->a.env->temp, runs->list, runs->count + 1, &runs->room, sizeof *list);
  if (!list) return false;
  runs->list = list;
  runs->begun = true;
  list += runs->count++;
  list->name = runs->name;
  list->first_polygon = o->a.mesh->polygon_count;
  list->first_vertex = o->settled;
  return true;
}
FMI_FN void fmi_obj_name_run(fmi_obj_runs *runs, fmi_obj_text name) {
  runs->name = name;
  runs->begun = false;
  runs->used = true;
}

/* The material of the name that usemtl gave, when its first polygon comes. */
FMI_FN bool fmi_obj_find_material(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  fmi_name_slot *slot = fmi_find_name(env, &o->materials, o->material_name.data, o->material_name.size);
  if (!slot) return false;
  if (slot->value == FM_NONE) {
    fm_material *materials = (fm_material *)fmi_reserve(env, &env->keep, mesh->materials, mesh->material_count + 1,
                                                        &o->material_room, sizeof *materials);
    if (!materials) return false;
    mesh->materials = materials;
    materials += mesh->material_count;
    materials->texture = materials->opacity = FM_NONE;
    materials->name = fmi_copy_text(env, &env->keep, o->material_name.data, o->material_name.size);
    if (!materials->name) return false;
    slot->value = (uint32_t)mesh->material_count++;
  }
  o->material = slot->value;
  o->material_name.size = 0;
  return true;
}

/* Room for a polygon and for one corner more. */
FMI_FN bool fmi_obj_grow_polygons(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  size_t need = mesh->polygon_count + 1;
  uint32_t *starts =
      (uint32_t *)fmi_reserve(env, &env->keep, mesh->polygon_starts, need + 1, &o->polygon_room, sizeof *starts);
  if (!starts) return false;
  mesh->polygon_starts = starts;
  uint32_t *materials = (uint32_t *)fmi_reserve(env, &env->keep, mesh->polygon_materials, need,
                                                &o->polygon_material_room, sizeof *materials);
  if (!materials) return false;
  mesh->polygon_materials = materials;
  return need <= o->most_corners || fmi_obj_too_many(o);
}
FMI_FN bool fmi_obj_grow_corners(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  size_t need = mesh->corner_count + 1;
  uint32_t *corners = (uint32_t *)fmi_reserve(env, &env->keep, mesh->corners, need, &o->corner_room, sizeof *corners);
  if (!corners) return false;
  mesh->corners = corners;
  uint32_t *uvs = (uint32_t *)fmi_reserve(env, &env->keep, mesh->corner_uvs, need, &o->corner_uv_room, sizeof *uvs);
  if (!uvs) return false;
  mesh->corner_uvs = uvs;
  return need <= o->most_corners || fmi_obj_too_many(o);
}

/* vertex, vertex/uv, vertex//normal or vertex/uv/normal */
FMI_FN bool fmi_obj_corner(fmi_obj *o) {
  fm_mesh *mesh = o->a.mesh;
  const char *start = o->p;
  uint32_t uv = FM_NONE;
  if (mesh->corner_count >= o->corner_room && !fmi_obj_grow_corners(o)) return false;
  if (!fmi_obj_index(o, mesh->vertex_count, "vertex", &o->ahead, &mesh->corners[mesh->corner_count])) return false;
  if (o->p < o->end && *o->p == '/') {
    o->p++;
    if (!fmi_obj_after_word(o) && *o->p != '/') {
      if (!fmi_obj_index(o, mesh->uv_count, "UV", &o->ahead_uv, &uv)) return false;
      o->has_corner_uvs = true;
    }
    if (o->p < o->end && *o->p == '/') {
      o->p++;
      const char *p = o->p, *end = o->end;
      if (p < end && (*p == '-' || *p == '+')) p++;
      while (p < end && fmi_is_digit(*p)) p++;
      o->p = p;
    }
  }
  if (!fmi_obj_after_word(o))
    return fmi_obj_damaged(o, o->line, "\"%s\" is no corner of a polygon; those look like 1, 1/2, 1//3 or 1/2/3",
                           fmi_obj_show(o, start).text);
  mesh->corner_uvs[mesh->corner_count++] = uv;
  return true;
}

FMI_FN bool fmi_obj_polygon(fmi_obj *o) {
  fm_mesh *mesh = o->a.mesh;
  size_t start = mesh->corner_count;
  if (!fmi_obj_grow_polygons(o)) return false;
  if (o->material_name.size && !fmi_obj_find_material(o)) return false;
  if (!fmi_obj_join_run(o, &o->objects) || !fmi_obj_join_run(o, &o->groups)) return false;
  for (fmi_obj_skip_blanks(o); !fmi_obj_at_end(o); fmi_obj_skip_blanks(o))
    if (!fmi_obj_corner(o)) return false;
  if (mesh->corner_count > o->most_corners) return fmi_obj_too_many(o);
  if (mesh->corner_count == start) return fmi_obj_damaged(o, o->line, "a polygon without corners");
  mesh->polygon_starts[mesh->polygon_count] = (uint32_t)start;
  mesh->polygon_materials[mesh->polygon_count++] = o->material;
  o->settled = mesh->vertex_count;
  return true;
}

/* Exporters repeat mtllib; each file is read once. */
FMI_FN bool fmi_obj_add_library(fmi_obj *o, fmi_obj_text name) {
  fmi_name_slot *slot = fmi_find_name(o->a.env, &o->library_names, name.data, name.size);
  if (!slot || slot->value != FM_NONE) return slot != NULL;
  slot->value = 0;
  fmi_obj_text *grown = (fmi_obj_text *)fmi_reserve(o->a.env, &o->a.env->temp, o->libraries, o->library_count + 1,
                                                    &o->library_room, sizeof *grown);
  if (!grown) return false;
  o->libraries = grown;
  grown[o->library_count++] = name;
  return true;
}

/* The rarer statements; what is not known is left out. */
FMI_FN bool fmi_obj_other(fmi_obj *o, fmi_obj_text word) {
  static const char *const elements[] = {"l",    "p",    "vp",   "cstype", "deg",  "bmat", "step", "curv", "curv2",
                                         "surf", "parm", "trim", "hole",   "scrv", "sp",   "end",  "con"};
  static const char *const silent[] = {"s",         "mg",    "bevel", "c_interp", "d_interp", "lod",  "shadow_obj",
                                       "trace_obj", "ctech", "stech", "usemap",   "maplib",   "call", "csh"};
#define FMI_OBJ_IS(text) (word.size == strlen(text) && memcmp(word.data, text, word.size) == 0)
  if (FMI_OBJ_IS("o")) { fmi_obj_name_run(&o->objects, fmi_obj_rest(o)); return true; }
  if (FMI_OBJ_IS("g")) { fmi_obj_name_run(&o->groups, fmi_obj_rest(o)); return true; }
  if (FMI_OBJ_IS("usemtl")) {
    o->material_name = fmi_obj_rest(o);
    o->material = FM_NONE; /* without a name: no material */
    return true;
  }
  if (FMI_OBJ_IS("mtllib")) return fmi_obj_add_library(o, fmi_obj_rest(o));
  for (size_t i = 0; i < FMI_COUNT(elements); i++)
    if (FMI_OBJ_IS(elements[i])) { fmi_obj_note_line(o, &o->elements); return true; }
  for (size_t i = 0; i < FMI_COUNT(silent); i++)
    if (FMI_OBJ_IS(silent[i])) return true;
#undef FMI_OBJ_IS
  fmi_obj_note_line(o, &o->unknown);
  return true;
}

FMI_FN bool fmi_obj_statement(fmi_obj *o) {
  fmi_obj_text word;
  fmi_obj_skip_blanks(o);
  word.data = o->p;
  while (o->p < o->end && !fmi_obj_after_word(o)) o->p++;
  word.size = (size_t)(o->p - word.data);
  if (word.size == 1 && *word.data == 'v') return fmi_obj_vertex(o);
  if (word.size == 1 && *word.data == 'f') return fmi_obj_polygon(o);
  if (word.size == 2 && word.data[0] == 'v' && word.data[1] == 't') return fmi_obj_uv(o);
  if (word.size == 2 && word.data[0] == 'v' && word.data[1] == 'n') return true;
  if (word.size == 2 && word.data[0] == 'f' && word.data[1] == 'o') return fmi_obj_polygon(o); /* its name before version 3 */
  return word.size == 0 || fmi_obj_other(o, word);
}

/* ---- plain lines ----
   Nearly all lines of a file are "v x y z", "vt u v", "vn x y z" or "f a/b/c ..." with plain numbers. What follows reads runs of
   them, without a call for each number; at the first line that is in any way different, or where an array is full, it stops at
   its beginning, and fmi_obj_statement reads that line. */

/* So many bytes behind a line's beginning may be looked at without asking for the end. */
enum { FMI_OBJ_PLAIN_ROOM = 4 + 3 * (FMI_PLAIN_ROOM + 1) };

/* Behind the line end at p, perhaps with a blank before it. NULL: none is there. */
FMI_INLINE const char *fmi_obj_plain_end(const char *p) {
  if (*p == '\n') return p + 1; /* as a rule; what follows would keep the next line waiting */
  p += *p == ' ';
  p += *p == '\r';
  return *p == '\n' ? p + 1 : NULL;
}

/* A blank and a number behind it. */
FMI_INLINE const char *fmi_obj_plain_number(const char *p, fmi_width *width, float *value) {
  return *p == ' ' ? fmi_plain_float(p + 1, width, value) : NULL;
}

/* Lines of "v" with 3 numbers or "vt" with 2, while there is room for them. Returns the line at which it stopped. */
FMI_INLINE const char *fmi_obj_plain_numbers(fmi_obj *o, const char *p, const char *last, const char *word, size_t numbers,
                                             float *values, size_t *count, size_t room) {
  const size_t letters = strlen(word), skip = p < last && p[letters] == ' ' ? letters + 1 : letters; /* 3ds Max writes "v  " */
  size_t done = *count;
  int line = o->line;
  fmi_width width;
  fmi_set_width(&width, 6);
  for (; done < room && p < last && memcmp(p, word, letters) == 0; done++) {
    float *value = values + numbers * done;
    const char *q = fmi_plain_float(p + skip, &width, value);
    if (q) q = fmi_obj_plain_number(q, &width, value + 1);
    if (q && numbers == 3) q = fmi_obj_plain_number(q, &width, value + 2);
    if (q) q = fmi_obj_plain_end(q);
    if (!q) break;
    line += line < INT_MAX;
    p = q;
  }
  o->line = line;
  *count = done;
  return p;
}

FMI_FN FMI_NOINLINE const char *fmi_obj_plain_vertices(fmi_obj *o, const char *p, const char *last) {
  fm_mesh *mesh = o->a.mesh;
  size_t room = fmi_min_size(o->position_room, o->most_vertices);
  return fmi_obj_plain_numbers(o, p, last, "v ", 3, mesh->positions, &mesh->vertex_count, room);
}
FMI_FN FMI_NOINLINE const char *fmi_obj_plain_uvs(fmi_obj *o, const char *p, const char *last) {
  fm_mesh *mesh = o->a.mesh;
  size_t room = fmi_min_size(o->uv_room, o->most_corners);
  return fmi_obj_plain_numbers(o, p, last, "vt ", 2, mesh->uvs, &mesh->uv_count, room);
}

/* Lines of "vn", which nobody needs. */
FMI_FN FMI_NOINLINE const char *fmi_obj_plain_normals(fmi_obj *o, const char *p, const char *last) {
  while (p < last && p[0] == 'v' && p[1] == 'n' && p[2] == ' ') {
    const char *q = fmi_obj_find_break(p + 3, o->end);
    if (q + 1 >= o->end || q[-1] == '\\') break;
    p = q + 1 + (q[0] == '\r' && q[1] == '\n');
    o->line += o->line < INT_MAX;
  }
  return p;
}

/* How many digits the indices of a polygon's corners have, as fmi_plain_natural wants to know. */
typedef struct fmi_obj_widths { fmi_width vertex, uv, normal; } fmi_obj_widths;

/* One corner: v, v/t, v//n or v/t/n, of vertices and UVs that the file has given already. *uv: FM_NONE without. */
FMI_INLINE const char *fmi_obj_plain_corner(const char *p, fmi_obj_widths *widths, size_t vertices, size_t uvs, uint32_t *vertex,
                                            uint32_t *uv) {
  uint32_t number = 0;
  p = fmi_plain_natural(p, &widths->vertex, &number);
  if (!p || number - 1 >= vertices) return NULL;
  *vertex = number - 1;
  number = 0;
  if (*p == '/') {
    p++;
    if (*p != '/') {
      p = fmi_plain_natural(p, &widths->uv, &number);
      if (!p || number - 1 >= uvs) return NULL;
    }
    if (*p == '/') {
      uint32_t normal;
      p = fmi_plain_natural(p + 1, &widths->normal, &normal);
    }
  }
  *uv = number - 1;
  return p;
}

/* Lines of "f", of the part and the material of the one before. */
FMI_FN FMI_NOINLINE const char *fmi_obj_plain_polygons(fmi_obj *o, const char *p, const char *last) {
  fm_mesh *mesh = o->a.mesh;
  const size_t vertices = mesh->vertex_count, uvs = mesh->uv_count;
  const size_t corner_room = fmi_min_size(fmi_min_size(o->corner_room, o->corner_uv_room), o->most_corners);
  const size_t polygon_room = fmi_min_size(fmi_min_size(o->polygon_room, o->polygon_material_room), o->most_corners);
  uint32_t *corners = mesh->corners, *corner_uvs = mesh->corner_uvs;
  size_t polygon = mesh->polygon_count, corner = mesh->corner_count;
  fmi_obj_widths widths;
  if (o->material_name.size || !o->objects.begun || !o->groups.begun) return p;
  fmi_set_width(&widths.vertex, 4);
  widths.uv = widths.normal = widths.vertex;
  for (; polygon + 1 < polygon_room && p < last && p[0] == 'f' && p[1] == ' '; polygon++) {
    const char *q = p + 2;
    size_t c = corner;
    uint32_t all_uvs = FM_NONE, uv;
    for (;; q++) {
      q = c < corner_room && q < last ? fmi_obj_plain_corner(q, &widths, vertices, uvs, &corners[c], &uv) : NULL;
      if (!q) break;
      all_uvs &= uv; /* stays FM_NONE if all are */
      corner_uvs[c++] = uv;
      if (*q != ' ' || !fmi_is_digit(q[1])) break;
    }
    if (q) q = fmi_obj_plain_end(q);
    if (!q) break;
    mesh->polygon_starts[polygon] = (uint32_t)corner;
    mesh->polygon_materials[polygon] = o->material;
    o->has_corner_uvs = o->has_corner_uvs || all_uvs != FM_NONE;
    o->settled = vertices;
    o->line += o->line < INT_MAX;
    corner = c;
    p = q;
  }
  mesh->polygon_count = polygon;
  mesh->corner_count = corner;
  return p;
}

FMI_FN void fmi_obj_plain_lines(fmi_obj *o) {
  const char *p = o->p, *start;
  if (o->end - p < FMI_OBJ_PLAIN_ROOM) return;
  const char *last = o->end - FMI_OBJ_PLAIN_ROOM;
  do {
    start = p;
    p = fmi_obj_plain_vertices(o, p, last);
    p = fmi_obj_plain_uvs(o, p, last);
    p = fmi_obj_plain_normals(o, p, last);
    p = fmi_obj_plain_polygons(o, p, last);
  } while (p != start);
  o->p = p;
}

/* ---- materials ---- */

/* The next word of a line, up to its end. */
FMI_FN fmi_obj_text fmi_obj_word(const char **p, const char *end) {
  fmi_obj_text word;
  while (*p < end && fmi_obj_is_blank(**p)) ++*p;
  word.data = *p;
  while (*p < end && !fmi_obj_is_blank(**p)) ++*p;
  word.size = (size_t)(*p - word.data);
  return word;
}
/* Is it this word, in any case? */
FMI_FN bool fmi_obj_same(fmi_obj_text word, const char *lower) {
  size_t n = strlen(lower);
  if (word.size != n) return false;
  for (size_t i = 0; i < n; i++)
    if ((word.data[i] >= 'A' && word.data[i] <= 'Z' ? word.data[i] - 'A' + 'a' : word.data[i]) != lower[i]) return false;
  return true;
}

/* Steps over the options of a map; the file name is what remains. Numbers of -o, -s and -t may be one to three. */
FMI_FN void fmi_obj_skip_options(fmi_obj *o, const char **p, const char *end) {
  static const struct { const char *name; int least, most; double neutral;
  } options[] = {{"-blendu", 1, 1, 0}, {"-blendv", 1, 1, 0}, {"-bm", 1, 1, 0},         {"-boost", 1, 1, 0},
                 {"-cc", 1, 1, 0},     {"-clamp", 1, 1, 0},  {"-colorspace", 1, 1, 0}, {"-imfchan", 1, 1, 0},
                 {"-mm", 2, 2, 0},     {"-o", 1, 3, 0},      {"-s", 1, 3, 1},          {"-t", 1, 3, 0},
                 {"-texres", 1, 1, 0}, {"-type", 1, 1, 0}};
  for (;;) {
    const char *at = *p;
    fmi_obj_text word = fmi_obj_word(&at, end);
    size_t k = 0;
    while (k < FMI_COUNT(options) && !fmi_obj_same(word, options[k].name)) k++;
    if (k == FMI_COUNT(options)) return;
    *p = at;
    for (int i = 0; i < options[k].most; i++) {
      double value = 0.0;
      word = fmi_obj_word(&at, end);
      bool number = word.size && fm_parse_double(word.data, word.data + word.size, &value) == word.data + word.size;
      if (i >= options[k].least && !number) break;
      if (number && options[k].most == 3 && value != options[k].neutral) fmi_obj_note_line(o, &o->moved);
      *p = at;
    }
  }
}

/* The texture of a map statement. folder: that of the MTL as the OBJ gives it, to which names in it are relative. */
FMI_FN bool fmi_obj_add_map(fmi_obj *o, fmi_obj_text folder, const char *p, const char *end, uint32_t *texture) {
  fmi_env *env = o->a.env;
  fmi_texture_source source;
  fmi_text path = {NULL, NULL, NULL, 0, 0};
  memset(&source, 0, sizeof source);
  fmi_obj_skip_options(o, &p, end);
  while (p < end && fmi_obj_is_blank(*p)) p++;
  if (p == end || *texture != FM_NONE) return true;
  if (end - p > 1 && *p == '"' && end[-1] == '"') p++, end--;
  source.path = p;
  source.path_size = (size_t)(end - p);
  if (folder.size && *p != '/' && *p != '\\' && !(end - p > 1 && p[1] == ':')) {
    path.env = env;
    path.pool = &env->temp;
    if (!fmi_text_bytes(&path, folder.data, folder.size) || !fmi_text_bytes(&path, p, source.path_size)) return false;
    source.other_path = source.path;
    source.other_size = source.path_size;
    source.path = path.data;
    source.path_size = path.size;
  }
  *texture = fmi_add_texture(&o->a, &source);
  return *texture != FM_NONE;
}

/* Reads an MTL: the maps of the materials that polygons use. */
FMI_FN bool fmi_obj_read_library(fmi_obj *o, fmi_obj_text folder, const uint8_t *data, size_t size) {
  const char *p = (const char *)data, *end = p + size;
  fm_material *material = NULL;
  if (size >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) p += 3;
  while (p < end) {
    const char *stop = p;
    while (stop < end && !fmi_obj_is_break(*stop)) stop++;
    const char *next = stop < end ? stop + 1 : end;
    while (stop > p && fmi_obj_is_blank(stop[-1])) stop--;
    fmi_obj_text word = fmi_obj_word(&p, stop);
    if (fmi_obj_same(word, "newmtl")) {
      while (p < stop && fmi_obj_is_blank(*p)) p++;
      fmi_name_slot *slot = o->materials.room ? fmi_name_place(&o->materials, p, (size_t)(stop - p)) : NULL;
      material = slot && slot->text ? &o->a.mesh->materials[slot->value] : NULL;
    } else if (material && fmi_obj_same(word, "map_kd")) {
      if (!fmi_obj_add_map(o, folder, p, stop, &material->texture)) return false;
    } else if (material && fmi_obj_same(word, "map_d")) {
      if (!fmi_obj_add_map(o, folder, p, stop, &material->opacity)) return false;
    }
    p = next;
  }
  return true;
}

/* Looks for an MTL as written and, failing that, by its file name beside the OBJ. */
FMI_FN bool fmi_obj_open_library(fmi_obj *o, fmi_obj_text name, bool *found) {
  fmi_env *env = o->a.env;
  fmi_search s;
  fmi_obj_text folder = {NULL, 0};
  fmi_begin_search(&s, &o->a);
  *found = false;
  if (name.size == 0) return true;
  char *path = fmi_copy_text(env, &env->temp, name.data, name.size);
  if (!path) return false;
  for (char *c = path; *c; c++)
    if (*c == '\\') *c = '/';
  const char *file = fmi_file_name(path);
  bool beside = path[0] != '/' && !(path[0] && path[1] == ':');
  if (!fmi_try_file(&s, beside, "", path, strlen(path))) return fmi_forgive(env);
  if (s.found && beside) folder.data = path, folder.size = (size_t)(file - path);
  if (!s.found && file != path && !fmi_try_file(&s, true, "", file, strlen(file))) return fmi_forgive(env);
  *found = s.found;
  if (!s.found) return true;
  return fmi_obj_read_library(o, folder, s.data, s.size); /* the textures' paths point into it: it stays until the end */
}

/* A line "mtllib a.mtl b.mtl" may as well be one name with blanks. Those that are not there are told in one warning. */
FMI_FN bool fmi_obj_open_libraries(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fmi_text missing = {NULL, NULL, NULL, 0, 0};
  size_t count = 0;
  missing.env = env;
  missing.pool = &env->temp;
  for (size_t i = 0; i < o->library_count; i++) {
    fmi_obj_text line = o->libraries[i];
    const char *p = line.data, *end = line.data + line.size;
    bool found;
    if (!fmi_obj_open_library(o, line, &found)) return false;
    while (!found && p < end) {
      fmi_obj_text name = fmi_obj_word(&p, end);
      bool one = false;
      if (name.size != line.size && !fmi_obj_open_library(o, name, &one)) return false;
      if (one || !name.size) continue;
      count++;
      if (missing.size > 300) continue;
      if (missing.size && !fmi_text_bytes(&missing, ", ", 2)) return false;
      if (!fmi_text_bytes(&missing, name.data, fmi_min_size(name.size, 200))) return false;
    }
  }
  return !count ||
         fmi_warn(
             env,
             "material files that are not there or cannot be read: %s (%zu in all); put them beside the OBJ to have the textures",
             missing.data, count);
}

/* ---- the file ---- */

FMI_FN void fmi_obj_describe(const fm_mesh *mesh, fm_part *part) {
  for (size_t i = 0; i < part->vertex_count; i++)
    for (size_t k = 0; k < 3; k++) part->stored_sum[k] += (double)mesh->positions[3 * (part->first_vertex + i) + k];
  for (size_t i = 0; mesh->corner_uvs && i < part->corner_count; i++) {
    uint32_t uv = mesh->corner_uvs[part->first_corner + i];
    if (uv == FM_NONE) continue;
    part->has_uvs = true;
    for (size_t k = 0; k < 2; k++) part->uv_sum[k] += (double)mesh->uvs[2 * (size_t)uv + k];
  }
  for (size_t i = 0; i < part->polygon_count; i++) {
    size_t first = part->first_polygon + i, n = mesh->polygon_starts[first + 1] - mesh->polygon_starts[first];
    part->stored_triangles += n > 2 ? n - 2 : 0;
  }
  part->instance_count = 1;
  part->stored_vertices = part->vertex_count;
  part->stored_polygons = part->polygon_count;
  part->stored_corners = part->corner_count;
}

FMI_FN bool fmi_obj_make_parts(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  fmi_obj_runs *runs = o->objects.used ? &o->objects : &o->groups;
  if (runs->count == 0) { /* nothing but vertices */
    runs->begun = false;
    if (!fmi_obj_join_run(o, runs)) return false;
  }
  runs->list[0].first_vertex = 0;
  mesh->parts = (fm_part *)fmi_alloc_zero(env, &env->keep, runs->count, sizeof *mesh->parts);
  if (!mesh->parts) return false;
  for (size_t i = 0; i < runs->count; i++) {
    fm_part *part = &mesh->parts[mesh->part_count++];
    const fmi_obj_run *run = &runs->list[i], *next = i + 1 < runs->count ? run + 1 : NULL;
    part->name = run->name.size ? fmi_copy_text(env, &env->keep, run->name.data, run->name.size)
                                : fmi_copy_text(env, &env->keep, mesh->name, strlen(mesh->name));
    if (!part->name) return false;
    part->first_vertex = run->first_vertex;
    part->vertex_count = (next ? next->first_vertex : mesh->vertex_count) - run->first_vertex;
    part->first_polygon = run->first_polygon;
    part->polygon_count = (next ? next->first_polygon : mesh->polygon_count) - run->first_polygon;
    part->first_corner = mesh->polygon_starts[part->first_polygon];
    part->corner_count = mesh->polygon_starts[part->first_polygon + part->polygon_count] - part->first_corner;
    fmi_obj_describe(mesh, part);
  }
  return true;
}

/* Room for a typical file of that size, so that its arrays need not move as they grow: a vertex with its UV, normal and quad
   takes some 140 bytes. No more than a small part of the memory that the caller allows. */
FMI_FN bool fmi_obj_make_room(fmi_obj *o, size_t size) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  size_t count = fmi_min_size(fmi_min_size(size / 140, env->limits.memory / 4096), o->most_vertices);
  if (count < 16) return true;
  mesh->positions = (float *)fmi_reserve(env, &env->keep, NULL, count, &o->position_room, 3 * sizeof(float));
  mesh->uvs = (float *)fmi_reserve(env, &env->keep, NULL, count, &o->uv_room, 2 * sizeof(float));
  mesh->corners = (uint32_t *)fmi_reserve(env, &env->keep, NULL, 4 * count, &o->corner_room, sizeof(uint32_t));
  mesh->corner_uvs = (uint32_t *)fmi_reserve(env, &env->keep, NULL, 4 * count, &o->corner_uv_room, sizeof(uint32_t));
  mesh->polygon_starts = (uint32_t *)fmi_reserve(env, &env->keep, NULL, count + 1, &o->polygon_room, sizeof(uint32_t));
  mesh->polygon_materials = (uint32_t *)fmi_reserve(env, &env->keep, NULL, count, &o->polygon_material_room, sizeof(uint32_t));
  return env->error->status == FM_OK;
}

/* Gives back what an array does not need. NULL: it needs nothing, or failed, which is recorded. */
FMI_FN void *fmi_obj_fit(fmi_env *env, void *array, size_t count, size_t size) {
  if (array && count) return fmi_resize(env, &env->keep, array, count, size);
  fmi_release(env, array);
  return NULL;
}
FMI_FN bool fmi_obj_fit_arrays(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  size_t corner_uvs = o->has_corner_uvs ? mesh->corner_count : 0, materials = mesh->material_count ? mesh->polygon_count : 0;
  if (!o->has_corner_uvs) mesh->uv_count = 0;
  mesh->positions = (float *)fmi_obj_fit(env, mesh->positions, mesh->vertex_count, 3 * sizeof(float));
  mesh->uvs = (float *)fmi_obj_fit(env, mesh->uvs, mesh->uv_count, 2 * sizeof(float));
  mesh->corners = (uint32_t *)fmi_obj_fit(env, mesh->corners, mesh->corner_count, sizeof(uint32_t));
  mesh->corner_uvs = (uint32_t *)fmi_obj_fit(env, mesh->corner_uvs, corner_uvs, sizeof(uint32_t));
  mesh->polygon_starts = (uint32_t *)fmi_obj_fit(env, mesh->polygon_starts, mesh->polygon_count + 1, sizeof(uint32_t));
  mesh->polygon_materials = (uint32_t *)fmi_obj_fit(env, mesh->polygon_materials, materials, sizeof(uint32_t));
  return env->error->status == FM_OK;
}

/* Indices that pointed ahead, and what the arrays look like when all is read. */
FMI_FN bool fmi_obj_close(fmi_obj *o) {
  fmi_env *env = o->a.env;
  fm_mesh *mesh = o->a.mesh;
  if (o->ahead.line && o->ahead.index >= mesh->vertex_count)
    return fmi_obj_damaged(o, o->ahead.line, "a polygon uses vertex %u, but the file has only %zu", o->ahead.index + 1,
                           mesh->vertex_count);
  if (o->ahead_uv.line && o->ahead_uv.index >= mesh->uv_count)
    return fmi_obj_damaged(o, o->ahead_uv.line, "a polygon uses UV %u, but the file has only %zu",
                           o->ahead_uv.index + 1, mesh->uv_count);
  if (!mesh->vertex_count)
    return fmi_fail(
        env, FM_ERROR_FORMAT,
        "has no vertices (lines that begin with \"v\"): it is no OBJ file, or it is damaged: export or copy it again");
  if (!fmi_obj_grow_polygons(o)) return false;
  mesh->polygon_starts[mesh->polygon_count] = (uint32_t)mesh->corner_count;
  return fmi_obj_fit_arrays(o) && fmi_clean_floats(env, mesh->positions, mesh->vertex_count, 3, "position") &&
         fmi_clean_floats(env, mesh->uvs, mesh->uv_count, 2, "UV");
}

FMI_FN bool fmi_obj_warn(fmi_obj *o) {
  fmi_env *env = o->a.env;
  return (!o->colours.count || fmi_warn(env, "vertex colours are left out (first on line %d, %zu in all)",
                                        o->colours.line, o->colours.count)) &&
         (!o->elements.count ||
          fmi_warn(env, "points, lines, curves and surfaces are left out (first on line %d, %zu in all)",
                   o->elements.line, o->elements.count)) &&
         (!o->unknown.count ||
          fmi_warn(env,
                   "lines that begin with a word that OBJ does not have are left out (first on line %d, %zu in all)",
                   o->unknown.line, o->unknown.count)) &&
         (!o->moved.count ||
          fmi_warn(
              env,
              "the material file moves or scales textures (-o, -s, -t), which is not applied; bake it into the UVs or the pictures"));
}

/* Reads a head from OBJ text. *own: the block that holds the text, released before the textures are read and then NULL; NULL: it
   is the caller's. */
FMI_FN bool fmi_read_obj(fmi_env *env, const uint8_t *data, size_t size, uint8_t **own, const fm_load_desc *desc, fm_mesh *mesh) {
  fmi_obj o;
  memset(&o, 0, sizeof o);
  fmi_begin_mesh(&o.a, env, desc, mesh);
  o.p = (const char *)data;
  o.end = o.p + size;
  o.line = 1;
  o.material = FM_NONE;
  o.most_vertices = fmi_min_size(env->limits.vertices, 0x0FFFFFFF);
  o.most_corners = 8 * fmi_min_size(o.most_vertices, 0x02AAAAAA);
  mesh->format = FM_FORMAT_OBJ;
  if (size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) o.p += 3;
  if (!fmi_obj_make_room(&o, size)) return false;
  while (o.p < o.end) {
    fmi_obj_plain_lines(&o);
    if (o.p < o.end && !fmi_obj_statement(&o)) return false;
    fmi_obj_skip_line(&o);
  }
  if (!fmi_obj_close(&o) || !fmi_obj_make_parts(&o) || !fmi_obj_open_libraries(&o) || !fmi_obj_warn(&o)) return false;
  fmi_release(env, *own);
  *own = NULL;
  return fmi_finish_mesh(&o.a);
}

#endif /* FACEMORPH_NO_OBJ */

/* ============================================================ [FM:fbx] ==============================================
   FBX binary 7.0 to 7.7: records, arrays, objects and their connections, node transforms, and the head that all meshes of the
   file make together. Only what a head needs is looked at: the records of a level are stepped over by their end offsets.
   Guarantees: every offset, length and index of the file is checked before use; time linear in the file's size (times log of the
   number of objects); no recursion. Trusts: nothing in the file. Test: tests/test_fbx.c */

#ifndef FACEMORPH_NO_FBX

/* A piece of the file: text without a 0 at its end. */
typedef struct fmi_fbx_text { const char *data; size_t size; } fmi_fbx_text;

FMI_FN bool fmi_fbx_is(fmi_fbx_text text, const char *word) {
  return strlen(word) == text.size && memcmp(text.data, word, text.size) == 0;
}

/* How many bytes of UTF-8 begin here: 0 if none that are right (RFC 3629), or a control character. */
FMI_FN size_t fmi_fbx_utf8(const uint8_t *p, size_t size) {
  uint32_t c = size ? p[0] : 0;
  size_t n = c < 0x20 || c == 0x7F ? 0 : c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
  if (n > size) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
      (c == 0xF4 && p[1] > 0x8F))
    return 0;
  return n;
}
/* Copies a text as valid UTF-8 without control characters, '?' for each byte that is wrong; cut where there is no more room. */
FMI_FN void fmi_fbx_clean(char *out, size_t room, fmi_fbx_text text) {
  size_t used = 0, n;
  for (size_t i = 0; i < text.size; i += n ? n : 1) {
    n = fmi_fbx_utf8((const uint8_t *)text.data + i, text.size - i);
    if (used + (n ? n : 1) >= room) break;
    if (n) memcpy(out + used, text.data + i, n);
    else out[used] = '?';
    used += n ? n : 1;
  }
  out[used] = 0;
}
/* A name for the mesh. NULL: recorded. */
FMI_FN char *fmi_fbx_copy_name(fmi_env *env, fmi_fbx_text text) {
  char *copy = (char *)fmi_alloc(env, &env->keep, text.size + 1, 1);
  if (copy) fmi_fbx_clean(copy, text.size + 1, text);
  return copy;
}
typedef enum fmi_fbx_kind {
  FMI_FBX_GEOMETRY, FMI_FBX_MODEL, FMI_FBX_MATERIAL, FMI_FBX_TEXTURE, FMI_FBX_LAYERED, FMI_FBX_VIDEO
} fmi_fbx_kind;

typedef struct fmi_fbx_object {
  uint64_t id;
  fmi_fbx_kind kind;
  size_t start, children, end; /* bytes: its record, the records inside it */
  fmi_fbx_text name;
  size_t first_link, link_count; /* what is connected into it, in the order of the connections */
  uint32_t parent;             /* of a model: object index or FM_NONE */
  uint32_t slot;               /* of a material or a texture: its index in the mesh, FM_NONE before its first use; of a geometry: its shape */
  bool used;                   /* of a texture: its slot is final, also if it is FM_NONE */
  size_t picture;              /* of a texture or a video */
} fmi_fbx_object;

/* A connection as stored, then with its ends resolved to object indices. */
typedef struct fmi_fbx_wire { uint64_t child, parent; fmi_fbx_text property; } fmi_fbx_wire;
typedef struct fmi_fbx_link { uint32_t child; fmi_fbx_text property; } fmi_fbx_link;

/* An unsigned number and what it belongs to; sorted by number, equal ones stay in order. */
typedef struct fmi_fbx_key { uint64_t number; size_t index; } fmi_fbx_key;

/* What is not as it should be, or is left out: one warning of each sort, with the first name and how many there are. */
enum {
  FMI_FBX_NO_ID,
  FMI_FBX_SAME_ID,
  FMI_FBX_WEIGHT,
  FMI_FBX_SKIN,
  FMI_FBX_ANIMATION,
  FMI_FBX_SUBDIVISION,
  FMI_FBX_UNUSED,
  FMI_FBX_BARE,
  FMI_FBX_OPEN,
  FMI_FBX_UV_KIND,
  FMI_FBX_UV_NONE,
  FMI_FBX_MATERIAL_KIND,
  FMI_FBX_MATERIAL_NONE,
  FMI_FBX_LAYERS,
  FMI_FBX_PROCEDURAL,
  FMI_FBX_NOTE_COUNT
};
typedef struct fmi_fbx_note { size_t count; fmi_fbx_text first; } fmi_fbx_note;
static const char *const fmi_fbx_note_words[FMI_FBX_NOTE_COUNT][2] = {
  {"object", "has no id and is left out"},
  {"object", "has the id of an earlier one; connections are taken to mean that one"},
  {"blend shape", "is stored with a weight other than 0, which is not applied; bake it into the mesh to have it"},
  {"skin", "is not applied: the head is loaded in its base shape; bake its pose into the mesh to have it"},
  {"animation", "is not applied: the head is loaded as its objects stand; bake a frame of it to have that"},
  {"mesh", "is meant to be subdivided; it is loaded as it is: subdivide it before the export to have it smooth"},
  {"mesh", "is used by no object and adds nothing to the head"},
  {"mesh", "has no polygons"},
  {"mesh", "ends with a polygon that is not closed; it is closed there"},
  {"mesh", "has UVs stored in a way that is not read; it is loaded without: export it with UVs by polygon vertex"},
  {"mesh", "has corners without a valid UV; they get its last one"},
  {"mesh", "has materials stored in a way that is not read; all its polygons get the object's first"},
  {"mesh", "has polygons whose material its object does not have"},
  {"material", "has a texture of several layers; the first is used"},
  {"texture", "names no picture file and is left out; bake it into one"}
};

/* A picture as the records of a texture and its video describe it. */
typedef struct fmi_fbx_picture {
  fmi_fbx_text relative, absolute; /* where it was on the machine that wrote the file */
  const uint8_t *content;          /* its bytes, if they are in the file */
  size_t content_size;
} fmi_fbx_picture;

typedef struct fmi_fbx {
  fmi_env *env;
  const uint8_t *data;
  size_t size;
  int version;
  bool wide;                /* 64-bit record headers */
  fmi_fbx_object *objects;  /* in file order */
  size_t object_count, object_room;
  fmi_fbx_key *ids;         /* of all objects, sorted */
  fmi_fbx_wire *wires;
  size_t wire_count, wire_room;
  fmi_fbx_link *links;
  size_t link_count;
  fmi_fbx_picture *pictures; /* of all textures and videos */
  fmi_fbx_key *contents;    /* hashes of the file names of videos that hold bytes, sorted */
  size_t content_count;
  size_t curve_count, shape_room; /* shape_room: of the mesh's list of blend shapes */
  fmi_fbx_note animation;   /* animations, which only count if there are curves */
  fmi_fbx_note notes[FMI_FBX_NOTE_COUNT];
  char words[64];           /* fmi_fbx_show's */
} fmi_fbx;

/* A name for a message; good until the next call. */
FMI_FN const char *fmi_fbx_show(fmi_fbx *fbx, fmi_fbx_text text) {
  fmi_fbx_clean(fbx->words, sizeof fbx->words, text);
  return fbx->words;
}

/* Damage at a byte, in words; what to do about it is always the same. Returns false. */
FMI_FN FMI_PRINTF(3, 4) bool fmi_fbx_damaged(fmi_fbx *fbx, size_t at, const char *format, ...) {
  char what[400];
  va_list list;
  va_start(list, format);
  fmi_format_list(what, sizeof what, format, list);
  va_end(list);
  return fmi_fail_byte(fbx->env, FM_ERROR_FORMAT, at, "%s: the file is damaged or cut off; export or copy it again",
                       what);
}

FMI_FN void fmi_fbx_add_note(fmi_fbx_note *note, fmi_fbx_text name) {
  if (note->count++ == 0) note->first = name;
}
/* Turns the notes into warnings. */
FMI_FN bool fmi_fbx_warn(fmi_fbx *fbx) {
  for (size_t i = 0; i < FMI_FBX_NOTE_COUNT; i++) {
    const fmi_fbx_note *note = &fbx->notes[i];
    char more[48] = "";
    if (note->count == 0) continue;
    if (note->count > 1) fmi_format(more, sizeof more, " (so with %zu more)", note->count - 1);
    if (!fmi_warn(fbx->env, "%s %s %s%s", fmi_fbx_note_words[i][0], note->first.size ? fmi_fbx_show(fbx, note->first) : "(unnamed)",
                  fmi_fbx_note_words[i][1], more))
      return false;
  }
  return true;
}

/* ---- records ---- */

typedef struct fmi_fbx_record {
  size_t start, end;                  /* bytes */
  size_t properties, properties_end;
  uint64_t property_count;
  fmi_fbx_text name;
  size_t depth;
} fmi_fbx_record;

/* The records of one level: `at` is where the next one starts. */
typedef struct fmi_fbx_level { size_t at, end, depth; bool terminated; } fmi_fbx_level;

FMI_FN fmi_fbx_level fmi_fbx_inside(size_t from, size_t end, size_t depth) {
  fmi_fbx_level level;
  level.at = from;
  level.end = end;
  level.depth = depth;
  level.terminated = false;
  return level;
}
FMI_FN fmi_fbx_level fmi_fbx_children(const fmi_fbx_record *record) {
  return fmi_fbx_inside(record->properties_end, record->end, record->depth + 1);
}

/* The records inside an object, which lies inside Objects. */
FMI_FN fmi_fbx_level fmi_fbx_object_level(const fmi_fbx_object *object) {
  return fmi_fbx_inside(object->children, object->end, 3);
}

/* Steps to the next record of a level. False at its end, and where the file is damaged, which is recorded. */
FMI_FN bool fmi_fbx_next(fmi_fbx *fbx, fmi_fbx_level *level, fmi_fbx_record *record) {
  const uint8_t *p = fbx->data + level->at;
  size_t header = fbx->wide ? 25 : 13, start = level->at, room = level->end - start;
  if (room == 0 || level->terminated) return false;
  if (level->depth > fbx->env->limits.node_depth)
    return fmi_fail_byte(fbx->env, FM_ERROR_LIMIT, start, "records are nested deeper than %zu; export the file again, or raise fm_limits.node_depth",
                         fbx->env->limits.node_depth);
  if (room < header) return fmi_fbx_damaged(fbx, start, "a record's header is incomplete");
  uint64_t end = fbx->wide ? fmi_le64(p) : fmi_le32(p), length = fbx->wide ? fmi_le64(p + 16) : fmi_le32(p + 8);
  size_t name_length = p[header - 1];
  if (end == 0 && name_length == 0) {
    level->at = start + header;
    level->terminated = true;
    return false;
  }
  room -= header;
  if (name_length > room || length > room - name_length)
    return fmi_fbx_damaged(fbx, start, "a record says that it is longer than what holds it");
  record->start = start;
  record->name.data = (const char *)p + header;
  record->name.size = name_length;
  record->property_count = fbx->wide ? fmi_le64(p + 8) : fmi_le32(p + 4);
  record->properties = start + header + name_length;
  record->properties_end = record->properties + (size_t)length;
  record->depth = level->depth;
  if (end == 0) end = record->properties_end; /* some writers leave it out where nothing is nested */
  if (end < record->properties_end || end > level->end)
    return fmi_fbx_damaged(fbx, start, "record %s says that it ends at byte %llu, which cannot be", fmi_fbx_show(fbx, record->name),
                           (unsigned long long)end);
  record->end = (size_t)end;
  level->at = record->end;
  return true;
}

/* ---- properties ---- */

/* One value of a record: a number, a text (S), bytes (R), or an array (lower-case types). */
typedef struct fmi_fbx_value {
  char type;
  size_t start;         /* byte of its type */
  const uint8_t *bytes;
  size_t size;          /* stored bytes */
  size_t count;         /* of an array: elements... */
  uint32_t encoding;    /* ...and 0: as they are, 1: a zlib stream */
} fmi_fbx_value;

typedef struct fmi_fbx_values { size_t at, end; uint64_t left; } fmi_fbx_values;

FMI_FN fmi_fbx_values fmi_fbx_values_of(const fmi_fbx_record *record) {
  fmi_fbx_values values;
  values.at = record->properties;
  values.end = record->properties_end;
  values.left = record->property_count;
  return values;
}

/* Bytes of a number, or of an array's element; 0: no such type. */
FMI_FN size_t fmi_fbx_width(char type) {
  switch (type) {
    case 'B': case 'C': case 'Z': case 'b': case 'c': return 1;
    case 'Y': case 'y': return 2;
    case 'I': case 'F': case 'i': case 'f': return 4;
    case 'L': case 'D': case 'l': case 'd': return 8;
    default: return 0;
  }
}

/* The next value of a record. False where there is none, and where the file is damaged, which is recorded. */
FMI_FN bool fmi_fbx_next_value(fmi_fbx *fbx, fmi_fbx_values *values, fmi_fbx_value *value) {
  size_t start = values->at, room = values->end - start;
  if (values->left == 0) return false;
  const uint8_t *p = fbx->data + start;
  memset(value, 0, sizeof *value);
  value->start = start;
  value->type = room ? (char)p[0] : 0;
  bool text = value->type == 'S' || value->type == 'R', array = value->type >= 'a' && value->type <= 'z';
  size_t width = fmi_fbx_width(value->type), header = text ? 5 : array ? 13 : 1;
  if (room && !text && width == 0)
    return fmi_fbx_damaged(fbx, start, "a value is of type %u, which FBX does not have", (unsigned)p[0]);
  uint64_t size = width;
  if (room >= header && text) size = fmi_le32(p + 1);
  if (room >= header && array) {
    value->count = fmi_le32(p + 1);
    value->encoding = fmi_le32(p + 5);
    size = fmi_le32(p + 9);
  }
  if (room < header || size > room - header)
    return fmi_fbx_damaged(fbx, start, "a value is longer than the record that holds it");
  value->bytes = p + header;
  value->size = (size_t)size;
  values->at = start + header + (size_t)size;
  values->left--;
  return true;
}

FMI_FN bool fmi_fbx_is_scalar(const fmi_fbx_value *value) { return value->type < 'a' && fmi_fbx_width(value->type) > 0; }

/* A number of any type, as an array's element or alone; 0 for what is no number. Inline, so that a loop over an array of a type
   that is known when it is compiled asks for it once: nearly all arrays are of doubles ('d') or 32-bit integers ('i'). */
FMI_INLINE double fmi_fbx_real(char type, const uint8_t *p) {
  switch (type) {
    case 'd': case 'D': return fmi_bits_double(fmi_le64(p));
    case 'f': case 'F': return fmi_bits_float(fmi_le32(p));
    case 'l': case 'L': return (double)(int64_t)fmi_le64(p);
    case 'i': case 'I': return (int32_t)fmi_le32(p);
    case 'y': case 'Y': return (int16_t)(uint16_t)fmi_le16(p);
    case 'b': case 'B': case 'c': case 'C': case 'Z': return p[0];
    default: return 0.0;
  }
}
/* The same for whole numbers; what has a fraction is none: *ok is false. */
FMI_INLINE int64_t fmi_fbx_whole(char type, const uint8_t *p, bool *ok) {
  *ok = true;
  switch (type) {
    case 'l': case 'L': return (int64_t)fmi_le64(p);
    case 'i': case 'I': return (int32_t)fmi_le32(p);
    case 'y': case 'Y': return (int16_t)(uint16_t)fmi_le16(p);
    case 'b': case 'B': case 'c': case 'C': case 'Z': return p[0];
    default: *ok = false; return 0;
  }
}

FMI_FN fmi_fbx_text fmi_fbx_no_text(void) {
  fmi_fbx_text none;
  none.data = "";
  none.size = 0;
  return none;
}
FMI_FN fmi_fbx_text fmi_fbx_value_text(const fmi_fbx_value *value) {
  fmi_fbx_text text = fmi_fbx_no_text();
  if (value->type == 'S') {
    text.data = (const char *)value->bytes;
    text.size = value->size;
  }
  return text;
}
/* The next value, which should be a text; empty where it is not. */
FMI_FN fmi_fbx_text fmi_fbx_next_text(fmi_fbx *fbx, fmi_fbx_values *values) {
  fmi_fbx_value value;
  return fmi_fbx_next_value(fbx, values, &value) ? fmi_fbx_value_text(&value) : fmi_fbx_no_text();
}
FMI_FN bool fmi_fbx_next_whole(fmi_fbx *fbx, fmi_fbx_values *values, int64_t *number) {
  fmi_fbx_value value;
  bool ok = false;
  *number = fmi_fbx_next_value(fbx, values, &value) && fmi_fbx_is_scalar(&value)
                ? fmi_fbx_whole(value.type, value.bytes, &ok)
                : 0;
  return ok;
}
/* A record's first value. */
FMI_FN fmi_fbx_text fmi_fbx_record_text(fmi_fbx *fbx, const fmi_fbx_record *record) {
  fmi_fbx_values values = fmi_fbx_values_of(record);
  return fmi_fbx_next_text(fbx, &values);
}
FMI_FN int64_t fmi_fbx_record_whole(fmi_fbx *fbx, const fmi_fbx_record *record) {
  fmi_fbx_values values = fmi_fbx_values_of(record);
  int64_t number;
  fmi_fbx_next_whole(fbx, &values, &number);
  return number;
}
/* A record's only value, which must be an array. */
FMI_FN bool fmi_fbx_record_array(fmi_fbx *fbx, const fmi_fbx_record *record, fmi_fbx_value *array) {
  fmi_fbx_values values = fmi_fbx_values_of(record);
  bool there = fmi_fbx_next_value(fbx, &values, array);
  const char *name = fmi_fbx_show(fbx, record->name);
  if (fbx->env->error->status != FM_OK) return false;
  if (!there || array->type < 'a') return fmi_fbx_damaged(fbx, record->start, "%s holds no array", name);
  if (array->encoding > 1)
    return fmi_fbx_damaged(fbx, array->start, "%s is packed in way %u, which FBX does not have", name,
                           (unsigned)array->encoding);
  size_t width = fmi_fbx_width(array->type);
  bool fits = array->encoding == 0 ? array->count == array->size / width && array->size % width == 0
                                   : array->count <= fmi_inflate_most(array->size) / width;
  return fits || fmi_fbx_damaged(fbx, array->start, "%s should have %zu values, but %zu bytes cannot hold them", name, array->count,
                                 array->size);
}

/* An array's elements as plain bytes: those of the file, or unpacked into *unpacked (env->temp; the caller releases it). */
FMI_FN const uint8_t *fmi_fbx_elements(fmi_fbx *fbx, const fmi_fbx_value *array, uint8_t **unpacked) {
  size_t bytes = fmi_mul_size(array->count, fmi_fbx_width(array->type));
  *unpacked = NULL;
  if (array->encoding == 0) return array->count ? array->bytes : fbx->data; /* an array that is not there has no bytes at all */
  *unpacked = (uint8_t *)fmi_alloc(fbx->env, &fbx->env->temp, bytes, 1);
  if (!*unpacked) return NULL;
  uint64_t offset = (uint64_t)(array->bytes - fbx->data);
  return fmi_inflate(fbx->env, array->bytes, array->size, offset, *unpacked, bytes) ? *unpacked : NULL;
}

/* ---- Properties70 ---- */

/* Reads those P records of a Properties70 that `names` lists into values[name][0..2]; the others stay as they are. level: the
   children of the record that holds the Properties70. */
FMI_FN bool fmi_fbx_read_properties(fmi_fbx *fbx, fmi_fbx_level level, const char *const *names, size_t name_count,
                                    double (*values)[3]) {
  fmi_fbx_record block, record;
  while (fmi_fbx_next(fbx, &level, &block)) {
    if (!fmi_fbx_is(block.name, "Properties70")) continue;
    fmi_fbx_level inner = fmi_fbx_children(&block);
    while (fmi_fbx_next(fbx, &inner, &record)) {
      fmi_fbx_values list = fmi_fbx_values_of(&record);
      fmi_fbx_text name = fmi_fbx_next_text(fbx, &list);
      size_t n = 0;
      fmi_fbx_value value;
      while (n < name_count && !fmi_fbx_is(name, names[n])) n++;
      if (n == name_count) continue;
      for (int skip = 0; skip < 3; skip++) fmi_fbx_next_value(fbx, &list, &value); /* its type, its label, its flags */
      for (int k = 0; k < 3 && fmi_fbx_next_value(fbx, &list, &value); k++) {
        double number = fmi_fbx_is_scalar(&value) ? fmi_fbx_real(value.type, value.bytes) : values[n][k];
        if (fmi_is_finite(number)) values[n][k] = number;
      }
    }
  }
  return fbx->env->error->status == FM_OK;
}

/* ---- objects and connections ---- */

/* Sorts by number; bottom-up merging, so that equal numbers keep their order and no input is slow. */
FMI_FN bool fmi_fbx_sort(fmi_env *env, fmi_fbx_key *keys, size_t count) {
  fmi_fbx_key *spare = (fmi_fbx_key *)fmi_alloc(env, &env->temp, count, sizeof *spare), *from = keys, *to = spare;
  if (!spare) return false;
  for (size_t run = 1; run < count; run *= 2) {
    for (size_t start = 0; start < count; start += 2 * run) {
      size_t middle = fmi_min_size(start + run, count), end = fmi_min_size(start + 2 * run, count), a = start, b = middle;
      for (size_t i = start; i < end; i++)
        to[i] = b == end || (a < middle && from[a].number <= from[b].number) ? from[a++] : from[b++];
    }
    fmi_fbx_key *swap = from;
    from = to;
    to = swap;
  }
  if (from != keys) memcpy(keys, from, count * sizeof *keys);
  fmi_release(env, spare);
  return true;
}
/* The first of a number's keys, or NULL. */
FMI_FN const fmi_fbx_key *fmi_fbx_find(const fmi_fbx_key *keys, size_t count, uint64_t number) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (keys[middle].number < number) low = middle + 1; else high = middle;
  }
  return low < count && keys[low].number == number ? &keys[low] : NULL;
}

/* "Name\0\1Class" is how objects are called. */
FMI_FN fmi_fbx_text fmi_fbx_bare_name(fmi_fbx_text name) {
  for (size_t i = 0; i < name.size; i++)
    if (name.data[i] == 0) name.size = i;
  return name;
}

/* What an object's record is to us; false: nothing. */
FMI_FN bool fmi_fbx_kind_of(fmi_fbx_text record, fmi_fbx_text class_name, fmi_fbx_kind *kind) {
  if (fmi_fbx_is(record, "Geometry") && fmi_fbx_is(class_name, "Mesh")) *kind = FMI_FBX_GEOMETRY; /* others: Shape, NurbsCurve, Line */
  else if (fmi_fbx_is(record, "Model")) *kind = FMI_FBX_MODEL;
  else if (fmi_fbx_is(record, "Material")) *kind = FMI_FBX_MATERIAL;
  else if (fmi_fbx_is(record, "Texture")) *kind = FMI_FBX_TEXTURE;
  else if (fmi_fbx_is(record, "LayeredTexture")) *kind = FMI_FBX_LAYERED;
  else if (fmi_fbx_is(record, "Video")) *kind = FMI_FBX_VIDEO;
  else return false;
  return true;
}

/* Names a blend shape. */
FMI_FN bool fmi_fbx_add_blend_shape(fmi_fbx *fbx, fmi_fbx_text name, fm_mesh *mesh) {
  fmi_env *env = fbx->env;
  size_t count = mesh->blend_shape_count;
  char **grown = (char **)fmi_reserve(env, &env->keep, mesh->blend_shapes, count + 1, &fbx->shape_room, sizeof *grown);
  if (!grown) return false;
  mesh->blend_shapes = grown;
  mesh->blend_shape_count++;
  grown[count] = fmi_fbx_copy_name(env, name);
  return grown[count] != NULL;
}
/* The same of a channel; a stored weight other than 0 is noted, since it is not applied. */
FMI_FN bool fmi_fbx_add_channel(fmi_fbx *fbx, const fmi_fbx_record *record, fmi_fbx_text name, fm_mesh *mesh) {
  static const char *const names[1] = {"DeformPercent"};
  double weight[1][3] = {{0, 0, 0}};
  if (!fmi_fbx_add_blend_shape(fbx, name, mesh)) return false;
  if (!fmi_fbx_read_properties(fbx, fmi_fbx_children(record), names, 1, weight)) return false;
  if (weight[0][0] != 0.0) fmi_fbx_add_note(&fbx->notes[FMI_FBX_WEIGHT], name);
  return true;
}

/* Takes one record of Objects: what connections speak of is kept, of the rest only what a warning or the mesh will name. */
FMI_FN bool fmi_fbx_add_object(fmi_fbx *fbx, const fmi_fbx_record *record, fm_mesh *mesh) {
  fmi_env *env = fbx->env;
  fmi_fbx_values values = fmi_fbx_values_of(record);
  fmi_fbx_object object;
  int64_t id;
  if (fmi_fbx_is(record->name, "AnimationCurve")) { /* the most frequent one by far */
    fbx->curve_count++;
    return true;
  }
  memset(&object, 0, sizeof object);
  bool has_id = fmi_fbx_next_whole(fbx, &values, &id);
  object.name = fmi_fbx_bare_name(fmi_fbx_next_text(fbx, &values));
  fmi_fbx_text class_name = fmi_fbx_next_text(fbx, &values);
  if (env->error->status != FM_OK) return false;
  if (fmi_fbx_is(record->name, "AnimationStack")) {
    fmi_fbx_add_note(&fbx->animation, object.name);
  } else if (fmi_fbx_is(record->name, "Deformer")) {
    if (fmi_fbx_is(class_name, "BlendShapeChannel")) return fmi_fbx_add_channel(fbx, record, object.name, mesh);
    if (fmi_fbx_is(class_name, "Skin")) fmi_fbx_add_note(&fbx->notes[FMI_FBX_SKIN], object.name);
  }
  if (!fmi_fbx_kind_of(record->name, class_name, &object.kind)) return true;
  if (!has_id) {
    fmi_fbx_add_note(&fbx->notes[FMI_FBX_NO_ID], object.name);
    return true;
  }
  object.id = (uint64_t)id;
  object.start = record->start;
  object.children = record->properties_end;
  object.end = record->end;
  object.parent = object.slot = FM_NONE;
  size_t need = fbx->object_count + 1;
  fmi_fbx_object *grown =
      (fmi_fbx_object *)fmi_reserve(env, &env->temp, fbx->objects, need, &fbx->object_room, sizeof *grown);
  if (!grown) return false;
  fbx->objects = grown;
  grown[fbx->object_count++] = object;
  return true;
}

FMI_FN bool fmi_fbx_add_wire(fmi_fbx *fbx, const fmi_fbx_record *record) {
  fmi_env *env = fbx->env;
  fmi_fbx_values values = fmi_fbx_values_of(record);
  fmi_fbx_text kind = fmi_fbx_next_text(fbx, &values);
  int64_t child, parent;
  if (kind.size != 2 || kind.data[0] != 'O') return env->error->status == FM_OK; /* from a property: nothing that a head needs */
  bool ok = fmi_fbx_next_whole(fbx, &values, &child);
  ok = fmi_fbx_next_whole(fbx, &values, &parent) && ok;
  if (!ok || parent == 0) return env->error->status == FM_OK; /* 0 is the scene */
  fmi_fbx_wire *grown =
      (fmi_fbx_wire *)fmi_reserve(env, &env->temp, fbx->wires, fbx->wire_count + 1, &fbx->wire_room, sizeof *grown);
  if (!grown) return false;
  fbx->wires = grown;
  grown += fbx->wire_count++;
  grown->child = (uint64_t)child;
  grown->parent = (uint64_t)parent;
  grown->property = fmi_fbx_next_text(fbx, &values);
  return env->error->status == FM_OK;
}

/* Sorts the ids. Of objects with one id only the first is found through connections. */
FMI_FN bool fmi_fbx_index_objects(fmi_fbx *fbx) {
  fmi_env *env = fbx->env;
  fbx->ids = (fmi_fbx_key *)fmi_alloc(env, &env->temp, fbx->object_count, sizeof *fbx->ids);
  if (!fbx->ids) return false;
  for (size_t i = 0; i < fbx->object_count; i++) {
    fbx->ids[i].number = fbx->objects[i].id;
    fbx->ids[i].index = i;
  }
  if (!fmi_fbx_sort(env, fbx->ids, fbx->object_count)) return false;
  for (size_t i = 1; i < fbx->object_count; i++)
    if (fbx->ids[i].number == fbx->ids[i - 1].number)
      fmi_fbx_add_note(&fbx->notes[FMI_FBX_SAME_ID], fbx->objects[fbx->ids[i].index].name);
  return true;
}

/* Is a connection between these kinds of any use? */
FMI_FN bool fmi_fbx_useful(fmi_fbx_kind child, fmi_fbx_kind parent, bool to_property) {
  if (parent == FMI_FBX_MODEL)
    return !to_property && (child == FMI_FBX_GEOMETRY || child == FMI_FBX_MATERIAL || child == FMI_FBX_MODEL);
  if (parent == FMI_FBX_MATERIAL) return to_property && (child == FMI_FBX_TEXTURE || child == FMI_FBX_LAYERED);
  if (parent == FMI_FBX_LAYERED) return child == FMI_FBX_TEXTURE;
  return parent == FMI_FBX_TEXTURE && (child == FMI_FBX_VIDEO || child == FMI_FBX_TEXTURE);
}

/* Gives every object the list of what is connected into it; models learn their parent instead of keeping their children. */
FMI_FN bool fmi_fbx_connect(fmi_fbx *fbx) {
  fmi_env *env = fbx->env;
  size_t total = 0;
  for (size_t pass = 0; pass < 2; pass++) { /* count, then place: all lists lie in one array */
    for (size_t i = 0; i < fbx->wire_count; i++) {
      fmi_fbx_wire *wire = &fbx->wires[i];
      if (pass == 0) {
        const fmi_fbx_key *child = fmi_fbx_find(fbx->ids, fbx->object_count, wire->child);
        const fmi_fbx_key *parent = fmi_fbx_find(fbx->ids, fbx->object_count, wire->parent);
        wire->child = child ? child->index : UINT64_MAX;
        wire->parent = parent ? parent->index : UINT64_MAX;
      }
      if (wire->child == UINT64_MAX || wire->parent == UINT64_MAX) continue;
      fmi_fbx_object *child = &fbx->objects[wire->child], *parent = &fbx->objects[wire->parent];
      if (!fmi_fbx_useful(child->kind, parent->kind, wire->property.size > 0)) continue;
      if (child->kind == FMI_FBX_MODEL) {
        if (child->parent == FM_NONE) child->parent = (uint32_t)wire->parent;
        continue;
      }
      if (pass == 1) {
        fmi_fbx_link *link = &fbx->links[parent->first_link + parent->link_count];
        link->child = (uint32_t)wire->child;
        link->property = wire->property;
      }
      parent->link_count++;
    }
    if (pass == 1) break;
    for (size_t i = 0; i < fbx->object_count; i++) {
      fbx->objects[i].first_link = total;
      total += fbx->objects[i].link_count;
      fbx->objects[i].link_count = 0;
    }
    fbx->link_count = total;
    fbx->links = (fmi_fbx_link *)fmi_alloc(env, &env->temp, total, sizeof *fbx->links);
    if (!fbx->links) return false;
  }
  fmi_release(env, fbx->wires);
  fbx->wires = NULL;
  return true;
}

/* ---- the scene's settings ---- */

typedef struct fmi_fbx_matrix { double m[3][4]; } fmi_fbx_matrix; /* rows; the last column is the translation */

/* What Properties70 of a model can say, and of the scene. */
enum {
  FMI_FBX_T,
  FMI_FBX_R,
  FMI_FBX_S,
  FMI_FBX_PRE,
  FMI_FBX_POST,
  FMI_FBX_R_OFFSET,
  FMI_FBX_R_PIVOT,
  FMI_FBX_S_OFFSET,
  FMI_FBX_S_PIVOT,
  FMI_FBX_GEOMETRIC_T,
  FMI_FBX_GEOMETRIC_R,
  FMI_FBX_GEOMETRIC_S,
  FMI_FBX_ORDER,
  FMI_FBX_R_ACTIVE,
  FMI_FBX_R_LIMITS_ONLY,
  FMI_FBX_INHERIT,
  FMI_FBX_MODEL_COUNT
};
static const char *const fmi_fbx_model_names[FMI_FBX_MODEL_COUNT] =
    {"Lcl Translation",   "Lcl Rotation",     "Lcl Scaling",   "PreRotation",    "PostRotation",
     "RotationOffset",    "RotationPivot",    "ScalingOffset", "ScalingPivot",   "GeometricTranslation",
     "GeometricRotation", "GeometricScaling", "RotationOrder", "RotationActive", "RotationSpaceForLimitOnly",
     "InheritType"};
typedef struct fmi_fbx_model_values { double v[FMI_FBX_MODEL_COUNT][3]; } fmi_fbx_model_values;

enum {
  FMI_FBX_RIGHT,
  FMI_FBX_RIGHT_SIGN,
  FMI_FBX_UP,
  FMI_FBX_UP_SIGN,
  FMI_FBX_FRONT,
  FMI_FBX_FRONT_SIGN,
  FMI_FBX_UNIT,
  FMI_FBX_SCENE_COUNT
};
static const char *const fmi_fbx_scene_names[FMI_FBX_SCENE_COUNT] = {
  "CoordAxis", "CoordAxisSign", "UpAxis", "UpAxisSign", "FrontAxis", "FrontAxisSign", "UnitScaleFactor"
};
typedef struct fmi_fbx_scene {
  double v[FMI_FBX_SCENE_COUNT][3];
  fmi_fbx_model_values defaults; /* of every model */
} fmi_fbx_scene;

FMI_FN void fmi_fbx_default_scene(fmi_fbx_scene *scene) {
  static const double values[FMI_FBX_SCENE_COUNT] = {0, 1, 1, 1, 2, 1, 1};
  memset(scene, 0, sizeof *scene);
  for (size_t i = 0; i < FMI_FBX_SCENE_COUNT; i++) scene->v[i][0] = values[i];
  for (size_t k = 0; k < 3; k++) scene->defaults.v[FMI_FBX_S][k] = scene->defaults.v[FMI_FBX_GEOMETRIC_S][k] = 1.0;
  /* Definitions, where a file has them, say 0 for both. Exporters that leave them out mean what they write, plainly. */
  scene->defaults.v[FMI_FBX_R_ACTIVE][0] = scene->defaults.v[FMI_FBX_INHERIT][0] = 1.0;
}

/* Definitions holds the values that properties have where an object leaves them out. */
FMI_FN bool fmi_fbx_read_definitions(fmi_fbx *fbx, const fmi_fbx_record *definitions, fmi_fbx_scene *scene) {
  fmi_fbx_level types = fmi_fbx_children(definitions);
  fmi_fbx_record type, record;
  while (fmi_fbx_next(fbx, &types, &type)) {
    if (!fmi_fbx_is(type.name, "ObjectType") || !fmi_fbx_is(fmi_fbx_record_text(fbx, &type), "Model")) continue;
    fmi_fbx_level inner = fmi_fbx_children(&type);
    while (fmi_fbx_next(fbx, &inner, &record))
      if (fmi_fbx_is(record.name, "PropertyTemplate") &&
          !fmi_fbx_read_properties(fbx, fmi_fbx_children(&record), fmi_fbx_model_names, FMI_FBX_MODEL_COUNT,
                                   scene->defaults.v))
        return false;
  }
  return fbx->env->error->status == FM_OK;
}

/* From the file's axes and unit to metres, Y up, Z to the front. */
FMI_FN bool fmi_fbx_scene_matrix(fmi_fbx *fbx, const fmi_fbx_scene *scene, fmi_fbx_matrix *matrix, double *unit) {
  int seen = 0;
  memset(matrix, 0, sizeof *matrix);
  *unit = scene->v[FMI_FBX_UNIT][0] / 100.0;
  if (!(*unit > 0.0) || !fmi_is_finite(*unit)) {
    *unit = 0.01;
    if (!fmi_warn(fbx->env, "the file's unit makes no sense (UnitScaleFactor); centimetres are assumed")) return false;
  }
  for (int row = 0; row < 3; row++) { /* right, up, front */
    double axis = scene->v[FMI_FBX_RIGHT + 2 * row][0];
    for (int k = 0; k < 3; k++)
      if (axis == k) {
        seen |= 1 << k;
        matrix->m[row][k] = scene->v[FMI_FBX_RIGHT_SIGN + 2 * row][0] < 0.0 ? -*unit : *unit;
      }
  }
  if (seen == 7) return true;
  memset(matrix, 0, sizeof *matrix);
  for (int k = 0; k < 3; k++) matrix->m[k][k] = *unit;
  return fmi_warn(fbx->env,
                  "the file's axes make no sense (UpAxis, FrontAxis, CoordAxis); Y up and Z to the front are assumed");
}

/* ---- transforms ---- */

FMI_FN fmi_fbx_matrix fmi_fbx_identity(void) {
  fmi_fbx_matrix m;
  memset(&m, 0, sizeof m);
  m.m[0][0] = m.m[1][1] = m.m[2][2] = 1.0;
  return m;
}
/* First b, then a. */
FMI_FN fmi_fbx_matrix fmi_fbx_multiply(const fmi_fbx_matrix *a, const fmi_fbx_matrix *b) {
  fmi_fbx_matrix c;
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 4; k++)
      c.m[i][k] =
          a->m[i][0] * b->m[0][k] + a->m[i][1] * b->m[1][k] + a->m[i][2] * b->m[2][k] + (k == 3 ? a->m[i][3] : 0.0);
  return c;
}
/* The linear part alone. */
FMI_FN void fmi_fbx_apply(const fmi_fbx_matrix *a, const double v[3], double out[3]) {
  for (int i = 0; i < 3; i++) out[i] = a->m[i][0] * v[0] + a->m[i][1] * v[1] + a->m[i][2] * v[2];
}
FMI_FN double fmi_fbx_determinant(const fmi_fbx_matrix *a) {
  return a->m[0][0] * (a->m[1][1] * a->m[2][2] - a->m[1][2] * a->m[2][1]) -
         a->m[0][1] * (a->m[1][0] * a->m[2][2] - a->m[1][2] * a->m[2][0]) +
         a->m[0][2] * (a->m[1][0] * a->m[2][1] - a->m[1][1] * a->m[2][0]);
}
FMI_FN fmi_fbx_matrix fmi_fbx_axis_rotation(int axis, double degrees) {
  fmi_fbx_matrix m = fmi_fbx_identity();
  double s = fmi_sin_degrees(degrees), c = fmi_cos_degrees(degrees);
  int u = (axis + 1) % 3, v = (axis + 2) % 3;
  m.m[u][u] = c;
  m.m[u][v] = -s;
  m.m[v][u] = s;
  m.m[v][v] = c;
  return m;
}
/* Three angles about X, Y, Z; order 0 to 5 says which comes first: XYZ, XZY, YZX, YXZ, ZXY, ZYX. */
FMI_FN fmi_fbx_matrix fmi_fbx_rotation(const double degrees[3], int order) {
  static const uint8_t axes[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}};
  fmi_fbx_matrix m = fmi_fbx_identity();
  for (int i = 0; i < 3; i++) {
    int axis = axes[order][i];
    fmi_fbx_matrix next = fmi_fbx_axis_rotation(axis, degrees[axis]);
    m = fmi_fbx_multiply(&next, &m);
  }
  return m;
}
FMI_FN fmi_fbx_matrix fmi_fbx_transposed(const fmi_fbx_matrix *a) { /* the inverse of a rotation */
  fmi_fbx_matrix m = fmi_fbx_identity();
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++) m.m[i][k] = a->m[k][i];
  return m;
}
FMI_FN fmi_fbx_matrix fmi_fbx_scaled(const fmi_fbx_matrix *a, const double scale[3]) {
  fmi_fbx_matrix m = *a;
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++) m.m[i][k] *= scale[k];
  return m;
}

/* A model's own transform, split as inheritance needs it: translation, rotation, scale (pivots and offsets are in the translation). */
typedef struct fmi_fbx_local { double translation[3], scale[3]; fmi_fbx_matrix rotation; int inherit; } fmi_fbx_local;

/* T Roff Rp Rpre R Rpost^-1 Rp^-1 Soff Sp S Sp^-1, as the FBX SDK documents it. */
FMI_FN fmi_fbx_local fmi_fbx_make_local(const fmi_fbx_model_values *values) {
  const double(*v)[3] = values->v;
  fmi_fbx_local local;
  double rest[3], turned[3], order = v[FMI_FBX_ORDER][0], inherit = v[FMI_FBX_INHERIT][0];
  bool active = v[FMI_FBX_R_ACTIVE][0] != 0.0 && v[FMI_FBX_R_LIMITS_ONLY][0] == 0.0;
  if (active) { /* otherwise the order and both further rotations sleep */
    fmi_fbx_matrix pre = fmi_fbx_rotation(v[FMI_FBX_PRE], 0), post = fmi_fbx_rotation(v[FMI_FBX_POST], 0);
    post = fmi_fbx_transposed(&post);
    local.rotation = fmi_fbx_rotation(v[FMI_FBX_R], order >= 1.0 && order <= 5.0 ? (int)order : 0); /* 6, spheric: as XYZ */
    local.rotation = fmi_fbx_multiply(&local.rotation, &post);
    local.rotation = fmi_fbx_multiply(&pre, &local.rotation);
  } else local.rotation = fmi_fbx_rotation(v[FMI_FBX_R], 0);
  local.inherit = inherit == 1.0 ? 1 : inherit == 2.0 ? 2 : 0;
  for (int k = 0; k < 3; k++) {
    local.scale[k] = v[FMI_FBX_S][k];
    rest[k] =
        v[FMI_FBX_S_OFFSET][k] + v[FMI_FBX_S_PIVOT][k] - local.scale[k] * v[FMI_FBX_S_PIVOT][k] - v[FMI_FBX_R_PIVOT][k];
  }
  fmi_fbx_apply(&local.rotation, rest, turned);
  for (int k = 0; k < 3; k++)
    local.translation[k] = v[FMI_FBX_T][k] + v[FMI_FBX_R_OFFSET][k] + v[FMI_FBX_R_PIVOT][k] + turned[k];
  return local;
}

/* A model in the scene. `frame` is its transform without the scale that it hands down by components. */
typedef struct fmi_fbx_node {
  fmi_fbx_matrix world, frame;
  fmi_fbx_matrix geometric; /* from its geometry to it; comes before `world` and is handed to nobody */
  double scale[3];    /* what `frame` lacks: its own scale, and what of its ancestors' is passed on */
  double received[3]; /* the ancestors' part of that */
  size_t palette_count;
  bool visiting, done, has_palette;
} fmi_fbx_node;

/* InheritType 1 (RSrs): parent x own. 0 (RrSs): the parent's scale acts after the own rotation, component by component. 2 (Rrs): the
   parent's own scale is left out (Maya's segment scale compensate); its translation keeps it. */
FMI_FN void fmi_fbx_place_node(fmi_fbx_node *node, const fmi_fbx_node *parent, const fmi_fbx_local *local) {
  fmi_fbx_matrix own = local->rotation;
  for (int k = 0; k < 3; k++) {
    bool whole = local->inherit == 1 || !parent;
    node->received[k] = whole ? 1.0 : local->inherit == 0 ? parent->scale[k] : parent->received[k];
    node->scale[k] = node->received[k] * local->scale[k];
    own.m[k][3] = whole ? local->translation[k] : parent->scale[k] * local->translation[k];
  }
  node->frame = parent ? fmi_fbx_multiply(local->inherit == 1 ? &parent->world : &parent->frame, &own) : own;
  node->world = fmi_fbx_scaled(&node->frame, node->scale);
}

FMI_FN fmi_fbx_matrix fmi_fbx_make_geometric(const fmi_fbx_model_values *values) {
  fmi_fbx_matrix matrix = fmi_fbx_rotation(values->v[FMI_FBX_GEOMETRIC_R], 0);
  matrix = fmi_fbx_scaled(&matrix, values->v[FMI_FBX_GEOMETRIC_S]);
  for (int k = 0; k < 3; k++) matrix.m[k][3] = values->v[FMI_FBX_GEOMETRIC_T][k];
  return matrix;
}

/* Places a model and, before it, its ancestors that are not placed yet. chain: room for all objects. */
FMI_FN bool fmi_fbx_place(fmi_fbx *fbx, const fmi_fbx_scene *scene, fmi_fbx_node *nodes, uint32_t *chain,
                          uint32_t index) {
  size_t length = 0;
  for (uint32_t i = index; i != FM_NONE && !nodes[i].done; i = fbx->objects[i].parent) {
    if (nodes[i].visiting)
      return fmi_fbx_damaged(fbx, fbx->objects[i].start, "object %s is its own ancestor",
                             fmi_fbx_show(fbx, fbx->objects[i].name));
    nodes[i].visiting = true;
    chain[length++] = i;
  }
  while (length > 0) {
    uint32_t i = chain[--length], parent = fbx->objects[i].parent;
    fmi_fbx_model_values values = scene->defaults;
    fmi_fbx_level level = fmi_fbx_object_level(&fbx->objects[i]);
    if (!fmi_fbx_read_properties(fbx, level, fmi_fbx_model_names, FMI_FBX_MODEL_COUNT, values.v)) return false;
    fmi_fbx_local local = fmi_fbx_make_local(&values);
    nodes[i].geometric = fmi_fbx_make_geometric(&values);
    fmi_fbx_place_node(&nodes[i], parent == FM_NONE ? NULL : &nodes[parent], &local);
    nodes[i].done = true;
  }
  return true;
}

/* ---- meshes ---- */

/* One LayerElement: data, optionally an index into it, and how both belong to the mesh. */
typedef struct fmi_fbx_layer {
  bool there, indexed;
  int64_t number;            /* of the layer element: the lowest one is the first set */
  fmi_fbx_value data, index;
  fmi_fbx_text mapping, reference;
} fmi_fbx_layer;

/* A geometry as its record describes it; nothing is unpacked yet. */
typedef struct fmi_fbx_shape {
  uint32_t object, last_model;
  fmi_fbx_text name;
  fmi_fbx_value vertices, corners; /* type 0: not there */
  fmi_fbx_layer uvs, materials;
  size_t first_instance, instance_count;
  bool subdivided;
} fmi_fbx_shape;

/* The same unpacked. */
typedef struct fmi_fbx_body {
  const uint8_t *vertices;
  uint8_t *unpacked;            /* where vertices lies if it was packed */
  size_t vertex_count, corner_count, polygon_count;
  uint32_t *corners, *starts;   /* as fm_mesh's */
  uint32_t *uvs;                /* of each corner; NULL: none */
  uint32_t *slots;              /* of each polygon: which of its object's materials */
} fmi_fbx_body;

/* Reads a layer element and takes it if it comes before the one that is there. */
FMI_FN bool fmi_fbx_read_layer(fmi_fbx *fbx, const fmi_fbx_record *record, const char *data_name, const char *index_name,
                               fmi_fbx_layer *layer) {
  fmi_fbx_layer found;
  fmi_fbx_level level = fmi_fbx_children(record);
  fmi_fbx_record child;
  memset(&found, 0, sizeof found);
  found.number = fmi_fbx_record_whole(fbx, record);
  found.mapping = found.reference = fmi_fbx_no_text();
  while (fmi_fbx_next(fbx, &level, &child)) {
    if (fmi_fbx_is(child.name, "MappingInformationType")) found.mapping = fmi_fbx_record_text(fbx, &child);
    else if (fmi_fbx_is(child.name, "ReferenceInformationType")) found.reference = fmi_fbx_record_text(fbx, &child);
    else if (fmi_fbx_is(child.name, data_name)) found.there = fmi_fbx_record_array(fbx, &child, &found.data);
    else if (fmi_fbx_is(child.name, index_name)) found.indexed = fmi_fbx_record_array(fbx, &child, &found.index);
  }
  if (fbx->env->error->status != FM_OK) return false;
  if (found.there && (!layer->there || found.number < layer->number)) *layer = found;
  return true;
}

/* Up to 7.1 a mesh holds its blend shapes itself, and their weights are numbers among its properties. */
FMI_FN void fmi_fbx_read_old_weights(fmi_fbx *fbx, const fmi_fbx_record *properties, fmi_fbx_note *note) {
  fmi_fbx_level level = fmi_fbx_children(properties);
  fmi_fbx_record record;
  while (fmi_fbx_next(fbx, &level, &record)) {
    fmi_fbx_values list = fmi_fbx_values_of(&record);
    fmi_fbx_value value;
    fmi_fbx_text name = fmi_fbx_next_text(fbx, &list);
    if (!fmi_fbx_is(fmi_fbx_next_text(fbx, &list), "Number")) continue;
    for (int skip = 0; skip < 2; skip++) fmi_fbx_next_value(fbx, &list, &value); /* its label, its flags */
    if (fmi_fbx_next_value(fbx, &list, &value) && fmi_fbx_is_scalar(&value) &&
        fmi_fbx_real(value.type, value.bytes) != 0.0)
      fmi_fbx_add_note(note, name);
  }
}

FMI_FN bool fmi_fbx_read_shape(fmi_fbx *fbx, uint32_t object, fmi_fbx_shape *shape, fm_mesh *mesh) {
  fmi_fbx_object *geometry = &fbx->objects[object];
  fmi_fbx_note weights = {0, {"", 0}};
  bool shapes_inside = false;
  fmi_fbx_level level = fmi_fbx_object_level(geometry);
  fmi_fbx_record record;
  int64_t smoothness = 0, levels = 0;
  memset(shape, 0, sizeof *shape);
  shape->object = object;
  shape->name = geometry->name;
  shape->last_model = FM_NONE;
  while (fmi_fbx_next(fbx, &level, &record)) {
    fmi_fbx_value *array = fmi_fbx_is(record.name, "Vertices")             ? &shape->vertices
                           : fmi_fbx_is(record.name, "PolygonVertexIndex") ? &shape->corners
                                                                           : NULL;
    if (array && !array->type) fmi_fbx_record_array(fbx, &record, array);
    else if (fmi_fbx_is(record.name, "LayerElementUV")) fmi_fbx_read_layer(fbx, &record, "UV", "UVIndex", &shape->uvs);
    else if (fmi_fbx_is(record.name, "LayerElementMaterial"))
      fmi_fbx_read_layer(fbx, &record, "Materials", "", &shape->materials);
    else if (fmi_fbx_is(record.name, "Smoothness")) smoothness = fmi_fbx_record_whole(fbx, &record);
    else if (fmi_fbx_is(record.name, "PreviewDivisionLevels") || fmi_fbx_is(record.name, "RenderDivisionLevels")) {
      int64_t n = fmi_fbx_record_whole(fbx, &record);
      if (n > levels) levels = n;
    } else if (fmi_fbx_is(record.name, "Shape")) {
      shapes_inside = true;
      if (!fmi_fbx_add_blend_shape(fbx, fmi_fbx_bare_name(fmi_fbx_record_text(fbx, &record)), mesh)) return false;
    } else if (fmi_fbx_is(record.name, "Properties70")) fmi_fbx_read_old_weights(fbx, &record, &weights);
  }
  if (fbx->env->error->status != FM_OK) return false;
  if (shapes_inside && weights.count > 0) {
    fmi_fbx_note *note = &fbx->notes[FMI_FBX_WEIGHT];
    if (note->count == 0) note->first = weights.first;
    note->count += weights.count;
  }
  shape->subdivided = smoothness > 0 && levels > 0;
  if (shape->vertices.count % 3)
    return fmi_fbx_damaged(fbx, shape->vertices.start, "mesh %s has %zu coordinates, which are not whole vertices",
                           fmi_fbx_show(fbx, geometry->name), shape->vertices.count);
  return true;
}

/* Corners that are stored as the vertex, or where they end a polygon, as -1 - vertex. Returns how many are right from the first
   on. */
FMI_INLINE size_t fmi_fbx_take_corners(char type, const uint8_t *bytes, size_t count, size_t vertex_count, uint32_t *corners,
                                       size_t *polygons) {
  size_t width = fmi_fbx_width(type), ends = 0, i = 0;
  for (; i < count; i++) {
    bool whole;
    int64_t v = fmi_fbx_whole(type, bytes + i * width, &whole);
    bool last = v < 0;
    if (last) v = -1 - v;
    if (!whole || (uint64_t)v >= vertex_count) break;
    ends += last;
    corners[i] = (uint32_t)v;
  }
  *polygons = ends;
  return i;
}
/* Where polygons end. */
FMI_INLINE void fmi_fbx_take_ends(char type, const uint8_t *bytes, size_t count, uint32_t *ends) {
  size_t width = fmi_fbx_width(type);
  bool whole;
  for (size_t i = 0; i < count; i++)
    if (i + 1 == count || fmi_fbx_whole(type, bytes + i * width, &whole) < 0) *ends++ = (uint32_t)(i + 1);
}

/* Corners and polygons. */
FMI_FN bool fmi_fbx_unpack_corners(fmi_fbx *fbx, const fmi_fbx_shape *shape, fmi_fbx_body *body) {
  fmi_env *env = fbx->env;
  const fmi_fbx_value *array = &shape->corners;
  uint8_t *unpacked;
  const uint8_t *bytes = fmi_fbx_elements(fbx, array, &unpacked);
  size_t width = fmi_fbx_width(array->type), count = array->count, polygons = 0, right;
  bool whole = true, closed = true;
  body->corners = (uint32_t *)fmi_alloc(env, &env->temp, count, sizeof *body->corners);
  if (!bytes || !body->corners) return false;
  right = array->type == 'i' ? fmi_fbx_take_corners('i', bytes, count, body->vertex_count, body->corners, &polygons)
                             : fmi_fbx_take_corners(array->type, bytes, count, body->vertex_count, body->corners, &polygons);
  if (right < count) {
    int64_t v = fmi_fbx_whole(array->type, bytes + right * width, &whole);
    if (!whole)
      return fmi_fbx_damaged(fbx, array->start, "the polygons of mesh %s are no whole numbers",
                             fmi_fbx_show(fbx, shape->name));
    return fmi_fbx_damaged(fbx, array->start, "polygon %zu of mesh %s uses vertex %llu, but there are only %zu", polygons,
                           fmi_fbx_show(fbx, shape->name), (unsigned long long)(v < 0 ? -1 - v : v), body->vertex_count);
  }
  if (count) closed = fmi_fbx_whole(array->type, bytes + (count - 1) * width, &whole) < 0;
  if (!closed) fmi_fbx_add_note(&fbx->notes[FMI_FBX_OPEN], shape->name);
  body->corner_count = count;
  body->polygon_count = polygons + !closed;
  body->starts = (uint32_t *)fmi_alloc(env, &env->temp, body->polygon_count + 1, sizeof *body->starts);
  if (!body->starts) return false;
  body->starts[0] = 0;
  if (array->type == 'i') fmi_fbx_take_ends('i', bytes, count, body->starts + 1);
  else fmi_fbx_take_ends(array->type, bytes, count, body->starts + 1);
  fmi_release(env, unpacked);
  return true;
}

/* Which element of a layer does each corner (or polygon) use? The layer's mapping says what is counted. */
typedef enum fmi_fbx_mapping {
  FMI_FBX_BY_CORNER, FMI_FBX_BY_VERTEX, FMI_FBX_BY_POLYGON, FMI_FBX_ALL_SAME, FMI_FBX_BY_OTHER
} fmi_fbx_mapping;

FMI_FN fmi_fbx_mapping fmi_fbx_mapping_of(fmi_fbx_text text) {
  if (fmi_fbx_is(text, "ByPolygonVertex")) return FMI_FBX_BY_CORNER;
  if (fmi_fbx_is(text, "ByVertex") || fmi_fbx_is(text, "ByVertice") || fmi_fbx_is(text, "ByControlPoint"))
    return FMI_FBX_BY_VERTEX;
  if (fmi_fbx_is(text, "ByPolygon")) return FMI_FBX_BY_POLYGON;
  return fmi_fbx_is(text, "AllSame") ? FMI_FBX_ALL_SAME : FMI_FBX_BY_OTHER; /* ByEdge, or unknown */
}

/* The UV of each corner of a mesh with uv_count. bytes: index_count indices of a type, or NULL: UVs lie as they are counted.
   Returns how many corners have no valid one. */
FMI_INLINE size_t fmi_fbx_take_uvs(fmi_fbx_mapping mapping, char type, const uint8_t *bytes, size_t index_count, size_t uv_count,
                                   fmi_fbx_body *body) {
  size_t width = fmi_fbx_width(type), missing = 0;
  for (size_t polygon = 0; polygon < body->polygon_count; polygon++)
    for (size_t i = body->starts[polygon]; i < body->starts[polygon + 1]; i++) {
      size_t key = mapping == FMI_FBX_BY_CORNER    ? i
                   : mapping == FMI_FBX_BY_VERTEX  ? body->corners[i]
                   : mapping == FMI_FBX_BY_POLYGON ? polygon
                                                   : 0;
      int64_t uv = (int64_t)key;
      bool valid = true;
      if (bytes) {
        valid = key < index_count;
        if (valid) uv = fmi_fbx_whole(type, bytes + key * width, &valid);
      }
      valid = valid && uv >= 0 && (uint64_t)uv < uv_count;
      body->uvs[i] = (uint32_t)(valid ? (size_t)uv : uv_count - 1); /* as other readers do, also where -1 was meant to be "none" */
      missing += !valid;
    }
  return missing;
}

FMI_FN bool fmi_fbx_unpack_uvs(fmi_fbx *fbx, const fmi_fbx_shape *shape, fmi_fbx_body *body) {
  fmi_env *env = fbx->env;
  const fmi_fbx_layer *layer = &shape->uvs;
  fmi_fbx_mapping mapping = fmi_fbx_mapping_of(layer->mapping);
  size_t count = layer->data.count / 2, missing;
  uint8_t *unpacked = NULL;
  const uint8_t *bytes = NULL;
  if (!layer->there || count == 0) return true;
  if (mapping == FMI_FBX_BY_OTHER) {
    fmi_fbx_add_note(&fbx->notes[FMI_FBX_UV_KIND], shape->name);
    return true;
  }
  if (layer->indexed && !fmi_fbx_is(layer->reference, "Direct")) {
    bytes = fmi_fbx_elements(fbx, &layer->index, &unpacked);
    if (!bytes) return false;
  }
  body->uvs = (uint32_t *)fmi_alloc(env, &env->temp, body->corner_count, sizeof *body->uvs);
  if (!body->uvs) return false;
  if (mapping == FMI_FBX_BY_CORNER && layer->index.type == 'i' && bytes) /* nearly all meshes */
    missing = fmi_fbx_take_uvs(FMI_FBX_BY_CORNER, 'i', bytes, layer->index.count, count, body);
  else missing = fmi_fbx_take_uvs(mapping, layer->index.type, bytes, layer->index.count, count, body);
  if (missing) fmi_fbx_add_note(&fbx->notes[FMI_FBX_UV_NONE], shape->name);
  fmi_release(env, unpacked);
  return true;
}

FMI_FN bool fmi_fbx_unpack_slots(fmi_fbx *fbx, const fmi_fbx_shape *shape, fmi_fbx_body *body) {
  fmi_env *env = fbx->env;
  const fmi_fbx_layer *layer = &shape->materials;
  fmi_fbx_mapping mapping = fmi_fbx_mapping_of(layer->mapping);
  uint8_t *unpacked = NULL;
  const uint8_t *bytes = NULL;
  body->slots = (uint32_t *)fmi_alloc_zero(env, &env->temp, body->polygon_count, sizeof *body->slots);
  if (!body->slots) return false;
  if (!layer->there || layer->data.count == 0) return true;
  if (mapping != FMI_FBX_BY_POLYGON && mapping != FMI_FBX_ALL_SAME) {
    fmi_fbx_add_note(&fbx->notes[FMI_FBX_MATERIAL_KIND], shape->name);
    return true;
  }
  bytes = fmi_fbx_elements(fbx, &layer->data, &unpacked);
  if (!bytes) return false;
  for (size_t polygon = 0; polygon < body->polygon_count; polygon++) {
    size_t key = mapping == FMI_FBX_BY_POLYGON ? polygon : 0;
    bool valid = key < layer->data.count;
    int64_t slot = valid ? fmi_fbx_whole(layer->data.type, bytes + key * fmi_fbx_width(layer->data.type), &valid) : 0;
    body->slots[polygon] = valid && slot >= 0 && slot < (int64_t)FM_NONE ? (uint32_t)slot : FM_NONE;
  }
  fmi_release(env, unpacked);
  return true;
}

FMI_FN bool fmi_fbx_unpack(fmi_fbx *fbx, const fmi_fbx_shape *shape, fmi_fbx_body *body) {
  memset(body, 0, sizeof *body);
  body->vertex_count = shape->vertices.count / 3;
  if (!fmi_fbx_unpack_corners(fbx, shape, body)) return false;
  if (!fmi_fbx_unpack_uvs(fbx, shape, body) || !fmi_fbx_unpack_slots(fbx, shape, body)) return false;
  body->vertices = fmi_fbx_elements(fbx, &shape->vertices, &body->unpacked);
  return body->vertices != NULL;
}
FMI_FN void fmi_fbx_release_body(fmi_env *env, fmi_fbx_body *body) {
  fmi_release(env, body->unpacked);
  fmi_release(env, body->corners);
  fmi_release(env, body->starts);
  fmi_release(env, body->uvs);
  fmi_release(env, body->slots);
}

/* ---- the head ---- */

typedef struct fmi_fbx_head {
  fmi_fbx *fbx;
  fm_mesh *mesh;
  fmi_assembly assembly;
  fmi_fbx_scene scene;
  fmi_fbx_matrix axes;          /* from the file's space to ours */
  fmi_fbx_node *nodes;          /* one for each object; models use theirs */
  uint32_t *chain;
  fmi_fbx_shape *shapes;
  size_t shape_count;
  uint32_t *models;             /* of all instances; FM_NONE: placed by no object */
  uint32_t *palettes;           /* of each link that is a material: its index in the mesh's; an object's begin at its first link */
  uint32_t *origins;            /* of each material of the mesh: its object */
  size_t material_room, origin_room, start_room, polygon_room, uv_room;
} fmi_fbx_head;

/* Finds the objects that use each mesh, in the order of their records. */
FMI_FN bool fmi_fbx_find_instances(fmi_fbx_head *head) {
  fmi_fbx *fbx = head->fbx;
  fmi_env *env = fbx->env;
  size_t total = 0;
  for (int pass = 0; pass < 2; pass++) { /* count, then place */
    for (size_t m = 0; m < fbx->object_count; m++) {
      const fmi_fbx_object *model = &fbx->objects[m];
      if (model->kind != FMI_FBX_MODEL) continue;
      for (size_t i = 0; i < model->link_count; i++) {
        uint32_t child = fbx->links[model->first_link + i].child;
        if (fbx->objects[child].kind != FMI_FBX_GEOMETRY) continue;
        fmi_fbx_shape *shape = &head->shapes[fbx->objects[child].slot];
        if (shape->last_model == (uint32_t)m) continue; /* connected twice */
        shape->last_model = (uint32_t)m;
        if (pass == 1) head->models[shape->first_instance + shape->instance_count] = (uint32_t)m;
        shape->instance_count++;
      }
    }
    if (pass == 1) break;
    for (size_t s = 0; s < head->shape_count; s++) {
      head->shapes[s].first_instance = total;
      total += head->shapes[s].instance_count;
      head->shapes[s].instance_count = 0;
      head->shapes[s].last_model = FM_NONE;
    }
    head->models = (uint32_t *)fmi_alloc(env, &env->temp, total ? total : head->shape_count, sizeof *head->models);
    if (!head->models) return false;
  }
  if (total > 0 || head->shape_count == 0) return true;
  for (size_t s = 0; s < head->shape_count; s++) {
    head->models[s] = FM_NONE;
    head->shapes[s].first_instance = s;
    head->shapes[s].instance_count = 1;
  }
  return fmi_warn(env, "no object of the file uses any of its meshes (are the connections missing?); they are placed where they were "
                       "made, without materials");
}

/* Some exporters leave meshes unnamed: then the first object that uses one names it. */
FMI_FN void fmi_fbx_name_shapes(fmi_fbx_head *head) {
  for (size_t s = 0; s < head->shape_count; s++) {
    fmi_fbx_shape *shape = &head->shapes[s];
    uint32_t model = shape->instance_count ? head->models[shape->first_instance] : FM_NONE;
    if (shape->name.size == 0 && model != FM_NONE) shape->name = head->fbx->objects[model].name;
  }
}

FMI_FN bool fmi_fbx_find_shapes(fmi_fbx_head *head) {
  fmi_fbx *fbx = head->fbx;
  fmi_env *env = fbx->env;
  size_t count = 0;
  for (size_t i = 0; i < fbx->object_count; i++) count += fbx->objects[i].kind == FMI_FBX_GEOMETRY;
  head->shapes = (fmi_fbx_shape *)fmi_alloc(env, &env->temp, count, sizeof *head->shapes);
  head->nodes = (fmi_fbx_node *)fmi_alloc_zero(env, &env->temp, fbx->object_count, sizeof *head->nodes);
  head->chain = (uint32_t *)fmi_alloc(env, &env->temp, fbx->object_count, sizeof *head->chain);
  head->palettes = (uint32_t *)fmi_alloc(env, &env->temp, fbx->link_count, sizeof *head->palettes);
  if (!head->shapes || !head->nodes || !head->chain || !head->palettes) return false;
  for (size_t i = 0; i < fbx->object_count; i++) {
    if (fbx->objects[i].kind != FMI_FBX_GEOMETRY) continue;
    fbx->objects[i].slot = (uint32_t)head->shape_count;
    if (!fmi_fbx_read_shape(fbx, (uint32_t)i, &head->shapes[head->shape_count++], head->mesh)) return false;
  }
  if (!fmi_fbx_find_instances(head)) return false;
  fmi_fbx_name_shapes(head);
  return true;
}

/* Room for all vertices and corners; the arrays that grow with the polygons are made as they come. */
FMI_FN bool fmi_fbx_make_room(fmi_fbx_head *head) {
  fmi_env *env = head->fbx->env;
  fm_mesh *mesh = head->mesh;
  size_t vertices = 0, corners = 0, uvs = 0, most = fmi_min_size(env->limits.vertices, FM_NONE / 8);
  for (size_t s = 0; s < head->shape_count; s++) {
    const fmi_fbx_shape *shape = &head->shapes[s];
    vertices = fmi_add_size(vertices, fmi_mul_size(shape->vertices.count / 3, shape->instance_count));
    corners = fmi_add_size(corners, fmi_mul_size(shape->corners.count, shape->instance_count));
    uvs = fmi_add_size(uvs, shape->uvs.there ? shape->uvs.data.count / 2 : 0);
    if (vertices > most || corners > 8 * most || uvs > 8 * most || shape->vertices.count / 3 > most ||
        shape->corners.count > 8 * most)
      return fmi_fail(env, FM_ERROR_LIMIT, "has more than %zu vertices, or 8 times as many corners or UVs; make the mesh smaller, or raise fm_limits.vertices",
                      most);
  }
  mesh->positions = (float *)fmi_alloc(env, &env->keep, vertices, 3 * sizeof(float));
  mesh->corners = (uint32_t *)fmi_alloc(env, &env->keep, corners, sizeof *mesh->corners);
  mesh->polygon_starts =
      (uint32_t *)fmi_reserve(env, &env->keep, NULL, 1, &head->start_room, sizeof *mesh->polygon_starts);
  if (uvs > 0) mesh->corner_uvs = (uint32_t *)fmi_alloc(env, &env->keep, corners, sizeof *mesh->corner_uvs);
  mesh->parts = (fm_part *)fmi_alloc_zero(env, &env->keep, head->shape_count, sizeof *mesh->parts);
  if (!mesh->positions || !mesh->corners || !mesh->polygon_starts || (uvs > 0 && !mesh->corner_uvs) || !mesh->parts)
    return false;
  mesh->polygon_starts[0] = 0;
  return true;
}

/* Adds a material to the mesh. */
FMI_FN bool fmi_fbx_add_material(fmi_fbx_head *head, uint32_t index) {
  fmi_env *env = head->fbx->env;
  fmi_fbx_object *object = &head->fbx->objects[index];
  fm_mesh *mesh = head->mesh;
  size_t count = mesh->material_count;
  fm_material *materials =
      (fm_material *)fmi_reserve(env, &env->keep, mesh->materials, count + 1, &head->material_room, sizeof *materials);
  if (!materials) return false;
  mesh->materials = materials;
  uint32_t *origins =
      (uint32_t *)fmi_reserve(env, &env->temp, head->origins, count + 1, &head->origin_room, sizeof *origins);
  if (!origins) return false;
  head->origins = origins;
  origins[count] = index;
  materials[count].name = fmi_fbx_copy_name(env, object->name);
  materials[count].texture = materials[count].opacity = FM_NONE;
  mesh->material_count++;
  object->slot = (uint32_t)count;
  return materials[count].name != NULL;
}

/* An object's materials, in the order of their connections, become those of the mesh when they are first used. */
FMI_FN bool fmi_fbx_make_palette(fmi_fbx_head *head, uint32_t model) {
  fmi_fbx *fbx = head->fbx;
  fmi_fbx_node *node = &head->nodes[model];
  const fmi_fbx_object *object = &fbx->objects[model];
  for (size_t i = 0; i < object->link_count && !node->has_palette; i++) {
    uint32_t child = fbx->links[object->first_link + i].child;
    if (fbx->objects[child].kind != FMI_FBX_MATERIAL) continue;
    if (fbx->objects[child].slot == FM_NONE && !fmi_fbx_add_material(head, child)) return false;
    head->palettes[object->first_link + node->palette_count++] = fbx->objects[child].slot;
  }
  node->has_palette = true;
  return true;
}

/* Narrowed on purpose; beyond float's range: infinite, for the caller to find. */
FMI_FN float fmi_fbx_float(double x) {
  return x > FLT_MAX ? (float)INFINITY : x < -FLT_MAX ? -(float)INFINITY : (float)x;
}

FMI_INLINE void fmi_fbx_place_vertices(char type, const uint8_t *from, size_t count, const fmi_fbx_matrix *to_world, float *out) {
  size_t width = fmi_fbx_width(type);
  for (size_t v = 0; v < count; v++, out += 3, from += 3 * width) {
    double p[3], q[3];
    p[0] = fmi_fbx_real(type, from);
    p[1] = fmi_fbx_real(type, from + width);
    p[2] = fmi_fbx_real(type, from + 2 * width);
    fmi_fbx_apply(to_world, p, q);
    out[0] = fmi_fbx_float(q[0] + to_world->m[0][3]);
    out[1] = fmi_fbx_float(q[1] + to_world->m[1][3]);
    out[2] = fmi_fbx_float(q[2] + to_world->m[2][3]);
  }
}

/* What the corners use: vertices, or UVs (NULL: none), counted from `first`. Mirrored polygons are turned round, from their first
   corners, so that their outer sides stay outside. */
FMI_FN void fmi_fbx_place_corners(uint32_t *out, const uint32_t *used, uint32_t first, const fmi_fbx_body *body, bool mirrored) {
  for (size_t i = 0; i < body->corner_count; i++) out[i] = used ? first + used[i] : FM_NONE;
  for (size_t polygon = 0; mirrored && polygon < body->polygon_count; polygon++)
    for (size_t a = body->starts[polygon] + 1, b = body->starts[polygon + 1]; a + 1 < b; a++) {
      uint32_t swap = out[a];
      out[a] = out[--b];
      out[b] = swap;
    }
}

/* One instance: its vertices, polygons, UVs and materials go behind what the mesh has. */
FMI_FN bool fmi_fbx_add_instance(fmi_fbx_head *head, const fmi_fbx_shape *shape, const fmi_fbx_body *body, uint32_t model,
                                 size_t first_uv) {
  fmi_fbx *fbx = head->fbx;
  fmi_env *env = fbx->env;
  fm_mesh *mesh = head->mesh;
  fmi_fbx_matrix to_world = head->axes;
  const uint32_t *palette = head->palettes;
  size_t palette_count = 0;
  if (model != FM_NONE) {
    if (!fmi_fbx_place(fbx, &head->scene, head->nodes, head->chain, model) || !fmi_fbx_make_palette(head, model))
      return false;
    to_world = fmi_fbx_multiply(&head->axes, &head->nodes[model].world);
    to_world = fmi_fbx_multiply(&to_world, &head->nodes[model].geometric);
    palette += fbx->objects[model].first_link;
    palette_count = head->nodes[model].palette_count;
  }
  bool mirrored = fmi_fbx_determinant(&to_world) < 0.0, lost = false;
  size_t before = mesh->polygon_count, need = before + body->polygon_count + 1;
  uint32_t *starts =
      (uint32_t *)fmi_reserve(env, &env->keep, mesh->polygon_starts, need, &head->start_room, sizeof *starts);
  if (!starts) return false;
  mesh->polygon_starts = starts;
  uint32_t *materials =
      (uint32_t *)fmi_reserve(env, &env->keep, mesh->polygon_materials, need, &head->polygon_room, sizeof *materials);
  if (!materials) return false;
  mesh->polygon_materials = materials;

  float *positions = mesh->positions + 3 * mesh->vertex_count;
  if (shape->vertices.type == 'd') fmi_fbx_place_vertices('d', body->vertices, body->vertex_count, &to_world, positions);
  else fmi_fbx_place_vertices(shape->vertices.type, body->vertices, body->vertex_count, &to_world, positions);
  fmi_fbx_place_corners(mesh->corners + mesh->corner_count, body->corners, (uint32_t)mesh->vertex_count, body, mirrored);
  if (mesh->corner_uvs)
    fmi_fbx_place_corners(mesh->corner_uvs + mesh->corner_count, body->uvs, (uint32_t)first_uv, body, mirrored);
  for (size_t polygon = 0; polygon < body->polygon_count; polygon++) {
    uint32_t slot = body->slots[polygon];
    bool known = slot < palette_count;
    lost = lost || (!known && palette_count > 0);
    materials[before + polygon] = known ? palette[slot] : FM_NONE;
    starts[before + polygon] = (uint32_t)(mesh->corner_count + body->starts[polygon]);
  }
  if (lost) fmi_fbx_add_note(&fbx->notes[FMI_FBX_MATERIAL_NONE], shape->name);
  mesh->vertex_count += body->vertex_count;
  mesh->corner_count += body->corner_count;
  mesh->polygon_count += body->polygon_count;
  starts[mesh->polygon_count] = (uint32_t)mesh->corner_count;
  return true;
}

FMI_INLINE void fmi_fbx_take_floats(char type, const uint8_t *bytes, size_t count, float *out) {
  size_t width = fmi_fbx_width(type);
  for (size_t i = 0; i < count; i++) out[i] = fmi_fbx_float(fmi_fbx_real(type, bytes + i * width));
}

/* The UVs of a mesh go into the head once, whatever the number of its instances. */
FMI_FN bool fmi_fbx_add_uvs(fmi_fbx_head *head, const fmi_fbx_shape *shape) {
  fmi_env *env = head->fbx->env;
  fm_mesh *mesh = head->mesh;
  const fmi_fbx_value *array = &shape->uvs.data;
  size_t count = array->count / 2;
  uint8_t *unpacked;
  float *uvs =
      (float *)fmi_reserve(env, &env->keep, mesh->uvs, mesh->uv_count + count, &head->uv_room, 2 * sizeof(float));
  const uint8_t *bytes = uvs ? fmi_fbx_elements(head->fbx, array, &unpacked) : NULL;
  if (!bytes) return false;
  mesh->uvs = uvs;
  uvs += 2 * mesh->uv_count;
  if (array->type == 'd') fmi_fbx_take_floats('d', bytes, 2 * count, uvs);
  else fmi_fbx_take_floats(array->type, bytes, 2 * count, uvs);
  mesh->uv_count += count;
  fmi_release(env, unpacked);
  return true;
}

/* Sums of coordinates, without those that are not finite: they become 0 in the head, too. */
FMI_INLINE void fmi_fbx_add_positions(char type, const uint8_t *bytes, size_t vertex_count, double sum[3]) {
  size_t width = fmi_fbx_width(type);
  for (size_t v = 0; v < vertex_count; v++)
    for (size_t k = 0; k < 3; k++, bytes += width) {
      double x = fmi_fbx_real(type, bytes);
      if (fmi_is_finite(x)) sum[k] += x;
    }
}

/* What the part says of its mesh as stored. */
FMI_FN void fmi_fbx_describe(const fm_mesh *mesh, const fmi_fbx_shape *shape, const fmi_fbx_body *body, size_t first_uv,
                             fm_part *part) {
  part->stored_vertices = body->vertex_count;
  part->stored_polygons = body->polygon_count;
  part->stored_corners = body->corner_count;
  for (size_t polygon = 0; polygon < body->polygon_count; polygon++) {
    size_t n = body->starts[polygon + 1] - body->starts[polygon];
    part->stored_triangles += n > 2 ? n - 2 : 0;
  }
  if (shape->vertices.type == 'd') fmi_fbx_add_positions('d', body->vertices, body->vertex_count, part->stored_sum);
  else fmi_fbx_add_positions(shape->vertices.type, body->vertices, body->vertex_count, part->stored_sum);
  part->has_uvs = body->uvs != NULL;
  for (size_t i = 0; body->uvs && i < body->corner_count; i++)
    for (size_t k = 0; k < 2; k++) {
      double x = (double)mesh->uvs[2 * (first_uv + body->uvs[i]) + k];
      if (fmi_is_finite(x)) part->uv_sum[k] += x;
    }
}

FMI_FN bool fmi_fbx_add_shape(fmi_fbx_head *head, const fmi_fbx_shape *shape) {
  fmi_fbx *fbx = head->fbx;
  fmi_env *env = fbx->env;
  fm_mesh *mesh = head->mesh;
  fm_part *part = &mesh->parts[mesh->part_count++];
  fmi_fbx_body body;
  size_t first_uv = mesh->uv_count;
  part->name = fmi_fbx_copy_name(env, shape->name);
  part->instance_count = shape->instance_count;
  part->first_vertex = mesh->vertex_count;
  part->first_corner = mesh->corner_count;
  part->first_polygon = mesh->polygon_count;
  if (!part->name || !fmi_fbx_unpack(fbx, shape, &body)) return false;
  if (body.uvs && !fmi_fbx_add_uvs(head, shape)) return false;
  fmi_fbx_describe(mesh, shape, &body, first_uv, part);
  if (shape->instance_count == 0) fmi_fbx_add_note(&fbx->notes[FMI_FBX_UNUSED], shape->name);
  if (shape->subdivided) fmi_fbx_add_note(&fbx->notes[FMI_FBX_SUBDIVISION], shape->name);
  if (body.polygon_count == 0) fmi_fbx_add_note(&fbx->notes[FMI_FBX_BARE], shape->name);
  for (size_t i = 0; i < shape->instance_count; i++)
    if (!fmi_fbx_add_instance(head, shape, &body, head->models[shape->first_instance + i], first_uv)) return false;
  part->vertex_count = mesh->vertex_count - part->first_vertex;
  part->corner_count = mesh->corner_count - part->first_corner;
  part->polygon_count = mesh->polygon_count - part->first_polygon;
  fmi_fbx_release_body(env, &body);
  return true;
}

/* ---- textures ---- */

/* Adds what a texture's or video's record says to what is known. */
FMI_FN bool fmi_fbx_read_picture(fmi_fbx *fbx, const fmi_fbx_object *object, fmi_fbx_picture *picture) {
  fmi_fbx_level level = fmi_fbx_object_level(object);
  fmi_fbx_record record;
  while (fmi_fbx_next(fbx, &level, &record)) {
    fmi_fbx_values values = fmi_fbx_values_of(&record);
    fmi_fbx_value value;
    if (fmi_fbx_is(record.name, "RelativeFilename") && picture->relative.size == 0)
      picture->relative = fmi_fbx_next_text(fbx, &values);
    else if ((fmi_fbx_is(record.name, "FileName") || fmi_fbx_is(record.name, "Filename")) && picture->absolute.size == 0)
      picture->absolute = fmi_fbx_next_text(fbx, &values);
    else if (fmi_fbx_is(record.name, "Content") && object->kind == FMI_FBX_VIDEO && fmi_fbx_next_value(fbx, &values, &value) &&
             (value.type == 'R' || value.type == 'S') && value.size > 0) {
      picture->content = value.bytes;
      picture->content_size = value.size;
    }
  }
  return fbx->env->error->status == FM_OK;
}

/* FNV-1a of the file name by which a picture is known. */
FMI_FN uint64_t fmi_fbx_picture_hash(const fmi_fbx_picture *picture) {
  fmi_fbx_text name = picture->relative.size ? picture->relative : picture->absolute;
  uint64_t hash = 0xCBF29CE484222325ull;
  for (size_t i = 0; i < name.size; i++) hash = (hash ^ (uint8_t)name.data[i]) * 0x100000001B3ull;
  return hash;
}

FMI_FN bool fmi_fbx_has_picture(const fmi_fbx_object *object) {
  return object->kind == FMI_FBX_TEXTURE || object->kind == FMI_FBX_VIDEO;
}

/* Reads what textures and videos say. A picture that several videos name may lie in one of them only: makes a table of those too. */
FMI_FN bool fmi_fbx_read_pictures(fmi_fbx *fbx) {
  fmi_env *env = fbx->env;
  size_t count = 0;
  for (size_t i = 0; i < fbx->object_count; i++) count += fmi_fbx_has_picture(&fbx->objects[i]);
  fbx->pictures = (fmi_fbx_picture *)fmi_alloc_zero(env, &env->temp, count, sizeof *fbx->pictures);
  fbx->contents = (fmi_fbx_key *)fmi_alloc(env, &env->temp, count, sizeof *fbx->contents);
  if (!fbx->pictures || !fbx->contents) return false;
  count = 0;
  for (size_t i = 0; i < fbx->object_count; i++) {
    fmi_fbx_object *object = &fbx->objects[i];
    if (!fmi_fbx_has_picture(object)) continue;
    object->picture = count++;
    if (!fmi_fbx_read_picture(fbx, object, &fbx->pictures[object->picture])) return false;
    if (!fbx->pictures[object->picture].content) continue;
    fbx->contents[fbx->content_count].number = fmi_fbx_picture_hash(&fbx->pictures[object->picture]);
    fbx->contents[fbx->content_count++].index = object->picture;
  }
  return fmi_fbx_sort(env, fbx->contents, fbx->content_count);
}

/* All that is known of a texture's picture: from its own record, its video's, and where another video holds the bytes, that one's.
   Nodes that only change a texture (Max's colour correction, for one) may hang between. Of a procedural texture nothing is known. */
FMI_FN fmi_fbx_picture fmi_fbx_find_picture(const fmi_fbx *fbx, const fmi_fbx_object *texture) {
  fmi_fbx_picture picture;
  for (int hop = 0;; hop++) {
    const fmi_fbx_object *video = NULL, *source = NULL;
    for (size_t i = fmi_min_size(texture->link_count, 16); i-- > 0;) { /* backwards: the first of each kind stays */
      const fmi_fbx_object *child = &fbx->objects[fbx->links[texture->first_link + i].child];
      *(child->kind == FMI_FBX_VIDEO ? &video : &source) = child;
    }
    picture = fbx->pictures[texture->picture];
    if (video) {
      const fmi_fbx_picture *clip = &fbx->pictures[video->picture];
      if (picture.relative.size == 0) picture.relative = clip->relative;
      if (picture.absolute.size == 0) picture.absolute = clip->absolute;
      picture.content = clip->content;
      picture.content_size = clip->content_size;
    }
    if (picture.relative.size || picture.absolute.size || picture.content || !source || hop == 8) break;
    texture = source;
  }
  bool named = picture.relative.size || picture.absolute.size;
  const fmi_fbx_key *key = named ? fmi_fbx_find(fbx->contents, fbx->content_count, fmi_fbx_picture_hash(&picture)) : NULL;
  if (key && !picture.content) {
    picture.content = fbx->pictures[key->index].content;
    picture.content_size = fbx->pictures[key->index].content_size;
  }
  return picture;
}

/* Adds a texture to the mesh at its first use. */
FMI_FN bool fmi_fbx_add_picture(fmi_fbx_head *head, fmi_fbx_object *texture) {
  fmi_texture_source source;
  if (texture->used) return true;
  texture->used = true;
  fmi_fbx_picture picture = fmi_fbx_find_picture(head->fbx, texture);
  if (picture.relative.size == 0 && picture.absolute.size == 0 && !picture.content) {
    fmi_fbx_add_note(&head->fbx->notes[FMI_FBX_PROCEDURAL], texture->name);
    return true;
  }
  memset(&source, 0, sizeof source);
  source.path = picture.relative.data;
  source.path_size = picture.relative.size;
  source.other_path = picture.absolute.data;
  source.other_size = picture.absolute.size;
  source.content = picture.content;
  source.content_size = picture.content_size;
  texture->slot = fmi_add_texture(&head->assembly, &source);
  return texture->slot != FM_NONE;
}

/* What a material's property is called, from "3dsMax|Parameters|base_color_map" to its place in a list of names: 0 is best,
   FM_NONE: not in it. Case, '_' and all before the last '|' do not count. */
FMI_FN uint32_t fmi_fbx_property_rank(fmi_fbx_text property, const char *const *names, size_t count) {
  char name[32];
  size_t length = 0;
  for (size_t i = 0; i < property.size && length < sizeof name; i++) {
    char c = property.data[i];
    if (c == '|') length = 0;
    else if (c != '_') name[length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
  }
  for (size_t n = 0; n < count; n++)
    if (strlen(names[n]) == length && memcmp(names[n], name, length) == 0) return (uint32_t)n;
  return FM_NONE;
}

/* The texture of a material that hangs on the best of these properties; FM_NONE if there is none. */
FMI_FN uint32_t fmi_fbx_find_texture(fmi_fbx *fbx, const fmi_fbx_object *material, const char *const *names,
                                     size_t count) {
  uint32_t best = FM_NONE, found = FM_NONE;
  for (size_t i = 0; i < material->link_count; i++) {
    const fmi_fbx_link *link = &fbx->links[material->first_link + i];
    uint32_t rank = fmi_fbx_property_rank(link->property, names, count);
    if (rank >= best) continue;
    best = rank;
    found = link->child;
  }
  if (found == FM_NONE || fbx->objects[found].kind == FMI_FBX_TEXTURE) return found;
  const fmi_fbx_object *layered = &fbx->objects[found];
  if (layered->link_count > 1) fmi_fbx_add_note(&fbx->notes[FMI_FBX_LAYERS], material->name);
  return layered->link_count ? fbx->links[layered->first_link].child : FM_NONE;
}

FMI_FN bool fmi_fbx_add_textures(fmi_fbx_head *head) {
  static const char *const colour[] = {"diffusecolor", "basecolor", "basecolormap", "diffuse", "diffusemap", "diffusecolormap",
                                       "diffcolormap", "texcolormap", "albedo", "albedomap", "color", "colormap"};
  static const char *const opacity[] = {"transparentcolor", "transparencyfactor", "opacity", "opacitymap", "cutoutmap"};
  fmi_fbx *fbx = head->fbx;
  if (!fmi_fbx_read_pictures(fbx)) return false;
  for (size_t m = 0; m < head->mesh->material_count; m++) {
    const fmi_fbx_object *object = &fbx->objects[head->origins[m]];
    uint32_t picture[2];
    picture[0] = fmi_fbx_find_texture(fbx, object, colour, FMI_COUNT(colour));
    picture[1] = fmi_fbx_find_texture(fbx, object, opacity, FMI_COUNT(opacity));
    for (int k = 0; k < 2; k++) {
      if (picture[k] == FM_NONE) continue;
      if (!fmi_fbx_add_picture(head, &fbx->objects[picture[k]])) return false;
      *(k ? &head->mesh->materials[m].opacity : &head->mesh->materials[m].texture) = fbx->objects[picture[k]].slot;
    }
  }
  return true;
}

/* ---- the file ---- */

/* "Kaydara FBX Binary  \0\x1A\0", then the version. */
enum { FMI_FBX_HEADER = 27 };
FMI_FN bool fmi_fbx_read_header(fmi_fbx *fbx) {
  static const char magic[] = "Kaydara FBX Binary  \0\x1A";
  if (fbx->size < FMI_FBX_HEADER) return fmi_fbx_damaged(fbx, fbx->size, "the header is incomplete");
  for (size_t i = 0; i < sizeof magic - 1; i++)
    if (fbx->data[i] != (uint8_t)magic[i])
      return fmi_fbx_damaged(fbx, i, "the header is not that of an FBX file any more, as after copying it as text");
  if (fbx->data[22] == 1)
    return fmi_fail(fbx->env, FM_ERROR_UNSUPPORTED, "is FBX version %u in big-endian byte order, which is not read; export it as FBX "
                    "7.4 binary (\"FBX 2014\") or newer, or as OBJ", (unsigned)fmi_be32(fbx->data + 23));
  uint32_t version = fmi_le32(fbx->data + 23);
  if (version < 7000 || version > 7999)
    return fmi_fail(
        fbx->env, FM_ERROR_UNSUPPORTED,
        "is FBX version %u, but 7000 to 7700 are read: %s export it as FBX 7.4 binary (\"FBX 2014\") or newer", version,
        version < 1000 || version > 9999 ? "it may be damaged;"
        : version < 7000                 ? "it is too old;"
                                         : "it is too new;");
  fbx->version = (int)version;
  fbx->wide = version >= 7500;
  return true;
}

FMI_FN bool fmi_fbx_read_records(fmi_fbx *fbx, fmi_fbx_scene *scene, fm_mesh *mesh) {
  fmi_fbx_level top = fmi_fbx_inside(FMI_FBX_HEADER, fbx->size, 1), inner;
  fmi_fbx_record record, child;
  bool objects = false, connections = false;
  while (fmi_fbx_next(fbx, &top, &record)) {
    inner = fmi_fbx_children(&record);
    if (fmi_fbx_is(record.name, "GlobalSettings")) {
      if (!fmi_fbx_read_properties(fbx, inner, fmi_fbx_scene_names, FMI_FBX_SCENE_COUNT, scene->v)) return false;
    } else if (fmi_fbx_is(record.name, "Definitions")) {
      if (!fmi_fbx_read_definitions(fbx, &record, scene)) return false;
    } else if (fmi_fbx_is(record.name, "Objects")) {
      objects = true;
      while (fmi_fbx_next(fbx, &inner, &child))
        if (!fmi_fbx_add_object(fbx, &child, mesh)) return false;
    } else if (fmi_fbx_is(record.name, "Connections")) {
      connections = true;
      while (fmi_fbx_next(fbx, &inner, &child))
        if (fmi_fbx_is(child.name, "C") && !fmi_fbx_add_wire(fbx, &child)) return false;
    }
  }
  if (fbx->env->error->status != FM_OK) return false;
  if (!top.terminated && !(objects && connections))
    return fmi_fbx_damaged(fbx, fbx->size, "objects or connections are missing");
  return true;
}

/* Reads a head from FBX binary data, which stays the caller's and is not needed afterwards. */
FMI_FN bool fmi_read_fbx(fmi_env *env, const uint8_t *data, size_t size, const fm_load_desc *desc, fm_mesh *mesh) {
  fmi_fbx fbx;
  fmi_fbx_head head;
  memset(&fbx, 0, sizeof fbx);
  memset(&head, 0, sizeof head);
  fbx.env = env;
  fbx.data = data;
  fbx.size = size;
  head.fbx = &fbx;
  head.mesh = mesh;
  fmi_begin_mesh(&head.assembly, env, desc, mesh);
  fmi_fbx_default_scene(&head.scene);
  mesh->format = FM_FORMAT_FBX;
  if (!fmi_fbx_read_header(&fbx)) return false;
  mesh->version = fbx.version;
  if (!fmi_fbx_read_records(&fbx, &head.scene, mesh) || !fmi_fbx_index_objects(&fbx) || !fmi_fbx_connect(&fbx))
    return false;
  if (!fmi_fbx_scene_matrix(&fbx, &head.scene, &head.axes, &mesh->metres_per_unit)) return false;
  if (!fmi_fbx_find_shapes(&head) || !fmi_fbx_make_room(&head)) return false;
  for (size_t s = 0; s < head.shape_count; s++)
    if (!fmi_fbx_add_shape(&head, &head.shapes[s])) return false;
  if (mesh->uv_count == 0) mesh->corner_uvs = NULL; /* all UVs were of a kind that is not read */
  if (fbx.curve_count > 0) fmi_fbx_add_note(&fbx.notes[FMI_FBX_ANIMATION], fbx.animation.first);
  return fmi_fbx_add_textures(&head) && fmi_fbx_warn(&fbx) && fmi_finish_mesh(&head.assembly);
}

#endif /* FACEMORPH_NO_FBX */

/* ---- any mesh ----
   The one way in for heads: bytes from a path, a stream or memory, told apart by their content, become a mesh that owns all its
   memory. Trusts: nothing in the file. Test: tests/test_fbx.c, tests/test_obj.c */

/* Where a file's bytes come from: one of the three. */
typedef struct fmi_source {
  const char *path;
  const fm_stream *stream;
  const void *data;
  size_t size;
} fmi_source;

/* The name of a kind of 3D model that is not read, by what its files begin with or, for text, hold within so many bytes. */
FMI_FN const char *fmi_foreign_model(const uint8_t *data, size_t size) {
  static const struct { const char *bytes; size_t length; size_t within; const char *name; } kinds[] = {
    {"glTF", 4, 4, "a glTF binary (GLB)"},
    {"\"asset\"", 7, 4096, "a glTF"},
    {"ply\n", 4, 4, "a PLY"},
    {"ply\r", 4, 4, "a PLY"},
    {"solid ", 6, 6, "an STL"},
    {"BLENDER", 7, 7, "a Blender"},
    {"(\xB5/\xFD", 4, 4, "a compressed Blender"},
    {"<COLLADA", 8, 1024, "a Collada (DAE)"},
    {"PXR-USDC", 8, 8, "a USD"},
    {"#usda", 5, 5, "a USD"},
    {"#VRML", 5, 5, "a VRML"},
    {"MM", 2, 2, "a 3DS"},
    {"PK\3\4", 4, 4, "a ZIP, USDZ or 3MF"},
    {"Alembic", 7, 4096, "an Alembic"},
    {"Ogawa", 5, 5, "an Alembic"},
    {"//Maya ASCII", 12, 12, "a Maya"},
    {"FOR4", 4, 4, "a Maya"},
    {"FOR8", 4, 4, "a Maya"},
    {"\xD0\xCF\x11\xE0", 4, 4, "a 3ds Max"}};
  for (size_t k = 0; k < FMI_COUNT(kinds); k++)
    for (size_t i = 0; i + kinds[k].length <= fmi_min_size(size, kinds[k].within); i++)
      if (memcmp(data + i, kinds[k].bytes, kinds[k].length) == 0) return kinds[k].name;
  return NULL;
}

/* An ASCII FBX. Its version stands near its beginning, as in "FBXVersion: 7400". */
FMI_FN bool fmi_refuse_ascii_fbx(fmi_env *env, const uint8_t *data, size_t size, const char *advice) {
  static const char word[] = "FBXVersion:";
  size_t length = sizeof word - 1, end = fmi_min_size(size, 4096), at = 0;
  unsigned version = 0;
  while (at + length <= end && memcmp(data + at, word, length) != 0) at++;
  for (at += length; at < end && data[at] == ' '; at++) {}
  for (; at < end && data[at] >= '0' && data[at] <= '9' && version < 10000; at++)
    version = 10 * version + (unsigned)(data[at] - '0');
  if (version == 0) return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is an ASCII FBX, which is not read; %s", advice);
  return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is an ASCII FBX (version %u), which is not read; %s", version, advice);
}

/* Why a file is not read as a head. */
FMI_FN bool fmi_refuse_mesh(fmi_env *env, const uint8_t *data, size_t size, fm_format format) {
  static const char advice[] = "export it as FBX binary (7.4, \"FBX 2014\", or newer) or as OBJ";
  const fmi_signature *picture = fmi_find_signature(data, size);
  const char *foreign = picture ? NULL : fmi_foreign_model(data, size);
  if (size == 0) return fmi_fail(env, FM_ERROR_FORMAT, "is empty; copy or export it again");
  if (format == FM_FORMAT_FBX_ASCII) return fmi_refuse_ascii_fbx(env, data, size, advice);
  if (format == FM_FORMAT_FBX || format == FM_FORMAT_OBJ)
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is an %s, and this build was made without them (FACEMORPH_NO_%s); export it as the other of FBX and OBJ",
                    format == FM_FORMAT_OBJ ? "OBJ" : "FBX", format == FM_FORMAT_OBJ ? "OBJ" : "FBX");
  if (foreign) return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is %s file, which is not read; %s", foreign, advice);
  if (size >= 2 && ((data[0] == 0xFF && data[1] == 0xFE) || (data[0] == 0xFE && data[1] == 0xFF)))
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is UTF-16 text, which is not read; save it as UTF-8 or plain ASCII");
  if (picture || format != FM_FORMAT_UNKNOWN)
    return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is a %s picture and not a 3D model; give the head's FBX or OBJ file",
                    picture ? picture->name : format == FM_FORMAT_BMP ? "BMP" : "TGA");
  return fmi_fail(env, FM_ERROR_UNSUPPORTED, "is neither FBX nor OBJ, or its beginning is damaged; %s", advice);
}

/* Reads what lies in memory into env->keep. *own: as in fmi_read_obj. */
FMI_FN bool fmi_parse_mesh(fmi_env *env, const uint8_t *data, size_t size, uint8_t **own, const fm_load_desc *desc, fm_mesh *mesh) {
  fm_format format = fm_identify(data, size);
  (void)own; /* unused where readers are left out */
  (void)desc;
  (void)mesh;
  if (format == FM_FORMAT_OBJ && size > 0 && data[0] == '#' && fmi_foreign_model(data, fmi_min_size(size, 5)))
    format = FM_FORMAT_UNKNOWN; /* to others, what is a comment in OBJ is a signature */
  switch (format) {
#ifndef FACEMORPH_NO_FBX
    case FM_FORMAT_FBX: return fmi_read_fbx(env, data, size, desc, mesh);
#endif
#ifndef FACEMORPH_NO_OBJ
    case FM_FORMAT_OBJ: return fmi_read_obj(env, data, size, own, desc, mesh);
#endif
    default: return fmi_refuse_mesh(env, data, size, format);
  }
}

/* All the bytes of a source: the caller's own, or *read, which the caller releases. */
FMI_FN bool fmi_read_source(fmi_env *env, const fmi_source *source, uint8_t **read, const uint8_t **data, size_t *size) {
  *read = NULL;
  *data = (const uint8_t *)source->data;
  *size = source->size;
  if (source->path || source->stream) {
    if (source->stream && !source->stream->read)
      return fmi_fail(env, FM_ERROR_ARGUMENT, "the stream cannot be read: its read is NULL");
    bool ok = source->path ? fmi_read_file(env, &env->temp, source->path, true, NULL, read, size)
                           : fmi_read_all(env, &env->temp, source->stream, read, size);
    *data = *read;
    return ok;
  }
  return *data || *size == 0 || fmi_fail(env, FM_ERROR_ARGUMENT, "data is NULL, but size is not 0");
}

/* Reads a mesh into env->keep and makes it the owner of all that is there. NULL: recorded. */
FMI_FN fm_mesh *fmi_make_mesh(fmi_env *env, const fmi_source *source, const fm_load_desc *desc) {
  uint8_t *read;
  const uint8_t *data;
  size_t size;
  if (!fmi_read_source(env, source, &read, &data, &size)) return NULL;
  fm_mesh *mesh = fmi_new_mesh(env, desc);
  if (!mesh || !fmi_parse_mesh(env, data, size, &read, desc, mesh)) return NULL;
  fmi_release(env, read);
  mesh->warnings = env->warnings;
  mesh->warning_count = env->warning_count;
  mesh->owner = fmi_make_owner(env);
  return mesh->owner ? mesh : NULL;
}

/* Reads a mesh within a call that may have results of its own in env->keep: both stay apart, and the mesh outlives the call. NULL:
   recorded. */
FMI_FN fm_mesh *fmi_load_mesh(fmi_env *env, const fmi_source *source, const fm_load_desc *desc) {
  fm_load_desc named;
  fmi_pool kept;
  char **warnings = env->warnings;
  size_t warning_count = env->warning_count;
  const char *file = env->file;
  memset(&named, 0, sizeof named);
  if (desc) named = *desc;
  if (!named.name) named.name = source->path;
  fmi_move_pool(&kept, &env->keep);
  env->warnings = NULL;
  env->warning_count = 0;
  env->file = named.name;
  fm_mesh *mesh = fmi_make_mesh(env, source, &named);
  if (!mesh) fmi_free_pool(env, &env->allocator, &env->keep);
  fmi_move_pool(&env->keep, &kept);
  env->warnings = warnings;
  env->warning_count = warning_count;
  env->file = file;
  return mesh;
}

FMI_FN fm_mesh *fmi_load_source(const fmi_source *source, const fm_load_desc *desc, fm_error *error) {
  fmi_env env;
  fmi_begin(&env, desc ? desc->common : NULL, error, desc && desc->name ? desc->name : source->path);
  fm_mesh *mesh = env.error->status == FM_OK ? fmi_load_mesh(&env, source, desc) : NULL;
  fmi_end(&env);
  return mesh;
}

FM_API fm_mesh *fm_load_mesh(const char *path, const fm_load_desc *desc, fm_error *error) {
  fmi_source source;
  memset(&source, 0, sizeof source);
  source.path = path;
  if (path) return fmi_load_source(&source, desc, error);
  fm_set_error(error, FM_ERROR_ARGUMENT, "path is NULL; give the path of a file");
  return NULL;
}

FM_API fm_mesh *fm_load_mesh_memory(const void *data, size_t size, const fm_load_desc *desc, fm_error *error) {
  fmi_source source;
  memset(&source, 0, sizeof source);
  source.data = data;
  source.size = size;
  return fmi_load_source(&source, desc, error);
}

FM_API fm_mesh *fm_load_mesh_stream(const fm_stream *stream, const fm_load_desc *desc, fm_error *error) {
  fmi_source source;
  memset(&source, 0, sizeof source);
  source.stream = stream;
  if (stream) return fmi_load_source(&source, desc, error);
  fm_set_error(error, FM_ERROR_ARGUMENT, "stream is NULL; give a stream to read from");
  return NULL;
}

/* ============================================================ [FM:topology] =========================================
   Are two heads alike, polygon by polygon? And the small accessors that everything below reads meshes with.
   Trusts: prepared meshes. Test: tests/test_topology.c */

FMI_FN size_t fmi_polygon_start(const fm_mesh *mesh, size_t polygon) {
  return mesh->polygon_starts ? mesh->polygon_starts[polygon] : 3 * polygon;
}
FMI_FN uint32_t fmi_corner_uv(const fm_mesh *mesh, size_t corner) {
  return mesh->corner_uvs ? mesh->corner_uvs[corner] : mesh->uvs && corner < mesh->uv_count ? (uint32_t)corner : FM_NONE;
}
FMI_FN uint32_t fmi_polygon_material(const fm_mesh *mesh, size_t polygon) {
  uint32_t m = mesh->polygon_materials ? mesh->polygon_materials[polygon] : 0;
  return m < mesh->material_count ? m : FM_NONE;
}
/* Triangles as corner numbers; a mesh of triangles alone needs no table. */
FMI_FN size_t fmi_triangle_count(const fm_mesh *mesh) {
  return mesh->triangles ? mesh->triangle_count : mesh->polygon_starts ? 0 : mesh->polygon_count;
}
FMI_FN size_t fmi_triangle_corner(const fm_mesh *mesh, size_t triangle, int k) {
  return mesh->triangles ? mesh->triangles[3 * triangle + (size_t)k] : 3 * triangle + (size_t)k;
}
FMI_FN size_t fmi_triangle_polygon(const fm_mesh *mesh, size_t triangle) {
  return mesh->triangle_polygons ? mesh->triangle_polygons[triangle] : triangle;
}
/* Are all indices in range? What is loaded or prepared passes; a mesh of the caller's own may not. */
FMI_FN bool fmi_indices_ok(const fm_mesh *mesh) {
  size_t triangles = fmi_triangle_count(mesh);
  if (!mesh->polygon_starts && mesh->corner_count / 3 < mesh->polygon_count) return false;
  for (size_t c = 0; c < mesh->corner_count; c++) {
    uint32_t uv = fmi_corner_uv(mesh, c);
    if (mesh->corners[c] >= mesh->vertex_count || (uv != FM_NONE && (!mesh->uvs || uv >= mesh->uv_count))) return false;
  }
  for (size_t t = 0; t < triangles; t++) {
    for (int k = 0; k < 3; k++)
      if (fmi_triangle_corner(mesh, t, k) >= mesh->corner_count) return false;
    if (fmi_triangle_polygon(mesh, t) >= mesh->polygon_count) return false;
  }
  for (size_t i = 0; i < mesh->texture_count; i++)
    if (mesh->textures[i].image.width > 0 &&
        (mesh->textures[i].image.height < 1 || mesh->textures[i].image.channels < 1 ||
         mesh->textures[i].image.channels > 4))
      return false;
  return true;
}
FMI_FN bool fmi_is_prepared(const fm_mesh *mesh) {
  return mesh && (mesh->triangles || !mesh->polygon_starts || mesh->polygon_count == 0);
}

/* Vertex numbers of a polygon in words: "1, 2, 3, 4" or "1, 2, 3, 4, ... (17 corners)". */
FMI_FN void fmi_describe_polygon(char *out, size_t room, const fm_mesh *mesh, size_t polygon) {
  size_t start = fmi_polygon_start(mesh, polygon), count = fmi_polygon_start(mesh, polygon + 1) - start, used = 0;
  for (size_t i = 0; i < count && i < 6 && used < room; i++)
    used += fmi_format(out + used, room - used, "%s%u", i ? ", " : "", mesh->corners[start + i]);
  if (count > 6 && used < room) fmi_format(out + used, room - used, ", ... (%zu corners)", count);
  if (count == 0) fmi_format(out, room, "none");
}

/* The first polygon that differs, or the smaller polygon count if there is none before it. */
FMI_FN size_t fmi_first_difference(const fm_mesh *a, const fm_mesh *b) {
  size_t count = fmi_min_size(a->polygon_count, b->polygon_count);
  for (size_t p = 0; p < count; p++) {
    size_t sa = fmi_polygon_start(a, p), sb = fmi_polygon_start(b, p);
    size_t na = fmi_polygon_start(a, p + 1) - sa, nb = fmi_polygon_start(b, p + 1) - sb;
    if (na != nb || memcmp(a->corners + sa, b->corners + sb, na * sizeof *a->corners) != 0) return p;
  }
  return count;
}

FMI_FN bool fmi_same_uv(const fm_mesh *a, const fm_mesh *b, size_t corner) {
  const float tolerance = 1e-5f;
  uint32_t ua = fmi_corner_uv(a, corner), ub = fmi_corner_uv(b, corner);
  if (ua == FM_NONE || ub == FM_NONE) return ua == ub;
  float du = a->uvs[2 * (size_t)ua] - b->uvs[2 * (size_t)ub],
        dv = a->uvs[2 * (size_t)ua + 1] - b->uvs[2 * (size_t)ub + 1];
  return fabsf(du) <= tolerance && fabsf(dv) <= tolerance;
}

FM_API bool fm_check_topology(const fm_mesh *a, const fm_mesh *b, fm_topology_report *report) {
  fm_topology_report own, *r = report ? report : &own;
  memset(r, 0, sizeof *r);
  r->first_polygon = r->first_uv_corner = SIZE_MAX;
  if (!a || !b) {
    fmi_format(r->message, sizeof r->message, "there are not two meshes");
    return false;
  }
  size_t p = fmi_first_difference(a, b);
  bool all = p == a->polygon_count && p == b->polygon_count;
  if (all && a->vertex_count == b->vertex_count) r->same = true;
  else {
    size_t n = fmi_format(r->message, sizeof r->message, "A has %zu vertices and %zu polygons, B has %zu and %zu",
                          a->vertex_count, a->polygon_count, b->vertex_count, b->polygon_count);
    if (p < a->polygon_count && p < b->polygon_count) {
      char in_a[120], in_b[120];
      fmi_describe_polygon(in_a, sizeof in_a, a, p);
      fmi_describe_polygon(in_b, sizeof in_b, b, p);
      r->first_polygon = p;
      fmi_format(r->message + n, sizeof r->message - n,
                 "; the first polygon that differs is number %zu (counted from 0): vertices %s in A, %s in B", p, in_a,
                 in_b);
    } else if (!all)
      fmi_format(r->message + n, sizeof r->message - n, "; their first %zu polygons are equal", p);
    return false;
  }
  for (size_t c = 0; c < a->corner_count; c++)
    if (!fmi_same_uv(a, b, c)) {
      if (r->uv_corners++ == 0) r->first_uv_corner = c;
    }
  r->uvs_same = r->uv_corners == 0;
  if (!r->uvs_same)
    fmi_format(r->message, sizeof r->message, "UVs differ at %zu of %zu corners, first at corner %zu (vertex %u)",
               r->uv_corners, a->corner_count, r->first_uv_corner, a->corners[r->first_uv_corner]);
  return true;
}

/* ============================================================ [FM:morph] ============================================
   Weighted sums of heads, and vertex normals. Area-weighted normals of a linear morph are a quadratic form in the weights:
   the cross product of the edges sum_h w_h e1_h and sum_g w_g e2_g is sum_hg w_h w_g e1_h x e2_g, so that one vector a vertex and
   pair of heads, summed over the triangles once, gives the exact normals of every frame.
   Trusts: prepared meshes of one topology. Test: tests/test_morph.c */

FM_API bool fm_blend(float *positions, const fm_mesh *const *heads, const float *weights, const float *const *masks,
                     size_t head_count) {
  if (!positions || !heads || !weights || head_count == 0) return false;
  size_t count = heads[0]->vertex_count;
  for (size_t h = 1; h < head_count; h++)
    if (heads[h]->vertex_count != count) return false;
  uint64_t state = fmi_enter_float();
  bool first = true; /* the first head is stored, not added to 0: a single head of weight 1 stays as it is, -0 included */
  for (size_t h = 0; h < head_count; h++) {
    const float *from = heads[h]->positions, *mask = masks ? masks[h] : NULL, w = weights[h];
    if (w == 0.0f && !(first && h + 1 == head_count)) continue;
    for (size_t v = 0; v < count; v++) {
      float f = mask ? w * mask[v] : w;
      for (size_t k = 3 * v; k < 3 * v + 3; k++) positions[k] = first ? f * from[k] : positions[k] + f * from[k];
    }
    first = false;
  }
  fmi_leave_float(state);
  return true;
}

/* sum (3 per vertex) += over all triangles the cross product of the edges from their first corner: the first edge of p, the second
   of q. Which corner the edges start from makes no difference to p x p, nor to the sum of p x q and q x p. */
FMI_FN void fmi_add_cross_products(float *sum, const fm_mesh *mesh, const float *p, const float *q) {
  size_t count = fmi_triangle_count(mesh);
  for (size_t t = 0; t < count; t++) {
    size_t i[3];
    for (int k = 0; k < 3; k++) i[k] = 3 * (size_t)mesh->corners[fmi_triangle_corner(mesh, t, k)];
    const float *p0 = p + i[0], *p1 = p + i[1], *q0 = q + i[0], *q2 = q + i[2];
    float ax = p1[0] - p0[0], ay = p1[1] - p0[1], az = p1[2] - p0[2];
    float bx = q2[0] - q0[0], by = q2[1] - q0[1], bz = q2[2] - q0[2];
    float x = ay * bz - az * by, y = az * bx - ax * bz, z = ax * by - ay * bx;
    for (int k = 0; k < 3; k++) {
      float *s = sum + i[k];
      s[0] += x;
      s[1] += y;
      s[2] += z;
    }
  }
}

/* Makes each vector unit; zero stays zero. Tiny ones are scaled up first, so that their squares do not vanish. */
FMI_FN void fmi_make_unit(float *vectors, size_t count) {
  for (size_t v = 0; v < count; v++) {
    float *n = vectors + 3 * v, largest = fmaxf(fabsf(n[0]), fmaxf(fabsf(n[1]), fabsf(n[2])));
    if (!(largest > 0.0f)) { n[0] = n[1] = n[2] = 0.0f; continue; }
    if (largest < 1e-15f || largest > 1e15f)
      for (int k = 0; k < 3; k++) n[k] /= largest;
    float length = sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    for (int k = 0; k < 3; k++) n[k] /= length;
  }
}

FM_API bool fm_normals(float *normals, const fm_mesh *mesh, const float *positions) {
  if (!normals || !fmi_is_prepared(mesh)) return false;
  const float *p = positions ? positions : mesh->positions;
  uint64_t state = fmi_enter_float();
  memset(normals, 0, mesh->vertex_count * 3 * sizeof *normals);
  fmi_add_cross_products(normals, mesh, p, p);
  fmi_make_unit(normals, mesh->vertex_count);
  fmi_leave_float(state);
  return true;
}

/* The quadratic form's terms, in the order (0,0), (0,1), ..., (0,N-1), (1,1), (1,2), ...: N (N + 1) / 2 arrays of 3 floats per
   vertex. The mixed ones hold both orders of the product. */
FMI_FN size_t fmi_normal_term_count(size_t head_count) { return head_count * (head_count + 1) / 2; }
FMI_FN void fmi_normal_term(float *term, const fm_mesh *const *heads, size_t h, size_t g) {
  memset(term, 0, 3 * heads[0]->vertex_count * sizeof *term);
  fmi_add_cross_products(term, heads[0], heads[h]->positions, heads[g]->positions);
  if (g != h) fmi_add_cross_products(term, heads[0], heads[g]->positions, heads[h]->positions);
}

#ifndef FACEMORPH_NO_RENDER
/* ============================================================ [FM:rasterizer] =======================================
   From heads and weights to pixels, in these steps:
     pyramids    once a scene: textures of all heads that share UVs interleaved, mip levels, islands filled at their borders
     vertices    once a frame: blended positions, camera space, 1/256 pixel grid, unit normals from the quadratic form
     visibility  band by band: one 64-bit word a sample, (nearness, triangle), the larger word wins
     shading     each (pixel, triangle) that is visible once, at the mean of the triangle's samples in that pixel
   Every formula is in the design of the picture (FM_PICTURE_VERSION); all arithmetic on pixels is float32 in a fixed order.
   Trusts: prepared meshes of one topology. Test: tests/test_rasterizer.c, test_pyramid.c */

/* ---- camera ---- */

FMI_FN void fmi_grow_box(double box[2][3], const float *p) {
  for (int k = 0; k < 3; k++) {
    if (p[k] < box[0][k]) box[0][k] = p[k];
    if (p[k] > box[1][k]) box[1][k] = p[k];
  }
}

FM_API fm_camera fm_fit_camera(const fm_mesh *const *heads, size_t head_count, const fm_camera_desc *desc) {
  const double default_fov = 60.0, default_distance = 2.8;
  fm_camera_desc none;
  fm_camera camera;
  uint64_t state = fmi_enter_float();
  memset(&none, 0, sizeof none);
  memset(&camera, 0, sizeof camera);
  if (!desc) desc = &none;
  camera.scale = 1.0;
  camera.distance = default_distance;
  if (!desc->no_fit) {
    double box[2][3] = {{DBL_MAX, DBL_MAX, DBL_MAX}, {-DBL_MAX, -DBL_MAX, -DBL_MAX}};
    for (size_t h = 0; h < head_count; h++)
      for (size_t v = 0; v < heads[h]->vertex_count; v++) fmi_grow_box(box, heads[h]->positions + 3 * v);
    for (size_t s = 0; s < desc->shape_count; s++)
      for (size_t v = 0; v < heads[0]->vertex_count; v++) {
        float p[3] = {0.0f, 0.0f, 0.0f};
        for (size_t h = 0; h < head_count; h++)
          for (int k = 0; k < 3; k++)
            p[k] += desc->shape_weights[s * head_count + h] * heads[h]->positions[3 * v + (size_t)k];
        fmi_grow_box(box, p);
      }
    if (box[0][0] <= box[1][0]) {
      double half[3];
      for (int k = 0; k < 3; k++) {
        camera.center[k] = (box[0][k] + box[1][k]) / 2;
        half[k] = (box[1][k] - box[0][k]) / 2;
      }
      double extent = half[1] > half[0] ? half[1] : half[0];
      if (!(extent > 0.0)) extent = half[2]; /* a line along the view; a single point keeps scale 1 */
      if (extent > 0.0) camera.scale = 1.0 / extent;
      if (half[2] * camera.scale + 1.8 > default_distance) camera.distance = half[2] * camera.scale + 1.8;
    }
  }
  camera.half_extent = camera.distance * fmi_tan_degrees((desc->fov > 0.0 ? desc->fov : default_fov) / 2);
  if (desc->distance > 0.0) camera.distance = desc->distance;
  camera.yaw = desc->yaw;
  camera.pitch = desc->pitch;
  fmi_leave_float(state);
  return camera;
}

/* The camera as the vertex loop uses it. */
typedef struct fmi_view {
  float center[3], scale, rotation[3][3];
  float distance;     /* of the eye; 0 where orthographic */
  float zoom;         /* perspective: pixels = zoom * X / depth; orthographic: pixels = zoom * X */
  float middle[2];    /* of the picture, in pixels */
  bool orthographic;
} fmi_view;

FMI_FN fmi_view fmi_make_view(const fm_camera *camera, int width, int height) {
  fmi_view view;
  double sy = fmi_sin_degrees(camera->yaw), cy = fmi_cos_degrees(camera->yaw);
  double sp = fmi_sin_degrees(camera->pitch), cp = fmi_cos_degrees(camera->pitch);
  /* Rx(pitch) Ry(yaw) */
  double rotation[3][3] = {{cy, 0.0, sy}, {-sp * sy, cp, sp * cy}, {-cp * sy, -sp, cp * cy}};
  memset(&view, 0, sizeof view);
  for (int i = 0; i < 3; i++) {
    view.center[i] = (float)camera->center[i];
    for (int k = 0; k < 3; k++) view.rotation[i][k] = (float)rotation[i][k];
  }
  view.scale = (float)camera->scale;
  view.orthographic = !fmi_is_finite(camera->distance);
  view.distance = view.orthographic ? 0.0f : (float)camera->distance;
  view.zoom = (float)(height / 2.0 / camera->half_extent * (view.orthographic ? 1.0 : camera->distance));
  view.middle[0] = (float)width / 2;
  view.middle[1] = (float)height / 2;
  return view;
}

/* The picture that a frame asks for, without its pixels. */
FMI_FN fm_image fmi_frame_image(const fm_frame *frame) {
  fm_image image;
  memset(&image, 0, sizeof image);
  image.width = frame->width ? frame->width : 512;
  image.height = frame->height ? frame->height : 512;
  image.channels = frame->transparent ? 4 : 3;
  return image;
}

/* ---- texture pyramids ---- */

/* Level l of the textures of one or more heads, interleaved: texel (x, y) of head h is the 4 bytes RGBA at
   texels[((y * width + x) * heads + h) * 4]. Bit x % 64 of word x / 64 of a row says of a texel: */
typedef struct fmi_level {
  int width, height;
  uint8_t *texels;          /* NULL: level 0 that is not stored; fmi_read_texel0 reads it all the same */
  size_t words;             /* in a row of bits */
  uint64_t *covered;        /* the UV layout covers some of it */
  uint64_t *whole;          /* all of it; the same array on level 0, where a texel counts as a whole */
  uint8_t *cover;           /* and how much of it, 1 to 255: set only where some, but not all is covered */
} fmi_level;

/* What a head's material paints: colour (NULL: plain grey) and an opacity map (NULL: the colour's own alpha). */
typedef struct fmi_paint { const fm_image *colour, *opacity; } fmi_paint;

typedef struct fmi_pyramid {
  size_t heads;
  fmi_paint *paints;        /* heads of them */
  int level_count;
  fmi_level *level;
  uint8_t *texels;          /* all levels that are stored, one after the other */
  int32_t *table;           /* of each level its first texel, counted in 4 bytes */
  bool cutout;              /* some alpha is below 128 */
  bool opaque;              /* every alpha is 255 */
  double magnified;         /* pixels estimated to read level 0 in the frame that shows the heads largest */
  double marked;            /* texels visited while marking its coverage */
} fmi_pyramid;

/* n modulo m for any sign of n. */
FMI_FN int fmi_wrap(int n, int m) {
  int r = n % m;
  return r < 0 ? r + m : r;
}

/* Grey of what has no texture, encoded. */
enum { FMI_PLAIN_GREY = 179 };

FMI_FN const fm_image *fmi_paint_size(const fmi_paint *paint) { return paint->colour ? paint->colour : paint->opacity; }

/* Texel (x, y) of a paint as RGBA. An opacity map of another size is read at the nearest place. */
FMI_FN void fmi_paint_texel(uint8_t *to, const fmi_paint *paint, int x, int y) {
  const fm_image *image = fmi_paint_size(paint), *opacity = paint->opacity;
  to[0] = to[1] = to[2] = FMI_PLAIN_GREY;
  to[3] = 255;
  if (paint->colour) {
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels;
    bool colour = image->channels >= 3;
    to[0] = p[0];
    to[1] = p[colour ? 1 : 0];
    to[2] = p[colour ? 2 : 0];
    if (image->channels % 2 == 0) to[3] = p[image->channels - 1];
  }
  if (opacity) {
    size_t ox = (size_t)x * (size_t)opacity->width / (size_t)image->width,
           oy = (size_t)y * (size_t)opacity->height / (size_t)image->height;
    const uint8_t *p = opacity->pixels + (oy * (size_t)opacity->width + ox) * (size_t)opacity->channels;
    to[3] = p[opacity->channels % 2 == 0 ? opacity->channels - 1 : 0];
  }
}

/* `count` texels of a row of a paint, `stride` bytes apart. */
FMI_FN void fmi_paint_span(uint8_t *to, size_t stride, const fmi_paint *paint, int x, int y, int count) {
  int i = 0;
  if (paint->colour && !paint->opacity && paint->colour->channels == 3) {
    const uint8_t *p = paint->colour->pixels + ((size_t)y * (size_t)paint->colour->width + (size_t)x) * 3;
    for (; i + 1 < count; i++, p += 3, to += stride) { /* 4 bytes are read at once: not at the last one */
      memcpy(to, p, 4);
      to[3] = 255;
    }
  }
  for (; i < count; i++, to += stride) fmi_paint_texel(to, paint, x + i, y);
}

/* ---- coverage of level 0 ---- */

/* Sets bits first to last of a row. */
FMI_FN void fmi_set_bits(uint64_t *row, size_t first, size_t last) {
  size_t i = first / 64, end = last / 64;
  uint64_t low = ~(uint64_t)0 << first % 64, high = ~(uint64_t)0 >> (63 - last % 64);
  if (i == end) row[i] |= low & high;
  else {
    row[i++] |= low;
    while (i < end) row[i++] = ~(uint64_t)0;
    row[end] |= high;
  }
}

FMI_FN void fmi_cover_all(fmi_level *level) {
  for (size_t y = 0; y < (size_t)level->height; y++)
    fmi_set_bits(level->covered + y * level->words, 0, (size_t)level->width - 1);
}

/* A line through texel space. A square's centre is inside of it where a x + b y + c > 0, each operation rounded as it stands. */
typedef struct fmi_cover_edge {
  double a, b, c;
  bool left;                /* its inside lies to the left */
  double start, slope;      /* about start + slope * row centres of a row lie left of it, rounded down */
  double sure;              /* rounding decides nowhere as near to the middle between two centres */
} fmi_cover_edge;

FMI_FN bool fmi_is_inside(const fmi_cover_edge *edge, int x, int y) {
  return edge->a * (x + 0.5) + edge->b * (y + 0.5) + edge->c > 0.0;
}

/* How many of a row's `count` texels from x0 on have their centres left of the edge, asked where rounding may decide. They are in
   order: each rounded operation of the edge's formula is monotone in x. (Where it is no number, nothing is inside.) */
FMI_FN int fmi_cross_edge(const fmi_cover_edge *edge, int x0, int y, int count, int guess) {
  int n = fmi_clamp_int(guess, 0, count);
  while (n < count && fmi_is_inside(edge, x0 + n, y) == edge->left) n++;
  while (n > 0 && fmi_is_inside(edge, x0 + n - 1, y) != edge->left) n--;
  return n;
}

FMI_FN int fmi_floor_int(double x) {
  int i = (int)x;
  return i - (x < i);
}

/* Marks in level 0 every texel whose square a UV triangle touches (uv modulo 1): u, v are in texels, y down. */
FMI_FN void fmi_cover_triangle(fmi_pyramid *pyramid, const double x[3], const double y[3]) {
  const double most_layers = 16.0; /* layouts that overlap themselves more often are taken as covering all */
  fmi_level *level = &pyramid->level[0];
  double low_x = x[0], high_x = x[0], low_y = y[0], high_y = y[0];
  for (int k = 1; k < 3; k++) {
    low_x = x[k] < low_x ? x[k] : low_x;
    high_x = x[k] > high_x ? x[k] : high_x;
    low_y = y[k] < low_y ? y[k] : low_y;
    high_y = y[k] > high_y ? y[k] : high_y;
  }
  double texels = (double)level->width * level->height;
  if (pyramid->marked > most_layers * texels) return;
  pyramid->marked += (high_x - low_x + 1.0) * (high_y - low_y + 1.0);
  /* so does a triangle that wraps around more than twice, or lies where a float has no texels left */
  if (!(high_x - low_x < 2.0 * level->width && high_y - low_y < 2.0 * level->height && fabs(low_x) < 1e9 && fabs(low_y) < 1e9 &&
        high_x - low_x < 1e9 && high_y - low_y < 1e9 && pyramid->marked <= most_layers * texels)) {
    pyramid->marked = DBL_MAX;
    fmi_cover_all(level);
    return;
  }
  /* a square meets the triangle if its centre is inside every edge moved outward by the square's extent along its normal;
     one that only touches the border stays out: an island that ends between two texels does not need the outer one */
  double area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]), side = area < 0.0 ? -1.0 : 1.0;
  int x0 = fmi_floor_int(low_x), y0 = fmi_floor_int(low_y), y1 = -fmi_floor_int(-high_y) - 1;
  int count = -fmi_floor_int(-high_x) - x0, edges = 0;
  double reach_x = fabs(low_x) + fabs(high_x) + 1.0, reach_y = fabs(low_y) + fabs(high_y) + 1.0;
  fmi_cover_edge edge[3];
  for (int k = 0; k < 3; k++) {
    int n = (k + 1) % 3;
    fmi_cover_edge *e = &edge[edges];
    e->a = -(y[n] - y[k]) * side;
    e->b = (x[n] - x[k]) * side;
    e->c = -(e->a * x[k] + e->b * y[k]) + (fabs(e->a) + fabs(e->b)) * 0.5;
    if (e->a == 0.0) { /* a level edge leaves out whole rows */
      while (y0 <= y1 && !fmi_is_inside(e, x0, y0)) y0++;
      while (y0 <= y1 && !fmi_is_inside(e, x0, y1)) y1--;
    } else edges++;
  }
  for (int k = 0; k < edges; k++) {
    fmi_cover_edge *e = &edge[k];
    double inverse = 1.0 / e->a;
    e->slope = -e->b * inverse;
    e->left = e->a < 0.0;
    e->start = -(e->b * (y0 + 0.5) + e->c) * inverse - (x0 - 0.5);
    /* 2^-46 of the largest terms is far above the error of some 20 roundings of 2^-53 */
    e->sure = 0.5 - (fabs(e->a) * reach_x + fabs(e->b) * reach_y + fabs(e->c)) * fabs(inverse) * 1.4210854715202004e-14;
  }
  const double most = count + 1.5;
  int64_t width = level->width, shift = fmi_wrap(x0, level->width);
  int row = fmi_wrap(y0, level->height);
  for (int j = y0; j <= y1; j++, row = row + 1 < level->height ? row + 1 : 0) {
    int first = 0, end = count;
    for (int k = 0; k < edges; k++) {
      const fmi_cover_edge *e = &edge[k];
      double at = e->start + e->slope * (j - y0);
      at = at < most ? at : most;
      at = at > 0.5 ? at : 0.5;
      int n = (int)at; /* centres 0 to n - 1 lie left of the edge */
      if (!(fabs(at - n - 0.5) < e->sure)) n = fmi_cross_edge(e, x0, j, count, n);
      first = fmi_max_int(first, e->left ? 0 : n);
      end = fmi_min_int(end, e->left ? n : count);
    }
    if (first >= end) continue;
    uint64_t *bits = level->covered + (size_t)row * level->words;
    int64_t left = shift + first, right = shift + end - 1;
    if (right - left >= width - 1) fmi_set_bits(bits, 0, (size_t)width - 1);
    else {
      while (left >= width) {
        left -= width;
        right -= width;
      }
      fmi_set_bits(bits, (size_t)left, (size_t)(right < width ? right : width - 1));
      if (right >= width) fmi_set_bits(bits, 0, (size_t)(right - width));
    }
  }
}

/* ---- from level to level ---- */

/* How much of a texel the UV layout covers: 0 to 255. */
FMI_FN uint32_t fmi_cover_at(const fmi_level *level, int x, int y) {
  size_t word = (size_t)y * level->words + (size_t)x / 64;
  if (!(level->covered[word] >> x % 64 & 1)) return 0;
  if (level->whole[word] >> x % 64 & 1) return 255;
  return level->cover[(size_t)y * (size_t)level->width + (size_t)x];
}

FMI_FN uint8_t *fmi_stored_texels(const fmi_pyramid *pyramid, int l, int x, int y) {
  const fmi_level *level = &pyramid->level[l];
  return level->texels + ((size_t)y * (size_t)level->width + (size_t)x) * pyramid->heads * 4;
}

/* A covered texel of head h: stored above level 0, read from its paint on it. */
FMI_FN void fmi_covered_texel(uint8_t out[4], const fmi_pyramid *pyramid, int l, size_t h, int x, int y) {
  if (l > 0) memcpy(out, fmi_stored_texels(pyramid, l, x, y) + 4 * h, 4);
  else fmi_paint_texel(out, &pyramid->paints[h], x, y);
}

/* The texels of the finer level that one of the coarser covers along one axis, with integer weights that sum to `sum`: an odd size
   n = 2m + 1 halves to m, each new texel covering 2 + 1/m old ones exactly. */
typedef struct fmi_taps { int first, count; uint32_t weight[3], sum; } fmi_taps;
FMI_FN fmi_taps fmi_halving_taps(int n, int j) {
  fmi_taps t;
  int m = n / 2;
  memset(&t, 0, sizeof t);
  if (n == 1) { t.count = 1; t.weight[0] = t.sum = 1; return t; }
  t.first = 2 * j;
  t.count = n % 2 ? 3 : 2;
  t.weight[0] = n % 2 ? (uint32_t)(m - j) : 1;
  t.weight[1] = n % 2 ? (uint32_t)m : 1;
  t.weight[2] = n % 2 ? (uint32_t)(j + 1) : 0;
  t.sum = t.weight[0] + t.weight[1] + t.weight[2];
  return t;
}

/* One covered texel of level l from the level before it: colours weighted by area, coverage and (cut-outs) opacity: what nobody
   sees must not tint what is seen. Alpha itself is a plain mean. */
FMI_FN void fmi_reduce_texel(const fmi_pyramid *pyramid, int l, int x, int y) {
  const fmi_level *from = &pyramid->level[l - 1], *to = &pyramid->level[l];
  fmi_taps tx = fmi_halving_taps(from->width, x), ty = fmi_halving_taps(from->height, y);
  uint64_t cover = 0, area = (uint64_t)tx.sum * ty.sum, weight[9];
  int at_x[9], at_y[9], taps = 0;
  for (int j = 0; j < ty.count; j++)
    for (int i = 0; i < tx.count; i++) {
      at_x[taps] = tx.first + i;
      at_y[taps] = ty.first + j;
      weight[taps] = (uint64_t)ty.weight[j] * tx.weight[i] * fmi_cover_at(from, at_x[taps], at_y[taps]);
      cover += weight[taps];
      taps += weight[taps] > 0;
    }
  uint64_t mean = (2 * cover + area) / (2 * area);
  to->cover[(size_t)y * (size_t)to->width + (size_t)x] = (uint8_t)(mean ? mean : 1);
  for (size_t h = 0; h < pyramid->heads; h++) {
    uint64_t colour[3] = {0, 0, 0}, weights = 0;
    uint8_t texel[9][4], *out = fmi_stored_texels(pyramid, l, x, y) + 4 * h;
    for (int i = 0; i < taps; i++) {
      fmi_covered_texel(texel[i], pyramid, l - 1, h, at_x[i], at_y[i]);
      weights += weight[i] * texel[i][3];
    }
    out[3] = (uint8_t)((2 * weights + cover) / (2 * cover));
    bool clear = weights == 0; /* a wholly transparent texel takes the mean of its covered colours */
    for (int i = 0; i < taps; i++)
      for (int k = 0; k < 3; k++) colour[k] += weight[i] * (clear ? 1u : texel[i][3]) * texel[i][k];
    if (clear) weights = cover;
    for (int k = 0; k < 3; k++) out[k] = (uint8_t)((2 * colour[k] + weights) / (2 * weights));
  }
}

/* The same for `count` wholly covered texels of even sizes whose four sources have one alpha: (sum + 2) / 4. p and q are the two
   source rows, with `step` bytes a texel; 3 are opaque RGB. The texels made lie `stride` bytes apart. */
FMI_INLINE void fmi_halve_kernel(uint8_t *out, size_t stride, const uint8_t *p, const uint8_t *q, size_t step, int count) {
  int i = 0;
#if defined(FMI_SSE2)
  const __m128i zero = _mm_setzero_si128(), two = _mm_set1_epi16(2), alpha = _mm_set1_epi32(step == 3 ? (int)0xFF000000u : 0);
  for (; i + 2 < count; i += 2) { /* not at the last one: of RGB 8 bytes are read for two texels */
    __m128i sum[2];
    for (int k = 0; k < 2; k++, p += 2 * step, q += 2 * step) {
      __m128i a, b;
      if (step <= 4) {
        a = _mm_loadl_epi64((const __m128i *)(const void *)p);
        b = _mm_loadl_epi64((const __m128i *)(const void *)q);
      } else {
        int texel[4];
        memcpy(&texel[0], p, 4);
        memcpy(&texel[1], p + step, 4);
        memcpy(&texel[2], q, 4);
        memcpy(&texel[3], q + step, 4);
        a = _mm_unpacklo_epi32(_mm_cvtsi32_si128(texel[0]), _mm_cvtsi32_si128(texel[1]));
        b = _mm_unpacklo_epi32(_mm_cvtsi32_si128(texel[2]), _mm_cvtsi32_si128(texel[3]));
      }
      sum[k] = _mm_add_epi16(_mm_unpacklo_epi8(a, zero), _mm_unpacklo_epi8(b, zero));
      sum[k] = _mm_add_epi16(sum[k], step == 3 ? _mm_srli_si128(sum[k], 6) : _mm_srli_si128(sum[k], 8));
    }
    __m128i mean = _mm_srli_epi16(_mm_add_epi16(_mm_unpacklo_epi64(sum[0], sum[1]), two), 2);
    mean = _mm_or_si128(_mm_packus_epi16(mean, zero), alpha);
    int low = _mm_cvtsi128_si32(mean), high = _mm_cvtsi128_si32(_mm_srli_si128(mean, 4));
    memcpy(out, &low, 4);
    memcpy(out + stride, &high, 4);
    out += 2 * stride;
  }
#endif
  for (; i < count; i++, p += 2 * step, q += 2 * step, out += stride) {
    out[3] = 255;
    for (size_t c = 0; c < (step == 3 ? 3 : 4); c++) out[c] = (uint8_t)((p[c] + p[step + c] + q[c] + q[step + c] + 2) / 4);
  }
}

/* Which of the texels that fmi_halve_kernel makes have sources of more than one alpha: a bit each. */
FMI_FN uint64_t fmi_unlike_alphas(const uint8_t *p, const uint8_t *q, size_t step, int count) {
  uint64_t bits = 0;
  for (int i = 0; i < count; i++, p += 2 * step, q += 2 * step)
    bits |= (uint64_t)(p[3] != p[step + 3] || p[3] != q[3] || p[3] != q[step + 3]) << i;
  return bits;
}

enum { FMI_SPAN = 64 }; /* texels of one word of bits */

/* Texels x to x + count - 1 of row y on level l, as if each were wholly covered and had sources of one alpha. Returns those whose
   alphas differ: a bit each. */
FMI_FN uint64_t fmi_halve_span(const fmi_pyramid *pyramid, int l, int x, int y, int count) {
  const fmi_level *from = &pyramid->level[l - 1];
  uint64_t unlike = 0;
  for (size_t h = 0; h < pyramid->heads; h++) {
    const fmi_paint *paint = &pyramid->paints[h];
    uint8_t buffer[2][2 * FMI_SPAN * 4], *out = fmi_stored_texels(pyramid, l, x, y) + 4 * h;
    const uint8_t *p, *q;
    size_t step = 4, stride = 4 * pyramid->heads, channels = paint->colour ? (size_t)paint->colour->channels : 0;
    if (l > 1) {
      step = stride;
      p = fmi_stored_texels(pyramid, l - 1, 2 * x, 2 * y) + 4 * h;
      q = p + (size_t)from->width * step;
    } else if (!paint->opacity && channels >= 3) {
      step = channels;
      p = paint->colour->pixels + ((size_t)(2 * y) * (size_t)from->width + (size_t)(2 * x)) * step;
      q = p + (size_t)from->width * step;
    } else {
      for (int j = 0; j < 2; j++) fmi_paint_span(buffer[j], 4, paint, 2 * x, 2 * y + j, 2 * count);
      p = buffer[0];
      q = buffer[1];
    }
    if (step == 3) fmi_halve_kernel(out, stride, p, q, 3, count);
    else if (step == 4) fmi_halve_kernel(out, stride, p, q, 4, count);
    else if (step == 8) fmi_halve_kernel(out, 8, p, q, 8, count);
    else fmi_halve_kernel(out, stride, p, q, step, count);
    if (!pyramid->opaque && step > 3) unlike |= fmi_unlike_alphas(p, q, step, count);
  }
  return unlike;
}

/* The even bits of a word, side by side. */
FMI_FN uint64_t fmi_even_bits(uint64_t x) {
  x &= 0x5555555555555555u;
  x = (x | x >> 1) & 0x3333333333333333u;
  x = (x | x >> 2) & 0x0F0F0F0F0F0F0F0Fu;
  x = (x | x >> 4) & 0x00FF00FF00FF00FFu;
  x = (x | x >> 8) & 0x0000FFFF0000FFFFu;
  return (x | x >> 16) & 0xFFFFFFFFu;
}

/* The bits of 64 texels of a level from those of the one before it: which are covered, and which of them wholly. */
FMI_FN void fmi_halve_bits(const fmi_pyramid *pyramid, int l, int x, int y, uint64_t *covered, uint64_t *whole) {
  const fmi_level *from = &pyramid->level[l - 1], *to = &pyramid->level[l];
  *covered = *whole = 0;
  if (from->width % 2 == 0 && from->height % 2 == 0) {
    size_t row = (size_t)(2 * y) * from->words, below = row + from->words;
    for (size_t i = 0, word = 2 * (size_t)x / 64; i < 2 && word < from->words; i++, word++) {
      uint64_t some = from->covered[row + word] | from->covered[below + word],
               all = from->whole[row + word] & from->whole[below + word];
      *covered |= fmi_even_bits(some | some >> 1) << 32 * i;
      *whole |= fmi_even_bits(all & all >> 1) << 32 * i;
    }
    return;
  }
  fmi_taps ty = fmi_halving_taps(from->height, y);
  for (int b = 0; b < FMI_SPAN && x + b < to->width; b++) {
    fmi_taps tx = fmi_halving_taps(from->width, x + b);
    bool some = false, all = true;
    for (int j = 0; j < ty.count; j++)
      for (int i = 0; i < tx.count; i++) {
        uint32_t cover = fmi_cover_at(from, tx.first + i, ty.first + j);
        some = some || cover > 0;
        all = all && cover == 255;
      }
    *covered |= (uint64_t)some << b;
    *whole |= (uint64_t)all << b;
  }
}

/* ---- filling ---- */

/* The place of size n that lies under place i of a level of size m. */
FMI_FN size_t fmi_place_below(int i, int m, int n) {
  return m == 2 * n ? (size_t)i / 2 : (size_t)i * (size_t)n / (size_t)m;
}

/* Texels outside the UV layout with none of it beside, x + b of row y for each bit b of distant: the coarser level's, filled before. */
FMI_FN void fmi_far_texels(uint8_t *out, const fmi_pyramid *pyramid, int l, int x, int y, uint64_t distant) {
  const fmi_level *level = &pyramid->level[l], *coarser = level + 1;
  size_t stride = pyramid->heads * 4;
  bool top = l + 1 == pyramid->level_count; /* with nothing covered at all */
  const uint8_t *row = top ? NULL : fmi_stored_texels(pyramid, l + 1, 0, (int)fmi_place_below(y, level->height, coarser->height));
  for (; distant; distant >>= 1, x++, out += stride) {
    if (!(distant & 1)) continue;
    const uint8_t *in = top ? NULL : row + fmi_place_below(x, level->width, coarser->width) * stride;
    if (in && stride == 8) memcpy(out, in, 8); /* a pair: one move */
    else
      for (size_t h = 0; h < pyramid->heads; h++)
        if (in) memcpy(out + 4 * h, in + 4 * h, 4);
        else if (l == 0) fmi_paint_texel(out + 4 * h, &pyramid->paints[h], x, y);
        else memcpy(out + 4 * h, "\0\0\0\377", 4);
  }
}

/* Texels outside the UV layout: beside it the mean of their covered neighbours, which is all that a filter inside it can reach;
   farther out the coarser level. */
FMI_FN void fmi_fill_texels(uint8_t *out, const fmi_pyramid *pyramid, int l, int x, int y) {
  const fmi_level *level = &pyramid->level[l];
  int at_x[8], at_y[8], n = 0;
  int column[3] = {x > 0 ? x - 1 : level->width - 1, x, x + 1 < level->width ? x + 1 : 0};
  int row[3] = {y > 0 ? y - 1 : level->height - 1, y, y + 1 < level->height ? y + 1 : 0};
  for (int d = 0; d < 9; d++) {
    if (d == 4 || fmi_cover_at(level, column[d % 3], row[d / 3]) == 0) continue;
    at_x[n] = column[d % 3];
    at_y[n++] = row[d / 3];
  }
  if (n == 0) fmi_far_texels(out, pyramid, l, x, y, 1);
  else
    for (size_t h = 0; h < pyramid->heads; h++, out += 4) {
      int sum[4] = {0, 0, 0, 0};
      uint8_t texel[4];
      for (int i = 0; i < n; i++) {
        fmi_covered_texel(texel, pyramid, l, h, at_x[i], at_y[i]);
        for (int c = 0; c < 4; c++) sum[c] += texel[c];
      }
      for (int c = 0; c < 4; c++) out[c] = (uint8_t)((2 * sum[c] + n) / (2 * n));
    }
}

/* Texel (x, y) of every head on level 0, which need not be stored: from the paints, or filled on the spot. */
FMI_FN void fmi_read_texel0(const fmi_pyramid *pyramid, int x, int y, uint8_t *out) {
  const fmi_level *level = &pyramid->level[0];
  if (fmi_cover_at(level, x, y) == 0) fmi_fill_texels(out, pyramid, 0, x, y);
  else
    for (size_t h = 0; h < pyramid->heads; h++) fmi_paint_texel(out + 4 * h, &pyramid->paints[h], x, y);
}

/* ---- building ---- */

/* The first bit that is set. */
FMI_FN int fmi_lowest_bit(uint64_t bits) {
#if defined(__GNUC__) || defined(__clang__)
  return __builtin_ctzll(bits);
#else
  int n = 0;
  for (; !(bits & 1); bits >>= 1) n++;
  return n;
#endif
}

/* Covered texels of rows row0 to row1 - 1 of a level: of level 0 from the paints, above it from the level before. */
FMI_FN void fmi_make_rows(const fmi_pyramid *pyramid, int l, int row0, int row1) {
  const fmi_level *level = &pyramid->level[l];
  size_t stride = pyramid->heads * 4;
  for (int y = row0; y < row1; y++)
    for (int x = 0; x < level->width; x += FMI_SPAN) {
      size_t word = (size_t)y * level->words + (size_t)x / 64;
      int count = fmi_min_int(FMI_SPAN, level->width - x);
      if (l == 0) {
        uint8_t *out = fmi_stored_texels(pyramid, 0, x, y);
        for (size_t h = 0; h < pyramid->heads && level->covered[word]; h++)
          fmi_paint_span(out + 4 * h, stride, &pyramid->paints[h], x, y, count);
        continue;
      }
      const fmi_level *from = level - 1;
      uint64_t covered, whole, general;
      fmi_halve_bits(pyramid, l, x, y, &covered, &whole);
      level->covered[word] = covered;
      level->whole[word] = whole;
      if (from->width % 2 || from->height % 2) whole = 0; /* weights are unlike throughout */
      general = covered & ~whole;
      if (whole) general |= fmi_halve_span(pyramid, l, x, y, count) & whole;
      for (; general; general &= general - 1) fmi_reduce_texel(pyramid, l, x + fmi_lowest_bit(general), y);
    }
}

/* Fills what no UV triangle covers in rows row0 to row1 - 1 of a level. */
FMI_FN void fmi_fill_rows(const fmi_pyramid *pyramid, int l, int row0, int row1) {
  const fmi_level *level = &pyramid->level[l];
  size_t stride = pyramid->heads * 4, words = level->words, last = words - 1;
  int top = (level->width - 1) % 64; /* the last word's highest bit that is a texel */
  for (int y = row0; y < row1; y++) {
    const uint64_t *row = level->covered + (size_t)y * words;
    const uint64_t *above = level->covered + (size_t)fmi_wrap(y - 1, level->height) * words,
                   *below = level->covered + (size_t)fmi_wrap(y + 1, level->height) * words;
    for (size_t i = 0; i < words; i++) {
      uint64_t empty = ~row[i] & (i < last ? ~(uint64_t)0 : ~(uint64_t)0 >> (63 - top));
      if (!empty) continue;
      size_t before = i > 0 ? i - 1 : last, after = i < last ? i + 1 : 0;
      uint64_t here = above[i] | row[i] | below[i];
      uint64_t left = (above[before] | row[before] | below[before]) >> (i > 0 ? 63 : top) & 1;
      uint64_t right = (above[after] | row[after] | below[after]) & 1;
      uint64_t beside = empty & (here | here << 1 | here >> 1 | left | right << (i < last ? 63 : top));
      int x = (int)(64 * i);
      uint8_t *out = fmi_stored_texels(pyramid, l, x, y);
      fmi_far_texels(out, pyramid, l, x, y, empty & ~beside);
      for (; beside; beside &= beside - 1) {
        int b = fmi_lowest_bit(beside);
        fmi_fill_texels(out + (size_t)b * stride, pyramid, l, x + b, y);
      }
    }
  }
}

/* Rows of a level as a job. */
typedef void fmi_rows_fn(const fmi_pyramid *pyramid, int l, int row0, int row1);
typedef struct fmi_rows_job { fmi_rows_fn *fn; const fmi_pyramid *pyramid; int level, rows; } fmi_rows_job;

FMI_FN void fmi_do_rows(void *data, size_t i, int worker) {
  const fmi_rows_job *job = (const fmi_rows_job *)data;
  int row0 = (int)i * job->rows;
  (void)worker;
  job->fn(job->pyramid, job->level, row0, fmi_min_int(row0 + job->rows, job->pyramid->level[job->level].height));
}

/* All rows of a level: in jobs where that takes longer than to start threads. */
FMI_FN void fmi_run_rows(fmi_env *env, const fmi_pyramid *pyramid, int l, fmi_rows_fn *fn) {
  const fmi_level *level = &pyramid->level[l];
  const size_t worth = 1 << 17;
  fmi_rows_job job;
  job.fn = fn;
  job.pyramid = pyramid;
  job.level = l;
  job.rows = fmi_max_int(1, (int)(worth / 4 / (size_t)level->width));
  if ((size_t)level->width * (size_t)level->height < worth) fn(pyramid, l, 0, level->height);
  else fmi_run_jobs(env, fmi_do_rows, &job, (size_t)fmi_ceil_div(level->height, job.rows));
}

/* All levels from level 0's coverage, which is released unless level 0 must be read without being stored. */
FMI_FN bool fmi_build_levels(fmi_env *env, fmi_pool *pool, fmi_pyramid *pyramid, bool store_level0) {
  int first = store_level0 ? 0 : 1;
  size_t texels = 0, words = 0, covers = 0;
  for (int l = first; l < pyramid->level_count; l++) {
    const fmi_level *level = &pyramid->level[l];
    size_t count = fmi_mul_size((size_t)level->width, (size_t)level->height);
    texels = fmi_add_size(texels, count);
    if (l == 0) continue;
    words = fmi_add_size(words, 2 * level->words * (size_t)level->height);
    covers = fmi_add_size(covers, count);
  }
  uint8_t *texel = (uint8_t *)fmi_alloc(env, pool, fmi_add_size(texels, 2), pyramid->heads * 4); /* kernels read two at once */
  uint64_t *word = (uint64_t *)fmi_alloc(env, &env->temp, words, sizeof *word);
  uint8_t *cover = (uint8_t *)fmi_alloc(env, &env->temp, covers, 1);
  if (!texel || !word || !cover) return false;
  pyramid->texels = texel;
  uint64_t *bits = word;
  uint8_t *covers_of = cover;
  for (int l = first; l < pyramid->level_count; l++) {
    fmi_level *level = &pyramid->level[l];
    size_t count = (size_t)level->width * (size_t)level->height, of_bits = level->words * (size_t)level->height;
    level->texels = texel;
    pyramid->table[l] = (int32_t)((size_t)(texel - pyramid->texels) / 4);
    texel += count * pyramid->heads * 4;
    if (l == 0) continue;
    level->covered = bits;
    level->whole = bits + of_bits;
    bits += 2 * of_bits;
    level->cover = covers_of;
    covers_of += count;
  }
  for (int l = first; l < pyramid->level_count; l++) fmi_run_rows(env, pyramid, l, fmi_make_rows);
  for (int l = pyramid->level_count - 1; l >= first; l--) fmi_run_rows(env, pyramid, l, fmi_fill_rows);
  fmi_release(env, word);
  fmi_release(env, cover);
  if (store_level0) fmi_release(env, pyramid->level[0].covered);
  for (int l = first; l < pyramid->level_count; l++) {
    fmi_level *level = &pyramid->level[l];
    level->covered = level->whole = NULL;
    level->cover = NULL;
  }
  return true;
}

/* Kernels count texels in 32 bits. */
FMI_FN bool fmi_pyramid_fits(int width, int height, size_t heads) {
  const double most = 1 << 30, levels = 1.34; /* all together, as a share of level 0 */
  return (double)width * height * levels * (double)heads < most;
}

/* Sizes of all levels, what alpha there is, and level 0's coverage, still empty. */
FMI_FN bool fmi_begin_pyramid(fmi_env *env, fmi_pool *pool, fmi_pyramid *pyramid) {
  int width = fmi_paint_size(&pyramid->paints[0])->width, height = fmi_paint_size(&pyramid->paints[0])->height;
  pyramid->level_count = 1;
  while ((width | height) >> pyramid->level_count) pyramid->level_count++;
  pyramid->level = (fmi_level *)fmi_alloc_zero(env, pool, (size_t)pyramid->level_count, sizeof *pyramid->level);
  pyramid->table = (int32_t *)fmi_alloc_zero(env, pool, (size_t)pyramid->level_count, sizeof *pyramid->table);
  if (!pyramid->level || !pyramid->table) return false;
  if (!fmi_pyramid_fits(width, height, pyramid->heads))
    return fmi_fail(env, FM_ERROR_LIMIT, "a texture of %d x %d pixels is more than the rasterizer can count; make it smaller",
                    width, height);
  for (int l = 0; l < pyramid->level_count; l++) {
    fmi_level *level = &pyramid->level[l];
    level->width = fmi_max_int(1, width >> l);
    level->height = fmi_max_int(1, height >> l);
    level->words = ((size_t)level->width + 63) / 64;
  }
  fmi_level *level = &pyramid->level[0];
  size_t words = fmi_mul_size(level->words, (size_t)level->height);
  level->covered = level->whole = (uint64_t *)fmi_alloc_zero(env, pool, words, sizeof(uint64_t));
  if (!level->covered) return false;
  pyramid->opaque = true;
  for (size_t h = 0; h < pyramid->heads; h++) {
    const fmi_paint *paint = &pyramid->paints[h];
    if (!paint->opacity && paint->colour->channels % 2) continue; /* no alpha anywhere */
    for (int y = 0; y < level->height; y++)
      for (int x = 0; x < level->width; x++) {
        uint8_t texel[4];
        fmi_paint_texel(texel, paint, x, y);
        pyramid->cutout |= texel[3] < 128;
        pyramid->opaque &= texel[3] == 255;
      }
  }
  return true;
}

/* ---- the scene as the rasterizer holds it ---- */

/* Heads that one pyramid serves on one surface: same texture size, and UVs as those of head `uv_head`. */
typedef struct fmi_sampler {
  size_t pyramid;           /* index */
  size_t uv_head;
  size_t head_count;
  size_t *heads;            /* in the pyramid's order */
} fmi_sampler;

/* What a polygon is drawn with: the materials of all heads on it. */
typedef struct fmi_surface {
  uint32_t *materials;      /* a material of each head, or FM_NONE */
  size_t sampler_count;
  fmi_sampler *samplers;
  size_t *plain_heads;      /* heads without a texture here: grey */
  size_t plain_count;
  bool cutout;
} fmi_surface;

/* What kernels gather are records of 32-bit words; a float stands in them by its bits.
     triangle   three vertices, and the surface with FMI_CUTOUT where its alpha is tested
     texcoords  of one head: u and v of a triangle's three corners
     placed     a vertex of a frame: grid x (FMI_OFF_GRID: needs clipping), grid y, nearness, 1 / depth, unit normal, 0 */
enum { FMI_TRIANGLE_WORDS = 4, FMI_TEXCOORD_WORDS = 6, FMI_PLACED_WORDS = 8, FMI_MOST_LANES = 16 };
static const uint32_t fmi_cutout_bit = 0x80000000u;

/* (Pixel, triangle) pairs to be shaded together: the triangle, at the mean of its n samples that sum to (x, y) in grid units. What
   comes out is its colour, lit and held to 0..255, or for an alpha test its alpha. */
enum { FMI_BATCH = 1024 };
typedef struct fmi_batch {
  size_t count;
  uint32_t triangle[FMI_BATCH];
  int32_t x[FMI_BATCH], y[FMI_BATCH], n[FMI_BATCH];
  uint32_t place[FMI_BATCH];        /* the pixel's number; of an alpha test that of the word in the band */
  int64_t word[FMI_BATCH];          /* of an alpha test: what becomes visible if it passes */
  float colour[4][FMI_BATCH];
  int32_t rounded[FMI_BATCH];       /* RGB as bytes from the lowest on */
} fmi_batch;

/* Bins of a band's triangles: compact ones, others: vast, clipped, cut out. */
enum { FMI_BIN_COMPACT, FMI_BIN_OTHER, FMI_BINS };

/* The scratch of one frame in flight. */
typedef struct fmi_lane {
  fm_frame frame;
  fm_camera camera;
  float *shape_weights, *texture_weights;   /* the frame's, copied: head_count each */
  const float **terms;                      /* what is added up for the vertices at hand, and by which weights */
  float *term_weights;
  float *positions, *normals;               /* planes of x, y, z; positions become those in camera space */
  float *interleaved;                       /* 2 x 3 per vertex, where masks or many heads take the way through them */
  int32_t *placed;
  uint32_t *order;                          /* triangle_count: triangles by band */
  uint32_t *found, *keys;                   /* the same: as they are found, and their bins; then what goes on into further bands */
  uint32_t *bins;                           /* ends of the bins in `order`: FMI_BINS a band */
  uint16_t *band_of_row;                    /* FMI_MAX_PICTURE */
  int64_t *words;                           /* visibility of a band: FMI_BAND_WORDS */
  fmi_batch *batch;
  uint8_t *absent;                          /* 4 texels of all heads for each of FMI_MOST_LANES, where level 0 is not stored */
  bool busy;
} fmi_lane;

/* The largest side of a picture: two rows of 4 samples fit a band. */
enum { FMI_MAX_PICTURE = 16384 };
enum { FMI_SUBPIXELS = 256, FMI_OFF_GRID = INT32_MIN, FMI_BAND_WORDS = 2 * (4 * FMI_MAX_PICTURE + FMI_MOST_LANES),
       FMI_MOST_BANDS = FMI_MAX_PICTURE / 2 };

typedef struct fmi_raster_kernels fmi_raster_kernels;

typedef struct fmi_software {
  fm_common common;
  fmi_pool pool;            /* of the scene: between begin and end */
  fm_allocator allocator;
  const fmi_raster_kernels *kernels;
  const fm_mesh **heads;
  size_t head_count, triangle_count;
  size_t plane;             /* floats in a plane of vertices: their number, rounded up to whole lanes */
  float **shapes;           /* per head: planes of x, y, z */
  float **normal_terms;     /* planes of the normals' terms; NULL: normals are computed from the blended positions */
  int32_t *triangles;       /* FMI_TRIANGLE_WORDS each */
  int32_t **texcoords;      /* per head: FMI_TEXCOORD_WORDS per triangle; NULL where no sampler reads that head's */
  size_t surface_count, surface_room;
  fmi_surface *surfaces;
  size_t *uv_class;         /* per head: the first head whose UVs it shares */
  size_t pyramid_count, pyramid_room;
  fmi_pyramid *pyramids;
  bool textured, ignore_alpha;
  fm_camera fitted;
  int lane_count;
  fmi_lane *lanes;
  void *owner;
} fmi_software;

/* A float by its bits in a record, and back. */
FMI_FN int32_t fmi_float_word(float x) {
  return (int32_t)fmi_float_bits(x);
}
FMI_FN float fmi_word_float(int32_t word) {
  return fmi_bits_float((uint32_t)word);
}

FMI_FN uint32_t fmi_triangle_surface(const fmi_software *s, uint32_t triangle) {
  return (uint32_t)s->triangles[(size_t)triangle * FMI_TRIANGLE_WORDS + 3];
}

/* An image of a mesh's texture table, or NULL. */
FMI_FN const fm_image *fmi_texture_image(const fm_mesh *mesh, uint32_t texture) {
  if (texture >= mesh->texture_count) return NULL;
  const fm_image *image = &mesh->textures[texture].image;
  return image->width > 0 && image->pixels ? image : NULL;
}
FMI_FN bool fmi_has_texture(const fm_mesh *mesh) {
  for (size_t m = 0; m < mesh->material_count; m++)
    if (fmi_texture_image(mesh, mesh->materials[m].texture)) return mesh->uvs != NULL;
  return false;
}
FMI_FN bool fmi_all_uvs_agree(const fm_mesh *a, const fm_mesh *b) {
  if (a->uvs == b->uvs && a->corner_uvs == b->corner_uvs) return true;
  for (size_t c = 0; c < a->corner_count; c++)
    if (!fmi_same_uv(a, b, c)) return false;
  return true;
}

/* What a head paints a surface with; nothing where it has no UVs. Without colours on every head shape alone is shown. */
FMI_FN fmi_paint fmi_head_paint(const fmi_software *s, size_t h, uint32_t material) {
  const fm_mesh *mesh = s->heads[h];
  fmi_paint paint = {NULL, NULL};
  if (material == FM_NONE || !mesh->uvs) return paint;
  if (s->textured) paint.colour = fmi_texture_image(mesh, mesh->materials[material].texture);
  bool own_alpha = mesh->materials[material].opacity == mesh->materials[material].texture;
  if (!s->ignore_alpha && !own_alpha) paint.opacity = fmi_texture_image(mesh, mesh->materials[material].opacity);
  return paint;
}

/* Finds items by a hash: open addressing, at most half full. */
typedef struct fmi_slot { uint32_t hash, item; } fmi_slot; /* item: its number + 1; 0: free */
typedef struct fmi_table { fmi_slot *slots; size_t size, count; } fmi_table;

FMI_FN uint32_t fmi_hash_word(uint32_t hash, uint32_t word) { return (hash ^ word) * 16777619u; } /* FNV-1a over 32-bit words */

FMI_FN void fmi_put_slot(fmi_table *table, fmi_slot slot) {
  size_t i = (slot.hash ^ slot.hash >> 15) & (table->size - 1);
  while (table->slots[i].item) i = (i + 1) & (table->size - 1);
  table->slots[i] = slot;
}
FMI_FN bool fmi_add_to_table(fmi_env *env, fmi_table *table, uint32_t hash, size_t item) {
  if (2 * table->count >= table->size) {
    fmi_table grown;
    grown.size = table->size ? 2 * table->size : 64;
    grown.count = table->count;
    grown.slots = (fmi_slot *)fmi_alloc_zero(env, &env->temp, grown.size, sizeof *grown.slots);
    if (!grown.slots) return false;
    for (size_t i = 0; i < table->size; i++)
      if (table->slots[i].item) fmi_put_slot(&grown, table->slots[i]);
    fmi_release(env, table->slots);
    *table = grown;
  }
  fmi_slot slot;
  slot.hash = hash;
  slot.item = (uint32_t)item + 1;
  fmi_put_slot(table, slot);
  table->count++;
  return true;
}

/* The next item with this hash, or SIZE_MAX. *at: 0 for the first. */
FMI_FN size_t fmi_next_in_table(const fmi_table *table, uint32_t hash, size_t *at) {
  while (table->size) {
    const fmi_slot *slot = &table->slots[((hash ^ hash >> 15) + (*at)++) & (table->size - 1)];
    if (!slot->item) break;
    if (slot->hash == hash) return slot->item - 1;
  }
  return SIZE_MAX;
}

/* What scenes are searched by while they are prepared. */
typedef struct fmi_tables { fmi_table surfaces, pyramids; } fmi_tables;

/* The pyramid of these paints, made if there is none yet. SIZE_MAX: recorded. */
FMI_FN size_t fmi_find_pyramid(fmi_env *env, fmi_software *s, fmi_tables *tables, fmi_paint *paints, size_t count) {
  uint32_t hash = 2166136261u;
  for (size_t h = 0; h < count; h++) {
    const void *image[2] = {paints[h].colour, paints[h].opacity};
    for (int k = 0; k < 2; k++) {
      uint64_t address = (uint64_t)(uintptr_t)image[k];
      hash = fmi_hash_word(fmi_hash_word(hash, (uint32_t)address), (uint32_t)(address >> 32));
    }
  }
  size_t at = 0, found;
  while ((found = fmi_next_in_table(&tables->pyramids, hash, &at)) != SIZE_MAX) {
    size_t h = 0;
    while (h < count && s->pyramids[found].heads == count && s->pyramids[found].paints[h].colour == paints[h].colour &&
           s->pyramids[found].paints[h].opacity == paints[h].opacity)
      h++;
    if (h == count) return found;
  }
  fmi_pyramid *grown =
      (fmi_pyramid *)fmi_reserve(env, &env->keep, s->pyramids, s->pyramid_count + 1, &s->pyramid_room, sizeof *grown);
  if (!grown) return SIZE_MAX;
  s->pyramids = grown;
  fmi_pyramid *pyramid = &grown[s->pyramid_count];
  memset(pyramid, 0, sizeof *pyramid);
  pyramid->heads = count;
  pyramid->paints = paints;
  if (!fmi_begin_pyramid(env, &env->keep, pyramid) || !fmi_add_to_table(env, &tables->pyramids, hash, s->pyramid_count))
    return SIZE_MAX;
  return s->pyramid_count++;
}

/* Groups the heads of a surface: those with equal UVs and texture sizes share a pyramid. */
FMI_FN bool fmi_make_surface(fmi_env *env, fmi_software *s, fmi_tables *tables, fmi_surface *surface) {
  size_t n = s->head_count;
  surface->samplers = (fmi_sampler *)fmi_alloc_zero(env, &env->keep, n, sizeof *surface->samplers);
  surface->plain_heads = (size_t *)fmi_alloc(env, &env->keep, n, sizeof *surface->plain_heads);
  if (!surface->samplers || !surface->plain_heads) return false;
  for (size_t h = 0; h < n; h++) {
    fmi_paint paint = fmi_head_paint(s, h, surface->materials[h]);
    const fm_image *image = fmi_paint_size(&paint);
    fmi_sampler *sampler = NULL;
    if (!image) { surface->plain_heads[surface->plain_count++] = h; continue; }
    for (size_t i = 0; i < surface->sampler_count && !sampler; i++) {
      size_t other = surface->samplers[i].uv_head;
      fmi_paint other_paint = fmi_head_paint(s, other, surface->materials[other]);
      const fm_image *theirs = fmi_paint_size(&other_paint);
      if (theirs->width == image->width && theirs->height == image->height && s->uv_class[other] == s->uv_class[h] &&
          fmi_pyramid_fits(image->width, image->height, surface->samplers[i].head_count + 1))
        sampler = &surface->samplers[i];
    }
    if (!sampler) {
      sampler = &surface->samplers[surface->sampler_count++];
      sampler->uv_head = h;
      sampler->heads = (size_t *)fmi_alloc(env, &env->keep, n, sizeof *sampler->heads);
      if (!sampler->heads) return false;
    }
    sampler->heads[sampler->head_count++] = h;
  }
  for (size_t i = 0; i < surface->sampler_count; i++) {
    fmi_sampler *sampler = &surface->samplers[i];
    fmi_paint *paints = (fmi_paint *)fmi_alloc(env, &env->keep, sampler->head_count, sizeof *paints);
    if (!paints) return false;
    for (size_t k = 0; k < sampler->head_count; k++)
      paints[k] = fmi_head_paint(s, sampler->heads[k], surface->materials[sampler->heads[k]]);
    sampler->pyramid = fmi_find_pyramid(env, s, tables, paints, sampler->head_count);
    if (sampler->pyramid == SIZE_MAX) return false;
    surface->cutout |= !s->ignore_alpha && s->pyramids[sampler->pyramid].cutout;
  }
  return true;
}

FMI_FN bool fmi_is_surface_of(const fmi_software *s, const fmi_surface *surface, size_t polygon) {
  for (size_t h = 0; h < s->head_count; h++)
    if (surface->materials[h] != fmi_polygon_material(s->heads[h], polygon)) return false;
  return true;
}

/* The surface of a polygon, made if it is the first of its kind. FM_NONE: recorded. */
FMI_FN uint32_t fmi_find_surface(fmi_env *env, fmi_software *s, fmi_tables *tables, size_t polygon) {
  uint32_t hash = 2166136261u;
  size_t at = 0, found;
  for (size_t h = 0; h < s->head_count; h++) hash = fmi_hash_word(hash, fmi_polygon_material(s->heads[h], polygon));
  while ((found = fmi_next_in_table(&tables->surfaces, hash, &at)) != SIZE_MAX)
    if (fmi_is_surface_of(s, &s->surfaces[found], polygon)) return (uint32_t)found;
  fmi_surface *grown =
      (fmi_surface *)fmi_reserve(env, &env->keep, s->surfaces, s->surface_count + 1, &s->surface_room, sizeof *grown);
  if (!grown) return FM_NONE;
  s->surfaces = grown;
  fmi_surface *surface = &grown[s->surface_count];
  memset(surface, 0, sizeof *surface);
  surface->materials = (uint32_t *)fmi_alloc(env, &env->keep, s->head_count, sizeof *surface->materials);
  if (!surface->materials) return FM_NONE;
  for (size_t h = 0; h < s->head_count; h++) surface->materials[h] = fmi_polygon_material(s->heads[h], polygon);
  if (!fmi_make_surface(env, s, tables, surface) || !fmi_add_to_table(env, &tables->surfaces, hash, s->surface_count))
    return FM_NONE;
  return (uint32_t)s->surface_count++;
}

/* The UVs of all corners of a head, as records; a corner without one takes (0, 0). */
FMI_FN bool fmi_make_texcoords(fmi_env *env, fmi_software *s, size_t head) {
  const fm_mesh *mesh = s->heads[head];
  size_t over_read = 8 - FMI_TEXCOORD_WORDS; /* a kernel loads 8 words of each */
  int32_t *to = (int32_t *)fmi_alloc(env, &env->keep, s->triangle_count * FMI_TEXCOORD_WORDS + over_read, sizeof *to);
  if (!to) return false;
  s->texcoords[head] = to;
  for (size_t t = 0; t < s->triangle_count; t++)
    for (int k = 0; k < 3; k++, to += 2) {
      uint32_t i = fmi_corner_uv(mesh, fmi_triangle_corner(mesh, t, k));
      to[0] = i == FM_NONE ? 0 : fmi_float_word(mesh->uvs[2 * (size_t)i]);
      to[1] = i == FM_NONE ? 0 : fmi_float_word(mesh->uvs[2 * (size_t)i + 1]);
    }
  memset(to, 0, over_read * sizeof *to);
  return true;
}

/* The frame that shows the heads largest, or NULL. */
FMI_FN const fm_frame *fmi_largest_frame(const fmi_software *s, const fm_scene *scene) {
  const fm_frame *largest = NULL;
  double most = 0.0;
  for (size_t f = 0; scene->frames && f < scene->frame_count; f++) {
    const fm_camera *camera = scene->frames[f].camera ? scene->frames[f].camera : &s->fitted;
    double size = fmi_frame_image(&scene->frames[f]).height * camera->scale / camera->half_extent;
    if (size > most) {
      most = size;
      largest = &scene->frames[f];
    }
  }
  return largest;
}

/* Estimates how many pixels of a frame read level 0 of each pyramid: those of less than 2 texels. From some 4096 triangles of the
   first head, as if none of those that face the camera hid another. */
FMI_FN void fmi_estimate_magnified(fmi_software *s, const fm_frame *frame) {
  const fm_mesh *mesh = s->heads[0];
  fm_image picture = fmi_frame_image(frame);
  fmi_view view = fmi_make_view(frame->camera ? frame->camera : &s->fitted, picture.width, picture.height);
  size_t step = s->triangle_count / 4096 + 1;
  for (size_t t = 0; t < s->triangle_count; t += step) {
    const fmi_surface *surface = &s->surfaces[fmi_triangle_surface(s, (uint32_t)t) & ~fmi_cutout_bit];
    double at[3][2];
    bool before = true; /* the eye */
    for (size_t k = 0; k < 3; k++) {
      const float *p = mesh->positions + 3 * (size_t)s->triangles[t * FMI_TRIANGLE_WORDS + k];
      double q[3];
      for (int i = 0; i < 3; i++) {
        q[i] = 0.0;
        for (int j = 0; j < 3; j++) q[i] += (double)view.rotation[i][j] * (((double)p[j] - view.center[j]) * view.scale);
      }
      double inverse = view.orthographic ? 1.0 : 1.0 / (view.distance - q[2]);
      for (int i = 0; i < 2; i++) at[k][i] = view.zoom * q[i] * inverse;
      before = before && inverse > 0.0;
    }
    double ax = at[1][0] - at[0][0], ay = at[1][1] - at[0][1], bx = at[2][0] - at[0][0], by = at[2][1] - at[0][1];
    double area = ax * by - ay * bx, pixels = area / 2 * (double)step;
    if (!before || !(area > 0.0)) continue;
    for (int i = 0; i < 2; i++) { /* the share of its box that is in the picture */
      double low = at[0][i], high = at[0][i], edge = view.middle[i];
      for (int k = 1; k < 3; k++) {
        low = at[k][i] < low ? at[k][i] : low;
        high = at[k][i] > high ? at[k][i] : high;
      }
      double inside = (high < edge ? high : edge) - (low > -edge ? low : -edge);
      pixels *= inside > 0.0 ? inside / (high - low) : 0.0;
    }
    for (size_t i = 0; i < surface->sampler_count; i++) {
      fmi_pyramid *pyramid = &s->pyramids[surface->samplers[i].pyramid];
      double size[2] = {(double)pyramid->level[0].width, (double)pyramid->level[0].height}, dx = 0.0, dy = 0.0;
      const int32_t *texcoord = s->texcoords[surface->samplers[i].uv_head] + t * FMI_TEXCOORD_WORDS;
      for (int c = 0; c < 2; c++) {
        double uv0 = fmi_word_float(texcoord[c]), d1 = (fmi_word_float(texcoord[2 + c]) - uv0) * size[c] / area,
               d2 = (fmi_word_float(texcoord[4 + c]) - uv0) * size[c] / area;
        dx += (d1 * by - d2 * ay) * (d1 * by - d2 * ay);
        dy += (d2 * ax - d1 * bx) * (d2 * ax - d1 * bx);
      }
      if (dx < 4.0 && dy < 4.0) pyramid->magnified += pixels;
    }
  }
}

/* Is level 0 stored? A pixel that reads the paints instead takes some 30 ns longer; storing takes 7 ns a texel, and 4 bytes a
   head. It must pay within 40 frames, so that few large pictures and any number of small ones do without; what is unknown is
   stored. This decides on time and memory, never on a pixel. */
FMI_FN bool fmi_wants_level0(const fmi_pyramid *pyramid, const fm_scene *scene) {
  double texels = (double)pyramid->level[0].width * pyramid->level[0].height;
  return !scene->frames || 4.0 * pyramid->magnified * (double)fmi_min_size(scene->frame_count, 40) > texels;
}

FMI_FN bool fmi_build_pyramids(fmi_env *env, fmi_software *s, const fm_scene *scene) {
  for (size_t t = 0; t < s->triangle_count; t++) {
    const fmi_surface *surface = &s->surfaces[fmi_triangle_surface(s, (uint32_t)t) & ~fmi_cutout_bit];
    for (size_t i = 0; i < surface->sampler_count; i++) {
      fmi_pyramid *pyramid = &s->pyramids[surface->samplers[i].pyramid];
      const fmi_level *level = &pyramid->level[0];
      double x[3], y[3];
      const int32_t *texcoord = s->texcoords[surface->samplers[i].uv_head] + t * FMI_TEXCOORD_WORDS;
      for (size_t k = 0; k < 3; k++) {
        x[k] = (double)fmi_word_float(texcoord[2 * k]) * level->width;
        y[k] = (1.0 - (double)fmi_word_float(texcoord[2 * k + 1])) * level->height;
      }
      fmi_cover_triangle(pyramid, x, y);
    }
  }
  const fm_frame *largest = fmi_largest_frame(s, scene);
  if (largest) fmi_estimate_magnified(s, largest);
  for (size_t i = 0; i < s->pyramid_count; i++)
    if (!fmi_build_levels(env, &env->keep, &s->pyramids[i], fmi_wants_level0(&s->pyramids[i], scene))) return false;
  return true;
}

/* Three floats per vertex to planes; the last vertex again fills up the last lanes. */
FMI_FN void fmi_make_planes(float *planes, size_t plane, const float *interleaved, size_t count) {
  for (size_t v = 0; v < plane; v++)
    for (size_t k = 0; k < 3; k++) planes[k * plane + v] = interleaved[3 * (v < count ? v : count - 1) + k];
}

/* Planes of the heads' positions and of the terms of the normals. */
FMI_FN bool fmi_prepare_shapes(fmi_env *env, fmi_software *s) {
  enum { MOST_HEADS_WITH_TERMS = 4 }; /* N (N + 1) / 2 terms cost more than direct normals beyond it */
  size_t n = s->head_count, count = s->heads[0]->vertex_count, terms = fmi_normal_term_count(n);
  s->plane = (count + FMI_MOST_LANES - 1) / FMI_MOST_LANES * FMI_MOST_LANES;
  s->shapes = (float **)fmi_alloc(env, &env->keep, n, sizeof *s->shapes);
  if (!s->shapes) return false;
  for (size_t h = 0; h < n; h++) {
    s->shapes[h] = (float *)fmi_alloc(env, &env->keep, s->plane, 3 * sizeof(float));
    if (!s->shapes[h]) return false;
    fmi_make_planes(s->shapes[h], s->plane, s->heads[h]->positions, count);
  }
  if (n > MOST_HEADS_WITH_TERMS) return true;
  s->normal_terms = (float **)fmi_alloc(env, &env->keep, terms, sizeof *s->normal_terms);
  float *sums = (float *)fmi_alloc(env, &env->temp, count, 3 * sizeof *sums);
  if (!s->normal_terms || !sums) return false;
  for (size_t h = 0, i = 0; h < n; h++)
    for (size_t g = h; g < n; g++, i++) {
      s->normal_terms[i] = (float *)fmi_alloc(env, &env->keep, s->plane, 3 * sizeof(float));
      if (!s->normal_terms[i]) return false;
      fmi_normal_term(sums, s->heads, h, g);
      fmi_make_planes(s->normal_terms[i], s->plane, sums, count);
    }
  fmi_release(env, sums);
  return true;
}

/* Everything of the scene that frames share. Allocates in env->keep. */
FMI_FN bool fmi_prepare_scene(fmi_env *env, fmi_software *s, const fm_scene *scene) {
  size_t n = scene->head_count;
  s->heads = (const fm_mesh **)fmi_alloc(env, &env->keep, n, sizeof *s->heads);
  if (!s->heads) return false;
  s->uv_class = (size_t *)fmi_alloc(env, &env->keep, n, sizeof *s->uv_class);
  if (!s->uv_class) return false;
  s->head_count = n;
  s->textured = true;
  for (size_t h = 0; h < n; h++) {
    s->heads[h] = scene->heads[h];
    if (!fmi_is_prepared(s->heads[h]))
      return fmi_fail(env, FM_ERROR_ARGUMENT, "head %zu has no triangles yet; call fm_prepare_mesh first", h);
    if (!fmi_indices_ok(s->heads[h]))
      return fmi_fail(env, FM_ERROR_ARGUMENT,
                      "head %zu has an index or an image that is out of range; fm_prepare_mesh says which one", h);
    fm_topology_report report;
    if (h > 0 && !fm_check_topology(s->heads[0], s->heads[h], &report))
      return fmi_fail(
          env, FM_ERROR_TOPOLOGY,
          "head %zu (B) does not fit head 0 (A): %s; both must come from one mesh, exported with the same settings", h,
          report.message);
    s->textured = s->textured && fmi_has_texture(s->heads[h]);
    s->uv_class[h] = h;
    for (size_t g = 0; g < h && s->uv_class[h] == h; g++)
      if (s->uv_class[g] == g && fmi_all_uvs_agree(s->heads[g], s->heads[h])) s->uv_class[h] = g;
  }
  const fm_mesh *mesh = s->heads[0];
  s->ignore_alpha = scene->ignore_alpha;
  s->triangle_count = fmi_triangle_count(mesh);
  if (s->triangle_count >= FM_NONE)
    return fmi_fail(env, FM_ERROR_LIMIT, "%zu triangles are more than the rasterizer can count; make the mesh smaller",
                    s->triangle_count);
  s->triangles = (int32_t *)fmi_alloc(env, &env->keep, s->triangle_count, FMI_TRIANGLE_WORDS * sizeof *s->triangles);
  if (!s->triangles) return false;
  fmi_tables tables;
  memset(&tables, 0, sizeof tables);
  uint32_t surface = FM_NONE;
  for (size_t t = 0; t < s->triangle_count; t++) {
    int32_t *record = s->triangles + t * FMI_TRIANGLE_WORDS;
    size_t polygon = fmi_triangle_polygon(mesh, t);
    if (t == 0 || polygon != fmi_triangle_polygon(mesh, t - 1)) surface = fmi_find_surface(env, s, &tables, polygon);
    if (surface == FM_NONE) return false;
    for (int k = 0; k < 3; k++) record[k] = (int32_t)mesh->corners[fmi_triangle_corner(mesh, t, k)];
    record[3] = (int32_t)(surface | (s->surfaces[surface].cutout ? fmi_cutout_bit : 0));
  }
  s->texcoords = (int32_t **)fmi_alloc_zero(env, &env->keep, n, sizeof *s->texcoords);
  if (!s->texcoords) return false;
  for (size_t i = 0; i < s->surface_count; i++)
    for (size_t k = 0; k < s->surfaces[i].sampler_count; k++) {
      size_t head = s->surfaces[i].samplers[k].uv_head;
      if (!s->texcoords[head] && !fmi_make_texcoords(env, s, head)) return false;
    }
  s->fitted = fm_fit_camera(s->heads, n, NULL);
  if (!fmi_build_pyramids(env, s, scene) || !fmi_prepare_shapes(env, s)) return false;
  return true;
}

FMI_FN bool fmi_prepare_lane(fmi_env *env, fmi_lane *lane, const fmi_software *s) {
  size_t count = s->heads[0]->vertex_count, triangles = s->triangle_count, heads = s->head_count;
  size_t terms = fmi_max_size(heads, s->normal_terms ? fmi_normal_term_count(heads) : 0);
  lane->shape_weights = (float *)fmi_alloc(env, &env->keep, heads, sizeof(float));
  lane->texture_weights = (float *)fmi_alloc(env, &env->keep, heads, sizeof(float));
  lane->absent = (uint8_t *)fmi_alloc_zero(env, &env->keep, heads, 4 * FMI_MOST_LANES * 4);
  lane->terms = (const float **)fmi_alloc(env, &env->keep, terms, sizeof *lane->terms);
  lane->term_weights = (float *)fmi_alloc(env, &env->keep, terms, sizeof(float));
  lane->positions = (float *)fmi_alloc(env, &env->keep, s->plane, 3 * sizeof(float));
  lane->normals = (float *)fmi_alloc(env, &env->keep, s->plane, 3 * sizeof(float));
  lane->interleaved = (float *)fmi_alloc(env, &env->keep, count, 6 * sizeof(float));
  lane->placed = (int32_t *)fmi_alloc(env, &env->keep, s->plane, FMI_PLACED_WORDS * sizeof *lane->placed);
  lane->order = (uint32_t *)fmi_alloc(env, &env->keep, triangles, sizeof *lane->order);
  lane->found = (uint32_t *)fmi_alloc(env, &env->keep, triangles, sizeof *lane->found);
  lane->keys = (uint32_t *)fmi_alloc(env, &env->keep, triangles, sizeof *lane->keys);
  lane->bins = (uint32_t *)fmi_alloc(env, &env->keep, FMI_MOST_BANDS * FMI_BINS, sizeof *lane->bins);
  lane->band_of_row = (uint16_t *)fmi_alloc(env, &env->keep, FMI_MAX_PICTURE, sizeof *lane->band_of_row);
  lane->words = (int64_t *)fmi_alloc(env, &env->keep, FMI_BAND_WORDS, sizeof *lane->words);
  lane->batch = (fmi_batch *)fmi_alloc(env, &env->keep, 1, sizeof *lane->batch);
  return lane->batch != NULL && env->error->status == FM_OK;
}


/* ---- one frame being drawn: what the steps below share ---- */

FMI_FN int32_t fmi_floor_pixel(int32_t grid) {
  return grid >= 0 ? grid / FMI_SUBPIXELS : -((FMI_SUBPIXELS - 1 - grid) / FMI_SUBPIXELS);
}

/* Where samples lie in a pixel, in 1/256. */
static const int32_t fmi_sample_1[1][2] = {{128, 128}};
static const int32_t fmi_sample_4[4][2] = {{96, 32}, {224, 96}, {32, 160}, {160, 224}};

/* The part of the picture that heads can cover is drawn band by band: rows [row0, row1) and columns [left, left + width). The word of
   pixel (x, y) and sample i lies at words[(y - row0) * stride + (x - left) * samples + i]. Behind each row there is room for what a
   kernel draws beyond the picture. */
typedef struct fmi_band { int row0, row1, left, width, stride; } fmi_band;

typedef struct fmi_drawing {
  const fmi_software *s;
  fmi_lane *lane;
  fmi_view view;
  int samples;
  const int32_t (*sample)[2];
  int32_t lowest, highest;     /* of the samples' places in a pixel, x and y alike */
  int left, top, right, bottom; /* the box of pixels that heads can cover; right and bottom lie outside */
  fmi_band band;
} fmi_drawing;

/* The nearest depth that is drawn, in units of the fitted head, and how far outside the picture the grid reaches. */
static const float fmi_near_depth = 0.01f;
static const float fmi_grid_reach = 32768.0f;

/* Triangles that are less than 64 pixels wide and high, and on the grid, are compact: 32 bits hold their edge functions, anywhere in
   their box with a kernel's overshoot of 16 pixels, and inside them four times that. */
static const int32_t fmi_compact_extent = 1 << 14;

FMI_FN const int32_t *fmi_placed(const fmi_lane *lane, uint32_t vertex) {
  return lane->placed + (size_t)vertex * FMI_PLACED_WORDS;
}
FMI_FN bool fmi_is_placed(const fmi_lane *lane, uint32_t vertex) { return fmi_placed(lane, vertex)[0] != FMI_OFF_GRID; }
FMI_FN void fmi_triangle_vertices(const fmi_software *s, uint32_t triangle, uint32_t vertex[3]) {
  for (int k = 0; k < 3; k++) vertex[k] = (uint32_t)s->triangles[(size_t)triangle * FMI_TRIANGLE_WORDS + (size_t)k];
}
/* Position of a vertex in camera space, after fmi_place. */
FMI_FN void fmi_in_camera_space(const fmi_drawing *d, uint32_t vertex, double p[3]) {
  for (size_t c = 0; c < 3; c++) p[c] = d->lane->positions[c * d->s->plane + vertex];
}

/* A triangle on the grid. Edge function k is positive inside, over the corner opposite to it: e_k / area is the weight of corner k. */
typedef struct fmi_setup {
  int32_t x[3], y[3];
  int64_t area;             /* twice the area, positive */
  bool back;                /* seen from behind: clockwise on the screen */
  int64_t dx[3], dy[3];     /* steps of e_k for one grid unit to the right and down */
  int64_t bias[3];          /* 0 where a sample exactly on the edge belongs to the triangle (top-left rule), else 1 */
  float nearness[3], slope1, slope2;
  int32_t low_x, high_x, low_y, high_y;
} fmi_setup;

/* False if it covers nothing. nearness are the corners'. */
FMI_FN bool fmi_set_up(fmi_setup *s, const int32_t x[3], const int32_t y[3], const float nearness[3]) {
  int64_t area = (int64_t)(x[1] - x[0]) * (y[2] - y[0]) - (int64_t)(x[2] - x[0]) * (y[1] - y[0]);
  if (area == 0) return false;
  int64_t sign = area < 0 ? -1 : 1;
  s->back = area > 0; /* y points down: a front side runs counter-clockwise and is negative */
  s->area = area * sign;
  for (int k = 0; k < 3; k++) {
    int a = (k + 1) % 3, b = (k + 2) % 3;
    int64_t ex = (x[b] - x[a]) * sign, ey = (y[b] - y[a]) * sign;
    s->x[k] = x[k];
    s->y[k] = y[k];
    s->dx[k] = -ey;
    s->dy[k] = ex;
    s->bias[k] = ey < 0 || (ey == 0 && ex > 0) ? 0 : 1;
    s->nearness[k] = nearness[k];
  }
  float scale = 1.0f / (float)s->area;
  s->slope1 = (nearness[1] - nearness[0]) * scale;
  s->slope2 = (nearness[2] - nearness[0]) * scale;
  s->low_x = fmi_min_int(x[0], fmi_min_int(x[1], x[2]));
  s->high_x = fmi_max_int(x[0], fmi_max_int(x[1], x[2]));
  s->low_y = fmi_min_int(y[0], fmi_min_int(y[1], y[2]));
  s->high_y = fmi_max_int(y[0], fmi_max_int(y[1], y[2]));
  return true;
}

FMI_FN int64_t fmi_edge(const fmi_setup *s, int k, int32_t x, int32_t y) {
  int a = (k + 1) % 3;
  return s->dx[k] * (x - s->x[a]) + s->dy[k] * (y - s->y[a]);
}

/* Nearness at a sample, from its edge functions; every raster path uses this formula. */
FMI_FN float fmi_nearness_at(const fmi_setup *s, int64_t e1, int64_t e2) {
  return s->nearness[0] + ((float)e1 * s->slope1 + (float)e2 * s->slope2);
}

/* The visibility word: nearness in the upper half, as an integer of the same order; below it the triangle, so that of equally near
   ones the lower index is the larger word. "Nothing" is further away than anything, and one byte, which memset writes. */
enum { FMI_NOTHING = 0x80 };
static const int64_t fmi_no_word = INT64_MIN + 0x0080808080808080;

FMI_FN int64_t fmi_word(float nearness, uint32_t triangle) {
  int32_t bits = fmi_float_word(nearness), key = bits < 0 ? bits ^ INT32_MAX : bits;
  return (int64_t)key * ((int64_t)1 << 32) + (0xFFFFFFFFu - triangle);
}
FMI_FN uint32_t fmi_word_triangle(int64_t word) { return 0xFFFFFFFFu - (uint32_t)((uint64_t)word & 0xFFFFFFFFu); }

/* A point on a triangle: the weights of its corners (perspective-correct), and their change for one pixel to the right and down. */
typedef struct fmi_point { float w[3], dx[3], dy[3]; } fmi_point;

/* From q_k = weight of corner k before normalisation and its derivatives. */
FMI_FN fmi_point fmi_make_point(const float q[3], const float qx[3], const float qy[3]) {
  fmi_point p;
  float sum = q[0] + q[1] + q[2], inverse = fabsf(sum) > 0.0f ? 1.0f / sum : 0.0f;
  float sum_x = qx[0] + qx[1] + qx[2], sum_y = qy[0] + qy[1] + qy[2];
  for (int k = 0; k < 3; k++) {
    p.w[k] = q[k] * inverse;
    p.dx[k] = (qx[k] - p.w[k] * sum_x) * inverse;
    p.dy[k] = (qy[k] - p.w[k] * sum_y) * inverse;
  }
  return p;
}

/* The point of a triangle on the grid, where its edge functions are e. */
FMI_FN fmi_point fmi_grid_point(const fmi_setup *t, const float e[3], const float inverse_depth[3]) {
  float q[3], qx[3], qy[3], scale = 1.0f / (float)t->area;
  for (int k = 0; k < 3; k++) {
    float w = inverse_depth[k] * scale;
    q[k] = e[k] * w;
    qx[k] = (float)(t->dx[k] * FMI_SUBPIXELS) * w;
    qy[k] = (float)(t->dy[k] * FMI_SUBPIXELS) * w;
  }
  return fmi_make_point(q, qx, qy);
}

/* A float within +-1e18, so that its square is one too. */
FMI_FN float fmi_clamp_to_float(double x) { return (float)(x < -1e18 ? -1e18 : x > 1e18 ? 1e18 : x); }

/* The point of a triangle that was clipped, under a place on the screen (pixels): the ray through it against the plane of the whole
   triangle. q_k = ray . (p_i x p_j); its derivatives follow from the ray's. Rounding may leave it a little outside: it is
   brought back. */
FMI_FN fmi_point fmi_ray_point(const fmi_drawing *d, const uint32_t vertex[3], float sx, float sy) {
  const fmi_view *view = &d->view;
  double p[3][3], q[3], qx[3], qy[3], zoom = view->zoom, total = 0.0, largest = 0.0;
  double rx = ((double)sx - view->middle[0]) / zoom, ry = (view->middle[1] - (double)sy) / zoom;
  for (int k = 0; k < 3; k++) {
    fmi_in_camera_space(d, vertex[k], p[k]);
    p[k][2] -= view->distance;
  }
  for (int k = 0; k < 3; k++) {
    const double *a = p[(k + 1) % 3], *b = p[(k + 2) % 3];
    if (view->orthographic) { /* the same in two dimensions */
      q[k] = (a[0] - rx) * (b[1] - ry) - (b[0] - rx) * (a[1] - ry);
      qx[k] = (a[1] - b[1]) / zoom;
      qy[k] = (a[0] - b[0]) / zoom;
    } else {
      double cx = a[1] * b[2] - a[2] * b[1], cy = a[2] * b[0] - a[0] * b[2], cz = a[0] * b[1] - a[1] * b[0];
      q[k] = rx * cx + ry * cy - cz;
      qx[k] = cx / zoom;
      qy[k] = -cy / zoom;
    }
    total += q[k];
  }
  for (int k = 0; k < 3; k++) {
    if (q[k] * total < 0.0) q[k] = 0.0;
    if (fabs(q[k]) > largest) largest = fabs(q[k]);
  }
  float fq[3], fx[3], fy[3];
  double scale = largest > 0.0 ? 1.0 / largest : 0.0;
  for (int k = 0; k < 3; k++) {
    fq[k] = fmi_clamp_to_float(q[k] * scale);
    fx[k] = fmi_clamp_to_float(qx[k] * scale);
    fy[k] = fmi_clamp_to_float(qy[k] * scale);
  }
  return fmi_make_point(fq, fx, fy);
}

FMI_FN bool fmi_is_on_grid(const fmi_lane *lane, const uint32_t vertex[3]) {
  return fmi_is_placed(lane, vertex[0]) && fmi_is_placed(lane, vertex[1]) && fmi_is_placed(lane, vertex[2]);
}

/* Loads a triangle that is on the grid. False where it covers nothing. */
FMI_FN bool fmi_load_triangle(const fmi_lane *lane, const uint32_t vertex[3], fmi_setup *setup) {
  int32_t x[3], y[3];
  float nearness[3];
  for (int k = 0; k < 3; k++) {
    const int32_t *placed = fmi_placed(lane, vertex[k]);
    x[k] = placed[0];
    y[k] = placed[1];
    nearness[k] = fmi_word_float(placed[2]);
  }
  return fmi_set_up(setup, x, y, nearness);
}

/* Is a triangle that leaves the grid seen from behind? */
FMI_FN bool fmi_is_back_in_space(const fmi_drawing *d, const uint32_t vertex[3]) {
  double p[3][3];
  for (int k = 0; k < 3; k++) fmi_in_camera_space(d, vertex[k], p[k]);
  double ax = p[1][0] - p[0][0], ay = p[1][1] - p[0][1], az = p[1][2] - p[0][2];
  double bx = p[2][0] - p[0][0], by = p[2][1] - p[0][1], bz = p[2][2] - p[0][2];
  double nx = ay * bz - az * by, ny = az * bx - ax * bz, nz = ax * by - ay * bx;
  if (d->view.orthographic) return nz < 0.0;
  return nz * (d->view.distance - p[0][2]) - nx * p[0][0] - ny * p[0][1] < 0.0;
}

/* The point of any triangle at the mean of n places that sum to (x, y), in grid units. *back: seen from behind. */
FMI_FN fmi_point fmi_triangle_point(const fmi_drawing *d, uint32_t triangle, int64_t x, int64_t y, int n, bool *back) {
  uint32_t vertex[3];
  fmi_setup t;
  float e[3], inverse[3];
  fmi_triangle_vertices(d->s, triangle, vertex);
  if (!fmi_is_on_grid(d->lane, vertex)) {
    *back = fmi_is_back_in_space(d, vertex);
    return fmi_ray_point(d, vertex, (float)x / (float)(n * FMI_SUBPIXELS), (float)y / (float)(n * FMI_SUBPIXELS));
  }
  fmi_load_triangle(d->lane, vertex, &t); /* it covered a sample: it has an area */
  for (int k = 0; k < 3; k++) {
    int a = (k + 1) % 3;
    e[k] = (float)(t.dx[k] * (x - (int64_t)n * t.x[a]) + t.dy[k] * (y - (int64_t)n * t.y[a])) / (float)n;
    inverse[k] = fmi_word_float(fmi_placed(d->lane, vertex[k])[3]);
  }
  *back = t.back;
  return fmi_grid_point(&t, e, inverse);
}

struct fmi_raster_kernels {
  /* out[i] = sum over k of weights[k] * from[k][i], added in this order; count is a multiple of FMI_MOST_LANES */
  void (*weigh)(float *out, const float *const *from, const float *weights, size_t terms, size_t count);
  /* makes the vectors in planes of x, y, z unit; zero stays zero */
  void (*make_planes_unit)(float *planes, size_t plane);
  /* from blended planes to camera space and placed records; finds the box */
  void (*place)(fmi_drawing *d);
  /* lists the triangles that can cover a sample in lane->found, their bins in lane->keys; returns how many */
  size_t (*find)(const fmi_drawing *d);
  /* writes the words of compact triangles; of those that go on below the band, puts the numbers into carry, which may be `triangles`,
     and returns how many they are */
  size_t (*fill_compact)(const fmi_drawing *d, const uint32_t *triangles, size_t count, uint32_t *carry);
  void (*shade)(const fmi_drawing *d, fmi_batch *batch);
  void (*shade_alpha)(const fmi_drawing *d, fmi_batch *batch);
};

#endif /* FACEMORPH_NO_RENDER */
#endif /* FMI_COMPILING */

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_RASTER
/* ---- block: vertices, visibility and shading at each level ---- */

static void FMI_AT_LEVEL(fmi_weigh)(float *out, const float *const *from, const float *weights, size_t terms, size_t count) {
  for (size_t i = 0; i < count; i += FMI_LANES) {
    fmi_vf sum = terms ? fmi_mulf(fmi_setf(weights[0]), fmi_loadf(from[0] + i)) : fmi_setf(0.0f);
    for (size_t k = 1; k < terms; k++) sum = fmi_addf(sum, fmi_mulf(fmi_setf(weights[k]), fmi_loadf(from[k] + i)));
    fmi_storef(out + i, sum);
  }
}

static void FMI_AT_LEVEL(fmi_make_planes_unit)(float *planes, size_t plane) {
  fmi_vf zero = fmi_setf(0.0f), one = fmi_setf(1.0f);
  for (size_t i = 0; i < plane; i += FMI_LANES) {
    fmi_vf n[3], largest = zero;
    FMI_UNROLL
    for (size_t k = 0; k < 3; k++) {
      n[k] = fmi_loadf(planes + k * plane + i);
      fmi_vf a = fmi_absf(n[k]);
      largest = fmi_pickf(fmi_ltf(largest, a), a, largest);
    }
    fmi_vm any = fmi_ltf(zero, largest),
           extreme = fmi_andm(any, fmi_orm(fmi_ltf(largest, fmi_setf(1e-15f)), fmi_ltf(fmi_setf(1e15f), largest)));
    if (fmi_bitsm(extreme)) { /* scaled first, so that their squares neither vanish nor overflow */
      fmi_vf by = fmi_pickf(extreme, largest, one);
      FMI_UNROLL
      for (int k = 0; k < 3; k++) n[k] = fmi_divf(n[k], by);
    }
    fmi_vf length = fmi_rootf(fmi_addf(fmi_addf(fmi_mulf(n[0], n[0]), fmi_mulf(n[1], n[1])), fmi_mulf(n[2], n[2])));
    length = fmi_pickf(any, length, one);
    FMI_UNROLL
    for (size_t k = 0; k < 3; k++) fmi_storef(planes + k * plane + i, fmi_pickf(any, fmi_divf(n[k], length), zero));
  }
}

FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_dot)(const float r[3], const fmi_vf v[3]) {
  return fmi_addf(fmi_addf(fmi_mulf(fmi_setf(r[0]), v[0]), fmi_mulf(fmi_setf(r[1]), v[1])), fmi_mulf(fmi_setf(r[2]), v[2]));
}

static void FMI_AT_LEVEL(fmi_place)(fmi_drawing *d) {
  const fmi_view *view = &d->view;
  fmi_lane *lane = d->lane;
  size_t plane = d->s->plane;
  fmi_vf one = fmi_setf(1.0f), zero = fmi_setf(0.0f), reach = fmi_setf(fmi_grid_reach), grid = fmi_setf((float)FMI_SUBPIXELS),
         half = fmi_setf(0.5f);
  fmi_vi low_x = fmi_seti(INT32_MAX), high_x = fmi_seti(INT32_MIN), low_y = low_x, high_y = high_x;
  uint32_t outside = 0;
  for (size_t v = 0; v < plane; v += FMI_LANES) {
    fmi_vf p[3], q[3], n[3];
    fmi_vi record[FMI_PLACED_WORDS];
    FMI_UNROLL
    for (size_t k = 0; k < 3; k++) {
      p[k] = fmi_mulf(fmi_subf(fmi_loadf(lane->positions + k * plane + v), fmi_setf(view->center[k])), fmi_setf(view->scale));
      n[k] = fmi_loadf(lane->normals + k * plane + v);
    }
    FMI_UNROLL
    for (size_t k = 0; k < 3; k++) {
      q[k] = FMI_AT_LEVEL(fmi_dot)(view->rotation[k], p);
      record[4 + k] = fmi_asi(FMI_AT_LEVEL(fmi_dot)(view->rotation[k], n));
      fmi_storef(lane->positions + k * plane + v, q[k]);
    }
    fmi_vf depth = fmi_subf(fmi_setf(view->distance), q[2]), inverse = view->orthographic ? one : fmi_divf(one, depth);
    fmi_vf sx = fmi_addf(fmi_setf(view->middle[0]), fmi_mulf(fmi_setf(view->zoom), fmi_mulf(q[0], inverse))),
           sy = fmi_subf(fmi_setf(view->middle[1]), fmi_mulf(fmi_setf(view->zoom), fmi_mulf(q[1], inverse)));
    fmi_vm inside = fmi_andm(fmi_ltf(fmi_absf(sx), reach), fmi_ltf(fmi_absf(sy), reach));
    if (!view->orthographic) inside = fmi_andm(inside, fmi_lef(fmi_setf(fmi_near_depth), depth));
    sx = fmi_pickf(inside, sx, zero);
    sy = fmi_pickf(inside, sy, zero);
    fmi_vi x = fmi_toi(fmi_floorf(fmi_addf(fmi_mulf(sx, grid), half))), y = fmi_toi(fmi_floorf(fmi_addf(fmi_mulf(sy, grid), half)));
    outside |= ~fmi_bitsm(inside);
    low_x = fmi_mini(low_x, x);
    high_x = fmi_maxi(high_x, x);
    low_y = fmi_mini(low_y, y);
    high_y = fmi_maxi(high_y, y);
    record[0] = fmi_picki(inside, x, fmi_seti(FMI_OFF_GRID));
    record[1] = fmi_picki(inside, y, fmi_seti(0));
    record[2] = fmi_asi(fmi_mulf(q[2], inverse));
    record[3] = fmi_asi(inverse);
    record[7] = fmi_seti(0);
    fmi_store8(lane->placed + v * FMI_PLACED_WORDS, record);
  }
  int32_t box[4][FMI_LANES];
  fmi_storei(box[0], low_x);
  fmi_storei(box[1], low_y);
  fmi_storei(box[2], high_x);
  fmi_storei(box[3], high_y);
  for (int l = 1; l < FMI_LANES; l++) {
    box[0][0] = fmi_min_int(box[0][0], box[0][l]);
    box[1][0] = fmi_min_int(box[1][0], box[1][l]);
    box[2][0] = fmi_max_int(box[2][0], box[2][l]);
    box[3][0] = fmi_max_int(box[3][0], box[3][l]);
  }
  if (outside << (32 - FMI_LANES)) return; /* what is clipped can reach any pixel */
  d->left = fmi_clamp_int(fmi_floor_pixel(box[0][0]), 0, d->right);
  d->top = fmi_clamp_int(fmi_floor_pixel(box[1][0]), 0, d->bottom);
  d->right = fmi_clamp_int(fmi_floor_pixel(box[2][0]) + 1, d->left, d->right);
  d->bottom = fmi_clamp_int(fmi_floor_pixel(box[3][0]) + 1, d->top, d->bottom);
}

/* Triangles on the grid, one a lane. */
typedef struct FMI_AT_LEVEL(fmi_group) {
  fmi_vi x[3], y[3];
  fmi_vi words[3][2];       /* nearness and 1 / depth of the corners */
  uint32_t vertex[3][FMI_LANES];
  fmi_vi surface;
  fmi_vi low_x, high_x, low_y, high_y;
} FMI_AT_LEVEL(fmi_group);
#define fmi_group FMI_AT_LEVEL(fmi_group)

FMI_INLINE void FMI_AT_LEVEL(fmi_load_group)(fmi_group *g, const fmi_drawing *d, const uint32_t *triangle) {
  fmi_vi record[4];
  fmi_gather4(record, d->s->triangles, FMI_TRIANGLE_WORDS, triangle);
  g->surface = record[3];
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    fmi_vi placed[4];
    fmi_storei((int32_t *)g->vertex[k], record[k]);
    fmi_gather4(placed, d->lane->placed, FMI_PLACED_WORDS, g->vertex[k]);
    g->x[k] = placed[0];
    g->y[k] = placed[1];
    g->words[k][0] = placed[2];
    g->words[k][1] = placed[3];
  }
  g->low_x = fmi_mini(fmi_mini(g->x[0], g->x[1]), g->x[2]);
  g->high_x = fmi_maxi(fmi_maxi(g->x[0], g->x[1]), g->x[2]);
  g->low_y = fmi_mini(fmi_mini(g->y[0], g->y[1]), g->y[2]);
  g->high_y = fmi_maxi(fmi_maxi(g->y[0], g->y[1]), g->y[2]);
}
/* Twice the signed area of triangles that are compact. */
FMI_INLINE fmi_vi FMI_AT_LEVEL(fmi_group_area)(const fmi_group *g) {
  return fmi_subi(fmi_muli(fmi_subi(g->x[1], g->x[0]), fmi_subi(g->y[2], g->y[0])),
                  fmi_muli(fmi_subi(g->x[2], g->x[0]), fmi_subi(g->y[1], g->y[0])));
}

/* Columns or rows of pixels with a sample at or beyond `low`, up to `high`. */
FMI_INLINE fmi_vi FMI_AT_LEVEL(fmi_first_pixel)(const fmi_drawing *d, fmi_vi low) {
  return fmi_downi(fmi_addi(low, fmi_seti(FMI_SUBPIXELS - 1 - d->highest)), 8);
}
FMI_INLINE fmi_vi FMI_AT_LEVEL(fmi_last_pixel)(const fmi_drawing *d, fmi_vi high) {
  return fmi_downi(fmi_subi(high, fmi_seti(d->lowest)), 8);
}

static size_t FMI_AT_LEVEL(fmi_find)(const fmi_drawing *d) {
  fmi_lane *lane = d->lane;
  const uint32_t last = (uint32_t)d->s->triangle_count - 1;
  size_t found = 0;
  fmi_vi zero = fmi_seti(0), compact = fmi_seti(fmi_compact_extent);
  for (size_t first = 0; first < d->s->triangle_count; first += FMI_LANES) {
    uint32_t triangle[FMI_LANES];
    int32_t low[FMI_LANES];
    fmi_group g;
    for (uint32_t l = 0; l < FMI_LANES; l++) triangle[l] = first + l <= last ? (uint32_t)first + l : last;
    FMI_AT_LEVEL(fmi_load_group)(&g, d, triangle);
    fmi_vi area = FMI_AT_LEVEL(fmi_group_area)(&g);
    fmi_vm off = fmi_eqi(g.low_x, fmi_seti(FMI_OFF_GRID)),
           fits = fmi_andm(fmi_gti(compact, fmi_subi(g.high_x, g.low_x)), fmi_gti(compact, fmi_subi(g.high_y, g.low_y)));
    fmi_vi x0 = FMI_AT_LEVEL(fmi_first_pixel)(d, g.low_x), x1 = FMI_AT_LEVEL(fmi_last_pixel)(d, g.high_x),
           y0 = FMI_AT_LEVEL(fmi_first_pixel)(d, g.low_y), y1 = FMI_AT_LEVEL(fmi_last_pixel)(d, g.high_y);
    fmi_vi width = fmi_subi(x1, x0), height = fmi_subi(y1, y0);
    uint32_t flat = fmi_bitsm(fmi_andm(fits, fmi_eqi(area, zero)));
    if (lane->frame.cull == FM_CULL_BACK) flat |= fmi_bitsm(fmi_andm(fits, fmi_gti(area, zero)));
    uint32_t empty = fmi_signsi(fmi_ori(fmi_ori(width, height),
                                        fmi_ori(fmi_ori(fmi_subi(x1, fmi_seti(d->left)), fmi_subi(fmi_seti(d->right - 1), x0)),
                                                fmi_ori(fmi_subi(y1, fmi_seti(d->top)), fmi_subi(fmi_seti(d->bottom - 1), y0)))));
    uint32_t clipped = fmi_bitsm(off), alive = clipped | ~(flat | empty);
    uint32_t plain = fmi_bitsm(fits) & ~clipped & ~fmi_signsi(g.surface); /* compact, and no cut-out */
    if (first + FMI_LANES > d->s->triangle_count) alive &= (1u << (d->s->triangle_count - first)) - 1;
    fmi_storei(low, fmi_picki(off, fmi_seti(d->top), fmi_maxi(y0, fmi_seti(d->top))));
    for (uint32_t bits = alive & (uint32_t)((1ull << FMI_LANES) - 1); bits; bits &= bits - 1) {
      int l = fmi_lowest_bit(bits);
      lane->found[found] = triangle[l];
      lane->keys[found++] = (uint32_t)(FMI_BINS * lane->band_of_row[low[l]] + (plain >> l & 1 ? FMI_BIN_COMPACT : FMI_BIN_OTHER));
    }
  }
  return found;
}

/* The key of nearness in a word. */
FMI_INLINE fmi_vi FMI_AT_LEVEL(fmi_order)(fmi_vf nearness) {
  fmi_vi bits = fmi_asi(nearness);
  return fmi_xori(bits, fmi_righti(fmi_downi(bits, 31), 1));
}

/* Edge functions of a group of compact triangles: steps, biases, and values at a place. */
FMI_INLINE void FMI_AT_LEVEL(fmi_group_steps)(const fmi_group *g, fmi_vi area, fmi_vi dx[3], fmi_vi dy[3]) {
  fmi_vi sign = fmi_downi(area, 31);
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    int a = (k + 1) % 3, b = (k + 2) % 3;
    dx[k] = fmi_subi(fmi_xori(fmi_subi(g->y[a], g->y[b]), sign), sign);
    dy[k] = fmi_subi(fmi_xori(fmi_subi(g->x[b], g->x[a]), sign), sign);
  }
}
/* Top-left rule: does a sample exactly on the edge belong to the triangle? */
FMI_INLINE fmi_vm FMI_AT_LEVEL(fmi_owns_edge)(fmi_vi dx, fmi_vi dy) {
  fmi_vi zero = fmi_seti(0);
  return fmi_orm(fmi_gti(dx, zero), fmi_andm(fmi_eqi(dx, zero), fmi_gti(dy, zero)));
}
FMI_INLINE fmi_vi FMI_AT_LEVEL(fmi_size)(fmi_vi a) {
  fmi_vi sign = fmi_downi(a, 31);
  return fmi_subi(fmi_xori(a, sign), sign);
}

/* A compact triangle as its rows are drawn. Edge functions are held less their biases. */
typedef struct FMI_AT_LEVEL(fmi_rows) {
  fmi_vi bias1, bias2, low_word;
  fmi_vf nearness, slope1, slope2;
} FMI_AT_LEVEL(fmi_rows);
#define fmi_rows FMI_AT_LEVEL(fmi_rows)

FMI_INLINE void FMI_AT_LEVEL(fmi_cover)(const fmi_rows *t, const fmi_vi e[3], int64_t *first, int64_t *second) {
  fmi_vm covered = fmi_gti(fmi_ori(fmi_ori(e[0], e[1]), e[2]), fmi_seti(-1));
  if (FMI_LANES == 1 && !fmi_bitsm(covered)) return; /* lanes mostly cover something, and branches go wrong */
  fmi_vf nearness = fmi_addf(t->nearness, fmi_addf(fmi_mulf(fmi_tof(fmi_addi(e[1], t->bias1)), t->slope1),
                                                   fmi_mulf(fmi_tof(fmi_addi(e[2], t->bias2)), t->slope2)));
  fmi_max_words(first, second, FMI_AT_LEVEL(fmi_order)(nearness), t->low_word, covered);
}

/* Lanes lie on a row's words, or where its box is at most half as wide, on those of two rows. What they reach beyond the box is
   outside of the triangle; beyond the picture it falls behind the rows. */
static size_t FMI_AT_LEVEL(fmi_fill_compact)(const fmi_drawing *d, const uint32_t *triangles, size_t count, uint32_t *carry) {
  enum { HALF = FMI_LANES / 2, MOST_PHASES = FMI_LANES < 4 ? 4 / FMI_LANES : 1 };
  const fmi_band *band = &d->band;
  /* a single lane draws the samples of a pixel in as many phases */
  const int phases = fmi_max_int(1, d->samples / FMI_LANES), pixels = fmi_max_int(1, FMI_LANES / d->samples);
  int64_t spare[FMI_LANES];
  fmi_vi places[2][MOST_PHASES], zero = fmi_seti(0), one = fmi_seti(1);
  size_t carried = 0;
  for (int l = 0; l < FMI_LANES; l++) spare[l] = fmi_no_word;
  for (int tall = 0; tall < 2; tall++)
    for (int phase = 0; phase < phases; phase++) {
      int32_t place[FMI_LANES];
      for (int l = 0; l < FMI_LANES; l++) {
        int row = tall && l >= HALF, i = phase + l - (row ? HALF : 0);
        int x = i / d->samples * FMI_SUBPIXELS + d->sample[i % d->samples][0];
        int y = row * FMI_SUBPIXELS + d->sample[i % d->samples][1];
        place[l] = y * 65536 + x;
      }
      places[tall][phase] = fmi_loadi(place);
    }
  for (size_t first = 0; first < count; first += FMI_LANES) {
    uint32_t triangle[FMI_LANES];
    int32_t dx[3][FMI_LANES], dy[3][FMI_LANES], steps[3][FMI_LANES], corner[3][FMI_LANES], bias[3][FMI_LANES];
    int32_t left[FMI_LANES], right[FMI_LANES], top[FMI_LANES], bottom[FMI_LANES];
    float near0[FMI_LANES], slope1[FMI_LANES], slope2[FMI_LANES];
    fmi_group g;
    fmi_vi step_x[3], step_y[3];
    for (size_t l = 0; l < FMI_LANES; l++) triangle[l] = triangles[fmi_min_size(first + l, count - 1)];
    FMI_AT_LEVEL(fmi_load_group)(&g, d, triangle);
    fmi_vi area = FMI_AT_LEVEL(fmi_group_area)(&g);
    FMI_AT_LEVEL(fmi_group_steps)(&g, area, step_x, step_y);
    fmi_vi x0 = fmi_maxi(FMI_AT_LEVEL(fmi_first_pixel)(d, g.low_x), fmi_seti(band->left)),
           y0 = fmi_maxi(FMI_AT_LEVEL(fmi_first_pixel)(d, g.low_y), fmi_seti(band->row0));
    fmi_storei(left, x0);
    fmi_storei(top, y0);
    fmi_storei(right, fmi_mini(FMI_AT_LEVEL(fmi_last_pixel)(d, g.high_x), fmi_seti(band->left + band->width - 1)));
    fmi_storei(bottom, FMI_AT_LEVEL(fmi_last_pixel)(d, g.high_y));
    FMI_UNROLL
    for (int k = 0; k < 3; k++) {
      int a = (k + 1) % 3;
      fmi_vi minus = fmi_picki(FMI_AT_LEVEL(fmi_owns_edge)(step_x[k], step_y[k]), zero, one);
      fmi_storei(dx[k], step_x[k]);
      fmi_storei(dy[k], step_y[k]);
      fmi_storei(steps[k], fmi_ori(fmi_lefti(step_y[k], 16), fmi_andi(step_x[k], fmi_seti(0xFFFF))));
      fmi_storei(bias[k], minus);
      fmi_storei(corner[k], fmi_subi(fmi_addi(fmi_muli(step_x[k], fmi_subi(fmi_lefti(x0, 8), g.x[a])),
                                              fmi_muli(step_y[k], fmi_subi(fmi_lefti(y0, 8), g.y[a]))), minus));
    }
    fmi_vf n0 = fmi_asf(g.words[0][0]), scale = fmi_divf(fmi_setf(1.0f), fmi_tof(FMI_AT_LEVEL(fmi_size)(area)));
    fmi_storef(near0, n0);
    fmi_storef(slope1, fmi_mulf(fmi_subf(fmi_asf(g.words[1][0]), n0), scale));
    fmi_storef(slope2, fmi_mulf(fmi_subf(fmi_asf(g.words[2][0]), n0), scale));
    for (int l = 0; l < (int)fmi_min_size(FMI_LANES, count - first); l++) {
      const int columns = right[l] - left[l] + 1, last = fmi_min_int(bottom[l], band->row1 - 1);
      const int tall = columns * d->samples <= HALF, row_step = tall ? 2 : 1;
      const ptrdiff_t to_second = tall ? band->stride : HALF, down = (ptrdiff_t)row_step * band->stride;
      fmi_rows t;
      t.bias1 = fmi_seti(bias[1][l]);
      t.bias2 = fmi_seti(bias[2][l]);
      t.low_word = fmi_seti((int32_t)(0xFFFFFFFFu - triangle[l]));
      t.nearness = fmi_setf(near0[l]);
      t.slope1 = fmi_setf(slope1[l]);
      t.slope2 = fmi_setf(slope2[l]);
      for (int phase = 0; phase < phases; phase++) {
        int64_t *words = d->lane->words + (ptrdiff_t)(top[l] - band->row0) * band->stride + (left[l] - band->left) * d->samples + phase;
        fmi_vi row[3];
        FMI_UNROLL
        for (int k = 0; k < 3; k++)
          row[k] = fmi_addi(fmi_seti(corner[k][l]), fmi_pairsi(fmi_seti(steps[k][l]), places[tall][phase]));
        for (int y = top[l]; y <= last; y += row_step, words += down) {
          if (columns <= pixels) /* two rows end with the band */
            FMI_AT_LEVEL(fmi_cover)(&t, row, words, tall && y + 1 == band->row1 ? spare : words + to_second);
          else {
            fmi_vi e[3] = {row[0], row[1], row[2]};
            int64_t *at = words;
            for (int x = 0; x < columns; x += pixels, at += pixels * d->samples) {
              FMI_AT_LEVEL(fmi_cover)(&t, e, at, at + HALF);
              FMI_UNROLL
              for (int k = 0; k < 3; k++) e[k] = fmi_addi(e[k], fmi_seti(dx[k][l] * FMI_SUBPIXELS * pixels));
            }
          }
          FMI_UNROLL
          for (int k = 0; k < 3; k++) row[k] = fmi_addi(row[k], fmi_seti(dy[k][l] * FMI_SUBPIXELS * row_step));
        }
      }
      if (bottom[l] >= band->row1) carry[carried++] = triangle[l];
    }
  }
  return carried;
}

/* ---- block: shading ---- */

/* Points on triangles, one a lane: weights of the corners, and their change for one pixel to the right and down. */
typedef struct FMI_AT_LEVEL(fmi_points) {
  fmi_vf w[3], dx[3], dy[3];
  fmi_vf normal[3][3];      /* of the corners */
  fmi_vm back;
  fmi_vi surface;
  uint32_t vertex[3][FMI_LANES];
} FMI_AT_LEVEL(fmi_points);
#define fmi_points FMI_AT_LEVEL(fmi_points)

/* Triangles that are not compact, or not on the grid, are done one by one: lanes whose bit is set. */
static void FMI_AT_LEVEL(fmi_load_rare_points)(fmi_points *p, const fmi_drawing *d, const fmi_batch *batch, size_t first,
                                               uint32_t bits) {
  float lane[9][FMI_LANES];
  int32_t back[FMI_LANES];
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    fmi_storef(lane[k], p->w[k]);
    fmi_storef(lane[3 + k], p->dx[k]);
    fmi_storef(lane[6 + k], p->dy[k]);
  }
  fmi_storei(back, fmi_picki(p->back, fmi_seti(1), fmi_seti(0)));
  for (; bits; bits &= bits - 1) {
    int l = fmi_lowest_bit(bits);
    size_t i = first + (size_t)l;
    bool is_back;
    fmi_point point = fmi_triangle_point(d, batch->triangle[i], batch->x[i], batch->y[i], batch->n[i], &is_back);
    back[l] = is_back;
    FMI_UNROLL
    for (int k = 0; k < 3; k++) {
      lane[k][l] = point.w[k];
      lane[3 + k][l] = point.dx[k];
      lane[6 + k][l] = point.dy[k];
    }
  }
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    p->w[k] = fmi_loadf(lane[k]);
    p->dx[k] = fmi_loadf(lane[3 + k]);
    p->dy[k] = fmi_loadf(lane[6 + k]);
  }
  p->back = fmi_gti(fmi_loadi(back), fmi_seti(0));
}

FMI_INLINE void FMI_AT_LEVEL(fmi_load_points)(fmi_points *p, const fmi_drawing *d, const fmi_batch *batch, size_t first,
                                              uint32_t valid) {
  fmi_group g;
  fmi_vi record[4], dx[3], dy[3], placed[8];
  fmi_vf one = fmi_setf(1.0f), q[3], qx[3], qy[3], inverse_depth[3];
  fmi_gather4(record, d->s->triangles, FMI_TRIANGLE_WORDS, batch->triangle + first);
  p->surface = record[3];
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    fmi_storei((int32_t *)p->vertex[k], record[k]);
    fmi_gather8(placed, d->lane->placed, FMI_PLACED_WORDS, p->vertex[k]);
    g.x[k] = placed[0];
    g.y[k] = placed[1];
    inverse_depth[k] = fmi_asf(placed[3]);
    FMI_UNROLL
    for (int c = 0; c < 3; c++) p->normal[k][c] = fmi_asf(placed[4 + c]);
  }
  fmi_vi low_x = fmi_mini(fmi_mini(g.x[0], g.x[1]), g.x[2]), high_x = fmi_maxi(fmi_maxi(g.x[0], g.x[1]), g.x[2]),
         low_y = fmi_mini(fmi_mini(g.y[0], g.y[1]), g.y[2]), high_y = fmi_maxi(fmi_maxi(g.y[0], g.y[1]), g.y[2]);
  fmi_vi compact = fmi_seti(fmi_compact_extent);
  uint32_t rare = fmi_bitsm(fmi_eqi(low_x, fmi_seti(FMI_OFF_GRID))) |
                  ~fmi_bitsm(fmi_andm(fmi_gti(compact, fmi_subi(high_x, low_x)), fmi_gti(compact, fmi_subi(high_y, low_y))));
  fmi_vi area = FMI_AT_LEVEL(fmi_group_area)(&g), n = fmi_loadi(batch->n + first), x = fmi_loadi(batch->x + first),
         y = fmi_loadi(batch->y + first);
  FMI_AT_LEVEL(fmi_group_steps)(&g, area, dx, dy);
  p->back = fmi_gti(area, fmi_seti(0));
  fmi_vf scale = fmi_divf(one, fmi_tof(FMI_AT_LEVEL(fmi_size)(area))), count = fmi_tof(n);
  const bool single = d->samples == 1; /* n is 1 everywhere */
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    int a = (k + 1) % 3;
    fmi_vi corner_x = single ? g.x[a] : fmi_muli(n, g.x[a]), corner_y = single ? g.y[a] : fmi_muli(n, g.y[a]);
    fmi_vi e = fmi_addi(fmi_muli(dx[k], fmi_subi(x, corner_x)), fmi_muli(dy[k], fmi_subi(y, corner_y)));
    fmi_vf w = fmi_mulf(inverse_depth[k], scale);
    q[k] = fmi_mulf(single ? fmi_tof(e) : fmi_divf(fmi_tof(e), count), w);
    qx[k] = fmi_mulf(fmi_tof(fmi_lefti(dx[k], 8)), w);
    qy[k] = fmi_mulf(fmi_tof(fmi_lefti(dy[k], 8)), w);
  }
  fmi_vf zero = fmi_setf(0.0f), sum = fmi_addf(fmi_addf(q[0], q[1]), q[2]), sum_x = fmi_addf(fmi_addf(qx[0], qx[1]), qx[2]),
         sum_y = fmi_addf(fmi_addf(qy[0], qy[1]), qy[2]);
  fmi_vf inverse = fmi_pickf(fmi_ltf(zero, fmi_absf(sum)), fmi_divf(one, sum), zero);
  FMI_UNROLL
  for (int k = 0; k < 3; k++) {
    p->w[k] = fmi_mulf(q[k], inverse);
    p->dx[k] = fmi_mulf(fmi_subf(qx[k], fmi_mulf(p->w[k], sum_x)), inverse);
    p->dy[k] = fmi_mulf(fmi_subf(qy[k], fmi_mulf(p->w[k], sum_y)), inverse);
  }
  if (rare & valid) FMI_AT_LEVEL(fmi_load_rare_points)(p, d, batch, first, rare & valid);
}

/* The headlight on points: the factor of their encoded colour. */
FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_light)(const fmi_drawing *d, const fmi_points *p) {
  fmi_vf n[3], zero = fmi_setf(0.0f), k = fmi_setf(d->lane->frame.ambient), rest = fmi_setf(1.0f - d->lane->frame.ambient);
  FMI_UNROLL
  for (int c = 0; c < 3; c++)
    n[c] = fmi_addf(fmi_addf(fmi_mulf(p->w[0], p->normal[0][c]), fmi_mulf(p->w[1], p->normal[1][c])),
                    fmi_mulf(p->w[2], p->normal[2][c]));
  fmi_vf length2 = fmi_addf(fmi_addf(fmi_mulf(n[0], n[0]), fmi_mulf(n[1], n[1])), fmi_mulf(n[2], n[2]));
  fmi_vf facing = fmi_pickf(fmi_ltf(zero, length2), fmi_divf(n[2], fmi_rootf(length2)), zero);
  facing = fmi_pickf(p->back, fmi_subf(zero, facing), facing);
  fmi_vf s = fmi_addf(k, fmi_mulf(rest, fmi_pickf(fmi_ltf(zero, facing), facing, zero)));
  fmi_vf light = fmi_exp2_lanes(fmi_mulf(fmi_log2_lanes(s), fmi_setf(1.0f / 2.2f)));
  return fmi_pickf(fmi_ltf(zero, s), light, zero);
}

/* The weight of a head's texture on points. */
FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_head_weight)(const fmi_drawing *d, const fmi_points *p, size_t head) {
  const float *mask = d->lane->frame.texture_masks ? d->lane->frame.texture_masks[head] : NULL;
  fmi_vf weight = fmi_setf(d->lane->texture_weights[head]);
  if (!mask) return weight;
  fmi_vf m[3];
  FMI_UNROLL
  for (int k = 0; k < 3; k++) m[k] = fmi_mulf(p->w[k], fmi_gatherf(mask, fmi_loadi((const int32_t *)p->vertex[k])));
  return fmi_mulf(weight, fmi_addf(fmi_addf(m[0], m[1]), m[2]));
}

/* Texture coordinates within floats' reach; beyond 1e9 a float has no fraction left to repeat by. */
FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_tame)(fmi_vf uv) {
  return fmi_pickf(fmi_ltf(fmi_absf(uv), fmi_setf(1e9f)), uv, fmi_setf(0.0f));
}

/* Where points read a pyramid: the level of detail and, on its two levels, four texels each (left and right of the upper row, then of
   the lower one) with the share of each. */
typedef struct FMI_AT_LEVEL(fmi_aim) {
  fmi_vi low;               /* the finer level */
  fmi_vf fraction;          /* share of the coarser one */
  fmi_vi x[2][2], y[2][2];  /* of level low + i: columns, rows */
  fmi_vf tx[2], ty[2];      /* share of the second column, of the second row */
  uint32_t texel[2][2][FMI_LANES]; /* number of the left texel of both rows */
} FMI_AT_LEVEL(fmi_aim);
#define fmi_aim FMI_AT_LEVEL(fmi_aim)

/* One coordinate on a level of `size` texels: its two texels and the share of the second one. s is in [0, 1]. */
FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_aim_axis)(fmi_vi texel[2], fmi_vf s, fmi_vf size) {
  fmi_vi count = fmi_toi(size), zero = fmi_seti(0);
  fmi_vf p = fmi_addf(fmi_mulf(s, size), fmi_setf(0.5f)); /* centres at .5, counted from the texel before the first */
  fmi_vi i = fmi_toi(p);
  texel[0] = fmi_subi(fmi_picki(fmi_gti(i, zero), i, count), fmi_seti(1));
  texel[1] = fmi_picki(fmi_gti(count, i), i, zero);
  return fmi_subf(p, fmi_tof(i));
}

/* size of a level: halved level times, downwards, at least 1. Exact: a power of two scales it, and it is below 2^24. */
FMI_INLINE fmi_vf FMI_AT_LEVEL(fmi_level_size)(int size, fmi_vf scale) {
  return fmi_tof(fmi_maxi(fmi_toi(fmi_mulf(fmi_setf((float)size), scale)), fmi_seti(1)));
}

FMI_INLINE void FMI_AT_LEVEL(fmi_take_aim)(fmi_aim *aim, const fmi_drawing *d, const fmi_points *p, const fmi_sampler *sampler,
                                           const uint32_t *triangle) {
  const fmi_pyramid *pyramid = &d->s->pyramids[sampler->pyramid];
  const int size[2] = {pyramid->level[0].width, pyramid->level[0].height}, last_level = pyramid->level_count - 1;
  fmi_vi corner[8];
  fmi_vf uv[2], dx[2], dy[2], one = fmi_setf(1.0f), zero = fmi_setf(0.0f);
  fmi_gather8(corner, d->s->texcoords[sampler->uv_head], FMI_TEXCOORD_WORDS, triangle);
  FMI_UNROLL
  for (int c = 0; c < 2; c++) {
    fmi_vf at0 = fmi_asf(corner[c]), d1 = fmi_subf(fmi_asf(corner[2 + c]), at0), d2 = fmi_subf(fmi_asf(corner[4 + c]), at0);
    fmi_vf texels = fmi_setf((float)size[c]);
    uv[c] = FMI_AT_LEVEL(fmi_tame)(fmi_addf(at0, fmi_addf(fmi_mulf(p->w[1], d1), fmi_mulf(p->w[2], d2))));
    uv[c] = fmi_subf(uv[c], fmi_floorf(uv[c])); /* into [0, 1]: repeat wrapping */
    dx[c] = fmi_mulf(fmi_addf(fmi_mulf(p->dx[1], d1), fmi_mulf(p->dx[2], d2)), texels);
    dy[c] = fmi_mulf(fmi_addf(fmi_mulf(p->dy[1], d1), fmi_mulf(p->dy[2], d2)), texels);
  }
  uv[1] = fmi_subf(one, uv[1]);
  fmi_vf x2 = fmi_addf(fmi_mulf(dx[0], dx[0]), fmi_mulf(dx[1], dx[1])), y2 = fmi_addf(fmi_mulf(dy[0], dy[0]), fmi_mulf(dy[1], dy[1]));
  fmi_vf rho2 = fmi_pickf(fmi_ltf(y2, x2), x2, y2), last = fmi_setf((float)last_level);
  fmi_vf lambda = fmi_pickf(fmi_ltf(rho2, fmi_setf(1e30f)), fmi_mulf(fmi_setf(0.5f), fmi_log2_lanes(rho2)), last);
  lambda = fmi_pickf(fmi_ltf(one, rho2), lambda, zero);
  lambda = fmi_pickf(fmi_ltf(last, lambda), last, lambda);
  aim->low = fmi_toi(lambda);
  aim->fraction = fmi_subf(lambda, fmi_tof(aim->low));
  for (int i = 0; i < 2; i++) {
    /* beyond the last level only where its share is 0 */
    fmi_vi level = fmi_mini(fmi_addi(aim->low, fmi_seti(i)), fmi_seti(last_level));
    fmi_vf scale = fmi_asf(fmi_lefti(fmi_subi(fmi_seti(127), level), 23)); /* 2^-level */
    fmi_vf width = FMI_AT_LEVEL(fmi_level_size)(size[0], scale), height = FMI_AT_LEVEL(fmi_level_size)(size[1], scale);
    aim->tx[i] = FMI_AT_LEVEL(fmi_aim_axis)(aim->x[i], uv[0], width);
    aim->ty[i] = FMI_AT_LEVEL(fmi_aim_axis)(aim->y[i], uv[1], height);
    fmi_vi first = fmi_gatheri(pyramid->table, level), stride = fmi_seti((int)pyramid->heads), columns = fmi_toi(width);
    if (i == 0 && !pyramid->level[0].texels) /* not stored: the first texel of what is */
      columns = fmi_picki(fmi_eqi(level, fmi_seti(0)), fmi_seti(0), columns), stride = fmi_picki(fmi_eqi(level, fmi_seti(0)), fmi_seti(0), stride);
    FMI_UNROLL
    for (int row = 0; row < 2; row++)
      fmi_storei((int32_t *)aim->texel[i][row],
                 fmi_addi(first, fmi_muli(fmi_addi(fmi_muli(aim->y[i][row], columns), aim->x[i][0]), stride)));
  }
  for (int i = 0; i < 2; i++)
    for (int l = 0; l < FMI_LANES; l++) {
      FMI_PREFETCH(pyramid->texels + 4 * (size_t)aim->texel[i][0][l]);
      FMI_PREFETCH(pyramid->texels + 4 * (size_t)aim->texel[i][1][l]);
    }
}

/* Texels of level 0, of all heads, for the lanes whose bits are set: texel k of lane l is the (4 l + k)th. */
static void FMI_AT_LEVEL(fmi_read_absent)(uint8_t *to, const fmi_pyramid *pyramid, const fmi_aim *aim, uint32_t bits) {
  int32_t x[2][FMI_LANES], y[2][FMI_LANES];
  for (int k = 0; k < 2; k++) {
    fmi_storei(x[k], aim->x[0][k]);
    fmi_storei(y[k], aim->y[0][k]);
  }
  for (; bits; bits &= bits - 1) {
    int l = fmi_lowest_bit(bits);
    for (int k = 0; k < 4; k++)
      fmi_read_texel0(pyramid, x[k & 1][l], y[k >> 1][l], to + (4 * (size_t)l + (size_t)k) * 4 * pyramid->heads);
  }
}

/* Adds four texels with their shares, all by a weight. Channels [first, end) of RGBA. */
FMI_INLINE void FMI_AT_LEVEL(fmi_add_texels)(fmi_vf colour[4], const fmi_vi texel[4], const fmi_vf share[4], fmi_vf weight,
                                             int first, int end) {
  FMI_UNROLL
  for (int c = first; c < end; c++) {
    fmi_vf t[4];
    FMI_UNROLL
    for (int k = 0; k < 4; k++) { /* a byte where it stands is its value times a power of two, taken off the weight; not the sign's byte */
      fmi_vi byte = c == 3 ? fmi_righti(texel[k], 24) : fmi_andi(texel[k], fmi_seti(255 << 8 * (c % 3)));
      t[k] = fmi_mulf(fmi_tof(byte), share[k]);
    }
    fmi_vf w = c == 1 || c == 2 ? fmi_mulf(weight, fmi_setf(c == 1 ? 1.0f / 256.0f : 1.0f / 65536.0f)) : weight;
    colour[c] = fmi_addf(colour[c], fmi_mulf(w, fmi_addf(fmi_addf(t[0], t[1]), fmi_addf(t[2], t[3]))));
  }
}

/* Adds to colour what the sampler's heads give: trilinear, each head by its weight. */
FMI_INLINE void FMI_AT_LEVEL(fmi_sample)(const fmi_drawing *d, const fmi_points *p, const fmi_sampler *sampler, const fmi_aim *aim,
                                         int first, int end, fmi_vf colour[4]) {
  const fmi_pyramid *pyramid = &d->s->pyramids[sampler->pyramid];
  const int heads = (int)pyramid->heads;
  const float *weights = d->lane->texture_weights;
  fmi_vf one = fmi_setf(1.0f), zero = fmi_setf(0.0f);
  for (int i = 0; i < 2; i++) {
    fmi_vf level_share = i ? aim->fraction : fmi_subf(one, aim->fraction), share[4];
    fmi_vm level0 = fmi_eqi(aim->low, fmi_seti(0)), wrapped = fmi_gti(fmi_seti(1), aim->x[i][1]);
    uint32_t absent = i == 0 && !pyramid->level[0].texels ? fmi_bitsm(level0) : 0; /* lanes that read level 0 where it is not stored */
    bool wraps = fmi_bitsm(wrapped) != 0; /* the last column's neighbour is the first one */
    fmi_vi heads_each = fmi_seti(heads), to_right = fmi_picki(wrapped, fmi_subi(aim->x[i][1], aim->x[i][0]), fmi_seti(1));
    if (i && !fmi_bitsm(fmi_ltf(zero, aim->fraction))) break;
    if (absent) FMI_AT_LEVEL(fmi_read_absent)(d->lane->absent, pyramid, aim, absent);
    to_right = fmi_muli(to_right, heads_each);
    if (absent) to_right = fmi_picki(level0, fmi_seti(0), to_right);
    fmi_vf rx = fmi_subf(one, aim->tx[i]), ry = fmi_subf(one, aim->ty[i]);
    share[0] = fmi_mulf(rx, ry);
    share[1] = fmi_mulf(aim->tx[i], ry);
    share[2] = fmi_mulf(rx, aim->ty[i]);
    share[3] = fmi_mulf(aim->tx[i], aim->ty[i]);
    if (heads == 2 && !absent) { /* the pair: two texels of two heads are 16 bytes */
      fmi_vi texel[2][4];
      FMI_UNROLL
      for (int row = 0; row < 2; row++) {
        fmi_vi word[4];
        fmi_gather4b(word, pyramid->texels, aim->texel[i][row]);
        if (wraps) {
          fmi_vi right = fmi_addi(fmi_loadi((const int32_t *)aim->texel[i][row]), to_right);
          word[2] = fmi_picki(wrapped, fmi_gatherb(pyramid->texels, right), word[2]);
          word[3] = fmi_picki(wrapped, fmi_gatherb(pyramid->texels, fmi_addi(right, fmi_seti(1))), word[3]);
        }
        FMI_UNROLL
        for (int h = 0; h < 2; h++) {
          texel[h][2 * row] = word[h];
          texel[h][2 * row + 1] = word[2 + h];
        }
      }
      FMI_UNROLL
      for (int h = 0; h < 2; h++)
        if (weights[sampler->heads[h]] != 0.0f)
          FMI_AT_LEVEL(fmi_add_texels)(colour, texel[h], share,
                                       fmi_mulf(level_share, FMI_AT_LEVEL(fmi_head_weight)(d, p, sampler->heads[h])), first, end);
      continue;
    }
    for (int h = 0; h < heads; h++) {
      fmi_vi texel[4], read = fmi_addi(fmi_muli(fmi_iota(), fmi_seti(4 * heads)), fmi_seti(h));
      if (weights[sampler->heads[h]] == 0.0f) continue;
      FMI_UNROLL
      for (int k = 0; k < 4; k++) {
        fmi_vi left = fmi_addi(fmi_loadi((const int32_t *)aim->texel[i][k >> 1]), fmi_seti(h));
        texel[k] = fmi_gatherb(pyramid->texels, k & 1 ? fmi_addi(left, to_right) : left);
        if (absent) texel[k] = fmi_picki(level0, fmi_gatherb(d->lane->absent, fmi_addi(read, fmi_seti(k * heads))), texel[k]);
      }
      FMI_AT_LEVEL(fmi_add_texels)(colour, texel, share,
                                   fmi_mulf(level_share, FMI_AT_LEVEL(fmi_head_weight)(d, p, sampler->heads[h])), first, end);
    }
  }
}

/* The blended texture colour (RGBA, 0 to 255, not clamped) of points, all on one surface. aim: its first sampler's. */
FMI_INLINE void FMI_AT_LEVEL(fmi_surface_colour)(const fmi_drawing *d, const fmi_points *p, const fmi_surface *surface,
                                                 const uint32_t *triangle, const fmi_aim *aim, int first, int end, fmi_vf colour[4]) {
  fmi_vf grey = fmi_setf((float)FMI_PLAIN_GREY), opaque = fmi_setf(255.0f);
  bool plain = surface->sampler_count == 0;
  FMI_UNROLL
  for (int c = first; c < end; c++) colour[c] = plain ? (c < 3 ? grey : opaque) : fmi_setf(0.0f);
  if (plain) return;
  for (size_t i = 0; i < surface->plain_count; i++) {
    fmi_vf w = FMI_AT_LEVEL(fmi_head_weight)(d, p, surface->plain_heads[i]);
    FMI_UNROLL
    for (int c = first; c < end; c++) colour[c] = fmi_addf(colour[c], fmi_mulf(w, c < 3 ? grey : opaque));
  }
  FMI_AT_LEVEL(fmi_sample)(d, p, &surface->samplers[0], aim, first, end, colour);
  for (size_t i = 1; i < surface->sampler_count; i++) {
    fmi_aim other;
    FMI_AT_LEVEL(fmi_take_aim)(&other, d, p, &surface->samplers[i], triangle);
    FMI_AT_LEVEL(fmi_sample)(d, p, &surface->samplers[i], &other, first, end, colour);
  }
}

/* The colours of points on several surfaces: lane by lane what its surface gives. */
static void FMI_AT_LEVEL(fmi_mixed_colour)(const fmi_drawing *d, const fmi_points *p, const uint32_t *triangle, int first, int end,
                                           fmi_vf colour[4]) {
  int32_t surfaces[FMI_LANES];
  uint32_t all = (uint32_t)((1ull << FMI_LANES) - 1), done = 0;
  fmi_storei(surfaces, p->surface);
  while (done != all) {
    const int32_t number = surfaces[fmi_lowest_bit(~done)];
    const fmi_surface *surface = &d->s->surfaces[number];
    fmi_vm m = fmi_eqi(p->surface, fmi_seti(number));
    fmi_vf mine[4];
    fmi_aim aim;
    if (surface->sampler_count) FMI_AT_LEVEL(fmi_take_aim)(&aim, d, p, &surface->samplers[0], triangle);
    FMI_AT_LEVEL(fmi_surface_colour)(d, p, surface, triangle, &aim, first, end, mine);
    for (int c = first; c < end; c++) colour[c] = done ? fmi_pickf(m, mine[c], colour[c]) : mine[c];
    done |= fmi_bitsm(m);
  }
}

/* Channels [first, end) of the batch's colours, in two steps: where a few groups of points are and what they will read, which is fetched
   meanwhile; then their colours. */
FMI_INLINE void FMI_AT_LEVEL(fmi_shade_channels)(const fmi_drawing *d, fmi_batch *batch, int first, int end) {
  enum { AHEAD = 4 };
  const int32_t *texcoords = NULL; /* of the last surface: what comes next is likely to lie on it too */
  fmi_vf zero = fmi_setf(0.0f), most = fmi_setf(255.0f);
  for (size_t i = batch->count; i % FMI_LANES; i++) { /* whole lanes: the last one again */
    batch->triangle[i] = batch->triangle[i - 1];
    batch->x[i] = batch->x[i - 1];
    batch->y[i] = batch->y[i - 1];
    batch->n[i] = batch->n[i - 1];
  }
  for (size_t begin = 0; begin < batch->count; begin += AHEAD * FMI_LANES) {
    fmi_points points[AHEAD];
    fmi_aim aims[AHEAD];
    fmi_vf light[AHEAD];
    const fmi_surface *surface[AHEAD]; /* NULL: several */
    size_t stop = fmi_min_size(begin + AHEAD * FMI_LANES, batch->count);
    for (size_t i = begin, g = 0; i < stop; i += FMI_LANES, g++) {
      fmi_points *p = &points[g];
      const uint32_t all = (uint32_t)((1ull << FMI_LANES) - 1);
      for (size_t next = i + AHEAD * FMI_LANES; next < fmi_min_size(i + (AHEAD + 1) * FMI_LANES, batch->count); next++) {
        FMI_PREFETCH(d->s->triangles + (size_t)batch->triangle[next] * FMI_TRIANGLE_WORDS);
        if (texcoords) FMI_PREFETCH(texcoords + (size_t)batch->triangle[next] * FMI_TEXCOORD_WORDS);
      }
      FMI_AT_LEVEL(fmi_load_points)(p, d, batch, i, all);
      int32_t number = d->s->triangles[(size_t)batch->triangle[i] * FMI_TRIANGLE_WORDS + 3];
      bool one = fmi_bitsm(fmi_eqi(p->surface, fmi_seti(number))) == all;
      p->surface = fmi_andi(p->surface, fmi_seti((int32_t)~fmi_cutout_bit));
      surface[g] = one ? &d->s->surfaces[(uint32_t)number & ~fmi_cutout_bit] : NULL;
      if (one && surface[g]->sampler_count) {
        texcoords = d->s->texcoords[surface[g]->samplers[0].uv_head];
        FMI_AT_LEVEL(fmi_take_aim)(&aims[g], d, p, &surface[g]->samplers[0], batch->triangle + i);
      }
      light[g] = d->lane->frame.unlit || first == 3 ? fmi_setf(1.0f) : FMI_AT_LEVEL(fmi_light)(d, p);
    }
    for (size_t i = begin, g = 0; i < stop; i += FMI_LANES, g++) {
      fmi_vf colour[4];
      fmi_vi rounded = fmi_seti(0);
      if (surface[g])
        FMI_AT_LEVEL(fmi_surface_colour)(d, &points[g], surface[g], batch->triangle + i, &aims[g], first, end, colour);
      else FMI_AT_LEVEL(fmi_mixed_colour)(d, &points[g], batch->triangle + i, first, end, colour);
      FMI_UNROLL
      for (int c = first; c < end; c++) {
        fmi_vf v = fmi_mulf(colour[c], light[g]);
        if (c < 3) {
          v = fmi_pickf(fmi_ltf(zero, v), v, zero);
          v = fmi_pickf(fmi_ltf(v, most), v, most);
          rounded = fmi_ori(rounded, fmi_lefti(fmi_toi(fmi_addf(v, fmi_setf(0.5f))), 8 * c));
        }
        fmi_storef(batch->colour[c] + i, v);
      }
      fmi_storei(batch->rounded + i, rounded);
    }
  }
}
static void FMI_AT_LEVEL(fmi_shade)(const fmi_drawing *d, fmi_batch *batch) {
  FMI_AT_LEVEL(fmi_shade_channels)(d, batch, 0, 3);
}
static void FMI_AT_LEVEL(fmi_shade_alpha)(const fmi_drawing *d, fmi_batch *batch) {
  FMI_AT_LEVEL(fmi_shade_channels)(d, batch, 3, 4);
}

static const fmi_raster_kernels FMI_AT_LEVEL(fmi_kernels) = {
  FMI_AT_LEVEL(fmi_weigh), FMI_AT_LEVEL(fmi_make_planes_unit), FMI_AT_LEVEL(fmi_place), FMI_AT_LEVEL(fmi_find),
  FMI_AT_LEVEL(fmi_fill_compact), FMI_AT_LEVEL(fmi_shade), FMI_AT_LEVEL(fmi_shade_alpha)};
#undef fmi_group
#undef fmi_rows
#undef fmi_points
#undef fmi_aim
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)
#ifndef FACEMORPH_NO_RENDER
#define FMI_BLOCK FMI_BLOCK_RASTER
#include FACEMORPH_FILENAME
#undef FMI_BLOCK

static const fmi_raster_kernels *const fmi_raster_kernels_at[] = FMI_ALL_LEVELS(&fmi_kernels);

/* ---- vertices ---- */

FMI_FN bool fmi_any_mask(const float *const *masks, size_t count) {
  for (size_t h = 0; masks && h < count; h++)
    if (masks[h]) return true;
  return false;
}

/* The frame's positions, as planes. */
FMI_FN void fmi_blend_positions(const fmi_software *s, fmi_lane *lane) {
  size_t n = 0;
  for (size_t h = 0; h < s->head_count; h++) {
    if (lane->shape_weights[h] == 0.0f && (n > 0 || h + 1 < s->head_count)) continue; /* something is always there: 0 x a head */
    lane->terms[n] = s->shapes[h];
    lane->term_weights[n++] = lane->shape_weights[h];
  }
  s->kernels->weigh(lane->positions, lane->terms, lane->term_weights, n, 3 * s->plane);
}

/* Its unit normals, as planes: the quadratic form of the morph. */
FMI_FN void fmi_blend_normals(const fmi_software *s, fmi_lane *lane) {
  size_t n = 0, term = 0;
  for (size_t h = 0; h < s->head_count; h++)
    for (size_t g = h; g < s->head_count; g++, term++) {
      float w = lane->shape_weights[h] * lane->shape_weights[g];
      if (w == 0.0f) continue;
      lane->terms[n] = s->normal_terms[term];
      lane->term_weights[n++] = w;
    }
  s->kernels->weigh(lane->normals, lane->terms, lane->term_weights, n, 3 * s->plane);
  s->kernels->make_planes_unit(lane->normals, s->plane);
}

FMI_FN void fmi_blend_vertices(const fmi_software *s, fmi_lane *lane) {
  bool masked = fmi_any_mask(lane->frame.shape_masks, s->head_count);
  size_t count = s->heads[0]->vertex_count;
  if (masked || !s->normal_terms) {
    float *positions = lane->interleaved, *normals = positions + 3 * count;
    fm_blend(positions, s->heads, lane->shape_weights, masked ? lane->frame.shape_masks : NULL, s->head_count);
    if (!lane->frame.unlit) fm_normals(normals, s->heads[0], positions);
    fmi_make_planes(lane->positions, s->plane, positions, count);
    if (!lane->frame.unlit) fmi_make_planes(lane->normals, s->plane, normals, count);
  } else {
    fmi_blend_positions(s, lane);
    if (!lane->frame.unlit) fmi_blend_normals(s, lane);
  }
  if (lane->frame.unlit) memset(lane->normals, 0, 3 * s->plane * sizeof(float));
}

/* ---- visibility ---- */

/* Decides the alpha tests of a batch and empties it. */
FMI_FN void fmi_flush_cutouts(const fmi_drawing *d) {
  fmi_batch *batch = d->lane->batch;
  d->s->kernels->shade_alpha(d, batch);
  for (size_t i = 0; i < batch->count; i++) {
    int64_t *word = d->lane->words + batch->place[i];
    if (batch->colour[3][i] >= 127.5f && batch->word[i] > *word) *word = batch->word[i];
  }
  batch->count = 0;
}

/* Writes any triangle's words into the band, sample by sample; those of a cut-out only where it is opaque. */
FMI_FN void fmi_fill_triangle(const fmi_drawing *d, uint32_t triangle, const fmi_setup *t) {
  const fmi_band *band = &d->band;
  fmi_batch *batch = d->lane->batch;
  bool cutout = (fmi_triangle_surface(d->s, triangle) & fmi_cutout_bit) != 0;
  int x0 = fmi_max_int(fmi_floor_pixel(t->low_x), band->left),
      x1 = fmi_min_int(fmi_floor_pixel(t->high_x), band->left + band->width - 1);
  int y0 = fmi_max_int(fmi_floor_pixel(t->low_y), band->row0), y1 = fmi_min_int(fmi_floor_pixel(t->high_y), band->row1 - 1);
  for (int y = y0; y <= y1; y++)
    for (int i = 0; i < d->samples; i++) {
      int32_t sx = x0 * FMI_SUBPIXELS + d->sample[i][0], sy = y * FMI_SUBPIXELS + d->sample[i][1];
      int64_t e0 = fmi_edge(t, 0, sx, sy) - t->bias[0], e1 = fmi_edge(t, 1, sx, sy) - t->bias[1],
              e2 = fmi_edge(t, 2, sx, sy) - t->bias[2];
      size_t place = (size_t)(y - band->row0) * (size_t)band->stride + (size_t)((x0 - band->left) * d->samples + i);
      for (int x = x0; x <= x1; x++, place += (size_t)d->samples) {
        if ((e0 | e1 | e2) >= 0) {
          int64_t *word = d->lane->words + place,
                  mine = fmi_word(fmi_nearness_at(t, e1 + t->bias[1], e2 + t->bias[2]), triangle);
          if (mine > *word && !cutout) *word = mine;
          else if (mine > *word) {
            if (batch->count == FMI_BATCH) fmi_flush_cutouts(d);
            batch->triangle[batch->count] = triangle;
            batch->x[batch->count] = x * FMI_SUBPIXELS + d->sample[i][0];
            batch->y[batch->count] = sy;
            batch->n[batch->count] = 1;
            batch->place[batch->count] = (uint32_t)place;
            batch->word[batch->count++] = mine;
          }
        }
        e0 += t->dx[0] * FMI_SUBPIXELS;
        e1 += t->dx[1] * FMI_SUBPIXELS;
        e2 += t->dx[2] * FMI_SUBPIXELS;
      }
    }
}

/* Keeps the part of a convex polygon in camera space with a . p + b >= 0 (Sutherland and Hodgman 1974). Returns its corner count.
   An edge is cut from its lower end to its upper one, whichever way it runs: both triangles at it get the same point. */
FMI_FN int fmi_clip_plane(double (*out)[3], double (*in)[3], int count, const double a[3], double b) {
  int n = 0;
  for (int i = 0; i < count; i++) {
    const double *p = in[i], *q = in[(i + 1) % count];
    double dp = a[0] * p[0] + a[1] * p[1] + a[2] * p[2] + b, dq = a[0] * q[0] + a[1] * q[1] + a[2] * q[2] + b;
    if (dp >= 0.0) memcpy(out[n++], p, sizeof out[0]);
    if ((dp >= 0.0) != (dq >= 0.0)) {
      bool up = p[0] != q[0] ? p[0] < q[0] : p[1] != q[1] ? p[1] < q[1] : p[2] < q[2];
      const double *low = up ? p : q, *high = up ? q : p;
      double low_d = up ? dp : dq, high_d = up ? dq : dp, f = low_d / (low_d - high_d);
      for (int k = 0; k < 3; k++) out[n][k] = low[k] + (high[k] - low[k]) * f;
      n++;
    }
  }
  return n;
}

/* A corner of a clipped triangle on the grid. */
typedef struct fmi_grid_corner { int32_t x, y; float nearness; } fmi_grid_corner;

/* Rounding in the clipper can leave a corner of a vast triangle far outside: the grid's bounds hold it. */
FMI_FN int32_t fmi_clamp_to_grid(double pixels) {
  const double most = 8388608.0; /* products of two differences stay far below 2^63 */
  double grid = floor(pixels * (double)FMI_SUBPIXELS + 0.5);
  return (int32_t)(grid < -most ? -most : grid > most ? most : grid);
}

/* p is in camera space. A corner of the triangle itself that is on the grid stays where the triangles beside it have it. */
FMI_FN fmi_grid_corner fmi_place_corner(const fmi_drawing *d, const uint32_t vertex[3], const double p[3]) {
  const fmi_view *view = &d->view;
  fmi_grid_corner c;
  for (int k = 0; k < 3; k++) {
    const int32_t *placed = fmi_placed(d->lane, vertex[k]);
    double own[3];
    fmi_in_camera_space(d, vertex[k], own);
    if (placed[0] != FMI_OFF_GRID && own[0] == p[0] && own[1] == p[1] && own[2] == p[2]) {
      c.x = placed[0];
      c.y = placed[1];
      c.nearness = fmi_word_float(placed[2]);
      return c;
    }
  }
  double inverse = view->orthographic ? 1.0 : 1.0 / (view->distance - p[2]);
  c.x = fmi_clamp_to_grid(view->middle[0] + view->zoom * p[0] * inverse);
  c.y = fmi_clamp_to_grid(view->middle[1] - view->zoom * p[1] * inverse);
  c.nearness = fmi_clamp_to_float(p[2] * inverse);
  return c;
}

/* A triangle that leaves the grid: clipped in camera space against the near plane and, a little outside the picture, against its
   four sides; drawn as a fan of triangles with one number. Rare, so in double and step by step. */
FMI_FN void fmi_fill_clipped(const fmi_drawing *d, uint32_t triangle) {
  enum { MOST = 3 + 5 };
  double buffer[2][MOST][3];
  fmi_grid_corner corner[MOST];
  const fmi_view *view = &d->view;
  uint32_t vertex[3];
  fmi_triangle_vertices(d->s, triangle, vertex);
  /* 256 pixels beyond the picture: inside the grid's reach, and no clipped edge is ever seen */
  double half_x = (view->middle[0] + 256.0) / view->zoom, half_y = (view->middle[1] + 256.0) / view->zoom;
  /* depth = distance - z; |x| <= half * depth, or <= half where orthographic */
  double depth_z = view->orthographic ? 0.0 : -1.0, depth_1 = view->orthographic ? 1.0 : (double)view->distance;
  double plane[5][4] = {{0.0, 0.0, -1.0, (double)view->distance - fmi_near_depth}, {1.0, 0.0, half_x * depth_z, half_x * depth_1},
                        {-1.0, 0.0, half_x * depth_z, half_x * depth_1}, {0.0, 1.0, half_y * depth_z, half_y * depth_1},
                        {0.0, -1.0, half_y * depth_z, half_y * depth_1}};
  int count = 3, at = 0;
  for (int k = 0; k < 3; k++) {
    fmi_in_camera_space(d, vertex[k], buffer[0][k]);
    for (int c = 0; c < 3; c++)
      if (!fmi_is_finite(buffer[0][k][c])) return; /* weights beyond what floats hold */
  }
  for (int i = view->orthographic ? 1 : 0; i < 5 && count > 0; i++, at ^= 1)
    count = fmi_clip_plane(buffer[at ^ 1], buffer[at], count, plane[i], plane[i][3]);
  for (int i = 0; i < count; i++) corner[i] = fmi_place_corner(d, vertex, buffer[at][i]);
  for (int i = 1; i + 1 < count; i++) {
    int32_t x[3], y[3];
    float nearness[3];
    fmi_setup setup;
    for (int k = 0; k < 3; k++) {
      const fmi_grid_corner *c = &corner[k == 0 ? 0 : i + k - 1];
      x[k] = c->x;
      y[k] = c->y;
      nearness[k] = c->nearness;
    }
    if (fmi_set_up(&setup, x, y, nearness) && (d->lane->frame.cull != FM_CULL_BACK || !setup.back))
      fmi_fill_triangle(d, triangle, &setup);
  }
}

/* Draws a vast, clipped or cut-out triangle. Returns whether it goes on below the band. */
FMI_FN bool fmi_fill_other(const fmi_drawing *d, uint32_t triangle) {
  uint32_t vertex[3];
  fmi_setup t;
  fmi_triangle_vertices(d->s, triangle, vertex);
  if (!fmi_is_on_grid(d->lane, vertex)) {
    fmi_fill_clipped(d, triangle);
    return true;
  }
  if (!fmi_load_triangle(d->lane, vertex, &t) || (d->lane->frame.cull == FM_CULL_BACK && t.back)) return false;
  fmi_fill_triangle(d, triangle, &t);
  return fmi_floor_pixel(t.high_y) >= d->band.row1;
}

/* Sorts the triangles by bins: bin i ends at lane->bins[i] in lane->order, the bins of band b begin with FMI_BINS * b. */
FMI_FN void fmi_sort_by_band(const fmi_drawing *d, size_t bands) {
  fmi_lane *lane = d->lane;
  size_t count = d->s->kernels->find(d);
  uint32_t *bins = lane->bins, begin = 0;
  memset(bins, 0, FMI_BINS * bands * sizeof *bins);
  for (size_t i = 0; i < count; i++) bins[lane->keys[i]]++;
  for (size_t b = 0; b < FMI_BINS * bands; b++) {
    uint32_t size = bins[b];
    bins[b] = begin;
    begin += size;
  }
  for (size_t i = 0; i < count; i++) lane->order[bins[lane->keys[i]]++] = lane->found[i];
}

/* Writes the words of the band's triangles. What the bands above carried on is in lane->found (compact) and lane->keys (others). */
typedef struct fmi_carried { size_t compact, other; } fmi_carried;

FMI_FN void fmi_fill_band(const fmi_drawing *d, size_t b, fmi_carried *carried) {
  fmi_lane *lane = d->lane;
  const fmi_raster_kernels *kernels = d->s->kernels;
  const uint32_t *end = lane->bins + FMI_BINS * b, begin = b ? end[-1] : 0;
  uint32_t *compact = lane->found, *others = lane->keys;
  size_t kept = 0;
  carried->compact = kernels->fill_compact(d, compact, carried->compact, compact);
  carried->compact += kernels->fill_compact(d, lane->order + begin, end[FMI_BIN_COMPACT] - begin, compact + carried->compact);
  for (size_t i = 0; i < carried->other; i++)
    if (fmi_fill_other(d, others[i])) others[kept++] = others[i];
  for (uint32_t i = end[FMI_BIN_COMPACT]; i < end[FMI_BIN_OTHER]; i++)
    if (fmi_fill_other(d, lane->order[i])) others[kept++] = lane->order[i];
  carried->other = kept;
  if (lane->batch->count) fmi_flush_cutouts(d);
}

/* ---- pixels ---- */

/* Rows of an image without heads in them, between two columns. */
FMI_FN void fmi_fill_background(const fmi_drawing *d, const fm_image *image, int y, int x0, int x1) {
  const fm_frame *frame = &d->lane->frame;
  size_t channels = (size_t)image->channels, first = (size_t)y * (size_t)image->width + (size_t)x0, count = (size_t)(x1 - x0);
  uint8_t *to = image->pixels + first * channels, colour[4] = {0, 0, 0, 0};
  if (x1 <= x0) return;
  if (!frame->transparent) memcpy(colour, frame->background, 3);
  if (colour[0] == colour[1] && colour[1] == colour[2]) memset(to, colour[0], count * channels);
  else
    for (size_t i = 0; i < count; i++) memcpy(to + i * channels, colour, channels);
  if (image->coverage) memset(image->coverage + first, 0, count);
}

/* Writes the pixels of a batch and empties it: a pixel's pairs follow each other. How many they are cannot be foreseen, so with 4
   samples each pair writes what the pixel's first ones make, the last one all of it: more work, but no branches that go wrong. */
FMI_FN void fmi_flush_pixels(const fmi_drawing *d, const fm_image *image) {
  fmi_batch *batch = d->lane->batch;
  const bool transparent = d->lane->frame.transparent;
  const size_t channels = (size_t)image->channels, count = batch->count;
  const int samples = d->samples;
  uint8_t *coverage = image->coverage;
  size_t pixel = SIZE_MAX;
  float sum[3] = {0.0f, 0.0f, 0.0f}, behind[5][3]; /* what the background adds to the sum, by how many samples show it */
  int covered = 0;
  for (int n = 0; n < 5; n++)
    for (int c = 0; c < 3; c++) behind[n][c] = (float)n * (float)d->lane->frame.background[c];
  d->s->kernels->shade(d, batch);
  for (size_t i = 0; i < count; i++) {
    uint8_t *out = image->pixels + batch->place[i] * channels;
    if (samples == 1) {
      uint32_t rounded = (uint32_t)batch->rounded[i];
      FMI_UNROLL
      for (int c = 0; c < 3; c++) out[c] = (uint8_t)(rounded >> 8 * c);
      covered = 1;
    } else {
      int same = batch->place[i] == pixel;
      float weight = (float)batch->n[i], kept = (float)same;
      covered = covered * same + batch->n[i];
      FMI_UNROLL
      for (int c = 0; c < 3; c++) {
        sum[c] = sum[c] * kept + weight * batch->colour[c][i];
        float mean = transparent ? sum[c] / (float)covered : (sum[c] + behind[4 - covered][c]) * 0.25f;
        out[c] = (uint8_t)(int)(mean + 0.5f);
      }
      pixel = batch->place[i];
    }
    if (transparent) out[3] = (uint8_t)((2 * 255 * covered + samples) / (2 * samples));
    if (coverage) coverage[batch->place[i]] = (uint8_t)covered;
  }
  batch->count = 0;
}

FMI_FN void fmi_add_pair(fmi_batch *batch, uint32_t triangle, int32_t x, int32_t y, int n, size_t pixel) {
  size_t i = batch->count++;
  batch->triangle[i] = triangle;
  batch->x[i] = x;
  batch->y[i] = y;
  batch->n[i] = n;
  batch->place[i] = (uint32_t)pixel;
}

/* The pairs of a pixel with 4 samples, in the order of their first samples ("nothing" has no triangle's number). Each sample writes a pair of its own, which stays if it is
   the first of its triangle: no branches, whose ways could not be foreseen. */
FMI_FN void fmi_add_pixel(fmi_batch *batch, const int64_t word[4], int x, int y, size_t pixel) {
  /* of each set of samples: how many, and the sums of their places; all of them: the centre */
  static const uint16_t sum[16][3] = {{0, 0, 0}, {1, 96, 32}, {1, 224, 96}, {2, 320, 128}, {1, 32, 160}, {2, 128, 192},
                                      {2, 256, 256}, {3, 352, 288}, {1, 160, 224}, {2, 256, 256}, {2, 384, 320},
                                      {3, 480, 352}, {2, 192, 384}, {3, 288, 416}, {3, 416, 480}, {4, 512, 512}};
  uint32_t id[4], shown[4];
  size_t at = batch->count;
  x *= FMI_SUBPIXELS;
  y *= FMI_SUBPIXELS;
  FMI_UNROLL
  for (int i = 0; i < 4; i++) {
    id[i] = fmi_word_triangle(word[i]);
    shown[i] = word[i] != fmi_no_word;
  }
  FMI_UNROLL
  for (int i = 0; i < 4; i++) {
    uint32_t set = 0;
    FMI_UNROLL
    for (int k = 0; k < 4; k++) set |= (uint32_t)(id[k] == id[i]) << k;
    const uint16_t *sums = sum[set];
    int n = sums[0];
    batch->triangle[at] = id[i];
    batch->x[at] = n * x + sums[1];
    batch->y[at] = n * y + sums[2];
    batch->n[at] = n;
    batch->place[at] = (uint32_t)pixel;
    at += shown[i] & (uint32_t)((set & ((1u << i) - 1)) == 0);
  }
  batch->count = at;
}

/* Shades the band's words and writes its pixels: every triangle of a pixel once, weighted by its samples. */
FMI_FN void fmi_resolve_band(const fmi_drawing *d, const fm_image *image) {
  const fmi_band *band = &d->band;
  fmi_batch *batch = d->lane->batch;
  for (int y = band->row0; y < band->row1; y++) {
    const int64_t *word = d->lane->words + (size_t)(y - band->row0) * (size_t)band->stride;
    size_t pixel = (size_t)y * (size_t)image->width + (size_t)band->left;
    fmi_fill_background(d, image, y, 0, image->width);
    for (int x = band->left; x < band->left + band->width; x++, word += d->samples, pixel++) {
      if (batch->count + 4 > FMI_BATCH) fmi_flush_pixels(d, image);
      if (d->samples == 1) {
        if (word[0] != fmi_no_word)
          fmi_add_pair(batch, fmi_word_triangle(word[0]), x * FMI_SUBPIXELS + d->sample[0][0],
                       y * FMI_SUBPIXELS + d->sample[0][1], 1, pixel);
        continue;
      }
      if (((word[0] ^ fmi_no_word) | (word[1] ^ fmi_no_word) | (word[2] ^ fmi_no_word) | (word[3] ^ fmi_no_word)) != 0)
        fmi_add_pixel(batch, word, x, y, pixel);
    }
  }
  fmi_flush_pixels(d, image);
}

/* Draws the lane's frame into image, whose size and channels are the frame's. */
FMI_FN void fmi_draw(const fmi_software *s, fmi_lane *lane, const fm_image *image) {
  fmi_drawing d;
  memset(&d, 0, sizeof d);
  d.s = s;
  d.lane = lane;
  d.view = fmi_make_view(&lane->camera, image->width, image->height);
  d.samples = lane->frame.samples;
  d.sample = d.samples == 1 ? fmi_sample_1 : fmi_sample_4;
  d.lowest = d.samples == 1 ? fmi_sample_1[0][0] : fmi_sample_4[2][0];
  d.highest = d.samples == 1 ? fmi_sample_1[0][0] : fmi_sample_4[1][0];
  d.right = image->width;
  d.bottom = image->height;
  lane->batch->count = 0;
  fmi_blend_vertices(s, lane);
  s->kernels->place(&d);
  d.band.left = d.left;
  d.band.width = d.right - d.left;
  d.band.stride = d.band.width * d.samples + FMI_MOST_LANES;
  int rows = FMI_BAND_WORDS / d.band.stride;
  fmi_carried carried = {0, 0};
  for (int y = d.top; y < d.bottom; y++) lane->band_of_row[y] = (uint16_t)((y - d.top) / rows);
  fmi_sort_by_band(&d, (size_t)fmi_ceil_div(fmi_max_int(d.bottom - d.top, 1), rows));
  for (int y = 0; y < d.top; y++) fmi_fill_background(&d, image, y, 0, image->width);
  for (int y = d.bottom; y < image->height; y++) fmi_fill_background(&d, image, y, 0, image->width);
  for (int b = 0; d.top + b * rows < d.bottom; b++) {
    d.band.row0 = d.top + b * rows;
    d.band.row1 = fmi_min_int(d.band.row0 + rows, d.bottom);
    memset(lane->words, FMI_NOTHING, (size_t)(d.band.row1 - d.band.row0) * (size_t)d.band.stride * sizeof *lane->words);
    fmi_fill_band(&d, (size_t)b, &carried);
    fmi_resolve_band(&d, image);
  }
}
#endif /* FACEMORPH_NO_RENDER */

#ifndef FACEMORPH_NO_RENDER
/* ============================================================ [FM:renderer] =========================================
   The renderer hook: the built-in rasterizer behind it, and fm_render, which feeds any renderer. The built-in draws in collect,
   straight into the caller's image. Test: tests/test_renderer.c */

FMI_FN void fmi_software_end(void *user) {
  fmi_software *s = (fmi_software *)user;
  fmi_software empty;
  fmi_free_pool(NULL, &s->allocator, &s->pool);
  memset(&empty, 0, sizeof empty);
  empty.common = s->common;
  empty.allocator = s->allocator;
  empty.owner = s->owner;
  *s = empty;
}

FMI_FN int fmi_software_begin(void *user, const fm_scene *scene, fm_error *error) {
  fmi_software *s = (fmi_software *)user;
  fmi_env env;
  fmi_software_end(s);
  fmi_begin(&env, scene->common ? scene->common : &s->common, error, NULL);
  s->allocator = env.allocator;
  s->kernels = fmi_raster_kernels_at[env.simd];
  if (!fmi_float_ok())
    fmi_fail(
        &env, FM_ERROR_BUILD,
        "this build fuses multiplications with additions or flushes denormals; compile the implementation's file with -ffp-contract=off");
  else if (!scene->heads || scene->head_count == 0)
    fmi_fail(&env, FM_ERROR_ARGUMENT, "a scene needs at least one head");
  else if (env.error->status == FM_OK && fmi_prepare_scene(&env, s, scene)) {
    int lanes = scene->lanes > 0 ? scene->lanes : fmi_workers(&env);
    s->lanes = (fmi_lane *)fmi_alloc_zero(&env, &env.keep, (size_t)lanes, sizeof *s->lanes);
    while (s->lanes && s->lane_count < lanes && fmi_prepare_lane(&env, &s->lanes[s->lane_count], s)) s->lane_count++;
  }
  if (fmi_end(&env)) {
    fmi_move_pool(&s->pool, &env.keep);
    return s->lane_count;
  }
  fmi_software_end(s); /* its pointers died with the call */
  return 0;
}

/* Numbers that stay finite in float arithmetic. */
FMI_FN bool fmi_is_usable_camera(const fm_camera *c) {
  const double low = 1e-18, high = 1e18;
  bool ok = c->scale >= low && c->scale <= high && c->half_extent >= low && c->half_extent <= high && c->distance >= low &&
            (c->distance <= high || !fmi_is_finite(c->distance)) && fmi_is_finite(c->yaw) && fmi_is_finite(c->pitch);
  for (int k = 0; k < 3; k++) ok = ok && fabs(c->center[k]) <= high;
  return ok;
}

FMI_FN bool fmi_software_submit(void *user, int lane_index, const fm_frame *frame, fm_error *error) {
  fmi_software *s = (fmi_software *)user;
  if (lane_index < 0 || lane_index >= s->lane_count)
    return fm_set_error(error, FM_ERROR_ARGUMENT,
                        "submit: there is no lane of that number; begin returned how many there are");
  fmi_lane *lane = &s->lanes[lane_index];
  if (lane->busy) return fm_set_error(error, FM_ERROR_ARGUMENT, "submit: the lane still holds a frame; collect it first");
  if (!frame->shape_weights) return fm_set_error(error, FM_ERROR_ARGUMENT, "submit: the frame has no shape_weights");
  lane->frame = *frame;
  if (!lane->frame.width) lane->frame.width = 512;
  if (!lane->frame.height) lane->frame.height = 512;
  if (!lane->frame.samples) lane->frame.samples = 4;
  if (lane->frame.width < 1 || lane->frame.height < 1 || lane->frame.width > FMI_MAX_PICTURE ||
      lane->frame.height > FMI_MAX_PICTURE)
    return fm_set_error(error, FM_ERROR_ARGUMENT, "a picture is 1 to 16384 pixels wide and high");
  if (lane->frame.samples != 1 && lane->frame.samples != 4)
    return fm_set_error(error, FM_ERROR_ARGUMENT, "samples must be 1 or 4");
  if (!(lane->frame.ambient >= 0.0f && lane->frame.ambient <= 1.0f))
    return fm_set_error(error, FM_ERROR_ARGUMENT, "ambient must be between 0 and 1");
  if (lane->frame.ambient == 0.0f && !lane->frame.no_ambient) lane->frame.ambient = FM_AMBIENT;
  if (lane->frame.no_ambient) lane->frame.ambient = 0.0f;
  if (!lane->frame.background_set) memset(lane->frame.background, 255, sizeof lane->frame.background);
  for (size_t h = 0; h < s->head_count; h++) {
    lane->shape_weights[h] = frame->shape_weights[h];
    lane->texture_weights[h] = (frame->texture_weights ? frame->texture_weights : frame->shape_weights)[h];
    if (!fmi_is_finite(lane->shape_weights[h]) || !fmi_is_finite(lane->texture_weights[h]))
      return fm_set_error(error, FM_ERROR_ARGUMENT, "weights must be finite numbers");
  }
  lane->camera = frame->camera ? *frame->camera : s->fitted;
  if (!fmi_is_usable_camera(&lane->camera))
    return fm_set_error(
        error, FM_ERROR_ARGUMENT,
        "a camera's scale, distance and half_extent must lie between 1e-18 and 1e18, its center below 1e18, its angles be finite");
  lane->busy = true;
  return true;
}

FMI_FN bool fmi_software_collect(void *user, int lane_index, fm_image *image, fm_error *error) {
  fmi_software *s = (fmi_software *)user;
  if (lane_index < 0 || lane_index >= s->lane_count || !s->lanes[lane_index].busy)
    return fm_set_error(error, FM_ERROR_ARGUMENT, "collect: this lane holds no frame");
  fmi_lane *lane = &s->lanes[lane_index];
  lane->busy = false;
  if (!image->pixels || image->width != lane->frame.width || image->height != lane->frame.height ||
      image->channels != (lane->frame.transparent ? 4 : 3))
    return fm_set_error(error, FM_ERROR_ARGUMENT, "collect: the image does not have the frame's size and channels");
  uint64_t state = fmi_enter_float();
  fmi_draw(s, lane, image);
  fmi_leave_float(state);
  return true;
}

FMI_FN void fmi_software_destroy(void *user) {
  fmi_software *s = (fmi_software *)user;
  fmi_software_end(s);
  fmi_free_owner(s->owner);
}

FM_API bool fm_software_renderer(fm_renderer *out, const fm_common *common, fm_error *error) {
  fmi_env env;
  if (!out) return fm_set_error(error, FM_ERROR_ARGUMENT, "fm_software_renderer needs somewhere to put the renderer");
  memset(out, 0, sizeof *out);
  fmi_begin(&env, common, error, NULL);
  fmi_software *s = env.error->status == FM_OK ? (fmi_software *)fmi_alloc_zero(&env, &env.keep, 1, sizeof *s) : NULL;
  fmi_owner *owner = s ? fmi_make_owner(&env) : NULL;
  if (owner) {
    s->common = *env.common;
    s->allocator = env.allocator;
    s->owner = owner;
    out->user = s;
    out->name = "software";
    out->lanes_thread_safe = true;
    out->begin = fmi_software_begin;
    out->submit = fmi_software_submit;
    out->collect = fmi_software_collect;
    out->end = fmi_software_end;
    out->destroy = fmi_software_destroy;
  }
  return fmi_end(&env);
}
FM_API void fm_destroy_renderer(fm_renderer *renderer) {
  if (!renderer) return;
  if (renderer->destroy) renderer->destroy(renderer->user);
  memset(renderer, 0, sizeof *renderer);
}

FMI_FN size_t fmi_image_bytes(const fm_image *image) {
  return fmi_mul_size(fmi_mul_size((size_t)image->width, (size_t)image->height), (size_t)image->channels);
}

/* Frames on their way through a renderer to a sink; frame f is in slot f % slots. */
typedef struct fmi_film {
  fmi_env *env;
  fm_renderer *renderer;
  const fm_image_sink *sink;
  const fm_frame *frames;
  size_t frame_count, slots;
  size_t first;              /* of the round, where a renderer's calls must come from one thread */
  size_t picture_count;      /* a picture for each slot, or for each worker where these are fewer and pictures end with prepare */
  fm_image *pictures;
  fm_error *errors;          /* a slot each */
} fmi_film;

/* Where a frame is drawn, with its size. */
FMI_FN fm_image *fmi_film_picture(fmi_film *film, size_t frame, int worker) {
  fm_image *picture = &film->pictures[film->picture_count < film->slots ? (size_t)worker : frame % film->slots],
           image = fmi_frame_image(&film->frames[frame]);
  image.pixels = picture->pixels;
  image.coverage = picture->coverage;
  *picture = image;
  return picture;
}

/* Half of a frame's drawing; what fails without a word gets one. */
FMI_FN bool fmi_film_draw(fmi_film *film, size_t frame, int lane, fm_image *picture, bool collect) {
  fm_renderer *r = film->renderer;
  fm_error *error = &film->errors[frame % film->slots];
  if (collect ? r->collect(r->user, lane, picture, error) : r->submit(r->user, lane, &film->frames[frame], error)) return true;
  if (error->status == FM_OK)
    fm_set_error(error, FM_ERROR_RENDERER,
                 "the renderer failed without a word; its submit and collect must say why through fm_set_error");
  return false;
}

/* Draws and prepares one frame in its worker's lane. */
FMI_FN void fmi_film_job(void *data, size_t frame, int worker) {
  fmi_film *film = (fmi_film *)data;
  const fm_image_sink *sink = film->sink;
  fm_image *picture = fmi_film_picture(film, frame, worker);
  if (fmi_film_draw(film, frame, worker, picture, false) && fmi_film_draw(film, frame, worker, picture, true) && sink->prepare)
    sink->prepare(sink->user, frame, frame % film->slots, worker, picture);
}

/* Hands a picture over, in order. */
FMI_FN bool fmi_film_deliver(void *data, size_t frame) {
  fmi_film *film = (fmi_film *)data;
  const fm_image_sink *sink = film->sink;
  size_t slot = frame % film->slots;
  fm_error *error = &film->errors[slot];
  if (error->status == FM_OK &&
      !sink->deliver(sink->user, frame, slot, sink->prepare_only ? NULL : &film->pictures[slot], error) &&
      error->status == FM_OK)
    fm_set_error(error, FM_ERROR_CANCELLED, "stopped by the sink");
  if (error->status == FM_OK) return fmi_tell_progress(film->env, "render", frame + 1, film->frame_count);
  *film->env->error = *error;
  return false;
}

FMI_FN void fmi_film_prepare(void *data, size_t i, int worker) {
  fmi_film *film = (fmi_film *)data;
  const fm_image_sink *sink = film->sink;
  size_t slot = (film->first + i) % film->slots;
  if (film->errors[slot].status == FM_OK && sink->prepare)
    sink->prepare(sink->user, film->first + i, slot, worker, &film->pictures[slot]);
}
/* For a renderer whose calls must come from one thread: as many frames as it has lanes are under way together, and a round of them
   fills all slots, is prepared in jobs and delivered. */
FMI_FN bool fmi_film_in_lanes(fmi_film *film, int lanes) {
  for (film->first = 0; film->first < film->frame_count; film->first += film->slots) {
    size_t end = fmi_min_size(film->frame_count, film->first + film->slots);
    for (size_t base = film->first; base < end; base += (size_t)lanes)
      for (int collect = 0; collect < 2; collect++)
        for (size_t frame = base; frame < fmi_min_size(end, base + (size_t)lanes); frame++)
          if (film->errors[frame % film->slots].status == FM_OK)
            fmi_film_draw(film, frame, (int)(frame - base), fmi_film_picture(film, frame, 0), collect != 0);
    fmi_run_jobs(film->env, fmi_film_prepare, film, end - film->first);
    for (size_t frame = film->first; frame < end; frame++)
      if (!fmi_film_deliver(film, frame)) return false;
  }
  return true;
}

/* Room for the largest of the frames in every picture. */
FMI_FN bool fmi_film_allocate(fmi_film *film) {
  fmi_env *env = film->env;
  size_t bytes = 0, pixels = 0;
  for (size_t f = 0; f < film->frame_count; f++) {
    fm_image image = fmi_frame_image(&film->frames[f]);
    if (image.width < 1 || image.height < 1 || image.width > FMI_MAX_PICTURE || image.height > FMI_MAX_PICTURE)
      return fmi_fail(env, FM_ERROR_ARGUMENT, "frame %zu: a picture is 1 to %d pixels wide and high, not %d x %d", f,
                      (int)FMI_MAX_PICTURE, image.width, image.height);
    bytes = fmi_max_size(bytes, fmi_image_bytes(&image));
    pixels = fmi_max_size(pixels, fmi_mul_size((size_t)image.width, (size_t)image.height));
  }
  film->pictures = (fm_image *)fmi_alloc_zero(env, &env->temp, film->picture_count, sizeof *film->pictures);
  film->errors = (fm_error *)fmi_alloc_zero(env, &env->temp, film->slots, sizeof *film->errors);
  if (!film->pictures || !film->errors) return false;
  for (size_t i = 0; i < film->picture_count; i++) {
    film->pictures[i].pixels = (uint8_t *)fmi_alloc(env, &env->temp, bytes, 1);
    film->pictures[i].coverage = (uint8_t *)fmi_alloc(env, &env->temp, pixels, 1);
    if (!film->pictures[i].pixels || !film->pictures[i].coverage) return false;
  }
  return true;
}

FMI_FN bool fmi_render_frames(fmi_env *env, fm_renderer *renderer, const fm_frame *frames, size_t frame_count,
                              const fm_image_sink *sink, int lanes) {
  int workers = fmi_workers_of(env, frame_count);
  bool parallel = renderer->lanes_thread_safe && lanes >= workers;
  fmi_film film;
  fmi_series series;
  memset(&film, 0, sizeof film);
  film.env = env;
  film.renderer = renderer;
  film.sink = sink;
  film.frames = frames;
  film.frame_count = frame_count;
  film.slots = parallel ? fmi_most_in_flight(workers) : 2 * (size_t)fmi_max_int(workers, lanes);
  film.slots = fmi_min_size(film.slots, fmi_max_size(frame_count, 1));
  if (sink->slots) film.slots = fmi_min_size(film.slots, sink->slots);
  film.picture_count = parallel && sink->prepare_only ? fmi_min_size((size_t)workers, film.slots) : film.slots;
  if (!fmi_film_allocate(&film)) return false;
  if (!parallel) return fmi_film_in_lanes(&film, lanes);
  memset(&series, 0, sizeof series);
  series.work = fmi_film_job;
  series.hand_over = fmi_film_deliver;
  series.data = &film;
  series.count = frame_count;
  series.window = film.slots;
  fmi_run_series(env, &series);
  return env->error->status == FM_OK;
}

FM_API bool fm_render(fm_renderer *renderer, const fm_scene *scene, const fm_frame *frames, size_t frame_count,
                      const fm_image_sink *sink, fm_error *error) {
  fmi_env env;
  fmi_begin(&env, scene ? scene->common : NULL, error, NULL);
  if (!renderer || !renderer->begin || !scene || !frames || !sink || !sink->deliver)
    fmi_fail(&env, FM_ERROR_ARGUMENT, "fm_render needs a renderer, a scene, frames and a sink with deliver");
  else if (env.error->status == FM_OK && fmi_tell_progress(&env, "render", 0, frame_count)) {
    fm_scene wanted = *scene;
    if (!wanted.lanes) wanted.lanes = fmi_workers_of(&env, frame_count);
    wanted.frames = frames;
    wanted.frame_count = frame_count;
    int lanes = renderer->begin(renderer->user, &wanted, env.error);
    if (lanes > 0) {
      fmi_render_frames(&env, renderer, frames, frame_count, sink, lanes);
      renderer->end(renderer->user);
    } else if (env.error->status == FM_OK)
      fmi_fail(&env, FM_ERROR_RENDERER,
               "the renderer \"%s\" could not begin; its begin must say why through fm_set_error",
               renderer->name ? renderer->name : "");
  }
  return fmi_end(&env);
}
#endif /* FACEMORPH_NO_RENDER */

/* ============================================================ [FM:writers] ==========================================
   PNG writing: 8 bits, 1 to 4 channels, a filter chosen for each row. Filtered rows of pictures hold little that repeats beyond
   runs of zeros, so that literals and runs are all that is coded, but for rows that are grey and yet have colours.
   Guarantees: the same image gives the same bytes everywhere; fmi_png_encode allocates nothing and may run in any thread;
   its scratch memory holds a few rows and one deflate block. Trusts: the image's size and pixels (checked by fm_write_png).
   Test: tests/test_writers.c */

#ifndef FACEMORPH_NO_WRITERS

/* A strip of a row is looked at or filtered at a time. A run of zeros shorter than FMI_PNG_RUN costs less as literals; in a grey
   row, shorter than FMI_PNG_GREY_RUN, as a part of matches. A block ends when it has as many bytes, tokens or matches as fit; its
   code comes from FMI_PNG_SAMPLE in 64 of its literals if they are FMI_PNG_SAMPLED or more. Codes have at most 14 bits: four fit
   into 64 with the 7 that may be left of a byte. */
enum {
  FMI_PNG_STRIP = 64, FMI_PNG_RUN = 12, FMI_PNG_GREY_RUN = 48, FMI_PNG_BYTES = 61440, FMI_PNG_TOKENS = 8192, FMI_PNG_MATCHES = 8192,
  FMI_PNG_SAMPLED = 8192, FMI_PNG_SAMPLE = 8, FMI_PNG_LONGEST_CODE = 14, FMI_PNG_LONGEST_RUN = 65535, FMI_PNG_HISTORY = 65536,
  FMI_PNG_HASH_BITS = 11, FMI_PNG_LEAST = 3 * FMI_PNG_MATCHES,
  /* the longest block: header, literals, matches (14 bits, 5 extra, 15, 13 extra) with those of the last token, checksum */
  FMI_PNG_PACKED = 512 + FMI_PNG_BYTES / 8 * FMI_PNG_LONGEST_CODE + (FMI_PNG_MATCHES + FMI_PNG_LONGEST_RUN / 258 + 2) * 6 + 64
};

/* So many literals, and then a copy of so many bytes (0, or 3 and more) from so far behind. Distance 1 is a run of zeros. */
typedef struct fmi_png_token { uint16_t literals, length, distance; } fmi_png_token;

/* A copy's matches: `whole` of 258, then up to two others of 3 and more; 0: none. */
typedef struct fmi_png_matches { unsigned whole, rest[2]; } fmi_png_matches;
FMI_INLINE fmi_png_matches fmi_png_split(unsigned length) {
  fmi_png_matches m;
  m.whole = length / FMI_LONGEST_MATCH;
  m.rest[0] = length % FMI_LONGEST_MATCH;
  m.rest[1] = 0;
  if (m.whole > 0 && (m.rest[0] == 1 || m.rest[0] == 2)) {
    m.whole--;
    m.rest[0] += FMI_LONGEST_MATCH - 3;
    m.rest[1] = 3;
  }
  return m;
}

/* Of literals and lengths; of distances from 288 on. */
typedef struct fmi_png_codes { uint64_t code[320]; uint32_t length[320]; } fmi_png_codes;

/* The bytes of a row behind its first pixel, cut into strips. A strip that every filter turns into zeros is flat; spans (begin,
   end, ...) hold the others. */
typedef struct fmi_png_row { const uint8_t *row, *above; size_t size, step, *spans, span_count; } fmi_png_row;

/* From FMI_PNG_STRIP - n on: 255 for n bytes. */
static const uint8_t fmi_png_edge[2 * FMI_PNG_STRIP] = {
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
  255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

#define fmi_png_left_over FMI_AT_LEVEL(fmi_png_left_over)
#define fmi_png_is_flat FMI_AT_LEVEL(fmi_png_is_flat)
#define fmi_png_add_cost FMI_AT_LEVEL(fmi_png_add_cost)
#define fmi_png_survey FMI_AT_LEVEL(fmi_png_survey)
#define fmi_png_filter_with FMI_AT_LEVEL(fmi_png_filter_with)
#define fmi_png_filter FMI_AT_LEVEL(fmi_png_filter)
#define fmi_put_code FMI_AT_LEVEL(fmi_put_code)
#define fmi_png_put_match FMI_AT_LEVEL(fmi_png_put_match)
#define fmi_png_join_four FMI_AT_LEVEL(fmi_png_join_four)
#define fmi_png_put_literals FMI_AT_LEVEL(fmi_png_put_literals)
#define fmi_png_put_tokens FMI_AT_LEVEL(fmi_png_put_tokens)
#define FMI_BLOCK FMI_BLOCK_PNG_WRITER
#include FACEMORPH_FILENAME
#undef FMI_BLOCK
#endif
#endif /* FMI_COMPILING */

#if defined(FMI_SUFFIX) && FMI_BLOCK == FMI_BLOCK_PNG_WRITER
/* ---- block: filters and codes at each level ---- */

/* What filter 1 to 4 leaves of the bytes at p; q: the row above. */
FMI_INLINE fmi_vb fmi_png_left_over(const uint8_t *p, const uint8_t *q, size_t step, unsigned filter) {
  fmi_vb x = fmi_loadb(p);
  if (filter == 1) return fmi_subb(x, fmi_loadb(p - step));
  if (filter == 2) return fmi_subb(x, fmi_loadb(q));
  if (filter == 3) return fmi_subb(x, fmi_meanb(fmi_loadb(p - step), fmi_loadb(q)));
  return fmi_subb(x, fmi_png_paeth_lanes(fmi_loadb(p - step), fmi_loadb(q), fmi_loadb(q - step)));
}

FMI_INLINE bool fmi_png_is_flat(const uint8_t *p, const uint8_t *q, size_t step) {
  fmi_vb different = fmi_setb(0);
  for (int i = 0; i < FMI_PNG_STRIP; i += FMI_BYTES) {
    fmi_vb x = fmi_loadb(p + i), left = fmi_xorb(x, fmi_loadb(p + i - step));
    fmi_vb up = fmi_orb(fmi_xorb(x, fmi_loadb(q + i)), fmi_xorb(x, fmi_loadb(q + i - step)));
    different = fmi_orb(different, fmi_orb(left, up));
  }
  return fmi_is_zerob(different);
}

/* What a byte costs grows with its distance from 0, but not for long: codes have a longest length. */
FMI_INLINE fmi_vi fmi_png_add_cost(fmi_vi cost, fmi_vb x, fmi_vb mask) {
  return fmi_sumb(cost, fmi_andb(fmi_minb(fmi_absb(x), fmi_setb(16)), mask));
}

/* Finds the spans and returns the cheapest filter, of equal ones Paeth's, then the first. */
FMI_FN unsigned fmi_png_survey(fmi_png_row *r) {
  size_t step = r->step, *span = r->spans;
  fmi_vi sub = fmi_seti(0), up = sub, mean = sub, paeth = sub; /* costs */
  for (size_t i = 0; i < r->size;) {
    while (i < r->size && fmi_png_is_flat(r->row + i, r->above + i, step)) i += FMI_PNG_STRIP;
    if (i >= r->size) break;
    *span++ = i;
    do {
      const uint8_t *p = r->row + i, *q = r->above + i;
      const uint8_t *edge = fmi_png_edge + FMI_PNG_STRIP - fmi_min_size(r->size - i, FMI_PNG_STRIP);
      for (int k = 0; k < FMI_PNG_STRIP; k += FMI_BYTES) {
        fmi_vb mask = fmi_loadb(edge + k);
        sub = fmi_png_add_cost(sub, fmi_png_left_over(p + k, q + k, step, 1), mask);
        up = fmi_png_add_cost(up, fmi_png_left_over(p + k, q + k, step, 2), mask);
        mean = fmi_png_add_cost(mean, fmi_png_left_over(p + k, q + k, step, 3), mask);
        paeth = fmi_png_add_cost(paeth, fmi_png_left_over(p + k, q + k, step, 4), mask);
      }
      i += FMI_PNG_STRIP;
    } while (i < r->size && !fmi_png_is_flat(r->row + i, r->above + i, step));
    *span++ = fmi_min_size(i, r->size);
  }
  r->span_count = (size_t)(span - r->spans) / 2;
  const uint32_t costs[4] = {fmi_totali(paeth), fmi_totali(sub), fmi_totali(up), fmi_totali(mean)};
  unsigned best = 0;
  for (unsigned f = 1; f < 4; f++)
    if (costs[f] < costs[best]) best = f;
  return best > 0 ? best : 4;
}

/* Filters the spans, up to whole strips, into `to`; bit k of zeros[i] is set where byte 64 i + k is 0. */
FMI_INLINE void fmi_png_filter_with(uint8_t *to, uint64_t *zeros, const fmi_png_row *r, unsigned filter) {
  for (size_t s = 0; s < r->span_count; s++)
    for (size_t i = r->spans[2 * s]; i < r->spans[2 * s + 1]; i += FMI_PNG_STRIP) {
      uint64_t bits = 0;
      for (int k = 0; k < FMI_PNG_STRIP; k += FMI_BYTES) {
        fmi_vb x = fmi_png_left_over(r->row + i + k, r->above + i + k, r->step, filter);
        fmi_storeb(to + i + k, x);
        bits |= (uint64_t)fmi_zerosb(x) << k;
      }
      zeros[i / FMI_PNG_STRIP] = bits;
    }
}
FMI_FN void fmi_png_filter(uint8_t *to, uint64_t *zeros, const fmi_png_row *r, unsigned filter) {
  switch (filter) {
    case 1: fmi_png_filter_with(to, zeros, r, 1); break;
    case 2: fmi_png_filter_with(to, zeros, r, 2); break;
    case 3: fmi_png_filter_with(to, zeros, r, 3); break;
    default: fmi_png_filter_with(to, zeros, r, 4); break;
  }
}

FMI_INLINE void fmi_put_code(fmi_bit_writer *w, const fmi_png_codes *codes, unsigned symbol) {
  w->bits |= codes->code[symbol] << (w->count & 63);
  w->count += codes->length[symbol];
}
FMI_INLINE void fmi_png_put_match(fmi_bit_writer *w, const fmi_png_codes *codes, unsigned length, unsigned distance) {
  unsigned a = fmi_length_symbol(length), b = fmi_distance_symbol(distance);
  fmi_put_code(w, codes, a);
  fmi_put_bits(w, length - fmi_length_base[a - 257], fmi_length_extra[a - 257]);
  fmi_put_code(w, codes, 288 + b);
  fmi_put_bits(w, distance - fmi_distance_base[b], fmi_distance_extra[b]);
  fmi_flush_bits(w);
}
/* The codes of four literals as one word; returns its length. Joined in pairs: fewer steps wait for each other. */
FMI_INLINE unsigned fmi_png_join_four(uint64_t *word, const fmi_png_codes *codes, const uint8_t *p) {
  unsigned first = codes->length[p[0]], two = first + codes->length[p[1]];
  unsigned third = codes->length[p[2]], next_two = third + codes->length[p[3]];
  uint64_t low = codes->code[p[0]] | codes->code[p[1]] << first, high = codes->code[p[2]] | codes->code[p[3]] << third;
  *word = low | high << two;
  return two + next_two;
}
FMI_INLINE void fmi_png_put_literals(fmi_bit_writer *w, const fmi_png_codes *codes, const uint8_t *p, unsigned n) {
  uint64_t word, next_word;
  for (; n >= 8; n -= 8, p += 8) {
    unsigned length = fmi_png_join_four(&word, codes, p), next_length = fmi_png_join_four(&next_word, codes, p + 4);
    if (length + next_length <= 56) { /* nearly always: one write for all of them */
      word |= next_word << length;
      length += next_length;
    } else {
      w->bits |= word << w->count;
      w->count += length;
      fmi_flush_bits(w);
      word = next_word;
      length = next_length;
    }
    w->bits |= word << w->count;
    w->count += length;
    fmi_flush_bits(w);
  }
  if (n >= 4) {
    unsigned length = fmi_png_join_four(&word, codes, p);
    w->bits |= word << w->count;
    w->count += length;
    fmi_flush_bits(w);
    n -= 4;
    p += 4;
  }
  for (; n > 0; n--, p++) fmi_put_code(w, codes, *p);
  fmi_flush_bits(w);
}
/* Plain C, but shifts by a variable count are faster at the higher levels. */
FMI_FN void fmi_png_put_tokens(fmi_bit_writer *writer, const fmi_png_codes *codes, const uint8_t *bytes, const fmi_png_token *token,
                               const fmi_png_token *end) {
  fmi_bit_writer w = *writer;
  for (; token < end; token++) {
    fmi_png_put_literals(&w, codes, bytes, token->literals);
    bytes += token->literals;
    fmi_png_matches matches = fmi_png_split(token->length);
    for (; matches.whole > 0; matches.whole--) fmi_png_put_match(&w, codes, FMI_LONGEST_MATCH, token->distance);
    for (int k = 0; k < 2; k++)
      if (matches.rest[k]) fmi_png_put_match(&w, codes, matches.rest[k], token->distance);
    if (token->distance > 1) bytes += token->length;
  }
  fmi_put_code(&w, codes, 256);
  fmi_flush_bits(&w);
  *writer = w;
}
#endif

#if defined(FMI_COMPILING) && !defined(FMI_BLOCK)
#ifndef FACEMORPH_NO_WRITERS

typedef unsigned (*fmi_png_surveyor)(fmi_png_row *);
typedef void (*fmi_png_filterer)(uint8_t *, uint64_t *, const fmi_png_row *, unsigned);
typedef void (*fmi_png_token_writer)(fmi_bit_writer *, const fmi_png_codes *, const uint8_t *, const fmi_png_token *,
                                     const fmi_png_token *);
static const fmi_png_surveyor fmi_png_surveyors[] = FMI_BYTE_LEVELS(fmi_png_survey);
static const fmi_png_filterer fmi_png_filterers[] = FMI_BYTE_LEVELS(fmi_png_filter);
static const fmi_png_token_writer fmi_png_token_writers[] = FMI_BYTE_LEVELS(fmi_png_put_tokens);

/* Everything that encoding needs but the rows: its scratch memory begins with it. */
typedef struct fmi_png_encoder {
  const fm_sink *sink;
  bool ok;                  /* the sink has taken everything */
  fm_simd simd;
  uint32_t crc, adler;      /* of the chunk, of the filtered rows */
  fmi_bit_writer bits;
  size_t byte_count, token_count, match_count, zero_count, copied_count;
  bool heads_set;           /* since there has been a grey row */
  uint32_t heads[3][1 << FMI_PNG_HASH_BITS]; /* where the last 1, 2, 4 pixels of each hash began, counted in filtered bytes */
  fmi_png_token tokens[FMI_PNG_TOKENS + 1];  /* the last one has no copy yet, and is not counted */
  uint8_t bytes[FMI_PNG_BYTES];              /* what the tokens stand for, but for runs of zeros */
  uint8_t packed[FMI_PNG_PACKED];
} fmi_png_encoder;

/* ---- chunks ---- */

FMI_FN void fmi_png_put(fmi_png_encoder *e, const void *data, size_t size) {
  if (e->ok && size > 0) e->ok = e->sink->write(e->sink->user, data, size);
  e->crc = fmi_crc32s[e->simd](e->crc, data, size);
}
FMI_FN void fmi_png_begin_chunk(fmi_png_encoder *e, const char *name, size_t size) {
  uint8_t length[4];
  fmi_put_be32(length, (uint32_t)size);
  fmi_png_put(e, length, 4);
  e->crc = 0;
  fmi_png_put(e, name, 4);
}
FMI_FN void fmi_png_end_chunk(fmi_png_encoder *e) {
  uint8_t crc[4];
  fmi_put_be32(crc, e->crc);
  fmi_png_put(e, crc, 4);
}
FMI_FN void fmi_png_put_chunk(fmi_png_encoder *e, const char *name, const void *data, size_t size) {
  fmi_png_begin_chunk(e, name, size);
  fmi_png_put(e, data, size);
  fmi_png_end_chunk(e);
}

/* One text as tEXt, or as iTXt (not compressed, no language) where it is not ASCII. */
FMI_FN void fmi_png_put_text(fmi_png_encoder *e, const char *keyword, const char *text) {
  size_t length = strlen(text), i = 0, n = strlen(keyword) + 1;
  while (i < length && (unsigned char)text[i] < 0x80) i++;
  bool international = i < length;
  fmi_png_begin_chunk(e, international ? "iTXt" : "tEXt", n + (international ? 4 : 0) + length);
  fmi_png_put(e, keyword, n);
  if (international) fmi_png_put(e, "\0\0\0", 4);
  fmi_png_put(e, text, length);
  fmi_png_end_chunk(e);
}

/* ---- a block ---- */

/* How often each symbol occurs. Of many literals FMI_PNG_SAMPLE in 64 are counted, and then every literal gets a code. */
FMI_FN void fmi_png_count_literals(const fmi_png_encoder *e, uint32_t totals[286]) {
  uint32_t counts[4][256]; /* a counter waits for its last value: neighbours have their own */
  const uint8_t *p = e->bytes;
  size_t n = e->byte_count, used = n >= FMI_PNG_SAMPLED ? FMI_PNG_SAMPLE : 64, i = 0;
  memset(counts, 0, sizeof counts);
  for (; i + 64 <= n; i += 64)
    for (size_t k = i; k < i + used; k += 4) {
      counts[0][p[k]]++;
      counts[1][p[k + 1]]++;
      counts[2][p[k + 2]]++;
      counts[3][p[k + 3]]++;
    }
  for (; i < n; i++) counts[0][p[i]]++;
  for (int s = 0; s < 256; s++) {
    uint32_t count = counts[0][s] + counts[1][s] + counts[2][s] + counts[3][s];
    totals[s] = used == 64 ? count : 64 / FMI_PNG_SAMPLE * count + 1;
  }
}
FMI_FN void fmi_png_count(const fmi_png_encoder *e, uint32_t literal_counts[286], uint32_t distance_counts[30]) {
  memset(literal_counts, 0, 286 * sizeof *literal_counts);
  memset(distance_counts, 0, 30 * sizeof *distance_counts);
  if (e->copied_count == 0) fmi_png_count_literals(e, literal_counts);
  const uint8_t *p = e->bytes;
  for (size_t t = 0; t < e->token_count; t++) {
    const fmi_png_token *token = &e->tokens[t];
    if (e->copied_count > 0) {
      for (unsigned i = 0; i < token->literals; i++) literal_counts[*p++]++;
      if (token->distance > 1) p += token->length;
    }
    if (token->length == 0) continue;
    fmi_png_matches m = fmi_png_split(token->length);
    literal_counts[285] += m.whole;
    distance_counts[fmi_distance_symbol(token->distance)] += m.whole + (m.rest[0] > 0) + (m.rest[1] > 0);
    for (int k = 0; k < 2; k++)
      if (m.rest[k]) literal_counts[fmi_length_symbol(m.rest[k])]++;
  }
  literal_counts[256] = 1;
}

/* The block's `size` bytes as they are, stored. */
FMI_FN void fmi_png_put_stored(fmi_png_encoder *e, size_t size, bool last) {
  enum { APART = 16 }; /* a frame's bits, and what fmi_flush_bits may write too much */
  fmi_bit_writer *w = &e->bits;
  uint8_t *from = w->out + (size / 65535 + 1) * APART, *to = from;
  const uint8_t *bytes = e->bytes;
  for (size_t t = 0; t < e->token_count; t++) {
    size_t zeros = e->tokens[t].distance == 1 ? e->tokens[t].length : 0;
    size_t n = (size_t)e->tokens[t].literals + e->tokens[t].length - zeros;
    memcpy(to, bytes, n);
    memset(to + n, 0, zeros);
    bytes += n;
    to += n + zeros;
  }
  for (size_t n; size > 0; size -= n, from += n) {
    n = fmi_min_size(size, 65535);
    fmi_open_stored(w, n, last && n == size);
    memmove(w->out, from, n);
    w->out += n;
  }
}

FMI_FN void fmi_png_put_block(fmi_png_encoder *e, bool last) {
  uint32_t literal_counts[286], distance_counts[30];
  uint16_t codes[320];
  fmi_png_codes table;
  fmi_block_code code;
  fmi_bit_writer start = e->bits;
  size_t size = e->byte_count + e->zero_count;
  fmi_png_count(e, literal_counts, distance_counts);
  fmi_choose_code(&code, literal_counts, distance_counts, FMI_PNG_LONGEST_CODE);
  fmi_assign_codes(codes, code.lengths, 288);
  fmi_assign_codes(codes + 288, code.lengths + 288, 32);
  for (int s = 0; s < 320; s++) {
    table.code[s] = codes[s];
    table.length[s] = code.lengths[s];
  }
  fmi_open_block(&e->bits, &code, last);
  fmi_png_token_writers[e->simd](&e->bits, &table, e->bytes, e->tokens, e->tokens + e->token_count);
  if (size + 5 * (size / 65535 + 1) < (size_t)(e->bits.out - start.out)) {
    e->bits = start;
    fmi_png_put_stored(e, size, last);
  }
}

FMI_FN void fmi_png_begin_block(fmi_png_encoder *e) {
  e->byte_count = e->token_count = e->match_count = e->zero_count = e->copied_count = 0;
  memset(&e->tokens[0], 0, sizeof e->tokens[0]);
}
/* Writes what has been gathered as one block in a chunk of its own. */
FMI_FN void fmi_png_end_block(fmi_png_encoder *e, bool last) {
  e->token_count++;
  fmi_png_put_block(e, last);
  if (last) {
    fmi_end_byte(&e->bits);
    fmi_put_be32(e->bits.out, e->adler);
    e->bits.out += 4;
  }
  fmi_png_put_chunk(e, "IDAT", e->packed, (size_t)(e->bits.out - e->packed));
  e->bits.out = e->packed;
  fmi_png_begin_block(e);
}
FMI_FN void fmi_png_end_full_block(fmi_png_encoder *e) {
  if (e->byte_count == FMI_PNG_BYTES || e->token_count >= FMI_PNG_TOKENS || e->match_count >= FMI_PNG_MATCHES)
    fmi_png_end_block(e, false);
}

FMI_FN void fmi_png_add_literals(fmi_png_encoder *e, const uint8_t *bytes, size_t count) {
  for (size_t n; count > 0; count -= n, bytes += n) {
    fmi_png_token *token = &e->tokens[e->token_count];
    n = fmi_min_size(count, FMI_PNG_BYTES - e->byte_count);
    memcpy(e->bytes + e->byte_count, bytes, n);
    token->literals = (uint16_t)(token->literals + n);
    e->byte_count += n;
    fmi_png_end_full_block(e);
  }
}
/* Adds a copy of 3 bytes and more, FMI_PNG_LONGEST_RUN at most. */
FMI_FN void fmi_png_add_copy(fmi_png_encoder *e, size_t length, size_t distance) {
  fmi_png_token *token = &e->tokens[e->token_count++];
  token->length = (uint16_t)length;
  token->distance = (uint16_t)distance;
  memset(token + 1, 0, sizeof *token);
  e->match_count += length <= FMI_LONGEST_MATCH ? 1 : length / FMI_LONGEST_MATCH + 2;
  fmi_png_end_full_block(e);
}
/* Adds so many zeros (3 and more), behind a zero. */
FMI_FN void fmi_png_add_run(fmi_png_encoder *e, size_t zeros) {
  for (size_t n; zeros > 0; zeros -= n) {
    n = zeros <= FMI_PNG_LONGEST_RUN ? zeros : FMI_PNG_LONGEST_RUN - 3; /* 3 and more stay behind */
    e->zero_count += n;
    fmi_png_add_copy(e, n, 1);
  }
}

/* ---- grey pixels ---- */

/* The bytes of such a pixel are alike after filtering too, and as literals each would be paid for. So matches of whole pixels are
   searched among the last ones with the same 1, 2 and 4 pixels: at most one of each. */

FMI_FN bool fmi_png_is_grey(const fmi_png_row *r) {
  if (r->step < 3) return false;
  for (size_t s = 0; s < r->span_count; s++)
    for (size_t i = r->spans[2 * s] / r->step * r->step; i < r->spans[2 * s + 1]; i += r->step)
      if (r->row[i] != r->row[i + 1] || r->row[i] != r->row[i + 2]) return false;
  return r->span_count > 0;
}

FMI_FN void fmi_png_hash_pixels(uint32_t hashes[3], const uint8_t *p, size_t step) {
  const uint64_t golden = 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio (Knuth) */
  uint64_t two = fmi_le64(p) << (64 - 16 * step), next_two = fmi_le64(p + 2 * step) << (64 - 16 * step);
  hashes[0] = (uint32_t)((two << 8 * step) * golden >> (64 - FMI_PNG_HASH_BITS));
  hashes[1] = (uint32_t)(two * golden >> (64 - FMI_PNG_HASH_BITS));
  hashes[2] = (uint32_t)((two * golden ^ next_two) * golden >> (64 - FMI_PNG_HASH_BITS));
}

/* How many of `most` bytes are alike; 8 more can be read. */
FMI_FN size_t fmi_png_alike(const uint8_t *a, const uint8_t *b, size_t most) {
  for (size_t n = 0; n < most; n += 8) {
    uint64_t difference = fmi_le64(a + n) ^ fmi_le64(b + n);
    if (difference) return fmi_min_size(n + fmi_low_zeros(difference) / 8, most);
  }
  return most;
}

/* Adds filtered bytes, of which the first `skipped` are not a whole pixel. Those since `oldest` are known; `position` is the number
   of all filtered bytes before these, modulo 2^32. FMI_PNG_STRIP bytes behind them can be read. */
FMI_FN void fmi_png_add_grey(fmi_png_encoder *e, const uint8_t *bytes, size_t count, size_t skipped, const uint8_t *oldest,
                             uint32_t position, size_t step) {
  size_t at = skipped, added = 0;
  if (!e->heads_set) memset(e->heads, 0, sizeof e->heads);
  e->heads_set = true;
  while (at + step <= count) {
    const uint8_t *here = bytes + at;
    size_t longest = 0, distance = 0, most = fmi_min_size(count - at, FMI_LONGEST_MATCH) / step * step;
    uint32_t hashes[3];
    fmi_png_hash_pixels(hashes, here, step);
    for (int k = 0; k < 3; k++) {
      size_t behind = position + (uint32_t)at - e->heads[k][hashes[k]]; /* whatever stands there is tried */
      if (behind < step || behind > FMI_WINDOW || behind > (size_t)(here - oldest)) continue;
      size_t length = fmi_png_alike(here, here - behind, most) / step * step;
      if (length > longest) {
        longest = length;
        distance = behind;
      }
    }
    if (longest > 0) {
      fmi_png_add_literals(e, bytes + added, at - added);
      if (longest > FMI_PNG_BYTES - e->byte_count) fmi_png_end_block(e, false);
      memcpy(e->bytes + e->byte_count, here, longest);
      e->byte_count += longest;
      e->copied_count += longest;
      fmi_png_add_copy(e, longest, distance);
      added = at + longest;
    }
    for (size_t next = at + fmi_max_size(longest, step); at < next; at += step) {
      fmi_png_hash_pixels(hashes, bytes + at, step);
      for (int k = 0; k < 3; k++) e->heads[k][hashes[k]] = position + (uint32_t)at;
    }
  }
  fmi_png_add_literals(e, bytes + added, count - added);
}

/* ---- rows ---- */

/* Where FMI_PNG_RUN or more bits in a row begin, at `from` or behind; otherwise size. A word of zeros stands behind the last. */
FMI_FN size_t fmi_png_find_run(const uint64_t *bits, size_t from, size_t size) {
  size_t word = from / 64;
  uint64_t now = bits[word] >> from % 64 << from % 64;
  for (; 64 * word < size; now = bits[++word]) {
    uint64_t next = bits[word + 1];
    now &= now >> 1 | next << 63; /* starts of 2 */
    next &= next >> 1;
    now &= now >> 2 | next << 62; /* of 4 */
    next &= next >> 2;
    now &= now >> 4 | next << 60; /* of 8 */
    next &= next >> 4;
    now &= now >> (FMI_PNG_RUN - 8) | next << (64 - (FMI_PNG_RUN - 8));
    if (now) return 64 * word + fmi_low_zeros(now);
  }
  return size;
}
FMI_FN size_t fmi_png_find_end(const uint64_t *bits, size_t from) { /* of the set bits */
  size_t word = from / 64;
  uint64_t clear = ~bits[word] >> from % 64 << from % 64;
  while (!clear) clear = ~bits[++word];
  return 64 * word + fmi_low_zeros(clear);
}

/* Adds a filtered row to the checksum; its flat strips are zeros, wherever they have not been written. */
FMI_FN void fmi_png_add_checksum(fmi_png_encoder *e, const fmi_png_row *r, const uint8_t *at) {
  uint32_t adler = fmi_adler32s[e->simd](e->adler, at, 1 + r->step);
  const uint8_t *to = at + 1 + r->step;
  size_t done = 0;
  for (size_t s = 0; s <= r->span_count; s++) {
    size_t begin = s < r->span_count ? r->spans[2 * s] : r->size, end = s < r->span_count ? r->spans[2 * s + 1] : begin;
    adler = (uint32_t)(((adler >> 16) + (uint64_t)(adler & 0xFFFF) * (begin - done)) % 65521) << 16 | (adler & 0xFFFF);
    if (begin < end) adler = fmi_adler32s[e->simd](adler, to + begin, end - begin);
    done = end;
  }
  e->adler = adler;
}

/* Filters a row and adds it. at: where it is to stand, behind `known` bytes of the rows before it, with FMI_PNG_STRIP bytes of room
   behind it; zeros: scratch; y: the row's number. Is it grey? */
FMI_FN bool fmi_png_add_row(fmi_png_encoder *e, fmi_png_row *r, uint8_t *at, size_t known, uint64_t *zeros, size_t y) {
  size_t words = (r->size + 63) / 64, done = 0, first = 1 + r->step;
  uint8_t *to = at + first, *from = at;
  unsigned filter = fmi_png_surveyors[e->simd](r);
  bool grey = fmi_png_is_grey(r);
  /* Spans are written whole strips at a time. Of flat strips, only what may become literals or be compared is. */
  if (grey) memset(to, 0, r->size);
  else if (words > 0) memset(to + 64 * (words - 1), 0, 64);
  memset(zeros, 255, words * sizeof *zeros);
  fmi_png_filterers[e->simd](to, zeros, r, filter);
  if (grey) memset(to + r->size, 0, FMI_PNG_STRIP);
  if (r->size % 64) zeros[words - 1] &= ((uint64_t)1 << r->size % 64) - 1;
  zeros[words] = 0;
  at[0] = (uint8_t)filter;
  const uint8_t *pixel = r->row - r->step, *up = r->above - r->step; /* the first pixel: 0 to its left */
  for (size_t i = 0; i < r->step; i++)
    at[1 + i] = (uint8_t)(pixel[i] - (filter == 1 ? 0 : filter == 3 ? up[i] / 2 : up[i]));
  fmi_png_add_checksum(e, r, at);
  do {
    size_t run = fmi_png_find_run(zeros, done, r->size), end = run < r->size ? fmi_png_find_end(zeros, run) : run;
    while (grey && end - run < FMI_PNG_GREY_RUN && end < r->size) { /* matches cover that as well */
      run = fmi_png_find_run(zeros, end, r->size);
      end = run < r->size ? fmi_png_find_end(zeros, run) : run;
    }
    uint8_t *start = to + run;
    if (run == 0 && end > 0)
      while (start[-1] == 0) start--; /* the filter's number is not 0 */
    if (run < end) *start++ = 0; /* of a flat strip, which nobody has written */
    if (grey) {
      size_t passed = (size_t)(from - at), skipped = passed == 0 ? 1 : (r->step - (passed - 1) % r->step) % r->step;
      fmi_png_add_grey(e, from, (size_t)(start - from), skipped, at - known, (uint32_t)(y * (r->size + first) + passed), r->step);
    } else fmi_png_add_literals(e, from, (size_t)(start - from));
    if (run < end) fmi_png_add_run(e, (size_t)(to + end - start));
    done = end;
    from = to + end;
  } while (done < r->size);
  return grey;
}

/* ---- the file ---- */

/* Memory that fmi_png_encode works in, aligned as malloc's. Behind the encoder: zeros, spans, two rows with room behind them, where
   strips reach beyond the image, and the filtered rows. */
FMI_FN size_t fmi_png_scratch(int width, int channels) {
  size_t strips = fmi_mul_size((size_t)width, (size_t)channels) / FMI_PNG_STRIP + 2;
  size_t rows = fmi_mul_size(strips, 8 + sizeof(size_t) + 3 * FMI_PNG_STRIP);
  return fmi_add_size(sizeof(fmi_png_encoder) + FMI_PNG_HISTORY + 3 * FMI_PNG_STRIP, rows);
}

/* Room that the file never exceeds. texts as in fm_png_desc. */
FMI_FN size_t fmi_png_bound(int width, int height, int channels, const char *const *texts) {
  size_t rows = fmi_mul_size(fmi_add_size(fmi_mul_size((size_t)width, (size_t)channels), 1), (size_t)height);
  /* every block but the last one stands for FMI_PNG_LEAST bytes; it has its chunk and, stored, one frame more than bytes / 65535 */
  size_t size = fmi_add_size(rows, fmi_mul_size(rows / FMI_PNG_LEAST + 1, 12 + 12));
  size = fmi_add_size(size, 8 + 25 + 13 + 12 + 6); /* signature, IHDR, sRGB, IEND, the zlib stream's frame */
  for (; texts && *texts; texts += 2)
    size = fmi_add_size(size, fmi_add_size(strlen(texts[0]) + 12 + 5, strlen(texts[1])));
  return size;
}

FMI_FN void fmi_png_put_rows(fmi_png_encoder *e, const fm_image *image) {
  fmi_png_row r;
  r.step = (size_t)image->channels;
  size_t size = (size_t)image->width * r.step, room = (size / FMI_PNG_STRIP + 2) * FMI_PNG_STRIP, strips = room / FMI_PNG_STRIP;
  uint64_t *zeros = (uint64_t *)(void *)(e + 1);
  r.spans = (size_t *)(void *)(zeros + strips);
  uint8_t *copies[2], *filtered;
  copies[0] = (uint8_t *)(r.spans + strips);
  copies[1] = copies[0] + room;
  filtered = copies[1] + room;
  memset(copies[0], 0, 2 * room);
  r.size = size - r.step;
  const uint8_t *above = copies[1];
  size_t known = 0; /* filtered bytes that matches may reach */
  for (size_t y = 0, height = (size_t)image->height; y < height && e->ok; y++) {
    const uint8_t *row = image->pixels + y * size;
    if ((height - y) * size < size + FMI_PNG_STRIP) row = (uint8_t *)memcpy(copies[y & 1], row, size);
    r.row = row + r.step;
    r.above = above + r.step;
    bool grey = fmi_png_add_row(e, &r, filtered + known, known, zeros, y);
    known = grey ? known + size + 1 : 0;
    if (known > FMI_PNG_HISTORY) {
      memmove(filtered, filtered + known - FMI_WINDOW, FMI_WINDOW);
      known = FMI_WINDOW;
    }
    above = row;
  }
  fmi_png_end_block(e, true);
}

/* Encodes a PNG into the sink. False: the sink did not take it. */
FMI_FN bool fmi_png_encode(void *scratch, fm_simd simd, const fm_sink *sink, const fm_image *image, const char *const *texts,
                           bool srgb) {
  static const uint8_t types[5] = {0, FMI_PNG_GREY, FMI_PNG_GREY_ALPHA, FMI_PNG_RGB, FMI_PNG_RGBA};
  fmi_png_encoder *e = (fmi_png_encoder *)scratch;
  uint8_t header[13] = {0}; /* deflate, the five filters, not interlaced */
  e->sink = sink;
  e->ok = true;
  e->simd = simd;
  e->crc = 0;
  e->adler = 1;
  fmi_png_begin_block(e);
  fmi_put_be32(header, (uint32_t)image->width);
  fmi_put_be32(header + 4, (uint32_t)image->height);
  header[8] = 8;
  header[9] = types[image->channels];
  fmi_png_put(e, fmi_png_signature, 8);
  fmi_png_put_chunk(e, "IHDR", header, 13);
  if (srgb) fmi_png_put_chunk(e, "sRGB", "", 1); /* 0: perceptual */
  for (; texts && *texts; texts += 2) fmi_png_put_text(e, texts[0], texts[1]);
  e->heads_set = false;
  memset(&e->bits, 0, sizeof e->bits);
  e->bits.out = e->packed;
  fmi_put_bits(&e->bits, FMI_ZLIB_HEADER, 16);
  fmi_flush_bits(&e->bits);
  fmi_png_put_rows(e, image);
  fmi_png_put_chunk(e, "IEND", NULL, 0);
  return e->ok;
}

/* Are these keywords 1 to 79 printable Latin-1 characters, each with a text? */
FMI_FN bool fmi_png_check_texts(fmi_env *env, const char *const *texts) {
  for (; texts && *texts; texts += 2) {
    size_t length = strlen(*texts);
    bool ok = length >= 1 && length <= 79;
    for (size_t i = 0; i < length && ok; i++) {
      unsigned char c = (unsigned char)(*texts)[i];
      ok = c >= 161 || (c >= 32 && c <= 126);
    }
    if (!ok) return fmi_fail(env, FM_ERROR_ARGUMENT, "a PNG text's keyword must be 1 to 79 printable Latin-1 characters");
    if (texts[1] && strlen(texts[1]) > 0x7FFFFF00u)
      return fmi_fail(env, FM_ERROR_ARGUMENT, "the PNG text \"%s\" is over 2 GB long", *texts);
    if (!texts[1])
      return fmi_fail(env, FM_ERROR_ARGUMENT, "the PNG text \"%s\" has a keyword, but no text behind it", *texts);
  }
  return true;
}

/* Checks what is to be written; returns the memory to encode in, in env's temporary memory. NULL: recorded. */
FMI_FN void *fmi_png_prepare(fmi_env *env, const fm_image *image, const fm_png_desc *desc) {
  if (!image || !image->pixels || image->width < 1 || image->height < 1 || image->channels < 1 || image->channels > 4) {
    fmi_fail(env, FM_ERROR_ARGUMENT, "a PNG needs an image of at least 1 x 1 pixels with 1 to 4 channels");
    return NULL;
  }
  if (!fmi_png_check_texts(env, desc ? desc->texts : NULL)) return NULL;
  return fmi_alloc(env, &env->temp, fmi_png_scratch(image->width, image->channels), 1);
}

FM_API bool fm_write_png(const fm_sink *sink, const fm_image *image, const fm_png_desc *desc, fm_error *error) {
  fmi_env env;
  fmi_begin(&env, desc ? desc->common : NULL, error, NULL);
  void *scratch = env.error->status == FM_OK ? fmi_png_prepare(&env, image, desc) : NULL;
  if (scratch && (!sink || !sink->write)) fmi_fail(&env, FM_ERROR_ARGUMENT, "a PNG needs a sink with a write function");
  else if (scratch && !fmi_png_encode(scratch, env.simd, sink, image, desc ? desc->texts : NULL, !(desc && desc->no_srgb)))
    fmi_fail(&env, FM_ERROR_WRITE, "the sink did not take the PNG: its write returned false");
  return fmi_end(&env);
}

/* The sink of an open file. */
typedef struct fmi_file_sink { fmi_env *env; fmi_out *out; } fmi_file_sink;
FMI_FN bool fmi_take_for_file(void *user, const void *data, size_t size) {
  fmi_file_sink *file = (fmi_file_sink *)user;
  return fmi_write(file->env, file->out, data, size);
}

FM_API bool fm_write_png_file(const char *path, const fm_image *image, const fm_png_desc *desc, fm_error *error) {
  fmi_env env;
  fmi_out out;
  fmi_begin(&env, desc ? desc->common : NULL, error, NULL);
  void *scratch = env.error->status == FM_OK ? fmi_png_prepare(&env, image, desc) : NULL;
  if (scratch && !path) fmi_fail(&env, FM_ERROR_ARGUMENT, "a PNG file needs a path");
  else if (scratch && fmi_open_write(&env, &out, path)) {
    fmi_file_sink file;
    fm_sink sink;
    file.env = &env;
    file.out = &out;
    memset(&sink, 0, sizeof sink);
    sink.user = &file;
    sink.write = fmi_take_for_file;
    bool ok = fmi_png_encode(scratch, env.simd, &sink, image, desc ? desc->texts : NULL, !(desc && desc->no_srgb));
    fmi_close_write(&env, &out, ok);
  }
  return fmi_end(&env);
}

#endif

#if !defined(FACEMORPH_NO_SESSION) && !defined(FACEMORPH_NO_RENDER) && !defined(FACEMORPH_NO_WRITERS)
/* ============================================================ [FM:session] ==========================================
   One run: heads in, a result folder out. Everything is checked before a folder is made; record.json is written last and so marks
   a complete result. Frames are drawn and encoded in jobs and written in order on the caller's thread.
   Test: tests/test_session.c */

/* A file on its way to a head: a call of its own within the run, so that several can be under way at once. */
typedef struct fmi_input {
  const fm_session_desc *desc;
  const char *path;
  double scale;
  size_t used, blocks;            /* what the call finds in use already; then what the head keeps */
  fm_mesh *mesh;                  /* NULL: not loaded */
  fm_error error;
} fmi_input;

typedef struct fmi_session {
  fmi_env *env;
  const fm_session_desc *desc;
  fm_report *report;
  size_t head_count;
  const fm_mesh **heads;
  fmi_input *inputs;              /* heads loaded here; NULL where the caller gave them */
  char **names;                   /* of the heads in file names, all different */
  size_t frame_count;
  float *shape, *texture;         /* frame_count rows of head_count weights */
  double *named;                  /* frame_count rows of head_count: the weights that stand in the file names */
  bool indexed;                   /* file names carry the frame's number */
  fm_frame *frames;
  fm_camera camera;
  int width, height, samples;
  uint8_t background[3];
  char *folder;
  fmi_text log;
  double start, load_seconds, check_seconds, prepare_seconds, render_seconds;
  size_t warning_count;
  uint64_t transfers;
  const char *renderer_name;
  /* PNG encoding: a file for each slot, and a scratch for each worker, or for each slot where these are fewer */
  size_t scratch_size, scratch_count, file_room, slot_count;
  uint8_t *scratch, *files;
  size_t *file_sizes;
  char *comment;
} fmi_session;

/* A line for the caller's log and, but for details, for session.log. */
FMI_FN FMI_PRINTF(3, 4) void fmi_log(fmi_session *s, fm_log_level level, const char *format, ...) {
  fmi_text line;
  va_list list;
  memset(&line, 0, sizeof line);
  line.env = s->env;
  line.pool = &s->env->temp;
  va_start(list, format);
  bool ok = fmi_text_list(&line, format, list);
  va_end(list);
  if (ok && level != FM_LOG_DETAIL)
    fmi_text_add(&s->log, "%s%s\n",
                 level == FM_LOG_WARNING ? "warning: "
                 : level == FM_LOG_ERROR ? "error: "
                                         : "",
                 line.data);
  if (ok && s->env->common->log) s->env->common->log(s->env->common->log_user, level, line.data);
  fmi_release(s->env, line.data);
  s->warning_count += level == FM_LOG_WARNING;
}

/* A number in as few digits as give it back. */
typedef struct fmi_number { char text[32]; } fmi_number;
FMI_FN fmi_number fmi_number_of(double value) {
  fmi_number n;
  fm_print_double(n.text, value);
  return n;
}
/* Seconds with milliseconds. */
FMI_FN fmi_number fmi_seconds_of(double seconds) {
  fmi_number n;
  double ms = floor(seconds * 1000.0 + 0.5);
  unsigned long long whole = ms > 0.0 && ms < 1e15 ? (unsigned long long)ms : 0;
  fmi_format(n.text, sizeof n.text, "%llu.%03u s", whole / 1000, (unsigned)(whole % 1000));
  return n;
}

/* ---- heads ---- */

FMI_FN void fmi_load_input(void *data, size_t i, int worker) {
  fmi_input *input = (fmi_input *)data + i;
  fmi_env env;
  fmi_source source;
  fm_load_desc load;
  (void)worker;
  memset(&source, 0, sizeof source);
  memset(&load, 0, sizeof load);
  source.path = input->path;
  load.only = input->desc->only;
  load.exclude = input->desc->exclude;
  load.scale = input->scale;
  fmi_begin(&env, input->desc->common, &input->error, input->path);
  env.used = input->used;
  env.blocks = input->blocks;
  input->mesh = fmi_load_mesh(&env, &source, &load);
  fmi_end(&env);
  input->used = env.used - input->used;
  input->blocks = env.blocks - input->blocks;
}

/* All inputs at once, each within its share of the limits. False: one did not get the memory it needed; nothing is left of any. */
FMI_FN bool fmi_load_together(fmi_session *s, fmi_input *inputs, size_t count) {
  fmi_env *env = s->env;
  size_t memory = env->limits.memory - fmi_min_size(env->used, env->limits.memory),
         blocks = env->limits.allocations - fmi_min_size(env->blocks, env->limits.allocations);
  bool enough = true;
  for (size_t i = 0; i < count; i++) {
    inputs[i].used = env->limits.memory - memory / count;
    inputs[i].blocks = env->limits.allocations - blocks / count;
  }
  fmi_run_jobs(env, fmi_load_input, inputs, count);
  for (size_t i = 0; i < count; i++)
    enough = enough && inputs[i].error.status != FM_ERROR_LIMIT && inputs[i].error.status != FM_ERROR_MEMORY;
  for (size_t i = 0; i < count && !enough; i++) {
    fm_free_mesh(inputs[i].mesh);
    inputs[i].mesh = NULL;
  }
  return enough;
}

/* Together where everything that the workers would call allows it, else one after the other; what the caller is told comes in the
   order of the inputs, and is the same, in both ways. */
FMI_FN bool fmi_load_inputs(fmi_session *s, fmi_input *inputs, size_t count) {
  fmi_env *env = s->env;
  const fm_files *files = env->common->files;
  bool together = fmi_workers(env) > 1 && env->allocator.thread_safe && (!files || files->thread_safe);
  if (!fmi_tell_progress(env, "load", 0, count)) return false;
  together = together && fmi_load_together(s, inputs, count);
  for (size_t i = 0; i < count; i++) {
    if (!together) {
      inputs[i].used = env->used;
      inputs[i].blocks = env->blocks;
      fmi_load_input(inputs, i, 0);
    }
    if (!inputs[i].mesh) {
      *env->error = inputs[i].error;
      return false;
    }
    env->used += inputs[i].used;
    env->blocks += inputs[i].blocks;
    if (!fmi_tell_progress(env, "load", i + 1, count)) return false;
  }
  return true;
}

FMI_FN bool fmi_load_heads(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  fmi_env *env = s->env;
  if (!d->heads && (!d->path_a || !d->path_b))
    return fmi_fail(env, FM_ERROR_ARGUMENT, "a run needs path_a and path_b, or heads");
  if (d->heads && d->head_count == 0) return fmi_fail(env, FM_ERROR_ARGUMENT, "a run needs at least one head");
  s->head_count = d->heads ? d->head_count : 2;
  s->heads = (const fm_mesh **)fmi_alloc_zero(env, &env->temp, s->head_count, sizeof *s->heads);
  if (!s->heads) return false;
  if (d->heads)
    for (size_t h = 0; h < s->head_count; h++) {
      if (!fmi_tell_progress(env, "load", h, s->head_count)) return false;
      if (!d->heads[h]) return fmi_fail(env, FM_ERROR_ARGUMENT, "head %zu is NULL", h + 1);
      s->heads[h] = d->heads[h];
    }
  if (d->heads) return fmi_tell_progress(env, "load", s->head_count, s->head_count);
  s->inputs = (fmi_input *)fmi_alloc_zero(env, &env->temp, s->head_count, sizeof *s->inputs);
  if (!s->inputs) return false;
  for (size_t h = 0; h < s->head_count; h++) {
    s->inputs[h].desc = d;
    s->inputs[h].path = h == 0 ? d->path_a : d->path_b;
    s->inputs[h].scale = h == 1 ? d->scale_b : 0.0;
  }
  if (!fmi_load_inputs(s, s->inputs, s->head_count)) return false;
  for (size_t h = 0; h < s->head_count; h++) s->heads[h] = s->inputs[h].mesh;
  return true;
}

FMI_FN void fmi_log_head(fmi_session *s, size_t h) {
  static const char *const formats[] = {"", "FBX", "FBX ASCII", "OBJ", "PNG", "JPEG", "TGA", "BMP"};
  const fm_mesh *mesh = s->heads[h];
  bool known = mesh->format > FM_FORMAT_UNKNOWN && (size_t)mesh->format < FMI_COUNT(formats);
  const char *path = s->desc->heads ? mesh->name : h == 0 ? s->desc->path_a : s->desc->path_b;
  fmi_log(s, FM_LOG_INFO, "head %zu: %s: %s%s%zu vertices, %zu polygons, %zu triangles, %zu materials, %zu parts",
          h + 1, path ? path : "(in memory)", known ? formats[mesh->format] : "", known ? ", " : "", mesh->vertex_count,
          mesh->polygon_count, fmi_triangle_count(mesh), mesh->material_count, mesh->part_count);
  for (size_t t = 0; t < mesh->texture_count; t++) {
    const fm_texture *texture = &mesh->textures[t];
    if (texture->image.width > 0)
      fmi_log(s, FM_LOG_INFO, "  texture %s: %d x %d, %s", texture->name ? texture->name : "", texture->image.width,
              texture->image.height,
              texture->embedded ? "embedded"
              : texture->path   ? texture->path
                                : "in memory");
  }
  for (size_t w = 0; w < mesh->warning_count; w++)
    fmi_log(s, FM_LOG_WARNING, "%s: %s", path ? path : "(in memory)", mesh->warnings[w]);
}

FMI_FN double fmi_height(const fm_mesh *mesh) {
  double low = DBL_MAX, high = -DBL_MAX;
  for (size_t v = 0; v < mesh->vertex_count; v++) {
    double y = mesh->positions[3 * v + 1];
    low = y < low ? y : low;
    high = y > high ? y : high;
  }
  return mesh->vertex_count ? high - low : 0.0;
}

/* What would make a wrong picture is an error, what makes a surprising one a warning. */
FMI_FN bool fmi_check_heads(fmi_session *s) {
  size_t textured = 0;
  for (size_t h = 0; h < s->head_count; h++) {
    const fm_mesh *mesh = s->heads[h];
    if (!fmi_is_prepared(mesh))
      return fmi_fail(s->env, FM_ERROR_ARGUMENT, "head %zu has no triangles yet; call fm_prepare_mesh first", h + 1);
    if (fmi_triangle_count(mesh) == 0)
      return fmi_fail(s->env, FM_ERROR_FORMAT, "%s: holds no polygon to draw; export the head's mesh with its polygons",
                      mesh->name ? mesh->name : "a head");
    textured += fmi_has_texture(mesh);
    if (h == 0) continue;
    fm_topology_report report;
    const char *a = s->heads[0]->name ? s->heads[0]->name : "A", *b = mesh->name ? mesh->name : "B";
    if (!fm_check_topology(s->heads[0], mesh, &report))
      return fmi_fail(
          s->env, FM_ERROR_TOPOLOGY,
          "%s and %s cannot be morphed: %s. Both heads must come from one mesh, exported with the same settings", a, b,
          report.message);
    if (!report.uvs_same)
      fmi_log(s, FM_LOG_WARNING, "%s and %s: %s; each texture is sampled with its own head's UVs", a, b,
              report.message);
    double height_a = fmi_height(s->heads[0]), height_b = fmi_height(mesh);
    if (height_a > 5.0 * height_b || height_b > 5.0 * height_a)
      fmi_log(
          s, FM_LOG_WARNING,
          "heights differ more than 5 times: %s is %s %s high, %s is %s %s; --scale-b (scale_b) multiplies B's positions",
          a, fmi_number_of(height_a).text, s->heads[0]->metres_per_unit > 0.0 ? "metres" : "units of its file", b,
          fmi_number_of(height_b).text, mesh->metres_per_unit > 0.0 ? "metres" : "units of its file");
  }
  if (textured > 0 && textured < s->head_count)
    fmi_log(
        s, FM_LOG_WARNING,
        "only %zu of %zu heads have a texture: the morph shows shape alone, in grey; give each head its texture to see these as well",
        textured, s->head_count);
  return true;
}

/* ---- names ---- */

/* The same on machines of either byte order. */
FMI_FN void fmi_sha256_word(fmi_sha256 *sha, uint32_t word) {
  uint8_t bytes[4];
  fmi_put_be32(bytes, word);
  fmi_sha256_add(sha, bytes, 4);
}

/* "~" and six digits of a SHA-256 of a head, to tell equal names apart: of its file, or of its arrays. */
FMI_FN bool fmi_name_suffix(fmi_session *s, size_t h, char out[8]) {
  fmi_sha256 sha;
  uint8_t digest[32], *data = NULL;
  size_t size = 0;
  const fm_mesh *mesh = s->heads[h];
  fmi_sha256_begin(&sha);
  if (s->inputs) {
    if (!fmi_read_file(s->env, &s->env->temp, s->inputs[h].path, true, NULL, &data, &size))
      return false;
    fmi_sha256_add(&sha, data, size);
    fmi_release(s->env, data);
  } else {
    for (size_t i = 0; i < 3 * mesh->vertex_count; i++) fmi_sha256_word(&sha, fmi_float_bits(mesh->positions[i]));
    for (size_t i = 0; i < mesh->corner_count; i++) fmi_sha256_word(&sha, mesh->corners[i]);
  }
  fmi_sha256_end(&sha, digest);
  fmi_format(out, 8, "~%02x%02x%02x", (unsigned)digest[0], (unsigned)digest[1], (unsigned)digest[2]);
  return true;
}

enum { FMI_LONGEST_NAME = 80 };

/* A head's name without characters that a file system minds, and not too long. */
FMI_FN void fmi_clean_name(char out[FMI_LONGEST_NAME + 1], const char *name) {
  fmi_format(out, FMI_LONGEST_NAME + 1, "%s", name && *name ? name : "head");
  for (char *c = out; *c; c++)
    if ((unsigned char)*c < 32 || strchr("/\\:*?\"<>|", *c)) *c = '_';
}

/* Names of the heads for files, told apart where two are alike or one had to be cut. */
FMI_FN bool fmi_name_heads(fmi_session *s) {
  s->names = (char **)fmi_alloc_zero(s->env, &s->env->temp, s->head_count, sizeof *s->names);
  if (!s->names) return false;
  for (size_t h = 0; h < s->head_count; h++) {
    char suffix[8] = "", clean[FMI_LONGEST_NAME + 1], other[FMI_LONGEST_NAME + 1];
    bool alike = s->heads[h]->name && strlen(s->heads[h]->name) > FMI_LONGEST_NAME;
    fmi_clean_name(clean, s->heads[h]->name);
    for (size_t g = 0; g < s->head_count && !alike; g++) {
      fmi_clean_name(other, s->heads[g]->name);
      alike = g != h && strcmp(clean, other) == 0;
    }
    if (alike && !fmi_name_suffix(s, h, suffix)) return false;
    s->names[h] = (char *)fmi_alloc(s->env, &s->env->temp, sizeof clean + sizeof suffix, 1);
    if (!s->names[h]) return false;
    fmi_format(s->names[h], sizeof clean + sizeof suffix, "%s%s", clean, suffix);
  }
  return true;
}

/* A weight in permille: four digits at least, "m" for minus. Rounded half up. */
FMI_FN void fmi_permille(char out[24], int64_t permille) {
  fmi_format(out, 24, "%s%04llu", permille < 0 ? "m" : "", (unsigned long long)(permille < 0 ? -permille : permille));
}

/* The file name of a frame: <a>-<permille>_<b>-<permille>.png, with the frame's number before it where weights are the caller's. Of a
   pair, B's is 1000 minus A's. */
FMI_FN bool fmi_frame_name(const fmi_session *s, size_t frame, fmi_text *name) {
  const double *w = s->named + frame * s->head_count;
  int64_t first = 0;
  name->size = 0;
  bool ok = !s->indexed || fmi_text_add(name, "%04u_", (unsigned)frame);
  for (size_t h = 0; h < s->head_count && ok; h++) {
    char number[24];
    double rounded = floor(w[h] * 1000.0 + 0.5);
    int64_t permille = rounded > -1e12 && rounded < 1e12 ? (int64_t)rounded : 0;
    if (h == 0) first = permille;
    fmi_permille(number, s->head_count == 2 && h == 1 && !s->desc->weight_rows ? 1000 - first : permille);
    ok = fmi_text_add(name, "%s%s-%s", h ? "_" : "", s->names[h], number);
  }
  return ok && fmi_text_add(name, ".png");
}

/* ---- weights ---- */

/* How many frames: the longest list of weights, or `frames`. */
FMI_FN bool fmi_count_frames(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  size_t longest = fmi_max_size(d->weight_count, fmi_max_size(d->shape_weight_count, d->texture_weight_count));
  if (d->frames != 0 && (d->frames < 2 || d->frames > 1001))
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "frames must be 2 to 1001, not %d", d->frames);
  if (d->weight_rows) {
    if (longest)
      return fmi_fail(s->env, FM_ERROR_ARGUMENT,
                      "weight_rows and lists of weights exclude each other; give one of them");
    s->frame_count = d->weight_row_count;
    s->indexed = true;
    return s->frame_count > 0 || fmi_fail(s->env, FM_ERROR_ARGUMENT, "weight_rows is given, but weight_row_count is 0");
  }
  if (s->head_count != 2)
    return fmi_fail(s->env, FM_ERROR_ARGUMENT,
                    "a run of %zu heads needs weight_rows; steps and lists of weights are for two", s->head_count);
  s->indexed = longest > 0;
  bool list = d->weight_count > 0 || longest > 1;
  s->frame_count = list ? longest : d->frames ? (size_t)d->frames : 41;
  if (list && d->frames && (size_t)d->frames != longest)
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "%d frames were asked for, but %zu weights given; leave --frames out",
                    d->frames, longest);
  const size_t counts[3] = {d->weight_count, d->shape_weight_count, d->texture_weight_count};
  for (int i = 0; i < 3; i++)
    if (counts[i] > 1 && counts[i] != s->frame_count)
      return fmi_fail(s->env, FM_ERROR_ARGUMENT,
                      "the lists of weights have %zu and %zu values; they must be equally long, or one value",
                      counts[i], s->frame_count);
  return true;
}

/* Weight of A in a frame by a list (one value: constant), else `otherwise`. */
FMI_FN double fmi_listed_weight(const double *list, size_t count, size_t frame, double otherwise) {
  return count == 0 ? otherwise : list[count == 1 ? 0 : frame];
}

FMI_FN bool fmi_make_weights(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  size_t n = s->head_count;
  if (!fmi_count_frames(s)) return false;
  s->shape = (float *)fmi_alloc(s->env, &s->env->temp, fmi_mul_size(s->frame_count, n), sizeof(float));
  s->texture = (float *)fmi_alloc(s->env, &s->env->temp, fmi_mul_size(s->frame_count, n), sizeof(float));
  s->named = (double *)fmi_alloc(s->env, &s->env->temp, fmi_mul_size(s->frame_count, n), sizeof(double));
  if (!s->shape || !s->texture || !s->named) return false;
  /* frames are named by what varies: by the texture's weights where the shape stands still */
  bool still = d->shape_weight_count == 1 || (d->shape_weight_count == 0 && d->weight_count == 1),
       by_texture = still && d->texture_weight_count != 1;
  for (size_t f = 0; f < s->frame_count; f++) {
    float *shape = s->shape + f * n, *texture = s->texture + f * n;
    double *named = s->named + f * n;
    if (d->weight_rows)
      for (size_t h = 0; h < n; h++) named[h] = shape[h] = texture[h] = d->weight_rows[f * n + h];
    else {
      double steps = s->frame_count > 1 ? (double)f / (double)(s->frame_count - 1) : 0.0;
      double both = fmi_listed_weight(d->weights, d->weight_count, f, steps);
      double a = fmi_listed_weight(d->shape_weights, d->shape_weight_count, f, both);
      double t = fmi_listed_weight(d->texture_weights, d->texture_weight_count, f, both);
      shape[0] = (float)a;
      shape[1] = (float)(1.0 - a);
      texture[0] = (float)t;
      texture[1] = (float)(1.0 - t);
      named[0] = by_texture ? t : a;
      named[1] = 1.0 - named[0];
    }
    for (size_t h = 0; h < n; h++)
      if (!fmi_is_finite(shape[h]) || !fmi_is_finite(texture[h]) || fabsf(shape[h]) > 1e6f || fabsf(texture[h]) > 1e6f)
        return fmi_fail(s->env, FM_ERROR_ARGUMENT, "frame %zu: a weight must be a number between -1000000 and 1000000",
                        f);
  }
  return true;
}

/* ---- pictures ---- */

FMI_FN bool fmi_make_camera(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  fm_camera_desc fit;
  memset(&fit, 0, sizeof fit);
  fit.no_fit = d->no_fit;
  fit.distance = d->distance;
  fit.fov = d->fov;
  fit.yaw = d->yaw;
  fit.pitch = d->pitch;
  if (s->indexed) {
    fit.shape_weights = s->shape;
    fit.shape_count = s->frame_count;
  }
  if (!(d->distance >= 0.0)) return fmi_fail(s->env, FM_ERROR_ARGUMENT, "the camera's distance must be above 0");
  if (!(d->fov >= 0.0 && d->fov < 179.0))
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "the field of view must be above 0 and below 179 degrees");
  if (!fmi_is_finite(d->yaw) || !fmi_is_finite(d->pitch))
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "yaw and pitch must be finite angles");
  s->camera = d->camera ? *d->camera : fm_fit_camera(s->heads, s->head_count, &fit);
  s->report->camera = s->camera;
  return fmi_is_usable_camera(&s->camera) ||
         fmi_fail(
             s->env, FM_ERROR_ARGUMENT,
             "the camera's scale, distance and half_extent must lie between 1e-18 and 1e18, its center below 1e18; are the heads' positions sensible?");
}

FMI_FN bool fmi_make_frames(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  s->width = d->width ? d->width : 512;
  s->height = d->height ? d->height : 512;
  s->samples = d->samples ? d->samples : 4;
  memset(s->background, 255, 3);
  if (d->background_set) memcpy(s->background, d->background, 3);
  if (s->samples != 1 && s->samples != 4)
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "samples must be 1 or 4, not %d", s->samples);
  if (s->width < 1 || s->height < 1 || s->width > FMI_MAX_PICTURE || s->height > FMI_MAX_PICTURE)
    return fmi_fail(s->env, FM_ERROR_ARGUMENT, "a picture is 1 to %d pixels wide and high, not %d x %d",
                    (int)FMI_MAX_PICTURE, s->width, s->height);
  s->frames = (fm_frame *)fmi_alloc_zero(s->env, &s->env->temp, s->frame_count, sizeof *s->frames);
  if (!s->frames) return false;
  for (size_t f = 0; f < s->frame_count; f++) {
    fm_frame *frame = &s->frames[f];
    frame->shape_weights = s->shape + f * s->head_count;
    frame->texture_weights = s->texture + f * s->head_count;
    frame->camera = &s->camera;
    frame->width = s->width;
    frame->height = s->height;
    frame->samples = s->samples;
    frame->unlit = d->unlit;
    frame->cull = d->cull;
    frame->transparent = d->transparent;
    frame->background_set = true;
    memcpy(frame->background, s->background, 3);
  }
  return true;
}

/* A sink that fills a slot's file. */
typedef struct fmi_memory_sink { uint8_t *data; size_t size; } fmi_memory_sink;
FMI_FN bool fmi_take_for_memory(void *user, const void *data, size_t size) {
  fmi_memory_sink *memory = (fmi_memory_sink *)user;
  memcpy(memory->data + memory->size, data, size);
  memory->size += size;
  return true;
}

/* Encodes a finished picture; in any worker. */
FMI_FN void fmi_session_prepare(void *user, size_t frame, size_t slot, int worker, const fm_image *image) {
  fmi_session *s = (fmi_session *)user;
  const char *texts[5];
  size_t scratch = s->scratch_count < s->slot_count ? (size_t)worker : slot;
  (void)frame;
  texts[0] = "Software";
  texts[1] = "facemorph.h " FM_VERSION;
  texts[2] = "Comment";
  texts[3] = s->comment;
  texts[4] = NULL;
  fmi_memory_sink file;
  fm_sink sink;
  file.data = s->files + slot * s->file_room;
  file.size = 0;
  memset(&sink, 0, sizeof sink);
  sink.user = &file;
  sink.write = fmi_take_for_memory;
  fmi_png_encode(s->scratch + scratch * s->scratch_size, s->env->simd, &sink, image, texts, true);
  s->file_sizes[slot] = file.size;
}

FMI_FN bool fmi_session_deliver(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  fmi_session *s = (fmi_session *)user;
  fmi_text path;
  (void)image;
  memset(&path, 0, sizeof path);
  path.env = s->env;
  path.pool = &s->env->temp;
  fmi_text name = path;
  bool ok = fmi_frame_name(s, frame, &name) && fmi_text_add(&path, "%s/png/%s", s->folder, name.data) &&
            fmi_write_file(s->env, path.data, s->files + slot * s->file_room, s->file_sizes[slot]);
  if (ok) fmi_log(s, FM_LOG_DETAIL, "png/%s: %zu bytes", name.data, s->file_sizes[slot]);
  fmi_release(s->env, name.data);
  fmi_release(s->env, path.data);
  if (!ok) *error = *s->env->error;
  s->report->frame_count = frame + ok;
  return ok;
}

/* Settings in one line, the same for every frame: for the PNGs' text. */
FMI_FN bool fmi_make_comment(fmi_session *s) {
  fmi_text text;
  const fm_camera *c = &s->camera;
  memset(&text, 0, sizeof text);
  text.env = s->env;
  text.pool = &s->env->temp;
  bool ok = fmi_text_add(
      &text,
      "picture version %d; renderer %s; %d samples; %s; camera center %s %s %s scale %s yaw %s pitch %s distance %s half_extent %s",
      FM_PICTURE_VERSION, s->renderer_name, s->samples, s->desc->unlit ? "unlit" : "headlight",
      fmi_number_of(c->center[0]).text, fmi_number_of(c->center[1]).text, fmi_number_of(c->center[2]).text,
      fmi_number_of(c->scale).text, fmi_number_of(c->yaw).text, fmi_number_of(c->pitch).text,
      fmi_number_of(c->distance).text, fmi_number_of(c->half_extent).text);
  s->comment = text.data;
  return ok;
}

/* Buffers for frames in flight: two a worker, or as many as half of the memory that is left holds. */
FMI_FN bool fmi_make_slots(fmi_session *s) {
  fmi_env *env = s->env;
  const fm_renderer *renderer = s->desc->renderer;
  fm_image picture = fmi_frame_image(&s->frames[0]);
  const char *texts[5] = {"Software", "facemorph.h " FM_VERSION, "Comment", s->comment, NULL};
  size_t workers = (size_t)fmi_workers_of(env, s->frame_count),
         in_flight = renderer && !renderer->lanes_thread_safe ? 2 * workers : fmi_most_in_flight((int)workers),
         left = (env->limits.memory - fmi_min_size(env->used, env->limits.memory)) / 2;
  s->scratch_size = fmi_add_size(fmi_png_scratch(picture.width, picture.channels), 63) & ~(size_t)63;
  s->file_room = fmi_png_bound(picture.width, picture.height, picture.channels, texts);
  size_t each = fmi_add_size(fmi_add_size(s->scratch_size, s->file_room),
                             fmi_image_bytes(&picture) / (size_t)picture.channels * ((size_t)picture.channels + 1));
  s->slot_count = fmi_min_size(fmi_min_size(in_flight, s->frame_count), fmi_max_size(left / each, 1));
  s->scratch_count = fmi_min_size(workers, s->slot_count);
  s->scratch = (uint8_t *)fmi_alloc(env, &env->temp, s->scratch_count, s->scratch_size);
  s->files = (uint8_t *)fmi_alloc(env, &env->temp, s->slot_count, s->file_room);
  s->file_sizes = (size_t *)fmi_alloc(env, &env->temp, s->slot_count, sizeof *s->file_sizes);
  return s->scratch && s->files && s->file_sizes;
}

/* Gives the heads to the renderer and draws all frames. */
FMI_FN bool fmi_render_with(fmi_session *s, fm_renderer *renderer) {
  fmi_env *env = s->env;
  fm_image_sink sink;
  fm_scene scene;
  fm_error error;
  double start = fmi_clock(env);
  memset(&sink, 0, sizeof sink);
  memset(&scene, 0, sizeof scene);
  sink.user = s;
  sink.slots = s->slot_count;
  sink.prepare = fmi_session_prepare;
  sink.deliver = fmi_session_deliver;
  sink.prepare_only = true;
  scene.common = env->common;
  scene.heads = s->heads;
  scene.head_count = s->head_count;
  scene.lanes = fmi_workers_of(env, s->frame_count);
  scene.ignore_alpha = s->desc->ignore_alpha;
  scene.frames = s->frames;
  scene.frame_count = s->frame_count;
  memset(&error, 0, sizeof error);
  if (!fmi_tell_progress(env, "prepare", 0, 1)) return false;
  int lanes = renderer->begin(renderer->user, &scene, &error);
  if (lanes <= 0)
    return fmi_fail(env, error.status == FM_OK ? FM_ERROR_RENDERER : error.status, "%s",
                    error.status == FM_OK ? "the renderer could not begin" : error.message);
  double begun = fmi_clock(env);
  s->prepare_seconds = begun - start;
  bool ok = fmi_tell_progress(env, "render", 0, s->frame_count) &&
            fmi_render_frames(env, renderer, s->frames, s->frame_count, &sink, lanes);
  if (renderer->transfers) s->transfers = renderer->transfers(renderer->user);
  renderer->end(renderer->user);
  s->render_seconds = fmi_clock(env) - begun;
  return ok;
}

FMI_FN bool fmi_render_session(fmi_session *s) {
  fm_renderer own;
  fm_error error;
  if (!fmi_make_slots(s)) return false;
  if (s->desc->renderer) return fmi_render_with(s, s->desc->renderer);
  if (!fm_software_renderer(&own, s->env->common, &error)) return fmi_fail(s->env, error.status, "%s", error.message);
  bool ok = fmi_render_with(s, &own);
  fm_destroy_renderer(&own);
  return ok;
}

/* ---- folders ---- */

/* Year, month, ... of seconds since 1970, UTC (days to civil date: proleptic Gregorian calendar, years from March). */
FMI_FN void fmi_utc(int64_t seconds, int out[6]) {
  int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) { rest += 86400; days--; }
  days += 719468; /* from 0000-03-01 */
  int64_t era = (days >= 0 ? days : days - 146096) / 146097, day = days - era * 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  day -= 365 * year + year / 4 - year / 100;
  int64_t month = (5 * day + 2) / 153;
  out[2] = (int)(day - (153 * month + 2) / 5 + 1);
  out[1] = (int)(month < 10 ? month + 3 : month - 9);
  out[0] = (int)(year + era * 400 + (month >= 10));
  out[3] = (int)(rest / 3600);
  out[4] = (int)(rest / 60 % 60);
  out[5] = (int)(rest % 60);
}

/* Makes a folder: 1 made, 0 there already, -1 recorded. */
FMI_FN int fmi_make_folder(fmi_env *env, const char *path) {
  fm_files files = fmi_files_of(env);
  char reason[200];
  fmi_clear_reason();
  int made = files.make_folder(files.user, path);
  if (made >= 0) return made;
  fmi_add_reason(reason, sizeof reason);
  fmi_fail(env, FM_ERROR_WRITE, "%s: the folder cannot be made%s; check the path and the permissions", path, reason);
  return -1;
}

/* Makes a folder and those above it. */
FMI_FN bool fmi_make_folders(fmi_env *env, const char *path) {
  char *copy = fmi_copy_text(env, &env->temp, path, strlen(path));
  if (!copy) return false;
  for (char *p = copy + 1; *copy && *p; p++) {
    bool drive = p == copy + 2 && copy[1] == ':';
    if ((*p != '/' && *p != '\\') || p[-1] == '/' || drive) continue;
#if !defined(_WIN32)
    if (*p == '\\') continue;
#endif
    char slash = *p;
    *p = 0;
    if (fmi_make_folder(env, copy) < 0) return false;
    *p = slash;
  }
  return fmi_make_folder(env, copy) >= 0;
}

/* DIR/RUN/<a>_<b>/png: with a given name the run's folder must be new (unless join_run); otherwise the time names it, and _2, _3, ...
   tells runs of one second apart. */
FMI_FN bool fmi_make_result_folder(fmi_session *s) {
  const fm_session_desc *d = s->desc;
  fmi_env *env = s->env;
  const char *base = d->out_dir && *d->out_dir ? d->out_dir : "results";
  fmi_text path;
  memset(&path, 0, sizeof path);
  path.env = env;
  path.pool = &env->temp;
  if (d->run_name &&
      (!*d->run_name || strpbrk(d->run_name, "/\\") || strcmp(d->run_name, ".") == 0 || strcmp(d->run_name, "..") == 0))
    return fmi_fail(env, FM_ERROR_ARGUMENT, "the run's name \"%s\" must be a plain folder name without slashes",
                    d->run_name);
  if (!fmi_make_folders(env, base)) return false;
  if (d->run_name) {
    if (!fmi_text_add(&path, "%s/%s", base, d->run_name)) return false;
    int made = fmi_make_folder(env, path.data);
    if (made < 0) return false;
    if (made == 0 && !d->join_run)
      return fmi_fail(env, FM_ERROR_EXISTS,
                      "%s: there is already a run of that name; choose another name or remove the folder", path.data);
  } else {
    int t[6], made = 0;
    fmi_utc((int64_t)time(NULL), t);
    for (unsigned n = 1; made == 0; n++) {
      path.size = 0;
      if (!fmi_text_add(&path, "%s/%04d%02d%02d_%02d%02d%02d", base, t[0], t[1], t[2], t[3], t[4], t[5])) return false;
      if (n > 1 && !fmi_text_add(&path, "_%u", n)) return false;
      made = fmi_make_folder(env, path.data);
      if (made < 0) return false;
    }
  }
  size_t run = path.size;
  for (size_t h = 0; h < s->head_count; h++)
    if (!fmi_text_add(&path, "%c%s", h ? '_' : '/', s->names[h])) return false;
  int made = fmi_make_folder(env, path.data);
  if (made == 0) { /* another pair of these names in a joined run */
    char suffix[8];
    path.size = run;
    for (size_t h = 0; h < s->head_count; h++)
      if (!fmi_name_suffix(s, h, suffix) ||
          !fmi_text_add(&path, "%c%s%s", h ? '_' : '/', s->names[h], strchr(s->names[h], '~') ? "" : suffix))
        return false;
    made = fmi_make_folder(env, path.data);
    if (made == 0)
      return fmi_fail(env, FM_ERROR_EXISTS,
                      "%s: this run already holds a result for these heads; give the run another name", path.data);
  }
  if (made < 0) return false;
  s->folder = path.data;
  fmi_format(s->report->folder, sizeof s->report->folder, "%s", s->folder);
  fmi_text png = path;
  png.data = NULL;
  png.size = png.room = 0;
  return fmi_text_add(&png, "%s/png", s->folder) && fmi_make_folder(env, png.data) >= 0;
}

FMI_FN bool fmi_write_in_folder(fmi_session *s, const char *name, const fmi_text *text) {
  fmi_text path;
  memset(&path, 0, sizeof path);
  path.env = s->env;
  path.pool = &s->env->temp;
  return fmi_text_add(&path, "%s/%s", s->folder, name) && fmi_write_file(s->env, path.data, text->data, text->size);
}

/* ---- log and record ---- */

FMI_FN void fmi_log_settings(fmi_session *s) {
  const fm_camera *c = &s->camera;
  char background[16] = "none";
  if (!s->desc->transparent)
    fmi_format(background, sizeof background, "%02x%02x%02x", (unsigned)s->background[0], (unsigned)s->background[1],
               (unsigned)s->background[2]);
  fmi_log(s, FM_LOG_INFO, "frames: %zu of %d x %d pixels, %d samples, background %s, %s, cull %s, alpha %s",
          s->frame_count, s->width, s->height, s->samples, background,
          s->desc->unlit ? "unlit" : "headlight with ambient 0.5", s->desc->cull == FM_CULL_BACK ? "back" : "none",
          s->desc->ignore_alpha ? "ignored" : "cut out");
  fmi_log(s, FM_LOG_INFO, "camera: center %s %s %s, scale %s, yaw %s, pitch %s, distance %s, half extent %s",
          fmi_number_of(c->center[0]).text, fmi_number_of(c->center[1]).text, fmi_number_of(c->center[2]).text,
          fmi_number_of(c->scale).text, fmi_number_of(c->yaw).text, fmi_number_of(c->pitch).text,
          fmi_number_of(c->distance).text, fmi_number_of(c->half_extent).text);
}

/* Bytes of the UTF-8 character at p, 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
FMI_FN size_t fmi_utf8_length(const unsigned char *p) {
  size_t n = p[0] < 0x80                   ? 1
             : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
             : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
             : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                           : 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0) || (p[0] == 0xF0 && p[1] < 0x90) ||
      (p[0] == 0xF4 && p[1] >= 0x90))
    return 0;
  return n;
}

/* Bytes that are no UTF-8 become the replacement character. */
FMI_FN bool fmi_json_string(fmi_text *text, const char *string) {
  bool ok = fmi_text_bytes(text, "\"", 1);
  for (const unsigned char *p = (const unsigned char *)string; *p && ok;) {
    size_t n = fmi_utf8_length(p);
    if (*p == '"' || *p == '\\') ok = fmi_text_add(text, "\\%c", *p);
    else if (*p < 32) ok = fmi_text_add(text, "\\u%04x", (unsigned)*p);
    else if (n == 0) ok = fmi_text_add(text, "\\ufffd");
    else ok = fmi_text_bytes(text, (const char *)p, n);
    p += n ? n : 1;
  }
  return ok && fmi_text_bytes(text, "\"", 1);
}
FMI_FN bool fmi_json_number(fmi_text *text, double value) {
  if (!fmi_is_finite(value)) return fmi_text_add(text, value > 0.0 ? "\"inf\"" : "\"-inf\"");
  return fmi_text_number(text, value);
}
FMI_FN bool fmi_json_weights(fmi_text *text, const char *name, const float *weights, size_t count) {
  bool ok = fmi_text_add(text, ", \"%s\": [", name);
  for (size_t h = 0; h < count && ok; h++) {
    char number[24];
    fm_print_float(number, weights[h]);
    ok = fmi_text_add(text, "%s%s", h ? ", " : "", number);
  }
  return ok && fmi_text_add(text, "]");
}

/* Settings and results of the run, without times, hosts and absolute paths: the same run gives the same record. */
FMI_FN bool fmi_make_record(fmi_session *s, fmi_text *json) {
  static const char *const axes[] = {"scale", "yaw", "pitch", "distance", "half_extent"};
  const fm_session_desc *d = s->desc;
  const double values[] = {s->camera.scale, s->camera.yaw, s->camera.pitch, s->camera.distance, s->camera.half_extent};
  fmi_text name;
  memset(&name, 0, sizeof name);
  name.env = s->env;
  name.pool = &s->env->temp;
  bool ok = fmi_text_add(json, "{\n  \"facemorph\": \"%s\",\n  \"picture_version\": %d,\n  \"renderer\": ", FM_VERSION, FM_PICTURE_VERSION) &&
            fmi_json_string(json, s->renderer_name) && fmi_text_add(json, ",\n  \"heads\": [");
  for (size_t h = 0; h < s->head_count && ok; h++) {
    const fm_mesh *mesh = s->heads[h];
    ok = fmi_text_add(json, "%s\n    {\"name\": ", h ? "," : "") && fmi_json_string(json, s->names[h]) &&
         fmi_text_add(json, ", \"vertices\": %zu, \"polygons\": %zu, \"triangles\": %zu}", mesh->vertex_count,
                      mesh->polygon_count, fmi_triangle_count(mesh));
  }
  ok =
      ok &&
      fmi_text_add(
          json,
          "\n  ],\n  \"settings\": {\"width\": %d, \"height\": %d, \"samples\": %d, \"unlit\": %s, \"ambient\": 0.5, \"cull\": \"%s\", \"alpha\": \"%s\", \"background\": ",
          s->width, s->height, s->samples, d->unlit ? "true" : "false", d->cull == FM_CULL_BACK ? "back" : "none",
          d->ignore_alpha ? "ignore" : "cutout");
  if (d->transparent) ok = ok && fmi_text_add(json, "\"none\"");
  else
    ok = ok && fmi_text_add(json, "\"%02x%02x%02x\"", (unsigned)s->background[0], (unsigned)s->background[1],
                            (unsigned)s->background[2]);
  ok = ok && fmi_text_add(json, ", \"scale_b\": ") && fmi_json_number(json, d->scale_b != 0.0 ? d->scale_b : 1.0) &&
       fmi_text_add(json, ", \"only\": ") && fmi_json_string(json, d->only ? d->only : "") &&
       fmi_text_add(json, ", \"exclude\": ") && fmi_json_string(json, d->exclude ? d->exclude : "") &&
       fmi_text_add(json, ", \"reverse\": %s},\n  \"camera\": {\"center\": [", d->reverse ? "true" : "false");
  for (int k = 0; k < 3; k++) ok = ok && fmi_text_add(json, k ? ", " : "") && fmi_json_number(json, s->camera.center[k]);
  ok = ok && fmi_text_add(json, "]");
  for (size_t i = 0; i < FMI_COUNT(axes); i++)
    ok = ok && fmi_text_add(json, ", \"%s\": ", axes[i]) && fmi_json_number(json, values[i]);
  ok = ok && fmi_text_add(json, "},\n  \"frames\": [");
  for (size_t f = 0; f < s->frame_count && ok; f++)
    ok = fmi_frame_name(s, f, &name) && fmi_text_add(json, "%s\n    {\"file\": ", f ? "," : "") &&
         fmi_json_string(json, name.data) &&
         fmi_json_weights(json, "shape_weights", s->shape + f * s->head_count, s->head_count) &&
         fmi_json_weights(json, "texture_weights", s->texture + f * s->head_count, s->head_count) &&
         fmi_text_add(json, "}");
  return ok && fmi_text_add(json, "\n  ]\n}\n");
}

FMI_FN bool fmi_finish_session(fmi_session *s) {
  fmi_text record;
  memset(&record, 0, sizeof record);
  record.env = s->env;
  record.pool = &s->env->temp;
  double frames_per_second =
      s->render_seconds > 0.0 ? floor((double)s->frame_count / s->render_seconds * 10.0 + 0.5) / 10.0 : 0.0;
  fmi_log(s, FM_LOG_INFO, "load: %s", fmi_seconds_of(s->load_seconds).text);
  fmi_log(s, FM_LOG_INFO, "check topology, fit camera: %s", fmi_seconds_of(s->check_seconds).text);
  fmi_log(s, FM_LOG_INFO, "prepare textures and normals: %s", fmi_seconds_of(s->prepare_seconds).text);
  fmi_log(s, FM_LOG_INFO, "render and write: %s, %s frames a second", fmi_seconds_of(s->render_seconds).text,
          fmi_number_of(frames_per_second).text);
  fmi_log(s, FM_LOG_INFO, "device transfers: %llu", (unsigned long long)s->transfers);
  fmi_log(s, FM_LOG_INFO, "total: %s, %zu warnings", fmi_seconds_of(fmi_clock(s->env) - s->start).text, s->warning_count);
  fmi_log(s, FM_LOG_INFO, "results: %s", s->folder);
  return s->env->error->status == FM_OK && fmi_write_in_folder(s, "session.log", &s->log) && fmi_make_record(s, &record) &&
         fmi_write_in_folder(s, "record.json", &record);
}

FMI_FN bool fmi_run_session(fmi_session *s) {
  int t[6];
  s->start = fmi_clock(s->env);
  fmi_utc((int64_t)time(NULL), t);
  fmi_log(s, FM_LOG_INFO, "facemorph.h %s, picture version %d, %04d-%02d-%02d %02d:%02d:%02d UTC", FM_VERSION,
          FM_PICTURE_VERSION, t[0], t[1], t[2], t[3], t[4], t[5]);
  if (!fmi_load_heads(s)) return false;
  for (size_t h = 0; h < s->head_count; h++) fmi_log_head(s, h);
  s->load_seconds = fmi_clock(s->env) - s->start;
  if (!fmi_check_heads(s) || !fmi_name_heads(s) || !fmi_make_weights(s) || !fmi_make_camera(s) || !fmi_make_frames(s) ||
      !fmi_make_comment(s))
    return false;
  s->check_seconds = fmi_clock(s->env) - s->start - s->load_seconds;
  fmi_log_settings(s);
  fmi_log(s, FM_LOG_INFO, "renderer: %s, %d workers", s->renderer_name, fmi_workers(s->env));
  return s->env->error->status == FM_OK && fmi_make_result_folder(s) && fmi_render_session(s) && fmi_finish_session(s);
}

/* What a run that failed leaves in its folder: the log, which says why. The failure itself stands; that this works is not sure. */
FMI_FN void fmi_log_failure(fmi_session *s) {
  fmi_session last = *s;
  fmi_env env;
  fm_error error;
  fmi_begin(&env, s->env->common, &error, NULL);
  last.env = &env;
  last.log.env = &env;
  last.log.data = NULL;
  last.log.size = last.log.room = 0;
  last.log.pool = &env.temp;
  if (fmi_text_bytes(&last.log, s->log.data ? s->log.data : "", s->log.size) &&
      fmi_text_add(&last.log, "error: %s\n", s->env->error->message))
    fmi_write_in_folder(&last, "session.log", &last.log);
  fmi_end(&env);
}

FM_API bool fm_run(const fm_session_desc *desc, fm_report *report, fm_error *error) {
  fmi_env env;
  fmi_session s;
  fm_report own_report;
  memset(&s, 0, sizeof s);
  fmi_begin(&env, desc ? desc->common : NULL, error, NULL);
  s.env = &env;
  s.desc = desc;
  s.report = report ? report : &own_report;
  s.log.env = &env;
  s.log.pool = &env.temp;
  memset(s.report, 0, sizeof *s.report);
  s.renderer_name = desc && desc->renderer && desc->renderer->name ? desc->renderer->name : "software";
  if (!desc) fmi_fail(&env, FM_ERROR_ARGUMENT, "fm_run needs a description of the run");
  else if (env.error->status == FM_OK && !fmi_run_session(&s) && s.folder) fmi_log_failure(&s);
  s.report->seconds = fmi_clock(&env) - s.start;
  s.report->load_seconds = s.load_seconds;
  s.report->render_seconds = s.render_seconds;
  s.report->warning_count = s.warning_count;
  s.report->device_transfers = s.transfers;
  for (size_t h = 0; s.inputs && h < s.head_count; h++) fm_free_mesh(s.inputs[h].mesh);
  return fmi_end(&env);
}
#endif

/* The end of the implementation: the compiler's options as they were. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#undef FMI_COMPILING
#endif /* FMI_COMPILING */

/* ============================================================ [FM:licence] =========================================
   This software is available under either of two licences, as you like.

   ALTERNATIVE A - MIT License

   Copyright (c) 2026 facemorph.h authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of
   this software and associated documentation files (the "Software"), to deal in
   the Software without restriction, including without limitation the rights to
   use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
   of the Software, and to permit persons to whom the Software is furnished to do
   so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in all
   copies or substantial portions of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
   FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
   AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
   LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
   SOFTWARE.

   ALTERNATIVE B - Public Domain (www.unlicense.org)

   This is free and unencumbered software released into the public domain.

   Anyone is free to copy, modify, publish, use, compile, sell, or distribute this
   software, either in source code form or as a compiled binary, for any purpose,
   commercial or non-commercial, and by any means.

   In jurisdictions that recognize copyright laws, the author or authors of this
   software dedicate any and all copyright interest in the software to the public
   domain. We make this dedication for the benefit of the public at large and to
   the detriment of our heirs and successors. We intend this dedication to be an
   overt act of relinquishment in perpetuity of all present and future rights to
   this software under copyright law.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
   FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
   AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
   ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
   WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
