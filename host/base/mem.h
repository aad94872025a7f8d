/* Memory for small, bounded things. Running out of it ends the process with one line: nothing
 * useful can be done for a job whose few hundred bytes cannot be had. Whatever outside input can
 * make large is bounded before it is allocated.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* All but mem_copy_string never return NULL. */
void *mem_alloc(size_t size) __attribute__((returns_nonnull));                     /* zeroed */
void *mem_alloc_array(size_t count, size_t size) __attribute__((returns_nonnull)); /* zeroed */
void *mem_resize(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_copy_text(const char *text, size_t len) __attribute__((returns_nonnull)); /* terminated */
char *mem_copy_string(const char *text); /* NULL stays NULL */

/* Gives back the pages of code that only the start needed, of this program and of all its
 * libraries: for a process that has started and goes on for long. What is still used comes back
 * from the page cache when it is touched. */
void mem_forget_start(void);

#endif
