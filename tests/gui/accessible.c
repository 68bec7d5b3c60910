// The accessible tree, as a screen reader sees it.
#include "drive.h"

#include "support.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
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

// libatspi keeps what it was told of the tree, which spares a question and an answer between three processes
// for every node; what it has missed is asked for anew now and then, the less often the longer that takes.
static void refresh(AtspiAccessible *app, double last_walk) {
    static double last;
    if (gui_seconds() > last + 2 + 20 * last_walk) {
        atspi_accessible_clear_cache(app);
        last = gui_seconds();
    }
}

// Below our program: by its process.
static bool walk_program(visit_fn visit, void *user) {
    static double last_walk;
    const double began = gui_seconds();
    AtspiAccessible *desktop = atspi_get_desktop(0);
    bool found = false;
    const int count = desktop ? atspi_accessible_get_child_count(desktop, NULL) : 0;
    for (int i = 0; i < count && !found; ++i) {
        AtspiAccessible *app = atspi_accessible_get_child_at_index(desktop, i, NULL);
        if (app && atspi_accessible_get_process_id(app, NULL) == (guint)gui_pid()) {
            refresh(app, last_walk);
            found = walk(app, visit, user, 0);
        }
        g_clear_object(&app);
    }
    g_clear_object(&desktop);
    last_walk = gui_seconds() - began;
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
    AtspiAccessible *node = NULL;
    GUI_UNTIL((node = gui_find(role, name)) != NULL, seconds, "'%s' did not appear", name);
    return node;
}

void gui_expect(AtspiRole role, const char *name, double seconds) {
    g_object_unref(gui_wait(role, name, seconds));
}

void gui_wait_gone(AtspiRole role, const char *name, double seconds) {
    GUI_UNTIL(!gui_sees(role, name), seconds, "'%s' did not go away", name);
}

char *gui_name(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_wait(role, name, SOON);
    char *full = atspi_accessible_get_name(node, NULL);
    g_object_unref(node);
    return full;
}

static bool is_button(AtspiAccessible *node) {
    const AtspiRole role = atspi_accessible_get_role(node, NULL);
    return role == ATSPI_ROLE_PUSH_BUTTON || role == ATSPI_ROLE_TOGGLE_BUTTON ||
           role == ATSPI_ROLE_PAGE_TAB || role == ATSPI_ROLE_RADIO_BUTTON ||
           role == ATSPI_ROLE_CHECK_BOX; // a switch
}

// Pages may be called as what they do.
static bool match_button(AtspiAccessible *node, void *user) {
    return is_button(node) && atspi_accessible_get_role(node, NULL) != ATSPI_ROLE_PAGE_TAB &&
           match(node, user);
}

bool gui_is_sensitive(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_wait(role, name, SOON);
    const bool sensitive = has_state(node, ATSPI_STATE_SENSITIVE);
    g_object_unref(node);
    return sensitive;
}

bool gui_is_checked(const char *name) {
    AtspiAccessible *node = gui_wait(ATSPI_ROLE_CHECK_BOX, name, SOON);
    const bool checked = has_state(node, ATSPI_STATE_CHECKED);
    g_object_unref(node);
    return checked;
}

// GTK shows the press for a quarter of a second before it counts: what comes of it is to be waited for.
void gui_press(const char *name) {
    query q = {ATSPI_ROLE_INVALID, name, NULL};
    GUI_UNTIL(walk_program(match_button, &q), SOON, "there is no button '%s' to press", name);
    AtspiAction *action = atspi_accessible_get_action_iface(q.found);
    if (!action || !atspi_action_do_action(action, 0, NULL)) {
        gui_fail("the button '%s' cannot be pressed", name);
    }
    g_object_unref(action);
    g_object_unref(q.found);
}

