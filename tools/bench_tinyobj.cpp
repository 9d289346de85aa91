/* tinyobjloader as a peer of tools/bench.c: C++ alone. */
#define TINYOBJLOADER_IMPLEMENTATION
#include <tiny_obj_loader.h>

#include "bench.h"

#include <istream>
#include <streambuf>

namespace {
/* Reads the caller's memory without a copy of it. */
struct memory_buffer : std::streambuf {
  memory_buffer(const char *text, size_t size) {
    char *begin = const_cast<char *>(text);
    setg(begin, begin, begin + size);
  }
};
}

bool tinyobj_load(const char *text, size_t size, size_t *polygons, size_t *corners) {
  memory_buffer buffer(text, size);
  std::istream stream(&buffer);
  tinyobj::attrib_t attributes;
  std::vector<tinyobj::shape_t> shapes;
  std::vector<tinyobj::material_t> materials;
  std::string warnings, errors;
  bool triangulate = false;
  if (!tinyobj::LoadObj(&attributes, &shapes, &materials, &warnings, &errors, &stream, NULL, triangulate)) return false;
  *polygons = *corners = 0;
  for (size_t i = 0; i < shapes.size(); i++) {
    *polygons += shapes[i].mesh.num_face_vertices.size();
    *corners += shapes[i].mesh.indices.size();
  }
  return true;
}
