// The accessible tree, as a screen reader sees it.
#include "drive.h"

#include "support.h"

#include <fnmatch.h>
#include <string.h>

typedef bool (*visit_fn)(AtspiAccessible *node, void *user); // true: stop here

static bool has_state(AtspiAccessible *node, AtspiStateType state) {
    AtspiStateSet *states = atspi_accessible_get_state_set(node);
    const bool has = states && atspi_state_set_contains(states, state);
    g_clear_object(&states);
    return has;
}

// GTK 4.8 does not say "showing": what takes no place is not seen.
static bool is_shown(AtspiAccessible *node) {
    AtspiComponent *component = atspi_accessible_get_component_iface(node);
    AtspiRect *rect =
        component ? atspi_component_get_extents(component, ATSPI_COORD_TYPE_WINDOW, NULL) : NULL;
    const bool shown = rect && rect->width > 0 && rect->height > 0;
    g_free(rect);
    g_clear_object(&component);
    return shown;
}

// Without what is hidden.
static bool walk(AtspiAccessible *node, visit_fn visit, void *user, int depth) {
    if (!node || depth > 60 || (depth > 0 && !has_state(node, ATSPI_STATE_VISIBLE))) {
        return false;
    }
    if (visit(node, user)) {
        return true;
    }
    const int count = atspi_accessible_get_child_count(node, NULL);
    for (int i = 0; i < count; ++i) {
        AtspiAccessible *child = atspi_accessible_get_child_at_index(node, i, NULL);
        const bool found = walk(child, visit, user, depth + 1);
        g_clear_object(&child);
        if (found) {
            return true;
        }
    }
    return false;
}

// Below our program: by its process.
static bool walk_program(visit_fn visit, void *user) {
    AtspiAccessible *desktop = atspi_get_desktop(0);
    bool found = false;
    const int count = desktop ? atspi_accessible_get_child_count(desktop, NULL) : 0;
    for (int i = 0; i < count && !found; ++i) {
        AtspiAccessible *app = atspi_accessible_get_child_at_index(desktop, i, NULL);
        if (app && atspi_accessible_get_process_id(app, NULL) == (guint)gui_pid()) {
            found = walk(app, visit, user, 0);
        }
        g_clear_object(&app);
    }
    g_clear_object(&desktop);
    return found;
}

typedef struct query {
    AtspiRole role;
    const char *name;
    AtspiAccessible *found;
} query;

static bool fits(const char *name, const char *pattern) {
    return fnmatch(pattern, name, 0) == 0;
}

static bool match(AtspiAccessible *node, void *user) {
    query *q = user;
    if (q->role != ATSPI_ROLE_INVALID && atspi_accessible_get_role(node, NULL) != q->role) {
        return false;
    }
    char *name = atspi_accessible_get_name(node, NULL);
    if (name && fits(name, q->name) && is_shown(node)) {
        q->found = g_object_ref(node);
    }
    g_free(name);
    return q->found != NULL;
}

AtspiAccessible *gui_find(AtspiRole role, const char *name) {
    query q = {role, name, NULL};
    walk_program(match, &q);
    return q.found;
}

bool gui_sees(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_find(role, name);
    const bool seen = node != NULL;
    g_clear_object(&node);
    return seen;
}

AtspiAccessible *gui_wait(AtspiRole role, const char *name, double seconds) {
    const double until = gui_seconds() + seconds;
    AtspiAccessible *node = NULL;
    while (!(node = gui_find(role, name)) && gui_seconds() < until) {
        gui_sleep(0.05);
    }
    if (!node) {
        gui_shot("failure");
        fail_msg("'%s' did not appear within %g s", name, seconds);
    }
    return node;
}

void gui_wait_gone(AtspiRole role, const char *name, double seconds) {
    const double until = gui_seconds() + seconds;
    while (gui_sees(role, name)) {
        if (gui_seconds() > until) {
            gui_shot("failure");
            fail_msg("'%s' is still there after %g s", name, seconds);
        }
        gui_sleep(0.05);
    }
}

char *gui_name(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_wait(role, name, 5);
    char *full = atspi_accessible_get_name(node, NULL);
    g_object_unref(node);
    return full;
}

static bool is_button(AtspiAccessible *node) {
    const AtspiRole role = atspi_accessible_get_role(node, NULL);
    return role == ATSPI_ROLE_PUSH_BUTTON || role == ATSPI_ROLE_TOGGLE_BUTTON ||
           role == ATSPI_ROLE_PAGE_TAB || role == ATSPI_ROLE_RADIO_BUTTON;
}

// Pages may be called as what they do.
static bool match_button(AtspiAccessible *node, void *user) {
    return is_button(node) && atspi_accessible_get_role(node, NULL) != ATSPI_ROLE_PAGE_TAB &&
           match(node, user);
}

