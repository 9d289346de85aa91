/* Pictures of any kind: recognised by content, converted, refused with a name; the public functions. */
#include "test.h"

/* 2 x 1 pixels, (200, 100, 50) and (0, 255, 0), as 24-bit BMP. */
static const uint8_t bmp[62] = {'B', 'M', 62, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 24, 0, 0, 0, 0, 0, 8, 0,
                                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 100, 200, 0, 255, 0, 0, 0};
/* One pixel, grey 90 with alpha 7, as TGA; and (10, 20, 30) with alpha 40. */
static const uint8_t tga_grey[20] = {0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 16, 8, 90, 7};
static const uint8_t tga_rgba[22] = {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 32, 8, 30, 20, 10, 40};
/* One grey pixel of value 77, as Pillow writes it. */
static const uint8_t png[67] = {
  0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3A, 0x7E, 0x9B, 0x55,
  0x00, 0x00, 0x00, 0x0A, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0xF0, 0x05, 0x00, 0x00, 0x4F, 0x00, 0x4E, 0x69, 0x8B, 0x01, 0x6C, 0x00, 0x00,
  0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82};

static void check_kind(const char *bytes, size_t size, fm_format want) {
  char *copy = (char *)malloc(size ? size : 1); /* its own block: reading past it shows */
  memcpy(copy, bytes, size);
  if (fm_identify(copy, size) != want) CHECK_TEXT("another format", bytes);
  free(copy);
}
static void check_text(const char *text, fm_format want) { check_kind(text, strlen(text), want); }

static void test_identify(void) {
  check_kind("Kaydara FBX Binary  \0\x1A\0", 23, FM_FORMAT_FBX);
  check_text("; FBX 7.5.0 project file\n", FM_FORMAT_FBX_ASCII);
  check_text("\n;\n; made by hand\nFBXHeaderExtension:  {\n", FM_FORMAT_FBX_ASCII);
  check_kind("\x89PNG\r\n\x1A\n", 8, FM_FORMAT_PNG);
  check_kind("\xFF\xD8\xFF\xE0", 4, FM_FORMAT_JPEG);
  check_kind((const char *)bmp, sizeof bmp, FM_FORMAT_BMP);
  check_kind((const char *)tga_grey, sizeof tga_grey, FM_FORMAT_TGA);
  check_text("# Blender v3.4\nmtllib a.mtl\n", FM_FORMAT_OBJ);
  check_text("v 1 2 3\n", FM_FORMAT_OBJ);
  check_text("\xEF\xBB\xBF\r\n\r\n\tvn 0 0 1\r\n", FM_FORMAT_OBJ);
  check_text("o\\\n name\n", FM_FORMAT_OBJ);
  check_text("# nothing but a comment", FM_FORMAT_OBJ);
  check_text("g", FM_FORMAT_OBJ);
  check_text("hello\nv 1 2 3\n", FM_FORMAT_UNKNOWN);
  check_text("video\n", FM_FORMAT_UNKNOWN);
  check_text("", FM_FORMAT_UNKNOWN);
  check_text(" \n\n", FM_FORMAT_UNKNOWN);
  check_kind("\xFF\xFEv\0 \0", 6, FM_FORMAT_UNKNOWN); /* UTF-16 */
  check_kind("#\0\0\0", 4, FM_FORMAT_UNKNOWN);
  check_kind("BM and nothing like a header", 28, FM_FORMAT_UNKNOWN);
  check_kind("Kaydara FBX Binary", 18, FM_FORMAT_UNKNOWN);
  CHECK_INT(fm_identify(NULL, 0), FM_FORMAT_UNKNOWN);
  for (size_t n = 0; n < sizeof tga_grey; n++) CHECK_INT(fm_identify(tga_grey, n), n < 18 ? FM_FORMAT_UNKNOWN : FM_FORMAT_TGA);
}

