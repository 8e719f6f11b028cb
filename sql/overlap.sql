-- Do other users want the same?
--
-- The paper's user overlap: of two users, the share of prompts with the same favourite response.  The first 100 users against the
-- 900 others: for each the mean and the largest overlap (is there anybody who wants what I want?).  Below 35 % and 95 % are the
-- authors' thresholds.
--
-- Needs: prompts, responses; published (sql/published.sql).  Split: test.  Keeps: temp.overlap.

DROP TABLE IF EXISTS temp.overlap_001;
DROP TABLE IF EXISTS temp.overlap_005;
DROP TABLE IF EXISTS temp.overlap_01;
CREATE VIRTUAL TABLE temp.overlap_001 USING persona_users(count=1000, alpha=0.01, seed=0);
CREATE VIRTUAL TABLE temp.overlap_005 USING persona_users(count=1000, alpha=0.05, seed=0);
CREATE VIRTUAL TABLE temp.overlap_01 USING persona_users(count=1000, alpha=0.1, seed=0);

-- Every user's favourite for every prompt that has at least two scored responses: histories without replacement, as long as
-- there are prompts.
DROP TABLE IF EXISTS temp.favourite;
CREATE TEMP TABLE favourite(alpha REAL, user_id INTEGER, prompt_id INTEGER, response_id INTEGER,
                            PRIMARY KEY (alpha, user_id, prompt_id)) WITHOUT ROWID;
WITH prompt(prompts) AS (
  SELECT count(*) FROM (SELECT prompt_id FROM persona_votes('overlap_005', 'test') GROUP BY prompt_id HAVING count(*) > 1)
)
INSERT INTO favourite
  SELECT 0.01, user_id, prompt_id, chosen_id
  FROM prompt, persona_interactions('overlap_001', 'test', prompts, 'best_worst', 0, '{"replacement": false}') UNION ALL
  SELECT 0.05, user_id, prompt_id, chosen_id
  FROM prompt, persona_interactions('overlap_005', 'test', prompts, 'best_worst', 0, '{"replacement": false}') UNION ALL
  SELECT 0.1, user_id, prompt_id, chosen_id
  FROM prompt, persona_interactions('overlap_01', 'test', prompts, 'best_worst', 0, '{"replacement": false}');

-- A user as a vector: for every response 1 where it is the favourite, else 0.  The cosine of two such vectors is their overlap, up
-- to rounding; persona_neighbors computes it for all pairs.
DROP TABLE IF EXISTS temp.mark;
CREATE TEMP TABLE mark(response_id INTEGER PRIMARY KEY, digits TEXT);
INSERT INTO mark
  SELECT response_id, rtrim(replace(hex(zeroblob(k - 1)), '00', '0,') || '1,' || replace(hex(zeroblob(n - k)), '00', '0,'), ',')
  FROM (SELECT response_id, row_number() OVER (PARTITION BY prompt_id ORDER BY response_id) AS k,
               count(*) OVER (PARTITION BY prompt_id) AS n
        FROM persona_votes('overlap_005', 'test'));
DROP TABLE IF EXISTS temp.taste;
CREATE TEMP TABLE taste AS
  SELECT alpha, user_id AS id, persona_vector('[' || group_concat(digits) || ']', 'f64', 'f32') AS embedding, count(*) AS prompts
  FROM (SELECT * FROM favourite JOIN mark USING (response_id) ORDER BY alpha, user_id, prompt_id)
  GROUP BY alpha, user_id;
DROP TABLE temp.mark;
DROP TABLE temp.favourite;

-- Three populations, told apart by `part`.
DROP VIEW IF EXISTS temp.target_user;
CREATE TEMP VIEW target_user AS
  SELECT CAST(round(alpha * 1000) AS INTEGER) * 10000 + id AS id, embedding, alpha AS part FROM taste WHERE id < 100;
DROP VIEW IF EXISTS temp.other_user;
CREATE TEMP VIEW other_user AS
  SELECT CAST(round(alpha * 1000) AS INTEGER) * 10000 + id AS id, embedding, alpha AS part FROM taste WHERE id >= 100;
DROP TABLE IF EXISTS temp.overlap;
CREATE TEMP TABLE overlap AS
  SELECT query_id / 10000 / 1000.0 AS alpha, query_id % 10000 AS user_id,
         avg(round(similarity * prompts)) / prompts AS mean_overlap, max(round(similarity * prompts)) / prompts AS max_overlap
  FROM persona_neighbors('other_user', 'target_user', 900), (SELECT max(prompts) AS prompts FROM taste)
  GROUP BY query_id;

SELECT alpha, round(avg(mean_overlap), 3) AS mean_overlap, round(avg(max_overlap), 3) AS max_overlap,
       round(100 * avg(mean_overlap < 0.35)) AS mean_below_35_percent,
       (SELECT value FROM published p WHERE query = 'overlap' AND series = 'alpha ' || alpha AND item LIKE 'mean%') AS published_mean,
       round(100 * avg(max_overlap < 0.95)) AS max_below_95_percent,
       (SELECT value FROM published p WHERE query = 'overlap' AND series = 'alpha ' || alpha AND item LIKE 'max%') AS published_max
FROM overlap
GROUP BY alpha
ORDER BY alpha;
