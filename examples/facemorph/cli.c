#if defined(__unix__) || defined(__APPLE__)
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#define CLI_POSIX 1
#endif

#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef CLI_POSIX
#include <fcntl.h>
#include <unistd.h>
#endif

/* ---- process ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
  interrupted = 1;
  signal(signal_number, SIG_DFL); /* a second Ctrl-C ends the program at once */
}

bool cli_interrupted(void) { return interrupted != 0; }

void cli_start(void) {
#ifdef CLI_POSIX
  /* A closed stdout or stderr would lend its number to the next file opened, and messages would end up in a picture. */
  for (int number = 0; number < 3; number++)
    if (fcntl(number, F_GETFD) == -1 && open("/dev/null", O_RDONLY) != number) exit(CLI_FAILED);
#endif
#ifdef SIGPIPE
  signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error like a full disk */
#endif
}

void cli_catch_interrupt(void) {
  if (signal(SIGINT, SIG_IGN) != SIG_IGN) signal(SIGINT, on_interrupt); /* nohup and background jobs ignore it */
}

int cli_finish(int code) {
  errno = 0;
  if (fflush(stdout) == 0 && !ferror(stdout)) return code;
  const char *reason = errno ? strerror(errno) : "no reason given";
  return cli_fail(code ? code : CLI_FAILED, "standard output: writing failed: %s", reason);
}

/* ---- messages ---- */

/* Length of the valid UTF-8 character that begins at text (RFC 3629), 0 if there is none. */
static size_t utf8_length(const char *text) {
  const unsigned char *p = (const unsigned char *)text;
  unsigned least = 0x80, most = 0xBF; /* of the second byte */
  size_t length;
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) length = 2;
  else if (p[0] >= 0xE0 && p[0] <= 0xEF) length = 3;
  else if (p[0] >= 0xF0 && p[0] <= 0xF4) length = 4;
  else return 0;
  if (p[0] == 0xE0) least = 0xA0; /* overlong */
  if (p[0] == 0xED) most = 0x9F;  /* surrogates */
  if (p[0] == 0xF0) least = 0x90;
  if (p[0] == 0xF4) most = 0x8F;  /* above U+10FFFF */
  for (size_t i = 1; i < length; i++) {
    if (p[i] < least || p[i] > most) return 0;
    least = 0x80;
    most = 0xBF;
  }
  return length;
}

/* DEL and the C1 controls U+0080 to U+009F drive some terminals just as the ASCII controls do. */
static bool is_control(const char *text) {
  unsigned char first = (unsigned char)text[0];
  return first < 0x20 || first == 0x7F || (first == 0xC2 && (unsigned char)text[1] < 0xA0);
}

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

void cli_put(FILE *out, const char *text) {
  while (*text) {
    size_t length = utf8_length(text);
    if (length == 0 || is_control(text)) fputs(replacement, out);
    else fwrite(text, 1, length, out);
    text += length ? length : 1;
  }
}

int cli_fail(int code, const char *format, ...) {
  char line[4096];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  fputs("facemorph: ", stderr);
  cli_put(stderr, line);
  fputc('\n', stderr);
  return code;
}

const char *cli_double(char out[32], double value) {
  fm_print_double(out, value);
  return out;
}

/* ---- flags ---- */

bool cli_read_switch(const cli_flag *flag, const char *value) {
  (void)value;
  *(bool *)flag->target = true;
  return true;
}

bool cli_read_ignored(const cli_flag *flag, const char *value) { return cli_read_switch(flag, value); }

bool cli_read_level(const cli_flag *flag, const char *value) {
  (void)value;
  *(fm_log_level *)flag->target = (fm_log_level)flag->least;
  return true;
}

bool cli_read_text(const cli_flag *flag, const char *value) {
  *(const char **)flag->target = value;
  return *value != 0;
}

static bool parse_number(const char *text, const char *end, double *value) {
  return fm_parse_double(text, end, value) == end && *value - *value == 0.0; /* inf and nan fail that */
}

bool cli_read_number(const cli_flag *flag, const char *value) {
  cli_number *number = (cli_number *)flag->target;
  number->given = parse_number(value, value + strlen(value), &number->value);
  return number->given && number->value >= flag->least && number->value <= flag->most;
}

bool cli_read_integer(const cli_flag *flag, const char *value) {
  double number;
  if (value[strspn(value, "0123456789")] || !parse_number(value, value + strlen(value), &number)) return false;
  if (number < flag->least || number > flag->most) return false;
  *(int *)flag->target = (int)number;
  return true;
}

