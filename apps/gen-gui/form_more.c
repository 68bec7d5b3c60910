// What not every model can do: attention, the second pass, LoRAs, ControlNets.
#include "form_internal.h"

#include "fields.h"
#include "wheel.h"

#include <common/attention_table.h>
#include <glib/gi18n.h>

// ---- how attentions are computed

static GListStore *list_attentions(void) {
    const char *const words[] = {
        [HT_ATTENTION_DENSE] = _("Every token with every other, in floats"),
        [HT_ATTENTION_SAGE8] = _("Integers of eight bits for queries and keys"),
        [HT_ATTENTION_SAGE4] = _("Integers of four bits for queries and keys"),
        [HT_ATTENTION_PARO] = _("Only what calibration found to matter"),
        [HT_ATTENTION_SPARGE] = _("Only what is found to matter while it runs"),
        [HT_ATTENTION_AUTO] = _("paro where the model has a table, else dense"),
    };
    GListStore *list = g_list_store_new(GUI_TYPE_CHOICE);
    const char *name;
    for (uint32_t i = 0; (name = ht_attention_choice_name(i)); ++i) {
        ht_attention_choice parsed;
        ht_attention_choice_parse(name, &parsed);
        char *text = parsed.values == HT_FORMAT_E4M3
                         ? g_strdup_printf(_("%s, FP8 for the rest"), words[parsed.kind])
                         : g_strdup(words[parsed.kind]);
        GuiChoice *choice = gui_choice_new(name, name, text);
        g_list_store_append(list, choice);
        g_object_unref(choice);
        g_free(text);
    }
    return list;
}

static GListStore *list_upscalers(void) {
    GListStore *list = g_list_store_new(GUI_TYPE_CHOICE);
    for (int i = 0; i < HT_UPSCALERS; ++i) {
        GuiChoice *choice = gui_choice_new(ht_upscaler_label((ht_upscaler)i),
                                           ht_upscaler_name((ht_upscaler)i), NULL);
        g_list_store_append(list, choice);
        g_object_unref(choice);
    }
    return list;
}

// A row of the list, grey with a reason where the model cannot do it.
static void bind_choice(GtkSignalListItemFactory *factory, GtkListItem *item) {
    (void)factory;
    GuiChoice *choice = gtk_list_item_get_item(item);
    GtkWidget *label = gtk_label_new(NULL);
    char *text = choice->error ? g_strdup_printf("%s: %s", choice->label, choice->error)
                               : g_strdup(choice->label);
    gtk_label_set_text(GTK_LABEL(label), text);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_widget_set_sensitive(label, choice->error == NULL);
    gtk_list_item_set_activatable(item, choice->error == NULL);
    gtk_list_item_set_selectable(item, choice->error == NULL);
    gtk_list_item_set_child(item, label);
    g_free(text);
}

static void use_factory(AdwComboRow *row) {
    GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
    g_signal_connect(factory, "bind", G_CALLBACK(bind_choice), NULL);
    adw_combo_row_set_list_factory(row, factory);
    g_object_unref(factory);
}

static GuiChoice *chosen(AdwComboRow *row) {
    return adw_combo_row_get_selected_item(row);
}

static ht_attention_choice attention_of(GuiForm *f) {
    GuiChoice *choice = chosen(f->attention_row);
    ht_attention_choice parsed = {.kind = HT_ATTENTION_DENSE};
    if (choice) {
        ht_attention_choice_parse(choice->value, &parsed);
    }
    return parsed;
}

// The number behind the colon.
static float *number_of(ht_attention_choice *choice) {
    return choice->kind == HT_ATTENTION_PARO     ? &choice->density
           : choice->kind == HT_ATTENTION_SPARGE ? &choice->share
                                                 : NULL;
}

void gui_form_attention_chosen(GuiForm *f) {
    GuiChoice *choice = chosen(f->attention_row);
    ht_attention_choice parsed = attention_of(f);
    const float *number = number_of(&parsed);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(f->attention_row), !choice         ? ""
                                                                  : choice->error ? choice->error
                                                                                  : choice->detail);
    gtk_widget_set_visible(f->density_row, number != NULL);
    if (number) {
        gtk_spin_button_set_value(f->density_spin, (double)*number);
    }
}

static void read_attention(GuiForm *f, ht_job *job) {
    GuiChoice *choice = chosen(f->attention_row);
    ht_attention_choice parsed = attention_of(f);
    const float *usual = number_of(&parsed);
    const double number = gtk_spin_button_get_value(f->density_spin);
    if (!choice || parsed.kind == HT_ATTENTION_DENSE) { // the default
        return;
    }
    g_strlcpy(f->attention, choice->value, sizeof(f->attention));
    if (usual && (float)number != *usual) {
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        g_ascii_formatd(text, sizeof(text), "%g", number);
        g_snprintf(f->attention, sizeof(f->attention), "%s:%s", choice->value, text);
    }
    job->attention = f->attention;
}

static void write_attention(GuiForm *f, const ht_job *job) {
    ht_attention_choice choice;
    const char *text = job->attention ? job->attention : ht_attention_choice_name(0);
    const gboolean known = ht_attention_choice_parse(text, &choice);
    char *name = g_strndup(text, strcspn(text, ":"));
    const int place =
        gui_choices_find(G_LIST_MODEL(f->attentions), strcmp(name, "sage") == 0 ? "sage8" : name);
    const float *number = known ? number_of(&choice) : NULL;
    adw_combo_row_set_selected(f->attention_row, (guint)MAX(place, 0));
    gui_form_attention_chosen(f);
    if (number) {
        gtk_spin_button_set_value(f->density_spin, (double)*number);
    }
    g_free(name);
}

