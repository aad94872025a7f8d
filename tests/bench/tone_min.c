/* The least that does the jobs of bench.py's case "overhead": tone_min JOBS OUT THREADS
 *
 * The tone plugin's samples in the same WAV files, under a temporary name first, and the same lines in
 * OUT/results.jsonl, one write each. It reads of a job what bench.py writes, id and seed, and checks nothing:
 *
 *     {"id": "t00000", "text": "tone", "seed": 0, "options": {"duration_ms": 50}}
 */
#include <fcntl.h>
#include <math.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define TABLE_BITS 12
#define TABLE_SIZE (1u << TABLE_BITS)
#define RATE_HZ 24000
#define FRAMES 1200 /* 50 ms */
#define PITCH_HZ 110.0
#define AMPLITUDE 0.5f
#define HEADER_SIZE 44
#define FILE_SIZE (HEADER_SIZE + 2 * FRAMES)
#define HEX_SIZE 65

static struct {
    pthread_mutex_t lock;
    FILE *jobs; /* guarded by lock, as the next */
    unsigned long line;
    const char *out;
    int results_fd;
    EVP_MD *sha256;
    float wave[TABLE_SIZE];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct job {
    char *line;
    size_t cap, len;
    unsigned long number;
    char id[64];
    long long seed;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void hash_hex(const void *data, size_t len, char hex[HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[32];
    if (!EVP_Digest(data, len, bytes, NULL, shared.sha256, NULL))
        abort();
    for (size_t i = 0; i < sizeof(bytes); i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[HEX_SIZE - 1] = '\0';
}

static int next_job(struct job *job)
{
    pthread_mutex_lock(&shared.lock);
    ssize_t len = getline(&job->line, &job->cap, shared.jobs);
    job->number = ++shared.line;
    pthread_mutex_unlock(&shared.lock);
    if (len <= 0)
        return 0;
    job->len = (size_t)len;
    const char *seed = strstr(job->line, "\"seed\": ");
    if (!seed || sscanf(job->line, "{\"id\": \"%63[^\"]\"", job->id) != 1) {
        fprintf(stderr, "tone_min: line %lu is none of bench.py's\n", job->number);
        exit(1);
    }
    job->seed = strtoll(seed + strlen("\"seed\": "), NULL, 10);
    return 1;
}

/* The tone plugin's sine, and the host's way to 16 bits. */
static void make_samples(long long seed, unsigned char *out)
{
    uint64_t z = (uint64_t)seed + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    double pitch_hz = PITCH_HZ * (1.0 + 0.5 * ((double)((z ^ (z >> 31)) >> 11) * 0x1p-53));
    uint32_t step = (uint32_t)(pitch_hz / RATE_HZ * 0x1p32), phase = 0;
    for (int i = 0; i < FRAMES; i++, phase += step) {
        long value = lrintf(AMPLITUDE * shared.wave[phase >> (32 - TABLE_BITS)] * 32768.0f);
        out[2 * i] = (unsigned char)value;
        out[2 * i + 1] = (unsigned char)(value >> 8);
    }
}

static void put_le(unsigned char *out, uint32_t value, int size)
{
    for (int i = 0; i < size; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static void make_header(unsigned char *out)
{
    memcpy(out, "RIFF....WAVEfmt ", 16);
    put_le(out + 4, FILE_SIZE - 8, 4);
    put_le(out + 16, 16, 4);
    put_le(out + 20, 1, 2);
    put_le(out + 22, 1, 2);
    put_le(out + 24, RATE_HZ, 4);
    put_le(out + 28, 2 * RATE_HZ, 4);
    put_le(out + 32, 2, 2);
    put_le(out + 34, 16, 2);
    memcpy(out + 36, "data", 4);
    put_le(out + 40, 2 * FRAMES, 4);
}

static void write_file(const struct job *job, const unsigned char *data)
{
    char temp[4096], path[4096];
    snprintf(temp, sizeof(temp), "%s/.%s", shared.out, job->id);
    snprintf(path, sizeof(path), "%s/%s.wav", shared.out, job->id);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, data, FILE_SIZE) != FILE_SIZE || close(fd) != 0 ||
        rename(temp, path) != 0)
        fail(path);
}

static void run_job(const struct job *job)
{
    unsigned char file[FILE_SIZE];
    char sha256[HEX_SIZE], job_hash[HEX_SIZE], line[2048];
    double begun = now_ms();
    make_samples(job->seed, file + HEADER_SIZE);
    double made = now_ms();
    make_header(file);
    hash_hex(file, sizeof(file), sha256);
    hash_hex(job->line, job->len, job_hash);
    double encoded = now_ms();
    write_file(job, file);
    double stored = now_ms();
    int len =
        snprintf(line, sizeof(line),
                 "{\"id\":\"%s\",\"status\":\"ok\",\"model_type\":\"tone\",\"seed\":%lld,"
                 "\"audio\":{\"path\":\"%s.wav\",\"format\":\"wav\",\"encoding\":\"pcm16\","
                 "\"sample_rate\":%d,"
                 "\"channels\":1,\"duration_s\":%.6f,\"bytes\":%d,\"sha256\":\"%s\"},"
                 "\"words\":[{\"word\":\"tone\",\"start_s\":%.4f,\"end_s\":%.4f,\"text_begin\":0,"
                 "\"text_end\":4}],"
                 "\"timings_ms\":{\"queue\":%.3f,\"load\":%.3f,\"voice\":%.3f,\"synth\":%.3f,"
                 "\"encode\":%.3f,"
                 "\"store\":%.3f,\"total\":%.3f},\"rtf\":%.5f,\"job_hash\":\"%s\",\"line\":%lu}\n",
                 job->id, job->seed, job->id, RATE_HZ, (double)FRAMES / RATE_HZ, FILE_SIZE, sha256,
                 0.0, (double)FRAMES / RATE_HZ, 0.0, 0.0, 0.0, made - begun, encoded - made,
                 stored - encoded, stored - begun,
                 (encoded - begun) / 1000 / ((double)FRAMES / RATE_HZ), job_hash, job->number);
    if (len <= 0 || (size_t)len >= sizeof(line) ||
        write(shared.results_fd, line, (size_t)len) != len)
        fail("results.jsonl");
}

static void *work(void *arg)
{
    struct job job = {0};
    (void)arg;
    while (next_job(&job))
        run_job(&job);
    free(job.line);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    char path[4096];
    long count = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (count < 1 || count > THREADS_MAX) {
        fputs("usage: tone_min JOBS OUT THREADS\n", stderr);
        return 2;
    }
    for (uint32_t i = 0; i < TABLE_SIZE; i++)
        shared.wave[i] = (float)sin(2.0 * 3.14159265358979323846 * i / TABLE_SIZE);
    shared.out = argv[2];
    shared.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    shared.jobs = fopen(argv[1], "re");
    if (!shared.jobs)
        fail(argv[1]);
    snprintf(path, sizeof(path), "%s/results.jsonl", shared.out);
    shared.results_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (shared.results_fd < 0)
        fail(path);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    fclose(shared.jobs);
    close(shared.results_fd);
    EVP_MD_free(shared.sha256);
    return 0;
}
