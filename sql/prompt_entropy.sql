-- On which prompts do tastes differ?
--
-- The entropy of the votes for each prompt, as in sql/entropy.sql: its distribution over prompts, the prompts at both ends, and the
-- paper's keywords once more, with the words that its authors tried and dropped, and with standard errors.  (Their notebook's
-- divide the standard deviation by n, as_coded here, where the root of n belongs.)  When everyone wants the same answer there
-- is nothing to personalise.
--
-- Needs: prompts, responses, users; published (sql/published.sql); SQLite's mathematical functions.  Split: train.
-- Keeps: temp.prompt_entropy.

DROP TABLE IF EXISTS temp.prompt_entropy;
CREATE TEMP TABLE prompt_entropy AS
  WITH share AS (
    SELECT prompt_id, 1.0 * best_votes / sum(best_votes) OVER (PARTITION BY prompt_id) AS p FROM persona_votes('users', 'train')
  )
  SELECT prompt_id, 0.0 - sum(CASE WHEN p > 0 THEN p * ln(p) ELSE 0 END) AS entropy FROM share GROUP BY prompt_id;

SELECT 'prompts' AS statistic, count(*) AS computed,
       (SELECT value FROM published WHERE query = 'prompt_entropy' AND series = 'prompts' AND item = '(all)') AS published
FROM prompt_entropy UNION ALL
SELECT 'mean', round(avg(entropy), 4),
       (SELECT value FROM published WHERE query = 'prompt_entropy' AND series = 'mean entropy' AND item = '(all)')
FROM prompt_entropy UNION ALL
SELECT 'smallest', round(min(entropy), 4), (SELECT value FROM published WHERE query = 'prompt_entropy' AND series = 'smallest')
FROM prompt_entropy UNION ALL
SELECT 'largest', round(max(entropy), 4), (SELECT value FROM published WHERE query = 'prompt_entropy' AND series = 'largest')
FROM prompt_entropy;

SELECT printf('%.1f to %.1f', bin / 5.0, (bin + 1) / 5.0) AS entropy, count(*) AS prompts,
       persona_bar(count(*), (SELECT count(*) FROM prompt_entropy), 30) AS bar
FROM (SELECT CAST(entropy * 5 AS INTEGER) AS bin FROM prompt_entropy)
GROUP BY bin
ORDER BY bin;

SELECT * FROM (
  SELECT round(entropy, 2) AS entropy, substr(text, 1, 90) AS prompt FROM prompt_entropy JOIN prompts USING (prompt_id)
  ORDER BY prompt_entropy.entropy, prompt_id LIMIT 5)
UNION ALL
SELECT * FROM (
  SELECT round(entropy, 2), substr(text, 1, 90) FROM prompt_entropy JOIN prompts USING (prompt_id)
  ORDER BY prompt_entropy.entropy DESC, prompt_id LIMIT 5);

WITH prompt AS (
  SELECT entropy AS h, lower(text) AS text, lower(substr(text, 1, instr(text || ' ', ' ') - 1)) AS first_word
  FROM prompt_entropy JOIN prompts USING (prompt_id)
), keyword(number, keyword, rule) AS (
  VALUES (1, 'imagine', 'anywhere'), (2, 'opinion', 'anywhere'), (3, 'poem', 'anywhere'), (4, 'taste', 'anywhere'),
         (5, '(all)', 'all'), (6, 'who', 'first word'), (7, 'what', 'first word'), (8, 'when', 'first word'),
         (9, 'where', 'first word'), (10, 'why', 'first word'), (11, 'advice', 'anywhere'), (12, 'story', 'anywhere'),
         (13, 'flavor', 'anywhere'), (14, 'favorite', 'anywhere'), (15, 'best', 'anywhere'), (16, 'recommend', 'anywhere'),
         (17, 'suggest', 'anywhere'), (18, 'describe', 'anywhere')
)
SELECT keyword, rule, count(h) AS prompts, round(avg(h), 4) AS mean_entropy, round(p.value, 4) AS published, o.value AS older_run,
       round(sqrt(max(avg(h * h) - avg(h) * avg(h), 0) / nullif(count(h) - 1, 0)), 4) AS standard_error,
       round(sqrt(max(avg(h * h) - avg(h) * avg(h), 0)) / nullif(count(h), 0), 4) AS as_coded
FROM keyword
LEFT JOIN prompt ON CASE rule WHEN 'all' THEN 1 WHEN 'anywhere' THEN instr(text, keyword) > 0 ELSE first_word = keyword END
LEFT JOIN published p ON p.query = 'prompt_entropy' AND p.series = 'mean entropy' AND p.item = keyword
LEFT JOIN published o ON o.query = 'prompt_entropy' AND o.series = 'older run' AND o.item = keyword
GROUP BY number
ORDER BY number;
