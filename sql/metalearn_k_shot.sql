-- Can other users' histories stand in for one's own?
--
-- MetaLearn-K-shot (definitions.md#metalearn-k-shot): find the database users whose embeddings are most similar to
-- the test user's, and among their interactions those whose prompts are most similar to the test prompt; on ties the
-- more similar user, then the earlier interaction comes first.  Candidates are restricted to the similar users before
-- the closest are taken.  The similarity of two prompts is the same whoever is looking, so it is computed once for
-- each pair of prompts.
--
-- Settings: similar_users, user_embedding, embedded_interactions; one_short 1 leaves out the last of a user's n
-- interactions, as the published loop does; repeat_prompts 1 shows one prompt several times where similar users share
-- it.
--
-- Needs: sql/icl_tasks.sql.  Fills icl_prompts, method metalearn_k_shot.

DROP TABLE IF EXISTS temp.icl_test_user;
CREATE TEMP TABLE icl_test_user(id INTEGER PRIMARY KEY, embedding BLOB);
INSERT INTO icl_test_user
  SELECT h.user_id, embed_user(c.embedding, r.embedding, s.user_embedding)
  FROM icl_setting s, icl_history h JOIN icl_response c ON c.response_id = h.chosen_id
       JOIN icl_response r ON r.response_id = h.rejected_id
  GROUP BY h.user_id;
DROP TABLE IF EXISTS temp.icl_database_user;
CREATE TEMP TABLE icl_database_user(id INTEGER PRIMARY KEY, embedding BLOB);
INSERT INTO icl_database_user
  SELECT h.user_id, embed_user(c.embedding, r.embedding, s.user_embedding)
  FROM icl_setting s, icl_database h JOIN icl_response c ON c.response_id = h.chosen_id
       JOIN icl_response r ON r.response_id = h.rejected_id
  WHERE h.turn <= s.embedded_interactions
  GROUP BY h.user_id;

-- The interactions of each task's similar users.
DROP TABLE IF EXISTS temp.icl_candidate;
CREATE TEMP TABLE icl_candidate(test_prompt INTEGER, prompt_id INTEGER, user_id INTEGER, user_rank INTEGER,
                                turn INTEGER, chosen_id INTEGER, rejected_id INTEGER,
                                PRIMARY KEY (test_prompt, prompt_id, user_rank, turn)) WITHOUT ROWID;
INSERT INTO icl_candidate
  SELECT t.prompt_id, d.prompt_id, t.user_id, n.rank, d.turn, d.chosen_id, d.rejected_id
  FROM icl_setting s, persona_neighbors('icl_database_user', 'icl_test_user', s.similar_users) n
       JOIN icl_task t ON t.user_id = n.query_id JOIN icl_database d ON d.user_id = n.id
  WHERE d.turn <= s.embedded_interactions - s.one_short;

DELETE FROM icl_example;
INSERT INTO icl_example
  WITH ranked AS (
    SELECT c.*, n.rank AS prompt_rank, n.similarity,
           row_number() OVER (PARTITION BY c.test_prompt, c.prompt_id ORDER BY c.user_rank, c.turn) AS copy
    FROM persona_neighbors('icl_train_prompt', 'icl_test_prompt', (SELECT max(count(*), 1) FROM icl_train_prompt)) n
         JOIN icl_candidate c ON c.test_prompt = n.query_id AND c.prompt_id = n.id
  ), taken AS (
    SELECT r.*, row_number() OVER (PARTITION BY user_id ORDER BY similarity DESC, user_rank, turn) AS rank
    FROM icl_setting s, ranked r WHERE s.repeat_prompts OR copy = 1
  )
  SELECT user_id, rank, prompt_id, chosen_id, rejected_id FROM icl_setting s, taken WHERE rank <= s.shots;

DELETE FROM icl_prompts WHERE method = (SELECT trim('metalearn_k_shot ' || label) FROM icl_setting);
INSERT INTO icl_prompts SELECT trim('metalearn_k_shot ' || s.label), f.* FROM icl_setting s, icl_finished f;

SELECT method, count(*) AS prompts, avg(examples) AS examples
FROM icl_prompts WHERE method LIKE 'metalearn_k_shot%' GROUP BY method;