static void check_refused(const char *bytes, size_t size, fm_status status, const char *words) {
  fm_image image;
  fm_error error;
  CHECK(!fm_load_image(&image, bytes, size, NULL, &error));
  CHECK_INT(error.status, status);
  CHECK(image.pixels == NULL && image.owner == NULL);
  if (!strstr(error.message, words)) CHECK_TEXT(error.message, words);
}
static void test_refused_by_name(void) {
  check_refused("GIF89a", 6, FM_ERROR_UNSUPPORTED, "is a GIF picture, which is not read; convert it to PNG or JPEG");
  check_refused("RIFF\4\0\0\0WEBPVP8 ", 16, FM_ERROR_UNSUPPORTED, "WebP");
  check_refused("II*\0\10\0\0\0", 8, FM_ERROR_UNSUPPORTED, "TIFF");
  check_refused("MM\0*\0\0\0\10", 8, FM_ERROR_UNSUPPORTED, "TIFF");
  check_refused("8BPS\0\1", 6, FM_ERROR_UNSUPPORTED, "Photoshop");
  check_refused("\x76\x2F\x31\x01\2\0\0\0", 8, FM_ERROR_UNSUPPORTED, "OpenEXR");
  check_refused("#?RADIANCE\n", 11, FM_ERROR_UNSUPPORTED, "Radiance HDR");
  check_refused("DDS \x7C\0\0\0", 8, FM_ERROR_UNSUPPORTED, "DDS");
  check_refused("\xABKTX 20\xBB\r\n\x1A\n", 12, FM_ERROR_UNSUPPORTED, "KTX");
  check_refused("\0\0\0\14jP  \r\n\x87\n", 12, FM_ERROR_UNSUPPORTED, "JPEG 2000");
  check_refused("\xFF\x0A\xFA\x1F", 4, FM_ERROR_UNSUPPORTED, "JPEG XL");
  check_refused("\0\0\0\40ftypavif\0\0\0\0", 16, FM_ERROR_UNSUPPORTED, "AVIF");
  check_refused("\0\0\0\40ftypheic\0\0\0\0", 16, FM_ERROR_UNSUPPORTED, "HEIC");
  check_refused("Kaydara FBX Binary  \0\x1A\0", 23, FM_ERROR_UNSUPPORTED, "is a 3D model (FBX)");
  check_refused("v 0 0 0\n", 8, FM_ERROR_UNSUPPORTED, "is a 3D model (OBJ)");
  check_refused("hello", 5, FM_ERROR_UNSUPPORTED, "PNG, JPEG, TGA, BMP");
  check_refused("", 0, FM_ERROR_FORMAT, "is empty");
}

/* Grey is 0.2126 R + 0.7152 G + 0.0722 B, rounded; missing alpha is 255. */
static void check_channels(const uint8_t *data, size_t size, int channels, const char *want) {
  fm_image image;
  fm_image_desc desc;
  char got[80] = "";
  memset(&desc, 0, sizeof desc);
  desc.channels = channels;
  CHECK(fm_load_image(&image, data, size, &desc, NULL));
  if (channels) CHECK_INT(image.channels, channels);
  for (int i = 0; image.pixels && i < image.width * image.channels; i++) {
    size_t n = strlen(got);
    snprintf(got + n, sizeof got - n, "%d ", image.pixels[i]);
  }
  CHECK_TEXT(got, want);
  fm_free_image(&image);
  CHECK(image.pixels == NULL && image.width == 0);
}
static void test_channels(void) {
  check_channels(bmp, sizeof bmp, 0, "200 100 50 0 255 0 ");
  check_channels(bmp, sizeof bmp, 1, "118 182 "); /* 117.65 and 182.376 */
  check_channels(bmp, sizeof bmp, 2, "118 255 182 255 ");
  check_channels(bmp, sizeof bmp, 3, "200 100 50 0 255 0 ");
  check_channels(bmp, sizeof bmp, 4, "200 100 50 255 0 255 0 255 ");
  check_channels(tga_grey, sizeof tga_grey, 0, "90 7 ");
  check_channels(tga_grey, sizeof tga_grey, 1, "90 ");
  check_channels(tga_grey, sizeof tga_grey, 3, "90 90 90 ");
  check_channels(tga_grey, sizeof tga_grey, 4, "90 90 90 7 ");
  check_channels(tga_rgba, sizeof tga_rgba, 0, "10 20 30 40 ");
  check_channels(tga_rgba, sizeof tga_rgba, 1, "19 "); /* 18.596 */
  check_channels(tga_rgba, sizeof tga_rgba, 2, "19 40 ");
  check_channels(tga_rgba, sizeof tga_rgba, 3, "10 20 30 ");
  check_channels(png, sizeof png, 0, "77 ");
  check_channels(png, sizeof png, 4, "77 77 77 255 ");
}

