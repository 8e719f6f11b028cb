/* Lines of the published data set, the evaluation set and the interaction database; the scale of reward models. */
#include "tap.h"

#include <stdlib.h>

static PllmJson *parse(const char *text) {
  PllmJson *json = NULL;
  PllmError err;
  if (pllm_json_parse(text, strlen(text), &json, &err) != PLLM_OK) printf("# %s: %s\n", err.text, text);
  return json;
}

/* The names a, b, c. */
static PllmNameList abc(void) {
  PllmNameList names = {0};
  pllm_name_list_add(&names, "a", NULL);
  pllm_name_list_add(&names, "b", NULL);
  pllm_name_list_add(&names, "c", NULL);
  return names;
}

static void test_names(void) {
  PllmNameList names = {0};
  PllmError err = {0};
  PllmJson *json =
      parse("{\"response_2_zeta\": 1, \"response_1_Alpha\": null, \"response_1\": \"x\", \"response_1_model\": 1,"
            "\"response_1_zeta\": 2, \"response_1_alpha\": 3, \"response_x_y\": 1, \"prompt_response_1_q\": 2,"
            "\"response_1_embedding\": [], \"response_1_beta_2\": 0}");
  tap_check(pllm_dataset_models(json, &names, &err) == PLLM_OK && names.count == 3, "three reward models");
  pllm_name_list_sort(&names);
  tap_check(names.count == 3 && strcmp(names.name[0], "Alpha") == 0 && strcmp(names.name[1], "beta_2") == 0 &&
                strcmp(names.name[2], "zeta") == 0,
            "sorted by bytes, each once whatever its case");
  tap_check(pllm_name_list_find(&names, "ZETA") == 2 && pllm_name_list_find(&names, "zet") < 0,
            "found without regard to case");
  pllm_json_free(json);
  pllm_name_list_free(&names);
  {
    char *text = malloc(1 << 20);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < 10000; i++) n += (size_t)sprintf(text + n, "%s\"response_1_m%d\":1", i ? "," : "", i);
    strcpy(text + n, "}");
    json = parse(text);
    tap_fails(pllm_dataset_models(json, &names, &err), PLLM_INVALID, &err,
              "key \"response_1_m256\" would be one reward model more than 256");
    pllm_json_free(json);
    pllm_name_list_free(&names);
    free(text);
  }
}

static void test_kinds(void) {
  static const struct {
    const char *text;
    PllmDatasetKind kind;
  } cases[] = {{"{\"prompt\": \"p\", \"response_1\": \"r\"}", PLLM_DATASET_PROMPTS},
               {"{}", PLLM_DATASET_PROMPTS},
               {"[1]", PLLM_DATASET_PROMPTS},
               {"{\"person_id\": 1, \"prompt_1\": \"p\"}", PLLM_DATASET_INTERACTIONS},
               {"{\"person_weight\": [1], \"test_prompt\": \"p\"}", PLLM_DATASET_EVAL},
               {"{\"prompt_id\": 1, \"prompt_embedding\": [1]}", PLLM_DATASET_EMBEDDINGS}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    PllmJson *json = parse(cases[i].text);
    tap_check(pllm_dataset_kind(json) == cases[i].kind, "the kind of %s", cases[i].text);
    pllm_json_free(json);
  }
}

