/* Scopes, slots and held tensors: who owns a tensor and when it is freed. */
#include "context.h"

using namespace vox;

namespace vox
{

vt *slot_new(vt_cx *cx, at::Tensor tensor)
{
    if (!cx->free_list) {
        vt *fresh = &cx->arena.emplace_back();
        fresh->next_free = nullptr;
        cx->free_list = fresh;
    }
    vt *x = cx->free_list;
    cx->free_list = x->next_free;
    x->tensor = std::move(tensor);
    x->cx = cx;
    x->position = -1;
    cx->live++;
    return x;
}

void slot_free(vt *x)
{
    vt_cx *cx = x->cx;
    x->tensor.reset();
    x->cx = nullptr;
    x->position = -1;
    x->next_free = cx->free_list;
    cx->free_list = x;
    cx->live--;
}

vt *slot_add(vt_cx *cx, at::Tensor tensor)
{
    cx->scoped.push_back(nullptr); /* may throw: before the slot is taken */
    vt *x = slot_new(cx, std::move(tensor));
    x->position = (int64_t)cx->scoped.size() - 1;
    cx->scoped.back() = x;
    return x;
}

void scopes_close(vt_cx *cx, size_t count)
{
    if (cx->scopes.size() <= count)
        return;
    size_t first = cx->scopes[count].first;
    while (cx->scoped.size() > first) {
        if (cx->scoped.back())
            slot_free(cx->scoped.back());
        cx->scoped.pop_back();
    }
    cx->scopes.resize(count);
}

std::string breadcrumb(const vt_cx *cx, const char *last)
{
    std::string text;
    for (const vt_scope &scope : cx->scopes) {
        if (!scope.label)
            continue;
        text += scope.label;
        if (scope.index >= 0)
            text += "[" + std::to_string(scope.index) + "]";
        text += ".";
    }
    return text + last;
}

} // namespace vox

vt_mark vt_enter(vt_cx *cx, const char *label)
{
    return vt_enter_i(cx, label, -1);
}

vt_mark vt_enter_i(vt_cx *cx, const char *label, int64_t i)
{
    vt_mark mark = (vt_mark)cx->scopes.size();
    guard(cx, label, {}, [&] { cx->scopes.push_back({label, i, cx->scoped.size()}); });
    return mark;
}

vt *vt_leave(vt_cx *cx, vt_mark mark, vt *result)
{
    if (mark >= cx->scopes.size()) /* the context had failed when the scope was to open */
        return result;
    /* Leaving a scope shortens the list, so that there is room for the one that moves out. */
    bool moves = result && result->cx == cx && result->position >= 0 &&
                 (size_t)result->position >= cx->scopes[mark].first;
    if (moves) {
        cx->scoped[(size_t)result->position] = nullptr;
        result->position = -1;
    }
    scopes_close(cx, mark);
    if (moves) {
        cx->scoped.push_back(result);
        result->position = (int64_t)cx->scoped.size() - 1;
    }
    return result;
}

vt *vt_hold(vt_cx *cx, vt *x)
{
    if (x && x->cx == cx && x->position >= 0) {
        cx->scoped[(size_t)x->position] = nullptr;
        x->position = -1;
        return x;
    }
    vt *result = &cx->poison; /* held already, perhaps by another context: one more handle to it */
    guard(cx, "hold", {x}, [&] { result = slot_new(cx, of(x)); });
    return result;
}

void vt_drop(vt_cx *cx, vt *x)
{
    if (x && x != &cx->poison && x->cx == cx && x->position < 0)
        slot_free(x);
}

uint64_t vt_live(const vt_cx *cx)
{
    return cx->live;
}

void vt_tap_set(vt_cx *cx, vt_tap_function *function, void *arg)
{
    cx->tap = function;
    cx->tap_arg = arg;
}

void vt_tap(vt_cx *cx, const char *name, const vt *x)
{
    if (!cx->tap)
        return;
    std::string full;
    if (guard(cx, name, {x}, [&] { full = breadcrumb(cx, name); }))
        cx->tap(cx->tap_arg, full.c_str(), cx, x);
}
