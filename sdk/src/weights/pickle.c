/* The pickle machine; see pickle.h. Opcodes as in Python's Lib/pickletools.py: all that protocols 2
 * to 5 write. How torch names tensors and storages: torch/_utils.py (_rebuild_*) and
 * torch/serialization.py (persistent_id). No name is ever looked up or called.
 *
 * Every opcode takes at least one byte and makes at most one node or stack item, so the limit on
 * nodes bounds memory too.
 */
#include "pickle.h"

#include <stdlib.h>

#define NODES_MAX (1u << 22)
#define STACK_MAX (1u << 22)
#define MARKS_MAX 1024u
#define MEMO_MAX (1u << 22)

const char PICKLE_NO_MEMORY[] = "out of memory";

enum {
    GLOBAL_OTHER,
    GLOBAL_DICT,
    GLOBAL_SIZE,
    GLOBAL_STORAGE,
    GLOBAL_DTYPE,
    GLOBAL_TENSOR,    /* (storage, offset, size, stride, ...) */
    GLOBAL_TENSOR_V3, /* the same with dtype at 6, over a storage of bytes */
    GLOBAL_PARAMETER, /* (tensor, ...) */
    GLOBAL_FROM_TYPE, /* (function, type, arguments, state) */
};

static const struct {
    const char *module, *name;
    uint8_t global;
} known_globals[] = {
    {"collections", "OrderedDict", GLOBAL_DICT},
    {"collections", "defaultdict", GLOBAL_DICT},
    {"builtins", "dict", GLOBAL_DICT},
    {"__builtin__", "dict", GLOBAL_DICT},
    {"torch", "Size", GLOBAL_SIZE},
    {"torch._utils", "_rebuild_tensor", GLOBAL_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", GLOBAL_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", GLOBAL_PARAMETER},
    {"torch._tensor", "_rebuild_from_type_v2", GLOBAL_FROM_TYPE},
};

/* --- Reading, nodes, stack: after the first failure all of them do nothing -------------------- */

static void fail(struct pickle *p, const char *why)
{
    if (!p->why)
        p->why = why;
}

/* The next `size` bytes; NULL after a failure. */
static const uint8_t *take(struct pickle *p, uint64_t size)
{
    const uint8_t *at = p->at;
    if (size > (uint64_t)(p->end - at))
        fail(p, "it is cut off");
    if (p->why)
        return NULL;
    p->at += size;
    return at;
}

static uint64_t take_number(struct pickle *p, size_t size)
{
    const uint8_t *at = take(p, size);
    return at ? read_le(at, size) : 0;
}

static uint32_t add_node(struct pickle *p, enum pickle_kind kind)
{
    if (p->node_count >= NODES_MAX)
        fail(p, "it has too many objects");
    else if (!weights_grow(&p->nodes, &p->node_cap, p->node_count + 1, sizeof(*p->nodes)))
        fail(p, PICKLE_NO_MEMORY);
    if (p->why)
        return 0;
    p->nodes[p->node_count] = (struct pickle_node){.kind = (uint8_t)kind};
    return (uint32_t)p->node_count++;
}

static void push(struct pickle *p, uint32_t node)
{
    if (p->stack_count >= STACK_MAX)
        fail(p, "its stack is too high");
    else if (!weights_grow(&p->stack, &p->stack_cap, p->stack_count + 1, sizeof(*p->stack)))
        fail(p, PICKLE_NO_MEMORY);
    if (!p->why)
        p->stack[p->stack_count++] = node;
}

/* How deep the stack may be popped. */
static uint64_t floor_of(const struct pickle *p)
{
    return p->mark_count ? p->marks[p->mark_count - 1] : 0;
}

static uint32_t top(struct pickle *p)
{
    if (p->stack_count > floor_of(p))
        return p->stack[p->stack_count - 1];
    fail(p, "its stack is empty");
    return 0;
}

static uint32_t pop(struct pickle *p)
{
    uint32_t node = top(p);
    if (!p->why)
        p->stack_count--;
    return node;
}

