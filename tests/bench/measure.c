/* Runs one command and writes what it cost, as JSON: measure RESULT COMMAND [ARGUMENT...]
 *
 * A program of its own because a child's peak memory counts from before its exec: started by Python, every
 * child would have Python's. Passes the command's exit status on, and knows nothing of what it runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    if (argc < 3) {
        fputs("usage: measure RESULT COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    double begun_s = now_s();
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
        perror("measure");
        return 1;
    }
    double wall_s = now_s() - begun_s;
    FILE *result = fopen(argv[1], "w");
    if (!result) {
        perror(argv[1]);
        return 1;
    }
    fprintf(result, "{\"wall_s\":%.6f,\"user_s\":%.6f,\"sys_s\":%.6f,\"peak_kb\":%ld}\n", wall_s,
            seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss);
    if (fclose(result) != 0)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
