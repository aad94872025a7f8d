/* Memory for small, bounded things. Running out of it ends the process with one line: nothing useful
 * can be done for a job whose few hundred bytes cannot be had. Whatever outside input can make large is
 * bounded before it is allocated.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                           /* zeroed; never NULL */
void *mem_alloc_array(size_t count, size_t size);       /* zeroed; checks the product */
void *mem_resize(void *ptr, size_t count, size_t size); /* not zeroed; checks the product */
char *mem_copy_text(const char *text, size_t len);      /* terminated copy */
char *mem_copy_string(const char *text);                /* NULL stays NULL */

#endif