bool cli_read_numbers(const cli_flag *flag, const char *value) {
  cli_numbers *numbers = (cli_numbers *)flag->target;
  size_t count = 1;
  for (const char *p = value; *p; p++) count += *p == ',';
  double *values = (double *)realloc(numbers->values, count * sizeof *values);
  if (!values) return false;
  numbers->values = values;
  numbers->count = count;
  for (size_t i = 0; i < count; i++) {
    const char *end = value + strcspn(value, ",");
    if (!parse_number(value, end, &values[i])) return false;
    value = end + 1;
  }
  return true;
}

bool cli_read_choice(const cli_flag *flag, const char *value) {
  size_t length = strlen(value);
  int place = 0;
  for (const char *word = flag->allowed; *word; place++) {
    size_t size = strcspn(word, "|");
    if (size == length && memcmp(word, value, size) == 0) {
      *(int *)flag->target = place;
      return true;
    }
    word += size + (word[size] == '|');
  }
  return false;
}

/* Edit distance with transpositions of neighbours ("optimal string alignment"), of the words' first 31 bytes. */
static size_t edit_distance(const char *a, const char *b) {
  enum { MOST = 31 };
  size_t row[3][MOST + 1], n = strlen(a), m = strlen(b);
  if (n > MOST) n = MOST;
  if (m > MOST) m = MOST;
  for (size_t j = 0; j <= m; j++) row[0][j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t *now = row[i % 3], *above = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
      if (above[j] + 1 < best) best = above[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best) best = before[j - 2] + 1;
      now[j] = best;
    }
  }
  return row[n % 3][m];
}

const char *cli_nearest(const char *word, const char *const *list, size_t count) {
  const char *nearest = "";
  for (size_t i = 0; i < count; i++)
    if (i == 0 || edit_distance(word, list[i]) < edit_distance(word, nearest)) nearest = list[i];
  return nearest;
}

static int unknown_flag(const char *command, const cli_flag *flags, size_t flag_count, const char *argument) {
  enum { MOST = 64 };
  const char *names[MOST];
  char word[64];
  size_t count = 0;
  for (size_t i = 0; i < flag_count && count < MOST; i++)
    if (flags[i].read) names[count++] = flags[i].name;
  snprintf(word, sizeof word, "%.*s", (int)strcspn(argument, "="), argument);
  return cli_fail(CLI_USAGE, "unknown flag %s; the nearest is %s (facemorph %s --help lists all)", word,
                  cli_nearest(word, names, count), command);
}

int cli_parse(const char *command, const cli_flag *flags, size_t flag_count, int argc, char **argv, const char **files,
              size_t room, size_t *file_count) {
  bool only_files = false;
  *file_count = 0;
  for (int i = 0; i < argc; i++) {
    const char *argument = argv[i];
    if (only_files || argument[0] != '-' || !argument[1]) {
      if (*file_count < room) files[*file_count] = argument;
      ++*file_count;
      continue;
    }
    if (strcmp(argument, "--") == 0) {
      only_files = true;
      continue;
    }
    /* one long flag, or several letters of which the last may take a value: --size=9, --size 9, -j4, -j 4, -qj4 */
    bool is_long = argument[1] == '-';
    for (const char *letter = argument + 1; *letter; letter++) {
      const cli_flag *flag = NULL;
      size_t length = strcspn(argument, "=");
      for (size_t k = 0; k < flag_count && !flag; k++)
        if (flags[k].read && (is_long ? strlen(flags[k].name) == length && memcmp(flags[k].name, argument, length) == 0
                                      : flags[k].letter == *letter)) flag = &flags[k];
      if (!flag) return unknown_flag(command, flags, flag_count, argument);
      char short_name[3] = {'-', *letter, 0};
      const char *name = is_long ? flag->name : short_name;
      const char *value = is_long ? (argument[length] ? argument + length + 1 : NULL) : (letter[1] ? letter + 1 : NULL);
      if (!flag->value) {
        if (is_long && value) return cli_fail(CLI_USAGE, "%s takes no value, but has '%s'", name, value);
        flag->read(flag, NULL);
        if (is_long) break;
        continue;
      }
      if (!value) {
        if (i + 1 >= argc || strncmp(argv[i + 1], "--", 2) == 0)
          return cli_fail(CLI_USAGE, "%s needs a value: %s%s", name, flag->allowed,
                          i + 1 < argc ? " (a value that begins with -- is written behind an =)" : "");
        value = argv[++i];
      }
      if (!flag->read(flag, value)) return cli_fail(CLI_USAGE, "%s: '%s' is not allowed; give %s", name, value, flag->allowed);
      break;
    }
  }
  return CLI_OK;
}

