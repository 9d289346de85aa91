/* Mesa's software rasterizer llvmpipe as a peer of tools/bench.c: one frame by OpenGL 3.3 through OSMesa. */
#define _POSIX_C_SOURCE 200809L
#define GL_GLEXT_PROTOTYPES
#include <GL/osmesa.h>
#include <GL/glext.h>

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

struct gl_peer {
  OSMesaContext context;
  GLsizei index_count;
  GLuint multisampled;   /* framebuffer; 0: draws straight into the caller's pixels */
  GLint samples;
  int side;
};

static const char vertex_source[] =
  "#version 330 core\n"
  "layout(location = 0) in vec3 position;\n"
  "layout(location = 1) in vec3 normal;\n"
  "layout(location = 2) in vec2 uv;\n"
  "uniform mat4 to_clip;\n"
  "out vec3 surface_normal;\n"
  "out vec2 surface_uv;\n"
  "void main() {\n"
  "  gl_Position = to_clip * vec4(position, 1.0);\n"
  "  surface_normal = normal;\n"
  "  surface_uv = uv;\n"
  "}\n";

/* The light of [FM:rasterizer]: both sides are lit, hue is kept. */
static const char fragment_source[] =
  "#version 330 core\n"
  "in vec3 surface_normal;\n"
  "in vec2 surface_uv;\n"
  "uniform sampler2D colour;\n"
  "uniform vec3 grey;\n"
  "uniform bool textured;\n"
  "uniform vec3 to_eye;\n"
  "uniform float ambient;\n"
  "out vec4 pixel;\n"
  "void main() {\n"
  "  float facing = dot(normalize(surface_normal), to_eye);\n"
  "  float s = ambient + (1.0 - ambient) * max(0.0, gl_FrontFacing ? facing : -facing);\n"
  "  pixel = vec4((textured ? texture(colour, surface_uv).rgb : grey) * pow(s, 1.0 / 2.2), 1.0);\n"
  "}\n";

static bool compile_shader(GLuint program, GLenum kind, const char *source) {
  GLint ok = GL_FALSE;
  GLuint shader = glCreateShader(kind);
  glShaderSource(shader, 1, &source, NULL);
  glCompileShader(shader);
  glGetShaderiv(shader, GL_COMPILE_STATUS, &ok);
  if (!ok) {
    char log[1024];
    glGetShaderInfoLog(shader, sizeof log, NULL, log);
    fprintf(stderr, "bench: %s\n", log);
  }
  glAttachShader(program, shader);
  return ok == GL_TRUE;
}

static bool use_program(const gl_scene *scene) {
  GLint ok = GL_FALSE;
  GLuint program = glCreateProgram();
  float grey = (float)scene->grey / 255.0f;
  if (!compile_shader(program, GL_VERTEX_SHADER, vertex_source) || !compile_shader(program, GL_FRAGMENT_SHADER, fragment_source))
    return false;
  glLinkProgram(program);
  glGetProgramiv(program, GL_LINK_STATUS, &ok);
  if (!ok) return false;
  glUseProgram(program);
  glUniformMatrix4fv(glGetUniformLocation(program, "to_clip"), 1, GL_FALSE, scene->to_clip);
  glUniform3fv(glGetUniformLocation(program, "to_eye"), 1, scene->to_eye);
  glUniform1f(glGetUniformLocation(program, "ambient"), scene->ambient);
  glUniform3f(glGetUniformLocation(program, "grey"), grey, grey, grey);
  glUniform1i(glGetUniformLocation(program, "textured"), scene->level_count > 0);
  return true;
}

static void upload_mesh(const gl_scene *scene) {
  const int sizes[3] = {3, 3, 2}; /* position, normal, uv */
  GLsizei stride = 8 * (GLsizei)sizeof(float);
  GLuint array, buffers[2];
  size_t offset = 0;
  glGenVertexArrays(1, &array);
  glBindVertexArray(array);
  glGenBuffers(2, buffers);
  glBindBuffer(GL_ARRAY_BUFFER, buffers[0]);
  glBufferData(GL_ARRAY_BUFFER, (GLsizeiptr)(scene->vertex_count * (size_t)stride), scene->vertices, GL_STATIC_DRAW);
  glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, buffers[1]);
  glBufferData(GL_ELEMENT_ARRAY_BUFFER, (GLsizeiptr)(scene->index_count * sizeof *scene->indices), scene->indices, GL_STATIC_DRAW);
  for (GLuint i = 0; i < 3; i++) {
    glEnableVertexAttribArray(i);
    glVertexAttribPointer(i, sizes[i], GL_FLOAT, GL_FALSE, stride, (const void *)offset);
    offset += (size_t)sizes[i] * sizeof(float);
  }
}

