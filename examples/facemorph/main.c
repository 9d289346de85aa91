/* facemorph: the command line program. Each command has a file of its own. */
#include "cli.h"

#include <string.h>

static const char help_text[] =
  "usage: facemorph COMMAND ...\n"
  "\n"
  "  morph A B    draws the frames of the morph between two heads\n"
  "  info FILE    says what is in a mesh or an image file\n"
  "\n"
  "facemorph COMMAND --help lists a command's flags; facemorph --version prints the version.\n"
  "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted with Ctrl-C.\n";

static int run(int argc, char **argv) {
  static const struct { const char *name; int (*run)(int argc, char **argv); } commands[] = {
    {"morph", cli_morph}, {"info", cli_info}};
  const char *names[CLI_COUNT(commands)];
  if (argc < 2) {
    fputs(help_text, stderr);
    return CLI_USAGE;
  }
  const char *name = argv[1];
  for (size_t i = 0; i < CLI_COUNT(commands); i++) {
    if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 2, argv + 2);
    names[i] = commands[i].name;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
    fputs(help_text, stdout);
    return CLI_OK;
  }
  if (strcmp(name, "--version") == 0) return printf("facemorph %s\n", fm_version()), CLI_OK;
  if (name[0] == '-') return cli_fail(CLI_USAGE, "%s stands before a command; facemorph --help lists the commands", name);
  return cli_fail(CLI_USAGE, "unknown command %s; the nearest is %s (facemorph --help lists all)", name,
                  cli_nearest(name, names, CLI_COUNT(names)));
}

int main(int argc, char **argv) {
  cli_start();
  return cli_finish(run(argc, argv));
}