void cli_tell_ignored(const cli_flag *flags, size_t flag_count) {
  for (size_t i = 0; i < flag_count; i++)
    if (flags[i].read == cli_read_ignored && *(const bool *)flags[i].target)
      fprintf(stderr, "facemorph: %s is not needed: %s\n", flags[i].name, flags[i].help);
}

void cli_help(const char *head, const cli_flag *flags, size_t flag_count) {
  enum { COLUMN = 33 };
  fputs(head, stdout);
  for (size_t i = 0; i < flag_count; i++) {
    const cli_flag *flag = &flags[i];
    if (!flag->read) {
      printf("\n%s\n", flag->help);
      continue;
    }
    int width = flag->letter ? printf("  -%c, %s", flag->letter, flag->name) : printf("      %s", flag->name);
    if (flag->value) width += printf(" %s", flag->value);
    if (width >= COLUMN) width = printf("\n") - 1;
    for (const char *line = flag->help; *line;) { /* a '\n' in the help begins a line in its column */
      size_t length = strcspn(line, "\n");
      printf("%*s%.*s\n", COLUMN - width, "", (int)length, line);
      line += length + (line[length] == '\n');
      width = 0;
    }
  }
}

/* ---- progress and log ---- */

static double now_seconds(void) {
#if defined(CLI_POSIX) && defined(CLOCK_MONOTONIC)
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#else
  return (double)time(NULL);
#endif
}

static bool on_terminal(void) {
#ifdef CLI_POSIX
  const char *terminal = getenv("TERM");
  return isatty(STDERR_FILENO) && !(terminal && strcmp(terminal, "dumb") == 0);
#else
  return false;
#endif
}

void cli_clear_bar(cli_output *output) {
  if (output->bar_drawn) fputs("\r\033[K", stderr);
  output->bar_drawn = false;
}

/* ", 1:05 left", or "" as long as nothing can be said. */
static const char *time_left(char out[32], double seconds, const fm_progress *progress) {
  out[0] = 0;
  if (progress->done > 0 && progress->done < progress->total) {
    double left = seconds / (double)progress->done * (double)(progress->total - progress->done) + 0.5;
    if (left < 360000.0) snprintf(out, 32, ", %d:%02d left", (int)left / 60, (int)left % 60);
  }
  return out;
}

