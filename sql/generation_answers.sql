-- What came back?
--
-- Reads the answers of a batch (setting answers: a file of the form that OpenAI-compatible servers and `vllm
-- run-batch` write, or of bare chat completions with a custom_id) into generations.  A line with an error, without
-- text, or cut off in the middle leaves its task unanswered, with the error noted; lines of other runs find their
-- rows too; a task that has an answer keeps it, so that reading a file twice, or a second file that repeats some
-- answers, changes nothing.
--
-- Needs: sql/generation_tables.sql, sql/generation_requests.sql.

DROP TABLE IF EXISTS temp.generation_line;
CREATE TEMP TABLE generation_line AS
  SELECT line, value ->> '$.custom_id' AS custom_id,
         coalesce(value -> '$.response.body', value -> '$.response', value) AS body,
         coalesce(value ->> '$.response.status_code', 200) AS status_code,
         CASE WHEN value IS NULL THEN 'no JSON, cut off?'
              ELSE coalesce(value ->> '$.error.message', value ->> '$.error',
                value ->> '$.response.body.error.message', value ->> '$.response.error.message') END AS error
  FROM (SELECT line, iif(json_valid(value), value, NULL) AS value
        FROM generation_setting s, read_jsonl(s.answers, '{"invalid":"null"}'));

DROP TABLE IF EXISTS temp.generation_answer;
CREATE TEMP TABLE generation_answer AS
  SELECT line, custom_id, finish_reason, model,
         iif(error IS NULL AND status_code = 200, text, NULL) AS text,
         CASE WHEN error IS NOT NULL THEN error WHEN status_code <> 200 THEN 'status ' || status_code
              WHEN text IS NULL THEN 'an answer without text' END AS error
  FROM (SELECT *, coalesce(body ->> '$.choices[0].message.content', body ->> '$.choices[0].text') AS text,
               body ->> '$.choices[0].finish_reason' AS finish_reason, body ->> '$.model' AS model
        FROM generation_line);

-- The first answer of a task counts, else its last error.
UPDATE generations SET answer = a.text, finish_reason = a.finish_reason, answered_by = a.model, error = NULL
  FROM (SELECT custom_id, text, finish_reason, model, min(line) FROM generation_answer
        WHERE text IS NOT NULL GROUP BY custom_id) a
  WHERE a.custom_id = generations.custom_id AND generations.answer IS NULL;
UPDATE generations SET error = a.error
  FROM (SELECT custom_id, error, max(line) FROM generation_answer WHERE text IS NULL GROUP BY custom_id) a
  WHERE a.custom_id = generations.custom_id AND generations.answer IS NULL;

SELECT (SELECT count(*) FROM generation_line) AS lines,
       (SELECT count(*) FROM generation_answer WHERE text IS NOT NULL) AS lines_with_answer,
       (SELECT count(*) FROM generation_answer WHERE text IS NULL) AS lines_without,
       (SELECT count(*) FROM generation_answer a
        WHERE NOT EXISTS (SELECT 1 FROM generations g WHERE g.custom_id = a.custom_id)) AS of_no_task,
       c.*
FROM generation_coverage c JOIN generation_setting s USING (run);