/* The items above the last mark, which goes; they stay readable until the next push. */
static const uint32_t *pop_mark(struct pickle *p, uint64_t *count)
{
    *count = 0;
    if (!p->mark_count)
        fail(p, "a mark is missing");
    if (p->why)
        return NULL;
    uint64_t height = p->marks[--p->mark_count];
    *count = p->stack_count - height;
    p->stack_count = height;
    return p->stack ? p->stack + height : NULL;
}

static void push_mark(struct pickle *p)
{
    if (p->mark_count >= MARKS_MAX)
        fail(p, "it nests too deep");
    else if (!weights_grow(&p->marks, &p->mark_cap, p->mark_count + 1, sizeof(*p->marks)))
        fail(p, PICKLE_NO_MEMORY);
    if (!p->why)
        p->marks[p->mark_count++] = p->stack_count;
}

static struct vox_str text_of(const struct pickle *p, uint32_t node)
{
    const struct pickle_node *n = &p->nodes[node];
    return n->kind == PICKLE_TEXT ? (struct vox_str){n->text, n->count} : (struct vox_str){0};
}

/* --- Values ----------------------------------------------------------------------------------- */

static void push_int(struct pickle *p, int64_t value)
{
    uint32_t node = add_node(p, PICKLE_INT);
    if (node)
        p->nodes[node].integer = value;
    push(p, node);
}

static void push_text(struct pickle *p, uint64_t size)
{
    const uint8_t *text = take(p, size);
    uint32_t node = add_node(p, PICKLE_TEXT);
    if (node) {
        p->nodes[node].text = (const char *)text;
        p->nodes[node].count = size;
    }
    push(p, node);
}

/* A little-endian integer in two's complement; one of more than 64 bits becomes opaque. */
static void push_long(struct pickle *p, uint64_t size)
{
    const uint8_t *at = take(p, size);
    if (!at || size > 8) {
        push(p, 0);
        return;
    }
    uint64_t value = read_le(at, (size_t)size);
    if (size > 0 && size < 8 && at[size - 1] & 0x80)
        value |= UINT64_MAX << 8 * size;
    push_int(p, (int64_t)value);
}

static void push_opaque(struct pickle *p, uint64_t size)
{
    take(p, size);
    push(p, 0);
}

/* Each of the run_ functions says whether the opcode was its own. */
static bool run_value(struct pickle *p, uint8_t opcode)
{
    switch (opcode) {
    case 'N': /* None */
        return push_opaque(p, 0), true;
    case 'G': /* float */
        return push_opaque(p, 8), true;
    case 0x88: /* True, False */
    case 0x89:
        return push_int(p, opcode == 0x88), true;
    case 'J':
        return push_int(p, (int32_t)take_number(p, 4)), true;
    case 'K':
        return push_int(p, (int64_t)take_number(p, 1)), true;
    case 'M':
        return push_int(p, (int64_t)take_number(p, 2)), true;
    case 0x8a: /* LONG1, LONG4 */
        return push_long(p, take_number(p, 1)), true;
    case 0x8b:
        return push_long(p, take_number(p, 4)), true;
    case 'U': /* text of Python 2, and of 3, by the size of its size */
    case 0x8c:
        return push_text(p, take_number(p, 1)), true;
    case 'T':
    case 'X':
        return push_text(p, take_number(p, 4)), true;
    case 0x8d:
        return push_text(p, take_number(p, 8)), true;
    case 'C': /* bytes and byte arrays */
        return push_opaque(p, take_number(p, 1)), true;
    case 'B':
        return push_opaque(p, take_number(p, 4)), true;
    case 0x8e:
    case 0x96:
        return push_opaque(p, take_number(p, 8)), true;
    default:
        return false;
    }
}

/* --- Containers ------------------------------------------------------------------------------- */

/* Appends to a container of that kind; what goes into an opaque object is dropped. */
static void extend(struct pickle *p, uint32_t container, enum pickle_kind kind,
                   const uint32_t *items, uint64_t count)
{
    struct pickle_node *n = &p->nodes[container];
    if (kind == PICKLE_DICT && count % 2)
        fail(p, "a key has no value");
    if (p->why || n->kind == PICKLE_OPAQUE || !count)
        return;
    if (n->kind != (uint8_t)kind)
        fail(p, "an object of the wrong kind is filled");
    else if (!weights_grow(&n->items.at, &n->items.cap, n->count + count, sizeof(*items)))
        fail(p, PICKLE_NO_MEMORY);
    if (p->why)
        return;
    memcpy(n->items.at + n->count, items, (size_t)count * sizeof(*items));
    n->count += count;
}

