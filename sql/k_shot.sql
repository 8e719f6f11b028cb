-- Does it help to show a model what the user would like best for similar prompts?
--
-- K-shot on similar prompts, setting 1 of the paper (definitions.md#k-shot): the train prompts most similar to the
-- test prompt, with the user's best and worst of the stored responses (first on ties) as winner and loser.
--
-- Setting k_shot_labels 'row_0' is the published defect: the weights of the first test user for everyone, raw scores,
-- and the weights paired with the reward models in an order that is not theirs (the published order of the ten names;
-- with other reward models, the order they have).  What it measures is not personalisation.
--
-- Needs: sql/icl_tasks.sql.  Fills icl_prompts, method k_shot.

DROP TABLE IF EXISTS temp.icl_taste;
CREATE TEMP TABLE icl_taste(user_id INTEGER PRIMARY KEY, weights BLOB, raw INTEGER);
INSERT INTO icl_taste SELECT user_id, weights, 0 FROM icl_task, icl_setting WHERE k_shot_labels = 'own';
WITH published(at, name) AS (
  VALUES (0, 'gemma_2b'), (1, 'gemma_7b'), (2, 'mistral_raft'), (3, 'mistral_ray'), (4, 'mistral_weqweasdas'),
         (5, 'llama3_sfairx'), (6, 'oasst_deberta_v3'), (7, 'beaver_7b'), (8, 'oasst_pythia_7b'),
         (9, 'oasst_pythia_1b')
), paired AS ( -- which of the weights each reward model gets
  SELECT m.position, coalesce(p.at, m.position - 1) AS at
  FROM reward_models m LEFT JOIN published p
    ON p.name = m.name AND (SELECT count(*) FROM reward_models JOIN published USING (name)) = 10
  ORDER BY m.position
), row_0 AS (
  SELECT persona_vector((SELECT json_group_array(json_extract(j, '$[' || at || ']')) FROM paired)) AS weights
  FROM (SELECT persona_json(weights) AS j FROM icl_task ORDER BY user_id LIMIT 1)
)
INSERT INTO icl_taste
  SELECT t.user_id, r.weights, 1 FROM icl_setting, icl_task t, row_0 r WHERE k_shot_labels = 'row_0';

DELETE FROM icl_example;
INSERT INTO icl_example
  WITH near AS MATERIALIZED (
    SELECT n.* FROM icl_setting s, persona_neighbors('icl_train_prompt', 'icl_test_prompt', max(s.shots, 1)) n
    WHERE s.shots > 0
  ), judged AS (
    SELECT t.user_id, n.rank, n.id AS prompt_id, r.response_id, r.position,
           persona_reward(w.weights, iif(w.raw, r.raw_rewards, r.rewards)) AS utility
    FROM near n JOIN icl_task t ON t.prompt_id = n.query_id JOIN icl_taste w USING (user_id)
         JOIN responses r ON r.prompt_id = n.id
    WHERE r.raw_rewards IS NOT NULL
  )
  SELECT DISTINCT user_id, rank, prompt_id,
         first_value(response_id) OVER (PARTITION BY user_id, rank ORDER BY utility DESC, position),
         first_value(response_id) OVER (PARTITION BY user_id, rank ORDER BY utility, position)
  FROM judged;

DELETE FROM icl_prompts WHERE method = (SELECT trim('k_shot ' || label) FROM icl_setting);
INSERT INTO icl_prompts SELECT trim('k_shot ' || s.label), f.* FROM icl_setting s, icl_finished f;

SELECT method, count(*) AS prompts, avg(examples) AS examples
FROM icl_prompts WHERE method LIKE 'k_shot%' GROUP BY method;
