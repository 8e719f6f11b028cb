-- What would the model say to anybody?
--
-- Zero-shot, the paper's baseline (definitions.md#zero-shot): the test prompt alone, without a word about the user.
--
-- Needs: sql/icl_tasks.sql.  Fills icl_prompts, method zero_shot.  The published one has no response label either
-- (definitions.md#zero-shot): prompt_options {"layout":"published"}.

DELETE FROM icl_example;
DELETE FROM icl_prompts WHERE method = (SELECT trim('zero_shot ' || label) FROM icl_setting);
INSERT INTO icl_prompts SELECT trim('zero_shot ' || s.label), f.* FROM icl_setting s, icl_finished f;

SELECT method, count(*) AS prompts, avg(examples) AS examples
FROM icl_prompts WHERE method LIKE 'zero_shot%' GROUP BY method;
