/* Small FBX binary files, made record by record: start, then records from begin to end with values between them, then finish. What
   the files must mean follows from the format's definition by hand. */
#ifndef FBX_BUILDER_H
#define FBX_BUILDER_H

#include "test.h"

typedef struct maker {
  unsigned char bytes[1 << 17];
  size_t size;
  int version, encoding; /* of arrays: 0 raw, 1 a zlib stream of stored blocks */
  struct { size_t start, properties; unsigned count; bool closed; } open[32];
  int depth;
} maker;

static maker m; /* the file under way */

static inline void put(const void *bytes, size_t size) {
  if (size > sizeof m.bytes - m.size) { printf("fbx_builder.h: the file under way is too large\n"); exit(1); }
  memcpy(m.bytes + m.size, bytes, size);
  m.size += size;
}
static inline void set_number(size_t at, unsigned long long value, int bytes) {
  for (int i = 0; i < bytes; i++) m.bytes[at + (size_t)i] = (unsigned char)(value >> (8 * i));
}
static inline void put_number(unsigned long long value, int bytes) {
  unsigned char none[8] = {0};
  put(none, (size_t)bytes);
  set_number(m.size - (size_t)bytes, value, bytes);
}
static inline int width(void) { return m.version >= 7500 ? 8 : 4; }
static inline void put_terminator(void) { put_number(0, 8); put_number(0, width() == 8 ? 8 : 4); put_number(0, width() == 8 ? 8 : 0); put_number(0, 1); }

static inline void start(int version, int encoding) {
  m.size = 0;
  m.depth = 0;
  m.version = version;
  m.encoding = encoding;
  put("Kaydara FBX Binary  \0\x1A\0", 23);
  put_number((unsigned)version, 4);
}
/* The values of the innermost record are complete. */
static inline void close_values(void) {
  if (m.depth == 0 || m.open[m.depth - 1].closed) return;
  size_t header = m.open[m.depth - 1].start, length = m.size - m.open[m.depth - 1].properties;
  set_number(header + (size_t)width(), m.open[m.depth - 1].count, width());
  set_number(header + 2 * (size_t)width(), length, width());
  m.open[m.depth - 1].closed = true;
}
static inline void begin(const char *name) {
  close_values();
  m.open[m.depth].start = m.size;
  for (int i = 0; i < 3; i++) put_number(0, width());
  put_number(strlen(name), 1);
  put(name, strlen(name));
  m.open[m.depth].properties = m.size;
  m.open[m.depth].count = 0;
  m.open[m.depth].closed = false;
  m.depth++;
}
static inline void end(void) {
  bool nested = m.open[m.depth - 1].closed;
  close_values();
  if (nested) put_terminator();
  m.depth--;
  set_number(m.open[m.depth].start, m.size, width());
}
static inline void type(char c) { put(&c, 1); m.open[m.depth - 1].count++; }
static inline void whole(long long v) { type('L'); put_number((unsigned long long)v, 8); }
static inline void small(int v) { type('I'); put_number((unsigned)v, 4); }
static inline void real(double v) { type('D'); put(&v, 8); }
static inline void blob(char kind, const void *bytes, size_t size) { type(kind); put_number(size, 4); put(bytes, size); }
static inline void text(const char *s) { blob('S', s, strlen(s)); }

/* An array of any element type from doubles. */
static inline void array(char kind, const double *values, size_t count) {
  static unsigned char raw[1 << 15];
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    float f = (float)values[i];
    long long n = kind == 'd' || kind == 'f' ? 0 : (long long)values[i];
    int bytes = kind == 'd' || kind == 'l' ? 8 : kind == 'f' || kind == 'i' ? 4 : kind == 'y' ? 2 : 1;
    for (int k = 0; k < bytes; k++) raw[size + (size_t)k] = (unsigned char)((unsigned long long)n >> (8 * k));
    if (kind == 'd') memcpy(raw + size, &values[i], 8);
    if (kind == 'f') memcpy(raw + size, &f, 4);
    size += (size_t)bytes;
  }
  type(kind);
  put_number(count, 4);
  put_number((unsigned)m.encoding, 4);
  if (m.encoding == 0) {
    put_number(size, 4);
    put(raw, size);
  } else { /* RFC 1950 and 1951: header, one stored block, Adler-32 */
    unsigned a = 1, b = 0;
    for (size_t i = 0; i < size; i++) { a = (a + raw[i]) % 65521; b = (b + a) % 65521; }
    put_number(size + 11, 4);
    put("\x78\x01\x01", 3);
    put_number(size, 2);
    put_number(size ^ 0xFFFF, 2);
    put(raw, size);
    for (int shift = 24; shift >= 0; shift -= 8) put_number((b << 16 | a) >> shift & 255, 1);
  }
}
static inline void record_array(const char *name, char kind, const double *values, size_t count) { begin(name); array(kind, values, count); end(); }
static inline void record_text(const char *name, const char *s) { begin(name); text(s); end(); }
static inline void record_small(const char *name, int v) { begin(name); small(v); end(); }

static inline void property(const char *name, const char *kind) { begin("P"); text(name); text(kind); text(""); text("A"); }
static inline void property3(const char *name, double x, double y, double z) { property(name, "Vector3D"); real(x); real(y); real(z); end(); }
static inline void property1(const char *name, int v) { property(name, "int"); small(v); end(); }

static inline void object(const char *record, long long id, const char *name, const char *class_name) {
  char full[100];
  int length = snprintf(full, sizeof full, "%s", name);
  memcpy(full + length, "\0\1x", 3);
  begin(record);
  whole(id);
  blob('S', full, (size_t)length + 3);
  text(class_name);
}
static inline void connect(long long child, long long parent) { begin("C"); text("OO"); whole(child); whole(parent); end(); }
static inline void connect_to(long long child, long long parent, const char *name) { begin("C"); text("OP"); whole(child); whole(parent); text(name); end(); }

static inline void scene(int up, int up_sign, int front, int front_sign, int right, int right_sign, double unit) {
  begin("GlobalSettings");
  begin("Properties70");
  property1("UpAxis", up); property1("UpAxisSign", up_sign); property1("FrontAxis", front); property1("FrontAxisSign", front_sign);
  property1("CoordAxis", right); property1("CoordAxisSign", right_sign);
  property("UnitScaleFactor", "double"); real(unit); end();
  end();
  end();
}
static inline void metres(void) { scene(1, 1, 2, 1, 0, 1, 100.0); }

/* A quad and a triangle over 5 vertices; (2, 3, 5) makes their coordinates telling. */
static const double five[15] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 2, 3, 5};
static const double seven[7] = {0, 1, 2, -4, 1, 4, -3};
static inline void geometry_begin(long long id, const char *name) {
  object("Geometry", id, name, "Mesh");
  record_array("Vertices", 'd', five, 15);
  record_array("PolygonVertexIndex", 'i', seven, 7);
}
static inline void geometry(long long id, const char *name) { geometry_begin(id, name); end(); }
static inline void model_begin(long long id, const char *name) { object("Model", id, name, "Mesh"); begin("Properties70"); }
static inline void model_end(void) { end(); end(); }
static inline void model(long long id, const char *name) { model_begin(id, name); model_end(); }
static inline void finish(void) { put_terminator(); }

#endif