static void test_prompt_line(void) {
  PllmNameList names = abc();
  PllmPromptLine line = {0};
  PllmError err = {0};
  double back[2];
  PllmJson *json =
      parse("{\"prompt_id\": 7, \"prompt\": \"p\", \"subset\": \"s\", \"id\": 3, \"response_1\": \"r1\","
            "\"response_1_model\": \"m1\", \"response_1_a\": 1.5, \"response_1_c\": -0.0,"
            "\"response_2\": null, \"response_2_model\": null, \"response_2_a\": null,"
            "\"response_3\": null, \"response_3_B\": 2, \"response_3_a\": 5e-324, \"response_3_c\": 1e308,"
            "\"prompt_embedding\": [1, -0.5], \"prompt_response_1_embedding\": [2, 3], "
            "\"response_3_embedding\": null}");
  tap_check(!pllm_prompt_line_try(json, &names, 0, &line), "an empty record is too small");
  tap_check(pllm_prompt_line_read(json, &names, 0, &line, &err) == PLLM_OK, "reading makes room");
  for (int again = 0; again < 2; again++) {
    tap_check(line.has_id == 1 && line.prompt_id == 7 && strcmp(line.prompt, "p") == 0 &&
                  strcmp(line.source, "s") == 0 && line.n_responses == 3,
              "the prompt%s", again ? ", again without allocating" : "");
    tap_check(line.responses[0].present && !line.responses[1].present && line.responses[2].present &&
                  !line.responses[2].text,
              "a response of nothing but nulls is none, one with scores is");
    tap_check(line.responses[0].n_scores == 2 && isnan(line.responses[0].scores[1]) &&
                  line.responses[0].scores[0] == 1.5 && line.responses[0].scores[2] == 0 &&
                  signbit(line.responses[0].scores[2]),
              "partial scores, in the order of the names");
    tap_check(line.responses[2].n_scores == 3 && line.responses[2].scores[1] == 2 &&
                  line.responses[2].scores[0] == 5e-324,
              "names are compared without case");
    tap_check(line.embedding.dim == 2 && line.responses[0].embedding.dim == 2 && !line.responses[2].embedding.f32,
              "embeddings");
    pllm_vector_load(line.responses[0].embedding.f32, PLLM_F32, 2, back);
    tap_check(back[0] == 2 && back[1] == 3, "of f32 numbers");
    if (!again) tap_check(pllm_prompt_line_try(json, &names, 0, &line), "now there is room");
  }
  pllm_json_free(json);
  json = parse("{\"prompt_id\": null, \"prompt\": null, \"response_1\": null}");
  tap_check(pllm_prompt_line_try(json, &names, 0, &line) && !line.has_id && !line.prompt && line.n_responses == 1 &&
                !line.responses[0].present,
            "nulls, and nothing left of the line before");
  pllm_json_free(json);
  json = parse("{\"prompt_id\": \"x1\", \"response_2_embedding\": [1]}");
  tap_check(pllm_prompt_line_try(json, &names, 1, &line) && line.has_id == 2 && strcmp(line.id_text, "x1") == 0,
            "a line of an embeddings file needs no texts; ids may be text");
  pllm_json_free(json);
  pllm_prompt_line_release(&line);
  pllm_name_list_free(&names);
}

static void test_bad_lines(void) {
  static const struct {
    const char *text, *want;
  } cases[] = {
      {"[1]", "the line is an array; an object is required"},
      {"3", "the line is a number; an object is required"},
      {"{}", "key \"prompt\" is missing"},
      {"{\"prompt\": \"p\"}", "key \"response_1\" is missing"},
      {"{\"prompt\": 1, \"response_1\": \"r\"}", "key \"prompt\" is a number; text is required"},
      {"{\"prompt\": \"p\", \"response_1\": [\"r\"]}", "key \"response_1\" is an array; text is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"subset\": {}}", "key \"subset\" is an object; text is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_a\": \"1\"}",
       "key \"response_1_a\" is text; a finite number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_a\": 1e999}",
       "key \"response_1_a\" is infinite; a finite number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_a\": true}",
       "key \"response_1_a\" is true or false; a finite number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_d\": 1}",
       "key \"response_1_d\": no reward model \"d\" in the table, which has 3 (a, ...)"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_a\": null, \"response_1_A\": 1}",
       "key \"response_1_A\" is given twice"},
      {"{\"prompt\": \"p\", \"prompt\": \"p\", \"response_1\": \"r\"}", "key \"prompt\" is given twice"},
      {"{\"prompt\": \"p\", \"response_1\": null, \"response_1\": \"r\"}", "key \"response_1\" is given twice"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_3\": \"r\"}",
       "key \"response_2\" is missing, but there is a response 3"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_2_a\": 1}",
       "key \"response_2\" is missing, but other keys of that response are there"},
      {"{\"prompt\": \"p\", \"response_0\": \"r\"}",
       "key \"response_0\" is not in the schema: responses are numbered from 1 to 4096"},
      {"{\"prompt\": \"p\", \"response_4097\": \"r\"}", "key \"response_4097\" is not in the schema"},
      {"{\"prompt\": \"p\", \"response_99999999999999999999999\": \"r\"}", "is not in the schema"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_\": 1}", "key \"response_1_\" is not in the schema"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_id\": 1.5}",
       "key \"prompt_id\" is 1.5; a whole number within +-9007199254740991 is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_id\": 9007199254740993}",
       "key \"prompt_id\" is 9007199254740992; a whole number within +-9007199254740991 is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_id\": -1e300}",
       "key \"prompt_id\" is -1e+300; a whole number"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_id\": 1e400}",
       "key \"prompt_id\" is infinite; a finite number"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_id\": []}",
       "key \"prompt_id\" is an array; a whole number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_embedding\": 1}",
       "key \"prompt_embedding\" is a number; an array of numbers is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"prompt_embedding\": []}",
       "key \"prompt_embedding\" is an array of 0 numbers; an embedding has 1 to 65536"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_embedding\": [1, null]}",
       "key \"response_1_embedding\": element 1 is null; a finite f32 number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_embedding\": [1e39]}",
       "key \"response_1_embedding\": element 0 is 1e+39; a finite f32 number is required"},
      {"{\"prompt\": \"p\", \"response_1\": \"r\", \"response_1_embedding\": [1], \"prompt_response_1_embedding\": "
       "[1]}",
       "key \"prompt_response_1_embedding\" is given twice"},
  };
  PllmNameList names = abc();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    PllmPromptLine line = {0};
    PllmError err = {0};
    PllmJson *json = parse(cases[i].text);
    tap_fails(pllm_prompt_line_read(json, &names, 0, &line, &err), PLLM_INVALID, &err, cases[i].want);
    tap_check(!pllm_prompt_line_try(json, &names, 0, &line), "and the helper refuses it too");
    pllm_json_free(json);
    pllm_prompt_line_release(&line);
  }
  pllm_name_list_free(&names);
}

