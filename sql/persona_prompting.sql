-- Are personas in the prompt as diverse as these users?
--
-- The paper's baseline: instead of weighting reward models, put the description of a person before the prompt and let one reward
-- model score the responses (500 personas from PersonaHub, FsfairX-LLaMA3-RM-v0.1; the first maximum wins).  You bring the scores:
--
--   CREATE TABLE persona_scores(persona_id INTEGER, response_id INTEGER, score REAL, PRIMARY KEY (persona_id, response_id));
--
-- examples/persona_scores.sql makes such a table by a stand-in.  Shown are the statistics of Figure 3 for both populations.
--
-- Needs: prompts, responses, users, persona_scores; published (sql/published.sql).  Split: test.  Keeps: temp.persona_votes_both.

DROP TABLE IF EXISTS temp.persona_votes_both;
CREATE TEMP TABLE persona_votes_both AS
  SELECT 'reward models' AS population, prompt_id, response_id, best_votes FROM persona_votes('users', 'test')
  UNION ALL
  SELECT 'personas', prompt_id, response_id, sum(rank = 1)
  FROM (SELECT r.prompt_id, r.response_id,
               row_number() OVER (PARTITION BY s.persona_id, r.prompt_id ORDER BY s.score DESC, r.position) AS rank
        FROM persona_scores s JOIN responses r USING (response_id) JOIN prompts p USING (prompt_id)
        WHERE p.split = 'test' AND s.score IS NOT NULL)
  GROUP BY prompt_id, response_id;

WITH prompt AS (
  SELECT population, prompt_id, 1.0 * max(best_votes) / sum(best_votes) AS share, sum(best_votes > 0) AS winners
  FROM persona_votes_both
  GROUP BY population, prompt_id
), statistic AS (
  SELECT population, 1 AS number, 'top_share' AS query, q || ' %' AS item, printf('top share at most %d %%, %% of prompts', q) AS statistic,
         50.0 * (sum(share < q / 100.0) + sum(share <= q / 100.0) + (sum(share <= q / 100.0) > sum(share < q / 100.0)))
         / count(*) AS value
  FROM prompt, (SELECT 50 AS q UNION ALL SELECT 75 UNION ALL SELECT 95)
  GROUP BY population, q
  UNION ALL
  SELECT population, 2, '', n, printf('prompts with %d winners', n), avg(winners = n)
  FROM prompt, (WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 8) SELECT n FROM n)
  GROUP BY population, n
  UNION ALL
  SELECT population, 3, 'winners', label, 'the published bin "' || label || '"', avg(winners BETWEEN low AND high)
  FROM prompt, (SELECT 'labelled 2 or less' AS label, 2 AS low, 3 AS high UNION ALL SELECT 'labelled 3', 4, 4 UNION ALL
                SELECT 'labelled 4', 5, 5 UNION ALL SELECT 'labelled 5', 6, 6 UNION ALL SELECT 'labelled 6 or more', 7, 99)
  GROUP BY population, label
  UNION ALL
  SELECT population, 4, 'win_rates', substr(name, 1, instr(name || ':', ':') - 1), 'wins of ' || model || ', %', percent
  FROM (SELECT population, r.model, lower(substr(r.model, instr(r.model, '/') + 1)) AS name,
               100.0 * sum(best_votes) / sum(sum(best_votes)) OVER (PARTITION BY population) AS percent
        FROM persona_votes_both JOIN responses r USING (response_id)
        GROUP BY population, r.model)
)
SELECT statistic, round(max(s.value) FILTER (WHERE population = 'personas'), 3) AS personas,
       max(p.value) FILTER (WHERE population = 'personas') AS published_personas,
       round(max(s.value) FILTER (WHERE population = 'reward models'), 3) AS reward_models,
       (SELECT value FROM published WHERE query = s.query AND series = 'alpha 0.05' AND item = s.item) AS published_alpha_005
FROM statistic s LEFT JOIN published p ON p.query = s.query AND p.series = 'persona prompting' AND p.item = s.item
GROUP BY s.number, s.item
ORDER BY s.number, s.item;
