-- Is it better to look for the prompt first, then for the user?
--
-- LookUp (definitions.md#lookup).  1: walk through the database's interactions from the prompt most similar to the
-- test prompt on, and collect users until there are similar_users of them, each with the interaction that brought it
-- in.  2: rank these users by how well their histories match the test user's: the mean over the test user's responses
-- of the best cosine with one of theirs (liked responses, disliked ones or both, as the variant shows).  3: with
-- lookup_ranking 'users' the first users give one example each, the one that brought them in; with 'prompts' the
-- examples are the closest prompts of all ranked users' interactions.
--
-- Settings: similar_users, embedded_interactions, lookup_ranking; one_short 1 leaves out the last of the test user's
-- interactions in step 2 and of the database users' in step 3, as the published loops do; repeat_prompts 0 never
-- shows a prompt twice, with 'users' never with the same liked response, so that fewer users than shots may be left.
--
-- Needs: sql/icl_tasks.sql.  Fills icl_prompts, method lookup_k_shot.

-- The responses by which histories are compared: side 1 liked, 0 disliked.
DROP TABLE IF EXISTS temp.icl_side;
CREATE TEMP TABLE icl_side AS
  SELECT side.value AS liked
  FROM icl_setting s, json_each(CASE coalesce(s.prompt_options ->> 'variant', 'winning_only')
    WHEN 'winning_only' THEN '[1]' WHEN 'winning_and_losing' THEN '[1,0]' WHEN 'none' THEN '[]' ELSE '[0]' END) side;
DROP TABLE IF EXISTS temp.icl_direction;
CREATE TEMP TABLE icl_direction(response_id INTEGER PRIMARY KEY, norm REAL, wide BLOB);
INSERT INTO icl_direction
  SELECT response_id, sqrt(persona_reward(wide, embedding)), wide
  FROM (SELECT response_id, embedding, persona_vector(embedding, 'f32', 'f64') AS wide FROM icl_response);

DROP TABLE IF EXISTS temp.icl_listed; -- step 1
CREATE TEMP TABLE icl_listed(task INTEGER, at INTEGER, user_id INTEGER, turn INTEGER, prompt_id INTEGER,
                             PRIMARY KEY (task, at)) WITHOUT ROWID;
INSERT INTO icl_listed
  WITH busy AS MATERIALIZED (
    SELECT prompt_id, count(*) AS interactions FROM icl_database, icl_setting
    WHERE turn <= embedded_interactions
    GROUP BY 1
  ), enough AS ( -- A user has at most embedded_interactions, so similar_users times as many reach enough users; so
                 -- many prompts have as many interactions, whichever prompts come first.
    SELECT max(count(*) + (SELECT count(*) FROM icl_train_prompt) - (SELECT count(*) FROM busy) + 1, 1) AS prompts
    FROM icl_setting s, (SELECT sum(interactions) OVER (ORDER BY interactions, prompt_id) AS least FROM busy)
    WHERE least < s.similar_users * s.embedded_interactions
  ), walk AS (
    SELECT n.query_id, n.id AS prompt_id, n.similarity,
           sum(b.interactions) OVER (PARTITION BY n.query_id ORDER BY n.rank) - b.interactions AS before
    FROM persona_neighbors('icl_train_prompt', 'icl_test_prompt', (SELECT prompts FROM enough)) n
         JOIN busy b ON b.prompt_id = n.id
  ), met AS (
    SELECT t.user_id AS task, d.user_id, d.turn, d.prompt_id, w.similarity,
           row_number() OVER (PARTITION BY t.user_id, d.user_id ORDER BY w.similarity DESC, d.turn) AS nth
    FROM icl_setting s, walk w JOIN icl_task t ON t.prompt_id = w.query_id
         JOIN icl_database d ON d.prompt_id = w.prompt_id
    WHERE d.turn <= s.embedded_interactions AND w.before < s.similar_users * s.embedded_interactions
  ), listed AS (
    SELECT task, row_number() OVER (PARTITION BY task ORDER BY similarity DESC, user_id) AS at,
           user_id, turn, prompt_id
    FROM met WHERE nth = 1
  )
  SELECT l.* FROM icl_setting s, listed l WHERE at <= s.similar_users;

DROP TABLE IF EXISTS temp.icl_ranked; -- step 2
CREATE TEMP TABLE icl_ranked(task INTEGER, user_rank INTEGER, user_id INTEGER, turn INTEGER, prompt_id INTEGER,
                             PRIMARY KEY (task, user_rank)) WITHOUT ROWID;
INSERT INTO icl_ranked
  WITH mine AS MATERIALIZED (
    SELECT h.user_id AS task, h.turn, side.liked, d.wide, d.norm
    FROM icl_setting s, icl_history h JOIN icl_side side
         JOIN icl_direction d ON d.response_id = iif(side.liked, h.chosen_id, h.rejected_id)
    WHERE h.turn <= s.history - s.one_short
  ), best AS ( -- a subquery for each pair, as grouping would sort the vectors of all pairs
    SELECT l.task, l.at,
           (SELECT max(coalesce(persona_reward(m.wide, e.embedding) / nullif(m.norm * o.norm, 0), 0))
            FROM icl_database h JOIN icl_side side
                 JOIN icl_direction o ON o.response_id = iif(side.liked, h.chosen_id, h.rejected_id)
                 JOIN icl_response e ON e.response_id = o.response_id
            WHERE h.user_id = l.user_id AND h.turn <= s.embedded_interactions) AS cosine
    FROM icl_setting s, icl_listed l JOIN mine m ON m.task = l.task
  ), score AS (
    SELECT task, at, avg(cosine) AS score FROM best GROUP BY task, at
  )
  SELECT l.task, row_number() OVER (PARTITION BY l.task ORDER BY score DESC, l.at), l.user_id, l.turn, l.prompt_id
  FROM score JOIN icl_listed l USING (task, at);

DELETE FROM icl_example; -- step 3
INSERT INTO icl_example
  WITH candidate AS ( -- each ranked user's interaction that brought it in
    SELECT r.task, r.user_rank, r.turn, r.prompt_id, 0 AS similarity, r.user_id, d.chosen_id AS chosen
    FROM icl_setting s, icl_ranked r JOIN icl_database d USING (user_id, turn) WHERE s.lookup_ranking = 'users'
    UNION ALL -- or all interactions of the ranked users, by how close their prompts are
    SELECT r.task, r.user_rank, d.turn, d.prompt_id, n.similarity, r.user_id, NULL
    FROM icl_setting s, persona_neighbors('icl_train_prompt', 'icl_test_prompt',
           (SELECT iif(lookup_ranking = 'prompts', max(count(*), 1), 1) FROM icl_setting, icl_train_prompt)) n
         JOIN icl_task t ON t.prompt_id = n.query_id JOIN icl_ranked r ON r.task = t.user_id
         JOIN icl_database d ON d.user_id = r.user_id AND d.prompt_id = n.id
    WHERE s.lookup_ranking = 'prompts' AND d.turn <= s.embedded_interactions - s.one_short
  ), counted AS (
    SELECT *,
           row_number() OVER (PARTITION BY task, prompt_id, chosen ORDER BY similarity DESC, user_rank, turn) AS copy
    FROM candidate
  ), taken AS (
    SELECT c.*, row_number() OVER (PARTITION BY task ORDER BY similarity DESC, user_rank, turn) AS rank
    FROM icl_setting s, counted c WHERE s.repeat_prompts OR copy = 1
  )
  SELECT k.task, k.rank, k.prompt_id, d.chosen_id, d.rejected_id
  FROM icl_setting s, taken k JOIN icl_database d ON d.user_id = k.user_id AND d.turn = k.turn
  WHERE k.rank <= s.shots;

DELETE FROM icl_prompts WHERE method = (SELECT trim('lookup_k_shot ' || label) FROM icl_setting);
INSERT INTO icl_prompts SELECT trim('lookup_k_shot ' || s.label), f.* FROM icl_setting s, icl_finished f;

SELECT method, count(*) AS prompts, avg(examples) AS examples
FROM icl_prompts WHERE method LIKE 'lookup_k_shot%' GROUP BY method;