static void test_user_line(void) {
  PllmUserLine u = {0};
  PllmError err = {0};
  double back[1];
  static const struct {
    const char *text, *want;
  } bad[] = {
      {"[]", "the line is an array; an object is required"},
      {"{\"person_weight\": [1, \"x\"]}", "key \"person_weight\": element 1 is text; a finite number is required"},
      {"{\"person_weight\": []}", "key \"person_weight\" is empty; an array of numbers is required"},
      {"{\"person_weight\": 1}", "key \"person_weight\" is a number; an array of numbers is required"},
      {"{\"person_id\": 0.5}", "key \"person_id\" is 0.5; a whole number"},
      {"{\"chosen_1\": \"c\"}", "key \"chosen_1\" is \"c\"; \"a\", \"b\" or null is required"},
      {"{\"chosen_1\": 1}", "key \"chosen_1\" is a number; text is required"},
      {"{\"prompt_1\": 1}", "key \"prompt_1\" is a number; text is required"},
      {"{\"prompt_5000\": \"x\"}", "key \"prompt_5000\" is not in the schema: numbers run from 1 to 4096"},
      {"{\"person_id\": 1, \"chosen_1\": null, \"person_id\": 1}", "key \"person_id\" is given twice"},
      {"{\"reward_2\": \"x\"}", "key \"reward_2\" is text; a finite number is required"},
      {"{\"prompt_1_embedding\": [\"x\"]}",
       "key \"prompt_1_embedding\": element 0 is text; a finite f32 number is required"},
  };
  PllmJson *json = parse(
      "{\"person_id\": 3, \"person_weight\": [0.25, 0.75], \"prompt_1\": \"p\", \"response_1_a\": \"x\","
      "\"response_1_b\": \"y\", \"chosen_1\": \"b\", \"prompt_2\": \"q\", \"response_2\": \"z\", \"reward_2\": -1,"
      "\"prompt_3\": null, \"chosen_3\": null, \"user_history_length\": 2.0, \"test_prompt\": \"t\","
      "\"best_response_reward\": 0.5, \"prompt_response_1_b_embedding\": [9], \"test_prompt_embedding\": [1, 2],"
      "\"user_embedding_avg_winning\": [4], \"user_embedding_avg_losing_3\": [5],"
      "\"user_embedding_avg_win_minus_lose_3\": [6], \"user_embedding_avg_winning_x\": 1}");
  tap_check(pllm_user_line_read(json, &u, &err) == PLLM_OK, "a line with everything: %s", err.text);
  tap_check(u.has_id && u.person_id == 3 && u.n_weights == 2 && u.weights[1] == 0.75 && u.has_length &&
                u.history_length == 2 && strcmp(u.test_prompt, "t") == 0 && u.has_best_reward &&
                u.best_reward == 0.5 && !u.has_gpt4o_reward && u.test_embedding.dim == 2,
            "the user");
  tap_check(u.n_turns == 3 && u.turns[0].present && strcmp(u.turns[0].chosen, "b") == 0 &&
                strcmp(u.turns[0].response_b, "y") == 0 && !u.turns[2].present,
            "pairs, and a turn past the end");
  tap_check(u.turns[1].has_reward && u.turns[1].reward == -1 && strcmp(u.turns[1].response_a, "z") == 0,
            "reward feedback");
  pllm_vector_load(u.turns[0].b_embedding.f32, PLLM_F32, 1, back);
  tap_check(back[0] == 9 && !u.turns[0].a_embedding.f32, "the embeddings of a turn");
  tap_check(u.n_embeddings == 2 && u.embeddings[0].interactions == 0 && u.embeddings[1].interactions == 3 &&
                u.embeddings[1].losing.dim == 1 && u.embeddings[1].difference.dim == 1 &&
                !u.embeddings[1].winning.f32,
            "user embeddings, one entry for each n");
  pllm_json_free(json);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    json = parse(bad[i].text);
    tap_fails(pllm_user_line_read(json, &u, &err), PLLM_INVALID, &err, bad[i].want);
    pllm_json_free(json);
  }
  json = parse("{\"person_id\": 4}");
  tap_check(pllm_user_line_read(json, &u, &err) == PLLM_OK && u.n_turns == 0 && u.n_weights == 0 &&
                u.n_embeddings == 0,
            "nothing is left of the line before");
  pllm_json_free(json);
  pllm_user_line_release(&u);
}

