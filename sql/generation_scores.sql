-- What do the reward models say of the answers?
--
-- Reads raw scores (setting scores: a file) into generation_scores.  Two kinds of lines, which may be mixed:
--   {"custom_id": "k_shot/17", "scores": {"beaver_7b": 1.25, ...}}, where known with "scorer": "...",
--   "batch_size": 16, "precision": "bfloat16";
--   the batch output of a reward server for one reward model, named by setting reward_model: the score is
--   response.body.data[0].score, or .data[0].data (a number, or an array of one).
-- Scorer, batch size and precision are those of the line, else the settings: several published reward models give
-- other scores in other batch sizes, so a run says how its answers were scored.  A score that is there is replaced,
-- names that are no reward model and failed lines are counted and left out.
--
-- Needs: sql/generation_answers.sql.

DROP TABLE IF EXISTS temp.generation_score_line;
CREATE TEMP TABLE generation_score_line AS
  SELECT line, value ->> '$.custom_id' AS custom_id, value
  FROM (SELECT line, iif(json_valid(value), value, NULL) AS value
        FROM generation_setting s, read_jsonl(s.scores, '{"invalid":"null"}'));

DROP TABLE IF EXISTS temp.generation_score;
CREATE TEMP TABLE generation_score AS
  SELECT l.line, l.custom_id, x.key AS name, x.value AS score, x.type,
         coalesce(l.value ->> '$.scorer', s.scorer) AS scorer,
         coalesce(l.value ->> '$.batch_size', s.batch_size) AS batch_size,
         coalesce(l.value ->> '$.precision', s.precision) AS precision
  FROM generation_setting s, generation_score_line l, json_each(l.value, '$.scores') x
  UNION ALL
  SELECT line, custom_id, reward_model, coalesce(data ->> '$.score', data ->> '$.data[0]', data ->> '$.data'),
         coalesce(json_type(data, '$.score'), json_type(data, '$.data[0]'), json_type(data, '$.data')),
         scorer, batch_size, precision
  FROM (SELECT l.line, l.custom_id, l.value -> '$.response.body.data[0]' AS data, s.*
        FROM generation_setting s, generation_score_line l
        WHERE l.value IS NOT NULL AND json_type(l.value, '$.scores') IS NULL
              AND coalesce(l.value ->> '$.response.status_code', 200) = 200);

INSERT INTO generation_scores
  SELECT g.run, g.user_id, m.name, x.score, x.scorer, x.batch_size, x.precision
  FROM generation_score x JOIN generations g USING (custom_id) JOIN reward_models m ON m.name = x.name COLLATE NOCASE
  WHERE x.type IN ('integer', 'real') AND abs(x.score) <= 1.7976931348623157e308 AND g.answer IS NOT NULL
  ORDER BY x.line
  ON CONFLICT DO UPDATE SET score = excluded.score, scorer = excluded.scorer, batch_size = excluded.batch_size,
                            precision = excluded.precision;

SELECT (SELECT count(*) FROM generation_score_line) AS lines,
       (SELECT count(*) FROM generation_score_line
        WHERE line NOT IN (SELECT line FROM generation_score WHERE type IN ('integer', 'real'))) AS without_scores,
       (SELECT count(*) FROM generation_score x
        WHERE NOT EXISTS (SELECT 1 FROM generations g WHERE g.custom_id = x.custom_id AND g.answer IS NOT NULL))
         AS of_no_answer,
       (SELECT count(*) FROM generation_score x
        WHERE NOT EXISTS (SELECT 1 FROM reward_models m WHERE m.name = x.name COLLATE NOCASE)) AS of_no_reward_model,
       c.*
FROM generation_coverage c JOIN generation_setting s USING (run);