static bool extents(AtspiAccessible *node, int area[4]) {
    AtspiComponent *component = atspi_accessible_get_component_iface(node);
    AtspiRect *rect =
        component ? atspi_component_get_extents(component, ATSPI_COORD_TYPE_WINDOW, NULL) : NULL;
    if (rect) {
        const int found[4] = {rect->x, rect->y, rect->width, rect->height};
        memcpy(area, found, sizeof(found));
    }
    const bool there = rect != NULL;
    g_free(rect);
    g_clear_object(&component);
    return there;
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
static bool area_of(AtspiAccessible *node, int area[4]) {
    AtspiAccessible *window = window_of(node);
    int inner[4], outer[4];
    const bool there = extents(node, area) && extents(window, inner);
    if (there) {
        gui_window_area(outer);
        area[0] += outer[0] + (outer[2] - inner[2]) / 2;
        area[1] += outer[1] + (outer[3] - inner[3]) / 2;
    }
    g_object_unref(window);
    return there;
}

// Is it where it was?
static bool rests(AtspiAccessible *node, int area[4]) {
    int now[4] = {0};
    const bool same = area_of(node, now) && memcmp(now, area, sizeof(now)) == 0;
    memcpy(area, now, sizeof(now));
    return same;
}

// A layout may still be on its way.
static void rest(AtspiAccessible *node, const char *name, int area[4]) {
    memset(area, 0, 4 * sizeof(*area));
    for (int same = 0; same < 3; ++same) {
        GUI_UNTIL((gui_sleep(0.05), rests(node, area)), SOON, "'%s' does not come to rest", name);
    }
}

void gui_area(AtspiRole role, const char *name, int area[4]) {
    AtspiAccessible *node = gui_wait(role, name, SOON);
    rest(node, name, area);
    g_object_unref(node);
}

// Above are the title bar, below the button that generates; a turn moves it by less than lies between.
void gui_scroll_to(AtspiRole role, const char *name, int area[4]) {
    enum { ABOVE = 56, BELOW = 80, TURNS = 80 };
    AtspiAccessible *node = gui_wait(role, name, SOON);
    int window[4], turns = 0;
    for (;;) {
        rest(node, name, area);
        gui_window_area(window);
        const int top = window[1] + ABOVE, bottom = window[1] + window[3] - BELOW;
        if (area[1] >= top && area[1] + area[3] <= bottom) {
            break;
        }
        if (++turns > TURNS) {
            gui_fail("'%s' cannot be scrolled to", name);
        }
        gui_turn_wheel(window[0] + 190, window[1] + 300, area[1] < top);
    }
    g_object_unref(node);
}

typedef struct text_query {
    const char *name;
    AtspiAccessible *first, *filled; // with an empty text, and with any
} text_query;

static char *text_of(AtspiAccessible *node) {
    AtspiText *text = atspi_accessible_get_text_iface(node);
    char *found = text ? atspi_text_get_text(text, 0, -1, NULL) : NULL;
    g_clear_object(&text);
    return found;
}

static bool match_text(AtspiAccessible *node, void *user) {
    text_query *q = user;
    query named = {ATSPI_ROLE_INVALID, q->name, NULL};
    char *found = match(node, &named) ? text_of(node) : NULL;
    AtspiAccessible **where = found && *found ? &q->filled : &q->first;
    if (found && !*where) {
        *where = g_object_ref(node);
    }
    g_free(found);
    g_clear_object(&named.found);
    return q->filled != NULL;
}

// A row and the entry in it may have the same name.
static AtspiAccessible *find_text(const char *name) {
    text_query q = {name, NULL, NULL};
    walk_program(match_text, &q);
    if (!q.filled && !q.first) {
        gui_fail("there is no text '%s'", name);
    }
    AtspiAccessible *found = g_object_ref(q.filled ? q.filled : q.first);
    g_clear_object(&q.filled);
    g_clear_object(&q.first);
    return found;
}

char *gui_text(const char *name) {
    AtspiAccessible *node = find_text(name);
    char *text = text_of(node);
    g_object_unref(node);
    return text ? text : g_strdup("");
}

static double value_of(AtspiAccessible *node) {
    AtspiValue *value = atspi_accessible_get_value_iface(node);
    const double now = value ? atspi_value_get_current_value(value, NULL) : -1;
    g_clear_object(&value);
    return now;
}

static bool holds(AtspiAccessible *node, AtspiRole role, const char *text) {
    if (role == ATSPI_ROLE_SPIN_BUTTON) {
        return value_of(node) == strtod(text, NULL);
    }
    char *now = text_of(node);
    const bool same = now && strcmp(now, text) == 0;
    g_free(now);
    return same;
}

void gui_expect_filled(AtspiRole role, const char *name, const char *text) {
    AtspiAccessible *node =
        role == ATSPI_ROLE_SPIN_BUTTON ? gui_wait(role, name, SOON) : find_text(name);
    GUI_UNTIL(holds(node, role, text), SOON, "'%s' does not hold '%s'", name, text);
    g_object_unref(node);
}

double gui_value(AtspiRole role, const char *name) {
    AtspiAccessible *node = gui_wait(role, name, SOON);
    const double now = value_of(node);
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

static bool print_seen(AtspiAccessible *node, void *user) {
    (void)user;
    char *name = is_shown(node) ? atspi_accessible_get_name(node, NULL) : NULL;
    if (name && *name && strncmp(name, "Gtk", 3) != 0 && strncmp(name, "Adw", 3) != 0) {
        fprintf(stderr, "  %s '%s'\n", atspi_role_get_name(atspi_accessible_get_role(node, NULL)),
                name);
    }
    g_free(name);
    return false;
}

void gui_print_seen(void) {
    walk_program(print_seen, NULL);
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