static void push_container(struct pickle *p, enum pickle_kind kind, const uint32_t *items,
                           uint64_t count)
{
    uint32_t node = add_node(p, kind);
    extend(p, node, kind, items, count);
    push(p, node);
}

static void push_small_tuple(struct pickle *p, int count)
{
    uint32_t items[3] = {0};
    for (int i = count; i-- > 0;)
        items[i] = pop(p);
    push_container(p, PICKLE_TUPLE, items, (uint64_t)count);
}

static void push_marked(struct pickle *p, enum pickle_kind kind)
{
    uint64_t count;
    const uint32_t *items = pop_mark(p, &count);
    push_container(p, kind, items, count);
}

static void extend_marked(struct pickle *p, enum pickle_kind kind)
{
    uint64_t count;
    const uint32_t *items = pop_mark(p, &count);
    extend(p, top(p), kind, items, count);
}

static void extend_popped(struct pickle *p, enum pickle_kind kind)
{
    uint32_t items[2] = {0};
    uint64_t count = kind == PICKLE_DICT ? 2 : 1;
    for (uint64_t i = count; i-- > 0;)
        items[i] = pop(p);
    extend(p, top(p), kind, items, count);
}

static bool run_container(struct pickle *p, uint8_t opcode)
{
    switch (opcode) {
    case ')':
        return push_small_tuple(p, 0), true;
    case 0x85: /* tuples of 1, 2, 3 */
    case 0x86:
    case 0x87:
        return push_small_tuple(p, opcode - 0x84), true;
    case 't':
        return push_marked(p, PICKLE_TUPLE), true;
    case ']':
        return push_container(p, PICKLE_LIST, NULL, 0), true;
    case 'l':
        return push_marked(p, PICKLE_LIST), true;
    case 'a':
        return extend_popped(p, PICKLE_LIST), true;
    case 'e':
        return extend_marked(p, PICKLE_LIST), true;
    case '}':
        return push_container(p, PICKLE_DICT, NULL, 0), true;
    case 'd':
        return push_marked(p, PICKLE_DICT), true;
    case 's':
        return extend_popped(p, PICKLE_DICT), true;
    case 'u':
        return extend_marked(p, PICKLE_DICT), true;
    case 0x8f: /* a set, its items, a frozen set */
        return push(p, 0), true;
    case 0x90:
        return pop_mark(p, &(uint64_t){0}), true;
    case 0x91:
        return pop_mark(p, &(uint64_t){0}), push(p, 0), true;
    default:
        return false;
    }
}

/* --- Objects ---------------------------------------------------------------------------------- */

static void push_global(struct pickle *p, struct vox_str module, struct vox_str name)
{
    uint8_t global = GLOBAL_OTHER;
    uint32_t dtype = 0;
    bool is_torch = vox_str_is(module, "torch");
    for (size_t i = 0; i < VOX_COUNT(known_globals); i++)
        if (vox_str_is(module, known_globals[i].module) && vox_str_is(name, known_globals[i].name))
            global = known_globals[i].global;
    if (is_torch || vox_str_is(module, "torch.cuda"))
        if ((dtype = dtype_from_storage(name)) != 0)
            global = GLOBAL_STORAGE;
    if (vox_str_is(name, "UntypedStorage") && (is_torch || vox_str_is(module, "torch.storage")))
        global = GLOBAL_STORAGE;
    if (is_torch && global == GLOBAL_OTHER && (dtype = dtype_from_torch(name)) != 0)
        global = GLOBAL_DTYPE;
    uint32_t node = add_node(p, PICKLE_GLOBAL);
    p->nodes[node].global = node ? global : 0;
    p->nodes[node].dtype = node ? dtype : 0;
    push(p, node);
}

static struct vox_str take_line(struct pickle *p)
{
    const uint8_t *at = p->at;
    const uint8_t *end = at < p->end ? memchr(at, '\n', (size_t)(p->end - at)) : NULL;
    struct vox_str line = {(const char *)at, end ? (uint64_t)(end - at) : 0};
    take(p, end ? line.size + 1 : UINT64_MAX);
    return line;
}

