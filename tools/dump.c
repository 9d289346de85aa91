/* What the library reads, in plain form on stdout, for comparison with other programs: tools/verify.

     dump PICTURE    a PGM, PPM or PAM
     dump HEAD       the file's unit in metres, then a line "x y z" or "x y z u v" for each corner, in order */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"

#include <stdio.h>

static void write_picture(const fm_image *image) {
  static const char *const kinds[5] = {"", "GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"};
  int w = image->width, h = image->height, channels = image->channels;
  if (channels == 1 || channels == 3) printf("P%d\n%d %d\n255\n", channels == 1 ? 5 : 6, w, h);
  else printf("P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n", w, h, channels, kinds[channels]);
  fwrite(image->pixels, (size_t)w * (size_t)channels, (size_t)h, stdout);
}

static void write_corners(const fm_mesh *mesh) {
  printf("%.17g\n", mesh->metres_per_unit);
  for (size_t i = 0; i < mesh->corner_count; i++) {
    const float *p = mesh->positions + 3 * (size_t)mesh->corners[i];
    uint32_t uv = mesh->corner_uvs ? mesh->corner_uvs[i] : FM_NONE;
    printf("%.9g %.9g %.9g", (double)p[0], (double)p[1], (double)p[2]);
    if (uv != FM_NONE) printf(" %.9g %.9g", (double)mesh->uvs[2 * (size_t)uv], (double)mesh->uvs[2 * (size_t)uv + 1]);
    printf("\n");
  }
}

int main(int argc, char **argv) {
  fm_load_desc desc = {0};
  fm_error mesh_error, image_error;
  fm_image image;
  if (argc != 2) {
    fprintf(stderr, "usage: dump FILE\n");
    return 2;
  }
  desc.no_textures = true;
  fm_mesh *mesh = fm_load_mesh(argv[1], &desc, &mesh_error);
  if (mesh) {
    write_corners(mesh);
    fm_free_mesh(mesh);
  } else if (fm_load_image_file(&image, argv[1], NULL, &image_error)) {
    write_picture(&image);
    fm_free_image(&image);
  } else {
    fprintf(stderr, "dump: %s\n", image_error.message);
    return 1;
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