void gui_press(const char *name) {
    const double until = gui_seconds() + 5;
    query q = {ATSPI_ROLE_INVALID, name, NULL};
    while (!walk_program(match_button, &q) && gui_seconds() < until) {
        gui_sleep(0.05);
    }
    AtspiAction *action = q.found ? atspi_accessible_get_action_iface(q.found) : NULL;
    if (!action || !atspi_action_do_action(action, 0, NULL)) {
        gui_shot("failure");
        fail_msg("there is no button '%s' to press", name);
    }
    gui_sleep(0.4); // GTK shows the press for a quarter of a second before it counts
    g_object_unref(action);
    g_object_unref(q.found);
}

static void extents(AtspiAccessible *node, int area[4]) {
    AtspiComponent *component = atspi_accessible_get_component_iface(node);
    assert_non_null(component);
    AtspiRect *rect = atspi_component_get_extents(component, ATSPI_COORD_TYPE_WINDOW, NULL);
    assert_non_null(rect);
    const int found[4] = {rect->x, rect->y, rect->width, rect->height};
    memcpy(area, found, sizeof(found));
    g_free(rect);
    g_object_unref(component);
}

// The window of a node: the child of the program.
static AtspiAccessible *window_of(AtspiAccessible *node) {
    AtspiAccessible *at = g_object_ref(node);
    for (;;) {
        AtspiAccessible *parent = atspi_accessible_get_parent(at, NULL);
        const bool is_program =
            !parent || atspi_accessible_get_role(parent, NULL) == ATSPI_ROLE_APPLICATION;
        if (is_program) {
            g_clear_object(&parent);
            return at;
        }
        g_object_unref(at);
        at = parent;
    }
}

// The window's shadow is around what the program counts from.
void gui_area(AtspiRole role, const char *name, int area[4]) {
    AtspiAccessible *node = gui_wait(role, name, 5);
    AtspiAccessible *window = window_of(node);
    int inner[4], outer[4];
    extents(node, area);
    extents(window, inner);
    gui_window_area(outer);
    area[0] += outer[0] + (outer[2] - inner[2]) / 2;
    area[1] += outer[1] + (outer[3] - inner[3]) / 2;
    g_object_unref(window);
    g_object_unref(node);
}

typedef struct text_query {
    const char *name;
    char *text; // of the first that has any
} text_query;

static bool match_text(AtspiAccessible *node, void *user) {
    text_query *q = user;
    query named = {ATSPI_ROLE_INVALID, q->name, NULL};
    AtspiText *text = atspi_accessible_get_text_iface(node);
    const bool fits_name = text && match(node, &named);
    char *found = fits_name ? atspi_text_get_text(text, 0, -1, NULL) : NULL;
    if (found && (!q->text || !*q->text)) {
        g_free(q->text);
        q->text = g_steal_pointer(&found);
    }
    g_free(found);
    g_clear_object(&named.found);
    g_clear_object(&text);
    return false;
}

// A row and the entry in it may have the same name.
char *gui_text(const char *name) {
    text_query q = {name, NULL};
    walk_program(match_text, &q);
    if (!q.text) {
        fail_msg("there is no text '%s'", name);
    }
    return q.text;
}

double gui_value(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_wait(role, name, 5);
    AtspiValue *value = atspi_accessible_get_value_iface(node);
    assert_non_null(value);
    const double now = atspi_value_get_current_value(value, NULL);
    g_object_unref(value);
    g_object_unref(node);
    return now;
}

static bool tell_control(AtspiAccessible *node, void *user) {
    void (*each)(AtspiRole, const char *) = *(void (**)(AtspiRole, const char *))user;
    const bool takes_focus = has_state(node, ATSPI_STATE_FOCUSABLE);
    if (is_shown(node) && (takes_focus || is_button(node))) {
        char *name = atspi_accessible_get_name(node, NULL);
        each(atspi_accessible_get_role(node, NULL), name ? name : "");
        g_free(name);
    }
    return false;
}

void gui_each_control(void (*each)(AtspiRole role, const char *name)) {
    walk_program(tell_control, &each);
}

int gui_rows(const char *list, char **names, int most) {
    AtspiAccessible *node = gui_find(ATSPI_ROLE_LIST, list);
    const int there = node ? atspi_accessible_get_child_count(node, NULL) : 0;
    int count = 0;
    for (int i = 0; i < there && count < most; ++i) {
        AtspiAccessible *row = atspi_accessible_get_child_at_index(node, i, NULL);
        if (row) {
            names[count++] = atspi_accessible_get_name(row, NULL);
        }
        g_clear_object(&row);
    }
    g_clear_object(&node);
    return count;
}
