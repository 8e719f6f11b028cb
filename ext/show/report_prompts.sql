-- The three prompts on which users disagree most and the two on which they agree most, each with its responses by share of
-- votes.
WITH votes AS (
  SELECT prompt_id, response_id, 1.0 * best_votes / sum(best_votes) OVER (PARTITION BY prompt_id) AS share
  FROM persona_votes(coalesce(:population, 'users'), coalesce(:split, 'test'))
), prompt AS (
  SELECT prompt_id, max(share) AS top FROM votes GROUP BY prompt_id HAVING top IS NOT NULL
), ranked AS (
  SELECT prompt_id, row_number() OVER (ORDER BY top, prompt_id) AS from_divided,
         row_number() OVER (ORDER BY top DESC, prompt_id) AS from_united
  FROM prompt
)
SELECT ranked.prompt_id, from_divided <= 3 AS divided, p.text AS prompt, r.model, share, r.text AS response
FROM ranked JOIN votes USING (prompt_id) JOIN prompts p USING (prompt_id) JOIN responses r USING (response_id)
WHERE from_divided <= 3 OR from_united <= 2
ORDER BY from_divided, share DESC, response_id;