bool cli_show_progress(void *user, const fm_progress *progress) {
  enum { WIDTH = 32 };
  cli_output *output = (cli_output *)user;
  char left[32];
  if (cli_interrupted()) return false;
  if (output->level < FM_LOG_INFO || progress->total == 0) return true;
  double now = now_seconds();
  bool terminal = on_terminal();
  if (strncmp(output->stage, progress->stage, sizeof output->stage - 1) != 0) {
    snprintf(output->stage, sizeof output->stage, "%s", progress->stage);
    output->stage_start = now;
    output->last_shown = terminal ? 0.0 : now;
  }
  if (now - output->last_shown < (terminal ? 0.05 : 5.0)) return true;
  output->last_shown = now;
  time_left(left, now - output->stage_start, progress);
  if (terminal) {
    double filled = WIDTH * (double)progress->done / (double)progress->total;
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\r%-7s [%s] %zu of %zu%s\033[K", output->stage, bar, progress->done, progress->total, left);
    output->bar_drawn = true;
  } else {
    fprintf(stderr, "%s: %zu of %zu%s\n", output->stage, progress->done, progress->total, left);
  }
  fflush(stderr);
  return true;
}

void cli_show_log(void *user, fm_log_level level, const char *line) {
  cli_output *output = (cli_output *)user;
  if (level > output->level || level == FM_LOG_ERROR) return; /* an error comes back from the call and is told then */
  cli_clear_bar(output);
  if (level == FM_LOG_WARNING) fputs("warning: ", stderr);
  cli_put(stderr, line);
  fputc('\n', stderr);
}

/* ---- JSON, written ---- */

static void json_string(FILE *out, const char *text) {
  fputc('"', out);
  while (*text) {
    size_t length = utf8_length(text);
    unsigned char first = (unsigned char)*text;
    if (length == 0) fputs(replacement, out);
    else if (first == '"' || first == '\\') fprintf(out, "\\%c", first);
    else if (is_control(text)) fprintf(out, "\\u%04x", length == 1 ? first : (unsigned char)text[1]);
    else fwrite(text, 1, length, out);
    text += length ? length : 1;
  }
  fputc('"', out);
}

/* What stands before a member: comma, line break, key. */
static void begin_member(cli_json_writer *json, const char *key) {
  bool *begun = &json->begun[json->depth];
  if (*begun) fputc(',', json->out);
  if (json->depth == 1 || json->depth == 2) fprintf(json->out, "\n%*s", 2 * json->depth, "");
  else if (*begun) fputc(' ', json->out);
  *begun = true;
  if (!key) return;
  json_string(json->out, key);
  fputs(": ", json->out);
}

void cli_json_open(cli_json_writer *json, const char *key, char bracket) {
  begin_member(json, key);
  fputc(bracket, json->out);
  json->closing[++json->depth] = bracket == '{' ? '}' : ']';
  json->begun[json->depth] = false;
}

void cli_json_close(cli_json_writer *json) {
  int depth = json->depth--;
  if (json->begun[depth] && depth <= 2) fprintf(json->out, "\n%*s", 2 * (depth - 1), "");
  fputc(json->closing[depth], json->out);
  if (depth == 1) fputc('\n', json->out);
}

void cli_json_text(cli_json_writer *json, const char *key, const char *text) {
  begin_member(json, key);
  if (text) json_string(json->out, text);
  else fputs("null", json->out);
}

static void put_number(FILE *out, double value) {
  char text[32];
  fputs(value - value == 0.0 ? cli_double(text, value) : "null", out); /* JSON has no inf and no nan */
}

void cli_json_number(cli_json_writer *json, const char *key, double value) {
  begin_member(json, key);
  put_number(json->out, value);
}

void cli_json_numbers(cli_json_writer *json, const char *key, const double *values, size_t count) {
  begin_member(json, key);
  fputc('[', json->out);
  for (size_t i = 0; i < count; i++) {
    if (i) fputs(", ", json->out);
    put_number(json->out, values[i]);
  }
  fputc(']', json->out);
}

void cli_json_bool(cli_json_writer *json, const char *key, bool value) {
  begin_member(json, key);
  fputs(value ? "true" : "false", json->out);
}

/* ---- JSON, read ---- */

static char *read_whole_file(const char *path, size_t *size) {
  errno = 0;
  FILE *file = fopen(path, "rb");
  char *bytes = NULL;
  size_t room = 0, count = 0;
  for (bool more = file != NULL; more;) {
    if (count + 1 >= room) {
      char *bigger = (char *)realloc(bytes, room = 2 * room + 65536);
      if (!bigger) break;
      bytes = bigger;
    }
    size_t got = fread(bytes + count, 1, room - count - 1, file);
    count += got;
    more = got > 0;
  }
  if (!file || ferror(file) || !bytes || count + 1 >= room) {
    cli_fail(CLI_FAILED, "%s: cannot be read%s%s", path, errno ? ": " : "", errno ? strerror(errno) : "");
    free(bytes);
    bytes = NULL;
  } else {
    bytes[count] = 0;
    *size = count;
  }
  if (file) fclose(file);
  return bytes;
}

static char *skip_space(char *p) { return p + strspn(p, " \t\r\n"); }

static int hex4(const char *p) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    const char *digits = "0123456789abcdef0123456789ABCDEF", *found = p[i] ? strchr(digits, p[i]) : NULL;
    if (!found) return -1;
    value = value * 16 + (int)((found - digits) & 15);
  }
  return value;
}

static char *put_utf8(char *out, unsigned long code) {
  if (code < 0x80) { *out++ = (char)code; return out; }
  if (code < 0x800) *out++ = (char)(0xC0 | code >> 6);
  else if (code < 0x10000) *out++ = (char)(0xE0 | code >> 12), *out++ = (char)(0x80 | (code >> 6 & 63));
  else *out++ = (char)(0xF0 | code >> 18), *out++ = (char)(0x80 | (code >> 12 & 63)), *out++ = (char)(0x80 | (code >> 6 & 63));
  *out++ = (char)(0x80 | (code & 63));
  return out;
}

