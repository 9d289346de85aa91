/* Draws the README's picture: contact_sheet A B OUT.png renders the morph from A to B in six steps, from the front and from the
   side, side by side, through the public API alone. */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 6, ROWS = 2, WIDTH = 180, HEIGHT = 228 };

/* Copies each picture to its place on the sheet. */
static bool place(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  fm_image *sheet = (fm_image *)user;
  size_t x = frame % COLUMNS * WIDTH, y = frame / COLUMNS * HEIGHT, row = WIDTH * 3;
  (void)slot;
  (void)error;
  for (size_t i = 0; i < HEIGHT; i++) memcpy(sheet->pixels + ((y + i) * (size_t)sheet->width + x) * 3, image->pixels + i * row, row);
  return true;
}

int main(int argc, char **argv) {
  const fm_mesh *heads[2] = {NULL, NULL};
  fm_mesh *loaded[2] = {NULL, NULL};
  float weights[COLUMNS][2];
  fm_camera camera[ROWS];
  fm_frame frames[COLUMNS * ROWS];
  fm_scene scene = {0};
  fm_image_sink sink = {0};
  fm_image sheet = {0};
  fm_renderer renderer;
  fm_error error;
  if (argc != 4) {
    fprintf(stderr, "usage: contact_sheet A B OUT.png\n");
    return 2;
  }
  memset(frames, 0, sizeof frames);
  memset(&renderer, 0, sizeof renderer);
  sheet.width = COLUMNS * WIDTH;
  sheet.height = ROWS * HEIGHT;
  sheet.channels = 3;
  sheet.pixels = (uint8_t *)malloc((size_t)sheet.width * (size_t)sheet.height * 3);
  bool ok = sheet.pixels || fm_set_error(&error, FM_ERROR_MEMORY, "contact_sheet: out of memory");
  for (int h = 0; ok && h < 2; h++) {
    heads[h] = loaded[h] = fm_load_mesh(argv[1 + h], NULL, &error);
    ok = loaded[h] != NULL;
  }
  if (ok) {
    for (int row = 0; row < ROWS; row++) {
      camera[row] = fm_fit_camera(heads, 2, NULL);
      camera[row].half_extent = 1.06; /* closer than the default, whose margin is that of the stimuli */
      camera[row].distance = 6.0;
      camera[row].yaw = row ? 38.0 : 0.0;
    }
    for (int i = 0; i < COLUMNS * ROWS; i++) {
      float b = (float)(i % COLUMNS) / (COLUMNS - 1);
      weights[i % COLUMNS][0] = 1.0f - b;
      weights[i % COLUMNS][1] = b;
      frames[i].shape_weights = weights[i % COLUMNS];
      frames[i].camera = &camera[i / COLUMNS];
      frames[i].width = WIDTH;
      frames[i].height = HEIGHT;
    }
    scene.heads = heads;
    scene.head_count = 2;
    sink.user = &sheet;
    sink.deliver = place;
    ok = fm_software_renderer(&renderer, NULL, &error) && fm_render(&renderer, &scene, frames, COLUMNS * ROWS, &sink, &error) &&
         fm_write_png_file(argv[3], &sheet, NULL, &error);
  }
  if (!ok) fprintf(stderr, "contact_sheet: %s\n", error.message);
  fm_destroy_renderer(&renderer);
  for (int h = 0; h < 2; h++) fm_free_mesh(loaded[h]);
  free(sheet.pixels);
  return ok ? 0 : 1;
}
