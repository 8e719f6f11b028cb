-- Does it help to show a model the user's own history?
--
-- Self-ICL (definitions.md#self-icl): the test user's own interactions in their order, the first ones that fit.
--
-- Needs: sql/icl_tasks.sql.  Fills icl_prompts, method self_k_shot.

DELETE FROM icl_example;
INSERT INTO icl_example SELECT user_id, turn, prompt_id, chosen_id, rejected_id FROM icl_history;

DELETE FROM icl_prompts WHERE method = (SELECT trim('self_k_shot ' || label) FROM icl_setting);
INSERT INTO icl_prompts SELECT trim('self_k_shot ' || s.label), f.* FROM icl_setting s, icl_finished f;

SELECT method, count(*) AS prompts, avg(examples) AS examples
FROM icl_prompts WHERE method LIKE 'self_k_shot%' GROUP BY method;
