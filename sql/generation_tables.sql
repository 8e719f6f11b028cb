-- What does a language model make of the prompts?  (The tables of the generation loop.)
--
-- The loop: prompts (icl_prompts) -> requests, as a file -> a model, anywhere -> answers, as a file -> scores of the
-- answers by the reward models -> a row of `runs`.  Every step can be repeated, at any time and in any order: what is
-- known stays, what is missing is asked again, and reading a file twice changes nothing.  In the shell:
--
--   .read sql/generation_tables.sql
--   UPDATE generation_settings SET value = 'k_shot' WHERE name = 'run';            -- which of icl_prompts' methods
--   .mode list
--   .headers off
--   .output requests.jsonl
--   .read sql/generation_requests.sql                                              -- requests without an answer yet
--   .output
--   .shell vllm run-batch -i requests.jsonl -o answers.jsonl --model meta-llama/Meta-Llama-3-8B-Instruct
--   .read sql/generation_answers.sql                                               -- reads answers.jsonl
--   .read sql/generation_style_scores.sql                                          -- or generation_scores.sql
--   .read sql/generation_run.sql                                                   -- measures, and a row of runs
--
-- Needs: prompts, responses, users, icl_prompts (sql/icl_tasks.sql and a method).

CREATE TABLE IF NOT EXISTS generation_settings(name TEXT PRIMARY KEY, value, meaning TEXT) WITHOUT ROWID;
INSERT OR IGNORE INTO generation_settings VALUES
  ('run', 'zero_shot', 'the method of icl_prompts to generate for; the run''s name'),
  ('request_options', '{"seed":27}', 'options of chat_request: model, temperature, endpoint, ...'),
  ('answers', 'answers.jsonl', 'the file that generation_answers.sql reads'),
  ('scores', 'scores.jsonl', 'the file that generation_scores.sql reads'),
  ('reward_model', '', 'which reward model a batch is scored by, where its lines do not say'),
  ('scorer', '', 'what computed the scores, where their lines do not say; as batch_size and precision'),
  ('batch_size', NULL, 'responses scored together: 1 for the published scores, 16 in the published evaluations'),
  ('precision', '', 'number format the scorer computed in: bfloat16, float32, ...'),
  ('reference', '', 'win rates also against this model''s stored response; the name may lack its maker and variant'),
  ('allow_incomplete', 0, '1: measure what there is although some tasks have no answer or not all scores'),
  ('compare', NULL, 'run_ids of the two runs that compare.sql compares, as JSON: [1, 2]; NULL: the last two');

CREATE TABLE IF NOT EXISTS generations(
  run TEXT, user_id INTEGER, prompt_id INTEGER,
  custom_id TEXT UNIQUE,      -- run/user_id: how answers and scores find their row
  prompt TEXT,                -- what was asked; stays once there is an answer
  answer TEXT,                -- NULL until there is one
  finish_reason TEXT,         -- as the server says: stop, length, ...
  answered_by TEXT,           -- the model, as the server says
  error TEXT,                 -- of the last attempt, NULL once there is an answer
  settings TEXT,              -- JSON: icl_settings, and the options of the request
  PRIMARY KEY (run, user_id));

CREATE TABLE IF NOT EXISTS generation_scores(
  run TEXT, user_id INTEGER, name TEXT COLLATE NOCASE, -- of the reward model
  score REAL,                                          -- raw, as the reward model returned it
  scorer TEXT, batch_size INTEGER, precision TEXT,     -- what computed it, how
  PRIMARY KEY (run, user_id, name)) WITHOUT ROWID;
-- Scores are of an answer: a new answer has none.
CREATE TRIGGER IF NOT EXISTS generation_answer_changed AFTER UPDATE OF answer ON generations
WHEN old.answer IS NOT new.answer
BEGIN
  DELETE FROM generation_scores WHERE run = new.run AND user_id = new.user_id;
END;

CREATE TABLE IF NOT EXISTS runs(
  run_id INTEGER PRIMARY KEY, run TEXT,
  seed INTEGER,               -- of the requests
  options TEXT,               -- JSON: settings of the prompts, options of the requests, model that answered
  scorer TEXT,                -- JSON array of [scorer, batch_size, precision]
  data TEXT,                  -- fingerprint of prompts, responses, normalisation and users
  tasks INTEGER, n INTEGER,   -- asked; answered and fully scored
  total_score REAL, total_score_low REAL, total_score_high REAL,
  win_best REAL, win_best_low REAL, win_best_high REAL,
  reference TEXT, reference_n INTEGER,
  win_reference REAL, win_reference_low REAL, win_reference_high REAL,
  allow_incomplete INTEGER);
CREATE TABLE IF NOT EXISTS run_items(
  run_id INTEGER, user_id INTEGER, prompt_id INTEGER, score REAL, best_reward REAL, reference_reward REAL,
  PRIMARY KEY (run_id, user_id)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS runs_complete BEFORE INSERT ON runs WHEN NOT new.allow_incomplete
BEGIN
  SELECT RAISE(ABORT, 'runs: no task of this run; set generation_settings.run and read sql/generation_requests.sql')
    WHERE new.tasks = 0;
  SELECT RAISE(ABORT, 'runs: tasks lack an answer or scores (generation_coverage); allow_incomplete = 1 measures the rest')
    WHERE new.n < new.tasks;
  SELECT RAISE(ABORT, 'runs: the reference model lacks scored responses to some prompts; allow_incomplete = 1 drops those')
    WHERE new.reference <> '' AND new.reference_n < new.n;
END;

DROP VIEW IF EXISTS temp.generation_setting;
CREATE TEMP VIEW generation_setting AS -- one row, a column for each
  SELECT max(value) FILTER (WHERE name = 'run') AS run,
         coalesce(max(value) FILTER (WHERE name = 'request_options'), '{}') AS request_options,
         max(value) FILTER (WHERE name = 'answers') AS answers, max(value) FILTER (WHERE name = 'scores') AS scores,
         max(value) FILTER (WHERE name = 'reward_model') AS reward_model,
         max(value) FILTER (WHERE name = 'scorer') AS scorer,
         max(value) FILTER (WHERE name = 'batch_size') AS batch_size,
         max(value) FILTER (WHERE name = 'precision') AS precision,
         coalesce(max(value) FILTER (WHERE name = 'reference'), '') AS reference,
         coalesce(max(value) FILTER (WHERE name = 'allow_incomplete'), 0) AS allow_incomplete,
         max(value) FILTER (WHERE name = 'compare') AS compare
  FROM generation_settings;

-- What each run still lacks.
DROP VIEW IF EXISTS temp.generation_coverage;
CREATE TEMP VIEW generation_coverage AS
  SELECT g.run, count(*) AS tasks, count(g.answer) AS answered, sum(g.error IS NOT NULL) AS failed,
         sum(g.answer IS NOT NULL AND s.scores IS (SELECT count(*) FROM reward_models)) AS scored,
         sum(g.finish_reason IS 'length') AS cut_off,
         sum(g.answer IS NOT NULL AND p.prompt IS NOT g.prompt) AS prompt_changed
  FROM generations g
       LEFT JOIN (SELECT run, user_id, count(*) AS scores
                  FROM generation_scores JOIN reward_models USING (name) GROUP BY 1, 2) s
         ON s.run = g.run AND s.user_id = g.user_id
       LEFT JOIN icl_prompts p ON p.method = g.run AND p.user_id = g.user_id
  GROUP BY g.run;
