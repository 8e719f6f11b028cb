/*
** show_figures.c: what figures there are, and what each reads.
**
**   persona_chart   reads                           columns (those in brackets are drawn where they are there)
**   diversity       votes, sql/top_share.sql        top_vote_share, percent_of_prompts [population] [published]
**   winners         votes, sql/winners.sql          different_winners, share [population] [prompts]
**   win_rates       votes, sql/win_rates.sql        model, best_percent [population] [worst_percent]
**   entropy         votes, sql/entropy.sql          keyword, mean_entropy [population] [published] [prompts]
**   coefficients    table coefficients              feature, median, low, q1, q3, high [published]
**   fewshot         table fewshot                   method, interactions, captured_share [top1] [low, high]
**   continual       table continual                 method, turn, regret [low, high]
**   leaderboard     table leaderboard               method, score [low, high]
**
** `published` is the paper's own figure, low and high are the ends of an interval (of whiskers in coefficients).
*/
#include "show.h"
#include "show_texts.h"

#include <string.h>

#define TEXT(name) ((const char *)pllm_show_##name)

const PllmFigure pllm_ext_figures[] = {
    {
        .name = "diversity",
        .title = "How often users agree on the best response",
        .question = "Each user votes for the response with the highest utility. The share of a prompt's most popular "
                    "response says how much users agree on it (Figure 3, left, of the paper).",
        .reading = "Bars: percentile rank of 50, 75 and 95 % agreement among the prompts.",
        .sql = TEXT(top_share_sql),
        .made_by = "sql/top_share.sql",
        .label = "top_vote_share",
        .series = "population",
        .value = "percent_of_prompts",
        .value_title = "% of prompts",
        .value_format = ",~r",
        .optional = {{"published", "Marks: the paper's test split at alpha 0.05."}},
        .spec = TEXT(diversity_json_in),
    },
    {
        .name = "winners",
        .title = "How many responses are somebody's favourite",
        .question = "The number of responses of a prompt that at least one user likes best (Figure 3, middle, of the "
                    "paper, with exact counts).",
        .reading = "Bars: share of prompts with so many different winners.",
        .sql = TEXT(winners_sql),
        .made_by = "sql/winners.sql",
        .label = "different_winners",
        .series = "population",
        .value = "share",
        .value_title = "share of prompts",
        .value_format = ".0%",
        .optional = {{"prompts", NULL}},
        .spec = TEXT(winners_json_in),
    },
    {
        .name = "win_rates",
        .title = "Whose responses users like best",
        .question = "Each model's share of all votes of all users on all prompts (Figure 3, right, of the paper).",
        .reading = "Bars: votes for the best response.",
        .sql = TEXT(win_rates_sql),
        .made_by = "sql/win_rates.sql",
        .label = "model",
        .series = "population",
        .value = "best_percent",
        .value_title = "% of votes",
        .value_format = ",~r",
        .optional = {{"worst_percent", "Marks: votes for the worst."}},
        .spec = TEXT(win_rates_json_in),
    },
    {
        .name = "entropy",
        .title = "Which prompts divide users",
        .question =
            "The entropy of a prompt's votes says how much users disagree on it. Prompts with a keyword against "
            "all prompts (the paper's keywords).",
        .reading = "Bars: mean entropy in nats.",
        .sql = TEXT(entropy_sql),
        .made_by = "sql/entropy.sql",
        .label = "keyword",
        .series = "population",
        .value = "mean_entropy",
        .value_title = "mean entropy (nats)",
        .value_format = ",~r",
        .optional = {{"published", "Marks: the paper's train split at alpha 0.05."}, {"prompts", NULL}},
        .spec = TEXT(entropy_json_in),
    },
    {
        .name = "coefficients",
        .title = "What users reward in a text",
        .question = "One logistic regression a user tells the favourite responses from the least preferred by "
                    "features of the text "
                    "(the paper's regressions).",
        .reading = "Boxes: middle half of the users' coefficients, with the median. Lines: to the farthest within 1.5 times "
                   "the box's width of it.",
        .table = "coefficients",
        .made_by = "sql/coefficients.sql",
        .label = "feature",
        .value = "median",
        .value_title = "standardised coefficient",
        .value_format = ",~r",
        .numbers = {"low", "q1", "q3", "high"},
        .optional = {{"published", "Diamonds: the paper's medians."}},
        .spec = TEXT(coefficients_json_in),
    },
    {
        .name = "fewshot",
        .title = "What a few interactions teach",
        .question = "Every user gives feedback on a few prompts; each method turns it into weights, and these pick a "
                    "response to every test prompt.",
        .reading = "Lines: share of what personalisation can gain over a random response, by the number of "
                   "interactions.",
        .table = "fewshot",
        .made_by = "sql/adaptation.sql",
        .label = "interactions",
        .series = "method",
        .value = "captured_share",
        .value_title = "captured share",
        .value_format = ".0%",
        .optional = {{"top1", NULL}, {"low", NULL}, {"high", "Bands: intervals."}},
        .spec = TEXT(fewshot_json_in),
    },
    {
        .name = "continual",
        .title = "Adapting to users who change",
        .question = "Users' tastes drift while they are learned from, turn by turn.",
        .reading = "Lines: regret, what the chosen response lacks to the best one, by turn.",
        .table = "continual",
        .made_by = "sql/continual.sql",
        .label = "turn",
        .series = "method",
        .value = "regret",
        .value_title = "regret (units of utility)",
        .value_format = ",~r",
        .optional = {{"low", NULL}, {"high", "Bands: intervals."}},
        .spec = TEXT(continual_json_in),
    },
    {
        .name = "leaderboard",
        .title = "Methods compared",
        .question = "One score a method: what the table or view leaderboard holds. sql/leaderboard.sql takes the captured share "
                    "after five interactions.",
        .reading = "Bars: score.",
        .table = "leaderboard",
        .made_by = "sql/leaderboard.sql after sql/adaptation.sql",
        .label = "method",
        .value = "score",
        .value_title = "score",
        .value_format = ",~r",
        .optional = {{"low", NULL}, {"high", "Lines: intervals."}},
        .spec = TEXT(leaderboard_json_in),
    },
};
const size_t pllm_ext_n_figures = sizeof pllm_ext_figures / sizeof *pllm_ext_figures;

PllmStatus pllm_ext_figure_find(const char *name, const PllmFigure **figure, PllmError *err) {
  char known[PLLM_ERROR_TEXT / 2] = "";
  for (size_t i = 0; i < pllm_ext_n_figures; i++) {
    size_t used = strlen(known);
    if (strcmp(pllm_ext_figures[i].name, name) == 0) {
      *figure = &pllm_ext_figures[i];
      return PLLM_OK;
    }
    sqlite3_snprintf((int)(sizeof known - used), known + used, "%s%s", i ? ", " : "", pllm_ext_figures[i].name);
  }
  return pllm_fail(err, PLLM_INVALID, "unknown chart \"%.60s\"; known charts: %s", name, known);
}