static void upload_texture(const gl_scene *scene) {
  GLuint texture;
  glGenTextures(1, &texture);
  glBindTexture(GL_TEXTURE_2D, texture);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAX_LEVEL, scene->level_count - 1);
  for (int i = 0; i < scene->level_count; i++) {
    const gl_level *level = &scene->levels[i];
    glTexImage2D(GL_TEXTURE_2D, i, GL_RGBA8, level->width, level->height, 0, GL_RGBA, GL_UNSIGNED_BYTE, level->texels);
  }
}

/* A framebuffer of several samples a pixel, which gl_draw resolves into the caller's pixels. */
static bool use_samples(gl_peer *peer, int samples) {
  const GLenum formats[2] = {GL_RGBA8, GL_DEPTH_COMPONENT24}, places[2] = {GL_COLOR_ATTACHMENT0, GL_DEPTH_ATTACHMENT};
  GLuint buffers[2];
  glGenFramebuffers(1, &peer->multisampled);
  glBindFramebuffer(GL_FRAMEBUFFER, peer->multisampled);
  glGenRenderbuffers(2, buffers);
  for (int i = 0; i < 2; i++) {
    glBindRenderbuffer(GL_RENDERBUFFER, buffers[i]);
    glRenderbufferStorageMultisample(GL_RENDERBUFFER, samples, formats[i], peer->side, peer->side);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, places[i], GL_RENDERBUFFER, buffers[i]);
  }
  return glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE;
}

gl_peer *gl_begin(const gl_scene *scene, int side, int samples, uint8_t *pixels) {
  const int attributes[] = {OSMESA_FORMAT, OSMESA_RGBA, OSMESA_DEPTH_BITS, 24, OSMESA_PROFILE, OSMESA_CORE_PROFILE,
                            OSMESA_CONTEXT_MAJOR_VERSION, 3, OSMESA_CONTEXT_MINOR_VERSION, 3, 0};
  gl_peer *peer = (gl_peer *)calloc(1, sizeof *peer);
  if (!peer) return NULL;
  setenv("GALLIUM_DRIVER", "llvmpipe", 1);
  setenv("LP_NUM_THREADS", "0", 1); /* all work on the caller's thread */
  peer->side = side;
  peer->index_count = (GLsizei)scene->index_count;
  peer->context = OSMesaCreateContextAttribs(attributes, NULL);
  if (!peer->context || !OSMesaMakeCurrent(peer->context, pixels, GL_UNSIGNED_BYTE, side, side)) {
    gl_end(peer);
    return NULL;
  }
  OSMesaPixelStore(OSMESA_Y_UP, 0);
  glViewport(0, 0, side, side);
  glEnable(GL_DEPTH_TEST);
  glClearColor(1.0f, 1.0f, 1.0f, 1.0f);
  upload_mesh(scene);
  if (scene->level_count > 0) upload_texture(scene);
  bool ok = use_program(scene) && (samples == 1 || use_samples(peer, samples));
  glGetIntegerv(GL_SAMPLES, &peer->samples);
  if (!ok || glGetError() != GL_NO_ERROR) {
    gl_end(peer);
    return NULL;
  }
  return peer;
}

void gl_draw(gl_peer *peer) {
  int side = peer->side;
  glBindFramebuffer(GL_FRAMEBUFFER, peer->multisampled);
  glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
  glDrawElements(GL_TRIANGLES, peer->index_count, GL_UNSIGNED_INT, NULL);
  if (peer->multisampled) {
    glBindFramebuffer(GL_DRAW_FRAMEBUFFER, 0);
    glBlitFramebuffer(0, 0, side, side, 0, 0, side, side, GL_COLOR_BUFFER_BIT, GL_NEAREST);
    glBindFramebuffer(GL_FRAMEBUFFER, 0);
  }
  glFinish();
}

const char *gl_name(const gl_peer *peer) {
  (void)peer;
  return (const char *)glGetString(GL_RENDERER);
}

int gl_samples(const gl_peer *peer) { return peer->samples > 0 ? (int)peer->samples : 1; }

void gl_end(gl_peer *peer) {
  if (!peer) return;
  if (peer->context) OSMesaDestroyContext(peer->context);
  free(peer);
}
