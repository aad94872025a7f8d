/* The tests of test_elementwise.c on the portable half of elementwise.c, whatever the CPU: these
 * definitions come before those of the library. */
#define VK_PORTABLE
#include "kernels/elementwise.c"
#include "test_elementwise.c"
