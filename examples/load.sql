-- Load the bundled data with SQLite's own JSON functions: prompts, eight responses each, ten scores per response.
CREATE VIRTUAL TABLE prompts USING persona_prompts();
CREATE VIRTUAL TABLE responses USING persona_responses(brevity, caution, depth, drive, ease, narrative, precision, relevance, structure, warmth);
CREATE TEMP TABLE line AS
  SELECT f.split, j.value AS object
  FROM (SELECT 'train' AS split UNION ALL SELECT 'test') f,
       json_each('[' || replace(rtrim(CAST(readfile('examples/demo/' || f.split || '.jsonl') AS TEXT), char(10)), char(10), ',') || ']') j;
INSERT INTO prompts(prompt_id, split, source, text)
  SELECT object ->> 'prompt_id', split, object ->> 'subset', object ->> 'prompt' FROM line;
INSERT INTO responses(prompt_id, position, model, text, raw_rewards)
  SELECT object ->> 'prompt_id', position, object ->> ('response_' || position || '_model'), object ->> ('response_' || position),
         persona_vector((SELECT json_group_array(object -> ('response_' || position || '_' || name.value))
                         FROM json_each(style_reward_names()) name))
  FROM line, (WITH RECURSIVE n(position) AS (VALUES (1) UNION ALL SELECT position + 1 FROM n WHERE position < 8) SELECT * FROM n)
  ORDER BY 1, 2;
UPDATE reward_models SET (mean, sd) =
  (SELECT avg(x), sqrt(avg(x * x) - avg(x) * avg(x))
   FROM (SELECT json_extract(persona_json(raw_rewards), '$[' || (reward_models.position - 1) || ']') AS x
         FROM responses r JOIN prompts p USING (prompt_id) WHERE p.split = 'train'));
DROP TABLE line;
