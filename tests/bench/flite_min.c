/* The least that speaks many texts with libflite: flite_min TEXTS OUT THREADS
 *
 * One text a line; text N becomes OUT/sN.wav (five digits). A thread owns its voice, because flite counts
 * references to a voice's values without locks, and its noise, which starts afresh for each text as in a
 * new process: so the files are those of the flite program. No job, no result, no temporary name.
 */
#include <flite/flite.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64

cst_voice *register_cmu_us_slt(const char *dir);
extern cst_voice *cmu_us_slt_cg;

static struct {
    pthread_mutex_t lock;
    FILE *texts; /* guarded by lock, as the next */
    unsigned next;
    const char *out;
} work_list = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct random_data noise;

/* Stands before the C library's, so that libflite draws its noise here. */
__attribute__((visibility("default"))) int rand(void)
{
    int32_t value = 0;
    random_r(&noise, &value);
    return value;
}

/* Takes the next text, and its number; NULL at the end. */
static const char *next_text(char **line, size_t *cap, unsigned *number)
{
    pthread_mutex_lock(&work_list.lock);
    ssize_t len = getline(line, cap, work_list.texts);
    *number = work_list.next++;
    pthread_mutex_unlock(&work_list.lock);
    if (len <= 0)
        return NULL;
    (*line)[strcspn(*line, "\n")] = '\0';
    return *line;
}

static void *work(void *arg)
{
    cst_voice *voice = arg;
    char path[4096], state[128], *line = NULL;
    size_t cap = 0;
    unsigned number;
    for (const char *text; (text = next_text(&line, &cap, &number));) {
        memset(&noise, 0, sizeof(noise));
        initstate_r(1, state, sizeof(state), &noise);
        cst_wave *wave = flite_text_to_wave(text, voice);
        snprintf(path, sizeof(path), "%s/s%05u.wav", work_list.out, number);
        if (!wave || cst_wave_save_riff(wave, path) != CST_OK_FORMAT) {
            fprintf(stderr, "flite_min: %s could not be made\n", path);
            exit(1);
        }
        delete_wave(wave);
    }
    free(line);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    long count = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (count < 1 || count > THREADS_MAX) {
        fputs("usage: flite_min TEXTS OUT THREADS\n", stderr);
        return 2;
    }
    work_list.out = argv[2];
    work_list.texts = fopen(argv[1], "re");
    if (!work_list.texts) {
        perror(argv[1]);
        return 1;
    }
    flite_init();
    for (long i = 0; i < count; i++) {
        cst_voice *voice = register_cmu_us_slt(NULL);
        cmu_us_slt_cg = NULL; /* flite keeps a voice in a global: the next call makes another */
        if (pthread_create(&threads[i], NULL, work, voice) != 0)
            return 1;
    }
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    fclose(work_list.texts);
    return 0;
}
