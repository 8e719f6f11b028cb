-- Where do the prompts come from?
--
-- The paper's table of prompt sources, beside the sources of the prompts at hand.
--
-- Needs: prompts; published (sql/published.sql).

WITH here AS (
  SELECT source, count(*) AS prompts, count(*) FILTER (WHERE split = 'train') AS train, count(*) FILTER (WHERE split = 'test') AS test
  FROM prompts
  GROUP BY source
), paper AS (
  SELECT item AS source, CAST(value AS INTEGER) AS published FROM published WHERE query = 'sources'
)
SELECT source, prompts, train, test, published FROM here LEFT JOIN paper USING (source)
UNION ALL
SELECT source, 0, 0, 0, published FROM paper WHERE source NOT IN (SELECT source FROM here WHERE source IS NOT NULL)
ORDER BY prompts DESC, published DESC, source;
