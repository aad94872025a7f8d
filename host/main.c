/* The verb table: what `voxhost VERB` runs. Knows no verb from inside. */
#include "front/front.h"

#include "base/base.h"

#include <argp.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct verb {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"speak", "Speak one text into a file or onto standard output", verb_speak},
    {"batch", "Speak every job of a file", verb_batch},
    {"worker", "Serve a RunPod serverless queue, or jobs on a local port", verb_worker},
    {"pull", "Download the weights of a model, or check those that are there", verb_pull},
    {"voices", "Keep the voices that models clone", verb_voices},
    {"callbacks", "List callbacks that nobody took, and send them again", verb_callbacks},
    {"plugins", "List the installed plugins and what each can do", verb_plugins},
    {"config", "Print the effective manifest, or the reference of its keys", verb_config},
    {"doctor", "Check this machine and a manifest, and say what to do", verb_doctor},
    {"check", "Run the conformance tests on a plugin", verb_check},
};
enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(FILE *out)
{
    fprintf(out,
            "voxhost %s: one native host for many text-to-speech models\n\n"
            "usage: voxhost VERB [OPTION...]\n\n",
            VOXHOST_VERSION);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].help);
    fputs("\nvoxhost VERB --help lists a verb's options. Try: voxhost speak \"Hello, world.\" -o "
          "hello.wav\n"
          "Exit codes: 0 all well; 1 some jobs failed; 2 wrong use or manifest, nothing was "
          "started;\n"
          "3 a required model could not be loaded; 130 and 143 stopped by a signal.\n",
          out);
}

static int unknown_verb(const char *name)
{
    const char *names[VERB_COUNT];
    for (size_t i = 0; i < VERB_COUNT; i++)
        names[i] = verbs[i].name;
    const char *meant = suggest(name, names, VERB_COUNT);
    fprintf(stderr, "voxhost: unknown verb \"%s\"%s%s%s; voxhost --help lists them\n", name,
            meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
    return EXIT_WRONG_USE;
}

/* A standard stream that was closed would lend its number to the next file that is opened, and
 * messages would land in that file. What takes its place here can neither be read nor written, as
 * if it were closed still. */
static void hold_standard_streams(void)
{
    int fd;
    do
        fd = open("/", O_PATH);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    argp_err_exit_status = EXIT_WRONG_USE;
    if (argc < 2) {
        print_help(stderr);
        return EXIT_WRONG_USE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_ALL_WELL;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("voxhost " VOXHOST_VERSION);
        return EXIT_ALL_WELL;
    }
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return unknown_verb(argv[1]);
}