static uint32_t rebuild_tensor(struct pickle *p, const struct pickle_node *arguments, bool is_v3)
{
    const uint32_t *at = arguments->items.at;
    uint64_t needed = is_v3 ? 7 : 4;
    if (arguments->count < needed || p->nodes[at[0]].kind != PICKLE_STORAGE ||
        p->nodes[at[1]].kind != PICKLE_INT || p->nodes[at[2]].kind != PICKLE_TUPLE ||
        p->nodes[at[3]].kind != PICKLE_TUPLE || (is_v3 && p->nodes[at[6]].kind != PICKLE_GLOBAL)) {
        fail(p, "a tensor's record is not one");
        return 0;
    }
    uint32_t dtype = is_v3 ? p->nodes[at[6]].dtype : p->nodes[at[0]].dtype;
    uint32_t node = add_node(p, PICKLE_TENSOR); /* moves the nodes, not `at` */
    if (node) {
        p->nodes[node].dtype = dtype;
        p->nodes[node].tensor.storage = at[0];
        p->nodes[node].tensor.offset = at[1];
        p->nodes[node].tensor.dims = at[2];
        p->nodes[node].tensor.strides = at[3];
    }
    return node;
}

/* What calling `function` with `arguments` would give, for the few that are known. */
static uint32_t reduce(struct pickle *p, uint32_t function, uint32_t arguments)
{
    const struct pickle_node *f = &p->nodes[function], *a = &p->nodes[arguments];
    if (f->kind != PICKLE_GLOBAL || a->kind != PICKLE_TUPLE)
        return 0;
    uint8_t global = f->global;
    if (global == GLOBAL_FROM_TYPE && a->count >= 3) {
        global = p->nodes[a->items.at[0]].global;
        a = &p->nodes[a->items.at[2]];
        if (a->kind != PICKLE_TUPLE)
            return 0;
    }
    switch (global) {
    case GLOBAL_DICT:
        for (uint64_t i = 0; i < a->count; i++)
            if (p->nodes[a->items.at[i]].kind != PICKLE_GLOBAL && a->items.at[i])
                fail(p, "a dictionary is made from something else");
        return add_node(p, PICKLE_DICT);
    case GLOBAL_SIZE:
    case GLOBAL_PARAMETER:
        return a->count ? a->items.at[0] : 0;
    case GLOBAL_TENSOR:
    case GLOBAL_TENSOR_V3:
        return rebuild_tensor(p, a, global == GLOBAL_TENSOR_V3);
    default:
        return 0;
    }
}

/* ("storage", class, key, location, count[, view]): the bytes of tensors, which lie elsewhere. */
static uint32_t persistent(struct pickle *p, uint32_t id)
{
    const struct pickle_node *n = &p->nodes[id];
    const uint32_t *at = n->items.at;
    if (n->kind != PICKLE_TUPLE || n->count < 5 || !vox_str_is(text_of(p, at[0]), "storage"))
        return 0;
    const struct pickle_node *class = &p->nodes[at[1]];
    if (class->kind != PICKLE_GLOBAL || class->global != GLOBAL_STORAGE ||
        p->nodes[at[2]].kind != PICKLE_TEXT || p->nodes[at[4]].kind != PICKLE_INT)
        fail(p, "a storage's record is not one");
    else if (n->count > 5 && at[5] != 0)
        fail(p, "views of storages, as torch 0.3 wrote them, are not supported");
    uint32_t dtype = class->dtype, node = add_node(p, PICKLE_STORAGE);
    if (node) {
        p->nodes[node].dtype = dtype;
        p->nodes[node].storage.key = at[2];
        p->nodes[node].storage.count = at[4];
    }
    return node;
}

static void run_reduce(struct pickle *p, bool has_keywords)
{
    if (has_keywords)
        pop(p);
    uint32_t arguments = pop(p), function = pop(p);
    push(p, p->why ? 0 : reduce(p, function, arguments));
}

