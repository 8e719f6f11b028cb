/*
** report.h: the parts of the HTML page that persona_report writes.
*/
#ifndef PLLM_REPORT_H
#define PLLM_REPORT_H

#include "show.h"

typedef struct PllmReport {
  sqlite3 *db;             /* not owned */
  PllmFigureSource source; /* populations and split; not owned */
  int charts;              /* the chart library is in the page */
  int figures;             /* drawn so far */
  sqlite3_str *nav, *body; /* links to the sections, and these */
  sqlite3_str *absent;     /* list items: what could not be shown, and why */
  size_t n_absent;
} PllmReport;

/*
** Append the sections.  What the database cannot give (PLLM_INVALID) is listed in `absent`; other failures end the
** report.
*/
PllmStatus pllm_ext_report_data(PllmReport *report, PllmError *err);    /* splits, reward models, populations */
PllmStatus pllm_ext_report_figures(PllmReport *report, PllmError *err); /* every figure of show_figures.c */
PllmStatus pllm_ext_report_runs(PllmReport *report, PllmError *err);    /* the table runs */
PllmStatus pllm_ext_report_prompts(PllmReport *report, PllmError *err); /* prompts that divide and unite users */
void pllm_ext_report_absent(PllmReport *report);

#endif
