-- What makes a response a user's favourite?
--
-- The paper's regressions, one for each user: the features of the favourite response to each prompt (label 1) against those of
-- another response (label 0), standardised; shown are the coefficients over all users as a box plot would (quartiles, whiskers to
-- the farthest value within 1.5 interquartile ranges, outliers), and the accuracy on a held-out tenth.  Two fits:
--
--   as described  against the least preferred response, with the L2 penalty and the intercept of sklearn's default settings, as
--                 the paper says
--   as coded      against the fourth-ranked response, without penalty and intercept, as the published code does it; a user whose
--                 few prompts let the features separate the two has no such coefficients and is left out (see `users`), and so
--                 is a prompt with fewer than four responses
--
-- Every tenth prompt is held out whole.  (The published split is random over rows, so that the two responses to one prompt may
-- fall on both sides; which ones it drew does not matter here.)  A user's ranking breaks ties by position.
--
-- Needs: prompts, responses, users; published (sql/published.sql); and the features, temp.feature and temp.feature_name, from
-- sql/syntax.sql or sql/semantics.sql, or your own in their form.  Split: test, or rather the responses that have features.
-- Keeps: temp.regression, one row for each fit and user; temp.boxes, one for each fit and feature; temp.coefficients, those of
-- "as described", which persona_chart('coefficients') draws.

DROP TABLE IF EXISTS temp.pick;
CREATE TEMP TABLE pick(fit TEXT, user_id INTEGER, number INTEGER, label INTEGER, response_id INTEGER);
WITH scored AS MATERIALIZED (
  SELECT response_id, position, rewards, dense_rank() OVER (ORDER BY prompt_id) AS number
  FROM responses
  WHERE rewards IS NOT NULL AND response_id IN (SELECT response_id FROM feature)
), ranked AS (
  SELECT user_id, number, response_id, count(*) OVER (PARTITION BY user_id, number) AS n,
         row_number() OVER (PARTITION BY user_id, number ORDER BY persona_reward(weights, rewards) DESC, position) AS rank
  FROM users JOIN scored
  WHERE weights IS NOT NULL
)
INSERT INTO pick
  SELECT fit, user_id, number, rank = 1, response_id
  FROM ranked JOIN (SELECT 'as described' AS fit, 0 AS against UNION ALL SELECT 'as coded', 4)
       ON rank = 1 OR rank = CASE against WHEN 0 THEN n ELSE against END
  WHERE n > 1 AND n >= against;

DROP TABLE IF EXISTS temp.regression;
CREATE TEMP TABLE regression AS
  WITH option(fit, options) AS (
    VALUES ('as described', '{"return": "report"}'),
           ('as coded', '{"return": "report", "lambda": 0, "intercept": false, "separable": "null"}')
  )
  SELECT fit, user_id, fit_logistic(label, features, options) AS report
  FROM pick JOIN option USING (fit) JOIN feature USING (response_id)
  WHERE number % 10 <> 1
  GROUP BY fit, user_id;

-- Quantiles as numpy's: at position q (n - 1) of the sorted values, between two neighbours by distance.
DROP TABLE IF EXISTS temp.boxes;
CREATE TEMP TABLE boxes AS
  WITH value AS (
    SELECT fit, c.key AS position, c.value AS value,
           row_number() OVER (PARTITION BY fit, c.key ORDER BY c.value) - 1 AS place, count(*) OVER (PARTITION BY fit, c.key) AS n
    FROM regression, json_each(report, '$.coefficients') c
    WHERE report IS NOT NULL
  ), quartile AS (
    SELECT fit, position, n, sum(value * max(0, 1 - abs(place - 0.25 * (n - 1)))) AS q1,
           sum(value * max(0, 1 - abs(place - 0.5 * (n - 1)))) AS median, sum(value * max(0, 1 - abs(place - 0.75 * (n - 1)))) AS q3
    FROM value
    GROUP BY fit, position
  )
  SELECT f.analysis, q.fit, f.feature, q.n AS users, min(v.value) FILTER (WHERE v.value >= q1 - 1.5 * (q3 - q1)) AS low, q1,
         median, q3, max(v.value) FILTER (WHERE v.value <= q3 + 1.5 * (q3 - q1)) AS high,
         sum(v.value < q1 - 1.5 * (q3 - q1) OR v.value > q3 + 1.5 * (q3 - q1)) AS outliers,
         p.value AS published, p.low AS published_q1, p.high AS published_q3
  FROM quartile q JOIN value v USING (fit, position) JOIN feature_name f USING (position)
  LEFT JOIN published p ON p.query = f.analysis AND p.series = 'coefficients' AND p.item = f.feature
  GROUP BY q.fit, f.position
  ORDER BY q.fit DESC, f.position;

SELECT fit, feature, users, round(low, 2) AS low, round(q1, 2) AS q1, round(median, 2) AS median, round(q3, 2) AS q3,
       round(high, 2) AS high, outliers, published AS published_median, published_q1, published_q3
FROM boxes
ORDER BY rowid;
DROP TABLE IF EXISTS temp.coefficients;
CREATE TEMP TABLE coefficients AS
  SELECT feature, low, q1, median, q3, high, published FROM boxes WHERE fit = 'as described' ORDER BY rowid;

WITH rule AS MATERIALIZED (
  SELECT fit, user_id, persona_vector(report -> '$.weights') AS weights, report ->> '$.offset' AS offset
  FROM regression
  WHERE report IS NOT NULL
), judged AS (
  SELECT fit, user_id, avg((offset + persona_reward(weights, features) > 0) = label) AS accuracy
  FROM rule JOIN pick USING (fit, user_id) JOIN feature USING (response_id)
  WHERE number % 10 = 1
  GROUP BY fit, user_id
)
SELECT fit, count(*) AS users, round(avg(accuracy), 3) AS held_out_accuracy, round(min(accuracy), 2) AS smallest,
       round(max(accuracy), 2) AS largest, p.value AS published, p.low AS published_smallest, p.high AS published_largest
FROM judged
LEFT JOIN published p ON p.query = (SELECT analysis FROM feature_name) AND p.series = 'accuracy'
GROUP BY fit
ORDER BY fit DESC;
DROP TABLE temp.pick;