// ---- the second pass

static const char *const hires_keys[] = {"hires_scale", "hires_steps", "hires_strength"};

static GtkWidget *hires_spin(GuiForm *f, size_t i) {
    GtkSpinButton *const spins[] = {f->hires_scale_spin, f->hires_steps_spin,
                                    f->hires_strength_spin};
    return GTK_WIDGET(spins[i]);
}

static void read_hires(GuiForm *f, ht_job *job) {
    GuiChoice *upscaler = chosen(f->hires_upscaler_row);
    if (!adw_expander_row_get_enable_expansion(f->hires_expander)) {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(hires_keys); ++i) {
        gui_field_read(hires_spin(f, i), hires_keys[i], job);
    }
    job->hires_upscaler = upscaler ? upscaler->value : NULL;
}

// A second size counts as the enlargement that it is.
static void write_hires(GuiForm *f, const ht_job *job) {
    ht_upscaler upscaler = HT_UPSCALE_LATENT;
    ht_job own = *job;
    if (own.hires_scale == 0 && own.hires_width > 0 && own.width > 0) {
        own.hires_scale = (double)own.hires_width / own.width;
    } else if (own.hires_scale == 0 && own.hires_height > 0 && own.height > 0) {
        own.hires_scale = (double)own.hires_height / own.height;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(hires_keys); ++i) {
        gui_field_write(hires_spin(f, i), hires_keys[i], &own);
    }
    if (own.hires_upscaler) {
        ht_upscaler_find(own.hires_upscaler, &upscaler);
    }
    adw_combo_row_set_selected(f->hires_upscaler_row, upscaler);
    const gboolean on = own.hires_scale > 0;
    adw_expander_row_set_enable_expansion(f->hires_expander, on);
    adw_expander_row_set_expanded(f->hires_expander, on);
}

// ---- all of them

void gui_form_read_more(GuiForm *f, ht_job *job) {
    read_attention(f, job);
    if (gtk_widget_get_sensitive(GTK_WIDGET(f->hires_expander))) {
        read_hires(f, job);
    }
    gui_loras_read(f->loras, job);
    gui_control_read(f->control, job);
    job->lora_dir = f->lora_folder;
}

void gui_form_write_more(GuiForm *f, const ht_job *job) {
    write_attention(f, job);
    write_hires(f, job);
    gui_loras_write(f->loras, job);
    gui_control_write(f->control, job);
}

void gui_form_show_abilities(GuiForm *f, const ht_pipeline_info *info) {
    const int place = gui_choices_find(G_LIST_MODEL(f->attentions), "paro");
    GuiChoice *paro = g_list_model_get_item(G_LIST_MODEL(f->attentions), (guint)place);
    const char *clips = _("This model makes clips, without a second pass.");
    g_free(paro->error);
    paro->error = info->has_attention_table
                      ? NULL
                      : g_strdup(_("this model has no table for it (gen-quantize --attention)"));
    g_object_unref(paro);
    use_factory(f->attention_row); // its rows say so
    const gboolean begins = info->takes_pictures || info->begins_with_picture;
    gui_start_refuse(f->start, begins ? NULL : clips);
    gtk_widget_set_sensitive(GTK_WIDGET(f->hires_expander), info->takes_pictures);
    adw_expander_row_set_subtitle(f->hires_expander, info->takes_pictures ? "" : clips);
    gui_loras_refuse(f->loras, info->takes_loras ? NULL : _("This model takes no LoRAs."));
    gui_control_refuse(
        f->control,
        info->takes_control
            ? NULL
            : _("ControlNets are for Stable Diffusion and SDXL, not for this model."),
        info->has_control);
}

static void fill(AdwComboRow *row, GListStore **list, GListStore *from) {
    GtkExpression *label = gtk_property_expression_new(GUI_TYPE_CHOICE, NULL, "label");
    *list = from;
    adw_combo_row_set_expression(row, label);
    adw_combo_row_set_model(row, G_LIST_MODEL(from));
    gtk_expression_unref(label);
}

// The switch of an expander is libadwaita's own and has no name for screen readers.
static void name_switch(GtkWidget *widget, const char *name) {
    if (GTK_IS_SWITCH(widget)) {
        gtk_accessible_update_property(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name,
                                       -1);
    }
    for (GtkWidget *at = gtk_widget_get_first_child(widget); at;
         at = gtk_widget_get_next_sibling(at)) {
        name_switch(at, name);
    }
}

void gui_form_init_more(GuiForm *f) {
    name_switch(GTK_WIDGET(f->hires_expander), _("Use a second pass"));
    fill(f->attention_row, &f->attentions, list_attentions());
    fill(f->hires_upscaler_row, &f->upscalers, list_upscalers());
    gui_form_attention_chosen(f);
    gui_ignore_wheel(GTK_WIDGET(f->density_spin));
    gui_field_bind(GTK_WIDGET(f->attention_row), "attention", FALSE);
    gui_field_bind(GTK_WIDGET(f->hires_upscaler_row), "hires_upscaler", FALSE);
    for (size_t i = 0; i < G_N_ELEMENTS(hires_keys); ++i) {
        GtkWidget *spin = hires_spin(f, i);
        gui_field_bind(spin, hires_keys[i], strcmp(hires_keys[i], "hires_steps") == 0);
        gui_ignore_wheel(spin);
    }
    gtk_spin_button_set_value(f->hires_scale_spin, 2);
    gui_field_bind(GTK_WIDGET(f->hires_expander), "hires", FALSE);
}