static bool run_object(struct pickle *p, uint8_t opcode)
{
    struct vox_str module, name;
    switch (opcode) {
    case 'c':
        module = take_line(p);
        name = take_line(p);
        return push_global(p, module, name), true;
    case 0x93:
        name = text_of(p, pop(p));
        module = text_of(p, pop(p));
        return push_global(p, module, name), true;
    case 'R': /* a call; a new object, the same with keywords */
    case 0x81:
    case 0x92:
        return run_reduce(p, opcode == 0x92), true;
    case 'b': /* an object's own state: of a dictionary, too, only the items count */
        return pop(p), true;
    case 'Q': {
        uint32_t id = pop(p);
        return push(p, p->why ? 0 : persistent(p, id)), true;
    }
    default:
        return false;
    }
}

/* --- Stack and memo --------------------------------------------------------------------------- */

static void remember(struct pickle *p, uint64_t index)
{
    uint32_t node = top(p);
    if (index >= MEMO_MAX)
        fail(p, "its memo is too large");
    else if (!weights_grow(&p->memo, &p->memo_cap, index + 1, sizeof(*p->memo)))
        fail(p, PICKLE_NO_MEMORY);
    if (p->why)
        return;
    for (; p->memo_count <= index; p->memo_count++)
        p->memo[p->memo_count] = UINT32_MAX;
    p->memo[index] = node;
}

static void recall(struct pickle *p, uint64_t index)
{
    if (index >= p->memo_count || p->memo[index] == UINT32_MAX)
        fail(p, "it refers to something that is not there");
    else
        push(p, p->memo[index]);
}

static bool run_stack(struct pickle *p, uint8_t opcode)
{
    switch (opcode) {
    case '(':
        return push_mark(p), true;
    case '0':
        if (p->mark_count && p->stack_count == floor_of(p))
            p->mark_count--;
        else
            pop(p);
        return true;
    case '1':
        return pop_mark(p, &(uint64_t){0}), true;
    case '2':
        return push(p, top(p)), true;
    case 'h':
        return recall(p, take_number(p, 1)), true;
    case 'j':
        return recall(p, take_number(p, 4)), true;
    case 'q':
        return remember(p, take_number(p, 1)), true;
    case 'r':
        return remember(p, take_number(p, 4)), true;
    case 0x94:
        return remember(p, p->memo_count), true;
    case 0x80: /* protocol, frame: nothing to do */
        return take(p, 1), true;
    case 0x95:
        return take(p, 8), true;
    case '.':
        p->root = pop(p);
        p->is_stopped = true;
        return true;
    default:
        return false;
    }
}

/* --- The machine ------------------------------------------------------------------------------ */

bool pickle_run(struct pickle *p, const uint8_t *bytes, const uint8_t *end)
{
    p->at = p->begin = bytes;
    p->end = end;
    p->stack_count = p->mark_count = p->memo_count = 0;
    p->is_stopped = false;
    if (p->node_count == 0) { /* as add_node, whose 0 means a failure */
        if (weights_grow(&p->nodes, &p->node_cap, 1, sizeof(*p->nodes)))
            p->nodes[p->node_count++] = (struct pickle_node){.kind = PICKLE_OPAQUE};
        else
            return fail(p, PICKLE_NO_MEMORY), false;
    }
    while (!p->why && !p->is_stopped) {
        uint8_t opcode = (uint8_t)take_number(p, 1);
        if (!p->why && !run_value(p, opcode) && !run_container(p, opcode) &&
            !run_object(p, opcode) && !run_stack(p, opcode))
            fail(p, "it has an opcode that torch.save does not write");
    }
    return !p->why;
}

uint32_t pickle_get(const struct pickle *p, uint32_t dict, const char *key)
{
    const struct pickle_node *n = &p->nodes[dict];
    for (uint64_t i = 0; n->kind == PICKLE_DICT && i + 1 < n->count; i += 2)
        if (vox_str_is(text_of(p, n->items.at[i]), key))
            return n->items.at[i + 1];
    return 0;
}

void pickle_finish(struct pickle *p)
{
    for (uint64_t i = 0; i < p->node_count; i++)
        if (p->nodes[i].kind == PICKLE_TUPLE || p->nodes[i].kind == PICKLE_LIST ||
            p->nodes[i].kind == PICKLE_DICT)
            free(p->nodes[i].items.at);
    free(p->nodes);
    free(p->stack);
    free(p->memo);
    free(p->marks);
}
