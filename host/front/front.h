/* How jobs come in: one function per verb of the command line. Each parses its own arguments with
 * argp and returns the exit code. [main]
 */
#ifndef FRONT_H
#define FRONT_H

int verb_speak(int argc, char **argv);
int verb_batch(int argc, char **argv);
int verb_worker(int argc, char **argv);
int verb_pull(int argc, char **argv);
int verb_voices(int argc, char **argv);
int verb_callbacks(int argc, char **argv);
int verb_plugins(int argc, char **argv);
int verb_config(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_check(int argc, char **argv);

/* Exit codes of every verb. */
enum {
    EXIT_ALL_WELL = 0,
    EXIT_JOBS_FAILED = 1,  /* results say which */
    EXIT_WRONG_USE = 2,    /* usage or manifest wrong: nothing was started */
    EXIT_MODEL_FAILED = 3, /* a required model could not be loaded */
    EXIT_SIGNAL = 128,     /* plus the signal, after finishing or recording what was in flight */
};

#endif