typedef struct source { const uint8_t *data; size_t size, at, fail_at; int closed; } source;
static int64_t source_read(void *user, void *buffer, size_t size) {
  source *s = (source *)user;
  size_t n = s->size - s->at < 7 ? s->size - s->at : 7;
  if (s->at >= s->fail_at) return -1;
  if (n > size) n = size;
  memcpy(buffer, s->data + s->at, n);
  s->at += n;
  return (int64_t)n;
}
static void source_close(void *user) { ((source *)user)->closed++; }

static void test_streams(void) {
  source s = {bmp, sizeof bmp, 0, SIZE_MAX, 0};
  fm_stream stream = {NULL, source_read, source_close, 0};
  fm_image image;
  fm_error error;
  stream.user = &s;
  CHECK(fm_load_image_stream(&image, &stream, NULL, &error));
  CHECK(image.pixels && image.pixels[0] == 200);
  CHECK_INT(s.closed, 0); /* the stream stays the caller's */
  fm_free_image(&image);
  s.at = 0;
  s.fail_at = 21;
  CHECK(!fm_load_image_stream(&image, &stream, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(image.pixels == NULL);
  CHECK(!fm_load_image_stream(&image, NULL, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
}

static void test_files(void) {
  fm_image image;
  fm_error error;
  char path[300];
  snprintf(path, sizeof path, "%s/a picture.png", test_temp()); /* its name says PNG, its content is BMP */
  FILE *file = fopen(path, "wb");
  if (!file) SKIP("no folder for scratch files");
  fwrite(bmp, 1, sizeof bmp, file);
  fclose(file);
  CHECK(fm_load_image_file(&image, path, NULL, &error));
  CHECK_INT(image.width, 2);
  fm_free_image(&image);
  CHECK(!fm_load_image_file(&image, "no such folder/no such file.png", NULL, &error));
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(strstr(error.message, "no such file.png: cannot be opened") != NULL);
  CHECK_TEXT(error.file, "no such folder/no such file.png");
  CHECK(!fm_load_image_file(&image, NULL, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  remove(path);
}

static void test_arguments(void) {
  fm_image image;
  fm_error error;
  fm_image_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.name = "the face";
  CHECK(!fm_load_image(&image, "hello", 5, &desc, &error));
  CHECK(strncmp(error.message, "the face: ", 10) == 0);
  CHECK(!fm_load_image(NULL, bmp, sizeof bmp, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK(!fm_load_image(&image, NULL, 5, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  desc.channels = 5;
  CHECK(!fm_load_image(&image, bmp, sizeof bmp, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  desc.channels = -1;
  CHECK(!fm_load_image(&image, bmp, sizeof bmp, &desc, NULL));
  fm_free_image(NULL);
}

/* Limits of memory and of a side. */
static void test_limits(void) {
  fm_image image;
  fm_error error;
  fm_image_desc desc;
  fm_common common;
  fm_limits limits;
  memset(&desc, 0, sizeof desc);
  memset(&common, 0, sizeof common);
  memset(&limits, 0, sizeof limits);
  desc.common = &common;
  common.limits = &limits;
  limits.image_side = 1;
  CHECK(!fm_load_image(&image, bmp, sizeof bmp, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  limits.image_side = 2;
  CHECK(fm_load_image(&image, bmp, sizeof bmp, &desc, &error));
  fm_free_image(&image);
  limits.memory = 20;
  CHECK(!fm_load_image(&image, bmp, sizeof bmp, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
}

/* Pixels of the caller's own stay when an image is freed. */
static void test_own_pixels(void) {
  uint8_t pixels[3] = {1, 2, 3};
  fm_image image = {1, 1, 3, NULL, NULL, NULL};
  image.pixels = pixels;
  fm_free_image(&image);
  CHECK(image.pixels == NULL && pixels[1] == 2);
}

TEST_MAIN({"identify", test_identify}, {"refused by name", test_refused_by_name}, {"channels", test_channels}, {"streams", test_streams},
          {"files", test_files}, {"arguments", test_arguments}, {"limits", test_limits}, {"own pixels", test_own_pixels})