/* Undoes the escapes of the string at p, behind its quote, in place. Returns what follows its end, or NULL. */
static char *unescape(char *p) {
  char *out = p;
  while (*p != '"') {
    if ((unsigned char)*p < 0x20) return NULL; /* the file's end as well */
    if (*p != '\\') { *out++ = *p++; continue; }
    const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t", *found = p[1] ? strchr(from, p[1]) : NULL;
    if (found) {
      *out++ = to[found - from];
      p += 2;
      continue;
    }
    long code = p[1] == 'u' ? hex4(p + 2) : -1;
    if (code <= 0) return NULL; /* a NUL would end our text too early */
    p += 6;
    if (code >= 0xD800 && code < 0xDC00 && p[0] == '\\' && p[1] == 'u') {
      long low = hex4(p + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
      }
    }
    out = put_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFDul : (unsigned long)code);
  }
  *out = 0;
  return p + 1;
}

/* A text, number or word at p. Returns what follows it, or NULL. */
static char *parse_scalar(cli_json *value, char *p, char *end) {
  static const struct { const char *word; cli_json_kind kind; double number; } words[] = {
    {"null", CLI_JSON_NULL, 0.0}, {"false", CLI_JSON_BOOL, 0.0}, {"true", CLI_JSON_BOOL, 1.0}};
  if (*p == '"') {
    value->kind = CLI_JSON_TEXT;
    value->text = p + 1;
    return unescape(p + 1);
  }
  for (size_t i = 0; i < CLI_COUNT(words); i++)
    if (strncmp(p, words[i].word, strlen(words[i].word)) == 0) {
      value->kind = words[i].kind;
      value->number = words[i].number;
      return p + strlen(words[i].word);
    }
  const char *digits = p + (*p == '-');
  if (!(*digits >= '0' && *digits <= '9') || (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')) return NULL;
  value->kind = CLI_JSON_NUMBER;
  const char *after = fm_parse_double(p, end, &value->number);
  return after ? p + (after - p) : NULL;
}

/* Fills `values` (room for all) with the document. Nesting needs no recursion: containers know their parents. Returns NULL, or
   where the text is no JSON. */
static char *parse_document(cli_json *values, char *p, char *end) {
  cli_json *container = NULL;
  for (;;) {
    p = skip_space(p);
    bool object = container && container->kind == CLI_JSON_OBJECT, empty = container && !container->first;
    if (!(empty && *p == (object ? '}' : ']'))) {
      cli_json *value = values++;
      memset(value, 0, sizeof *value);
      value->parent = container;
      if (object) {
        char *after = *p == '"' ? unescape(p + 1) : NULL;
        if (!after) return p;
        value->key = p + 1;
        p = skip_space(after);
        if (*p != ':') return p;
        p = skip_space(p + 1);
      }
      if (container) {
        if (container->last) container->last->next = value;
        else container->first = value;
        container->last = value;
      }
      if (*p == '{' || *p == '[') {
        value->kind = *p++ == '{' ? CLI_JSON_OBJECT : CLI_JSON_ARRAY;
        container = value;
        continue;
      }
      char *after = parse_scalar(value, p, end);
      if (!after) return p;
      p = skip_space(after);
    }
    while (container && *p == (container->kind == CLI_JSON_OBJECT ? '}' : ']')) {
      container = container->parent;
      p = skip_space(p + 1);
    }
    if (!container) return p == end ? NULL : p;
    if (*p != ',') return p;
    p++;
  }
}

bool cli_json_read(cli_json_file *file, const char *path) {
  size_t size = 0, count = 1, line = 1;
  memset(file, 0, sizeof *file);
  file->bytes = read_whole_file(path, &size);
  if (!file->bytes) return false;
  for (const char *p = file->bytes; *p; p++) count += *p == ',' || *p == '[' || *p == '{'; /* what a value can stand behind */
  file->root = (cli_json *)malloc(count * sizeof *file->root);
  if (!file->root) return cli_fail(CLI_FAILED, "%s: no memory for %zu values", path, count), false;
  char *bad = parse_document(file->root, file->bytes, file->bytes + size);
  if (!bad) return true;
  for (const char *p = file->bytes; p < bad; p++) line += *p == '\n';
  cli_fail(CLI_FAILED, "%s: line %zu: this is no JSON", path, line);
  return false;
}

void cli_json_free(cli_json_file *file) {
  free(file->root);
  free(file->bytes);
  memset(file, 0, sizeof *file);
}

const cli_json *cli_json_member(const cli_json *object, const char *key) {
  const cli_json *member = object && object->kind == CLI_JSON_OBJECT ? object->first : NULL;
  while (member && strcmp(member->key, key) != 0) member = member->next;
  return member;
}
