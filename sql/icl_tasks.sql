-- Who is to be answered, and what may be shown as examples?  (The ground that the in-context methods stand on.)
--
-- Setting 2 of the paper: every test user has one test prompt and a short history of train prompts with a liked and a
-- disliked response; a database of other users has longer ones.  Makes the tables below, which the method files read:
-- zero_shot.sql, k_shot.sql, self_k_shot.sql, metalearn_k_shot.sql, lookup_k_shot.sql.  Each of these puts finished
-- prompts into icl_prompts(method, user_id, prompt_id, ...), which generation_requests.sql sends to a model.
--
-- Embeddings are those of prompts and responses (a response's is that of prompt and response together); where any is
-- missing, text_embedding takes their place for all.
--
-- Needs: prompts, responses, users.  Test user n gets test prompt n, so there are as many tasks as the fewer of the
-- two.  The database's users are `database_users`, declared here unless there is such a table: never with the seed of
-- `users`, as equal seeds give equal people.  Settings: change a row of icl_settings, then read this file and a
-- method again.

-- A misspelt choice would quietly leave prompts without examples, so it is refused.
CREATE TABLE IF NOT EXISTS icl_settings(
  name TEXT PRIMARY KEY, value, meaning TEXT,
  CONSTRAINT "lookup_ranking is users or prompts" CHECK (name <> 'lookup_ranking' OR value IN ('users', 'prompts')),
  CONSTRAINT "k_shot_labels is own or row_0" CHECK (name <> 'k_shot_labels' OR value IN ('own', 'row_0')),
  CONSTRAINT "one_short and repeat_prompts are 0 or 1" CHECK (name NOT IN ('one_short', 'repeat_prompts') OR value IN (0, 1)),
  CONSTRAINT "shots, similar_users and embedded_interactions are whole numbers" CHECK (
    name NOT IN ('shots', 'similar_users', 'embedded_interactions') OR (typeof(value) = 'integer' AND value >= 0))
) WITHOUT ROWID;
INSERT OR IGNORE INTO icl_settings VALUES
  ('label', '', 'goes behind the method''s name, to keep prompts of several settings apart'),
  ('shots', 3, 'examples in a prompt'),
  ('prompt_options', '{"variant":"winning_only"}', 'options of icl_prompt'),
  ('history', 5, 'interactions of each test user'),
  ('database_history', 10, 'interactions of each database user (the published database: 50)'),
  ('embedded_interactions', 10,
   'of which the first n make a database user''s embedding and examples (published: 5, 10, 50)'),
  ('history_mode', 'best_worst', 'how pairs arise: best_worst, or random_pair as in the published test histories'),
  ('history_options', '{}', 'options of persona_interactions; published: {"scores":"raw","draws":"numpy"}'),
  ('history_seed', 27, 'of the test users'' histories; the database''s have this plus 1'),
  ('user_embedding', 'winning_minus_losing', 'kind of embed_user: winning_minus_losing, winning or losing'),
  ('similar_users', 20, 'database users that metalearn and lookup look at'),
  ('repeat_prompts', 0, '1: a prompt may be shown several times, with the choices of several users, as published'),
  ('one_short', 0, '1: the published loops that stop one interaction short (definitions.md#metalearn-k-shot)'),
  ('k_shot_labels', 'own',
   'whose taste labels k_shot''s examples: own, or row_0 as in the published defect (definitions.md#k-shot)'),
  ('lookup_ranking', 'users',
   'lookup''s examples: one of each ranked user, or the closest prompts of all (definitions.md#lookup)');

CREATE TABLE IF NOT EXISTS icl_prompts(
  method TEXT, user_id INTEGER, prompt_id INTEGER,
  examples INTEGER,  -- shown
  dropped INTEGER,   -- found, but over the budget or the number of shots
  tokens INTEGER,    -- of the examples, estimated
  prompt TEXT,
  settings TEXT,     -- JSON: icl_settings at the time
  PRIMARY KEY (method, user_id));

CREATE VIRTUAL TABLE IF NOT EXISTS database_users USING persona_users(count=1000, alpha=0.05, seed=1);

DROP TABLE IF EXISTS temp.icl_task;
CREATE TEMP TABLE icl_task(user_id INTEGER PRIMARY KEY, weights BLOB, prompt_id INTEGER, text TEXT);
INSERT INTO icl_task
  SELECT user_id, weights, prompt_id, text
  FROM (SELECT user_id, weights, row_number() OVER (ORDER BY user_id) AS n FROM users WHERE weights IS NOT NULL)
       JOIN (SELECT prompt_id, text, row_number() OVER (ORDER BY prompt_id) AS n FROM prompts WHERE split = 'test')
       USING (n);

DROP VIEW IF EXISTS temp.icl_setting;
CREATE TEMP VIEW icl_setting AS -- one row, a column for each
  SELECT max(value) FILTER (WHERE name = 'label') AS label, max(value) FILTER (WHERE name = 'shots') AS shots,
         max(value) FILTER (WHERE name = 'prompt_options') AS prompt_options,
         max(value) FILTER (WHERE name = 'history') AS history,
         max(value) FILTER (WHERE name = 'database_history') AS database_history,
         max(value) FILTER (WHERE name = 'embedded_interactions') AS embedded_interactions,
         max(value) FILTER (WHERE name = 'history_mode') AS history_mode,
         max(value) FILTER (WHERE name = 'history_options') AS history_options,
         max(value) FILTER (WHERE name = 'history_seed') AS history_seed,
         max(value) FILTER (WHERE name = 'user_embedding') AS user_embedding,
         max(value) FILTER (WHERE name = 'similar_users') AS similar_users,
         max(value) FILTER (WHERE name = 'repeat_prompts') AS repeat_prompts,
         max(value) FILTER (WHERE name = 'one_short') AS one_short,
         max(value) FILTER (WHERE name = 'k_shot_labels') AS k_shot_labels,
         max(value) FILTER (WHERE name = 'lookup_ranking') AS lookup_ranking,
         json_group_object(name, value) AS all_settings
  FROM icl_settings;

-- Histories: (user_id, turn, prompt_id, chosen_id, rejected_id, ...).
DROP TABLE IF EXISTS temp.icl_history;
CREATE TEMP TABLE icl_history AS
  SELECT i.* FROM icl_setting s,
    persona_interactions('icl_task', 'train', s.history, s.history_mode, s.history_seed, s.history_options) i;
CREATE INDEX temp.icl_history_turns ON icl_history(user_id, turn);
DROP TABLE IF EXISTS temp.icl_database;
CREATE TEMP TABLE icl_database AS
  SELECT i.* FROM icl_setting s,
    persona_interactions('database_users', 'train', s.database_history, s.history_mode, s.history_seed + 1,
                         s.history_options) i;
CREATE INDEX temp.icl_database_turns ON icl_database(user_id, turn);

-- Embeddings of prompts, and of the responses in the histories.
DROP TABLE IF EXISTS temp.icl_train_prompt;
CREATE TEMP TABLE icl_train_prompt(id INTEGER PRIMARY KEY, embedding BLOB);
DROP TABLE IF EXISTS temp.icl_test_prompt;
CREATE TEMP TABLE icl_test_prompt(id INTEGER PRIMARY KEY, embedding BLOB);
INSERT INTO icl_train_prompt
  SELECT prompt_id, iif((SELECT count(*) = count(embedding) FROM prompts), embedding, text_embedding(text))
  FROM prompts WHERE split = 'train';
INSERT INTO icl_test_prompt
  SELECT prompt_id, iif((SELECT count(*) = count(embedding) FROM prompts), embedding, text_embedding(text))
  FROM prompts WHERE prompt_id IN (SELECT prompt_id FROM icl_task);
DROP TABLE IF EXISTS temp.icl_response;
CREATE TEMP TABLE icl_response(response_id INTEGER PRIMARY KEY, embedding BLOB);
INSERT INTO icl_response
  SELECT r.response_id, iif((SELECT count(*) = count(embedding) FROM responses), r.embedding,
                            text_embedding(p.text || char(10) || r.text))
  FROM (SELECT chosen_id AS response_id FROM icl_history UNION SELECT rejected_id FROM icl_history
        UNION SELECT chosen_id FROM icl_database UNION SELECT rejected_id FROM icl_database) shown
  JOIN responses r USING (response_id) JOIN prompts p USING (prompt_id);

-- What a method fills with the examples of each task, and the prompts that come of it.
DROP TABLE IF EXISTS temp.icl_example;
CREATE TEMP TABLE icl_example(user_id INTEGER, rank INTEGER, prompt_id INTEGER,
                              chosen_id INTEGER, rejected_id INTEGER, PRIMARY KEY (user_id, rank));
DROP VIEW IF EXISTS temp.icl_finished;
CREATE TEMP VIEW icl_finished AS
  SELECT user_id, prompt_id, result ->> 'examples' AS examples, result ->> 'dropped' AS dropped,
         result ->> 'tokens' AS tokens, result ->> 'prompt' AS prompt, settings
  FROM (SELECT t.user_id, t.prompt_id, s.all_settings AS settings,
               icl_prompt(t.text, e.rank, p.text, c.text, r.text,
                          json_set(s.prompt_options, '$.shots', s.shots, '$.return', 'json')) AS result
        FROM icl_setting s, icl_task t LEFT JOIN icl_example e USING (user_id)
             LEFT JOIN prompts p ON p.prompt_id = e.prompt_id
             LEFT JOIN responses c ON c.response_id = e.chosen_id
             LEFT JOIN responses r ON r.response_id = e.rejected_id
        GROUP BY t.user_id);

SELECT (SELECT count(*) FROM icl_task) AS tasks, (SELECT count(*) FROM icl_history) AS test_interactions,
       (SELECT count(*) FROM icl_database) AS database_interactions,
       iif((SELECT count(*) = count(embedding) FROM responses), 'imported', 'text_embedding') AS embeddings;