static void test_scale(void) {
  PllmMoments m = {0};
  PllmError err = {0};
  double mean, sd;
  PllmJson *json =
      parse("{\"a\": {\"mean\": 1, \"sd\": 2, \"n\": 0}, \"b\": {\"mean\": 1}, \"c\": {\"mean\": \"1\", \"sd\": 1},"
            "\"d\": {\"mean\": 1, \"sd\": 0}, \"e\": [1, 2]}");
  tap_check(pllm_moments_sd(&m) == 0, "no scores, no spread");
  for (int i = 0; i < 4; i++) pllm_moments_add(&m, 1e9 + i);
  tap_close(m.mean, 1e9 + 1.5, 1e-15, "the mean");
  tap_close(pllm_moments_sd(&m), sqrt(1.25), 1e-12, "the population standard deviation, far from zero");
  tap_check(pllm_published_scale("oasst_pythia_7b", &mean, &sd) && mean == 4.706351243972779 &&
                sd == 1.3659142113789966,
            "a published scale");
  tap_check(!pllm_published_scale("pythia", &mean, &sd), "an unpublished one");
  tap_check(pllm_scale_read(json, "a", &mean, &sd, &err) == PLLM_OK && mean == 1 && sd == 2, "a scale from a file");
  tap_fails(pllm_scale_read(json, "z", &mean, &sd, &err), PLLM_INVALID, &err, "no entry for reward model \"z\"");
  tap_fails(pllm_scale_read(json, "b", &mean, &sd, &err), PLLM_INVALID, &err,
            "reward model \"b\": key \"sd\" is missing");
  tap_fails(pllm_scale_read(json, "c", &mean, &sd, &err), PLLM_INVALID, &err,
            "key \"mean\" is text; a finite number");
  tap_fails(pllm_scale_read(json, "d", &mean, &sd, &err), PLLM_INVALID, &err,
            "key \"sd\" is 0; a positive number is required");
  tap_fails(pllm_scale_read(json, "e", &mean, &sd, &err), PLLM_INVALID, &err,
            "reward model \"e\" is an array; an object");
  pllm_json_free(json);
}

int main(void) {
  test_names();
  test_kinds();
  test_prompt_line();
  test_bad_lines();
  test_user_line();
  test_scale();
  return tap_done();
}
