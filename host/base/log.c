/* Log lines; see log.h. */
#include "base/log.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"

#include <string.h>

static const char *const level_names[] = {"", "debug", "info", "warn", "error"};

static void write_json(struct str *line, enum log_level level, const char *component,
                       const char *event, const struct log_field *fields, size_t count)
{
    char time[CLOCK_TEXT_SIZE];
    clock_text(time);
    str_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"component\":", time, level_names[level]);
    json_write_string(line, component, strlen(component));
    str_puts(line, ",\"event\":");
    json_write_string(line, event, strlen(event));
    for (size_t i = 0; i < count; i++) {
        str_putc(line, ',');
        json_write_string(line, fields[i].key, strlen(fields[i].key));
        str_putc(line, ':');
        if (fields[i].text)
            json_write_string(line, fields[i].text, strlen(fields[i].text));
        else
            json_write_number(line, fields[i].number);
    }
    str_puts(line, "}\n");
}

/* Text from outside must not move a terminal's cursor. */
static void write_printable(struct str *line, const char *text)
{
    for (; *text; text++)
        str_putc(line, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void write_text(struct str *line, enum log_level level, const char *component,
                       const char *event, const struct log_field *fields, size_t count)
{
    str_printf(line, "voxhost: %s%s: ", level >= LOG_WARN ? level_names[level] : "",
               level >= LOG_WARN ? "" : component);
    if (level >= LOG_WARN)
        str_printf(line, "%s: ", component);
    write_printable(line, event);
    for (size_t i = 0; i < count; i++) {
        str_printf(line, "%s%s=", i ? " " : " (", fields[i].key);
        if (fields[i].text)
            write_printable(line, fields[i].text);
        else
            json_write_number(line, fields[i].number);
    }
    str_puts(line, count ? ")\n" : "\n");
}

void log_write(const struct log *log, enum log_level level, const char *component,
               const char *event, const struct log_field *fields, size_t count)
{
    if (level < log->level)
        return;
    struct str line = {0};
    if (log->json)
        write_json(&line, level, component, event, fields, count);
    else
        write_text(&line, level, component, event, fields, count);
    fs_write_all(log->fd, line.data, line.len); /* a log that cannot be written is lost */
    str_finish(&line);
}
